//! Erasing a person, and having no commit bring them back.
//!
//! `forgotten/{hash}` remembers a forgotten name or number. Each commit that writes something of a contributor has a
//! guard: it deletes the document of the contributor's hash on the condition that there is none. So it needs no read,
//! and fails once they are forgotten, whichever instance forgot them and however short ago. The documents are made
//! before anything is erased: what was committed before them is found and erased, and nothing is committed after them.

use std::collections::{BTreeMap, BTreeSet};

use firestore::{FirestoreDocument, FirestoreQueryParams, FirestoreTransactionData, FirestoreTransactionOps};

use super::accounts::{self, Arrival, Person};
use super::codec::{self, document_id, timestamp};
use super::lists;
use super::queries::{self, BOOKMARKS, CONTRIBUTIONS, CONTRIBUTORS, FORGOTTEN, RECOGNITIONS, REVIEWS};
use super::record::refused;
use super::rpc::{Client, Retry};
use crate::domain::{ContributionId, ContributorId, Moment, Naming};
use crate::store::forgetting::{Erased, ForgetKey, Forgot, Pseudonym};
use crate::store::{StoreError, forgetting};

/// How many documents one commit erases.
const TOGETHER: usize = 200;

fn document_of(pseudonym: Pseudonym) -> String {
    hex::encode(pseudonym.0)
}

/// Has the commit fail where one of these is forgotten.
pub(super) fn guard(
    writes: &mut FirestoreTransactionData,
    pseudonyms: impl Iterator<Item = Pseudonym>,
) -> Result<(), StoreError> {
    for pseudonym in pseudonyms.collect::<BTreeSet<_>>() {
        accounts::no_document(writes, FORGOTTEN, document_of(pseudonym))?;
    }
    Ok(())
}

/// Of everything that these name: whom each was given as, its account, and the contributor for whom it counts. Of a
/// login that several accounts have had, only one account may be forgotten, and what it contributed.
pub(super) fn pseudonyms<'a, 'c: 'a>(
    client: &'a Client,
    arrivals: impl Iterator<Item = &'a Arrival<'c>>,
) -> impl Iterator<Item = Pseudonym> {
    let key = client.forget_key();
    let with_key = arrivals.filter_map(move |one| Some((one, key?)));
    with_key.flat_map(|(one, key)| {
        let given = &one.given.contributor;
        let others = [&one.account, &one.contribution.contributor].into_iter();
        let others = others.filter(move |other| *other != given).map(|other| key.of_name(other));
        let itself = one.shared.then(|| key.of_contribution(&one.given.id));
        key.of(one.given).chain(others).chain(itself)
    })
}

/// Which of these are of somebody who is forgotten, in their order.
pub(super) async fn are_forgotten<'a, 'c: 'a>(
    client: &'a Client,
    arrivals: impl Iterator<Item = &'a Arrival<'c>> + Clone,
    retry: &mut Retry,
) -> Result<Vec<bool>, StoreError> {
    let known = known(client, &pseudonyms(client, arrivals.clone()).collect(), retry).await?;
    let is_known = |one| {
        pseudonyms(client, std::iter::once(one)).any(|pseudonym| known.contains(&document_of(pseudonym)))
    };
    Ok(arrivals.map(is_known).collect())
}

/// Marks those of these that are of somebody who is forgotten.
pub(super) async fn mark(
    client: &Client,
    arrivals: &mut [Arrival<'_>],
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let forgotten = are_forgotten(client, arrivals.iter(), retry).await?;
    for (one, forgotten) in arrivals.iter_mut().zip(forgotten) {
        one.forgotten |= forgotten;
    }
    Ok(())
}

/// Which of these accounts are forgotten, by their names or numbers.
pub(super) async fn are_named_forgotten(
    client: &Client,
    named: &[Naming],
    retry: &mut Retry,
) -> Result<Vec<bool>, StoreError> {
    let Some(key) = client.forget_key() else { return Ok(vec![false; named.len()]) };
    let of = |one: &Naming| key.of_account(&one.name, one.number);
    let pseudonyms: BTreeSet<_> = named.iter().flat_map(of).collect();
    let known = known(client, &pseudonyms, retry).await?;
    let is_known = |one: &Naming| of(one).any(|pseudonym| known.contains(&document_of(pseudonym)));
    Ok(named.iter().map(is_known).collect())
}

pub(super) async fn is_forgotten(
    client: &Client,
    contributor: &ContributorId,
    retry: &mut Retry,
) -> Result<bool, StoreError> {
    let Some(key) = client.forget_key() else { return Ok(false) };
    let name = BTreeSet::from([key.of_name(contributor)]);
    Ok(!known(client, &name, retry).await?.is_empty())
}

/// The documents that there are of these.
async fn known(
    client: &Client,
    pseudonyms: &BTreeSet<Pseudonym>,
    retry: &mut Retry,
) -> Result<BTreeSet<String>, StoreError> {
    if pseudonyms.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<_> = pseudonyms.iter().copied().map(document_of).collect();
    let found = client.get(FORGOTTEN, &ids, None, retry).await?;
    Ok(found.iter().map(|document| codec::id_of(document).to_owned()).collect())
}

/// The document that says with which key the others are made.
const KEY: &str = "key";

/// Fails where the ledger has forgotten somebody with another key than this, or with one where there is none.
pub(super) async fn check(client: &Client) -> Result<(), StoreError> {
    let Some(document) = client.get_one(FORGOTTEN, KEY.to_owned(), &mut client.retry()).await? else {
        return Ok(());
    };
    let of = client.forget_key().map(|key| document_of(key.of_itself()));
    if of.is_some() && codec::text(&document, "of") == of.as_deref() {
        return Ok(());
    }
    Err(StoreError::Broken(
        "the ledger has forgotten people with another key; set PLAUDIT_FORGET_KEY to that one".into(),
    ))
}

pub(super) async fn forget(client: &Client, who: &ContributorId) -> Result<Forgot, StoreError> {
    let Some(key) = client.forget_key() else { return Ok(Forgot::NoKey) };
    let mut retry = client.retry();
    // Other instances may have another key.
    check(client).await?;
    let person = accounts::person(client, who, &mut retry).await?;
    let ids: Vec<_> = person.names.iter().map(|name| document_id(name.as_str())).collect();
    let is_known = person.is_written
        || !client.get(CONTRIBUTORS, &ids, None, &mut retry).await?.is_empty()
        || is_marked(client, who, &mut retry).await?
        || is_forgotten(client, who, &mut retry).await?;
    if !is_known {
        return Ok(Forgot::Unknown);
    }
    // Once somebody is remembered, nothing of them moves.
    let is_remembered = !known(client, &of_person(key, &person).collect(), &mut retry).await?.is_empty();
    let person = if !is_remembered && accounts::settle(client, &person).await? {
        accounts::person(client, who, &mut client.retry()).await?
    } else {
        person
    };
    let person = remember_person(client, key, person).await?;
    // Of a name that is not remembered: without its document, nothing is recorded for it.
    let taken = person.names.iter().filter(|name| person.is_taken(name));
    delete(client, CONTRIBUTORS, taken.map(|name| document_id(name.as_str())), &mut client.retry()).await?;
    let erased = erase_all(client, key, &person).await?;
    // Those of a name that another account has by now are that one's.
    for who in person.names.iter().filter(|name| !person.is_taken(name)) {
        erase_bookmarks(client, who, &mut client.retry()).await?;
    }
    let ids = person.names.iter().map(|name| document_id(name.as_str()));
    delete(client, CONTRIBUTORS, ids, &mut client.retry()).await?;
    accounts::erase(client, &person).await?;
    Ok(Forgot::Erased(erased))
}

/// Erases the contributions and recognitions of a person, and the marks of their parts.
async fn erase_all(client: &Client, key: &ForgetKey, person: &Person) -> Result<Erased, StoreError> {
    let shares_logins = accounts::shares_logins(client, person).await?;
    let mut erased = Erased::default();
    loop {
        let mut last = true;
        // What moves from one account to another is found at the second one.
        for who in &person.names {
            // Each part has its own patience: there may be many.
            let mut retry = client.retry();
            let contributions = erase_contributions(client, key, who, shares_logins, &mut retry).await?;
            let is_taken = person.is_taken(who);
            let marks = if is_taken { 0 } else { erase_marks(client, who, &mut retry).await? };
            let recognitions = erase_recognitions(client, who, &mut retry).await?;
            erased.contributions += contributions;
            erased.recognitions += recognitions;
            last &= contributions + marks + recognitions == 0;
        }
        if last {
            return Ok(erased);
        }
    }
}

/// All names and numbers of a person, but for a name that another person has by now: to remember it would forget that
/// one's contributions.
fn of_person<'a>(key: &'a ForgetKey, person: &'a Person) -> impl Iterator<Item = Pseudonym> + 'a {
    let names = person.names.iter().filter(|name| !person.is_taken(name)).map(|name| key.of_name(name));
    let numbers = person.numbers.iter().filter_map(|(name, number)| key.of_number(name, *number));
    names.chain(numbers)
}

/// Remembers a person, and returns all accounts of theirs. Once they are remembered, no account joins them.
async fn remember_person(client: &Client, key: &ForgetKey, mut person: Person) -> Result<Person, StoreError> {
    loop {
        // Each call has its own patience: there may be many.
        remember(client, key, of_person(key, &person), &mut client.retry()).await?;
        let mut again = person.clone();
        for contributor in accounts::contributors_of(client, &person.names).await? {
            again.join(accounts::person(client, &contributor, &mut client.retry()).await?);
        }
        if again.names.len() == person.names.len() && again.numbers.len() == person.numbers.len() {
            return Ok(person);
        }
        person = again;
    }
}

async fn remember(
    client: &Client,
    key: &ForgetKey,
    pseudonyms: impl Iterator<Item = Pseudonym>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let mut writes = client.writes();
    let of = BTreeMap::from([("of", document_of(key.of_itself()))]);
    writes.update_object(FORGOTTEN, KEY, &of, None, None, Vec::new()).map_err(refused)?;
    for pseudonym in pseudonyms {
        let nothing = BTreeMap::<String, bool>::new();
        writes
            .update_object(FORGOTTEN, document_of(pseudonym), &nothing, None, None, Vec::new())
            .map_err(refused)?;
    }
    client.commit(&writes, retry).await?;
    Ok(())
}

async fn erase_contributions(
    client: &Client,
    key: &ForgetKey,
    who: &ContributorId,
    shares_logins: bool,
    retry: &mut Retry,
) -> Result<u64, StoreError> {
    let either = || codec::value([false, true]);
    let (first, last) = (Moment::UNIX_EPOCH, Moment::from_timestamp_nanos(i64::MAX));
    let values = [
        codec::value(who.as_str()),
        either(),
        either(),
        codec::value(timestamp(first)?),
        codec::value(timestamp(last)?),
    ];
    let query = queries::CONTRIBUTIONS_OF.query(values, None, Some(TOGETHER));
    let found = client.query(query, retry).await?.documents;
    let numbers = found.iter().filter_map(|document| stated_number(key, who, document));
    let mut pseudonyms: Vec<_> = numbers.collect();
    if shares_logins {
        // Those with a number too: another delivery may name the same one by the login alone.
        let own = found.iter().filter_map(|document| codec::text(document, "id"));
        pseudonyms.extend(own.map(|id| key.of_contribution(&ContributionId::from_text(id))));
    }
    if !pseudonyms.is_empty() {
        remember(client, key, pseudonyms.into_iter(), retry).await?;
    }
    // What took a push or a client's contribution back is noted by the same id.
    delete(client, REVIEWS, ids(&found), retry).await?;
    delete(client, CONTRIBUTIONS, ids(&found), retry).await
}

/// Of the number that a contribution states of its author: on the host of the account under which it arrived, which may
/// be another one than the contributor's.
fn stated_number(key: &ForgetKey, who: &ContributorId, document: &FirestoreDocument) -> Option<Pseudonym> {
    let number = codec::stated_number(document)?;
    match codec::text(document, "account") {
        Some(account) => key.of_number(&ContributorId::parse(account).ok()?, number),
        None => key.of_number(who, number),
    }
}

fn marks(who: &ContributorId, limit: usize) -> FirestoreQueryParams {
    queries::MARKS_OF.query([codec::value(who.as_str())], None, Some(limit))
}

/// Whether a review left a mark of a part that was never recorded.
async fn is_marked(client: &Client, who: &ContributorId, retry: &mut Retry) -> Result<bool, StoreError> {
    Ok(!client.query(marks(who, 1), retry).await?.documents.is_empty())
}

/// What reviews left of parts that were never recorded.
async fn erase_marks(client: &Client, who: &ContributorId, retry: &mut Retry) -> Result<u64, StoreError> {
    let found = client.query(marks(who, TOGETHER), retry).await?.documents;
    delete(client, CONTRIBUTIONS, ids(&found), retry).await
}

/// The bookmarks of the account's own repositories: the next read of them begins anew. There is one for each part of a
/// repository.
async fn erase_bookmarks(client: &Client, who: &ContributorId, retry: &mut Retry) -> Result<(), StoreError> {
    let found = client.query(queries::BOOKMARKS_ALL.query([], None, None), retry).await?.documents;
    let own = ids(&found).filter(|id| forgetting::names(id, who.login()));
    delete(client, BOOKMARKS, own, retry).await.map(drop)
}

async fn erase_recognitions(
    client: &Client,
    who: &ContributorId,
    retry: &mut Retry,
) -> Result<u64, StoreError> {
    let found = client.query(lists::recognitions_of(who, Some(TOGETHER))?, retry).await?.documents;
    delete(client, RECOGNITIONS, ids(&found), retry).await
}

fn ids(documents: &[FirestoreDocument]) -> impl Iterator<Item = String> {
    documents.iter().map(|document| codec::id_of(document).to_owned())
}

async fn delete(
    client: &Client,
    collection: &str,
    ids: impl IntoIterator<Item = String>,
    retry: &mut Retry,
) -> Result<u64, StoreError> {
    let mut writes = client.writes();
    let mut deleted = 0;
    for id in ids {
        writes.delete_by_id(collection, id, None).map_err(refused)?;
        deleted += 1;
    }
    if deleted > 0 {
        client.commit(&writes, retry).await?;
    }
    Ok(deleted)
}
