//! The event stream: every recognition, of every instance.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::{join, join_all};
use futures::{FutureExt as _, StreamExt as _};
use plaudit::feed::{Feed, Last};
use plaudit::http::Overrides;
use plaudit::runtime::Tasks;
use plaudit::store::firestore::Firestore;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::store::{at, done, recognition};
use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::Call;
use crate::support::stage::stage;
use crate::support::{Inside, PATIENCE, Plaudit, config, in_the_end, ledger, talk};

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
    for id in ["nobody:3", "", "ada", "\u{fc}", "@", "@e30", "x".repeat(3_000).as_str()] {
        let mut events = plaudit.stream(Some(id)).await;
        let who = format!("after-{}", hex::encode(id.get(..9).unwrap_or(id)));
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
async fn it_ends_before_the_platform_cuts_it_and_what_is_made_until_the_client_is_back_comes_then() {
    let plaudit = Plaudit::with(&[("PLAUDIT_REQUEST_TIMEOUT", "11")]).await;
    // It has never had a recognition.
    let last = in_the_end("the end", plaudit.stream(None).await.end()).await;
    reach_three(&plaudit, "ada").await;
    let mut resumed = plaudit.stream(last.as_deref()).await;
    assert_eq!(resumed.ids(1).await, ["ada:3"]);
    let last = in_the_end("the end", resumed.end()).await;
    reach_three(&plaudit, "bo").await;
    assert_eq!(plaudit.stream(last.as_deref()).await.ids(1).await, ["bo:3"]);
    plaudit.stop().await;
}

/// Positions that this ledger did not give: another store's, and one from before it was restored from an older copy.
#[tokio::test]
async fn a_position_that_the_ledger_does_not_know_is_replaced_by_the_present_one() {
    let plaudit = Plaudit::with(&[("PLAUDIT_REQUEST_TIMEOUT", "11")]).await;
    reach_three(&plaudit, "before").await;
    let ahead = format!("@{}", URL_SAFE_NO_PAD.encode("1000000"));
    for (position, who) in [("@e30", "ada"), (&ahead, "bo")] {
        let last = in_the_end("the end", plaudit.stream(Some(position)).await.end()).await;
        reach_three(&plaudit, who).await;
        let mut resumed = plaudit.stream(last.as_deref()).await;
        assert_eq!(resumed.ids(1).await, [format!("{who}:3")], "{position}");
    }
    plaudit.stop().await;
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

#[tokio::test]
async fn a_listener_that_is_too_far_behind_is_ended_and_resumes_without_a_gap() {
    let (_folder, store) = ledger();
    let (made, changed) = tokio::sync::watch::channel(0);
    let tasks = Tasks::default();
    let feed = Feed::new(Arc::clone(&store), changed, tasks.clone());
    let all: Vec<_> = (0..1_500).map(|i| recognition(&format!("who-{i:04}"), 3, at(i))).collect();
    let contributions: Vec<_> =
        all.iter().map(|one| done(one.id.as_str(), one.contributor.as_str())).collect();
    store.record(&contributions, at(0)).await.unwrap();
    let at_once = || std::future::ready(Some(())).boxed();
    let mut slow = Box::pin(feed.follow(None, at_once).await.unwrap().recognitions);
    let mut quick = Box::pin(feed.follow(None, at_once).await.unwrap().recognitions);
    store.recognise(&all[..1], &[]).await.unwrap();
    made.send_replace(1);
    let first = in_the_end("the first", join(slow.next(), quick.next())).await.0.unwrap();
    store.recognise(&all[1..], &[]).await.unwrap();
    made.send_replace(2);
    // The quick one has the last, or is behind itself: more were sent than a listener may be behind.
    in_the_end("all that was sent", async {
        while quick.next().await.is_some_and(|one| one.id != all[1_499].id) {}
    })
    .await;
    assert_eq!(in_the_end("the end of the stream", slow.next()).await, None);
    let last = Last::Recognition(first.id.clone());
    let resumed = feed.follow(Some(last), at_once).await.unwrap();
    let rest = in_the_end("the rest", resumed.recognitions.take(1_499).collect::<Vec<_>>()).await;
    assert!(rest.iter().map(|one| &one.id).eq(all[1..].iter().map(|one| &one.id)));
    tasks.stop_streams();
    tasks.end().await;
}

// ---- on Firestore ------------------------------------------------------------------------------------------

async fn reach_one(plaudit: &Plaudit, who: &str) {
    plaudit.post(&talk(who, who)).await.expect(201);
}

fn crowd(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("who-{i:03}")).collect()
}

fn ids(crowd: &[String]) -> BTreeSet<String> {
    crowd.iter().map(|who| format!("{who}:1")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_too_every_missed_recognition_is_sent_however_many_there_are() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local").with("PLAUDIT_MILESTONES", "1");
    let process = environment.start().await;
    reach_one(&process, "first").await;
    let crowd = crowd(300);
    join_all(crowd.iter().map(|who| reach_one(&process, who))).await;
    let received = process.stream(Some("first:1")).await.ids(300).await;
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), ids(&crowd));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_a_last_id_that_has_no_place_in_the_order_starts_now() {
    let Some(host) = emulators::firestore() else { return };
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
    let one = config(&[("PLAUDIT_MILESTONES", "1")]);
    let inside = Inside::start(&one, Arc::new(store), Overrides::default()).await;
    inside.post(&talk("first", "first")).await.expect(201);
    let document = format!(
        "http://{host}/v1/projects/{project}/databases/(default)/documents/recognitions/first:1?updateMask.fieldPaths=made_at"
    );
    let without = reqwest::Client::new().patch(document).bearer_auth("owner").json(&json!({"fields": {}}));
    assert_eq!(without.send().await.unwrap().status(), 200);
    let mut events = inside.stream(Some("first:1")).await;
    inside.post(&talk("second", "second")).await.expect(201);
    assert_eq!(events.ids(1).await, ["second:1"]);
    drop(events);
    inside.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_too_what_is_made_between_two_streams_comes_in_the_second_one() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local").with("PLAUDIT_MILESTONES", "1");
    let process = environment.with("PLAUDIT_REQUEST_TIMEOUT", "11").start().await;
    let last = in_the_end("the end", process.stream(None).await.end()).await;
    reach_one(&process, "ada").await;
    assert_eq!(process.stream(last.as_deref()).await.ids(1).await, ["ada:1"]);
}

/// Follows with a connection for every `piece` events, until all of `expected` have come.
async fn follow_in_pieces(process: &Plaudit, piece: usize, expected: &BTreeSet<String>) {
    let (mut last, mut missing) = ("first:1".to_owned(), expected.clone());
    while !missing.is_empty() {
        let mut events = process.stream(Some(&last)).await;
        for _ in 0..piece {
            let Some(event) = events.next().await else { break };
            missing.remove(&event.id);
            last = event.id;
            if missing.is_empty() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_listeners_that_reconnect_all_the_time_miss_nothing_of_two_instances() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local").with("PLAUDIT_MILESTONES", "1");
    let processes = join_all((0..2).map(|_| environment.start())).await;
    reach_one(&processes[0], "first").await;
    let crowd = crowd(400);
    let expected = ids(&crowd);
    let posts = crowd.iter().enumerate().map(|(i, who)| reach_one(&processes[i % 2], who));
    let posting = futures::stream::iter(posts).buffer_unordered(16).collect::<Vec<_>>();
    let pieces = [23, 101].map(|piece| follow_in_pieces(&processes[0], piece, &expected));
    in_the_end("every recognition", join(posting, join_all(pieces))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_the_poll_reads_a_recognition_a_few_times_and_at_rest_asks_once_a_second_for_nothing() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local").with("PLAUDIT_MILESTONES", "1");
    let (proxy, process) = stage.proxied(&environment).await;
    proxy.take_calls();
    let mut events = process.stream(None).await;
    let crowd = crowd(40);
    join_all(crowd.iter().map(|who| reach_one(&process, who))).await;
    assert_eq!(events.ids(40).await.into_iter().collect::<BTreeSet<_>>(), ids(&crowd));

    let mut polls: Vec<Call> = Vec::new();
    in_the_end("three polls that find nothing any more", async {
        while polls.len() < 3 || polls.iter().rev().take(3).any(|poll| poll.documents() != Some(0)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let calls = proxy.take_calls().into_iter();
            polls.extend(calls.filter(|call| call.rpc == "RunQuery" && call.mentions("made_at")));
        }
    })
    .await;
    let read: usize = polls.iter().filter_map(Call::documents).sum();
    println!("40 recognitions: {} polls read {read} documents", polls.len());
    // The window of 5 seconds, one poll before it and one after it.
    assert!((40..=40 * 7).contains(&read), "{read}");
    assert!(polls.windows(2).all(|two| two[1].at - two[0].at >= Duration::from_secs(1)));
}
