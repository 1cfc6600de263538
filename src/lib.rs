//! plaudit: one honest ledger of who contributed, and a thank-you at the right moment.
//!
//! The modules are in the order in which a delivery flows through them:
//!
//! ```text
//! request ─ http ─▶ hosts: verify, read ─▶ domain: contributions ─▶ record ─▶ store (durable) ─▶ answer
//!                                                                   └▶ owed recognitions ─▶ outbox ─▶ publish
//! ```

/// The commands, one file each.
pub mod cli;
/// Reads the whole configuration and reports all faults at once.
pub mod config;
/// The HTTP interface: routes, access, limits, problems.
pub mod http;
/// Reads history from the hosts, and records it.
pub mod backfill;
/// Recognitions as they happen, as a stream for each listener.
pub mod feed;
/// Whose addresses are that no host knows.
pub mod mailmap;
/// The one use case: record contributions, together where they arrive together.
pub mod record;
/// What is owed and due, until every destination has taken it.
pub mod outbox;
/// Asks hosts for the deliveries that failed.
pub mod reconcile;
/// Where recognitions go: one file per destination.
pub mod publish;
/// Where the ledger is kept: one folder per store.
pub mod store;
/// The hosts: verifies deliveries and reads them, and sets up webhooks. One file and one folder per host.
pub mod hosts;
/// Structured logs and metrics.
pub mod telemetry;
/// How one setting is read: flag, environment, file. Knows no setting's meaning.
pub mod settings;
/// Contributors, contributions, milestones, recognitions: pure types and rules.
pub mod domain;
/// Time, background tasks and HTTP clients; tests can control them.
pub mod runtime;
