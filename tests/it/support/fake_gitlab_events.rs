//! A fake GitLab over real HTTP, as far as its webhooks fail: lists them and their failed deliveries, sends one again or
//! a test, and answers as documented.
//!
//! - <https://docs.gitlab.com/api/project_webhooks/>
//! - <https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use plaudit::runtime::Tasks;
use serde_json::{Value, json};

pub const TOKEN: &str = "the-token-of-this-gitlab";

/// The server; it ends with the test.
pub struct FakeGitlab {
    /// The base URL of its API.
    pub url: String,
    world: Arc<Mutex<World>>,
    tasks: Tasks,
}

pub struct World {
    /// The webhooks of `projects/…` and `groups/…`, and the failed deliveries of each, oldest first.
    pub hooks: BTreeMap<String, Vec<(Value, Vec<Value>)>>,
    /// With what plaudit answers: tests and what is sent again.
    pub answers: u16,
    /// How many deliveries may be sent again before the limit is reached once.
    pub limit: Option<usize>,
    /// Whether this GitLab lists events, as from version 17.3 on.
    pub lists: bool,
    /// The keys of what was sent again, in that order.
    pub resent: Vec<String>,
    pub tests: usize,
    ids: u64,
}

impl FakeGitlab {
    /// One webhook of `owner`, such as `projects/group%2Fproject`.
    pub async fn start(owner: &str) -> Self {
        let hook = json!({
            "id": 11, "url": "https://plaudit.example.org/webhooks/gitlab", "push_events": true,
            "alert_status": "executable", "disabled_until": null,
        });
        let other = json!({"id": 12, "url": "https://ci.example.org/hook", "alert_status": "disabled"});
        let hooks = [(owner.to_owned(), vec![(hook, Vec::new()), (other, Vec::new())])].into();
        let world =
            World { hooks, answers: 200, limit: None, lists: true, resent: Vec::new(), tests: 0, ids: 500 };
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v4", listener.local_addr().unwrap());
        let tasks = Tasks::default();
        let (state, stop) = (Arc::clone(&world), tasks.stopping());
        let router = axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap| {
            let answered = meet(&mut state.lock().unwrap(), &method, &uri, &headers);
            async move { answered }
        });
        tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self { url, world, tasks }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Changes what the webhook shows.
    pub fn change(&self, fields: &Value) {
        let mut world = self.world();
        let hook = &mut world.hooks.values_mut().next().unwrap()[0].0;
        for (name, value) in fields.as_object().unwrap() {
            hook[name] = value.clone();
        }
    }

    /// Adds a delivery that failed, and returns its key.
    pub fn failed(&self, event: &str, action: Option<&str>, status: &str) -> String {
        let key = uuid::Uuid::new_v4().to_string();
        self.world().add(&key, event, action, status);
        key
    }
}

impl Drop for FakeGitlab {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

impl World {
    fn add(&mut self, key: &str, event: &str, action: Option<&str>, status: &str) {
        self.ids += 1;
        let headers =
            json!({"Content-Type": "application/json", "Idempotency-Key": key, "X-Gitlab-Event": event});
        let data =
            action.map_or_else(|| json!({}), |action| json!({"object_attributes": {"action": action}}));
        let listed = json!({
            "id": self.ids, "url": "https://plaudit.example.org/webhooks/gitlab", "trigger": "any_hooks",
            "request_headers": headers, "request_data": data, "response_headers": {}, "response_body": "",
            "execution_duration": 1.09, "response_status": status,
        });
        self.hooks.values_mut().next().unwrap()[0].1.push(listed);
    }
}

fn meet(world: &mut World, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if headers["authorization"] != format!("Bearer {TOKEN}") {
        return answer(401, &json!({"message": "401 Unauthorized"}));
    }
    let path = uri.path().strip_prefix("/api/v4/").unwrap();
    let (owner, rest) = path.split_once("/hooks").unwrap();
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    let Some(hooks) = world.hooks.get_mut(owner) else {
        return answer(404, &json!({"message": "404 Project Not Found"}));
    };
    let (hook, events) = &mut hooks[0];
    match (method.as_str(), parts.as_slice()) {
        ("GET", []) => answer(200, &hooks.iter().map(|(hook, _)| hook.clone()).collect()),
        ("GET", ["11", "events"]) if world.lists => {
            let query: BTreeMap<String, String> =
                form_urlencoded::parse(uri.query().unwrap().as_bytes()).into_owned().collect();
            assert_eq!(query["status"], "client_failure,server_failure");
            let (size, page): (usize, usize) =
                (query["per_page"].parse().unwrap(), query["page"].parse().unwrap());
            assert!(size <= 20);
            let newest = events.iter().rev().skip((page - 1) * size).take(size);
            answer(200, &newest.cloned().collect())
        }
        ("POST", ["11", "events", id, "resend"]) => {
            if world.limit == Some(0) {
                world.limit = None;
                let message = json!({"message": {"error": "This endpoint has been requested too many times. Try again later."}});
                let mut limited = answer(429, &message);
                limited.headers_mut().insert("retry-after", "1".parse().unwrap());
                return limited;
            }
            world.limit = world.limit.map(|limit| limit - 1);
            let event = events.iter().find(|event| event["id"].as_u64() == id.parse().ok()).unwrap().clone();
            let key = event["request_headers"]["Idempotency-Key"].as_str().unwrap().to_owned();
            world.resent.push(key.clone());
            let status = world.answers;
            if status >= 300 {
                let headers = event["request_headers"].clone();
                world.add(
                    &key,
                    headers["X-Gitlab-Event"].as_str().unwrap(),
                    Some("open"),
                    &status.to_string(),
                );
            }
            answer(201, &json!({"response_status": status}))
        }
        ("POST", ["11", "test", _]) => {
            world.tests += 1;
            if world.answers >= 300 {
                let problem = json!({"status": world.answers}).to_string();
                return answer(422, &json!({"message": problem}));
            }
            hook["alert_status"] = "executable".into();
            hook["disabled_until"] = Value::Null;
            answer(201, &json!({"message": "201 Created"}))
        }
        _ => answer(404, &json!({"message": "404 Not Found"})),
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
