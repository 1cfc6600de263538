//! Why a request to GitHub failed, and what that means for the recognition.

use std::time::Duration;

use http::StatusCode;
use octocrab::GitHubError;

use super::super::PublishError;
use crate::domain::GiveUp;
use crate::domain::Moment;

/// GitHub's limits reset every hour; a longer wait is cut to this.
const LONGEST_WAIT: Duration = Duration::from_hours(2);
/// How long to wait for an operator to fix a credential before it is tried again.
const CREDENTIAL_RETRY: Duration = Duration::from_mins(5);

/// Why there is no answer to use.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection was made.
    Unreachable(String),
    /// A connection was made and no complete answer came: the request may have been carried out.
    Unanswered(String),
    /// The answer is not what GitHub documents.
    Malformed(String),
    /// GitHub redirects to another address, which is not followed.
    Moved,
    /// GitHub answered with an error.
    Refused(Box<GitHubError>),
    /// Where the request was made, its failure was classified.
    Classified(PublishError),
}

/// A credential that does not work: every recognition waits until an operator fixes it.
pub(super) fn down_until_fixed(why: impl Into<String>) -> PublishError {
    PublishError::Down { why: why.into(), after: Some(CREDENTIAL_RETRY) }
}

fn later(why: impl Into<String>) -> PublishError {
    PublishError::Later { why: why.into(), after: None }
}

pub(super) fn never(reason: GiveUp, why: impl Into<String>) -> PublishError {
    PublishError::Never { reason, why: why.into() }
}

impl Failure {
    pub(super) fn never(reason: GiveUp, why: impl Into<String>) -> Self {
        Self::Classified(never(reason, why))
    }

    pub(super) fn down_until_fixed(why: impl Into<String>) -> Self {
        Self::Classified(down_until_fixed(why))
    }

    pub(super) fn has_status(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(error) if error.status_code == status)
    }

    /// What this means for the recognition. `backoff` is the wait at a limit for which GitHub sets no time.
    pub(super) fn classify(self, now: Moment, backoff: Duration) -> PublishError {
        match self {
            Self::Unreachable(why) => PublishError::Down { why, after: None },
            Self::Unanswered(why) | Self::Malformed(why) => later(why),
            Self::Moved => {
                later("GitHub redirects to another address; perhaps the repository was just renamed")
            }
            Self::Refused(error) => match classify_error(&error, now, backoff) {
                PublishError::Never { why, .. } if !is_from_github(&error) => {
                    later(format!("a proxy seems to answer in GitHub's place: {why}"))
                }
                classified => classified,
            },
            Self::Classified(error) => error,
        }
    }
}

fn classify_error(error: &GitHubError, now: Moment, backoff: Duration) -> PublishError {
    if let Some(limit) = rate_limit(error, now) {
        let wait = match limit {
            RateLimit::For(time) => time,
            RateLimit::WithoutTime => backoff,
        };
        return PublishError::Later {
            why: format!("GitHub's rate limit: {}", message_of(error)),
            after: Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT)),
        };
    }
    let why = format!("GitHub answered {}: {}", error.status_code.as_u16(), message_of(error));
    match error.status_code.as_u16() {
        401 => down_until_fixed(format!(
            "the token is wrong or expired, or the App's id or key is wrong: {}",
            message_of(error)
        )),
        403 => classify_forbidden(error, why),
        404 => match missing_scope(error) {
            Some(why) => never(GiveUp::MissingPermission, why),
            None => never(GiveUp::NotFound, why),
        },
        410 => never(GiveUp::Gone, why),
        422 => never(GiveUp::Unprocessable, why),
        503 => PublishError::Down { why, after: retry_after(error).map(|after| after.min(LONGEST_WAIT)) },
        408 | 500..=599 => later(why),
        _ => never(GiveUp::Refused, why),
    }
}

/// Classifies a 403 that is not a rate limit.
fn classify_forbidden(error: &GitHubError, why: String) -> PublishError {
    let message = error.message.to_ascii_lowercase();
    // https://docs.github.com/en/apps/maintaining-github-apps/suspending-a-github-app-installation
    if message.contains("suspended") {
        return PublishError::Later { why, after: Some(CREDENTIAL_RETRY) };
    }
    // https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#authenticating-with-saml-sso
    if header_of(error, "x-github-sso").is_some() || message.contains("saml") {
        let why =
            "the organisation uses single sign-on: authorise the token for it in the account's settings";
        return never(GiveUp::SsoRequired, why);
    }
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    if message.contains("resource not accessible by") {
        let missing = header_of(error, "x-accepted-github-permissions").filter(|missing| !missing.is_empty());
        let missing = missing.unwrap_or("issues=write or pull_requests=write");
        let why = format!("the credential lacks {missing}: {}", message_of(error));
        return never(GiveUp::MissingPermission, why);
    }
    if let Some(why) = missing_scope(error) {
        return never(GiveUp::MissingPermission, why);
    }
    let reason = if message.contains("is locked") {
        GiveUp::Locked
    } else if message.contains("archived") {
        GiveUp::Archived
    } else {
        GiveUp::Forbidden
    };
    never(reason, why)
}

/// GitHub sends a classic token's scopes with every answer, and may answer 404 where a scope is missing.
/// <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>
fn missing_scope(error: &GitHubError) -> Option<String> {
    let scopes = header_of(error, "x-oauth-scopes")?;
    (!may_comment(scopes)).then(|| format!("the token's scopes are [{scopes}]; it lacks public_repo"))
}

/// Whether a classic token's scopes allow a comment on a public repository.
pub(super) fn may_comment(scopes: &str) -> bool {
    let mut scopes = scopes.split(',').map(str::trim);
    scopes.any(|scope| scope == "repo" || scope == "public_repo")
}

/// How long GitHub asks for no requests.
enum RateLimit {
    For(Duration),
    WithoutTime,
}

/// The primary or a secondary rate limit, if the answer is one.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
fn rate_limit(error: &GitHubError, now: Moment) -> Option<RateLimit> {
    let status = error.status_code;
    let message = error.message.to_ascii_lowercase();
    let retry_after = retry_after(error).map(RateLimit::For);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        // Comments that come too fast get 422, as invalid ones do; only the text differs.
        let details = error.errors.iter().flatten().map(ToString::to_string);
        let too_fast = details.chain([message]).any(|text| text.contains("too quickly"));
        return too_fast.then(|| retry_after.unwrap_or(RateLimit::WithoutTime));
    }
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    if retry_after.is_some() {
        return retry_after;
    }
    if header_of(error, "x-ratelimit-remaining") == Some("0")
        && let Some(reset) = error.rate_limit_reset_at()
    {
        return Some(RateLimit::For((reset - now).to_std().unwrap_or_default()));
    }
    let named = ["secondary rate limit", "abuse detection", "rate limit exceeded"];
    let limited = status == StatusCode::TOO_MANY_REQUESTS || named.iter().any(|name| message.contains(name));
    limited.then_some(RateLimit::WithoutTime)
}

fn retry_after(error: &GitHubError) -> Option<Duration> {
    let seconds = header_of(error, "retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Whether GitHub itself answered: its errors are JSON with a `message`. octocrab takes the whole body of any
/// other as the message.
fn is_from_github(error: &GitHubError) -> bool {
    let is_json = header_of(error, "content-type").is_some_and(|sort| sort.contains("json"));
    is_json && !error.message.starts_with('{')
}

fn header_of<'a>(error: &'a GitHubError, name: &str) -> Option<&'a str> {
    error.headers.as_ref()?.get(name)?.to_str().ok()
}

/// GitHub's message in one line of at most 300 characters: a proxy may answer with a whole page.
fn message_of(error: &GitHubError) -> String {
    let details = error.errors.iter().flatten().map(ToString::to_string);
    let all = std::iter::once(error.message.clone()).chain(details).collect::<Vec<_>>().join("; ");
    let line = all.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}
