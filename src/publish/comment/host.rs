//! What comments need of a host: a new one is a file or folder beside this one that implements [`CommentHost`], and a
//! line in [`Comments::open`](super::Comments::open).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::super::PublishError;
use super::failure::{Failure, Refusal};
use super::place::Place;
use crate::domain::{Contribution, Kind, Moment};

/// Reads a host's pull requests and issues through its API, and writes the comments there.
///
/// Nothing is retried here: the outbox keeps what waits, and [`Commenter`](super::commenter::Commenter) the pauses.
#[async_trait]
pub(super) trait CommentHost: fmt::Debug + Send + Sync {
    /// The host's name, for people.
    fn title(&self) -> &'static str;

    /// The host's name as contributions' ids have it.
    fn name(&self) -> &str;

    /// What the host calls a pull request or an issue.
    fn noun(&self, kind: &Kind) -> &'static str;

    /// Whether the host gives such a login to a person's account.
    fn is_login(&self, text: &str) -> bool;

    /// Fails where it is known without a request that no comment can be written there.
    fn check(&self, _place: &Place) -> Result<(), PublishError> {
        Ok(())
    }

    /// Which of several rate limits holds at this place, where it is known.
    async fn limit_of(&self, _place: &Place) -> Option<u64> {
        None
    }

    /// Checks that a comment may be written there: the repository and the pull request or issue are still there,
    /// public and open for comments.
    async fn look(&self, place: &Place) -> Result<Conversation, Failure>;

    /// Whether the contributor owns the repository, or is a member or collaborator, as far as the host says it.
    async fn is_insider(
        &self,
        place: &Place,
        conversation: &Conversation,
        contribution: &Contribution,
    ) -> Result<bool, Failure>;

    /// Whether a comment of plaudit's own account has this marker.
    async fn has_comment(
        &self,
        place: &Place,
        conversation: &Conversation,
        marker: &str,
    ) -> Result<bool, Failure>;

    /// Writes a comment.
    async fn write(&self, place: &Place, conversation: &Conversation, body: &str) -> Result<(), Failure>;

    /// For readiness: whether the API answers and takes the credential.
    async fn ping(&self) -> Result<(), Failure>;

    /// For `plaudit check`: whose credential it is and what it may do, a line each. Fails if no comment could be
    /// written.
    async fn describe(&self) -> Result<Vec<String>, Failure>;

    /// The rate limit that an error is, if it is one.
    fn limit(&self, refusal: &Refusal, now: Moment) -> Option<RateLimit>;

    /// What an error that is no rate limit means, where its status alone does not decide.
    fn meaning(&self, refusal: &Refusal) -> Option<PublishError>;

    /// Whether the host itself wrote the error, and not a proxy before it.
    fn wrote(&self, refusal: &Refusal) -> bool;
}

/// A pull request or issue on which a comment may be written.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The repository's present full name.
    pub(super) repository: String,
    /// Who opened it; absent for a deleted account.
    pub(super) author: Option<Author>,
}

/// Who opened a pull request or issue.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) id: u64,
    pub(super) login: String,
    /// Whether the host says that it is the owner, a member or a collaborator; `None` where it has to be asked.
    pub(super) insider: Option<bool>,
}

impl Author {
    /// Whether this is the account that was counted: a login can pass to another person.
    pub(super) fn is_of(&self, contribution: &Contribution) -> bool {
        let login = contribution.contributor.login();
        contribution.user_id.map_or(self.login.eq_ignore_ascii_case(login), |id| self.id == id)
    }
}

/// How long a host asks for no requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum RateLimit {
    For(Duration),
    WithoutTime,
}
