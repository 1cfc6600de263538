//! What is owed, until every destination has taken it.
//!
//! A recognition is durable, with the destinations it is due at, before anything is published; a
//! destination is struck off only once it has taken it. So a crash at any instant loses nothing: whatever
//! is left is found by the next [`drain`](crate::outbox::Outbox::drain), on whichever instance.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use rand::Rng as _;
use serde::Serialize;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::{Destination, Milestones, Moment, Recognition, RecognitionId, Standing, owed};
use crate::publish::{Message, PublishError, Publisher};
use crate::runtime::{Clock, stop_point};
use crate::store::{Backlog, Due, Settled, Store, StoreError};
use crate::telemetry::Metrics;

/// How often what is owed is looked for, unasked.
const ROUND: Duration = Duration::from_secs(30);
/// How long to wait after a destination was found down: from, and up to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How often, and for how long each time, another instance that may know more is given way to; together less
/// than a request waits for a recognition.
const GIVE_WAY: (u32, Duration) = (5, Duration::from_millis(100));
/// How many are taken from the store at once.
const BATCH: usize = 100;
/// How many that this instance made are kept in hand until they are offered; the store keeps them all.
const MOST_FRESH: usize = 10_000;
/// The longest that one recognition is put off.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// The recognitions that are owed to contributors and to destinations.
pub struct Outbox {
    store: Arc<dyn Store>,
    lanes: Vec<Lane>,
    milestones: Milestones,
    clock: Clock,
    metrics: Metrics,
    wanted: AtomicU64,
    wake: Notify,
    draining: Mutex<()>,
    passed: watch::Sender<u64>,
    made: watch::Sender<u64>,
}

/// A destination, and what this instance knows of it.
struct Lane {
    publisher: Arc<dyn Publisher>,
    busy: Mutex<()>,
    down: AtomicBool,
    /// Made by this instance and not yet offered.
    fresh: std::sync::Mutex<Vec<Recognition>>,
}

impl Lane {
    fn expect(&self, made: &[Recognition]) {
        if let Ok(mut fresh) = self.fresh.lock() {
            fresh.extend_from_slice(made);
            // While the destination is down, what waits is kept by the store alone.
            let surplus = fresh.len().saturating_sub(MOST_FRESH);
            fresh.drain(..surplus);
        }
    }

    fn fresh(&self) -> Vec<Recognition> {
        self.fresh.lock().map(|mut fresh| std::mem::take(&mut *fresh)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("destinations", &self.destinations()).finish_non_exhaustive()
    }
}

/// What a drain did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Drained {
    /// Recognitions that a crash or a change of milestones had left owed, made now.
    pub recognized: u64,
    /// Recognitions that a destination took.
    pub published: u64,
    /// Recognitions that still wait for a destination.
    pub waiting: u64,
    /// When the oldest of them was made.
    #[serde(skip)]
    pub oldest: Option<Moment>,
}

impl Outbox {
    /// An outbox over `store` for these destinations.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        milestones: Milestones,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let lane = |publisher| Lane {
            publisher,
            busy: Mutex::default(),
            down: AtomicBool::default(),
            fresh: std::sync::Mutex::default(),
        };
        Self {
            store,
            lanes: publishers.into_iter().map(lane).collect(),
            milestones,
            clock,
            metrics,
            wanted: AtomicU64::default(),
            wake: Notify::new(),
            draining: Mutex::default(),
            passed: watch::channel(0).0,
            made: watch::channel(0).0,
        }
    }

    /// The destinations at which a recognition made now is due.
    #[must_use]
    pub fn destinations(&self) -> Vec<Destination> {
        self.lanes.iter().map(|lane| lane.publisher.destination()).collect()
    }

    /// Changes whenever this instance has made a recognition.
    #[must_use]
    pub fn made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Whether every destination took what it was last offered.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.lanes.iter().all(|lane| !lane.down.load(Ordering::Relaxed))
    }

    /// Whether every destination answers now.
    pub async fn answers(&self) -> bool {
        let ping = |lane: &Lane| {
            let publisher = Arc::clone(&lane.publisher);
            async move { publisher.ping().await }
        };
        futures::future::join_all(self.lanes.iter().map(ping)).await.iter().all(Result::is_ok)
    }

    /// Makes what is owed, and has it published soon. Returns what is new.
    pub async fn recognise(&self, owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        let made = self.make(owed).await?;
        if !made.is_empty() {
            self.lanes.iter().for_each(|lane| lane.expect(&made));
            self.wanted.fetch_add(1, Ordering::SeqCst);
            self.wake.notify_one();
        }
        Ok(made)
    }

    async fn make(&self, owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        let owed = self.complete(owed).await?;
        if owed.is_empty() {
            return Ok(owed);
        }
        let news = self.store.recognise(&owed, &self.destinations()).await?;
        let made: Vec<_> = owed.into_iter().zip(news).filter_map(|(r, new)| new.then_some(r)).collect();
        for recognition in &made {
            self.metrics.recognitions.inc();
            tracing::info!(
                recognition = %recognition.id,
                contributor = %recognition.contributor,
                contribution = recognition.contribution.as_ref().map(|c| c.id.as_str()),
                milestone = recognition.milestone,
                tally = recognition.tally,
                "recognition {} made",
                recognition.id
            );
        }
        stop_point("recognised").await;
        if !made.is_empty() {
            self.made.send_modify(|n| *n += 1);
        }
        Ok(made)
    }

    /// Names the contribution of each milestone that none of those just counted reached.
    ///
    /// Such a milestone was left by a crash, or another instance is recognising it at this moment and knows
    /// the contribution. Where the store cannot tell it, that instance is given a moment to be first.
    async fn complete(&self, mut owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        for recognition in owed.iter_mut().filter(|r| r.contribution.is_none()) {
            let reached = self.store.reached(&recognition.contributor, recognition.milestone).await?;
            if reached.is_some() {
                recognition.tally = recognition.milestone;
                recognition.contribution = reached;
            }
        }
        for _ in 0..GIVE_WAY.0 {
            if owed.iter().all(|recognition| recognition.contribution.is_some()) {
                break;
            }
            tokio::time::sleep(GIVE_WAY.1).await;
            owed = self.still_owed(owed).await?;
        }
        Ok(owed)
    }

    /// What nobody has recognised meanwhile.
    async fn still_owed(&self, owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        let look = owed.into_iter().map(|recognition| async move {
            let found = self.store.contributor(&recognition.contributor).await?;
            let owed = found.is_some_and(|found| found.standing.recognised < recognition.milestone);
            Ok(owed.then_some(recognition))
        });
        let looked: Vec<Result<Option<Recognition>, StoreError>> =
            futures::stream::iter(look).buffered(16).collect().await;
        looked.into_iter().filter_map(Result::transpose).collect()
    }

    /// Waits until what was made so far has been offered to every destination, or until one is down.
    pub async fn offered(&self) {
        let wanted = self.wanted.load(Ordering::SeqCst);
        let mut passed = self.passed.subscribe();
        if self.healthy() {
            // The sender lives as long as the outbox.
            let _ = passed.wait_for(|done| *done >= wanted).await;
        }
    }

    /// One sweep for what is owed to contributors, and one pass over what is owed to destinations. What
    /// waits goes out first, and again after every part of the sweep: a long one delays nobody.
    ///
    /// One drain after the other, so that none ends while another has still in hand what it found.
    pub async fn drain(&self) -> Result<Drained, StoreError> {
        let _alone = self.draining.lock().await;
        let mut drained = Drained { published: self.pass().await?, ..Drained::default() };
        let mut last = Vec::new();
        loop {
            let owing = self.store.owing(&self.milestones, BATCH).await?;
            let recognized = self.sweep(&owing).await?;
            if recognized > 0 {
                drained.recognized += recognized;
                drained.published += self.pass().await?;
            }
            // There may be more, whoever recognised these: this instance or another one.
            if owing.len() < BATCH || owing == last {
                let Backlog { waiting, oldest } = self.backlog().await?;
                return Ok(Drained { waiting, oldest, ..drained });
            }
            last = owing;
        }
    }

    /// How much waits; also shown in the metrics.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let backlog = self.store.backlog(&self.destinations()).await?;
        self.metrics.backlog(backlog, self.age(backlog.oldest));
        Ok(backlog)
    }

    /// Says how much waits, and for how long, in one line of the log.
    pub fn log(&self, drained: Drained) {
        tracing::info!(
            recognized = drained.recognized,
            published = drained.published,
            outbox_waiting = drained.waiting,
            outbox_oldest_seconds = self.age(drained.oldest),
            "outbox"
        );
    }

    /// Publishes what is made, and looks now and then for what was left; until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = Duration::ZERO; // At start: whatever the last run left.
        let mut backoff = BACKOFF.0;
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified(), if self.healthy() => false,
                () = tokio::time::sleep(pause) => true,
            };
            let wanted = self.wanted.load(Ordering::SeqCst);
            let look =
                async { if swept { self.round().await } else { self.pass_over(true).await.map(|_| ()) } };
            // A panic in a store must not end the looking: nobody would notice until much was owed.
            let outcome = AssertUnwindSafe(look).catch_unwind().await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(StoreError::Unavailable("the store panicked".into())));
            self.passed.send_replace(wanted);
            if let Err(error) = &outcome {
                tracing::warn!(%error, "the outbox could not be read; it is tried again");
            }
            if outcome.is_ok() && self.healthy() {
                (pause, backoff) = (ROUND, BACKOFF.0);
            } else {
                pause = jittered(backoff);
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let drained = self.drain().await?;
        if drained != Drained::default() {
            self.log(drained);
        }
        Ok(())
    }

    /// Recognises what a crash or a change of milestones left owed to these: how many. All together, so that
    /// giving way to another instance takes its time once.
    async fn sweep(&self, owing: &[Standing]) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let all = owing.iter().flat_map(|standing| owed(standing, &[], &self.milestones, now)).collect();
        Ok(self.make(all).await?.len() as u64)
    }

    /// Offers everything that is due to its destination. One destination never holds back another.
    async fn pass(&self) -> Result<u64, StoreError> {
        self.pass_over(false).await
    }

    async fn pass_over(&self, only_fresh: bool) -> Result<u64, StoreError> {
        let passes = self.lanes.iter().map(|lane| self.pass_one(lane, only_fresh));
        let counts = futures::future::join_all(passes).await;
        counts.into_iter().sum()
    }

    async fn pass_one(&self, lane: &Lane, only_fresh: bool) -> Result<u64, StoreError> {
        let _alone = lane.busy.lock().await;
        let publisher = lane.publisher.as_ref();
        let (destination, hold) = (publisher.destination(), publisher.hold());
        let fresh = lane.fresh();
        if only_fresh && hold.is_zero() {
            // What this instance has just made need not be looked for, and others who look for it would
            // publish it too.
            let due = fresh.into_iter().map(|recognition| Due { recognition, tries: 0 }).collect();
            return Ok(self.offer_all(lane, due).await?.0);
        }
        // What is held while it is published must be published before the hold ends.
        let limit = if hold.is_zero() { BATCH } else { publisher.at_once() };
        let mut taken = 0;
        loop {
            let now = self.clock.now();
            let due = self.store.claim(destination, now, now + hold, limit).await?;
            let full = due.len() == limit;
            let (more, down) = self.offer_all(lane, due).await?;
            taken += more;
            if down || !full {
                return Ok(taken);
            }
        }
    }

    /// Offers these, and writes down what became of each: how many were taken, and whether the destination
    /// is down.
    async fn offer_all(&self, lane: &Lane, due: Vec<Due>) -> Result<(u64, bool), StoreError> {
        let publisher = lane.publisher.as_ref();
        let outcomes: Vec<_> = futures::stream::iter(due)
            .map(|due| async move { (offer(publisher, &due.recognition).await, due) })
            .buffer_unordered(publisher.at_once().max(1))
            .collect()
            .await;
        if !outcomes.is_empty() {
            stop_point("published").await;
        }
        let down = outcomes.iter().any(|(outcome, _)| matches!(outcome, Err(PublishError::Down { .. })));
        let was_down = lane.down.swap(down, Ordering::Relaxed);
        let mut told = was_down; // An outage is said once, not for every recognition it delays.
        let settled: Vec<_> = outcomes
            .into_iter()
            .filter_map(|(outcome, due)| self.settled(lane, outcome, &due, &mut told))
            .collect();
        if !settled.is_empty() {
            self.store.settle(&settled).await?;
        }
        let taken = settled.iter().filter(|(_, _, became)| *became == Settled::Done).count();
        Ok((taken as u64, down))
    }

    /// What to write down of an outcome, if anything.
    fn settled(
        &self,
        lane: &Lane,
        outcome: Result<(), PublishError>,
        due: &Due,
        told: &mut bool,
    ) -> Option<(RecognitionId, Destination, Settled)> {
        let destination = lane.publisher.destination();
        let id = due.recognition.id.clone();
        let count =
            |outcome: &str| self.metrics.published.with_label_values(&[destination.as_str(), outcome]).inc();
        let became = match outcome {
            Ok(()) => {
                count("done");
                let said = serde_json::to_string(&Message::public(&due.recognition)).unwrap_or_default();
                tracing::info!(recognition = %id, %destination, said, "recognition {id} published");
                Settled::Done
            }
            Err(PublishError::Never { reason, why }) => {
                count(reason);
                tracing::info!(recognition = %id, %destination, reason, why, "recognition {id} given up at {destination}");
                Settled::GivenUp(reason.to_owned())
            }
            Err(PublishError::Later { why }) => {
                count("later");
                tracing::warn!(recognition = %id, %destination, tries = due.tries, why, "recognition {id} put off at {destination}");
                Settled::Later(self.clock.now() + delay(due.tries, None))
            }
            Err(PublishError::Down { why, after }) => {
                count("later");
                if !std::mem::replace(told, true) {
                    tracing::warn!(recognition = %id, %destination, why, "{destination} is down; what is due there waits");
                }
                // What nobody holds need not be put off: it waits where it is.
                if lane.publisher.hold().is_zero() {
                    return None;
                }
                Settled::Later(self.clock.now() + delay(due.tries, after))
            }
        };
        Some((id, destination, became))
    }

    #[allow(clippy::cast_precision_loss, reason = "an age in milliseconds is far below 2^53")]
    fn age(&self, oldest: Option<Moment>) -> f64 {
        oldest.map_or(0.0, |oldest| (self.clock.now() - oldest).num_milliseconds().max(0) as f64 / 1_000.0)
    }
}

/// Publishes, and takes a panic for a failure of this one recognition.
async fn offer(publisher: &dyn Publisher, recognition: &Recognition) -> Result<(), PublishError> {
    let outcome = AssertUnwindSafe(publisher.publish(recognition)).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(PublishError::Later { why: "the publisher panicked".into() }))
}

/// How long to put off what was tried `tries` times: twice as long each time, and never less than asked for.
fn delay(tries: u32, at_least: Option<Duration>) -> Duration {
    let grown = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(tries.min(12)));
    jittered(grown.min(LONGEST_DELAY)).max(at_least.unwrap_or_default())
}

/// Between half and the whole of `pause`, so that many who wait do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_waits_longer_but_never_less_than_the_other_side_asked() {
        assert!(delay(0, None) <= Duration::from_secs(1));
        assert!((Duration::from_secs(8)..=Duration::from_secs(16)).contains(&delay(4, None)));
        assert!(delay(40, None) <= LONGEST_DELAY);
        assert_eq!(delay(0, Some(Duration::from_secs(90))), Duration::from_secs(90));
    }
}
