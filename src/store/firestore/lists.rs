//! Lists, a page at a time, and what was made since a position.

use firestore::{FirestoreDocument, FirestoreInstant, FirestoreValue, timestamp_utils};
use serde::{Deserialize, Serialize};

use super::codec::{self, ContributionFields, ContributorFields, RecognitionFields, document_id, timestamp};
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, RECOGNITIONS, Shape, name_value};
use super::readable::{Query, readable, readable_one};
use super::record::refused;
use super::rpc::{Client, Retry};
use crate::domain::{ContributorId, Recognition, RecognitionId};
use crate::store::cursor::{Cursor, List, decode, encode};
use crate::store::{Contributor, Counted, Order, Page, Paged, Shown, StoreError};

/// How far behind the newest recognition another may still appear, in microseconds: made by an instance
/// whose clock is behind, or whose commit was slow. A call of the store ends well within it.
const LATE: i64 = 20_000_000;

/// Most contributions first, or by id.
pub(super) async fn contributors(
    client: &Client,
    order: Order,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let shape = match order {
        Order::Tally => &queries::CONTRIBUTORS_BY_TALLY,
        Order::Id => &queries::CONTRIBUTORS_BY_ID,
    };
    let after = Cursor::read(page, order.into())?.map(|last| {
        let name = name_of(client, CONTRIBUTORS, &last);
        match order {
            Order::Tally => vec![codec::value(last.at), name],
            Order::Id => vec![name],
        }
    });
    let item = |document: &FirestoreDocument| codec::read::<ContributorFields>(document)?.contributor();
    let mark = |one: &Contributor| Cursor::of_contributor(order, one);
    list_page(client, shape, Vec::new(), after, page, item, mark).await
}

/// A contributor's contributions, newest first.
pub(super) async fn contributions_of(
    client: &Client,
    contributor: &ContributorId,
    shown: Shown,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let mut values = vec![codec::value(contributor.as_str())];
    let shape = match shown {
        Shown::All => &queries::CONTRIBUTIONS_OF,
        Shown::Counted => &queries::COUNTED_CONTRIBUTIONS_OF,
        Shown::Public => &queries::PUBLIC_CONTRIBUTIONS_OF,
    };
    // Every filter beside the contributor leaves out what has the field set.
    values.extend(shape.filters.iter().skip(1).map(|_| codec::value(false)));
    let after = Cursor::read(page, List::Contributions)?;
    let after = after.map(|last| time_and_name(client, CONTRIBUTIONS, &last)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<ContributionFields>(document)?.counted();
    list_page(client, shape, values, after, page, item, Cursor::of_contribution).await
}

/// Recognitions, newest first.
pub(super) async fn recognitions(client: &Client, page: &Page) -> Result<Paged<Recognition>, StoreError> {
    let after = Cursor::read(page, List::Recognitions)?;
    let after = after.map(|last| time_and_name(client, RECOGNITIONS, &last)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<RecognitionFields>(document)?.recognition();
    let mark = Cursor::of_recognition;
    list_page(client, &queries::RECOGNITIONS_NEWEST, Vec::new(), after, page, item, mark).await
}

async fn list_page<T>(
    client: &Client,
    shape: &'static Shape,
    values: Vec<FirestoreValue>,
    after: Option<Vec<FirestoreValue>>,
    page: &Page,
    item: impl Fn(&FirestoreDocument) -> Result<T, StoreError>,
    mark: impl FnOnce(&T) -> String,
) -> Result<Paged<T>, StoreError> {
    let query = Query { shape, values, after };
    let items = readable(client, query, page.limit + 1, item, &mut client.retry()).await?;
    Ok(Paged::cut(items, page.limit, mark))
}

fn name_of(client: &Client, collection: &str, last: &Cursor) -> FirestoreValue {
    name_value(client.documents(), collection, &document_id(&last.id))
}

fn time_and_name(
    client: &Client,
    collection: &str,
    last: &Cursor,
) -> Result<Vec<FirestoreValue>, StoreError> {
    Ok(vec![time_value(last.at)?, name_of(client, collection, last)])
}

/// A time from a cursor or a position, which a client may have made up.
fn time_value(micros: i64) -> Result<FirestoreValue, StoreError> {
    let moment = codec::moment_of(micros).map_err(|_| StoreError::BadCursor)?;
    let in_range = (1..=9998).contains(&chrono::Datelike::year(&moment));
    if !in_range {
        return Err(StoreError::BadCursor);
    }
    timestamp(moment).map(codec::value).map_err(|_| StoreError::BadCursor)
}

/// Up to where recognitions were given.
///
/// New is what sorts after `at`, or was committed after `seen` by the server's clock: one that was made
/// before others but committed late is found by reading again what is younger than [`LATE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// The newest recognition given: its time, and its document's id.
    at: (i64, String),
    /// What was committed until then is given, unless it sorts after `at`. The server's microseconds.
    seen: i64,
    /// In the middle of a reading that takes more than one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    /// The last that was read.
    at: (i64, String),
    /// When the reading began, which becomes `seen` once it ends.
    began: i64,
}

impl Position {
    /// Before everything.
    fn start() -> Self {
        Self { at: (0, String::new()), seen: 0, within: None }
    }

    fn is_new(&self, place: &(i64, String), committed: i64) -> bool {
        committed > self.seen || *place > self.at
    }

    /// The position after a page whose last item is at `last`.
    fn after_page(&self, last: Option<(i64, String)>, read_at: i64, is_full: bool) -> Self {
        let began = self.within.as_ref().map_or(read_at, |within| within.began);
        match last {
            Some(last) if is_full => Self { within: Some(Within { at: last, began }), ..self.clone() },
            last => {
                let before = self.within.as_ref().map(|within| within.at.clone());
                Self {
                    at: last.or(before).into_iter().fold(self.at.clone(), Ord::max),
                    seen: self.seen.max(began),
                    within: None,
                }
            }
        }
    }
}

/// What was made since `position`, oldest first.
pub(super) async fn recognitions_after(
    client: &Client,
    position: Option<&str>,
    limit: usize,
) -> Result<(Vec<Recognition>, String), StoreError> {
    let mut retry = client.retry();
    let Some(text) = position else {
        return Ok((Vec::new(), encode(&present(client, &mut retry).await?)));
    };
    let mut position: Position = decode(text)?;
    loop {
        let (fresh, next) = page_after(client, &position, limit.max(1), &mut retry).await?;
        // If all of a page was given before, the pages after it may still have new ones.
        if !fresh.is_empty() || next.within.is_none() {
            return Ok((fresh, encode(&next)));
        }
        position = next;
    }
}

async fn page_after(
    client: &Client,
    position: &Position,
    limit: usize,
    retry: &mut Retry,
) -> Result<(Vec<Recognition>, Position), StoreError> {
    let since = time_value(position.at.0.saturating_sub(LATE).max(0))?;
    let after = match &position.within {
        None => None,
        Some(Within { at: (micros, id), .. }) => {
            if !codec::is_document_id(id) {
                return Err(StoreError::BadCursor);
            }
            Some(vec![time_value(*micros)?, name_value(client.documents(), RECOGNITIONS, id)])
        }
    };
    let query = queries::RECOGNITIONS_SINCE.query([since], after, Some(limit));
    let found = client.query(query, retry).await?;
    let read_at = found.read_at.map_or(position.seen, FirestoreInstant::as_microsecond);
    let mut fresh = Vec::new();
    let mut last = None;
    for document in &found.documents {
        let Some(fields) = readable_one(document, codec::read::<RecognitionFields>)? else { continue };
        let place = (fields.recognized_at()?.timestamp_micros(), codec::id_of(document).to_owned());
        if position.is_new(&place, committed(document)?) {
            fresh.extend(readable_one(document, |_| fields.recognition())?);
        }
        last = Some(place);
    }
    let next = position.after_page(last, read_at, found.documents.len() == limit);
    Ok((fresh, next))
}

/// The position at which everything that is committed counts as given.
async fn present(client: &Client, retry: &mut Retry) -> Result<Position, StoreError> {
    let found = client.query(queries::RECOGNITIONS_NEWEST.query([], None, Some(1)), retry).await?;
    let mut position = Position::start();
    if let Some(document) = found.documents.first() {
        let newest = codec::read::<RecognitionFields>(document)?.recognized_at()?;
        position.at = (newest.timestamp_micros(), codec::id_of(document).to_owned());
        position.seen = committed(document)?;
    }
    position.seen = found.read_at.map_or(position.seen, |at| at.as_microsecond().max(position.seen));
    Ok(position)
}

/// The position just after a recognition.
pub(super) async fn position_of(client: &Client, id: &RecognitionId) -> Result<Option<String>, StoreError> {
    let id = document_id(id.as_str());
    let Some(document) = client.get_one(RECOGNITIONS, id.clone(), &mut client.retry()).await? else {
        return Ok(None);
    };
    let made = codec::read::<RecognitionFields>(&document)?.recognized_at()?;
    Ok(Some(encode(&Position {
        at: (made.timestamp_micros(), id),
        seen: committed(&document)?,
        within: None,
    })))
}

/// When a document was made, by the server's clock.
fn committed(document: &FirestoreDocument) -> Result<i64, StoreError> {
    let time = document.create_time.ok_or_else(|| StoreError::Broken("a document without a time".into()))?;
    Ok(timestamp_utils::from_timestamp(time).map_err(refused)?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(micros: i64) -> (i64, String) {
        (micros, "x".into())
    }

    #[test]
    fn a_reading_of_many_pages_ends_where_it_began_to_see() {
        let start = Position { at: place(10), seen: 100, within: None };
        let first = start.after_page(Some(place(20)), 200, true);
        let second = first.after_page(Some(place(30)), 300, true);
        assert_eq!((second.at.0, second.seen), (10, 100));
        let end = second.after_page(None, 400, false);
        assert_eq!((end.at.0, end.seen, end.within.is_none()), (30, 200, true));
        // Committed while the reading was under way, at a place that it had passed.
        assert!(end.is_new(&place(15), 250));
        assert!(!end.is_new(&place(15), 150));
    }
}
