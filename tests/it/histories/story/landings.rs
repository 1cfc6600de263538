//! How pull requests are merged: by merge commit, squash, rebase, a queue or by hand.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{PullRequest, RELEASE, Story, author_of};
use crate::histories::world::{Action, Address, Branch, Commit, Committer, Nature, Place, Role, Signature};

impl Story<'_> {
    /// Merges one pull request or, by a queue or by hand, several in one push.
    pub(super) fn merge(&mut self) {
        let open: Vec<usize> =
            (0..self.pull_requests.len()).filter(|&i| self.pull_requests[i].open).collect();
        if open.is_empty() {
            return self.open_pull_request();
        }
        let first = *open.choose(&mut self.rng).unwrap();
        let mut merger = self.human();
        if self.chance(0.3) && !self.deleted(self.pull_requests[first].item.author) {
            merger = self.pull_requests[first].item.author;
        } else if self.chance(0.15) {
            merger = self.any(|nature| nature == Nature::App);
        }
        if self.pull_requests[first].item.base == RELEASE {
            return self.merge_into_release(first, merger);
        }
        let to_main = open.into_iter().filter(|&which| self.pull_requests[which].item.base != RELEASE);
        let open: Vec<usize> = to_main.collect();
        if self.is_github() && self.chance(0.15) {
            let several = open.into_iter().take(3).collect();
            return self.merge_queue(several);
        }
        if self.rules.all_branches || !self.chance(0.35) {
            self.get_ready(first, merger);
            let commits = self.landing(first, merger);
            self.push_main(merger, commits);
            return self.merged(first, merger);
        }
        let second = open.into_iter().find(|which| *which != first);
        self.merge_by_hand([Some(first), second].into_iter().flatten().collect(), merger);
    }

    /// What is merged into another branch than the default one lands nothing there; the host says that it is
    /// merged.
    fn merge_into_release(&mut self, which: usize, merger: usize) {
        self.get_ready(which, merger);
        let commits = self.squash(which, merger);
        let before = self.sha();
        self.push(Place::Home, merger, Branch::Topic(RELEASE.to_owned()), before, commits);
        self.merged(which, merger);
    }

    /// In one push, with other work before, between and after.
    fn merge_by_hand(&mut self, several: Vec<usize>, merger: usize) {
        let mut commits = Vec::new();
        for &which in &several {
            self.get_ready(which, merger);
            if self.chance(0.7) {
                commits.push(self.commit(merger));
            }
            let squashes = self.is_github() && self.chance(0.5);
            commits.extend(if squashes {
                self.squash(which, merger)
            } else {
                self.merge_commit(which, merger)
            });
        }
        if self.chance(0.5) {
            commits.push(self.commit(merger));
        }
        self.push_main(merger, commits);
        for which in several {
            self.merged(which, merger);
        }
    }

    fn deleted(&self, who: usize) -> bool {
        self.world.people[who].nature == Nature::Deleted
    }

    fn get_ready(&mut self, which: usize, by: usize) {
        if self.pull_requests[which].item.draft {
            self.pull_requests[which].item.draft = false;
            self.pull_requests[which].item.action = Action::Ready;
            let item = self.pull_requests[which].item.clone();
            self.item(Place::Home, by, &item);
        }
    }

    /// The host's word that it is merged.
    fn merged(&mut self, which: usize, merger: usize) {
        let one = &mut self.pull_requests[which];
        (one.open, one.merged) = (false, true);
        // Its own second, after the landing commit's and the push's.
        self.now += 10;
        let at = self.now - 5;
        one.item.action = Action::Merged { at };
        let item = one.item.clone();
        self.item(Place::Home, merger, &item);
    }

    /// The commits by which a button lands a pull request.
    fn landing(&mut self, which: usize, merger: usize) -> Vec<Commit> {
        match self.rng.random_range(0..10) {
            0..4 => self.merge_commit(which, merger),
            4..8 => self.squash(which, merger),
            _ => self.rebase(which),
        }
    }

    fn merge_commit(&mut self, which: usize, merger: usize) -> Vec<Commit> {
        let one = self.pull_requests[which].clone();
        let n = one.item.number;
        let mut commits: Vec<Commit> =
            one.commits.iter().map(|commit| Commit { distinct: one.from_fork, ..commit.clone() }).collect();
        if self.chance(0.1) {
            let update = self.merge_of("Merge branch 'main' into wick", author_of(&one));
            commits.push(update);
        }
        let message = if self.is_github() {
            format!(
                "Merge pull request #{n} from {}/{}\n\nTrim the wick",
                self.world.path(Place::Home).0,
                one.branch
            )
        } else {
            let path = if self.chance(0.8) { self.world.full_name(Place::Home) } else { String::new() };
            format!(
                "Merge branch '{}' into 'main'\n\nTrim the wick\n\nSee merge request {path}!{n}",
                one.branch
            )
        };
        let merge = self.merge_of(&message, merger);
        commits.push(Commit { role: Role::LandsThoseBefore(n), ..merge });
        commits
    }

    pub(super) fn merge_of(&mut self, message: &str, by: usize) -> Commit {
        let committer = if self.is_github() { Committer::Host } else { Committer::Author };
        let author = Signature { who: by, address: Address::Account, alias: false, named: self.is_github() };
        Commit {
            sha: self.sha(),
            at: self.tick(),
            message: message.to_owned(),
            author,
            committer,
            role: Role::Merge,
            co_authors: Vec::new(),
            distinct: true,
        }
    }

    fn squash(&mut self, which: usize, merger: usize) -> Vec<Commit> {
        let one = self.pull_requests[which].clone();
        let n = one.item.number;
        let author = author_of(&one);
        let others = others(&one, author);
        let mut commit = self.commit(author);
        commit.author = self.signature(author);
        commit.role = Role::LandsItself(n);
        commit.co_authors = others;
        if self.is_github() {
            let seen = self.chance(0.2);
            commit.message = format!("Trim the wick{} (#{n})\n\n* Trim it", if seen { " (#3)" } else { "" });
            commit.committer = Committer::Host;
            if !self.world.people[author].is_machine() {
                commit.author.address = Address::Account;
                commit.author.named = true;
            }
            self.append_trailers(&mut commit);
            return vec![commit];
        }
        commit.committer = Committer::Author;
        if self.chance(0.25) {
            // Fast-forward, by a template that keeps the reference.
            commit.co_authors.clear();
            commit.message =
                format!("Trim the wick\n\nSee merge request {}!{n}", self.world.full_name(Place::Home));
            return vec![commit];
        }
        commit.role = Role::Plain;
        "Trim the wick".clone_into(&mut commit.message);
        self.append_trailers(&mut commit);
        let path = self.world.full_name(Place::Home);
        let merge = self.merge_of(
            &format!(
                "Merge branch '{}' into 'main'\n\nTrim the wick\n\nSee merge request {path}!{n}",
                one.branch
            ),
            merger,
        );
        vec![commit, Commit { role: Role::LandsThoseBefore(n), ..merge }]
    }

    fn append_trailers(&self, commit: &mut Commit) {
        let trailers: Vec<_> =
            commit.co_authors.iter().map(|&(who, address)| self.trailer(who, address)).collect();
        if !trailers.is_empty() {
            commit.message.push_str("\n\n---------\n\n");
            commit.message.push_str(&trailers.join("\n"));
        }
    }

    /// New commits without a number: nothing ties them to the pull request.
    fn rebase(&mut self, which: usize) -> Vec<Commit> {
        let one = self.pull_requests[which].clone();
        let mut commits = Vec::new();
        for commit in one.commits {
            let committer = if self.is_github() { Committer::Host } else { Committer::Author };
            let at = self.tick();
            let mut message = commit.message.clone();
            if self.is_github() && message.starts_with("Trim the wick (#3)") {
                // Committed by GitHub with such an end this would be a squash.
                message = message.replacen(" (#3)", "", 1);
            }
            commits.push(Commit { sha: self.sha(), at, committer, message, distinct: true, ..commit });
        }
        commits
    }

    /// The queue squashes each on a branch of its own, then pushes them all together.
    fn merge_queue(&mut self, several: Vec<usize>) {
        let queue = self.any(|nature| nature == Nature::App);
        let mut together = Vec::new();
        for &which in &several {
            let merger = self.human();
            self.get_ready(which, merger);
            let commits =
                if self.chance(0.5) { self.squash(which, merger) } else { self.merge_commit(which, merger) };
            let name =
                format!("gh-readonly-queue/main/pr-{}-{}", self.pull_requests[which].item.number, self.head);
            let before = self.head.clone();
            self.push(Place::Home, queue, Branch::Queue(name), before, commits.clone());
            together.extend(commits.into_iter().map(|commit| Commit { distinct: false, ..commit }));
        }
        self.push_main(queue, together);
        for which in several {
            self.merged(which, queue);
        }
    }
}

/// Who else wrote what is squashed, with the address each of them is given in a trailer.
fn others(one: &PullRequest, author: usize) -> Vec<(usize, Address)> {
    let mut others: Vec<(usize, Address)> = Vec::new();
    for commit in &one.commits {
        let Signature { who, address, .. } = commit.author;
        if who != author && others.iter().all(|(known, _)| *known != who) {
            others.push((who, address));
        }
    }
    others
}
