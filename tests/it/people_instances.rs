//! What several instances over one Firestore know of accounts: what that costs, and what races leave behind.

use std::sync::atomic::{AtomicUsize, Ordering};

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions, FirestoreDocument};
use futures::stream::{self, StreamExt as _};
use plaudit::domain::{Contribution, ContributorId, Destination, Milestones, Standing, owed};
use plaudit::store::firestore::Firestore;
use plaudit::store::{ForgetKey, Forgot, Linked, Novelty, Store, Unlinked};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::people_firestore::{
    KEY, Ledger, after_each_call, database, give_accounts_back, held_at, is, issue, killed_at, ledger, link,
    novelties, push, recognise_owed, recognitions, record, refused_at, take_accounts, tallies, tally, those,
};
use crate::store::{at, count, done, recognised, who};
use crate::support::emulators::{self, PATIENT};
use crate::support::h2proxy::{Call, Fault, Proxy};
use crate::support::in_the_end;

fn rpcs(proxy: &Proxy) -> Vec<String> {
    proxy.take_calls().into_iter().map(|call| call.rpc).collect()
}

async fn counted_for(store: &dyn Store, one: Contribution) -> Option<ContributorId> {
    let recorded = record(store, &[one]).await.remove(0);
    assert_eq!(recorded.novelty, Novelty::New);
    recorded.counted_for
}

/// The login alone names the account that is being forgotten, and the guard must name that account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_under_a_shared_login_while_its_account_is_forgotten_is_forgotten_too() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), issue("2", "mona", 9, 20), push("a", "mona", None)]).await;
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 2), ("github:mona", 1)]));
    // Its contributions are erased, and its contributor is not yet.
    let release = CancellationToken::new();
    let is_of_bookmarks = |call: &Call| call.rpc == "RunQuery" && call.mentions("bookmarks");
    proxy.fault_where(is_of_bookmarks, Fault::HoldAnswer(release.clone()));
    let meanwhile = async {
        proxy.faults_met(1).await;
        let recorded = record(&one, &[push("b", "mona", None)]).await;
        release.cancel();
        recorded
    };
    let nine = who("github:9+mona");
    let (forgot, recorded) = tokio::join!(other.forget(&nine), meanwhile);
    assert!(matches!(forgot.unwrap(), Forgot::Erased(erased) if erased.contributions == 2));
    assert_eq!(recorded[0].novelty, Novelty::Forgotten);
    for store in [&one, &other] {
        assert_eq!(record(store, &[push("b", "mona", None)]).await[0].novelty, Novelty::Forgotten);
        assert_eq!(store.contribution(&push("b", "mona", None).id).await.unwrap(), None);
        assert_eq!(tallies(store).await, those(&[("github:mona", 1)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contributor_may_have_any_number_of_accounts() {
    let Some(host) = emulators::firestore() else { return };
    let project = emulators::fresh_project();
    let proxy = Proxy::start(host).await;
    let store = Firestore::open_emulator(&proxy.host, &project, "(default)", PATIENT).await.unwrap();
    let store = store.with_forget_key(ForgetKey::new(KEY)).await.unwrap();
    let mut options = FirestoreDbOptions::new(project);
    options.firebase_api_url = Some(format!("http://{host}"));
    let db = FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await.unwrap();
    // As `link` writes each of them.
    let writing = stream::iter(0..250).map(|n| {
        let db = &db;
        async move {
            let id = format!("account-{n}");
            let fields = json!({
                "id": id, "target": "ann", "linked": true, "moving": false, "recognized": 0, "commit": "",
            });
            let write = db.fluent().update().in_col("accounts").document_id(&id).object(&fields);
            write.execute::<serde_json::Value>().await.unwrap();
        }
    });
    writing.buffer_unordered(16).collect::<Vec<()>>().await;
    assert_eq!(store.accounts_of(&who("ann")).await.unwrap().len(), 250);
    let linked = store.link(&who("ann"), &who("ben")).await.unwrap();
    assert!(matches!(linked, Linked::To(_)), "{linked:?}");
    assert_eq!(store.accounts_of(&who("ben")).await.unwrap().len(), 251);
    let late = |n: u32| done(&format!("late-{n}"), &format!("account-{n}"));
    for n in [0, 249] {
        assert_eq!(counted_for(&store, late(n)).await, Some(who("ben")));
    }
    rpcs(&proxy);
    assert!(matches!(store.forget(&who("ben")).await.unwrap(), Forgot::Erased(_)));
    // The accounts are not read one by one: all of these calls are made before anything is erased.
    let reads = rpcs(&proxy).into_iter().filter(|rpc| rpc == "BatchGetDocuments").count();
    assert!(reads < 20, "{reads}");
    for n in 0..250 {
        assert_eq!(record(&store, &[late(n)]).await[0].novelty, Novelty::Forgotten, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_name_that_counts_for_another_contributor_costs_one_commit_until_that_changes() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), issue("2", "monalisa", 7, 10)]).await;
    record(&one, &[issue("3", "lin", 8, 1), issue("4", "ada", 10, 1), issue("5", "kim", 11, 1)]).await;
    record(&one, &[issue("6", "kim", 12, 20)]).await;
    one.link(&who("github:lin"), &who("github:ada")).await.unwrap();
    let (lisa, ada, kim) = (who("github:monalisa"), who("github:ada"), who("github:12+kim"));
    for (name, login, number, expected) in [
        ("a former name", "mona", None, &lisa),
        ("the number under a former name", "mona", Some(7), &lisa),
        ("a linked account", "lin", None, &ada),
        ("the number of a linked account", "lin", Some(8), &ada),
        ("a login that another account has taken", "kim", None, &kim),
        ("the number of who has taken it", "kim", Some(12), &kim),
    ] {
        let id = |n: u32| format!("{login}-{}-{n}", number.unwrap_or_default());
        assert_eq!(counted_for(&other, push(&id(0), login, number)).await.as_ref(), Some(expected));
        rpcs(&proxy);
        for n in 1..3 {
            let counted_for = counted_for(&other, push(&id(n), login, number)).await;
            assert_eq!(
                (counted_for.as_ref(), rpcs(&proxy)),
                (Some(expected), vec!["Commit".into()]),
                "{name}"
            );
        }
    }
    assert_eq!(counted_for(&other, issue("10", "lin", 8, 30)).await.as_ref(), Some(&ada));
    rpcs(&proxy);
    assert_eq!(counted_for(&other, issue("11", "lin", 8, 31)).await.as_ref(), Some(&ada));
    assert_eq!(rpcs(&proxy), ["Commit"], "a statement of a linked account");
    // In another instance, each changes.
    one.unlink(&who("github:lin")).await.unwrap();
    record(&one, &[issue("12", "kim", 11, 40), issue("13", "mona", 7, 40)]).await;
    for (n, (login, number)) in
        [("mona", None), ("mona", Some(7)), ("lin", None), ("lin", Some(8)), ("kim", None)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(counted_for(&other, push(&format!("late-{n}"), login, number)).await, None, "{login}");
    }
    let taken = counted_for(&other, push("late", "kim", Some(12))).await;
    assert_eq!((taken, counted_for(&other, issue("14", "lin", 8, 50)).await), (Some(kim), None));
    let expected =
        [("github:12+kim", 8), ("github:ada", 1), ("github:kim", 3), ("github:lin", 12), ("github:mona", 11)];
    assert_eq!(tallies(&one).await, those(&expected));
}

/// What moves to the account is looked for while the account is read anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_statement_of_a_number_waits_for_no_more_calls_in_a_row_than_it_must() {
    let Some(Ledger { one: _, other, proxy, .. }) = ledger().await else { return };
    let release = CancellationToken::new();
    proxy.fault("RunQuery", Fault::HoldAnswer(release.clone()));
    let first = [issue("1", "mona", 7, 1)];
    let meanwhile = async {
        proxy.faults_met(1).await;
        let mut seen = Vec::new();
        let reading = async {
            let all = ["/documents/forgotten/", "/documents/accounts/", "/documents/contributors/"];
            // After the look at the number that is to be moved to.
            while !all.iter().all(|read| {
                let calls = seen.iter().skip_while(|call: &&Call| call.rpc != "Commit");
                calls.filter(|call| call.rpc == "BatchGetDocuments").any(|call| call.mentions(read))
            }) {
                seen.extend(proxy.take_calls());
                tokio::task::yield_now().await;
            }
        };
        in_the_end("reads beside the query", reading).await;
        release.cancel();
        seen.len()
    };
    let (recorded, before) = tokio::join!(other.record(&first, at(0)), meanwhile);
    assert_eq!((recorded.unwrap()[0].novelty, recorded_calls(&proxy, before)), (Novelty::New, 10));
    record(&other, &[issue("2", "mona", 7, 2)]).await;
    assert_eq!(rpcs(&proxy), ["Commit"]);
}

fn recorded_calls(proxy: &Proxy, before: usize) -> usize {
    before + proxy.take_calls().len()
}

/// An issue on GitLab, which gives numbers of its own.
fn on_gitlab(id: &str, login: &str, number: u64) -> Contribution {
    let id = format!("gitlab:1:issue:{id}");
    Contribution { user_id: Some(number), ..done(&id, &format!("gitlab:{login}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgetting_a_person_forgets_nobody_who_has_their_number_on_another_host() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[issue("1", "mona", 7, 1), on_gitlab("1", "mona", 55)]).await;
    link(&one, "gitlab:mona", "github:mona").await;
    assert!(matches!(one.forget(&who("github:mona")).await.unwrap(), Forgot::Erased(_)));
    let later = [issue("2", "zoe", 55, 2), on_gitlab("2", "zoe", 7)];
    assert_eq!(novelties(&record(&other, &later).await), [Novelty::New; 2]);
    let theirs = [issue("3", "lisa", 7, 3), on_gitlab("3", "lisa", 55)];
    assert_eq!(novelties(&record(&other, &theirs).await), [Novelty::Forgotten; 2]);
}

/// Three pushes by addresses with a number, for a login of which a milestone is recognised.
async fn weak_and_recognised(store: &Firestore, login: &str, number: u64) {
    let weak = ["a", "b", "c"].map(|id| push(&format!("{id}-{number}"), login, Some(number)));
    record(store, &weak).await;
    assert_eq!(recognise_owed(store, "3").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_renamed_and_has_a_withheld_login_is_forgotten() {
    let Some(ledger) = ledger().await else { return };
    let (one, other) = (&ledger.one, &ledger.other);
    weak_and_recognised(one, "work", 7).await;
    record(one, &[issue("1", "mona", 7, 1)]).await;
    record(one, &[issue("2", "monalisa", 7, 10)]).await;
    ledger.proxy.take_calls();
    let forgot = other.forget(&who("github:monalisa")).await.unwrap();
    assert!(matches!(&forgot, Forgot::Erased(erased) if erased.contributions == 5), "{forgot:?}");
    // After one write of a commit a document is not as it was read, though the emulator lets another one pass.
    for call in ledger.proxy.take_calls().into_iter().filter(|call| call.rpc == "Commit") {
        let mut written = call.documents_written();
        written.retain(|document| document.contains("/accounts/"));
        written.sort();
        assert!(written.is_sorted_by(|one, other| one < other), "{written:?}");
    }
    for document in database(&ledger).await.fluent().select().from("accounts").query().await.unwrap() {
        let text = format!("{document:?}");
        assert!(!text.contains("mona") && !text.contains("IntegerValue(7)"), "{text}");
    }
    // The login is withheld from everyone else still.
    let counted_for = counted_for(other, issue("3", "work", 9, 20)).await;
    assert_eq!(counted_for, Some(who("github:9+work")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linking_a_withheld_login_takes_no_recognition_of_the_account_that_claimed_it() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    weak_and_recognised(&one, "work", 7).await;
    record(&one, &[issue("1", "mona", 7, 1)]).await;
    let of_mona = [("github:work:3".to_owned(), "github:mona".to_owned())];
    assert_eq!(recognitions(&one, "github:mona").await, of_mona);
    // Somebody else has the login by now.
    record(&other, &[push("late", "work", None)]).await;
    link(&other, "github:work", "gitlab:zoe").await;
    assert_eq!(recognitions(&one, "github:mona").await, of_mona);
    assert!(matches!(one.unlink(&who("github:work")).await.unwrap(), Unlinked::Apart { .. }));
    assert_eq!(recognitions(&one, "github:mona").await, of_mona);
    link(&other, "github:work", "gitlab:zoe").await;
    let forgot = one.forget(&who("gitlab:zoe")).await.unwrap();
    let Forgot::Erased(erased) = forgot else { panic!("{forgot:?}") };
    assert_eq!((erased.contributions, erased.recognitions), (1, 0));
    assert_eq!(recognitions(&one, "github:mona").await, of_mona);
    assert_eq!(tallies(&one).await, those(&[("github:mona", 4)]));
}

/// Everything that addresses brought to `work{n}` is of `mona{n}`, and is forgotten with it.
async fn is_all_claimed(store: &Firestore, n: usize) {
    let (work, mona) = (format!("github:work{n}"), format!("github:mona{n}"));
    let claimed = (tally(store, &work).await, tally(store, &mona).await, recognitions(store, &mona).await);
    let expected = (None, is(&mona, 4, 3), vec![(format!("{work}:3"), mona.clone())]);
    assert_eq!(claimed, expected, "after {n} calls");
    let forgot = store.forget(&who(&mona)).await.unwrap();
    let Forgot::Erased(erased) = forgot else { panic!("{forgot:?}") };
    assert_eq!((erased.contributions, erased.recognitions), (4, 1), "after {n} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_cut_anywhere_takes_the_recognitions_along_in_the_end() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(15, async |n| {
        let number = 1_000 + n as u64;
        weak_and_recognised(&one, &format!("work{n}"), number).await;
        let stated = [issue(&n.to_string(), &format!("mona{n}"), number, 1)];
        let calls = refused_at(&proxy, n);
        // What fails once the number is bound fails no request.
        drop(other.record(&stated, at(0)).await);
        proxy.always(None);
        one.move_late().await.unwrap();
        record(&one, &stated).await;
        is_all_claimed(&one, n).await;
        calls.load(Ordering::SeqCst) > n
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_another_process_completes_takes_the_recognitions_along() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(15, async |n| {
        let number = 1_000 + n as u64;
        weak_and_recognised(&one, &format!("work{n}"), number).await;
        let stated = [issue(&n.to_string(), &format!("mona{n}"), number, 1)];
        let meanwhile = async { one.move_late().await.unwrap() };
        let is_met = held_at(&proxy, n, other.record(&stated, at(0)), meanwhile).await;
        record(&one, &stated).await;
        is_all_claimed(&one, n).await;
        is_met
    })
    .await;
}

/// Another process records by the number as soon as it is bound, and before its claim has moved anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_milestone_is_recognised_once_though_another_process_records_before_the_claim_of_a_number() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    let milestones = Milestones::parse("3").unwrap();
    after_each_call(15, async |n| {
        let (number, login) = (1_000 + n as u64, format!("mona{n}"));
        weak_and_recognised(&one, &format!("work{n}"), number).await;
        let made = AtomicUsize::new(1);
        let more = [1, 2, 3].map(|id| issue(&format!("{n}-{id}"), &login, number, id));
        let meanwhile = async {
            for (recorded, contribution) in record(&one, &more).await.into_iter().zip(&more) {
                let contributor = recorded.counted_for.unwrap_or_else(|| contribution.contributor.clone());
                let (tally, recognized) = (recorded.tally, recorded.recognized);
                let standing = Standing { contributor, tally, recognized };
                let owed = owed(&standing, &[], &milestones, at(1));
                let new = recognised(&one, &owed, &[Destination::Local]).await;
                made.fetch_add(new.into_iter().filter(|new| *new).count(), Ordering::SeqCst);
            }
        };
        let first = [issue(&format!("{n}-0"), &login, number, 0)];
        let is_met = held_at(&proxy, n, other.record(&first, at(0)), meanwhile).await;
        one.move_late().await.unwrap();
        made.fetch_add(recognise_owed(&one, "3").await, Ordering::SeqCst);
        assert_eq!(made.load(Ordering::SeqCst), 1, "after {n} calls");
        is_met
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlink_that_is_cut_anywhere_leaves_no_contributor_without_contributions() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(10, async |n| {
        let (mona, ada) = (format!("github:mona{n}"), format!("github:ada{n}"));
        record(&one, &[push(&n.to_string(), &format!("mona{n}"), None)]).await;
        link(&one, &mona, &ada).await;
        assert_eq!(tally(&one, &ada).await, is(&ada, 1, 0));
        refused_at(&proxy, n);
        let failed = other.unlink(&who(&mona)).await.is_err();
        proxy.always(None);
        one.move_late().await.unwrap();
        one.unlink(&who(&mona)).await.unwrap();
        assert_eq!((tally(&one, &mona).await, tally(&one, &ada).await), (is(&mona, 1, 0), None), "{n} calls");
        failed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linked_account_that_cannot_be_read_keeps_no_other_from_its_contributor() {
    let Some(ledger) = ledger().await else { return };
    let one = &ledger.one;
    count(one, "ann", 2).await;
    for account in ["aaa", "ann"] {
        link(one, account, "ben").await;
    }
    let accounts = take_accounts(&ledger).await;
    let host = emulators::firestore().unwrap();
    let older = Firestore::open_emulator(host, &ledger.project, "(default)", PATIENT).await.unwrap();
    record(&older, &[done("late", "ann")]).await;
    give_accounts_back(&ledger, accounts).await;
    let db = database(&ledger).await;
    let update = db.fluent().update().fields(["number"]).in_col("accounts").document_id("aaa");
    update.object(&json!({ "number": "seven" })).execute::<serde_json::Value>().await.unwrap();
    one.move_late().await.unwrap();
    assert_eq!(tallies(one).await, those(&[("ben", 3)]));
}

/// Its claim was noted at the contributor to whom it was linked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_who_is_forgotten_is_noted_at_no_contributor_any_more() {
    let Some(ledger) = ledger().await else { return };
    let one = &ledger.one;
    let weak: Vec<_> = (0..120).map(|n| push(&n.to_string(), "mona", Some(7))).collect();
    for part in weak.chunks(60) {
        record(one, part).await;
    }
    record(one, &[on_gitlab("1", "ada", 55)]).await;
    record(one, &[issue("1", "monalisa", 7, 1)]).await;
    link(one, "github:monalisa", "gitlab:ada").await;
    one.move_late().await.unwrap();
    assert!(matches!(one.unlink(&who("github:monalisa")).await.unwrap(), Unlinked::Apart { .. }));
    let are_noted = async || {
        let found = database(&ledger).await.fluent().select().from("accounts").query().await.unwrap();
        found.iter().any(|document| format!("{document:?}").contains("#github:7"))
    };
    assert!(are_noted().await);
    assert!(matches!(one.forget(&who("github:monalisa")).await.unwrap(), Forgot::Erased(_)));
    assert!(!are_noted().await);
    assert_eq!(tallies(one).await, those(&[("gitlab:ada", 1)]));
}

/// Nothing shows of a login but what is of the number that its host has stated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parting_that_is_cut_anywhere_leaves_nobody_listed_by_what_was_another_numbers() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    for (is_linked, number) in [(false, 1_000), (true, 2_000)] {
        after_each_call(10, async |n| {
            let (login, number) = (format!("mona{number}-{n}"), number + n as u64);
            let (mona, ada) = (format!("github:{login}"), format!("github:ada{n}"));
            record(&one, &[push("a", &login, Some(number + 5_000))]).await;
            let stated = [issue(&number.to_string(), &login, number, 1)];
            let is_cut = killed_at(&proxy, n, other.record(&stated, at(100))).await;
            if is_linked {
                link(&one, &mona, &ada).await;
            }
            one.move_late().await.unwrap();
            let listed = tally(&one, &mona).await;
            assert!(listed.as_ref().is_none_or(|(_, tally, _)| *tally > 0), "after {n} calls: {listed:?}");
            one.record(&stated, at(100)).await.unwrap();
            let found = one.contributor(&who(&mona)).await.unwrap().unwrap();
            assert_eq!((found.standing.tally, found.first_at), (1, at(100)), "after {n} calls");
            is_cut
        })
        .await;
    }
}

/// What others do with a name between a claim that was cut and its end.
#[derive(Clone, Copy)]
enum Meanwhile {
    Push,
    Link,
    Bind,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_cut_takes_no_recognition_that_others_earned_before_its_end() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    for (meanwhile, number) in [(Meanwhile::Push, 1_000), (Meanwhile::Link, 2_000), (Meanwhile::Bind, 3_000)]
    {
        after_each_call(15, async |n| {
            let number = number + n as u64;
            let (work, mona, kim) =
                (format!("work{number}"), format!("mona{number}"), format!("kim{number}"));
            weak_and_recognised(&one, &work, number).await;
            let stated = [issue(&number.to_string(), &mona, number, 1)];
            let is_cut = killed_at(&proxy, n, other.record(&stated, at(0))).await;
            let five = ["d", "e", "f", "g", "h"].map(|id| format!("{id}-{number}"));
            match meanwhile {
                Meanwhile::Push => drop(record(&one, &five.map(|id| push(&id, &work, None))).await),
                Meanwhile::Link => {
                    record(&one, &five.map(|id| push(&id, &kim, None))).await;
                    assert_eq!(recognise_owed(&one, "3,5").await, 2);
                    link(&one, &format!("github:{kim}"), &format!("github:{work}")).await;
                }
                Meanwhile::Bind => {
                    drop(record(&one, &five.map(|id| issue(&id, &work, number + 5_000, 1))).await);
                }
            }
            recognise_owed(&one, "3,5").await;
            one.move_late().await.unwrap();
            record(&one, &stated).await;
            recognise_owed(&one, "3,5").await;
            let mona = format!("github:{mona}");
            let made = recognitions(&one, &mona).await;
            assert!(
                made.iter().all(|(id, _)| *id == format!("github:{work}:3")),
                "after {n} calls: {made:?}"
            );
            assert_eq!(tally(&one, &mona).await, is(&mona, 4, 3), "after {n} calls");
            is_cut
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_unlinking_was_cut_is_not_forgotten_with_who_had_it() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    after_each_call(10, async |n| {
        let (login, number) = (format!("mona{n}"), 1_000 + n as u64);
        let (mona, ada) = (format!("github:{login}"), format!("github:ada{n}"));
        let issue = |id: i64| issue(&format!("{n}-{id}"), &login, number, id);
        record(&one, &[issue(1), push(&n.to_string(), &format!("ada{n}"), None)]).await;
        link(&one, &mona, &ada).await;
        let is_cut = killed_at(&proxy, n, other.unlink(&who(&mona))).await;
        let is_apart = one.accounts_of(&who(&ada)).await.unwrap().is_empty();
        let Forgot::Erased(erased) = one.forget(&who(&ada)).await.unwrap() else { panic!("{n}") };
        let late = record(&one, &[issue(2)]).await;
        let expected = if is_apart { (1, Novelty::New) } else { (2, Novelty::Forgotten) };
        assert_eq!((erased.contributions, late[0].novelty), expected, "after {n} calls");
        let left = if is_apart { is(&mona, 2, 0) } else { None };
        assert_eq!((tally(&one, &mona).await, tally(&one, &ada).await), (left, None), "after {n} calls");
        is_cut
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bound_number_is_to_claim_is_not_erased_with_who_it_counted_for() {
    let Some(ledger) = ledger().await else { return };
    let (one, other, proxy) = (&ledger.one, &ledger.other, &ledger.proxy);
    let db = database(&ledger).await;
    after_each_call(15, async |n| {
        let (work, mona, number) = (format!("work{n}"), format!("mona{n}"), 1_000 + n as u64);
        let weak = ["a", "b", "c"].map(|id| push(&format!("{id}-{n}"), &work, Some(number)));
        record(one, &weak).await;
        record(one, &[push(&n.to_string(), &work, None)]).await;
        let stated = [issue(&n.to_string(), &mona, number, 1)];
        let is_cut = killed_at(proxy, n, other.record(&stated, at(0))).await;
        let accounts: Vec<FirestoreDocument> = db.fluent().select().from("accounts").query().await.unwrap();
        let is_bound = accounts.iter().any(|one| one.name.ends_with(&format!("#github:{number}")));
        let (mona, work) = (format!("github:{mona}"), format!("github:{work}"));
        let Forgot::Erased(erased) = one.forget(&who(&work)).await.unwrap() else { panic!("{n}") };
        assert_eq!(erased.contributions, if is_bound { 1 } else { 4 }, "after {n} calls");
        one.move_late().await.unwrap();
        record(one, &stated).await;
        assert_eq!(tally(one, &mona).await, is(&mona, 5 - erased.contributions, 0), "after {n} calls");
        is_cut
    })
    .await;
}

/// One of two commits that part its contributions from the name fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_being_parted_from_a_name_is_forgotten_with_all_that_it_did() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    let weak: Vec<_> = (0..120).map(|n| push(&n.to_string(), "mona", Some(9))).collect();
    for part in weak.chunks(60) {
        record(&one, part).await;
    }
    record(&one, &[issue("1", "mona", 7, 1)]).await;
    let commits = AtomicUsize::new(0);
    let is_second = move |call: &Call| {
        call.rpc == "Commit" && call.mentions("github:9+mona") && commits.fetch_add(1, Ordering::SeqCst) == 1
    };
    proxy.fault_where(is_second, Fault::Status(7, "the process ends here"));
    assert!(other.move_late().await.is_err());
    assert_eq!(tallies(&one).await, those(&[("github:9+mona", 100), ("github:mona", 21)]));
    let Forgot::Erased(erased) = one.forget(&who("github:9+mona")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 120);
    one.move_late().await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:mona", 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_parted_to_an_account_that_is_forgotten_keeps_no_claim_back() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    record(&one, &[push("a", "mona", Some(9)), push("b", "work", Some(7))]).await;
    link(&one, "github:9+mona", "github:ada").await;
    assert!(matches!(one.forget(&who("github:9+mona")).await.unwrap(), Forgot::Erased(_)));
    record(&other, &[issue("1", "mona", 7, 1)]).await;
    one.move_late().await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:mona", 3)]));
    assert_eq!(recognise_owed(&one, "3").await, 1);
    let Forgot::Erased(erased) = one.forget(&who("github:mona")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 3);
}

/// More than a claim moves while a request waits.
async fn many_by_address(store: &Firestore, login: &str, number: u64) {
    let weak: Vec<_> = (0..120).map(|n| push(&n.to_string(), login, Some(number))).collect();
    for part in weak.chunks(60) {
        record(store, part).await;
    }
}

/// Has the claim of a number wait, or hides it from who looks for claims that wait.
async fn set_moving(ledger: &Ledger, number: &str, moving: bool) {
    let db = database(ledger).await;
    let update = db.fluent().update().fields(["moving"]).in_col("accounts").document_id(number);
    update.object(&json!({ "moving": moving })).execute::<serde_json::Value>().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_claimed_is_not_forgotten_with_the_name_under_which_it_arrived() {
    let Some(Ledger { one, other, proxy: _proxy, .. }) = ledger().await else { return };
    many_by_address(&one, "work", 9).await;
    record(&one, &[issue("1", "mona", 9, 1)]).await;
    let Forgot::Erased(erased) = other.forget(&who("github:work")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 0);
    one.move_late().await.unwrap();
    assert_eq!(tallies(&one).await, those(&[("github:mona", 121)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_parted_to_a_number_is_forgotten_with_its_account_of_another_name() {
    for has_noted in [false, true] {
        let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
        many_by_address(&one, "mona", 9).await;
        record(&one, &[issue("1", "mona", 7, 1), issue("2", "kim", 9, 1)]).await;
        if has_noted {
            let is_move = |call: &Call| call.rpc == "Commit" && call.mentions("/contributions/");
            proxy.fault_where(is_move, Fault::Status(7, "the process ends here"));
            assert!(other.move_late().await.is_err());
            proxy.always(None);
        }
        let Forgot::Erased(erased) = one.forget(&who("github:kim")).await.unwrap() else { panic!() };
        assert_eq!(erased.contributions, 121, "{has_noted}");
        one.move_late().await.unwrap();
        assert_eq!(tallies(&one).await, those(&[("github:mona", 1)]), "{has_noted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_parted_to_a_number_that_is_forgotten() {
    let Some(ledger) = ledger().await else { return };
    let one = &ledger.one;
    many_by_address(one, "mona", 9).await;
    record(one, &[issue("1", "mona", 7, 1), issue("2", "kim", 9, 1)]).await;
    set_moving(&ledger, "#github:7", false).await;
    assert!(matches!(one.forget(&who("github:kim")).await.unwrap(), Forgot::Erased(_)));
    set_moving(&ledger, "#github:7", true).await;
    one.move_late().await.unwrap();
    assert_eq!(tallies(one).await, those(&[("github:mona", 121)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_an_account_that_is_being_forgotten_keeps_no_other_from_being_forgotten() {
    let Some(ledger) = ledger().await else { return };
    let (one, other) = (&ledger.one, &ledger.other);
    many_by_address(one, "work", 9).await;
    record(one, &[issue("1", "mona", 9, 1), issue("2", "lin", 8, 1)]).await;
    set_moving(&ledger, "#github:9", false).await;
    // Its account is remembered as forgotten, and nothing of it is erased.
    let commits = AtomicUsize::new(0);
    let is_second = move |call: &Call| call.rpc == "Commit" && commits.fetch_add(1, Ordering::SeqCst) == 1;
    ledger.proxy.fault_where(is_second, Fault::Status(7, "the process ends here"));
    assert!(other.forget(&who("github:mona")).await.is_err());
    set_moving(&ledger, "#github:9", true).await;
    let Forgot::Erased(erased) = one.forget(&who("github:lin")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 1);
    one.move_late().await.unwrap();
    let Forgot::Erased(erased) = one.forget(&who("github:mona")).await.unwrap() else { panic!() };
    assert_eq!(erased.contributions, 1);
    assert_eq!(tallies(one).await, those(&[("github:work", 120)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_goes_to_who_its_account_counts_for_at_its_end() {
    let Some(Ledger { one, other, proxy, .. }) = ledger().await else { return };
    for (is_linked, number) in [(false, 1_000), (true, 2_000)] {
        after_each_call(15, async |n| {
            let number = number + n as u64;
            let (work, login) = (format!("work{number}"), format!("mona{number}"));
            let (mona, zoe) = (format!("github:{login}"), format!("github:zoe{number}"));
            weak_and_recognised(&one, &work, number).await;
            if is_linked {
                link(&one, &mona, &zoe).await;
            }
            let stated = [issue(&number.to_string(), &login, number, 1)];
            let meanwhile = async {
                if is_linked {
                    one.unlink(&who(&mona)).await.unwrap();
                } else {
                    link(&one, &mona, &zoe).await;
                }
            };
            let is_met = held_at(&proxy, n, other.record(&stated, at(0)), meanwhile).await;
            one.move_late().await.unwrap();
            record(&one, &stated).await;
            let owner = if is_met == is_linked { &mona } else { &zoe };
            let counted = tally(&one, &mona).await.map(|(owner, tally, _)| (owner, tally));
            assert_eq!(counted, Some((owner.clone(), 4)), "{is_linked}, after {n} calls");
            // What was made for another name stays where it is when its contributions are unlinked.
            if !is_linked {
                let made = recognitions(&one, &mona).await;
                assert_eq!(made, [(format!("github:{work}:3"), owner.clone())], "after {n} calls");
            }
            is_met
        })
        .await;
    }
}
