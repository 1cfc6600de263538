//! plaudit as a library, inside the process of the test. Here alone tests read a configuration and start an `App`.

use std::sync::Arc;

use plaudit::config::Config;
use plaudit::domain::Milestones;
use plaudit::hosts::{Host, KNOWN};
use plaudit::http::{App, Overrides};
use plaudit::outbox::Outbox;
use plaudit::publish::Publisher;
use plaudit::publish::local::Local;
use plaudit::record::Recorder;
use plaudit::runtime::{Clock, Tasks};
use plaudit::settings::{Flags, InvalidConfig, Settings};
use plaudit::store::Store;
use plaudit::store::sqlite::Sqlite;
use plaudit::telemetry::Metrics;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Client, GITHUB_SECRET, GITLAB_TOKEN, TOKEN, in_the_end, now};

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
    pub(crate) async fn start(config: &Config, store: Arc<dyn Store>, overrides: Overrides) -> Self {
        Self::publishing(config, store, vec![Arc::new(Local)], overrides).await
    }

    /// Starts one over an empty store of its own, with a [`frozen`] clock.
    pub(crate) async fn alone(variables: &[(&str, &str)]) -> Self {
        Self::alone_with(variables, frozen()).await
    }

    /// Starts one over an empty store of its own.
    pub(crate) async fn alone_with(variables: &[(&str, &str)], overrides: Overrides) -> Self {
        let (folder, store) = ledger();
        let inside = Self::start(&config(variables), store, overrides).await;
        Self { folder: Some(folder), ..inside }
    }

    pub(crate) async fn publishing(
        config: &Config,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        overrides: Overrides,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).with_token(TOKEN);
        let app = App::start(config.service.clone(), store, publishers, overrides).unwrap();
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

/// A configuration of these variables, with the secrets and the token of the tests; an empty value unsets a
/// variable.
pub(crate) fn config(variables: &[(&str, &str)]) -> Config {
    let secrets = [
        ("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET),
        ("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN),
        ("PLAUDIT_API_TOKENS", TOKEN),
    ];
    let given = |name: &str| {
        let mut all = variables.iter().chain(&secrets).filter(|(known, _)| *known == name);
        all.next().map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
    };
    Config::read(&Flags::default(), &given).unwrap()
}

/// A host with these secrets; `None` where none of them is its own.
pub(crate) fn host(name: &str, secrets: &[(&str, &str)]) -> Result<Option<Arc<dyn Host>>, InvalidConfig> {
    let env =
        |name: &str| secrets.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let flags = Flags::default();
    let mut settings = Settings::new(&flags, &env);
    let known = KNOWN.iter().find(|known| known.name == name).unwrap();
    let host = (known.open)(&mut settings);
    settings.finish(host)
}

/// What records into a store and publishes nowhere.
pub(crate) fn recorder(store: &Arc<dyn Store>, milestones: &Milestones) -> Recorder {
    let (clock, metrics) = (Clock::system(), Metrics::new(&["github", "gitlab"]).unwrap());
    let outbox =
        Outbox::new(Arc::clone(store), Vec::new(), milestones.clone(), clock.clone(), metrics.clone());
    Recorder::start(store, &Arc::new(outbox), milestones, &clock, &metrics, &Tasks::default())
}

/// A ledger in a file of its own, and the folder that must live as long.
pub(crate) fn ledger() -> (TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("plaudit.db")).unwrap();
    (folder, Arc::new(store))
}
