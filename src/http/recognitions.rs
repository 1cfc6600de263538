//! Who was recognised: as a list, one by one, and as it happens.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::HeaderMap;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::problem::Problem;
use super::{App, Id, ListOf, ListQuery, list_query};
use crate::domain::{Destination, GiveUp, Recognition, RecognitionId, fold_case};
use crate::publish::Message;
use crate::runtime::Tasks;
use crate::store::{self, Progress, Store};

/// How often the store is asked for what other instances recognised, while anyone listens.
const POLL: Duration = Duration::from_secs(1);
/// How many recognitions one question to the store may bring.
const BATCH: usize = 100;
/// How many recognitions a slow listener may be behind before it is let go, to resume by itself.
const BEHIND: usize = 1_000;

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
    super::openapi::words("Where it was to go.", &Destination::ALL.map(Destination::as_str))
}

fn states() -> utoipa::openapi::Object {
    super::openapi::words("How far it got.", &store::State::ALL.map(store::State::code))
}

/// Lists recognitions.
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/recognitions", operation_id = "listRecognitions", tag = "recognitions",
    params(ListQuery),
    responses((status = 200, description = "A page of recognitions.", body = ListOf<Message>,
        headers(("Link" = Option<String>, description = "The next page, as `<URL>; rel=\"next\"`; not on the last.")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!(["malformed", "invalid_fields", "token_needed", "internal", "unavailable"]))),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    let query = list_query(query)?;
    let token = app.access.token(&headers);
    let paged = app.store.recognitions(&query.page()?).await?;
    Ok(super::list(paged, "/v1/recognitions", &query, |r| Message::shown(&r, token)))
}

/// Shows one recognition, and what became of it at each destination.
#[utoipa::path(
    get, path = "/v1/recognitions/{id}", operation_id = "getRecognition", tag = "recognitions",
    params(("id" = String, Path, description = "`{contributor}:{milestone}`, percent-encoded.", example = "github:octocat:3")),
    responses((status = 200, description = "The recognition.", body = RecognitionView)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!(["malformed", "token_needed", "not_found", "internal", "unavailable"]))),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Json<RecognitionView>, Problem> {
    app.access.read(&headers)?;
    let found = app.store.recognition(&RecognitionId::from_text(fold_case(&id))).await?;
    let (recognition, destinations) = found.ok_or_else(|| Problem::not_found("recognition"))?;
    let message = Message::shown(&recognition, app.access.token(&headers));
    let destinations = destinations.into_iter().map(Into::into).collect();
    Ok(Json(RecognitionView { message, destinations }))
}

/// Tells of recognitions as they happen.
///
/// [Server-Sent Events](https://html.spec.whatwg.org/multipage/server-sent-events.html) that never end by
/// themselves: `event: recognition`, `id:` the recognition's id, `data:` a `Recognition` as JSON, whichever
/// instance made it. A comment every 15 seconds keeps the connection alive. One recognition may come twice:
/// drop repeats by id.
#[utoipa::path(
    get, path = "/v1/recognitions/stream", operation_id = "streamRecognitions", tag = "recognitions",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last id you have: what was made since then comes first. An unknown one starts now.")),
    responses((status = 200, description = "The events.", body = String, content_type = "text/event-stream")),
    security((), ("token" = [])),
    extensions(("x-problems" = json!(["token_needed", "internal", "unavailable"]))),
)]
pub(super) async fn stream(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    app.access.read(&headers)?;
    let token = app.access.token(&headers);
    let last = headers.get("last-event-id").and_then(|id| std::str::from_utf8(id.as_bytes()).ok());
    // Subscribed before the store is asked: what is made in between comes twice rather than never.
    let live = app.stream.subscribe().await?;
    let missed = match last {
        Some(id) => app.store.position_of(&RecognitionId::from_text(id)).await?,
        None => None,
    };
    let stopping = app.tasks.streams_stopping();
    let store = Arc::clone(&app.store);
    let events = async_stream::stream! {
        let mut position = missed;
        while let Some(at) = position.take() {
            let Ok((recognitions, next)) = store.recognitions_after(Some(&at), BATCH).await else { return };
            let full = recognitions.len() == BATCH;
            for recognition in recognitions {
                yield event(&recognition, token);
            }
            position = full.then_some(next);
        }
        let mut live = live;
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                heard = live.recv() => match heard {
                    Ok(recognition) => yield event(&recognition, token),
                    // Too far behind: the client comes back with the last id it has.
                    Err(_) => return,
                },
            }
        }
    };
    let alive = KeepAlive::new().interval(Duration::from_secs(15)).text("still here");
    let mut response = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(alive).into_response();
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    Ok(response)
}

fn event(recognition: &Recognition, token: bool) -> Event {
    let json = serde_json::to_string(&Message::shown(recognition, token)).unwrap_or_default();
    Event::default().event("recognition").id(recognition.id.as_str()).data(json)
}

/// Tells listeners of recognitions, whichever instance made them. It asks the store only while anyone listens.
pub(super) struct Hub {
    store: Arc<dyn Store>,
    made: watch::Receiver<u64>,
    tasks: Tasks,
    running: Running,
}

/// The sender of the poll that is under way, if one is.
type Running = Arc<tokio::sync::Mutex<Option<broadcast::WeakSender<Arc<Recognition>>>>>;

impl Hub {
    pub(super) fn new(store: Arc<dyn Store>, made: watch::Receiver<u64>, tasks: Tasks) -> Self {
        Self { store, made, tasks, running: Running::default() }
    }

    /// Listens from now on.
    async fn subscribe(&self) -> Result<broadcast::Receiver<Arc<Recognition>>, Problem> {
        let mut running = self.running.lock().await;
        if let Some(sender) = running.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return Ok(sender.subscribe());
        }
        let (_, position) = self.store.recognitions_after(None, 0).await?;
        let (sender, receiver) = broadcast::channel(BEHIND);
        *running = Some(sender.downgrade());
        let poll = Poll {
            store: Arc::clone(&self.store),
            made: self.made.clone(),
            position,
            recent: Recent::default(),
            sender,
            running: Arc::clone(&self.running),
        };
        let stopping = self.tasks.streams_stopping();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = poll.run() => {}
            }
        });
        Ok(receiver)
    }
}

struct Poll {
    store: Arc<dyn Store>,
    made: watch::Receiver<u64>,
    position: String,
    recent: Recent,
    sender: broadcast::Sender<Arc<Recognition>>,
    running: Running,
}

impl Poll {
    /// Whether anyone listens; if not, nobody can join this poll any more.
    async fn is_heard(&self) -> bool {
        let mut running = self.running.lock().await;
        let heard = self.sender.receiver_count() > 0;
        if !heard {
            *running = None;
        }
        heard
    }

    async fn run(mut self) {
        while self.is_heard().await {
            let _ = tokio::time::timeout(POLL, self.made.changed()).await;
            loop {
                let found = self.store.recognitions_after(Some(&self.position), BATCH).await;
                let Ok((recognitions, position)) = found else {
                    // The store's own failures are told where they fail requests.
                    tokio::time::sleep(POLL).await;
                    break;
                };
                let more = recognitions.len() == BATCH && position != self.position;
                self.position = position;
                for recognition in recognitions {
                    if self.recent.is_new(&recognition.id) {
                        // Whoever has gone hears nothing.
                        let _ = self.sender.send(Arc::new(recognition));
                    }
                }
                if !more {
                    break;
                }
            }
        }
    }
}

/// The ids told of last: a store may give one twice.
#[derive(Default)]
struct Recent {
    known: HashSet<RecognitionId>,
    order: VecDeque<RecognitionId>,
}

impl Recent {
    fn is_new(&mut self, id: &RecognitionId) -> bool {
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id.clone());
        if self.order.len() > 10_000
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
