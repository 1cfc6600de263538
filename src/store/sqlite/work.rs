//! Works: which of their parts count, and what a review or a recording changes in that.
//!
//! All of it runs in the writer's one transaction, so that what is read here cannot change before it is
//! written.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::rows::{contributor_id, kind, labels, optional_moment, unsigned};
use crate::domain::{ContributionId, ContributorId, Kind, Part, Review, Work, WorkId};
use crate::store::Reviewed;

/// A contributor's tally, and the highest milestone recognised.
pub(super) struct Tally {
    pub(super) tally: u64,
    pub(super) recognized: u64,
}

pub(super) fn review(transaction: &Transaction<'_>, review: &Review) -> rusqlite::Result<Vec<Reviewed>> {
    let id = work_of(transaction, &review.work)?;
    let mut work = load(transaction, &id, true)?;
    let before = work.clone();
    work.review(review);
    work.judge();
    save_mark(transaction, &id, &work)?;
    save(transaction, &before, &work)?;
    let mut reviewed = Vec::new();
    for part in work.parts.iter().filter(|part| id == review.work || review.work.is(&part.id)) {
        let Some(contributor) = &part.contributor else { continue };
        let Tally { tally, recognized } = tally_of(transaction, contributor)?;
        reviewed.push(Reviewed {
            id: part.id.clone(),
            contributor: contributor.clone(),
            tally,
            recognized,
            counts: part.counted,
            changed: before.part(&part.id).is_some_and(|before| before.counted != part.counted),
        });
    }
    Ok(reviewed)
}

/// The work itself, or the work of the one contribution that `named` names: of a push, with what other logins have in
/// it.
fn work_of(transaction: &Transaction<'_>, named: &WorkId) -> rusqlite::Result<WorkId> {
    let found = transaction
        .prepare_cached("SELECT kind, content IS NULL AS by_host FROM contributions WHERE id = ?1")?
        .query_row([named.as_str()], |row| Ok((kind(row, "kind").ok(), row.get("by_host")?)))
        .optional()?;
    let kind = |(kind, by_host): (Option<Kind>, bool)| Some((kind?, by_host));
    Ok(found.and_then(kind).map_or_else(
        || named.clone(),
        |(kind, by_host)| {
            let id = ContributionId::from_text(named.as_str());
            if by_host && kind == Kind::PUSH {
                with_other_logins(&id)
            } else {
                WorkId::of(&id, &kind, by_host)
            }
        },
    ))
}

/// Whether a review has ruled on any work.
pub(super) fn are_any_reviewed(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM reviews) AS reviewed")?
        .query_row([], |row| row.get("reviewed"))
}

/// Whether a review has ruled on this work, or on this part of it alone.
pub(super) fn is_reviewed(
    transaction: &Transaction<'_>,
    work: &WorkId,
    part: &ContributionId,
) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM reviews WHERE work IN (?1, ?2)) AS reviewed")?
        .query_row([work.as_str(), part.as_str()], |row| row.get("reviewed"))
}

/// A pull request, or a push, with the parts that each login has in it.
pub(super) fn with_other_logins(part: &ContributionId) -> WorkId {
    WorkId::of(part, &Kind::PULL_REQUEST, true)
}

/// The marks of the work and of its parts, and the parts that are recorded. Parts follow their work in the
/// index of ids: `;` is the character after `:`. Without any review, there are no marks to look for.
pub(super) fn load(transaction: &Transaction<'_>, id: &WorkId, reviewed: bool) -> rusqlite::Result<Work> {
    let mut work = Work::default();
    let mut parts = transaction.prepare_cached(
        "SELECT id, (SELECT p.id FROM contributors p WHERE p.number = contributor) AS contributor, private, labels_at,
             labels_rejected, landed_at, retracted FROM contributions
         WHERE id = ?1 OR (id > ?1 || ':' AND id < ?1 || ';' AND kind IN (1, 2) AND content IS NULL
                           AND instr(substr(id, length(?1) + 2), ':') = 0)",
    )?;
    let parts = parts.query_map([id.as_str()], |row| {
        Ok(Part {
            id: ContributionId::from_text(row.get::<_, String>("id")?),
            contributor: Some(contributor_id(row, "contributor")?),
            deleted: false,
            private: row.get("private")?,
            labels: labels(row, "labels_at", "labels_rejected")?,
            landed_at: optional_moment(row, "landed_at")?,
            counted: !row.get::<_, bool>("retracted")?,
        })
    })?;
    for part in parts {
        work.parts.push(part?);
    }
    if !reviewed {
        return Ok(work);
    }
    let mut marks = transaction.prepare_cached(
        "SELECT work, deleted, private, labels_at, labels_rejected FROM reviews
         WHERE work = ?1 OR (work > ?1 || ':' AND work < ?1 || ';')",
    )?;
    let marks = marks.query_map([id.as_str()], |row| {
        let mark = Work {
            deleted: row.get("deleted")?,
            private: row.get("private")?,
            labels: labels(row, "labels_at", "labels_rejected")?,
            parts: Vec::new(),
        };
        Ok((row.get::<_, String>("work")?, mark))
    })?;
    for mark in marks {
        let (marked, mark) = mark?;
        if marked == id.as_str() {
            work = Work { parts: work.parts, ..mark };
        } else if mark.deleted {
            work.delete_part(&ContributionId::from_text(marked));
        }
    }
    Ok(work)
}

/// Keeps what a review said: of the work, and of the parts that are deleted alone, recorded or not.
fn save_mark(transaction: &Transaction<'_>, id: &WorkId, work: &Work) -> rusqlite::Result<()> {
    let mut mark = transaction.prepare_cached(
        "INSERT INTO reviews (work, deleted, private, labels_at, labels_rejected) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (work) DO UPDATE SET deleted = excluded.deleted, private = excluded.private,
             labels_at = excluded.labels_at, labels_rejected = excluded.labels_rejected",
    )?;
    let of_part = |part: &&Part| part.deleted && !id.is(&part.id);
    for part in work.parts.iter().filter(of_part) {
        mark.execute(params![part.id.as_str(), true, false, None::<i64>, None::<bool>])?;
    }
    let deleted = work.deleted || work.parts.iter().any(|part| part.deleted && id.is(&part.id));
    if deleted || work.private || work.labels.is_some() {
        let labels = work.labels;
        mark.execute(params![
            id.as_str(),
            deleted,
            work.private,
            labels.map(|labels| labels.at.timestamp_micros()),
            labels.map(|labels| labels.rejected),
        ])?;
    }
    Ok(())
}

/// Writes the parts that were recorded before and have changed since, and the tallies that this changes.
pub(super) fn save(transaction: &Transaction<'_>, before: &Work, work: &Work) -> rusqlite::Result<()> {
    for part in &work.parts {
        let was = before.part(&part.id).filter(|was| was.contributor.is_some() && *was != part);
        let (Some(was), Some(contributor)) = (was, &part.contributor) else { continue };
        transaction
            .prepare_cached(
                "UPDATE contributions SET labels_at = ?2, labels_rejected = ?3, landed_at = ?4, retracted = ?5,
                     private = ?6 WHERE id = ?1",
            )?
            .execute(params![
                part.id.as_str(),
                part.labels.map(|labels| labels.at.timestamp_micros()),
                part.labels.map(|labels| labels.rejected),
                part.landed_at.map(|at| at.timestamp_micros()),
                !part.counted,
                part.private,
            ])?;
        if was.counted != part.counted {
            transaction
                .prepare_cached("UPDATE contributors SET tally = max(0, tally + ?2) WHERE id = ?1")?
                .execute(params![contributor.as_str(), if part.counted { 1 } else { -1 }])?;
        }
    }
    Ok(())
}

pub(super) fn tally_of(
    transaction: &Transaction<'_>,
    contributor: &ContributorId,
) -> rusqlite::Result<Tally> {
    transaction
        .prepare_cached("SELECT tally, recognized FROM contributors WHERE id = ?1")?
        .query_row([contributor.as_str()], tally)
}

pub(super) fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    Ok(Tally { tally: unsigned(row.get("tally")?), recognized: unsigned(row.get("recognized")?) })
}
