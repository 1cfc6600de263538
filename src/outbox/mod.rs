//! What is owed and due, until every destination has taken it.
//!
//! A recognition is durable, with the destinations it is due at, before anything is published; at each
//! destination it is due until the destination has taken it. So a crash at any instant loses nothing: what
//! is left is found by the next [`drain`](crate::outbox::Outbox::drain), on any instance.

mod drain;
mod lane;
mod offer;
mod snapshot;
mod sweep;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{Destination, Milestones, Moment, Recognition};
use crate::publish::Publisher;
use crate::runtime::{Backoff, Clock, stop_point};
use crate::store::{Backlog, Recognised, Store, StoreError};
use crate::telemetry::Metrics;
pub use drain::{DRAIN, Drained};

use lane::DestinationLane;
use snapshot::Concealments;
use turns::Turns;

/// How often the outbox drains without being asked.
const ROUND: Duration = Duration::from_secs(30);
/// How long to wait after the store or a destination was found down.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// How many owed recognitions are looked at in the store side by side.
const LOOKUPS: usize = 16;
/// How often to wait for another instance that may know the contribution of a milestone.
const GIVE_WAY: u32 = 5;
/// How long each of these waits is.
const GIVE_WAY_PAUSE: Duration = Duration::from_millis(100);
/// How long all of these waits are together.
pub const GIVING_WAY: Duration = GIVE_WAY_PAUSE.saturating_mul(GIVE_WAY);

/// The recognitions that are owed to contributors and to destinations.
pub struct Outbox {
    store: Arc<dyn Store>,
    lanes: Vec<DestinationLane>,
    milestones: Milestones,
    clock: Clock,
    metrics: Metrics,
    sweeps: Turns,
    /// How many recognitions the sweeps have made.
    swept: AtomicU64,
    /// Whether it was logged that recognitions are due at a destination that is turned off.
    said_turned_off: AtomicBool,
    made: watch::Sender<u64>,
    concealments: Concealments,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("destinations", &self.destinations()).finish_non_exhaustive()
    }
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
            sweeps: Turns::new(),
            swept: AtomicU64::default(),
            said_turned_off: AtomicBool::default(),
            made: watch::channel(0).0,
            concealments: Concealments::default(),
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
        self.lanes.iter().all(|lane| !lane.is_down())
    }

    /// Whether every destination answers now.
    pub async fn answers(&self) -> bool {
        let ping = |lane: &DestinationLane| {
            let publisher = Arc::clone(&lane.publisher);
            async move { publisher.ping().await }
        };
        join_all(self.lanes.iter().map(ping)).await.iter().all(Result::is_ok)
    }

    /// Makes what is owed, and has it published soon. Returns what is new, with the failure that left others owed.
    pub async fn recognise(&self, owed: Vec<Recognition>) -> Result<Recognised, StoreError> {
        let as_of = self.concealments.now();
        let made = self.make(owed).await?;
        self.lanes.iter().for_each(|lane| lane.expect(&made.new, as_of));
        Ok(made)
    }

    async fn make(&self, owed: Vec<Recognition>) -> Result<Recognised, StoreError> {
        let owed = self.complete(owed).await?;
        if owed.is_empty() {
            return Ok(Recognised::default());
        }
        let made = self.store.recognise(&owed, &self.destinations()).await?;
        for recognition in &made.new {
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
        if !made.new.is_empty() {
            self.give_up_impossible(&made.new).await;
            self.made.send_modify(|n| *n += 1);
        }
        Ok(made)
    }

    /// Names the contribution of each milestone that none of those just counted reached.
    ///
    /// A crash left such a milestone, or another instance is recognising it at this moment and knows the
    /// contribution. Where the store does not know it, wait a moment so that the other instance is first.
    async fn complete(&self, owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        let looks: Vec<_> = owed.into_iter().map(|recognition| self.complete_one(recognition)).collect();
        let mut owed: Vec<_> = futures::stream::iter(looks).buffered(LOOKUPS).try_collect().await?;
        for _ in 0..GIVE_WAY {
            if owed.iter().all(|recognition| recognition.contribution.is_some()) {
                break;
            }
            tokio::time::sleep(GIVE_WAY_PAUSE).await;
            owed = self.still_owed(owed).await?;
        }
        Ok(owed)
    }

    async fn complete_one(&self, mut recognition: Recognition) -> Result<Recognition, StoreError> {
        let who = &recognition.contributor;
        // On a self-managed host, only payloads say where the account is.
        if recognition.account_url.is_none() && who.host().is_some() && who.url().is_none() {
            recognition.account_url = self.store.contributor(who).await?.and_then(|found| found.account_url);
        }
        if recognition.contribution.is_none() {
            let reached = self.store.reached(&recognition.contributor, recognition.milestone).await?;
            if reached.is_some() {
                recognition.tally = recognition.milestone;
                recognition.contribution = reached;
            }
        }
        Ok(recognition)
    }

    /// What no other instance has recognised meanwhile.
    async fn still_owed(&self, owed: Vec<Recognition>) -> Result<Vec<Recognition>, StoreError> {
        let look = owed.into_iter().map(|recognition| async move {
            let found = self.store.contributor(&recognition.contributor).await?;
            let owed = found.is_some_and(|found| found.standing.recognized < recognition.milestone);
            Ok(owed.then_some(recognition))
        });
        let looked: Vec<Result<Option<Recognition>, StoreError>> =
            futures::stream::iter(look).buffered(LOOKUPS).collect().await;
        looked.into_iter().filter_map(Result::transpose).collect()
    }

    /// Waits until what was made so far has been offered to every destination that is not down.
    pub async fn offered(&self) {
        join_all(self.lanes.iter().map(DestinationLane::offered)).await;
    }

    /// How much waits; sets the metrics too.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let backlog = self.store.backlog(&self.destinations()).await?;
        self.metrics.backlog(backlog.waiting, self.age(backlog.oldest));
        Ok(backlog)
    }

    /// Publishes what is made, tries again what is put off, and drains every 30 seconds, until `stop`: one loop
    /// for each destination, one for sweeps, and one that asks them every 30 seconds.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let lanes = join_all(self.lanes.iter().map(|lane| self.run_lane(lane, &stop)));
        tokio::join!(lanes, self.run_sweeps(&stop), self.run_rounds(&stop));
    }

    /// Gives up at once what can never be published at a destination and needs no request to know. What fails
    /// here is found out by the destination's lane.
    async fn give_up_impossible(&self, made: &[Recognition]) {
        let all: Vec<_> = self.lanes.iter().flat_map(|lane| self.impossible(lane, made)).collect();
        if !all.is_empty()
            && let Err(error) = self.store.settle(&all).await
        {
            tracing::warn!(%error, "what can never be published stays due until it is looked at again");
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "an age in milliseconds is far below 2^53")]
    fn age(&self, oldest: Option<Moment>) -> f64 {
        oldest.map_or(0.0, |oldest| (self.clock.now() - oldest).num_milliseconds().max(0) as f64 / 1_000.0)
    }
}

fn store_panicked<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the store panicked".into()))
}
