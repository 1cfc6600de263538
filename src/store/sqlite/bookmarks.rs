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
