//! `plaudit serve`: runs the service until SIGTERM or SIGINT.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Configured, Failure, INSTANCE, cause, configured, say};
use crate::config::Config;
use crate::hosts::Opened;
use crate::http::{App, Overrides, Sections, answer_until};
use crate::runtime::{Backoff, Clock};
use crate::settings::{Environment, Flags, InvalidConfig, Settings};
use crate::store::Store;
use crate::telemetry::{LogFormat, Logging};
use crate::{publish, reconcile, store, telemetry};

/// How long to wait before the store is opened again.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// Runs the service.
pub async fn run(flags: &Flags, env: &Environment) -> Result<(), Failure> {
    let Configured { config, unknown } = configured(flags, env).map_err(|error| wrong(flags, env, error))?;
    let Config { listen, store, forget_key, publish, service, log } = config;
    let for_a_person = log.format == LogFormat::Text;
    telemetry::install(log, Clock::system());
    telemetry::report_panics();
    for variable in unknown {
        tracing::warn!(variable, "{variable} is no setting of plaudit and changes nothing");
    }
    serve(listen, &store, forget_key.as_ref(), &publish, service).await.map_err(|error| {
        if for_a_person {
            return Failure::Failed(error);
        }
        tracing::error!(target: telemetry::FATAL, fatal = "cannot_run", "plaudit cannot run: {error:#}");
        Failure::Logged
    })
}

async fn serve(
    listen: SocketAddr,
    store: &store::At,
    forget_key: Option<&store::ForgetKey>,
    publish: &publish::Destinations,
    service: Sections,
) -> anyhow::Result<()> {
    let screen = Screen::new(store, publish, &service);
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        anyhow!("cannot listen on {listen}: {}; set PLAUDIT_LISTEN to another address", cause(&error))
    })?;
    let address = listener.local_addr()?;
    let mut stop = std::pin::pin!(stop_signal()?);
    let url = format!("http://{address}");
    let mut listening = Some(format!("plaudit listens on {url}\n{screen}{}", what_next(&url)));
    let mut say_listening = move || listening.take().into_iter().for_each(say);
    let store = tokio::select! {
        () = &mut stop => {
            tracing::info!("stopped; the ledger was not reached");
            return Ok(());
        }
        store = answer_until(&listener, reach(store, forget_key, &mut say_listening)) => store?,
    };
    let overrides = Overrides::default();
    let publishers =
        publish::open(publish, &overrides.clock).await.context("a destination cannot be opened")?;
    let (posting, reading) = (service.access.who_may_post(), service.access.who_may_read());
    let reconciling = reconciling(&service);
    let advice = [service.rules.hosts.advice(&service.hosts), service.rules.advice()];
    let app = App::start(service, store, publishers, overrides)?;
    say_listening();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %address, posting, reading, reconciling, "plaudit listens on http://{address}");
    for advice in advice.into_iter().flatten() {
        tracing::info!("{advice}");
    }
    let stopping = async {
        stop.await;
        tracing::info!("stopping: no new connections, requests in flight end, the outbox is drained");
    };
    app.serve(listener, stopping).await;
    Ok(())
}

/// Opens the store; where it may open later, tries until it does. Calls `waits` before it waits.
async fn reach(
    at: &store::At,
    key: Option<&store::ForgetKey>,
    mut waits: impl FnMut(),
) -> anyhow::Result<Arc<dyn Store>> {
    let (mut failures, mut said) = (0, String::new());
    loop {
        let error = match store::open(at, key).await {
            Ok(store) => {
                if failures > 0 {
                    tracing::info!(failures, "the ledger {at} is reached; plaudit takes deliveries");
                }
                return Ok(store);
            }
            Err(error) => error,
        };
        let why = store::cannot_open(at, &error);
        if !store::may_open_later(at, &error) {
            bail!(why);
        }
        waits();
        if why != said {
            tracing::warn!("{why}; plaudit answers 503 and tries again until the ledger opens");
            said = why;
        }
        tokio::time::sleep(AGAIN.jittered(failures)).await;
        failures += 1;
    }
}

/// What a person wants to know at the start, a line each.
struct Screen(Vec<(&'static str, String)>);

impl Screen {
    /// Made before the ledger is opened, which makes a new one.
    fn new(store: &store::At, publish: &publish::Destinations, service: &Sections) -> Self {
        let ledger = match store {
            store::At::Sqlite(path) if !path.exists() => format!("{store}, which is new"),
            _ => store.to_string(),
        };
        let hosts = service.hosts.iter().map(|Opened { known, host }| match host {
            Some(_) => format!("{} at /webhooks/{}", known.name, known.name),
            None => format!("{} is off: to turn it on set {}", known.name, known.set),
        });
        let comments = if publish.comment.is_some() { ", and comments on GitHub" } else { "" };
        let recognitions = match &publish.to {
            publish::To::Local => format!("the event stream, the API and the log{comments}"),
            to @ publish::To::Pubsub { .. } => format!("{to}{comments}"),
        };
        let mut lines = vec![("ledger", ledger)];
        lines.extend(hosts.map(|host| ("host", host)));
        lines.push(("posting", service.access.who_may_post()));
        lines.push(("reading", service.access.who_may_read()));
        lines.push(("milestones", service.milestones.to_string()));
        lines.push(("recognitions", recognitions));
        lines.push(("reconciling", reconciling(service)));
        Self(lines)
    }
}

/// Whether failed deliveries are asked for again, or what is missing for it.
fn reconciling(service: &Sections) -> String {
    let Sections { reconciling, hosts, .. } = service;
    if reconciling.all.is_empty() {
        return format!("off: {}", reconciling.advice(hosts));
    }
    let entries: Vec<_> = reconciling.all.iter().map(|one| one.entry()).collect();
    format!("{} {}", entries.join(", "), reconcile::when(reconciling))
}

/// What to run and what to open in a browser, as the last lines of the first screen.
fn what_next(url: &str) -> String {
    let from = if url == INSTANCE { String::new() } else { format!(" --from {url}") };
    format!("  leaderboard  plaudit top{from}\n  open         {url}/ or, for the API, {url}/docs")
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, is)| writeln!(f, "  {what:<12} {is}"))
    }
}

/// Resolves at SIGTERM or SIGINT.
pub(crate) fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Reports a wrong configuration: as text on a terminal, else as one line of the JSON log.
fn wrong(flags: &Flags, env: &Environment, error: InvalidConfig) -> Failure {
    // Its faults are among those of `error`.
    let log = Logging::read(&mut Settings::new(flags, &|name| env.get(name)));
    if log.format == LogFormat::Text {
        return Failure::wrong(error);
    }
    telemetry::install(log, Clock::system());
    tracing::error!(target: telemetry::FATAL, fatal = "wrong_configuration", faults = error.0.join("\n"), "{error}");
    Failure::WrongLogged
}
