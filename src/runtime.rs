use std::future::Future;
use std::sync::Arc;

use chrono::SubsecRound;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::{Host, Url};

use crate::domain::Moment;

/// Tells the time. Cheap to clone; tests hold one that stands still.
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
    /// Starts a task. One that runs until told otherwise must end at [`Tasks::stopping`].
    #[allow(clippy::disallowed_methods, reason = "this is the owner that the lint asks for")]
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(self.tracker.track_future(task))
    }

    /// Resolves when the service stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells answers that never end by themselves to end now.
    pub fn stop_streams(&self) {
        self.streams.cancel();
    }

    /// Resolves when answers that never end by themselves should end.
    #[must_use]
    pub fn streams_stopping(&self) -> CancellationToken {
        self.streams.clone()
    }

    /// Tells every task to stop, and waits until the last has ended.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Whether a URL is of this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A client for `url`. What runs on this machine is spoken to without a proxy: none reaches it.
pub fn client_for(url: &Url) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder();
    if is_loopback(url) { client.no_proxy() } else { client }
}

/// A place at which a test may kill the process: it waits there for ever, once the named point is asked for.
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
