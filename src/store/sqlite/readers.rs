//! Reads of the file, beside its writer: a few threads at most, each with a connection of its own, take what waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::connection::{closed, connect, named};
use super::error::failure;
use super::file::Files;
use crate::store::StoreError;

/// How many idle connections are kept open.
const IDLE: usize = 4;
/// How many pages of lists are read at once.
const PAGES: usize = 4;
/// How many reads of clients run at once: more than there are threads for pages, so that each thread finds several.
pub(super) const OF_CLIENTS: usize = 8 * PAGES;
/// How many other short reads run at once. They have threads of their own, so that what a delivery reads waits for no
/// list.
const OTHERS: usize = 3 * PAGES;
/// How many reads run at once that may go through much of the ledger.
const LONG: usize = 4;
/// Of so many reads that a thread does without a pause, one looks whether the file is at its path.
const UNCHECKED: usize = 16;

/// How many answers of short reads a thread keeps at most, while more of them wait, until it hands them over.
const KEPT: usize = 8;

type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Option<Answer> + Send>;
/// Hands an answer to who waits for it.
type Answer = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Readers {
    connections: Arc<Connections>,
    pages: Arc<Lane>,
    others: Arc<Lane>,
    long: Arc<Lane>,
}

#[derive(Debug)]
struct Connections {
    /// `None` once the ledger is closed. Before `files`, which are to be closed last.
    idle: Mutex<Option<Vec<Connection>>>,
    files: Arc<Files>,
}

/// Reads that wait for a thread. A thread goes on while something waits, and hands several answers over at once: so that
/// many short reads at once cost a few wake-ups, of threads and of the runtime, and not one each.
#[derive(Debug)]
struct Lane {
    most: usize,
    kept: usize,
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    jobs: VecDeque<Job>,
    threads: usize,
    /// A thread was asked for and has not looked yet.
    is_starting: bool,
}

impl std::fmt::Debug for LaneState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} waiting, {} threads", self.jobs.len(), self.threads)
    }
}

impl Readers {
    pub(super) fn new(files: Arc<Files>) -> Self {
        let lane = |most, kept| Arc::new(Lane { most, kept, state: Mutex::default() });
        let connections = Arc::new(Connections { idle: Mutex::new(Some(Vec::new())), files });
        Self { connections, pages: lane(PAGES, KEPT), others: lane(OTHERS, KEPT), long: lane(LONG, 1) }
    }

    /// Runs `job` on a reader's connection.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_in(&self.others, job).await
    }

    /// The same for what may go through much of the ledger.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_in(&self.long, job).await
    }

    /// The same for a page of a list.
    pub(super) async fn read_page<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_in(&self.pages, job).await
    }

    async fn read_in<T: Send + 'static>(
        &self,
        lane: &Arc<Lane>,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let files = Arc::clone(&self.connections.files);
        let job: Job = Box::new(move |connection| {
            // Whose request was cancelled needs no answer.
            if done.is_closed() {
                return None;
            }
            let read = |connection| job(connection).map_err(|e| named(&files.path, failure(&e)));
            let value = connection.and_then(read);
            Some(Box::new(move || drop(done.send(value))))
        });
        if lane.add(job) {
            start(lane, &self.connections);
        }
        answer.await.map_err(|_| StoreError::Unavailable("the read panicked".into()))?
    }

    pub(super) fn close(&self) {
        *self.connections.idle() = None;
    }
}

/// Runs what waits in `lane` on one more thread.
fn start(lane: &Arc<Lane>, connections: &Arc<Connections>) {
    let (lane, connections) = (Arc::clone(lane), Arc::clone(connections));
    tokio::task::spawn_blocking(move || {
        let (runtime, mut answers) = (Handle::current(), Vec::new());
        let mut connection = None;
        let mut read = 0_usize;
        lane.state().is_starting = false;
        while let Some((job, is_more)) = lane.next() {
            if is_more {
                start(&lane, &connections);
            }
            let is_checked = !read.is_multiple_of(UNCHECKED);
            read += 1;
            // The panic hook has logged it, and its caller gets no answer.
            let answer =
                catch_unwind(AssertUnwindSafe(|| job(connections.ready(&mut connection, is_checked))));
            answers.extend(answer.ok().flatten());
            if answers.len() == lane.kept {
                hand_over(&runtime, &mut answers);
            }
        }
        hand_over(&runtime, &mut answers);
        connections.put_back(connection);
    });
}

/// Wakes the runtime once, which completes all of them without another wake-up.
fn hand_over(runtime: &Handle, answers: &mut Vec<Answer>) {
    let answers = std::mem::take(answers);
    if !answers.is_empty() {
        runtime.spawn(async {
            for answer in answers {
                answer();
            }
        });
    }
}

impl Lane {
    /// Whether a thread is to be started.
    fn add(&self, job: Job) -> bool {
        let mut state = self.state();
        state.jobs.push_back(job);
        state.grow(self.most)
    }

    /// What a thread does next, and whether another is to be started; `None` ends the thread.
    fn next(&self) -> Option<(Job, bool)> {
        let mut state = self.state();
        let Some(job) = state.jobs.pop_front() else {
            state.threads -= 1;
            return None;
        };
        let is_more = !state.jobs.is_empty() && state.grow(self.most);
        Some((job, is_more))
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneState {
    fn grow(&mut self, most: usize) -> bool {
        let grows = !self.is_starting && self.threads < most;
        if grows {
            self.is_starting = true;
            self.threads += 1;
        }
        grows
    }
}

impl Connections {
    /// A connection to the file that is at its path, unless that was just checked.
    fn ready<'a>(
        &self,
        connection: &'a mut Option<Connection>,
        is_checked: bool,
    ) -> Result<&'a Connection, StoreError> {
        if !is_checked || self.files.are_misplaced() {
            self.files.check()?;
        }
        let idle = self.idle().as_mut().ok_or_else(closed)?.pop_if(|_| connection.is_none());
        if let Some(idle) = idle {
            return Ok(connection.insert(idle));
        }
        if let Some(open) = connection {
            return Ok(open);
        }
        let opened = connect(&self.files.path).map_err(|error| named(&self.files.path, error))?;
        // It may have been replaced just before.
        self.files.check()?;
        Ok(connection.insert(opened))
    }

    fn put_back(&self, connection: Option<Connection>) {
        if let Some(idle) = self.idle().as_mut().filter(|idle| idle.len() < IDLE) {
            idle.extend(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use futures::future::join_all;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;
    use crate::store::sqlite::Sqlite;

    /// Keeps reads back until it is opened.
    #[derive(Clone)]
    struct Gate {
        open: Arc<(Mutex<bool>, Condvar)>,
        enter: UnboundedSender<()>,
    }

    impl Gate {
        fn shut() -> (Self, UnboundedReceiver<()>) {
            let (enter, entered) = unbounded_channel();
            (Self { open: Arc::default(), enter }, entered)
        }

        fn pass(&self) {
            self.enter.send(()).unwrap();
            let (is_open, opened) = &*self.open;
            drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        }

        fn open(&self) {
            *self.open.0.lock().unwrap() = true;
            self.open.1.notify_all();
        }
    }

    fn ledger() -> (tempfile::TempDir, Sqlite) {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
        (folder, sqlite)
    }

    #[tokio::test]
    async fn pages_have_four_readers_and_other_reads_wait_for_none_of_them() {
        let (_folder, sqlite) = ledger();
        let (gate, mut entered) = Gate::shut();
        let page = || {
            let gate = gate.clone();
            sqlite.read_page(move |_| {
                gate.pass();
                Ok(())
            })
        };
        let beside = async {
            for _ in 0..PAGES {
                entered.recv().await.unwrap();
            }
            for _ in 0..20 {
                sqlite.read(|_| Ok(())).await.unwrap();
            }
            let fifth = entered.try_recv();
            gate.open();
            fifth
        };
        let (pages, fifth) = tokio::join!(join_all((0..20).map(|_| page())), beside);
        assert!(fifth.is_err(), "five pages are read at once");
        assert!(pages.into_iter().all(|page| page.is_ok()));
    }

    #[tokio::test]
    async fn no_answer_waits_for_a_long_read() {
        let (_folder, sqlite) = ledger();
        let (gate, mut entered) = Gate::shut();
        let long = || {
            let gate = gate.clone();
            sqlite.read_long(move |_| {
                gate.pass();
                Ok(())
            })
        };
        let beside = async {
            for _ in 0..LONG {
                entered.recv().await.unwrap();
            }
            // More at once than a thread keeps answers.
            let pages = join_all((0..3 * KEPT).map(|n| sqlite.read_page(move |_| Ok(n)))).await;
            let others = join_all((0..3 * KEPT).map(|n| sqlite.read(move |_| Ok(n)))).await;
            gate.open();
            (pages, others)
        };
        let (long, (pages, others)) = tokio::join!(join_all((0..=LONG).map(|_| long())), beside);
        assert!(long.into_iter().all(|long| long.is_ok()));
        for answers in [pages, others] {
            let answers: Vec<usize> = answers.into_iter().map(Result::unwrap).collect();
            assert_eq!(answers, (0..3 * KEPT).collect::<Vec<_>>(), "each has its own answer");
        }
    }

    #[tokio::test]
    async fn a_read_that_panics_takes_no_other_answer_along() {
        let (_folder, sqlite) = ledger();
        let read = |n: usize| {
            sqlite.read(move |_| {
                assert_ne!(n, KEPT / 2, "this one fails");
                Ok(n)
            })
        };
        let answers = join_all((0..KEPT).map(read)).await;
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.ok(), (n != KEPT / 2).then_some(n));
        }
    }
}
