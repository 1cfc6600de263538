//! Works: which of their parts count, and what a review, a landing or labels change in that.
//!
//! This reads the work's mark, `reviews/{work}`, and its parts, and commits with the update times that it read
//! as preconditions. Every such commit writes the mark, so that of two that run at once, such as a label and
//! the landing of another author's part, the second one reads what the first wrote. What is recorded without
//! reading creates the mark of its pull request, or only itself: a review that comes first has left the mark, or
//! a document at the id of an issue, on which that recording fails, and then it comes here too.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use firestore::{
    FirestoreTimestamp, FirestoreTransactionData, FirestoreTransactionOps, FirestoreTransactionResponse,
    FirestoreWritePrecondition, timestamp_utils,
};

use super::accounts::{Arrival, Move, check, contributor_of, finish, look_up};
use super::codec::{self, ContributionFields, ContributorNames, MarkFields, PartFields, Stored, document_id};
use super::forget;
use super::history::{Raise, Standings, still};
use super::outbox::unchanged;
use super::privacy;
use super::queries::{self, CONTRIBUTIONS, CONTRIBUTORS, REVIEWS};
use super::record::{Known, Tally, changing, joining, read_missing, recorded, refused, tally_of};
use super::rpc::{Client, Fault, Retry};
use crate::domain::{ContributionId, ContributorId, Milestones, Moment, Part, Review, Work, WorkId};
use crate::store::forgetting::author_of_part;
use crate::store::{Novelty, Recorded, Reviewed, StoreError};

/// What is to be recorded or reviewed of one work, and the nonce by which its commit is known again.
struct Change<'a> {
    client: &'a Client,
    id: &'a WorkId,
    recorded: Vec<Arrival<'a>>,
    review: Option<&'a Review>,
    /// Parts that become another contributor's.
    moved: Option<(&'a BTreeSet<ContributionId>, &'a Move<'a>)>,
    /// Of history: what its contributors take as recognised.
    history: Option<&'a Milestones>,
    now: Moment,
    commit: String,
}

/// A work as it was read.
struct Found {
    work: Work,
    mark: Option<FirestoreWritePrecondition>,
    /// When the mark was written by the very change that reads it now: its answer was lost.
    applied_at: Option<FirestoreTimestamp>,
    parts: HashMap<ContributionId, FoundPart>,
}

struct FoundPart {
    known: Option<Known>,
    arrived: Option<(ContributorId, Moment)>,
    unchanged: FirestoreWritePrecondition,
}

/// A work before and after a change, and the tallies that it made.
struct Changed {
    before: Work,
    after: Work,
    known: HashMap<ContributionId, Known>,
    tallies: HashMap<ContributorId, Tally>,
}

/// Records parts of one work, and answers for each.
pub(super) async fn record(
    client: &Client,
    id: &WorkId,
    parts: Vec<Arrival<'_>>,
    history: Option<&Milestones>,
    now: Moment,
    retry: &mut Retry,
) -> Result<Vec<Recorded>, StoreError> {
    let mut change = Change { history, recorded: parts, now, ..Change::new(client, id) };
    let changed = change.apply(retry).await?;
    let is_new = changed.after != changed.before;
    for one in &change.recorded {
        if is_new { one.learn(client) } else { one.learn_again(client) }
    }
    change.recorded.iter().map(|one| changed.recorded(one)).collect()
}

/// Moves parts to another contributor; false where something else was not as it was read.
pub(super) async fn move_parts(
    client: &Client,
    id: &WorkId,
    parts: &BTreeSet<ContributionId>,
    moving: &Move<'_>,
) -> Result<bool, StoreError> {
    let change = Change { moved: Some((parts, moving)), ..Change::new(client, id) };
    let mut retry = client.retry();
    let found = change.read(&retry).await?;
    let changed = Changed {
        known: HashMap::new(),
        after: change.decide(&found.work),
        before: found.work.clone(),
        tallies: HashMap::new(),
    };
    let is_left = |id: &ContributionId| {
        changed
            .before
            .part(id)
            .is_some_and(|part| part.contributor.as_ref().is_some_and(|who| *who != moving.to.id))
    };
    let contributors = changed.before.parts.iter().filter(|part| parts.contains(&part.id));
    let mut contributors = contributors.filter_map(|part| part.contributor.as_ref());
    if !contributors.all(|contributor| moving.knows(contributor)) {
        return Ok(false);
    }
    if !parts.iter().any(is_left) && changed.after == changed.before && !moving.is_claim() {
        return Ok(true);
    }
    let (writes, _) = change.writes(&found, &changed, None)?;
    match client.commit(&writes, &mut retry).await {
        Ok(_) => Ok(true),
        Err(Fault::Exists | Fault::Changed | Fault::Missing(_)) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// Applies a review, and answers for each recorded part that it concerns.
pub(super) async fn review(client: &Client, review: &Review) -> Result<Vec<Reviewed>, StoreError> {
    let mut retry = client.retry();
    let mut review = review.clone();
    if let Some(author) = review.part.as_ref().and_then(author_of_part)
        && forget::is_forgotten(client, &author, &mut retry).await?
    {
        review.part = None;
    }
    let review = &review;
    let id = work_of(client, &review.work, &mut retry).await?;
    let mut change = Change { review: Some(review), ..Change::new(client, &id) };
    let changed = change.apply(&mut retry).await?;
    if review.private {
        let parts = changed.after.parts.iter().map(|part| part.id.as_str());
        privacy::conceal_in_recognitions(client, parts, &mut retry).await?;
    }
    let concerned = changed.after.parts.iter().filter(|part| id == review.work || review.work.is(&part.id));
    Ok(concerned.filter_map(|part| changed.reviewed(part)).collect())
}

/// The work itself, or the work of the one contribution that `named` names.
async fn work_of(client: &Client, named: &WorkId, retry: &mut Retry) -> Result<WorkId, StoreError> {
    let found = client.get_one(CONTRIBUTIONS, document_id(named.as_str()), retry).await?;
    let part = found.map(|document| codec::read::<PartFields>(&document)).transpose()?;
    Ok(part.and_then(|part| part.work()).unwrap_or_else(|| named.clone()))
}

impl<'a> Change<'a> {
    fn new(client: &'a Client, id: &'a WorkId) -> Self {
        let commit = uuid::Uuid::new_v4().simple().to_string();
        let now = Moment::UNIX_EPOCH;
        Self { client, id, recorded: Vec::new(), review: None, moved: None, history: None, now, commit }
    }

    /// Reads, decides and commits, until nothing has changed in between.
    async fn apply(&mut self, retry: &mut Retry) -> Result<Changed, StoreError> {
        let mut attempted: Option<Changed> = None;
        loop {
            let found = self.read(retry).await?;
            if let (Some(at), Some(mut changed)) = (found.applied_at, attempted.take()) {
                self.read_tallies(&mut changed, Some(at), retry).await?;
                return Ok(changed);
            }
            let after = self.decide(&found.work);
            let known = found.parts.iter().filter_map(|(id, part)| Some((id.clone(), part.known.clone()?)));
            let mut changed = Changed {
                known: known.collect(),
                after,
                before: found.work.clone(),
                tallies: HashMap::new(),
            };
            if changed.after == changed.before {
                self.read_tallies(&mut changed, None, retry).await?;
                return Ok(changed);
            }
            let standings = self.standings(retry).await?;
            let (writes, contributors) = self.writes(&found, &changed, standings.as_ref())?;
            match self.client.commit(&writes, retry).await {
                Ok(response) => {
                    changed.tallies = tallies(&contributors, &response)?;
                    self.read_tallies(&mut changed, None, retry).await?;
                    return Ok(changed);
                }
                Err(Fault::Exists | Fault::Changed | Fault::Missing(_)) => {
                    drop(standings);
                    retry.pause("the parts of one work keep changing".to_owned()).await?;
                    look_up(self.client, self.recorded.iter_mut().collect(), retry).await?;
                    forget::mark(self.client, &mut self.recorded, retry).await?;
                    self.follow(&changed.before, retry).await?;
                    attempted = Some(changed);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Moves the parts of accounts that count for another contributor by now.
    async fn follow(&self, work: &Work, retry: &mut Retry) -> Result<(), StoreError> {
        let contributors: BTreeSet<_> =
            work.parts.iter().filter_map(|part| part.contributor.as_ref()).collect();
        for contributor in contributors {
            if contributor_of(self.client, contributor, retry).await? != *contributor {
                finish(self.client, contributor).await?;
            }
        }
        Ok(())
    }

    /// The contributors of history, as they are now.
    async fn standings(&self, retry: &mut Retry) -> Result<Option<Standings<'_>>, StoreError> {
        let Some(milestones) = self.history else { return Ok(None) };
        let contributors = self.recorded.iter().map(|one| &one.contribution.contributor);
        Standings::read_to_raise(self.client, contributors, milestones, retry).await.map(Some)
    }

    async fn read(&self, retry: &Retry) -> Result<Found, StoreError> {
        let named = self.recorded.iter().map(Arrival::id).chain(self.review.and_then(|r| r.part.as_ref()));
        let ids: Vec<_> = named.map(|id| document_id(id.as_str())).collect();
        let (mut for_mark, mut for_named, mut for_parts) = (retry.clone(), retry.clone(), retry.clone());
        let parts = queries::PARTS_OF.query([codec::value(self.id.as_str())], None, None);
        // First: a part that changes after this changes the mark too, and the commit fails.
        let mark = self.client.get_one(REVIEWS, document_id(self.id.as_str()), &mut for_mark).await?;
        let (named, parts) = tokio::try_join!(
            self.client.get(CONTRIBUTIONS, &ids, None, &mut for_named),
            self.client.query(parts, &mut for_parts),
        )?;
        let mut found = Found { work: Work::default(), mark: None, applied_at: None, parts: HashMap::new() };
        if let Some(document) = mark {
            let fields: MarkFields = codec::read(&document)?;
            found.mark = Some(unchanged(&document)?);
            found.work = fields.work()?;
            let time = document.update_time.filter(|_| fields.is_of(&self.commit));
            found.applied_at = time
                .map(|time| timestamp_utils::from_timestamp(time).map(FirestoreTimestamp))
                .transpose()
                .map_err(refused)?;
        }
        // A part that was named and found by its work may have changed in between: what was read last is newer.
        for document in named.into_iter().chain(parts.documents) {
            let fields: PartFields = codec::read(&document)?;
            let part = fields.part()?;
            let (known, arrived) = (Known::of(&fields)?, fields.arrived()?);
            let read = FoundPart { known, arrived, unchanged: unchanged(&document)? };
            if found.parts.insert(part.id.clone(), read).is_none() {
                found.work.parts.push(part);
            } else if let Some(known) = found.work.parts.iter_mut().find(|known| known.id == part.id) {
                *known = part;
            }
        }
        // The mark keeps the newest labels of all.
        found.work.labels = found.work.newest_labels();
        Ok(found)
    }

    /// What is recorded of those who are not forgotten.
    fn remembered(&self) -> impl Iterator<Item = &Arrival<'a>> + Clone {
        self.recorded.iter().filter(|one| !one.forgotten)
    }

    fn decide(&self, before: &Work) -> Work {
        let mut after = before.clone();
        for one in self.remembered() {
            after.record(&one.contribution);
        }
        if let Some((moved, moving)) = self.moved {
            let parts = after.parts.iter_mut().filter(|part| moved.contains(&part.id));
            for part in parts.filter(|part| part.contributor.is_some()) {
                part.contributor = Some(moving.to.id.clone());
            }
        }
        if let Some(review) = self.review {
            after.review(review);
        }
        after.judge();
        after.labels = after.newest_labels();
        // What is not recorded yet needs a mark only if it is not to count, or to be private.
        let accepted: Vec<_> = after.parts.iter().map(|part| after.accepts(part)).collect();
        let mut accepted = accepted.into_iter();
        after.parts.retain(|part| {
            let accepted = accepted.next().unwrap_or_default();
            let marked = part.private || !accepted;
            part.contributor.is_some() || before.part(&part.id).is_some() || marked
        });
        after
    }

    /// The mark, the parts that changed, and last the contributors, who are returned in the same order.
    fn writes(
        &self,
        found: &Found,
        changed: &Changed,
        standings: Option<&Standings<'_>>,
    ) -> Result<(FirestoreTransactionData, Vec<ContributorId>), StoreError> {
        let mut writes = self.client.writes();
        let absent = || FirestoreWritePrecondition::Exists(false);
        let mark = MarkFields::of(self.id, &changed.after, &self.commit)?;
        let unchanged = Some(found.mark.clone().unwrap_or_else(absent));
        writes
            .update_object(REVIEWS, document_id(self.id.as_str()), &mark, None, unchanged, Vec::new())
            .map_err(refused)?;
        let mut deltas: BTreeMap<ContributorId, Delta<'_>> = BTreeMap::new();
        let mut moved_at = Vec::new();
        for part in &changed.after.parts {
            let was = changed.before.part(&part.id);
            let moved = self.moved.filter(|(moved, _)| moved.contains(&part.id)).map(|(_, moving)| moving);
            if moved.is_none() && was == Some(part) {
                continue;
            }
            let read = found.parts.get(&part.id);
            let unchanged = read.map_or_else(absent, |part| part.unchanged.clone());
            let arrived = read.and_then(|read| read.arrived.as_ref());
            if let Some(((account, at), moving)) = arrived.zip(moved) {
                let account = moving.account(account);
                let fields = PartFields::of(part, self.id)?.moved(&moving.to.id, account.as_ref());
                let (document, fields_moved) = (document_id(part.id.as_str()), Some(PartFields::moving()));
                writes
                    .update_object(
                        CONTRIBUTIONS,
                        document,
                        &fields,
                        fields_moved,
                        Some(unchanged),
                        Vec::new(),
                    )
                    .map_err(refused)?;
                moved_at.push(*at);
            } else if was != Some(part) {
                let new = was.is_none_or(|was| was.contributor.is_none());
                let recorded = self.recorded.iter().enumerate().find(|(_, one)| new && *one.id() == part.id);
                self.write_part(&mut writes, part, recorded, unchanged)?;
                let recorded = recorded.zip(part.contributor.as_ref());
                if let Some(((_, one), contributor)) = recorded {
                    deltas.entry(contributor.clone()).or_default().recorded.push(one);
                }
            }
            for (part, sign) in [(Some(part), 1), (was, -1)] {
                let Some(part) = part.filter(|part| part.counted) else { continue };
                if let Some(contributor) = &part.contributor {
                    deltas.entry(contributor.clone()).or_default().counted += sign;
                }
            }
        }
        if let Some((_, moving)) = self.moved {
            let counted =
                deltas.into_iter().map(|(contributor, delta)| (contributor, delta.counted)).collect();
            moving.tallies(self.client, &mut writes, &counted, moved_at.into_iter())?;
            return Ok((writes, Vec::new()));
        }
        check(&mut writes, self.remembered())?;
        let key = self.client.forget_key();
        let recorded = forget::pseudonyms(self.client, self.remembered());
        // A review may leave a mark of a part that is not recorded.
        let unrecorded = changed.after.parts.iter().filter(|part| part.contributor.is_none());
        let authors = unrecorded.filter_map(|part| author_of_part(&part.id));
        let marked = authors.filter_map(|author| Some(key?.of_name(&author)));
        forget::guard(&mut writes, recorded.chain(marked))?;
        deltas.retain(|_, delta| delta.counted != 0 || !delta.recorded.is_empty());
        for (contributor, delta) in &deltas {
            let raise = standings.and_then(|standings| standings.raise(contributor, delta.counted));
            self.write_contributor(&mut writes, contributor, delta, raise.as_ref())?;
        }
        Ok((writes, deltas.into_keys().collect()))
    }

    fn write_part(
        &self,
        writes: &mut FirestoreTransactionData,
        part: &Part,
        recorded: Option<(usize, &Arrival<'_>)>,
        unchanged: FirestoreWritePrecondition,
    ) -> Result<(), StoreError> {
        let id = document_id(part.id.as_str());
        if let Some((place, one)) = recorded {
            let stored = Stored {
                at: self.now,
                place,
                commit: &self.commit,
                counted: part.counted,
                deleted: part.deleted,
                private: part.private,
                account: one.apart(),
            };
            let fields = ContributionFields::new(&one.contribution, Some(&stored))?;
            writes.update_object(CONTRIBUTIONS, id, &fields, None, Some(unchanged), Vec::new())
        } else {
            let fields = PartFields::of(part, self.id)?;
            let mask = part.contributor.as_ref().map(|_| PartFields::CHANGING.map(str::to_owned).to_vec());
            writes.update_object(CONTRIBUTIONS, id, &fields, mask, Some(unchanged), Vec::new())
        }
        .map_err(refused)?;
        Ok(())
    }

    fn write_contributor(
        &self,
        writes: &mut FirestoreTransactionData,
        contributor: &ContributorId,
        delta: &Delta<'_>,
        raise: Option<&Raise>,
    ) -> Result<(), StoreError> {
        let id = document_id(contributor.as_str());
        let exists = delta.recorded.first().is_none_or(|one| one.exists);
        let unchanged = Some(still(exists, raise));
        if delta.recorded.is_empty() {
            let nothing = BTreeMap::<String, bool>::new();
            let changing = changing(delta.counted, raise.map_or(0, |raise| raise.milestone));
            writes.update_object(CONTRIBUTORS, id, &nothing, Some(Vec::new()), unchanged, changing)
        } else {
            let recorded: Vec<_> = delta.recorded.iter().map(|one| &one.contribution).collect();
            let names = ContributorNames::of(contributor, &recorded);
            let joining = joining(delta.counted, self.now, raise, delta.recorded.first().copied());
            writes.update_object(CONTRIBUTORS, id, &names, Some(names.mask()), unchanged, joining)
        }
        .map_err(refused)?;
        Ok(())
    }

    /// Reads the tallies that the commit did not answer; as they were at `at`, if given.
    async fn read_tallies(
        &self,
        changed: &mut Changed,
        at: Option<FirestoreTimestamp>,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let contributors = changed.after.parts.iter().filter_map(|part| part.contributor.as_ref());
        read_missing(self.client, contributors, &mut changed.tallies, at.map(|at| at.0), retry).await
    }
}

/// What changes for a contributor.
#[derive(Default)]
struct Delta<'a> {
    /// How many contributions count more, or fewer.
    counted: i64,
    recorded: Vec<&'a Arrival<'a>>,
}

fn tallies(
    contributors: &[ContributorId],
    response: &FirestoreTransactionResponse,
) -> Result<HashMap<ContributorId, Tally>, StoreError> {
    let first = response.write_results.len().saturating_sub(contributors.len());
    let results = response.write_results.iter().skip(first);
    let read = |(contributor, result): (&ContributorId, _)| {
        let tally = tally_of(result).ok_or_else(|| {
            StoreError::Broken(format!("the commit was answered without the tally of {contributor}"))
        })?;
        Ok((contributor.clone(), tally))
    };
    contributors.iter().zip(results).map(read).collect()
}

impl Changed {
    fn tally(&self, contributor: &ContributorId) -> Tally {
        self.tallies.get(contributor).copied().unwrap_or_default()
    }

    fn recorded(&self, one: &Arrival<'_>) -> Result<Recorded, StoreError> {
        if one.forgotten {
            return Ok(Recorded::FORGOTTEN);
        }
        let id = one.id();
        let lost = || StoreError::Broken(format!("the contribution {id} was neither new nor known"));
        let part = self.after.part(id).ok_or_else(lost)?;
        let contributor = part.contributor.as_ref().ok_or_else(lost)?;
        let was_counted = self.before.part(id).is_some_and(|was| was.counted);
        let repeats = self.after.is_repeat(id);
        let novelty = match self.known.get(id) {
            None if repeats => Novelty::Same,
            None => Novelty::of_new(part.counted),
            Some(_) if part.counted && !was_counted => Novelty::New,
            Some(_) if !part.counted && !part.deleted && !repeats => Novelty::Retracted,
            Some(known) => Novelty::of_repeat(known.content, one.given.content),
        };
        let other = (*contributor != one.given.contributor).then(|| contributor.clone());
        Ok(Recorded { private: part.private, ..recorded(novelty, self.tally(contributor), other) })
    }

    fn reviewed(&self, part: &Part) -> Option<Reviewed> {
        let contributor = part.contributor.clone()?;
        let Tally { tally, recognized } = self.tally(&contributor);
        let was_counted = self.before.part(&part.id).is_some_and(|was| was.counted);
        Some(Reviewed {
            id: part.id.clone(),
            contributor,
            tally,
            recognized,
            counts: part.counted,
            changed: part.counted != was_counted,
        })
    }
}
