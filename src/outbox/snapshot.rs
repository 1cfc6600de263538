//! What is due, as it was at one time: its contribution may become private before it is published.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Outbox;
use crate::store::{Due, StoreError};

/// For how long a snapshot is published without another look. Longer than an offer usually waits, so that looking
/// costs nothing; what another instance made private is published for this long at most.
const FRESH: Duration = Duration::from_secs(2);

/// How often this instance has made something private.
#[derive(Debug, Default)]
pub(super) struct Concealments(AtomicU64);

/// A time, and what this instance had made private by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    concealments: u64,
    at: Instant,
}

/// What is due, as it was in the store at `as_of` or later.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) due: Due,
    pub(super) as_of: AsOf,
}

impl Concealments {
    pub(super) fn now(&self) -> AsOf {
        AsOf { concealments: self.0.load(Ordering::SeqCst), at: Instant::now() }
    }

    fn happened_since(&self, as_of: AsOf) -> bool {
        self.0.load(Ordering::SeqCst) != as_of.concealments
    }
}

impl Outbox {
    /// Notes that something was made private in the store, or erased: no snapshot of before is published without another look.
    pub fn concealed(&self) {
        self.concealments.0.fetch_add(1, Ordering::SeqCst);
    }

    /// What is due, with its contribution as private as it is by now; `None` where the recognition is not there any
    /// more. The store is asked only for a snapshot that may be outdated.
    pub(super) async fn refreshed(
        &self,
        Snapshot { due, as_of }: Snapshot,
    ) -> Result<Option<Due>, StoreError> {
        let outdated = as_of.at.elapsed() > FRESH || self.concealments.happened_since(as_of);
        if !outdated {
            return Ok(Some(due));
        }
        let found = self.store.recognition(&due.recognition.id).await?;
        Ok(found.map(|(recognition, _)| Due { recognition, ..due }))
    }
}
