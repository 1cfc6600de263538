//! What several instances over one Firestore know of accounts: what that costs, and what races leave behind.

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions};
use futures::stream::{self, StreamExt as _};
use plaudit::domain::{Contribution, ContributorId};
use plaudit::store::firestore::Firestore;
use plaudit::store::{ForgetKey, Forgot, Linked, Novelty, Store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::people_firestore::{KEY, Ledger, issue, ledger, push, record, tallies, those};
use crate::store::{at, who};
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
    let late = |n: u32| crate::store::done(&format!("late-{n}"), &format!("account-{n}"));
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
