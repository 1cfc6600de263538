//! What several pages show: people, milestones, times and links.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::{Contribution, ContributorId, Kind, Milestones, Moment, Recognition};
use crate::publish::Message;
use crate::store::{Contributor, Store, StoreError};

/// What must be encoded in one segment of a path or in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many contributions of recognitions are read at once.
const SIDE_BY_SIDE: usize = 8;

/// How many colours the initials have.
const TONES: usize = 6;

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A URL that may become a link; anything but http and https never does.
pub(super) fn link(url: Option<&str>) -> Option<String> {
    url.and_then(Contribution::keep_url)
}

/// A contributor's name, as pages show it.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) login: String,
    /// The host's name; none for a plain name.
    pub(super) host: Option<String>,
    /// The host's name, percent-encoded for a URL.
    pub(super) host_encoded: String,
    /// The id, percent-encoded for a URL.
    pub(super) encoded: String,
    pub(super) initial: String,
    pub(super) tone: usize,
}

impl Who {
    pub(super) fn of(id: &ContributorId) -> Self {
        let login = id.login();
        let sum: usize = id.as_str().bytes().map(usize::from).sum();
        Self {
            login: login.to_owned(),
            host: id.host().map(host_name),
            host_encoded: encoded(id.host().unwrap_or_default()),
            encoded: encoded(id.as_str()),
            initial: login.chars().next().map(|first| first.to_uppercase().collect()).unwrap_or_default(),
            tone: sum % TONES,
        }
    }
}

/// A host's name for people.
pub(super) fn host_name(host: &str) -> String {
    match host {
        "github" => "GitHub".into(),
        "gitlab" => "GitLab".into(),
        other => other.to_owned(),
    }
}

/// A kind's name for people.
pub(super) fn kind_name(kind: &Kind) -> String {
    kind.as_str().replace('_', " ")
}

/// How far a contributor is on the way to the next milestone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) tally: u64,
    pub(super) recognized: u64,
    /// The next milestone; none after the last.
    pub(super) next: Option<u64>,
}

impl Way {
    pub(super) fn of(contributor: &Contributor, milestones: &Milestones) -> Self {
        let standing = &contributor.standing;
        Self {
            tally: standing.tally,
            recognized: standing.recognized,
            next: milestones.next(standing.recognized),
        }
    }

    /// Of an account that has contributed nothing.
    pub(super) fn begin(milestones: &Milestones) -> Self {
        Self { tally: 0, recognized: 0, next: milestones.next(0) }
    }

    /// How many contributions are missing.
    pub(super) fn missing(&self) -> u64 {
        self.next.unwrap_or(0).saturating_sub(self.tally)
    }

    /// How much of the way to the next milestone is done.
    pub(super) fn done(&self) -> u64 {
        self.next.map_or(self.tally, |next| next.min(self.tally))
    }

    /// The way as a sentence.
    pub(super) fn said(&self) -> String {
        match (self.next, self.missing()) {
            (None, _) => "every milestone reached".into(),
            (Some(next), 0) => format!("{} reached", thousands(next)),
            (Some(next), missing) => format!("{} to go until {}", thousands(missing), thousands(next)),
        }
    }
}

/// A recognition, as pages show it.
#[derive(Clone, Debug)]
pub(super) struct Thanks {
    pub(super) id: String,
    pub(super) who: Who,
    pub(super) milestone: String,
    pub(super) at: When,
    pub(super) by: Option<Work>,
}

impl Thanks {
    /// One after the other: a page is one read among those of all clients.
    pub(super) async fn all(
        store: &dyn Store,
        recognitions: &[Recognition],
    ) -> Result<Vec<Self>, StoreError> {
        // Collected first: the compiler does not find a stream that maps them to be `Send`.
        let all: Vec<_> = recognitions.iter().map(|recognition| Self::of(store, recognition)).collect();
        stream::iter(all).buffered(SIDE_BY_SIDE).try_collect().await
    }

    /// Without what is private. A recognition keeps the contribution that earned it, and only the ledger says whether
    /// it was taken back since: a title that was rejected must not stay on the first page.
    async fn of(store: &dyn Store, recognition: &Recognition) -> Result<Self, StoreError> {
        let message = Message::public(recognition);
        let by = match recognition.contribution.as_ref().filter(|_| message.contribution.is_some()) {
            Some(earned) => store.contribution(&earned.id).await?,
            None => None,
        };
        let by = by.filter(|counted| !counted.retracted && !counted.contribution.private);
        Ok(Self {
            id: message.id,
            who: Who::of(&recognition.contributor),
            milestone: thousands(recognition.milestone),
            at: When::of(recognition.recognized_at),
            by: by.map(|counted| Work::of(&counted.contribution)),
        })
    }
}

/// A contribution, as pages show it.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) kind: String,
    pub(super) title: Option<String>,
    pub(super) url: Option<String>,
    pub(super) repository: Option<String>,
    pub(super) at: When,
}

impl Work {
    pub(super) fn of(contribution: &Contribution) -> Self {
        Self {
            kind: kind_name(&contribution.kind),
            title: contribution.title.clone().filter(|title| !title.trim().is_empty()),
            url: link(contribution.url.as_deref()),
            repository: contribution.repository.clone(),
            at: When::of(contribution.occurred_at),
        }
    }
}

/// A moment, for people and for programs.
#[derive(Clone, Debug)]
pub(super) struct When {
    pub(super) exact: String,
    pub(super) day: String,
    pub(super) minute: String,
}

impl When {
    pub(super) fn of(moment: Moment) -> Self {
        Self {
            exact: moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            day: moment.format("%-d %b %Y").to_string(),
            minute: moment.format("%-d %b %Y, %H:%M UTC").to_string(),
        }
    }
}

/// A number with its thousands apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let apart = |(at, digit): (usize, char)| {
        let comma = at > 0 && (places - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(apart).collect()
}

/// `3, 10 and 25`.
pub(super) fn listed(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., end] => format!("{} {last} {end}", before.join(", ")),
    }
}

/// Every configured milestone.
pub(super) fn all(milestones: &Milestones) -> Vec<u64> {
    milestones.between(0, u64::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_are_written_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        let words = ["3", "10", "25"].map(str::to_owned);
        assert_eq!(listed(&words, "and"), "3, 10 and 25");
        assert_eq!(listed(&words[..1], "and"), "3");
    }

    #[test]
    fn only_web_urls_become_links() {
        assert!(link(Some("https://example.org/")).is_some());
        for other in ["javascript:alert(1)", "data:text/html,x", "//example.org", "ftp://example.org"] {
            assert_eq!(link(Some(other)), None, "{other}");
        }
    }
}
