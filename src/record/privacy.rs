//! Which repositories are private, as far as this process knows.

mod recent;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;

use self::recent::Recent;
use super::LONGEST;
use crate::domain::{Contribution, Moment, RepositoryId, Visibility, VisibilitySaid};
use crate::runtime::Clock;
use crate::store::{Concealment, LOOK_AGAIN, PrivateRepository, Store, StoreError};

/// How old a payload may be that is taken at its word, and for how long what the store said is taken as it was.
const FRESH: Duration = Duration::from_mins(5);
/// For how long all of a repository is taken for private once it was made so: another instance may have recorded
/// something while it was public in between.
const CONCEALED: Duration = Duration::from_hours(1);
/// How many repositories are remembered at least, once there are as many.
const REMEMBERED: usize = 50_000;
const _: () = assert!(
    FRESH.as_secs() + LONGEST.as_secs() < LOOK_AGAIN.as_secs(),
    "the second look must find what was recorded without asking"
);

/// Makes the contributions of private repositories private, those that arrive late too.
pub(super) struct Privacy {
    known: RwLock<Known>,
    remembered: usize,
    /// Held while the store is asked for all repositories: who waits for it finds the answer.
    asking: Mutex<()>,
    store: Arc<dyn Store>,
    clock: Clock,
}

struct Known {
    /// Since when repositories are private; `None` for one of which the store says nothing.
    since: Recent<RepositoryId, Option<Moment>>,
    /// Whether `since` may lack some that the store has noted.
    incomplete: bool,
    /// When the store was asked for them.
    asked_at: Option<Moment>,
    /// Those of which everything is private, and since when; nothing came since then that says that they are public.
    concealed: Recent<RepositoryId, Moment>,
}

impl Privacy {
    pub(super) fn new(store: &Arc<dyn Store>, clock: &Clock) -> Self {
        Self::remembering(REMEMBERED, store, clock)
    }

    fn remembering(remembered: usize, store: &Arc<dyn Store>, clock: &Clock) -> Self {
        let known = Known {
            since: Recent::of(remembered),
            incomplete: false,
            asked_at: None,
            concealed: Recent::of(remembered),
        };
        Self {
            known: RwLock::new(known),
            remembered,
            asking: Mutex::default(),
            store: Arc::clone(store),
            clock: clock.clone(),
        }
    }

    /// Takes what a payload says about who may see its repository. Whether something was made private.
    pub(super) async fn see(&self, visibility: &Visibility) -> Result<bool, StoreError> {
        let Visibility { repository, said, at } = visibility;
        let became_private = match said {
            VisibilitySaid::IsPrivate => false,
            VisibilitySaid::BecamePrivate => true,
            VisibilitySaid::BecamePublic => {
                self.change(|known| known.concealed.remove(repository.as_str()));
                self.store.publicized(repository, *at).await?;
                return Ok(false);
            }
        };
        let now = self.clock.now();
        let concealed = self.look(|known| known.concealed.get(repository.as_str()));
        if !became_private && concealed.is_some_and(|concealed| now < concealed + CONCEALED) {
            return Ok(false);
        }
        self.conceal(repository, *at, became_private).await?;
        Ok(true)
    }

    /// Makes a repository's contributions private, because a payload of `at` says that it is so. An older payload than
    /// one that says that it became public changes only what was stated up to its time.
    async fn conceal(&self, repository: &RepositoryId, at: Moment, anew: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let noted = self.store.private_repository(repository).await?;
        let is_old = noted.as_ref().is_some_and(|noted| noted.was_public_after(at));
        let since = if is_old { at } else { at.max(now) };
        // Known before the store is changed: what is recorded beside this is private by itself.
        self.change(|known| known.is_private(repository.clone(), Some(since)));
        let is_news =
            |noted: &PrivateRepository| noted.since.is_none() || (noted.is_public_again() && !is_old);
        let noted_anyway = anew || noted.as_ref().is_none_or(is_news);
        self.store.conceal(repository, Concealment { since, private_at: at, now, noted_anyway }).await?;
        if !is_old {
            self.change(|known| known.concealed.insert(repository.clone(), now));
        }
        Ok(())
    }

    /// Makes those contributions private whose payload is older than the time at which their repository became
    /// private. The store is asked only if one of them is not fresh, and not again for a while.
    pub(super) async fn conceal_late(&self, contributions: &mut [Contribution]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let is_old = |one: &Contribution| one.stated_at() + FRESH < now;
        let asks = |one: &Contribution| !one.private && one.repository_id().is_some() && is_old(one);
        if contributions.iter().any(asks) {
            self.ask(now).await?;
        }
        for one in contributions.iter_mut().filter(|one| !one.private) {
            let Some(repository) = one.repository_id() else { continue };
            let (since, incomplete, concealed) = self.look(|known| {
                let concealed = known.concealed.get(repository).is_some();
                (known.since.get(repository), known.incomplete, concealed)
            });
            let since = match since {
                None if incomplete && is_old(one) => self.ask_for(repository).await?,
                since => since.flatten(),
            };
            if since.is_some_and(|since| one.stated_at() <= since) {
                one.private = true;
            } else if concealed {
                // It is public again: if it becomes private once more, there is something to be done.
                self.change(|known| known.concealed.remove(repository));
            }
        }
        Ok(())
    }

    /// Asks for what was noted since the last time. Too many are not remembered: each is asked for when it is needed.
    async fn ask(&self, now: Moment) -> Result<(), StoreError> {
        let asked_at = || self.look(|known| known.asked_at);
        let is_due = |asked: Option<Moment>| asked.is_none_or(|at| at + FRESH < now);
        if !is_due(asked_at()) {
            return Ok(());
        }
        let _alone = self.asking.lock().await;
        let asked_at = asked_at();
        if !is_due(asked_at) {
            return Ok(());
        }
        // Again those of just before: another instance's clock can be behind.
        let since = asked_at.map(|at| at - LOOK_AGAIN);
        let news = self.store.private_repositories(since, self.remembered).await?;
        self.change(|known| {
            known.asked_at = Some(now);
            if news.len() >= self.remembered {
                known.since.clear();
                known.incomplete = true;
                return;
            }
            for private in news {
                known.is_private(private.id, private.since);
            }
        });
        Ok(())
    }

    async fn ask_for(&self, repository: &str) -> Result<Option<Moment>, StoreError> {
        let repository = RepositoryId::from_text(repository);
        let since = self.store.private_repository(&repository).await?.and_then(|noted| noted.since);
        self.change(|known| known.is_private(repository, since));
        Ok(since)
    }

    fn look<T>(&self, at: impl FnOnce(&Known) -> T) -> T {
        at(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn is_private(&mut self, repository: RepositoryId, since: Option<Moment>) {
        let known = self.since.get(repository.as_str()).flatten();
        if self.since.insert(repository, known.max(since)) {
            self.incomplete = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContributionId, ContributorId, Draft, Kind};
    use crate::store::sqlite::Sqlite;

    fn repository(number: usize) -> RepositoryId {
        RepositoryId::from_text(format!("github:{number}"))
    }

    fn old_issue(number: usize) -> Contribution {
        let draft = Draft { contributor: "mona".into(), kind: "talk".into(), ..Draft::default() };
        let posted = draft.check(Moment::UNIX_EPOCH, || "1".into()).unwrap();
        let id = ContributionId::from_text(format!("github:{number}:issue:1"));
        let contributor = ContributorId::parse("github:mona").unwrap();
        Contribution { id, contributor, kind: Kind::ISSUE, content: None, ..posted }
    }

    #[tokio::test]
    async fn more_private_repositories_than_are_remembered_are_all_private() {
        const MANY: usize = 20;
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("ledger.db")).unwrap());
        let at = Moment::UNIX_EPOCH + chrono::TimeDelta::days(1);
        let clock = Clock::from_fn(move || at);
        let start = |remembered| Privacy::remembering(remembered, &store, &clock);
        let one = start(4);
        for number in 0..MANY {
            let said = VisibilitySaid::BecamePrivate;
            one.see(&Visibility { repository: repository(number), said, at }).await.unwrap();
        }
        // The one that was there, one that starts and remembers fewer than there are, and one that remembers all.
        for privacy in [one, start(4), start(100)] {
            for _ in 0..2 {
                let mut issues: Vec<_> = (0..MANY + 5).map(old_issue).collect();
                privacy.conceal_late(&mut issues).await.unwrap();
                let private = issues.iter().filter(|issue| issue.private).count();
                assert_eq!(private, MANY, "{}", privacy.remembered);
                assert!(issues.iter().take(MANY).all(|issue| issue.private));
            }
        }
    }
}
