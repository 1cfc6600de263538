//! Repositories that became private: their contributions are made private in parts, so that the writer is free
//! for others in between. Recognitions name a contribution by its id, so they need no change.

use rusqlite::{OptionalExtension, Row, params};

use super::connection::Sqlite;
use super::rows::optional_moment;
use crate::domain::{Moment, RepositoryId};
use crate::store::{Concealment, PrivateRepository, StoreError, look_again};

/// How many contributions one transaction makes private.
const TOGETHER: i64 = 1_000;

const NOTED: &str = "SELECT id, since, private_at, public_at FROM private_repositories";

fn noted(row: &Row<'_>) -> rusqlite::Result<PrivateRepository> {
    Ok(PrivateRepository {
        id: RepositoryId::from_text(row.get::<_, String>("id")?),
        since: optional_moment(row, "since")?,
        private_at: optional_moment(row, "private_at")?,
        public_at: optional_moment(row, "public_at")?,
    })
}

pub(super) async fn conceal(
    sqlite: &Sqlite,
    repository: &RepositoryId,
    concealment: Concealment,
) -> Result<(), StoreError> {
    let (from, to) = repository.contributions();
    if !concealment.noted_anyway && next_public(sqlite, from, to, None, 1).await?.is_empty() {
        return Ok(());
    }
    let id = repository.to_string();
    let Concealment { since, private_at, now, .. } = concealment;
    let noted = sqlite
        .write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO private_repositories (id, since, private_at, look_again) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (id) DO UPDATE SET since = max(coalesce(since, excluded.since), excluded.since),
                         private_at = max(coalesce(private_at, excluded.private_at), excluded.private_at),
                         look_again = excluded.look_again
                     RETURNING id, since, private_at, public_at",
                )?
                .query_row(
                    params![
                        id,
                        since.timestamp_micros(),
                        private_at.timestamp_micros(),
                        now.timestamp_micros()
                    ],
                    noted,
                )
        })
        .await?;
    finish(sqlite, &noted, now).await
}

pub(super) async fn publicized(
    sqlite: &Sqlite,
    repository: &RepositoryId,
    at: Moment,
) -> Result<(), StoreError> {
    let id = repository.to_string();
    sqlite
        .write(move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO private_repositories (id, public_at) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE
                         SET public_at = max(coalesce(public_at, excluded.public_at), excluded.public_at)",
                )?
                .execute(params![id, at.timestamp_micros()])?;
            Ok(())
        })
        .await
}

pub(super) async fn conceal_due(sqlite: &Sqlite, now: Moment) -> Result<(), StoreError> {
    let due: Vec<PrivateRepository> = sqlite
        .read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{NOTED} WHERE look_again <= ?1"))?;
            statement.query_map([now.timestamp_micros()], noted)?.collect()
        })
        .await?;
    let mut outcome = Ok(());
    for one in due {
        // One that fails keeps back none of the others.
        let done = finish(sqlite, &one, now).await;
        outcome = outcome.and(done);
    }
    outcome
}

pub(super) async fn private_repositories(
    sqlite: &Sqlite,
    since: Option<Moment>,
    limit: usize,
) -> Result<Vec<PrivateRepository>, StoreError> {
    let since = since.map_or(i64::MIN, |since| since.timestamp_micros());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sqlite
        .read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{NOTED} WHERE since >= ?1 LIMIT ?2"))?;
            statement.query_map([since, limit], noted)?.collect()
        })
        .await
}

pub(super) async fn private_repository(
    sqlite: &Sqlite,
    repository: &RepositoryId,
) -> Result<Option<PrivateRepository>, StoreError> {
    let id = repository.to_string();
    sqlite
        .read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{NOTED} WHERE id = ?1"))?;
            statement.query_row([id], noted).optional()
        })
        .await
}

/// Makes private what is to be, and notes that it is; not if the repository was noted again meanwhile.
async fn finish(sqlite: &Sqlite, noted: &PrivateRepository, now: Moment) -> Result<(), StoreError> {
    let Some(since) = noted.since else { return Ok(()) };
    let (mut from, to) = noted.id.contributions();
    while let Some(after) = conceal_some(sqlite, from, to.clone(), noted.until()).await? {
        from = after;
    }
    let id = noted.id.to_string();
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

/// Whether a contribution's payload is as old as ?3, by all the times that it states.
const STATED: &str =
    "max(occurred_at, coalesce(labels_at, occurred_at), coalesce(landed_at, occurred_at)) <= ?3";

/// Makes the next contributions from `from` on private. Returns the id of the last one; `None` where none is public.
///
/// They are looked for beside the writer: of a repository that is private already, nothing is written.
async fn conceal_some(
    sqlite: &Sqlite,
    from: String,
    to: String,
    until: Option<Moment>,
) -> Result<Option<String>, StoreError> {
    let public = next_public(sqlite, from, to, until, TOGETHER).await?;
    let (Some(first), Some(last)) = (public.first().cloned(), public.last().cloned()) else {
        return Ok(None);
    };
    let done = last.clone();
    let until = micros(until);
    sqlite
        .write(move |transaction| {
            let sql = format!(
                "UPDATE contributions SET private = 1 WHERE id >= ?1 AND id <= ?2 AND NOT private AND {STATED}"
            );
            transaction.prepare_cached(&sql)?.execute(params![first, last, until])
        })
        .await?;
    Ok(Some(done))
}

fn micros(until: Option<Moment>) -> i64 {
    until.map_or(i64::MAX, |until| until.timestamp_micros())
}

/// The ids of the next public contributions, at most `limit`.
async fn next_public(
    sqlite: &Sqlite,
    from: String,
    to: String,
    until: Option<Moment>,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let until = micros(until);
    sqlite
        .read_long(move |connection| {
            let sql = format!(
                "SELECT id FROM contributions WHERE id >= ?1 AND id < ?2 AND NOT private AND {STATED}
                 ORDER BY id LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![from, to, until, limit], |row| row.get("id"))?.collect()
        })
        .await
}
