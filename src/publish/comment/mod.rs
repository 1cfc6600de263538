//! Thanks the contributor with one comment on the pull request or issue that reached the milestone.
//!
//! Before it writes, plaudit checks the repository and the issue, and searches every comment there for a
//! hidden marker that names the recognition. Only a marker in a comment of plaudit's own account counts:
//! anyone can copy one into another comment. See `docs/comments.md`.

mod check;
mod credential;
mod github;
mod place;
mod refusal;
mod settings;
mod template;
mod thank;
mod transport;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use url::Url;

use super::{Hold, PublishError, Publisher};
use crate::domain::{Destination, Moment, Recognition};
use crate::runtime::{Backoff, Clock};

use credential::{Credential, get_account};
use github::{Api, Ask};
use place::Place;
use refusal::Failure;

pub use credential::AppKey;
pub use settings::{Commenting, GithubCredential, SETTINGS, settings};
pub use template::{DEFAULT_TEXT, Template};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all requests before the writing may take together.
const PRECHECK_TIMEOUT: Duration = Duration::from_secs(13);
/// The shortest time between two comments, as GitHub asks:
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests>
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// How long one instance holds a recognition.
const HOLD: Duration = Duration::from_secs(20);
/// The comment is written, or the request timed out, before the hold ends.
const _: () = assert!(
    PRECHECK_TIMEOUT.as_secs() + BETWEEN_WRITES.as_secs() + REQUEST_TIMEOUT.as_secs() < HOLD.as_secs()
);
/// The wait at rate limits for which GitHub sets no time.
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(64));
/// How long a ping's success is reused: readiness is asked for often.
const PING_CACHE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// Comments on GitHub as a destination.
#[derive(Debug)]
pub struct Comments {
    api: Api,
    credential: Credential,
    template: Template,
    host: String,
    clock: Clock,
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
    /// The requests with the token of one installation of the App: each has its own rate limit.
    Installation(u64),
}

/// No request is sent before this time.
#[derive(Clone, Debug)]
struct Pause {
    until: Moment,
    why: String,
    /// How many rate limits without a time came in a row.
    limits: u32,
}

impl Comments {
    /// Opens no connection. Must be called inside the runtime.
    pub fn open(commenting: &Commenting, clock: Clock) -> Result<Self, PublishError> {
        Self::with_timeout(commenting, clock, REQUEST_TIMEOUT)
    }

    /// Like [`Comments::open`], with another timeout for one request.
    pub fn with_timeout(
        commenting: &Commenting,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, PublishError> {
        let api = Api::new(commenting.api.clone(), timeout).map_err(|error| PublishError::Down {
            why: format!("the HTTP client for GitHub cannot be built: {error}"),
            after: None,
        })?;
        Ok(Self {
            host: place::host_of(&commenting.api),
            api,
            credential: Credential::new(&commenting.credential, clock.clone()),
            template: commenting.template.clone(),
            clock,
            pauses: Mutex::default(),
            next_write: Mutex::default(),
            answered: Mutex::default(),
        })
    }

    /// Classifies a failure, and pauses for as long as GitHub asks for no requests: a rate limit or a suspension
    /// within `scope`, anything else everywhere.
    fn classify(&self, failure: Failure, scope: Scope) -> PublishError {
        let now = self.clock.now();
        let limits = lock(&self.pauses).get(&scope).map_or(0, |pause| pause.limits);
        let backoff = BACKOFF.after(limits);
        let error = failure.classify(now, backoff);
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
        let installation = self.credential.installation_of(&place.repository).await;
        installation.map_or(Scope::Everything, Scope::Installation)
    }

    /// Waits until the next comment may be written.
    async fn wait_to_write(&self) {
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
            Self::Installation(_) => PublishError::Later { why, after: Some(after) },
        }
    }
}

#[async_trait]
impl Publisher for Comments {
    fn destination(&self) -> Destination {
        Destination::Comment
    }

    /// Longer than one comment can take, so that no other instance begins the same one meanwhile.
    fn hold(&self) -> Hold {
        Hold::Always(HOLD)
    }

    /// GitHub asks for no concurrent requests:
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests>
    fn at_once(&self) -> usize {
        1
    }

    fn check(&self, recognition: &Recognition) -> Result<(), PublishError> {
        Place::of(recognition, &self.host).map(drop)
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        self.publish_held(recognition, self.clock.now() + HOLD).await
    }

    async fn publish_held(&self, recognition: &Recognition, until: Moment) -> Result<(), PublishError> {
        let (place, contribution) = Place::of(recognition, &self.host)?;
        self.check_pause(Scope::Everything)?;
        self.check_pause(self.scope_of(&place).await)?;
        let thanked = self.thank(recognition, &place, contribution, until).await;
        // The installation may have become known meanwhile.
        let scope = self.scope_of(&place).await;
        thanked.map_err(|failure| self.classify(failure, scope))?;
        let mut pauses = lock(&self.pauses);
        pauses.remove(&Scope::Everything);
        pauses.remove(&scope);
        Ok(())
    }

    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        Self::describe(self).await
    }

    async fn ping(&self) -> Result<(), PublishError> {
        self.check_pause(Scope::Everything)?;
        let now = self.clock.now();
        if lock(&self.answered).is_some_and(|at| now - at < PING_CACHE) {
            return Ok(());
        }
        let answer = match &self.credential {
            Credential::Token { token, .. } => get_account(&self.api, token).await,
            Credential::App(app) => match app.own_token() {
                Ok(token) => self.api.send(Ask::Get("/app"), &token).await,
                Err(failure) => Err(failure),
            },
        };
        answer.map_err(|failure| self.classify(failure, Scope::Everything))?;
        *lock(&self.answered) = Some(now);
        Ok(())
    }
}

/// The base URL of GitHub's public API.
#[must_use]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a constant, parsed by a test below")]
pub fn public_api() -> Url {
    Url::parse("https://api.github.com").expect("a constant URL")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_api_is_that_of_github() {
        assert_eq!(place::host_of(&public_api()), "github");
    }
}
