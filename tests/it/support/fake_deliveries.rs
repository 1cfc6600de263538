//! A fake GitHub over real HTTP, as far as it lists what it has delivered and delivers again: answers as documented.
//!
//! - <https://docs.github.com/en/rest/repos/webhooks#list-deliveries-for-a-repository-webhook>
//! - <https://docs.github.com/en/rest/apps/webhooks>

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use chrono::TimeDelta;
use plaudit::domain::Moment;
use plaudit::runtime::{Clock, Tasks};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::fake_github::{APP_ID, APP_PUBLIC_KEY};
use super::{GITHUB_SECRET, Signer, client};

pub const TOKEN: &str = "the-token-of-this-github";

/// The server; it ends with the test.
pub struct FakeDeliveries {
    pub url: String,
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    world: Mutex<World>,
    /// One permit for every request that hangs.
    hanging: Semaphore,
    clock: Clock,
}

/// What becomes of a redelivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivered {
    /// It is listed with this status.
    Listed(u16),
    /// It is listed after the test asks for it.
    Unlisted,
    /// It is really sent, where the event has a body, and listed with the answer.
    Sent,
}

pub struct World {
    /// The webhooks of `repos/o/r`, `orgs/o` and `app`, and their deliveries, oldest first.
    pub hooks: BTreeMap<String, Vec<Hook>>,
    pub redelivered: Redelivered,
    /// How many lists of deliveries were answered.
    pub lists: usize,
    /// The GUIDs of what was asked for again, in that order.
    pub asked: Vec<String>,
    /// After how many further requests one hangs: it is carried out and never answered.
    pub hang_after: Option<usize>,
    /// How many tokens the installation was granted; the newest alone is taken, unless it is revoked.
    pub granted: usize,
    pub revoked: bool,
    /// Whether this GitHub keeps a delivery so that it can be sent again.
    pub keeps: bool,
    pub requests: Vec<(Method, String)>,
    /// Events with a body, by their GUID.
    bodies: HashMap<String, (String, String)>,
    reactions: Vec<(Method, String, VecDeque<Reaction>)>,
    ids: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Hook {
    pub shown: Value,
    pub deliveries: Vec<Value>,
}

/// What happens to a request instead of what is documented: the status, the headers, and whether it is carried out.
#[derive(Clone, Debug)]
pub struct Reaction(pub u16, pub Vec<(&'static str, String)>, pub bool);

impl FakeDeliveries {
    /// The repository `o/r` with one webhook for `to`.
    pub async fn start(to: &str) -> Self {
        Self::with_clock(to, Clock::system()).await
    }

    pub async fn with_clock(to: &str, clock: Clock) -> Self {
        let world = World {
            hooks: BTreeMap::new(),
            redelivered: Redelivered::Listed(200),
            lists: 0,
            asked: Vec::new(),
            hang_after: None,
            granted: 0,
            revoked: false,
            keeps: true,
            requests: Vec::new(),
            bodies: HashMap::new(),
            reactions: Vec::new(),
            ids: 1_000_000,
        };
        let shared = Arc::new(Shared { world: Mutex::new(world), hanging: Semaphore::new(0), clock });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::default();
        let (state, stop, base) = (Arc::clone(&shared), tasks.stopping(), url.clone());
        let router = axum::Router::new().fallback(move |method, uri: Uri, headers, _body: Bytes| {
            let (state, base) = (Arc::clone(&state), base.clone());
            async move { state.meet(&base, &method, &uri, &headers).await }
        });
        tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        let fake = Self { url, shared, tasks };
        fake.add_hook("repos/o/r", to);
        fake
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Gives an owner another webhook, and returns its number.
    pub fn add_hook(&self, owner: &str, to: &str) -> u64 {
        let mut world = self.world();
        world.ids += 1;
        let id = world.ids;
        let config = json!({"url": to, "content_type": "json", "insecure_ssl": "0"});
        let shown = json!({"id": id, "name": "web", "active": true, "events": ["*"], "config": config});
        world.hooks.entry(owner.to_owned()).or_default().push(Hook { shown, deliveries: Vec::new() });
        id
    }

    /// Changes what the first webhook of `o/r` shows.
    pub fn change(&self, field: &str, value: Value) {
        self.world().hooks.get_mut("repos/o/r").unwrap()[0].shown[field] = value;
    }

    /// Adds a delivery of a new event to the first webhook of an owner, this long ago, and returns its GUID.
    pub fn delivered(&self, owner: &str, event: &str, status: u16, ago: TimeDelta) -> String {
        self.delivered_as(owner, &uuid::Uuid::new_v4().to_string(), event, status, ago, false)
    }

    /// Adds a delivery of this event, such as `issues.opened`.
    pub fn delivered_as(
        &self,
        owner: &str,
        guid: &str,
        event: &str,
        status: u16,
        ago: TimeDelta,
        redelivery: bool,
    ) -> String {
        let at = self.shared.clock.now() - ago;
        self.world().add(owner, 0, guid, event, status, at, redelivery);
        guid.to_owned()
    }

    /// An event that failed and that is really sent when it is delivered again.
    pub fn missed(&self, event: &str, body: &str) -> String {
        let guid = self.delivered("repos/o/r", event, 502, TimeDelta::minutes(30));
        self.world().bodies.insert(guid.clone(), (event.to_owned(), body.to_owned()));
        guid
    }

    /// Sets what happens to the next request with this method and this end of the path, without its query.
    pub fn next(&self, method: Method, path_end: &str, reaction: Reaction) {
        let mut world = self.world();
        match world.reactions.iter_mut().find(|(m, end, _)| *m == method && end == path_end) {
            Some((_, _, reactions)) => reactions.push_back(reaction),
            None => world.reactions.push((method, path_end.to_owned(), VecDeque::from([reaction]))),
        }
    }

    /// The path and query of the newest request.
    pub fn last_request(&self) -> String {
        self.world().requests.last().unwrap().1.clone()
    }

    /// Waits until a request hangs.
    pub async fn hangs(&self) {
        super::in_the_end("a request that hangs", self.shared.hanging.acquire()).await.unwrap().forget();
    }
}

impl Drop for FakeDeliveries {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

impl World {
    #[expect(clippy::too_many_arguments, reason = "the fields of a delivery")]
    fn add(
        &mut self,
        owner: &str,
        hook: usize,
        guid: &str,
        event: &str,
        status: u16,
        at: Moment,
        redelivery: bool,
    ) {
        self.ids += 1;
        let (name, action) =
            event.split_once('.').map_or((event, None), |(name, action)| (name, Some(action)));
        let words = if status < 300 { "OK" } else { "Invalid HTTP Response" };
        let delivery = json!({
            "id": self.ids, "guid": guid, "delivered_at": at.to_rfc3339(), "redelivery": redelivery,
            "duration": 0.27, "status": words, "status_code": status, "event": name, "action": action,
            "installation_id": null, "repository_id": 7, "throttled_at": null,
        });
        self.hooks.get_mut(owner).unwrap()[hook].deliveries.push(delivery);
    }
}

impl Shared {
    async fn meet(&self, base: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let (reaction, hangs) = {
            let mut world = self.world.lock().unwrap();
            world.requests.push((method.clone(), uri.to_string()));
            let hangs = world.hang_after == Some(0);
            world.hang_after = world.hang_after.and_then(|left| left.checked_sub(1));
            let fits = |(m, end, left): &&mut (Method, String, VecDeque<Reaction>)| {
                m == method && uri.path().ends_with(end.as_str()) && !left.is_empty()
            };
            let reaction = world.reactions.iter_mut().find(fits).and_then(|(_, _, left)| left.pop_front());
            (reaction, hangs)
        };
        if let Some(Reaction(status, headers, false)) = &reaction {
            return with_headers(*status, headers);
        }
        let response = self.answer(base, method, uri, headers).await;
        if hangs {
            self.hanging.add_permits(1);
            std::future::pending::<()>().await;
        }
        match reaction {
            Some(Reaction(status, headers, true)) => with_headers(status, &headers),
            _ => response,
        }
    }

    async fn answer(&self, base: &str, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let bearer = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        let path = uri.path().trim_start_matches('/').to_owned();
        let is_app = path.starts_with("app/") || path.ends_with("/installation");
        let installed = {
            let world = self.world.lock().unwrap();
            !world.revoked && bearer == format!("ghs_{}", world.granted)
        };
        let known = if is_app { is_of_the_app(&bearer) } else { bearer == TOKEN || installed };
        if !known {
            return answer(401, &json!({"message": "Bad credentials"}));
        }
        if path.ends_with("/installation") {
            return answer(200, &json!({"id": 5}));
        }
        if path == "app/installations/5/access_tokens" {
            let expires_at = self.clock.now() + TimeDelta::hours(1);
            let mut world = self.world.lock().unwrap();
            (world.granted, world.revoked) = (world.granted + 1, false);
            let token = format!("ghs_{}", world.granted);
            return answer(201, &json!({"token": token, "expires_at": expires_at}));
        }
        let Some((owner, rest)) = path.split_once("/hook") else {
            return answer(404, &json!({"message": "Not Found"}));
        };
        let mut parts: Vec<&str> = rest.trim_start_matches('s').split('/').skip(1).collect();
        if owner == "app" {
            let shown = self.world.lock().unwrap().hooks["app"][0].shown.clone();
            if parts == ["config"] {
                return answer(200, &shown["config"]);
            }
            let id = shown["id"].to_string();
            return Box::pin(async { self.of_hook(base, method, uri, owner, &id, &parts).await }).await;
        }
        if parts.is_empty() {
            let world = self.world.lock().unwrap();
            let Some(hooks) = world.hooks.get(owner) else {
                return answer(404, &json!({"message": "Not Found"}));
            };
            return answer(200, &hooks.iter().map(|hook| hook.shown.clone()).collect());
        }
        let id = parts.remove(0).to_owned();
        self.of_hook(base, method, uri, owner, &id, &parts).await
    }

    async fn of_hook(
        &self,
        base: &str,
        method: &Method,
        uri: &Uri,
        owner: &str,
        id: &str,
        parts: &[&str],
    ) -> Response {
        let at = {
            let world = self.world.lock().unwrap();
            world.hooks[owner].iter().position(|hook| hook.shown["id"].as_u64() == id.parse().ok())
        };
        let Some(at) = at else { return answer(404, &json!({"message": "Not Found"})) };
        match (method.as_str(), parts) {
            ("GET", ["deliveries"]) => self.list(base, uri, owner, at),
            ("POST", ["deliveries", delivery, "attempts"]) => {
                self.again(owner, at, delivery.parse().unwrap()).await
            }
            _ => answer(404, &json!({"message": "Not Found"})),
        }
    }

    fn list(&self, base: &str, uri: &Uri, owner: &str, at: usize) -> Response {
        let query: HashMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap().as_bytes()).into_owned().collect();
        let size: usize = query["per_page"].parse().unwrap();
        assert!(size <= 100);
        let before = query.get("cursor").map_or(u64::MAX, |cursor| {
            cursor.strip_prefix("v1_").and_then(|id| id.parse().ok()).expect("a cursor of this list")
        });
        let mut world = self.world.lock().unwrap();
        world.lists += 1;
        let deliveries = &world.hooks[owner][at].deliveries;
        let id = |delivery: &Value| delivery["id"].as_u64().unwrap();
        let mut older = deliveries.iter().rev().filter(|delivery| id(delivery) < before);
        let page: Vec<Value> = older.by_ref().take(size).cloned().collect();
        let mut response = answer(200, &page.clone().into());
        if older.next().is_some() {
            let last = id(page.last().unwrap());
            let link = format!(
                "<{base}{}?per_page={size}&cursor=v1_{last}>; rel=\"next\", <{base}/first>; rel=\"first\"",
                uri.path()
            );
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    }

    async fn again(&self, owner: &str, at: usize, delivery: u64) -> Response {
        let (guid, event, redelivered, body, url) = {
            let mut world = self.world.lock().unwrap();
            let hook = world.hooks[owner][at].clone();
            let found = hook.deliveries.iter().find(|one| one["id"].as_u64() == Some(delivery)).cloned();
            let Some(found) = found.filter(|_| world.keeps) else {
                return answer(404, &json!({"message": "Not Found"}));
            };
            let guid = found["guid"].as_str().unwrap().to_owned();
            world.asked.push(guid.clone());
            let event = match found["action"].as_str() {
                Some(action) => format!("{}.{action}", found["event"].as_str().unwrap()),
                None => found["event"].as_str().unwrap().to_owned(),
            };
            let url = hook.shown["config"]["url"].as_str().unwrap().to_owned();
            (guid.clone(), event, world.redelivered, world.bodies.get(&guid).cloned(), url)
        };
        let status = match (redelivered, body) {
            (Redelivered::Unlisted, _) => None,
            (Redelivered::Listed(status), _) => Some(status),
            (Redelivered::Sent, None) => Some(502),
            (Redelivered::Sent, Some((event, body))) => {
                let headers = Signer::Github(GITHUB_SECRET).headers(&event, &guid, body.as_bytes(), 0);
                let sent = client().post(&url).headers(headers).body(body).send().await;
                Some(sent.map_or(502, |answer| answer.status().as_u16()))
            }
        };
        if let Some(status) = status {
            let now = self.clock.now();
            self.world.lock().unwrap().add(owner, at, &guid, &event, status, now, true);
        }
        answer(202, &json!({}))
    }
}

pub fn is_of_the_app(token: &str) -> bool {
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(APP_PUBLIC_KEY.as_bytes()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&[APP_ID.to_string()]);
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["iss", "exp"]);
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

fn with_headers(status: u16, headers: &[(&'static str, String)]) -> Response {
    let mut response = answer(status, &json!({"message": "as the test wants it"}));
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

fn answer(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
