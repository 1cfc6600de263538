//! The end: what holds after SIGTERM.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Plaudit, TOKEN, signal, talk};

/// Begins a post, and returns the connection once the server waits for the rest of the body.
pub(crate) async fn half_a_post(address: &str, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/contributions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // The server sends "100 Continue" only once it reads the body.
    let mut said = [0; 25];
    connection.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection
}

fn address(plaudit: &Plaudit) -> String {
    plaudit.url.strip_prefix("http://").unwrap().to_owned()
}

async fn rest(mut connection: TcpStream) -> String {
    let mut answer = String::new();
    let read = connection.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("the answer does not end").unwrap();
    answer
}

#[tokio::test]
async fn a_request_in_flight_ends_with_its_answer_and_no_new_connection_is_taken() {
    let mut plaudit = Plaudit::start().await;
    let body = talk("mona", "in flight").to_string();
    let mut connection = half_a_post(&address(&plaudit), &body).await;
    plaudit.terminate();
    plaudit.log.wait(0, |line| line.contains("stopping: no new connections")).await;
    let address = address(&plaudit);
    // The listener is closed soon after the line is written.
    let mut tries = 0;
    while TcpStream::connect(&address).await.is_ok() {
        tries += 1;
        assert!(tries < 1_000, "new connections are still taken");
        tokio::task::yield_now().await;
    }
    connection.write_all(body.as_bytes()).await.unwrap();
    let answer = rest(connection).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    plaudit.ended().await;
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let mut plaudit = Plaudit::start().await;
    let body = talk("mona", &"never".repeat(12_000)).to_string();
    let mut connection = half_a_post(&address(&plaudit), &body).await;
    plaudit.terminate();
    // Fast enough that the body is not too slow, and not done before the process must end.
    let (mut answers, mut bytes) = connection.split();
    let sending = async {
        let mut pause = tokio::time::interval(Duration::from_millis(100));
        for part in body.as_bytes().chunks(600) {
            pause.tick().await;
            if bytes.write_all(part).await.is_err() {
                return;
            }
        }
    };
    let mut answer = String::new();
    let ((), read, ()) = tokio::join!(sending, answers.read_to_string(&mut answer), plaudit.ended());
    assert!(plaudit.log.lines().iter().any(|line| line.contains("did not end in time")));
    assert!(read.is_err() || answer.is_empty(), "{answer}");
    plaudit.restart().await;
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_too_slow_at_the_end_as_ever() {
    let mut plaudit = Plaudit::start().await;
    let connection = half_a_post(&address(&plaudit), &talk("mona", "never").to_string()).await;
    plaudit.end().await;
    let answer = rest(connection).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(!plaudit.log.lines().iter().any(|line| line.contains("did not end in time")));
    plaudit.restart().await;
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_up_the_end() {
    let mut plaudit = Plaudit::start().await;
    let silent = TcpStream::connect(address(&plaudit)).await.unwrap();
    // Connections are accepted in their order, so this one's answer shows that the silent one is open.
    plaudit.get("/healthz").await.expect(200);
    plaudit.end().await;
    assert_eq!(rest(silent).await, "");
    let late = plaudit.log.lines().iter().any(|line| line.contains("did not end in time"));
    assert!(!late, "{:#?}", plaudit.log.lines());
    plaudit.done();
}

#[tokio::test]
async fn the_outbox_is_drained_before_the_end() {
    let mut plaudit = Plaudit::start().await;
    for id in ["a", "b", "c"] {
        plaudit.post(&talk("mona", id)).await.expect(201);
    }
    plaudit.end().await;
    let last = plaudit.log.json().pop().unwrap();
    assert!(last["message"].as_str().unwrap().contains("the outbox is drained"), "{last}");
    assert_eq!(last["outbox_waiting"], 0);
    let published =
        plaudit.log.lines().iter().filter(|line| line.contains("recognition mona:3 published")).count();
    assert_eq!(published, 1);
    plaudit.done();
}

#[tokio::test]
async fn idle_connections_and_streams_do_not_hold_up_the_end() {
    let mut plaudit = Plaudit::start().await;
    let mut events = plaudit.stream(None).await;
    plaudit.get("/healthz").await.expect(200);
    plaudit.terminate();
    assert_eq!(events.next().await, None, "the stream ends");
    plaudit.ended().await;
    let slow = plaudit.log.lines().iter().any(|line| line.contains("did not end in time"));
    assert!(!slow, "{:#?}", plaudit.log.lines());
    plaudit.done();
}

#[tokio::test]
async fn every_task_ends_before_the_time_is_up() {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.end().await;
    let late = plaudit.log.lines().iter().any(|line| line.contains("some tasks did not end in time"));
    assert!(!late, "{:#?}", plaudit.log.lines());
    plaudit.done();
}

#[tokio::test]
async fn an_interrupt_stops_it_too() {
    let mut plaudit = Plaudit::start().await;
    plaudit
        .send(plaudit.request(Method::POST, "/v1/contributions").json(&talk("mona", "a")))
        .await
        .expect(201);
    signal("INT", plaudit.pid());
    plaudit.ended().await;
    plaudit.done();
}
