//! GitLab's payloads about merge requests, issues and work items.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::MapAccess;

use super::read::Project;
use crate::domain::{Kind, Moment};
use crate::hosts::item::Item;
use crate::hosts::json::{Lax, Loose, Text, object_of, of_objects};
use crate::hosts::origin::{Account, Origin, Unread, Who, moment};
use crate::hosts::{Malformed, Payload, PullRequests, Reading, Reason, Rules};

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events>
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#work-item-events>
#[derive(Deserialize)]
pub(super) struct ItemEvent<'a> {
    #[serde(borrow)]
    event_type: Lax<Text<'a>>,
    #[serde(borrow)]
    user: Lax<User<'a>>,
    project_id: Lax<u64>,
    /// A group's work item, such as an epic, has none.
    #[serde(borrow)]
    project: Lax<Project<'a>>,
    #[serde(borrow)]
    object_attributes: Attributes<'a>,
    #[serde(borrow)]
    labels: Lax<Vec<Label<'a>>>,
    #[serde(borrow)]
    changes: Lax<Changes<'a>>,
}

/// Who acted.
#[derive(Deserialize)]
struct User<'a> {
    id: Lax<u64>,
    #[serde(borrow)]
    username: Lax<Text<'a>>,
}

#[derive(Deserialize)]
struct Attributes<'a> {
    iid: u64,
    /// Missing where GitLab only tests the webhook.
    #[serde(borrow)]
    action: Lax<Text<'a>>,
    author_id: Lax<u64>,
    project_id: Lax<u64>,
    target_project_id: Lax<u64>,
    confidential: Lax<bool>,
    draft: Lax<bool>,
    /// What drafts were called before.
    work_in_progress: Lax<bool>,
    #[serde(borrow)]
    title: Lax<Text<'a>>,
    #[serde(borrow)]
    url: Lax<Text<'a>>,
    #[serde(borrow)]
    created_at: Lax<Text<'a>>,
    #[serde(borrow)]
    updated_at: Lax<Text<'a>>,
    #[serde(borrow)]
    merged_at: Lax<Text<'a>>,
    #[serde(borrow)]
    labels: Lax<Vec<Label<'a>>>,
}

#[derive(Deserialize)]
struct Label<'a> {
    #[serde(borrow)]
    title: Lax<Text<'a>>,
}

/// What an update changed.
#[derive(Deserialize)]
struct Changes<'a> {
    draft: Lax<Change<bool>>,
    work_in_progress: Lax<Change<bool>>,
    #[serde(borrow)]
    labels: Lax<Change<Vec<Label<'a>>>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Loose<'de>"))]
struct Change<T> {
    previous: Lax<T>,
    current: Lax<T>,
}

of_objects!(User, Label, Changes);

impl<'de, T: Loose<'de>> Loose<'de> for Change<T> {
    fn of_object<A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        object_of(object)
    }
}

impl Change<bool> {
    /// Whether it was set and no longer is.
    fn is_unset(&self) -> bool {
        self.previous.is_true() && self.current.value() == Some(false)
    }
}

/// The labels among these that take contributions back.
fn rejecting(labels: &[Label<'_>], rules: &Rules) -> BTreeSet<String> {
    let titles = labels.iter().filter_map(|label| label.title.text());
    titles.filter(|title| rules.rejects(title)).map(str::to_lowercase).collect()
}

impl ItemEvent<'_> {
    /// The author's account, which the payload names only if the author is the one who acted.
    fn author(&self, origin: &Origin<'_>) -> Who {
        let author_id = self.object_attributes.author_id.value();
        let user = self.user.get().filter(|user| author_id.is_some() && user.id.value() == author_id);
        let account = user.and_then(|user| Some(Account { login: user.username.text()?, id: author_id }));
        account.map_or(Who::Unknown, |account| origin.who(account, false))
    }

    /// One sign is enough: there are payloads that have only one of them.
    fn is_confidential(&self) -> bool {
        self.object_attributes.confidential.is_true()
            || self.event_type.text().is_some_and(|kind| kind.starts_with("confidential_"))
    }

    /// The project's number, where it is beside the project.
    fn project_id(&self) -> Option<u64> {
        let attributes = &self.object_attributes;
        let of_item = attributes.target_project_id.value().or(attributes.project_id.value());
        self.project_id.value().or(of_item)
    }

    fn is_draft(&self) -> bool {
        self.object_attributes.draft.is_true() || self.object_attributes.work_in_progress.is_true()
    }

    fn was_made_ready(&self) -> bool {
        let changes = self.changes.get();
        let unset = |change: &Lax<Change<bool>>| change.get().is_some_and(Change::is_unset);
        changes.is_some_and(|changes| unset(&changes.draft) || unset(&changes.work_in_progress))
    }

    /// Whether labels that take contributions back were set or removed.
    fn was_relabelled(&self, rules: &Rules) -> bool {
        let change = self.changes.get().and_then(|changes| changes.labels.get());
        change.is_some_and(|change| {
            rejecting(change.previous.items(), rules) != rejecting(change.current.items(), rules)
        })
    }

    fn item(&self, kind: Kind, confidential: bool, origin: &Origin<'_>) -> Item<'_> {
        let attributes = &self.object_attributes;
        let labels = self.labels.get().or(attributes.labels.get()).map(Vec::as_slice).unwrap_or_default();
        Item {
            kind,
            number: attributes.iid,
            title: attributes.title.text(),
            url: attributes.url.text(),
            created_at: attributes.created_at.text(),
            updated_at: attributes.updated_at.text(),
            author: self.author(origin),
            rejected: !rejecting(labels, origin.rules).is_empty(),
            confidential,
        }
    }
}

pub(super) fn item(
    kind: Kind,
    event: &ItemEvent<'_>,
    confidential: bool,
    rules: &Rules,
    now: Moment,
) -> Result<Payload, Unread> {
    let project = event.project.get().filter(|project| !project.is_empty());
    let Some(project) = project else {
        // A merge request always has a project.
        return if kind == Kind::ISSUE {
            Ok(Payload::ignored(Reason::EventNotCounted))
        } else {
            Err(Malformed("missing field `project`".into()).into())
        };
    };
    let origin = project.origin(event.project_id(), rules)?;
    // The header is not signed: it keeps what is recorded now from being shown, and changes nothing else.
    let hidden = kind == Kind::ISSUE && confidential;
    let confidential = kind == Kind::ISSUE && event.is_confidential();
    let origin = Origin { private: origin.private || hidden || confidential, ..origin };
    let is_pull_request = kind == Kind::PULL_REQUEST;
    let only_merged = is_pull_request && rules.pull_requests == PullRequests::Merged;
    let made_ready = is_pull_request && event.was_made_ready();
    let item = event.item(kind, confidential, &origin);
    let reading = match event.object_attributes.action.text() {
        Some("merge") if is_pull_request => {
            let attributes = &event.object_attributes;
            let merged_at = attributes.merged_at.text().or(attributes.updated_at.text()).and_then(moment);
            item.count(&origin, Some(merged_at.unwrap_or(now)), now)
        }
        Some("open" | "close") if only_merged => Reading::Ignored(Reason::NotMerged),
        Some("open") if is_pull_request && event.is_draft() => Reading::Ignored(Reason::Draft),
        Some("open") => item.count(&origin, None, now),
        Some("update") if event.was_relabelled(rules) && (item.rejected || !made_ready) => {
            item.relabel(&origin, now)
        }
        Some("update") if made_ready && only_merged => Reading::Ignored(Reason::NotMerged),
        Some("update") if made_ready => item.count(&origin, None, now),
        // It may have been public when it was opened.
        _ if confidential => item.relabel(&origin, now),
        _ => Reading::Ignored(Reason::ActionNotCounted),
    };
    let made_at = event.object_attributes.updated_at.text().and_then(moment);
    Ok(project.payload(&origin, reading, made_at.unwrap_or(now)))
}

/// What makes a confidential issue private, where issues do not count.
pub(super) fn made_confidential(event: &ItemEvent<'_>, rules: &Rules, now: Moment) -> Option<Payload> {
    let project = event.project.get().filter(|project| !project.is_empty())?;
    let origin = project.origin(event.project_id(), rules).ok()?;
    let item = event.item(Kind::ISSUE, event.is_confidential(), &origin);
    item.confidential.then(|| project.payload(&origin, item.relabel(&origin, now), now))
}
