//! The HTTP interface: routes, and how the service ends.

pub mod access;
mod accounts;
mod app;
mod batch;
pub mod body;
mod budget;
mod cache;
mod contribution_list;
mod contributions;
mod contributors;
pub mod cors;
mod docs;
mod forget;
mod list;
mod mailmap;
mod observe;
pub mod oidc;
pub mod openapi;
mod operations;
mod pages;
pub mod problem;
pub mod proxies;
mod reads;
mod ready;
mod recognitions;
pub mod request_timeout;
mod schema;
mod sections;
mod server;
mod totals;
mod wire;
pub mod verdict;
mod waiting;
mod webhooks;

pub use app::{App, Overrides};
pub use sections::Sections;
pub use waiting::answer_until;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post, put};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use self::problem::ProblemKind;
use crate::record;
use crate::store::SLOWEST_WRITE;

/// How long after the signal to stop the requests in flight must have ended.
const REQUESTS_END: Duration = Duration::from_millis(9_100);
/// How long after the signal to stop the drain and all tasks must have ended.
const TASKS_END: Duration = Duration::from_millis(9_250);
/// How long before that the drain ends, so that it can say what is left.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// How long after the signal to stop the store must be closed: Cloud Run kills the process after 10 s.
const STORE_END: Duration = Duration::from_millis(9_400);
const _: () = assert!(
    body::READ_WAIT.as_millis() + SLOWEST_WRITE.as_millis() < REQUESTS_END.as_millis()
        && record::LONGEST.as_millis() < REQUESTS_END.as_millis()
        && REQUESTS_END.as_millis() < TASKS_END.as_millis()
        && TASKS_END.as_millis() < STORE_END.as_millis()
        && STORE_END.as_millis() < 9_500,
    "a request that begins just before the signal to stop must have time to end"
);

impl App {
    /// Serves on `listener` until `stop`. Then takes no new connection, lets the requests in flight end,
    /// drains the outbox meanwhile, ends all tasks and closes the store.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let router = router(Arc::clone(&self));
        let connections = server::accept(&self, listener, router, stop).await;
        let stopped_at = Instant::now();
        self.tasks.stop_streams();
        let requests = async {
            if timeout_at(stopped_at + REQUESTS_END, connections.shutdown()).await.is_err() {
                tracing::warn!("some requests in flight did not end in time");
            }
        };
        self.drain_beside(requests, stopped_at + TASKS_END).await;
        if timeout_at(stopped_at + TASKS_END, self.tasks.end()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        if timeout_at(stopped_at + STORE_END, self.store.close()).await.is_err() {
            tracing::warn!("the store could not be closed in time; it recovers at the next start");
        }
    }

    /// Drains the outbox while `requests` end, and again if they made recognitions after it was read.
    async fn drain_beside(&self, requests: impl Future<Output = ()>, until: Instant) {
        let made = self.outbox.made();
        let by = until - LAST_LOOK;
        let (mut drained, ()) = tokio::join!(timeout_at(until, self.outbox.drain(by)), requests);
        if made.has_changed().unwrap_or_default() {
            drained = timeout_at(until, self.outbox.drain(by)).await;
        }
        match drained {
            Ok(Ok(drained)) if drained.unfinished => {
                tracing::warn!(
                    outbox_waiting = drained.waiting,
                    "stopped; the outbox took too long, the rest is left for the next start"
                );
            }
            Ok(Ok(drained)) if drained.waiting > 0 => {
                tracing::warn!(
                    outbox_waiting = drained.waiting,
                    "stopped; what waits in the outbox was not taken, and is left for the next start"
                );
            }
            Ok(Ok(drained)) => {
                tracing::info!(outbox_waiting = drained.waiting, "stopped; the outbox is drained");
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "stopped; what waits in the outbox is left for the next start");
            }
            Err(_) => {
                tracing::warn!("stopped; the outbox took too long, the rest is left for the next start");
            }
        }
    }
}

/// Every route.
fn router(app: Arc<App>) -> Router {
    let nothing =
        |request| webhooks::astray(ProblemKind::NotFound, "no such path; GET /docs lists them all", request);
    let method = |request| {
        webhooks::astray(ProblemKind::MethodNotAllowed, "see the header Allow, or GET /docs", request)
    };
    let reads = Router::new()
        .route("/v1/contributions", get(contribution_list::list))
        .route("/v1/contributions/{id}", get(contributions::show))
        .route("/v1/contributors", get(contributors::list))
        .route("/v1/contributors/{id}", get(contributors::show))
        .route("/v1/contributors/{id}/contributions", get(contributors::contributions))
        .route("/v1/recognitions", get(recognitions::list))
        .route("/v1/recognitions/{id}", get(recognitions::show));
    let documents = Router::new()
        .route("/", get(pages::home::show))
        .route("/contributors/{id}", get(pages::contributor::show))
        .route("/how-it-counts", get(pages::rules::show))
        .route("/openapi.json", get(openapi::serve))
        .route("/docs", get(docs::page))
        .route("/docs/{asset}", get(docs::asset));
    // The method's fallback comes before the layer, which answers preflights in its place.
    let mut api = Router::new()
        .route("/v1/contributions", post(contributions::create))
        .route("/v1/contributions/batch", post(batch::create))
        .route("/v1/contributions/{id}", delete(contributions::retract))
        .route("/v1/contributors/{id}", delete(forget::forget))
        .route("/v1/contributors/{id}/accounts/{account}", put(accounts::link))
        .route("/v1/contributors/{id}/accounts/{account}", delete(accounts::unlink))
        .route("/v1/mailmap", post(mailmap::add))
        .route("/v1/recognitions/stream", get(recognitions::stream))
        .merge(cache::revalidated(reads))
        .method_not_allowed_fallback(method);
    if let Some(layer) = app.origins.layer() {
        api = api.layer(layer);
    }
    Router::new()
        .merge(api)
        .route("/badges/{file}", get(pages::badge::show))
        .route("/pages/{asset}", get(pages::asset::serve))
        .route("/webhooks/{host}", post(webhooks::receive))
        .merge(Router::new().route("/webhooks/{host}/", post(webhooks::receive)))
        .route("/healthz", get(operations::alive))
        .route("/readyz", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .route("/internal/drain", post(operations::drain))
        .route("/internal/reconcile", post(operations::reconcile))
        .merge(cache::revalidated(documents))
        .fallback(nothing)
        .method_not_allowed_fallback(method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), observe::observe))
        .with_state(app)
}
