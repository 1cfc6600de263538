//! Whether the store and the destinations answer: asked at most every few seconds, for all callers together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::store::{Store, StoreError};

/// How long an answer counts as fresh.
const FRESH: Duration = Duration::from_secs(5);
/// How long the store, or the destinations, may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(3);

/// Asks, and keeps the last answers.
pub(super) struct Ready {
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    last: Mutex<Option<(Instant, Answers)>>,
}

/// What the store and the destinations answered.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// Or why it does not answer.
    pub(super) store: Result<(), StoreError>,
    /// Whether every destination answers.
    pub(super) destinations: bool,
}

impl Ready {
    pub(super) fn new(store: Arc<dyn Store>, outbox: Arc<Outbox>) -> Self {
        Self { store, outbox, last: Mutex::default() }
    }

    /// The last answers, if they are fresh; else asks anew. Callers that come meanwhile wait for the same
    /// answers.
    pub(super) async fn ask(&self) -> Answers {
        let mut last = self.last.lock().await;
        // A destination that was down is asked again at once: it may be up again.
        if let Some((at, answers)) = &*last
            && at.elapsed() < FRESH
        {
            let destinations = answers.destinations || self.destinations().await;
            return Answers { destinations, ..answers.clone() };
        }
        let (store, destinations) = tokio::join!(self.store(), self.destinations());
        let answers = Answers { store, destinations };
        *last = Some((Instant::now(), answers.clone()));
        answers
    }

    async fn store(&self) -> Result<(), StoreError> {
        let late = |_| Err(StoreError::Unavailable(format!("no answer within {} s", ANSWER.as_secs())));
        tokio::time::timeout(ANSWER, self.store.ping()).await.unwrap_or_else(late)
    }

    async fn destinations(&self) -> bool {
        tokio::time::timeout(ANSWER, self.outbox.answers()).await.unwrap_or(false)
    }
}
