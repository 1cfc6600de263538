//! The sources themselves: which module may name which.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The path of every source file below `src/`, and its text without comments and tests.
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
    let text = "use crate::store::{self, Page};\nuse crate::{hosts, publish::local, http::{App, Overrides}};\ncrate::domain::owed(x)";
    let known: Vec<_> = known_to(text).into_iter().collect();
    assert_eq!(known, ["domain", "hosts", "http", "publish", "store"]);
}

/// The rooms in order from the ground, each with the rooms that it may know. `cli` and `main` may know all.
const ROOMS: &[(&str, &[&str])] = &[
    ("settings", &[]),
    ("domain", &[]),
    ("runtime", &["domain"]),
    ("telemetry", &["settings", "domain", "runtime"]),
    ("hosts", &["settings", "domain", "runtime"]),
    ("store", &["settings", "domain", "runtime"]),
    ("publish", &["settings", "domain", "runtime"]),
    ("reconcile", &["domain", "runtime", "telemetry", "hosts", "store"]),
    ("outbox", &["domain", "runtime", "telemetry", "store", "publish"]),
    ("record", &["domain", "runtime", "telemetry", "store", "outbox"]),
    ("mailmap", &["domain", "store", "hosts"]),
    ("backfill", &["domain", "runtime", "store", "hosts", "record"]),
    ("feed", &["domain", "runtime", "store", "outbox"]),
    (
        "http",
        &[
            "settings",
            "domain",
            "runtime",
            "telemetry",
            "hosts",
            "store",
            "publish",
            "outbox",
            "record",
            "mailmap",
            "feed",
            "reconcile",
        ],
    ),
    ("config", &["settings", "domain", "telemetry", "hosts", "store", "publish", "http"]),
];

#[test]
fn every_room_knows_only_rooms_below_it() {
    for (at, (room, allowed)) in ROOMS.iter().enumerate() {
        for below in *allowed {
            let earlier = ROOMS[..at].iter().any(|(known, _)| known == below);
            assert!(earlier, "{room} may know {below}, which does not stand below it: that is a circle");
        }
    }
    for (file, text) in sources() {
        let name = module(&file);
        if ["main", "lib", "cli"].contains(&name) {
            continue;
        }
        let (_, allowed) =
            ROOMS.iter().find(|(room, _)| *room == name).unwrap_or_else(|| panic!("{name} is on no map"));
        for known in known_to(&text) {
            assert!(known == name || allowed.contains(&known.as_str()), "{file} knows {known}");
        }
    }
}

/// The files of `src/http/`, from the ground: each knows only files before it.
const HTTP: [&str; 44] = [
    "schema",
    "verdict",
    "problem",
    "budget",
    "body",
    "access",
    "oidc/keys",
    "oidc",
    "cors",
    "request_timeout",
    "proxies",
    "sections",
    "reads",
    "ready",
    "totals",
    "list",
    "cache",
    "app",
    "observe",
    "wire",
    "server",
    "contributions",
    "batch",
    "contribution_list",
    "accounts",
    "contributors",
    "forget",
    "mailmap",
    "recognitions",
    "webhooks",
    "operations",
    "pages/accept",
    "pages/asset",
    "pages/frame",
    "pages/view",
    "pages/calendar",
    "pages/home",
    "pages/contributor",
    "pages/rules",
    "pages/badge",
    "pages",
    "docs",
    "openapi",
    "waiting",
];

/// The sibling files that a text names, in `use super::{a, b}` and `super::a::f()` alike.
fn siblings(text: &str) -> impl Iterator<Item = String> {
    let named = known_to(&text.replace("crate::", "").replace("super::", "crate::"));
    named.into_iter().filter(|name| name.starts_with(char::is_lowercase))
}

#[test]
fn in_http_no_file_knows_a_later_one() {
    for (file, text) in sources() {
        let Some(name) = file.strip_prefix("http/").and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        if name == "mod" {
            continue;
        }
        let place = |name: &str| HTTP.iter().position(|known| *known == name);
        let own = place(name).unwrap_or_else(|| panic!("{file} has no place in the order"));
        let folder = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for known in siblings(&text).map(|known| format!("{folder}{known}")) {
            let Some(other) = place(&known) else { panic!("{file} names super::{known}, which is no file") };
            assert!(other < own, "{file} knows {known}, which comes later");
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

/// Each foreign library, and the only places that may use it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("anyhow", &["main", "cli/", "http/"]),
    ("async_stream", &["feed", "http/"]),
    ("askama", &["http/pages"]),
    ("axum", &["http/"]),
    ("base64", &["hosts/signature", "http/access", "store/"]),
    ("anstream", &["cli/terminal"]),
    ("anstyle", &["cli/terminal"]),
    ("clap", &["main", "cli/", "config", "settings/"]),
    ("clap_complete", &["cli/completions"]),
    ("clap_mangen", &["cli/completions"]),
    ("strsim", &["cli/mod"]),
    ("firestore", &["store/firestore", "store/mod"]),
    ("google_cloud_auth", &["publish/pubsub", "cli/watch"]),
    ("google_cloud_gax", &["publish/pubsub", "cli/watch"]),
    ("google_cloud_pubsub", &["publish/pubsub", "cli/watch"]),
    ("hmac", &["hosts/signature", "store/forgetting"]),
    ("http_body_util", &["http/", "publish/comment"]),
    ("hyper", &["http/"]),
    ("hyper_util", &["http/"]),
    ("jsonwebtoken", &["http/oidc", "settings/app_key"]),
    ("memchr", &["hosts/json"]),
    ("octocrab", &["publish/comment"]),
    ("prometheus", &["telemetry/metrics"]),
    ("rand", &["runtime"]),
    ("reqwest", &["runtime", "http/oidc", "publish/comment", "hosts/api", "cli/"]),
    ("rusqlite", &["store/sqlite"]),
    ("rustix", &["runtime", "store/sqlite/inspect"]),
    ("subtle", &["http/access", "hosts/signature"]),
    ("tempfile", &["cli/"]),
    ("tower", &["http/", "publish/comment"]),
    ("tower_http", &["http/cache", "http/cors"]),
    ("tracing_subscriber", &["telemetry/logs"]),
    ("unicode_width", &["cli/terminal"]),
    ("utoipa", &["http/", "publish/message"]),
];

/// Plain types and macros, which any room but the domain may use.
const EVERYWHERE: &[&str] = &[
    "async_trait",
    "bytes",
    "chrono",
    "form_urlencoded",
    "futures",
    "hex",
    "http",
    "percent_encoding",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tokio_util",
    "tracing",
    "url",
    "uuid",
];

/// Whether a text uses a library: its name begins a path or is imported whole.
fn uses(text: &str, library: &str) -> bool {
    text.match_indices(library).any(|(at, _)| {
        let begins = !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
        let after = &text[at + library.len()..];
        begins && (after.starts_with("::") || after.starts_with(';'))
    })
}

#[test]
fn each_foreign_library_is_known_in_one_place() {
    for (library, places) in LIBRARIES {
        let mut used = false;
        for (file, text) in sources() {
            if uses(&text, library) {
                used = true;
                assert!(places.iter().any(|place| file.starts_with(place)), "{library} in {file}");
            }
        }
        assert!(used, "nothing uses {library}");
    }
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[dependencies]\n").unwrap();
    let (dependencies, _) = rest.split_once("\n[").unwrap();
    let names: BTreeSet<_> =
        dependencies.lines().filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect();
    let placed = LIBRARIES.iter().map(|(library, _)| *library).chain(EVERYWHERE.iter().copied());
    assert_eq!(names, placed.map(str::to_owned).collect());
}

#[test]
fn a_hosts_name_stands_in_its_own_files() {
    // Beside them: the domain's reserved names, and the texts for people.
    let others =
        ["cli/", "main.rs", "domain/contributor.rs", "domain/host.rs", "publish/comment", "hosts/", "http/"];
    for (file, text) in sources() {
        let names = |line: &&str| {
            let lower = line.to_lowercase();
            // Examples are texts for readers too.
            !lower.contains("example") && (lower.contains("gitlab") || lower.contains("github"))
        };
        let line = text.lines().find(names);
        assert!(line.is_none() || others.iter().any(|place| file.starts_with(place)), "in {file}: {line:?}");
    }
    for file in ["hosts/github.rs", "hosts/gitlab.rs"] {
        let (_, text) = sources().into_iter().find(|(known, _)| known == file).unwrap();
        let public: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("pub ")).collect();
        assert!(
            public.iter().all(|line| ["const NAME", "const EVENT", "const HOSTS", "fn open("]
                .iter()
                .any(|known| line.contains(known))),
            "a type of the vendor leaves {file}: {public:?}"
        );
    }
}
