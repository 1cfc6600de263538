//! A GitLab project's webhooks, through its API.
//! <https://docs.gitlab.com/api/project_webhooks/>

use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::super::api::{Answer, Api, ApiError};
use super::super::signature;
use super::super::webhooks::{self, Receipt, Set, Setup, Tested, Webhook, Webhooks, is_at};
use crate::settings::{Secret, SecretSetting};

pub(in crate::hosts) const SETUP: Setup = Setup {
    title: "GitLab",
    token: SecretSetting {
        variable: "PLAUDIT_GITLAB_TOKEN",
        example: "PLAUDIT_GITLAB_TOKEN_FILE=/run/secrets/gitlab-token",
    },
    permission: "a personal or project access token with the scope api, of a Maintainer",
    secret_of: signature::standard_token,
    open: |api, name| Ok(Box::new(Hooks::of(api, name)?)),
};

/// Deliveries that GitLab can send as a test and that count nothing, the first that the project has data for.
const TESTS: [&str; 2] = ["tag_push_events", "resource_access_token_events"];

pub(super) struct Hooks {
    api: Api,
    name: String,
    path: String,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's own fields")]
pub(super) struct Hook {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    push_events: bool,
    #[serde(default)]
    issues_events: bool,
    #[serde(default)]
    confidential_issues_events: bool,
    #[serde(default)]
    merge_requests_events: bool,
    #[serde(default)]
    enable_ssl_verification: bool,
    push_events_branch_filter: Option<String>,
    custom_webhook_template: Option<String>,
    alert_status: Option<String>,
    disabled_until: Option<String>,
    /// Missing before GitLab 19, which knows no signing tokens.
    #[serde(default)]
    signing_token_present: bool,
}

impl Hooks {
    pub(super) fn of(api: Api, name: &str) -> Result<Self, String> {
        let is_id = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = name.split('/').collect();
        let sound = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains(char::is_control);
        if !is_id && (parts.len() < 2 || !parts.iter().all(sound) || name.contains("://")) {
            return Err(format!(
                "{name:?} is no project: give its path or its number, for example group/project"
            ));
        }
        Ok(Self::below("projects", api, name))
    }

    /// The webhooks of a group.
    pub(super) fn of_group(api: Api, name: &str) -> Result<Self, String> {
        let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        if name.split('/').all(sound) && !name.contains("://") {
            Ok(Self::below("groups", api, name))
        } else {
            Err(format!("{name:?} is neither a project nor a group, for example group/project"))
        }
    }

    fn below(what: &str, api: Api, name: &str) -> Self {
        // https://docs.gitlab.com/api/rest/#namespaced-paths
        let segment = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        Self { api, name: name.to_owned(), path: format!("/{what}/{segment}/hooks") }
    }

    /// All webhooks, whatever they are for.
    pub(super) async fn all(&self) -> Result<Vec<Hook>, ApiError> {
        webhooks::all(&self.api, &self.path, |answer| self.explain(answer)).await
    }

    /// Sends a request, whatever its answer says.
    pub(super) async fn send(&self, method: Method, path: &str) -> Result<Answer, ApiError> {
        self.api.send(method, &format!("{}{path}", self.path), None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ApiError> {
        let answer = self.api.send(method, &format!("{}{path}", self.path), body).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(ApiError::Lasting(self.explain(&answer))) }
    }

    /// Why GitLab refuses, and what to do.
    pub(super) fn explain(&self, answer: &Answer) -> String {
        let (name, text) = (&self.name, self.api.text_of(answer));
        match answer.status {
            StatusCode::UNAUTHORIZED => format!(
                "GitLab answers 401 ({text}): the token is wrong or expired; set PLAUDIT_GITLAB_TOKEN to another"
            ),
            // A token that is too narrow: `insufficient_scope`, or which permissions a fine-grained one lacks.
            StatusCode::FORBIDDEN if text.contains("insufficient") => {
                format!("the token lacks the scope api for {name} ({text})")
            }
            StatusCode::FORBIDDEN => {
                format!("the token's account must be a Maintainer of {name}, and its scope api ({text})")
            }
            StatusCode::NOT_FOUND => {
                format!(
                    "GitLab knows no {name} that this token can see: check the path, and whose token it is ({text})"
                )
            }
            status => format!("GitLab answers {}: {text}", status.as_u16()),
        }
    }

    /// Creates or changes the webhook with this secret as `field`.
    async fn put(&self, url: &Url, id: Option<u64>, field: &str, secret: &Secret) -> Result<Hook, ApiError> {
        let hook = json!({
            "url": url, "push_events": true, "issues_events": true, "confidential_issues_events": true,
            "merge_requests_events": true, "enable_ssl_verification": true, "push_events_branch_filter": "",
            "custom_webhook_template": "", field: secret.expose(),
        });
        let answer = match id {
            Some(id) => self.ask(Method::PUT, &format!("/{id}"), Some(&hook)).await?,
            None => self.ask(Method::POST, "", Some(&hook)).await?,
        };
        self.api.read(&answer)
    }
}

impl Hook {
    /// Why GitLab sends nothing, where it has turned the webhook off after failures.
    /// <https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks>
    pub(super) fn off(&self) -> Option<String> {
        let status = self.alert_status.as_deref().filter(|status| *status != "executable")?;
        Some(match (status, self.disabled_until.as_deref()) {
            ("temporarily_disabled", Some(until)) => {
                format!("GitLab has disabled it until {until}, because deliveries failed")
            }
            _ => "GitLab has disabled it, because deliveries failed again and again".to_owned(),
        })
    }

    fn wrong(&self) -> Vec<String> {
        let filled = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let triggers = [
            ("push", self.push_events),
            ("issues", self.issues_events),
            ("confidential issues", self.confidential_issues_events),
            ("merge requests", self.merge_requests_events),
        ];
        let lacking: Vec<_> = triggers.iter().filter(|(_, on)| !on).map(|(name, _)| *name).collect();
        let mut wrong = Vec::new();
        if !lacking.is_empty() {
            wrong.push(format!("the events {} were missing", lacking.join(", ")));
        }
        if !self.enable_ssl_verification {
            wrong.push("certificates were not verified".to_owned());
        }
        if filled(&self.push_events_branch_filter) {
            wrong.push("it sent pushes to some branches only".to_owned());
        }
        if filled(&self.custom_webhook_template) {
            wrong.push("it sent a payload of its own".to_owned());
        }
        if self.alert_status.as_deref().is_some_and(|status| status != "executable") {
            wrong.push("GitLab had disabled it after failures".to_owned());
        }
        wrong
    }
}

#[async_trait]
impl Webhooks for Hooks {
    async fn find(&self, url: &Url) -> Result<Vec<Webhook>, ApiError> {
        let found = self.all().await?.into_iter().filter(|hook| is_at(url, &hook.url));
        Ok(found.map(|hook| Webhook { id: hook.id, wrong: hook.wrong(), events: Vec::new() }).collect())
    }

    async fn set(&self, url: &Url, found: Option<&Webhook>, secret: &Secret) -> Result<Set, ApiError> {
        let created = found.is_none();
        let id = found.map(|found| found.id);
        let plain = "PLAUDIT_GITLAB_SECRET_FILE";
        if signature::standard_key(secret.expose()).is_none() {
            let hook = self.put(url, id, "token", secret).await?;
            return Ok(Set { id: hook.id, created, variable: plain });
        }
        let hook = self.put(url, id, "signing_token", secret).await?;
        if hook.signing_token_present {
            return Ok(Set { id: hook.id, created, variable: "PLAUDIT_GITLAB_SIGNING_TOKEN_FILE" });
        }
        // Before GitLab 19 the field is passed over silently.
        let hook = self.put(url, Some(hook.id), "token", secret).await?;
        Ok(Set { id: hook.id, created, variable: plain })
    }

    /// GitLab answers when the receiver has: with 201 if that was a success, and else with 422 and the receiver's
    /// answer as its message, or why none came.
    async fn test(&self, set: &Set, _patience: Duration) -> Result<Tested, ApiError> {
        let mut why = String::new();
        for trigger in TESTS {
            let path = format!("{}/{}/test/{trigger}", self.path, set.id);
            let answer = self.api.send(Method::POST, &path, None).await?;
            match answer.status {
                status if status.is_success() => {
                    return Ok(Tested::Answered(Receipt {
                        status: Some(200),
                        words: String::new(),
                        body: None,
                    }));
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    let message = answer.message();
                    // "Ensure the project has at least one commit."
                    if message.starts_with("Ensure ") {
                        why = self.api.shown(&message);
                        continue;
                    }
                    let status = serde_json::from_str::<Value>(&message).ok();
                    let status =
                        status.and_then(|problem| u16::try_from(problem.get("status")?.as_u64()?).ok());
                    let words = self.api.shown(&message);
                    return Ok(Tested::Answered(Receipt { status, words, body: Some(message) }));
                }
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
                    why = format!("this GitLab sends no such test delivery ({})", self.api.text_of(&answer));
                }
                _ => return Err(ApiError::Lasting(self.explain(&answer))),
            }
        }
        Ok(Tested::Untestable(why))
    }

    fn page(&self) -> String {
        format!("{} → Settings → Webhooks", self.name)
    }
}
