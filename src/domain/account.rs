//! Accounts and the people behind them: one person may have several accounts, and a host may rename one.
//!
//! An account is a name under which contributions arrive, and where the host has stated it, bound to the account's
//! number there. A name is bound to one number for good: another account that takes the login is
//! `{host}:{number}+{login}`. Whom an account's contributions count for is its contributor: itself, or the one that
//! it was linked to, by hand or because its number arrived under another name.

use super::{Contribution, ContributorId, Kind, Moment};

/// How a contribution names its account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Naming {
    pub name: ContributorId,
    /// The account's number on its host.
    pub number: Option<u64>,
    /// When the host itself stated that this number has this name; `None` where only the address of a commit says so,
    /// which anybody can write.
    pub stated_at: Option<Moment>,
}

/// An account whose number the host has stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its present id.
    pub id: ContributorId,
    /// The newest statement of that name.
    pub named_at: Moment,
}

/// Which account a contribution is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This one, and nothing is new.
    Known(ContributorId),
    /// This one, whose number was not known before.
    Bind(ContributorId),
    /// The account has another name now: what was `from` is `to` from now on.
    Rename { from: ContributorId, to: ContributorId },
}

impl Contribution {
    /// How it names its account.
    #[must_use]
    pub fn naming(&self) -> Naming {
        Naming { name: self.contributor.clone(), number: self.user_id, stated_at: self.number_stated_at() }
    }

    /// When the host stated the number. It states that of an issue's or pull request's author; that of a commit's
    /// author is a part of an address.
    #[must_use]
    pub fn number_stated_at(&self) -> Option<Moment> {
        let stated = self.kind == Kind::ISSUE || self.kind == Kind::PULL_REQUEST;
        let stated = stated && self.content.is_none() && self.landed_at.is_none() && self.user_id.is_some();
        let at = || self.labels.map_or(self.occurred_at, |labels| labels.at.max(self.occurred_at));
        stated.then(at)
    }
}

impl Naming {
    /// The id that the account has under this name, which is bound to the number `bound`.
    #[must_use]
    pub fn own(&self, bound: Option<u64>) -> ContributorId {
        match (self.number, bound) {
            (Some(number), Some(other)) if other != number => self.name.numbered(number),
            _ => self.name.clone(),
        }
    }

    /// Which account this names. `numbered` is the account to which its number is bound, and `bound` the number to
    /// which its name is. Of two names that are stated for the same moment, the one that arrives later is the newer.
    #[must_use]
    pub fn identify(&self, numbered: Option<&Numbered>, bound: Option<u64>) -> Identity {
        if self.number.is_none() {
            return Identity::Known(self.name.clone());
        }
        let own = self.own(bound);
        match (numbered, self.stated_at) {
            (Some(known), Some(at)) if known.id != own && self.is_newer(at, known, bound) => {
                Identity::Rename { from: known.id.clone(), to: own }
            }
            (Some(known), _) => Identity::Known(known.id.clone()),
            (None, Some(_)) => Identity::Bind(own),
            (None, None) => Identity::Known(own),
        }
    }
}

impl Naming {
    /// Whether a statement of `at` is newer than the newest known. A name that is bound to the number already was its
    /// name before.
    fn is_newer(&self, at: Moment, known: &Numbered, bound: Option<u64>) -> bool {
        at > known.named_at || (at == known.named_at && bound != self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContributorId {
        ContributorId::parse(text).unwrap()
    }

    fn at(second: i64) -> Moment {
        Moment::from_timestamp(second, 0).unwrap()
    }

    fn naming(name: &str, number: Option<u64>, stated: Option<i64>) -> Naming {
        Naming { name: id(name), number, stated_at: stated.map(at) }
    }

    fn numbered(name: &str, named: i64) -> Numbered {
        Numbered { id: id(name), named_at: at(named) }
    }

    #[test]
    fn a_name_without_a_number_is_itself() {
        let bare = naming("github:mona", None, None);
        assert_eq!(bare.identify(None, None), Identity::Known(id("github:mona")));
        assert_eq!(bare.identify(None, Some(7)), Identity::Known(id("github:mona")));
    }

    #[test]
    fn a_number_that_the_host_states_first_is_bound_to_its_name() {
        let stated = naming("github:mona", Some(7), Some(1));
        assert_eq!(stated.identify(None, None), Identity::Bind(id("github:mona")));
        assert_eq!(stated.identify(None, Some(7)), Identity::Bind(id("github:mona")));
        let known = numbered("github:mona", 1);
        assert_eq!(stated.identify(Some(&known), Some(7)), Identity::Known(id("github:mona")));
    }

    #[test]
    fn a_number_under_a_newer_name_renames_the_account_and_an_older_one_does_not() {
        let known = numbered("github:mona", 10);
        let newer = naming("github:monalisa", Some(7), Some(11)).identify(Some(&known), None);
        assert_eq!(newer, Identity::Rename { from: id("github:mona"), to: id("github:monalisa") });
        let older = naming("github:older", Some(7), Some(9)).identify(Some(&known), None);
        assert_eq!(older, Identity::Known(id("github:mona")));
    }

    #[test]
    fn of_two_names_of_one_moment_the_one_that_arrives_later_is_the_newer() {
        let known = numbered("github:mona", 10);
        let other = naming("github:monalisa", Some(7), Some(10)).identify(Some(&known), None);
        assert_eq!(other, Identity::Rename { from: id("github:mona"), to: id("github:monalisa") });
        let known = numbered("github:monalisa", 10);
        let again = naming("github:mona", Some(7), Some(10)).identify(Some(&known), Some(7));
        assert_eq!(again, Identity::Known(id("github:monalisa")));
    }

    #[test]
    fn an_address_follows_its_number_and_renames_nothing() {
        let known = numbered("github:monalisa", 10);
        let old = naming("github:mona", Some(7), None);
        assert_eq!(old.identify(Some(&known), Some(7)), Identity::Known(id("github:monalisa")));
        assert_eq!(old.identify(None, None), Identity::Known(id("github:mona")));
    }

    #[test]
    fn a_login_that_another_number_has_taken_is_another_account() {
        let taken = naming("github:mona", Some(9), Some(20));
        assert_eq!(taken.identify(None, Some(7)), Identity::Bind(id("github:9+mona")));
        let known = numbered("github:9+mona", 20);
        assert_eq!(taken.identify(Some(&known), Some(7)), Identity::Known(id("github:9+mona")));
        let address = naming("github:mona", Some(9), None);
        assert_eq!(address.identify(None, Some(7)), Identity::Known(id("github:9+mona")));
    }

    #[test]
    fn an_account_that_takes_its_first_name_back_has_it_again() {
        let known = numbered("github:monalisa", 10);
        let back = naming("github:mona", Some(7), Some(11)).identify(Some(&known), Some(7));
        assert_eq!(back, Identity::Rename { from: id("github:monalisa"), to: id("github:mona") });
    }
}
