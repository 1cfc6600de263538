//! Repositories that became private: their contributions are made private in parts, so that the writer is free
//! for others in between. Recognitions name a contribution by its id, so they need no change.

use rusqlite::params;

use super::connection::Sqlite;
use super::rows::moment;
use crate::domain::{Moment, RepositoryId};
use crate::store::{PrivateRepository, StoreError, look_again};

/// How many contributions one transaction makes private.
const TOGETHER: i64 = 1_000;

pub(super) async fn conceal(
    sqlite: &Sqlite,
    repository: &RepositoryId,
    at: Moment,
    anew: bool,
) -> Result<(), StoreError> {
    let (from, to) = repository.contributions();
    if !anew && next_public(sqlite, from, to, 1).await?.is_empty() {
        return Ok(());
    }
    let id = repository.to_string();
    let since = sqlite
        .write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO private_repositories (id, since, look_again) VALUES (?1, ?2, ?2)
                     ON CONFLICT (id) DO UPDATE SET since = max(since, excluded.since),
                         look_again = excluded.look_again
                     RETURNING since",
                )?
                .query_row(params![id, at.timestamp_micros()], |row| moment(row.get("since")?))
        })
        .await?;
    finish(sqlite, repository, since, at).await
}

pub(super) async fn conceal_due(sqlite: &Sqlite, now: Moment) -> Result<(), StoreError> {
    let due: Vec<(String, Moment)> = sqlite
        .read(move |connection| {
            let sql = "SELECT id, since FROM private_repositories WHERE look_again <= ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([now.timestamp_micros()], |row| {
                Ok((row.get("id")?, moment(row.get("since")?)?))
            })?;
            rows.collect()
        })
        .await?;
    let mut outcome = Ok(());
    for (id, since) in due {
        // One that fails keeps back none of the others.
        let done = finish(sqlite, &RepositoryId::from_text(id), since, now).await;
        outcome = outcome.and(done);
    }
    outcome
}

pub(super) async fn private_repositories(
    sqlite: &Sqlite,
    since: Option<Moment>,
) -> Result<Vec<PrivateRepository>, StoreError> {
    let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
    sqlite
        .read(move |connection| {
            let sql = "SELECT id, since FROM private_repositories WHERE since >= ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([since], |row| {
                let id = RepositoryId::from_text(row.get::<_, String>("id")?);
                Ok(PrivateRepository { id, since: moment(row.get("since")?)? })
            })?;
            rows.collect()
        })
        .await
}

/// Makes all of a repository private, and notes that it is; not if it was noted again meanwhile.
async fn finish(
    sqlite: &Sqlite,
    repository: &RepositoryId,
    since: Moment,
    now: Moment,
) -> Result<(), StoreError> {
    let (mut from, to) = repository.contributions();
    while let Some(after) = conceal_some(sqlite, from, to.clone()).await? {
        from = after;
    }
    let id = repository.to_string();
    let again = look_again(since, now).map(|at| at.timestamp_micros());
    sqlite
        .write(move |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE private_repositories SET look_again = ?3 WHERE id = ?1 AND since = ?2",
                )?
                .execute(params![id, since.timestamp_micros(), again])?;
            Ok(())
        })
        .await
}

/// Makes the next contributions from `from` on private. Returns the id of the last one; `None` where none is public.
///
/// They are looked for beside the writer: of a repository that is private already, nothing is written.
async fn conceal_some(sqlite: &Sqlite, from: String, to: String) -> Result<Option<String>, StoreError> {
    let public = next_public(sqlite, from, to, TOGETHER).await?;
    let (Some(first), Some(last)) = (public.first().cloned(), public.last().cloned()) else {
        return Ok(None);
    };
    let done = last.clone();
    sqlite
        .write(move |transaction| {
            transaction
                .prepare_cached(
                    "UPDATE contributions SET private = 1 WHERE id >= ?1 AND id <= ?2 AND NOT private",
                )?
                .execute([&first, &last])
        })
        .await?;
    Ok(Some(done))
}

/// The ids of the next public contributions, at most `limit`.
async fn next_public(
    sqlite: &Sqlite,
    from: String,
    to: String,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    sqlite
        .read(move |connection| {
            let sql = "SELECT id FROM contributions WHERE id >= ?1 AND id < ?2 AND NOT private ORDER BY id LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(params![from, to, limit], |row| row.get("id"))?.collect()
        })
        .await
}
