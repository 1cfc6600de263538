//! What GitLab's API answers about a history's home, once so much of it has happened.
//! <https://docs.gitlab.com/api/rest/>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{Action, Branch, Event, Kind, Place, Push, What, World};
use super::{api, gitlab};
use crate::support::fake_gitlab_history::World as Api;

/// The API's times have parts of a second; those of payloads have not.
fn time(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0).unwrap().format("%Y-%m-%dT%H:%M:%S.479Z").to_string()
}

/// The home after these events.
pub(super) fn home(world: &World, events: &[Event]) -> Api {
    let mut home = Api::default();
    let id = world.repository_id(Place::Home);
    let visibility = if world.private { "private" } else { "public" };
    home.add_project(id, &world.full_name(Place::Home), world.site.base, visibility);
    let mut items: BTreeMap<u64, (Kind, Value)> = BTreeMap::new();
    let mut pushed = Vec::new();
    for event in events.iter().filter(|event| event.place == Place::Home) {
        match &event.what {
            What::Push(push) if push.branch == Branch::Default => {
                home.list(id, "events").insert(0, push_event(world, event, push));
                pushed.extend(push.commits.iter().map(|one| gitlab::commit(world, one)));
            }
            What::Item(item) if item.action == Action::Deleted => drop(items.remove(&item.number)),
            What::Item(item) => {
                let page = if item.kind == Kind::Issue { "issues" } else { "merge_requests" };
                let (_, known) = items.entry(item.number).or_insert_with(|| {
                    let author = &world.people[item.author];
                    let url = format!("{}/{}/-/{page}/{}", world.site.base, world.full_name(Place::Home), item.number);
                    let new = json!({
                        "iid": item.number, "title": "Trim the wick", "web_url": url, "merged_at": null,
                        "author": {"id": author.id, "username": author.login}, "created_at": time(item.opened_at),
                    });
                    (item.kind, new)
                });
                known["labels"] = json!(item.labels);
                known["updated_at"] = time(event.at).into();
                known["confidential"] = item.confidential.into();
                known["draft"] = item.draft.into();
                if let Action::Merged { .. } = item.action {
                    known["merged_at"] = time(event.at).into();
                }
                if let Action::Labelled(name) = item.action {
                    let set = json!({"created_at": time(event.at), "action": "add", "label": {"name": name}});
                    home.list(id, &format!("{page}/{}/resource_label_events", item.number)).push(set);
                } else {
                    home.list(id, &format!("{page}/{}/resource_label_events", item.number));
                }
            }
            _ => {}
        }
    }
    for (kind, item) in items.into_values() {
        home.list(id, if kind == Kind::Issue { "issues" } else { "merge_requests" }).push(item);
    }
    let nobody = json!({"message": "Begin", "author": {"name": "Nobody", "email": "nobody@nowhere.example"}});
    for commit in api::home(world, events).commits {
        let sha = &commit["oid"];
        let payload = pushed.iter().find(|one| one["id"] == *sha).unwrap_or(&nobody);
        let parents: Vec<_> =
            commit["parents"]["nodes"].as_array().unwrap().iter().map(|one| &one["oid"]).collect();
        home.list(id, "repository/commits").push(json!({
            "id": sha, "parent_ids": parents, "message": payload["message"], "web_url": payload["url"],
            "committed_date": payload["timestamp"].as_str().unwrap_or("2025-01-01T00:00:00Z"),
            "author_name": payload["author"]["name"], "author_email": payload["author"]["email"],
        }));
    }
    for person in &world.people {
        home.things.insert(format!("users/{}", person.id), json!({"id": person.id, "public_email": ""}));
    }
    home
}

fn push_event(world: &World, event: &Event, push: &Push) -> Value {
    let person = &world.people[event.actor];
    json!({
        "created_at": time(event.at), "action_name": "pushed to", "author_username": person.login,
        "author": {"id": person.id, "username": person.login, "name": person.name},
        "push_data": {
            "action": "pushed", "ref_type": "branch", "ref": "main", "commit_from": push.before,
            "commit_to": push.after, "commit_count": push.commits.len(),
        },
    })
}
