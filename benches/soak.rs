//! plaudit under a long load with kills, and under far more load than it can take.
//!
//! `cargo bench --bench soak -- 10` runs for ten minutes at half of the sustainable rate and kills the program every
//! 20 s (`kill -9`); then, twice, it offers ten times that rate for 30 s, beside 500 clients that send a byte a second.
//! It prints a table, and fails only where a delivery is lost or counted twice. Without a number it soaks for one
//! minute.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

#[path = "../tests/it/support/sign.rs"]
#[allow(dead_code, reason = "a part of the tests, of which only GitHub's signature is used")]
mod sign;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &str = "a secret for measuring";
/// Connections of the load, and of what is offered in excess.
const CONNECTIONS: usize = 64;
const EXCESS_CONNECTIONS: usize = 4_000;
const SLOW_CLIENTS: usize = 500;
const CONTRIBUTORS: u64 = 1_000;
const BETWEEN_KILLS: Duration = Duration::from_secs(20);
const MEASURING: Duration = Duration::from_secs(5);
const EXCESS: Duration = Duration::from_secs(30);
/// How long GitHub waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["pinned", minutes] => {
            raise_file_limit();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(soak(minutes.parse().unwrap()));
        }
        // `cargo test --benches` runs every benchmark without arguments: only what was asked for takes minutes.
        [] if !std::env::args().any(|a| a == "--bench") => {}
        rest => {
            let minutes = rest.first().copied().unwrap_or("1");
            let myself = std::env::current_exe().unwrap();
            let status =
                Command::new("taskset").args(["-c", "1"]).arg(myself).args(["pinned", minutes]).status();
            assert!(status.unwrap().success());
        }
    }
}

/// Each connection is a file, here as in the service.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

// ---- the server --------------------------------------------------------------------------------------------

struct Server {
    child: Child,
    address: String,
    folder: PathBuf,
}

impl Server {
    /// Starts it on the first processor; returns once it takes connections.
    async fn start(folder: &Path, address: &str) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new("taskset")
            .args(["-c", "0", env!("CARGO_BIN_EXE_plaudit")])
            .env("PLAUDIT_LISTEN", address)
            .env("PLAUDIT_STORE", format!("sqlite:{}", folder.join("soak.db").display()))
            .env("PLAUDIT_GITHUB_SECRET", SECRET)
            .env("PLAUDIT_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, address: address.to_owned(), folder: folder.to_owned() };
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server
    }

    /// Kills it, starts it again, and returns how long it was away.
    async fn killed_and_started(&mut self) -> Duration {
        let killed = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (folder, address) = (self.folder.clone(), self.address.clone());
        *self = Self::start(&folder, &address).await;
        killed.elapsed()
    }

    fn mib(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- the load ----------------------------------------------------------------------------------------------

/// Deliveries by number, and what became of them.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
    /// Answered with 503, or not at all.
    open: Mutex<Vec<u64>>,
    shed: AtomicU64,
    unanswered: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Sent {
    fn after(first: u64) -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(first), ..Self::default() })
    }

    fn p99(&self) -> Duration {
        let mut latencies = self.latencies.lock().unwrap().clone();
        latencies.sort();
        latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default()
    }
}

fn login(n: u64) -> String {
    format!("contributor-{:04}", n % CONTRIBUTORS)
}

fn request(n: u64) -> Vec<u8> {
    let body = serde_json::json!({
        "action": "opened",
        "number": n,
        "pull_request": {
            "number": n, "title": "A change", "draft": false, "merged": false, "labels": [],
            "html_url": format!("https://github.com/o/r/pull/{n}"),
            "user": {"login": login(n), "id": n % CONTRIBUTORS + 1, "type": "User"},
            "created_at": "2026-11-24T10:00:00Z", "updated_at": "2026-11-24T10:00:00Z", "body": "x".repeat(1_000),
        },
        "repository": {
            "id": 1, "full_name": "o/r", "html_url": "https://github.com/o/r", "private": false, "fork": false,
            "default_branch": "main",
        },
        "sender": {"login": login(n), "id": n % CONTRIBUTORS + 1, "type": "User"},
    })
    .to_string();
    let headers =
        sign::Signer::Github(SECRET).headers("pull_request", &format!("delivery-{n}"), body.as_bytes(), 0);
    let mut request =
        format!("POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &headers {
        request.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    request.push_str("\r\n");
    request.push_str(&body);
    request.into_bytes()
}

async fn read_answer(stream: &mut TcpStream) -> Option<u16> {
    let (mut have, mut buffer) = (0, vec![0_u8; 8192]);
    loop {
        let read = stream.read(buffer.get_mut(have..)?).await.ok().filter(|read| *read > 0)?;
        have += read;
        let text = &buffer[..have];
        if let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let head_text = std::str::from_utf8(&text[..head]).ok()?.to_ascii_lowercase();
            let length =
                head_text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if have >= head + 4 + length.unwrap_or(0) {
                return head_text.split(' ').nth(1)?.parse().ok();
            }
        }
    }
}

async fn exchange(stream: &mut Option<TcpStream>, address: &str, request: &[u8]) -> Option<u16> {
    let mut connected = match stream.take() {
        Some(connected) => connected,
        None => TcpStream::connect(address).await.ok()?,
    };
    connected.write_all(request).await.ok()?;
    let status = read_answer(&mut connected).await?;
    // A delivery that is shed may be answered with the connection's end.
    if status == 200 {
        *stream = Some(connected);
    }
    Some(status)
}

/// Sends deliveries at this rate (0: as fast as answers come) for so long.
async fn load(address: &str, sent: &Arc<Sent>, connections: usize, rate: f64, time: Duration) {
    let (started, first) = (Instant::now(), sent.next.load(Ordering::Relaxed));
    let connection = |_| {
        let (sent, address) = (Arc::clone(sent), address.to_owned());
        async move {
            let mut stream = None;
            while started.elapsed() < time {
                let n = sent.next.fetch_add(1, Ordering::Relaxed);
                if rate > 0.0 {
                    let due = started + Duration::from_secs_f64((n - first) as f64 / rate);
                    tokio::time::sleep_until(due.into()).await;
                }
                let request = request(n);
                let began = Instant::now();
                let answer = exchange(&mut stream, &address, &request);
                match tokio::time::timeout(PATIENCE, answer).await.ok().flatten() {
                    Some(200) => {
                        sent.latencies.lock().unwrap().push(began.elapsed());
                        sent.acknowledged.lock().unwrap().push(n);
                        continue;
                    }
                    Some(503) => sent.shed.fetch_add(1, Ordering::Relaxed),
                    Some(status) => panic!("delivery {n} was answered with {status}"),
                    None => {
                        // The service is away, or closed the connection.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        sent.unanswered.fetch_add(1, Ordering::Relaxed)
                    }
                };
                sent.open.lock().unwrap().push(n);
            }
        }
    };
    futures::future::join_all((0..connections).map(connection)).await;
}

/// Sends again what was not acknowledged, until everything is.
async fn send_again(address: &str, sent: &Sent) -> usize {
    let open = std::mem::take(&mut *sent.open.lock().unwrap());
    let mut stream = None;
    for n in &open {
        let request = request(*n);
        while exchange(&mut stream, address, &request).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent.acknowledged.lock().unwrap().push(*n);
    }
    open.len()
}

/// A client that announces a body with a well-formed signature, and sends a byte a second.
async fn slow_client(address: String) {
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\ncontent-type: application/json\r\n\
         x-github-event: push\r\nx-hub-signature-256: sha256={}\r\n\r\n",
        "0".repeat(64)
    );
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// ---- the ledger --------------------------------------------------------------------------------------------

/// How many acknowledged deliveries are not in the file, and how many tallies are not the number of contributions.
fn lost_and_doubled(folder: &Path, acknowledged: &[u64]) -> (usize, usize) {
    let file = Connection::open(folder.join("soak.db")).unwrap();
    let mut rows = file.prepare("SELECT id, contributor FROM readable_contributions").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let kept: BTreeMap<String, String> = rows.map(Result::unwrap).collect();
    let id = |n: &u64| format!("github:1:pull_request:{n}:{}", login(*n));
    let lost = acknowledged.iter().filter(|n| !kept.contains_key(&id(n))).count();
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for who in kept.values() {
        *counted.entry(who).or_default() += 1;
    }
    let mut rows = file.prepare("SELECT id, tally FROM contributors").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))).unwrap();
    let wrong = rows
        .map(Result::unwrap)
        .filter(|(who, tally)| counted.get(who.as_str()).copied().unwrap_or_default() != u64::from(*tally));
    (lost, wrong.count())
}

// ---- the whole ---------------------------------------------------------------------------------------------

fn row(what: &str, value: impl std::fmt::Display) {
    println!("| {what} | {value} |");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

async fn soak(minutes: f64) {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = Server::start(folder.path(), &free).await;
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!(
        "SQLite, a {build} build, server and load on one processor each\n\n| what | figure |\n|---|---|"
    );

    let measured = Sent::after(0);
    load(&free, &measured, CONNECTIONS, 0.0, MEASURING).await;
    let rate = measured.acknowledged.lock().unwrap().len() as f64 / MEASURING.as_secs_f64();
    row("sustainable rate", format!("{rate:.0} deliveries/s"));

    let mut all = measured.acknowledged.lock().unwrap().clone();
    with_kills(&mut server, rate, minutes, &mut all).await;
    // Twice: memory that grows again by as much is not bounded.
    for _ in 0..2 {
        in_excess(&mut server, rate, &mut all).await;
    }
}

/// Half of the sustainable rate, with a kill every 20 s.
async fn with_kills(server: &mut Server, rate: f64, minutes: f64, all: &mut Vec<u64>) {
    let (time, address) = (Duration::from_secs_f64(minutes * 60.0), server.address.clone());
    let sent = Sent::after(all.iter().max().unwrap_or(&0) + 1_000);
    let killing = async {
        let mut away = Vec::new();
        let started = Instant::now();
        loop {
            tokio::time::sleep(BETWEEN_KILLS.min(time / 2)).await;
            if started.elapsed() + Duration::from_secs(2) > time {
                return away;
            }
            away.push(server.killed_and_started().await);
        }
    };
    let ((), away) = tokio::join!(load(&address, &sent, CONNECTIONS, rate / 2.0, time), killing);
    row("half of it, with kill -9", format!("{minutes} min, {} kills", away.len()));
    row("longest from a kill until it listens again", ms(away.into_iter().max().unwrap_or_default()));
    row("acknowledged", sent.acknowledged.lock().unwrap().len());
    row("unanswered because of a kill", sent.unanswered.load(Ordering::Relaxed));
    row("503", sent.shed.load(Ordering::Relaxed));
    row("p99 of what is accepted", ms(sent.p99()));
    verdict(server, &sent, all).await;
}

/// Ten times the sustainable rate, beside slow clients.
async fn in_excess(server: &mut Server, rate: f64, all: &mut Vec<u64>) {
    let address = server.address.clone();
    let sent = Sent::after(all.iter().max().unwrap_or(&0) + 1_000);
    let before = server.mib("VmRSS");
    let slow: Vec<_> = (0..SLOW_CLIENTS).map(|_| tokio::spawn(slow_client(address.clone()))).collect();
    load(&address, &sent, EXCESS_CONNECTIONS, rate * 10.0, EXCESS).await;
    let ended = Instant::now();
    let mut stream = None;
    let probe = request(sent.next.fetch_add(1, Ordering::Relaxed));
    while exchange(&mut stream, &address, &probe).await != Some(200) {}
    let recovered = ended.elapsed();
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    let asked = sent.next.load(Ordering::Relaxed) - all.iter().max().unwrap_or(&0) - 1_000;
    row(
        "ten times the rate, with slow clients",
        format!("{} s, {SLOW_CLIENTS} slow clients", EXCESS.as_secs()),
    );
    row(
        "offered, and really sent",
        format!("{:.0}/s, {:.0}/s", rate * 10.0, asked as f64 / EXCESS.as_secs_f64()),
    );
    row("acknowledged", sent.acknowledged.lock().unwrap().len());
    row("shed with 503", sent.shed.load(Ordering::Relaxed));
    row("unanswered within 10 s, or closed", sent.unanswered.load(Ordering::Relaxed));
    row("p99 of what is accepted", ms(sent.p99()));
    row("until the next delivery is acknowledged", ms(recovered));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (after, peak) = (server.mib("VmRSS"), server.mib("VmHWM"));
    row("memory before, at most so far, after", format!("{before:.0}, {peak:.0}, {after:.0} MiB"));
    verdict(server, &sent, all).await;
}

/// Nothing acknowledged is lost, no tally is wrong, and what was open is counted once when it is sent again.
async fn verdict(server: &Server, sent: &Sent, all: &mut Vec<u64>) {
    let now = sent.acknowledged.lock().unwrap().clone();
    let before = lost_and_doubled(&server.folder, &now);
    let again = send_again(&server.address, sent).await;
    all.extend(sent.acknowledged.lock().unwrap().iter());
    let after = lost_and_doubled(&server.folder, all);
    row("lost, wrong tallies", format!("{}, {}", before.0, before.1));
    row(
        "the same after all others were sent again",
        format!("{}, {} ({again} sent again)", after.0, after.1),
    );
    assert_eq!((before, after), ((0, 0), (0, 0)), "something is lost or counted twice");
}
