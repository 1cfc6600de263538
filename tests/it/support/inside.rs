//! plaudit as a library, inside the process of the test. Here alone tests read a configuration and start an `App`.

use std::sync::Arc;

use plaudit::config::{Config, Flags};
use plaudit::http::{App, Overrides};
use plaudit::publish::Publisher;
use plaudit::publish::local::Local;
use plaudit::runtime::Clock;
use plaudit::store::Store;
use plaudit::store::sqlite::Sqlite;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Client, GITHUB_SECRET, GITLAB_TOKEN, in_the_end, now};

/// A plaudit that runs inside this process, on a port of its own, with what the test puts in its place.
pub(crate) struct Inside {
    pub(crate) client: Client,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    /// Removed with this, where the store is one of its own.
    folder: Option<TempDir>,
}

impl std::ops::Deref for Inside {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Inside {
    pub(crate) async fn start(config: &Config, store: Arc<dyn Store>, seams: Overrides) -> Self {
        Self::publishing(config, store, vec![Arc::new(Local)], seams).await
    }

    /// Starts one over an empty store of its own, with a [`frozen`] clock.
    pub(crate) async fn alone(variables: &[(&str, &str)]) -> Self {
        Self::alone_with(variables, frozen()).await
    }

    /// Starts one over an empty store of its own.
    pub(crate) async fn alone_with(variables: &[(&str, &str)], seams: Overrides) -> Self {
        let (folder, store) = ledger();
        let inside = Self::start(&config(variables), store, seams).await;
        Self { folder: Some(folder), ..inside }
    }

    pub(crate) async fn publishing(
        config: &Config,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        seams: Overrides,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
        let app = App::start(config, store, publishers, seams).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(app.serve(listener, async move { stopped.cancelled().await }));
        Self { client, stop, serving, folder: None }
    }

    pub(crate) fn address(&self) -> String {
        self.client.url.strip_prefix("http://").unwrap().to_owned()
    }

    /// Stops it, and waits for the end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        in_the_end("the end of the service", self.serving).await.unwrap();
        drop(self.folder);
    }
}

/// A clock that always says [`now`].
pub(crate) fn frozen() -> Overrides {
    Overrides { clock: Clock::from_fn(now), ..Overrides::default() }
}

/// A configuration of these variables, with the secrets of the tests; an empty value unsets a variable.
pub(crate) fn config(variables: &[(&str, &str)]) -> Config {
    let secrets = [("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET), ("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN)];
    let given = |name: &str| {
        let mut all = variables.iter().chain(&secrets).filter(|(known, _)| *known == name);
        all.next().map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
    };
    let flags = Flags {
        public_read: given("PLAUDIT_PUBLIC_READ"),
        drain_audience: given("PLAUDIT_DRAIN_AUDIENCE"),
        drain_email: given("PLAUDIT_DRAIN_EMAIL"),
        log_format: given("PLAUDIT_LOG_FORMAT"),
        ..Flags::default()
    };
    Config::read(&flags, &given).unwrap()
}

/// A ledger in a file of its own, and the folder that must live as long.
pub(crate) fn ledger() -> (TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
    (folder, Arc::new(store))
}
