//! Items that this version cannot read.
//!
//! A newer version may have written them, or another program. Where many items are read, such a one is skipped, so
//! that it stops no list, no drain and no event stream; asked for by its id, it is an error.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Mutex;

/// How many ids are remembered. What is found beyond them is skipped without a line in the log.
const REMEMBERED: usize = 1_000;

/// The ids that were logged since the start.
static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Logs an item that is skipped, once since the start.
pub(super) fn skip(id: &str, why: &dyn Display) {
    if is_news(id) {
        tracing::error!(id, %why, "{id} cannot be read, and is left out of lists, drains and event streams");
    }
}

fn is_news(id: &str) -> bool {
    LOGGED.lock().is_ok_and(|mut logged| logged.len() < REMEMBERED && logged.insert(id.to_owned()))
}
