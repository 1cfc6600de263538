//! What is left of a contributor after contributions have moved away.

use std::collections::BTreeMap;

use firestore::{FirestoreTransactionData, FirestoreTransactionOps, FirestoreWritePrecondition};

use super::decide::Changes;
use super::{commit, read_account};
use crate::domain::{ContributorId, Moment};
use crate::store::firestore::codec::{self, ContributionFields, ContributorFields, document_id};
use crate::store::firestore::lists;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, name_value};
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
    for _ in 0..ROUNDS {
        let mut retry = client.retry();
        let document = client.get_one(CONTRIBUTORS, document_id(id.as_str()), &mut retry).await?;
        let Some(document) = document else { return Ok(()) };
        let as_read = unchanged(&document)?;
        let mut writes = client.writes();
        if let Some(times) = times(client, id).await? {
            set(&mut writes, id, times, as_read)?;
        } else if has_recognitions(client, id).await? {
            return Ok(());
        } else {
            let mut account = read_account(client, id, &mut retry).await?;
            let standing = codec::read::<ContributorFields>(&document)?.standing()?;
            account.recognized = account.recognized.max(standing.recognized);
            hide(client, &mut writes, account, as_read)?;
        }
        if commit(client, &writes, &mut client.retry()).await? {
            return Ok(());
        }
    }
    Ok(())
}

fn hide(
    client: &Client,
    writes: &mut FirestoreTransactionData,
    account: super::Account,
    as_read: FirestoreWritePrecondition,
) -> Result<(), StoreError> {
    let id = document_id(account.id.as_str());
    writes.delete_by_id(CONTRIBUTORS, id, Some(as_read)).map_err(refused)?;
    let mut changes = Changes::default();
    changes.of(account);
    changes.write(client, writes)
}

pub(super) async fn has_recognitions(client: &Client, id: &ContributorId) -> Result<bool, StoreError> {
    let since = codec::timestamp(Moment::UNIX_EPOCH)?;
    let values = [codec::value(id.as_str()), codec::value(since)];
    let query = queries::RECOGNITIONS_OF.query(values, None, Some(1));
    Ok(!client.query(query, &mut client.retry()).await?.documents.is_empty())
}

/// When the first and the last contribution were counted. No index has the oldest first, so all of them are read.
async fn times(client: &Client, id: &ContributorId) -> Result<Option<[Moment; 2]>, StoreError> {
    let mut times: Option<[Moment; 2]> = None;
    let mut after = None;
    loop {
        let values = lists::contributions_of(id.as_str(), Shown::All, None, None)?;
        let query = queries::CONTRIBUTIONS_OF.query(values, after.take(), Some(PAGE));
        let found = client.query(query, &mut client.retry()).await?.documents;
        let mut oldest = None;
        for document in &found {
            let at = codec::read::<ContributionFields>(document)?.counted()?.recorded_at;
            let [first, last] = times.unwrap_or([at, at]);
            times = Some([first.min(at), last.max(at)]);
            oldest = Some((document, at));
        }
        let Some((last, at)) = oldest.filter(|_| found.len() == PAGE) else { return Ok(times) };
        let name = name_value(client.documents(), CONTRIBUTIONS, codec::id_of(last));
        after = Some(vec![codec::value(codec::timestamp(at)?), name]);
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
