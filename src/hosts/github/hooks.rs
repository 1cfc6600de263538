//! GitHub's webhooks, through its API.
//! <https://docs.github.com/en/rest/repos/webhooks> and <https://docs.github.com/en/rest/orgs/webhooks>

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

use super::super::api::{Answer, Api, ApiError};
use super::super::webhooks::{self, Receipt, Set, Setup, Tested, Webhook, Webhooks, is_at};
use crate::runtime::Backoff;
use crate::settings::{Secret, SecretSetting};

pub(in crate::hosts) const SETUP: Setup = Setup {
    title: "GitHub",
    token: SecretSetting {
        variable: "PLAUDIT_GITHUB_TOKEN",
        example: "PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token",
    },
    permission: "a classic token with the scope admin:repo_hook (admin:org_hook for an organisation), or a \
                 fine-grained one with Webhooks: read and write",
    secret_of: |bytes| hex::encode(bytes),
    open: |api, name| Ok(Box::new(Hooks::of(api, name)?)),
};

/// What plaudit reads. A webhook may send more, which is ignored.
const EVENTS: [&str; 4] = ["push", "pull_request", "issues", "repository"];
/// How long to wait before the deliveries are asked for again.
const BETWEEN_LOOKS: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// The webhooks of a repository, an organisation or an App.
pub(super) struct Hooks {
    pub(super) api: Api,
    name: String,
    path: String,
    page: String,
    scope: &'static str,
}

#[derive(Deserialize)]
pub(super) struct Hook {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) active: bool,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    url: Option<String>,
    content_type: Option<String>,
    /// `"0"` or `0`.
    insecure_ssl: Option<Value>,
}

#[derive(Deserialize)]
struct Delivery {
    id: u64,
    event: String,
    #[serde(default)]
    status: String,
    status_code: Option<u16>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    payload: Option<String>,
}

impl Hooks {
    pub(super) fn of(api: Api, name: &str) -> Result<Self, String> {
        let parts: Vec<&str> = name.split('/').collect();
        let sound = |part: &&str| {
            !matches!(*part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let (path, page, scope) = match parts.as_slice() {
            [owner, repository] if parts.iter().all(sound) => (
                format!("/repos/{owner}/{repository}/hooks"),
                format!("{owner}/{repository} → Settings → Webhooks"),
                "admin:repo_hook",
            ),
            [owner] if sound(owner) => (
                format!("/orgs/{owner}/hooks"),
                format!("the organisation {owner} → Settings → Webhooks"),
                "admin:org_hook",
            ),
            _ => {
                return Err(format!(
                    "{name:?} is neither OWNER/REPO nor an organisation, for example octocat/hello"
                ));
            }
        };
        Ok(Self { api, name: name.to_owned(), path, page, scope })
    }

    /// The one webhook of an App, whose path has no number.
    pub(super) fn of_app(api: Api, name: &str) -> Self {
        let page = format!("{name} → Settings → Developer settings → GitHub Apps → Webhook");
        Self { api, name: name.to_owned(), path: "/app/hook".to_owned(), page, scope: "its own key" }
    }

    /// All webhooks, whatever they are for.
    pub(super) async fn all(&self) -> Result<Vec<Hook>, ApiError> {
        webhooks::all(&self.api, &self.path, |answer| self.explain(answer)).await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        let answer = self.send(method, path, body).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(ApiError::Lasting(self.explain(&answer))) }
    }

    /// Sends a request, whatever its answer says.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        self.api.send(method, &format!("{}{path}", self.path), body).await
    }

    /// Why GitHub refuses, and what to do.
    pub(super) fn explain(&self, answer: &Answer) -> String {
        let (name, status, text) = (&self.name, answer.status, self.api.text_of(answer));
        let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        if status == StatusCode::UNAUTHORIZED {
            return format!(
                "GitHub answers 401 ({text}): the token is wrong or expired; set PLAUDIT_GITHUB_TOKEN to another"
            );
        }
        if refused && answer.header("x-github-sso").is_some() {
            return format!(
                "{name} uses single sign-on: authorise the token for it in the account's settings ({text})"
            );
        }
        // GitHub sends a classic token's scopes with every answer, and answers 404 where one is missing.
        // https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
        if refused && let Some(scopes) = self.missing_scope(answer) {
            return format!("the token's scopes are [{scopes}]; it lacks {}", self.scope);
        }
        // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
        if status == StatusCode::FORBIDDEN && text.to_ascii_lowercase().contains("resource not accessible") {
            let missing =
                answer.header("x-accepted-github-permissions").unwrap_or("Webhooks: read and write");
            return format!(
                "the token lacks {missing} for {name}: give it Webhooks, read and write ({text})"
            );
        }
        if status == StatusCode::NOT_FOUND {
            return format!(
                "GitHub knows no {name} that this token can see, or its account does not administer it: check the \
                 name, and that the token may use it with Webhooks, read and write"
            );
        }
        format!("GitHub answers {}: {text}", status.as_u16())
    }

    /// The scopes of a classic token, if none of them is one of those that GitHub accepts here.
    pub(super) fn missing_scope<'a>(&self, answer: &'a Answer) -> Option<&'a str> {
        // Of a fine-grained token the header is missing; of a token without scopes it is empty.
        let scopes = answer.header_or_empty("x-oauth-scopes")?;
        let accepted = answer.header("x-accepted-oauth-scopes").unwrap_or(self.scope);
        let list = |text: &str| text.split(',').map(|scope| scope.trim().to_owned()).collect::<HashSet<_>>();
        list(scopes).is_disjoint(&list(accepted)).then_some(scopes)
    }

    /// The newest deliveries of pings.
    async fn pings(&self, id: u64) -> Result<Vec<Delivery>, ApiError> {
        let answer = self.ask(Method::GET, &format!("/{id}/deliveries?per_page=30"), None).await?;
        let all: Vec<Delivery> = self.api.read(&answer)?;
        Ok(all.into_iter().filter(|delivery| delivery.event == "ping").collect())
    }

    /// What a delivery was answered with. Its list has no bodies.
    async fn receipt(&self, hook: u64, delivery: &Delivery) -> Receipt {
        let path = format!("/{hook}/deliveries/{}", delivery.id);
        let body = match self.ask(Method::GET, &path, None).await {
            Ok(answer) => self.api.read::<Delivery>(&answer).ok().and_then(|whole| whole.response?.payload),
            // The status alone decides enough.
            Err(_) => None,
        };
        let status = delivery.status_code.filter(|status| *status != 0);
        Receipt { status, words: self.api.shown(&delivery.status), body }
    }
}

impl Hook {
    pub(super) fn url(&self) -> &str {
        self.config.url.as_deref().unwrap_or_default()
    }

    fn wrong(&self) -> Vec<String> {
        let Config { content_type, insecure_ssl, .. } = &self.config;
        let lacking: Vec<_> = EVENTS.into_iter().filter(|event| !self.sends(event)).collect();
        let mut wrong = Vec::new();
        if !lacking.is_empty() {
            wrong.push(format!("the events {} were missing", lacking.join(", ")));
        }
        if content_type.as_deref() != Some("json") {
            wrong.push(format!("the content type was {}", content_type.as_deref().unwrap_or("form")));
        }
        if !insecure_ssl.as_ref().is_none_or(|value| *value == json!("0") || *value == json!(0)) {
            wrong.push("certificates were not verified".to_owned());
        }
        if !self.active {
            wrong.push("it was not active".to_owned());
        }
        wrong
    }

    fn sends(&self, event: &str) -> bool {
        self.events.iter().any(|sent| sent == event || sent == "*")
    }
}

#[async_trait]
impl Webhooks for Hooks {
    async fn find(&self, url: &Url) -> Result<Vec<Webhook>, ApiError> {
        let here = |hook: &Hook| is_at(url, hook.url());
        let found = self.all().await?.into_iter().filter(here);
        Ok(found.map(|hook| Webhook { id: hook.id, wrong: hook.wrong(), events: hook.events }).collect())
    }

    async fn set(&self, url: &Url, found: Option<&Webhook>, secret: &Secret) -> Result<Set, ApiError> {
        let mut events: Vec<&str> = found.iter().flat_map(|hook| &hook.events).map(String::as_str).collect();
        if !events.contains(&"*") {
            let lacking: Vec<_> = EVENTS.into_iter().filter(|event| !events.contains(event)).collect();
            events.extend(lacking);
        }
        let config =
            json!({"url": url, "content_type": "json", "insecure_ssl": "0", "secret": secret.expose()});
        let answer = if let Some(found) = found {
            let hook = json!({"active": true, "events": events, "config": config});
            self.ask(Method::PATCH, &format!("/{}", found.id), Some(&hook)).await?
        } else {
            let hook = json!({"name": "web", "active": true, "events": events, "config": config});
            self.ask(Method::POST, "", Some(&hook)).await?
        };
        let Hook { id, .. } = self.api.read(&answer)?;
        Ok(Set { id, created: found.is_none(), variable: "PLAUDIT_GITHUB_SECRET_FILE" })
    }

    async fn test(&self, set: &Set, patience: Duration) -> Result<Tested, ApiError> {
        let until = Instant::now() + patience;
        let mut before = HashSet::new();
        // GitHub sends a ping by itself when a webhook is created, and at no other time.
        if !set.created {
            before.extend(self.pings(set.id).await?.iter().map(|ping| ping.id));
            self.ask(Method::POST, &format!("/{}/pings", set.id), None).await?;
        }
        for look in 0.. {
            let pings = match self.pings(set.id).await {
                Err(ApiError::Passing(_)) => Vec::new(),
                pings => pings?,
            };
            if let Some(ping) = pings.iter().find(|ping| !before.contains(&ping.id)) {
                return Ok(Tested::Answered(self.receipt(set.id, ping).await));
            }
            let pause = BETWEEN_LOOKS.after(look);
            if Instant::now() + pause > until {
                break;
            }
            sleep(pause).await;
        }
        Ok(Tested::Late)
    }

    fn page(&self) -> String {
        self.page.clone()
    }
}
