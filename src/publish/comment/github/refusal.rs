//! What GitHub's errors mean.

use http::StatusCode;

use super::super::failure::{CREDENTIAL_RETRY, Refusal, down_until_fixed, never};
use super::super::host::RateLimit;
use super::TITLE;
use crate::domain::{GiveUp, Moment};
use crate::publish::PublishError;

/// What an error means that is no rate limit, where its status alone does not decide.
pub(super) fn meaning(refusal: &Refusal) -> Option<PublishError> {
    match refusal.status.as_u16() {
        401 => Some(down_until_fixed(format!(
            "the token is wrong or expired, or the App's id or key is wrong: {}",
            refusal.text()
        ))),
        403 => Some(classify_forbidden(refusal)),
        404 => missing_scope(refusal).map(|why| never(GiveUp::MissingPermission, why)),
        _ => None,
    }
}

/// Classifies a 403 that is not a rate limit.
fn classify_forbidden(refusal: &Refusal) -> PublishError {
    let why = refusal.shown(TITLE);
    let message = refusal.message.to_ascii_lowercase();
    // https://docs.github.com/en/apps/maintaining-github-apps/suspending-a-github-app-installation
    if message.contains("suspended") {
        return PublishError::Later { why, after: Some(CREDENTIAL_RETRY) };
    }
    // https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#authenticating-with-saml-sso
    if refusal.header("x-github-sso").is_some() || message.contains("saml") {
        let why =
            "the organisation uses single sign-on: authorise the token for it in the account's settings";
        return never(GiveUp::SsoRequired, why);
    }
    // https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    if message.contains("resource not accessible by") {
        let missing = refusal.header("x-accepted-github-permissions").filter(|missing| !missing.is_empty());
        let missing = missing.unwrap_or("issues=write or pull_requests=write");
        let why = format!("the credential lacks {missing}: {}", refusal.text());
        return never(GiveUp::MissingPermission, why);
    }
    if let Some(why) = missing_scope(refusal) {
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
fn missing_scope(refusal: &Refusal) -> Option<String> {
    let scopes = refusal.header("x-oauth-scopes")?;
    (!may_comment(scopes)).then(|| format!("the token's scopes are [{scopes}]; it lacks public_repo"))
}

/// Whether a classic token's scopes allow a comment on a public repository.
pub(super) fn may_comment(scopes: &str) -> bool {
    let mut scopes = scopes.split(',').map(str::trim);
    scopes.any(|scope| scope == "repo" || scope == "public_repo")
}

/// The primary or a secondary rate limit, if the answer is one.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
pub(super) fn rate_limit(refusal: &Refusal, now: Moment) -> Option<RateLimit> {
    let status = refusal.status;
    let message = refusal.message.to_ascii_lowercase();
    let retry_after = refusal.retry_after().map(RateLimit::For);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        // Comments that come too fast get 422, as invalid ones do; only the text differs.
        let mut texts = std::iter::once(&message).chain(&refusal.details);
        let too_fast = texts.any(|text| text.contains("too quickly"));
        return too_fast.then(|| retry_after.unwrap_or(RateLimit::WithoutTime));
    }
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    if retry_after.is_some() {
        return retry_after;
    }
    if refusal.header("x-ratelimit-remaining") == Some("0")
        && let Some(wait) = refusal.until_reset("x-ratelimit-reset", now)
    {
        return Some(RateLimit::For(wait));
    }
    let named = ["secondary rate limit", "abuse detection", "rate limit exceeded"];
    let limited = status == StatusCode::TOO_MANY_REQUESTS || named.iter().any(|name| message.contains(name));
    limited.then_some(RateLimit::WithoutTime)
}

/// Whether GitHub itself answered: its errors are JSON with a `message`. octocrab takes the whole body of any
/// other as the message.
pub(super) fn is_from_github(refusal: &Refusal) -> bool {
    refusal.is_json() && !refusal.message.starts_with('{')
}
