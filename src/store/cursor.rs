//! Cursors: the last item of a page, as the page shows it, encoded for a URL and opaque to clients.
//!
//! A cursor holds nothing that the page did not show: a sequence number of the ledger would reveal how much others
//! contribute.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Contributor, Counted, Page, Sorting, StoreError};
use crate::domain::{ContributorId, Recognition};

pub(super) fn encode<T: Serialize>(position: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

pub(super) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| StoreError::BadCursor)?;
    serde_json::from_slice(&bytes).map_err(|_| StoreError::BadCursor)
}

/// Which list a cursor is of: one of another list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum List {
    ContributorsByTally,
    ContributorsById,
    ContributorsByLogin,
    Contributions,
    Recognitions,
}

impl From<Sorting> for List {
    fn from(sorting: Sorting) -> Self {
        match sorting {
            Sorting::Tally => Self::ContributorsByTally,
            Sorting::Id => Self::ContributorsById,
            Sorting::Login => Self::ContributorsByLogin,
        }
    }
}

/// The last item of a page: the next page begins after it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    list: List,
    /// The tally of a contributor; of the others the time, in microseconds since 1970.
    pub(super) at: i64,
    pub(super) id: String,
}

impl Cursor {
    /// The cursor of a page, if it has one; refused if it is of another list.
    pub(super) fn read(page: &Page, list: List) -> Result<Option<Self>, StoreError> {
        let Some(text) = &page.after else {
            return Ok(None);
        };
        let cursor: Self = decode(text)?;
        if cursor.list == list { Ok(Some(cursor)) } else { Err(StoreError::BadCursor) }
    }

    pub(super) fn of_contributor(sorting: Sorting, contributor: &Contributor) -> String {
        let standing = &contributor.standing;
        Self::after(sorting.into(), standing.tally.cast_signed(), standing.contributor.as_str())
    }

    /// The login of the contributor that the cursor names.
    pub(super) fn login(&self) -> Result<String, StoreError> {
        let contributor = ContributorId::parse(&self.id).map_err(|_| StoreError::BadCursor)?;
        Ok(contributor.login().to_owned())
    }

    pub(super) fn of_contribution(counted: &Counted) -> String {
        let at = counted.recorded_at.timestamp_micros();
        Self::after(List::Contributions, at, counted.contribution.id.as_str())
    }

    pub(super) fn of_recognition(recognition: &Recognition) -> String {
        let at = recognition.recognized_at.timestamp_micros();
        Self::after(List::Recognitions, at, recognition.id.as_str())
    }

    fn after(list: List, at: i64, id: &str) -> String {
        encode(&Self { list, at, id: id.to_owned() })
    }
}
