//! Recording: one commit, no read, no transaction. Only when a commit fails because a document exists are
//! the documents read to find the repeats. What lands, or comes with a label that rejects it, goes the way of
//! [`work`](super::work), which reads first.

use std::collections::{BTreeMap, HashMap, HashSet};

use firestore::{
    FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreInstant, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreTransactionResponse, FirestoreWritePrecondition, FirestoreWriteResult,
    timestamp_utils,
};
use futures::StreamExt;
use futures::stream;

use super::accounts::{Arrival, arrivals, check, look_up};
use super::codec::{
    self, ContributionFields, ContributorFields, ContributorNames, MarkFields, PartFields, Stored,
    document_id,
};
use super::forget;
use super::history::{Raise, Standings, still};
use super::queries::{CONTRIBUTIONS, CONTRIBUTORS, REVIEWS};
use super::rpc::{Client, Fault, Retry};
use super::work;
use crate::domain::{Contribution, ContributorId, Fingerprint, Milestones, Moment, Work, WorkId};
use crate::store::{Novelty, Recorded, StoreError};

/// How often one batch may meet repeats: each time they are taken out of it, so more than once only if other
/// instances record the same contributions at the same moment.
const ROUNDS: usize = 8;

/// How many works are decided side by side.
const SIDE_BY_SIDE: usize = 16;

/// A contributor's tally, and the highest milestone recognised.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) tally: u64,
    pub(super) recognized: u64,
}

/// What is known of a contribution of the batch.
enum Fate {
    /// Where it counts for another contributor than it names, with that one.
    Counted(Tally, Option<ContributorId>),
    KnownBefore(Known),
    /// Decided together with its work, or that it is of somebody who is forgotten.
    Judged(Recorded),
}

/// What a repeat is compared with: what was recorded first, and for whom.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) content: Option<Fingerprint>,
    pub(super) contributor: ContributorId,
    /// Whether it does not count, and may do so again.
    pub(super) rejected: bool,
}

impl Known {
    pub(super) fn of(fields: &PartFields) -> Result<Option<Self>, StoreError> {
        let part = fields.part()?;
        let content = fields.content()?;
        let rejected = !part.counted && !part.deleted;
        Ok(part.contributor.map(|contributor| Self { content, contributor, rejected }))
    }

    fn novelty(&self, again: &Contribution) -> Novelty {
        if self.rejected { Novelty::Retracted } else { Novelty::of_repeat(self.content, again.content) }
    }
}

/// What is pending of one contributor.
struct Group<'p, 'a> {
    contributor: &'p ContributorId,
    arrivals: Vec<&'p Arrival<'a>>,
}

/// A batch on its way into the ledger.
struct Recording<'a> {
    client: &'a Client,
    now: Moment,
    /// Of history: what its contributors take as recognised.
    history: Option<&'a Milestones>,
    /// A nonce, the same for every try of this batch: a document that carries it was written by this call.
    commit: String,
    /// Not yet decided, each once, in the batch's order.
    pending: Vec<Arrival<'a>>,
    /// Works to be decided one by one, with what is to be recorded of each.
    works: BTreeMap<WorkId, Vec<Arrival<'a>>>,
    fates: HashMap<&'a str, Fate>,
    /// The contributors' tallies now, as far as they are known.
    tallies: HashMap<ContributorId, Tally>,
}

pub(super) async fn record(
    client: &Client,
    batch: &[Contribution],
    now: Moment,
) -> Result<Vec<Recorded>, StoreError> {
    let mut retry = client.retry();
    let arrivals = arrivals(client, batch, &mut retry).await?;
    record_arrivals(client, batch, arrivals, None, now, retry).await
}

/// Records a batch, of which it is known whose each contribution is.
pub(super) async fn record_arrivals(
    client: &Client,
    batch: &[Contribution],
    arrivals: Vec<Arrival<'_>>,
    history: Option<&Milestones>,
    now: Moment,
    mut retry: Retry,
) -> Result<Vec<Recorded>, StoreError> {
    let mut works = HashSet::new();
    let (plain, reading) = arrivals.into_iter().partition(|one| {
        let contribution = &one.contribution;
        is_decided_alone(contribution) && !one.forgotten && works.insert(contribution.work())
    });
    let mut recording = Recording {
        client,
        now,
        history,
        commit: uuid::Uuid::new_v4().simple().to_string(),
        pending: plain,
        works: BTreeMap::new(),
        fates: HashMap::new(),
        tallies: HashMap::new(),
    };
    let reading = recording.leave_out_forgotten(reading, &mut retry).await?;
    recording.look_at_works_of(reading);
    recording.decide(&mut retry).await?;
    recording.decide_works(&retry).await?;
    recording.answer(batch, &mut retry).await
}

async fn decide_work<'a>(
    client: &Client,
    now: Moment,
    history: Option<&Milestones>,
    work: WorkId,
    parts: Vec<Arrival<'a>>,
    mut retry: Retry,
) -> Result<Vec<(&'a Contribution, Recorded)>, StoreError> {
    let given: Vec<_> = parts.iter().map(|one| one.given).collect();
    let recorded = work::record(client, &work, parts, history, now, &mut retry).await?;
    Ok(given.into_iter().zip(recorded).collect())
}

/// Whether this counts unless a review came first, which left a document at its id or the mark of its work.
fn is_decided_alone(one: &Contribution) -> bool {
    one.landed_at.is_none() && !one.labels.is_some_and(|labels| labels.rejected)
}

/// Whether this is one part of a work that can have several: a pull request.
fn is_part(one: &Contribution) -> bool {
    !one.work().is(&one.id)
}

impl<'a> Recording<'a> {
    /// Commits what is new, until every contribution's fate is known.
    async fn decide(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            if self.pending.is_empty() {
                return Ok(());
            }
            let groups = self.groups();
            let standings = self.standings(&groups, retry).await?;
            let writes = self.writes(&groups, standings.as_ref())?;
            match self.client.commit(&writes, retry).await {
                Ok(response) => {
                    let tallies = tallies_of(&groups, &response, self.pending.len())?;
                    return self.counted(tallies);
                }
                Err(Fault::Exists | Fault::Changed | Fault::Missing(_)) => {
                    let of_history = standings.is_some();
                    drop(standings);
                    self.find_out_why(of_history, retry).await?;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(StoreError::Unavailable("the same contributions are being recorded elsewhere".into()))
    }

    /// After a commit that was refused: some of the pending are known or forgotten, or count for other contributors
    /// than this process knew.
    async fn find_out_why(&mut self, of_history: bool, retry: &mut Retry) -> Result<(), StoreError> {
        if self.is_without_forgotten(retry).await? {
            return Ok(());
        }
        let before = self.pending.len();
        self.sort_out(retry).await?;
        let is_found = self.pending.len() < before;
        if of_history {
            // A contributor has changed since: by others, or by this commit, whose answer was lost.
            retry.pause("the contributors of this history keep changing".to_owned()).await?;
        }
        if is_found && !of_history {
            return Ok(());
        }
        look_up(self.client, self.pending.iter_mut().collect(), retry).await?;
        let pending = std::mem::take(&mut self.pending);
        self.pending = self.leave_out_marked(pending);
        Ok(())
    }

    /// Leaves out what is pending of those who are forgotten; whether that is something.
    async fn is_without_forgotten(&mut self, retry: &mut Retry) -> Result<bool, StoreError> {
        let pending = std::mem::take(&mut self.pending);
        let before = pending.len();
        self.pending = self.leave_out_forgotten(pending, retry).await?;
        Ok(self.pending.len() < before)
    }

    /// Those of `contributions` whose contributors are not forgotten; the others are decided.
    async fn leave_out_forgotten(
        &mut self,
        mut contributions: Vec<Arrival<'a>>,
        retry: &mut Retry,
    ) -> Result<Vec<Arrival<'a>>, StoreError> {
        forget::mark(self.client, &mut contributions, retry).await?;
        Ok(self.leave_out_marked(contributions))
    }

    fn leave_out_marked(&mut self, contributions: Vec<Arrival<'a>>) -> Vec<Arrival<'a>> {
        let (forgotten, rest): (Vec<_>, Vec<_>) = contributions.into_iter().partition(|one| one.forgotten);
        for one in forgotten {
            self.fates.insert(one.given.id.as_str(), Fate::Judged(Recorded::FORGOTTEN));
        }
        rest
    }

    /// The contributors of history, as they are now.
    async fn standings<'s>(
        &'s self,
        groups: &[Group<'s, 'a>],
        retry: &mut Retry,
    ) -> Result<Option<Standings<'s>>, StoreError> {
        let Some(milestones) = self.history else { return Ok(None) };
        let contributors = groups.iter().map(|group| group.contributor);
        Standings::read_to_raise(self.client, contributors, milestones, retry).await.map(Some)
    }

    fn look_at_works_of(&mut self, reading: Vec<Arrival<'a>>) {
        for one in reading {
            self.works.entry(one.contribution.work()).or_default().push(one);
        }
    }

    /// Decides what could not be decided without reading, work by work.
    async fn decide_works(&mut self, retry: &Retry) -> Result<(), StoreError> {
        let works = std::mem::take(&mut self.works);
        // Collected first: the compiler does not find a stream that maps them to be `Send`.
        let decisions: Vec<_> = works
            .into_iter()
            .map(|(work, parts)| decide_work(self.client, self.now, self.history, work, parts, retry.clone()))
            .collect();
        // Works of history would lock each other out of a contributor that they share.
        let side_by_side = if self.history.is_some() { 1 } else { SIDE_BY_SIDE };
        let decided: Vec<_> = stream::iter(decisions).buffer_unordered(side_by_side).collect().await;
        for parts in decided {
            for (one, recorded) in parts? {
                let contributor = recorded.counted_for.as_ref().unwrap_or(&one.contributor).clone();
                let tally = Tally { tally: recorded.tally, recognized: recorded.recognized };
                self.tallies.insert(contributor, tally);
                self.fates.insert(one.id.as_str(), Fate::Judged(recorded));
            }
        }
        Ok(())
    }

    /// What is pending, by contributor, in the order of their first contribution.
    fn groups(&self) -> Vec<Group<'_, 'a>> {
        let mut places = HashMap::new();
        let mut groups: Vec<Group<'_, 'a>> = Vec::new();
        for one in &self.pending {
            let contributor = &one.contribution.contributor;
            let place = *places.entry(contributor).or_insert_with(|| {
                groups.push(Group { contributor, arrivals: Vec::new() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(place) {
                group.arrivals.push(one);
            }
        }
        groups
    }

    /// One write for each contribution, then one for each contributor, then one for the mark of each pull
    /// request: n + 1 for n of one contributor, and one more for each pull request. A review that came first
    /// has made the mark, so the commit fails and the work is read. A contributor who is new costs one more, which has
    /// it checked that nothing is said of the account.
    fn writes(
        &self,
        groups: &[Group<'_, 'a>],
        standings: Option<&Standings<'_>>,
    ) -> Result<FirestoreTransactionData, StoreError> {
        let mut writes = self.client.writes();
        for (place, one) in self.pending.iter().enumerate() {
            let stored = Stored {
                at: self.now,
                place,
                commit: &self.commit,
                counted: true,
                deleted: false,
                private: one.contribution.private,
                account: one.apart(),
            };
            let fields = ContributionFields::new(&one.contribution, Some(&stored))?;
            let id = document_id(one.id().as_str());
            let create = Some(FirestoreWritePrecondition::Exists(false));
            writes.update_object(CONTRIBUTIONS, id, &fields, None, create, Vec::new()).map_err(refused)?;
        }
        for Group { contributor, arrivals } in groups {
            let contributions: Vec<_> = arrivals.iter().map(|one| &one.contribution).collect();
            let names = ContributorNames::of(contributor, &contributions);
            let id = document_id(contributor.as_str());
            let counted = i64::try_from(arrivals.len()).unwrap_or(i64::MAX);
            let raise = standings.and_then(|standings| standings.raise(contributor, counted));
            let joining = joining(counted, self.now, raise.as_ref(), arrivals.first().copied());
            let exists = arrivals.first().is_none_or(|one| one.exists);
            let unchanged = Some(still(exists, raise.as_ref()));
            writes
                .update_object(CONTRIBUTORS, id, &names, Some(names.mask()), unchanged, joining)
                .map_err(refused)?;
        }
        for one in self.pending.iter().map(|one| &one.contribution).filter(|one| is_part(one)) {
            let work = one.work();
            let mark = Work { labels: one.labels, ..Work::default() };
            let fields = MarkFields::of(&work, &mark, &self.commit)?;
            let create = Some(FirestoreWritePrecondition::Exists(false));
            writes
                .update_object(REVIEWS, document_id(work.as_str()), &fields, None, create, Vec::new())
                .map_err(refused)?;
        }
        check(&mut writes, self.pending.iter())?;
        forget::guard(&mut writes, forget::pseudonyms(self.client, self.pending.iter()))?;
        Ok(writes)
    }

    /// Ends with what is pending, which is counted now. `after` has the tallies of its contributors.
    fn counted(&mut self, after: HashMap<ContributorId, Tally>) -> Result<(), StoreError> {
        let mut left: HashMap<&ContributorId, u64> = HashMap::new();
        let pending = std::mem::take(&mut self.pending);
        for one in &pending {
            *left.entry(&one.contribution.contributor).or_default() += 1;
        }
        // Of n counted together the i-th has the tally `after − n + i`.
        for one in &pending {
            let contributor = &one.contribution.contributor;
            let tally = after.get(contributor).ok_or_else(|| {
                StoreError::Broken(format!("contributions of {contributor} are there without their tally"))
            })?;
            let later = left.get_mut(contributor).map_or(0, |left| {
                *left -= 1;
                *left
            });
            let tally = Tally { tally: tally.tally.saturating_sub(later), ..*tally };
            let contributor = (*contributor != one.given.contributor).then(|| contributor.clone());
            self.fates.insert(one.given.id.as_str(), Fate::Counted(tally, contributor));
            one.learn(self.client);
        }
        self.tallies.extend(after);
        Ok(())
    }

    /// Reads which of the pending are known, and by whom.
    async fn sort_out(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        let ids: Vec<_> = self.pending.iter().map(|one| document_id(one.id().as_str())).collect();
        let mut known = HashMap::new();
        for document in self.client.get(CONTRIBUTIONS, &ids, None, retry).await? {
            let fields: PartFields = codec::read(&document)?;
            known.insert(codec::id_of(&document).to_owned(), (fields, document.create_time));
        }
        let mut ours_since = None;
        let mut ours = Vec::new();
        let mut unknown = Vec::new();
        let mut reading = Vec::new();
        for (one, id) in std::mem::take(&mut self.pending).into_iter().zip(ids) {
            match known.get(&id) {
                None if is_part(&one.contribution) => reading.push(one),
                None => unknown.push(one),
                Some((fields, since)) if fields.is_of(&self.commit) => {
                    ours_since = *since;
                    ours.push(one);
                }
                Some((fields, _)) => match Known::of(fields)? {
                    // One that does not count may be a repeat of another part of its work.
                    Some(known)
                        if one.contribution.labels <= fields.part()?.labels
                            && !(known.rejected && is_part(&one.contribution)) =>
                    {
                        if known.contributor == one.contribution.contributor {
                            one.learn_again(self.client);
                        }
                        self.fates.insert(one.given.id.as_str(), Fate::KnownBefore(known));
                    }
                    // A review was stored before it, or there are newer labels.
                    _ => reading.push(one),
                },
            }
        }
        self.look_at_works_of(reading);
        self.pending = ours;
        if let Some(since) = ours_since {
            let since = timestamp_utils::from_timestamp(since).map_err(refused)?;
            self.answer_was_lost(since, retry).await?;
        }
        self.pending = unknown;
        Ok(())
    }

    /// What is pending was applied at `since`, and the answer was lost. The contributors' documents as they
    /// were at that instant have what the answer would have had, whatever was committed since.
    async fn answer_was_lost(
        &mut self,
        since: FirestoreInstant,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let contributors: HashSet<_> =
            self.pending.iter().map(|one| one.contribution.contributor.clone()).collect();
        let mut tallies = HashMap::new();
        read_missing(self.client, contributors.iter(), &mut tallies, Some(since), retry).await?;
        self.counted(tallies)
    }

    async fn answer(
        mut self,
        batch: &'a [Contribution],
        retry: &mut Retry,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.read_missing_tallies(retry).await?;
        let mut seen: HashMap<&str, Known> = HashMap::new();
        let mut answers = Vec::with_capacity(batch.len());
        for one in batch {
            let fate = self.fates.get(one.id.as_str()).ok_or_else(|| {
                StoreError::Broken(format!("the contribution {} was neither new nor known", one.id))
            })?;
            let first = match (fate, seen.get(one.id.as_str())) {
                (Fate::KnownBefore(known), _) | (_, Some(known)) => {
                    answers.push(self.repeat(known, one));
                    continue;
                }
                (Fate::Counted(tally, other), None) => recorded(Novelty::New, *tally, other.clone()),
                (Fate::Judged(first), None) => first.clone(),
            };
            let contributor = first.counted_for.clone().unwrap_or_else(|| one.contributor.clone());
            let rejected = first.novelty == Novelty::Retracted;
            seen.insert(one.id.as_str(), Known { content: one.content, contributor, rejected });
            answers.push(first);
        }
        Ok(answers)
    }

    fn repeat(&self, known: &Known, again: &Contribution) -> Recorded {
        let tally = self.tallies.get(&known.contributor).copied().unwrap_or_default();
        let other = (known.contributor != again.contributor).then(|| known.contributor.clone());
        recorded(known.novelty(again), tally, other)
    }

    /// A repeat is answered with its contributor's present tally.
    async fn read_missing_tallies(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        let known = self.fates.values().filter_map(|fate| match fate {
            Fate::KnownBefore(known) => Some(&known.contributor),
            Fate::Counted(..) | Fate::Judged(_) => None,
        });
        read_missing(self.client, known, &mut self.tallies, None, retry).await
    }
}

/// The tallies in a commit's answer, which has those of the `recorded` contributions before.
fn tallies_of(
    groups: &[Group<'_, '_>],
    response: &FirestoreTransactionResponse,
    recorded: usize,
) -> Result<HashMap<ContributorId, Tally>, StoreError> {
    let results = response.write_results.iter().skip(recorded);
    let read = |(Group { contributor, .. }, result): (&Group<'_, '_>, _)| {
        let tally = tally_of(result).ok_or_else(|| {
            StoreError::Broken(format!("the commit was answered without the tally of {contributor}"))
        })?;
        Ok(((*contributor).clone(), tally))
    };
    groups.iter().zip(results).map(read).collect()
}

/// Adds the tallies of those `contributors` that `tallies` lacks; as they were at `at`, if given.
pub(super) async fn read_missing<'c>(
    client: &Client,
    contributors: impl Iterator<Item = &'c ContributorId>,
    tallies: &mut HashMap<ContributorId, Tally>,
    at: Option<FirestoreInstant>,
    retry: &mut Retry,
) -> Result<(), StoreError> {
    let missing: HashMap<String, &ContributorId> = contributors
        .filter(|contributor| !tallies.contains_key(contributor))
        .map(|contributor| (document_id(contributor.as_str()), contributor))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = missing.keys().cloned().collect();
    for document in client.get(CONTRIBUTORS, &ids, at, retry).await? {
        if let Some(&contributor) = missing.get(codec::id_of(&document)) {
            tallies.insert(contributor.clone(), read_tally(&document)?);
        }
    }
    Ok(())
}

/// What a contributor's document becomes by contributions that are recorded now, of which `counted` count. The
/// answer has the results of the first two: the tally, and the highest milestone recognised.
pub(super) fn joining(
    counted: i64,
    now: Moment,
    raise: Option<&Raise>,
    first: Option<&Arrival<'_>>,
) -> Vec<FirestoreFieldTransform> {
    let at = codec::value(now.timestamp_micros());
    let recognized = first.map_or(0, |one| one.recognized);
    let mut transforms = changing(counted, recognized.max(raise.map_or(0, |raise| raise.milestone)));
    transforms.extend([
        FirestoreFieldTransform::new("first_at".to_owned(), FirestoreFieldTransformType::Minimum(at.clone())),
        FirestoreFieldTransform::new("last_at".to_owned(), FirestoreFieldTransformType::Maximum(at)),
    ]);
    transforms
}

/// What a contributor's document becomes by `counted` contributions more, or fewer.
pub(super) fn changing(counted: i64, recognized: u64) -> Vec<FirestoreFieldTransform> {
    vec![
        FirestoreFieldTransform::new(
            "tally".to_owned(),
            FirestoreFieldTransformType::Increment(codec::difference(counted)),
        ),
        FirestoreFieldTransform::new(
            "recognized".to_owned(),
            FirestoreFieldTransformType::Maximum(codec::integer(recognized)),
        ),
    ]
}

pub(super) fn recorded(novelty: Novelty, tally: Tally, counted_for: Option<ContributorId>) -> Recorded {
    Recorded { novelty, tally: tally.tally, recognized: tally.recognized, counted_for, private: false }
}

pub(super) fn read_tally(document: &firestore::FirestoreDocument) -> Result<Tally, StoreError> {
    let standing = codec::read::<ContributorFields>(document)?.standing()?;
    Ok(Tally { tally: standing.tally, recognized: standing.recognized })
}

pub(super) fn tally_of(result: &FirestoreWriteResult) -> Option<Tally> {
    let mut made = result.transform_results.iter();
    let mut next = || u64::try_from(codec::as_integer(made.next()?)?).ok();
    Some(Tally { tally: next()?, recognized: next()? })
}

pub(super) fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(error.to_string())
}
