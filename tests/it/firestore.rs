//! Faults of Firestore and of the network, and the calls that a contribution costs, counted by a proxy in front
//! of the emulator.

use std::time::Duration;

use plaudit::domain::{
    Contribution, ContributionId, Destination, Fingerprint, Labels, Milestones, Review, Ruling,
};
use plaudit::store::firestore::{Firestore, Patience};
use plaudit::store::{ContributorFilter, Novelty, Order, Page, Recorded, Settled, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::store::{at, count, done, recognised, recognition, record_history, who};
use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::{Fault, Proxy};

use Novelty::{Different, New, Same};

/// Timeouts for what must fail, or succeed only after the timeout of a call.
const BRIEF: Patience = Patience { call: Duration::from_millis(700), total: Duration::from_secs(3) };

/// The same ledger twice: through a proxy, and directly.
struct Ledger {
    proxy: Proxy,
    proxied: Firestore,
    direct: Firestore,
}

async fn ledger(patience: Patience) -> Option<Ledger> {
    let host = emulators::firestore()?;
    let project = emulators::fresh_project();
    let open = async |host: &str, patience| {
        Firestore::open_emulator(host, &project, "(default)", patience).await.unwrap()
    };
    let direct = open(host, PATIENT).await;
    // The first commit of an emulator takes seconds.
    direct.record(&[done("warm-up", "warm-up")], at(0)).await.unwrap();
    let proxy = Proxy::start(host).await;
    let proxied = open(&proxy.host, patience).await;
    proxy.take_calls();
    Some(Ledger { proxy, proxied, direct })
}

impl Ledger {
    async fn tally(&self, name: &str) -> u64 {
        let contributor = self.direct.contributor(&who(name)).await.unwrap();
        contributor.map_or(0, |contributor| contributor.standing.tally)
    }

    fn rpcs(&self) -> Vec<String> {
        self.proxy.take_calls().into_iter().map(|call| call.rpc).collect()
    }
}

fn outcomes(recorded: &[Recorded]) -> Vec<(Novelty, u64)> {
    recorded.iter().map(|one| (one.novelty, one.tally)).collect()
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_contribution_costs_one_commit_of_two_writes_and_no_read() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    for i in 1..=3 {
        ledger.proxied.record(&[done(&format!("c{i}"), "ann")], at(0)).await.unwrap();
        let calls = ledger.proxy.take_calls();
        assert_eq!(calls.len(), 1);
        // The first of a contributor has it checked that nothing is said of the account.
        let writes = if i == 1 { 3 } else { 2 };
        assert_eq!((calls[0].rpc.as_str(), calls[0].writes()), ("Commit", writes));
        assert!(!calls[0].is_in_transaction());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contributions_together_share_one_commit_and_one_write_for_each_contributor() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let people: Vec<_> = (0..100).map(|i| format!("person-{i}")).chain(["ann".to_owned()]).collect();
    let first: Vec<_> = people.iter().map(|who| done(&format!("first-{who}"), who)).collect();
    ledger.proxied.record(&first, at(0)).await.unwrap();
    ledger.proxy.take_calls();
    let batch: Vec<_> = (0..100).map(|i| done(&format!("c{i}"), "ann")).collect();
    ledger.proxied.record(&batch, at(0)).await.unwrap();
    let calls = ledger.proxy.take_calls();
    assert_eq!(
        calls.iter().map(|call| (call.rpc.as_str(), call.writes())).collect::<Vec<_>>(),
        [("Commit", 101)]
    );

    let batch: Vec<_> = (0..100).map(|i| done(&format!("d{i}"), &format!("person-{i}"))).collect();
    ledger.proxied.record(&batch, at(0)).await.unwrap();
    let calls = ledger.proxy.take_calls();
    assert_eq!(
        calls.iter().map(|call| (call.rpc.as_str(), call.writes())).collect::<Vec<_>>(),
        [("Commit", 200)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_costs_a_refused_commit_and_two_reads() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    ledger.direct.record(&[done("c", "ann")], at(0)).await.unwrap();
    ledger.proxied.record(&[done("c", "ann")], at(0)).await.unwrap();
    assert_eq!(ledger.rpcs(), ["Commit", "BatchGetDocuments", "BatchGetDocuments"]);
    // In a batch with a new contribution the commit returns the tally.
    ledger.proxied.record(&[done("c", "ann"), done("d", "ann")], at(0)).await.unwrap();
    assert_eq!(ledger.rpcs(), ["Commit", "BatchGetDocuments", "Commit"]);
}

/// Ann's part of a pull request that landed.
fn landed() -> Contribution {
    Contribution { landed_at: Some(at(3)), ..done("github:1:pull_request:7:ann", "ann") }
}

fn labels(second: i64, rejected: bool) -> Review {
    let part = landed();
    let labels = Labels { at: at(second), rejected };
    Review { work: part.work(), part: Some(part.id), ruling: Ruling::Labels(labels), private: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pull_request_costs_one_commit_of_three_writes_and_no_read() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    ledger.proxied.record(&[Contribution { landed_at: None, ..landed() }], at(0)).await.unwrap();
    let calls = ledger.proxy.take_calls();
    // The contribution, the contributor, the mark, and the check of an account that is new.
    assert_eq!(
        calls.iter().map(|call| (call.rpc.as_str(), call.writes())).collect::<Vec<_>>(),
        [("Commit", 4)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_and_a_review_cost_three_reads_and_one_commit() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    ledger.proxied.record(&[landed()], at(0)).await.unwrap();
    let calls = ledger.proxy.take_calls();
    let (commit, reads) = calls.split_last().unwrap();
    // The mark, the part, the contributor, and the check of an account that is new.
    assert_eq!((commit.rpc.as_str(), commit.writes()), ("Commit", 4));
    let mut reads: Vec<_> = reads.iter().map(|call| call.rpc.as_str()).collect();
    reads.sort_unstable();
    assert_eq!(reads, ["BatchGetDocuments", "BatchGetDocuments", "RunQuery"]);

    // One more look-up tells whether the review names a work or a part of one.
    ledger.proxied.review(&labels(5, true)).await.unwrap();
    let calls = ledger.proxy.take_calls();
    assert_eq!((calls.len(), calls[4].writes()), (5, 3));
    ledger.proxied.record(&[landed()], at(0)).await.unwrap();
    assert!(!ledger.rpcs().contains(&"Commit".to_owned()), "a repeat changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_or_a_review_whose_answer_is_lost_changes_the_tally_once() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    count(&ledger.direct, "ann", 2).await;
    for (fault, number) in [Fault::LoseAnswer, Fault::CutAfter].into_iter().zip(8..) {
        let part = Contribution {
            id: ContributionId::from_text(format!("github:1:pull_request:{number}:ann")),
            ..landed()
        };
        let review = |second, rejected| Review {
            work: part.work(),
            part: Some(part.id.clone()),
            ..labels(second, rejected)
        };
        let tally = ledger.tally("ann").await;
        ledger.proxy.fault("Commit", fault.clone());
        let recorded = ledger.proxied.record(std::slice::from_ref(&part), at(0)).await.unwrap();
        assert_eq!(outcomes(&recorded), [(New, tally + 1)]);
        for (second, rejected, expected) in [(4, true, tally), (5, false, tally + 1)] {
            ledger.proxy.fault("Commit", fault.clone());
            let reviewed = ledger.proxied.review(&review(second, rejected)).await.unwrap();
            let [one] = reviewed.as_slice() else { panic!("{reviewed:?}") };
            assert_eq!((one.tally, one.counts, one.changed), (expected, !rejected, true));
            assert_eq!(ledger.tally("ann").await, expected);
        }
        ledger.proxy.assert_all_faults_met();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_costs_two_reads_and_one_commit_and_a_lost_answer_counts_once() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let milestones = Milestones::default();
    let batch = |from: usize| [0, 1, 2].map(|i| done(&format!("h{}", from + i), "ann"));
    record_history(&ledger.proxied, &batch(0), &milestones).await;
    let calls = ledger.proxy.take_calls();
    let costs: Vec<_> = calls.iter().map(|call| call.rpc.as_str()).collect();
    assert_eq!(costs, ["BatchGetDocuments", "BatchGetDocuments", "Commit"]);
    // The contributor is new.
    assert_eq!((calls[2].writes(), calls[2].is_in_transaction()), (5, false));
    for (fault, from) in [Fault::LoseAnswer, Fault::CutAfter, Fault::CutBefore].into_iter().zip([3, 6, 9]) {
        ledger.proxy.fault("Commit", fault);
        let recorded = record_history(&ledger.proxied, &batch(from), &milestones).await;
        let tally = u64::try_from(from).unwrap();
        assert_eq!(outcomes(&recorded), [(New, tally + 1), (New, tally + 2), (New, tally + 3)]);
        ledger.proxy.assert_all_faults_met();
    }
    let standing = ledger.direct.contributor(&who("ann")).await.unwrap().unwrap().standing;
    assert_eq!((standing.tally, standing.recognized), (12, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_contribution_between_the_read_and_the_commit_of_history_is_not_missed() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let milestones = Milestones::default();
    // Ann is new, Ben is not.
    count(&ledger.direct, "ben", 1).await;
    for (name, live, expected) in [("ann", 1, [2, 3]), ("ben", 1, [3, 4])] {
        let release = CancellationToken::new();
        ledger.proxy.fault("BatchGetDocuments", Fault::HoldAnswer(released()));
        ledger.proxy.fault("BatchGetDocuments", Fault::HoldAnswer(release.clone()));
        let batch = [1, 2].map(|i| done(&format!("{name}/history/{i}"), name));
        let meanwhile = async {
            ledger.proxy.faults_met(2).await;
            ledger.direct.record(&[done(&format!("{name}/live/{live}"), name)], at(1)).await.unwrap();
            release.cancel();
        };
        let (recorded, ()) = tokio::join!(record_history(&ledger.proxied, &batch, &milestones), meanwhile);
        assert_eq!(outcomes(&recorded), expected.map(|tally| (New, tally)));
        let standing = ledger.direct.contributor(&who(name)).await.unwrap().unwrap().standing;
        assert_eq!((standing.tally, standing.recognized), (expected[1], 3), "{name}");
    }
    assert_eq!(ledger.direct.owing(&milestones, None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_costs_one_commit_of_three_writes() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    count(&ledger.direct, "ann", 3).await;
    ledger.proxied.recognise(&[recognition("ann", 3, at(1))], &[Destination::Topic]).await.unwrap();
    let calls = ledger.proxy.take_calls();
    assert_eq!(
        calls.iter().map(|call| (call.rpc.as_str(), call.writes())).collect::<Vec<_>>(),
        // The third has it checked that no other account counts for her.
        [("Commit", 3)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_reads_no_contributor_who_is_owed_nothing() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    for i in 0..5 {
        count(&ledger.direct, &format!("person-{i}"), 2).await;
    }
    assert_eq!(ledger.proxied.owing(&Milestones::default(), None, 10).await.unwrap(), []);
    // One query each for the lowest tally, for who is owed there, and for the next higher tally.
    assert_eq!(ledger.rpcs(), ["RunQuery", "RunQuery", "RunQuery"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_counts_once_and_is_answered_as_new() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    for (fault, tally) in [Fault::LoseAnswer, Fault::CutAfter, Fault::CutBefore].into_iter().zip(1..) {
        ledger.proxy.fault("Commit", fault);
        let recorded = ledger.proxied.record(&[done(&format!("c{tally}"), "ann")], at(0)).await.unwrap();
        assert_eq!(outcomes(&recorded), [(New, tally)]);
        ledger.proxy.assert_all_faults_met();
        assert_eq!(ledger.tally("ann").await, tally);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_in_a_batch_with_others_and_repeats_counts_once() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let posted =
        |content| Contribution { content: Some(Fingerprint([content; 16])), ..done("posted", "ben") };
    ledger.direct.record(&[done("old", "ann"), posted(1)], at(0)).await.unwrap();
    // The first commit fails because of the repeats; the second is applied and its answer is lost.
    ledger.proxy.fault("Commit", Fault::HoldAnswer(released()));
    ledger.proxy.fault("Commit", Fault::LoseAnswer);
    let batch = [
        done("a", "ann"),
        done("old", "ann"),
        done("b", "ben"),
        posted(2),
        done("c", "ann"),
        done("a", "ann"),
    ];
    let recorded = ledger.proxied.record(&batch, at(1)).await.unwrap();
    ledger.proxy.assert_all_faults_met();
    assert_eq!(outcomes(&recorded), [(New, 2), (Same, 3), (New, 2), (Different, 2), (New, 3), (Same, 3)]);
    assert_eq!((ledger.tally("ann").await, ledger.tally("ben").await), (3, 2));
}

fn released() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_answer_the_tally_is_that_of_its_commit() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    count(&ledger.proxied, "ann", 1).await;
    let release = CancellationToken::new();
    ledger.proxy.fault("Commit", Fault::LoseAnswer);
    ledger.proxy.fault("Commit", Fault::HoldAnswer(release.clone()));
    let mine = [done("a", "ann"), done("b", "ann")];
    let recording = async {
        let recorded = ledger.proxied.record(&mine, at(1)).await;
        assert!(release.is_cancelled(), "it was answered before the others came: {recorded:?}");
        recorded
    };
    let others = async {
        ledger.proxy.faults_met(2).await;
        let others = [done("x", "ann"), done("y", "ann"), done("z", "ann")];
        let recorded = ledger.direct.record(&others, at(2)).await.unwrap();
        release.cancel();
        recorded
    };
    let (recorded, others) = tokio::join!(recording, others);
    assert_eq!(outcomes(&recorded.unwrap()), [(New, 2), (New, 3)]);
    assert_eq!(outcomes(&others), [(New, 4), (New, 5), (New, 6)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_counts_once() {
    let Some(ledger) = ledger(BRIEF).await else { return };
    ledger.proxy.fault("Commit", Fault::HoldAnswer(CancellationToken::new()));
    let recorded = ledger.proxied.record(&[done("c", "ann")], at(0)).await.unwrap();
    assert_eq!(outcomes(&recorded), [(New, 1)]);
    ledger.proxy.fault("Commit", Fault::Hang);
    let recorded = ledger.proxied.record(&[done("d", "ann")], at(0)).await.unwrap();
    assert_eq!(outcomes(&recorded), [(New, 2)]);
    ledger.proxy.assert_all_faults_met();
    assert_eq!(ledger.tally("ann").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_connection_whose_other_side_vanished_go_on_over_a_new_one() {
    let Some(ledger) = ledger(BRIEF).await else { return };
    assert_eq!(ledger.proxy.connections(), 1);
    ledger.proxy.silence();
    // Many at once: one of them replaces the connection, and all of them go on within their patience.
    let batches: Vec<_> = (1..=5).map(|i| [done(&format!("c{i}"), &format!("person-{i}"))]).collect();
    let recorded = batches.iter().map(|batch| ledger.proxied.record(batch, at(0)));
    for recorded in futures::future::join_all(recorded).await {
        assert_eq!(outcomes(&recorded.unwrap()), [(New, 1)]);
    }
    assert_eq!(ledger.proxy.connections(), 2);

    ledger.proxy.silence();
    is_unavailable(ledger.proxied.ping().await);
    ledger.proxied.ping().await.unwrap();
    assert_eq!(ledger.proxy.connections(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_tried_again() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    // CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE
    for (code, tally) in [1, 2, 4, 8, 10, 13, 14].into_iter().zip(1..) {
        ledger.proxy.fault("Commit", Fault::Status(code, "try again"));
        let recorded = ledger.proxied.record(&[done(&format!("c{tally}"), "ann")], at(0)).await.unwrap();
        assert_eq!(outcomes(&recorded), [(New, tally)], "{code}");
        ledger.proxy.assert_all_faults_met();
    }
    ledger.proxy.fault("BatchGetDocuments", Fault::Status(14, "try again"));
    assert!(ledger.proxied.contributor(&who("ann")).await.unwrap().is_some());
    ledger.proxy.fault("RunQuery", Fault::CutBefore);
    let page = Page { limit: 10, after: None };
    assert_eq!(
        ledger
            .proxied
            .contributors(Order::Tally, &ContributorFilter::default(), &page)
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    ledger.proxy.assert_all_faults_met();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_error_is_not_tried_again_and_says_how_to_fix_it() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let project = "--project=demo-";
    let cases: [(u16, &str, &[&str]); 5] = [
        (
            7,
            "Missing or insufficient permissions.",
            &["roles/datastore.user", "add-iam-policy-binding demo-"],
        ),
        (
            7,
            "Cloud Firestore API has not been used in project 1 before or it is disabled.",
            &["gcloud services enable firestore.googleapis.com", project],
        ),
        (
            5,
            "The database (default) does not exist for project x",
            &["gcloud firestore databases create", project, "--database='(default)'"],
        ),
        (16, "Request had invalid authentication credentials.", &["gcloud auth application-default login"]),
        (12, "Not here", &["native mode"]),
    ];
    for (code, message, expected) in cases {
        ledger.proxy.fault("Commit", Fault::Status(code, message));
        let words = is_unavailable(ledger.proxied.record(&[done("c", "ann")], at(0)).await);
        assert_eq!(ledger.rpcs(), ["Commit"]);
        for expected in expected {
            assert!(words.contains(expected), "{words}");
        }
        ledger.proxy.fault("BatchGetDocuments", Fault::Status(code, message));
        assert!(is_unavailable(ledger.proxied.ping().await).contains(expected[0]));
        ledger.proxy.take_calls();
    }
    ledger.proxy.fault("RunQuery", Fault::Status(9, "The query requires an index."));
    let owing = ledger.proxied.owing(&Milestones::default(), None, 10).await;
    assert!(is_unavailable(owing).contains("terraform apply"));
    assert_eq!(ledger.rpcs(), ["RunQuery"]);
    ledger.proxy.fault("Commit", Fault::Status(3, "That cannot be."));
    let refused = ledger.proxied.record(&[done("c", "ann")], at(0)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(ledger.tally("ann").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_is_unavailable_and_counts_once_afterwards() {
    let Some(ledger) = ledger(BRIEF).await else { return };
    ledger.proxy.set_up(false);
    is_unavailable(ledger.proxied.record(&[done("c", "ann")], at(0)).await);
    is_unavailable(ledger.proxied.ping().await);
    is_unavailable(ledger.proxied.contributor(&who("ann")).await);
    ledger.proxy.set_up(true);
    assert_eq!(outcomes(&ledger.proxied.record(&[done("c", "ann")], at(1)).await.unwrap()), [(New, 1)]);

    ledger.proxy.always(Some(Fault::Hang));
    is_unavailable(ledger.proxied.record(&[done("d", "ann")], at(2)).await);
    is_unavailable(ledger.proxied.ping().await);
    ledger.proxy.always(None);
    assert_eq!(outcomes(&ledger.proxied.record(&[done("d", "ann")], at(3)).await.unwrap()), [(New, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_applied_but_never_acknowledged_is_the_same_again() {
    let Some(ledger) = ledger(BRIEF).await else { return };
    ledger.proxy.always(Some(Fault::Hang));
    ledger.proxy.fault("Commit", Fault::LoseAnswer);
    is_unavailable(ledger.proxied.record(&[done("c", "ann"), done("d", "ann")], at(0)).await);
    ledger.proxy.assert_all_faults_met();
    ledger.proxy.always(None);
    let again =
        ledger.proxied.record(&[done("c", "ann"), done("d", "ann"), done("e", "ann")], at(1)).await.unwrap();
    assert_eq!(outcomes(&again), [(Same, 3), (Same, 3), (New, 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_that_fails_stops_the_higher_ones_of_its_contributor_alone() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    count(&ledger.direct, "ann", 50).await;
    count(&ledger.direct, "ben", 3).await;
    let made = [
        recognition("ann", 3, at(1)),
        recognition("ann", 10, at(1)),
        recognition("ann", 50, at(1)),
        recognition("ben", 3, at(1)),
    ];
    // Together with the others of ann, and then alone.
    for _ in 0..2 {
        ledger.proxy.fault_where(
            |call| call.rpc == "Commit" && call.mentions("recognitions/ann:10"),
            Fault::Status(7, "Missing or insufficient permissions."),
        );
    }
    let destinations = [Destination::Topic];
    let some = ledger.proxied.recognise(&made, &destinations).await.unwrap();
    ledger.proxy.assert_all_faults_met();
    // What was made is answered, with the failure beside it.
    assert_eq!(some.new.iter().map(|new| new.id.as_str()).collect::<Vec<_>>(), ["ann:3", "ben:3"]);
    assert!(matches!(some.failure, Some(StoreError::Unavailable(_))), "{:?}", some.failure);
    let highest =
        async |name| ledger.direct.contributor(&who(name)).await.unwrap().unwrap().standing.recognized;
    assert_eq!((highest("ann").await, highest("ben").await), (3, 3));
    assert_eq!(ledger.direct.recognition(&made[2].id).await.unwrap(), None);
    let owing = ledger.direct.owing(&Milestones::parse("3,10,50").unwrap(), None, 10).await.unwrap();
    assert_eq!(owing.iter().map(|one| one.contributor.as_str()).collect::<Vec<_>>(), ["ann"]);
    assert_eq!(recognised(&ledger.proxied, &made, &destinations).await, [false, true, true, false]);
    assert_eq!(highest("ann").await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_whose_answer_is_lost_is_new() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    count(&ledger.direct, "ann", 3).await;
    ledger.proxy.fault("Commit", Fault::LoseAnswer);
    let made = [recognition("ann", 3, at(1))];
    assert_eq!(recognised(&ledger.proxied, &made, &[Destination::Topic]).await, [true]);
    assert_eq!(recognised(&ledger.proxied, &made, &[Destination::Topic]).await, [false]);
    ledger.proxy.assert_all_faults_met();
    assert_eq!(ledger.direct.contributor(&who("ann")).await.unwrap().unwrap().standing.recognized, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_fails_for_one_gives_the_others() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let names = ["ann", "ben", "cleo"];
    let made: Vec<_> = names.iter().zip(1..).map(|(name, second)| recognition(name, 3, at(second))).collect();
    for name in names {
        count(&ledger.direct, name, 3).await;
    }
    ledger.direct.recognise(&made, &[Destination::Topic]).await.unwrap();
    let fault = Fault::Status(7, "Missing or insufficient permissions.");
    ledger.proxy.fault_where(|call| call.rpc == "Commit" && call.mentions("recognitions/ben:3"), fault);
    let claim = async |now| {
        let claimed = ledger.proxied.claim(Destination::Topic, at(now), at(60), 10).await.unwrap();
        claimed.into_iter().map(|due| due.recognition.contributor.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(claim(10).await, ["ann", "cleo"]);
    assert_eq!(claim(11).await, ["ben"]);
    ledger.proxy.assert_all_faults_met();
}

/// Runs `meanwhile` after a due comment was found and before it is claimed. Returns how many are claimed, and
/// the calls.
async fn claimed_after(ledger: &Ledger, meanwhile: impl AsyncFnOnce(&Firestore)) -> (usize, Vec<String>) {
    count(&ledger.direct, "ann", 3).await;
    let made = [recognition("ann", 3, at(1))];
    ledger.direct.recognise(&made, &[Destination::Local, Destination::Comment]).await.unwrap();
    let release = CancellationToken::new();
    ledger.proxy.fault("RunQuery", Fault::HoldAnswer(release.clone()));
    let claiming = ledger.proxied.claim(Destination::Comment, at(10), at(30), 10);
    let changing = async {
        ledger.proxy.faults_met(1).await;
        meanwhile(&ledger.direct).await;
        release.cancel();
    };
    let (claimed, ()) = tokio::join!(claiming, changing);
    (claimed.unwrap().len(), ledger.rpcs())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_does_not_fail_for_what_another_destination_writes_meanwhile() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let struck_off = async |store: &Firestore| {
        let done = (recognition("ann", 3, at(1)).id, Destination::Local, Settled::Done);
        store.settle(&[done]).await.unwrap();
    };
    let (claimed, calls) = claimed_after(&ledger, struck_off).await;
    assert_eq!(calls, ["RunQuery", "RunQuery", "Commit", "BatchGetDocuments", "Commit"]);
    assert_eq!(claimed, 1);
    let again = ledger.direct.claim(Destination::Comment, at(29), at(60), 10).await.unwrap();
    assert_eq!(again, [], "it is held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_claims_that_found_the_same_one_has_it() {
    let Some(ledger) = ledger(PATIENT).await else {
        return;
    };
    let claimed = async |store: &Firestore| {
        assert_eq!(store.claim(Destination::Comment, at(10), at(30), 10).await.unwrap().len(), 1);
    };
    let (claimed, calls) = claimed_after(&ledger, claimed).await;
    assert_eq!(calls, ["RunQuery", "RunQuery", "Commit", "BatchGetDocuments"]);
    assert_eq!(claimed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_a_firestore_cannot_be_opened() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let opened = Firestore::open_emulator(&nowhere, "demo-x", "(default)", BRIEF).await;
    assert!(is_unavailable(opened).contains("cannot be reached"));
}

/// An environment variable belongs to a process, so the test runs itself as another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_that_the_environment_names_is_used_without_credentials() {
    const AGAIN: &str = "PLAUDIT_TEST_OPENS_BY_ENVIRONMENT";
    if std::env::var(AGAIN).is_ok() {
        let store = Firestore::open(&emulators::fresh_project(), "(default)", None).await.unwrap();
        assert_eq!(outcomes(&store.record(&[done("c", "ann")], at(0)).await.unwrap()), [(New, 1)]);
        return;
    }
    // Warmed up, so that the timeouts of production are long enough.
    let Some(ledger) = ledger(PATIENT).await else { return };
    let name = "firestore::the_emulator_that_the_environment_names_is_used_without_credentials";
    let again = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("FIRESTORE_EMULATOR_HOST", &ledger.proxy.host)
        .env(AGAIN, "1")
        .output()
        .await
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    assert_eq!(ledger.rpcs(), ["BatchGetDocuments", "Commit"]);
}
