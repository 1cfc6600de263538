//! GitHub's payloads about pull requests and issues.

use serde::Deserialize;
use serde::de::MapAccess;

use super::read::{Repository, User, refuse_another_event};
use crate::domain::{Kind, Moment, Ruling};
use crate::hosts::item::Item;
use crate::hosts::json::{Anything, Lax, Loose, Text, object_of, of_objects};
use crate::hosts::origin::{Origin, Unread, Who, moment};
use crate::hosts::{Payload, PullRequests, Reading, Reason, Rules};

#[derive(Deserialize)]
struct Thing<'a> {
    number: u64,
    #[serde(borrow)]
    title: Lax<Text<'a>>,
    #[serde(borrow)]
    html_url: Lax<Text<'a>>,
    #[serde(borrow)]
    created_at: Lax<Text<'a>>,
    #[serde(borrow)]
    updated_at: Lax<Text<'a>>,
    #[serde(borrow)]
    user: Lax<User<'a>>,
    #[serde(borrow)]
    labels: Lax<Vec<Label<'a>>>,
    draft: Lax<bool>,
    merged: Lax<bool>,
    #[serde(borrow)]
    merged_at: Lax<Text<'a>>,
}

#[derive(Deserialize)]
struct Label<'a> {
    #[serde(borrow)]
    name: Lax<Text<'a>>,
}

of_objects!(Label);

impl Label<'_> {
    fn rejects(&self, rules: &Rules) -> bool {
        self.name.text().is_some_and(|name| rules.rejects(name))
    }
}

impl Thing<'_> {
    fn updated_at(&self) -> Option<Moment> {
        self.updated_at.text().and_then(moment)
    }

    fn item(&self, kind: Kind, origin: &Origin<'_>) -> Item<'_> {
        Item {
            kind,
            number: self.number,
            title: self.title.text(),
            url: self.html_url.text(),
            created_at: self.created_at.text(),
            updated_at: self.updated_at.text(),
            // The author, never the sender. An account that was deleted is null.
            author: self.user.get().map_or(Who::Ghost, |user| user.who(origin)),
            rejected: self.labels.items().iter().any(|label| label.rejects(origin.rules)),
            confidential: false,
        }
    }
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request>
#[derive(Deserialize)]
pub(super) struct PullRequestEvent<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    pull_request: Thing<'a>,
    /// The one that was set or removed.
    #[serde(borrow)]
    label: Lax<Label<'a>>,
    #[serde(borrow)]
    repository: Repository<'a>,
    issue: Lax<Anything>,
    comment: Lax<Anything>,
    review: Lax<Anything>,
    thread: Lax<Anything>,
}

pub(super) fn pull_request(
    event: &PullRequestEvent<'_>,
    rules: &Rules,
    now: Moment,
) -> Result<Payload, Unread> {
    refuse_another_event(&[&event.issue, &event.comment, &event.review, &event.thread])?;
    let origin = event.repository.origin(rules)?;
    let thing = &event.pull_request;
    let item = thing.item(Kind::PULL_REQUEST, &origin);
    let reading = match &*event.action {
        "closed" if thing.merged.is_true() => {
            let merged_at = thing.merged_at.text().or(thing.updated_at.text()).and_then(moment);
            item.count(&origin, Some(merged_at.unwrap_or(now)), now)
        }
        "opened" | "ready_for_review" | "closed" if rules.pull_requests == PullRequests::Merged => {
            Reading::Ignored(Reason::NotMerged)
        }
        "opened" if thing.draft.is_true() => Reading::Ignored(Reason::Draft),
        "opened" | "ready_for_review" => item.count(&origin, None, now),
        "labeled" | "unlabeled" if event.label.get().is_some_and(|label| label.rejects(rules)) => {
            item.relabel(&origin, now)
        }
        _ => Reading::Ignored(Reason::ActionNotCounted),
    };
    Ok(event.repository.payload(&origin, reading, thing.updated_at(), now))
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#issues>
#[derive(Deserialize)]
pub(super) struct IssuesEvent<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    issue: Thing<'a>,
    #[serde(borrow)]
    label: Lax<Label<'a>>,
    changes: Lax<Changes>,
    #[serde(borrow)]
    repository: Repository<'a>,
    pull_request: Lax<Anything>,
    comment: Lax<Anything>,
}

#[derive(Deserialize)]
struct Changes {
    old_issue: Lax<Anything>,
}

impl<'de> Loose<'de> for Changes {
    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        object_of(object)
    }
}

pub(super) fn issue(event: &IssuesEvent<'_>, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    refuse_another_event(&[&event.pull_request, &event.comment])?;
    let origin = event.repository.origin(rules)?;
    let item = event.issue.item(Kind::ISSUE, &origin);
    let transferred = event.changes.get().is_some_and(|changes| changes.old_issue.get().is_some());
    let reading = match &*event.action {
        "opened" if transferred => Reading::Ignored(Reason::Transferred),
        "opened" => item.count(&origin, None, now),
        "deleted" => item.review(&origin, Ruling::Deleted),
        "labeled" | "unlabeled" if event.label.get().is_some_and(|label| label.rejects(rules)) => {
            item.relabel(&origin, now)
        }
        _ => Reading::Ignored(Reason::ActionNotCounted),
    };
    Ok(event.repository.payload(&origin, reading, event.issue.updated_at(), now))
}
