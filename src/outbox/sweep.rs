//! Finds what is owed to contributors, and recognises it.

use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{Outbox, store_panicked};
use crate::domain::{Standing, owed};
use crate::runtime::catch_panic;
use crate::store::StoreError;

/// How many contributors are looked up at once.
const LOOK: usize = 1_000;
/// The recognitions of how many contributors are made together.
const TOGETHER: usize = 50;
/// How many of these parts are made side by side.
const SIDE_BY_SIDE: usize = 16;

impl Outbox {
    /// Sweeps whenever it is asked to, until `stop`. A drain that no longer waits does not interrupt a sweep.
    pub(super) async fn run_sweeps(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.sweeps.requested() => {}
            }
            let turn = self.sweeps.current();
            let outcome = catch_panic(self.sweep(stop)).await.unwrap_or_else(store_panicked);
            self.sweeps.end(turn, outcome);
        }
    }

    /// Recognises everything that a crash or a change of milestones left owed.
    async fn sweep(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        if let Err(error) = self.store.move_late().await {
            tracing::warn!(%error, "what arrived under linked or renamed accounts does not all count for their contributors yet; it is tried again");
        }
        let (mut last, mut refused): (Vec<Standing>, _) = (Vec::new(), Ok(()));
        loop {
            let after = last.last().map(|standing| &standing.contributor);
            let owing = self.store.owing(&self.milestones, after, LOOK).await?;
            match self.recognise_owing(&owing).await {
                // What the store can never make keeps back nothing that comes after it.
                Err(error) if is_for_good(&error) => refused = Err(error),
                outcome => outcome?,
            }
            // A full look may have more behind it, whether this instance or another recognised these.
            if owing.len() < LOOK || owing == last || stop.is_cancelled() {
                return refused;
            }
            last = owing;
        }
    }

    /// Recognises what is owed to these: in parts, of which one that fails leaves the others made. What a part
    /// made is offered while the others are still under way.
    async fn recognise_owing(&self, owing: &[Standing]) -> Result<(), StoreError> {
        let parts: Vec<_> = owing.chunks(TOGETHER).map(|part| self.recognise_part(part)).collect();
        let outcomes: Vec<_> = futures::stream::iter(parts).buffer_unordered(SIDE_BY_SIDE).collect().await;
        first_fault(outcomes)
    }

    /// Recognises what is owed to these together; one by one where the store refuses that for good, so that one
    /// contributor takes nothing from the others.
    async fn recognise_part(&self, part: &[Standing]) -> Result<(), StoreError> {
        match self.recognise_together(part).await {
            Err(error) if is_for_good(&error) && part.len() > 1 => {
                let mut outcomes = Vec::with_capacity(part.len());
                for standing in part {
                    let outcome = self.recognise_together(std::slice::from_ref(standing)).await;
                    if let Err(error) = &outcome {
                        let contributor = &standing.contributor;
                        tracing::warn!(%error, %contributor, "what is owed to {contributor} cannot be recognised");
                    }
                    outcomes.push(outcome);
                }
                first_fault(outcomes)
            }
            outcome => outcome,
        }
    }

    async fn recognise_together(&self, part: &[Standing]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let all = part.iter().flat_map(|standing| owed(standing, &[], &self.milestones, now)).collect();
        let made = self.make(all).await?;
        if !made.new.is_empty() {
            self.swept.fetch_add(made.new.len() as u64, Ordering::SeqCst);
            self.lanes.iter().for_each(|lane| _ = lane.passes.request());
        }
        made.failure.map_or(Ok(()), Err)
    }
}

/// Whether the same fails again, however often it is tried.
fn is_for_good(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(_) | StoreError::Broken(_))
}

/// The fault that matters most: one that may pass, because then nothing more is tried now.
fn first_fault(outcomes: Vec<Result<(), StoreError>>) -> Result<(), StoreError> {
    let mut faults: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    faults.sort_by_key(is_for_good);
    faults.into_iter().next().map_or(Ok(()), Err)
}
