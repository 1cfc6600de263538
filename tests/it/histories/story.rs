//! What happens in a history: people open, label, merge and push, one thing after the other.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::world::{
    Action, Address, Branch, Commit, Committer, Event, Host, Item, Kind, Nature, Place, Push, REJECTING,
    Role, Rules, Signature, What, World, begin,
};

const HARMLESS: [&str; 2] = ["docs", "good first issue"];

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

    fn signature(&mut self, who: usize) -> Signature {
        let person = &self.world.people[who];
        if person.is_machine() {
            return Signature { who, address: Address::Account, by_login: true, named: true };
        }
        let address = if self.chance(0.4) {
            Address::Noreply
        } else if self.chance(0.7) {
            Address::Account
        } else {
            Address::Unknown
        };
        let named = match address {
            Address::Account => self.chance(0.9),
            Address::Noreply => self.chance(0.7),
            Address::Unknown => false,
        };
        // On GitHub a pusher's name is the login.
        let by_login = self.is_github() && self.chance(0.15);
        Signature { who, address, by_login, named: named && self.is_github() }
    }

    fn commit(&mut self, who: usize) -> Commit {
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
        let committer = if self.chance(0.1) { Committer::Other(self.human()) } else { Committer::Author };
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

    fn trailer(&self, who: usize, address: Address) -> String {
        let person = &self.world.people[who];
        format!("Co-authored-by: {} <{}>", person.name, person.address(address))
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
        let actor = self.actor_for(author);
        self.opened(Place::Home, actor, &item);
        self.pull_requests.push(PullRequest { item, commits, branch, from_fork, open: true, merged: false });
    }

    fn push_topic(&mut self, branch: &str, from_fork: bool, commits: &[Commit], created: bool) {
        if from_fork && !self.is_github() {
            // A fork on GitLab has a webhook of its own, or none.
            return;
        }
        let pusher = self.human();
        let place = if from_fork { Place::Fork } else { Place::Home };
        let before = if created { "0".repeat(40) } else { self.sha() };
        self.push(place, pusher, Branch::Topic(branch.to_owned()), before, commits.to_vec());
    }

    fn push(&mut self, place: Place, pusher: usize, branch: Branch, before: String, commits: Vec<Commit>) {
        let shown = match self.rng.random_range(0..3) {
            0 => None,
            1 => Some(Address::Account),
            _ => Some(Address::Noreply),
        };
        let after = commits.last().map_or_else(|| before.clone(), |commit| commit.sha.clone());
        let created = before.starts_with("00000000");
        let at = self.tick();
        let push = Push { branch, before, after, commits, shown, created };
        self.event(at, pusher, place, What::Push(push));
    }

    /// A push to the default branch.
    fn push_main(&mut self, pusher: usize, commits: Vec<Commit>) {
        let before = self.head.clone();
        self.head.clone_from(&commits.last().unwrap().sha);
        self.push(Place::Home, pusher, Branch::Default, before, commits);
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

    /// Merges one pull request or, by a queue or by hand, several in one push.
    fn merge(&mut self) {
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
        if self.is_github() && self.chance(0.15) {
            let several = open.into_iter().take(3).collect();
            return self.merge_queue(several);
        }
        self.get_ready(first, merger);
        if self.rules.all_branches || !self.chance(0.12) {
            let commits = self.landing(first, merger);
            self.push_main(merger, commits);
            return self.merged(first, merger);
        }
        // By hand, with other work before and after it in one push.
        let mut commits = Vec::new();
        if self.chance(0.5) {
            commits.push(self.commit(merger));
        }
        commits.extend(self.merge_commit(first, merger));
        if self.chance(0.5) {
            commits.push(self.commit(merger));
        }
        self.push_main(merger, commits);
        self.merged(first, merger);
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

    fn merge_of(&mut self, message: &str, by: usize) -> Commit {
        let committer = if self.is_github() { Committer::Host } else { Committer::Author };
        let author =
            Signature { who: by, address: Address::Account, by_login: false, named: self.is_github() };
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

    fn direct_push(&mut self) {
        let pusher = self.committer();
        let mut commits = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let who = if self.chance(0.3) { self.committer() } else { pusher };
            commits.push(self.commit(who));
        }
        self.push_main(pusher, commits);
    }

    fn local_merge(&mut self) {
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
    fn sync_fork(&mut self) {
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
    fn import(&mut self) {
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
                Signature { who: STRANGERS + i, address: Address::Noreply, by_login: true, named: true };
            commit.committer = Committer::Author;
            commits.push(commit);
        }
        self.push_main(pusher, commits);
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
