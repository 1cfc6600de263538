//! The commits of the default branch, in the pushes that brought them.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{GitLab, Listed, encoded, path_of};
use crate::domain::Moment;
use crate::hosts::api::ApiError;
use crate::hosts::graph::{Frontier, Group, Known, Pushed, Seen, Walk};
use crate::hosts::history::{From, HistoryPage, Pages, Repository, known_of};
use crate::hosts::origin::moment;

pub(super) const COMMITS: &str = "commits";

/// The longest text of a place, in bytes.
const LONGEST_PLACE: usize = 8 << 10;
/// How many commits of a push a payload lists: the newest.
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>
const LISTED: usize = 20;

/// The commits of a project's default branch, page by page, from the newest on.
pub(super) struct Commits<'a> {
    gitlab: &'a GitLab,
    repository: &'a Repository,
    since: Option<Moment>,
    /// Where the next page begins.
    place: Place,
    walk: Option<Walk>,
    /// Where each page began of which something is not yet complete; the first has the number `first`.
    places: VecDeque<Place>,
    first: usize,
    pushers: Vec<Pusher>,
    ended: bool,
}

/// Where a page begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    /// The commit from which the walk began: what is pushed meanwhile does not move the pages.
    head: Option<String>,
    page: u64,
    frontier: Frontier,
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

impl Default for Place {
    fn default() -> Self {
        Self { head: None, page: 1, frontier: Frontier::default() }
    }
}

impl<'a> Commits<'a> {
    /// `is_on` is false where the project has no repository, or nothing in it.
    pub(super) fn new(gitlab: &'a GitLab, repository: &'a Repository, from: From, is_on: bool) -> Self {
        // A place that cannot be read is as if there were none: everything counts once.
        let place = from.place.and_then(|place| serde_json::from_str(&place).ok()).unwrap_or_default();
        Self {
            gitlab,
            repository,
            since: from.since,
            place,
            walk: None,
            places: VecDeque::new(),
            first: 0,
            pushers: Vec::new(),
            ended: !is_on,
        }
    }

    fn branch(&self) -> &str {
        self.repository.json.get("default_branch").and_then(Value::as_str).unwrap_or_default()
    }

    /// The next page of commits, children before their parents.
    async fn ask(&self) -> Result<Listed<Commit>, ApiError> {
        let from = encoded(self.place.head.as_deref().unwrap_or(self.branch()));
        let path = path_of(self.repository, &format!("repository/commits?order=topo&ref_name={from}"));
        self.gitlab.list(&path, self.place.page).await?.ok_or_else(|| self.gitlab.unknown())
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
                if self.since.zip(moment(&event.created_at)).is_some_and(|(since, at)| at < since) {
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

    /// Where to go on, if that is not too long: at the first page of which something is not yet complete.
    fn go_on(&mut self, next: usize) -> Option<String> {
        while self.first < next && self.places.len() > 1 {
            self.places.pop_front();
            self.first += 1;
        }
        let text = json!(self.places.front()?).to_string();
        (text.len() <= LONGEST_PLACE).then_some(text)
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
        Seen { oid: self.id, parents: self.parent_ids, json }
    }
}

#[async_trait]
impl Pages for Commits<'_> {
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let found = self.ask().await?;
        if self.walk.is_none() {
            self.place.head = self.place.head.take().or_else(|| Some(found.items.first()?.id.clone()));
            let known = self.pushes().await?;
            // GitLab does not say how many commits there are. A push that created the branch brought all before it.
            self.walk = Some(Walk::new(known, self.place.frontier.clone(), 0));
            self.places.push_back(self.place.clone());
        }
        let Some(walk) = &mut self.walk else { return Ok(None) };
        let (mut page, mut complete, mut over) = (HistoryPage::default(), Vec::new(), false);
        for commit in found.items {
            let old = self.since.zip(moment(&commit.committed_date)).is_some_and(|(since, at)| at < since);
            over = walk.is_over() || (old && walk.is_past_known_pushes());
            if over {
                break;
            }
            page.things += 1;
            complete.extend(walk.see(commit.seen()));
        }
        walk.page_ends();
        self.place.page = found.next.unwrap_or_default();
        self.ended = over || found.next.is_none();
        if self.ended {
            complete.extend(walk.rest());
        }
        self.place.frontier = walk.frontier();
        let next = walk.resumes_at();
        self.places.push_back(self.place.clone());
        for group in &complete {
            let push = self.push(group).await?;
            let payload = self.gitlab.payload("Push Hook", &push, now)?;
            page.payloads.push(known_of(payload, &self.gitlab.rules));
        }
        page.go_on = self.go_on(next).filter(|_| !self.ended);
        Ok(Some(page))
    }
}
