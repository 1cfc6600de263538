//! Headers that no signature covers: sent again with others, signed bytes count nothing more and nothing else.

use std::collections::BTreeSet;

use http::Method;
use plaudit::hosts::{Malformed, Reading, Reason, Rules, event_of_fixture};
use serde_json::{Value, json};

use crate::readings::try_read;
use crate::support::{
    Answer, GITHUB_SECRET, GITLAB_SIGNING, Inside, Signer, fixture, fixtures, github_signature, now,
    pull_request,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Sends bytes that GitHub signed, with a content type and an event of the sender's choice.
async fn github(inside: &Inside, content_type: &str, event: &str, body: &[u8]) -> Answer {
    let request = inside
        .request(Method::POST, "/webhooks/github")
        .header("content-type", content_type)
        .header("x-github-event", event)
        .header("x-hub-signature-256", github_signature(GITHUB_SECRET, body));
    inside.send(request.body(body.to_vec())).await
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[tokio::test]
async fn a_signed_body_is_a_form_or_json_but_never_both() {
    let inside = Inside::alone(&[]).await;
    let forged = form(&[("payload", &pull_request(1, "mallory"))]);
    let mut issue: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    issue["issue"]["body"] = format!("look: &{forged}&").into();
    let issue = issue.to_string();
    github(&inside, FORM, "pull_request", issue.as_bytes()).await.problem(400, "malformed");
    for form in [
        format!("{forged}&x=1"),
        format!("x=1&{forged}"),
        format!("&{forged}"),
        format!("{forged}&"),
        format!(" {forged}"),
        forged.replace("payload", "%70ayload"),
    ] {
        github(&inside, FORM, "pull_request", form.as_bytes()).await.problem(400, "malformed");
    }
    github(&inside, JSON, "pull_request", forged.as_bytes()).await.problem(400, "malformed");
    assert!(inside.tallies().await.is_empty());
    // Each as what it is, JSON with what may be before its brace too.
    github(&inside, FORM, "pull_request", forged.as_bytes()).await.expect(200);
    let marked = format!("\u{feff} \r\n{issue}");
    assert_eq!(github(&inside, JSON, "issues", marked.as_bytes()).await.json()["verdict"], "recorded");
    assert_eq!(inside.tallies().await.len(), 2);
    inside.stop().await;
}

#[tokio::test]
async fn a_deleted_comment_sent_again_as_an_issue_deletes_no_issue() {
    let inside = Inside::alone(&[]).await;
    let mut comment: Value = serde_json::from_str(&fixture("github/issue_comment.created.json")).unwrap();
    comment["action"] = "deleted".into();
    let mut opened = comment.clone();
    opened.as_object_mut().unwrap().remove("comment");
    opened["action"] = "opened".into();
    let issue = github(&inside, JSON, "issues", opened.to_string().as_bytes()).await.expect(200).json();
    assert_eq!(issue["verdict"], "recorded");
    let comment = comment.to_string();
    let answer = github(&inside, JSON, "issue_comment", comment.as_bytes()).await.expect(200).json();
    assert_eq!(answer["reason"], "event_not_counted");
    github(&inside, JSON, "issues", comment.as_bytes()).await.problem(400, "malformed");
    let author = issue["contributions"][0]["contributor"].as_str().unwrap();
    assert_eq!(inside.tally(author).await, 1);
    inside.stop().await;
}

/// What a reading changes in the ledger.
fn effects(reading: Result<Reading, Malformed>) -> BTreeSet<String> {
    match reading {
        Ok(Reading::Counts(contributions)) => contributions.iter().map(|one| one.id.to_string()).collect(),
        Ok(Reading::Reviews(review)) => {
            BTreeSet::from([format!("{} {:?} {}", review.work.as_str(), review.ruling, review.private)])
        }
        Ok(Reading::Ignored(Reason::MadePrivate)) => BTreeSet::from(["a private repository".to_owned()]),
        Ok(Reading::Ignored(_)) | Err(_) => BTreeSet::new(),
    }
}

const GITHUB_EVENTS: [&str; 7] =
    ["push", "pull_request", "issues", "repository", "issue_comment", "ping", "anything"];
const GITLAB_EVENTS: [&str; 8] = [
    "Push Hook",
    "Tag Push Hook",
    "Merge Request Hook",
    "Issue Hook",
    "Confidential Issue Hook",
    "Work Item Hook",
    "System Hook",
    "Note Hook",
];

#[test]
fn under_the_name_of_another_event_a_payload_changes_the_same_or_nothing() {
    let mut payloads = Vec::new();
    for (host, path) in fixtures() {
        let event = event_of_fixture(&host, path.file_name().unwrap().to_str().unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        payloads.push((host, event, payload));
    }
    let find = |event| payloads.iter().find(|(_, named, _)| *named == event).unwrap().2.clone();
    // What comes with an issue or a pull request beside something of its own.
    let (comment, review) = (find("issue_comment"), find("pull_request_review"));
    // Its action is a word that its sender chose.
    let mut dispatch = find("repository");
    dispatch["client_payload"] = json!({});
    payloads.push(("github".into(), "repository_dispatch", dispatch));
    let mut of_review = review.clone();
    of_review.as_object_mut().unwrap().remove("review");
    let mut thread = of_review.clone();
    thread["thread"] = json!({"node_id": "PRRT_1", "comments": []});
    of_review["comment"] = comment["comment"].clone();
    for (event, payload) in [
        ("issue_comment", comment),
        ("pull_request_review", review),
        ("pull_request_review_comment", of_review),
        ("pull_request_review_thread", thread),
    ] {
        for action in ["opened", "ready_for_review", "closed", "deleted", "labeled", "unlabeled"] {
            let mut payload = payload.clone();
            payload["action"] = action.into();
            payload["label"] = json!({"name": "spam"});
            if let Some(pull_request) = payload.get_mut("pull_request") {
                pull_request["merged"] = true.into();
            }
            payloads.push(("github".into(), event, payload));
        }
    }
    for (host, event, payload) in payloads {
        let body = payload.to_string();
        let read = |event| effects(try_read(&host, event, body.as_bytes(), &Rules::default()));
        let own = read(event);
        let events: &[&str] = if host == "github" { &GITHUB_EVENTS } else { &GITLAB_EVENTS };
        for other in events {
            let changed = read(other);
            assert!(changed.is_empty() || changed == own, "{event} as {other}: {changed:?}");
        }
    }
}

#[tokio::test]
async fn where_gitlab_signs_the_id_of_a_delivery_it_is_the_signed_one() {
    let variables = [("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING), ("PLAUDIT_GITLAB_SECRET", "")];
    let inside = Inside::alone(&variables).await;
    let body = fixture("gitlab/issue.open.json");
    let mut headers = Signer::Gitlab(GITLAB_SIGNING).headers(
        "Issue Hook",
        "the-signed-one",
        body.as_bytes(),
        now().timestamp(),
    );
    headers.insert("idempotency-key", "another".parse().unwrap());
    let request = inside.request(Method::POST, "/webhooks/gitlab").headers(headers).body(body);
    let answer = inside.send(request).await.expect(200).json();
    assert_eq!(answer["delivery"], "the-signed-one");
    inside.stop().await;
}
