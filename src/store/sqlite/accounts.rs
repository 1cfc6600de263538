//! Linked and renamed accounts.

use super::connection::Sqlite;
use crate::domain::ContributorId;
use crate::store::{Account, Linked, StoreError, Unlinked};

pub(super) async fn link(_: &Sqlite, _: &ContributorId, _: &ContributorId) -> Result<Linked, StoreError> {
    Err(StoreError::Refused("not yet".into()))
}

pub(super) async fn unlink(_: &Sqlite, _: &ContributorId) -> Result<Unlinked, StoreError> {
    Err(StoreError::Refused("not yet".into()))
}

pub(super) async fn accounts_of(_: &Sqlite, _: &ContributorId) -> Result<Vec<Account>, StoreError> {
    Ok(Vec::new())
}
