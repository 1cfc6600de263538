//! How a payload's JSON is read: borrowed from the body, strict where a value decides something, lenient
//! everywhere else.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::Malformed;

/// A text that is borrowed from the body wherever it has no escapes, inside an `Option` too, where a bare
/// `Cow` would be copied.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// An optional value: one of another type is read as if it were missing.
#[derive(Debug)]
pub(super) struct Lax<T>(Option<T>);

impl<T> Lax<T> {
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Copy> Lax<T> {
    pub(super) fn value(&self) -> Option<T> {
        self.0
    }
}

impl Lax<bool> {
    pub(super) fn is_true(&self) -> bool {
        self.0 == Some(true)
    }
}

impl Lax<Text<'_>> {
    /// The text, unless it is missing or empty.
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<T> Lax<Vec<T>> {
    pub(super) fn items(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// What a [`Lax`] value can be made of: each kind of JSON value that a type does not take is skipped.
pub(super) trait Loose<'de>: Sized {
    fn of_text(_: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn of_number(_: u64) -> Option<Self> {
        None
    }

    fn of_bool(_: bool) -> Option<Self> {
        None
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de: 'a, 'a> Loose<'de> for Text<'a> {
    fn of_text(text: Cow<'de, str>) -> Option<Self> {
        Some(Self(text))
    }
}

/// A number, or a string that holds one.
impl Loose<'_> for u64 {
    fn of_text(text: Cow<'_, str>) -> Option<Self> {
        text.parse().ok()
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl Loose<'_> for bool {
    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

/// A list: elements of another type are left out.
impl<'de, T: Loose<'de>> Loose<'de> for Vec<T> {
    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        elements(list).map(Some)
    }
}

/// The most elements of a list that is kept, which is the most commits of a push that GitHub sends.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>
const MOST_ELEMENTS: usize = 2_048;
/// The error of a longer list.
const TOO_LONG: &str = "a list has more than 2048 elements";

/// The elements of a list, without those of another type. A list that is too long is an error at its first element
/// too many: three bytes of JSON are an element, which takes a hundred times as much memory.
fn elements<'de, T: Loose<'de>, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<T>, A::Error> {
    let mut items = Vec::new();
    let mut left = MOST_ELEMENTS;
    while let Some(Lax(item)) = list.next_element()? {
        left = left.checked_sub(1).ok_or_else(|| A::Error::custom(TOO_LONG))?;
        items.extend(item);
    }
    Ok(items)
}

/// Any JSON object; its content is not read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Anything {}

impl<'de> Loose<'de> for Anything {
    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        object_of(object)
    }
}

/// Reads an object of a type that derives `Deserialize`: for its implementation of [`Loose::of_object`].
pub(super) fn object_of<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    object: A,
) -> Result<Option<T>, A::Error> {
    T::deserialize(MapAccessDeserializer::new(object)).map(Some)
}

/// Lets [`Lax`] make these types of a JSON object, with the fields that they declare.
macro_rules! of_objects {
    ($($type:ident),+) => {
        $(impl<'de: 'a, 'a> $crate::hosts::json::Loose<'de> for $type<'a> {
            fn of_object<A: serde::de::MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
                $crate::hosts::json::object_of(object)
            }
        })+
    };
}
pub(super) use of_objects;

/// Reads a list that decides something: it is one, or null, or missing; elements of another type are left out.
pub(super) fn list<'de, T: Loose<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::<List<T>>::deserialize(from).map(|list| list.map_or_else(Vec::new, |List(items)| items))
}

struct List<T>(Vec<T>);

impl<'de, T: Loose<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ListReader(std::marker::PhantomData))
    }
}

struct ListReader<T>(std::marker::PhantomData<T>);

impl<'de, T: Loose<'de>> Visitor<'de> for ListReader<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<List<T>, A::Error> {
        elements(list).map(List)
    }
}

impl<'de, T: Loose<'de>> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // As an option: then serde takes a field that is missing for one that is null.
        from.deserialize_option(Reader(std::marker::PhantomData))
    }
}

struct Reader<T>(std::marker::PhantomData<T>);

impl<'de, T: Loose<'de>> Visitor<'de> for Reader<T> {
    type Value = Lax<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_none<E: Error>(self) -> Result<Lax<T>, E> {
        Ok(Lax(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Lax<T>, E> {
        Ok(Lax(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Lax<T>, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_text(Cow::Owned(text.to_owned()))))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_number(number)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Lax<T>, E> {
        Ok(Lax(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Lax<T>, E> {
        Ok(Lax(None))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_bool(value)))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Lax<T>, A::Error> {
        T::of_object(object).map(Lax)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Lax<T>, A::Error> {
        T::of_list(list).map(Lax)
    }
}

/// Reads a payload. A key that is read and occurs twice is an error, because another reader of the same
/// payload could use the other value. Keys that are not read are not checked.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Malformed> {
    if json.as_bytes().trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("the payload is no JSON object".into()));
    }
    serde_json::from_str(json).map_err(|error| Malformed(fault(&error)))
}

/// What is wrong, without any text of the payload.
fn fault(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    // These two name fields of ours alone.
    let field = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|kind| Some((kind, text.strip_prefix(kind)?.split('`').next()?)));
    match (error.classify(), field) {
        (_, Some((kind, name))) => format!("{kind}{name}` at {place}"),
        (Category::Data, None) if text.starts_with(TOO_LONG) => format!("{TOO_LONG} at {place}"),
        (Category::Data, None) => format!("a value is not of the documented type at {place}"),
        _ => format!("the payload is no JSON at {place}"),
    }
}

/// The body's text without what a JSON parser rejects although it changes no meaning: a byte order mark before
/// it, bytes that are not UTF-8, and halves of surrogate pairs, each of which becomes U+FFFD. A body without any is
/// not copied.
pub(super) fn repaired(body: Vec<u8>) -> String {
    let mut json = text(body);
    if json.starts_with('\u{feff}') {
        json.drain(..'\u{feff}'.len_utf8());
    }
    // Compares many bytes at once, like the check for UTF-8: every byte of every delivery passes through both.
    let is_surrogate = |at: usize| matches!(json.as_bytes().get(at + 2), Some(b'd' | b'D'));
    let suspect = memchr::memmem::find_iter(json.as_bytes(), br"\u").any(is_surrogate);
    if suspect { text(without_lone_surrogates(json.as_bytes())) } else { json }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn without_lone_surrogates(json: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, escape) = rest.split_at(at);
        whole.extend_from_slice(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.extend_from_slice(br"\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (Some(_), _) => 6,
            // Another escape: its second byte can be a backslash, which does not begin the next escape.
            (None, _) => 2,
        };
        let (kept, after) = escape.split_at(length.min(escape.len()));
        whole.extend_from_slice(kept);
        rest = after;
    }
    whole.extend_from_slice(rest);
    whole
}

/// The UTF-16 code unit that an escape at the beginning of `json` encodes.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(br"\u")?.get(..4)?;
    let mut bytes = [0; 2];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample<'a> {
        #[serde(borrow)]
        title: Lax<Text<'a>>,
        count: Lax<u64>,
        sure: Lax<bool>,
        #[serde(borrow)]
        names: Lax<Vec<Text<'a>>>,
        any: Lax<Anything>,
    }

    #[test]
    fn an_optional_text_is_borrowed_unless_it_has_escapes() {
        let plain: Sample<'_> = parse(r#"{"title": "a lamp"}"#).unwrap();
        assert!(matches!(plain.title.get(), Some(Text(Cow::Borrowed("a lamp")))));
        let escaped: Sample<'_> = parse(r#"{"title": "a\nlamp"}"#).unwrap();
        assert!(matches!(escaped.title.get(), Some(Text(Cow::Owned(_)))));
    }

    #[test]
    fn a_value_of_another_type_is_as_if_it_were_missing() {
        let right: Sample<'_> = parse(
            r#"{"title": "a", "count": "7", "sure": true, "names": ["b", 1, null, "c"], "any": {"x": [1]}}"#,
        )
        .unwrap();
        assert_eq!(
            (right.title.text(), right.count.value(), right.sure.is_true()),
            (Some("a"), Some(7), true)
        );
        assert_eq!(right.names.items().iter().map(|name| &**name).collect::<Vec<_>>(), ["b", "c"]);
        assert!(right.any.get().is_some());
        for wrong in ["null", "-1", "1.5", "[[{}]]", "{\"a\": [{}]}", "1e300", "\"x\"", "true", "[]"] {
            let json = format!(r#"{{"title": {wrong}, "count": {wrong}, "names": {wrong}, "any": {wrong}}}"#);
            let read: Sample<'_> = parse(&json).unwrap();
            assert_eq!(read.title.text().is_some(), wrong == "\"x\"", "{wrong}");
            assert_eq!(
                (read.count.value(), read.names.items().len(), read.sure.value()),
                (None, 0, None),
                "{wrong}"
            );
        }
        let nothing: Sample<'_> = parse("{}").unwrap();
        assert!(nothing.title.get().is_none() && nothing.any.get().is_none());
    }

    #[test]
    fn only_what_stops_a_parser_is_repaired() {
        for (body, right) in [
            (&b"{}"[..], "{}"),
            (b"\xef\xbb\xbf{}", "{}"),
            (b"\"caf\xe9\"", "\"caf\u{fffd}\""),
            (br#""\ud83d""#, r#""\ufffd""#),
            (br#""\uDC00\ud83d\ud83d\ude00\u00e9\ud83dx""#, r#""\ufffd\ufffd\ud83d\ude00\u00e9\ufffdx""#),
            (br#""\\ud83d""#, r#""\\ud83d""#),
            (br#""\ud8"#, r#""\ud8"#),
            (br"\ud83d\", r"\ufffd\"),
        ] {
            assert_eq!(repaired(body.to_vec()), right);
        }
    }
}
