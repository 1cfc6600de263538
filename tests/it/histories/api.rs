//! What GitHub's API answers about a history's home, once so much of it has happened.
//! <https://docs.github.com/en/graphql/reference/objects>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::github::{account, signature, time};
use super::story::STRANGERS;
use super::world::{
    Action, Branch, Commit, Committer, Event, Item, Kind, Nature, Place, Push, Role, What, World,
};
use crate::support::fake_history::Repository;

/// The home after these events.
pub(super) fn home(world: &World, events: &[Event]) -> Repository {
    let mut items: BTreeMap<u64, (Kind, Value)> = BTreeMap::new();
    let mut pushes: Vec<(&Event, &Push)> = Vec::new();
    for event in events.iter().filter(|event| event.place == Place::Home) {
        match &event.what {
            What::Push(push) if push.branch == Branch::Default => pushes.push((event, push)),
            What::Item(item) if item.action == Action::Deleted => drop(items.remove(&item.number)),
            What::Item(item) => change(world, event, item, &mut items),
            _ => {}
        }
    }
    let of = |kind: Kind| {
        items.values().filter(|(known, _)| *known == kind).map(|(_, item)| item.clone()).collect()
    };
    Repository {
        full_name: world.full_name(Place::Home),
        id: world.repository_id(Place::Home),
        base: world.site.base.to_owned(),
        private: world.private,
        fork: false,
        pull_requests: of(Kind::PullRequest),
        issues: of(Kind::Issue),
        commits: commits(world, &pushes),
        activities: pushes.iter().rev().map(|(event, push)| activity(world, event, push)).collect(),
    }
}

/// GraphQL leaves the end of a bot's login out.
fn author(world: &World, who: usize) -> Value {
    let person = &world.people[who];
    match person.nature {
        Nature::Deleted => Value::Null,
        Nature::App => {
            json!({"__typename": "Bot", "login": person.login.trim_end_matches("[bot]"), "databaseId": person.id})
        }
        _ => json!({"__typename": "User", "login": person.login, "databaseId": person.id}),
    }
}

fn change(world: &World, event: &Event, item: &Item, items: &mut BTreeMap<u64, (Kind, Value)>) {
    let page = if item.kind == Kind::Issue { "issues" } else { "pull" };
    let (_, known) = items.entry(item.number).or_insert_with(|| {
        let came = item.action == Action::OpenedByTransfer;
        let new = json!({
            "number": item.number, "title": "The lamp is too bright", "createdAt": time(item.opened_at),
            "url": format!("{}/{}/{page}/{}", world.site.base, world.full_name(Place::Home), item.number),
            "author": author(world, item.author), "mergedAt": null, "drafted": {"nodes": []},
            "labeled": {"nodes": []}, "transferred": {"nodes": if came { json!([{"__typename": "TransferredEvent"}]) } else { json!([]) }},
        });
        (item.kind, new)
    });
    let labels: Vec<_> = item.labels.iter().map(|name| json!({"name": name})).collect();
    known["labels"] = json!({"nodes": labels});
    known["updatedAt"] = time(event.at).into();
    known["isDraft"] = item.draft.into();
    match item.action {
        Action::Ready if known["drafted"]["nodes"].as_array().unwrap().is_empty() => {
            known["drafted"]["nodes"] =
                json!([{"__typename": "ReadyForReviewEvent", "createdAt": time(event.at)}]);
        }
        Action::Merged { at } => known["mergedAt"] = time(at).into(),
        Action::Labelled(name) => {
            let set = json!({"createdAt": time(event.at), "label": {"name": name}});
            known["labeled"]["nodes"].as_array_mut().unwrap().push(set);
        }
        _ => {}
    }
}

fn activity(world: &World, event: &Event, push: &Push) -> Value {
    json!({
        "id": event.at, "node_id": "PSH_k", "before": push.before, "after": push.after, "ref": "refs/heads/main",
        "timestamp": time(event.at), "activity_type": "push", "actor": account(world, event.actor),
    })
}

/// Newest first. What a merge commit lands is a branch of its own, and so is what git merged.
fn commits(world: &World, pushes: &[(&Event, &Push)]) -> Vec<Value> {
    let Some((_, first)) = pushes.first() else { return Vec::new() };
    let nobody = json!({"name": "Nobody", "email": "nobody@nowhere.example", "user": null});
    let mut all = vec![json!({
        "oid": first.before, "message": "Begin", "authoredDate": time(0), "committedDate": time(0),
        "url": format!("{}/commit", world.site.base), "author": nobody, "committer": nobody, "parents": {"nodes": []},
    })];
    for (_, push) in pushes {
        let mut line = push.before.clone();
        let mut branch: Option<String> = None;
        for (place, one) in push.commits.iter().enumerate() {
            let merges = |commit: &Commit| matches!(commit.role, Role::LandsThoseBefore(_) | Role::Merge);
            let rest = push.commits.get(place..).unwrap_or_default();
            let next = rest.iter().position(merges).filter(|next| {
                !rest[..*next].iter().any(|commit| matches!(commit.role, Role::LandsItself(_)))
            });
            let parents = match next {
                Some(0) => std::iter::once(line.clone()).chain(branch.take()).collect(),
                Some(_) => vec![branch.clone().unwrap_or_else(|| line.clone())],
                None => vec![line.clone()],
            };
            if next.is_some_and(|next| next > 0) {
                branch = Some(one.sha.clone());
            } else {
                line.clone_from(&one.sha);
            }
            all.push(commit(world, one, &parents));
        }
    }
    all.reverse();
    all
}

fn commit(world: &World, commit: &Commit, parents: &[String]) -> Value {
    let mut author = signature(world, commit.author);
    // An app is no user.
    let is_app = commit.author.who < STRANGERS && world.people[commit.author.who].nature == Nature::App;
    let user = author.as_object_mut().unwrap().remove("username").filter(|_| !is_app);
    author["user"] = user.map_or(Value::Null, |login| json!({"login": login}));
    let committer = match commit.committer {
        Committer::Author => author.clone(),
        Committer::Host => {
            json!({"name": "GitHub", "email": "noreply@github.com", "user": {"login": "web-flow"}})
        }
        Committer::Other(who) => {
            let person = &world.people[who];
            json!({"name": person.name, "email": person.account, "user": {"login": person.login}})
        }
    };
    let parents: Vec<_> = parents.iter().map(|oid| json!({"oid": oid})).collect();
    json!({
        "oid": commit.sha, "message": commit.message, "authoredDate": time(commit.at), "committedDate": time(commit.at),
        "url": format!("{}/{}/commit/{}", world.site.base, world.full_name(Place::Home), commit.sha),
        "author": author, "committer": committer, "parents": {"nodes": parents},
    })
}
