//! Rows, and what they say.

use rusqlite::Row;

use crate::domain::{
    Contribution, ContributionId, ContributorId, Fingerprint, Kind, Moment, Recognition, RecognitionId,
    Standing,
};
use crate::store::{Contributor, Counted};

/// SQLite's integers are signed; what plaudit counts never comes near the difference.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The columns that [`recognition`] reads, with the contribution that it names.
pub(super) const RECOGNITION: &str = "r.seq, r.id, r.contributor, r.milestone, r.tally, r.recognized_at, c.id, c.contributor, c.kind, \
    c.occurred_at, c.title, c.url, c.repository, c.private, c.user_id, c.content, c.recorded_at";
pub(super) const RECOGNITIONS: &str = "recognitions r LEFT JOIN contributions c ON c.id = r.contribution";

pub(super) fn recognition(row: &Row<'_>) -> rusqlite::Result<(i64, Recognition)> {
    let contribution = match row.get::<_, Option<String>>(6)? {
        Some(_) => Some(counted(row, 6)?.contribution),
        None => None,
    };
    let recognition = Recognition {
        id: RecognitionId::from_text(row.get::<_, String>(1)?),
        contributor: contributor_id(&row.get::<_, String>(2)?)?,
        milestone: unsigned(row.get(3)?),
        tally: unsigned(row.get(4)?),
        recognized_at: moment(row.get(5)?)?,
        contribution,
    };
    Ok((row.get(0)?, recognition))
}

/// The columns that [`counted`] reads, with the sequence number last.
pub(super) const CONTRIBUTION: &str = "id, contributor, kind, occurred_at, title, url, repository, private, user_id, content, \
    recorded_at, seq FROM contributions";

pub(super) fn counted(row: &Row<'_>, at: usize) -> rusqlite::Result<Counted> {
    let text = |place: usize| row.get::<_, Option<String>>(at + place);
    let contribution = Contribution {
        id: ContributionId::from_text(row.get::<_, String>(at)?),
        contributor: contributor_id(&row.get::<_, String>(at + 1)?)?,
        kind: Kind::parse(&row.get::<_, String>(at + 2)?).ok_or_else(|| strange("kind"))?,
        occurred_at: moment(row.get(at + 3)?)?,
        title: text(4)?,
        url: text(5)?,
        repository: text(6)?,
        private: row.get(at + 7)?,
        user_id: row.get::<_, Option<i64>>(at + 8)?.map(unsigned),
        account_url: None,
        labels: None,
        landed_at: None,
        content: row.get::<_, Option<[u8; 16]>>(at + 9)?.map(Fingerprint),
    };
    Ok(Counted { contribution, recorded_at: moment(row.get(at + 10)?)? })
}

pub(super) fn contributor(row: &Row<'_>) -> rusqlite::Result<Contributor> {
    Ok(Contributor {
        standing: Standing {
            contributor: contributor_id(&row.get::<_, String>(0)?)?,
            tally: unsigned(row.get(1)?),
            recognized: unsigned(row.get(2)?),
        },
        user_id: row.get::<_, Option<i64>>(3)?.map(unsigned),
        first_at: moment(row.get(4)?)?,
        last_at: moment(row.get(5)?)?,
    })
}

pub(super) const CONTRIBUTOR: &str =
    "SELECT id, tally, recognised, user_id, first_at, last_at FROM contributors";

pub(super) fn contributor_id(text: &str) -> rusqlite::Result<ContributorId> {
    ContributorId::parse(text).map_err(|_| strange("contributor"))
}

pub(super) fn moment(micros: i64) -> rusqlite::Result<Moment> {
    Moment::from_timestamp_micros(micros).ok_or_else(|| strange("time"))
}

pub(super) fn strange(what: &str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(
        format!("a {what} in the file is none that plaudit writes").into(),
    )
}
