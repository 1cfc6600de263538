//! What several processes share: one Firestore and one topic, both emulated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plaudit::store::Store as _;
use plaudit::store::firestore::Firestore;
use serde_json::Value;

use super::emulators::{self, PATIENT};
use super::gate::Gate;
use super::h2proxy::Proxy;
use super::pubsub_emulator::{PROJECT, Topic, pubsub};
use super::{Environment, Plaudit, contribution, hold_against_schema, in_the_end, now};

pub const ISSUE: &str = include_str!("../../../fixtures/github/issues.opened.json");
pub const PUSH: &str = include_str!("../../../fixtures/github/push.default_branch.json");
pub const PULL_REQUEST: &str = include_str!("../../../fixtures/github/pull_request.opened.json");
pub const ADA: &str = "github:ada-quillfeather";

/// A database and a topic that no other test uses, and the environment of processes that use both.
pub struct Stage {
    firestore: &'static str,
    pub topic: Topic,
    pub environment: Environment,
}

/// `None` where an emulator is missing, which is printed.
pub async fn stage() -> Option<Stage> {
    let stage = unmade_topic().await?;
    stage.topic.make().await;
    Some(stage)
}

/// The same, without the topic.
pub async fn unmade_topic() -> Option<Stage> {
    static WARM: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let (firestore, pubsub) = (emulators::firestore()?, pubsub().await?);
    // The first commit of an emulator takes longer than the timeout of a process.
    let warm = async || {
        let project = emulators::fresh_project();
        let store = Firestore::open_emulator(firestore, &project, "(default)", PATIENT).await.unwrap();
        store.record(&[contribution("warm-up", "warm-up")], now()).await.unwrap();
    };
    WARM.get_or_init(warm).await;
    let topic = Topic::named(&pubsub);
    let environment = Environment::new(format!("firestore:{}", emulators::fresh_project()))
        .with("PLAUDIT_PUBLISH", format!("pubsub:{PROJECT}/{}", topic.topic))
        .with("FIRESTORE_EMULATOR_HOST", firestore)
        .with("PUBSUB_EMULATOR_HOST", &*pubsub);
    Some(Stage { firestore, topic, environment })
}

impl Stage {
    /// A proxy in front of the database.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start(self.firestore).await
    }

    /// A proxy in front of the database, and a process that uses the database through it.
    pub async fn proxied(&self, environment: &Environment) -> (Proxy, Plaudit) {
        let proxy = self.proxy().await;
        let process = environment.with("FIRESTORE_EMULATOR_HOST", &*proxy.host).start().await;
        (proxy, process)
    }

    /// Makes the topic and its subscription while the gate is closed: a message that is published after the topic
    /// is made and before its subscription would reach no subscriber.
    pub async fn make_topic_behind(&self, gate: &mut Gate) {
        gate.close().await;
        self.topic.make().await;
        gate.reopen().await;
    }

    /// Receives until all of `expected` have come, and returns every message by its recognition's id.
    async fn received(&self, expected: &[&str]) -> BTreeMap<String, Vec<Value>> {
        let mut got: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let receiving = async {
            loop {
                let news = self.topic.at_hand().await;
                if news.is_empty() {
                    if expected.iter().all(|id| got.contains_key(*id)) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                for message in news {
                    let data: Value = serde_json::from_slice(&message.data).unwrap();
                    hold_against_schema(&data);
                    assert_eq!(message.attributes["ce-id"], data["id"]);
                    got.entry(data["id"].as_str().unwrap().to_owned()).or_default().push(data);
                }
            }
        };
        in_the_end(&format!("{expected:?}"), receiving).await;
        got
    }

    /// Fails unless exactly these recognitions are received; repeats are allowed.
    pub async fn receives(&self, expected: &[&str]) -> BTreeMap<String, Vec<Value>> {
        let got = self.received(expected).await;
        let ids: Vec<_> = got.keys().map(String::as_str).collect();
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        assert_eq!(ids, expected.into_iter().collect::<Vec<_>>());
        got
    }
}
