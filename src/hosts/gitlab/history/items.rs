//! Merge requests and issues.

use async_trait::async_trait;
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitLab, encoded, in_seconds, path_of};
use crate::domain::Moment;
use crate::hosts::Payload;
use crate::hosts::api::ApiError;
use crate::hosts::history::{From, HistoryPage, Pages, Repository};
use crate::hosts::origin::moment;

pub(super) const MERGE_REQUESTS: &str = "merge_requests";
pub(super) const ISSUES: &str = "issues";

/// One part of a project's history, page by page, from the oldest on: what is made meanwhile comes at the end.
pub(super) struct Items<'a> {
    gitlab: &'a GitLab,
    repository: &'a Repository,
    part: &'static str,
    since: Option<Moment>,
    /// The number of the next page.
    page: Option<u64>,
}

/// <https://docs.gitlab.com/api/merge_requests/#list-project-merge-requests>
/// <https://docs.gitlab.com/api/issues/#list-project-issues>
#[derive(Deserialize)]
struct Item {
    iid: u64,
    title: Option<String>,
    web_url: String,
    created_at: String,
    updated_at: String,
    author: Option<Author>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    confidential: bool,
    #[serde(default)]
    state: String,
    #[serde(default)]
    draft: bool,
    /// What drafts were called before.
    #[serde(default)]
    work_in_progress: bool,
    merged_at: Option<String>,
}

#[derive(Deserialize)]
struct Author {
    id: u64,
    username: String,
}

/// <https://docs.gitlab.com/api/resource_label_events/>
#[derive(Deserialize)]
struct LabelEvent {
    created_at: String,
    action: String,
    label: Option<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl<'a> Items<'a> {
    /// `is_on` is false where the project has no such thing.
    pub(super) fn new(
        gitlab: &'a GitLab,
        repository: &'a Repository,
        part: &'static str,
        from: From,
        is_on: bool,
    ) -> Self {
        // A place that cannot be read is as if there were none: everything counts once.
        let page = from.place.and_then(|page| page.parse().ok()).unwrap_or(1);
        Self { gitlab, repository, part, since: from.since, page: is_on.then_some(page) }
    }

    /// What the host would have delivered of it.
    async fn payloads(&self, item: &Item, now: Moment) -> Result<Vec<Payload>, ApiError> {
        if self.part == ISSUES {
            let body = self.body(item, "issue", "open", &item.updated_at);
            return Ok(vec![self.gitlab.payload("Issue Hook", &body, now)?]);
        }
        let event = "Merge Request Hook";
        let is_merged = item.merged_at.is_some() || item.state == "merged";
        let body =
            self.body(item, "merge_request", if is_merged { "merge" } else { "open" }, &item.updated_at);
        let mut payloads = vec![self.gitlab.payload(event, &body, now)?];
        let rejecting: Vec<_> =
            item.labels.iter().filter(|label| self.gitlab.rules.rejects(label)).cloned().collect();
        if is_merged && !rejecting.is_empty() {
            // A label that was set before merging does not reject it, and one that was set afterwards does.
            let merged_at = item.merged_at.as_deref().unwrap_or(&item.updated_at);
            for set_at in self.set_after(item, &rejecting, merged_at).await? {
                let mut body = self.body(item, "merge_request", "update", &set_at);
                let titled = |labels: &[String]| labels.iter().map(titled).collect::<Vec<_>>();
                if let Some(body) = body.as_object_mut() {
                    let labels = json!({"previous": [], "current": titled(&rejecting)});
                    body.insert("changes".to_owned(), json!({ "labels": labels }));
                }
                payloads.push(self.gitlab.payload(event, &body, now)?);
            }
        }
        Ok(payloads)
    }

    /// When one of these labels was set after this time.
    async fn set_after(&self, item: &Item, labels: &[String], after: &str) -> Result<Vec<String>, ApiError> {
        let path = path_of(self.repository, &format!("merge_requests/{}/resource_label_events?", item.iid));
        let (mut set, mut page) = (Vec::new(), Some(1));
        while let Some(number) = page {
            let Some(listed) = self.gitlab.list::<LabelEvent>(&path, number).await? else { break };
            let is_one = |event: &LabelEvent| {
                let is_label = event.label.as_ref().is_some_and(|label| labels.contains(&label.name));
                event.action == "add" && is_label && moment(&event.created_at) > moment(after)
            };
            set.extend(listed.items.into_iter().filter(is_one).map(|event| event.created_at));
            page = listed.next;
        }
        Ok(set)
    }

    /// The payload of a delivery. The author acts, because only so the payload names the author's account.
    fn body(&self, item: &Item, kind: &str, action: &str, updated_at: &str) -> Value {
        let author = item.author.as_ref();
        json!({
            "object_kind": kind,
            "event_type": kind,
            "user": author.map(|author| json!({"id": author.id, "username": author.username})),
            "project": self.repository.json,
            "object_attributes": {
                "iid": item.iid,
                "action": action,
                "author_id": author.map(|author| author.id),
                "title": item.title,
                "url": item.web_url,
                "created_at": in_seconds(&item.created_at),
                "updated_at": in_seconds(updated_at),
                "merged_at": item.merged_at.as_deref().map(in_seconds),
                "confidential": item.confidential,
                "draft": item.draft || item.work_in_progress,
            },
            "labels": item.labels.iter().map(titled).collect::<Vec<_>>(),
        })
    }
}

fn titled(label: &String) -> Value {
    json!({ "title": label })
}

#[async_trait]
impl Pages for Items<'_> {
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError> {
        let Some(number) = self.page else { return Ok(None) };
        let mut path = path_of(
            self.repository,
            &format!("{}?scope=all&state=all&order_by=created_at&sort=asc", self.part),
        );
        if let Some(since) = self.since {
            path.push_str("&updated_after=");
            path.push_str(&encoded(&since.to_rfc3339_opts(SecondsFormat::Millis, true)));
        }
        let listed = self.gitlab.list::<Item>(&path, number).await?.ok_or_else(|| self.gitlab.unknown())?;
        let mut page = HistoryPage { total: listed.total, ..HistoryPage::default() };
        for item in &listed.items {
            page.things += 1;
            page.payloads.extend(self.payloads(item, now).await?);
        }
        self.page = listed.next;
        page.go_on = listed.next.map(|next| next.to_string());
        Ok(Some(page))
    }
}
