//! The embedded store: one SQLite file, with nothing to set up.
//!
//! One thread writes, so that there is nothing to wait for but the disk; readers stand beside it. The
//! write-ahead log is synced at every commit (`synchronous=FULL`), before anyone is answered.

mod connection;
mod rows;
mod schema;
mod writes;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Backlog, Contributor, Counted, Due, Order, Page, Paged, Progress, ProgressState, Recorded, Settled,
    Store, StoreError, cursor,
};
use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Milestones, Moment, Recognition, RecognitionId,
    Standing,
};
pub use connection::Sqlite;
use rows::{
    CONTRIBUTION, CONTRIBUTOR, RECOGNITION, RECOGNITIONS, contributor, counted, moment, recognition, signed,
    strange, unsigned,
};
use writes::{recognise_one, record_one};

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError> {
        let batch = batch.to_vec();
        self.write(move |transaction| batch.iter().map(|c| record_one(transaction, c, now)).collect()).await
    }

    async fn recognise(
        &self,
        made: &[Recognition],
        destinations: &[Destination],
    ) -> Result<Vec<bool>, StoreError> {
        let (made, destinations) = (made.to_vec(), destinations.to_vec());
        self.write(move |transaction| {
            made.iter().map(|r| recognise_one(transaction, r, &destinations)).collect()
        })
        .await
    }

    /// Reads every contributor whose tally is above what is recognised: an index would cost every commit
    /// more than this costs a drain.
    async fn owing(&self, milestones: &Milestones, limit: usize) -> Result<Vec<Standing>, StoreError> {
        let milestones = milestones.clone();
        self.read(move |connection| {
            let sql = format!("{CONTRIBUTOR} WHERE tally > recognised");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], contributor)?;
            let standings = rows.map(|row| row.map(|contributor| contributor.standing));
            let owes = |s: &Standing| milestones.next(s.recognized).is_some_and(|next| next <= s.tally);
            standings.filter(|row| row.as_ref().map_or(true, owes)).take(limit).collect()
        })
        .await
    }

    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = move |connection: &Connection| -> rusqlite::Result<Vec<Due>> {
            let sql = format!(
                "SELECT {RECOGNITION}, o.tries FROM outbox o JOIN {RECOGNITIONS}
                 WHERE r.id = o.recognition AND o.destination = ?1 AND o.state = 'waiting' AND o.next_try <= ?2
                 ORDER BY o.next_try, r.seq LIMIT ?3",
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![destination.as_str(), now.timestamp_micros(), limit], |row| {
                    Ok(Due { recognition: recognition(row)?.1, tries: row.get(17)? })
                })?;
            rows.collect()
        };
        if held_until <= now {
            return self.read(find).await;
        }
        self.write(move |transaction| {
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

    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError> {
        let settled = settled.to_vec();
        self.write(move |transaction| {
            for (id, destination, became) in &settled {
                let (set, value) = match became {
                    Settled::Done => ("state = 'done', reason = ?3", Value::Null),
                    Settled::GivenUp(reason) => ("state = 'given_up', reason = ?3", Value::Text(reason.clone())),
                    Settled::Later(at) => {
                        ("next_try = ?3, tries = tries + 1", Value::Integer(at.timestamp_micros()))
                    }
                };
                let sql =
                    format!("UPDATE outbox SET {set} WHERE recognition = ?1 AND destination = ?2 AND state = 'waiting'");
                transaction.prepare_cached(&sql)?.execute(params![id.as_str(), destination.as_str(), value])?;
            }
            Ok(())
        })
        .await
    }

    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError> {
        let destinations = destinations.to_vec();
        self.read(move |connection| {
            let mut backlog = Backlog::default();
            for destination in destinations {
                let sql = "SELECT count(*), min(r.recognized_at) FROM outbox o JOIN recognitions r ON r.id = o.recognition
                           WHERE o.destination = ?1 AND o.state = 'waiting'";
                let mut statement = connection.prepare_cached(sql)?;
                let (waiting, oldest): (i64, Option<i64>) =
                    statement.query_row([destination.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
                backlog.waiting += unsigned(waiting);
                let oldest = oldest.map(moment).transpose()?;
                backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
            }
            Ok(backlog)
        })
        .await
    }

    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {CONTRIBUTION} WHERE id = ?1"))?;
            statement.query_row([id], |row| counted(row, 0)).optional()
        })
        .await
    }

    async fn reached(
        &self,
        contributor: &ContributorId,
        tally: u64,
    ) -> Result<Option<Contribution>, StoreError> {
        let (contributor, place) = (contributor.to_string(), signed(tally.saturating_sub(1)));
        self.read(move |connection| {
            let sql = format!("SELECT {CONTRIBUTION} WHERE contributor = ?1 ORDER BY seq LIMIT 1 OFFSET ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            statement
                .query_row(params![contributor, place], |row| Ok(counted(row, 0)?.contribution))
                .optional()
        })
        .await
    }

    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{CONTRIBUTOR} WHERE id = ?1"))?
                .query_row([id], contributor)
                .optional()
        })
        .await
    }

    async fn contributors(&self, order: Order, page: &Page) -> Result<Paged<Contributor>, StoreError> {
        let (limit, count) = (limit(page), page.limit);
        let after: Option<(i64, String)> = page.after.as_deref().map(cursor::decode).transpose()?;
        self.read(move |connection| {
            let (tally, id) = after.unwrap_or((i64::MAX, String::new()));
            let sql = match order {
                Order::Tally => format!(
                    "{CONTRIBUTOR} WHERE tally <= ?1 AND (tally < ?1 OR id > ?2) ORDER BY tally DESC, id LIMIT ?3"
                ),
                Order::Id => format!("{CONTRIBUTOR} WHERE ?1 = ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            };
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![tally, id, limit], contributor)?;
            let mark = |c: &Contributor| cursor::encode(&(c.standing.tally, &c.standing.contributor));
            Ok(Paged::cut(rows.collect::<rusqlite::Result<_>>()?, count, mark))
        })
        .await
    }

    async fn contributions_of(
        &self,
        contributor: &ContributorId,
        with_private: bool,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        let (contributor, before, limit, count) =
            (contributor.to_string(), before(page)?, limit(page), page.limit);
        self.read(move |connection| {
            let sql = format!(
                "SELECT {CONTRIBUTION} WHERE contributor = ?1 AND seq < ?2 AND (?3 OR NOT private) ORDER BY seq DESC LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![contributor, before, with_private, limit], |row| {
                Ok((row.get(11)?, counted(row, 0)?))
            })?;
            Ok(cut_by_seq(rows.collect::<rusqlite::Result<_>>()?, count))
        })
        .await
    }

    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.id = ?1");
            let Some((_, found)) =
                connection.prepare_cached(&sql)?.query_row([&id], recognition).optional()?
            else {
                return Ok(None);
            };
            let sql =
                "SELECT destination, state, reason FROM outbox WHERE recognition = ?1 ORDER BY destination";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([&id], |row| {
                let (destination, state): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(Progress {
                    destination: Destination::from_word(&destination)
                        .ok_or_else(|| strange("destination"))?,
                    state: ProgressState::from_code(&state).ok_or_else(|| strange("state"))?,
                    reason: row.get(2)?,
                })
            })?;
            Ok(Some((found, rows.collect::<rusqlite::Result<_>>()?)))
        })
        .await
    }

    async fn recognitions(&self, page: &Page) -> Result<Paged<Recognition>, StoreError> {
        let (before, limit, count) = (before(page)?, limit(page), page.limit);
        self.read(move |connection| {
            let sql = format!(
                "SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq < ?1 ORDER BY r.seq DESC LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![before, limit], recognition)?;
            Ok(cut_by_seq(rows.collect::<rusqlite::Result<_>>()?, count))
        })
        .await
    }

    async fn recognitions_after(
        &self,
        position: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Recognition>, String), StoreError> {
        let after: Option<i64> = position.map(cursor::decode).transpose()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let Some(after) = after else {
                let sql = "SELECT coalesce(max(seq), 0) FROM recognitions";
                let newest: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                return Ok((Vec::new(), cursor::encode(&newest)));
            };
            let sql =
                format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![after, limit], recognition)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let position = rows.last().map_or(after, |(seq, _)| *seq);
            Ok((rows.into_iter().map(|(_, r)| r).collect(), cursor::encode(&position)))
        })
        .await
    }

    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| {
            let sql = "SELECT seq FROM recognitions WHERE id = ?1";
            let seq: Option<i64> =
                connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            Ok(seq.as_ref().map(cursor::encode))
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT 1 FROM contributors LIMIT 1";
        self.read(move |connection| connection.prepare_cached(sql)?.query_row([], |_| Ok(())).optional())
            .await?;
        Ok(())
    }
}

fn limit(page: &Page) -> i64 {
    i64::try_from(page.limit).unwrap_or(100) + 1
}

/// Where a page of a list that is read backwards begins.
fn before(page: &Page) -> Result<i64, StoreError> {
    page.after.as_deref().map_or(Ok(i64::MAX), cursor::decode)
}

/// Cuts a page whose items carry their sequence number.
fn cut_by_seq<T>(rows: Vec<(i64, T)>, limit: usize) -> Paged<T> {
    let Paged { items, next } = Paged::cut(rows, limit, |(seq, _)| cursor::encode(seq));
    Paged { items: items.into_iter().map(|(_, item)| item).collect(), next }
}
