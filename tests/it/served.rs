//! A small instance for the tests of what describes the API: in this process, on a free port, its clock held.

use std::sync::Arc;

use plaudit::config::{Config, Flags, Secret, StoreAt};
use plaudit::domain::Moment;
use plaudit::http::{App, Seams};
use plaudit::runtime::Clock;
use plaudit::store::{self, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The token that is let in.
pub const TOKEN: &str = "a-token-of-the-tests";
/// The time, always.
pub const NOW: &str = "2026-11-24T10:00:00Z";

pub struct Served {
    pub url: String,
    pub config: Config,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A client that speaks to this machine, whatever proxy stands before others.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub fn now() -> Moment {
    NOW.parse().unwrap()
}

impl Served {
    /// An instance with a store of its own. It believes GitHub and GitLab, unless `adjust` says otherwise.
    pub async fn start(adjust: impl FnOnce(&mut Config, &mut Seams)) -> Self {
        Self::over(None, adjust).await
    }

    /// An instance over this store.
    pub async fn over(store: Option<Arc<dyn Store>>, adjust: impl FnOnce(&mut Config, &mut Seams)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::read(&Flags::default(), &|_| None).unwrap();
        config.store = StoreAt::Sqlite(folder.path().join("plaudit.db"));
        config.hosts.github = vec![Secret::new("a secret of the tests")];
        config.hosts.gitlab_token = vec![Secret::new("another secret of the tests")];
        let mut seams = Seams { clock: Clock::from_fn(now), ..Seams::default() };
        adjust(&mut config, &mut seams);
        let store = match store {
            Some(store) => store,
            None => store::open(&config.store).await.unwrap(),
        };
        let publishers = plaudit::publish::open(&config, &seams.clock).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = App::start(&config, store, publishers, seams).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        #[allow(clippy::disallowed_methods, reason = "`end` waits for it")]
        let serving = tokio::spawn(app.serve(listener, async move { stopped.cancelled().await }));
        Self { url, config, stop, serving, _folder: folder }
    }

    /// Stops it, and waits until it has stopped.
    pub async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}
