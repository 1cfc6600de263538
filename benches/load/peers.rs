//! Receivers in other languages, as people write them: small, idiomatic, each delivery durable before its answer.
//!
//! `benches/peers/install` puts what they need into a folder under `target/`; nothing is installed unasked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::SECRET;
use crate::process::Start;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

fn installed() -> PathBuf {
    // Beside the folder of the build that this program is of.
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    deps.ancestors().nth(2).unwrap().join("peers")
}

/// Installs what the peers need; what cannot be installed is left out.
pub(crate) fn install() {
    let mut command = Command::new("sh");
    command.arg(sources().join("install")).arg(installed()).stdout(Stdio::from(std::io::stderr()));
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("not all peers could be installed");
    }
}

/// How the peer is started; `None` where it is not installed.
pub(crate) fn start(peer: &str, ledger: &Path) -> Option<Start> {
    let (sources, installed) = (sources(), installed());
    let python = installed.join("python/bin");
    let (program, marker): (Vec<OsString>, _) = match peer {
        "node" => (
            vec!["node".into(), installed.join("node/receiver.mjs").into()],
            installed.join("node/installed"),
        ),
        "fastapi" => (
            vec![python.join("python").into(), sources.join("fastapi_receiver.py").into()],
            python.join("uvicorn"),
        ),
        "flask" => (
            vec![python.join("python").into(), sources.join("flask_receiver.py").into()],
            python.join("gunicorn"),
        ),
        other => panic!("no peer is called {other}"),
    };
    let environment =
        vec![("SECRET", SECRET.into()), ("LEDGER", ledger.into()), ("PYTHONDONTWRITEBYTECODE", "1".into())];
    marker.exists().then_some(Start { program, environment, before: Vec::new() })
}
