//! What is due at a destination: offered, and written down what became of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::Mutex;

use super::{BATCH, Outbox, jittered};
use crate::domain::{Destination, Recognition, RecognitionId};
use crate::publish::{Message, PublishError, Publisher};
use crate::runtime::stop_point;
use crate::store::{Due, Settled, StoreError};

/// How many that this instance made are kept in hand until they are offered; the store keeps them all.
const MOST_FRESH: usize = 10_000;
/// The longest that one recognition is put off.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// A destination, and what this instance knows of it.
pub(super) struct Lane {
    pub(super) publisher: Arc<dyn Publisher>,
    busy: Mutex<()>,
    pub(super) down: AtomicBool,
    /// Made by this instance and not yet offered.
    fresh: std::sync::Mutex<Vec<Recognition>>,
}

impl Lane {
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
            // While the destination is down, what waits is kept by the store alone.
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
                count(reason.code());
                tracing::info!(recognition = %id, %destination, reason = reason.code(), why, "recognition {id} given up at {destination}");
                Settled::GivenUp(reason.code().to_owned())
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
