//! What this process knows of accounts, so that recording under them reads nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firestore::FirestoreWritePrecondition;
use tokio::time::Instant;

use crate::domain::{ContributorId, Moment, Naming};

/// How many accounts a process remembers. When there are more, it begins anew.
const MOST: usize = 65_536;

/// How many numbers it remembers of one login: anybody can write addresses.
const MOST_NUMBERS: usize = 4;

/// How long a login is taken to be of the account with that name, where no commit could fail on it: another account that
/// takes the login, or binds it to its number, changes nothing at the first one.
const HELD: Duration = Duration::from_hours(1);

/// Whose contributions of these names are; each has a contributor with a document.
#[derive(Debug, Default)]
pub(in super::super) struct Known(Mutex<HashMap<ContributorId, Name>>);

#[derive(Debug, Default)]
struct Name {
    /// Of the login alone.
    bare: Option<Learned>,
    numbers: Vec<(u64, Learned)>,
}

#[derive(Debug)]
struct Learned {
    since: Instant,
    /// The newest statement that this number has this name.
    stated_at: Option<Moment>,
    whose: Whose,
}

/// Whose contributions of a naming are.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// Of the account with that name, which counts for itself.
    Itself,
    /// The same; its number is bound to no name: then a commit must have it checked that it is so still.
    Unbound,
    /// Of another account, or for another contributor.
    Elsewhere(Arc<Elsewhere>),
}

/// Whose contributions are that count for another contributor than they name. Every commit checks that it is so still.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) account: ContributorId,
    pub(super) contributor: ContributorId,
    /// Documents of `accounts` as they were read.
    pub(super) checks: Vec<(String, FirestoreWritePrecondition)>,
    /// Whether a statement of this name changes nothing.
    pub(super) is_stated: bool,
    /// Whether several accounts have had the login, which alone says whose they are.
    pub(super) shared: bool,
}

/// What is known of a naming.
#[derive(Debug)]
pub(super) enum Knowledge {
    Known(Whose),
    /// This process has seen the account, and has to look again.
    Stale,
    Unknown,
}

impl Learned {
    fn answers(&self, naming: &Naming) -> bool {
        let is_fresh = || naming.name.host().is_none() || self.since.elapsed() < HELD;
        match &self.whose {
            Whose::Itself => naming.number.is_some() || is_fresh(),
            // Only a statement binds.
            Whose::Unbound => naming.stated_at.is_none() && is_fresh(),
            Whose::Elsewhere(elsewhere) => naming.stated_at.is_none() || elsewhere.is_stated,
        }
    }

    /// Takes what is learned again. A use renews nothing.
    fn learn(&mut self, again: Self) {
        let stated_at = self.stated_at.max(again.stated_at);
        let is_same = matches!(
            (&self.whose, &again.whose),
            (Whose::Itself, Whose::Itself) | (Whose::Unbound, Whose::Unbound)
        );
        if !is_same {
            *self = again;
        }
        self.stated_at = stated_at;
    }
}

impl Known {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContributorId, Name>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, naming: &Naming) -> Knowledge {
        let mut known = self.lock();
        let Some(name) = known.get_mut(&naming.name) else { return Knowledge::Unknown };
        let learned = match naming.number {
            None => name.bare.as_mut(),
            Some(number) => name.number(number),
        };
        let Some(learned) = learned.filter(|learned| learned.answers(naming)) else {
            return Knowledge::Stale;
        };
        learned.stated_at = learned.stated_at.max(naming.stated_at);
        Knowledge::Known(learned.whose.clone())
    }

    pub(super) fn learn(&self, naming: &Naming, whose: Whose) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        let name = known.entry(naming.name.clone()).or_default();
        let learned = Learned { since: Instant::now(), stated_at: naming.stated_at, whose };
        let Some(number) = naming.number else {
            match &mut name.bare {
                Some(known) => known.learn(learned),
                bare => *bare = Some(learned),
            }
            return;
        };
        if let Some(known) = name.number(number) {
            return known.learn(learned);
        }
        if name.numbers.len() >= MOST_NUMBERS {
            name.numbers.clear();
        }
        name.numbers.push((number, learned));
    }

    pub(super) fn unlearn(&self, name: &ContributorId) {
        self.lock().remove(name);
    }

    /// The newest statement of a number under a name that this process has seen and not written.
    pub(super) fn stated_at(&self, name: &ContributorId, number: u64) -> Option<Moment> {
        self.lock().get_mut(name)?.number(number)?.stated_at
    }
}

impl Name {
    fn number(&mut self, number: u64) -> Option<&mut Learned> {
        self.numbers.iter_mut().find(|(known, _)| *known == number).map(|(_, learned)| learned)
    }
}
