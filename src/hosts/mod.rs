//! What hosts send.
//!
//! A new host is a file here that implements `Host`, and a line in `KNOWN`.

mod headers;
mod signature;
mod reason;
mod json;
mod machines;
mod origin;
mod commit;
mod item;
mod push;
mod github;
mod gitlab;
mod fixtures;

pub use fixtures::{DEMO, event_of_fixture};
pub use reason::Reason;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::config::HostSecrets;
use crate::domain::{Contribution, ContributorId, Kind, Moment, Review};

/// Every host plaudit knows: its word in the route, how to open it, and what to set so that it opens.
pub const KNOWN: &[(&str, Open, &str)] = &[
    (github::NAME, github::open, "PLAUDIT_GITHUB_SECRET"),
    (gitlab::NAME, gitlab::open, "PLAUDIT_GITLAB_SIGNING_TOKEN or PLAUDIT_GITLAB_SECRET"),
];

/// Makes a host from its secrets; `None` where there are none, and then nothing of it is believed.
pub type Open = fn(&HostSecrets) -> Option<Arc<dyn Host>>;

/// One kind of host.
///
/// A request becomes contributions in three steps, each of which can be refused: [`admit`](Host::admit)
/// looks at the headers alone, before a byte of the body is read; [`verify`](Host::verify) at the body's
/// signature; [`read`](Host::read) at what it says.
pub trait Host: Send + Sync + 'static {
    /// Its word in routes, logs and metrics.
    fn name(&self) -> &'static str;

    /// What the headers claim, or why they cannot be those of a genuine delivery.
    fn admit(&self, headers: &HeaderMap, now: Moment) -> Result<Admitted, Rejection>;

    /// The delivery, if the signature holds over the body's very bytes.
    fn verify(&self, admitted: Admitted, body: Bytes) -> Result<Delivery, Rejection>;

    /// What a delivery says.
    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed>;

    /// The headers with which the host itself would send `body`: for `plaudit send` and `plaudit demo`.
    fn sign(&self, event: &str, delivery: &str, body: &[u8], now: Moment) -> HeaderMap;
}

/// What a request's headers claim, before the body has been looked at.
#[derive(Debug)]
pub struct Admitted {
    /// The delivery's id as the host gave it: for logs and answers, never for identity.
    pub delivery: String,
    /// The event's name. That it is missing is reported only once the signature holds.
    pub event: Result<String, Rejection>,
    proof: signature::Proof,
    form: bool,
}

/// A request that a host really sent: it exists only where the signature held.
pub struct Delivery {
    id: String,
    event: String,
    json: Bytes,
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
    /// No signature, or none that could be one.
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
pub enum Reading {
    /// These contributions.
    Counts(Vec<Contribution>),
    /// Contributions that may or may not be recorded yet are taken back, or count again.
    Reviews(Review),
    /// Nothing that counts: an answer, not an error.
    Ignored(Reason),
}

/// What counts, by configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The kinds of the hosts that count.
    pub count: Vec<Kind>,
    /// Whether pushes to every branch count, not to the default branch alone.
    pub all_branches: bool,
    /// Whether `Co-authored-by` trailers are credited too.
    pub co_authors: bool,
    /// Contributors never counted; `*` stands for any text.
    pub ignore: Vec<String>,
    /// When a pull request counts.
    pub pull_requests: PullRequests,
    /// Labels that take a pull request's or an issue's contributions back, in lower case.
    pub reject_labels: Vec<String>,
    /// Whether pushes to forks count.
    pub forks: bool,
    /// Accounts that look like machines and are people; `*` stands for any text.
    pub people: Vec<String>,
}

/// When a pull request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequests {
    /// When it is opened for review, and at the latest when it is merged.
    Opened,
    /// Only when it is merged.
    Merged,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            count: Kind::OF_HOSTS.to_vec(),
            all_branches: false,
            co_authors: true,
            ignore: Vec::new(),
            pull_requests: PullRequests::Opened,
            reject_labels: vec!["spam".into(), "invalid".into()],
            forks: false,
            people: Vec::new(),
        }
    }
}

impl Rules {
    /// Whether `kind` counts.
    #[must_use]
    pub fn counts(&self, kind: &Kind) -> bool {
        self.count.contains(kind)
    }

    /// Whether `contributor` is never counted.
    #[must_use]
    pub fn ignores(&self, contributor: &ContributorId) -> bool {
        self.ignore.iter().any(|pattern| matches_glob(pattern, contributor.as_str()))
    }

    /// Whether `contributor` is a person, whatever it looks like.
    #[must_use]
    pub fn is_person(&self, contributor: &ContributorId) -> bool {
        self.people.iter().any(|pattern| matches_glob(pattern, contributor.as_str()))
    }

    /// Whether `label` takes contributions back.
    #[must_use]
    pub fn rejects(&self, label: &str) -> bool {
        let label = label.trim().to_lowercase();
        self.reject_labels.contains(&label)
    }
}

/// Whether `text` is what `pattern` says, in which `*` stands for any text. Linear in time and memory.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, matches) in [
            ("github:*-robot", "github:my-robot", true),
            ("github:*-robot", "github:my-robot-2", false),
            ("github:mona", "github:mona", true),
            ("github:mona", "github:monalisa", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
