//! What an operator sees.

pub mod logs;
mod metrics;

pub use logs::{FATAL, LogFormat, Logging, install, report_panics};
pub use metrics::Metrics;
