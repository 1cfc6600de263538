//! Pull requests and issues.

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{Connection, GitHub, PAGE};
use crate::domain::Moment;
use crate::hosts::api::ApiError;
use crate::hosts::history::{From, HistoryPage, Pages, Repository};
use crate::hosts::origin::moment;
use crate::hosts::{Payload, PullRequests};

pub(super) const PULL_REQUESTS: &str = "pull_requests";
pub(super) const ISSUES: &str = "issues";

/// The account that made something. Of a bot, GraphQL leaves the end of its login out.
const AUTHOR: &str = "author { __typename login ... on User { databaseId } ... on Bot { databaseId } \
    ... on Mannequin { databaseId } ... on Organization { databaseId } }";

/// One part of a repository's history, page by page: from the oldest on, or from the one that changed last back to
/// `since`.
pub(super) struct Items<'a> {
    github: &'a GitHub,
    repository: &'a Repository,
    part: &'static str,
    from: From,
    ended: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    number: u64,
    title: Option<String>,
    url: String,
    created_at: String,
    updated_at: String,
    author: Option<Author>,
    labels: Nodes<Option<Label>>,
    #[serde(default)]
    is_draft: bool,
    merged_at: Option<String>,
    /// The first time that it was made ready for review, or a draft: then it was ready before.
    #[serde(default)]
    drafted: Nodes<Option<Drafted>>,
    /// Its former titles, the first one first.
    #[serde(default)]
    renamed: Nodes<Option<Renamed>>,
    /// The last labels that were set.
    #[serde(default)]
    labeled: Nodes<Option<Labeled>>,
    /// Whether it came from another repository.
    #[serde(default)]
    transferred: Nodes<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Author {
    #[serde(rename = "__typename")]
    kind: String,
    login: String,
    database_id: Option<u64>,
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

impl<T> Default for Nodes<T> {
    fn default() -> Self {
        Self { nodes: Vec::new() }
    }
}

/// An event of this or the other kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Drafted {
    #[serde(rename = "__typename")]
    kind: String,
    created_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renamed {
    created_at: String,
    previous_title: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Labeled {
    created_at: String,
    label: Label,
}

impl<'a> Items<'a> {
    pub(super) fn new(
        github: &'a GitHub,
        repository: &'a Repository,
        part: &'static str,
        from: From,
    ) -> Self {
        Self { github, repository, part, from, ended: false }
    }

    fn query(&self) -> String {
        let (list, own) = if self.part == PULL_REQUESTS {
            (
                "pullRequests",
                "isDraft mergedAt drafted: timelineItems(itemTypes: [CONVERT_TO_DRAFT_EVENT, READY_FOR_REVIEW_EVENT], first: 1) { nodes { \
                 __typename ... on ConvertToDraftEvent { createdAt } ... on ReadyForReviewEvent { createdAt } } } \
                 labeled: timelineItems(itemTypes: [LABELED_EVENT], last: 50) { nodes { ... on LabeledEvent { createdAt label { name } } } }",
            )
        } else {
            (
                "issues",
                "transferred: timelineItems(itemTypes: [TRANSFERRED_EVENT], first: 1) { nodes { __typename } }",
            )
        };
        format!(
            "query Items($owner: String!, $name: String!, $after: String, $order: IssueOrder!) {{ \
             repository(owner: $owner, name: $name) {{ items: {list}(first: {PAGE}, after: $after, orderBy: $order) {{ \
             totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ number title url createdAt updatedAt {AUTHOR} \
             labels(first: 100) {{ nodes {{ name }} }} renamed: timelineItems(itemTypes: [RENAMED_TITLE_EVENT], first: 20) {{ \
             nodes {{ ... on RenamedTitleEvent {{ createdAt previousTitle }} }} }} {own} }} }} }} }}"
        )
    }

    async fn ask(&self) -> Result<Connection<Item>, ApiError> {
        #[derive(Deserialize)]
        struct Found {
            repository: Option<Listed>,
        }
        #[derive(Deserialize)]
        struct Listed {
            items: Connection<Item>,
        }
        let order = if self.from.since.is_some() {
            json!({"field": "UPDATED_AT", "direction": "DESC"})
        } else {
            json!({"field": "CREATED_AT", "direction": "ASC"})
        };
        let (owner, name) = self.repository.name.split_once('/').unwrap_or_default();
        let variables = json!({"owner": owner, "name": name, "after": self.from.place, "order": order});
        let found: Found = self.github.query(&self.query(), variables).await?;
        Ok(found.repository.ok_or_else(|| self.github.unknown())?.items)
    }

    /// What the host would have delivered of it.
    fn payloads(&self, item: &Item, now: Moment) -> Result<Vec<Payload>, ApiError> {
        if self.part == ISSUES {
            let changes = (!item.transferred.nodes.is_empty()).then(|| json!({"old_issue": {}}));
            let body = json!({"action": "opened", "issue": item.json(self.github.rules.pull_requests), "changes": changes, "repository": self.repository.json});
            return Ok(vec![self.github.payload("issues", &body, now)?]);
        }
        let payload = |action: &str, item: &Value, label: Option<&Label>| {
            let label = label.map(|label| json!({"name": label.name}));
            let body = json!({"action": action, "pull_request": item, "label": label, "repository": self.repository.json});
            self.github.payload("pull_request", &body, now)
        };
        let Some(merged_at) = item.merged_at.as_deref().and_then(moment) else {
            return Ok(vec![payload("opened", &item.json(self.github.rules.pull_requests), None)?]);
        };
        let mut payloads = vec![payload("closed", &item.json(self.github.rules.pull_requests), None)?];
        // A label that was set before merging does not reject it, and one that was set afterwards does.
        let is_on = |name: &str| item.labels.nodes.iter().flatten().any(|label| label.name == name);
        let set = item.labeled.nodes.iter().flatten().filter(|set| is_on(&set.label.name));
        for set in set.filter(|set| moment(&set.created_at).is_some_and(|at| at > merged_at)) {
            let mut then = item.json(self.github.rules.pull_requests);
            if let Some(updated_at) = then.get_mut("updated_at") {
                *updated_at = json!(set.created_at);
            }
            payloads.push(payload("labeled", &then, Some(&set.label))?);
        }
        Ok(payloads)
    }
}

impl Item {
    /// Whether it is a draft and never was ready for review.
    fn is_only_draft(&self) -> bool {
        self.is_draft && self.drafted.nodes.is_empty()
    }

    /// When it began to count, or would have.
    fn counts_from(&self, pull_requests: PullRequests) -> &str {
        let first = self.drafted.nodes.iter().flatten().next();
        let ready = first.filter(|first| first.kind == "ReadyForReviewEvent").map(|first| &first.created_at);
        match &self.merged_at {
            Some(merged_at) if pull_requests == PullRequests::Merged || self.is_only_draft() => merged_at,
            _ => ready.unwrap_or(&self.created_at),
        }
    }

    /// Its title at the time when it began to count: what is recorded keeps its first title.
    fn title_then(&self, pull_requests: PullRequests) -> Option<&str> {
        let then = moment(self.counts_from(pull_requests));
        let later = |renamed: &&Renamed| moment(&renamed.created_at) > then;
        let renamed = self.renamed.nodes.iter().flatten().find(later);
        renamed.map(|renamed| renamed.previous_title.as_str()).or(self.title.as_deref())
    }

    /// The pull request or issue of a payload.
    fn json(&self, pull_requests: PullRequests) -> Value {
        let labels: Vec<_> =
            self.labels.nodes.iter().flatten().map(|label| json!({"name": label.name})).collect();
        json!({
            "number": self.number,
            "title": self.title_then(pull_requests),
            "html_url": self.url,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "user": self.author.as_ref().map(Author::json),
            "labels": labels,
            "draft": self.is_only_draft(),
            "merged": self.merged_at.is_some(),
            "merged_at": self.merged_at,
        })
    }
}

impl Author {
    fn json(&self) -> Value {
        let is_cut = self.kind == "Bot" && !self.login.ends_with("[bot]");
        let end = if is_cut { "[bot]" } else { "" };
        json!({"login": format!("{}{end}", self.login), "id": self.database_id, "type": self.kind})
    }
}

#[async_trait]
impl Pages for Items<'_> {
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let found = self.ask().await?;
        let mut page = HistoryPage { total: found.total_count, ..HistoryPage::default() };
        let is_old = |item: &Item| {
            self.from.since.zip(moment(&item.updated_at)).is_some_and(|(since, updated)| updated < since)
        };
        let mut ended = false;
        for item in &found.nodes {
            if is_old(item) {
                ended = true;
                break;
            }
            page.things += 1;
            page.payloads.extend(self.payloads(item, now)?);
        }
        self.from.place = found.page_info.next();
        self.ended = ended || self.from.place.is_none();
        page.go_on.clone_from(&self.from.place);
        if self.from.since.is_some() {
            page.total = None;
        }
        Ok(Some(page))
    }
}
