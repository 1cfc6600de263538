//! People: all accounts of one, and what is left of them once the person is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreWritePrecondition,
};

use super::claim::Extent;
use super::moves::finish_document;
use super::{
    Account, AccountFields, CLAIMS, FORGOTTEN_HOLDER, Holder, Number, Read, contributor_of, followers,
    is_of_number, joined_document, nonce, number_document, read_account,
};
use crate::domain::ContributorId;
use crate::store::StoreError;
use crate::store::firestore::codec::{self, document_id};
use crate::store::firestore::queries::{self, ACCOUNTS};
use crate::store::firestore::readable::readable_one;
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::{Client, Retry};

/// The number of a name whose account is forgotten and that another account has. No host gives it to an account, so
/// that the next one that takes the name is not given its id.
const FORGOTTEN_NUMBER: u64 = 0;

/// A person's accounts, by which everything of them is found.
#[derive(Clone)]
pub(in super::super) struct Person {
    /// Those that count for another one of them come before it.
    pub(in super::super) names: Vec<ContributorId>,
    pub(in super::super) numbers: Vec<(ContributorId, u64)>,
    /// Of logins that several accounts have had: which had each last.
    held: Vec<(ContributorId, ContributorId)>,
    /// Whether anything is written of their accounts.
    pub(in super::super) is_written: bool,
}

impl Person {
    /// Adds the accounts and numbers of `other` that are not among these.
    pub(in super::super) fn join(&mut self, other: Self) {
        let names: Vec<_> = other.names.into_iter().filter(|name| !self.names.contains(name)).collect();
        self.names.splice(0..0, names);
        let numbers: Vec<_> = other.numbers.into_iter().filter(|one| !self.numbers.contains(one)).collect();
        self.numbers.extend(numbers);
        self.held.extend(other.held);
    }

    /// Whether a name of theirs is another person's by now.
    pub(in super::super) fn is_taken(&self, name: &ContributorId) -> bool {
        self.held.iter().any(|(held, holder)| held == name && !self.names.contains(holder))
    }

    /// Whether what this document of another account or number has to move may count for the person, or is to.
    fn is_left_by(&self, document: &FirestoreDocument) -> Result<bool, StoreError> {
        if !is_of_number(codec::id_of(document)) {
            let parted_from = Account::read(document)?.parted_from;
            return Ok(parted_from.is_some_and(|contributor| self.names.contains(&contributor)));
        }
        // A claim that waits has noted nothing yet: it may take from any name of its host, and give to any.
        let bound = Number::read(document)?.bound;
        let host = bound.as_ref().and_then(|bound| bound.id.host());
        Ok(host.is_some() && self.names.iter().any(|own| own.host() == host))
    }
}

pub(in super::super) async fn person(
    client: &Client,
    id: &ContributorId,
    retry: &mut Retry,
) -> Result<Person, StoreError> {
    let contributor = contributor_of(client, id, retry).await?;
    let mut accounts = followers(client, &contributor, retry).await?;
    accounts.push(read_account(client, &contributor, retry).await?);
    let numbers = accounts.iter().filter_map(|one| Some((one.id.clone(), one.number?))).collect();
    let held = accounts.iter().filter_map(|one| match &one.holder {
        Some(Holder::Account(holder)) => Some((one.id.clone(), holder.clone())),
        Some(Holder::Forgotten) | None => None,
    });
    let held = held.collect();
    let is_written =
        accounts.iter().any(|one| matches!(one.unchanged, FirestoreWritePrecondition::UpdateTime(_)));
    Ok(Person { names: accounts.into_iter().map(|one| one.id).collect(), numbers, held, is_written })
}

/// Finishes every move of a person's accounts, those by which others take from them what is not theirs, and every claim
/// on their hosts, so that what counts for them is theirs, and what is theirs counts for them. Whether there were any.
pub(in super::super) async fn settle(client: &Client, person: &Person) -> Result<bool, StoreError> {
    let names = person.names.iter().map(|name| document_id(name.as_str()));
    let numbers = person.numbers.iter().filter_map(|(name, number)| number_document(name, *number));
    let own: HashSet<_> = names.chain(numbers).collect();
    let moving = queries::ACCOUNTS_MOVING.query([codec::value(true)], None, None);
    let mut moving = client.query(moving, &mut client.retry()).await?.documents;
    // The claims last: what accounts move is fewer and waits for none of them.
    moving.sort_by_key(|document| is_of_number(codec::id_of(document)));
    let mut has_moved = false;
    for document in moving {
        let id = codec::id_of(&document);
        let is_own = own.contains(id);
        if !is_own && readable_one(&document, |found| person.is_left_by(found))? != Some(true) {
            continue;
        }
        match finish_document(client, id, Extent::Everything).await {
            Ok(()) => has_moved = true,
            Err(StoreError::Unavailable(why)) => return Err(StoreError::Unavailable(why)),
            // Everything of an account that was parted from them would be erased with them.
            Err(error) if !is_own && !is_of_number(id) => return Err(error),
            // It would fail again, and keep the person from being forgotten.
            Err(error) => tracing::warn!(%error, "contributions of somebody to be forgotten cannot be moved"),
        }
    }
    Ok(has_moved)
}

/// For whom accounts count, each contributor once.
pub(in super::super) async fn contributors_of(
    client: &Client,
    names: &[ContributorId],
) -> Result<BTreeSet<ContributorId>, StoreError> {
    let mut read = Read::default();
    read.read(client, names.iter(), std::iter::empty(), &mut client.retry()).await?;
    Ok(names.iter().map(|name| read.account(name).contributor().clone()).collect())
}

/// Whether other accounts have, or have had, a login of this person.
pub(in super::super) async fn shares_logins(client: &Client, person: &Person) -> Result<bool, StoreError> {
    let is_own = |document: &FirestoreDocument| {
        person.names.iter().any(|name| document_id(name.as_str()) == codec::id_of(document))
    };
    if person.names.iter().any(ContributorId::is_numbered) {
        return Ok(true);
    }
    for name in &person.names {
        let held = queries::ACCOUNTS_HELD.query([codec::value(name.as_str())], None, None);
        // Each name has its own patience: there may be many.
        let held = client.query(held, &mut client.retry()).await?.documents;
        if person.is_taken(name) || !held.iter().all(is_own) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Erases what says of a person's accounts that they are one.
pub(in super::super) async fn erase(client: &Client, person: &Person) -> Result<(), StoreError> {
    let mut writes = client.writes();
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    for name in &person.names {
        let held = queries::ACCOUNTS_HELD.query([codec::value(name.as_str())], None, None);
        for document in client.query(held, &mut client.retry()).await?.documents {
            if person.names.iter().any(|name| document_id(name.as_str()) == codec::id_of(&document)) {
                continue;
            }
            left.entry(codec::id_of(&document).to_owned()).or_default().holder = Some(FORGOTTEN_HOLDER);
        }
        if person.is_taken(name) {
            leave_to_holder(&mut writes, name)?;
        } else {
            writes.delete_by_id(ACCOUNTS, document_id(name.as_str()), None).map_err(refused)?;
        }
        writes.delete_by_id(ACCOUNTS, joined_document(name), None).map_err(refused)?;
    }
    // Several names of theirs may have one number.
    let number = |(name, number): &(ContributorId, u64)| number_document(name, *number);
    let numbers = person.numbers.iter().filter_map(|one| Some((number(one)?, one)));
    for (document, (name, number)) in numbers.collect::<BTreeMap<_, _>>() {
        keep_reserved(client, &mut left, person, name, *number).await?;
        erase_claim(client, &mut writes, person, &document).await?;
        writes.delete_by_id(ACCOUNTS, document, None).map_err(refused)?;
    }
    for (document, left) in &left {
        left.write(&mut writes, document)?;
    }
    client.commit(&writes, &mut client.retry()).await?;
    Ok(())
}

/// The names whose ids were reserved for this number are given to no account, and name no number any more.
async fn keep_reserved(
    client: &Client,
    left: &mut BTreeMap<String, Left>,
    person: &Person,
    of: &ContributorId,
    number: u64,
) -> Result<(), StoreError> {
    let query = queries::ACCOUNTS_RESERVED.query([codec::value(number.cast_signed())], None, None);
    for document in client.query(query, &mut client.retry()).await?.documents {
        let account = Account::read(&document)?;
        if account.id.host() == of.host() && !person.names.contains(&account.id) {
            let left = left.entry(codec::id_of(&document).to_owned()).or_default();
            left.reserved = Some(FORGOTTEN_NUMBER.cast_signed());
            left.as_read = Some(account.unchanged);
        }
    }
    Ok(())
}

/// The claim of a number is noted at each contributor to whom its account was linked while the claim was put off.
async fn erase_claim(
    client: &Client,
    writes: &mut FirestoreTransactionData,
    person: &Person,
    number: &str,
) -> Result<(), StoreError> {
    let own: Vec<_> = person.names.iter().map(joined_document).collect();
    let query = queries::ACCOUNTS_CLAIMING.query([codec::value(number)], None, None);
    for document in client.query(query, &mut client.retry()).await?.documents {
        let id = codec::id_of(&document);
        if own.iter().any(|own| own == id) {
            continue;
        }
        let claim = FirestoreFieldTransformType::RemoveAllFromArray(vec![codec::value(number)]);
        let claim = FirestoreFieldTransform::new(CLAIMS.to_owned(), claim);
        let (nothing, exists) = (BTreeMap::<String, bool>::new(), FirestoreWritePrecondition::Exists(true));
        writes
            .update_object(ACCOUNTS, id, &nothing, Some(Vec::new()), Some(exists), vec![claim])
            .map_err(refused)?;
    }
    Ok(())
}

/// What is left of a person in the document of a name that is not theirs. There is one write of it: after another one of
/// the same commit it would not be as it was read.
#[derive(Default, serde::Serialize)]
struct Left {
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<i64>,
    #[serde(skip)]
    as_read: Option<FirestoreWritePrecondition>,
}

impl Left {
    fn write(&self, writes: &mut FirestoreTransactionData, document: &str) -> Result<(), StoreError> {
        let holder = self.holder.map(|_| "holder".to_owned());
        let reserved = self.reserved.map(|_| "reserved".to_owned());
        let mask = holder.into_iter().chain(reserved).collect();
        let as_read = self.as_read.clone().unwrap_or(FirestoreWritePrecondition::Exists(true));
        writes
            .update_object(ACCOUNTS, document, self, Some(mask), Some(as_read), Vec::new())
            .map_err(refused)?;
        Ok(())
    }
}

/// Leaves of a name that another account has had since: that it did, and that its id is not to be given again.
fn leave_to_holder(writes: &mut FirestoreTransactionData, name: &ContributorId) -> Result<(), StoreError> {
    let left = AccountFields {
        id: name.as_str().to_owned(),
        number: Some(FORGOTTEN_NUMBER.cast_signed()),
        target: None,
        linked: false,
        moving: false,
        parted_from: None,
        holder: None,
        holder_at: None,
        reserved: None,
        recognized: 0,
        user_id: None,
        account_url: None,
        commit: nonce(),
    };
    // What is in the mask and not among the fields is deleted.
    let mask = [
        "number",
        "target",
        "linked",
        "moving",
        "parted_from",
        "reserved",
        "recognized",
        "user_id",
        "account_url",
        "commit",
    ];
    let mask = Some(mask.map(str::to_owned).to_vec());
    let exists = Some(FirestoreWritePrecondition::Exists(true));
    writes
        .update_object(ACCOUNTS, document_id(name.as_str()), &left, mask, exists, Vec::new())
        .map_err(refused)?;
    Ok(())
}
