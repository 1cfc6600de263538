//! A fake GitLab over real HTTP, as far as its history goes: REST's projects, merge requests, issues, commits and events,
//! in pages.
//!
//! - <https://docs.gitlab.com/api/rest/#offset-based-pagination>
//! - <https://docs.gitlab.com/api/events/>

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::fake_hooks::HOST_TOKEN;
use super::fake_server::{Fake, FakeServer, answer};

pub type FakeGitlabHistory = FakeServer<World>;

#[derive(Default)]
pub struct World {
    /// The most that a page has, whatever is asked for; 0 for as many as are asked for.
    pub page: usize,
    /// What is at a path, such as `projects/42`.
    pub things: BTreeMap<String, Value>,
    /// The lists by their paths, such as `projects/42/issues`, in the order in which they are given.
    pub lists: BTreeMap<String, Vec<Value>>,
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
    /// The base URL of the API.
    pub fn api(&self) -> String {
        format!("{}/api/v4", self.url)
    }
}

fn asked_for(uri: &Uri) -> &str {
    uri.path_and_query().unwrap().as_str().strip_prefix("/api/v4/").unwrap()
}

impl Fake for World {
    fn note(&mut self, uri: &Uri, _body: &Bytes) {
        self.requests.push(asked_for(uri).to_owned());
    }

    fn answer(&mut self, uri: &Uri, headers: &HeaderMap, _body: &Bytes) -> Response {
        if headers.get("authorization").unwrap() != &format!("Bearer {HOST_TOKEN}") {
            return answer(401, &[], json!({"message": "401 Unauthorized"}).to_string());
        }
        self.look_up(asked_for(uri))
    }
}

impl World {
    fn look_up(&self, asked: &str) -> Response {
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
