//! What hosts send.
//!
//! A new host is a file here that implements `Host`, and an entry in `KNOWN`.

pub mod allowed;
mod api;
mod webhooks;
pub mod deliveries;
mod headers;
pub mod rules;
mod signature;
mod reason;
mod json;
mod machines;
pub mod mailmap;
mod origin;
mod commit;
mod item;
mod push;
mod github;
mod gitlab;
mod fixtures;
mod graph;
mod history;
mod patient;
mod trail;

pub use api::{Api, ApiError};
pub use fixtures::{DEMO, DemoDelivery, event_of_fixture};
pub use history::{From, History, HistoryPage, Pages, Repository, Source};
pub use patient::{Notice, Patient, Renewal};
pub use reason::Reason;
pub use rules::{PullRequests, Rules};
pub use webhooks::{Receipt, Set, Setup, Tested, Webhook, Webhooks};

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

use crate::domain::{Contribution, ContributorId, Moment, Review, Visibility};
use crate::settings::{Setting, Settings};

/// Every host plaudit knows.
pub const KNOWN: &[Known] = &[
    Known {
        name: github::NAME,
        open: github::open,
        set: "PLAUDIT_GITHUB_SECRET",
        event_header: github::EVENT,
        delivery_headers: github::DELIVERY,
        event_of_fixture: github::event_of_fixture,
        hosts: github::HOSTS,
        is_machine: github::is_machine,
        setup: github::SETUP,
        history: Some(github::HISTORY),
        repair: Some(github::REPAIR),
    },
    Known {
        name: gitlab::NAME,
        open: gitlab::open,
        set: "PLAUDIT_GITLAB_SIGNING_TOKEN or PLAUDIT_GITLAB_SECRET",
        event_header: gitlab::EVENT,
        delivery_headers: gitlab::DELIVERY,
        event_of_fixture: gitlab::event_of_fixture,
        hosts: gitlab::HOSTS,
        is_machine: gitlab::is_machine,
        setup: gitlab::SETUP,
        history: Some(gitlab::HISTORY),
        repair: Some(gitlab::REPAIR),
    },
];

/// A host plaudit knows.
#[derive(Debug)]
pub struct Known {
    /// Its name in routes, logs and metrics.
    pub name: &'static str,
    /// Opens it with its secrets; `None` where none is set, and then all its deliveries are refused.
    pub open: fn(&mut Settings<'_>) -> Option<Arc<dyn Host>>,
    /// What to set so that it opens.
    pub set: &'static str,
    /// The header with the event's name, by which a delivery at a wrong URL is recognised.
    pub event_header: &'static str,
    /// The headers with the delivery's id, the first that is there.
    pub delivery_headers: &'static [&'static str],
    /// The event of a payload file whose name begins with this word: for `plaudit send`.
    pub event_of_fixture: fn(&str) -> Option<&'static str>,
    /// The setting that lists the hosts for which its secret may speak.
    pub hosts: Setting,
    /// Whether only machines can have such a login there; it is in lower case.
    pub is_machine: fn(&str) -> bool,
    /// How its webhooks are set up.
    pub setup: Setup,
    /// How its history is read, where that is possible.
    pub history: Option<Source>,
    /// How its failed deliveries are asked for again, where that is possible.
    pub repair: Option<deliveries::Repair>,
}

/// What a request claims to be that was not verified: for the log, so that an operator finds it on the host's
/// deliveries page. Anyone can claim anything.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    pub delivery: Option<String>,
    pub event: Option<String>,
    /// The body's length in bytes, as `Content-Length` says.
    pub length: Option<u64>,
}

impl Known {
    /// What a delivery of this host claims in its headers.
    #[must_use]
    pub fn claim(&self, headers: &HeaderMap) -> Claim {
        let length = headers.get(http::header::CONTENT_LENGTH);
        Claim {
            delivery: self.delivery_headers.iter().find_map(|name| headers::claimed(headers, name)),
            event: headers::claimed(headers, self.event_header),
            length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        }
    }
}

/// The host whose event header a request has, if that is not the host `expected`. Nothing is verified.
#[must_use]
pub fn sender_other_than(expected: &str, headers: &HeaderMap) -> Option<&'static Known> {
    let mut senders = KNOWN.iter().filter(|known| headers.contains_key(known.event_header));
    let sender = senders.next()?;
    let is_expected = |known: &Known| known.name == expected;
    (!is_expected(sender) && !senders.any(is_expected)).then_some(sender)
}

/// Why an account can make no contribution, as far as its name shows: it is a machine's, or that which replaces
/// deleted accounts. A self-managed host may be of any kind.
#[must_use]
pub fn no_person(account: &ContributorId, rules: &Rules) -> Option<Reason> {
    let (host, login) = (account.host()?, account.login());
    if rules.is_person(account) {
        return None;
    }
    let public = KNOWN.iter().any(|known| known.name == host);
    let mut kinds = KNOWN.iter().filter(|known| !public || known.name == host);
    if kinds.any(|known| (known.is_machine)(login) || machines::is_known_machine(known.name, login)) {
        return Some(Reason::Bot);
    }
    origin::is_ghost(login).then_some(Reason::Ghost)
}

/// A host plaudit knows, open if its secrets are set.
#[derive(Clone)]
pub struct Opened {
    pub known: &'static Known,
    pub host: Option<Arc<dyn Host>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("name", &self.known.name)
            .field("open", &self.host.is_some())
            .finish_non_exhaustive()
    }
}

/// Opens every host whose secrets are set.
pub fn open(settings: &mut Settings<'_>) -> Vec<Opened> {
    KNOWN.iter().map(|known| Opened { known, host: (known.open)(settings) }).collect()
}

/// One kind of host.
///
/// A request becomes contributions in three steps, each of which can be refused: [`admit`](Host::admit)
/// looks at the headers alone, before a byte of the body is read; [`verify`](Host::verify) at the body's
/// signature; [`read`](Host::read) at what it says.
pub trait Host: Send + Sync + 'static {
    /// Its name in routes, logs and metrics.
    fn name(&self) -> &'static str;

    /// What the headers claim, or why they cannot be those of a genuine delivery.
    fn admit(&self, headers: &HeaderMap, now: Moment) -> Result<Admitted, Rejection>;

    /// The delivery, if the signature is right for exactly these bytes.
    fn verify(&self, admitted: Admitted, body: Vec<u8>) -> Result<Delivery, Rejection>;

    /// What a delivery says.
    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Payload, Malformed>;

    /// The headers with which the host itself would send `body`: for `plaudit send` and `plaudit demo`.
    fn sign(&self, event: &str, delivery: &str, body: &[u8], now: Moment) -> HeaderMap;
}

/// What a request's headers claim, before the body has been looked at.
#[derive(Debug)]
pub struct Admitted {
    /// The delivery's id as the host gave it: for logs and answers, never for identity.
    pub delivery: String,
    /// The event's name. If it is missing, that is reported only after the signature was verified.
    pub event: Result<String, Rejection>,
    proof: signature::Proof,
    form: bool,
}

/// A request whose signature or token was verified; it can be made in no other way.
pub struct Delivery {
    id: String,
    event: String,
    json: String,
}

impl fmt::Debug for Delivery {
    /// Without the payload, which does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).field("event", &self.event).finish_non_exhaustive()
    }
}

impl Delivery {
    /// The delivery's id, as the host gave it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event's name, as the host gave it.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }
}

/// Why a request is not a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No signature, or one that is malformed.
    #[error("the request is not signed: {0}")]
    Unsigned(&'static str),
    /// A signature that does not hold.
    #[error("the signature does not hold: {0}")]
    BadSignature(&'static str),
    /// A content type or encoding that the host does not send.
    #[error("not what this host sends: {0}")]
    Unsupported(&'static str),
    /// A header that every delivery has is missing or unreadable.
    #[error("not what this host sends: {0}")]
    Malformed(&'static str),
}

/// A verified delivery that does not have the form its host documents: what is wrong, without the payload's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// What a delivery says.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    pub reading: Reading,
    /// What the payload states about who may see its repository, if it is news. Where it states nothing, its
    /// contributions are private, but what was recorded before stays as it is.
    pub visibility: Option<Visibility>,
}

impl Payload {
    /// Nothing that counts, in a repository of which nothing is known.
    fn ignored(reason: Reason) -> Self {
        Self { reading: Reading::Ignored(reason), visibility: None }
    }
}

/// What a delivery says about contributions.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// These contributions.
    Counts(Vec<Contribution>),
    /// Contributions are taken back, count again or become private, whether or not they are recorded yet.
    Reviews(Review),
    /// Nothing that counts: an answer, not an error.
    Ignored(Reason),
}
