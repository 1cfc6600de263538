//! plaudit: one honest ledger of who contributed, and a thank-you at the right moment.
//!
//! A delivery flows through them like this:
//!
//! ```text
//! request ─ http ─▶ hosts: verify, read ─▶ domain: contributions ─▶ record ─▶ store (durable) ─▶ answer
//!                                                                   └▶ owed recognitions ─▶ outbox ─▶ publish
//! ```

/// The commands: serve, demo, send, watch, check.
pub mod cli;
/// What is configured: every section, all faults at once.
pub mod config;
/// What a client sees: routes, limits, problems.
pub mod http;
/// Recognitions as they happen, as a stream for each listener.
pub mod feed;
/// The one use case: record contributions, together where they arrive together.
pub mod record;
/// What is owed, until every destination has taken it.
pub mod outbox;
/// Where recognitions go: one file per destination.
pub mod publish;
/// Where it is durable: one file per store.
pub mod store;
/// What a host sends: is it genuine, and what does it say? One file per host.
pub mod hosts;
/// What an operator sees: structured logs and metrics.
pub mod telemetry;
/// How one setting is read: flag, environment, file. Knows no setting's meaning.
pub mod settings;
/// What it means: contributors, contributions, milestones, recognitions. Pure.
pub mod domain;
/// Time, tasks and connections, each with an owner, so that tests can hold them.
pub mod runtime;
