//! Documents: their ids, their fields, and the way back.

use std::collections::BTreeMap;

use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::{FirestoreDb, FirestoreDocument, FirestoreInstant, FirestoreTimestamp, FirestoreValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, Fingerprint, GiveUp, Kind, Labels, Moment,
    Part, Recognition, RecognitionId, RepositoryId, Standing, Work, WorkId,
};
use crate::store::forgetting::author_of_part;
use crate::store::{Contributor, Counted, PrivateRepository, Progress, State, StoreError};

/// The longest document id that Firestore takes, in bytes.
const LONGEST_DOCUMENT_ID: usize = 1_500;
/// Begins the document id of an identity that is too long for one.
const HASHED: &str = "sha256:";

/// The document id of an identity: the identity itself wherever Firestore allows it, so that document ids
/// sort as identities do. No two identities share one. The field `id` always keeps the identity.
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

/// Whether Firestore takes this as a document's id.
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

/// A difference as Firestore keeps it.
pub(super) fn difference(number: i64) -> FirestoreValue {
    FirestoreValue::from(firestore::gcloud_sdk::google::firestore::v1::Value {
        value_type: Some(ValueType::IntegerValue(number)),
    })
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

/// A field's text.
pub(super) fn text<'d>(document: &'d FirestoreDocument, field: &str) -> Option<&'d str> {
    match document.fields.get(field)?.value_type.as_ref()? {
        ValueType::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The number by which the host itself names the account in a contribution: as the author of an issue or a pull
/// request. The addresses of commits have numbers too, and anybody can write them.
pub(super) fn stated_number(document: &FirestoreDocument) -> Option<u64> {
    let kind = text(document, "kind")?;
    let stated = kind == Kind::ISSUE.as_str() || kind == Kind::PULL_REQUEST.as_str();
    let landed = document.fields.contains_key("landed_at");
    let value = FirestoreValue::from(document.fields.get("user_id")?.clone());
    as_integer(&value).filter(|_| stated && !landed).map(i64::cast_unsigned)
}

/// Whether plaudit 0.1 wrote the document: its name of the field `recognized` was another one.
pub(super) fn is_of_0_1(document: &FirestoreDocument) -> bool {
    document.fields.contains_key("recognised")
}

/// Reads a document's fields.
pub(super) fn read<T: DeserializeOwned>(document: &FirestoreDocument) -> Result<T, StoreError> {
    if is_of_0_1(document) {
        return Err(StoreError::Broken(
            "the database holds a ledger of plaudit 0.1, which was never released for Firestore; \
             give plaudit an empty database"
                .into(),
        ));
    }
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
    account_url: Option<String>,
    tally: i64,
    recognized: i64,
    first_at: i64,
    last_at: i64,
}

impl ContributorFields {
    pub(super) fn standing(&self) -> Result<Standing, StoreError> {
        let sound = |number: i64| u64::try_from(number).map_err(|_| broken("contributor", &self.id));
        Ok(Standing {
            contributor: contributor(&self.id)?,
            tally: sound(self.tally)?,
            recognized: sound(self.recognized)?,
        })
    }

    pub(super) fn contributor(&self) -> Result<Contributor, StoreError> {
        Ok(Contributor {
            standing: self.standing()?,
            user_id: self.user_id.map(i64::cast_unsigned),
            account_url: self.account_url.clone(),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    account_url: Option<&'a str>,
}

impl<'a> ContributorNames<'a> {
    /// The newest of what these contributions, oldest first, say of their contributor.
    pub(super) fn of(contributor: &'a ContributorId, contributions: &[&'a Contribution]) -> Self {
        let newest = || contributions.iter().rev();
        Self {
            id: contributor.as_str(),
            host: contributor.host(),
            login: contributor.login(),
            user_id: newest().find_map(|one| one.user_id).map(u64::cast_signed),
            account_url: newest().find_map(|one| one.account_url.as_deref()),
        }
    }

    /// What was known of a contributor whose document is made again.
    pub(super) fn kept(
        contributor: &'a ContributorId,
        user_id: Option<u64>,
        account_url: Option<&'a str>,
    ) -> Self {
        Self { user_id: user_id.map(u64::cast_signed), account_url, ..Self::of(contributor, &[]) }
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
        if self.account_url.is_some() {
            mask.push("account_url".to_owned());
        }
        mask
    }
}

/// A document of `contributions`, and the contribution inside a recognition.
#[derive(Serialize, Deserialize)]
pub(super) struct ContributionFields {
    id: String,
    contributor: String,
    /// Under which it arrived, where that is not the contributor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
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
    /// The place among those that were recorded by the same commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// Which call wrote this: distinguishes a lost answer from a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// The work, where this is one of its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_at: Option<FirestoreTimestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_rejected: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landed_at: Option<FirestoreTimestamp>,
    /// Whether it is not in the tally; absent inside a recognition.
    #[serde(skip_serializing_if = "Option::is_none")]
    retracted: Option<bool>,
    #[serde(default)]
    deleted: bool,
}

/// How a contribution is stored.
pub(super) struct Stored<'a> {
    pub(super) at: Moment,
    pub(super) place: usize,
    pub(super) commit: &'a str,
    pub(super) counted: bool,
    pub(super) deleted: bool,
    pub(super) private: bool,
    /// The account, where that is not the contributor.
    pub(super) account: Option<&'a ContributorId>,
}

/// What decides about a part of a work, in a document of `contributions`: a recorded contribution or, without
/// a contributor, the mark of a review that came first.
#[derive(Serialize, Deserialize)]
pub(super) struct PartFields {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contributor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recorded_at: Option<FirestoreTimestamp>,
    /// Of a part that is not recorded: by whom it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_at: Option<FirestoreTimestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_rejected: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    landed_at: Option<FirestoreTimestamp>,
    #[serde(default)]
    retracted: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    private: bool,
}

impl PartFields {
    /// What may change of a part that is recorded.
    pub(super) const CHANGING: [&'static str; 6] =
        ["labels_at", "labels_rejected", "landed_at", "retracted", "deleted", "private"];

    /// A part as a document: the whole of a mark, or what may change of a recorded contribution.
    pub(super) fn of(part: &Part, work: &WorkId) -> Result<Self, StoreError> {
        Ok(Self {
            id: part.id.as_str().to_owned(),
            contributor: None,
            account: None,
            recorded_at: None,
            author: author_of_part(&part.id).filter(|_| part.contributor.is_none()).map(|id| id.to_string()),
            content: None,
            commit: None,
            work: work_field(work, &part.id),
            labels_at: part.labels.map(|labels| timestamp(labels.at)).transpose()?,
            labels_rejected: part.labels.map(|labels| labels.rejected),
            landed_at: part.landed_at.map(timestamp).transpose()?,
            retracted: !part.counted,
            deleted: part.deleted,
            private: part.private,
        })
    }

    /// What changes of a part that moves to another contributor.
    pub(super) fn moving() -> Vec<String> {
        let changing = Self::CHANGING.into_iter().chain(["contributor", "account"]);
        changing.map(str::to_owned).collect()
    }

    /// The same part of this contributor, which arrived under this account.
    pub(super) fn moved(self, contributor: &ContributorId, account: Option<&ContributorId>) -> Self {
        let text = |id: &ContributorId| id.as_str().to_owned();
        Self { contributor: Some(text(contributor)), account: account.map(text), ..self }
    }

    /// The account under which it arrived, if it is recorded, and when.
    pub(super) fn arrived(&self) -> Result<Option<(ContributorId, Moment)>, StoreError> {
        let account = self.account.as_deref().or(self.contributor.as_deref());
        let Some((account, at)) = account.zip(self.recorded_at) else { return Ok(None) };
        Ok(Some((contributor(account)?, moment(at)?)))
    }

    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.contributor.is_some()
    }

    pub(super) fn is_of(&self, commit: &str) -> bool {
        self.commit.as_deref() == Some(commit)
    }

    pub(super) fn content(&self) -> Result<Option<Fingerprint>, StoreError> {
        self.content.as_ref().map(|digits| fingerprint(digits, &self.id)).transpose()
    }

    /// The work, where this is one of its parts.
    pub(super) fn work(&self) -> Option<WorkId> {
        self.work.as_deref().map(WorkId::from_text)
    }

    pub(super) fn part(&self) -> Result<Part, StoreError> {
        Ok(Part {
            id: ContributionId::from_text(self.id.as_str()),
            contributor: self.contributor.as_deref().map(contributor).transpose()?,
            deleted: self.deleted,
            private: self.private,
            labels: labels(self.labels_at, self.labels_rejected)?,
            landed_at: self.landed_at.map(moment).transpose()?,
            counted: self.contributor.is_some() && !self.retracted,
        })
    }
}

fn labels(at: Option<FirestoreTimestamp>, rejected: Option<bool>) -> Result<Option<Labels>, StoreError> {
    at.map(|at| Ok(Labels { at: moment(at)?, rejected: rejected.unwrap_or_default() })).transpose()
}

/// The work's id, unless the contribution is all of it.
fn work_field(work: &WorkId, id: &ContributionId) -> Option<String> {
    (!work.is(id)).then(|| work.as_str().to_owned())
}

fn fingerprint(digits: &str, id: &str) -> Result<Fingerprint, StoreError> {
    let mut content = [0; 16];
    hex::decode_to_slice(digits, &mut content).map_err(|_| broken("contribution", id))?;
    Ok(Fingerprint(content))
}

/// A document of `reviews`: what decides about a work beside its parts.
#[derive(Serialize, Deserialize)]
pub(super) struct MarkFields {
    work: String,
    deleted: bool,
    private: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_at: Option<FirestoreTimestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels_rejected: Option<bool>,
    /// Which call wrote this. Different with every write, or Firestore would keep the update time.
    commit: String,
}

impl MarkFields {
    pub(super) fn of(id: &WorkId, work: &Work, commit: &str) -> Result<Self, StoreError> {
        Ok(Self {
            work: id.as_str().to_owned(),
            deleted: work.deleted,
            private: work.private,
            labels_at: work.labels.map(|labels| timestamp(labels.at)).transpose()?,
            labels_rejected: work.labels.map(|labels| labels.rejected),
            commit: commit.to_owned(),
        })
    }

    pub(super) fn is_of(&self, commit: &str) -> bool {
        self.commit == commit
    }

    /// The work, without its parts.
    pub(super) fn work(&self) -> Result<Work, StoreError> {
        Ok(Work {
            deleted: self.deleted,
            private: self.private,
            labels: labels(self.labels_at, self.labels_rejected)?,
            parts: Vec::new(),
        })
    }
}

/// A document of `private`: a repository that is private, or was.
#[derive(Serialize, Deserialize)]
pub(super) struct PrivateFields {
    repository: String,
    /// Microseconds since 1970, as the next two, because Firestore's `maximum` knows numbers only.
    #[serde(default, skip_serializing)]
    since: Option<i64>,
    #[serde(default, skip_serializing)]
    private_at: Option<i64>,
    #[serde(default, skip_serializing)]
    public_at: Option<i64>,
    /// When public contributions of it may be left; absent once that is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    look_again: Option<FirestoreTimestamp>,
}

impl PrivateFields {
    pub(super) const REPOSITORY: &'static str = "repository";
    pub(super) const SINCE: &'static str = "since";
    pub(super) const PRIVATE_AT: &'static str = "private_at";
    pub(super) const PUBLIC_AT: &'static str = "public_at";
    pub(super) const LOOK_AGAIN: &'static str = "look_again";

    pub(super) fn new(repository: &RepositoryId, look_again: Option<Moment>) -> Result<Self, StoreError> {
        let look_again = look_again.map(timestamp).transpose()?;
        let repository = repository.as_str().to_owned();
        Ok(Self { repository, since: None, private_at: None, public_at: None, look_again })
    }

    pub(super) fn repository(&self) -> RepositoryId {
        RepositoryId::from_text(self.repository.as_str())
    }

    pub(super) fn noted(&self) -> Result<PrivateRepository, StoreError> {
        Ok(PrivateRepository {
            id: self.repository(),
            since: self.since.map(moment_of).transpose()?,
            private_at: self.private_at.map(moment_of).transpose()?,
            public_at: self.public_at.map(moment_of).transpose()?,
        })
    }
}

impl ContributionFields {
    pub(super) fn new(contribution: &Contribution, stored: Option<&Stored<'_>>) -> Result<Self, StoreError> {
        Ok(Self {
            id: contribution.id.as_str().to_owned(),
            contributor: contribution.contributor.as_str().to_owned(),
            account: stored.and_then(|stored| Some(stored.account?.as_str().to_owned())),
            kind: contribution.kind.as_str().to_owned(),
            occurred_at: timestamp(contribution.occurred_at)?,
            title: contribution.title.clone(),
            url: contribution.url.clone(),
            repository: contribution.repository.clone(),
            private: stored.map_or(contribution.private, |stored| stored.private),
            user_id: contribution.user_id.map(u64::cast_signed),
            content: contribution.content.map(|content| hex::encode(content.0)),
            recorded_at: stored.map(|stored| timestamp(stored.at)).transpose()?,
            place: stored.map(|stored| stored.place),
            commit: stored.map(|stored| stored.commit.to_owned()),
            work: stored.and_then(|_| work_field(&contribution.work(), &contribution.id)),
            labels_at: contribution.labels.map(|labels| timestamp(labels.at)).transpose()?,
            labels_rejected: contribution.labels.map(|labels| labels.rejected),
            landed_at: contribution.landed_at.map(timestamp).transpose()?,
            retracted: stored.map(|stored| !stored.counted),
            deleted: stored.is_some_and(|stored| stored.deleted),
        })
    }

    /// The account under which it arrived, where that is not the contributor.
    pub(super) fn account(&self) -> Result<Option<ContributorId>, StoreError> {
        self.account.as_deref().map(contributor).transpose()
    }

    /// The work, where this is one of its parts.
    pub(super) fn work(&self) -> Option<WorkId> {
        self.work.as_deref().map(WorkId::from_text)
    }

    pub(super) fn place(&self) -> usize {
        self.place.unwrap_or_default()
    }

    pub(super) fn contribution(self) -> Result<Contribution, StoreError> {
        Ok(Contribution {
            content: self.content.as_ref().map(|digits| fingerprint(digits, &self.id)).transpose()?,
            contributor: contributor(&self.contributor)?,
            kind: Kind::parse(&self.kind).ok_or_else(|| broken("contribution", &self.id))?,
            occurred_at: moment(self.occurred_at)?,
            title: self.title,
            url: self.url,
            repository: self.repository,
            private: self.private,
            user_id: self.user_id.map(i64::cast_unsigned),
            account_url: None,
            labels: labels(self.labels_at, self.labels_rejected)?,
            landed_at: self.landed_at.map(moment).transpose()?,
            id: ContributionId::from_text(self.id),
        })
    }

    pub(super) fn counted(self) -> Result<Counted, StoreError> {
        let recorded_at = self.recorded_at.ok_or_else(|| broken("contribution", &self.id))?;
        let retracted = self.retracted.unwrap_or_default();
        Ok(Counted { recorded_at: moment(recorded_at)?, retracted, contribution: self.contribution()? })
    }
}

/// When the server began to process the commit that made a recognition, whatever else its document has.
pub(super) fn made_at(document: &FirestoreDocument) -> Result<Moment, StoreError> {
    #[derive(Deserialize)]
    struct Made {
        made_at: FirestoreTimestamp,
    }
    read::<Made>(document).and_then(|made| moment(made.made_at))
}

/// A document of `recognitions`.
#[derive(Serialize, Deserialize)]
pub(super) struct RecognitionFields {
    id: String,
    contributor: String,
    milestone: u64,
    tally: u64,
    recognized_at: FirestoreTimestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contribution: Option<ContributionFields>,
    /// The destinations that have not taken it.
    due: Vec<String>,
    /// `next_{destination}`: the time from which it is offered there. Absent where it is not due.
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

/// What became of a recognition at a destination where it is no longer due.
#[derive(Serialize, Deserialize)]
pub(super) struct Outcome {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Outcome {
    pub(super) fn of(reason: Option<GiveUp>) -> Self {
        let state = if reason.is_some() { State::GivenUp } else { State::Done };
        Self { state: state.code().to_owned(), reason: reason.map(|reason| reason.code().to_owned()) }
    }

    fn progress(&self, destination: Destination) -> Option<Progress> {
        let reason = match &self.reason {
            Some(code) => Some(GiveUp::from_code(code)?),
            None => None,
        };
        Some(Progress { destination, state: State::from_code(&self.state)?, reason })
    }
}

/// The field with the time from which a recognition is offered at a destination.
pub(super) fn next_field(destination: Destination) -> String {
    format!("next_{destination}")
}

/// The time from which a recognition is offered at a destination, if it is due there.
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
            account_url: recognition.account_url.clone(),
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

    pub(super) fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        let at = |destination: Destination| {
            if self.is_due(destination) {
                return Some(Ok(Progress { destination, state: State::Waiting, reason: None }));
            }
            let outcome = self.outcome.get(destination.as_str())?;
            Some(outcome.progress(destination).ok_or_else(|| broken("recognition", &self.id)))
        };
        Destination::ALL.into_iter().filter_map(at).collect()
    }

    pub(super) fn recognition(self) -> Result<Recognition, StoreError> {
        Ok(Recognition {
            contributor: contributor(&self.contributor)?,
            milestone: self.milestone,
            tally: self.tally,
            recognized_at: moment(self.recognized_at)?,
            account_url: self.account_url,
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
