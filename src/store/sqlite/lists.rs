//! Lists, a page at a time, and what was made since a position.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::connection::Sqlite;
use super::rows::{
    CONTRIBUTIONS, CONTRIBUTORS, RECOGNITION, RECOGNITIONS, contributor, counted, progress, recognition,
};
use crate::domain::{ContributorId, Recognition, RecognitionId};
use crate::store::{Contributor, Counted, News, Order, Page, Paged, Progress, Shown, StoreError, cursor};

pub(super) async fn contributors(
    sqlite: &Sqlite,
    order: Order,
    page: &Page,
) -> Result<Paged<Contributor>, StoreError> {
    let (limit, count) = (limit(page), page.limit);
    let after: Option<(i64, String)> = page.after.as_deref().map(cursor::decode).transpose()?;
    sqlite
        .read(move |connection| {
            let (tally, id) = after.unwrap_or((i64::MAX, String::new()));
            let sql = match order {
                Order::Tally => format!(
                    "{CONTRIBUTORS} WHERE tally <= ?1 AND (tally < ?1 OR id > ?2) ORDER BY tally DESC, id LIMIT ?3"
                ),
                Order::Id => format!("{CONTRIBUTORS} WHERE ?1 = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            };
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![tally, id, limit], contributor)?;
            let mark = |c: &Contributor| cursor::encode(&(c.standing.tally, &c.standing.contributor));
            Ok(Paged::cut(rows.collect::<rusqlite::Result<_>>()?, count, mark))
        })
        .await
}

pub(super) async fn contributions_of(
    sqlite: &Sqlite,
    contributor: &ContributorId,
    shown: Shown,
    page: &Page,
) -> Result<Paged<Counted>, StoreError> {
    let (contributor, before, limit, count) =
        (contributor.to_string(), before(page)?, limit(page), page.limit);
    sqlite
        .read(move |connection| {
            let sql = format!(
                "{CONTRIBUTIONS} WHERE c.contributor = ?1 AND c.seq < ?2 AND (?3 OR NOT c.private) AND (?4 OR NOT c.retracted)
                 ORDER BY c.seq DESC LIMIT ?5"
            );
            let rows = with_seq(
                connection,
                &sql,
                params![contributor, before, shown != Shown::Public, shown == Shown::All, limit],
                "seq",
                counted,
            )?;
            Ok(cut_by_seq(rows, count))
        })
        .await
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
    let (before, limit, count) = (before(page)?, limit(page), page.limit);
    sqlite
        .read(move |connection| {
            let sql = format!(
                "SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq < ?1 ORDER BY r.seq DESC LIMIT ?2"
            );
            let rows = with_seq(connection, &sql, params![before, limit], "r_seq", recognition)?;
            Ok(cut_by_seq(rows, count))
        })
        .await
}

pub(super) async fn recognitions_after(
    sqlite: &Sqlite,
    position: Option<&str>,
    limit: usize,
) -> Result<News, StoreError> {
    let after: Option<i64> = position.map(cursor::decode).transpose()?;
    sqlite
        .read(move |connection| {
            let Some(after) = after else {
                let sql = "SELECT coalesce(max(seq), 0) AS newest FROM recognitions";
                let newest: i64 = connection.query_row(sql, [], |row| row.get("newest"))?;
                return Ok(News { items: Vec::new(), position: cursor::encode(&newest), more: false });
            };
            let sql =
                format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2");
            let at_most = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = with_seq(connection, &sql, params![after, at_most], "r_seq", recognition)?;
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

/// An item of a list, and its sequence number, which is the cursor.
struct Sequenced<T> {
    seq: i64,
    item: T,
}

fn with_seq<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    seq: &str,
    item: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<Sequenced<T>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| Ok(Sequenced { seq: row.get(seq)?, item: item(row)? }))?;
    rows.collect()
}

/// One more than asked for: if it exists, there is a next page.
fn limit(page: &Page) -> i64 {
    i64::try_from(page.limit).unwrap_or(100) + 1
}

/// The sequence number before which a page of a descending list begins.
fn before(page: &Page) -> Result<i64, StoreError> {
    page.after.as_deref().map_or(Ok(i64::MAX), cursor::decode)
}

fn cut_by_seq<T>(rows: Vec<Sequenced<T>>, limit: usize) -> Paged<T> {
    let Paged { items, next } = Paged::cut(rows, limit, |row| cursor::encode(&row.seq));
    Paged { items: items.into_iter().map(|row| row.item).collect(), next }
}
