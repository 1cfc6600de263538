//! The comments on one host: one after the other, with the pauses that the host asks for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::PublishError;
use super::BETWEEN_WRITES;
use super::failure::Failure;
use super::host::CommentHost;
use super::place::{Found, Place};
use super::settings::{Audience, Commenting};
use super::template::Template;
use crate::domain::{Moment, Recognition};
use crate::runtime::{Backoff, Clock};

/// The wait at rate limits for which the host sets no time.
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(64));
/// How long a ping's success is reused: readiness is asked for often.
const PING_CACHE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

#[derive(Debug)]
pub(super) struct Commenter {
    pub(super) host: Box<dyn CommentHost>,
    pub(super) template: Template,
    pub(super) audience: Audience,
    pub(super) clock: Clock,
    pauses: Mutex<HashMap<Scope, Pause>>,
    /// When the next comment may be written.
    next_write: Mutex<Option<Instant>>,
    /// When a ping last succeeded.
    answered: Mutex<Option<Moment>>,
}

/// What a pause stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Everything,
    /// The requests that one of the host's rate limits counts.
    Limit(u64),
}

/// No request is sent before this time.
#[derive(Clone, Debug)]
struct Pause {
    until: Moment,
    why: String,
    /// How many rate limits without a time came in a row.
    limits: u32,
}

impl Commenter {
    pub(super) fn new(host: Box<dyn CommentHost>, commenting: &Commenting, clock: Clock) -> Self {
        Self {
            host,
            template: commenting.template.clone(),
            audience: commenting.audience,
            clock,
            pauses: Mutex::default(),
            next_write: Mutex::default(),
            answered: Mutex::default(),
        }
    }

    /// The host's name as contributions' ids have it.
    pub(super) fn name(&self) -> &str {
        self.host.name()
    }

    /// Fails where it is known without a request that no comment can be written there.
    pub(super) fn check(&self, place: &Place) -> Result<(), PublishError> {
        self.host.check(place)
    }

    /// Writes the comment, unless a pause, a check or an earlier comment forbids it.
    pub(super) async fn publish(
        &self,
        recognition: &Recognition,
        found: &Found<'_>,
        until: Moment,
    ) -> Result<(), PublishError> {
        self.check_pause(Scope::Everything)?;
        self.check_pause(self.scope_of(&found.place).await)?;
        let thanked = self.thank(recognition, &found.place, found.contribution, until).await;
        // Which limit holds may have become known meanwhile.
        let scope = self.scope_of(&found.place).await;
        thanked.map_err(|failure| self.classify(failure, scope))?;
        let mut pauses = lock(&self.pauses);
        pauses.remove(&Scope::Everything);
        pauses.remove(&scope);
        Ok(())
    }

    pub(super) async fn describe(&self) -> Result<Vec<String>, PublishError> {
        self.host.describe().await.map_err(|failure| self.classify(failure, Scope::Everything))
    }

    pub(super) async fn ping(&self) -> Result<(), PublishError> {
        self.check_pause(Scope::Everything)?;
        let now = self.clock.now();
        if lock(&self.answered).is_some_and(|at| now - at < PING_CACHE) {
            return Ok(());
        }
        self.host.ping().await.map_err(|failure| self.classify(failure, Scope::Everything))?;
        *lock(&self.answered) = Some(now);
        Ok(())
    }

    /// Classifies a failure, and pauses for as long as the host asks for no requests: a rate limit or a suspension
    /// within `scope`, anything else everywhere.
    fn classify(&self, failure: Failure, scope: Scope) -> PublishError {
        let now = self.clock.now();
        let limits = lock(&self.pauses).get(&scope).map_or(0, |pause| pause.limits);
        let backoff = BACKOFF.after(limits);
        let error = failure.classify(&*self.host, now, backoff);
        let (scope, why, after) = match error {
            PublishError::Later { why, after: Some(after) } => (scope, why, after),
            PublishError::Down { why, after: Some(after) } => (Scope::Everything, why, after),
            other => return other,
        };
        let limits = limits + u32::from(after == backoff);
        lock(&self.pauses).insert(scope, Pause { until: now + after, why: why.clone(), limits });
        scope.paused(why, after)
    }

    /// Fails during a pause, without a request.
    fn check_pause(&self, scope: Scope) -> Result<(), PublishError> {
        let Some(Pause { until, why, .. }) = lock(&self.pauses).get(&scope).cloned() else { return Ok(()) };
        match (until - self.clock.now()).to_std() {
            Ok(left) if !left.is_zero() => Err(scope.paused(why, left)),
            _ => Ok(()),
        }
    }

    /// What a rate limit stops that is met at this place.
    async fn scope_of(&self, place: &Place) -> Scope {
        self.host.limit_of(place).await.map_or(Scope::Everything, Scope::Limit)
    }

    /// Waits until the next comment may be written.
    pub(super) async fn wait_to_write(&self) {
        let turn = {
            let mut next = lock(&self.next_write);
            let turn = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = Some(turn + BETWEEN_WRITES);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

impl Scope {
    fn paused(self, why: String, after: Duration) -> PublishError {
        match self {
            Self::Everything => PublishError::Down { why, after: Some(after) },
            Self::Limit(_) => PublishError::Later { why, after: Some(after) },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
