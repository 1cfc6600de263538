//! One request to GitHub's REST API and its answer, and what a refusal means.
//!
//! Nothing is tried again in here: limits and pauses are kept where recognitions wait, in the outbox.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use octocrab::{AuthState, GitHubError, OctoBody, Octocrab, OctocrabBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use super::super::PublishError;
use crate::config::Secret;
use crate::domain::Moment;

/// The longest answer that is read: a page of a hundred of the longest comments.
const LONGEST_ANSWER: usize = 32 << 20;
/// How many redirects are followed.
const REDIRECTS: usize = 3;
/// GitHub's limits reset every hour; no wait is believed to be longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 60 * 60);
/// How long to wait for an operator to mend a credential before it is tried again.
pub(super) const MEND: Duration = Duration::from_secs(5 * 60);

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
        let client = reqwest::Client::builder()
            .user_agent(concat!("plaudit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let transport = tower::service_fn(move |request: http::Request<OctoBody>| {
            let client = client.clone();
            async move {
                let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
                client.execute(request).await.map(http::Response::<reqwest::Body>::from)
            }
        });
        // Not octocrab's own transport: it follows redirects to other hosts, logs every failure as an error
        // by itself, and sends two User-Agents.
        let crab = OctocrabBuilder::new_empty()
            .with_service(transport)
            .with_auth(AuthState::None)
            .build()
            .map_err(|never: Infallible| -> String { match never {} })?;
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
                Reply::Elsewhere(location) => url = self.within(&url, location.as_deref()).ok_or(Failure::Moved)?,
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
            .map_err(|_| Failure::Told(down_until_mended("the GitHub token has characters that no token has")))?;
        authorization.set_sensitive(true);
        let request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        let request = self.crab.build_request(request, body).map_err(|error| transport(&error))?;
        let exchange = async {
            let response = self.crab.send(request).await.map_err(|error| transport(&error))?;
            if response.status().is_redirection() {
                let location = response.headers().get(header::LOCATION);
                let location = location.and_then(|at| at.to_str().ok()).map(str::to_owned);
                return Ok(Reply::Elsewhere(location));
            }
            let response = octocrab::map_github_error(response).await.map_err(refusal)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::Unanswered(format!("GitHub's answer broke off: {error}")))?;
            Ok(Reply::Answer(Answer {
                headers: parts.headers,
                body: body.to_bytes(),
            }))
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
        other => transport(&other),
    }
}

fn transport(error: &octocrab::Error) -> Failure {
    let mut why = Vec::new();
    let mut connected = true;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            connected = false;
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

pub(super) fn down_until_mended(why: impl Into<String>) -> PublishError {
    PublishError::Down {
        why: why.into(),
        after: Some(MEND),
    }
}

pub(super) fn never(reason: &'static str, why: impl Into<String>) -> PublishError {
    PublishError::Never {
        reason,
        why: why.into(),
    }
}

impl Failure {
    pub(super) fn refused_with(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(error) if error.status_code == status)
    }

    /// What this means for the recognition. `backoff` is the wait where GitHub sets a limit without a time.
    pub(super) fn judge(self, now: Moment, backoff: Duration) -> PublishError {
        match self {
            Self::Unreachable(why) => PublishError::Down { why, after: None },
            Self::Unanswered(why) | Self::Malformed(why) => PublishError::Later { why },
            Self::Moved => PublishError::Later {
                why: "GitHub sends us elsewhere; the repository was perhaps just renamed".to_owned(),
            },
            Self::Refused(error) => judge_refusal(&error, now, backoff),
            Self::Told(error) => error,
        }
    }
}

fn judge_refusal(error: &GitHubError, now: Moment, backoff: Duration) -> PublishError {
    if let Some(wait) = limited(error, now) {
        return PublishError::Down {
            why: format!("GitHub's rate limit: {}", said(error)),
            after: Some(wait.unwrap_or(backoff).clamp(Duration::from_secs(1), LONGEST_WAIT)),
        };
    }
    let why = format!("GitHub answered {}: {}", error.status_code.as_u16(), said(error));
    match error.status_code.as_u16() {
        401 => down_until_mended(format!(
            "the token is wrong or expired, or the App's id or key is wrong: {}",
            said(error)
        )),
        403 => judge_forbidden(error, why),
        404 => match too_narrow(error) {
            Some(why) => never("missing_permission", why),
            None => never("not_found", why),
        },
        408 => PublishError::Later { why },
        410 => never("gone", why),
        422 => never("unprocessable", why),
        503 => PublishError::Down {
            why,
            after: retry_after(error).map(|after| after.min(LONGEST_WAIT)),
        },
        500..=599 => PublishError::Later { why },
        _ => never("refused", why),
    }
}

/// A 403 that is no limit.
fn judge_forbidden(error: &GitHubError, why: String) -> PublishError {
    let message = error.message.to_ascii_lowercase();
    // https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#authenticating-with-saml-sso
    if header_of(error, "x-github-sso").is_some() || message.contains("saml") {
        let why = "the organisation wants single sign-on: authorise the token for it in the account's settings";
        return never("sso_required", why);
    }
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    if message.contains("resource not accessible by") {
        let missing = header_of(error, "x-accepted-github-permissions").filter(|missing| !missing.is_empty());
        let missing = missing.unwrap_or("issues=write or pull_requests=write");
        return never("missing_permission", format!("the credential lacks {missing}: {}", said(error)));
    }
    if let Some(why) = too_narrow(error) {
        return never("missing_permission", why);
    }
    if message.contains("locked") {
        never("locked", why)
    } else if message.contains("archived") {
        never("archived", why)
    } else {
        never("forbidden", why)
    }
}

/// A classic token says its scopes with every answer; GitHub may answer 404 for one that is missing.
/// <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>
fn too_narrow(error: &GitHubError) -> Option<String> {
    let scopes = header_of(error, "x-oauth-scopes")?;
    (!may_comment(scopes)).then(|| format!("the token's scopes are [{scopes}]; it lacks public_repo"))
}

/// Whether a classic token's scopes allow a comment on a public repository.
pub(super) fn may_comment(scopes: &str) -> bool {
    let mut scopes = scopes.split(',').map(str::trim);
    scopes.any(|scope| scope == "repo" || scope == "public_repo")
}

/// Whether this is a limit, and how long to wait where GitHub says so.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
fn limited(error: &GitHubError, now: Moment) -> Option<Option<Duration>> {
    let status = error.status_code;
    let message = error.message.to_ascii_lowercase();
    // GitHub's word for comments that come too fast, among what it calls invalid.
    let too_quick = || error.errors.iter().flatten().any(|e| e.to_string().contains("too quickly"));
    if status == StatusCode::UNPROCESSABLE_ENTITY && (message.contains("too quickly") || too_quick()) {
        return Some(retry_after(error));
    }
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    if let Some(after) = retry_after(error) {
        return Some(Some(after));
    }
    if header_of(error, "x-ratelimit-remaining") == Some("0") {
        let reset = error.rate_limit_reset_at();
        return Some(reset.map(|at| (at - now).to_std().unwrap_or_default()));
    }
    let named = ["secondary rate limit", "abuse detection", "rate limit exceeded"];
    let limited = status == StatusCode::TOO_MANY_REQUESTS || named.iter().any(|name| message.contains(name));
    limited.then_some(None)
}

fn retry_after(error: &GitHubError) -> Option<Duration> {
    let seconds = header_of(error, "retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn header_of<'a>(error: &'a GitHubError, name: &str) -> Option<&'a str> {
    error.headers.as_ref()?.get(name)?.to_str().ok()
}

/// GitHub's message in one line, cut: a proxy before it may answer with a whole page.
fn said(error: &GitHubError) -> String {
    let details = error.errors.iter().flatten().map(ToString::to_string);
    let all = std::iter::once(error.message.clone()).chain(details).collect::<Vec<_>>().join("; ");
    let line = all.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}
