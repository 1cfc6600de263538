//! A store that answers at once and keeps nothing: what plaudit costs without its ledger.

use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Naming, Recognition,
    RecognitionId, RepositoryId, Review, Standing,
};
use plaudit::store::{
    Account, Backlog, Concealment, ContributionFilter, Contributor, ContributorFilter, Counted, Due, Forgot,
    History, Linked, News, Novelty, Order, Page, Paged, PrivateRepository, Progress, Recognised,
    RecognitionFilter, Recorded, Reviewed, Settled, Store, StoreError, Totals, Unlinked,
};

/// The store that forgets.
pub(crate) struct Null;

#[async_trait::async_trait]
impl Store for Null {
    fn name(&self) -> &'static str {
        "null"
    }
    fn lanes(&self) -> usize {
        1
    }
    async fn record(&self, batch: &[Contribution], _: Moment) -> Result<Vec<Recorded>, StoreError> {
        Ok(vec![
            Recorded { novelty: Novelty::New, tally: 1, recognized: 0, counted_for: None, private: false };
            batch.len()
        ])
    }
    async fn record_history(
        &self,
        batch: &[Contribution],
        _: &Milestones,
        now: Moment,
    ) -> Result<History, StoreError> {
        self.record(batch, now).await.map(History::Recorded)
    }
    async fn forget(&self, _: &ContributorId) -> Result<Forgot, StoreError> {
        Ok(Forgot::Unknown)
    }

    async fn link(&self, _: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError> {
        Ok(Linked::Same(to.clone()))
    }

    async fn unlink(&self, _: &ContributorId) -> Result<Unlinked, StoreError> {
        Ok(Unlinked::NotLinked)
    }

    async fn accounts_of(&self, _: &ContributorId) -> Result<Vec<Account>, StoreError> {
        Ok(Vec::new())
    }
    async fn accounts_of_addresses(&self, _: &[Naming]) -> Result<Vec<Option<ContributorId>>, StoreError> {
        Ok(Vec::new())
    }
    async fn bookmark(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    async fn set_bookmark(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    async fn replace_bookmark(&self, _: &str, _: Option<&str>, _: &str) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn recognise(&self, made: &[Recognition], _: &[Destination]) -> Result<Recognised, StoreError> {
        Ok(Recognised { new: made.to_vec(), failure: None })
    }
    async fn owing(
        &self,
        _: &Milestones,
        _: Option<&ContributorId>,
        _: usize,
    ) -> Result<Vec<Standing>, StoreError> {
        Ok(Vec::new())
    }
    async fn claim(&self, _: Destination, _: Moment, _: Moment, _: usize) -> Result<Vec<Due>, StoreError> {
        Ok(Vec::new())
    }
    async fn next_due(&self, _: Destination) -> Result<Option<Moment>, StoreError> {
        Ok(None)
    }

    async fn settle(&self, _: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn backlog(&self, _: &[Destination]) -> Result<Backlog, StoreError> {
        Ok(Backlog::default())
    }
    async fn contribution(&self, _: &ContributionId) -> Result<Option<Counted>, StoreError> {
        Ok(None)
    }
    async fn contributor(&self, _: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        Ok(None)
    }
    async fn contributors(
        &self,
        _: Order,
        _: &ContributorFilter,
        _: &Page,
    ) -> Result<Paged<Contributor>, StoreError> {
        Ok(Paged { items: Vec::new(), next: None })
    }
    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(Totals::default())
    }
    async fn review(&self, _: &Review) -> Result<Vec<Reviewed>, StoreError> {
        Ok(Vec::new())
    }
    async fn conceal(&self, _: &RepositoryId, _: Concealment) -> Result<(), StoreError> {
        Ok(())
    }
    async fn conceal_due(&self, _: Moment) -> Result<(), StoreError> {
        Ok(())
    }
    async fn publicized(&self, _: &RepositoryId, _: Moment) -> Result<(), StoreError> {
        Ok(())
    }
    async fn private_repository(&self, _: &RepositoryId) -> Result<Option<PrivateRepository>, StoreError> {
        Ok(None)
    }
    async fn private_repositories(
        &self,
        _: Option<Moment>,
        _: usize,
    ) -> Result<Vec<PrivateRepository>, StoreError> {
        Ok(Vec::new())
    }
    async fn contributions(&self, _: &ContributionFilter, _: &Page) -> Result<Paged<Counted>, StoreError> {
        Ok(Paged { items: Vec::new(), next: None })
    }
    async fn recognition(
        &self,
        _: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        Ok(None)
    }
    async fn recognitions(&self, _: &RecognitionFilter, _: &Page) -> Result<Paged<Recognition>, StoreError> {
        Ok(Paged { items: Vec::new(), next: None })
    }
    async fn recognitions_after(&self, _: Option<&str>, _: usize) -> Result<News, StoreError> {
        Ok(News { items: Vec::new(), position: String::new(), more: false })
    }
    async fn position_of(&self, _: &RecognitionId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
