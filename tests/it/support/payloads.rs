//! What hosts and clients send.

use std::path::{Path, PathBuf};

use plaudit::domain::Moment;
use serde_json::{Value, json};

/// The time of tests that need one: 2026-11-24T10:00:00Z.
pub(crate) fn now() -> Moment {
    "2026-11-24T10:00:00Z".parse().unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The text of a file in `fixtures/`.
pub(crate) fn fixture(path: &str) -> String {
    std::fs::read_to_string(folder().join(path)).unwrap()
}

/// Every file in `fixtures/`, sorted, with the host that it is of.
pub(crate) fn fixtures() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for host in ["github", "gitlab"] {
        let files = std::fs::read_dir(folder().join(host)).unwrap();
        found.extend(files.map(|file| (host.to_owned(), file.unwrap().path())));
    }
    found.sort();
    found
}

/// A pull request that `login` opened.
pub(crate) fn pull_request(number: u64, login: &str) -> String {
    let mut payload: Value = serde_json::from_str(&fixture("github/pull_request.opened.json")).unwrap();
    payload["number"] = number.into();
    payload["pull_request"]["number"] = number.into();
    payload["pull_request"]["user"]["login"] = login.into();
    payload.to_string()
}

/// A contribution as a client posts it.
pub(crate) fn talk(who: &str, id: &str) -> Value {
    json!({"contributor": who, "kind": "talk", "id": id})
}
