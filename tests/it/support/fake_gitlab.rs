//! A fake GitLab over real HTTP, which answers as GitLab's documentation says: one project, its merge requests, issues,
//! notes and members, and tokens.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use plaudit::runtime::Tasks;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::fake_github::{Reaction, Request};

/// The project of the payloads.
pub const PROJECT: u64 = 70_010_042;

/// The server; it ends with the test.
pub struct FakeGitlab {
    /// The base URL of the API.
    pub api: String,
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    world: Mutex<World>,
    /// One permit for every request that hangs or is held.
    hanging: Semaphore,
    /// One permit for every held request that may continue.
    released: Semaphore,
}

pub struct World {
    pub visibility: &'static str,
    pub archived: bool,
    /// By `merge_requests/11` and `issues/21`.
    pub items: HashMap<String, Item>,
    pub members: Vec<u64>,
    /// Tokens, with the account and the scopes of each.
    pub tokens: HashMap<String, (u64, &'static str, Vec<&'static str>)>,
    pub requests: Vec<Request>,
    laid_down: Vec<(Method, String, VecDeque<Reaction>)>,
}

#[derive(Clone, Default)]
pub struct Item {
    pub author: Option<(u64, &'static str)>,
    pub confidential: bool,
    pub locked: bool,
    pub moved_to: Option<u64>,
    pub notes: Vec<Note>,
}

#[derive(Clone)]
pub struct Note {
    pub body: String,
    pub author: u64,
}

impl FakeGitlab {
    /// The project of the payloads, with their merge request 11 and issue 21, and the token `glpat-good` of the account
    /// 9, `thanker`.
    pub async fn start() -> Self {
        let item = Item { author: Some((31_400_101, "tomasz-wrenfield")), ..Item::default() };
        let world = World {
            visibility: "public",
            archived: false,
            items: ["merge_requests/11", "issues/21"].map(|path| (path.to_owned(), item.clone())).into(),
            members: Vec::new(),
            tokens: HashMap::from([("glpat-good".to_owned(), (9, "thanker", vec!["api"]))]),
            requests: Vec::new(),
            laid_down: Vec::new(),
        };
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            hanging: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}/api/v4", listener.local_addr().unwrap());
        let state = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |method, uri: Uri, headers, body| {
            let state = Arc::clone(&state);
            async move { state.meet(method, &uri, headers, body).await }
        });
        let tasks = Tasks::default();
        let stop = tasks.stopping();
        tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self { api, shared, tasks }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Sets the reaction to the next request with this method and this end of the path; several apply in their order.
    pub fn next(&self, method: Method, path_end: &str, reaction: Reaction) {
        let mut world = self.world();
        let known = world.laid_down.iter_mut().find(|(m, end, _)| *m == method && end == path_end);
        match known {
            Some((_, _, reactions)) => reactions.push_back(reaction),
            None => world.laid_down.push((method, path_end.to_owned(), VecDeque::from([reaction]))),
        }
    }

    /// Waits for a request that hangs or is held.
    pub async fn hanging(&self) {
        self.shared.hanging.acquire().await.unwrap().forget();
    }

    /// Lets one held request continue.
    pub fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// Changes the merge request 11.
    pub fn with_item(&self, change: impl FnOnce(&mut Item)) {
        change(self.world().items.get_mut("merge_requests/11").unwrap());
    }

    /// The notes on one merge request or issue.
    pub fn notes(&self, item: &str) -> Vec<Note> {
        self.world().items[item].notes.clone()
    }

    /// The number of requests with this method and this end of the path, without the query.
    pub fn asked(&self, method: &Method, path_end: &str) -> usize {
        let asked = |request: &&Request| {
            request.method == *method && request.path.split('?').next().unwrap().ends_with(path_end)
        };
        self.world().requests.iter().filter(asked).count()
    }
}

impl Drop for FakeGitlab {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

impl Shared {
    async fn meet(self: Arc<Self>, method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Response {
        let path = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
        let reaction = {
            let mut world = self.world.lock().unwrap();
            world.requests.push(Request { method: method.clone(), path, headers: headers.clone() });
            let fits = |(m, end, left): &&mut (Method, String, VecDeque<Reaction>)| {
                *m == method && uri.path().ends_with(end.as_str()) && !left.is_empty()
            };
            world.laid_down.iter_mut().find(fits).and_then(|(_, _, left)| left.pop_front())
        };
        let carry_out = || self.world.lock().unwrap().answer(&method, uri, &headers, &body);
        match reaction {
            None => carry_out(),
            Some(Reaction::Answer(status, more, body)) => {
                let mut response = answer(status, &body);
                for (name, value) in more {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
            Some(Reaction::CutAfterwards) => {
                carry_out();
                let cut = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
                Response::new(Body::from_stream(cut))
            }
            Some(Reaction::Hang) => {
                carry_out();
                self.hanging.add_permits(1);
                std::future::pending().await
            }
            Some(Reaction::Hold) => {
                self.hanging.add_permits(1);
                self.released.acquire().await.unwrap().forget();
                carry_out()
            }
            Some(Reaction::Endless(..)) => unimplemented!("no test of GitLab asks for it"),
        }
    }
}

impl World {
    fn answer(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let bearer =
            headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some((id, login, scopes)) = bearer.and_then(|bearer| self.tokens.get(bearer)).cloned() else {
            return refuse(401, "401 Unauthorized");
        };
        if !scopes.contains(&"api") && *method != Method::GET {
            let wrong = json!({
                "error": "insufficient_scope", "scope": "api",
                "error_description": "The request requires higher privileges than provided by the access token.",
            });
            return answer(403, &wrong);
        }
        let path = uri.path().strip_prefix("/api/v4/").unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let project = PROJECT.to_string();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["user"]) => answer(200, &json!({ "id": id, "username": login })),
            ("GET", ["personal_access_tokens", "self"]) => {
                answer(200, &json!({ "id": 1, "scopes": scopes, "expires_at": "2027-01-31" }))
            }
            ("GET", ["projects", of]) if *of == project => answer(
                200,
                &json!({
                    "id": PROJECT, "path_with_namespace": "harbour-lights/tide-clock",
                    "visibility": self.visibility, "archived": self.archived,
                }),
            ),
            ("GET", ["projects", of, "members", "all", member]) if *of == project => {
                if self.members.iter().any(|known| known.to_string() == *member) {
                    answer(200, &json!({ "id": 1, "access_level": 30 }))
                } else {
                    refuse(404, "404 Not found")
                }
            }
            (_, ["projects", of, sort, number, rest @ ..]) if *of == project => {
                let Some(item) = self.items.get_mut(&format!("{sort}/{number}")) else {
                    return refuse(404, "404 Not found");
                };
                match (method.as_str(), rest) {
                    ("GET", []) => answer(200, &item.shown()),
                    ("GET", ["notes"]) => item.page(uri.query().unwrap_or_default()),
                    ("POST", ["notes"]) => item.write(id, body),
                    _ => refuse(404, "404 Not found"),
                }
            }
            _ => refuse(404, "404 Project Not Found"),
        }
    }
}

impl Item {
    fn shown(&self) -> Value {
        json!({
            "author": self.author.map(|(id, username)| json!({ "id": id, "username": username })),
            "confidential": self.confidential, "discussion_locked": self.locked.then_some(true),
            "moved_to_id": self.moved_to,
        })
    }

    /// The newest first, as GitLab lists notes.
    fn page(&self, query: &str) -> Response {
        let asked: HashMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name, default| asked.get(name).map_or(default, |n| n.parse().unwrap());
        let (size, page): (usize, usize) = (number("per_page", 20).min(100), number("page", 1));
        let shown: Vec<Value> =
            self.notes.iter().rev().skip((page - 1) * size).take(size).map(Note::shown).collect();
        let mut response = answer(200, &json!(shown));
        let more = self.notes.len() > page * size;
        let next = if more { (page + 1).to_string() } else { String::new() };
        response.headers_mut().insert("x-next-page", next.parse().unwrap());
        response
    }

    fn write(&mut self, author: u64, body: &Bytes) -> Response {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let note = Note { body: asked["body"].as_str().unwrap().to_owned(), author };
        let shown = note.shown();
        self.notes.push(note);
        answer(201, &shown)
    }
}

impl Note {
    fn shown(&self) -> Value {
        json!({ "id": 1, "body": self.body, "system": false, "author": { "id": self.author, "username": "x" } })
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

fn refuse(status: u16, message: &str) -> Response {
    answer(status, &json!({ "message": message }))
}
