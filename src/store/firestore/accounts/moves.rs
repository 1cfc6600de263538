//! Moves: contributions follow their accounts.
//!
//! An account that is `moving` may have contributions left that count for another contributor than it does. A move
//! reads them, and commits a part of them with the tallies on both sides, as long as each is as it was read. So any
//! number of processes may move the same, and what one left the next one, or a drain, goes on with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreWritePrecondition,
};
use futures::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::claim::Claimer;
use super::decide::{Changes, Joining};
use super::recognitions::{move_recognitions, take_recognitions_back};
use super::{
    Account, Number, claim, commit, is_of_number, note_joined, read_account, read_number, strays, tidy, whose,
};
use crate::domain::{ContributionId, ContributorId, Moment, WorkId};
use crate::store::firestore::codec::{self, ContributionFields, ContributorFields, document_id};
use crate::store::firestore::forget;
use crate::store::firestore::lists;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, ACCOUNTS, CONTRIBUTIONS, CONTRIBUTORS, name_value};
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::{Client, Retry};
use crate::store::firestore::work;
use crate::store::forgetting::Pseudonym;
use crate::store::{Shown, StoreError};

/// How many contributions one commit moves.
pub(super) const TOGETHER: usize = 100;
/// How often something may change between a read and a write of one move.
pub(super) const ROUNDS: usize = 100;
pub(super) const CONFLICT: &str = "an account keeps changing while its contributions move";
/// How many accounts one sweep looks at.
const MOST: usize = 100;

/// How many decisions are carried out side by side.
const AT_ONCE: usize = 16;

/// Moves what is left of the documents of `accounts` of each decision, as far as a request can wait for it.
pub(super) async fn now(client: &Client, decided: Vec<Vec<String>>) {
    let by = Instant::now() + client.a_part_of_patience();
    let left_by = by + client.a_part_of_patience();
    let moving = stream::iter(decided).map(async |documents| {
        for document in documents {
            match timeout_at(by, finish_document(client, &document, claim::Extent::Page)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "contributions of a renamed account are moved by the next drain");
                }
                Err(_) => tracing::info!("contributions of a renamed account are moved by the next drain"),
            }
            let left = timeout_at(left_by, leave(client, &document)).await;
            if let Err(error) = left.unwrap_or_else(|_| Err(StoreError::Unavailable(CONFLICT.to_owned()))) {
                tracing::warn!(%error, "a claim that the next drain makes could not be noted");
            }
        }
    });
    moving.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Leaves what a document of `accounts` has to move to the next drain. What an account had recognised is its
/// contributor's already.
async fn leave(client: &Client, document: &str) -> Result<(), StoreError> {
    if !is_of_number(document) {
        return Ok(());
    }
    let number = read_number(client, document.to_owned(), &mut client.retry()).await?;
    claim::put_off(client, number).await
}

/// Goes on with every move that was left. The first time in a process, this also looks for what an older version has
/// recorded for accounts that count for another contributor.
pub(in super::super) async fn move_late(client: &Client) -> Result<(), StoreError> {
    let mut failed = None;
    if !client.has_recovered() {
        failed = strays::recover_all(client).await.err();
        if failed.is_none() {
            client.set_recovered();
        }
    }
    let query = queries::ACCOUNTS_MOVING.query([codec::value(true)], None, Some(MOST));
    for document in client.query(query, &mut client.retry()).await?.documents {
        let document = codec::id_of(&document);
        failed = finish_document(client, document, claim::Extent::Everything).await.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

pub(super) async fn finish_document(
    client: &Client,
    document: &str,
    extent: claim::Extent,
) -> Result<(), StoreError> {
    let Some(found) = client.get_one(ACCOUNTS, document.to_owned(), &mut client.retry()).await? else {
        return Ok(());
    };
    if is_of_number(document) {
        return claim::claim(client, Number::read(&found)?, extent).await;
    }
    finish(client, &Account::read(&found)?.id).await
}

/// Moves everything that arrived under an account to the contributor for whom it counts.
pub(in super::super) async fn finish(client: &Client, id: &ContributorId) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let mut account = read_account(client, id, &mut client.retry()).await?;
        if !account.moving {
            return Ok(());
        }
        let to = account.contributor().clone();
        let decision = Decision::of_account(&account);
        let parted_from = account.parted_from.take();
        let moved = match move_all(client, id, &to, &decision).await? {
            Moved::All => {
                move_recognitions(client, id, &to, &decision).await?
                    && take_recognitions_back(client, id, &to, parted_from.as_ref(), &decision).await?
            }
            Moved::Changed => false,
        };
        if moved {
            if let Some(contributor) = &parted_from {
                tidy::tidy(client, contributor).await?;
            }
            account.moving = false;
            let mut writes = client.writes();
            Changes::of_one(account).write(client, &mut writes)?;
            if commit(client, &writes, &mut client.retry()).await? {
                return Ok(());
            }
        }
        client.retry().pause(CONFLICT.to_owned()).await?;
    }
    Err(StoreError::Unavailable(CONFLICT.to_owned()))
}

pub(super) enum Moved {
    All,
    /// Something was not as it was read.
    Changed,
}

/// Why contributions move.
#[derive(Default)]
pub(super) struct Decision {
    /// The documents of `accounts` that say so, as they were read: each commit that moves something has them checked.
    /// The decision may be undone, and all be moved back, while a process that moves does not run.
    checks: Vec<(String, FirestoreWritePrecondition)>,
    /// The account to which the contributions belong, whatever they arrived under.
    claimed_by: Option<ContributorId>,
    /// How much moves of what others have, for a claim.
    shares: BTreeMap<ContributorId, Share>,
    /// Of the number of the account to which they belong: nothing moves to it once that is forgotten.
    number: Option<Pseudonym>,
}

/// How much a claim moves of what another contributor has.
pub(super) enum Share {
    /// So many contributions: what it had recognised above that number was reached by others too.
    Contributions(u64),
    /// Everything, and the recognitions that it had when they were noted: up to this milestone.
    AllRecognizedTo(u64),
}

impl Decision {
    fn of_account(account: &Account) -> Self {
        let checks = vec![(document_id(account.id.as_str()), account.unchanged.clone())];
        Self { checks, ..Self::default() }
    }

    /// Contributions with these numbers belong to this account.
    pub(super) fn of_numbers(
        numbers: &[&Number],
        claimer: &Claimer,
        shares: BTreeMap<ContributorId, Share>,
    ) -> Self {
        let numbers = numbers.iter().map(|one| (one.document.clone(), one.unchanged.clone()));
        let accounts = claimer.accounts().map(|one| (document_id(one.id.as_str()), one.unchanged.clone()));
        let checks = numbers.chain(accounts).collect();
        let claimed_by = Some(claimer.account.id.clone());
        Self { checks, claimed_by, shares, number: claimer.pseudonym }
    }

    pub(super) fn check(&self, writes: &mut FirestoreTransactionData) -> Result<(), StoreError> {
        for (document, unchanged) in &self.checks {
            whose::verify(writes, document, unchanged.clone())?;
        }
        forget::guard(writes, self.number.into_iter())
    }
}

/// What is to be moved, and where to.
pub(in super::super) struct Move<'a> {
    pub(in super::super) to: &'a Account,
    decision: &'a Decision,
    /// Whether the contributor has a document.
    exists: bool,
    /// The other contributors for whom something counts so far: their documents, as far as they have one.
    from: HashMap<ContributorId, Option<Source>>,
}

/// A contributor's document as it was read.
struct Source {
    recognized: u64,
    unchanged: FirestoreWritePrecondition,
}

/// A contribution to be moved.
pub(super) struct Item {
    document: String,
    pub(super) id: ContributionId,
    work: Option<WorkId>,
    pub(super) contributor: ContributorId,
    /// Under which it arrived.
    pub(super) account: ContributorId,
    /// The number that it came with.
    pub(super) number: Option<u64>,
    counted: bool,
    recorded_at: Moment,
    unchanged: FirestoreWritePrecondition,
}

async fn move_all(
    client: &Client,
    id: &ContributorId,
    to: &ContributorId,
    decision: &Decision,
) -> Result<Moved, StoreError> {
    // Those that arrived under it and count for a third one, whose account it was before.
    let mut after = None;
    loop {
        let query = queries::ARRIVED_UNDER.query([codec::value(id.as_str())], after.take(), Some(TOGETHER));
        let found = client.query(query, &mut client.retry()).await?.documents;
        let items: Vec<_> = found.iter().map(item).collect::<Result<_, _>>()?;
        let items: Vec<_> = items.into_iter().filter(|one| one.contributor != *to).collect();
        if let Moved::Changed = move_items(client, items, to, decision).await? {
            return Ok(Moved::Changed);
        }
        let Some(last) = found.last().filter(|_| found.len() == TOGETHER) else { break };
        after = Some(vec![name_value(client.documents(), CONTRIBUTIONS, codec::id_of(last))]);
    }
    if id == to {
        return Ok(Moved::All);
    }
    loop {
        let values = lists::contributions_of(id.as_str(), Shown::All, None, None)?;
        let query = queries::CONTRIBUTIONS_OF.query(values, None, Some(TOGETHER));
        let found = client.query(query, &mut client.retry()).await?.documents;
        let items: Vec<_> = found.iter().map(item).collect::<Result<_, _>>()?;
        if items.is_empty() {
            return Ok(Moved::All);
        }
        if let Moved::Changed = move_items(client, items, to, decision).await? {
            return Ok(Moved::Changed);
        }
    }
}

pub(super) fn item(document: &FirestoreDocument) -> Result<Item, StoreError> {
    let fields: ContributionFields = codec::read(document)?;
    let (account, work) = (fields.account()?, fields.work());
    let counted = fields.counted()?;
    Ok(Item {
        document: codec::id_of(document).to_owned(),
        work,
        account: account.unwrap_or_else(|| counted.contribution.contributor.clone()),
        number: counted.contribution.user_id,
        counted: !counted.retracted,
        recorded_at: counted.recorded_at,
        unchanged: unchanged(document)?,
        id: counted.contribution.id,
        contributor: counted.contribution.contributor,
    })
}

pub(super) async fn move_items(
    client: &Client,
    items: Vec<Item>,
    to: &ContributorId,
    decision: &Decision,
) -> Result<Moved, StoreError> {
    if items.is_empty() {
        return Ok(Moved::All);
    }
    let mut retry = client.retry();
    let of: BTreeSet<_> = items.iter().map(|one| one.contributor.clone()).collect();
    let to = read_account(client, to, &mut retry).await?;
    if to.target.is_some() {
        return Ok(Moved::Changed);
    }
    let mut moving = Move { to: &to, decision, exists: false, from: HashMap::new() };
    moving.read(client, &of, &mut retry).await?;
    let (parts, whole): (Vec<_>, Vec<_>) = items.into_iter().partition(|one| one.work.is_some());
    if !whole.is_empty() {
        if !moving.is_as_noted() || !moving.whole(client, &whole, &mut retry).await? {
            return Ok(Moved::Changed);
        }
        moving.has_moved(client, &of, &mut retry).await?;
    }
    let mut works: BTreeMap<WorkId, BTreeSet<ContributionId>> = BTreeMap::new();
    for part in parts {
        works.entry(part.work.unwrap_or_else(|| WorkId::alone(&part.id))).or_default().insert(part.id);
    }
    for (work, parts) in works {
        if !moving.is_as_noted() || !work::move_parts(client, &work, &parts, &moving).await? {
            return Ok(Moved::Changed);
        }
        moving.has_moved(client, &of, &mut retry).await?;
    }
    Ok(Moved::All)
}

impl Move<'_> {
    /// Reads the documents of the contributors.
    async fn read(
        &mut self,
        client: &Client,
        of: &BTreeSet<ContributorId>,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = of.iter().chain([&self.to.id]).map(|id| document_id(id.as_str())).collect();
        self.exists = false;
        self.from = of.iter().filter(|id| **id != self.to.id).map(|id| (id.clone(), None)).collect();
        for document in client.get(CONTRIBUTORS, &ids, None, retry).await? {
            let standing = codec::read::<ContributorFields>(&document)?.standing()?;
            if standing.contributor == self.to.id {
                self.exists = true;
            } else {
                let source = Source { recognized: standing.recognized, unchanged: unchanged(&document)? };
                self.from.insert(standing.contributor, Some(source));
            }
        }
        Ok(())
    }

    /// After a commit: the contributor has a document, and those that others have are changed.
    async fn has_moved(
        &mut self,
        client: &Client,
        of: &BTreeSet<ContributorId>,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        self.exists = true;
        if self.from.values().any(Option::is_some) { self.read(client, of, retry).await } else { Ok(()) }
    }

    /// Whether none of them has been recognised since it was noted which recognitions follow.
    fn is_as_noted(&self) -> bool {
        let mut sources = self.from.iter().filter_map(|(id, source)| Some((id, source.as_ref()?)));
        sources.all(|(id, source)| match self.decision.shares.get(id) {
            Some(Share::AllRecognizedTo(noted)) => source.recognized <= *noted,
            Some(Share::Contributions(_)) | None => true,
        })
    }

    /// Whether it is known what this contributor had recognised.
    pub(in super::super) fn knows(&self, contributor: &ContributorId) -> bool {
        *contributor == self.to.id || self.from.contains_key(contributor)
    }

    /// Whether the contributions get another account, and perhaps keep their contributor.
    pub(in super::super) fn is_claim(&self) -> bool {
        self.decision.claimed_by.is_some()
    }

    /// Under which account a contribution is afterwards, if not under its contributor.
    pub(in super::super) fn account(&self, arrived_under: &ContributorId) -> Option<ContributorId> {
        let account = self.decision.claimed_by.as_ref().unwrap_or(arrived_under);
        (*account != self.to.id).then(|| account.clone())
    }

    /// Adds the tallies on both sides to a commit. A contributor without a document has no tally. The highest milestone
    /// follows in the same commit, which fails if another one has been recognised since it was read.
    pub(in super::super) fn tallies(
        &self,
        client: &Client,
        writes: &mut FirestoreTransactionData,
        counted: &BTreeMap<ContributorId, i64>,
        recorded_at: impl Iterator<Item = Moment> + Clone,
    ) -> Result<(), StoreError> {
        self.decision.check(writes)?;
        let reached = |(id, source): &(&ContributorId, &Source)| match self.decision.shares.get(*id) {
            Some(Share::Contributions(moved)) => source.recognized.min(*moved),
            Some(Share::AllRecognizedTo(_)) | None => source.recognized,
        };
        let sources = self.from.iter().filter_map(|(id, source)| Some((id, source.as_ref()?)));
        let sources: Vec<_> = sources.filter(|(id, _)| counted.contains_key(*id)).collect();
        let recognized = sources.iter().map(reached).max();
        let (first_at, last_at) = (recorded_at.clone().min(), recorded_at.max());
        let join = Joining {
            counted: counted.get(&self.to.id).copied().unwrap_or_default(),
            recognized: recognized.unwrap_or_default(),
            first_at: first_at.unwrap_or(Moment::MAX_UTC),
            last_at: last_at.unwrap_or(Moment::UNIX_EPOCH),
        };
        join.write(writes, self.to, self.exists)?;
        if !self.exists && self.decision.checks.iter().all(|(id, _)| *id != document_id(self.to.id.as_str()))
        {
            whose::verify(writes, &document_id(self.to.id.as_str()), self.to.unchanged.clone())?;
        }
        for (from, source) in &sources {
            // A recognition that is under way for either must read what it has by then.
            note_joined(writes, from)?;
            let change = counted.get(*from).copied().unwrap_or_default();
            let change = FirestoreFieldTransformType::Increment(codec::difference(change));
            let change = FirestoreFieldTransform::new("tally".to_owned(), change);
            let as_read = Some(source.unchanged.clone());
            let (id, nothing) = (document_id(from.as_str()), BTreeMap::<String, bool>::new());
            writes
                .update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), as_read, vec![change])
                .map_err(refused)?;
        }
        if !sources.is_empty() {
            note_joined(writes, &self.to.id)?;
        }
        let Some(key) = client.forget_key() else { return Ok(()) };
        let names = counted.keys().chain([&self.to.id]).map(|name| key.of_name(name));
        forget::guard(writes, names)
    }

    /// Moves contributions that are works of their own; false where one was not as it was read.
    async fn whole(&self, client: &Client, items: &[Item], retry: &mut Retry) -> Result<bool, StoreError> {
        let mut writes = client.writes();
        let mut counted: BTreeMap<ContributorId, i64> = BTreeMap::new();
        for item in items {
            let account = self.account(&item.account);
            let fields = [
                ("contributor", Some(self.to.id.as_str())),
                ("account", account.as_ref().map(ContributorId::as_str)),
            ];
            let mask = fields.map(|(field, _)| field.to_owned()).to_vec();
            let fields: BTreeMap<_, _> =
                fields.into_iter().filter_map(|(field, id)| Some((field, id?))).collect();
            let as_read = Some(item.unchanged.clone());
            writes
                .update_object(CONTRIBUTIONS, &item.document, &fields, Some(mask), as_read, Vec::new())
                .map_err(refused)?;
            *counted.entry(item.contributor.clone()).or_default() -= i64::from(item.counted);
            *counted.entry(self.to.id.clone()).or_default() += i64::from(item.counted);
        }
        self.tallies(client, &mut writes, &counted, items.iter().map(|one| one.recorded_at))?;
        commit(client, &writes, retry).await
    }
}
