//! What happens in a history: people open, label, merge and push, one thing after the other.

mod landings;
mod pushes;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::world::{
    Action, Commit, Event, Host, Item, Kind, Nature, Place, REJECTING, Rules, What, World, begin,
};

/// A branch that is not the default one, into which some pull requests are merged.
const RELEASE: &str = "release-1";

const HARMLESS: [&str; 2] = ["docs", "good first issue"];

#[derive(Clone, Debug)]
struct PullRequest {
    item: Item,
    commits: Vec<Commit>,
    branch: String,
    from_fork: bool,
    open: bool,
    merged: bool,
}

struct Story<'a> {
    world: World,
    rng: StdRng,
    rules: &'a Rules,
    now: i64,
    shas: u64,
    next_number: u64,
    head: String,
    issues: Vec<(Place, Item)>,
    pull_requests: Vec<PullRequest>,
}

pub(super) fn tell(world: World, rng: StdRng, rules: &Rules) -> World {
    let mut story = Story {
        now: begin(),
        shas: 0,
        next_number: 1,
        head: world.sha(u64::MAX),
        issues: Vec::new(),
        pull_requests: Vec::new(),
        world,
        rng,
        rules,
    };
    for _ in 0..story.rng.random_range(6..=16) {
        story.step();
    }
    story.world
}

impl Story<'_> {
    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..16 => self.open_issue(),
            16..26 => self.change_issue(),
            26..30 => self.transfer_issue(),
            30..50 => self.open_pull_request(),
            50..64 => self.change_pull_request(),
            64..82 => self.merge(),
            82..92 => self.direct_push(),
            92..95 => self.local_merge(),
            95..97 => self.sync_fork(),
            97 => self.import(),
            _ => self.nothing(),
        }
    }

    fn is_github(&self) -> bool {
        self.world.site.host == Host::GitHub
    }

    fn chance(&mut self, p: f64) -> bool {
        self.rng.random_bool(p)
    }

    /// The next second at which something happens. No two share one.
    fn tick(&mut self) -> i64 {
        self.now += self.rng.random_range(2..4000);
        self.now
    }

    fn sha(&mut self) -> String {
        self.shas += 1;
        self.world.sha(self.shas)
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn any(&mut self, is: impl Fn(Nature) -> bool) -> usize {
        let fitting: Vec<usize> =
            (0..self.world.people.len()).filter(|&i| is(self.world.people[i].nature)).collect();
        *fitting.choose(&mut self.rng).unwrap()
    }

    fn human(&mut self) -> usize {
        self.any(|nature| nature == Nature::Human)
    }

    /// Mostly a person, now and then a machine.
    fn committer(&mut self) -> usize {
        if self.chance(0.1) {
            self.any(|nature| nature != Nature::Human && nature != Nature::Deleted)
        } else {
            self.human()
        }
    }

    fn opener(&mut self) -> usize {
        if self.chance(0.12) { self.any(|nature| nature != Nature::Human) } else { self.human() }
    }

    fn event(&mut self, at: i64, actor: usize, place: Place, what: What) {
        self.world.events.push(Event { at, actor, place, what });
    }

    fn item(&mut self, place: Place, actor: usize, item: &Item) {
        let at = match item.action {
            // The merge commit comes first, and the state after it in that second or the next.
            Action::Merged { at } => at + i64::from(self.chance(0.5)),
            Action::Opened | Action::OpenedByTransfer => item.opened_at,
            _ => self.tick(),
        };
        self.event(at, actor, place, What::Item(item.clone()));
    }

    fn new_item(&mut self, kind: Kind, author: usize) -> Item {
        let mut labels = Vec::new();
        match self.rng.random_range(0..10) {
            0 => labels.push(*REJECTING.choose(&mut self.rng).unwrap()),
            1 => labels.push(*HARMLESS.choose(&mut self.rng).unwrap()),
            _ => {}
        }
        Item {
            kind,
            number: self.number(),
            author,
            opened_at: self.tick(),
            labels,
            draft: false,
            confidential: false,
            base: "main",
            action: Action::Opened,
        }
    }

    /// GitHub tells of the labels that something is opened with once more, in the same second.
    fn opened(&mut self, place: Place, actor: usize, item: &Item) {
        self.item(place, actor, item);
        for label in item.labels.clone() {
            if self.is_github() {
                let item = Item { action: Action::Labelled(label), ..item.clone() };
                self.event(item.opened_at, actor, place, What::Item(item));
            }
        }
    }

    /// GitLab lets an administrator open in another's name: the payload then names the actor alone.
    fn actor_for(&mut self, author: usize) -> usize {
        if !self.is_github() && self.chance(0.08) { self.human() } else { author }
    }

    fn open_issue(&mut self) {
        let author = self.opener();
        let mut item = self.new_item(Kind::Issue, author);
        item.confidential = !self.is_github() && self.chance(0.15);
        let actor = self.actor_for(author);
        self.opened(Place::Home, actor, &item);
        self.issues.push((Place::Home, item));
    }

    fn change_issue(&mut self) {
        if self.issues.is_empty() {
            return self.open_issue();
        }
        let which = self.rng.random_range(0..self.issues.len());
        let (place, mut item) = self.issues[which].clone();
        let deletes = self.is_github() && self.chance(0.25);
        item.action = if deletes {
            Action::Deleted
        } else if self.chance(0.7) {
            self.relabel(&mut item.labels, 2)
        } else {
            *[Action::Closed, Action::Reopened, Action::Edited].choose(&mut self.rng).unwrap()
        };
        let actor = self.human();
        self.item(place, actor, &item);
        if deletes {
            self.issues.remove(which);
        } else {
            self.issues[which].1 = item;
        }
    }

    /// Sets a label or takes one away. At most so many rejecting ones are on together.
    fn relabel(&mut self, labels: &mut Vec<&'static str>, most: usize) -> Action {
        if !labels.is_empty() && self.chance(0.6) {
            let label = labels.remove(self.rng.random_range(0..labels.len()));
            return Action::Unlabelled(label);
        }
        let label = if self.chance(0.75) {
            *REJECTING.choose(&mut self.rng).unwrap()
        } else {
            *HARMLESS.choose(&mut self.rng).unwrap()
        };
        let rejecting: Vec<_> = labels.iter().copied().filter(|label| REJECTING.contains(label)).collect();
        let full = REJECTING.contains(&label) && rejecting.len() == most;
        let off = if full { rejecting.first().copied() } else { labels.contains(&label).then_some(label) };
        if let Some(label) = off {
            labels.retain(|known| *known != label);
            return Action::Unlabelled(label);
        }
        labels.push(label);
        Action::Labelled(label)
    }

    /// An issue opened elsewhere comes here: it counted there, and does not again.
    fn transfer_issue(&mut self) {
        if !self.is_github() {
            return self.open_issue();
        }
        let author = self.opener();
        let mut item = self.new_item(Kind::Issue, author);
        self.opened(Place::Elsewhere, author, &item);
        item.action = Action::Transferred;
        let actor = self.human();
        self.item(Place::Elsewhere, actor, &item);
        let mut moved = Item { number: self.number(), action: Action::OpenedByTransfer, ..item };
        moved.opened_at = self.tick();
        self.item(Place::Home, actor, &moved);
        self.issues.push((Place::Home, moved));
    }

    fn open_pull_request(&mut self) {
        let author = self.opener();
        let branch = format!("topic-{}", self.next_number);
        let from_fork = self.chance(0.4);
        let mut commits = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let deleted = self.world.people[author].nature == Nature::Deleted;
            let who = if deleted || self.chance(0.25) { self.committer() } else { author };
            commits.push(self.commit(who));
        }
        self.push_topic(&branch, from_fork, &commits, true);
        let mut item = self.new_item(Kind::PullRequest, author);
        item.draft = self.chance(0.3);
        if self.chance(if self.rules.all_branches { 0.4 } else { 0.05 }) {
            item.base = RELEASE;
        }
        let actor = self.actor_for(author);
        self.opened(Place::Home, actor, &item);
        self.pull_requests.push(PullRequest { item, commits, branch, from_fork, open: true, merged: false });
    }

    fn change_pull_request(&mut self) {
        if self.pull_requests.is_empty() {
            return self.open_pull_request();
        }
        let which = self.rng.random_range(0..self.pull_requests.len());
        let mut one = self.pull_requests[which].clone();
        let author = one.item.author;
        let mut actor = if self.chance(0.5) { author } else { self.human() };
        if self.world.people[actor].nature == Nature::Deleted {
            actor = self.human();
        }
        let roll = self.rng.random_range(0..10);
        one.item.action = match roll {
            0..6 => self.relabel(&mut one.item.labels, 1),
            6 | 7 if one.open && one.item.draft => {
                one.item.draft = false;
                Action::Ready
            }
            6 if one.open => {
                one.open = false;
                Action::Closed
            }
            7 if !one.open && !one.merged => {
                one.open = true;
                Action::Reopened
            }
            8 if one.open => {
                let commit = self.commit(author_of(&one));
                self.push_topic(&one.branch, one.from_fork, std::slice::from_ref(&commit), false);
                one.commits.push(commit);
                Action::Synchronized
            }
            _ => Action::Edited,
        };
        self.item(Place::Home, actor, &one.item);
        self.pull_requests[which] = one;
    }

    fn nothing(&mut self) {
        let (at, actor) = (self.tick(), self.human());
        let name = format!("v{}", self.next_number);
        let what = if self.chance(0.5) { What::Tag(name) } else { What::BranchEnd(name) };
        self.event(at, actor, Place::Home, what);
    }
}

/// From here on an author is one of an import's many.
pub(super) const STRANGERS: usize = 1000;

/// Who writes a pull request's further commits.
fn author_of(one: &PullRequest) -> usize {
    one.commits[0].author.who
}
