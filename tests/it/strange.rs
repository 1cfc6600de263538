//! A ledger with a will of its own: a real one, until a test says otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Recognition, RecognitionId,
    Standing,
};
use plaudit::store::{
    Backlog, Contributor, Counted, Due, Order, Page, Paged, Progress, Recorded, Settled, Store, StoreError,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::harness::ledger;

/// What it does instead of what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As every ledger.
    Good,
    /// Takes nothing: not now.
    Down,
    /// Panics.
    Panics,
    /// Records only once the gate is open.
    Blocked,
    /// Records, and then cannot recognise.
    RecordsOnly,
    /// Recognises, and says so only once the gate is open.
    HoldsRecognised,
    /// Whatever it is to recognise, another instance has just recognised.
    Overtaken,
}

pub(crate) struct Strange {
    inner: Arc<dyn Store>,
    mood: Mutex<Mood>,
    /// Opens once for each permit.
    pub(crate) gate: Semaphore,
    /// A permit for each look for what is owed that has ended.
    pub(crate) looked: Semaphore,
    /// A permit for each that waits for the gate with what it has recognised.
    pub(crate) held: Semaphore,
    /// A batch with a contribution of this contributor is refused for good.
    pub(crate) impossible: &'static str,
    /// The sizes of all batches, as they came.
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) pings: AtomicUsize,
    _folder: TempDir,
}

impl Strange {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        let (folder, inner) = ledger();
        Arc::new(Self {
            inner,
            mood: Mutex::new(mood),
            gate: Semaphore::new(0),
            looked: Semaphore::new(0),
            held: Semaphore::new(0),
            impossible: "the impossible",
            batches: Mutex::default(),
            pings: AtomicUsize::default(),
            _folder: folder,
        })
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    fn other(&self) -> Result<(), StoreError> {
        match self.mood() {
            Mood::Good | Mood::Blocked | Mood::RecordsOnly | Mood::HoldsRecognised | Mood::Overtaken => {
                Ok(())
            }
            Mood::Down => Err(StoreError::Unavailable("a secret of the inside".into())),
            Mood::Panics => panic!("the store lost its mind"),
        }
    }
}

#[async_trait]
impl Store for Strange {
    fn name(&self) -> &'static str {
        "strange"
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        self.batches.lock().unwrap().push(batch.len());
        if self.mood() == Mood::Blocked {
            self.gate.acquire().await.unwrap().forget();
        }
        self.other()?;
        if batch.iter().any(|c| c.contributor.as_str() == self.impossible) {
            return Err(StoreError::Refused("a secret of the inside".into()));
        }
        self.inner.record(batch, now).await
    }

    async fn recognise(&self, made: &[Recognition], to: &[Destination]) -> Result<Vec<bool>, StoreError> {
        self.other()?;
        match self.mood() {
            Mood::RecordsOnly => return Err(StoreError::Unavailable("a secret of the inside".into())),
            Mood::Overtaken => drop(self.inner.recognise(made, to).await?),
            _ => {}
        }
        let news = self.inner.recognise(made, to).await?;
        if self.mood() == Mood::HoldsRecognised {
            self.held.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(news)
    }

    async fn owing(&self, milestones: &Milestones, limit: usize) -> Result<Vec<Standing>, StoreError> {
        self.other()?;
        let owing = self.inner.owing(milestones, limit).await;
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
        self.other()?;
        self.inner.claim(destination, now, held_until, limit).await
    }

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        self.other()?;
        self.inner.settle(settled).await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        self.other()?;
        self.inner.backlog(destinations).await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        self.other()?;
        self.inner.contribution(id).await
    }

    async fn reached(&self, who: &ContributorId, tally: u64) -> Result<Option<Contribution>, StoreError> {
        self.other()?;
        self.inner.reached(who, tally).await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        self.other()?;
        self.inner.contributor(id).await
    }

    async fn contributors(&self, order: Order, page: &Page) -> Result<Paged<Contributor>, StoreError> {
        self.other()?;
        self.inner.contributors(order, page).await
    }

    async fn contributions_of(
        &self,
        who: &ContributorId,
        with_private: bool,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        self.other()?;
        self.inner.contributions_of(who, with_private, page).await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        self.other()?;
        self.inner.recognition(id).await
    }

    async fn recognitions(&self, page: &Page) -> Result<Paged<Recognition>, StoreError> {
        self.other()?;
        self.inner.recognitions(page).await
    }

    async fn recognitions_after(
        &self,
        position: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Recognition>, String), StoreError> {
        self.other()?;
        self.inner.recognitions_after(position, limit).await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        self.other()?;
        self.inner.position_of(id).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        self.other()?;
        self.inner.ping().await
    }
}
