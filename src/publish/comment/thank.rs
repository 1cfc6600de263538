//! Writes one comment, after GitHub was asked whether it may be written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::super::PublishError;
use super::credential::{Account, Credential};
use super::github::{Answer, Ask};
use super::place::{Place, RepositoryName};
use super::refusal::Failure;
use super::template::{Addressed, Values};
use super::{Comments, PRECHECK_TIMEOUT, REQUEST_TIMEOUT};
use crate::domain::{Contribution, GiveUp, Kind, Moment, Recognition, RecognitionId};
use crate::runtime::stop_point;

/// What GitHub says before the comment is written.
enum Precheck {
    /// A comment of ours has the recognition's marker.
    AlreadyWritten,
    Write {
        /// The repository's present name.
        repository: RepositoryName,
        /// Who opened the pull request or issue; absent for a deleted account.
        author: Option<Account>,
    },
}

impl Comments {
    /// Writes the comment, unless a check forbids it, it was written before, or the hold could end before the
    /// request does: then another instance may write it.
    pub(super) async fn thank(
        &self,
        recognition: &Recognition,
        place: &Place,
        contribution: &Contribution,
        held_until: Moment,
    ) -> Result<(), Failure> {
        let marker = marker(&recognition.id);
        let slow = |_| Failure::Unanswered("GitHub takes too long over one comment".to_owned());
        let precheck = tokio::time::timeout(PRECHECK_TIMEOUT, self.precheck(place, &marker)).await;
        let (repository, author) = match precheck.map_err(slow)?? {
            Precheck::Write { repository, author } => (repository, author),
            Precheck::AlreadyWritten => {
                tracing::info!(recognition = %recognition.id, "the comment for {} was already written", recognition.id);
                return Ok(());
            }
        };
        let text = self.template.render(&Values {
            contributor: addressed(contribution, author.as_ref()),
            milestone: recognition.milestone,
            tally: recognition.tally,
            title: contribution.title.as_deref().unwrap_or_default(),
            kind: if contribution.kind == Kind::PULL_REQUEST { "pull request" } else { "issue" },
            repository: &repository.to_string(),
        });
        let body = json!({ "body": format!("{text}\n\n{marker}") });
        let path = format!("/repos/{repository}/issues/{}/comments", place.number);
        self.wait_to_write().await;
        stop_point("before-comment").await;
        if self.clock.now() + REQUEST_TIMEOUT >= held_until {
            return Err(Failure::Classified(PublishError::Lapsed));
        }
        let writing = self.ask(&place.repository, Ask::Post(&path, &body));
        tokio::time::timeout(REQUEST_TIMEOUT, writing).await.map_err(slow)??;
        stop_point("after-comment").await;
        Ok(())
    }

    /// Asks for the repository, the pull request or issue, and every comment on it.
    async fn precheck(&self, place: &Place, marker: &str) -> Result<Precheck, Failure> {
        let repository = self.check_repository(place).await?;
        let author = self.check_issue(place, &repository).await?;
        for page in 1_u32.. {
            let path =
                format!("/repos/{repository}/issues/{}/comments?per_page=100&page={page}", place.number);
            let answer = self.ask(&place.repository, Ask::Get(&path)).await?;
            for comment in answer.read::<Vec<Comment>>()? {
                if comment.body.as_deref().is_some_and(|body| body.contains(marker))
                    && self.is_ours(&comment).await?
                {
                    return Ok(Precheck::AlreadyWritten);
                }
            }
            if !answer.has_next_page() {
                break;
            }
        }
        Ok(Precheck::Write { repository, author })
    }

    /// Checks that the name still belongs to the repository that was contributed to, and that it is public
    /// and not archived; returns its present name.
    async fn check_repository(&self, place: &Place) -> Result<RepositoryName, Failure> {
        let path = format!("/repos/{}", place.repository);
        let found = self.ask(&place.repository, Ask::GetRenamed(&path)).await?;
        let found: Repository = found.read()?;
        if found.id != place.repository_id {
            let why = "another repository has its name now";
            return Err(Failure::never(GiveUp::RepositoryChanged, why));
        }
        if found.private {
            return Err(Failure::never(GiveUp::Private, "the repository is private"));
        }
        if found.archived {
            return Err(Failure::never(GiveUp::Archived, "the repository is archived"));
        }
        RepositoryName::parse(&found.full_name).ok_or_else(|| {
            Failure::Malformed("the repository's name in GitHub's answer is not owner/name".to_owned())
        })
    }

    /// Checks that the pull request or issue is still there and not locked; returns its author.
    async fn check_issue(
        &self,
        place: &Place,
        repository: &RepositoryName,
    ) -> Result<Option<Account>, Failure> {
        let path = format!("/repos/{repository}/issues/{}", place.number);
        let found = self.ask(&place.repository, Ask::Get(&path)).await;
        let found: Issue = match found {
            Err(Failure::Moved) => {
                let why = "the issue was moved to another repository";
                return Err(Failure::never(GiveUp::Transferred, why));
            }
            answer => answer?.read()?,
        };
        if found.locked {
            return Err(Failure::never(GiveUp::Locked, "the conversation is locked"));
        }
        Ok(found.user)
    }

    /// Whether a comment was written with the configured credential.
    async fn is_ours(&self, comment: &Comment) -> Result<bool, Failure> {
        Ok(match &self.credential {
            Credential::Token { token, account } => {
                let own = Credential::account(&self.api, token, account).await?;
                comment.user.as_ref().is_some_and(|user| user.id == own.id)
            }
            Credential::App(app) => {
                let by_app = comment.performed_via_github_app.as_ref().is_some_and(|by| by.id == app.id);
                by_app && comment.user.as_ref().is_some_and(|user| user.sort == "Bot")
            }
        })
    }

    /// Sends a request about `repository`; once more with a new token, if GitHub rejects an App's token.
    async fn ask(&self, repository: &RepositoryName, ask: Ask<'_>) -> Result<Answer, Failure> {
        let bearer = self.credential.bearer(&self.api, repository).await?;
        match self.api.send(ask, &bearer).await {
            Err(failure) if failure.has_status(http::StatusCode::UNAUTHORIZED) => {
                if !self.credential.discard(repository, &bearer).await {
                    return Err(failure);
                }
                let renewed = self.credential.bearer(&self.api, repository).await?;
                self.api.send(ask, &renewed).await
            }
            answer => answer,
        }
    }
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    full_name: String,
    private: bool,
    archived: bool,
}

#[derive(Deserialize)]
struct Issue {
    locked: bool,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Comment {
    body: Option<String>,
    user: Option<Account>,
    #[serde(default)]
    performed_via_github_app: Option<ById>,
}

#[derive(Deserialize)]
struct ById {
    id: u64,
}

/// An HTML comment, which GitHub does not show, that names the recognition. No id can end it early.
fn marker(id: &RecognitionId) -> String {
    /// Not percent-encoded: the characters of account ids.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'-').remove(b'.').remove(b'_');
    // An HTML comment must not contain two hyphens in a row.
    let id = utf8_percent_encode(id.as_str(), KEPT).to_string().replace("--", "-%2D");
    format!("<!-- plaudit:{id} -->")
}

/// Mentions the contributor only if the account that was counted is still the author: a login can pass to
/// another person.
fn addressed<'a>(contribution: &'a Contribution, author: Option<&'a Account>) -> Addressed<'a> {
    let login = contribution.contributor.login();
    let same = |author: &&Account| {
        contribution.user_id.map_or(author.login.eq_ignore_ascii_case(login), |id| author.id == id)
    };
    match author.filter(same) {
        Some(author) if is_login(&author.login) => Addressed::Mention(&author.login),
        _ => Addressed::Name(login),
    }
}

/// Whether GitHub gives such a login to a person's account.
fn is_login(text: &str) -> bool {
    (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_id_ends_the_marker() {
        let marker = |id| marker(&RecognitionId::from_text(id));
        assert_eq!(marker("github:octo-cat:3"), "<!-- plaudit:github:octo-cat:3 -->");
        for id in ["x-->y:3", "a--b---c----:3", "><!--", "ä b\u{202e}:3"] {
            let marker = marker(id);
            let inside = marker.strip_prefix("<!-- ").unwrap().strip_suffix(" -->").unwrap();
            assert!(!inside.contains("--") && !inside.contains('>') && inside.is_ascii(), "{marker}");
        }
    }

    #[test]
    fn only_a_login_is_mentioned() {
        assert!(is_login("octo-cat") && is_login(&"x".repeat(39)));
        for text in ["", "a b", "a/b", "x_y", "ä", "dependabot[bot]"] {
            assert!(!is_login(text), "{text}");
        }
    }
}
