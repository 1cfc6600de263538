//! `plaudit serve`: runs the service until SIGTERM or SIGINT.

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Environment, Failure, say};
use crate::config::{Config, Flags, InvalidConfig, LogFormat};
use crate::http::{App, Overrides};
use crate::runtime::Clock;
use crate::{publish, store, telemetry};

/// Runs the service.
pub async fn run(flags: &Flags, env: &Environment) -> Result<(), Failure> {
    let config = Config::read(flags, &env).map_err(|error| wrong(flags, env, error))?;
    telemetry::install(&config, Clock::system());
    telemetry::report_panics();
    serve(&config).await.map_err(|error| {
        tracing::error!(target: telemetry::FATAL, error = format!("{error:#}"), "plaudit cannot run: {error:#}");
        Failure::Logged
    })
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let store = store::open(&config.store).await.context("the store cannot be opened")?;
    let overrides = Overrides::default();
    let publishers =
        publish::open(config, &overrides.clock).await.context("a destination cannot be opened")?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}; set PLAUDIT_LISTEN to a free address", config.listen)
    })?;
    let address = listener.local_addr()?;
    let stop = stop_signal()?;
    let app = App::start(config, store, publishers, overrides)?;
    say(format_args!("plaudit listens on http://{address}"));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %address, "plaudit listens on http://{address}");
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
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let json = match flags.log_format.as_deref() {
        Some("json") => true,
        Some("text") => false,
        _ => !terminal,
    };
    if !json {
        return Failure::wrong(error);
    }
    let plain = Flags { log_format: Some("json".into()), ..Flags::default() };
    let silent = |name: &str| (name == "GOOGLE_CLOUD_PROJECT").then(|| env(name)).flatten();
    if let Ok(config) = Config::read(&plain, &silent) {
        telemetry::install(&Config { log_format: LogFormat::Json, ..config }, Clock::system());
    }
    tracing::error!(target: telemetry::FATAL, faults = error.0.join("\n"), "{error}");
    Failure::WrongLogged
}
