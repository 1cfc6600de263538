//! Thanks the contributor with one comment on the pull request or issue that reached the milestone.
//!
//! Before anything is written, everything that speaks against it is looked up, and every comment that stands
//! there is searched for a hidden marker that names the recognition. Only a marker of our own counts: anybody
//! can write one into a comment of theirs. See `docs/comments.md`.

mod check;
mod credential;
mod github;
mod place;
mod refusal;
mod template;
mod thank;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{PublishError, Publisher};
use crate::config::Commenting;
use crate::domain::{Destination, GiveUp, Moment, Recognition};
use crate::runtime::Clock;

use credential::{Credential, ask_who};
use github::{Api, Ask, Failure};
use place::Place;
use refusal::never;
use template::Template;

pub use credential::check_app_key;
pub use template::check_template;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a recognition is held for one drain.
const HOLD: Duration = Duration::from_secs(20);
/// How long all may take that comes before the writing.
const LOOKING: Duration = Duration::from_secs(14);
/// The writing too ends before the hold does.
const _: () = assert!(LOOKING.as_secs() + PATIENCE.as_secs() < HOLD.as_secs());
/// The first wait at a limit for which GitHub sets no time, and the longest: each is twice the one before.
const FIRST_BACKOFF: Duration = Duration::from_mins(1);
const DOUBLINGS: u32 = 6;
/// How long an answer to "who am I" serves for readiness, which asks often.
const FRESH: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// Comments on GitHub as a destination.
#[derive(Debug)]
pub struct Comments {
    api: Api,
    credential: Credential,
    template: Template,
    host: String,
    clock: Clock,
    /// Until when no request is sent, and why.
    paused: Mutex<Option<(Moment, String)>>,
    /// How many limits without a time came in a row.
    limits: AtomicU32,
    answered: Mutex<Option<Moment>>,
}

impl Comments {
    /// Opens no connection. Must be called inside the runtime.
    pub fn open(commenting: &Commenting, clock: Clock) -> Result<Self, PublishError> {
        Self::with_patience(commenting, clock, PATIENCE)
    }

    /// Like [`Comments::open`], for a test that would not wait as long for one request.
    pub fn with_patience(
        commenting: &Commenting,
        clock: Clock,
        patience: Duration,
    ) -> Result<Self, PublishError> {
        let wrong = |why| never(GiveUp::Misconfigured, why);
        let api = Api::new(&commenting.api, patience).map_err(wrong)?;
        Ok(Self {
            host: place::host_of(api.base()),
            api,
            credential: Credential::new(&commenting.credential, clock.clone()).map_err(wrong)?,
            template: Template::parse(&commenting.template).map_err(wrong)?,
            clock,
            paused: Mutex::default(),
            limits: AtomicU32::default(),
            answered: Mutex::default(),
        })
    }

    /// What a failure means, and no request for as long as GitHub asked for none.
    fn judge(&self, failure: Failure) -> PublishError {
        let limits = self.limits.load(Ordering::Relaxed).min(DOUBLINGS);
        let backoff = FIRST_BACKOFF * 2_u32.pow(limits);
        let error = failure.judge(self.clock.now(), backoff);
        if let PublishError::Down { why, after: Some(after) } = &error {
            if *after == backoff {
                self.limits.store(limits + 1, Ordering::Relaxed);
            }
            let until = self.clock.now() + *after;
            *lock(&self.paused) = Some((until, why.clone()));
        }
        error
    }

    /// Ends at once while GitHub wants to be left alone.
    fn unpaused(&self) -> Result<(), PublishError> {
        let paused = lock(&self.paused).clone();
        let left = |until: Moment| (until - self.clock.now()).to_std().ok().filter(|left| !left.is_zero());
        match paused {
            Some((until, why)) => {
                left(until).map_or(Ok(()), |left| Err(PublishError::Down { why, after: Some(left) }))
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Publisher for Comments {
    fn destination(&self) -> Destination {
        Destination::Comment
    }

    /// Longer than one comment can take, so that nobody else begins it meanwhile.
    fn hold(&self) -> Duration {
        HOLD
    }

    /// GitHub asks for one request after the other:
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests>
    fn at_once(&self) -> usize {
        1
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let (place, contribution) = Place::of(recognition, &self.host)?;
        self.unpaused()?;
        let thanked = self.thank(recognition, &place, contribution).await;
        thanked.map_err(|failure| self.judge(failure))?;
        self.limits.store(0, Ordering::Relaxed);
        Ok(())
    }

    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        Self::describe(self).await
    }

    async fn ping(&self) -> Result<(), PublishError> {
        self.unpaused()?;
        let now = self.clock.now();
        if lock(&self.answered).is_some_and(|at| now - at < FRESH) {
            return Ok(());
        }
        let answer = match &self.credential {
            Credential::Token { token, .. } => ask_who(&self.api, token).await,
            Credential::App(app) => match app.own_token() {
                Ok(token) => self.api.send(Ask::Get("/app"), &token).await,
                Err(failure) => Err(failure),
            },
        };
        answer.map_err(|failure| self.judge(failure))?;
        *lock(&self.answered) = Some(now);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
