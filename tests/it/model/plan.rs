//! A schedule, made from a seed alone: whatever the processes answer, the same seed makes the same schedule.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::rule::Fact;

/// How many people there are, and so how often their tallies cross a milestone.
const PEOPLE: u64 = 8;
/// How many things a schedule knows at most that are repeated and taken back.
const REMEMBERED: usize = 40;
/// The milestones that a restart may configure.
pub(super) const MILESTONES: [&[u64]; 5] = [
    &[1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24],
    &[2, 5, 9, 14],
    &[1, 4, 7, 11, 16, 22],
    &[3, 6, 12, 20],
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
];

/// How a contribution comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A client posts it.
    Talk,
    /// GitHub delivers it.
    PullRequest,
    Issue,
}

/// One thing that a contributor did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) person: u64,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) deed: Deed,
    pub(super) fact: Fact,
    /// Which process is asked; taken modulo their number.
    pub(super) to: usize,
}

/// What a store does while it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outage {
    /// It takes nothing. SQLite: the disk is full. Firestore: no connection.
    Down,
    /// SQLite: the disk does not sync. Firestore: writes are applied and their answers lost.
    Deaf,
    /// SQLite: another process holds the file. Firestore: connections break before a write.
    Busy,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Burst(Vec<Ask>),
    /// `kill -9` once this many of the requests are answered, while the others are under way.
    KilledInBurst {
        asks: Vec<Ask>,
        after: usize,
        victim: usize,
    },
    /// `kill -9` at a stop point, if one of the requests reaches it.
    KilledAt {
        point: &'static str,
        asks: Vec<Ask>,
        victim: usize,
    },
    StoreFails {
        how: Outage,
        asks: Vec<Ask>,
    },
    /// The topic is cut off until [`Step::TopicUp`]. With `drained`, a drain finds it so.
    TopicDown {
        asks: Vec<Ask>,
        drained: bool,
    },
    TopicUp,
    /// All processes end and start again with other milestones.
    Milestones {
        which: usize,
        by_kill: bool,
    },
    /// The ledger is held against the model.
    Quiet,
}

/// The schedule of a seed: so many steps, and a last look.
pub(super) fn schedule(seed: u64, steps: usize) -> Vec<Step> {
    let mut plan =
        Plan { rng: StdRng::seed_from_u64(seed), deeds: Vec::new(), next: 0, second: 0, then: None };
    let mut schedule: Vec<_> = (0..steps).map(|_| plan.step()).collect();
    schedule.extend([Step::TopicUp, Step::Quiet]);
    schedule
}

struct Plan {
    rng: StdRng,
    deeds: Vec<Deed>,
    next: u64,
    /// Grows with every label, so that no two of them have the same time.
    second: u32,
    /// The step that follows in any case.
    then: Option<Step>,
}

impl Plan {
    fn step(&mut self) -> Step {
        if let Some(step) = self.then.take() {
            return step;
        }
        let victim = self.rng.random_range(0..8);
        match self.rng.random_range(0..100) {
            0..38 => Step::Burst(self.asks(12)),
            38..58 => {
                let asks = self.asks(24);
                Step::KilledInBurst { after: self.rng.random_range(0..asks.len()), asks, victim }
            }
            58..68 => {
                let point = ["recorded", "recognised", "published"][self.rng.random_range(0..3)];
                // What a later contribution finds must be found without one too.
                self.then = self.rng.random_bool(0.6).then_some(Step::Quiet);
                Step::KilledAt { point, asks: self.asks(12), victim }
            }
            68..80 => {
                let how = [Outage::Down, Outage::Deaf, Outage::Busy][self.rng.random_range(0..3)];
                Step::StoreFails { how, asks: self.asks(8) }
            }
            80..84 => Step::TopicDown { asks: self.asks(8), drained: self.rng.random_bool(0.5) },
            84..88 => Step::TopicUp,
            88..92 => Step::Milestones {
                which: self.rng.random_range(0..MILESTONES.len()),
                by_kill: self.rng.random_bool(0.5),
            },
            _ => Step::Quiet,
        }
    }

    fn asks(&mut self, most: usize) -> Vec<Ask> {
        (0..self.rng.random_range(1..=most)).map(|_| self.ask()).collect()
    }

    fn ask(&mut self) -> Ask {
        let to = self.rng.random_range(0..8);
        let old = !self.deeds.is_empty() && self.rng.random_bool(0.45);
        let deed = if old {
            self.deeds[self.rng.random_range(self.deeds.len().saturating_sub(REMEMBERED)..self.deeds.len())]
        } else {
            self.new_deed()
        };
        let choice = self.rng.random_range(0..10);
        let fact = match (old, deed.kind, choice) {
            // What is taken back is mostly there already; the host may also say so before it is.
            (true, _, 0) => Fact::TakenBack,
            (true, Kind::PullRequest, 1..6) | (false, Kind::PullRequest, 0) => self.labels(),
            (true, Kind::Issue, 1 | 2) | (false, Kind::Issue, 0) => Fact::Gone,
            _ => Fact::Recorded,
        };
        Ask { deed, fact, to }
    }

    fn labels(&mut self) -> Fact {
        self.second += 1;
        Fact::Labels { second: self.second, rejects: self.rng.random_bool(0.5) }
    }

    fn new_deed(&mut self) -> Deed {
        self.next += 1;
        let kind = match self.rng.random_range(0..4) {
            0 | 1 => Kind::Talk,
            2 => Kind::PullRequest,
            _ => Kind::Issue,
        };
        let deed = Deed { kind, number: self.next, person: self.rng.random_range(0..PEOPLE) };
        self.deeds.push(deed);
        deed
    }
}
