//! What GitLab's payloads say: only the fields that are needed, borrowed from the body.

use serde::Deserialize;

use super::NAME;
use crate::domain::{Kind, Moment};
use crate::hosts::payload::{
    Anything, Manners, Opened, Origin, Text, Who, is_app, is_commit, is_no_commit, is_number, parse,
};
use crate::hosts::push::{Commit, Push, Pusher};
use crate::hosts::{Delivery, Malformed, Reading, Reason, Rules};

const MANNERS: Manners = Manners { public: ("gitlab.com", NAME), is_bot, login_in };

/// `visibility_level` of a project that everybody sees; 0 is private, 10 internal.
/// <https://docs.gitlab.com/api/projects/#project-visibility-level>
const PUBLIC: u64 = 20;

/// What a delivery says.
pub(super) fn payload(delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let json = &delivery.json;
    let ignored = |reason| parse::<Anything>(json).map(|_| Reading::Ignored(reason));
    let kind = match delivery.event() {
        "Push Hook" => Kind::PUSH,
        "Merge Request Hook" => Kind::PULL_REQUEST,
        // Work items come under the issues' name, by the documentation; their own would mean the same.
        "Issue Hook" | "Confidential Issue Hook" | "Work Item Hook" => Kind::ISSUE,
        "Tag Push Hook" => return ignored(Reason::Tag),
        _ => return ignored(Reason::EventNotCounted),
    };
    if !rules.counts(&kind) {
        ignored(Reason::KindNotCounted)
    } else if kind == Kind::PUSH {
        push(&parse(json)?, rules, now)
    } else {
        item(kind, &parse(json)?, delivery.confidential, rules, now)
    }
}

/// `ID-login@users.noreply.gitlab.com`; never without the number.
/// <https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/private_commit_email.rb>
fn login_in(local: &str) -> Option<&str> {
    let (id, login) = local.split_once('-')?;
    is_number(id).then_some(login)
}

/// GitLab's own machine accounts. Where somebody had such a name already, GitLab adds a number to its own: that
/// one counts until it is ignored by configuration.
/// <https://docs.gitlab.com/administration/internal_users/>,
/// <https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/users/internal.rb>
const INTERNAL: &[&str] = &[
    "alert-bot",
    "automation-bot",
    "gitlab-admin-bot",
    "gitlab-llm-bot",
    "gitlab-security-bot",
    "gitlabduo",
    "migration-bot",
    "support-bot",
    "visual-review-bot",
];

/// Whether a login is a machine's: the payload has no flag, but the names of token and service accounts
/// are made by GitLab.
/// <https://docs.gitlab.com/user/project/settings/project_access_tokens/#bot-users-for-projects>,
/// <https://docs.gitlab.com/api/service_accounts/>
fn is_bot(login: &str) -> bool {
    let login = login.to_ascii_lowercase();
    let token_of = |owner: &str| {
        let rest = login.strip_prefix(owner).and_then(|rest| rest.split_once("_bot"));
        rest.is_some_and(|(id, tail)| {
            is_number(id) && (tail.is_empty() || tail.starts_with('_') || is_number(tail))
        })
    };
    INTERNAL.contains(&login.as_str())
        || token_of("project_")
        || token_of("group_")
        || token_of("gitlab_security_policy_project_")
        || login.starts_with("service_account_")
        || is_app(&login)
}

#[derive(Deserialize)]
struct Project<'a> {
    id: u64,
    #[serde(borrow)]
    path_with_namespace: Text<'a>,
    #[serde(borrow)]
    web_url: Text<'a>,
    #[serde(borrow)]
    default_branch: Option<Text<'a>>,
    visibility_level: Option<u64>,
}

impl Project<'_> {
    fn origin(&self, confidential: bool) -> Result<Origin, Malformed> {
        let private = confidential || self.visibility_level != Some(PUBLIC);
        Origin::new(&MANNERS, &self.web_url, self.id, &self.path_with_namespace, private)
    }
}

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>
#[derive(Deserialize)]
struct PushEvent<'a> {
    #[serde(borrow)]
    object_kind: Text<'a>,
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    #[serde(borrow)]
    after: Text<'a>,
    user_id: Option<u64>,
    #[serde(borrow)]
    user_username: Option<Text<'a>>,
    #[serde(borrow)]
    project: Project<'a>,
    /// The newest 20 at most, oldest first.
    #[serde(borrow)]
    commits: Option<Vec<Commit<'a>>>,
    total_commits_count: Option<u64>,
}

fn push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    if &*event.object_kind != "push" {
        return Err(Malformed("`object_kind` is not that of the event".into()));
    }
    let origin = event.project.origin(false)?;
    if !is_commit(&event.after) {
        return Err(Malformed("`after` names no commit".into()));
    }
    if event.name.starts_with("refs/tags/") {
        return Ok(Reading::Ignored(Reason::Tag));
    }
    if is_no_commit(&event.after) {
        return Ok(Reading::Ignored(Reason::BranchDeleted));
    }
    let branch = event.name.strip_prefix("refs/heads/");
    if branch.is_none() || !(rules.all_branches || branch == event.project.default_branch.as_deref()) {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    let login = event.user_username.as_deref().filter(|login| !login.is_empty());
    let commits = event.commits.as_deref().unwrap_or_default();
    let head = commits.iter().find(|commit| commit.is(&event.after));
    let push = Push {
        origin: &origin,
        after: &event.after,
        commits,
        head: head.or(commits.last()),
        only_distinct: false,
        more: event.total_commits_count.unwrap_or(0) > commits.len() as u64,
        page: None,
        pusher: Pusher { login, is_bot: false, account: login.zip(event.user_id) },
    };
    Ok(push.read(rules, now))
}

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events>
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#work-item-events>
#[derive(Deserialize)]
struct ItemEvent<'a> {
    #[serde(borrow)]
    object_kind: Text<'a>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<Account<'a>>,
    /// A group's work item, such as an epic, has none.
    #[serde(borrow)]
    project: Option<Project<'a>>,
    #[serde(borrow)]
    object_attributes: Item<'a>,
}

#[derive(Deserialize)]
struct Account<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    iid: u64,
    /// Missing where GitLab only tries the webhook.
    #[serde(borrow)]
    action: Option<Text<'a>>,
    author_id: Option<u64>,
    confidential: Option<bool>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
}

impl ItemEvent<'_> {
    /// The author's account, which the payload names only if the author is the one who acted.
    fn author(&self) -> Option<&Account<'_>> {
        let author_id = self.object_attributes.author_id?;
        self.user.as_ref().filter(|user| user.id == Some(author_id))
    }

    /// Any one sign is enough: samples exist in which only one of them says so.
    fn confidential(&self) -> bool {
        self.object_attributes.confidential == Some(true)
            || self.event_type.as_deref().is_some_and(|kind| kind.starts_with("confidential_"))
    }
}

fn item(
    kind: Kind,
    event: &ItemEvent<'_>,
    confidential: bool,
    rules: &Rules,
    now: Moment,
) -> Result<Reading, Malformed> {
    let expected: &[&str] = if kind == Kind::ISSUE { &["issue", "work_item"] } else { &["merge_request"] };
    if !expected.contains(&&*event.object_kind) {
        return Err(Malformed("`object_kind` is not that of the event".into()));
    }
    let Some(project) = &event.project else {
        return Ok(Reading::Ignored(Reason::EventNotCounted));
    };
    let origin = project.origin(confidential || event.confidential())?;
    let attributes = &event.object_attributes;
    if attributes.action.as_deref() != Some("open") {
        return Ok(Reading::Ignored(Reason::ActionNotCounted));
    }
    let author = event.author();
    let login = author.and_then(|account| account.username.as_deref());
    let opened = Opened {
        kind,
        number: attributes.iid,
        title: attributes.title.as_deref(),
        url: attributes.url.as_deref(),
        created_at: attributes.created_at.as_deref(),
        author: login.map_or(Who::Nobody, |login| origin.who(login)),
        user_id: author.and_then(|account| account.id),
    };
    Ok(opened.read(&origin, rules, now))
}
