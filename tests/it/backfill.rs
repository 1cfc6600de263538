//! `plaudit backfill github`: its limits, its bookmarks and what it says, against a GitHub of the tests' own.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};

use chrono::{TimeDelta, Utc};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::limits::peak;
use crate::support::fake_github::{APP_ID, APP_KEY};
use crate::support::fake_history::{FakeHistory, Repository};
use crate::support::fake_hooks::HOST_TOKEN;
use crate::support::fake_server::{Reaction, refusal};
use crate::support::machine::at_hand;
use crate::support::{Environment, Plaudit, in_the_end, on_terminal};

const MIB: usize = 1024 * 1024;

fn time(second: i64) -> String {
    (chrono::DateTime::from_timestamp(1_740_816_000, 0).unwrap() + TimeDelta::seconds(second))
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn oid(number: usize) -> String {
    format!("{:040x}", number + 1)
}

/// Somebody of three.
fn login(number: usize) -> &'static str {
    ["mona", "lisa", "hubot-fan"][number % 3]
}

fn item(page: &str, number: usize) -> Value {
    let at = time(i64::try_from(number).unwrap());
    json!({
        "number": number, "title": format!("Number {number}"), "url": format!("https://github.com/o/r/{page}/{number}"),
        "createdAt": at, "updatedAt": at, "isDraft": false, "mergedAt": null, "labels": {"nodes": []},
        "author": {"__typename": "User", "login": login(number), "databaseId": 7 + number % 3},
        "drafted": {"nodes": []}, "labeled": {"nodes": []}, "transferred": {"nodes": []},
    })
}

/// The commits `0..count`, newest first, in one line.
fn commits(count: usize) -> Vec<Value> {
    let commit = |number: usize| {
        let who = json!({"name": "M", "email": "m@example.org", "user": {"login": login(number)}});
        let at = time(i64::try_from(number).unwrap());
        let parents: Vec<_> =
            number.checked_sub(1).iter().map(|parent| json!({"oid": oid(*parent)})).collect();
        json!({
            "oid": oid(number), "message": format!("Commit {number}"), "authoredDate": at, "committedDate": at,
            "url": format!("https://github.com/o/r/commit/{}", oid(number)), "author": who, "committer": who,
            "parents": {"nodes": parents},
        })
    };
    (0..count).rev().map(commit).collect()
}

/// Pushes of so many commits each, up to the commit `count - 1`, newest first, without the first of them.
fn activities(count: usize, together: usize) -> Vec<Value> {
    let ends: Vec<_> = (together - 1..count).step_by(together).collect();
    let push = |pair: &[usize]| {
        json!({
            "before": oid(pair[0]), "after": oid(pair[1]), "ref": "refs/heads/main",
            "timestamp": time(i64::try_from(pair[1]).unwrap()), "activity_type": "push",
            "actor": {"login": login(pair[1]), "id": 7 + pair[1] % 3, "type": "User"},
        })
    };
    ends.windows(2).rev().map(push).collect()
}

/// A repository with so many of everything.
fn repository(items: usize, commit_count: usize) -> Repository {
    Repository {
        full_name: "o/r".into(),
        id: 42,
        base: "https://github.com".into(),
        pull_requests: (1..=items).map(|number| item("pull", 2 * number)).collect(),
        issues: (1..=items).map(|number| item("issues", 2 * number + 1)).collect(),
        commits: commits(commit_count),
        activities: activities(commit_count, 3),
        ..Repository::default()
    }
}

/// A ledger, and a GitHub.
struct Desk {
    fake: FakeHistory,
    folder: std::sync::Arc<tempfile::TempDir>,
}

impl Desk {
    async fn of(repositories: Vec<Repository>) -> Self {
        let fake = FakeHistory::start(repositories).await;
        Self { fake, folder: std::sync::Arc::new(tempfile::tempdir().unwrap()) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let environment = Environment::in_folder(&self.folder)
            .with("PLAUDIT_GITHUB_API", &self.fake.url)
            .with("PLAUDIT_GITHUB_TOKEN", HOST_TOKEN);
        let mut command: Command = environment.command().into();
        command.args(["backfill", "github"]).args(arguments).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        in_the_end("the end of the backfill", self.command(arguments).output()).await.unwrap()
    }

    /// Runs it as an App instead of with a token.
    async fn run_as_app(&self, arguments: &[&str], key: &str) -> Output {
        let mut command = self.command(arguments);
        command.env_remove("PLAUDIT_GITHUB_TOKEN");
        command.env("PLAUDIT_GITHUB_APP_ID", APP_ID.to_string()).env("PLAUDIT_GITHUB_APP_KEY", key);
        in_the_end("the end of the backfill", command.output()).await.unwrap()
    }

    /// What it prints on both outputs; it must succeed.
    async fn reads(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments).await;
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{out}{err}");
        (out.trim().to_owned(), err)
    }

    /// The one line with which it fails.
    async fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments).await;
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{out}{err}");
        assert!(!err.contains(HOST_TOKEN), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        err
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.folder.path().join("plaudit.db")
    }

    fn count(&self, table: &str) -> i64 {
        let ledger = Connection::open(self.ledger()).unwrap();
        ledger.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_history_counts_and_nothing_of_it_is_announced() {
    let desk = Desk::of(vec![repository(150, 9)]).await;
    let (out, err) = desk.reads(&["o/r"]).await;
    assert_eq!(out, "o/r: 309 counted, 0 known before, 0 ignored, 7 API calls");
    assert_eq!(err, "");
    let expected =
        [("Commits", 1), ("Items", 2), ("Items of pull requests", 2), ("Repository", 1), ("activity", 1)];
    assert_eq!(desk.fake.requests(), expected.map(|(name, count)| (name.to_owned(), count)).into());
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    assert_eq!(plaudit.tallies().await.values().sum::<u64>(), 309);
    assert_eq!(plaudit.drain().await["recognized"], 0);
    assert_eq!(plaudit.recognitions().await, [""; 0]);
    let pull_request =
        plaudit.get("/v1/contributions/github:42:pull_request:4:lisa").await.expect(200).json();
    assert_eq!(pull_request["title"], "Number 4");
    assert_eq!(pull_request["occurred_at"], time(4));
    plaudit.stop().await;
}

#[tokio::test]
async fn with_recognize_what_is_reached_is_recognised() {
    let desk = Desk::of(vec![repository(10, 0)]).await;
    desk.reads(&["o/r", "--recognize"]).await;
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    assert_eq!(plaudit.recognitions().await, ["github:hubot-fan:3", "github:lisa:3", "github:mona:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn limits_failures_and_cut_connections_are_waited_for_and_nothing_is_lost() {
    let desk = Desk::of(vec![repository(150, 9)]).await;
    let soon = (Utc::now() + TimeDelta::seconds(2)).timestamp().to_string();
    let limited =
        json!({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}).to_string();
    let used_up = || vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", soon.clone())];
    desk.fake.next([
        Reaction::Pass,
        refusal(403, &[("retry-after", "1".into())], "You have exceeded a secondary rate limit."),
        refusal(429, &[("retry-after", "0".into())], "Too many requests"),
        Reaction::Answer(200, used_up(), limited),
        refusal(502, &[], "Server Error"),
        Reaction::Cut,
        refusal(503, &[], "Unavailable"),
        Reaction::Pass,
        refusal(403, &used_up(), "API rate limit exceeded for user ID 9."),
    ]);
    let (out, err) = desk.reads(&["o/r"]).await;
    assert_eq!(out, "o/r: 309 counted, 0 known before, 0 ignored, 14 API calls");
    assert!(err.contains("GitHub's rate limit is used up; waiting 1 s"), "{err}");
    assert!(err.contains("GitHub answers 502: Server Error; waiting"), "{err}");
    assert!(err.contains("does not answer"), "{err}");
    assert_eq!(desk.count("contributions"), 309);
}

#[tokio::test]
async fn after_the_last_request_of_a_limit_it_waits_before_the_next() {
    let desk = Desk::of(vec![repository(1, 0)]).await;
    let node = json!({"data": {"repository": {"databaseId": 42, "nameWithOwner": "o/r", "url": "https://github.com/o/r",
        "isPrivate": false, "visibility": "PUBLIC", "isFork": false, "defaultBranchRef": null}}});
    let reset = (Utc::now() + TimeDelta::seconds(2)).timestamp().to_string();
    let last = vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset)];
    desk.fake.next([Reaction::Answer(200, last, node.to_string())]);
    let (out, err) = desk.reads(&["o/r"]).await;
    assert_eq!(out, "o/r: 2 counted, 0 known before, 0 ignored, 4 API calls");
    assert!(err.starts_with("GitHub's rate limit is used up; waiting "), "{err}");
}

#[tokio::test]
async fn a_wrong_token_name_or_permission_is_one_line_that_says_what_to_do() {
    let desk = Desk::of(vec![repository(1, 1)]).await;
    let nobody = desk.fails(&["o/nothing"], 1).await;
    assert!(nobody.contains("GitHub knows no o/nothing that this token can see"), "{nobody}");
    assert!(desk.fails(&["nobody"], 1).await.contains("GitHub knows no nobody"));
    desk.fake.next([refusal(401, &[], "Bad credentials")]);
    let expired = desk.fails(&["o/r"], 1).await;
    for words in ["401", "wrong or expired", "PLAUDIT_GITHUB_TOKEN", "run this again"] {
        assert!(expired.contains(words), "{expired}");
    }
    let narrow = json!({"data": {"repository": null}, "errors": [{"type": "FORBIDDEN",
        "message": "Resource not accessible by personal access token"}]});
    desk.fake.next([Reaction::Pass, Reaction::Answer(200, Vec::new(), narrow.to_string())]);
    let narrow = desk.fails(&["o/r"], 1).await;
    assert!(narrow.contains("may not read all of o/r") && narrow.contains("Pull requests: read"), "{narrow}");
    assert!(desk.fails(&["o/r/x"], 2).await.contains("neither OWNER nor OWNER/REPO"));
    let mut without = desk.command(&["o/r"]);
    without.env_remove("PLAUDIT_GITHUB_TOKEN");
    let (_, err) = texts(&without.output().await.unwrap());
    assert!(err.contains("PLAUDIT_GITHUB_TOKEN: missing"), "{err}");
}

/// What an App prints and asks for that reads `o/r` with 250 of everything.
async fn read_by_app(desk: &Desk) -> (String, BTreeMap<String, usize>) {
    desk.fake.world().installed = Some("repos/o/r");
    let output = desk.run_as_app(&["o/r"], APP_KEY).await;
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    (out.trim().to_owned(), desk.fake.requests())
}

#[tokio::test]
async fn an_app_reads_history_with_one_token_of_its_installation() {
    let desk = Desk::of(vec![repository(250, 9)]).await;
    let (out, requests) = read_by_app(&desk).await;
    // The repository, three pages each of pull requests and issues, one each of commits and pushes.
    assert_eq!(out, "o/r: 509 counted, 0 known before, 0 ignored, 11 API calls");
    assert_eq!((requests["installation"], requests["token"]), (1, 1), "{requests:?}");
}

#[tokio::test]
async fn an_apps_token_is_replaced_before_it_expires_in_the_middle_of_a_history() {
    let desk = Desk::of(vec![repository(250, 9)]).await;
    // Each is about to expire when it is granted, so it is used once. This GitHub takes only the newest.
    desk.fake.world().expire = Utc::now() + TimeDelta::minutes(1);
    let (out, requests) = read_by_app(&desk).await;
    assert_eq!(out, "o/r: 509 counted, 0 known before, 0 ignored, 27 API calls");
    assert_eq!(requests["token"], 9, "{requests:?}");
}

#[tokio::test]
async fn an_apps_token_that_is_revoked_in_the_middle_of_a_history_is_replaced_once() {
    let desk = Desk::of(vec![repository(250, 9)]).await;
    let revoked = || refusal(401, &[], "Bad credentials");
    desk.fake.next((0..6).map(|_| Reaction::Pass).chain([revoked()]));
    let (out, requests) = read_by_app(&desk).await;
    assert_eq!(out, "o/r: 509 counted, 0 known before, 0 ignored, 14 API calls");
    assert_eq!((requests["installation"], requests["token"]), (2, 2), "{requests:?}");

    // One that is refused at once is no matter of time.
    desk.fake.world().requests.clear();
    let pass = || (0..2).map(|_| Reaction::Pass);
    desk.fake.next(pass().chain([revoked()]).chain(pass()).chain([revoked()]));
    let output = desk.run_as_app(&["o/r"], APP_KEY).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(texts(&output).1.contains("GitHub answers 401"), "{output:?}");
    assert_eq!(desk.fake.world().requests.len(), 6);
}

#[tokio::test]
async fn an_app_finds_its_installation_for_an_owner_and_says_where_it_has_none() {
    let desk = Desk::of(vec![repository(1, 1)]).await;
    for owners in ["orgs/o", "users/o"] {
        desk.fake.world().installed = Some(owners);
        let output = desk.run_as_app(&["o", "--dry-run"], APP_KEY).await;
        assert!(texts(&output).0.starts_with("o: 3 counted"), "{output:?}");
    }
    let fails = async |name: &str, key: &str| {
        let output = desk.run_as_app(&[name], key).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        texts(&output).1
    };
    let unknown = fails("o/r", APP_KEY).await;
    assert!(unknown.contains(&format!("the GitHub App {APP_ID} is not installed for o/r")), "{unknown}");
    desk.fake.next([refusal(401, &[], "A JSON web token could not be decoded")]);
    let wrong = fails("o/r", APP_KEY).await;
    assert!(wrong.contains("PLAUDIT_GITHUB_APP_KEY is not the key of the GitHub App"), "{wrong}");
    let half = desk.run_as_app(&["o/r"], "").await;
    assert!(
        texts(&half).1.contains("PLAUDIT_GITHUB_APP_KEY: missing beside PLAUDIT_GITHUB_APP_ID"),
        "{half:?}"
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_what_would_count() {
    let desk = Desk::of(vec![repository(3, 3)]).await;
    let says = "o/r: 9 counted, 0 known before, 0 ignored, 5 API calls; a dry run: nothing was written";
    assert_eq!(desk.reads(&["o/r", "--dry-run"]).await.0, says);
    assert!(!desk.ledger().exists(), "not even a ledger is made");
    desk.reads(&["o/r", "--since", "2025-03-01T08:00:05Z"]).await;
    let (known, marks) = (desk.count("contributions"), desk.count("bookmarks"));
    assert!(0 < known && known < 9, "{known}");
    let (out, _) = desk.reads(&["o/r", "--dry-run"]).await;
    let says = format!("o/r: {} counted, {known} known before, 0 ignored, 5 API calls", 9 - known);
    assert_eq!(out.split(';').next().unwrap(), says);
    assert_eq!((desk.count("contributions"), desk.count("bookmarks")), (known, marks));
}

#[tokio::test]
async fn after_a_whole_run_the_next_reads_what_is_new_and_again_reads_everything() {
    let desk = Desk::of(vec![repository(150, 9)]).await;
    // A run over a time alone is no whole one.
    let (out, _) = desk.reads(&["o/r", "--since", &time(300)]).await;
    assert!(out.starts_with("o/r: 2 counted, 0 known before"), "{out}");
    assert_eq!(desk.reads(&["o/r"]).await.0, "o/r: 307 counted, 2 known before, 0 ignored, 7 API calls");
    {
        let mut world = desk.fake.world();
        let mut new = item("pull", 1_000);
        let now = Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        (new["createdAt"], new["updatedAt"]) = (now.clone().into(), now.into());
        world.repositories[0].pull_requests.push(new);
        world.requests.clear();
    }
    let (out, err) = desk.reads(&["o/r"]).await;
    assert_eq!(out, "o/r: 1 counted, 0 known before, 0 ignored, 5 API calls");
    assert_eq!(err.matches("reads what is new since then").count(), 3, "{err}");
    let (out, err) = desk.reads(&["o/r", "--again"]).await;
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("o/r: 0 counted, 310 known before, 0 ignored, 7 API calls", "")
    );
}

#[tokio::test]
async fn of_an_owner_every_repository_is_read_but_forks_only_where_they_count() {
    let named = |name: &str, id| Repository { full_name: format!("o/{name}"), id, ..repository(2, 0) };
    let fork = Repository { fork: true, ..named("fork", 43) };
    let private = Repository { private: true, ..named("secret", 44) };
    let desk = Desk::of(vec![named("r", 42), fork, private]).await;
    assert_eq!(desk.reads(&["o"]).await.0, "o: 8 counted, 0 known before, 0 ignored, 7 API calls");
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    let secret = "/v1/contributions/github:44:issue:3";
    assert_eq!(plaudit.get(secret).await.expect(200).json()["private"], true);
    plaudit.stranger().get(secret).await.expect(404);
    plaudit.stop().await;
    let output = desk.command(&["o", "--again"]).env("PLAUDIT_FORKS", "true").output().await.unwrap();
    assert!(texts(&output).0.starts_with("o: 4 counted, 8 known before, 0 ignored"), "{output:?}");
}

#[tokio::test]
async fn drafts_transfers_bots_and_ghosts_are_ignored_and_a_label_after_the_merge_takes_back() {
    let mut all = repository(0, 0);
    let with = |number: usize, change: &dyn Fn(&mut Value)| {
        let mut one = item("pull", number);
        change(&mut one);
        one
    };
    let spam = json!({"nodes": [{"name": "Spam"}]});
    let was_ready = json!({"nodes": [{"__typename": "ConvertToDraftEvent", "createdAt": time(50)}]});
    let labeled = |at: i64| json!({"nodes": [{"createdAt": time(at), "label": {"name": "Spam"}}]});
    all.pull_requests = vec![
        with(10, &|one| one["isDraft"] = true.into()),
        with(11, &|one| (one["isDraft"], one["drafted"]) = (true.into(), was_ready.clone())),
        with(12, &|one| one["author"] = json!({"__typename": "Bot", "login": "renovate", "databaseId": 5})),
        with(13, &|one| one["author"] = Value::Null),
        with(14, &|one| one["labels"] = spam.clone()),
        with(15, &|one| {
            (one["labels"], one["labeled"], one["mergedAt"]) = (spam.clone(), labeled(100), time(200).into());
        }),
        with(16, &|one| {
            (one["labels"], one["labeled"], one["mergedAt"]) = (spam.clone(), labeled(300), time(200).into());
        }),
    ];
    let mut moved = item("issues", 17);
    moved["transferred"] = json!({"nodes": [{}]});
    all.issues = vec![moved];
    let desk = Desk::of(vec![all]).await;
    let (out, _) = desk.reads(&["o/r"]).await;
    assert_eq!(
        out,
        "o/r: 3 counted, 0 known before, 5 ignored (bot 1, draft 1, ghost 1, rejecting_label 1, transferred 1), 4 API calls"
    );
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    let counted: Vec<_> =
        [11, 15].map(|number| format!("github:42:pull_request:{number}:{}", login(number))).into();
    for (who, tally) in plaudit.tallies().await {
        let listed = plaudit.all(&format!("/v1/contributors/{who}/contributions")).await;
        assert_eq!(listed.len() as u64, tally);
        assert!(
            listed.iter().all(|one| counted.contains(&one["id"].as_str().unwrap().to_owned())),
            "{listed:?}"
        );
    }
    assert_eq!(plaudit.tallies().await.values().sum::<u64>(), 2);
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_history_takes_as_many_calls_as_it_has_pages_and_no_memory_for_each() {
    let desk = Desk::of(vec![repository(5_000, 20_001)]).await;
    let pages = 50 + 50 + 200 + desk.fake.world().repositories[0].activities.len().div_ceil(100);
    assert_eq!(pages, 367);
    // Held are some pages: an early one of commits, two between, and the last.
    let first = 1 + 100 + 1 + 67 + 5;
    let mut sent = 0;
    for held in [50, first, 240, 300, pages] {
        desk.fake.next((sent..held).map(|_| Reaction::Pass).chain([Reaction::Hold]));
        sent = held + 1;
    }
    let child = desk.command(&["o/r"]).spawn().unwrap();
    let pid = child.id().unwrap();
    let mut peaks = Vec::new();
    for _ in 0..5 {
        desk.fake.held().await;
        peaks.push(peak(pid));
        desk.fake.let_go();
    }
    let output = in_the_end("the end of the backfill", child.wait_with_output()).await.unwrap();
    let calls = desk.fake.world().requests.len();
    let (out, err) = texts(&output);
    assert_eq!(
        out.trim(),
        format!("o/r: 30001 counted, 0 known before, 0 ignored, {calls} API calls"),
        "{err}"
    );
    assert!(calls <= pages + pages / 100, "{calls} calls for {pages} pages");
    let grown = peaks[4].saturating_sub(peaks[1]);
    assert!(grown < 8 * MIB, "{} MiB at first, {} MiB more at the end", peaks[1] / MIB, grown / MIB);
    assert!(peaks[4] < 100 * MIB, "{} MiB", peaks[4] / MIB);
}

#[tokio::test]
async fn a_bookmark_is_set_only_after_all_that_it_covers_is_durable() {
    let desk = Desk::of(vec![repository(5, 6)]).await;
    desk.fake.world().page = 2;
    let bookmarks = || {
        let ledger = Connection::open(desk.ledger()).ok()?;
        let mut query = ledger.prepare("SELECT name, value FROM bookmarks ORDER BY name").ok()?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
        Some(rows.map(Result::unwrap).collect::<Vec<(String, String)>>())
    };
    let mut killed = 0;
    loop {
        let before = bookmarks().unwrap_or_default();
        // One finishes a part without stopping there.
        let mut child = desk.command(&["o/r"]).env("PLAUDIT_STOP_AT", "bookmarked").spawn().unwrap();
        let stopped = async {
            let goes_on = |now: &[(String, String)]| {
                now.iter().any(|one| !before.contains(one) && one.1.contains("place"))
            };
            while !bookmarks().is_some_and(|now| goes_on(&now)) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            status = child.wait() => {
                assert!(status.unwrap().success());
                break;
            }
            () = in_the_end("another bookmark", stopped) => {}
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        killed += 1;
    }
    assert!(killed >= 6, "{killed}");
    assert_eq!(desk.count("contributions"), 16);
}

#[tokio::test]
async fn a_title_is_that_of_the_time_at_which_a_pull_request_or_issue_began_to_count() {
    let mut all = repository(1, 0);
    let renamed = json!({"nodes": [{"createdAt": time(10), "previousTitle": "First"}, {"createdAt": time(30), "previousTitle": "Second"}]});
    for item in [&mut all.issues[0], &mut all.pull_requests[0]] {
        item["renamed"] = renamed.clone();
    }
    let mut ready = all.pull_requests[0].clone();
    (ready["number"], ready["mergedAt"]) = (9.into(), time(40).into());
    ready["drafted"] = json!({"nodes": [{"__typename": "ReadyForReviewEvent", "createdAt": time(20)}]});
    all.pull_requests.push(ready);
    let titles = async |variable: &str, value: &str| {
        let desk = Desk::of(vec![all.clone()]).await;
        let output = desk.command(&["o/r"]).env(variable, value).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let ledger = Connection::open(desk.ledger()).unwrap();
        let mut query = ledger.prepare("SELECT id, title FROM contributions ORDER BY id").unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect::<Vec<(String, String)>>()
    };
    let expected = [
        ("github:42:issue:3", "First"),
        ("github:42:pull_request:2:hubot-fan", "First"),
        ("github:42:pull_request:9:hubot-fan", "Second"),
    ];
    let expected = expected.map(|(id, title)| (id.to_owned(), title.to_owned()));
    assert_eq!(titles("PLAUDIT_PULL_REQUESTS", "opened").await, expected);
    assert_eq!(titles("PLAUDIT_PULL_REQUESTS", "merged").await[1].1, "Number 2");
}

/// A commit of somebody, with these parents.
fn commit_of(number: usize, parents: &[usize], message: &str) -> Value {
    let mut one = commits(number + 1)[0].clone();
    let parents: Vec<_> = parents.iter().map(|parent| json!({"oid": oid(*parent)})).collect();
    (one["parents"], one["message"]) = (json!({"nodes": parents}), message.into());
    one
}

#[tokio::test]
async fn before_the_first_known_push_each_commit_of_the_line_counts_with_what_it_merged() {
    let mut all = repository(0, 0);
    all.commits = vec![
        commit_of(6, &[5], "Sixth"),
        commit_of(5, &[2, 4], "Merge pull request #7 from o/topic\n\nThe topic"),
        commit_of(4, &[3], "Fourth"),
        commit_of(3, &[1], "Third"),
        commit_of(2, &[1], "Second"),
        commit_of(1, &[0], "First"),
        commit_of(0, &[], "Zeroth"),
    ];
    all.activities = vec![json!({
        "before": oid(5), "after": oid(6), "ref": "refs/heads/main", "timestamp": time(6), "activity_type": "push",
        "actor": {"login": "mona", "id": 7, "type": "User"},
    })];
    let ids = async |all: Repository| {
        let desk = Desk::of(vec![all]).await;
        desk.fake.world().page = 2;
        desk.reads(&["o/r"]).await;
        let ledger = Connection::open(desk.ledger()).unwrap();
        let mut query = ledger.prepare("SELECT id FROM contributions ORDER BY id").unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<String>>()
    };
    let push = |after: usize, by: usize| format!("github:42:push:{}:{}", oid(after), login(by));
    let landed = |by: usize| format!("github:42:pull_request:7:{}", login(by));
    let mut expected = vec![landed(4), landed(3), push(0, 0), push(1, 1), push(2, 2), push(6, 6)];
    expected.sort();
    assert_eq!(ids(all.clone()).await, expected);
    // The push that created the branch brought all that is older.
    all.activities.push(json!({
        "before": "0".repeat(40), "after": oid(5), "ref": "refs/heads/main", "timestamp": time(5),
        "activity_type": "branch_creation", "actor": {"login": "mona", "id": 7, "type": "User"},
    }));
    // What is listed before the merge commit is what it lands.
    let mut expected = vec![landed(4), landed(3), landed(2), push(6, 6)];
    expected.sort();
    assert_eq!(ids(all).await, expected);
}

#[tokio::test]
async fn where_every_branch_counts_it_says_that_pushes_are_not_read_and_reads_what_they_landed() {
    let mut all = repository(0, 0);
    all.commits = vec![
        commit_of(3, &[1, 2], "Merge pull request #7 from o/topic\n\nThe topic"),
        commit_of(2, &[1], "Second"),
        commit_of(1, &[0], "First"),
        commit_of(0, &[], "Zeroth"),
    ];
    let desk = Desk::of(vec![all]).await;
    let output = desk.command(&["o/r"]).env("PLAUDIT_BRANCHES", "all").output().await.unwrap();
    let (out, err) = texts(&output);
    assert!(out.starts_with("o/r: 1 counted, 0 known before, 0 ignored"), "{out}");
    assert!(
        err.starts_with("pushes are not read, only what they landed: with PLAUDIT_BRANCHES=all "),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    plaudit.get(&format!("/v1/contributions/github:42:pull_request:7:{}", login(2))).await.expect(200);
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_it_shows_how_far_it_is_and_the_time_left() {
    if !at_hand("the progress of a backfill", &["script"]) {
        return;
    }
    let desk = Desk::of(vec![repository(150, 9)]).await;
    let store = format!("sqlite:{}", desk.ledger().display());
    let settings = [
        ("PLAUDIT_STORE", store.as_str()),
        ("PLAUDIT_GITHUB_API", &desk.fake.url),
        ("PLAUDIT_GITHUB_TOKEN", HOST_TOKEN),
    ];
    let output = tokio::task::block_in_place(|| on_terminal(&["backfill", "github", "o/r"], &settings));
    assert_eq!(output.code, Some(0), "{}", output.out);
    for words in [
        "o/r pull_requests: 100 of 150, ",
        " a second, ",
        "s left",
        "o/r commits: 9 of 9",
        "o/r: 309 counted",
    ] {
        assert!(output.out.contains(words), "{words} is missing: {}", output.out);
    }
}
