//! Recording: contributions and their contributors' tallies, in one transaction.

use rusqlite::{Row, Transaction, params};

use super::rows::{contributor_id, signed, unsigned};
use crate::domain::{Contribution, Fingerprint, Moment};
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
            "INSERT INTO contributors (id, tally, recognized, user_id, first_at, last_at) VALUES (?1, 1, 0, ?2, ?3, ?3)
             ON CONFLICT (id) DO UPDATE SET tally = tally + 1, user_id = coalesce(excluded.user_id, user_id), last_at = excluded.last_at
             RETURNING tally, recognized",
        )?
        .query_row(params![c.contributor.as_str(), c.user_id.map(signed), now], |row| {
            recorded(row, Novelty::New)
        })
}

/// A repeat: answered with the tally of the contributor for whom it was counted first.
fn known(transaction: &Transaction<'_>, c: &Contribution) -> rusqlite::Result<Recorded> {
    let (content, counted_for) = transaction
        .prepare_cached("SELECT content, contributor FROM contributions WHERE id = ?1")?
        .query_row([c.id.as_str()], |row| {
            Ok((row.get::<_, Option<[u8; 16]>>("content")?, contributor_id(row, "contributor")?))
        })?;
    let novelty = Novelty::of_repeat(content.map(Fingerprint), c.content);
    let recorded = transaction
        .prepare_cached("SELECT tally, recognized FROM contributors WHERE id = ?1")?
        .query_row([counted_for.as_str()], |row| recorded(row, novelty))?;
    Ok(Recorded { counted_for: (counted_for != c.contributor).then_some(counted_for), ..recorded })
}

fn recorded(row: &Row<'_>, novelty: Novelty) -> rusqlite::Result<Recorded> {
    let (tally, recognized) = (unsigned(row.get("tally")?), unsigned(row.get("recognized")?));
    Ok(Recorded { novelty, tally, recognized, counted_for: None })
}
