//! Recording: contributions and their contributors' tallies, in one transaction.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{OptionalExtension, Transaction, params};

use super::forget::{Forgotten, Keys};
use super::rows::{kind_value, signed, unsigned};
use super::work::{Tally, are_any_reviewed, is_reviewed, load, save, tally_of};
use crate::domain::{Contribution, ContributorId, Fingerprint, Milestones, Moment, Standing, Work, WorkId};
use crate::store::{History, Novelty, Recorded};

/// Records a batch and raises its contributors' highest milestones to what their tallies reach; nothing of it where
/// something is owed before.
pub(super) fn record_history(
    transaction: &Transaction<'_>,
    keys: &Keys,
    batch: &[Contribution],
    milestones: &Milestones,
    now: Moment,
) -> rusqlite::Result<History> {
    let mut reached: BTreeMap<&ContributorId, u64> = batch.iter().map(|c| (&c.contributor, 0)).collect();
    let mut owed = Vec::new();
    for &contributor in reached.keys() {
        let Some(Tally { tally, recognized }) = tally_of(transaction, contributor).optional()? else {
            continue;
        };
        if milestones.between(recognized, tally).next().is_some() {
            owed.push(Standing { contributor: contributor.clone(), tally, recognized });
        }
    }
    if !owed.is_empty() {
        return Ok(History::Owed(owed));
    }
    let mut recorded = record(transaction, keys, batch, now)?;
    for (contributor, reached) in &mut reached {
        let Some(Tally { tally, .. }) = tally_of(transaction, contributor).optional()? else { continue };
        *reached = milestones.reached(tally);
        transaction
            .prepare_cached("UPDATE contributors SET recognized = ?2 WHERE id = ?1 AND recognized < ?2")?
            .execute(params![contributor.as_str(), signed(*reached)])?;
    }
    let own = |recorded: &Recorded| recorded.counted_for.is_none() && recorded.novelty != Novelty::Forgotten;
    for (one, recorded) in batch.iter().zip(&mut recorded).filter(|(_, recorded)| own(recorded)) {
        recorded.recognized = recorded.recognized.max(reached.get(&one.contributor).copied().unwrap_or(0));
    }
    Ok(History::Recorded(recorded))
}

/// Records a batch.
pub(super) fn record(
    transaction: &Transaction<'_>,
    keys: &Keys,
    batch: &[Contribution],
    now: Moment,
) -> rusqlite::Result<Vec<Recorded>> {
    let forgotten = Forgotten::of(transaction, keys)?;
    let reviewed = are_any_reviewed(transaction)?;
    let mut recording = Recording { transaction, now, reviewed, repositories: HashMap::new() };
    let record = |one| if forgotten.has(one)? { Ok(Recorded::FORGOTTEN) } else { recording.record(one) };
    batch.iter().map(record).collect()
}

/// A batch that is being recorded.
struct Recording<'a> {
    transaction: &'a Transaction<'a>,
    now: Moment,
    /// Whether there is any review: without one, no contribution needs a look at them.
    reviewed: bool,
    /// The numbers of the batch's repositories.
    repositories: HashMap<&'a str, i64>,
}

impl<'a> Recording<'a> {
    fn record(&mut self, c: &'a Contribution) -> rusqlite::Result<Recorded> {
        let id = c.work();
        // A contribution that is a work of its own and new needs no more than one look into a small table.
        if id.is(&c.id) && !(self.reviewed && is_reviewed(self.transaction, &id, &c.id)?) {
            let mut work = Work::default();
            work.record(c);
            let judged = judge(&mut work, c);
            if self.insert(c, judged)? {
                let tally = join(self.transaction, c, self.now, judged.counted)?;
                return Ok(recorded(Novelty::of_new(judged.counted), &tally, None));
            }
        }
        self.record_in_work(c, &id)
    }

    /// Records what may be a repeat, be taken back, or have other parts beside it.
    fn record_in_work(&mut self, c: &'a Contribution, id: &WorkId) -> rusqlite::Result<Recorded> {
        let mut work = load(self.transaction, id, self.reviewed)?;
        let before = work.clone();
        work.record(c);
        let judged = judge(&mut work, c);
        save(self.transaction, &before, &work)?;
        let known = before.part(&c.id).and_then(|part| Some((part, part.contributor.as_ref()?)));
        let Some((was, counted_for)) = known else {
            self.insert(c, judged)?;
            let tally = join(self.transaction, c, self.now, judged.counted)?;
            let recorded = recorded(Novelty::of_new(judged.counted), &tally, None);
            return Ok(Recorded { private: judged.private, ..recorded });
        };
        let novelty = if judged.counted && !was.counted {
            Novelty::New
        } else if !judged.counted && !work.is_deleted(&c.id) {
            Novelty::Retracted
        } else {
            Novelty::of_repeat(content_of(self.transaction, c)?, c.content)
        };
        let other = (*counted_for != c.contributor).then(|| counted_for.clone());
        let recorded = recorded(novelty, &tally_of(self.transaction, counted_for)?, other);
        Ok(Recorded { private: judged.private, ..recorded })
    }

    /// Stores the contribution; false where its id is known. Its contributor, if new, [`join`]s next.
    fn insert(&mut self, c: &'a Contribution, judged: Judged) -> rusqlite::Result<bool> {
        let repository = c.repository.as_deref().map(|name| self.repository(name)).transpose()?;
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO contributions (id, contributor, kind, occurred_at, recorded_at, title, url, repository,
                     private, user_id, content, labels_at, labels_rejected, landed_at, retracted)
                 VALUES (?1, coalesce((SELECT number FROM contributors WHERE id = ?2),
                             (SELECT coalesce(max(number), 0) + 1 FROM contributors)),
                     ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![
                c.id.as_str(),
                c.contributor.as_str(),
                kind_value(&c.kind),
                c.occurred_at.timestamp_micros(),
                self.now.timestamp_micros(),
                c.title,
                c.url,
                repository,
                judged.private,
                c.user_id.map(signed),
                c.content.map(|content| content.0),
                c.labels.map(|labels| labels.at.timestamp_micros()),
                c.labels.map(|labels| labels.rejected),
                c.landed_at.map(|at| at.timestamp_micros()),
                !judged.counted,
            ])?;
        Ok(inserted > 0)
    }

    /// The number of a repository, which may be new.
    fn repository(&mut self, name: &'a str) -> rusqlite::Result<i64> {
        if let Some(number) = self.repositories.get(name) {
            return Ok(*number);
        }
        let known = self
            .transaction
            .prepare_cached("SELECT number FROM repositories WHERE name = ?1")?
            .query_row([name], |row| row.get("number"))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => self
                .transaction
                .prepare_cached("INSERT INTO repositories (name) VALUES (?1) RETURNING number")?
                .query_row([name], |row| row.get("number"))?,
        };
        self.repositories.insert(name, number);
        Ok(number)
    }
}

/// What decides how a contribution is stored.
#[derive(Clone, Copy)]
struct Judged {
    counted: bool,
    private: bool,
}

fn judge(work: &mut Work, c: &Contribution) -> Judged {
    work.judge();
    let part = work.part(&c.id);
    Judged {
        counted: part.is_some_and(|part| part.counted),
        private: part.map_or(c.private, |part| part.private),
    }
}

/// Adds a new contribution to its contributor, who may be new too and gets the next number; to the tally only if it
/// counts.
fn join(
    transaction: &Transaction<'_>,
    c: &Contribution,
    now: Moment,
    counted: bool,
) -> rusqlite::Result<Tally> {
    transaction
        .prepare_cached(
            "INSERT INTO contributors (id, tally, recognized, user_id, account_url, first_at, last_at)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?5)
             ON CONFLICT (id) DO UPDATE SET tally = tally + excluded.tally, user_id = coalesce(excluded.user_id, user_id),
                 account_url = coalesce(excluded.account_url, account_url), last_at = excluded.last_at
             RETURNING tally, recognized",
        )?
        .query_row(
            params![
                c.contributor.as_str(),
                i64::from(counted),
                c.user_id.map(signed),
                c.account_url,
                now.timestamp_micros()
            ],
            |row| Ok(Tally { tally: unsigned(row.get("tally")?), recognized: unsigned(row.get("recognized")?) }),
        )
}

fn content_of(transaction: &Transaction<'_>, c: &Contribution) -> rusqlite::Result<Option<Fingerprint>> {
    let content: Option<[u8; 16]> = transaction
        .prepare_cached("SELECT content FROM contributions WHERE id = ?1")?
        .query_row([c.id.as_str()], |row| row.get("content"))?;
    Ok(content.map(Fingerprint))
}

fn recorded(novelty: Novelty, tally: &Tally, counted_for: Option<ContributorId>) -> Recorded {
    Recorded { novelty, tally: tally.tally, recognized: tally.recognized, counted_for, private: false }
}
