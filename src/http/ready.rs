//! Whether the store and the destinations answer: one look at most every few seconds, for all callers together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::reads::Reads;
use crate::outbox::Outbox;
use crate::runtime::Tasks;
use crate::store::{Store, StoreError};

/// How long an answer counts as fresh.
const FRESH: Duration = Duration::from_secs(5);
/// How long the store, or the destinations, may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Looks, and keeps what the last look found.
pub(super) struct Ready {
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    tasks: Tasks,
    last: Mutex<Option<Look>>,
}

/// What the store and the destinations answered.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// Or why it does not answer.
    pub(super) store: Result<(), StoreError>,
    /// Whether every destination answers.
    pub(super) destinations: bool,
}

/// One look, under way or ended.
#[derive(Clone)]
struct Look {
    /// Whether every destination had taken what it was last offered.
    healthy: bool,
    found: watch::Receiver<Option<(Instant, Answers)>>,
}

impl Look {
    /// If a destination has taken a recognition since, it is asked again.
    fn is_fresh(&self, healthy: bool) -> bool {
        let ended = self.found.borrow().as_ref().map(|(at, _)| *at);
        match ended {
            None => self.found.has_changed().is_ok(),
            Some(at) => at.elapsed() < FRESH && (self.healthy || !healthy),
        }
    }
}

impl Ready {
    pub(super) fn new(store: Arc<dyn Store>, outbox: Arc<Outbox>, tasks: Tasks) -> Self {
        Self { store, outbox, tasks, last: Mutex::default() }
    }

    /// What the last look found, if it is fresh or under way; else what a new one finds.
    pub(super) async fn ask(&self) -> Answers {
        let mut look = self.look();
        let found = look.found.wait_for(Option::is_some).await;
        let answers = found.ok().and_then(|found| found.as_ref().map(|(_, answers)| answers.clone()));
        answers.unwrap_or_else(|| Answers {
            store: Err(StoreError::Unavailable("the check of the store was cancelled".into())),
            destinations: false,
        })
    }

    fn look(&self) -> Look {
        let healthy = self.outbox.healthy();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = last.as_ref().filter(|look| look.is_fresh(healthy)) {
            return look.clone();
        }
        let (sender, found) = watch::channel(None);
        let look = Look { healthy, found };
        *last = Some(look.clone());
        let (store, outbox) = (Arc::clone(&self.store), Arc::clone(&self.outbox));
        let stopping = self.tasks.stopping();
        // In a task of its own, so that it ends even if the client that caused it goes away.
        self.tasks.spawn(async move {
            let asked = async { tokio::join!(ask_store(store.as_ref()), ask_destinations(&outbox)) };
            tokio::select! {
                () = stopping.cancelled() => {}
                (store, destinations) = asked => {
                    sender.send_replace(Some((Instant::now(), Answers { store, destinations })));
                }
            }
        });
        look
    }
}

/// Counts what waits in the outbox, for the metrics: one look at a time, which all callers share and none ends. A
/// look that nobody waits for any longer still holds a reader of the store.
#[derive(Default)]
pub(super) struct Backlog(Mutex<Option<watch::Receiver<()>>>);

impl Backlog {
    /// Waits for the look that is under way, or a new one; not longer than an answer may take.
    pub(super) async fn refresh(&self, reads: &Arc<Reads>, outbox: &Arc<Outbox>, tasks: &Tasks) {
        let mut look = self.look(reads, outbox, tasks);
        // It never changes: its sender is dropped at the end.
        let _ = tokio::time::timeout(ANSWER, look.changed()).await;
    }

    fn look(&self, reads: &Arc<Reads>, outbox: &Arc<Outbox>, tasks: &Tasks) -> watch::Receiver<()> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = last.as_ref().filter(|look| look.has_changed().is_ok()) {
            return look.clone();
        }
        let (under_way, look) = watch::channel(());
        *last = Some(look.clone());
        let (reads, outbox, stopping) = (Arc::clone(reads), Arc::clone(outbox), tasks.stopping());
        tasks.spawn(async move {
            let counted = async {
                // While the store is down or has too much to read, the gauges keep their last values.
                if let Ok(_reading) = reads.begin().await {
                    let _ = outbox.backlog().await;
                }
            };
            tokio::select! {
                () = stopping.cancelled() => {}
                () = counted => {}
            }
            drop(under_way);
        });
        look
    }
}

async fn ask_store(store: &dyn Store) -> Result<(), StoreError> {
    let late = |_| Err(StoreError::Unavailable(format!("no answer within {} s", ANSWER.as_secs())));
    tokio::time::timeout(ANSWER, store.ping()).await.unwrap_or_else(late)
}

async fn ask_destinations(outbox: &Outbox) -> bool {
    tokio::time::timeout(ANSWER, outbox.answers()).await.unwrap_or(false)
}
