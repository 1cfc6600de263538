//! Accepting connections and serving them under deadlines, up to as many as there may be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::StatusCode;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::access::Peer;
use super::app::App;
use super::observe;
use super::problem::{Problem, ProblemKind};
use super::wire::{Exchange, Wire};

/// How long a connection without any request stays open once the service stops: a request may be on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// The most bytes of a head.
pub(super) const MOST_HEAD: usize = 128 * 1024;

/// Accepts connections until `stop`, and serves each in a task of its own. Returns what waits for them:
/// idle ones close at its shutdown, the others after the request in flight.
pub(super) async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    // The deadlines of a head are those of `Wire`: hyper's own includes the time in which a connection is idle.
    http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MOST_HEAD);
    let places = Arc::new(Semaphore::new(app.limits.connections));
    let (mut failed, mut crowded) = (Warning::default(), Warning::default());
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    failed.say(|times| tracing::warn!(%error, times, "connections could not be accepted; raise the limit of open files if this lasts"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            crowded.say(|times| {
                tracing::warn!(times, "connections were refused: there are as many as there may be");
            });
            app.metrics.request_seconds.with_label_values(&["none", "503"]).observe(0.0);
            refuse(&stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        serve(app, &http, &graceful, stream, peer, router.clone(), place);
    }
    graceful
}

/// Serves one connection, which keeps its place until it ends.
fn serve(
    app: &Arc<App>,
    http: &hyper::server::conn::http1::Builder,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    place: OwnedSemaphorePermit,
) {
    let exchange = Arc::new(Exchange::default());
    let metrics = app.metrics.clone();
    let complete = move |status: StatusCode, head: &str| complete(&metrics, peer, status, head);
    let wire = Wire::new(stream, &app.limits, Arc::clone(&exchange), Box::new(complete));
    let of_service = Arc::clone(&exchange);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        of_service.began();
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        let exchange = Arc::clone(&of_service);
        async move {
            let answer = answer.await;
            exchange.answered();
            answer
        }
    });
    let connection = graceful.watch(http.serve_connection(TokioIo::new(wire), service));
    let (stopping, end) = (app.tasks.streams_stopping(), app.tasks.stopping());
    // The graceful shutdown takes a connection that has had no request for one with a request in flight.
    let unused = async move {
        stopping.cancelled().await;
        tokio::time::sleep(FIRST_REQUEST).await;
        if !exchange.is_unused() {
            std::future::pending::<()>().await;
        }
    };
    app.tasks.spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection ended early");
            },
            () = unused => {}
            // The requests in flight have had their time.
            () = end.cancelled() => {}
        }
        drop(place);
    });
}

/// The whole answer in place of one that hyper's parser gives by itself.
fn complete(metrics: &crate::telemetry::Metrics, peer: SocketAddr, status: StatusCode, head: &str) -> Bytes {
    let problem = match status {
        StatusCode::URI_TOO_LONG => {
            Problem::new(ProblemKind::TargetTooLong, "the path and query have at most 65,534 bytes together")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            ProblemKind::HeadTooLarge,
            "a request has at most 100 headers, and 128 KiB before its body",
        ),
        _ => Problem::new(ProblemKind::Malformed, "the request's head is not HTTP/1.1"),
    };
    let (id, problem) = observe::unparsable(metrics, peer, problem);
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    answer(kept, &id, &problem)
}

/// Answers a connection over the limit, if that is possible without waiting.
pub(super) fn refuse(stream: &TcpStream) {
    let problem = Problem::new(ProblemKind::Unavailable, "too many connections at once; try again");
    let (id, problem) = observe::uncounted(problem);
    let head = ["HTTP/1.1 503 Service Unavailable", "retry-after: 1", "connection: close"];
    let _ = stream.try_write(&answer(head.into_iter(), &id, &problem));
}

fn answer<'a>(head: impl Iterator<Item = &'a str>, id: &str, problem: &str) -> Bytes {
    let mut lines: Vec<_> = head.map(str::to_owned).collect();
    lines.push("content-type: application/problem+json".to_owned());
    lines.push(format!("x-request-id: {id}"));
    lines.push("x-content-type-options: nosniff".to_owned());
    lines.push(format!("content-length: {}", problem.len()));
    format!("{}\r\n\r\n{problem}", lines.join("\r\n")).into()
}

/// A warning that is given at most once a minute, with how often it was due.
#[derive(Default)]
struct Warning {
    last: Option<Instant>,
    times: u64,
}

impl Warning {
    const EVERY: Duration = Duration::from_mins(1);

    fn say(&mut self, warn: impl FnOnce(u64)) {
        self.times += 1;
        if self.last.is_none_or(|last| last.elapsed() >= Self::EVERY) {
            warn(std::mem::take(&mut self.times));
            self.last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_warning_that_is_due_a_thousand_times_is_given_once_a_minute() {
        let (mut warning, mut given) = (Warning::default(), Vec::new());
        for _ in 0..1_000 {
            warning.say(|times| given.push(times));
        }
        warning.last = warning.last.map(|last| last - Warning::EVERY);
        warning.say(|times| given.push(times));
        assert_eq!(given, [1, 1_000]);
    }
}
