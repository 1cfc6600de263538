//! `plaudit serve`: runs the service until SIGTERM or SIGINT.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Environment, Failure, say};
use crate::config::Config;
use crate::http::{App, Overrides, Sections};
use crate::runtime::Clock;
use crate::settings::{Flags, InvalidConfig, Settings};
use crate::telemetry::{LogFormat, Logging};
use crate::{publish, store, telemetry};

/// Runs the service.
pub async fn run(flags: &Flags, env: &Environment) -> Result<(), Failure> {
    let config = Config::read(flags, &env).map_err(|error| wrong(flags, env, error))?;
    let Config { listen, store, publish, service, log } = config;
    telemetry::install(log, Clock::system());
    telemetry::report_panics();
    serve(listen, &store, &publish, service).await.map_err(|error| {
        tracing::error!(target: telemetry::FATAL, error = format!("{error:#}"), "plaudit cannot run: {error:#}");
        Failure::Logged
    })
}

async fn serve(
    listen: SocketAddr,
    store: &store::At,
    publish: &publish::Destinations,
    service: Sections,
) -> anyhow::Result<()> {
    let store = store::open(store).await.context("the store cannot be opened")?;
    let overrides = Overrides::default();
    let publishers =
        publish::open(publish, &overrides.clock).await.context("a destination cannot be opened")?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; set PLAUDIT_LISTEN to a free address"))?;
    let address = listener.local_addr()?;
    let stop = stop_signal()?;
    let (posting, reading) = (service.access.who_may_post(), service.access.who_may_read());
    let advice = service.rules.hosts.advice(&service.hosts);
    let app = App::start(service, store, publishers, overrides)?;
    say(format_args!("plaudit listens on http://{address}"));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %address, posting, reading, "plaudit listens on http://{address}");
    if let Some(advice) = advice {
        tracing::info!("{advice}");
    }
    let stopping = async {
        stop.await;
        tracing::info!("stopping: no new connections, requests in flight end, the outbox is drained");
    };
    app.serve(listener, stopping).await;
    Ok(())
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
    let log = Logging::read(&mut Settings::new(flags, &env));
    if log.format == LogFormat::Text {
        return Failure::wrong(error);
    }
    telemetry::install(log, Clock::system());
    tracing::error!(target: telemetry::FATAL, faults = error.0.join("\n"), "{error}");
    Failure::WrongLogged
}
