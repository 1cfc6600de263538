//! Bookmarks: where a long read of a host goes on.

use firestore::{FirestoreTransactionOps as _, FirestoreWritePrecondition};
use serde::{Deserialize, Serialize};

use super::codec::{self, document_id};
use super::outbox::unchanged;
use super::queries::BOOKMARKS;
use super::record::refused;
use super::rpc::{Client, Fault};
use crate::store::StoreError;

/// A document of `bookmarks`. A long name's id is its hash, so the name is a field too.
#[derive(Serialize, Deserialize)]
struct BookmarkFields {
    name: String,
    value: String,
}

pub(super) async fn bookmark(client: &Client, name: &str) -> Result<Option<String>, StoreError> {
    let found = client.get_one(BOOKMARKS, document_id(name), &mut client.retry()).await?;
    found.map(|document| Ok(codec::read::<BookmarkFields>(&document)?.value)).transpose()
}

pub(super) async fn set_bookmark(client: &Client, name: &str, value: &str) -> Result<(), StoreError> {
    let fields = BookmarkFields { name: name.to_owned(), value: value.to_owned() };
    let mut writes = client.writes();
    writes.update_object(BOOKMARKS, document_id(name), &fields, None, None, Vec::new()).map_err(refused)?;
    client.commit(&writes, &mut client.retry()).await?;
    Ok(())
}

pub(super) async fn replace_bookmark(
    client: &Client,
    name: &str,
    before: Option<&str>,
    value: &str,
) -> Result<bool, StoreError> {
    let mut retry = client.retry();
    let found = client.get_one(BOOKMARKS, document_id(name), &mut retry).await?;
    let precondition = match &found {
        None => FirestoreWritePrecondition::Exists(false),
        Some(document) => unchanged(document)?,
    };
    let found = found.map(|document| codec::read::<BookmarkFields>(&document)).transpose()?;
    if found.map(|fields| fields.value).as_deref() != before {
        return Ok(false);
    }
    let fields = BookmarkFields { name: name.to_owned(), value: value.to_owned() };
    let mut writes = client.writes();
    writes
        .update_object(BOOKMARKS, document_id(name), &fields, None, Some(precondition), Vec::new())
        .map_err(refused)?;
    match client.commit(&writes, &mut retry).await {
        Ok(_) => Ok(true),
        // Another was first, or this very commit, whose answer was lost.
        Err(Fault::Changed | Fault::Exists) => Ok(bookmark(client, name).await?.as_deref() == Some(value)),
        Err(fault) => Err(fault.into()),
    }
}
