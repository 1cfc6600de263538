//! What one commit writes: contributions, tallies, recognitions and where they are due.

use rusqlite::{Transaction, params};

use super::rows::{contributor_id, signed, unsigned};
use crate::domain::{Contribution, Destination, Fingerprint, Moment, Recognition};
use crate::store::{Novelty, Recorded};

pub(super) fn record_one(
    transaction: &Transaction<'_>,
    c: &Contribution,
    now: Moment,
) -> rusqlite::Result<Recorded> {
    let now = now.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO contributions (id, contributor, kind, occurred_at, recorded_at, title, url, repository, private, user_id, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            c.id.as_str(),
            c.contributor.as_str(),
            c.kind.as_str(),
            c.occurred_at.timestamp_micros(),
            now,
            c.title,
            c.url,
            c.repository,
            c.private,
            c.user_id.map(signed),
            c.content.map(|content| content.0),
        ])?;
    if inserted == 0 {
        return known(transaction, c);
    }
    transaction
        .prepare_cached(
            "INSERT INTO contributors (id, tally, recognised, user_id, first_at, last_at) VALUES (?1, 1, 0, ?2, ?3, ?3)
             ON CONFLICT (id) DO UPDATE SET tally = tally + 1, user_id = coalesce(excluded.user_id, user_id), last_at = excluded.last_at
             RETURNING tally, recognised",
        )?
        .query_row(params![c.contributor.as_str(), c.user_id.map(signed), now], |row| {
            let (tally, recognised) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
            Ok(Recorded { novelty: Novelty::New, tally, recognised, counted_for: None })
        })
}

pub(super) fn known(transaction: &Transaction<'_>, c: &Contribution) -> rusqlite::Result<Recorded> {
    let (content, contributor): (Option<[u8; 16]>, String) = transaction
        .prepare_cached("SELECT content, contributor FROM contributions WHERE id = ?1")?
        .query_row([c.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction.prepare_cached("SELECT tally, recognised FROM contributors WHERE id = ?1")?.query_row(
        [&contributor],
        |row| {
            let (tally, recognised) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
            let counted_for = contributor_id(&contributor)?;
            Ok(Recorded {
                novelty: Novelty::of_repeat(content.map(Fingerprint), c.content),
                tally,
                recognised,
                counted_for: (counted_for != c.contributor).then_some(counted_for),
            })
        },
    )
}

pub(super) fn recognise_one(
    transaction: &Transaction<'_>,
    recognition: &Recognition,
    destinations: &[Destination],
) -> rusqlite::Result<bool> {
    let made_at = recognition.recognized_at.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO recognitions (id, contributor, milestone, tally, recognized_at, contribution)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            recognition.id.as_str(),
            recognition.contributor.as_str(),
            signed(recognition.milestone),
            signed(recognition.tally),
            made_at,
            recognition.contribution.as_ref().map(|c| c.id.as_str()),
        ])?;
    if inserted > 0 {
        let mut due = transaction.prepare_cached(
            "INSERT INTO outbox (recognition, destination, state, next_try) VALUES (?1, ?2, 'waiting', ?3)",
        )?;
        for destination in destinations {
            due.execute(params![recognition.id.as_str(), destination.as_str(), made_at])?;
        }
    }
    transaction
        .prepare_cached("UPDATE contributors SET recognised = max(recognised, ?2) WHERE id = ?1")?
        .execute(params![recognition.contributor.as_str(), signed(recognition.milestone)])?;
    Ok(inserted > 0)
}
