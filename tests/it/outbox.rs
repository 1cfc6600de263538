//! What is owed: once for each contributor and milestone, whatever happens on the way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::future::join_all;
use plaudit::domain::{Contribution, Destination, Milestones, Moment, Recognition};
use plaudit::http::Overrides;
use plaudit::outbox::Outbox;
use plaudit::publish::{Hold, PublishError, Publisher};
use plaudit::record::{Recorder, deadline};
use plaudit::runtime::{Clock, Tasks};
use plaudit::store::sqlite::Sqlite;
use plaudit::store::{Page, RecognitionFilter, Store, StoreError};
use plaudit::telemetry::Metrics;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::store::{at, done};
use crate::support::{
    FakeStore, Inside, Mode, PATIENCE, Plaudit, config, contribution, in_the_end, ledger, talk, unavailable,
};

fn said(plaudit: &Plaudit, what: &str) -> usize {
    plaudit.log.lines().iter().filter(|line| line.contains(what)).count()
}

#[tokio::test]
async fn three_contributions_in_any_order_and_interleaving_make_one_recognition() {
    let plaudit = Plaudit::start().await;
    let mut events = plaudit.stream(None).await;
    let rounds = 12;
    for round in 0..rounds {
        // Each of the three is posted three times, in a random order, by concurrent clients.
        let mut random = rand::rngs::StdRng::seed_from_u64(round);
        let mut posts: Vec<_> =
            ["a", "b", "c"].iter().flat_map(|id| vec![talk(&format!("who-{round}"), id); 3]).collect();
        for post in &mut posts {
            post["source"] = json!(format!("round-{round}"));
        }
        posts.shuffle(&mut random);
        let clients = posts.chunks(usize::try_from(round % 4 + 1).unwrap()).map(|chunk| {
            let client = plaudit.client.clone();
            async move {
                for post in chunk {
                    assert!(client.post(post).await.status < 300);
                }
            }
        });
        join_all(clients).await;
    }
    let mut found = events.ids(usize::try_from(rounds).unwrap()).await;
    found.sort();
    let mut expected: Vec<_> = (0..rounds).map(|round| format!("who-{round}:3")).collect();
    expected.sort();
    assert_eq!(found, expected, "the event stream");
    assert_eq!(plaudit.recognitions().await, expected, "the list");
    assert!(plaudit.tallies().await.values().all(|tally| *tally == 3));
    plaudit.drain().await;
    for id in &expected {
        for what in [format!("recognition {id} made"), format!("recognition {id} published")] {
            plaudit.logged(&what).await;
            assert_eq!(said(&plaudit, &what), 1, "the log");
        }
    }
    // No repeat comes late: the next event is the next recognition.
    for id in ["a", "b", "c"] {
        plaudit.post(&talk("the-last", id)).await.expect(201);
    }
    assert_eq!(events.ids(1).await, ["the-last:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_answer_to_the_third_names_the_recognition_and_the_recognition_the_third() {
    let plaudit = Plaudit::start().await;
    for (id, recognitions) in
        [("a", json!([])), ("b", json!([])), ("c", json!(["github:mona:3"])), ("d", json!([]))]
    {
        let answer = plaudit.post(&talk("github:Mona", id)).await.expect(201).json();
        assert_eq!(answer["recognitions"], recognitions);
    }
    let mut recognition = plaudit.get("/v1/recognitions/github:mona:3").await.expect(200).json();
    assert!(recognition["recognized_at"].take().is_string());
    assert!(recognition["contribution"]["occurred_at"].take().is_string());
    let expected = json!({
        "id": "github:mona:3",
        "contributor": {"id": "github:mona", "host": "github", "login": "mona", "url": "https://github.com/mona"},
        "milestone": 3, "tally": 3, "recognized_at": null,
        "contribution": {"id": "api:api:c", "kind": "talk", "repository": null, "title": null, "url": null, "occurred_at": null},
        "destinations": [{"destination": "local", "state": "done"}],
    });
    assert_eq!(recognition, expected);
    plaudit.stop().await;
}

fn contributions(who: &str, n: usize) -> Vec<Contribution> {
    (1..=n).map(|i| contribution(who, &format!("{who}-{i}"))).collect()
}

#[tokio::test]
async fn two_milestones_crossed_in_one_commit_are_two_recognitions() {
    let (_folder, store) = ledger();
    let milestones = Milestones::parse("3,4").unwrap();
    let (clock, metrics, tasks) =
        (Clock::system(), Metrics::new(&["github", "gitlab"]).unwrap(), Tasks::default());
    let outbox =
        Outbox::new(Arc::clone(&store), Vec::new(), milestones.clone(), clock.clone(), metrics.clone());
    let recorder = Recorder::start(&store, &Arc::new(outbox), &milestones, &clock, &metrics, &tasks);
    let outcomes = recorder.record(contributions("mona", 5), deadline()).await.unwrap();
    let named: Vec<Vec<String>> =
        outcomes.iter().map(|o| o.recognitions.iter().map(ToString::to_string).collect()).collect();
    let none = Vec::<String>::new;
    assert_eq!(named, [none(), none(), vec!["mona:3".into()], vec!["mona:4".into()], none()]);
    let text = String::from_utf8(metrics.text()).unwrap();
    assert!(text.contains("plaudit_commit_contributions_count 1\n"), "it was one commit: {text}");
    let page = Page { limit: 10, after: None };
    let made = store.recognitions(&RecognitionFilter::default(), &page).await.unwrap().items;
    let mut found: Vec<_> =
        made.iter().map(|r| (r.tally, r.contribution.as_ref().unwrap().id.to_string())).collect();
    found.sort();
    assert_eq!(found, [(3, "api:api:mona-3".into()), (4, "api:api:mona-4".into())]);
    tasks.end().await;
}

#[tokio::test]
async fn changed_milestones_recognise_what_is_then_owed_never_twice_and_never_below() {
    let mut plaudit = Plaudit::start().await;
    for i in 0..5 {
        plaudit.post(&talk("mona", &format!("m{i}"))).await.expect(201);
    }
    for i in 0..2 {
        plaudit.post(&talk("lisa", &format!("l{i}"))).await.expect(201);
    }
    assert_eq!(plaudit.recognitions().await, ["mona:3"]);
    let mut expected = vec!["lisa:2", "mona:3", "mona:4"];
    for milestones in ["2,4", "1,2,3,4", "3", "4,5,9"] {
        plaudit.end().await;
        plaudit.set("PLAUDIT_MILESTONES", milestones);
        plaudit.restart().await;
        plaudit.drain().await;
        if milestones == "4,5,9" {
            expected.push("mona:5");
        }
        assert_eq!(plaudit.recognitions().await, expected, "after {milestones}");
    }
    // lisa's next contribution makes what is owed to her; 1 and 2 are below her highest recognition.
    plaudit.end().await;
    plaudit.set("PLAUDIT_MILESTONES", "1,2,3");
    plaudit.restart().await;
    let answer = plaudit.post(&talk("lisa", "l2")).await.expect(201).json();
    assert_eq!(answer["recognitions"], json!(["lisa:3"]));
    let answer = plaudit.post(&talk("mona", "m5")).await.expect(201).json();
    assert_eq!(answer["recognitions"], json!([]));
    plaudit.stop().await;
}

/// A destination that is down or panics when a test wants it to.
#[derive(Debug, Default)]
struct Place {
    down: AtomicBool,
    panics: AtomicBool,
    taken: std::sync::Mutex<Vec<String>>,
    /// Who was recognised.
    named: std::sync::Mutex<Vec<String>>,
    takes: Notify,
}

impl Place {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until it has taken so many.
    async fn takes(&self, count: usize) {
        while self.taken().len() < count {
            self.takes.notified().await;
        }
    }
}

#[async_trait]
impl Publisher for Place {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        assert!(!self.panics.load(Ordering::SeqCst), "the publisher panics");
        self.ping().await?;
        self.taken.lock().unwrap().push(recognition.id.to_string());
        self.named.lock().unwrap().push(recognition.contributor.to_string());
        self.takes.notify_one();
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        let down = self.down.load(Ordering::SeqCst);
        if down { Err(PublishError::Down { why: "down".into(), after: None }) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_destination_that_is_down_fails_no_request_and_gets_all_when_it_is_back() {
    let (_folder, store) = ledger();
    let place = Arc::new(Place::default());
    place.down.store(true, Ordering::SeqCst);
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let inside = Inside::publishing(&config(&[]), store, publishers, Overrides::default()).await;
    for who in ["mona", "lisa"] {
        for id in ["a", "b", "c"] {
            let mut post = talk(who, id);
            post["source"] = who.into();
            inside.post(&post).await.expect(201);
        }
    }
    let drained = inside.drain().await;
    assert_eq!(drained, json!({"recognized": 0, "published": 0, "waiting": 2}));
    assert_eq!(inside.get("/readyz").await.expect(200).json()["status"], "degraded");
    assert!((inside.metric("plaudit_outbox_waiting").await - 2.0).abs() < 0.1);
    assert!(inside.metric("plaudit_outbox_oldest_seconds").await > 0.0);
    assert_eq!(inside.recognitions().await, ["lisa:3", "mona:3"], "the list does not wait");
    let shown = inside.get("/v1/recognitions/mona:3").await.expect(200).json();
    assert_eq!(shown["destinations"], json!([{"destination": "topic", "state": "waiting"}]));

    place.down.store(false, Ordering::SeqCst);
    assert_eq!(inside.drain().await["waiting"], 0);
    assert_eq!(inside.get("/readyz").await.expect(200).json()["status"], "ok");
    assert!(inside.metric("plaudit_outbox_waiting").await < 0.1);
    let taken = place.taken();
    assert_eq!(taken, ["mona:3", "lisa:3"], "oldest first, each once");
    inside.stop().await;
}

#[tokio::test]
async fn what_waits_while_its_account_is_renamed_is_published_with_the_new_name() {
    let (_folder, store) = ledger();
    let place = Arc::new(Place::default());
    place.down.store(true, Ordering::SeqCst);
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let inside = Inside::publishing(&config(&[]), Arc::clone(&store), publishers, Overrides::default()).await;
    let opened = |issue: u64, login: &str, second| Contribution {
        user_id: Some(7),
        occurred_at: at(second),
        ..done(&format!("github:1:issue:{issue}"), &format!("github:{login}"))
    };
    for issue in 1..=3 {
        store.record(&[opened(issue, "mona", 1)], at(0)).await.unwrap();
    }
    assert_eq!(inside.drain().await["waiting"], 1);
    // As another instance records it: this one does not hear of it.
    store.record(&[opened(4, "monalisa", 2)], at(0)).await.unwrap();
    place.down.store(false, Ordering::SeqCst);
    assert_eq!(inside.drain().await["waiting"], 0);
    let named = place.named.lock().unwrap().clone();
    assert_eq!((place.taken(), named), (vec!["github:mona:3".into()], vec!["github:monalisa".to_owned()]));
    inside.stop().await;
}

/// What is logged about a destination that is down, with why.
#[derive(Clone, Default)]
struct SaidDown(Arc<std::sync::Mutex<Vec<String>>>);

impl SaidDown {
    fn times(&self) -> usize {
        let said = self.0.lock().unwrap();
        assert!(said.iter().all(|line| line.contains("why=\"down\"")), "{said:?}");
        said.len()
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for SaidDown {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            let _ = std::fmt::Write::write_fmt(&mut line, format_args!(" {field}={value:?}"));
        });
        if line.contains("topic is down; what is due there waits") {
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test]
async fn while_a_destination_stays_down_why_is_logged_again_every_few_minutes() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let said = SaidDown::default();
    // With a single subscriber, the thread that logs first at a place decides for all threads whether it is enabled.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(said.clone()));
    let (_folder, store) = ledger();
    let (now, clock) = movable();
    let place = Arc::new(Place::default());
    place.down.store(true, Ordering::SeqCst);
    made(store.as_ref(), &["mona".into()], &[Destination::Topic], clock.now()).await;
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let instance = Instance::start(&store, publishers, "3", clock.clone());
    for (minutes, times) in [(0, 1), (4, 1), (1, 2), (1, 2), (4, 3)] {
        *now.lock().unwrap() += TimeDelta::minutes(minutes);
        assert_eq!(instance.drain(in_time()).await.unwrap().waiting, 1);
        assert_eq!(said.times(), times, "{minutes} minutes later");
    }
    // The next outage is another one.
    place.down.store(false, Ordering::SeqCst);
    assert_eq!(instance.drain(in_time()).await.unwrap().waiting, 0);
    place.down.store(true, Ordering::SeqCst);
    made(store.as_ref(), &["lisa".into()], &[Destination::Topic], clock.now()).await;
    assert_eq!(instance.drain(in_time()).await.unwrap().waiting, 1);
    assert_eq!(said.times(), 4);
}

#[tokio::test]
async fn a_destination_that_panics_is_tried_again_and_stops_nothing() {
    let (_folder, store) = ledger();
    let place = Arc::new(Place::default());
    place.panics.store(true, Ordering::SeqCst);
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let inside = Inside::publishing(&config(&[]), store, publishers, Overrides::default()).await;
    for id in ["a", "b", "c"] {
        inside.post(&talk("mona", id)).await.expect(201);
    }
    let drained = inside.drain().await;
    assert_eq!((&drained["published"], &drained["waiting"]), (&json!(0), &json!(1)));
    place.panics.store(false, Ordering::SeqCst);
    let mut tries = 0;
    while inside.drain().await["waiting"] != 0 {
        tries += 1;
        assert!(tries < 600, "it is never tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The background pass still runs: this recognition is published without a drain.
    for id in ["a", "b", "c"] {
        let mut post = talk("lisa", id);
        post["source"] = "lisa".into();
        inside.post(&post).await.expect(201);
    }
    assert_eq!(place.taken(), ["mona:3", "lisa:3"]);
    assert_eq!(inside.drain().await["waiting"], 0);
    inside.stop().await;
}

#[tokio::test]
async fn what_waits_is_published_at_the_end_and_a_destination_that_stays_down_does_not_hold_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(Place::default());
    place.down.store(true, Ordering::SeqCst);
    let start = || {
        let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
        // The end of a service closes its store.
        let store = Arc::new(Sqlite::open(&folder.path().join("plaudit.db")).unwrap());
        async { Inside::publishing(&config(&[]), store, publishers, Overrides::default()).await }
    };
    let inside = start().await;
    for id in ["a", "b", "c"] {
        inside.post(&talk("mona", id)).await.expect(201);
    }
    inside.stop().await;
    assert!(place.taken().is_empty());
    // After a restart the destination is still down, and the next try is delayed.
    let inside = start().await;
    assert_eq!(inside.drain().await["waiting"], 1);
    place.down.store(false, Ordering::SeqCst);
    inside.stop().await;
    assert_eq!(place.taken(), ["mona:3"]);
}

#[tokio::test]
async fn what_cannot_be_recognised_at_once_stays_owed_and_fails_no_request() {
    let store = FakeStore::new(Mode::RecordsOnly);
    let inside = Inside::start(&config(&[]), store.clone(), Overrides::default()).await;
    // Wait for the outbox's own look at the start.
    store.looked.acquire().await.unwrap().forget();
    for id in ["a", "b", "c"] {
        let answer = inside.post(&talk("mona", id)).await.expect(201).json();
        assert_eq!(answer["recognitions"], json!([]));
    }
    assert_eq!(inside.recognitions().await, Vec::<String>::new());
    store.set_mode(Mode::Good);
    let drained = inside.drain().await;
    assert_eq!(drained, json!({"recognized": 1, "published": 1, "waiting": 0}));
    let all = inside.all("/v1/recognitions").await;
    let found: Vec<(&Value, &Value)> = all.iter().map(|r| (&r["id"], &r["contribution"]["id"])).collect();
    assert_eq!(found, [(&json!("mona:3"), &json!("api:api:c"))]);
    inside.stop().await;
}

/// Time enough for a drain that is not to be cut short.
fn in_time() -> Instant {
    Instant::now() + PATIENCE
}

/// An instance: an outbox whose loops run until this is dropped.
struct Instance {
    outbox: Arc<Outbox>,
    running: AbortOnDropHandle<()>,
}

impl std::ops::Deref for Instance {
    type Target = Outbox;
    fn deref(&self) -> &Outbox {
        &self.outbox
    }
}

impl Instance {
    fn start(
        store: &Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        milestones: &str,
        clock: Clock,
    ) -> Self {
        let milestones = Milestones::parse(milestones).unwrap();
        let metrics = Metrics::new(&["github", "gitlab"]).unwrap();
        let outbox = Arc::new(Outbox::new(Arc::clone(store), publishers, milestones, clock, metrics));
        let running = Arc::clone(&outbox).run(CancellationToken::new());
        Self { outbox, running: AbortOnDropHandle::new(tokio::spawn(running)) }
    }

    /// Ends it in the middle of whatever it does.
    async fn crash(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

/// Records one contribution of each of `n` people, so that their first milestone is owed.
async fn one_each(store: &dyn Store, n: usize) {
    for people in (0..n).collect::<Vec<_>>().chunks(100) {
        let all: Vec<_> = people.iter().flat_map(|i| contributions(&format!("person-{i:04}"), 1)).collect();
        store.record(&all, Clock::system().now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_does_not_end_while_another_still_has_in_hand_what_it_found() {
    let store = FakeStore::new(Mode::HoldsRecognised);
    one_each(store.as_ref(), 1).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let publishers = vec![Arc::<Place>::default() as Arc<dyn Publisher>];
    let instance = Instance::start(&dynamic, publishers, "1", Clock::system());
    store.held.acquire().await.unwrap().forget();
    let mut second = Box::pin(instance.drain(in_time()));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    store.gate.add_permits(1);
    let drained = second.await.unwrap();
    assert_eq!((drained.waiting, drained.unfinished), (0, false));
}

#[tokio::test]
async fn one_drain_looks_to_the_end_though_another_instance_recognises_what_it_finds() {
    let store = FakeStore::new(Mode::Overtaken);
    one_each(store.as_ref(), 2_200).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let instance = Instance::start(&dynamic, Vec::new(), "1", Clock::system());
    let drained = instance.drain(in_time()).await.unwrap();
    assert_eq!((drained.recognized, drained.waiting), (0, 0));
    let milestones = Milestones::parse("1").unwrap();
    assert_eq!(store.owing(&milestones, None, 100).await.unwrap(), []);
}

#[tokio::test]
async fn a_sweep_makes_what_is_owed_to_many_side_by_side_and_offers_what_one_part_made_before_the_others_are()
{
    let store = FakeStore::new(Mode::HoldsRecognised);
    one_each(store.as_ref(), 120).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let place = Arc::new(Place::default());
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let instance = Instance::start(&dynamic, publishers, "1", Clock::system());
    // Three parts wait for the store at the same time.
    in_the_end("three parts", store.held.acquire_many(3)).await.unwrap().forget();
    store.gate.add_permits(1);
    in_the_end("the first part", place.takes(20)).await;
    let drained = instance.drain(Instant::now()).await.unwrap();
    assert!(drained.unfinished, "{drained:?}");
    store.gate.add_permits(2);
    let drained = instance.drain(in_time()).await.unwrap();
    assert_eq!((drained.waiting, drained.unfinished), (0, false));
    assert_eq!(place.taken().len(), 120);
}

#[tokio::test]
async fn a_part_of_a_sweep_that_fails_takes_nothing_from_the_others_and_the_drain_says_what_is_left() {
    let store = FakeStore::new(Mode::Good);
    let place = Arc::new(Place::default());
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let config = config(&[("PLAUDIT_MILESTONES", "1")]);
    let inside = Inside::publishing(&config, store.clone(), publishers, Overrides::default()).await;
    // After the outbox's own look at the start.
    store.looked.acquire().await.unwrap().forget();
    one_each(store.as_ref(), 120).await;
    store.set_mode(Mode::FailsToRecognise("person-0007", unavailable()));
    let drained = inside.drain().await;
    assert_eq!(drained, json!({"recognized": 70, "published": 70, "waiting": 0, "unfinished": true}));
    store.set_mode(Mode::Good);
    let drained = inside.drain().await;
    assert_eq!(drained, json!({"recognized": 50, "published": 50, "waiting": 0}));
    assert_eq!(place.taken().len(), 120);
    inside.stop().await;
}

#[tokio::test]
async fn what_can_never_be_recognised_keeps_back_nothing_else_of_a_sweep() {
    let impossible = StoreError::Broken("a person of another program".into());
    let store = FakeStore::new(Mode::FailsToRecognise("person-0007", impossible));
    one_each(store.as_ref(), 1_100).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let place = Arc::new(Place::default());
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>];
    let instance = Instance::start(&dynamic, publishers, "1", Clock::system());
    let drained = instance.drain(in_time()).await.unwrap();
    assert!(drained.unfinished, "{drained:?}");
    let milestones = Milestones::parse("1").unwrap();
    let left = store.owing(&milestones, None, 100).await.unwrap();
    let left: Vec<_> = left.iter().map(|standing| standing.contributor.as_str()).collect();
    assert_eq!(left, ["person-0007"]);
    assert_eq!(place.taken().len(), 1_099);
}

#[tokio::test]
async fn a_drain_that_could_not_hide_everything_says_that_it_is_unfinished() {
    let store = FakeStore::new(Mode::FailsIn("conceal_due", unavailable()));
    one_each(store.as_ref(), 1).await;
    let dynamic: Arc<dyn Store> = store.clone();
    let instance = Instance::start(&dynamic, Vec::new(), "1", Clock::system());
    for _ in 0..2 {
        let drained = instance.drain(in_time()).await.unwrap();
        assert!(drained.unfinished, "{drained:?}");
    }
    store.set_mode(Mode::Good);
    let drained = instance.drain(in_time()).await.unwrap();
    assert!(!drained.unfinished, "{drained:?}");
    let milestones = Milestones::parse("1").unwrap();
    assert_eq!(store.owing(&milestones, None, 100).await.unwrap(), []);
}

#[tokio::test]
async fn a_drain_whose_store_hangs_ends_all_the_same() {
    for method in ["conceal_due", "backlog"] {
        let store = FakeStore::new(Mode::HangsIn(method));
        one_each(store.as_ref(), 1).await;
        let dynamic: Arc<dyn Store> = store.clone();
        let instance = Instance::start(&dynamic, Vec::new(), "1", Clock::system());
        let until = Instant::now() + Duration::from_millis(100);
        let drained = in_the_end(method, instance.drain(until)).await;
        // What became private is not all hidden; what is left cannot be counted.
        assert!(drained.map_or(method == "backlog", |drained| drained.unfinished), "{method}");
    }
}

/// Recognitions of these people, made in the store and due at `destinations`.
async fn made(store: &dyn Store, people: &[String], destinations: &[Destination], now: Moment) {
    for who in people {
        store.record(&contributions(who, 1), now).await.unwrap();
        let recognition = crate::pubsub::recognition(who, None);
        store.recognise(&[Recognition { recognized_at: now, ..recognition }], destinations).await.unwrap();
    }
}

/// A destination that keeps what it is given until a test lets it go, for ever if it is not let go.
#[derive(Debug)]
struct Slow {
    destination: Destination,
    begun: Semaphore,
    let_go: Semaphore,
}

impl Slow {
    fn new(destination: Destination) -> Arc<Self> {
        Arc::new(Self { destination, begun: Semaphore::new(0), let_go: Semaphore::new(0) })
    }
}

#[async_trait]
impl Publisher for Slow {
    fn destination(&self) -> Destination {
        self.destination
    }

    fn hold(&self) -> Hold {
        Hold::Always(Duration::from_secs(20))
    }

    async fn publish(&self, _: &Recognition) -> Result<(), PublishError> {
        self.begun.add_permits(1);
        self.let_go.acquire().await.unwrap().forget();
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_destination_holds_back_no_other_and_no_drain() {
    let (_folder, store) = ledger();
    let (place, slow) = (Arc::new(Place::default()), Slow::new(Destination::Comment));
    let publishers = vec![Arc::clone(&place) as Arc<dyn Publisher>, slow.clone()];
    made(store.as_ref(), &["ann".into()], &[Destination::Topic, Destination::Comment], Clock::system().now())
        .await;
    let instance = Instance::start(&store, publishers, "3", Clock::system());
    slow.begun.acquire().await.unwrap().forget();
    in_the_end("ann's message", place.takes(1)).await;
    // What is left owed and what is due elsewhere is done beside it.
    store.record(&contributions("ben", 3), Clock::system().now()).await.unwrap();
    let drains: Vec<_> =
        (0..10).map(|_| instance.drain(Instant::now() + Duration::from_millis(100))).collect();
    for drained in join_all(drains).await {
        let drained = drained.unwrap();
        assert!(drained.unfinished && drained.waiting >= 1, "{drained:?}");
    }
    in_the_end("ben's message", place.takes(2)).await;
    assert_eq!(slow.begun.available_permits(), 0, "ten drains share one pass");
    slow.let_go.add_permits(2);
    let drained = instance.drain(in_time()).await.unwrap();
    assert_eq!((drained.waiting, drained.unfinished), (0, false));
}

/// A topic: it is down, hangs, or takes, as a test wants it, and counts what it takes.
#[derive(Debug, Default)]
struct Shared {
    down: AtomicBool,
    hangs: AtomicBool,
    begun: AtomicUsize,
    taken: std::sync::Mutex<Vec<String>>,
}

#[async_trait]
impl Publisher for Shared {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    fn hold(&self) -> Hold {
        Hold::Backlog(Duration::from_secs(10))
    }

    fn at_once(&self) -> usize {
        10
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        // Others look meanwhile.
        tokio::task::yield_now().await;
        self.ping().await?;
        self.taken.lock().unwrap().push(recognition.id.to_string());
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        let down = self.down.load(Ordering::SeqCst);
        if down { Err(PublishError::Down { why: "down".into(), after: None }) } else { Ok(()) }
    }
}

/// A clock that a test moves.
pub fn movable() -> (Arc<std::sync::Mutex<Moment>>, Clock) {
    let now = Arc::new(std::sync::Mutex::new(Clock::system().now()));
    let asked = Arc::clone(&now);
    (now, Clock::from_fn(move || *asked.lock().unwrap()))
}

async fn published_once_after_an_outage(store: Arc<dyn Store>) {
    let (now, clock) = movable();
    let topic = Arc::new(Shared::default());
    let start = || Instance::start(&store, vec![topic.clone() as Arc<dyn Publisher>], "3", clock.clone());
    topic.down.store(true, Ordering::SeqCst);
    let people: Vec<_> = (0..60).map(|n| format!("who-{n}")).collect();
    made(store.as_ref(), &people, &[Destination::Topic], clock.now()).await;
    let instances: Vec<_> = (0..4).map(|_| start()).collect();
    for instance in &instances {
        assert_eq!(instance.drain(in_time()).await.unwrap().waiting, 60);
    }
    topic.down.store(false, Ordering::SeqCst);
    // Several drains on each instance at once.
    while topic.taken.lock().unwrap().len() < 60 {
        join_all(instances.iter().flat_map(|instance| (0..5).map(|_| instance.drain(in_time())))).await;
    }
    let taken = topic.taken.lock().unwrap().clone();
    let once: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), once.len()), (60, 60), "published twice: {taken:?}");
    drop(instances);

    // One crashes while it publishes: the others take over when its lease ends, and not before.
    topic.hangs.store(true, Ordering::SeqCst);
    topic.begun.store(0, Ordering::SeqCst);
    made(store.as_ref(), &["the-last".into()], &[Destination::Topic], clock.now()).await;
    let doomed = start();
    while topic.begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    doomed.crash().await;
    topic.hangs.store(false, Ordering::SeqCst);
    let next = start();
    assert_eq!(next.drain(in_time()).await.unwrap().waiting, 1, "it is held");
    *now.lock().unwrap() += TimeDelta::seconds(10);
    assert_eq!(next.drain(in_time()).await.unwrap().waiting, 0);
    assert_eq!(topic.taken.lock().unwrap().last().unwrap(), "the-last:3");
}

#[tokio::test]
async fn after_an_outage_four_instances_publish_each_recognition_once_and_a_crash_delays_it_by_one_lease() {
    let (_folder, store) = ledger();
    published_once_after_an_outage(store).await;
}

#[tokio::test]
async fn after_an_outage_four_instances_on_firestore_publish_each_recognition_once() {
    let Some(opened) = crate::store::firestore().await else { return };
    published_once_after_an_outage(opened.store).await;
}

/// A topic under load: whenever it takes one recognition, the next one is made.
struct Busy {
    store: Arc<dyn Store>,
    /// Makes them; another instance, if this is not set.
    maker: OnceLock<Weak<Outbox>>,
    most: usize,
    taken: std::sync::Mutex<Vec<String>>,
}

impl Busy {
    fn new(store: &Arc<dyn Store>, most: usize) -> Arc<Self> {
        let store = Arc::clone(store);
        Arc::new(Self { store, maker: OnceLock::new(), most, taken: std::sync::Mutex::default() })
    }

    async fn make(&self, who: String) {
        let Some(maker) = self.maker.get() else {
            return made(self.store.as_ref(), &[who], &[Destination::Topic], Clock::system().now()).await;
        };
        let (mut one, now) = (contributions(&who, 1), Clock::system().now());
        self.store.record(&one, now).await.unwrap();
        let recognition = crate::pubsub::recognition(&who, one.pop());
        let recognition = Recognition { recognized_at: now, ..recognition };
        assert_eq!(maker.upgrade().unwrap().recognise(vec![recognition]).await.unwrap().new.len(), 1);
    }
}

#[async_trait]
impl Publisher for Busy {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    fn hold(&self) -> Hold {
        Hold::Backlog(Duration::from_secs(10))
    }

    fn at_once(&self) -> usize {
        10
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let count = {
            let mut taken = self.taken.lock().unwrap();
            taken.push(recognition.id.to_string());
            taken.len()
        };
        if count < self.most {
            self.make(format!("next-{count}")).await;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_pass_ends_though_another_instance_always_has_something_new_to_publish() {
    let (_folder, store) = ledger();
    let busy = Busy::new(&store, 400);
    let instance = Instance::start(&store, vec![busy.clone() as Arc<dyn Publisher>], "3", Clock::system());
    instance.drain(in_time()).await.unwrap();
    made(store.as_ref(), &["the-first".into()], &[Destination::Topic], Clock::system().now()).await;
    let drained = instance.drain(in_time()).await.unwrap();
    assert!((1..100).contains(&drained.published) && !drained.unfinished, "{drained:?}");
}

#[tokio::test]
async fn what_is_made_during_a_pass_is_published_once() {
    let (_folder, store) = ledger();
    let busy = Busy::new(&store, 30);
    let instance = Instance::start(&store, vec![busy.clone() as Arc<dyn Publisher>], "3", Clock::system());
    assert!(busy.maker.set(Arc::downgrade(&instance.outbox)).is_ok());
    instance.drain(in_time()).await.unwrap();
    made(store.as_ref(), &["the-first".into()], &[Destination::Topic], Clock::system().now()).await;
    while instance.drain(in_time()).await.unwrap().waiting > 0 || busy.taken.lock().unwrap().len() < 30 {}
    let taken = busy.taken.lock().unwrap().clone();
    let once: BTreeSet<_> = taken.iter().collect();
    assert_eq!(taken.len(), once.len(), "published twice: {taken:?}");
}

/// It fails the first time only.
#[derive(Debug, Default)]
struct OnceLate {
    failed: AtomicBool,
    place: Place,
}

#[async_trait]
impl Publisher for OnceLate {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        if self.failed.swap(true, Ordering::SeqCst) {
            return self.place.publish(recognition).await;
        }
        Err(PublishError::Later { why: "not now".into(), after: None })
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_put_off_for_a_second_is_tried_then_and_not_at_the_next_round() {
    let store = FakeStore::new(Mode::Good);
    let late = Arc::new(OnceLate::default());
    let publishers = vec![Arc::clone(&late) as Arc<dyn Publisher>];
    let inside = Inside::publishing(&config(&[]), store.clone(), publishers, Overrides::default()).await;
    store.looked.acquire().await.unwrap().forget();
    for id in ["a", "b", "c"] {
        inside.post(&talk("mona", id)).await.expect(201);
    }
    in_the_end("the second try", late.place.takes(1)).await;
    assert!(store.looked.try_acquire().is_err(), "it waited for a round");
    inside.stop().await;
}

/// While it publishes, time passes until its hold has ended and another instance holds the recognition.
struct Outlasted {
    now: Arc<std::sync::Mutex<Moment>>,
    store: Arc<dyn Store>,
    tried: Semaphore,
}

#[async_trait]
impl Publisher for Outlasted {
    fn destination(&self) -> Destination {
        Destination::Comment
    }

    fn hold(&self) -> Hold {
        Hold::Always(Duration::from_secs(20))
    }

    async fn publish(&self, _: &Recognition) -> Result<(), PublishError> {
        let now = {
            let mut now = self.now.lock().unwrap();
            *now += TimeDelta::seconds(21);
            *now
        };
        let until = now + TimeDelta::seconds(20);
        assert_eq!(self.store.claim(Destination::Comment, now, until, 9).await.unwrap().len(), 1);
        self.tried.add_permits(1);
        Err(PublishError::Later { why: "too slow".into(), after: None })
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_instance_whose_hold_has_ended_does_not_end_the_hold_of_the_next() {
    let (_folder, store) = ledger();
    let (now, clock) = movable();
    made(store.as_ref(), &["ann".into()], &[Destination::Comment], clock.now()).await;
    let slow = Arc::new(Outlasted { now, store: Arc::clone(&store), tried: Semaphore::new(0) });
    let instance = Instance::start(&store, vec![slow.clone() as Arc<dyn Publisher>], "3", clock.clone());
    slow.tried.acquire().await.unwrap().forget();
    assert_eq!(instance.drain(in_time()).await.unwrap().waiting, 1);
    let later = clock.now() + TimeDelta::seconds(19);
    assert_eq!(store.claim(Destination::Comment, later, later, 9).await.unwrap(), [], "it is still held");
}

#[tokio::test]
async fn what_is_due_at_a_destination_that_is_turned_off_is_counted() {
    let (_folder, store) = ledger();
    made(store.as_ref(), &["ann".into(), "ben".into()], &[Destination::Comment], Clock::system().now()).await;
    let inside = Inside::start(&config(&[]), store, Overrides::default()).await;
    let drained = inside.drain().await;
    assert_eq!(drained, json!({"recognized": 0, "published": 0, "waiting": 0, "turned_off": 2}));
    assert!((inside.metric("plaudit_outbox_turned_off").await - 2.0).abs() < 0.1);
    inside.stop().await;
}

#[tokio::test]
async fn two_instances_on_one_file_count_exactly_and_recognise_once() {
    let first = Plaudit::start().await;
    let second = Plaudit::beside(first.folder(), &[]).await;
    let mut events = first.stream(None).await;
    let clients = [first.client.clone(), second.client.clone()];
    let posts = (0..60).map(|i| {
        // Every contribution goes to both.
        let client = &clients[i % 2];
        let n = i / 2;
        let mut post = talk(&format!("who-{}", n % 5), &format!("n{n}"));
        post["source"] = "both".into();
        async move { client.post(&post).await.status }
    });
    let statuses = join_all(posts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 30, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 30, "{statuses:?}");
    let expected: Vec<_> = (0..5).map(|i| format!("who-{i}:3")).collect();
    for plaudit in [&first, &second] {
        assert!(plaudit.tallies().await.values().all(|tally| *tally == 6));
        assert_eq!(plaudit.recognitions().await, expected);
    }
    let mut found = events.ids(5).await;
    found.sort();
    assert_eq!(found, expected);
    second.drain().await;
    for id in &expected {
        let made = format!("recognition {id} made");
        tokio::select! {
            () = first.logged(&made) => {}
            () = second.logged(&made) => {}
        }
        assert_eq!(said(&first, &made) + said(&second, &made), 1);
    }
    first.stop().await;
    second.stop().await;
}
