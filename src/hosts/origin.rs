//! The repository that a payload is about, and the accounts that it names.

use std::fmt::Display;

use chrono::{DateTime, NaiveDateTime};

use super::commit::{Commit, Landing};
use super::machines::is_known_machine;
use super::{Malformed, Payload, Reason, Rules};
use crate::domain::{
    Contribution, ContributionId, ContributorId, Kind, Moment, RepositoryId, Site, account_url, keepable,
};

/// The longest repository name that is kept, in bytes.
const LONGEST_REPOSITORY: usize = 500;

/// What differs between the kinds of hosts.
pub(super) struct HostConventions {
    /// The kind, which is also the short name of its public site.
    pub(super) name: &'static str,
    /// Whether only machines can have such a login on this host.
    pub(super) is_machine: fn(&str) -> bool,
    /// The account that the part before the `@` of a noreply address names.
    pub(super) account_in: fn(&str) -> Option<Account<'_>>,
    /// The path of a pull request's page, below its repository's and before its number.
    pub(super) pull_request_path: &'static str,
    /// Whether payloads name the committer: then author and committer of a commit can be compared.
    pub(super) names_committers: bool,
    /// What a commit on the default branch lands.
    pub(super) landing: fn(&Commit<'_>, &Origin<'_>) -> Option<Landing>,
}

/// An account that a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) login: &'a str,
    pub(super) id: Option<u64>,
}

/// A person who can be thanked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) id: ContributorId,
    pub(super) user_id: Option<u64>,
}

/// Whom a payload names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Person(Person),
    Machine,
    /// The account that replaces deleted ones.
    Ghost,
    /// An account that the payload does not name.
    Unknown,
}

impl Who {
    /// The person to credit, or why there is none.
    pub(super) fn credited(self, rules: &Rules) -> Result<Person, Reason> {
        match self {
            Self::Person(person) if rules.ignores(&person.id) => Err(Reason::IgnoredContributor),
            Self::Person(person) => Ok(person),
            Self::Machine => Err(Reason::Bot),
            Self::Ghost => Err(Reason::Ghost),
            Self::Unknown => Err(Reason::AuthorUnknown),
        }
    }
}

/// Why a payload is not read to its end.
pub(super) enum Unread {
    Malformed(Malformed),
    /// It is about a host for which its secret may not speak.
    OtherHost,
}

impl From<Malformed> for Unread {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Unread {
    /// What the delivery is answered with.
    pub(super) fn payload(self) -> Result<Payload, Malformed> {
        match self {
            Self::Malformed(malformed) => Err(malformed),
            Self::OtherHost => Ok(Payload::ignored(Reason::OtherHost)),
        }
    }
}

/// Whether this login, in lower case, is that of the account that replaces deleted ones.
pub(super) fn is_ghost(login: &str) -> bool {
    login == "ghost"
}

/// Whether only an app can have this name, in upper or lower case.
pub(super) fn is_app(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("[bot]")
}

/// The repository that a payload is about, its host, and the rules for what counts.
pub(super) struct Origin<'a> {
    pub(super) conventions: &'static HostConventions,
    pub(super) rules: &'a Rules,
    pub(super) site: Site,
    pub(super) id: u64,
    /// The repository's full name.
    pub(super) name: &'a str,
    /// The repository's page.
    pub(super) page: &'a str,
    /// Whether its contributions are private.
    pub(super) private: bool,
}

impl<'a> Origin<'a> {
    pub(super) fn new(
        conventions: &'static HostConventions,
        rules: &'a Rules,
        page: &'a str,
        name: &'a str,
        id: u64,
    ) -> Result<Self, Unread> {
        let site = Site::of_repository(page, name).map_err(|error| Malformed(error.to_string()))?;
        if !rules.hosts.allow(conventions.name, &site.host) {
            return Err(Unread::OtherHost);
        }
        Ok(Self { conventions, rules, site, id, name, page, private: true })
    }

    /// The repository's identity.
    pub(super) fn repository(&self) -> RepositoryId {
        RepositoryId::on_host(&self.site.host, self.id)
    }

    /// Whom an account names. `machine` is whether the host says that it is one.
    pub(super) fn who(&self, account: Account<'_>, machine: bool) -> Who {
        let login = account.login;
        // A letter that only looks like an ASCII letter must not become that letter in lower case.
        let alike = login.is_ascii() != login.to_lowercase().is_ascii();
        let id = ContributorId::on_host(&self.site.host, login).ok().filter(|_| !alike);
        if let Some(id) = id.as_ref().filter(|id| self.rules.is_person(id)) {
            return Who::Person(Person { id: id.clone(), user_id: account.id });
        }
        let lower = login.to_ascii_lowercase();
        if machine || (self.conventions.is_machine)(&lower) || is_known_machine(self.conventions.name, &lower)
        {
            return Who::Machine;
        }
        if is_ghost(&lower) {
            return Who::Ghost;
        }
        id.map_or(Who::Unknown, |id| Who::Person(Person { id, user_id: account.id }))
    }

    /// Whom an address names: an account by a noreply address of this host, or a known machine. Any other
    /// address can be written by anyone into their commits, so it names no account.
    pub(super) fn who_has(&self, address: &str) -> Who {
        if let Some(account) = self.account_in(address) {
            return self.who(account, false);
        }
        let address = address.trim().to_ascii_lowercase();
        let of_host = address.rsplit_once('@').filter(|(_, domain)| {
            domain.strip_prefix("noreply.").is_some_and(|domain| domain == self.site.network)
        });
        let machine = of_host.is_some_and(|(local, _)| (self.conventions.is_machine)(local))
            || is_known_machine(self.conventions.name, &address);
        if machine { Who::Machine } else { Who::Unknown }
    }

    /// The noreply address on this host of the account that has this address, by a `.mailmap`.
    pub(super) fn proper(&self, address: &str, name: Option<&str>) -> Option<String> {
        self.rules.addresses.proper(&self.site.network, address, name)
    }

    /// The account in a noreply address of this host.
    pub(super) fn account_in<'t>(&self, address: &'t str) -> Option<Account<'t>> {
        let (local, domain) = address.trim().rsplit_once('@')?;
        let prefix = "users.noreply.";
        let here = domain.get(..prefix.len())?.eq_ignore_ascii_case(prefix)
            && domain.get(prefix.len()..)?.eq_ignore_ascii_case(&self.site.network);
        (self.conventions.account_in)(local)
            .filter(|account| here && !account.login.is_empty() && !account.login.contains('+'))
    }

    /// A contribution to this repository; `rest` is its identity within it.
    pub(super) fn contribution(
        &self,
        kind: Kind,
        rest: impl Display,
        who: Person,
        at: Moment,
    ) -> Contribution {
        let account_url = self.site.base.as_deref().map(|base| account_url(base, who.id.login()));
        Contribution {
            id: ContributionId::on_host(&self.site.host, self.id, rest),
            contributor: who.id,
            kind,
            occurred_at: at,
            title: None,
            url: None,
            repository: Some(cut(self.name, LONGEST_REPOSITORY).to_owned()),
            private: self.private,
            user_id: who.user_id,
            account_url,
            labels: None,
            landed_at: None,
            content: None,
        }
    }

    /// The identity of one person's part in a pull request, within this repository.
    pub(super) fn part_of_pull_request(number: u64, who: &ContributorId) -> String {
        format!("{}:{number}:{}", Kind::PULL_REQUEST.as_str(), who.login())
    }
}

/// At most `bytes` of `text`, in whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// A moment as one of the hosts writes it: RFC 3339, or GitLab's `2017-12-10 16:37:38 UTC`.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.to_utc(),
        Err(_) => match text.strip_suffix(" UTC") {
            Some(naive) => NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc(),
            None => DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %z").ok()?.to_utc(),
        },
    };
    keepable(moment)
}

/// Whether `text` is a commit's hash, of any of git's hash functions.
pub(super) fn is_commit(text: &str) -> bool {
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (7..=64).contains(&text.len()) && text.bytes().all(hexadecimal)
}

/// Whether `text` is the all-zero hash, which means no commit, as after a deletion.
pub(super) fn is_no_commit(text: &str) -> bool {
    is_commit(text) && text.bytes().all(|b| b == b'0')
}

/// A title: the text's first line, if it has one.
pub(super) fn title(text: &str) -> Option<String> {
    let line = text.trim_start().lines().next()?.trim_end();
    (!line.is_empty()).then(|| Contribution::clip_title(line))
}

/// The number that `text` is, in decimal digits.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The number of an account that `text` is: hosts count from 1, in 63 bits.
pub(super) fn account_number(text: &str) -> Option<u64> {
    number(text).filter(|number| (1..=i64::MAX.cast_unsigned()).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 100), "aé");
    }
}
