//! Reads of clients are bounded: beyond that they are 503 at once, and deliveries go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::Method;
use plaudit::http::Overrides;
use plaudit::http::body::Limits;
use plaudit::store::Store;
use plaudit::store::firestore::Firestore;
use tokio_util::sync::CancellationToken;

use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::{Fault, Proxy};
use crate::support::{FakeStore, Inside, Mode, PATIENCE, config, in_the_end, pull_request, talk};

/// An instance in which so many reads may wait, each for so long.
async fn inside(store: &Arc<impl Store>, reads_waiting: usize, read_wait: Duration) -> Inside {
    let limits = Limits { reads_waiting, read_wait, ..Limits::default() };
    let overrides = Overrides { limits, ..Overrides::default() };
    Inside::start(&config(&[]), Arc::clone(store) as Arc<dyn Store>, overrides).await
}

/// Sends as many reads as may run or wait, and more, while the store answers none. Then the surplus is refused and a
/// delivery counts. Opens the store, and all others are answered.
async fn crowd(inside: &Inside, paths: &[&str], bound: usize, open: impl AsyncFnOnce()) {
    let surplus = 15;
    let mut reads: FuturesUnordered<_> =
        paths.iter().cycle().take(bound + surplus).map(|path| inside.get(path)).collect();
    for _ in 0..surplus {
        let refused = in_the_end("a read that is refused", reads.next()).await.unwrap();
        assert_eq!(refused.header("retry-after"), "1");
        refused.problem(503, "unavailable");
    }
    let delivery = inside.github("pull_request", &pull_request(1, "mona")).await.expect(200).json();
    assert_eq!(delivery["verdict"], "recorded");
    // What was posted before is read for the answer.
    inside.post(&talk("lisa", "a")).await.expect(200);
    inside.get("/readyz").await.expect(200);
    inside.get("/metrics").await.expect(200);
    for path in [
        "/v1/contributors/lisa",
        "/v1/contributions/api:api:a",
        "/v1/recognitions/lisa:3",
        "/contributors/lisa",
        "/badges/lisa.svg",
    ] {
        inside.get(path).await.problem(503, "unavailable");
    }
    for page in ["/", "/contributors/lisa"] {
        inside.send(inside.request(Method::GET, page).header("accept", "text/html")).await.expect(503);
    }
    inside.get("/v1/recognitions/stream").await.problem(503, "unavailable");
    open().await;
    for _ in 0..bound {
        in_the_end("a read that waited", reads.next()).await.unwrap().expect(200);
    }
    inside.get("/v1/contributors/lisa").await.expect(200);
}

#[tokio::test]
async fn reads_beyond_the_bound_are_503_at_once_and_deliveries_go_on() {
    let store = FakeStore::new(Mode::Good);
    let inside = inside(&store, 6, PATIENCE).await;
    inside.post(&talk("lisa", "a")).await.expect(201);
    store.set_mode(Mode::HoldsReads);
    let lists = ["/v1/contributors", "/v1/recognitions", "/v1/contributors/lisa/contributions"];
    crowd(&inside, &lists, store.readers() + 6, async || {
        let running = u32::try_from(store.readers()).unwrap();
        in_the_end("the reads that run", store.held.acquire_many(running)).await.unwrap().forget();
        assert_eq!(store.held.available_permits(), 0, "more reads run than may");
        store.set_mode(Mode::Good);
        store.gate.add_permits(store.readers());
    })
    .await;
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_too_reads_beyond_the_bound_are_503_at_once_and_deliveries_go_on() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let proxy = Proxy::start(host).await;
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(&proxy.host, &project, "(default)", PATIENT).await.unwrap();
    let store = Arc::new(store);
    let inside = inside(&store, 6, PATIENCE).await;
    inside.post(&talk("lisa", "a")).await.expect(201);
    let release = CancellationToken::new();
    for _ in 0..store.readers() {
        // A query of a contributor's contributions.
        let hold = Fault::HoldAnswer(release.clone());
        proxy.fault_where(|call| call.rpc == "RunQuery" && call.mentions("recorded_at"), hold);
    }
    let lists = ["/v1/contributors/lisa/contributions"];
    crowd(&inside, &lists, store.readers() + 6, async || release.cancel()).await;
    inside.stop().await;
}

#[tokio::test]
async fn a_read_whose_turn_does_not_come_is_503() {
    let store = FakeStore::new(Mode::HoldsReads);
    let inside = inside(&store, 6, Duration::from_millis(10)).await;
    let mut reads: FuturesUnordered<_> =
        (0..=store.readers()).map(|_| inside.get("/v1/contributors")).collect();
    in_the_end("the refused read", reads.next()).await.unwrap().problem(503, "unavailable");
    store.set_mode(Mode::Good);
    store.gate.add_permits(store.readers());
    for _ in 0..store.readers() {
        in_the_end("a held read", reads.next()).await.unwrap().expect(200);
    }
    drop(reads);
    inside.stop().await;
}

#[tokio::test]
async fn what_streams_missed_is_read_within_the_bound_too() {
    let store = FakeStore::new(Mode::Good);
    let inside = inside(&store, 0, PATIENCE).await;
    for i in 0..3 {
        inside.post(&talk("lisa", &format!("{i}"))).await.expect(201);
    }
    store.set_mode(Mode::HoldsMissed);
    let mut streams = Vec::new();
    for _ in 0..store.readers() {
        streams.push(inside.stream(Some("lisa:3")).await);
    }
    // The poll for all listeners is no read of a client: it comes to the gate beside theirs.
    let readings = u32::try_from(store.readers() + 1).unwrap();
    in_the_end("the readings of all streams", store.held.acquire_many(readings)).await.unwrap().forget();
    inside.get("/v1/contributors").await.problem(503, "unavailable");
    store.set_mode(Mode::Good);
    store.gate.add_permits(store.readers() + 1);
    for i in 0..3 {
        inside.post(&talk("mona", &format!("mona-{i}"))).await.expect(201);
    }
    for stream in &mut streams {
        assert_eq!(stream.ids(1).await, ["mona:3"]);
    }
    inside.get("/v1/contributors").await.expect(200);
    drop(streams);
    inside.stop().await;
}

#[tokio::test]
async fn scrapes_that_are_cancelled_take_one_reader_of_the_store_together() {
    let store = FakeStore::new(Mode::Good);
    let inside = inside(&store, 6, PATIENCE).await;
    // The first round of the outbox, which counts what waits and what is turned off.
    let counted = || store.backlogs.load(Ordering::SeqCst);
    in_the_end("the first round", async {
        while counted() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    store.set_mode(Mode::HangsIn("backlog"));
    let begun = async {
        while counted() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = inside.get("/metrics") => panic!("it was answered first"),
        () = in_the_end("the first scrape", begun) => {}
    }
    for _ in 0..10 {
        let scrape = tokio::time::timeout(Duration::from_millis(20), inside.get("/metrics"));
        scrape.await.unwrap_err();
    }
    assert_eq!(counted(), 3);
    // It is answered all the same, with the last values.
    inside.get("/metrics").await.expect(200);
    assert_eq!(counted(), 3);
    inside.stop().await;
}
