//! To come.
use super::*;
/// x
#[derive(Debug)]
pub struct Firestore;
impl Firestore {
    /// x
    pub async fn open(_: &str, _: &str) -> Result<Self, StoreError> {
        Ok(Self)
    }
}
#[async_trait]
impl Store for Firestore {
    fn name(&self) -> &'static str {
        "x"
    }
    fn lanes(&self) -> usize {
        1
    }
    async fn record(&self, _: &[Contribution], _: Moment) -> Result<Vec<Recorded>, StoreError> {
        unimplemented!()
    }
    async fn recognise(&self, _: &[Recognition], _: &[Destination]) -> Result<Vec<bool>, StoreError> {
        unimplemented!()
    }
    async fn owing(&self, _: &Milestones, _: usize) -> Result<Vec<Standing>, StoreError> {
        unimplemented!()
    }
    async fn claim(&self, _: Destination, _: Moment, _: Moment, _: usize) -> Result<Vec<Due>, StoreError> {
        unimplemented!()
    }
    async fn settle(&self, _: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn backlog(&self, _: &[Destination]) -> Result<Backlog, StoreError> {
        unimplemented!()
    }
    async fn contribution(&self, _: &ContributionId) -> Result<Option<Counted>, StoreError> {
        unimplemented!()
    }
    async fn contributor(&self, _: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        unimplemented!()
    }
    async fn contributors(&self, _: Order, _: &Page) -> Result<Paged<Contributor>, StoreError> {
        unimplemented!()
    }
    async fn contributions_of(
        &self,
        _: &ContributorId,
        _: bool,
        _: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        unimplemented!()
    }
    async fn recognition(
        &self,
        _: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        unimplemented!()
    }
    async fn recognitions(&self, _: &Page) -> Result<Paged<Recognition>, StoreError> {
        unimplemented!()
    }
    async fn recognitions_after(
        &self,
        _: Option<&str>,
        _: usize,
    ) -> Result<(Vec<Recognition>, String), StoreError> {
        unimplemented!()
    }
    async fn position_of(&self, _: &RecognitionId) -> Result<Option<String>, StoreError> {
        unimplemented!()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
