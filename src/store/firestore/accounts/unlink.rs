//! Unlinking: the account has its document in `contributors` again, and what arrived under it goes back.

use std::collections::BTreeMap;

use firestore::{FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionOps};

use super::decide::{Changes, Joining, present, standing_of};
use super::{Account, commit, followers, moves, note_joined_with_claims, read_account, strays};
use crate::domain::ContributorId;
use crate::store::firestore::codec::{self, ContributorFields, document_id};
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, CONTRIBUTORS};
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::{Client, Retry};
use crate::store::{Contributor, StoreError, Unlinked};

pub(in super::super) async fn unlink(client: &Client, id: &ContributorId) -> Result<Unlinked, StoreError> {
    let mut retry = client.retry();
    let (account, contributor) = loop {
        let account = read_account(client, id, &mut retry).await?;
        let present = present(client, id, &mut retry).await?;
        if present.id != account.id {
            return Ok(Unlinked::FormerName(present.contributor().clone()));
        }
        let Some(contributor) = account.target.clone() else { return Ok(Unlinked::NotLinked) };
        if strays::recover(client, id).await? {
            retry = client.retry();
            continue;
        }
        if account.moving {
            moves::finish(client, id).await?;
            retry = client.retry();
            continue;
        }
        if let Some(moving) = set_apart(client, account, &contributor, &mut retry).await? {
            for id in &moving {
                moves::finish(client, id).await?;
            }
            break (id, contributor);
        }
        retry.pause("the accounts keep changing".to_owned()).await?;
    };
    Ok(Unlinked::Apart {
        account: standing_of(client, account, &mut client.retry()).await?,
        contributor: standing_of(client, &contributor, &mut client.retry()).await?,
    })
}

/// Commits that an account and its former names count for it, unless something has changed since it was read. Returns
/// the accounts whose contributions are to be moved.
async fn set_apart(
    client: &Client,
    account: Account,
    contributor: &ContributorId,
    retry: &mut Retry,
) -> Result<Option<Vec<ContributorId>>, StoreError> {
    let target = read_account(client, contributor, retry).await?;
    // Read first: whatever is recorded for the contributor after this makes the commit fail.
    let document = client.get_one(CONTRIBUTORS, document_id(contributor.as_str()), retry).await?;
    let former: Vec<_> = followers(client, contributor, retry)
        .await?
        .into_iter()
        .filter(|one| one.id != account.id && one.number.is_some() && one.number == account.number)
        .filter(|one| one.id.host() == account.id.host())
        .collect();
    let moving: Vec<_> = [&account].into_iter().chain(&former).map(|one| one.id.clone()).collect();
    let mut writes = client.writes();
    // What the contributor had recognised, as long as it has no document.
    let mut kept = target.recognized;
    if let Some(document) = document {
        let found: Contributor = codec::read::<ContributorFields>(&document)?.contributor()?;
        if has_arrived(client, &moving, retry).await? {
            // The moves set both times: each is narrowed by what goes back.
            let (first_at, last_at) = (found.last_at, found.first_at);
            let join = Joining { counted: 0, recognized: found.standing.recognized, first_at, last_at };
            join.write(&mut writes, &account, false)?;
            kept = 0;
        } else {
            kept = kept.max(found.standing.recognized);
        }
        let same = FirestoreFieldTransformType::Maximum(codec::integer(0));
        let same = FirestoreFieldTransform::new("recognized".to_owned(), same);
        let (id, nothing) = (document_id(contributor.as_str()), BTreeMap::<String, bool>::new());
        let as_read = Some(unchanged(&document)?);
        writes
            .update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), as_read, vec![same])
            .map_err(refused)?;
    }
    // A recognition that was found to be owed before the link reads what the other one had.
    note_joined_with_claims(client, &mut writes, [contributor, &account.id], retry).await?;
    let mut changes = Changes::default();
    changes.of(target);
    for one in former {
        let one = changes.of(one);
        one.target = Some(account.id.clone());
        one.linked = false;
        one.moving = true;
        one.parted_from = Some(contributor.clone());
    }
    let account = changes.of(account);
    account.target = None;
    account.linked = false;
    account.moving = true;
    account.parted_from = Some(contributor.clone());
    account.recognized = kept;
    changes.write(client, &mut writes)?;
    Ok(commit(client, &writes, retry).await?.then_some(moving))
}

/// Whether anything that arrived under one of these counts for another contributor.
async fn has_arrived(
    client: &Client,
    accounts: &[ContributorId],
    retry: &mut Retry,
) -> Result<bool, StoreError> {
    for account in accounts {
        let query = queries::ARRIVED_UNDER.query([codec::value(account.as_str())], None, Some(1));
        if !client.query(query, retry).await?.documents.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
