//! One integration binary: everything is tried through the library's public face or the program's front door.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod comment;
mod fake_github;
mod readings;
mod signatures;
mod clients;
mod docs_page;
mod openapi;
mod served;
