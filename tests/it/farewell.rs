//! The end, inside the process: requests in flight keep their whole time, and the outbox is drained meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plaudit::domain::Destination;
use plaudit::http::Overrides;
use plaudit::store::Store as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::signals::half_a_post;
use crate::support::{FakeStore, Inside, Mode, PATIENCE, config, talk};

/// Less than a request waits, and so much that a commit cut short by the signal to stop would show.
const SLOW_COMMIT: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_commit_that_takes_seven_seconds_is_answered_and_the_outbox_drained_beside_it() {
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::start(&config(&[]), store.clone(), Overrides::default()).await;
    for id in ["a", "b"] {
        inside.post(&talk("mona", id)).await.expect(201);
    }
    let next_drain = || async {
        let drained = tokio::time::timeout(PATIENCE, store.looked.acquire()).await;
        drained.expect("no drain").unwrap().forget();
    };
    // The first is the drain at the start.
    next_drain().await;
    store.set_mode(Mode::Blocked);
    let body = talk("mona", "c").to_string();
    let mut connection = half_a_post(&inside.address(), &body).await;
    let in_flight = async {
        // The next is the drain after the signal to stop; only then does the request reach the store.
        next_drain().await;
        connection.write_all(body.as_bytes()).await.unwrap();
        tokio::time::sleep(SLOW_COMMIT).await;
        store.gate.add_permits(1);
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(in_flight, inside.stop());
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("mona:3"), "{answer}");
    assert_eq!(store.closed.load(Ordering::SeqCst), 1, "the store is closed");
    let backlog = store.backlog(&[Destination::Local]).await.unwrap();
    assert_eq!(backlog.waiting, 0, "what the last request made is published too");
}
