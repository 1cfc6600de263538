//! plaudit: one honest ledger of who contributed, and a thank-you at the right moment.
//!
//! The modules stand in the order in which a delivery flows through them:
//!
//! ```text
//! request ─ http ─▶ hosts: verify, read ─▶ domain: contributions ─▶ record ─▶ store (durable) ─▶ answer
//!                                                                   └▶ owed recognitions ─▶ outbox ─▶ publish
//! ```

/// What is configured: every knob, read once, all complaints at once.
pub mod config;
/// What a client sees: routes, limits, problems.
pub mod http;
/// What a host sends: is it genuine, and what does it say? One file per host.
pub mod hosts;
/// What it means: contributors, contributions, milestones, recognitions. Pure.
pub mod domain;
/// Recognitions as they happen, as a stream for each listener.
pub mod feed;
/// The one use case: record contributions, together where they arrive together.
pub mod record;
/// Where it is durable: one file per store.
pub mod store;
/// What is owed, until every destination has taken it.
pub mod outbox;
/// Where recognitions go: one file per destination.
pub mod publish;
/// What an operator sees: structured logs and metrics.
pub mod telemetry;
/// Time, tasks and connections, each with an owner, so that tests can hold them.
pub mod runtime;
/// The commands beside `serve`: demo, send, watch, check.
pub mod cli;
