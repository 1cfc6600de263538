//! The description of the API: it is complete, the committed and the served one are the same, and its examples are
//! real answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use plaudit::hosts;
use plaudit::http::openapi::{Example, document};
use plaudit::http::problem::ProblemKind;
use plaudit::settings::Environment;
use plaudit::store::StoreError;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::fake_deliveries::{self, FakeDeliveries};
use crate::support::{
    FakeStore, GITHUB_SECRET, GITLAB_TOKEN, Inside, Mode, Signer, TOKEN, client, config, frozen, now,
};

/// A token that may only read.
const READ_TOKEN: &str = "a-token-for-reading";

/// Operations without examples: the document itself, images, and the files of pages.
const WITHOUT_EXAMPLE: [&str; 5] =
    ["readDescription", "readDocs", "readDocsAsset", "readPageAsset", "readBadge"];

#[test]
fn every_route_is_described_and_nothing_else() {
    let source = std::fs::read_to_string(root().join("src/http/mod.rs")).unwrap();
    let routes: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\""))
        .flat_map(|rest| {
            let (path, handler) = rest.split_once("\", ").unwrap();
            let (method, _) = handler.split_once('(').unwrap();
            // One handler serves all hosts; each host has a description of its own.
            let hosts = hosts::KNOWN.iter().map(|host| path.replace("{host}", host.name));
            let paths = if path.contains("{host}") { hosts.collect() } else { vec![path.to_owned()] };
            paths.into_iter().map(move |path| format!("{method} {path}"))
        })
        .collect();
    assert!(routes.len() > 15, "the routes are not found where they used to be: {routes:?}");
    let described: BTreeSet<String> = operations(&committed()).map(|(named, _)| named).collect();
    assert_eq!(routes, described);
}

#[test]
fn every_kind_of_problem_is_given_by_some_answer() {
    let document = committed();
    let types = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let urn = |kind: ProblemKind| format!("urn:plaudit:problem:{}", kind.code());
    let kinds = ProblemKind::ALL.map(urn);
    assert_eq!(*types, json!(kinds));
    let operations = operations(&document).map(|(_, operation)| operation["responses"].clone());
    let responses: Vec<Value> = operations.chain([document["components"]["responses"].clone()]).collect();
    for kind in ProblemKind::ALL {
        let status = kind.status().as_u16();
        let given =
            responses.iter().flat_map(|all| all.as_object().unwrap().iter()).any(|(name, response)| {
                let schema = &response["content"]["application/problem+json"]["schema"]["properties"];
                let of_status = *name == status.to_string()
                    || name.starts_with("NoSuch")
                    || name.starts_with("Unparsable");
                of_status
                    && schema["status"]["const"] == status
                    && schema["type"]["enum"].as_array().unwrap().contains(&json!(urn(kind)))
            });
        assert!(given, "no answer is described that gives {}", kind.code());
    }
}

#[tokio::test]
async fn the_committed_description_is_that_of_the_code_and_its_examples_are_real_answers() {
    let answers = tour().await;
    let examples: Vec<Example> =
        answers.iter().map(|answer| serde_json::from_value(answer.clone()).unwrap()).collect();
    let written = serde_json::to_string_pretty(&answers).unwrap() + "\n";
    let (example_file, file) =
        (root().join("src/http/openapi/examples.json"), root().join("docs/openapi.json"));
    let made = document(&examples);
    if Environment::of_process().get("PLAUDIT_BLESS").is_some() {
        std::fs::write(&example_file, &written).unwrap();
        std::fs::write(&file, &made).unwrap();
        return;
    }
    let again =
        "what is answered has changed; if that is meant: PLAUDIT_BLESS=1 cargo test --test it openapi";
    same(&std::fs::read_to_string(example_file).unwrap(), &written, again);
    same(&std::fs::read_to_string(file).unwrap(), &made, again);
    let document = committed();
    for example in &examples {
        holds(&document, example);
    }
    let shown: BTreeSet<&str> =
        examples.iter().filter(|e| e.status < 300).map(|e| e.operation.as_str()).collect();
    for (named, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(shown.contains(id) != WITHOUT_EXAMPLE.contains(&id), "{named} has no example, or needs none");
    }
    for (named, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"];
        assert!(body.is_null() || body["examples"].is_object(), "{named} has no example of its body");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let needed = parameter["required"] == true && parameter["schema"]["enum"].is_null();
            let shown = parameter["example"].is_string() || named == "get /docs/{asset}";
            assert!(shown || !needed, "{named} has no example of {}", parameter["name"]);
        }
    }
    for code in ProblemKind::ALL.map(ProblemKind::code) {
        let given = examples.iter().any(|e| e.answer["type"] == format!("urn:plaudit:problem:{code}"));
        assert!(given, "no example shows {code}");
    }
}

#[tokio::test]
async fn anyone_may_read_the_description_and_it_is_the_committed_one() {
    let inside = Inside::alone(&[("PLAUDIT_PUBLIC_READ", "false")]).await;
    let answer = client().get(format!("{}/openapi.json", inside.url)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let text = answer.text().await.unwrap();
    same(
        &text,
        &std::fs::read_to_string(root().join("docs/openapi.json")).unwrap(),
        "served and committed part",
    );
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    inside.stop().await;
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_a_problem_like_any_other() {
    let inside = Inside::alone(&[]).await;
    for path in [
        "/v1/contributions/%FF",
        "/v1/contributors/%FF",
        "/v1/contributors/%FF/contributions",
        "/v1/recognitions/%C3",
        "/docs/%FF",
        "/contributors/%FF",
        "/badges/%FF",
        "/pages/%FF",
        "/webhooks/%FF",
    ] {
        let url = format!("{}{path}", inside.url);
        let method = if path.starts_with("/webhooks") { Method::POST } else { Method::GET };
        let answer = client().request(method, url).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
    }
    inside.stop().await;
}

/// Fails unless an example's status is described and its bodies keep to their schemas.
fn holds(document: &Value, example: &Example) {
    let Example { operation: id, name, status, .. } = example;
    let found = operations(document).find(|(_, operation)| operation["operationId"] == **id);
    let response = match &found {
        Some((_, operation)) => &operation["responses"][status.to_string()],
        None => &document["components"]["responses"][id],
    };
    assert!(response.is_object(), "{id}: {status} is not described");
    let valid = |described: &Value, body: &Value| {
        let (kind, media) = described["content"].as_object().unwrap().iter().next().unwrap();
        if !kind.ends_with("json") {
            return;
        }
        let mut schema = media["schema"].clone();
        schema["components"] = document["components"].clone();
        let wrong: Vec<_> =
            jsonschema::draft202012::new(&schema).unwrap().iter_errors(body).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{id}, {name}: {wrong:?}\n{body:#}");
    };
    valid(response, &example.answer);
    if let (Some(request), Some((_, operation)), true) = (&example.request, &found, *status < 300) {
        valid(&operation["requestBody"], request);
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

fn committed() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("docs/openapi.json")).unwrap()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Fails unless both are equal, and shows only the first line that differs.
fn same(left: &str, right: &str, otherwise: &str) {
    let differ = left.lines().zip(right.lines()).position(|(left, right)| left != right);
    if let Some(line) = differ {
        let at = |text: &str| text.lines().nth(line).unwrap().to_owned();
        panic!("{otherwise}\nline {}:\n  {}\n  {}", line + 1, at(left), at(right));
    }
    assert_eq!(left.len(), right.len(), "{otherwise}");
}

/// Sends a request for every example, and collects the answers.
async fn tour() -> Vec<Value> {
    let mut answers = Vec::new();
    let mut overrides = frozen();
    overrides.limits.silence = Duration::from_millis(200);
    let variables = [
        ("PLAUDIT_READ_TOKENS", READ_TOKEN),
        ("PLAUDIT_PUBLIC_READ", "false"),
        ("PLAUDIT_GITLAB_SECRET", ""),
    ];
    let inside = Inside::alone_with(&variables, overrides).await;
    let mut guide = Guide { inside, answers: &mut answers, client: client() };
    guide.contributions().await;
    guide.lists().await;
    guide.webhooks().await;
    guide.operations().await;
    guide.refusals().await;
    guide.inside.stop().await;

    let github = FakeDeliveries::with_clock(
        "https://plaudit.example.org/webhooks/github",
        plaudit::runtime::Clock::from_fn(now),
    )
    .await;
    github.delivered("repos/o/r", "push", 503, TimeDelta::hours(2));
    github.delivered("repos/o/r", "ping", 200, TimeDelta::hours(1));
    let reconciling = [
        ("PLAUDIT_GITHUB_API", github.url.as_str()),
        ("PLAUDIT_GITHUB_TOKEN", fake_deliveries::TOKEN),
        ("PLAUDIT_RECONCILE", "github:o/r"),
    ];
    let inside = Inside::alone(&reconciling).await;
    let mut guide = Guide { inside, answers: &mut answers, client: client() };
    let reconcile = guide.ask(Method::POST, "/internal/reconcile");
    let summary = "Of two deliveries a push had failed, and was asked for again.";
    guide.record("reconcile", "asked", summary, None, reconcile).await;
    let opened = json!({
        "object_kind": "merge_request",
        "user": {"id": 1, "name": "Root", "username": "root"},
        "project": {
            "id": 15, "path_with_namespace": "gitlab-org/gitlab-test",
            "web_url": "https://gitlab.com/gitlab-org/gitlab-test", "visibility_level": 20
        },
        "object_attributes": {
            "iid": 7, "action": "open", "author_id": 1, "title": "Say hello", "draft": false, "labels": [],
            "url": "https://gitlab.com/gitlab-org/gitlab-test/-/merge_requests/7",
            "created_at": "2026-11-20 18:00:00 UTC", "updated_at": "2026-11-20 18:00:00 UTC"
        }
    });
    let signed = guide.signed("gitlab", "Merge Request Hook", opened.to_string().into());
    let summary = "A merge request was opened: the fields that plaudit reads.";
    guide.record("receiveGitlab", "counted", summary, Some(opened), signed).await;
    guide.inside.stop().await;

    let inside = Inside::alone(&[("PLAUDIT_GITLAB_SECRET", "")]).await;
    let mut guide = Guide { inside, answers: &mut answers, client: client() };
    guide.batches().await;
    guide.people().await;
    guide.inside.stop().await;

    for (name, summary, error) in [
        ("refused", "The store can keep no such thing.", StoreError::Refused("inside".into())),
        ("internal", "Something is broken; the log says what.", StoreError::Broken("inside".into())),
        ("unavailable", "The store is down.", StoreError::Unavailable("inside".into())),
    ] {
        let inside = Inside::start(&config(&[]), FakeStore::new(Mode::Fails(error)), frozen()).await;
        let mut guide = Guide { inside, answers: &mut answers, client: client() };
        guide.post(name, summary, json!({"contributor": "grace", "kind": "talk", "id": "talk-1"})).await;
        if name == "unavailable" {
            let ready = guide.ask(Method::GET, "/readyz");
            guide.record("isReady", "unavailable", "The store does not answer.", None, ready).await;
        }
        guide.inside.stop().await;
    }
    let inside = Inside::start(&config(&[]), FakeStore::new(Mode::HasNoForgetKey), frozen()).await;
    let mut guide = Guide { inside, answers: &mut answers, client: client() };
    let forget = guide.ask(Method::DELETE, "/v1/contributors/grace");
    let summary = "On Firestore, before the operator has set a key.";
    guide.record("forgetContributor", "forget_key_needed", summary, None, forget).await;
    guide.inside.stop().await;
    answers
}

struct Guide<'a> {
    inside: Inside,
    answers: &'a mut Vec<Value>,
    client: reqwest::Client,
}

impl Guide<'_> {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.inside.url)).bearer_auth(TOKEN)
    }

    /// A delivery as a host would send it.
    fn signed(&self, host: &str, event: &str, body: Vec<u8>) -> RequestBuilder {
        let signer = match host {
            "github" => Signer::Github(GITHUB_SECRET),
            _ => Signer::GitlabToken(GITLAB_TOKEN),
        };
        let delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        let headers = signer.headers(event, delivery, &body, now().timestamp());
        self.client.post(format!("{}/webhooks/{host}", self.inside.url)).headers(headers).body(body)
    }

    async fn record(
        &mut self,
        operation: &str,
        name: &str,
        summary: &str,
        request: Option<Value>,
        asked: RequestBuilder,
    ) {
        let answer = asked.send().await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(answer.headers()["x-request-id"].len(), 36, "{operation}");
        let answer = body(answer).await;
        self.write(operation, name, summary, request.as_ref(), status, answer);
    }

    fn write(
        &mut self,
        operation: &str,
        name: &str,
        summary: &str,
        request: Option<&Value>,
        status: u16,
        mut answer: Value,
    ) {
        if answer["request_id"].is_string() {
            answer["request_id"] = json!("019ab4f2-6a80-7000-8000-5f0c1d2e3f40");
        }
        self.answers.push(json!({"operation": operation, "name": name, "summary": summary, "request": request, "status": status, "answer": answer}));
    }

    async fn post(&mut self, name: &str, summary: &str, request: Value) {
        let asked = self.ask(Method::POST, "/v1/contributions").json(&request);
        self.record("createContribution", name, summary, Some(request), asked).await;
    }

    async fn get(&mut self, operation: &str, name: &str, summary: &str, path: &str) {
        let asked = self.ask(Method::GET, path);
        self.record(operation, name, summary, None, asked).await;
    }

    async fn contributions(&mut self) {
        let talk = |n: u8, title: &str| json!({"contributor": "github:octocat", "kind": "talk", "id": format!("talk-{n}"), "title": title, "url": format!("https://example.org/talks/{n}"), "occurred_at": "2026-11-20T18:00:00Z"});
        let stream = self.ask(Method::GET, "/v1/recognitions/stream").send().await.unwrap();
        self.post("counted", "A talk was given.", talk(1, "What a ledger is for")).await;
        self.post("again", "The same again: it counts once.", talk(1, "What a ledger is for")).await;
        let minimal = json!({"contributor": "github:octocat", "kind": "review"});
        let asked = self
            .ask(Method::POST, "/v1/contributions")
            .header("idempotency-key", "\"review-of-7\"")
            .json(&minimal);
        self.record(
            "createContribution",
            "by_key",
            "With a header `Idempotency-Key: \"review-of-7\"`, and no more than is needed.",
            Some(minimal),
            asked,
        )
        .await;
        self.post("recognized", "The third: a recognition follows.", talk(3, "Counting, honestly")).await;
        self.post("conflict", "The same id with another body.", talk(1, "Another title")).await;
        let wrong = json!({"contributor": "a/b", "kind": "Talk", "tilte": "A slip of the pen"});
        self.post("invalid_fields", "Every wrong field is named.", wrong).await;
        let event = first_event(stream).await;
        self.write("streamRecognitions", "recognition", "A recognition.", None, 200, event);
        self.get("getContribution", "contribution", "A talk.", "/v1/contributions/api:api:talk-1").await;
        self.get("getContribution", "not_found", "Nobody knows it.", "/v1/contributions/api:api:talk-9")
            .await;
        self.post("mistaken", "A slip.", talk(4, "A talk that was not given")).await;
        let retract = self.ask(Method::DELETE, "/v1/contributions/api:api:talk-4");
        self.record("retractContribution", "retracted", "The slip is taken back.", None, retract).await;
        self.post(
            "of_another",
            "Somebody who will ask to be forgotten.",
            json!({"contributor": "grace", "kind": "talk", "id": "talk-5"}),
        )
        .await;
        let forget = self.ask(Method::DELETE, "/v1/contributors/grace");
        self.record("forgetContributor", "forgotten", "She is forgotten.", None, forget).await;
    }

    async fn people(&mut self) {
        let link = "/v1/contributors/github:octocat/accounts/gitlab:octocat";
        let asked = self.ask(Method::PUT, link);
        self.record("linkAccount", "linked", "Both are one person.", None, asked).await;
        let elsewhere = self.ask(Method::PUT, "/v1/contributors/grace/accounts/gitlab:octocat");
        self.record("linkAccount", "elsewhere", "It is linked to another.", None, elsewhere).await;
        let apart = self.ask(Method::DELETE, link);
        self.record("unlinkAccount", "apart", "They are two again.", None, apart).await;
        let mailmap = json!({"mailmap": "Octocat <583231+octocat@users.noreply.github.com> <octocat@example.org>\nGrace <grace@example.org> <g@example.org>\n"});
        let asked = self.ask(Method::POST, "/v1/mailmap").json(&mailmap);
        let summary = "An address has an account; the second line names none.";
        self.record("addMailmap", "taken", summary, Some(mailmap), asked).await;
        let wrong = json!({"mailmap": 7});
        let asked = self.ask(Method::POST, "/v1/mailmap").json(&wrong);
        self.record("addMailmap", "invalid_fields", "It is not text.", Some(wrong), asked).await;
    }

    async fn batches(&mut self) {
        let talk = |who: &str, n: u8| json!({"contributor": who, "kind": "talk", "id": format!("talk-{n}"), "occurred_at": "2025-05-04T18:00:00Z"});
        let mixed =
            vec![talk("github:octocat", 1), talk("github:dependabot[bot]", 2), talk("github:octocat", 1)];
        let history: Vec<_> = (1..=3).map(|n| talk("grace", n + 10)).collect();
        let wrong = Vec::<Value>::new();
        for (name, summary, request) in [
            ("mixed", "A talk, a machine's, and the first again.", json!({"contributions": mixed})),
            (
                "history",
                "History reaches the milestone of 3, and is not announced.",
                json!({"contributions": history, "history": true}),
            ),
            ("invalid_fields", "There is nothing in it.", json!({"contributions": wrong})),
        ] {
            let asked = self.ask(Method::POST, "/v1/contributions/batch").json(&request);
            self.record("createContributions", name, summary, Some(request), asked).await;
        }
    }

    async fn lists(&mut self) {
        self.get(
            "listContributors",
            "first_page",
            "The contributor with the most contributions.",
            "/v1/contributors?limit=1",
        )
        .await;
        self.get(
            "listContributors",
            "invalid_fields",
            "A limit that is none.",
            "/v1/contributors?limit=1000",
        )
        .await;
        self.get("getContributor", "contributor", "An account on GitHub.", "/v1/contributors/github:octocat")
            .await;
        self.get("showContributor", "contributor", "An account on GitHub.", "/contributors/github:octocat")
            .await;
        self.get("getContributor", "malformed", "The path is no text.", "/v1/contributors/%FF").await;
        self.get(
            "listContributionsOf",
            "first_page",
            "The newest, and where to go on.",
            "/v1/contributors/github:octocat/contributions?limit=1",
        )
        .await;
        self.get(
            "listContributions",
            "of_a_kind",
            "A contributor's talks.",
            "/v1/contributions?contributor=github:octocat&kind=talk&limit=1",
        )
        .await;
        let of_none = "/v1/contributions?kind=talk";
        self.get("listContributions", "invalid_fields", "Neither whose nor where.", of_none).await;
        self.get("listRecognitions", "whole", "All there are.", "/v1/recognitions").await;
        self.get(
            "getRecognition",
            "recognition",
            "For the third contribution.",
            "/v1/recognitions/github:octocat:3",
        )
        .await;
    }

    async fn webhooks(&mut self) {
        let fixture = |name: &str| std::fs::read(root().join("fixtures/github").join(name)).unwrap();
        let opened = json!({
            "action": "opened",
            "number": 7,
            "pull_request": {
                "number": 7, "title": "Say hello", "draft": false, "labels": [],
                "html_url": "https://github.com/octo-org/hello/pull/7",
                "user": {"login": "hubot-friend", "id": 583_232, "type": "User"},
                "created_at": "2026-11-20T18:00:00Z", "updated_at": "2026-11-20T18:00:00Z"
            },
            "repository": {
                "id": 1_296_269, "full_name": "octo-org/hello", "private": false,
                "html_url": "https://github.com/octo-org/hello"
            },
            "sender": {"login": "hubot-friend", "id": 583_232, "type": "User"}
        });
        let bytes = opened.to_string().into_bytes();
        let signed = self.signed("github", "pull_request", bytes.clone());
        let summary = "A pull request was opened: the fields that plaudit reads.";
        self.record("receiveGithub", "counted", summary, Some(opened), signed).await;
        let opened = self.signed("github", "pull_request", bytes);
        self.record("receiveGithub", "duplicate", "The same delivery again.", None, opened).await;
        let ping = self.signed("github", "ping", fixture("ping.repository.json"));
        self.record("receiveGithub", "ignored", "Verified, and nothing that counts.", None, ping).await;
        let nonsense = self.signed("github", "pull_request", b"{}".to_vec());
        self.record("receiveGithub", "malformed", "Signed, but no pull request.", None, nonsense).await;
        let forged = self.signed("github", "ping", b"{}".to_vec()).body("{ }");
        self.record(
            "receiveGithub",
            "bad_signature",
            "Signed with another secret, or changed on the way.",
            None,
            forged,
        )
        .await;
        let unsigned = self.ask(Method::POST, "/webhooks/github").json(&json!({}));
        self.record("receiveGithub", "unsigned", "No signature at all.", None, unsigned).await;
        let stranger = self.ask(Method::POST, "/webhooks/gitlab").json(&json!({}));
        self.record(
            "receiveGitlab",
            "host_not_configured",
            "The operator set no secret for GitLab.",
            None,
            stranger,
        )
        .await;
    }

    async fn operations(&mut self) {
        self.get("isAlive", "ok", "It lives.", "/healthz").await;
        self.get("isReady", "ok", "All is well.", "/readyz").await;
        self.get("welcome", "welcome", "This version.", "/").await;
        self.get("howItCounts", "rules", "The defaults, with GitHub alone.", "/how-it-counts").await;
        let drain = self.ask(Method::POST, "/internal/drain");
        self.record("drain", "nothing_waits", "Nothing was owed, nothing waits.", None, drain).await;
        let reconcile = self.ask(Method::POST, "/internal/reconcile");
        self.record("reconcile", "turned_off", "The operator set no PLAUDIT_RECONCILE.", None, reconcile)
            .await;
        let metrics = self.ask(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let excerpt: Vec<_> =
            metrics.lines().filter(|line| line.contains("plaudit_recognitions_total")).collect();
        self.write(
            "readMetrics",
            "excerpt",
            "Three lines of it.",
            None,
            200,
            json!(excerpt.join("\n") + "\n"),
        );
    }

    async fn refusals(&mut self) {
        let without_token = self.client.get(format!("{}/v1/contributors", self.inside.url));
        self.record("listContributors", "token_needed", "No token.", None, without_token).await;
        let wrong_token =
            self.client.get(format!("{}/v1/contributors", self.inside.url)).bearer_auth("wrong");
        self.record("listContributors", "wrong_token", "A token that is not known.", None, wrong_token).await;
        let url = format!("{}/v1/contributions", self.inside.url);
        let talk = json!({"contributor": "grace", "kind": "talk", "id": "talk-1"});
        let for_reading = self.client.post(url).bearer_auth(READ_TOKEN).json(&talk);
        self.record("createContribution", "forbidden", "With a token for reading.", Some(talk), for_reading)
            .await;
        let text =
            self.ask(Method::POST, "/v1/contributions").header("content-type", "text/plain").body("a talk");
        self.record("createContribution", "unsupported", "No JSON.", None, text).await;
        let large = self.ask(Method::POST, "/v1/contributions").json(&"x".repeat(70_000));
        self.record("createContribution", "body_too_large", "More than 64 KiB.", None, large).await;
        let slow = self.slow_post().await;
        self.write("createContribution", "body_too_slow", "The body stopped coming.", None, 408, slow);
        self.get("NoSuchPath", "not_found", "There is no such path.", "/v2").await;
        let (status, long) = self.raw(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(65_535))).await;
        self.write("UnparsableTarget", "target_too_long", "More than 64 KiB.", None, status, long);
        let headers = "x-header: 1\r\n".repeat(101);
        let (status, many) = self.raw(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
        self.write("UnparsableHead", "head_too_large", "More than 100 headers.", None, status, many);
        let delete = self.ask(Method::DELETE, "/v1/contributors");
        self.record("NoSuchMethod", "method_not_allowed", "Nobody can be deleted.", None, delete).await;
    }

    /// What is answered to a head that is written as it is.
    async fn raw(&self, head: &str) -> (u16, Value) {
        let address = self.inside.url.strip_prefix("http://").unwrap();
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// A post whose body stops arriving.
    async fn slow_post(&self) -> Value {
        let address = self.inside.url.strip_prefix("http://").unwrap();
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/contributions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn body(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
}

/// The text of the first event, after the place at which the stream begins.
async fn first_event(mut stream: Response) -> Value {
    let mut text = String::new();
    while text.matches("\n\n").count() < 2 {
        text.push_str(
            std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream ended")).unwrap(),
        );
    }
    json!(text.split_once("\n\n").unwrap().1)
}
