//! What plaudit is about, in its own words: no await, no clock, no vendor.

mod contribution;
mod contributor;
mod give_up;
mod host;
mod milestones;
mod recognition;
mod review;

pub use contribution::{Contribution, ContributionId, Draft, Fingerprint, InvalidDraft, Kind, Source};
pub use contributor::{ContributorId, InvalidContributor, account_url, fold_case};
pub use give_up::GiveUp;
pub use host::{HostName, InvalidHost, Site};
pub use milestones::{InvalidMilestones, Milestones};
pub use recognition::{Destination, Recognition, RecognitionId, Standing, owed};
pub use review::{Labels, Part, Review, Ruling, Work, WorkId};

/// A moment, in UTC, to the microsecond: what every store keeps without loss.
pub type Moment = chrono::DateTime<chrono::Utc>;

/// A moment as every store can keep it, if any can: to the microsecond, and by way of the number, which
/// knows no leap second.
#[must_use]
pub fn keepable(moment: Moment) -> Option<Moment> {
    let sane = (1..=9998).contains(&chrono::Datelike::year(&moment));
    sane.then(|| Moment::from_timestamp_micros(moment.timestamp_micros())).flatten()
}
