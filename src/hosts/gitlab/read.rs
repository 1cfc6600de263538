//! Reads GitLab's payloads: only the fields that are needed, borrowed from the body.

use serde::Deserialize;

use super::NAME;
use super::items::{ItemEvent, item, made_confidential};
use crate::domain::{Kind, Moment, RepositoryId, Visibility, VisibilitySaid};
use crate::hosts::commit::{Commit, Landing};
use crate::hosts::json::{Lax, Text, list, of_objects, parse};
use crate::hosts::origin::{
    Account, HostConventions, Origin, Unread, account_number, is_app, is_commit, is_no_commit, moment, number,
};
use crate::hosts::push::{Push, Pusher};
use crate::hosts::{Malformed, Payload, Reading, Reason, Rules};

const CONVENTIONS: HostConventions = HostConventions {
    name: NAME,
    is_machine,
    account_in,
    pull_request_path: "-/merge_requests",
    names_committers: false,
    landing,
};

/// `visibility_level` of a public project; 0 is private, 10 internal.
/// <https://docs.gitlab.com/api/projects/#project-visibility-level>
const PUBLIC: u64 = 20;

/// What a body is, by itself.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    object_kind: Lax<Text<'a>>,
    #[serde(borrow)]
    event_name: Lax<Text<'a>>,
}

/// A delivery in which nothing counts: of its project only what says whether it is private is read, and nothing of
/// it can fail the delivery.
#[derive(Deserialize)]
struct OtherEvent<'a> {
    project_id: Lax<u64>,
    #[serde(borrow)]
    project: Lax<Project<'a>>,
}

impl OtherEvent<'_> {
    fn ignored(&self, reason: Reason, rules: &Rules, now: Moment) -> Payload {
        let project = self.project.get();
        let origin = project.and_then(|project| project.origin(self.project_id.value(), rules).ok());
        match (project, origin) {
            (Some(project), Some(origin)) => project.payload(&origin, Reading::Ignored(reason), now),
            _ => Payload::ignored(reason),
        }
    }
}

/// What the payload of a delivery, or of history, says.
pub(super) fn payload(event: &str, json: &str, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    let named = parse::<Named<'_>>(json)?;
    let ignored = |reason| Ok(parse::<OtherEvent<'_>>(json)?.ignored(reason, rules, now));
    let object = named.object_kind.text().or(named.event_name.text());
    // The header is not signed: it says what the body says, or the body is refused.
    let expected: &[&str] = match event {
        "Push Hook" => &["push"],
        "Tag Push Hook" => &["tag_push"],
        "Merge Request Hook" => &["merge_request"],
        // By the documentation, work items have the event name of issues; their own name would mean the same.
        "Issue Hook" | "Confidential Issue Hook" | "Work Item Hook" => &["issue", "work_item"],
        // A hook of a whole instance, which sends the bodies of all its projects.
        // <https://docs.gitlab.com/administration/system_hooks/>
        "System Hook" => object.as_slice(),
        _ => return ignored(Reason::EventNotCounted),
    };
    let kind = match object.filter(|object| expected.contains(object)) {
        Some("push") => Kind::PUSH,
        Some("merge_request") => Kind::PULL_REQUEST,
        Some("issue" | "work_item") => Kind::ISSUE,
        Some("tag_push") => return ignored(Reason::Tag),
        Some("project_update" | "project_rename" | "project_transfer") if event == "System Hook" => {
            return project_change(json, rules, now);
        }
        _ if event == "System Hook" => return ignored(Reason::EventNotCounted),
        _ => return Err(Malformed("`object_kind` is not that of the event".into()).into()),
    };
    // A push can land merge requests.
    let lands = kind == Kind::PUSH && rules.counts(&Kind::PULL_REQUEST);
    if !rules.counts(&kind) && !lands {
        let confidential = || made_confidential(&parse::<ItemEvent<'_>>(json).ok()?, rules, now);
        let made_private = if kind == Kind::ISSUE { confidential() } else { None };
        made_private.map_or_else(|| ignored(Reason::KindNotCounted), Ok)
    } else if kind == Kind::PUSH {
        push(&parse(json)?, rules, now)
    } else {
        let confidential = event.starts_with("Confidential ");
        item(kind, &parse::<ItemEvent<'_>>(json)?, confidential, rules, now)
    }
}

/// A project was changed: only hooks of a whole instance say that. The payload has no URL, so its host is known only
/// where the list of hosts has one alone.
/// <https://docs.gitlab.com/administration/system_hooks/>
fn project_change(json: &str, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    #[derive(Deserialize)]
    struct Changed<'a> {
        project_id: Lax<u64>,
        #[serde(borrow)]
        project_visibility: Lax<Text<'a>>,
        #[serde(borrow)]
        updated_at: Lax<Text<'a>>,
    }
    let changed = parse::<Changed<'_>>(json)?;
    let (Some(host), Some(id), Some(visibility)) =
        (rules.hosts.only(NAME), changed.project_id.value(), changed.project_visibility.text())
    else {
        return Ok(Payload::ignored(Reason::EventNotCounted));
    };
    // Some versions write `visibilitylevel|private`: <https://gitlab.com/gitlab-org/gitlab/-/issues/217221>
    let (said, reason) = match visibility.rsplit('|').next() {
        Some("public") => (VisibilitySaid::BecamePublic, Reason::EventNotCounted),
        _ => (VisibilitySaid::BecamePrivate, Reason::MadePrivate),
    };
    let at = changed.updated_at.text().and_then(moment).unwrap_or(now);
    let visibility = Visibility { repository: RepositoryId::on_host(host, id), said, at };
    Ok(Payload { reading: Reading::Ignored(reason), visibility: Some(visibility) })
}

/// `ID-login@users.noreply.gitlab.com`; never without the number.
/// <https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/private_commit_email.rb>
fn account_in(local: &str) -> Option<Account<'_>> {
    let (id, login) = local.split_once('-')?;
    Some(Account { login, id: Some(account_number(id)?) })
}

/// Whether a login in lower case is a machine's. The payload has no flag for it, but GitLab generates the
/// logins of the accounts of project and group tokens.
/// <https://docs.gitlab.com/user/project/settings/project_access_tokens/#bot-users-for-projects>
pub(in crate::hosts) fn is_machine(login: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && number(text).is_some();
    let token_of = |owner: &str| {
        let rest = login.strip_prefix(owner).and_then(|rest| rest.split_once("_bot"));
        rest.is_some_and(|(id, tail)| {
            is_number(id) && (tail.is_empty() || tail.starts_with('_') || is_number(tail))
        })
    };
    token_of("project_") || token_of("group_") || token_of("gitlab_security_policy_project_") || is_app(login)
}

/// GitLab ends what it commits for a merge request with a paragraph that names it, by default.
/// <https://docs.gitlab.com/user/project/merge_requests/commit_templates/>
fn landing(commit: &Commit<'_>, origin: &Origin<'_>) -> Option<Landing> {
    let (path, iid) = commit.paragraphs().last()?.strip_prefix("See merge request ")?.split_once('!')?;
    let own = path.is_empty() || path.eq_ignore_ascii_case(origin.name);
    let number = number(iid.trim_end()).filter(|_| own && !iid.is_empty())?;
    Some(Landing { number, merges: commit.is_merge() })
}

#[derive(Deserialize)]
pub(super) struct Project<'a> {
    id: Lax<u64>,
    #[serde(borrow)]
    path_with_namespace: Lax<Text<'a>>,
    #[serde(borrow)]
    web_url: Lax<Text<'a>>,
    #[serde(borrow)]
    default_branch: Lax<Text<'a>>,
    visibility_level: Lax<u64>,
}

of_objects!(Project);

impl Project<'_> {
    /// Whether it is empty: a group's work item has an empty project, or none.
    pub(super) fn is_empty(&self) -> bool {
        self.id.get().is_none() && self.web_url.get().is_none()
    }

    /// `beside` is the project's number beside the project: old payloads have it only there.
    pub(super) fn origin<'o>(&'o self, beside: Option<u64>, rules: &'o Rules) -> Result<Origin<'o>, Unread> {
        let missing = |field: &str| Malformed(format!("missing field `{field}` of the project"));
        let id = self.id.value().or(beside).ok_or_else(|| missing("id"))?;
        let page = self.web_url.text().ok_or_else(|| missing("web_url"))?;
        let name = self.path_with_namespace.text().unwrap_or_default();
        let origin = Origin::new(&CONVENTIONS, rules, page, name, id)?;
        Ok(Origin { private: self.visibility_level.value() != Some(PUBLIC), ..origin })
    }

    /// What a delivery about this project says, whose payload was made at `at`. A project's own hooks have no event for
    /// a change of the visibility, so every delivery says it.
    pub(super) fn payload(&self, origin: &Origin<'_>, reading: Reading, at: Moment) -> Payload {
        let private = self.visibility_level.value().is_some_and(|level| level != PUBLIC);
        let said = VisibilitySaid::IsPrivate;
        let visibility = private.then(|| Visibility { repository: origin.repository(), said, at });
        Payload { reading, visibility }
    }
}

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>
#[derive(Deserialize)]
struct PushEvent<'a> {
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    #[serde(borrow)]
    before: Lax<Text<'a>>,
    #[serde(borrow)]
    after: Text<'a>,
    user_id: Lax<u64>,
    #[serde(borrow)]
    user_username: Lax<Text<'a>>,
    #[serde(borrow)]
    user_name: Lax<Text<'a>>,
    #[serde(borrow)]
    user_email: Lax<Text<'a>>,
    project_id: Lax<u64>,
    #[serde(borrow)]
    project: Project<'a>,
    /// The newest 20 at most, oldest first.
    #[serde(borrow, default, deserialize_with = "list")]
    commits: Vec<Commit<'a>>,
    total_commits_count: Lax<u64>,
}

fn push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    let origin = event.project.origin(event.project_id.value(), rules)?;
    let reading = pushed(event, &origin, now)?;
    Ok(event.project.payload(&origin, reading, now))
}

fn pushed(event: &PushEvent<'_>, origin: &Origin<'_>, now: Moment) -> Result<Reading, Malformed> {
    let rules = origin.rules;
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
    let default_branch = event.project.default_branch.text();
    // The first push creates the default branch: its payload can lack `default_branch`.
    let first = default_branch.is_none() && event.before.text().is_some_and(is_no_commit);
    let to_default_branch = branch.is_some() && (first || branch == default_branch);
    if branch.is_none() || !(rules.all_branches || to_default_branch) {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    let commits = &event.commits;
    let head = commits.iter().find(|commit| commit.is(&event.after));
    let login = event.user_username.text();
    let push = Push {
        origin,
        after: &event.after,
        commits,
        head: head.or(commits.last()),
        to_default_branch,
        forced: false,
        more: event.total_commits_count.value().unwrap_or(0) > commits.len() as u64,
        page: None,
        pusher: Pusher {
            account: login.map(|login| Account { login, id: event.user_id.value() }),
            is_machine: false,
            name: event.user_name.text(),
            email: event.user_email.text(),
        },
    };
    Ok(push.read(now))
}
