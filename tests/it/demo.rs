//! The demo: the main job with nothing to set up, and nothing left behind.

use crate::support::{isolated, run};
use std::process::Command;

#[test]
fn the_demo_shows_the_recognitions_and_leaves_nothing_behind() {
    let (home, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = [("TMPDIR", temporary.path().to_str().unwrap())];
    let mut demo = isolated(Command::new(env!("CARGO_BIN_EXE_plaudit")), &settings);
    let output = run(demo.arg("demo").current_dir(home.path()));
    assert_eq!(output.code, Some(0), "{output:?}");
    for shown in ["github:ada-quillfeather:3", "gitlab:tomasz-wrenfield:3", "grace:3"] {
        assert!(output.out.contains(&format!("\"id\":\"{shown}\"")), "{shown}: {}", output.out);
    }
    assert!(
        output.out.contains("\"verdict\":\"ignored\"") && output.out.contains("\"verdict\":\"recorded\"")
    );
    let merge = output.out.lines().find(|line| line.contains("\"verdict\":\"duplicate\""));
    assert!(
        merge.unwrap().contains(":pull_request:41:ada-quillfeather"),
        "a pull request and its merge count once"
    );
    for folder in [home.path(), temporary.path()] {
        assert_eq!(
            std::fs::read_dir(folder).unwrap().count(),
            0,
            "something is left in {}",
            folder.display()
        );
    }
}

#[test]
fn the_demo_is_not_disturbed_by_what_is_configured() {
    let settings = [
        ("PLAUDIT_MILESTONES", "7"),
        ("PLAUDIT_STORE", "firestore:somewhere"),
        ("PLAUDIT_API_TOKENS", "a-token"),
        ("PORT", "1"),
        ("K_SERVICE", "plaudit"),
    ];
    let output = run(crate::support::command(&settings).arg("demo"));
    assert_eq!(output.code, Some(0), "{output:?}");
}
