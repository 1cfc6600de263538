//! What an operator sees.

mod logs;
mod metrics;

pub use logs::{FATAL, install, report_panics};
pub use metrics::Metrics;
