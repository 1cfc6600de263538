//! What is measured. `tests/it/readme.rs` holds docs/performance.md against it.

/// A receiver that takes the same deliveries as all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name for `--only`.
    pub key: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    pub at: At,
}

/// Where a receiver's program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In the benchmark's own program.
    Here,
    /// The program plaudit.
    Plaudit,
    /// In another language, installed by `benches/peers/install`.
    Peer,
}

pub const BARE: &str = "bare";
pub const FORGETS: &str = "forgets";
pub const DURABLE: &str = "durable";

pub const ROWS: [Row; 8] = [
    Row { key: BARE, title: "bare axum handler, reads the body", at: At::Here },
    Row { key: "read", title: "signature and typed parse only", at: At::Here },
    Row { key: "minimal", title: "minimal receiver, SQLite, group commit, durable", at: At::Here },
    Row { key: FORGETS, title: "plaudit, store that forgets", at: At::Here },
    Row { key: DURABLE, title: "plaudit, SQLite, durable", at: At::Plaudit },
    Row { key: "node", title: "Node, octokit, SQLite, durable", at: At::Peer },
    Row { key: "fastapi", title: "FastAPI, SQLite, durable", at: At::Peer },
    Row { key: "flask", title: "Flask, SQLite, durable", at: At::Peer },
];

/// What else is measured: the name for `--only`, and the title of its table.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub key: &'static str,
    pub title: &'static str,
}

pub const FLOOR: &str = "floor";
pub const LOADS: &str = "loads";
pub const REST: &str = "rest";
pub const CALLS: &str = "calls";
pub const LEDGER: &str = "ledger";

pub const SUBJECTS: [Subject; 5] = [
    Subject { key: FLOOR, title: "The floor" },
    Subject { key: LOADS, title: "Under other loads" },
    Subject { key: REST, title: "At rest" },
    Subject { key: CALLS, title: "System calls a delivery" },
    Subject { key: LEDGER, title: "On a ledger that is already large" },
];
