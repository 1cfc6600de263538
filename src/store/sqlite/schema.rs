//! The tables, and how an older file becomes a newer one.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::adopt;
use super::error::failure;
use crate::store::StoreError;

/// Marks a file as plaudit's own (`PRAGMA application_id`): the letters "plau".
const APPLICATION: i64 = 0x706c_6175;

/// What a new file gets, at the newest version.
const TABLES: &str = include_str!("tables.sql");

/// Each step brings the file from the version of its place to the next. Steps are only ever added.
const STEPS: &[&str] = &[
    "
    CREATE TABLE contributors (
        id TEXT PRIMARY KEY,
        tally INTEGER NOT NULL,
        recognised INTEGER NOT NULL,
        user_id INTEGER,
        first_at INTEGER NOT NULL,  -- microseconds since 1970, as every time here
        last_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX contributors_by_tally ON contributors (tally DESC, id);

    CREATE TABLE contributions (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        contributor TEXT NOT NULL,
        kind TEXT NOT NULL,
        occurred_at INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        title TEXT,
        url TEXT,
        repository TEXT,
        private INTEGER NOT NULL,
        user_id INTEGER,
        content BLOB                -- fingerprint of what a client posted; NULL for a host's
    );
    CREATE INDEX contributions_by_contributor ON contributions (contributor, seq);

    CREATE TABLE recognitions (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        contributor TEXT NOT NULL,
        milestone INTEGER NOT NULL,
        tally INTEGER NOT NULL,
        recognized_at INTEGER NOT NULL,
        contribution TEXT
    );

    CREATE TABLE outbox (
        recognition TEXT NOT NULL,
        destination TEXT NOT NULL,
        state TEXT NOT NULL,        -- waiting, done, given_up
        next_try INTEGER NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        reason TEXT,
        PRIMARY KEY (recognition, destination)
    ) WITHOUT ROWID;
    CREATE INDEX outbox_due ON outbox (destination, next_try) WHERE state = 'waiting';
",
    "
    ALTER TABLE contributors RENAME COLUMN recognised TO recognized;
",
    "
    ALTER TABLE contributors ADD COLUMN account_url TEXT;
    ALTER TABLE recognitions ADD COLUMN account_url TEXT;
    ALTER TABLE contributions ADD COLUMN labels_at INTEGER;
    ALTER TABLE contributions ADD COLUMN labels_rejected INTEGER;
    ALTER TABLE contributions ADD COLUMN landed_at INTEGER;
    ALTER TABLE contributions ADD COLUMN retracted INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE reviews (          -- only of works, or parts, that a review ruled on
        work TEXT PRIMARY KEY,
        deleted INTEGER NOT NULL,
        private INTEGER NOT NULL,
        labels_at INTEGER,
        labels_rejected INTEGER
    ) WITHOUT ROWID;

    CREATE TABLE private_repositories (
        id TEXT PRIMARY KEY,        -- what the ids of its contributions begin with, without the ':'
        since INTEGER NOT NULL,
        look_again INTEGER          -- when public contributions of it may be left; NULL once that is certain
    ) WITHOUT ROWID;

    -- A host's pull request now has a part for each login: the login is what follows the contributor's last ':'.
    UPDATE recognitions SET contribution = contribution || ':' || (
        SELECT substr(c.contributor, length(rtrim(c.contributor, replace(c.contributor, ':', ''))) + 1)
        FROM contributions c WHERE c.id = contribution
    ) WHERE contribution IN (SELECT id FROM contributions WHERE kind = 'pull_request' AND content IS NULL);
    UPDATE contributions
        SET id = id || ':' || substr(contributor, length(rtrim(contributor, replace(contributor, ':', ''))) + 1)
        WHERE kind = 'pull_request' AND content IS NULL;

    -- One direction, so that a list goes on after a tally and an id.
    DROP INDEX contributors_by_tally;
    CREATE INDEX contributors_by_tally ON contributors (tally, id);
    -- With what hides a row, so that a list looks at no hidden ones; seq is the last column of every index here.
    DROP INDEX contributions_by_contributor;
    CREATE INDEX contributions_by_contributor ON contributions (contributor, private, retracted);
",
    "
    -- What is before an id's last ':', and after it. In an index alone: it follows from the id.
    ALTER TABLE contributors ADD COLUMN host TEXT AS (
        substr(rtrim(id, replace(id, ':', '')), 1, length(rtrim(id, replace(id, ':', ''))) - 1)) VIRTUAL;
    ALTER TABLE contributors ADD COLUMN login TEXT AS (
        substr(id, length(rtrim(id, replace(id, ':', ''))) + 1)) VIRTUAL;
    CREATE INDEX contributors_by_host_and_tally ON contributors (host, tally, id);
    CREATE INDEX contributors_by_host_and_login ON contributors (host, login, id);
    CREATE INDEX contributors_by_login ON contributors (login, id);

    -- The kind is last, so that those of other kinds are passed over within the index.
    DROP INDEX contributions_by_contributor;
    CREATE INDEX contributions_by_contributor
        ON contributions (contributor, private, retracted, recorded_at, seq, kind);
    CREATE INDEX contributions_by_repository
        ON contributions (repository, private, retracted, recorded_at, seq, kind) WHERE repository IS NOT NULL;
    CREATE INDEX recognitions_by_time ON recognitions (recognized_at);
    CREATE INDEX recognitions_by_contributor ON recognitions (contributor, recognized_at);

    -- A repository may be private, public and private again.
    ALTER TABLE private_repositories RENAME TO private_before;
    CREATE TABLE private_repositories (
        id TEXT PRIMARY KEY,        -- what the ids of its contributions begin with, without the ':'
        since INTEGER,              -- what its host states up to this time is private
        private_at INTEGER,         -- the newest payloads, by their own time, that say that it is private, or became
        public_at INTEGER,          -- public; if the second is newer, only what is up to `since` is made private
        look_again INTEGER          -- when public contributions of it may be left; NULL once that is certain
    ) WITHOUT ROWID;
    INSERT INTO private_repositories (id, since, private_at, look_again)
        SELECT id, since, since, look_again FROM private_before;
    DROP TABLE private_before;
",
    "
    -- Contributors and repositories have numbers, in the order in which they came: who is busy now stands together,
    -- and rows and indexes hold a number instead of a name.
    ALTER TABLE contributors RENAME TO contributors_before;
    CREATE TABLE contributors (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        tally INTEGER NOT NULL,
        recognized INTEGER NOT NULL,
        user_id INTEGER,
        account_url TEXT,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        -- What is before the id's last ':', and after it. In an index alone: it follows from the id.
        host TEXT AS (
            substr(rtrim(id, replace(id, ':', '')), 1, length(rtrim(id, replace(id, ':', ''))) - 1)) VIRTUAL,
        login TEXT AS (substr(id, length(rtrim(id, replace(id, ':', ''))) + 1)) VIRTUAL
    );
    INSERT INTO contributors (id, tally, recognized, user_id, account_url, first_at, last_at)
        SELECT id, tally, recognized, user_id, account_url, first_at, last_at FROM contributors_before
        ORDER BY first_at, id;
    DROP TABLE contributors_before;
    CREATE UNIQUE INDEX contributors_by_id ON contributors (id);
    -- The only one that a tally moves. The leaderboard of all hosts merges those of each.
    CREATE INDEX contributors_by_host_and_tally ON contributors (host, tally, id);
    CREATE INDEX contributors_by_host_and_login ON contributors (host, login, id);
    CREATE INDEX contributors_by_login ON contributors (login, id);

    CREATE TABLE repositories (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL              -- as payloads have it; on two hosts it may be the same
    );
    INSERT INTO repositories (name)
        SELECT repository FROM contributions WHERE repository IS NOT NULL GROUP BY repository ORDER BY min(seq);
    CREATE UNIQUE INDEX repositories_by_name ON repositories (name);

    ALTER TABLE contributions RENAME TO contributions_before;
    DROP INDEX contributions_by_contributor;
    DROP INDEX contributions_by_repository;
    CREATE TABLE contributions (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        contributor INTEGER NOT NULL,   -- a number of contributors
        kind NOT NULL,                  -- 1 push, 2 pull_request, 3 issue; else a client's word
        occurred_at INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        title TEXT,
        url TEXT,
        repository INTEGER,             -- a number of repositories
        private INTEGER NOT NULL,
        user_id INTEGER,
        content BLOB,                   -- fingerprint of what a client posted; NULL for a host's
        labels_at INTEGER,
        labels_rejected INTEGER,
        landed_at INTEGER,
        retracted INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO contributions
        SELECT seq, id, (SELECT number FROM contributors p WHERE p.id = contributor),
            CASE kind WHEN 'push' THEN 1 WHEN 'pull_request' THEN 2 WHEN 'issue' THEN 3 ELSE kind END,
            occurred_at, recorded_at, title, url, (SELECT number FROM repositories WHERE name = repository), private,
            user_id, content, labels_at, labels_rejected, landed_at, retracted
        FROM contributions_before ORDER BY seq;
    DROP TABLE contributions_before;
    CREATE UNIQUE INDEX contributions_by_id ON contributions (id);
    -- The kind is last, so that those of other kinds are passed over within the index.
    CREATE INDEX contributions_by_contributor
        ON contributions (contributor, private, retracted, recorded_at, seq, kind);
    CREATE INDEX contributions_by_repository
        ON contributions (repository, private, retracted, recorded_at, seq, kind) WHERE repository IS NOT NULL;

    -- For people.
    CREATE VIEW readable_contributions AS
        SELECT c.seq, c.id, p.id AS contributor,
            CASE c.kind WHEN 1 THEN 'push' WHEN 2 THEN 'pull_request' WHEN 3 THEN 'issue' ELSE c.kind END AS kind,
            datetime(c.occurred_at / 1000000, 'unixepoch') AS occurred_at,
            datetime(c.recorded_at / 1000000, 'unixepoch') AS recorded_at,
            c.title, c.url, r.name AS repository, c.private, c.retracted
        FROM contributions c JOIN contributors p ON p.number = c.contributor
            LEFT JOIN repositories r ON r.number = c.repository;
",
    "
    CREATE TABLE forgotten (        -- keyed hashes of the names and numbers of people who are erased
        pseudonym BLOB PRIMARY KEY
    ) WITHOUT ROWID;
    CREATE TABLE sequences (        -- the last number that was given, where its row may be erased
        name TEXT PRIMARY KEY,
        last INTEGER NOT NULL
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE bookmarks (        -- where a long read of a host goes on
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
",
    "
    -- An id is in contributors or in accounts, and no number is in both.
    CREATE TABLE accounts (         -- names that are no contributor's present one, or have no contribution yet
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        contributor INTEGER NOT NULL,   -- the number of whom it counts for; its own while it has no contribution
        former INTEGER,             -- of a former name: the number of its account, here or in contributors
        user_id INTEGER,            -- as in contributors
        named_at INTEGER,           -- as in contributors; of a former name, its own newest statement
        account_url TEXT,
        recognized INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX accounts_by_id ON accounts (id);
    CREATE INDEX accounts_by_contributor ON accounts (contributor);
    CREATE INDEX accounts_by_user_id ON accounts (user_id) WHERE user_id IS NOT NULL;

    CREATE TABLE holders (          -- of a login that several accounts have had
        name TEXT PRIMARY KEY,
        account INTEGER NOT NULL,   -- that which has stated it last
        named_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE addresses (        -- more numbers of an account that only addresses of commits state
        user_id INTEGER NOT NULL,
        account INTEGER NOT NULL,
        PRIMARY KEY (user_id, account)
    ) WITHOUT ROWID;

    -- The account under which it arrived, where that is not its contributor's own.
    ALTER TABLE contributions ADD COLUMN account INTEGER;
    CREATE INDEX contributions_by_account ON contributions (account) WHERE account IS NOT NULL;

    -- The newest time at which the host has stated user_id; NULL where only addresses did.
    ALTER TABLE contributors ADD COLUMN named_at INTEGER;
    CREATE INDEX contributors_by_user_id ON contributors (user_id) WHERE user_id IS NOT NULL;
    -- The login of 7+mona is mona: an account whose login another one has had. Both are computed with each tally, so the
    -- common form, with one ':' and no '+', comes first: to find the last ':' costs more.
    DROP INDEX contributors_by_host_and_tally;
    DROP INDEX contributors_by_host_and_login;
    DROP INDEX contributors_by_login;
    ALTER TABLE contributors DROP COLUMN host;
    ALTER TABLE contributors DROP COLUMN login;
    ALTER TABLE contributors ADD COLUMN host TEXT AS (
        CASE WHEN instr(substr(id, instr(id, ':') + 1), ':') = 0 THEN substr(id, 1, max(instr(id, ':') - 1, 0))
        ELSE substr(rtrim(id, replace(id, ':', '')), 1, length(rtrim(id, replace(id, ':', ''))) - 1) END) VIRTUAL;
    ALTER TABLE contributors ADD COLUMN login TEXT AS (
        CASE WHEN instr(id, '+') = 0 AND instr(substr(id, instr(id, ':') + 1), ':') = 0
        THEN substr(id, instr(id, ':') + 1)
        WHEN instr(id, ':') > 0 AND substr(id, length(rtrim(id, replace(id, ':', ''))) + 1) GLOB '[0-9]*+?*'
            AND substr(substr(id, length(rtrim(id, replace(id, ':', ''))) + 1), 1,
                instr(substr(id, length(rtrim(id, replace(id, ':', ''))) + 1), '+') - 1) NOT GLOB '*[^0-9]*'
        THEN substr(id, length(rtrim(id, replace(id, ':', ''))) + 1
            + instr(substr(id, length(rtrim(id, replace(id, ':', ''))) + 1), '+'))
        ELSE substr(id, length(rtrim(id, replace(id, ':', ''))) + 1) END) VIRTUAL;
    CREATE INDEX contributors_by_host_and_tally ON contributors (host, tally, id);
    CREATE INDEX contributors_by_host_and_login ON contributors (host, login, id);
    CREATE INDEX contributors_by_login ON contributors (login, id);
",
    "
    -- Kept and not computed: SQLite computes both, before and after, for each tally that it writes.
    DROP INDEX contributors_by_host_and_tally;
    DROP INDEX contributors_by_host_and_login;
    DROP INDEX contributors_by_login;
    ALTER TABLE contributors RENAME COLUMN host TO host_before;
    ALTER TABLE contributors RENAME COLUMN login TO login_before;
    ALTER TABLE contributors ADD COLUMN host TEXT NOT NULL DEFAULT '';  -- what is before the id's last ':'
    ALTER TABLE contributors ADD COLUMN login TEXT NOT NULL DEFAULT ''; -- after it; of 7+mona, mona
    UPDATE contributors SET host = host_before, login = login_before;
    ALTER TABLE contributors DROP COLUMN host_before;
    ALTER TABLE contributors DROP COLUMN login_before;
    CREATE INDEX contributors_by_host_and_tally ON contributors (host, tally, id);
    CREATE INDEX contributors_by_host_and_login ON contributors (host, login, id);
    CREATE INDEX contributors_by_login ON contributors (login, id);
",
];

/// From this version on, accounts' numbers are bound to names as they are recorded.
const NUMBERS_BOUND: usize = 8;

/// Brings the file's schema up to date; fails if the file is not plaudit's or is newer.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let newest = newest();
    // One transaction, so that tables that another process creates now are not taken for another program's.
    let at_once = connection.transaction().map_err(|e| failure(&e))?;
    if version(&at_once)? == newest {
        return Ok(());
    }
    drop(at_once);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| failure(&e))?;
    let found = version(&transaction)?;
    if found > 0 {
        let count = |pragma: &str| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let bytes =
            count("page_count").and_then(|pages| Ok(pages * count("page_size")?)).map_err(|e| failure(&e))?;
        tracing::info!(
            bytes,
            "brings the ledger's file from version {found} to {newest}; until that is done, nothing is recorded, and \
             an end in between leaves the file as it is"
        );
    }
    if found == 0 {
        transaction.execute_batch(TABLES).map_err(|e| failure(&e))?;
    } else {
        step_from(&transaction, found).map_err(|e| failure(&e))?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION).map_err(|e| failure(&e))?;
    transaction
        .pragma_update(None, "user_version", i64::try_from(newest).unwrap_or(0))
        .map_err(|e| failure(&e))?;
    transaction.commit().map_err(|e| failure(&e))
}

/// Brings the tables of an older file up to date.
fn step_from(transaction: &Transaction<'_>, version: usize) -> rusqlite::Result<()> {
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    if version < NUMBERS_BOUND { adopt::adopt(transaction) } else { Ok(()) }
}

/// The version that this program writes.
pub(super) fn newest() -> usize {
    STEPS.len()
}

/// Writes the version that the file has once more: the smallest change there is, to find out whether the
/// file can be written.
pub(super) fn touch(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    transaction.pragma_update(None, "user_version", version)
}

/// The version of the file's schema, 0 for a new file; fails if the file is not plaudit's or is newer.
pub(super) fn version(connection: &Connection) -> Result<usize, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| failure(&e));
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION && (tables > 0 || version > 0) {
        return Err(StoreError::Broken(
            "the file is a database of another program; give plaudit one of its own".into(),
        ));
    }
    match usize::try_from(version) {
        Ok(version) if version <= STEPS.len() => Ok(version),
        _ => Err(StoreError::Broken(format!(
            "the file was written by a newer plaudit (schema {version}; this one knows {}); use that version, or a copy of the file from before",
            STEPS.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What each table, index and view of the file is made by, without comments and the way it is laid out.
    fn made_by(connection: &Connection) -> BTreeMap<String, Option<String>> {
        let plain = |sql: String| {
            let lines = sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
            let code: Vec<_> = lines.flat_map(str::split_whitespace).collect();
            code.join(" ").replace("( ", "(").replace(" )", ")").replace(" ,", ",")
        };
        let mut rows = connection.prepare("SELECT name, sql FROM sqlite_schema").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.map(plain))));
        rows.unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_new_file_has_the_tables_of_one_that_came_through_all_steps() {
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        let mut old = Connection::open_in_memory().unwrap();
        let transaction = old.transaction().unwrap();
        step_from(&transaction, 0).unwrap();
        transaction.commit().unwrap();
        assert_eq!(made_by(&new), made_by(&old));
    }
}
