//! Bookmarks: where a long read of a host goes on.

use firestore::FirestoreTransactionOps as _;
use serde::{Deserialize, Serialize};

use super::codec::{self, document_id};
use super::queries::BOOKMARKS;
use super::record::refused;
use super::rpc::Client;
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
