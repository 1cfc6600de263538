//! Topics and subscriptions of the Pub/Sub emulator, as a subscriber sees them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The project of all tests.
pub const PROJECT: &str = "demo";

/// `HOST:PORT` of the emulator; `None`, said loudly, where there is none.
pub async fn pubsub() -> Option<String> {
    let find = || crate::emulators::pubsub().map(str::to_owned);
    tokio::task::spawn_blocking(find).await.unwrap()
}

/// A topic with one subscription, both of this test alone.
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
    /// Names that no other test has; nothing is made yet.
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
        self.call(reqwest::Method::PUT, &self.subscription, json!({"topic": name})).await;
    }

    /// Publishes in order: the next message comes only after all before it are acknowledged, or with them.
    pub async fn publish(&self, data: &str) {
        let name = format!("projects/{PROJECT}/topics/{}:publish", self.topic);
        let messages = json!({"messages": [{"data": STANDARD.encode(data), "orderingKey": "all"}]});
        self.call(reqwest::Method::POST, &name, messages).await;
    }

    /// The next messages, `count` of them at least, acknowledged.
    pub async fn receive(&self, count: usize) -> Vec<Received> {
        let mut received = Vec::new();
        while received.len() < count {
            let news = self.pull().await;
            if news.is_empty() {
                // A pull that waits is not woken by a message that is handed back, only by a new one.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            received.extend(news);
        }
        received
    }

    /// What is there now, at most 100 messages of it, acknowledged.
    pub async fn pull(&self) -> Vec<Received> {
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
