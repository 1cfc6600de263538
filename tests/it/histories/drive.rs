//! Sends a history's deliveries through the front door, and holds the ledger against the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use http::Method;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::oracle::{Oracle, Standing};
use super::world::{Host, Rules, World};
use super::{github, gitlab};
use crate::support::{GITHUB_SECRET, GITLAB_TOKEN, Plaudit, TOKEN, github_signature};

/// One delivery's event and body.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) event: &'static str,
    /// Whether GitLab sends the same to the instance's system hooks.
    pub(super) system: bool,
    pub(super) body: String,
}

/// A delivery of the history's event of that number.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) event: usize,
    id: String,
    by_system_hook: bool,
}

/// Everything that the host sends for a history.
pub(super) fn deliveries(world: &World) -> Vec<Delivery> {
    let build = match world.site.host {
        Host::GitHub => github::delivery,
        Host::GitLab => gitlab::delivery,
    };
    world.events.iter().map(|event| build(world, event)).collect()
}

/// What arrives, and in what order: everything once, some of it again, by the same hook or another.
pub(super) fn arrivals(world: &World, order: u64) -> Vec<Arrival> {
    let mut rng = StdRng::seed_from_u64(world.seed ^ order.rotate_left(40) ^ 0x0a11_17a1);
    let mut fresh = |event, by_system_hook| {
        let id = uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string();
        Arrival { event, id, by_system_hook }
    };
    let once: Vec<_> = (0..world.events.len()).map(|event| fresh(event, false)).collect();
    let mut again = Vec::new();
    for (arrival, delivery) in once.iter().zip(deliveries(world)) {
        let by_another_hook = fresh(arrival.event, delivery.system);
        again.push((arrival.clone(), by_another_hook));
    }
    let mut rng = StdRng::seed_from_u64(world.seed ^ order ^ 0x0de1_a7ed);
    let mut all = once;
    match rng.random_range(0..4) {
        // As it happened, but for a few that are late.
        0 => {
            for _ in 0..rng.random_range(0..4) {
                let (from, to) = (rng.random_range(0..all.len()), rng.random_range(0..all.len()));
                let late = all.remove(from);
                all.insert(to.max(from).min(all.len()), late);
            }
        }
        1 => all.reverse(),
        _ => all.shuffle(&mut rng),
    }
    for (redelivered, by_another_hook) in again {
        if rng.random_bool(0.2) {
            all.insert(rng.random_range(0..=all.len()), redelivered);
        }
        if rng.random_bool(0.2) {
            all.insert(rng.random_range(0..=all.len()), by_another_hook);
        }
    }
    all
}

/// The standings that the oracle sees after these arrivals.
pub(super) fn expected(world: &World, rules: &Rules, arrivals: &[Arrival]) -> BTreeMap<String, Standing> {
    let mut oracle = Oracle::new(world, rules);
    for arrival in arrivals {
        oracle.arrives(&world.events[arrival.event]);
    }
    oracle.standings()
}

/// The program under certain rules.
pub(super) struct Instance {
    pub(super) plaudit: Plaudit,
    rules: Rules,
}

impl Instance {
    /// Starts one, on a ledger in a file or where `settings` say.
    pub(super) async fn start(rules: Rules, settings: &[(&str, &str)]) -> Self {
        let milestones: Vec<_> = rules.milestones.iter().map(u64::to_string).collect();
        let (kinds, milestones) = (rules.counts.join(","), milestones.join(","));
        let mut all = vec![
            ("PLAUDIT_API_TOKENS", TOKEN),
            ("PLAUDIT_MILESTONES", &milestones),
            ("PLAUDIT_COUNT", &kinds),
            ("PLAUDIT_BRANCHES", if rules.all_branches { "all" } else { "default" }),
            ("PLAUDIT_PULL_REQUESTS", if rules.merged_only { "merged" } else { "opened" }),
            ("PLAUDIT_CO_AUTHORS", "true"),
            ("PLAUDIT_LOG", "warn"),
        ];
        all.extend(settings);
        Self { plaudit: Plaudit::with(&all).await, rules }
    }

    pub(super) async fn stop(self) {
        self.plaudit.stop().await;
    }

    /// Lets a history happen, and says what the ledger holds that the oracle does not, or lacks.
    pub(super) async fn live(&self, world: &World, order: u64) -> Outcome {
        let arrivals = arrivals(world, order);
        let mut log = world.to_string();
        let sent = deliveries(world);
        for arrival in &arrivals {
            let delivery = &sent[arrival.event];
            let answer = self.send(world.site.host, delivery, arrival).await;
            let _ = writeln!(log, "  arrives: event {} ({}): {answer}", arrival.event, delivery.event);
        }
        self.plaudit.drain().await;
        let expected = expected(world, &self.rules, &arrivals);
        let found = self.standings(world, &expected).await;
        let none = Standing::default();
        let mut differences = String::new();
        for who in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            let (right, got) = (expected.get(who).unwrap_or(&none), found.get(who).unwrap_or(&none));
            if right != got {
                let _ = writeln!(differences, "  {who}\n    right: {right:?}\n    found: {got:?}");
            }
        }
        if differences.is_empty() {
            // Only a failure prints it.
            log = String::new();
        }
        Outcome { seed: world.seed, rules: self.rules, log, differences, found, expected }
    }

    async fn send(&self, host: Host, delivery: &Delivery, arrival: &Arrival) -> String {
        let request = match host {
            Host::GitHub => self
                .plaudit
                .request(Method::POST, "/webhooks/github")
                .header("x-github-event", delivery.event)
                .header("x-github-delivery", &arrival.id)
                .header("x-hub-signature-256", github_signature(GITHUB_SECRET, delivery.body.as_bytes())),
            Host::GitLab => self
                .plaudit
                .request(Method::POST, "/webhooks/gitlab")
                .header("x-gitlab-event", if arrival.by_system_hook { "System Hook" } else { delivery.event })
                .header("x-gitlab-token", GITLAB_TOKEN)
                .header("idempotency-key", &arrival.id),
        };
        let request = request.header("content-type", "application/json").body(delivery.body.clone());
        let answer = self.plaudit.send(request).await;
        if answer.status != 200 {
            return format!("{} {}", answer.status, answer.text);
        }
        let json = answer.json();
        format!("{} {} {}", json["verdict"], json["reason"], json["contributions"])
    }

    /// What the ledger holds of a history's people and machines.
    async fn standings(
        &self,
        world: &World,
        also: &BTreeMap<String, Standing>,
    ) -> BTreeMap<String, Standing> {
        let people = (0..world.people.len()).map(|who| world.contributor(who));
        let people: BTreeSet<_> = people.chain(also.keys().cloned()).collect();
        let mut standings = BTreeMap::new();
        for who in people {
            let standing = self.standing(&who).await;
            if standing != Standing::default() {
                standings.insert(who, standing);
            }
        }
        standings
    }

    async fn standing(&self, who: &str) -> Standing {
        let path = format!("/v1/contributors/{}", who.replace('/', "%2F"));
        let answer = self.plaudit.get(&path).await;
        if answer.status == 404 {
            return Standing::default();
        }
        let tally = answer.expect(200).json()["tally"].as_u64().unwrap();
        let listed = self.plaudit.all(&format!("{path}/contributions?limit=100")).await;
        let mut counted: BTreeSet<_> =
            listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        if counted.len() as u64 != tally {
            counted.insert(format!("(but a tally of {tally})"));
        }
        let mut recognized = BTreeSet::new();
        for milestone in self.rules.milestones {
            let id = format!("{who}:{milestone}").replace('/', "%2F");
            if self.plaudit.get(&format!("/v1/recognitions/{id}")).await.status == 200 {
                recognized.insert(*milestone);
            }
        }
        Standing { counted, recognized }
    }

    /// Holds the whole ledger against these histories' outcomes: nobody else is in it.
    pub(super) async fn nobody_else(&self, outcomes: &[Outcome]) {
        let expected = outcomes.iter().flat_map(|outcome| &outcome.expected);
        let mut tallies = BTreeMap::new();
        let mut recognitions = Vec::new();
        for (who, standing) in expected {
            if !standing.counted.is_empty() {
                tallies.insert(who.clone(), standing.counted.len() as u64);
            }
            recognitions.extend(standing.recognized.iter().map(|milestone| format!("{who}:{milestone}")));
        }
        recognitions.sort();
        let mut held = self.plaudit.tallies().await;
        held.retain(|_, tally| *tally > 0);
        assert_eq!(held, tallies);
        assert_eq!(self.plaudit.recognitions().await, recognitions);
    }
}

/// How a history ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    rules: Rules,
    log: String,
    pub(super) differences: String,
    pub(super) found: BTreeMap<String, Standing>,
    expected: BTreeMap<String, Standing>,
}

impl Outcome {
    pub(super) fn is_right(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Fails with the first history that ended wrongly, with all of its events, and the seeds of the others.
pub(super) fn all_right(outcomes: &[Outcome]) {
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_right()).collect();
    let Some(first) = wrong.iter().min_by_key(|outcome| outcome.log.len()) else {
        return;
    };
    let seeds: Vec<_> = wrong.iter().map(|outcome| outcome.seed).collect();
    panic!(
        "{} of {} histories end otherwise than they should: seeds {seeds:?}\n\
         PLAUDIT_HISTORY_SEED={} cargo test --test it histories:: replays this one:\n{:?}\n{}\n{}",
        wrong.len(),
        outcomes.len(),
        first.seed,
        first.rules,
        first.log,
        first.differences,
    );
}

/// The contributions that count, with the names of their repositories and people taken out that differ from
/// mark to mark.
pub(super) fn without_marks(world: &World, outcome: &Outcome) -> BTreeSet<String> {
    use super::world::Place;

    let mut names: Vec<(String, String)> = Vec::new();
    for (place, name) in [(Place::Home, "home"), (Place::Fork, "fork"), (Place::Elsewhere, "elsewhere")] {
        names.push((format!(":{}:", world.repository_id(place)), format!(":{name}:")));
    }
    for (i, event) in world.events.iter().enumerate() {
        if let super::world::What::Push(push) = &event.what {
            names.push((push.after.clone(), format!("push-{i}")));
        }
    }
    names.push((format!("-{}", world.mark), String::new()));
    let plain = |id: &String| names.iter().fold(id.clone(), |id, (name, plain)| id.replace(name, plain));
    outcome.found.values().flat_map(|standing| standing.counted.iter().map(plain)).collect()
}
