//! Middleware around every request: its id, its trace, its line in the log, its duration, and the rendering
//! of problems.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tracing::Instrument as _;

use super::access::Peer;
use super::app::App;
use super::body;
use super::problem::{Problem, ProblemKind};
use super::proxies::Proxies;
use super::verdict::Verdict;
use crate::hosts::Claim;
use crate::runtime::catch_panic;
use crate::telemetry::Metrics;

/// The header with the request's id, which every line of the log about the request has too.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler adds to its request's line in the log: an extension of the response.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestLog {
    pub delivery: String,
    pub event: String,
    pub host: &'static str,
    pub verdict: Option<Verdict>,
    pub reason: Option<&'static str>,
    pub contributions: String,
    pub recognitions: String,
    /// What a delivery claims that was not verified.
    pub claim: Option<Claim>,
}

/// Ids as one value of the log.
pub(super) fn joined<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.collect::<Vec<_>>().join(" ")
}

pub(super) async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    // The host of a target in absolute form wins over the header (RFC 9112, 3.2.2).
    if let Some(host) = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let secret = request.headers().contains_key(http::header::AUTHORIZATION);
    let started = Instant::now();
    // Its randomness comes from a generator of this thread that the system seeds (ChaCha; uuid's `fast-rng`): no
    // system call each. It is no secret: the client gets it, and it opens nothing.
    let id = uuid::Uuid::now_v7().to_string();
    let line = Line::of(&request, app.proxies);
    let span = tracing::info_span!("request", request_id = %id, trace = tracing::field::Empty, span_id = tracing::field::Empty);
    if let Some((trace, span_id)) = trace_of(request.headers()) {
        span.record("trace", trace);
        span.record("span_id", span_id);
    }
    let answered = async {
        // After a panic, which the panic hook has logged, the client still gets an answer.
        let mut response = catch_panic(run(request, next)).await.unwrap_or_else(|| {
            Problem::new(ProblemKind::Internal, "the log has the cause, under this request's id")
                .into_response()
        });
        let problem = response.extensions_mut().remove::<Problem>();
        if let Some(problem) = problem.or_else(|| Problem::of_status(response.status())) {
            let log = response.extensions_mut().remove::<RequestLog>();
            // Headers such as `Allow` and those of CORS.
            let mut headers = std::mem::take(response.headers_mut());
            headers.remove(http::header::CONTENT_LENGTH);
            response = problem.render(&id);
            headers.extend(std::mem::take(response.headers_mut()));
            // What is 404 to one reader is there for another, and what failed once may succeed now.
            headers.entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            *response.headers_mut() = headers;
            log.map(|log| response.extensions_mut().insert(log));
        }
        let seconds = started.elapsed().as_secs_f64();
        let status = response.status();
        app.metrics.request_seconds.with_label_values(&[line.route(), status.as_str()]).observe(seconds);
        line.log(&response, seconds);
        response
    };
    let mut response = answered.instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if secret {
        // A shared cache must not keep what is shown only with a token.
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A browser adds a password also to the images that pages of other sites show; their size would say something.
        let own = HeaderValue::from_static("same-origin");
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), own);
    }
    response
}

/// Runs a request that names its host exactly once, as HTTP/1.1 demands.
async fn run(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(http::header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() >= http::Version::HTTP_11) {
        let problem = Problem::new(ProblemKind::Malformed, "a request has exactly one header Host");
        return body::turned_away(problem, request).await.into_response();
    }
    next.run(request).await
}

/// A problem with an id of its own, and its JSON: for an answer that goes past the routes.
pub(super) fn uncounted(mut problem: Problem) -> (String, String) {
    let id = uuid::Uuid::now_v7().to_string();
    problem.request_id.clone_from(&id);
    (id, serde_json::to_string(&problem).unwrap_or_default())
}

/// The same for a request that hyper's parser refuses; counts and logs it like any other.
pub(super) fn unparsable(metrics: &Metrics, peer: SocketAddr, problem: Problem) -> (String, String) {
    let (id, json) = uncounted(problem.clone());
    let response = problem.render(&id);
    metrics.request_seconds.with_label_values(&["none", response.status().as_str()]).observe(0.0);
    let line = Line {
        method: Method::from_bytes(b"unparsable").unwrap_or_default(),
        uri: None,
        matched: None,
        agent: None,
        remote: Some(peer.ip()),
    };
    tracing::info_span!("request", request_id = %id).in_scope(|| line.log(&response, 0.0));
    (id, json)
}

/// What the log's line needs of the request, which the handler consumes. Nothing of it is copied: each part shares
/// its bytes with the request.
struct Line {
    method: Method,
    uri: Option<Uri>,
    matched: Option<MatchedPath>,
    agent: Option<HeaderValue>,
    remote: Option<IpAddr>,
}

impl Line {
    fn of(request: &Request, proxies: Proxies) -> Self {
        let (headers, peer) = (request.headers(), request.extensions().get::<Peer>());
        Self {
            method: request.method().clone(),
            uri: Some(request.uri().clone()),
            matched: request.extensions().get::<MatchedPath>().cloned(),
            agent: headers.get(http::header::USER_AGENT).cloned(),
            remote: peer.map(|peer| proxies.client(headers, peer.0.ip())),
        }
    }

    fn route(&self) -> &str {
        self.matched.as_ref().map_or("none", route)
    }

    /// The path, without the query, which may hold secrets. Only the route where the path may name somebody who is
    /// forgotten: by the request itself, or because nothing was found by it; everybody has a badge.
    fn shown_path(&self, status: u16) -> &str {
        let route = self.route();
        let forgets = self.method == Method::DELETE && route == "/v1/contributors/{id}";
        if forgets || route == "/badges/{file}" || (status >= 400 && route.contains("{id}")) {
            return route;
        }
        self.uri.as_ref().map_or("", Uri::path)
    }

    fn log(&self, response: &Response, seconds: f64) {
        let nothing = RequestLog::default();
        let log = response.extensions().get::<RequestLog>().unwrap_or(&nothing);
        let problem = response.extensions().get::<Problem>();
        let reason = log.reason.or_else(|| problem.map(|problem| problem.kind.code()));
        let cause = problem.and_then(Problem::cause);
        let status = response.status().as_u16();
        let verdict = log.verdict.map(Verdict::code);
        let claim = log.claim.as_ref();
        let (method, route) = (self.method.as_str(), self.route());
        let message = Message { line: self, log, verdict, status };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    route,
                    host = filled(log.host),
                    delivery = filled(&log.delivery),
                    event = filled(&log.event),
                    claimed_delivery = claim.and_then(|claim| claim.delivery.as_deref()),
                    claimed_event = claim.and_then(|claim| claim.event.as_deref()),
                    claimed_length = claim.and_then(|claim| claim.length),
                    verdict,
                    reason,
                    contribution = filled(&log.contributions),
                    recognition = filled(&log.recognitions),
                    why = cause,
                    http_method = method,
                    http_url = first(self.shown_path(status), 300),
                    http_status = status,
                    http_latency = format_args!("{seconds:.6}s"),
                    http_user_agent = filled(first(text(self.agent.as_ref()), 200)),
                    http_remote_ip = self.remote.map(tracing::field::display),
                    "{message}"
                )
            };
        }
        match (status, route) {
            (503, _) => line!(warn),
            (500.., _) => line!(error),
            (_, "/healthz" | "/readyz" | "/metrics") => line!(debug),
            _ => line!(info),
        }
    }
}

/// What became of a request, in a few words.
struct Message<'a> {
    line: &'a Line,
    log: &'a RequestLog,
    verdict: Option<&'static str>,
    status: u16,
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, log, verdict, status } = self;
        if log.host.is_empty() {
            return write!(f, "{} {} {status}", line.method, line.route());
        }
        f.write_str(log.host)?;
        let others = [log.event.as_str(), &log.delivery, verdict.unwrap_or_default()];
        others.into_iter().filter(|word| !word.is_empty()).try_for_each(|word| write!(f, " {word}"))
    }
}

/// A header's text; empty where it is absent or not ASCII.
fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The first so many characters.
fn first(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The route without a slash at its end: one label for both spellings.
fn route(matched: &MatchedPath) -> &str {
    let path = matched.as_str();
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The trace and span of `traceparent` (<https://www.w3.org/TR/trace-context/>), else of
/// `X-Cloud-Trace-Context` (<https://cloud.google.com/trace/docs/trace-context>).
fn trace_of(headers: &HeaderMap) -> Option<(&str, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(parent) = text("traceparent") {
        let mut parts = parent.split('-').skip(1);
        if let (Some(trace), Some(span)) = (parts.next(), parts.next())
            && hex(trace, 32)
            && hex(span, 16)
        {
            return Some((trace, span.to_owned()));
        }
    }
    let (trace, rest) = text("x-cloud-trace-context")?.split_once('/')?;
    let span: u64 = rest.split(';').next()?.parse().ok()?;
    hex(trace, 32).then(|| (trace, format!("{span:016x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_from_either_header_and_never_from_nonsense() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            trace_of(&headers).map(|(trace, span)| (trace.to_owned(), span))
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let expected = Some((trace.to_owned(), "00f067aa0ba902b7".to_owned()));
        assert_eq!(of("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")), expected);
        assert_eq!(of("x-cloud-trace-context", &format!("{trace}/67667974448284343;o=1")), expected);
        for nonsense in ["", "00", "00-xyz-1-01", "/", "abc/1"] {
            assert_eq!(of("traceparent", nonsense), None);
            assert_eq!(of("x-cloud-trace-context", nonsense), None);
        }
    }
}
