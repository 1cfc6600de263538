//! What GitHub could not deliver, through its API.
//! <https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook>,
//! <https://docs.github.com/en/rest/orgs/webhooks#list-deliveries-for-an-organization-webhook> and
//! <https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::super::api::{self, Answer, Api, ApiError};
use super::super::deliveries::{
    Address, DeliveryPage, Hook, Listed, Redeliveries, Redelivery, Repair, Wanted,
};
use super::super::origin::moment;
use super::super::patient::Renewal as _;
use super::app::{App, Caller, Installed};
use super::hooks::Hooks;
use super::{NAME, SETUP};
use crate::domain::Kind;
use crate::hosts::{PullRequests, Rules};
use crate::settings::{Secret, Setting, Settings};

pub(in crate::hosts) const REPAIR: Repair = Repair {
    words: &[NAME, APP],
    example: "github:OWNER/REPO",
    credential: "PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID and PLAUDIT_GITHUB_APP_KEY",
    has_credential: |settings| Caller::read(settings).is_ok(),
    open,
};

/// The word for the webhook of an App.
const APP: &str = "github-app";
const NO_APP: &str =
    "an App's webhook needs PLAUDIT_GITHUB_APP_ID with PLAUDIT_GITHUB_APP_KEY, and no PLAUDIT_GITHUB_TOKEN";
/// How many deliveries a page has, at most.
const PAGE: usize = 100;
/// For how long GitHub lists a delivery.
/// <https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/viewing-webhook-deliveries>
const KEPT: Duration = Duration::from_hours(72);

/// A flag of the section of comments too, which describes it.
const API: Setting = Setting {
    variable: "PLAUDIT_GITHUB_API",
    flag: "github-api",
    value: "URL",
    example: "https://api.github.com",
    help: "",
};

/// The webhooks of one repository or organisation, or the one of an App.
struct Deliveries {
    api: Api,
    of: Of,
    name: String,
    address: Address,
    rules: Rules,
}

/// What the webhooks belong to, and who asks about them.
enum Of {
    App(App),
    /// The API has a token for good.
    Owner,
    /// The same, as an App that is installed there.
    InstalledAt(Installed),
}

#[derive(Deserialize)]
struct Item {
    id: u64,
    guid: String,
    delivered_at: Option<String>,
    #[serde(default)]
    redelivery: bool,
    #[serde(default)]
    status: String,
    /// An integer; 0 where no answer came.
    status_code: Option<u16>,
    event: String,
    action: Option<String>,
}

/// <https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app>
#[derive(Deserialize)]
struct AppConfig {
    url: Option<String>,
}

fn open(settings: &mut Settings<'_>, wanted: Wanted<'_>) -> Result<Arc<dyn Redeliveries>, String> {
    let base = settings.value(&API, "https://api.github.com".to_owned(), api::base);
    let nothing = Secret::new("");
    let api = Api::new(SETUP.title, &base, &nothing, &nothing).map_err(|error| error.to_string())?;
    let caller = Caller::read(settings)?;
    let of_app = wanted.word == APP;
    if of_app && !wanted.name.is_empty() {
        return Err(format!("{APP} names the App's one webhook, so nothing follows it"));
    }
    if !of_app {
        // Checks the name.
        Hooks::of(api.clone(), wanted.name)?;
    }
    let of = match caller {
        Caller::Token(_) if of_app => return Err(NO_APP.to_owned()),
        Caller::Token(token) => {
            api.set_token(&token);
            Of::Owner
        }
        Caller::App(app) if of_app => Of::App(app),
        Caller::App(app) => {
            let owner = if wanted.name.contains('/') { "repos" } else { "orgs" };
            Of::InstalledAt(app.installed(vec![format!("/{owner}/{}", wanted.name)]))
        }
    };
    let name = if of_app { APP } else { wanted.name }.to_owned();
    let (address, rules) = (wanted.address, wanted.rules.clone());
    Ok(Arc::new(Deliveries { api, of, name, address, rules }))
}

impl Deliveries {
    /// The webhooks, with a token that is valid now.
    async fn open(&self) -> Result<Hooks, ApiError> {
        match &self.of {
            Of::App(app) => return Ok(Hooks::of_app(app.itself(&self.api)?, &self.name)),
            Of::Owner => {}
            Of::InstalledAt(installed) => self.api.set_token(&installed.token(&self.api).await?),
        }
        Hooks::of(self.api.clone(), &self.name).map_err(ApiError::Lasting)
    }

    fn is_of_app(&self) -> bool {
        matches!(self.of, Of::App(_))
    }

    /// The path of one webhook, behind that of all.
    fn path(&self, hook: &Hook) -> String {
        if self.is_of_app() { String::new() } else { format!("/{}", hook.id) }
    }

    /// Whether such a delivery can change the ledger. What the list does not say is taken to count.
    fn counts(&self, event: &str, action: Option<&str>) -> bool {
        let rules = &self.rules;
        let is_one_of = |counting: &[&str]| action.is_none_or(|action| counting.contains(&action));
        let labels = !rules.reject_labels.is_empty() && is_one_of(&["labeled", "unlabeled"]);
        let opened =
            rules.pull_requests == PullRequests::Opened && is_one_of(&["opened", "ready_for_review"]);
        match event {
            // A push can land pull requests.
            "push" => rules.counts(&Kind::PUSH) || rules.counts(&Kind::PULL_REQUEST),
            "pull_request" => {
                rules.counts(&Kind::PULL_REQUEST) && (opened || labels || is_one_of(&["closed"]))
            }
            "issues" => rules.counts(&Kind::ISSUE) && (labels || is_one_of(&["opened", "deleted"])),
            "repository" => is_one_of(&["privatized", "publicized"]),
            _ => false,
        }
    }

    async fn find_hooks(&self) -> Result<Vec<Hook>, ApiError> {
        let hooks = self.open().await?;
        if self.is_of_app() {
            let answer = hooks.ask(Method::GET, "/config", None).await?;
            let AppConfig { url } = hooks.api.read(&answer)?;
            let own = self.address.is_own(NAME, &url.unwrap_or_default());
            return Ok(own.then_some(Hook { id: 0, off: None }).into_iter().collect());
        }
        let all = hooks.all().await?.into_iter();
        let own = all.filter(|hook| self.address.is_own(NAME, hook.url()));
        let off = |active: bool| (!active).then(|| "it is not active".to_owned());
        Ok(own.map(|hook| Hook { id: hook.id, off: off(hook.active) }).collect())
    }

    fn listed(&self, item: Item, hooks: &Hooks) -> Listed {
        Listed {
            id: item.id,
            counts: self.counts(&item.event, item.action.as_deref()),
            guid: item.guid,
            at: item.delivered_at.as_deref().and_then(moment),
            redelivery: item.redelivery,
            succeeded: item.status_code.is_some_and(|status| (200..300).contains(&status)),
            outcome: match item.status_code {
                Some(status @ 1..) => format!("{status} {}", hooks.api.shown(&item.status)),
                _ => hooks.api.shown(&item.status),
            },
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

    fn entry(&self) -> String {
        if self.is_of_app() { APP.to_owned() } else { format!("{NAME}:{}", self.name) }
    }

    fn history(&self) -> String {
        let name = if self.is_of_app() { "OWNER[/REPO]" } else { &*self.name };
        format!("{NAME} {name}")
    }

    fn kept(&self) -> Duration {
        KEPT
    }

    async fn hooks(&self) -> Result<Vec<Hook>, ApiError> {
        let found = self.find_hooks().await;
        let (Of::InstalledAt(installed), Err(ApiError::Lasting(_))) = (&self.of, &found) else {
            return found;
        };
        // Its token may have been revoked, or lack a permission that the App was given since.
        installed.discard().await;
        self.find_hooks().await
    }

    async fn list(&self, hook: &Hook, cursor: Option<&str>) -> Result<DeliveryPage, ApiError> {
        let hooks = self.open().await?;
        let mut path = format!("{}/deliveries?per_page={PAGE}", self.path(hook));
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.extend(utf8_percent_encode(cursor, NON_ALPHANUMERIC));
        }
        let answer = hooks.ask(Method::GET, &path, None).await?;
        let items: Vec<Item> = hooks.api.read(&answer)?;
        let next = next_cursor(&answer).filter(|_| !items.is_empty());
        Ok(DeliveryPage {
            deliveries: items.into_iter().map(|item| self.listed(item, &hooks)).collect(),
            next,
        })
    }

    /// <https://docs.github.com/en/rest/repos/webhooks#redeliver-a-delivery-for-a-repository-webhook>
    async fn redeliver(&self, hook: &Hook, delivery: u64) -> Result<Redelivery, ApiError> {
        let hooks = self.open().await?;
        let path = format!("{}/deliveries/{delivery}/attempts", self.path(hook));
        let answer = hooks.send(Method::POST, &path, None).await?;
        let gone = matches!(
            answer.status,
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::GONE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        if answer.status.is_success() {
            Ok(Redelivery::Asked)
        // GitHub answers 404 too where the token's scope is missing.
        } else if gone && hooks.missing_scope(&answer).is_none() {
            Ok(Redelivery::Gone(hooks.api.text_of(&answer)))
        } else {
            Err(ApiError::Lasting(hooks.explain(&answer)))
        }
    }

    async fn enable(&self, _hook: &Hook) -> Result<Option<String>, ApiError> {
        Ok(Some(
            "GitHub turns no webhook off by itself: somebody did, or `plaudit init` turns it on".to_owned(),
        ))
    }
}

/// The cursor of the next page, out of its URL in the header `Link`, to which no request is sent.
/// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>
fn next_cursor(answer: &Answer) -> Option<String> {
    let is_next =
        |link: &&str| link.split(';').skip(1).any(|part| part.trim().replace('"', "") == "rel=next");
    let link = answer.header("link")?.split(',').find(is_next)?;
    let url = link.split(';').next()?.trim().trim_start_matches('<').trim_end_matches('>');
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}
