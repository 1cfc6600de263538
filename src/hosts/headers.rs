//! What the headers beside the signature say: the body's form, the event's name and the delivery's id.

use http::{HeaderMap, HeaderValue, header};

use super::Rejection;
use super::origin::cut;

/// How much of a header that is not signed is kept, in bytes.
const LONGEST_LABEL: usize = 100;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Urlencoded,
}

/// The form of the body, by its headers, if it is one of `known`; `otherwise` is the error for any other
/// content type.
pub(super) fn form(headers: &HeaderMap, known: &[Form], otherwise: &'static str) -> Result<Form, Rejection> {
    // `identity` is no encoding at all: RFC 9110, 8.4.1.
    let encoded = |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().any(encoded) {
        return Err(Rejection::Unsupported("a body with a content encoding"));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let form = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().ok().and_then(form_of),
        _ => None,
    };
    form.filter(|form| known.contains(form)).ok_or(Rejection::Unsupported(otherwise))
}

fn form_of(content_type: &str) -> Option<Form> {
    let content_type = content_type.to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let form = match parts.next() {
        Some("application/json") => Form::Json,
        Some("application/x-www-form-urlencoded") => Form::Urlencoded,
        _ => return None,
    };
    let utf8 = |part: &str| match part.split_once('=') {
        Some(("charset", set)) => matches!(set.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    };
    parts.all(utf8).then_some(form)
}

/// A header that only labels the delivery. It is not signed, so it is cut to a length that fits a log line.
pub(super) fn label(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    let text = String::from_utf8_lossy(value);
    let text = text.trim().replace(char::is_control, "\u{fffd}");
    (!text.is_empty()).then(|| cut(&text, LONGEST_LABEL).to_owned())
}

/// The delivery's id, in the first of these headers that is there.
pub(super) fn id(headers: &HeaderMap, names: &[&str]) -> String {
    names.iter().find_map(|name| label(headers, name)).unwrap_or_else(|| "unknown".into())
}

/// A header of a request that was not verified, as far as it is visible ASCII: for the log, where a line break or a
/// character that changes the direction of text could make one line look like another.
pub(super) fn claimed(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes().trim_ascii();
    let visible = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '\u{fffd}' };
    (!value.is_empty()).then(|| value.iter().take(LONGEST_LABEL).map(visible).collect())
}

/// The event's name, without which the body cannot be read.
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
