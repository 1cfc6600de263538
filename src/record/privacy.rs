//! Which repositories are private, as far as this process knows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::LONGEST;
use crate::domain::{Contribution, Moment, RepositoryId};
use crate::runtime::Clock;
use crate::store::{LOOK_AGAIN, Store, StoreError};

/// How old a payload may be that is taken at its word, and for how long what the store said is taken as it was.
const FRESH: Duration = Duration::from_mins(5);
/// For how long all of a repository is taken for private once it was made so: another instance may have recorded
/// something while it was public in between.
const CONCEALED: Duration = Duration::from_hours(1);
/// How many repositories are remembered.
const MOST: usize = 100_000;
const _: () = assert!(
    FRESH.as_secs() + LONGEST.as_secs() < LOOK_AGAIN.as_secs(),
    "the second look must find what was recorded without asking"
);

/// Makes the contributions of private repositories private, those that arrive late too.
pub(super) struct Privacy {
    known: RwLock<Known>,
    store: Arc<dyn Store>,
    clock: Clock,
}

#[derive(Default)]
struct Known {
    /// Since when repositories are private.
    since: HashMap<RepositoryId, Moment>,
    /// When the store was asked for them.
    asked_at: Option<Moment>,
    /// Those of which everything is private, and since when; nothing came since then that says that they are public.
    concealed: HashMap<RepositoryId, Moment>,
}

impl Privacy {
    pub(super) fn new(store: &Arc<dyn Store>, clock: &Clock) -> Self {
        Self { known: RwLock::default(), store: Arc::clone(store), clock: clock.clone() }
    }

    /// Makes the repository's contributions private; where that was done just now, only if it is to be done `anew`.
    pub(super) async fn conceal(&self, repository: &RepositoryId, anew: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let concealed = self.look(|known| known.concealed.get(repository).copied());
        if !anew && concealed.is_some_and(|at| now < at + CONCEALED) {
            return Ok(());
        }
        // Known before the store is changed: what is recorded beside this is private by itself.
        self.change(|known| known.is_private(repository.clone(), now));
        self.store.conceal(repository, now, anew).await?;
        self.change(|known| {
            if known.concealed.len() >= MOST {
                known.concealed.clear();
            }
            known.concealed.insert(repository.clone(), now);
        });
        Ok(())
    }

    /// Makes those contributions private whose payload is older than the time at which their repository became
    /// private. The store is asked only if one of them is not fresh, and not again for a while.
    pub(super) async fn conceal_late(&self, contributions: &mut [Contribution]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let asks = |one: &Contribution| {
            !one.private && one.repository_id().is_some() && one.stated_at() + FRESH < now
        };
        if contributions.iter().any(asks) {
            self.ask(now).await?;
        }
        for one in contributions.iter_mut().filter(|one| !one.private) {
            let Some(repository) = one.repository_id() else { continue };
            let (since, concealed) = self.look(|known| {
                (known.since.get(repository).copied(), known.concealed.contains_key(repository))
            });
            if since.is_some_and(|since| one.stated_at() <= since) {
                one.private = true;
            } else if concealed {
                // It is public again: if it becomes private once more, there is something to be done.
                self.change(|known| known.concealed.remove(repository));
            }
        }
        Ok(())
    }

    async fn ask(&self, now: Moment) -> Result<(), StoreError> {
        let asked_at = self.look(|known| known.asked_at);
        if asked_at.is_some_and(|at| at + FRESH >= now) {
            return Ok(());
        }
        // Again those of just before: another instance's clock can be behind.
        let news = self.store.private_repositories(asked_at.map(|at| at - LOOK_AGAIN)).await?;
        self.change(|known| {
            known.asked_at = Some(now);
            for private in news {
                known.is_private(private.id, private.since);
            }
        });
        Ok(())
    }

    fn look<T>(&self, at: impl FnOnce(&Known) -> T) -> T {
        at(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn is_private(&mut self, repository: RepositoryId, since: Moment) {
        if self.since.len() >= MOST {
            // The store is asked for all when that is needed.
            self.since.clear();
            self.asked_at = None;
        }
        let known = self.since.entry(repository).or_insert(since);
        *known = since.max(*known);
    }
}
