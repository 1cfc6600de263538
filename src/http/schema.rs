//! Schemas of strings that take one of a few values.

use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{Object, ObjectBuilder};

/// The schema of a string that is one of `words`.
pub(super) fn words<W: AsRef<str>>(description: &str, words: impl IntoIterator<Item = W>) -> Object {
    let words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let object = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    object.description(Some(description)).enum_values(Some(words)).build()
}
