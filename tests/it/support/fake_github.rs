//! A fake GitHub over real HTTP, which answers as GitHub's documentation says.
//!
//! It has repositories, issues and comments, tokens and an App, pages and rate limits. A test may set the reaction
//! to the next request of a kind, and read the requests afterwards.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use plaudit::domain::Moment;
use plaudit::runtime::Tasks;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

pub const APP_ID: u64 = 777;
pub const APP_KEY: &str = include_str!("../app_key.pem");
pub const APP_PUBLIC_KEY: &str = include_str!("../app_key.pub.pem");

/// The server; it ends with the test.
pub struct FakeGithub {
    pub url: String,
    shared: Arc<Shared>,
    ended: tokio::sync::Mutex<mpsc::UnboundedReceiver<usize>>,
    tasks: Tasks,
}

struct Shared {
    world: Mutex<World>,
    /// One permit for every request that hangs or is held.
    hanging: Semaphore,
    /// One permit for every held request that may continue.
    released: Semaphore,
    /// How much was written of every endless body whose connection ended.
    endless: mpsc::UnboundedSender<usize>,
}

/// The data of this GitHub.
pub struct World {
    pub repositories: HashMap<String, Repository>,
    pub renamed: HashMap<String, String>,
    /// Personal tokens: the user, and the scopes of a classic token.
    pub tokens: HashMap<String, (User, Option<String>)>,
    /// The App's installations: the account, and its permissions.
    pub installations: BTreeMap<u64, (String, Value)>,
    pub app_permissions: Value,
    /// Tokens of installations, and when they expire.
    pub granted: HashMap<String, Moment>,
    pub now: Moment,
    pub remaining: u64,
    pub requests: Vec<Request>,
    laid_down: Vec<(Method, String, VecDeque<Reaction>)>,
}

#[derive(Clone)]
pub struct User {
    pub id: u64,
    pub login: String,
}

#[derive(Clone)]
pub struct Repository {
    pub id: u64,
    pub private: bool,
    pub archived: bool,
    pub issues: HashMap<u64, Issue>,
}

#[derive(Clone)]
pub struct Issue {
    pub author: Option<User>,
    /// What the author is to the repository.
    pub association: &'static str,
    pub locked: bool,
    pub comments: Vec<Comment>,
}

#[derive(Clone)]
pub struct Comment {
    pub body: String,
    pub user: User,
    pub app: Option<u64>,
}

/// A request that was received.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
}

/// The reaction to a request.
pub enum Reaction {
    /// Not carried out; answered with this status, these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, Value),
    /// Carried out, and never answered.
    Hang,
    /// Carried out, and the connection is cut instead of an answer.
    CutAfterwards,
    /// Carried out after the test calls `release`.
    Hold,
    /// Not carried out: this status, these headers, and a body that goes on for as long as it is read.
    Endless(u16, Vec<(&'static str, String)>),
}

/// Counts what was written of an endless body, and reports when it is dropped, because its connection ended.
struct EndlessBody {
    shared: Arc<Shared>,
    written: usize,
}

impl EndlessBody {
    const CHUNK: usize = 64 << 10;

    fn stream(shared: Arc<Shared>) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
        let body = Self { shared, written: 0 };
        futures::stream::unfold(body, |mut body| async move {
            // Lets the server's other tasks run.
            tokio::task::yield_now().await;
            body.written += Self::CHUNK;
            Some((Ok(Bytes::from(vec![b'x'; Self::CHUNK])), body))
        })
    }
}

impl Drop for EndlessBody {
    fn drop(&mut self) {
        self.shared.endless.send(self.written).ok();
    }
}

pub fn user(id: u64, login: &str) -> User {
    User { id, login: login.to_owned() }
}

impl FakeGithub {
    /// The repository `o/r` with the id 42, in which octocat opened number 7, and the token `good` of `thanker`.
    pub async fn start(now: Moment) -> Self {
        let issue = Issue::of(Some(user(1, "octocat")));
        let repository =
            Repository { id: 42, private: false, archived: false, issues: HashMap::from([(7, issue)]) };
        let permissions = json!({ "issues": "write", "pull_requests": "write", "metadata": "read" });
        let world = World {
            repositories: HashMap::from([("o/r".to_owned(), repository)]),
            renamed: HashMap::new(),
            // A configuration takes no secret as short as `good`.
            tokens: ["good", "good-token"].map(|token| (token.to_owned(), (user(9, "thanker"), None))).into(),
            installations: BTreeMap::from([(100, ("o".to_owned(), permissions.clone()))]),
            app_permissions: permissions,
            granted: HashMap::new(),
            now,
            remaining: 4_987,
            requests: Vec::new(),
            laid_down: Vec::new(),
        };
        let (endless, ended) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            hanging: Semaphore::new(0),
            released: Semaphore::new(0),
            endless,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, base) = (Arc::clone(&shared), url.clone());
        let router = axum::Router::new().fallback(move |method, uri: Uri, headers, body| {
            let (state, base) = (Arc::clone(&state), base.clone());
            async move { Arc::clone(&state).meet(method, &uri, headers, body, &base).await }
        });
        let tasks = Tasks::default();
        let stop = tasks.stopping();
        tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router).into_future() => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Self { url, shared, ended: tokio::sync::Mutex::new(ended), tasks }
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

    /// Resolves when the connection of an endless answer ended, with how many bytes of it were written.
    pub async fn endless_ended(&self) -> usize {
        self.ended.lock().await.recv().await.unwrap()
    }

    /// Lets one held request continue.
    pub fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// The comments on `o/r` number 7.
    pub fn comments(&self) -> Vec<Comment> {
        self.world().repositories["o/r"].issues[&7].comments.clone()
    }

    /// The number of requests with this method and this end of the path, without the query.
    pub fn asked(&self, method: &Method, path_end: &str) -> usize {
        let asked = |request: &&Request| {
            let path = request.path.split('?').next().unwrap();
            request.method == *method && path.ends_with(path_end)
        };
        self.world().requests.iter().filter(asked).count()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.world().requests.clone()
    }

    /// The issue `o/r` number 7, to change it.
    pub fn with_issue(&self, change: impl FnOnce(&mut Issue)) {
        self.with_repository(|repository| change(repository.issues.get_mut(&7).unwrap()));
    }

    /// The repository `o/r`, to change it.
    pub fn with_repository(&self, change: impl FnOnce(&mut Repository)) {
        change(self.world().repositories.get_mut("o/r").unwrap());
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

/// The account of a request.
enum Caller {
    Account(User, Option<String>),
    App,
    Installation,
}

impl Shared {
    async fn meet(
        self: Arc<Self>,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
        base: &str,
    ) -> Response {
        let path = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
        let reaction = {
            let mut world = self.world.lock().unwrap();
            world.requests.push(Request { method: method.clone(), path, headers: headers.clone() });
            let fits = |(m, end, left): &&mut (Method, String, VecDeque<Reaction>)| {
                *m == method && uri.path().ends_with(end.as_str()) && !left.is_empty()
            };
            world.laid_down.iter_mut().find(fits).and_then(|(_, _, left)| left.pop_front())
        };
        match reaction {
            None => self.carry_out(&method, uri, &headers, &body, base),
            Some(Reaction::Answer(status, headers, body)) => {
                let mut response = answer(StatusCode::from_u16(status).unwrap(), &body);
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
            Some(Reaction::Endless(status, headers)) => {
                let mut response = Response::new(Body::from_stream(EndlessBody::stream(Arc::clone(&self))));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
            Some(Reaction::Hang) => {
                self.carry_out(&method, uri, &headers, &body, base);
                self.hanging.add_permits(1);
                std::future::pending().await
            }
            Some(Reaction::CutAfterwards) => {
                self.carry_out(&method, uri, &headers, &body, base);
                let cut = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
                Response::new(Body::from_stream(cut))
            }
            Some(Reaction::Hold) => {
                self.hanging.add_permits(1);
                self.released.acquire().await.unwrap().forget();
                self.carry_out(&method, uri, &headers, &body, base)
            }
        }
    }

    fn carry_out(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
        base: &str,
    ) -> Response {
        let mut world = self.world.lock().unwrap();
        if !headers.contains_key("user-agent") {
            return refuse(403, "Request forbidden by administrative rules.");
        }
        let Some(caller) = world.caller(headers) else {
            return refuse(401, "Bad credentials");
        };
        let mut response = world.answer(&caller, method, uri, body, base);
        let reset = (world.now.timestamp() + 1_800).to_string();
        let remaining = world.remaining.to_string();
        for (name, value) in [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", &remaining),
            ("x-ratelimit-reset", &reset),
            ("x-accepted-github-permissions", "issues=write; pull_requests=write"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        if let Caller::Account(_, Some(scopes)) = &caller {
            response.headers_mut().insert("x-oauth-scopes", scopes.parse().unwrap());
        }
        response
    }
}

impl World {
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let bearer = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        if let Some((account, scopes)) = self.tokens.get(bearer) {
            return Some(Caller::Account(account.clone(), scopes.clone()));
        }
        if let Some(until) = self.granted.get(bearer) {
            return (*until > self.now).then_some(Caller::Installation);
        }
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_rsa_pem(APP_PUBLIC_KEY.as_bytes()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(bearer, &key, &rules).ok()?.claims;
        let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let now = self.now.timestamp();
        let timely = from <= now && until > now && until - now <= 600;
        (timely && claims["iss"].as_str() == Some(&APP_ID.to_string())).then_some(Caller::App)
    }

    fn answer(&mut self, caller: &Caller, method: &Method, uri: &Uri, body: &Bytes, base: &str) -> Response {
        // The paths of GitHub.com and of an Enterprise Server.
        let path = uri.path().strip_prefix("/api/v3").unwrap_or(uri.path());
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice(), caller) {
            ("GET", ["user"], Caller::Account(account, _)) => answer(StatusCode::OK, &account.shown()),
            ("GET", ["user"], _) => refuse(403, "Resource not accessible by integration"),
            ("GET", ["app"], Caller::App) => answer(
                StatusCode::OK,
                &json!({ "id": APP_ID, "slug": "plaudit-bot", "permissions": self.app_permissions }),
            ),
            ("GET", ["app", "installations"], Caller::App) => {
                let shown = |(id, (account, permissions)): (&u64, &(String, Value))| json!({ "id": id, "account": user(5, account).shown(), "permissions": permissions, "suspended_at": null });
                answer(StatusCode::OK, &self.installations.iter().map(shown).collect())
            }
            ("POST", ["app", "installations", id, "access_tokens"], Caller::App) => self.grant(id),
            ("GET", ["rate_limit"], Caller::Account(..) | Caller::Installation) => {
                let core = json!({ "limit": 5000, "remaining": self.remaining, "reset": self.now.timestamp() + 1_800 });
                answer(StatusCode::OK, &json!({ "resources": { "core": core } }))
            }
            (_, ["repos", owner, name, rest @ ..], _) => {
                self.repository(caller, method, &format!("{owner}/{name}"), rest, uri.query(), body, base)
            }
            ("GET", ["repositories", id], _) => self.repository_by_id(id),
            _ => refuse(404, "Not Found"),
        }
    }

    fn grant(&mut self, id: &str) -> Response {
        let known = id.parse().is_ok_and(|id| self.installations.contains_key(&id));
        if !known {
            return refuse(404, "Not Found");
        }
        let token = format!("ghs_{}", self.granted.len());
        let until = self.now + chrono::TimeDelta::hours(1);
        self.granted.insert(token.clone(), until);
        answer(StatusCode::CREATED, &json!({ "token": token, "expires_at": until.to_rfc3339() }))
    }

    fn repository_by_id(&self, id: &str) -> Response {
        let found = self.repositories.iter().find(|(_, r)| r.id.to_string() == id);
        found.map_or_else(|| refuse(404, "Not Found"), |(name, r)| answer(StatusCode::OK, &r.shown(name)))
    }

    #[expect(clippy::too_many_arguments, reason = "all that a request consists of")]
    fn repository(
        &mut self,
        caller: &Caller,
        method: &Method,
        name: &str,
        rest: &[&str],
        query: Option<&str>,
        body: &Bytes,
        base: &str,
    ) -> Response {
        if let Some(new) = self.renamed.get(name) {
            let id = self.repositories[new].id;
            let to = if rest.is_empty() {
                format!("{base}/repositories/{id}")
            } else {
                format!("{base}/repos/{new}/{}", rest.join("/"))
            };
            return moved(&to);
        }
        let owner = name.split('/').next().unwrap();
        let installed =
            self.installations.iter().find(|(_, (account, _))| account == owner).map(|(id, _)| *id);
        let Some(repository) = self.repositories.get_mut(name) else {
            return refuse(404, "Not Found");
        };
        match (method.as_str(), rest, caller) {
            ("GET", ["installation"], Caller::App) => match installed {
                Some(id) => answer(StatusCode::OK, &json!({ "id": id })),
                None => refuse(404, "Not Found"),
            },
            (_, _, Caller::App) => refuse(403, "Resource not accessible by integration"),
            ("GET", [], _) => answer(StatusCode::OK, &repository.shown(name)),
            ("GET", ["issues", number], _) => match repository.issue(number) {
                Some(issue) => answer(
                    StatusCode::OK,
                    &json!({
                        "number": 7, "locked": issue.locked, "user": issue.author.as_ref().map(User::shown),
                        "author_association": issue.association,
                    }),
                ),
                None => refuse(404, "Not Found"),
            },
            ("GET", ["issues", number, "comments"], _) => match repository.issue(number) {
                Some(issue) => issue.page(query.unwrap_or_default()),
                None => refuse(404, "Not Found"),
            },
            ("POST", ["issues", number, "comments"], _) => match repository.issue(number) {
                Some(issue) => issue.comment(caller, body),
                None => refuse(404, "Not Found"),
            },
            _ => refuse(404, "Not Found"),
        }
    }
}

impl Repository {
    fn shown(&self, name: &str) -> Value {
        json!({ "id": self.id, "full_name": name, "private": self.private, "archived": self.archived })
    }

    fn issue(&mut self, number: &str) -> Option<&mut Issue> {
        self.issues.get_mut(&number.parse().ok()?)
    }
}

impl Issue {
    /// One that `author` opened, who is nothing else to the repository.
    pub fn of(author: Option<User>) -> Self {
        Self { author, association: "NONE", locked: false, comments: Vec::new() }
    }

    fn page(&self, query: &str) -> Response {
        let asked: HashMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name, default| asked.get(name).map_or(default, |n| n.parse().unwrap());
        let (size, page): (usize, usize) = (number("per_page", 30).min(100), number("page", 1));
        let shown: Vec<Value> =
            self.comments.iter().skip((page - 1) * size).take(size).map(Comment::shown).collect();
        let mut response = answer(StatusCode::OK, &json!(shown));
        if self.comments.len() > page * size {
            // The address of another host: a client that follows it, instead of counting pages, fails.
            let link = format!(
                "<http://192.0.2.1/?page=1>; rel=\"first\", <http://192.0.2.1/?page={}>; rel=\"next\"",
                page + 1
            );
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    }

    fn comment(&mut self, caller: &Caller, body: &Bytes) -> Response {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let (user, app) = match caller {
            Caller::Account(account, _) => (account.clone(), None),
            Caller::App | Caller::Installation => (user(555, "plaudit-bot[bot]"), Some(APP_ID)),
        };
        let comment = Comment { body: asked["body"].as_str().unwrap().to_owned(), user, app };
        let shown = comment.shown();
        self.comments.push(comment);
        answer(StatusCode::CREATED, &shown)
    }
}

impl Comment {
    fn shown(&self) -> Value {
        let app = self.app.map(|id| json!({ "id": id, "slug": "plaudit-bot" }));
        json!({ "id": 1, "body": self.body, "user": self.user.shown(), "performed_via_github_app": app })
    }
}

impl User {
    fn shown(&self) -> Value {
        let sort = if self.login.ends_with("[bot]") { "Bot" } else { "User" };
        json!({ "id": self.id, "login": self.login, "type": sort })
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let response =
        Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    response.body(Body::from(body.to_string())).unwrap()
}

fn refuse(status: u16, message: &str) -> Response {
    let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
    answer(StatusCode::from_u16(status).unwrap(), &body)
}

fn moved(to: &str) -> Response {
    let mut response = refuse(301, "Moved Permanently");
    response.headers_mut().insert("location", to.parse().unwrap());
    response
}
