//! Verifies that a request comes from its host: over the raw bytes of the body, and in constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Rejection;
use crate::domain::Moment;

/// How far a signed timestamp may be from now, in seconds.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#verifying-webhook-authenticity>
const TOLERANCE: i64 = 5 * 60;
/// How many signatures of one request are looked at: a rotation sends two.
const MOST_SIGNATURES: usize = 16;

/// An HMAC-SHA256.
type Code = [u8; 32];

/// The proof in the headers, before the body was read.
#[derive(Debug)]
pub(super) enum Proof {
    /// GitHub's: over the body.
    Body(Code),
    /// Standard Webhooks: over `{id}.{timestamp}.{body}`; one of the codes must be right.
    Message {
        /// `{id}.{timestamp}.`
        prefix: String,
        /// Every code of a version that is known.
        codes: Vec<Code>,
    },
    /// A token that was already compared: it authenticates the sender but not the body.
    Token,
}

/// Keys of which any one may have signed, each ready for use; never empty.
#[derive(Clone)]
pub(super) struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    /// `None` without a key. An empty key does not count: anyone could sign with it.
    pub(super) fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Option<Self> {
        let ready = |key: K| {
            let key = key.as_ref();
            (!key.is_empty()).then(|| Hmac::new_from_slice(key).ok()).flatten()
        };
        let keys: Vec<_> = keys.into_iter().filter_map(ready).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Whether one of the keys makes one of the codes over `prefix` and `body`.
    pub(super) fn hold(&self, prefix: &str, body: &[u8], codes: &[Code]) -> bool {
        self.codes(prefix, body).any(|made| codes.iter().any(|code| bool::from(made.ct_eq(code))))
    }

    /// The code of the newest key, which is the first.
    pub(super) fn sign(&self, prefix: &str, body: &[u8]) -> Code {
        self.codes(prefix, body).next().unwrap_or_default()
    }

    fn codes(&self, prefix: &str, body: &[u8]) -> impl Iterator<Item = Code> {
        self.0.iter().map(move |key| {
            let mut mac = key.clone();
            mac.update(prefix.as_bytes());
            mac.update(body);
            mac.finalize().into_bytes().into()
        })
    }
}

/// Tokens that are sent as they are. Only their hashes are kept, and compared.
#[derive(Clone)]
pub(super) struct Tokens(Vec<Code>);

impl Tokens {
    /// `None` without a token. An empty token does not count.
    pub(super) fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let tokens: Vec<Code> = tokens
            .into_iter()
            .filter(|token| !token.trim().is_empty())
            .map(|token| Sha256::digest(token).into())
            .collect();
        (!tokens.is_empty()).then_some(Self(tokens))
    }

    /// Whether `token` is one of them.
    pub(super) fn hold(&self, token: &[u8]) -> bool {
        let code: Code = Sha256::digest(token).into();
        self.0.iter().any(|known| bool::from(known.ct_eq(&code)))
    }
}

/// Reads `X-Hub-Signature-256: sha256=…`.
/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
pub(super) fn hub(headers: &HeaderMap) -> Result<Proof, Rejection> {
    let missing = "X-Hub-Signature-256 is missing; set the webhook's secret on GitHub";
    let text = one(headers, &SIGNATURE_256)?.ok_or(Rejection::Unsigned(missing))?;
    let malformed = Rejection::Unsigned("X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits");
    let digits = text.strip_prefix(b"sha256=").ok_or(malformed)?;
    let mut code = Code::default();
    hex::decode_to_slice(digits, &mut code).map_err(|_| malformed)?;
    Ok(Proof::Body(code))
}

/// Writes what [`hub`] reads.
pub(super) fn hub_value(code: Code) -> String {
    format!("sha256={}", hex::encode(code))
}

/// Reads the headers of the Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
pub(super) fn standard(headers: &HeaderMap, now: Moment) -> Result<Proof, Rejection> {
    let missing = "webhook-signature is missing; a plain token is no signature: \
                   set the webhook's signing token on GitLab";
    let signatures = text(headers, &WEBHOOK_SIGNATURE)?.ok_or(Rejection::Unsigned(missing))?;
    let codes: Vec<Code> = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|code| STANDARD.decode(code).ok()?.try_into().ok())
        .take(MOST_SIGNATURES)
        .collect();
    if codes.is_empty() {
        return Err(Rejection::Unsigned("webhook-signature holds no v1 signature"));
    }
    let id = text(headers, &WEBHOOK_ID)?.filter(|id| !id.is_empty());
    let id = id.ok_or(Rejection::Unsigned("webhook-id is missing"))?;
    let timestamp = text(headers, &WEBHOOK_TIMESTAMP)?
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or(Rejection::Unsigned("webhook-timestamp is no Unix time"))?;
    let signed_at: i64 =
        timestamp.parse().map_err(|_| Rejection::Unsigned("webhook-timestamp is no Unix time"))?;
    if now.timestamp().saturating_sub(signed_at).saturating_abs() > TOLERANCE {
        let stale = "webhook-timestamp is more than five minutes away from this machine's clock";
        return Err(Rejection::BadSignature(stale));
    }
    let prefix = format!("{id}.{timestamp}.");
    Ok(Proof::Message { prefix, codes })
}

/// The key in a signing token of the Standard Webhooks: `whsec_` and base64 of at least 16 bytes.
pub(super) fn standard_key(token: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(token.strip_prefix("whsec_")?).ok()?;
    (key.len() >= 16).then_some(key)
}

/// Writes the signing token that [`standard_key`] reads. GitLab takes keys of exactly 32 bytes.
pub(super) fn standard_token(key: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// Writes the `webhook-signature` that [`standard`] reads.
pub(super) fn standard_value(keys: &Keys, id: &str, timestamp: i64, body: &[u8]) -> String {
    let code = keys.sign(&format!("{id}.{timestamp}."), body);
    format!("v1,{}", STANDARD.encode(code))
}

pub(super) const SIGNATURE_256: HeaderName = HeaderName::from_static("x-hub-signature-256");
pub(super) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The value of a signature header. Sent twice it is refused, because it is not clear which one to verify.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Rejection::Unsigned("a signature header was sent twice")),
        (value, _) => Ok(value.map(http::HeaderValue::as_bytes)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Rejection> {
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|_| Rejection::Unsigned("a signature header is no text"));
    one(headers, name)?.map(text).transpose()
}
