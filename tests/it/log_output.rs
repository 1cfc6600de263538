//! Standard error: what holds while nobody reads it, and what reaches its reader in the end.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Environment, Log, config, in_the_end, isolated, pull_request, signal};

/// A plaudit whose standard error is a pipe that the test reads, or does not.
struct Unread {
    client: Client,
    child: Child,
    err: Option<ChildStderr>,
    _folder: TempDir,
}

impl Unread {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Environment::in_folder(&folder).with("PLAUDIT_LOG", "debug").command();
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Log::read(child.stdout.take().unwrap()), child.stderr.take());
        let listening = out.wait(0, |line| line.starts_with("plaudit listens on ")).await;
        let client = Client::new(listening.strip_prefix("plaudit listens on ").unwrap());
        Self { client, child, err, _folder: folder }
    }

    /// Sends requests whose lines in the log are long; returns their ids.
    async fn chatter(&self, requests: usize) -> Vec<String> {
        let answers = join_all((0..requests).map(|_| async {
            let request = self.client.request(Method::GET, "/healthz").header("user-agent", "\"".repeat(200));
            self.client.send(request.header("x-forwarded-for", "\"".repeat(100))).await.expect(200)
        }));
        let answers = in_the_end("the answers of health checks", answers).await;
        answers.iter().map(|answer| answer.header("x-request-id").to_owned()).collect()
    }

    /// Delivers and chatters until lines of the log are dropped; returns how many deliveries were counted.
    async fn fill(&self) -> u64 {
        for number in 1.. {
            self.chatter(100).await;
            let body = pull_request(number, "mona");
            let delivery = self.client.github("pull_request", &body);
            in_the_end("the answer of a delivery", delivery).await.expect(200);
            if self.dropped().await > 0 {
                return number;
            }
        }
        unreachable!()
    }

    /// How many dropped lines the metrics show.
    async fn dropped(&self) -> u64 {
        let metrics = in_the_end("the metrics", self.client.get("/metrics")).await.expect(200).text;
        let value = |line: &str| line.strip_prefix("plaudit_log_lines_dropped_total ")?.parse().ok();
        metrics.lines().find_map(value).unwrap_or_else(|| panic!("not shown: {metrics}"))
    }

    /// Sends SIGTERM, and waits for the end with exit code 0.
    async fn end(mut self) {
        signal("TERM", self.child.id());
        let exited = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert_eq!(in_the_end("the end of the process", exited).await.code(), Some(0));
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // It has ended already, unless the test fails.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// How many dropped lines this line of the log reports; 0 for every other line.
fn reported(line: &Value) -> u64 {
    let reports = line["message"].as_str().unwrap().contains("lines of the log were dropped");
    if reports { line["dropped"].as_u64().unwrap() } else { 0 }
}

#[tokio::test]
async fn a_standard_error_that_nobody_reads_holds_up_neither_deliveries_nor_the_end() {
    let plaudit = Unread::start().await;
    let deliveries = plaudit.fill().await;
    let contributor = plaudit.client.get("/v1/contributors/github:mona").await.expect(200).json();
    assert_eq!(contributor["tally"], deliveries);
    plaudit.end().await;
}

#[tokio::test]
async fn what_was_dropped_is_reported_once_standard_error_is_read_again() {
    let mut plaudit = Unread::start().await;
    plaudit.fill().await;
    let log = Log::read(plaudit.err.take().unwrap());
    log.wait(0, |line| reported(&serde_json::from_str(line).unwrap()) > 0).await;
    let dropped = plaudit.dropped().await;
    // What is logged from now on is written again.
    let ids = plaudit.chatter(1).await;
    log.wait(0, |line| line.contains(&ids[0])).await;
    assert_eq!(plaudit.dropped().await, dropped);
    plaudit.end().await;
    log.ended().await;
    assert_eq!(log.json().iter().map(reported).sum::<u64>(), dropped);
}

#[tokio::test]
async fn a_clean_end_loses_no_line_to_a_slow_reader() {
    let mut plaudit = Unread::start().await;
    // Several times what the pipe holds.
    let ids = plaudit.chatter(300).await;
    let mut err = plaudit.err.take().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 2_048]);
        while let read @ 1.. = err.read(&mut part).unwrap() {
            all.extend_from_slice(&part[..read]);
            std::thread::sleep(Duration::from_millis(2));
        }
        String::from_utf8(all).unwrap()
    });
    plaudit.end().await;
    let log = reader.join().unwrap();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        *lines.entry(line["request_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for id in ids {
        assert_eq!(lines.get(&id), Some(&1), "{id}");
    }
    assert!(log.contains("stopping: no new connections"), "{log}");
}

#[tokio::test]
async fn a_closed_standard_error_stops_nothing() {
    let mut plaudit = Unread::start().await;
    drop(plaudit.err.take());
    plaudit.chatter(10).await;
    plaudit.client.github("pull_request", &pull_request(1, "mona")).await.expect(200);
    let counted = async {
        while plaudit.dropped().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_the_end("the count of lines that could not be written", counted).await;
    plaudit.end().await;
}

#[tokio::test]
async fn a_fatal_line_gets_through_a_full_queue_to_a_late_reader() {
    // Nothing in the program panics on demand, so a test does in a child process.
    let mut child = isolated(std::process::Command::new(std::env::current_exe().unwrap()), &[("", ""); 0]);
    child.args(["--exact", "log_output::panics_with_a_full_queue", "--ignored", "--nocapture"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = Log::read(child.stdout.take().unwrap());
    out.wait(0, |line| line.contains("the panic was caught")).await;
    let log = Log::read(child.stderr.take().unwrap());
    let fatal = log.wait(0, |line| line.contains("CRITICAL")).await;
    assert!(fatal.contains("panic: the queue is full"), "{fatal}");
    log.wait(0, |line| line.contains("lines of the log were dropped")).await;
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    log.ended().await;
    assert!(child.wait().unwrap().success());
    let lines = log.json();
    let at = lines.iter().position(|line| line["severity"] == "CRITICAL").unwrap();
    let numbers: Vec<_> = lines[..at].iter().map(|line| line["number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..at as u64), "it is not after what was queued before it");
    let dropped: u64 = lines.iter().map(reported).sum();
    assert_eq!(at as u64 + dropped, FILLING, "each line is written or counted");
}

/// More lines, of a kilobyte each, than the queue and a pipe hold.
const FILLING: u64 = 6_000;

#[test]
#[ignore = "run by `a_fatal_line_gets_through_a_full_queue_to_a_late_reader`, in a process of its own"]
fn panics_with_a_full_queue() {
    let config = config(&[("PLAUDIT_LOG_FORMAT", "json")]);
    plaudit::telemetry::install(config.log, plaudit::runtime::Clock::system());
    plaudit::telemetry::report_panics();
    for number in 0..FILLING {
        tracing::info!(number, filling = "x".repeat(1_024), "filling the queue");
    }
    let caught = std::panic::catch_unwind(|| panic!("the queue is full"));
    assert!(caught.is_err());
    println!("the panic was caught");
    // The reader begins only now.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    plaudit::telemetry::flush();
}
