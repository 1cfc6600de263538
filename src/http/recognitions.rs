//! Recognitions: as a list, one by one, and as they happen.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt as _, StreamExt as _};
use http::HeaderMap;
use serde::Serialize;

use super::app::App;
use super::list::{self, Id, ListOf, ListQuery, Paging, QueryNames};
use super::problem::{Problem, ProblemKind};
use super::schema;
use crate::domain::{Destination, GiveUp, Recognition, RecognitionId, fold_case};
use crate::feed::{Followed, Last};
use crate::publish::Message;
use crate::store::{Progress, RecognitionFilter, State as ProgressState};

/// A recognition, and what became of it at each destination.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RecognitionAndDestinations)]
pub struct RecognitionView {
    #[serde(flatten)]
    message: Message,
    /// What became of it at each destination that it was due at when it was made.
    destinations: Vec<ProgressView>,
}

/// What became of a recognition at one destination.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Progress)]
pub struct ProgressView {
    #[schema(schema_with = destinations)]
    destination: Destination,
    #[schema(schema_with = states)]
    state: &'static str,
    /// Why it was given up; absent otherwise.
    #[schema(value_type = String, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl From<Progress> for ProgressView {
    fn from(Progress { destination, state, reason }: Progress) -> Self {
        Self { destination, state: state.code(), reason: reason.map(GiveUp::code) }
    }
}

fn destinations() -> utoipa::openapi::Object {
    schema::words("Where it was to go.", Destination::ALL.map(Destination::as_str))
}

fn states() -> utoipa::openapi::Object {
    let meanings = ProgressState::ALL.map(|state| format!("`{}`: {}", state.code(), state.meaning()));
    schema::words(
        &format!("How far it got. {}.", meanings.join("; ")),
        ProgressState::ALL.map(ProgressState::code),
    )
}

/// Lists recognitions.
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/recognitions", operation_id = "listRecognitions", tag = "recognitions",
    params(
        ("contributor" = Option<String>, Query, description = "Only this contributor's: `{host}:{login}` or a plain name.", example = "github:octocat"),
        ("since" = Option<String>, Query, description = "Only those that were made then or later.", format = DateTime, example = "2026-11-24T10:00:00Z"),
        Paging,
    ),
    responses((status = 200, description = "A page of recognitions.", body = ListOf<Message>,
        headers(("Link" = Option<String>, description = "The next page, as `<URL>; rel=\"next\"`; not on the last.")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: ListQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    query.only(&["contributor", "since", "limit", "cursor"])?;
    let filter = RecognitionFilter { contributor: query.contributor()?, since: query.moment("since")? };
    let token = app.access.reader(&headers);
    let page = query.page()?;
    let _reading = app.reads.begin().await?;
    let paged = app.store.recognitions(&filter, &page).await?;
    Ok(list::list(paged, "/v1/recognitions", &query, |r| Message::shown(&r, token)))
}

/// Shows one recognition, and what became of it at each destination.
#[utoipa::path(
    get, path = "/v1/recognitions/{id}", operation_id = "getRecognition", tag = "recognitions",
    params(("id" = String, Path, description = "`{contributor}:{milestone}`, percent-encoded.", example = "github:octocat:3")),
    responses((status = 200, description = "The recognition.", body = RecognitionView)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Json<RecognitionView>, Problem> {
    app.access.read(&headers)?;
    names.only(&[])?;
    let _reading = app.reads.begin().await?;
    let found = app.store.recognition(&RecognitionId::from_text(fold_case(&id))).await?;
    let (recognition, destinations) = found.ok_or_else(|| Problem::not_found("recognition"))?;
    let message = Message::shown(&recognition, app.access.reader(&headers));
    let destinations = destinations.into_iter().map(Into::into).collect();
    Ok(Json(RecognitionView { message, destinations }))
}

/// Streams recognitions as they happen.
///
/// [Server-Sent Events](https://html.spec.whatwg.org/multipage/server-sent-events.html): `event: recognition`, `id:`
/// the recognition's id, `data:` a `Recognition` as JSON, whichever instance made it. A comment every 15 seconds keeps
/// the connection alive. One recognition may come twice: drop repeats by id. The stream ends before the platform would
/// cut it, when the service stops, and when the client is far behind: connect again with `Last-Event-ID`. A stream
/// that begins now starts with an `id:` alone, so that a client which connects again before the first event misses
/// nothing.
#[utoipa::path(
    get, path = "/v1/recognitions/stream", operation_id = "streamRecognitions", tag = "recognitions",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last `id:` you have, a recognition's in upper or lower case: what was made since then comes first. An unknown one starts now.")),
    responses((status = 200, description = "The events.", body = String, content_type = "text/event-stream")),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.access.read(&headers)?;
    names.only(&[])?;
    let token = app.access.reader(&headers);
    let Ok(place) = Arc::clone(&app.streams).try_acquire_owned() else {
        let full =
            Problem::new(ProblemKind::Unavailable, "the limit of open event streams is reached; try again");
        return Err(full.retry_after(30));
    };
    let last = headers.get("last-event-id").and_then(|id| std::str::from_utf8(id.as_bytes()).ok());
    let last = last.map(|id| match id.strip_prefix(POSITION) {
        Some(position) => Last::Position(position.to_owned()),
        None => Last::Recognition(RecognitionId::from_text(fold_case(id))),
    });
    let reading = app.reads.begin().await?;
    let reads = Arc::clone(&app.reads);
    let turn = move || {
        let reads = Arc::clone(&reads);
        async move { reads.begin().await.ok() }.boxed()
    };
    let Followed { position, recognitions } = app.feed.follow(last, turn).await?;
    drop(reading);
    let begins = position.map(|position| Event::default().id(format!("{POSITION}{position}")));
    let events = recognitions.map(move |recognition| {
        let _held_as_long_as_the_stream = &place;
        event(&recognition, token)
    });
    let events = futures::stream::iter(begins).chain(events).map(Ok::<_, Infallible>);
    let events = events.take_until(Box::pin(app.request_timeout.soon()));
    let alive = KeepAlive::new().interval(Duration::from_secs(15)).text("still here");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

/// How the id of a position begins: no recognition's id does, because no contributor's does.
const POSITION: char = '@';

fn event(recognition: &Recognition, token: bool) -> Event {
    let json = serde_json::to_string(&Message::shown(recognition, token)).unwrap_or_default();
    Event::default().event("recognition").id(recognition.id.as_str()).data(json)
}
