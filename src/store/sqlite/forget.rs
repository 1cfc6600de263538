//! Erasing a person: from the tables, and from the bytes of the file and of its log.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::connection::{BUSY, Sqlite};
use super::error::{failure, strange};
use super::person::{Held, Person, Shared, pseudonyms};
use super::queries::contributor_of;
use crate::domain::{Contribution, ContributionId, ContributorId};
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
            self.write().map_err(|error| self.unusable(&error.to_string()))?;
        }
        self.find()?.ok_or_else(|| self.unusable("it is not there"))
    }

    /// Writes a new key: whole or not at all. Of several processes at once, the first one's is taken.
    fn write(&self) -> std::io::Result<()> {
        let mut own = self.file.as_os_str().to_owned();
        own.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let own = PathBuf::from(own);
        let key = format!("{}{}\n", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
        let written = file.write_all(key.as_bytes()).and_then(|()| file.sync_all());
        let linked = written.and_then(|()| match std::fs::hard_link(&own, &self.file) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        std::fs::remove_file(&own)?;
        linked?;
        self.file.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    }

    fn unusable(&self, why: &str) -> StoreError {
        StoreError::Unavailable(format!(
            "the key of whom the ledger has forgotten, {}: {why}",
            self.file.display()
        ))
    }

    /// Fails where the ledger has forgotten somebody with another key than this, or without the file that holds it.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), StoreError> {
        let broken = |error: rusqlite::Error| failure(&error);
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
        is_its_key(connection, key)?;
        Ok(Self { connection, key: Some(key) })
    }

    /// Whether the contribution's contributor is forgotten: by name, by number, or where there is no number, as the
    /// account that had the login, or by the contribution itself.
    pub(super) fn has(&self, contribution: &Contribution) -> rusqlite::Result<bool> {
        let Some(key) = self.key else { return Ok(false) };
        let Contribution { id, contributor, user_id, .. } = contribution;
        if self.has_account(contributor, *user_id)? {
            return Ok(true);
        }
        let is_bare = user_id.is_none();
        Ok(is_bare
            && (has(self.connection, key.of_contribution(id))? || self.has_holder(key, contributor)?))
    }

    /// Whether an account is forgotten, by its name or by its number.
    pub(super) fn has_account(&self, name: &ContributorId, number: Option<u64>) -> rusqlite::Result<bool> {
        let Some(key) = self.key else { return Ok(false) };
        let numbered = number.map(|number| key.of_name(&name.numbered(number)));
        for pseudonym in key.of_account(name, number).chain(numbered) {
            if has(self.connection, pseudonym)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether who has stated a login last is forgotten.
    fn has_holder(&self, key: &ForgetKey, login: &ContributorId) -> rusqlite::Result<bool> {
        let held: Option<i64> = self
            .connection
            .prepare_cached("SELECT named_at FROM holders WHERE name = ?1")?
            .query_row([login.as_str()], |row| row.get("named_at"))
            .optional()?;
        held.map_or(Ok(false), |at| has(self.connection, key.of_holder(login, at)))
    }

    /// Whether an account that is forgotten had this name, and others have it too.
    pub(super) fn has_had(&self, name: &ContributorId) -> rusqlite::Result<bool> {
        self.key.map_or(Ok(false), |key| has(self.connection, key.of_former(name)))
    }

    pub(super) fn has_name(&self, contributor: &ContributorId) -> rusqlite::Result<bool> {
        self.key.map_or(Ok(false), |key| has(self.connection, key.of_name(contributor)))
    }
}

/// Fails where the forgotten are remembered by another key.
fn is_its_key(connection: &Connection, key: &ForgetKey) -> rusqlite::Result<()> {
    if has(connection, key.of_itself())? { Ok(()) } else { Err(strange("forgotten person of another key")) }
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
    let key = if sqlite.read(move |connection| is_known(connection, &known)).await? {
        Some(sqlite.keys.make()?)
    } else {
        sqlite.keys.find()?
    };
    let Some(key) = key.cloned() else { return Ok(Forgot::Unknown) };
    let who = who.clone();
    let erased = sqlite.write(move |transaction| erase(transaction, &key, &who)).await?;
    if let Forgot::Erased(_) = erased {
        sqlite.maintain(scrub).await?;
    }
    Ok(erased)
}

/// Whether the ledger has something of a contributor, be it only a mark of what was never recorded.
fn is_known(connection: &Connection, who: &ContributorId) -> rusqlite::Result<bool> {
    Ok(number_of(connection, who)?.is_some() || !marks_of(connection, who)?.is_empty())
}

/// Of the table `sequences`: that the file is to be scrubbed.
const SCRUB: &str = "scrub";

/// Scrubs the file where a process that erased somebody has ended before it could. Where that fails, such as beside
/// another process that reads, the mark stays for the next start.
pub(super) fn scrub_left(connection: &Connection) -> rusqlite::Result<()> {
    let left: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sequences WHERE name = ?1) AS left",
        [SCRUB],
        |row| row.get("left"),
    )?;
    if left {
        tracing::info!("writes the ledger's file anew, because an erasure was interrupted");
        if let Err(error) = scrub(connection) {
            let why = failure(&error).why();
            tracing::warn!(
                why,
                "the file still has bytes of somebody who is erased; the next start tries again"
            );
        }
    }
    Ok(())
}

/// Writes the whole file anew, and empties the log: deleted rows leave their bytes behind, in pages that have room
/// again, and in the log.
fn scrub(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    // A checkpoint that is under way, of this process or another, is an error at once.
    let began = Instant::now();
    loop {
        match connection.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < BUSY =>
            {
                std::thread::sleep(PAUSE);
            }
            done => break done.map(drop)?,
        }
    }
    // Last: until then, an end of the process leaves the rest to the next start.
    connection.execute("DELETE FROM sequences WHERE name = ?1", [SCRUB]).map(drop)
}

/// How long to wait before the log is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

fn erase(transaction: &Transaction<'_>, key: &ForgetKey, who: &ContributorId) -> rusqlite::Result<Forgot> {
    if is_any(transaction)? {
        is_its_key(transaction, key)?;
    }
    if !is_known(transaction, who)? && !has(transaction, key.of_name(who))? {
        let was_theirs = has(transaction, key.of_former(who))?;
        return Ok(if was_theirs { Forgot::Erased(Erased::default()) } else { Forgot::Unknown });
    }
    let person = Person::find(transaction, who)?;
    transaction.execute("INSERT OR REPLACE INTO sequences (name, last) VALUES (?1, 1)", [SCRUB])?;
    let mut remember =
        transaction.prepare_cached("INSERT OR IGNORE INTO forgotten (pseudonym) VALUES (?1)")?;
    let shared = Shared::find(transaction, &person)?;
    for pseudonym in pseudonyms(transaction, key, &person, &shared)? {
        remember.execute([pseudonym.0])?;
    }
    keep_sequence(transaction)?;
    let mut erased = Erased::default();
    for name in &person.names {
        erase_name(transaction, name, !shared.names.contains(name), &mut erased)?;
    }
    if let Some(number) = person.number {
        erased.contributions = erase_contributions(transaction, number)?;
        for Held { login, other, .. } in shared.held.iter().filter(|held| held.other.is_some()) {
            let sql = "UPDATE holders SET account = ?2 WHERE name = ?1";
            transaction.execute(sql, params![login.as_str(), other])?;
        }
        let run = |sql: &str| transaction.execute(sql, [number]);
        run(
            "DELETE FROM holders WHERE account IN (SELECT number FROM accounts WHERE contributor = ?1) OR account = ?1",
        )?;
        run("DELETE FROM addresses
             WHERE account IN (SELECT number FROM accounts WHERE contributor = ?1) OR account = ?1")?;
        run("DELETE FROM accounts WHERE contributor = ?1")?;
        run("DELETE FROM contributors WHERE number = ?1")?;
        transaction.execute(
            "DELETE FROM addresses
             WHERE account NOT IN (SELECT number FROM contributors UNION ALL SELECT number FROM accounts)",
            [],
        )?;
    }
    Ok(Forgot::Erased(erased))
}

/// The number of the contributor for whom an account counts.
pub(super) fn number_of(connection: &Connection, who: &ContributorId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(&format!("SELECT {} AS number", contributor_of("?1")))?
        .query_row([who.as_str()], |row| row.get("number"))
}

/// Erases what names somebody beside the contributions.
fn erase_name(
    transaction: &Transaction<'_>,
    name: &ContributorId,
    is_theirs_alone: bool,
    erased: &mut Erased,
) -> rusqlite::Result<()> {
    // Names to which the recognitions of none but this person were given, and nothing else is left.
    transaction.execute(
        "DELETE FROM accounts WHERE contributor = number AND named_at IS NULL
             AND id IN (SELECT substr(r.id, 1, length(r.id) - length(r.milestone) - 1) FROM recognitions r
                 WHERE r.contributor = ?1 AND r.id <> ?1 || ':' || r.milestone)
             AND NOT EXISTS (SELECT 1 FROM accounts other
                 WHERE other.contributor = accounts.number AND other.number <> accounts.number)",
        [name.as_str()],
    )?;
    transaction.execute(
        "DELETE FROM outbox WHERE recognition IN (SELECT id FROM recognitions WHERE contributor = ?1)",
        [name.as_str()],
    )?;
    let recognitions =
        transaction.execute("DELETE FROM recognitions WHERE contributor = ?1", [name.as_str()])?;
    erased.recognitions += recognitions as u64;
    if is_theirs_alone {
        for part in marks_of(transaction, name)? {
            transaction.execute("DELETE FROM reviews WHERE work = ?1", [part])?;
        }
        transaction.execute("DELETE FROM holders WHERE name = ?1", [name.as_str()])?;
    }
    for bookmark in bookmarks_of(transaction, name)? {
        transaction.execute("DELETE FROM bookmarks WHERE name = ?1", [bookmark])?;
    }
    Ok(())
}

/// Erases a contributor's contributions, and returns how many there were.
fn erase_contributions(transaction: &Transaction<'_>, contributor: i64) -> rusqlite::Result<u64> {
    let repositories = repositories(transaction, contributor)?;
    transaction.execute(
        "DELETE FROM reviews WHERE work IN (SELECT id FROM contributions WHERE contributor = ?1)",
        [contributor],
    )?;
    let contributions =
        transaction.execute("DELETE FROM contributions WHERE contributor = ?1", [contributor])?;
    for repository in repositories {
        // Its name may hold the login, and nobody else has contributed to it.
        transaction.execute(
            "DELETE FROM repositories WHERE number = ?1
                 AND NOT EXISTS (SELECT 1 FROM contributions WHERE repository = ?1)",
            [repository],
        )?;
    }
    Ok(contributions as u64)
}

/// The bookmarks of the account's own repositories: the next read of them begins anew.
fn bookmarks_of(transaction: &Transaction<'_>, who: &ContributorId) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare_cached("SELECT name FROM bookmarks")?;
    let names = statement.query_map([], |row| row.get::<_, String>("name"))?;
    names.filter(|name| !matches!(name, Ok(name) if !forgetting::names(name, who.login()))).collect()
}

/// The numbers of the repositories to which the account has contributed.
fn repositories(transaction: &Transaction<'_>, contributor: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT DISTINCT repository FROM contributions WHERE contributor = ?1 AND repository IS NOT NULL",
    )?;
    statement.query_map([contributor], |row| row.get("repository"))?.collect()
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
fn marks_of(connection: &Connection, who: &ContributorId) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT work FROM reviews")?;
    let mut rows = statement.query(params![])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let work: String = row.get("work")?;
        let author = author_of_part(&ContributionId::from_text(work.as_str()));
        if author.is_some_and(|author| author == *who) {
            marks.push(work);
        }
    }
    Ok(marks)
}
