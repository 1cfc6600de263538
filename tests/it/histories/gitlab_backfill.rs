//! History read through GitLab's API and live deliveries of the same history end in the same ledger, in either order.
//! GitLab's payloads name the author of a merge request or an issue only if the author acts, and the API always does: so
//! what is read has all that arrived, and more.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use super::drive::{Instance, deliveries};
use super::gitlab_api::home;
use super::rules_of;
use super::world::{Action, Host, Place, Rules, What, World};
use crate::support::fake_gitlab_history::FakeGitlabHistory;
use crate::support::fake_hooks::HOST_TOKEN;
use crate::support::fake_server::Reaction;
use crate::support::{emulators, in_the_end};

const HISTORIES: usize = 12;
/// How much a page has here, so that a small history has several.
const PAGE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Live,
    Read,
    LiveThenRead,
    ReadThenLive,
    AtOnce,
}

/// The histories of GitLab that an API can tell: without pushes to other branches that count, without the address of who
/// pushed, which only a payload has, and without deleted issues.
fn worlds() -> Vec<(World, Rules)> {
    readable(false).take(HISTORIES).collect()
}

/// The same, with pushes to other branches that count, or without.
fn readable(all_branches: bool) -> impl Iterator<Item = (World, Rules)> {
    (0..).filter_map(move |seed| {
        let rules = rules_of(seed).1;
        let mut world = World::of(seed, seed, &rules);
        for event in &mut world.events {
            if let What::Push(push) = &mut event.what {
                push.shown = None;
            }
        }
        let deleted = |what: &What| matches!(what, What::Item(item) if item.action == Action::Deleted);
        let is_readable =
            rules.all_branches == all_branches && !world.events.iter().any(|event| deleted(&event.what));
        (world.site.host == Host::GitLab && is_readable).then_some((world, rules))
    })
}

/// What counts in the ledger of the history's home, without the times of recording. Of a part of a merge request, the push
/// that lands it and the merge request itself have a title and a time: the first that is recorded stays.
async fn held(instance: &Instance, world: &World) -> BTreeMap<String, Value> {
    let home = format!("{}:{}:", world.site.name, world.repository_id(Place::Home));
    let mut held = BTreeMap::new();
    for who in instance.plaudit.tallies().await.keys() {
        let path = format!("/v1/contributors/{}/contributions?limit=100", who.replace('/', "%2F"));
        for mut one in instance.plaudit.all(&path).await {
            let id = one["id"].as_str().unwrap().to_owned();
            one.as_object_mut().unwrap().remove("recorded_at").unwrap();
            if one["kind"] == "pull_request" {
                (one["title"], one["occurred_at"]) = (Value::Null, Value::Null);
            }
            if id.starts_with(&home) {
                held.insert(id, one);
            }
        }
    }
    held
}

fn backfill(instance: &Instance, fake: &FakeGitlabHistory, world: &World) -> tokio::process::Command {
    let mut command: tokio::process::Command = instance.plaudit.same_settings().command().into();
    command.env("PLAUDIT_GITLAB_API", fake.api()).env("PLAUDIT_GITLAB_TOKEN", HOST_TOKEN);
    command.args(["backfill", "gitlab", &world.full_name(Place::Home)]).kill_on_drop(true);
    command
}

async fn read(instance: &Instance, world: &World) {
    let fake = FakeGitlabHistory::of(home(world, &world.events)).await;
    fake.world().page = PAGE;
    let output =
        in_the_end("the end of the backfill", backfill(instance, &fake, world).output()).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
}

/// Sends the deliveries, as things happened.
async fn arrive(instance: &Instance, world: &World) {
    for delivery in &deliveries(world) {
        instance.plaudit.gitlab(delivery.event, &delivery.body).await.expect(200);
    }
}

async fn go(instance: &Instance, world: &World, way: Way) {
    match way {
        Way::Live => arrive(instance, world).await,
        Way::Read => read(instance, world).await,
        Way::LiveThenRead => {
            arrive(instance, world).await;
            read(instance, world).await;
        }
        Way::ReadThenLive => {
            read(instance, world).await;
            arrive(instance, world).await;
        }
        Way::AtOnce => drop(tokio::join!(arrive(instance, world), read(instance, world))),
    }
}

async fn ledger(world: &World, rules: Rules, way: Way, settings: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let instance = Instance::start(rules, settings).await;
    go(&instance, world, way).await;
    let held = held(&instance, world).await;
    instance.stop().await;
    held
}

fn missing(small: &BTreeMap<String, Value>, large: &BTreeMap<String, Value>) -> Vec<(Value, Option<Value>)> {
    let differs = |(id, one): &(&String, &Value)| large.get(*id) != Some(one);
    small.iter().filter(differs).map(|(id, one)| (one.clone(), large.get(id).cloned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_from_gitlab_has_all_that_arrives_and_both_orders_end_in_one_ledger_on_sqlite() {
    let (mut arrived, mut found) = (0, 0);
    for (world, rules) in worlds() {
        let mut ledgers = BTreeMap::new();
        for way in [Way::Live, Way::Read, Way::LiveThenRead, Way::ReadThenLive, Way::AtOnce] {
            ledgers.insert(format!("{way:?}"), ledger(&world, rules, way, &[]).await);
        }
        (arrived, found) = (arrived + ledgers["Live"].len(), found + ledgers["Read"].len());
        for other in ["LiveThenRead", "ReadThenLive", "AtOnce"] {
            let (read, both) = (&ledgers["Read"], &ledgers[other]);
            assert_eq!(missing(&ledgers["Live"], both), [], "live, {other}\n{world}");
            assert_eq!(missing(read, both), [], "read, {other}\n{world}");
            assert_eq!(missing(both, read), [], "{other}, read\n{world}");
        }
    }
    assert!(found > arrived && arrived > 50, "{arrived} arrived, {found} were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_every_branch_of_gitlab_counts_what_landed_is_read_and_no_push_is() {
    let mut landed = 0;
    for (world, rules) in readable(true).take(6) {
        let live = ledger(&world, rules, Way::Live, &[]).await;
        let read = ledger(&world, rules, Way::Read, &[]).await;
        let is_push = |id: &String| id.contains(":push:");
        assert!(live.keys().any(is_push) && !read.keys().any(is_push), "{world}");
        for way in [Way::LiveThenRead, Way::ReadThenLive] {
            let both = ledger(&world, rules, way, &[]).await;
            assert_eq!(missing(&live, &both), [], "{way:?}\n{world}");
            let known: BTreeMap<_, _> = both.into_iter().filter(|(id, _)| !is_push(id)).collect();
            assert_eq!(known, read, "{way:?}\n{world}");
        }
        landed += read.len();
    }
    assert!(landed > 15, "{landed} were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_from_gitlab_and_what_arrives_at_once_end_in_one_ledger_on_firestore() {
    let Some(host) = emulators::firestore() else { return };
    for (world, rules) in worlds().into_iter().take(2) {
        let mut ledgers = Vec::new();
        for way in [Way::Read, Way::AtOnce] {
            let store = format!("firestore:{}", emulators::fresh_project());
            let settings = [("PLAUDIT_STORE", store.as_str()), ("FIRESTORE_EMULATOR_HOST", host)];
            ledgers.push(ledger(&world, rules, way, &settings).await);
        }
        assert_eq!(ledgers[0], ledgers[1], "{world}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_of_gitlab_that_is_killed_at_every_request_loses_and_doubles_nothing() {
    let mut killed = 0;
    for (world, rules) in worlds().into_iter().take(2) {
        let whole = ledger(&world, rules, Way::Read, &[]).await;
        let instance = Instance::start(rules, &[]).await;
        let fake = FakeGitlabHistory::of(home(&world, &world.events)).await;
        fake.world().page = 2;
        for requests in 0.. {
            fake.forget_the_rest();
            fake.next((0..requests).map(|_| Reaction::Pass).chain([Reaction::Hold]));
            let mut child = backfill(&instance, &fake, &world).stdout(Stdio::null()).spawn().unwrap();
            tokio::select! {
                () = fake.held() => {}
                status = child.wait() => {
                    assert!(status.unwrap().success());
                    break;
                }
            }
            killed += 1;
            child.start_kill().unwrap();
            child.wait().await.unwrap();
            fake.let_go();
        }
        assert_eq!(held(&instance, &world).await, whole, "{world}");
        instance.stop().await;
    }
    assert!(killed > 10, "{killed}");
}
