//! A store that fails, blocks or panics when a test wants it to; until then it is a real one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Naming, Recognition,
    RecognitionId, RepositoryId, Review, Standing,
};
use plaudit::store::{
    Account, Backlog, Concealment, ContributionFilter, Contributor, ContributorFilter, Counted, Due, Forgot,
    History, Linked, News, Order, Page, Paged, PrivateRepository, Progress, Recognised, RecognitionFilter,
    Recorded, Reviewed, Settled, Store, StoreError, Totals, Unlinked,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::ledger;

/// What the store does instead of what it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// What it is asked.
    Good,
    /// Answers everything with this error.
    Fails(StoreError),
    /// Panics at everything.
    Panics,
    /// Records only once the gate is open.
    Blocked,
    /// Records, and fails to recognise.
    RecordsOnly,
    /// Recognises, and answers only once the gate is open.
    HoldsRecognised,
    /// Reads a page of a list only once the gate is open.
    HoldsReads,
    /// Reads recognitions after a position only once the gate is open.
    HoldsMissed,
    /// Another instance recognises just before it does.
    Overtaken,
    /// Fails to recognise with this error where this contributor is among others.
    FailsToRecognise(&'static str, StoreError),
    /// Has no key to remember by whom to forget.
    HasNoForgetKey,
    /// Never answers this method.
    HangsIn(&'static str),
    /// Fails at this method.
    FailsIn(&'static str, StoreError),
}

impl Mode {
    /// Answers that it is unavailable, with words that no client may see.
    pub(crate) fn down() -> Self {
        Self::Fails(unavailable())
    }
}

pub(crate) fn unavailable() -> StoreError {
    StoreError::Unavailable("a secret of the inside".into())
}

pub(crate) struct FakeStore {
    inner: Arc<dyn Store>,
    mode: Mutex<Mode>,
    /// Each permit lets one call through.
    pub(crate) gate: Semaphore,
    /// One permit for each call of `owing` that has ended.
    pub(crate) looked: Semaphore,
    /// One permit for each call that has come to the gate, beside those of `record`.
    pub(crate) held: Semaphore,
    /// A batch with a contribution of this contributor is refused for ever.
    pub(crate) impossible: &'static str,
    /// The sizes of all batches, in their order.
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) pings: AtomicUsize,
    /// How often it was asked how much waits.
    pub(crate) backlogs: AtomicUsize,
    /// How often the totals were counted.
    pub(crate) looks: AtomicUsize,
    /// How often it was closed.
    pub(crate) closed: AtomicUsize,
    _folder: TempDir,
}

impl FakeStore {
    pub(crate) fn new(mode: Mode) -> Arc<Self> {
        let (folder, inner) = ledger();
        Arc::new(Self {
            inner,
            mode: Mutex::new(mode),
            gate: Semaphore::new(0),
            looked: Semaphore::new(0),
            held: Semaphore::new(0),
            impossible: "the impossible",
            batches: Mutex::default(),
            pings: AtomicUsize::default(),
            backlogs: AtomicUsize::default(),
            looks: AtomicUsize::default(),
            closed: AtomicUsize::default(),
            _folder: folder,
        })
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        self.mode.lock().unwrap().clone()
    }

    /// Fails or panics where the mode says so of everything.
    fn usable(&self) -> Result<(), StoreError> {
        match self.mode() {
            Mode::Fails(error) => Err(error),
            Mode::Panics => panic!("the store panics"),
            _ => Ok(()),
        }
    }

    /// The same, and where the mode is of this method.
    async fn enter(&self, method: &str) -> Result<(), StoreError> {
        match self.mode() {
            Mode::HangsIn(which) if which == method => std::future::pending().await,
            Mode::FailsIn(which, error) if which == method => Err(error),
            _ => self.usable(),
        }
    }

    /// Before a page of a list is read.
    async fn page(&self) -> Result<(), StoreError> {
        if matches!(self.mode(), Mode::HoldsReads) {
            self.held.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
        self.usable()
    }
}

#[async_trait]
impl Store for FakeStore {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        self.batches.lock().unwrap().push(batch.len());
        if matches!(self.mode(), Mode::Blocked) {
            self.gate.acquire().await.unwrap().forget();
        }
        self.enter("record").await?;
        if batch.iter().any(|c| c.contributor.as_str() == self.impossible) {
            return Err(StoreError::Refused("a secret of the inside".into()));
        }
        self.inner.record(batch, now).await
    }

    async fn record_history(
        &self,
        batch: &[Contribution],
        milestones: &Milestones,
        now: Moment,
    ) -> Result<History, StoreError> {
        self.batches.lock().unwrap().push(batch.len());
        self.usable()?;
        self.inner.record_history(batch, milestones, now).await
    }
    async fn forget(&self, contributor: &ContributorId) -> Result<Forgot, StoreError> {
        self.usable()?;
        if matches!(self.mode(), Mode::HasNoForgetKey) {
            return Ok(Forgot::NoKey);
        }
        self.inner.forget(contributor).await
    }

    async fn link(&self, account: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError> {
        self.usable()?;
        self.inner.link(account, to).await
    }

    async fn unlink(&self, account: &ContributorId) -> Result<Unlinked, StoreError> {
        self.usable()?;
        self.inner.unlink(account).await
    }

    async fn accounts_of(&self, contributor: &ContributorId) -> Result<Vec<Account>, StoreError> {
        self.usable()?;
        self.inner.accounts_of(contributor).await
    }

    async fn accounts_of_addresses(
        &self,
        named: &[Naming],
    ) -> Result<Vec<Option<ContributorId>>, StoreError> {
        self.usable()?;
        self.inner.accounts_of_addresses(named).await
    }

    async fn move_late(&self) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.move_late().await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.usable()?;
        self.inner.bookmark(name).await
    }

    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.set_bookmark(name, value).await
    }

    async fn replace_bookmark(
        &self,
        name: &str,
        before: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError> {
        self.usable()?;
        self.inner.replace_bookmark(name, before, value).await
    }

    async fn recognise(&self, made: &[Recognition], to: &[Destination]) -> Result<Recognised, StoreError> {
        self.usable()?;
        match self.mode() {
            Mode::RecordsOnly => return Err(unavailable()),
            Mode::FailsToRecognise(who, error) if made.iter().any(|r| r.contributor.as_str() == who) => {
                return Err(error);
            }
            Mode::Overtaken => drop(self.inner.recognise(made, to).await?),
            _ => {}
        }
        let news = self.inner.recognise(made, to).await?;
        if matches!(self.mode(), Mode::HoldsRecognised) {
            self.held.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(news)
    }

    async fn owing(
        &self,
        milestones: &Milestones,
        after: Option<&ContributorId>,
        limit: usize,
    ) -> Result<Vec<Standing>, StoreError> {
        self.usable()?;
        let owing = self.inner.owing(milestones, after, limit).await;
        self.looked.add_permits(1);
        owing
    }

    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.usable()?;
        self.inner.claim(destination, now, held_until, limit).await
    }

    async fn next_due(&self, destination: Destination) -> Result<Option<Moment>, StoreError> {
        self.usable()?;
        self.inner.next_due(destination).await
    }

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.settle(settled).await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        self.backlogs.fetch_add(1, Ordering::SeqCst);
        self.enter("backlog").await?;
        self.inner.backlog(destinations).await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        self.enter("contribution").await?;
        self.inner.contribution(id).await
    }

    async fn reached(&self, who: &ContributorId, tally: u64) -> Result<Option<Contribution>, StoreError> {
        self.usable()?;
        self.inner.reached(who, tally).await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        self.usable()?;
        self.inner.contributor(id).await
    }

    async fn contributors(
        &self,
        order: Order,
        filter: &ContributorFilter,
        page: &Page,
    ) -> Result<Paged<Contributor>, StoreError> {
        self.page().await?;
        self.inner.contributors(order, filter, page).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.page().await?;
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.totals().await
    }

    async fn review(&self, review: &Review) -> Result<Vec<Reviewed>, StoreError> {
        self.enter("review").await?;
        self.inner.review(review).await
    }

    async fn conceal(&self, repository: &RepositoryId, concealment: Concealment) -> Result<(), StoreError> {
        self.enter("conceal").await?;
        self.inner.conceal(repository, concealment).await
    }

    async fn publicized(&self, repository: &RepositoryId, at: Moment) -> Result<(), StoreError> {
        self.enter("publicized").await?;
        self.inner.publicized(repository, at).await
    }

    async fn conceal_due(&self, now: Moment) -> Result<(), StoreError> {
        self.enter("conceal_due").await?;
        self.inner.conceal_due(now).await
    }

    async fn private_repositories(
        &self,
        since: Option<Moment>,
        limit: usize,
    ) -> Result<Vec<PrivateRepository>, StoreError> {
        self.enter("private_repositories").await?;
        self.inner.private_repositories(since, limit).await
    }

    async fn private_repository(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<PrivateRepository>, StoreError> {
        self.enter("private_repository").await?;
        self.inner.private_repository(repository).await
    }

    async fn contributions(
        &self,
        filter: &ContributionFilter,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        self.page().await?;
        self.inner.contributions(filter, page).await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        self.usable()?;
        self.inner.recognition(id).await
    }

    async fn recognitions(
        &self,
        filter: &RecognitionFilter,
        page: &Page,
    ) -> Result<Paged<Recognition>, StoreError> {
        self.page().await?;
        self.inner.recognitions(filter, page).await
    }

    async fn recognitions_after(&self, position: Option<&str>, limit: usize) -> Result<News, StoreError> {
        if matches!(self.mode(), Mode::HoldsMissed) && position.is_some() {
            self.held.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
        self.usable()?;
        self.inner.recognitions_after(position, limit).await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        self.usable()?;
        self.inner.position_of(id).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        self.usable()?;
        self.inner.ping().await
    }

    async fn close(&self) {
        // Only counted: the test looks into the ledger afterwards.
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}
