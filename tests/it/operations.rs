//! For operators: health, readiness, metrics, the drain, and the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use plaudit::domain::{Destination, Recognition};
use plaudit::http::Overrides;
use plaudit::publish::{PublishError, Publisher};
use serde_json::{Value, json};

use crate::support::{
    FakeStore, Inside, Mode, Plaudit, Signer, client, config, fixture, is_of, pull_request, run, talk,
};

#[tokio::test]
async fn it_is_alive_and_ready_and_many_checks_ping_the_store_once() {
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::start(&config(&[]), store.clone(), Overrides::default()).await;
    let ready = join_all((0..50).map(|_| inside.get("/readyz"))).await;
    for answer in ready {
        assert_eq!(answer.expect(200).json(), json!({"status": "ok"}));
    }
    assert_eq!(store.pings.load(Ordering::SeqCst), 1);
    inside.get("/healthz").await.expect(200);
    inside.stop().await;

    let store = FakeStore::new(Mode::down());
    let inside = Inside::start(&config(&[]), store.clone(), Overrides::default()).await;
    for _ in 0..10 {
        let problem = inside.get("/readyz").await.problem(503, "unavailable");
        assert!(!problem.to_string().contains("secret of the inside"));
    }
    assert_eq!(store.pings.load(Ordering::SeqCst), 1);
    inside.get("/healthz").await.expect(200);
    inside.stop().await;
}

/// A destination that never answers, and counts how often it is asked.
#[derive(Debug, Default)]
struct Silent {
    asked: AtomicUsize,
}

#[async_trait]
impl Publisher for Silent {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    async fn publish(&self, _recognition: &Recognition) -> Result<(), PublishError> {
        std::future::pending().await
    }

    async fn ping(&self) -> Result<(), PublishError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[tokio::test]
async fn twenty_checks_at_once_ask_a_silent_destination_once_and_keep_its_answer() {
    let silent = Arc::new(Silent::default());
    let publishers = vec![Arc::clone(&silent) as Arc<dyn Publisher>];
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::publishing(&config(&[]), store, publishers, Overrides::default()).await;
    for _ in 0..2 {
        for answer in join_all((0..20).map(|_| inside.get("/readyz"))).await {
            assert_eq!(answer.expect(200).json(), json!({"status": "degraded"}));
        }
        assert_eq!(silent.asked.load(Ordering::SeqCst), 1);
    }
    inside.stop().await;
}

#[tokio::test]
async fn metrics_count_deliveries_contributions_and_recognitions() {
    let plaudit = Plaudit::start().await;
    for number in [1, 2, 3, 3] {
        plaudit.github("pull_request", &pull_request(number, "mona")).await.expect(200);
    }
    plaudit.github("ping", &fixture("github/ping.repository.json")).await.expect(200);
    plaudit.get("/webhooks/github").await.expect(405);
    let unsigned = plaudit.request(http::Method::POST, "/webhooks/github").body("{}");
    plaudit.send(unsigned).await.expect(401);
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.post(&talk("mona", "a")).await.expect(200);
    let answer = plaudit.get("/metrics").await.expect(200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "plaudit_deliveries_total{host=\"github\",reason=\"\",verdict=\"recorded\"} 3",
        "plaudit_deliveries_total{host=\"github\",reason=\"\",verdict=\"duplicate\"} 1",
        "plaudit_deliveries_total{host=\"github\",reason=\"ping\",verdict=\"ignored\"} 1",
        "plaudit_deliveries_total{host=\"github\",reason=\"unsigned\",verdict=\"rejected\"} 1",
        "plaudit_deliveries_total{host=\"gitlab\",reason=\"\",verdict=\"recorded\"} 0",
        "plaudit_contributions_total{kind=\"pull_request\"} 3",
        "plaudit_contributions_total{kind=\"other\"} 1",
        "plaudit_recognitions_total 1",
        "plaudit_published_total{destination=\"local\",outcome=\"done\"} 1",
        "plaudit_outbox_waiting 0",
        "plaudit_outbox_oldest_seconds 0",
        "plaudit_request_seconds_count{route=\"/webhooks/{host}\",status=\"200\"} 5",
    ] {
        assert!(answer.text.lines().any(|known| known == line), "{line} is not in {}", answer.text);
    }
    for name in ["plaudit_commit_contributions_bucket", "plaudit_commit_seconds_count"] {
        assert!(answer.text.contains(name), "{name}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_drain_says_what_it_did_in_its_answer_and_in_the_log() {
    let mut plaudit = Plaudit::start().await;
    for id in ["a", "b"] {
        plaudit.post(&talk("mona", id)).await.expect(201);
    }
    assert_eq!(plaudit.drain().await, json!({"recognized": 0, "published": 0, "waiting": 0}));
    plaudit.end().await;
    plaudit.set("PLAUDIT_MILESTONES", "2");
    plaudit.restart().await;
    plaudit.drain().await;
    let line = plaudit.log.wait(0, |line| line.contains("\"message\":\"outbox\"")).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    for field in ["recognized", "published", "outbox_waiting", "outbox_oldest_seconds"] {
        assert!(line[field].is_number(), "{field}: {line}");
    }
    assert_eq!(plaudit.recognitions().await, ["mona:2"]);
    plaudit.stop().await;
}

/// The log's line about the request of this id.
async fn line_of(plaudit: &Plaudit, id: &str) -> Value {
    let line = plaudit.log.wait(0, |line| line.contains(id) && line.contains("httpRequest")).await;
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn a_request_is_one_line_of_the_log_with_its_trace() {
    let plaudit = Plaudit::with(&[("GOOGLE_CLOUD_PROJECT", "my-project")]).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (name, value) in [
        ("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")),
        ("x-cloud-trace-context", format!("{trace}/67667974448284343;o=1")),
    ] {
        let body = fixture("github/pull_request.opened.json");
        let request = plaudit.github_request("pull_request", "the-delivery", &body).header(name, value);
        let answer = plaudit.send(request.query(&[("token", "hush-hush")])).await.expect(200);
        let line = line_of(&plaudit, answer.header("x-request-id")).await;
        assert_eq!(line["severity"], "INFO");
        assert_eq!(line["logging.googleapis.com/trace"], format!("projects/my-project/traces/{trace}"));
        assert_eq!(line["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
        let request = &line["httpRequest"];
        assert_eq!((&request["requestMethod"], &request["status"]), (&json!("POST"), &json!(200)));
        assert_eq!(request["requestUrl"], "/webhooks/github", "the query is not logged");
        assert_eq!(request["userAgent"], "GitHub-Hookshot/044aadd");
        assert!(request["latency"].as_str().unwrap().strip_suffix('s').unwrap().parse::<f64>().is_ok());
        assert!(request["remoteIp"] == "127.0.0.1");
        assert_eq!(line["delivery"], "the-delivery");
        assert!(line["message"].as_str().unwrap().contains("the-delivery"));
        assert_eq!(line["logging.googleapis.com/labels"]["host"], "github");
        assert!(line["logging.googleapis.com/sourceLocation"]["file"].is_string());
    }
    assert!(plaudit.log.lines().iter().all(|line| !line.contains("hush-hush")));
    plaudit.stop().await;
}

#[tokio::test]
async fn the_address_in_the_log_is_the_one_that_the_trusted_proxy_saw() {
    let behind = |proxies| async move {
        let plaudit = Plaudit::with(&[("PLAUDIT_TRUSTED_PROXIES", proxies)]).await;
        let mut logged = Vec::new();
        for forwarded in ["10.6.6.6, 203.0.113.7", "203.0.113.7, \"};--", &"1".repeat(5_000)] {
            let request = plaudit.request(http::Method::GET, "/").header("x-forwarded-for", forwarded);
            let answer = plaudit.send(request).await.expect(200);
            let line = line_of(&plaudit, answer.header("x-request-id")).await;
            logged.push(line["httpRequest"]["remoteIp"].as_str().unwrap().to_owned());
        }
        plaudit.stop().await;
        logged
    };
    assert_eq!(behind("").await, ["127.0.0.1"; 3], "no proxy: the header is anyone's word");
    assert_eq!(behind("1").await, ["203.0.113.7", "127.0.0.1", "127.0.0.1"]);
}

#[tokio::test]
async fn a_rejected_deliverys_line_says_what_it_claims_and_a_verified_ones_does_not() {
    let plaudit = Plaudit::with(&[("PLAUDIT_GITLAB_SECRET", "")]).await;
    let body = fixture("github/pull_request.opened.json");
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let forged = Signer::Github("another secret").headers("pull_request", id, body.as_bytes(), 0);
    let mut unsigned = forged.clone();
    unsigned.remove("x-hub-signature-256");
    for (headers, reason) in [(forged.clone(), "bad_signature"), (unsigned, "unsigned")] {
        let request = plaudit.request(http::Method::POST, "/webhooks/github").headers(headers);
        let answer = plaudit.send(request.body(body.clone())).await.expect(401);
        let line = line_of(&plaudit, answer.header("x-request-id")).await;
        assert_eq!(
            (&line["reason"], &line["delivery"], &line["event"]),
            (&json!(reason), &Value::Null, &Value::Null)
        );
        assert_eq!(line["claimed_delivery"], id);
        assert_eq!(line["claimed_event"], "pull_request");
        assert_eq!(line["claimed_length"], body.len());
        assert!(
            !line["message"].as_str().unwrap().contains(id),
            "only a verified id is in the message: {line}"
        );
    }
    let answer = plaudit.send(plaudit.github_request("pull_request", id, &body)).await.expect(200);
    let line = line_of(&plaudit, answer.header("x-request-id")).await;
    assert_eq!((&line["delivery"], &line["claimed_delivery"]), (&json!(id), &Value::Null));

    // What claims more, or what cannot be seen, is cut and marked.
    let request = plaudit.request(http::Method::POST, "/webhooks/github").headers(forged);
    let mut request = request.body(body.clone()).build().unwrap();
    request.headers_mut().insert("x-github-event", "a\tb".parse().unwrap());
    request.headers_mut().insert("x-github-delivery", "x".repeat(5_000).parse().unwrap());
    let answer = client().execute(request).await.unwrap();
    let line = line_of(&plaudit, answer.headers()["x-request-id"].to_str().unwrap()).await;
    assert_eq!(line["claimed_event"], "a\u{fffd}b");
    assert_eq!(line["claimed_delivery"].as_str().unwrap().len(), 100);

    // At a host that is not configured.
    let gitlab = Signer::GitlabToken("a token").headers("Push Hook", "an-id", b"{}", 0);
    let request = plaudit.request(http::Method::POST, "/webhooks/gitlab").headers(gitlab).body("{}");
    let answer = plaudit.send(request).await.expect(404);
    let line = line_of(&plaudit, answer.header("x-request-id")).await;
    assert_eq!((&line["claimed_delivery"], &line["claimed_event"]), (&json!("an-id"), &json!("Push Hook")));
    plaudit.stop().await;
}

#[tokio::test]
async fn a_failure_is_logged_once_with_details_that_the_client_does_not_get() {
    let plaudit = Plaudit::start().await;
    let other = rusqlite::Connection::open(plaudit.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = plaudit.post(&talk("mona", "a")).await;
    other.execute_batch("ROLLBACK").unwrap();
    let id = answer.header("x-request-id").to_owned();
    let problem = answer.problem(503, "unavailable");
    let line = line_of(&plaudit, &id).await;
    assert_eq!(line["severity"], "WARNING");
    assert!(line["why"].as_str().unwrap().contains("locked"));
    assert!(!problem.to_string().contains("locked"));
    assert_eq!(plaudit.log.lines().iter().filter(|line| line.contains("locked")).count(), 1);
    plaudit.stop().await;
}

/// Text that would move a terminal's cursor, begin a new line, turn the direction of what follows, or not be seen.
const FORGED: &str = "a\nb\r\u{1b}[31m{\"severity\":\"CRITICAL\"}\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}";

#[tokio::test]
async fn what_comes_from_outside_stays_in_its_line() {
    for format in ["json", "text"] {
        let plaudit = Plaudit::with(&[("PLAUDIT_LOG_FORMAT", format), ("PLAUDIT_LOG", "debug")]).await;
        let mut payload: Value = serde_json::from_str(&pull_request(1, "mona")).unwrap();
        payload["pull_request"]["title"] = FORGED.into();
        payload["repository"]["full_name"] = FORGED.into();
        for number in 1..=3 {
            payload["number"] = number.into();
            payload["pull_request"]["number"] = number.into();
            plaudit.github("pull_request", &payload.to_string()).await.expect(200);
        }
        // A login with control characters is no account; it must not appear anywhere.
        payload["number"] = 4.into();
        payload["pull_request"]["number"] = 4.into();
        is_of(&mut payload["pull_request"]["user"], FORGED);
        let odd = plaudit.github("pull_request", &payload.to_string()).await;
        assert!([200, 400].contains(&odd.status), "{odd:?}");
        plaudit.get("/a%0ab%1b%5b31m").await.expect(404);
        let request = plaudit.request(http::Method::GET, "/healthz").header("user-agent", "a\u{9b}31m");
        plaudit.send(request).await.expect(200);
        let body = pull_request(5, "mona");
        plaudit.send(plaudit.github_request("pull_request", "an\tid", &body)).await;
        plaudit.drain().await;
        for line in plaudit.log.lines() {
            let hidden = |c: char| c.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}".contains(c);
            assert!(!line.contains(hidden), "{format}: {line:?}");
            let own = if format == "json" {
                line.starts_with('{')
            } else {
                line.starts_with(|c: char| c.is_ascii_digit())
            };
            assert!(own, "a line that the program did not write: {line:?}");
        }
        plaudit.stop().await;
    }
}

/// What a log escapes: control characters, and those that turn the direction of a text or are not seen.
const HIDDEN: [(char, char); 9] = [
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{2069}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
];

fn hidden() -> impl Iterator<Item = char> {
    HIDDEN.into_iter().flat_map(|(first, last)| first..=last)
}

#[test]
fn hidden_characters_are_escaped_and_all_others_kept() {
    for format in ["json", "text"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "operations::logs_hidden_characters", "--ignored", "--nocapture"]);
        let output = run(child.env("FORMAT_OF_THE_TEST", format));
        let line = output.err.lines().find(|line| line.contains("müßig")).unwrap();
        assert!(!line.contains(|c| hidden().any(|hidden| hidden == c)), "{line:?}");
        if format == "json" {
            let json: Value = serde_json::from_str(line).unwrap();
            assert_eq!(json["message"], format!("müßig\u{2013}{}", hidden().collect::<String>()));
            assert_eq!(json["field"], hidden().collect::<String>());
            assert!(line.contains("\\u009b") && line.contains("\\u202e"), "{line}");
        } else {
            assert_eq!(line.matches("\\u{202e}").count(), 2, "{line}");
        }
    }
}

#[test]
#[ignore = "run by `hidden_characters_are_escaped_and_all_others_kept`, in a process of its own"]
fn logs_hidden_characters() {
    let format = std::env::var("FORMAT_OF_THE_TEST").unwrap();
    let config = config(&[("PLAUDIT_LOG_FORMAT", &format)]);
    plaudit::telemetry::install(config.log, plaudit::runtime::Clock::system());
    let field: String = hidden().collect();
    tracing::info!(field, "müßig\u{2013}{field}");
    plaudit::telemetry::flush();
}

#[tokio::test]
async fn a_panic_is_one_critical_line() {
    // Nothing in the program panics on demand, so a test does in a child process.
    let exe = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(exe);
    child.args(["--exact", "operations::panics_on_demand", "--ignored", "--nocapture", "--test-threads=1"]);
    let output = run(&mut child);
    let lines: Vec<Value> = output.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 1, "{output:?}");
    assert_eq!(lines[0]["severity"], "CRITICAL");
    assert_eq!(lines[0]["message"], "panic: line one\nline two");
    assert!(lines[0]["@type"].as_str().unwrap().ends_with(".ReportedErrorEvent"));
    assert!(lines[0]["stack_trace"].as_str().unwrap().contains("operations.rs"));
    assert!(lines[0]["serviceContext"]["service"] == "plaudit");
    // Its own place, and not that of the hook.
    let place = &lines[0]["context"]["reportLocation"];
    assert_eq!((&place["filePath"], &place["functionName"]), (&json!(file!()), &json!("panic")), "{place}");
    assert_eq!(
        lines[0]["place"].as_str().unwrap().split(':').nth(1),
        Some(&*place["lineNumber"].to_string())
    );
    assert_eq!(lines[0]["logging.googleapis.com/sourceLocation"]["file"], file!());
}

#[test]
#[ignore = "run by `a_panic_is_one_critical_line`, in a process of its own"]
fn panics_on_demand() {
    let config = config(&[("PLAUDIT_LOG_FORMAT", "json")]);
    plaudit::telemetry::install(config.log, plaudit::runtime::Clock::system());
    plaudit::telemetry::report_panics();
    panic!("line one\nline two");
}

#[tokio::test]
async fn nothing_is_logged_of_health_checks_unless_asked_for() {
    let plaudit = Plaudit::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        plaudit.get(path).await.expect(200);
    }
    plaudit.drain().await;
    assert!(plaudit.log.lines().iter().all(|line| !line.contains("/healthz") && !line.contains("/metrics")));
    plaudit.stop().await;
}
