//! Listening: connections that are slow to say what they want are cut off, and none is dropped at the end.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::access::Peer;
use crate::runtime::Tasks;

/// Accepts and serves until `stop`, then waits for requests in flight, up to `farewell`. Returns when it was told to stop.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    head: Duration,
    tasks: &Tasks,
    stop: impl Future<Output = ()>,
    farewell: Duration,
) -> Instant {
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    // axum::serve sets no such limit and keeps a partial head for ever.
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
        let service = router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.map(axum::body::Body::new)
        });
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        let end = tasks.stopping();
        tasks.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, %peer, "a connection ended early");
                },
                // Whoever has not said by now what they want is hung up on.
                () = end.cancelled() => {}
            }
        });
    }
    drop(listener);
    let stopped_at = Instant::now();
    tasks.stop_streams();
    if tokio::time::timeout(farewell / 2, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests in flight did not end in time");
    }
    stopped_at
}
