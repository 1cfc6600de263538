//! Linked and renamed accounts.

use super::rpc::Client;
use crate::domain::ContributorId;
use crate::store::{Account, Linked, StoreError, Unlinked};

pub(super) async fn link(_: &Client, _: &ContributorId, _: &ContributorId) -> Result<Linked, StoreError> {
    Err(StoreError::Refused("not yet".into()))
}

pub(super) async fn unlink(_: &Client, _: &ContributorId) -> Result<Unlinked, StoreError> {
    Err(StoreError::Refused("not yet".into()))
}

pub(super) async fn accounts_of(_: &Client, _: &ContributorId) -> Result<Vec<Account>, StoreError> {
    Ok(Vec::new())
}

pub(super) async fn move_late(_: &Client) -> Result<(), StoreError> {
    Ok(())
}
