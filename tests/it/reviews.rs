//! Taking contributions back, and counting them again: on every store, in any order, any number of times.

use std::collections::BTreeSet;

use futures::future::join_all;
use plaudit::domain::{
    Contribution, ContributionId, Destination, Fingerprint, Kind, Labels, Milestones, Moment, Review, Ruling,
    WorkId,
};
use plaudit::store::{Novelty, Page, Reviewed, Shown, Store};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;

use crate::store::{at, done, firestore, recognised, recognition, sqlite, who};

/// One thing that is said of a piece of work; `name` keeps works and people of different histories apart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fact {
    /// A part is recorded: whose, the labels it came with, when it landed.
    Part(char, Option<Labels>, Option<i64>),
    Labels(Labels),
    /// One part is taken back for good.
    DeletedPart(char),
    Deleted,
}

fn rejected(second: i64) -> Labels {
    labels(second, true)
}

fn accepted(second: i64) -> Labels {
    labels(second, false)
}

fn labels(second: i64, rejected: bool) -> Labels {
    // 2026-11-24T10:00:00Z
    let at = Moment::from_timestamp(1_795_514_400 + second, 0).unwrap();
    Labels { at, rejected }
}

/// The author of the work, whom every payload about it names.
const AUTHOR: char = 'a';

struct History<'a> {
    store: &'a dyn Store,
    name: String,
}

impl History<'_> {
    fn login(&self, part: char) -> String {
        format!("{part}-{}", self.name)
    }

    fn contribution(&self, part: char) -> Contribution {
        let login = self.login(part);
        done(&format!("github:{}:pull_request:7:{login}", self.name), &format!("github:{login}"))
    }

    async fn say(&self, fact: Fact) -> Vec<Reviewed> {
        let author = self.contribution(AUTHOR);
        let review = |work, part, ruling| Review { work, part, ruling, private: false };
        let review = match fact {
            Fact::Part(part, labels, landed) => {
                let landed_at = landed.map(labels_time);
                let one = Contribution { labels, landed_at, ..self.contribution(part) };
                self.store.record(&[one], at(0)).await.unwrap();
                return Vec::new();
            }
            Fact::Labels(labels) => review(author.work(), Some(author.id), Ruling::Labels(labels)),
            Fact::DeletedPart(part) => {
                let id = self.contribution(part).id;
                review(WorkId::alone(&id), Some(id), Ruling::Deleted)
            }
            Fact::Deleted => review(author.work(), Some(author.id), Ruling::Deleted),
        };
        self.store.review(&review).await.unwrap()
    }

    /// Fails unless the ledger is what the facts make of it, whatever their order.
    async fn check(&self, facts: &[Fact]) {
        for part in facts.iter().filter_map(Fact::part).collect::<BTreeSet<_>>() {
            let expected = counts(facts, part);
            let one = self.contribution(part);
            let found = self.store.contribution(&one.id).await.unwrap().unwrap();
            assert_eq!(found.retracted, !expected, "{part} of {facts:?}");
            let person = self.store.contributor(&one.contributor).await.unwrap().unwrap();
            assert_eq!(person.standing.tally, u64::from(expected), "{part} of {facts:?}");
            for (shown, length) in [
                (Shown::All, 1),
                (Shown::Counted, usize::from(expected)),
                (Shown::Public, usize::from(expected)),
            ] {
                let page = Page { limit: 10, after: None };
                let list = self.store.contributions_of(&one.contributor, shown, &page).await.unwrap();
                assert_eq!(list.items.len(), length, "{shown:?}: {part} of {facts:?}");
            }
        }
    }

    /// Says all of it, then some of it again.
    async fn holds(&self, facts: &[Fact]) {
        for fact in facts {
            self.say(*fact).await;
        }
        self.check(facts).await;
        for fact in facts.iter().rev().step_by(2) {
            self.say(*fact).await;
        }
        self.check(facts).await;
    }
}

fn labels_time(second: i64) -> Moment {
    accepted(second).at
}

impl Fact {
    fn part(&self) -> Option<char> {
        match self {
            Self::Part(part, ..) => Some(*part),
            _ => None,
        }
    }
}

/// The rule, said another way than in the program: what is taken back for good never counts; else the newest
/// labels decide, of two at one time those that reject, unless the part landed after them.
fn counts(facts: &[Fact], part: char) -> bool {
    if facts.iter().any(|fact| *fact == Fact::Deleted || *fact == Fact::DeletedPart(part)) {
        return false;
    }
    let said = facts.iter().filter_map(|fact| match fact {
        Fact::Part(_, labels, _) => *labels,
        Fact::Labels(labels) => Some(*labels),
        _ => None,
    });
    let Some(newest) = said.max_by_key(|labels| (labels.at, labels.rejected)) else { return true };
    let landed = facts.iter().any(|fact| match fact {
        Fact::Part(of, _, Some(second)) => *of == part && labels_time(*second) > newest.at,
        _ => false,
    });
    !newest.rejected || landed
}

fn permutations(facts: &[Fact]) -> Vec<Vec<Fact>> {
    let Some((first, rest)) = facts.split_first() else { return vec![Vec::new()] };
    let with_first = |rest: Vec<Fact>| {
        (0..=rest.len()).map(move |place| {
            let mut all = rest.clone();
            all.insert(place, *first);
            all
        })
    };
    permutations(rest).into_iter().flat_map(with_first).collect()
}

/// Histories, small enough to try every order.
fn histories() -> Vec<Vec<Fact>> {
    use Fact::{Deleted, DeletedPart, Labels as Label, Part};
    vec![
        vec![
            Part('a', Some(accepted(1)), None),
            Part('b', None, Some(3)),
            Label(rejected(2)),
            Label(accepted(4)),
        ],
        vec![
            Part('a', Some(accepted(1)), None),
            Part('b', None, Some(3)),
            Label(rejected(4)),
            DeletedPart('b'),
        ],
        vec![
            Part('a', Some(rejected(1)), None),
            Part('b', None, Some(1)),
            Part('a', Some(accepted(5)), Some(5)),
        ],
        vec![
            Part('a', Some(accepted(1)), None),
            Label(rejected(3)),
            Part('a', Some(rejected(3)), Some(4)),
            Part('b', None, Some(2)),
            Part('c', None, Some(5)),
        ],
        vec![Part('a', None, None), Label(rejected(2)), Label(accepted(2)), Part('b', None, Some(2))],
        vec![Part('a', Some(accepted(9)), None), Label(rejected(2)), Label(accepted(4)), Deleted],
        vec![
            Part('b', None, Some(3)),
            Part('b', None, Some(7)),
            Label(rejected(5)),
            Part('a', Some(rejected(1)), None),
        ],
    ]
}

async fn any_order_and_any_repetition_end_in_one_ledger(store: &dyn Store, sample: Option<usize>) {
    let mut orders = Vec::new();
    for (place, facts) in histories().into_iter().enumerate() {
        for (order, facts) in permutations(&facts).into_iter().enumerate() {
            orders.push((format!("h{place}-{order}"), facts));
        }
    }
    if let Some(sample) = sample {
        orders.shuffle(&mut rand::rngs::StdRng::seed_from_u64(7));
        orders.truncate(sample);
    }
    for (name, facts) in orders {
        History { store, name }.holds(&facts).await;
    }
}

async fn together_in_one_batch_they_end_in_that_ledger_too(store: &dyn Store) {
    for (place, facts) in histories().into_iter().enumerate() {
        let history = History { store, name: format!("batch-{place}") };
        let batch: Vec<_> = facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Part(part, labels, landed) => {
                    let landed_at = landed.map(labels_time);
                    Some(Contribution { labels: *labels, landed_at, ..history.contribution(*part) })
                }
                _ => None,
            })
            .collect();
        let recorded = store.record(&batch, at(0)).await.unwrap();
        assert_eq!(recorded.len(), batch.len());
        for fact in facts.iter().filter(|fact| fact.part().is_none()) {
            history.say(*fact).await;
        }
        history.check(&facts).await;
    }
}

async fn at_once_they_end_in_that_ledger_too(store: &dyn Store) {
    for (place, facts) in histories().into_iter().enumerate() {
        for round in 0..3 {
            let history = History { store, name: format!("once-{place}-{round}") };
            join_all(facts.iter().map(|fact| history.say(*fact))).await;
            history.check(&facts).await;
        }
    }
}

async fn a_review_answers_for_whom_it_concerns(store: &dyn Store) {
    let history = History { store, name: "answers".into() };
    assert_eq!(history.say(Fact::Labels(accepted(0))).await, []);
    history.say(Fact::Part('a', Some(accepted(1)), None)).await;
    history.say(Fact::Part('b', None, Some(3))).await;
    let short = |reviewed: Vec<Reviewed>| {
        let mut short: Vec<_> = reviewed
            .into_iter()
            .map(|one| (one.contributor.login().to_owned(), one.tally, one.counts, one.changed))
            .collect();
        short.sort();
        short
    };
    let (a, b) = (history.login('a'), history.login('b'));
    let both = |one: (u64, bool, bool), other: (u64, bool, bool)| {
        vec![(a.clone(), one.0, one.1, one.2), (b.clone(), other.0, other.1, other.2)]
    };
    let said = short(history.say(Fact::Labels(rejected(2))).await);
    assert_eq!(said, both((0, false, true), (1, true, false)));
    let said = short(history.say(Fact::Labels(rejected(2))).await);
    assert_eq!(said, both((0, false, false), (1, true, false)));
    let said = short(history.say(Fact::Labels(accepted(4))).await);
    assert_eq!(said, both((1, true, true), (1, true, false)));
    let said = short(history.say(Fact::DeletedPart('b')).await);
    assert_eq!(said, [(b.clone(), 0, false, true)]);
    let said = short(history.say(Fact::DeletedPart('b')).await);
    assert_eq!(said, [(b, 0, false, false)]);
}

/// GitLab names the author's login only where the author acted.
async fn labels_that_come_first_and_name_no_part_take_back_what_is_recorded_later(store: &dyn Store) {
    let history = History { store, name: "unnamed".into() };
    let opened = Contribution { labels: Some(accepted(1)), ..history.contribution('a') };
    let review =
        Review { work: opened.work(), part: None, ruling: Ruling::Labels(rejected(2)), private: false };
    assert_eq!(store.review(&review).await.unwrap(), []);
    let recorded = store.record(std::slice::from_ref(&opened), at(0)).await.unwrap();
    assert_eq!((recorded[0].novelty, recorded[0].tally), (Novelty::Retracted, 0));
    let review = Review { ruling: Ruling::Labels(accepted(3)), ..review };
    let [reviewed] = &store.review(&review).await.unwrap()[..] else { panic!("one part is concerned") };
    assert_eq!((&reviewed.id, reviewed.counts, reviewed.tally), (&opened.id, true, 1));
}

async fn a_recording_says_that_it_is_taken_back(store: &dyn Store) {
    let history = History { store, name: "novelty".into() };
    let novelty = async |one: Contribution| store.record(&[one], at(0)).await.unwrap()[0].novelty;
    history.say(Fact::Labels(rejected(2))).await;
    let opened = Contribution { labels: Some(accepted(1)), ..history.contribution('a') };
    assert_eq!(novelty(opened.clone()).await, Novelty::Retracted);
    assert_eq!(novelty(opened.clone()).await, Novelty::Retracted);
    let landed = Contribution { landed_at: Some(labels_time(3)), ..opened.clone() };
    assert_eq!(novelty(landed.clone()).await, Novelty::New);
    assert_eq!(novelty(landed).await, Novelty::Same);
    history.say(Fact::DeletedPart('a')).await;
    assert_eq!(novelty(opened).await, Novelty::Same, "a repeat of what is deleted is a repeat");

    let issue = Contribution { kind: Kind::ISSUE, ..done("github:1:issue:1", "github:novelty") };
    let review =
        Review { work: issue.work(), part: Some(issue.id.clone()), ruling: Ruling::Deleted, private: false };
    assert_eq!(store.review(&review).await.unwrap(), []);
    assert_eq!(store.contribution(&issue.id).await.unwrap(), None);
    assert_eq!(novelty(issue.clone()).await, Novelty::Retracted);
    assert!(store.contribution(&issue.id).await.unwrap().unwrap().retracted);
    assert_eq!(novelty(issue).await, Novelty::Same);

    let posted = Contribution {
        content: Some(Fingerprint([1; 16])),
        kind: Kind::parse("talk").unwrap(),
        ..done("api:api:1", "ann")
    };
    assert_eq!(novelty(posted.clone()).await, Novelty::New);
    let review = Review {
        work: WorkId::alone(&posted.id),
        part: Some(posted.id.clone()),
        ruling: Ruling::Deleted,
        private: false,
    };
    assert_eq!(store.review(&review).await.unwrap().len(), 1);
    assert_eq!(novelty(posted.clone()).await, Novelty::Same);
    let other = Contribution { content: Some(Fingerprint([2; 16])), ..posted };
    assert_eq!(novelty(other).await, Novelty::Different);
}

async fn what_a_client_posts_has_no_parts(store: &dyn Store) {
    let posted = |id: &str| Contribution { content: Some(Fingerprint([1; 16])), ..done(id, "ann") };
    store
        .record(&[posted("api:api:1"), posted("api:api:1:2"), posted("api:api:1:2:3")], at(0))
        .await
        .unwrap();
    let id = ContributionId::from_text("api:api:1:2");
    let review = Review { work: WorkId::alone(&id), part: Some(id), ruling: Ruling::Deleted, private: false };
    assert_eq!(store.review(&review).await.unwrap().len(), 1);
    assert_eq!(store.contributor(&who("ann")).await.unwrap().unwrap().standing.tally, 2);
}

async fn what_is_recognised_stays_so_and_is_never_again(store: &dyn Store) {
    let history = History { store, name: "kept".into() };
    let one = history.contribution('a');
    let by = one.contributor.to_string();
    store.record(&[done("1", &by), done("2", &by)], at(0)).await.unwrap();
    history.say(Fact::Part('a', Some(accepted(1)), None)).await;
    let made = recognition(&by, 3, at(1));
    assert_eq!(recognised(store, std::slice::from_ref(&made), &[Destination::Local]).await, [true]);
    let standing = async || {
        let standing = store.contributor(&one.contributor).await.unwrap().unwrap().standing;
        (standing.tally, standing.recognized)
    };
    for second in [2, 4] {
        history.say(Fact::Labels(rejected(second))).await;
        assert_eq!(standing().await, (2, 3));
        history.say(Fact::Labels(accepted(second + 1))).await;
        assert_eq!(standing().await, (3, 3));
        assert_eq!(store.owing(&Milestones::default(), None, 10).await.unwrap(), []);
        assert_eq!(recognised(store, std::slice::from_ref(&made), &[Destination::Local]).await, [false]);
    }
    assert_eq!(store.recognition(&made.id).await.unwrap().unwrap().0, made);
}

async fn an_account_keeps_its_page(store: &dyn Store) {
    let page = "https://git.example.org/gitlab/mona".to_owned();
    let with_page = Contribution { account_url: Some(page.clone()), ..done("1", "git.example.org:mona") };
    store.record(&[with_page, done("2", "git.example.org:mona")], at(0)).await.unwrap();
    store.record(&[done("3", "git.example.org:mona")], at(1)).await.unwrap();
    let found = store.contributor(&who("git.example.org:mona")).await.unwrap().unwrap();
    assert_eq!(found.account_url, Some(page.clone()));
    let mut made = recognition("git.example.org:mona", 3, at(2));
    made.account_url = Some(page);
    store.recognise(std::slice::from_ref(&made), &[Destination::Local]).await.unwrap();
    assert_eq!(store.recognition(&made.id).await.unwrap().unwrap().0, made);
    let due = store.claim(Destination::Local, at(3), at(3), 1).await.unwrap();
    assert_eq!(due[0].recognition, made);
}

macro_rules! suite {
    ($store:ident, $sample:expr) => {
        mod $store {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn any_order_and_any_repetition_end_in_one_ledger() {
                if let Some(opened) = super::$store().await {
                    super::any_order_and_any_repetition_end_in_one_ledger(&*opened.store, $sample).await;
                    drop(opened.keep);
                }
            }
            suite!(@holds $store:
                together_in_one_batch_they_end_in_that_ledger_too,
                at_once_they_end_in_that_ledger_too,
                a_review_answers_for_whom_it_concerns,
                labels_that_come_first_and_name_no_part_take_back_what_is_recorded_later,
                a_recording_says_that_it_is_taken_back,
                what_a_client_posts_has_no_parts,
                what_is_recognised_stays_so_and_is_never_again,
                an_account_keeps_its_page,
            );
        }
    };
    (@holds $store:ident: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(opened) = super::$store().await {
                    super::$promise(&*opened.store).await;
                    drop(opened.keep);
                }
            }
        )*
    };
}

suite!(sqlite, None);
suite!(firestore, Some(30));
