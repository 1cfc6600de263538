//! The ledger on Firestore: any number of instances, nothing to run.
//!
//! Eight collections. `contributions/{id}` is what was recorded; `contributors/{id}` the tally and the
//! highest milestone recognised; `recognitions/{id}` what was recognised, and where it is still `due`;
//! `accounts/{id}` for whom an account counts that is
//! not its own contributor, and which number it has; `reviews/{work}` the reviews of a work, and the lock for changes to it; `private/{repository}` since when a
//! repository is private; `forgotten/{hash}` whom it has forgotten; `bookmarks/{name}` where a long read of a host
//! goes on.
//! Contributions and their tally are committed together, by one call without a read; its answer has the
//! new tally.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Account, Backlog, Concealment, ContributionFilter, Contributor, ContributorFilter, Counted, Due,
    ForgetKey, Forgot, History, Linked, News, Order, Page, Paged, PrivateRepository, Progress, Recognised,
    RecognitionFilter, Recorded, Reviewed, Settled, Store, StoreError, Totals, Unlinked,
};
use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Naming, Recognition,
    RecognitionId, RepositoryId, Review, Standing,
};

mod accounts;
mod bookmarks;
mod codec;
mod connection;
mod explain;
mod forget;
mod history;
mod lists;
mod outbox;
mod privacy;
/// Every query the store can send.
pub mod queries;
mod readable;
mod reached;
mod record;
mod rpc;
mod since;
mod work;

use codec::document_id;
use queries::{CONTRIBUTIONS, RECOGNITIONS};
use rpc::Client;
pub use rpc::Patience;

/// A Firestore database in native mode.
pub struct Firestore {
    client: Client,
}

impl fmt::Debug for Firestore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Firestore({})", self.client.documents())
    }
}

impl Firestore {
    /// Connects as every Google client does: with the application default credentials, or to the emulator
    /// that `FIRESTORE_EMULATOR_HOST` names, which is also `emulator`. Fails within seconds, with what is wrong and
    /// what to do.
    pub async fn open(project: &str, database: &str, emulator: Option<&str>) -> Result<Self, StoreError> {
        match Self::connect(project, database, None, Patience::default()).await {
            Err(StoreError::Unavailable(why)) => {
                Err(StoreError::Unavailable(explain::advised(why, emulator).await))
            }
            opened => opened,
        }
    }

    /// Connects to an emulator, without credentials.
    pub async fn open_emulator(
        host: &str,
        project: &str,
        database: &str,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        Self::connect(project, database, Some(host), patience).await
    }

    async fn connect(
        project: &str,
        database: &str,
        emulator: Option<&str>,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let client = Client::connect(project, database, emulator, patience).await?;
        client.greet().await?;
        Ok(Self { client })
    }

    /// With the key by which it remembers whom it has forgotten. Fails where that was done with another one.
    pub async fn with_forget_key(mut self, key: Option<ForgetKey>) -> Result<Self, StoreError> {
        self.client.set_forget_key(key);
        forget::check(&self.client).await?;
        Ok(self)
    }
}

#[async_trait]
impl Store for Firestore {
    fn name(&self) -> &'static str {
        "firestore"
    }

    fn lanes(&self) -> usize {
        16
    }

    /// Each waits for the network alone.
    fn readers(&self) -> usize {
        64
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        record::record(&self.client, batch, now).await
    }

    async fn record_history(
        &self,
        batch: &[Contribution],
        milestones: &Milestones,
        now: Moment,
    ) -> Result<History, StoreError> {
        history::record(&self.client, batch, milestones, now).await
    }

    async fn review(&self, review: &Review) -> Result<Vec<Reviewed>, StoreError> {
        work::review(&self.client, review).await
    }

    async fn conceal(&self, repository: &RepositoryId, concealment: Concealment) -> Result<(), StoreError> {
        privacy::conceal(&self.client, repository, concealment).await
    }

    async fn publicized(&self, repository: &RepositoryId, at: Moment) -> Result<(), StoreError> {
        privacy::publicized(&self.client, repository, at).await
    }

    async fn conceal_due(&self, now: Moment) -> Result<(), StoreError> {
        privacy::conceal_due(&self.client, now).await
    }

    async fn private_repositories(
        &self,
        since: Option<Moment>,
        limit: usize,
    ) -> Result<Vec<PrivateRepository>, StoreError> {
        privacy::private_repositories(&self.client, since, limit).await
    }

    async fn private_repository(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<PrivateRepository>, StoreError> {
        privacy::private_repository(&self.client, repository).await
    }

    async fn forget(&self, contributor: &ContributorId) -> Result<Forgot, StoreError> {
        forget::forget(&self.client, contributor).await
    }

    async fn link(&self, account: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError> {
        accounts::link(&self.client, account, to).await
    }

    async fn unlink(&self, account: &ContributorId) -> Result<Unlinked, StoreError> {
        accounts::unlink(&self.client, account).await
    }

    async fn accounts_of(&self, contributor: &ContributorId) -> Result<Vec<Account>, StoreError> {
        accounts::accounts_of(&self.client, contributor).await
    }

    async fn accounts_of_addresses(
        &self,
        named: &[Naming],
    ) -> Result<Vec<Option<ContributorId>>, StoreError> {
        accounts::accounts_of_addresses(&self.client, named).await
    }

    async fn move_late(&self) -> Result<(), StoreError> {
        accounts::move_late(&self.client).await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        bookmarks::bookmark(&self.client, name).await
    }

    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        bookmarks::set_bookmark(&self.client, name, value).await
    }

    async fn replace_bookmark(
        &self,
        name: &str,
        before: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError> {
        bookmarks::replace_bookmark(&self.client, name, before, value).await
    }

    async fn recognise(
        &self,
        made: &[Recognition],
        destinations: &[Destination],
    ) -> Result<Recognised, StoreError> {
        outbox::recognise(&self.client, made, destinations).await
    }

    async fn owing(
        &self,
        milestones: &Milestones,
        _after: Option<&ContributorId>,
        limit: usize,
    ) -> Result<Vec<Standing>, StoreError> {
        outbox::owing(&self.client, milestones, limit).await
    }

    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        outbox::claim(&self.client, destination, now, held_until, limit).await
    }

    async fn next_due(&self, destination: Destination) -> Result<Option<Moment>, StoreError> {
        outbox::next_due(&self.client, destination).await
    }

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        outbox::settle(&self.client, settled).await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        outbox::backlog(&self.client, destinations).await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        let id = document_id(id.as_str());
        let found = self.client.get_one(CONTRIBUTIONS, id, &mut self.client.retry()).await?;
        let Some(document) = found else { return Ok(None) };
        // A review that came first left only a mark.
        if !codec::read::<codec::PartFields>(&document)?.is_recorded() {
            return Ok(None);
        }
        codec::read::<codec::ContributionFields>(&document)?.counted().map(Some)
    }

    async fn reached(
        &self,
        contributor: &ContributorId,
        tally: u64,
    ) -> Result<Option<Contribution>, StoreError> {
        reached::reached(&self.client, contributor, tally).await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        lists::contributor(&self.client, id).await
    }

    async fn contributors(
        &self,
        order: Order,
        filter: &ContributorFilter,
        page: &Page,
    ) -> Result<Paged<Contributor>, StoreError> {
        lists::contributors(&self.client, order, filter, page).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        lists::totals(&self.client).await
    }

    async fn contributions(
        &self,
        filter: &ContributionFilter,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        lists::contributions(&self.client, filter, page).await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        let id = document_id(id.as_str());
        let found = self.client.get_one(RECOGNITIONS, id, &mut self.client.retry()).await?;
        let read = |document| {
            let fields: codec::RecognitionFields = codec::read(&document)?;
            let progress = fields.progress()?;
            Ok((fields.recognition()?, progress))
        };
        found.map(read).transpose()
    }

    async fn recognitions(
        &self,
        filter: &RecognitionFilter,
        page: &Page,
    ) -> Result<Paged<Recognition>, StoreError> {
        lists::recognitions(&self.client, filter, page).await
    }

    async fn recognitions_after(&self, position: Option<&str>, limit: usize) -> Result<News, StoreError> {
        since::recognitions_after(&self.client, position, limit).await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        since::position_of(&self.client, id).await
    }

    fn poll_pause(&self) -> Duration {
        since::POLL_PAUSE
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.client.ping().await
    }
}
