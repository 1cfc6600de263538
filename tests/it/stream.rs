//! The event stream: every recognition, of every instance.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Plaudit, talk};

async fn reach_three(plaudit: &Plaudit, who: &str) {
    for i in 0..3 {
        plaudit.post(&talk(who, &format!("{who}-{i}"))).await.expect(201);
    }
}

#[tokio::test]
async fn it_tells_what_is_made_from_now_on_and_resumes_after_the_last_id() {
    let mut plaudit = Plaudit::start().await;
    reach_three(&plaudit, "ada").await;
    let mut now = plaudit.stream(None).await;
    for who in ["bo", "cy", "di"] {
        reach_three(&plaudit, who).await;
    }
    assert_eq!(now.ids(3).await, ["bo:3", "cy:3", "di:3"]);
    assert_eq!(plaudit.stream(Some("ada:3")).await.ids(3).await, ["bo:3", "cy:3", "di:3"]);
    assert_eq!(plaudit.stream(Some("cy:3")).await.ids(1).await, ["di:3"]);
    // The same across a restart, and for what is made after it.
    drop(now);
    plaudit.end().await;
    plaudit.restart().await;
    let mut resumed = plaudit.stream(Some("bo:3")).await;
    reach_three(&plaudit, "ed").await;
    assert_eq!(resumed.ids(3).await, ["cy:3", "di:3", "ed:3"]);
    drop(resumed);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_last_id_is_compared_like_every_id_whatever_its_letters() {
    let plaudit = Plaudit::start().await;
    for who in ["ada", "bo"] {
        reach_three(&plaudit, who).await;
    }
    assert_eq!(plaudit.stream(Some("ADA:3")).await.ids(1).await, ["bo:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn an_unknown_last_id_starts_now() {
    let plaudit = Plaudit::start().await;
    reach_three(&plaudit, "ada").await;
    for id in ["nobody:3", "", "ada", "\u{fc}", "x".repeat(3_000).as_str()] {
        let mut events = plaudit.stream(Some(id)).await;
        let who = format!("after-{}", id.len());
        reach_three(&plaudit, &who).await;
        assert_eq!(events.ids(1).await, [format!("{who}:3")], "{id:?}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_recognition_that_another_process_made_on_the_same_file_arrives() {
    let first = Plaudit::start().await;
    let second = Plaudit::beside(first.folder(), &[]).await;
    let mut events = first.stream(None).await;
    reach_three(&second, "ada").await;
    let event = events.next().await.unwrap();
    assert_eq!(event.id, "ada:3");
    let shown = second.get("/v1/recognitions/ada:3").await.expect(200).json();
    for field in ["id", "contributor", "milestone", "tally", "recognized_at", "contribution"] {
        assert_eq!(event.data[field], shown[field]);
    }
    drop(events);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_thousand_missed_recognitions_are_sent_in_order() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1")]).await;
    plaudit.post(&talk("first", "first")).await.expect(201);
    let posts: Vec<_> = (0..250).map(|i| talk(&format!("who-{i}"), &format!("n{i}"))).collect();
    let answers = futures::future::join_all(posts.iter().map(|post| plaudit.post(post))).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    let mut received = plaudit.stream(Some("first:1")).await.ids(250).await;
    let mut listed: Vec<_> = plaudit.all("/v1/recognitions?limit=100").await;
    listed.reverse();
    let listed: Vec<_> = listed.iter().skip(1).map(|r| r["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(received, listed);
    received.sort();
    received.dedup();
    assert_eq!(received.len(), 250);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_comment_keeps_it_alive() {
    let plaudit = Plaudit::start().await;
    let address = plaudit.url.strip_prefix("http://").unwrap().to_owned();
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /v1/recognitions/stream HTTP/1.1\r\nhost: {address}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let heard = async {
        let mut buffer = [0; 1024];
        while !text.contains("\n: ") && !text.contains("\n:") {
            let read = connection.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("no comment came");
    assert!(text.to_lowercase().contains("cache-control: no-cache"), "{text}");
    drop(connection);
    plaudit.stop().await;
}

#[tokio::test]
async fn all_listeners_receive_the_same_and_closed_streams_cost_nothing() {
    let plaudit = Plaudit::start().await;
    let mut listeners = Vec::new();
    for _ in 0..50 {
        listeners.push(plaudit.stream(None).await);
    }
    listeners.truncate(20);
    reach_three(&plaudit, "ada").await;
    for listener in &mut listeners {
        assert_eq!(listener.ids(1).await, ["ada:3"]);
    }
    drop(listeners);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut late = plaudit.stream(None).await;
    reach_three(&plaudit, "bo").await;
    assert_eq!(late.ids(1).await, ["bo:3"]);
    drop(late);
    plaudit.stop().await;
}
