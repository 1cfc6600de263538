//! One integration binary: everything is tried through the library's public face or the program's front door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod readings;
mod signatures;
