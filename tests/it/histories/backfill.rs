//! History read through GitHub's API and live deliveries of the same history end in the same ledger.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;

use super::api::home;
use super::drive::{Instance, deliveries};
use super::rules_of;
use super::world::{Host, Place, Rules, What, World};
use crate::support::fake_history::FakeHistory;
use crate::support::fake_hooks::HOST_TOKEN;
use crate::support::fake_server::Reaction;
use crate::support::{emulators, in_the_end};

/// How many histories are read.
const HISTORIES: usize = 16;

/// How much a page has here, so that a small history has several.
const PAGE: usize = 3;

/// How a history reaches a ledger: `true` for what is read, and up to which event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Live,
    Read,
    LiveThenRead,
    ReadThenLive,
    /// What happened up to here is read, and the rest arrives.
    Split,
    AtOnce,
}

/// The histories of GitHub that an API can tell: without pushes to other branches that count, and without the address
/// of who pushed, which only a payload has.
fn worlds() -> Vec<(World, Rules)> {
    told(false).take(HISTORIES).collect()
}

/// The same, with pushes to other branches that count, or without.
fn told(all_branches: bool) -> impl Iterator<Item = (World, Rules)> {
    (0..).filter_map(move |seed| {
        let rules = rules_of(seed).1;
        let mut world = World::of(seed, seed, &rules);
        for event in &mut world.events {
            if let What::Push(push) = &mut event.what {
                push.shown = None;
            }
        }
        let fits = world.site.host == Host::GitHub && rules.all_branches == all_branches;
        fits.then_some((world, rules))
    })
}

/// What counts in the ledger of the history's home, without the times of recording.
async fn held(instance: &Instance, world: &World, rules: &Rules) -> BTreeMap<String, Value> {
    let home = format!("{}:{}:", world.site.name, world.repository_id(Place::Home));
    let mut held = BTreeMap::new();
    for who in instance.plaudit.tallies().await.keys() {
        let path = format!("/v1/contributors/{}/contributions?limit=100", who.replace('/', "%2F"));
        for mut one in instance.plaudit.all(&path).await {
            let id = one["id"].as_str().unwrap().to_owned();
            one.as_object_mut().unwrap().remove("recorded_at").unwrap();
            // Of a push and the event of the merge, the first that arrives has the title and the time.
            if rules.merged_only && one["kind"] == "pull_request" {
                (one["title"], one["occurred_at"]) = (Value::Null, Value::Null);
            }
            if id.starts_with(&home) {
                held.insert(id, one);
            }
        }
    }
    held
}

/// What a ledger's file holds beside that: of each contribution that counts the account's id and when it landed.
fn kept(instance: &Instance, world: &World, rules: &Rules) -> Vec<Vec<Cell>> {
    let ledger = Connection::open(instance.plaudit.database()).unwrap();
    // And of these two the event alone has the account's id.
    let user_id = if rules.merged_only { "NULL" } else { "c.user_id" };
    let sql = "SELECT c.id, c.contributor, USER_ID, landed_at, account_url
               FROM contributions c JOIN contributors p ON p.id = c.contributor
               WHERE NOT retracted AND c.id LIKE ?1 ORDER BY c.id";
    let mut query = ledger.prepare(&sql.replace("USER_ID", user_id)).unwrap();
    let home = format!("{}:{}:%", world.site.name, world.repository_id(Place::Home));
    let rows = query.query_map([home], |row| (0..5).map(|column| row.get(column)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The command that reads the home's history into the ledger of an instance.
fn backfill(instance: &Instance, fake: &FakeHistory, world: &World) -> tokio::process::Command {
    let mut command: tokio::process::Command = instance.plaudit.same_settings().command().into();
    command.env("PLAUDIT_GITHUB_API", &fake.url).env("PLAUDIT_GITHUB_TOKEN", HOST_TOKEN);
    command.args(["backfill", "github", &world.full_name(Place::Home)]).kill_on_drop(true);
    command
}

/// Reads the history to its end, and returns what the command says.
async fn read(instance: &Instance, fake: &FakeHistory, world: &World) -> String {
    let output = backfill(instance, fake, world).output();
    let output = in_the_end("the end of the backfill", output).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    out.into_owned()
}

/// Lets the history reach the ledger that way.
async fn go(instance: &Instance, world: &World, way: Way) {
    let all = world.events.len();
    let split = all / 2;
    let upto = if way == Way::Split { split } else { all };
    let fake = FakeHistory::start(vec![home(world, &world.events[..upto])]).await;
    fake.world().page = PAGE;
    match way {
        Way::Live => arrive(instance, world, 0).await,
        Way::Read => drop(read(instance, &fake, world).await),
        Way::LiveThenRead => {
            arrive(instance, world, 0).await;
            read(instance, &fake, world).await;
        }
        Way::ReadThenLive => {
            read(instance, &fake, world).await;
            arrive(instance, world, 0).await;
        }
        Way::Split => {
            read(instance, &fake, world).await;
            arrive(instance, world, split).await;
        }
        Way::AtOnce => drop(tokio::join!(arrive(instance, world, 0), read(instance, &fake, world))),
    }
}

/// Sends the deliveries from that event on, as things happened.
async fn arrive(instance: &Instance, world: &World, from: usize) {
    for delivery in &deliveries(world)[from..] {
        instance.plaudit.github(delivery.event, &delivery.body).await.expect(200);
    }
}

/// The ledgers of every way, by the history.
async fn agree(worlds: &[(World, Rules)], ways: &[Way], settings: &[(&str, &str)]) {
    for (world, rules) in worlds {
        let mut ledgers = Vec::new();
        for way in ways {
            let instance = Instance::start(*rules, settings).await;
            go(&instance, world, *way).await;
            let rows = if settings.is_empty() { kept(&instance, world, rules) } else { Vec::new() };
            ledgers.push((*way, held(&instance, world, rules).await, rows));
            instance.stop().await;
        }
        let (_, right, right_rows) = &ledgers[0];
        for (way, held, rows) in &ledgers[1..] {
            let differ = |id: &&String| right.get(*id) != held.get(*id);
            let ids: BTreeSet<_> = right.keys().chain(held.keys()).filter(differ).collect();
            let differences: Vec<_> = ids.iter().map(|id| (right.get(*id), held.get(*id))).collect();
            assert!(differences.is_empty(), "{way:?}, right and found: {differences:#?}\n{world}");
            assert_eq!(right_rows, rows, "{way:?}\n{world}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_read_and_every_split_between_them_end_in_one_ledger_on_sqlite() {
    use Way::{AtOnce, Live, LiveThenRead, Read, ReadThenLive, Split};
    agree(&worlds(), &[Live, Read, LiveThenRead, ReadThenLive, Split, AtOnce], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_every_branch_counts_what_landed_is_read_and_no_push_is() {
    let mut landed = 0;
    for (world, rules) in told(true).take(8) {
        let mut ledgers = Vec::new();
        for way in [Way::Live, Way::Read, Way::LiveThenRead, Way::ReadThenLive] {
            let instance = Instance::start(rules, &[]).await;
            go(&instance, &world, way).await;
            ledgers.push(held(&instance, &world, &rules).await);
            instance.stop().await;
        }
        let [live, read, both @ ..] = &ledgers[..] else { panic!() };
        for both in both {
            assert_eq!(both, live, "{world}");
        }
        let is_push = |id: &String| id.contains(":push:");
        let known: BTreeMap<_, _> = live.clone().into_iter().filter(|(id, _)| !is_push(id)).collect();
        assert!(live.keys().any(is_push), "{world}");
        assert_eq!(*read, known, "{world}");
        landed += known.len();
    }
    assert!(landed > 20, "{landed} are no pushes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_read_and_both_at_once_end_in_one_ledger_on_firestore() {
    let Some(host) = emulators::firestore() else { return };
    for world in worlds().into_iter().take(3) {
        for way in [Way::Read, Way::AtOnce] {
            let (one, other) = (emulators::fresh_project(), emulators::fresh_project());
            let mut held_by = Vec::new();
            for (project, way) in [(one, Way::Live), (other, way)] {
                let store = format!("firestore:{project}");
                let instance =
                    Instance::start(world.1, &[("PLAUDIT_STORE", &store), ("FIRESTORE_EMULATOR_HOST", host)])
                        .await;
                go(&instance, &world.0, way).await;
                held_by.push(held(&instance, &world.0, &world.1).await);
                instance.stop().await;
            }
            assert_eq!(held_by[0], held_by[1], "{way:?} of seed {}", world.0.seed);
        }
    }
}

/// Reads a history in runs of which each is killed a request later than the one before; the last one comes to its end.
async fn read_in_pieces(instance: &Instance, world: &World) -> usize {
    let fake = FakeHistory::start(vec![home(world, &world.events)]).await;
    fake.world().page = 2;
    for requests in 0.. {
        fake.forget_the_rest();
        fake.next((0..requests).map(|_| Reaction::Pass).chain([Reaction::Hold]));
        let mut child = backfill(instance, &fake, world).stdout(std::process::Stdio::null()).spawn().unwrap();
        tokio::select! {
            () = fake.held() => {}
            status = child.wait() => {
                assert!(status.unwrap().success());
                return requests;
            }
        }
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        fake.let_go();
    }
    unreachable!("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_is_killed_at_every_request_loses_and_doubles_nothing() {
    let mut killed = 0;
    for (world, rules) in worlds().into_iter().take(5) {
        let mut ledgers = Vec::new();
        for in_pieces in [false, true] {
            let instance = Instance::start(rules, &[]).await;
            if in_pieces {
                killed += read_in_pieces(&instance, &world).await;
            } else {
                go(&instance, &world, Way::Read).await;
            }
            ledgers.push((held(&instance, &world, &rules).await, kept(&instance, &world, &rules)));
            instance.stop().await;
        }
        assert_eq!(ledgers[0], ledgers[1], "{world}");
    }
    assert!(killed > 30, "{killed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_a_time_the_pushes_of_that_time_are_read_and_no_older_ones() {
    for (world, rules) in worlds().into_iter().take(6) {
        let mut pushes = Vec::new();
        let since = world.events[world.events.len() / 2].at;
        let afters: BTreeSet<_> = world
            .events
            .iter()
            .filter(|event| event.at >= since)
            .filter_map(|event| match &event.what {
                What::Push(push) if event.place == Place::Home => Some(push.after.clone()),
                _ => None,
            })
            .collect();
        let since = super::github::time(since);
        for arguments in [&[][..], &["--since", &since]] {
            let fake = FakeHistory::start(vec![home(&world, &world.events)]).await;
            fake.world().page = PAGE;
            let instance = Instance::start(rules, &[]).await;
            let output = backfill(&instance, &fake, &world).args(arguments).output();
            assert!(in_the_end("the end of the backfill", output).await.unwrap().status.success());
            let ids = held(&instance, &world, &rules).await.into_keys();
            pushes.push(ids.filter(|id| id.contains(":push:")).collect::<BTreeSet<_>>());
            instance.stop().await;
        }
        let newer = |id: &&String| afters.contains(id.split(':').rev().nth(1).unwrap());
        let expected: BTreeSet<_> = pushes[0].iter().filter(newer).cloned().collect();
        assert_eq!(pushes[1], expected, "{world}");
    }
}
