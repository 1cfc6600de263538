//! Which push brought each commit: a walk from the newest commit to the oldest, children before parents.
//!
//! A commit belongs to the oldest push that reaches it. Where no push is known (the hosts' lists do not go back so
//! far), each commit of the first-parent line counts as pushed by itself, with what it merged.
//! In memory are only the pushes that are not complete yet, and the parents that were named and not yet seen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Moment;

/// The most commits of a push that a payload lists.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>
pub(super) const MOST_COMMITS: usize = 2_048;

/// How many commits are remembered after they were seen. GitHub lists by the committers' clocks, so a commit can come
/// before another child of its own, whose clock was behind.
const REMEMBERED: usize = 10_000;

/// A push to the branch, as the host lists it.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    /// `None` where the push created the branch.
    pub(super) before: Option<String>,
    pub(super) after: String,
    pub(super) forced: bool,
    /// Who pushed, by the number in a list.
    pub(super) actor: Option<usize>,
}

/// What a commit belongs to: the smaller, the older. An even rank is that of a known push; an odd one lies between
/// two known pushes, and there each commit of the first-parent line has the next age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Label {
    rank: u32,
    age: Reverse<u32>,
}

impl Label {
    const fn new(rank: u32, age: u32) -> Self {
        Self { rank, age: Reverse(age) }
    }

    /// What is newer than every known push.
    const NEWEST: Self = Self::new(u32::MAX, 0);

    fn is_known_push(self) -> bool {
        self.rank.is_multiple_of(2)
    }
}

/// A parent that was named and is not yet seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Expected {
    label: Label,
    /// Whether it is on the first-parent line where no push is known.
    on_line: bool,
}

/// A commit of the walk.
pub(super) struct Seen {
    pub(super) oid: String,
    pub(super) parents: Vec<String>,
    /// When it was committed, by the committer's clock.
    pub(super) at: Option<Moment>,
    /// The commit of a payload.
    pub(super) json: Value,
}

/// What was pushed together, once all of it was seen.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) push: Pushed,
    /// Newest first.
    pub(super) commits: Vec<Value>,
    /// The page on which it began.
    begun: usize,
}

/// The state of the walk before a page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Frontier {
    expected: BTreeMap<String, Expected>,
    /// Pushes of which a part was seen before. Where the walk goes on from here, they are complete already.
    done: BTreeSet<Label>,
    seen: u64,
}

/// The pushes that are known, by their commits.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Oldest first. The push at `i` has the rank `2 * i + 2`.
    pushes: Vec<Pushed>,
    /// The oldest rank that each commit has as the end or the beginning of a push.
    ranks: HashMap<String, u32>,
    /// Whether what is older than the oldest is of no interest.
    cut: bool,
}

impl Known {
    /// Of pushes, newest first.
    pub(super) fn new(mut pushes: Vec<Pushed>, cut: bool) -> Self {
        pushes.reverse();
        let mut ranks: HashMap<String, u32> = HashMap::new();
        for (push, rank) in pushes.iter().zip((2_u32..).step_by(2)) {
            // What the branch was before is older than this push, also where the push before is missing.
            let ends = push.before.iter().map(|before| (before, rank - 1)).chain([(&push.after, rank)]);
            for (commit, rank) in ends {
                let known = ranks.entry(commit.clone()).or_insert(rank);
                *known = rank.min(*known);
            }
        }
        Self { pushes, ranks, cut }
    }

    fn is_empty(&self) -> bool {
        self.pushes.is_empty()
    }

    fn push(&self, label: Label) -> Option<&Pushed> {
        let place = usize::try_from(label.rank / 2).ok()?.checked_sub(1)?;
        self.pushes.get(place).filter(|_| label.is_known_push())
    }
}

/// The commits that were seen last.
#[derive(Default)]
struct Recent {
    order: VecDeque<u64>,
    hashes: HashSet<u64>,
}

impl Recent {
    fn hash(oid: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        oid.hash(&mut hasher);
        hasher.finish()
    }

    fn has(&self, oid: &str) -> bool {
        self.hashes.contains(&Self::hash(oid))
    }

    fn add(&mut self, oid: &str) {
        let hash = Self::hash(oid);
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }
}

/// The walk.
pub(super) struct Walk {
    known: Known,
    frontier: Frontier,
    /// How many expected parents have each label.
    pending: HashMap<Label, usize>,
    open: BTreeMap<Label, Group>,
    recent: Recent,
    /// How many commits there are in all.
    total: u64,
    page: usize,
}

impl Walk {
    pub(super) fn new(known: Known, frontier: Frontier, total: u64) -> Self {
        let mut pending = HashMap::new();
        for expected in frontier.expected.values() {
            *pending.entry(expected.label).or_default() += 1;
        }
        Self { known, frontier, pending, open: BTreeMap::new(), recent: Recent::default(), total, page: 0 }
    }

    /// The state before the next page, to go on from there.
    pub(super) fn frontier(&self) -> Frontier {
        let mut frontier = self.frontier.clone();
        frontier.done.extend(self.open.keys().copied());
        frontier
    }

    /// The first page of which something is not yet complete; the next one if all is.
    pub(super) fn resumes_at(&self) -> usize {
        self.open.values().map(|group| group.begun).min().unwrap_or(self.page)
    }

    pub(super) fn page_ends(&mut self) {
        self.page += 1;
    }

    /// Whether all that is of interest was seen: nothing is expected of a known push, and what is older is not read.
    pub(super) fn is_over(&self) -> bool {
        let of_a_push = |label: &Label| label.rank > 1;
        self.known.cut && self.frontier.seen > 0 && !self.pending.keys().any(of_a_push)
    }

    /// Whether no known push can bring what comes.
    pub(super) fn is_past_known_pushes(&self) -> bool {
        self.frontier.seen > 0
            && !self.pending.keys().any(|label| label.is_known_push() || label.rank == u32::MAX)
    }

    /// Takes the next commit, and returns what is complete by it.
    pub(super) fn see(&mut self, commit: Seen) -> Vec<Group> {
        let first = self.frontier.seen == 0;
        let mut here = self.frontier.expected.remove(&commit.oid);
        if let Some(expected) = here {
            self.count(expected.label, false);
        } else if first || self.known.is_empty() {
            let label = if self.known.is_empty() { Label::new(1, 0) } else { Label::NEWEST };
            here = Some(Expected { label, on_line: self.known.is_empty() });
        }
        // A commit without a child before it can only be the beginning.
        let here = here.unwrap_or(Expected { label: Label::NEWEST, on_line: false });
        let Expected { label, on_line } = self.at(&commit.oid, here);
        self.frontier.seen += 1;
        for (place, parent) in commit.parents.iter().enumerate() {
            let continues = on_line && place == 0;
            let label = if continues { Label::new(label.rank, label.age.0 + 1) } else { label };
            self.expect(parent, Expected { label, on_line: continues });
        }
        self.recent.add(&commit.oid);
        self.keep(label, commit);
        self.complete()
    }

    /// What a commit belongs to that is reached from something newer.
    fn at(&self, oid: &str, reached: Expected) -> Expected {
        match self.known.ranks.get(oid) {
            Some(&rank) if Label::new(rank, 0) < reached.label => self.beginning(rank),
            _ => reached,
        }
    }

    /// What a commit is at which a push ends or begins. One that creates the branch brings all that is older, if that
    /// fits into a payload: else it gave a new name to a branch, or mirrored one.
    fn beginning(&self, rank: u32) -> Expected {
        let label = Label::new(rank, 0);
        let creates = self.known.push(label).is_some_and(|push| push.before.is_none());
        let rest = self.total.saturating_sub(self.frontier.seen);
        if label.is_known_push() && !(creates && rest > MOST_COMMITS as u64) {
            Expected { label, on_line: false }
        } else {
            Expected { label: Label::new(rank - u32::from(label.is_known_push()), 0), on_line: true }
        }
    }

    fn expect(&mut self, parent: &str, expected: Expected) {
        if self.recent.has(parent) {
            return;
        }
        let expected = self.at(parent, expected);
        if let Some(known) = self.frontier.expected.get_mut(parent) {
            if expected.label < known.label {
                let before = std::mem::replace(known, expected);
                self.count(before.label, false);
                self.count(expected.label, true);
            }
        } else {
            self.frontier.expected.insert(parent.to_owned(), expected);
            self.count(expected.label, true);
        }
    }

    fn count(&mut self, label: Label, more: bool) {
        let pending = self.pending.entry(label).or_default();
        *pending = if more { *pending + 1 } else { pending.saturating_sub(1) };
        if *pending == 0 {
            self.pending.remove(&label);
        }
    }

    fn keep(&mut self, label: Label, commit: Seen) {
        if label == Label::NEWEST || self.frontier.done.contains(&label) || self.known.cut && label.rank <= 1
        {
            return;
        }
        let page = self.page;
        let group = self.open.entry(label).or_insert_with(|| {
            let alone = || Pushed {
                before: commit.parents.first().cloned(),
                after: commit.oid.clone(),
                forced: false,
                actor: None,
            };
            let push = self.known.push(label).cloned().unwrap_or_else(alone);
            Group { push, commits: Vec::new(), begun: page }
        });
        if group.commits.len() < MOST_COMMITS {
            group.commits.push(commit.json);
        }
    }

    fn complete(&mut self) -> Vec<Group> {
        let pending = &self.pending;
        let complete = self.open.extract_if(.., |label, _| !pending.contains_key(label));
        complete.map(|(_, group)| group).collect()
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(oid: &str, parents: &[&str]) -> Seen {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Seen { oid: oid.to_owned(), parents, at: None, json: oid.into() }
    }

    fn pushed(before: Option<&str>, after: &str) -> Pushed {
        Pushed { before: before.map(str::to_owned), after: after.to_owned(), forced: false, actor: None }
    }

    /// The pushes and their commits, in the order in which they are complete.
    fn groups(known: Known, total: u64, commits: &[(&str, &[&str])]) -> Vec<(String, String)> {
        let mut walk = Walk::new(known, Frontier::default(), total);
        let mut groups = Vec::new();
        for (oid, parents) in commits {
            groups.extend(walk.see(seen(oid, parents)));
        }
        groups.extend(walk.rest());
        let commits =
            |group: &Group| group.commits.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        groups.iter().map(|group| (group.push.after.clone(), commits(group))).collect()
    }

    fn are(groups: &[(String, String)], expected: &[(&str, &str)]) {
        let groups: Vec<_> =
            groups.iter().map(|(after, commits)| (after.as_str(), commits.as_str())).collect();
        assert_eq!(groups, expected);
    }

    #[test]
    fn a_commit_belongs_to_the_oldest_push_that_reaches_it() {
        let known = Known::new(vec![pushed(Some("c"), "f"), pushed(Some("a"), "c")], false);
        // The branch of `e` began before `c` was pushed.
        let commits: [(&str, &[&str]); 6] =
            [("f", &["c", "e"]), ("e", &["d"]), ("c", &["b"]), ("d", &["b"]), ("b", &["a"]), ("a", &[])];
        are(&groups(known, 6, &commits), &[("f", "f e d"), ("c", "c b"), ("a", "a")]);
    }

    #[test]
    fn a_push_that_the_list_lacks_is_read_as_commits_of_the_line() {
        let known = Known::new(vec![pushed(Some("c"), "d"), pushed(Some("z"), "a")], false);
        let commits: [(&str, &[&str]); 4] = [("d", &["c"]), ("c", &["b"]), ("b", &["a"]), ("a", &["z"])];
        are(&groups(known, 4, &commits), &[("d", "d"), ("c", "c"), ("b", "b"), ("a", "a")]);
    }

    #[test]
    fn what_is_newer_than_the_last_known_push_is_left_for_later() {
        let known = Known::new(vec![pushed(Some("a"), "b")], false);
        let commits: [(&str, &[&str]); 3] = [("c", &["b"]), ("b", &["a"]), ("a", &[])];
        are(&groups(known, 3, &commits), &[("b", "b"), ("a", "a")]);
    }

    #[test]
    fn a_branch_that_a_push_created_with_more_than_a_payload_holds_was_only_renamed() {
        let commits: [(&str, &[&str]); 3] = [("c", &["b"]), ("b", &["a"]), ("a", &[])];
        let known = || Known::new(vec![pushed(Some("b"), "c"), pushed(None, "b")], false);
        are(&groups(known(), 3, &commits), &[("c", "c"), ("b", "b a")]);
        are(&groups(known(), 5_000, &commits), &[("c", "c"), ("b", "b"), ("a", "a")]);
    }

    #[test]
    fn a_commit_that_comes_before_another_child_of_its_own_is_not_expected_again() {
        let known = Known::new(vec![pushed(Some("a"), "e")], true);
        let mut walk = Walk::new(known, Frontier::default(), 5);
        // The clock of `d` was behind.
        let commits: [(&str, &[&str]); 4] = [("e", &["c", "d"]), ("c", &["b"]), ("b", &["a"]), ("d", &["b"])];
        let complete: Vec<_> =
            commits.iter().flat_map(|(oid, parents)| walk.see(seen(oid, parents))).collect();
        assert_eq!(complete.len(), 1);
        assert!(walk.is_over(), "only what is older is expected");
    }
}
