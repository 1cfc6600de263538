//! Several real processes over one Firestore and one topic: nothing is lost between them, whatever fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use plaudit::store::sqlite::Sqlite;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::gate::Gate;
use crate::support::h2proxy::{Call, Fault};
use crate::support::pubsub_emulator::{PROJECT, pubsub};
use crate::support::stage::{ADA, ISSUE, PULL_REQUEST, PUSH, stage, unmade_topic};
use crate::support::{Plaudit, in_the_end, talk};

fn is_recording(call: &Call) -> bool {
    call.rpc == "Commit" && call.mentions("/documents/contributions/")
}

fn is_recognising(call: &Call) -> bool {
    call.rpc == "Commit" && call.mentions("/documents/recognitions/")
}

// ---- many processes, many contributions --------------------------------------------------------------------

/// Contributors, and how many contributions each makes: a thousand in all.
fn crowd() -> Vec<(String, usize)> {
    let sizes = [2, 3, 9, 10, 26];
    (0..100).map(|i| (format!("crowd-{i:03}"), sizes[i % sizes.len()])).collect()
}

/// Posts all at once, every tenth of them twice, to all processes in turn. Returns how many posts were sent again.
async fn post_all(processes: &[Plaudit], contributors: &[(String, usize)]) -> usize {
    let mut posts = Vec::new();
    let longest = contributors.iter().map(|(_, count)| *count).max().unwrap();
    for n in 0..longest {
        for (contributor, _) in contributors.iter().filter(|(_, count)| n < *count) {
            let copies = if posts.len() % 11 == 9 { 2 } else { 1 };
            posts.extend((0..copies).map(|_| (contributor.as_str(), format!("{contributor}-{n}"))));
        }
    }
    let total: usize = contributors.iter().map(|(_, count)| count).sum();
    assert!(posts.len() * 100 >= total * 109, "{} posts of {total} contributions", posts.len());
    let sending = posts.iter().enumerate().map(|(i, (contributor, id))| async move {
        let mut refused = 0;
        loop {
            let answer = processes[i % processes.len()].post(&talk(contributor, id)).await;
            match answer.status {
                200 | 201 => return (id.as_str(), answer.status == 201, refused),
                503 => refused += 1,
                _ => panic!("{answer:?}"),
            }
        }
    });
    let answers: Vec<_> = futures::stream::iter(sending).buffer_unordered(400).collect().await;
    let refused: usize = answers.iter().map(|(_, _, refused)| refused).sum();
    let mut counted = BTreeSet::new();
    for (id, new, _) in &answers {
        assert!(!new || counted.insert(*id), "{id} was answered as new twice");
    }
    // A post that was answered with 503 may have been counted; sent again, it is then answered as a repeat.
    assert!(counted.len() <= total && counted.len() + refused >= total, "{} new", counted.len());
    refused
}

/// Returns a summary to print.
async fn nothing_is_lost_between(count: usize) -> String {
    let Some(stage) = stage().await else { return String::new() };
    let environment = stage.environment.with("PLAUDIT_MILESTONES", "3,10,100");
    let processes = join_all((0..count).map(|_| environment.start())).await;

    let one = [("ann".to_owned(), 1_000)];
    let crowd = crowd();
    assert_eq!(crowd.iter().map(|(_, count)| count).sum::<usize>(), 1_000);
    let refused = post_all(&processes, &one).await + post_all(&processes, &crowd).await;

    let expected: BTreeMap<_, _> = one.iter().chain(&crowd).cloned().collect();
    for process in &processes {
        let contributors = process.all("/v1/contributors?order=id&limit=100").await;
        let tallies = contributors.iter().map(|one| {
            let tally = usize::try_from(one["tally"].as_u64().unwrap()).unwrap();
            (one["id"].as_str().unwrap().to_owned(), tally)
        });
        assert_eq!(tallies.collect::<BTreeMap<_, _>>(), expected);
    }

    join_all(processes.iter().map(|process| process.drain_all())).await;
    let reached = |(who, tally): (&String, &usize)| {
        let milestones = [3, 10, 100].into_iter().filter(|milestone| *milestone <= *tally);
        milestones.map(|milestone| format!("{who}:{milestone}")).collect::<Vec<_>>()
    };
    let earned: BTreeSet<_> = expected.iter().flat_map(reached).collect();
    let listed = processes[0].all("/v1/recognitions?limit=100").await;
    assert_eq!(listed.len(), earned.len());
    let listed: BTreeSet<_> = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, earned);
    let got = stage.receives(&earned.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let messages: usize = got.values().map(Vec::len).sum();
    let unnamed = got.values().filter(|copies| copies[0]["contribution"].is_null()).count();
    for copies in got.values() {
        // Every process publishes the same message for a recognition.
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{copies:#?}");
        let (milestone, tally) = (&copies[0]["milestone"], &copies[0]["tally"]);
        let named = !copies[0]["contribution"].is_null();
        assert!(!named || milestone == tally, "{copies:#?}");
    }
    assert_eq!(unnamed, 0, "recognitions without their contribution");
    format!(
        "{count} processes: {} recognitions in {messages} messages, {} of them repeats; {refused} posts refused with 503 and sent again",
        earned.len(),
        messages - earned.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_count_exactly_and_recognise_each_milestone_once() {
    println!("{}", nothing_is_lost_between(2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_at_once_count_exactly_and_recognise_each_milestone_once() {
    println!("{}", nothing_is_lost_between(4).await);
}

// ---- killed ------------------------------------------------------------------------------------------------

/// What happens after the kill.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    RestartAndDrain,
    DrainOfAnotherInstance,
    RestartAndNextContribution,
    NextContributionAtAnotherInstance,
}

use Then::{
    DrainOfAnotherInstance, NextContributionAtAnotherInstance, RestartAndDrain, RestartAndNextContribution,
};

/// The third contribution is sent to a process that stops at `point` and is killed there.
async fn killed_at(point: &str, then: Then) {
    let Some(stage) = stage().await else { return };
    let other = stage.environment.start().await;
    other.post(&talk("ann", "first")).await.expect(201);
    other.post(&talk("ann", "second")).await.expect(201);
    let mut doomed = stage.environment.with("PLAUDIT_STOP_AT", point).start().await;
    let third = tokio::spawn(doomed.try_post(&talk("ann", "third")));
    doomed.logged("waiting at a stop point").await;
    if point == "published" {
        // The subscriber has it, and the ledger does not say so yet.
        assert_eq!(stage.receives(&["ann:3"]).await["ann:3"].len(), 1);
    }
    doomed.kill().await;
    if let Ok(answer) = third.await.unwrap() {
        // Publishing happens in the background, so only there the answer may come before the kill.
        assert_eq!((point, answer.status), ("published", 201));
    }
    assert_eq!(other.tally("ann").await, 3, "what was committed is counted");

    let mut tally = 3;
    let living = match then {
        RestartAndDrain | RestartAndNextContribution => stage.environment.start().await,
        DrainOfAnotherInstance | NextContributionAtAnotherInstance => other,
    };
    match then {
        RestartAndDrain | DrainOfAnotherInstance => {
            let drained = living.drain().await;
            assert_eq!(drained["waiting"], 0, "{drained}");
        }
        RestartAndNextContribution | NextContributionAtAnotherInstance => {
            tally += 1;
            let answer = living.post(&talk("ann", "fourth")).await.expect(201).json();
            assert_eq!(answer["tally"], tally);
            if then == NextContributionAtAnotherInstance {
                assert_eq!(answer["recognitions"], json!(["ann:3"]));
            }
        }
    }
    let made = in_the_end("the recognition", async {
        loop {
            let answer = living.get("/v1/recognitions/ann:3").await;
            // After a drain it is there at once; otherwise it comes in the background.
            if answer.status == 200 || matches!(then, RestartAndDrain | DrainOfAnotherInstance) {
                return answer.expect(200).json();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let got = stage.receives(&["ann:3"]).await;
    for message in got["ann:3"].iter().chain([&made]) {
        assert_eq!(message["contribution"]["id"], "api:api:third", "{message}");
    }
    // A client without an answer sends it again: it is counted already.
    let again = living.post(&talk("ann", "third")).await.expect(200).json();
    assert_eq!((&again["tally"], living.tally("ann").await), (&json!(tally), json!(tally)));
    assert_eq!(living.all("/v1/recognitions").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_commit_and_the_recognition_the_recognition_still_comes_and_nothing_counts_twice()
{
    let ways = [
        RestartAndDrain,
        DrainOfAnotherInstance,
        RestartAndNextContribution,
        NextContributionAtAnotherInstance,
    ];
    join_all(ways.map(|then| killed_at("recorded", then))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_recognition_and_publishing_it_is_still_published_and_nothing_counts_twice() {
    let ways = [RestartAndDrain, DrainOfAnotherInstance, RestartAndNextContribution];
    join_all(ways.map(|then| killed_at("recognised", then))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_publishing_and_marking_it_done_it_is_published_again_under_the_same_id() {
    let ways = [RestartAndDrain, DrainOfAnotherInstance, RestartAndNextContribution];
    join_all(ways.map(|then| killed_at("published", then))).await;
}

// ---- Firestore fails ---------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outage {
    /// Connections are refused.
    Down,
    /// Calls are never answered.
    Silent,
    /// The commit is applied, and no call is answered any more.
    SilentAfterTheCommit,
}

async fn outage_and_recovery(outage: Outage) {
    let Some(stage) = stage().await else { return };
    let (proxy, process) = stage.proxied(&stage.environment).await;
    process.github("issues", ISSUE).await.expect(200);
    process.github("push", PUSH).await.expect(200);
    match outage {
        Outage::Down => proxy.set_up(false),
        Outage::Silent => proxy.always(Some(Fault::Hang)),
        Outage::SilentAfterTheCommit => {
            proxy.always(Some(Fault::Hang));
            proxy.fault_where(is_recording, Fault::LoseAnswer);
        }
    }
    // GitHub closes the connection after ten seconds, and so does this client.
    let (delivery, read) =
        tokio::join!(process.github("pull_request", PULL_REQUEST), process.get("/v1/contributors"));
    for answer in [delivery, read] {
        answer.problem(503, "unavailable");
    }
    process.get("/healthz").await.expect(200);
    assert_eq!(process.get("/readyz").await.status, 503);

    proxy.set_up(true);
    proxy.always(None);
    let again = process.github("pull_request", PULL_REQUEST).await.expect(200).json();
    let verdict = if outage == Outage::SilentAfterTheCommit { "duplicate" } else { "recorded" };
    assert_eq!((&again["verdict"], &again["contributions"][0]["tally"]), (&json!(verdict), &json!(3)));
    assert_eq!(again["contributions"][0]["recognitions"], json!([format!("{ADA}:3")]), "{outage:?}");
    let again = process.github("pull_request", PULL_REQUEST).await.expect(200).json();
    assert_eq!((&again["verdict"], &again["contributions"][0]["tally"]), (&json!("duplicate"), &json!(3)));
    stage.receives(&[&format!("{ADA}:3")]).await;
}

/// Starts while the database is not to be had; it becomes so, unless the process is stopped before.
async fn a_start_without_the_ledger(fault: Option<Fault>, why: &str, stops: bool) {
    let Some(stage) = stage().await else { return };
    let proxy = stage.proxy().await;
    let mut gate = Gate::open(&proxy.host).await;
    match fault {
        None => gate.close().await,
        fault => proxy.always(fault),
    }
    let mut process = stage.environment.with("FIRESTORE_EMULATOR_HOST", &*gate.host).start().await;
    process.logged(why).await;
    assert_eq!(process.get("/healthz").await.expect(200).json(), json!({"status": "ok"}));
    for path in ["/readyz", "/", "/docs", "/v1/contributors", "/no/such/path"] {
        let answer = process.get(path).await;
        assert_eq!(answer.header("retry-after"), "5");
        assert_eq!(
            answer.problem(503, "unavailable")["detail"],
            "the ledger cannot be reached yet; try again"
        );
    }
    process.github("issues", ISSUE).await.problem(503, "unavailable");
    if stops {
        process.end().await;
    } else {
        if proxy.take_calls().is_empty() {
            gate.reopen().await;
        }
        proxy.always(None);
        process.logged("is reached; plaudit takes deliveries").await;
        assert_eq!(process.github("issues", ISSUE).await.expect(200).json()["verdict"], "recorded");
    }
    let said = process.log.lines().iter().filter(|line| line.contains("tries again until")).count();
    assert_eq!(said, 1, "{:#?}", process.log.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_reach_its_ledger_answers_503_until_it_can_and_says_so_once() {
    let denied = Fault::Status(7, "Missing or insufficient permissions.");
    let missing = Fault::Status(5, "The database (default) does not exist for project demo.");
    tokio::join!(
        a_start_without_the_ledger(None, "Firestore cannot be reached: connection refused", false),
        a_start_without_the_ledger(Some(denied), "may not use Firestore", false),
        a_start_without_the_ledger(Some(missing), "gcloud firestore databases create", false),
        a_start_without_the_ledger(None, "start the emulator", true),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_firestore_is_down_nothing_is_acknowledged_and_sent_again_it_counts_once() {
    join_all([Outage::Down, Outage::Silent, Outage::SilentAfterTheCommit].map(outage_and_recovery)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_counts_once_and_is_answered_as_recorded_and_recognised() {
    let Some(stage) = stage().await else { return };
    let (proxy, process) = stage.proxied(&stage.environment).await;
    for (who, fault) in [("ann", Fault::LoseAnswer), ("ben", Fault::CutAfter)] {
        process.post(&talk(who, &format!("{who}-1"))).await.expect(201);
        process.post(&talk(who, &format!("{who}-2"))).await.expect(201);
        proxy.fault_where(is_recording, fault);
        let third = process.post(&talk(who, &format!("{who}-3"))).await.expect(201).json();
        proxy.assert_all_faults_met();
        assert_eq!(third["tally"], 3);
        // On a slow machine it comes after the answer, which waits for it only so long.
        process.logged(&format!("recognition {who}:3 made")).await;
        let made = process.get(&format!("/v1/recognitions/{who}:3")).await.expect(200).json();
        assert_eq!(made["contribution"]["id"], format!("api:api:{who}-3"));
    }
    // Together with other contributions, some of them repeats.
    proxy.fault_where(is_recording, Fault::LoseAnswer);
    proxy.fault_where(is_recording, Fault::CutAfter);
    let names: Vec<_> = (1..=12).map(|n| format!("ann-{n}")).collect();
    let answers = join_all(names.iter().map(|id| process.post(&talk("ann", id)))).await;
    proxy.assert_all_faults_met();
    let new: BTreeSet<_> =
        answers.iter().filter(|a| a.status == 201).map(|a| a.json()["tally"].as_u64()).collect();
    assert_eq!(new, (4..=12).map(Some).collect(), "{answers:?}");
    assert_eq!(process.tally("ann").await, 12);
    stage.receives(&["ann:3", "ben:3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parts_that_one_push_brings_each_recognition_names_the_one_with_its_tally() {
    let Some(stage) = stage().await else { return };
    let process = stage.environment.with("PLAUDIT_MILESTONES", "1,2").start().await;
    // A squashed pull request, and a commit after it.
    let mut push: Value = serde_json::from_str(PUSH).unwrap();
    let commit = push["commits"][0].clone();
    let (mut landing, mut plain) = (commit.clone(), commit);
    landing["id"] = json!("1".repeat(40));
    landing["message"] = json!("Trim the wick (#41)");
    landing["committer"] = json!({"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"});
    plain["message"] = json!("Oil the hinge");
    plain["committer"] = plain["author"].clone();
    push["commits"] = json!([landing, plain]);
    let answer = process.github("push", &push.to_string()).await.expect(200).json();
    let parts = answer["contributions"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "{answer}");
    for part in parts {
        let id = format!("{ADA}:{}", part["tally"]);
        assert_eq!(part["recognitions"], json!([id]), "{answer}");
        let made = process.get(&format!("/v1/recognitions/{id}")).await.expect(200).json();
        assert_eq!(made["contribution"]["id"], part["id"], "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_that_cannot_be_written_fails_no_request_and_comes_with_the_next_drain() {
    let Some(stage) = stage().await else { return };
    let (proxy, process) = stage.proxied(&stage.environment).await;
    process.post(&talk("ann", "first")).await.expect(201);
    process.post(&talk("ann", "second")).await.expect(201);
    process.github("issues", ISSUE).await.expect(200);
    process.github("push", PUSH).await.expect(200);
    let denied = || Fault::Status(7, "Missing or insufficient permissions.");
    proxy.fault_where(is_recognising, denied());
    let third = process.post(&talk("ann", "third")).await.expect(201).json();
    assert_eq!((&third["tally"], &third["recognitions"]), (&json!(3), &json!([])));
    proxy.fault_where(is_recognising, denied());
    let third = process.github("pull_request", PULL_REQUEST).await.expect(200).json();
    assert_eq!((&third["verdict"], &third["contributions"][0]["tally"]), (&json!("recorded"), &json!(3)));
    assert_eq!(third["contributions"][0]["recognitions"], json!([]));
    proxy.assert_all_faults_met();
    process.logged("recognitions stay owed until the next drain").await;

    let drained = process.drain().await;
    assert_eq!(drained["waiting"], 0, "{drained}");
    assert_eq!(process.all("/v1/recognitions").await.len(), 2);
    let got = stage.receives(&["ann:3", &format!("{ADA}:3")]).await;
    assert!(got.values().all(|copies| copies[0]["tally"] == 3), "{got:#?}");
    assert_eq!((process.tally("ann").await, process.tally(ADA).await), (json!(3), json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_that_cannot_be_written_holds_back_none_that_is_made_beside_it() {
    let Some(stage) = stage().await else { return };
    let before = stage.environment.with("PLAUDIT_MILESTONES", "1000").start().await;
    let (proxy, process) = stage.proxied(&stage.environment.with("PLAUDIT_MILESTONES", "1,1000")).await;
    process.drain().await;
    let of_ben = |call: &Call| is_recognising(call) && call.mentions("/documents/recognitions/ben:1");
    proxy.fault_where(of_ben, Fault::Status(7, "Missing or insufficient permissions."));
    for who in ["ann", "ben", "cleo"] {
        process_post(&before, who, 0).await;
    }
    // The next drain finds all three.
    let drained = process.drain().await;
    proxy.assert_all_faults_met();
    assert_eq!((&drained["recognized"], &drained["unfinished"]), (&json!(2), &json!(true)), "{drained}");
    for who in ["ann", "cleo"] {
        process.logged(&format!("recognition {who}:1 made")).await;
    }
    stage.receives(&["ann:1", "cleo:1"]).await;
    assert_eq!(process.drain().await["recognized"], 1);
    stage.receives(&["ben:1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_that_takes_longer_than_its_request_waits_keeps_its_contribution_and_is_logged() {
    let Some(stage) = stage().await else { return };
    let (proxy, process) = stage.proxied(&stage.environment).await;
    let release = CancellationToken::new();
    for (who, fault) in [("ann", Fault::Hang), ("ben", Fault::HoldAnswer(release.clone()))] {
        for n in 1..3 {
            process_post(&process, who, n).await;
        }
        proxy.fault_where(is_recognising, fault);
        let third = process_post(&process, who, 3).await;
        assert_eq!((&third["tally"], &third["recognitions"]), (&json!(3), &json!([])));
        proxy.assert_all_faults_met();
    }
    release.cancel();
    for who in ["ann", "ben"] {
        process.logged(&format!("recognition {who}:3 made")).await;
    }
    let got = stage.receives(&["ann:3", "ben:3"]).await;
    for (id, copies) in &got {
        let third = format!("api:api:{}-3", id.strip_suffix(":3").unwrap());
        assert!(copies.iter().all(|copy| copy["contribution"]["id"] == third), "{got:#?}");
    }
    let metrics = process.get("/metrics").await.expect(200).text;
    assert!(metrics.lines().any(|line| line == "plaudit_recognitions_total 2"), "{metrics}");
}

// ---- Pub/Sub fails -----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_pubsub_is_down_requests_succeed_and_everything_is_published_afterwards() {
    let Some(stage) = stage().await else { return };
    let mut gate = Gate::open(&pubsub().await.unwrap()).await;
    let process = stage.environment.with("PUBSUB_EMULATOR_HOST", &*gate.host).start().await;
    gate.close().await;
    let names: Vec<_> = (0..30).map(|i| format!("person-{i:02}")).collect();
    for n in 0..3 {
        let process = &process;
        let posts = names.iter().map(|who| async move {
            let answer = process_post(process, who, n).await;
            if n == 2 {
                assert_eq!(answer["recognitions"], json!([format!("{who}:3")]));
            }
        });
        join_all(posts).await;
    }
    process.logged("topic is down").await;
    assert!((process.metric("plaudit_outbox_waiting").await - 30.0).abs() < 0.5);
    assert!(process.metric("plaudit_outbox_oldest_seconds").await > 0.0);
    assert_eq!(process.get("/readyz").await.expect(200).json()["status"], "degraded");
    gate.reopen().await;
    let expected: Vec<_> = names.iter().map(|who| format!("{who}:3")).collect();
    stage.receives(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    in_the_end("an outbox that says that it is empty", async {
        while process.metric("plaudit_outbox_waiting").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(process.get("/readyz").await.expect(200).json()["status"], "ok");
}

async fn process_post(process: &Plaudit, who: &str, n: usize) -> Value {
    process.post(&talk(who, &format!("{who}-{n}"))).await.expect(201).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_is_named_by_check_and_log_and_nothing_is_lost() {
    let Some(stage) = unmade_topic().await else { return };
    let name = format!("projects/{PROJECT}/topics/{}", stage.topic.topic);
    let checked = stage.environment.run(&["check"]);
    let said = checked.out;
    assert_eq!(checked.code, Some(1), "{said}");
    let wrong: Vec<_> = said.lines().filter(|line| line.starts_with("wrong")).collect();
    assert!(matches!(wrong[..], [one] if one.contains(&name) && one.contains("does not exist")), "{said}");

    let mut gate = Gate::open(&pubsub().await.unwrap()).await;
    let process = stage.environment.with("PUBSUB_EMULATOR_HOST", &*gate.host).start().await;
    for n in 0..3 {
        process_post(&process, "ann", n).await;
    }
    process.logged(&name).await;
    assert_eq!(process.drain().await["waiting"], 1);
    stage.make_topic_behind(&mut gate).await;
    assert_eq!(stage.environment.run(&["check"]).code, Some(0));
    process.drain_all().await;
    stage.receives(&["ann:3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_the_topic_on_announces_no_recognition_of_before() {
    let Some(stage) = stage().await else { return };
    let local = stage.environment.with("PLAUDIT_PUBLISH", "local");
    let mut before = local.start().await;
    for who in ["ann", "ben"] {
        for n in 0..3 {
            process_post(&before, who, n).await;
        }
    }
    before.drain_all().await;
    before.kill().await;
    // One more that was made and not published.
    let mut doomed = local.with("PLAUDIT_STOP_AT", "recognised").start().await;
    for n in 0..2 {
        process_post(&doomed, "cleo", n).await;
    }
    let third = tokio::spawn(doomed.try_post(&talk("cleo", "third")));
    doomed.logged("waiting at a stop point").await;
    doomed.kill().await;
    assert!(third.await.unwrap().is_err());

    let said = stage.environment.run(&["check"]).out;
    assert!(said.contains("it answers; 1 recognitions are due at local, which is turned off"), "{said}");
    let after = stage.environment.start().await;
    after.logged("1 recognitions are due at local or comment, which is turned off").await;
    assert_eq!(after.all("/v1/recognitions").await.len(), 3);
    let drained = after.drain().await;
    assert_eq!(drained, json!({"recognized": 0, "published": 0, "waiting": 0, "turned_off": 1}));
    for n in 0..3 {
        process_post(&after, "dora", n).await;
    }
    after.drain_all().await;
    stage.receives(&["dora:3"]).await;
}

// ---- other milestones --------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_milestones_of_one_contributor_are_made_in_few_commits_by_one_drain() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local");
    let mut before = environment.with("PLAUDIT_MILESTONES", "1000").start().await;
    join_all((0..100).map(|n| process_post(&before, "ann", n))).await;
    before.kill().await;
    let milestones = (1..=100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let (proxy, after) = stage.proxied(&environment.with("PLAUDIT_MILESTONES", milestones)).await;
    let drained = in_the_end("the drain", after.drain()).await;
    assert_eq!(drained["waiting"], 0, "{drained}");
    assert_eq!(after.all("/v1/recognitions?limit=100").await.len(), 100);
    let creating = |call: &Call| call.rpc == "Commit" && call.mentions("milestone");
    let commits = proxy.take_calls().iter().filter(|call| creating(call)).count();
    assert!((1..=4).contains(&commits), "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_drain_recognises_a_new_milestone_for_everyone_who_passed_it() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local");
    let mut before = environment.with("PLAUDIT_MILESTONES", "5").start().await;
    let names: Vec<_> = (0..220).map(|i| format!("person-{i:03}")).collect();
    join_all(names.iter().map(|who| process_post(&before, who, 0))).await;
    before.kill().await;
    let after = environment.with("PLAUDIT_MILESTONES", "1,5").start().await;
    // Many are owed at once: the lookups for them must run concurrently.
    let drained = in_the_end("the drain", after.drain()).await;
    assert_eq!(drained["waiting"], 0, "{drained}");
    let made = after.all("/v1/recognitions?limit=100").await;
    let made: BTreeSet<_> = made.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(made, names.iter().map(|who| format!("{who}:1")).collect());
}

// ---- what it costs -----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_front_door_a_new_contribution_costs_one_commit_of_two_writes_and_no_read() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_MILESTONES", "1000");
    let (proxy, process) = stage.proxied(&environment).await;
    // Both contributors are known.
    process.post(&talk("ann", "zeroth")).await.expect(201);
    process.github("issues", ISSUE).await.expect(200);
    // After this drain all calls of the start are over.
    process.drain().await;
    proxy.take_calls();
    process.post(&talk("ann", "first")).await.expect(201);
    process.post(&talk("ann", "second")).await.expect(201);
    let mut another: Value = serde_json::from_str(ISSUE).unwrap();
    another["issue"]["number"] = 901.into();
    process.github("issues", &another.to_string()).await.expect(200);
    // Besides the outbox's regular queries, no other call is allowed.
    let calls: Vec<_> = proxy.take_calls();
    let calls: Vec<_> = calls.iter().filter(|call| !call.rpc.starts_with("Run")).collect();
    assert!(calls.iter().all(|call| is_recording(call) && call.writes() == 2 && !call.is_in_transaction()));
    assert_eq!(calls.len(), 3);

    // A hundred contributions that arrive during a commit share the next ones.
    let release = CancellationToken::new();
    proxy.fault_where(is_recording, Fault::HoldAnswer(release.clone()));
    let first = process.try_post(&talk("ben", "n0"));
    let holding = async {
        proxy.faults_met(1).await;
        let others: Vec<_> =
            (1..100).map(|n| tokio::spawn(process.try_post(&talk("ben", &format!("n{n}"))))).collect();
        for _ in 0..20 {
            process.get("/healthz").await.expect(200);
        }
        release.cancel();
        join_all(others).await.into_iter().for_each(|answer| {
            answer.unwrap().unwrap().expect(201);
        });
    };
    let (first, ()) = tokio::join!(first, holding);
    first.unwrap().expect(201);
    assert_eq!(process.tally("ben").await, 100);
    let calls = proxy.take_calls();
    let writes: usize = calls.iter().filter(|call| call.rpc == "Commit").map(Call::writes).sum();
    let commits = calls.iter().filter(|call| call.rpc == "Commit").count();
    println!("100 contributions of one contributor together: {commits} commits, {writes} writes");
    assert!(writes < 120, "{writes} writes");
}

// ---- a new file --------------------------------------------------------------------------------------------

/// Several connections find the file empty at the same time, and one of them creates the tables.
#[test]
fn a_new_file_can_be_opened_by_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let path = folder.path().join(format!("{round}.db"));
        let together = std::sync::Barrier::new(4);
        let open = || {
            together.wait();
            Sqlite::open(&path).map(|_| ())
        };
        std::thread::scope(|threads| {
            let opening: Vec<_> = (0..4).map(|_| threads.spawn(open)).collect();
            for opened in opening {
                let opened = opened.join().unwrap();
                assert!(opened.is_ok(), "round {round}: {opened:?}");
            }
        });
    }
}
