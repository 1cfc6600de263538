//! History: contributions that count while the milestones that they reach are taken as recognised.
//!
//! The highest milestone follows from the tally, which a commit without a read does not know beforehand. So this
//! reads the contributors, and commits with their update times as preconditions (an optimistic lock). A live
//! contribution at the same moment is either in the tally that was read, or makes the commit fail, which then reads
//! again. Live contributions read nothing for it.

use std::collections::{BTreeSet, HashMap};

use firestore::FirestoreWritePrecondition;

use super::accounts::arrivals;
use super::codec::{self, ContributorFields, document_id};
use super::outbox::unchanged;
use super::queries::CONTRIBUTORS;
use super::record;
use super::rpc::{Client, Retry};
use crate::domain::{Contribution, ContributorId, Milestones, Moment, Standing};
use crate::store::{History, StoreError};

pub(super) async fn record(
    client: &Client,
    batch: &[Contribution],
    milestones: &Milestones,
    now: Moment,
) -> Result<History, StoreError> {
    let mut retry = client.retry();
    let arrivals = arrivals(client, batch, &mut retry).await?;
    let contributors = arrivals.iter().map(|one| &one.contribution.contributor);
    let owed = Standings::read(client, contributors, milestones, &mut retry).await?.owed();
    if !owed.is_empty() {
        return Ok(History::Owed(owed));
    }
    record::record_arrivals(client, batch, arrivals, Some(milestones), now, retry)
        .await
        .map(History::Recorded)
}

/// That a contributor's document is there or not, as it was found; of history, that it is as it was read.
pub(super) fn still(exists: bool, raise: Option<&Raise>) -> FirestoreWritePrecondition {
    match raise.map(|raise| raise.unchanged.clone()) {
        Some(unchanged @ FirestoreWritePrecondition::UpdateTime(_)) => unchanged,
        // Only what was found not to be there may be made: it is checked that its account is as it was read.
        _ => FirestoreWritePrecondition::Exists(exists),
    }
}

/// Contributors as they were read.
pub(super) struct Standings<'a> {
    milestones: &'a Milestones,
    read: BTreeSet<&'a ContributorId>,
    found: HashMap<ContributorId, Found>,
}

struct Found {
    standing: Standing,
    unchanged: FirestoreWritePrecondition,
}

/// What a commit takes as recognised, if its contributor is as it was read.
pub(super) struct Raise {
    pub(super) milestone: u64,
    pub(super) unchanged: FirestoreWritePrecondition,
}

impl<'a> Standings<'a> {
    pub(super) async fn read(
        client: &Client,
        contributors: impl Iterator<Item = &'a ContributorId>,
        milestones: &'a Milestones,
        retry: &mut Retry,
    ) -> Result<Self, StoreError> {
        let read: BTreeSet<_> = contributors.collect();
        let ids: Vec<_> = read.iter().map(|contributor| document_id(contributor.as_str())).collect();
        let mut found = HashMap::new();
        if !ids.is_empty() {
            for document in client.get(CONTRIBUTORS, &ids, None, retry).await? {
                let standing = codec::read::<ContributorFields>(&document)?.standing()?;
                let unchanged = unchanged(&document)?;
                found.insert(standing.contributor.clone(), Found { standing, unchanged });
            }
        }
        Ok(Self { milestones, read, found })
    }

    /// The same; fails where something is owed, which a live contribution reached since it was asked for.
    pub(super) async fn read_to_raise(
        client: &Client,
        contributors: impl Iterator<Item = &'a ContributorId>,
        milestones: &'a Milestones,
        retry: &mut Retry,
    ) -> Result<Self, StoreError> {
        let standings = Self::read(client, contributors, milestones, retry).await?;
        match standings.owed().first() {
            None => Ok(standings),
            Some(Standing { contributor, .. }) => Err(StoreError::Unavailable(format!(
                "a recognition of {contributor} is to be made before history is recorded"
            ))),
        }
    }

    fn owed(&self) -> Vec<Standing> {
        let standings = self.found.values().map(|found| &found.standing);
        let owed = |s: &&Standing| self.milestones.between(s.recognized, s.tally).next().is_some();
        standings.filter(owed).cloned().collect()
    }

    /// What `counted` contributions more let the contributor take as recognised; `None` for one that was not read.
    pub(super) fn raise(&self, contributor: &ContributorId, counted: i64) -> Option<Raise> {
        if !self.read.contains(contributor) {
            return None;
        }
        let found = self.found.get(contributor);
        let tally = found.map_or(0, |found| found.standing.tally).saturating_add_signed(counted);
        let unchanged =
            found.map_or(FirestoreWritePrecondition::Exists(false), |found| found.unchanged.clone());
        Some(Raise { milestone: self.milestones.reached(tally), unchanged })
    }
}
