//! Everything that can be seen from outside a module, over real HTTP and real stores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod comment;
mod fake_github;
