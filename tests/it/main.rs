//! One integration binary: everything is tried through the library's public face or the program's front door.
//!
//! A test starts a [`harness::Plaudit`], speaks to it as a host or a client would, and ends with its
//! `stop`, which fails if anything is left in the outbox or the log holds what no log should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests own their tasks, and read what was set for them")]

mod emulators;
mod fake_github;
mod h2proxy;
mod harness;
mod processes;
mod pubsub_emulator;
mod served;
mod strange;

mod api;
mod architecture;
mod bots;
mod clients;
mod cluster;
mod cluster_comments;
mod comment;
mod config;
mod crash;
mod demo;
mod docs_page;
mod faults;
mod firestore;
mod indexes;
mod judgement;
mod limits;
mod oidc;
mod openapi;
mod operations;
mod outbox;
mod private;
mod pubsub;
mod reading_api;
mod readings;
mod readme;
mod signals;
mod signatures;
mod store;
mod stream;
mod sync;
mod tools;
mod watch;
mod webhooks;
