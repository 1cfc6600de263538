//! The embedded store: one SQLite file, with nothing to set up.
//!
//! One thread writes, so that a commit waits for the disk alone; readers work beside it. The write-ahead
//! log is synced at every commit (`synchronous=FULL`), before any request is answered.

mod accounts;
mod adopt;
mod bookmarks;
mod checkpoint;
mod connection;
mod error;
mod file;
mod forget;
mod inspect;
mod lists;
mod moves;
mod naming;
mod numbers;
mod outbox;
mod owing;
mod person;
mod privacy;
/// The queries of lists.
pub mod queries;
mod readers;
mod record;
mod rows;
mod schema;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use super::forgetting::author_of_part;
use super::{
    Account, Backlog, Concealment, ContributionFilter, Contributor, ContributorFilter, Counted, Due, Forgot,
    History, Linked, News, Order, Page, Paged, PrivateRepository, Profile, Progress, Recognised,
    RecognitionFilter, Recorded, Reviewed, Settled, Store, StoreError, Totals, Unlinked,
};
use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Naming, Recognition,
    RecognitionId, RepositoryId, Review, Standing,
};
pub use connection::Sqlite;
pub use inspect::{explain, inspect};
use rows::CONTRIBUTIONS;

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn lanes(&self) -> usize {
        1
    }

    fn readers(&self) -> usize {
        readers::OF_CLIENTS
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        let (batch, keys) = (batch.to_vec(), Arc::clone(&self.keys));
        self.write(move |transaction| record::record(transaction, &keys, &batch, now)).await
    }

    async fn record_history(
        &self,
        batch: &[Contribution],
        milestones: &Milestones,
        now: Moment,
    ) -> Result<History, StoreError> {
        let (batch, milestones, keys) = (batch.to_vec(), milestones.clone(), Arc::clone(&self.keys));
        self.write(move |transaction| record::record_history(transaction, &keys, &batch, &milestones, now))
            .await
    }

    async fn review(&self, review: &Review) -> Result<Vec<Reviewed>, StoreError> {
        let (mut review, keys) = (review.clone(), Arc::clone(&self.keys));
        self.write(move |transaction| {
            let forgotten = forget::Forgotten::of(transaction, &keys)?;
            if let Some(author) = review.part.as_ref().and_then(author_of_part)
                && forgotten.has_name(&author)?
            {
                review.part = None;
            }
            work::review(transaction, &review)
        })
        .await
    }

    async fn conceal(&self, repository: &RepositoryId, concealment: Concealment) -> Result<(), StoreError> {
        privacy::conceal(self, repository, concealment).await
    }

    async fn publicized(&self, repository: &RepositoryId, at: Moment) -> Result<(), StoreError> {
        privacy::publicized(self, repository, at).await
    }

    async fn conceal_due(&self, now: Moment) -> Result<(), StoreError> {
        privacy::conceal_due(self, now).await
    }

    async fn private_repositories(
        &self,
        since: Option<Moment>,
        limit: usize,
    ) -> Result<Vec<PrivateRepository>, StoreError> {
        privacy::private_repositories(self, since, limit).await
    }

    async fn private_repository(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<PrivateRepository>, StoreError> {
        privacy::private_repository(self, repository).await
    }

    async fn forget(&self, contributor: &ContributorId) -> Result<Forgot, StoreError> {
        forget::forget(self, contributor).await
    }

    async fn link(&self, account: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError> {
        accounts::link(self, account, to).await
    }

    async fn unlink(&self, account: &ContributorId) -> Result<Unlinked, StoreError> {
        accounts::unlink(self, account).await
    }

    async fn accounts_of(&self, contributor: &ContributorId) -> Result<Vec<Account>, StoreError> {
        accounts::accounts_of(self, contributor).await
    }

    async fn accounts_of_addresses(
        &self,
        named: &[Naming],
    ) -> Result<Vec<Option<ContributorId>>, StoreError> {
        accounts::accounts_of_addresses(self, named).await
    }

    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError> {
        bookmarks::bookmark(self, name).await
    }

    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError> {
        bookmarks::set_bookmark(self, name, value).await
    }

    async fn replace_bookmark(
        &self,
        name: &str,
        before: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError> {
        bookmarks::replace_bookmark(self, name, before, value).await
    }

    async fn recognise(
        &self,
        made: &[Recognition],
        destinations: &[Destination],
    ) -> Result<Recognised, StoreError> {
        outbox::recognise(self, made, destinations).await
    }

    async fn owing(
        &self,
        milestones: &Milestones,
        after: Option<&ContributorId>,
        limit: usize,
    ) -> Result<Vec<Standing>, StoreError> {
        owing::owing(self, milestones, after, limit).await
    }

    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        outbox::claim(self, destination, now, held_until, limit).await
    }

    async fn next_due(&self, destination: Destination) -> Result<Option<Moment>, StoreError> {
        outbox::next_due(self, destination).await
    }

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        outbox::settle(self, settled).await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        outbox::backlog(self, destinations).await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = format!("{CONTRIBUTIONS} WHERE c.id = ?1");
            connection.prepare_cached(&sql)?.query_row([id], rows::counted).optional()
        })
        .await
    }

    async fn reached(
        &self,
        contributor: &ContributorId,
        tally: u64,
    ) -> Result<Option<Contribution>, StoreError> {
        outbox::reached(self, contributor, tally).await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| accounts::contributor(connection, &id)).await
    }

    async fn profile(&self, id: &ContributorId) -> Result<Option<Profile>, StoreError> {
        accounts::profile(self, id).await
    }

    async fn contributors(
        &self,
        order: Order,
        filter: &ContributorFilter,
        page: &Page,
    ) -> Result<Paged<Contributor>, StoreError> {
        lists::contributors(self, order, filter, page).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        lists::totals(self).await
    }

    async fn contributions(
        &self,
        filter: &ContributionFilter,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        lists::contributions(self, filter, page).await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        lists::recognition_and_progress(self, id).await
    }

    async fn recognitions(
        &self,
        filter: &RecognitionFilter,
        page: &Page,
    ) -> Result<Paged<Recognition>, StoreError> {
        lists::recognitions(self, filter, page).await
    }

    async fn recognitions_after(&self, position: Option<&str>, limit: usize) -> Result<News, StoreError> {
        lists::recognitions_after(self, position, limit).await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        lists::position_of(self, id).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.probe().await
    }

    async fn close(&self) {
        self.shut_down().await;
    }
}
