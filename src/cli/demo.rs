//! `plaudit demo`: a private instance that shows from deliveries to recognitions how plaudit works.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failure, say};
use crate::cli::serve::stop_signal;
use crate::config::Config;
use crate::hosts::{DEMO, Opened};
use crate::http::{App, Overrides};
use crate::runtime::{Clock, client_for};
use crate::settings::Flags;
use crate::{publish, store, telemetry};

/// How long to wait for each recognition.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a private instance, sends it deliveries and posts, and shows the recognitions that follow.
pub async fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let random = uuid::Uuid::new_v4().to_string();
    let env = |name: &str| match name {
        "PLAUDIT_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "PLAUDIT_GITHUB_SECRET" | "PLAUDIT_GITLAB_SECRET" | "PLAUDIT_API_TOKENS" => Some(random.clone()),
        "PLAUDIT_LOG" => Some("warn".to_owned()),
        _ => None,
    };
    let Config { listen, publish, service, log, .. } = Config::read(&Flags::default(), &env)?;
    telemetry::install(log, Clock::system());

    let store = store::At::Sqlite(folder.path().join("demo.db"));
    let store = store::open(&store).await?;
    let overrides = Overrides::default();
    let publishers = publish::open(&publish, &overrides.clock).await?;
    let listener = TcpListener::bind(listen).await.context("no free port on the loopback address")?;
    let url = format!("http://{}", listener.local_addr()?);
    let hosts = service.hosts.clone();
    let app = App::start(service, store, publishers, overrides)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serving = app.serve(listener, async move { stopped.cancelled().await });
    let interrupted = stop_signal().context("signals cannot be handled")?;
    let showing = async {
        let shown = tokio::select! {
            shown = show(&url, &hosts, &random) => shown,
            () = interrupted => Err(anyhow!("interrupted")),
        };
        stop.cancel();
        shown
    };
    let (shown, ()) = tokio::join!(showing, serving);
    drop(folder);
    shown?;
    say(
        "\nThat is all: signed deliveries come in, the ledger counts them, recognitions go out. The temporary ledger is deleted.",
    );
    Ok(())
}

async fn show(url: &str, hosts: &[Opened], token: &str) -> anyhow::Result<()> {
    say(format_args!(
        "A private instance listens on {url}. Its ledger is empty and is deleted when the demo ends.\n"
    ));
    let client = client_for(&url.parse()?).build()?;
    let mut stream = client.get(format!("{url}/v1/recognitions/stream")).send().await?;
    for (host, event, payload) in DEMO {
        deliver(&client, url, hosts, (host, event, payload)).await?;
    }
    say("\nOther clients post to the API; the same contribution again does not count:");
    for id in ["talk-1", "talk-2", "talk-3", "talk-3"] {
        post(&client, url, token, id).await?;
    }
    say("\nThe recognitions that followed, from the event stream:");
    for expected in ["github", "gitlab", "plain"] {
        let message = tokio::time::timeout(PATIENCE, next(&mut stream)).await;
        let message =
            message.with_context(|| format!("no recognition arrived within {} s", PATIENCE.as_secs()))??;
        let host = message.pointer("/contributor/host").and_then(Value::as_str).unwrap_or("plain");
        ensure!(host == expected, "expected the recognition of a {expected} contributor, got {message}");
        say(format_args!("  {message}"));
    }
    say("\nThe contributors, most contributions first:");
    let ledger: Value = client.get(format!("{url}/v1/contributors")).send().await?.json().await?;
    for contributor in ledger.get("items").and_then(Value::as_array).into_iter().flatten() {
        let text = |name| contributor.get(name).map(ToString::to_string).unwrap_or_default();
        say(format_args!("  {} has {}", text("id").trim_matches('"'), text("tally")));
    }
    Ok(())
}

async fn deliver(
    client: &reqwest::Client,
    url: &str,
    hosts: &[Opened],
    (host, event, payload): (&str, &str, &'static str),
) -> anyhow::Result<()> {
    let signer = hosts.iter().find(|opened| opened.known.name == host);
    let signer = signer.and_then(|opened| opened.host.as_ref());
    let signer = signer.ok_or_else(|| anyhow!("no such host: {host}"))?;
    let id = uuid::Uuid::new_v4().to_string();
    let headers = signer.sign(event, &id, payload.as_bytes(), Clock::system().now());
    let answer = client.post(format!("{url}/webhooks/{host}")).headers(headers).body(payload).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{host} {event} was answered with {status}: {text}");
    say(format_args!("{host} sends a signed `{event}`\n  {} {text}", status.as_u16()));
    Ok(())
}

async fn post(client: &reqwest::Client, url: &str, token: &str, id: &str) -> anyhow::Result<()> {
    let body = json!({"contributor": "Grace", "kind": "talk", "id": id, "title": "What a ledger is for"});
    let posted = client.post(format!("{url}/v1/contributions")).bearer_auth(token).json(&body);
    let answer = posted.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "a post was answered with {status}: {text}");
    say(format_args!("  {} {text}", status.as_u16()));
    Ok(())
}

/// The next event's JSON.
async fn next(stream: &mut reqwest::Response) -> anyhow::Result<Value> {
    let mut text = String::new();
    loop {
        let chunk = stream.chunk().await?.ok_or_else(|| anyhow!("the event stream ended"))?;
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                return Ok(serde_json::from_str(data)?);
            }
            text = rest.to_owned();
        }
    }
}
