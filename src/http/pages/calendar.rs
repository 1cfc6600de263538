//! A year of contributions, day by day.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{Datelike as _, Days, NaiveDate};

use super::view::thousands;
use crate::domain::{ContributorId, Moment};
use crate::store::{Page, Shown, Store, StoreError};

/// How many weeks end before this one.
const WEEKS: u64 = 52;
/// How much is read at most: of someone more active, the calendar begins later. On Firestore each document costs.
const MOST_PAGES: usize = 10;
const PAGE: usize = 100;

/// The distance between two squares, and the side of one, in units of the drawing.
const STEP: u64 = 13;
const SIDE: u64 = 10;

/// The public contributions of each day.
#[derive(Debug)]
pub(super) struct Counts {
    days: BTreeMap<NaiveDate, u64>,
    /// The first day that was read whole; today, where not even today was.
    since: NaiveDate,
    today: NaiveDate,
    /// Whether more was counted today than was read.
    more: bool,
}

/// The Monday with which the calendar begins.
fn first_day(today: NaiveDate) -> NaiveDate {
    let back = WEEKS * 7 + u64::from(today.weekday().num_days_from_monday());
    today.checked_sub_days(Days::new(back)).unwrap_or(today)
}

impl Counts {
    /// Reads the newest contributions, by the day on which they were counted.
    pub(super) async fn read(
        store: &dyn Store,
        who: &ContributorId,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let today = now.date_naive();
        let mut counts = Self { days: BTreeMap::new(), since: first_day(today), today, more: false };
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let page = Page { limit: PAGE, after };
            let paged = store.contributions_of(who, Shown::Public, &page).await?;
            for counted in &paged.items {
                *counts.days.entry(counted.recorded_at.date_naive()).or_default() += 1;
            }
            after = paged.next;
            let oldest = paged.items.last().map(|counted| counted.recorded_at.date_naive());
            if after.is_none() || oldest.is_none_or(|oldest| oldest < counts.since) {
                return Ok(counts);
            }
        }
        // The last day that was read may have more.
        let cut = counts.days.first_key_value().and_then(|(day, _)| day.succ_opt());
        let cut = cut.unwrap_or(counts.since);
        counts.more = cut > today;
        counts.since = cut.min(today);
        Ok(counts)
    }
}

/// A day on which something was counted.
#[derive(Debug)]
pub(super) struct Square {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) level: u8,
    pub(super) title: String,
}

#[derive(Debug)]
pub(super) struct Month {
    pub(super) x: u64,
    pub(super) name: String,
}

/// The calendar as it is drawn.
#[derive(Debug)]
pub(super) struct Calendar {
    pub(super) squares: Vec<Square>,
    pub(super) months: Vec<Month>,
    /// The squares of days without contributions, as one path.
    pub(super) empty: String,
    /// All of it, in words.
    pub(super) said: String,
    pub(super) width: u64,
    pub(super) side: u64,
}

impl Calendar {
    pub(super) fn of(counts: &Counts) -> Self {
        let first = first_day(counts.today);
        let mut calendar = Self {
            squares: Vec::new(),
            months: Vec::new(),
            empty: String::new(),
            said: counts.said(),
            width: (WEEKS + 1) * STEP - (STEP - SIDE),
            side: SIDE,
        };
        for (at, day) in (0..).zip(first.iter_days().take_while(|day| *day <= counts.today)) {
            let (x, row) = (at / 7 * STEP, at % 7);
            let y = row * STEP;
            if row == 0 && day.day() <= 7 && at / 7 < WEEKS {
                calendar.months.push(Month { x, name: day.format("%b").to_string() });
            }
            match counts.days.get(&day).filter(|_| day >= counts.since) {
                Some(count) => calendar.squares.push(Square {
                    x,
                    y,
                    level: level(*count),
                    title: format!("{}: {}", day.format("%-d %b %Y"), contributions(*count)),
                }),
                None => _ = write!(calendar.empty, "M{x} {y}h{SIDE}v{SIDE}h-{SIDE}z"),
            }
        }
        calendar
    }
}

impl Counts {
    fn said(&self) -> String {
        let shown: Vec<_> = self.days.range(self.since..=self.today).collect();
        let sum: u64 = shown.iter().map(|(_, count)| **count).sum();
        let span = if self.since == first_day(self.today) {
            "in the last year".to_owned()
        } else {
            format!("since {}", self.since.format("%-d %b %Y"))
        };
        let Some((best, most)) = shown.iter().rev().max_by_key(|(_, count)| **count) else {
            return format!("No public contributions {span}.");
        };
        let days = match shown.len() {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        format!(
            "{}{} {span}, on {days}; most on {}: {}.",
            if self.more { "More than " } else { "" },
            contributions(sum),
            best.format("%-d %b"),
            thousands(**most)
        )
    }
}

fn contributions(count: u64) -> String {
    if count == 1 { "1 contribution".into() } else { format!("{} contributions", thousands(count)) }
}

/// How dark a day is.
fn level(count: u64) -> u8 {
    match count {
        0 | 1 => 1,
        2 | 3 => 2,
        4..=6 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_year_has_its_square() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-11-29");
        let days = [("2026-11-29", 2), ("2026-05-12", 9), ("2025-11-24", 1)].map(|(at, n)| (day(at), n));
        let counts = Counts { days: days.into(), since: first_day(today), today, more: false };
        let calendar = Calendar::of(&counts);
        assert_eq!(first_day(today), day("2025-11-24"), "a Monday");
        assert_eq!(calendar.empty.matches('M').count() + calendar.squares.len(), 53 * 7, "today is a Sunday");
        let (oldest, newest) = (calendar.squares.first().unwrap(), calendar.squares.last().unwrap());
        assert_eq!((oldest.x, oldest.y, oldest.level), (0, 0, 1));
        assert_eq!((newest.x, newest.y, newest.level), (52 * STEP, 6 * STEP, 2));
        assert_eq!(calendar.said, "12 contributions in the last year, on 3 days; most on 12 May: 9.");
    }
}
