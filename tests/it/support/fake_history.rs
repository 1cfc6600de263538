//! A fake GitHub over real HTTP, as far as its history goes: GraphQL's repositories, pull requests, issues and commits,
//! and REST's activities, in pages.
//!
//! - <https://docs.github.com/en/graphql/reference/objects#repository>
//! - <https://docs.github.com/en/rest/repos/repos#list-repository-activities>

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::fake_deliveries::is_of_the_app;
use super::fake_hooks::HOST_TOKEN;
use super::fake_server::{Fake, FakeServer, answer};

pub type FakeHistory = FakeServer<World>;

pub struct World {
    /// The most that a page has, whatever is asked for.
    pub page: usize,
    pub repositories: Vec<Repository>,
    /// Where the App of the tests is installed, such as `repos/o/r`.
    pub installed: Option<&'static str>,
    /// When the tokens expire that the installation is granted. The newest alone is taken.
    pub expire: DateTime<Utc>,
    pub granted: usize,
    /// What was asked for: the name of a query, `activity`, `installation` or `token`.
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

impl FakeHistory {
    pub async fn start(repositories: Vec<Repository>) -> Self {
        let world = World {
            page: 100,
            repositories,
            installed: None,
            expire: Utc::now() + TimeDelta::hours(1),
            granted: 0,
            requests: Vec::new(),
        };
        Self::of(world).await
    }

    /// How many requests there were of each sort.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.world().requests {
            *counts.entry(request.clone()).or_default() += 1;
        }
        counts
    }
}

impl Fake for World {
    fn note(&mut self, uri: &Uri, body: &Bytes) {
        self.requests.push(asked_for(uri, body));
    }

    fn answer(&mut self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let name = asked_for(uri, body);
        let bearer = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let known = match &*name {
            "installation" | "token" => is_of_the_app(bearer),
            _ if self.installed.is_some() => bearer == format!("ghs_{}", self.granted),
            _ => bearer == HOST_TOKEN,
        };
        if !known {
            return answer(401, &[], json!({"message": "Bad credentials"}).to_string());
        }
        match &*name {
            "installation" => {
                let path = self.installed.map(|path| format!("/{path}/installation"));
                let (status, body) = if path.as_deref() == Some(uri.path()) {
                    (200, json!({"id": 5}))
                } else {
                    (404, json!({"message": "Not Found"}))
                };
                answer(status, &[], body.to_string())
            }
            "token" => {
                self.granted += 1;
                let granted = json!({"token": format!("ghs_{}", self.granted), "expires_at": self.expire});
                answer(201, &[], granted.to_string())
            }
            "activity" => self.activity(uri),
            _ => {
                let graph: Value = serde_json::from_slice(body).unwrap();
                answer(200, &[], self.graph(&name, &graph["variables"]).to_string())
            }
        }
    }
}

/// The name of a query, or of what else there is.
fn asked_for(uri: &Uri, body: &Bytes) -> String {
    if uri.path().ends_with("/graphql") {
        let graph: Value = serde_json::from_slice(body).unwrap();
        let query = graph["query"].as_str().unwrap();
        let name = query.strip_prefix("query ").unwrap().split('(').next().unwrap();
        let of = if query.contains("items: pullRequests") { " of pull requests" } else { "" };
        return format!("{name}{of}");
    }
    match uri.path() {
        path if path.ends_with("/installation") => "installation".into(),
        "/app/installations/5/access_tokens" => "token".into(),
        path => {
            assert!(path.ends_with("/activity"), "{path} is unknown");
            "activity".into()
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
