//! A fake GitLab over real HTTP, as far as its history goes: REST's projects, merge requests, issues, commits and events,
//! in pages.
//!
//! - <https://docs.gitlab.com/api/rest/#offset-based-pagination>
//! - <https://docs.gitlab.com/api/events/>

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use plaudit::runtime::Tasks;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use super::fake_history::Reaction;
use super::fake_hooks::HOST_TOKEN;

/// The server; it ends with the test.
pub struct FakeGitlabHistory {
    /// The base URL of the API.
    pub api: String,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    /// What waits in [`Reaction::Hold`] is let through by a permit.
    gate: Semaphore,
    held: Notify,
    tasks: Tasks,
}

#[derive(Default)]
pub struct World {
    /// The most that a page has, whatever is asked for; 0 for as many as are asked for.
    pub page: usize,
    /// What is at a path, such as `projects/42`.
    pub things: BTreeMap<String, Value>,
    /// The lists by their paths, such as `projects/42/issues`, in the order in which they are given.
    pub lists: BTreeMap<String, Vec<Value>>,
    /// What happens to the next requests, in order, instead of what is documented.
    pub reactions: VecDeque<Reaction>,
    /// The paths and queries that were asked for.
    pub requests: Vec<String>,
}

impl World {
    /// A project, without anything in it.
    pub fn add_project(&mut self, id: u64, path: &str, base: &str, visibility: &str) {
        let project = json!({
            "id": id, "path_with_namespace": path, "web_url": format!("{base}/{path}"), "visibility": visibility,
            "default_branch": "main", "archived": true, "issues_access_level": "enabled",
            "merge_requests_access_level": "enabled", "repository_access_level": "enabled",
        });
        self.things.insert(format!("projects/{path}"), project);
        for list in ["merge_requests", "issues", "repository/commits", "events"] {
            self.lists.insert(format!("projects/{id}/{list}"), Vec::new());
        }
    }

    /// One of a project's lists.
    pub fn list(&mut self, id: u64, name: &str) -> &mut Vec<Value> {
        self.lists.entry(format!("projects/{id}/{name}")).or_default()
    }
}

impl FakeGitlabHistory {
    pub async fn start(world: World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}/api/v4", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            gate: Semaphore::new(0),
            held: Notify::new(),
            tasks: Tasks::default(),
        });
        let state = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |uri: Uri, headers| {
            let state = Arc::clone(&state);
            async move { state.meet(&uri, &headers).await }
        });
        let stop = shared.tasks.stopping();
        shared.tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self { api, shared }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Sets what happens to the next requests.
    pub fn next(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.world().reactions.extend(reactions);
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

impl Drop for FakeGitlabHistory {
    fn drop(&mut self) {
        self.shared.tasks.stopping().cancel();
    }
}

fn answer(status: u16, headers: &[(&str, String)], body: String) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(body)).unwrap()
}

impl Shared {
    async fn meet(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let asked = uri.path_and_query().unwrap().as_str().strip_prefix("/api/v4/").unwrap().to_owned();
        let reaction = {
            let mut world = self.world.lock().unwrap();
            world.requests.push(asked.clone());
            world.reactions.pop_front()
        };
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
        if headers.get("authorization").unwrap() != &format!("Bearer {HOST_TOKEN}") {
            return answer(401, &[], json!({"message": "401 Unauthorized"}).to_string());
        }
        self.world.lock().unwrap().answer(&asked)
    }
}

impl World {
    fn answer(&self, asked: &str) -> Response {
        let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
        let path = &*percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
        if let Some(thing) = self.things.get(path) {
            return answer(200, &[], thing.to_string());
        }
        let Some(list) = self.lists.get(path) else {
            return answer(404, &[], json!({"message": "404 Not Found"}).to_string());
        };
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        // Both in RFC 3339 and in UTC.
        let updated = |one: &&Value| {
            query.get("updated_after").is_none_or(|since| one["updated_at"].as_str() >= Some(since.as_str()))
        };
        let is_commits = path.ends_with("/commits");
        let begin = query.get("ref_name").filter(|name| is_commits && *name != "main");
        let begin = begin.map_or(0, |sha| list.iter().position(|one| one["id"] == *sha).unwrap());
        let list: Vec<_> = list[begin..].iter().filter(updated).collect();
        let number = |name: &str| query[name].parse::<usize>().unwrap();
        let (page, asked) = (number("page"), number("per_page").min(100));
        let size = if self.page == 0 { asked } else { self.page };
        let from = (list.len()).min((page - 1) * size);
        let to = (list.len()).min(from + size);
        let next = if to < list.len() { (page + 1).to_string() } else { String::new() };
        let mut headers = vec![("x-next-page", next)];
        if !is_commits {
            headers.push(("x-total", list.len().to_string()));
        }
        answer(200, &headers, json!(list[from..to]).to_string())
    }
}
