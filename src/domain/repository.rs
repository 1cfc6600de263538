use std::borrow::Borrow;
use std::fmt;

use super::{Contribution, ContributionId, HostName, Kind, Moment};

/// A repository of a host: `{host}:{repository id}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// The repository `id` of a host.
    #[must_use]
    pub fn on_host(host: &HostName, id: impl fmt::Display) -> Self {
        Self(format!("{host}:{id}"))
    }

    /// An id as a store kept it.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The ids of its contributions: from the first text up to the second, without that one.
    #[must_use]
    pub fn contributions(&self) -> (String, String) {
        // What follows begins with a kind's letter; `{` is the character after `z`. After a digit, `{host}:{id}` is
        // not this repository but a host and its port, such as `gitlab:80`, with a repository of its own.
        (format!("{}:a", self.0), format!("{}:{{", self.0))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a payload says about who may see its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visibility {
    pub repository: RepositoryId,
    pub said: VisibilitySaid,
    /// The payload's own time, by the host's clock; the present time where it has none.
    pub at: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisibilitySaid {
    /// It is private, since when the payload does not say.
    IsPrivate,
    /// It became private just then.
    BecamePrivate,
    /// It became public just then.
    BecamePublic,
}

/// A map of repositories is asked by a part of a contribution's id.
impl Borrow<str> for RepositoryId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Contribution {
    /// The [`RepositoryId`], as text, of what a host sent; `None` for what a client posted.
    #[must_use]
    pub fn repository_id(&self) -> Option<&str> {
        if self.content.is_some() {
            return None;
        }
        // `…:issue:{number}`, `…:pull_request:{number}:{login}`, `…:push:{commit}:{login}`: counted from the end,
        // because a host's name can have colons.
        let before_kind = if self.kind == Kind::ISSUE { 1 } else { 2 };
        let id = ContributionId::as_str(&self.id);
        let (end, _) = id.rmatch_indices(':').nth(before_kind)?;
        id.get(..end)
    }

    /// The newest time that the payload states: at that time its repository was as public as it says.
    #[must_use]
    pub fn stated_at(&self) -> Moment {
        let labels = self.labels.map(|labels| labels.at);
        labels.max(self.landed_at).map_or(self.occurred_at, |at| at.max(self.occurred_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Draft;

    fn contribution(id: &str, kind: Kind) -> Contribution {
        let draft = Draft { contributor: "mona".into(), kind: "talk".into(), ..Draft::default() };
        let posted = draft.check(Moment::UNIX_EPOCH, || "1".into()).unwrap();
        Contribution { id: ContributionId::from_text(id), kind, content: None, ..posted }
    }

    #[test]
    fn a_hosts_contribution_names_its_repository_whatever_the_hosts_name() {
        for host in ["github", "git.example.org:8443/code", "[::1]:80"] {
            let repository = format!("{host}:42");
            for (rest, kind) in [
                ("issue:7", Kind::ISSUE),
                ("pull_request:7:mona", Kind::PULL_REQUEST),
                ("push:0f0f0f0:mona", Kind::PUSH),
            ] {
                let one = contribution(&format!("{repository}:{rest}"), kind);
                assert_eq!(one.repository_id(), Some(repository.as_str()));
                let (from, to) = RepositoryId::from_text(repository.as_str()).contributions();
                assert!(from.as_str() <= one.id.as_str() && one.id.as_str() < to.as_str());
                let on_port = format!("{repository}:9:{rest}");
                assert!(!(from.as_str()..to.as_str()).contains(&on_port.as_str()), "{on_port}");
            }
        }
        let posted = Contribution {
            content: Some(crate::domain::Fingerprint([0; 16])),
            ..contribution("api:api:github:42:issue:7", Kind::ISSUE)
        };
        assert_eq!(posted.repository_id(), None);
    }
}
