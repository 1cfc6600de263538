//! Lists, a page at a time, and what was made since a position.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};

use super::connection::Sqlite;
use super::queries;
use super::rows::{
    RECOGNITION, RECOGNITIONS, contributor, counted, progress, readable, recognition, unsigned,
};
use crate::domain::{ContributorId, Recognition, RecognitionId};
use crate::store::cursor::{self, Cursor, List};
use crate::store::{
    Contributor, ContributorFilter, Counted, News, Order, Page, Paged, Progress, Shown, Sorting, StoreError,
    Totals,
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

pub(super) async fn totals(sqlite: &Sqlite) -> Result<Totals, StoreError> {
    sqlite
        .read_page(|connection| {
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

pub(super) async fn contributions_of(
    sqlite: &Sqlite,
    contributor: &ContributorId,
    shown: Shown,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let (contributor, limit, count) = (contributor.to_string(), limit(page), page.limit);
    let after = Cursor::read(page, List::Contributions)?;
    let found = sqlite
        .read_page(move |connection| {
            // The time is compared as well: who has not seen the item does not find out that it exists.
            let sql = "SELECT seq FROM contributions WHERE id = ?1 AND recorded_at = ?2 AND contributor = ?3";
            let place = |last: &Cursor| place(connection, sql, params![last.id, last.at, contributor]);
            let Some(before) = after.as_ref().map_or(Ok(Some(i64::MAX)), place)? else {
                return Ok(None);
            };
            let mut statement = connection.prepare_cached(&queries::contributions_of(shown))?;
            let items = readable(statement.query(params![contributor, before])?, "id", limit, counted)?;
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

pub(super) async fn recognitions(sqlite: &Sqlite, page: &Page) -> Result<Paged<Recognition>, StoreError> {
    let (limit, count) = (limit(page), page.limit);
    let after = Cursor::read(page, List::Recognitions)?;
    let found = sqlite
        .read_page(move |connection| {
            let sql = "SELECT seq FROM recognitions WHERE id = ?1 AND recognized_at = ?2";
            let place = |last: &Cursor| place(connection, sql, params![last.id, last.at]);
            let Some(before) = after.as_ref().map_or(Ok(Some(i64::MAX)), place)? else {
                return Ok(None);
            };
            let mut statement = connection.prepare_cached(&queries::recognitions())?;
            let items = readable(statement.query(params![before])?, "r_id", limit, recognition)?;
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
            let Some(after) = after else {
                let sql = "SELECT coalesce(max(seq), 0) AS newest FROM recognitions";
                let newest: i64 = connection.query_row(sql, [], |row| row.get("newest"))?;
                return Ok(News { items: Vec::new(), position: cursor::encode(&newest), more: false });
            };
            let sql = format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq > ?1 ORDER BY r.seq");
            let rows = recognitions_with_seq(connection, &sql, after, limit)?;
            let position = cursor::encode(&rows.last().map_or(after, |row| row.seq));
            let more = rows.len() == limit;
            Ok(News { items: rows.into_iter().map(|row| row.item).collect(), position, more })
        })
        .await
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

/// The sequence number of the item that a cursor names; `None` where there is no such item.
fn place(connection: &Connection, sql: &str, item: impl Params) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(sql)?.query_row(item, |row| row.get("seq")).optional()
}
