//! Lists, a page at a time, and what was made since a position.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::connection::Sqlite;
use super::queries::{self, Key};
use super::rows::{
    RECOGNITION, RECOGNITIONS, contributor, counted, kind_value, next_readable, progress, readable,
    recognition, unsigned,
};
use crate::domain::{ContributorId, Moment, Recognition, RecognitionId};
use crate::store::cursor::{self, Cursor, List};
use crate::store::{
    ContributionFilter, Contributor, ContributorFilter, Counted, News, Of, Order, Page, Paged, Progress,
    RecognitionFilter, Sorting, StoreError, Totals,
};

pub(super) async fn contributors(
    sqlite: &Sqlite,
    order: Order,
    filter: &ContributorFilter,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let (limit, count, sorting) = (limit(page), page.limit, filter.sorting(order));
    let after = Cursor::read(page, sorting.into())?;
    let mut values: Vec<Value> = match sorting {
        Sorting::Tally => {
            let (tally, id) = after.map_or((i64::MAX, String::new()), |after| (after.at, after.id));
            if filter.host.is_none() {
                return leaderboard(sqlite, tally, id, page).await;
            }
            vec![tally.into(), id.into()]
        }
        Sorting::Id => vec![after.map_or_else(String::new, |after| after.id).into()],
        Sorting::Login => {
            let (from, to) = filter.logins();
            let (login, id) = match after {
                Some(after) => (after.login()?, after.id),
                None => (from, String::new()),
            };
            vec![login.into(), id.into(), to.into()]
        }
    };
    values.extend(filter.host.as_ref().map(|host| Value::from(host.to_string())));
    let sql = queries::contributors(sorting, filter.host.is_some());
    sqlite
        .read_page(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let items = readable(statement.query(params_from_iter(values))?, "id", limit, contributor)?;
            let mark = |c: &Contributor| Cursor::of_contributor(sorting, c);
            Ok(Paged::cut(items, count, mark))
        })
        .await
}

/// The contributors of all hosts after this tally and id.
async fn leaderboard(
    sqlite: &Sqlite,
    tally: i64,
    id: String,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let (limit, count) = (limit(page), page.limit);
    sqlite
        .read_page(move |connection| {
            let items = first_of_all_hosts(connection, tally, &id, limit)?;
            Ok(Paged::cut(items, count, |c| Cursor::of_contributor(Sorting::Tally, c)))
        })
        .await
}

/// The greater one is the first of two.
fn rank(c: &Contributor) -> (u64, &ContributorId) {
    (c.standing.tally, &c.standing.contributor)
}

/// Each host's contributors are in the order of an index, and are read as long as they belong among the first: so a
/// tally moves one index and not two, and a page costs a seek for each host.
fn first_of_all_hosts(
    connection: &Connection,
    tally: i64,
    id: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Contributor>> {
    // Until this query has ended, each within the loop reads the same snapshot: so no transaction is begun.
    let mut hosts = connection.prepare_cached(queries::HOSTS)?;
    let mut hosts = hosts.query([])?;
    let mut of_host = connection.prepare_cached(&queries::contributors(Sorting::Tally, true))?;
    let mut first: Vec<Contributor> = Vec::new();
    while let Some(host) = hosts.next()? {
        let mut rows = of_host.query(params![tally, id, host.get::<_, String>("host")?])?;
        while let Some(next) = next_readable(&mut rows, "id", contributor)? {
            let place = first.partition_point(|before| rank(before) > rank(&next));
            if place == limit {
                break;
            }
            first.insert(place, next);
            first.truncate(limit);
        }
    }
    Ok(first)
}

pub(super) async fn totals(sqlite: &Sqlite) -> Result<Totals, StoreError> {
    sqlite
        .read_long(|connection| {
            connection.query_row(queries::TOTALS, [], |row| {
                Ok(Totals {
                    contributors: unsigned(row.get("contributors")?),
                    contributions: unsigned(row.get("contributions")?),
                    recognitions: unsigned(row.get("recognitions")?),
                })
            })
        })
        .await
}

pub(super) async fn contributions(
    sqlite: &Sqlite,
    filter: &ContributionFilter,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let (limit, count) = (limit(page), page.limit);
    let after = Cursor::read(page, List::Contributions)?;
    let (key, of) = match &filter.of {
        Of::Contributor(contributor) => (Key::Contributor, contributor.to_string()),
        Of::Repository(repository) => (Key::Repository, repository.clone()),
    };
    let (since, until) = (micros(filter.since, i64::MIN), micros(filter.until, i64::MAX));
    let kind = filter.kind.as_ref().map(kind_value);
    let sql = queries::contributions(key, kind.is_some(), filter.shown);
    let found = sqlite
        .read_page(move |connection| {
            // The time is compared as well: who has not seen the item does not find out that it exists. What everybody
            // sees may count for another contributor since it was shown.
            let Some(after) = place(after.as_ref(), |last| {
                let same_list = key.condition("?3");
                let sql = format!(
                    "SELECT c.seq FROM contributions c WHERE c.id = ?1 AND c.recorded_at = ?2
                         AND ({same_list} OR c.private = 0 AND c.retracted = 0)"
                );
                connection
                    .prepare_cached(&sql)?
                    .query_row(params![last.id, last.at, of], |row| row.get("seq"))
            })?
            else {
                return Ok(None);
            };
            let Place { at, seq } = after.min(Place { at: until, seq: i64::MIN });
            let mut values: Vec<Value> = vec![of.into(), at.into(), seq.into(), since.into()];
            values.extend(kind);
            let mut statement = connection.prepare_cached(&sql)?;
            let items = readable(statement.query(params_from_iter(values))?, "id", limit, counted)?;
            Ok(Some(Paged::cut(items, count, Cursor::of_contribution)))
        })
        .await?;
    found.ok_or(StoreError::BadCursor)
}

pub(super) async fn recognition_and_progress(
    sqlite: &Sqlite,
    id: &RecognitionId,
) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
    let id = id.to_string();
    sqlite
        .read(move |connection| {
            let sql = format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.id = ?1");
            let found = connection.prepare_cached(&sql)?.query_row([&id], recognition).optional()?;
            let Some(found) = found else {
                return Ok(None);
            };
            let sql =
                "SELECT destination, state, reason FROM outbox WHERE recognition = ?1 ORDER BY destination";
            let mut statement = connection.prepare_cached(sql)?;
            let became = statement.query_map([&id], progress)?.collect::<rusqlite::Result<_>>()?;
            Ok(Some((found, became)))
        })
        .await
}

pub(super) async fn recognitions(
    sqlite: &Sqlite,
    filter: &RecognitionFilter,
    page: &Page,
) -> Result<Paged<Recognition>, StoreError> {
    let (limit, count) = (limit(page), page.limit);
    let after = Cursor::read(page, List::Recognitions)?;
    let since = micros(filter.since, i64::MIN);
    let contributor = filter.contributor.as_ref().map(ToString::to_string);
    let found = sqlite
        .read_page(move |connection| {
            let Some(Place { at, seq }) = place(after.as_ref(), |last| {
                let sql = "SELECT seq FROM recognitions WHERE id = ?1 AND recognized_at = ?2";
                connection.prepare_cached(sql)?.query_row(params![last.id, last.at], |row| row.get("seq"))
            })?
            else {
                return Ok(None);
            };
            let mut statement = connection.prepare_cached(&queries::recognitions(contributor.is_some()))?;
            let mut values: Vec<Value> = vec![at.into(), seq.into(), since.into()];
            values.extend(contributor.map(Value::from));
            let items = readable(statement.query(params_from_iter(values))?, "r_id", limit, recognition)?;
            Ok(Some(Paged::cut(items, count, Cursor::of_recognition)))
        })
        .await?;
    found.ok_or(StoreError::BadCursor)
}

pub(super) async fn recognitions_after(
    sqlite: &Sqlite,
    position: Option<&str>,
    limit: usize,
) -> Result<News, StoreError> {
    let after: Option<i64> = position.map(cursor::decode).transpose()?;
    sqlite
        .read_page(move |connection| {
            let newest = || {
                let sql = "SELECT max(coalesce((SELECT max(seq) FROM recognitions), 0),
                     coalesce((SELECT last FROM sequences WHERE name = 'recognitions'), 0)) AS newest";
                connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>("newest"))
            };
            let Some(after) = after else {
                let position = cursor::encode(&newest()?);
                return Ok(Some(News { items: Vec::new(), position, more: false }));
            };
            let sql = format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq > ?1 ORDER BY r.seq");
            let rows = recognitions_with_seq(connection, &sql, after, limit)?;
            if rows.is_empty() && after > newest()? {
                return Ok(None);
            }
            let position = cursor::encode(&rows.last().map_or(after, |row| row.seq));
            let more = rows.len() == limit;
            Ok(Some(News { items: rows.into_iter().map(|row| row.item).collect(), position, more }))
        })
        .await?
        // A file that was restored from an older copy did not give this position.
        .ok_or(StoreError::BadCursor)
}

pub(super) async fn position_of(sqlite: &Sqlite, id: &RecognitionId) -> Result<Option<String>, StoreError> {
    let id = id.to_string();
    sqlite
        .read(move |connection| {
            let sql = "SELECT seq FROM recognitions WHERE id = ?1";
            let seq: Option<i64> =
                connection.prepare_cached(sql)?.query_row([id], |row| row.get("seq")).optional()?;
            Ok(seq.as_ref().map(cursor::encode))
        })
        .await
}

/// An item, and its sequence number, which is the position of the event stream.
struct Sequenced<T> {
    seq: i64,
    item: T,
}

fn recognitions_with_seq(
    connection: &Connection,
    sql: &str,
    seq: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Sequenced<Recognition>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let item = |row: &Row<'_>| Ok(Sequenced { seq: row.get("r_seq")?, item: recognition(row)? });
    readable(statement.query([seq])?, "r_id", limit, item)
}

/// One more than asked for: if it exists, there is a next page.
fn limit(page: &Page) -> usize {
    page.limit + 1
}

/// Where a page begins: before the item of this time and sequence number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    seq: i64,
}

/// The place of the item that a cursor names, by its sequence number; `None` where there is no such item. Without a
/// cursor, the end.
fn place(
    after: Option<&Cursor>,
    seq: impl FnOnce(&Cursor) -> rusqlite::Result<i64>,
) -> rusqlite::Result<Option<Place>> {
    let Some(last) = after else { return Ok(Some(Place { at: i64::MAX, seq: i64::MAX })) };
    let seq = seq(last).optional()?;
    Ok(seq.map(|seq| Place { at: last.at, seq }))
}

fn micros(moment: Option<Moment>, without: i64) -> i64 {
    moment.map_or(without, |moment| moment.timestamp_micros())
}
