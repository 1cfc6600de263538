//! People under live load of several real processes over one Firestore and one topic, one of which is killed: accounts
//! are renamed, linked, parted and forgotten meanwhile, and what is left is what a plain model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures::stream::{self, StreamExt as _};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::stage::{Stage, stage};
use crate::support::{Client, Plaudit, fixture, in_the_end};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const MILESTONES: [u64; 3] = [3, 10, 30];
const PROCESSES: usize = 3;
/// In how many steps the load comes. Beside each, something is decided.
const STEPS: usize = 6;
/// Of each account: this many issues, pushes with and without its number, and pull requests.
const EACH: u64 = 6;

/// An account, and whose it is in the end.
#[derive(Clone, Copy)]
struct Login {
    name: &'static str,
    number: u64,
    /// For whom its contributions count at the end; empty once that person is forgotten.
    person: &'static str,
    /// When the host states its name.
    since: u64,
    /// Whether commits may name it without its number.
    bare: bool,
}

const fn login(name: &'static str, number: u64, person: &'static str, since: u64, bare: bool) -> Login {
    Login { name, number, person, since, bare }
}

/// No two of one person share a push: a push counts once for each login.
const LOGINS: [Login; 13] = [
    login("pat", 100, "github:pat", 0, true),
    login("ann", 101, "github:ben", 0, true),
    login("ben", 102, "github:ben", 0, true),
    login("cleo", 103, "github:cleo", 0, true),
    login("dora", 104, "github:dora", 0, true),
    login("old", 105, "github:new", 0, true),
    login("new", 105, "github:new", 1_000, false),
    login("emil", 106, "", 0, true),
    login("fritz", 107, "", 0, true),
    login("lisa", 7, "github:lisa", 1_000, false),
    login("mona", 9, "github:9+mona", 2_000, false),
    login("zara", 111, "github:111+zara", 2_000, false),
    login("zoe", 110, "", 1_000, false),
];

/// What was delivered before: each number has its name, and two logins were given up.
const BEFORE: [Login; 5] = [
    login("old", 105, "github:new", 0, true),
    login("mona", 7, "github:lisa", 0, false),
    login("zara", 110, "", 0, false),
    login("zoe", 110, "", 1_000, false),
    login("zara", 111, "github:111+zara", 1_500, false),
];

struct Delivery {
    event: &'static str,
    body: String,
    /// For whom what counts, by the work of which each counts one part.
    counts: Vec<(&'static str, String)>,
}

fn moment(second: u64) -> String {
    format!("2025-09-02T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn is_stated(item: &mut Value, of: Login, number: u64, second: u64) {
    item["number"] = number.into();
    item["user"]["login"] = of.name.into();
    item["user"]["id"] = of.number.into();
    item["created_at"] = moment(of.since + second).into();
    item["updated_at"] = moment(of.since + second).into();
}

fn issue(of: Login, number: u64) -> Delivery {
    let mut payload: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    is_stated(&mut payload["issue"], of, number, number % 500);
    let counts = vec![(of.person, format!("issue {number}"))];
    Delivery { event: "issues", body: payload.to_string(), counts }
}

fn opened(of: Login, number: u64) -> Delivery {
    let mut payload: Value = serde_json::from_str(&fixture("github/pull_request.opened.json")).unwrap();
    payload["number"] = number.into();
    is_stated(&mut payload["pull_request"], of, number, number % 500);
    let counts = vec![(of.person, format!("pull request {number}"))];
    Delivery { event: "pull_request", body: payload.to_string(), counts }
}

/// The author of a commit: by the address with the number, or by the name that GitHub gives.
fn author(of: Login, by_address: bool) -> Value {
    let Login { name, number, .. } = of;
    if by_address {
        json!({"name": name, "email": format!("{number}+{name}@users.noreply.github.com")})
    } else {
        json!({"name": name, "email": format!("{name}@home.example"), "username": name})
    }
}

fn pushed(number: u64, commits: &[Value], counts: Vec<(&'static str, String)>) -> Delivery {
    let mut payload: Value = serde_json::from_str(&fixture("github/push.default_branch.json")).unwrap();
    payload["after"] = commits.last().unwrap()["id"].clone();
    payload["before"] = format!("{:040x}", number + 9_000_000).into();
    payload["commits"] = commits.to_vec().into();
    payload["head_commit"] = commits.last().unwrap().clone();
    Delivery { event: "push", body: payload.to_string(), counts }
}

fn commit(id: u64, message: &str, author: &Value, committer: &Value) -> Value {
    json!({
        "id": format!("{id:040x}"), "tree_id": format!("{:040x}", id + 1), "distinct": true, "message": message,
        "timestamp": moment(id % 500), "url": format!("https://github.com/harbour-lights/lantern/commit/{id:040x}"),
        "author": author, "committer": committer, "added": [], "removed": [], "modified": ["src/lamp.rs"],
    })
}

fn push(number: u64, authors: &[(Login, bool)]) -> Delivery {
    let commits: Vec<_> = authors
        .iter()
        .zip(number * 100..)
        .map(|((of, by_address), id)| {
            let author = author(*of, *by_address);
            commit(id, "Trim the wick", &author, &author)
        })
        .collect();
    let counts = authors.iter().map(|(of, _)| (of.person, format!("push {number} of {}", of.name))).collect();
    pushed(number, &commits, counts)
}

/// A pull request lands by a commit that GitHub makes.
fn landed(pull_request: u64, of: Login) -> Delivery {
    let hub = json!({"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"});
    let id = 5_000_000 + pull_request;
    let message = format!("Trim the wick (#{pull_request})");
    let squash = commit(id, &message, &author(of, true), &hub);
    pushed(id, &[squash], vec![(of.person, format!("pull request {pull_request}"))])
}

/// Everything that is delivered under load, in a random order.
fn deliveries(random: &mut StdRng) -> Vec<Delivery> {
    let (mut all, mut authors) = (Vec::new(), Vec::new());
    let mut number = 100;
    for of in LOGINS {
        for _ in 0..EACH {
            number += 1;
            all.push(issue(of, number));
            all.push(opened(of, number + 10_000));
            // Of a pull request, the author's and perhaps another one's part land.
            let lander = if random.random() { of } else { LOGINS[random.random_range(0..LOGINS.len())] };
            all.push(landed(number + 10_000, lander));
            authors.push((of, true));
            authors.extend(of.bare.then_some((of, false)));
        }
    }
    authors.shuffle(random);
    while let Some(first) = authors.pop() {
        number += 1;
        let mut together = vec![first];
        // One of the next few, if it is another person's.
        let is_other = |(of, _): &(Login, bool)| is_apart(*of, first.0);
        if let Some(place) = authors.iter().take(5).position(is_other) {
            together.push(authors.remove(place));
        }
        all.push(push(number, &together));
    }
    all.shuffle(random);
    all
}

/// Whether the two are never one person, nor one login.
fn is_apart(one: Login, other: Login) -> bool {
    let pairs = [["ann", "ben"], ["cleo", "dora"], ["emil", "fritz"], ["lisa", "mona"], ["old", "new"]];
    one.name != other.name && !pairs.iter().any(|pair| pair.contains(&one.name) && pair.contains(&other.name))
}

/// Several processes, one of which may be down.
struct Cluster {
    clients: Mutex<Vec<Client>>,
    /// How many deliveries are acknowledged.
    delivered: watch::Sender<usize>,
}

impl Cluster {
    fn client(&self, n: usize) -> Client {
        self.clients.lock().unwrap()[n % PROCESSES].clone()
    }

    /// Sends to one process after the other until one has an answer that is no 503.
    async fn until_answered(
        &self,
        n: usize,
        request: impl Fn(&Client) -> reqwest::RequestBuilder,
    ) -> (u16, String) {
        let answering = async {
            for n in n.. {
                match Client::try_send(request(&self.client(n))).await {
                    Ok(answer) if answer.status != 503 => return (answer.status, answer.text),
                    // It is killed, or has no time.
                    _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
            unreachable!()
        };
        in_the_end("an answer of any process", answering).await
    }

    async fn deliver(&self, n: usize, delivery: &Delivery) {
        let id = uuid::Uuid::new_v4().to_string();
        let send = |client: &Client| client.github_request(delivery.event, &id, &delivery.body);
        let (status, text) = self.until_answered(n, send).await;
        assert_eq!(status, 200, "{text}");
        self.delivered.send_modify(|delivered| *delivered += 1);
    }

    async fn is_delivered(&self, count: usize) {
        self.delivered.subscribe().wait_for(|delivered| *delivered >= count).await.unwrap();
    }

    async fn link(&self, n: usize, account: &str, to: &str) {
        let path = format!("/v1/contributors/github:{to}/accounts/github:{account}");
        let (status, text) = self.until_answered(n, |client| client.request(Method::PUT, &path)).await;
        assert_eq!(status, 200, "link of {account}: {text}");
    }

    async fn unlink(&self, n: usize, account: &str, from: &str) {
        let path = format!("/v1/contributors/github:{from}/accounts/github:{account}");
        let (status, text) = self.until_answered(n, |client| client.request(Method::DELETE, &path)).await;
        // The process that did it may have been killed before it could answer.
        assert!([200, 404].contains(&status), "unlink of {account}: {status} {text}");
    }

    async fn forget(&self, n: usize, who: &str) {
        let path = format!("/v1/contributors/github:{who}");
        let (status, text) = self.until_answered(n, |client| client.request(Method::DELETE, &path)).await;
        assert_eq!(status, 200, "forget {who}: {text}");
    }

    async fn drain(&self, n: usize) {
        self.until_answered(n, |client| client.request(Method::POST, "/internal/drain")).await;
    }

    /// What is decided about accounts beside one of the [`STEPS`] of the load.
    async fn decide(&self, step: usize) {
        match step {
            0 => {
                self.link(0, "ann", "ben").await;
                self.link(1, "cleo", "dora").await;
            }
            1 => {
                self.drain(2).await;
                self.unlink(0, "cleo", "dora").await;
                self.unlink(1, "ann", "ben").await;
            }
            2 => {
                self.link(2, "cleo", "dora").await;
                self.link(0, "emil", "fritz").await;
                self.link(1, "ann", "ben").await;
            }
            3 => {
                self.forget(2, "emil").await;
                self.forget(0, "zoe").await;
                self.unlink(1, "cleo", "dora").await;
            }
            4 => {
                self.unlink(0, "ann", "ben").await;
                self.link(1, "cleo", "dora").await;
                self.drain(2).await;
            }
            _ => {
                self.link(2, "ann", "ben").await;
                self.unlink(0, "cleo", "dora").await;
            }
        }
    }

    async fn deliver_all(&self, deliveries: &[Delivery], to: usize) {
        let sending: Vec<_> =
            deliveries.iter().zip(to..).map(|(delivery, n)| self.deliver(n, delivery)).collect();
        stream::iter(sending).buffer_unordered(12).collect::<Vec<()>>().await;
    }
}

/// The works that count for each person.
fn model(deliveries: &[Delivery]) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut works: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (person, work) in deliveries.iter().flat_map(|delivery| &delivery.counts) {
        works.entry(*person).or_default().insert(work.clone());
    }
    works.remove("");
    works
}

/// Every contributor's tally, which is the number of its contributions, and its highest milestone what that needs.
async fn tallies(client: &Client) -> BTreeMap<String, usize> {
    let mut tallies = BTreeMap::new();
    for contributor in client.all("/v1/contributors?order=id&limit=100").await {
        let id = contributor["id"].as_str().unwrap();
        let contributions = client.all(&format!("/v1/contributors/{id}/contributions?limit=100")).await;
        let tally = contributor["tally"].as_u64().unwrap();
        assert_eq!(tally, contributions.len() as u64, "{id}: {contributions:#?}");
        assert!(contributions.iter().all(|one| one["contributor"] == id), "{contributions:#?}");
        let reached = MILESTONES.into_iter().rfind(|milestone| *milestone <= tally);
        assert!(contributor["recognized"].as_u64() >= reached, "{contributor}");
        tallies.insert(id.to_owned(), contributions.len());
    }
    tallies
}

/// How often a milestone was recognised for one of these accounts.
fn times(recognitions: &BTreeSet<String>, accounts: &[&str], milestone: u64) -> usize {
    let ids = accounts.iter().map(|account| format!("github:{account}:{milestone}"));
    ids.filter(|id| recognitions.contains(id)).count()
}

/// Which milestones must have been recognised how often.
async fn milestones_are_recognised_once(client: &Client, stage: &Stage) {
    let listed = client.all("/v1/recognitions?limit=100").await;
    let recognitions: BTreeSet<_> = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(recognitions.len(), listed.len(), "{listed:#?}");
    // One person throughout.
    for accounts in [&["pat"][..], &["old", "new"], &["mona", "lisa"], &["9+mona"], &["111+zara"]] {
        let works = client.tally(&format!("github:{}", accounts.last().unwrap())).await.as_u64().unwrap();
        for milestone in MILESTONES {
            let expected = usize::from(milestone <= works);
            assert_eq!(times(&recognitions, accounts, milestone), expected, "{accounts:?} {milestone}");
        }
    }
    // Each had the lower ones perhaps alone, and none the highest.
    for accounts in [["ann", "ben"], ["cleo", "dora"]] {
        for milestone in [3, 10] {
            let times = times(&recognitions, &accounts, milestone);
            assert!((1..=2).contains(&times), "{accounts:?} {milestone}: {recognitions:#?}");
        }
    }
    assert!((1..=2).contains(&times(&recognitions, &["ann", "ben"], 30)), "{recognitions:#?}");
    for gone in ["emil", "fritz", "zoe", "zara"] {
        for milestone in MILESTONES {
            assert_eq!(times(&recognitions, &[gone], milestone), 0, "{gone}: {recognitions:#?}");
        }
    }
    // Each of them was published; and else only what was forgotten afterwards.
    let mut published: BTreeSet<String> = BTreeSet::new();
    let receiving = async {
        while !recognitions.iter().all(|id| published.contains(id)) {
            for message in stage.topic.at_hand().await {
                published.insert(message.attributes["ce-id"].as_str().unwrap().to_owned());
            }
        }
    };
    in_the_end("all recognitions", receiving).await;
    for id in published.iter().filter(|id| !recognitions.contains(*id)) {
        let account = id.strip_prefix("github:").unwrap().split(':').next().unwrap();
        assert!(["emil", "fritz", "zoe"].contains(&account), "{id} was published and is not in the ledger");
    }
}

/// Returns a summary to print.
async fn run(seed: u64) -> String {
    let Some(stage) = stage().await else { return String::new() };
    let milestones = MILESTONES.map(|milestone| milestone.to_string()).join(",");
    let environment =
        stage.environment.with("PLAUDIT_MILESTONES", milestones).with("PLAUDIT_FORGET_KEY", KEY);
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(environment.start().await);
    }
    let clients = processes.iter().map(|process: &Plaudit| process.client.clone()).collect();
    let cluster = &Cluster { clients: Mutex::new(clients), delivered: watch::Sender::new(0) };
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Vec<_> = BEFORE.into_iter().zip(1..).map(|(of, number)| issue(of, number)).collect();
    for (n, before) in all.iter().enumerate() {
        cluster.deliver(n, before).await;
    }
    let under_load = deliveries(&mut random);
    let mut delivered = all.len();
    for (step, slice) in under_load.chunks(under_load.len().div_ceil(STEPS)).enumerate() {
        let in_the_middle = delivered + slice.len() / 2;
        let killing = async {
            if step == STEPS / 2 - 1 {
                cluster.is_delivered(in_the_middle).await;
                let doomed = processes.last_mut().unwrap();
                doomed.kill().await;
                doomed.restart().await;
                cluster.clients.lock().unwrap()[PROCESSES - 1] = doomed.client.clone();
            }
        };
        tokio::join!(cluster.deliver_all(slice, delivered), cluster.decide(step), killing);
        delivered += slice.len();
    }
    // Each once again, to another process.
    all.extend(under_load);
    cluster.deliver_all(&all, 1).await;
    for process in &processes {
        process.drain_all().await;
    }
    let expected: BTreeMap<_, _> =
        model(&all).into_iter().map(|(person, works)| (person.to_owned(), works.len())).collect();
    for process in &processes {
        assert_eq!(tallies(process).await, expected);
    }
    milestones_are_recognised_once(&processes[0], &stage).await;
    for gone in ["emil", "fritz", "zoe"] {
        for process in &processes {
            let path = format!("/v1/contributors/github:{gone}");
            assert_eq!(process.get(&path).await.status, 404, "{gone}");
        }
    }
    format!("{} deliveries, each made twice: {expected:?}", all.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_count_exactly_while_accounts_are_renamed_linked_parted_and_forgotten() {
    let variable = std::env::var("PLAUDIT_PEOPLE_SEED").ok();
    let seed = variable.map_or(7, |seed| seed.parse().unwrap());
    println!("PLAUDIT_PEOPLE_SEED={seed} replays it");
    println!("{}", run(seed).await);
}
