//! `plaudit backfill gitlab`: what it reads, its limits and what it says, against a GitLab of the tests' own.

use std::process::{Output, Stdio};
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::limits::peak;
use crate::support::fake_gitlab_history::{FakeGitlabHistory, World};
use crate::support::fake_hooks::HOST_TOKEN;
use crate::support::fake_server::{Reaction, refusal};
use crate::support::{Environment, Plaudit, fixture, in_the_end};

const PROJECT: u64 = 42;
const BASE: &str = "https://gitlab.com";
const MIB: usize = 1024 * 1024;

fn time(second: i64) -> String {
    (chrono::DateTime::from_timestamp(1_740_816_000, 0).unwrap() + TimeDelta::seconds(second))
        .format("%Y-%m-%dT%H:%M:%S.250Z")
        .to_string()
}

/// Somebody of three, by number and login.
fn author(number: u64) -> Value {
    let logins = ["mona", "lisa", "tove"];
    json!({"id": 7 + number % 3, "username": logins[usize::try_from(number % 3).unwrap()]})
}

fn item(page: &str, iid: u64) -> Value {
    let at = time(i64::try_from(iid).unwrap());
    json!({
        "iid": iid, "title": format!("Number {iid}"), "web_url": format!("{BASE}/g/p/-/{page}/{iid}"), "labels": [],
        "created_at": at, "updated_at": at, "author": author(iid), "draft": false, "merged_at": null,
        "state": "opened", "confidential": false,
    })
}

fn sha(number: u64) -> String {
    format!("{:040x}", number + 1)
}

/// The commits `0..count` of Mona, newest first, in one line.
fn commits(count: u64) -> Vec<Value> {
    let commit = |number: u64| {
        let parents: Vec<_> = number.checked_sub(1).map(sha).into_iter().collect();
        json!({
            "id": sha(number), "parent_ids": parents, "message": format!("Commit {number}"),
            "committed_date": time(i64::try_from(number).unwrap()), "author_name": "Mona",
            "author_email": "7-mona@users.noreply.gitlab.com",
            "web_url": format!("{BASE}/g/p/-/commit/{}", sha(number)),
        })
    };
    (0..count).rev().map(commit).collect()
}

fn push(from: u64, to: u64) -> Value {
    json!({
        "created_at": time(i64::try_from(to).unwrap()), "action_name": "pushed to",
        "author": {"id": 7, "username": "mona", "name": "Mona"},
        "push_data": {"action": "pushed", "ref_type": "branch", "ref": "main", "commit_from": sha(from), "commit_to": sha(to)},
    })
}

/// `g/p` with so many of everything, and two pushes of three commits each.
fn project(items: u64, commit_count: u64) -> World {
    let mut world = World::default();
    world.add_project(PROJECT, "g/p", BASE, "public");
    *world.list(PROJECT, "merge_requests") = (1..=items).map(|iid| item("merge_requests", iid)).collect();
    *world.list(PROJECT, "issues") = (1..=items).map(|iid| item("issues", iid)).collect();
    *world.list(PROJECT, "repository/commits") = commits(commit_count);
    if commit_count > 6 {
        let [first, second, third] = [7, 4, 1].map(|before| commit_count - before);
        *world.list(PROJECT, "events") = vec![push(second, third), push(first, second)];
    }
    world
}

/// A ledger, and a GitLab.
struct Desk {
    fake: FakeGitlabHistory,
    folder: Arc<tempfile::TempDir>,
}

impl Desk {
    async fn of(world: World) -> Self {
        let fake = FakeGitlabHistory::of(world).await;
        Self { fake, folder: Arc::new(tempfile::tempdir().unwrap()) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let environment = Environment::in_folder(&self.folder)
            .with("PLAUDIT_GITLAB_API", self.fake.api())
            .with("PLAUDIT_GITLAB_TOKEN", HOST_TOKEN);
        let mut command: Command = environment.command().into();
        command.args(["backfill", "gitlab"]).args(arguments).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        in_the_end("the end of the backfill", self.command(arguments).output()).await.unwrap()
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
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_gitlab_projects_history_counts_and_nothing_of_it_is_announced() {
    let desk = Desk::of(project(150, 9)).await;
    let (out, err) = desk.reads(&["g/p"]).await;
    // The project, two pages each of merge requests and issues, one each of commits and events; three commits came
    // before the pushes that are known.
    assert_eq!(out, "g/p: 305 counted, 0 known before, 0 ignored, 7 API calls");
    assert_eq!(err, "");
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    assert_eq!(plaudit.tallies().await.values().sum::<u64>(), 305);
    assert_eq!(plaudit.drain().await["recognized"], 0);
    assert_eq!(plaudit.recognitions().await, [""; 0]);
    let one = plaudit.get("/v1/contributions/gitlab:42:pull_request:4:lisa").await.expect(200).json();
    assert_eq!((&one["title"], &one["occurred_at"]), (&json!("Number 4"), &json!("2025-03-01T08:00:04Z")));
    let push = plaudit.get(&format!("/v1/contributions/gitlab:42:push:{}:mona", sha(8))).await;
    push.expect(200);
    plaudit.stop().await;
    let (out, _) = desk.reads(&["g/p", "--again"]).await;
    assert_eq!(out, "g/p: 0 counted, 305 known before, 0 ignored, 7 API calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_history_of_gitlab_takes_as_many_calls_as_it_has_pages_and_no_memory_for_each() {
    let mut world = project(5_000, 20_001);
    let ends: Vec<u64> = (2..20_001).step_by(3).collect();
    *world.list(PROJECT, "events") = ends.windows(2).rev().map(|pair| push(pair[0], pair[1])).collect();
    let pushes = world.list(PROJECT, "events").len();
    // Whose commit this is, only the pusher's public address says, which takes one request.
    let newest = &mut world.list(PROJECT, "repository/commits")[0];
    (newest["author_name"], newest["author_email"]) = ("M. at home".into(), "mona@home.example".into());
    world.things.insert("users/7".into(), json!({"id": 7, "public_email": "mona@home.example"}));
    let desk = Desk::of(world).await;
    let pages = 50 + 50 + 201 + pushes.div_ceil(100);
    assert_eq!(pages, 368);
    // Held are an early page of merge requests, the first of commits after the pushes, two between, and the last.
    let (first, last) = (1 + 100 + 1 + 67 + 5, pages + 1);
    let mut sent = 0;
    for held in [50, first, 240, 300, last] {
        desk.fake.next((sent..held).map(|_| Reaction::Pass).chain([Reaction::Hold]));
        sent = held + 1;
    }
    let child = desk.command(&["g/p"]).spawn().unwrap();
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
        // One for each push, and for each of the three commits before them.
        format!("g/p: {} counted, 0 known before, 0 ignored, {calls} API calls", 10_000 + pushes + 3),
        "{err}"
    );
    assert!(calls <= pages + pages / 100, "{calls} calls for {pages} pages");
    let grown = peaks[4].saturating_sub(peaks[1]);
    assert!(grown < 8 * MIB, "{} MiB at first, {} MiB more at the end", peaks[1] / MIB, grown / MIB);
    assert!(peaks[4] < 100 * MIB, "{} MiB", peaks[4] / MIB);
}

#[tokio::test]
async fn a_merge_request_that_arrived_is_the_same_to_the_byte_when_it_is_read() {
    let mut ledgers = Vec::new();
    for read in [false, true] {
        let mut world = World::default();
        world.add_project(70_010_042, "harbour-lights/tide-clock", BASE, "public");
        world.list(70_010_042, "merge_requests").push(json!({
            "iid": 11, "title": "Wind the clock at midnight", "state": "opened", "labels": [], "draft": false,
            "web_url": format!("{BASE}/harbour-lights/tide-clock/-/merge_requests/11"), "merged_at": null,
            "created_at": "2025-09-02T07:00:00.250Z", "updated_at": "2025-09-02T07:00:00.250Z",
            "author": {"id": 31_400_101, "username": "tomasz-wrenfield"},
        }));
        let desk = Desk::of(world).await;
        if read {
            desk.reads(&["harbour-lights/tide-clock"]).await;
        }
        let plaudit = Plaudit::beside(&desk.folder, &[]).await;
        if !read {
            let body = fixture("gitlab/merge_request.open.json");
            plaudit.gitlab("Merge Request Hook", &body).await.expect(200);
        }
        plaudit.stop().await;
        let ledger = rusqlite::Connection::open(desk.folder.path().join("plaudit.db")).unwrap();
        let sql = "SELECT * FROM contributions";
        let mut query = ledger.prepare(sql).unwrap();
        let names: Vec<_> = query.column_names().map(str::to_owned).collect();
        let row = query.query_row([], |row| {
            let cell = |at| row.get::<_, rusqlite::types::Value>(at);
            (0..names.len()).map(cell).collect::<Result<Vec<_>, _>>()
        });
        let recorded = |name: &str| name.starts_with("recorded") || name == "seq";
        let row: Vec<_> = names.into_iter().zip(row.unwrap()).filter(|(name, _)| !recorded(name)).collect();
        ledgers.push(row);
    }
    assert_eq!(ledgers[0], ledgers[1]);
}

#[tokio::test]
async fn a_label_that_was_set_after_the_merge_takes_it_back_and_one_of_before_does_not() {
    let mut world = project(3, 0);
    for (at, set_at) in [(0, 50), (1, 5)] {
        let merged = &mut world.list(PROJECT, "merge_requests")[at];
        (merged["merged_at"], merged["state"]) = (time(20).into(), "merged".into());
        (merged["labels"], merged["updated_at"]) = (json!(["spam"]), time(60).into());
        let set = json!({"created_at": time(set_at), "action": "add", "label": {"name": "spam"}});
        world.list(PROJECT, &format!("merge_requests/{}/resource_label_events", at + 1)).push(set);
    }
    // One that is not merged.
    world.list(PROJECT, "merge_requests")[2]["labels"] = json!(["spam"]);
    let desk = Desk::of(world).await;
    desk.reads(&["g/p"]).await;
    let plaudit = Plaudit::beside(&desk.folder, &[("PLAUDIT_COUNT", "pull_request")]).await;
    let counted = |iid: u64| format!("/v1/contributors/gitlab:{}", author(iid)["username"].as_str().unwrap());
    let mut tallies = Vec::new();
    for iid in 1..=3 {
        let of = plaudit.all(&format!("{}/contributions?kind=pull_request", counted(iid))).await;
        tallies.push(of.len());
    }
    assert_eq!(tallies, [0, 1, 0]);
    plaudit.stop().await;
}

#[tokio::test]
async fn drafts_and_confidential_issues_are_read_as_they_arrive() {
    let mut world = project(2, 0);
    world.list(PROJECT, "merge_requests")[0]["draft"] = true.into();
    world.list(PROJECT, "issues")[0]["confidential"] = true.into();
    let desk = Desk::of(world).await;
    let (out, _) = desk.reads(&["g/p"]).await;
    assert_eq!(out, "g/p: 3 counted, 0 known before, 1 ignored (draft 1), 5 API calls");
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    let issue = plaudit.get("/v1/contributions/gitlab:42:issue:1").await.expect(200).json();
    assert_eq!(issue["private"], true);
    plaudit.stop().await;
}

#[tokio::test]
async fn of_a_group_every_project_is_read_but_forks_only_where_they_count() {
    let mut world = project(1, 0);
    world.add_project(43, "g/sub/q", BASE, "private");
    world.add_project(44, "g/fork", BASE, "public");
    for id in [43, 44] {
        *world.list(id, "issues") = vec![item("issues", 1)];
    }
    let mut projects: Vec<_> =
        ["g/p", "g/sub/q", "g/fork"].map(|path| world.things[&format!("projects/{path}")].clone()).into();
    projects[2]["forked_from_project"] = json!({"id": 1});
    world.lists.insert("groups/g/projects".into(), projects);
    world.lists.insert("users/mona/projects".into(), vec![world.things["projects/g/p"].clone()]);
    let desk = Desk::of(world).await;
    let (out, _) = desk.reads(&["g", "--dry-run"]).await;
    assert!(out.starts_with("g: 3 counted, 0 known before, 0 ignored"), "{out}");
    let asked = desk.fake.world().requests.join(" ");
    assert!(asked.contains("groups/g/projects?include_subgroups=true") && !asked.contains("/44/"), "{asked}");
    let (out, _) = desk.reads(&["mona"]).await;
    assert!(out.starts_with("mona: 2 counted"), "{out}");
}

#[tokio::test]
async fn gitlabs_limits_failures_and_cut_connections_are_waited_for_and_nothing_is_lost() {
    let desk = Desk::of(project(150, 9)).await;
    let soon = (Utc::now() + TimeDelta::seconds(2)).timestamp().to_string();
    let used_up = vec![("ratelimit-remaining", "0".to_owned()), ("ratelimit-reset", soon)];
    desk.fake.next([
        Reaction::Pass,
        refusal(429, &[("retry-after", "1".into())], "Too many requests"),
        refusal(502, &[], "Bad Gateway"),
        Reaction::Cut,
        Reaction::Pass,
        refusal(429, &used_up, "Too many requests"),
    ]);
    let (out, err) = desk.reads(&["g/p"]).await;
    assert_eq!(out, "g/p: 305 counted, 0 known before, 0 ignored, 11 API calls");
    assert!(err.contains("GitLab's rate limit is used up; waiting 1 s"), "{err}");
    assert!(err.contains("GitLab answers 502: Bad Gateway; waiting"), "{err}");
    assert!(err.contains("does not answer"), "{err}");
}

#[tokio::test]
async fn a_wrong_gitlab_token_name_or_permission_is_one_line_that_says_what_to_do() {
    let desk = Desk::of(project(1, 1)).await;
    let unknown = desk.fails(&["g/nothing"], 1).await;
    assert!(unknown.contains("GitLab knows no g/nothing that this token can see"), "{unknown}");
    assert!(desk.fails(&["g//p"], 2).await.contains("is neither a group nor a project"));
    desk.fake.next([refusal(401, &[], "401 Unauthorized")]);
    let expired = desk.fails(&["g/p"], 1).await;
    assert!(expired.contains("wrong or expired; set PLAUDIT_GITLAB_TOKEN to another"), "{expired}");
    desk.fake.next([Reaction::Pass, refusal(403, &[], "insufficient_scope")]);
    let narrow = desk.fails(&["g/p"], 1).await;
    assert!(narrow.contains("may not read all of g/p") && narrow.contains("read_api"), "{narrow}");
}

#[tokio::test]
async fn where_every_branch_of_gitlab_counts_it_says_that_pushes_are_not_read() {
    let desk = Desk::of(project(2, 9)).await;
    let output = desk.command(&["g/p"]).env("PLAUDIT_BRANCHES", "all").output().await.unwrap();
    let (out, err) = texts(&output);
    assert!(out.starts_with("g/p: 4 counted, 0 known before, 0 ignored"), "{out}");
    assert!(err.starts_with("pushes are not read, only what they landed: "), "{err}");
}

#[tokio::test]
async fn what_has_changed_since_a_time_is_read_alone() {
    let desk = Desk::of(project(9, 9)).await;
    let since = time(7).replace(".250Z", "Z");
    let (out, _) = desk.reads(&["g/p", "--since", &since]).await;
    // Three merge requests, three issues, and the push of the last three commits.
    assert!(out.starts_with("g/p: 7 counted, 0 known before"), "{out}");
}

#[tokio::test]
async fn of_a_push_the_newest_twenty_commits_are_judged_and_a_public_address_tells_the_pusher() {
    let mut world = project(0, 30);
    // One push of 25 commits: of the oldest five, and of one commit of the twenty that a payload lists.
    *world.list(PROJECT, "events") = vec![push(4, 29), push(3, 4)];
    for (number, name, email) in [
        (6, "Lisa", "8-lisa@users.noreply.gitlab.com"),
        (12, "Tove", "9-tove@users.noreply.gitlab.com"),
        (29, "M. at home", "mona@home.example"),
    ] {
        let commit = &mut world.list(PROJECT, "repository/commits")[29 - number];
        (commit["author_name"], commit["author_email"]) = (name.into(), email.into());
    }
    world.things.insert("users/7".into(), json!({"id": 7, "public_email": "Mona@home.example"}));
    let desk = Desk::of(world).await;
    desk.reads(&["g/p"]).await;
    let plaudit = Plaudit::beside(&desk.folder, &[]).await;
    let counted = |who: &str| format!("/v1/contributions/gitlab:42:push:{}:{who}", sha(29));
    plaudit.get(&counted("lisa")).await.expect(404);
    plaudit.get(&counted("tove")).await.expect(200);
    let page = plaudit.get(&counted("mona")).await.expect(200).json()["url"].clone();
    assert_eq!(page, format!("{BASE}/g/p/-/commit/{}", sha(29)));
    plaudit.stop().await;
}
