//! One request to GitHub's REST API, and its answer.
//!
//! Nothing is tried again in here: limits and pauses are kept where recognitions wait, in the outbox.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError};
use octocrab::{GitHubError, Octocrab};
use serde::de::DeserializeOwned;
use url::Url;

use super::super::PublishError;
use super::refusal::down_until_mended;
use super::transport::{self, LONGEST_ANSWER};
use crate::config::Secret;

/// How many redirects are followed.
const REDIRECTS: usize = 3;

/// GitHub's API at one address. No request ever leaves for another.
#[derive(Debug)]
pub(super) struct Api {
    crab: Octocrab,
    base: Url,
    patience: Duration,
}

/// What is asked. Every path begins with `/` and is made of checked parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Get(&'a str),
    /// And follow what was renamed, on the same API alone.
    GetRenamed(&'a str),
    Post(&'a str, &'a serde_json::Value),
}

/// What GitHub answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// Why there is no answer to use.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection.
    Unreachable(String),
    /// There was a connection and no whole answer: what was asked for may have been done.
    Unanswered(String),
    /// The answer is not what GitHub documents.
    Malformed(String),
    /// What was asked for is elsewhere now.
    Moved,
    /// GitHub says no.
    Refused(Box<GitHubError>),
    /// Said already, in the words of whoever asked.
    Told(PublishError),
}

impl Api {
    /// Opens nothing yet; must be called inside the runtime.
    pub(super) fn new(base: &str, patience: Duration) -> Result<Self, String> {
        let base = Url::parse(base).map_err(|error| format!("the GitHub API's address is none: {error}"))?;
        let crab = transport::client(&base).map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { crab, base, patience })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Asks, once.
    pub(super) async fn send(&self, ask: Ask<'_>, bearer: &Secret) -> Result<Answer, Failure> {
        let (method, path, body, redirects) = match ask {
            Ask::Get(path) => (Method::GET, path, None, 0),
            Ask::GetRenamed(path) => (Method::GET, path, None, REDIRECTS),
            Ask::Post(path, body) => (Method::POST, path, Some(body), 0),
        };
        let mut url = self.url(path)?;
        for _ in 0..=redirects {
            match self.request(method.clone(), &url, bearer, body).await? {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Elsewhere(location) => {
                    url = self.within(&url, location.as_deref()).ok_or(Failure::Moved)?;
                }
            }
        }
        Err(Failure::Moved)
    }

    async fn request(
        &self,
        method: Method,
        url: &Url,
        bearer: &Secret,
        body: Option<&serde_json::Value>,
    ) -> Result<Reply, Failure> {
        let mut authorization =
            http::HeaderValue::from_str(&format!("Bearer {}", bearer.expose())).map_err(|_| {
                Failure::Told(down_until_mended("the GitHub token has characters that no token has"))
            })?;
        authorization.set_sensitive(true);
        let request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/vnd.github+json");
        // octocrab adds the version of the API that it was written for, and the length and type of the body.
        let request = self.crab.build_request(request, body).map_err(|error| failure_of(&error))?;
        let exchange = async {
            let response = self.crab.send(request).await.map_err(|error| failure_of(&error))?;
            if response.status().is_redirection() {
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|at| at.to_str().ok()).map(str::to_owned);
                return Ok(Reply::Elsewhere(location));
            }
            let response = octocrab::map_github_error(response).await.map_err(refusal)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| failure_of(&error))?;
            Ok(Reply::Answer(Answer { headers: parts.headers, body: body.to_bytes() }))
        };
        let late = |_| Failure::Unanswered(format!("GitHub gave no answer within {:?}", self.patience));
        tokio::time::timeout(self.patience, exchange).await.map_err(late)?
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// Where a redirect leads, if that is on this API.
    fn within(&self, from: &Url, location: Option<&str>) -> Option<Url> {
        let to = from.join(location?).ok()?;
        let home = to.origin() == self.base.origin() && to.path().starts_with(self.base.path());
        (home && to.username().is_empty() && to.password().is_none()).then_some(to)
    }
}

enum Reply {
    Answer(Answer),
    Elsewhere(Option<String>),
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Malformed(format!("GitHub's answer is not as documented: {error}")))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a list goes on after this page (<https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>).
    /// Its address is not used: only that there is one.
    pub(super) fn has_next_page(&self) -> bool {
        let next = |link: &str| link.split(';').skip(1).any(|p| p.trim().replace('"', "") == "rel=next");
        let mut links = self.headers.get_all(header::LINK).iter();
        links.any(|value| value.to_str().is_ok_and(|value| value.split(',').any(next)))
    }
}

/// `body.collect()` and `map_github_error` fail alike when the connection is cut.
fn refusal(error: octocrab::Error) -> Failure {
    match error {
        octocrab::Error::GitHub { source, .. } => Failure::Refused(source),
        other => failure_of(&other),
    }
}

fn failure_of(error: &octocrab::Error) -> Failure {
    let mut why = Vec::new();
    let mut connected = true;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            connected = false;
        }
        if error.is::<LengthLimitError>() {
            return Failure::Malformed(format!("GitHub's answer is longer than {LONGEST_ANSWER} bytes"));
        }
        why.push(error.to_string());
        cause = error.source();
    }
    // The last is the cause of all; the first names the URL, which holds nothing secret.
    let why = why.last().cloned().unwrap_or_else(|| "no answer".to_owned());
    if connected {
        Failure::Unanswered(format!("the connection to GitHub broke: {why}"))
    } else {
        Failure::Unreachable(format!("GitHub cannot be reached: {why}"))
    }
}
