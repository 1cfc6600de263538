//! Contributions, contributors, milestones and recognitions: no await, no clock, no vendor's types.

mod account;
mod contribution;
mod contributor;
mod give_up;
mod host;
mod milestones;
mod recognition;
mod repository;
mod review;

pub use account::{Identity, Naming, Numbered};
pub use contribution::{
    Contribution, ContributionId, Draft, Fingerprint, InvalidDraft, Kind, Source, parse_moment,
};
pub use contributor::{ContributorId, InvalidContributor, account_url, fold_case};
pub use give_up::GiveUp;
pub use host::{HostName, InvalidHost, Site};
pub use milestones::{InvalidMilestones, Milestones};
pub use recognition::{Destination, JustCounted, Recognition, RecognitionId, Standing, owed};
pub use repository::{RepositoryId, Visibility, VisibilitySaid};
pub use review::{Labels, Part, Review, Ruling, Work, WorkId};

/// A moment, in UTC, to the microsecond: what every store keeps without loss.
pub type Moment = chrono::DateTime<chrono::Utc>;

/// A moment as every store can keep it; `None` outside the years 1 to 9998. It is cut to microseconds by way of
/// the Unix time, which has no leap seconds.
#[must_use]
pub fn keepable(moment: Moment) -> Option<Moment> {
    let sane = (1..=9998).contains(&chrono::Datelike::year(&moment));
    sane.then(|| Moment::from_timestamp_micros(moment.timestamp_micros())).flatten()
}
