//! Describes the credential for `plaudit check`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::failure::Failure;
use super::Github;
use super::api::{Answer, Ask};
use super::credential::{Account, App, Credential, get_account};
use super::refusal::may_comment;
use crate::domain::GiveUp;
use crate::settings::Secret;

/// How many installations are described.
const INSTALLATIONS: usize = 10;

impl Github {
    /// Whose credential it is, what it may do, and what is left of its rate limit, a line each.
    ///
    /// Fails if plaudit could not comment at all.
    pub(super) async fn describe(&self) -> Result<Vec<String>, Failure> {
        match &self.credential {
            Credential::Token { token, .. } => self.describe_token(token).await,
            Credential::App(app) => self.describe_app(app).await,
        }
    }

    async fn describe_token(&self, token: &Secret) -> Result<Vec<String>, Failure> {
        let answer = get_account(&self.api, token).await?;
        let account: Account = answer.read()?;
        let login = account.login;
        let mut lines = vec![format!("comments are written by {login}, by a token")];
        match answer.header("x-oauth-scopes") {
            Some(scopes) if may_comment(scopes) => lines.push(format!("the token's scopes are [{scopes}]")),
            Some(scopes) => {
                let why = format!("{login}'s token has the scopes [{scopes}]; it lacks public_repo");
                return Err(Failure::never(GiveUp::MissingPermission, why));
            }
            None => lines.push(
                "GitHub does not show what a fine-grained token may do: it needs Issues and Pull requests, \
                 read and write"
                    .to_owned(),
            ),
        }
        if let Some(until) = answer.header("github-authentication-token-expiration") {
            lines.push(format!("the token expires on {until}"));
        }
        lines.push(self.rate(token).await?);
        Ok(lines)
    }

    async fn describe_app(&self, app: &App) -> Result<Vec<String>, Failure> {
        let own = app.own_token()?;
        let about: AboutApp = self.api.send(Ask::Get("/app"), &own).await?.read()?;
        let (slug, id) = (&about.slug, app.id);
        let mut lines = vec![format!("comments are written by {slug}[bot], the GitHub App {id}")];
        lines.push(about.permissions.of(slug)?);
        let path = "/app/installations?per_page=100";
        let answer: Answer = self.api.send(Ask::Get(path), &own).await?;
        let installations: Vec<AboutInstallation> = answer.read()?;
        if installations.is_empty() {
            let why = format!("the App {slug} is installed nowhere");
            return Err(Failure::never(GiveUp::NotInstalled, why));
        }
        for installation in installations.iter().take(INSTALLATIONS) {
            let account = installation.account.as_ref().map_or("a deleted account", |a| a.login.as_str());
            if installation.suspended_at.is_some() {
                lines.push(format!("at {account} the installation is suspended"));
                continue;
            }
            let may = installation.permissions.of(slug)?;
            let token = app.token_of(&self.api, installation.id).await?;
            lines.push(format!("installed at {account}: {may}; {}", self.rate(&token).await?));
        }
        if installations.len() > INSTALLATIONS {
            lines.push(format!("and at {} more", installations.len() - INSTALLATIONS));
        }
        Ok(lines)
    }

    /// What is left of the rate limit. This request does not count against it:
    /// <https://docs.github.com/en/rest/rate-limit/rate-limit>.
    async fn rate(&self, token: &Secret) -> Result<String, Failure> {
        match self.api.send(Ask::Get("/rate_limit"), token).await {
            // Enterprise Server answers 404 unless its operators turn rate limits on.
            Err(failure) if failure.has_status(http::StatusCode::NOT_FOUND) => {
                Ok("this server has no rate limit".to_owned())
            }
            answer => {
                let rate = answer?.read::<Rates>()?.resources.core;
                let reset = chrono::DateTime::from_timestamp(rate.reset, 0);
                let until =
                    reset.map_or_else(|| "the next hour".to_owned(), |at| at.format("%H:%M UTC").to_string());
                let (left, of) = (rate.remaining, rate.limit);
                Ok(format!("{left} of {of} requests are left until {until}"))
            }
        }
    }
}

#[derive(Deserialize)]
struct AboutApp {
    slug: String,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Deserialize)]
struct AboutInstallation {
    id: u64,
    account: Option<Account>,
    #[serde(default)]
    permissions: Permissions,
    suspended_at: Option<String>,
}

/// An App's permissions: `read` or `write`.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Permissions(BTreeMap<String, String>);

impl Permissions {
    /// Which of issues and pull requests the App `slug` may comment on; fails if neither.
    fn of(&self, slug: &str) -> Result<String, Failure> {
        let may = |what| self.0.get(what).is_some_and(|how| how == "write");
        match (may("issues"), may("pull_requests")) {
            (true, true) => Ok("may comment on issues and pull requests".to_owned()),
            (true, false) => Ok("may comment on issues, and lacks pull_requests=write".to_owned()),
            (false, true) => Ok("may comment on pull requests, and lacks issues=write".to_owned()),
            (false, false) => {
                let why = format!("the App {slug} lacks issues=write and pull_requests=write");
                Err(Failure::never(GiveUp::MissingPermission, why))
            }
        }
    }
}

#[derive(Deserialize)]
struct Rates {
    resources: Resources,
}

#[derive(Deserialize)]
struct Resources {
    core: Rate,
}

#[derive(Deserialize)]
struct Rate {
    limit: u64,
    remaining: u64,
    reset: i64,
}
