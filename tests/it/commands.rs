//! Every command that a document prints: run here as printed, in another test, or left with the reason.
//!
//! A block that cannot be run has one of the words in [`NEEDS`], or a comment `<!-- not run: REASON -->` above it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::machine::at_hand;
use crate::support::{
    Client, Log, NO_SECRETS, Output, Plaudit, TOKEN, fixture, in_the_end, isolated, run, talk,
};

/// The blocks that a test runs: the document, how the block's first line begins, and the test.
const RUN: &[(&str, &str, &str)] = &[
    ("README.md", "$ cargo run -- demo", "the_demo_shows_the_recognitions_and_leaves_nothing_behind"),
    ("README.md", "cargo build --release", "the_readme_runs_as_printed_from_the_first_start_to_a_post"),
    ("README.md", ". ./.env", "the_readme_runs_as_printed_from_the_first_start_to_a_post"),
    ("README.md", "curl -sS http", "the_readme_runs_as_printed_from_the_first_start_to_a_post"),
    ("docs/clients.md", "url=${PLAUDIT_URL", "curl_posts_three_contributions_and_reads_the_recognition"),
    ("docs/clients.md", "$ curl --no-buffer", "the_commands_that_listen_run_as_printed"),
    ("docs/clients.md", "$ plaudit import", "the_import_and_the_list_of_the_clients_page_run_as_printed"),
    ("docs/clients.md", "$ curl 'http", "the_import_and_the_list_of_the_clients_page_run_as_printed"),
    (
        "docs/configuration.md",
        "export PLAUDIT_GITHUB_TOKEN=",
        "init_as_printed_connects_github_and_the_third_contribution_is_recognised",
    ),
    (
        "docs/configuration.md",
        "export PLAUDIT_GITLAB_TOKEN=",
        "init_as_printed_connects_gitlab_with_a_signing_token",
    ),
    ("docs/bots.md", "$ plaudit watch --from", "the_commands_that_listen_run_as_printed"),
    ("docs/operations.md", "curl -X DELETE", "the_operators_commands_run_as_printed"),
    ("docs/operations.md", "sqlite3 plaudit.db", "the_operators_commands_run_as_printed"),
    ("docs/install.md", "mkdir -p ~/.local", "the_commands_after_the_installation_run_as_printed"),
    ("docs/install.md", "set -a; .", "the_commands_after_the_installation_run_as_printed"),
    ("docs/install.md", "$ plaudit top", "the_commands_after_the_installation_run_as_printed"),
];

/// What a block needs that a test does not have, by a word of it.
const NEEDS: &[(&str, &str)] = &[
    ("gcloud ", "Google Cloud, or its command line"),
    ("terraform", "Google Cloud"),
    ("my-project", "a project of the reader's own on Google Cloud"),
    ("docker ", "Docker"),
    ("gh api ", "a repository on GitHub"),
    ("OWNER", "a repository or group of the reader's own"),
    ("/run/secrets/", "a secret of GitHub's; they are settings, not commands"),
    ("sudo ", "root"),
    ("cargo install ", "some minutes, for a release build"),
    ("cargo bench ", "some minutes, for a release build, and a machine that does nothing else"),
    (".ci/run", "nothing: it runs the tests"),
];

/// A fenced block.
struct Block {
    document: String,
    language: String,
    text: String,
    /// Why it is not run, where the document says so.
    mark: Option<String>,
}

impl Block {
    fn begins(&self, document: &str, words: &str) -> bool {
        self.document == document && self.text.starts_with(words)
    }

    /// What a reader types: the whole block, or of a console the lines behind the prompt.
    fn commands(&self) -> String {
        if self.language != "console" {
            return self.text.clone();
        }
        let mut continued = false;
        let mut typed = String::new();
        for line in self.text.lines() {
            let command = line.strip_prefix("$ ").or_else(|| continued.then_some(line));
            continued = command.is_some_and(|command| command.ends_with('\\'));
            typed.extend(command.into_iter().flat_map(|command| [command, "\n"]));
        }
        typed
    }
}

/// The blocks of commands in every document.
fn blocks() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)).into_iter();
    let mut blocks = Vec::new();
    for path in documents.chain(docs.filter(|path| path.extension().is_some_and(|it| it == "md"))) {
        let document = path.strip_prefix(root).unwrap().display().to_string();
        let page = std::fs::read_to_string(&path).unwrap();
        let mut lines = page.lines();
        let mut above = "";
        while let Some(line) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                above = line.trim();
                continue;
            };
            let indent = line.len() - line.trim_start().len();
            let inside = lines.by_ref().take_while(|line| line.trim_start() != "```");
            let text: String =
                inside.flat_map(|line| [line.get(indent..).unwrap_or_default(), "\n"]).collect();
            let mark = above.strip_prefix("<!-- not run: ").and_then(|mark| mark.strip_suffix(" -->"));
            if ["sh", "bash", "console"].contains(&language) {
                let (document, language) = (document.clone(), language.to_owned());
                blocks.push(Block { document, language, text, mark: mark.map(str::to_owned) });
            }
            above = "";
        }
    }
    assert!(blocks.len() > 30, "{}", blocks.len());
    blocks
}

/// What a reader types of one block.
fn printed(document: &str, words: &str) -> String {
    let found: Vec<_> = blocks().into_iter().filter(|block| block.begins(document, words)).collect();
    let [block] = &found[..] else { panic!("{} blocks of {document} begin with {words}", found.len()) };
    block.commands()
}

#[test]
fn every_command_that_a_document_prints_is_run_or_needs_what_no_test_has() {
    let blocks = blocks();
    for block in &blocks {
        let Block { document, text, mark, .. } = block;
        let is_run = RUN.iter().any(|(document, words, _)| block.begins(document, words));
        let needs = NEEDS.iter().any(|(word, _)| text.contains(word)) || mark.is_some();
        assert!(is_run || needs, "no test runs this block of {document}, and nothing says why:\n{text}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tests: String = files.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    for (document, words, test) in RUN {
        let found = blocks.iter().filter(|block| block.begins(document, words)).count();
        assert_eq!(found, 1, "blocks of {document} that begin with {words}");
        assert!(tests.contains(&format!("fn {test}(")), "there is no test {test}");
    }
    for (word, why) in NEEDS {
        assert!(blocks.iter().any(|block| block.text.contains(word)), "no block has {word} ({why})");
    }
}

/// A folder in which a document's commands run: the program is on the path, and `cargo build` makes it at once.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (bin, root) = (folder.path().join("bin"), Path::new(env!("CARGO_MANIFEST_DIR")));
        let link = |from: &Path, to: PathBuf| std::os::unix::fs::symlink(from, to).unwrap();
        std::fs::create_dir(&bin).unwrap();
        link(Path::new(env!("CARGO_BIN_EXE_plaudit")), bin.join("plaudit"));
        link(&root.join("fixtures"), folder.path().join("fixtures"));
        let sandbox = Self(folder);
        let built =
            format!("mkdir -p target/release && ln -s '{}/plaudit' target/release/plaudit", bin.display());
        sandbox.script("bin/cargo", &format!("[ \"$*\" = 'build --release' ] && {built}"));
        sandbox
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
    }

    /// A shell that runs these commands and ends at the first that fails.
    fn shell(&self, commands: &str, settings: &[(&str, &str)]) -> Command {
        let mut shell = isolated(Command::new("sh"), settings);
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}/bin:{path}", self.path().display())).env("HOME", self.path());
        shell.current_dir(self.path()).args(["-ec", commands]);
        shell
    }

    /// What these commands print; they must succeed.
    fn prints(&self, commands: &str, settings: &[(&str, &str)]) -> String {
        let Output { code, out, err } = run(&mut self.shell(commands, settings));
        assert_eq!(code, Some(0), "{commands}\n{out}\n{err}");
        out
    }

    /// Starts commands that do not end by themselves.
    fn start(&self, commands: &str, settings: &[(&str, &str)]) -> Running {
        let mut shell = self.shell(commands, settings);
        let mut child = shell.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Log::read(child.stdout.take().unwrap()), Log::read(child.stderr.take().unwrap()));
        Running { child, out, err }
    }
}

/// A shell and what it has started; all of it ends with this.
struct Running {
    child: Child,
    out: Log,
    err: Log,
}

impl Running {
    async fn prints(&self, is: impl Fn(&str) -> bool) -> String {
        self.out.wait(0, is).await
    }

    /// Sends SIGTERM to all of it, and waits for the end.
    async fn end(mut self) {
        self.signal("TERM");
        self.out.ended().await;
        self.err.ended().await;
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        // Of a group that has ended already there is nothing to end.
        let kill = format!("kill -{name} -{} 2>/dev/null", self.child.id());
        drop(Command::new("sh").args(["-c", &kill]).status());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("KILL");
        drop(self.child.wait());
    }
}

/// A document's commands for an instance of the test.
fn at(url: &str, commands: &str) -> String {
    let placed = commands.replace("http://127.0.0.1:8080", url).replace("https://plaudit.example.org", url);
    assert_ne!(placed, commands, "no URL of an instance in {commands}");
    placed
}

#[tokio::test]
async fn the_readme_runs_as_printed_from_the_first_start_to_a_post() {
    if !at_hand("the README's commands", &["openssl", "curl"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let first = printed("README.md", "cargo build --release");
    let serving = sandbox.start(&first, &[("PLAUDIT_LISTEN", "127.0.0.1:0")]);
    let listening = serving.prints(|line| line.starts_with("plaudit listens on ")).await;
    let url = listening.strip_prefix("plaudit listens on ").unwrap();
    assert!(sandbox.path().join("plaudit.db").exists(), "the ledger is one file");

    let second = printed("README.md", ". ./.env");
    let mut being_a_host = sandbox.start(&second, &[("PLAUDIT_URL", url)]);
    let out = being_a_host.out.clone();
    let files = std::fs::read_dir(sandbox.path().join("fixtures/github")).unwrap().count();
    let status = in_the_end("the end of send", async {
        loop {
            if let Some(status) = being_a_host.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(status.await.success(), "{:#?} {:#?}", out.lines(), being_a_host.err.lines());
    let sent = out.lines().iter().filter(|line| line.contains(".json 200 {")).count();
    assert_eq!(sent, files, "{:#?}", out.lines());

    let env = std::fs::read_to_string(sandbox.path().join(".env")).unwrap();
    let token = env.lines().find_map(|line| line.strip_prefix("export PLAUDIT_API_TOKENS=")).unwrap();
    let token = token.split_whitespace().next().unwrap();
    let third = at(url, &printed("README.md", "curl -sS http"));
    let answer: Value =
        serde_json::from_str(&sandbox.prints(&third, &[("PLAUDIT_API_TOKENS", token)])).unwrap();
    assert_eq!((&answer["contributor"], &answer["tally"]), (&"github:octocat".into(), &1.into()), "{answer}");

    // `watch` goes on in the background, and prints what is recognized from now on.
    serving.err.wait(0, |line| line.contains("GET /v1/recognitions/stream 200")).await;
    let client = Client::new(url).with_token(token);
    for n in 0..3 {
        client.post(&talk("grace", &format!("talk-{n}"))).await.expect(201);
    }
    being_a_host.prints(|line| line.contains("\"id\":\"grace:3\"")).await;
    being_a_host.end().await;
    serving.end().await;
}

#[tokio::test]
async fn the_commands_that_listen_run_as_printed() {
    if !at_hand("the commands that listen", &["curl"]) {
        return;
    }
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    let sandbox = Sandbox::new();
    sandbox.script("thank.sh", "cat");
    let stream = sandbox.start(&at(&plaudit.url, &printed("docs/clients.md", "$ curl --no-buffer")), &[]);
    let bot = sandbox.start(&at(&plaudit.url, &printed("docs/bots.md", "$ plaudit watch --from")), &[]);
    let from = plaudit.log.wait(0, |line| line.contains("GET /v1/recognitions/stream 200")).await;
    let first = plaudit.log.lines().iter().position(|line| *line == from).unwrap();
    plaudit.log.wait(first + 1, |line| line.contains("GET /v1/recognitions/stream 200")).await;
    for n in 0..3 {
        plaudit.post(&talk("grace", &format!("talk-{n}"))).await.expect(201);
    }
    for beginning in ["event: recognition", "id: grace:3", "data: {\"id\":\"grace:3\","] {
        stream.prints(|line| line.starts_with(beginning)).await;
    }
    bot.prints(|line| line.starts_with("{\"id\":\"grace:3\",")).await;
    stream.end().await;
    bot.end().await;
    plaudit.stop().await;
}

#[tokio::test]
async fn the_import_and_the_list_of_the_clients_page_run_as_printed() {
    if !at_hand("the commands of the clients' page", &["curl"]) {
        return;
    }
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    let sandbox = Sandbox::new();
    let mut lines: Vec<_> = ["a", "b", "c", "d"].map(|id| talk("grace", id)).into();
    lines[2].as_object_mut().unwrap().remove("kind");
    let lines = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    std::fs::write(sandbox.path().join("talks.jsonl"), lines).unwrap();
    let page =
        blocks().into_iter().find(|block| block.begins("docs/clients.md", "$ plaudit import")).unwrap();
    let Output { code, out, err } = run(&mut sandbox.shell(&at(&plaudit.url, &page.commands()), &[]));
    assert_eq!(code, Some(1), "one line is wrong");
    for line in page.text.lines().skip(1) {
        assert!(out.lines().chain(err.lines()).any(|shown| shown == line), "{line}\n{out}\n{err}");
    }

    let list = at(&plaudit.url, &printed("docs/clients.md", "$ curl 'http"));
    let list: Value = serde_json::from_str(&sandbox.prints(&list, &[])).unwrap();
    let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids.len(), 3, "{list}");
    plaudit.stop().await;
}

#[tokio::test]
async fn the_operators_commands_run_as_printed() {
    if !at_hand("the operator's commands", &["curl", "sqlite3"]) {
        return;
    }
    let plaudit = Plaudit::start().await;
    let sandbox = Sandbox::new();
    plaudit.post(&talk("ada", "talk-16")).await.expect(201);
    plaudit.post(&talk("ada", "talk-17")).await.expect(201);
    let settings = [("PLAUDIT_URL", plaudit.url.as_str()), ("PLAUDIT_TOKEN", TOKEN)];
    let answer = sandbox.prints(&printed("docs/operations.md", "curl -X DELETE"), &settings);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["retracted"], &answer["tally"]), (&true.into(), &1.into()));

    std::os::unix::fs::symlink(plaudit.database(), sandbox.path().join("plaudit.db")).unwrap();
    sandbox.prints(&printed("docs/operations.md", "sqlite3 plaudit.db"), &[]);
    let copy = rusqlite::Connection::open(sandbox.path().join("backup.db")).unwrap();
    let tally: i64 = copy.query_row("SELECT tally FROM contributors", [], |row| row.get(0)).unwrap();
    assert_eq!(tally, 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_commands_after_the_installation_run_as_printed() {
    let plaudit = Plaudit::start().await;
    let sandbox = Sandbox::new();
    sandbox.prints(&printed("docs/install.md", "mkdir -p ~/.local"), &[]);
    for file in ["bash-completion/completions/plaudit", "man/man1/plaudit.1"] {
        assert!(
            std::fs::metadata(sandbox.path().join(".local/share").join(file)).unwrap().len() > 1_000,
            "{file}"
        );
    }
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/plaudit.env");
    std::fs::copy(settings, sandbox.path().join("plaudit.env")).unwrap();
    let checked = sandbox.prints(&printed("docs/install.md", "set -a; ."), &[]);
    assert!(checked.contains("right  configuration") && !checked.contains("wrong"), "{checked}");

    let opened = fixture("github/pull_request.opened.json");
    plaudit.github("pull_request", &opened).await.expect(200);
    plaudit.post(&talk("grace", "talk-17")).await.expect(201);
    let settings = [("PLAUDIT_URL", plaudit.url.as_str()), ("PLAUDIT_TOKEN", TOKEN)];
    let shown = sandbox.prints(&printed("docs/install.md", "$ plaudit top"), &settings);
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [_, _, ada, talk] = &shown[..] else { panic!("{shown:#?}") };
    assert_eq!(ada["contributor"]["id"], "github:ada-quillfeather");
    assert_eq!(talk["contribution"]["id"], "api:api:talk-17");
    plaudit.stop().await;
}
