//! What became of the history that was read.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::domain::ContributionId;
use crate::hosts::Reason;
use crate::store::Novelty;

/// How far a part of a repository is read.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    pub repository: &'a str,
    pub part: &'a str,
    pub things: u64,
    /// How many things the host says that there are.
    pub total: Option<u64>,
}

/// What became of everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    pub things: u64,
    pub counted: u64,
    pub known: u64,
    pub ignored: BTreeMap<&'static str, u64>,
    /// Hashes of what a dry run has seen, so that it counts nothing twice.
    seen: HashSet<u64>,
}

/// The reason of what a label takes back, which is no reason of a delivery.
const REJECTED: &str = "rejecting_label";

impl Sums {
    pub(super) fn ignored(&mut self, reason: Reason) {
        *self.ignored.entry(reason.code()).or_default() += 1;
    }

    pub(super) fn recorded(&mut self, novelty: Novelty) {
        match novelty {
            Novelty::New => self.counted += 1,
            Novelty::Same | Novelty::Different => self.known += 1,
            Novelty::Retracted => *self.ignored.entry(REJECTED).or_default() += 1,
        }
    }

    pub(super) fn is_first(&mut self, id: &ContributionId) -> bool {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ignored: u64 = self.ignored.values().sum();
        write!(f, "{} counted, {} known before, {ignored} ignored", self.counted, self.known)?;
        let reasons: Vec<_> =
            self.ignored.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if reasons.is_empty() { Ok(()) } else { write!(f, " ({})", reasons.join(", ")) }
    }
}
