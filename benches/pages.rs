//! The first byte of the pages, with 10,000 contributors on SQLite.
//!
//! `cargo bench --bench pages` prints medians and the slowest of 300 requests, one after the other over a connection
//! each. Nothing here passes or fails: machines are noisy.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit::config::Config;
use plaudit::domain::{Draft, Moment};
use plaudit::http::{App, Overrides};
use plaudit::publish::local::Local;
use plaudit::settings::Flags;
use plaudit::store::Store;
use plaudit::store::sqlite::Sqlite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONTRIBUTORS: usize = 10_000;
const REQUESTS: usize = 300;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("plaudit.db")).unwrap());
    fill(&store).await;
    let config = Config::read(&Flags::default(), &|_: &str| None).unwrap();
    let app = App::start(config.service, store, vec![Arc::new(Local)], Overrides::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(app.serve(listener, std::future::pending()));
    println!("{CONTRIBUTORS} contributors, {REQUESTS} requests each: median and slowest first byte");
    for path in [
        "/",
        "/?search=robin-77",
        "/?host=github",
        "/contributors/github%3Arobin-0",
        "/how-it-counts",
        "/badges/github%3Arobin-0.svg",
    ] {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            times.push(first_byte(&address, path).await);
        }
        times.sort();
        println!("{path:<34} {:>9.2?} {:>9.2?}", times[REQUESTS / 2], times[REQUESTS - 1]);
    }
}

/// One contribution for everyone, and 1,000 for the first.
async fn fill(store: &Sqlite) {
    let counted = |who: usize, id: String| {
        let draft = Draft {
            contributor: format!("github:robin-{who}"),
            kind: "talk".into(),
            id: Some(id),
            ..Draft::default()
        };
        draft.check(Moment::UNIX_EPOCH, || unreachable!()).unwrap()
    };
    let everyone = (0..CONTRIBUTORS).map(|who| counted(who, format!("a-{who}")));
    let all: Vec<_> = everyone.chain((0..1_000).map(|n| counted(0, format!("b-{n}")))).collect();
    for batch in all.chunks(100) {
        store.record(batch, chrono::Utc::now()).await.unwrap();
    }
}

async fn first_byte(address: &str, path: &str) -> Duration {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/html\r\nconnection: close\r\n\r\n");
    let started = Instant::now();
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    connection.read_exact(&mut begin).await.unwrap();
    let taken = started.elapsed();
    assert_eq!(&begin, b"HTTP/1.1 200");
    connection.read_to_end(&mut Vec::new()).await.unwrap();
    taken
}
