//! Lists, a page at a time.

use firestore::{FirestoreDocument, FirestoreValue};
use serde::{Deserialize, Serialize};

use super::codec::{self, ContributionFields, ContributorFields, RecognitionFields, document_id, timestamp};
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, RECOGNITIONS, Shape, name_value};
use super::rpc::Client;
use crate::domain::{ContributorId, Recognition};
use crate::store::cursor::{decode, encode};
use crate::store::{Contributor, Counted, Order, Page, Paged, Shown, StoreError};

/// Most contributions first, or by id.
pub(super) async fn contributors(
    client: &Client,
    order: Order,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let (list, shape) = match order {
        Order::Tally => (List::ContributorsByTally, &queries::CONTRIBUTORS_BY_TALLY),
        Order::Id => (List::ContributorsById, &queries::CONTRIBUTORS_BY_ID),
    };
    let cursor = Cursor::read(page, list)?;
    let after = cursor.map(|cursor| {
        let name = name_value(client.documents(), CONTRIBUTORS, &cursor.id);
        match order {
            Order::Tally => vec![codec::value(cursor.at), name],
            Order::Id => vec![name],
        }
    });
    let item = |document: &FirestoreDocument| codec::read::<ContributorFields>(document)?.contributor();
    let at = |contributor: &Contributor| contributor.standing.tally.cast_signed();
    let id = |contributor: &Contributor| contributor.standing.contributor.as_str().to_owned();
    list_page(client, shape, Vec::new(), after, page, item, |one| list.cursor(at(one), &id(one))).await
}

/// A contributor's contributions, newest first.
pub(super) async fn contributions_of(
    client: &Client,
    contributor: &ContributorId,
    shown: Shown,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let list = List::Contributions;
    let mut values = vec![codec::value(contributor.as_str())];
    let shape = match shown {
        Shown::All => &queries::CONTRIBUTIONS_OF,
        Shown::Counted => &queries::COUNTED_CONTRIBUTIONS_OF,
        Shown::Public => &queries::PUBLIC_CONTRIBUTIONS_OF,
    };
    // Every filter beside the contributor leaves out what has the field set.
    values.extend(shape.filters.iter().skip(1).map(|_| codec::value(false)));
    let after =
        Cursor::read(page, list)?.map(|cursor| cursor.time_and_name(client, CONTRIBUTIONS)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<ContributionFields>(document)?.counted();
    let mark = |one: &Counted| list.cursor(one.recorded_at.timestamp_micros(), one.contribution.id.as_str());
    list_page(client, shape, values, after, page, item, mark).await
}

/// Recognitions, newest first.
pub(super) async fn recognitions(client: &Client, page: &Page) -> Result<Paged<Recognition>, StoreError> {
    let list = List::Recognitions;
    let after =
        Cursor::read(page, list)?.map(|cursor| cursor.time_and_name(client, RECOGNITIONS)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<RecognitionFields>(document)?.recognition();
    let mark = |one: &Recognition| list.cursor(one.recognized_at.timestamp_micros(), one.id.as_str());
    list_page(client, &queries::RECOGNITIONS_NEWEST, Vec::new(), after, page, item, mark).await
}

async fn list_page<T>(
    client: &Client,
    shape: &Shape,
    values: Vec<FirestoreValue>,
    after: Option<Vec<FirestoreValue>>,
    page: &Page,
    item: impl Fn(&FirestoreDocument) -> Result<T, StoreError>,
    mark: impl FnOnce(&T) -> String,
) -> Result<Paged<T>, StoreError> {
    let query = shape.query(values, after, Some(page.limit + 1));
    let found = client.query(query, &mut client.retry()).await?;
    let items: Vec<_> = found.documents.iter().map(item).collect::<Result<_, _>>()?;
    Ok(Paged::cut(items, page.limit, mark))
}

/// Which list a cursor is of: one of another list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum List {
    ContributorsByTally,
    ContributorsById,
    Contributions,
    Recognitions,
}

impl List {
    fn cursor(self, at: i64, identity: &str) -> String {
        let id = document_id(identity);
        encode(&Cursor { list: self, at, id })
    }
}

/// The place after an item of a list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    list: List,
    /// A tally, or microseconds since 1970.
    at: i64,
    /// The document's id.
    id: String,
}

impl Cursor {
    fn read(page: &Page, list: List) -> Result<Option<Self>, StoreError> {
        let Some(text) = &page.after else {
            return Ok(None);
        };
        let cursor: Self = decode(text)?;
        let sound = cursor.list == list && codec::is_document_id(&cursor.id);
        if sound { Ok(Some(cursor)) } else { Err(StoreError::BadCursor) }
    }

    fn time_and_name(&self, client: &Client, collection: &str) -> Result<Vec<FirestoreValue>, StoreError> {
        let time = time_value(self.at)?;
        Ok(vec![time, name_value(client.documents(), collection, &self.id)])
    }
}

/// A time from a cursor or a position, which a client may have made up.
pub(super) fn time_value(micros: i64) -> Result<FirestoreValue, StoreError> {
    let moment = codec::moment_of(micros).map_err(|_| StoreError::BadCursor)?;
    let in_range = (1..=9998).contains(&chrono::Datelike::year(&moment));
    if !in_range {
        return Err(StoreError::BadCursor);
    }
    timestamp(moment).map(codec::value).map_err(|_| StoreError::BadCursor)
}
