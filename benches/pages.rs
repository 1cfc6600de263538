//! Reads and listeners, with 10,000 contributors on SQLite.
//!
//! `cargo bench --bench pages` starts plaudit on the first processor and the load on the second, and reads each path in
//! turn, beside a bare axum handler that answers as many bytes: requests a second, the processor's time that a request
//! takes in the server, and how that compares with bare axum. `-- listeners [COUNT]` opens that many event streams
//! (1,000 by default) and prints what they cost while nothing happens. `-- first` prints the first byte of each page,
//! over a connection each. Nothing here passes or fails: machines are noisy.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plaudit::domain::{Draft, Moment};
use plaudit::store::Store;
use plaudit::store::sqlite::Sqlite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONTRIBUTORS: usize = 10_000;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);
const REQUESTS: usize = 300;
/// How long listeners are watched.
const WATCHED: Duration = Duration::from_secs(20);

const JSON: &str = "accept: application/json\r\n";
const HTML: &str = "accept: text/html\r\n";
const GZIP: &str = "accept: text/html\r\naccept-encoding: gzip\r\n";

/// What is read: a name, a path in which `{}` is another contributor each time, and headers.
const ROWS: [(&str, &str, &str); 7] = [
    ("one contributor", "/v1/contributors/github%3Arobin-{}", JSON),
    ("20 contributors", "/v1/contributors?limit=20", JSON),
    ("20 contributions of one", "/v1/contributors/github%3Arobin-0/contributions?limit=20", JSON),
    ("a contributor's page", "/contributors/github%3Arobin-{}", HTML),
    ("the same, compressed", "/contributors/github%3Arobin-{}", GZIP),
    ("the home page", "/", HTML),
    ("a badge", "/badges/github%3Arobin-{}.svg", ""),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match words.as_slice() {
        ["bare", size] => runtime.block_on(bare(size.parse().unwrap())),
        ["on-its-core", "reads"] => runtime.block_on(reads()),
        ["on-its-core", "first"] => runtime.block_on(first_bytes()),
        ["on-its-core", "listeners", count] => runtime.block_on(listeners(count.parse().unwrap())),
        ["first"] => on_the_second_core(&["first"]),
        ["listeners"] => on_the_second_core(&["listeners", "1000"]),
        ["listeners", count] => on_the_second_core(&["listeners", count]),
        _ => on_the_second_core(&["reads"]),
    }
}

fn on_the_second_core(arguments: &[&str]) {
    let status = pinned("1", &myself()).arg("on-its-core").args(arguments).status().unwrap();
    assert!(status.success());
}

fn pinned(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

fn myself() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

/// Answers `size` bytes to everything.
async fn bare(size: usize) {
    let body = bytes::Bytes::from(vec![b'x'; size]);
    let router = axum::Router::new().fallback(move || std::future::ready(body.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// A server on the first core.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn bare(size: usize) -> Self {
        let mut command = pinned("0", &myself());
        Self::start(command.args(["bare", &size.to_string()]))
    }

    fn plaudit(folder: &Path) -> Self {
        let mut command = pinned("0", env!("CARGO_BIN_EXE_plaudit"));
        let store = format!("sqlite:{}", folder.join("plaudit.db").display());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        Self::start(command.env("PLAUDIT_STORE", store).env("PLAUDIT_LISTEN", "127.0.0.1:0").stderr(log))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().rsplit("http://").next().unwrap().to_owned() }
    }

    /// The processor's time so far, in clock ticks, of which Linux shows 100 a second.
    fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = [11, 12].map(|field| fields[field].parse::<u64>().unwrap()).iter().sum();
        Duration::from_millis(10 * ticks)
    }

    fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- reads -------------------------------------------------------------------------------------------------

/// One row in one round.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    processor: f64,
    p99: Duration,
    size: usize,
}

async fn reads() {
    let folder = filled().await;
    let server = Server::plaudit(folder.path());
    let mut rounds: Vec<(Vec<Round>, Vec<Round>)> = vec![(Vec::new(), Vec::new()); ROWS.len()];
    for _ in 0..ROUNDS {
        for ((_, path, headers), (ours, bares)) in ROWS.iter().zip(&mut rounds) {
            let round = round(&server, path, headers).await;
            bares.push(self::round(&Server::bare(round.size), path, headers).await);
            ours.push(round);
        }
    }
    println!("{CONTRIBUTORS} contributors, {CONNECTIONS} connections, medians of {ROUNDS} rounds");
    println!("{:<26} {:>9} {:>8} {:>12} {:>8} {:>10}", "", "a second", "µs each", "bare, µs", "times", "p99");
    for ((name, ..), (ours, bares)) in ROWS.iter().zip(&rounds) {
        let median = |rounds: &[Round], of: fn(&Round) -> f64| {
            let mut all: Vec<_> = rounds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let (processor, bare) = (median(ours, |r| r.processor), median(bares, |r| r.processor));
        let (rate, p99) = (median(ours, |r| r.rate), median(ours, |r| r.p99.as_secs_f64() * 1e3));
        let times = processor / bare;
        println!("{name:<26} {rate:>9.0} {processor:>8.1} {bare:>12.1} {times:>8.1} {p99:>7.2} ms");
    }
    println!("resident: {:.1} MiB", server.resident_mib());
}

/// Reads `path` on every connection, again and again.
async fn round(server: &Server, path: &str, headers: &str) -> Round {
    let (before, started) = (server.processor(), Instant::now());
    let until = started + ROUND;
    let readers = (0..CONNECTIONS).map(|first| read(&server.address, path, headers, first, until));
    let (mut times, mut size) = (Vec::new(), 0);
    for (taken, last) in futures::future::join_all(readers).await {
        times.extend(taken);
        size = last;
    }
    let (took, processor) = (started.elapsed(), server.processor() - before);
    times.sort_unstable();
    Round {
        rate: times.len() as f64 / took.as_secs_f64(),
        processor: processor.as_secs_f64() * 1e6 / times.len() as f64,
        p99: times[times.len() * 99 / 100],
        size,
    }
}

/// The time of each request of one connection, and the size of the last answer.
async fn read(
    address: &str,
    path: &str,
    headers: &str,
    first: usize,
    until: Instant,
) -> (Vec<Duration>, usize) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (mut times, mut answer, mut size) = (Vec::new(), Vec::with_capacity(64 * 1024), 0);
    for n in 0.. {
        let started = Instant::now();
        if started > until {
            break;
        }
        let path = path.replace("{}", &((first * 157 + n * 7_919) % CONTRIBUTORS).to_string());
        let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        answer.clear();
        size = loop {
            assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "the server hung up");
            if let Some(size) = whole(&answer) {
                break size;
            }
        };
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        times.push(started.elapsed());
    }
    (times, size)
}

/// The size of the body, once all of it is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => {
            let length = length.parse().unwrap();
            (answer.len() >= head + length).then_some(length)
        }
        // What is compressed comes in chunks.
        None => answer.ends_with(b"0\r\n\r\n").then_some(answer.len() - head),
    }
}

// ---- listeners ---------------------------------------------------------------------------------------------

async fn listeners(count: usize) {
    let folder = filled().await;
    let server = Server::plaudit(folder.path());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let alone = cost(&server).await;
    let at_rest = server.resident_mib();
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = TcpStream::connect(&server.address).await.unwrap();
        let head = format!("GET /v1/recognitions/stream HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        connection.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200", "of listener {}", connections.len());
        connections.push(connection);
    }
    let listened = cost(&server).await;
    let each = (server.resident_mib() - at_rest) * 1024.0 / count as f64;
    println!(
        "{count} listeners at rest take {listened:.2} % of a core and {each:.1} KiB each; none take {alone:.2} %"
    );
}

/// How much of a core the server takes, in percent.
async fn cost(server: &Server) -> f64 {
    let before = server.processor();
    tokio::time::sleep(WATCHED).await;
    (server.processor() - before).as_secs_f64() / WATCHED.as_secs_f64() * 100.0
}

// ---- first bytes -------------------------------------------------------------------------------------------

async fn first_bytes() {
    let folder = filled().await;
    let server = Server::plaudit(folder.path());
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
            times.push(first_byte(&server.address, path).await);
        }
        times.sort();
        println!("{path:<34} {:>9.2?} {:>9.2?}", times[REQUESTS / 2], times[REQUESTS - 1]);
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

/// A ledger with one contribution for everyone, and 1,000 for the first.
async fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
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
    for batch in all.chunks(1_000) {
        store.record(batch, chrono::Utc::now()).await.unwrap();
    }
    store.close().await;
    folder
}
