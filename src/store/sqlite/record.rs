//! Recording: contributions and their contributors' tallies, in one transaction.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use rusqlite::{OptionalExtension, Transaction, params};

use super::accounts::next_number;
use super::forget::{Forgotten, Keys};
use super::moves::{raise, show};
use super::naming::{Known, Place, Whom, are_any_accounts, follow, id_of, is_number_known};
use super::rows::{contributor_id, kind_value, signed, unsigned};
use super::work::{Tally, are_any_reviewed, is_reviewed, load, save, tally, tally_of, with_other_logins};
use crate::domain::{
    Contribution, ContributionId, ContributorId, Fingerprint, Kind, Milestones, Moment, Standing, Work,
    WorkId,
};
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
    let mut owed = Vec::new();
    // This keeps what the batch states about names and numbers: that moves contributions, and may make one owed.
    for contributor in contributors_of(transaction, keys, batch, now)? {
        let Some(standing) = standing_of(transaction, contributor)? else { continue };
        if milestones.between(standing.recognized, standing.tally).next().is_some() {
            owed.push(standing);
        }
    }
    if !owed.is_empty() {
        return Ok(History::Owed(owed));
    }
    let mut recorded = record(transaction, keys, batch, now)?;
    let mut reached = HashMap::new();
    for contributor in contributors_of(transaction, keys, batch, now)? {
        let Some(standing) = standing_of(transaction, contributor)? else { continue };
        let highest = milestones.reached(standing.tally);
        raise(transaction, contributor, highest)?;
        reached.insert(standing.contributor, highest);
    }
    let counted = batch.iter().zip(&mut recorded);
    for (one, recorded) in counted.filter(|(_, recorded)| recorded.novelty != Novelty::Forgotten) {
        let who = recorded.counted_for.as_ref().unwrap_or(&one.contributor);
        recorded.recognized = recorded.recognized.max(reached.get(who).copied().unwrap_or(0));
    }
    Ok(History::Recorded(recorded))
}

/// The numbers of those for whom the batch counts; one that is new has none.
fn contributors_of(
    transaction: &Transaction<'_>,
    keys: &Keys,
    batch: &[Contribution],
    now: Moment,
) -> rusqlite::Result<BTreeSet<i64>> {
    let forgotten = Forgotten::of(transaction, keys)?;
    let mut recording = Recording::of(transaction, &forgotten, now)?;
    let mut contributors = BTreeSet::new();
    for one in batch {
        if !forgotten.has(one)? {
            let whom = recording.whom(one)?;
            contributors.extend((whom.place != Place::Nowhere).then_some(whom.contributor));
        }
    }
    Ok(contributors)
}

fn standing_of(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<Option<Standing>> {
    transaction
        .prepare_cached("SELECT id, tally, recognized FROM contributors WHERE number = ?1")?
        .query_row([number], |row| {
            Ok(Standing {
                contributor: contributor_id(row, "id")?,
                tally: unsigned(row.get("tally")?),
                recognized: unsigned(row.get("recognized")?),
            })
        })
        .optional()
}

/// Records a batch.
pub(super) fn record(
    transaction: &Transaction<'_>,
    keys: &Keys,
    batch: &[Contribution],
    now: Moment,
) -> rusqlite::Result<Vec<Recorded>> {
    let forgotten = Forgotten::of(transaction, keys)?;
    let mut recording = Recording::of(transaction, &forgotten, now)?;
    let record = |one| if forgotten.has(one)? { Ok(Recorded::FORGOTTEN) } else { recording.record(one) };
    batch.iter().map(record).collect()
}

/// A batch that is being recorded.
struct Recording<'a> {
    transaction: &'a Transaction<'a>,
    forgotten: &'a Forgotten<'a>,
    now: Moment,
    /// Whether there is any review: without one, no contribution needs a look at them.
    reviewed: bool,
    /// The numbers of the batch's repositories.
    repositories: HashMap<&'a str, i64>,
    /// The contributors that have the batch's names.
    known: HashMap<&'a ContributorId, Known>,
    /// Whether any account is linked, renamed or has no contribution yet, or any login was that of several.
    accounts: bool,
}

impl<'a> Recording<'a> {
    fn of(
        transaction: &'a Transaction<'a>,
        forgotten: &'a Forgotten<'a>,
        now: Moment,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            transaction,
            forgotten,
            now,
            reviewed: are_any_reviewed(transaction)?,
            repositories: HashMap::new(),
            known: HashMap::new(),
            accounts: are_any_accounts(transaction)?,
        })
    }

    /// For whom a contribution counts. One whose name is its contributor's, with the known number or none, needs no
    /// more than the contributor's row, which is read once a batch.
    fn whom(&mut self, c: &'a Contribution) -> rusqlite::Result<Whom> {
        let mut known = self.known.get(&c.contributor).copied();
        if known.is_none() {
            known = Known::find(self.transaction, &c.contributor, self.accounts)?;
            self.known.extend(known.map(|known| (&c.contributor, known)));
        }
        match known {
            Some(known) if known.is_of(c) => Ok(Whom::plain(known.number, Place::Contributors)),
            None if !self.accounts && !self.is_number_known(c)? => {
                Ok(Whom::plain(next_number(self.transaction)?, Place::Nowhere))
            }
            _ => {
                let whom = follow(self.transaction, self.forgotten, c)?;
                self.known.clear();
                self.accounts = are_any_accounts(self.transaction)?;
                Ok(whom)
            }
        }
    }

    fn is_number_known(&self, c: &Contribution) -> rusqlite::Result<bool> {
        c.user_id.map_or(Ok(false), |number| is_number_known(self.transaction, number))
    }

    /// The contributor, where the contribution has another name.
    fn other(&self, whom: Whom) -> rusqlite::Result<Option<ContributorId>> {
        whom.is_other.then(|| id_of(self.transaction, whom.contributor)).transpose()
    }

    fn record(&mut self, c: &'a Contribution) -> rusqlite::Result<Recorded> {
        let whom = self.whom(c)?;
        let id = c.work();
        if self.accounts && self.has_under_another_login(c, whom)? {
            let who = id_of(self.transaction, whom.contributor)?;
            let tally = tally_of(self.transaction, &who)?;
            return Ok(recorded(Novelty::Same, &tally, whom.is_other.then_some(who)));
        }
        // A contribution that is a work of its own and new needs no more than one look into a small table.
        if id.is(&c.id) && !(self.reviewed && is_reviewed(self.transaction, &id, &c.id)?) {
            let mut work = Work::default();
            work.record(c);
            let judged = judge(&mut work, c);
            if self.insert(c, whom, judged)? {
                return self.join(c, whom, Novelty::of_new(judged.counted));
            }
        }
        if self.accounts && c.kind == Kind::PUSH && c.content.is_none() {
            return self.record_in_work(c, whom, &with_other_logins(&c.id));
        }
        self.record_in_work(c, whom, &id)
    }

    /// Records what may be a repeat, be taken back, or have other parts beside it.
    fn record_in_work(&mut self, c: &'a Contribution, whom: Whom, id: &WorkId) -> rusqlite::Result<Recorded> {
        let mut work = load(self.transaction, id, self.reviewed)?;
        let before = work.clone();
        // Its own name may be that of a contributor who has another part.
        let as_counted = match self.other(whom)? {
            Some(contributor) => Cow::Owned(Contribution { contributor, ..c.clone() }),
            None => Cow::Borrowed(c),
        };
        work.record(&as_counted);
        let judged = judge(&mut work, c);
        save(self.transaction, &before, &work)?;
        let known = before.part(&c.id).and_then(|part| Some((part, part.contributor.as_ref()?)));
        let Some((was, counted_for)) = known else {
            self.insert(c, whom, judged)?;
            let novelty = if work.is_repeat(&c.id) { Novelty::Same } else { Novelty::of_new(judged.counted) };
            return Ok(Recorded { private: judged.private, ..self.join(c, whom, novelty)? });
        };
        self.raise_named_at(c, whom)?;
        let novelty = if judged.counted && !was.counted {
            Novelty::New
        } else if !judged.counted && !work.is_deleted(&c.id) && !work.is_repeat(&c.id) {
            Novelty::Retracted
        } else {
            Novelty::of_repeat(content_of(self.transaction, c)?, c.content)
        };
        let other = (*counted_for != c.contributor).then(|| counted_for.clone());
        let recorded = recorded(novelty, &tally_of(self.transaction, counted_for)?, other);
        Ok(Recorded { private: judged.private, ..recorded })
    }

    /// Whether the same push is recorded with another login of its contributor in its id.
    fn has_under_another_login(&self, c: &Contribution, whom: Whom) -> rusqlite::Result<bool> {
        if c.kind != Kind::PUSH || c.content.is_some() || whom.place != Place::Contributors {
            return Ok(false);
        }
        let Some((push, login)) = c.id.as_str().rsplit_once(':') else { return Ok(false) };
        let mut names = self.transaction.prepare_cached(
            "SELECT id FROM contributors WHERE number = ?1 AND EXISTS (SELECT 1 FROM accounts WHERE contributor = ?1)
             UNION SELECT id FROM accounts WHERE contributor = ?1",
        )?;
        let names = names.query_map([whom.contributor], |row| contributor_id(row, "id"))?;
        let mut others: BTreeSet<_> = names.collect::<rusqlite::Result<_>>()?;
        others.retain(|other| other.host() == c.contributor.host() && other.login() != login);
        if others.is_empty() || self.is_recorded(&c.id, whom)? {
            return Ok(false);
        }
        for other in others {
            let id = ContributionId::from_text(format!("{push}:{}", other.login()));
            if self.is_recorded(&id, whom)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_recorded(&self, id: &ContributionId, whom: Whom) -> rusqlite::Result<bool> {
        self.transaction
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM contributions WHERE id = ?1 AND contributor = ?2) AS known",
            )?
            .query_row(params![id.as_str(), whom.contributor], |row| row.get("known"))
    }

    /// Stores the contribution; false where its id is known. Its contributor, if new, [`join`](Self::join)s next.
    fn insert(&mut self, c: &'a Contribution, whom: Whom, judged: Judged) -> rusqlite::Result<bool> {
        let repository = c.repository.as_deref().map(|name| self.repository(name)).transpose()?;
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO contributions (id, contributor, kind, occurred_at, recorded_at, title, url, repository,
                     private, user_id, content, labels_at, labels_rejected, landed_at, retracted, account)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                 ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![
                c.id.as_str(),
                whom.contributor,
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
                whom.account,
            ])?;
        Ok(inserted > 0)
    }

    /// Keeps that a repeat states the number anew.
    fn raise_named_at(&self, c: &Contribution, whom: Whom) -> rusqlite::Result<()> {
        if let Some(at) = c.number_stated_at().filter(|_| !whom.is_other) {
            self.transaction
                .prepare_cached("UPDATE contributors SET named_at = ?2 WHERE number = ?1 AND named_at < ?2")?
                .execute([whom.contributor, at.timestamp_micros()])?;
        }
        Ok(())
    }

    /// Adds a new contribution to its contributor, who may be new too; to the tally only if it counts.
    fn join(&mut self, c: &'a Contribution, whom: Whom, novelty: Novelty) -> rusqlite::Result<Recorded> {
        let now = self.now.timestamp_micros();
        let stated_at = c.number_stated_at().map(|at| at.timestamp_micros());
        if whom.place == Place::Accounts {
            show(self.transaction, whom.contributor, now)?;
        }
        let counted = i64::from(novelty == Novelty::New);
        if whom.place == Place::Nowhere {
            let (id, user_id) = (&c.contributor, c.user_id.map(signed));
            self.transaction
                .prepare_cached(
                    "INSERT INTO contributors
                         (number, id, host, login, tally, recognized, user_id, named_at, account_url, first_at, last_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?9)",
                )?
                .execute(params![
                    whom.contributor,
                    id.as_str(),
                    id.host().unwrap_or_default(),
                    id.login(),
                    counted,
                    user_id,
                    stated_at,
                    c.account_url,
                    now
                ])?;
        } else {
            // A number is set only where it is new, elsewhere: SQLite writes an index anew for each column that is set.
            let own = whom.account.is_none();
            self.transaction
                .prepare_cached(
                    "UPDATE contributors SET tally = tally + ?2, last_at = ?3,
                         account_url = coalesce(?4, account_url), named_at = coalesce(max(named_at, ?5), named_at)
                     WHERE number = ?1",
                )?
                .execute(params![
                    whom.contributor,
                    counted,
                    now,
                    c.account_url.as_ref().filter(|_| own && !whom.is_other),
                    stated_at.filter(|_| !whom.is_other)
                ])?;
        }
        // Read anew: RETURNING has SQLite make a table and a journal for each statement, which costs more.
        let tally = self
            .transaction
            .prepare_cached("SELECT tally, recognized FROM contributors WHERE number = ?1")?
            .query_row([whom.contributor], tally)?;
        Ok(recorded(novelty, &tally, self.other(whom)?))
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

fn content_of(transaction: &Transaction<'_>, c: &Contribution) -> rusqlite::Result<Option<Fingerprint>> {
    let content: Option<[u8; 16]> = transaction
        .prepare_cached("SELECT content FROM contributions WHERE id = ?1")?
        .query_row([c.id.as_str()], |row| row.get("content"))?;
    Ok(content.map(Fingerprint))
}

fn recorded(novelty: Novelty, tally: &Tally, counted_for: Option<ContributorId>) -> Recorded {
    Recorded { novelty, tally: tally.tally, recognized: tally.recognized, counted_for, private: false }
}
