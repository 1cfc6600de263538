//! Accounts: the names under which contributions arrive, and for whom they count.
//!
//! `accounts/{id}` says of a name to which number on its host it is bound, and for which contributor it counts if not
//! for itself; `accounts/#{host}:{number}` under which name the account with a number is known at present. A name
//! without anything to say has no document.
//!
//! A commit without a read must not count anything for an account that counts for another contributor. So such an
//! account has no document in `contributors`: every commit that writes a contributor's document does so on the
//! condition that it exists, or, to create it, that the account's document is as it was read, or absent. A linked or
//! renamed account fails both, in whichever process, and the commit is repeated for its contributor.

mod claim;
mod decide;
mod known;
mod moves;
mod person;
mod recognitions;
mod strays;
mod tidy;
mod unlink;
mod whose;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreWritePrecondition,
};
use serde::{Deserialize, Serialize};

use super::codec::{self, document_id};
use super::outbox::unchanged;
use super::queries::{self, ACCOUNTS, CONTRIBUTORS};
use super::record::refused;
use super::rpc::{Client, Fault, Retry};
use crate::domain::{ContributorId, Moment, Naming, Numbered, RecognitionId};
use crate::store::{self, StoreError};

pub(super) use decide::link;
pub(super) use known::Known;
pub(super) use moves::{Move, finish, move_late};
pub(super) use person::{Person, contributors_of, erase, person, settle, shares_logins};
pub(super) use unlink::unlink;
pub(super) use whose::{Arrival, accounts_of_addresses, arrivals, check, look_up};

/// The holder of a login, where that account is forgotten.
const FORGOTTEN_HOLDER: &str = "";

/// How many names of others and recognitions a number's document notes: anybody can write addresses, and a document has
/// a limit.
const MOST_NOTED: usize = 1_000;

/// The account that had a login last.
#[derive(Clone)]
enum Holder {
    Account(ContributorId),
    Forgotten,
}

impl Holder {
    fn read(holder: &str) -> Result<Self, StoreError> {
        if holder == FORGOTTEN_HOLDER { Ok(Self::Forgotten) } else { parse(holder).map(Self::Account) }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Account(account) => account.as_str(),
            Self::Forgotten => FORGOTTEN_HOLDER,
        }
    }
}

/// A document of `accounts`, of a name.
#[derive(Clone, Serialize, Deserialize)]
struct AccountFields {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    /// For which contributor it counts; absent where it counts for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Whether `target` was said by hand.
    #[serde(default)]
    linked: bool,
    /// Whether contributions may be left that count for another contributor than they should.
    #[serde(default)]
    moving: bool,
    /// The contributor for which it counted before it was unlinked, as long as it is moving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parted_from: Option<String>,
    /// Of a login that several accounts have had: the account that had it last, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder_at: Option<i64>,
    /// The number to which alone its id may be bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved: Option<i64>,
    /// What the contributor's document had, while there is none.
    #[serde(default)]
    recognized: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_url: Option<String>,
    /// Different with every write, or Firestore would keep the update time.
    commit: String,
}

/// A document of `accounts`, of a number on a host.
#[derive(Serialize, Deserialize)]
struct NumberFields {
    id: String,
    /// Microseconds since 1970, because Firestore's `maximum` knows numbers only.
    named_at: i64,
    /// Whether contributions may be left that name this number and count for another account.
    moving: bool,
    /// The names under which other numbers may have contributed before this one was bound to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parted: Vec<String>,
    /// The contributors from whom contributions moved since it is moving, and the recognitions of those of them that
    /// had nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recognitions: Vec<String>,
    commit: String,
}

/// An account as it was read.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) id: ContributorId,
    number: Option<u64>,
    target: Option<ContributorId>,
    linked: bool,
    moving: bool,
    parted_from: Option<ContributorId>,
    holder: Option<Holder>,
    holder_at: Option<Moment>,
    /// The number to whose account its recognitions went, while no number is bound to it. Their ids are made from its
    /// id, so no third account may have that.
    reserved: Option<u64>,
    /// The highest milestone recognised, while it has no document in `contributors`.
    recognized: u64,
    user_id: Option<u64>,
    page: Option<String>,
    unchanged: FirestoreWritePrecondition,
}

/// A number on a host as it was read.
#[derive(Clone)]
struct Number {
    document: String,
    bound: Option<Numbered>,
    moving: bool,
    /// The names of which what other numbers brought is to be moved.
    parted: Vec<ContributorId>,
    /// From whom contributions have moved, or are about to: each is to be tidied afterwards.
    left: BTreeSet<ContributorId>,
    /// What those of them had recognised that had nothing else: it is to follow. What they are recognised for
    /// afterwards is of others.
    recognitions: BTreeSet<RecognitionId>,
    unchanged: FirestoreWritePrecondition,
}

fn parse(id: &str) -> Result<ContributorId, StoreError> {
    ContributorId::parse(id)
        .map_err(|_| StoreError::Broken(format!("the document of the account {id} is not plaudit's")))
}

fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Account {
    fn absent(id: &ContributorId) -> Self {
        Self {
            id: id.clone(),
            number: None,
            target: None,
            linked: false,
            moving: false,
            parted_from: None,
            holder: None,
            holder_at: None,
            reserved: None,
            recognized: 0,
            user_id: None,
            page: None,
            unchanged: FirestoreWritePrecondition::Exists(false),
        }
    }

    fn read(document: &FirestoreDocument) -> Result<Self, StoreError> {
        let fields: AccountFields = codec::read(document)?;
        Ok(Self {
            id: parse(&fields.id)?,
            number: fields.number.map(i64::cast_unsigned),
            target: fields.target.as_deref().map(parse).transpose()?,
            linked: fields.linked,
            moving: fields.moving,
            parted_from: fields.parted_from.as_deref().map(parse).transpose()?,
            holder: fields.holder.as_deref().map(Holder::read).transpose()?,
            holder_at: fields.holder_at.map(codec::moment_of).transpose()?,
            reserved: fields.reserved.map(i64::cast_unsigned),
            recognized: fields.recognized,
            user_id: fields.user_id.map(i64::cast_unsigned),
            page: fields.account_url,
            unchanged: unchanged(document)?,
        })
    }

    /// The number to which its id is bound, or alone may be.
    fn owner(&self) -> Option<u64> {
        self.number.or(self.reserved)
    }

    /// For whom it counts.
    fn contributor(&self) -> &ContributorId {
        self.target.as_ref().unwrap_or(&self.id)
    }

    /// Notes that `account` has this login since `at`.
    fn is_held_by(&mut self, account: &ContributorId, at: Moment) {
        if self.holder_at.is_none_or(|since| since <= at) {
            self.holder = Some(Holder::Account(account.clone()));
            self.holder_at = Some(at);
        }
    }

    /// Writes the whole document, if it is as it was read.
    fn write(&self, writes: &mut FirestoreTransactionData) -> Result<(), StoreError> {
        let fields = AccountFields {
            id: self.id.as_str().to_owned(),
            number: self.number.map(u64::cast_signed),
            target: self.target.as_ref().map(|target| target.as_str().to_owned()),
            linked: self.linked,
            moving: self.moving,
            parted_from: self.parted_from.as_ref().map(|contributor| contributor.as_str().to_owned()),
            holder: self.holder.as_ref().map(|holder| holder.as_str().to_owned()),
            holder_at: self.holder_at.map(|at| at.timestamp_micros()),
            reserved: self.reserved.map(u64::cast_signed),
            recognized: self.recognized,
            user_id: self.user_id.map(u64::cast_signed),
            account_url: self.page.clone(),
            commit: nonce(),
        };
        let id = document_id(self.id.as_str());
        writes
            .update_object(ACCOUNTS, id, &fields, None, Some(self.unchanged.clone()), Vec::new())
            .map_err(refused)?;
        Ok(())
    }
}

impl Number {
    fn absent(document: String) -> Self {
        let unchanged = FirestoreWritePrecondition::Exists(false);
        Self {
            document,
            bound: None,
            moving: false,
            parted: Vec::new(),
            left: BTreeSet::new(),
            recognitions: BTreeSet::new(),
            unchanged,
        }
    }

    fn read(document: &FirestoreDocument) -> Result<Self, StoreError> {
        let fields: NumberFields = codec::read(document)?;
        let all = |names: &[String]| names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            document: codec::id_of(document).to_owned(),
            bound: Some(Numbered { id: parse(&fields.id)?, named_at: codec::moment_of(fields.named_at)? }),
            moving: fields.moving,
            parted: all(&fields.parted)?,
            left: all(&fields.left)?.into_iter().collect(),
            recognitions: fields.recognitions.into_iter().map(RecognitionId::from_text).collect(),
            unchanged: unchanged(document)?,
        })
    }

    /// As it is once nothing is left to be moved.
    fn is_moved(&self) -> Self {
        let bound = self.bound.clone();
        Self { bound, unchanged: self.unchanged.clone(), ..Self::absent(self.document.clone()) }
    }

    fn write(&self, writes: &mut FirestoreTransactionData) -> Result<(), StoreError> {
        let Some(Numbered { id, named_at }) = &self.bound else { return Ok(()) };
        let text = |name: &ContributorId| name.as_str().to_owned();
        let recognitions = self.recognitions.iter().take(MOST_NOTED);
        let fields = NumberFields {
            id: id.as_str().to_owned(),
            named_at: named_at.timestamp_micros(),
            moving: self.moving,
            parted: self.parted.iter().map(text).collect(),
            left: self.left.iter().take(MOST_NOTED).map(text).collect(),
            recognitions: recognitions.map(|id| id.as_str().to_owned()).collect(),
            commit: nonce(),
        };
        writes
            .update_object(ACCOUNTS, &self.document, &fields, None, Some(self.unchanged.clone()), Vec::new())
            .map_err(refused)?;
        Ok(())
    }
}

/// The id of the document of a number; no name begins with this sign and has a colon.
fn number_document(name: &ContributorId, number: u64) -> Option<String> {
    name.host().map(|host| document_id(&format!("#{host}:{number}")))
}

fn is_of_number(document: &str) -> bool {
    document.starts_with('#') && document.contains(':')
}

/// The document that says that another account counts for this contributor, or did.
fn joined_document(contributor: &ContributorId) -> String {
    document_id(&format!("#joined:{contributor}"))
}

/// The field of that document with the numbers whose claims are left to the next drain.
const CLAIMS: &str = "claims";

#[derive(Deserialize)]
struct JoinedFields {
    #[serde(default)]
    claims: Vec<String>,
}

/// Notes that another account counts for this contributor: what is recognised for it must read what that one had.
fn note_joined(writes: &mut FirestoreTransactionData, contributor: &ContributorId) -> Result<(), StoreError> {
    // The document is made where there is none. There is no such field, and the others stay.
    let (mask, nothing) = (Some(vec!["nothing".to_owned()]), BTreeMap::<String, bool>::new());
    let id = joined_document(contributor);
    writes.update_object(ACCOUNTS, id, &nothing, mask, None, Vec::new()).map_err(refused)?;
    Ok(())
}

/// Notes the same, and has the claims that wait for `from` seen at `to` too.
async fn note_joined_with_claims(
    client: &Client,
    writes: &mut FirestoreTransactionData,
    [from, to]: [&ContributorId; 2],
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let document = joined_document(from);
    let Some(found) = client.get_one(ACCOUNTS, document.clone(), retry).await? else {
        has_none_joined(writes, from)?;
        return note_joined(writes, to);
    };
    // A claim that is noted meanwhile has the commit fail.
    whose::verify(writes, &document, unchanged(&found)?)?;
    let claims = codec::read::<JoinedFields>(&found)?.claims;
    if claims.is_empty() { note_joined(writes, to) } else { note_claims(writes, to, &claims) }
}

/// Notes that the claims of these numbers are left to the next drain.
fn note_claims(
    writes: &mut FirestoreTransactionData,
    contributor: &ContributorId,
    numbers: &[String],
) -> Result<(), StoreError> {
    let numbers = numbers.iter().map(|number| codec::value(number.as_str())).collect();
    let numbers = FirestoreFieldTransformType::AppendMissingElements(numbers);
    let claims = FirestoreFieldTransform::new(CLAIMS.to_owned(), numbers);
    let (id, nothing) = (joined_document(contributor), BTreeMap::<String, bool>::new());
    writes.update_object(ACCOUNTS, id, &nothing, Some(Vec::new()), None, vec![claims]).map_err(refused)?;
    Ok(())
}

/// Has the commit fail where another account counts or counted for this contributor.
pub(super) fn has_none_joined(
    writes: &mut FirestoreTransactionData,
    contributor: &ContributorId,
) -> Result<(), StoreError> {
    no_document(writes, ACCOUNTS, joined_document(contributor))
}

/// Has the commit fail where there is such a document.
pub(super) fn no_document(
    writes: &mut FirestoreTransactionData,
    collection: &str,
    id: impl AsRef<str>,
) -> Result<(), StoreError> {
    let absent = Some(FirestoreWritePrecondition::Exists(false));
    writes.delete_by_id(collection, id, absent).map_err(refused)?;
    Ok(())
}

/// Whether other accounts count for a contributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Never,
    /// They do, or did.
    Once,
    /// What a number brought is to be claimed for it yet.
    Claiming,
}

pub(super) async fn joined(
    client: &Client,
    contributor: &ContributorId,
    retry: &mut Retry,
) -> Result<Joined, StoreError> {
    let Some(document) = client.get_one(ACCOUNTS, joined_document(contributor), retry).await? else {
        return Ok(Joined::Never);
    };
    let claims = codec::read::<JoinedFields>(&document)?.claims;
    if !claims.is_empty() {
        for document in client.get(ACCOUNTS, &claims, None, retry).await? {
            if Number::read(&document)?.moving {
                return Ok(Joined::Claiming);
            }
        }
    }
    Ok(Joined::Once)
}

/// Accounts and numbers as they were read, those that are absent too.
#[derive(Default)]
struct Read {
    accounts: HashMap<ContributorId, Account>,
    numbers: HashMap<String, Number>,
    /// Whether each contributor has a document.
    contributors: HashMap<ContributorId, bool>,
}

impl Read {
    /// Reads what is not read yet of these.
    async fn read<'n>(
        &mut self,
        client: &Client,
        names: impl Iterator<Item = &'n ContributorId>,
        numbers: impl Iterator<Item = String>,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let names: HashSet<_> = names.filter(|name| !self.accounts.contains_key(name)).collect();
        let numbers: HashSet<_> = numbers.filter(|number| !self.numbers.contains_key(number)).collect();
        let ids: Vec<_> =
            names.iter().map(|name| document_id(name.as_str())).chain(numbers.iter().cloned()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for document in client.get(ACCOUNTS, &ids, None, retry).await? {
            if numbers.contains(codec::id_of(&document)) {
                let number = Number::read(&document)?;
                self.numbers.insert(number.document.clone(), number);
            } else {
                let account = Account::read(&document)?;
                self.accounts.insert(account.id.clone(), account);
            }
        }
        for name in names {
            self.accounts.entry(name.clone()).or_insert_with(|| Account::absent(name));
        }
        for number in numbers {
            self.numbers.entry(number.clone()).or_insert_with(|| Number::absent(number));
        }
        Ok(())
    }

    async fn read_presence<'n>(
        &mut self,
        client: &Client,
        contributors: impl Iterator<Item = &'n ContributorId>,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let unread: HashSet<_> = contributors.filter(|one| !self.contributors.contains_key(one)).collect();
        self.contributors.extend(presence(client, unread, retry).await?);
        Ok(())
    }

    fn account(&self, id: &ContributorId) -> Account {
        self.accounts.get(id).cloned().unwrap_or_else(|| Account::absent(id))
    }

    fn number_of(&self, naming: &Naming) -> Option<&Number> {
        naming.number.and_then(|number| self.numbers.get(&number_document(&naming.name, number)?))
    }
}

/// Whether each of these has a document in `contributors`.
async fn presence(
    client: &Client,
    contributors: HashSet<&ContributorId>,
    retry: &mut Retry,
) -> Result<HashMap<ContributorId, bool>, StoreError> {
    if contributors.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<_> = contributors.iter().map(|one| document_id(one.as_str())).collect();
    let found = client.get(CONTRIBUTORS, &ids, None, retry).await?;
    let found: HashSet<_> = found.iter().map(codec::id_of).collect();
    let exists = |one: &ContributorId| found.contains(document_id(one.as_str()).as_str());
    Ok(contributors.into_iter().map(|one| (one.clone(), exists(one))).collect())
}

async fn read_account(client: &Client, id: &ContributorId, retry: &mut Retry) -> Result<Account, StoreError> {
    let found = client.get_one(ACCOUNTS, document_id(id.as_str()), retry).await?;
    found.map_or_else(|| Ok(Account::absent(id)), |document| Account::read(&document))
}

async fn read_number(client: &Client, document: String, retry: &mut Retry) -> Result<Number, StoreError> {
    let found = client.get_one(ACCOUNTS, document.clone(), retry).await?;
    found.map_or_else(|| Ok(Number::absent(document)), |found| Number::read(&found))
}

/// The other accounts that count for this contributor, each as it was read.
async fn followers(
    client: &Client,
    contributor: &ContributorId,
    retry: &mut Retry,
) -> Result<Vec<Account>, StoreError> {
    let query = queries::ACCOUNTS_OF.query([codec::value(contributor.as_str())], None, None);
    let found = client.query(query, retry).await?.documents;
    found.iter().map(Account::read).collect()
}

/// Commits; false where something has changed since it was read, or this very commit was applied and its answer lost.
async fn commit(
    client: &Client,
    writes: &FirestoreTransactionData,
    retry: &mut Retry,
) -> Result<bool, StoreError> {
    match client.commit(writes, retry).await {
        Ok(_) => Ok(true),
        Err(Fault::Exists | Fault::Changed | Fault::Missing(_)) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// For whom what arrives under `id` counts.
pub(super) async fn contributor_of(
    client: &Client,
    id: &ContributorId,
    retry: &mut Retry,
) -> Result<ContributorId, StoreError> {
    Ok(read_account(client, id, retry).await?.contributor().clone())
}

pub(super) async fn accounts_of(
    client: &Client,
    contributor: &ContributorId,
) -> Result<Vec<store::Account>, StoreError> {
    let mut retry = client.retry();
    let contributor = contributor_of(client, contributor, &mut retry).await?;
    let followers = followers(client, &contributor, &mut retry).await?;
    let mut accounts: Vec<_> = followers
        .into_iter()
        .map(|one| store::Account { id: one.id, number: one.number, linked: one.linked })
        .collect();
    accounts.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(accounts)
}
