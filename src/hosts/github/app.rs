//! The tokens with which plaudit asks GitHub about webhooks: one that is configured, or those of a GitHub App.

use chrono::TimeDelta;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::super::api::{Api, ApiError};
use crate::domain::Moment;
use crate::runtime::Clock;
use crate::settings::{Secret, SecretSetting, Setting, Settings};

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

pub(super) struct App {
    id: u64,
    key: EncodingKey,
    clock: Clock,
    /// The token of its installation for one repository or organisation.
    installed: Mutex<Option<Granted>>,
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
        let key = settings.secret(&APP_KEY);
        let id =
            settings.value(&APP_ID, None, |text| text.parse().map(Some).map_err(|_| "not a number".into()));
        let (Some(id), Some(key)) = (id, key) else {
            return Err(format!(
                "needs {}, or {} with {}",
                TOKEN.variable, APP_ID.variable, APP_KEY.variable
            ));
        };
        let key = EncodingKey::from_rsa_pem(key.expose().replace("\\n", "\n").trim().as_bytes())
            .map_err(|_| format!("{} is no RSA private key in PEM", APP_KEY.variable))?;
        Ok(Self::App(App { id, key, clock: Clock::system(), installed: Mutex::default() }))
    }

    /// The API as the App itself; an error for a token, which no App has.
    pub(super) fn as_app(&self, api: &Api) -> Result<Api, ApiError> {
        match self {
            Self::Token(_) => Err(ApiError::Lasting(format!(
                "an App's webhook needs {} with {}, and no {}",
                APP_ID.variable, APP_KEY.variable, TOKEN.variable
            ))),
            Self::App(app) => app.itself(api),
        }
    }

    /// The API with a token for what is at `path`, such as `/repos/octocat/hello`.
    pub(super) async fn on_behalf(&self, api: &Api, path: &str) -> Result<Api, ApiError> {
        match self {
            Self::Token(token) => Ok(api.with_token(token)),
            Self::App(app) => app.installed(api, path).await,
        }
    }
}

impl App {
    /// With the App's own token. Its start is set a minute back, for clocks that differ.
    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
    fn itself(&self, api: &Api) -> Result<Api, ApiError> {
        let now = self.clock.now().timestamp();
        let claims = Claims { iat: now - 60, exp: now + 9 * 60, iss: self.id.to_string() };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| ApiError::Lasting(format!("the App's key cannot sign: {error}")))?;
        Ok(api.with_token(&Secret::new(token)))
    }

    /// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
    async fn installed(&self, api: &Api, path: &str) -> Result<Api, ApiError> {
        let mut installed = self.installed.lock().await;
        if let Some(granted) = installed.as_ref()
            && granted.expires_at - self.clock.now() > EXPIRY_MARGIN
        {
            return Ok(api.with_token(&Secret::new(&*granted.token)));
        }
        let own = self.itself(api)?;
        let found = own.send(Method::GET, &format!("{path}/installation"), None).await?;
        if !found.status.is_success() {
            return Err(ApiError::Lasting(format!(
                "the GitHub App {} is not installed for {} ({})",
                self.id,
                path.trim_start_matches("/repos/").trim_start_matches("/orgs/"),
                own.text_of(&found)
            )));
        }
        let Installation { id } = own.read(&found)?;
        let path = format!("/app/installations/{id}/access_tokens");
        let answer = own.send(Method::POST, &path, Some(&serde_json::json!({}))).await?;
        if !answer.status.is_success() {
            let why = own.text_of(&answer);
            return Err(ApiError::Lasting(format!("GitHub grants the App no token: {why}")));
        }
        let granted: Granted = own.read(&answer)?;
        let with = api.with_token(&Secret::new(&*granted.token));
        *installed = Some(granted);
        Ok(with)
    }
}
