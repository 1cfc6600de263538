//! What is read again and again: an `ETag` on every whole answer, 304 where the client has it already, and gzip.

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};

use super::access;
use super::problem::{Problem, ProblemKind};

/// The fewest bytes that are compressed: fewer fit into one packet as they are.
const LEAST: u16 = 1_024;

/// The same routes, with answers that can be revalidated, and are compressed where the client takes it. For reads
/// alone: every answer is held in memory whole.
pub(super) fn revalidated<S: Clone + Send + Sync + 'static>(reads: Router<S>) -> Router<S> {
    let safe = |_, _, _: &HeaderMap, extensions: &Extensions| extensions.get::<Uncompressed>().is_none();
    let worth_it = SizeAbove::new(LEAST).and(NotForContentType::SSE).and(NotForContentType::IMAGES).and(safe);
    reads
        .route_layer(axum::middleware::from_fn(revalidate))
        .route_layer(CompressionLayer::new().gzip(true).compress_when(worth_it))
}

/// An answer to a browser that sent a password: a page of another site can make it ask for text of its own choice, and
/// where that text is in the answer too, the compressed length tells an eavesdropper what else is
/// ([BREACH](https://www.breachattack.com/)).
#[derive(Clone, Copy)]
struct Uncompressed;

async fn revalidate(request: Request, next: Next) -> Response {
    let known: Vec<_> = request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect();
    let by_password = access::has_password(request.headers());
    let mut response = next.run(request).await;
    if by_password {
        response.extensions_mut().insert(Uncompressed);
    }
    let whole = response.size_hint().exact().is_some();
    if response.status() != StatusCode::OK || !whole {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return Problem::new(ProblemKind::Internal, "the answer could not be made").into_response();
    };
    // Weak: compressed or not, it is the same answer.
    let hash = hex::encode(Sha256::digest(&body).get(..16).unwrap_or_default());
    let tag = HeaderValue::from_str(&format!("W/\"{hash}\""));
    let vary = HeaderValue::from_static("authorization, accept-encoding");
    head.headers.append(header::VARY, vary);
    // A cache may keep it, and asks each time. With a token it is `no-store`, whatever is set here.
    head.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    head.headers.extend(tag.ok().map(|tag| (header::ETAG, tag)));
    if !knows(&known, &hash) {
        return Response::from_parts(head, body.into());
    }
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::empty())
}

/// Whether `If-None-Match` names the answer with this hash; compared weakly, as
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2) asks.
fn knows(known: &[HeaderValue], hash: &str) -> bool {
    let tags = known.iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == hash)
}
