//! One integration binary: what plaudit promises, held from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests own their tasks, and read what was set for them"
)]
#![allow(missing_docs, reason = "tests are sentences")]

mod emulators;
mod firestore;
mod h2proxy;
mod indexes;
mod store;
