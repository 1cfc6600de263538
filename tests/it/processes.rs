//! The real program as processes of a test: several over one store, killed, and started again.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use axum::http::Method;
use plaudit::config::{HostSecrets, Secret};
use plaudit::hosts::KNOWN;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// When a test gives up on what never comes. Nothing is expected to be quick.
const PATIENCE: Duration = Duration::from_mins(1);

/// The secret with which these processes expect GitHub to sign.
const SECRET: &str = "a secret of the cluster's tests";

/// Waits for `event`, but not for ever.
pub async fn in_the_end<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// All that a process is told.
#[derive(Clone)]
pub struct Environment(BTreeMap<&'static str, String>);

impl Environment {
    pub fn new(store: impl Into<String>) -> Self {
        Self(BTreeMap::new())
            .with("PLAUDIT_LISTEN", "127.0.0.1:0")
            .with("PLAUDIT_GITHUB_SECRET", SECRET)
            .with("PLAUDIT_LOG_FORMAT", "json")
            .with("PLAUDIT_STORE", store)
    }

    pub fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut more = self.clone();
        more.0.insert(name, value.into());
        more
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit"));
        command.env_clear().envs(&self.0).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command of the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        in_the_end("the command's end", self.command().args(arguments).output()).await.unwrap()
    }

    /// Starts the service, and waits until it listens.
    pub async fn start(&self) -> Process {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (writing, log) = watch::channel(String::new());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                writing.send_modify(|log| {
                    log.push_str(&line);
                    log.push('\n');
                });
            }
        });
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let listens = in_the_end("the address", said.next_line()).await.unwrap();
        let url = listens.as_deref().and_then(|line| line.strip_prefix("plaudit listens on "));
        let Some(url) = url.map(str::to_owned) else { panic!("{listens:?}\n{}", *log.borrow()) };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Process { url, child, log, http }
    }
}

/// A running plaudit; it is killed when this is dropped.
pub struct Process {
    pub url: String,
    child: Child,
    log: watch::Receiver<String>,
    http: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }
}

/// A contribution as a client posts it.
pub fn talk(contributor: &str, id: &str) -> Value {
    json!({"contributor": contributor, "kind": "talk", "id": id})
}

impl Process {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    async fn ask(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let answer = request.send().await?;
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status: answer.status().as_u16(), retry_after, text: answer.text().await? })
    }

    /// Posts a contribution; the process may be killed meanwhile.
    pub fn try_post(
        &self,
        contributor: &str,
        id: &str,
    ) -> impl Future<Output = reqwest::Result<Answer>> + Send + use<> {
        Self::ask(self.request(Method::POST, "/v1/contributions").json(&talk(contributor, id)))
    }

    pub async fn post(&self, contributor: &str, id: &str) -> Answer {
        self.try_post(contributor, id).await.unwrap()
    }

    /// Sends a payload as GitHub would, with its patience; the process may be killed meanwhile.
    pub fn try_github(
        &self,
        event: &str,
        body: &str,
    ) -> impl Future<Output = reqwest::Result<Answer>> + Send + use<> {
        let (name, open, _) = KNOWN.iter().find(|(name, _, _)| *name == "github").unwrap();
        let host = open(&HostSecrets { github: vec![Secret::new(SECRET)], ..HostSecrets::default() });
        let delivery = uuid::Uuid::new_v4().to_string();
        let headers = host.unwrap().sign(event, &delivery, body.as_bytes(), chrono::Utc::now());
        let request = self.request(Method::POST, &format!("/webhooks/{name}")).headers(headers);
        Self::ask(request.timeout(Duration::from_secs(10)).body(body.to_owned()))
    }

    pub async fn github(&self, event: &str, body: &str) -> Answer {
        self.try_github(event, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::ask(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn drain(&self) -> Value {
        Self::ask(self.request(Method::POST, "/internal/drain")).await.unwrap().expect(200)
    }

    /// Drains until nothing waits.
    pub async fn drain_all(&self) {
        let draining = async {
            while self.drain().await["waiting"] != 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        in_the_end("an empty outbox", draining).await;
    }

    pub async fn tally(&self, contributor: &str) -> Value {
        self.get(&format!("/v1/contributors/{contributor}")).await.expect(200)["tally"].clone()
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        let (mut items, mut next) = (Vec::new(), Some(list.to_owned()));
        while let Some(path) = next {
            let mut page = self.get(&path).await.expect(200);
            items.append(page["items"].as_array_mut().unwrap());
            next = page["next"].as_str().map(|url| url.strip_prefix(&self.url).unwrap_or(url).to_owned());
        }
        items
    }

    /// A gauge or counter without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until the log holds this text.
    pub async fn logged(&self, text: &str) {
        let mut log = self.log.clone();
        let found = in_the_end(text, log.wait_for(|log| log.contains(text))).await.is_ok();
        assert!(found, "it ended without: {text}\n{}", self.log());
    }

    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Pulls the plug.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}
