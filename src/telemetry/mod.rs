//! What an operator sees.

mod line;
pub mod logs;
mod metrics;
mod output;

pub use logs::{FATAL, LogFormat, Logging, flush, install, report_error, report_panics};
pub use metrics::Metrics;
