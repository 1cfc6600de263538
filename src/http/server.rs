//! Accepting connections and serving them, with a deadline for each request's head.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::access::Peer;
use crate::runtime::Tasks;

/// How long a connection without any request stays open once the service stops: a request may be on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Accepts connections until `stop`, and serves each in a task of its own. Returns what waits for them:
/// idle ones close at its shutdown, the others after the request in flight.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    head: Duration,
    tasks: &Tasks,
    stop: impl Future<Output = ()>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    // axum::serve sets no such timeout and keeps a partial head for ever.
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(128 * 1024);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted; raise the limit of open files if this lasts");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let requested = Arc::new(AtomicBool::default());
        let seen = Arc::clone(&requested);
        let service = router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            seen.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            request.map(axum::body::Body::new)
        });
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        let (stopping, end) = (tasks.streams_stopping(), tasks.stopping());
        // The graceful shutdown takes a connection that has had no request for one with a request in flight.
        let unused = async move {
            stopping.cancelled().await;
            tokio::time::sleep(FIRST_REQUEST).await;
            if requested.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tasks.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, %peer, "a connection ended early");
                },
                () = unused => {}
                // The time of the requests in flight is over.
                () = end.cancelled() => {}
            }
        });
    }
    graceful
}
