//! The payloads that GitHub would send, in the documented shape.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use serde_json::{Value, json};

use super::drive::Delivery;
use super::story::STRANGERS;
use super::world::{
    Action, Branch, Commit, Committer, Event, Item, Kind, Nature, Place, Push, Signature, What, World,
};

pub(super) fn delivery(world: &World, event: &Event) -> Delivery {
    let (name, body) = match &event.what {
        What::Push(push) => ("push", push_body(world, event, push)),
        What::Item(item) if item.kind == Kind::Issue => ("issues", item_body(world, event, item)),
        What::Item(item) => ("pull_request", item_body(world, event, item)),
        What::Tag(tag) => ("push", bare_push(world, event, &format!("refs/tags/{tag}"), false)),
        What::BranchEnd(branch) => ("push", bare_push(world, event, &format!("refs/heads/{branch}"), true)),
    };
    Delivery { event: name, system: false, body: body.to_string() }
}

pub(super) fn time(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A commit's time carries its author's zone.
fn commit_time(at: i64) -> String {
    let zone = chrono::FixedOffset::east_opt(7200).unwrap();
    chrono::DateTime::from_timestamp(at, 0).unwrap().with_timezone(&zone).to_rfc3339()
}

fn repository(world: &World, place: Place, of_push: bool) -> Value {
    let (owner, name) = world.path(place);
    let url = format!("{}/{owner}/{name}", world.site.base);
    let mut repository = json!({
        "id": world.repository_id(place), "node_id": "R_kgDOc0e5", "name": name,
        "full_name": world.full_name(place), "private": world.private,
        "owner": {"login": owner, "id": 9000, "type": "Organization", "site_admin": false},
        "html_url": url, "description": null, "fork": place == Place::Fork, "url": url,
        "created_at": "2024-05-05T08:40:12Z", "updated_at": "2025-01-01T06:12:44Z",
        "pushed_at": "2025-01-01T06:14:05Z", "default_branch": "main", "archived": false, "disabled": false,
        "visibility": if world.private { "private" } else { "public" },
    });
    if of_push {
        repository["created_at"] = 1_714_898_412.into();
        repository["pushed_at"] = 1_756_793_645.into();
        repository["master_branch"] = "main".into();
    }
    repository
}

pub(super) fn account(world: &World, who: usize) -> Value {
    let person = &world.people[who];
    match person.nature {
        Nature::Deleted => Value::Null,
        nature => json!({
            "login": person.login, "id": person.id, "node_id": "U_kgDO",
            "html_url": format!("{}/{}", world.site.base, person.login),
            "type": if nature == Nature::App { "Bot" } else { "User" }, "site_admin": false,
        }),
    }
}

/// Who sent it. A deleted account acts no more; its last act is shown as the ghost's.
fn sender(world: &World, event: &Event) -> Value {
    match account(world, event.actor) {
        Value::Null => json!({"login": "ghost", "id": 10137, "type": "User", "site_admin": false}),
        account => account,
    }
}

pub(super) fn signature(world: &World, by: Signature) -> Value {
    if by.who >= STRANGERS {
        let login = format!("stranger-{}-{}", by.who, world.mark);
        let email = format!("{login}@tidewell.example");
        return json!({"name": login, "email": email, "username": login});
    }
    let person = &world.people[by.who];
    let name = if by.alias { &person.login } else { &person.name };
    let mut signature = json!({"name": name, "email": person.address(by.address)});
    if by.named {
        signature["username"] = person.login.clone().into();
    }
    signature
}

fn commit(world: &World, commit: &Commit) -> Value {
    let author = signature(world, commit.author);
    let committer = match commit.committer {
        Committer::Author => author.clone(),
        Committer::Host => json!({"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"}),
        Committer::Other(who) => {
            let person = &world.people[who];
            json!({"name": person.name, "email": person.account, "username": person.login})
        }
    };
    let url = format!("{}/{}/commit/{}", world.site.base, world.full_name(Place::Home), commit.sha);
    json!({
        "id": commit.sha, "tree_id": "0".repeat(40), "distinct": commit.distinct, "message": commit.message,
        "timestamp": commit_time(commit.at), "url": url, "author": author, "committer": committer,
        "added": [], "removed": [], "modified": ["src/lamp.rs"],
    })
}

fn push_body(world: &World, event: &Event, push: &Push) -> Value {
    let name = match &push.branch {
        Branch::Default => "main",
        Branch::Topic(name) | Branch::Queue(name) => name,
    };
    let person = &world.people[event.actor];
    let email = push.shown.map(|address| person.address(address));
    let commits: Vec<_> = push.commits.iter().map(|one| commit(world, one)).collect();
    let page = format!("{}/{}", world.site.base, world.full_name(event.place));
    let compare = format!("{page}/compare/{}...{}", &push.before[..12], &push.after[..12]);
    json!({
        "ref": format!("refs/heads/{name}"), "before": push.before, "after": push.after,
        "repository": repository(world, event.place, true),
        "pusher": {"name": person.login, "email": email}, "sender": sender(world, event),
        "created": push.created, "deleted": false, "forced": false, "base_ref": null, "compare": compare,
        "head_commit": commits.last(), "commits": commits,
    })
}

fn bare_push(world: &World, event: &Event, name: &str, deleted: bool) -> Value {
    let (none, sha) = ("0".repeat(40), world.sha(event.at.cast_unsigned()));
    let (before, after) = if deleted { (sha, none) } else { (none, sha) };
    json!({
        "ref": name, "before": before, "after": after,
        "repository": repository(world, event.place, true),
        "pusher": {"name": world.people[event.actor].login, "email": null}, "sender": sender(world, event),
        "created": !deleted, "deleted": deleted, "forced": false, "base_ref": null,
        "compare": "", "head_commit": null, "commits": [],
    })
}

fn action(item: &Item) -> &'static str {
    match item.action {
        Action::Opened | Action::OpenedByTransfer => "opened",
        Action::Edited => "edited",
        Action::Synchronized => "synchronize",
        Action::Labelled(_) => "labeled",
        Action::Unlabelled(_) => "unlabeled",
        Action::Ready => "ready_for_review",
        Action::Closed | Action::Merged { .. } => "closed",
        Action::Reopened => "reopened",
        Action::Deleted => "deleted",
        Action::Transferred => "transferred",
    }
}

fn label(name: &str) -> Value {
    json!({"id": 7_712_340_001_u64, "node_id": "LA_kwDO", "name": name, "color": "f9d0c4", "default": false,
        "description": null})
}

fn item_body(world: &World, event: &Event, item: &Item) -> Value {
    let of_issue = item.kind == Kind::Issue;
    let (page, key) = if of_issue { ("issues", "issue") } else { ("pull", "pull_request") };
    let url = format!("{}/{}/{page}/{}", world.site.base, world.full_name(event.place), item.number);
    let closed = matches!(item.action, Action::Closed | Action::Merged { .. });
    let labels: Vec<_> = item.labels.iter().map(|name| label(name)).collect();
    let mut subject = json!({
        "id": 3_300_000_000 + item.number, "number": item.number, "title": "The lamp is too bright",
        "user": account(world, item.author), "html_url": url, "labels": labels,
        "state": if closed { "closed" } else { "open" }, "locked": false, "body": null,
        "created_at": time(item.opened_at), "updated_at": time(event.at),
        "closed_at": closed.then(|| time(event.at)), "author_association": "CONTRIBUTOR",
    });
    if !of_issue {
        add_pull_request(&mut subject, world, event, item);
    }
    let mut body = json!({
        "action": action(item), key: subject, "repository": repository(world, event.place, false),
        "organization": {"login": world.path(event.place).0, "id": 9000}, "sender": sender(world, event),
    });
    if !of_issue {
        body["number"] = item.number.into();
    }
    match item.action {
        Action::Labelled(name) | Action::Unlabelled(name) => body["label"] = label(name),
        Action::OpenedByTransfer => {
            body["changes"] = json!({"old_issue": {"number": 1, "labels": []},
                "old_repository": repository(world, Place::Elsewhere, false)});
        }
        Action::Transferred => {
            body["changes"] = json!({"new_issue": {"number": item.number + 1},
                "new_repository": repository(world, Place::Home, false)});
        }
        _ => {}
    }
    body
}

fn add_pull_request(subject: &mut Value, world: &World, event: &Event, item: &Item) {
    let merged_at = match item.action {
        Action::Merged { at } => Some(at),
        _ => None,
    };
    let merged_by = merged_at.map_or(Value::Null, |_| sender(world, event));
    let more = json!({
        "draft": item.draft, "merged": merged_at.is_some(), "merged_at": merged_at.map(time),
        "merged_by": merged_by, "merge_commit_sha": null, "commits": 1,
        "base": {"label": item.base, "ref": item.base, "sha": "0".repeat(40),
            "repo": repository(world, Place::Home, false)},
        "head": {"label": "wick", "ref": "wick", "sha": "0".repeat(40), "repo": null},
    });
    for (name, value) in more.as_object().unwrap() {
        subject[name.as_str()] = value.clone();
    }
}
