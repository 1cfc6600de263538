//! A fake GitHub and a fake GitLab over real HTTP, as far as webhooks go: their APIs answer as documented, and what
//! they deliver is signed and sent to the URL of each webhook.
//!
//! - <https://docs.github.com/en/rest/repos/webhooks>, <https://docs.github.com/en/rest/orgs/webhooks>
//! - <https://docs.gitlab.com/api/project_webhooks/>

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plaudit::runtime::Tasks;
use serde_json::{Value, json};

use super::{Signer, client, fixture};

/// The token that both take.
pub const HOST_TOKEN: &str = "the-token-of-the-host";

/// The server; it ends with the test.
pub struct FakeHooks {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    tasks: Tasks,
}

pub struct World {
    /// What belongs to `repos/OWNER/REPO` and `orgs/OWNER`, and to a project as `projects/PATH`, encoded.
    pub owners: BTreeMap<String, Vec<Hook>>,
    /// The scopes of a classic token; `None` for a fine-grained one.
    pub scopes: Option<String>,
    /// Whether this GitLab knows signing tokens, as from version 19 on.
    pub signs: bool,
    /// Whether the GitLab project has commits.
    pub has_commits: bool,
    /// How many of the next deliveries reach nothing.
    pub unreachable: usize,
    pub requests: Vec<(Method, String)>,
    laid_down: Vec<(Method, String, VecDeque<Reaction>)>,
    ids: u64,
}

/// A webhook: its fields as the API shows them, what it does not show, and what was delivered.
#[derive(Clone, Debug, Default)]
pub struct Hook {
    pub shown: Value,
    pub secret: Option<String>,
    pub signing_token: Option<String>,
    pub deliveries: Vec<Value>,
}

/// What happens to a request instead of what is documented.
#[derive(Debug)]
pub enum Reaction {
    /// It is not carried out.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It is carried out, and its answer is lost.
    Lose,
}

impl Hook {
    pub fn id(&self) -> u64 {
        self.shown["id"].as_u64().unwrap()
    }

    fn url(&self) -> String {
        self.shown["config"]["url"].as_str().or(self.shown["url"].as_str()).unwrap().to_owned()
    }
}

impl FakeHooks {
    /// The repository `o/r`, the organisation `o` and the project `group/sub/project`, without webhooks.
    pub async fn start() -> Self {
        let owners = ["repos/o/r", "orgs/o", "projects/group%2Fsub%2Fproject"];
        let world = World {
            owners: owners.map(|owner| (owner.to_owned(), Vec::new())).into(),
            scopes: None,
            signs: true,
            has_commits: true,
            unreachable: 0,
            requests: Vec::new(),
            laid_down: Vec::new(),
            ids: 0,
        };
        let shared = Arc::new(Shared { world: Mutex::new(world), tasks: Tasks::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |method, uri: Uri, headers, body| {
            let state = Arc::clone(&state);
            async move { state.meet(&method, &uri, &headers, &body).await }
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

    /// The webhooks of one owner, such as `repos/o/r`.
    pub fn hooks(&self, owner: &str) -> Vec<Hook> {
        self.world().owners[owner].clone()
    }

    /// Gives an owner a webhook with these fields.
    pub fn add(&self, owner: &str, mut shown: Value, secret: &str) -> u64 {
        let mut world = self.world();
        world.ids += 1;
        let id = world.ids;
        shown["id"] = id.into();
        let hook = Hook { shown, secret: Some(secret.to_owned()), ..Hook::default() };
        world.owners.get_mut(owner).unwrap().push(hook);
        id
    }

    /// Sets what happens to the next request with this method and this end of the path, without its query.
    pub fn next(&self, method: Method, path_end: &str, reaction: Reaction) {
        let mut world = self.world();
        let known = world.laid_down.iter_mut().find(|(m, end, _)| *m == method && end == path_end);
        match known {
            Some((_, _, reactions)) => reactions.push_back(reaction),
            None => world.laid_down.push((method, path_end.to_owned(), VecDeque::from([reaction]))),
        }
    }

    /// How many requests were not `GET`s.
    pub fn changes(&self) -> usize {
        self.world().requests.iter().filter(|(method, _)| method != Method::GET).count()
    }

    /// Sends an event as GitHub does to every webhook of an owner that is for it, and returns the statuses.
    pub async fn deliver(&self, owner: &str, event: &str, body: &str) -> Vec<u64> {
        let sends = |hook: &&Hook| hook.shown["events"].as_array().unwrap().iter().any(|one| one == event);
        let hooks: Vec<Hook> = self.hooks(owner).iter().filter(sends).cloned().collect();
        let mut statuses = Vec::new();
        for hook in hooks {
            let delivery = self.shared.deliver(owner, hook.id(), event, body).await;
            statuses.push(delivery["status_code"].as_u64().unwrap());
        }
        statuses
    }
}

impl Drop for FakeHooks {
    fn drop(&mut self) {
        self.shared.tasks.stopping().cancel();
    }
}

impl Shared {
    async fn meet(
        self: Arc<Self>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response {
        let reaction = {
            let mut world = self.world.lock().unwrap();
            world.requests.push((method.clone(), uri.to_string()));
            let fits = |(m, end, left): &&mut (Method, String, VecDeque<Reaction>)| {
                m == method && uri.path().ends_with(end.as_str()) && !left.is_empty()
            };
            world.laid_down.iter_mut().find(fits).and_then(|(_, _, left)| left.pop_front())
        };
        if let Some(Reaction::Answer(status, headers, body)) = reaction {
            let mut response = Response::builder().status(status).header("content-type", "application/json");
            for (name, value) in headers {
                response = response.header(name, value);
            }
            return response.body(Body::from(body)).unwrap();
        }
        let bearer = headers.get("authorization").map(|value| value.to_str().unwrap());
        assert!(headers["user-agent"].to_str().unwrap().starts_with("plaudit/"), "GitHub asks for it");
        let known = bearer == Some(&format!("Bearer {HOST_TOKEN}"));
        let query = uri.query().unwrap_or_default();
        let response = match uri.path().strip_prefix("/api/v4/") {
            _ if !known && uri.path().starts_with("/api/v4/") => {
                answer(401, &json!({"message": "401 Unauthorized"}))
            }
            _ if !known => answer(401, &json!({"message": "Bad credentials"})),
            Some(path) => self.gitlab(method, path, body).await,
            None => self.github(method, uri.path().trim_start_matches('/'), query, body),
        };
        if matches!(reaction, Some(Reaction::Lose)) {
            answer(502, &json!({"message": "Server Error"}))
        } else {
            response
        }
    }

    fn github(self: &Arc<Self>, method: &Method, path: &str, query: &str, body: &Bytes) -> Response {
        let (owner, rest) = path.split_once("/hooks").unwrap_or((path, ""));
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let mut world = self.world.lock().unwrap();
        let scopes = world.scopes.clone();
        let accepted = if owner.starts_with("orgs/") {
            "admin:org_hook"
        } else {
            "admin:repo_hook, public_repo, repo, write:repo_hook"
        };
        let reading = if method == Method::GET { ", read:repo_hook" } else { "" };
        let accepted = format!("{accepted}{reading}");
        let allowed = scopes
            .as_ref()
            .is_none_or(|scopes| scopes.split(", ").any(|one| accepted.split(", ").any(|a| a == one)));
        let mut response = if !allowed || !world.owners.contains_key(owner) {
            answer(404, &json!({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}))
        } else {
            self.github_hooks(&mut world, owner, method, &parts, query, body)
        };
        if let Some(scopes) = scopes {
            response.headers_mut().insert("x-oauth-scopes", scopes.parse().unwrap());
            response.headers_mut().insert("x-accepted-oauth-scopes", accepted.parse().unwrap());
        }
        response
    }

    fn github_hooks(
        self: &Arc<Self>,
        world: &mut World,
        owner: &str,
        method: &Method,
        parts: &[&str],
        query: &str,
        body: &Bytes,
    ) -> Response {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let id: u64 = parts.first().and_then(|id| id.parse().ok()).unwrap_or_default();
        if let (&Method::POST, []) = (method, parts) {
            let taken =
                world.owners[owner].iter().any(|hook| hook.shown["config"]["url"] == asked["config"]["url"]);
            if taken || asked["name"] != "web" {
                let errors = [
                    json!({"resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"}),
                ];
                return answer(422, &json!({"message": "Validation Failed", "errors": errors}));
            }
            world.ids += 1;
            let mut hook = Hook { shown: json!({"id": world.ids, "name": "web"}), ..Hook::default() };
            hook.take(&asked);
            let shown = hook.shown.clone();
            world.owners.get_mut(owner).unwrap().push(hook);
            self.ping(owner, world.ids);
            return answer(201, &shown);
        }
        let hooks = world.owners.get_mut(owner).unwrap();
        if parts.is_empty() {
            let page: usize = query.rsplit_once("&page=").unwrap().1.parse().unwrap();
            let all: Vec<_> =
                hooks.iter().map(|hook| hook.shown.clone()).skip((page - 1) * 100).take(100).collect();
            return answer(200, &all.into());
        }
        let Some(hook) = hooks.iter_mut().find(|hook| hook.id() == id) else {
            return answer(404, &json!({"message": "Not Found"}));
        };
        match (method.as_str(), parts.get(1..).unwrap()) {
            ("PATCH", []) => {
                hook.take(&asked);
                answer(200, &hook.shown)
            }
            ("POST", ["pings"]) => {
                self.ping(owner, id);
                Response::builder().status(204).body(Body::empty()).unwrap()
            }
            ("GET", ["deliveries"]) => {
                let newest = hook.deliveries.iter().rev().cloned().map(|mut delivery| {
                    delivery
                        .as_object_mut()
                        .unwrap()
                        .retain(|name, _| name != "request" && name != "response");
                    delivery
                });
                answer(200, &newest.take(30).collect())
            }
            ("GET", ["deliveries", one]) => {
                let found =
                    hook.deliveries.iter().find(|delivery| delivery["id"].as_u64() == one.parse().ok());
                found
                    .map_or_else(|| answer(404, &json!({"message": "Not Found"})), |found| answer(200, found))
            }
            _ => answer(404, &json!({"message": "Not Found"})),
        }
    }

    /// GitHub pings after it has answered, and shows the delivery when it has an answer.
    fn ping(self: &Arc<Self>, owner: &str, id: u64) {
        let (this, owner) = (Arc::clone(self), owner.to_owned());
        self.tasks.spawn(async move {
            this.deliver(&owner, id, "ping", &fixture("github/ping.repository.json")).await
        });
    }

    /// Sends one delivery of GitHub, and keeps what came of it.
    async fn deliver(&self, owner: &str, id: u64, event: &str, body: &str) -> Value {
        let (url, secret, reachable) = {
            let mut world = self.world.lock().unwrap();
            let reachable = world.unreachable == 0;
            world.unreachable = world.unreachable.saturating_sub(1);
            let hook = world.owners[owner].iter().find(|hook| hook.id() == id).unwrap();
            (hook.url(), hook.secret.clone().unwrap_or_default(), reachable)
        };
        let guid = uuid::Uuid::new_v4().to_string();
        let headers = Signer::Github(&secret).headers(event, &guid, body.as_bytes(), 0);
        let sent = async { client().post(&url).headers(headers).body(body.to_owned()).send().await.ok() };
        let (status, words, payload) = match if reachable { sent.await } else { None } {
            None => (502, "failed to connect".to_owned(), Value::Null),
            Some(answer) => {
                let status = answer.status().as_u16();
                let words =
                    if status < 300 { "OK".to_owned() } else { format!("Invalid HTTP Response: {status}") };
                (status, words, answer.text().await.unwrap().into())
            }
        };
        let mut world = self.world.lock().unwrap();
        world.ids += 1;
        let delivery = json!({
            "id": world.ids, "guid": guid, "event": event, "action": null, "redelivery": false, "duration": 0.1,
            "status": words, "status_code": status, "delivered_at": "2026-11-24T10:00:00Z",
            "request": {"headers": {}, "payload": {}}, "response": {"headers": {}, "payload": payload},
        });
        let hooks = world.owners.get_mut(owner).unwrap();
        hooks.iter_mut().find(|hook| hook.id() == id).unwrap().deliveries.push(delivery.clone());
        delivery
    }

    async fn gitlab(&self, method: &Method, path: &str, body: &Bytes) -> Response {
        let (owner, rest) = path.split_once("/hooks").unwrap_or((path, ""));
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        if let (&Method::POST, [id, "test", trigger]) = (method, parts.as_slice()) {
            return self.gitlab_test(owner, id, trigger).await;
        }
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut world = self.world.lock().unwrap();
        let (signs, id) = (world.signs, world.ids + 1);
        let Some(hooks) = world.owners.get_mut(owner) else {
            return answer(404, &json!({"message": "404 Project Not Found"}));
        };
        match (method.as_str(), parts.as_slice()) {
            ("GET", []) => answer(200, &hooks.iter().map(|hook| hook.shown.clone()).collect()),
            ("POST", []) => {
                let mut hook =
                    Hook { shown: json!({"id": id, "alert_status": "executable"}), ..Hook::default() };
                hook.take_gitlab(&asked, signs);
                let shown = hook.shown.clone();
                hooks.push(hook);
                world.ids = id;
                answer(201, &shown)
            }
            ("PUT", [id]) => {
                let Some(hook) = hooks.iter_mut().find(|hook| hook.id().to_string() == *id) else {
                    return answer(404, &json!({"message": "404 Not found"}));
                };
                if !asked["url"].is_string() {
                    return answer(400, &json!({"error": "url is missing"}));
                }
                hook.take_gitlab(&asked, signs);
                answer(200, &hook.shown)
            }
            _ => answer(404, &json!({"message": "404 Not Found"})),
        }
    }

    /// Answers after the receiver has: 201 after a success, else 422 with the receiver's answer as the message.
    async fn gitlab_test(&self, owner: &str, id: &str, trigger: &str) -> Response {
        let (hook, has_commits) = {
            let world = self.world.lock().unwrap();
            let hook = world.owners[owner].iter().find(|hook| hook.id().to_string() == id).cloned();
            (hook.unwrap(), world.has_commits)
        };
        let (event, body) = match trigger {
            "tag_push_events" if !has_commits => {
                return answer(422, &json!({"message": "Ensure the project has at least one commit."}));
            }
            "tag_push_events" => ("Tag Push Hook", fixture("gitlab/tag_push.created.json")),
            "resource_access_token_events" => {
                let project = json!({"id": 3, "path_with_namespace": "group/sub/project", "web_url": "https://gitlab.example.org/group/sub/project"});
                (
                    "Resource Access Token Hook",
                    json!({"object_kind": "access_token", "project": project}).to_string(),
                )
            }
            _ => return answer(400, &json!({"error": "trigger does not have a valid value"})),
        };
        let guid = uuid::Uuid::new_v4().to_string();
        let now = chrono::Utc::now().timestamp();
        let signer = match (&hook.signing_token, &hook.secret) {
            (Some(token), _) => Signer::Gitlab(token),
            (None, Some(token)) => Signer::GitlabToken(token),
            (None, None) => Signer::GitlabToken(""),
        };
        let headers = signer.headers(event, &guid, body.as_bytes(), now);
        match client().post(hook.url()).headers(headers).body(body).send().await {
            Ok(sent) if sent.status().is_success() => answer(201, &json!({"message": "201 Created"})),
            Ok(sent) => answer(422, &json!({"message": sent.text().await.unwrap()})),
            Err(_) => {
                answer(422, &json!({"message": "Failed to open TCP connection to plaudit.example.org:443"}))
            }
        }
    }
}

impl Hook {
    /// Takes what GitHub's API takes. A `config` without a secret removes it, as documented.
    fn take(&mut self, asked: &Value) {
        for field in ["active", "events"] {
            if !asked[field].is_null() {
                self.shown[field] = asked[field].clone();
            }
        }
        if asked["config"].is_object() {
            self.secret = asked["config"]["secret"].as_str().map(str::to_owned);
            self.shown["config"] = asked["config"].clone();
            if self.secret.is_some() {
                self.shown["config"]["secret"] = "********".into();
            }
        }
    }

    /// Takes what GitLab's API takes; its secrets are never shown.
    fn take_gitlab(&mut self, asked: &Value, signs: bool) {
        for (name, value) in asked.as_object().unwrap() {
            match name.as_str() {
                "token" => self.secret = value.as_str().map(str::to_owned),
                "signing_token" if signs => {
                    let token = value.as_str().unwrap().strip_prefix("whsec_").unwrap();
                    assert_eq!(STANDARD.decode(token).unwrap().len(), 32);
                    self.signing_token = value.as_str().map(str::to_owned);
                }
                "signing_token" => {}
                _ => self.shown[name] = value.clone(),
            }
        }
        if signs {
            self.shown["token_present"] = self.secret.is_some().into();
            self.shown["signing_token_present"] = self.signing_token.is_some().into();
        }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
