//! How many reads of clients run at once, and how many wait: the rest is refused at once, so that reads never take
//! the connections, threads and memory that deliveries need.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Problem, ProblemKind};

/// The reads of all clients. What a delivery itself reads does not pass here.
#[derive(Debug)]
pub(super) struct Reads {
    /// A place for each that runs or waits.
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    longest_wait: Duration,
}

/// A read that may run. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    _running: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Reads {
    /// At most `running` at once, and `waiting` for their turn.
    pub(super) fn new(running: usize, waiting: usize, longest_wait: Duration) -> Self {
        let places = Semaphore::new(running.saturating_add(waiting).min(Semaphore::MAX_PERMITS));
        Self { places: Arc::new(places), running: Arc::new(Semaphore::new(running)), longest_wait }
    }

    /// Waits for a turn; a problem at once if too many wait already.
    pub(super) async fn begin(&self) -> Result<Reading, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let running =
            tokio::time::timeout(self.longest_wait, Arc::clone(&self.running).acquire_owned()).await;
        match running {
            Ok(Ok(running)) => Ok(Reading { _running: running, _place: place }),
            _ => Err(full()),
        }
    }
}

fn full() -> Problem {
    Problem::new(ProblemKind::Unavailable, "too many reads wait for the ledger; try again")
}
