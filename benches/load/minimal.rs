//! The least that keeps the promise: verify, read, count, and answer once it is durable. Contributions that arrive
//! during a commit share the next one. No log, no metrics, no limits, no recognitions.

use std::path::Path;
use std::sync::mpsc;

use axum::body::Bytes;
use axum::extract::State;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use rusqlite::{Connection, params};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::SECRET;

const MOST_TOGETHER: usize = 100;

#[derive(Deserialize)]
struct Payload<'a> {
    action: &'a str,
    #[serde(borrow)]
    pull_request: PullRequest<'a>,
    repository: Repository,
}

#[derive(Deserialize)]
struct PullRequest<'a> {
    number: u64,
    title: String,
    html_url: &'a str,
    created_at: &'a str,
    #[serde(borrow)]
    user: User<'a>,
}

#[derive(Deserialize)]
struct User<'a> {
    login: &'a str,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
}

pub(crate) struct Entry {
    id: String,
    login: String,
    title: String,
    url: String,
    at: String,
    answer: oneshot::Sender<i64>,
}

pub(crate) type Queue = mpsc::SyncSender<Entry>;

pub(crate) async fn receive(
    State(queue): State<Queue>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<String, StatusCode> {
    let signature =
        headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()?.strip_prefix("sha256="));
    let signature = signature.and_then(|hex| hex::decode(hex).ok()).ok_or(StatusCode::UNAUTHORIZED)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    mac.verify_slice(&signature).map_err(|_| StatusCode::UNAUTHORIZED)?;
    let payload: Payload<'_> = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    if payload.action != "opened" {
        return Ok("ignored".into());
    }
    let (answer, counted) = oneshot::channel();
    let made = payload.pull_request;
    let entry = Entry {
        id: format!("github:{}:pull_request:{}:{}", payload.repository.id, made.number, made.user.login),
        login: made.user.login.to_owned(),
        title: made.title,
        url: made.html_url.to_owned(),
        at: made.created_at.to_owned(),
        answer,
    };
    queue.try_send(entry).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let tally = counted.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("{{\"tally\":{tally}}}"))
}

pub(crate) fn open(ledger: &Path) -> Queue {
    let file = Connection::open(ledger).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE contributions (
             id TEXT PRIMARY KEY, login TEXT NOT NULL, title TEXT NOT NULL, url TEXT NOT NULL, at TEXT NOT NULL
         ) WITHOUT ROWID;
         CREATE TABLE contributors (login TEXT PRIMARY KEY, tally INTEGER NOT NULL) WITHOUT ROWID;",
    )
    .unwrap();
    let (queue, entries) = mpsc::sync_channel(10_000);
    std::thread::spawn(move || write(file, &entries));
    queue
}

fn write(mut file: Connection, entries: &mpsc::Receiver<Entry>) {
    while let Ok(first) = entries.recv() {
        let batch: Vec<Entry> =
            std::iter::once(first).chain(entries.try_iter().take(MOST_TOGETHER - 1)).collect();
        let transaction = file.transaction().unwrap();
        let tallies: Vec<i64> = batch.iter().map(|entry| count(&transaction, entry)).collect();
        transaction.commit().unwrap();
        for (entry, tally) in batch.into_iter().zip(tallies) {
            let _ = entry.answer.send(tally);
        }
    }
}

fn count(file: &Connection, entry: &Entry) -> i64 {
    let mut insert =
        file.prepare_cached("INSERT OR IGNORE INTO contributions VALUES (?, ?, ?, ?, ?)").unwrap();
    let new = insert.execute(params![entry.id, entry.login, entry.title, entry.url, entry.at]).unwrap();
    let mut tally = file
        .prepare_cached(
            "INSERT INTO contributors VALUES (?, ?)
             ON CONFLICT DO UPDATE SET tally = tally + excluded.tally RETURNING tally",
        )
        .unwrap();
    tally.query_row(params![entry.login, new as i64], |row| row.get(0)).unwrap()
}
