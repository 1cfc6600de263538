//! Where a comment goes: the repository and the number, derived from the recognition without a request.

use std::fmt;

use super::super::PublishError;
use super::failure::never;
use crate::domain::GiveUp;
use crate::domain::{Contribution, Kind, Recognition};

/// A repository's full name, `owner/name`, safe to put into a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RepositoryName(String);

impl RepositoryName {
    /// Takes two parts of letters, digits, `-`, `_` and `.`; neither may be `.` or `..`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let sound = |part: &str| {
            (1..=100).contains(&part.len())
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let (owner, name) = text.split_once('/')?;
        (sound(owner) && sound(name)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pull request or issue to comment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The name that the repository had, where it is `owner/name`.
    pub(super) repository: Option<RepositoryName>,
    pub(super) repository_id: u64,
    pub(super) kind: Kind,
    pub(super) number: u64,
}

/// A place, and what is commented on there.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) place: Place,
    /// The contribution that reached the milestone.
    pub(super) contribution: &'a Contribution,
    /// The host in its id.
    pub(super) host: String,
}

impl Place {
    /// Where the recognition's comment goes.
    pub(super) fn of(recognition: &Recognition) -> Result<Found<'_>, PublishError> {
        let nothing = |why| never(GiveUp::NothingToCommentOn, why);
        let contribution = recognition.contribution.as_ref();
        let contribution = contribution
            .ok_or_else(|| nothing("the contribution that reached the milestone is not known"))?;
        if contribution.private {
            return Err(never(GiveUp::Private, "the contribution is private or confidential"));
        }
        let work = contribution.work();
        let id = work.as_str();
        if id.starts_with("api:") {
            return Err(nothing("a contribution through the API reached the milestone"));
        }
        if contribution.kind != Kind::PULL_REQUEST && contribution.kind != Kind::ISSUE {
            return Err(nothing("only pull requests and issues are commented on"));
        }
        let mut parts = id.rsplitn(4, ':');
        let (number, kind, repository_id, of) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(number), Some(repository_id)) = (number.and_then(digits), repository_id.and_then(digits))
        else {
            return Err(nothing("the contribution's id has no number"));
        };
        if kind != Some(contribution.kind.as_str()) {
            return Err(nothing("the contribution's id is of another kind"));
        }
        let repository = contribution.repository.as_deref().and_then(RepositoryName::parse);
        let place = Self { repository, repository_id, kind: contribution.kind.clone(), number };
        Ok(Found { place, contribution, host: of.unwrap_or_default().to_owned() })
    }
}

/// A number of digits alone: `parse` would also take a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repositorys_name_can_stand_in_a_path() {
        for name in ["octo-org/hello.world", "a/b", "A_1/.github"] {
            assert!(RepositoryName::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "../../x",
            "../x",
            "a/..",
            "./b",
            "a/b?c",
            "a/b#c",
            "a b/c",
            "a/%2e",
            "ä/b",
            "a\n/b",
            "https://e.org/x",
            "a/b@c",
        ] {
            assert_eq!(RepositoryName::parse(name), None, "{name:?}");
        }
    }
}
