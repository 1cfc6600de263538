//! No wrong thank-you: whole little histories, each made from a seed, against an oracle that knows who really
//! did what. `PLAUDIT_HISTORIES=10000` lets so many happen, and a tenth of them on Firestore;
//! `PLAUDIT_HISTORY_SEED=N` replays one.

mod api;
mod backfill;
mod drive;
mod github;
mod gitlab;
mod gitlab_api;
mod gitlab_backfill;
mod oracle;
mod story;
mod world;

mod examples;

use std::collections::BTreeMap;
use std::sync::Arc;

use drive::{Instance, Outcome};
use futures::StreamExt as _;
use world::{Rules, World};

use crate::support::emulators;

/// How many histories happen on an ordinary day.
const ON_SQLITE: u64 = 200;
const ON_FIRESTORE: u64 = 20;
const IN_TWO_ORDERS: u64 = 40;

/// How many happen at once. Each has its own people and repositories.
const AT_ONCE: usize = 8;

/// The rules of the instance that a seed's history meets.
fn rules_of(seed: u64) -> (usize, Rules) {
    let default = Rules::DEFAULT;
    match seed % 10 {
        0..5 => (0, default),
        5 | 6 => (1, Rules { merged_only: true, ..default }),
        7 => (2, Rules { all_branches: true, milestones: &[1, 4], ..default }),
        8 => (3, Rules { counts: &["push", "issue"], ..default }),
        _ => (4, Rules { counts: &["pull_request"], ..default }),
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// The seeds of a run, by the rules that they meet.
fn seeds(ordinarily: u64) -> BTreeMap<usize, Vec<u64>> {
    let seeds = match variable("PLAUDIT_HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..ordinarily,
    };
    let mut by_rules: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for seed in seeds {
        by_rules.entry(rules_of(seed).0).or_default().push(seed);
    }
    by_rules
}

async fn live_all(instance: &Arc<Instance>, seeds: &[u64]) -> Vec<Outcome> {
    let live = |seed: u64| {
        let instance = Arc::clone(instance);
        tokio::spawn(async move {
            let world = World::of(seed, seed, &rules_of(seed).1);
            instance.live(&world, 0).await
        })
    };
    let outcomes = futures::stream::iter(seeds.iter().copied()).map(live).buffer_unordered(AT_ONCE);
    outcomes.map(Result::unwrap).collect().await
}

async fn run(seeds: BTreeMap<usize, Vec<u64>>, settings: impl Fn() -> Vec<(&'static str, String)>) {
    let mut all = Vec::new();
    for seeds in seeds.values() {
        let settings = settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let instance = Arc::new(Instance::start(rules_of(seeds[0]).1, &settings).await);
        let outcomes = live_all(&instance, seeds).await;
        if outcomes.iter().all(Outcome::is_right) {
            instance.nobody_else(&outcomes).await;
        }
        all.extend(outcomes);
        Arc::into_inner(instance).unwrap().stop().await;
    }
    drive::all_right(&all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_history_ends_as_the_oracle_says_on_sqlite() {
    run(seeds(variable("PLAUDIT_HISTORIES").unwrap_or(ON_SQLITE)), Vec::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_history_ends_as_the_oracle_says_on_firestore() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let settings = || {
        let store = format!("firestore:{}", emulators::fresh_project());
        vec![("PLAUDIT_STORE", store), ("FIRESTORE_EMULATOR_HOST", host.to_owned())]
    };
    run(seeds(variable("PLAUDIT_HISTORIES").map_or(ON_FIRESTORE, |all| all / 10)), settings).await;
}

/// The same history under two marks, its deliveries in two orders, with other repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_and_any_repetition_give_the_same_ledger() {
    for seeds in seeds(IN_TWO_ORDERS).values() {
        let rules = rules_of(seeds[0]).1;
        let instance = Instance::start(rules, &[]).await;
        for &seed in seeds {
            let mut ledgers = Vec::new();
            for order in 1..=2 {
                let world = World::of(seed, 2 * seed + order, &rules);
                let outcome = instance.live(&world, order).await;
                ledgers.push(drive::without_marks(&world, &outcome));
            }
            assert_eq!(ledgers[0], ledgers[1], "PLAUDIT_HISTORY_SEED={seed} replays it");
        }
        instance.stop().await;
    }
}
