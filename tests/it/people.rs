//! Accounts that are renamed, taken by others, linked and parted again: what one person does counts for them once.

use std::collections::{BTreeMap, BTreeSet};

use plaudit::domain::{
    Contribution, ContributionId, Destination, Labels, Milestones, Moment, Naming, Recognition,
    RecognitionId, Review, Ruling, Standing, WorkId,
};
use plaudit::store::firestore::Firestore;
use plaudit::store::{
    Account, ContributionFilter, ContributorFilter, Counted, ForgetKey, Forgot, History, Linked, Novelty, Of,
    Order, Page, RecognitionFilter, Recorded, Shown, Store, StoreError, Unlinked,
};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::store::{Opened, at, done, recognised, recognition, sqlite, who};
use crate::support::emulators;

/// An issue, whose payload states the author's number.
fn opened(issue: u64, login: &str, number: u64, second: i64) -> Contribution {
    Contribution {
        user_id: Some(number),
        occurred_at: at(second),
        ..done(&format!("github:1:issue:{issue}"), &format!("github:{login}"))
    }
}

/// A push, whose number is part of an address.
fn pushed(push: u64, login: &str, number: Option<u64>) -> Contribution {
    let id = format!("github:1:push:{push}:{login}");
    Contribution { user_id: number, ..done(&id, &format!("github:{login}")) }
}

/// One login's part of a pull request.
fn part(pull_request: u64, login: &str) -> Contribution {
    done(&format!("github:1:pull_request:{pull_request}:{login}"), &format!("github:{login}"))
}

async fn record(store: &dyn Store, one: Contribution) -> Recorded {
    store.record(&[one], at(0)).await.unwrap().remove(0)
}

async fn all(store: &dyn Store, contributions: impl IntoIterator<Item = Contribution>) {
    for one in contributions {
        record(store, one).await;
    }
}

const EVERYTHING: Page = Page { limit: 100, after: None };

/// All contributors with their tallies, each of which is the number of its contributions that count.
async fn tallies(store: &dyn Store) -> Vec<(String, u64)> {
    let tallies = tallies_of(store, &ContributorFilter::default()).await;
    let totals = store.totals().await.unwrap();
    assert_eq!(totals.contributors, tallies.len() as u64);
    assert_eq!(totals.contributions, tallies.iter().map(|(_, tally)| tally).sum::<u64>());
    tallies
}

async fn tallies_of(store: &dyn Store, filter: &ContributorFilter) -> Vec<(String, u64)> {
    let mut listed = Vec::new();
    let mut page = EVERYTHING;
    loop {
        let part = store.contributors(Order::Id, filter, &page).await.unwrap();
        listed.extend(part.items);
        let Some(after) = part.next else { break };
        page.after = Some(after);
    }
    let mut tallies = Vec::new();
    for contributor in listed {
        let Standing { contributor, tally, .. } = contributor.standing;
        let counted = store.contributions_of(&contributor, Shown::Counted, &EVERYTHING).await.unwrap();
        assert_eq!(counted.items.len() as u64, tally, "{contributor}");
        assert!(counted.items.iter().all(|one| one.contribution.contributor == contributor));
        tallies.push((contributor.to_string(), tally));
    }
    tallies
}

async fn are(store: &dyn Store, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(name, tally)| (format!("github:{name}"), *tally)).collect();
    assert_eq!(tallies(store).await, expected);
}

async fn standing(store: &dyn Store, login: &str) -> Standing {
    store.contributor(&who(&format!("github:{login}"))).await.unwrap().unwrap().standing
}

async fn link(store: &dyn Store, account: &str, to: &str) -> Linked {
    store.link(&who(&format!("github:{account}")), &who(&format!("github:{to}"))).await.unwrap()
}

async fn unlink(store: &dyn Store, account: &str) -> Unlinked {
    store.unlink(&who(&format!("github:{account}"))).await.unwrap()
}

async fn accounts(store: &dyn Store, contributor: &str) -> Vec<(String, Option<u64>, bool)> {
    let accounts = store.accounts_of(&who(&format!("github:{contributor}"))).await.unwrap();
    accounts.into_iter().map(|Account { id, number, linked }| (id.to_string(), number, linked)).collect()
}

/// Makes what is owed at these milestones.
async fn recognise_owed(store: &dyn Store, milestones: &str) -> Vec<String> {
    let milestones = Milestones::parse(milestones).unwrap();
    let owing = store.owing(&milestones, None, 100).await.unwrap();
    let mut made = Vec::new();
    for Standing { contributor, tally, recognized } in owing {
        for milestone in milestones.between(recognized, tally) {
            made.push(recognition(contributor.as_str(), milestone, at(9)));
        }
    }
    let new = store.recognise(&made, &[Destination::Local]).await.unwrap().new;
    let mut new: Vec<_> = new.into_iter().map(|made| made.id.to_string()).collect();
    new.sort();
    new
}

async fn recognitions_of(store: &dyn Store, login: &str) -> BTreeSet<String> {
    let filter = RecognitionFilter {
        contributor: Some(who(&format!("github:{login}"))),
        ..RecognitionFilter::default()
    };
    let found = store.recognitions(&filter, &EVERYTHING).await.unwrap();
    found.items.into_iter().map(|found| found.id.to_string()).collect()
}

/// Everything of the ledger that shows, but for the highest milestones recognised.
async fn ledger(store: &dyn Store) -> (Vec<Counted>, Vec<Recognition>, Vec<String>) {
    let mut contributions = Vec::new();
    let mut people = Vec::new();
    let listed = store.contributors(Order::Id, &ContributorFilter::default(), &EVERYTHING).await.unwrap();
    for mut contributor in listed.items {
        let name = &contributor.standing.contributor;
        contributions.extend(store.contributions_of(name, Shown::All, &EVERYTHING).await.unwrap().items);
        contributor.standing.recognized = 0;
        people.push(format!("{contributor:?}"));
    }
    let recognitions = store.recognitions(&RecognitionFilter::default(), &EVERYTHING).await.unwrap();
    (contributions, recognitions.items, people)
}

fn permutations<T: Clone>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let with = |first: usize| {
        let mut rest = of.to_vec();
        let one = rest.remove(first);
        permutations(&rest).into_iter().map(move |rest| [vec![one.clone()], rest].concat())
    };
    (0..of.len()).flat_map(with).collect()
}

async fn a_renamed_account_is_one_contributor_in_whatever_order_its_names_arrive(store: &dyn Store) {
    let statements = [
        |run: u64| opened(run * 10 + 1, &format!("mona-{run}"), 100 + run, 1),
        |run: u64| opened(run * 10 + 2, &format!("lisa-{run}"), 100 + run, 2),
        |run: u64| opened(run * 10 + 3, &format!("octo-{run}"), 100 + run, 3),
        |run: u64| pushed(run * 10 + 4, &format!("mona-{run}"), Some(100 + run)),
        |run: u64| pushed(run * 10 + 5, &format!("octo-{run}"), Some(100 + run)),
    ];
    let mut expected = Vec::new();
    for (order, run) in permutations(&statements).into_iter().zip(0..) {
        let one_by_one = run % 2 == 0;
        let of_run: Vec<_> = order.iter().map(|statement| statement(run)).collect();
        if one_by_one {
            all(store, of_run).await;
        } else {
            store.record(&of_run, at(0)).await.unwrap();
        }
        expected.push((format!("octo-{run}"), 5));
    }
    expected.sort();
    let expected: Vec<_> = expected.iter().map(|(name, tally)| (name.as_str(), *tally)).collect();
    are(store, &expected).await;
}

async fn what_arrives_under_a_former_name_counts_for_the_present_one(store: &dyn Store) {
    assert_eq!(record(store, opened(1, "mona", 7, 1)).await.counted_for, None);
    assert_eq!(recognise_owed(store, "1").await, ["github:mona:1"]);
    let renamed = record(store, opened(2, "lisa", 7, 5)).await;
    assert_eq!((renamed.novelty, renamed.tally, renamed.recognized), (Novelty::New, 2, 1));
    // An older delivery, an address, and what has no number.
    for late in [opened(3, "mona", 7, 2), pushed(4, "mona", Some(7)), pushed(5, "mona", None)] {
        let late = record(store, late).await;
        assert_eq!((late.novelty, late.counted_for), (Novelty::New, Some(who("github:lisa"))));
    }
    are(store, &[("lisa", 5)]).await;
    assert_eq!(accounts(store, "lisa").await, [("github:mona".into(), Some(7), false)]);
    assert_eq!(accounts(store, "mona").await, accounts(store, "lisa").await);
    assert_eq!(standing(store, "mona").await, standing(store, "lisa").await);
    assert_eq!(recognitions_of(store, "mona").await, BTreeSet::from(["github:mona:1".into()]));
    let known = store.contribution(&ContributionId::from_text("github:1:issue:1")).await.unwrap().unwrap();
    assert_eq!(known.contribution.contributor, who("github:lisa"));
    let of_old = store.contributions_of(&who("github:mona"), Shown::All, &EVERYTHING).await.unwrap();
    assert_eq!(of_old.items.len(), 5);
    let reached = store.reached(&who("github:mona"), 2).await.unwrap().unwrap();
    assert_eq!(reached.id.as_str(), "github:1:issue:2");
    let made = store.recognise(&[recognition("github:mona", 3, at(1))], &[]).await.unwrap();
    assert!(made.new.is_empty(), "a former name is owed nothing");
    assert_eq!(recognise_owed(store, "1,3").await, ["github:lisa:3"]);
    assert_eq!(unlink(store, "mona").await, Unlinked::FormerName(who("github:lisa")));
    assert_eq!(link(store, "mona", "lisa").await, Linked::Same(who("github:lisa")));
}

async fn an_older_name_that_arrives_late_is_a_former_name_with_all_that_it_did(store: &dyn Store) {
    all(store, [pushed(1, "mona", None), opened(2, "lisa", 7, 5), opened(3, "mona", 7, 2)]).await;
    are(store, &[("lisa", 3)]).await;
    assert_eq!(accounts(store, "lisa").await, [("github:mona".into(), Some(7), false)]);
}

async fn an_account_that_takes_its_former_name_back_has_it_again(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "lisa", 7, 2), opened(3, "mona", 7, 3)]).await;
    are(store, &[("mona", 3)]).await;
    assert_eq!(accounts(store, "mona").await, [("github:lisa".into(), Some(7), false)]);
    // What is between the two is older than the newest statement, which a repeat may bring.
    let labels = Some(Labels { at: at(9), rejected: false });
    record(store, Contribution { labels, ..opened(3, "mona", 7, 3) }).await;
    record(store, opened(4, "lisa", 7, 8)).await;
    are(store, &[("mona", 4)]).await;
}

async fn an_address_counts_for_the_account_that_states_its_number_later(store: &dyn Store) {
    all(store, [pushed(1, "mona", Some(7)), pushed(2, "mona", Some(7)), pushed(3, "mona", None)]).await;
    let stated = record(store, opened(4, "lisa", 7, 1)).await;
    assert_eq!((stated.tally, stated.counted_for), (3, None));
    // Nothing says that what has no number is the same person's.
    are(store, &[("lisa", 3), ("mona", 1)]).await;
    record(store, pushed(5, "mona", Some(7))).await;
    are(store, &[("lisa", 4), ("mona", 1)]).await;
}

async fn what_an_address_brought_is_not_recognised_again_for_the_account_of_its_number(store: &dyn Store) {
    all(store, (1..=3).map(|push| pushed(push, "mona", Some(7)))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:mona:3"]);
    record(store, opened(4, "lisa", 7, 1)).await;
    are(store, &[("lisa", 4)]).await;
    assert_eq!(recognise_owed(store, "3").await, [""; 0]);
    assert_eq!(recognitions_of(store, "lisa").await, BTreeSet::from(["github:mona:3".into()]));
}

async fn a_forged_address_takes_nothing_of_the_account_that_it_names(store: &dyn Store) {
    let forged = pushed(2, "mona", Some(8));
    all(store, [pushed(1, "mona", None), forged, pushed(3, "mona", Some(7)), opened(4, "evil", 8, 1)]).await;
    are(store, &[("evil", 2), ("mona", 2)]).await;
    all(store, [opened(5, "mona", 7, 2), pushed(6, "mona", Some(8)), pushed(7, "evil", Some(7))]).await;
    are(store, &[("evil", 3), ("mona", 4)]).await;
    assert_eq!((accounts(store, "evil").await, accounts(store, "mona").await), (vec![], vec![]));
}

async fn a_login_that_another_account_has_taken_inherits_nothing(store: &dyn Store) {
    all(store, (1..=3).map(|issue| opened(issue, "mona", 7, 1))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:mona:3"]);
    record(store, opened(4, "lisa", 7, 2)).await;
    let taken = record(store, opened(5, "mona", 9, 3)).await;
    assert_eq!((taken.tally, taken.recognized), (1, 0));
    assert_eq!(taken.counted_for, Some(who("github:9+mona")));
    all(store, [opened(6, "mona", 9, 4), opened(7, "mona", 9, 5)]).await;
    are(store, &[("9+mona", 3), ("lisa", 4)]).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:9+mona:3"]);
    // Without a number, it is of the account that has stated the login last.
    let bare = record(store, pushed(8, "mona", None)).await;
    assert_eq!(bare.counted_for, Some(who("github:9+mona")));
    // An older delivery of the first owner, by number.
    record(store, opened(9, "mona", 7, 1)).await;
    are(store, &[("9+mona", 4), ("lisa", 5)]).await;
    // The first owner takes it back.
    record(store, opened(10, "mona", 7, 9)).await;
    let bare = record(store, pushed(11, "mona", None)).await;
    assert_eq!((bare.tally, bare.counted_for), (7, None));
    are(store, &[("9+mona", 4), ("mona", 7)]).await;
}

async fn who_has_taken_a_login_is_found_by_it_and_listed_after_its_cursor(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "mona", 9, 3), opened(3, "monb", 8, 1)]).await;
    let filter = ContributorFilter { search: Some("mona".into()), ..ContributorFilter::default() };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = Page { limit: 1, after };
        let listed = store.contributors(Order::Id, &filter, &page).await.unwrap();
        found.extend(listed.items.into_iter().map(|one| one.standing.contributor.to_string()));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["github:9+mona", "github:mona"]);
}

async fn a_rename_moves_what_was_done_under_the_new_name_without_a_number(store: &dyn Store) {
    all(store, [pushed(1, "lisa", None), pushed(2, "lisa", None), opened(3, "mona", 7, 1)]).await;
    assert_eq!(recognise_owed(store, "1,2").await, ["github:lisa:1", "github:lisa:2", "github:mona:1"]);
    record(store, opened(4, "lisa", 7, 2)).await;
    are(store, &[("lisa", 4)]).await;
    assert_eq!(standing(store, "lisa").await.recognized, 2);
    assert_eq!(recognitions_of(store, "lisa").await.len(), 3);
    assert_eq!(recognise_owed(store, "1,2,3").await, ["github:lisa:3"]);
}

async fn a_linked_account_that_is_renamed_stays_linked(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "ada", 8, 1)]).await;
    link(store, "mona", "ada").await;
    record(store, opened(3, "lisa", 7, 2)).await;
    are(store, &[("ada", 3)]).await;
    let both = [("github:lisa".into(), Some(7), true), ("github:mona".into(), Some(7), true)];
    assert_eq!(accounts(store, "ada").await, both);
    all(store, [pushed(4, "mona", None), pushed(5, "lisa", None), pushed(6, "ada", None)]).await;
    unlink(store, "lisa").await;
    are(store, &[("ada", 2), ("lisa", 4)]).await;
    assert_eq!(accounts(store, "lisa").await, [("github:mona".into(), Some(7), false)]);
}

async fn a_name_that_is_linked_takes_the_account_with_it_that_takes_the_name(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), pushed(2, "lisa", None), opened(3, "ada", 8, 1)]).await;
    link(store, "lisa", "ada").await;
    record(store, opened(4, "lisa", 7, 2)).await;
    are(store, &[("ada", 4)]).await;
    unlink(store, "lisa").await;
    are(store, &[("ada", 1), ("lisa", 3)]).await;
    // The same where one was linked to the other.
    all(store, [pushed(5, "octo", None)]).await;
    link(store, "octo", "lisa").await;
    record(store, opened(6, "octo", 7, 3)).await;
    are(store, &[("ada", 1), ("octo", 5)]).await;
    all(store, [pushed(7, "kim", None)]).await;
    link(store, "octo", "kim").await;
    record(store, opened(8, "kim", 7, 4)).await;
    are(store, &[("ada", 1), ("kim", 7)]).await;
}

async fn a_link_and_its_end_leave_the_ledger_as_it_was(store: &dyn Store) {
    all(store, [part(1, "mona"), part(1, "ada")]).await;
    for (account, number) in [("mona", 7), ("ada", 8)] {
        for issue in 1..=4 {
            let one = opened(number * 10 + issue, account, number, 1);
            store.record(&[one], at(i64::try_from(number * 10 + issue).unwrap())).await.unwrap();
        }
    }
    assert_eq!(recognise_owed(store, "3").await.len(), 2);
    let before = ledger(store).await;
    let linked = Standing { contributor: who("github:ada"), tally: 9, recognized: 3 };
    assert_eq!(link(store, "mona", "ada").await, Linked::To(linked.clone()), "one pull request is of both");
    assert_eq!(link(store, "mona", "ada").await, Linked::To(linked.clone()), "again");
    are(store, &[("ada", 9)]).await;
    assert_eq!(standing(store, "mona").await, linked);
    assert_eq!(recognitions_of(store, "mona").await.len(), 2);
    assert_eq!(accounts(store, "ada").await, [("github:mona".into(), Some(7), true)]);
    let apart = Unlinked::Apart {
        account: Standing { contributor: who("github:mona"), tally: 5, recognized: 3 },
        contributor: Standing { contributor: who("github:ada"), tally: 5, recognized: 3 },
    };
    assert_eq!(unlink(store, "mona").await, apart);
    assert_eq!(ledger(store).await, before);
    assert_eq!(unlink(store, "mona").await, Unlinked::NotLinked);
    assert_eq!(unlink(store, "unknown").await, Unlinked::NotLinked);
}

async fn no_milestone_is_recognised_again_that_either_had(store: &dyn Store) {
    all(store, (1..=3).map(|issue| opened(issue, "mona", 7, 1))).await;
    all(store, (11..=16).map(|issue| opened(issue, "ada", 8, 1))).await;
    assert_eq!(recognise_owed(store, "3,10").await, ["github:ada:3", "github:mona:3"]);
    link(store, "mona", "ada").await;
    assert_eq!(recognise_owed(store, "3,10").await, [""; 0]);
    let tenth = record(store, opened(20, "mona", 7, 1)).await;
    assert_eq!((tenth.tally, tenth.recognized, tenth.counted_for), (10, 3, Some(who("github:ada"))));
    assert_eq!(recognise_owed(store, "3,10").await, ["github:ada:10"]);
    unlink(store, "mona").await;
    assert_eq!(recognise_owed(store, "3,10").await, [""; 0]);
    all(store, (21..=30).map(|issue| opened(issue, "mona", 7, 1))).await;
    assert_eq!(recognise_owed(store, "3,10").await, [""; 0], "it had 10 together with the other");
    are(store, &[("ada", 6), ("mona", 14)]).await;
}

async fn a_milestone_is_kept_by_who_has_contributed_nothing_through_any_links(store: &dyn Store) {
    all(store, (1..=3).map(|issue| opened(issue, "mona", 7, 1))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:mona:3"]);
    for other in ["mona", "kim", "lin"] {
        link(store, "ada", other).await;
        let apart = unlink(store, "ada").await;
        let Unlinked::Apart { account, contributor } = apart else { panic!("{apart:?}") };
        assert_eq!((account.recognized, contributor.recognized), (3, 3), "{other}");
    }
    for login in ["ada", "kim"] {
        all(store, (1..=3).map(|push| pushed(push, login, None))).await;
    }
    assert_eq!(recognise_owed(store, "3").await, [""; 0]);
}

async fn what_is_being_recognised_while_accounts_are_linked_or_parted_is_recognised_once(store: &dyn Store) {
    all(store, (1..=3).map(|issue| opened(issue, "mona", 7, 1))).await;
    all(store, (11..=13).map(|issue| opened(issue, "ada", 8, 1))).await;
    assert_eq!(recognised(store, &[recognition("github:mona", 3, at(1))], &[]).await, [true]);
    link(store, "mona", "ada").await;
    // Both were found to be owed before.
    let late = [recognition("github:mona", 3, at(1)), recognition("github:ada", 3, at(1))];
    assert_eq!(recognised(store, &late, &[]).await, [false, false]);
    let contribution = Some(opened(3, "mona", 7, 1));
    let sixth = Recognition { contribution, ..recognition("github:ada", 6, at(1)) };
    unlink(store, "mona").await;
    assert_eq!(recognised(store, &[sixth], &[]).await, [false], "it is of another contributor now");
    assert_eq!(recognise_owed(store, "3").await, [""; 0]);
}

async fn what_waits_to_be_published_names_the_contributor_that_was_chosen(store: &dyn Store) {
    all(store, (1..=3).map(|issue| opened(issue, "mona", 7, 1))).await;
    record(store, opened(11, "ada", 8, 1)).await;
    let contribution = Some(opened(3, "mona", 7, 1));
    let made = Recognition { contribution, ..recognition("github:mona", 3, at(1)) };
    recognised(store, std::slice::from_ref(&made), &[Destination::Local]).await;
    let due = async || store.claim(Destination::Local, at(5), at(0), 10).await.unwrap().remove(0).recognition;
    for (link_to, expected) in [(Some("ada"), "github:ada"), (None, "github:mona")] {
        match link_to {
            Some(to) => _ = link(store, "mona", to).await,
            None => _ = unlink(store, "mona").await,
        }
        let due = due().await;
        assert_eq!((due.id, due.contributor), (made.id.clone(), who(expected)));
        assert_eq!(due.contribution.unwrap().contributor, who(expected));
    }
    record(store, opened(4, "lisa", 7, 2)).await;
    assert_eq!(due().await.contributor, who("github:lisa"));
    let (found, _) = store.recognition(&RecognitionId::from_text("github:mona:3")).await.unwrap().unwrap();
    assert_eq!(found.contributor, who("github:lisa"));
}

async fn parts_of_a_pull_request_under_two_logins_of_one_contributor_count_once(store: &dyn Store) {
    // Linked before, in both orders.
    link(store, "mona", "ada").await;
    for (pull_request, logins) in [(1, ["mona", "ada"]), (2, ["ada", "mona"])] {
        let [first, second] = logins.map(|login| part(pull_request, login));
        assert_eq!(record(store, first.clone()).await.novelty, Novelty::New);
        for _ in 0..2 {
            let second = record(store, second.clone()).await;
            assert_eq!((second.novelty, second.tally), (Novelty::Same, pull_request));
        }
        assert_eq!(record(store, first).await.novelty, Novelty::Same);
    }
    are(store, &[("ada", 2)]).await;
    unlink(store, "mona").await;
    are(store, &[("ada", 2), ("mona", 2)]).await;
    link(store, "mona", "ada").await;
    are(store, &[("ada", 2)]).await;
    // By a rename.
    let stated = |login, second| Contribution { user_id: Some(7), occurred_at: at(second), ..part(3, login) };
    all(store, [stated("kim", 1), stated("lisa", 2), part(4, "lisa"), part(4, "kim")]).await;
    are(store, &[("ada", 2), ("lisa", 2)]).await;
    // What the counted part was taken back for does not concern the other one.
    let taken_back = Review {
        work: WorkId::alone(&part(4, "lisa").id),
        part: Some(part(4, "lisa").id),
        ruling: Ruling::Deleted,
        private: false,
    };
    store.review(&taken_back).await.unwrap();
    are(store, &[("ada", 2), ("lisa", 2)]).await;
}

async fn labels_deletions_and_privacy_concern_what_is_linked_too(store: &dyn Store) {
    all(store, [part(1, "mona"), opened(2, "mona", 7, 1), opened(3, "ada", 8, 1)]).await;
    link(store, "mona", "ada").await;
    let review = |work: &str, part: Option<Contribution>, ruling, private| Review {
        work: WorkId::from_text(work),
        part: part.map(|part| part.id),
        ruling,
        private,
    };
    let labels = |second, rejected| Ruling::Labels(Labels { at: at(second), rejected });
    let pull_request = "github:1:pull_request:1";
    let rejected = review(pull_request, Some(part(1, "mona")), labels(1, true), false);
    let reviewed = store.review(&rejected).await.unwrap().remove(0);
    assert_eq!((reviewed.contributor, reviewed.tally, reviewed.changed), (who("github:ada"), 2, true));
    store.review(&review(pull_request, Some(part(1, "mona")), labels(2, false), false)).await.unwrap();
    are(store, &[("ada", 3)]).await;
    store
        .review(&review("github:1:issue:2", Some(opened(2, "mona", 7, 1)), Ruling::Deleted, true))
        .await
        .unwrap();
    are(store, &[("ada", 2)]).await;
    unlink(store, "mona").await;
    are(store, &[("ada", 1), ("mona", 1)]).await;
    let all_of = ContributionFilter::of(Of::Contributor(who("github:mona")), Shown::All);
    let deleted = store.contributions(&all_of, &EVERYTHING).await.unwrap();
    assert!(deleted.items.iter().any(|one| one.retracted && one.contribution.private), "{deleted:?}");
}

async fn history_after_a_link_counts_for_the_contributor_and_recognises_nothing(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "ada", 8, 1)]).await;
    link(store, "mona", "ada").await;
    let milestones = Milestones::parse("3,10").unwrap();
    let batch = [opened(3, "mona", 7, 1), opened(4, "lisa", 7, 2), pushed(5, "mona", None)];
    let History::Recorded(recorded) = store.record_history(&batch, &milestones, at(0)).await.unwrap() else {
        panic!("nothing was owed")
    };
    let answers: Vec<_> = recorded.iter().map(|one| (one.tally, one.recognized)).collect();
    assert_eq!(answers, [(3, 3), (4, 3), (5, 3)]);
    assert!(recorded.iter().all(|one| one.counted_for == Some(who("github:ada"))));
    assert_eq!(recognise_owed(store, "3,10").await, [""; 0]);
    // What a link makes owed is made first.
    all(store, (11..=15).map(|issue| opened(issue, "kim", 9, 1))).await;
    recognise_owed(store, "3").await;
    link(store, "kim", "ada").await;
    let owed = store.record_history(&[opened(6, "mona", 7, 1)], &milestones, at(0)).await.unwrap();
    let standing = Standing { contributor: who("github:ada"), tally: 10, recognized: 3 };
    assert_eq!(owed, History::Owed(vec![standing]));
    are(store, &[("ada", 10)]).await;
}

async fn a_push_that_history_names_by_another_login_counts_once(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), pushed(2, "mona", None), opened(3, "lisa", 7, 2)]).await;
    let again = record(store, pushed(2, "lisa", None)).await;
    assert_eq!((again.novelty, again.tally, again.counted_for), (Novelty::Same, 3, None));
    link(store, "lisa", "ada").await;
    let again = record(store, pushed(2, "ada", None)).await;
    assert_eq!((again.novelty, again.tally, again.counted_for), (Novelty::Same, 3, None));
    assert_eq!(record(store, pushed(2, "kim", None)).await.novelty, Novelty::New);
    are(store, &[("ada", 3), ("kim", 1)]).await;
}

async fn links_go_to_the_contributor_of_the_target_and_from_one_contributor_only(store: &dyn Store) {
    all(store, [pushed(1, "a", None), pushed(2, "b", None), pushed(3, "c", None), pushed(4, "d", None)])
        .await;
    let to = |name: &str, tally| Linked::To(Standing { contributor: who(name), tally, recognized: 0 });
    assert_eq!(link(store, "a", "b").await, to("github:b", 2));
    assert_eq!(link(store, "b", "c").await, to("github:c", 3));
    assert_eq!(link(store, "d", "a").await, to("github:c", 4));
    assert_eq!(link(store, "a", "other").await, Linked::Elsewhere(who("github:c")));
    assert_eq!(link(store, "a", "a").await, Linked::Same(who("github:a")));
    assert_eq!(link(store, "c", "a").await, Linked::Same(who("github:c")));
    are(store, &[("c", 4)]).await;
    let linked = ["a", "b", "d"].map(|login| (format!("github:{login}"), None, true));
    assert_eq!(accounts(store, "c").await, linked);
    unlink(store, "b").await;
    are(store, &[("b", 1), ("c", 3)]).await;
}

async fn accounts_can_be_linked_before_anything_of_them_arrives(store: &dyn Store) {
    let linked = Linked::To(Standing { contributor: who("github:ada"), tally: 0, recognized: 0 });
    assert_eq!(link(store, "mona", "ada").await, linked);
    assert_eq!(link(store, "kim", "mona").await, linked);
    are(store, &[]).await;
    assert_eq!(store.contributor(&who("github:ada")).await.unwrap(), None);
    assert_eq!(accounts(store, "ada").await.len(), 2);
    let first = record(store, opened(1, "mona", 7, 1)).await;
    assert_eq!((first.tally, first.counted_for), (1, Some(who("github:ada"))));
    assert_eq!(accounts(store, "ada").await[1], ("github:mona".into(), Some(7), true));
    record(store, opened(2, "ada", 8, 1)).await;
    are(store, &[("ada", 2)]).await;
    assert_eq!(store.contributor(&who("github:ada")).await.unwrap().unwrap().user_id, Some(8));
    unlink(store, "mona").await;
    unlink(store, "kim").await;
    are(store, &[("ada", 1), ("mona", 1)]).await;
    // To one that is unknown, with all there is.
    link(store, "mona", "octo").await;
    are(store, &[("ada", 1), ("octo", 1)]).await;
    unlink(store, "mona").await;
    are(store, &[("ada", 1), ("mona", 1)]).await;
}

async fn a_person_is_forgotten_with_all_accounts_names_and_numbers(store: &dyn Store) {
    all(
        store,
        [opened(1, "mona", 7, 1), opened(2, "lisa", 7, 2), opened(3, "ada", 8, 1), opened(4, "kim", 9, 1)],
    )
    .await;
    link(store, "ada", "lisa").await;
    link(store, "unseen", "mona").await;
    assert_eq!(recognise_owed(store, "3").await, ["github:lisa:3"]);
    let Forgot::Erased(erased) = store.forget(&who("github:ada")).await.unwrap() else {
        panic!("not erased")
    };
    assert_eq!((erased.contributions, erased.recognitions), (3, 1));
    are(store, &[("kim", 1)]).await;
    for (login, number) in [("mona", 70), ("lisa", 71), ("ada", 72), ("unseen", 73), ("new", 7), ("other", 8)]
    {
        let late = record(store, opened(number + 100, login, number, 9)).await;
        assert_eq!(late.novelty, Novelty::Forgotten, "{login}");
    }
    assert_eq!(record(store, opened(99, "fresh", 10, 9)).await.novelty, Novelty::New);
    for login in ["mona", "lisa", "ada", "unseen"] {
        assert_eq!(accounts(store, login).await, []);
    }
    are(store, &[("fresh", 1), ("kim", 1)]).await;
}

async fn a_login_known_by_two_numbers_gives_each_its_own(store: &dyn Store) {
    // Addresses state the one, and then the host states the other: of a new account, by a rename, and by an older name.
    let addresses =
        |from: u64, login: &'static str| (from..from + 3).map(move |push| pushed(push, login, Some(9)));
    all(store, addresses(1, "mona")).await;
    record(store, opened(4, "mona", 7, 10)).await;
    are(store, &[("9+mona", 3), ("mona", 1)]).await;
    all(store, addresses(11, "lisa")).await;
    all(store, [opened(14, "lisa-old", 17, 10), opened(15, "lisa", 17, 20)]).await;
    are(store, &[("9+lisa", 3), ("9+mona", 3), ("lisa", 2), ("mona", 1)]).await;
    all(store, addresses(21, "kim")).await;
    all(store, [opened(24, "kim-new", 27, 10), opened(25, "kim", 27, 2)]).await;
    let all_of_them = [("9+kim", 3), ("9+lisa", 3), ("9+mona", 3), ("kim-new", 2), ("lisa", 2), ("mona", 1)];
    are(store, &all_of_them).await;
    // Without a number, it is of the account whose host states the login.
    record(store, pushed(30, "mona", None)).await;
    // They are one account's, as its host says in the end.
    record(store, opened(31, "nine", 9, 30)).await;
    are(store, &[("kim-new", 2), ("lisa", 2), ("mona", 2), ("nine", 10)]).await;
}

async fn what_addresses_brought_and_was_recognised_is_held_when_a_login_is_parted(store: &dyn Store) {
    all(store, (1..=3).map(|push| pushed(push, "mona", Some(9)))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:mona:3"]);
    all(store, (4..=6).map(|issue| opened(issue, "mona", 7, 10))).await;
    are(store, &[("9+mona", 3), ("mona", 3)]).await;
    assert_eq!(recognise_owed(store, "3").await, [""; 0], "its id was published");
    record(store, opened(7, "nine", 9, 20)).await;
    are(store, &[("mona", 3), ("nine", 4)]).await;
    assert_eq!(recognise_owed(store, "3,4").await, ["github:nine:4"]);
}

async fn what_is_parted_from_a_login_leaves_no_time_of_its_own_with_who_has_it(store: &dyn Store) {
    store.record(&[pushed(1, "mona", Some(9))], at(0)).await.unwrap();
    store.record(&[opened(2, "mona", 7, 1)], at(100)).await.unwrap();
    are(store, &[("9+mona", 1), ("mona", 1)]).await;
    for (login, counted_at) in [("9+mona", at(0)), ("mona", at(100))] {
        let found = store.contributor(&who(&format!("github:{login}"))).await.unwrap().unwrap();
        assert_eq!((found.first_at, found.last_at), (counted_at, counted_at), "{login}");
    }
}

async fn an_id_whose_recognitions_went_to_another_account_is_given_to_no_third(store: &dyn Store) {
    all(store, (1..=3).map(|push| pushed(push, "mona", Some(9)))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:mona:3"]);
    record(store, opened(4, "monalisa", 9, 10)).await;
    all(store, (11..=13).map(|issue| opened(issue, "mona", 11, 20))).await;
    are(store, &[("11+mona", 3), ("monalisa", 4)]).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:11+mona:3"]);
    // Its own account may take it.
    record(store, opened(14, "mona", 9, 30)).await;
    are(store, &[("11+mona", 3), ("mona", 5)]).await;
    assert_eq!(recognise_owed(store, "3,5").await, ["github:mona:5"]);
}

async fn an_address_makes_no_login_a_name_of_the_account_that_it_states(store: &dyn Store) {
    all(store, (1..=3).map(|push| pushed(push, "victim", Some(66)))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:victim:3"]);
    record(store, opened(4, "evil", 66, 1)).await;
    are(store, &[("evil", 4)]).await;
    assert_eq!(accounts(store, "evil").await, []);
    let own = record(store, pushed(5, "victim", None)).await;
    assert_eq!((own.tally, own.counted_for), (1, None));
    all(store, [pushed(6, "victim", None), pushed(7, "victim", None)]).await;
    are(store, &[("evil", 4), ("victim", 3)]).await;
    assert_eq!(recognise_owed(store, "3").await, [""; 0], "its id was published");
    assert!(matches!(store.forget(&who("github:evil")).await.unwrap(), Forgot::Erased(_)));
    assert_eq!(record(store, pushed(8, "victim", None)).await.novelty, Novelty::New);
    assert_eq!(record(store, pushed(9, "victim", Some(66))).await.novelty, Novelty::Forgotten);
    are(store, &[("victim", 4)]).await;
}

async fn who_had_a_login_last_and_is_forgotten_leaves_it_to_nobody_until_it_is_stated_again(
    store: &dyn Store,
) {
    let bare = pushed(4, "mona", None);
    all(store, [opened(1, "mona", 7, 1), opened(2, "monalisa", 7, 2), opened(3, "mona", 9, 3), bare.clone()])
        .await;
    are(store, &[("9+mona", 2), ("monalisa", 2)]).await;
    assert!(matches!(store.forget(&who("github:9+mona")).await.unwrap(), Forgot::Erased(_)));
    for again in [opened(3, "mona", 9, 3), bare.clone(), pushed(5, "mona", None)] {
        assert_eq!(record(store, again).await.novelty, Novelty::Forgotten);
    }
    assert_eq!(record(store, opened(6, "mona", 7, 1)).await.novelty, Novelty::New, "an older statement");
    assert_eq!(record(store, pushed(5, "mona", None)).await.novelty, Novelty::Forgotten);
    record(store, opened(7, "mona", 7, 9)).await;
    assert_eq!(record(store, pushed(5, "mona", None)).await.novelty, Novelty::New);
    assert_eq!(record(store, bare).await.novelty, Novelty::Forgotten);
    are(store, &[("mona", 5)]).await;
}

async fn forgetting_a_person_leaves_a_former_login_to_the_account_that_has_it_now(store: &dyn Store) {
    let bare = pushed(8, "mona", None);
    all(store, [opened(1, "mona", 7, 1), bare.clone(), opened(2, "monalisa", 7, 2), opened(3, "mona", 9, 3)])
        .await;
    for erased in [3, 0] {
        let Forgot::Erased(forgot) = store.forget(&who("github:monalisa")).await.unwrap() else {
            panic!("not erased")
        };
        assert_eq!(forgot.contributions, erased);
    }
    for own in [opened(1, "mona", 7, 1), bare, pushed(9, "monalisa", None), opened(10, "other", 7, 20)] {
        assert_eq!(record(store, own).await.novelty, Novelty::Forgotten);
    }
    for others in [opened(4, "mona", 9, 5), pushed(5, "mona", None), pushed(6, "mona", Some(9))] {
        assert_eq!(record(store, others).await.novelty, Novelty::New);
    }
    are(store, &[("9+mona", 4)]).await;
    // The id is given to no other, because recognitions of it may have been published.
    record(store, opened(7, "mona", 12, 30)).await;
    are(store, &[("12+mona", 1), ("9+mona", 4)]).await;
}

async fn what_somebody_is_forgotten_by_holds_also_where_it_comes_without_a_number(store: &dyn Store) {
    let with_number = Contribution { user_id: Some(7), occurred_at: at(2), ..part(5, "mona") };
    all(store, [opened(1, "mona", 7, 1), with_number, opened(2, "monalisa", 7, 3), opened(3, "mona", 9, 4)])
        .await;
    are(store, &[("9+mona", 1), ("monalisa", 3)]).await;
    store.forget(&who("github:monalisa")).await.unwrap();
    assert_eq!(record(store, part(5, "mona")).await.novelty, Novelty::Forgotten);
    are(store, &[("9+mona", 1)]).await;
}

async fn what_a_numbered_account_did_without_its_number_is_forgotten_whoever_has_the_login(
    store: &dyn Store,
) {
    let bare = pushed(4, "mona", None);
    all(store, [opened(1, "mona", 7, 1), opened(2, "monalisa", 7, 2), opened(3, "mona", 9, 3), bare.clone()])
        .await;
    record(store, opened(5, "mona", 7, 9)).await;
    are(store, &[("9+mona", 2), ("mona", 3)]).await;
    store.forget(&who("github:9+mona")).await.unwrap();
    assert_eq!(record(store, bare).await.novelty, Novelty::Forgotten);
    are(store, &[("mona", 3)]).await;
}

async fn a_login_is_nobodys_once_all_that_had_it_are_forgotten(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(3, "mona", 9, 3), pushed(4, "mona", None)]).await;
    are(store, &[("9+mona", 2), ("mona", 1)]).await;
    for forgotten in ["github:mona", "github:9+mona"] {
        store.forget(&who(forgotten)).await.unwrap();
    }
    assert_eq!(record(store, pushed(6, "mona", None)).await.novelty, Novelty::Forgotten);
    are(store, &[]).await;
}

async fn no_recognition_is_made_of_who_has_nothing_left(store: &dyn Store) {
    all(store, (1..=3).map(|push| pushed(push, "mona", Some(9)))).await;
    let owed = store.owing(&Milestones::parse("3").unwrap(), None, 10).await.unwrap();
    assert_eq!(owed.len(), 1);
    record(store, opened(4, "lisa", 9, 10)).await;
    are(store, &[("lisa", 4)]).await;
    let made = recognition(owed[0].contributor.as_str(), 3, at(9));
    let made = store.recognise(&[made], &[]).await.unwrap();
    assert!(made.new.is_empty(), "{made:?}");
    assert_eq!(recognise_owed(store, "3").await, ["github:lisa:3"]);
}

async fn a_part_of_a_pull_request_counts_beside_that_of_who_had_its_login(store: &dyn Store) {
    let stated = |login, number, second| Contribution {
        user_id: Some(number),
        occurred_at: at(second),
        ..part(1, login)
    };
    // The first one's part is under its other name, and the second one contributes for the first time.
    all(
        store,
        [opened(1, "mona", 7, 1), opened(2, "lisa", 7, 2), stated("lisa", 7, 3), opened(3, "mona", 7, 10)],
    )
    .await;
    let other = record(store, stated("mona", 11, 20)).await;
    assert_eq!((other.novelty, other.tally), (Novelty::New, 1));
    are(store, &[("11+mona", 1), ("mona", 4)]).await;
}

async fn pushes_of_one_commit_by_two_accounts_count_once_while_they_are_linked(store: &dyn Store) {
    all(
        store,
        [pushed(1, "mona", None), pushed(1, "ada", None), pushed(1, "kim", None), pushed(2, "mona", None)],
    )
    .await;
    link(store, "mona", "ada").await;
    are(store, &[("ada", 2), ("kim", 1)]).await;
    for again in ["mona", "ada"] {
        assert_eq!(record(store, pushed(1, again, None)).await.novelty, Novelty::Same);
    }
    are(store, &[("ada", 2), ("kim", 1)]).await;
    unlink(store, "mona").await;
    are(store, &[("ada", 1), ("kim", 1), ("mona", 2)]).await;
    link(store, "mona", "ada").await;
    // What is taken back under one login leaves it to the other.
    let id = pushed(1, "ada", None).id;
    for push in [id, pushed(1, "mona", None).id] {
        let work = WorkId::alone(&push);
        let deleted = Review { work, part: Some(push), ruling: Ruling::Deleted, private: false };
        store.review(&deleted).await.unwrap();
        let left = standing(store, "ada").await.tally;
        assert_eq!(left, if deleted.work.as_str().ends_with(":ada") { 2 } else { 1 });
    }
    are(store, &[("ada", 1), ("kim", 1)]).await;
}

async fn a_list_goes_on_after_a_contribution_that_counts_for_another_by_now(store: &dyn Store) {
    for (issue, login, number) in [(1, "ada", 1), (2, "bob", 2), (3, "ada", 1), (4, "bob", 2)] {
        let one = opened(issue, login, number, 1);
        store.record(&[one], at(i64::try_from(issue).unwrap())).await.unwrap();
    }
    link(store, "bob", "ada").await;
    let page = |after| Page { limit: 1, after };
    let first = store.contributions_of(&who("github:ada"), Shown::Counted, &page(None)).await.unwrap();
    assert_eq!(first.items[0].contribution.id.as_str(), "github:1:issue:4");
    unlink(store, "bob").await;
    let next = store.contributions_of(&who("github:ada"), Shown::Counted, &page(first.next)).await.unwrap();
    assert_eq!(next.items[0].contribution.id.as_str(), "github:1:issue:3");
    let last = store.contributions_of(&who("github:ada"), Shown::Counted, &page(next.next)).await.unwrap();
    assert_eq!(last.items[0].contribution.id.as_str(), "github:1:issue:1");
}

async fn the_account_of_an_address_is_found_by_its_number(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "monalisa", 7, 2), opened(3, "mona", 9, 3)]).await;
    all(store, [opened(4, "kim", 8, 1), opened(5, "lin", 10, 1)]).await;
    store.forget(&who("github:lin")).await.unwrap();
    let address =
        |login: &str, number| Naming { name: who(&format!("github:{login}")), number, stated_at: None };
    let named = [
        address("mona", Some(7)),
        address("mona", Some(9)),
        address("any", Some(9)),
        address("mona", Some(12)),
        address("kim", None),
        address("other", Some(10)),
        address("lin", None),
        address("new", Some(13)),
    ];
    let found = store.accounts_of_addresses(&named).await.unwrap();
    let found: Vec<_> = found.iter().map(|id| id.as_ref().map(ToString::to_string)).collect();
    let expected = [
        Some("github:monalisa"),
        Some("github:9+mona"),
        Some("github:9+mona"),
        Some("github:12+mona"),
        Some("github:kim"),
        None,
        None,
        Some("github:new"),
    ];
    assert_eq!(found, expected.map(|id| id.map(str::to_owned)));
}

async fn history_after_a_linked_account_was_forgotten_is_recorded(store: &dyn Store) {
    all(store, [opened(1, "mona", 7, 1), opened(2, "ada", 8, 2), opened(3, "kim", 9, 3)]).await;
    link(store, "mona", "ada").await;
    store.forget(&who("github:mona")).await.unwrap();
    let refused = store.link(&who("github:kim"), &who("github:mona")).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    let milestones = Milestones::parse("1").unwrap();
    assert_eq!(recognise_owed(store, "1").await, ["github:kim:1"]);
    let batch = [opened(4, "kim", 9, 5), opened(5, "mona", 7, 5), pushed(6, "ada", None)];
    let History::Recorded(recorded) = store.record_history(&batch, &milestones, at(3)).await.unwrap() else {
        panic!("nothing was owed")
    };
    let novelties: Vec<_> = recorded.iter().map(|one| one.novelty).collect();
    assert_eq!(novelties, [Novelty::New, Novelty::Forgotten, Novelty::Forgotten]);
    are(store, &[("kim", 2)]).await;
}

/// An account in the model: a name, until the host states that it is a person's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Name(String),
    Person(u64),
}

/// What the ledger is to hold, found anew from all that was recorded.
#[derive(Default)]
struct Model {
    recorded: Vec<Contribution>,
    /// By name: whose it is, and the newest statement.
    stated: BTreeMap<String, (u64, Moment)>,
    links: BTreeMap<Owner, Owner>,
    forgotten: BTreeSet<Owner>,
}

impl Model {
    fn owner(&self, one: &Contribution) -> Owner {
        let number = one.user_id.filter(|number| self.stated.values().any(|(of, _)| of == number));
        number.map_or_else(|| self.owner_of_name(one.contributor.as_str()), Owner::Person)
    }

    fn owner_of_name(&self, name: &str) -> Owner {
        self.stated
            .get(name)
            .map_or_else(|| Owner::Name(name.to_owned()), |(number, _)| Owner::Person(*number))
    }

    fn contributor(&self, owner: Owner) -> Owner {
        self.links.get(&owner).cloned().unwrap_or(owner)
    }

    fn record(&mut self, one: Contribution) {
        let number = one.user_id.map(Owner::Person);
        let name = Owner::Name(one.contributor.to_string());
        if self.forgotten.contains(&name) || number.is_some_and(|number| self.forgotten.contains(&number)) {
            return;
        }
        if let (Some(number), Some(at)) = (one.user_id, one.number_stated_at()) {
            let (_, newest) = self.stated.entry(one.contributor.to_string()).or_insert((number, at));
            *newest = at.max(*newest);
        }
        self.recorded.push(one);
    }

    fn link(&mut self, account: Owner, to: Owner) {
        let to = self.contributor(to);
        if self.links.contains_key(&account) || to == account {
            return;
        }
        for target in self.links.values_mut().filter(|target| **target == account) {
            *target = to.clone();
        }
        self.links.insert(account, to);
    }

    fn forget(&mut self, owner: Owner) {
        let person = self.contributor(owner);
        let is_theirs = |model: &Self, owner: Owner| model.contributor(owner) == person;
        let recorded = std::mem::take(&mut self.recorded);
        let (gone, left) = recorded.into_iter().partition(|one| is_theirs(self, self.owner(one)));
        let _: Vec<Contribution> = gone;
        self.recorded = left;
        let linked: Vec<_> =
            self.links.iter().filter(|(_, to)| **to == person).map(|(of, _)| of.clone()).collect();
        for account in linked.into_iter().chain([person]) {
            self.links.remove(&account);
            if let Owner::Person(number) = account {
                let names = self.stated.iter().filter(|(_, (of, _))| *of == number);
                let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
                for name in names {
                    self.stated.remove(&name);
                    self.forgotten.insert(Owner::Name(name));
                }
            }
            self.forgotten.insert(account);
        }
    }

    /// Of several parts of one pull request by one contributor, one counts.
    fn tallies(&self) -> Vec<(String, u64)> {
        let mut works: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in &self.recorded {
            let name = match self.contributor(self.owner(one)) {
                Owner::Name(name) => name,
                Owner::Person(number) => {
                    let names = self.stated.iter().filter(|(_, (of, _))| *of == number);
                    names.max_by_key(|(_, (_, at))| *at).unwrap().0.clone()
                }
            };
            works.entry(name).or_default().insert(one.work().to_string());
        }
        works.into_iter().map(|(name, works)| (name, works.len() as u64)).collect()
    }
}

/// Four people with three names each, and four accounts without a number.
async fn any_sequence_of_recordings_links_and_erasures_leaves_the_ledger_of_a_model(store: &dyn Store) {
    for seed in 0..10_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut model = Model::default();
        let name = |person: u64, place: u64| format!("{seed}-{person}-{place}");
        for step in 0..60 {
            let person = random.random_range(1..=8_u64);
            let login = name(person, if person <= 4 { random.random_range(0..3) } else { 0 });
            let number = (person <= 4).then_some(seed * 10 + person);
            let id = seed * 1_000 + step;
            let seconds = i64::try_from(random.random_range(0..100) * 100 + step).unwrap();
            let other = name(random.random_range(1..=8), 0);
            let is_known = |model: &Model, login: &str| {
                let owner = model.owner_of_name(&format!("github:{login}"));
                matches!(owner, Owner::Person(_)) || login.split('-').nth(1) >= Some("5")
            };
            let owner = |model: &Model, login: &str| model.owner_of_name(&format!("github:{login}"));
            let recorded = match random.random_range(0..10) {
                0..=2 => match number {
                    Some(number) => opened(id, &login, number, seconds),
                    None => pushed(id, &login, None),
                },
                3 => pushed(id, &login, number),
                4 => pushed(id, &login, None),
                5 | 6 => part(seed * 10 + random.random_range(0..3), &login),
                7 if is_known(&model, &login)
                    && is_known(&model, &other)
                    && !model.forgotten.contains(&owner(&model, &login))
                    && !model.forgotten.contains(&owner(&model, &other)) =>
                {
                    link(store, &login, &other).await;
                    model.link(owner(&model, &login), owner(&model, &other));
                    continue;
                }
                8 if is_known(&model, &login) => {
                    unlink(store, &login).await;
                    model.links.remove(&owner(&model, &login));
                    continue;
                }
                9 if step % 5 == 0 && is_known(&model, &login) => {
                    let forgot = store.forget(&who(&format!("github:{login}"))).await.unwrap();
                    if matches!(forgot, Forgot::Erased(_)) {
                        model.forget(owner(&model, &login));
                    }
                    continue;
                }
                _ => continue,
            };
            let again = model.recorded.iter().any(|one| one.id == recorded.id);
            record(store, recorded.clone()).await;
            if !again {
                model.record(recorded);
            }
            let filter =
                ContributorFilter { search: Some(format!("{seed}-")), ..ContributorFilter::default() };
            assert_eq!(tallies_of(store, &filter).await, model.tallies(), "seed {seed}, step {step}");
        }
    }
}

async fn firestore() -> Option<Opened> {
    let host = emulators::firestore()?;
    let (project, patience) = (emulators::fresh_project(), emulators::PATIENT);
    let store = Firestore::open_emulator(host, &project, "(default)", patience).await.unwrap();
    let store = store.with_forget_key(ForgetKey::new(&"a key ".repeat(6))).await.unwrap();
    Some(Opened { store: std::sync::Arc::new(store), keep: Box::new(()) })
}

macro_rules! promise {
    ($store:ident, $promise:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if let Some(opened) = super::$store().await {
                super::$promise(&*opened.store).await;
                drop(opened.keep);
            }
        }
    };
}

macro_rules! suite {
    ($($promise:ident),*; on sqlite alone: $($alone:ident),*) => {
        mod sqlite {
            $(promise!(sqlite, $promise);)*
            $(promise!(sqlite, $alone);)*
        }
        mod firestore {
            $(promise!(firestore, $promise);)*
        }
    };
}

suite!(
    a_renamed_account_is_one_contributor_in_whatever_order_its_names_arrive,
    what_arrives_under_a_former_name_counts_for_the_present_one,
    an_older_name_that_arrives_late_is_a_former_name_with_all_that_it_did,
    an_account_that_takes_its_former_name_back_has_it_again,
    an_address_counts_for_the_account_that_states_its_number_later,
    what_an_address_brought_is_not_recognised_again_for_the_account_of_its_number,
    a_forged_address_takes_nothing_of_the_account_that_it_names,
    a_login_that_another_account_has_taken_inherits_nothing,
    who_has_taken_a_login_is_found_by_it_and_listed_after_its_cursor,
    a_rename_moves_what_was_done_under_the_new_name_without_a_number,
    a_linked_account_that_is_renamed_stays_linked,
    a_name_that_is_linked_takes_the_account_with_it_that_takes_the_name,
    a_link_and_its_end_leave_the_ledger_as_it_was,
    no_milestone_is_recognised_again_that_either_had,
    what_is_being_recognised_while_accounts_are_linked_or_parted_is_recognised_once,
    a_milestone_is_kept_by_who_has_contributed_nothing_through_any_links,
    what_waits_to_be_published_names_the_contributor_that_was_chosen,
    parts_of_a_pull_request_under_two_logins_of_one_contributor_count_once,
    labels_deletions_and_privacy_concern_what_is_linked_too,
    history_after_a_link_counts_for_the_contributor_and_recognises_nothing,
    links_go_to_the_contributor_of_the_target_and_from_one_contributor_only,
    accounts_can_be_linked_before_anything_of_them_arrives,
    a_person_is_forgotten_with_all_accounts_names_and_numbers,
    any_sequence_of_recordings_links_and_erasures_leaves_the_ledger_of_a_model,
    a_login_known_by_two_numbers_gives_each_its_own,
    what_addresses_brought_and_was_recognised_is_held_when_a_login_is_parted,
    what_is_parted_from_a_login_leaves_no_time_of_its_own_with_who_has_it,
    an_id_whose_recognitions_went_to_another_account_is_given_to_no_third,
    an_address_makes_no_login_a_name_of_the_account_that_it_states,
    who_had_a_login_last_and_is_forgotten_leaves_it_to_nobody_until_it_is_stated_again,
    forgetting_a_person_leaves_a_former_login_to_the_account_that_has_it_now,
    a_part_of_a_pull_request_counts_beside_that_of_who_had_its_login,
    a_list_goes_on_after_a_contribution_that_counts_for_another_by_now,
    the_account_of_an_address_is_found_by_its_number,
    history_after_a_linked_account_was_forgotten_is_recorded,
    what_somebody_is_forgotten_by_holds_also_where_it_comes_without_a_number,
    what_a_numbered_account_did_without_its_number_is_forgotten_whoever_has_the_login,
    a_login_is_nobodys_once_all_that_had_it_are_forgotten,
    no_recognition_is_made_of_who_has_nothing_left;
    on sqlite alone:
    a_push_that_history_names_by_another_login_counts_once,
    pushes_of_one_commit_by_two_accounts_count_once_while_they_are_linked
);

/// The number, as SQLite keeps it, is found among the bytes too.
#[tokio::test]
async fn a_forgotten_person_leaves_no_bytes_of_any_name_or_number_in_the_file() {
    let opened_store = sqlite().await.unwrap();
    let store = &*opened_store.store;
    let number = 7_301_992;
    let traces = [&b"traceable"[..], &b"unmistakable"[..], &[0x6f, 0x6b, 0x68][..]];
    all(store, [opened(1, "traceable-one", number, 1), opened(2, "traceable-two", number, 2)]).await;
    all(store, [pushed(3, "unmistakable", None), pushed(4, "kim", Some(number)), part(5, "unmistakable")])
        .await;
    // Another account takes the login, and one that is not seen is linked.
    link(store, "unmistakable", "traceable-one").await;
    link(store, "traceable-unseen", "unmistakable").await;
    recognise_owed(store, "1,2,3").await;
    let folder = opened_store.keep.downcast_ref::<tempfile::TempDir>().unwrap();
    let found = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let bytes = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>();
        traces.map(|trace| bytes.windows(trace.len()).any(|window| window == trace))
    };
    assert_eq!(found(), [true; 3], "there would be nothing to find");
    let forgot = store.forget(&who("github:unmistakable")).await.unwrap();
    assert!(matches!(forgot, Forgot::Erased(erased) if erased.contributions == 5), "{forgot:?}");
    assert_eq!(found(), [false; 3]);
    assert_eq!(tallies(store).await, []);
}

/// Three logins and three numbers in every combination, so that logins are taken, given back and parted.
#[tokio::test]
async fn any_names_and_numbers_keep_tallies_exact_and_one_contributor_for_each_number() {
    for seed in 0..30_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let opened_store = sqlite().await.unwrap();
        let store = &*opened_store.store;
        let logins = ["mona", "lisa", "kim"];
        for step in 0..60 {
            let login = logins[random.random_range(0..3)];
            let number = random.random_range(7..10);
            let second = random.random_range(0..50);
            match random.random_range(0..12) {
                0..=3 => _ = record(store, opened(step, login, number, second)).await,
                4..=6 => _ = record(store, pushed(step / 2, login, Some(number))).await,
                7 => _ = record(store, pushed(step / 2, login, None)).await,
                8 => {
                    let part = Contribution {
                        user_id: Some(number),
                        occurred_at: at(second),
                        ..part(step / 8, login)
                    };
                    record(store, part).await;
                }
                9 => _ = recognise_owed(store, "2,4").await,
                10 => _ = store.link(&who(&format!("github:{login}")), &who("github:kim")).await,
                _ if step % 4 == 0 => _ = unlink(store, login).await,
                _ if step % 9 == 0 => _ = store.forget(&who(&format!("github:{login}"))).await.unwrap(),
                _ => {}
            }
            tallies(store).await;
        }
        recognise_owed(store, "2,4").await;
        assert_eq!(recognise_owed(store, "2,4").await, [""; 0], "seed {seed}");
        let (contributions, recognitions, _) = ledger(store).await;
        let mut of_number: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        let stated = |one: &&Counted| one.contribution.number_stated_at().is_some();
        for one in contributions.iter().filter(stated) {
            let number = one.contribution.user_id.unwrap();
            of_number.entry(number).or_default().insert(one.contribution.contributor.to_string());
        }
        for one in &contributions {
            let stated = one.contribution.user_id.and_then(|number| of_number.get_mut(&number));
            stated.map(|of| of.insert(one.contribution.contributor.to_string()));
        }
        assert!(of_number.values().all(|of| of.len() == 1), "seed {seed}: {of_number:?}");
        let people: BTreeSet<_> = tallies(store).await.into_iter().map(|(id, _)| id).collect();
        let stray = recognitions.iter().find(|one| !people.contains(one.contributor.as_str()));
        assert!(stray.is_none(), "seed {seed}: {stray:?}");
    }
}

#[tokio::test]
async fn a_name_that_only_addresses_stated_leaves_no_bytes_once_its_person_is_forgotten() {
    let opened_store = sqlite().await.unwrap();
    let store = &*opened_store.store;
    all(store, (1..=3).map(|push| pushed(push, "traceable", Some(9)))).await;
    assert_eq!(recognise_owed(store, "3").await, ["github:traceable:3"]);
    all(store, [opened(4, "nine", 9, 1), opened(5, "kim", 7, 1)]).await;
    let folder = opened_store.keep.downcast_ref::<tempfile::TempDir>().unwrap();
    let is_found = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let bytes = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>();
        bytes.windows(9).any(|window| window == b"traceable")
    };
    assert!(is_found(), "there would be nothing to find");
    store.forget(&who("github:nine")).await.unwrap();
    assert!(!is_found());
    are(store, &[("kim", 1)]).await;
}

#[tokio::test]
async fn the_file_has_the_host_and_the_login_of_every_id() {
    let opened_store = sqlite().await.unwrap();
    let ids = [
        "github:mona",
        "plain",
        "7+plain",
        "github:7+mona",
        "h.example:8443:mona",
        "h.example:8443:7+mona",
        "h.example/gitlab:mona",
        "[fd00::9]:8929:mona",
        "[fd00::9]:8929:9+m",
        "github:7a+8+x",
        "github:7++",
        "github:7+",
        "localhost:7+8+9",
    ];
    all(&*opened_store.store, ids.iter().map(|id| done(id, id))).await;
    let folder = opened_store.keep.downcast_ref::<tempfile::TempDir>().unwrap();
    let file = rusqlite::Connection::open(folder.path().join("plaudit.db")).unwrap();
    for id in ids.map(who) {
        let sql = "SELECT host, login FROM contributors WHERE id = ?1";
        let split: (String, String) =
            file.query_row(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!((split.0.as_str(), split.1.as_str()), (id.host().unwrap_or_default(), id.login()), "{id}");
    }
}
