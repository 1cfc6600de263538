//! Signed deliveries against a running plaudit, beside a bare axum handler that only reads the body.
//!
//! `cargo bench --bench load` starts each server on the first processor and the load on the second, in turn,
//! and prints medians and their ratios. Nothing here passes or fails: machines are noisy.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

#[path = "../../tests/it/support/sign.rs"]
#[allow(dead_code, reason = "a part of the tests, of which only GitHub's signature is used")]
mod sign;
mod null;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plaudit::config::Config;
use plaudit::settings::Flags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "a secret for measuring";
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const SECONDS: u64 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare"] => runtime().block_on(bare()),
        ["null"] => runtime().block_on(null()),
        ["load", address, rate, first] => load(address, rate.parse().unwrap(), first.parse().unwrap()),
        _ => orchestrate(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

// ---- the three servers -------------------------------------------------------------------------------------

async fn bare() {
    let handler = |body: axum::body::Bytes| async move { body.len().to_string() };
    let router = axum::Router::new().route("/webhooks/github", axum::routing::post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// plaudit itself, over a store that forgets everything.
async fn null() {
    let secret = |name: &str| (name == "PLAUDIT_GITHUB_SECRET").then(|| SECRET.to_owned());
    let config = Config::read(&Flags::default(), &secret).unwrap();
    plaudit::telemetry::install(config.log, plaudit::runtime::Clock::system());
    let publishers = vec![Arc::new(plaudit::publish::local::Local) as Arc<dyn plaudit::publish::Publisher>];
    let overrides = plaudit::http::Overrides::default();
    let app = plaudit::http::App::start(config.service, Arc::new(null::Null), publishers, overrides).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on http://{}", listener.local_addr().unwrap());
    app.serve(listener, std::future::pending()).await;
}

struct Server {
    child: Child,
    address: String,
    ready: Duration,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = started.elapsed();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self { child, address, ready }
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

fn pinned(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

fn myself() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

fn server(kind: &str, folder: &std::path::Path, round: usize) -> Server {
    let log = std::fs::File::create(folder.join(format!("{kind}-{round}.log"))).unwrap();
    let mut command = match kind {
        "plaudit" => {
            let mut command = pinned("0", env!("CARGO_BIN_EXE_plaudit"));
            command
                .env("PLAUDIT_LISTEN", "127.0.0.1:0")
                .env("PLAUDIT_STORE", format!("sqlite:{}", folder.join(format!("{round}.db")).display()))
                .env("PLAUDIT_GITHUB_SECRET", SECRET);
            command
        }
        other => {
            let mut command = pinned("0", &myself());
            command.arg(other);
            command
        }
    };
    command.stderr(log);
    Server::start(command)
}

// ---- the load ----------------------------------------------------------------------------------------------

/// A pull request of about 14 kB, whose number and author are of fixed width.
fn template() -> String {
    let fixture = include_str!("../../fixtures/github/pull_request.opened.json");
    let mut payload: serde_json::Value = serde_json::from_str(fixture).unwrap();
    payload["pull_request"]["number"] = 1_000_000_000_u64.into();
    payload["pull_request"]["user"]["login"] = "contributor-00000000".into();
    let short = payload.to_string().len();
    payload["pull_request"]["body"] = "x".repeat(14_000_usize.saturating_sub(short)).into();
    payload.to_string()
}

fn requests(count: usize, first: usize) -> Vec<Vec<u8>> {
    let host = sign::Signer::Github(SECRET);
    let template = template();
    (first..first + count)
        .map(|n| {
            let body = template
                .replace("1000000000", &(1_000_000_000 + n).to_string())
                .replace("contributor-00000000", &format!("contributor-{:08}", n % 1_000));
            let headers = host.headers("pull_request", &format!("delivery-{n}"), body.as_bytes(), 0);
            let mut request = format!(
                "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in &headers {
                request.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
            request.push_str("\r\n");
            let mut bytes = request.into_bytes();
            bytes.extend_from_slice(body.as_bytes());
            bytes
        })
        .collect()
}

/// Prints requests per second and the 99th percentile in milliseconds. `rate` 0 is as fast as it goes; else
/// latency is counted from when a request was to be sent, not from when it could be.
fn load(address: &str, rate: u64, first: usize) {
    let count = if rate == 0 { 80_000 } else { usize::try_from(rate * (SECONDS + 1)).unwrap() };
    let requests = Arc::new(requests(count, first));
    let next = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let started = Instant::now() + Duration::from_millis(50);
        let connections = (0..CONNECTIONS).map(|_| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            let address = address.to_owned();
            async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut taken, mut buffer) = (Vec::new(), vec![0_u8; 8192]);
                while started.elapsed() < Duration::from_secs(SECONDS) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let mut due = Instant::now();
                    if rate > 0 {
                        due = started + Duration::from_secs_f64(n as f64 / rate as f64);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    stream.write_all(&requests[n % requests.len()]).await.unwrap();
                    let status = read_answer(&mut stream, &mut buffer).await;
                    assert_eq!(status, 200, "a request failed");
                    taken.push(due.elapsed());
                }
                taken
            }
        });
        futures::future::join_all(connections).await.concat()
    });
    latencies.sort();
    let p99 = latencies[latencies.len() * 99 / 100];
    println!("{} {}", latencies.len() as f64 / SECONDS as f64, p99.as_secs_f64() * 1e3);
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> u16 {
    let mut have = 0;
    loop {
        let read = stream.read(&mut buffer[have..]).await.unwrap();
        assert!(read > 0, "the server hung up");
        have += read;
        let text = &buffer[..have];
        if let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let head_text = std::str::from_utf8(&text[..head]).unwrap().to_ascii_lowercase();
            let length =
                head_text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if have >= head + 4 + length.unwrap_or(0) {
                return head_text.split(' ').nth(1).unwrap().parse().unwrap();
            }
        }
    }
}

fn measure(address: &str, rate: u64, first: usize) -> (f64, f64) {
    let output = pinned("1", &myself())
        .args(["load", address, &rate.to_string(), &first.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn orchestrate() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = ["bare", "null", "plaudit"];
    let mut rates = [const { Vec::new() }; 3];
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (kind, rates) in kinds.iter().zip(&mut rates) {
            let server = server(kind, folder.path(), round);
            if *kind == "plaudit" {
                ready.push(server.ready.as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_millis(500));
                resident.push(server.resident_mib());
            }
            let (rate, p99) = measure(&server.address, 0, 0);
            println!("round {round} {kind}: {rate:.0} requests/s, p99 {p99:.2} ms");
            rates.push(rate);
        }
    }
    let [bare, null, durable] = rates.map(median);
    let half = (durable / 2.0) as u64;
    let calm: Vec<f64> = (0..ROUNDS)
        .map(|round| measure(&server("plaudit", folder.path(), 100 + round).address, half, 0).1)
        .collect();
    println!(
        "\nmedians of {ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections, 14 kB signed, one core each:"
    );
    println!("bare axum handler        {bare:.0} requests/s");
    println!("plaudit, no store        {null:.0} requests/s   {:.2} of bare", null / bare);
    println!(
        "plaudit, SQLite, durable {durable:.0} requests/s   {:.2} of bare, {:.2} of no store",
        durable / bare,
        durable / null
    );
    println!("p99 at half that rate ({half}/s): {:.2} ms", median(calm));
    println!("at rest: {:.1} MiB resident; ready in {:.1} ms", median(resident), median(ready));
}
