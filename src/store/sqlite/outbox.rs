//! Recognitions that are owed, made and due.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::connection::Sqlite;
use super::rows::{
    CONTRIBUTIONS, CONTRIBUTORS, RECOGNITION, RECOGNITIONS, contributor, counted, moment, recognition,
    signed, unsigned,
};
use crate::domain::{
    Contribution, ContributorId, Destination, Milestones, Moment, Recognition, RecognitionId, Standing,
};
use crate::store::{Backlog, Due, Settled, StoreError};

pub(super) async fn recognise(
    sqlite: &Sqlite,
    made: &[Recognition],
    destinations: &[Destination],
) -> Result<Vec<bool>, StoreError> {
    let (made, destinations) = (made.to_vec(), destinations.to_vec());
    sqlite
        .write(move |transaction| made.iter().map(|r| recognise_one(transaction, r, &destinations)).collect())
        .await
}

fn recognise_one(
    transaction: &Transaction<'_>,
    recognition: &Recognition,
    destinations: &[Destination],
) -> rusqlite::Result<bool> {
    let made_at = recognition.recognized_at.timestamp_micros();
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO recognitions (id, contributor, milestone, tally, recognized_at, contribution, account_url)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
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

/// Reads every contributor whose tally is above what is recognized: an index would cost every commit
/// more than this costs a drain.
pub(super) async fn owing(
    sqlite: &Sqlite,
    milestones: &Milestones,
    limit: usize,
) -> Result<Vec<Standing>, StoreError> {
    let milestones = milestones.clone();
    sqlite
        .read(move |connection| {
            let sql = format!("{CONTRIBUTORS} WHERE tally > recognized");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], contributor)?;
            let standings = rows.map(|row| row.map(|contributor| contributor.standing));
            let owes = |s: &Standing| milestones.next(s.recognized).is_some_and(|next| next <= s.tally);
            standings.filter(|row| row.as_ref().map_or(true, owes)).take(limit).collect()
        })
        .await
}

/// Of the contributions that count now, the one with which the contributor's tally became `tally`.
pub(super) async fn reached(
    sqlite: &Sqlite,
    contributor: &ContributorId,
    tally: u64,
) -> Result<Option<Contribution>, StoreError> {
    let (contributor, place) = (contributor.to_string(), signed(tally.saturating_sub(1)));
    sqlite
        .read(move |connection| {
            let sql = format!("{CONTRIBUTIONS} WHERE c.contributor = ?1 AND NOT c.retracted ORDER BY c.seq LIMIT 1 OFFSET ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row(params![contributor, place], |row| Ok(counted(row)?.contribution)).optional()
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
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
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
    limit: i64,
) -> rusqlite::Result<Vec<Due>> {
    let sql = format!(
        "SELECT {RECOGNITION}, o.tries AS o_tries FROM outbox o JOIN {RECOGNITIONS}
         WHERE r.id = o.recognition AND o.destination = ?1 AND o.state = 'waiting' AND o.next_try <= ?2
         ORDER BY o.next_try, r.seq LIMIT ?3",
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![destination.as_str(), now.timestamp_micros(), limit], |row| {
        Ok(Due { recognition: recognition(row)?, tries: row.get("o_tries")? })
    })?;
    rows.collect()
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
    sqlite
        .read(move |connection| {
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
                let oldest = oldest.map(moment).transpose()?;
                backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
            }
            Ok(backlog)
        })
        .await
}
