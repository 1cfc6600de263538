//! `plaudit demo`: a private instance that shows from deliveries to recognitions how plaudit works.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::terminal::{BAD, FAINT, GOLD, GOOD, column, dots, is_terminal, print, styled};
use super::{Failure, INSTANCE, say};
use crate::cli::serve::stop_signal;
use crate::config::Config;
use crate::hosts::{DEMO, DemoDelivery, Opened};
use crate::http::{App, Overrides};
use crate::runtime::{Clock, client_for};
use crate::settings::Flags;
use crate::{publish, store, telemetry};

/// How long to wait for each recognition.
const PATIENCE: Duration = Duration::from_secs(20);
/// The milestone of the demo, which is the default one.
const MILESTONE: u64 = 3;

/// The arguments of `plaudit demo`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Demo {
    /// Print one JSON line a step, as when standard output is no terminal
    #[arg(long)]
    json: bool,
    /// Keep the instance running until it is interrupted, and print what to open
    #[arg(long)]
    stay: bool,
}

impl Demo {
    fn is_json(self) -> bool {
        self.json || !is_terminal()
    }
}

/// Starts a private instance, sends it deliveries and posts, and shows the recognitions that follow.
pub async fn run(demo: Demo) -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let random = uuid::Uuid::new_v4().to_string();
    let env = |name: &str| match name {
        "PLAUDIT_LISTEN" => Some("127.0.0.1:0".to_owned()),
        "PLAUDIT_GITHUB_SECRET" | "PLAUDIT_GITLAB_SECRET" | "PLAUDIT_API_TOKENS" => Some(random.clone()),
        "PLAUDIT_LOG" => Some("error".to_owned()),
        _ => None,
    };
    let Config { listen, publish, service, log, .. } = Config::read(&Flags::default(), &env)?;
    telemetry::install(log, Clock::system());

    let ledger = store::open(&store::At::Sqlite(folder.path().join("demo.db")), None).await?;
    let overrides = Overrides::default();
    let publishers = publish::open(&publish, &overrides.clock).await?;
    let listener = TcpListener::bind(listen).await.context("no free port on the loopback address")?;
    let url = format!("http://{}", listener.local_addr()?);
    let hosts = service.hosts.clone();
    let app = App::start(service, ledger, publishers, overrides)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serving = app.serve(listener, async move { stopped.cancelled().await });
    let interrupted = stop_signal().context("signals cannot be handled")?;
    let showing = async {
        let shown = show(demo, &url, hosts, &random, interrupted).await;
        stop.cancel();
        shown
    };
    let (shown, ()) = tokio::join!(showing, serving);
    drop(folder);
    shown?;
    if !demo.is_json() {
        print(format_args!(
            "The temporary ledger is deleted. Next, your own: cargo run -- serve\n\
             Then open {INSTANCE}/ in a browser, or: cargo run -- top"
        ));
    }
    Ok(())
}

/// Plays the story, and with `--stay` waits until the command is interrupted.
async fn show(
    demo: Demo,
    url: &str,
    hosts: Vec<Opened>,
    token: &str,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    tokio::pin!(interrupted);
    let mut story = Story::begin(url, hosts, token, demo.is_json()).await?;
    tokio::select! {
        played = story.play() => played?,
        () = &mut interrupted => return Err(anyhow!("interrupted")),
    }
    if demo.stay {
        if !demo.is_json() {
            print(format_args!(
                "\nIt keeps running until Ctrl-C: open {url}/ or {url}/docs, or run\n  \
                 cargo run -- top --from {url}\n  curl -N {url}/v1/recognitions/stream\n"
            ));
        }
        interrupted.await;
    }
    Ok(())
}

/// What is sent, and how each answer is shown.
struct Story<'a> {
    client: reqwest::Client,
    recognitions: Recognitions,
    url: &'a str,
    hosts: Vec<Opened>,
    token: &'a str,
    json: bool,
    /// How many recognitions arrived.
    thanked: usize,
}

/// What an answer comes to, for a row.
#[derive(Default)]
struct Row {
    who: String,
    tally: Option<u64>,
    recognized: bool,
}

impl<'a> Story<'a> {
    async fn begin(url: &'a str, hosts: Vec<Opened>, token: &'a str, json: bool) -> anyhow::Result<Self> {
        let client = client_for(&url.parse()?).build()?;
        let stream = client.get(format!("{url}/v1/recognitions/stream")).send().await?;
        if !json {
            print(format_args!("A private plaudit at {url}: a thank-you at {MILESTONE} contributions.\n"));
        }
        Ok(Self {
            client,
            recognitions: Recognitions { stream, text: String::new() },
            url,
            hosts,
            token,
            json,
            thanked: 0,
        })
    }

    async fn play(&mut self) -> anyhow::Result<()> {
        let [ping, issue, pull_request, merge, push, gitlab @ ..] = &DEMO;
        for delivery in [ping, issue, pull_request] {
            self.deliver(delivery, delivery.what).await?;
        }
        self.deliver(pull_request, "opens it (sent again)").await?;
        self.deliver(merge, merge.what).await?;
        self.forge(push).await?;
        self.deliver(push, push.what).await?;
        for delivery in gitlab {
            self.deliver(delivery, delivery.what).await?;
        }
        for (id, what) in [
            ("talk-1", "gives a talk"),
            ("talk-2", "gives another talk"),
            ("talk-3", "gives a third talk"),
            ("talk-3", "is reported for it again"),
        ] {
            self.post(id, what).await?;
        }
        self.ledger().await
    }

    async fn deliver(&mut self, delivery: &DemoDelivery, what: &str) -> anyhow::Result<()> {
        let (status, answer) = self.send(delivery, delivery.payload).await?;
        let DemoDelivery { host, event, .. } = delivery;
        ensure!(status.is_success(), "{host} {event} was answered with {status}: {answer}");
        let first = answer.pointer("/contributions/0");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let row = Row {
            who: text(first.and_then(|first| first.get("contributor"))),
            tally: first.and_then(|first| first.get("tally")).and_then(Value::as_u64),
            recognized: first
                .is_some_and(|first| recognizes(first, first.get("recorded") == Some(&Value::Bool(true)))),
        };
        let outcome = match answer.get("verdict").and_then(Value::as_str) {
            Some("recorded") => styled(GOOD, "counts"),
            Some("duplicate") => styled(FAINT, "counted before"),
            _ => styled(FAINT, &format!("not counted: {}", text(answer.get("reason")))),
        };
        let step = json!({"step": "delivery", "host": host, "event": event, "what": what, "status": status.as_u16(), "answer": answer});
        self.show(host, what, row, &outcome, &step).await
    }

    /// The same bytes as a right delivery's but for one, under its signature.
    async fn forge(&mut self, delivery: &DemoDelivery) -> anyhow::Result<()> {
        let before = self.contributors().await?;
        let forged = format!("{} ", delivery.payload);
        let (status, answer) = self.send(delivery, &forged).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "a forged delivery was answered with {status}");
        ensure!(self.contributors().await? == before, "a forged delivery changed the ledger");
        let what = "somebody forges a push";
        let step = json!({"step": "forgery", "host": delivery.host, "event": delivery.event, "what": what, "status": status.as_u16(), "answer": answer});
        let outcome = styled(BAD, "refused, nothing stored");
        self.show(delivery.host, what, Row::default(), &outcome, &step).await
    }

    async fn post(&mut self, id: &str, what: &str) -> anyhow::Result<()> {
        let body = json!({"contributor": "Grace", "kind": "talk", "id": id, "title": "What a ledger is for"});
        let posted = self.client.post(format!("{}/v1/contributions", self.url)).bearer_auth(self.token);
        let answer = posted.json(&body).send().await?;
        let (status, answer) = (answer.status(), answer.json::<Value>().await?);
        ensure!(status.is_success(), "a post was answered with {status}: {answer}");
        let new = status == StatusCode::CREATED;
        let row = Row {
            who: "grace".into(),
            tally: answer.get("tally").and_then(Value::as_u64),
            recognized: recognizes(&answer, new),
        };
        let outcome = if new { styled(GOOD, "counts") } else { styled(FAINT, "counted before") };
        let step = json!({"step": "post", "what": what, "status": status.as_u16(), "answer": answer});
        self.show("api", what, row, &outcome, &step).await
    }

    /// Signs a delivery's payload as its host does, and sends `body` under that signature.
    async fn send(&self, delivery: &DemoDelivery, body: &str) -> anyhow::Result<(StatusCode, Value)> {
        let DemoDelivery { host, event, payload, .. } = delivery;
        let signer = self.hosts.iter().find(|opened| opened.known.name == *host);
        let signer = signer.and_then(|opened| opened.host.as_ref());
        let signer = signer.ok_or_else(|| anyhow!("no such host: {host}"))?;
        // Forging is shown on a host that signs the body.
        let id = uuid::Uuid::new_v4().to_string();
        let headers = signer.sign(event, &id, payload.as_bytes(), Clock::system().now());
        let url = format!("{}/webhooks/{host}", self.url);
        let answer = self.client.post(url).headers(headers).body(body.to_owned()).send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    /// Shows a step, and waits for the recognition that its answer promises.
    async fn show(
        &mut self,
        from: &str,
        what: &str,
        row: Row,
        outcome: &str,
        step: &Value,
    ) -> anyhow::Result<()> {
        let message = if row.recognized { Some(self.recognitions.next_soon().await?) } else { None };
        if let Some(message) = &message {
            let thanked = message.pointer("/contributor/id").and_then(Value::as_str).unwrap_or_default();
            ensure!(thanked == row.who, "expected the recognition of {}, got that of {thanked}", row.who);
            self.thanked += 1;
        }
        if self.json {
            say(step);
            if let Some(message) = message {
                say(json!({"step": "recognition", "recognition": message}));
            }
            return Ok(());
        }
        let login = row.who.rsplit(':').next().unwrap_or_default();
        let sentence = if login.is_empty() { what.to_owned() } else { format!("{login} {what}") };
        let way = row.tally.map(|tally| dots(tally, MILESTONE)).unwrap_or_default();
        let star = if message.is_some() { styled(GOLD, "★") } else { " ".into() };
        let from = styled(FAINT, &column(from, 7));
        print(format_args!("{from} {} {} {star} {outcome}", column(&sentence, 42), column(&way, 3)));
        Ok(())
    }

    async fn contributors(&self) -> anyhow::Result<Value> {
        Ok(self.client.get(format!("{}/v1/contributors", self.url)).send().await?.json().await?)
    }

    async fn ledger(&self) -> anyhow::Result<()> {
        let ledger = self.contributors().await?;
        let items = ledger.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let thanked = self.thanked;
        ensure!(thanked == items.len(), "of {} contributors {thanked} were recognized", items.len());
        if self.json {
            say(json!({"step": "ledger", "contributors": items}));
        } else {
            let star = styled(GOLD, "★");
            print(format_args!(
                "\n{star} {} people have {MILESTONE} contributions each, and were thanked once.",
                items.len()
            ));
        }
        Ok(())
    }
}

/// Whether a recognition follows from a contribution that was `counted` now: the answer names it, or the tally reaches
/// the milestone, because an answer does not wait for a recognition that takes long.
fn recognizes(answer: &Value, counted: bool) -> bool {
    let named = answer.get("recognitions").and_then(Value::as_array).is_some_and(|made| !made.is_empty());
    named || (counted && answer.get("tally").and_then(Value::as_u64) == Some(MILESTONE))
}

/// The event stream.
struct Recognitions {
    stream: reqwest::Response,
    text: String,
}

impl Recognitions {
    async fn next_soon(&mut self) -> anyhow::Result<Value> {
        let next = tokio::time::timeout(PATIENCE, self.next()).await;
        next.with_context(|| format!("no recognition arrived within {} s", PATIENCE.as_secs()))?
    }

    /// The next event's JSON.
    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_string();
                if let Some(data) = data {
                    return Ok(serde_json::from_str(&data)?);
                }
            }
            let chunk = self.stream.chunk().await?.ok_or_else(|| anyhow!("the event stream ended"))?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recognition_that_the_answer_is_too_early_to_name_is_waited_for() {
        let answer = |tally: u64, made: &[&str]| json!({"tally": tally, "recognitions": made});
        for (answer, counted, recognizes) in [
            (answer(3, &["grace:3"]), true, true),
            (answer(3, &[]), true, true),
            (answer(3, &[]), false, false),
            (answer(2, &[]), true, false),
        ] {
            assert_eq!(super::recognizes(&answer, counted), recognizes, "{answer} {counted}");
        }
    }
}
