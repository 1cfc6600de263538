//! What GitLab could not deliver, and whether it has turned a webhook off, through its API.
//! <https://docs.gitlab.com/api/project_webhooks/> and <https://docs.gitlab.com/api/group_webhooks/>

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use http::{Method, StatusCode};
use serde::Deserialize;

use super::super::api::{self, Api, ApiError};
use super::super::deliveries::{
    Address, DeliveryPage, Hook, Listed, Redeliveries, Redelivery, Repair, Wanted,
};
use super::super::webhooks::{Set, Tested, Webhooks as _};
use super::hooks::Hooks;
use super::{NAME, SETUP};
use crate::domain::Kind;
use crate::hosts::Rules;
use crate::settings::{Secret, Setting, Settings};

pub(in crate::hosts) const REPAIR: Repair = Repair {
    words: &[NAME],
    example: "gitlab:GROUP/PROJECT",
    credential: SETUP.token.variable,
    has_credential: |settings| settings.secret(&SETUP.token).is_some(),
    open,
};

/// How many deliveries a page has, at most: each comes with its payload.
const PAGE: usize = 20;
/// For how long GitLab lists a delivery.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// A flag of the section of comments, or of `plaudit init`, which describes it.
const API: Setting = Setting {
    variable: "PLAUDIT_GITLAB_API",
    flag: "gitlab-api",
    value: "URL",
    example: "https://gitlab.com/api/v4",
    help: "",
};

/// The webhooks of one project or group.
struct Deliveries {
    api: Api,
    name: String,
    /// Whether the name is that of a group: set when the webhooks are looked for.
    of_group: AtomicBool,
    address: Address,
    rules: Rules,
}

#[derive(Deserialize)]
struct Event {
    id: u64,
    #[serde(default)]
    request_headers: RequestHeaders,
    #[serde(default)]
    request_data: RequestData,
    #[serde(default)]
    response_headers: ResponseHeaders,
    /// A number as a text, or `internal error` where no answer came.
    #[serde(default)]
    response_status: String,
}

#[derive(Default, Deserialize)]
struct RequestHeaders {
    /// The same for a delivery that is sent again.
    #[serde(rename = "Idempotency-Key")]
    key: Option<String>,
    #[serde(rename = "X-Gitlab-Event", default)]
    event: String,
}

#[derive(Default, Deserialize)]
struct RequestData {
    object_attributes: Option<Attributes>,
}

#[derive(Deserialize)]
struct Attributes {
    action: Option<String>,
}

#[derive(Default, Deserialize)]
struct ResponseHeaders {
    #[serde(rename = "Date")]
    date: Option<String>,
}

#[derive(Deserialize)]
struct Resent {
    response_status: Option<u16>,
}

fn open(settings: &mut Settings<'_>, wanted: Wanted<'_>) -> Result<Arc<dyn Redeliveries>, String> {
    let base = settings.value(&API, "https://gitlab.com/api/v4".to_owned(), api::base);
    let token = settings.secret(&SETUP.token).ok_or_else(|| format!("needs {}", SETUP.token.variable))?;
    let api = Api::new(SETUP.title, &base, &token, &Secret::new("")).map_err(|error| error.to_string())?;
    let of_group = Hooks::of(api.clone(), wanted.name).is_err();
    if of_group {
        Hooks::of_group(api.clone(), wanted.name)?;
    }
    let (name, rules) = (wanted.name.to_owned(), wanted.rules.clone());
    Ok(Arc::new(Deliveries { api, name, of_group: of_group.into(), address: wanted.address, rules }))
}

impl Deliveries {
    fn open(&self) -> Result<Hooks, ApiError> {
        let of = if self.of_group.load(Ordering::Relaxed) { Hooks::of_group } else { Hooks::of };
        of(self.api.clone(), &self.name).map_err(ApiError::Lasting)
    }

    /// Whether such a delivery can change the ledger, as far as the list says.
    fn counts(&self, event: &str, action: Option<&str>) -> bool {
        let rules = &self.rules;
        let is_one_of = |counting: &[&str]| action.is_none_or(|action| counting.contains(&action));
        match event {
            // A push can land merge requests.
            "Push Hook" => rules.counts(&Kind::PUSH) || rules.counts(&Kind::PULL_REQUEST),
            "Merge Request Hook" => {
                rules.counts(&Kind::PULL_REQUEST) && is_one_of(&["open", "update", "merge"])
            }
            // A change makes what is confidential private, whatever it is.
            "Confidential Issue Hook" => true,
            "Issue Hook" | "Work Item Hook" => rules.counts(&Kind::ISSUE) && is_one_of(&["open", "update"]),
            _ => false,
        }
    }

    fn listed(&self, event: Event) -> Listed {
        let RequestHeaders { key, event: name } = event.request_headers;
        let action = event.request_data.object_attributes.and_then(|attributes| attributes.action);
        let date = event.response_headers.date;
        Listed {
            id: event.id,
            guid: key.unwrap_or_else(|| event.id.to_string()),
            at: date.and_then(|date| Some(DateTime::parse_from_rfc2822(&date).ok()?.to_utc())),
            redelivery: false,
            succeeded: event.response_status.starts_with('2'),
            outcome: self.api.shown(&event.response_status),
            counts: self.counts(&name, action.as_deref()),
        }
    }
}

#[async_trait]
impl Redeliveries for Deliveries {
    fn name(&self) -> &str {
        &self.name
    }

    fn host(&self) -> &'static str {
        NAME
    }

    fn history(&self) -> String {
        format!("{NAME} {}", self.name)
    }

    fn kept(&self) -> Duration {
        KEPT
    }

    fn lists_successes(&self) -> bool {
        false
    }

    async fn hooks(&self) -> Result<Vec<Hook>, ApiError> {
        let mut all = self.open()?.all().await;
        if matches!(&all, Err(ApiError::Lasting(_))) && !self.of_group.load(Ordering::Relaxed) {
            // A path of two parts can be that of a group in a group.
            let of_group = Hooks::of_group(self.api.clone(), &self.name).map_err(ApiError::Lasting)?;
            if let Ok(found) = of_group.all().await {
                self.of_group.store(true, Ordering::Relaxed);
                all = Ok(found);
            }
        }
        let own = all?.into_iter().filter(|hook| self.address.is_own(NAME, &hook.url));
        Ok(own.map(|hook| Hook { id: hook.id, off: hook.off() }).collect())
    }

    /// Only what failed: GitLab lists payloads, and says at once what became of a delivery that is sent again.
    async fn list(&self, hook: &Hook, cursor: Option<&str>) -> Result<DeliveryPage, ApiError> {
        let hooks = self.open()?;
        let page: u64 = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(1);
        let path =
            format!("/{}/events?status=client_failure,server_failure&per_page={PAGE}&page={page}", hook.id);
        let answer = hooks.send(Method::GET, &path).await?;
        // Before GitLab 17.3 there is no such list.
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(DeliveryPage::default());
        }
        if !answer.status.is_success() {
            return Err(ApiError::Lasting(hooks.explain(&answer)));
        }
        let events: Vec<Event> = self.api.read(&answer)?;
        let next = (events.len() == PAGE).then(|| (page + 1).to_string());
        Ok(DeliveryPage { deliveries: events.into_iter().map(|event| self.listed(event)).collect(), next })
    }

    /// GitLab answers when plaudit has.
    async fn redeliver(&self, hook: &Hook, delivery: u64) -> Result<Redelivery, ApiError> {
        let hooks = self.open()?;
        let answer = hooks.send(Method::POST, &format!("/{}/events/{delivery}/resend", hook.id)).await?;
        match answer.status {
            status if status.is_success() => {
                let Resent { response_status } = self.api.read(&answer)?;
                let delivered = response_status.is_some_and(|status| (200..300).contains(&status));
                Ok(if delivered { Redelivery::Delivered } else { Redelivery::Asked })
            }
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Redelivery::Gone(self.api.text_of(&answer)))
            }
            _ => Err(ApiError::Lasting(hooks.explain(&answer))),
        }
    }

    /// A test delivery that is answered with 2xx turns the webhook on again.
    /// <https://docs.gitlab.com/user/project/integrations/webhooks/#re-enable-disabled-webhooks>
    async fn enable(&self, hook: &Hook) -> Result<Option<String>, ApiError> {
        let set = Set { id: hook.id, created: false, variable: "" };
        match self.open()?.test(&set, Duration::ZERO).await? {
            Tested::Answered(receipt) if receipt.status.is_some_and(|status| status < 300) => Ok(None),
            Tested::Answered(receipt) => {
                let status = receipt.status.map(|status| format!("{status} ")).unwrap_or_default();
                Ok(Some(format!("its test delivery was answered with {status}{}", receipt.words)))
            }
            Tested::Late => Ok(Some("its test delivery was not answered in time".to_owned())),
            Tested::Untestable(why) => Ok(Some(format!("GitLab can send it no test delivery: {why}"))),
        }
    }
}
