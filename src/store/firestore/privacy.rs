//! Repositories that became private: their contributions are made private page by page, and in the recognitions
//! that name them, which hold a copy. Each page asks for what is still public, so that any number of calls may
//! work on one repository, and the next one goes on where one was cut off.

use std::collections::{BTreeMap, HashSet};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionOps,
    FirestoreWritePrecondition,
};
use futures::stream::{self, StreamExt as _};

use super::codec::{self, PartFields, PrivateFields, document_id, timestamp};
use super::outbox::unchanged;
use super::queries::{self, CONTRIBUTIONS, PRIVATE, RECOGNITIONS, Shape};
use super::record::refused;
use super::rpc::{Client, Fault, Retry};
use crate::domain::{Moment, Recognition, RepositoryId};
use crate::store::{PrivateRepository, StoreError, look_again};

/// How many documents are read at once.
const PAGE: usize = 2_000;
/// How many of them one commit changes.
const TOGETHER: usize = 250;
/// How many commits are under way at once.
const SIDE_BY_SIDE: usize = 8;

pub(super) async fn conceal(
    client: &Client,
    repository: &RepositoryId,
    at: Moment,
    anew: bool,
) -> Result<(), StoreError> {
    let mut retry = client.retry();
    let (from, to) = repository.contributions();
    if !anew && public_of(client, &CONTRIBUTIONS_OF, &from, &to, 1, &mut retry).await?.is_empty() {
        return Ok(());
    }
    let fields = PrivateFields::new(repository, at)?;
    let mask = [PrivateFields::REPOSITORY, PrivateFields::LOOK_AGAIN].map(str::to_owned).to_vec();
    let newest = FirestoreFieldTransformType::Maximum(codec::value(at.timestamp_micros()));
    let since = FirestoreFieldTransform::new(PrivateFields::SINCE.to_owned(), newest);
    let mut writes = client.writes();
    let id = document_id(repository.as_str());
    writes.update_object(PRIVATE, &id, &fields, Some(mask), None, vec![since]).map_err(refused)?;
    client.commit(&writes, &mut retry).await?;
    finish(client, repository, at, &mut retry).await
}

pub(super) async fn conceal_due(client: &Client, now: Moment) -> Result<(), StoreError> {
    let mut retry = client.retry();
    let query = queries::PRIVATE_DUE.query([codec::value(timestamp(now)?)], None, Some(PAGE));
    for document in client.query(query, &mut retry).await?.documents {
        let repository = codec::read::<PrivateFields>(&document)?.repository();
        finish(client, &repository, now, &mut retry).await?;
    }
    Ok(())
}

pub(super) async fn private_repositories(
    client: &Client,
    since: Option<Moment>,
) -> Result<Vec<PrivateRepository>, StoreError> {
    let since = codec::value(since.map_or(0, |since| since.timestamp_micros()));
    let query = queries::PRIVATE_SINCE.query([since], None, None);
    let found = client.query(query, &mut client.retry()).await?.documents;
    let read = |document| {
        let fields = codec::read::<PrivateFields>(document)?;
        Ok(PrivateRepository { id: fields.repository(), since: fields.since()? })
    };
    found.iter().map(read).collect()
}

/// Makes all of a repository private, and notes that it is; not if it was noted again meanwhile.
async fn finish(
    client: &Client,
    repository: &RepositoryId,
    now: Moment,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let id = document_id(repository.as_str());
    let Some(noted) = client.get_one(PRIVATE, id.clone(), retry).await? else { return Ok(()) };
    let (from, to) = repository.contributions();
    conceal_pages(client, &CONTRIBUTIONS_OF, &from, &to, retry).await?;
    conceal_pages(client, &NAMED_BY_RECOGNITIONS, &from, &to, retry).await?;

    let since = codec::read::<PrivateFields>(&noted)?.since()?;
    let again = look_again(since, now).map(timestamp).transpose()?;
    // In the mask and not among the fields, it is deleted.
    let fields: BTreeMap<_, _> = again.map(|at| (PrivateFields::LOOK_AGAIN, at)).into_iter().collect();
    let mask = Some(vec![PrivateFields::LOOK_AGAIN.to_owned()]);
    let mut writes = client.writes();
    let as_read = Some(unchanged(&noted)?);
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
        conceal_pages(client, &NAMED_BY_RECOGNITIONS, id, &format!("{id}!"), retry).await?;
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
}

const CONTRIBUTIONS_OF: Place =
    Place { public: &queries::PUBLIC_OF, collection: CONTRIBUTIONS, field: "private", within: None };
const NAMED_BY_RECOGNITIONS: Place = Place {
    public: &queries::NAMING_PUBLIC_OF,
    collection: RECOGNITIONS,
    field: "contribution.private",
    within: Some("contribution"),
};

/// Makes everything with an id from `from` up to `to` private, without `to`.
async fn conceal_pages(
    client: &Client,
    place: &Place,
    from: &str,
    to: &str,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    loop {
        let found = public_of(client, place, from, to, PAGE, retry).await?;
        // Collected first: the compiler does not find a stream that maps them to be `Send`.
        let commits: Vec<_> = found
            .chunks(TOGETHER)
            .map(|documents| {
                conceal_together(client, place, documents.iter().map(codec::id_of), retry.clone())
            })
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
