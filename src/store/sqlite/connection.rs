//! Connections to the file: one writes, on a thread of its own; some read beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::checkpoint::{BOUNDS, Bounds, Checkpoints};
use super::error::failure;
use super::file::{Files, create_private};
use super::forget::Keys;
use super::owing::Written;
use super::readers::Readers;
use super::schema;
use crate::store::{ForgetKey, StoreError};

/// How long a writer waits for another process that is writing to the same file.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long the last checkpoint waits for readers, of this process or another. Less than what the end of
/// the process may take.
const LAST_CHECKPOINT: Duration = Duration::from_millis(500);
const _: () = assert!(BUSY.as_millis() < crate::store::SLOWEST_WRITE.as_millis());
/// How long a ping waits for its write, which may wait for another process.
const PING: Duration = Duration::from_secs(1);
/// How many jobs may wait for the writer.
const QUEUE: usize = 1_024;
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A ledger in one file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Mutex<Option<Writer>>,
    readers: Arc<Readers>,
    files: Arc<Files>,
    pub(super) keys: Arc<Keys>,
    pub(super) written: Arc<Written>,
    /// Why the ledger was unavailable for the last write, if it was.
    failing: Arc<Mutex<Option<StoreError>>>,
}

#[derive(Debug)]
struct Writer {
    jobs: mpsc::SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl Sqlite {
    /// The same as [`open`](Self::open), on a thread of its own: another process may hold the file, and bringing a
    /// large one up to date takes minutes.
    pub async fn open_apart(path: PathBuf, key: Option<ForgetKey>) -> Result<Self, StoreError> {
        let open = move || Self::bounded(&path, key, BOUNDS);
        tokio::task::spawn_blocking(open)
            .await
            .unwrap_or_else(|error| Err(StoreError::Broken(error.to_string())))
    }

    /// Opens or makes the file, and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::bounded(path, None, BOUNDS)
    }

    pub(super) fn bounded(path: &Path, key: Option<ForgetKey>, bounds: Bounds) -> Result<Self, StoreError> {
        let mut connection = prepare(path).map_err(|error| named(path, error))?;
        // One ledger has one key, by whichever path it is opened.
        let keys = Arc::new(Keys::new(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), key));
        keys.check(&connection).map_err(|error| named(path, error))?;
        super::forget::scrub_left(&connection).map_err(|error| named(path, failure(&error)))?;
        let files = Arc::new(Files::of(path)?);
        let written = Arc::<Written>::default();
        Written::observe(&written, &mut connection).map_err(|error| named(path, failure(&error)))?;
        let mut checkpoints =
            Checkpoints::start(&mut connection, &files, bounds).map_err(|error| named(path, error))?;
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || {
                for job in queue {
                    // The panic hook has logged it, the transaction is undone, and its caller gets no answer.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
                    checkpoints.go_on(&connection);
                }
                checkpoints.end();
                empty_log(&connection);
            })
            .map_err(|e| StoreError::Unavailable(format!("the writer's thread cannot be started: {e}")))?;
        let readers = Arc::new(Readers::new(Arc::clone(&files)));
        Ok(Self {
            writer: Mutex::new(Some(Writer { jobs, thread })),
            readers,
            files,
            keys,
            written,
            failing: Arc::default(),
        })
    }

    /// Closes the idle readers, lets the writer finish its queue and move the write-ahead log into the file,
    /// and waits for its end. Blocks; later calls do nothing.
    fn shut(readers: &Readers, writer: Option<Writer>) {
        readers.close();
        if let Some(Writer { jobs, thread }) = writer {
            drop(jobs);
            // A writer that panicked has nothing left to close.
            let _ = thread.join();
        }
    }

    fn take_writer(&self) -> Option<Writer> {
        self.writer.lock().ok().and_then(|mut writer| writer.take())
    }

    pub(super) async fn shut_down(&self) {
        let (readers, writer) = (Arc::clone(&self.readers), self.take_writer());
        // An error would be a panic in there, and there is nothing left to do.
        let _ = tokio::task::spawn_blocking(move || Self::shut(&readers, writer)).await;
    }

    /// Runs `job` in one transaction on the writer's thread, and returns when it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (files, failing) = (Arc::clone(&self.files), Arc::clone(&self.failing));
        let written = Arc::clone(&self.written);
        self.on_writer(move |connection| {
            let outcome = commit(connection, &files, job);
            written.ended();
            if let Ok(mut failing) = failing.lock() {
                *failing =
                    outcome.as_ref().err().filter(|e| matches!(e, StoreError::Unavailable(_))).cloned();
            }
            outcome
        })
        .await
    }

    /// Runs `job` on the writer's thread, between two transactions.
    pub(super) async fn maintain(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let path = self.files.path.clone();
        self.on_writer(move |connection| job(connection).map_err(|error| named(&path, failure(&error)))).await
    }

    /// Runs `job` on the writer's thread.
    pub(super) async fn on_writer<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = done.send(job(connection));
        });
        let jobs =
            self.writer.lock().ok().and_then(|writer| writer.as_ref().map(|writer| writer.jobs.clone()));
        jobs.ok_or_else(closed)?.try_send(job).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => StoreError::Unavailable("too much waits for the disk".into()),
            mpsc::TrySendError::Disconnected(_) => StoreError::Unavailable("the writer has ended".into()),
        })?;
        answer.await.map_err(|_| StoreError::Unavailable("the write panicked".into()))?
    }

    /// Whether the ledger can be read and written: a small write, since a full disk and a lock of another
    /// process stop no read. While the writer is busy or waits for a lock, what came of the last write.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let probe = self.write(|transaction| {
            transaction
                .prepare_cached("SELECT 1 FROM contributors LIMIT 1")?
                .query_row([], |_| Ok(()))
                .optional()?;
            schema::touch(transaction)
        });
        let last = |_| self.failing.lock().ok().and_then(|failing| failing.clone()).map_or(Ok(()), Err);
        tokio::time::timeout(PING, probe).await.unwrap_or_else(last)
    }

    /// Runs `job` on a reader's connection.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(job).await
    }

    /// The same for what may go through much of the ledger.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read_long(job).await
    }

    /// The same for a page of a list.
    pub(super) async fn read_page<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read_page(job).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        Self::shut(&self.readers, self.take_writer());
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the ledger is closed".into())
}

/// Says in an error which file it is about.
pub(super) fn named(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(why) => StoreError::Unavailable(format!("{}: {why}", path.display())),
        StoreError::Broken(why) => StoreError::Broken(format!("{}: {why}", path.display())),
        other => other,
    }
}

/// Opens or creates the file, and finds out whether it is a ledger that can be written.
fn prepare(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let mut connection = connect(path)?;
    schema::migrate(&mut connection)?;
    writable(&mut connection)?;
    Ok(connection)
}

/// Runs `job` in one transaction, which is committed only while the open files are those at their paths.
fn commit<T>(
    connection: &mut Connection,
    files: &Files,
    job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let failed = |error| named(&files.path, failure(&error));
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let value = job(&transaction).map_err(failed)?;
    files.check()?;
    transaction.commit().map_err(failed)?;
    Ok(value)
}

/// Opens a file that exists: a reader must never create another ledger in its place.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(&e))?;
    let set_up = || -> rusqlite::Result<String> {
        connection.busy_timeout(BUSY)?;
        let mode = write_ahead(&connection)?;
        connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")?;
        // A statement is planned once: without this, many are for each new value that is bound in them.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
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
    let began = Instant::now();
    loop {
        let mode = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0));
        match mode {
            Err(error)
                if began.elapsed() < BUSY && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
            {
                std::thread::sleep(PAUSE);
            }
            mode => return mode,
        }
    }
}

/// Fails at start, and not at the first delivery, if the file cannot be written.
fn writable(connection: &mut Connection) -> Result<(), StoreError> {
    let mut probe = || -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch("CREATE TABLE plaudit_probe (x); DROP TABLE plaudit_probe;")?;
        transaction.rollback()
    };
    probe().map_err(|e| failure(&e))
}

/// Moves the write-ahead log into the file, so that a copy of the one file is the whole ledger. If that
/// fails, the log stays beside the file, and the next start reads both.
fn empty_log(connection: &Connection) {
    let emptied = connection
        .busy_timeout(LAST_CHECKPOINT)
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)));
    let why = match emptied {
        Ok(0_i64) => return,
        Ok(_) => "another reader or writer has the file open".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(
        why,
        "part of the ledger is still in the file with the ending -wal; a copy needs both files"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_write_undoes_it_and_leaves_the_writer_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
        let panics = |transaction: &Transaction<'_>| -> rusqlite::Result<()> {
            transaction.execute_batch("CREATE TABLE half (x)")?;
            panic!("on purpose")
        };
        let panicked = sqlite.write(panics).await;
        assert!(matches!(panicked, Err(StoreError::Unavailable(_))), "{panicked:?}");
        sqlite.write(|transaction| transaction.execute_batch("CREATE TABLE half (x)")).await.unwrap();
    }
}
