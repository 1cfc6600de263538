//! Schemas of strings that take one of a few values.

use serde_json::Value;
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{Object, ObjectBuilder};

/// The schema of a string that is one of `words`.
pub(super) fn words<W: AsRef<str>>(description: &str, words: impl IntoIterator<Item = W>) -> Object {
    let words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let object = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    object.description(Some(description)).enum_values(Some(words)).build()
}

/// The schema of a string that is one of `words`, or null.
pub(super) fn words_or_null(description: &str, words: impl IntoIterator<Item = &'static str>) -> Object {
    let words: Vec<Value> = words.into_iter().map(Value::from).chain([Value::Null]).collect();
    let object = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    object.description(Some(description)).enum_values(Some(words)).build()
}
