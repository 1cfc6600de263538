//! Offers what is due at a destination, and stores the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::Mutex;

use super::{BATCH, Outbox};
use crate::domain::{Destination, Recognition, RecognitionId};
use crate::publish::{Message, PublishError, Publisher};
use crate::runtime::{Backoff, catch_panic, stop_point};
use crate::store::{Due, LONGEST_DELAY, Settled, StoreError};

/// How many recognitions that this instance made are kept in memory until they are offered; the store keeps
/// them all.
const MOST_FRESH: usize = 10_000;
/// How long one recognition is put off that a destination did not take.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1));

/// A destination, and what this instance knows of it.
pub(super) struct DestinationLane {
    pub(super) publisher: Arc<dyn Publisher>,
    busy: Mutex<()>,
    /// Whether the last offer found the destination down.
    pub(super) down: AtomicBool,
    /// Made by this instance and not yet offered.
    fresh: std::sync::Mutex<Vec<Recognition>>,
}

impl DestinationLane {
    pub(super) fn new(publisher: Arc<dyn Publisher>) -> Self {
        Self {
            publisher,
            busy: Mutex::default(),
            down: AtomicBool::default(),
            fresh: std::sync::Mutex::default(),
        }
    }

    pub(super) fn expect(&self, made: &[Recognition]) {
        if let Ok(mut fresh) = self.fresh.lock() {
            fresh.extend_from_slice(made);
            // While the destination is down, the store alone keeps the rest.
            let surplus = fresh.len().saturating_sub(MOST_FRESH);
            fresh.drain(..surplus);
        }
    }

    fn fresh(&self) -> Vec<Recognition> {
        self.fresh.lock().map(|mut fresh| std::mem::take(&mut *fresh)).unwrap_or_default()
    }
}

impl Outbox {
    /// Offers everything that is due to its destination. One destination never holds back another.
    pub(super) async fn pass(&self) -> Result<u64, StoreError> {
        self.pass_over(false).await
    }

    pub(super) async fn pass_over(&self, only_fresh: bool) -> Result<u64, StoreError> {
        let passes = self.lanes.iter().map(|lane| self.pass_one(lane, only_fresh));
        let counts = futures::future::join_all(passes).await;
        counts.into_iter().sum()
    }

    async fn pass_one(&self, lane: &DestinationLane, only_fresh: bool) -> Result<u64, StoreError> {
        let _alone = lane.busy.lock().await;
        let publisher = lane.publisher.as_ref();
        let (destination, hold) = (publisher.destination(), publisher.hold());
        let fresh = lane.fresh();
        if only_fresh && hold.is_zero() {
            // What this instance has just made is known without a query, and without a hold a query would
            // only find what other instances are publishing too.
            let due = fresh.into_iter().map(|recognition| Due { recognition, tries: 0 }).collect();
            return Ok(self.offer_all(lane, due).await?.taken);
        }
        // What is held while it is published must be published before the hold ends.
        let limit = if hold.is_zero() { BATCH } else { publisher.at_once() };
        let mut taken = 0;
        loop {
            let now = self.clock.now();
            let due = self.store.claim(destination, now, now + hold, limit).await?;
            let full = due.len() == limit;
            let offered = self.offer_all(lane, due).await?;
            taken += offered.taken;
            if offered.down || !full {
                return Ok(taken);
            }
        }
    }

    /// Offers these, and stores the outcome of each.
    async fn offer_all(&self, lane: &DestinationLane, due: Vec<Due>) -> Result<Offered, StoreError> {
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
        let mut logged = was_down; // An outage is logged once, not for every recognition that it delays.
        let settled: Vec<_> = outcomes
            .into_iter()
            .filter_map(|(outcome, due)| self.settled(lane, outcome, &due, &mut logged))
            .collect();
        if !settled.is_empty() {
            self.store.settle(&settled).await?;
        }
        let taken = settled.iter().filter(|(_, _, became)| *became == Settled::Done).count();
        Ok(Offered { taken: taken as u64, down })
    }

    /// What to store of an outcome, if anything.
    fn settled(
        &self,
        lane: &DestinationLane,
        outcome: Result<(), PublishError>,
        due: &Due,
        logged: &mut bool,
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
                let code = reason.code();
                count(code);
                tracing::info!(recognition = %id, %destination, reason = code, why, "recognition {id} given up at {destination}");
                Settled::GivenUp(reason)
            }
            Err(PublishError::Later { why }) => {
                count("later");
                tracing::warn!(recognition = %id, %destination, tries = due.tries, why, "recognition {id} put off at {destination}");
                Settled::Later(self.clock.now() + delay(due.tries, None))
            }
            Err(PublishError::Down { why, after }) => {
                count("later");
                if !std::mem::replace(logged, true) {
                    tracing::warn!(recognition = %id, %destination, why, "{destination} is down; what is due there waits");
                }
                // Without a hold it is still due: there is nothing to put off.
                if lane.publisher.hold().is_zero() {
                    return None;
                }
                Settled::Later(self.clock.now() + delay(due.tries, after))
            }
        };
        Some((id, destination, became))
    }
}

/// What an offer came to.
struct Offered {
    /// How many the destination took.
    taken: u64,
    /// Whether it is down.
    down: bool,
}

/// Publishes; a panic fails this one recognition only.
async fn offer(publisher: &dyn Publisher, recognition: &Recognition) -> Result<(), PublishError> {
    let panicked = || Err(PublishError::Later { why: "the publisher panicked".into() });
    catch_panic(publisher.publish(recognition)).await.unwrap_or_else(panicked)
}

/// How long to put off what was put off `tries` times before: not less than the destination asked for, and not so
/// long that the store takes it for a fault of the clock.
fn delay(tries: u32, at_least: Option<Duration>) -> Duration {
    BACKOFF.jittered(tries).max(at_least.unwrap_or_default()).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_waits_longer_but_never_less_than_the_other_side_asked() {
        assert!(delay(0, None) <= Duration::from_secs(1));
        assert!((Duration::from_secs(8)..=Duration::from_secs(16)).contains(&delay(4, None)));
        assert!(delay(40, None) <= Duration::from_hours(1));
        assert_eq!(delay(0, Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(delay(0, Some(Duration::from_hours(90))), LONGEST_DELAY);
    }
}
