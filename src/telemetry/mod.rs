//! What an operator sees.

mod logs;
mod metrics;

pub use logs::{FATAL, FATAL_TARGET, install, report_panics};
pub use metrics::Metrics;
