//! The load: signed deliveries, each a new contribution, over some connections.
//!
//! It runs in a process of its own, on the other processor. It must cost less than what it measures: a connection keeps
//! one request and changes the digits in it. What differs stands at the body's end, so that a signature hashes the last
//! bytes only.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::SECRET;
use crate::process::cpu_seconds;

/// What comes before the measured time: connections open, caches fill.
const WARM_UP: Duration = Duration::from_millis(300);
const BODY: usize = 14_000;
const NUMBER: &str = "1000000000";
const LOGIN: &str = "contributor-00000000";
/// A number of its own for each login. None of these templates may be a part of another.
const ID: &str = "200000000";
const DELIVERY: &str = "delivery-0000000000";

/// How deliveries are sent.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Load {
    /// Where the server listens.
    #[arg(long)]
    pub address: String,
    /// The server's process: its processor time is taken over exactly the measured time.
    #[arg(long)]
    pub server: u32,
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Deliveries a second; 0 is as fast as answers come.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Ends after so many deliveries instead of after a time.
    #[arg(long)]
    pub count: Option<u64>,
    /// The first contribution's number.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// How many people contribute.
    #[arg(long, default_value_t = 1_000)]
    pub people: u64,
    /// A few of them contribute most.
    #[arg(long)]
    pub skewed: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Answers in the measured time, and in all.
    pub answers: u64,
    pub sent: u64,
    pub rate: f64,
    /// The server's processor time, and the client's, in microseconds a delivery.
    pub cpu: f64,
    pub client_cpu: f64,
    /// The part of the measured time in which the server's processor worked for it.
    pub busy: f64,
    /// In milliseconds; at a given rate from when a delivery was due, else from when it was sent.
    pub p50: f64,
    pub p99: f64,
}

/// The contributor of a contribution.
pub(crate) fn person(n: u64, people: u64, skewed: bool) -> u64 {
    if !skewed {
        return n % people;
    }
    // SplitMix64's finalizer; then the cube, by which a fifth of the people make three fifths of the contributions.
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let unit = ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    (unit.powi(3) * people as f64) as u64
}

pub(crate) fn login(person: u64) -> String {
    format!("contributor-{person:08}")
}

/// The number of the account with that login.
pub(crate) fn number(person: u64) -> u64 {
    ID.parse::<u64>().unwrap() + person
}

// ---- the request -------------------------------------------------------------------------------------------

/// A pull request of 14 kB as GitHub sends it, but for some links, for the order of its fields and for its padding.
fn payload() -> String {
    let mut payload: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/github/pull_request.opened.json")).unwrap();
    for repository in ["/repository", "/pull_request/head/repo", "/pull_request/base/repo"] {
        let fields = payload.pointer_mut(repository).unwrap().as_object_mut().unwrap();
        fields.retain(|name, _| name == "html_url" || !name.ends_with("_url"));
    }
    let all = payload.as_object_mut().unwrap();
    let mut pull_request = all.remove("pull_request").unwrap();
    let fields = pull_request.as_object_mut().unwrap();
    fields.remove("_links");
    fields.remove("number");
    let mut user = fields.remove("user").unwrap();
    user.as_object_mut().unwrap().retain(|name, _| name != "login" && name != "id");
    let written = |all: &serde_json::Value, pull_request: &serde_json::Value| {
        let open = |value: &serde_json::Value| value.to_string().strip_suffix('}').unwrap().to_owned();
        let (all, pull_request, user) = (open(all), open(pull_request), open(&user));
        format!(
            r#"{all},"pull_request":{pull_request},"user":{user},"login":"{LOGIN}","id":{ID}}},"number":{NUMBER}}}}}"#
        )
    };
    let all = payload.clone();
    let short = written(&all, &pull_request).len();
    pull_request["body"] = format!("A change.{}", "x".repeat(BODY.saturating_sub(short + 9))).into();
    let written = written(&all, &pull_request);
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&written).is_ok(), "{written}");
    written
}

/// A request, of which [`Request::next`] changes what makes it the next one.
struct Request {
    bytes: Vec<u8>,
    /// Where in `bytes` stand the digits and the signature.
    delivery: usize,
    signature: usize,
    login: usize,
    id: usize,
    number: usize,
    /// The hash of everything in the body before `login`.
    before: Hmac<Sha256>,
}

impl Request {
    fn new() -> Self {
        let body = payload();
        let head = format!(
            "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\nuser-agent: GitHub-Hookshot/044aadd\r\n\
             content-type: application/json\r\nx-github-event: pull_request\r\nx-github-delivery: {DELIVERY}\r\n\
             x-hub-signature-256: sha256={}\r\ncontent-length: {}\r\n\r\n",
            "0".repeat(64),
            body.len()
        );
        let digits = |text: &str, template: &str, width: usize| {
            let mut found = text.match_indices(template);
            let (at, _) = found.next().unwrap();
            assert!(found.next().is_none(), "the request contains {template} more than once");
            at + template.len() - width
        };
        let login = digits(&body, LOGIN, 8);
        let mut before = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        before.update(&body.as_bytes()[..login]);
        Self {
            delivery: digits(&head, DELIVERY, 10),
            signature: head.find("sha256=").unwrap() + "sha256=".len(),
            login: head.len() + login,
            id: head.len() + digits(&body, ID, 8),
            number: head.len() + digits(&body, NUMBER, 10),
            bytes: [head.into_bytes(), body.into_bytes()].concat(),
            before,
        }
    }

    fn next(&mut self, n: u64, person: u64) -> &[u8] {
        put_digits(&mut self.bytes[self.delivery..][..10], n);
        put_digits(&mut self.bytes[self.login..][..8], person);
        put_digits(&mut self.bytes[self.id..][..8], person);
        put_digits(&mut self.bytes[self.number..][..10], 1_000_000_000 + n);
        let mut mac = self.before.clone();
        mac.update(&self.bytes[self.login..]);
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut self.bytes[self.signature..][..64]).unwrap();
        &self.bytes
    }
}

/// One delivery's headers and body.
pub(crate) fn delivery() -> (HeaderMap, Bytes) {
    let mut request = Request::new();
    let bytes = request.next(1, 1);
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let lines = std::str::from_utf8(&bytes[..head]).unwrap().lines().skip(1);
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
    });
    (headers.collect(), Bytes::copy_from_slice(&bytes[head + 4..]))
}

fn put_digits(digits: &mut [u8], mut n: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
}

// ---- the answer --------------------------------------------------------------------------------------------

/// The status, once the whole answer is there.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> u16 {
    let mut have = 0;
    loop {
        let read = stream.read(&mut buffer[have..]).await.unwrap();
        assert!(
            read > 0,
            "the server closed the connection after {:?}",
            String::from_utf8_lossy(&buffer[..have])
        );
        have += read;
        let answer = &buffer[..have];
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        if have >= head + 4 + content_length(&answer[..head]) {
            return std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    value.map_or(0, |value| std::str::from_utf8(value).unwrap().trim().parse().unwrap())
}

// ---- the run -----------------------------------------------------------------------------------------------

struct Run {
    load: Load,
    next: Cell<u64>,
    measuring: Cell<bool>,
    ended: Cell<bool>,
    latencies: RefCell<Vec<Duration>>,
    /// At a given rate: when each delivery is due that no connection has taken yet.
    due: RefCell<VecDeque<Instant>>,
    permits: Semaphore,
}

impl Run {
    async fn connection(&self) {
        let mut stream = TcpStream::connect(&self.load.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut request, mut buffer) = (Request::new(), vec![0_u8; 8192]);
        loop {
            let mut began = Instant::now();
            if self.load.rate > 0.0 {
                let Ok(permit) = self.permits.acquire().await else { return };
                permit.forget();
                began = self.due.borrow_mut().pop_front().unwrap();
            }
            let n = self.next.get();
            if self.ended.get() || self.load.count.is_some_and(|count| n >= self.load.first + count) {
                return;
            }
            self.next.set(n + 1);
            let person = person(n, self.load.people, self.load.skewed);
            stream.write_all(request.next(n, person)).await.unwrap();
            let status = read_answer(&mut stream, &mut buffer).await;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&buffer[..500]));
            if self.measuring.get() {
                self.latencies.borrow_mut().push(began.elapsed());
            }
        }
    }

    /// Makes deliveries due one after the other. It yields instead of sleeping: tokio's timers end at whole
    /// milliseconds, which would be measured too.
    async fn pace(&self) {
        let began = Instant::now();
        for n in 0_u64.. {
            let due = began + Duration::from_secs_f64(n as f64 / self.load.rate);
            while Instant::now() < due {
                if self.ended.get() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            self.due.borrow_mut().push_back(due);
            self.permits.add_permits(1);
        }
    }

    async fn watch(&self) -> Figures {
        if self.load.count.is_none() {
            tokio::time::sleep(WARM_UP).await;
        }
        let cpu = || (cpu_seconds(self.load.server), cpu_seconds(std::process::id()));
        let (began, (server, client)) = (Instant::now(), cpu());
        self.measuring.set(true);
        match self.load.count {
            None => tokio::time::sleep(Duration::from_secs_f64(self.load.seconds)).await,
            Some(count) => {
                while self.latencies.borrow().len() < usize::try_from(count).unwrap() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        self.measuring.set(false);
        self.ended.set(true);
        let (took, (server_after, client_after)) = (began.elapsed().as_secs_f64(), cpu());
        self.permits.close();
        let mut latencies = self.latencies.take();
        latencies.sort();
        assert!(!latencies.is_empty(), "no answer in {took} s");
        let answers = latencies.len();
        let at = |part: usize| latencies[answers * part / 100].as_secs_f64() * 1e3;
        Figures {
            answers: answers as u64,
            sent: 0,
            rate: answers as f64 / took,
            cpu: (server_after - server) / answers as f64 * 1e6,
            client_cpu: (client_after - client) / answers as f64 * 1e6,
            busy: (server_after - server) / took,
            p50: at(50),
            p99: at(99),
        }
    }
}

/// Sends the load, and prints the figures as JSON.
pub(crate) async fn run(load: Load) {
    let run = Run {
        next: Cell::new(load.first),
        measuring: Cell::new(false),
        ended: Cell::new(false),
        latencies: RefCell::default(),
        due: RefCell::default(),
        permits: Semaphore::new(0),
        load,
    };
    let connections = futures::future::join_all((0..run.load.connections).map(|_| run.connection()));
    let pace = async {
        if run.load.rate > 0.0 {
            run.pace().await;
        }
    };
    let (mut figures, (), _) = tokio::join!(run.watch(), pace, connections);
    figures.sent = run.next.get() - run.load.first;
    println!("{}", serde_json::to_string(&figures).unwrap());
}

/// Clients that announce a body and send a byte of it a second.
pub(crate) async fn slow(address: String, clients: usize) {
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 100000\r\nx-github-event: push\r\nx-hub-signature-256: sha256={}\r\n\r\n",
        "0".repeat(64)
    );
    let client = || async {
        loop {
            if let Ok(mut stream) = TcpStream::connect(&address).await {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    futures::future::join_all((0..clients).map(|_| client())).await;
}
