//! The webhooks of a repository, organisation or project, set up through the host's API.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde::de::DeserializeOwned;
use url::Url;

use super::api::{Answer, Api, ApiError};
use crate::settings::{Secret, SecretSetting};

/// How many webhooks a page has, at most, and how many pages are read. GitHub takes 20 webhooks for one event, GitLab
/// 100 for a project.
const PAGE: usize = 100;
const PAGES: usize = 5;

/// How a host's webhooks are set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The host's name, for people.
    pub title: &'static str,
    /// The token for its API.
    pub token: SecretSetting,
    /// What that token must be allowed to do.
    pub permission: &'static str,
    /// A secret for its deliveries, made of random bytes.
    pub secret_of: fn([u8; 32]) -> String,
    /// The webhooks of what a user names, or what is wrong with that name.
    pub open: Open,
}

type Open = fn(Api, &str) -> Result<Box<dyn Webhooks>, String>;

/// The webhooks of one repository, organisation or project.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Those that post to `url`.
    async fn find(&self, url: &Url) -> Result<Vec<Webhook>, ApiError>;

    /// Creates a webhook that posts what counts to `url` with this secret, or changes `found` into one.
    async fn set(&self, url: &Url, found: Option<&Webhook>, secret: &Secret) -> Result<Set, ApiError>;

    /// Has the host send a delivery that never counts, and waits for at most `patience` for what it was answered.
    async fn test(&self, set: &Set, patience: Duration) -> Result<Tested, ApiError>;

    /// Where a person finds them.
    fn page(&self) -> String;
}

/// A webhook that exists.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: u64,
    /// What is wrong with it, besides its secret, which no host shows.
    pub wrong: Vec<String>,
    /// The events that it sends, where an update would replace them.
    pub(super) events: Vec<String>,
}

/// A webhook that is set up.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    pub id: u64,
    pub created: bool,
    /// The variable with which plaudit reads the file of its secret.
    pub variable: &'static str,
}

/// What became of a test delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    Answered(Receipt),
    /// The host does not show it in time.
    Late,
    /// The host cannot send one, and why.
    Untestable(String),
}

/// What a host says about one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// The host's own words for the outcome.
    pub words: String,
    /// The body of the answer, as far as the host keeps it.
    pub body: Option<String>,
}

/// All webhooks in the list at `path`, whatever they are for.
pub(super) async fn all<Hook: DeserializeOwned>(
    api: &Api,
    path: &str,
    explain: impl Fn(&Answer) -> String,
) -> Result<Vec<Hook>, ApiError> {
    let mut all = Vec::new();
    for page in 1..=PAGES {
        let answer = api.send(Method::GET, &format!("{path}?per_page={PAGE}&page={page}"), None).await?;
        if !answer.status.is_success() {
            return Err(ApiError::Lasting(explain(&answer)));
        }
        let mut hooks: Vec<Hook> = api.read(&answer)?;
        let whole = hooks.len() == PAGE;
        all.append(&mut hooks);
        if !whole {
            break;
        }
    }
    Ok(all)
}

/// Whether two URLs are one address: a slash at the end makes no difference to plaudit.
pub(super) fn is_at(url: &Url, text: &str) -> bool {
    let address = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
    Url::parse(text).is_ok_and(|other| address(&other) == address(url))
}
