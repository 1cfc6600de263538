//! Copies the pages of the write-ahead log into the file, beside the commits, and bounds the log's length.
//!
//! A thread with a connection of its own copies and syncs them (`PASSIVE`), which holds up no commit. SQLite begins the
//! log anew only where all of it is copied and no reader needs it, and a busy writer appends to it meanwhile. So the
//! writer copies the last few pages itself, between two commits (`RESTART`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use super::connection::{BUSY, connect};
use super::error::failure;
use super::file::Files;
use crate::store::StoreError;

/// How many pages are left to the writer at most, unless more come meanwhile again and again.
const FEW: u32 = 500;
/// How often the thread copies what came while it was copying.
const ROUNDS: usize = 5;
/// How long the writer waits for readers that need the log.
const READERS: Duration = Duration::from_millis(100);

/// How long the log may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// After how many pages it is copied.
    pub(super) step: u32,
    /// With how many the writer waits for the thread.
    pub(super) most: u32,
}

/// Pages of 4 KiB: 64 MiB and 256 MiB.
pub(super) const BOUNDS: Bounds = Bounds { step: 16_000, most: 64_000 };

/// The writer's side of the checkpoints.
pub(super) struct Checkpoints {
    bounds: Bounds,
    /// How many pages the log has after the newest commit, with those of another process.
    pages: Arc<AtomicU32>,
    /// With how many pages the next checkpoint begins.
    next: u32,
    is_under_way: bool,
    is_too_long: bool,
    begin: SyncSender<()>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread, and turns off the checkpoints that SQLite makes within a commit.
    pub(super) fn start(
        writer: &mut Connection,
        files: &Arc<Files>,
        bounds: Bounds,
    ) -> Result<Self, StoreError> {
        let (connection, synced) = (connect(&files.path)?, Arc::clone(files));
        Self::copying(writer, bounds, move |pages| copy(&connection, &synced, pages))
    }

    fn copying(
        writer: &mut Connection,
        bounds: Bounds,
        copy: impl Fn(&AtomicU32) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let (noted, seen) = (Arc::clone(&pages), Arc::clone(&pages));
        let note = move |_: &mut Wal, pages| {
            noted.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        // SQLite's own checkpoints are such a hook, which this one replaces.
        writer.wal_hook(Some(note)).map_err(|error| failure(&error))?;
        // After readers held it back, the log's file gets shorter again.
        let longest = i64::from(bounds.step) * 2 * 4_096;
        writer.pragma_update(None, "journal_size_limit", longest).map_err(|error| failure(&error))?;
        let (begin, orders) = mpsc::sync_channel(1);
        let (end, ended) = mpsc::sync_channel(1);
        let run = move || {
            for () in orders {
                copy(&seen);
                if end.send(()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-checkpoint".into()).spawn(run);
        let thread = thread.map_err(|e| {
            StoreError::Unavailable(format!("the thread for checkpoints cannot be started: {e}"))
        })?;
        let next = bounds.step;
        Ok(Self { bounds, pages, next, is_under_way: false, is_too_long: false, begin, ended, thread })
    }

    /// Begins a checkpoint that is due, or ends the one that the thread has made. To be called between two commits.
    pub(super) fn go_on(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages.saturating_add(self.bounds.step) < self.next {
            // Another process has begun it anew.
            self.next = self.bounds.step;
        }
        if !self.is_under_way {
            if pages >= self.next {
                self.is_under_way = true;
                // Without the thread, the writer makes the checkpoint alone.
                let _ = self.begin.try_send(());
            }
            return;
        }
        if pages >= self.bounds.most {
            // An error says that the thread has ended.
            let _ = self.ended.recv();
        } else if self.ended.try_recv() == Err(TryRecvError::Empty) {
            return;
        }
        self.is_under_way = false;
        self.begin_anew(writer, pages);
    }

    /// Has the next commit begin at the start of the log, if all of it is copied and no reader needs it.
    fn begin_anew(&mut self, writer: &Connection, pages: u32) {
        let begun = writer.busy_timeout(READERS).and_then(|()| {
            let begun = writer.wal_checkpoint_v2(Some("main"), CheckpointMode::RESTART);
            writer.busy_timeout(BUSY).and(begun)
        });
        let Err(error) = begun else {
            self.pages.store(0, Ordering::Relaxed);
            (self.next, self.is_too_long) = (self.bounds.step, false);
            return;
        };
        // Tried again after as many pages once more, because every try may wait for readers.
        self.next = pages.saturating_add(self.bounds.step);
        if pages >= self.bounds.most && !self.is_too_long {
            self.is_too_long = true;
            tracing::warn!(
                why = failure(&error).why(),
                pages,
                "the file with the ending -wal grows, because it cannot be moved into the ledger; end what reads the ledger for long"
            );
        }
    }

    /// Waits for the checkpoint that is under way, and closes the thread's connection.
    pub(super) fn end(self) {
        drop((self.begin, self.ended));
        // A thread that panicked has nothing left to close.
        let _ = self.thread.join();
    }
}

/// Copies what no reader holds back, until little has come meanwhile. What fails is tried again by the writer, which
/// reports it.
fn copy(connection: &Connection, files: &Files, pages: &AtomicU32) {
    let mut before = 0;
    for _ in 0..ROUNDS {
        let Ok((_, copied)) = connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE) else {
            return;
        };
        // SQLite syncs the file only where all of the log is copied; the writer would wait for it then.
        files.sync();
        let copied = u32::try_from(copied).unwrap_or(0);
        if copied <= before || pages.load(Ordering::Relaxed).saturating_sub(copied) < FEW {
            return;
        }
        before = copied;
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::Sqlite;

    const SMALL: Bounds = Bounds { step: 50, most: 200 };
    /// The pages of one commit, with those that it changes beside its own.
    const COMMIT: u32 = 16;

    fn ledger() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plaudit.db");
        (folder, path)
    }

    async fn write(sqlite: &Sqlite, commits: usize) {
        for _ in 0..commits {
            let rows = |t: &rusqlite::Transaction<'_>| {
                t.execute_batch(
                    "CREATE TABLE IF NOT EXISTS filler (x); INSERT INTO filler VALUES (zeroblob(40000))",
                )
            };
            sqlite.write(rows).await.unwrap();
        }
    }

    /// How many pages the log's file has room for.
    fn length(path: &Path) -> u32 {
        let log = std::fs::metadata(format!("{}-wal", path.display())).unwrap().len();
        u32::try_from(log / (4_096 + 24)).unwrap()
    }

    #[tokio::test]
    async fn the_log_stays_within_its_bound_however_much_is_written() {
        let (_folder, path) = ledger();
        let sqlite = Sqlite::bounded(&path, SMALL).unwrap();
        write(&sqlite, 200).await;
        assert!((SMALL.step..SMALL.most + COMMIT).contains(&length(&path)), "{} pages", length(&path));
    }

    #[tokio::test]
    async fn a_reader_that_holds_back_the_log_fails_no_commit_and_afterwards_the_log_is_short_again() {
        let (_folder, path) = ledger();
        let sqlite = Sqlite::bounded(&path, SMALL).unwrap();
        write(&sqlite, 1).await;
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM filler").unwrap();
        write(&sqlite, 40).await;
        assert!(length(&path) > SMALL.most, "{} pages", length(&path));
        let seen: i64 =
            reader.query_row("SELECT count(*) FROM filler", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(seen, 1);
        drop(reader);
        write(&sqlite, 40).await;
        assert!(length(&path) < SMALL.most + COMMIT, "{} pages", length(&path));
        let written = |t: &rusqlite::Transaction<'_>| {
            t.query_row("SELECT count(*) FROM filler", [], |row| row.get::<_, i64>(0))
        };
        assert_eq!(sqlite.write(written).await.unwrap(), 81);
    }

    /// Commits, and looks after the checkpoints as the writer does. Returns the most pages that the log had.
    fn commits_beside(copy: impl Fn(&AtomicU32) + Send + 'static) -> u32 {
        let (_folder, path) = ledger();
        let mut writer = connect_new(&path);
        let mut checkpoints = Checkpoints::copying(&mut writer, SMALL, copy).unwrap();
        writer.execute_batch("CREATE TABLE filler (x)").unwrap();
        let mut most = 0;
        for _ in 0..100 {
            writer.execute_batch("INSERT INTO filler VALUES (zeroblob(40000))").unwrap();
            most = most.max(checkpoints.pages.load(Ordering::Relaxed));
            checkpoints.go_on(&writer);
        }
        // What still waits for pages ends.
        checkpoints.pages.store(u32::MAX, Ordering::Relaxed);
        checkpoints.end();
        most
    }

    fn connect_new(path: &Path) -> Connection {
        std::fs::write(path, "").unwrap();
        connect(path).unwrap()
    }

    #[test]
    fn a_slow_disk_holds_up_the_writer_once_the_log_has_its_full_length() {
        let slow = |pages: &AtomicU32| {
            while pages.load(Ordering::Relaxed) < SMALL.most {
                std::thread::yield_now();
            }
            // Time for a writer that would not wait.
            for _ in 0..10_000 {
                std::thread::yield_now();
            }
        };
        let most = commits_beside(slow);
        assert!((SMALL.most..SMALL.most + COMMIT).contains(&most), "{most} pages");
    }

    #[test]
    fn without_its_thread_the_writer_bounds_the_log_alone() {
        let most = commits_beside(|_| panic!("on purpose"));
        assert!(most < SMALL.most + COMMIT, "{most} pages");
    }
}
