//! The log, line by line: the JSON of each kind of line, and which lines are error reports.

use serde_json::{Value, json};
use tracing::field::Empty;

use crate::support::stage::{ISSUE, PULL_REQUEST, PUSH, stage};
use crate::support::{Environment, config, frozen, run, talk};

/// Runs an ignored test of this file in a process of its own, and returns the lines of its log.
fn lines_of(test: &str) -> Vec<Value> {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("log_lines::{test}"), "--ignored", "--nocapture", "--test-threads=1"]);
    let output = run(&mut child);
    let lines: Vec<Value> = output.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!lines.is_empty(), "{output:?}");
    lines
}

/// Logs as JSON from now on, at a fixed time.
fn log_here(project: &str) {
    let config = config(&[
        ("PLAUDIT_LOG_FORMAT", "json"),
        ("PLAUDIT_LOG", "trace"),
        ("GOOGLE_CLOUD_PROJECT", project),
    ]);
    plaudit::telemetry::install(config.log, frozen().clock);
}

const OWN: &str = "plaudit::room";
/// What JSON escapes in two characters or six, what it keeps, and a hidden character beside visible ones.
const ODD: &str = "\"quoted\" \\ a\nb\r\t\u{8}\u{c}\u{0}\u{7f}\u{9b}\u{202e}é日🎉/'";

#[test]
#[ignore = "run by `each_kind_of_line_is_the_json_that_cloud_logging_reads`, in a process of its own"]
fn logs_each_kind_of_line() {
    log_here("my-\"project\"");
    tracing::info!(target: OWN, "{ODD}");
    tracing::info!(target: OWN, text = ODD, debug = ?ODD, display = %ODD, empty = "", "values");
    tracing::info!(
        target: OWN,
        small = -7_i64,
        large = u64::MAX,
        wide = u128::MAX,
        whole = 1.0_f64,
        huge = 1e300,
        tiny = -1.5e-9,
        nan = f64::NAN,
        yes = true,
        none = None::<u64>,
        some = Some("thing"),
        empty = Empty,
        "numbers"
    );
    tracing::info!(target: OWN, { number = 1 }, "");
    tracing::info!(target: OWN, number = 1);
    tracing::trace!(target: OWN, "trace");
    tracing::debug!(target: OWN, "debug");
    tracing::warn!(target: OWN, host = "github", verdict = "rejected", reason = "unsigned", destination = %"topic", "labels");
    let outer = tracing::info_span!(target: OWN, "outer", request_id = %"outer", kept = 1, trace = Empty, span_id = Empty);
    outer.record("trace", "0af7");
    outer.record("span_id", "00f0");
    outer.record("kept", 2);
    outer.in_scope(|| {
        tracing::info!(target: OWN, "traced");
        let inner = tracing::info_span!(target: OWN, "inner", request_id = "inner", host = "gitlab");
        inner.in_scope(|| tracing::info!(target: OWN, kept = "event", "hidden"));
        tracing::info!(target: OWN, trace = 5, "a trace that is no text");
    });
    tracing::info!(
        target: OWN,
        route = "/x",
        http_method = "GET",
        http_url = "/a\"b",
        http_status = 200_u16,
        http_latency = "0.5s",
        http_user_agent = None::<&str>,
        http_remote_ip = %"127.0.0.1",
        "request"
    );
    plaudit::telemetry::flush();
}

#[test]
fn each_kind_of_line_is_the_json_that_cloud_logging_reads() {
    let project = "projects/my-\"project\"/traces/0af7";
    let traced = |mut line: Value| {
        line["logging.googleapis.com/trace"] = project.into();
        line["logging.googleapis.com/spanId"] = "00f0".into();
        line
    };
    let expected = [
        json!({"severity": "INFO", "message": ODD}),
        json!({
            "severity": "INFO", "message": "values",
            "text": ODD, "debug": format!("{ODD:?}"), "display": ODD, "empty": "",
        }),
        json!({
            "severity": "INFO", "message": "numbers",
            "small": -7, "large": u64::MAX, "wide": u128::MAX.to_string(),
            "whole": 1.0, "huge": 1e300, "tiny": -1.5e-9, "nan": null, "yes": true, "some": "thing",
        }),
        json!({"severity": "INFO", "message": "", "number": 1}),
        json!({"severity": "INFO", "message": null, "number": 1}),
        json!({"severity": "DEBUG", "message": "trace"}),
        json!({"severity": "DEBUG", "message": "debug"}),
        json!({
            "severity": "WARNING", "message": "labels",
            "host": "github", "verdict": "rejected", "reason": "unsigned", "destination": "topic",
            "logging.googleapis.com/labels":
                {"host": "github", "verdict": "rejected", "reason": "unsigned", "destination": "topic"},
        }),
        traced(json!({"severity": "INFO", "message": "traced", "request_id": "outer", "kept": 2})),
        traced(json!({
            "severity": "INFO", "message": "hidden", "request_id": "inner", "kept": "event",
            "host": "gitlab", "logging.googleapis.com/labels": {"host": "gitlab"},
        })),
        json!({
            "severity": "INFO", "message": "a trace that is no text", "request_id": "outer", "kept": 2,
            "logging.googleapis.com/trace": 5, "logging.googleapis.com/spanId": "00f0",
        }),
        json!({
            "severity": "INFO", "message": "request", "route": "/x",
            "httpRequest": {
                "requestMethod": "GET", "requestUrl": "/a\"b", "status": 200, "latency": "0.5s",
                "remoteIp": "127.0.0.1",
            },
        }),
    ];
    let mut lines = lines_of("logs_each_kind_of_line");
    assert_eq!(lines.len(), expected.len());
    for (line, mut expected) in lines.iter_mut().zip(expected) {
        let place = line.as_object_mut().unwrap().remove("logging.googleapis.com/sourceLocation").unwrap();
        assert_eq!((&place["file"], &place["function"]), (&json!(file!()), &json!(module_path!())));
        assert!(place["line"].as_str().unwrap().parse::<u32>().unwrap() > 30, "{place}");
        let time = frozen().clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        (expected["time"], expected["target"]) = (time.into(), OWN.into());
        assert_eq!(*line, expected);
    }
}

#[test]
#[ignore = "run by `only_plaudits_own_errors_are_error_reports`, in a process of its own"]
fn logs_errors_of_others() {
    log_here("my-project");
    for target in ["plaudit", "plaudit::room", "plaudit::fatal"] {
        // A target must be known where the line is written.
        match target {
            "plaudit" => tracing::error!(target: "plaudit", "own"),
            "plaudit::room" => tracing::error!(target: "plaudit::room", "own"),
            _ => tracing::error!(target: "plaudit::fatal", fatal = "kind", "own"),
        }
    }
    tracing::error!(target: "plauditor", "foreign");
    tracing::error!(target: "tower::buffer", "foreign");
    // These repeat what plaudit says itself.
    tracing::error!(target: "gcloud_sdk::middleware", "left out");
    tracing::error!(target: "hyper_util::client", "left out");
    plaudit::telemetry::flush();
}

#[test]
fn only_plaudits_own_errors_are_error_reports() {
    let lines = lines_of("logs_errors_of_others");
    let severities: Vec<_> = lines.iter().map(|line| line["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["ERROR", "ERROR", "CRITICAL", "WARNING", "WARNING"], "{lines:#?}");
    for line in lines {
        let own = line["message"] == "own";
        for field in ["@type", "serviceContext", "context"] {
            assert_eq!(line.get(field).is_some(), own, "{field}: {line}");
        }
        if own {
            let place = &line["logging.googleapis.com/sourceLocation"];
            let report = &line["context"]["reportLocation"];
            assert_eq!((&report["filePath"], &report["functionName"]), (&place["file"], &place["function"]));
            assert_eq!(report["lineNumber"].as_u64().unwrap().to_string(), place["line"].as_str().unwrap());
        }
    }
}

/// What Error Reporting groups by, of the one line that a process leaves which ends at its start.
fn reported(environment: &Environment) -> Value {
    let output = environment.run(&[]);
    assert_eq!(output.err.lines().count(), 1, "{output:?}");
    let line: Value = serde_json::from_str(&output.err).unwrap();
    assert_eq!(line["severity"], "CRITICAL");
    assert_eq!(line["fatal"], line["context"]["reportLocation"]["functionName"]);
    line["fatal"].clone()
}

#[test]
fn a_fatal_line_is_grouped_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::in_folder(&folder);
    assert_eq!(reported(&environment.with("PLAUDIT_MILESTONES", "0")), "wrong_configuration");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(reported(&environment.with("PLAUDIT_LISTEN", address)), "cannot_run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_ledger_is_one_line_a_failed_request_and_none_from_elsewhere() {
    let Some(stage) = stage().await else { return };
    let (proxy, mut process) = stage.proxied(&stage.environment).await;
    process.post(&talk("mona", "before")).await.expect(201);
    let before = process.log.lines().len();
    proxy.set_up(false);
    let (post, stranger) = (talk("mona", "meanwhile"), talk("lisa", "meanwhile"));
    let (issue, push, pull_request, posted, strangers) = tokio::join!(
        process.github("issues", ISSUE),
        process.github("push", PUSH),
        process.github("pull_request", PULL_REQUEST),
        process.post(&post),
        process.post(&stranger),
    );
    let mut ids = Vec::new();
    for answer in [issue, push, pull_request, posted, strangers] {
        let id = answer.header("x-request-id").to_owned();
        answer.problem(503, "unavailable");
        process.logged(&id).await;
        ids.push(id);
    }
    proxy.set_up(true);
    process.end().await;
    let lines = process.log.json().split_off(before);
    for id in &ids {
        let own: Vec<_> = lines.iter().filter(|line| line["request_id"] == **id).collect();
        assert_eq!(own.len(), 1, "{own:#?}");
        assert_eq!(own[0]["severity"], "WARNING");
        assert!(own[0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{own:#?}");
    }
    for line in &lines {
        assert!(line["target"].as_str().unwrap().starts_with("plaudit"), "{line}");
        assert!(line["severity"] != "ERROR" && line.get("@type").is_none(), "{line}");
    }
}

#[tokio::test]
async fn the_outbox_is_not_said_to_be_drained_while_something_waits() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::in_folder(&folder)
        .with("PLAUDIT_PUBLISH", "pubsub:project/topic")
        .with("PUBSUB_EMULATOR_HOST", "127.0.0.1:1");
    let mut process = environment.start().await;
    for id in ["a", "b", "c"] {
        process.post(&talk("mona", id)).await.expect(201);
    }
    process.logged("is down; what is due there waits").await;
    process.end().await;
    let last = process.log.json().pop().unwrap();
    assert_eq!((&last["severity"], &last["outbox_waiting"]), (&json!("WARNING"), &json!(1)), "{last}");
    assert!(!process.log.whole().contains("stopped; the outbox is drained"), "{last}");
}
