//! Why a request to a host failed, and what that means for the recognition.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::super::PublishError;
use super::host::{CommentHost, RateLimit};
use crate::domain::GiveUp;
use crate::domain::Moment;

/// The hosts' limits reset every hour at the latest; a longer wait is cut to this.
const LONGEST_WAIT: Duration = Duration::from_hours(2);
/// How long to wait for an operator to fix a credential before it is tried again.
pub(super) const CREDENTIAL_RETRY: Duration = Duration::from_mins(5);

/// Why there is no answer to use.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection was made.
    Unreachable(String),
    /// A connection was made and no complete answer came: the request may have been carried out.
    Unanswered(String),
    /// The answer is not what the host documents.
    Malformed(String),
    /// The host redirects to another address, which is not followed.
    Moved,
    /// The host answered with an error.
    Refused(Box<Refusal>),
    /// Where the request was made, its failure was classified.
    Classified(PublishError),
}

/// A host's error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) message: String,
    /// What the answer lists beside its message.
    pub(super) details: Vec<String>,
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
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }

    /// What this means for the recognition. `backoff` is the wait at a limit for which the host sets no time.
    pub(super) fn classify(self, host: &dyn CommentHost, now: Moment, backoff: Duration) -> PublishError {
        match self {
            Self::Unreachable(why) => PublishError::Down { why, after: None },
            Self::Unanswered(why) | Self::Malformed(why) => later(why),
            Self::Moved => later(format!(
                "{} redirects to another address; perhaps the repository was just renamed",
                host.title()
            )),
            Self::Refused(refusal) => match refusal.classify(host, now, backoff) {
                PublishError::Never { why, .. } if !host.wrote(&refusal) => {
                    later(format!("a proxy seems to answer in {}'s place: {why}", host.title()))
                }
                classified => classified,
            },
            Self::Classified(error) => error,
        }
    }
}

impl Refusal {
    fn classify(&self, host: &dyn CommentHost, now: Moment, backoff: Duration) -> PublishError {
        let title = host.title();
        if let Some(limit) = host.limit(self, now) {
            let wait = match limit {
                RateLimit::For(time) => time,
                RateLimit::WithoutTime => backoff,
            };
            return PublishError::Later {
                why: format!("{title}'s rate limit: {}", self.text()),
                after: Some(wait.clamp(Duration::from_secs(1), LONGEST_WAIT)),
            };
        }
        if let Some(meaning) = host.meaning(self) {
            return meaning;
        }
        let why = self.shown(title);
        match self.status.as_u16() {
            404 => never(GiveUp::NotFound, why),
            410 => never(GiveUp::Gone, why),
            422 => never(GiveUp::Unprocessable, why),
            503 => PublishError::Down { why, after: self.retry_after().map(|after| after.min(LONGEST_WAIT)) },
            408 | 500..=599 => later(why),
            _ => never(GiveUp::Refused, why),
        }
    }

    /// The status and the message.
    pub(super) fn shown(&self, title: &str) -> String {
        format!("{title} answered {}: {}", self.status.as_u16(), self.text())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// How long until the time, in seconds since 1970, that a header names.
    pub(super) fn until_reset(&self, header: &str, now: Moment) -> Option<Duration> {
        let reset = Moment::from_timestamp(self.header(header)?.trim().parse().ok()?, 0)?;
        Some((reset - now).to_std().unwrap_or_default())
    }

    pub(super) fn is_json(&self) -> bool {
        self.header("content-type").is_some_and(|sort| sort.contains("json"))
    }

    /// The host's message in one line of at most 300 characters: a proxy may answer with a whole page.
    pub(super) fn text(&self) -> String {
        let all = std::iter::once(&self.message).chain(&self.details).map(String::as_str);
        let line = all.collect::<Vec<_>>().join("; ");
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::Classified(error)
    }
}
