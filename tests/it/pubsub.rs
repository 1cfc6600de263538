//! The topic as a destination, with the emulator.

use std::collections::BTreeSet;

use axum::Router;
use axum::http::{StatusCode, Uri};
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, HostName, Kind, Moment, Recognition, RecognitionId,
};
use plaudit::publish::pubsub::Pubsub;
use plaudit::publish::{Message, PublishError, Publisher};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::gate::Gate;
use crate::support::h2proxy::{Call, Fault, Proxy};
use crate::support::hold_against_schema;
use crate::support::pubsub_emulator::{PROJECT, Topic, pubsub};

fn moment(text: &str) -> Moment {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub fn recognition(contributor: &str, contribution: Option<Contribution>) -> Recognition {
    let contributor = ContributorId::parse(contributor).unwrap();
    Recognition {
        id: RecognitionId::of(&contributor, 3),
        contributor,
        milestone: 3,
        tally: if contribution.is_some() { 3 } else { 4 },
        recognized_at: moment("2026-11-24T10:00:00.25Z"),
        account_url: None,
        contribution,
    }
}

fn contribution(contributor: &str, host: &str, private: bool) -> Contribution {
    Contribution {
        id: ContributionId::on_host(&HostName::parse(host).unwrap(), 42, "pull_request:7:octocat"),
        contributor: ContributorId::parse(contributor).unwrap(),
        kind: Kind::PULL_REQUEST,
        occurred_at: moment("2026-11-24T09:59:58Z"),
        title: Some("Sag es auf Österreichisch, \"bitte\"\n".into()),
        url: Some(format!("https://{host}/o/r/pull/7")),
        repository: Some("o/r".into()),
        private,
        user_id: Some(1),
        account_url: None,
        labels: None,
        landed_at: None,
        content: None,
    }
}

/// One recognition of every sort.
fn every_sort() -> Vec<Recognition> {
    let posted = Contribution {
        id: ContributionId::from_text("api:meetup:1"),
        title: None,
        url: None,
        repository: None,
        ..contribution("änne müller", "api", false)
    };
    let own = "git.example.org:8443:mona";
    vec![
        recognition("github:octocat", Some(contribution("github:octocat", "github", false))),
        recognition("gitlab:tanuki", Some(contribution("gitlab:tanuki", "gitlab", false))),
        recognition(own, Some(contribution(own, "git.example.org:8443", false))),
        recognition("änne müller", Some(posted)),
        recognition("github:hush", Some(contribution("github:hush", "github", true))),
        recognition("github:crash", None),
    ]
}

fn read(path: &str) -> Value {
    let path = format!("{}/docs/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn down(result: Result<(), PublishError>) -> String {
    match result {
        Err(PublishError::Down { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_sort_of_message_and_the_example_keep_to_the_schema() {
    hold_against_schema(&read("recognition.example.json"));
    for recognition in every_sort() {
        hold_against_schema(&serde_json::to_value(Message::public(&recognition)).unwrap());
    }
}

#[test]
fn the_schema_refuses_what_is_no_recognition_and_allows_fields_to_be_added() {
    let schema = jsonschema::validator_for(&read("recognition.schema.json")).unwrap();
    let example = read("recognition.example.json");
    let changed = |pointer: &str, value: Value| {
        let mut changed = example.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[field] = value;
        schema.is_valid(&changed)
    };
    assert!(changed("/new", json!({"any": "thing"})) && changed("/contributor/new", json!(1)));
    assert!(changed("/contribution", Value::Null) && changed("/contributor/host", Value::Null));
    for (pointer, value) in [
        ("/id", json!("github:octocat")),
        ("/milestone", json!("3")),
        ("/tally", json!(0)),
        ("/recognized_at", json!("yesterday")),
        ("/contributor", json!("octocat")),
        ("/contributor/login", Value::Null),
        ("/contribution/kind", json!("Pull Request")),
        ("/contribution/url", json!("javascript:alert(1)")),
    ] {
        assert!(!changed(pointer, value), "{pointer}");
    }
    for field in ["id", "contributor", "milestone", "tally", "recognized_at", "contribution"] {
        let mut without = example.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(!schema.is_valid(&without), "{field}");
    }
}

#[tokio::test]
async fn a_recognition_arrives_as_a_cloud_event() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&host)).await.unwrap();
    publisher.ping().await.unwrap();
    for recognition in every_sort() {
        publisher.publish(&recognition).await.unwrap();
        let received = topic.receive(1).await;
        let [received] = &received[..] else { panic!("one, once: {received:?}") };
        let data: Value = serde_json::from_slice(&received.data).unwrap();
        hold_against_schema(&data);
        assert_eq!(data, serde_json::to_value(Message::public(&recognition)).unwrap());

        let who = recognition.contributor.as_str();
        let mut attributes = json!({
            "ce-specversion": "1.0",
            "ce-id": format!("{who}:3"),
            "ce-type": "dev.plaudit.recognition.v1",
            "ce-source": "//plaudit/demo",
            "ce-subject": who,
            "ce-time": "2026-11-24T10:00:00.250Z",
            "content-type": "application/json",
            "contributor": who,
            "milestone": "3",
        });
        if let Some((host, _)) = who.rsplit_once(':') {
            attributes["host"] = json!(host);
        }
        assert_eq!(received.attributes, attributes);
        let untold = matches!(who, "github:hush" | "github:crash");
        assert_eq!(data["contribution"].is_null(), untold, "{who}");
    }
}

#[tokio::test]
async fn the_longest_names_fit_into_attributes() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&host)).await.unwrap();
    let longest = format!("{}:65535:{}", "h".repeat(253), "ä".repeat(100));
    let recognition = Recognition {
        milestone: u64::MAX,
        id: RecognitionId::of(&ContributorId::parse(&longest).unwrap(), u64::MAX),
        ..recognition(&longest, None)
    };
    publisher.publish(&recognition).await.unwrap();
    let received = topic.receive(1).await;
    assert_eq!(received[0].attributes["ce-id"], format!("{longest}:{}", u64::MAX));
    let limits = |(key, value): (&String, &Value)| key.len() <= 256 && value.as_str().unwrap().len() <= 1024;
    assert!(received[0].attributes.as_object().unwrap().iter().all(limits));
}

#[tokio::test]
async fn many_at_once_all_arrive() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&host)).await.unwrap();
    let all: Vec<_> = (0..500).map(|i| recognition(&format!("github:u{i}"), None)).collect();
    let outcomes = futures::future::join_all(all.iter().map(|r| publisher.publish(r))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let received = topic.receive(500).await;
    let ids = received.iter().map(|r| r.attributes["ce-id"].as_str().unwrap().to_owned());
    assert_eq!(ids.collect::<BTreeSet<_>>(), all.iter().map(|r| r.id.to_string()).collect());
}

#[tokio::test]
async fn one_message_that_the_topic_refuses_for_good_stops_no_other() {
    const INVALID_ARGUMENT: u16 = 3;
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let proxy = Proxy::start(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&proxy.host)).await.unwrap();
    // In the request with others, and then alone.
    for _ in 0..2 {
        let has_it = |call: &Call| call.rpc == "Publish" && call.mentions("too-large");
        proxy.fault_where(has_it, Fault::Status(INVALID_ARGUMENT, "the message is too large"));
    }
    let names = ["ann", "ben", "too-large", "cleo", "dora"];
    let all: Vec<_> = names.iter().map(|who| recognition(who, None)).collect();
    let outcomes = futures::future::join_all(all.iter().map(|r| publisher.publish(r))).await;
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome {
            Ok(()) => assert_ne!(*name, "too-large"),
            Err(PublishError::Never { reason, why }) => {
                assert_eq!((*name, reason.code()), ("too-large", "message_refused"));
                assert!(why.contains(&topic.topic) && why.contains("the message is too large"), "{why}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    proxy.assert_all_faults_met();
    let received = topic.receive(4).await;
    let ids: BTreeSet<_> = received.iter().map(|r| r.attributes["ce-id"].as_str().unwrap()).collect();
    assert_eq!(ids, BTreeSet::from(["ann:3", "ben:3", "cleo:3", "dora:3"]));
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named_and_once_made_is_published_to() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::named(&host);
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&host)).await.unwrap();
    let command = format!("curl -X PUT http://{host}/v1/projects/demo/topics/{}", topic.topic);
    let pinged = down(publisher.ping().await);
    let outcome = down(publisher.publish(&recognition("mona", None)).await);
    for why in [pinged, outcome] {
        assert!(why.contains("does not exist") && why.contains(&command), "{why}");
    }
    topic.make().await;
    publisher.ping().await.unwrap();
    publisher.publish(&recognition("mona", None)).await.unwrap();
    assert_eq!(topic.receive(1).await[0].attributes["ce-id"], "mona:3");
}

/// Starts a server that answers so for the topic and for its permissions, and returns its address.
async fn answering(topic: StatusCode, permissions: (StatusCode, Value)) -> String {
    let answer = move |uri: Uri| {
        let asked = uri.path().ends_with(":testIamPermissions");
        let name = "PERMISSION_DENIED";
        let denied = json!({"error": {"code": 403, "status": name, "message": "User not authorized"}});
        let (status, body) = match (asked, topic) {
            (true, _) => permissions.clone(),
            (false, StatusCode::OK) => (StatusCode::OK, json!({"name": "projects/demo/topics/thanks"})),
            (false, status) => (status, denied),
        };
        async move { (status, axum::Json(body)) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = axum::serve(listener, Router::new().fallback(answer)).into_future();
    plaudit::runtime::Tasks::default().spawn(server);
    host
}

#[tokio::test]
async fn a_role_that_may_publish_and_not_view_the_topic_is_no_failure() {
    let granted = (StatusCode::OK, json!({"permissions": ["pubsub.topics.publish"]}));
    let host = answering(StatusCode::FORBIDDEN, granted).await;
    let publisher = Pubsub::open(PROJECT, "thanks", Some(&host)).await.unwrap();
    publisher.ping().await.unwrap();
}

#[tokio::test]
async fn with_viewing_and_without_publishing_the_missing_role_is_named() {
    for look in [StatusCode::OK, StatusCode::FORBIDDEN] {
        let host = answering(look, (StatusCode::OK, json!({}))).await;
        let publisher = Pubsub::open(PROJECT, "thanks", Some(&host)).await.unwrap();
        let why = down(publisher.ping().await);
        assert!(why.contains("--role=roles/pubsub.publisher"), "{why}");
        assert_eq!(why.contains("if it exists"), look == StatusCode::FORBIDDEN, "{why}");
    }
}

#[tokio::test]
async fn an_unreachable_topic_is_reported_and_not_waited_for_without_end() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let publisher = Pubsub::open(PROJECT, "thanks", Some(&host)).await.unwrap();
    for why in [down(publisher.ping().await), down(publisher.publish(&recognition("mona", None)).await)] {
        assert!(why.contains("projects/demo/topics/thanks"), "{why}");
    }
}

#[tokio::test]
async fn a_publisher_outlives_an_outage_without_a_restart() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let mut gate = Gate::open(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&gate.host)).await.unwrap();
    publisher.publish(&recognition("before", None)).await.unwrap();
    gate.close().await;
    let during = recognition("during", None);
    let outcomes = futures::future::join_all((0..3).map(|_| publisher.publish(&during))).await;
    for outcome in outcomes {
        assert!(down(outcome).contains("cannot be reached"));
    }
    down(publisher.ping().await);
    gate.reopen().await;
    publisher.publish(&during).await.unwrap();
    publisher.ping().await.unwrap();
    let received = topic.receive(2).await;
    let ids: BTreeSet<_> = received.iter().map(|r| r.attributes["ce-id"].as_str().unwrap()).collect();
    assert_eq!(ids, BTreeSet::from(["before:3", "during:3"]));
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_given_up_for_a_new_one() {
    let Some(host) = pubsub().await else { return };
    let topic = Topic::create(&host).await;
    let gate = Gate::open(&host).await;
    let publisher = Pubsub::open(PROJECT, &topic.topic, Some(&gate.host)).await.unwrap();
    publisher.publish(&recognition("before", None)).await.unwrap();
    gate.freeze.cancel();
    let after = recognition("after", None);
    let together = futures::future::join_all((0..3).map(|_| publisher.publish(&after))).await;
    assert!(together.iter().all(Result::is_ok), "{together:?}");
    let received = topic.receive(4).await;
    assert_eq!(received.iter().filter(|r| r.attributes["ce-id"] == "after:3").count(), 3);
}
