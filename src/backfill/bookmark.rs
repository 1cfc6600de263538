//! The text of a bookmark: how far a part of a repository was read.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::domain::Moment;
use crate::hosts;

/// How much earlier than the last run began the next one reads on: clocks differ, and a host's lists can be late.
const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// How far a part was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookmark {
    /// When the run that it belongs to began.
    begun: Moment,
    /// Only what changed then or later is read; else all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Moment>,
    /// Where it goes on; at the beginning if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    /// Whether it came to its end.
    #[serde(default)]
    finished: bool,
}

/// How a run begins.
pub(super) struct Start {
    pub(super) bookmark: Bookmark,
    pub(super) from: hosts::From,
    /// What a person should know of it.
    pub(super) says: Option<String>,
}

impl Bookmark {
    /// Where a run begins whose last one left `text`.
    pub(super) fn start(text: Option<&str>, plan: &Plan, now: Moment) -> Start {
        // One that this version cannot read is as if there were none: everything counts once.
        let last: Option<Self> = text.and_then(|text| serde_json::from_str(text).ok());
        let day = |at: Moment| at.format("%Y-%m-%d %H:%M UTC");
        let anew = |since| Self { begun: now, since, place: None, finished: false };
        let (bookmark, says) = match last.filter(|_| !plan.again) {
            Some(last) if !last.finished && (plan.since.is_none() || plan.since == last.since) => {
                let says = last
                    .place
                    .is_some()
                    .then(|| format!("goes on with what was begun at {}", day(last.begun)));
                (last, says)
            }
            Some(last) if last.finished && plan.since.is_none() => {
                let says = format!("read before, at {}; reads what is new since then", day(last.begun));
                (anew(Some(last.begun - OVERLAP)), Some(says))
            }
            _ => (anew(plan.since), None),
        };
        let from = hosts::From { since: bookmark.since, place: bookmark.place.clone() };
        Start { bookmark, from, says }
    }

    pub(super) fn finished(self) -> Self {
        Self { place: None, finished: true, ..self }
    }

    pub(super) fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }
}
