//! For operators: health, metrics, the drain, and the deliveries that failed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use tokio::time::Instant;

use super::access::{Peer, bearer};
use super::app::App;
use super::problem::{Problem, ProblemKind};
use super::schema;
use crate::outbox::{DRAIN, Drained};
use crate::reconcile::{Ask, ROUND, Reconciled, Sum};

/// Whether it works.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    #[schema(schema_with = states)]
    status: &'static str,
}

fn states() -> utoipa::openapi::Object {
    let description = "`degraded` while a destination is down and recognitions wait for it.";
    schema::words(description, ["ok", "degraded"])
}

/// Says that the process runs.
#[utoipa::path(
    get, path = "/healthz", operation_id = "isAlive", tag = "operations",
    responses((status = 200, description = "It runs.", body = Health)),
)]
pub(super) async fn alive() -> Json<Health> {
    Json(ALIVE)
}

/// What a process says that runs.
pub(super) const ALIVE: Health = Health { status: "ok" };

/// Says whether the store answers.
///
/// The store and the destinations are asked at most every 5 seconds. A destination that is down is no failure:
/// recognitions wait for it.
#[utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "operations",
    responses((status = 200, description = "The store answers.", body = Health)),
    extensions(("x-problems" = json!([ProblemKind::Unavailable]))),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, Problem> {
    let answers = app.ready.ask().await;
    if let Err(error) = answers.store {
        return Err(Problem::new(ProblemKind::Unavailable, "the store does not answer").because(&error));
    }
    let well = answers.destinations && app.outbox.healthy();
    Ok(Json(Health { status: if well { "ok" } else { "degraded" } }))
}

/// Shows the metrics, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "readMetrics", tag = "operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden]))),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    app.access.read(&headers)?;
    app.backlog.refresh(&app.reads, &app.outbox, &app.tasks).await;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((StatusCode::OK, kind, app.metrics.text()).into_response())
}

/// What a drain did.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Drained)]
pub struct DrainedView {
    /// Recognitions that a crash or a change of milestones had left owed, made now.
    recognized: u64,
    /// Recognitions that a destination took.
    published: u64,
    /// Recognitions that still wait for a destination.
    waiting: u64,
    /// Recognitions that are due at a destination which is turned off; absent if there are none.
    #[serde(skip_serializing_if = "is_none")]
    #[schema(required = false)]
    turned_off: u64,
    /// `true` if not everything was looked at, because 20 seconds had passed or the store failed; absent otherwise.
    /// What had begun goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unfinished: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl DrainedView {
    fn of(drained: Drained) -> Self {
        let Drained { recognized, published, waiting, turned_off, unfinished, .. } = drained;
        Self { recognized, published, waiting, turned_off, unfinished }
    }
}

/// Recognises what is owed, and publishes what waits.
///
/// For a scheduler: one sweep for recognitions that are owed, and one pass over the outbox. Drains at the same time
/// share them. After 20 seconds it answers with what is left.
#[utoipa::path(
    post, path = "/internal/drain", operation_id = "drain", tag = "operations",
    responses((status = 200, description = "What was done.", body = DrainedView)),
    security((), ("token" = []), ("oidc" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn drain(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<DrainedView>, Problem> {
    may_drain(&app, &headers, peer).await?;
    let drained = app.outbox.drain(Instant::now() + DRAIN).await?;
    app.outbox.log(drained);
    Ok(Json(DrainedView::of(drained)))
}

/// What a round over the failed deliveries did.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Reconciled)]
pub struct ReconciledView {
    /// The webhooks that were looked at.
    webhooks: u64,
    /// The deliveries that the hosts listed.
    listed: u64,
    /// The deliveries that the hosts were asked for again.
    asked: u64,
    /// The deliveries that were asked for, or are to be, and of which no success is listed yet.
    waiting: u64,
    /// The deliveries that the host can send no more; absent if there are none.
    #[serde(skip_serializing_if = "is_none")]
    #[schema(required = false)]
    lost: u64,
    /// What is wrong with which webhook, for a person; absent if nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    problems: Vec<String>,
    /// `true` if the next round has to go on, because the time had passed, a host's rate limit was used up or a request
    /// failed; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unfinished: bool,
}

impl ReconciledView {
    fn of(Reconciled { sum, problems }: Reconciled) -> Self {
        let Sum { hooks: webhooks, listed, asked, waiting, lost, unfinished, .. } = sum;
        Self { webhooks, listed, asked, waiting, lost, problems, unfinished }
    }
}

/// Asks the hosts for the deliveries that failed.
///
/// For a scheduler: one round over the webhooks in `PLAUDIT_RECONCILE`. Rounds at the same time follow each other. After
/// 200 seconds, or 30 seconds before requests are cut, it answers, and the next round goes on from there.
#[utoipa::path(
    post, path = "/internal/reconcile", operation_id = "reconcile", tag = "operations",
    responses((status = 200, description = "What was done.", body = ReconciledView)),
    security((), ("token" = []), ("oidc" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn reconcile(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<ReconciledView>, Problem> {
    may_drain(&app, &headers, peer).await?;
    if app.reconciler.is_off() {
        let off = "nothing is reconciled here; PLAUDIT_RECONCILE says what is, such as github:OWNER/REPO";
        return Err(Problem::new(ProblemKind::NotFound, off));
    }
    let ask = Ask {
        until: Some(Instant::now() + app.request_timeout.at_most(ROUND)),
        stop: Some(app.tasks.streams_stopping()),
        dry_run: false,
        enable: false,
        say: &|_| {},
    };
    Ok(Json(ReconciledView::of(app.reconciler.round(&ask).await)))
}

async fn may_drain(app: &App, headers: &HeaderMap, peer: Peer) -> Result<(), Problem> {
    let set = "; or an OIDC token of the service account in PLAUDIT_DRAIN_EMAIL for PLAUDIT_DRAIN_AUDIENCE";
    let Err(refusal) = app.access.manage(headers, peer, "draining", set) else { return Ok(()) };
    let (ProblemKind::WrongToken, Some(verifier), Some(token)) = (refusal.kind, &app.oidc, bearer(headers))
    else {
        return Err(refusal);
    };
    verifier.verify(token).await.map_err(|error| match error {
        super::oidc::OidcError::Refused(why) => {
            tracing::warn!(why, "a drain was refused: its OIDC token is wrong");
            refusal
        }
        super::oidc::OidcError::NoKeys(why) => {
            tracing::warn!(why, "a drain was refused: Google's keys could not be fetched");
            Problem::new(ProblemKind::Unavailable, "the keys that verify this token could not be fetched")
        }
    })
}
