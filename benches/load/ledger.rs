//! A ledger that already holds many contributions, made through plaudit's own store.

use std::path::Path;

use plaudit::domain::{
    Contribution, ContributionId, ContributorId, HostName, Kind, Labels, Milestones, Moment,
};
use plaudit::store::{At, History};

use crate::client::{login, number, person};

/// At once; it is one commit.
const TOGETHER: u64 = 1_000;

/// How many people make so many contributions.
pub(crate) fn people(contributions: u64) -> u64 {
    (contributions / 20).max(1)
}

/// The contributions with the numbers from 0, by the people whom the load also has, as history: nothing is owed.
pub(crate) fn fill(ledger: &Path, contributions: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = plaudit::store::open(&At::Sqlite(ledger.to_owned()), None).await.unwrap();
        let now = Moment::from_timestamp(1_790_000_000, 0).unwrap();
        for first in (0..contributions).step_by(TOGETHER as usize) {
            let last = (first + TOGETHER).min(contributions);
            let batch: Vec<_> = (first..last).map(|n| contribution(n, people(contributions), now)).collect();
            let recorded = store.record_history(&batch, &Milestones::default(), now).await.unwrap();
            assert!(matches!(recorded, History::Recorded(_)), "something is owed");
            if first % 100_000 == 0 {
                eprintln!("making a ledger: {first} of {contributions} contributions");
            }
        }
    });
}

/// As one of the load's deliveries is read.
fn contribution(n: u64, people: u64, now: Moment) -> Contribution {
    let person = person(n, people, true);
    let (host, login) = (HostName::parse("github").unwrap(), login(person));
    Contribution {
        contributor: ContributorId::on_host(&host, &login).unwrap(),
        id: ContributionId::on_host(&host, 1, format!("pull_request:{n}:{login}")),
        kind: Kind::PULL_REQUEST,
        occurred_at: now,
        title: Some("A change".into()),
        url: Some(format!("https://github.com/octo-org/octo-repo/pull/{n}")),
        repository: Some("octo-org/octo-repo".into()),
        private: false,
        user_id: Some(number(person)),
        account_url: None,
        labels: Some(Labels { at: now, rejected: false }),
        landed_at: None,
        content: None,
    }
}
