//! Requests to a host's REST API: to one base URL, with bounded answers, and with no secret in any text.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::domain::Moment;
use crate::runtime::client_for;
use crate::settings::Secret;

/// How long one request may take. GitLab waits 10 s for the receiver of a test delivery before it answers.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes: a page of 100 webhooks takes less than 200 kB.
const LONGEST_ANSWER: usize = 4 << 20;
/// The longest answer that is looked through for the words of a rate limit, in bytes.
const LONGEST_ERROR: usize = 2 << 10;
/// How much of the text of an error is shown, in characters.
const LONGEST_TEXT: usize = 300;

/// Why a host's API did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It may succeed in a moment.
    #[error("{0}")]
    Passing(String),
    /// It fails until somebody changes something.
    #[error("{0}")]
    Lasting(String),
    /// A rate limit is used up.
    #[error("{0}")]
    Limited(String, Limit),
}

/// The API of one host at one base URL.
#[derive(Clone, Debug)]
pub struct Api {
    /// The host's name, for people.
    pub(super) name: &'static str,
    client: reqwest::Client,
    base: String,
    token: Arc<Mutex<Secret>>,
    /// How many requests were sent, with whichever token.
    calls: Arc<AtomicU64>,
    /// The secret of the webhook: it must never be in a message or in the log.
    hidden: Secret,
}

/// What came of a request.
pub(super) enum Sent {
    Answer(Answer),
    Limited(Limit),
}

/// An answer that is no redirect, no fault of the server, and at no limit.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Api {
    /// Opens no connection. `base` ends in no slash; `hidden` is removed from every text of the host that is shown.
    pub fn new(name: &'static str, base: &str, token: &Secret, hidden: &Secret) -> Result<Self, ApiError> {
        let broken = |error: &dyn std::fmt::Display| ApiError::Lasting(format!("{base}: {error}"));
        let url = Url::parse(base).map_err(|error| broken(&error))?;
        let client = client_for(&url)
            .user_agent(concat!("plaudit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| broken(&error))?;
        let (token, hidden) = (own(token), hidden.clone());
        Ok(Self { name, client, base: base.to_owned(), token, calls: Arc::default(), hidden })
    }

    /// The same API, asked with another token.
    pub(super) fn with_token(&self, token: &Secret) -> Self {
        Self { token: own(token), ..self.clone() }
    }

    /// Asks with another token from now on.
    pub(super) fn set_token(&self, token: &Secret) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Secret::new(token.expose().trim());
    }

    fn token(&self) -> Secret {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests were sent, failed ones too.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Sends one request. `path` begins with `/` and consists of checked parts. A rate limit is an error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        match self.try_send(method, path, body).await? {
            Sent::Answer(answer) => Ok(answer),
            Sent::Limited(limit) => {
                let text = format!("{}'s rate limit is used up; run this again {limit}", self.name);
                Err(ApiError::Limited(text, limit))
            }
        }
    }

    /// Sends one request, and leaves a rate limit to the caller.
    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Sent, ApiError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", self.token().expose())).map_err(|_| {
                ApiError::Lasting(format!("the {} token has characters that no token has", self.name))
            })?;
        authorization.set_sensitive(true);
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        request = request.header(header::AUTHORIZATION, authorization).headers(own_headers());
        if let Some(body) = body {
            request = request.json(body);
        }
        let unanswered = |error: &reqwest::Error| {
            ApiError::Passing(format!("{} does not answer: {}", self.base, innermost(error)))
        };
        let mut response = request.send().await.map_err(|error| unanswered(&error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
            if bytes.len() + chunk.len() > LONGEST_ANSWER {
                return Err(ApiError::Lasting(format!(
                    "{} answers with more than {LONGEST_ANSWER} bytes",
                    self.base
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer =
            Answer { status: response.status(), headers: response.headers().clone(), body: bytes.into() };
        if let Some(fault) = self.fault_of(&answer) {
            return Err(fault);
        }
        Ok(answer.limit().map_or(Sent::Answer(answer), Sent::Limited))
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What no caller handles by itself.
    fn fault_of(&self, answer: &Answer) -> Option<ApiError> {
        let (name, status) = (self.name, answer.status);
        if status.is_redirection() {
            return Some(ApiError::Lasting(format!(
                "{name} redirects to another address, which is not followed: it was renamed or moved; give its new name, or \
                 the URL of the API that {} redirects to",
                self.base
            )));
        }
        status.is_server_error().then(|| {
            ApiError::Passing(format!("{name} answers {}: {}", status.as_u16(), self.text_of(answer)))
        })
    }

    /// What the host says, on one line of bounded length, and without the secrets that this program sent.
    pub(super) fn text_of(&self, answer: &Answer) -> String {
        self.shown(&answer.message())
    }

    /// A text of the host, as it may be shown.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in [&self.token(), &self.hidden] {
            if !secret.expose().is_empty() {
                text = text.replace(secret.expose(), "[secret]");
            }
        }
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect()
    }

    pub(super) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ApiError> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            ApiError::Lasting(format!(
                "{}'s answer is not as documented ({error}): check that {} is the URL of its API",
                self.name, self.base
            ))
        })
    }
}

/// A token that no clone of another API changes.
fn own(token: &Secret) -> Arc<Mutex<Secret>> {
    Arc::new(Mutex::new(Secret::new(token.expose().trim())))
}

/// The base URL of an API, as it is configured.
pub(super) fn base(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    Url::parse(text).map(|_| text.to_owned()).map_err(|_| "not an http or https URL".to_owned())
}

/// GitHub's media type and version; GitLab passes over both.
/// <https://docs.github.com/en/rest/about-the-rest-api/api-versions>
fn own_headers() -> HeaderMap {
    [
        (header::ACCEPT, HeaderValue::from_static("application/vnd.github+json, application/json")),
        (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
    ]
    .into_iter()
    .collect()
}

impl Answer {
    /// A header, if it is there and not empty.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header_or_empty(name).filter(|value| !value.is_empty())
    }

    pub(super) fn header_or_empty(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The message of an error: GitHub's `message` and `errors`, GitLab's `message`, `error` and
    /// `error_description`; else the text itself.
    pub(super) fn message(&self) -> String {
        let Ok(json) = serde_json::from_slice::<Value>(&self.body) else {
            return String::from_utf8_lossy(&self.body).into_owned();
        };
        let text = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        let own = ["message", "error", "error_description"].iter().filter_map(|name| json.get(name));
        let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten();
        let errors = errors.map(|error| error.get("message").unwrap_or(error));
        own.chain(errors).map(text).collect::<Vec<_>>().join("; ")
    }

    /// When a request is taken again, where this answer is a rate limit.
    /// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
    /// <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>
    fn limit(&self) -> Option<Limit> {
        let exhausted =
            || self.is_used_up() || self.header("retry-after").is_some() || self.says("secondary rate limit");
        let limited = match self.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => exhausted(),
            // GraphQL's way.
            StatusCode::OK => self.says("RATE_LIMITED") || self.says("secondary rate limit"),
            _ => false,
        };
        if !limited {
            return None;
        }
        let seconds = self.header("retry-after").and_then(|value| value.parse().ok());
        // At a secondary limit the reset is that of the primary one, which is not used up.
        let reset = self.reset().filter(|_| self.is_used_up());
        Some(seconds.map_or_else(|| reset.map_or(Limit::Unknown, Limit::Until), Limit::For))
    }

    /// Until when no further request is taken, where this answer was the last that is.
    pub(super) fn used_up_until(&self) -> Option<Moment> {
        self.reset().filter(|_| self.is_used_up())
    }

    /// Whether it is an error with these words: an answer of any length can have them as data.
    fn says(&self, words: &str) -> bool {
        self.body.len() <= LONGEST_ERROR && String::from_utf8_lossy(&self.body).contains(words)
    }

    fn is_used_up(&self) -> bool {
        ["x-ratelimit-remaining", "ratelimit-remaining"].iter().any(|name| self.header(name) == Some("0"))
    }

    fn reset(&self) -> Option<Moment> {
        let reset = ["x-ratelimit-reset", "ratelimit-reset"].iter().find_map(|name| self.header(name));
        reset.and_then(|value| DateTime::from_timestamp(value.parse().ok()?, 0))
    }
}

/// When requests are taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After so many seconds.
    For(u64),
    Until(Moment),
    Unknown,
}

impl Limit {
    /// How long to wait, where that is stated. The reset is in whole seconds.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Option<Duration> {
        match self {
            Self::For(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Until(at) => Some((*at - now).to_std().unwrap_or_default() + Duration::from_secs(1)),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(seconds) => write!(f, "in {seconds} s"),
            Self::Until(at) => write!(f, "{}", at.format("after %H:%M UTC")),
            Self::Unknown => f.write_str("in a few minutes"),
        }
    }
}

fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing came within {} s", TIMEOUT.as_secs());
    }
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
