//! Deliveries as the hosts send them.

use std::fmt::Write as _;
use std::path::Path;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    Answer, GITHUB_SECRET, GITLAB_SIGNING, GITLAB_TOKEN, Plaudit, Signer, command, fixture, github_signature,
    pull_request, run, standard_signature,
};

const OPENED: &str = "github/pull_request.opened.json";

#[tokio::test]
async fn a_signed_delivery_is_recorded_and_its_redelivery_a_duplicate() {
    let mut plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    let request = plaudit.github_request("pull_request", "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body);
    let answer = plaudit.send(request).await.expect(200).json();
    let id = answer["contributions"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("github:") && id.ends_with(":pull_request:41:ada-quillfeather"), "{id}");
    let expected = |verdict: &str, recorded: bool, delivery: &str| {
        json!({
            "delivery": delivery, "event": "pull_request", "verdict": verdict, "reason": null,
            "contributions": [{
                "id": id, "contributor": "github:ada-quillfeather", "tally": 1, "recorded": recorded, "recognitions": [],
            }],
        })
    };
    assert_eq!(answer, expected("recorded", true, "72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    plaudit.end().await;
    plaudit.restart().await;
    for delivery in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "another-hook-saw-it-too"] {
        let again = plaudit.send(plaudit.github_request("pull_request", delivery, &body)).await.expect(200);
        assert_eq!(again.json(), expected("duplicate", false, delivery));
    }
    assert_eq!(plaudit.tallies().await["github:ada-quillfeather"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn fifty_copies_of_a_delivery_at_once_count_once() {
    let plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    let answers = join_all((0..50).map(|_| plaudit.github("pull_request", &body))).await;
    let verdicts: Vec<_> = answers.into_iter().map(|a| a.expect(200).json()["verdict"].clone()).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "recorded").count(), 1);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "duplicate").count(), 49);
    assert_eq!(plaudit.tallies().await["github:ada-quillfeather"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn an_organisation_hook_and_a_repository_hook_together_count_once() {
    let plaudit = Plaudit::start().await;
    let repository = fixture("github/issues.opened.json");
    // The organisation's webhook sends the same event with other bytes and another delivery id.
    let mut payload: Value = serde_json::from_str(&repository).unwrap();
    payload["organization"] = json!({"login": "harbour-lights", "id": 99});
    payload["installation"] = json!({"id": 7});
    let organisation = payload.to_string();
    let (one, two) =
        tokio::join!(plaudit.github("issues", &repository), plaudit.github("issues", &organisation));
    let mut verdicts =
        [one, two].map(|answer| answer.expect(200).json()["verdict"].as_str().unwrap().to_owned());
    verdicts.sort();
    assert_eq!(verdicts, ["duplicate", "recorded"]);
    assert!(plaudit.tallies().await.values().all(|tally| *tally == 1));
    plaudit.stop().await;
}

#[tokio::test]
async fn three_different_things_make_a_recognition_that_names_the_third() {
    let plaudit = Plaudit::start().await;
    let mut events = plaudit.stream(None).await;
    for (event, file) in [
        ("issues", "issues.opened"),
        ("pull_request", "pull_request.opened"),
        ("push", "push.default_branch"),
    ] {
        plaudit.github(event, &fixture(&format!("github/{file}.json"))).await.expect(200);
    }
    let event = events.next().await.unwrap();
    assert_eq!(event.id, "github:ada-quillfeather:3");
    assert_eq!(event.data["contribution"]["kind"], "push");
    assert_eq!(event.data["contributor"]["url"], "https://github.com/ada-quillfeather");
    plaudit.stop().await;
}

/// Posts a delivery with exactly these headers.
async fn raw(plaudit: &Plaudit, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = plaudit.request(Method::POST, &format!("/webhooks/{host}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    plaudit.send(request.body(body.to_vec())).await
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PULL_REQUEST: (&str, &str) = ("x-github-event", "pull_request");

#[tokio::test]
async fn what_is_unsigned_or_wrongly_signed_is_401_and_nothing_is_stored() {
    let plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    let right = github_signature(GITHUB_SECRET, body.as_bytes());
    let digits = right.strip_prefix("sha256=").unwrap().to_owned();
    let mut wrong: Vec<String> =
        (0..=100).filter(|n| *n != 64).map(|n| format!("sha256={}", "a".repeat(n))).collect();
    wrong.extend((0..=100).step_by(7).map(|n| format!("sha256={}", "z".repeat(n))));
    wrong.extend([
        format!("sha256={}", "0".repeat(64)),
        github_signature("another secret", body.as_bytes()),
        github_signature("x", format!("{body} ").as_bytes()),
        format!("sha1={}", &digits[..40]),
        digits.clone(),
        format!("sha256={digits}00"),
        format!("sha256= {digits}"),
        format!("{right},{right}"),
        String::new(),
    ]);
    for signature in &wrong {
        let headers = [JSON, PULL_REQUEST, ("x-hub-signature-256", signature.as_str())];
        let answer = raw(&plaudit, "github", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 401, "{signature:?}: {answer:?}");
    }
    let two = [
        JSON,
        PULL_REQUEST,
        ("x-hub-signature-256", right.as_str()),
        ("x-hub-signature-256", right.as_str()),
    ];
    raw(&plaudit, "github", &two, body.as_bytes()).await.problem(401, "unsigned");
    raw(&plaudit, "github", &[JSON, PULL_REQUEST], body.as_bytes()).await.problem(401, "unsigned");
    let legacy = [JSON, PULL_REQUEST, ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")];
    raw(&plaudit, "github", &legacy, body.as_bytes()).await.problem(401, "unsigned");
    let spaced = format!("{body} ");
    raw(
        &plaudit,
        "github",
        &[JSON, PULL_REQUEST, ("x-hub-signature-256", right.as_str())],
        spaced.as_bytes(),
    )
    .await
    .problem(401, "bad_signature");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn after_a_refusal_a_connection_stays_open_or_the_answer_says_close() {
    let plaudit = Plaudit::start().await;
    let address = plaudit.url.strip_prefix("http://").unwrap().to_owned();
    for (size, kept) in [(40_000, true), (400_000, false)] {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /webhooks/github HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             x-github-event: push\r\ncontent-length: {size}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        if kept {
            // The body is sent after the head.
            connection.write_all(&vec![b' '; size]).await.unwrap();
        }
        let mut answer = vec![0; 4096];
        let read = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 401 "), "{answer}");
        assert_eq!(answer.contains("connection: close"), !kept, "{answer}");
        if kept {
            let next = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            connection.write_all(next.as_bytes()).await.unwrap();
        }
        let mut rest = String::new();
        connection.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest.starts_with("HTTP/1.1 200 "), kept, "{rest}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_form_body_and_a_pretty_printed_one_count_if_they_are_signed_as_they_are() {
    let plaudit = Plaudit::start().await;
    let json = pull_request(1, "mona");
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&json).unwrap()).unwrap();
    assert_eq!(plaudit.github("pull_request", &pretty).await.expect(200).json()["verdict"], "recorded");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &pull_request(2, "mona"))
        .finish();
    let signature = github_signature(GITHUB_SECRET, form.as_bytes());
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let headers = [kind, PULL_REQUEST, ("x-hub-signature-256", signature.as_str())];
    let answer = raw(&plaudit, "github", &headers, form.as_bytes()).await.expect(200).json();
    assert_eq!(answer["contributions"][0]["tally"], 2);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_content_encoding_or_a_content_type_the_host_does_not_send_is_415() {
    let plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    let signature = github_signature(GITHUB_SECRET, body.as_bytes());
    let signed = ("x-hub-signature-256", signature.as_str());
    for headers in [
        vec![JSON, ("content-encoding", "gzip")],
        vec![JSON, ("content-encoding", "br")],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/xml")],
        vec![],
    ] {
        let headers = [headers, vec![PULL_REQUEST, signed]].concat();
        raw(&plaudit, "github", &headers, body.as_bytes()).await.problem(415, "unsupported");
    }
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-gitlab-event", "Issue Hook"),
        ("x-gitlab-token", GITLAB_TOKEN),
    ];
    raw(&plaudit, "gitlab", &form, b"payload=%7B%7D").await.problem(415, "unsupported");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn one_hosts_proof_is_worth_nothing_on_anothers_route() {
    let plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    let signature = github_signature(GITHUB_SECRET, body.as_bytes());
    let github =
        [JSON, PULL_REQUEST, ("x-gitlab-event", "Issue Hook"), ("x-hub-signature-256", signature.as_str())];
    raw(&plaudit, "gitlab", &github, body.as_bytes()).await.problem(401, "unsigned");
    let gitlab = [JSON, PULL_REQUEST, ("x-gitlab-event", "Issue Hook"), ("x-gitlab-token", GITLAB_TOKEN)];
    raw(&plaudit, "github", &gitlab, body.as_bytes()).await.problem(401, "unsigned");
    for token in ["", "another", "a plain token that GitLab sends as it i", GITHUB_SECRET] {
        let headers = [JSON, ("x-gitlab-event", "Issue Hook"), ("x-gitlab-token", token)];
        assert_eq!(raw(&plaudit, "gitlab", &headers, b"{}").await.status, 401, "{token:?}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_host_without_a_secret_is_404_and_the_answer_says_what_to_set() {
    let mut plaudit = Plaudit::start().await;
    plaudit.end().await;
    plaudit.unset("PLAUDIT_GITHUB_SECRET");
    plaudit.unset("PLAUDIT_GITLAB_SECRET");
    plaudit.restart().await;
    let body = fixture(OPENED);
    let problem = plaudit.github("pull_request", &body).await.problem(404, "host_not_configured");
    assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_GITHUB_SECRET"));
    let problem = plaudit.gitlab("Issue Hook", "{}").await.problem(404, "host_not_configured");
    assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_GITLAB_SIGNING_TOKEN"));
    plaudit.stop().await;
}

#[tokio::test]
async fn where_gitlab_signs_a_signature_is_required_and_the_plain_token_is_not_enough() {
    let plaudit = Plaudit::with(&[("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING)]).await;
    let body = fixture("gitlab/issue.open.json");
    plaudit.gitlab("Issue Hook", &body).await.problem(401, "unsigned");
    let now = chrono::Utc::now().timestamp();
    for (timestamp, status) in [(now - 600, 401), (now + 600, 401), (now, 200)] {
        let (id, time) = ("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", timestamp.to_string());
        let signature = standard_signature(GITLAB_SIGNING, id, timestamp, body.as_bytes());
        let headers = [
            JSON,
            ("x-gitlab-event", "Issue Hook"),
            ("webhook-id", id),
            ("webhook-timestamp", time.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        let answer = raw(&plaudit, "gitlab", &headers, body.as_bytes()).await.expect(status);
        if status == 200 {
            assert_eq!(answer.json()["verdict"], "recorded");
            assert_eq!(answer.json()["delivery"], id);
        }
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn during_a_rotation_both_secrets_are_taken() {
    let plaudit = Plaudit::with(&[("PLAUDIT_GITHUB_SECRET", "the-new-one, the-old-one")]).await;
    for (number, secret, status) in [(1, "the-new-one", 200), (2, "the-old-one", 200), (3, "a-third", 401)] {
        let body = pull_request(number, "mona");
        let signature = github_signature(secret, body.as_bytes());
        let headers = [JSON, PULL_REQUEST, ("x-hub-signature-256", signature.as_str())];
        raw(&plaudit, "github", &headers, body.as_bytes()).await.expect(status);
    }
    assert_eq!(plaudit.tallies().await["github:mona"], 2);
    plaudit.stop().await;
}

#[tokio::test]
async fn signed_nonsense_is_400_and_overflows_no_stack() {
    let plaudit = Plaudit::start().await;
    let deep = "[".repeat(100_000);
    let nested = format!("{{\"pull_request\":{}", "{\"a\":".repeat(100_000));
    let mut no_repository: Value = serde_json::from_str(&fixture(OPENED)).unwrap();
    no_repository.as_object_mut().unwrap().remove("repository");
    let mut strange_host: Value = serde_json::from_str(&fixture(OPENED)).unwrap();
    strange_host["repository"]["html_url"] = "javascript:alert(1)".into();
    for body in [
        deep,
        nested,
        no_repository.to_string(),
        strange_host.to_string(),
        "{}".into(),
        String::new(),
        "null".into(),
    ] {
        plaudit.github("pull_request", &body).await.problem(400, "malformed");
    }
    for body in ["[".repeat(100_000), "{}".into(), String::new()] {
        plaudit.gitlab("Issue Hook", &body).await.problem(400, "malformed");
    }
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn what_a_payload_calls_itself_is_kept_as_data_and_taken_for_no_path() {
    let plaudit = Plaudit::start().await;
    for (number, name) in
        [(1, "../../x"), (2, "harbour/l\u{430}ntern"), (3, "a/\u{202e}b"), (4, "<script>/x")]
    {
        let mut payload: Value = serde_json::from_str(&pull_request(number, "mona")).unwrap();
        payload["repository"]["full_name"] = name.into();
        payload["pull_request"]["title"] = format!("title of {name}").into();
        let answer = plaudit.github("pull_request", &payload.to_string()).await.expect(200).json();
        let id = answer["contributions"][0]["id"].as_str().unwrap();
        let shown = plaudit.get(&format!("/v1/contributions/{id}")).await.expect(200).json();
        assert_eq!(shown["repository"], name);
        assert_eq!(shown["title"], format!("title of {name}"));
    }
    assert_eq!(plaudit.tallies().await["github:mona"], 4);
    plaudit.stop().await;
}

#[tokio::test]
async fn every_fixture_that_is_sent_gets_its_verdict() {
    let plaudit = Plaudit::start().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for host in ["github", "gitlab"] {
        let folder = std::fs::read_dir(root.join("fixtures").join(host)).unwrap();
        files.extend(folder.map(|file| file.unwrap().path()));
    }
    files.sort();
    let mut send =
        command(&[("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET), ("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN)]);
    send.arg("send").arg("--to").arg(&plaudit.url).args(&files);
    let output = run(&mut send);
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut report = String::new();
    for (file, line) in files.iter().zip(output.out.lines()) {
        let rest = line.strip_prefix(&format!("{} 200 ", file.display())).unwrap_or_else(|| panic!("{line}"));
        let answer: Value = serde_json::from_str(rest).unwrap();
        let verdict = answer["verdict"].as_str().unwrap();
        let why = answer["reason"].as_str().unwrap_or_default();
        let who = answer["contributions"].as_array().unwrap().iter();
        let who: Vec<_> =
            who.map(|c| format!("{}={}", c["contributor"].as_str().unwrap(), c["tally"])).collect();
        let name = file.strip_prefix(root.join("fixtures")).unwrap().display();
        writeln!(report, "{name}: {verdict} {why}{}", who.join(" ")).unwrap();
    }
    assert_eq!(output.out.lines().count(), files.len());
    writeln!(report, "recognitions: {}", plaudit.recognitions().await.join(" ")).unwrap();
    insta::assert_snapshot!("send", report);
    // Sent again, nothing changes.
    let before = plaudit.tallies().await;
    let mut send =
        command(&[("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET), ("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN)]);
    send.arg("send").arg("--to").arg(&plaudit.url).args(&files);
    let again = run(&mut send);
    assert_eq!(again.code, Some(0));
    assert!(!again.out.contains("\"verdict\":\"recorded\""), "{}", again.out);
    assert_eq!(plaudit.tallies().await, before);
    plaudit.stop().await;
}

#[tokio::test]
async fn send_says_what_it_lacks_and_what_was_refused() {
    let plaudit = Plaudit::start().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(OPENED);
    let send = |settings: &[(&str, &str)], more: &[&str]| {
        let mut send = command(settings);
        send.arg("send").arg("--to").arg(&plaudit.url).args(more).arg(&file);
        run(&mut send)
    };
    let output = send(&[], &[]);
    assert_eq!((output.code, output.err.contains("PLAUDIT_GITHUB_SECRET")), (Some(2), true), "{output:?}");
    let output = send(&[("PLAUDIT_GITHUB_SECRET", "another-secret")], &[]);
    assert_eq!((output.code, output.out.contains(" 401 ")), (Some(1), true), "{output:?}");
    let output = send(&[("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET)], &["--host", "sourcehut"]);
    assert_eq!((output.code, output.err.contains("--host github")), (Some(2), true), "{output:?}");
    let output = send(&[("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET)], &["--event", "issues"]);
    assert_eq!(output.code, Some(1), "a pull request is no issue: {output:?}");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn what_is_left_out_by_configuration_is_ignored_with_its_reason() {
    let plaudit =
        Plaudit::with(&[("PLAUDIT_COUNT", "issue"), ("PLAUDIT_IGNORE", "github:*-robot,gitlab:*")]).await;
    let answer = plaudit.github("pull_request", &fixture(OPENED)).await.expect(200).json();
    assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("kind_not_counted")));
    let answer = plaudit.gitlab("Issue Hook", &fixture("gitlab/issue.open.json")).await.expect(200).json();
    assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("ignored_contributor")));
    plaudit.github("issues", &fixture("github/issues.opened.json")).await.expect(200);
    assert_eq!(plaudit.tallies().await.len(), 1);
    let metrics = plaudit.get("/metrics").await.expect(200).text;
    let counted =
        "plaudit_deliveries_total{host=\"github\",reason=\"kind_not_counted\",verdict=\"ignored\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_repeat_is_answered_for_whom_it_was_counted() {
    let plaudit = Plaudit::start().await;
    let first = include_str!("../../fixtures/github/issues.opened.json");
    let renamed = first.replace("ada-quillfeather", "ada-renamed");
    assert_ne!(first, renamed);
    plaudit.github("issues", first).await.expect(200);
    let again = plaudit.github("issues", &renamed).await.expect(200).json();
    assert_eq!(again["verdict"], "duplicate");
    assert_eq!(again["contributions"][0]["contributor"], "github:ada-quillfeather");
    assert_eq!(again["contributions"][0]["tally"], 1);
    // At the same moment, the number proves nothing.
    plaudit.get("/v1/contributors/github:ada-renamed").await.problem(404, "not_found");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_payload_url_is_taken() {
    let plaudit = Plaudit::start().await;
    let body = fixture(OPENED);
    for (host, signer, event, body) in [
        ("github", Signer::Github(GITHUB_SECRET), "pull_request", body.clone()),
        (
            "gitlab",
            Signer::GitlabToken(GITLAB_TOKEN),
            "Merge Request Hook",
            fixture("gitlab/merge_request.open.json"),
        ),
    ] {
        let headers = signer.headers(event, "a-delivery", body.as_bytes(), 0);
        let request = plaudit.request(Method::POST, &format!("/webhooks/{host}/")).headers(headers);
        let answer = plaudit.send(request.body(body)).await.expect(200).json();
        assert_eq!(answer["verdict"], "recorded", "{answer}");
    }
    let metrics = plaudit.get("/metrics").await.text;
    let line = "plaudit_request_seconds_count{route=\"/webhooks/{host}\",status=\"200\"} 2";
    assert!(metrics.lines().any(|known| known == line), "{metrics}");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_delivery_at_a_wrong_url_is_answered_with_the_right_one() {
    let plaudit = Plaudit::start().await;
    let deliveries = [
        ("github", Signer::Github(GITHUB_SECRET), "push", "/webhooks/gitlab"),
        ("gitlab", Signer::GitlabToken(GITLAB_TOKEN), "Push Hook", "/webhooks/github"),
    ];
    for (host, signer, event, of_the_other) in deliveries {
        let the_others = [(404, of_the_other.to_owned()), (404, format!("{of_the_other}/"))];
        let bases = [(405, "/"), (404, "/webhooks"), (404, "/webhooks/"), (404, "/webhooks/elsewhere")];
        let bases = bases.map(|(status, path)| (status, path.to_owned()));
        for (status, path) in the_others.into_iter().chain(bases) {
            let headers = signer.headers(event, "a-delivery", b"{}", 0);
            let request = plaudit.request(Method::POST, &path).headers(headers).body("{}");
            let code = if status == 405 { "method_not_allowed" } else { "not_found" };
            let problem = plaudit.send(request).await.problem(status, code);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.ends_with(&format!("/webhooks/{host}")), "{path}: {detail}");
        }
    }
    // A fork of GitHub's webhooks that adds headers of its own is at its right URL.
    let headers = Signer::Github(GITHUB_SECRET).headers("ping", "a-delivery", b"{}", 0);
    let request = plaudit.request(Method::POST, "/webhooks/github").headers(headers);
    plaudit.send(request.header("x-gitlab-event", "Push Hook").body("{}")).await.expect(200);
    // Without an event header it is no delivery.
    let problem =
        plaudit.send(plaudit.request(Method::POST, "/").body("{}")).await.problem(405, "method_not_allowed");
    assert!(!problem["detail"].as_str().unwrap().contains("/webhooks/"), "{problem}");
    plaudit.stop().await;
}
