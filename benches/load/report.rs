//! The tables, as docs/performance.md has them.

use serde_json::json;

use crate::client::Figures;
use crate::floor::Floor;
use crate::rows::{self, At, Row};
use crate::subjects::{Call, LargeLedger, Loads, Rest};
use crate::{Options, medians};

/// Below this the server waited for its processor or for the load, so that its rate says less than its processor time.
const BUSY: f64 = 0.9;

pub(crate) struct Report {
    conditions: String,
    pub receivers: Vec<(Row, Vec<Figures>)>,
    pub floor: Option<Floor>,
    pub loads: Option<Loads>,
    pub rest: Option<Rest>,
    pub calls: Option<Vec<Call>>,
    pub ledger: Option<LargeLedger>,
}

impl Report {
    pub(crate) fn begin(options: &Options) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let waiting = read("/proc/loadavg");
        let conditions = format!(
            "{} rounds of {} s; {} processors ({}); before the run {} processes wanted to run on average; {} build.",
            options.rounds,
            options.seconds,
            std::thread::available_parallelism().map_or(1, usize::from),
            model.map_or("unknown", |(_, model)| model),
            waiting.split(' ').next().unwrap_or("?"),
            if cfg!(debug_assertions) { "debug" } else { "release" },
        );
        eprintln!("{conditions}");
        Self {
            conditions,
            receivers: Vec::new(),
            floor: None,
            loads: None,
            rest: None,
            calls: None,
            ledger: None,
        }
    }

    pub(crate) fn median_of(&self, key: &str) -> Option<Figures> {
        self.receivers.iter().find(|(row, _)| row.key == key).and_then(|(_, figures)| medians(figures))
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let of = |(row, figures): &(Row, Vec<Figures>)| json!({"row": row.key, "median": medians(figures), "rounds": figures});
            let receivers: Vec<_> = self.receivers.iter().map(of).collect();
            let all = json!({
                "conditions": self.conditions, "receivers": receivers, "floor": self.floor, "loads": self.loads, "rest": self.rest,
                "calls": self.calls, "ledger": self.ledger,
            });
            println!("{all:#}");
            return;
        }
        println!("{}", self.conditions);
        if !self.receivers.is_empty() {
            self.print_receivers();
        }
        if let Some(floor) = &self.floor {
            title(rows::FLOOR);
            println!("| step | processor µs a delivery |\n|---|---|");
            println!("| SHA-256 of the body | {:.1} |", floor.sha256);
            println!("| plaudit's verification | {:.1} |", floor.verify);
            println!("| plaudit's reading | {:.1} |", floor.read);
        }
        if let Some(loads) = &self.loads {
            print_loads(loads);
        }
        if let Some(rest) = &self.rest {
            title(rows::REST);
            println!("| resident memory | ready after its start |\n|---|---|");
            println!("| {:.1} MiB | {:.1} ms |", rest.resident_mib, rest.ready_ms);
        }
        if let Some(calls) = &self.calls {
            title(rows::CALLS);
            println!("| system call | a delivery |\n|---|---|");
            for call in calls {
                println!("| `{}` | {:.3} |", call.name, call.a_delivery);
            }
        }
        if let Some(ledger) = &self.ledger {
            print_ledger(ledger);
        }
    }

    fn print_receivers(&self) {
        let (bare, durable) = (self.median_of(rows::BARE), self.median_of(rows::DURABLE));
        println!("\n| receiver | requests/s | of bare | processor µs a request | p50 ms | p99 ms |");
        println!("|---|---|---|---|---|---|");
        for (row, figures) in &self.receivers {
            let Some(all) = medians(figures) else {
                let why = if row.at == At::Peer { "not installed" } else { "failed" };
                println!("| {} | {why} | | | | |", row.title);
                continue;
            };
            let of_bare = bare.map_or_else(String::new, |bare| format!("{:.3}", all.rate / bare.rate));
            println!(
                "| {} | {:.0} | {of_bare} | {:.1} | {:.2} | {:.2} |",
                row.title, all.rate, all.cpu, all.p50, all.p99
            );
        }
        println!();
        if let Some(durable) = durable {
            for (row, figures) in &self.receivers {
                let compared = row.key == rows::FORGETS || row.at == At::Peer;
                if let (true, Some(other)) = (compared, medians(figures)) {
                    println!("plaudit, durable: {:.2} times {}.", durable.rate / other.rate, row.title);
                }
            }
        }
        for (row, figures) in &self.receivers {
            if let Some(all) = medians(figures).filter(|all| all.busy < BUSY) {
                println!(
                    "Not limited by its processor alone: {} (busy {:.0} % of the time, the load {:.1} µs a request).",
                    row.title,
                    all.busy * 100.0,
                    all.client_cpu
                );
            }
        }
    }
}

fn title(key: &str) {
    let subject = rows::SUBJECTS.into_iter().find(|subject| subject.key == key).unwrap();
    println!("\n## {}\n", subject.title);
}

fn print_loads(loads: &Loads) {
    title(rows::LOADS);
    println!("| load | requests/s | processor µs a request | p50 ms | p99 ms |\n|---|---|---|---|---|");
    let row = |what: &str, figures: Option<Figures>| match figures {
        Some(f) => println!("| {what} | {:.0} | {:.1} | {:.2} | {:.2} |", f.rate, f.cpu, f.p50, f.p99),
        None => println!("| {what} | failed | | | |"),
    };
    row("32 connections", loads.few);
    row("500 connections", loads.many);
    row(&format!("half of the rate, {:.0}/s", loads.half_rate), loads.half);
    row("the same beside 300 slow clients", loads.beside_slow);
    if let (Some(few), Some(many)) = (loads.few, loads.many) {
        println!("\n500 connections: {:.2} of the rate at 32.", many.rate / few.rate);
    }
    if let (Some(half), Some(beside)) = (loads.half, loads.beside_slow) {
        println!("300 slow clients change p99 by {:+.2} ms.", beside.p99 - half.p99);
    }
}

fn print_ledger(ledger: &LargeLedger) {
    title(rows::LEDGER);
    println!("| ledger | requests/s | processor µs a request | p50 ms | p99 ms |\n|---|---|---|---|---|");
    let row = |what: &str, figures: Option<Figures>| match figures {
        Some(f) => println!("| {what} | {:.0} | {:.1} | {:.2} | {:.2} |", f.rate, f.cpu, f.p50, f.p99),
        None => println!("| {what} | failed | | | |"),
    };
    row("empty", ledger.empty);
    row(&format!("{} contributions of {} people", ledger.contributions, ledger.people), ledger.figures);
    println!(
        "\n{:.0} bytes a contribution; ready in {:.1} ms. One fifth of the people make three fifths of the contributions.",
        ledger.bytes_each, ledger.ready_ms
    );
}
