//! Recognitions follow the contributions that earned them. Their ids stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use firestore::{FirestoreDocument, FirestoreTransactionOps};

use super::moves::{Decision, TOGETHER};
use super::{commit, contributor_of};
use crate::domain::{ContributorId, RecognitionId};
use crate::store::StoreError;
use crate::store::firestore::codec::{self, ContributorFields, document_id};
use crate::store::firestore::forget;
use crate::store::firestore::lists;
use crate::store::firestore::outbox::unchanged;
use crate::store::firestore::queries::{self, CONTRIBUTORS, RECOGNITIONS};
use crate::store::firestore::record::refused;
use crate::store::firestore::rpc::Client;

/// The recognitions that an account has become those of the contributor for whom it counts; whether all of them did.
pub(super) async fn move_recognitions(
    client: &Client,
    id: &ContributorId,
    to: &ContributorId,
    decision: &Decision,
) -> Result<bool, StoreError> {
    if id == to {
        return Ok(true);
    }
    let held = recognitions_of(client, id).await?;
    give_recognitions(client, &[id, to], held, to, decision).await
}

pub(super) async fn recognitions_of(
    client: &Client,
    id: &ContributorId,
) -> Result<Vec<FirestoreDocument>, StoreError> {
    Ok(client.query(lists::recognitions_of(id, None)?, &mut client.retry()).await?.documents)
}

/// These become the contributor's; whether all of them did. They may have followed a link since they were noted.
pub(super) async fn bring_recognitions(
    client: &Client,
    noted: &BTreeSet<RecognitionId>,
    to: &ContributorId,
    decision: &Decision,
) -> Result<bool, StoreError> {
    if noted.is_empty() {
        return Ok(true);
    }
    let noted: Vec<_> = noted.iter().map(|id| document_id(id.as_str())).collect();
    let mut found = client.get(RECOGNITIONS, &noted, None, &mut client.retry()).await?;
    found.retain(|document| codec::text(document, "contributor") != Some(to.as_str()));
    give_recognitions(client, &[to], found, to, decision).await
}

/// So do those that were made for the account and are still of the contributor from which it was parted. Others that
/// were made with its id are of an account that has claimed them.
pub(super) async fn take_recognitions_back(
    client: &Client,
    id: &ContributorId,
    to: &ContributorId,
    parted_from: Option<&ContributorId>,
    decision: &Decision,
) -> Result<bool, StoreError> {
    let Some(before) = parted_from else { return Ok(true) };
    let mut retry = client.retry();
    // That one may count for another contributor by now.
    let present = contributor_of(client, before, &mut retry).await?;
    let prefix = [format!("{id}:"), format!("{id};")];
    let made = queries::RECOGNITIONS_NAMED.query(prefix.map(codec::value), None, None);
    let mut made = client.query(made, &mut retry).await?.documents;
    made.retain(|document| {
        let holder = codec::text(document, "contributor");
        codec::text(document, "id").is_some_and(|made| is_of(made, id))
            && [before, &present].iter().any(|one| holder == Some(one.as_str()))
            && holder != Some(to.as_str())
    });
    give_recognitions(client, &[id, to], made, to, decision).await
}

/// Unless one of `names` is forgotten.
async fn give_recognitions(
    client: &Client,
    names: &[&ContributorId],
    found: Vec<FirestoreDocument>,
    to: &ContributorId,
    decision: &Decision,
) -> Result<bool, StoreError> {
    if found.is_empty() {
        return Ok(true);
    }
    let mut retry = client.retry();
    let document = client.get_one(CONTRIBUTORS, document_id(to.as_str()), &mut retry).await?;
    let contributor =
        document.map(|found| codec::read::<ContributorFields>(&found)?.contributor()).transpose()?;
    let account_url = contributor.and_then(|contributor| contributor.account_url);
    for together in found.chunks(TOGETHER) {
        let mut writes = client.writes();
        decision.check(&mut writes)?;
        for document in together {
            let fields = Owner::of(document, to, account_url.as_deref());
            let as_read = Some(unchanged(document)?);
            writes
                .update_object(
                    RECOGNITIONS,
                    codec::id_of(document),
                    &fields,
                    Some(fields.mask()),
                    as_read,
                    Vec::new(),
                )
                .map_err(refused)?;
        }
        if let Some(key) = client.forget_key() {
            forget::guard(&mut writes, names.iter().map(|name| key.of_name(name)))?;
        }
        if !commit(client, &writes, &mut retry).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a recognition was made for this account.
fn is_of(recognition: &str, account: &ContributorId) -> bool {
    let id = RecognitionId::from_text(recognition);
    id.as_str().rsplit_once(':').is_some_and(|(who, _)| who == account.as_str())
}

/// What a recognition's document says of its contributor.
#[derive(serde::Serialize)]
struct Owner<'a> {
    contributor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contribution: Option<BTreeMap<&'static str, &'a str>>,
}

impl<'a> Owner<'a> {
    fn of(document: &FirestoreDocument, to: &'a ContributorId, account_url: Option<&'a str>) -> Self {
        let contribution = document.fields.contains_key("contribution");
        let contribution = contribution.then(|| BTreeMap::from([("contributor", to.as_str())]));
        Self { contributor: to.as_str(), account_url, contribution }
    }

    fn mask(&self) -> Vec<String> {
        let mut mask = vec!["contributor", "account_url"];
        mask.extend(self.contribution.as_ref().map(|_| "contribution.contributor"));
        mask.into_iter().map(str::to_owned).collect()
    }
}
