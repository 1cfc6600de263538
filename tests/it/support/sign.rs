//! Signatures as the hosts make them, computed here: the code under test never signs what it verifies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

/// GitHub's `X-Hub-Signature-256`.
pub(crate) fn github_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret.as_bytes(), &[body])))
}

/// A `webhook-signature` of the Standard Webhooks, as GitLab sends it.
pub(crate) fn standard_signature(token: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(token.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!("{id}.{timestamp}.");
    format!("v1,{}", STANDARD.encode(hmac(&key, &[signed.as_bytes(), body])))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// A host that proves its deliveries with one secret.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    Github(&'a str),
    /// With a signing token: `whsec_` and a key in base64.
    Gitlab(&'a str),
    /// With a plain token, which signs nothing.
    GitlabToken(&'a str),
}

impl Signer<'_> {
    /// All headers with which the host sends `body`; `timestamp` is in seconds.
    pub(crate) fn headers(self, event: &str, delivery: &str, body: &[u8], timestamp: i64) -> HeaderMap {
        let mut pairs = vec![("content-type", "application/json".to_owned())];
        match self {
            Self::Github(secret) => pairs.extend([
                ("user-agent", "GitHub-Hookshot/044aadd".into()),
                ("x-github-event", event.into()),
                ("x-github-delivery", delivery.into()),
                ("x-hub-signature-256", github_signature(secret, body)),
            ]),
            Self::Gitlab(_) | Self::GitlabToken(_) => pairs.extend([
                ("user-agent", "GitLab/19.0.0".into()),
                ("x-gitlab-instance", "https://gitlab.com".into()),
                ("x-gitlab-event", event.into()),
                ("idempotency-key", delivery.into()),
                ("x-gitlab-webhook-uuid", uuid::Uuid::new_v4().to_string()),
                ("x-gitlab-event-uuid", uuid::Uuid::new_v4().to_string()),
            ]),
        }
        match self {
            Self::Github(_) => {}
            Self::Gitlab(token) => pairs.extend([
                ("webhook-id", delivery.into()),
                ("webhook-timestamp", timestamp.to_string()),
                ("webhook-signature", standard_signature(token, delivery, timestamp, body)),
            ]),
            Self::GitlabToken(token) => pairs.push(("x-gitlab-token", token.into())),
        }
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        pairs.into_iter().map(header).collect()
    }
}
