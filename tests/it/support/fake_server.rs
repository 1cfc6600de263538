//! A fake API over real HTTP, whose next answers a test can replace, cut or hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use plaudit::runtime::Tasks;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

/// What there is, and what is answered about it.
pub trait Fake: Send + 'static {
    /// Takes note of a request, whatever becomes of it.
    fn note(&mut self, uri: &Uri, body: &Bytes);

    /// The answer as documented.
    fn answer(&mut self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response;
}

/// The server; it ends with the test.
pub struct FakeServer<World> {
    pub url: String,
    shared: Arc<Shared<World>>,
}

struct Shared<World> {
    world: Mutex<World>,
    /// What happens to the next requests, in order, instead of what is documented.
    reactions: Mutex<VecDeque<Reaction>>,
    /// What waits in [`Reaction::Hold`] is let through by a permit.
    gate: Semaphore,
    held: Notify,
    tasks: Tasks,
}

pub enum Reaction {
    /// As documented.
    Pass,
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection ends in the middle of the answer.
    Cut,
    /// The answer comes once the test lets it, and the test can wait for that request.
    Hold,
}

impl<World: Fake> FakeServer<World> {
    pub async fn of(world: World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            reactions: Mutex::default(),
            gate: Semaphore::new(0),
            held: Notify::new(),
            tasks: Tasks::default(),
        });
        let state = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |uri: Uri, headers, body| {
            let state = Arc::clone(&state);
            async move { state.meet(&uri, &headers, &body).await }
        });
        let stop = shared.tasks.stopping();
        shared.tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self { url, shared }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Sets what happens to the next requests.
    pub fn next(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.shared.reactions.lock().unwrap().extend(reactions);
    }

    /// Answers as documented from now on.
    pub fn forget_the_rest(&self) {
        self.shared.reactions.lock().unwrap().clear();
    }

    /// Waits until a request is held.
    pub async fn held(&self) {
        super::in_the_end("a request that is held", self.shared.held.notified()).await;
    }

    /// Lets what is held go.
    pub fn let_go(&self) {
        self.shared.gate.add_permits(1);
    }
}

impl<World> Drop for FakeServer<World> {
    fn drop(&mut self) {
        self.shared.tasks.stopping().cancel();
    }
}

impl<World: Fake> Shared<World> {
    async fn meet(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        self.world.lock().unwrap().note(uri, body);
        let reaction = self.reactions.lock().unwrap().pop_front();
        match reaction {
            Some(Reaction::Answer(status, headers, body)) => return answer(status, &headers, body),
            Some(Reaction::Cut) => {
                let half = [Ok(Bytes::from("[{")), Err(std::io::Error::other("cut"))];
                return Response::new(Body::from_stream(futures::stream::iter(half)));
            }
            Some(Reaction::Hold) => {
                self.held.notify_one();
                self.gate.acquire().await.unwrap().forget();
            }
            Some(Reaction::Pass) | None => {}
        }
        self.world.lock().unwrap().answer(uri, headers, body)
    }
}

pub fn answer(status: u16, headers: &[(&str, String)], body: String) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(body)).unwrap()
}

/// An answer that refuses a request with a message.
pub fn refusal(status: u16, headers: &[(&'static str, String)], message: &str) -> Reaction {
    Reaction::Answer(status, headers.to_vec(), json!({"message": message}).to_string())
}
