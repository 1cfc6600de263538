//! Tells the program its version together with the commit that it is built from.

#![allow(clippy::print_stdout, reason = "Cargo reads a build script's standard output")]
#![allow(
    clippy::disallowed_methods,
    reason = "Cargo and the Dockerfile speak to a build script by variables"
)]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PLAUDIT_COMMIT");
    let given = std::env::var("PLAUDIT_COMMIT").ok().map(|commit| commit.trim().to_owned());
    let commit = given.filter(|commit| !commit.is_empty()).or_else(of_clone);
    let version = env!("CARGO_PKG_VERSION");
    let whole = commit.map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    // Not `PLAUDIT_…`: `cargo run` sets it for the program too, which would take it for a setting.
    println!("cargo::rustc-env=VERSION_AND_COMMIT={whole}");
}

/// The commit of the clone in which this is built, and its date; `None` outside of one, as in an unpacked archive.
fn of_clone() -> Option<String> {
    // A folder above may be the clone of something else.
    let is_clone = Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists();
    let commit = is_clone.then(|| git(&["log", "-1", "--abbrev=12", "--format=%h %cs"])).flatten()?;
    // What changes with a commit or a checkout. A file that does not exist would make every build run this again.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", &branch] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit)
}

/// What a command of git prints, where git is installed and succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}
