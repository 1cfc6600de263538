//! Drains: what a scheduler, the end of the service and the outbox itself ask for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{BACKOFF, Outbox, ROUND};
use crate::domain::{Destination, Moment};
use crate::store::{Backlog, StoreError};

/// How long a drain works before it answers with what is left. What it began goes on.
pub const DRAIN: Duration = Duration::from_secs(20);
/// How long it may take after that to count what is left.
const LAST_LOOK: Duration = Duration::from_secs(3);
const _: () =
    assert!(DRAIN.as_secs() + LAST_LOOK.as_secs() < 30, "every client and proxy waits 30 s for an answer");

/// What a drain did. Drains at the same time share their work, and each says all that was done meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Recognitions that a crash or a change of milestones had left owed, made now.
    pub recognized: u64,
    /// Recognitions that a destination took.
    pub published: u64,
    /// Recognitions that still wait for a destination.
    pub waiting: u64,
    /// When the oldest of them was made.
    pub oldest: Option<Moment>,
    /// Recognitions that are due at a destination which is turned off.
    pub turned_off: u64,
    /// Whether its time ended, or the store failed, before everything was looked at and hidden.
    pub unfinished: bool,
}

/// What sweeps and lanes have done since the start.
struct Counts {
    recognized: u64,
    published: u64,
}

impl Outbox {
    /// Has everything swept that is owed to contributors and everything offered that is due at destinations, by
    /// the loops of [`Outbox::run`], until `until`, and then counts what is left, for some seconds at most. What is
    /// under way then goes on, and what it did stays done. Drains at the same time share one sweep and one pass over
    /// each destination.
    pub async fn drain(&self, until: Instant) -> Result<Drained, StoreError> {
        let before = self.counts();
        let mut concealed = false;
        let work = async {
            // First: what became private must not be published as it was.
            concealed = self.conceal_due(until).await;
            let sweep = self.sweeps.request();
            let (passed, swept) = tokio::join!(self.pass(), self.sweeps.until(sweep));
            if self.counts().recognized > before.recognized {
                self.pass().await?;
            }
            passed.and(swept)
        };
        let outcome = timeout_at(until, work).await;
        let (Backlog { waiting, oldest }, turned_off) = self.left().await?;
        self.metrics.turned_off(turned_off);
        let now = self.counts();
        let drained = Drained {
            recognized: now.recognized - before.recognized,
            published: now.published - before.published,
            waiting,
            oldest,
            turned_off,
            unfinished: !concealed || !matches!(outcome, Ok(Ok(()))),
        };
        match outcome {
            Ok(Err(error)) if drained.recognized + drained.published == 0 => Err(error),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a drain did only a part; the rest is tried again");
                Ok(drained)
            }
            _ => Ok(drained),
        }
    }

    /// Hides what became private; whether all of it. It takes half of the time until `until` at most, so that the
    /// rest is swept and offered even where that never succeeds.
    async fn conceal_due(&self, until: Instant) -> bool {
        let by = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
        let late = |_| Err(StoreError::Unavailable("the time for it has ended".into()));
        let done = timeout_at(by, self.store.conceal_due(self.clock.now())).await.unwrap_or_else(late);
        if let Err(error) = &done {
            tracing::warn!(%error, "contributions that became private are not all hidden yet; it is tried again");
        }
        done.is_ok()
    }

    /// What waits, and how many recognitions are due at destinations that are turned off.
    async fn left(&self) -> Result<(Backlog, u64), StoreError> {
        let off = Destination::others(&self.destinations());
        let look = async { tokio::join!(self.backlog(), self.store.backlog(&off)) };
        let late = |_| StoreError::Unavailable("what is left could not be counted in time".into());
        let (waits, off) = timeout(LAST_LOOK, look).await.map_err(late)?;
        Ok((waits?, off?.waiting))
    }

    /// One pass over everything due, at every destination. One never holds back another.
    async fn pass(&self) -> Result<(), StoreError> {
        let passes = self.lanes.iter().map(|lane| lane.passes.until(lane.passes.request()));
        join_all(passes).await.into_iter().collect()
    }

    fn counts(&self) -> Counts {
        Counts {
            recognized: self.swept.load(Ordering::SeqCst),
            published: self.lanes.iter().map(|lane| lane.taken.load(Ordering::SeqCst)).sum(),
        }
    }

    /// Logs what a drain did, and how much waits for how long, in one line.
    pub fn log(&self, drained: Drained) {
        tracing::info!(
            recognized = drained.recognized,
            published = drained.published,
            outbox_waiting = drained.waiting,
            outbox_oldest_seconds = self.age(drained.oldest),
            outbox_turned_off = drained.turned_off,
            unfinished = drained.unfinished,
            "outbox"
        );
    }

    /// The first round drains what the last run left.
    pub(super) async fn run_rounds(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let drained = tokio::select! {
                () = stop.cancelled() => return,
                drained = self.drain(Instant::now() + DRAIN) => drained,
            };
            let pause = match drained {
                Ok(drained) => {
                    failures = 0;
                    self.log_round(drained);
                    ROUND
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read; it is tried again");
                    failures += 1;
                    BACKOFF.jittered(failures - 1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn log_round(&self, drained: Drained) {
        let turned_off = drained.turned_off;
        if turned_off > 0 && !self.said_turned_off.swap(true, Ordering::Relaxed) {
            let off = Destination::others(&self.destinations());
            let off = off.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            tracing::warn!(
                turned_off,
                "{turned_off} recognitions are due at {off}, which is turned off; they wait until it is turned on"
            );
        }
        if (Drained { turned_off: 0, ..drained }) != Drained::default() {
            self.log(drained);
        }
    }
}
