//! Counting on the Firestore emulator, beside what one would write first.
//!
//! `cargo bench --bench firestore` finds or starts the emulator, runs each pair in turn, round by round, and
//! prints medians and their ratios. Nothing here passes or fails: machines are noisy, and an emulator is not
//! Firestore.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, dead_code, reason = "a program of its own, that uses a part of the tests")]

#[path = "../tests/it/support/emulators.rs"]
mod emulators;
#[path = "../tests/it/support/machine.rs"]
mod machine;

use std::sync::Arc;
use std::time::{Duration, Instant};

use firestore::errors::{BackoffError, FirestoreError};
use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions};
use futures::future::join_all;
use futures::{FutureExt as _, StreamExt as _};
use plaudit::domain::{Contribution, ContributionId, ContributorId, Kind, Milestones, Moment};
use plaudit::outbox::Outbox;
use plaudit::publish::Publisher;
use plaudit::publish::local::Local;
use plaudit::record::{Recorder, deadline};
use plaudit::runtime::{Clock, Tasks};
use plaudit::store::Store;
use plaudit::store::firestore::Firestore;
use plaudit::telemetry::Metrics;
use serde::{Deserialize, Serialize};

const TO_ONE: usize = 200;
const TO_MANY: usize = 2_000;
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Some(host) = emulators::firestore() else { return };
    let ledger = Ledger::open(host).await;
    let mut rounds: [Vec<Round>; 4] = Default::default();
    // The first commits of an emulator are no measure of anything.
    ledger.recorded("warm-up", 50, false).await;
    ledger.in_transactions("warm-up", 2).await;
    for n in 0..ROUNDS {
        rounds[0].push(ledger.recorded(&format!("one-{n}"), TO_ONE, false).await);
        rounds[1].push(ledger.in_transactions(&format!("transactions-{n}"), TO_ONE).await);
        rounds[2].push(ledger.recorded(&format!("many-{n}"), TO_MANY, true).await);
        rounds[3].push(ledger.in_single_commits(&format!("single-{n}"), TO_MANY).await);
    }
    let [one, transactions, many, single] = rounds;
    println!("{TO_ONE} at once to one contributor, median of {ROUNDS} rounds:");
    compare("read-modify-write transactions", &transactions, "plaudit's recorder", &one);
    println!("{TO_MANY} at once to as many contributors, median of {ROUNDS} rounds:");
    compare(&format!("single commits, {IN_FLIGHT} in flight"), &single, "plaudit's recorder", &many);
}

/// How long it took for all, and how many failed.
#[derive(Clone, Copy)]
struct Round {
    took: Duration,
    failed: usize,
}

fn compare(plain: &str, of_plain: &[Round], ours: &str, of_ours: &[Round]) {
    for (name, rounds) in [(plain, of_plain), (ours, of_ours)] {
        let failed: usize = rounds.iter().map(|round| round.failed).sum();
        println!("  {name:<34} {:>9.3} s   {failed} failed in all", median(rounds).as_secs_f64());
    }
    let ratio = median(of_plain).as_secs_f64() / median(of_ours).as_secs_f64();
    println!("  {ratio:.1} times as fast");
}

fn median(rounds: &[Round]) -> Duration {
    let mut times: Vec<_> = rounds.iter().map(|round| round.took).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

async fn measured(all: impl Future<Output = usize>) -> Round {
    let started = Instant::now();
    let failed = all.await;
    Round { took: started.elapsed(), failed }
}

/// What the plain way keeps of a contributor.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Tally {
    tally: u64,
}

struct Ledger {
    store: Arc<dyn Store>,
    recorder: Recorder,
    plain: FirestoreDb,
}

impl Ledger {
    async fn open(host: &str) -> Self {
        let project = emulators::fresh_project();
        let store = Firestore::open_emulator(host, &project, "(default)", emulators::PATIENT).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (clock, metrics, tasks) =
            (Clock::system(), Metrics::new(&["github", "gitlab"]).unwrap(), Tasks::default());
        // Counting is measured, not recognising.
        let milestones = Milestones::parse("1000000").unwrap();
        let publishers = vec![Arc::new(Local) as Arc<dyn Publisher>];
        let outbox =
            Outbox::new(store.clone(), publishers, milestones.clone(), clock.clone(), metrics.clone());
        let recorder = Recorder::start(&store, &Arc::new(outbox), &milestones, &clock, &metrics, &tasks);
        // As the crate comes, its retries too.
        let mut options = FirestoreDbOptions::new(project);
        options.firebase_api_url = Some(format!("http://{host}"));
        let plain = FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await.unwrap();
        Self { store, recorder, plain }
    }

    /// Through the one way into plaudit's ledger.
    async fn recorded(&self, name: &str, count: usize, to_many: bool) -> Round {
        let one = |n| contribution(name, n, to_many);
        let posts = (0..count).map(|n| self.recorder.record(vec![one(n)], deadline()));
        let round = measured(async { failed(&join_all(posts).await) }).await;
        if !to_many && round.failed == 0 {
            let who = one(0).contributor;
            let tally = self.store.contributor(&who).await.unwrap().unwrap().standing.tally;
            assert_eq!(tally, count as u64);
        }
        round
    }

    /// Each contribution a commit of its own, as many under way as help.
    async fn in_single_commits(&self, name: &str, count: usize) -> Round {
        let now = Clock::system().now();
        let commits = (0..count).map(|n| async move {
            let one = contribution(name, n, true);
            self.store.record(std::slice::from_ref(&one), now).await
        });
        let commits = futures::stream::iter(commits).buffer_unordered(IN_FLIGHT).collect::<Vec<_>>();
        measured(async { failed(&commits.await) }).await
    }

    /// Read the contributor, write one more and the contribution: the crate's own transaction, and its retries.
    async fn in_transactions(&self, name: &str, count: usize) -> Round {
        let posts = (0..count).map(|n| self.in_transaction(name, n));
        measured(async { failed(&join_all(posts).await) }).await
    }

    async fn in_transaction(&self, name: &str, n: usize) -> Result<(), FirestoreError> {
        let id = format!("{name}-{n}");
        self.plain
            .run_transaction(|db, transaction| {
                let (name, id) = (name.to_owned(), id.clone());
                async move {
                    let found: Option<Tally> =
                        db.fluent().select().by_id_in("tallies").obj().one(&name).await?;
                    let tally = Tally { tally: found.map_or(0, |found| found.tally) + 1 };
                    let update = db.fluent().update().in_col("tallies").document_id(&name).object(&tally);
                    update.add_to_transaction(transaction)?;
                    let update = db.fluent().update().in_col("counted").document_id(&id).object(&tally);
                    update.add_to_transaction(transaction)?;
                    Ok::<_, BackoffError<FirestoreError>>(())
                }
                .boxed()
            })
            .await
    }
}

fn failed<T, E>(outcomes: &[Result<T, E>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_err()).count()
}

fn contribution(name: &str, n: usize, to_many: bool) -> Contribution {
    let who = if to_many { format!("{name}-{n}") } else { name.to_owned() };
    Contribution {
        id: ContributionId::from_text(format!("api:api:{name}-{n}")),
        contributor: ContributorId::parse(&who).unwrap(),
        kind: Kind::PULL_REQUEST,
        occurred_at: Moment::UNIX_EPOCH,
        title: None,
        url: None,
        repository: None,
        private: false,
        user_id: None,
        account_url: None,
        labels: None,
        landed_at: None,
        content: None,
    }
}
