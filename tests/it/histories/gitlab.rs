//! The payloads that GitLab would send, in the documented shape.
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

use serde_json::{Value, json};

use super::drive::Delivery;
use super::world::{Action, Branch, Commit, Event, Item, Kind, Place, Push, What, World};

pub(super) fn delivery(world: &World, event: &Event) -> Delivery {
    let (name, body) = match &event.what {
        What::Push(push) => ("Push Hook", push_body(world, event, push)),
        What::Item(item) if item.kind == Kind::PullRequest => {
            ("Merge Request Hook", item_body(world, event, item))
        }
        What::Item(item) if item.confidential => ("Confidential Issue Hook", item_body(world, event, item)),
        What::Item(item) => ("Issue Hook", item_body(world, event, item)),
        What::Tag(tag) => ("Tag Push Hook", bare_push(world, event, &format!("refs/tags/{tag}"), false)),
        What::BranchEnd(branch) => {
            ("Push Hook", bare_push(world, event, &format!("refs/heads/{branch}"), true))
        }
    };
    let system = matches!(name, "Push Hook" | "Merge Request Hook");
    Delivery { event: name, system, body: body.to_string() }
}

/// GitLab writes some times in its database's form.
fn time(at: i64) -> String {
    let form = if at % 2 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%d %H:%M:%S UTC" };
    chrono::DateTime::from_timestamp(at, 0).unwrap().format(form).to_string()
}

fn commit_time(at: i64) -> String {
    let zone = chrono::FixedOffset::east_opt(7200).unwrap();
    chrono::DateTime::from_timestamp(at, 0).unwrap().with_timezone(&zone).to_rfc3339()
}

fn project(world: &World, place: Place) -> Value {
    let path = world.full_name(place);
    let url = format!("{}/{path}", world.site.base);
    json!({
        "id": world.repository_id(place), "name": "Lantern", "description": null, "web_url": url,
        "avatar_url": null, "git_http_url": format!("{url}.git"), "namespace": world.path(place).0,
        "visibility_level": if world.private { 0 } else { 20 }, "path_with_namespace": path,
        "default_branch": "main", "ci_config_path": "", "homepage": url,
    })
}

fn user(world: &World, who: usize) -> Value {
    let person = &world.people[who];
    json!({"id": person.id, "name": person.name, "username": person.login, "avatar_url": null,
        "email": "[REDACTED]"})
}

pub(super) fn commit(world: &World, commit: &Commit) -> Value {
    let person = &world.people[commit.author.who];
    let name = if commit.author.alias { format!("{} at work", person.name) } else { person.name.clone() };
    let url = format!("{}/{}/-/commit/{}", world.site.base, world.full_name(Place::Home), commit.sha);
    json!({
        "id": commit.sha, "message": format!("{}\n", commit.message),
        "title": commit.message.lines().next(), "timestamp": commit_time(commit.at), "url": url,
        "author": {"name": name, "email": person.address(commit.author.address)},
        "added": [], "modified": ["clock.ex"], "removed": [],
    })
}

fn push_body(world: &World, event: &Event, push: &Push) -> Value {
    let name = match &push.branch {
        Branch::Default => "main",
        Branch::Topic(name) | Branch::Queue(name) => name,
    };
    let commits: Vec<_> = push.commits.iter().map(|one| commit(world, one)).collect();
    let email = push.shown.map_or("", |address| world.people[event.actor].address(address));
    let mut body = any_push(world, event, &format!("refs/heads/{name}"), &push.before, &push.after);
    body["user_email"] = email.into();
    body["total_commits_count"] = commits.len().into();
    body["commits"] = commits.into();
    body
}

fn bare_push(world: &World, event: &Event, name: &str, deleted: bool) -> Value {
    let (none, sha) = ("0".repeat(40), world.sha(event.at.cast_unsigned()));
    if deleted {
        let mut body = any_push(world, event, name, &sha, &none);
        body["checkout_sha"] = Value::Null;
        return body;
    }
    let mut body = any_push(world, event, name, &none, &sha);
    body["object_kind"] = "tag_push".into();
    body["event_name"] = "tag_push".into();
    body
}

fn any_push(world: &World, event: &Event, name: &str, before: &str, after: &str) -> Value {
    let person = &world.people[event.actor];
    json!({
        "object_kind": "push", "event_name": "push", "before": before, "after": after, "ref": name,
        "ref_protected": true, "checkout_sha": after, "message": null, "user_id": person.id,
        "user_name": person.name, "user_username": person.login, "user_email": "", "user_avatar": null,
        "project_id": world.repository_id(event.place), "project": project(world, event.place),
        "commits": [], "total_commits_count": 0, "push_options": {},
        "repository": {"name": "Lantern", "homepage": format!("{}/x", world.site.base)},
    })
}

fn action(item: &Item) -> &'static str {
    match item.action {
        Action::Opened | Action::OpenedByTransfer => "open",
        Action::Closed => "close",
        Action::Merged { .. } => "merge",
        Action::Reopened => "reopen",
        _ => "update",
    }
}

fn label(name: &str) -> Value {
    json!({"id": 206, "title": name, "color": "#ffffff", "project_id": 14, "type": "ProjectLabel",
        "template": false, "description": null})
}

fn labels(names: &[&str]) -> Value {
    names.iter().map(|name| label(name)).collect()
}

/// What an update changed, with the values before and after.
fn changes(item: &Item) -> Value {
    let mut before = item.labels.clone();
    match item.action {
        Action::Labelled(name) => before.retain(|known| *known != name),
        Action::Unlabelled(name) => before.push(name),
        Action::Ready => {
            return json!({"draft": {"previous": true, "current": false},
                "title": {"previous": "Draft: Trim the wick", "current": "Trim the wick"}});
        }
        Action::Edited => return json!({"description": {"previous": "", "current": "It flickers."}}),
        _ => return json!({}),
    }
    json!({"labels": {"previous": labels(&before), "current": labels(&item.labels)}})
}

fn item_body(world: &World, event: &Event, item: &Item) -> Value {
    let of_issue = item.kind == Kind::Issue;
    // Newer instances call an issue a work item.
    let issue = if item.number.is_multiple_of(3) && !item.confidential { "work_item" } else { "issue" };
    let kind = if of_issue { issue } else { "merge_request" };
    let page = if of_issue { "issues" } else { "merge_requests" };
    let url = format!("{}/{}/-/{page}/{}", world.site.base, world.full_name(event.place), item.number);
    let state = match item.action {
        Action::Closed => "closed",
        Action::Merged { .. } => "merged",
        _ => "opened",
    };
    let mut attributes = json!({
        "id": 170_000_000 + item.number, "iid": item.number, "action": action(item), "state": state,
        "author_id": world.people[item.author].id, "title": "Trim the wick", "description": "", "url": url,
        "created_at": time(item.opened_at), "updated_at": time(event.at), "labels": labels(&item.labels),
    });
    if of_issue {
        attributes["confidential"] = item.confidential.into();
        attributes["type"] = "Issue".into();
        attributes["project_id"] = world.repository_id(event.place).into();
    } else {
        attributes["draft"] = item.draft.into();
        attributes["work_in_progress"] = item.draft.into();
        attributes["source_branch"] = "wick".into();
        attributes["target_branch"] = item.base.into();
        attributes["target_project_id"] = world.repository_id(event.place).into();
        attributes["target"] = project(world, event.place);
        if item.action == Action::Synchronized {
            attributes["oldrev"] = "c00dbbc9dadfbe1e232e93a729dd4752fade0abf".into();
        }
    }
    let event_type = if item.confidential { "confidential_issue" } else { kind };
    json!({
        "object_kind": kind, "event_type": event_type, "user": user(world, event.actor),
        "project": project(world, event.place), "object_attributes": attributes,
        "labels": labels(&item.labels), "changes": changes(item),
        "repository": {"name": "Lantern", "homepage": format!("{}/x", world.site.base)},
    })
}
