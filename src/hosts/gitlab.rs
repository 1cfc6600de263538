//! GitLab, on gitlab.com and self-managed.
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

mod items;
mod read;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::headers::{self, Form};
use super::json::repaired;
use super::signature::{self, Keys, Proof, Tokens};
use super::{Admitted, Delivery, Host, Malformed, Reading, Rejection, Rules};
use crate::config::{HostSecrets, Secret, signing_key};
use crate::domain::Moment;

/// Its word in routes, logs and metrics, and the short name of its public site.
pub const NAME: &str = "gitlab";

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");

/// GitLab, if there is a token by which to know it.
#[must_use]
pub fn open(secrets: &HostSecrets) -> Option<Arc<dyn Host>> {
    let trust = if secrets.gitlab_signing.is_empty() {
        let tokens = || secrets.gitlab_token.iter().map(Secret::expose);
        let first = tokens().find(|token| !token.trim().is_empty())?;
        Trust::Token { first: HeaderValue::from_str(first).ok(), tokens: Tokens::new(tokens())? }
    } else {
        let keys = secrets.gitlab_signing.iter().map(Secret::expose);
        Trust::Signed(Keys::new(keys.filter_map(signing_key))?)
    };
    Some(Arc::new(GitLab { trust }))
}

struct GitLab {
    trust: Trust,
}

/// What makes a request GitLab's. Where a signing token is set it alone does: to fall back on the plain
/// token would let anybody who has seen one strip the signature.
enum Trust {
    Signed(Keys),
    Token { tokens: Tokens, first: Option<HeaderValue> },
}

impl Host for GitLab {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit(&self, headers: &HeaderMap, now: Moment) -> Result<Admitted, Rejection> {
        let proof = match &self.trust {
            Trust::Signed(_) => signature::standard(headers, now)?,
            Trust::Token { tokens, .. } => {
                let missing = "X-Gitlab-Token is missing; set the webhook's secret token on GitLab";
                let token = signature::one(headers, &TOKEN)?.ok_or(Rejection::Unsigned(missing))?;
                if !tokens.hold(token) {
                    return Err(Rejection::BadSignature("X-Gitlab-Token is another token"));
                }
                Proof::Token
            }
        };
        headers::form(headers, &[Form::Json], "the content type has to be application/json")?;
        let event = headers::event(headers, "x-gitlab-event", "X-Gitlab-Event is missing");
        let delivery = ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"]
            .into_iter()
            .find_map(|name| headers::label(headers, name))
            .unwrap_or_else(|| "unknown".into());
        Ok(Admitted { delivery, event, proof, form: false })
    }

    fn verify(&self, admitted: Admitted, body: Bytes) -> Result<Delivery, Rejection> {
        let holds = match (&self.trust, &admitted.proof) {
            (Trust::Signed(keys), Proof::Message { prefix, codes }) => keys.hold(prefix, &body, codes),
            (Trust::Token { .. }, Proof::Token) => true,
            _ => false,
        };
        if !holds {
            let wrong = "webhook-signature was not made with this signing token over this body";
            return Err(Rejection::BadSignature(wrong));
        }
        Ok(Delivery { id: admitted.delivery, event: admitted.event?, json: repaired(body) })
    }

    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
        read::payload(delivery, rules, now)
    }

    fn sign(&self, event: &str, delivery: &str, body: &[u8], now: Moment) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("content-type", "application/json");
        put("user-agent", "GitLab/plaudit");
        put("x-gitlab-instance", "https://gitlab.com");
        put("x-gitlab-event", event);
        put("idempotency-key", delivery);
        put("x-gitlab-webhook-uuid", &made_of(&format!("webhook:{delivery}:{now}")));
        put("x-gitlab-event-uuid", &made_of(&format!("event:{delivery}:{now}")));
        match &self.trust {
            Trust::Signed(keys) => {
                let timestamp = now.timestamp();
                put("webhook-id", delivery);
                put("webhook-timestamp", &timestamp.to_string());
                put("webhook-signature", &signature::standard_value(keys, delivery, timestamp, body));
            }
            Trust::Token { first, .. } => headers.extend(first.clone().map(|first| (TOKEN, first))),
        }
        headers
    }
}

/// A UUID that is always the same for the same text: here, randomness would be an argument.
fn made_of(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text).into();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
