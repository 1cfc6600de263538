//! The servers as processes of their own, each on one processor.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::SECRET;
use crate::client::Figures;
use crate::floor::Floor;

const SERVER: &str = "0";
const LOAD: &str = "1";

/// Whether server and load can each have a processor of their own; if not, why.
pub(crate) fn pinning() -> Result<(), &'static str> {
    let taskset =
        Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !taskset.is_ok_and(|status| status.success()) {
        return Err("taskset is not installed");
    }
    match std::thread::available_parallelism() {
        Ok(processors) if processors.get() >= 2 => Ok(()),
        _ => Err("there is no second processor"),
    }
}

pub(crate) fn is_installed(program: &str) -> bool {
    let answer = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    answer.is_ok_and(|status| status.success())
}

/// A command in front of which `taskset` stands, where that is possible.
fn pinned(processor: &str, before: &[String], program: &[OsString]) -> Command {
    let pin = ["taskset", "-c", processor].map(OsString::from);
    let pin = if pinning().is_ok() { pin.to_vec() } else { Vec::new() };
    let words: Vec<OsString> =
        before.iter().map(OsString::from).chain(pin).chain(program.iter().cloned()).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn myself(arguments: &[&str]) -> Vec<OsString> {
    let me = std::env::current_exe().unwrap().into_os_string();
    std::iter::once(me).chain(arguments.iter().map(OsString::from)).collect()
}

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub program: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    /// What watches it, such as `strace` and its arguments.
    pub before: Vec<String>,
}

impl Start {
    /// One of the servers in this program, with the file of its ledger if it has one.
    pub(crate) fn here(row: &str, ledger: &Path) -> Self {
        let mut program = myself(&["serve", row]);
        program.push(ledger.into());
        Self { program, environment: Vec::new(), before: Vec::new() }
    }

    pub(crate) fn plaudit(ledger: &Path) -> Self {
        let environment = vec![
            ("PLAUDIT_LISTEN", "127.0.0.1:0".into()),
            ("PLAUDIT_STORE", format!("sqlite:{}", ledger.display()).into()),
            ("PLAUDIT_GITHUB_SECRET", SECRET.into()),
        ];
        Self { program: vec![env!("CARGO_BIN_EXE_plaudit").into()], environment, before: Vec::new() }
    }
}

/// What any receiver pays for one delivery, measured on the load's processor.
pub(crate) fn floor() -> Floor {
    let output = pinned(LOAD, &[], &myself(&["floor"])).env("RUST_BACKTRACE", "0").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) struct Server {
    child: Child,
    /// The server itself, where `child` is what watches it.
    pub pid: u32,
    pub address: String,
    pub ready: Duration,
}

impl Server {
    /// Returns once it prints where it listens.
    pub(crate) fn start(start: &Start, folder: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = pinned(SERVER, &start.before, &start.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PLAUDIT_") {
                command.env_remove(name);
            }
        }
        command.envs(start.environment.iter().map(|(name, value)| (name, value)));
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let Some(line) = lines.next() else {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("{:?} did not start: {log}", start.program);
            };
            if let Some((_, address)) = line.unwrap().trim().rsplit_once("http://") {
                break address.to_owned();
            }
        };
        let ready = began.elapsed();
        let pid = if start.before.is_empty() { child.id() } else { children(child.id())[0] };
        Self { child, pid, address, ready }
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Sends this load from the other processor.
    pub(crate) fn under(&self, load: &[String]) -> Result<Figures, String> {
        let mut program = myself(&["load", "--address", &self.address, "--server", &self.pid.to_string()]);
        program.extend(load.iter().map(OsString::from));
        let output = pinned(LOAD, &[], &program).env("RUST_BACKTRACE", "0").output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Clients that send a byte a second, until what is returned is dropped.
    pub(crate) fn beside_slow_clients(&self, clients: usize) -> Process {
        let program = myself(&["slow", &self.address, &clients.to_string()]);
        Process(pinned(LOAD, &[], &program).spawn().unwrap())
    }

    /// Ends the server, and waits for what watches it.
    pub(crate) fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children = children(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in children {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// A process that ends with its owner.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The processor time of a process and its children, in user mode and in the kernel.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    /// Linux reports times in hundredths of a second.
    const TICKS: f64 = 100.0;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS + children(pid).into_iter().map(cpu_seconds).sum::<f64>()
}
