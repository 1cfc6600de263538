//! Offers what is due at a destination, and stores the outcome.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;

use super::Outbox;
use super::lane::DestinationLane;
use super::snapshot::Snapshot;
use crate::domain::{Destination, Moment, Recognition, RecognitionId};
use crate::publish::{Message, PublishError, Publisher};
use crate::runtime::{Backoff, catch_panic, stop_point};
use crate::store::{LONGEST_DELAY, Settled, StoreError};

/// How long one recognition is put off that a destination did not take.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_hours(1));

impl Outbox {
    /// Offers these, and stores the outcome of each.
    pub(super) async fn offer_all(
        &self,
        lane: &DestinationLane,
        due: Vec<Snapshot>,
        held_until: Option<Moment>,
    ) -> Result<Offered, StoreError> {
        if due.is_empty() {
            return Ok(Offered::default());
        }
        let publisher = lane.publisher.as_ref();
        let offers = futures::stream::iter(due).map(|snapshot| async move {
            let Some(due) = self.refreshed(snapshot).await? else { return Ok(None) };
            Ok(Some((offer(publisher, &due.recognition, held_until).await, due)))
        });
        let offers: Vec<Result<_, StoreError>> =
            offers.buffer_unordered(publisher.at_once().max(1)).collect().await;
        let mut outcomes = Vec::with_capacity(offers.len());
        let mut unread = None;
        for offer in offers {
            match offer {
                Ok(outcome) => outcomes.extend(outcome),
                Err(error) => unread = Some(error),
            }
        }
        stop_point("published").await;
        let down = outcomes.iter().any(|(outcome, _)| matches!(outcome, Err(PublishError::Down { .. })));
        // An outage is logged now and then, not for every recognition that it delays.
        let mut logged = !lane.found(down, self.clock.now());
        let mut offered = Offered { down, after: None };
        let mut settled = Vec::with_capacity(outcomes.len());
        for (outcome, due) in outcomes {
            self.report(lane, &outcome, &due.recognition, due.tries, &mut logged);
            let became = self.became(&outcome, due.tries, held_until, &mut offered);
            settled.extend(became.map(|became| (due.recognition.id, publisher.destination(), became)));
        }
        if !settled.is_empty() {
            self.store.settle(&settled).await?;
        }
        let taken = settled.iter().filter(|(_, _, became)| *became == Settled::Done).count();
        lane.taken.fetch_add(taken as u64, Ordering::SeqCst);
        // What could not be looked at again stays due.
        unread.map_or(Ok(offered), Err)
    }

    /// What to store of an outcome, if anything.
    fn became(
        &self,
        outcome: &Result<(), PublishError>,
        tries: u32,
        held_until: Option<Moment>,
        offered: &mut Offered,
    ) -> Option<Settled> {
        let now = self.clock.now();
        let (pause, counts) = match outcome {
            Ok(()) => return Some(Settled::Done),
            Err(PublishError::Never { reason, .. }) => return Some(Settled::GivenUp(*reason)),
            Err(PublishError::Lapsed) => return None,
            Err(PublishError::Later { after: None, .. }) => (BACKOFF.jittered(tries), true),
            Err(PublishError::Later { after: Some(after), .. }) => (*after, false),
            Err(PublishError::Down { after, .. }) => (after.unwrap_or_default(), false),
        };
        // What is put off for longer, the store takes for a fault of the clock.
        let pause = pause.min(LONGEST_DELAY);
        offered.again_after(pause);
        // Once a hold has ended, another instance may hold it: putting it off would end that hold.
        if held_until.is_some_and(|until| until <= now) {
            return None;
        }
        match counts {
            true => Some(Settled::Later(now + pause)),
            // Without a hold it is still due: there is nothing to put off.
            false if held_until.is_none() && pause.is_zero() => None,
            false => Some(Settled::Postponed(now + pause)),
        }
    }

    /// Those of `made` that can never be published at this destination, given up.
    pub(super) fn impossible(
        &self,
        lane: &DestinationLane,
        made: &[Recognition],
    ) -> Vec<(RecognitionId, Destination, Settled)> {
        let given_up = |recognition: &Recognition| {
            let Err(error) = lane.publisher.check(recognition) else { return None };
            let PublishError::Never { reason, .. } = error else { return None };
            self.report(lane, &Err(error), recognition, 0, &mut false);
            Some((recognition.id.clone(), lane.publisher.destination(), Settled::GivenUp(reason)))
        };
        made.iter().filter_map(given_up).collect()
    }

    /// Counts and logs an outcome.
    fn report(
        &self,
        lane: &DestinationLane,
        outcome: &Result<(), PublishError>,
        recognition: &Recognition,
        tries: u32,
        down_logged: &mut bool,
    ) {
        let (id, destination) = (&recognition.id, lane.publisher.destination());
        let count =
            |outcome: &str| self.metrics.published.with_label_values(&[destination.as_str(), outcome]).inc();
        match outcome {
            Ok(()) => {
                count("done");
                let said = serde_json::to_string(&Message::public(recognition)).unwrap_or_default();
                tracing::info!(recognition = %id, %destination, said, "recognition {id} published");
            }
            Err(PublishError::Never { reason, why }) => {
                let code = reason.code();
                count(code);
                tracing::info!(recognition = %id, %destination, reason = code, why, "recognition {id} given up at {destination}");
            }
            Err(PublishError::Later { why, .. }) => {
                count("later");
                tracing::warn!(recognition = %id, %destination, tries, why, "recognition {id} put off at {destination}");
            }
            Err(error @ PublishError::Lapsed) => {
                count("later");
                tracing::warn!(recognition = %id, %destination, tries, why = %error, "recognition {id} put off at {destination}");
            }
            Err(PublishError::Down { why, .. }) => {
                count("later");
                if !std::mem::replace(down_logged, true) {
                    tracing::warn!(recognition = %id, %destination, why, "{destination} is down; what is due there waits");
                }
            }
        }
    }
}

/// What offers came to.
#[derive(Default)]
pub(super) struct Offered {
    /// Whether the destination is down.
    pub(super) down: bool,
    /// After how long what it did not take may be offered again: the first of it.
    pub(super) after: Option<Duration>,
}

impl Offered {
    fn again_after(&mut self, pause: Duration) {
        self.after = Some(self.after.map_or(pause, |after| after.min(pause)));
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.down = more.down;
        if let Some(pause) = more.after {
            self.again_after(pause);
        }
    }
}

/// Publishes; a panic fails this one recognition only.
async fn offer(
    publisher: &dyn Publisher,
    recognition: &Recognition,
    held_until: Option<Moment>,
) -> Result<(), PublishError> {
    let publish = async {
        match held_until {
            None => publisher.publish(recognition).await,
            Some(until) => publisher.publish_held(recognition, until).await,
        }
    };
    let panicked = || Err(PublishError::Later { why: "the publisher panicked".into(), after: None });
    catch_panic(publish).await.unwrap_or_else(panicked)
}
