//! The file: one connection that writes, on a thread of its own, and some that read beside it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::schema;
use crate::store::StoreError;

/// How long a writer waits for another process that is writing to the same file.
const BUSY: Duration = Duration::from_secs(5);
const _: () = assert!(BUSY.as_millis() < crate::store::SLOWEST_WRITE.as_millis());
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
    path: PathBuf,
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
    pub(super) async fn write<T: Send + 'static>(
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
    pub(super) async fn read<T: Send + 'static>(
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

pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
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
