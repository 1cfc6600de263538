//! The processes, their store and their topic, and everything that a schedule does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::plan::{Ask, Deed, Kind, MILESTONES, Outage, Step};
use super::rule::{Ending, Fact, Ledger, Model};
use crate::support::gate::Gate;
use crate::support::h2proxy::{Call, Fault, Proxy};
use crate::support::stage::Stage;
use crate::support::{Client, Environment, Plaudit, fixture, hold_against_schema, in_the_end, is_of, talk};
use crate::sync::shim;

/// The repository of the fixtures.
const REPOSITORY: u64 = 981_237_654;

/// The store under test, and how it fails.
pub(super) enum Ledgers {
    /// In a file, with the shim between the program and its disk.
    File(TempDir),
    /// Behind a proxy.
    Firestore(Proxy),
}

impl Ledgers {
    fn database(folder: &TempDir) -> PathBuf {
        folder.path().join("plaudit.db")
    }

    fn environment(&self, environment: &Environment) -> Environment {
        match self {
            Self::Firestore(proxy) => environment.with("FIRESTORE_EMULATOR_HOST", &*proxy.host),
            Self::File(folder) => {
                let path = |name: &str| folder.path().join(name).display().to_string();
                environment
                    .with("PLAUDIT_STORE", format!("sqlite:{}", Self::database(folder).display()))
                    .with("LD_PRELOAD", shim().display().to_string())
                    .with("SHIM_FULL", path("full"))
                    .with("SHIM_DEAF", path("deaf"))
            }
        }
    }

    /// How many processes share it.
    fn processes(&self) -> usize {
        match self {
            Self::File(_) => 1,
            Self::Firestore(_) => 2,
        }
    }
}

/// A deed's contributor, its id in the ledger, and what is sent about it.
impl Deed {
    fn who(&self) -> String {
        format!("github:person-{}", self.person)
    }

    fn id(&self) -> String {
        match self.kind {
            Kind::Talk => format!("api:api:{}", self.number),
            Kind::PullRequest => {
                format!("github:{REPOSITORY}:pull_request:{}:person-{}", self.number, self.person)
            }
            Kind::Issue => format!("github:{REPOSITORY}:issue:{}", self.number),
        }
    }

    fn payload(&self, fixture_name: &str, item: &str, action: &str) -> Value {
        let mut payload: Value = serde_json::from_str(&fixture(fixture_name)).unwrap();
        payload["action"] = action.into();
        payload[item]["number"] = self.number.into();
        is_of(&mut payload[item]["user"], &format!("person-{}", self.person));
        payload
    }
}

async fn send(client: Client, ask: Ask) -> (Ending, Value) {
    let deed = ask.deed;
    let at =
        |second: u32| format!("2026-11-24T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
    let answer = match (ask.fact, deed.kind) {
        (Fact::Recorded, Kind::Talk) => client.try_post(&talk(&deed.who(), &deed.number.to_string())).await,
        (Fact::Recorded, Kind::Issue) => {
            let payload = deed.payload("github/issues.opened.json", "issue", "opened");
            client.try_github("issues", &payload.to_string()).await
        }
        (Fact::Recorded, Kind::PullRequest) => {
            let mut payload = deed.payload("github/pull_request.opened.json", "pull_request", "opened");
            payload["pull_request"]["updated_at"] = at(0).into();
            client.try_github("pull_request", &payload.to_string()).await
        }
        (Fact::Labels { second, rejects }, _) => {
            let mut payload =
                deed.payload("github/pull_request.labeled.spam.json", "pull_request", "labeled");
            payload["pull_request"]["updated_at"] = at(second).into();
            let name = if rejects { "spam" } else { "lamp" };
            payload["pull_request"]["labels"] = json!([{ "name": name }]);
            client.try_github("pull_request", &payload.to_string()).await
        }
        (Fact::Gone, _) => {
            let payload = deed.payload("github/issues.deleted.json", "issue", "deleted");
            client.try_github("issues", &payload.to_string()).await
        }
        (Fact::TakenBack, _) => {
            let path = format!("/v1/contributions/{}", deed.id());
            Client::try_send(client.request(Method::DELETE, &path)).await
        }
    };
    let Ok(answer) = answer else { return (Ending::Unanswered, Value::Null) };
    match answer.status {
        200 | 201 => {
            let json = answer.json();
            let news = answer.status == 201 || json["verdict"] == "recorded";
            (Ending::Acknowledged { news }, json)
        }
        404 if ask.fact == Fact::TakenBack => (Ending::NothingThere, Value::Null),
        503 => (Ending::Unanswered, Value::Null),
        _ => panic!("no answer of the contract to {ask:?}: {answer:?}"),
    }
}

fn is_recording(call: &Call) -> bool {
    call.rpc == "Commit" && call.mentions("/documents/contributions/")
}

pub(super) struct World<'a> {
    stage: &'a Stage,
    ledgers: Ledgers,
    gate: Gate,
    environment: Environment,
    processes: Vec<Plaudit>,
    model: Model,
    deeds: BTreeMap<String, Deed>,
    published: BTreeMap<String, Value>,
    happened: Happened,
}

/// What happened in a run.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) requests: usize,
    pub(super) unanswered: usize,
    pub(super) kills: usize,
    pub(super) stop_points: usize,
    pub(super) messages: usize,
    pub(super) recognitions: usize,
}

impl<'a> World<'a> {
    pub(super) async fn start(stage: &'a Stage, pubsub: &str, ledgers: Ledgers) -> Self {
        let gate = Gate::open(pubsub).await;
        let environment = ledgers.environment(&stage.environment);
        let environment = environment.with("PUBSUB_EMULATOR_HOST", &*gate.host).with("PLAUDIT_LOG", "warn");
        let mut world = Self {
            stage,
            gate,
            environment,
            processes: Vec::new(),
            model: Model::default(),
            deeds: BTreeMap::new(),
            published: BTreeMap::new(),
            happened: Happened::default(),
            ledgers,
        };
        world.start_with(MILESTONES[0]).await;
        world
    }

    async fn start_with(&mut self, milestones: &[u64]) {
        let text: Vec<_> = milestones.iter().map(u64::to_string).collect();
        self.model.configure(milestones);
        let environment = self.environment.with("PLAUDIT_MILESTONES", text.join(","));
        let count = self.ledgers.processes();
        self.processes = join_all((0..count).map(|_| environment.start())).await;
    }

    pub(super) async fn takes(&mut self, step: &Step) {
        match step {
            Step::Burst(asks) => self.sends(asks).await,
            Step::KilledInBurst { asks, after, victim } => self.killed_in_burst(asks, *after, *victim).await,
            Step::KilledAt { point, asks, victim } => self.killed_at(point, asks, *victim).await,
            Step::StoreFails { how, asks } => self.store_fails(*how, asks).await,
            Step::TopicDown { asks, drained } => self.topic_down(asks, *drained).await,
            Step::TopicUp => self.topic_up().await,
            Step::Milestones { which, by_kill } => {
                for mut process in std::mem::take(&mut self.processes) {
                    if *by_kill { self.kill(&mut process).await } else { end(&mut process).await }
                }
                self.start_with(MILESTONES[*which]).await;
            }
            Step::Quiet => self.quiet().await,
        }
    }

    async fn topic_down(&mut self, asks: &[Ask], drained: bool) {
        self.gate.close().await;
        self.sends(asks).await;
        if drained {
            let client = &self.processes[0].client;
            client.send(client.request(Method::POST, "/internal/drain")).await.expect(200);
        }
    }

    async fn topic_up(&mut self) {
        self.gate.close().await;
        self.gate.reopen().await;
    }

    // ---- requests ------------------------------------------------------------------------------------------

    /// Sends all at once, and notes each answer as it comes; `answered` is notified of each.
    fn sending(&mut self, asks: &[Ask]) -> Sending {
        let answered = Arc::new((AtomicUsize::new(0), Notify::new()));
        let mut running = Vec::new();
        for ask in asks {
            let id = ask.deed.id();
            self.deeds.insert(id.clone(), ask.deed);
            let recorded = self.model.is_recorded(&id);
            let known = self.model.sends(&id, &ask.deed.who(), ask.fact);
            let client = self.processes[ask.to % self.processes.len()].client.clone();
            let (ask, answered) = (*ask, Arc::clone(&answered));
            let task = async move {
                let answer = send(client, ask).await;
                answered.0.fetch_add(1, Ordering::SeqCst);
                answered.1.notify_one();
                answer
            };
            running.push((ask, known, recorded, task));
        }
        // Nothing is sent before the model knows of everything that is.
        let running = running
            .into_iter()
            .map(|(ask, known, recorded, task)| Running { ask, known, recorded, task: tokio::spawn(task) })
            .collect();
        Sending { running, answered }
    }

    async fn note(&mut self, sending: Sending) {
        for one in sending.running {
            let (ending, answer) = one.task.await.unwrap();
            self.happened.requests += 1;
            self.happened.unanswered += usize::from(ending == Ending::Unanswered);
            self.model.announced(&answer);
            let contributions = answer["contributions"].as_array();
            contributions.into_iter().flatten().for_each(|one| self.model.announced(one));
            self.model.answered(&one.ask.deed.id(), one.ask.fact, ending, one.known, one.recorded);
        }
    }

    async fn sends(&mut self, asks: &[Ask]) {
        let sending = self.sending(asks);
        self.note(sending).await;
    }

    // ---- crashes -------------------------------------------------------------------------------------------

    async fn kill(&mut self, process: &mut Plaudit) {
        process.kill().await;
        self.happened.kills += 1;
        no_panic(process);
    }

    async fn killed_in_burst(&mut self, asks: &[Ask], after: usize, victim: usize) {
        let sending = self.sending(asks);
        sending.until(after).await;
        let victim = victim % self.processes.len();
        let mut process = self.processes.swap_remove(victim);
        self.kill(&mut process).await;
        self.note(sending).await;
        process.restart().await;
        self.processes.push(process);
    }

    async fn killed_at(&mut self, point: &'static str, asks: &[Ask], victim: usize) {
        let victim = victim % self.processes.len();
        let mut process = self.processes.swap_remove(victim);
        self.kill(&mut process).await;
        process.set("PLAUDIT_STOP_AT", point);
        process.restart().await;
        let log = process.log.clone();
        // The doomed one is asked everything that goes to its place.
        self.processes.push(process);
        let sending = self.sending(asks);
        tokio::select! {
            _ = log.wait(0, |line| line.contains("waiting at a stop point")) => self.happened.stop_points += 1,
            () = sending.until(asks.len()) => {}
        }
        let mut process = self.processes.pop().unwrap();
        self.kill(&mut process).await;
        self.note(sending).await;
        process.unset("PLAUDIT_STOP_AT");
        process.restart().await;
        self.processes.push(process);
    }

    // ---- outages -------------------------------------------------------------------------------------------

    async fn store_fails(&mut self, how: Outage, asks: &[Ask]) {
        let locked = self.begin_outage(how);
        let sending = self.sending(asks);
        // It lasts for some requests that need no store.
        let client = self.processes[0].client.clone();
        for _ in 0..20 {
            client.get("/healthz").await.expect(200);
        }
        if matches!(how, Outage::Down | Outage::Deaf) && matches!(self.ledgers, Ledgers::File(_)) {
            sending.until(1).await;
        }
        drop(locked);
        self.end_outage();
        self.note(sending).await;
    }

    /// Returns what holds the file, where a lock is the outage.
    fn begin_outage(&self, how: Outage) -> Option<rusqlite::Connection> {
        match (&self.ledgers, how) {
            (Ledgers::File(folder), Outage::Busy) => {
                let other = rusqlite::Connection::open(Ledgers::database(folder)).unwrap();
                other.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                return Some(other);
            }
            (Ledgers::File(folder), Outage::Down) => std::fs::write(folder.path().join("full"), "").unwrap(),
            (Ledgers::File(folder), Outage::Deaf) => std::fs::write(folder.path().join("deaf"), "").unwrap(),
            (Ledgers::Firestore(proxy), Outage::Down) => proxy.set_up(false),
            (Ledgers::Firestore(proxy), Outage::Deaf) => {
                proxy.fault_where(is_recording, Fault::LoseAnswer);
                proxy.fault_where(is_recording, Fault::CutAfter);
            }
            (Ledgers::Firestore(proxy), Outage::Busy) => {
                proxy.fault("Commit", Fault::CutBefore);
                proxy.fault("Commit", Fault::Status(10, "Too much contention on these documents."));
            }
        }
        None
    }

    fn end_outage(&self) {
        match &self.ledgers {
            Ledgers::File(folder) => {
                for name in ["full", "deaf"] {
                    // Only one of them is there.
                    let _ = std::fs::remove_file(folder.path().join(name));
                }
            }
            Ledgers::Firestore(proxy) => {
                proxy.set_up(true);
                proxy.always(None);
            }
        }
    }

    // ---- the ledger against the model ----------------------------------------------------------------------

    /// Lets the outbox empty itself, and looks at the ledger; then sends again what was not answered, and holds
    /// everything against the model.
    async fn quiet(&mut self) {
        self.topic_up().await;
        self.processes[0].drain_all().await;
        let faults = self.model.faults_in_itself(&self.ledger().await);
        assert!(faults.is_empty(), "the ledger breaks a promise:\n{}", faults.join("\n"));
        let answering = async {
            loop {
                let open = self.model.unanswered();
                if open.is_empty() {
                    return;
                }
                let asks: Vec<_> = open
                    .into_iter()
                    .enumerate()
                    .map(|(to, (id, fact))| Ask { deed: self.deeds[&id], fact, to })
                    .collect();
                self.sends(&asks).await;
            }
        };
        in_the_end("an answer to everything", answering).await;
        self.processes[0].drain_all().await;
        let ledger = self.ledger().await;
        self.receive(&ledger.recognitions).await;
        let published = self.published.keys().cloned().collect::<BTreeSet<_>>();
        let faults = self.model.faults(&ledger, &published);
        assert!(faults.is_empty(), "the ledger breaks a promise:\n{}", faults.join("\n"));
        self.happened.recognitions = ledger.recognitions.len();
    }

    async fn ledger(&self) -> Ledger {
        let client = &self.processes[0].client;
        let mut ledger = Ledger { tallies: client.tallies().await, ..Ledger::default() };
        for who in ledger.tallies.keys() {
            let listed = client.all(&format!("/v1/contributors/{who}/contributions?limit=100")).await;
            let ids = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned());
            ledger.counted.insert(who.clone(), ids.collect());
        }
        ledger.recognitions = client.recognitions().await;
        ledger
    }

    /// Receives until each of these has been published; copies of one message are alike.
    async fn receive(&mut self, expected: &[String]) {
        let topic = &self.stage.topic;
        let (published, happened) = (&mut self.published, &mut self.happened);
        let receiving = async {
            loop {
                let news = topic.at_hand().await;
                if news.is_empty() && expected.iter().all(|id| published.contains_key(id)) {
                    return;
                }
                for message in news {
                    happened.messages += 1;
                    let data: Value = serde_json::from_slice(&message.data).unwrap();
                    hold_against_schema(&data);
                    let id = data["id"].as_str().unwrap().to_owned();
                    let first = published.entry(id).or_insert_with(|| data.clone());
                    assert_eq!(*first, data, "two messages of one recognition differ");
                }
            }
        };
        in_the_end(&format!("{expected:?}"), receiving).await;
    }

    /// Ends all processes; each must end well.
    pub(super) async fn end(mut self) -> Happened {
        for mut process in std::mem::take(&mut self.processes) {
            end(&mut process).await;
        }
        if let Ledgers::File(folder) = &self.ledgers {
            let file = rusqlite::Connection::open(Ledgers::database(folder)).unwrap();
            let check: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(check, "ok");
        }
        self.happened
    }
}

fn no_panic(process: &Plaudit) {
    let lines = process.log.lines();
    let panicked = lines.iter().find(|line| line.contains("panicked"));
    assert_eq!(panicked, None);
}

async fn end(process: &mut Plaudit) {
    process.terminate();
    process.log.ended().await;
    no_panic(process);
    process.reap();
}

struct Running<T> {
    ask: Ask,
    known: bool,
    recorded: bool,
    task: T,
}

/// Requests under way.
struct Sending {
    running: Vec<Running<tokio::task::JoinHandle<(Ending, Value)>>>,
    answered: Arc<(AtomicUsize, Notify)>,
}

impl Sending {
    /// Waits until so many of them have ended.
    async fn until(&self, count: usize) {
        let enough = async {
            while self.answered.0.load(Ordering::SeqCst) < count {
                self.answered.1.notified().await;
            }
        };
        in_the_end("the answers", enough).await;
    }
}
