//! Terraform's log filters and extractors, evaluated on lines that the program wrote: a field that is renamed here or there
//! would leave a metric empty and an alert silent, and nothing else would show it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::support::fake_deliveries::{self, FakeDeliveries};
use crate::support::{Environment, Log, Plaudit, config, fixture, isolated, run};

mod filter;
mod source;

use filter::Filter;
use source::Sources;

const SERVICE: &str = "https://plaudit-abc123-ew.a.run.app";
const ACCOUNT: &str = "plaudit-service@acme-thanks.iam.gserviceaccount.com";

fn on_cloud_run(log: &str, mut more: Value) -> Value {
    let mut entry = json!({
        "logName": format!("projects/acme-thanks/logs/{log}"),
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "plaudit"}},
    });
    entry.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    entry
}

/// What Cloud Logging makes of a line on standard error: it moves its special fields out of the payload
/// (<https://cloud.google.com/logging/docs/structured-logging#special-payload-fields>).
fn of_the_program(line: &str) -> Value {
    const LOG: &str = "run.googleapis.com%2Fstderr";
    let Ok(Value::Object(mut payload)) = serde_json::from_str(line) else {
        return on_cloud_run(LOG, json!({"textPayload": line}));
    };
    let mut entry = json!({});
    for (from, to) in [
        ("severity", "severity"),
        ("time", "timestamp"),
        ("httpRequest", "httpRequest"),
        ("logging.googleapis.com/labels", "labels"),
        ("logging.googleapis.com/trace", "trace"),
        ("logging.googleapis.com/spanId", "spanId"),
        ("logging.googleapis.com/sourceLocation", "sourceLocation"),
    ] {
        if let Some(value) = payload.remove(from) {
            entry[to] = value;
        }
    }
    entry["jsonPayload"] = Value::Object(payload);
    on_cloud_run(LOG, entry)
}

/// Cloud Run's own line about a request, for each that the program answered.
fn of_cloud_run(entry: &Value) -> Option<Value> {
    let mut request = entry.get("httpRequest")?.clone();
    request["requestUrl"] = format!("{SERVICE}{}", request["requestUrl"].as_str().unwrap()).into();
    Some(on_cloud_run("run.googleapis.com%2Frequests", json!({"severity": "INFO", "httpRequest": request})))
}

/// What Google writes itself, as its documents show it, and which alert each is for; `none` where no alert is.
fn of_google() -> Vec<(&'static str, Value)> {
    let system = |severity, text: &str| {
        on_cloud_run(
            "run.googleapis.com%2Fvarlog%2Fsystem",
            json!({"severity": severity, "textPayload": text}),
        )
    };
    let refused = |status: u16, text: &str| {
        let request =
            json!({"status": status, "requestUrl": format!("{SERVICE}/webhooks/github"), "latency": "0s"});
        let more = json!({"severity": "WARNING", "httpRequest": request, "textPayload": text});
        on_cloud_run("run.googleapis.com%2Frequests", more)
    };
    let scheduler = |severity, job: &str| {
        json!({
            "logName": "projects/acme-thanks/logs/cloudscheduler.googleapis.com%2Fexecutions", "severity": severity,
            "resource": {"type": "cloud_scheduler_job", "labels": {"job_id": job}},
            "jsonPayload": {"status": "UNAVAILABLE", "debugInfo": "URL_UNREACHABLE-UNREACHABLE_5xx. Original HTTP response code number = 503"},
        })
    };
    let revision = |severity, status: &str| {
        let response = json!({"kind": "Revision"});
        let payload = json!({"response": response, "status": {"message": format!("Ready condition status changed to {status} for Revision plaudit-00002-abc.")}});
        on_cloud_run(
            "cloudaudit.googleapis.com%2Fsystem_event",
            json!({"severity": severity, "protoPayload": payload}),
        )
    };
    let read = |who: &str, secret: &str, method: &str| {
        json!({"logName": "projects/acme-thanks/logs/cloudaudit.googleapis.com%2Fdata_access", "protoPayload": {
            "serviceName": "secretmanager.googleapis.com",
            "methodName": format!("google.cloud.secretmanager.v1.SecretManagerService.{method}"),
            "resourceName": format!("projects/123456789012/secrets/{secret}/versions/1"),
            "authenticationInfo": {"principalEmail": who},
        }})
    };
    vec![
        ("no_instance", refused(429, "The request was aborted because there was no available instance.")),
        ("no_instance", refused(500, "The request was aborted because there was no available instance.")),
        ("none", refused(413, "The request was too large.")),
        ("drain_fails", scheduler("ERROR", "plaudit-drain")),
        ("none", scheduler("INFO", "plaudit-drain")),
        ("none", scheduler("ERROR", "another-drain")),
        ("reconcile_fails", scheduler("ERROR", "plaudit-reconcile")),
        ("none", scheduler("INFO", "plaudit-reconcile")),
        (
            "out_of_memory",
            system(
                "ERROR",
                "Memory limit of 512 MiB exceeded with 518 MiB used. Consider increasing the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits",
            ),
        ),
        ("out_of_memory", system("ERROR", "Out-of-memory event detected in container")),
        ("exits", system("WARNING", "Container called exit(1).")),
        ("exits", system("WARNING", "Container terminated on signal 11.")),
        ("none", system("WARNING", "Container called exit(0).")),
        ("none", system("INFO", "Container terminated on signal 15.")),
        (
            "none",
            system(
                "INFO",
                "Default STARTUP TCP probe succeeded after 1 attempt for container \"plaudit-1\" on port 8080.",
            ),
        ),
        ("failed_revision", revision("ERROR", "False")),
        ("none", revision("INFO", "True")),
        ("secret_access", read("mallory@example.org", "plaudit-api-tokens", "AccessSecretVersion")),
        ("none", read(ACCOUNT, "plaudit-api-tokens", "AccessSecretVersion")),
        ("none", read("ada@example.org", "plaudit-api-tokens", "GetSecretVersion")),
        ("none", read("ada@example.org", "another-secret", "AccessSecretVersion")),
    ]
}

#[test]
#[ignore = "run by `every_filter_finds_its_lines_and_no_others`, in a process of its own"]
fn panics() {
    let config = config(&[("PLAUDIT_LOG_FORMAT", "json")]);
    plaudit::telemetry::install(config.log, plaudit::runtime::Clock::system());
    plaudit::telemetry::report_panics();
    assert!(std::panic::catch_unwind(|| panic!("a fault on purpose")).is_err());
    plaudit::telemetry::flush();
}

/// The lines of a panic and of a configuration that can never be right.
fn fatal_lines() -> Vec<String> {
    let mut child = isolated(Command::new(std::env::current_exe().unwrap()), &[("", ""); 0]);
    child.args(["--exact", "log_filters::panics", "--ignored", "--nocapture"]);
    let panicked = run(&mut child);
    let folder = tempfile::tempdir().unwrap();
    let wrong =
        Environment::in_folder(&folder).with("PLAUDIT_MILESTONES", "none").with("PLAUDIT_LOG_FORMAT", "json");
    let refused = wrong.run(&["serve"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    panicked
        .err
        .lines()
        .chain(refused.err.lines())
        .filter(|line| line.starts_with('{'))
        .map(str::to_owned)
        .collect()
}

/// The lines of one instance that is used, meets strangers, and loses its ledger for one delivery.
async fn lines_of_use() -> Vec<String> {
    let mut plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1"), ("PLAUDIT_LOG_FORMAT", "json")]).await;
    plaudit.tolerate("plaudit.db");
    for (event, file) in [
        ("pull_request", "pull_request.opened"),
        ("pull_request", "pull_request.opened"),
        ("ping", "ping.repository"),
        ("pull_request", "pull_request.labeled.spam"),
    ] {
        plaudit.github(event, &fixture(&format!("github/{file}.json"))).await.expect(200);
    }
    plaudit.gitlab("Merge Request Hook", &fixture("gitlab/merge_request.open.json")).await.expect(200);
    for host in ["github", "gitlab"] {
        let unsigned = plaudit.stranger().request(Method::POST, &format!("/webhooks/{host}")).body("{}");
        plaudit.send(unsigned.header("content-type", "application/json")).await.expect(401);
    }
    plaudit.get("/v1/contributors").await.expect(200);
    plaudit.get("/openapi.json").await.expect(200);
    plaudit.drain().await;
    plaudit.drain().await;

    let (database, aside) = (plaudit.database(), plaudit.folder().path().join("aside.db"));
    std::fs::rename(&database, &aside).unwrap();
    plaudit.post(&json!({"contributor": "ada", "kind": "talk", "id": "lost"})).await.expect(503);
    std::fs::rename(&aside, &database).unwrap();
    plaudit.logged("\"status\":503").await;
    let log: Log = plaudit.log.clone();
    plaudit.stop().await;
    log.lines()
}

/// The lines of a round over three webhooks: one is off, the newest delivery of one failed, and one is not there.
async fn lines_of_rounds() -> Vec<String> {
    let github = FakeDeliveries::start("https://plaudit.example.org/webhooks/github").await;
    github.delivered("repos/o/r", "push", 200, chrono::TimeDelta::hours(1));
    github.add_hook("orgs/o", "https://plaudit.example.org/webhooks/github");
    github.delivered("orgs/o", "push", 503, chrono::TimeDelta::hours(70));
    github.world().keeps = false;
    github.change("active", json!(false));
    let plaudit = Plaudit::with(&[
        ("PLAUDIT_LOG_FORMAT", "json"),
        ("PLAUDIT_GITHUB_API", &github.url),
        ("PLAUDIT_GITHUB_TOKEN", fake_deliveries::TOKEN),
        ("PLAUDIT_RECONCILE", "github:o/r,github:o,github:nobody/here"),
    ])
    .await;
    plaudit.reconcile().await;
    plaudit.logged("\"webhook_broken\":\"unreadable\"").await;
    let log: Log = plaudit.log.clone();
    plaudit.stop().await;
    log.lines()
}

/// Every entry that Cloud Logging would have; with Google's own ones, which alert they are for.
async fn entries() -> Vec<(&'static str, Value)> {
    let mut lines = lines_of_use().await;
    lines.extend(fatal_lines());
    lines.extend(lines_of_rounds().await);
    let of_the_program: Vec<_> = lines.iter().map(|line| of_the_program(line)).collect();
    let of_cloud_run: Vec<_> = of_the_program.iter().filter_map(of_cloud_run).collect();
    let nameless = of_the_program.into_iter().chain(of_cloud_run).map(|entry| ("", entry));
    nameless.chain(of_google()).collect()
}

fn sources() -> Sources {
    Sources::read(&[
        ("var.name", "plaudit"),
        ("var.project_id", "acme-thanks"),
        ("local.secret_names", "plaudit-api-tokens|plaudit-github-secret"),
        ("google_service_account.service.email", ACCOUNT),
    ])
}

/// The matches of a filter, each as what its extractors read of it.
fn read(sources: &Sources, name: &str, entries: &[(&str, Value)]) -> Vec<Vec<String>> {
    let filter = Filter::parse(&sources.filters[name]);
    let found = entries.iter().filter(|(_, entry)| filter.matches(entry));
    let extractors = sources.extractors.get(name).cloned().unwrap_or_default();
    let extract = |entry: &Value| -> Vec<_> {
        extractors.values().map(|extractor| filter::extract(extractor, entry)).collect()
    };
    let mut read: Vec<_> = found.map(|(_, entry)| extract(entry)).collect();
    read.sort();
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_finds_its_lines_and_no_others() {
    let (sources, entries) = (sources(), entries().await);
    let counts: BTreeMap<_, _> =
        sources.filters.keys().map(|name| (name.as_str(), read(&sources, name, &entries).len())).collect();
    // Deliveries, posts and reads: five that counted or not, two unsigned, the list, the lost post; and Google's own three.
    let calls = 5 + 2 + 1 + 1 + 3;
    // `stop` drains once more, in the instance that reconciles too.
    let drains = 4;
    // The instance itself looks at the outbox too, and counts it once more at its end.
    let (looks, oldest) = (counts["outbox_waiting"], counts["outbox_oldest_seconds"]);
    assert!(looks >= oldest && oldest >= drains, "{counts:#?}");
    let errors = counts["errors"];
    assert!(errors >= 3, "the lost ledger, the panic and the wrong configuration: {counts:#?}");
    let expected = BTreeMap::from([
        ("calls", calls),
        ("request_seconds", calls),
        // The lost post, and Google's 429 and 500.
        ("calls_failed", 3),
        ("drains", drains),
        ("deliveries", 5),
        ("failed_signatures", 2),
        ("errors", errors),
        ("recognitions_made", 2),
        ("recognitions_published", 2),
        ("outbox_waiting", looks),
        ("outbox_oldest_seconds", oldest),
        ("panic", 1),
        ("fatal", 1),
        ("no_instance", 2),
        ("drain_fails", 1),
        ("reconcile_fails", 1),
        // One whose newest delivery failed, one that is off, and one that is not there; of the failed one, GitHub has nothing left.
        ("webhook_broken", 3),
        ("deliveries_lost", 1),
        ("out_of_memory", 2),
        ("exits", 2),
        ("failed_revision", 1),
        ("secret_access", 1),
    ]);
    assert_eq!(counts, expected);

    let words = |rows: &[[&str; 3]]| -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|word| (*word).to_owned()).collect()).collect()
    };
    // host, reason, verdict: the order of their names.
    assert_eq!(
        read(&sources, "deliveries", &entries),
        words(&[
            ["github", "", "duplicate"],
            ["github", "", "recorded"],
            ["github", "", "retracted"],
            ["github", "ping", "ignored"],
            ["gitlab", "", "recorded"],
        ])
    );
    assert_eq!(read(&sources, "failed_signatures", &entries), [["github"], ["gitlab"]]);
    assert_eq!(read(&sources, "recognitions_published", &entries), [["local"], ["local"]]);
    for name in ["request_seconds", "outbox_waiting", "outbox_oldest_seconds"] {
        for row in read(&sources, name, &entries) {
            let number = row[0].trim_end_matches('s').parse::<f64>();
            assert!(number.is_ok_and(|number| number >= 0.0), "{name}: {row:?}");
        }
    }
    for (alert, entry) in entries.iter().filter(|(alert, _)| !alert.is_empty()) {
        for name in &sources.alerts {
            let found = Filter::parse(&sources.filters[name]).matches(entry);
            assert_eq!(found, name == alert, "{name}: {entry}");
        }
    }
}

/// The entry with a field of this path renamed.
fn renamed(entry: &Value, path: &str) -> Value {
    let mut changed = entry.clone();
    let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
    if let Some(Value::Object(fields)) = changed.pointer_mut(&pointer)
        && let Some(value) = fields.remove(field)
    {
        fields.insert(format!("{field}_renamed"), value);
    }
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renaming_any_field_that_a_filter_or_an_extractor_names_changes_what_it_finds() {
    let (sources, entries) = (sources(), entries().await);
    let mut paths = BTreeSet::new();
    for (name, filter) in &sources.filters {
        let mut named = Filter::parse(filter).paths();
        named.extend(sources.extractors.get(name).into_iter().flatten().map(|(_, it)| filter::path_of(it)));
        let before = read(&sources, name, &entries);
        for path in named {
            let after: Vec<_> =
                entries.iter().map(|(alert, entry)| (*alert, renamed(entry, &path))).collect();
            assert_ne!(read(&sources, name, &after), before, "{name} does not depend on {path}");
            paths.insert(path);
        }
    }
    for path in
        ["jsonPayload.delivery", "jsonPayload.outbox_waiting", "httpRequest.status", "severity", "logName"]
    {
        assert!(paths.contains(path), "{paths:?}");
    }
}

#[test]
fn every_query_of_a_runbook_is_one() {
    let runbooks = sources().runbook_queries;
    assert!(runbooks.len() >= 12, "{runbooks:#?}");
    for query in runbooks {
        assert!(!Filter::parse(&query).paths().is_empty(), "{query}");
    }
}
