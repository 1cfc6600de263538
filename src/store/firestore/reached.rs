//! Which contribution brought a contributor's tally to a milestone.

use firestore::FirestoreDocument;

use super::accounts;
use super::codec::{self, ContributionFields, document_id};
use super::lists;
use super::queries::{self, CONTRIBUTORS};
use super::readable::readable_one;
use super::record::read_tally;
use super::rpc::Client;
use super::since::committed;
use crate::domain::{Contribution, ContributorId};
use crate::store::{Shown, StoreError};

/// How many contributions are read at first: usually few came after the one that is looked for.
const FIRST: usize = 100;
/// The most that are read.
const MOST: usize = 10_000;
/// How many more are read than seem needed: the query orders by the clocks of instances, which differ.
const MARGIN: usize = 50;

/// Of the contributions that count now, the one with which the contributor's tally became `tally`.
///
/// They are read from the newest back, and the tally as it was at that very reading says how many came after.
/// Commits to one contributor are applied one after another, so the creation times of the documents order them
/// as their tallies are; of one commit, the place in the batch does. Only a document that a review made first
/// is older than its recording.
pub(super) async fn reached(
    client: &Client,
    contributor: &ContributorId,
    tally: u64,
) -> Result<Option<Contribution>, StoreError> {
    let mut retry = client.retry();
    let contributor = &accounts::contributor_of(client, contributor, &mut retry).await?;
    let id = [document_id(contributor.as_str())];
    let mut limit = FIRST;
    loop {
        let values = lists::contributions_of(contributor.as_str(), Shown::Counted, None, None)?;
        let query = queries::CONTRIBUTIONS_OF.query(values, None, Some(limit));
        let found = client.query(query, &mut retry).await?;
        let Some(document) = client.get(CONTRIBUTORS, &id, found.read_at, &mut retry).await?.pop() else {
            return Ok(None);
        };
        let now = readable_one(&document, read_tally)?;
        let Some(after) = now.and_then(|now| now.tally.checked_sub(tally)) else {
            return Ok(None);
        };
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let needed = after.saturating_add(MARGIN);
        if needed <= limit || found.documents.len() < limit {
            return nth_newest(&found.documents, after);
        }
        if needed > MOST {
            return Ok(None);
        }
        limit = needed;
    }
}

/// One that cannot be read keeps its place: it counts too.
fn nth_newest(documents: &[FirestoreDocument], n: usize) -> Result<Option<Contribution>, StoreError> {
    let mut counted = Vec::with_capacity(documents.len());
    for document in documents {
        let fields = readable_one(document, codec::read::<ContributionFields>)?;
        let place = fields.as_ref().map(ContributionFields::place);
        counted.push((committed(document)?, place, document, fields));
    }
    counted.sort_by_key(|(committed, place, ..)| std::cmp::Reverse((*committed, *place)));
    let Some((_, _, document, Some(fields))) = counted.into_iter().nth(n) else { return Ok(None) };
    readable_one(document, |_| fields.contribution())
}
