//! `plaudit backfill`: reads history through a host's API, and records it in the configured ledger.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};

use super::terminal::escaped;
use super::{Configured, Failure, base_url, configured, init, say};
use crate::backfill::{self, Ledger, Plan, Progress, Sums, Watcher};
use crate::config::Config;
use crate::domain::{Moment, parse_moment};
use crate::hosts::{Api, History, KNOWN, Known, Notice, Patient};
use crate::mailmap::Mailmap;
use crate::outbox::Outbox;
use crate::publish;
use crate::record::Recorder;
use crate::runtime::{Clock, Tasks};
use crate::settings::{Environment, Flags, Secret, Settings};
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// The arguments of `plaudit backfill`.
#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
pub enum Backfill {
    /// Reads pull requests, issues and commits of a repository, or of all repositories of an owner, with the token in
    /// PLAUDIT_GITHUB_TOKEN, or as the GitHub App in PLAUDIT_GITHUB_APP_ID and PLAUDIT_GITHUB_APP_KEY.
    ///
    /// It counts as history: the milestones that are reached are taken as recognized, and nothing is announced. A run
    /// that was interrupted goes on where it stopped; after a whole one, the next reads what is new.
    Github {
        /// OWNER/REPO, or an owner
        #[arg(value_name = "OWNER[/REPO]")]
        name: String,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        flags: Flags,
    },
    /// Reads merge requests, issues and commits of a project, or of all projects of a group or an account, with the
    /// token in PLAUDIT_GITLAB_TOKEN.
    ///
    /// It counts as history, as that of GitHub does.
    Gitlab {
        /// The path of a project or a group, or the name of an account
        #[arg(value_name = "GROUP[/PROJECT]")]
        name: String,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        flags: Flags,
    },
}

/// What is read, and how it is recorded.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
pub struct How {
    /// Only what changed then or later: 2026-11-24, or a time such as 2026-11-24T10:00:00Z [default: everything, or
    /// after a whole run what is new since then]
    #[arg(long, value_name = "DATE", value_parser = date)]
    since: Option<Moment>,
    /// Read everything, whatever was read before. Nothing counts twice.
    #[arg(long)]
    again: bool,
    /// Read everything and write nothing; say what would count
    #[arg(long)]
    dry_run: bool,
    /// Recognize the milestones that are reached, as for live contributions
    #[arg(long)]
    recognize: bool,
}

fn date(text: &str) -> Result<Moment, String> {
    parse_moment(text)
        .or_else(|| parse_moment(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "a date such as 2026-11-24, or a time such as 2026-11-24T10:00:00Z".to_owned())
}

/// Reads the history, and prints what became of it.
pub async fn run(backfill: Backfill, env: &Environment) -> Result<(), Failure> {
    let (host, name, how, flags) = match backfill {
        Backfill::Github { name, how, flags } => ("github", name, how, flags),
        Backfill::Gitlab { name, how, flags } => ("gitlab", name, how, flags),
    };
    let known = KNOWN.iter().find(|known| known.name == host).ok_or_else(|| anyhow!("{host} is unknown"))?;
    let Configured { config, .. } = configured(&flags, env).map_err(Failure::wrong)?;
    let history = open(known, &name, &config, &flags, env)?;
    let mut sums = Sums::default();
    let outcome = read(history.as_ref(), &how, config, &mut sums).await;
    let (calls, dry) = (history.calls(), if how.dry_run { "; a dry run: nothing was written" } else { "" });
    say(format_args!("{name}: {sums}, {calls} API calls{dry}"));
    outcome
}

/// The history of what the user names, through the API that is configured.
fn open(
    known: &Known,
    name: &str,
    config: &Config,
    flags: &Flags,
    env: &Environment,
) -> Result<Box<dyn History>, Failure> {
    let source = known.history.ok_or_else(|| anyhow!("the history of {} cannot be read", known.name))?;
    let get = |name: &str| env.get(name);
    let mut settings = Settings::new(flags, &get);
    let api = settings.value(&source.api, source.public_api.to_owned(), base_url);
    let renewal = (source.instead)(&mut settings, name);
    let (api, renewal) = settings.finish((api, renewal)).map_err(Failure::wrong)?;
    let renewal = renewal.map_err(|wrong| Failure::wrong(anyhow!("{wrong}")))?;
    let nothing = Secret::new("");
    let token = match &renewal {
        Some(_) => nothing.clone(),
        None => init::token(&known.setup.token, source.permission, env)?,
    };
    let api = Api::new(known.setup.title, &api, &token, &nothing).map_err(Failure::wrong)?;
    let notice: Notice = Arc::new(warn);
    let patient = Patient::new(api, renewal, Clock::system(), notice);
    (source.open)(patient, name, &config.service.rules).map_err(|wrong| Failure::wrong(anyhow!("{wrong}")))
}

async fn read(history: &dyn History, how: &How, config: Config, sums: &mut Sums) -> Result<(), Failure> {
    let plan = Plan { since: how.since, again: how.again, recognize: how.recognize };
    let (clock, terminal) = (Clock::system(), Terminal::new());
    let addresses = config.service.rules.addresses.clone();
    let store = match &config.store {
        // Opening it would make it.
        store::At::Sqlite(path) if how.dry_run && !path.exists() => None,
        at => Some(
            store::open(at, config.forget_key.as_ref())
                .await
                .map_err(|error| anyhow!("{}", store::cannot_open(at, &error)))?,
        ),
    };
    if let Some(store) = &store {
        Mailmap::new(Arc::clone(store), addresses).load().await?;
    }
    let tasks = Tasks::default();
    let recorder = match &store {
        Some(store) if !how.dry_run => Some(recorder(store, config, &clock, how.recognize, &tasks).await?),
        _ => None,
    };
    let ledger = match (&store, &recorder) {
        (Some(store), Some(recorder)) => Ledger::Write { store: store.as_ref(), recorder },
        (store, _) => Ledger::DryRun { store: store.as_deref() },
    };
    let backfill = backfill::Backfill { history, ledger, plan, clock: &clock, watcher: &terminal };
    let outcome = backfill.run(sums).await;
    terminal.end();
    tasks.end().await;
    if let Some(store) = store {
        store.close().await;
    }
    outcome.map_err(|error| {
        let again = if how.dry_run { "" } else { "; run this again: it goes on where it stopped" };
        Failure::failed(anyhow!("{}{again}", escaped(&error.to_string())))
    })
}

/// What records into the ledger, with the milestones and destinations of the service. Only what is recognised as live
/// is published from here too; the rest waits for the service.
async fn recorder(
    store: &Arc<dyn Store>,
    config: Config,
    clock: &Clock,
    recognize: bool,
    tasks: &Tasks,
) -> Result<Recorder, Failure> {
    let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
    let metrics = Metrics::new(&names)?;
    let publishers = publish::open(&config.publish, clock).await.context("a destination cannot be opened")?;
    let milestones = config.service.milestones;
    let outbox =
        Outbox::new(Arc::clone(store), publishers, milestones.clone(), clock.clone(), metrics.clone());
    let outbox = Arc::new(outbox);
    if recognize {
        tasks.spawn(Arc::clone(&outbox).run(tasks.stopping()));
    }
    Ok(Recorder::start(store, &outbox, &milestones, clock, &metrics, tasks))
}

/// Prints a line on standard error, over a line of progress.
fn warn(line: &str) {
    let mut out = io::stderr().lock();
    let start = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(out, "{start}{}", escaped(line));
}

/// Shows the progress to a person.
struct Terminal {
    /// The repository and part that are read, and since when.
    reading: RefCell<Option<(String, Instant)>>,
}

impl Terminal {
    fn new() -> Self {
        Self { reading: RefCell::new(None) }
    }

    /// Ends the line of progress.
    fn end(&self) {
        let mut out = io::stderr().lock();
        if out.is_terminal() && self.reading.borrow().is_some() {
            let _ = writeln!(out);
        }
    }
}

impl Watcher for Terminal {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate for a person"
    )]
    fn progress(&self, progress: &Progress<'_>) {
        let mut out = io::stderr().lock();
        if !out.is_terminal() {
            return;
        }
        let Progress { repository, part, things, total } = *progress;
        let name = escaped(&format!("{repository} {part}"));
        let mut reading = self.reading.borrow_mut();
        let begun = match reading.as_ref() {
            Some((known, begun)) if *known == name => *begun,
            _ => Instant::now(),
        };
        *reading = Some((name.clone(), begun));
        let rate = things as f64 / begun.elapsed().as_secs_f64().max(0.001);
        let left = total.map(|total| total.saturating_sub(things) as f64 / rate.max(0.001));
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        let left = left.map(|left| format!(", {} s left", left.ceil() as u64)).unwrap_or_default();
        let _ = write!(out, "\r\x1b[K{name}: {things}{of}, {rate:.0} a second{left}");
        let _ = out.flush();
    }

    fn say(&self, line: &str) {
        warn(line);
    }
}
