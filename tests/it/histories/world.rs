//! A project and what happens in it, as facts. The payloads and the oracle are both made from these facts,
//! and neither from the other.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// The first second of every history: 2025-03-01T08:00:00Z. All of them end long before today.
const BEGIN: i64 = 1_740_816_000;

/// The labels that reject by default.
pub(super) const REJECTING: [&str; 2] = ["spam", "invalid"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    GitHub,
    GitLab,
}

/// How the instance under test is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) merged_only: bool,
    pub(super) all_branches: bool,
    pub(super) counts: &'static [&'static str],
    pub(super) milestones: &'static [u64],
}

impl Rules {
    pub(super) const DEFAULT: Self = Self {
        merged_only: false,
        all_branches: false,
        counts: &["push", "pull_request", "issue"],
        milestones: &[2, 3, 5],
    };

    pub(super) fn count(&self, kind: &str) -> bool {
        self.counts.contains(&kind)
    }
}

/// Where the project lives, and what the ledger calls that place.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) host: Host,
    /// In contributors and contributions.
    pub(super) name: &'static str,
    pub(super) base: &'static str,
    /// The domain of its noreply addresses.
    pub(super) domain: &'static str,
}

const fn site(host: Host, name: &'static str, base: &'static str, domain: &'static str) -> Site {
    Site { host, name, base, domain }
}

const SITES: [Site; 8] = [
    site(Host::GitHub, "github", "https://github.com", "github.com"),
    site(Host::GitHub, "github", "https://github.com", "github.com"),
    site(Host::GitHub, "github", "https://github.com", "github.com"),
    site(Host::GitHub, "code.tidewell.example", "https://code.tidewell.example", "code.tidewell.example"),
    site(Host::GitLab, "gitlab", "https://gitlab.com", "gitlab.com"),
    site(Host::GitLab, "gitlab", "https://gitlab.com", "gitlab.com"),
    site(Host::GitLab, "git.seawall.example:8929", "http://git.seawall.example:8929", "git.seawall.example"),
    site(Host::GitLab, "git.seawall.example/lab", "https://git.seawall.example/lab", "git.seawall.example"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Human,
    /// An account whose deletion left `null` where its name was. It writes no commits.
    Deleted,
    /// What the payload or the form of its name says is a machine.
    App,
    /// A machine under an ordinary account.
    Automation,
}

#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) login: String,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) nature: Nature,
    /// The address that belongs to the account.
    pub(super) account: String,
    pub(super) noreply: String,
    /// An address that no account has.
    pub(super) unknown: String,
}

impl Person {
    pub(super) fn address(&self, address: Address) -> &str {
        match address {
            Address::Account => &self.account,
            Address::Noreply => &self.noreply,
            Address::Unknown => &self.unknown,
        }
    }

    pub(super) fn is_machine(&self) -> bool {
        matches!(self.nature, Nature::App | Nature::Automation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Account,
    Noreply,
    Unknown,
}

/// How an author signs a commit, and whether GitHub says whose account it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    pub(super) who: usize,
    pub(super) address: Address,
    /// Whether the commit carries another name of the author's than the full one: on GitHub the login, on
    /// GitLab a nickname.
    pub(super) alias: bool,
    /// Whether GitHub gives `username`.
    pub(super) named: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committer {
    /// Who wrote it.
    Author,
    Other(usize),
    /// GitHub itself, for what is done by a button.
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// Git's own merge of a branch or tag.
    Merge,
    /// A merge commit that lands a pull request: the commits listed before it are that pull request's.
    LandsThoseBefore(u64),
    /// A squashed pull request.
    LandsItself(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) sha: String,
    pub(super) at: i64,
    pub(super) message: String,
    pub(super) author: Signature,
    pub(super) committer: Committer,
    pub(super) role: Role,
    /// The trailers at the message's end.
    pub(super) co_authors: Vec<(usize, Address)>,
    /// Whether it was on no branch of the repository before.
    pub(super) distinct: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Default,
    Topic(String),
    /// A merge queue's own.
    Queue(String),
}

#[derive(Clone, Debug)]
pub(super) struct Push {
    pub(super) branch: Branch,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) commits: Vec<Commit>,
    /// The pusher's address in the payload, if it is there.
    pub(super) shown: Option<Address>,
    pub(super) created: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Issue,
    PullRequest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Opened,
    OpenedByTransfer,
    Edited,
    Synchronized,
    Labelled(&'static str),
    Unlabelled(&'static str),
    Ready,
    Closed,
    Merged { at: i64 },
    Reopened,
    Deleted,
    Transferred,
}

/// An issue or pull request, as it is after the action.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) author: usize,
    pub(super) opened_at: i64,
    pub(super) labels: Vec<&'static str>,
    pub(super) draft: bool,
    pub(super) confidential: bool,
    /// The branch into which a pull request is to be merged.
    pub(super) base: &'static str,
    pub(super) action: Action,
}

impl Item {
    pub(super) fn is_rejected(&self) -> bool {
        self.labels.iter().any(|label| REJECTING.contains(label))
    }
}

/// One of the history's repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Home,
    Fork,
    /// From where issues are transferred.
    Elsewhere,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Push(Push),
    Item(Item),
    /// Nothing that counts: a tag, a branch's end.
    Tag(String),
    BranchEnd(String),
}

/// What happened, and so one delivery of the host.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) actor: usize,
    pub(super) place: Place,
    pub(super) what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s {:?} by #{}: ", self.at - BEGIN, self.place, self.actor)?;
        match &self.what {
            What::Push(push) => {
                write!(f, "push to {:?} of {} ({:?} shown)", push.branch, &push.after[..7], push.shown)?;
                for c in &push.commits {
                    let Signature { who, address, alias, named } = c.author;
                    write!(f, "\n      {} {:?} by #{who} {address:?}", &c.sha[..7], c.role)?;
                    write!(f, " (alias {alias}, named {named}), {:?}, {:?}", c.committer, c.message)?;
                }
                Ok(())
            }
            What::Item(i) => {
                write!(f, "{:?} {} of #{} {:?}", i.kind, i.number, i.author, i.action)?;
                write!(f, " labels {:?} draft {}", i.labels, i.draft)
            }
            What::Tag(name) => write!(f, "tag {name}"),
            What::BranchEnd(name) => write!(f, "branch {name} deleted"),
        }
    }
}

/// A history: who is in it and what happens, in the order of its own time.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) site: Site,
    pub(super) people: Vec<Person>,
    pub(super) events: Vec<Event>,
    pub(super) private: bool,
    /// What its repositories and logins have that no other history has.
    pub(super) mark: String,
    base_id: u64,
}

impl World {
    /// The history of a seed. Under another mark the same things happen to others.
    pub(super) fn of(seed: u64, mark: u64, rules: &Rules) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let site = SITES.choose(&mut rng).unwrap().clone();
        let people = people(&site, mark, &mut rng);
        let world = Self {
            seed,
            people,
            site,
            events: Vec::new(),
            private: rng.random_bool(0.1),
            mark: format!("m{mark}"),
            base_id: 5_000_000_000 + mark * 3,
        };
        super::story::tell(world, rng, rules)
    }

    pub(super) fn repository_id(&self, place: Place) -> u64 {
        self.base_id
            + match place {
                Place::Home => 0,
                Place::Fork => 1,
                Place::Elsewhere => 2,
            }
    }

    /// The owner or group, and the repository's name.
    pub(super) fn path(&self, place: Place) -> (String, &'static str) {
        let owner = match place {
            Place::Home | Place::Elsewhere => "harbour",
            Place::Fork => "forkers",
        };
        let name = if place == Place::Elsewhere { "foghorn" } else { "lantern" };
        (format!("{owner}-{}", self.mark), name)
    }

    pub(super) fn full_name(&self, place: Place) -> String {
        let (owner, name) = self.path(place);
        format!("{owner}/{name}")
    }

    pub(super) fn contributor(&self, who: usize) -> String {
        format!("{}:{}", self.site.name, self.people[who].login.to_lowercase())
    }

    pub(super) fn sha(&self, counter: u64) -> String {
        let hash = Sha256::digest(format!("{}:{}:{counter}", self.seed, self.mark));
        hex::encode(hash)[..40].to_owned()
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} on {} ({})", self.seed, self.site.base, self.mark)?;
        for (i, p) in self.people.iter().enumerate() {
            writeln!(f, "  #{i} {} {:?}", p.login, p.nature)?;
        }
        for (i, event) in self.events.iter().enumerate() {
            writeln!(f, "  event {i}: {event}")?;
        }
        Ok(())
    }
}

pub(super) fn begin() -> i64 {
    BEGIN
}

fn people(site: &Site, mark: u64, rng: &mut StdRng) -> Vec<Person> {
    let names = ["Ada Quill", "Bo Marlin", "Inês Åkesson", "Tomasz Wren", "Ulla Øre"];
    let logins = ["ada", "Bo-Marlin", "ines", "Tomasz", "ulla"];
    let humans = rng.random_range(3..=5);
    let mut people: Vec<Person> =
        (0..humans).map(|i| human(site, mark, i as u64, names[i], logins[i], Nature::Human)).collect();
    if site.host == Host::GitHub {
        people.push(human(site, mark, 8, "Ghost Writer", "gone", Nature::Deleted));
    }
    people.push(app(site, mark));
    people.push(automation(site, mark, rng));
    people
}

fn human(site: &Site, mark: u64, nth: u64, name: &str, login: &str, nature: Nature) -> Person {
    let login = format!("{login}-m{mark}");
    let id = 300_000_000 + mark * 16 + nth;
    Person {
        name: format!("{name} {mark}"),
        nature,
        account: format!("{}@tidewell.example", login.to_lowercase()),
        noreply: noreply(site, id, &login),
        unknown: format!("root@{}.laptop.example", login.to_lowercase()),
        id,
        login,
    }
}

fn noreply(site: &Site, id: u64, login: &str) -> String {
    let sign = if site.host == Host::GitHub { '+' } else { '-' };
    format!("{id}{sign}{login}@users.noreply.{}", site.domain)
}

fn app(site: &Site, mark: u64) -> Person {
    let id = 300_000_000 + mark * 16 + 9;
    match site.host {
        Host::GitHub => {
            let login = format!("tender-m{mark}[bot]");
            let noreply = noreply(site, id, &login);
            Person {
                name: login.clone(),
                nature: Nature::App,
                account: noreply.clone(),
                unknown: noreply.clone(),
                noreply,
                id,
                login,
            }
        }
        Host::GitLab => {
            let login = format!("project_{mark}_bot_4ffca233d8298ea1");
            let address = format!("{login}@noreply.{}", site.domain);
            Person {
                name: format!("Release token {mark}"),
                nature: Nature::App,
                account: address.clone(),
                unknown: address,
                noreply: noreply(site, id, &login),
                id,
                login,
            }
        }
    }
}

/// These are machines of every history at once: nothing is ever theirs.
fn automation(site: &Site, mark: u64, rng: &mut StdRng) -> Person {
    let id = 300_000_000 + mark * 16 + 10;
    let login = match site.host {
        Host::GitHub => *["actions-user", "k8s-ci-robot", "renovate-bot", "github-actions", "Copilot"]
            .choose(rng)
            .unwrap(),
        Host::GitLab => {
            *["service_account_group_9_01ab", "group_7_bot2", "project_12_bot"].choose(rng).unwrap()
        }
    };
    let noreply = noreply(site, id, login);
    Person {
        login: login.to_owned(),
        id,
        name: login.to_owned(),
        nature: Nature::Automation,
        account: noreply.clone(),
        unknown: noreply.clone(),
        noreply,
    }
}
