//! Recognitions that are owed, made and due.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::connection::Sqlite;
use super::forget::Forgotten;
use super::queries;
use super::rows::{
    RECOGNITION, RECOGNITIONS, counted, moment, read, readable, recognition, signed, unsigned,
};
use crate::domain::{Contribution, ContributorId, Destination, Moment, Recognition, RecognitionId};
use crate::store::{Backlog, Due, LONGEST_DELAY, Recognised, Settled, StoreError};

pub(super) async fn recognise(
    sqlite: &Sqlite,
    made: &[Recognition],
    destinations: &[Destination],
) -> Result<Recognised, StoreError> {
    let (made, destinations, keys) = (made.to_vec(), destinations.to_vec(), Arc::clone(&sqlite.keys));
    let new = sqlite
        .write(move |transaction| {
            let forgotten = Forgotten::of(transaction, &keys)?;
            let mut new = Vec::with_capacity(made.len());
            for recognition in &made {
                if forgotten.has_name(&recognition.contributor)? {
                    continue;
                }
                if recognise_one(transaction, recognition, &destinations)? {
                    new.push(as_stored(transaction, recognition.clone())?);
                }
            }
            Ok(new)
        })
        .await?;
    Ok(Recognised { new, failure: None })
}

/// With its contribution as private as it is by now.
fn as_stored(transaction: &Transaction<'_>, mut recognition: Recognition) -> rusqlite::Result<Recognition> {
    if let Some(named) = recognition.contribution.as_mut().filter(|named| !named.private) {
        let mut statement = transaction.prepare_cached("SELECT private FROM contributions WHERE id = ?1")?;
        named.private = statement
            .query_row([named.id.as_str()], |row| row.get("private"))
            .optional()?
            .unwrap_or_default();
    }
    Ok(recognition)
}

fn recognise_one(
    transaction: &Transaction<'_>,
    recognition: &Recognition,
    destinations: &[Destination],
) -> rusqlite::Result<bool> {
    if is_owed_by_another(transaction, recognition)? {
        return Ok(false);
    }
    let made_at = recognition.recognized_at.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO recognitions (seq, id, contributor, milestone, tally, recognized_at, contribution, account_url)
             VALUES (1 + max(coalesce((SELECT max(seq) FROM recognitions), 0),
                             coalesce((SELECT last FROM sequences WHERE name = 'recognitions'), 0)),
                 ?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            recognition.id.as_str(),
            recognition.contributor.as_str(),
            signed(recognition.milestone),
            signed(recognition.tally),
            made_at,
            recognition.contribution.as_ref().map(|c| c.id.as_str()),
            recognition.account_url,
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
        .prepare_cached("UPDATE contributors SET recognized = max(recognized, ?2) WHERE id = ?1")?
        .execute(params![recognition.contributor.as_str(), signed(recognition.milestone)])?;
    Ok(inserted > 0)
}

/// Whether accounts were linked, renamed or parted since it was found to be owed: its account, or the contribution
/// that reached the milestone, counts for another contributor, or another account brought the milestone with it. Or its
/// contributor is erased, or has nothing left.
fn is_owed_by_another(transaction: &Transaction<'_>, recognition: &Recognition) -> rusqlite::Result<bool> {
    let recognized: Option<i64> = transaction
        .prepare_cached("SELECT recognized FROM contributors WHERE id = ?1")?
        .query_row([recognition.contributor.as_str()], |row| row.get("recognized"))
        .optional()?;
    if recognized.is_none_or(|recognized| unsigned(recognized) >= recognition.milestone) {
        return Ok(true);
    }
    let Some(contribution) = &recognition.contribution else { return Ok(false) };
    let counts_for: Option<String> = transaction
        .prepare_cached(
            "SELECT p.id FROM contributions c JOIN contributors p ON p.number = c.contributor WHERE c.id = ?1",
        )?
        .query_row([contribution.id.as_str()], |row| row.get("id"))
        .optional()?;
    Ok(counts_for.is_some_and(|id| id != recognition.contributor.as_str()))
}

/// Of the contributions that count now, the one with which the contributor's tally became `tally`; `None` too where
/// that one cannot be read, since a recognition must not wait for it.
pub(super) async fn reached(
    sqlite: &Sqlite,
    contributor: &ContributorId,
    tally: u64,
) -> Result<Option<Contribution>, StoreError> {
    let (contributor, place) = (contributor.to_string(), signed(tally.saturating_sub(1)));
    sqlite
        .read_long(move |connection| {
            let mut statement = connection.prepare_cached(&queries::reached())?;
            let mut rows = statement.query(params![contributor, place])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(read(row, "id", counted).map(|counted| counted.contribution))
        })
        .await
}

pub(super) async fn claim(
    sqlite: &Sqlite,
    destination: Destination,
    now: Moment,
    held_until: Moment,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    let find = move |connection: &Connection| find_due(connection, destination, now, limit);
    let due = sqlite.read(find).await?;
    // Where nothing is due, there is nothing to write.
    if held_until <= now || due.is_empty() {
        return Ok(due);
    }
    sqlite
        .write(move |transaction| {
            let due = find(transaction)?;
            let mut hold = transaction.prepare_cached(
                "UPDATE outbox SET next_try = ?3 WHERE recognition = ?1 AND destination = ?2",
            )?;
            for held in &due {
                let id = held.recognition.id.as_str();
                hold.execute(params![id, destination.as_str(), held_until.timestamp_micros()])?;
            }
            Ok(due)
        })
        .await
}

fn find_due(
    connection: &Connection,
    destination: Destination,
    now: Moment,
    limit: usize,
) -> rusqlite::Result<Vec<Due>> {
    let sql = format!(
        "SELECT {RECOGNITION}, o.tries AS o_tries FROM outbox o JOIN {RECOGNITIONS}
         WHERE r.id = o.recognition AND o.destination = ?1 AND o.state = 'waiting' AND o.next_try BETWEEN ?2 AND ?3
         ORDER BY o.next_try, r.seq",
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut due = Vec::new();
    let strays = now + LONGEST_DELAY + Duration::from_micros(1);
    for (from, to) in [(Moment::MIN_UTC, now), (strays, Moment::MAX_UTC)] {
        let within = params![destination.as_str(), from.timestamp_micros(), to.timestamp_micros()];
        due.extend(readable(statement.query(within)?, "r_id", limit - due.len(), |row| {
            Ok(Due { recognition: recognition(row)?, tries: row.get("o_tries")? })
        })?);
    }
    Ok(due)
}

pub(super) async fn next_due(
    sqlite: &Sqlite,
    destination: Destination,
) -> Result<Option<Moment>, StoreError> {
    sqlite
        .read(move |connection| {
            let sql = "SELECT min(next_try) FROM outbox WHERE destination = ?1 AND state = 'waiting'";
            let mut statement = connection.prepare_cached(sql)?;
            let next = statement.query_row([destination.as_str()], |row| row.get::<_, Option<i64>>(0))?;
            next.map(moment).transpose()
        })
        .await
}

pub(super) async fn settle(
    sqlite: &Sqlite,
    settled: &[(RecognitionId, Destination, Settled)],
) -> Result<(), StoreError> {
    let settled = settled.to_vec();
    sqlite
        .write(move |transaction| {
            for (id, destination, became) in &settled {
                let (set, value) = match became {
                    Settled::Postponed(at) => ("next_try = ?3", Value::Integer(at.timestamp_micros())),
                    Settled::Done => ("state = 'done', reason = ?3", Value::Null),
                    Settled::GivenUp(reason) => {
                        ("state = 'given_up', reason = ?3", Value::Text(reason.code().to_owned()))
                    }
                    Settled::Later(at) => {
                        ("next_try = ?3, tries = tries + 1", Value::Integer(at.timestamp_micros()))
                    }
                };
                let sql = format!(
                    "UPDATE outbox SET {set} WHERE recognition = ?1 AND destination = ?2 AND state = 'waiting'"
                );
                transaction.prepare_cached(&sql)?.execute(params![
                    id.as_str(),
                    destination.as_str(),
                    value
                ])?;
            }
            Ok(())
        })
        .await
}

pub(super) async fn backlog(sqlite: &Sqlite, destinations: &[Destination]) -> Result<Backlog, StoreError> {
    let destinations = destinations.to_vec();
    sqlite.read_long(move |connection| waiting(connection, &destinations)).await
}

pub(super) fn waiting(connection: &Connection, destinations: &[Destination]) -> rusqlite::Result<Backlog> {
    let mut backlog = Backlog::default();
    for destination in destinations {
        let sql = "SELECT count(*) AS waiting, min(r.recognized_at) AS oldest
                   FROM outbox o JOIN recognitions r ON r.id = o.recognition
                   WHERE o.destination = ?1 AND o.state = 'waiting'";
        let mut statement = connection.prepare_cached(sql)?;
        let (waiting, oldest) = statement.query_row([destination.as_str()], |row| {
            Ok((unsigned(row.get("waiting")?), row.get::<_, Option<i64>>("oldest")?))
        })?;
        backlog.waiting += waiting;
        // A time that cannot be read must not stop the drain.
        let oldest = oldest.and_then(|oldest| moment(oldest).ok());
        backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
    }
    Ok(backlog)
}
