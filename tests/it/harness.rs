//! A plaudit of the test's own: the real program in a folder of its own, or its inside with seams.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Method};
use plaudit::config::{Config, Flags};
use plaudit::http::{App, Seams};
use plaudit::publish::Publisher;
use plaudit::publish::local::Local;
use plaudit::store::Store;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// When a test gives up on what never comes. Nothing is expected to be quick.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const GITHUB_SECRET: &str = "It's a Secret to Everybody";
pub(crate) const GITLAB_TOKEN: &str = "a plain token that GitLab sends as it is";
/// `whsec_` and base64 of 32 bytes, made up for these tests.
pub(crate) const GITLAB_SIGNING: &str = "whsec_cGxhdWRpdCB0ZXN0cyBvbmx5OiAzMiBieXRlcyEhISE=";
pub(crate) const TOKEN: &str = "a-token-for-the-api";

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a problem of this status and kind that a client can read and report.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let this = self.expect(status);
        assert_eq!(this.header("content-type"), "application/problem+json", "{this:?}");
        let problem = this.json();
        assert_eq!(problem["type"], format!("urn:plaudit:problem:{code}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        let id = problem["request_id"].as_str().unwrap();
        assert!(!id.is_empty() && id == this.header("x-request-id"), "{this:?}");
        if status == 503 {
            assert!(this.header("retry-after").parse::<u32>().unwrap() > 0, "{this:?}");
        }
        problem
    }
}

/// Speaks HTTP to one instance.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) url: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().read_timeout(PATIENCE).build().unwrap();
        Self { url: url.to_owned(), token: None, http }
    }

    /// The same, with a bearer token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends, and fails if there is no answer at all.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Posts a contribution.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.send(self.request(Method::POST, "/v1/contributions").json(body)).await
    }

    pub(crate) async fn try_post(&self, body: &Value) -> Result<Answer, reqwest::Error> {
        self.try_send(self.request(Method::POST, "/v1/contributions").json(body)).await
    }

    /// Posts a contribution under an `Idempotency-Key`.
    pub(crate) async fn post_with_key(&self, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, "/v1/contributions").header("idempotency-key", key);
        self.send(request.json(body)).await
    }

    pub(crate) async fn drain(&self) -> Value {
        self.send(self.request(Method::POST, "/internal/drain")).await.expect(200).json()
    }

    /// A delivery that GitHub signed.
    pub(crate) fn github_request(&self, event: &str, delivery: &str, body: &str) -> reqwest::RequestBuilder {
        self.request(Method::POST, "/webhooks/github")
            .header("content-type", "application/json")
            .header("user-agent", "GitHub-Hookshot/044aadd")
            .header("x-github-event", event)
            .header("x-github-delivery", delivery)
            .header("x-hub-signature-256", github_signature(GITHUB_SECRET, body.as_bytes()))
            .body(body.to_owned())
    }

    /// Sends a delivery as GitHub would.
    pub(crate) async fn github(&self, event: &str, body: &str) -> Answer {
        let delivery = uuid::Uuid::new_v4().to_string();
        self.send(self.github_request(event, &delivery, body)).await
    }

    /// Sends a delivery as GitLab would, with a plain token.
    pub(crate) async fn gitlab(&self, event: &str, body: &str) -> Answer {
        let request = self
            .request(Method::POST, "/webhooks/gitlab")
            .header("content-type", "application/json")
            .header("x-gitlab-event", event)
            .header("x-gitlab-token", GITLAB_TOKEN)
            .header("idempotency-key", uuid::Uuid::new_v4().to_string())
            .header("x-gitlab-webhook-uuid", uuid::Uuid::new_v4().to_string())
            .body(body.to_owned());
        self.send(request).await
    }

    /// Every item of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await.expect(200);
            let body = page.json();
            next = body["next"].as_str().map(str::to_owned);
            let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\"")).unwrap_or_default();
            assert_eq!(page.header("link"), link);
            items.extend(body["items"].as_array().unwrap().iter().cloned());
        }
        items
    }

    /// Every contributor's tally.
    pub(crate) async fn tallies(&self) -> BTreeMap<String, u64> {
        let tally = |c: &Value| (c["id"].as_str().unwrap().to_owned(), c["tally"].as_u64().unwrap());
        self.all("/v1/contributors?order=id&limit=100").await.iter().map(tally).collect()
    }

    /// The ids of all recognitions, sorted.
    pub(crate) async fn recognitions(&self) -> Vec<String> {
        let all = self.all("/v1/recognitions?limit=100").await;
        let mut ids: Vec<_> = all.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Opens the event stream.
    pub(crate) async fn stream(&self, last_event_id: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, "/v1/recognitions/stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { answer, text: String::new() }
    }
}

/// An event stream.
#[derive(Debug)]
pub(crate) struct Events {
    answer: reqwest::Response,
    text: String,
}

/// One event: its id and its data.
#[derive(Debug, PartialEq)]
pub(crate) struct StreamEvent {
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    /// The next event or, with `None`, the stream's end.
    pub(crate) async fn next(&mut self) -> Option<StreamEvent> {
        let come = async {
            loop {
                while let Some((block, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                    };
                    let event = field("data: ").map(|data| {
                        assert_eq!(field("event: ").as_deref(), Some("recognition"));
                        let data = serde_json::from_str(&data).unwrap();
                        StreamEvent { id: field("id: ").unwrap(), data }
                    });
                    self.text = String::from(rest);
                    if event.is_some() {
                        return event;
                    }
                }
                match self.answer.chunk().await {
                    Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, come).await.expect("no event came and the stream did not end")
    }

    /// The ids of the next `n` events.
    pub(crate) async fn ids(&mut self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.next().await.expect("the stream ended").id);
        }
        ids
    }
}

/// What the program says on standard error, line by line.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    grown: watch::Sender<bool>,
}

impl Log {
    fn read(from: impl Read + Send + 'static) -> Self {
        let log = Self { lines: Arc::default(), grown: watch::Sender::new(false) };
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().push(line);
                writer.grown.send_replace(false);
            }
            writer.grown.send_replace(true);
        });
        log
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Every line, each of which must be JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let read = |line: &String| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("a line of the log is no JSON ({e}): {line}"))
        };
        self.lines().iter().map(read).collect()
    }

    /// Waits for a line, counted from `from`, of which this is true.
    pub(crate) async fn wait(&self, from: usize, is: impl Fn(&str) -> bool) -> String {
        let mut grown = self.grown.subscribe();
        let come = async {
            loop {
                let ended = *grown.borrow_and_update();
                if let Some(line) = self.lines().into_iter().skip(from).find(|line| is(line)) {
                    return line;
                }
                assert!(!ended, "standard error ended without the line: {:#?}", self.lines());
                grown.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, come)
            .await
            .unwrap_or_else(|_| panic!("the line never came: {:#?}", self.lines()))
    }

    /// Waits until the program has closed it.
    async fn ended(&self) {
        let mut grown = self.grown.subscribe();
        let ended = tokio::time::timeout(PATIENCE, grown.wait_for(|ended| *ended)).await;
        drop(ended.expect("standard error stays open").unwrap());
    }
}

/// The program, running.
pub(crate) struct Plaudit {
    /// Speaks to it, with its token where it has one.
    pub(crate) client: Client,
    pub(crate) log: Log,
    folder: Arc<TempDir>,
    settings: Vec<(String, String)>,
    child: Option<Child>,
    stopped: bool,
    tolerated: Vec<String>,
}

impl std::ops::Deref for Plaudit {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Plaudit {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts the program with these settings beside or in place of the harness's own.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::beside(&Arc::new(tempfile::tempdir().unwrap()), settings).await
    }

    /// Starts the program on the file that stands, or will, in `folder`.
    pub(crate) async fn beside(folder: &Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("PLAUDIT_LISTEN".into(), "127.0.0.1:0".into()),
            ("PLAUDIT_STORE".into(), format!("sqlite:{}", folder.path().join("plaudit.db").display())),
            ("PLAUDIT_GITHUB_SECRET".into(), GITHUB_SECRET.into()),
            ("PLAUDIT_GITLAB_SECRET".into(), GITLAB_TOKEN.into()),
        ];
        for (name, value) in settings {
            set(&mut all, name, value);
        }
        let mut plaudit = Self {
            client: Client::new(""),
            log: Log { lines: Arc::default(), grown: watch::Sender::new(false) },
            folder: Arc::clone(folder),
            settings: all,
            child: None,
            stopped: false,
            tolerated: Vec::new(),
        };
        plaudit.launch().await;
        plaudit
    }

    async fn launch(&mut self) {
        self.launch_as(Command::new(env!("CARGO_BIN_EXE_plaudit"))).await;
    }

    async fn launch_as(&mut self, program: Command) {
        let mut child =
            isolated(program, &self.settings).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Log::read(child.stdout.take().unwrap());
        self.log = Log::read(child.stderr.take().unwrap());
        self.child = Some(child);
        let log = self.log.clone();
        let listening = tokio::select! {
            line = out.wait(0, |line| line.starts_with("plaudit listens on ")) => line,
            () = log.ended() => panic!("plaudit ended at its start: {:#?}", log.lines()),
        };
        let url = listening.strip_prefix("plaudit listens on ").unwrap();
        self.client = Client::new(url);
        if let Some((_, tokens)) = self.settings.iter().find(|(name, _)| name == "PLAUDIT_API_TOKENS") {
            self.client = self.client.with_token(tokens.split(',').next().unwrap().trim());
        }
    }

    pub(crate) fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("plaudit.db")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A client without the instance's token.
    pub(crate) fn stranger(&self) -> Client {
        Client { token: None, ..self.client.clone() }
    }

    /// Sets a variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        set(&mut self.settings, name, value);
    }

    /// Unsets a variable for the next start.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.retain(|(known, _)| known != name);
    }

    /// Lets the log hold errors with these words.
    pub(crate) fn tolerate(&mut self, words: &str) {
        self.tolerated.push(words.to_owned());
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.log.ended().await;
        self.check_log();
    }

    /// Starts it again on the same file, after [`kill9`](Self::kill9) or [`end`](Self::end).
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.launch().await;
    }

    /// Starts it again, by way of another command.
    pub(crate) async fn restart_as(&mut self, program: Command) {
        assert!(self.child.is_none(), "it still runs");
        self.launch_as(program).await;
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        signal("TERM", self.pid());
    }

    /// Waits for its end, which must be a good one.
    pub(crate) async fn ended(&mut self) {
        let mut child = self.child.take().unwrap();
        self.log.ended().await;
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log.lines());
        self.check_log();
    }

    /// Stops it; it can be started again.
    pub(crate) async fn end(&mut self) {
        self.terminate();
        self.ended().await;
    }

    /// The end of a test: nothing may wait in the outbox, and the log must be clean.
    pub(crate) async fn stop(mut self) {
        let drained = self.drain().await;
        assert_eq!(drained["waiting"], 0, "the outbox is not empty: {drained}");
        self.end().await;
        self.stopped = true;
    }

    /// The end of a test that has ended the program itself.
    pub(crate) fn done(mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.stopped = true;
    }

    fn check_log(&self) {
        let text = self.settings.iter().any(|(name, value)| name == "PLAUDIT_LOG_FORMAT" && value == "text");
        for line in self.log.lines() {
            for (name, secret) in &self.settings {
                let secret = SECRETS.contains(&name.as_str()).then_some(secret.as_str());
                let shown = secret.is_some_and(|all| all.split(',').any(|secret| line.contains(secret)));
                assert!(!shown, "the log shows {name}: {line}");
            }
            for never in ["sha256=", "Bearer ", "\\\"sender\\\"", "\\\"object_kind\\\""] {
                assert!(!line.contains(never), "the log shows a body or a signature: {line}");
            }
            if !text {
                self.check_line(&line);
            }
        }
    }

    fn check_line(&self, line: &str) {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"));
        for field in ["severity", "message", "time"] {
            assert!(json[field].is_string(), "without {field}: {line}");
        }
        let grave = matches!(json["severity"].as_str().unwrap(), "ERROR" | "CRITICAL");
        let tolerated = self.tolerated.iter().any(|words| line.contains(words));
        assert!(!grave || tolerated, "the log holds an error: {line}");
    }
}

impl Drop for Plaudit {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill().and_then(|()| child.wait());
        }
        if std::thread::panicking() {
            eprintln!("the log was:\n{}", self.log.lines().join("\n"));
        } else {
            assert!(self.stopped, "a test must end with `stop` or `done`");
        }
    }
}

const SECRETS: [&str; 4] =
    ["PLAUDIT_GITHUB_SECRET", "PLAUDIT_GITLAB_SECRET", "PLAUDIT_GITLAB_SIGNING_TOKEN", "PLAUDIT_API_TOKENS"];

fn set(settings: &mut Vec<(String, String)>, name: &str, value: &str) {
    settings.retain(|(known, _)| known != name);
    settings.push((name.to_owned(), value.to_owned()));
}

/// The program with these settings and nothing else of this environment.
pub(crate) fn command(settings: &[(impl AsRef<str>, impl AsRef<str>)]) -> Command {
    isolated(Command::new(env!("CARGO_BIN_EXE_plaudit")), settings)
}

/// A command with these settings and nothing else of this environment.
pub(crate) fn isolated(mut command: Command, settings: &[(impl AsRef<str>, impl AsRef<str>)]) -> Command {
    command.env_clear().stdin(Stdio::null());
    for kept in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    command
}

/// Runs a command that must end by itself.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (Log::read(child.stdout.take().unwrap()), Log::read(child.stderr.take().unwrap()));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).unwrap();
            panic!("it did not end by itself: {:#?} {:#?}", out.lines(), err.lines());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |log: &Log| {
        while !*log.grown.borrow() {
            std::thread::sleep(Duration::from_millis(1));
        }
        log.lines().join("\n")
    };
    Output { code: status.code(), out: text(&out), err: text(&err) }
}

/// What a command that ended has said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().unwrap();
    assert!(sent.success());
}

/// GitHub's signature, computed here and not by the code under test.
pub(crate) fn github_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A signature of the Standard Webhooks, computed here and not by the code under test.
pub(crate) fn standard_signature(token: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let engine = base64::engine::general_purpose::STANDARD;
    let key = engine.decode(token.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", engine.encode(mac.finalize().into_bytes()))
}

/// The text of a file in `fixtures/`.
pub(crate) fn fixture(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)).unwrap()
}

/// A pull request that `login` opened.
pub(crate) fn pull_request(number: u64, login: &str) -> String {
    let mut payload: Value = serde_json::from_str(&fixture("github/pull_request.opened.json")).unwrap();
    payload["number"] = number.into();
    payload["pull_request"]["number"] = number.into();
    payload["pull_request"]["user"]["login"] = login.into();
    payload.to_string()
}

/// A contribution through the API.
pub(crate) fn talk(who: &str, id: &str) -> Value {
    json!({"contributor": who, "kind": "talk", "id": id})
}

/// The inside of plaudit, with seams, on a port of its own.
pub(crate) struct Inside {
    pub(crate) client: Client,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl std::ops::Deref for Inside {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Inside {
    pub(crate) async fn start(config: &Config, store: Arc<dyn Store>, seams: Seams) -> Self {
        Self::publishing(config, store, vec![Arc::new(Local)], seams).await
    }

    pub(crate) async fn publishing(
        config: &Config,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        seams: Seams,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
        let app = App::start(config, store, publishers, seams).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(app.serve(listener, async move { stopped.cancelled().await }));
        Self { client, stop, serving }
    }

    pub(crate) fn address(&self) -> String {
        self.client.url.strip_prefix("http://").unwrap().to_owned()
    }

    /// Stops it, and waits for the end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it does not end").unwrap();
    }
}

/// A configuration of these variables, with the harness's secrets.
pub(crate) fn config(flags: &Flags, variables: &[(&str, &str)]) -> Config {
    let env = |name: &str| {
        let given = variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        match name {
            "PLAUDIT_GITHUB_SECRET" => given.or(Some(GITHUB_SECRET.into())),
            "PLAUDIT_GITLAB_SECRET" => given.or(Some(GITLAB_TOKEN.into())),
            _ => given,
        }
    };
    Config::read(flags, &env).unwrap()
}

/// A ledger in a file of its own, and the folder that must live as long.
pub(crate) fn ledger() -> (TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = plaudit::store::sqlite::Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
    (folder, Arc::new(store))
}
