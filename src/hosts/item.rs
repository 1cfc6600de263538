//! Pull requests and issues: what counts, and what takes it back.

use super::origin::{Origin, Who, moment, title};
use super::{PullRequests, Reading};
use crate::domain::{Contribution, ContributionId, Kind, Labels, Moment, Review, Ruling, WorkId};

/// A pull request or an issue, as it was when the payload was made.
pub(super) struct Item<'a> {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) title: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    pub(super) created_at: Option<&'a str>,
    pub(super) updated_at: Option<&'a str>,
    pub(super) author: Who,
    /// Whether a label of `PLAUDIT_REJECT_LABELS` is on it.
    pub(super) rejected: bool,
    /// Whether it is confidential by itself, in a repository that may be public.
    pub(super) confidential: bool,
}

impl Item<'_> {
    /// It counts for its author. `landed_at` is when it was merged, where it was.
    pub(super) fn count(self, origin: &Origin<'_>, landed_at: Option<Moment>, now: Moment) -> Reading {
        let author = match self.author.credited(origin.rules) {
            Ok(author) => author,
            Err(reason) => return Reading::Ignored(reason),
        };
        let rest = if self.kind == Kind::PULL_REQUEST {
            Origin::part_of_pull_request(self.number, &author.id)
        } else {
            format!("{}:{}", self.kind.as_str(), self.number)
        };
        let created_at = self.created_at.and_then(moment);
        let labels = self.updated_at.and_then(moment).map(|at| Labels { rejected: self.rejected, at });
        // What is merged with a rejecting label on it is accepted: the label was set before, and `updated_at`
        // says when it was merged.
        let labels = labels.filter(|labels| landed_at.is_none() || !labels.rejected);
        let of_merge = landed_at.filter(|_| origin.rules.pull_requests == PullRequests::Merged);
        let contribution = Contribution {
            title: self.title.and_then(title),
            url: self.url.and_then(Contribution::keep_url),
            labels,
            landed_at,
            ..origin.contribution(self.kind, rest, author, of_merge.or(created_at).unwrap_or(now))
        };
        Reading::Counts(vec![contribution])
    }

    /// A label that rejects it was set or removed, or it is confidential: its present state decides.
    pub(super) fn relabel(self, origin: &Origin<'_>, now: Moment) -> Reading {
        let at = self.updated_at.and_then(moment).unwrap_or(now);
        let rejected = self.rejected;
        self.review(origin, Ruling::Labels(Labels { at, rejected }))
    }

    /// Its contributions are taken back, count again or become private, whether or not they are recorded yet.
    pub(super) fn review(self, origin: &Origin<'_>, ruling: Ruling) -> Reading {
        let host = &origin.site.host;
        let part = if self.kind == Kind::PULL_REQUEST {
            match &self.author {
                Who::Person(author) => Some(Origin::part_of_pull_request(self.number, &author.id)),
                Who::Machine | Who::Ghost | Who::Unknown => None,
            }
        } else {
            Some(format!("{}:{}", self.kind.as_str(), self.number))
        };
        Reading::Reviews(Review {
            work: WorkId::on_host(host, origin.id, &self.kind, self.number),
            part: part.map(|rest| ContributionId::on_host(host, origin.id, rest)),
            ruling,
            private: self.confidential,
        })
    }
}
