//! What is owed: once for each contributor and milestone, whatever happens on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use plaudit::domain::{Contribution, Destination, Milestones, Recognition};
use plaudit::http::Overrides;
use plaudit::outbox::Outbox;
use plaudit::publish::{PublishError, Publisher};
use plaudit::record::Recorder;
use plaudit::runtime::{Clock, Tasks};
use plaudit::store::sqlite::Sqlite;
use plaudit::store::{Page, Store as _};
use plaudit::telemetry::Metrics;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::{FakeStore, Inside, Mode, Plaudit, config, contribution, ledger, talk};

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
    let outcomes = recorder.record(contributions("mona", 5)).await.unwrap();
    let named: Vec<Vec<String>> =
        outcomes.iter().map(|o| o.recognitions.iter().map(ToString::to_string).collect()).collect();
    let none = Vec::<String>::new;
    assert_eq!(named, [none(), none(), vec!["mona:3".into()], vec!["mona:4".into()], none()]);
    let text = String::from_utf8(metrics.text()).unwrap();
    assert!(text.contains("plaudit_commit_contributions_count 1\n"), "it was one commit: {text}");
    let page = Page { limit: 10, after: None };
    let made = store.recognitions(&page).await.unwrap().items;
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
    taken: Mutex<Vec<String>>,
}

#[async_trait]
impl Publisher for Place {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        assert!(!self.panics.load(Ordering::SeqCst), "the publisher panics");
        self.ping().await?;
        self.taken.lock().await.push(recognition.id.to_string());
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
    let taken = place.taken.lock().await.clone();
    assert_eq!(taken, ["mona:3", "lisa:3"], "oldest first, each once");
    inside.stop().await;
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
    assert_eq!(*place.taken.lock().await, ["mona:3", "lisa:3"]);
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
    assert!(place.taken.lock().await.is_empty());
    // After a restart the destination is still down, and the next try is delayed.
    let inside = start().await;
    assert_eq!(inside.drain().await["waiting"], 1);
    place.down.store(false, Ordering::SeqCst);
    inside.stop().await;
    assert_eq!(*place.taken.lock().await, ["mona:3"]);
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

/// An outbox over a ledger in which the first milestone of `n` contributors is owed.
async fn owing(store: &Arc<FakeStore>, n: usize) -> Arc<Outbox> {
    let milestones = Milestones::parse("1").unwrap();
    let (clock, metrics) = (Clock::system(), Metrics::new(&["github", "gitlab"]).unwrap());
    for who in (0..n).map(|i| format!("person-{i:03}")) {
        store.record(&contributions(&who, 1), clock.now()).await.unwrap();
    }
    let publishers = vec![Arc::<Place>::default() as Arc<dyn Publisher>];
    Arc::new(Outbox::new(store.clone(), publishers, milestones, clock, metrics))
}

#[tokio::test]
async fn a_drain_does_not_end_while_another_still_has_in_hand_what_it_found() {
    let store = FakeStore::new(Mode::HoldsRecognised);
    let outbox = owing(&store, 1).await;
    let start = || {
        let outbox = Arc::clone(&outbox);
        tokio::spawn(async move { outbox.drain().await.unwrap() })
    };
    let first = start();
    store.held.acquire().await.unwrap().forget();
    let mut second = start();
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    store.gate.add_permits(1);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.recognized, first.published, first.waiting), (1, 1, 0));
    assert_eq!((second.recognized, second.published, second.waiting), (0, 0, 0));
}

#[tokio::test]
async fn one_drain_looks_to_the_end_though_another_instance_recognises_what_it_finds() {
    let store = FakeStore::new(Mode::Overtaken);
    let outbox = owing(&store, 220).await;
    let drained = outbox.drain().await.unwrap();
    assert_eq!((drained.recognized, drained.waiting), (0, 220), "the other one has yet to publish them");
    let milestones = Milestones::parse("1").unwrap();
    assert_eq!(store.owing(&milestones, None, 100).await.unwrap(), []);
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
