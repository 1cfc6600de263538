//! The servers that are in this program: what each part of the way costs.

use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use plaudit::config::Config;
use plaudit::domain::Contribution;
use plaudit::hosts::{Delivery, Host, Reading, Rules};
use plaudit::publish::{Publisher, local::Local};
use plaudit::runtime::Clock;
use plaudit::settings::Flags;
use tokio::net::TcpListener;

use crate::null::Null;
use crate::{SECRET, minimal, rows};

const PATH: &str = "/webhooks/github";

/// Serves until the process is ended.
pub(crate) async fn serve(row: &str, ledger: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens on http://{}", listener.local_addr().unwrap());
    let router = match row {
        rows::BARE => axum::Router::new().route(PATH, post(bare)),
        "read" => axum::Router::new().route(PATH, post(read)).with_state(Arc::new(Reader::new())),
        "minimal" => {
            axum::Router::new().route(PATH, post(minimal::receive)).with_state(minimal::open(ledger))
        }
        rows::FORGETS => return forgets(listener).await,
        other => panic!("no server is called {other}"),
    };
    axum::serve(listener, router).await.unwrap();
}

async fn bare(body: Bytes) -> String {
    body.len().to_string()
}

fn configured() -> Config {
    let secret = |name: &str| (name == "PLAUDIT_GITHUB_SECRET").then(|| SECRET.to_owned());
    Config::read(&Flags::default(), &secret).unwrap()
}

/// plaudit's own reading of a delivery, and nothing else of it.
pub(crate) struct Reader {
    github: Arc<dyn Host>,
    rules: Rules,
    clock: Clock,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let config = configured();
        let github = config.service.hosts.into_iter().find_map(|opened| opened.host).unwrap();
        Self { github, rules: config.service.rules, clock: Clock::system() }
    }

    pub(crate) fn verified(&self, headers: &HeaderMap, body: Bytes) -> Delivery {
        let admitted = self.github.admit(headers, self.clock.now()).unwrap();
        self.github.verify(admitted, body.to_vec()).unwrap()
    }

    pub(crate) fn contribution(&self, delivery: &Delivery) -> Contribution {
        match self.github.read(delivery, &self.rules, self.clock.now()).unwrap().reading {
            Reading::Counts(mut contributions) => contributions.pop().unwrap(),
            other => panic!("the delivery does not count: {other:?}"),
        }
    }
}

async fn read(State(reader): State<Arc<Reader>>, headers: HeaderMap, body: Bytes) -> String {
    reader.contribution(&reader.verified(&headers, body)).id.to_string()
}

/// plaudit itself, over a store that forgets everything.
async fn forgets(listener: TcpListener) {
    let config = configured();
    plaudit::telemetry::install(config.log, Clock::system());
    let publishers = vec![Arc::new(Local) as Arc<dyn Publisher>];
    let overrides = plaudit::http::Overrides::default();
    let app = plaudit::http::App::start(config.service, Arc::new(Null), publishers, overrides).unwrap();
    app.serve(listener, std::future::pending()).await;
}
