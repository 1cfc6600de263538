//! Recording: one commit, no read, no transaction. Repeats are told apart only once a commit says that
//! there are some.

use std::collections::{HashMap, HashSet};

use firestore::{
    FirestoreFieldTransform, FirestoreFieldTransformType, FirestoreInstant, FirestoreTransactionData,
    FirestoreTransactionOps, FirestoreTransactionResponse, FirestoreWritePrecondition, FirestoreWriteResult,
    timestamp_utils,
};

use super::codec::{self, ContributionFields, ContributorFields, ContributorNames, document_id};
use super::queries::{CONTRIBUTIONS, CONTRIBUTORS};
use super::rpc::{Client, Fault, Retry};
use crate::domain::{Contribution, ContributorId, Fingerprint, Moment};
use crate::store::{Novelty, Recorded, StoreError};

/// How often repeats may turn up in one batch: each time they are taken out, so more than once only if
/// others record the same contributions at the same moment.
const ROUNDS: usize = 8;

/// A tally, and the highest milestone recognised.
#[derive(Clone, Copy, Default)]
struct Mark {
    tally: u64,
    recognised: u64,
}

/// What is known of a contribution of the batch.
enum Fate {
    Counted(Mark),
    KnownBefore(Known),
}

/// What a repeat is held against: what was counted first, and for whom.
#[derive(Clone)]
struct Known {
    content: Option<Fingerprint>,
    contributor: ContributorId,
}

/// A batch on its way into the ledger.
struct Recording<'a> {
    client: &'a Client,
    now: Moment,
    /// The same for every try, and for nothing else ever: what carries it was written by us.
    commit: String,
    /// Not yet decided, each once, in the batch's order.
    pending: Vec<&'a Contribution>,
    fates: HashMap<&'a str, Fate>,
    /// Where contributors stand now, as far as it is known.
    marks: HashMap<ContributorId, Mark>,
}

pub(super) async fn record(
    client: &Client,
    batch: &[Contribution],
    now: Moment,
) -> Result<Vec<Recorded>, StoreError> {
    let mut seen = HashSet::new();
    let mut recording = Recording {
        client,
        now,
        commit: uuid::Uuid::new_v4().simple().to_string(),
        pending: batch.iter().filter(|one| seen.insert(one.id.as_str())).collect(),
        fates: HashMap::new(),
        marks: HashMap::new(),
    };
    let mut retry = client.retry();
    recording.decide(&mut retry).await?;
    recording.answer(batch, &mut retry).await
}

impl<'a> Recording<'a> {
    /// Commits what is new, until every contribution's fate is known.
    async fn decide(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        for _ in 0..ROUNDS {
            if self.pending.is_empty() {
                return Ok(());
            }
            let groups = self.groups();
            let writes = self.writes(&groups)?;
            match self.client.commit(&writes, retry).await {
                Ok(response) => return self.counted(&groups, &response),
                Err(Fault::Exists) => self.sort_out(retry).await?,
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(StoreError::Unavailable("the same contributions are being recorded elsewhere".into()))
    }

    /// What is pending, by contributor, in the order in which they first stand.
    fn groups(&self) -> Vec<(&'a ContributorId, Vec<&'a Contribution>)> {
        let mut places = HashMap::new();
        let mut groups: Vec<(&ContributorId, Vec<&Contribution>)> = Vec::new();
        for &one in &self.pending {
            let place = *places.entry(&one.contributor).or_insert_with(|| {
                groups.push((&one.contributor, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, group)) = groups.get_mut(place) {
                group.push(one);
            }
        }
        groups
    }

    /// One write for each contribution, then one for each contributor: n + 1 for n of one contributor.
    fn writes(
        &self,
        groups: &[(&'a ContributorId, Vec<&'a Contribution>)],
    ) -> Result<FirestoreTransactionData, StoreError> {
        let mut writes = self.client.writes();
        for one in &self.pending {
            let fields = ContributionFields::new(one, Some((self.now, &self.commit)))?;
            let id = document_id(one.id.as_str());
            let create = Some(FirestoreWritePrecondition::Exists(false));
            writes.update_object(CONTRIBUTIONS, id, &fields, None, create, Vec::new()).map_err(refused)?;
        }
        for (contributor, group) in groups {
            let user_id = group.iter().rev().find_map(|one| one.user_id);
            let names = ContributorNames::of(contributor, user_id);
            let id = document_id(contributor.as_str());
            writes
                .update_object(
                    CONTRIBUTORS,
                    id,
                    &names,
                    Some(names.mask()),
                    None,
                    self.transforms(group.len()),
                )
                .map_err(refused)?;
        }
        Ok(writes)
    }

    /// The first two come back with what they made: the tally, and the highest milestone recognised.
    fn transforms(&self, counted: usize) -> Vec<FirestoreFieldTransform> {
        let at = codec::value(self.now.timestamp_micros());
        [
            ("tally", FirestoreFieldTransformType::Increment(codec::integer(counted as u64))),
            ("recognised", FirestoreFieldTransformType::Maximum(codec::integer(0))),
            ("first_at", FirestoreFieldTransformType::Minimum(at.clone())),
            ("last_at", FirestoreFieldTransformType::Maximum(at)),
        ]
        .into_iter()
        .map(|(field, transform)| FirestoreFieldTransform::new(field.to_owned(), transform))
        .collect()
    }

    fn counted(
        &mut self,
        groups: &[(&'a ContributorId, Vec<&'a Contribution>)],
        response: &FirestoreTransactionResponse,
    ) -> Result<(), StoreError> {
        let results = response.write_results.iter().skip(self.pending.len());
        let mut marks = results.map(mark_of);
        for (contributor, group) in groups {
            let mark = marks.next().flatten().ok_or_else(|| {
                StoreError::Broken(format!("the commit did not tell the tally of {contributor}"))
            })?;
            self.counted_for(contributor, group, mark);
        }
        self.pending.clear();
        Ok(())
    }

    /// Of n counted together the i-th has the tally `after − n + i`.
    fn counted_for(&mut self, contributor: &'a ContributorId, group: &[&'a Contribution], after: Mark) {
        let before = after.tally.saturating_sub(group.len() as u64);
        for (one, tally) in group.iter().zip(before + 1..) {
            let mark = Mark { tally, ..after };
            self.fates.insert(one.id.as_str(), Fate::Counted(mark));
        }
        self.marks.insert(contributor.clone(), after);
    }

    /// Reads which of the pending are known, and by whom.
    async fn sort_out(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        let ids: Vec<_> = self.pending.iter().map(|one| document_id(one.id.as_str())).collect();
        let mut known = HashMap::new();
        for document in self.client.get(CONTRIBUTIONS, &ids, None, retry).await? {
            let fields: ContributionFields = codec::read(&document)?;
            known.insert(codec::id_of(&document).to_owned(), (fields, document.create_time));
        }
        let mut ours_since = None;
        let mut ours = Vec::new();
        let mut unknown = Vec::new();
        for (one, id) in self.pending.iter().copied().zip(ids) {
            match known.get(&id) {
                None => unknown.push(one),
                Some((fields, since)) if fields.is_of(&self.commit) => {
                    ours_since = *since;
                    ours.push(one);
                }
                Some((fields, _)) => {
                    self.fates.insert(one.id.as_str(), Fate::KnownBefore(known_of(fields)?));
                }
            }
        }
        self.pending = ours;
        if let Some(since) = ours_since {
            let since = timestamp_utils::from_timestamp(since).map_err(refused)?;
            self.answer_was_lost(since, retry).await?;
        }
        self.pending = unknown;
        Ok(())
    }

    /// What is pending was applied at `since`. The contributors as they stood at that very instant tell
    /// what the answer would have told, whoever came after.
    async fn answer_was_lost(
        &mut self,
        since: FirestoreInstant,
        retry: &mut Retry,
    ) -> Result<(), StoreError> {
        let groups = self.groups();
        let ids: Vec<_> = groups.iter().map(|(contributor, _)| document_id(contributor.as_str())).collect();
        let mut marks = HashMap::new();
        for document in self.client.get(CONTRIBUTORS, &ids, Some(since), retry).await? {
            marks.insert(codec::id_of(&document).to_owned(), read_mark(&document)?);
        }
        for ((contributor, group), id) in groups.iter().zip(&ids) {
            let mark = marks.get(id).copied().ok_or_else(|| {
                StoreError::Broken(format!("contributions of {contributor} stand without their tally"))
            })?;
            self.counted_for(contributor, group, mark);
        }
        Ok(())
    }

    async fn answer(
        mut self,
        batch: &'a [Contribution],
        retry: &mut Retry,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.read_missing_marks(retry).await?;
        let mut first: HashMap<&str, Known> = HashMap::new();
        let mut answers = Vec::with_capacity(batch.len());
        for one in batch {
            let fate = self.fates.get(one.id.as_str()).ok_or_else(|| {
                StoreError::Broken(format!("the contribution {} was neither new nor known", one.id))
            })?;
            let known = match (fate, first.get(one.id.as_str())) {
                (Fate::Counted(mark), None) => {
                    let own = Known { content: one.content, contributor: one.contributor.clone() };
                    first.insert(one.id.as_str(), own);
                    answers.push(recorded(Novelty::New, *mark, None));
                    continue;
                }
                (Fate::Counted(_), Some(known)) | (Fate::KnownBefore(known), _) => known,
            };
            let mark = self.marks.get(&known.contributor).copied().unwrap_or_default();
            let other = (known.contributor != one.contributor).then(|| known.contributor.clone());
            answers.push(recorded(Novelty::of_repeat(known.content, one.content), mark, other));
        }
        Ok(answers)
    }

    /// A repeat is answered with where its contributor stands now.
    async fn read_missing_marks(&mut self, retry: &mut Retry) -> Result<(), StoreError> {
        let known = self.fates.values().filter_map(|fate| match fate {
            Fate::KnownBefore(known) => Some(&known.contributor),
            Fate::Counted(_) => None,
        });
        let missing: HashMap<String, ContributorId> = known
            .filter(|contributor| !self.marks.contains_key(contributor))
            .map(|contributor| (document_id(contributor.as_str()), contributor.clone()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = missing.keys().cloned().collect();
        for document in self.client.get(CONTRIBUTORS, &ids, None, retry).await? {
            if let Some(contributor) = missing.get(codec::id_of(&document)) {
                self.marks.insert(contributor.clone(), read_mark(&document)?);
            }
        }
        Ok(())
    }
}

fn recorded(novelty: Novelty, mark: Mark, counted_for: Option<ContributorId>) -> Recorded {
    Recorded { novelty, tally: mark.tally, recognised: mark.recognised, counted_for }
}

fn known_of(fields: &ContributionFields) -> Result<Known, StoreError> {
    Ok(Known { content: fields.content()?, contributor: fields.contributor()? })
}

fn read_mark(document: &firestore::FirestoreDocument) -> Result<Mark, StoreError> {
    let standing = codec::read::<ContributorFields>(document)?.standing()?;
    Ok(Mark { tally: standing.tally, recognised: standing.recognized })
}

fn mark_of(result: &FirestoreWriteResult) -> Option<Mark> {
    let mut made = result.transform_results.iter();
    let mut next = || u64::try_from(codec::as_integer(made.next()?)?).ok();
    Some(Mark { tally: next()?, recognised: next()? })
}

pub(super) fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(error.to_string())
}
