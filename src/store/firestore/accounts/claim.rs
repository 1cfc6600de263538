//! A number that its host states for the first time: what addresses with this number brought to accounts without one
//! is its account's.

use std::collections::{BTreeMap, BTreeSet};

use firestore::{FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionOps};

use super::decide::{Changes, is_absent, raise};
use super::moves::{CONFLICT, Item, Moved, ROUNDS, TOGETHER, item, move_items, move_recognitions};
use super::{Number, Read, commit, note_joined, presence, read_account, tidy};
use crate::domain::{ContributionId, ContributorId};
use crate::store::firestore::codec::{self, ContributorFields, document_id};
use crate::store::firestore::lists;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, ACCOUNTS, CONTRIBUTIONS, CONTRIBUTORS, name_value};
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::Client;
use crate::store::{Shown, StoreError};

pub(super) async fn claim(client: &Client, mut number: Number) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let Some(bound) = number.bound.clone().filter(|_| number.moving) else { return Ok(()) };
        if let Moved::All = claim_all(client, &number, &bound.id).await? {
            let mut writes = client.writes();
            Number { moving: false, ..number.clone() }.write(&mut writes)?;
            if commit(client, &writes, &mut client.retry()).await? {
                return Ok(());
            }
        }
        client.retry().pause(CONFLICT.to_owned()).await?;
        let found = client.get_one(ACCOUNTS, number.document.clone(), &mut client.retry()).await?;
        let Some(found) = found else { return Ok(()) };
        number = Number::read(&found)?;
    }
    Err(StoreError::Unavailable(CONFLICT.to_owned()))
}

async fn claim_all(client: &Client, number: &Number, account: &ContributorId) -> Result<Moved, StoreError> {
    let mut items = items(client, number, account).await?;
    let mut claimed: BTreeMap<ContributorId, BTreeSet<ContributionId>> = BTreeMap::new();
    for item in &items {
        claimed.entry(item.contributor.clone()).or_default().insert(item.id.clone());
    }
    let to = read_account(client, account, &mut client.retry()).await?.contributor().clone();
    claimed.remove(&to);
    let mut emptied = Vec::new();
    for (from, ids) in &claimed {
        let is_emptied = has_nothing_else(client, from, ids).await?;
        // What moves may be all that was recognised.
        let most = if is_emptied { u64::MAX } else { ids.len() as u64 };
        if !inherit(client, from, &to, most).await? {
            return Ok(Moved::Changed);
        }
        if is_emptied {
            emptied.push(from);
        }
    }
    while !items.is_empty() {
        let together = items.split_off(items.len().saturating_sub(TOGETHER));
        if let Moved::Changed = move_items(client, together, &to, Some(account)).await? {
            return Ok(Moved::Changed);
        }
    }
    for from in emptied {
        if !move_recognitions(client, from, &to).await? {
            return Ok(Moved::Changed);
        }
    }
    for from in claimed.keys() {
        tidy::tidy(client, from).await?;
    }
    Ok(Moved::All)
}

/// What is to be claimed.
async fn items(client: &Client, number: &Number, account: &ContributorId) -> Result<Vec<Item>, StoreError> {
    let digits = number.document.rsplit_once(':').and_then(|(_, digits)| digits.parse::<u64>().ok());
    let Some(digits) = digits else { return Ok(Vec::new()) };
    let (mut items, mut read) = (Vec::new(), Read::default());
    let mut after = None;
    loop {
        let value = codec::difference(digits.cast_signed());
        let query = queries::WITH_NUMBER.query([value], after.take(), Some(TOGETHER));
        let mut retry = client.retry();
        let found = client.query(query, &mut retry).await?.documents;
        let mut page: Vec<_> = found.iter().map(item).collect::<Result<_, _>>()?;
        page.retain(|one| one.account.host() == account.host() && one.account != *account);
        read.read(client, page.iter().map(|one| &one.account), std::iter::empty(), &mut retry).await?;
        items.extend(page.into_iter().filter(|one| read.account(&one.account).number.is_none()));
        let Some(last) = found.last().filter(|_| found.len() == TOGETHER) else { return Ok(items) };
        after = Some(vec![name_value(client.documents(), CONTRIBUTIONS, codec::id_of(last))]);
    }
}

/// Whether a contributor has no contributions beside these.
async fn has_nothing_else(
    client: &Client,
    from: &ContributorId,
    claimed: &BTreeSet<ContributionId>,
) -> Result<bool, StoreError> {
    let values = lists::contributions_of(from.as_str(), Shown::All, None, None)?;
    let query = queries::CONTRIBUTIONS_OF.query(values, None, Some(claimed.len() + 1));
    let found = client.query(query, &mut client.retry()).await?.documents;
    Ok(found.len() <= claimed.len())
}

/// Raises the highest milestone of the one to what the other had, at most to `most`. Before anything moves, so that
/// nothing is owed again.
async fn inherit(
    client: &Client,
    from: &ContributorId,
    to: &ContributorId,
    most: u64,
) -> Result<bool, StoreError> {
    let mut retry = client.retry();
    let Some(document) = client.get_one(CONTRIBUTORS, document_id(from.as_str()), &mut retry).await? else {
        return Ok(true);
    };
    let recognized = codec::read::<ContributorFields>(&document)?.standing()?.recognized.min(most);
    if recognized == 0 {
        return Ok(true);
    }
    let mut writes = client.writes();
    let still = FirestoreFieldTransformType::Maximum(codec::integer(0));
    let still = FirestoreFieldTransform::new("recognized".to_owned(), still);
    let (id, nothing) = (document_id(from.as_str()), BTreeMap::<String, bool>::new());
    let as_read = Some(unchanged(&document)?);
    writes
        .update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), as_read, vec![still])
        .map_err(refused)?;
    note_joined(&mut writes, to)?;
    if presence(client, [to].into(), &mut retry).await?.get(to) == Some(&true) {
        raise(&mut writes, to, recognized)?;
    } else {
        is_absent(&mut writes, to)?;
        let mut changes = Changes::default();
        let account = changes.of(read_account(client, to, &mut retry).await?);
        account.recognized = account.recognized.max(recognized);
        changes.write(client, &mut writes)?;
    }
    commit(client, &writes, &mut retry).await
}
