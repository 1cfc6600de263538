//! What is owed, until every destination has taken it.
//!
//! A recognition is durable, with the destinations it is due at, before anything is published; a
//! destination is struck off only once it has taken it. So a crash at any instant loses nothing: whatever
//! is left is found by the next [`drain`](crate::outbox::Outbox::drain), on whichever instance.

mod lane;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use rand::Rng as _;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::{Destination, Milestones, Moment, Recognition, Standing, owed};
use crate::publish::Publisher;
use crate::runtime::{Clock, stop_point};
use crate::store::{Backlog, Store, StoreError};
use crate::telemetry::Metrics;
use lane::Lane;

/// How often what is owed is looked for, unasked.
const ROUND: Duration = Duration::from_secs(30);
/// How long to wait after a destination was found down: from, and up to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How often, and for how long each time, another instance that may know more is given way to.
const GIVE_WAY: (u32, Duration) = (5, Duration::from_millis(100));
/// How long giving way takes together.
pub const GIVING_WAY: Duration = GIVE_WAY.1.saturating_mul(GIVE_WAY.0);
/// How many are taken from the store at once.
const BATCH: usize = 100;

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

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("destinations", &self.destinations()).finish_non_exhaustive()
    }
}

/// What a drain did.
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
        Self {
            store,
            lanes: publishers.into_iter().map(Lane::new).collect(),
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
            let owed = found.is_some_and(|found| found.standing.recognized < recognition.milestone);
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

    #[allow(clippy::cast_precision_loss, reason = "an age in milliseconds is far below 2^53")]
    fn age(&self, oldest: Option<Moment>) -> f64 {
        oldest.map_or(0.0, |oldest| (self.clock.now() - oldest).num_milliseconds().max(0) as f64 / 1_000.0)
    }
}

/// Between half and the whole of `pause`, so that many who wait do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
