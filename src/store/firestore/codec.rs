//! Documents: their ids, their fields, and the way back.

use std::collections::BTreeMap;

use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::{FirestoreDb, FirestoreDocument, FirestoreInstant, FirestoreTimestamp, FirestoreValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Fingerprint, Kind, Moment, Recognition,
    RecognitionId, Standing,
};
use crate::store::{Contributor, Counted, Progress, ProgressState, StoreError};

/// The longest document id that Firestore takes, in bytes.
const LONGEST_DOCUMENT_ID: usize = 1_500;
/// Marks the document id of an identity that is too long to stand in one itself.
const HASHED: &str = "sha256:";

/// The document id of an identity: the identity itself wherever Firestore allows it, so that ids sort and
/// read as identities do; no two identities share one. The field `id` always keeps the identity.
pub(super) fn document_id(identity: &str) -> String {
    let mut id = String::with_capacity(identity.len());
    for c in identity.chars() {
        if c == '/' || c == '%' || c.is_control() {
            escape(c, &mut id);
        } else {
            id.push(c);
        }
    }
    let mut rest = id.chars();
    let first = rest.next();
    let reserved = id == "." || id == ".." || is_reserved(&id) || id.starts_with(HASHED);
    match first {
        // Every other '%' is followed by two digits.
        None => "%".to_owned(),
        Some(c) if reserved => {
            let mut escaped = String::with_capacity(id.len() + 2);
            escape(c, &mut escaped);
            escaped + rest.as_str()
        }
        Some(_) if id.len() > LONGEST_DOCUMENT_ID => {
            format!("{HASHED}{}", hex::encode(Sha256::digest(identity.as_bytes())))
        }
        Some(_) => id,
    }
}

/// Whether Firestore could have a document by this id.
pub(super) fn is_document_id(text: &str) -> bool {
    let sound = !text.contains(|c: char| c == '/' || c.is_control());
    (1..=LONGEST_DOCUMENT_ID).contains(&text.len())
        && sound
        && text != "."
        && text != ".."
        && !is_reserved(text)
}

fn is_reserved(id: &str) -> bool {
    id.len() >= 4 && id.starts_with("__") && id.ends_with("__")
}

fn escape(c: char, into: &mut String) {
    use std::fmt::Write;
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String cannot fail.
        let _ = write!(into, "%{byte:02X}");
    }
}

/// The id at the end of a document's name.
pub(super) fn id_of(document: &FirestoreDocument) -> &str {
    document.name.rsplit('/').next().unwrap_or_default()
}

/// A moment as Firestore keeps it.
pub(super) fn timestamp(moment: Moment) -> Result<FirestoreTimestamp, StoreError> {
    FirestoreInstant::from_microsecond(moment.timestamp_micros())
        .map(FirestoreTimestamp)
        .map_err(|_| StoreError::Refused("Firestore keeps times of the years 1 to 9999 only".into()))
}

/// A moment as Firestore gave it.
pub(super) fn moment(timestamp: FirestoreTimestamp) -> Result<Moment, StoreError> {
    moment_of(timestamp.0.as_microsecond())
}

/// A moment by its microseconds since 1970.
pub(super) fn moment_of(micros: i64) -> Result<Moment, StoreError> {
    Moment::from_timestamp_micros(micros)
        .ok_or_else(|| StoreError::Broken("a document has a time out of range".into()))
}

/// A whole number as Firestore keeps it. Tallies and milestones never reach the sign.
pub(super) fn integer(number: u64) -> FirestoreValue {
    FirestoreValue::from(firestore::gcloud_sdk::google::firestore::v1::Value {
        value_type: Some(ValueType::IntegerValue(number.cast_signed())),
    })
}

/// Anything else as Firestore keeps it.
pub(super) fn value(value: impl Serialize) -> FirestoreValue {
    value.into()
}

/// The whole number in a value.
pub(super) fn as_integer(value: &FirestoreValue) -> Option<i64> {
    match value.value.value_type {
        Some(ValueType::IntegerValue(number)) => Some(number),
        _ => None,
    }
}

/// Reads a document's fields.
pub(super) fn read<T: DeserializeOwned>(document: &FirestoreDocument) -> Result<T, StoreError> {
    FirestoreDb::deserialize_doc_to(document).map_err(|error| {
        StoreError::Broken(format!("the document {} is not plaudit's: {error}", document.name))
    })
}

/// A document of `contributors`. Its times are microseconds since 1970, because Firestore's `minimum` and
/// `maximum` know numbers only.
#[derive(Deserialize)]
pub(super) struct ContributorFields {
    id: String,
    user_id: Option<i64>,
    tally: i64,
    recognised: i64,
    first_at: i64,
    last_at: i64,
}

impl ContributorFields {
    pub(super) fn standing(&self) -> Result<Standing, StoreError> {
        let sound = |number: i64| u64::try_from(number).map_err(|_| broken("contributor", &self.id));
        Ok(Standing {
            contributor: contributor(&self.id)?,
            tally: sound(self.tally)?,
            recognized: sound(self.recognised)?,
        })
    }

    pub(super) fn contributor(&self) -> Result<Contributor, StoreError> {
        Ok(Contributor {
            standing: self.standing()?,
            user_id: self.user_id.map(i64::cast_unsigned),
            first_at: moment_of(self.first_at)?,
            last_at: moment_of(self.last_at)?,
        })
    }
}

/// What every write to a contributor's document sets outright.
#[derive(Serialize)]
pub(super) struct ContributorNames<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    login: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
}

impl<'a> ContributorNames<'a> {
    pub(super) fn of(contributor: &'a ContributorId, user_id: Option<u64>) -> Self {
        Self {
            id: contributor.as_str(),
            host: contributor.host(),
            login: contributor.login(),
            user_id: user_id.map(u64::cast_signed),
        }
    }

    /// Only what is set here: a field in the mask and not in the document would be deleted.
    pub(super) fn mask(&self) -> Vec<String> {
        let mut mask = vec!["id".to_owned(), "login".to_owned()];
        if self.host.is_some() {
            mask.push("host".to_owned());
        }
        if self.user_id.is_some() {
            mask.push("user_id".to_owned());
        }
        mask
    }
}

/// A document of `contributions`, and the contribution inside a recognition.
#[derive(Serialize, Deserialize)]
pub(super) struct ContributionFields {
    id: String,
    contributor: String,
    kind: String,
    occurred_at: FirestoreTimestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    /// The fingerprint of what a client posted, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<FirestoreTimestamp>,
    /// Which call wrote this: tells an answer that was lost from a contribution that was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
}

impl ContributionFields {
    pub(super) fn new(
        contribution: &Contribution,
        recorded: Option<(Moment, &str)>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            id: contribution.id.as_str().to_owned(),
            contributor: contribution.contributor.as_str().to_owned(),
            kind: contribution.kind.as_str().to_owned(),
            occurred_at: timestamp(contribution.occurred_at)?,
            title: contribution.title.clone(),
            url: contribution.url.clone(),
            repository: contribution.repository.clone(),
            private: contribution.private,
            user_id: contribution.user_id.map(u64::cast_signed),
            content: contribution.content.map(|content| hex::encode(content.0)),
            recorded_at: recorded.map(|(at, _)| timestamp(at)).transpose()?,
            commit: recorded.map(|(_, commit)| commit.to_owned()),
        })
    }

    pub(super) fn is_of(&self, commit: &str) -> bool {
        self.commit.as_deref() == Some(commit)
    }

    pub(super) fn content(&self) -> Result<Option<Fingerprint>, StoreError> {
        let read = |digits: &String| {
            let mut content = [0; 16];
            hex::decode_to_slice(digits, &mut content)
                .map(|()| Fingerprint(content))
                .map_err(|_| broken("contribution", &self.id))
        };
        self.content.as_ref().map(read).transpose()
    }

    pub(super) fn contributor(&self) -> Result<ContributorId, StoreError> {
        contributor(&self.contributor)
    }

    pub(super) fn contribution(self) -> Result<Contribution, StoreError> {
        Ok(Contribution {
            content: self.content()?,
            contributor: contributor(&self.contributor)?,
            kind: Kind::parse(&self.kind).ok_or_else(|| broken("contribution", &self.id))?,
            occurred_at: moment(self.occurred_at)?,
            title: self.title,
            url: self.url,
            repository: self.repository,
            private: self.private,
            user_id: self.user_id.map(i64::cast_unsigned),
            account_url: None,
            labels: None,
            landed_at: None,
            id: ContributionId::from_text(self.id),
        })
    }

    pub(super) fn counted(self) -> Result<Counted, StoreError> {
        let recorded_at = self.recorded_at.ok_or_else(|| broken("contribution", &self.id))?;
        Ok(Counted { recorded_at: moment(recorded_at)?, contribution: self.contribution()? })
    }
}

/// A document of `recognitions`.
#[derive(Serialize, Deserialize)]
pub(super) struct RecognitionFields {
    id: String,
    contributor: String,
    milestone: u64,
    tally: u64,
    recognized_at: FirestoreTimestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    contribution: Option<ContributionFields>,
    /// Where it still waits.
    due: Vec<String>,
    /// `next_{destination}`: not to be tried there before then. Absent where nothing waits.
    #[serde(flatten, skip_deserializing)]
    next: BTreeMap<String, FirestoreTimestamp>,
    /// How often it was put off, by destination.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tries: BTreeMap<String, u32>,
    /// What became of it, by destination.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    outcome: BTreeMap<String, Outcome>,
    /// Which call wrote this.
    commit: String,
}

/// What became of a recognition at a destination.
#[derive(Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// The field that says from when on a recognition may be tried at a destination.
pub(super) fn next_field(destination: Destination) -> String {
    format!("next_{destination}")
}

/// From when on a recognition may be tried at a destination, if it waits there.
pub(super) fn next_of(
    document: &FirestoreDocument,
    destination: Destination,
) -> Result<Option<Moment>, StoreError> {
    match document.fields.get(&next_field(destination)).and_then(|value| value.value_type.as_ref()) {
        Some(ValueType::TimestampValue(time)) => {
            let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1_000));
            moment_of(micros).map(Some)
        }
        _ => Ok(None),
    }
}

impl RecognitionFields {
    pub(super) fn new(
        recognition: &Recognition,
        destinations: &[Destination],
        commit: &str,
    ) -> Result<Self, StoreError> {
        let recognized_at = timestamp(recognition.recognized_at)?;
        let contribution = recognition.contribution.as_ref();
        Ok(Self {
            id: recognition.id.as_str().to_owned(),
            contributor: recognition.contributor.as_str().to_owned(),
            milestone: recognition.milestone,
            tally: recognition.tally,
            recognized_at,
            contribution: contribution
                .map(|contribution| ContributionFields::new(contribution, None))
                .transpose()?,
            due: destinations.iter().map(|to| to.as_str().to_owned()).collect(),
            next: destinations.iter().map(|to| (next_field(*to), recognized_at)).collect(),
            tries: BTreeMap::new(),
            outcome: BTreeMap::new(),
            commit: commit.to_owned(),
        })
    }

    pub(super) fn is_of(&self, commit: &str) -> bool {
        self.commit == commit
    }

    pub(super) fn is_due(&self, destination: Destination) -> bool {
        self.due.iter().any(|word| word == destination.as_str())
    }

    pub(super) fn tries(&self, destination: Destination) -> u32 {
        self.tries.get(destination.as_str()).copied().unwrap_or_default()
    }

    pub(super) fn recognized_at(&self) -> Result<Moment, StoreError> {
        moment(self.recognized_at)
    }

    pub(super) fn progress(&self) -> Vec<Progress> {
        let at = |destination: Destination| {
            if self.is_due(destination) {
                return Some(Progress { destination, state: ProgressState::Waiting, reason: None });
            }
            let outcome = self.outcome.get(destination.as_str())?;
            Some(Progress {
                destination,
                state: if outcome.reason.is_some() { ProgressState::GivenUp } else { ProgressState::Done },
                reason: outcome.reason.clone(),
            })
        };
        Destination::ALL.into_iter().filter_map(at).collect()
    }

    pub(super) fn recognition(self) -> Result<Recognition, StoreError> {
        Ok(Recognition {
            contributor: contributor(&self.contributor)?,
            milestone: self.milestone,
            tally: self.tally,
            recognized_at: moment(self.recognized_at)?,
            contribution: self.contribution.map(ContributionFields::contribution).transpose()?,
            id: RecognitionId::from_text(self.id),
        })
    }
}

fn contributor(id: &str) -> Result<ContributorId, StoreError> {
    ContributorId::parse(id).map_err(|_| broken("contributor", id))
}

fn broken(what: &str, id: &str) -> StoreError {
    StoreError::Broken(format!("the document of the {what} {id} is not plaudit's"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_that_firestore_allows_stands_as_it_is() {
        for id in ["github:octocat", "änne", "a.b", "__x", "x__", "...", "github:42:push:0f:mona lisa"] {
            assert_eq!(document_id(id), id);
        }
    }

    #[test]
    fn what_firestore_does_not_allow_is_escaped() {
        let cases = [
            ("", "%"),
            (".", "%2E"),
            ("..", "%2E."),
            ("____", "%5F___"),
            ("__name__", "%5F_name__"),
            ("a/b", "a%2Fb"),
            ("100%", "100%25"),
            ("a\nb", "a%0Ab"),
            ("sha256:x", "%73ha256:x"),
        ];
        for (id, expected) in cases {
            assert_eq!(document_id(id), expected);
        }
        assert_eq!(document_id(&"x".repeat(1_500)).len(), 1_500);
        assert!(document_id(&"x".repeat(1_501)).starts_with("sha256:"));
        assert!(document_id(&"ä".repeat(751)).starts_with("sha256:"));
    }

    proptest! {
        #[test]
        fn every_id_has_a_document_id_of_its_own(
            one in "(sha256:|__|\\.|)[a/%_.é\n2F5]{0,6}(__|)",
            other in "(sha256:|__|\\.|)[a/%_.é\n2F5]{0,6}(__|)",
        ) {
            prop_assert!(is_document_id(&document_id(&one)));
            prop_assert_eq!(one == other, document_id(&one) == document_id(&other));
        }
    }
}
