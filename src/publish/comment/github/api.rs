//! One request to GitHub's REST API, and its answer.
//!
//! Nothing is retried here: the outbox keeps what waits, and the pauses that GitHub asks for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError};
use octocrab::Octocrab;
use serde::de::DeserializeOwned;
use url::Url;

use super::super::failure::{Failure, Refusal};
use super::transport::{self, LONGEST_ANSWER};
use crate::settings::Secret;

/// How many redirects are followed.
const REDIRECTS: usize = 3;

/// GitHub's API at one base URL. No request is sent to any other.
#[derive(Debug)]
pub(super) struct Api {
    crab: Octocrab,
    base: Url,
    timeout: Duration,
}

/// A request. Every path begins with `/` and consists of checked parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Get(&'a str),
    /// Follows the redirects of a renamed repository, as long as they stay below the base URL.
    GetRenamed(&'a str),
    Post(&'a str, &'a serde_json::Value),
}

#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

enum Reply {
    Answer(Answer),
    /// The `Location`, where there is one.
    Redirect(Option<String>),
}

impl Api {
    /// Opens no connection; must be called inside the runtime.
    pub(super) fn new(base: Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self { crab: transport::client(&base)?, base, timeout })
    }

    /// Sends one request.
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
                Reply::Redirect(location) => {
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
        let mut authorization = http::HeaderValue::from_str(&format!("Bearer {}", bearer.expose()))
            .map_err(|_| Failure::down_until_fixed("the GitHub token has characters that no token has"))?;
        authorization.set_sensitive(true);
        let request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/vnd.github+json");
        // octocrab adds the API version that it was written for, and the body's length and type.
        let request = self.crab.build_request(request, body).map_err(failure_of)?;
        let exchange = async {
            let response = self.crab.send(request).await.map_err(failure_of)?;
            if response.status().is_redirection() {
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|at| at.to_str().ok()).map(str::to_owned);
                return Ok(Reply::Redirect(location));
            }
            let response = octocrab::map_github_error(response).await.map_err(failure_of)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(failure_of)?;
            Ok(Reply::Answer(Answer { headers: parts.headers, body: body.to_bytes() }))
        };
        let late = |_| Failure::Unanswered(format!("GitHub gave no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, exchange).await.map_err(late)?
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// The target of a redirect, if it is below the base URL and has no credentials in it.
    fn within(&self, from: &Url, location: Option<&str>) -> Option<Url> {
        let to = from.join(location?).ok()?;
        let same_api = to.origin() == self.base.origin() && to.path().starts_with(self.base.path());
        (same_api && to.username().is_empty() && to.password().is_none()).then_some(to)
    }
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
    /// The next page's URL is not used, only that there is one.
    pub(super) fn has_next_page(&self) -> bool {
        let next = |link: &str| link.split(';').skip(1).any(|p| p.trim().replace('"', "") == "rel=next");
        let mut links = self.headers.get_all(header::LINK).iter();
        links.any(|value| value.to_str().is_ok_and(|value| value.split(',').any(next)))
    }
}

/// GitHub's error answer, or the cause that octocrab and its transport wrap: the innermost error.
fn failure_of(error: octocrab::Error) -> Failure {
    let error = match error {
        octocrab::Error::GitHub { source, .. } => return Failure::Refused(Box::new(refusal_of(*source))),
        other => other,
    };
    let mut connected = true;
    let mut why = "no answer".to_owned();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Failure::Malformed(format!("GitHub's answer is longer than {LONGEST_ANSWER} bytes"));
        }
        connected &= !error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
        why = error.to_string();
        cause = error.source();
    }
    if connected {
        Failure::Unanswered(format!("the connection to GitHub broke: {why}"))
    } else {
        Failure::Unreachable(format!("GitHub cannot be reached: {why}"))
    }
}

fn refusal_of(error: octocrab::GitHubError) -> Refusal {
    Refusal {
        status: error.status_code,
        headers: error.headers.unwrap_or_default(),
        message: error.message,
        details: error.errors.iter().flatten().map(ToString::to_string).collect(),
    }
}
