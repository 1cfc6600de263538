//! Contributions that clients post together, live or as history.

use std::sync::Arc;

use futures::future::join_all;
use http::Method;
use plaudit::domain::Milestones;
use plaudit::record::deadline;
use plaudit::store::Store;
use serde_json::{Value, json};

use crate::support::machine::at_hand;
use crate::support::{
    Answer, Client, FakeStore, Inside, Mode, Plaudit, TOKEN, config, contribution, emulators, frozen,
    recorder, talk,
};

/// A body that is sent as it is.
async fn send(client: &Client, body: String) -> Answer {
    let request = client.request(Method::POST, "/v1/contributions/batch");
    client.send(request.header("content-type", "application/json").body(body)).await
}

async fn post(client: &Client, contributions: &[Value]) -> Answer {
    send(client, json!({"contributions": contributions}).to_string()).await
}

async fn post_history(client: &Client, contributions: &[Value]) -> Answer {
    send(client, json!({"contributions": contributions, "history": true}).to_string()).await
}

/// The statuses of the results, each of which has either a contribution or a problem.
#[track_caller]
fn statuses(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let results = answer["results"].as_array().unwrap();
    let status = |result: &Value| {
        let status = result["status"].as_u64().unwrap();
        let (contribution, problem) = (result.get("contribution"), result.get("problem"));
        assert_eq!((contribution.is_some(), problem.is_some()), (status < 300, status >= 300), "{result}");
        status
    };
    results.iter().map(status).collect()
}

fn talks(who: &str, ids: std::ops::Range<usize>) -> Vec<Value> {
    ids.map(|id| talk(who, &id.to_string())).collect()
}

/// Plaudit over an empty ledger of each store.
async fn on_each_store(settings: &[(&str, &str)]) -> Vec<Plaudit> {
    let mut all = vec![Plaudit::with(settings).await];
    if let Some(host) = emulators::firestore() {
        let store = format!("firestore:{}", emulators::fresh_project());
        let firestore = [("PLAUDIT_STORE", store.as_str()), ("FIRESTORE_EMULATOR_HOST", host)];
        let mut plaudit = Plaudit::with(&[settings, &firestore].concat()).await;
        // The first answers of an emulator take seconds, which the client library logs.
        plaudit.tolerate("idle request timeout");
        all.push(plaudit);
    }
    all
}

#[tokio::test]
async fn each_contribution_of_a_batch_is_answered_in_its_place_and_a_fault_costs_its_neighbours_nothing() {
    let plaudit = Plaudit::with(&[("PLAUDIT_IGNORE", "lisa")]).await;
    plaudit.post(&talk("mona", "known")).await.expect(201);
    let twice = r#"{"contributor": "mona", "kind": "talk", "kind": "walk"}"#;
    let items = [
        talk("mona", "a").to_string(),
        json!({"contributor": "a/b", "kind": "Talk!", "titel": "a slip"}).to_string(),
        talk("mona", "known").to_string(),
        "7".to_owned(),
        json!({"contributor": "mona", "kind": "walk", "id": "known"}).to_string(),
        talk("lisa", "b").to_string(),
        talk("github:dependabot[bot]", "c").to_string(),
        twice.to_owned(),
        json!({"contributor": "mona", "kind": "talk"}).to_string(),
        talk("mona", "z").to_string(),
    ];
    let answer = send(&plaudit, format!(r#"{{"contributions": [{}]}}"#, items.join(", "))).await;
    assert_eq!(statuses(&answer), [201, 400, 200, 400, 422, 400, 400, 400, 201, 201]);
    let answer = answer.json();
    let results = answer["results"].as_array().unwrap();
    let alone = plaudit.get("/v1/contributions/api:api:a").await.expect(200).json();
    for field in ["id", "contributor", "kind", "occurred_at", "title", "url", "repository"] {
        assert_eq!(results[0]["contribution"][field], alone[field], "as if it came alone");
    }
    assert_eq!(results[9]["contribution"]["tally"], 4);
    assert_eq!(results[9]["contribution"]["recognitions"], json!([]));
    let third = &results[8]["contribution"];
    assert_eq!(third["recognitions"], json!(["mona:3"]), "{third}");
    let fields: Vec<_> = results[1]["problem"]["errors"].as_array().unwrap().iter().collect();
    let fields: Vec<_> = fields.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["titel", "contributor", "kind"]);
    let problem = |place: usize| results[place]["problem"]["type"].as_str().unwrap().to_owned();
    assert_eq!(problem(3), "urn:plaudit:problem:malformed");
    assert_eq!(results[3]["problem"]["detail"], "this is not a JSON object: it is another kind of value");
    assert_eq!(problem(4), "urn:plaudit:problem:conflict");
    for result in results.iter().filter(|result| result.get("problem").is_some()) {
        let problem = &result["problem"];
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{result}");
    }
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 4)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn of_several_with_one_id_in_a_batch_the_first_is_counted_whoever_the_others_name() {
    for plaudit in on_each_store(&[]).await {
        let ids: Vec<_> = (0..30).map(|id| id.to_string()).collect();
        let first = ids.iter().map(|id| talk("mona", id));
        let others = ids.iter().zip(["lisa", "ann", "ben", "cleo", "mona"].iter().cycle());
        let others = others.map(|(id, who)| talk(who, id));
        let batch: Vec<_> = first.chain(others).collect();
        // What Mona does waits behind a commit of hers, what the others do does not.
        let before = talks("mona", 100..120).into_iter().map(|talk| plaudit.post(&talk)).collect::<Vec<_>>();
        let (before, answer) = tokio::join!(join_all(before), post(&plaudit, &batch));
        assert!(before.iter().all(|answer| answer.status == 201), "{before:?}");
        let statuses = statuses(&answer);
        assert_eq!(statuses[..30], [201; 30]);
        for (status, other) in statuses[30..].iter().zip(&batch[30..]) {
            assert_eq!(*status, if other["contributor"] == "mona" { 200 } else { 422 }, "{other}");
        }
        assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 50)].into());
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn a_batch_sent_again_counts_nothing_and_is_answered_alike() {
    for plaudit in on_each_store(&[]).await {
        let batch = [talks("mona", 0..40), talks("lisa", 40..100)].concat();
        let first = post(&plaudit, &batch).await;
        assert_eq!(statuses(&first), [201; 100]);
        let again = post(&plaudit, &batch).await;
        assert_eq!(statuses(&again), [200; 100]);
        let (first, again) = (first.json(), again.json());
        for (first, again) in first["results"].as_array().into_iter().zip(again["results"].as_array()) {
            assert_eq!(first[7]["contribution"]["occurred_at"], again[7]["contribution"]["occurred_at"]);
        }
        let tallies = plaudit.tallies().await;
        assert_eq!(tallies, [("lisa".to_owned(), 60), ("mona".to_owned(), 40)].into());
        assert_eq!(plaudit.recognitions().await, ["lisa:3", "mona:3"]);
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_batch_is_400_as_a_whole() {
    let plaudit = Plaudit::start().await;
    let good = talk("mona", "a");
    let too_many = json!({"contributions": talks("mona", 0..101)}).to_string();
    let twice = format!(r#"{{"contributions": [{good}], "history": true, "history": false}}"#);
    for (body, field) in [
        ("{}", "contributions"),
        (r#"{"contributions": []}"#, "contributions"),
        (r#"{"contributions": null}"#, "contributions"),
        (r#"{"contributions": {"contributor": "mona"}}"#, "contributions"),
        (too_many.as_str(), "contributions"),
        (&format!(r#"{{"contributions": [{good}], "history": "yes"}}"#), "history"),
        (&format!(r#"{{"contributions": [{good}], "histroy": true}}"#), "histroy"),
        (twice.as_str(), "history"),
        (&good.to_string(), "contributor"),
    ] {
        let problem = send(&plaudit, body.to_owned()).await.problem(400, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let deep = format!(r#"{{"contributions": [{}"#, "[".repeat(100_000));
    for body in ["", "null", "[]", "7", "{", deep.as_str(), "\u{0}"] {
        send(&plaudit, body.to_owned()).await.problem(400, "malformed");
    }
    let large = json!({"contributions": [good], "padding": "x".repeat(1024 * 1024)});
    send(&plaudit, large.to_string()).await.problem(413, "body_too_large");
    let text = plaudit.request(Method::POST, "/v1/contributions/batch").body("{}");
    plaudit.send(text).await.problem(415, "unsupported");
    let keyed = plaudit.request(Method::POST, "/v1/contributions/batch").header("idempotency-key", "k");
    let problem = plaudit.send(keyed.json(&json!({"contributions": [good]}))).await;
    let problem = problem.problem(400, "invalid_fields");
    assert!(problem["detail"].as_str().unwrap().contains("an `id` of its own"), "{problem}");
    let query = plaudit.request(Method::POST, "/v1/contributions/batch?history=true");
    plaudit.send(query.json(&json!({"contributions": [good]}))).await.problem(400, "invalid_fields");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_hundred_contributions_with_every_field_at_its_longest_fit_into_a_batch() {
    let plaudit = Plaudit::start().await;
    let longest = |n: u8| {
        json!({
            "contributor": format!("{n:0>200}"), "kind": "k".repeat(40), "source": "s".repeat(40),
            "id": format!("{n:0>1000}"), "title": "🦀".repeat(500), "repository": "r".repeat(500),
            "url": format!("https://example.org/{}", "u".repeat(1_980)), "occurred_at": "2026-11-24T10:00:00Z",
        })
    };
    let batch: Vec<_> = (0..100).map(longest).collect();
    assert_eq!(statuses(&post(&plaudit, &batch).await), [201; 100]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_batch_needs_a_token_that_may_post() {
    let settings =
        [("PLAUDIT_POST_TOKENS", "a-token-for-posting"), ("PLAUDIT_READ_TOKENS", "a-token-for-reading")];
    let plaudit = Plaudit::with(&settings).await;
    let stranger = plaudit.stranger();
    let batch = [talk("mona", "a")];
    post(&stranger, &batch).await.problem(401, "token_needed");
    post(&stranger.with_token("wrong-token"), &batch).await.problem(401, "wrong_token");
    post(&stranger.with_token("a-token-for-reading"), &batch).await.problem(403, "forbidden");
    assert_eq!(statuses(&post(&stranger.with_token("a-token-for-posting"), &batch).await), [201]);
    assert_eq!(statuses(&post(&stranger.with_token(TOKEN), &batch).await), [200]);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_contributions_of_a_batch_share_commits() {
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::start(&config(&[]), store.clone(), frozen()).await;
    assert_eq!(statuses(&post(&inside, &talks("mona", 0..100)).await), [201; 100]);
    assert_eq!(statuses(&post_history(&inside, &talks("lisa", 100..200)).await), [201; 100]);
    let batches = store.batches.lock().unwrap().clone();
    assert_eq!(batches.iter().sum::<usize>(), 200);
    assert!(batches.len() <= 20, "one by one: {batches:?}");
    inside.stop().await;
}

#[tokio::test]
async fn requests_that_are_ready_one_after_the_other_share_a_commit_that_has_not_begun() {
    let store = FakeStore::new(Mode::Good);
    let dynamic: Arc<dyn Store> = store.clone();
    let recorder = recorder(&dynamic, &Milestones::default());
    // On the one thread of this test, each reads for so many turns before it records.
    let requests = (0..8).map(async |turns| {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        recorder.record(vec![contribution("mona", &turns.to_string())], deadline()).await
    });
    let outcomes = join_all(requests).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 8, "{outcomes:?}");
    assert_eq!(*store.batches.lock().unwrap(), [8]);
}

#[tokio::test]
async fn a_store_that_is_down_fails_the_whole_batch_and_sent_again_it_counts_once() {
    let store = FakeStore::new(Mode::down());
    let inside = Inside::start(&config(&[]), store.clone(), frozen()).await;
    let batch = [talk("mona", "a"), json!({"contributor": 7}), talk("lisa", "b")];
    let problem = post(&inside, &batch).await.problem(503, "unavailable");
    assert!(!problem.to_string().contains("a secret of the inside"), "{problem}");
    post_history(&inside, &batch).await.problem(503, "unavailable");
    store.set_mode(Mode::Good);
    assert_eq!(statuses(&post(&inside, &batch).await), [201, 400, 201]);
    assert_eq!(statuses(&post(&inside, &batch).await), [200, 400, 200]);
    inside.stop().await;
}

#[tokio::test]
async fn what_the_store_refuses_for_good_costs_its_neighbours_nothing() {
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::start(&config(&[]), store.clone(), frozen()).await;
    let batch = [talk("mona", "a"), talk(store.impossible, "b"), talk("mona", "c")];
    let answer = post(&inside, &batch).await;
    assert_eq!(statuses(&answer), [201, 400, 201]);
    assert_eq!(answer.json()["results"][1]["problem"]["type"], "urn:plaudit:problem:refused");
    assert!(!answer.text.contains("a secret of the inside"), "{answer:?}");
    inside.stop().await;
}

#[tokio::test]
async fn history_counts_and_announces_nothing_and_the_next_milestone_is_recognised() {
    for plaudit in on_each_store(&[("PLAUDIT_MILESTONES", "3,10,12")]).await {
        plaudit.post(&talk("mona", "live")).await.expect(201);
        let answer = post_history(&plaudit, &talks("mona", 0..10)).await;
        assert_eq!(statuses(&answer), [201; 10]);
        for result in answer.json()["results"].as_array().unwrap() {
            assert_eq!(result["contribution"]["recognitions"], json!([]));
        }
        plaudit.drain_all().await;
        assert_eq!(plaudit.recognitions().await, [""; 0]);
        let mona = plaudit.get("/v1/contributors/mona").await.expect(200).json();
        assert_eq!([&mona["tally"], &mona["recognized"]], [&json!(11), &json!(10)]);
        // Again, it changes nothing, and is no longer news.
        assert_eq!(statuses(&post_history(&plaudit, &talks("mona", 0..10)).await), [200; 10]);
        let live = plaudit.post(&talk("mona", "more")).await.expect(201).json();
        assert_eq!(live["recognitions"], json!(["mona:12"]));
        plaudit.drain_all().await;
        assert_eq!(plaudit.recognitions().await, ["mona:12"]);
        plaudit.stop().await;
    }
}

/// A block of docs/clients.md, as printed.
fn printed(language: &str) -> &'static str {
    let (_, rest) =
        include_str!("../../docs/clients.md").split_once(&format!("```{language} batch\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

#[tokio::test]
async fn the_batches_of_the_documents_are_history_as_printed() {
    for (program, language, tally) in [("bash", "bash", 3), ("python3", "python", 250)] {
        if !at_hand("the batches of docs/clients.md", &[program, "curl"]) {
            continue;
        }
        let inside = Inside::alone(&[]).await;
        let mut command = tokio::process::Command::new(program);
        command.args(["-c", printed(language)]).env("no_proxy", "127.0.0.1");
        command.env("PLAUDIT_URL", &inside.url).env("PLAUDIT_TOKEN", TOKEN);
        let output = command.kill_on_drop(true).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let ada = inside.get("/v1/contributors/ada").await.expect(200).json();
        assert_eq!([&ada["tally"], &ada["recognized"]], [&json!(tally), &json!(3)]);
        assert_eq!(inside.recognitions().await, [""; 0]);
        if program == "bash" {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["results"].as_array().unwrap().len(), 3);
        } else {
            assert!(output.stdout.is_empty(), "{output:?}");
        }
        inside.stop().await;
    }
}

#[tokio::test]
async fn killed_right_after_history_was_recorded_it_is_never_announced() {
    for mut plaudit in on_each_store(&[("PLAUDIT_STOP_AT", "recorded")]).await {
        let client = plaudit.client.clone();
        let body = json!({"contributions": talks("mona", 0..7), "history": true});
        let request = client.request(Method::POST, "/v1/contributions/batch").json(&body);
        let posting = tokio::spawn(Client::try_send(request));
        plaudit.logged("waiting at a stop point").await;
        plaudit.kill9().await;
        assert!(posting.await.unwrap().is_err(), "it was answered before the kill");
        plaudit.unset("PLAUDIT_STOP_AT");
        plaudit.restart().await;
        plaudit.drain_all().await;
        assert_eq!(plaudit.recognitions().await, [""; 0]);
        let tally = plaudit.tally("mona").await;
        assert!(tally.as_u64().unwrap() > 0, "the first commit is durable");
        let answer = post_history(&plaudit, &talks("mona", 0..7)).await;
        assert!(statuses(&answer).iter().all(|status| [200, 201].contains(status)), "{answer:?}");
        plaudit.drain_all().await;
        assert_eq!((plaudit.tally("mona").await, plaudit.recognitions().await), (json!(7), Vec::new()));
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn history_does_not_pass_over_a_recognition_that_a_crash_left_owed() {
    for mut plaudit in on_each_store(&[]).await {
        plaudit.post(&talk("mona", "a")).await.expect(201);
        plaudit.post(&talk("mona", "b")).await.expect(201);
        plaudit.end().await;
        plaudit.set("PLAUDIT_STOP_AT", "recorded");
        plaudit.set("PLAUDIT_MILESTONES", "3,5");
        plaudit.restart().await;
        let third = tokio::spawn(plaudit.try_post(&talk("mona", "c")));
        plaudit.logged("waiting at a stop point").await;
        plaudit.kill9().await;
        assert!(third.await.unwrap().is_err(), "it was answered before the kill");
        plaudit.unset("PLAUDIT_STOP_AT");
        plaudit.restart().await;
        assert_eq!(statuses(&post_history(&plaudit, &talks("mona", 0..7)).await), [201; 7]);
        plaudit.drain_all().await;
        let all = plaudit.all("/v1/recognitions").await;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((&all[0]["id"], &all[0]["contribution"]["id"]), (&json!("mona:3"), &json!("api:api:c")));
        let mona = plaudit.get("/v1/contributors/mona").await.expect(200).json();
        assert_eq!([&mona["tally"], &mona["recognized"]], [&json!(10), &json!(5)]);
        plaudit.stop().await;
    }
}
