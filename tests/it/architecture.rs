//! The sources themselves: who knows whom.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every source file's place below `src/`, and its text without comments and tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            files.push((path.strip_prefix(&root).unwrap().display().to_string(), code.join("\n")));
        }
    }
    assert!(files.len() > 20);
    files
}

fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// The modules of this crate that a text names, in `use crate::a::b`, `crate::{a, b}` and `crate::a::f()` alike.
fn known_to(text: &str) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        known.insert(std::mem::take(&mut word));
                    }
                    c if depth == 0 && !c.is_whitespace() => word.push(c),
                    _ => {}
                }
            }
            known.insert(word);
        } else {
            known.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let first = |path: String| path.split("::").next().unwrap_or_default().to_owned();
    known.into_iter().map(first).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_reader_of_uses_reads_every_form() {
    let text = "use crate::store::{self, Page};\nuse crate::{hosts, publish::local, http::{App, Seams}};\ncrate::domain::owed(x)";
    let known: Vec<_> = known_to(text).into_iter().collect();
    assert_eq!(known, ["domain", "hosts", "http", "publish", "store"]);
}

#[test]
fn nobody_knows_more_than_the_map_says() {
    // What each module may know, besides itself. `main` and `cli` know everybody.
    let map: &[(&str, &[&str])] = &[
        ("domain", &[]),
        ("config", &["domain", "hosts", "publish"]),
        ("runtime", &["domain"]),
        ("hosts", &["config", "domain"]),
        ("store", &["config", "domain", "runtime"]),
        ("publish", &["config", "domain", "runtime"]),
        ("telemetry", &["config", "domain", "hosts", "runtime", "store"]),
        ("outbox", &["domain", "publish", "runtime", "store", "telemetry"]),
        ("record", &["domain", "outbox", "runtime", "store", "telemetry"]),
        (
            "http",
            &["config", "domain", "hosts", "outbox", "publish", "record", "runtime", "store", "telemetry"],
        ),
    ];
    for (file, text) in sources() {
        let name = module(&file);
        if ["main", "lib", "cli"].contains(&name) {
            continue;
        }
        let (_, allowed) =
            map.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is on no map"));
        for known in known_to(&text) {
            assert!(known == name || allowed.contains(&known.as_str()), "{file} knows {known}");
        }
    }
}

#[test]
fn hosts_store_and_publish_never_see_each_other() {
    for (file, text) in sources() {
        let apart = ["hosts", "store", "publish"];
        if let Some(name) = apart.iter().find(|name| **name == module(&file)) {
            let known = known_to(&text);
            let other = apart.iter().find(|other| *other != name && known.contains(**other));
            assert_eq!(other, None, "in {file}");
        }
    }
}

#[test]
fn the_domain_neither_waits_nor_asks_for_the_time() {
    for (file, text) in sources().iter().filter(|(file, _)| module(file) == "domain") {
        for word in ["async ", ".await", "tokio", "now()", "axum", "rusqlite", "reqwest", "tracing", "env::"]
        {
            assert!(!text.contains(word), "{word} in {file}");
        }
    }
}

#[test]
fn each_foreign_library_is_known_in_one_place() {
    for (library, places) in [
        ("rusqlite", &["store/sqlite"][..]),
        ("firestore::", &["store/firestore", "store/mod"]),
        ("google_cloud_pubsub", &["publish/pubsub", "cli/watch"]),
        ("octocrab", &["publish/comment"]),
        ("axum", &["http/"]),
        ("hyper", &["http/"]),
        ("prometheus", &["telemetry/"]),
        ("hmac", &["hosts/signature"]),
    ] {
        for (file, text) in sources() {
            if text.contains(library) && !["main.rs", "lib.rs"].contains(&file.as_str()) {
                assert!(places.iter().any(|place| file.starts_with(place)), "{library} in {file}");
            }
        }
    }
}

#[test]
fn a_hosts_name_stands_in_its_own_files() {
    // Beside them: the configuration's variables, the domain's reserved names, and the texts for people.
    let others = [
        "config/",
        "cli/",
        "main.rs",
        "domain/contributor.rs",
        "domain/host.rs",
        "publish/comment",
        "hosts/",
        "http/",
    ];
    for (file, text) in sources() {
        let names = |line: &&str| {
            let lower = line.to_lowercase();
            // Examples are for people too.
            !lower.contains("example") && (lower.contains("gitlab") || lower.contains("github"))
        };
        let told = text.lines().find(names);
        assert!(told.is_none() || others.iter().any(|place| file.starts_with(place)), "in {file}: {told:?}");
    }
    for file in ["hosts/github.rs", "hosts/gitlab.rs"] {
        let (_, text) = sources().into_iter().find(|(known, _)| known == file).unwrap();
        let public: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("pub ")).collect();
        assert!(
            public.iter().all(|line| line.contains("const NAME") || line.contains("fn open(")),
            "a type of the vendor leaves {file}: {public:?}"
        );
    }
}
