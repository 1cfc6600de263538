//! Recognitions: found as owed, made once, and due until every destination has taken them.

use std::collections::{BTreeMap, HashMap};

use firestore::{
    FirestoreDocument, FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreTransformServerValue, FirestoreWritePrecondition, timestamp_utils,
};
use futures::StreamExt;
use futures::stream;

use super::accounts::{self, Joined};
use super::codec::{self, ContributorFields, Outcome, RecognitionFields, document_id, next_field, timestamp};
use super::forget;
use super::privacy;
use super::queries::{self, CONTRIBUTORS, RECOGNITIONS};
use super::readable::{Query, readable, readable_one};
use super::record::refused;
use super::rpc::{Client, Fault, Retry};
use crate::domain::{
    ContributorId, Destination, GiveUp, Milestones, Moment, Recognition, RecognitionId, Standing,
};
use crate::store::{Backlog, Due, LONGEST_DELAY, Recognised, Settled, StoreError, is_due};

/// How many small commits are under way at once.
const SIDE_BY_SIDE: usize = 16;
/// How many recognitions of one contributor are made in one commit.
const TOGETHER: usize = 50;
/// How often a recognition may change between the read and the write of an optimistic lock.
const ROUNDS: usize = 8;

/// Makes recognitions: those of one contributor in ascending order, up to the first that fails, because a
/// contributor's highest milestone must never be above one that was not made. Each commit has its own patience.
///
/// Their documents hold a copy of the contribution. `privacy` makes contributions private before it looks for the
/// copies in recognitions, and this reads the contributions after it made the copies, so one of the two finds each.
pub(super) async fn recognise(
    client: &Client,
    made: &[Recognition],
    destinations: &[Destination],
) -> Result<Recognised, StoreError> {
    let making = Making { client, destinations, commit: uuid::Uuid::new_v4().simple().to_string() };
    let making = &making;
    let mut chains: HashMap<&ContributorId, Vec<(usize, &Recognition)>> = HashMap::new();
    for (place, recognition) in made.iter().enumerate() {
        chains.entry(&recognition.contributor).or_default().push((place, recognition));
    }
    let chain = async |mut chain: Vec<(usize, &Recognition)>| {
        chain.sort_by_key(|(_, recognition)| recognition.milestone);
        let (places, recognitions): (Vec<_>, Vec<_>) = chain.into_iter().unzip();
        let chain = making.chain(&recognitions).await;
        let new: Vec<_> = places.into_iter().zip(chain.news).filter(|(_, new)| *new).collect();
        (new, chain.failure)
    };
    let chains: Vec<_> =
        stream::iter(chains.into_values().map(chain)).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let mut new = Vec::with_capacity(made.len());
    let mut failure = None;
    for (made, failed) in chains {
        new.extend(made.into_iter().map(|(place, _)| place));
        failure = failure.or(failed);
    }
    new.sort_unstable();
    let mut new: Vec<_> = new.into_iter().filter_map(|place| made.get(place).cloned()).collect();
    let concealed = privacy::conceal_in_new(client, &mut new).await;
    match failure.or(concealed.err()) {
        Some(error) if new.is_empty() => Err(error),
        failure => Ok(Recognised { new, failure }),
    }
}

/// What became of the recognitions of one contributor, as far as they were tried.
#[derive(Default)]
struct Chain {
    /// Whether each is new.
    news: Vec<bool>,
    /// Why the next one was not made.
    failure: Option<StoreError>,
}

/// One call of [`recognise`].
struct Making<'a> {
    client: &'a Client,
    destinations: &'a [Destination],
    /// By which a document tells that this call made it.
    commit: String,
}

impl Making<'_> {
    async fn chain(&self, recognitions: &[&Recognition]) -> Chain {
        let mut chain = Chain::default();
        for together in recognitions.chunks(TOGETHER) {
            self.together(together, &mut chain).await;
            if chain.failure.is_some() {
                break;
            }
        }
        chain
    }

    /// Makes all of these in one commit; one by one, if that fails: some are made already, or one is impossible.
    async fn together(&self, recognitions: &[&Recognition], chain: &mut Chain) {
        let mut retry = self.client.retry();
        if recognitions.len() > 1 && self.create(recognitions, &mut retry).await.is_ok() {
            return chain.news.extend(recognitions.iter().map(|_| true));
        }
        for recognition in recognitions {
            match self.one(recognition, retry.has_tried()).await {
                Ok(new) => chain.news.push(new),
                Err(error) => return chain.failure = Some(error),
            }
        }
    }

    /// `perhaps_ours`: an earlier try of this call may have been applied and its answer lost.
    async fn one(&self, recognition: &Recognition, perhaps_ours: bool) -> Result<bool, StoreError> {
        let mut retry = self.client.retry();
        match self.create(&[recognition], &mut retry).await {
            Ok(()) => Ok(true),
            Err(Fault::Exists | Fault::Changed | Fault::Missing(_))
                if forget::is_forgotten(self.client, &recognition.contributor, &mut retry).await? =>
            {
                Ok(false)
            }
            // It is owed by the contributor for whom this account counts, if at all.
            Err(Fault::Missing(_)) if self.counts_for_another(recognition, &mut retry).await? => Ok(false),
            Err(fault @ (Fault::Exists | Fault::Changed)) => {
                match accounts::joined(self.client, &recognition.contributor, &mut retry).await? {
                    // It stays owed: what is claimed may have been recognised.
                    Joined::Claiming => Ok(false),
                    Joined::Once => self.of_several_accounts(recognition, perhaps_ours, &mut retry).await,
                    Joined::Never if matches!(fault, Fault::Exists) => {
                        let perhaps_ours = perhaps_ours || retry.has_tried();
                        self.raise_for(recognition, perhaps_ours, &mut retry).await
                    }
                    Joined::Never => Err(fault.into()),
                }
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Makes a recognition of a contributor for whom another account counts or counted: not where that one had this
    /// milestone. So this reads the contributor first.
    async fn of_several_accounts(
        &self,
        recognition: &Recognition,
        perhaps_ours: bool,
        retry: &mut Retry,
    ) -> Result<bool, StoreError> {
        loop {
            let id = document_id(recognition.contributor.as_str());
            let Some(document) = self.client.get_one(CONTRIBUTORS, id, retry).await? else {
                return Ok(false);
            };
            let standing = codec::read::<ContributorFields>(&document)?.standing()?;
            if standing.recognized >= recognition.milestone {
                let perhaps_ours = perhaps_ours || retry.has_tried();
                return self.raise_for(recognition, perhaps_ours, retry).await;
            }
            // What reached it is of another contributor again.
            if standing.tally < recognition.milestone {
                return Ok(false);
            }
            match self.create_if(&[recognition], Some(unchanged(&document)?), retry).await {
                Ok(()) => return Ok(true),
                Err(Fault::Exists) => {
                    let perhaps_ours = perhaps_ours || retry.has_tried();
                    return self.raise_for(recognition, perhaps_ours, retry).await;
                }
                Err(Fault::Changed | Fault::Missing(_)) => {
                    retry.pause("the contributor keeps changing".to_owned()).await?;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn counts_for_another(
        &self,
        recognition: &Recognition,
        retry: &mut Retry,
    ) -> Result<bool, StoreError> {
        let contributor = accounts::contributor_of(self.client, &recognition.contributor, retry).await?;
        Ok(contributor != recognition.contributor)
    }

    /// Creates these, ascending and of one contributor, and raises the contributor's highest milestone.
    async fn create(&self, recognitions: &[&Recognition], retry: &mut Retry) -> Result<(), Fault> {
        self.create_if(recognitions, None, retry).await
    }

    /// The same, if the contributor is as it was read; without that, if no other account counts or counted for it.
    async fn create_if(
        &self,
        recognitions: &[&Recognition],
        as_read: Option<FirestoreWritePrecondition>,
        retry: &mut Retry,
    ) -> Result<(), Fault> {
        let mut writes = self.client.writes();
        for recognition in recognitions {
            let id = document_id(recognition.id.as_str());
            let fields = RecognitionFields::new(recognition, self.destinations, &self.commit);
            let fields = fields.map_err(Fault::Final)?;
            let create = Some(FirestoreWritePrecondition::Exists(false));
            let request_time =
                FirestoreFieldTransformType::SetToServerValue(FirestoreTransformServerValue::RequestTime);
            let made_at = FirestoreFieldTransform::new("made_at".to_owned(), request_time);
            writes
                .update_object(RECOGNITIONS, &id, &fields, None, create, vec![made_at])
                .map_err(|error| Fault::Final(refused(error)))?;
        }
        if let Some(highest) = recognitions.last() {
            if as_read.is_none() {
                accounts::has_none_joined(&mut writes, &highest.contributor).map_err(Fault::Final)?;
            }
            raise(&mut writes, highest, as_read).map_err(Fault::Final)?;
            let key = self.client.forget_key();
            forget::guard(&mut writes, key.map(|key| key.of_name(&highest.contributor)).into_iter())
                .map_err(Fault::Final)?;
        }
        self.client.commit(&writes, retry).await.map(drop)
    }

    /// Raises the contributor's highest milestone for a recognition that exists; answers whether this call made
    /// it.
    async fn raise_for(
        &self,
        recognition: &Recognition,
        perhaps_ours: bool,
        retry: &mut Retry,
    ) -> Result<bool, StoreError> {
        let id = document_id(recognition.id.as_str());
        if perhaps_ours
            && let Some(document) = self.client.get_one(RECOGNITIONS, id, retry).await?
            && codec::read::<RecognitionFields>(&document)?.is_of(&self.commit)
        {
            return Ok(true);
        }
        let mut writes = self.client.writes();
        raise(&mut writes, recognition, None)?;
        match self.client.commit(&writes, retry).await {
            Ok(_) => Ok(false),
            Err(Fault::Missing(_)) if self.counts_for_another(recognition, retry).await? => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }
}

fn raise(
    writes: &mut FirestoreTransactionData,
    recognition: &Recognition,
    as_read: Option<FirestoreWritePrecondition>,
) -> Result<(), StoreError> {
    let maximum = FirestoreFieldTransformType::Maximum(codec::integer(recognition.milestone));
    let raised = FirestoreFieldTransform::new("recognized".to_owned(), maximum);
    let exists = Some(as_read.unwrap_or(FirestoreWritePrecondition::Exists(true)));
    let id = document_id(recognition.contributor.as_str());
    let nothing = BTreeMap::<String, bool>::new();
    writes
        .update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), exists, vec![raised])
        .map_err(refused)?;
    Ok(())
}

/// Finds who is owed: for every value of `recognized` that occurs, from the lowest on, the contributors
/// whose tally has reached the milestone after it. Exact after a change of milestones too, and reads no
/// contributor who is owed nothing, beside one for each value: so a sweep needs no place to go on from.
pub(super) async fn owing(
    client: &Client,
    milestones: &Milestones,
    limit: usize,
) -> Result<Vec<Standing>, StoreError> {
    let mut retry = client.retry();
    let mut owing: Vec<Standing> = Vec::new();
    let standing = |document: &FirestoreDocument| codec::read::<ContributorFields>(document)?.standing();
    let mut above = codec::value(-1_i64);
    while owing.len() < limit {
        let higher = Query { shape: &queries::HIGHER_RECOGNIZED, values: vec![above], after: None };
        let Some(lowest) = readable(client, higher, 1, standing, &mut retry).await?.pop() else { break };
        let Some(next) = milestones.next(lowest.recognized) else { break };
        let values = vec![codec::integer(lowest.recognized), codec::integer(next)];
        let owed = Query { shape: &queries::OWED, values, after: None };
        owing.extend(readable(client, owed, limit - owing.len(), standing, &mut retry).await?);
        above = codec::integer(lowest.recognized);
    }
    Ok(owing)
}

/// What is due, each held by a conditional write, so that of many claimers only one gets it.
pub(super) async fn claim(
    client: &Client,
    destination: Destination,
    now: Moment,
    held_until: Moment,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let mut retry = client.retry();
    let item = |document: &FirestoreDocument| {
        let fields: RecognitionFields = codec::read(document)?;
        let tries = fields.tries(destination);
        Ok((document.clone(), Due { recognition: fields.recognition()?, tries }))
    };
    let mut found = Vec::new();
    for (shape, time) in queries::due(destination).into_iter().zip([now, now + LONGEST_DELAY]) {
        let query = Query { shape, values: vec![codec::value(timestamp(time)?)], after: None };
        found.extend(readable(client, query, limit - found.len(), item, &mut retry).await?);
    }
    let retry = &retry;
    let claim = async |(document, due): (FirestoreDocument, Due)| {
        let mut retry = retry.clone();
        if held_until > now && !hold(client, &document, destination, now, held_until, &mut retry).await? {
            return Ok(None);
        }
        Ok::<_, StoreError>(Some(due))
    };
    let claims: Vec<_> = stream::iter(found.into_iter().map(claim)).buffered(SIDE_BY_SIDE).collect().await;
    let mut claimed = Vec::new();
    let mut failed = None;
    for claim in claims {
        match claim {
            Ok(due) => claimed.extend(due),
            Err(error) => failed = Some(error),
        }
    }
    // What is held must reach the caller: no other instance offers it before the hold ends.
    match failed {
        Some(error) if claimed.is_empty() => Err(error),
        _ => Ok(claimed),
    }
}

/// Holds a recognition that was found due; false where another instance was first. A change for another
/// destination meanwhile only repeats the read.
async fn hold(
    client: &Client,
    document: &FirestoreDocument,
    destination: Destination,
    now: Moment,
    until: Moment,
    retry: &mut Retry,
) -> Result<bool, StoreError> {
    let next = Next { destination, at: until, another_try: false };
    let may_be_tried = |document: &FirestoreDocument| {
        Ok(codec::next_of(document, destination)?.is_some_and(|next| is_due(next, now)))
    };
    let id = codec::id_of(document).to_owned();
    set_next(client, id, Some(unchanged(document)?), &next, may_be_tried, retry).await
}

/// A new value of `next_{destination}`.
struct Next {
    destination: Destination,
    at: Moment,
    /// Whether an offer failed, which counts as a try.
    another_try: bool,
}

/// Sets `next_*` under an optimistic lock; returns false once `concerns` no longer holds. `found` is the
/// precondition of a document that was read already; after a conflict the document is read again.
async fn set_next(
    client: &Client,
    id: String,
    mut found: Option<FirestoreWritePrecondition>,
    next: &Next,
    concerns: impl Fn(&FirestoreDocument) -> Result<bool, StoreError>,
    retry: &mut Retry,
) -> Result<bool, StoreError> {
    let field = next_field(next.destination);
    let fields = BTreeMap::from([(field.clone(), timestamp(next.at)?)]);
    for _ in 0..ROUNDS {
        let unchanged = match found.take() {
            Some(unchanged) => unchanged,
            None => match client.get_one(RECOGNITIONS, id.clone(), retry).await? {
                Some(document) if concerns(&document)? => unchanged(&document)?,
                _ => return Ok(false),
            },
        };
        let mut transforms = Vec::new();
        if next.another_try {
            let increment = FirestoreFieldTransformType::Increment(codec::integer(1));
            transforms.push(FirestoreFieldTransform::new(format!("tries.{}", next.destination), increment));
        }
        let mut writes = client.writes();
        writes
            .update_object(RECOGNITIONS, &id, &fields, Some(vec![field.clone()]), Some(unchanged), transforms)
            .map_err(refused)?;
        match client.commit(&writes, retry).await {
            Ok(_) => return Ok(true),
            Err(Fault::Changed) => {}
            Err(Fault::Missing(_)) => return Ok(false),
            Err(fault) => return Err(fault.into()),
        }
    }
    Err(Fault::Changed.into())
}

/// The precondition that the document is still as it was read.
pub(super) fn unchanged(document: &FirestoreDocument) -> Result<FirestoreWritePrecondition, StoreError> {
    let time = document.update_time.ok_or_else(|| StoreError::Broken("a document without a time".into()))?;
    timestamp_utils::from_timestamp(time).map(FirestoreWritePrecondition::UpdateTime).map_err(refused)
}

/// Stores what became of recognitions, side by side. One that does not exist is skipped.
pub(super) async fn settle(
    client: &Client,
    settled: &[(RecognitionId, Destination, Settled)],
) -> Result<(), StoreError> {
    let retry = &client.retry();
    let settle = async |(id, destination, settled): &(RecognitionId, Destination, Settled)| {
        let id = document_id(id.as_str());
        let mut retry = retry.clone();
        match settled {
            Settled::Done => end(client, &id, *destination, None, &mut retry).await,
            Settled::GivenUp(reason) => end(client, &id, *destination, Some(*reason), &mut retry).await,
            Settled::Later(at) | Settled::Postponed(at) => {
                let another_try = matches!(settled, Settled::Later(_));
                let next = Next { destination: *destination, at: *at, another_try };
                put_off(client, id, &next, &mut retry).await
            }
        }
    };
    let outcomes: Vec<_> =
        stream::iter(settled.iter().map(settle)).buffer_unordered(SIDE_BY_SIDE).collect().await;
    outcomes.into_iter().collect()
}

/// Makes a recognition no longer due at a destination: taken or, with a reason, given up.
async fn end(
    client: &Client,
    id: &str,
    destination: Destination,
    reason: Option<GiveUp>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let word = destination.as_str();
    let fields = BTreeMap::from([("outcome", BTreeMap::from([(word, Outcome::of(reason))]))]);
    // `next_…` is in the mask and not among the fields, which deletes it.
    let mask = Some(vec![format!("outcome.{word}"), next_field(destination)]);
    let remove = FirestoreFieldTransformType::RemoveAllFromArray(vec![codec::value(word)]);
    let transforms = vec![FirestoreFieldTransform::new("due".to_owned(), remove)];
    let exists = Some(FirestoreWritePrecondition::Exists(true));
    let mut writes = client.writes();
    writes.update_object(RECOGNITIONS, id, &fields, mask, exists, transforms).map_err(refused)?;
    match client.commit(&writes, retry).await {
        Ok(_) | Err(Fault::Missing(_)) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// Puts a recognition off, unless it is no longer due: what was taken is never due again.
async fn put_off(client: &Client, id: String, next: &Next, retry: &mut Retry) -> Result<(), StoreError> {
    let is_due = |document: &FirestoreDocument| {
        Ok(codec::read::<RecognitionFields>(document)?.is_due(next.destination))
    };
    set_next(client, id, None, next, is_due, retry).await?;
    Ok(())
}

/// The first time at which something at `destination` is to be offered.
pub(super) async fn next_due(
    client: &Client,
    destination: Destination,
) -> Result<Option<Moment>, StoreError> {
    let ever = codec::value(timestamp(Moment::from_timestamp_nanos(i64::MAX))?);
    let [until, _] = queries::due(destination);
    let first = until.query([ever], None, Some(1));
    let found = client.query(first, &mut client.retry()).await?.documents;
    found.first().map_or(Ok(None), |document| codec::next_of(document, destination))
}

/// How much waits: a count and the oldest, for each destination.
pub(super) async fn backlog(client: &Client, destinations: &[Destination]) -> Result<Backlog, StoreError> {
    let mut backlog = Backlog::default();
    for destination in destinations {
        let word = || [codec::value(destination.as_str())];
        let mut retry = client.retry();
        let waiting = client.count(queries::WAITING.query(word(), None, None), &mut retry).await?;
        if waiting == 0 {
            continue;
        }
        backlog.waiting += waiting;
        let oldest = queries::OLDEST_WAITING.query(word(), None, Some(1));
        for document in client.query(oldest, &mut retry).await?.documents {
            let item = |document: &_| codec::read::<RecognitionFields>(document)?.recognized_at();
            let Some(made) = readable_one(&document, item)? else { continue };
            backlog.oldest = Some(backlog.oldest.map_or(made, |oldest| oldest.min(made)));
        }
    }
    Ok(backlog)
}
