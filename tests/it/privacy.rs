//! What was public and becomes private: private from then on, on every store, wherever it is shown.

use std::sync::Arc;

use chrono::TimeDelta;
use plaudit::domain::{
    Contribution, Destination, Fingerprint, Kind, Labels, Milestones, Moment, Recognition, RepositoryId,
    Review, Ruling, Visibility, VisibilitySaid,
};
use plaudit::outbox::Outbox;
use plaudit::record::{Recorder, deadline};
use plaudit::runtime::Tasks;
use plaudit::store::{Concealment, LOOK_AGAIN, Page, RecognitionFilter, Shown, Store, StoreError};
use plaudit::telemetry::Metrics;

use crate::outbox::movable;
use crate::store::{at, done, recognition, who};
use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::{Fault, Proxy};
use crate::support::ledger;

fn repository(id: u64) -> RepositoryId {
    RepositoryId::from_text(format!("github:{id}"))
}

fn issue(repository: u64, number: u64) -> Contribution {
    let kind = Kind::ISSUE;
    Contribution { kind, ..done(&format!("github:{repository}:issue:{number}"), "github:ann") }
}

fn pull_request(repository: u64, number: u64) -> Contribution {
    done(&format!("github:{repository}:pull_request:{number}:ann"), "github:ann")
}

fn concealment(second: i64, noted_anyway: bool) -> Concealment {
    Concealment { since: at(second), private_at: at(second), now: at(second), noted_anyway }
}

async fn private_repositories(store: &dyn Store, since: Option<Moment>) -> Vec<(RepositoryId, Moment)> {
    let all = store.private_repositories(since, 100).await.unwrap();
    all.into_iter().map(|private| (private.id, private.since.unwrap())).collect()
}

async fn is_private(store: &dyn Store, one: &Contribution) -> bool {
    store.contribution(&one.id).await.unwrap().unwrap().contribution.private
}

/// The ids of what anyone sees of Ann's.
async fn public(store: &dyn Store) -> Vec<String> {
    let page = Page { limit: 100, after: None };
    let listed = store.contributions_of(&who("github:ann"), Shown::Public, &page).await.unwrap();
    let mut ids: Vec<_> = listed.items.iter().map(|one| one.contribution.id.to_string()).collect();
    ids.sort();
    ids
}

fn naming(one: &Contribution, milestone: u64) -> Recognition {
    Recognition { contribution: Some(one.clone()), ..recognition("github:ann", milestone, at(1)) }
}

/// Whether the contribution that a recognition names is private, in the list and in what is due.
async fn named_as_private(store: &dyn Store, milestone: u64) -> [bool; 3] {
    let all = store
        .recognitions(&RecognitionFilter::default(), &Page { limit: 100, after: None })
        .await
        .unwrap()
        .items;
    let due = store.claim(Destination::Topic, at(9), at(0), 100).await.unwrap();
    let one = store.recognition(&naming(&issue(0, 0), milestone).id).await.unwrap().unwrap().0;
    let listed = all.into_iter().find(|made| made.milestone == milestone).unwrap();
    let due = due.into_iter().map(|due| due.recognition).find(|made| made.milestone == milestone).unwrap();
    [one, listed, due].map(|made| made.contribution.unwrap().private)
}

async fn all_of_a_repository_becomes_private_and_nothing_of_another(store: &dyn Store) {
    let hidden = [pull_request(1, 7), issue(1, 8)];
    let client = Contribution {
        content: Some(Fingerprint([1; 16])),
        kind: Kind::parse("talk").unwrap(),
        ..done("api:github:1:7", "github:ann")
    };
    let others = [pull_request(10, 7), pull_request(2, 7), client];
    store.record(&[&hidden[..], &others[..]].concat(), at(0)).await.unwrap();
    let made = [naming(&hidden[0], 1), naming(&others[0], 3)];
    store.recognise(&made, &[Destination::Topic]).await.unwrap();
    assert_eq!(private_repositories(store, None).await, []);
    // Without a public contribution there is nothing to be noted, unless it became private anew.
    store.conceal(&repository(3), concealment(4, false)).await.unwrap();
    assert_eq!(private_repositories(store, None).await, []);

    for second in [5, 6] {
        store.conceal(&repository(1), concealment(second, second > 5)).await.unwrap();
        assert_eq!(private_repositories(store, None).await, [(repository(1), at(second))]);
        for one in &hidden {
            assert!(is_private(store, one).await, "{}", one.id);
        }
        let mut left: Vec<_> = others.iter().map(|one| one.id.to_string()).collect();
        left.sort();
        assert_eq!(public(store).await, left);
        assert_eq!(named_as_private(store, 1).await, [true; 3]);
        assert_eq!(named_as_private(store, 3).await, [false; 3]);
    }
    // An earlier time comes late, and a repeat of what was recorded as public.
    store.conceal(&repository(1), concealment(2, true)).await.unwrap();
    assert_eq!(private_repositories(store, Some(at(6))).await, [(repository(1), at(6))]);
    assert_eq!(private_repositories(store, Some(at(7))).await, []);
    store.record(&hidden, at(7)).await.unwrap();
    assert!(is_private(store, &hidden[0]).await && is_private(store, &hidden[1]).await);
    assert_eq!(store.contributor(&who("github:ann")).await.unwrap().unwrap().standing.tally, 5);
}

async fn a_repository_of_any_size_becomes_private_whole(store: &dyn Store) {
    let all: Vec<_> = (0..2_100).map(|number| issue(1, number)).collect();
    for part in all.chunks(100) {
        store.record(part, at(0)).await.unwrap();
    }
    assert_eq!(public(store).await.len(), 100);
    store.conceal(&repository(1), concealment(1, false)).await.unwrap();
    assert_eq!(public(store).await, Vec::<String>::new());
}

async fn what_arrives_beside_the_change_is_found_by_a_second_look(store: &dyn Store) {
    let last = at(0) + LOOK_AGAIN;
    store.conceal(&repository(1), concealment(0, true)).await.unwrap();
    let late = |number| Contribution { occurred_at: at(-1), ..issue(1, number) };
    store.record(&[late(1)], at(1)).await.unwrap();
    store.recognise(&[naming(&late(1), 1)], &[Destination::Topic]).await.unwrap();
    store.conceal_due(last - std::time::Duration::from_secs(1)).await.unwrap();
    assert!(!is_private(store, &late(1)).await);
    store.conceal_due(last).await.unwrap();
    assert!(is_private(store, &late(1)).await);
    assert_eq!(named_as_private(store, 1).await, [true; 3]);
    // Once is enough: what the repository gets when it is public again is left as it is.
    store.record(&[late(2)], last).await.unwrap();
    store.conceal_due(last + LOOK_AGAIN).await.unwrap();
    assert!(!is_private(store, &late(2)).await);
}

async fn what_is_stated_after_a_repository_is_public_again_is_left_as_it_is(store: &dyn Store) {
    let stated = |number, second| Contribution { occurred_at: at(second), ..issue(1, number) };
    let labelled = Contribution { labels: Some(Labels { at: at(9), rejected: false }), ..stated(3, 1) };
    let (old, new) = (stated(1, 1), stated(2, 9));
    store.record(&[old.clone(), new.clone(), labelled.clone()], at(10)).await.unwrap();
    let made = [naming(&old, 1), naming(&new, 2)];
    store.recognise(&made, &[Destination::Topic]).await.unwrap();
    store.publicized(&repository(1), at(8)).await.unwrap();
    store.publicized(&repository(1), at(7)).await.unwrap();
    assert_eq!(private_repositories(store, None).await, []);
    for noted_anyway in [true, false] {
        store.conceal(&repository(1), concealment(5, noted_anyway)).await.unwrap();
        let noted = store.private_repository(&repository(1)).await.unwrap().unwrap();
        assert_eq!((noted.since, noted.private_at, noted.public_at), (Some(at(5)), Some(at(5)), Some(at(8))));
        assert_eq!(public(store).await, [new.id.to_string(), labelled.id.to_string()]);
        assert_eq!(named_as_private(store, 1).await, [true; 3]);
        assert_eq!(named_as_private(store, 2).await, [false; 3]);
    }
    // It is private once more: then all of it is.
    store.conceal(&repository(1), concealment(8, true)).await.unwrap();
    assert_eq!(public(store).await, Vec::<String>::new());
    assert_eq!(named_as_private(store, 2).await, [true; 3]);
}

fn confidential(one: &Contribution, second: i64) -> Review {
    let ruling = Ruling::Labels(Labels { at: at(second), rejected: false });
    Review { work: one.work(), part: Some(one.id.clone()), ruling, private: true }
}

async fn a_confidential_issue_is_private_in_either_order(store: &dyn Store) {
    let (first, second, other) = (issue(1, 7), issue(1, 8), issue(1, 70));
    store.record(&[first.clone(), other.clone()], at(0)).await.unwrap();
    let made = [naming(&first, 1), naming(&other, 2)];
    store.recognise(&made, &[Destination::Topic]).await.unwrap();
    for _ in 0..2 {
        let reviewed = store.review(&confidential(&first, 1)).await.unwrap();
        assert_eq!((reviewed.len(), reviewed[0].counts, reviewed[0].changed), (1, true, false));
        assert!(is_private(store, &first).await);
        assert_eq!(named_as_private(store, 1).await, [true; 3]);
    }
    assert_eq!(store.review(&confidential(&second, 1)).await.unwrap(), []);
    assert_eq!(store.contribution(&second.id).await.unwrap(), None);
    store.record(&[second.clone(), first.clone()], at(2)).await.unwrap();
    assert!(is_private(store, &second).await && is_private(store, &first).await);
    // What says nothing of it does not make it public.
    store.review(&Review { private: false, ..confidential(&first, 3) }).await.unwrap();
    assert!(is_private(store, &first).await);
    assert_eq!(public(store).await, [other.id.to_string()]);
    assert_eq!(named_as_private(store, 2).await, [false; 3]);
    assert_eq!(store.contributor(&who("github:ann")).await.unwrap().unwrap().standing.tally, 3);
}

async fn a_recognition_made_of_an_old_copy_names_as_private_what_has_become_so(store: &dyn Store) {
    let (first, second, other) = (issue(1, 7), issue(3, 8), issue(2, 9));
    store.record(&[first.clone(), second.clone(), other.clone()], at(0)).await.unwrap();
    let copies = [naming(&first, 1), naming(&second, 2), naming(&other, 3)];
    store.conceal(&repository(1), concealment(1, false)).await.unwrap();
    store.review(&confidential(&second, 1)).await.unwrap();
    let made = store.recognise(&copies, &[Destination::Topic]).await.unwrap().new;
    let private: Vec<_> = made.iter().map(|made| made.contribution.as_ref().unwrap().private).collect();
    assert_eq!(private, [true, true, false]);
    for (milestone, private) in [(1, true), (2, true), (3, false)] {
        assert_eq!(named_as_private(store, milestone).await, [private; 3], "{milestone}");
    }
}

macro_rules! suite {
    ($($promise:ident),* $(,)?) => {
        suite!(@on sqlite: $($promise),*);
        suite!(@on firestore: $($promise),*);
    };
    (@on $store:ident: $($promise:ident),*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    if let Some(opened) = crate::store::$store().await {
                        super::$promise(&*opened.store).await;
                        drop(opened.keep);
                    }
                }
            )*
        }
    };
}

suite!(
    all_of_a_repository_becomes_private_and_nothing_of_another,
    a_repository_of_any_size_becomes_private_whole,
    what_arrives_beside_the_change_is_found_by_a_second_look,
    what_is_stated_after_a_repository_is_public_again_is_left_as_it_is,
    a_confidential_issue_is_private_in_either_order,
    a_recognition_made_of_an_old_copy_names_as_private_what_has_become_so,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_call_left_public_the_next_drain_makes_private() {
    use plaudit::store::firestore::Firestore;
    let Some(host) = emulators::firestore() else { return };
    let proxy = Proxy::start(host).await;
    let store = Firestore::open_emulator(&proxy.host, &emulators::fresh_project(), "(default)", PATIENT)
        .await
        .unwrap();
    let one = issue(1, 7);
    store.record(std::slice::from_ref(&one), at(0)).await.unwrap();
    let is_concealing = |call: &crate::support::h2proxy::Call| {
        call.rpc == "Commit" && call.mentions("/documents/contributions/")
    };
    // 7 is PERMISSION_DENIED, which is not tried again.
    proxy.fault_where(is_concealing, Fault::Status(7, "no"));
    let failed = store.conceal(&repository(1), concealment(1, false)).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert!(!is_private(&store, &one).await);
    proxy.assert_all_faults_met();
    store.conceal_due(at(2)).await.unwrap();
    assert!(is_private(&store, &one).await);
}

#[tokio::test]
async fn what_another_instance_recorded_while_a_repository_was_public_is_private_within_an_hour_of_its_being_so()
 {
    let (_folder, store) = ledger();
    let (now, clock) = movable();
    let (milestones, tasks) = (Milestones::default(), Tasks::default());
    let metrics = Metrics::new(&["github", "gitlab"]).unwrap();
    let start = || {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        let outbox =
            Outbox::new(store.clone(), Vec::new(), milestones.clone(), clock.clone(), metrics.clone());
        Recorder::start(&store, &Arc::new(outbox), &milestones, &clock, &metrics, &tasks)
    };
    let (one, other) = (start(), start());
    let stated = |at| {
        let said = VisibilitySaid::IsPrivate;
        Visibility { repository: repository(1), said, at }
    };
    one.see(&stated(clock.now()), deadline()).await.unwrap();
    *now.lock().unwrap() += TimeDelta::minutes(20);
    let public = Contribution { occurred_at: clock.now(), ..issue(1, 1) };
    other.record(vec![public.clone()], deadline()).await.unwrap();
    assert!(!is_private(store.as_ref(), &public).await);
    *now.lock().unwrap() += TimeDelta::minutes(41);
    one.see(&stated(clock.now()), deadline()).await.unwrap();
    assert!(is_private(store.as_ref(), &public).await);
    tasks.end().await;
}
