//! What the machine may lack. A test that needs it prints that it was left out, and fails where nothing may be
//! left out (`PLAUDIT_TEST_REQUIRE_ALL=1`).

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Prints that `what` was not tested, and why.
pub fn left_out(what: &str, why: &str) {
    let required = std::env::var("PLAUDIT_TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{what}: {why}; PLAUDIT_TEST_REQUIRE_ALL=1 demands it");
    // Not eprintln!, whose output is captured and shown only when the test fails.
    std::io::stderr().write_all(format!("LEFT OUT: {what}: {why}\n").as_bytes()).unwrap();
}

/// Whether `PLAUDIT_TEST_QUICK=1` leaves out `what`, which starts an emulator or a browser; says so if it does.
pub fn quick_leaves_out(what: &str) -> bool {
    let quick = std::env::var("PLAUDIT_TEST_QUICK").is_ok_and(|value| value == "1");
    if quick {
        left_out(what, "PLAUDIT_TEST_QUICK=1 starts neither an emulator nor a browser");
    }
    quick
}

/// Whether a shell command succeeds.
pub fn succeeds(command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// Whether the programs that `what` needs are installed; prints that it was left out if not.
pub fn at_hand(what: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let wanted = match **program {
            // The option --json exists since 7.82.
            "curl" => "curl --help all | grep -q -e --json".to_owned(),
            other => format!("command -v {other}"),
        };
        !succeeds(&wanted)
    });
    if let Some(program) = missing {
        left_out(what, &format!("{program} is missing, or too old"));
    }
    missing.is_none()
}
