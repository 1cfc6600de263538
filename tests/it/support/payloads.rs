//! What hosts and clients send.

use std::path::{Path, PathBuf};

use plaudit::domain::{Contribution, Draft, Moment};
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
    is_of(&mut payload["pull_request"]["user"], login);
    payload.to_string()
}

/// Makes a payload's user the account `login`, with a number of its own.
pub(crate) fn is_of(user: &mut Value, login: &str) {
    if user["login"] != login {
        user["login"] = login.into();
        let number =
            login.bytes().fold(0, |number: u64, byte| (number * 31 + u64::from(byte)) % 1_000_000_007);
        user["id"] = (1_000_000_000 + number).into();
    }
}

/// A contribution as a client posts it.
pub(crate) fn talk(who: &str, id: &str) -> Value {
    json!({"contributor": who, "kind": "talk", "id": id})
}

/// The same as plaudit counts it.
pub(crate) fn contribution(who: &str, id: &str) -> Contribution {
    let draft =
        Draft { contributor: who.into(), kind: "talk".into(), id: Some(id.into()), ..Draft::default() };
    draft.check(Moment::UNIX_EPOCH, || unreachable!()).unwrap()
}

/// Fails unless a message keeps to docs/recognition.schema.json.
pub(crate) fn hold_against_schema(message: &Value) {
    let schema = include_str!("../../../docs/recognition.schema.json");
    let schema = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<_> = schema.iter_errors(message).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{message:#} {faults:#?}");
}
