use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound;
use futures::FutureExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::{Host, Url};

use crate::domain::Moment;

/// A source of the current time. Cheap to clone; tests use one with a fixed time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// The machine's clock, to the microsecond.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the machine for the time")]
    pub fn system() -> Self {
        Self(Arc::new(|| chrono::Utc::now().trunc_subsecs(6)))
    }

    /// A clock of the caller's own.
    pub fn from_fn(now: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The owner of every background task: all of them end when it does.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    streams: CancellationToken,
}

impl Tasks {
    /// Starts a task. A task that never ends by itself must end at [`Tasks::stopping`].
    #[allow(clippy::disallowed_methods, reason = "this is the owner that the lint asks for")]
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(self.tracker.track_future(task))
    }

    /// Resolves when the service stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends the answers that never end by themselves.
    pub fn stop_streams(&self) {
        self.streams.cancel();
    }

    /// Resolves when answers that never end by themselves should end.
    #[must_use]
    pub fn streams_stopping(&self) -> CancellationToken {
        self.streams.clone()
    }

    /// Stops every task, and waits until the last has ended.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Runs `task`; `None` if it panicked, so that the loop around it goes on. The panic hook has logged it.
pub async fn catch_panic<T>(task: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(task).catch_unwind().await.ok()
}

/// How long to wait after a number of failures: `first`, doubling with every further one up to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait where `failures` came before this one.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures)).min(self.longest)
    }

    /// Between half and the whole of that, so that many who wait do not come back together.
    #[must_use]
    pub fn jittered(self, failures: u32) -> Duration {
        self.after(failures).mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Random bytes for a secret, from the cryptographic generator that the system seeds.
#[must_use]
pub fn random_key() -> [u8; 32] {
    rand::random()
}

/// Raises the limit of open files to the most that this process may set, and returns it; `None` if there is none.
#[must_use]
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // If the system refuses, the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

/// Whether a URL names this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A client for `url`. Requests to this machine use no proxy: no proxy could reach it.
pub fn client_for(url: &Url) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder();
    if is_loopback(url) { client.no_proxy() } else { client }
}

/// A place at which a test can kill the process: where `PLAUDIT_STOP_AT` names it, it waits there for ever.
///
/// Compiled in with the feature `stop-points` only; elsewhere it is nothing at all.
#[cfg(feature = "stop-points")]
#[allow(clippy::disallowed_methods, reason = "read by tests alone, in builds that are never released")]
pub async fn stop_point(name: &str) {
    if std::env::var("PLAUDIT_STOP_AT").is_ok_and(|wanted| wanted == name) {
        tracing::warn!(stop_point = name, "waiting at a stop point");
        std::future::pending::<()>().await;
    }
}

/// Nothing: stop points are for tests.
#[cfg(not(feature = "stop-points"))]
#[allow(clippy::unused_async, reason = "the tests' build awaits here")]
pub async fn stop_point(_name: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_waits_twice_as_long_each_time_up_to_a_limit() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let waits = [0, 1, 5, 6, u32::MAX].map(|failures| backoff.after(failures).as_millis());
        assert_eq!(waits, [500, 1_000, 16_000, 30_000, 30_000]);
        for _ in 0..100 {
            let wait = backoff.jittered(1).as_millis();
            assert!((500..=1_000).contains(&wait), "{wait}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_no_more_than_no_answer() {
        assert_eq!(catch_panic(async { 1 }).await, Some(1));
        assert_eq!(catch_panic::<()>(async { panic!("on purpose") }).await, None);
    }
}
