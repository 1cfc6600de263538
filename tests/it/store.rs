//! What every store guarantees. A new store needs a function that opens an empty one, and a line at the end.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::join_all;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, Fingerprint, GiveUp, HostName, Kind,
    Milestones, Moment, Recognition, RecognitionId, Review, Ruling, Standing, WorkId, owed,
};
use plaudit::store::firestore::Firestore;
use plaudit::store::{
    Backlog, ContributionFilter, ContributorFilter, History, LONGEST_DELAY, Novelty, Of, Order, Page, Paged,
    Progress, Recognised, RecognitionFilter, Recorded, Settled, Shown, State, Store, StoreError, Totals,
};

use crate::support::emulators::{self, PATIENT};

use Destination::{Comment, Local, Topic};
use Novelty::{Different, New, Same};

/// An empty store, and the folder that must live as long.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub keep: Box<dyn Any + Send>,
}

pub async fn firestore() -> Option<Opened> {
    let host = emulators::firestore()?;
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await;
    Some(Opened { store: Arc::new(store.unwrap()), keep: Box::new(()) })
}

pub async fn sqlite() -> Option<Opened> {
    let directory = tempfile::tempdir().unwrap();
    let store = plaudit::store::sqlite::Sqlite::open(&directory.path().join("plaudit.db"));
    Some(Opened { store: Arc::new(store.unwrap()), keep: Box::new(directory) })
}

pub fn at(seconds: i64) -> Moment {
    // 2026-11-24T10:00:00Z
    Moment::from_timestamp(1_795_514_400 + seconds, 123_456_000).unwrap()
}

pub fn who(name: &str) -> ContributorId {
    ContributorId::parse(name).unwrap()
}

/// A pull request, unless the id is another kind's.
pub fn done(id: &str, by: &str) -> Contribution {
    let kinds = [(":issue:", Kind::ISSUE), (":push:", Kind::PUSH)];
    let of_id = kinds.into_iter().find(|(word, _)| id.contains(word));
    Contribution {
        id: ContributionId::from_text(id),
        contributor: who(by),
        kind: of_id.map_or(Kind::PULL_REQUEST, |(_, kind)| kind),
        occurred_at: at(-60),
        title: Some(format!("Title of {id}")),
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

fn told(recorded: &[Recorded]) -> Vec<(Novelty, u64)> {
    recorded.iter().map(|one| (one.novelty, one.tally)).collect()
}

/// Records `count` contributions of one contributor together.
pub async fn count(store: &dyn Store, by: &str, count: usize) {
    let batch: Vec<_> = (1..=count).map(|i| done(&format!("{i}/{by}"), by)).collect();
    for part in batch.chunks(100) {
        store.record(part, at(0)).await.unwrap();
    }
}

/// Has these recognised, and answers of each whether it is new.
pub async fn recognised(store: &dyn Store, made: &[Recognition], to: &[Destination]) -> Vec<bool> {
    let Recognised { new, failure } = store.recognise(made, to).await.unwrap();
    assert!(failure.is_none(), "{failure:?}");
    made.iter().map(|one| new.iter().any(|new| new.id == one.id)).collect()
}

pub fn recognition(by: &str, milestone: u64, made: Moment) -> Recognition {
    Recognition {
        id: RecognitionId::of(&who(by), milestone),
        contributor: who(by),
        milestone,
        tally: milestone,
        recognized_at: made,
        contribution: None,
        account_url: None,
    }
}

/// Makes one recognition of each of `people`, who have the tally for it, at seconds 1, 2, 3 and so on.
async fn recognise_all(
    store: &dyn Store,
    people: &[String],
    destinations: &[Destination],
) -> Vec<Recognition> {
    let mut made = Vec::new();
    for (by, second) in people.iter().zip(1..) {
        count(store, by, 3).await;
        made.push(recognition(by, 3, at(second)));
    }
    assert_eq!(recognised(store, &made, destinations).await, vec![true; people.len()]);
    made
}

fn people(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("github:person-{i:02}")).collect()
}

fn page(limit: usize, after: Option<String>) -> Page {
    Page { limit, after }
}

/// Reads a list to its end, `limit` at a time.
async fn read_all<T>(limit: usize, mut read: impl AsyncFnMut(Page) -> Paged<T>) -> Vec<T> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let part = read(page(limit, after)).await;
        assert!(part.items.len() <= limit);
        all.extend(part.items);
        after = part.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn a_repeat_is_answered_for_whom_it_was_counted(store: &dyn Store) {
    let first = [done("github:42:issue:1", "github:mona"), done("github:42:issue:2", "github:mona")];
    store.record(&first, at(0)).await.unwrap();
    let again = [done("github:42:issue:1", "github:mona-renamed")];
    let expected = Recorded {
        novelty: Same,
        tally: 2,
        recognized: 0,
        counted_for: Some(who("github:mona")),
        private: false,
    };
    assert_eq!(store.record(&again, at(1)).await.unwrap(), [expected]);
    assert_eq!(store.contributor(&who("github:mona-renamed")).await.unwrap(), None);
}

async fn a_new_contribution_counts_and_comes_back_whole(store: &dyn Store) {
    let private = Contribution {
        url: Some("https://github.com/o/r/pull/7".into()),
        repository: Some("o/r".into()),
        private: true,
        user_id: Some(583_231),
        content: Some(Fingerprint([7; 16])),
        ..done("github:42:pull_request:7", "github:octocat")
    };
    let recorded = store.record(std::slice::from_ref(&private), at(0)).await.unwrap();
    let expected = Recorded { novelty: New, tally: 1, recognized: 0, counted_for: None, private: false };
    assert_eq!(recorded, [expected]);
    let counted = store.contribution(&private.id).await.unwrap().unwrap();
    assert_eq!((counted.contribution, counted.recorded_at), (private, at(0)));
    let contributor = store.contributor(&who("github:octocat")).await.unwrap().unwrap();
    let standing = Standing { contributor: who("github:octocat"), tally: 1, recognized: 0 };
    assert_eq!(contributor.standing, standing);
    assert_eq!((contributor.first_at, contributor.last_at), (at(0), at(0)));
}

async fn a_contributor_keeps_the_first_and_the_last_time_and_the_account(store: &dyn Store) {
    let known = Contribution { user_id: Some(7), ..done("1", "github:octocat") };
    store.record(&[known], at(10)).await.unwrap();
    store.record(&[done("2", "github:octocat")], at(30)).await.unwrap();
    store.record(&[done("3", "github:octocat")], at(20)).await.unwrap();
    let contributor = store.contributor(&who("github:octocat")).await.unwrap().unwrap();
    assert_eq!(contributor.user_id, Some(7));
    assert_eq!(contributor.first_at, at(10));
    assert!(contributor.last_at >= at(20));
}

async fn what_is_not_there_is_none(store: &dyn Store) {
    assert_eq!(store.contribution(&ContributionId::from_text("x")).await.unwrap(), None);
    assert_eq!(store.contribution(&ContributionId::from_text("")).await.unwrap(), None);
    assert_eq!(store.contributor(&who("nobody")).await.unwrap(), None);
    assert_eq!(store.recognition(&RecognitionId::from_text("nobody:3")).await.unwrap(), None);
    assert_eq!(store.position_of(&RecognitionId::from_text("nobody:3")).await.unwrap(), None);
    assert_eq!(store.record(&[], at(0)).await.unwrap(), []);
    assert_eq!(recognised(store, &[], &[Local]).await, Vec::<bool>::new());
    assert_eq!(store.backlog(&Destination::ALL).await.unwrap(), Backlog::default());
    assert_eq!(store.owing(&Milestones::default(), None, 10).await.unwrap(), []);
    store.settle(&[(RecognitionId::from_text("nobody:3"), Local, Settled::Done)]).await.unwrap();
    let late = Settled::Later(at(9));
    store.settle(&[(RecognitionId::from_text("nobody:3"), Local, late)]).await.unwrap();
    store.ping().await.unwrap();
}

async fn of_contributions_together_each_has_its_own_tally(store: &dyn Store) {
    count(store, "ann", 2).await;
    let batch = [done("a", "ann"), done("b", "ben"), done("c", "ann"), done("d", "ben"), done("e", "ann")];
    let recorded = store.record(&batch, at(1)).await.unwrap();
    assert_eq!(told(&recorded), [(New, 3), (New, 1), (New, 4), (New, 2), (New, 5)]);
}

async fn a_repeat_counts_nothing(store: &dyn Store) {
    let posted = Contribution { content: Some(Fingerprint([1; 16])), ..done("posted", "ann") };
    let other = Contribution { content: Some(Fingerprint([2; 16])), ..posted.clone() };
    store.record(&[posted.clone(), done("a", "ann")], at(0)).await.unwrap();
    assert_eq!(told(&store.record(std::slice::from_ref(&posted), at(1)).await.unwrap()), [(Same, 2)]);
    assert_eq!(told(&store.record(std::slice::from_ref(&other), at(1)).await.unwrap()), [(Different, 2)]);
    let kept = store.contribution(&posted.id).await.unwrap().unwrap();
    assert_eq!((kept.contribution.content, kept.recorded_at), (posted.content, at(0)));

    let batch = [done("b", "ben"), posted, done("c", "ann"), other, done("a", "ann"), done("d", "cleo")];
    let recorded = store.record(&batch, at(2)).await.unwrap();
    let novelties: Vec<_> = recorded.iter().map(|one| one.novelty).collect();
    assert_eq!(novelties, [New, Same, New, Different, Same, New]);
    let news: Vec<_> = recorded.iter().filter(|one| one.novelty == New).map(|one| one.tally).collect();
    assert_eq!(news, [1, 3, 1]);
    // A repeat is answered with a tally from before or after the rest of its batch.
    assert!(
        [1, 3, 4].iter().all(|&repeat: &usize| (2..=3).contains(&recorded[repeat].tally)),
        "{recorded:?}"
    );
}

async fn a_repeat_inside_a_batch_counts_once(store: &dyn Store) {
    let posted =
        |content| Contribution { content: Some(Fingerprint([content; 16])), ..done("posted", "ann") };
    let batch = [posted(1), done("a", "ann"), posted(1), posted(2), posted(1), posted(2)];
    let recorded = store.record(&batch, at(0)).await.unwrap();
    let expected = [(New, 1), (New, 2), (Same, 2), (Different, 2), (Same, 2), (Different, 2)];
    assert_eq!(told(&recorded), expected);
    assert_eq!(told(&store.record(&batch[4..], at(1)).await.unwrap()), [(Same, 2), (Different, 2)]);
}

async fn two_hundred_at_once_by_one_contributor_all_count(store: &dyn Store) {
    let batches: Vec<_> = (0..200).map(|i| [done(&format!("c{i}"), "github:octocat")]).collect();
    let recorded = join_all(batches.iter().map(|batch| store.record(batch, at(0)))).await;
    let tallies: BTreeSet<_> = recorded.into_iter().map(|recorded| recorded.unwrap()[0].tally).collect();
    assert_eq!(tallies, (1..=200).collect());
    assert_eq!(store.contributor(&who("github:octocat")).await.unwrap().unwrap().standing.tally, 200);
}

async fn copies_at_once_count_once(store: &dyn Store) {
    let batches: Vec<_> = (0..50)
        .map(|i| {
            [done(&format!("own-{i}"), "ann"), done("shared", "ann"), done(&format!("other-{i}"), "ben")]
        })
        .collect();
    let recorded = join_all(batches.iter().map(|batch| store.record(batch, at(0)))).await;
    let mut news = BTreeMap::new();
    for (batch, recorded) in batches.iter().zip(recorded) {
        for (one, recorded) in batch.iter().zip(recorded.unwrap()) {
            assert_ne!(recorded.novelty, Different);
            if recorded.novelty == New {
                *news.entry(one.id.to_string()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(news.len(), 101);
    assert!(news.values().all(|times| *times == 1), "{news:?}");
    assert_eq!(store.contributor(&who("ann")).await.unwrap().unwrap().standing.tally, 51);
    assert_eq!(store.contributor(&who("ben")).await.unwrap().unwrap().standing.tally, 50);
}

async fn odd_ids_are_kept_and_told_apart(store: &dyn Store) {
    let long = "ä/".repeat(400);
    let longer = "ä".repeat(900);
    let longest = "x".repeat(1_500);
    let over = "x".repeat(1_501);
    let ids = [
        "/",
        "//",
        ".",
        "..",
        "a/b",
        "a%2Fb",
        "%",
        "%25",
        "__a__",
        "____",
        "__name__",
        "Ünï/cødé 🦀",
        " ",
        "'\"`",
        "a\tb",
        "sha256:x",
        "a.b[c]",
        "*",
        "~",
        &long,
        &longer,
        &longest,
        &over,
    ];
    let names = [".", "..", "__a__", "100%", "änne 🦀", "github:a.b_c-d", "git.example.org:8443:mona"];
    let batch: Vec<_> = ids.iter().zip(names.iter().cycle()).map(|(id, name)| done(id, name)).collect();
    let recorded = store.record(&batch, at(0)).await.unwrap();
    assert!(recorded.iter().all(|one| one.novelty == New));
    for one in &batch {
        let counted = store.contribution(&one.id).await.unwrap().unwrap();
        assert_eq!(counted.contribution, *one);
    }
    let again = store.record(&batch, at(1)).await.unwrap();
    assert!(again.iter().all(|one| one.novelty == Same));
    for name in names {
        let expected = batch.iter().filter(|one| one.contributor == who(name)).count();
        let contributor = store.contributor(&who(name)).await.unwrap().unwrap();
        assert_eq!(contributor.standing.tally, expected as u64);
        assert_eq!(contributor.standing.contributor, who(name));
        let made = recognition(name, 1, at(1));
        assert_eq!(recognised(store, std::slice::from_ref(&made), &[Local]).await, [true]);
        assert_eq!(store.recognition(&made.id).await.unwrap().unwrap().0, made);
    }
    let all = read_all(3, async |page| {
        store.contributors(Order::Id, &ContributorFilter::default(), &page).await.unwrap()
    })
    .await;
    let all: BTreeSet<_> = all.iter().map(|one| one.standing.contributor.to_string()).collect();
    assert_eq!(all, names.iter().map(|name| (*name).to_owned()).collect());
}

async fn a_recognition_is_made_once(store: &dyn Store) {
    let third = Contribution {
        private: true,
        user_id: Some(9),
        content: Some(Fingerprint([3; 16])),
        ..done("third", "ann")
    };
    store.record(&[done("a", "ann"), done("b", "ann"), third.clone()], at(0)).await.unwrap();
    let first = Recognition { contribution: Some(third), ..recognition("ann", 3, at(1)) };
    assert_eq!(recognised(store, std::slice::from_ref(&first), &[Local, Topic]).await, [true]);
    let later = Recognition { tally: 7, contribution: None, recognized_at: at(5), ..first.clone() };
    assert_eq!(recognised(store, &[later], &[Comment]).await, [false]);
    let waiting = |destination| Progress { destination, state: State::Waiting, reason: None };
    let mut kept = store.recognition(&first.id).await.unwrap().unwrap();
    kept.1.sort_by_key(|one| one.destination);
    assert_eq!(kept, (first, vec![waiting(Local), waiting(Topic)]));
    assert_eq!(store.contributor(&who("ann")).await.unwrap().unwrap().standing.recognized, 3);
    let recorded = store.record(&[done("next", "ann")], at(6)).await.unwrap();
    assert_eq!((recorded[0].tally, recorded[0].recognized), (4, 3));
}

async fn several_milestones_are_recognised_at_once(store: &dyn Store) {
    count(store, "ann", 10).await;
    count(store, "ben", 3).await;
    let made = [recognition("ann", 3, at(1)), recognition("ben", 3, at(1)), recognition("ann", 10, at(1))];
    assert_eq!(recognised(store, &made[..1], &[Local]).await, [true]);
    assert_eq!(recognised(store, &made, &[Local]).await, [false, true, true]);
    assert_eq!(store.contributor(&who("ann")).await.unwrap().unwrap().standing.recognized, 10);
    assert_eq!(store.contributor(&who("ben")).await.unwrap().unwrap().standing.recognized, 3);
    // The highest milestone never falls.
    store.recognise(&[recognition("ann", 5, at(2))], &[Local]).await.unwrap();
    assert_eq!(store.contributor(&who("ann")).await.unwrap().unwrap().standing.recognized, 10);
}

async fn a_recognition_made_at_once_by_many_is_made_by_one(store: &dyn Store) {
    count(store, "ann", 10).await;
    let made = [recognition("ann", 3, at(1)), recognition("ann", 10, at(1))];
    let answers = join_all((0..10).map(|_| recognised(store, &made, &[Local]))).await;
    for place in 0..2 {
        assert_eq!(answers.iter().filter(|new| new[place]).count(), 1);
    }
}

async fn who_is_owed_follows_the_milestones(store: &dyn Store) {
    for (name, tally) in [("ann", 12), ("ben", 9), ("cleo", 2), ("dora", 3), ("emil", 25)] {
        count(store, name, tally).await;
    }
    let owing = async |milestones: &str, limit| {
        let milestones = Milestones::parse(milestones).unwrap();
        let owing = store.owing(&milestones, None, limit).await.unwrap();
        for standing in &owing {
            assert_ne!(owed(standing, &[], &milestones, at(0)), [], "{standing:?} is owed nothing");
        }
        owing.iter().map(|one| one.contributor.to_string()).collect::<BTreeSet<_>>()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(owing("3,10", 100).await, names(&["ann", "ben", "dora", "emil"]));
    assert_eq!(owing("3,10", 2).await.len(), 2);
    let made: Vec<_> =
        ["ann", "ben", "dora", "emil"].iter().map(|name| recognition(name, 3, at(1))).collect();
    store.recognise(&made, &[]).await.unwrap();
    assert_eq!(owing("3,10", 100).await, names(&["ann", "emil"]));
    store.recognise(&[recognition("ann", 10, at(2)), recognition("emil", 10, at(2))], &[]).await.unwrap();
    assert_eq!(owing("3,10", 100).await, names(&[]));
    // A former milestone is removed; new ones are between, below and above.
    assert_eq!(owing("2,7,20", 100).await, names(&["ben", "cleo", "emil"]));
    assert_eq!(owing("4,9,11", 100).await, names(&["ann", "ben", "emil"]));
    assert_eq!(owing("1", 100).await, names(&["cleo"]));
    assert_eq!(owing("1000", 100).await, names(&[]));
}

async fn ten_claimers_share_what_is_due(store: &dyn Store) {
    let people = people(30);
    let made = recognise_all(store, &people, &[Topic]).await;
    let claimers = (0..10).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let claimed = store.claim(Topic, at(60), at(120), 7).await.unwrap();
            mine.extend(claimed.into_iter().map(|due| due.recognition.id.to_string()));
            assert!(mine.len() <= made.len(), "what is held is given again");
            // Other claimers may hold the rest, so an empty claim does not mean that nothing is due.
            if store.claim(Topic, at(60), at(60), 1).await.unwrap().is_empty() {
                return mine;
            }
        }
    });
    let claimed: Vec<_> = join_all(claimers).await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = claimed.iter().cloned().collect();
    assert_eq!(claimed.len(), distinct.len(), "some were claimed twice");
    assert_eq!(distinct, made.iter().map(|one| one.id.to_string()).collect());
}

async fn what_is_claimed_is_held_until_then_and_no_longer(store: &dyn Store) {
    let people = people(3);
    let made = recognise_all(store, &people, &[Local, Topic]).await;
    let claimed = store.claim(Topic, at(10), at(40), 2).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|due| &due.recognition.id).collect();
    assert_eq!(ids, [&made[0].id, &made[1].id], "oldest first");
    assert_eq!((&claimed[0].recognition, claimed[0].tries), (&made[0], 0));
    let rest = store.claim(Topic, at(39), at(50), 10).await.unwrap();
    assert_eq!(rest.iter().map(|due| &due.recognition.id).collect::<Vec<_>>(), [&made[2].id]);
    assert_eq!(store.claim(Local, at(10), at(40), 10).await.unwrap().len(), 3, "each destination for itself");
    assert_eq!(store.claim(Topic, at(40), at(60), 10).await.unwrap().len(), 2, "the hold has ended");
    assert_eq!(store.claim(Comment, at(60), at(90), 10).await.unwrap(), []);
    assert_eq!(store.claim(Topic, at(0), at(90), 10).await.unwrap(), [], "not due before it was made");
}

async fn a_look_holds_nothing(store: &dyn Store) {
    recognise_all(store, &people(2), &[Topic]).await;
    for _ in 0..2 {
        assert_eq!(store.claim(Topic, at(10), at(10), 10).await.unwrap().len(), 2);
    }
}

async fn what_is_settled_is_not_due(store: &dyn Store) {
    let made = recognise_all(store, &people(3), &[Topic, Comment]).await;
    let settled = [
        (made[0].id.clone(), Topic, Settled::Done),
        (made[0].id.clone(), Comment, Settled::GivenUp(GiveUp::Locked)),
        (made[1].id.clone(), Topic, Settled::Later(at(100))),
    ];
    store.claim(Topic, at(10), at(40), 10).await.unwrap();
    store.settle(&settled).await.unwrap();
    let due = async |now| {
        let due = store.claim(Topic, at(now), at(now), 10).await.unwrap();
        due.into_iter().map(|due| (due.recognition.id, due.tries)).collect::<HashMap<_, _>>()
    };
    assert_eq!(due(99).await, HashMap::from([(made[2].id.clone(), 0)]));
    assert_eq!(due(100).await, HashMap::from([(made[1].id.clone(), 1), (made[2].id.clone(), 0)]));
    let progress = |destination, state, reason| Progress { destination, state, reason };
    let (kept, mut became) = store.recognition(&made[0].id).await.unwrap().unwrap();
    became.sort_by_key(|one| one.destination);
    assert_eq!(kept, made[0]);
    assert_eq!(
        became,
        [progress(Topic, State::Done, None), progress(Comment, State::GivenUp, Some(GiveUp::Locked))]
    );
    let (_, mut became) = store.recognition(&made[1].id).await.unwrap().unwrap();
    became.sort_by_key(|one| one.destination);
    assert_eq!(became, [progress(Topic, State::Waiting, None), progress(Comment, State::Waiting, None)]);
    store.settle(&[(made[1].id.clone(), Topic, Settled::Later(at(200)))]).await.unwrap();
    assert_eq!(due(200).await[&made[1].id], 2);
}

/// A clock that was ahead had put it off, or made it.
async fn what_is_put_off_for_longer_than_anything_is_due(store: &dyn Store) {
    let people = people(4);
    let made = recognise_all(store, &people[..3], &[Topic]).await;
    count(store, &people[3], 3).await;
    let ahead = recognition(&people[3], 3, at(72 * 3_600));
    store.recognise(std::slice::from_ref(&ahead), &[Topic]).await.unwrap();
    let now = at(60);
    let longest = now + LONGEST_DELAY;
    let just_longer = longest + std::time::Duration::from_micros(1);
    let settled: Vec<_> = made
        .iter()
        .zip([longest, just_longer, at(0)])
        .map(|(one, next)| (one.id.clone(), Topic, Settled::Later(next)))
        .collect();
    store.settle(&settled).await.unwrap();
    let claim = async |until, limit| {
        let due = store.claim(Topic, now, until, limit).await.unwrap();
        due.into_iter().map(|due| due.recognition.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(now, 1).await, [made[2].id.clone()]);
    assert_eq!(claim(now, 2).await, [made[2].id.clone(), made[1].id.clone()]);
    let due = [&made[2], &made[1], &ahead].map(|one| one.id.clone());
    assert_eq!(claim(at(90), 10).await, due);
    assert_eq!(claim(at(90), 10).await, [], "they are held like all others");
    store.settle(&due.map(|id| (id, Topic, Settled::Done))).await.unwrap();
    assert_eq!(store.backlog(&[Topic]).await.unwrap().waiting, 1);
}

async fn what_was_taken_is_never_due_again(store: &dyn Store) {
    let made = recognise_all(store, &people(1), &[Topic]).await;
    store.settle(&[(made[0].id.clone(), Topic, Settled::Done)]).await.unwrap();
    store.settle(&[(made[0].id.clone(), Topic, Settled::Later(at(5)))]).await.unwrap();
    store.settle(&[(made[0].id.clone(), Comment, Settled::Later(at(5)))]).await.unwrap();
    assert_eq!(store.claim(Topic, at(100), at(100), 10).await.unwrap(), []);
    assert_eq!(store.claim(Comment, at(100), at(100), 10).await.unwrap(), []);
    assert_eq!(store.backlog(&Destination::ALL).await.unwrap(), Backlog::default());
    assert_eq!(recognised(store, &made, &[Topic]).await, [false]);
    assert_eq!(store.claim(Topic, at(100), at(100), 10).await.unwrap(), []);
}

async fn the_backlog_counts_each_destination(store: &dyn Store) {
    let made = recognise_all(store, &people(3), &[Topic, Comment]).await;
    let backlog = async |destinations: &[Destination]| {
        let backlog = store.backlog(destinations).await.unwrap();
        (backlog.waiting, backlog.oldest)
    };
    assert_eq!(backlog(&[Topic, Comment]).await, (6, Some(at(1))));
    assert_eq!(backlog(&[Topic]).await, (3, Some(at(1))));
    assert_eq!(backlog(&[Local]).await, (0, None));
    assert_eq!(backlog(&[]).await, (0, None));
    store.claim(Topic, at(10), at(40), 10).await.unwrap();
    assert_eq!(backlog(&[Topic]).await.0, 3, "what is held waits still");
    store.settle(&[(made[0].id.clone(), Topic, Settled::Done)]).await.unwrap();
    assert_eq!(backlog(&[Topic]).await, (2, Some(at(2))));
    assert_eq!(backlog(&[Topic, Comment]).await, (5, Some(at(1))));
}

async fn contributors_are_listed_whole_in_either_order(store: &dyn Store) {
    let mut expected = Vec::new();
    for (name, place) in people(12).iter().zip(0..) {
        count(store, name, place % 4 + 1).await;
        expected.push(((place % 4 + 1) as u64, name.clone()));
    }
    let mine = |one: &plaudit::store::Contributor| (one.standing.tally, one.standing.contributor.to_string());
    let by_id = read_all(5, async |page| {
        store.contributors(Order::Id, &ContributorFilter::default(), &page).await.unwrap()
    })
    .await;
    assert_eq!(by_id.iter().map(mine).collect::<Vec<_>>(), expected);
    expected.sort_by(|one, other| other.cmp(one));
    for limit in [1, 3, 4, 12, 100] {
        let by_tally = read_all(limit, async |page| {
            store.contributors(Order::Tally, &ContributorFilter::default(), &page).await.unwrap()
        })
        .await;
        assert_eq!(by_tally.iter().map(mine).collect::<Vec<_>>(), expected);
    }
}

async fn contributors_are_found_by_their_host_and_the_beginning_of_their_login(store: &dyn Store) {
    let people = [
        ("ada", 2),
        ("gitlab:ada", 1),
        ("github:ada", 3),
        ("github:adele", 3),
        ("github:zoe", 5),
        // Begins like the next host, and the port like a login.
        ("h.example:8443:adam", 1),
        ("h.example:84", 2),
        ("h.example/git:ad_hoc", 1),
        ("adä", 1),
        ("__ad__", 1),
    ];
    for (name, tally) in people {
        count(store, name, tally).await;
    }
    let list = async |order, host: Option<&str>, search: Option<&str>| {
        let host = host.map(|host| HostName::of_text(host).unwrap());
        let filter = ContributorFilter { host, search: search.map(str::to_owned) };
        let mut lists = Vec::new();
        for limit in [1, 2, 100] {
            let read = async |page| store.contributors(order, &filter, &page).await.unwrap();
            let found = read_all(limit, read).await;
            lists.push(found.iter().map(|one| one.standing.contributor.to_string()).collect::<Vec<_>>());
        }
        assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
        lists.remove(0)
    };
    let by_tally = list(Order::Tally, Some("github"), None).await;
    assert_eq!(by_tally, ["github:zoe", "github:adele", "github:ada"]);
    assert_eq!(list(Order::Id, Some("github"), None).await, ["github:ada", "github:adele", "github:zoe"]);
    assert_eq!(list(Order::Tally, Some("h.example"), None).await, ["h.example:84"]);
    assert_eq!(list(Order::Id, Some("h.example:8443"), None).await, ["h.example:8443:adam"]);
    assert_eq!(list(Order::Id, Some("h.example/git"), None).await, ["h.example/git:ad_hoc"]);
    assert_eq!(list(Order::Id, Some("git.example"), None).await, Vec::<String>::new());
    for order in [Order::Tally, Order::Id] {
        let by_login = [
            "h.example/git:ad_hoc",
            "ada",
            "github:ada",
            "gitlab:ada",
            "h.example:8443:adam",
            "github:adele",
            "adä",
        ];
        assert_eq!(list(order, None, Some("ad")).await, by_login);
        assert_eq!(list(order, Some("github"), Some("ad")).await, ["github:ada", "github:adele"]);
        assert_eq!(list(order, Some("h.example"), Some("8")).await, ["h.example:84"]);
        assert_eq!(list(order, None, Some("__ad")).await, ["__ad__"]);
        assert_eq!(list(order, None, Some("da")).await, Vec::<String>::new());
    }
}

async fn totals_are_exact(store: &dyn Store) {
    assert_eq!(store.totals().await.unwrap(), Totals::default());
    recognise_all(store, &people(4), &[Local]).await;
    let spam = done("github:42:pull_request:7:mona", "github:mona");
    store.record(std::slice::from_ref(&spam), at(0)).await.unwrap();
    let review =
        Review { work: spam.work(), part: Some(spam.id.clone()), ruling: Ruling::Deleted, private: false };
    store.review(&review).await.unwrap();
    let totals = Totals { contributors: 5, contributions: 12, recognitions: 4 };
    assert_eq!(store.totals().await.unwrap(), totals);
}

async fn contributions_are_listed_newest_first_and_private_ones_on_demand(store: &dyn Store) {
    let mut expected = Vec::new();
    for second in 0..6 {
        // Always two at the same moment, one of them private.
        let open = done(&format!("open-{second}"), "ann");
        let private = Contribution { private: true, ..done(&format!("private-{second}"), "ann") };
        store
            .record(&[open.clone(), private.clone(), done(&format!("ben-{second}"), "ben")], at(second))
            .await
            .unwrap();
        expected.push((at(second), [open.id.to_string(), private.id.to_string()]));
    }
    expected.reverse();
    for limit in [1, 2, 5, 100] {
        let list = async |with_private| {
            let read = async |page| {
                store
                    .contributions_of(
                        &who("ann"),
                        if with_private { Shown::Counted } else { Shown::Public },
                        &page,
                    )
                    .await
                    .unwrap()
            };
            read_all(limit, read).await
        };
        let all = list(true).await;
        let times: Vec<_> = all.iter().map(|one| one.recorded_at).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        let ids: BTreeSet<_> = all.iter().map(|one| one.contribution.id.to_string()).collect();
        assert_eq!((all.len(), ids), (12, expected.iter().flat_map(|(_, ids)| ids.clone()).collect()));
        let open: Vec<_> = list(false).await.iter().map(|one| one.contribution.id.to_string()).collect();
        assert_eq!(open, expected.iter().map(|(_, [open, _])| open.clone()).collect::<Vec<_>>());
    }
    let nobody = store.contributions_of(&who("nobody"), Shown::All, &page(10, None)).await.unwrap();
    assert_eq!((nobody.items, nobody.next), (Vec::new(), None));
}

async fn contributions_are_narrowed_by_repository_kind_and_time(store: &dyn Store) {
    let issue = Kind::parse("issue").unwrap();
    for second in 0..4 {
        let hello = Contribution { repository: Some("o/hello".into()), ..done(&format!("h{second}"), "ann") };
        let world = Contribution {
            repository: Some("o/world".into()),
            kind: issue.clone(),
            ..done(&format!("w{second}"), "ann")
        };
        let of_ben = Contribution {
            repository: Some("o/hello".into()),
            kind: issue.clone(),
            private: second == 3,
            ..done(&format!("b{second}"), "ben")
        };
        for one in [hello, world, of_ben, done(&format!("n{second}"), "ann")] {
            store.record(&[one], at(second)).await.unwrap();
        }
    }
    let b2 = ContributionId::from_text("b2");
    let deletion =
        Review { work: WorkId::alone(&b2), part: Some(b2), ruling: Ruling::Deleted, private: false };
    store.review(&deletion).await.unwrap();
    let list = async |filter: &ContributionFilter| {
        let mut lists = Vec::new();
        for limit in [1, 3, 100] {
            let read = async |page| store.contributions(filter, &page).await.unwrap();
            let found = read_all(limit, read).await;
            assert!(found.is_sorted_by(|one, next| one.recorded_at >= next.recorded_at));
            let mut ids: Vec<_> = found.iter().map(|one| one.contribution.id.to_string()).collect();
            // Of one moment, each store has an order of its own.
            ids.sort();
            lists.push(ids.join(" "));
        }
        assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
        lists.remove(0)
    };
    let hello = || Of::Repository("o/hello".into());
    let public = ContributionFilter::of(hello(), Shown::Public);
    assert_eq!(list(&public).await, "b0 b1 h0 h1 h2 h3");
    assert_eq!(list(&ContributionFilter::of(hello(), Shown::Counted)).await, "b0 b1 b3 h0 h1 h2 h3");
    assert_eq!(list(&ContributionFilter::of(hello(), Shown::All)).await, "b0 b1 b2 b3 h0 h1 h2 h3");
    assert_eq!(list(&ContributionFilter::of(Of::Repository("O/hello".into()), Shown::All)).await, "");
    let kind =
        |filter: &ContributionFilter| ContributionFilter { kind: Some(issue.clone()), ..filter.clone() };
    assert_eq!(list(&kind(&public)).await, "b0 b1");
    // The first moment is within, the last is not.
    let within = |filter: &ContributionFilter| ContributionFilter {
        since: Some(at(1)),
        until: Some(at(3)),
        ..filter.clone()
    };
    assert_eq!(list(&within(&public)).await, "b1 h1 h2");
    assert_eq!(list(&within(&kind(&public))).await, "b1");
    let ann = ContributionFilter::of(Of::Contributor(who("ann")), Shown::Counted);
    assert_eq!(list(&kind(&ann)).await, "w0 w1 w2 w3");
    assert_eq!(list(&within(&ann)).await, "h1 h2 n1 n2 w1 w2");
    assert_eq!(list(&within(&kind(&ann))).await, "w1 w2");
    let until = |second| ContributionFilter { until: Some(at(second)), ..ann.clone() };
    assert_eq!(list(&until(0)).await, "");
}

async fn recognitions_are_narrowed_by_contributor_and_time(store: &dyn Store) {
    count(store, "ann", 3).await;
    recognise_all(store, &people(3), &[Local]).await;
    let of_ann = [recognition("ann", 2, at(2)), recognition("ann", 3, at(4))];
    store.recognise(&of_ann, &[Local]).await.unwrap();
    let list = async |contributor: Option<&str>, since: Option<i64>| {
        let filter = RecognitionFilter { contributor: contributor.map(who), since: since.map(at) };
        let found = read_all(1, async |page| store.recognitions(&filter, &page).await.unwrap()).await;
        let mut ids: Vec<_> = found.iter().map(|one| one.id.to_string()).collect();
        ids.sort();
        ids.join(" ")
    };
    assert_eq!(list(Some("ann"), None).await, "ann:2 ann:3");
    assert_eq!(list(Some("ann"), Some(3)).await, "ann:3");
    assert_eq!(list(Some("ben"), None).await, "");
    assert_eq!(list(None, Some(3)).await, "ann:3 github:person-02:3");
    assert_eq!(list(None, Some(5)).await, "");
}

async fn recognitions_are_listed_newest_first(store: &dyn Store) {
    let mut made = recognise_all(store, &people(7), &[Local]).await;
    made.reverse();
    for limit in [1, 3, 7, 100] {
        let all = read_all(limit, async |page| {
            store.recognitions(&RecognitionFilter::default(), &page).await.unwrap()
        })
        .await;
        assert_eq!(all, made);
    }
}

async fn a_cursor_of_elsewhere_is_refused(store: &dyn Store) {
    recognise_all(store, &people(3), &[Local]).await;
    let by_tally = store
        .contributors(Order::Tally, &ContributorFilter::default(), &page(1, None))
        .await
        .unwrap()
        .next
        .unwrap();
    let by_id = store
        .contributors(Order::Id, &ContributorFilter::default(), &page(1, None))
        .await
        .unwrap()
        .next
        .unwrap();
    let newest =
        store.recognitions(&RecognitionFilter::default(), &page(1, None)).await.unwrap().next.unwrap();
    let who = who("github:person-00");
    let of_one = store.contributions_of(&who, Shown::All, &page(1, None)).await.unwrap().next.unwrap();
    let refused =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::BadCursor)), "{result:?}");
    let garbage = ["", "x", "%%%", "e30", "bnVsbA", "W10", "\u{1F980}", "AAAA"].map(str::to_owned);
    let check = async |good: &String| {
        let foreign = [&by_tally, &by_id, &newest, &of_one].into_iter().filter(|cursor| *cursor != good);
        for cursor in foreign.chain(&garbage) {
            let page = page(1, Some(cursor.clone()));
            if good == &by_tally {
                refused(
                    store.contributors(Order::Tally, &ContributorFilter::default(), &page).await.map(drop),
                );
            } else if good == &by_id {
                refused(store.contributors(Order::Id, &ContributorFilter::default(), &page).await.map(drop));
            } else if good == &newest {
                refused(store.recognitions(&RecognitionFilter::default(), &page).await.map(drop));
            } else {
                refused(store.contributions_of(&who, Shown::All, &page).await.map(drop));
            }
        }
    };
    for good in [&by_tally, &by_id, &newest, &of_one] {
        check(good).await;
    }
    for position in &garbage {
        refused(store.recognitions_after(Some(position), 10).await.map(drop));
    }
}

async fn the_contribution_that_reached_a_tally_is_found(store: &dyn Store) {
    // Three commits of instances whose clocks differ, one of them with another contributor's between.
    store.record(&[done("a1", "ann"), done("b1", "ben"), done("a2", "ann")], at(10)).await.unwrap();
    store.record(&[done("a3", "ann")], at(-3_600)).await.unwrap();
    store.record(&[done("a4", "ann"), done("a0", "ann")], at(3_600)).await.unwrap();
    let reached = async |name: &str, tally| {
        store.reached(&who(name), tally).await.unwrap().map(|one| one.id.to_string())
    };
    for (tally, id) in (1..).zip(["a1", "a2", "a3", "a4", "a0"]) {
        assert_eq!(reached("ann", tally).await.as_deref(), Some(id));
    }
    assert_eq!((reached("ann", 6).await, reached("nobody", 1).await), (None, None));
    // Of those that count now.
    let deletion = Review {
        work: done("a2", "ann").work(),
        part: Some(ContributionId::from_text("a2")),
        ruling: Ruling::Deleted,
        private: false,
    };
    store.review(&deletion).await.unwrap();
    assert_eq!(reached("ann", 2).await.as_deref(), Some("a3"));
    // Far back.
    count(store, "cleo", 230).await;
    assert_eq!(reached("cleo", 3).await.as_deref(), Some("3/cleo"));
}

/// Reads to the end from `position`, which it moves; returns the ids that were not `seen` before.
async fn follow(
    store: &dyn Store,
    position: &mut String,
    seen: &mut BTreeSet<String>,
    limit: usize,
) -> Vec<String> {
    let mut fresh = Vec::new();
    loop {
        let news = store.recognitions_after(Some(position), limit).await.unwrap();
        assert!(news.items.len() <= limit);
        let ids = news.items.iter().map(|one| one.id.to_string());
        fresh.extend(ids.filter(|id| seen.insert(id.clone())));
        *position = news.position;
        if !news.more {
            return fresh;
        }
    }
}

async fn what_is_made_after_a_position_is_followed(store: &dyn Store) {
    let people = people(9);
    recognise_all(store, &people[..2], &[Local]).await;
    let present = store.recognitions_after(None, 10).await.unwrap();
    assert_eq!((present.items, present.more), (Vec::new(), false));
    let mut position = present.position;
    let mut seen = BTreeSet::new();
    assert_eq!(follow(store, &mut position, &mut seen, 2).await, Vec::<String>::new());

    for name in &people[2..] {
        count(store, name, 3).await;
    }
    let made: Vec<_> =
        people[2..7].iter().zip(10..).map(|(name, second)| recognition(name, 3, at(second))).collect();
    for one in &made {
        store.recognise(std::slice::from_ref(one), &[Local]).await.unwrap();
    }
    let ids: Vec<_> = made.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(follow(store, &mut position, &mut seen, 2).await, ids, "oldest first");
    assert_eq!(follow(store, &mut position, &mut seen, 2).await, Vec::<String>::new());

    // Made by an instance whose clock is a day behind, or ahead.
    for (name, second) in [(&people[7], -86_400), (&people[8], 86_400)] {
        let one = recognition(name, 3, at(second));
        store.recognise(std::slice::from_ref(&one), &[Local]).await.unwrap();
        assert_eq!(follow(store, &mut position, &mut seen, 2).await, [one.id.to_string()]);
    }

    let mut resumed = store.position_of(&made[2].id).await.unwrap().unwrap();
    let mut again = BTreeSet::new();
    follow(store, &mut resumed, &mut again, 2).await;
    let expected: BTreeSet<_> = seen.iter().filter(|id| !ids[..3].contains(id)).cloned().collect();
    assert_eq!(again, expected, "what came after the third");
}

async fn many_made_at_one_moment_are_all_followed(store: &dyn Store) {
    let mut position = store.recognitions_after(None, 10).await.unwrap().position;
    let people = people(9);
    for name in &people {
        count(store, name, 3).await;
    }
    let made: Vec<_> = people.iter().map(|name| recognition(name, 3, at(5))).collect();
    store.recognise(&made, &[Local]).await.unwrap();
    let followed = follow(store, &mut position, &mut BTreeSet::new(), 2).await;
    assert_eq!(
        followed.into_iter().collect::<BTreeSet<_>>(),
        made.iter().map(|one| one.id.to_string()).collect()
    );
}

/// Records history that nothing owed stands in the way of.
pub async fn record_history(
    store: &dyn Store,
    batch: &[Contribution],
    milestones: &Milestones,
) -> Vec<Recorded> {
    match store.record_history(batch, milestones, at(0)).await.unwrap() {
        History::Recorded(recorded) => recorded,
        History::Owed(standings) => panic!("owed before: {standings:?}"),
    }
}

async fn history_counts_and_what_it_reaches_is_never_owed(store: &dyn Store) {
    let milestones = Milestones::parse("3,10").unwrap();
    let history: Vec<_> = (0..4).map(|i| done(&format!("h{i}"), "ann")).collect();
    let batch = [&history[..], &[done("b", "ben"), done("h0", "ann")]].concat();
    let recorded = record_history(store, &batch, &milestones).await;
    assert_eq!(told(&recorded), [(New, 1), (New, 2), (New, 3), (New, 4), (New, 1), (Same, 4)]);
    let recognized: Vec<_> = recorded.iter().map(|one| one.recognized).collect();
    assert_eq!(recognized, [3, 3, 3, 3, 0, 3]);
    assert_eq!(store.owing(&milestones, None, 10).await.unwrap(), []);
    let standing = async |name: &str| store.contributor(&who(name)).await.unwrap().unwrap().standing;
    assert_eq!((standing("ann").await.tally, standing("ann").await.recognized), (4, 3));
    assert_eq!((standing("ben").await.tally, standing("ben").await.recognized), (1, 0));
    // Again, it changes nothing.
    let again = record_history(store, &batch, &milestones).await;
    assert!(again.iter().all(|one| one.novelty == Same), "{again:?}");
    assert_eq!((standing("ann").await.tally, standing("ann").await.recognized), (4, 3));
    // Live ones go on from there.
    let live: Vec<_> = (0..6).map(|i| done(&format!("l{i}"), "ann")).collect();
    let recorded = store.record(&live, at(1)).await.unwrap();
    assert_eq!((recorded[5].tally, recorded[5].recognized), (10, 3));
    assert_eq!(store.owing(&milestones, None, 10).await.unwrap(), [standing("ann").await]);
}

async fn parts_of_landed_pull_requests_can_be_history_too(store: &dyn Store) {
    let milestones = Milestones::parse("2,3").unwrap();
    let landed = |number: u8, name: &str| Contribution {
        landed_at: Some(at(3)),
        ..done(&format!("github:1:pull_request:{number}:{name}"), name)
    };
    let batch = [landed(1, "ann"), landed(1, "ben"), landed(2, "ann"), done("github:1:issue:3", "ann")];
    let recorded = record_history(store, &batch, &milestones).await;
    assert!(recorded.iter().all(|one| one.novelty == New), "{recorded:?}");
    assert_eq!(store.owing(&milestones, None, 10).await.unwrap(), []);
    let standing = store.contributor(&who("ann")).await.unwrap().unwrap().standing;
    assert_eq!((standing.tally, standing.recognized), (3, 3));
}

async fn what_is_owed_is_made_before_history_passes_over_it(store: &dyn Store) {
    let milestones = Milestones::parse("3,5").unwrap();
    count(store, "ann", 3).await;
    let history: Vec<_> = (0..4).map(|i| done(&format!("h{i}"), "ann")).collect();
    let owed = store.record_history(&history, &milestones, at(1)).await.unwrap();
    let standing = Standing { contributor: who("ann"), tally: 3, recognized: 0 };
    assert_eq!(owed, History::Owed(vec![standing]));
    assert_eq!(store.contribution(&history[0].id).await.unwrap(), None, "nothing is recorded");
    assert_eq!(recognised(store, &[recognition("ann", 3, at(2))], &[Local]).await, [true]);
    let recorded = record_history(store, &history, &milestones).await;
    assert_eq!((recorded[3].tally, recorded[3].recognized), (7, 5));
    assert_eq!(store.owing(&milestones, None, 10).await.unwrap(), []);
}

/// Every tally is a milestone here. Those that a live contribution reached are recognised, and no other.
async fn at_once_with_live_ones_history_recognises_nothing_and_they_all_are(store: &dyn Store) {
    const ALL: u64 = 20;
    let milestones: Vec<_> = (1..=ALL).map(|milestone| milestone.to_string()).collect();
    let milestones = &Milestones::parse(&milestones.join(",")).unwrap();
    let recognise = async |standing: &Standing| {
        let owed = owed(standing, &[], milestones, at(1));
        store.recognise(&owed, &[Local]).await.unwrap();
    };
    let live = (0..ALL / 2).map(async |i| {
        let recorded = store.record(&[done(&format!("live-{i}"), "ann")], at(0)).await.unwrap();
        let [Recorded { tally, recognized, .. }] = recorded[..] else { panic!("{recorded:?}") };
        recognise(&Standing { contributor: who("ann"), tally, recognized }).await;
        tally
    });
    let history = (0..ALL / 4).map(async |i| {
        let batch = [done(&format!("history-{i}"), "ann"), done(&format!("more-{i}"), "ann")];
        loop {
            match store.record_history(&batch, milestones, at(0)).await {
                Ok(History::Recorded(recorded)) => {
                    assert!(recorded.iter().all(|one| one.novelty == New), "{recorded:?}");
                    return;
                }
                Ok(History::Owed(standings)) => join_all(standings.iter().map(recognise)).await,
                // A live one reached a milestone just now.
                Err(StoreError::Unavailable(_)) => continue,
                Err(error) => panic!("{error}"),
            };
        }
    });
    let (reached, _) = tokio::join!(join_all(live), join_all(history));
    assert_eq!(store.owing(milestones, None, 10).await.unwrap(), []);
    let standing = store.contributor(&who("ann")).await.unwrap().unwrap().standing;
    assert_eq!((standing.tally, standing.recognized), (ALL, ALL));
    let made =
        read_all(100, async |page| store.recognitions(&RecognitionFilter::default(), &page).await.unwrap())
            .await;
    let made: BTreeSet<_> = made.iter().map(|one| one.milestone).collect();
    assert_eq!(made, reached.into_iter().collect());
}

async fn a_bookmark_is_what_was_last_set_under_its_name(store: &dyn Store) {
    let names = ["backfill:github:42:items", "backfill:github:42/%items", &"long".repeat(1_000)];
    for name in names {
        assert_eq!(store.bookmark(name).await.unwrap(), None, "{name}");
        store.set_bookmark(name, "").await.unwrap();
        let value = format!("of {name} {}", "x".repeat(8_192));
        store.set_bookmark(name, &value).await.unwrap();
    }
    for name in names {
        let value = store.bookmark(name).await.unwrap().unwrap();
        assert!(value.starts_with(&format!("of {name} x")), "{name}");
        assert_eq!(value.len(), name.len() + 4 + 8_192);
    }
}

async fn of_those_who_replace_a_bookmark_at_once_one_does(store: &dyn Store) {
    let name = "reconcile:github:o/r:1";
    let mut before: Option<String> = None;
    for round in 0..5 {
        let values: Vec<String> = (0..6).map(|one| format!("round {round} of {one}")).collect();
        let replace = values.iter().map(|value| store.replace_bookmark(name, before.as_deref(), value));
        let done: Vec<bool> = futures::future::try_join_all(replace).await.unwrap();
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
        let first = done.iter().position(|done| *done).unwrap();
        assert_eq!(store.bookmark(name).await.unwrap().as_ref(), Some(&values[first]));
        before = Some(values[first].clone());
    }
    assert!(!store.replace_bookmark(name, None, "another").await.unwrap());
}

macro_rules! suite {
    ($store:ident) => {
        mod $store {
            suite!(@holds $store:
                a_new_contribution_counts_and_comes_back_whole,
                a_contributor_keeps_the_first_and_the_last_time_and_the_account,
                what_is_not_there_is_none,
                of_contributions_together_each_has_its_own_tally,
                a_repeat_counts_nothing,
                a_repeat_is_answered_for_whom_it_was_counted,
                a_repeat_inside_a_batch_counts_once,
                two_hundred_at_once_by_one_contributor_all_count,
                copies_at_once_count_once,
                odd_ids_are_kept_and_told_apart,
                a_recognition_is_made_once,
                several_milestones_are_recognised_at_once,
                a_recognition_made_at_once_by_many_is_made_by_one,
                who_is_owed_follows_the_milestones,
                ten_claimers_share_what_is_due,
                what_is_claimed_is_held_until_then_and_no_longer,
                a_look_holds_nothing,
                what_is_settled_is_not_due,
                what_is_put_off_for_longer_than_anything_is_due,
                what_was_taken_is_never_due_again,
                the_backlog_counts_each_destination,
                contributors_are_listed_whole_in_either_order,
                contributors_are_found_by_their_host_and_the_beginning_of_their_login,
                totals_are_exact,
                contributions_are_listed_newest_first_and_private_ones_on_demand,
                contributions_are_narrowed_by_repository_kind_and_time,
                recognitions_are_narrowed_by_contributor_and_time,
                recognitions_are_listed_newest_first,
                a_cursor_of_elsewhere_is_refused,
                the_contribution_that_reached_a_tally_is_found,
                what_is_made_after_a_position_is_followed,
                many_made_at_one_moment_are_all_followed,
                history_counts_and_what_it_reaches_is_never_owed,
                parts_of_landed_pull_requests_can_be_history_too,
                what_is_owed_is_made_before_history_passes_over_it,
                at_once_with_live_ones_history_recognises_nothing_and_they_all_are,
                a_bookmark_is_what_was_last_set_under_its_name,
                of_those_who_replace_a_bookmark_at_once_one_does,
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

suite!(sqlite);
suite!(firestore);
