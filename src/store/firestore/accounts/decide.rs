//! What is decided of accounts: each in one commit, under optimistic locks of all that it was decided by. Whatever
//! concerns a contributor's accounts writes its document of `accounts`, so that of two decisions one reads the other.
//!
//! The commit that makes an account count for another contributor takes its document in `contributors` away, and
//! raises that one's highest milestone to what the account had, before any contribution moves. Both are exact: nothing
//! is recorded or recognised for the account between the read and the commit, and nothing afterwards.

use std::collections::BTreeMap;

use firestore::{
    FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData, FirestoreTransactionOps,
    FirestoreWritePrecondition,
};

use super::{
    Account, Number, Read, commit, followers, moves, no_document, note_joined_with_claims, number_document,
    read_account, read_number, strays, whose,
};
use crate::domain::{ContributorId, Identity, Moment, Naming, Numbered, Standing};
use crate::store::firestore::codec::{self, ContributorFields, ContributorNames, document_id};
use crate::store::firestore::forget;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::CONTRIBUTORS;
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::{Client, Retry};
use crate::store::{Contributor, Linked, StoreError};

/// Writes what a contribution says of its account. Where something has changed since it was read, nothing is written,
/// and it is to be read again. Returns the documents of `accounts` of which something is to be moved.
pub(super) async fn apply(
    client: &Client,
    naming: &Naming,
    identity: &Identity,
    read: &Read,
    mut retry: Retry,
) -> Result<Vec<String>, StoreError> {
    let (Some(at), Some(number), Some(found)) = (naming.stated_at, naming.number, read.number_of(naming))
    else {
        return Ok(Vec::new());
    };
    let mut moving = Vec::new();
    let mut changes = Changes::default();
    let mut writes = client.writes();
    let mut bound = None;
    match identity {
        Identity::Known(account) if whose::is_former(naming, account, &read.account(&naming.name)) => {
            changes.of(read.account(&naming.name)).number = Some(number);
            let (former, present) = (read.account(&naming.name), read.account(account));
            moving.extend(rename(client, &mut changes, former, present, &mut writes, &mut retry).await?);
            bound.clone_from(&found.bound);
        }
        Identity::Known(account) => changes.of(read.account(&naming.name)).is_held_by(account, at),
        Identity::Bind(to) => changes.of(read.account(to)).number = Some(number),
        Identity::Rename { from, to } => {
            changes.of(read.account(to)).number = Some(number);
            let (from, to) = (read.account(from), read.account(to));
            moving.extend(rename(client, &mut changes, from, to, &mut writes, &mut retry).await?);
        }
    }
    if let Identity::Bind(to) | Identity::Rename { to, .. } = identity {
        let name = changes.of(read.account(&naming.name));
        if name.holder.is_some() || *to != naming.name {
            name.is_held_by(to, at);
        }
        bound = Some(Numbered { id: to.clone(), named_at: at });
    }
    if bound.is_some() {
        let is_first = matches!(identity, Identity::Bind(_));
        let parted = parted(naming, is_first, read, found, &mut writes)?;
        Number { bound, moving: true, parted, ..found.clone() }.write(&mut writes)?;
        moving.push(found.document.clone());
    }
    changes.write(client, &mut writes)?;
    let number = client.forget_key().and_then(|key| key.of_number(&naming.name, number));
    forget::guard(&mut writes, number.into_iter())?;
    Ok(if commit(client, &writes, &mut retry).await? { moving } else { Vec::new() })
}

/// The names of which what other numbers brought is to be moved, now that this one is bound to its name.
fn parted(
    naming: &Naming,
    is_first: bool,
    read: &Read,
    found: &Number,
    writes: &mut FirestoreTransactionData,
) -> Result<Vec<ContributorId>, StoreError> {
    let mut parted = found.parted.clone();
    let name = read.account(&naming.name);
    if name.owner().is_some() || parted.contains(&name.id) {
        return Ok(parted);
    }
    let is_unwritten = matches!(name.unchanged, FirestoreWritePrecondition::Exists(false));
    if is_first && is_unwritten && read.contributors.get(&name.id) == Some(&false) {
        // Nothing has arrived under it, nor does before this is committed.
        is_absent(writes, &name.id)?;
    } else {
        parted.push(name.id);
    }
    Ok(parted)
}

/// The accounts that a decision changes, as they become.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<ContributorId, Account>);

impl Changes {
    /// One of them, to be changed; as it was read, if this decision has not changed it yet.
    pub(super) fn of(&mut self, read: Account) -> &mut Account {
        self.0.entry(read.id.clone()).or_insert(read)
    }

    /// Of one account alone, as it becomes.
    pub(super) fn of_one(account: Account) -> Self {
        Self(BTreeMap::from([(account.id.clone(), account)]))
    }

    /// Writes them all, unless one has changed since it was read, or is forgotten.
    pub(super) fn write(
        &self,
        client: &Client,
        writes: &mut FirestoreTransactionData,
    ) -> Result<(), StoreError> {
        for account in self.0.values() {
            account.write(writes)?;
        }
        let Some(key) = client.forget_key() else { return Ok(()) };
        forget::guard(writes, self.0.keys().map(|name| key.of_name(name)))
    }
}

/// What is to be moved after this.
async fn rename(
    client: &Client,
    changes: &mut Changes,
    from: Account,
    to: Account,
    writes: &mut FirestoreTransactionData,
    retry: &mut Retry,
) -> Result<Option<String>, StoreError> {
    let linked_to = |account: &Account| account.target.clone().filter(|_| account.linked);
    let (source, target) = match (linked_to(&from), linked_to(&to)) {
        // Each was linked by hand, to the same contributor or not: both stay so.
        (Some(_), Some(_)) => {
            changes.of(from);
            return Ok(None);
        }
        // One name was linked by hand to the other: they are one account now.
        (Some(target), None) if target == to.id => {
            changes.of(from).linked = false;
            changes.of(to);
            return Ok(None);
        }
        // The old name was linked by hand: the new one is too.
        (Some(target), None) => {
            changes.of(from);
            changes.of(to.clone()).linked = true;
            if to.target.is_some() {
                changes.of(to).target = Some(target);
                return Ok(None);
            }
            (to, target)
        }
        (None, Some(target)) if target != from.id => (from, target),
        (None, _) => {
            let back = changes.of(to.clone());
            back.target = None;
            back.linked = false;
            (from, to.id)
        }
    };
    let target = read_account(client, &target, retry).await?;
    let moving = document_id(source.id.as_str());
    redirect(client, changes, source, target, writes, retry).await?;
    Ok(Some(moving))
}

/// Makes `from`, and what counts for it, count for `to`, which counts for itself.
pub(super) async fn redirect(
    client: &Client,
    changes: &mut Changes,
    from: Account,
    to: Account,
    writes: &mut FirestoreTransactionData,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    for follower in followers(client, &from.id, retry).await? {
        if follower.id != to.id {
            changes.of(follower).target = Some(to.id.clone());
        }
    }
    let of = |id: &ContributorId| document_id(id.as_str());
    let (mut before, mut exists) = (None, false);
    for document in client.get(CONTRIBUTORS, &[of(&from.id), of(&to.id)], None, retry).await? {
        let found = codec::read::<ContributorFields>(&document)?.contributor()?;
        if found.standing.contributor == from.id {
            before = Some((found, unchanged(&document)?));
        } else {
            exists = true;
        }
    }
    note_joined_with_claims(client, writes, [&from.id, &to.id], retry).await?;
    changes.of(to.clone());
    let from = changes.of(from);
    from.target = Some(to.id.clone());
    from.moving = true;
    let recognized = std::mem::take(&mut from.recognized);
    let Some((contributor, unchanged)) = before else {
        // It may contribute for the first time before this is committed.
        is_absent(writes, &from.id)?;
        if recognized > 0 && exists {
            raise(writes, &to.id, recognized)?;
        } else if recognized > 0 {
            is_absent(writes, &to.id)?;
            let to = changes.of(to);
            to.recognized = to.recognized.max(recognized);
        }
        return Ok(());
    };
    writes.delete_by_id(CONTRIBUTORS, of(&from.id), Some(unchanged)).map_err(refused)?;
    from.user_id = contributor.user_id;
    from.page.clone_from(&contributor.account_url);
    let Contributor { standing, first_at, last_at, .. } = contributor;
    let recognized = standing.recognized.max(recognized);
    Joining { counted: 0, recognized, first_at, last_at }.write(writes, &to, exists)
}

/// What contributions that join a contributor change in its document, or make it of.
pub(super) struct Joining {
    pub(super) counted: i64,
    pub(super) recognized: u64,
    pub(super) first_at: Moment,
    pub(super) last_at: Moment,
}

impl Joining {
    pub(super) fn write(
        &self,
        writes: &mut FirestoreTransactionData,
        to: &Account,
        exists: bool,
    ) -> Result<(), StoreError> {
        let names = ContributorNames::kept(&to.id, to.user_id.or(to.number), to.page.as_deref());
        let at = |at: Moment| codec::value(at.timestamp_micros());
        let kept = if exists { 0 } else { to.recognized };
        let transforms = [
            ("tally", FirestoreFieldTransformType::Increment(codec::difference(self.counted))),
            ("recognized", FirestoreFieldTransformType::Maximum(codec::integer(self.recognized.max(kept)))),
            ("first_at", FirestoreFieldTransformType::Minimum(at(self.first_at))),
            ("last_at", FirestoreFieldTransformType::Maximum(at(self.last_at))),
        ];
        let transforms =
            transforms.into_iter().map(|(field, to)| FirestoreFieldTransform::new(field.to_owned(), to));
        let exists_still = Some(FirestoreWritePrecondition::Exists(exists));
        let mask = if exists { Vec::new() } else { names.mask() };
        let id = document_id(to.id.as_str());
        writes
            .update_object(CONTRIBUTORS, id, &names, Some(mask), exists_still, transforms.collect())
            .map_err(refused)?;
        Ok(())
    }
}

/// Has the commit fail where this contributor has a document.
pub(super) fn is_absent(writes: &mut FirestoreTransactionData, id: &ContributorId) -> Result<(), StoreError> {
    no_document(writes, CONTRIBUTORS, document_id(id.as_str()))
}

/// Raises the highest milestone of a contributor that has a document.
pub(super) fn raise(
    writes: &mut FirestoreTransactionData,
    id: &ContributorId,
    recognized: u64,
) -> Result<(), StoreError> {
    let raised = FirestoreFieldTransformType::Maximum(codec::integer(recognized));
    let raised = FirestoreFieldTransform::new("recognized".to_owned(), raised);
    let exists = Some(FirestoreWritePrecondition::Exists(true));
    let (id, nothing) = (document_id(id.as_str()), BTreeMap::<String, bool>::new());
    writes
        .update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), exists, vec![raised])
        .map_err(refused)?;
    Ok(())
}

/// What is to be done to link an account.
enum Linking {
    Known(Linked),
    Redirect(Box<[Account; 2]>),
}

pub(in super::super) async fn link(
    client: &Client,
    account: &ContributorId,
    to: &ContributorId,
) -> Result<Linked, StoreError> {
    strays::recover(client, account).await?;
    let mut retry = client.retry();
    loop {
        let [from, to] = match linking(client, account, to, &mut retry).await? {
            Linking::Known(Linked::To(standing)) => {
                let present = present(client, account, &mut retry).await?;
                strays::recover(client, &present.id).await?;
                moves::finish(client, &present.id).await?;
                let contributor = standing.contributor;
                return Ok(Linked::To(standing_of(client, &contributor, &mut client.retry()).await?));
            }
            Linking::Known(linked) => return Ok(linked),
            Linking::Redirect(accounts) => *accounts,
        };
        let (account, target) = (from.id.clone(), to.id.clone());
        let (mut writes, mut changes) = (client.writes(), Changes::default());
        changes.of(from.clone()).linked = true;
        redirect(client, &mut changes, from, to, &mut writes, &mut retry).await?;
        changes.write(client, &mut writes)?;
        if commit(client, &writes, &mut retry).await? {
            moves::finish(client, &account).await?;
            return Ok(Linked::To(standing_of(client, &target, &mut client.retry()).await?));
        }
        for id in [&account, &target] {
            if forget::is_forgotten(client, id, &mut retry).await? {
                return Err(StoreError::Refused("one of the two is forgotten".into()));
            }
        }
        retry.pause("the accounts keep changing".to_owned()).await?;
    }
}

async fn linking(
    client: &Client,
    account: &ContributorId,
    to: &ContributorId,
    retry: &mut Retry,
) -> Result<Linking, StoreError> {
    if account == to {
        return Ok(Linking::Known(Linked::Same(account.clone())));
    }
    let from = present(client, account, retry).await?;
    let to = present(client, to, retry).await?;
    if from.id == to.id {
        return Ok(Linking::Known(Linked::Same(from.contributor().clone())));
    }
    let to = match &to.target {
        Some(target) => read_account(client, target, retry).await?,
        None => to,
    };
    let standing = |id: &ContributorId| Standing { contributor: id.clone(), tally: 0, recognized: 0 };
    Ok(match &from.target {
        _ if from.id == to.id => Linking::Known(Linked::Same(to.id)),
        Some(target) if *target == to.id => Linking::Known(Linked::To(standing(target))),
        Some(target) => Linking::Known(Linked::Elsewhere(target.clone())),
        None => Linking::Redirect(Box::new([from, to])),
    })
}

/// The account itself or, of a former name, the account with its number.
pub(super) async fn present(
    client: &Client,
    id: &ContributorId,
    retry: &mut Retry,
) -> Result<Account, StoreError> {
    let account = read_account(client, id, retry).await?;
    let number = account.number.and_then(|number| number_document(id, number));
    let Some(number) = number else { return Ok(account) };
    match read_number(client, number, retry).await?.bound {
        Some(bound) if bound.id != account.id => read_account(client, &bound.id, retry).await,
        _ => Ok(account),
    }
}

pub(super) async fn standing_of(
    client: &Client,
    id: &ContributorId,
    retry: &mut Retry,
) -> Result<Standing, StoreError> {
    let found = client.get_one(CONTRIBUTORS, document_id(id.as_str()), retry).await?;
    let Some(document) = found else {
        let recognized = read_account(client, id, retry).await?.recognized;
        return Ok(Standing { contributor: id.clone(), tally: 0, recognized });
    };
    codec::read::<ContributorFields>(&document)?.standing()
}
