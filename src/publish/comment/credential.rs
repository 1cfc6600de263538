//! As whom plaudit speaks: a token, or a GitHub App with one token for each installation.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};

use super::github::{Answer, Api, Ask, Failure};
use super::place::RepositoryName;
use super::refusal::{down_until_mended, never};
use crate::config::{GithubCredential, Secret};
use crate::domain::{GiveUp, Moment};
use crate::runtime::Clock;

/// A token is not used when it is about to expire: one comment takes less than this.
const SHORTLY: TimeDelta = TimeDelta::seconds(60);
/// So many repositories' installations are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(super) enum Credential {
    Token { token: Secret, me: OnceCell<Account> },
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
    key: EncodingKey,
    clock: Clock,
    /// Which installation may speak in a repository.
    installations: Mutex<HashMap<RepositoryName, u64>>,
    /// Held while a token is asked for, so that many who need it ask once.
    grants: Mutex<HashMap<u64, Arc<Mutex<Option<Grant>>>>>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An installation's token.
struct Grant {
    token: Secret,
    until: Moment,
}

impl Credential {
    pub(super) fn new(configured: &GithubCredential, clock: Clock) -> Result<Self, String> {
        Ok(match configured {
            GithubCredential::Token(token) => {
                Self::Token { token: Secret::new(token.expose().trim()), me: OnceCell::new() }
            }
            GithubCredential::App { id, key } => Self::App(App {
                id: *id,
                key: read_key(key.expose())?,
                clock,
                installations: Mutex::default(),
                grants: Mutex::default(),
            }),
        })
    }

    /// What to authorise a request about `repository` with.
    pub(super) async fn bearer(&self, api: &Api, repository: &RepositoryName) -> Result<Secret, Failure> {
        match self {
            Self::Token { token, .. } => Ok(token.clone()),
            Self::App(app) => app.bearer(api, repository).await,
        }
    }

    /// Drops a token that GitHub no longer takes; whether another can be had.
    pub(super) async fn renewable(&self, repository: &RepositoryName, refused: &Secret) -> bool {
        match self {
            Self::Token { .. } => false,
            Self::App(app) => {
                app.drop_grant(repository, refused).await;
                true
            }
        }
    }

    /// The account that a token speaks for, asked for once.
    pub(super) async fn me<'a>(
        api: &Api,
        token: &Secret,
        me: &'a OnceCell<Account>,
    ) -> Result<&'a Account, Failure> {
        me.get_or_try_init(|| async { ask_who(api, token).await?.read() }).await
    }
}

/// GitHub's answer to whose `token` this is.
pub(super) async fn ask_who(api: &Api, token: &Secret) -> Result<Answer, Failure> {
    let answer = api.send(Ask::Get("/user"), token).await;
    if let Err(Failure::Refused(error)) = &answer
        && error.status_code == StatusCode::FORBIDDEN
        && error.message.contains("Resource not accessible")
    {
        let why = "the token speaks for no account; use a personal access token or a GitHub App";
        return Err(Failure::Told(down_until_mended(why)));
    }
    answer
}

/// The App's private key, as GitHub gives it; also with `\n` for its line ends, as some keep it in one line.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps>
fn read_key(pem: &str) -> Result<EncodingKey, String> {
    let pem = pem.replace("\\n", "\n");
    EncodingKey::from_rsa_pem(pem.trim().as_bytes())
        .map_err(|_| "the GitHub App's key is no RSA private key in PEM".to_owned())
}

/// Whether a text is a private key as GitHub gives one to an App; else what is wrong with it.
pub fn check_app_key(pem: &str) -> Result<(), String> {
    read_key(pem).map(drop)
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
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
    /// The App's own token, for questions about itself. It begins a minute ago, for clocks that differ.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
    pub(super) fn own_token(&self) -> Result<Secret, Failure> {
        let now = self.clock.now().timestamp();
        let claims = Claims { iat: now - 60, exp: now + 9 * 60, iss: self.id.to_string() };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map(Secret::new)
            .map_err(|error| Failure::Told(down_until_mended(format!("the App's key cannot sign: {error}"))))
    }

    async fn bearer(&self, api: &Api, repository: &RepositoryName) -> Result<Secret, Failure> {
        let known = self.installations.lock().await.get(repository).copied();
        if let Some(installation) = known {
            match self.token_of(api, installation).await {
                // The App was taken away, and perhaps given again.
                Err(failure) if failure.refused_with(StatusCode::NOT_FOUND) => {
                    self.installations.lock().await.remove(repository);
                }
                answer => return answer,
            }
        }
        let installation = self.installation(api, repository).await?;
        self.token_of(api, installation).await
    }

    /// Which installation may speak in `repository`: asked for once by many, and remembered.
    async fn installation(&self, api: &Api, repository: &RepositoryName) -> Result<u64, Failure> {
        let mut installations = self.installations.lock().await;
        if let Some(known) = installations.get(repository) {
            return Ok(*known);
        }
        let path = format!("/repos/{repository}/installation");
        let found = match api.send(Ask::GetRenamed(&path), &self.own_token()?).await {
            Err(Failure::Refused(error)) if error.status_code == StatusCode::NOT_FOUND => {
                return Err(Failure::Told(if error.message.contains("Integration") {
                    down_until_mended(format!("there is no GitHub App with the id {}", self.id))
                } else {
                    never(GiveUp::NotInstalled, format!("the GitHub App is not installed in {repository}"))
                }));
            }
            answer => answer?.read::<Installation>()?,
        };
        if installations.len() >= REMEMBERED {
            installations.clear();
        }
        installations.insert(repository.clone(), found.id);
        Ok(found.id)
    }

    /// The token of an installation, asked for once by many, and kept until shortly before it expires.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
    pub(super) async fn token_of(&self, api: &Api, installation: u64) -> Result<Secret, Failure> {
        let place = Arc::clone(self.grants.lock().await.entry(installation).or_default());
        let mut place = place.lock().await;
        if let Some(grant) = place.as_ref()
            && grant.until - self.clock.now() > SHORTLY
        {
            return Ok(grant.token.clone());
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let answer = api.send(Ask::Post(&path, &serde_json::json!({})), &self.own_token()?).await?;
        let granted: Granted = answer.read()?;
        let token = Secret::new(granted.token);
        *place = Some(Grant { token: token.clone(), until: granted.expires_at });
        Ok(token)
    }

    async fn drop_grant(&self, repository: &RepositoryName, refused: &Secret) {
        let Some(installation) = self.installations.lock().await.get(repository).copied() else {
            return;
        };
        let place = self.grants.lock().await.get(&installation).cloned();
        if let Some(place) = place {
            let mut place = place.lock().await;
            // Another may have been had meanwhile.
            if place.as_ref().is_some_and(|grant| grant.token == *refused) {
                *place = None;
            }
        }
    }
}
