//! Comments on GitLab, with a fake GitLab: the real program, and the destination alone where a clock must be moved.

use std::sync::{Arc, Mutex};

use axum::http::Method;
use chrono::TimeDelta;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Kind, Moment, Recognition, RecognitionId,
};
use plaudit::publish::comment::{Audience, Commenting, Comments, GitlabComments, Template};
use plaudit::publish::{PublishError, Publisher};
use plaudit::runtime::Clock;
use plaudit::settings::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fake_github::{FakeGithub, Reaction};
use crate::support::fake_gitlab::{FakeGitlab, Note, PROJECT};
use crate::support::stage::{ISSUE, stage};
use crate::support::{Environment, Output, Plaudit, command, fixture, in_the_end, now, run};

const MERGE_REQUEST: &str = "merge_requests/11";
const MARKER: &str = "<!-- plaudit:gitlab:tomasz-wrenfield:1 -->";
const NOTES: &str = "/merge_requests/11/notes";
const RECOGNITION: &str = "/v1/recognitions/gitlab:tomasz-wrenfield:1";

/// The first contribution is recognised, and thanked for on GitLab.
fn commenting(environment: &Environment, gitlab: &FakeGitlab) -> Environment {
    environment
        .with("PLAUDIT_MILESTONES", "1")
        .with("PLAUDIT_COMMENT", "gitlab")
        .with("PLAUDIT_GITLAB_TOKEN", "glpat-good")
        .with("PLAUDIT_GITLAB_API", &*gitlab.api)
}

fn file() -> (TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::in_folder(&folder);
    (folder, environment)
}

async fn merge_request(process: &Plaudit) {
    let answer = process.gitlab("Merge Request Hook", &fixture("gitlab/merge_request.open.json")).await;
    assert_eq!(answer.expect(200).json()["verdict"], "recorded");
}

async fn comment_state(process: &Plaudit) -> Value {
    let shown = process.get(RECOGNITION).await.expect(200).json();
    let mut all = shown["destinations"].as_array().unwrap().iter();
    all.find(|one| one["destination"] == "comment").cloned().unwrap_or_else(|| panic!("{shown}"))
}

#[track_caller]
fn one_note(gitlab: &FakeGitlab) {
    let notes = gitlab.notes(MERGE_REQUEST);
    let bodies: Vec<_> = notes.iter().map(|note| note.body.as_str()).collect();
    assert!(matches!(bodies[..], [one] if one.ends_with(MARKER)), "{bodies:?}");
    assert_eq!(gitlab.asked(&Method::POST, NOTES), 1);
}

// The real program.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_merge_request_that_reaches_a_milestone_gets_one_note_with_the_marker() {
    let (_folder, environment) = file();
    let gitlab = FakeGitlab::start().await;
    let process = commenting(&environment, &gitlab).start().await;
    merge_request(&process).await;
    process.drain_all().await;
    one_note(&gitlab);
    assert_eq!(
        gitlab.notes(MERGE_REQUEST)[0].body,
        format!(
            "Thank you, @tomasz-wrenfield! This merge request is your contribution number 1 to our projects, and \
             we are glad to have you with us.\n\n{MARKER}"
        )
    );
    assert_eq!(comment_state(&process).await["state"], "done");
    let again = process.gitlab("Merge Request Hook", &fixture("gitlab/merge_request.open.json")).await;
    assert_eq!(again.json()["verdict"], "duplicate");
    process.drain_all().await;
    one_note(&gitlab);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_on_gitlab_gets_a_note_as_a_merge_request_does() {
    let (_folder, environment) = file();
    let gitlab = FakeGitlab::start().await;
    let environment = commenting(&environment, &gitlab);
    let process =
        environment.with("PLAUDIT_COMMENT_TEMPLATE", "{kind} “{title}” in {repository}").start().await;
    process.gitlab("Issue Hook", &fixture("gitlab/issue.open.json")).await.expect(200);
    process.drain_all().await;
    let notes = gitlab.notes("issues/21");
    let expected =
        format!("issue “The clock is a day behind” in harbour\\-lights\\/tide\\-clock\n\n{MARKER}");
    assert_eq!(notes.iter().map(|note| note.body.as_str()).collect::<Vec<_>>(), [expected]);
}

async fn killed_after_the_note(environment: &Environment) {
    let gitlab = FakeGitlab::start().await;
    let environment = commenting(environment, &gitlab);
    let mut doomed = environment.with("PLAUDIT_STOP_AT", "after-comment").start().await;
    merge_request(&doomed).await;
    doomed.logged("waiting at a stop point").await;
    one_note(&gitlab);
    doomed.kill().await;
    let process = environment.start().await;
    // The killed process still holds its lease for a while.
    process.drain_all().await;
    one_note(&gitlab);
    assert_eq!(comment_state(&process).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_note_was_written_it_leaves_one_note() {
    let (_folder, on_file) = file();
    let on_firestore = async {
        if let Some(stage) = stage().await {
            killed_after_the_note(&stage.environment.with("PLAUDIT_PUBLISH", "local")).await;
        }
    };
    tokio::join!(killed_after_the_note(&on_file), on_firestore);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gitlab_that_refuses_is_given_up_and_one_that_fails_is_tried_again() {
    for (status, body, reason) in [
        (403, json!({"error": "insufficient_scope", "scope": "api"}), "missing_permission"),
        (403, json!({"message": "403 Forbidden"}), "forbidden"),
        (404, json!({"message": "404 Project Not Found"}), "not_found"),
        (400, json!({"message": "400 Bad request - Note {:note=>[\"is too long\"]}"}), "unprocessable"),
    ] {
        let (_folder, environment) = file();
        let gitlab = FakeGitlab::start().await;
        gitlab.next(Method::POST, NOTES, Reaction::Answer(status, Vec::new(), body));
        let process = commenting(&environment, &gitlab).start().await;
        merge_request(&process).await;
        process.drain_all().await;
        let given_up = json!({"destination": "comment", "state": "given_up", "reason": reason});
        assert_eq!(comment_state(&process).await, given_up);
        process.logged("given up at comment").await;
        assert_eq!(gitlab.notes(MERGE_REQUEST).len(), 0);
    }
    let (_folder, environment) = file();
    let gitlab = FakeGitlab::start().await;
    let broken = |status| Reaction::Answer(status, Vec::new(), json!({"message": "oops"}));
    gitlab.next(Method::POST, NOTES, broken(500));
    gitlab.next(Method::GET, NOTES, broken(502));
    let process = commenting(&environment, &gitlab).start().await;
    merge_request(&process).await;
    process.drain_all().await;
    assert_eq!(gitlab.notes(MERGE_REQUEST).len(), 1);
    assert_eq!(comment_state(&process).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_comments_on_gitlab_on_comments_on_no_recognition_of_before() {
    let (_folder, environment) = file();
    let gitlab = FakeGitlab::start().await;
    let mut before = environment.with("PLAUDIT_MILESTONES", "1").start().await;
    merge_request(&before).await;
    before.drain_all().await;
    before.kill().await;
    let after = commenting(&environment, &gitlab).with("PLAUDIT_MILESTONES", "1,2").start().await;
    assert_eq!(after.drain().await, json!({"recognized": 0, "published": 0, "waiting": 0}));
    assert_eq!(gitlab.world().requests.len(), 0);
    after.gitlab("Issue Hook", &fixture("gitlab/issue.open.json")).await.expect(200);
    after.drain_all().await;
    assert_eq!((gitlab.notes(MERGE_REQUEST).len(), gitlab.notes("issues/21").len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_down_holds_back_no_comment_of_another_host() {
    let (_folder, environment) = file();
    let (gitlab, github) = (FakeGitlab::start().await, FakeGithub::start(chrono::Utc::now()).await);
    // GitHub's token is refused: comments there wait until it is replaced.
    let process = commenting(&environment, &gitlab)
        .with("PLAUDIT_COMMENT", "true")
        .with("PLAUDIT_GITHUB_TOKEN", "wrong-token")
        .with("PLAUDIT_GITHUB_API", &*github.url)
        .start()
        .await;
    process.github("issues", ISSUE).await.expect(200);
    // It is put off alone: the destination is not down.
    process.logged("put off at comment").await;
    merge_request(&process).await;
    let written = async {
        while comment_state(&process).await["state"] != "done" {
            process.drain().await;
        }
    };
    in_the_end("the note", written).await;
    one_note(&gitlab);
    assert_eq!(process.drain().await["waiting"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_are_written_on_the_hosts_that_are_named() {
    let (_folder, environment) = file();
    let (gitlab, github) = (FakeGitlab::start().await, FakeGithub::start(chrono::Utc::now()).await);
    let process = commenting(&environment, &gitlab)
        .with("PLAUDIT_COMMENT", "github")
        .with("PLAUDIT_GITHUB_TOKEN", "good-token")
        .with("PLAUDIT_GITHUB_API", &*github.url)
        .start()
        .await;
    merge_request(&process).await;
    process.drain_all().await;
    assert_eq!(comment_state(&process).await["reason"], "other_host");
    assert_eq!(gitlab.world().requests.len(), 0);
}

#[test]
fn a_host_that_is_to_be_commented_on_needs_its_credential() {
    let github = ("PLAUDIT_GITHUB_TOKEN", "hush-hush");
    for (wanted, other, lacking) in [
        ("true", None, "PLAUDIT_GITLAB_TOKEN"),
        ("gitlab", Some(github), "commenting on GitLab needs PLAUDIT_GITLAB_TOKEN"),
        (
            "github",
            Some(("PLAUDIT_GITLAB_TOKEN", "hush-hush")),
            "commenting on GitHub needs PLAUDIT_GITHUB_TOKEN",
        ),
        ("both", Some(github), "neither true, github, gitlab nor false"),
    ] {
        let settings: Vec<_> = [("PLAUDIT_COMMENT", wanted)].into_iter().chain(other).collect();
        let Output { code, err, .. } = run(command(&settings).arg("check"));
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(lacking) && !err.contains("hush-hush"), "{wanted}: {err}");
    }
}

// The destination alone.

struct Desk {
    gitlab: FakeGitlab,
    now: Arc<Mutex<Moment>>,
}

impl Desk {
    async fn new() -> Self {
        Self { gitlab: FakeGitlab::start().await, now: Arc::new(Mutex::new(now())) }
    }

    fn pass(&self, time: TimeDelta) {
        *self.now.lock().unwrap() += time;
    }

    fn comments(&self, token: &str, audience: Audience) -> Comments {
        let gitlab = GitlabComments { token: Secret::new(token), api: self.gitlab.api.parse().unwrap() };
        let commenting =
            Commenting { github: None, gitlab: Some(gitlab), audience, template: Template::default() };
        let now = Arc::clone(&self.now);
        Comments::open(&commenting, Clock::from_fn(move || *now.lock().unwrap())).unwrap()
    }

    fn good(&self) -> Comments {
        self.comments("glpat-good", Audience::Everyone)
    }
}

fn recognition() -> Recognition {
    let contributor = ContributorId::parse("gitlab:tomasz-wrenfield").unwrap();
    let contribution = Contribution {
        id: ContributionId::from_text(format!("gitlab:{PROJECT}:pull_request:11:tomasz-wrenfield")),
        contributor: contributor.clone(),
        kind: Kind::PULL_REQUEST,
        occurred_at: Moment::UNIX_EPOCH,
        title: Some("Wind the clock at midnight".into()),
        url: None,
        repository: Some("harbour-lights/clocks/tide-clock".into()),
        private: false,
        user_id: Some(31_400_101),
        account_url: None,
        labels: None,
        landed_at: None,
        content: None,
    };
    Recognition {
        id: RecognitionId::of(&contributor, 1),
        contributor,
        milestone: 1,
        tally: 1,
        recognized_at: Moment::UNIX_EPOCH,
        account_url: None,
        contribution: Some(contribution),
    }
}

#[track_caller]
fn never(result: Result<(), PublishError>) -> &'static str {
    match result {
        Err(PublishError::Never { reason, .. }) => reason.code(),
        other => panic!("not given up: {other:?}"),
    }
}

#[track_caller]
fn down(result: Result<(), PublishError>) -> (Option<u64>, String) {
    match result {
        Err(PublishError::Down { why, after }) => (after.map(|after| after.as_secs()), why),
        other => panic!("not down: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_written_on_gitlab_where_not_everyone_may_see_it_and_comment_on_it() {
    type Change = fn(&FakeGitlab);
    let changes: [(Change, &str); 7] = [
        (|gitlab| gitlab.world().visibility = "private", "private"),
        (|gitlab| gitlab.world().visibility = "internal", "private"),
        (|gitlab| gitlab.world().archived = true, "archived"),
        (|gitlab| gitlab.with_item(|item| item.confidential = true), "private"),
        (|gitlab| gitlab.with_item(|item| item.locked = true), "locked"),
        (|gitlab| gitlab.with_item(|item| item.moved_to = Some(5)), "transferred"),
        (|gitlab| drop(gitlab.world().items.remove(MERGE_REQUEST)), "not_found"),
    ];
    for (change, reason) in changes {
        let desk = Desk::new().await;
        change(&desk.gitlab);
        assert_eq!(never(desk.good().publish(&recognition()).await), reason);
        assert_eq!(desk.gitlab.asked(&Method::POST, NOTES), 0);
    }
    let desk = Desk::new().await;
    let mut hidden = recognition();
    hidden.contribution.as_mut().unwrap().private = true;
    assert_eq!(never(desk.good().publish(&hidden).await), "private");
    assert_eq!(desk.gitlab.world().requests.len(), 0);
}

#[tokio::test]
async fn members_of_the_project_are_left_out_where_only_outsiders_are_thanked() {
    for (member, audience, notes) in
        [(true, Audience::Outsiders, 0), (false, Audience::Outsiders, 1), (true, Audience::Everyone, 1)]
    {
        let desk = Desk::new().await;
        if member {
            desk.gitlab.world().members.push(31_400_101);
        }
        let outcome = desk.comments("glpat-good", audience).publish(&recognition()).await;
        if notes == 0 {
            assert_eq!(never(outcome), "insider");
        } else {
            outcome.unwrap();
        }
        assert_eq!(desk.gitlab.notes(MERGE_REQUEST).len(), notes);
    }
}

#[tokio::test]
async fn only_a_marker_of_plaudits_own_account_counts_on_whatever_page_it_is() {
    let desk = Desk::new().await;
    let note = |author, body: &str| Note { body: body.to_owned(), author };
    desk.gitlab.with_item(|item| item.notes.push(note(6, MARKER)));
    desk.good().publish(&recognition()).await.unwrap();
    assert_eq!(desk.gitlab.notes(MERGE_REQUEST).len(), 2);
    desk.gitlab.with_item(|item| item.notes.extend((0..250).map(|n| note(6, &n.to_string()))));
    desk.good().publish(&recognition()).await.unwrap();
    assert_eq!(desk.gitlab.notes(MERGE_REQUEST).len(), 252);
    assert_eq!(desk.gitlab.asked(&Method::GET, NOTES), 1 + 3);
}

#[tokio::test]
async fn a_login_that_another_account_has_now_is_not_mentioned_on_gitlab() {
    let desk = Desk::new().await;
    desk.gitlab.with_item(|item| item.author = Some((77, "tomasz-wrenfield")));
    desk.good().publish(&recognition()).await.unwrap();
    let body = &desk.gitlab.notes(MERGE_REQUEST)[0].body;
    assert!(body.starts_with("Thank you, tomasz\\-wrenfield!"), "{body}");
}

#[tokio::test]
async fn gitlabs_rate_limits_are_waited_for_without_a_request() {
    let reset = (now() + TimeDelta::seconds(90)).timestamp().to_string();
    let limits =
        json!({"message": {"error": "This endpoint has been requested too many times. Try again later."}});
    for (headers, seconds) in [
        (vec![("retry-after", "30".to_owned())], 30),
        (vec![("ratelimit-reset", reset)], 90),
        (Vec::new(), 60),
    ] {
        let desk = Desk::new().await;
        let comments = desk.good();
        desk.gitlab.next(Method::POST, NOTES, Reaction::Answer(429, headers, limits.clone()));
        let (after, why) = down(comments.publish(&recognition()).await);
        assert_eq!(after, Some(seconds), "{why}");
        assert!(why.contains("GitLab's rate limit") && why.contains("too many times"), "{why}");
        let asked = desk.gitlab.world().requests.len();
        desk.pass(TimeDelta::seconds(i64::try_from(seconds).unwrap() - 1));
        assert_eq!(down(comments.publish(&recognition()).await).0, Some(1));
        assert_eq!(desk.gitlab.world().requests.len(), asked);
        desk.pass(TimeDelta::seconds(1));
        comments.publish(&recognition()).await.unwrap();
        assert_eq!(desk.gitlab.notes(MERGE_REQUEST).len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_gitlab_token_waits_for_its_operator_and_a_proxys_error_gives_nothing_up() {
    let desk = Desk::new().await;
    let (after, why) = down(desk.comments("glpat-old", Audience::Everyone).publish(&recognition()).await);
    assert_eq!(after, Some(300));
    assert!(why.contains("wrong, expired or revoked") && !why.contains("glpat"), "{why}");
    let html = Reaction::Answer(404, vec![("content-type", "text/html".to_owned())], json!({"message": "x"}));
    desk.gitlab.next(Method::GET, NOTES, html);
    let comments = desk.good();
    let outcome = comments.publish(&recognition()).await;
    assert!(matches!(&outcome, Err(PublishError::Later { why, .. }) if why.contains("proxy")), "{outcome:?}");
    let moved = Reaction::Answer(302, vec![("location", "http://192.0.2.1/".to_owned())], json!({}));
    desk.gitlab.next(Method::GET, NOTES, moved);
    let outcome = comments.publish(&recognition()).await;
    assert!(
        matches!(&outcome, Err(PublishError::Later { why, .. }) if why.contains("redirects")),
        "{outcome:?}"
    );
    comments.publish(&recognition()).await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_after_the_note_was_written_leaves_one_note() {
    let desk = Desk::new().await;
    let comments = desk.good();
    desk.gitlab.next(Method::POST, NOTES, Reaction::CutAfterwards);
    assert!(matches!(comments.publish(&recognition()).await, Err(PublishError::Later { after: None, .. })));
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(desk.gitlab.notes(MERGE_REQUEST).len(), 1);
}

#[tokio::test]
async fn a_note_is_not_begun_when_its_hold_could_end_before_it_is_written() {
    let desk = Desk::new().await;
    let (comments, recognition) = (desk.good(), recognition());
    desk.gitlab.next(Method::GET, NOTES, Reaction::Hold);
    let until = now() + TimeDelta::seconds(20);
    let standing_still = async {
        desk.gitlab.hanging().await;
        desk.pass(TimeDelta::seconds(15));
        desk.gitlab.release();
    };
    let (outcome, ()) = tokio::join!(comments.publish_held(&recognition, until), standing_still);
    assert!(matches!(outcome, Err(PublishError::Lapsed)), "{outcome:?}");
    assert_eq!(desk.gitlab.asked(&Method::POST, NOTES), 0);
}

#[tokio::test]
async fn check_says_whose_gitlab_token_it_is_and_what_it_may_do() {
    let desk = Desk::new().await;
    assert_eq!(
        desk.good().describe().await.unwrap(),
        [
            "comments on GitLab are written by thanker",
            "the token's scopes are [api]",
            "the token expires on 2027-01-31",
        ]
    );
    desk.good().ping().await.unwrap();
    desk.gitlab.world().tokens.insert("glpat-narrow".into(), (9, "thanker", vec!["read_api"]));
    let narrow = desk.comments("glpat-narrow", Audience::Everyone);
    assert_eq!(never(narrow.describe().await.map(drop)), "missing_permission");
    assert_eq!(never(narrow.publish(&recognition()).await), "missing_permission");
    assert_eq!(down(desk.comments("glpat-old", Audience::Everyone).ping().await).0, Some(300));
}
