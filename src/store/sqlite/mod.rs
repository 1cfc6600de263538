//! The embedded store: one SQLite file, with nothing to set up.
//!
//! One thread writes, so that there is nothing to wait for but the disk; readers stand beside it. The
//! write-ahead log is synced at every commit (`synchronous=FULL`), before anyone is answered.

mod schema;

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    Backlog, Contributor, Counted, Due, Novelty, Order, Page, Paged, Progress, Recorded, Settled, Store,
    StoreError, cursor,
};
use crate::domain::{
    Content, Contribution, ContributionId, ContributorId, Destination, Kind, Milestones, Moment, Recognition,
    RecognitionId, Standing,
};

/// How long a writer waits for another process that is writing to the same file.
const BUSY: Duration = Duration::from_secs(5);
/// How many jobs may wait for the writer.
const QUEUE: usize = 1_024;
/// How many readers are kept open.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A ledger in one file.
#[derive(Debug)]
pub struct Sqlite {
    writer: mpsc::SyncSender<Job>,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Readers {
    path: std::path::PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens or makes the file, and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let told = |error: StoreError| match error {
            StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
            StoreError::Broken(why) => StoreError::Broken(format!("{}: {why}", path.display())),
            other => other,
        };
        let mut connection = connect(path).map_err(told)?;
        schema::migrate(&mut connection).map_err(told)?;
        writable(&mut connection).map_err(told)?;
        let (writer, jobs) = mpsc::sync_channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || jobs.into_iter().for_each(|job| job(&mut connection)))
            .map_err(|e| StoreError::Unavailable(format!("no thread for the writer: {e}")))?;
        let readers = Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() });
        Ok(Self { writer, readers })
    }

    /// Runs `job` in one transaction on the writer's thread, and returns when it is durable.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let outcome = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .and_then(|transaction| {
                    let value = job(&transaction)?;
                    transaction.commit()?;
                    Ok(value)
                })
                .map_err(|e| failure(&e));
            let _ = done.send(outcome);
        });
        self.writer.try_send(job).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => StoreError::Unavailable("too much waits for the disk".into()),
            mpsc::TrySendError::Disconnected(_) => StoreError::Unavailable("the writer has ended".into()),
        })?;
        answer.await.map_err(|_| StoreError::Unavailable("the writer has ended".into()))?
    }

    /// Runs `job` on a reader's connection.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let run = move || {
            let idle = readers.idle.lock().ok().and_then(|mut idle| idle.pop());
            let connection = idle.map_or_else(|| connect(&readers.path), Ok)?;
            let outcome = job(&connection).map_err(|e| failure(&e));
            if let Ok(mut idle) = readers.idle.lock()
                && idle.len() < READERS
            {
                idle.push(connection);
            }
            outcome
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|e| StoreError::Unavailable(format!("the reader ended: {e}")))?
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|e| failure(&e))?;
    let set_up = || -> rusqlite::Result<String> {
        connection.busy_timeout(BUSY)?;
        let mode = write_ahead(&connection)?;
        connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(mode)
    };
    let mode = set_up().map_err(|e| failure(&e))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(connection);
    }
    Err(StoreError::Broken(format!(
        "the file cannot have a write-ahead log (mode {mode}); keep it on a local disk"
    )))
}

/// Turns the write-ahead log on. While another process does so on a new file, SQLite says at once that it
/// is busy, whatever `busy_timeout` says.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0));
        match mode {
            Err(error) if waited < BUSY && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            mode => return mode,
        }
    }
}

/// Finds out at start, not at the first delivery, that nothing can be written.
fn writable(connection: &mut Connection) -> Result<(), StoreError> {
    let mut probe = || -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch("CREATE TABLE plaudit_probe (x); DROP TABLE plaudit_probe;")?;
        transaction.rollback()
    };
    probe().map_err(|e| failure(&e))
}

fn failure(error: &rusqlite::Error) -> StoreError {
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Broken(error.to_string());
    };
    match code {
        ErrorCode::DiskFull => StoreError::Unavailable(format!("the disk is full: {error}")),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            StoreError::Unavailable(format!("the file or its folder cannot be opened for writing: {error}"))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Unavailable(format!("another process holds the file locked: {error}"))
        }
        ErrorCode::NotADatabase => StoreError::Broken(format!("the file is no SQLite database: {error}")),
        ErrorCode::DatabaseCorrupt => {
            StoreError::Broken(format!("the file is damaged; restore a copy: {error}"))
        }
        ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
            StoreError::Refused(error.to_string())
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// SQLite's integers are signed; what plaudit counts never comes near the difference.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn record_one(transaction: &Transaction<'_>, c: &Contribution, now: Moment) -> rusqlite::Result<Recorded> {
    let now = now.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO contributions (id, contributor, kind, occurred_at, recorded_at, title, url, repository, private, user_id, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            c.id.as_str(),
            c.contributor.as_str(),
            c.kind.as_str(),
            c.occurred_at.timestamp_micros(),
            now,
            c.title,
            c.url,
            c.repository,
            c.private,
            c.user_id.map(signed),
            c.content.map(|content| content.0),
        ])?;
    if inserted == 0 {
        return known(transaction, c);
    }
    transaction
        .prepare_cached(
            "INSERT INTO contributors (id, tally, recognised, user_id, first_at, last_at) VALUES (?1, 1, 0, ?2, ?3, ?3)
             ON CONFLICT (id) DO UPDATE SET tally = tally + 1, user_id = coalesce(excluded.user_id, user_id), last_at = excluded.last_at
             RETURNING tally, recognised",
        )?
        .query_row(params![c.contributor.as_str(), c.user_id.map(signed), now], |row| {
            let (tally, recognised) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
            Ok(Recorded { novelty: Novelty::New, tally, recognised, counted_for: None })
        })
}

fn known(transaction: &Transaction<'_>, c: &Contribution) -> rusqlite::Result<Recorded> {
    let (content, contributor): (Option<[u8; 16]>, String) = transaction
        .prepare_cached("SELECT content, contributor FROM contributions WHERE id = ?1")?
        .query_row([c.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction.prepare_cached("SELECT tally, recognised FROM contributors WHERE id = ?1")?.query_row(
        [&contributor],
        |row| {
            let (tally, recognised) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
            let counted_for = contributor_id(&contributor)?;
            Ok(Recorded {
                novelty: Novelty::of_repeat(content.map(Content), c.content),
                tally,
                recognised,
                counted_for: (counted_for != c.contributor).then_some(counted_for),
            })
        },
    )
}

fn recognise_one(
    transaction: &Transaction<'_>,
    recognition: &Recognition,
    destinations: &[Destination],
) -> rusqlite::Result<bool> {
    let made_at = recognition.recognized_at.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO recognitions (id, contributor, milestone, tally, recognized_at, contribution)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            recognition.id.as_str(),
            recognition.contributor.as_str(),
            signed(recognition.milestone),
            signed(recognition.tally),
            made_at,
            recognition.contribution.as_ref().map(|c| c.id.as_str()),
        ])?;
    if inserted > 0 {
        let mut due = transaction.prepare_cached(
            "INSERT INTO outbox (recognition, destination, state, next_try) VALUES (?1, ?2, 'waiting', ?3)",
        )?;
        for destination in destinations {
            due.execute(params![recognition.id.as_str(), destination.as_str(), made_at])?;
        }
    }
    transaction
        .prepare_cached("UPDATE contributors SET recognised = max(recognised, ?2) WHERE id = ?1")?
        .execute(params![recognition.contributor.as_str(), signed(recognition.milestone)])?;
    Ok(inserted > 0)
}

/// The columns that [`recognition`] reads, with the contribution that it names.
const RECOGNITION: &str = "r.seq, r.id, r.contributor, r.milestone, r.tally, r.recognized_at, c.id, c.contributor, c.kind, \
    c.occurred_at, c.title, c.url, c.repository, c.private, c.user_id, c.content, c.recorded_at";
const RECOGNITIONS: &str = "recognitions r LEFT JOIN contributions c ON c.id = r.contribution";

fn recognition(row: &Row<'_>) -> rusqlite::Result<(i64, Recognition)> {
    let contribution = match row.get::<_, Option<String>>(6)? {
        Some(_) => Some(counted(row, 6)?.contribution),
        None => None,
    };
    let recognition = Recognition {
        id: RecognitionId::from_text(row.get::<_, String>(1)?),
        contributor: contributor_id(&row.get::<_, String>(2)?)?,
        milestone: unsigned(row.get(3)?),
        tally: unsigned(row.get(4)?),
        recognized_at: moment(row.get(5)?)?,
        contribution,
    };
    Ok((row.get(0)?, recognition))
}

/// The columns that [`counted`] reads, with the sequence number last.
const CONTRIBUTION: &str = "id, contributor, kind, occurred_at, title, url, repository, private, user_id, content, \
    recorded_at, seq FROM contributions";

fn counted(row: &Row<'_>, at: usize) -> rusqlite::Result<Counted> {
    let text = |place: usize| row.get::<_, Option<String>>(at + place);
    let contribution = Contribution {
        id: ContributionId::from_text(row.get::<_, String>(at)?),
        contributor: contributor_id(&row.get::<_, String>(at + 1)?)?,
        kind: Kind::parse(&row.get::<_, String>(at + 2)?).ok_or_else(|| strange("kind"))?,
        occurred_at: moment(row.get(at + 3)?)?,
        title: text(4)?,
        url: text(5)?,
        repository: text(6)?,
        private: row.get(at + 7)?,
        user_id: row.get::<_, Option<i64>>(at + 8)?.map(unsigned),
        content: row.get::<_, Option<[u8; 16]>>(at + 9)?.map(Content),
    };
    Ok(Counted { contribution, recorded_at: moment(row.get(at + 10)?)? })
}

fn contributor(row: &Row<'_>) -> rusqlite::Result<Contributor> {
    Ok(Contributor {
        standing: Standing {
            contributor: contributor_id(&row.get::<_, String>(0)?)?,
            tally: unsigned(row.get(1)?),
            recognised: unsigned(row.get(2)?),
        },
        user_id: row.get::<_, Option<i64>>(3)?.map(unsigned),
        first_at: moment(row.get(4)?)?,
        last_at: moment(row.get(5)?)?,
    })
}

const CONTRIBUTOR: &str = "SELECT id, tally, recognised, user_id, first_at, last_at FROM contributors";

fn contributor_id(text: &str) -> rusqlite::Result<ContributorId> {
    ContributorId::parse(text).map_err(|_| strange("contributor"))
}

fn moment(micros: i64) -> rusqlite::Result<Moment> {
    Moment::from_timestamp_micros(micros).ok_or_else(|| strange("time"))
}

fn strange(what: &str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(
        format!("a {what} in the file is none that plaudit writes").into(),
    )
}

fn limit(page: &Page) -> i64 {
    i64::try_from(page.limit).unwrap_or(100) + 1
}

/// Where a page of a list that is read backwards begins.
fn before(page: &Page) -> Result<i64, StoreError> {
    page.after.as_deref().map_or(Ok(i64::MAX), cursor::decode)
}

/// Cuts a page whose items carry their sequence number.
fn cut_by_seq<T>(rows: Vec<(i64, T)>, limit: usize) -> Paged<T> {
    let Paged { items, next } = Paged::cut(rows, limit, |(seq, _)| cursor::encode(seq));
    Paged { items: items.into_iter().map(|(_, item)| item).collect(), next }
}

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        let batch = batch.to_vec();
        self.write(move |transaction| batch.iter().map(|c| record_one(transaction, c, now)).collect()).await
    }

    async fn recognise(
        &self,
        made: &[Recognition],
        destinations: &[Destination],
    ) -> Result<Vec<bool>, StoreError> {
        let (made, destinations) = (made.to_vec(), destinations.to_vec());
        self.write(move |transaction| {
            made.iter().map(|r| recognise_one(transaction, r, &destinations)).collect()
        })
        .await
    }

    /// Reads every contributor whose tally is above what is recognised: an index would cost every commit
    /// more than this costs a drain.
    async fn owing(&self, milestones: &Milestones, limit: usize) -> Result<Vec<Standing>, StoreError> {
        let milestones = milestones.clone();
        self.read(move |connection| {
            let sql = format!("{CONTRIBUTOR} WHERE tally > recognised");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], contributor)?;
            let standings = rows.map(|row| row.map(|contributor| contributor.standing));
            let owes = |s: &Standing| milestones.next(s.recognised).is_some_and(|next| next <= s.tally);
            standings.filter(|row| row.as_ref().map_or(true, owes)).take(limit).collect()
        })
        .await
    }

    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = move |connection: &Connection| -> rusqlite::Result<Vec<Due>> {
            let sql = format!(
                "SELECT {RECOGNITION}, o.tries FROM outbox o JOIN {RECOGNITIONS}
                 WHERE r.id = o.recognition AND o.destination = ?1 AND o.state = 'waiting' AND o.next_try <= ?2
                 ORDER BY o.next_try, r.seq LIMIT ?3",
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![destination.as_str(), now.timestamp_micros(), limit], |row| {
                    Ok(Due { recognition: recognition(row)?.1, tries: row.get(17)? })
                })?;
            rows.collect()
        };
        if held_until <= now {
            return self.read(find).await;
        }
        self.write(move |transaction| {
            let due = find(transaction)?;
            let mut hold = transaction.prepare_cached(
                "UPDATE outbox SET next_try = ?3 WHERE recognition = ?1 AND destination = ?2",
            )?;
            for held in &due {
                let id = held.recognition.id.as_str();
                hold.execute(params![id, destination.as_str(), held_until.timestamp_micros()])?;
            }
            Ok(due)
        })
        .await
    }

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        let settled = settled.to_vec();
        self.write(move |transaction| {
            for (id, destination, became) in &settled {
                let (set, value) = match became {
                    Settled::Done => ("state = 'done', reason = ?3", Value::Null),
                    Settled::GivenUp(reason) => ("state = 'given_up', reason = ?3", Value::Text(reason.clone())),
                    Settled::Later(at) => {
                        ("next_try = ?3, tries = tries + 1", Value::Integer(at.timestamp_micros()))
                    }
                };
                let sql =
                    format!("UPDATE outbox SET {set} WHERE recognition = ?1 AND destination = ?2 AND state = 'waiting'");
                transaction.prepare_cached(&sql)?.execute(params![id.as_str(), destination.as_str(), value])?;
            }
            Ok(())
        })
        .await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        let destinations = destinations.to_vec();
        self.read(move |connection| {
            let mut backlog = Backlog::default();
            for destination in destinations {
                let sql = "SELECT count(*), min(r.recognized_at) FROM outbox o JOIN recognitions r ON r.id = o.recognition
                           WHERE o.destination = ?1 AND o.state = 'waiting'";
                let mut statement = connection.prepare_cached(sql)?;
                let (waiting, oldest): (i64, Option<i64>) =
                    statement.query_row([destination.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
                backlog.waiting += unsigned(waiting);
                let oldest = oldest.map(moment).transpose()?;
                backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
            }
            Ok(backlog)
        })
        .await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {CONTRIBUTION} WHERE id = ?1"))?;
            statement.query_row([id], |row| counted(row, 0)).optional()
        })
        .await
    }

    async fn reached(
        &self,
        contributor: &ContributorId,
        tally: u64,
    ) -> Result<Option<Contribution>, StoreError> {
        let (contributor, place) = (contributor.to_string(), signed(tally.saturating_sub(1)));
        self.read(move |connection| {
            let sql = format!("SELECT {CONTRIBUTION} WHERE contributor = ?1 ORDER BY seq LIMIT 1 OFFSET ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            statement
                .query_row(params![contributor, place], |row| Ok(counted(row, 0)?.contribution))
                .optional()
        })
        .await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{CONTRIBUTOR} WHERE id = ?1"))?
                .query_row([id], contributor)
                .optional()
        })
        .await
    }

    async fn contributors(&self, order: Order, page: &Page) -> Result<Paged<Contributor>, StoreError> {
        let (limit, count) = (limit(page), page.limit);
        let after: Option<(i64, String)> = page.after.as_deref().map(cursor::decode).transpose()?;
        self.read(move |connection| {
            let (tally, id) = after.unwrap_or((i64::MAX, String::new()));
            let sql = match order {
                Order::Tally => format!(
                    "{CONTRIBUTOR} WHERE tally <= ?1 AND (tally < ?1 OR id > ?2) ORDER BY tally DESC, id LIMIT ?3"
                ),
                Order::Id => format!("{CONTRIBUTOR} WHERE ?1 = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            };
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![tally, id, limit], contributor)?;
            let mark = |c: &Contributor| cursor::encode(&(c.standing.tally, &c.standing.contributor));
            Ok(Paged::cut(rows.collect::<rusqlite::Result<_>>()?, count, mark))
        })
        .await
    }

    async fn contributions_of(
        &self,
        contributor: &ContributorId,
        with_private: bool,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        let (contributor, before, limit, count) =
            (contributor.to_string(), before(page)?, limit(page), page.limit);
        self.read(move |connection| {
            let sql = format!(
                "SELECT {CONTRIBUTION} WHERE contributor = ?1 AND seq < ?2 AND (?3 OR NOT private) ORDER BY seq DESC LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![contributor, before, with_private, limit], |row| {
                Ok((row.get(11)?, counted(row, 0)?))
            })?;
            Ok(cut_by_seq(rows.collect::<rusqlite::Result<_>>()?, count))
        })
        .await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.id = ?1");
            let Some((_, found)) =
                connection.prepare_cached(&sql)?.query_row([&id], recognition).optional()?
            else {
                return Ok(None);
            };
            let sql =
                "SELECT destination, state, reason FROM outbox WHERE recognition = ?1 ORDER BY destination";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([&id], |row| {
                let (destination, state): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(Progress {
                    destination: Destination::from_word(&destination)
                        .ok_or_else(|| strange("destination"))?,
                    state: Progress::STATES
                        .into_iter()
                        .find(|s| *s == state)
                        .ok_or_else(|| strange("state"))?,
                    reason: row.get(2)?,
                })
            })?;
            Ok(Some((found, rows.collect::<rusqlite::Result<_>>()?)))
        })
        .await
    }

    async fn recognitions(&self, page: &Page) -> Result<Paged<Recognition>, StoreError> {
        let (before, limit, count) = (before(page)?, limit(page), page.limit);
        self.read(move |connection| {
            let sql = format!(
                "SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq < ?1 ORDER BY r.seq DESC LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![before, limit], recognition)?;
            Ok(cut_by_seq(rows.collect::<rusqlite::Result<_>>()?, count))
        })
        .await
    }

    async fn recognitions_after(
        &self,
        position: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Recognition>, String), StoreError> {
        let after: Option<i64> = position.map(cursor::decode).transpose()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let Some(after) = after else {
                let sql = "SELECT coalesce(max(seq), 0) FROM recognitions";
                let newest: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                return Ok((Vec::new(), cursor::encode(&newest)));
            };
            let sql =
                format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![after, limit], recognition)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let position = rows.last().map_or(after, |(seq, _)| *seq);
            Ok((rows.into_iter().map(|(_, r)| r).collect(), cursor::encode(&position)))
        })
        .await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = "SELECT seq FROM recognitions WHERE id = ?1";
            let seq: Option<i64> =
                connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            Ok(seq.as_ref().map(cursor::encode))
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT 1 FROM contributors LIMIT 1";
        self.read(move |connection| connection.prepare_cached(sql)?.query_row([], |_| Ok(())).optional())
            .await?;
        Ok(())
    }
}
