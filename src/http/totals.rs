//! How much the ledger holds: one look a minute at most, for all callers together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::runtime::Tasks;
use crate::store::{self, Store, StoreError};

/// How long an answer counts as fresh.
const FRESH: Duration = Duration::from_mins(1);

/// Looks, and keeps what the last look found.
pub(super) struct Totals {
    store: Arc<dyn Store>,
    tasks: Tasks,
    last: Mutex<Looks>,
}

/// The end of a look, and what it found.
type Found = Option<(Instant, Result<store::Totals, StoreError>)>;

#[derive(Default)]
struct Looks {
    /// The last look, under way or ended.
    look: Option<watch::Receiver<Found>>,
    /// What a look found last.
    known: Option<store::Totals>,
}

impl Totals {
    pub(super) fn new(store: Arc<dyn Store>, tasks: Tasks) -> Self {
        Self { store, tasks, last: Mutex::default() }
    }

    /// What was found last, at once, however old: where it is older than a minute, the next caller gets the newer
    /// one. Waits only for the first look.
    pub(super) async fn ask(&self) -> Result<store::Totals, StoreError> {
        let (known, mut look) = self.look();
        if let Some(known) = known {
            return Ok(known);
        }
        let cancelled = || Err(StoreError::Unavailable("the look at the totals was cancelled".into()));
        let found = look.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.as_ref().map(|(_, found)| found.clone())).unwrap_or_else(cancelled)
    }

    /// What is known, and the look that is under way or fresh, which is begun here if there is none.
    fn look(&self) -> (Option<store::Totals>, watch::Receiver<Found>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Ok(found))) = last.look.as_ref().and_then(|look| look.borrow().clone()) {
            last.known = Some(found);
        }
        if let Some(look) = last.look.as_ref().filter(|look| is_fresh(look)) {
            return (last.known, look.clone());
        }
        let (sender, look) = watch::channel(None);
        last.look = Some(look.clone());
        let (store, stopping) = (Arc::clone(&self.store), self.tasks.stopping());
        // In a task of its own, so that it ends even if the client that caused it goes away.
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                found = store.totals() => {
                    sender.send_replace(Some((Instant::now(), found)));
                }
            }
        });
        (last.known, look)
    }
}

/// Whether a look is under way, or has found something less than a minute ago.
fn is_fresh(look: &watch::Receiver<Found>) -> bool {
    match &*look.borrow() {
        None => look.has_changed().is_ok(),
        Some((at, found)) => found.is_ok() && at.elapsed() < FRESH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Draft, Moment};
    use crate::store::sqlite::Sqlite;

    #[tokio::test]
    async fn what_was_found_is_kept_and_callers_share_the_look() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("plaudit.db")).unwrap());
        let totals = Totals::new(Arc::clone(&store), Tasks::default());
        let (first, second) = (totals.look().1, totals.look().1);
        assert!(first.same_channel(&second), "two looks at once");
        assert_eq!(totals.ask().await.unwrap(), store::Totals::default());

        let talk = Draft { contributor: "mona".into(), kind: "talk".into(), ..Draft::default() };
        let talk = talk.check(Moment::UNIX_EPOCH, || "1".into()).unwrap();
        store.record(&[talk], Moment::UNIX_EPOCH).await.unwrap();
        assert_eq!(totals.ask().await.unwrap(), store::Totals::default());
        assert!(first.same_channel(&totals.look().1), "another look within a minute");
    }
}
