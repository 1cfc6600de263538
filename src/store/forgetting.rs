//! Whom the ledger has forgotten: remembered as keyed hashes, so that a replay of all history brings nothing back, and
//! whoever reads the ledger without the key finds no name.
//!
//! A plain hash would not do: logins are few and public, so that all of them can be tried.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::{Contribution, ContributionId, ContributorId, fold_case};
use crate::settings::{Secret, SecretSetting, Settings};

const KEY: SecretSetting = SecretSetting {
    variable: "PLAUDIT_FORGET_KEY",
    example: "PLAUDIT_FORGET_KEY_FILE=/run/secrets/plaudit-forget-key",
};

/// How many characters the key has at least.
const SHORTEST: usize = 32;

/// The key of the hashes by which the ledger remembers whom it has forgotten.
#[derive(Clone)]
pub struct ForgetKey(Hmac<Sha256>);

/// What is remembered of a forgotten account: the keyed hash of its name, or of its number on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(pub [u8; 32]);

/// What was erased of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub contributions: u64,
    pub recognitions: u64,
}

/// What became of the request to forget a contributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgot {
    /// Everything of them is erased, now or before.
    Erased(Erased),
    /// The ledger has no such contributor, and has forgotten none of this name.
    Unknown,
    /// There is no key to remember them by.
    NoKey,
}

impl std::fmt::Debug for ForgetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl ForgetKey {
    /// The key with this text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.chars().count() < SHORTEST {
            return None;
        }
        Hmac::new_from_slice(text.as_bytes()).ok().map(Self)
    }

    /// The configured key.
    pub fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let text = settings.secret(&KEY)?;
        let key = Self::new(Secret::expose(&text));
        if key.is_none() {
            settings.wrong(
                &KEY,
                "shorter than 32 characters: with a key that can be guessed, names can be tried; openssl rand -hex 32 makes one",
            );
        }
        key
    }

    fn hash(&self, parts: [&str; 2]) -> Pseudonym {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        Pseudonym(mac.finalize().into_bytes().into())
    }

    /// Of the account's name.
    #[must_use]
    pub fn of_name(&self, contributor: &ContributorId) -> Pseudonym {
        self.hash(["name", contributor.as_str()])
    }

    /// Of the account's number on its host, which stays when it is renamed; `None` for a plain name.
    #[must_use]
    pub fn of_number(&self, contributor: &ContributorId, number: u64) -> Option<Pseudonym> {
        contributor.host().map(|host| self.hash(["number", &format!("{host}:{number}")]))
    }

    /// Of one contribution, of which neither name nor number says whose it was.
    #[must_use]
    pub fn of_contribution(&self, id: &ContributionId) -> Pseudonym {
        self.hash(["contribution", id.as_str()])
    }

    /// Of everything by which a contribution names its contributor.
    pub fn of(&self, contribution: &Contribution) -> impl Iterator<Item = Pseudonym> {
        let who = &contribution.contributor;
        let number = contribution.user_id.and_then(|number| self.of_number(who, number));
        std::iter::once(self.of_name(who)).chain(number)
    }

    /// Of the key itself: shows whether a ledger was forgotten from with this key.
    #[must_use]
    pub fn of_itself(&self) -> Pseudonym {
        self.hash(["key", ""])
    }
}

/// Whose part of a pull request an id names.
pub(super) fn author_of_part(id: &ContributionId) -> Option<ContributorId> {
    let mut parts = id.as_str().rsplitn(5, ':');
    let (login, _number, kind, _repository) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A client's own ids begin with `api:`, and may look like anything.
    let host = parts.next().filter(|_| kind == "pull_request" && !id.as_str().starts_with("api:"))?;
    ContributorId::parse(&format!("{host}:{login}")).ok()
}

/// Whether a bookmark, which is named after a repository, names this login, such as that of the repository's owner.
pub(super) fn names(bookmark: &str, login: &str) -> bool {
    // Of addresses, those of the person alone are dropped.
    if bookmark == crate::store::MAILMAP {
        return false;
    }
    let of_login = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    bookmark.split(|c| !of_login(c)).any(|word| fold_case(word) == login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_the_key_and_on_what_they_are_of() {
        let key = |text: &str| ForgetKey::new(&text.repeat(32)).unwrap();
        let (one, other) = (key("a"), key("b"));
        let mona = ContributorId::parse("github:mona").unwrap();
        assert_ne!(one.of_name(&mona), other.of_name(&mona));
        assert_ne!(Some(one.of_name(&mona)), one.of_number(&mona, 7));
        assert_eq!(
            one.of_number(&mona, 7),
            one.of_number(&ContributorId::parse("github:renamed").unwrap(), 7)
        );
        assert_eq!(one.of_number(&ContributorId::parse("mona").unwrap(), 7), None);
        assert_eq!(one.of_name(&mona), key("a").of_name(&mona));
        assert!(ForgetKey::new(&"a".repeat(31)).is_none());
    }

    #[test]
    fn the_id_of_a_part_names_its_author() {
        for (id, author) in [
            ("github:42:pull_request:7:mona", Some("github:mona")),
            ("git.example.org:8443:42:pull_request:7:mona", Some("git.example.org:8443:mona")),
            ("github:42:issue:7", None),
            ("github:42:push:abc:mona", None),
            ("api:api:pull_request:7:mona", None),
            ("api:bot:1:pull_request:7:mona", None),
        ] {
            let found = author_of_part(&ContributionId::from_text(id));
            assert_eq!(found.as_ref().map(ContributorId::as_str), author, "{id}");
        }
    }
}
