//! A gRPC proxy that records calls and injects faults of networks and servers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::gate::without_delay;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A fault of one call.
#[derive(Clone)]
pub enum Fault {
    /// Answered with this gRPC status and message, without reaching the server.
    Status(u16, &'static str),
    /// Applied, and the stream reset instead of the answer.
    LoseAnswer,
    /// Applied, and the whole connection cut instead of the answer.
    CutAfter,
    /// Not applied; the whole connection cut.
    CutBefore,
    /// Never answered, never applied.
    Hang,
    /// Applied, and the answer kept back until the token is cancelled.
    HoldAnswer(CancellationToken),
}

/// One call that passed through.
#[derive(Clone)]
pub struct Call {
    /// The RPC's name, such as `Commit`.
    pub rpc: String,
    /// When it came.
    pub at: Instant,
    /// Its request, still framed.
    framed: Bytes,
    documents: Arc<OnceLock<usize>>,
}

impl Call {
    /// How many writes a `Commit` asked for.
    pub fn writes(&self) -> usize {
        self.commit().writes.len()
    }

    /// The documents that the writes of a `Commit` name, each as often as it is written.
    pub fn documents_written(&self) -> Vec<String> {
        use firestore::gcloud_sdk::google::firestore::v1::write::Operation;
        let name = |operation| match operation {
            Operation::Update(document) => document.name,
            Operation::Delete(name) => name,
            Operation::Transform(transform) => transform.document,
        };
        self.commit().writes.into_iter().filter_map(|write| write.operation).map(name).collect()
    }

    /// Whether any part of the request holds `text`.
    pub fn mentions(&self, text: &str) -> bool {
        self.framed.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Whether a transaction was asked for.
    pub fn is_in_transaction(&self) -> bool {
        !self.commit().transaction.is_empty()
    }

    /// How many documents a `RunQuery` was answered with, once it is.
    pub fn documents(&self) -> Option<usize> {
        self.documents.get().copied()
    }

    fn count_documents(&self, answer: Collected<Bytes>) -> Body {
        use firestore::gcloud_sdk::google::firestore::v1::RunQueryResponse;
        use firestore::gcloud_sdk::prost::Message;
        let trailers = answer.trailers().cloned();
        let whole = answer.to_bytes();
        let (mut rest, mut documents) = (whole.clone(), 0);
        while let Some((head, _)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
            let message = rest.split_to(5 + length).slice(5..);
            let answer: RunQueryResponse = Message::decode(message).expect("a RunQueryResponse");
            documents += usize::from(answer.document.is_some());
        }
        self.documents.set(documents).expect("one answer");
        let body = Full::new(whole).with_trailers(std::future::ready(trailers.map(Ok)));
        body.map_err(|never| match never {}).boxed_unsync()
    }

    fn commit(&self) -> firestore::gcloud_sdk::google::firestore::v1::CommitRequest {
        use firestore::gcloud_sdk::prost::Message;
        // A gRPC message follows one byte of flags and four of length.
        Message::decode(self.framed.slice(5..)).expect("a CommitRequest")
    }
}

type Matches = Box<dyn Fn(&Call) -> bool + Send>;

struct State {
    calls: Vec<Call>,
    faults: VecDeque<(Matches, Fault)>,
    always: Option<Fault>,
}

/// The proxy; it ends when this is dropped.
pub struct Proxy {
    /// Where it listens.
    pub host: String,
    state: Arc<Mutex<State>>,
    up: watch::Sender<bool>,
    silenced: watch::Sender<usize>,
    connected: watch::Receiver<usize>,
    faulted: watch::Receiver<usize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { calls: Vec::new(), faults: VecDeque::new(), always: None }));
        let (up, is_up) = watch::channel(true);
        let (faulting, faulted) = watch::channel(0);
        let (silenced, silence) = watch::channel(0);
        let (connecting, connected) = watch::channel(0);
        let way = Way { upstream: upstream.to_owned(), state: state.clone(), faulting: Arc::new(faulting) };
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if *is_up.borrow() {
                    connecting.send_modify(|count| *count += 1);
                    // Each connection hears only of silences that begin after it.
                    let mut silence = silence.clone();
                    silence.mark_unchanged();
                    connections.spawn(way.clone().connection(stream, is_up.clone(), silence));
                }
            }
        });
        Self { host, state, up, silenced, connected, faulted, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Applies `fault` to the next call of this RPC; several faults for one RPC apply one after another.
    pub fn fault(&self, rpc: &'static str, fault: Fault) {
        self.fault_where(move |call| call.rpc == rpc, fault);
    }

    /// Applies `fault` to the next call that `matches`.
    pub fn fault_where(&self, matches: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((Box::new(matches), fault));
    }

    /// Applies `fault` to every call from now on, or to none.
    pub fn always(&self, fault: Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.always = fault;
    }

    /// Cuts all connections and serves no new one, or serves them again.
    pub fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// Keeps the connections that there are open, and neither reads from them nor writes to them any more, as
    /// where the other side has vanished. New ones are served.
    pub fn silence(&self) {
        self.silenced.send_modify(|count| *count += 1);
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        *self.connected.borrow()
    }

    /// Waits until this many faults were applied, and the server has applied their calls where it does.
    pub async fn faults_met(&self, count: usize) {
        self.faulted.clone().wait_for(|met| *met >= count).await.unwrap();
    }

    /// How many faults were applied.
    pub fn met(&self) -> usize {
        *self.faulted.borrow()
    }

    /// Fails unless every fault was applied.
    pub fn assert_all_faults_met(&self) {
        assert!(self.state.lock().unwrap().faults.is_empty(), "a fault was never applied");
    }

    /// The calls since this was last called.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }
}

#[derive(Clone)]
struct Way {
    upstream: String,
    state: Arc<Mutex<State>>,
    faulting: Arc<watch::Sender<usize>>,
}

impl Way {
    async fn connection(
        self,
        stream: TcpStream,
        mut is_up: watch::Receiver<bool>,
        mut silence: watch::Receiver<usize>,
    ) {
        let Ok(upstream) = TcpStream::connect(&self.upstream).await else {
            return;
        };
        without_delay([&stream, &upstream]);
        let (sender, onward) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(upstream))
                .await
                .unwrap();
        let _onward = AbortOnDropHandle::new(tokio::spawn(onward));
        let cut = CancellationToken::new();
        let service = hyper::service::service_fn({
            let cut = cut.clone();
            move |request| self.clone().call(request, sender.clone(), cut.clone())
        });
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        tokio::select! {
            _ = &mut serving => {}
            () = cut.cancelled() => {}
            () = async { drop(is_up.wait_for(|up| !*up).await) } => {}
            // The connection stays open, and nothing drives it.
            () = async { drop(silence.changed().await) } => std::future::pending().await,
        }
    }

    async fn call(
        self,
        request: Request<Incoming>,
        mut onward: SendRequest<Full<Bytes>>,
        cut: CancellationToken,
    ) -> Result<Response<Body>, Failed> {
        let (mut head, body) = request.into_parts();
        let call = Call {
            rpc: head.uri.path().rsplit('/').next().unwrap().to_owned(),
            at: Instant::now(),
            framed: body.collect().await?.to_bytes(),
            documents: Arc::default(),
        };
        let fault = self.note(&call);
        match fault {
            Some(Fault::Status(code, message)) => {
                self.met();
                return Ok(refusal(code, message));
            }
            Some(Fault::CutBefore) => {
                self.met();
                cut.cancel();
                return std::future::pending().await;
            }
            Some(Fault::Hang) => {
                self.met();
                return std::future::pending().await;
            }
            _ => {}
        }
        let uri = format!("http://{}{}", self.upstream, head.uri.path());
        head.uri = uri.parse()?;
        let answer = onward.send_request(Request::from_parts(head, Full::new(call.framed.clone()))).await?;
        let Some(fault) = fault else {
            let (head, body) = answer.into_parts();
            let body = match call.rpc.as_str() {
                "RunQuery" => call.count_documents(body.collect().await?),
                _ => body.boxed_unsync(),
            };
            return Ok(Response::from_parts(head, body));
        };
        // The whole answer is here, so the server has applied the call.
        let (head, body) = answer.into_parts();
        let body = body.collect().await?;
        self.met();
        match fault {
            Fault::HoldAnswer(release) => release.cancelled().await,
            Fault::CutAfter => {
                cut.cancel();
                return std::future::pending().await;
            }
            _ => return Err("the answer is lost".into()),
        }
        let body = body.map_err(|never| match never {}).boxed_unsync();
        Ok(Response::from_parts(head, body))
    }

    fn note(&self, call: &Call) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call.clone());
        match state.faults.iter().position(|(matches, _)| matches(call)) {
            Some(place) => state.faults.remove(place).map(|(_, fault)| fault),
            None => state.always.clone(),
        }
    }

    fn met(&self) {
        self.faulting.send_modify(|met| *met += 1);
    }
}

fn refusal(code: u16, message: &str) -> Response<Body> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code)
        .header("grpc-message", message)
        .body(body)
        .unwrap()
}
