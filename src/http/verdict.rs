//! What became of a request that brings contributions.

use crate::domain::Review;
use crate::record::{Outcome, ReviewOutcome};
use crate::store::{Novelty, Reviewed};

/// What became of a request that brings contributions, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one contribution was counted.
    Recorded,
    /// All were counted before.
    Duplicate,
    /// It brings nothing that counts; a reason says why.
    Ignored,
    /// It takes contributions back.
    Retracted,
    /// It was answered with a problem.
    Rejected,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 5] =
        [Self::Recorded, Self::Duplicate, Self::Ignored, Self::Retracted, Self::Rejected];

    /// The code in answers, logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Retracted => "retracted",
            Self::Rejected => "rejected",
        }
    }

    /// What it means, as the documents say it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Recorded => "at least one contribution was counted now",
            Self::Duplicate => "everything in it was counted before",
            Self::Ignored => "nothing in it counts; `reason` says why",
            Self::Retracted => "it takes contributions back",
            Self::Rejected => "it was answered with a problem, whose code is the reason",
        }
    }

    /// The verdict on a request with these outcomes.
    pub(super) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut verdict = Self::Duplicate;
        for outcome in outcomes {
            match outcome.novelty {
                Novelty::New => return Self::Recorded,
                Novelty::Retracted => verdict = Self::Retracted,
                Novelty::Same | Novelty::Different | Novelty::Forgotten => {}
            }
        }
        verdict
    }

    /// The verdict on a review; `retracted` for one that takes back, even if nothing was counted before.
    pub(super) fn of_review(review: &Review, outcome: &ReviewOutcome) -> Self {
        if review.ruling.takes_back() {
            Self::Retracted
        } else if outcome.reviewed.iter().any(Reviewed::counts_again) {
            Self::Recorded
        } else {
            Self::Ignored
        }
    }
}
