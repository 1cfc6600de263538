use std::fmt;

use super::{ContributionId, HostName, Kind, Moment};

/// The piece of work that a contribution is part of: `{host}:{repository id}:pull_request:{number}`,
/// `{host}:{repository id}:issue:{number}`; for everything else the contribution's own id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(String);

impl WorkId {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pull request or issue `number` of a repository.
    #[must_use]
    pub fn on_host(host: &HostName, repository: impl fmt::Display, kind: &Kind, number: u64) -> Self {
        Self(format!("{host}:{repository}:{}:{number}", kind.as_str()))
    }

    /// A contribution as a work of its own: what concerns it concerns no other.
    #[must_use]
    pub fn alone(id: &ContributionId) -> Self {
        Self(id.as_str().to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of a pull request or issue at one time: whether one of them is in `PLAUDIT_REJECT_LABELS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    pub rejected: bool,
    /// The payload's own time (`updated_at`): the newest labels decide, whatever the order of arrival.
    pub at: Moment,
}

/// What a delivery or client says about contributions that may or may not be recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub work: WorkId,
    /// The one contribution to the work that the payload names: that of its author.
    pub part: Option<ContributionId>,
    pub ruling: Ruling,
}

/// Whether a work's contributions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Taken back for good: the issue was deleted, or a client took the contribution back.
    Deleted,
    /// Taken back while a label rejects it; a part that landed after that label counts all the same.
    Labels(Labels),
}
