//! Emulators of Google's services: one that runs already, or one that is started for all tests of this process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use plaudit::store::firestore::Patience;

use super::machine::{left_out, quick_leaves_out, succeeds};

/// The address of the Firestore emulator, or `None` where there is none.
///
/// `FIRESTORE_EMULATOR_HOST` names one that runs already; else the Google Cloud CLI starts one.
pub fn firestore() -> Option<&'static str> {
    static FIRESTORE: OnceLock<Option<Emulator>> = OnceLock::new();
    FIRESTORE
        .get_or_init(|| find("firestore", "FIRESTORE_EMULATOR_HOST", "Dev App Server is now running"))
        .as_ref()
        .map(|emulator| emulator.host.as_str())
}

/// The address of the Pub/Sub emulator, likewise by `PUBSUB_EMULATOR_HOST`.
pub fn pubsub() -> Option<&'static str> {
    static PUBSUB: OnceLock<Option<Emulator>> = OnceLock::new();
    PUBSUB
        .get_or_init(|| find("pubsub", "PUBSUB_EMULATOR_HOST", "Server started, listening"))
        .as_ref()
        .map(|emulator| emulator.host.as_str())
}

fn find(service: &str, variable: &str, ready: &str) -> Option<Emulator> {
    match std::env::var(variable) {
        Ok(host) if !host.is_empty() => Some(Emulator { host, _watched: None }),
        _ => start(service, ready),
    }
}

/// Timeouts for what must succeed on a slow machine too.
pub const PATIENT: Patience = Patience { call: Duration::from_secs(20), total: Duration::from_mins(1) };

/// The name of a project that no other test uses.
pub fn fresh_project() -> String {
    format!("demo-{}", uuid::Uuid::new_v4().simple())
}

struct Emulator {
    host: String,
    /// Its standard input is closed when this process ends.
    _watched: Option<Child>,
}

/// Statics are not dropped, and a test may be killed. So a shell starts the emulator and waits for the end of its
/// input, which comes when this process ends in any way. Then it kills the emulator's process group, or its own
/// while the emulator has none yet.
const WATCHED: &str = r#"gcloud beta emulators "$1" start --host-port="$2" --project=demo 2>&1 </dev/null &
exec >/dev/null
read -r _
kill -s KILL -- "-$!"
kill -s KILL 0"#;

fn start(service: &str, ready: &str) -> Option<Emulator> {
    let what = format!("everything on {service}");
    if quick_leaves_out(&what) {
        return None;
    }
    if !succeeds("gcloud --version") {
        left_out(&what, "neither an emulator's address is set nor gcloud installed");
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!("127.0.0.1:{port}");
    let mut child = Command::new("sh")
        .args(["-c", WATCHED, "sh", service, &host])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else {
            drop(child.stdin.take());
            child.wait().unwrap();
            left_out(&what, &format!("its emulator is not installed, or did not start:\n{said}"));
            return None;
        };
        if line.contains(ready) {
            break;
        }
        said += &line;
        said.push('\n');
    }
    // Its output must be read, or it blocks.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Emulator { host, _watched: Some(child) })
}
