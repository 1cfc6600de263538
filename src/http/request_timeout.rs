//! After how long a platform or a proxy in front of plaudit cuts a request, whatever is still being answered.

use std::time::Duration;

use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[REQUEST_TIMEOUT];

const REQUEST_TIMEOUT: Setting = Setting {
    variable: "PLAUDIT_REQUEST_TIMEOUT",
    flag: "request-timeout",
    value: "SECONDS",
    example: "300",
    help: "After how many seconds the platform or proxy in front cuts a request: event streams end 10 seconds earlier, and clients resume them [default: none; on Cloud Run 300]",
};

/// Cloud Run's own default: <https://cloud.google.com/run/docs/configuring/request-timeout>.
const CLOUD_RUN: Duration = Duration::from_mins(5);
/// How long before it is cut an answer without an end of its own ends.
const EARLIER: Duration = Duration::from_secs(10);
/// A day: no platform lets a request last longer.
const LONGEST: u64 = 24 * 60 * 60;

/// The time after which a request is cut; none where nothing cuts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTimeout(Option<Duration>);

impl RequestTimeout {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let default = settings.foreign("K_SERVICE").map(|_| CLOUD_RUN);
        Self(settings.value(&REQUEST_TIMEOUT, default, Self::parse))
    }

    fn parse(text: &str) -> Result<Option<Duration>, String> {
        let wrong = || format!("not a number of seconds from {} to {LONGEST}", EARLIER.as_secs() + 1);
        let seconds = text.parse().ok().filter(|seconds| (EARLIER.as_secs() + 1..=LONGEST).contains(seconds));
        seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(wrong)
    }

    /// How long an answer may take that would like to take `wished`.
    pub(super) fn at_most(self, wished: Duration) -> Duration {
        // The last request to a host may begin just before the end.
        self.0.map_or(wished, |cut| wished.min(cut.saturating_sub(EARLIER * 3)))
    }

    /// Resolves when an answer that begins now should end by itself.
    pub(super) async fn soon(self) {
        match self.0 {
            Some(cut) => tokio::time::sleep(cut.saturating_sub(EARLIER)).await,
            None => std::future::pending().await,
        }
    }
}
