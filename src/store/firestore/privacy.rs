//! Repositories that became private: their contributions are made private page by page, and in the recognitions
//! that name them, which hold a copy. Each page asks for what is still public, so that any number of calls may
//! work on one repository, and the next one goes on where one was cut off.

use std::collections::{BTreeMap, HashSet};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionOps,
    FirestoreWritePrecondition,
};
use futures::stream::{self, StreamExt as _};

use super::codec::{
    self, ContributionFields, PartFields, PrivateFields, RecognitionFields, document_id, timestamp,
};
use super::outbox::unchanged;
use super::queries::{self, CONTRIBUTIONS, PRIVATE, RECOGNITIONS, Shape};
use super::record::refused;
use super::rpc::{Client, Fault, Retry};
use crate::domain::{Contribution, Moment, Recognition, RepositoryId};
use crate::store::{Concealment, PrivateRepository, StoreError, look_again};

/// How many documents are read at once.
const PAGE: usize = 2_000;
/// How many of them one commit changes.
const TOGETHER: usize = 250;
/// How many commits are under way at once.
const SIDE_BY_SIDE: usize = 8;
/// How many repositories are worked on at once.
const REPOSITORIES: usize = 4;

pub(super) async fn conceal(
    client: &Client,
    repository: &RepositoryId,
    concealment: Concealment,
) -> Result<(), StoreError> {
    let mut retry = client.retry();
    let (from, to) = repository.contributions();
    if !concealment.noted_anyway
        && public_of(client, &CONTRIBUTIONS_OF, &from, &to, 1, &mut retry).await?.is_empty()
    {
        return Ok(());
    }
    let Concealment { since, private_at, now, .. } = concealment;
    let fields = PrivateFields::new(repository, Some(now))?;
    let mask = vec![PrivateFields::REPOSITORY, PrivateFields::LOOK_AGAIN];
    let newest = [(PrivateFields::SINCE, since), (PrivateFields::PRIVATE_AT, private_at)];
    note(client, &fields, mask, &newest, &mut retry).await?;
    finish(client, repository, now, &mut retry).await
}

pub(super) async fn publicized(
    client: &Client,
    repository: &RepositoryId,
    at: Moment,
) -> Result<(), StoreError> {
    let fields = PrivateFields::new(repository, None)?;
    let newest = [(PrivateFields::PUBLIC_AT, at)];
    note(client, &fields, vec![PrivateFields::REPOSITORY], &newest, &mut client.retry()).await
}

/// Sets these fields of the repository's document, and raises its times.
async fn note(
    client: &Client,
    fields: &PrivateFields,
    mask: Vec<&str>,
    newest: &[(&str, Moment)],
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let raise = |(field, at): &(&str, Moment)| {
        let maximum = FirestoreFieldTransformType::Maximum(codec::value(at.timestamp_micros()));
        FirestoreFieldTransform::new((*field).to_owned(), maximum)
    };
    let mask = mask.into_iter().map(str::to_owned).collect();
    let raised = newest.iter().map(raise).collect();
    let id = document_id(fields.repository().as_str());
    let mut writes = client.writes();
    writes.update_object(PRIVATE, &id, fields, Some(mask), None, raised).map_err(refused)?;
    client.commit(&writes, retry).await?;
    Ok(())
}

pub(super) async fn conceal_due(client: &Client, now: Moment) -> Result<(), StoreError> {
    let query = queries::PRIVATE_DUE.query([codec::value(timestamp(now)?)], None, Some(PAGE));
    let due = client.query(query, &mut client.retry()).await?.documents;
    // Each with a patience of its own, so that one that fails or takes long keeps back none of the others.
    let finishing: Vec<_> = due.iter().map(|document| finish_due(client, document, now)).collect();
    let done: Vec<_> = stream::iter(finishing).buffer_unordered(REPOSITORIES).collect().await;
    done.into_iter().collect()
}

async fn finish_due(client: &Client, document: &FirestoreDocument, now: Moment) -> Result<(), StoreError> {
    let repository = codec::read::<PrivateFields>(document)?.repository();
    finish(client, &repository, now, &mut client.retry()).await
}

pub(super) async fn private_repositories(
    client: &Client,
    since: Option<Moment>,
    limit: usize,
) -> Result<Vec<PrivateRepository>, StoreError> {
    let since = codec::value(since.map_or(0, |since| since.timestamp_micros()));
    let query = queries::PRIVATE_SINCE.query([since], None, Some(limit));
    let found = client.query(query, &mut client.retry()).await?.documents;
    found.iter().map(|document| codec::read::<PrivateFields>(document)?.noted()).collect()
}

pub(super) async fn private_repository(
    client: &Client,
    repository: &RepositoryId,
) -> Result<Option<PrivateRepository>, StoreError> {
    let id = document_id(repository.as_str());
    let found = client.get_one(PRIVATE, id, &mut client.retry()).await?;
    found.map(|document| codec::read::<PrivateFields>(&document)?.noted()).transpose()
}

/// Makes private what is to be, and notes that it is; not if the repository was noted again meanwhile.
async fn finish(
    client: &Client,
    repository: &RepositoryId,
    now: Moment,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let id = document_id(repository.as_str());
    let Some(found) = client.get_one(PRIVATE, id.clone(), retry).await? else { return Ok(()) };
    let noted = codec::read::<PrivateFields>(&found)?.noted()?;
    let Some(since) = noted.since else { return Ok(()) };
    let (from, to) = repository.contributions();
    for place in [&CONTRIBUTIONS_OF, &NAMED_BY_RECOGNITIONS] {
        conceal_pages(client, place, &from, &to, noted.until(), retry).await?;
    }

    let again = look_again(since, now).map(timestamp).transpose()?;
    // In the mask and not among the fields, it is deleted.
    let fields: BTreeMap<_, _> = again.map(|at| (PrivateFields::LOOK_AGAIN, at)).into_iter().collect();
    let mask = Some(vec![PrivateFields::LOOK_AGAIN.to_owned()]);
    let mut writes = client.writes();
    let as_read = Some(unchanged(&found)?);
    writes.update_object(PRIVATE, id, &fields, mask, as_read, Vec::new()).map_err(refused)?;
    match client.commit(&writes, retry).await {
        Ok(_) | Err(Fault::Changed) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// Makes these contributions private in the recognitions that name them.
pub(super) async fn conceal_in_recognitions(
    client: &Client,
    contributions: impl Iterator<Item = &str>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    for id in contributions {
        // An id that begins with another goes on with a character after this one.
        conceal_pages(client, &NAMED_BY_RECOGNITIONS, id, &format!("{id}!"), None, retry).await?;
    }
    Ok(())
}

/// Makes those of the contributions that recognitions just made name private that have become so: what makes
/// contributions private finds only recognitions that are there.
pub(super) async fn conceal_in_new(client: &Client, made: &mut [Recognition]) -> Result<(), StoreError> {
    // What a client posted stays as it is.
    let may_be = |one: &Recognition| {
        let public = one.contribution.as_ref().filter(|named| !named.private)?;
        public.repository_id().map(|_| document_id(public.id.as_str()))
    };
    let ids: Vec<_> = made.iter().filter_map(may_be).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut retry = client.retry();
    let mut private = HashSet::new();
    for document in client.get(CONTRIBUTIONS, &ids, None, &mut retry).await? {
        if codec::read::<PartFields>(&document)?.is_private() {
            private.insert(codec::id_of(&document).to_owned());
        }
    }
    let mut recognitions = Vec::new();
    for one in made.iter_mut().filter(|one| may_be(one).is_some_and(|id| private.contains(&id))) {
        recognitions.push(document_id(one.id.as_str()));
        one.contribution.iter_mut().for_each(|named| named.private = true);
    }
    for together in recognitions.chunks(TOGETHER) {
        let ids = together.iter().map(String::as_str);
        conceal_together(client, &NAMED_BY_RECOGNITIONS, ids, retry.clone()).await?;
    }
    Ok(())
}

/// Where contributions are, and how those that are public are found and made private.
struct Place {
    public: &'static Shape,
    collection: &'static str,
    /// The path of the field that says whether one is private.
    field: &'static str,
    /// The map that the field is in.
    within: Option<&'static str>,
    /// The contribution in a document.
    contribution: fn(&FirestoreDocument) -> Result<Option<Contribution>, StoreError>,
}

const CONTRIBUTIONS_OF: Place = Place {
    public: &queries::PUBLIC_OF,
    collection: CONTRIBUTIONS,
    field: "private",
    within: None,
    contribution: |document| codec::read::<ContributionFields>(document)?.contribution().map(Some),
};
const NAMED_BY_RECOGNITIONS: Place = Place {
    public: &queries::NAMING_PUBLIC_OF,
    collection: RECOGNITIONS,
    field: "contribution.private",
    within: Some("contribution"),
    contribution: |document| Ok(codec::read::<RecognitionFields>(document)?.recognition()?.contribution),
};

/// Makes everything with an id from `from` up to `to` private, without `to`; with `until`, only what its payloads
/// state up to then.
async fn conceal_pages(
    client: &Client,
    place: &Place,
    from: &str,
    to: &str,
    until: Option<Moment>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let mut from = from.to_owned();
    loop {
        let found = public_of(client, place, &from, to, PAGE, retry).await?;
        let mut older = Vec::with_capacity(found.len());
        for document in &found {
            let named = (place.contribution)(document).ok().flatten();
            // What cannot be read is made private too.
            if named.as_ref().zip(until).is_none_or(|(named, until)| named.stated_at() <= until) {
                older.push(codec::id_of(document));
            }
            if let Some(named) = named {
                named.id.as_str().clone_into(&mut from);
            }
        }
        // Collected first: the compiler does not find a stream that maps them to be `Send`.
        let commits: Vec<_> = older
            .chunks(TOGETHER)
            .map(|ids| conceal_together(client, place, ids.iter().copied(), retry.clone()))
            .collect();
        let done: Vec<_> = stream::iter(commits).buffer_unordered(SIDE_BY_SIDE).collect().await;
        done.into_iter().collect::<Result<(), _>>()?;
        if found.len() < PAGE {
            return Ok(());
        }
    }
}

async fn public_of(
    client: &Client,
    place: &Place,
    from: &str,
    to: &str,
    limit: usize,
    retry: &mut Retry,
) -> Result<Vec<FirestoreDocument>, StoreError> {
    let values = [codec::value(false), codec::value(from), codec::value(to)];
    Ok(client.query(place.public.query(values, None, Some(limit)), retry).await?.documents)
}

async fn conceal_together(
    client: &Client,
    place: &Place,
    ids: impl Iterator<Item = &str>,
    mut retry: Retry,
) -> Result<(), StoreError> {
    let mut writes = client.writes();
    for id in ids {
        let exists = Some(FirestoreWritePrecondition::Exists(true));
        let (mask, private) = (Some(vec![place.field.to_owned()]), BTreeMap::from([("private", true)]));
        match place.within {
            None => writes.update_object(place.collection, id, &private, mask, exists, Vec::new()),
            Some(map) => {
                let nested = BTreeMap::from([(map, private)]);
                writes.update_object(place.collection, id, &nested, mask, exists, Vec::new())
            }
        }
        .map_err(refused)?;
    }
    client.commit(&writes, &mut retry).await?;
    Ok(())
}
