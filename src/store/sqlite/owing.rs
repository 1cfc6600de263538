//! Who is owed a recognition.
//!
//! What is owed follows from a contributor's row, so only a row that was written since the last sweep can have become
//! owed something. The writer notes their numbers in memory, and a sweep looks at these alone. The first sweep of a
//! process looks at every contributor, and so does one after the milestones have changed, after another process has
//! written to the file, or after too many rows were written to be noted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::connection::Sqlite;
use super::error::failure;
use super::rows::{CONTRIBUTORS, contributor, next_readable, read};
use crate::domain::{ContributorId, Milestones, Standing};
use crate::store::{Contributor, StoreError};

/// How many rows are noted: beyond that, a look at all of them is due.
const MOST: usize = 65_536;

/// The contributors whose rows were written since they were looked at.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the transaction that is under way.
    under_way: Vec<i64>,
    /// By transactions that are committed, or were undone.
    numbers: BTreeSet<i64>,
    /// Whether there were too many.
    overflowed: bool,
    /// The milestones for which all others were looked at.
    complete_for: Option<Milestones>,
    /// The file's version before all others were looked at: it changes with each commit of another process.
    version: i64,
}

impl State {
    fn keep_bounded(&mut self) {
        if self.numbers.len() > MOST {
            self.numbers.clear();
            self.overflowed = true;
            self.complete_for = None;
        }
    }
}

impl Written {
    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the writer's connection note each row of contributors that it writes.
    pub(super) fn observe(written: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let version = version(connection)?;
        written.state(|state| state.version = version);
        let written = Arc::clone(written);
        let note = move |_, _: &str, table: &str, number| {
            if table == "contributors" {
                written.state(|state| state.under_way.push(number));
            }
        };
        connection.update_hook(Some(note))
    }

    /// After each transaction: from now on, readers see what it wrote.
    pub(super) fn ended(&self) {
        self.state(|state| {
            let under_way = std::mem::take(&mut state.under_way);
            state.numbers.extend(under_way);
            state.keep_bounded();
        });
    }

    /// Begins a sweep that is to look at all.
    fn begin(&self) {
        self.state(|state| {
            state.complete_for = None;
            state.overflowed = false;
        });
    }

    /// Whether the file has this version, by which no other process has written to it; notes it.
    fn is_still(&self, version: i64) -> bool {
        self.state(|state| std::mem::replace(&mut state.version, version) == version)
    }

    fn is_complete_for(&self, milestones: &Milestones) -> bool {
        self.state(|state| state.complete_for.as_ref() == Some(milestones))
    }

    /// Every contributor was looked at.
    fn looked_at_all(&self, milestones: &Milestones) {
        self.state(|state| {
            if !state.overflowed {
                state.complete_for = Some(milestones.clone());
            }
        });
    }

    /// Takes the next number out: what is written to its row from now on is noted anew.
    fn take(&self, after: i64) -> Option<i64> {
        self.state(|state| {
            let next = state.numbers.range(after + 1..).next().copied()?;
            state.numbers.remove(&next);
            Some(next)
        })
    }

    fn put_back(&self, number: i64) {
        self.state(|state| {
            state.numbers.insert(number);
            state.keep_bounded();
        });
    }
}

pub(super) async fn owing(
    sqlite: &Sqlite,
    milestones: &Milestones,
    after: Option<&ContributorId>,
    limit: usize,
) -> Result<Vec<Standing>, StoreError> {
    let written = Arc::clone(&sqlite.written);
    if after.is_none() {
        let found = |connection: &mut Connection| version(connection).map_err(|error| failure(&error));
        let is_complete =
            written.is_complete_for(milestones) && written.is_still(sqlite.on_writer(found).await?);
        if !is_complete {
            written.begin();
        }
    }
    let (milestones, after) = (milestones.clone(), after.cloned());
    sqlite.read_long(move |connection| find(connection, &written, &milestones, after.as_ref(), limit)).await
}

/// The file's version. Only the writer's own connection tells its commits from those of others.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get("data_version"))
}

fn find(
    connection: &Connection,
    written: &Written,
    milestones: &Milestones,
    after: Option<&ContributorId>,
    limit: usize,
) -> rusqlite::Result<Vec<Standing>> {
    if written.is_complete_for(milestones) {
        return find_among(connection, written, milestones, after, limit);
    }
    let owing = find_among_all(connection, milestones, after, limit)?;
    for standing in &owing {
        // Until its row is written, it stays owed.
        if let Some(number) = number_of(connection, &standing.contributor)? {
            written.put_back(number);
        }
    }
    if owing.len() < limit {
        written.looked_at_all(milestones);
    }
    Ok(owing)
}

fn find_among_all(
    connection: &Connection,
    milestones: &Milestones,
    after: Option<&ContributorId>,
    limit: usize,
) -> rusqlite::Result<Vec<Standing>> {
    let mut statement = connection.prepare_cached(&query_of_all())?;
    let mut rows = statement.query([after.map_or("", ContributorId::as_str)])?;
    let mut owing = Vec::new();
    while owing.len() < limit {
        // One by one, so that no more is read than is owed.
        let Some(Contributor { standing, .. }) = next_readable(&mut rows, "id", contributor)? else { break };
        if is_owed(milestones, &standing) {
            owing.push(standing);
        }
    }
    Ok(owing)
}

/// The number of the contributor with an id, even if it was linked or renamed meanwhile.
const NUMBER: &str = "SELECT coalesce((SELECT number FROM contributors WHERE id = ?1),
    (SELECT coalesce(former, number) FROM accounts WHERE id = ?1)) AS number";

/// Reads contributors in the order of their numbers, which is that of the table, from `after` on: a sweep reads each
/// once. An index of who is owed would cost every commit more than this costs a drain.
fn query_of_all() -> String {
    let after = format!("coalesce(({NUMBER}), 0)");
    format!("{CONTRIBUTORS} WHERE number > {after} AND tally > recognized ORDER BY number")
}

fn is_owed(milestones: &Milestones, standing: &Standing) -> bool {
    milestones.next(standing.recognized).is_some_and(|next| next <= standing.tally)
}

fn number_of(connection: &Connection, contributor: &ContributorId) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(NUMBER)?.query_row([contributor.as_str()], |row| row.get("number"))
}

/// Looks at those alone whose rows were written since the last sweep.
fn find_among(
    connection: &Connection,
    written: &Written,
    milestones: &Milestones,
    after: Option<&ContributorId>,
    limit: usize,
) -> rusqlite::Result<Vec<Standing>> {
    let after = after.map(|after| number_of(connection, after)).transpose()?.flatten();
    let mut last = after.unwrap_or(i64::MIN);
    let mut owing = Vec::new();
    while owing.len() < limit
        && let Some(number) = written.take(last)
    {
        last = number;
        let found = look_at(connection, number).inspect_err(|_| written.put_back(number))?;
        if let Some(standing) = found.filter(|standing| is_owed(milestones, standing)) {
            written.put_back(number);
            owing.push(standing);
        }
    }
    Ok(owing)
}

/// The standing in one row; `None` where there is none, or none that can be read.
fn look_at(connection: &Connection, number: i64) -> rusqlite::Result<Option<Standing>> {
    let mut statement = connection.prepare_cached(&format!("{CONTRIBUTORS} WHERE number = ?1"))?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(read(row, "id", contributor).map(|contributor| contributor.standing))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::StatementStatus;
    use tempfile::TempDir;

    use super::super::schema;
    use super::*;
    use crate::domain::{Draft, Moment, Recognition, owed};
    use crate::store::Store as _;

    const MANY: usize = 2_000;
    const BATCH: usize = 100;

    /// A ledger in which each of [`MANY`] contributors has a tally of 3 and no recognition.
    fn many_owed() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plaudit.db");
        let mut connection = Connection::open(&path).unwrap();
        schema::migrate(&mut connection).unwrap();
        let at_once = connection.transaction().unwrap();
        for i in 0..MANY {
            let sql =
                "INSERT INTO contributors (id, tally, recognized, first_at, last_at) VALUES (?1, 3, 0, 0, 0)";
            at_once.prepare_cached(sql).unwrap().execute([format!("person-{i:05}")]).unwrap();
        }
        at_once.commit().unwrap();
        (folder, path)
    }

    fn milestones(text: &str) -> Milestones {
        Milestones::parse(text).unwrap()
    }

    async fn recognise(sqlite: &Sqlite, milestones: &Milestones, owing: &[Standing]) {
        let made: Vec<Recognition> =
            owing.iter().flat_map(|standing| owed(standing, &[], milestones, Moment::UNIX_EPOCH)).collect();
        sqlite.recognise(&made, &[]).await.unwrap();
    }

    async fn sweep(sqlite: &Sqlite, milestones: &Milestones) -> Vec<String> {
        let mut found = Vec::new();
        let mut after: Option<ContributorId> = None;
        loop {
            let owing = sqlite.owing(milestones, after.as_ref(), BATCH).await.unwrap();
            recognise(sqlite, milestones, &owing).await;
            found.extend(owing.iter().map(|standing| standing.contributor.to_string()));
            after = owing.last().map(|standing| standing.contributor.clone());
            if owing.len() < BATCH {
                return found;
            }
        }
    }

    async fn contribute(sqlite: &Sqlite, who: &str, id: &str) {
        let draft =
            Draft { contributor: who.into(), kind: "talk".into(), id: Some(id.into()), ..Draft::default() };
        let one = draft.check(Moment::UNIX_EPOCH, || unreachable!()).unwrap();
        sqlite.record(&[one], Moment::UNIX_EPOCH).await.unwrap();
    }

    /// The steps of SQLite's machine in all runs of the query over all contributors so far.
    fn steps(connection: &Connection) -> i32 {
        connection.prepare_cached(&query_of_all()).unwrap().get_status(StatementStatus::VmStep)
    }

    #[tokio::test]
    async fn a_sweep_of_many_owed_reads_each_contributor_once() {
        let (_folder, path) = many_owed();
        let connection = Connection::open(&path).unwrap();
        let three = milestones("3");
        let written = Written::default();
        assert_eq!(find(&connection, &written, &three, None, usize::MAX).unwrap().len(), MANY);
        let whole = steps(&connection);
        let written = Written::default();
        let (mut after, mut found) = (None, 0);
        loop {
            let owing = find(&connection, &written, &three, after.as_ref(), BATCH).unwrap();
            found += owing.len();
            after = owing.last().map(|standing| standing.contributor.clone());
            if owing.len() < BATCH {
                break;
            }
        }
        assert_eq!(found, MANY);
        let in_parts = steps(&connection) - whole;
        assert!(in_parts < whole + whole / 10, "{in_parts} steps in parts, {whole} at once");
    }

    #[tokio::test]
    async fn after_the_first_sweep_only_contributors_that_were_written_are_looked_at() {
        let (_folder, path) = many_owed();
        let sqlite = Sqlite::open(&path).unwrap();
        let three = milestones("3");
        assert_eq!(sweep(&sqlite, &three).await.len(), MANY);
        // What was recognised was written; the second sweep looks at that, and then there is nothing left.
        assert_eq!(sweep(&sqlite, &three).await, [""; 0]);
        assert_eq!(sqlite.written.state(|state| state.numbers.len()), 0);
        for id in ["1", "2", "3"] {
            contribute(&sqlite, "ada", id).await;
        }
        assert_eq!(sqlite.written.state(|state| state.numbers.len()), 1);
        assert_eq!(sweep(&sqlite, &three).await, ["ada"]);
        assert_eq!(sweep(&sqlite, &three).await, [""; 0]);
    }

    #[tokio::test]
    async fn what_is_owed_is_found_again_until_it_is_recognised() {
        let (_folder, path) = many_owed();
        let sqlite = Sqlite::open(&path).unwrap();
        for _ in 0..3 {
            let owing = sqlite.owing(&milestones("3"), None, usize::MAX).await.unwrap();
            assert_eq!(owing.len(), MANY);
        }
    }

    #[tokio::test]
    async fn another_process_and_other_milestones_have_everybody_looked_at_again() {
        let (_folder, path) = many_owed();
        let sqlite = Sqlite::open(&path).unwrap();
        sweep(&sqlite, &milestones("3")).await;
        sweep(&sqlite, &milestones("3")).await;
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE contributors SET recognized = 0 WHERE id = 'person-00007'", []).unwrap();
        assert_eq!(sweep(&sqlite, &milestones("3")).await, ["person-00007"]);
        assert_eq!(sqlite.owing(&milestones("2,3"), None, usize::MAX).await.unwrap().len(), 0);
        other.execute("UPDATE contributors SET recognized = 1", []).unwrap();
        sweep(&sqlite, &milestones("9")).await;
        assert_eq!(sqlite.owing(&milestones("2"), None, usize::MAX).await.unwrap().len(), MANY);
    }

    #[tokio::test]
    async fn too_many_to_be_noted_have_everybody_looked_at_again() {
        let (_folder, path) = many_owed();
        let sqlite = Sqlite::open(&path).unwrap();
        let three = milestones("3");
        sweep(&sqlite, &three).await;
        let more = i64::try_from(MOST).unwrap();
        sqlite.written.state(|state| state.under_way.extend(0..=more));
        contribute(&sqlite, "ada", "1").await;
        assert!(!sqlite.written.is_complete_for(&three));
        let clear = |t: &rusqlite::Transaction<'_>| t.execute("UPDATE contributors SET recognized = 0", []);
        sqlite.write(clear).await.unwrap();
        sqlite.written.state(|state| state.numbers.clear());
        assert_eq!(sweep(&sqlite, &three).await.len(), MANY);
        assert!(sqlite.written.is_complete_for(&three));
    }
}
