//! What signed payloads may cost in memory, measured at the real program.

use plaudit::hosts::event_of_fixture;
use serde_json::Value;

use crate::limits::peak;
use crate::support::{Answer, Plaudit, fixture};

const MIB: usize = 1024 * 1024;
/// Nearly the most bytes of a body.
const LONGEST: usize = 25 * MIB - 64 * 1024;

/// A fixture in which `pointer` is a list of so many elements.
fn with_list(path: &str, pointer: &str, element: &str, length: usize) -> String {
    let mut payload: Value = serde_json::from_str(&fixture(path)).unwrap();
    *payload.pointer_mut(pointer).unwrap() = "THE LIST".into();
    let list = vec![element; length].join(",");
    payload.to_string().replace("\"THE LIST\"", &format!("[{list}]"))
}

/// Sends it without a deadline: a debug build needs seconds for the signature of a large body.
async fn send(plaudit: &Plaudit, path: &str, body: &str) -> Answer {
    let (host, file) = path.split_once('/').unwrap();
    let event = event_of_fixture(host, file).unwrap();
    match host {
        "github" => plaudit.send(plaudit.github_request(event, "large", body)).await,
        _ => plaudit.gitlab(event, body).await,
    }
}

#[tokio::test]
async fn a_signed_body_of_millions_of_empty_elements_takes_no_more_memory_than_the_body() {
    let plaudit = Plaudit::start().await;
    // An ordinary body of this size, for comparison.
    let spaces = fixture("github/push.default_branch.json") + &" ".repeat(LONGEST);
    send(&plaudit, "github/push.default_branch.json", &spaces).await.expect(200);
    let before = peak(plaudit.pid());
    for (path, pointer, bytes) in [
        ("github/push.default_branch.json", "/commits", LONGEST),
        ("gitlab/push.default_branch.json", "/commits", 4 * MIB),
        ("github/issues.opened.json", "/issue/labels", 4 * MIB),
        ("gitlab/merge_request.update.labelled_spam.json", "/changes/labels/current", 4 * MIB),
    ] {
        let body = with_list(path, pointer, "{}", bytes / "{},".len());
        let answer = send(&plaudit, path, &body).await;
        let grown = peak(plaudit.pid()).saturating_sub(before);
        assert!(grown < 40 * MIB, "{path}: {} MiB more than an ordinary body of 25 MiB", grown / MIB);
        let problem = answer.problem(400, "malformed");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("more than 2048 elements"), "{path}: {detail}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_push_of_2048_commits_is_read_and_one_more_is_not_what_github_documents() {
    let plaudit = Plaudit::start().await;
    let (path, pointer) = ("github/push.default_branch.json", "/commits");
    let commit = serde_json::from_str::<Value>(&fixture(path)).unwrap()["commits"][0].to_string();
    let longer = with_list(path, pointer, &commit, 2_049);
    send(&plaudit, path, &longer).await.problem(400, "malformed");
    assert!(plaudit.tallies().await.is_empty());
    let longest = with_list(path, pointer, &commit, 2_048);
    assert_eq!(send(&plaudit, path, &longest).await.expect(200).json()["verdict"], "recorded");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_message_of_millions_of_lines_takes_no_memory_for_each() {
    let plaudit = Plaudit::start().await;
    let path = "github/push.default_branch.json";
    let mut payload: Value = serde_json::from_str(&fixture(path)).unwrap();
    // For comparison, one line of the same length.
    payload["commits"][0]["message"] = "\t".repeat(4 * MIB).into();
    send(&plaudit, path, &payload.to_string()).await.expect(200);
    let before = peak(plaudit.pid());
    payload["commits"][0]["message"] = "\n".repeat(4 * MIB).into();
    send(&plaudit, path, &payload.to_string()).await.expect(200);
    let grown = peak(plaudit.pid()).saturating_sub(before);
    assert!(grown < 24 * MIB, "{} MiB more than one line", grown / MIB);
    plaudit.stop().await;
}
