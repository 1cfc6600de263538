//! Comments on GitHub, with a fake GitHub.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use chrono::TimeDelta;
use futures::future::join_all;
use plaudit::domain::GiveUp;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Kind, Moment, Recognition, RecognitionId,
};
use plaudit::publish::comment::{
    Audience, Commenting, Comments, DEFAULT_TEXT as COMMENT_TEMPLATE, GithubComments, GithubCredential,
    Template,
};
use plaudit::publish::{Hold, PublishError, Publisher};
use plaudit::runtime::Clock;
use plaudit::settings::{AppKey, Secret};
use serde_json::json;

use crate::support::fake_github::{APP_ID, APP_KEY, Comment, FakeGithub, Issue, Reaction, Repository, user};

const MARKER: &str = "<!-- plaudit:github:octocat:3 -->";
const COMMENTS: &str = "/repos/o/r/issues/7/comments";

/// A fake GitHub, and a clock that the test moves.
struct Stage {
    github: FakeGithub,
    now: Arc<Mutex<Moment>>,
}

impl Stage {
    async fn new() -> Self {
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        Self { github: FakeGithub::start(now).await, now: Arc::new(Mutex::new(now)) }
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::from_fn(move || *now.lock().unwrap())
    }

    fn pass(&self, time: TimeDelta) {
        let mut now = self.now.lock().unwrap();
        *now += time;
        self.github.world().now = *now;
    }

    fn configured(&self, credential: GithubCredential, template: &str) -> Commenting {
        let template = Template::parse(template).unwrap();
        let github = GithubComments { credential, api: self.github.url.parse().unwrap() };
        Commenting { github: Some(github), gitlab: None, audience: Audience::Everyone, template }
    }

    fn open(&self, credential: GithubCredential, template: &str) -> Comments {
        Comments::open(&self.configured(credential, template), self.clock()).unwrap()
    }

    fn by_token(&self) -> Comments {
        self.open(token("good"), COMMENT_TEMPLATE)
    }

    fn by_app(&self) -> Comments {
        self.open(app(), COMMENT_TEMPLATE)
    }

    fn answers(
        &self,
        method: Method,
        path_end: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        message: &str,
    ) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.github.next(method, path_end, Reaction::Answer(status, headers, json!({ "message": message })));
    }

    fn nothing_was_written(&self) {
        assert_eq!(self.github.comments().len(), 0);
        assert_eq!(self.github.asked(&Method::POST, "/comments"), 0);
    }
}

fn token(text: &str) -> GithubCredential {
    GithubCredential::Token(Secret::new(text))
}

fn app() -> GithubCredential {
    GithubCredential::App { id: APP_ID, key: AppKey::parse(APP_KEY).unwrap() }
}

fn opened(id: &str) -> Contribution {
    Contribution {
        id: ContributionId::from_text(id),
        contributor: ContributorId::parse("github:octocat").unwrap(),
        kind: Kind::PULL_REQUEST,
        occurred_at: Moment::UNIX_EPOCH,
        title: Some("Mend it".into()),
        url: Some("https://github.com/o/r/pull/7".into()),
        repository: Some("o/r".into()),
        private: false,
        user_id: Some(1),
        account_url: None,
        labels: None,
        landed_at: None,
        content: None,
    }
}

fn reached_by(contribution: impl Into<Option<Contribution>>) -> Recognition {
    let contributor = ContributorId::parse("github:octocat").unwrap();
    Recognition {
        id: RecognitionId::of(&contributor, 3),
        contributor,
        milestone: 3,
        tally: 3,
        recognized_at: Moment::UNIX_EPOCH,
        account_url: None,
        contribution: contribution.into(),
    }
}

fn recognition() -> Recognition {
    reached_by(opened("github:42:pull_request:7:octocat"))
}

fn numbered(number: u64) -> Recognition {
    reached_by(opened(&format!("github:42:pull_request:{number}:octocat")))
}

fn by(login: &str, body: &str) -> Comment {
    Comment { body: body.to_owned(), user: user(if login == "thanker" { 9 } else { 6 }, login), app: None }
}

#[track_caller]
fn never(result: Result<(), PublishError>) -> (&'static str, String) {
    match result {
        Err(PublishError::Never { reason, why }) => (reason.code(), why),
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

#[track_caller]
fn later_after(result: Result<(), PublishError>) -> (u64, String) {
    match result {
        Err(PublishError::Later { why, after: Some(after) }) => (after.as_secs(), why),
        other => panic!("not later by a time: {other:?}"),
    }
}

#[track_caller]
fn later(result: Result<(), PublishError>) -> String {
    match result {
        Err(PublishError::Later { why, after: None }) => why,
        other => panic!("not later: {other:?}"),
    }
}

// What is written, and once.

#[tokio::test]
async fn the_contributor_is_thanked_where_the_milestone_was_reached() {
    let stage = Stage::new().await;
    stage.by_token().publish(&recognition()).await.unwrap();
    let [comment] = &stage.github.comments()[..] else { panic!("not one comment") };
    assert_eq!(
        comment.body,
        format!(
            "Thank you, @octocat! This pull request is your contribution number 3 to our projects, and we are \
             glad to have you with us.\n\n{MARKER}"
        )
    );
    for request in stage.github.requests() {
        let header = |name: &str| {
            let mut all = request.headers.get_all(name).iter();
            (all.next().unwrap().to_str().unwrap().to_owned(), all.count())
        };
        let version = concat!("plaudit/", env!("CARGO_PKG_VERSION"));
        assert_eq!(header("user-agent"), (version.to_owned(), 0));
        assert_eq!(header("accept"), ("application/vnd.github+json".to_owned(), 0));
        assert_eq!(header("x-github-api-version"), ("2022-11-28".to_owned(), 0));
    }
}

#[tokio::test]
async fn an_issue_is_commented_on_as_a_pull_request_is() {
    let stage = Stage::new().await;
    let mut issue = opened("github:42:issue:7");
    issue.kind = Kind::ISSUE;
    let comments = stage.open(token("good"), "{contributor}: your {kind} “{title}” in {repository}");
    comments.publish(&reached_by(issue)).await.unwrap();
    assert_eq!(
        stage.github.comments()[0].body,
        format!("@octocat: your issue “Mend it” in o\\/r\n\n{MARKER}")
    );
}

#[tokio::test]
async fn published_again_it_leaves_one_comment() {
    let stage = Stage::new().await;
    stage.by_token().publish(&recognition()).await.unwrap();
    stage.by_token().publish(&recognition()).await.unwrap();
    stage.by_token().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn a_marker_on_the_third_page_is_found() {
    let stage = Stage::new().await;
    stage.github.with_issue(|issue| {
        issue.comments = (0..250).map(|n| by("somebody", &format!("comment {n}"))).collect();
        issue.comments.push(by("thanker", &format!("Thanks!\n\n{MARKER}")));
    });
    stage.by_token().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 251);
    let pages = |r: &&crate::support::fake_github::Request| r.path.contains("per_page=100&page=");
    assert_eq!(stage.github.requests().iter().filter(pages).count(), 3);
}

#[tokio::test]
async fn the_marker_of_another_milestone_is_not_taken_for_it() {
    let stage = Stage::new().await;
    stage.github.with_issue(|issue| {
        issue
            .comments
            .push(by("thanker", "<!-- plaudit:github:octocat:30 --> <!-- plaudit:github:octocat2:3 -->"));
    });
    stage.by_token().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 2);
}

#[tokio::test]
async fn a_marker_in_another_accounts_comment_does_not_prevent_the_comment() {
    let stage = Stage::new().await;
    stage.github.with_issue(|issue| issue.comments.push(by("stranger", MARKER)));
    stage.by_token().publish(&recognition()).await.unwrap();
    stage.by_app().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 3);
}

#[tokio::test]
async fn the_app_knows_its_own_comments() {
    let stage = Stage::new().await;
    let posing = |login: &str, app| Comment { app: Some(app), ..by(login, MARKER) };
    // Another App, and a user who signed in through this App.
    stage.github.with_issue(|issue| {
        issue.comments.push(posing("other[bot]", APP_ID + 1));
        issue.comments.push(posing("somebody", APP_ID));
    });
    for _ in 0..2 {
        stage.by_app().publish(&recognition()).await.unwrap();
    }
    assert_eq!(stage.github.comments().len(), 3);
}

#[tokio::test]
async fn a_connection_cut_after_the_comment_was_made_leaves_one_comment() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    stage.github.next(Method::POST, COMMENTS, Reaction::CutAfterwards);
    later(comments.publish(&recognition()).await);
    assert_eq!(stage.github.comments().len(), 1);
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let stage = Stage::new().await;
    let impatient = Comments::with_timeout(
        &stage.configured(token("good"), COMMENT_TEMPLATE),
        stage.clock(),
        Duration::from_millis(50),
    )
    .unwrap();
    stage.github.next(Method::GET, "/repos/o/r", Reaction::Hang);
    assert!(later(impatient.publish(&recognition()).await).contains("no answer within"));
    stage.nothing_was_written();
}

#[tokio::test]
async fn a_comment_that_was_made_but_never_answered_is_found_when_it_is_tried_again() {
    let stage = Stage::new().await;
    stage.github.next(Method::POST, COMMENTS, Reaction::Hang);
    let comments = stage.by_token();
    let publishing = recognition();
    // Publishing is cancelled there, as by a crash.
    tokio::select! {
        _ = comments.publish(&publishing) => panic!("it was answered"),
        () = stage.github.hanging() => {}
    }
    stage.by_token().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn a_recognition_is_held_while_it_is_commented_on_and_one_comment_follows_the_other() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    assert_eq!((comments.hold(), comments.at_once()), (Hold::Always(Duration::from_secs(20)), 1));
}

#[tokio::test]
async fn a_comment_is_not_begun_when_its_hold_could_end_before_it_is_written() {
    for (passed, written) in [(14, 1), (15, 0), (3_600, 0)] {
        let stage = Stage::new().await;
        let comments = stage.by_token();
        // The last look before the writing.
        stage.github.next(Method::GET, COMMENTS, Reaction::Hold);
        let (recognition, until) = (recognition(), stage.clock().now() + TimeDelta::seconds(20));
        let standing_still = async {
            stage.github.hanging().await;
            stage.pass(TimeDelta::seconds(passed));
            stage.github.release();
        };
        let (outcome, ()) = tokio::join!(comments.publish_held(&recognition, until), standing_still);
        assert_eq!(matches!(outcome, Err(PublishError::Lapsed)), written == 0, "{outcome:?}");
        assert_eq!(stage.github.asked(&Method::POST, COMMENTS), written, "after {passed} s");
    }
}

#[tokio::test]
async fn two_comments_are_written_a_second_apart() {
    let stage = Stage::new().await;
    stage.github.with_repository(|repository| {
        let issue = repository.issues[&7].clone();
        repository.issues = (1..=2).map(|number| (number, issue.clone())).collect();
    });
    let comments = stage.by_token();
    let (one, other) = (numbered(1), numbered(2));
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(comments.publish(&one), comments.publish(&other));
    first.unwrap();
    second.unwrap();
    // A wait of a second ends after a second at the earliest, however fast or slow the machine is.
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(stage.github.asked(&Method::POST, "/comments"), 2);
}

// Nothing where nothing belongs.

#[tokio::test]
async fn a_push_the_api_another_host_and_what_is_private_are_not_asked_about() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    let changed = |id: &str, change: fn(&mut Contribution)| {
        let mut contribution = opened(id);
        change(&mut contribution);
        reached_by(contribution)
    };
    let name = |contribution: &mut Contribution| contribution.repository = Some("../../x".into());
    for (recognition, reason) in [
        (reached_by(None), "nothing_to_comment_on"),
        (changed("github:42:push:abc:octocat", |c| c.kind = Kind::PUSH), "nothing_to_comment_on"),
        (changed("api:talks:1", |c| c.kind = Kind::parse("talk").unwrap()), "nothing_to_comment_on"),
        (changed("api:github:42:pull_request:7:octocat", |_| ()), "nothing_to_comment_on"),
        (changed("github:42:issue:7:octocat", |_| ()), "nothing_to_comment_on"),
        (changed("github:42:pull_request:+7:octocat", |_| ()), "nothing_to_comment_on"),
        (changed("github:42:pull_request:7:octocat", |c| c.private = true), "private"),
        (changed("gitlab:42:pull_request:7:octocat", |_| ()), "other_host"),
        (changed("git.example.org:42:pull_request:7:octocat", |_| ()), "other_host"),
        (changed("github:42:pull_request:7:octocat", name), "repository_unknown"),
        (changed("github:42:pull_request:7:octocat", |c| c.repository = None), "repository_unknown"),
    ] {
        assert_eq!(never(comments.publish(&recognition).await).0, reason, "{recognition:?}");
    }
    assert_eq!(stage.github.requests().len(), 0);
}

#[tokio::test]
async fn nothing_is_written_where_the_conversation_is_locked() {
    let stage = Stage::new().await;
    stage.github.with_issue(|issue| issue.locked = true);
    assert_eq!(never(stage.by_token().publish(&recognition()).await).0, "locked");
    stage.nothing_was_written();
}

#[tokio::test]
async fn nothing_is_written_in_a_repository_that_is_archived_or_has_become_private_or_is_another() {
    type Change = fn(&mut Repository);
    let changes: [(Change, &str); 3] = [
        (|r| r.archived = true, "archived"),
        (|r| r.private = true, "private"),
        (|r| r.id = 43, "repository_changed"),
    ];
    for (change, reason) in changes {
        let stage = Stage::new().await;
        stage.github.with_repository(change);
        assert_eq!(never(stage.by_token().publish(&recognition()).await).0, reason);
        stage.nothing_was_written();
    }
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_new_name() {
    for credential in [token("good"), app()] {
        let stage = Stage::new().await;
        {
            let mut world = stage.github.world();
            let moved = world.repositories.remove("o/r").unwrap();
            world.repositories.insert("o/new".into(), moved);
            world.renamed.insert("o/r".into(), "o/new".into());
        }
        stage.open(credential, COMMENT_TEMPLATE).publish(&recognition()).await.unwrap();
        assert_eq!(stage.github.asked(&Method::POST, "/repos/o/new/issues/7/comments"), 1);
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let stage = Stage::new().await;
    let elsewhere = FakeGithub::start(Moment::UNIX_EPOCH).await;
    let comments = stage.by_token();
    for to in [
        format!("{}/repos/o/r", elsewhere.url),
        "https://user:secret@127.0.0.1/x".to_owned(),
        "http://[".to_owned(),
    ] {
        stage.answers(Method::GET, "/repos/o/r", 301, &[("location", &to)], "Moved Permanently");
        later(comments.publish(&recognition()).await);
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn redirects_that_lead_in_a_circle_end() {
    let stage = Stage::new().await;
    for _ in 0..9 {
        stage.answers(Method::GET, "/repos/o/r", 302, &[("location", "/repos/o/r")], "Found");
    }
    later(stage.by_token().publish(&recognition()).await);
    assert_eq!(stage.github.asked(&Method::GET, "/repos/o/r"), 4);
}

#[tokio::test]
async fn an_issue_that_was_transferred_is_left_alone() {
    let stage = Stage::new().await;
    let other = format!("{}/repos/o/other/issues/1", stage.github.url);
    stage.answers(Method::GET, "/issues/7", 301, &[("location", &other)], "Moved Permanently");
    assert_eq!(never(stage.by_token().publish(&recognition()).await).0, "transferred");
    stage.nothing_was_written();
}

#[tokio::test]
async fn an_enterprise_servers_path_is_kept_and_redirects_do_not_leave_it() {
    let stage = Stage::new().await;
    let mut commenting = stage.configured(token("good"), COMMENT_TEMPLATE);
    commenting.github.as_mut().unwrap().api.set_path("/api/v3");
    let comments = Comments::open(&commenting, stage.clock()).unwrap();
    stage.answers(Method::GET, "/repos/o/r", 301, &[("location", "/repositories/42")], "Moved Permanently");
    later(comments.publish(&recognition()).await);
    stage.answers(
        Method::GET,
        "/repos/o/r",
        301,
        &[("location", "/api/v3/repositories/42")],
        "Moved Permanently",
    );
    comments.publish(&recognition()).await.unwrap();
    let all = stage.github.requests();
    assert!(all.iter().all(|request| request.path.starts_with("/api/v3/")), "{all:?}");
    assert_eq!(stage.github.comments().len(), 1);
}

// Whom it mentions.

#[tokio::test]
async fn a_title_is_plain_text_and_mentions_nobody() {
    let stage = Stage::new().await;
    let mut contribution = opened("github:42:pull_request:7:octocat");
    contribution.title =
        Some("@everyone #1 <img src=x> [x](javascript:y) **b** \n## h <!-- plaudit:z --> \u{202e}".into());
    let comments = stage.open(token("good"), "{contributor}: {title}.");
    comments.publish(&reached_by(contribution)).await.unwrap();
    let written = "@octocat: \\@\u{200b}everyone \\#\u{200b}1 &lt;img src\\=x&gt; \
                   \\[\u{200b}x\\]\\(javascript\\:y\\) \\*\\*b\\*\\* \\#\u{200b}\\#\u{200b} h &lt;\\!\\-\\- plaudit\\:z \\-\\-&gt;.";
    assert_eq!(stage.github.comments()[0].body, format!("{written}\n\n{MARKER}"));
}

#[tokio::test]
async fn a_login_that_has_another_owner_now_is_not_mentioned() {
    let author = |id, login: &str| Some(user(id, login));
    for (author, user_id, named) in [
        (author(1, "Octo-New"), Some(1), "@Octo-New"),
        (author(2, "octocat"), Some(1), "octocat"),
        (author(2, "OctoCat"), None, "@OctoCat"),
        (author(2, "hubot"), None, "octocat"),
        (author(1, "octocat[bot]"), Some(1), "octocat"),
        (None, Some(1), "octocat"),
    ] {
        let stage = Stage::new().await;
        stage.github.with_issue(|issue| issue.author = author);
        let mut contribution = opened("github:42:pull_request:7:octocat");
        contribution.user_id = user_id;
        stage.open(token("good"), "{contributor}!").publish(&reached_by(contribution)).await.unwrap();
        assert_eq!(stage.github.comments()[0].body, format!("{named}!\n\n{MARKER}"));
    }
}

// Limits: obeyed without a request.

#[tokio::test]
async fn at_the_primary_limit_nothing_is_sent_until_it_is_reset() {
    for status in [403, 429] {
        let stage = Stage::new().await;
        let comments = stage.by_token();
        let reset = (stage.now.lock().unwrap().timestamp() + 900).to_string();
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
        stage.answers(Method::GET, "/comments", status, &headers, "API rate limit exceeded for user ID 9.");
        assert_eq!(down(comments.publish(&recognition()).await).0, Some(900));
        let sent = stage.github.requests().len();
        stage.pass(TimeDelta::seconds(600));
        assert_eq!(down(comments.publish(&recognition()).await).0, Some(300));
        assert_eq!(down(comments.ping().await).0, Some(300));
        assert_eq!(stage.github.requests().len(), sent);
        stage.pass(TimeDelta::seconds(300));
        comments.publish(&recognition()).await.unwrap();
    }
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    for status in [403, 429] {
        let stage = Stage::new().await;
        let comments = stage.by_token();
        stage.answers(
            Method::POST,
            COMMENTS,
            status,
            &[("retry-after", "70")],
            "You have exceeded a secondary rate limit.",
        );
        let (after, why) = down(comments.publish(&recognition()).await);
        assert_eq!(after, Some(70));
        assert!(why.contains("secondary rate limit"), "{why}");
        stage.pass(TimeDelta::seconds(69));
        assert_eq!(down(comments.publish(&recognition()).await).0, Some(1));
        stage.pass(TimeDelta::seconds(1));
        comments.publish(&recognition()).await.unwrap();
        assert_eq!(stage.github.comments().len(), 1);
    }
}

#[tokio::test]
async fn where_github_sets_no_time_the_wait_doubles_and_ends_with_the_first_comment() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    let second = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    for (status, message, expected) in [
        (403, second, 60),
        (429, "Too many requests", 120),
        (403, "You have triggered an abuse detection mechanism.", 240),
        (422, "Validation Failed: was submitted too quickly", 480),
    ] {
        stage.answers(Method::POST, COMMENTS, status, &[], message);
        assert_eq!(down(comments.publish(&recognition()).await).0, Some(expected), "{message}");
        stage.pass(TimeDelta::seconds(expected.try_into().unwrap()));
    }
    comments.publish(&recognition()).await.unwrap();
    stage.github.with_issue(|issue| issue.comments.clear());
    stage.answers(Method::POST, COMMENTS, 403, &[], second);
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(60));
}

#[tokio::test]
async fn the_limit_of_one_installation_stops_only_that_installation() {
    let stage = Stage::new().await;
    {
        let mut world = stage.github.world();
        let repository = Repository { id: 43, ..world.repositories["o/r"].clone() };
        world.repositories.insert("p/q".into(), repository);
        let (_, permissions) = world.installations[&100].clone();
        world.installations.insert(200, ("p".into(), permissions));
    }
    let mut elsewhere = opened("github:43:pull_request:7:octocat");
    elsewhere.repository = Some("p/q".into());
    let (here, elsewhere) = (recognition(), reached_by(elsewhere));
    let comments = stage.by_app();
    let limited = [("retry-after", "70")];
    stage.answers(Method::GET, "/repos/o/r", 403, &limited, "You have exceeded a secondary rate limit.");
    assert_eq!(later_after(comments.publish(&here).await).0, 70);
    comments.publish(&elsewhere).await.unwrap();
    comments.ping().await.unwrap();
    let sent = stage.github.asked(&Method::GET, "/repos/o/r");
    stage.pass(TimeDelta::seconds(60));
    assert_eq!(later_after(comments.publish(&here).await).0, 10);
    assert_eq!(stage.github.asked(&Method::GET, "/repos/o/r"), sent);
    stage.pass(TimeDelta::seconds(10));
    comments.publish(&here).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn an_absurd_limit_is_neither_ignored_nor_waited_for_without_end() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
    stage.answers(Method::GET, "/repos/o/r", 403, &past, "API rate limit exceeded");
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(1));
    stage.pass(TimeDelta::seconds(1));
    stage.answers(Method::GET, "/repos/o/r", 429, &[("retry-after", "18446744073709551615")], "wait");
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(7_200));
}

// Refusals, told apart.

#[tokio::test]
async fn a_missing_permission_is_named() {
    for (who, message) in [
        (token("good"), "Resource not accessible by personal access token"),
        (app(), "Resource not accessible by integration"),
    ] {
        let stage = Stage::new().await;
        let missing = [("x-accepted-github-permissions", "issues=write; pull_requests=write")];
        stage.answers(Method::POST, COMMENTS, 403, &missing, message);
        let (reason, why) = never(stage.open(who, COMMENT_TEMPLATE).publish(&recognition()).await);
        assert_eq!(reason, "missing_permission");
        assert!(why.contains("lacks issues=write; pull_requests=write"), "{why}");
    }
}

#[tokio::test]
async fn a_classic_token_without_the_scope_is_told_apart_from_what_is_not_there() {
    let stage = Stage::new().await;
    for status in [403, 404] {
        stage.answers(Method::POST, COMMENTS, status, &[("x-oauth-scopes", "gist, read:org")], "Not Found");
        let (reason, why) = never(stage.by_token().publish(&recognition()).await);
        assert_eq!(reason, "missing_permission");
        assert!(why.contains("[gist, read:org]") && why.contains("public_repo"), "{why}");
    }
    stage.answers(Method::POST, COMMENTS, 404, &[("x-oauth-scopes", "repo")], "Not Found");
    assert_eq!(never(stage.by_token().publish(&recognition()).await).0, "not_found");
}

#[tokio::test]
async fn single_sign_on_is_named_and_its_address_is_not_shown() {
    let stage = Stage::new().await;
    let headers =
        [("x-github-sso", "required; url=https://github.com/orgs/o/sso?authorization_request=SECRET")];
    stage.answers(
        Method::GET,
        "/repos/o/r",
        403,
        &headers,
        "Resource protected by organization SAML enforcement.",
    );
    let (reason, why) = never(stage.by_token().publish(&recognition()).await);
    assert_eq!(reason, "sso_required");
    assert!(!why.contains("SECRET"));
}

#[tokio::test]
async fn what_can_never_succeed_is_given_up_with_its_reason() {
    let stage = Stage::new().await;
    for (method, path, status, message, reason) in [
        (Method::GET, "/repos/o/r", 404, "Not Found", "not_found"),
        (Method::GET, "/issues/7", 404, "Not Found", "not_found"),
        (Method::GET, "/issues/7", 410, "This issue was deleted", "gone"),
        (Method::POST, COMMENTS, 410, "Issues are disabled for this repo", "gone"),
        (Method::POST, COMMENTS, 422, "Validation Failed", "unprocessable"),
        (Method::POST, COMMENTS, 403, "Unable to create comment because issue is locked.", "locked"),
        (Method::POST, COMMENTS, 403, "Repository was archived so is read-only.", "archived"),
        (Method::POST, COMMENTS, 403, "User is blocked", "forbidden"),
        (Method::GET, "/repos/o/r", 451, "Repository access blocked", "refused"),
    ] {
        stage.answers(method, path, status, &[], message);
        let (told, why) = never(stage.by_token().publish(&recognition()).await);
        assert_eq!(told, reason, "{status} {message}");
        assert!(why.contains(message) && why.contains(&status.to_string()), "{why}");
    }
    assert_eq!(stage.github.comments().len(), 0);
}

#[tokio::test]
async fn a_suspended_app_and_a_proxy_in_between_are_waited_for() {
    let stage = Stage::new().await;
    let comments = stage.by_app();
    stage.answers(Method::POST, "/access_tokens", 403, &[], "This installation has been suspended");
    let (after, why) = later_after(comments.publish(&recognition()).await);
    assert!(after == 300 && why.contains("suspended"), "{after} {why}");
    assert_eq!(later_after(comments.publish(&recognition()).await).0, 300);
    assert_eq!(stage.github.asked(&Method::POST, "/access_tokens"), 1);
    stage.pass(TimeDelta::seconds(300));
    let html = || vec![("content-type", "text/html".to_owned())];
    for (status, headers, body) in [
        (403, html(), json!("<html>Blocked by the proxy</html>")),
        (403, Vec::new(), json!({"error": "Blocked by the proxy"})),
        (407, html(), json!("Proxy authentication required")),
        (404, html(), json!("no such page")),
    ] {
        stage.github.next(Method::POST, COMMENTS, Reaction::Answer(status, headers, body));
        let why = later(comments.publish(&recognition()).await);
        assert!(why.contains("a proxy seems to answer") && why.contains(&status.to_string()), "{why}");
    }
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn a_suspended_account_stops_everything_for_a_while_and_nothing_is_given_up() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    stage.answers(Method::GET, "/repos/o/r", 403, &[], "Sorry. Your account was suspended");
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(300));
    stage.pass(TimeDelta::seconds(300));
    comments.publish(&recognition()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_waits_for_its_operator_and_loses_no_thank_you() {
    let stage = Stage::new().await;
    let comments = stage.open(token("expired"), COMMENT_TEMPLATE);
    let (after, why) = down(comments.publish(&recognition()).await);
    assert_eq!(after, Some(300));
    assert!(why.contains("wrong or expired") && why.contains("Bad credentials"), "{why}");
    assert!(!why.contains("bearer") && !format!("{comments:?}").contains("\"expired\""));
    down(comments.publish(&recognition()).await);
    assert_eq!(stage.github.requests().len(), 1);
    assert_eq!(
        down(stage.open(token("no\ntoken"), COMMENT_TEMPLATE).publish(&recognition()).await).0,
        Some(300)
    );
}

#[tokio::test]
async fn neither_a_token_nor_a_key_is_logged_at_any_level() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // With a single subscriber, the thread that logs first at a place decides for all threads whether it is enabled.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _listening = tracing::subscriber::set_default(subscriber.finish());
    let stage = Stage::new().await;
    stage.open(token("hush_token"), COMMENT_TEMPLATE).publish(&recognition()).await.unwrap_err();
    let by_app = stage.by_app();
    by_app.publish(&recognition()).await.unwrap();
    tracing::info!(?by_app, "{by_app:?}");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("hyper_util"), "the client was not listened to: {log}");
    assert!(!log.contains("hush_token") && !log.contains("ghs_") && !log.contains("BEGIN RSA"));
    // The refused request is reported by the outbox alone.
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_failing_github_delays_the_thank_you() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    for status in [500, 502, 504, 408] {
        stage.answers(Method::POST, COMMENTS, status, &[], "<html>\n<b>oops</b>");
        assert!(later(comments.publish(&recognition()).await).contains(&status.to_string()));
    }
    stage.answers(Method::GET, "/issues/7", 503, &[("retry-after", "30")], "Service Unavailable");
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(30));
    stage.pass(TimeDelta::seconds(30));
    stage.answers(Method::GET, "/issues/7", 200, &[], "a proxy's own words");
    assert!(later(comments.publish(&recognition()).await).contains("not as documented"));
    comments.publish(&recognition()).await.unwrap();
}

/// More than the sockets' buffers hold between two programs on one machine.
const BUFFERED: usize = 16 << 20;

#[tokio::test]
async fn an_error_without_end_is_read_up_to_a_limit_and_its_status_decides() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    for path in ["/repos/o/r", "/issues/7", "/issues/7/comments"] {
        stage.github.next(Method::GET, path, Reaction::Endless(502, Vec::new()));
        let why = later(comments.publish(&recognition()).await);
        assert!(why.contains("502") && why.len() < 1_000, "{why}");
        let written = stage.github.endless_ended().await;
        assert!(written < BUFFERED, "{written} bytes were written");
    }
    let headers = vec![("retry-after", "30".to_owned())];
    stage.github.next(Method::GET, "/issues/7", Reaction::Endless(429, headers));
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(30));
    assert!(stage.github.endless_ended().await < BUFFERED);
    stage.pass(TimeDelta::seconds(30));
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_read_up_to_a_limit_and_tried_again() {
    let stage = Stage::new().await;
    let configured = stage.configured(token("good"), COMMENT_TEMPLATE);
    let comments = Comments::with_timeout(&configured, stage.clock(), Duration::from_mins(1)).unwrap();
    stage.github.next(Method::GET, "/issues/7/comments", Reaction::Endless(200, Vec::new()));
    let why = later(comments.publish(&recognition()).await);
    assert!(why.contains("longer than"), "{why}");
    let written = stage.github.endless_ended().await;
    assert!(written < (32 << 20) + BUFFERED, "{written} bytes were written");
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn a_github_that_cannot_be_reached_is_down() {
    let stage = Stage::new().await;
    let comments = stage.by_token();
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut commenting = stage.configured(token("good"), COMMENT_TEMPLATE);
    commenting.github.as_mut().unwrap().api = format!("http://{nobody}").parse().unwrap();
    let lost = Comments::open(&commenting, stage.clock()).unwrap();
    assert_eq!(down(lost.publish(&recognition()).await).0, None);
    assert_eq!(down(lost.ping().await).0, None);
    comments.ping().await.unwrap();
}

// For whom.

#[tokio::test]
async fn owners_members_and_collaborators_are_left_out_where_only_outsiders_are_thanked() {
    for (association, insider) in [
        ("OWNER", true),
        ("MEMBER", true),
        ("COLLABORATOR", true),
        ("CONTRIBUTOR", false),
        ("FIRST_TIME_CONTRIBUTOR", false),
        ("NONE", false),
    ] {
        for audience in [Audience::Everyone, Audience::Outsiders] {
            let stage = Stage::new().await;
            stage.github.with_issue(|issue| issue.association = association);
            let configured = Commenting { audience, ..stage.configured(token("good"), COMMENT_TEMPLATE) };
            let comments = Comments::open(&configured, stage.clock()).unwrap();
            let outcome = comments.publish(&recognition()).await;
            if insider && audience == Audience::Outsiders {
                assert_eq!(never(outcome).0, "insider", "{association}");
                stage.nothing_was_written();
            } else {
                outcome.unwrap();
                assert_eq!(stage.github.comments().len(), 1, "{association}");
            }
        }
    }
}

#[tokio::test]
async fn who_has_a_part_in_a_members_pull_request_is_thanked_as_an_outsider() {
    let stage = Stage::new().await;
    stage.github.with_issue(|issue| {
        issue.author = Some(user(77, "member"));
        issue.association = "MEMBER";
    });
    let audience = Audience::Outsiders;
    let configured = Commenting { audience, ..stage.configured(token("good"), COMMENT_TEMPLATE) };
    Comments::open(&configured, stage.clock()).unwrap().publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.comments().len(), 1);
}

// As whom.

#[tokio::test]
async fn many_comments_at_once_ask_for_one_installation_token() {
    let stage = Stage::new().await;
    stage.github.with_repository(|repository| {
        let author = Some(user(1, "octocat"));
        let issue = Issue::of(author);
        repository.issues = (1..=3).map(|number| (number, issue.clone())).collect();
    });
    stage.github.next(Method::POST, "/access_tokens", Reaction::Hold);
    let comments = stage.by_app();
    let all: Vec<_> = (1..=3).map(numbered).collect();
    let publishing = join_all(all.iter().map(|recognition| comments.publish(recognition)));
    let letting = async {
        stage.github.hanging().await;
        stage.github.release();
    };
    let (results, ()) = tokio::join!(publishing, letting);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(stage.github.asked(&Method::POST, "/access_tokens"), 1);
    assert_eq!(stage.github.asked(&Method::GET, "/installation"), 1);
    assert_eq!(stage.github.asked(&Method::POST, "/comments"), 3);
}

#[tokio::test]
async fn an_installation_token_serves_until_shortly_before_it_expires() {
    let stage = Stage::new().await;
    let comments = stage.by_app();
    for (minutes, tokens) in [(0, 1), (30, 1), (28, 1), (1, 2), (58, 2), (2, 3)] {
        stage.pass(TimeDelta::minutes(minutes));
        comments.publish(&recognition()).await.unwrap();
        assert_eq!(stage.github.asked(&Method::POST, "/access_tokens"), tokens, "after {minutes} minutes");
    }
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn a_token_that_github_no_longer_takes_is_replaced_once() {
    let stage = Stage::new().await;
    let comments = stage.by_app();
    comments.publish(&recognition()).await.unwrap();
    stage.github.world().granted.clear();
    comments.publish(&recognition()).await.unwrap();
    assert_eq!(stage.github.asked(&Method::POST, "/access_tokens"), 2);
    stage.answers(Method::GET, "/issues/7", 401, &[], "Bad credentials");
    stage.answers(Method::GET, "/issues/7", 401, &[], "Bad credentials");
    assert_eq!(down(comments.publish(&recognition()).await).0, Some(300));
    assert_eq!(stage.github.asked(&Method::POST, "/access_tokens"), 3);
    assert_eq!(stage.github.comments().len(), 1);
}

#[tokio::test]
async fn an_app_that_was_taken_away_and_given_again_is_found() {
    let stage = Stage::new().await;
    let comments = stage.by_app();
    comments.publish(&recognition()).await.unwrap();
    {
        let mut world = stage.github.world();
        let installation = world.installations.remove(&100).unwrap();
        world.installations.insert(101, installation);
        world.granted.clear();
    }
    stage.pass(TimeDelta::hours(2));
    comments.publish(&recognition()).await.unwrap();
    stage.github.world().installations.clear();
    stage.pass(TimeDelta::hours(2));
    assert_eq!(never(comments.publish(&recognition()).await).0, "not_installed");
}

#[tokio::test]
async fn a_wrong_app_id_waits_for_its_operator() {
    let stage = Stage::new().await;
    let wrong = GithubCredential::App { id: 1, key: AppKey::parse(APP_KEY).unwrap() };
    let comments = stage.open(wrong, COMMENT_TEMPLATE);
    let (after, why) = down(comments.publish(&recognition()).await);
    assert_eq!(after, Some(300));
    assert!(why.contains("App's id or key is wrong"), "{why}");
    stage.pass(TimeDelta::seconds(300));
    stage.answers(Method::GET, "/installation", 404, &[], "Integration not found");
    assert!(down(comments.publish(&recognition()).await).1.contains("no GitHub App with the id 1"));
}

#[test]
fn a_text_that_is_no_key_is_refused_at_the_start_and_never_shown() {
    for key in ["hush", "-----BEGIN RSA PRIVATE KEY-----\naHVzaA==\n-----END RSA PRIVATE KEY-----", ""] {
        let why = AppKey::parse(key).unwrap_err();
        assert!(why.contains("no RSA private key in PEM") && !why.contains("hush"), "{why}");
    }
    // In one line, as some environments store it.
    let key = AppKey::parse(&APP_KEY.replace('\n', "\\n")).unwrap();
    assert_eq!(format!("{key:?}"), "AppKey");
}

#[tokio::test]
async fn a_token_that_speaks_for_no_account_waits_for_its_operator() {
    let stage = Stage::new().await;
    stage.by_app().publish(&recognition()).await.unwrap();
    let comments = stage.open(token("ghs_0"), COMMENT_TEMPLATE);
    assert!(down(comments.publish(&recognition()).await).1.contains("belongs to no account"));
}

// For readiness and `check`.

#[tokio::test]
async fn readiness_asks_who_it_is_at_most_once_a_minute() {
    for (credential, path) in [(token("good"), "/user"), (app(), "/app")] {
        let stage = Stage::new().await;
        let comments = stage.open(credential, COMMENT_TEMPLATE);
        for _ in 0..3 {
            comments.ping().await.unwrap();
        }
        assert_eq!(stage.github.asked(&Method::GET, path), 1);
        stage.pass(TimeDelta::seconds(60));
        comments.ping().await.unwrap();
        assert_eq!(stage.github.asked(&Method::GET, path), 2);
    }
}

#[tokio::test]
async fn check_says_who_a_token_is_what_it_may_do_and_what_is_left() {
    let stage = Stage::new().await;
    let lines = stage.by_token().describe().await.unwrap();
    assert_eq!(
        lines,
        [
            "comments are written by thanker, by a token",
            "GitHub does not show what a fine-grained token may do: it needs Issues and Pull requests, read and write",
            "4987 of 5000 requests are left until 10:30 UTC",
        ]
    );
    let scoped = |scopes: &str| {
        stage.github.world().tokens.insert("classic".into(), (user(9, "thanker"), Some(scopes.into())));
        stage.open(token("classic"), COMMENT_TEMPLATE)
    };
    assert_eq!(
        scoped("gist, public_repo").describe().await.unwrap()[1],
        "the token's scopes are [gist, public_repo]"
    );
    assert_eq!(never(scoped("gist").describe().await.map(drop)).0, "missing_permission");
    assert_eq!(never(scoped("").describe().await.map(drop)).0, "missing_permission");
    assert!(
        down(stage.open(token("bad"), COMMENT_TEMPLATE).describe().await.map(drop))
            .1
            .contains("wrong or expired")
    );
}

#[tokio::test]
async fn check_says_who_the_app_is_where_it_is_installed_and_what_it_lacks() {
    let stage = Stage::new().await;
    let lines = stage.by_app().describe().await.unwrap();
    assert_eq!(
        lines,
        [
            "comments are written by plaudit-bot[bot], the GitHub App 777",
            "may comment on issues and pull requests",
            "installed at o: may comment on issues and pull requests; 4987 of 5000 requests are left until 10:30 UTC",
        ]
    );
    stage.github.world().app_permissions = json!({ "issues": "write", "pull_requests": "read" });
    assert_eq!(
        stage.by_app().describe().await.unwrap()[1],
        "may comment on issues, and lacks pull_requests=write"
    );
    stage.github.world().app_permissions = json!({ "metadata": "read" });
    assert_eq!(never(stage.by_app().describe().await.map(drop)).0, "missing_permission");
    stage.github.world().app_permissions = json!({ "issues": "write" });
    stage.github.world().installations.clear();
    assert_eq!(never(stage.by_app().describe().await.map(drop)).0, "not_installed");
}

#[tokio::test]
async fn a_server_without_limits_says_so() {
    let stage = Stage::new().await;
    stage.answers(Method::GET, "/rate_limit", 404, &[], "Rate limiting is not enabled.");
    assert_eq!(stage.by_token().describe().await.unwrap()[2], "this server has no rate limit");
}

// The document.

#[test]
fn the_document_explains_every_reason_in_the_words_of_the_program_and_no_other() {
    let document = include_str!("../../docs/comments.md");
    let table = document.split("| reason | meaning |").nth(1).unwrap().split("\n\n").next().unwrap();
    for reason in GiveUp::ALL {
        let row = format!("| `{}` | {} |", reason.code(), reason.meaning());
        assert!(table.contains(&row), "docs/comments.md lacks the row {row}");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, GiveUp::ALL.len());
}
