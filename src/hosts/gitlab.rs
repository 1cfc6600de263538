//! GitLab, on gitlab.com and self-managed.
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

mod deliveries;
mod history;
mod hooks;
mod items;
mod read;

pub(super) use deliveries::REPAIR;
pub(super) use history::HISTORY;
pub(super) use hooks::SETUP;
pub(super) use read::is_machine;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::headers::{self, Form};
use super::json::repaired;
use super::origin::Unread;
use super::signature::{self, Keys, Proof, Tokens};
use super::{Admitted, Delivery, Host, Malformed, Payload, Rejection, Rules};
use crate::domain::Moment;
use crate::settings::{Secret, SecretSetting, Setting, Settings};

/// Its name in routes, logs and metrics, and the short name of its public site.
pub const NAME: &str = "gitlab";
/// The header with the event's name.
pub const EVENT: &str = "x-gitlab-event";
/// The headers with the delivery's id. `webhook-id` is signed where anything is.
pub(super) const DELIVERY: &[&str] = &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"];

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");

/// What GitLab signs deliveries with.
const SIGNING: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITLAB_SIGNING_TOKEN",
    // A signing token that is not in use.
    example: "PLAUDIT_GITLAB_SIGNING_TOKEN=whsec_YW4gZXhhbXBsZSwgYW5kIG5vIHNlY3JldA==",
};
/// What GitLab sends unchanged in a header.
const PLAIN: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITLAB_SECRET",
    example: "PLAUDIT_GITLAB_SECRET=\"a long random text\"",
};

/// The hosts for which its secret may speak.
pub const HOSTS: Setting = Setting {
    variable: "PLAUDIT_GITLAB_HOSTS",
    flag: "gitlab-hosts",
    value: "LIST",
    example: "gitlab.com,git.example.org:8443/gitlab",
    help: "The hosts that GitLab's secrets may speak for, with port and path if not the default [default: any but github.com]",
};

/// GitLab; `None` without a token, because no delivery could be verified.
#[must_use]
pub fn open(settings: &mut Settings<'_>) -> Option<Arc<dyn Host>> {
    let wrong = "no signing token: whsec_ and then base64, as GitLab shows it once";
    let signing = settings.secrets(&SIGNING, wrong, |token| signature::standard_key(token.expose()));
    let wrong = "a header cannot carry white space at its ends, nor control characters";
    let plain = settings.secrets(&PLAIN, wrong, header_value);
    let trust = match Keys::new(&signing) {
        Some(keys) => Trust::Signed(keys),
        None => Trust::Token {
            tokens: Tokens::new(plain.iter().map(|(token, _)| token.expose()))?,
            first: plain.into_iter().next().map(|(_, value)| value),
        },
    };
    Some(Arc::new(GitLab { trust }))
}

/// The event of a fixture whose name begins with `word`.
pub(super) fn event_of_fixture(word: &str) -> Option<&'static str> {
    Some(match word {
        "push" => "Push Hook",
        "tag_push" => "Tag Push Hook",
        "merge_request" => "Merge Request Hook",
        // GitLab sends work items under the same name as issues.
        "issue" | "work_item" => "Issue Hook",
        "confidential_issue" => "Confidential Issue Hook",
        "note" => "Note Hook",
        "system" => "System Hook",
        _ => return None,
    })
}

/// A token and its header value; `None` for a token that no header can carry.
fn header_value(token: Secret) -> Option<(Secret, HeaderValue)> {
    let text = token.expose();
    let sendable = text.trim() == text && !text.contains(char::is_control);
    let value = HeaderValue::from_bytes(text.as_bytes()).ok().filter(|_| sendable)?;
    Some((token, value))
}

struct GitLab {
    trust: Trust,
}

/// What proves that GitLab sent a request. Where a signing token is set, the plain token is not accepted:
/// else an attacker who has seen it could send requests without a signature.
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
        let event = headers::event(headers, EVENT, "X-Gitlab-Event is missing");
        let delivery = headers::id(headers, DELIVERY);
        Ok(Admitted { delivery, event, proof, form: false })
    }

    fn verify(&self, admitted: Admitted, body: Vec<u8>) -> Result<Delivery, Rejection> {
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

    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Payload, Malformed> {
        read::payload(delivery.event(), &delivery.json, rules, now).or_else(Unread::payload)
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

/// A UUID made from a text: the same text gives the same UUID, so that no randomness is needed.
fn made_of(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text).into();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
