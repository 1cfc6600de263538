//! `plaudit watch`: the reference consumer of recognitions.
//!
//! A recognition is acknowledged only after it was printed, or after the command ended with exit code 0. So
//! after a crash it is delivered again, and repeats are dropped by their id.

mod event_stream;
mod subscription;

use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::num::NonZeroU64;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Failure, INSTANCE, base_url, plain_url, token, url, without_slips};
use crate::publish::pubsub;
use crate::runtime::{Backoff, Clock};
use crate::settings::{Environment, Flags, Secret, Settings};
use crate::telemetry::{self, Logging};

/// How many ids are kept to drop repeats.
const REMEMBERED: usize = 100_000;
/// How long to wait before the next try at what keeps failing.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// How long a command may still run after SIGINT or SIGTERM.
const LAST_COMMAND: Duration = Duration::from_secs(8);

/// Consumes recognitions and prints one JSON line each.
#[derive(Args, Clone, Debug)]
#[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "these are the words of --help")]
pub struct Watch {
    /// The Pub/Sub subscription to consume instead of the event stream of --from. With
    /// `PUBSUB_EMULATOR_HOST` set, that emulator's [default: none]
    #[arg(long, env = "PLAUDIT_WATCH_SUBSCRIPTION", value_name = "projects/P/subscriptions/S", value_parser = subscription_name, conflicts_with = "from")]
    pub subscription: Option<String>,
    /// The running instance whose event stream is read, with the token in `PLAUDIT_TOKEN` where set
    /// [env: PLAUDIT_URL=] [default: http://127.0.0.1:8080]
    // To clap the variable would be given like the flag, and would conflict with --subscription.
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub from: Option<String>,
    /// Run this with `sh -c` for each recognition, its JSON on standard input, instead of printing it; after
    /// exit code 0 it is acknowledged, after any other delivered again [default: none]
    #[arg(long, env = "PLAUDIT_WATCH_EXEC", value_name = "COMMAND")]
    pub exec: Option<String>,
    /// End after so many different recognitions [default: never]
    #[arg(long, env = "PLAUDIT_WATCH_COUNT", value_name = "NUMBER")]
    pub count: Option<NonZeroU64>,
}

/// Watches until the count is reached, standard output is closed, or SIGINT or SIGTERM comes.
pub async fn command(mut args: Watch, env: &Environment) -> Result<(), Failure> {
    let (flags, get) = (Flags::default(), |name: &str| env.get(name));
    let mut settings = Settings::new(&flags, &get);
    let (token, log) = (token(&mut settings), Logging::read(&mut settings));
    let emulator = pubsub::emulator(&settings);
    let from = url(&mut settings);
    let (token, log, from) =
        without_slips(settings.finish((token, log, from)), env).map_err(Failure::wrong)?;
    plain_url(args.from.get_or_insert(from))?;
    if let Some(missing) = args.exec.as_deref().and_then(missing_command) {
        return Err(Failure::wrong(anyhow!("--exec: there is no command {missing}; write its path")));
    }
    telemetry::install(log, Clock::system());
    run(args, token, emulator).await.map_err(Failure::Failed)
}

async fn run(args: Watch, token: Option<Secret>, pubsub_emulator: Option<String>) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let watching = watch(args, token, pubsub_emulator, std::io::stdout(), stop.clone());
    tokio::pin!(watching);
    tokio::select! {
        ended = &mut watching => return ended,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
    watching.await
}

/// Watches, printing to `out`, until the count is reached, `out` is closed, or `stop` is cancelled.
pub async fn watch(
    args: Watch,
    token: Option<Secret>,
    pubsub_emulator: Option<String>,
    out: impl Write + Send + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let consumer = Consumer {
        exec: args.exec,
        printer: Printer::start(out)?,
        seen: Seen::default(),
        left: args.count.map(NonZeroU64::get),
        stop,
    };
    match &args.subscription {
        Some(name) => subscription::consume(name, pubsub_emulator.as_deref(), consumer).await,
        None => {
            event_stream::consume(args.from.as_deref().unwrap_or(INSTANCE), token.as_ref(), consumer).await
        }
    }
}

/// The outcome of one message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Printed, or handled by the command.
    Done,
    /// Handled before.
    Repeat,
    /// Not a recognition, and why.
    Foreign(String),
    /// The command failed.
    Failed(String),
    /// Perhaps not handled, and no further message will be: the output is closed, or the consumer is stopping.
    Over,
}

/// What every recognition has; fields are only ever added.
#[derive(Deserialize)]
#[allow(dead_code, reason = "only the presence of the fields is checked")]
struct Recognition {
    id: String,
    contributor: Contributor,
    milestone: u64,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only the presence of the field is checked")]
struct Contributor {
    id: String,
}

struct Consumer {
    exec: Option<String>,
    printer: Printer,
    seen: Seen,
    left: Option<u64>,
    stop: CancellationToken,
}

impl Consumer {
    /// Whether `--count` is reached.
    fn full(&self) -> bool {
        self.left == Some(0)
    }

    /// Handles one message. Only after [`Fate::Done`] or [`Fate::Repeat`] may it be acknowledged.
    async fn take(&mut self, data: &[u8]) -> anyhow::Result<Fate> {
        let id = match serde_json::from_slice::<Recognition>(data) {
            Ok(recognition) if !recognition.id.is_empty() => recognition.id,
            Ok(_) => return Ok(Fate::Foreign("its id is empty".into())),
            Err(error) => return Ok(Fate::Foreign(error.to_string())),
        };
        if self.seen.contains(&id) {
            return Ok(Fate::Repeat);
        }
        let line = one_line(data);
        let fate = if let Some(command) = &self.exec {
            match execute(command, &line, &self.stop).await {
                Ok(()) => Fate::Done,
                Err(why) => Fate::Failed(format!("{id}: {why}")),
            }
        } else {
            tokio::select! {
                printed = self.printer.print(line) => match printed {
                    Ok(()) => Fate::Done,
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Fate::Over,
                    Err(error) => return Err(error).context("standard output"),
                },
                () = self.stop.cancelled() => Fate::Over,
            }
        };
        if fate == Fate::Done {
            self.seen.insert(id);
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        Ok(fate)
    }
}

/// JSON on one line. A line break inside a JSON string is always escaped, so replacing raw ones is safe.
fn one_line(json: &[u8]) -> Vec<u8> {
    let space = |byte: &u8| {
        if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }
    };
    let mut line: Vec<u8> = json.trim_ascii().iter().map(space).collect();
    line.push(b'\n');
    line
}

/// The first word of a command, where it names none that `sh` finds: the command would fail for each recognition.
fn missing_command(command: &str) -> Option<&str> {
    let word = command.split_whitespace().next()?;
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "_./-".contains(c));
    let found = || {
        let look = ["-c", "command -v -- \"$1\"", "sh", word];
        let looked = std::process::Command::new("sh").args(look).stdout(Stdio::null()).status();
        looked.is_ok_and(|looked| looked.success())
    };
    (is_plain && !found()).then_some(word)
}

/// Runs the command with the line on its standard input; only exit code 0 is success.
async fn execute(command: &str, line: &[u8], stop: &CancellationToken) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("sh cannot be started: {error}"))?;
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A command may close its standard input without reading all of it.
            let _ = input.write_all(line).await;
        }
    };
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_COMMAND).await;
    };
    tokio::select! {
        ((), ended) = futures::future::join(feed, child.wait()) => match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the command ended with {status}")),
            Err(error) => Err(format!("the command cannot be waited for: {error}")),
        },
        () = late => Err("the command was still running and was ended".into()),
    }
}

/// Prints from a separate thread, so that a blocked pipe cannot keep the consumer from stopping. The thread
/// ends with the process.
struct Printer(std::sync::mpsc::Sender<(Vec<u8>, oneshot::Sender<std::io::Result<()>>)>);

impl Printer {
    fn start(mut out: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let (lines, printing) = std::sync::mpsc::channel::<(Vec<u8>, oneshot::Sender<_>)>();
        let print = move || {
            for (line, printed) in printing {
                let _ = printed.send(out.write_all(&line).and_then(|()| out.flush()));
            }
        };
        std::thread::Builder::new().name("printer".into()).spawn(print)?;
        Ok(Self(lines))
    }

    /// Returns once the line is written.
    async fn print(&self, line: Vec<u8>) -> std::io::Result<()> {
        let ended = || std::io::Error::other("the printer ended");
        let (printed, answer) = oneshot::channel();
        self.0.send((line, printed)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// The ids handled last; the oldest is dropped first.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: String) {
        if !self.ids.insert(id.clone()) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

fn subscription_name(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["projects", project, "subscriptions", name] if !project.is_empty() && !name.is_empty() => {
            Ok(text.to_owned())
        }
        _ => Err("for example projects/my-project/subscriptions/my-bot".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_over_several_lines_becomes_one() {
        assert_eq!(one_line(b"\n{\r\n  \"a\": 1\n}\n"), b"{    \"a\": 1 }\n");
    }

    #[test]
    fn the_memory_of_ids_is_bounded() {
        let mut seen = Seen::default();
        (0..=REMEMBERED).for_each(|i| seen.insert(i.to_string()));
        assert_eq!((seen.ids.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!seen.contains("0") && seen.contains("1"));
    }

    #[test]
    fn only_a_subscriptions_full_name_and_a_web_address_are_taken() {
        assert!(subscription_name("projects/p/subscriptions/s").is_ok());
        for wrong in ["s", "projects//subscriptions/s", "projects/p/topics/s", "projects/p/subscriptions/s/x"]
        {
            assert!(subscription_name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(base_url("https://x.example/plaudit/").as_deref(), Ok("https://x.example/plaudit"));
        assert!(base_url("x.example").is_err() && base_url("ftp://x").is_err());
    }
}
