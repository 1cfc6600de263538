//! Where a comment goes: the repository and the number, derived from the recognition without a request.

use std::fmt;

use url::Url;

use super::super::PublishError;
use super::refusal::never;
use crate::domain::GiveUp;
use crate::domain::{Contribution, Kind, Recognition};
use crate::runtime;

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
    pub(super) repository: RepositoryName,
    pub(super) repository_id: u64,
    pub(super) number: u64,
}

impl Place {
    /// Where the recognition's comment goes, and the contribution that reached the milestone; `host` is the
    /// host that the API belongs to.
    pub(super) fn of<'a>(
        recognition: &'a Recognition,
        host: &str,
    ) -> Result<(Self, &'a Contribution), PublishError> {
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
        if of != Some(host) {
            let on = of.unwrap_or("no host");
            let why = format!("the contribution is on {on}, the configured GitHub API belongs to {host}");
            return Err(never(GiveUp::OtherHost, why));
        }
        let (Some(number), Some(repository_id)) = (number.and_then(digits), repository_id.and_then(digits))
        else {
            return Err(nothing("the contribution's id has no number"));
        };
        if kind != Some(contribution.kind.as_str()) {
            return Err(nothing("the contribution's id is of another kind"));
        }
        let repository = contribution.repository.as_deref().and_then(RepositoryName::parse);
        let repository = repository
            .ok_or_else(|| never(GiveUp::RepositoryUnknown, "the repository's name is not owner/name"))?;
        let place = Self { repository, repository_id, number };
        Ok((place, contribution))
    }
}

/// A number of digits alone: `parse` would also take a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The host that an API's base URL belongs to, as in contributors' and contributions' ids.
///
/// `api.github.com` is `github`; Enterprise Server's `https://HOST/api/v3` is `HOST`; with data residency
/// `api.SUBDOMAIN.ghe.com` is `SUBDOMAIN.ghe.com`. A loopback address is a test server for `github`.
pub(super) fn host_of(api: &Url) -> String {
    let name = api.host_str().unwrap_or_default();
    if runtime::is_loopback(api) || name == "api.github.com" {
        return "github".to_owned();
    }
    if let Some(tenant) = name.strip_prefix("api.").filter(|tenant| tenant.ends_with(".ghe.com")) {
        return tenant.to_owned();
    }
    match api.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
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

    #[test]
    fn an_api_belongs_to_one_host() {
        for (api, host) in [
            ("https://api.github.com", "github"),
            ("http://127.0.0.1:4000", "github"),
            ("http://localhost:4000/api/v3", "github"),
            ("http://[::1]:4000", "github"),
            ("https://git.example.org/api/v3", "git.example.org"),
            ("https://git.example.org:8443/api/v3", "git.example.org:8443"),
            ("https://api.octocorp.ghe.com", "octocorp.ghe.com"),
        ] {
            assert_eq!(host_of(&Url::parse(api).unwrap()), host);
        }
    }
}
