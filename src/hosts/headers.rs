//! What the headers beside the signature say: how the body is written, and how the delivery is called.

use http::{HeaderMap, HeaderValue, header};

use super::Rejection;
use super::payload::cut;

/// How much of a header that is not signed is kept, in bytes.
const LONGEST_LABEL: usize = 100;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Urlencoded,
}

/// How the body is written, by its headers; nothing that hosts do not send is let through.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Rejection> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(Rejection::Unsupported("a body with a content encoding"));
    }
    let unsupported = Rejection::Unsupported("the content type has to be application/json");
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return Err(unsupported);
    };
    let value = value.to_str().map_err(|_| unsupported)?.to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let form = match parts.next() {
        Some("application/json") => Form::Json,
        Some("application/x-www-form-urlencoded") => Form::Urlencoded,
        _ => return Err(unsupported),
    };
    let utf8 = |part: &str| match part.split_once('=') {
        Some(("charset", set)) => matches!(set.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    };
    if parts.all(utf8) {
        Ok(form)
    } else {
        Err(unsupported)
    }
}

/// A header that only labels the delivery: never trusted, so cut to a length that fits every log.
pub(super) fn label(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    let text = String::from_utf8_lossy(value);
    let text = cut(text.trim(), LONGEST_LABEL);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The event's name: without it, nobody can say what the body is.
pub(super) fn event(
    headers: &HeaderMap,
    name: &'static str,
    missing: &'static str,
) -> Result<String, Rejection> {
    if headers.get_all(name).iter().nth(1).is_some() {
        return Err(Rejection::Malformed("the event header was sent twice"));
    }
    label(headers, name).ok_or(Rejection::Malformed(missing))
}
