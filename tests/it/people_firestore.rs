//! Linked and renamed accounts on Firestore: what several processes see of them, at what cost, and what a process that
//! ends in between leaves to the next one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions, FirestoreDocument};
use futures::stream::{self, StreamExt as _};
use plaudit::domain::{Contribution, Destination, Kind, Labels, Milestones, Review, Ruling, Standing, owed};
use plaudit::store::firestore::{Firestore, Patience};
use plaudit::store::{
    ContributionFilter, ContributorFilter, Counted, ForgetKey, Forgot, Linked, Novelty, Of, Order, Page,
    RecognitionFilter, Recorded, Shown, Store, StoreError, Unlinked,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio_util::sync::CancellationToken;

use crate::store::{at, count, done, recognised, recognition, record_history, who};
use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::{Call, Fault, Proxy};

pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Two processes over one ledger; the second one through a proxy.
pub struct Ledger {
    pub one: Firestore,
    pub other: Firestore,
    pub proxy: Proxy,
    pub project: String,
}

pub async fn ledger() -> Option<Ledger> {
    let host = emulators::firestore()?;
    let project = emulators::fresh_project();
    let open = async |host: &str| {
        let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
        store.with_forget_key(ForgetKey::new(KEY)).await.unwrap()
    };
    let one = open(host).await;
    // The first commit of an emulator takes seconds.
    one.record(&[done("warm-up", "warm-up")], at(0)).await.unwrap();
    let proxy = Proxy::start(host).await;
    let other = open(&proxy.host).await;
    proxy.take_calls();
    Some(Ledger { one, other, proxy, project })
}

/// An issue by which the host states a number and a name.
pub fn issue(id: &str, login: &str, number: u64, second: i64) -> Contribution {
    Contribution {
        kind: Kind::ISSUE,
        user_id: Some(number),
        occurred_at: at(second),
        ..done(&format!("github:1:issue:{id}"), &format!("github:{login}"))
    }
}

/// A push whose author's address may have a number.
pub fn push(id: &str, login: &str, number: Option<u64>) -> Contribution {
    let id = format!("github:1:push:{id}:{login}");
    Contribution { kind: Kind::PUSH, user_id: number, ..done(&id, &format!("github:{login}")) }
}

fn part(number: u32, login: &str) -> Contribution {
    done(&format!("github:1:pull_request:{number}:{login}"), &format!("github:{login}"))
}

pub async fn record(store: &dyn Store, contributions: &[Contribution]) -> Vec<Recorded> {
    store.record(contributions, at(0)).await.unwrap()
}

pub async fn tally(store: &dyn Store, id: &str) -> Option<(String, u64, u64)> {
    let found = store.contributor(&who(id)).await.unwrap()?;
    let standing = found.standing;
    Some((standing.contributor.to_string(), standing.tally, standing.recognized))
}

#[allow(clippy::unnecessary_wraps, reason = "compared with what may be absent")]
pub fn is(id: &str, tally: u64, recognized: u64) -> Option<(String, u64, u64)> {
    Some((id.to_owned(), tally, recognized))
}

async fn contributions(store: &dyn Store, id: &str) -> Vec<Counted> {
    let filter = ContributionFilter::of(Of::Contributor(who(id)), Shown::All);
    let mut found = Vec::new();
    let mut page = Page { limit: 100, after: None };
    loop {
        let paged = store.contributions(&filter, &page).await.unwrap();
        found.extend(paged.items);
        let Some(next) = paged.next else { return found };
        page.after = Some(next);
    }
}

/// Every contributor that is listed, with its tally, each equal to what its contributions say.
pub async fn tallies(store: &dyn Store) -> Vec<(String, u64)> {
    let page = Page { limit: 100, after: None };
    let listed = store.contributors(Order::Id, &ContributorFilter::default(), &page).await.unwrap().items;
    let mut tallies = Vec::new();
    for one in listed.into_iter().filter(|one| one.standing.contributor.as_str() != "warm-up") {
        let id = one.standing.contributor.as_str();
        let found = contributions(store, id).await;
        assert!(found.iter().all(|one| one.contribution.contributor.as_str() == id), "{found:?}");
        let counted = found.iter().filter(|one| !one.retracted).count() as u64;
        assert_eq!(one.standing.tally, counted, "{id}: {found:#?}");
        tallies.push((id.to_owned(), counted));
    }
    tallies
}

pub fn those(tallies: &[(&str, u64)]) -> Vec<(String, u64)> {
    tallies.iter().map(|(id, tally)| ((*id).to_owned(), *tally)).collect()
}

pub async fn link(store: &dyn Store, account: &str, to: &str) -> Linked {
    store.link(&who(account), &who(to)).await.unwrap()
}

fn linked(linked: Linked) -> (String, u64, u64) {
    let Linked::To(standing) = linked else { panic!("{linked:?}") };
    (standing.contributor.to_string(), standing.tally, standing.recognized)
}

pub async fn recognitions(store: &dyn Store, id: &str) -> Vec<(String, String)> {
    let filter = RecognitionFilter { contributor: Some(who(id)), since: None };
    let found = store.recognitions(&filter, &Page { limit: 100, after: None }).await.unwrap().items;
    let mut found: Vec<_> =
        found.into_iter().map(|one| (one.id.to_string(), one.contributor.to_string())).collect();
    found.sort();
    found
}

pub fn novelties(recorded: &[Recorded]) -> Vec<Novelty> {
    recorded.iter().map(|one| one.novelty).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linked_accounts_are_one_contributor_in_every_process_until_they_are_unlinked() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    count(&one, "ann", 3).await;
    count(&other, "ben", 2).await;
    // Both processes know both.
    record(&other, &[done("a4", "ann")]).await;
    record(&one, &[done("b3", "ben")]).await;
    assert!(recognised(&one, &[recognition("ann", 3, at(1))], &[Destination::Local]).await[0]);
    assert_eq!(linked(link(&one, "ann", "ben").await), ("ben".into(), 7, 3));
    assert_eq!(linked(link(&other, "ann", "ben").await), ("ben".into(), 7, 3), "the same answer again");
    for store in [&one, &other] {
        for id in ["ann", "ben"] {
            assert_eq!(tally(store, id).await, is("ben", 7, 3));
            assert_eq!(contributions(store, id).await.len(), 7);
            assert_eq!(recognitions(store, id).await, [("ann:3".to_owned(), "ben".to_owned())]);
        }
        assert_eq!(tallies(store).await, those(&[("ben", 7)]));
        assert_eq!(store.owing(&Milestones::parse("3").unwrap(), None, 9).await.unwrap(), []);
        let accounts = store.accounts_of(&who("ann")).await.unwrap();
        assert_eq!((accounts.len(), accounts[0].id.as_str(), accounts[0].linked), (1, "ann", true));
    }
    // The other process remembers that this account counts for itself.
    let late = record(&other, &[done("a5", "ann")]).await;
    assert_eq!((late[0].novelty, late[0].tally, late[0].recognized), (Novelty::New, 8, 3));
    assert_eq!(late[0].counted_for, Some(who("ben")));
    let history = record_history(&other, &[done("a6", "ann")], &Milestones::parse("9").unwrap()).await;
    assert_eq!((history[0].tally, history[0].recognized, &history[0].counted_for), (9, 9, &Some(who("ben"))));
    assert_eq!(record(&one, &[done("a5", "ann")]).await[0].counted_for, Some(who("ben")));
    let due = one.claim(Destination::Local, at(9), at(9), 9).await.unwrap();
    assert_eq!(due[0].recognition.contributor.as_str(), "ben");
    // Neither a recognition that was under way nor a repeat of one is made for the account.
    let made = [recognition("ann", 3, at(2)), recognition("ann", 7, at(2))];
    assert_eq!(recognised(&other, &made, &[Destination::Local]).await, [false, false]);

    let Linked::Elsewhere(ben) = link(&one, "ann", "cleo").await else { panic!() };
    assert_eq!(ben.as_str(), "ben");
    assert_eq!(link(&one, "ben", "ann").await, Linked::Same(who("ben")));
    assert_eq!(link(&one, "ben", "ben").await, Linked::Same(who("ben")));

    let apart = one.unlink(&who("ann")).await.unwrap();
    let Unlinked::Apart { account, contributor } = apart else { panic!("{apart:?}") };
    assert_eq!((account.tally, account.recognized, contributor.tally, contributor.recognized), (6, 9, 3, 9));
    for store in [&one, &other] {
        assert_eq!(tallies(store).await, those(&[("ann", 6), ("ben", 3)]));
        assert_eq!(recognitions(store, "ann").await, [("ann:3".to_owned(), "ann".to_owned())]);
        assert_eq!(store.unlink(&who("ann")).await.unwrap(), Unlinked::NotLinked);
        assert_eq!(store.accounts_of(&who("ben")).await.unwrap(), []);
    }
    let again = record(&other, &[done("a7", "ann"), done("b4", "ben")]).await;
    assert_eq!(again.iter().map(|one| one.tally).collect::<Vec<_>>(), [7, 4]);
    assert!(again.iter().all(|one| one.counted_for.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_linked_to_an_account_follows_it_and_comes_back_to_itself() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    for (name, tally) in [("ann", 1), ("ben", 2), ("cleo", 4)] {
        count(&one, name, tally).await;
    }
    link(&one, "ann", "ben").await;
    assert_eq!(linked(link(&other, "ben", "cleo").await), ("cleo".into(), 7, 0));
    assert_eq!(linked(link(&other, "ann", "cleo").await), ("cleo".into(), 7, 0));
    assert_eq!(record(&one, &[done("late", "ann")]).await[0].counted_for, Some(who("cleo")));
    let accounts = one.accounts_of(&who("cleo")).await.unwrap();
    assert_eq!(accounts.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["ann", "ben"]);
    one.unlink(&who("ben")).await.unwrap();
    assert_eq!(tallies(&other).await, those(&[("ben", 2), ("cleo", 6)]));
    one.unlink(&who("ann")).await.unwrap();
    assert_eq!(tallies(&other).await, those(&[("ann", 2), ("ben", 2), ("cleo", 4)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_are_unknown_can_be_linked_and_count_once_they_contribute() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    assert_eq!(linked(link(&one, "ann", "ben").await), ("ben".into(), 0, 0));
    assert_eq!(tallies(&one).await, those(&[]));
    let first = record(&other, &[done("a1", "ann")]).await;
    assert_eq!((first[0].tally, &first[0].counted_for), (1, &Some(who("ben"))));
    assert_eq!(tallies(&one).await, those(&[("ben", 1)]));
    assert_eq!(linked(link(&one, "cleo", "dora").await), ("dora".into(), 0, 0));
    one.unlink(&who("cleo")).await.unwrap();
    assert_eq!(record(&other, &[done("c1", "cleo")]).await[0].counted_for, None);
    assert_eq!(tallies(&one).await, those(&[("ben", 1), ("cleo", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_one_pull_request_by_one_person_count_once() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[part(7, "ann"), part(8, "ann"), part(9, "ann")]).await;
    record(&one, &[part(7, "ben"), part(8, "cleo")]).await;
    assert_eq!(linked(link(&one, "github:ann", "github:ben").await), ("github:ben".into(), 3, 0));
    assert_eq!(tallies(&one).await, those(&[("github:ben", 3), ("github:cleo", 1)]));
    // A new part of a work that the person has a part in.
    let repeat = record(&other, &[part(9, "ben")]).await;
    assert_eq!((repeat[0].novelty, repeat[0].tally), (Novelty::Same, 3));
    let repeat = record(&one, &[part(9, "ben")]).await;
    assert_eq!((repeat[0].novelty, repeat[0].tally), (Novelty::Same, 3));
    // When the one that counts is taken back, the other one does.
    let reject = |second, rejected| Review {
        work: part(7, "ann").work(),
        part: Some(part(7, "ann").id),
        ruling: Ruling::Labels(Labels { at: at(second), rejected }),
        private: false,
    };
    one.review(&reject(1, true)).await.unwrap();
    assert_eq!(tally(&one, "github:ann").await, is("github:ben", 2, 0));
    one.review(&reject(2, false)).await.unwrap();
    assert_eq!(tally(&one, "github:ann").await, is("github:ben", 3, 0));
    one.unlink(&who("github:ann")).await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:ann", 3), ("github:ben", 2), ("github:cleo", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_account_takes_everything_along_in_every_process() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), issue("2", "mona", 7, 2), push("a", "mona", None)]).await;
    record(&other, &[issue("3", "mona", 7, 3), push("b", "mona", None)]).await;
    assert!(recognised(&one, &[recognition("github:mona", 3, at(1))], &[Destination::Local]).await[0]);
    let renamed = record(&one, &[issue("4", "monalisa", 7, 10)]).await;
    assert_eq!((renamed[0].novelty, renamed[0].tally, renamed[0].recognized), (Novelty::New, 6, 3));
    assert_eq!(renamed[0].counted_for, None);
    for store in [&one, &other] {
        assert_eq!(tallies(store).await, those(&[("github:monalisa", 6)]));
        assert_eq!(tally(store, "github:mona").await, is("github:monalisa", 6, 3));
        let accounts = store.accounts_of(&who("github:mona")).await.unwrap();
        assert_eq!(
            (accounts[0].id.as_str(), accounts[0].number, accounts[0].linked),
            ("github:mona", Some(7), false)
        );
        let made = [("github:mona:3".to_owned(), "github:monalisa".to_owned())];
        assert_eq!(recognitions(store, "github:monalisa").await, made);
    }
    // What the other process believes to be plain; an older statement; an old address.
    let late = [push("c", "mona", None), issue("5", "mona", 7, 5), push("d", "mona", Some(7))];
    for recorded in record(&other, &late).await {
        assert_eq!((recorded.novelty, recorded.counted_for), (Novelty::New, Some(who("github:monalisa"))));
    }
    assert_eq!(tallies(&one).await, those(&[("github:monalisa", 9)]));
    assert_eq!(one.unlink(&who("github:mona")).await.unwrap(), Unlinked::FormerName(who("github:monalisa")));
    assert_eq!(link(&one, "github:mona", "github:monalisa").await, Linked::Same(who("github:monalisa")));
    // And back.
    record(&other, &[issue("6", "mona", 7, 20)]).await;
    for store in [&one, &other] {
        assert_eq!(tallies(store).await, those(&[("github:mona", 10)]));
        assert_eq!(recognitions(store, "github:mona").await.len(), 1);
    }
    assert_eq!(record(&one, &[push("e", "monalisa", None)]).await[0].counted_for, Some(who("github:mona")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_by_hand_survives_a_rename() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), issue("2", "lin", 8, 1)]).await;
    link(&one, "github:mona", "github:lin").await;
    let renamed = record(&other, &[issue("3", "monalisa", 7, 10)]).await;
    assert_eq!((renamed[0].tally, &renamed[0].counted_for), (3, &Some(who("github:lin"))));
    assert_eq!(tallies(&one).await, those(&[("github:lin", 3)]));
    let accounts = one.accounts_of(&who("github:lin")).await.unwrap();
    let accounts: Vec<_> = accounts.iter().map(|one| (one.id.as_str(), one.linked)).collect();
    assert_eq!(accounts, [("github:mona", true), ("github:monalisa", true)]);
    one.unlink(&who("github:monalisa")).await.unwrap();
    assert_eq!(tallies(&other).await, those(&[("github:lin", 1), ("github:monalisa", 2)]));
    assert_eq!(record(&other, &[push("a", "mona", None)]).await[0].counted_for, Some(who("github:monalisa")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_only_addresses_state_is_credited_and_claimed_once_the_host_states_it() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    // Old addresses, before any statement: each stays with its name.
    let weak = [push("a", "mona", Some(7)), push("b", "mona", Some(7)), push("c", "old", Some(7))];
    for recorded in record(&one, &weak).await {
        assert_eq!((recorded.novelty, recorded.counted_for), (Novelty::New, None));
    }
    record(&other, &[push("d", "old", None), push("e", "old", Some(9)), push("f", "old", Some(7))]).await;
    assert_eq!(tallies(&one).await, those(&[("github:mona", 2), ("github:old", 4)]));
    let stated = record(&one, &[issue("1", "monalisa", 7, 1)]).await;
    assert_eq!((stated[0].tally, &stated[0].counted_for), (5, &None));
    let claimed = those(&[("github:monalisa", 5), ("github:old", 2)]);
    assert_eq!(tallies(&other).await, claimed);
    // From now on the number decides, in the process that has seen it unbound too.
    let later = [push("g", "mona", Some(7)), push("h", "old", Some(7)), push("i", "old", Some(9))];
    let later: Vec<_> = record(&other, &later).await.into_iter().map(|one| one.counted_for).collect();
    assert_eq!(later, [Some(who("github:monalisa")), Some(who("github:monalisa")), None]);
    // It renames nothing and binds nothing.
    assert_eq!(one.accounts_of(&who("github:monalisa")).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_a_login_that_another_account_takes_inherits_nothing() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), push("a", "mona", None)]).await;
    record(&one, &[issue("2", "monalisa", 7, 10)]).await;
    let taken = record(&other, &[issue("3", "mona", 9, 20)]).await;
    assert_eq!((taken[0].tally, &taken[0].counted_for), (1, &Some(who("github:9+mona"))));
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 1), ("github:monalisa", 3)]));
    // Without a number it is of the one that has had the login last; an address is of its number.
    let later = [push("b", "mona", None), push("c", "mona", Some(7)), push("d", "mona", Some(9))];
    let later = record(&one, &later).await;
    let counted_for: Vec<_> = later.iter().filter_map(|one| one.counted_for.clone()).collect();
    assert_eq!(counted_for, [who("github:9+mona"), who("github:monalisa"), who("github:9+mona")]);
    record(&one, &[issue("4", "mona", 7, 30)]).await;
    let back = record(&one, &[push("e", "mona", None)]).await;
    assert_eq!((back[0].tally, &back[0].counted_for), (6, &None));
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 3), ("github:mona", 6)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_forgotten_with_every_account() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), issue("2", "monalisa", 7, 10), push("a", "lin", None)]).await;
    record(&one, &[issue("3", "monalisa", 9, 20), issue("4", "monalisa", 7, 21), part(7, "lin")]).await;
    record(&other, &[push("b", "mona", None), push("c", "lin", None)]).await;
    link(&one, "github:lin", "github:mona").await;
    assert!(recognised(&one, &[recognition("github:monalisa", 3, at(1))], &[Destination::Local]).await[0]);
    let Forgot::Erased(erased) = other.forget(&who("github:lin")).await.unwrap() else { panic!() };
    assert_eq!((erased.contributions, erased.recognitions), (7, 1));
    for store in [&one, &other] {
        assert_eq!(tallies(store).await, those(&[("github:9+monalisa", 1)]));
        for login in ["mona", "monalisa", "lin"] {
            assert_eq!(tally(store, &format!("github:{login}")).await, None);
        }
        let again = [
            issue("1", "mona", 7, 1),
            issue("5", "another", 7, 50),
            push("d", "lin", None),
            push("e", "mona", None),
            part(7, "lin"),
        ];
        assert_eq!(novelties(&record(store, &again).await), [Novelty::Forgotten; 5]);
    }
    let Forgot::Erased(again) = one.forget(&who("github:mona")).await.unwrap() else { panic!() };
    assert_eq!(again.contributions, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_known_costs_one_commit_of_two_writes_and_no_read() {
    let Some(Ledger { other, proxy, .. }) = ledger().await else { return };
    record(&other, &[issue("1", "mona", 7, 1), push("a", "mona", None)]).await;
    record(&other, &[push("a", "weak", Some(8))]).await;
    proxy.take_calls();
    for (contribution, number) in
        [issue("2", "mona", 7, 2), push("b", "mona", None), push("c", "mona", Some(7))].map(|one| {
            let number = one.user_id.is_some();
            (one, number)
        })
    {
        record(&other, &[contribution]).await;
        let calls = proxy.take_calls();
        let rpcs: Vec<_> = calls.iter().map(|call| call.rpc.as_str()).collect();
        assert_eq!(rpcs, ["Commit"]);
        // And one for each name or number that may not be forgotten.
        assert_eq!(calls[0].writes(), 3 + usize::from(number));
    }
    record(&other, &[push("b", "weak", Some(8))]).await;
    let calls = proxy.take_calls();
    assert_eq!(calls.len(), 1, "a number that is bound to no name is checked by the commit");
}

/// A recognition that is under way while its contributor is linked to another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_under_way_while_its_account_is_linked_is_not_made_again() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    for (round, before) in [true, false].into_iter().enumerate() {
        let (ann, ben) = (format!("ann{round}"), format!("ben{round}"));
        count(&one, &ann, 3).await;
        count(&one, &ben, 1).await;
        let release = CancellationToken::new();
        let is_redirect = |call: &Call| call.rpc == "Commit";
        let made = recognition(&ann, 3, at(1));
        let made = std::slice::from_ref(&made);
        if before {
            // The decision was read, and the recognition comes before its commit.
            proxy.fault_where(|call: &Call| call.rpc == "RunQuery", Fault::HoldAnswer(release.clone()));
        } else {
            proxy.fault_where(is_redirect, Fault::HoldAnswer(release.clone()));
        }
        let meanwhile = async {
            proxy.faults_met(round + 1).await;
            let new = recognised(&one, made, &[Destination::Local]).await[0];
            release.cancel();
            new
        };
        let (linked_to, new) = tokio::join!(link(&other, &ann, &ben), meanwhile);
        assert_eq!(new, before);
        assert_eq!(linked(linked_to), (ben.clone(), 4, if before { 3 } else { 0 }));
        let owing = one.owing(&Milestones::parse("3").unwrap(), None, 9).await.unwrap();
        assert_eq!(owing.len(), usize::from(!before), "{owing:?}");
        assert_eq!(recognitions(&one, &ben).await.len(), usize::from(before));
    }
}

/// Has the call after `n` others refused. Returns how many there were.
pub fn refused_at(proxy: &Proxy, n: usize) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    proxy.fault_where(
        move |_| counted.fetch_add(1, Ordering::SeqCst) == n,
        Fault::Status(7, "the process ends here"),
    );
    calls
}

/// A process ends after each of its calls, and another one goes on by the next drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_cut_anywhere_is_completed_by_the_next_drain_or_the_same_call() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    let milestones = Milestones::parse("3").unwrap();
    after_each_call(10, async |n| {
        let name = |login: &str| format!("github:{login}{n}");
        let (ann, ben) = (name("ann"), name("ben"));
        let id = |id: &str| format!("{id}/{n}");
        let own = [push(&id("a"), &format!("ann{n}"), None), push(&id("b"), &format!("ann{n}"), None)];
        record(&one, &own).await;
        let number = u32::try_from(n).unwrap();
        record(&one, &[part(number, &format!("ann{n}")), push(&id("c"), &format!("ben{n}"), None)]).await;
        record(&one, &[part(number, &format!("ben{n}"))]).await;
        assert!(recognised(&one, &[recognition(&ann, 3, at(1))], &[Destination::Local]).await[0]);
        refused_at(&proxy, n);
        let failed = other.link(&who(&ann), &who(&ben)).await.is_err();
        proxy.always(None);
        // Nothing is ever owed again, and what arrives in between counts once.
        assert_eq!(one.owing(&milestones, None, 9).await.unwrap(), [], "after {n} calls");
        record(&one, &[push(&id("d"), &format!("ann{n}"), None)]).await;
        if n % 2 == 0 {
            one.move_late().await.unwrap();
            let is_linked = one.accounts_of(&who(&ben)).await.unwrap().len() == 1;
            if !is_linked {
                link(&one, &ann, &ben).await;
            }
        } else {
            link(&one, &ann, &ben).await;
        }
        assert_eq!(tally(&one, &ann).await, is(&ben, 5, 3), "after {n} calls");
        assert_eq!(recognitions(&one, &ben).await.len(), 1);
        refused_at(&proxy, n);
        let failed_apart = other.unlink(&who(&ann)).await.is_err();
        proxy.always(None);
        assert_eq!(one.owing(&milestones, None, 9).await.unwrap(), [], "after {n} calls");
        record(&one, &[push(&id("e"), &format!("ann{n}"), None)]).await;
        one.move_late().await.unwrap();
        one.unlink(&who(&ann)).await.unwrap();
        assert_eq!(tally(&one, &ann).await, is(&ann, 5, 3), "after {n} calls");
        assert_eq!(tally(&one, &ben).await, is(&ben, 2, 3), "after {n} calls");
        tallies(&one).await;
        failed || failed_apart
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_that_is_cut_anywhere_is_completed_by_the_same_delivery_and_the_next_drain() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(10, async |n| {
        let (old, new) = (format!("old{n}"), format!("new{n}"));
        let number = 1_000 + n as u64;
        let id = |id: &str| format!("{id}{n}");
        record(&one, &[issue(&id("1-"), &old, number, 1), push(&id("a"), &old, None)]).await;
        record(
            &one,
            &[push(&id("w"), &format!("weak{n}"), Some(number)), part(u32::try_from(n).unwrap(), &new)],
        )
        .await;
        let calls = refused_at(&proxy, n);
        let renaming = [issue(&id("2-"), &new, number, 10)];
        // What fails after the account is renamed fails no request.
        drop(other.record(&renaming, at(0)).await);
        proxy.always(None);
        record(&one, &renaming).await;
        one.move_late().await.unwrap();
        assert_eq!(
            tally(&one, &format!("github:{old}")).await,
            is(&format!("github:{new}"), 5, 0),
            "after {n} calls"
        );
        calls.load(Ordering::SeqCst) > n
    })
    .await;
    tallies(&one).await;
}

/// Three processes over one ledger.
struct Load {
    stores: Vec<Firestore>,
    milestones: Milestones,
    /// What was recognised, by its id.
    made: Mutex<Vec<String>>,
}

impl Load {
    fn store(&self, n: usize) -> &Firestore {
        &self.stores[n % self.stores.len()]
    }

    /// Records as a lane does, and recognises what is owed by then.
    async fn record(&self, n: usize, batch: &[Contribution]) {
        let store = self.store(n);
        let recorded = loop {
            match store.record(batch, at(0)).await {
                Ok(recorded) => break recorded,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        for (one, recorded) in batch.iter().zip(recorded) {
            let contributor = recorded.counted_for.unwrap_or_else(|| one.contributor.clone());
            let (tally, recognized) = (recorded.tally, recorded.recognized);
            self.recognise(n, &Standing { contributor, tally, recognized }).await;
        }
    }

    async fn recognise(&self, n: usize, standing: &Standing) {
        let made = owed(standing, &[], &self.milestones, at(1));
        if made.is_empty() {
            return;
        }
        match self.store(n).recognise(&made, &[Destination::Local]).await {
            Ok(made) => self.made.lock().unwrap().extend(made.new.into_iter().map(|one| one.id.to_string())),
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    /// As a drain does.
    async fn sweep(&self, n: usize) {
        drop(self.store(n).move_late().await);
        for standing in self.store(n).owing(&self.milestones, None, 100).await.unwrap() {
            self.recognise(n, &standing).await;
        }
    }

    async fn until_done<T>(&self, mut call: impl AsyncFnMut(&Firestore) -> Result<T, StoreError>) -> T {
        for n in 0.. {
            match call(self.store(n)).await {
                Ok(done) => return done,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        unreachable!()
    }
}

/// What an account contributes: issues that state its number from a time on, pushes with and without it, and parts of
/// pull requests that others have parts of too.
fn contributed(login: &str, number: u64, second: i64) -> Vec<Contribution> {
    let mut all = Vec::new();
    for n in 0..8_u32 {
        all.push(issue(&format!("{login}-{n}"), login, number, second + i64::from(n)));
        all.push(push(&format!("{login}-{n}-bare"), login, None));
        all.push(push(&format!("{login}-{n}-address"), login, Some(number)));
        all.push(part(1_000 + n, login));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_of_several_processes_tallies_are_exact_and_recognitions_are_made_once() {
    let Some(host) = emulators::firestore() else { return };
    let project = emulators::fresh_project();
    let mut stores = Vec::new();
    for _ in 0..3 {
        let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
        stores.push(store.with_forget_key(ForgetKey::new(KEY)).await.unwrap());
    }
    let milestones = Milestones::parse("3,10,25,40").unwrap();
    let load = &Load { stores, milestones, made: Mutex::default() };
    let people = [
        ("plain", 100, 0),
        ("ann", 101, 0),
        ("ben", 102, 0),
        ("cleo", 103, 0),
        ("dora", 104, 0),
        ("old", 105, 0),
        ("new", 105, 1_000),
        ("emil", 106, 0),
        ("fritz", 107, 0),
    ];
    let mut all: Vec<_> =
        people.iter().flat_map(|(login, number, second)| contributed(login, *number, *second)).collect();
    let mut random = StdRng::seed_from_u64(7);
    all.shuffle(&mut random);
    // Every contribution arrives twice.
    let again: Vec<_> = all.iter().step_by(2).cloned().collect();
    let deliveries: Vec<_> = all.iter().cloned().chain(again).collect();
    let recording = async {
        let batches = deliveries.chunks(3).enumerate();
        let recordings: Vec<_> = batches.map(|(n, batch)| load.record(n, batch)).collect();
        stream::iter(recordings).buffer_unordered(6).collect::<Vec<_>>().await;
    };
    let id = |login: &str| who(&format!("github:{login}"));
    let deciding = async {
        for round in 0..3 {
            load.until_done(async |store| store.link(&id("ann"), &id("ben")).await).await;
            load.until_done(async |store| store.link(&id("cleo"), &id("dora")).await).await;
            load.sweep(round).await;
            load.until_done(async |store| store.unlink(&id("cleo")).await).await;
            if round < 2 {
                load.until_done(async |store| store.unlink(&id("ann")).await).await;
            }
            if round == 1 {
                load.until_done(async |store| store.link(&id("emil"), &id("fritz")).await).await;
                load.until_done(async |store| store.forget(&id("emil")).await).await;
            }
        }
    };
    tokio::join!(recording, deciding);
    for (n, batch) in all.chunks(50).enumerate() {
        load.record(n, batch).await;
    }
    for n in 0..3 {
        load.sweep(n).await;
    }
    assert_eq!(load.store(0).owing(&load.milestones, None, 9).await.unwrap(), []);
    let expected = [("ben", 56), ("cleo", 32), ("dora", 32), ("new", 56), ("plain", 32)];
    let expected: Vec<_> =
        expected.iter().map(|(login, tally)| (format!("github:{login}"), *tally)).collect();
    assert_eq!(tallies(load.store(0)).await, expected);
    let made = load.made.lock().unwrap().clone();
    let distinct: BTreeSet<_> = made.iter().collect();
    assert_eq!(distinct.len(), made.len(), "{made:?}");
    // Alone, nobody has 40.
    for login in ["ann", "cleo", "plain", "old", "emil"] {
        assert!(!distinct.contains(&format!("github:{login}:40")), "{made:?}");
    }
    for login in ["ben", "new", "plain"] {
        let reached = recognitions(load.store(0), &format!("github:{login}")).await;
        let milestones: BTreeSet<_> = reached.iter().map(|(id, _)| id.rsplit(':').next().unwrap()).collect();
        assert!(milestones.contains("25"), "{login}: {reached:?}");
    }
}

/// Both were found to be owed the same milestone, and one of the two had it when they became one contributor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_milestone_that_an_account_brought_is_not_recognised_again_for_its_contributor() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    count(&one, "ann", 3).await;
    count(&one, "ben", 3).await;
    assert!(recognised(&one, &[recognition("ann", 3, at(1))], &[Destination::Local]).await[0]);
    link(&one, "ann", "ben").await;
    let late = [recognition("ann", 3, at(2)), recognition("ben", 3, at(2)), recognition("ben", 5, at(2))];
    assert_eq!(recognised(&other, &late, &[Destination::Local]).await, [false, false, true]);
    assert_eq!(recognised(&one, &late, &[Destination::Local]).await, [false; 3]);
    assert_eq!(tally(&one, "ben").await, is("ben", 6, 5));
}

pub async fn database(ledger: &Ledger) -> FirestoreDb {
    let options = FirestoreDbOptions::new(ledger.project.clone())
        .with_firebase_api_url(format!("http://{}", emulators::firestore().unwrap()));
    FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await.unwrap()
}

/// Takes away what is written of accounts, as where the version before wrote the ledger, and returns it.
pub async fn take_accounts(ledger: &Ledger) -> Vec<FirestoreDocument> {
    let db = database(ledger).await;
    let documents = db.fluent().select().from("accounts").query().await.unwrap();
    for document in &documents {
        let id = document.name.rsplit('/').next().unwrap();
        db.fluent().delete().from("accounts").document_id(id).execute().await.unwrap();
    }
    documents
}

pub async fn give_accounts_back(ledger: &Ledger, documents: Vec<FirestoreDocument>) {
    let db = database(ledger).await;
    for FirestoreDocument { name, fields, .. } in documents {
        let id = name.rsplit('/').next().unwrap();
        let document = FirestoreDocument { fields, ..FirestoreDocument::default() };
        db.fluent().insert().into("accounts").document_id(id).document(document).execute().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_issues_of_one_author_bind_the_number_by_one_commit() {
    let Some(Ledger { other, proxy, .. }) = ledger().await else { return };
    let burst: Vec<_> = (1..=20).map(|n| issue(&n.to_string(), "mona", 7, n)).collect();
    let recorded = record(&other, &burst).await;
    assert_eq!(recorded.last().map(|one| (one.novelty, one.tally)), Some((Novelty::New, 20)));
    // The number is bound, its claim is done, and the contributions are recorded.
    let commits = proxy.take_calls().iter().filter(|call| call.rpc == "Commit").count();
    assert_eq!(commits, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_leaves_something_brings_the_milestones_of_what_it_takes() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    let weak: Vec<_> = ["a", "b", "c"].into_iter().map(|id| push(id, "mona", Some(9))).collect();
    record(&one, &weak).await;
    record(&one, &["d", "e", "f"].map(|id| push(id, "mona", None))).await;
    for milestone in [3, 5] {
        let made = [recognition("github:mona", milestone, at(1))];
        assert_eq!(recognised(&one, &made, &[Destination::Local]).await, [true]);
    }
    record(&other, &[issue("1", "monalisa", 9, 10)]).await;
    assert_eq!(tallies(&one).await, those(&[("github:mona", 3), ("github:monalisa", 4)]));
    // At most what three contributions can have reached.
    assert_eq!(tally(&one, "github:monalisa").await, is("github:monalisa", 4, 3));
    assert_eq!(one.owing(&Milestones::parse("3").unwrap(), None, 9).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_number_brought_before_numbers_were_kept_is_claimed_once_it_is_stated() {
    let Some(ledger) = ledger().await else { return };
    record(&ledger.one, &[issue("1", "mona", 7, 1), issue("2", "mona", 7, 2), push("a", "mona", None)]).await;
    take_accounts(&ledger).await;
    record(&ledger.other, &[issue("3", "monalisa", 7, 10)]).await;
    assert_eq!(tallies(&ledger.one).await, those(&[("github:mona", 1), ("github:monalisa", 3)]));
}

/// What a process is asked to record again says nothing of who has the login by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_does_not_let_a_login_count_for_an_account_that_had_it_before() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    for (place, repeat) in [push("a", "mona0", None), part(7, "mona1")].into_iter().enumerate() {
        let (login, number) = (format!("mona{place}"), 70 + place as u64);
        record(&one, &[issue(&format!("{place}1"), &login, number, 1), repeat.clone()]).await;
        record(&one, &[issue(&format!("{place}2"), &login, number + 20, 20)]).await;
        assert_eq!(novelties(&record(&other, &[repeat]).await), [Novelty::Same]);
        let late = record(&other, &[push("late", &login, None)]).await;
        assert_eq!(late[0].counted_for, Some(who(&format!("github:{}+{login}", number + 20))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_an_address_is_not_counted_for_a_name_that_was_bound_to_another_meanwhile() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&other, &[push("a", "mona", Some(9))]).await;
    record(&other, &[push("b", "mona", Some(9))]).await;
    record(&one, &[issue("1", "mona", 7, 1)]).await;
    // The other process has seen the number and the name free.
    let late = record(&other, &[push("c", "mona", Some(9))]).await;
    assert_eq!(late[0].counted_for, Some(who("github:9+mona")));
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 3), ("github:mona", 1)]));
}

/// A process stops for a while between what it read and what it writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_slept_while_the_link_was_undone_moves_nothing_back() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    count(&one, "ann", 3).await;
    count(&one, "ben", 1).await;
    assert!(recognised(&one, &[recognition("ann", 3, at(1))], &[Destination::Local]).await[0]);
    let release = CancellationToken::new();
    let is_decided = AtomicUsize::new(0);
    // What the move reads first after the link is committed.
    let is_move = move |call: &Call| {
        let before = is_decided.load(Ordering::SeqCst);
        is_decided.fetch_add(usize::from(call.rpc == "Commit"), Ordering::SeqCst);
        before > 0 && call.rpc == "BatchGetDocuments"
    };
    proxy.fault_where(is_move, Fault::HoldAnswer(release.clone()));
    let meanwhile = async {
        proxy.faults_met(1).await;
        let apart = one.unlink(&who("ann")).await.unwrap();
        assert!(matches!(apart, Unlinked::Apart { .. }), "{apart:?}");
        release.cancel();
    };
    tokio::join!(link(&other, "ann", "ben"), meanwhile);
    assert_eq!(tallies(&one).await, those(&[("ann", 3), ("ben", 1)]));
    assert_eq!(recognitions(&one, "ann").await, [("ann:3".to_owned(), "ann".to_owned())]);
}

/// Takes `step` with each number of calls after which something is interrupted, until it returns that nothing was: there
/// were no more calls, but more than `least`.
pub async fn after_each_call(least: usize, mut step: impl AsyncFnMut(usize) -> bool) {
    let mut calls = 0;
    while step(calls).await {
        calls += 1;
    }
    assert!(calls > least, "{calls}");
}

/// Has the process of `call` end after `n` calls and the next one. Returns whether there were as many.
pub async fn killed_at<T>(proxy: &Proxy, n: usize, call: impl Future<Output = T>) -> bool {
    let end = async { proxy.always(Some(Fault::Status(7, "the process ends here"))) };
    held_at(proxy, n, call, end).await
}

/// Holds back the answer to the call after `n` others of `call`, and has `meanwhile` done then. Returns whether there
/// were as many.
pub async fn held_at<T>(
    proxy: &Proxy,
    n: usize,
    call: impl Future<Output = T>,
    meanwhile: impl Future<Output = ()>,
) -> bool {
    let (release, ended) = (CancellationToken::new(), CancellationToken::new());
    let (calls, met) = (AtomicUsize::new(0), proxy.met());
    proxy.fault_where(move |_| calls.fetch_add(1, Ordering::SeqCst) == n, Fault::HoldAnswer(release.clone()));
    let call = async {
        call.await;
        ended.cancel();
    };
    let meanwhile = async {
        tokio::select! {
            () = proxy.faults_met(met + 1) => meanwhile.await,
            () = ended.cancelled() => {}
        }
        release.cancel();
    };
    tokio::join!(call, meanwhile);
    proxy.always(None);
    proxy.met() > met
}

/// A milestone is recognised between any two calls of a claim: the claimer is not owed it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recognised_while_it_is_claimed_is_not_recognised_again() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(8, async |n| {
        let (mona, lisa, number) = (format!("mona{n}"), format!("lisa{n}"), 1_000 + n as u64);
        let weak = |id: &str| push(&format!("{id}{n}"), &mona, Some(number));
        record(&one, &[weak("a"), weak("b"), weak("c"), push(&format!("d{n}"), &mona, None)]).await;
        let made = AtomicUsize::new(0);
        let recognise = async {
            let milestone = [recognition(&format!("github:{mona}"), 3, at(1))];
            let new = recognised(&one, &milestone, &[Destination::Local]).await[0];
            made.fetch_add(usize::from(new), Ordering::SeqCst);
        };
        let stated = [issue(&n.to_string(), &lisa, number, 10)];
        let is_met = held_at(&proxy, n, other.record(&stated, at(0)), recognise).await;
        one.move_late().await.unwrap();
        assert_eq!(tally(&one, &format!("github:{lisa}")).await.unwrap().1, 4);
        made.fetch_add(recognise_owed(&one, "3").await, Ordering::SeqCst);
        assert_eq!(made.load(Ordering::SeqCst), 1, "after {n} calls");
        is_met
    })
    .await;
}

/// The same between any two calls of the end of a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recognised_while_a_link_ends_is_not_recognised_again() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(8, async |n| {
        let (ann, ben) = (format!("ann{n}"), format!("ben{n}"));
        count(&one, &ann, 3).await;
        count(&one, &ben, 1).await;
        link(&one, &ann, &ben).await;
        let made = AtomicUsize::new(0);
        let recognise = async {
            let new = recognised(&one, &[recognition(&ben, 3, at(1))], &[Destination::Local]).await[0];
            made.fetch_add(usize::from(new), Ordering::SeqCst);
        };
        let account = who(&ann);
        let is_met = held_at(&proxy, n, other.unlink(&account), recognise).await;
        one.move_late().await.unwrap();
        assert_eq!(tally(&one, &ann).await.unwrap().1, 3);
        made.fetch_add(recognise_owed(&one, "3").await, Ordering::SeqCst);
        assert_eq!(made.load(Ordering::SeqCst), 1, "after {n} calls");
        is_met
    })
    .await;
}

/// Makes what is owed, and returns how many recognitions that were.
pub async fn recognise_owed(store: &dyn Store, milestones: &str) -> usize {
    let milestones = Milestones::parse(milestones).unwrap();
    let mut made = Vec::new();
    for standing in store.owing(&milestones, None, 100).await.unwrap() {
        made.extend(owed(&standing, &[], &milestones, at(9)));
    }
    recognised(store, &made, &[Destination::Local]).await.into_iter().filter(|new| *new).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_does_not_wait_for_a_long_claim_and_nothing_is_recognised_twice_until_it_is_done() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    let weak: Vec<_> = (0..120).map(|n| push(&n.to_string(), "mona", Some(9))).collect();
    for part in weak.chunks(60) {
        record(&one, part).await;
    }
    assert_eq!(recognise_owed(&one, "3,100").await, 2);
    proxy.take_calls();
    let stated: Vec<_> = (1..=3).map(|n| issue(&n.to_string(), "monalisa", 9, n)).collect();
    assert_eq!(record(&other, &stated).await[2].tally, 3);
    let calls = proxy.take_calls();
    let documents: usize = calls.iter().filter_map(Call::documents).sum();
    assert!(documents <= 100, "{documents} documents were read");
    assert_eq!(tally(&one, "github:mona").await, is("github:mona", 120, 100));
    // Its own contributions reach what has been recognised of those that it claims.
    assert_eq!(recognise_owed(&one, "3,100").await, 0);
    one.move_late().await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:monalisa", 123)]));
    assert_eq!(tally(&one, "github:monalisa").await, is("github:monalisa", 123, 100));
    assert_eq!(recognise_owed(&one, "3,100,123").await, 1);
}

/// A version that knows nothing of accounts records for a linked one, in a rolling deployment or after a rollback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_version_records_for_a_linked_account_counts_for_its_contributor_after_a_sweep() {
    let Some(ledger) = ledger().await else { return };
    count(&ledger.one, "ann", 2).await;
    count(&ledger.one, "ben", 1).await;
    link(&ledger.one, "ann", "ben").await;
    let older = async |id: &str| {
        let accounts = take_accounts(&ledger).await;
        let host = emulators::firestore().unwrap();
        let older = Firestore::open_emulator(host, &ledger.project, "(default)", PATIENT).await.unwrap();
        record(&older, &[done(id, "ann")]).await;
        give_accounts_back(&ledger, accounts).await;
    };
    older("late").await;
    ledger.one.move_late().await.unwrap();
    assert_eq!(tallies(&ledger.one).await, those(&[("ben", 4)]));
    older("later").await;
    assert_eq!(linked(link(&ledger.one, "ann", "ben").await), ("ben".into(), 5, 0), "or by the same link");
    assert_eq!(tallies(&ledger.one).await, those(&[("ben", 5)]));
}

/// The number is bound after the names and numbers of the person were read, and before they are remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_bound_while_its_name_is_forgotten_is_forgotten_too() {
    let Some(Ledger { one, other, proxy, project }) = ledger().await else { return };
    record(&one, &[push("a", "mona", None)]).await;
    let way = Proxy::start(emulators::firestore().unwrap()).await;
    let forgetting = Firestore::open_emulator(&way.host, &project, "(default)", PATIENT).await.unwrap();
    let forgetting = forgetting.with_forget_key(ForgetKey::new(KEY)).await.unwrap();
    let (is_bound, is_forgotten) = (CancellationToken::new(), CancellationToken::new());
    let calls = AtomicUsize::new(0);
    // The key, the account, its followers, and the contributor's account.
    let is_read = move |_: &Call| calls.fetch_add(1, Ordering::SeqCst) == 3;
    way.fault_where(is_read, Fault::HoldAnswer(is_bound.clone()));
    proxy.fault("Commit", Fault::HoldAnswer(is_forgotten.clone()));
    let binding = async {
        way.faults_met(1).await;
        record(&other, &[issue("1", "mona", 7, 1)]).await
    };
    let between = async {
        proxy.faults_met(1).await;
        is_bound.cancel();
    };
    let forgetting = async {
        let forgot = forgetting.forget(&who("github:mona")).await.unwrap();
        is_forgotten.cancel();
        forgot
    };
    let (recorded, (), forgot) = tokio::join!(binding, between, forgetting);
    assert!(matches!(forgot, Forgot::Erased(_)), "{forgot:?}");
    assert_eq!(novelties(&recorded), [Novelty::Forgotten]);
    assert_eq!(novelties(&record(&one, &[issue("2", "lisa", 7, 2)]).await), [Novelty::Forgotten]);
}

/// Three milestones' worth under a login by addresses, all recognised, and more than a delivery can wait for.
async fn weak_and_recognised(store: &Firestore) {
    let weak: Vec<_> = (0..120).map(|n| push(&n.to_string(), "mona", Some(9))).collect();
    for part in weak.chunks(60) {
        record(store, part).await;
    }
    assert_eq!(recognise_owed(store, "3,100").await, 2);
}

fn three_issues() -> Vec<Contribution> {
    (1..=3).map(|n| issue(&n.to_string(), "monalisa", 9, n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_name_that_addresses_brought_is_given_to_no_third_after_its_account_is_forgotten() {
    let Some(ledger) = ledger().await else { return };
    let (one, other) = (&ledger.one, &ledger.other);
    let weak: Vec<_> = ["a", "b", "c"].into_iter().map(|id| push(id, "victim", Some(66))).collect();
    record(one, &weak).await;
    assert_eq!(recognise_owed(one, "3").await, 1);
    record(one, &[issue("1", "evil", 66, 10)]).await;
    assert!(matches!(one.forget(&who("github:evil")).await.unwrap(), Forgot::Erased(_)));
    for document in database(&ledger).await.fluent().select().from("accounts").query().await.unwrap() {
        let document: FirestoreDocument = document;
        let text = format!("{document:?}");
        assert!(!text.contains("evil") && !text.contains("IntegerValue(66)"), "{text}");
    }
    let recorded = record(other, &[issue("2", "victim", 7, 20)]).await;
    assert_eq!(recorded[0].counted_for, Some(who("github:7+victim")));
    assert_eq!(tallies(one).await, those(&[("github:7+victim", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_keeps_no_claim_back() {
    let Some(ledger) = ledger().await else { return };
    let Ledger { one, other, .. } = &ledger;
    count(one, "ann", 1).await;
    link(one, "ann", "ben").await;
    weak_and_recognised(one).await;
    record(other, &three_issues()).await;
    // A contribution of the claim, and an account's document in `contributors` where there should be none.
    let db = database(&ledger).await;
    let spoil = async |collection: &str, id: &str, field: &str| {
        let spoilt = serde_json::json!({ field: "No Kind!" });
        let update = db.fluent().update().fields([field]).in_col(collection).document_id(id);
        update.object(&spoilt).execute::<serde_json::Value>().await.unwrap();
    };
    spoil("contributions", "github:1:push:7:mona", "kind").await;
    spoil("contributors", "ann", "first_at").await;
    assert!(matches!(one.move_late().await, Err(StoreError::Broken(_))));
    assert_eq!(tally(one, "github:monalisa").await, is("github:monalisa", 122, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_gets_no_answer_keeps_no_other_back_and_lets_nothing_be_recognised_twice() {
    let Some(Ledger { one, proxy, project, .. }) = ledger().await else { return };
    let patience = Patience { call: Duration::from_secs(9), total: Duration::from_secs(9) };
    let other = Firestore::open_emulator(&proxy.host, &project, "(default)", patience).await.unwrap();
    let people = [("ann", "anna", 21), ("ben", "benno", 22)];
    let mut stated = Vec::new();
    for (before, login, number) in people {
        let weak = ["a", "b", "c"].map(|id| push(id, before, Some(number)));
        record(&one, &weak).await;
        stated.extend((0..3).map(|n| issue(&format!("{login}-{n}"), login, number, n)));
    }
    assert_eq!(recognise_owed(&one, "3").await, 2);
    proxy.fault("RunQuery", Fault::Hang);
    record(&other, &stated).await;
    let claimed = tallies(&one).await.into_iter().filter(|(_, tally)| *tally == 6).count();
    assert_eq!(claimed, 1);
    assert_eq!(recognise_owed(&one, "3").await, 0);
    one.move_late().await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:anna", 6), ("github:benno", 6)]));
    assert_eq!(recognise_owed(&one, "3").await, 0);
}

/// The number's name is stated again between the read of the number and the commit that puts its claim off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_put_off_though_its_number_changes_meanwhile() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    weak_and_recognised(&one).await;
    let release = CancellationToken::new();
    proxy.fault("RunQuery", Fault::HoldAnswer(release.clone()));
    let meanwhile = async {
        proxy.faults_met(1).await;
        record(&one, &[issue("4", "monalisa", 9, 50)]).await;
        release.cancel();
    };
    let stated = three_issues();
    tokio::join!(record(&other, &stated), meanwhile);
    assert_eq!(tally(&one, "github:monalisa").await.unwrap().1, 4);
    assert_eq!(recognise_owed(&one, "3").await, 0);
    one.move_late().await.unwrap();
    assert_eq!(tally(&one, "github:monalisa").await, is("github:monalisa", 124, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_seen_at_the_contributor_that_its_account_is_linked_to() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    weak_and_recognised(&one).await;
    record(&other, &three_issues()).await;
    assert_eq!(linked(link(&one, "github:monalisa", "ben").await), ("ben".into(), 3, 0));
    assert_eq!(recognise_owed(&other, "3").await, 0);
    assert!(matches!(one.unlink(&who("github:monalisa")).await.unwrap(), Unlinked::Apart { .. }));
    assert_eq!(recognise_owed(&other, "3").await, 0);
    link(&one, "github:monalisa", "ben").await;
    one.move_late().await.unwrap();
    assert_eq!(tally(&one, "ben").await, is("ben", 123, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_waits_is_done_before_its_account_is_forgotten() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    weak_and_recognised(&one).await;
    record(&one, &[push("own", "mona", None)]).await;
    record(&other, &three_issues()).await;
    let Forgot::Erased(erased) = one.forget(&who("github:monalisa")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 123);
    assert_eq!(tallies(&one).await, those(&[("github:mona", 1)]));
}

/// The number is bound, and what another one brought under its name is not moved yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_an_account_erases_nothing_that_is_another_numbers() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    weak_and_recognised(&one).await;
    record(&other, &[issue("1", "mona", 7, 1)]).await;
    assert_eq!(tallies(&one).await, those(&[("github:mona", 121)]));
    let Forgot::Erased(erased) = one.forget(&who("github:mona")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 1);
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 120)]));
}

/// A review has left a mark of the present account's part, and a long read a bookmark of its repository.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_a_person_keeps_what_is_of_the_account_that_has_a_login_of_theirs_now() {
    let Some(Ledger { one, proxy: _proxy, .. }) = ledger().await else { return };
    let stated = [issue("1", "mona", 7, 1), issue("2", "monalisa", 7, 2), issue("3", "mona", 9, 3)];
    for stated in stated {
        record(&one, &[stated]).await;
    }
    let late = part(7, "mona");
    let rejected = Review {
        work: late.work(),
        part: Some(late.id.clone()),
        ruling: Ruling::Labels(Labels { at: at(9), rejected: true }),
        private: false,
    };
    one.review(&rejected).await.unwrap();
    one.set_bookmark("github:mona/app", "1").await.unwrap();
    one.set_bookmark("github:monalisa/app", "1").await.unwrap();
    assert!(matches!(one.forget(&who("github:monalisa")).await.unwrap(), Forgot::Erased(_)));
    assert_eq!(one.bookmark("github:monalisa/app").await.unwrap(), None);
    assert_eq!(one.bookmark("github:mona/app").await.unwrap().as_deref(), Some("1"));
    record(&one, &[Contribution { user_id: Some(9), ..late }]).await;
    assert_eq!(tally(&one, "github:9+mona").await, is("github:9+mona", 1, 0), "it was rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_undone_though_an_older_version_recorded_for_the_account() {
    let Some(ledger) = ledger().await else { return };
    let one = &ledger.one;
    count(one, "ann", 2).await;
    count(one, "ben", 1).await;
    link(one, "ann", "ben").await;
    record(one, &[issue("1", "mona", 7, 1)]).await;
    record(one, &[issue("2", "monalisa", 7, 2)]).await;
    let accounts = take_accounts(&ledger).await;
    let host = emulators::firestore().unwrap();
    let older = Firestore::open_emulator(host, &ledger.project, "(default)", PATIENT).await.unwrap();
    record(&older, &[done("late", "ann"), push("late", "mona", None)]).await;
    give_accounts_back(&ledger, accounts).await;
    let apart = one.unlink(&who("ann")).await.unwrap();
    assert!(matches!(apart, Unlinked::Apart { .. }), "{apart:?}");
    assert_eq!(link(one, "github:mona", "github:monalisa").await, Linked::Same(who("github:monalisa")));
    assert_eq!(tallies(one).await, those(&[("ann", 3), ("ben", 1), ("github:monalisa", 3)]));
}
