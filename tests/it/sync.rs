//! The page cache survives a killed process, but not a power cut. So a library that is preloaded into the program
//! (`sync.c`) logs the order in which it writes, syncs and answers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use crate::support::{Plaudit, pull_request, talk};

/// The preloaded library, compiled once for all tests of a run.
pub(crate) fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let fresh = folder.join(format!("sync-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sync.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&fresh).arg(source);
        assert!(cc.status().expect("a C compiler").success());
        // A rename is atomic, so that concurrent runs do not see half a file.
        let library = folder.join("sync.so");
        std::fs::rename(fresh, &library).unwrap();
        library
    })
}

/// The variables that load the library, with its files in this folder.
fn preload(files: &TempDir) -> [(&'static str, String); 4] {
    let path = |name: &str| files.path().join(name).display().to_string();
    [
        ("LD_PRELOAD", shim().display().to_string()),
        ("SHIM_LOG", path("log")),
        ("SHIM_FULL", path("full")),
        ("SHIM_DEAF", path("deaf")),
    ]
}

/// A plaudit with the library, and the folder of the library's files.
pub(crate) struct Shimmed {
    pub(crate) plaudit: Plaudit,
    files: TempDir,
}

impl Shimmed {
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let settings = preload(&files);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let plaudit = Plaudit::beside(&Arc::new(tempfile::tempdir().unwrap()), &settings).await;
        Self { plaudit, files }
    }

    /// The variables with which another process has the library.
    pub(crate) fn settings(&self) -> [(&'static str, String); 4] {
        preload(&self.files)
    }

    /// Switches a fault of the disk (`full` or `deaf`) on or off.
    pub(crate) fn disk(&self, ill: &str, so: bool) {
        let file = self.files.path().join(ill);
        if so { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
    }

    /// The library's log since the last call.
    fn happened(&self) -> String {
        let log = self.files.path().join("log");
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, "").unwrap();
        text
    }
}

/// Whether each answer came after a write of its own to the log, and after a sync of all that was written.
fn each_answer_was_synced_before(happened: &str) -> Result<usize, String> {
    let mut answers = 0;
    let mut before = happened.split('A');
    // After the last answer only the outbox writes.
    before.next_back();
    for commit in before {
        answers += 1;
        if !commit.contains('W') {
            return Err(format!("answer {answers} without a write: {happened}"));
        }
        if !commit.ends_with('S') {
            return Err(format!("answer {answers} before its sync: {happened}"));
        }
    }
    Ok(answers)
}

#[test]
fn the_judge_of_syncs_is_no_yes_man() {
    assert_eq!(each_answer_was_synced_before("WWSAWSWSAWW"), Ok(2));
    for bad in ["A", "WA", "WSWA", "WSAA", "WSASA", "SWA", "WSAWA"] {
        assert!(each_answer_was_synced_before(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_sync_reaches_the_disk_before_each_acknowledgement() {
    let shimmed = Shimmed::start().await;
    let plaudit = &shimmed.plaudit;
    // A control: the answer to a read is in the log, with neither a write nor a sync before it.
    shimmed.happened();
    plaudit.get("/v1/contributors").await.expect(200);
    assert_eq!(shimmed.happened(), "A");

    for i in 0..20 {
        // No milestone is reached, so only the contribution is written.
        plaudit.post(&talk(&format!("who-{i}"), &format!("n{i}"))).await.expect(201);
    }
    assert_eq!(each_answer_was_synced_before(&shimmed.happened()), Ok(20));
    for i in 0..10 {
        plaudit.github("pull_request", &pull_request(1_000 + i, &format!("login-{i}"))).await.expect(200);
    }
    assert_eq!(each_answer_was_synced_before(&shimmed.happened()), Ok(10));
    // A repeat needs no write of its own.
    plaudit.post(&talk("who-0", "n0")).await.expect(200);
    shimmed.plaudit.stop().await;
}

#[tokio::test]
async fn what_could_not_be_synced_is_not_acknowledged() {
    let mut shimmed = Shimmed::start().await;
    shimmed.plaudit.post(&talk("mona", "a")).await.expect(201);
    shimmed.disk("deaf", true);
    shimmed.plaudit.post(&talk("mona", "b")).await.problem(503, "unavailable");
    shimmed.disk("deaf", false);
    let again = shimmed.plaudit.post(&talk("mona", "b")).await;
    assert!([200, 201].contains(&again.status), "{again:?}");
    assert_eq!(shimmed.plaudit.tallies().await["mona"], 2);
    shimmed.plaudit.kill9().await;
    shimmed.plaudit.restart().await;
    assert_eq!(shimmed.plaudit.tallies().await["mona"], 2);
    shimmed.plaudit.stop().await;
}
