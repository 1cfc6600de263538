//! Erasing a person: from the tables, and from the bytes of the file and of its log.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, Transaction, params};

use super::connection::Sqlite;
use super::error::strange;
use crate::domain::{Contribution, ContributorId};
use crate::store::forgetting::{Erased, ForgetKey, Forgot, Pseudonym, author_of_part};
use crate::store::{StoreError, forgetting};

/// Of the file with the key beside the ledger.
const ENDING: &str = ".forget-key";

/// The key by which this ledger remembers whom it has forgotten: the configured one, else that in a file beside the
/// ledger, which is made when it is first needed.
#[derive(Debug)]
pub(super) struct Keys {
    file: PathBuf,
    key: OnceLock<ForgetKey>,
}

impl Keys {
    pub(super) fn new(ledger: &Path, configured: Option<ForgetKey>) -> Self {
        let mut file = ledger.as_os_str().to_owned();
        file.push(ENDING);
        Self { file: file.into(), key: configured.map(OnceLock::from).unwrap_or_default() }
    }

    /// The key, if there is one.
    fn find(&self) -> Result<Option<&ForgetKey>, StoreError> {
        if self.key.get().is_none() {
            let mut text = String::new();
            match std::fs::File::open(&self.file).and_then(|mut file| file.read_to_string(&mut text)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(self.unusable(&error.to_string())),
                Ok(_) => {}
            }
            let key =
                ForgetKey::new(text.trim()).ok_or_else(|| self.unusable("it is too short for a key"))?;
            let _ = self.key.set(key);
        }
        Ok(self.key.get())
    }

    /// The key; a new one where there is none.
    fn make(&self) -> Result<&ForgetKey, StoreError> {
        if self.find()?.is_none() {
            let key = format!("{}{}\n", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            let written = || {
                let mut file =
                    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file)?;
                file.write_all(key.as_bytes())?;
                file.sync_all()?;
                self.file.parent().map_or(Ok(()), |folder| {
                    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                    std::fs::File::open(folder)?.sync_all()
                })
            };
            written().map_err(|error| self.unusable(&error.to_string()))?;
        }
        self.find()?.ok_or_else(|| self.unusable("it is not there"))
    }

    fn unusable(&self, why: &str) -> StoreError {
        StoreError::Unavailable(format!(
            "the key of whom the ledger has forgotten, {}: {why}",
            self.file.display()
        ))
    }

    /// Fails where the ledger has forgotten somebody with another key than this, or without the file that holds it.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), StoreError> {
        let broken = |error: rusqlite::Error| super::error::failure(&error);
        if !is_any(connection).map_err(broken)? {
            return Ok(());
        }
        if let Some(key) = self.find()?
            && has(connection, key.of_itself()).map_err(broken)?
        {
            return Ok(());
        }
        Err(StoreError::Broken(format!(
            "the ledger has forgotten people with another key; set PLAUDIT_FORGET_KEY to that one, or bring back the file {}",
            self.file.display()
        )))
    }
}

/// Whom the ledger has forgotten, as one transaction sees it.
pub(super) struct Forgotten<'a> {
    connection: &'a Connection,
    /// `None` where nobody is forgotten.
    key: Option<&'a ForgetKey>,
}

impl<'a> Forgotten<'a> {
    pub(super) fn of(connection: &'a Connection, keys: &'a Keys) -> rusqlite::Result<Self> {
        if !is_any(connection)? {
            return Ok(Self { connection, key: None });
        }
        let key = keys.find().ok().flatten().ok_or_else(|| strange("forgotten person without its key"))?;
        Ok(Self { connection, key: Some(key) })
    }

    /// Whether the contribution's contributor is forgotten, by name or by number.
    pub(super) fn has(&self, contribution: &Contribution) -> rusqlite::Result<bool> {
        let Some(key) = self.key else { return Ok(false) };
        for pseudonym in key.of(contribution) {
            if has(self.connection, pseudonym)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn has_name(&self, contributor: &ContributorId) -> rusqlite::Result<bool> {
        self.key.map_or(Ok(false), |key| has(self.connection, key.of_name(contributor)))
    }
}

fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM forgotten) AS any")?
        .query_row([], |row| row.get("any"))
}

fn has(connection: &Connection, pseudonym: Pseudonym) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM forgotten WHERE pseudonym = ?1) AS known")?
        .query_row([pseudonym.0], |row| row.get("known"))
}

pub(super) async fn forget(sqlite: &Sqlite, who: &ContributorId) -> Result<Forgot, StoreError> {
    let known = who.clone();
    let is_known = sqlite.read(move |connection| {
        connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM contributors WHERE id = ?1) AS known")?
            .query_row([known.as_str()], |row| row.get::<_, bool>("known"))
    });
    let is_known = is_known.await?;
    let Some(key) = (if is_known { Some(sqlite.keys.make()?) } else { sqlite.keys.find()? }) else {
        return Ok(Forgot::Unknown);
    };
    let (key, who) = (key.clone(), who.clone());
    let erased = sqlite.write(move |transaction| erase(transaction, &key, &who)).await?;
    if let Forgot::Erased(_) = erased {
        // Deleted rows leave their bytes behind: in pages that have room again, and in the log.
        sqlite.maintain(scrub).await?;
    }
    Ok(erased)
}

/// Writes the whole file anew, and empties the log.
fn scrub(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    connection.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE).map(drop)
}

fn erase(transaction: &Transaction<'_>, key: &ForgetKey, who: &ContributorId) -> rusqlite::Result<Forgot> {
    let name = key.of_name(who);
    let numbers = numbers(transaction, who)?;
    let is_known = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM contributors WHERE id = ?1) AS known")?
        .query_row([who.as_str()], |row| row.get::<_, bool>("known"))?;
    if !is_known && !has(transaction, name)? {
        return Ok(Forgot::Unknown);
    }
    let mut remember =
        transaction.prepare_cached("INSERT OR IGNORE INTO forgotten (pseudonym) VALUES (?1)")?;
    let numbers = numbers.into_iter().filter_map(|number| key.of_number(who, number));
    for pseudonym in [key.of_itself(), name].into_iter().chain(numbers) {
        remember.execute([pseudonym.0])?;
    }
    keep_sequence(transaction)?;
    let who = who.as_str();
    transaction.execute(
        "DELETE FROM outbox WHERE recognition IN (SELECT id FROM recognitions WHERE contributor = ?1)",
        [who],
    )?;
    let recognitions = transaction.execute("DELETE FROM recognitions WHERE contributor = ?1", [who])?;
    for part in marks_of(transaction, who)? {
        transaction.execute("DELETE FROM reviews WHERE work = ?1", [part])?;
    }
    for bookmark in bookmarks_of(transaction, who)? {
        transaction.execute("DELETE FROM bookmarks WHERE name = ?1", [bookmark])?;
    }
    let repositories = repositories(transaction, who)?;
    let contributions = transaction.execute(
        "DELETE FROM contributions WHERE contributor = (SELECT number FROM contributors WHERE id = ?1)",
        [who],
    )?;
    transaction.execute("DELETE FROM contributors WHERE id = ?1", [who])?;
    for repository in repositories {
        // Its name may hold the login, and nobody else has contributed to it.
        transaction.execute(
            "DELETE FROM repositories WHERE number = ?1
                 AND NOT EXISTS (SELECT 1 FROM contributions WHERE repository = ?1)",
            [repository],
        )?;
    }
    Ok(Forgot::Erased(Erased { contributions: contributions as u64, recognitions: recognitions as u64 }))
}

/// Every number that the account has had in a payload.
fn numbers(transaction: &Transaction<'_>, who: &ContributorId) -> rusqlite::Result<Vec<u64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT user_id FROM contributors WHERE id = ?1 AND user_id IS NOT NULL
         UNION SELECT user_id FROM contributions
             WHERE contributor = (SELECT number FROM contributors WHERE id = ?1) AND user_id IS NOT NULL",
    )?;
    let numbers =
        statement.query_map([who.as_str()], |row| Ok(super::rows::unsigned(row.get("user_id")?)))?;
    numbers.collect()
}

/// The bookmarks of the account's own repositories: the next read of them begins anew.
fn bookmarks_of(transaction: &Transaction<'_>, who: &str) -> rusqlite::Result<Vec<String>> {
    let login = who.rsplit(':').next().unwrap_or(who);
    let mut statement = transaction.prepare_cached("SELECT name FROM bookmarks")?;
    let names = statement.query_map([], |row| row.get::<_, String>("name"))?;
    names.filter(|name| !matches!(name, Ok(name) if !forgetting::names(name, login))).collect()
}

/// The numbers of the repositories to which the account has contributed.
fn repositories(transaction: &Transaction<'_>, who: &str) -> rusqlite::Result<Vec<i64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT DISTINCT repository FROM contributions
         WHERE contributor = (SELECT number FROM contributors WHERE id = ?1) AND repository IS NOT NULL",
    )?;
    statement.query_map([who], |row| row.get("repository"))?.collect()
}

/// The event stream's positions are sequence numbers of recognitions, so the number of one that is erased must not be
/// given again.
fn keep_sequence(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO sequences (name, last) SELECT 'recognitions', coalesce(max(seq), 0) FROM recognitions WHERE true
         ON CONFLICT (name) DO UPDATE SET last = max(last, excluded.last)",
        [],
    )?;
    Ok(())
}

/// The marks of this person's parts of pull requests, recorded or not: their ids end in the login.
fn marks_of(transaction: &Transaction<'_>, who: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare_cached("SELECT work FROM reviews")?;
    let mut rows = statement.query(params![])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let work: String = row.get("work")?;
        let author = author_of_part(&crate::domain::ContributionId::from_text(work.as_str()));
        if author.is_some_and(|author| author.as_str() == who) {
            marks.push(work);
        }
    }
    Ok(marks)
}
