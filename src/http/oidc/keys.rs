//! Google's public keys: kept, and fetched by one background task that all callers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::watch;

use super::OidcError;
use crate::domain::Moment;
use crate::runtime::{Clock, Tasks};

/// How long keys are kept where the answer does not say.
const KEEP: Duration = Duration::from_hours(1);
/// How long keys that expired are still used while newer ones cannot be fetched.
const KEEP_EXPIRED: Duration = Duration::from_hours(24);
/// How soon keys may be fetched again, for a token that names none of them.
const AGAIN: Duration = Duration::from_mins(1);
/// How soon they may be fetched again after a failure.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The timeout of a whole fetch, and so of everyone who waits for it.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most bytes of an answer; Google's has about 2 KiB.
const MOST_BYTES: usize = 256 * 1024;

/// Google's public keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: String,
    client: reqwest::Client,
    expired_wait: Duration,
    clock: Clock,
    tasks: Tasks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    last: Option<Fetch>,
}

#[derive(Debug)]
struct Kept {
    set: JwkSet,
    expires: Moment,
}

/// One fetch, under way or ended.
#[derive(Clone, Debug)]
struct Fetch {
    began: Moment,
    outcome: watch::Receiver<Option<Result<(), String>>>,
}

impl Fetch {
    /// Whether it is under way, or so recent that no other may begin.
    fn holds(&self, now: Moment) -> bool {
        let pause = match &*self.outcome.borrow() {
            None => return self.outcome.has_changed().is_ok(),
            Some(Ok(())) => AGAIN,
            Some(Err(_)) => AGAIN_AFTER_FAILURE,
        };
        // A clock that was set back must not prolong the pause.
        (self.began..self.began + pause).contains(&now)
    }
}

impl State {
    fn key(&self, id: &str, now: Moment) -> Option<Result<DecodingKey, OidcError>> {
        let kept = self.kept.as_ref().filter(|kept| now < kept.expires + KEEP_EXPIRED)?;
        let unreadable = |error| OidcError::NoKeys(format!("a key cannot be read: {error}"));
        Some(DecodingKey::from_jwk(kept.set.find(id)?).map_err(unreadable))
    }

    fn is_fresh(&self, now: Moment) -> bool {
        self.kept.as_ref().is_some_and(|kept| now < kept.expires)
    }
}

impl Keys {
    /// Found at `url`. While newer ones are fetched, a key that expired is used after `expired_wait`.
    pub(super) fn new(
        url: String,
        expired_wait: Duration,
        clock: Clock,
        tasks: Tasks,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().build()?;
        Ok(Self(Arc::new(Shared { url, client, expired_wait, clock, tasks, state: Mutex::default() })))
    }

    /// The key with that id. One that is fresh is returned at once. For any other the keys are fetched first, because
    /// Google rotates them: at most once in a while, by one task for all callers, so that a stranger's invented ids
    /// delay no genuine token. For one that has expired the fetch is waited for a moment only; not left to itself
    /// altogether, because Cloud Run throttles the processor between requests, and it would not end.
    pub(super) async fn find(&self, id: &str) -> Result<DecodingKey, OidcError> {
        let (expired, mut fetch) = {
            let (mut state, now) = (self.state(), self.0.clock.now());
            match state.key(id, now) {
                Some(key) if state.is_fresh(now) => return key,
                expired => (expired.is_some(), self.fetch(&mut state, now)),
            }
        };
        let ended =
            async { fetch.outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone()) };
        let outcome = if expired {
            tokio::time::timeout(self.0.expired_wait, ended).await.unwrap_or_default()
        } else {
            ended.await
        };
        let key = self.state().key(id, self.0.clock.now());
        match (key, outcome) {
            (Some(key), _) => key,
            (None, Some(Ok(()))) => Err(not_one_of_them()),
            (None, Some(Err(why))) => Err(OidcError::NoKeys(why)),
            (None, None) => Err(OidcError::NoKeys("the fetch was cancelled".into())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last fetch, if no other may begin yet; else a new one.
    fn fetch(&self, state: &mut State, now: Moment) -> Fetch {
        if let Some(last) = state.last.as_ref().filter(|last| last.holds(now)) {
            return last.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let fetch = Fetch { began: now, outcome };
        state.last = Some(fetch.clone());
        let (keys, stopping) = (self.clone(), self.0.tasks.stopping());
        // In a task of its own, so that it ends even if the client that caused it goes away.
        self.0.tasks.spawn(async move {
            let late = |_| Err(format!("no answer within {} s", DEADLINE.as_secs()));
            let fetched = tokio::time::timeout(DEADLINE, keys.0.get(now));
            let fetched = tokio::select! {
                () = stopping.cancelled() => return,
                fetched = fetched => fetched.unwrap_or_else(late),
            };
            sender.send_replace(Some(keys.keep(fetched)));
        });
        fetch
    }

    fn keep(&self, fetched: Result<Kept, String>) -> Result<(), String> {
        let mut state = self.state();
        match fetched {
            Ok(kept) => state.kept = Some(kept),
            Err(why) => {
                if state.kept.is_some() {
                    tracing::warn!(why, "Google's keys cannot be fetched; the previous ones are used");
                }
                return Err(why);
            }
        }
        Ok(())
    }
}

fn not_one_of_them() -> OidcError {
    OidcError::Refused("the token's key is not one of Google's".into())
}

impl Shared {
    async fn get(&self, now: Moment) -> Result<Kept, String> {
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let answer = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(failed)?;
        let expires = now + keep(answer.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(format!("the answer has more than {} KiB", MOST_BYTES / 1024));
            }
            bytes.extend_from_slice(&chunk);
        }
        let set = serde_json::from_slice(&bytes).map_err(|error| format!("no set of keys: {error}"))?;
        Ok(Kept { set, expires })
    }
}

/// How long the answer says that its keys may be kept, within limits.
fn keep(headers: &http::HeaderMap) -> Duration {
    let control = headers.get(http::header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let mut parts = control.into_iter().flat_map(|control| control.split(','));
    let age = parts.find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    age.map_or(KEEP, Duration::from_secs).clamp(AGAIN, 24 * KEEP)
}
