//! Batches of clients: each contribution for itself, live or history.

use std::collections::HashSet;

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{CommitLane, Outcome, PATIENCE, RecordError, Recorder};
use crate::domain::{Contribution, ContributionId, Moment, owed};
use crate::store::{History, Recorded, StoreError};

/// How often recognitions may be owed before history is recorded.
const OWED_FIRST: usize = 3;

impl Recorder {
    /// Records each of `contributions` for itself, whatever becomes of the others: live ones, or history, whose
    /// milestones are taken as recognised. Of several with one id the first is first; all others go to the lanes
    /// together. Answers when they are durable, in their order.
    pub async fn record_each(
        &self,
        contributions: Vec<Contribution>,
        history: bool,
    ) -> Vec<Result<Outcome, RecordError>> {
        let until = Instant::now() + PATIENCE;
        let mut ids: HashSet<ContributionId> = HashSet::new();
        let all = contributions.into_iter().enumerate();
        let (first, again): (Vec<_>, Vec<_>) = all.partition(|(_, one)| ids.insert(one.id.clone()));
        let mut outcomes = Vec::with_capacity(first.len() + again.len());
        for part in [first, again] {
            let (places, contributions): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            let answers = self.record_until(until, contributions, history).await;
            outcomes.extend(places.into_iter().zip(answers));
        }
        outcomes.sort_unstable_by_key(|(place, _)| *place);
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        if outcomes.iter().flatten().any(|outcome| !outcome.recognitions.is_empty()) {
            self.offered().await;
        }
        outcomes
    }

    async fn record_until(
        &self,
        until: Instant,
        contributions: Vec<Contribution>,
        history: bool,
    ) -> Vec<Result<Outcome, RecordError>> {
        let count = contributions.len();
        let enqueued = timeout_at(until, self.enqueue(contributions, history)).await;
        match enqueued.unwrap_or(Err(RecordError::TooSlow)) {
            Err(error) => vec![Err(error); count],
            Ok(answers) => {
                let in_time = answers.into_iter().map(async |answer| {
                    let outcome = timeout_at(until, answer).await;
                    Ok(outcome.map_err(|_| RecordError::TooSlow)??)
                });
                join_all(in_time).await
            }
        }
    }
}

impl CommitLane {
    /// Records history; what is owed before is recognised first.
    pub(super) async fn record_history(
        &self,
        contributions: &[Contribution],
        now: Moment,
    ) -> Result<Vec<Recorded>, StoreError> {
        for _ in 0..OWED_FIRST {
            match self.store.record_history(contributions, &self.milestones, now).await? {
                History::Recorded(recorded) => return Ok(recorded),
                History::Owed(standings) => {
                    let owed = standings.iter().flat_map(|one| owed(one, &[], &self.milestones, now));
                    self.outbox.recognise(owed.collect()).await?;
                }
            }
        }
        Err(StoreError::Unavailable("recognitions are owed before this history again and again".into()))
    }
}
