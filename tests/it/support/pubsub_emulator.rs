//! Topics and subscriptions of the Pub/Sub emulator, as a subscriber sees them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The project of all tests.
pub const PROJECT: &str = "demo";

/// `HOST:PORT` of the emulator; `None` where there is none, which is printed.
pub async fn pubsub() -> Option<String> {
    let find = || super::emulators::pubsub().map(str::to_owned);
    tokio::task::spawn_blocking(find).await.unwrap()
}

/// A topic with one subscription that no other test uses, and a second subscription to inspect the first one.
#[allow(clippy::struct_field_names, reason = "a topic has a topic")]
pub struct Topic {
    host: String,
    pub topic: String,
    pub subscription: String,
}

/// A message as a subscriber sees it.
#[derive(Debug)]
pub struct Received {
    pub attributes: Value,
    pub data: Vec<u8>,
}

impl Topic {
    /// Chooses names that no other test has; nothing is created yet.
    pub fn named(host: &str) -> Self {
        let name = format!("t-{}", uuid::Uuid::new_v4());
        Self {
            host: host.to_owned(),
            subscription: format!("projects/{PROJECT}/subscriptions/{name}"),
            topic: name,
        }
    }

    pub async fn create(host: &str) -> Self {
        let topic = Self::named(host);
        topic.make().await;
        topic
    }

    pub async fn make(&self) {
        let name = format!("projects/{PROJECT}/topics/{}", self.topic);
        self.call(reqwest::Method::PUT, &name, json!({})).await;
        for subscription in [&self.subscription, &self.twin()] {
            self.call(reqwest::Method::PUT, subscription, json!({"topic": name})).await;
        }
    }

    fn twin(&self) -> String {
        format!("{}-twin", self.subscription)
    }

    pub async fn publish(&self, data: &str) {
        let name = format!("projects/{PROJECT}/topics/{}:publish", self.topic);
        let messages = json!({"messages": [{"data": STANDARD.encode(data)}]});
        self.call(reqwest::Method::POST, &name, messages).await;
    }

    /// The data of all messages that are not acknowledged on the subscription, even if a consumer has them.
    ///
    /// Pulling would not find them all: the emulator also sends messages to streams that are closed already, and
    /// gives them out again after ten seconds. So the twin is set to a snapshot, and a mark is the last message.
    pub async fn unacknowledged(&self) -> Vec<String> {
        let snapshot = format!("projects/{PROJECT}/snapshots/s-{}", uuid::Uuid::new_v4());
        let taken = json!({"subscription": self.subscription});
        self.call(reqwest::Method::PUT, &snapshot, taken).await;
        let seek = format!("{}:seek", self.twin());
        self.call(reqwest::Method::POST, &seek, json!({"snapshot": snapshot})).await;
        self.publish("mark").await;
        let mut found = Vec::new();
        while !found.iter().any(|data| data == "mark") {
            let received = self.pull(&self.twin(), 1).await;
            found.extend(received.into_iter().map(|r| String::from_utf8(r.data).unwrap()));
        }
        found.retain(|data| data != "mark");
        found
    }

    /// Receives and acknowledges at least `count` messages.
    pub async fn receive(&self, count: usize) -> Vec<Received> {
        self.pull(&self.subscription, count).await
    }

    async fn pull(&self, subscription: &str, count: usize) -> Vec<Received> {
        let mut received = Vec::new();
        while received.len() < count {
            let pull = format!("{subscription}:pull");
            let answer = self.call(reqwest::Method::POST, &pull, json!({"maxMessages": 100})).await;
            let messages = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
            let ids: Vec<&Value> = messages.iter().map(|m| &m["ackId"]).collect();
            if ids.is_empty() {
                continue;
            }
            let acknowledge = format!("{subscription}:acknowledge");
            self.call(reqwest::Method::POST, &acknowledge, json!({"ackIds": ids})).await;
            received.extend(messages.iter().map(|m| Received {
                attributes: m["message"]["attributes"].clone(),
                data: STANDARD.decode(m["message"]["data"].as_str().unwrap_or_default()).unwrap(),
            }));
        }
        received
    }

    /// Receives and acknowledges what is there now: at most 100 messages, perhaps none.
    pub async fn at_hand(&self) -> Vec<Received> {
        let pull = format!("{}:pull", self.subscription);
        let answer = self
            .call(reqwest::Method::POST, &pull, json!({"maxMessages": 100, "returnImmediately": true}))
            .await;
        let messages = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
        let ids: Vec<&Value> = messages.iter().map(|m| &m["ackId"]).collect();
        if !ids.is_empty() {
            let acknowledge = format!("{}:acknowledge", self.subscription);
            self.call(reqwest::Method::POST, &acknowledge, json!({"ackIds": ids})).await;
        }
        let received = messages.iter().map(|m| Received {
            attributes: m["message"]["attributes"].clone(),
            data: STANDARD.decode(m["message"]["data"].as_str().unwrap_or_default()).unwrap(),
        });
        received.collect()
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("http://{}/v1/{path}", self.host);
        let answer = reqwest::Client::new().request(method, url).json(&body).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }
}
