//! A number that its host states for the first time, or under another name: what addresses with this number brought to
//! accounts without one is its account's, and what other numbers brought under its name is not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use firestore::{FirestoreValue, FirestoreWritePrecondition};

use super::decide::{Changes, standing_of};
use super::moves::{CONFLICT, Decision, Item, Moved, ROUNDS, Share, TOGETHER, item, move_items};
use super::recognitions::{bring_recognitions, recognitions_of};
use super::{
    Account, Number, Read, commit, note_claims, number_document, read_account, read_number, tidy, whose,
};
use crate::domain::{ContributionId, ContributorId, Naming, Numbered, RecognitionId};
use crate::store::firestore::codec::{self, document_id};
use crate::store::firestore::forget;
use crate::store::firestore::lists;
use crate::store::firestore::queries::{self, Shape};
use crate::store::firestore::readable::{place_of, readable_one};
use crate::store::firestore::rpc::{Client, Fault};
use crate::store::forgetting::Pseudonym;
use crate::store::{Shown, StoreError};

/// How much a claim reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// One page of each list: a request waits for it. Where there is more, the next drain claims.
    Page,
    Everything,
}

/// The account to which what is claimed goes, and for whom that counts, as they were read.
pub(super) struct Claimer {
    pub(super) account: Account,
    number: u64,
    /// Where that is not the account itself.
    contributor: Option<Account>,
    /// Of the number.
    pub(super) pseudonym: Option<Pseudonym>,
}

impl Claimer {
    async fn read(client: &Client, account: &ContributorId, number: u64) -> Result<Self, StoreError> {
        let account = read_account(client, account, &mut client.retry()).await?;
        let contributor = match &account.target {
            Some(target) => Some(read_account(client, target, &mut client.retry()).await?),
            None => None,
        };
        let pseudonym = client.forget_key().and_then(|key| key.of_number(&account.id, number));
        Ok(Self { account, number, contributor, pseudonym })
    }

    fn contributor(&self) -> &ContributorId {
        self.account.contributor()
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.account).chain(&self.contributor)
    }

    /// Whether one of them is forgotten. Then nothing is given to them: it stays, and keeps the rest of a claim back no
    /// longer.
    async fn is_forgotten(&self, client: &Client) -> Result<bool, StoreError> {
        let of = |name: &ContributorId, number| Naming { name: name.clone(), number, stated_at: None };
        let named = [of(&self.account.id, Some(self.number)), of(self.contributor(), None)];
        let forgotten = forget::are_named_forgotten(client, &named, &mut client.retry()).await?;
        Ok(forgotten.contains(&true))
    }
}

pub(super) async fn claim(client: &Client, mut number: Number, extent: Extent) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let Some(bound) = number.bound.clone().filter(|_| number.moving) else { return Ok(()) };
        match claim_all(client, &mut number, &bound, extent).await? {
            Claimed::All => {
                let mut writes = client.writes();
                number.is_moved().write(&mut writes)?;
                if commit(client, &writes, &mut client.retry()).await? {
                    return Ok(());
                }
            }
            Claimed::TooMany => return put_off(client, number).await,
            Claimed::Changed => {}
        }
        client.retry().pause(CONFLICT.to_owned()).await?;
        number = read_number(client, number.document, &mut client.retry()).await?;
    }
    Err(StoreError::Unavailable(CONFLICT.to_owned()))
}

enum Claimed {
    All,
    /// Something was not as it was read.
    Changed,
    /// There is more than the extent.
    TooMany,
}

/// Leaves a claim to the next drain. Until then nothing is recognised for the contributor: what it claims may have been
/// recognised already.
pub(super) async fn put_off(client: &Client, mut number: Number) -> Result<(), StoreError> {
    let mut retry = client.retry();
    loop {
        let Some(bound) = number.bound.clone().filter(|_| number.moving) else { return Ok(()) };
        let account = read_account(client, &bound.id, &mut retry).await?;
        let mut writes = client.writes();
        whose::verify(&mut writes, &number.document, number.unchanged.clone())?;
        // Else the claim could be noted for who is not the contributor any more.
        whose::verify(&mut writes, &document_id(account.id.as_str()), account.unchanged.clone())?;
        note_claims(&mut writes, account.contributor(), &[number.document.clone()])?;
        if commit(client, &writes, &mut retry).await? {
            tracing::info!("what a number brought before its host stated it is claimed by the next drain");
            return Ok(());
        }
        retry.pause(CONFLICT.to_owned()).await?;
        number = read_number(client, number.document, &mut retry).await?;
    }
}

async fn claim_all(
    client: &Client,
    number: &mut Number,
    bound: &Numbered,
    extent: Extent,
) -> Result<Claimed, StoreError> {
    let Some(digits) = digits(number) else { return Ok(Claimed::All) };
    let parted = number.parted.iter().map(|name| arrived_under(client, name, extent));
    let parted = futures::future::try_join_all(parted);
    let (own, parted) = tokio::try_join!(with_number(client, digits, extent), parted)?;
    let (Some(own), Some(parted)) = (own, parted.into_iter().collect::<Option<Vec<_>>>()) else {
        return Ok(Claimed::TooMany);
    };
    let mut others: BTreeMap<(ContributorId, u64), Vec<Item>> = BTreeMap::new();
    for item in parted.into_iter().flatten() {
        if let Some(other) = item.number.filter(|other| *other != digits) {
            others.entry((item.account.clone(), other)).or_default().push(item);
        }
    }
    for ((name, other), items) in others {
        if !part(client, number, &name, other, items).await? {
            return Ok(Claimed::Changed);
        }
    }
    let own = of_unbound_accounts(client, own, &bound.id).await?;
    if !own.is_empty() && !claim_items(client, number, &bound.id, digits, own).await? {
        return Ok(Claimed::Changed);
    }
    Ok(if follow(client, number, &bound.id, digits).await? { Claimed::All } else { Claimed::Changed })
}

/// Does what follows the contributions, for everyone from whom some have moved: an earlier claim may have ended before
/// it, and left no contribution by which they would be found. False where something was not as it was read.
async fn follow(
    client: &Client,
    number: &Number,
    account: &ContributorId,
    digits: u64,
) -> Result<bool, StoreError> {
    if number.left.is_empty() {
        return Ok(true);
    }
    let claimer = Claimer::read(client, account, digits).await?;
    let decision = Decision::of_numbers(&[number], &claimer, BTreeMap::new());
    let has_brought =
        bring_recognitions(client, &number.recognitions, claimer.contributor(), &decision).await?;
    if !has_brought && !claimer.is_forgotten(client).await? {
        return Ok(false);
    }
    // What other numbers brought under its name has left the account itself.
    for from in &number.left {
        tidy::tidy(client, from).await?;
    }
    Ok(true)
}

/// Notes from whom contributions are about to move, and which recognitions follow, before the first one moves. False
/// where the number has changed since it was read.
async fn note(
    client: &Client,
    number: &mut Number,
    left: impl Iterator<Item = &ContributorId>,
    recognitions: BTreeSet<RecognitionId>,
) -> Result<bool, StoreError> {
    let mut noted = number.clone();
    noted.left.extend(left.cloned());
    noted.recognitions.extend(recognitions);
    if noted.left == number.left && noted.recognitions == number.recognitions {
        return Ok(true);
    }
    let mut writes = client.writes();
    noted.write(&mut writes)?;
    let written = match client.commit(&writes, &mut client.retry()).await {
        Ok(response) => response.write_results.first().and_then(|written| written.update_time),
        Err(Fault::Exists | Fault::Changed | Fault::Missing(_)) => None,
        Err(fault) => return Err(fault.into()),
    };
    let Some(written) = written else { return Ok(false) };
    *number = Number { unchanged: FirestoreWritePrecondition::UpdateTime(written), ..noted };
    Ok(true)
}

fn digits(number: &Number) -> Option<u64> {
    number.document.rsplit_once(':').and_then(|(_, digits)| digits.parse().ok())
}

/// Moves what came with another number under a name that is bound: to the account of that number, or where it has none
/// yet, to the one that it has under this name.
async fn part(
    client: &Client,
    number: &mut Number,
    name: &ContributorId,
    other: u64,
    items: Vec<Item>,
) -> Result<bool, StoreError> {
    let Some(document) = number_document(name, other) else { return Ok(true) };
    let found = read_number(client, document, &mut client.retry()).await?;
    let account = found.bound.as_ref().map_or_else(|| name.numbered(other), |bound| bound.id.clone());
    let claimer = Claimer::read(client, &account, other).await?;
    let to = claimer.contributor();
    let from = by_contributor(&items);
    let shares =
        from.iter().map(|(from, ids)| (from.clone(), Share::Contributions(ids.len() as u64))).collect();
    if !note(client, number, from.keys().filter(|from| *from != to), BTreeSet::new()).await? {
        return Ok(false);
    }
    let decision = Decision::of_numbers(&[number, &found], &claimer, shares);
    Ok(move_in_parts(client, items, to, &decision).await? || claimer.is_forgotten(client).await?)
}

async fn claim_items(
    client: &Client,
    number: &mut Number,
    account: &ContributorId,
    digits: u64,
    items: Vec<Item>,
) -> Result<bool, StoreError> {
    let claimer = Claimer::read(client, account, digits).await?;
    let to = claimer.contributor();
    let mut from = by_contributor(&items);
    from.remove(to);
    let (mut shares, mut follow) = (BTreeMap::new(), BTreeSet::new());
    for (from, ids) in &from {
        // In this order: what others earned is found only where something of theirs is found afterwards.
        let recognized = standing_of(client, from, &mut client.retry()).await?.recognized;
        let made = recognitions_of(client, from).await?;
        if !has_nothing_else(client, from, ids).await? {
            shares.insert(from.clone(), Share::Contributions(ids.len() as u64));
            continue;
        }
        let is_to_reserve = is_all_its_own(&items, from) && !made.is_empty();
        if is_to_reserve && !reserve(client, from, number, digits).await? {
            return Ok(false);
        }
        shares.insert(from.clone(), Share::AllRecognizedTo(recognized));
        let made = made.iter().filter_map(|document| codec::text(document, "id"));
        follow.extend(made.map(RecognitionId::from_text));
    }
    if !note(client, number, from.keys(), follow).await? {
        return Ok(false);
    }
    let decision = Decision::of_numbers(&[number], &claimer, shares);
    Ok(move_in_parts(client, items, to, &decision).await? || claimer.is_forgotten(client).await?)
}

fn by_contributor(items: &[Item]) -> BTreeMap<ContributorId, BTreeSet<ContributionId>> {
    let mut from: BTreeMap<ContributorId, BTreeSet<ContributionId>> = BTreeMap::new();
    for item in items {
        from.entry(item.contributor.clone()).or_default().insert(item.id.clone());
    }
    from
}

fn is_all_its_own(items: &[Item], contributor: &ContributorId) -> bool {
    items.iter().filter(|one| one.contributor == *contributor).all(|one| one.account == *contributor)
}

/// Has the id of a name, of which all is claimed, given to no third account: recognitions were made with it. The name
/// stays its own, because only addresses say that it is the account's.
async fn reserve(
    client: &Client,
    name: &ContributorId,
    number: &Number,
    digits: u64,
) -> Result<bool, StoreError> {
    let mut retry = client.retry();
    let mut account = read_account(client, name, &mut retry).await?;
    if account.reserved == Some(digits) {
        return Ok(true);
    }
    if account.number.is_some() || account.target.is_some() {
        return Ok(false);
    }
    account.reserved = Some(digits);
    let mut writes = client.writes();
    whose::verify(&mut writes, &number.document, number.unchanged.clone())?;
    Changes::of_one(account).write(client, &mut writes)?;
    commit(client, &writes, &mut retry).await
}

async fn move_in_parts(
    client: &Client,
    mut items: Vec<Item>,
    to: &ContributorId,
    decision: &Decision,
) -> Result<bool, StoreError> {
    while !items.is_empty() {
        let together = items.split_off(items.len().saturating_sub(TOGETHER));
        if let Moved::Changed = move_items(client, together, to, decision).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Those of other accounts of the host that no number is bound to.
async fn of_unbound_accounts(
    client: &Client,
    mut items: Vec<Item>,
    account: &ContributorId,
) -> Result<Vec<Item>, StoreError> {
    items.retain(|one| one.account.host() == account.host() && one.account != *account);
    let mut read = Read::default();
    let accounts: BTreeSet<_> = items.iter().map(|one| &one.account).collect();
    for together in accounts.into_iter().collect::<Vec<_>>().chunks(TOGETHER) {
        read.read(client, together.iter().copied(), std::iter::empty(), &mut client.retry()).await?;
    }
    items.retain(|one| read.account(&one.account).number.is_none());
    Ok(items)
}

async fn with_number(client: &Client, digits: u64, extent: Extent) -> Result<Option<Vec<Item>>, StoreError> {
    pages(client, extent, &queries::WITH_NUMBER, &[codec::difference(digits.cast_signed())]).await
}

/// What arrived under a name, for any contributor.
async fn arrived_under(
    client: &Client,
    name: &ContributorId,
    extent: Extent,
) -> Result<Option<Vec<Item>>, StoreError> {
    let counted = lists::contributions_of(name.as_str(), Shown::All, None, None)?;
    let moved = [codec::value(name.as_str())];
    let (counted, moved) = tokio::try_join!(
        pages(client, extent, &queries::CONTRIBUTIONS_OF, &counted),
        pages(client, extent, &queries::ARRIVED_UNDER, &moved),
    )?;
    let Some((counted, moved)) = counted.zip(moved) else { return Ok(None) };
    // One may have moved between the two reads.
    let all = counted.into_iter().chain(moved).map(|one| (one.id.clone(), one));
    let all: HashMap<_, _> = all.collect();
    Ok(Some(all.into_values().filter(|one| one.account == *name).collect()))
}

/// What a query finds, in pages, but for what this version cannot read; `None` where there is more than the extent.
async fn pages(
    client: &Client,
    extent: Extent,
    shape: &'static Shape,
    values: &[FirestoreValue],
) -> Result<Option<Vec<Item>>, StoreError> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let query = shape.query(values.iter().cloned(), after.take(), Some(TOGETHER));
        let found = client.query(query, &mut client.retry()).await?.documents;
        for document in &found {
            items.extend(readable_one(document, item)?);
        }
        let Some(last) = found.last().filter(|_| found.len() == TOGETHER) else { return Ok(Some(items)) };
        if extent == Extent::Page {
            return Ok(None);
        }
        after = Some(place_of(last, shape));
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
