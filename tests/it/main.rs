//! One integration binary: everything is tried through the library's public face or the program's front door.
//!
//! A test starts a [`harness::Plaudit`], speaks to it as a host or a client would, and ends with its
//! `stop`, which fails if anything is left in the outbox or the log holds what no log should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, and owns its time, its environment and its tasks"
)]

mod fake_github;
mod harness;
mod strange;

mod api;
mod architecture;
mod comment;
mod config;
mod crash;
mod demo;
mod faults;
mod limits;
mod oidc;
mod operations;
mod outbox;
mod private;
mod reading_api;
mod readings;
mod signals;
mod signatures;
mod stream;
mod sync;
mod webhooks;
