//! How many reads of clients run at once, and how many wait: the rest is refused at once, so that reads never take
//! the connections, threads and memory that deliveries need.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::{Problem, ProblemKind};

/// The reads of all clients. What a delivery itself reads does not pass here.
#[derive(Debug)]
pub(super) struct Reads {
    /// A place for each that runs or waits.
    places: Semaphore,
    running: Semaphore,
    longest_wait: Duration,
}

/// A read that may run. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    _running: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

impl Reads {
    /// At most `running` at once, and `waiting` for their turn.
    pub(super) fn new(running: usize, waiting: usize, longest_wait: Duration) -> Self {
        let places = Semaphore::new(running.saturating_add(waiting).min(Semaphore::MAX_PERMITS));
        Self { places, running: Semaphore::new(running), longest_wait }
    }

    /// Waits for a turn; a problem at once if too many wait already.
    pub(super) async fn begin(&self) -> Result<Reading<'_>, Problem> {
        let place = self.places.try_acquire().map_err(|_| full())?;
        let running = tokio::time::timeout(self.longest_wait, self.running.acquire()).await;
        match running {
            Ok(Ok(running)) => Ok(Reading { _running: running, _place: place }),
            _ => Err(full()),
        }
    }
}

fn full() -> Problem {
    Problem::new(ProblemKind::Unavailable, "too many reads wait for the ledger; try again")
}
