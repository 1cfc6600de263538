use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Contribution, ContributorId, Milestones, Moment};

/// `{contributor}:{milestone}`: the same on every try, on every instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RecognitionId(String);

impl RecognitionId {
    /// The recognition of `contributor` for `milestone`.
    #[must_use]
    pub fn of(contributor: &ContributorId, milestone: u64) -> Self {
        Self(format!("{contributor}:{milestone}"))
    }

    /// An id as a store kept it or a client asks for it.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecognitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The record that a contributor reached a milestone; made and published once.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// `{contributor}:{milestone}`.
    pub id: RecognitionId,
    /// Who is thanked.
    pub contributor: ContributorId,
    /// The tally that earned it.
    pub milestone: u64,
    /// The tally of the contribution that reached it; after a crash, the tally when it was found.
    pub tally: u64,
    /// When it was made.
    pub recognized_at: Moment,
    /// The contribution that reached the milestone, where it is known.
    pub contribution: Option<Contribution>,
    /// The contributor's page on a self-managed host, where a payload had it.
    pub account_url: Option<String>,
}

/// Where a recognition is to go. Each has its own place in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// This instance's log.
    Local,
    /// The Pub/Sub topic.
    Topic,
    /// A comment on the pull request or issue.
    Comment,
}

impl Destination {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Topic, Self::Comment];

    /// Those that are not among `on`.
    #[must_use]
    pub fn others(on: &[Self]) -> Vec<Self> {
        Self::ALL.into_iter().filter(|destination| !on.contains(destination)).collect()
    }

    /// The code in stores, logs, metrics and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Topic => "topic",
            Self::Comment => "comment",
        }
    }

    /// The destination that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|destination| destination.as_str() == word)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A contributor's tally, and the highest milestone already recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub contributor: ContributorId,
    /// How many contributions are counted.
    pub tally: u64,
    /// The highest milestone recognised; 0 before the first.
    pub recognized: u64,
}

/// A contribution that was counted just now, and the tally to which it brought its contributor.
#[derive(Clone, Debug)]
pub struct JustCounted {
    pub contribution: Contribution,
    pub tally: u64,
}

/// What is owed to a contributor: every configured milestone in (recognized, tally], ascending. A milestone that none
/// of `just_counted` reached was reached by another one.
#[must_use]
pub fn owed(
    standing: &Standing,
    just_counted: &[JustCounted],
    milestones: &Milestones,
    now: Moment,
) -> Vec<Recognition> {
    let reached_by = |milestone: u64| {
        just_counted.iter().find(|one| one.tally == milestone).map(|one| one.contribution.clone())
    };
    let account_url = just_counted.iter().rev().find_map(|one| one.contribution.account_url.clone());
    let recognise = |milestone| {
        let contribution = reached_by(milestone);
        Recognition {
            id: RecognitionId::of(&standing.contributor, milestone),
            contributor: standing.contributor.clone(),
            milestone,
            tally: if contribution.is_some() { milestone } else { standing.tally },
            recognized_at: now,
            account_url: account_url.clone(),
            contribution,
        }
    };
    milestones.between(standing.recognized, standing.tally).map(recognise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Draft, Kind};

    fn counted(tallies: std::ops::RangeInclusive<u64>) -> Vec<JustCounted> {
        tallies
            .map(|tally| {
                let draft = Draft {
                    contributor: "mona".into(),
                    kind: "talk".into(),
                    id: Some(tally.to_string()),
                    ..Draft::default()
                };
                let contribution = draft.check(Moment::UNIX_EPOCH, || unreachable!()).unwrap();
                JustCounted { contribution, tally }
            })
            .collect()
    }

    fn standing(recognized: u64, tally: u64) -> Standing {
        Standing { contributor: ContributorId::parse("mona").unwrap(), tally, recognized }
    }

    #[test]
    fn the_contribution_that_reached_the_milestone_is_named() {
        let four = counted(2..=5);
        let milestones = Milestones::parse("3,4").unwrap();
        let owed = owed(&standing(0, 5), &four, &milestones, Moment::UNIX_EPOCH);
        let made: Vec<_> = owed
            .iter()
            .map(|r| (r.id.as_str(), r.tally, r.contribution.as_ref().unwrap().id.as_str()))
            .collect();
        assert_eq!(made, [("mona:3", 3, "api:api:3"), ("mona:4", 4, "api:api:4")]);
        assert_eq!(owed[0].contribution.as_ref().unwrap().kind, Kind::parse("talk").unwrap());
    }

    #[test]
    fn what_a_crash_left_is_owed_without_its_contribution() {
        let owed = owed(&standing(0, 7), &counted(7..=7), &Milestones::default(), Moment::UNIX_EPOCH);
        assert_eq!(owed.len(), 1);
        assert_eq!((owed[0].tally, owed[0].contribution.is_none()), (7, true));
    }

    #[test]
    fn nothing_is_owed_at_or_below_what_is_recognized() {
        let milestones = Milestones::parse("3,10").unwrap();
        assert_eq!(owed(&standing(3, 9), &[], &milestones, Moment::UNIX_EPOCH), []);
        assert_eq!(owed(&standing(10, 12), &[], &milestones, Moment::UNIX_EPOCH), []);
    }
}
