//! Bookmarks: where a long read of a host goes on.

use rusqlite::{OptionalExtension, params};

use super::connection::Sqlite;
use crate::store::StoreError;

pub(super) async fn bookmark(sqlite: &Sqlite, name: &str) -> Result<Option<String>, StoreError> {
    let name = name.to_owned();
    sqlite
        .read(move |connection| {
            connection
                .prepare_cached("SELECT value FROM bookmarks WHERE name = ?1")?
                .query_row([name], |row| row.get("value"))
                .optional()
        })
        .await
}

pub(super) async fn set_bookmark(sqlite: &Sqlite, name: &str, value: &str) -> Result<(), StoreError> {
    let (name, value) = (name.to_owned(), value.to_owned());
    let set = "INSERT INTO bookmarks (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlite
        .write(move |transaction| transaction.prepare_cached(set)?.execute(params![name, value]).map(|_| ()))
        .await
}

pub(super) async fn replace_bookmark(
    sqlite: &Sqlite,
    name: &str,
    before: Option<&str>,
    value: &str,
) -> Result<bool, StoreError> {
    let (name, before, value) = (name.to_owned(), before.map(str::to_owned), value.to_owned());
    sqlite
        .write(move |transaction| {
            let changed = match before {
                Some(before) => transaction
                    .prepare_cached("UPDATE bookmarks SET value = ?3 WHERE name = ?1 AND value = ?2")?
                    .execute(params![name, before, value])?,
                None => transaction
                    .prepare_cached(
                        "INSERT INTO bookmarks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                    )?
                    .execute(params![name, value])?,
            };
            Ok(changed == 1)
        })
        .await
}
