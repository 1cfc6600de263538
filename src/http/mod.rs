//! What a client sees.

pub mod access;
mod app;
pub mod body;
mod contributions;
mod contributors;
mod docs;
mod list;
mod observe;
pub mod oidc;
pub mod openapi;
mod operations;
pub mod problem;
mod ready;
mod recognitions;
mod schema;
mod server;
pub mod verdict;
mod webhooks;

pub use app::{App, Overrides};

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};

use self::problem::{Problem, ProblemKind};

impl App {
    /// Serves on `listener` until `stop`: then takes no new connection, ends the requests in flight, and
    /// drains the outbox, all within 8 seconds.
    pub async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener, stop: impl Future<Output = ()>) {
        const FAREWELL: Duration = Duration::from_secs(8);
        let head = self.limits.head;
        let stopped_at =
            server::run(listener, router(Arc::clone(&self)), head, &self.tasks, stop, FAREWELL).await;
        let left = || FAREWELL.saturating_sub(stopped_at.elapsed());
        match tokio::time::timeout(left(), self.outbox.drain()).await {
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
        if tokio::time::timeout(left(), self.tasks.end()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }
}

/// Every route.
fn router(app: Arc<App>) -> Router {
    let nothing = |request: Request| {
        body::turned_away(
            Problem::new(ProblemKind::NotFound, "no such path; GET /docs lists them all"),
            request,
        )
    };
    let method = |request: Request| {
        body::turned_away(
            Problem::new(ProblemKind::MethodNotAllowed, "see the header Allow, or GET /docs"),
            request,
        )
    };
    Router::new()
        .route("/", get(operations::welcome))
        .route("/webhooks/{host}", post(webhooks::receive))
        .route("/v1/contributions", post(contributions::create))
        .route("/v1/contributions/{id}", get(contributions::show))
        .route("/v1/contributors", get(contributors::list))
        .route("/v1/contributors/{id}", get(contributors::show))
        .route("/v1/contributors/{id}/contributions", get(contributors::contributions))
        .route("/v1/recognitions", get(recognitions::list))
        .route("/v1/recognitions/stream", get(recognitions::stream))
        .route("/v1/recognitions/{id}", get(recognitions::show))
        .route("/healthz", get(operations::alive))
        .route("/readyz", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .route("/internal/drain", post(operations::drain))
        .route("/openapi.json", get(openapi::serve))
        .route("/docs", get(docs::page))
        .route("/docs/{asset}", get(docs::asset))
        .fallback(nothing)
        .method_not_allowed_fallback(method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), observe::observe))
        .with_state(app)
}
