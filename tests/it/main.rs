//! One integration binary: everything is tried through the library's public face or the program's front door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests own their tasks, and read what was set for them")]

mod bots;
mod clients;
mod cluster;
mod cluster_comments;
mod comment;
mod docs_page;
mod emulators;
mod fake_github;
mod firestore;
mod h2proxy;
mod indexes;
mod openapi;
mod processes;
mod pubsub;
mod pubsub_emulator;
mod readings;
mod served;
mod signatures;
mod store;
mod watch;
