//! What this process knows of accounts, so that recording under them reads nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{ContributorId, Moment, Naming};

/// How many accounts a process remembers. When there are more, it begins anew.
const MOST: usize = 65_536;

/// How many numbers it remembers of one login: anybody can write addresses.
const MOST_NUMBERS: usize = 4;

/// How long a login without a number is taken to be of the account with that name. Another account that takes the login
/// changes nothing at the first one, so that no commit could fail on it.
const HELD: Duration = Duration::from_hours(1);

/// Accounts that count for themselves, and have a contributor's document.
#[derive(Debug, Default)]
pub(in super::super) struct Known(Mutex<HashMap<ContributorId, Plain>>);

#[derive(Debug, Default)]
struct Plain {
    /// When the login alone was found to name this account.
    since: Option<Instant>,
    numbers: Vec<(u64, Numbered)>,
}

#[derive(Clone, Copy, Debug)]
struct Numbered {
    /// The newest statement that this number has this name.
    stated_at: Option<Moment>,
    /// Whether the number is not bound to any name: then a commit must have it checked that it is so still.
    unbound: bool,
}

/// What is known of a naming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// It names an account that counts for itself.
    Plain {
        unbound: bool,
    },
    /// This process has seen the account, and has to look again.
    Stale,
    Unknown,
}

impl Known {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContributorId, Plain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, naming: &Naming) -> Knowledge {
        let mut known = self.lock();
        let Some(plain) = known.get_mut(&naming.name) else { return Knowledge::Unknown };
        let Some(number) = naming.number else {
            let held =
                naming.name.host().is_none() || plain.since.is_some_and(|since| since.elapsed() < HELD);
            return if held { Knowledge::Plain { unbound: false } } else { Knowledge::Stale };
        };
        match plain.numbers.iter_mut().find(|(known, _)| *known == number) {
            // Only a statement binds.
            Some((_, known)) if !known.unbound || naming.stated_at.is_none() => {
                known.stated_at = known.stated_at.max(naming.stated_at);
                Knowledge::Plain { unbound: known.unbound }
            }
            _ => Knowledge::Stale,
        }
    }

    pub(super) fn learn(&self, naming: &Naming, unbound: bool) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        let plain = known.entry(naming.name.clone()).or_default();
        let Some(number) = naming.number else {
            plain.since.get_or_insert_with(Instant::now);
            return;
        };
        let before =
            plain.numbers.iter().find(|(known, _)| *known == number).and_then(|(_, one)| one.stated_at);
        plain.numbers.retain(|(known, _)| *known != number);
        if plain.numbers.len() >= MOST_NUMBERS {
            plain.numbers.clear();
        }
        plain.numbers.push((number, Numbered { stated_at: before.max(naming.stated_at), unbound }));
    }

    pub(super) fn unlearn(&self, name: &ContributorId) {
        self.lock().remove(name);
    }

    /// The newest statement of a number under a name that this process has seen and not written.
    pub(super) fn stated_at(&self, name: &ContributorId, number: u64) -> Option<Moment> {
        let known = self.lock();
        known.get(name)?.numbers.iter().find(|(known, _)| *known == number)?.1.stated_at
    }
}
