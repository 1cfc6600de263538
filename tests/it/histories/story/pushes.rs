//! Commits, and the pushes that bring them.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{STRANGERS, Story};
use crate::histories::world::{Address, Branch, Commit, Committer, Place, Push, Role, Signature, What};

/// Titles that look like a landing or a merge and are none.
const PLAIN_TITLES: [&str; 9] = [
    "Trim the wick",
    "Trim the wick (#3)",
    "Merge branch and tag tables",
    "Merge pull request cleanup into the notes",
    "Merge commit messages from the log",
    "Count hours, see #4",
    "Merge tags on the page",
    "Auto merge of settings",
    "Release (#v2)",
];

/// How git words the merges that people make themselves.
const MERGES: [&str; 4] = [
    "Merge branch 'wick' into main",
    "Merge remote-tracking branch 'upstream/main'",
    "Merge tag 'v2.1'",
    "Merge commit '4f3f664'",
];

impl Story<'_> {
    pub(super) fn signature(&mut self, who: usize) -> Signature {
        let person = &self.world.people[who];
        if person.is_machine() {
            return Signature { who, address: Address::Account, alias: true, named: true };
        }
        let address = if self.chance(0.4) {
            Address::Noreply
        } else if self.chance(0.7) {
            Address::Account
        } else {
            Address::Unknown
        };
        let named = match address {
            Address::Account => self.chance(0.75),
            Address::Noreply => self.chance(0.7),
            Address::Unknown => false,
        };
        let alias = self.chance(0.25);
        Signature { who, address, alias, named: named && self.is_github() }
    }

    pub(super) fn commit(&mut self, who: usize) -> Commit {
        let title =
            if self.chance(0.7) { PLAIN_TITLES[0] } else { *PLAIN_TITLES.choose(&mut self.rng).unwrap() };
        let mut message = title.to_owned();
        if self.chance(0.1) {
            let quoted = self.human();
            let trailer = self.trailer(quoted, Address::Noreply);
            message = format!("{message}\n\nThe report said:\n{trailer}\n\nThat was wrong.");
        }
        if self.chance(0.05) {
            message.push_str("\n\nSee merge request other/project!3\n\nand the notes.");
        }
        let mut co_authors = Vec::new();
        if self.chance(0.12) {
            let co_author = self.committer();
            let address = if self.chance(0.7) { Address::Noreply } else { Address::Account };
            co_authors.push((co_author, address));
            message = format!("{message}\n\n{}", self.trailer(co_author, address));
        }
        let other = self.human();
        let committer =
            if other != who && self.chance(0.15) { Committer::Other(other) } else { Committer::Author };
        let author = self.signature(who);
        Commit {
            sha: self.sha(),
            at: self.tick(),
            message,
            author,
            committer,
            role: Role::Plain,
            co_authors,
            distinct: true,
        }
    }

    pub(super) fn trailer(&self, who: usize, address: Address) -> String {
        let person = &self.world.people[who];
        format!("Co-authored-by: {} <{}>", person.name, person.address(address))
    }

    pub(super) fn push_topic(&mut self, branch: &str, from_fork: bool, commits: &[Commit], created: bool) {
        if from_fork && !self.is_github() {
            // A fork on GitLab has a webhook of its own, or none.
            return;
        }
        let pusher = self.human();
        let place = if from_fork { Place::Fork } else { Place::Home };
        let before = if created { "0".repeat(40) } else { self.sha() };
        self.push(place, pusher, Branch::Topic(branch.to_owned()), before, commits.to_vec());
    }

    pub(super) fn push(
        &mut self,
        place: Place,
        pusher: usize,
        branch: Branch,
        before: String,
        commits: Vec<Commit>,
    ) {
        let shown = match self.rng.random_range(0..4) {
            0 => None,
            1 => Some(Address::Noreply),
            _ => Some(Address::Account),
        };
        let after = commits.last().map_or_else(|| before.clone(), |commit| commit.sha.clone());
        let created = before.starts_with("00000000");
        let at = self.tick();
        let push = Push { branch, before, after, commits, shown, created };
        self.event(at, pusher, place, What::Push(push));
    }

    /// A push to the default branch.
    pub(super) fn push_main(&mut self, pusher: usize, commits: Vec<Commit>) {
        let before = self.head.clone();
        self.head.clone_from(&commits.last().unwrap().sha);
        self.push(Place::Home, pusher, Branch::Default, before, commits);
    }

    pub(super) fn direct_push(&mut self) {
        let pusher = self.committer();
        let mut commits = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let who = if self.chance(0.3) { self.committer() } else { pusher };
            commits.push(self.commit(who));
        }
        self.push_main(pusher, commits);
    }

    pub(super) fn local_merge(&mut self) {
        let pusher = self.human();
        let other = self.human();
        let mut commits = vec![self.commit(other)];
        let message = *MERGES.choose(&mut self.rng).unwrap();
        commits.push(self.merge_of(message, pusher));
        if !self.is_github() && self.chance(0.3) {
            // Of another project: nothing lands here.
            let last = commits.last_mut().unwrap();
            last.message.push_str("\n\nSee merge request elsewhere/project!2");
        }
        for commit in &mut commits {
            if commit.role == Role::Merge {
                commit.committer = Committer::Author;
            }
        }
        self.push_main(pusher, commits);
    }

    /// What landed here is pushed to the fork, as it is.
    pub(super) fn sync_fork(&mut self) {
        if !self.is_github() {
            return self.nothing();
        }
        let landed: Vec<Commit> = self
            .world
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::Push(push) if push.branch == Branch::Default && event.place == Place::Home => {
                    Some(push.commits.clone())
                }
                _ => None,
            })
            .flatten()
            .collect();
        if landed.is_empty() {
            return self.direct_push();
        }
        let pusher = self.human();
        let before = self.sha();
        self.push(Place::Fork, pusher, Branch::Default, before, landed);
    }

    /// More authors than a push can have.
    pub(super) fn import(&mut self) {
        if !self.is_github() {
            // GitLab lists the newest 20 commits of a push.
            return self.nothing();
        }
        let pusher = self.human();
        let mut commits = Vec::new();
        for i in 0..22 {
            let mut commit = self.commit(pusher);
            commit.co_authors.clear();
            commit.message = format!("Part {i}");
            commit.author =
                Signature { who: STRANGERS + i, address: Address::Noreply, alias: true, named: true };
            commit.committer = Committer::Author;
            commits.push(commit);
        }
        self.push_main(pusher, commits);
    }
}
