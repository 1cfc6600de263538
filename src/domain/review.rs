use std::collections::BTreeSet;
use std::fmt;

use super::{Contribution, ContributionId, ContributorId, HostName, Kind, Moment};

/// The piece of work that a contribution is part of: `{host}:{repository id}:pull_request:{number}`,
/// `{host}:{repository id}:issue:{number}`; for everything else the contribution's own id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(String);

impl WorkId {
    /// The work of a contribution. Of a host's pull request there is one part for each login, which is what
    /// comes after the last `:`. `by_host` is false for what a client posted, whose ids may have any form.
    #[must_use]
    pub fn of(id: &ContributionId, kind: &Kind, by_host: bool) -> Self {
        let parted = by_host && *kind == Kind::PULL_REQUEST;
        let work = parted.then(|| id.as_str().rsplit_once(':')).flatten();
        Self(work.map_or(id.as_str(), |(work, _)| work).to_owned())
    }

    /// An id as a store kept it.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pull request or issue `number` of a repository.
    #[must_use]
    pub fn on_host(host: &HostName, repository: impl fmt::Display, kind: &Kind, number: u64) -> Self {
        Self(format!("{host}:{repository}:{}:{number}", kind.as_str()))
    }

    /// A contribution as a work of its own: what concerns it concerns no other.
    #[must_use]
    pub fn alone(id: &ContributionId) -> Self {
        Self(id.as_str().to_owned())
    }

    /// Whether this is the whole of `id`.
    #[must_use]
    pub fn is(&self, id: &ContributionId) -> bool {
        self.0 == id.as_str()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of a pull request or issue at one time. Of two, the greater one is the newer; at equal times,
/// the one that rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// The payload's own time (`updated_at`): the newest labels decide, whatever the order of arrival.
    pub at: Moment,
    /// Whether one of them is in `PLAUDIT_REJECT_LABELS`.
    pub rejected: bool,
}

/// A delivery or request that takes contributions back, lets them count or makes them private, whether or not
/// they are recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    pub work: WorkId,
    /// The one contribution to the work that the payload names: that of its author.
    pub part: Option<ContributionId>,
    pub ruling: Ruling,
    /// Whether it makes the work's contributions private: a confidential issue. They stay so.
    pub private: bool,
}

/// Whether a work's contributions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Taken back for good: the issue was deleted, or a client took the contribution back.
    Deleted,
    /// Taken back while a label rejects it; a part that landed after that label counts all the same.
    Labels(Labels),
}

impl Ruling {
    /// Whether this takes contributions back.
    #[must_use]
    pub fn takes_back(self) -> bool {
        match self {
            Self::Deleted => true,
            Self::Labels(labels) => labels.rejected,
        }
    }
}

/// What the ledger knows of a work that decides which of its parts count.
///
/// A part counts if neither it nor its work is deleted, and the newest labels do not reject it or it landed
/// after them. Every part of this state is a maximum over all recordings and reviews, so that their order and
/// repetition do not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub deleted: bool,
    /// Whether a review made its parts private.
    pub private: bool,
    /// The newest labels of all reviews and recordings, as far as a store keeps them apart from the parts.
    pub labels: Option<Labels>,
    pub parts: Vec<Part>,
}

/// One contribution to a work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub id: ContributionId,
    /// `None` while it is not recorded: a review came first.
    pub contributor: Option<ContributorId>,
    pub deleted: bool,
    /// Whether it was recorded as private, or made so since.
    pub private: bool,
    /// The newest labels that it was recorded with.
    pub labels: Option<Labels>,
    /// The last time at which it landed.
    pub landed_at: Option<Moment>,
    /// Whether it is in the contributor's tally now.
    pub counted: bool,
}

impl Part {
    /// A part without a recording or review.
    #[must_use]
    pub fn unknown(id: ContributionId) -> Self {
        Self {
            id,
            contributor: None,
            deleted: false,
            private: false,
            labels: None,
            landed_at: None,
            counted: false,
        }
    }
}

impl Work {
    #[must_use]
    pub fn part(&self, id: &ContributionId) -> Option<&Part> {
        self.parts.iter().find(|part| part.id == *id)
    }

    fn part_mut(&mut self, id: &ContributionId) -> &mut Part {
        let place = self.parts.iter().position(|part| part.id == *id).unwrap_or_else(|| {
            self.parts.push(Part::unknown(id.clone()));
            self.parts.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.parts[place]
    }

    /// Takes a recording, new or repeated. A repeat changes neither the contributor nor whether it is private.
    pub fn record(&mut self, contribution: &Contribution) {
        let part = self.part_mut(&contribution.id);
        if part.contributor.is_none() {
            part.contributor = Some(contribution.contributor.clone());
            part.private |= contribution.private;
        }
        part.labels = part.labels.max(contribution.labels);
        part.landed_at = part.landed_at.max(contribution.landed_at);
    }

    /// Notes that one part is deleted, recorded or not.
    pub fn delete_part(&mut self, id: &ContributionId) {
        self.part_mut(id).deleted = true;
    }

    /// Takes a review of this work, or of one part alone.
    pub fn review(&mut self, review: &Review) {
        if let Some(part) = &review.part {
            self.part_mut(part);
        }
        self.private |= review.private;
        match review.ruling {
            Ruling::Labels(labels) => self.labels = self.labels.max(Some(labels)),
            Ruling::Deleted => match self.parts.iter_mut().find(|part| review.work.is(&part.id)) {
                Some(part) => part.deleted = true,
                None => self.deleted = true,
            },
        }
    }

    /// Whether the part is taken back for good, alone or with its work.
    #[must_use]
    pub fn is_deleted(&self, id: &ContributionId) -> bool {
        self.deleted || self.part(id).is_some_and(|part| part.deleted)
    }

    /// The newest labels of all that the work and its parts came with.
    #[must_use]
    pub fn newest_labels(&self) -> Option<Labels> {
        self.parts.iter().map(|part| part.labels).chain([self.labels]).max().flatten()
    }

    /// Whether nothing takes `part` back.
    #[must_use]
    pub fn accepts(&self, part: &Part) -> bool {
        let rejects = |labels: Labels| labels.rejected && part.landed_at.is_none_or(|at| at <= labels.at);
        !self.deleted && !part.deleted && !self.newest_labels().is_some_and(rejects)
    }

    /// Brings `counted`, `deleted` and `private` of every part up to date. Of several parts of one contributor, who
    /// had another login in between, one counts: that which does already, else the first by its id.
    pub fn judge(&mut self) {
        let mut accepted: Vec<bool> = self.parts.iter().map(|part| self.accepts(part)).collect();
        let mut places: Vec<_> = (0..self.parts.len()).collect();
        places.sort_by_key(|place| self.parts.get(*place).map(|part| (!part.counted, part.id.clone())));
        let mut counted = BTreeSet::new();
        for place in places {
            let (Some(part), Some(accepted)) = (self.parts.get(place), accepted.get_mut(place)) else {
                continue;
            };
            *accepted = *accepted && part.contributor.as_ref().is_some_and(|who| counted.insert(who.clone()));
        }
        for (part, accepted) in self.parts.iter_mut().zip(accepted) {
            part.deleted |= self.deleted;
            part.private |= self.private;
            part.counted = accepted;
        }
    }

    /// Whether a part is accepted and does not count, because another one of its contributor does.
    #[must_use]
    pub fn is_repeat(&self, id: &ContributionId) -> bool {
        self.part(id).is_some_and(|part| !part.counted && part.contributor.is_some() && self.accepts(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Moment {
        Moment::from_timestamp(second, 0).unwrap()
    }

    fn part(login: char) -> Contribution {
        let contributor = ContributorId::parse(&format!("github:{login}")).unwrap();
        Contribution {
            id: ContributionId::from_text(format!("github:1:pull_request:7:{login}")),
            contributor,
            kind: Kind::PULL_REQUEST,
            occurred_at: at(0),
            title: None,
            url: None,
            repository: None,
            private: false,
            user_id: None,
            account_url: None,
            labels: None,
            landed_at: None,
            content: None,
        }
    }

    #[derive(Clone, Debug)]
    enum Fact {
        Recorded(Contribution),
        Reviewed(Review),
    }

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let labels =
            || (0_i64..6, any::<bool>()).prop_map(|(second, rejected)| Labels { at: at(second), rejected });
        let login = || prop::sample::select(vec!['a', 'b', 'c']);
        let recorded = (login(), prop::option::of(labels()), prop::option::of(0_i64..6)).prop_map(
            |(login, labels, landed)| {
                Fact::Recorded(Contribution { labels, landed_at: landed.map(at), ..part(login) })
            },
        );
        let labelled = (labels(), any::<bool>()).prop_map(|(labels, private)| {
            let (work, part) = (part('a').work(), Some(part('a').id));
            Fact::Reviewed(Review { work, part, ruling: Ruling::Labels(labels), private })
        });
        let deleted = login().prop_map(|login| {
            let id = part(login).id;
            let work = WorkId::alone(&id);
            Fact::Reviewed(Review { work, part: Some(id), ruling: Ruling::Deleted, private: false })
        });
        prop::collection::vec(prop_oneof![4 => recorded, 3 => labelled, 1 => deleted], 0..12)
    }

    /// The parts that are recorded, in the order of their ids, whether they count, and whether they are private.
    fn ledger(facts: &[Fact]) -> Vec<(String, bool, bool)> {
        let mut work = Work::default();
        for fact in facts {
            match fact {
                Fact::Recorded(one) => work.record(one),
                Fact::Reviewed(review) => work.review(review),
            }
            work.judge();
        }
        let recorded = work.parts.iter().filter(|part| part.contributor.is_some());
        let mut ledger: Vec<_> =
            recorded.map(|part| (part.id.to_string(), part.counted, part.private)).collect();
        ledger.sort();
        ledger
    }

    proptest! {
        #[test]
        fn any_order_and_any_repetition_of_the_same_facts_gives_the_same_ledger(
            (facts, again) in facts().prop_flat_map(|facts| {
                let repeated: Vec<_> = facts.iter().chain(facts.iter().step_by(2)).cloned().collect();
                (Just(facts), Just(repeated).prop_shuffle())
            })
        ) {
            prop_assert_eq!(ledger(&facts), ledger(&again));
        }
    }

    #[test]
    fn the_newest_labels_decide_and_of_two_at_one_time_those_that_reject() {
        let labels = |second, rejected| Labels { at: at(second), rejected };
        assert!(labels(2, false) > labels(1, true));
        assert!(labels(1, true) > labels(1, false));
        let accepts = |labels: Labels, landed: Option<i64>| {
            let mut work = Work::default();
            work.record(&Contribution { labels: Some(labels), landed_at: landed.map(at), ..part('a') });
            work.accepts(&work.parts[0])
        };
        assert!(accepts(labels(3, false), None));
        assert!(!accepts(labels(3, true), None));
        assert!(!accepts(labels(3, true), Some(3)), "it landed before the label, or with it");
        assert!(accepts(labels(3, true), Some(4)), "it landed in spite of the label");
    }

    #[test]
    fn only_a_hosts_pull_request_has_parts() {
        let id = |text| ContributionId::from_text(text);
        let work = |text, kind: &str, by_host| {
            WorkId::of(&id(text), &Kind::parse(kind).unwrap(), by_host).to_string()
        };
        assert_eq!(work("github:1:pull_request:7:mona", "pull_request", true), "github:1:pull_request:7");
        assert_eq!(work("api:api:7:mona", "pull_request", false), "api:api:7:mona");
        assert_eq!(work("github:1:push:0f:mona", "push", true), "github:1:push:0f:mona");
    }
}
