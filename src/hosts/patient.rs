//! Requests to a host's API for as long as it takes: waits at the host's limits, and tries again what fails in passing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::api::{Answer, Api, ApiError, Sent};
use crate::domain::Moment;
use crate::runtime::{Backoff, Clock};
use crate::settings::Secret;

/// How often in a row a request may fail in passing.
const TRIES: u32 = 8;
const BETWEEN_TRIES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// How long to wait at a limit without a stated end: GitHub asks for a minute at least, and longer each time.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const AT_A_LIMIT: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(15));
/// How often in a row one request may be refused by a limit.
const LIMITS: u32 = 20;

/// Is called with a line for a person: when there is a wait, and what they should know.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Tokens that expire, and are replaced before they do.
#[async_trait]
pub trait Renewal: Send + Sync {
    /// A token that is valid now; asks `api` for one where there is none.
    async fn token(&self, api: &Api) -> Result<Secret, ApiError>;

    /// Has the next call of [`token`](Renewal::token) ask for another one.
    async fn discard(&self);
}

/// An API that is asked patiently.
pub struct Patient {
    pub(super) api: Api,
    clock: Clock,
    notice: Notice,
    /// `None` where the API has a token for good.
    renewal: Option<Box<dyn Renewal>>,
    /// Until when the limit is used up, by the last answer.
    blocked: Mutex<Option<Moment>>,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("api", &self.api).finish_non_exhaustive()
    }
}

impl Patient {
    pub fn new(api: Api, renewal: Option<Box<dyn Renewal>>, clock: Clock, notice: Notice) -> Self {
        Self { api, clock, notice, renewal, blocked: Mutex::new(None) }
    }

    /// Says something to the person who waits.
    pub(super) fn say(&self, line: &str) {
        (self.notice)(line);
    }

    /// How many requests were sent, failed ones too.
    pub(super) fn calls(&self) -> u64 {
        self.api.calls()
    }

    /// Sends a request until `read` takes the answer; for requests that may be repeated.
    pub(super) async fn ask<T>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        read: impl Fn(&Answer) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (mut failures, mut limits, mut renewed) = (0, 0, false);
        loop {
            self.wait_for_the_limit().await;
            let read_answer = match self.send(method.clone(), path, body).await {
                Ok(Sent::Answer(Answer { status: StatusCode::UNAUTHORIZED, .. }))
                    if !renewed && self.renewal.is_some() =>
                {
                    // It was revoked, or expired by the host's clock.
                    renewed = true;
                    if let Some(renewal) = &self.renewal {
                        renewal.discard().await;
                    }
                    continue;
                }
                Ok(Sent::Answer(answer)) => {
                    *self.blocked.lock().await = answer.used_up_until();
                    read(&answer)
                }
                Ok(Sent::Limited(limit)) if limits < LIMITS => {
                    let wait = limit.wait(self.clock.now()).unwrap_or(AT_A_LIMIT.after(limits));
                    limits += 1;
                    self.pause(&format!("{}'s rate limit is used up", self.api.name), wait).await;
                    continue;
                }
                Ok(Sent::Limited(_)) => Err(ApiError::Lasting(format!(
                    "{}'s rate limit stays used up; run this again later: it goes on where it stopped",
                    self.api.name
                ))),
                Err(error) => Err(error),
            };
            match read_answer {
                Err(ApiError::Passing(why)) if failures + 1 < TRIES => {
                    let wait = BETWEEN_TRIES.jittered(failures);
                    failures += 1;
                    self.pause(&why, wait).await;
                }
                done => return done,
            }
        }
    }

    /// Sends one request, with a token that is valid now.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Sent, ApiError> {
        if let Some(renewal) = &self.renewal {
            match renewal.token(&self.api).await {
                Ok(token) => self.api.set_token(&token),
                Err(ApiError::Limited(_, limit)) => return Ok(Sent::Limited(limit)),
                Err(error) => return Err(error),
            }
        }
        self.api.try_send(method, path, body).await
    }

    async fn wait_for_the_limit(&self) {
        let blocked = self.blocked.lock().await.take();
        let wait = blocked.and_then(|until| (until - self.clock.now()).to_std().ok());
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            self.pause(&format!("{}'s rate limit is used up", self.api.name), wait).await;
        }
    }

    async fn pause(&self, why: &str, wait: Duration) {
        let seconds = wait.as_millis().div_ceil(1_000);
        (self.notice)(&format!("{why}; waiting {seconds} s"));
        sleep(wait).await;
    }
}
