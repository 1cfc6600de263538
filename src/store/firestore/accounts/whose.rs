//! Whose a contribution is: which account it names, and for which contributor that counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use firestore::{
    FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData, FirestoreTransactionOps,
    FirestoreWritePrecondition,
};
use futures::future::join_all;

use super::known::{Elsewhere, Knowledge, Whose};
use super::{
    Account, Holder, JoinedFields, Read, decide, joined_document, moves, no_document, number_document,
};
use crate::domain::{Contribution, ContributionId, ContributorId, Identity, Moment, Naming};
use crate::store::StoreError;
use crate::store::firestore::codec::{self, document_id};
use crate::store::firestore::forget;
use crate::store::firestore::queries::ACCOUNTS;
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::{Client, Retry};

/// How often accounts may change between the read and the write.
const ROUNDS: usize = 8;

/// A contribution of a batch, and whose it is.
#[derive(Clone)]
pub(in super::super) struct Arrival<'a> {
    /// As it was given.
    pub(in super::super) given: &'a Contribution,
    /// With the newest labels and the last landing of its repeats, and the contributor for whom it counts.
    pub(in super::super) contribution: Contribution,
    /// The account under which it arrives.
    pub(in super::super) account: ContributorId,
    /// Whether the contributor has a document.
    pub(in super::super) exists: bool,
    /// The highest milestone that it had recognised, if it has none.
    pub(in super::super) recognized: u64,
    /// Whether it is of somebody who is forgotten.
    pub(in super::super) forgotten: bool,
    /// Whether only its login says whose it is, which several accounts have had.
    pub(in super::super) shared: bool,
    naming: Naming,
    /// Documents of `accounts` on whose state this depends.
    checks: Vec<(String, FirestoreWritePrecondition)>,
    /// A newer statement of the number's name.
    stated: Option<(String, Moment)>,
    /// What lets the next one of the same naming be recorded without a read.
    learned: Option<Whose>,
}

impl Arrival<'_> {
    pub(in super::super) fn id(&self) -> &ContributionId {
        &self.contribution.id
    }

    /// The account, where that is not the contributor.
    pub(in super::super) fn apart(&self) -> Option<&ContributorId> {
        (self.account != self.contribution.contributor).then_some(&self.account)
    }

    /// Notes that it is recorded: its contributor has a document.
    pub(in super::super) fn learn(&self, client: &Client) {
        if let Some(whose) = &self.learned {
            client.known().learn(&self.naming, whose.clone());
        }
    }

    /// Notes it of one that was recorded before, unless nothing is read of its account: another one may have the login
    /// by now.
    pub(in super::super) fn learn_again(&self, client: &Client) {
        if self.exists || self.naming.name.host().is_none() {
            self.learn(client);
        }
    }

    fn is_itself(&mut self, unbound: bool, exists: bool) {
        let name = self.naming.name.clone();
        self.checks.clear();
        self.stated = None;
        self.account = name.clone();
        self.exists = exists;
        self.recognized = 0;
        self.learned = Some(if unbound { Whose::Unbound } else { Whose::Itself });
        if !exists {
            self.checks.push((document_id(name.as_str()), FirestoreWritePrecondition::Exists(false)));
        }
        let number = self.naming.number.filter(|_| unbound);
        if let Some(number) = number.and_then(|number| number_document(&name, number)) {
            // Neither is the number bound to a name, nor the name to another number.
            let documents = [number, document_id(name.as_str())];
            let absent = |document| (document, FirestoreWritePrecondition::Exists(false));
            self.checks.extend(documents.map(absent));
        }
        self.contribution.contributor = name;
    }

    fn is_elsewhere(&mut self, elsewhere: &Elsewhere) {
        self.checks.clone_from(&elsewhere.checks);
        self.stated = None;
        self.account = elsewhere.account.clone();
        self.exists = true;
        self.recognized = 0;
        self.shared = elsewhere.shared;
        self.learned = None;
        self.contribution.contributor = elsewhere.contributor.clone();
    }
}

/// Each contribution of a batch once, with whose it is as far as this process knows. What is wrong about that makes the
/// commit fail.
pub(in super::super) async fn arrivals<'a>(
    client: &Client,
    batch: &'a [Contribution],
    retry: &mut Retry,
) -> Result<Vec<Arrival<'a>>, StoreError> {
    let mut arrivals = distinct(batch);
    let mut is_all_known = true;
    for arrival in &mut arrivals {
        match client.known().of(&arrival.naming) {
            Knowledge::Known(Whose::Itself) => arrival.is_itself(false, true),
            Knowledge::Known(Whose::Unbound) => arrival.is_itself(true, true),
            Knowledge::Known(Whose::Elsewhere(elsewhere)) => arrival.is_elsewhere(&elsewhere),
            // Most that are unknown are new.
            Knowledge::Unknown if arrival.naming.number.is_none() => arrival.is_itself(false, false),
            Knowledge::Unknown | Knowledge::Stale => is_all_known = false,
        }
    }
    if !is_all_known {
        // What one commit checks must be of one reading.
        let unsure = arrivals.iter_mut().filter(|one| one.learned.is_none() || !one.checks.is_empty());
        look_up(client, unsure.collect(), retry).await?;
    }
    Ok(arrivals)
}

fn distinct(batch: &[Contribution]) -> Vec<Arrival<'_>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut distinct: Vec<Arrival<'_>> = Vec::with_capacity(batch.len());
    for one in batch {
        let known = places.get(one.id.as_str()).and_then(|place| distinct.get_mut(*place));
        if let Some(Arrival { contribution: known, .. }) = known {
            known.labels = known.labels.max(one.labels);
            known.landed_at = known.landed_at.max(one.landed_at);
        } else {
            places.insert(one.id.as_str(), distinct.len());
            let mut naming = one.naming();
            // A plain name is of no host.
            if naming.name.host().is_none() {
                naming = Naming { number: None, stated_at: None, ..naming };
            }
            distinct.push(Arrival {
                given: one,
                contribution: one.clone(),
                account: one.contributor.clone(),
                exists: false,
                recognized: 0,
                forgotten: false,
                shared: false,
                naming,
                checks: Vec::new(),
                stated: None,
                learned: None,
            });
        }
    }
    distinct
}

/// Reads whose these are, and binds and renames accounts as they say.
pub(in super::super) async fn look_up(
    client: &Client,
    mut arrivals: Vec<&mut Arrival<'_>>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    if arrivals.is_empty() {
        return Ok(());
    }
    for arrival in &arrivals {
        client.known().unlearn(&arrival.naming.name);
    }
    let mut found = identities(client, &namings(&arrivals), retry).await?;
    let mut tried = HashSet::new();
    for _ in 0..ROUNDS {
        let namings = namings(&arrivals);
        let (read, identities) = found;
        let is_new = |(naming, identity): &(&&Naming, &Identity)| is_new(naming, identity, &read);
        let decisions: Vec<_> = namings.iter().zip(&identities).filter(is_new).collect();
        if decisions.is_empty() {
            let unclaimed = unclaimed(client, &read, &tried, retry).await?;
            if !unclaimed.is_empty() {
                tried.extend(unclaimed.iter().cloned());
                let each = unclaimed.into_iter().map(|document| vec![document]).collect();
                Box::pin(moves::now(client, each)).await;
                found = self::identities(client, &namings, retry).await?;
                continue;
            }
            for (arrival, identity) in arrivals.iter_mut().zip(identities) {
                if let Identity::Known(account) = identity {
                    settle(arrival, &account, &read);
                }
            }
            return Ok(());
        }
        // Of each name, what the first one's number says of it, and of that the newest: more of them would lock each
        // other out. Other numbers of the name come in the next round.
        let mut said: BTreeMap<&ContributorId, (&Naming, &Identity)> = BTreeMap::new();
        for (naming, identity) in decisions {
            let first = said.entry(&naming.name).or_insert((*naming, identity));
            if naming.number == first.0.number && naming.stated_at > first.0.stated_at {
                *first = (*naming, identity);
            }
        }
        let decided = said
            .into_values()
            .map(|(naming, identity)| decide::apply(client, naming, identity, &read, retry.clone()));
        let done = join_all(decided).await;
        let moving = done.into_iter().collect::<Result<Vec<_>, _>>()?;
        tried.extend(moving.iter().flatten().cloned());
        // What names somebody who is forgotten binds nothing, and is not recorded either.
        // What moves meanwhile may differ from what is read: then the commit fails.
        let mut to_mark = retry.clone();
        let (forgotten, again, ()) = tokio::join!(
            forget::are_forgotten(client, arrivals.iter().map(|one| &**one), &mut to_mark),
            self::identities(client, &namings, retry),
            Box::pin(moves::now(client, moving)),
        );
        let (read, identities) = again?;
        let mut left = Vec::with_capacity(identities.len());
        for ((arrival, forgotten), identity) in arrivals.iter_mut().zip(forgotten?).zip(identities) {
            arrival.forgotten |= forgotten;
            left.extend((!arrival.forgotten).then_some(identity));
        }
        arrivals.retain(|arrival| !arrival.forgotten);
        found = (read, left);
    }
    Err(StoreError::Unavailable("the accounts of these contributions keep changing".into()))
}

/// The numbers that are moving, and whose claims neither this call has tried nor are put off: another process has bound
/// them just now. What they claim may have been recognised already, so that comes first.
async fn unclaimed(
    client: &Client,
    read: &Read,
    tried: &HashSet<String>,
    retry: &mut Retry,
) -> Result<Vec<String>, StoreError> {
    let moving = read.numbers.values().filter(|one| one.moving && !tried.contains(&one.document));
    let moving: Vec<_> = moving.collect();
    if moving.is_empty() {
        return Ok(Vec::new());
    }
    let bound = moving.iter().filter_map(|one| one.bound.as_ref());
    let joined = bound.map(|bound| joined_document(read.account(&bound.id).contributor()));
    let joined: Vec<_> = joined.collect::<HashSet<_>>().into_iter().collect();
    let mut put_off = HashSet::new();
    for document in client.get(ACCOUNTS, &joined, None, retry).await? {
        put_off.extend(codec::read::<JoinedFields>(&document)?.claims);
    }
    let left = moving.into_iter().filter(|one| !put_off.contains(&one.document));
    Ok(left.map(|one| one.document.clone()).collect())
}

fn namings<'n>(arrivals: &'n [&mut Arrival<'_>]) -> Vec<&'n Naming> {
    arrivals.iter().map(|arrival| &arrival.naming).collect()
}

/// Whether this says something of an account that is not written yet.
fn is_new(naming: &Naming, identity: &Identity, read: &Read) -> bool {
    let Identity::Known(account) = identity else { return true };
    let name = read.account(&naming.name);
    if is_former(naming, account, &name) {
        return true;
    }
    let of_this_login =
        *account == name.id || naming.number.is_some_and(|number| *account == name.id.numbered(number));
    let newer = naming.stated_at.is_some_and(|at| name.holder_at.is_some_and(|since| at > since));
    of_this_login && newer
}

/// Whether an older statement of a number says that this was its name before.
pub(super) fn is_former(naming: &Naming, account: &ContributorId, name: &Account) -> bool {
    let may_be = name.number.is_none() && name.reserved.is_none_or(|number| naming.number == Some(number));
    naming.stated_at.is_some() && may_be && *account != name.id
}

/// Which account each of these names, and what that was read from.
async fn identities(
    client: &Client,
    namings: &[&Naming],
    retry: &mut Retry,
) -> Result<(Read, Vec<Identity>), StoreError> {
    let mut read = Read::default();
    let mut contributors = Read::default();
    let numbers = namings.iter().filter_map(|one| number_document(&one.name, one.number?));
    let mut for_contributors = retry.clone();
    let names = || namings.iter().map(|one| &one.name);
    tokio::try_join!(
        read.read(client, names(), numbers, retry),
        contributors.read_presence(client, names(), &mut for_contributors),
    )?;
    read.contributors = contributors.contributors;
    let identities: Vec<_> = namings.iter().map(|naming| identify(client, naming, &read)).collect();
    let accounts = identities.iter().flat_map(|identity| match identity {
        Identity::Known(id) | Identity::Bind(id) => vec![id],
        Identity::Rename { from, to } => vec![from, to],
    });
    read.read(client, accounts, std::iter::empty(), retry).await?;
    let contributors: Vec<_> = identities
        .iter()
        .filter_map(|identity| match identity {
            Identity::Known(id) => Some(read.account(id).contributor().clone()),
            Identity::Bind(_) | Identity::Rename { .. } => None,
        })
        .collect();
    read.read_presence(client, contributors.iter(), retry).await?;
    // To create a contributor, its account must be as it was read.
    let absent = contributors.iter().filter(|one| read.contributors.get(one) == Some(&false));
    let absent: Vec<_> = absent.cloned().collect();
    read.read(client, absent.iter(), std::iter::empty(), retry).await?;
    Ok((read, identities))
}

/// The most addresses that are looked up in one read.
const MOST_ADDRESSES: usize = 100;

/// The accounts that addresses name, but for those that are forgotten.
pub(in super::super) async fn accounts_of_addresses(
    client: &Client,
    named: &[Naming],
) -> Result<Vec<Option<ContributorId>>, StoreError> {
    let mut found = Vec::with_capacity(named.len());
    for part in named.chunks(MOST_ADDRESSES) {
        let mut retry = client.retry();
        let forgotten = forget::are_named_forgotten(client, part, &mut retry).await?;
        let numbered: Vec<_> = part.iter().filter(|naming| naming.number.is_some()).collect();
        let (_, identities) = identities(client, &numbered, &mut retry).await?;
        let mut identities = identities.into_iter();
        for (naming, is_forgotten) in part.iter().zip(forgotten) {
            let account = match naming.number.and_then(|_| identities.next()) {
                Some(Identity::Known(account)) => account,
                _ => naming.name.clone(),
            };
            found.push((!is_forgotten).then_some(account));
        }
    }
    Ok(found)
}

fn identify(client: &Client, naming: &Naming, read: &Read) -> Identity {
    let name = read.account(&naming.name);
    let Some(number) = naming.number else {
        return Identity::Known(match name.holder {
            Some(Holder::Account(holder)) => holder,
            Some(Holder::Forgotten) | None => name.id,
        });
    };
    let mut numbered = read.number_of(naming).and_then(|number| number.bound.clone());
    if let Some(numbered) = &mut numbered
        && let Some(at) = client.known().stated_at(&numbered.id, number)
    {
        numbered.named_at = numbered.named_at.max(at);
    }
    naming.identify(numbered.as_ref(), name.owner())
}

/// Sets for whom an arrival counts, and what its commit depends on.
fn settle(arrival: &mut Arrival<'_>, account: &ContributorId, read: &Read) {
    let name = read.account(&arrival.naming.name);
    let number = read.number_of(&arrival.naming);
    let unbound = number.is_some_and(|number| number.bound.is_none());
    let found = read.account(account);
    let contributor = found.contributor().clone();
    let exists = read.contributors.get(&contributor).copied().unwrap_or_default();
    let mut checks = BTreeMap::new();
    let mut check = |document: String, unchanged: &FirestoreWritePrecondition| {
        checks.insert(document, unchanged.clone());
    };
    let is_held = name.holder.is_some();
    let by_name = arrival.naming.number.is_none();
    if contributor != *account {
        check(document_id(account.as_str()), &found.unchanged);
    }
    if by_name && (*account != name.id || is_held) {
        check(document_id(name.id.as_str()), &name.unchanged);
    }
    if let Some(number) = number.filter(|_| unbound) {
        check(number.document.clone(), &number.unchanged);
        check(document_id(name.id.as_str()), &name.unchanged);
    }
    let lasting: Vec<_> = checks.clone().into_iter().collect();
    let mut recognized = 0;
    if !exists {
        let found = read.account(&contributor);
        recognized = found.recognized;
        checks.insert(document_id(contributor.as_str()), found.unchanged);
    }
    let newer = number.and_then(|number| {
        let (bound, at) = (number.bound.as_ref()?, arrival.naming.stated_at?);
        (bound.id == *account && *account == name.id && at > bound.named_at)
            .then(|| (number.document.clone(), at))
    });
    arrival.shared = by_name && is_held;
    arrival.forgotten |= by_name && matches!(name.holder, Some(Holder::Forgotten));
    arrival.checks = checks.into_iter().collect();
    arrival.stated = newer;
    arrival.account = account.clone();
    arrival.exists = exists;
    arrival.recognized = recognized;
    let is_absent = matches!(name.unchanged, FirestoreWritePrecondition::Exists(false));
    let is_itself = *account == name.id && contributor == name.id && !is_held && (!unbound || is_absent);
    arrival.learned = if is_itself {
        Some(if unbound { Whose::Unbound } else { Whose::Itself })
    } else {
        let is_stated = *account == name.id && !is_held && !unbound;
        let (account, contributor) = (account.clone(), contributor.clone());
        let shared = by_name && is_held;
        let elsewhere = Elsewhere { account, contributor, checks: lasting, is_stated, shared };
        Some(Whose::Elsewhere(Arc::new(elsewhere)))
    };
    arrival.contribution.contributor = contributor;
}

/// Has the commit fail where an account is not as it was read, and notes the newest statements of names.
pub(in super::super) fn check<'a, 'b: 'a>(
    writes: &mut FirestoreTransactionData,
    arrivals: impl Iterator<Item = &'a Arrival<'b>> + Clone,
) -> Result<(), StoreError> {
    let checks = arrivals.clone().flat_map(|arrival| arrival.checks.iter().cloned());
    // An account may have changed between two reads of it: then one of the two fails.
    let mut distinct: Vec<(String, FirestoreWritePrecondition)> = Vec::new();
    for (document, unchanged) in checks {
        if !distinct.iter().any(|known| known.0 == document && same(&known.1, &unchanged)) {
            distinct.push((document, unchanged));
        }
    }
    for (document, unchanged) in distinct {
        verify(writes, &document, unchanged)?;
    }
    let mut stated: BTreeMap<&str, Moment> = BTreeMap::new();
    for (document, at) in arrivals.filter_map(|arrival| arrival.stated.as_ref()) {
        let newest = stated.entry(document).or_insert(*at);
        *newest = (*newest).max(*at);
    }
    for (document, at) in stated {
        let maximum = FirestoreFieldTransformType::Maximum(codec::value(at.timestamp_micros()));
        let named_at = FirestoreFieldTransform::new("named_at".to_owned(), maximum);
        let exists = Some(FirestoreWritePrecondition::Exists(true));
        let nothing = BTreeMap::<String, bool>::new();
        writes
            .update_object(ACCOUNTS, document, &nothing, Some(Vec::new()), exists, vec![named_at])
            .map_err(refused)?;
    }
    Ok(())
}

fn same(one: &FirestoreWritePrecondition, other: &FirestoreWritePrecondition) -> bool {
    match (one, other) {
        (FirestoreWritePrecondition::Exists(one), FirestoreWritePrecondition::Exists(other)) => one == other,
        (FirestoreWritePrecondition::UpdateTime(one), FirestoreWritePrecondition::UpdateTime(other)) => {
            one == other
        }
        _ => false,
    }
}

/// A write that changes nothing and fails where the document of `accounts` is not as it was read.
pub(super) fn verify(
    writes: &mut FirestoreTransactionData,
    document: &str,
    unchanged: FirestoreWritePrecondition,
) -> Result<(), StoreError> {
    if matches!(unchanged, FirestoreWritePrecondition::Exists(false)) {
        return no_document(writes, ACCOUNTS, document);
    }
    // The field is in the mask and not in the document: it would be deleted, and there is none.
    let mask = Some(vec!["nothing".to_owned()]);
    let nothing = BTreeMap::<String, bool>::new();
    writes.update_object(ACCOUNTS, document, &nothing, mask, Some(unchanged), Vec::new()).map_err(refused)?;
    Ok(())
}
