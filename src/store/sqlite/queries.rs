//! The queries of lists, in one place: a test holds that each seeks the page in an index, so that a page costs the
//! same wherever it is in its list and however much of the list is hidden. None has a `LIMIT`: SQLite makes a row when
//! it is asked for, and the reader of a page skips rows that it cannot read.

use super::rows::{CONTRIBUTIONS, CONTRIBUTORS, RECOGNITION, RECOGNITIONS};
use crate::store::{Shown, Sorting};

/// Every query of a list.
#[must_use]
pub fn all() -> Vec<String> {
    // The ids of one host are sorted by login, and all hosts by tally are merged from each.
    let of_all = [Sorting::Id, Sorting::Login].map(|sorting| contributors(sorting, false));
    let on_host = [Sorting::Tally, Sorting::Login].map(|sorting| contributors(sorting, true));
    let contributors = of_all.into_iter().chain(on_host);
    let classes = [Shown::Public, Shown::Counted, Shown::All];
    let contributions = [Key::Contributor, Key::Repository].into_iter().flat_map(|key| {
        classes.into_iter().flat_map(move |shown| [false, true].map(|kind| contributions(key, kind, shown)))
    });
    contributors.chain(contributions).chain([false, true].map(recognitions)).collect()
}

/// The hosts that contributors are on, and `''` if there are plain names: one seek for each.
pub(super) const HOSTS: &str = "WITH RECURSIVE hosts (host) AS (
        SELECT min(host) FROM contributors
        UNION ALL
        SELECT (SELECT min(c.host) FROM contributors c WHERE c.host > hosts.host) FROM hosts WHERE hosts.host IS NOT NULL
    ) SELECT host FROM hosts WHERE host IS NOT NULL";

/// Contributors after the tally `?1` and the id `?2` (of one host: no index has the tallies of all), after the id `?1`,
/// or after the login `?1` and the id `?2` and before the login `?3`; the host, if there is one, is the last value.
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

/// Contributions of `?1` before the time `?2` and the sequence number `?3`, and not before the time `?4`, newest first;
/// with a kind, only those of the kind `?5`.
///
/// The kind is in the index, so those of other kinds cost no look into the table.
#[must_use]
pub fn contributions(key: Key, kind: bool, shown: Shown) -> String {
    let kind = if kind { " AND c.kind = ?5" } else { "" };
    let range = "(c.recorded_at, c.seq) < (?2, ?3) AND c.recorded_at >= ?4";
    let of = |class: Class| format!("{CONTRIBUTIONS} {} AND {range}{kind}", class.condition(key));
    format!("{} ORDER BY recorded_at DESC, seq DESC", merged(shown, of))
}

/// The one of `?1` that count with `?2` before it. Rare, and the only one that sorts: tallies follow the order of the
/// commits, and the index that of the times.
#[must_use]
pub(super) fn reached() -> String {
    let of =
        |class: Class| format!("SELECT c.seq FROM contributions c {}", class.condition(Key::Contributor));
    let counted = merged(Shown::Counted, of);
    format!("{CONTRIBUTIONS} WHERE c.seq = ({counted} ORDER BY seq LIMIT 1 OFFSET ?2)")
}

/// Recognitions before the time `?1` and the sequence number `?2`, and not before the time `?3`, newest first; with a
/// contributor, only those of `?4`.
#[must_use]
pub fn recognitions(of_contributor: bool) -> String {
    let present = "coalesce((SELECT p.id FROM accounts a JOIN contributors p ON p.number = a.contributor
        WHERE a.id = ?4), ?4)";
    let contributor = if of_contributor { format!("r.contributor = {present} AND ") } else { String::new() };
    format!(
        "SELECT {RECOGNITION} FROM {RECOGNITIONS}
         WHERE {contributor}(r.recognized_at, r.seq) < (?1, ?2) AND r.recognized_at >= ?3
         ORDER BY r.recognized_at DESC, r.seq DESC"
    )
}

/// The number of the contributor for whom the account that `value` names counts.
pub(super) fn contributor_of(value: &str) -> String {
    format!(
        "coalesce((SELECT number FROM contributors WHERE id = {value}),
             (SELECT contributor FROM accounts WHERE id = {value}))"
    )
}

/// By what contributions are listed.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    Contributor,
    Repository,
}

impl Key {
    /// That a contribution `c` is of the contributor, or in the repository, that `value` names.
    pub(super) fn condition(self, value: &str) -> String {
        match self {
            Self::Contributor => {
                format!("c.contributor = {}", contributor_of(value))
            }
            Self::Repository => {
                format!("c.repository = (SELECT number FROM repositories WHERE name = {value})")
            }
        }
    }
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

    fn condition(self, key: Key) -> String {
        let Self { private, retracted } = self;
        format!(
            "WHERE {} AND c.private = {} AND c.retracted = {}",
            key.condition("?1"),
            u8::from(private),
            u8::from(retracted)
        )
    }
}

/// The queries of all classes that are shown: SQLite merges them, as each is read in the same order.
fn merged(shown: Shown, query: impl Fn(Class) -> String) -> String {
    Class::of(shown).map(query).collect::<Vec<_>>().join(" UNION ALL ")
}
