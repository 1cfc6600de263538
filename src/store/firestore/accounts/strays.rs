//! Accounts that count for another contributor and have a document in `contributors` all the same: a version of plaudit
//! that knows nothing of accounts recorded something under them, beside this one or after a rollback.

use super::decide::{Changes, redirect};
use super::moves::{CONFLICT, ROUNDS, finish};
use super::{Account, commit, presence, read_account};
use crate::domain::ContributorId;
use crate::store::StoreError;
use crate::store::firestore::codec;
use crate::store::firestore::queries;
use crate::store::firestore::readable::{place_of, readable_one};
use crate::store::firestore::rpc::Client;

/// How many accounts are read at once.
const PAGE: usize = 500;

/// Moves what counts for such accounts. Looks at every linked account and former name. One that cannot be moved, or
/// that this version cannot read, keeps no other one back.
pub(super) async fn recover_all(client: &Client) -> Result<(), StoreError> {
    let (mut after, mut failed) = (None, None);
    loop {
        let query = queries::ACCOUNTS_WITH_TARGET.query([codec::value("")], after.take(), Some(PAGE));
        let found = client.query(query, &mut client.retry()).await?.documents;
        let mut accounts = Vec::with_capacity(found.len());
        for document in &found {
            accounts.extend(readable_one(document, Account::read)?);
        }
        let of = accounts.iter().map(|one| &one.id).collect();
        let present = presence(client, of, &mut client.retry()).await?;
        for (account, _) in present.iter().filter(|(_, is_present)| **is_present) {
            failed = recover(client, account).await.err().or(failed);
        }
        let last = found.last().filter(|_| found.len() == PAGE);
        let Some(last) = last else { return failed.map_or(Ok(()), Err) };
        after = Some(place_of(last, &queries::ACCOUNTS_WITH_TARGET));
    }
}

/// Moves what counts for one account to its contributor, if it is such a one; whether it was.
pub(super) async fn recover(client: &Client, id: &ContributorId) -> Result<bool, StoreError> {
    for _ in 0..ROUNDS {
        let mut retry = client.retry();
        let account = read_account(client, id, &mut retry).await?;
        let Some(target) = account.target.clone() else { return Ok(false) };
        if presence(client, [id].into(), &mut retry).await?.get(id) != Some(&true) {
            return Ok(false);
        }
        let to = read_account(client, &target, &mut retry).await?;
        let (mut writes, mut changes) = (client.writes(), Changes::default());
        redirect(client, &mut changes, account, to, &mut writes, &mut retry).await?;
        changes.write(client, &mut writes)?;
        if commit(client, &writes, &mut retry).await? {
            tracing::warn!(account = %id, "what an older version recorded for an account that counts for another contributor is moved");
            finish(client, id).await?;
            return Ok(true);
        }
        retry.pause(CONFLICT.to_owned()).await?;
    }
    Err(StoreError::Unavailable(CONFLICT.to_owned()))
}
