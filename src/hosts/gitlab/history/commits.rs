//! The commits of the default branch, in the pushes that brought them.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitLab, Listed, encoded, path_of};
use crate::domain::Moment;
use crate::hosts::api::ApiError;
use crate::hosts::graph::{Group, Known, Pushed, Seen};
use crate::hosts::history::{From, HistoryPage, Pages, Repository, known_of};
use crate::hosts::origin::moment;
use crate::hosts::trail::{Place, Taken, Trail};

pub(super) const COMMITS: &str = "commits";

/// How many commits of a push a payload lists: the newest.
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>
const LISTED: usize = 20;

/// The commits of a project's default branch, page by page, from the newest on.
pub(super) struct Commits<'a> {
    gitlab: &'a GitLab,
    repository: &'a Repository,
    trail: Trail,
    pushers: Vec<Pusher>,
}

/// <https://docs.gitlab.com/api/commits/#list-repository-commits>
#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    parent_ids: Vec<String>,
    message: Option<String>,
    author_name: Option<String>,
    author_email: Option<String>,
    committed_date: String,
    web_url: Option<String>,
}

/// <https://docs.gitlab.com/api/events/#list-all-visible-events-for-a-project>
#[derive(Deserialize)]
struct Event {
    created_at: String,
    author: Option<Account>,
    push_data: Option<PushData>,
}

#[derive(Deserialize)]
struct Account {
    id: u64,
    username: String,
    name: String,
}

#[derive(Deserialize)]
struct PushData {
    ref_type: String,
    /// Absent where several branches were pushed at once.
    #[serde(rename = "ref")]
    name: Option<String>,
    /// Absent where the push created the branch.
    commit_from: Option<String>,
    /// Absent where it deleted the branch.
    commit_to: Option<String>,
}

struct Pusher {
    account: Account,
    /// The public address, once it was asked for: payloads have it.
    email: Option<String>,
}

impl<'a> Commits<'a> {
    /// `is_on` is false where the project has no repository, or nothing in it.
    pub(super) fn new(gitlab: &'a GitLab, repository: &'a Repository, from: From, is_on: bool) -> Self {
        let mut trail = Trail::new(from);
        trail.ended = !is_on;
        Self { gitlab, repository, trail, pushers: Vec::new() }
    }

    fn branch(&self) -> &str {
        self.repository.json.get("default_branch").and_then(Value::as_str).unwrap_or_default()
    }

    /// The next page of commits, children before their parents.
    async fn ask(&self) -> Result<Listed<Commit>, ApiError> {
        let Place { head, page, .. } = &self.trail.place;
        let from = encoded(head.as_deref().unwrap_or(self.branch()));
        let path = path_of(self.repository, &format!("repository/commits?order=topo&ref_name={from}"));
        self.gitlab.list(&path, page.parse().unwrap_or(1)).await?.ok_or_else(|| self.gitlab.unknown())
    }

    /// The pushes to the default branch that GitLab knows. Asked for after the newest commit, so that no commit comes
    /// from a push that is missing.
    async fn pushes(&mut self) -> Result<Known, ApiError> {
        let path = path_of(self.repository, "events?action=pushed&sort=desc");
        let (mut pushes, mut next) = (Vec::new(), Some(1));
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        while let Some(number) = next {
            let Some(listed) = self.gitlab.list::<Event>(&path, number).await? else { break };
            for event in listed.items {
                if self.trail.since.zip(moment(&event.created_at)).is_some_and(|(since, at)| at < since) {
                    return Ok(Known::new(pushes, true));
                }
                let Some(data) = event.push_data else { continue };
                if data.ref_type != "branch" || data.name.as_deref() != Some(self.branch()) {
                    continue;
                }
                let Some(after) = data.commit_to else { continue };
                let actor = event.author.map(|account| {
                    *numbers.entry(account.id).or_insert_with(|| {
                        self.pushers.push(Pusher { account, email: None });
                        self.pushers.len() - 1
                    })
                });
                pushes.push(Pushed { before: data.commit_from, after, forced: false, actor });
            }
            next = listed.next;
        }
        Ok(Known::new(pushes, false))
    }

    /// The public address of a pusher, by which payloads tell whether an author is the pusher. It is asked for only
    /// where neither a name nor a noreply address tells it.
    async fn address(&mut self, pusher: usize, commits: &[Value]) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct User {
            public_email: Option<String>,
        }
        let Some(Pusher { account, email: email @ None }) = self.pushers.get_mut(pusher) else {
            return Ok(());
        };
        let of = |commit: &Value, field: &str| {
            let author = commit.get("author");
            author.and_then(|author| author.get(field)?.as_str()).unwrap_or_default().to_owned()
        };
        let tells = |commit: &Value| {
            of(commit, "name").trim().eq_ignore_ascii_case(account.name.trim())
                || of(commit, "email").contains("@users.noreply.")
        };
        if !commits.iter().all(tells) {
            let user = self.gitlab.find::<User>(&format!("/users/{}", account.id)).await?;
            *email = Some(user.and_then(|user| user.public_email).unwrap_or_default());
        }
        Ok(())
    }

    /// The payload of a push. Where no push is known, it names nobody who pushed.
    async fn push(&mut self, group: &Group) -> Result<Value, ApiError> {
        let Group { push, commits, .. } = group;
        let listed = commits.get(..LISTED).unwrap_or(commits);
        if let Some(pusher) = push.actor {
            self.address(pusher, listed).await?;
        }
        let pusher = push.actor.and_then(|pusher| self.pushers.get(pusher));
        let account = pusher.map(|pusher| &pusher.account);
        let listed: Vec<_> = listed.iter().rev().collect();
        Ok(json!({
            "object_kind": "push",
            "ref": format!("refs/heads/{}", self.branch()),
            "before": push.before,
            "after": push.after,
            "user_id": account.map(|account| account.id),
            "user_username": account.map(|account| &account.username),
            "user_name": account.map(|account| &account.name),
            "user_email": pusher.and_then(|pusher| pusher.email.as_ref()),
            "project": self.repository.json,
            "commits": listed,
            "total_commits_count": commits.len(),
        }))
    }
}

impl Commit {
    fn seen(self) -> Seen {
        let json = json!({
            "id": self.id,
            "message": self.message,
            "timestamp": self.committed_date,
            "url": self.web_url,
            "author": {"name": self.author_name, "email": self.author_email},
        });
        Seen { oid: self.id, parents: self.parent_ids, at: moment(&self.committed_date), json }
    }
}

#[async_trait]
impl Pages for Commits<'_> {
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError> {
        if self.trail.ended {
            return Ok(None);
        }
        let found = self.ask().await?;
        if !self.trail.is_begun() {
            let head = found.items.first().map(|commit| commit.id.clone());
            let known = self.pushes().await?;
            // GitLab does not say how many commits there are. A push that created the branch brought all before it.
            self.trail.begin(head, known, 0);
        }
        let commits = found.items.into_iter().map(Commit::seen);
        let Taken { mut page, complete } = self.trail.take(commits, found.next.map(|next| next.to_string()));
        for group in &complete {
            let push = self.push(group).await?;
            let payload = self.gitlab.payload("Push Hook", &push, now)?;
            page.payloads.push(known_of(payload, &self.gitlab.rules));
        }
        Ok(Some(page))
    }
}
