//! The commits of the default branch, in the pushes that brought them.

use std::collections::HashMap;

use async_trait::async_trait;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Connection, GitHub, PAGE};
use crate::domain::Moment;
use crate::hosts::api::{Answer, ApiError};
use crate::hosts::graph::{Group, Known, Pushed, Seen};
use crate::hosts::history::{From, HistoryPage, Pages, Repository, known_of};
use crate::hosts::origin::{is_no_commit, moment};
use crate::hosts::trail::{Place, Taken, Trail};

pub(super) const COMMITS: &str = "commits";

/// The commits of a repository's default branch, page by page, from the newest on.
pub(super) struct Commits<'a> {
    github: &'a GitHub,
    repository: &'a Repository,
    trail: Trail,
    actors: Vec<Value>,
}

#[derive(Deserialize)]
struct Found {
    repository: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    object: Option<Head>,
}

/// Empty for what is no commit.
#[derive(Deserialize)]
struct Head {
    oid: Option<String>,
    history: Option<Connection<Commit>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    oid: String,
    message: String,
    authored_date: String,
    committed_date: String,
    url: String,
    author: Option<Actor>,
    committer: Option<Actor>,
    parents: Parents,
}

#[derive(Deserialize)]
struct Actor {
    name: Option<String>,
    email: Option<String>,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

#[derive(Deserialize)]
struct Parents {
    nodes: Vec<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    oid: String,
}

/// <https://docs.github.com/en/rest/repos/repos#list-repository-activities>
#[derive(Deserialize)]
struct Activity {
    before: String,
    after: String,
    timestamp: String,
    #[serde(rename = "activity_type")]
    kind: String,
    actor: Option<Pusher>,
}

#[derive(Deserialize)]
struct Pusher {
    login: String,
    id: u64,
    #[serde(rename = "type", default)]
    kind: String,
}

/// One page of activities, and where the next begins.
struct Activities {
    items: Vec<Activity>,
    next: Option<String>,
}

const QUERY: &str = "query Commits($owner: String!, $name: String!, $from: String!, $after: String) { \
    repository(owner: $owner, name: $name) { object(expression: $from) { ... on Commit { oid \
    history(first: 100, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { \
    oid message authoredDate committedDate url author { name email user { login } } \
    committer { name email user { login } } parents(first: 100) { nodes { oid } } } } } } } }";
const _: () = assert!(PAGE == 100, "the query says so");

impl<'a> Commits<'a> {
    pub(super) fn new(github: &'a GitHub, repository: &'a Repository, from: From) -> Self {
        Self { github, repository, trail: Trail::new(from), actors: Vec::new() }
    }

    fn names(&self) -> (&str, &str) {
        self.repository.name.split_once('/').unwrap_or_default()
    }

    async fn ask(&self) -> Result<Option<(String, Connection<Commit>)>, ApiError> {
        let (owner, name) = self.names();
        let Place { head, page, .. } = &self.trail.place;
        let (from, after) = (head.as_deref().unwrap_or("HEAD"), Some(page).filter(|page| !page.is_empty()));
        let variables = json!({"owner": owner, "name": name, "from": from, "after": after});
        let found: Found = self.github.query(QUERY, variables).await?;
        let object = found.repository.ok_or_else(|| self.github.unknown())?.object;
        Ok(object.and_then(|head| Some((head.oid?, head.history?))))
    }

    /// The pushes to the default branch that GitHub knows. Asked for after the newest commit, so that no commit comes
    /// from a push that is missing.
    async fn pushes(&mut self) -> Result<Known, ApiError> {
        let (mut pushes, mut next, mut cut) = (Vec::new(), None, false);
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        'pages: loop {
            let Activities { items, next: more } = self.activities(next.as_deref()).await?;
            for activity in items {
                if self.trail.since.zip(moment(&activity.timestamp)).is_some_and(|(since, at)| at < since) {
                    cut = true;
                    break 'pages;
                }
                let actor = activity.actor.as_ref().map(|actor| {
                    *numbers.entry(actor.id).or_insert_with(|| {
                        self.actors.push(json!({"login": actor.login, "id": actor.id, "type": actor.kind}));
                        self.actors.len() - 1
                    })
                });
                if !is_no_commit(&activity.after) {
                    pushes.push(Pushed {
                        before: Some(activity.before).filter(|before| !is_no_commit(before)),
                        after: activity.after,
                        forced: activity.kind == "force_push",
                        actor,
                    });
                }
            }
            next = more;
            if next.is_none() {
                break;
            }
        }
        Ok(Known::new(pushes, cut))
    }

    async fn activities(&self, after: Option<&str>) -> Result<Activities, ApiError> {
        let (owner, name) = self.names();
        let branch = self.repository.json.get("default_branch").and_then(Value::as_str).unwrap_or_default();
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut path = format!(
            "/repos/{owner}/{name}/activity?direction=desc&per_page={PAGE}&ref={}",
            encoded(&format!("refs/heads/{branch}"))
        );
        if let Some(after) = after {
            path.push_str("&after=");
            path.push_str(&encoded(after));
        }
        let patient = &self.github.patient;
        let read = |answer: &Answer| {
            if !answer.status.is_success() {
                return Err(self.github.explain(answer));
            }
            let items = patient.api.read(answer)?;
            Ok(Activities { items, next: answer.header("link").and_then(cursor_after) })
        };
        patient.ask(Method::GET, &path, None, read).await
    }

    /// The payload of a push.
    fn push(&self, group: &Group) -> Value {
        let Group { push, commits, .. } = group;
        let actor = push.actor.and_then(|actor| self.actors.get(actor));
        let commits: Vec<_> = commits.iter().rev().collect();
        let head =
            commits.iter().find(|commit| commit.get("id").and_then(Value::as_str) == Some(&push.after));
        let branch = self.repository.json.get("default_branch").and_then(Value::as_str).unwrap_or_default();
        // What is known of a push alone has a page of its own.
        let compare = push.actor.map(|_| self.compare(push, commits.first().copied()));
        json!({
            "ref": format!("refs/heads/{branch}"),
            "before": push.before,
            "after": push.after,
            "forced": push.forced,
            "compare": compare,
            "commits": commits,
            "head_commit": head,
            "repository": self.repository.json,
            "pusher": {"name": actor.and_then(|actor| actor.get("login")).unwrap_or(&json!("none"))},
            "sender": actor,
        })
    }

    /// The page of a push, as payloads have it.
    fn compare(&self, push: &Pushed, first: Option<&Value>) -> String {
        let page = self.repository.json.get("html_url").and_then(Value::as_str).unwrap_or_default();
        let short = |commit: &str| commit.get(..12).unwrap_or(commit).to_owned();
        let after = short(&push.after);
        match (&push.before, first.and_then(|first| first.get("id")?.as_str())) {
            (Some(before), _) => format!("{page}/compare/{}...{after}", short(before)),
            (None, Some(first)) if first != push.after => {
                format!("{page}/compare/{}^...{after}", short(first))
            }
            (None, _) => format!("{page}/commit/{after}"),
        }
    }
}

/// The cursor of the next page in a `Link` header. Only the cursor is used: no request goes to a URL of an answer.
fn cursor_after(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split('<').nth(1)?.split('>').next()?;
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "after")
        .map(|(_, value)| value.into_owned())
}

impl Commit {
    fn seen(self) -> Seen {
        let json = json!({
            "id": self.oid,
            "message": self.message,
            "timestamp": self.authored_date,
            "url": self.url,
            "distinct": true,
            "author": self.author.as_ref().map(Actor::json),
            "committer": self.committer.as_ref().map(Actor::json),
        });
        Seen {
            oid: self.oid,
            parents: self.parents.nodes.into_iter().map(|parent| parent.oid).collect(),
            at: moment(&self.committed_date),
            json,
        }
    }
}

impl Actor {
    fn json(&self) -> Value {
        let login = self.user.as_ref().map(|user| &user.login);
        json!({"name": self.name, "email": self.email, "username": login})
    }
}

#[async_trait]
impl Pages for Commits<'_> {
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError> {
        if self.trail.ended {
            return Ok(None);
        }
        // A repository without commits has none.
        let Some((head, found)) = self.ask().await? else {
            self.trail.ended = true;
            return Ok(None);
        };
        let total = found.total_count.unwrap_or_default();
        if !self.trail.is_begun() {
            let known = self.pushes().await?;
            self.trail.begin(Some(head), known, total);
        }
        let commits = found.nodes.into_iter().map(Commit::seen);
        let Taken { mut page, complete } = self.trail.take(commits, found.page_info.next());
        page.total = Some(total).filter(|_| self.trail.since.is_none());
        for group in &complete {
            let payload = self.github.payload("push", &self.push(group), now)?;
            page.payloads.push(known_of(payload, &self.github.rules));
        }
        Ok(Some(page))
    }
}
