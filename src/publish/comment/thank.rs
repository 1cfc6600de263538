//! One comment: everything that speaks against it is looked up, and then it is written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::credential::{Account, Credential};
use super::github::{Answer, Ask, Failure};
use super::place::{Place, RepositoryName};
use super::refusal::never;
use super::template::{Addressed, Values};
use super::{Comments, LOOKING, PATIENCE};
use crate::domain::{Contribution, GiveUp, Kind, Recognition, RecognitionId};
use crate::runtime::stop_point;

impl Comments {
    /// Looks, and then writes, unless something speaks against it or it was written before.
    pub(super) async fn thank(
        &self,
        recognition: &Recognition,
        place: &Place,
        contribution: &Contribution,
    ) -> Result<(), Failure> {
        let marker = marker(&recognition.id);
        let slow = |_| Failure::Unanswered("GitHub takes too long over one comment".to_owned());
        let looking = self.look(place, &marker);
        let Some((repository, author)) = tokio::time::timeout(LOOKING, looking).await.map_err(slow)?? else {
            tracing::info!(recognition = %recognition.id, "the comment for {} stands already", recognition.id);
            return Ok(());
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
        stop_point("before-comment").await;
        let writing = self.ask(&place.repository, Ask::Post(&path, &body));
        tokio::time::timeout(PATIENCE, writing).await.map_err(slow)??;
        stop_point("after-comment").await;
        Ok(())
    }

    /// The repository's present name and the author of the pull request or issue; nothing if it was thanked
    /// already.
    async fn look(
        &self,
        place: &Place,
        marker: &str,
    ) -> Result<Option<(RepositoryName, Option<Account>)>, Failure> {
        let repository = self.visit(place).await?;
        let author = self.greet(place, &repository).await?;
        for page in 1_u32.. {
            let path =
                format!("/repos/{repository}/issues/{}/comments?per_page=100&page={page}", place.number);
            let answer = self.ask(&place.repository, Ask::Get(&path)).await?;
            for comment in answer.read::<Vec<Comment>>()? {
                if comment.body.as_deref().is_some_and(|body| body.contains(marker))
                    && self.is_ours(&comment).await?
                {
                    return Ok(None);
                }
            }
            if !answer.has_next_page() {
                break;
            }
        }
        Ok(Some((repository, author)))
    }

    /// The repository is the one that was contributed to, public, and can be written to.
    async fn visit(&self, place: &Place) -> Result<RepositoryName, Failure> {
        let path = format!("/repos/{}", place.repository);
        let found = self.ask(&place.repository, Ask::GetRenamed(&path)).await?;
        let found: Repository = found.read()?;
        let told = |reason, why: &str| Err(Failure::Told(never(reason, why)));
        if found.id != place.repository_id {
            return told(GiveUp::RepositoryChanged, "another repository has its name now");
        }
        if found.private {
            return told(GiveUp::Private, "the repository is private");
        }
        if found.archived {
            return told(GiveUp::Archived, "the repository is archived");
        }
        RepositoryName::parse(&found.full_name)
            .ok_or_else(|| Failure::Malformed("GitHub's name of the repository is none".to_owned()))
    }

    /// The pull request or issue is still there and open to comments; answers its author.
    async fn greet(&self, place: &Place, repository: &RepositoryName) -> Result<Option<Account>, Failure> {
        let path = format!("/repos/{repository}/issues/{}", place.number);
        let found = self.ask(&place.repository, Ask::Get(&path)).await;
        let found: Issue = match found {
            Err(Failure::Moved) => {
                return Err(Failure::Told(never(
                    GiveUp::Transferred,
                    "the issue is in another repository now",
                )));
            }
            answer => answer?.read()?,
        };
        if found.locked {
            return Err(Failure::Told(never(GiveUp::Locked, "the conversation is locked")));
        }
        Ok(found.user)
    }

    /// Whether a comment was written with the configured credential.
    async fn is_ours(&self, comment: &Comment) -> Result<bool, Failure> {
        Ok(match &self.credential {
            Credential::Token { token, me } => {
                let me = Credential::me(&self.api, token, me).await?;
                comment.user.as_ref().is_some_and(|user| user.id == me.id)
            }
            Credential::App(app) => {
                let by_app = comment.performed_via_github_app.as_ref().is_some_and(|by| by.id == app.id);
                by_app && comment.user.as_ref().is_some_and(|user| user.sort == "Bot")
            }
        })
    }

    /// Asks with a token that may speak in `repository`; with a new one, once, where the old is no longer taken.
    async fn ask(&self, repository: &RepositoryName, ask: Ask<'_>) -> Result<Answer, Failure> {
        let bearer = self.credential.bearer(&self.api, repository).await?;
        match self.api.send(ask, &bearer).await {
            Err(failure) if failure.refused_with(http::StatusCode::UNAUTHORIZED) => {
                if !self.credential.renewable(repository, &bearer).await {
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

/// The hidden text by which a comment is known again. Nothing in an id can end it.
fn marker(id: &RecognitionId) -> String {
    /// What stands bare: all that ids of accounts are made of.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'-').remove(b'.').remove(b'_');
    // Two hyphens in a row may not stand in a comment of HTML.
    let id = utf8_percent_encode(id.as_str(), KEPT).to_string().replace("--", "-%2D");
    format!("<!-- plaudit:{id} -->")
}

/// How the contributor is named: with a mention if the author of the pull request or issue still is the
/// account that was counted. A login can change hands.
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

/// A name that GitHub gives to an account of a person.
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
