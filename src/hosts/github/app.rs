//! The tokens with which plaudit reads history and asks about webhooks: one that is configured, or those of a GitHub App.

use async_trait::async_trait;
use chrono::TimeDelta;
use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::super::api::{Answer, Api, ApiError};
use super::super::patient::Renewal;
use crate::domain::Moment;
use crate::runtime::Clock;
use crate::settings::{AppKey, Secret, SecretSetting, Setting, Settings};

const TOKEN: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_TOKEN",
    example: "PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token",
};
const APP_KEY: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_APP_KEY",
    example: "PLAUDIT_GITHUB_APP_KEY_FILE=/run/secrets/github-app.pem",
};
/// A flag of the section of comments too, which describes it.
const APP_ID: Setting = Setting {
    variable: "PLAUDIT_GITHUB_APP_ID",
    flag: "github-app-id",
    value: "NUMBER",
    example: "12345",
    help: "",
};

/// A token that expires within this time is replaced.
const EXPIRY_MARGIN: TimeDelta = TimeDelta::minutes(2);

/// Who asks GitHub.
pub(super) enum Caller {
    Token(Secret),
    App(App),
}

/// A GitHub App, as it is configured.
pub(super) struct App {
    id: u64,
    key: AppKey,
    clock: Clock,
}

/// A GitHub App where it is installed for a repository, an organisation or an account.
pub(super) struct Installed {
    app: App,
    /// What may have the installation, such as `/repos/octocat/hello`: the first that has one.
    paths: Vec<String>,
    granted: Mutex<Option<Granted>>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Clone, Deserialize)]
struct Granted {
    token: String,
    expires_at: Moment,
}

impl Caller {
    /// Reads who asks; where nothing is configured, or something wrong, that is the error.
    pub(super) fn read(settings: &mut Settings<'_>) -> Result<Self, String> {
        if let Some(token) = settings.secret(&TOKEN) {
            return Ok(Self::Token(token));
        }
        App::read(settings)?.map(Self::App).ok_or_else(|| {
            format!("needs {}, or {} with {}", TOKEN.variable, APP_ID.variable, APP_KEY.variable)
        })
    }
}

/// The App that reads the history of `name`, an owner or a repository; `None` unless one is configured, and no token.
pub(super) fn reader(settings: &mut Settings<'_>, name: &str) -> Result<Option<Box<dyn Renewal>>, String> {
    if settings.secret(&TOKEN).is_some() {
        return Ok(None);
    }
    // An owner is an organisation or an account.
    let owners: &[&str] = if name.contains('/') { &["repos"] } else { &["orgs", "users"] };
    let paths = owners.iter().map(|owners| format!("/{owners}/{name}")).collect();
    Ok(App::read(settings)?.map(|app| -> Box<dyn Renewal> { Box::new(app.installed(paths)) }))
}

impl App {
    fn read(settings: &mut Settings<'_>) -> Result<Option<Self>, String> {
        let key = settings.secret(&APP_KEY);
        let id =
            settings.value(&APP_ID, None, |text| text.parse().map(Some).map_err(|_| "not a number".into()));
        let (Some(id), Some(key)) = (id, key) else { return Ok(None) };
        let key = AppKey::parse(key.expose()).map_err(|wrong| format!("{}: {wrong}", APP_KEY.variable))?;
        Ok(Some(Self { id, key, clock: Clock::system() }))
    }

    pub(super) fn installed(self, paths: Vec<String>) -> Installed {
        Installed { app: self, paths, granted: Mutex::default() }
    }

    /// The API with the App's own token.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
    pub(super) fn itself(&self, api: &Api) -> Result<Api, ApiError> {
        let token = self.key.token(self.id, self.clock.now()).map_err(ApiError::Lasting)?;
        Ok(api.with_token(&token))
    }
}

impl Installed {
    /// The number of the installation.
    /// <https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app>
    async fn find(&self, own: &Api) -> Result<u64, ApiError> {
        let (id, mut why) = (self.app.id, String::new());
        for path in &self.paths {
            let answer = own.send(Method::GET, &format!("{path}/installation"), None).await?;
            if answer.status.is_success() {
                let Installation { id } = own.read(&answer)?;
                return Ok(id);
            }
            why = own.text_of(&answer);
            if answer.status != StatusCode::NOT_FOUND {
                return Err(refused(id, answer.status, &why));
            }
        }
        let name = self.paths.first().map(String::as_str).unwrap_or_default();
        let name = name.trim_start_matches("/repos/").trim_start_matches("/orgs/");
        Err(ApiError::Lasting(format!("the GitHub App {id} is not installed for {name} ({why})")))
    }
}

fn refused(id: u64, status: StatusCode, why: &str) -> ApiError {
    ApiError::Lasting(if status == StatusCode::UNAUTHORIZED {
        format!(
            "GitHub answers 401 ({why}): {} is not the key of the GitHub App {id} in {}",
            APP_KEY.variable, APP_ID.variable
        )
    } else {
        format!("GitHub grants the App {id} no token: {why}")
    })
}

#[async_trait]
impl Renewal for Installed {
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
    async fn token(&self, api: &Api) -> Result<Secret, ApiError> {
        let mut granted = self.granted.lock().await;
        if let Some(Granted { token, expires_at }) = granted.as_ref()
            && *expires_at - self.app.clock.now() > EXPIRY_MARGIN
        {
            return Ok(Secret::new(&**token));
        }
        let own = self.app.itself(api)?;
        let path = format!("/app/installations/{}/access_tokens", self.find(&own).await?);
        let answer: Answer = own.send(Method::POST, &path, Some(&serde_json::json!({}))).await?;
        if !answer.status.is_success() {
            return Err(refused(self.app.id, answer.status, &own.text_of(&answer)));
        }
        let new: Granted = own.read(&answer)?;
        let token = Secret::new(&*new.token);
        *granted = Some(new);
        Ok(token)
    }

    async fn discard(&self) {
        *self.granted.lock().await = None;
    }
}
