//! The credential for GitHub: a token, or a GitHub App with one token for each installation.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;
use http::StatusCode;
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use super::super::failure::Failure;
use super::super::place::RepositoryName;
use super::super::settings::GithubCredential;
use super::api::{Answer, Api, Ask};
use crate::domain::GiveUp;
use crate::domain::Moment;
use crate::runtime::Clock;
use crate::settings::{AppKey, Secret};

/// A token that expires within this time is replaced: one comment takes less.
const EXPIRY_MARGIN: TimeDelta = TimeDelta::seconds(60);
/// For how many repositories the installation is cached.
const CACHED_INSTALLATIONS: usize = 10_000;

#[derive(Debug)]
pub(super) enum Credential {
    Token {
        token: Secret,
        /// The account that the token belongs to, once it was asked for.
        account: OnceCell<Account>,
    },
    App(App),
}

/// An account as GitHub names it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
    #[serde(rename = "type", default)]
    pub(super) sort: String,
}

pub(super) struct App {
    pub(super) id: u64,
    key: AppKey,
    clock: Clock,
    /// The installation that has access to a repository.
    installations: Mutex<HashMap<RepositoryName, u64>>,
    /// Each installation's token; locked while one is requested, so that concurrent requests cause one.
    tokens: Mutex<HashMap<u64, Arc<Mutex<Option<InstallationToken>>>>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

struct InstallationToken {
    token: Secret,
    expires_at: Moment,
}

impl Credential {
    pub(super) fn new(configured: &GithubCredential, clock: Clock) -> Self {
        match configured {
            GithubCredential::Token(token) => {
                Self::Token { token: Secret::new(token.expose().trim()), account: OnceCell::new() }
            }
            GithubCredential::App { id, key } => Self::App(App {
                id: *id,
                key: key.clone(),
                clock,
                installations: Mutex::default(),
                tokens: Mutex::default(),
            }),
        }
    }

    /// The token for a request about `repository`.
    pub(super) async fn bearer(&self, api: &Api, repository: &RepositoryName) -> Result<Secret, Failure> {
        match self {
            Self::Token { token, .. } => Ok(token.clone()),
            Self::App(app) => app.bearer(api, repository).await,
        }
    }

    /// The App's installation for `repository`, once it was asked for; `None` for a token.
    pub(super) async fn installation_of(&self, repository: &RepositoryName) -> Option<u64> {
        match self {
            Self::Token { .. } => None,
            Self::App(app) => app.installations.lock().await.get(repository).copied(),
        }
    }

    /// Discards a token that GitHub rejected; false if there can be no other.
    pub(super) async fn discard(&self, repository: &RepositoryName, rejected: &Secret) -> bool {
        match self {
            Self::Token { .. } => false,
            Self::App(app) => {
                app.discard(repository, rejected).await;
                true
            }
        }
    }

    /// The account that a token belongs to, asked for once.
    pub(super) async fn account<'a>(
        api: &Api,
        token: &Secret,
        account: &'a OnceCell<Account>,
    ) -> Result<&'a Account, Failure> {
        account.get_or_try_init(|| async { get_account(api, token).await?.read() }).await
    }
}

/// The [`Account`] that `token` belongs to, with the headers that describe the token.
pub(super) async fn get_account(api: &Api, token: &Secret) -> Result<Answer, Failure> {
    let answer = api.send(Ask::Get("/user"), token).await;
    if let Err(Failure::Refused(refusal)) = &answer
        && refusal.status == StatusCode::FORBIDDEN
        && refusal.message.contains("Resource not accessible")
    {
        let why = "the token belongs to no account; use a personal access token or a GitHub App";
        return Err(Failure::down_until_fixed(why));
    }
    answer
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct Granted {
    token: String,
    expires_at: Moment,
}

impl App {
    /// The App's own token, for requests about the App.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
    pub(super) fn own_token(&self) -> Result<Secret, Failure> {
        self.key.token(self.id, self.clock.now()).map_err(Failure::down_until_fixed)
    }

    async fn bearer(&self, api: &Api, repository: &RepositoryName) -> Result<Secret, Failure> {
        let known = self.installations.lock().await.get(repository).copied();
        if let Some(installation) = known {
            match self.token_of(api, installation).await {
                // The App was uninstalled, and perhaps installed again under another id.
                Err(failure) if failure.has_status(StatusCode::NOT_FOUND) => {
                    self.installations.lock().await.remove(repository);
                }
                answer => return answer,
            }
        }
        let installation = self.installation(api, repository).await?;
        self.token_of(api, installation).await
    }

    /// The installation that has access to `repository`; cached. Concurrent calls cause one request.
    async fn installation(&self, api: &Api, repository: &RepositoryName) -> Result<u64, Failure> {
        let mut installations = self.installations.lock().await;
        if let Some(known) = installations.get(repository) {
            return Ok(*known);
        }
        let path = format!("/repos/{repository}/installation");
        let found = match api.send(Ask::GetRenamed(&path), &self.own_token()?).await {
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                return Err(if refusal.message.contains("Integration") {
                    Failure::down_until_fixed(format!("there is no GitHub App with the id {}", self.id))
                } else {
                    let why = format!("the GitHub App is not installed in {repository}");
                    Failure::never(GiveUp::NotInstalled, why)
                });
            }
            answer => answer?.read::<Installation>()?,
        };
        if installations.len() >= CACHED_INSTALLATIONS {
            installations.clear();
        }
        installations.insert(repository.clone(), found.id);
        Ok(found.id)
    }

    /// An installation's token; cached until [`EXPIRY_MARGIN`] before it expires. Concurrent calls cause one
    /// request.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
    pub(super) async fn token_of(&self, api: &Api, installation: u64) -> Result<Secret, Failure> {
        let cached = Arc::clone(self.tokens.lock().await.entry(installation).or_default());
        let mut cached = cached.lock().await;
        if let Some(InstallationToken { token, expires_at }) = cached.as_ref()
            && *expires_at - self.clock.now() > EXPIRY_MARGIN
        {
            return Ok(token.clone());
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let answer = api.send(Ask::Post(&path, &serde_json::json!({})), &self.own_token()?).await?;
        let granted: Granted = answer.read()?;
        let token = Secret::new(granted.token);
        *cached = Some(InstallationToken { token: token.clone(), expires_at: granted.expires_at });
        Ok(token)
    }

    async fn discard(&self, repository: &RepositoryName, rejected: &Secret) {
        let Some(installation) = self.installations.lock().await.get(repository).copied() else {
            return;
        };
        let cached = self.tokens.lock().await.get(&installation).cloned();
        if let Some(cached) = cached {
            let mut cached = cached.lock().await;
            // A concurrent request may have replaced it.
            if cached.as_ref().is_some_and(|cached| cached.token == *rejected) {
                *cached = None;
            }
        }
    }
}
