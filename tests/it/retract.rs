//! Contributions that a client takes back, and that count again.

use std::sync::Arc;

use http::Method;
use plaudit::domain::{Contribution, Labels, Milestones, Moment, Review, Ruling};
use plaudit::outbox::Outbox;
use plaudit::record::{Recorder, deadline};
use plaudit::runtime::{Clock, Tasks};
use plaudit::store::{Novelty, RecognitionFilter};
use plaudit::telemetry::Metrics;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Plaudit, TOKEN, fixture, ledger, talk};

async fn retract(client: &Client, id: &str) -> Answer {
    client.send(client.request(Method::DELETE, &format!("/v1/contributions/{id}"))).await
}

async fn ids(client: &Client, path: &str) -> Vec<Value> {
    client.all(path).await.iter().map(|one| one["id"].clone()).collect()
}

#[tokio::test]
async fn what_is_taken_back_is_gone_from_the_tally_and_the_lists_and_never_counts_again() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for id in ["1", "2", "3"] {
        plaudit.post(&talk("mona", id)).await.expect(201);
    }
    let expected = json!({"id": "api:api:2", "contributor": "mona", "tally": 2, "retracted": true});
    for _ in 0..2 {
        assert_eq!(retract(&plaudit, "api:api:2").await.expect(200).json(), expected);
    }
    let again = plaudit.post(&talk("mona", "2")).await.expect(200).json();
    assert_eq!((&again["tally"], &again["recognitions"]), (&json!(2), &json!([])));
    let other = json!({"contributor": "mona", "kind": "walk", "id": "2"});
    plaudit.post(&other).await.problem(422, "conflict");

    let shown = |id| plaudit.get(id);
    assert_eq!(shown("/v1/contributions/api:api:2").await.expect(200).json()["retracted"], true);
    assert_eq!(shown("/v1/contributions/api:api:1").await.expect(200).json()["retracted"], false);
    let list = "/v1/contributors/mona/contributions";
    assert_eq!(ids(&plaudit, list).await, ["api:api:3", "api:api:1"]);
    assert_eq!(ids(&plaudit, &format!("{list}?retracted=false&limit=1")).await, ["api:api:3", "api:api:1"]);
    let all = ids(&plaudit, &format!("{list}?retracted=true&limit=1")).await;
    assert_eq!(all, ["api:api:3", "api:api:2", "api:api:1"]);

    // What was recognised stays so, and is not again.
    assert_eq!(plaudit.recognitions().await, ["mona:3"]);
    let fourth = plaudit.post(&talk("mona", "4")).await.expect(201).json();
    assert_eq!((&fourth["tally"], &fourth["recognitions"]), (&json!(3), &json!([])));
    assert_eq!(plaudit.recognitions().await, ["mona:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn taking_back_needs_a_token_and_something_to_take_back() {
    let settings =
        [("PLAUDIT_API_TOKENS", TOKEN), ("PLAUDIT_OPEN_API", "true"), ("PLAUDIT_PUBLIC_READ", "true")];
    let plaudit = Plaudit::with(&settings).await;
    let stranger = plaudit.stranger();
    stranger.post(&talk("mona", "1")).await.expect(201);
    retract(&stranger, "api:api:1").await.problem(401, "token_needed");
    retract(&plaudit, "api:api:2").await.problem(404, "not_found");
    let list = "/v1/contributors/mona/contributions";
    stranger.get(&format!("{list}?retracted=true")).await.problem(401, "token_needed");
    let problem = plaudit.get(&format!("{list}?retracted=yes")).await.problem(400, "invalid_fields");
    assert_eq!(problem["errors"][0]["field"], "retracted");
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_delivery_that_comes_again_after_its_contribution_was_taken_back_is_a_duplicate() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let delivery = fixture("github/issues.opened.json");
    let counted = plaudit.github("issues", &delivery).await.expect(200).json();
    assert_eq!(counted["verdict"], "recorded");
    let id = counted["contributions"][0]["id"].as_str().unwrap();
    assert_eq!(retract(&plaudit, id).await.expect(200).json()["tally"], 0);
    let again = plaudit.github("issues", &delivery).await.expect(200).json();
    assert_eq!((&again["verdict"], &again["contributions"][0]["tally"]), (&json!("duplicate"), &json!(0)));
    plaudit.stop().await;
}

#[tokio::test]
async fn what_counts_again_is_recognised_with_its_contribution() {
    let (_folder, store) = ledger();
    let (metrics, clock, milestones, tasks) =
        (Metrics::new(&["github"]).unwrap(), Clock::system(), Milestones::default(), Tasks::default());
    let outbox = Arc::new(Outbox::new(
        Arc::clone(&store),
        Vec::new(),
        milestones.clone(),
        clock.clone(),
        metrics.clone(),
    ));
    let recorder = Recorder::start(&store, &outbox, &milestones, &clock, &metrics, &tasks);
    let by = |id: &str| crate::store::done(id, "github:mona");
    let labels = |second, rejected| Labels { at: Moment::from_timestamp(second, 0).unwrap(), rejected };
    let rejected = Contribution { labels: Some(labels(1, true)), ..by("github:1:pull_request:7:mona") };
    let outcomes = recorder.record(vec![by("1"), by("2"), rejected.clone()], deadline()).await.unwrap();
    assert_eq!((outcomes[2].novelty, outcomes[2].tally), (Novelty::Retracted, 2));
    let review = |labels| Review {
        work: rejected.work(),
        part: Some(rejected.id.clone()),
        ruling: Ruling::Labels(labels),
        private: false,
    };
    let outcome = recorder.review(&review(labels(2, false)), deadline()).await.unwrap();
    let [made] = outcome.recognitions.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(made.id.as_str(), "github:mona:3");
    assert_eq!(made.contribution.as_ref().map(|one| &one.id), Some(&rejected.id));
    for second in 3..5 {
        recorder.review(&review(labels(second, second == 3)), deadline()).await.unwrap();
    }
    assert_eq!(
        store
            .recognitions(&RecognitionFilter::default(), &plaudit::store::Page { limit: 9, after: None })
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    tasks.end().await;
}

/// A payload about the pull request of `fixture`, with these labels at this second.
fn pull_request(action: &str, labels: &[&str], second: u32) -> String {
    let mut payload: Value = serde_json::from_str(&fixture("github/pull_request.labeled.spam.json")).unwrap();
    payload["action"] = action.into();
    payload["pull_request"]["labels"] = labels.iter().map(|name| json!({"name": name})).collect();
    payload["pull_request"]["updated_at"] = format!("2026-11-24T10:00:{second:02}Z").into();
    payload.to_string()
}

#[tokio::test]
async fn a_label_takes_a_pull_request_back_until_it_is_removed_whatever_comes_first() {
    let opened = || ("recorded", pull_request("opened", &[], 1));
    let labeled = || ("retracted", pull_request("labeled", &["spam"], 2));
    let unlabeled = |verdict| (verdict, pull_request("unlabeled", &[], 3));
    let orders = [
        vec![opened(), labeled(), labeled(), unlabeled("recorded"), labeled(), unlabeled("ignored")],
        vec![labeled(), ("retracted", opened().1), unlabeled("recorded"), ("duplicate", opened().1)],
        vec![unlabeled("ignored"), opened(), labeled()],
    ];
    for deliveries in orders {
        let plaudit = Plaudit::start().await;
        let mut tally = Value::Null;
        for (verdict, payload) in &deliveries {
            let answer = plaudit.github("pull_request", payload).await.expect(200).json();
            assert_eq!(answer["verdict"], *verdict, "{answer} of {payload}");
            let reason = if *verdict == "ignored" { json!("action_not_counted") } else { Value::Null };
            assert_eq!(answer["reason"], reason);
            if let Some(now) = answer["contributions"][0].get("tally") {
                tally = now.clone();
            }
        }
        assert_eq!(tally, 1, "the newest labels do not reject it: {deliveries:?}");
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn an_issue_that_was_deleted_does_not_count_whatever_comes_first() {
    let deleted = fixture("github/issues.deleted.json");
    let mut opened: Value = serde_json::from_str(&deleted).unwrap();
    opened["action"] = "opened".into();
    let opened = opened.to_string();
    for order in [[&opened, &deleted], [&deleted, &opened]] {
        let plaudit = Plaudit::start().await;
        let mut verdicts = Vec::new();
        for payload in order {
            let answer = plaudit.github("issues", payload).await.expect(200).json();
            verdicts.push(answer["verdict"].as_str().unwrap().to_owned());
        }
        let expected =
            if order[0] == &opened { ["recorded", "retracted"] } else { ["retracted", "retracted"] };
        assert_eq!(verdicts, expected);
        assert!(plaudit.tallies().await.values().all(|tally| *tally == 0));
        plaudit.stop().await;
    }
}
