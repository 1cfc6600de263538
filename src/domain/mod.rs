//! What plaudit is about, in its own words: no await, no clock, no vendor.

mod contribution;
mod contributor;
mod milestones;
mod recognition;

pub use contribution::{Content, Contribution, ContributionId, Draft, InvalidDraft, Kind, Source};
pub use contributor::{ContributorId, HostName, InvalidContributor, InvalidHost, fold_case};
pub use milestones::{InvalidMilestones, Milestones};
pub use recognition::{Destination, Recognition, RecognitionId, Standing, owed};

/// A moment, in UTC, to the microsecond: what every store keeps without loss.
pub type Moment = chrono::DateTime<chrono::Utc>;
