//! What is left of a contributor after contributions have moved away.

use std::collections::BTreeMap;

use firestore::{FirestoreTransactionData, FirestoreTransactionOps, FirestoreWritePrecondition};

use super::decide::Changes;
use super::{commit, contributor_of, read_account};
use crate::domain::{ContributorId, Moment};
use crate::store::firestore::codec::{self, ContributionFields, ContributorFields, document_id};
use crate::store::firestore::lists;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, CONTRIBUTORS};
use crate::store::firestore::readable::{place_of, readable_one};
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::Client;
use crate::store::{Shown, StoreError};

/// How many contributions are read at once.
const PAGE: usize = 1_000;
/// How often the contributor may change meanwhile. What it then has is set by no other call, and decides nothing.
const ROUNDS: usize = 4;

/// Sets when a contributor's first and last contribution were counted. Without any, it is no longer listed, and its
/// account keeps the highest milestone.
pub(super) async fn tidy(client: &Client, id: &ContributorId) -> Result<(), StoreError> {
    if tidy_listed(client, id).await? {
        return Ok(());
    }
    // It may have been linked since its contributions moved.
    let contributor = contributor_of(client, id, &mut client.retry()).await?;
    if contributor != *id {
        tidy_listed(client, &contributor).await?;
    }
    Ok(())
}

/// Whether this is listed.
async fn tidy_listed(client: &Client, id: &ContributorId) -> Result<bool, StoreError> {
    for _ in 0..ROUNDS {
        let mut retry = client.retry();
        let document = client.get_one(CONTRIBUTORS, document_id(id.as_str()), &mut retry).await?;
        let Some(document) = document else { return Ok(false) };
        let as_read = unchanged(&document)?;
        let mut writes = client.writes();
        let left = left(client, id).await?;
        if let Left::Since(times) = left {
            set(&mut writes, id, times, as_read)?;
        } else if left == Left::Unreadable || has_recognitions(client, id).await? {
            return Ok(true);
        } else {
            let mut account = read_account(client, id, &mut retry).await?;
            let standing = codec::read::<ContributorFields>(&document)?.standing()?;
            account.recognized = account.recognized.max(standing.recognized);
            hide(client, &mut writes, account, as_read)?;
        }
        if commit(client, &writes, &mut client.retry()).await? {
            return Ok(true);
        }
    }
    Ok(true)
}

fn hide(
    client: &Client,
    writes: &mut FirestoreTransactionData,
    account: super::Account,
    as_read: FirestoreWritePrecondition,
) -> Result<(), StoreError> {
    let id = document_id(account.id.as_str());
    writes.delete_by_id(CONTRIBUTORS, id, Some(as_read)).map_err(refused)?;
    Changes::of_one(account).write(client, writes)
}

async fn has_recognitions(client: &Client, id: &ContributorId) -> Result<bool, StoreError> {
    let first = client.query(lists::recognitions_of(id, Some(1))?, &mut client.retry()).await?;
    Ok(!first.documents.is_empty())
}

/// What a contributor has left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Nothing that this version can read.
    Unreadable,
    /// When the first and the last contribution were counted.
    Since([Moment; 2]),
}

/// No index has the oldest first, so all contributions are read.
async fn left(client: &Client, id: &ContributorId) -> Result<Left, StoreError> {
    let shape = &queries::CONTRIBUTIONS_OF;
    let recorded_at = |document: &_| Ok(codec::read::<ContributionFields>(document)?.counted()?.recorded_at);
    let (mut left, mut after) = (Left::Nothing, None);
    loop {
        let values = lists::contributions_of(id.as_str(), Shown::All, None, None)?;
        let query = shape.query(values, after.take(), Some(PAGE));
        let found = client.query(query, &mut client.retry()).await?.documents;
        for document in &found {
            left = match (readable_one(document, recorded_at)?, left) {
                (Some(at), Left::Since([first, last])) => Left::Since([first.min(at), last.max(at)]),
                (Some(at), _) => Left::Since([at, at]),
                (None, Left::Nothing) => Left::Unreadable,
                (None, left) => left,
            };
        }
        let Some(last) = found.last().filter(|_| found.len() == PAGE) else { return Ok(left) };
        after = Some(place_of(last, shape));
    }
}

fn set(
    writes: &mut FirestoreTransactionData,
    id: &ContributorId,
    [first_at, last_at]: [Moment; 2],
    as_read: FirestoreWritePrecondition,
) -> Result<(), StoreError> {
    let times = [("first_at", first_at), ("last_at", last_at)];
    let fields: BTreeMap<_, _> =
        times.into_iter().map(|(field, at)| (field, at.timestamp_micros())).collect();
    let mask = Some(times.map(|(field, _)| field.to_owned()).to_vec());
    let id = document_id(id.as_str());
    writes.update_object(CONTRIBUTORS, id, &fields, mask, Some(as_read), Vec::new()).map_err(refused)?;
    Ok(())
}
