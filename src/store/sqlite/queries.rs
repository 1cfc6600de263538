//! The queries of lists, in one place: a test holds that each seeks the page in an index, so that a page costs the
//! same wherever it is in its list and however much of the list is hidden. None has a `LIMIT`: SQLite makes a row when
//! it is asked for, and the reader of a page skips rows that it cannot read.

use super::rows::{CONTRIBUTIONS, CONTRIBUTORS, RECOGNITION, RECOGNITIONS};
use crate::store::{Shown, Sorting};

/// Every query of a list.
#[must_use]
pub fn all() -> Vec<String> {
    // The ids of one host are sorted by login.
    let of_all = [Sorting::Tally, Sorting::Id, Sorting::Login].map(|sorting| contributors(sorting, false));
    let on_host = [Sorting::Tally, Sorting::Login].map(|sorting| contributors(sorting, true));
    let contributors = of_all.into_iter().chain(on_host);
    let contributions = [Shown::Public, Shown::Counted, Shown::All].map(contributions_of);
    contributors.chain(contributions).chain([reached(), recognitions()]).collect()
}

/// Contributors after the tally `?1` and the id `?2`, after the id `?1`, or after the login `?1` and the id `?2` and
/// before the login `?3`; the host, if there is one, is the last value.
#[must_use]
pub fn contributors(sorting: Sorting, on_host: bool) -> String {
    // Row values, so that a page among equal tallies or logins begins at its first row.
    let (range, order, host) = match sorting {
        Sorting::Tally => ("(tally, id) < (?1, ?2)", "tally DESC, id DESC", "?3"),
        Sorting::Id => ("id > ?1", "id", "?2"),
        Sorting::Login => ("(login, id) > (?1, ?2) AND login < ?3", "login, id", "?4"),
    };
    let host = if on_host { format!("host = {host} AND ") } else { String::new() };
    format!("{CONTRIBUTORS} WHERE {host}{range} ORDER BY {order}")
}

/// How much there is.
pub(super) const TOTALS: &str = "SELECT count(*) AS contributors, coalesce(sum(tally), 0) AS contributions, \
    (SELECT count(*) FROM recognitions) AS recognitions FROM contributors";

/// Contributions of `?1` before the sequence number `?2`, newest first.
#[must_use]
pub fn contributions_of(shown: Shown) -> String {
    let of = |class: Class| format!("{CONTRIBUTIONS} {} AND c.seq < ?2", class.condition());
    format!("{} ORDER BY seq DESC", merged(shown, of))
}

/// The one of `?1` that count with `?2` before it.
#[must_use]
pub fn reached() -> String {
    let of = |class: Class| format!("SELECT c.seq FROM contributions c {}", class.condition());
    let counted = merged(Shown::Counted, of);
    format!("{CONTRIBUTIONS} WHERE c.seq = ({counted} ORDER BY seq LIMIT 1 OFFSET ?2)")
}

/// Recognitions before the sequence number `?1`, newest first.
#[must_use]
pub fn recognitions() -> String {
    format!("SELECT {RECOGNITION} FROM {RECOGNITIONS} WHERE r.seq < ?1 ORDER BY r.seq DESC")
}

/// The contributions of `?1` that are, or are not, private and taken back: one range of their index, so that no
/// hidden row is looked at.
#[derive(Clone, Copy)]
struct Class {
    private: bool,
    retracted: bool,
}

impl Class {
    fn of(shown: Shown) -> impl Iterator<Item = Self> {
        let all = [(false, false), (true, false), (false, true), (true, true)];
        all.into_iter().map(|(private, retracted)| Self { private, retracted }).filter(move |class| {
            match shown {
                Shown::Public => !class.private && !class.retracted,
                Shown::Counted => !class.retracted,
                Shown::All => true,
            }
        })
    }

    fn condition(self) -> String {
        let Self { private, retracted } = self;
        format!(
            "WHERE c.contributor = ?1 AND c.private = {} AND c.retracted = {}",
            u8::from(private),
            u8::from(retracted)
        )
    }
}

/// The queries of all classes that are shown: SQLite merges them, as each is read in the same order.
fn merged(shown: Shown, query: impl Fn(Class) -> String) -> String {
    Class::of(shown).map(query).collect::<Vec<_>>().join(" UNION ALL ")
}
