//! What is owed and due, until every destination has taken it.
//!
//! A recognition is durable, with the destinations it is due at, before anything is published; at each
//! destination it is due until the destination has taken it. So a crash at any instant loses nothing: what
//! is left is found by the next [`drain`](crate::outbox::Outbox::drain), on any instance.

mod lane;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::{Destination, Milestones, Moment, Recognition, Standing, owed};
use crate::publish::Publisher;
use crate::runtime::{Backoff, Clock, catch_panic, stop_point};
use crate::store::{Backlog, Store, StoreError};
use crate::telemetry::Metrics;
use lane::DestinationLane;

/// How often the outbox drains without being asked.
const ROUND: Duration = Duration::from_secs(30);
/// How long to wait after a destination was found down.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// How often to wait for another instance that may know the contribution of a milestone.
const GIVE_WAY: u32 = 5;
/// How long each of these waits is.
const GIVE_WAY_PAUSE: Duration = Duration::from_millis(100);
/// How long all of these waits are together.
pub const GIVING_WAY: Duration = GIVE_WAY_PAUSE.saturating_mul(GIVE_WAY);
/// How many are taken from the store at once.
const BATCH: usize = 100;

/// The recognitions that are owed to contributors and to destinations.
pub struct Outbox {
    store: Arc<dyn Store>,
    lanes: Vec<DestinationLane>,
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
            lanes: publishers.into_iter().map(DestinationLane::new).collect(),
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
        let ping = |lane: &DestinationLane| {
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
    /// A crash left such a milestone, or another instance is recognising it at this moment and knows the
    /// contribution. Where the store does not know it, wait a moment so that the other instance is first.
    async fn complete(&self, mut owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        for recognition in &mut owed {
            let who = &recognition.contributor;
            // On a self-managed host, only payloads say where the account is.
            if recognition.account_url.is_none() && who.host().is_some() && who.url().is_none() {
                recognition.account_url =
                    self.store.contributor(who).await?.and_then(|found| found.account_url);
            }
        }
        for recognition in owed.iter_mut().filter(|r| r.contribution.is_none()) {
            let reached = self.store.reached(&recognition.contributor, recognition.milestone).await?;
            if reached.is_some() {
                recognition.tally = recognition.milestone;
                recognition.contribution = reached;
            }
        }
        for _ in 0..GIVE_WAY {
            if owed.iter().all(|recognition| recognition.contribution.is_some()) {
                break;
            }
            tokio::time::sleep(GIVE_WAY_PAUSE).await;
            owed = self.still_owed(owed).await?;
        }
        Ok(owed)
    }

    /// What no other instance has recognised meanwhile.
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

    /// One sweep for what is owed to contributors, and one pass over what is due at destinations. What
    /// waits is offered first, and again after every part of the sweep, so that a long sweep delays nothing.
    ///
    /// Drains run one after the other, so that none returns while another still holds what it found.
    pub async fn drain(&self) -> Result<Drained, StoreError> {
        let _alone = self.draining.lock().await;
        // First: what became private must not be published as it was.
        let concealed = self.store.conceal_due(self.clock.now()).await;
        let drained = self.offer_and_sweep().await?;
        if let Err(error) = concealed {
            tracing::warn!(%error, "contributions that became private are not all hidden yet; it is tried again");
        }
        Ok(drained)
    }

    async fn offer_and_sweep(&self) -> Result<Drained, StoreError> {
        let mut drained = Drained { published: self.pass().await?, ..Drained::default() };
        let mut last = Vec::new();
        loop {
            let owing = self.store.owing(&self.milestones, BATCH).await?;
            let recognized = self.sweep(&owing).await?;
            if recognized > 0 {
                drained.recognized += recognized;
                drained.published += self.pass().await?;
            }
            // A full batch may have more behind it, whether this instance or another recognised these.
            if owing.len() < BATCH || owing == last {
                let Backlog { waiting, oldest } = self.backlog().await?;
                return Ok(Drained { waiting, oldest, ..drained });
            }
            last = owing;
        }
    }

    /// How much waits; sets the metrics too.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let backlog = self.store.backlog(&self.destinations()).await?;
        self.metrics.backlog(backlog.waiting, self.age(backlog.oldest));
        Ok(backlog)
    }

    /// Logs what a drain did, and how much waits for how long, in one line.
    pub fn log(&self, drained: Drained) {
        tracing::info!(
            recognized = drained.recognized,
            published = drained.published,
            outbox_waiting = drained.waiting,
            outbox_oldest_seconds = self.age(drained.oldest),
            "outbox"
        );
    }

    /// Publishes what is made, and drains every 30 seconds, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = Duration::ZERO; // Drains at start what the last run left.
        let mut failures = 0;
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified(), if self.healthy() => false,
                () = tokio::time::sleep(pause) => true,
            };
            let wanted = self.wanted.load(Ordering::SeqCst);
            let look =
                async { if swept { self.round().await } else { self.pass_over(true).await.map(|_| ()) } };
            let panicked = || Err(StoreError::Unavailable("the store panicked".into()));
            let outcome = catch_panic(look).await.unwrap_or_else(panicked);
            self.passed.send_replace(wanted);
            if let Err(error) = &outcome {
                tracing::warn!(%error, "the outbox could not be read; it is tried again");
            }
            if outcome.is_ok() && self.healthy() {
                (pause, failures) = (ROUND, 0);
            } else {
                pause = BACKOFF.jittered(failures);
                failures = failures.saturating_add(1);
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

    /// Recognises what a crash or a change of milestones left owed to these, and answers how many. All
    /// together, so that the wait for another instance happens once.
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
