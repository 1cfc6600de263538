//! Lists, a page at a time.

use firestore::{FirestoreDocument, FirestoreValue};

use super::codec::{self, ContributionFields, ContributorFields, RecognitionFields, document_id, timestamp};
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, RECOGNITIONS, Shape, name_value};
use super::readable::{Query, readable};
use super::rpc::Client;
use crate::domain::{ContributorId, Recognition};
use crate::store::cursor::{Cursor, List};
use crate::store::{Contributor, Counted, Order, Page, Paged, Shown, StoreError};

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
pub(super) fn time_value(micros: i64) -> Result<FirestoreValue, StoreError> {
    let moment = codec::moment_of(micros).map_err(|_| StoreError::BadCursor)?;
    let in_range = (1..=9998).contains(&chrono::Datelike::year(&moment));
    if !in_range {
        return Err(StoreError::BadCursor);
    }
    timestamp(moment).map(codec::value).map_err(|_| StoreError::BadCursor)
}
