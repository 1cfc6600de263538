//! What every fixture says, and what no payload can do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use plaudit::config::{HostSecrets, Secret};
use plaudit::domain::{Contribution, Kind, Moment};
use plaudit::hosts::{DEMO, Host, KNOWN, Malformed, Reading, Reason, Rules, event_of_fixture};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A host that trusts a secret of the tests.
pub(crate) fn host(name: &str) -> Arc<dyn Host> {
    let secrets = HostSecrets {
        github: vec![Secret::new("It's a Secret to Everybody")],
        gitlab_signing: vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        gitlab_token: Vec::new(),
    };
    let (_, open, _) = KNOWN.iter().find(|(known, _, _)| *known == name).unwrap();
    open(&secrets).unwrap()
}

pub(crate) fn now() -> Moment {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

/// Sends `body` as the host itself would, and reads it.
fn try_read(name: &str, event: &str, body: &[u8], rules: &Rules) -> Result<Reading, Malformed> {
    let host = host(name);
    let headers = host.sign(event, "d3b07384-d113-4ec5-a5a5-000000000001", body, now());
    let claim = host.admit(&headers, now()).unwrap();
    let delivery = host.verify(claim, Bytes::copy_from_slice(body)).unwrap();
    host.read(&delivery, rules, now())
}

fn read(name: &str, event: &str, body: &Value, rules: &Rules) -> Reading {
    try_read(name, event, body.to_string().as_bytes(), rules).unwrap()
}

fn fixture(path: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Reads a fixture after `change` has had its way with it.
fn changed(path: &str, rules: &Rules, change: impl FnOnce(&mut Value)) -> Reading {
    let (host, file) = path.split_once('/').unwrap();
    let mut body = fixture(path);
    change(&mut body);
    read(host, &event_of_fixture(host, file).unwrap(), &body, rules)
}

fn unchanged(path: &str, rules: &Rules) -> Reading {
    changed(path, rules, |_| {})
}

fn credited(reading: &Reading) -> Vec<&str> {
    match reading {
        Reading::Counts(contributions) => contributions.iter().map(|c| c.contributor.as_str()).collect(),
        Reading::Ignored(reason) => vec![reason.code()],
    }
}

fn only(reading: Reading) -> Contribution {
    match reading {
        Reading::Counts(mut contributions) if contributions.len() == 1 => contributions.remove(0),
        other => panic!("not one contribution: {other:?}"),
    }
}

fn fixtures() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for host in ["github", "gitlab"] {
        let files = std::fs::read_dir(root.join(host)).unwrap();
        found.extend(files.map(|file| (host.to_owned(), file.unwrap().path())));
    }
    found.sort();
    found
}

fn told(reading: &Reading) -> Value {
    match reading {
        Reading::Ignored(reason) => json!({ "ignored": reason.code() }),
        Reading::Counts(contributions) => {
            let told = |c: &Contribution| {
                json!({
                    "id": c.id, "contributor": c.contributor, "kind": c.kind, "occurred_at": c.occurred_at,
                    "title": c.title, "url": c.url, "repository": c.repository, "private": c.private,
                    "user_id": c.user_id,
                })
            };
            json!({ "counts": contributions.iter().map(told).collect::<Vec<_>>() })
        }
    }
}

#[test]
fn every_fixture_reads_as_its_snapshot_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    let mut names = Vec::new();
    for (host, path) in fixtures() {
        let file = path.file_name().unwrap().to_str().unwrap();
        let event = event_of_fixture(&host, file).unwrap_or_else(|| panic!("no event for {file}"));
        let reading = try_read(&host, &event, &std::fs::read(&path).unwrap(), &Rules::default());
        let name = format!("{host}.{}", file.strip_suffix(".json").unwrap());
        insta::assert_json_snapshot!(name.clone(), told(&reading.unwrap()));
        names.push(format!("{name}.snap"));
    }
    let snapshots =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots")).unwrap();
    for snapshot in snapshots {
        let snapshot = snapshot.unwrap().file_name().into_string().unwrap();
        let reading = snapshot.starts_with("github.") || snapshot.starts_with("gitlab.");
        assert!(!reading || names.contains(&snapshot), "{snapshot} has no fixture");
    }
}

/// Prints the table of the README: `cargo test --test it table -- --nocapture`.
#[test]
fn the_fixtures_together_recognise_one_contributor_on_each_host() {
    let mut tallies: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for (host, path) in fixtures() {
        let file = path.file_name().unwrap().to_str().unwrap();
        let event = event_of_fixture(&host, file).unwrap();
        let reading = try_read(&host, &event, &std::fs::read(&path).unwrap(), &Rules::default()).unwrap();
        println!("{host}/{file} {}", credited(&reading).join(" "));
        if let Reading::Counts(contributions) = reading {
            for contribution in contributions {
                if ids.insert(contribution.id) {
                    *tallies.entry(contribution.contributor.to_string()).or_default() += 1;
                }
            }
        }
    }
    println!("{tallies:#?}");
    assert!(tallies["github:ada-quillfeather"] >= 3);
    assert!(tallies["gitlab:tomasz-wrenfield"] >= 3);
}
