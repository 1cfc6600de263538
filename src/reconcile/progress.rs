//! How far the deliveries of one webhook are handled: what is stored of it, and how a page of the host's list changes it.
//!
//! The host lists deliveries newest first, so a list is read to its end before anything older than it is known. What
//! has failed is kept meanwhile, and nothing else. `through` moves only once everything up to it is either delivered or
//! in `open`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::domain::Moment;
use crate::hosts::deliveries::{DeliveryPage, Listed};
use crate::runtime::Backoff;

/// How long after a delivery was made the host may list it only after newer ones: while it waits for an answer.
const SETTLING: TimeDelta = TimeDelta::minutes(2);
/// How many deliveries are kept open, the oldest first. The rest stays behind `through`, and is listed again later.
const ROOM: usize = 1_000;
/// How many redeliveries that succeeded are remembered within one list. Beyond that, one may be asked for once more.
const SUCCEEDED: usize = 10_000;
/// How long after a delivery was asked for it is asked for again, where no success of it is listed.
pub(super) const AGAIN: Backoff = Backoff::new(Duration::from_mins(10), Duration::from_hours(6));
/// For how long a list that an earlier run began is continued.
const CONTINUED: TimeDelta = TimeDelta::hours(6);
/// How long after a list began the rest of what it found is asked for without another list.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// What is stored of one webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Differs each time it is stored.
    pub(super) nonce: String,
    /// Every delivery up to this one was listed.
    pub(super) through: u64,
    /// When the list was begun that was last read to its end.
    pub(super) listed_at: Option<Moment>,
    /// The outcome of the newest delivery of the newest list, where that is a failure.
    #[serde(default)]
    pub(super) failing: Option<String>,
    /// The deliveries that failed and of which no success was listed, oldest first.
    pub(super) open: Vec<Open>,
    /// The list that is being read.
    pub(super) list: Option<List>,
}

/// A delivery that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) guid: String,
    pub(super) id: u64,
    pub(super) at: Option<Moment>,
    /// When it was first and last asked for, and how often. Noted before the host is asked.
    pub(super) first: Option<Moment>,
    pub(super) last: Option<Moment>,
    pub(super) tries: u32,
}

/// A list that is read from its newest delivery to its oldest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) began: Moment,
    /// What asks for its next page; `None` before the first.
    pub(super) next: Option<String>,
    /// Up to where everything is handled once this list is read to its end.
    head: Option<u64>,
    /// The oldest delivery so far.
    oldest: Option<Moment>,
    /// What failed, by its GUID.
    failed: BTreeMap<String, Failed>,
    /// The GUIDs of redeliveries that succeeded, whose first delivery is not listed yet.
    succeeded: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failed {
    id: u64,
    at: Option<Moment>,
}

/// Deliveries that the host no longer lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Moment,
    pub until: Moment,
}

/// What a page brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turned {
    /// Whether the list is read to its end.
    pub(super) whole: bool,
    pub(super) gap: Option<Gap>,
}

impl Progress {
    /// Begins a list, or goes on with one that an earlier run began. Whether it goes on.
    pub(super) fn begin(&mut self, now: Moment) -> bool {
        if self.list.as_ref().is_some_and(|list| (now - list.began).abs() < CONTINUED) {
            return true;
        }
        self.list = Some(List {
            began: now,
            next: None,
            head: None,
            oldest: None,
            failed: BTreeMap::new(),
            succeeded: BTreeSet::new(),
        });
        false
    }

    /// Whether the list that was last read to its end is so new that another one is left to the next round.
    pub(super) fn is_fresh(&self, now: Moment) -> bool {
        self.listed_at.is_some_and(|at| (now - at).abs() < FRESH)
    }

    /// Whether an earlier run ended while it asked for what such a list had found.
    pub(super) fn goes_on_asking(&self, now: Moment) -> bool {
        self.list.is_none() && self.is_fresh(now) && self.open.iter().any(|open| open.last.is_none())
    }

    /// Takes a page of the list.
    pub(super) fn take(&mut self, page: DeliveryPage, kept: Duration) -> Turned {
        let Some(mut list) = self.list.take() else { return Turned::default() };
        let mut reached = false;
        for listed in page.deliveries {
            if listed.id <= self.through {
                reached = true;
                break;
            }
            list.see(&listed, &mut self.open);
        }
        list.keep_oldest();
        if !reached && page.next.is_some() {
            list.next = page.next;
            self.list = Some(list);
            return Turned::default();
        }
        let gap = self.gap(&list, reached, kept);
        self.end(list);
        Turned { whole: true, gap }
    }

    /// What happened since the last list was read, and is no longer listed.
    fn gap(&self, list: &List, reached: bool, kept: Duration) -> Option<Gap> {
        let from = self.listed_at.filter(|_| !reached && self.through > 0)?;
        let until = list.began - TimeDelta::from_std(kept).ok()?;
        let until = list.oldest.map_or(until, |oldest| oldest.min(list.began)).max(until);
        (from + SETTLING < until && list.began - from > TimeDelta::from_std(kept).ok()?)
            .then_some(Gap { from, until })
    }

    /// Everything up to the list's head is handled from now on: delivered, or open.
    fn end(&mut self, list: List) {
        let mut head = list.head;
        for (guid, Failed { id, at }) in list.failed {
            if !self.open.iter().any(|open| open.guid == guid) {
                self.open.push(Open { guid, id, at, first: None, last: None, tries: 0 });
            }
        }
        self.open.sort_by_key(|open| open.id);
        while self.open.len() > ROOM
            && let Some(at) = self.open.iter().rposition(|open| open.last.is_none())
        {
            let left = self.open.remove(at);
            head = head.map(|head| head.min(left.id.saturating_sub(1)));
        }
        self.through = head.map_or(self.through, |head| head.max(self.through));
        self.listed_at = Some(list.began);
    }

    /// The next delivery to ask for, and where it is.
    pub(super) fn due(&self, now: Moment) -> Option<usize> {
        self.open.iter().position(|open| open.is_due(now))
    }

    /// How many are to be asked for now.
    pub(super) fn all_due(&self, now: Moment) -> u64 {
        self.open.iter().filter(|open| open.is_due(now)).count() as u64
    }

    /// Removes what was asked for over so long a time that it will never succeed.
    pub(super) fn give_up(&mut self, now: Moment, kept: Duration) -> Vec<Open> {
        let (given_up, open) = std::mem::take(&mut self.open).into_iter().partition(|open| {
            let asked_for = open.first.and_then(|first| (now - first).to_std().ok());
            open.is_due(now) && asked_for.is_some_and(|time| time >= kept)
        });
        self.open = open;
        given_up
    }
}

impl Open {
    fn is_due(&self, now: Moment) -> bool {
        let since = self.last.map(|last| (now - last).to_std().unwrap_or_default());
        since.is_none_or(|since| since >= AGAIN.after(self.tries.saturating_sub(1)))
    }
}

impl List {
    fn see(&mut self, listed: &Listed, open: &mut Vec<Open>) {
        let settled = listed.at.is_none_or(|at| at <= self.began - SETTLING);
        if settled && self.head.is_none() {
            self.head = Some(listed.id);
        }
        self.oldest = listed.at.or(self.oldest);
        let guid = &listed.guid;
        if listed.succeeded {
            self.failed.remove(guid);
            open.retain(|open| open.guid != *guid);
            if listed.redelivery && self.succeeded.len() < SUCCEEDED {
                self.succeeded.insert(guid.clone());
            }
        } else if self.succeeded.contains(guid) {
            if !listed.redelivery {
                self.succeeded.remove(guid);
            }
        } else if let Some(known) = open.iter_mut().find(|open| open.guid == *guid) {
            // The newest of an event is the one that GitHub keeps longest.
            if listed.id > known.id {
                (known.id, known.at) = (listed.id, listed.at);
            }
        } else if listed.counts && !self.failed.contains_key(guid) {
            self.failed.insert(guid.clone(), Failed { id: listed.id, at: listed.at });
        }
    }

    /// Forgets the newest failures where there are too many. They are above the head then, and listed again later.
    fn keep_oldest(&mut self) {
        if self.failed.len() <= 2 * ROOM {
            return;
        }
        let mut ids: Vec<u64> = self.failed.values().map(|failed| failed.id).collect();
        ids.sort_unstable();
        let Some(first_left) = ids.get(ROOM).copied() else { return };
        self.failed.retain(|_, failed| failed.id < first_left);
        self.head = self.head.map(|head| head.min(first_left.saturating_sub(1)));
    }
}
