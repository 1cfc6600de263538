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
        let mut last: Vec<Standing> = Vec::new();
        loop {
            let after = last.last().map(|standing| &standing.contributor);
            let owing = self.store.owing(&self.milestones, after, LOOK).await?;
            let outcome = self.recognise_owing(&owing).await;
            // A full look may have more behind it, whether this instance or another recognised these.
            if owing.len() < LOOK || owing == last || stop.is_cancelled() {
                return outcome;
            }
            outcome?;
            last = owing;
        }
    }

    /// Recognises what is owed to these: in parts, of which one that fails leaves the others made. What a part
    /// made is offered while the others are still under way.
    async fn recognise_owing(&self, owing: &[Standing]) -> Result<(), StoreError> {
        let parts: Vec<_> = owing.chunks(TOGETHER).map(|part| self.recognise_part(part)).collect();
        let outcomes: Vec<_> = futures::stream::iter(parts).buffer_unordered(SIDE_BY_SIDE).collect().await;
        outcomes.into_iter().collect()
    }

    async fn recognise_part(&self, part: &[Standing]) -> Result<(), StoreError> {
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
