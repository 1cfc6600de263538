//! Comments from several real processes on one store: one comment, even if processes are killed or GitHub refuses.

use std::collections::HashMap;

use axum::http::Method;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fake_github::{Comment, FakeGithub, Issue, Reaction, Repository, user};
use crate::support::gate::Gate;
use crate::support::pubsub_emulator::pubsub;
use crate::support::stage::{ADA, ISSUE, PULL_REQUEST, PUSH, Stage, stage, unmade_topic};
use crate::support::{Environment, Plaudit, talk};

const REPOSITORY: &str = "harbour-lights/lantern";
const NUMBER: u64 = 41;
const COMMENTS: &str = "/repos/harbour-lights/lantern/issues/41/comments";
const RECOGNITION: &str = "/v1/recognitions/github:ada-quillfeather:3";

/// A GitHub with the repository and issues of the payloads.
async fn github() -> FakeGithub {
    let github = FakeGithub::start(chrono::Utc::now()).await;
    let author = Some(user(204_811_973, "ada-quillfeather"));
    let issue = Issue::of(author);
    let issues = HashMap::from([(31, issue.clone()), (NUMBER, issue)]);
    let repository = Repository { id: 981_237_654, private: false, archived: false, issues };
    github.world().repositories.insert(REPOSITORY.to_owned(), repository);
    github
}

fn comments(github: &FakeGithub) -> Vec<Comment> {
    github.world().repositories[REPOSITORY].issues.values().flat_map(|issue| issue.comments.clone()).collect()
}

#[track_caller]
fn one_comment(github: &FakeGithub) {
    let comments = comments(github);
    let bodies: Vec<_> = comments.iter().map(|comment| comment.body.as_str()).collect();
    assert!(matches!(bodies[..], [one] if one.contains(&format!("<!-- plaudit:{ADA}:3 -->"))), "{bodies:?}");
}

fn commenting(environment: &Environment, github: &FakeGithub) -> Environment {
    environment
        .with("PLAUDIT_COMMENT", "true")
        .with("PLAUDIT_GITHUB_TOKEN", "good-token")
        .with("PLAUDIT_GITHUB_API", &*github.url)
}

/// A ledger in a file of its own.
fn file() -> (TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::in_folder(&folder);
    (folder, environment)
}

/// A file as the ledger, and the stage's topic.
fn file_and_topic(stage: &Stage) -> (TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    let environment = stage.environment.with("PLAUDIT_STORE", store_in(&folder));
    (folder, environment)
}

fn store_in(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("plaudit.db").display())
}

/// The contribution that reaches the milestone is a pull request.
async fn three_contributions(process: &Plaudit) -> Value {
    process.github("issues", ISSUE).await.expect(200);
    process.github("push", PUSH).await.expect(200);
    let third = process.github("pull_request", PULL_REQUEST).await.expect(200).json();
    assert_eq!(third["contributions"][0]["recognitions"], json!([format!("{ADA}:3")]));
    third
}

/// The state of the recognition at a destination.
async fn state_at(process: &Plaudit, destination: &str) -> Value {
    let shown = process.get(RECOGNITION).await.expect(200).json();
    let mut all = shown["destinations"].as_array().unwrap().iter();
    all.find(|one| one["destination"] == destination).cloned().unwrap_or_else(|| panic!("{shown}"))
}

async fn ten_drains_at_once(environment: &Environment) {
    let github = github().await;
    let environment = commenting(environment, &github);
    let processes = join_all((0..3).map(|_| environment.start())).await;
    // The process that makes the recognition is killed before it publishes.
    let mut doomed = environment.with("PLAUDIT_STOP_AT", "recognised").start().await;
    processes[0].github("issues", ISSUE).await.expect(200);
    processes[1].github("push", PUSH).await.expect(200);
    let third = tokio::spawn(doomed.try_github("pull_request", PULL_REQUEST));
    doomed.logged("waiting at a stop point").await;
    doomed.kill().await;
    assert!(third.await.unwrap().is_err());

    github.next(Method::POST, COMMENTS, Reaction::Hold);
    let mut drains: FuturesUnordered<_> = (0..10).map(|n| processes[n % 3].drain()).collect();
    let writing = github.hanging();
    let mut ended = 0;
    tokio::pin!(writing);
    let mut is_writing = false;
    // The drains of the two other processes end while one is writing, and do not write.
    while !is_writing || ended < 6 {
        tokio::select! {
            () = &mut writing, if !is_writing => is_writing = true,
            Some(drained) = drains.next() => {
                assert_eq!(drained["waiting"], 1, "{drained}");
                ended += 1;
            }
        }
    }
    assert_eq!(comments(&github).len(), 0);
    github.release();
    while drains.next().await.is_some() {}
    processes[0].drain_all().await;
    one_comment(&github);
    assert_eq!(state_at(&processes[2], "comment").await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_drains_at_once_from_three_processes_on_one_file_leave_one_comment() {
    let (_folder, environment) = file();
    ten_drains_at_once(&environment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_drains_at_once_from_three_processes_on_one_firestore_leave_one_comment() {
    let Some(stage) = stage().await else { return };
    ten_drains_at_once(&stage.environment.with("PLAUDIT_PUBLISH", "local")).await;
}

async fn killed_while_commenting(environment: &Environment, point: &str) {
    let github = github().await;
    let environment = commenting(environment, &github);
    let mut doomed = environment.with("PLAUDIT_STOP_AT", point).start().await;
    three_contributions(&doomed).await;
    doomed.logged("waiting at a stop point").await;
    assert_eq!(comments(&github).len(), usize::from(point == "after-comment"));
    doomed.kill().await;
    let process = environment.start().await;
    // The killed process still holds its lease for a while.
    process.drain_all().await;
    one_comment(&github);
    assert_eq!(github.asked(&Method::POST, COMMENTS), 1);
    assert_eq!(state_at(&process, "comment").await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_or_after_the_comment_was_written_it_leaves_one_comment() {
    let ((_a, before), (_b, after)) = (file(), file());
    let on_firestore = async {
        if let Some(stage) = stage().await {
            killed_while_commenting(&stage.environment.with("PLAUDIT_PUBLISH", "local"), "after-comment")
                .await;
        }
    };
    tokio::join!(
        killed_while_commenting(&before, "before-comment"),
        killed_while_commenting(&after, "after-comment"),
        on_firestore
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_fails_never_publishes_the_message_again() {
    let Some(stage) = stage().await else { return };
    let github = github().await;
    let (_folder, environment) = file_and_topic(&stage);
    for _ in 0..2 {
        let broken = Reaction::Answer(500, Vec::new(), json!({"message": "Server Error"}));
        github.next(Method::POST, COMMENTS, broken);
    }
    let process = commenting(&environment, &github).start().await;
    three_contributions(&process).await;
    process.logged("put off at comment").await;
    process.drain_all().await;
    assert_eq!(github.asked(&Method::POST, COMMENTS), 3);
    one_comment(&github);
    let got = stage.receives(&[&format!("{ADA}:3")]).await;
    assert_eq!(got.values().map(Vec::len).sum::<usize>(), 1, "{got:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_fails_never_holds_back_the_comment() {
    let Some(stage) = unmade_topic().await else { return };
    let github = github().await;
    let (_folder, environment) = file_and_topic(&stage);
    let mut gate = Gate::open(&pubsub().await.unwrap()).await;
    let environment = commenting(&environment, &github).with("PUBSUB_EMULATOR_HOST", &*gate.host);
    let process = environment.start().await;
    three_contributions(&process).await;
    process.logged(&format!("recognition {ADA}:3 published")).await;
    one_comment(&github);
    assert_eq!(process.drain().await["waiting"], 1);
    assert_eq!(state_at(&process, "comment").await["state"], "done");
    assert_eq!(state_at(&process, "topic").await["state"], "waiting");
    stage.make_topic_behind(&mut gate).await;
    process.drain_all().await;
    stage.receives(&[&format!("{ADA}:3")]).await;
    one_comment(&github);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_comments_on_comments_on_no_recognition_of_before() {
    let (_folder, environment) = file();
    let environment = environment.with("PLAUDIT_MILESTONES", "2,3");
    let github = github().await;
    let mut before = environment.start().await;
    before.github("push", PUSH).await.expect(200);
    let second = before.github("issues", ISSUE).await.expect(200).json();
    assert_eq!(second["contributions"][0]["recognitions"], json!([format!("{ADA}:2")]));
    before.drain_all().await;
    before.kill().await;

    let after = commenting(&environment, &github).start().await;
    assert_eq!(after.drain().await, json!({"recognized": 0, "published": 0, "waiting": 0}));
    assert_eq!(github.asked(&Method::GET, REPOSITORY), 0);
    after.github("pull_request", PULL_REQUEST).await.expect(200);
    after.drain_all().await;
    one_comment(&github);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_place_for_a_comment_is_given_up_when_it_is_made_and_a_silent_github_delays_no_message() {
    let (_folder, environment) = file();
    let github = github().await;
    github.next(Method::GET, REPOSITORY, Reaction::Hold);
    let process = commenting(&environment, &github).start().await;
    three_contributions(&process).await;
    github.hanging().await;
    process.logged(&format!("recognition {ADA}:3 published")).await;
    assert_eq!(state_at(&process, "comment").await["state"], "waiting");
    let asked = github.requests().len();
    for id in ["a", "b", "c"] {
        process.post(&talk("mona", id)).await.expect(201);
    }
    let shown = process.get("/v1/recognitions/mona:3").await.expect(200).json();
    let given_up = json!({"destination": "comment", "state": "given_up", "reason": "nothing_to_comment_on"});
    let published = json!({"destination": "local", "state": "done"});
    let found = shown["destinations"].as_array().unwrap();
    assert!(found.contains(&given_up) && found.contains(&published), "{shown}");
    assert_eq!(github.requests().len(), asked);
    github.release();
    process.drain_all().await;
    one_comment(&github);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_says_so_and_why() {
    for (status, message, reason) in
        [(404, "Not Found", "not_found"), (422, "Validation Failed", "unprocessable")]
    {
        let (_folder, environment) = file();
        let github = github().await;
        let refused = Reaction::Answer(status, Vec::new(), json!({"message": message}));
        github.next(Method::POST, COMMENTS, refused);
        let process = commenting(&environment, &github).start().await;
        three_contributions(&process).await;
        process.drain_all().await;
        let given_up = json!({"destination": "comment", "state": "given_up", "reason": reason});
        assert_eq!(state_at(&process, "comment").await, given_up);
        let text = process.get("/metrics").await.text;
        let counted = format!("plaudit_published_total{{destination=\"comment\",outcome=\"{reason}\"}} 1");
        assert!(text.contains(&counted), "{text}");
        process.logged("given up at comment").await;
        assert_eq!((github.asked(&Method::POST, COMMENTS), comments(&github).len()), (1, 0));
    }
}
