//! `plaudit send`: signs payload files as a host does, and posts them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use http::HeaderMap;

use super::terminal::escaped;
use super::{Failure, base_url, cause, no_answer, plain_url, say, without_slips};
use crate::hosts::{self, Opened};
use crate::runtime::{Clock, client_for};
use crate::settings::{Environment, Flags, Settings};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one answer may take: more than the 30 s that plaudit gives to a body.
const PATIENCE: Duration = Duration::from_mins(1);

/// The arguments of `plaudit send`.
#[derive(Args, Debug)]
pub struct Send {
    /// Payload files, such as `fixtures/github/pull_request.opened.json`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The instance to send to
    #[arg(long, env = "PLAUDIT_URL", hide_env_values = true, default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = base_url)]
    to: String,
    /// github or gitlab [default: by the file's folder]
    #[arg(long, env = "PLAUDIT_SEND_HOST", value_name = "HOST")]
    host: Option<String>,
    /// The event, as the host's header names it [default: by the file's name]
    #[arg(long, env = "PLAUDIT_SEND_EVENT", value_name = "EVENT")]
    event: Option<String>,
}

/// Sends every file; fails if any is not answered with 200.
pub async fn run(send: Send, env: &Environment) -> Result<(), Failure> {
    let (flags, get) = (Flags::default(), |name: &str| env.get(name));
    let mut settings = Settings::new(&flags, &get);
    let hosts = hosts::open(&mut settings);
    let hosts = without_slips(settings.finish(hosts), env).map_err(Failure::wrong)?;
    let mut deliveries = Vec::new();
    for file in &send.files {
        deliveries.push(read(file, &send, &hosts).map_err(Failure::wrong)?);
    }
    // A redirect would take the secret of GitLab's plain tokens to another host.
    let client = client_for(&plain_url(&send.to)?)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .build()?;
    let mut refused = 0;
    for (file, (host, headers, body)) in send.files.iter().zip(deliveries) {
        let url = format!("{}/webhooks/{host}", send.to.trim_end_matches('/'));
        let answer = client.post(&url).headers(headers).body(body).send().await;
        let answer = answer.map_err(|error| no_answer(&url, &error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| no_answer(&url, &error))?;
        say(format_args!("{} {} {}", file.display(), status.as_u16(), escaped(text.trim_end())));
        refused += usize::from(!status.is_success());
    }
    if refused > 0 {
        return Err(Failure::failed(anyhow!("{refused} of {} deliveries were refused", send.files.len())));
    }
    Ok(())
}

fn read(file: &Path, send: &Send, hosts: &[Opened]) -> anyhow::Result<(&'static str, HeaderMap, Vec<u8>)> {
    let body = std::fs::read(file).map_err(|error| {
        anyhow!(
            "{} cannot be read: {}; name a file that holds a payload, such as fixtures/github/issues.opened.json",
            file.display(),
            cause(&error)
        )
    })?;
    let place = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = place.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let host = send.host.as_deref().or(folder).unwrap_or_default();
    let opened = hosts.iter().find(|opened| opened.known.name == host);
    let Opened { known, host } = opened.ok_or_else(|| {
        let names: Vec<_> = hosts.iter().map(|opened| format!("--host {}", opened.known.name)).collect();
        anyhow!("{}: the host is unknown; set {}", file.display(), names.join(" or "))
    })?;
    let file_name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let event =
        send.event.clone().or_else(|| hosts::event_of_fixture(known.name, file_name).map(str::to_owned));
    let event = event.ok_or_else(|| {
        anyhow!("{}: the event is unknown; set --event to its name in the host's header", file.display())
    })?;
    let nothing = || anyhow!("there is no secret to sign with; set {} as on the instance", known.set);
    let signer = host.as_ref().ok_or_else(nothing)?;
    let id = uuid::Uuid::new_v4().to_string();
    let headers = signer.sign(&event, &id, &body, Clock::system().now());
    Ok((known.name, headers, body))
}
