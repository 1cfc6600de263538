//! What a contribution costs the SQLite store, in an empty ledger and in one that holds many.
//!
//! `taskset -c 0 cargo bench --bench ledger -- [CONTRIBUTIONS [CONTRIBUTORS [FILE]]]` makes a ledger of that size
//! (1,000,000 contributions of 50,000 people by default) through the store itself, and then records groups of 16 in
//! it and in an empty one, in turn. FILE is kept, and used again if it exists. Nothing here passes or fails.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, which may fail loudly"
)]
#![allow(missing_docs, reason = "a program of its own")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, HostName, Kind, Labels, Milestones, Moment,
};
use plaudit::store::sqlite::Sqlite;
use plaudit::store::{
    ContributionFilter, ContributorFilter, Of, Order, Page, RecognitionFilter, Shown, Store,
};

/// How many contributions each commit of the measurement has.
const GROUP: usize = 16;
/// How many contributions are recorded for one figure.
const ROWS: usize = 64_000;
/// How many contributions each commit has that fills a ledger.
const FILL: usize = 50_000;
const ROUNDS: usize = 3;
const READS: usize = 200;

/// The same sequence in each run.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// From 0 up to `below`, the first ones much more often: a fifth of all people do four fifths of the work.
    fn skewed(&mut self, below: usize) -> usize {
        let even = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        (even.powi(7) * below as f64) as usize
    }
}

fn scramble(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Makes contributions as hosts send them: numbers grow within a repository, and commits are random.
struct World {
    dice: Dice,
    contributors: usize,
    /// How many issues and pull requests each repository has.
    numbers: Vec<u64>,
    hosts: [HostName; 2],
    clock: i64,
}

impl World {
    fn new(contributors: usize, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            contributors,
            numbers: vec![0; contributors / 4 + 1],
            hosts: ["github", "gitlab"].map(|host| HostName::parse(host).unwrap()),
            clock: 1_700_000_000_000_000,
        }
    }

    fn now(&self) -> Moment {
        Moment::from_timestamp_micros(self.clock).unwrap()
    }

    fn next(&mut self) -> Contribution {
        self.clock += 40_000;
        let now = self.now();
        let who = self.dice.skewed(self.contributors);
        // Everybody works in one repository mostly, and everywhere sometimes.
        let repositories = self.numbers.len();
        let place = match self.dice.roll() % 4 {
            0 => self.dice.skewed(repositories),
            _ => scramble(who as u64 / 4) as usize % repositories,
        };
        let host = &self.hosts[usize::from(place.is_multiple_of(5))];
        let repository = 10_000_000 + scramble(place as u64) % 900_000_000;
        let login = format!("{}-{who}", ["robin", "ada", "mona", "kim"][who % 4]);
        let contributor = ContributorId::on_host(host, &login).unwrap();
        let name = format!("org-{}/project-{place}", place / 8);
        let sort = self.dice.roll() % 10;
        let (kind, rest, url) = if sort < 5 {
            let (a, b) = (self.dice.roll(), self.dice.roll());
            let commit = format!("{a:016x}{b:016x}{:08x}", a as u32);
            let url = format!("https://{host}.com/{name}/commit/{commit}");
            (Kind::PUSH, format!("push:{commit}:{login}"), url)
        } else {
            self.numbers[place] += 1;
            let number = self.numbers[place];
            let url = format!("https://{host}.com/{name}/issues/{number}");
            if sort < 8 {
                (Kind::PULL_REQUEST, format!("pull_request:{number}:{login}"), url)
            } else {
                (Kind::ISSUE, format!("issue:{number}"), url)
            }
        };
        let labels = (kind != Kind::PUSH).then_some(Labels { at: now, rejected: false });
        Contribution {
            id: ContributionId::on_host(host, repository, rest),
            contributor,
            kind,
            occurred_at: now,
            title: Some(format!("Correct what happens at the end of part {who}")),
            url: Some(url),
            repository: Some(name),
            private: false,
            user_id: Some(1_000_000 + who as u64),
            account_url: None,
            labels,
            landed_at: None,
            content: None,
        }
    }

    fn batch(&mut self, size: usize) -> Vec<Contribution> {
        (0..size).map(|_| self.next()).collect()
    }
}

/// The processor time of this process so far, all threads.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // In hundredths of a second, as Linux shows them everywhere.
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

/// The bytes that this process has written so far.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

/// What a contribution costs.
#[derive(Clone, Copy)]
struct Cost {
    rows_a_second: f64,
    processor: f64,
    written: f64,
}

async fn measure(store: &Sqlite, world: &mut World) -> Cost {
    let batches: Vec<_> = (0..ROWS / GROUP).map(|_| world.batch(GROUP)).collect();
    let (busy, bytes, began) = (processor(), written(), Instant::now());
    for batch in &batches {
        store.record(batch, batch[0].occurred_at).await.unwrap();
    }
    let rows = ROWS as f64;
    Cost {
        rows_a_second: rows / began.elapsed().as_secs_f64(),
        processor: (processor() - busy).as_secs_f64() * 1e6 / rows,
        written: (written() - bytes) as f64 / rows,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median time of a read, in microseconds.
async fn time<T>(read: impl AsyncFn() -> T) -> f64 {
    let mut times = Vec::new();
    for _ in 0..READS {
        let began = Instant::now();
        read().await;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    median(times)
}

fn after(list: &str, at: i64, id: &str) -> Page {
    let cursor = serde_json::json!({"list": list, "at": at, "id": id});
    Page { limit: 50, after: Some(URL_SAFE_NO_PAD.encode(cursor.to_string())) }
}

async fn reads(store: &Sqlite, path: &Path) -> Vec<(&'static str, f64)> {
    let first = Page { limit: 50, after: None };
    let all = ContributorFilter::default();
    let on_host = ContributorFilter { host: Some(HostName::parse("gitlab").unwrap()), search: None };
    let search = ContributorFilter { host: None, search: Some("robin-4".into()) };
    let top = store.contributors(Order::Tally, &all, &first).await.unwrap().items.remove(0);
    let busiest = Of::Contributor(top.standing.contributor.clone());
    let newest = store.contributions(&ContributionFilter::of(busiest.clone(), Shown::Public), &first).await;
    let place = newest.unwrap().items[0].contribution.repository.clone().unwrap();
    let deep = after("contributors-by-tally", 2, "github:mona");
    let people = async |filter: &ContributorFilter, order, page: &Page| {
        store.contributors(order, filter, page).await.unwrap().items.len()
    };
    let work = async |of: &Of| {
        store.contributions(&ContributionFilter::of(of.clone(), Shown::Public), &first).await.unwrap()
    };
    let place = Of::Repository(place);
    let milestones = Milestones::parse("1000000000").unwrap();
    let owing = async || store.owing(&milestones, None, 100).await.unwrap();
    let mut times = vec![
        ("leaderboard, first page", time(async || people(&all, Order::Tally, &first).await).await),
        (
            "leaderboard, deep among equal tallies",
            time(async || people(&all, Order::Tally, &deep).await).await,
        ),
        ("leaderboard of a host", time(async || people(&on_host, Order::Tally, &first).await).await),
        ("contributors by id", time(async || people(&all, Order::Id, &first).await).await),
        ("search by name", time(async || people(&search, Order::Tally, &first).await).await),
        ("contributions of one, first page", time(async || work(&busiest).await).await),
        ("contributions in a repository", time(async || work(&place).await).await),
        ("one contributor", time(async || store.contributor(&top.standing.contributor).await.unwrap()).await),
        (
            "recognitions, first page",
            time(async || store.recognitions(&RecognitionFilter::default(), &first).await.unwrap()).await,
        ),
        ("the drain's look for what is due", time(async || store.next_due(Destination::Topic).await).await),
    ];
    let began = Instant::now();
    owing().await;
    times.push(("the drain's look for what is owed", began.elapsed().as_secs_f64() * 1e6));
    let began = Instant::now();
    store.totals().await.unwrap();
    times.push(("totals", began.elapsed().as_secs_f64() * 1e6));
    let opening = (0..20).map(|_| {
        let began = Instant::now();
        let opened = Sqlite::open(path).unwrap();
        let taken = began.elapsed().as_secs_f64() * 1e6;
        drop(opened);
        taken
    });
    times.push(("open", median(opening.collect())));
    times
}

/// A ledger that is measured.
struct Ledger {
    path: PathBuf,
    store: Sqlite,
    world: World,
    rows: usize,
}

impl Ledger {
    async fn fill(path: &Path, rows: usize, contributors: usize) -> Self {
        let exists = path.exists();
        let store = Sqlite::open(path).unwrap();
        // With a seed of its own each run, so that what follows is new.
        let seed = if exists { Moment::timestamp_micros(&chrono::Utc::now()) as u64 } else { 1 };
        let mut world = World::new(contributors, seed);
        if exists {
            world.numbers.fill(seed / 1_000_000);
            world.clock = Moment::timestamp_micros(&chrono::Utc::now());
        } else {
            let began = Instant::now();
            for start in (0..rows).step_by(FILL) {
                let batch = world.batch(FILL.min(rows - start));
                store.record(&batch, world.now()).await.unwrap();
            }
            if rows > 0 {
                println!("filled with {rows} contributions in {:.0?}", began.elapsed());
            }
        }
        Self { path: path.to_owned(), store, world, rows }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |place: usize, without| args.get(place).map_or(without, |arg| arg.parse().unwrap());
    let (rows, contributors) = (number(0, 1_000_000), number(1, 50_000));
    let folder = tempfile::tempdir().unwrap();
    let large = args.get(2).map_or(folder.path().join("large.db"), PathBuf::from);
    let mut large = Ledger::fill(&large, rows, contributors).await;
    let mut empty = Ledger::fill(&folder.path().join("empty.db"), 0, contributors).await;
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (ledger, costs) in [&mut empty, &mut large].into_iter().zip(&mut costs) {
            let cost = measure(&ledger.store, &mut ledger.world).await;
            println!(
                "  {:>8} rows: {:>7.0} rows/s  {:>5.1} µs  {:>6.0} bytes",
                ledger.rows, cost.rows_a_second, cost.processor, cost.written
            );
            costs.push(cost);
        }
    }
    println!("{:<40} {:>12} {:>12} {:>7}", "median", "empty", rows, "ratio");
    let line = |what: &str, figures: [f64; 2]| {
        println!("{what:<40} {:>12.1} {:>12.1} {:>7.2}", figures[0], figures[1], figures[1] / figures[0]);
    };
    let figures = |of: fn(&Cost) -> f64| costs.each_ref().map(|costs| median(costs.iter().map(of).collect()));
    line("contributions a second", figures(|cost| cost.rows_a_second));
    line("processor µs a contribution", figures(|cost| cost.processor));
    line("bytes written a contribution", figures(|cost| cost.written));
    let (small, big) = (reads(&empty.store, &empty.path).await, reads(&large.store, &large.path).await);
    for (small, big) in small.into_iter().zip(big) {
        line(&format!("{}, µs", small.0), [small.1, big.1]);
    }
    for ledger in [empty, large] {
        let counted = ledger.store.totals().await.unwrap().contributions;
        ledger.store.close().await;
        let size = std::fs::metadata(&ledger.path).unwrap().len();
        println!("{counted} contributions, {size} bytes: {} each", size / counted.max(1));
    }
}
