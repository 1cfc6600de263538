//! What is answered while the store cannot be reached yet: `/healthz` as always, and everything else with 503.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::body::{self, Limits};
use super::observe::{REQUEST_ID, uncounted};
use super::operations;
use super::problem::{Problem, ProblemKind};
use super::server::{MOST_HEAD, refuse};
use crate::runtime::{Tasks, raise_file_limit};

/// How long a connection may last: it has one request.
const LONGEST: Duration = Duration::from_secs(10);
/// After how many seconds a client may try again.
const RETRY_AFTER: u32 = 5;

/// Answers on `listener` until `ready` resolves, and returns what it resolves to. A request that is under way then
/// gets its answer. There are as many connections as the service has later, so that slow ones keep no probe away.
pub async fn answer_until<T>(listener: &TcpListener, ready: impl Future<Output = T>) -> T {
    let most = Limits::default().within(raise_file_limit()).connections;
    let (tasks, places) = (Tasks::default(), Arc::new(Semaphore::new(most)));
    let mut ready = std::pin::pin!(ready);
    loop {
        let accepted = tokio::select! {
            biased;
            ready = &mut ready => return ready,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Too many open files: it passes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refuse(&stream);
            continue;
        };
        tasks.spawn(async move {
            let _ = timeout(LONGEST, serve(stream)).await;
            drop(place);
        });
    }
}

/// One request, after which the connection is closed: the next one is the service's.
async fn serve(stream: TcpStream) -> hyper::Result<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).keep_alive(false).max_buf_size(MOST_HEAD);
    // An async closure here makes incremental builds of rustc 1.95 fail at times.
    let answer = hyper::service::service_fn(|request: Request<Incoming>| async {
        Ok::<_, Infallible>(answer(request.map(Body::new)).await)
    });
    http.serve_connection(TokioIo::new(stream), answer).await
}

async fn answer(request: Request<Body>) -> Response {
    let alive = request.uri().path() == "/healthz";
    let problem = Problem::new(ProblemKind::Unavailable, "the ledger cannot be reached yet; try again");
    let problem = body::turned_away(problem.retry_after(RETRY_AFTER), request).await;
    let (id, _) = uncounted(problem.clone());
    let mut response = if alive { Json(operations::ALIVE).into_response() } else { problem.render(&id) };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
