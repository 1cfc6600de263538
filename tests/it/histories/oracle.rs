//! Who really did what, by the contract's section 4: a plain fold over the facts that deliveries convey.
//! It knows neither payloads nor the code under test.
//!
//! What the contract leaves to be settled:
//! - Labels are known from payloads that set or remove a rejecting label, and from those by which something
//!   begins to count: opened, made ready. The newest of them decides; in the same second, the one that rejects.
//! - A part that landed later than the newest rejecting label was set counts all the same. A covered commit
//!   lands when its landing commit was made, an author's own part when the host says it was merged.
//! - A label that is set after the landing takes the part back. A deletion is final.
//! - A pull request that was opened for review goes on counting when it is closed unmerged.
//! - Where the hosts' pull requests are not counted, a landing is still one in so far that who merges is
//!   never credited for what others wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::story::STRANGERS;
use super::world::{
    Action, Address, Branch, Commit, Committer, Event, Host, Item, Kind, Nature, Place, Push, REJECTING,
    Role, Rules, What, World,
};

/// One person's part in a piece of work.
#[derive(Debug, Default)]
struct Part {
    contributor: String,
    landed: Option<i64>,
}

/// A pull request, an issue, or what one push brought for one person.
#[derive(Debug, Default)]
struct Work {
    /// By the contribution's id.
    parts: BTreeMap<String, Part>,
    labels: Option<Labels>,
    deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    at: i64,
    rejected: bool,
}

impl Work {
    fn counts(&self, part: &Part) -> bool {
        let rejected = self.labels.filter(|labels| labels.rejected);
        !self.deleted && rejected.is_none_or(|labels| part.landed.is_some_and(|landed| landed > labels.at))
    }

    fn see(&mut self, labels: Labels) {
        self.labels = self.labels.max(Some(labels));
    }

    fn add(&mut self, id: String, contributor: &str, landed: Option<i64>) {
        let part = self.parts.entry(id).or_default();
        contributor.clone_into(&mut part.contributor);
        part.landed = part.landed.max(landed);
    }
}

/// What the ledger must hold of one contributor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) counted: BTreeSet<String>,
    pub(super) recognized: BTreeSet<u64>,
}

/// What the ledger must hold after the deliveries that have arrived.
#[derive(Debug)]
pub(super) struct Oracle<'a> {
    world: &'a World,
    rules: &'a Rules,
    works: BTreeMap<String, Work>,
    recognized: BTreeMap<String, BTreeSet<u64>>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(world: &'a World, rules: &'a Rules) -> Self {
        Self { world, rules, works: BTreeMap::new(), recognized: BTreeMap::new() }
    }

    /// A delivery arrives. One that came before changes nothing.
    pub(super) fn arrives(&mut self, event: &Event) {
        match &event.what {
            What::Push(push) => self.push(event, push),
            What::Item(item) if item.kind == Kind::Issue => self.issue(event, item),
            What::Item(item) => self.pull_request(event, item),
            What::Tag(_) | What::BranchEnd(_) => {}
        }
        for (who, counted) in self.counted() {
            let recognized = self.recognized.entry(who).or_default();
            let highest = recognized.last().copied().unwrap_or(0);
            let reached = |milestone: &&u64| **milestone > highest && **milestone <= counted.len() as u64;
            recognized.extend(self.rules.milestones.iter().filter(reached));
        }
    }

    fn counted(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut counted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for work in self.works.values() {
            for (id, part) in work.parts.iter().filter(|(_, part)| work.counts(part)) {
                counted.entry(part.contributor.clone()).or_default().insert(id.clone());
            }
        }
        counted
    }

    /// Everyone who has something.
    pub(super) fn standings(&self) -> BTreeMap<String, Standing> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for (who, counted) in self.counted() {
            standings.entry(who).or_default().counted = counted;
        }
        for (who, recognized) in &self.recognized {
            standings.entry(who.clone()).or_default().recognized.clone_from(recognized);
        }
        standings
    }

    /// `{host}:{repository id}:{kind}:{rest}`
    fn id(&self, place: Place, kind: &str, rest: &str) -> String {
        format!("{}:{}:{kind}:{rest}", self.world.site.name, self.world.repository_id(place))
    }

    fn is_github(&self) -> bool {
        self.world.site.host == Host::GitHub
    }

    /// The author, where the payload names one who can be credited. GitLab names only who acts.
    fn author(&self, event: &Event, item: &Item) -> Option<String> {
        let named = self.is_github() || event.actor == item.author;
        let human = self.world.people[item.author].nature == Nature::Human;
        (named && human).then(|| self.world.contributor(item.author))
    }

    fn issue(&mut self, event: &Event, item: &Item) {
        if !self.rules.count("issue") {
            return;
        }
        let author = self.author(event, item);
        let id = self.id(event.place, "issue", &item.number.to_string());
        let work = self.works.entry(id.clone()).or_default();
        if let Some(labels) = labels_of(event, item) {
            work.see(labels);
        }
        match item.action {
            Action::Opened => {
                if let Some(author) = author {
                    work.add(id, &author, None);
                }
            }
            Action::Deleted => work.deleted = true,
            _ => {}
        }
    }

    fn pull_request(&mut self, event: &Event, item: &Item) {
        if !self.rules.count("pull_request") {
            return;
        }
        let author = self.author(event, item);
        let (merged_only, github) = (self.rules.merged_only, self.is_github());
        let landed = match item.action {
            // GitLab's payload has no time of the merge but its own.
            Action::Merged { at } => Some(if github { at } else { event.at }),
            _ => None,
        };
        let for_review = item.action == Action::Opened && !item.draft || item.action == Action::Ready;
        let id = self.id(event.place, "pull_request", &item.number.to_string());
        let work = self.works.entry(id.clone()).or_default();
        if let Some(labels) = labels_of(event, item) {
            work.see(labels);
        }
        if let Some(author) = author
            && (landed.is_some() || for_review && !merged_only)
        {
            let login = self.world.people[item.author].login.to_lowercase();
            work.add(format!("{id}:{login}"), &author, landed);
        }
    }

    fn push(&mut self, event: &Event, push: &Push) {
        let on_default = push.branch == Branch::Default;
        let branch_counts = match push.branch {
            Branch::Default => true,
            Branch::Topic(_) => self.rules.all_branches,
            Branch::Queue(_) => false,
        };
        let in_fork = event.place == Place::Fork && self.is_github();
        if !branch_counts || in_fork || authors_named(push) > 20 {
            return;
        }
        // Commits that wait for the landing that covers them.
        let mut waiting: Vec<&Commit> = Vec::new();
        let mut plain: Vec<&Commit> = Vec::new();
        for commit in &push.commits {
            match commit.role {
                Role::LandsThoseBefore(number) if on_default && self.rules.count("pull_request") => {
                    for covered in std::mem::take(&mut waiting) {
                        self.lands(event, push, number, covered, commit.at);
                    }
                }
                Role::LandsItself(number) if on_default && self.rules.count("pull_request") => {
                    plain.append(&mut waiting);
                    self.lands(event, push, number, commit, commit.at);
                }
                _ => waiting.push(commit),
            }
        }
        plain.append(&mut waiting);
        if !self.rules.count("push") {
            return;
        }
        for commit in plain {
            for who in self.credited(event, push, commit) {
                let id = self.id(event.place, "push", &format!("{}:{}", push.after, self.login(who)));
                let contributor = self.world.contributor(who);
                self.works.entry(id.clone()).or_default().add(id, &contributor, None);
            }
        }
    }

    fn lands(&mut self, event: &Event, push: &Push, number: u64, commit: &Commit, at: i64) {
        let work = self.id(event.place, "pull_request", &number.to_string());
        for who in self.credited(event, push, commit) {
            let (id, contributor) = (format!("{work}:{}", self.login(who)), self.world.contributor(who));
            self.works.entry(work.clone()).or_default().add(id, &contributor, Some(at));
        }
    }

    fn login(&self, who: usize) -> String {
        self.world.people[who].login.to_lowercase()
    }

    /// The people whom a commit credits: its author and its co-authors.
    fn credited(&self, event: &Event, push: &Push, commit: &Commit) -> BTreeSet<usize> {
        if matches!(commit.role, Role::Merge | Role::LandsThoseBefore(_)) {
            return BTreeSet::new();
        }
        // A trailer's address ties to an account only if it is a noreply address of this host.
        let co_authors =
            commit.co_authors.iter().filter(|(_, address)| *address == Address::Noreply).map(|(who, _)| *who);
        let author = self.author_of(event, push, commit);
        co_authors.chain(author).filter(|&who| self.world.people[who].nature == Nature::Human).collect()
    }

    fn author_of(&self, event: &Event, push: &Push, commit: &Commit) -> Option<usize> {
        let author = commit.author;
        if is_named(self.world.site.host, commit) {
            return Some(author.who);
        }
        let pusher = event.actor;
        // On GitHub the pusher's name is the login, on GitLab the full name.
        let same_name = author.who == pusher && author.alias == self.is_github();
        let same_address = author.who == pusher && push.shown == Some(author.address);
        if same_name || same_address || self.is_github() && is_only_unnamed(push, commit) {
            return Some(pusher);
        }
        None
    }
}

/// The labels that a delivery conveys, with the payload's own time.
fn labels_of(event: &Event, item: &Item) -> Option<Labels> {
    let conveys = match item.action {
        Action::Labelled(label) | Action::Unlabelled(label) => REJECTING.contains(&label),
        Action::Opened | Action::OpenedByTransfer | Action::Ready => true,
        _ => false,
    };
    conveys.then(|| Labels { at: event.at, rejected: item.is_rejected() })
}

/// Whether the payload says whose account wrote the commit.
fn is_named(host: Host, commit: &Commit) -> bool {
    commit.author.address == Address::Noreply || host == Host::GitHub && commit.author.named
}

/// GitHub's last resort: who pushes the commits of one unknown address, which nobody else committed and which
/// land nothing, wrote them.
fn is_only_unnamed(push: &Push, commit: &Commit) -> bool {
    let merges = |commit: &&Commit| matches!(commit.role, Role::Merge | Role::LandsThoseBefore(_));
    let unnamed = push.commits.iter().filter(|commit| !merges(commit) && !is_named(Host::GitHub, commit));
    let signatures: BTreeSet<_> =
        unnamed.map(|c| (c.author.who, c.author.address == Address::Account)).collect();
    let lands = |commit: &Commit| matches!(commit.role, Role::LandsThoseBefore(_) | Role::LandsItself(_));
    commit.committer == Committer::Author && signatures.len() == 1 && !push.commits.iter().any(lands)
}

/// How many authors a push has, to tell an import.
fn authors_named(push: &Push) -> usize {
    let authors: BTreeSet<_> = push.commits.iter().map(|commit| commit.author.who).collect();
    if authors.iter().any(|who| *who >= STRANGERS) { authors.len() } else { 0 }
}
