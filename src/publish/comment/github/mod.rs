//! Comments on GitHub, through octocrab.

mod api;
mod check;
mod credential;
mod refusal;
mod transport;

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::super::PublishError;
use super::failure::{Failure, Refusal, never};
use super::host::{Author, CommentHost, Conversation, RateLimit};
use super::place::{Place, RepositoryName};
use super::settings::GithubComments;
use crate::domain::{Contribution, GiveUp, Kind, Moment};
use crate::runtime::{Clock, is_loopback};

use api::{Answer, Api, Ask};
use credential::{Account, Credential, get_account};

const TITLE: &str = "GitHub";

/// How GitHub relates an author to the repository: `author_association`.
/// <https://docs.github.com/en/graphql/reference/enums#commentauthorassociation>
const INSIDERS: [&str; 3] = ["OWNER", "MEMBER", "COLLABORATOR"];

#[derive(Debug)]
pub(super) struct Github {
    api: Api,
    credential: Credential,
    name: String,
}

impl Github {
    /// Opens no connection; must be called inside the runtime.
    pub(super) fn open(
        configured: &GithubComments,
        clock: &Clock,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            api: Api::new(configured.api.clone(), timeout)?,
            credential: Credential::new(&configured.credential, clock.clone()),
            name: host_of(&configured.api),
        })
    }

    /// Checks that the name still belongs to the repository that was contributed to, and that it is public
    /// and not archived; returns its present name.
    async fn check_repository(&self, place: &Place) -> Result<RepositoryName, Failure> {
        let name = named(place)?;
        let path = format!("/repos/{name}");
        let found = self.ask(name, Ask::GetRenamed(&path)).await?;
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
    ) -> Result<Option<Author>, Failure> {
        let path = format!("/repos/{repository}/issues/{}", place.number);
        let found = self.ask(named(place)?, Ask::Get(&path)).await;
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
        let insider = INSIDERS.contains(&found.author_association.as_deref().unwrap_or_default());
        Ok(found.user.map(|user| Author { id: user.id, login: user.login, insider: Some(insider) }))
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

#[async_trait]
impl CommentHost for Github {
    fn title(&self) -> &'static str {
        TITLE
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn noun(&self, kind: &Kind) -> &'static str {
        if *kind == Kind::PULL_REQUEST { "pull request" } else { "issue" }
    }

    fn is_login(&self, text: &str) -> bool {
        is_login(text)
    }

    fn check(&self, place: &Place) -> Result<(), PublishError> {
        named(place).map(drop)
    }

    /// The installation of the App: each has its own rate limit.
    async fn limit_of(&self, place: &Place) -> Option<u64> {
        self.credential.installation_of(place.repository.as_ref()?).await
    }

    async fn look(&self, place: &Place) -> Result<Conversation, Failure> {
        let repository = self.check_repository(place).await?;
        let author = self.check_issue(place, &repository).await?;
        Ok(Conversation { repository: repository.to_string(), author })
    }

    /// GitHub says it of the author alone, not of others who have a part in the pull request.
    async fn is_insider(
        &self,
        _place: &Place,
        conversation: &Conversation,
        contribution: &Contribution,
    ) -> Result<bool, Failure> {
        let author = conversation.author.as_ref().filter(|author| author.is_of(contribution));
        Ok(author.and_then(|author| author.insider).unwrap_or(false))
    }

    async fn has_comment(
        &self,
        place: &Place,
        conversation: &Conversation,
        marker: &str,
    ) -> Result<bool, Failure> {
        let path = format!("/repos/{}/issues/{}/comments", conversation.repository, place.number);
        for page in 1_u32.. {
            let path = format!("{path}?per_page=100&page={page}");
            let answer = self.ask(named(place)?, Ask::Get(&path)).await?;
            for comment in answer.read::<Vec<Comment>>()? {
                if comment.body.as_deref().is_some_and(|body| body.contains(marker))
                    && self.is_ours(&comment).await?
                {
                    return Ok(true);
                }
            }
            if !answer.has_next_page() {
                break;
            }
        }
        Ok(false)
    }

    async fn write(&self, place: &Place, conversation: &Conversation, body: &str) -> Result<(), Failure> {
        let path = format!("/repos/{}/issues/{}/comments", conversation.repository, place.number);
        self.ask(named(place)?, Ask::Post(&path, &json!({ "body": body }))).await.map(drop)
    }

    async fn ping(&self) -> Result<(), Failure> {
        match &self.credential {
            Credential::Token { token, .. } => get_account(&self.api, token).await.map(drop),
            Credential::App(app) => self.api.send(Ask::Get("/app"), &app.own_token()?).await.map(drop),
        }
    }

    async fn describe(&self) -> Result<Vec<String>, Failure> {
        Self::describe(self).await
    }

    fn limit(&self, refusal: &Refusal, now: Moment) -> Option<RateLimit> {
        refusal::rate_limit(refusal, now)
    }

    fn meaning(&self, refusal: &Refusal) -> Option<PublishError> {
        refusal::meaning(refusal)
    }

    fn wrote(&self, refusal: &Refusal) -> bool {
        refusal::is_from_github(refusal)
    }
}

/// The name of the repository, which GitHub's paths have.
fn named(place: &Place) -> Result<&RepositoryName, PublishError> {
    let unknown = || never(GiveUp::RepositoryUnknown, "the repository's name is not owner/name");
    place.repository.as_ref().ok_or_else(unknown)
}

/// Whether GitHub gives such a login to a person's account.
fn is_login(text: &str) -> bool {
    (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The host that an API's base URL belongs to, as in contributors' and contributions' ids.
///
/// `api.github.com` is `github`; Enterprise Server's `https://HOST/api/v3` is `HOST`; with data residency
/// `api.SUBDOMAIN.ghe.com` is `SUBDOMAIN.ghe.com`. A loopback address is a test server for `github`.
fn host_of(api: &Url) -> String {
    let name = api.host_str().unwrap_or_default();
    if is_loopback(api) || name == "api.github.com" {
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
    author_association: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_is_mentioned() {
        assert!(is_login("octo-cat") && is_login(&"x".repeat(39)));
        for text in ["", "a b", "a/b", "x_y", "ä", "dependabot[bot]"] {
            assert!(!is_login(text), "{text}");
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
