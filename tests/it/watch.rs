//! `plaudit watch`, as a library: what it prints, and what it acknowledges.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clap::{CommandFactory as _, Parser};
use plaudit::cli::watch::{Watch, watch};
use plaudit::publish::{Message, Publisher, pubsub::Pubsub};
use plaudit::settings::Secret;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::pubsub::recognition;
use crate::support::gate::Gate;
use crate::support::pubsub_emulator::{PROJECT, Topic, pubsub};
use crate::support::{Output, command, hold_against_schema, run};

/// Standard output as a channel of lines.
struct Out(UnboundedSender<String>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8(bytes.to_vec()).unwrap();
        let sent = self.0.send(line);
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe.into()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn out() -> (Out, UnboundedReceiver<String>) {
    let (to, lines) = unbounded_channel();
    (Out(to), lines)
}

fn args() -> Watch {
    Watch { subscription: None, from: None, exec: None, count: None }
}

fn of(topic: &Topic, count: u64) -> Watch {
    Watch { subscription: Some(topic.subscription.clone()), count: NonZeroU64::new(count), ..args() }
}

fn said(contributor: &str) -> String {
    serde_json::to_string(&Message::public(&recognition(contributor, None))).unwrap()
}

fn id(line: &str) -> String {
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    let message: Value = serde_json::from_str(line).unwrap();
    hold_against_schema(&message);
    message["id"].as_str().unwrap().to_owned()
}

fn all(mut lines: UnboundedReceiver<String>) -> Vec<String> {
    let mut ids = Vec::new();
    while let Ok(line) = lines.try_recv() {
        ids.push(id(&line));
    }
    ids
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    watch: Watch,
}

#[test]
fn the_flags_are_read_and_wrong_ones_refused() {
    let read = |flags: &[&str]| Line::try_parse_from([&["plaudit"], flags].concat()).map(|line| line.watch);
    assert_eq!(read(&["--from", "http://127.0.0.1:8081/"]).unwrap().from.unwrap(), "http://127.0.0.1:8081");
    assert!(Line::command().render_help().to_string().contains("[default: http://127.0.0.1:8080]"));
    let whole = ["--subscription", "projects/p/subscriptions/s", "--exec", "cat", "--count", "3"];
    assert_eq!(read(&whole).unwrap().count, NonZeroU64::new(3));
    let both = ["--subscription", "projects/p/subscriptions/s", "--from", "http://x"];
    for wrong in [&["--count", "0"][..], &["--subscription", "s"], &["--from", "nowhere"], &both] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_is_published_is_printed() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&host)).await.unwrap();
    for who in ["ada", "ada", "github:grace", "edsger"] {
        publisher.publish(&recognition(who, None)).await.unwrap();
    }
    let (to, lines) = out();
    watch(of(&topic, 3), None, Some(host), to, CancellationToken::new()).await.unwrap();
    let mut printed = all(lines);
    printed.sort();
    assert_eq!(printed, ["ada:3", "edsger:3", "github:grace:3"]);
}

#[tokio::test]
async fn each_recognition_is_printed_once_and_acknowledged() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    for who in ["ada", "ada", "github:grace", "ada", "edsger"] {
        topic.publish(&said(who)).await;
    }
    let (to, lines) = out();
    watch(of(&topic, 3), None, Some(host), to, CancellationToken::new()).await.unwrap();
    let mut printed = all(lines);
    printed.sort();
    assert_eq!(printed, ["ada:3", "edsger:3", "github:grace:3"]);
    // It does not wait for repeats after the third; what was printed is acknowledged.
    let left = topic.unacknowledged().await;
    assert!(left.len() <= 2 && left.iter().all(|data| *data == said("ada")), "{left:?}");
}

#[tokio::test]
async fn after_as_many_as_were_asked_for_the_rest_is_left_to_others() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let whos = ["a", "b", "c", "d", "e"];
    for who in whos {
        topic.publish(&said(who)).await;
    }
    let (to, lines) = out();
    watch(of(&topic, 2), None, Some(host), to, CancellationToken::new()).await.unwrap();
    let printed: BTreeSet<_> = all(lines).into_iter().collect();
    let left: BTreeSet<_> =
        topic.unacknowledged().await.iter().map(|data| id(&format!("{data}\n"))).collect();
    assert_eq!((printed.len(), left.len()), (2, 3));
    assert_eq!(&printed | &left, whos.map(|who| format!("{who}:3")).into());
}

#[tokio::test]
async fn a_recognition_on_several_lines_is_printed_on_one() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let example = std::fs::read_to_string("docs/recognition.example.json").unwrap();
    topic.publish(&example).await;
    let (to, lines) = out();
    watch(of(&topic, 1), None, Some(host), to, CancellationToken::new()).await.unwrap();
    assert_eq!(all(lines), ["github:octocat:3"]);
}

#[tokio::test]
async fn only_exit_0_of_the_command_acknowledges() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    topic.publish(&said("ada")).await;
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let (tried, taken) = (path("tried"), path("taken"));
    let command = format!("cat >>'{taken}'; [ -e '{tried}' ] || {{ touch '{tried}'; exit 1; }}");
    let (to, lines) = out();
    let args = Watch { exec: Some(command), ..of(&topic, 1) };
    watch(args, None, Some(host), to, CancellationToken::new()).await.unwrap();
    let taken = std::fs::read_to_string(taken).unwrap();
    assert_eq!(taken, format!("{0}\n{0}\n", said("ada")), "refused once, then taken");
    assert_eq!(all(lines), [""; 0], "the command speaks instead");
    assert_eq!(topic.unacknowledged().await, [""; 0]);
}

#[tokio::test]
async fn a_command_that_reads_nothing_may_still_succeed() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    topic.publish(&said("ada")).await;
    let args = Watch { exec: Some("true".into()), ..of(&topic, 1) };
    watch(args, None, Some(host), out().0, CancellationToken::new()).await.unwrap();
    assert_eq!(topic.unacknowledged().await, [""; 0]);
}

#[tokio::test]
async fn a_command_that_is_not_there_acknowledges_nothing() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    topic.publish(&said("ada")).await;
    let place = tempfile::tempdir().unwrap();
    let begun = place.path().join("begun").display().to_string();
    let fifo = std::process::Command::new("mkfifo").arg(&begun).status().unwrap();
    assert!(fifo.success());
    let stop = CancellationToken::new();
    let args = Watch { exec: Some(format!("echo >'{begun}'; exec /no/such/bot")), ..of(&topic, 1) };
    let watching = watch(args, None, Some(host), out().0, stop.clone());
    let begins = async {
        tokio::fs::read(&begun).await.unwrap();
        stop.cancel();
    };
    futures::future::join(watching, begins).await.0.unwrap();
    assert_eq!(topic.unacknowledged().await, [said("ada")]);
}

/// An output whose reader does not read.
struct Stuck(UnboundedSender<String>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
        loop {
            std::thread::park();
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_not_printed_when_it_was_stopped_comes_again() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    topic.publish(&said("ada")).await;
    let (to, mut tried) = unbounded_channel();
    let stop = CancellationToken::new();
    let stuck = watch(of(&topic, 9), None, Some(host), Stuck(to), stop.clone());
    let stopping = async {
        tried.recv().await.unwrap();
        stop.cancel();
    };
    futures::future::join(stuck, stopping).await.0.unwrap();
    assert_eq!(topic.unacknowledged().await, [said("ada")]);
}

#[tokio::test]
async fn a_closed_pipe_ends_it_quietly_and_acknowledges_nothing() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    topic.publish(&said("ada")).await;
    let (to, lines) = out();
    drop(lines);
    watch(of(&topic, 9), None, Some(host), to, CancellationToken::new()).await.unwrap();
    assert_eq!(topic.unacknowledged().await, [said("ada")]);
}

#[tokio::test]
async fn a_message_that_is_no_recognition_is_handed_back_and_delays_nothing() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let foreign = ["no JSON", "{}", r#"{"id": ""}"#, r#"{"id": "x:3", "milestone": 3}"#];
    for data in foreign {
        topic.publish(data).await;
    }
    topic.publish(&said("ada")).await;
    let (to, lines) = out();
    watch(of(&topic, 1), None, Some(host), to, CancellationToken::new()).await.unwrap();
    assert_eq!(all(lines), ["ada:3"]);
    let left: BTreeSet<_> = topic.unacknowledged().await.into_iter().collect();
    assert_eq!(left, foreign.map(str::to_owned).into());
}

#[tokio::test]
async fn a_subscription_that_is_not_there_is_named_with_what_makes_it() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::named(&host);
    let ended = watch(of(&topic, 1), None, Some(host), out().0, CancellationToken::new()).await;
    let why = format!("{:#}", ended.unwrap_err());
    let command = format!("gcloud pubsub subscriptions create {} --project=demo", topic.topic);
    assert!(why.contains(&topic.subscription) && why.contains(&command), "{why}");
}

#[tokio::test]
async fn a_consumer_outlives_an_outage() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let mut gate = Gate::open(&host).await;
    let (to, mut lines) = out();
    let through = Some(gate.host.clone());
    let watching = watch(of(&topic, 2), None, through, to, CancellationToken::new());
    let outage = async {
        topic.publish(&said("before")).await;
        assert_eq!(id(&lines.recv().await.unwrap()), "before:3");
        gate.close().await;
        // Several, because the emulator sends some of them to the stream that was cut.
        for _ in 0..16 {
            topic.publish(&said("during")).await;
        }
        gate.reopen().await;
        assert_eq!(id(&lines.recv().await.unwrap()), "during:3");
    };
    futures::future::join(watching, outage).await.0.unwrap();
}

/// A fake instance: it answers each connection to its stream with the next of these answers, and keeps the requests.
#[derive(Clone)]
struct Instance {
    answers: Arc<Mutex<VecDeque<Response>>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Instance {
    async fn start(answers: impl IntoIterator<Item = Response>) -> (Self, Watch) {
        let instance =
            Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() };
        let answer = async |State(instance): State<Self>, headers: HeaderMap| {
            instance.asked.lock().unwrap().push(headers);
            instance.answers.lock().unwrap().pop_front().unwrap()
        };
        let route = axum::routing::get(answer);
        let router = Router::new().route("/v1/recognitions/stream", route).with_state(instance.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = format!("http://{}", listener.local_addr().unwrap());
        plaudit::runtime::Tasks::default().spawn(axum::serve(listener, router).into_future());
        (instance, Watch { from: Some(from), ..args() })
    }

    fn asked(&self, name: &str) -> Vec<Option<Vec<u8>>> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|headers| headers.get(name).map(|value| value.as_bytes().to_vec())).collect()
    }
}

fn stream(text: &str) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], text.to_owned()).into_response()
}

fn event(contributor: &str) -> String {
    format!("id: {contributor}:3\nevent: recognition\ndata: {}\n\n", said(contributor))
}

#[tokio::test]
async fn a_stream_is_resumed_where_it_was_lost_and_repeats_are_dropped() {
    let first = format!(": hello\n\n{}{}id: half:3\ndata: {{", event("ada"), event("änne"));
    let second = format!("{}{}", event("änne"), event("grace"));
    let answers = [stream(&first), StatusCode::SERVICE_UNAVAILABLE.into_response(), stream(&second)];
    let (instance, args) = Instance::start(answers).await;
    let args = Watch { count: NonZeroU64::new(3), ..args };
    let (to, lines) = out();
    let token = Some(Secret::new("hush"));
    watch(args, token, None, to, CancellationToken::new()).await.unwrap();
    assert_eq!(all(lines), ["ada:3", "änne:3", "grace:3"]);
    let resumed = Some("änne:3".as_bytes().to_vec());
    assert_eq!(instance.asked("last-event-id"), [None, resumed.clone(), resumed]);
    assert_eq!(instance.asked("authorization"), vec![Some(b"Bearer hush".to_vec()); 3]);
}

/// An instance ends its streams before the platform cuts them: at a quiet time, without any event.
#[tokio::test]
async fn a_stream_that_only_said_that_it_is_alive_is_no_failure() {
    let alive = || stream("id: @here\n\n: still here\n\n");
    let (instance, args) = Instance::start([alive(), alive(), alive(), stream(&event("ada"))]).await;
    let settings = [("PLAUDIT_URL", args.from.unwrap())];
    let watching = move || run(command(&settings).args(["watch", "--count", "1"]));
    let Output { code, err, .. } = tokio::task::spawn_blocking(watching).await.unwrap();
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(err.matches("trying again in 500ms").count(), 3, "{err}");
    assert_eq!(instance.asked("last-event-id").len(), 4);
}

#[tokio::test]
async fn the_instance_and_the_token_come_from_the_environment() {
    let (instance, args) = Instance::start([stream(&event("ada"))]).await;
    let settings = [("PLAUDIT_URL", args.from.unwrap()), ("PLAUDIT_TOKEN", "hush-hush".to_owned())];
    let watching = move || run(command(&settings).args(["watch", "--count", "1"]));
    let Output { code, out, err } = tokio::task::spawn_blocking(watching).await.unwrap();
    assert_eq!((code, id(&format!("{out}\n")).as_str()), (Some(0), "ada:3"), "{err}");
    assert_eq!(instance.asked("authorization"), [Some(b"Bearer hush-hush".to_vec())]);
}

#[tokio::test]
async fn a_command_is_offered_a_recognition_of_a_stream_again() {
    let (_, args) = Instance::start([stream(&event("ada"))]).await;
    let place = tempfile::tempdir().unwrap();
    let tried = place.path().join("tried").display().to_string();
    let args = Watch {
        exec: Some(format!("[ -e '{tried}' ] || {{ touch '{tried}'; exit 1; }}")),
        count: NonZeroU64::new(1),
        ..args
    };
    watch(args, None, None, out().0, CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_will_not_change_ends_it_with_what_to_do() {
    let page = ([(header::CONTENT_TYPE, "text/html")], "<html>").into_response();
    let cases = [
        (StatusCode::UNAUTHORIZED.into_response(), "PLAUDIT_TOKEN"),
        (StatusCode::FORBIDDEN.into_response(), "PLAUDIT_TOKEN"),
        (StatusCode::NOT_FOUND.into_response(), "the address of a running plaudit"),
        (StatusCode::FOUND.into_response(), "the address of a running plaudit"),
        (page, "is no event stream"),
    ];
    for (answer, expected) in cases {
        let (instance, args) = Instance::start([answer]).await;
        let ended = watch(args, None, None, out().0, CancellationToken::new()).await;
        let why = ended.unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
        assert_eq!(instance.asked("authorization"), [None]);
    }
}

#[tokio::test]
async fn stopping_ends_a_stream_that_is_quiet() {
    let quiet =
        axum::body::Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let quiet = ([(header::CONTENT_TYPE, "text/event-stream")], quiet).into_response();
    let (instance, args) = Instance::start([quiet]).await;
    let stop = CancellationToken::new();
    let watching = watch(args, None, None, out().0, stop.clone());
    let stopping = async {
        while instance.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    futures::future::join(watching, stopping).await.0.unwrap();
}
