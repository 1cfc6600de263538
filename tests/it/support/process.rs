//! The real program, started as a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::log::Log;
use super::{Client, GITHUB_SECRET, GITLAB_TOKEN, PATIENCE, TOKEN};

/// The variables of a process.
#[derive(Clone, Debug)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// A free port, the secrets and the token of the tests, and this store.
    pub(crate) fn new(store: impl Into<String>) -> Self {
        Self(BTreeMap::new())
            .with("PLAUDIT_LISTEN", "127.0.0.1:0")
            .with("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET)
            .with("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN)
            .with("PLAUDIT_API_TOKENS", TOKEN)
            .with("PLAUDIT_STORE", store)
    }

    /// The same, with the ledger in a file of `folder`.
    pub(crate) fn in_folder(folder: &TempDir) -> Self {
        Self::new(format!("sqlite:{}", folder.path().join("plaudit.db").display()))
    }

    /// The same with this variable, which replaces one of the same setting. An empty value unsets it.
    pub(crate) fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let (mut more, value) = (self.clone(), value.into());
        more.0.remove(name.strip_suffix("_FILE").unwrap_or(name));
        if !value.is_empty() {
            more.0.insert(name.to_owned(), value);
        }
        more
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Runs a command of the program, which must end by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(self.command().args(arguments))
    }

    /// The program with these variables.
    pub(crate) fn command(&self) -> Command {
        command(&self.0.iter().collect::<Vec<_>>())
    }

    /// Starts one of several processes that a test may kill: at its end neither its outbox nor its log is checked.
    pub(crate) async fn start(&self) -> Plaudit {
        let mut plaudit = Plaudit::new(self.clone(), None);
        plaudit.stopped = true;
        plaudit.launch().await;
        plaudit
    }
}

/// The program, running. A test ends with [`stop`](Self::stop) or [`done`](Self::done), unless it was started
/// by [`Environment::start`].
pub(crate) struct Plaudit {
    /// Sends it requests, with its token where it has one.
    pub(crate) client: Client,
    pub(crate) log: Log,
    out: Log,
    folder: Option<Arc<TempDir>>,
    environment: Environment,
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

    /// Starts the program with these settings, which replace those of every test.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::beside(&Arc::new(tempfile::tempdir().unwrap()), settings).await
    }

    /// Starts the program on the ledger in `folder`, where there may be one already.
    pub(crate) async fn beside(folder: &Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let environment = Environment::in_folder(folder);
        let environment = settings.iter().fold(environment, |all, (name, value)| all.with(name, *value));
        let mut plaudit = Self::new(environment, Some(Arc::clone(folder)));
        plaudit.launch().await;
        plaudit
    }

    fn new(environment: Environment, folder: Option<Arc<TempDir>>) -> Self {
        let (client, log, out) = (Client::new(""), Log::empty(), Log::empty());
        Self { client, log, out, folder, environment, child: None, stopped: false, tolerated: Vec::new() }
    }

    async fn launch(&mut self) {
        self.launch_as(Command::new(env!("CARGO_BIN_EXE_plaudit"))).await;
    }

    async fn launch_as(&mut self, program: Command) {
        let settings: Vec<_> = self.environment.0.iter().collect();
        let mut child =
            isolated(program, &settings).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.out = Log::read(child.stdout.take().unwrap());
        self.log = Log::read(child.stderr.take().unwrap());
        self.child = Some(child);
        let log = self.log.clone();
        let listening = tokio::select! {
            line = self.out.wait(0, |line| line.starts_with("plaudit listens on ")) => line,
            () = log.ended() => panic!("plaudit ended at its start: {:#?}", log.lines()),
        };
        let url = listening.strip_prefix("plaudit listens on ").unwrap();
        self.client = Client::new(url);
        if let Some(tokens) = self.environment.get("PLAUDIT_API_TOKENS") {
            self.client = self.client.with_token(tokens.split(',').next().unwrap().trim());
        }
    }

    /// What it has printed at its start.
    pub(crate) async fn printed(&self) -> String {
        self.out.wait(0, |line| line.contains("/docs")).await;
        self.out.lines().join("\n")
    }

    /// What a command needs to work on the same ledger.
    pub(crate) fn same_settings(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn folder(&self) -> &Arc<TempDir> {
        self.folder.as_ref().unwrap()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder().path().join("plaudit.db")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sets a variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment = self.environment.with(name, value);
    }

    /// Unsets a variable for the next start.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.0.remove(name);
    }

    /// Allows errors that contain these words in the log.
    pub(crate) fn tolerate(&mut self, words: &str) {
        self.tolerated.push(words.to_owned());
    }

    /// Waits until a line of the log contains this text.
    pub(crate) async fn logged(&self, text: &str) {
        self.log.wait(0, |line| line.contains(text)).await;
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.log.ended().await;
    }

    /// Kills it, and checks its log.
    pub(crate) async fn kill9(&mut self) {
        self.kill().await;
        self.check_log();
    }

    /// Starts it again on the same file, after [`kill9`](Self::kill9) or [`end`](Self::end).
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.launch().await;
    }

    /// Starts it again, through another command.
    pub(crate) async fn restart_as(&mut self, program: Command) {
        assert!(self.child.is_none(), "it still runs");
        self.launch_as(program).await;
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        signal("TERM", self.pid());
    }

    /// Waits for its end, with exit code 0 and a clean log.
    pub(crate) async fn ended(&mut self) {
        let mut child = self.child.take().unwrap();
        self.log.ended().await;
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log.lines());
        self.check_log();
    }

    /// Waits for its end, with exit code 0.
    pub(crate) fn reap(&mut self) {
        let status = self.child.take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log.lines());
    }

    /// Stops it; it can be started again.
    pub(crate) async fn end(&mut self) {
        self.terminate();
        self.ended().await;
    }

    /// Ends a test: nothing may wait in the outbox, and the log must be clean.
    pub(crate) async fn stop(mut self) {
        let drained = self.drain().await;
        assert_eq!(drained["waiting"], 0, "the outbox is not empty: {drained}");
        self.end().await;
        self.stopped = true;
    }

    /// Ends a test that has ended the program itself.
    pub(crate) fn done(mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.stopped = true;
    }

    fn check_log(&self) {
        let text = self.environment.get("PLAUDIT_LOG_FORMAT") == Some("text");
        for line in self.log.lines() {
            for name in SECRETS {
                let secrets = self.environment.get(name);
                let shown = secrets.is_some_and(|all| all.split(',').any(|secret| line.contains(secret)));
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

const SECRETS: [&str; 6] = [
    "PLAUDIT_GITHUB_SECRET",
    "PLAUDIT_GITLAB_SECRET",
    "PLAUDIT_GITLAB_SIGNING_TOKEN",
    "PLAUDIT_API_TOKENS",
    "PLAUDIT_POST_TOKENS",
    "PLAUDIT_READ_TOKENS",
];

/// The program with these variables, and of this process's environment only what it needs to run.
pub(crate) fn command(settings: &[(impl AsRef<str>, impl AsRef<str>)]) -> Command {
    isolated(Command::new(env!("CARGO_BIN_EXE_plaudit")), settings)
}

/// A command with these variables, and of this process's environment only what it needs to run.
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

/// Runs a command of the program on a terminal; what it has printed, errors too, is in `out`. Needs `script`.
pub(crate) fn on_terminal(arguments: &[&str], settings: &[(impl AsRef<str>, impl AsRef<str>)]) -> Output {
    let quoted = arguments.iter().map(|argument| format!(" '{argument}'"));
    let line = format!("'{}'{}", env!("CARGO_BIN_EXE_plaudit"), quoted.collect::<String>());
    run(isolated(Command::new("script"), settings).env("TERM", "xterm").args(["-qec", &line, "/dev/null"]))
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
    Output { code: status.code(), out: out.whole(), err: err.whole() }
}

/// What a command has printed, and its exit code.
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
