//! Which repositories are private, as far as this process knows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::LONGEST;
use crate::domain::{Contribution, Moment, RepositoryId};
use crate::runtime::Clock;
use crate::store::{LOOK_AGAIN, Store, StoreError};

/// How old a payload may be that is taken at its word, and how long what the store said is taken as it was.
const FRESH: Duration = Duration::from_mins(5);
/// How many repositories are remembered.
const MOST: usize = 10_000;
const _: () = assert!(
    FRESH.as_secs() + LONGEST.as_secs() < LOOK_AGAIN.as_secs(),
    "the second look must find what was recorded without asking"
);

/// Makes the contributions of private repositories private, those that arrive late too.
pub(super) struct Privacy {
    known: RwLock<HashMap<RepositoryId, Known>>,
    store: Arc<dyn Store>,
    clock: Clock,
}

/// What is known of one repository.
#[derive(Clone, Copy)]
struct Known {
    /// Since when it is private, by the store.
    since: Option<Moment>,
    /// When the store was asked.
    asked_at: Moment,
    /// Whether all of it was made private, and nothing came since that says that it is public.
    concealed: bool,
}

impl Privacy {
    pub(super) fn new(store: &Arc<dyn Store>, clock: &Clock) -> Self {
        Self { known: RwLock::default(), store: Arc::clone(store), clock: clock.clone() }
    }

    /// Makes the repository's contributions private; where that is done already, only if it is to be done `anew`.
    pub(super) async fn conceal(&self, repository: &RepositoryId, anew: bool) -> Result<(), StoreError> {
        if !anew && self.known(repository.as_str()).is_some_and(|known| known.concealed) {
            return Ok(());
        }
        let now = self.clock.now();
        let since = Some(now);
        // Known before the store is changed: what is recorded beside this is private by itself.
        self.remember(repository.clone(), Known { since, asked_at: now, concealed: false });
        self.store.conceal(repository, now).await?;
        self.remember(repository.clone(), Known { since, asked_at: now, concealed: true });
        Ok(())
    }

    /// Makes those contributions private whose payload is older than the time at which their repository became
    /// private. The store is asked only about payloads that are not fresh.
    pub(super) async fn conceal_late(&self, contributions: &mut [Contribution]) -> Result<(), StoreError> {
        for one in contributions.iter_mut().filter(|one| !one.private) {
            let stated_at = one.stated_at();
            let Some(repository) = one.repository_id() else { continue };
            let Some(known) = self.ask(repository, stated_at).await? else { continue };
            if known.since.is_some_and(|since| stated_at <= since) {
                one.private = true;
            } else if known.concealed {
                // It is public again: if it becomes private once more, there is something to be done anew.
                self.remember(RepositoryId::from_text(repository), Known { concealed: false, ..known });
            }
        }
        Ok(())
    }

    async fn ask(&self, repository: &str, stated_at: Moment) -> Result<Option<Known>, StoreError> {
        let now = self.clock.now();
        let known = self.known(repository);
        let recent = known.is_some_and(|known| known.asked_at + FRESH >= now);
        if recent || stated_at + FRESH >= now {
            return Ok(known);
        }
        let id = RepositoryId::from_text(repository);
        let since = self.store.private_since(&id).await?;
        let concealed = known.is_some_and(|known| known.concealed);
        let found = Known { since, asked_at: now, concealed };
        self.remember(id, found);
        Ok(Some(found))
    }

    fn known(&self, repository: &str) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(repository).copied()
    }

    fn remember(&self, repository: RepositoryId, known: Known) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            // Each is asked for again when it is needed.
            all.clear();
        }
        all.insert(repository, known);
    }
}
