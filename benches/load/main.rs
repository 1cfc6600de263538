//! How fast plaudit takes deliveries, beside what else could take them.
//!
//! `cargo bench --bench load` starts each server on the first processor and the load on the second, in turn, and
//! prints medians and their ratios as the tables of docs/performance.md. Nothing here passes or fails: machines are
//! noisy. `cargo bench --bench load -- --help` lists what can be chosen.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

mod client;
mod floor;
mod ledger;
mod minimal;
mod null;
mod peers;
mod process;
mod report;
mod rows;
mod servers;
mod subjects;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::client::Figures;
use crate::process::{Server, Start};
use crate::rows::{At, ROWS, Row};

const SECRET: &str = "a secret for measuring";

/// Sends signed deliveries of 14 kB, each a new contribution, to each receiver in turn, and prints medians.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(clap::Args)]
struct Options {
    /// How many times each receiver is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only these rows and subjects: bare, read, minimal, forgets, durable, node, fastapi, flask; floor, loads, rest,
    /// calls.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measures also on a ledger that already holds so many contributions.
    #[arg(long, value_name = "CONTRIBUTIONS")]
    ledger: Option<u64>,
    /// Installs the peers (Node, FastAPI, Flask) into target/ first, from npm and PyPI.
    #[arg(long)]
    peers: bool,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// The program to measure instead of the one that was built with this benchmark.
    #[arg(long, value_name = "PROGRAM")]
    plaudit: Option<PathBuf>,
}

/// The parts of the measurement that run as processes of their own.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Serve { row: String, ledger: PathBuf },
    #[command(hide = true)]
    Load(client::Load),
    #[command(hide = true)]
    Slow { address: String, clients: usize },
    #[command(hide = true)]
    Floor,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Serve { row, ledger }) => server_runtime().block_on(servers::serve(&row, &ledger)),
        Some(Part::Load(load)) => client_runtime().block_on(client::run(load)),
        Some(Part::Slow { address, clients }) => client_runtime().block_on(client::slow(address, clients)),
        Some(Part::Floor) => floor::run(),
        // `cargo test --benches` runs every benchmark without arguments: only what was asked for takes minutes.
        None if !arguments.bench => {}
        None => measure(arguments.options),
    }
}

fn server_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn client_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

// ---- the whole ---------------------------------------------------------------------------------------------

/// What one run of this program does.
pub(crate) struct Bench {
    options: Options,
    folder: tempfile::TempDir,
}

fn measure(options: Options) {
    check(&options);
    if options.peers {
        peers::install();
    }
    let bench = Bench { options, folder: tempfile::tempdir().unwrap() };
    let mut report = report::Report::begin(&bench.options);
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| bench.wants(row.key)).collect();
    report.receivers = bench.receivers(&rows);
    let durable = report.median_of(rows::DURABLE).map(|figures| figures.rate);
    if bench.wants(rows::FLOOR) {
        report.floor = Some(process::floor());
    }
    if bench.wants(rows::LOADS) {
        report.loads = Some(bench.loads(durable));
    }
    if bench.wants(rows::REST) {
        report.rest = Some(bench.rest());
    }
    if bench.wants(rows::CALLS) {
        report.calls = bench.calls();
    }
    if let Some(contributions) = bench.options.ledger {
        report.ledger = Some(bench.large_ledger(contributions));
    }
    report.print(bench.options.json);
}

fn check(options: &Options) {
    let known = ROWS.map(|row| row.key).into_iter().chain(rows::SUBJECTS.map(|subject| subject.key));
    let known: Vec<_> = known.collect();
    for asked in &options.only {
        assert!(known.contains(&asked.as_str()), "--only knows {}, not {asked}", known.join(", "));
    }
    if let Err(why) = process::pinning() {
        eprintln!("server and load share processors, because {why}: compare nothing but ratios");
    }
}

impl Bench {
    fn wants(&self, key: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|only| only == key)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn plaudit(&self, ledger: &Path) -> Start {
        let mut start = Start::plaudit(ledger);
        if let Some(program) = &self.options.plaudit {
            start.program = vec![program.into()];
        }
        start
    }

    /// How a row's server is started; `None` where it is not installed.
    fn start(&self, row: Row, ledger: &Path) -> Option<Start> {
        match row.at {
            At::Here => Some(Start::here(row.key, ledger)),
            At::Plaudit => Some(self.plaudit(ledger)),
            At::Peer => peers::start(row.key, ledger),
        }
    }

    fn load(&self) -> Vec<String> {
        vec![format!("--seconds={}", self.options.seconds)]
    }

    /// Each row in turn, round after round, with a new ledger each time.
    fn receivers(&self, rows: &[Row]) -> Vec<(Row, Vec<Figures>)> {
        let mut all: Vec<(Row, Vec<Figures>)> = rows.iter().map(|row| (*row, Vec::new())).collect();
        for round in 1..=self.options.rounds {
            for (row, figures) in &mut all {
                let folder = self.folder(&format!("{}-{round}", row.key));
                let ledger = folder.join("plaudit.db");
                let Some(start) = self.start(*row, &ledger) else { continue };
                let server = Server::start(&start, &folder);
                match server.under(&self.load()) {
                    Ok(of_round) => {
                        self.progress(&format!("round {round} {}", row.key), &of_round);
                        drop(server);
                        all_are_kept(*row, &ledger, of_round.sent);
                        figures.push(of_round);
                    }
                    Err(why) => eprintln!("round {round} {}: {why}", row.key),
                }
                std::fs::remove_dir_all(&folder).unwrap();
            }
        }
        all
    }

    fn progress(&self, what: &str, figures: &Figures) {
        eprintln!(
            "{what}: {:.0} requests/s, p99 {:.2} ms, {:.1} µs processor time each (load {:.1} µs), server busy {:.0} %",
            figures.rate,
            figures.p99,
            figures.cpu,
            figures.client_cpu,
            figures.busy * 100.0
        );
    }
}

/// What was answered is in the file, unless the row keeps nothing.
fn all_are_kept(row: Row, ledger: &Path, sent: u64) {
    if [rows::BARE, "read", rows::FORGETS].contains(&row.key) {
        return;
    }
    let file = rusqlite::Connection::open(ledger).unwrap();
    let kept: i64 = file.query_row("SELECT count(*) FROM contributions", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, sent as i64, "{} answered more than it kept", row.title);
}

pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn medians(figures: &[Figures]) -> Option<Figures> {
    let of = |field: fn(&Figures) -> f64| median(figures.iter().map(field));
    (!figures.is_empty()).then(|| Figures {
        rate: of(|f| f.rate),
        cpu: of(|f| f.cpu),
        client_cpu: of(|f| f.client_cpu),
        busy: of(|f| f.busy),
        p50: of(|f| f.p50),
        p99: of(|f| f.p99),
        ..Figures::default()
    })
}
