//! Reads what a query finds, without the documents that this version cannot read.

use firestore::gcloud_sdk::google::firestore::v1::Value;
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::{FirestoreDocument, FirestoreValue};

use super::codec;
use super::queries::{NAME, Shape};
use super::rpc::{Client, Retry};
use crate::store::{StoreError, unreadable};

/// A query with its values, and where it begins.
pub(super) struct Query {
    pub(super) shape: &'static Shape,
    pub(super) values: Vec<FirestoreValue>,
    pub(super) after: Option<Vec<FirestoreValue>>,
}

/// The first `limit` documents that this version can read, as items. Every other one is skipped, and logged once. Its
/// place is filled from the next page, so that no number of them hides what comes after. The order of the query ends
/// in the document's name.
pub(super) async fn readable<T>(
    client: &Client,
    query: Query,
    limit: usize,
    item: impl Fn(&FirestoreDocument) -> Result<T, StoreError>,
    retry: &mut Retry,
) -> Result<Vec<T>, StoreError> {
    let Query { shape, values, mut after } = query;
    let mut items = Vec::new();
    while items.len() < limit {
        let wanted = limit - items.len();
        let page = shape.query(values.iter().cloned(), after.take(), Some(wanted));
        let found = client.query(page, retry).await?.documents;
        for document in &found {
            items.extend(readable_one(document, &item)?);
        }
        match found.last() {
            Some(last) if found.len() == wanted => after = Some(place_of(last, shape)),
            _ => break,
        }
    }
    Ok(items)
}

/// The document as an item; where this version cannot read it, `None`, and a line in the log. A ledger of plaudit 0.1
/// is an error: nothing in it can be read.
pub(super) fn readable_one<T>(
    document: &FirestoreDocument,
    item: impl FnOnce(&FirestoreDocument) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    match item(document) {
        Ok(item) => Ok(Some(item)),
        Err(error) if codec::is_of_0_1(document) => Err(error),
        Err(error) => {
            unreadable::skip(codec::id_of(document), &error);
            Ok(None)
        }
    }
}

/// The cursor just after a document: the values by which the query orders.
pub(super) fn place_of(document: &FirestoreDocument, shape: &Shape) -> Vec<FirestoreValue> {
    let value = |(field, _): &(&str, _)| match *field {
        NAME => Value { value_type: Some(ValueType::ReferenceValue(document.name.clone())) },
        field => document.fields.get(field).cloned().unwrap_or_default(),
    };
    shape.order.iter().map(|ordered| FirestoreValue::from(value(ordered))).collect()
}
