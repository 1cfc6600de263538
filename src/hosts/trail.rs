//! A walk over a branch's commits, page by page from the newest on, that can go on at a place.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::graph::{Frontier, Group, Known, Seen, Walk};
use super::history::{From, HistoryPage};
use crate::domain::Moment;

/// The longest text of a place, in bytes.
const LONGEST_PLACE: usize = 8 << 10;

/// Where a page begins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// The commit from which the walk began: what is pushed meanwhile does not move the pages.
    pub(super) head: Option<String>,
    /// The host's name of the page; empty for the first.
    pub(super) page: String,
    frontier: Frontier,
}

/// The commits of a branch.
pub(super) struct Trail {
    pub(super) since: Option<Moment>,
    /// Where the next page begins.
    pub(super) place: Place,
    walk: Option<Walk>,
    /// Where each page began of which something is not yet complete; the first has the number `first`.
    places: VecDeque<Place>,
    first: usize,
    pub(super) ended: bool,
}

/// What a page of commits brought.
pub(super) struct Taken {
    /// Without payloads.
    pub(super) page: HistoryPage,
    /// The pushes that are complete now.
    pub(super) complete: Vec<Group>,
}

impl Trail {
    pub(super) fn new(from: From) -> Self {
        // A place that cannot be read is as if there were none: everything counts once.
        let place = from.place.and_then(|place| serde_json::from_str(&place).ok()).unwrap_or_default();
        Self { since: from.since, place, walk: None, places: VecDeque::new(), first: 0, ended: false }
    }

    /// Whether the pushes are known.
    pub(super) fn is_begun(&self) -> bool {
        self.walk.is_some()
    }

    /// `total` is the number of commits, as far as the host says it.
    pub(super) fn begin(&mut self, head: Option<String>, known: Known, total: u64) {
        self.place.head = self.place.head.take().or(head);
        self.walk = Some(Walk::new(known, self.place.frontier.clone(), total));
        self.places.push_back(self.place.clone());
    }

    /// Takes a page of commits, and the name of the next page, if there is one.
    pub(super) fn take(&mut self, commits: impl Iterator<Item = Seen>, next: Option<String>) -> Taken {
        let (mut page, mut complete) = (HistoryPage::default(), Vec::new());
        let Some(walk) = &mut self.walk else { return Taken { page, complete } };
        let mut over = false;
        for commit in commits {
            let old = self.since.zip(commit.at).is_some_and(|(since, at)| at < since);
            over = walk.is_over() || (old && walk.is_past_known_pushes());
            if over {
                break;
            }
            page.things += 1;
            complete.extend(walk.see(commit));
        }
        walk.page_ends();
        self.ended = over || next.is_none();
        if self.ended {
            complete.extend(walk.rest());
        }
        self.place.page = next.unwrap_or_default();
        self.place.frontier = walk.frontier();
        let resumes_at = walk.resumes_at();
        self.places.push_back(self.place.clone());
        page.go_on = self.go_on(resumes_at).filter(|_| !self.ended);
        Taken { page, complete }
    }

    /// Where to go on, if that is not too long: at the first page of which something is not yet complete.
    fn go_on(&mut self, next: usize) -> Option<String> {
        while self.first < next && self.places.len() > 1 {
            self.places.pop_front();
            self.first += 1;
        }
        let text = json!(self.places.front()?).to_string();
        (text.len() <= LONGEST_PLACE).then_some(text)
    }
}
