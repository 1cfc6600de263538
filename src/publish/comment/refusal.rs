//! What it means when GitHub says no: for this recognition, and for how long.

use std::time::Duration;

use http::StatusCode;
use octocrab::GitHubError;

use super::super::PublishError;
use super::github::Failure;
use crate::domain::{GiveUp, Moment};

/// GitHub's limits reset every hour; no wait is believed to be longer than this.
const LONGEST_WAIT: Duration = Duration::from_hours(2);
/// How long to wait for an operator to mend a credential before it is tried again.
pub(super) const MEND: Duration = Duration::from_mins(5);

pub(super) fn down_until_mended(why: impl Into<String>) -> PublishError {
    PublishError::Down { why: why.into(), after: Some(MEND) }
}

pub(super) fn never(reason: GiveUp, why: impl Into<String>) -> PublishError {
    PublishError::Never { reason, why: why.into() }
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
    if let Some(limit) = limited(error, now) {
        let wait = match limit {
            Limit::For(time) => time,
            Limit::Unsaid => backoff,
        };
        return PublishError::Down {
            why: format!("GitHub's rate limit: {}", said(error)),
            after: Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT)),
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
            Some(why) => never(GiveUp::MissingPermission, why),
            None => never(GiveUp::NotFound, why),
        },
        410 => never(GiveUp::Gone, why),
        422 => never(GiveUp::Unprocessable, why),
        503 => PublishError::Down { why, after: retry_after(error).map(|after| after.min(LONGEST_WAIT)) },
        408 | 500..=599 => PublishError::Later { why },
        _ => never(GiveUp::Refused, why),
    }
}

/// A 403 that is no limit.
fn judge_forbidden(error: &GitHubError, why: String) -> PublishError {
    let message = error.message.to_ascii_lowercase();
    // https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#authenticating-with-saml-sso
    if header_of(error, "x-github-sso").is_some() || message.contains("saml") {
        let why =
            "the organisation wants single sign-on: authorise the token for it in the account's settings";
        return never(GiveUp::SsoRequired, why);
    }
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    if message.contains("resource not accessible by") {
        let missing = header_of(error, "x-accepted-github-permissions").filter(|missing| !missing.is_empty());
        let missing = missing.unwrap_or("issues=write or pull_requests=write");
        return never(GiveUp::MissingPermission, format!("the credential lacks {missing}: {}", said(error)));
    }
    if let Some(why) = too_narrow(error) {
        return never(GiveUp::MissingPermission, why);
    }
    if message.contains("is locked") {
        never(GiveUp::Locked, why)
    } else if message.contains("archived") {
        never(GiveUp::Archived, why)
    } else {
        never(GiveUp::Forbidden, why)
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

/// How long GitHub wants to be left alone.
enum Limit {
    For(Duration),
    Unsaid,
}

/// Whether this is a limit: the primary one, or a secondary one.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
fn limited(error: &GitHubError, now: Moment) -> Option<Limit> {
    let status = error.status_code;
    let message = error.message.to_ascii_lowercase();
    let said = retry_after(error).map(Limit::For);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        // GitHub's word for comments that come too fast, among what it calls invalid.
        let details = error.errors.iter().flatten().map(ToString::to_string);
        let quick = details.chain([message]).any(|text| text.contains("too quickly"));
        return quick.then(|| said.unwrap_or(Limit::Unsaid));
    }
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    if said.is_some() {
        return said;
    }
    if header_of(error, "x-ratelimit-remaining") == Some("0")
        && let Some(reset) = error.rate_limit_reset_at()
    {
        return Some(Limit::For((reset - now).to_std().unwrap_or_default()));
    }
    let named = ["secondary rate limit", "abuse detection", "rate limit exceeded"];
    let limited = status == StatusCode::TOO_MANY_REQUESTS || named.iter().any(|name| message.contains(name));
    limited.then_some(Limit::Unsaid)
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
