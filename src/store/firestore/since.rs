//! What was recognised since a position, in the order of the server's clock.
//!
//! Two of Firestore's times matter, because clocks of instances differ. `made_at` is the time at which the
//! server began to process the commit that made a recognition (`REQUEST_TIME`); queries can order by it. A
//! document's creation time is when that commit was applied; a read at a time sees exactly what was committed
//! until then. So commits may be applied in another order than that of `made_at`, and each reading begins
//! earlier than the last one ended, by more than a commit can take.

use std::time::Duration;

use firestore::{FirestoreDocument, FirestoreInstant, timestamp_utils};
use serde::{Deserialize, Serialize};

use super::codec::{self, RecognitionFields, document_id};
use super::lists::time_value;
use super::queries::{self, RECOGNITIONS, name_value};
use super::readable::readable_one;
use super::record::refused;
use super::rpc::{Client, Retry};
use crate::domain::RecognitionId;
use crate::store::cursor::{decode, encode};
use crate::store::{News, StoreError};

/// How long to wait between two reads.
pub(super) const POLL_PAUSE: Duration = Duration::from_secs(1);

/// `made_at` of a recognition, in microseconds, and its document's id.
type Place = (i64, String);

/// Up to where recognitions were given. Times are the server's, in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// What was committed until then is given, beside what sorts after `at`.
    seen: i64,
    /// The recognition that a client had last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    /// In the middle of a reading of more than one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    /// The last that was read.
    at: Place,
    /// When the reading began, which becomes `seen` once it ends.
    began: i64,
}

impl Position {
    /// The earliest `made_at` that something new can have, if a commit takes less than `longest_commit`.
    fn since(&self, longest_commit: Duration) -> i64 {
        let longest = i64::try_from(longest_commit.as_micros()).unwrap_or(i64::MAX);
        let oldest = self.at.as_ref().map_or(self.seen, |(made, _)| self.seen.min(*made));
        oldest.saturating_sub(longest).max(0)
    }

    fn is_new(&self, place: &Place, committed: i64) -> bool {
        committed > self.seen || self.at.as_ref().is_some_and(|at| place > at)
    }

    /// When the reading began that a page read at `read_at` belongs to. What is committed later is left to the
    /// next reading, because this one may have passed its place.
    fn began(&self, read_at: i64) -> i64 {
        self.within.as_ref().map_or(read_at, |within| within.began)
    }

    /// The position after a page; `last` is the page's last item if more pages follow.
    fn after_page(&self, last: Option<Place>, read_at: i64) -> Self {
        let began = self.began(read_at);
        match last {
            Some(at) => Self { within: Some(Within { at, began }), ..self.clone() },
            None => Self { seen: self.seen.max(began), at: None, within: None },
        }
    }
}

/// What was made since `position`, oldest first.
pub(super) async fn recognitions_after(
    client: &Client,
    position: Option<&str>,
    limit: usize,
) -> Result<News, StoreError> {
    let mut retry = client.retry();
    let Some(text) = position else {
        let position = encode(&present(client, &mut retry).await?);
        return Ok(News { items: Vec::new(), position, more: false });
    };
    let position: Position = decode(text)?;
    let since = time_value(position.since(client.longest_commit()))?;
    let after = position.within.as_ref().map(|within| cursor(client, &within.at)).transpose()?;
    let limit = limit.max(1);
    let query = queries::RECOGNITIONS_SINCE.query([since], after, Some(limit));
    let found = client.query(query, &mut retry).await?;
    let read_at = read_time(found.read_at)?;
    let mut items = Vec::new();
    let mut last = None;
    for document in &found.documents {
        let (place, committed) = (place(document)?, committed(document)?);
        if position.is_new(&place, committed) && committed <= position.began(read_at) {
            let recognition = |found: &_| codec::read::<RecognitionFields>(found)?.recognition();
            items.extend(readable_one(document, recognition)?);
        }
        last = Some(place);
    }
    let more = found.documents.len() == limit;
    let next = position.after_page(last.filter(|_| more), read_at);
    Ok(News { items, position: encode(&next), more })
}

fn cursor(client: &Client, (made, id): &Place) -> Result<Vec<firestore::FirestoreValue>, StoreError> {
    if !codec::is_document_id(id) {
        return Err(StoreError::BadCursor);
    }
    Ok(vec![time_value(*made)?, name_value(client.documents(), RECOGNITIONS, id)])
}

/// The position at which everything that is committed counts as given.
async fn present(client: &Client, retry: &mut Retry) -> Result<Position, StoreError> {
    let found = client.query(queries::RECOGNITIONS_NEWEST.query([], None, Some(1)), retry).await?;
    Ok(Position { seen: read_time(found.read_at)?, at: None, within: None })
}

/// The position just after a recognition. What was made before it and committed after it is new there.
pub(super) async fn position_of(client: &Client, id: &RecognitionId) -> Result<Option<String>, StoreError> {
    let id = document_id(id.as_str());
    let Some(document) = client.get_one(RECOGNITIONS, id, &mut client.retry()).await? else {
        return Ok(None);
    };
    // One whose `made_at` cannot be read has no place in this order: nothing comes after it.
    let Ok(place) = place(&document) else { return Ok(None) };
    let position = Position { seen: committed(&document)?, at: Some(place), within: None };
    Ok(Some(encode(&position)))
}

fn place(document: &FirestoreDocument) -> Result<Place, StoreError> {
    let made = codec::made_at(document)?;
    Ok((made.timestamp_micros(), codec::id_of(document).to_owned()))
}

/// When the commit that made a document was applied, by the server's clock.
pub(super) fn committed(document: &FirestoreDocument) -> Result<i64, StoreError> {
    let time = document.create_time.ok_or_else(|| StoreError::Broken("a document without a time".into()))?;
    Ok(timestamp_utils::from_timestamp(time).map_err(refused)?.as_microsecond())
}

fn read_time(time: Option<FirestoreInstant>) -> Result<i64, StoreError> {
    let unknown =
        || StoreError::Unavailable("Firestore answered a query without the time of its reading".into());
    time.map(FirestoreInstant::as_microsecond).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(made: i64) -> Place {
        (made, "x".into())
    }

    #[test]
    fn a_reading_of_many_pages_gives_what_was_committed_before_it_began_and_the_next_one_the_rest() {
        let start = Position { seen: 100, at: None, within: None };
        let first = start.after_page(Some(place(20)), 200);
        let second = first.after_page(Some(place(30)), 300);
        assert_eq!((second.seen, second.began(400)), (100, 200));
        let end = second.after_page(None, 400);
        assert_eq!((end.seen, end.within.is_none()), (200, true));
        // Committed while the reading was under way, at a place that it had passed.
        assert!(end.is_new(&place(15), 250));
        assert!(!end.is_new(&place(15), 150));
    }

    #[test]
    fn after_a_recognition_comes_what_sorts_after_it_and_what_was_committed_after_it() {
        let resumed = Position { seen: 100, at: Some(place(90)), within: None };
        assert!(resumed.is_new(&place(95), 99) && resumed.is_new(&place(85), 101));
        assert!(!resumed.is_new(&place(85), 99));
        assert_eq!(resumed.since(Duration::from_micros(30)), 60);
    }
}
