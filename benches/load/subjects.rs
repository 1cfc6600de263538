//! What else is measured of plaudit on SQLite.

use std::path::Path;

use serde::Serialize;

use crate::client::Figures;
use crate::process::{Server, is_installed};
use crate::{Bench, ledger, median, medians};

const FEW: usize = 32;
const MANY: usize = 500;
const SLOW_CLIENTS: usize = 300;
/// How many deliveries are counted.
const COUNTED: u64 = 20_000;
const CALLS: [&str; 7] = ["pwrite64", "fsync", "fdatasync", "futex", "write", "madvise", "getrandom"];

#[derive(Serialize)]
pub(crate) struct Loads {
    /// At full rate over few and over many connections.
    pub few: Option<Figures>,
    pub many: Option<Figures>,
    /// At half of the full rate, alone and beside slow clients.
    pub half_rate: f64,
    pub half: Option<Figures>,
    pub beside_slow: Option<Figures>,
}

#[derive(Serialize)]
pub(crate) struct Rest {
    pub ready_ms: f64,
    pub resident_mib: f64,
}

#[derive(Serialize)]
pub(crate) struct Call {
    pub name: String,
    pub a_delivery: f64,
}

#[derive(Serialize)]
pub(crate) struct LargeLedger {
    pub contributions: u64,
    pub people: u64,
    pub bytes_each: f64,
    pub ready_ms: f64,
    pub figures: Option<Figures>,
    /// The same load on an empty ledger, in turn.
    pub empty: Option<Figures>,
}

impl Bench {
    /// One round of plaudit on a new ledger.
    fn once(&self, name: &str, load: &[String], slow_clients: usize) -> Option<Figures> {
        let folder = self.folder(name);
        let server = Server::start(&self.plaudit(&folder.join("plaudit.db")), &folder);
        let _slow = (slow_clients > 0).then(|| server.beside_slow_clients(slow_clients));
        if slow_clients > 0 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let figures = server.under(&[self.load(), load.to_vec()].concat());
        drop(server);
        std::fs::remove_dir_all(&folder).unwrap();
        match figures {
            Ok(figures) => {
                self.progress(name, &figures);
                Some(figures)
            }
            Err(why) => {
                eprintln!("{name}: {why}");
                None
            }
        }
    }

    pub(crate) fn loads(&self, durable: Option<f64>) -> Loads {
        let connections = |many: usize| vec![format!("--connections={many}")];
        let (mut few, mut many, mut half, mut beside_slow) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.options.rounds {
            few.extend(self.once(&format!("round {round} {FEW} connections"), &connections(FEW), 0));
            many.extend(self.once(&format!("round {round} {MANY} connections"), &connections(MANY), 0));
        }
        let (few, many) = (medians(&few), medians(&many));
        let full = durable.or(few.map(|figures| figures.rate)).unwrap_or(1_000.0);
        let half_rate = (full / 2.0).round();
        let paced = vec![format!("--rate={half_rate}")];
        for round in 1..=self.options.rounds {
            half.extend(self.once(&format!("round {round} half rate"), &paced, 0));
            beside_slow.extend(self.once(
                &format!("round {round} beside slow clients"),
                &paced,
                SLOW_CLIENTS,
            ));
        }
        Loads { few, many, half_rate, half: medians(&half), beside_slow: medians(&beside_slow) }
    }

    pub(crate) fn rest(&self) -> Rest {
        let (mut ready, mut resident) = (Vec::new(), Vec::new());
        for round in 1..=self.options.rounds {
            let folder = self.folder(&format!("rest-{round}"));
            let server = Server::start(&self.plaudit(&folder.join("plaudit.db")), &folder);
            ready.push(server.ready.as_secs_f64() * 1e3);
            std::thread::sleep(std::time::Duration::from_millis(500));
            resident.push(server.resident_mib());
        }
        Rest { ready_ms: median(ready), resident_mib: median(resident) }
    }

    /// `None` where `strace` is not installed.
    pub(crate) fn calls(&self) -> Option<Vec<Call>> {
        if !is_installed("strace") {
            eprintln!("no system calls are counted, because strace is not installed");
            return None;
        }
        let folder = self.folder("calls");
        let counts = folder.join("counts");
        let mut start = self.plaudit(&folder.join("plaudit.db"));
        let trace = format!("trace={}", CALLS.join(","));
        start.before =
            ["strace", "-f", "--seccomp-bpf", "-qq", "-c", "-e", &trace, "-o", counts.to_str().unwrap()]
                .map(str::to_owned)
                .to_vec();
        let server = Server::start(&start, &folder);
        let figures = server.under(&[format!("--count={COUNTED}")]);
        if let Err(why) = &figures {
            eprintln!("system calls: {why}");
        }
        server.end();
        let table = std::fs::read_to_string(&counts).unwrap();
        figures.ok().map(|figures| {
            CALLS
                .iter()
                .map(|name| Call {
                    name: (*name).into(),
                    a_delivery: calls(&table, name) / figures.answers as f64,
                })
                .collect()
        })
    }

    pub(crate) fn large_ledger(&self, contributions: u64) -> LargeLedger {
        let (folder, empty_folder) = (self.folder("large"), "empty");
        let file = folder.join("plaudit.db");
        ledger::fill(&file, contributions);
        let bytes_each = on_disk(&file) / contributions as f64;
        let people = ledger::people(contributions);
        let (mut figures, mut empty, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = contributions;
        for round in 1..=self.options.rounds {
            let load = |first: u64| {
                vec![format!("--first={first}"), format!("--people={people}"), "--skewed".to_owned()]
            };
            let server = Server::start(&self.plaudit(&file), &folder);
            ready.push(server.ready.as_secs_f64() * 1e3);
            match server.under(&[self.load(), load(first)].concat()) {
                Ok(of_round) => {
                    self.progress(&format!("round {round} large ledger"), &of_round);
                    first += of_round.sent;
                    figures.push(of_round);
                }
                Err(why) => eprintln!("round {round} large ledger: {why}"),
            }
            server.end();
            empty.extend(self.once(&format!("{empty_folder} ledger {round}"), &load(0), 0));
        }
        LargeLedger {
            contributions,
            people,
            bytes_each,
            ready_ms: median(ready),
            figures: medians(&figures),
            empty: medians(&empty),
        }
    }
}

/// The file and its log, in bytes.
fn on_disk(file: &Path) -> f64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    (size(file) + size(&file.with_extension("db-wal"))) as f64
}

/// How often a call was made, in the table that `strace -c` writes.
fn calls(table: &str, name: &str) -> f64 {
    let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    line.into_iter()
        .find(|fields| fields.last() == Some(&name))
        .map_or(0.0, |fields| fields[3].parse().unwrap())
}
