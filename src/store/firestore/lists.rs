//! Lists, a page at a time.

use firestore::{FirestoreDocument, FirestoreQueryParams, FirestoreValue};

use super::accounts;
use super::codec::{self, ContributionFields, ContributorFields, RecognitionFields, document_id, timestamp};
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, RECOGNITIONS, Shape, name_value};
use super::readable::{Query, readable};
use super::rpc::{Client, Sum};
use crate::domain::{ContributorId, Moment, Recognition};
use crate::store::cursor::{Cursor, List};
use crate::store::{
    ContributionFilter, Contributor, ContributorFilter, Counted, Of, Order, Page, Paged, RecognitionFilter,
    Shown, Sorting, StoreError, Totals,
};

/// One contributor, by its own id or that of an account that counts for it, which has no document.
pub(super) async fn contributor(
    client: &Client,
    id: &ContributorId,
) -> Result<Option<Contributor>, StoreError> {
    let mut retry = client.retry();
    let mut found = client.get_one(CONTRIBUTORS, document_id(id.as_str()), &mut retry).await?;
    if found.is_none() {
        let contributor = accounts::contributor_of(client, id, &mut retry).await?;
        if contributor != *id {
            found = client.get_one(CONTRIBUTORS, document_id(contributor.as_str()), &mut retry).await?;
        }
    }
    found.map(|document| codec::read::<ContributorFields>(&document)?.contributor()).transpose()
}

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

/// A contributor's or a repository's contributions, newest first.
pub(super) async fn contributions(
    client: &Client,
    filter: &ContributionFilter,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let shape = match (&filter.of, &filter.kind) {
        (Of::Contributor(_), None) => &queries::CONTRIBUTIONS_OF,
        (Of::Contributor(_), Some(_)) => &queries::CONTRIBUTIONS_OF_BY_KIND,
        (Of::Repository(_), None) => &queries::CONTRIBUTIONS_IN,
        (Of::Repository(_), Some(_)) => &queries::CONTRIBUTIONS_IN_BY_KIND,
    };
    let of = match &filter.of {
        Of::Contributor(id) => {
            accounts::contributor_of(client, id, &mut client.retry()).await?.as_str().to_owned()
        }
        Of::Repository(repository) => repository.clone(),
    };
    let mut values = contributions_of(&of, filter.shown, filter.since, filter.until)?;
    values.extend(filter.kind.as_ref().map(|kind| codec::value(kind.as_str())));
    let after = Cursor::read(page, List::Contributions)?;
    let after = after.map(|last| time_and_name(client, CONTRIBUTIONS, &last)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<ContributionFields>(document)?.counted();
    list_page(client, shape, values, after, page, item, Cursor::of_contribution).await
}

/// The values of [`queries::CONTRIBUTIONS_OF`].
pub(super) fn contributions_of(
    of: &str,
    shown: Shown,
    since: Option<Moment>,
    until: Option<Moment>,
) -> Result<Vec<FirestoreValue>, StoreError> {
    let (private, retracted): (&[bool], &[bool]) = match shown {
        Shown::Public => (&[false], &[false]),
        Shown::Counted => (&[false, true], &[false]),
        Shown::All => (&[false, true], &[false, true]),
    };
    Ok(vec![
        codec::value(of),
        codec::value(private),
        codec::value(retracted),
        since_value(since)?,
        moment_value(until, END)?,
    ])
}

/// Recognitions, newest first.
pub(super) async fn recognitions(
    client: &Client,
    filter: &RecognitionFilter,
    page: &Page,
) -> Result<Paged<Recognition>, StoreError> {
    let after = Cursor::read(page, List::Recognitions)?;
    let after = after.map(|last| time_and_name(client, RECOGNITIONS, &last)).transpose()?;
    let item = |document: &FirestoreDocument| codec::read::<RecognitionFields>(document)?.recognition();
    let shape = match &filter.contributor {
        None => &queries::RECOGNITIONS_FROM,
        Some(_) => &queries::RECOGNITIONS_OF,
    };
    let mut values = Vec::new();
    if let Some(id) = &filter.contributor {
        let contributor = accounts::contributor_of(client, id, &mut client.retry()).await?;
        values.push(codec::value(contributor.as_str()));
    }
    values.push(since_value(filter.since)?);
    list_page(client, shape, values, after, page, item, Cursor::of_recognition).await
}

/// All recognitions of a contributor, or the newest of them.
pub(super) fn recognitions_of(
    contributor: &ContributorId,
    limit: Option<usize>,
) -> Result<FirestoreQueryParams, StoreError> {
    let values = [codec::value(contributor.as_str()), since_value(None)?];
    Ok(queries::RECOGNITIONS_OF.query(values, None, limit))
}

/// Before every time that a store keeps, and after it: the beginnings of the years 1 and 9999.
const BEGINNING: i64 = -62_135_596_800_000_000;
const END: i64 = 253_370_764_800_000_000;

fn since_value(since: Option<Moment>) -> Result<FirestoreValue, StoreError> {
    moment_value(since, BEGINNING)
}

fn moment_value(moment: Option<Moment>, without: i64) -> Result<FirestoreValue, StoreError> {
    let moment = moment.map_or_else(|| codec::moment_of(without), Ok)?;
    Ok(codec::value(timestamp(moment)?))
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
