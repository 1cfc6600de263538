//! Comments on GitLab: notes on merge requests and issues.
//! <https://docs.gitlab.com/api/notes/>

mod api;

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;
use url::Url;

use super::super::PublishError;
use super::failure::{Failure, Refusal, down_until_fixed, never};
use super::host::{Author, CommentHost, Conversation, RateLimit};
use super::place::Place;
use super::settings::GitlabComments;
use crate::domain::{Contribution, GiveUp, Kind, Moment};
use crate::runtime::is_loopback;

use api::Api;

const TITLE: &str = "GitLab";

#[derive(Debug)]
pub(super) struct Gitlab {
    api: Api,
    name: String,
    /// The account that the token belongs to, once it was asked for.
    account: OnceCell<Account>,
}

impl Gitlab {
    /// Opens no connection; must be called inside the runtime.
    pub(super) fn open(configured: &GitlabComments, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            api: Api::new(&configured.api, &configured.token, timeout)?,
            name: host_of(&configured.api),
            account: OnceCell::new(),
        })
    }

    async fn account(&self) -> Result<&Account, Failure> {
        self.account.get_or_try_init(|| async { self.api.get("/user").await?.read() }).await
    }

    /// Checks that the project is public and not archived; returns its present name. A project keeps its number
    /// when it is renamed or moved.
    async fn check_project(&self, place: &Place) -> Result<String, Failure> {
        let found: Project = self.api.get(&format!("/projects/{}", place.repository_id)).await?.read()?;
        if found.visibility != "public" {
            return Err(Failure::never(GiveUp::Private, format!("the project is {}", found.visibility)));
        }
        if found.archived {
            return Err(Failure::never(GiveUp::Archived, "the project is archived"));
        }
        Ok(found.path_with_namespace)
    }

    /// Checks that the merge request or issue is still there and that everyone may see it and comment on it; returns
    /// its author.
    async fn check_item(&self, place: &Place) -> Result<Option<Author>, Failure> {
        let found: Item = self.api.get(&path_of(place)).await?.read()?;
        if found.moved_to_id.is_some() {
            return Err(Failure::never(GiveUp::Transferred, "the issue was moved to another project"));
        }
        if found.confidential {
            return Err(Failure::never(GiveUp::Private, "the issue is confidential"));
        }
        // Members may comment on it all the same; to everyone else the discussion is closed.
        if found.discussion_locked == Some(true) {
            return Err(Failure::never(GiveUp::Locked, "the discussion is locked"));
        }
        Ok(found.author.map(|author| Author { id: author.id, login: author.username, insider: None }))
    }
}

#[async_trait]
impl CommentHost for Gitlab {
    fn title(&self) -> &'static str {
        TITLE
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn noun(&self, kind: &Kind) -> &'static str {
        if *kind == Kind::PULL_REQUEST { "merge request" } else { "issue" }
    }

    fn is_login(&self, text: &str) -> bool {
        is_login(text)
    }

    async fn look(&self, place: &Place) -> Result<Conversation, Failure> {
        let repository = self.check_project(place).await?;
        let author = self.check_item(place).await?;
        Ok(Conversation { repository, author })
    }

    /// Payloads do not say who is a member: the project's members are asked for the account's number, those of its
    /// groups and of invited groups included.
    /// <https://docs.gitlab.com/api/project_members/>
    async fn is_insider(
        &self,
        place: &Place,
        conversation: &Conversation,
        contribution: &Contribution,
    ) -> Result<bool, Failure> {
        let author = conversation.author.as_ref().filter(|author| author.is_of(contribution));
        let Some(id) = contribution.user_id.or(author.map(|author| author.id)) else { return Ok(false) };
        let path = format!("/projects/{}/members/all/{id}", place.repository_id);
        match self.api.get(&path).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.has_status(StatusCode::NOT_FOUND) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Notes of people alone: GitLab's own notes about changes are left out, where this GitLab can do that.
    async fn has_comment(
        &self,
        place: &Place,
        _conversation: &Conversation,
        marker: &str,
    ) -> Result<bool, Failure> {
        let path = path_of(place);
        for page in 1_u32.. {
            let query = format!("activity_filter=only_comments&per_page=100&page={page}");
            let answer = self.api.get(&format!("{path}/notes?{query}")).await?;
            for note in answer.read::<Vec<Note>>()? {
                if note.body.as_deref().is_some_and(|body| body.contains(marker))
                    && let Some(author) = note.author
                    && author.id == self.account().await?.id
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

    async fn write(&self, place: &Place, _conversation: &Conversation, body: &str) -> Result<(), Failure> {
        self.api.post(&format!("{}/notes", path_of(place)), &json!({ "body": body })).await.map(drop)
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.api.get("/user").await.map(drop)
    }

    async fn describe(&self) -> Result<Vec<String>, Failure> {
        let login = &self.account().await?.username;
        let mut lines = vec![format!("comments on GitLab are written by {login}")];
        // Instances before 15.5 do not say it, nor does any about a token of OAuth.
        match self.api.get("/personal_access_tokens/self").await {
            Ok(answer) => {
                let token: AboutToken = answer.read()?;
                let scopes = token.scopes.join(", ");
                if !token.scopes.iter().any(|scope| scope == "api") {
                    let why = format!("{login}'s token has the scopes [{scopes}]; it lacks api");
                    return Err(Failure::never(GiveUp::MissingPermission, why));
                }
                lines.push(format!("the token's scopes are [{scopes}]"));
                if let Some(day) = token.expires_at {
                    lines.push(format!("the token expires on {day}"));
                }
            }
            Err(Failure::Refused(refusal)) if refusal.status.is_client_error() => {
                lines.push("GitLab does not show what this token may do: it needs the scope api".to_owned());
            }
            Err(failure) => return Err(failure),
        }
        Ok(lines)
    }

    /// 429, with `Retry-After` or `RateLimit-Reset`; the limit of notes has neither.
    /// <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>
    fn limit(&self, refusal: &Refusal, now: Moment) -> Option<RateLimit> {
        if refusal.status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        let wait = refusal.retry_after().or_else(|| refusal.until_reset("ratelimit-reset", now));
        Some(wait.map_or(RateLimit::WithoutTime, RateLimit::For))
    }

    fn meaning(&self, refusal: &Refusal) -> Option<PublishError> {
        let why = refusal.shown(TITLE);
        match refusal.status.as_u16() {
            // "Note {:note=>["is too long"]}"
            400 => Some(never(GiveUp::Unprocessable, why)),
            401 => Some(down_until_fixed(format!(
                "the GitLab token is wrong, expired or revoked: {}",
                refusal.text()
            ))),
            // "insufficient_scope": everything else is a 403 without a reason.
            403 if refusal.message.contains("insufficient") => {
                let why = format!("the GitLab token lacks the scope api: {}", refusal.text());
                Some(never(GiveUp::MissingPermission, why))
            }
            403 => Some(never(GiveUp::Forbidden, why)),
            _ => None,
        }
    }

    fn wrote(&self, refusal: &Refusal) -> bool {
        refusal.is_json() && !refusal.message.is_empty()
    }
}

/// The merge request or issue, which has no number beside its project's.
fn path_of(place: &Place) -> String {
    let items = if place.kind == Kind::PULL_REQUEST { "merge_requests" } else { "issues" };
    format!("/projects/{}/{items}/{}", place.repository_id, place.number)
}

/// Whether GitLab gives such a login to an account, and takes it whole as a mention.
/// <https://docs.gitlab.com/user/reserved_names/#limitations-on-usernames-project-and-group-names-and-slugs>
fn is_login(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !text.starts_with('-')
        && !text.ends_with('.')
}

/// The host that an API's base URL belongs to, as in contributors' and contributions' ids: `https://HOST/api/v4` is
/// `HOST`, `https://HOST/PATH/api/v4` is `HOST/PATH`. A loopback address is a test server for `gitlab`.
fn host_of(api: &Url) -> String {
    let name = api.host_str().unwrap_or_default();
    if is_loopback(api) || name == "gitlab.com" {
        return "gitlab".to_owned();
    }
    let port = api.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = api.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v4").unwrap_or(path);
    format!("{name}{port}{path}").to_ascii_lowercase()
}

#[derive(Debug, Deserialize)]
struct Account {
    id: u64,
    username: String,
}

/// <https://docs.gitlab.com/api/projects/#retrieve-a-project>
#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
    visibility: String,
    #[serde(default)]
    archived: bool,
}

/// A merge request or an issue.
#[derive(Deserialize)]
struct Item {
    author: Option<Account>,
    #[serde(default)]
    confidential: bool,
    discussion_locked: Option<bool>,
    moved_to_id: Option<u64>,
}

#[derive(Deserialize)]
struct Note {
    body: Option<String>,
    author: Option<Account>,
}

/// <https://docs.gitlab.com/api/personal_access_tokens/#self-inform>
#[derive(Deserialize)]
struct AboutToken {
    scopes: Vec<String>,
    expires_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_is_mentioned() {
        for text in ["octo-cat", "a.b_c", "x"] {
            assert!(is_login(text), "{text}");
        }
        for text in ["", "a b", "a/b", "-x", "x.", "ä"] {
            assert!(!is_login(text), "{text}");
        }
    }

    #[test]
    fn an_api_belongs_to_one_host() {
        for (api, host) in [
            ("https://gitlab.com/api/v4", "gitlab"),
            ("http://127.0.0.1:4000/api/v4", "gitlab"),
            ("https://git.example.org/api/v4", "git.example.org"),
            ("https://git.example.org:8443/api/v4/", "git.example.org:8443"),
            ("https://git.example.org/code/api/v4", "git.example.org/code"),
        ] {
            assert_eq!(host_of(&Url::parse(api).unwrap()), host);
        }
    }
}
