//! The loop of one destination: when something is offered there, and what.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::offer::Offered;
use super::snapshot::{AsOf, Snapshot};
use super::turns::Turns;
use super::{Outbox, ROUND, store_panicked};
use crate::domain::{Moment, Recognition, RecognitionId};
use crate::publish::{Hold, Publisher};
use crate::runtime::catch_panic;
use crate::store::{Due, StoreError};

/// How many recognitions that this instance made are kept in memory until they are offered; the store keeps
/// them all.
const MOST_FRESH: usize = 10_000;
/// How long after that line it is logged again that a destination is down.
const SAY_AGAIN: TimeDelta = TimeDelta::minutes(5);
/// How many are taken from the store at once where nothing holds them.
const BATCH: usize = 100;

/// A destination, and what this instance knows of it.
pub(super) struct DestinationLane {
    pub(super) publisher: Arc<dyn Publisher>,
    /// Passes over everything that is due there.
    pub(super) passes: Turns,
    /// How many recognitions it has taken from this instance.
    pub(super) taken: AtomicU64,
    /// Whether the last offer found the destination down.
    pub(super) down: AtomicBool,
    /// When it was last logged that the destination is down, in this outage.
    said_down: std::sync::Mutex<Option<Moment>>,
    /// Made by this instance and not yet offered.
    fresh: std::sync::Mutex<Vec<Snapshot>>,
    /// Offers of what is fresh.
    offers: Turns,
}

impl DestinationLane {
    pub(super) fn new(publisher: Arc<dyn Publisher>) -> Self {
        Self {
            publisher,
            passes: Turns::new(),
            taken: AtomicU64::default(),
            down: AtomicBool::default(),
            said_down: std::sync::Mutex::default(),
            fresh: std::sync::Mutex::default(),
            offers: Turns::new(),
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Notes whether an offer found the destination down. Whether to log that: when an outage begins, and every few
    /// minutes while it lasts.
    pub(super) fn found(&self, down: bool, now: Moment) -> bool {
        self.down.store(down, Ordering::Relaxed);
        let Ok(mut said) = self.said_down.lock() else { return down };
        let said_now = said.is_some_and(|at| (now - at).abs() < SAY_AGAIN);
        if !down {
            *said = None;
        } else if !said_now {
            *said = Some(now);
        }
        down && !said_now
    }

    /// Has these offered soon, except those that can never be published here.
    pub(super) fn expect(&self, made: &[Recognition], as_of: AsOf) {
        let mut possible = made.iter().filter(|r| self.publisher.check(r).is_ok()).cloned().peekable();
        if possible.peek().is_none() {
            return;
        }
        if let Ok(mut fresh) = self.fresh.lock() {
            fresh.extend(possible.map(|recognition| Snapshot { due: Due { recognition, tries: 0 }, as_of }));
            // While the destination is down, the store alone keeps the rest.
            let surplus = fresh.len().saturating_sub(MOST_FRESH);
            fresh.drain(..surplus);
        }
        self.offers.request();
    }

    /// Waits until what is fresh now has been offered; not while the destination is down.
    pub(super) async fn offered(&self) {
        if !self.is_down() {
            // A store that failed meanwhile delays only what is offered.
            let _ = self.offers.until(self.offers.current()).await;
        }
    }

    fn holds_always(&self) -> bool {
        matches!(self.publisher.hold(), Hold::Always(_))
    }

    fn fresh(&self) -> Vec<Snapshot> {
        self.fresh.lock().map(|mut fresh| std::mem::take(&mut *fresh)).unwrap_or_default()
    }

    /// Forgets what was made here and claimed from the store before it was offered as fresh.
    fn forget(&self, claimed: &HashSet<RecognitionId>) {
        if let Ok(mut fresh) = self.fresh.lock() {
            fresh.retain(|one| !claimed.contains(&one.due.recognition.id));
        }
    }

    /// How many are claimed at once. What is held must be published before the hold ends. A destination that
    /// was down is tried with one.
    fn limit(&self) -> usize {
        match self.publisher.hold() {
            _ if self.is_down() => 1,
            Hold::Never => BATCH,
            Hold::Backlog(_) | Hold::Always(_) => self.publisher.at_once().max(1),
        }
    }
}

/// When a lane looks again without being asked.
struct Rest {
    until: Instant,
    /// How often in a row there was something due that could not be taken.
    failures: u32,
}

impl Rest {
    fn failed(&mut self, at_least: Option<Duration>) {
        let pause = super::BACKOFF.jittered(self.failures).max(at_least.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.until = Instant::now() + pause.min(ROUND);
    }

    fn no_longer_than(&mut self, pause: Duration) {
        self.until = self.until.min(Instant::now() + pause);
    }
}

impl Outbox {
    /// Offers what is made, what is asked for and what was put off until now, until `stop`.
    pub(super) async fn run_lane(&self, lane: &DestinationLane, stop: &CancellationToken) {
        let mut rest = Rest { until: Instant::now() + ROUND, failures: 0 };
        loop {
            // What must be held is not offered without asking the store for it.
            let only_fresh = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = lane.passes.requested() => false,
                () = lane.offers.requested(), if !lane.is_down() => !lane.holds_always(),
                () = tokio::time::sleep_until(rest.until) => false,
            };
            let (pass, offer) = (lane.passes.current(), lane.offers.current());
            let work = async {
                if only_fresh { self.offer_fresh(lane).await } else { self.pass_over(lane, stop).await }
            };
            let outcome = catch_panic(work).await.unwrap_or_else(store_panicked);
            self.rest(lane, &mut rest, &outcome, only_fresh).await;
            let outcome = outcome.map(drop);
            lane.offers.end(offer, outcome.clone());
            if !only_fresh {
                lane.passes.end(pass, outcome);
            }
        }
    }

    /// Sets when the lane looks again.
    async fn rest(
        &self,
        lane: &DestinationLane,
        rest: &mut Rest,
        outcome: &Result<Offered, StoreError>,
        only_fresh: bool,
    ) {
        let offered = match outcome {
            Ok(offered) => offered,
            Err(error) => {
                let destination = lane.publisher.destination();
                tracing::warn!(%error, %destination, "what is due at {destination} could not be read or stored; it is tried again");
                return rest.failed(None);
            }
        };
        if lane.is_down() {
            return rest.failed(offered.after);
        }
        if only_fresh {
            if let Some(pause) = offered.after {
                rest.no_longer_than(pause);
            }
            return;
        }
        rest.until = Instant::now() + ROUND;
        let next = self.store.next_due(lane.publisher.destination()).await.unwrap_or_default();
        match next.map(|at| (at - self.clock.now()).to_std()) {
            Some(Ok(pause)) if !pause.is_zero() => {
                rest.failures = 0;
                rest.no_longer_than(pause);
            }
            // It is due, and another instance was faster, or it cannot be read.
            Some(_) => rest.failed(None),
            None => rest.failures = 0,
        }
    }

    /// Offers everything that is due, oldest first, and between two batches what was made meanwhile. What was made
    /// since the pass began is left to the instance that made it: otherwise, under load, a pass would not end, and
    /// publish everything of the others once more.
    async fn pass_over(
        &self,
        lane: &DestinationLane,
        stop: &CancellationToken,
    ) -> Result<Offered, StoreError> {
        let (mut all, began) = (Offered::default(), self.clock.now());
        loop {
            let offer = lane.offers.current();
            if lane.is_down() || lane.holds_always() {
                // It is in the store too.
                drop(lane.fresh());
            } else {
                all.add(&self.offer_fresh(lane).await?);
                lane.offers.end(offer, Ok(()));
            }
            if all.down || stop.is_cancelled() {
                return Ok(all);
            }
            let limit = lane.limit();
            let (due, held_until) = self.claim(lane, limit).await?;
            let last = (held_until.is_none() && due.len() < limit)
                || due.iter().all(|one| one.due.recognition.recognized_at > began);
            let claimed = due.iter().map(|one| one.due.recognition.id.clone()).collect();
            all.add(&self.offer_all(lane, due, held_until).await?);
            lane.forget(&claimed);
            if last || all.down {
                return Ok(all);
            }
        }
    }

    /// Offers what this instance has just made: known without a query, and not held. Another instance offers it
    /// too only if it looks at this very moment, where a repeat does no harm.
    async fn offer_fresh(&self, lane: &DestinationLane) -> Result<Offered, StoreError> {
        self.offer_all(lane, lane.fresh(), None).await
    }

    async fn claim(
        &self,
        lane: &DestinationLane,
        limit: usize,
    ) -> Result<(Vec<Snapshot>, Option<Moment>), StoreError> {
        let (now, as_of) = (self.clock.now(), self.concealments.now());
        let held_until = match lane.publisher.hold() {
            Hold::Never => None,
            Hold::Backlog(hold) | Hold::Always(hold) => Some(now + hold),
        };
        let destination = lane.publisher.destination();
        let due = self.store.claim(destination, now, held_until.unwrap_or(now), limit).await?;
        Ok((due.into_iter().map(|due| Snapshot { due, as_of }).collect(), held_until))
    }
}
