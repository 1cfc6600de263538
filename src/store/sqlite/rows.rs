//! Rows as values of the domain. Every column is read by its name; those of lists by their place, and tests compare the
//! name.

use rusqlite::types::{FromSql, Value};
use rusqlite::{Row, RowIndex, Rows};

use super::error::strange;
use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Fingerprint, GiveUp, Kind, Labels, Moment,
    Recognition, RecognitionId, Standing,
};
use crate::store::{Contributor, Counted, Progress, State, unreadable};

/// SQLite's integers are signed; what plaudit counts never comes near the difference.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The row as an item; where this version cannot read it, `None`, and a line in the log. `id` is the column that names
/// the row there.
pub(super) fn read<T>(row: &Row<'_>, id: &str, item: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Option<T> {
    let skip = |error| {
        let id = row.get::<_, String>(id);
        unreadable::skip(id.as_deref().unwrap_or("a row without an id"), &error);
    };
    item(row).map_err(skip).ok()
}

/// The next row that this version can read.
pub(super) fn next_readable<T>(
    rows: &mut Rows<'_>,
    id: &str,
    item: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    while let Some(row) = rows.next()? {
        if let Some(item) = read(row, id, &item) {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

/// The first `limit` rows that this version can read. Rows are read only as far as they are needed, so the query has
/// no `LIMIT`: it would count those that are skipped.
pub(super) fn readable<T>(
    mut rows: Rows<'_>,
    id: &str,
    limit: usize,
    item: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut items = Vec::new();
    while items.len() < limit
        && let Some(item) = next_readable(&mut rows, id, &item)?
    {
        items.push(item);
    }
    Ok(items)
}

/// A host's kind is a small number in the table, and a client's is its word.
pub(super) fn kind_value(kind: &Kind) -> Value {
    let place = Kind::OF_HOSTS.iter().position(|of_hosts| of_hosts == kind);
    let number = place.and_then(|place| i64::try_from(place + 1).ok());
    number.map_or_else(|| kind.as_str().to_owned().into(), Value::from)
}

/// Reads the kind of a contribution.
pub(super) fn kind(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Kind> {
    let found = match row.get(column)? {
        Value::Integer(number) => {
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            place.and_then(|place| Kind::OF_HOSTS.get(place).cloned())
        }
        Value::Text(word) => Kind::parse(&word),
        _ => None,
    };
    found.ok_or_else(|| strange("kind"))
}

/// The columns of a row, one after the other. SQLite finds a name by comparing all before it, which took a tenth of the
/// time of a list.
struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    /// The place of the next column, which has this name.
    fn place(&mut self, name: &str) -> usize {
        debug_assert_eq!(
            self.row.as_ref().column_name(self.next),
            Ok(name),
            "a list's columns and its reader"
        );
        self.next += 1;
        self.next - 1
    }

    fn get<T: FromSql>(&mut self, name: &str) -> rusqlite::Result<T> {
        self.row.get(self.place(name))
    }
}

/// What [`counted`] reads, in its order.
pub(super) const CONTRIBUTIONS: &str = "SELECT c.seq, c.id, \
    (SELECT p.id FROM contributors p WHERE p.number = c.contributor) AS contributor, c.kind, c.occurred_at, c.title, c.url, \
    (SELECT name FROM repositories WHERE number = c.repository) AS repository, c.private, c.user_id, c.labels_at, \
    c.labels_rejected, c.landed_at, c.content, c.recorded_at, c.retracted FROM contributions c";

pub(super) fn counted(row: &Row<'_>) -> rusqlite::Result<Counted> {
    let mut columns = Columns::of(row);
    columns.place("seq");
    let id = columns.get("id")?;
    rest_of(&mut columns, id)
}

/// What follows the id of a contribution.
fn rest_of(columns: &mut Columns<'_>, id: String) -> rusqlite::Result<Counted> {
    let row = columns.row;
    let contribution = Contribution {
        id: ContributionId::from_text(id),
        contributor: contributor_id(row, columns.place("contributor"))?,
        kind: kind(row, columns.place("kind"))?,
        occurred_at: moment(columns.get("occurred_at")?)?,
        title: columns.get("title")?,
        url: columns.get("url")?,
        repository: columns.get("repository")?,
        private: columns.get("private")?,
        user_id: columns.get::<Option<i64>>("user_id")?.map(unsigned),
        account_url: None,
        labels: labels(row, columns.place("labels_at"), columns.place("labels_rejected"))?,
        landed_at: optional_moment(row, columns.place("landed_at"))?,
        content: columns.get::<Option<[u8; 16]>>("content")?.map(Fingerprint),
    };
    let recorded_at = moment(columns.get("recorded_at")?)?;
    Ok(Counted { contribution, recorded_at, retracted: columns.get("retracted")? })
}

/// What [`recognition`] reads, in its order: the recognition's columns begin with `r_`, the others are those of the
/// contribution that it names.
pub(super) const RECOGNITION: &str = "r.seq AS r_seq, r.id AS r_id, r.contributor AS r_contributor, r.milestone AS r_milestone, \
    r.tally AS r_tally, r.recognized_at AS r_recognized_at, r.account_url AS r_account_url, c.id, \
    (SELECT p.id FROM contributors p WHERE p.number = c.contributor) AS contributor, c.kind, c.occurred_at, \
    c.title, c.url, (SELECT name FROM repositories WHERE number = c.repository) AS repository, c.private, c.user_id, \
    c.labels_at, c.labels_rejected, c.landed_at, c.content, c.recorded_at, c.retracted";
pub(super) const RECOGNITIONS: &str = "recognitions r LEFT JOIN contributions c ON c.id = r.contribution";

pub(super) fn recognition(row: &Row<'_>) -> rusqlite::Result<Recognition> {
    let mut columns = Columns::of(row);
    columns.place("r_seq");
    Ok(Recognition {
        id: RecognitionId::from_text(columns.get::<String>("r_id")?),
        contributor: contributor_id(row, columns.place("r_contributor"))?,
        milestone: unsigned(columns.get("r_milestone")?),
        tally: unsigned(columns.get("r_tally")?),
        recognized_at: moment(columns.get("r_recognized_at")?)?,
        account_url: columns.get("r_account_url")?,
        contribution: match columns.get::<Option<String>>("id")? {
            Some(id) => Some(rest_of(&mut columns, id)?.contribution),
            None => None,
        },
    })
}

/// What [`contributor`] reads, in its order. A number that only addresses state is no account's.
pub(super) const CONTRIBUTORS: &str = "SELECT id, tally, recognized, iif(named_at IS NULL, NULL, user_id) AS bound, \
    account_url, first_at, last_at FROM contributors";

pub(super) fn contributor(row: &Row<'_>) -> rusqlite::Result<Contributor> {
    let mut columns = Columns::of(row);
    Ok(Contributor {
        standing: Standing {
            contributor: contributor_id(row, columns.place("id"))?,
            tally: unsigned(columns.get("tally")?),
            recognized: unsigned(columns.get("recognized")?),
        },
        user_id: columns.get::<Option<i64>>("bound")?.map(unsigned),
        account_url: columns.get("account_url")?,
        first_at: moment(columns.get("first_at")?)?,
        last_at: moment(columns.get("last_at")?)?,
    })
}

/// Reads the columns `destination`, `state` and `reason` of the outbox.
pub(super) fn progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    let destination = Destination::from_word(&row.get::<_, String>("destination")?);
    let state = State::from_code(&row.get::<_, String>("state")?);
    Ok(Progress {
        destination: destination.ok_or_else(|| strange("destination"))?,
        state: state.ok_or_else(|| strange("state"))?,
        reason: reason(row)?,
    })
}

fn reason(row: &Row<'_>) -> rusqlite::Result<Option<GiveUp>> {
    let code: Option<String> = row.get("reason")?;
    code.map(|code| GiveUp::from_code(&code).ok_or_else(|| strange("reason"))).transpose()
}

pub(super) fn contributor_id(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<ContributorId> {
    ContributorId::parse(&row.get::<_, String>(column)?).map_err(|_| strange("contributor"))
}

/// Reads what labels said last, and when.
pub(super) fn labels(
    row: &Row<'_>,
    at: impl RowIndex,
    rejected: impl RowIndex,
) -> rusqlite::Result<Option<Labels>> {
    let at = optional_moment(row, at)?;
    let rejected = row.get::<_, Option<bool>>(rejected)?.unwrap_or_default();
    Ok(at.map(|at| Labels { at, rejected }))
}

pub(super) fn optional_moment(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Option<Moment>> {
    row.get::<_, Option<i64>>(column)?.map(moment).transpose()
}

pub(super) fn moment(micros: i64) -> rusqlite::Result<Moment> {
    Moment::from_timestamp_micros(micros).ok_or_else(|| strange("time"))
}
