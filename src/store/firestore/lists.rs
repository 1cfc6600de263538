//! Lists, a page at a time.

use firestore::{FirestoreDocument, FirestoreValue};

use super::codec::{self, ContributionFields, ContributorFields, RecognitionFields, document_id, timestamp};
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, RECOGNITIONS, Shape, name_value};
use super::readable::{Query, readable};
use super::rpc::{Client, Sum};
use crate::domain::{ContributorId, Recognition};
use crate::store::cursor::{Cursor, List};
use crate::store::{
    Contributor, ContributorFilter, Counted, Order, Page, Paged, Shown, Sorting, StoreError, Totals,
};

/// Most contributions first, by id, or by login.
pub(super) async fn contributors(
    client: &Client,
    order: Order,
    filter: &ContributorFilter,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let sorting = filter.sorting(order);
    let shape = match (sorting, &filter.host) {
        (Sorting::Tally, None) => &queries::CONTRIBUTORS_BY_TALLY,
        (Sorting::Tally, Some(_)) => &queries::CONTRIBUTORS_ON_HOST_BY_TALLY,
        (Sorting::Login, None) => &queries::CONTRIBUTORS_BY_LOGIN,
        (Sorting::Login, Some(_)) => &queries::CONTRIBUTORS_ON_HOST_BY_LOGIN,
        (Sorting::Id, _) => &queries::CONTRIBUTORS_BY_ID,
    };
    let mut values: Vec<_> = filter.host.iter().map(|host| codec::value(host.as_str())).collect();
    if sorting == Sorting::Login {
        let (from, to) = filter.logins();
        values.extend([codec::value(from), codec::value(to)]);
    }
    let place = |last: Cursor| {
        let name = name_of(client, CONTRIBUTORS, &last);
        Ok::<_, StoreError>(match sorting {
            Sorting::Tally => vec![codec::value(last.at), name],
            Sorting::Id => vec![name],
            Sorting::Login => vec![codec::value(last.login()?), name],
        })
    };
    let after = Cursor::read(page, sorting.into())?.map(place).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<ContributorFields>(document)?.contributor();
    let mark = |one: &Contributor| Cursor::of_contributor(sorting, one);
    list_page(client, shape, values, after, page, item, mark).await
}

/// Two aggregations: Firestore reads index entries, and bills one read for 1,000 of them.
pub(super) async fn totals(client: &Client) -> Result<Totals, StoreError> {
    let mut retry = client.retry();
    // In this order, so that the index of tallies alone is read.
    let of_all = queries::CONTRIBUTORS_BY_TALLY.query([], None, None);
    let Sum { count, sum } = client.sum(of_all, "tally", &mut retry).await?;
    let recognitions = client.count(queries::RECOGNITIONS_NEWEST.query([], None, None), &mut retry).await?;
    Ok(Totals { contributors: count, contributions: sum, recognitions })
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
