//! A fake GitHub over real HTTP, as far as its history goes: GraphQL's repositories, pull requests, issues and commits,
//! and REST's activities, in pages.
//!
//! - <https://docs.github.com/en/graphql/reference/objects#repository>
//! - <https://docs.github.com/en/rest/repos/repos#list-repository-activities>

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use plaudit::runtime::Tasks;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use super::fake_hooks::HOST_TOKEN;

/// The server; it ends with the test.
pub struct FakeHistory {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    /// What waits in [`Reaction::Hold`] is let through by a permit.
    gate: Semaphore,
    held: Notify,
    tasks: Tasks,
}

pub struct World {
    /// The most that a page has, whatever is asked for.
    pub page: usize,
    pub repositories: Vec<Repository>,
    /// What happens to the next requests, in order, instead of what is documented.
    pub reactions: VecDeque<Reaction>,
    /// What was asked for: the name of a query, or `activity`.
    pub requests: Vec<String>,
}

/// A repository as the API shows it.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub full_name: String,
    pub id: u64,
    /// Where its pages are.
    pub base: String,
    pub private: bool,
    pub fork: bool,
    /// In the order in which they were created.
    pub pull_requests: Vec<Value>,
    pub issues: Vec<Value>,
    /// Newest first, children before parents.
    pub commits: Vec<Value>,
    /// Of the default branch, newest first.
    pub activities: Vec<Value>,
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

impl FakeHistory {
    pub async fn start(repositories: Vec<Repository>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            world: Mutex::new(World {
                page: 100,
                repositories,
                reactions: VecDeque::new(),
                requests: Vec::new(),
            }),
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
        self.world().reactions.extend(reactions);
    }

    /// How many requests there were of each sort.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.world().requests {
            *counts.entry(request.clone()).or_default() += 1;
        }
        counts
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

impl Drop for FakeHistory {
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
    async fn meet(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let graph: Option<Value> =
            uri.path().ends_with("/graphql").then(|| serde_json::from_slice(body).unwrap());
        let name = match &graph {
            Some(graph) => {
                let query = graph["query"].as_str().unwrap();
                let name = query.strip_prefix("query ").unwrap().split('(').next().unwrap();
                let of = if query.contains("items: pullRequests") { " of pull requests" } else { "" };
                format!("{name}{of}")
            }
            None => "activity".to_owned(),
        };
        let reaction = {
            let mut world = self.world.lock().unwrap();
            world.requests.push(name.clone());
            world.reactions.pop_front()
        };
        match reaction {
            Some(Reaction::Answer(status, headers, body)) => return answer(status, &headers, body),
            Some(Reaction::Cut) => {
                let half = [Ok(Bytes::from("{\"data\": {")), Err(std::io::Error::other("cut"))];
                return Response::new(Body::from_stream(futures::stream::iter(half)));
            }
            Some(Reaction::Hold) => {
                self.held.notify_one();
                self.gate.acquire().await.unwrap().forget();
            }
            Some(Reaction::Pass) | None => {}
        }
        if headers.get("authorization").unwrap() != &format!("Bearer {HOST_TOKEN}") {
            return answer(401, &[], json!({"message": "Bad credentials"}).to_string());
        }
        let world = self.world.lock().unwrap();
        match graph {
            Some(graph) => answer(200, &[], world.graph(&name, &graph["variables"]).to_string()),
            None => world.activity(uri),
        }
    }
}

/// A page of so many: the items, and what GraphQL says of the page. A cursor is the place after an item.
fn page(most: usize, items: &[impl Serialize], after: &Value) -> Value {
    let from: usize =
        after.as_str().map_or(0, |after| after.strip_prefix("after ").unwrap().parse().unwrap());
    let to = items.len().min(from + most);
    json!({
        "totalCount": items.len(),
        "pageInfo": {"hasNextPage": to < items.len(), "endCursor": format!("after {to}")},
        "nodes": &items[from..to],
    })
}

impl World {
    fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|one| one.full_name.eq_ignore_ascii_case(name))
    }

    fn graph(&self, query: &str, variables: &Value) -> Value {
        let owner = variables["owner"].as_str().unwrap();
        if query == "Repositories" {
            let is_of_owner = |one: &&Repository| one.full_name.split('/').next() == Some(owner);
            let nodes: Vec<_> = self.repositories.iter().filter(is_of_owner).map(Repository::node).collect();
            let all = if nodes.is_empty() {
                Value::Null
            } else {
                json!({"repositories": page(self.page, &nodes, &variables["after"])})
            };
            return json!({"data": {"repositoryOwner": all}});
        }
        let name = format!("{owner}/{}", variables["name"].as_str().unwrap());
        let Some(repository) = self.repository(&name) else {
            return json!({"data": {"repository": null}, "errors": [{"type": "NOT_FOUND",
                "message": format!("Could not resolve to a Repository with the name '{name}'.")}]});
        };
        let after = &variables["after"];
        let found = match query {
            "Repository" => repository.node(),
            "Items of pull requests" => {
                json!({"items": page(self.page, &ordered(&repository.pull_requests, variables), after)})
            }
            "Items" => json!({"items": page(self.page, &ordered(&repository.issues, variables), after)}),
            "Commits" => repository.history(self.page, variables["from"].as_str().unwrap(), after),
            other => panic!("the query {other} is unknown"),
        };
        json!({"data": {"repository": found}})
    }

    fn activity(&self, uri: &Uri) -> Response {
        let parts: Vec<_> = uri.path().split('/').collect();
        let ["", "repos", owner, name, "activity"] = parts[..] else { panic!("{uri} is unknown") };
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap().as_bytes()).into_owned().collect();
        assert_eq!((query["direction"].as_str(), query["per_page"].as_str()), ("desc", "100"));
        assert_eq!(query["ref"], "refs/heads/main");
        let all = &self.repository(&format!("{owner}/{name}")).unwrap().activities;
        let from: usize =
            query.get("after").map_or(0, |after| after.strip_prefix("act+").unwrap().parse().unwrap());
        let to = all.len().min(from + self.page);
        let more = (to < all.len()).then(|| {
            let url = format!("https://elsewhere.example/{}?per_page=100&after=act%2B{to}", uri.path());
            ("link", format!("<{url}>; rel=\"next\""))
        });
        answer(200, more.as_slice(), json!(all[from..to]).to_string())
    }
}

/// In the order that is asked for.
fn ordered<'a>(items: &'a [Value], variables: &Value) -> Vec<&'a Value> {
    let mut items: Vec<_> = items.iter().collect();
    let field = if variables["order"]["field"] == "UPDATED_AT" { "updatedAt" } else { "createdAt" };
    items.sort_by(|one, other| one[field].as_str().cmp(&other[field].as_str()));
    if variables["order"]["direction"] == "DESC" {
        items.reverse();
    }
    items
}

impl Repository {
    fn node(&self) -> Value {
        json!({
            "databaseId": self.id, "nameWithOwner": self.full_name, "url": format!("{}/{}", self.base, self.full_name),
            "isPrivate": self.private, "visibility": if self.private { "PRIVATE" } else { "PUBLIC" },
            "isFork": self.fork, "defaultBranchRef": {"name": "main"},
        })
    }

    fn history(&self, most: usize, from: &str, after: &Value) -> Value {
        let head = match from {
            "HEAD" => 0,
            oid => self.commits.iter().position(|commit| commit["oid"] == oid).unwrap(),
        };
        let Some(commit) = self.commits.get(head) else { return json!({"object": null}) };
        json!({"object": {"oid": commit["oid"], "history": page(most, &self.commits[head..], after)}})
    }
}
