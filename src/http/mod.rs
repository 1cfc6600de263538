//! What a client sees.

pub mod access;
pub mod body;
mod contributions;
mod contributors;
mod docs;
mod observe;
pub mod oidc;
pub mod openapi;
mod operations;
pub mod problem;
mod recognitions;
mod sections;
mod server;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::routing::{get, post};
use http::HeaderMap;
use http::request::Parts;

use self::access::Access;
use self::body::{Budget, Limits};
use self::problem::Problem;
pub use self::sections::Sections;
use crate::hosts;
use crate::outbox::Outbox;
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::runtime::{Clock, Tasks};
use crate::store::{Page, Paged, Store};
use crate::telemetry::Metrics;

/// Everything a request may need.
pub struct App {
    access: Access,
    hosts: Vec<hosts::Opened>,
    rules: hosts::Rules,
    limits: Limits,
    budget: Budget,
    recorder: Recorder,
    outbox: Arc<Outbox>,
    store: Arc<dyn Store>,
    stream: recognitions::Hub,
    ready: operations::Ready,
    oidc: Option<oidc::Verifier>,
    metrics: Metrics,
    clock: Clock,
    tasks: Tasks,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store.name()).finish_non_exhaustive()
    }
}

/// What a test may hold in its hand.
#[derive(Clone, Debug)]
pub struct Seams {
    /// What bodies may cost.
    pub limits: Limits,
    /// Where Google's public keys are found.
    pub google_keys: String,
    /// The time.
    pub clock: Clock,
}

impl Default for Seams {
    fn default() -> Self {
        Self { limits: Limits::default(), google_keys: oidc::GOOGLE_KEYS.into(), clock: Clock::system() }
    }
}

impl App {
    /// Starts the service's inside: lanes, outbox, stream. Nothing listens yet.
    pub fn start(
        sections: Sections,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        seams: Seams,
    ) -> anyhow::Result<Arc<Self>> {
        let Seams { limits, google_keys, clock } = seams;
        let Sections { hosts, access, milestones, rules, drain } = sections;
        let host_names: Vec<_> = hosts.iter().map(|host| host.known.name).collect();
        let (tasks, metrics) = (Tasks::default(), Metrics::new(&host_names)?);
        let outbox = Arc::new(Outbox::new(
            Arc::clone(&store),
            publishers,
            milestones.clone(),
            clock.clone(),
            metrics.clone(),
        ));
        tasks.spawn(Arc::clone(&outbox).run(tasks.stopping()));
        let recorder = Recorder::start(&store, &outbox, &milestones, &clock, &metrics, &tasks);
        let oidc = drain.map(|identity| oidc::Verifier::new(identity, google_keys, clock.clone()));
        Ok(Arc::new(Self {
            access,
            hosts,
            rules,
            budget: Budget::new(limits.budget),
            limits,
            recorder,
            stream: recognitions::Hub::new(Arc::clone(&store), outbox.made(), tasks.clone()),
            ready: operations::Ready::default(),
            oidc: oidc.transpose()?,
            outbox,
            store,
            metrics,
            clock,
            tasks,
        }))
    }

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
        self.store.close().await;
    }
}

/// Every route.
fn router(app: Arc<App>) -> Router {
    let nothing = |request: Request| {
        body::turned_away(Problem::new("not_found", "no such path; GET /docs lists them all"), request)
    };
    let method = |request: Request| {
        body::turned_away(Problem::new("method_not_allowed", "see the header Allow, or GET /docs"), request)
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

/// The last part of a path that names one thing, decoded; a problem like any other where it cannot be.
struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed = |_| Problem::new("malformed", "the id in the path must be UTF-8, percent-encoded");
        Path::from_request_parts(parts, state).await.map(|Path(id)| Self(id)).map_err(malformed)
    }
}

/// How a list is asked for.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// At most so many items, 1 to 100; 20 unless told.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Where to go on: from the last answer's `next`, never made by hand.
    cursor: Option<String>,
    /// Contributors only: described there.
    #[param(ignore)]
    order: Option<String>,
}

impl ListQuery {
    fn page(&self) -> Result<Page, Problem> {
        let limit = self.limit.as_deref().map_or(Ok(20), str::parse);
        match limit {
            Ok(limit) if (1..=100).contains(&limit) => Ok(Page { limit, after: self.cursor.clone() }),
            _ => Err(Problem::field("limit", "a whole number from 1 to 100")),
        }
    }
}

/// A page of a list, and where the next one is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ListOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// The next page's URL; null on the last page.
    #[schema(required = true)]
    pub next: Option<String>,
}

/// A page as it is answered: the next page's URL in the body and in a `Link` header.
fn list<T, V: serde::Serialize>(
    paged: Paged<T>,
    path: &str,
    query: &ListQuery,
    view: impl Fn(T) -> V,
) -> (HeaderMap, axum::Json<ListOf<V>>) {
    let next = paged.next.map(|cursor| {
        let mut parameters = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        for (name, value) in [("order", &query.order), ("limit", &query.limit)] {
            if let Some(value) = value {
                parameters.append_pair(name, value);
            }
        }
        parameters.append_pair("cursor", &cursor).finish()
    });
    let mut headers = HeaderMap::new();
    if let Some(link) = next.as_ref().and_then(|next| format!("<{next}>; rel=\"next\"").parse().ok()) {
        headers.insert(http::header::LINK, link);
    }
    (headers, axum::Json(ListOf { items: paged.items.into_iter().map(view).collect(), next }))
}

/// The query of a list, or what is wrong with it.
fn list_query(
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<ListQuery, Problem> {
    query.map(|Query(query)| query).map_err(|_| Problem::new("malformed", "each parameter may be given once"))
}
