use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{ContributorId, HostName, Labels, Moment, WorkId, keepable};

/// The longest title, in characters.
const LONGEST_TITLE: usize = 500;
/// The longest URL, in bytes.
const LONGEST_URL: usize = 2_000;
/// The longest repository name, in bytes.
const LONGEST_REPOSITORY: usize = 500;
/// The longest id that a client may give, in bytes.
const LONGEST_OWN_ID: usize = 1_000;

/// What makes a contribution itself: its content, never the delivery that brought it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContributionId(String);

impl ContributionId {
    /// `{host}:{repository}:{rest}`, such as `github:42:pull_request:7:octocat`.
    #[must_use]
    pub fn on_host(host: &HostName, repository: impl fmt::Display, rest: impl fmt::Display) -> Self {
        Self(format!("{host}:{repository}:{rest}"))
    }

    /// `api:{source}:{own}`: so a client's post can never have the id of a host's contribution.
    fn of_api(source: &Source, own: &str) -> Self {
        Self(format!("api:{}:{own}", source.0))
    }

    /// An id as a store kept it or a client asks for it.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContributionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What sort of thing was done: `push`, `pull_request`, `issue`, or a name that a client chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// Commits that were pushed.
    pub const PUSH: Self = Self(Cow::Borrowed("push"));
    /// A pull request, or GitLab's merge request.
    pub const PULL_REQUEST: Self = Self(Cow::Borrowed("pull_request"));
    /// An issue, or GitLab's work item.
    pub const ISSUE: Self = Self(Cow::Borrowed("issue"));
    /// The kinds that hosts send.
    pub const OF_HOSTS: [Self; 3] = [Self::PUSH, Self::PULL_REQUEST, Self::ISSUE];

    /// `[a-z][a-z0-9_-]{0,39}`
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_word(text).then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The kind as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which client's ids these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(String);

/// A hash of what a client posted: shows whether a repeated id comes with the same body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// One thing a contributor did.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Its identity.
    pub id: ContributionId,
    /// Who did it.
    pub contributor: ContributorId,
    /// What sort of thing.
    pub kind: Kind,
    /// When it was done, as the host or client states it.
    pub occurred_at: Moment,
    /// Its title, at most 500 characters.
    pub title: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// The repository's full name.
    pub repository: Option<String>,
    /// From a private repository, or confidential: counted, and shown only with a token.
    pub private: bool,
    /// The host's numeric id of the contributor's account, where the payload has it.
    pub user_id: Option<u64>,
    /// The contributor's page on a self-managed host, from the payload's own URLs; `None` where it follows from
    /// the host's name. Stores keep it with the contributor.
    pub account_url: Option<String>,
    /// The labels of the pull request or issue, where the payload has them.
    pub labels: Option<Labels>,
    /// When this part of a pull request landed on the default branch, where the payload says that it did.
    pub landed_at: Option<Moment>,
    /// Of a client's post; `None` where the id is made from the content, as for every host.
    pub content: Option<Fingerprint>,
}

impl Contribution {
    /// The piece of work that this is part of.
    #[must_use]
    pub fn work(&self) -> WorkId {
        WorkId::of(&self.id, &self.kind, self.content.is_none())
    }

    /// A host's title, cut to what is kept.
    #[must_use]
    pub fn clip_title(title: &str) -> String {
        title.chars().take(LONGEST_TITLE).collect()
    }

    /// A host's URL, if it is one that can be shown and linked.
    #[must_use]
    pub fn keep_url(url: &str) -> Option<String> {
        is_web_url(url).then(|| url.to_owned())
    }
}

/// What a client posts, not yet checked.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// `github:octocat` or a plain name.
    pub contributor: String,
    /// The kind, such as `talk`.
    pub kind: String,
    /// The client's own id.
    pub id: Option<String>,
    /// The header `Idempotency-Key`.
    pub key: Option<String>,
    /// Whose ids these are.
    pub source: Option<String>,
    /// RFC 3339.
    pub occurred_at: Option<String>,
    /// At most 500 characters.
    pub title: Option<String>,
    /// http or https, at most 2,000 bytes.
    pub url: Option<String>,
    /// The repository's name.
    pub repository: Option<String>,
}

/// Every fault of a draft: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the fields are wrong", .0.len())]
pub struct InvalidDraft(pub Vec<(&'static str, String)>);

impl Draft {
    /// The contribution that this draft describes, or all its faults at once.
    ///
    /// `fresh` makes an id where the client gave neither an id nor a key.
    pub fn check(self, now: Moment, fresh: impl FnOnce() -> String) -> Result<Contribution, InvalidDraft> {
        let mut faults = Vec::new();
        let mut fault = |field: &'static str, wrong: String| faults.push((field, wrong));

        let contributor =
            ContributorId::of_client(&self.contributor).map_err(|e| fault("contributor", e.to_string())).ok();
        if contributor.is_some() && self.contributor.contains(is_invisible) {
            fault("contributor", INVISIBLE.into());
        }
        let kind = Kind::parse(&self.kind);
        if kind.is_none() {
            fault("kind", word_rule());
        }
        let source = self.source.as_deref().unwrap_or("api");
        if !is_word(source) {
            fault("source", word_rule());
        }
        let occurred_at = self.occurred_at.as_deref().map(|text| parse_moment(text).ok_or(text));
        if let Some(Err(_)) = occurred_at {
            fault("occurred_at", "a time as RFC 3339 writes it, such as 2026-11-24T10:00:00Z".into());
        }
        if self.title.as_ref().is_some_and(|t| t.chars().count() > LONGEST_TITLE) {
            fault("title", format!("at most {LONGEST_TITLE} characters"));
        }
        if self.url.as_ref().is_some_and(|url| !is_web_url(url)) {
            fault("url", format!("an http or https URL of at most {LONGEST_URL} bytes"));
        }
        if self.repository.as_ref().is_some_and(|r| r.len() > LONGEST_REPOSITORY || r.is_empty()) {
            fault("repository", format!("1 to {LONGEST_REPOSITORY} bytes"));
        }
        if self.repository.as_ref().is_some_and(|repository| repository.contains(is_invisible)) {
            fault("repository", INVISIBLE.into());
        }
        let sound_id =
            |id: &String| (1..=LONGEST_OWN_ID).contains(&id.len()) && !id.contains(char::is_control);
        if self.id.as_ref().is_some_and(|id| !sound_id(id)) {
            fault("id", format!("1 to {LONGEST_OWN_ID} bytes without control characters"));
        }
        if self.key.as_ref().is_some_and(|key| !sound_id(key)) {
            fault("Idempotency-Key", format!("1 to {LONGEST_OWN_ID} bytes without control characters"));
        }
        if self.id.is_some() && self.key.is_some() {
            fault("id", "give an id or an Idempotency-Key, not both".into());
        }

        let (Some(contributor), Some(kind), true) = (contributor, kind, faults.is_empty()) else {
            return Err(InvalidDraft(faults));
        };
        let content = self.content(&contributor);
        let own = match (self.id, self.key) {
            (Some(id), _) => id,
            (None, Some(key)) => hex::encode(Sha256::digest(key.as_bytes())),
            (None, None) => fresh(),
        };
        Ok(Contribution {
            id: ContributionId::of_api(&Source(source.to_owned()), &own),
            contributor,
            kind,
            occurred_at: occurred_at.and_then(Result::ok).unwrap_or(now),
            title: self.title,
            url: self.url,
            repository: self.repository,
            private: false,
            user_id: None,
            account_url: None,
            labels: None,
            landed_at: None,
            content: Some(content),
        })
    }

    /// The fingerprint of all that was given, each field set off by its length.
    fn content(&self, contributor: &ContributorId) -> Fingerprint {
        let given = [
            Some(contributor.as_str()),
            Some(&self.kind),
            self.occurred_at.as_deref(),
            self.title.as_deref(),
            self.url.as_deref(),
            self.repository.as_deref(),
        ];
        let mut hash = Sha256::new();
        for field in given {
            hash.update(field.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hash.update(field.unwrap_or_default());
        }
        let mut short = [0; 16];
        short.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Fingerprint(short)
    }
}

const INVISIBLE: &str = "no characters that are invisible or change the direction of text";

/// Whether a character shows nothing of its own, or changes the direction of those beside it: with one, two
/// different names look the same. Unicode's `Default_Ignorable_Code_Point`, the separators of lines and
/// paragraphs, the marks of annotations, and the blank of Braille:
/// <https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt>.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn parse_moment(text: &str) -> Option<Moment> {
    keepable(chrono::DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

fn is_word(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(rest)
}

fn word_rule() -> String {
    "a word of at most 40 characters: a lower-case letter, then lower-case letters, digits, '_' or '-'".into()
}

fn is_web_url(text: &str) -> bool {
    text.len() <= LONGEST_URL
        && !text.contains(|c: char| c.is_control() || c.is_whitespace() || r#""<>\"#.contains(c))
        // A scheme without an authority: a browser would resolve it against its own page.
        && text.split_once("://").is_some_and(|(scheme, rest)| {
            ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) && !rest.starts_with('/')
        })
        && url::Url::parse(text).is_ok_and(|url| url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft { contributor: "github:Octocat".into(), kind: "talk".into(), ..Draft::default() }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let bad = Draft {
            contributor: "a/b".into(),
            kind: "Talk!".into(),
            id: Some(String::new()),
            key: Some("k".into()),
            source: Some("No".into()),
            occurred_at: Some("yesterday".into()),
            title: Some("x".repeat(501)),
            url: Some("javascript:alert(1)".into()),
            repository: Some(String::new()),
        };
        let InvalidDraft(faults) = bad.check(Moment::UNIX_EPOCH, String::new).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|(field, _)| *field).collect();
        assert_eq!(
            fields,
            ["contributor", "kind", "source", "occurred_at", "title", "url", "repository", "id", "id"]
        );
    }

    #[test]
    fn a_url_is_one_to_a_browser_too() {
        for right in ["https://example.org/17", "HTTP://[::1]:80/ü?a=b#c"] {
            assert!(is_web_url(right), "{right}");
        }
        for wrong in
            ["https:example.org/x", "https:e.org/://x", "http:///e.org", r"https:\\e.org", "ftp://e.org"]
        {
            assert!(!is_web_url(wrong), "{wrong}");
        }
        for sign in ["\"", "<", ">", " ", "\n"] {
            assert!(!is_web_url(&format!("https://example.org/{sign}")), "{sign}");
        }
    }

    #[test]
    fn the_same_again_has_the_same_content_whatever_the_time() {
        let at = |seconds| Moment::from_timestamp(seconds, 0).unwrap();
        let first = draft().check(at(0), || "1".into()).unwrap();
        let again = draft().check(at(9), || "1".into()).unwrap();
        assert_eq!(first.content, again.content);
        let other = Draft { title: Some(String::new()), ..draft() }.check(at(0), || "1".into()).unwrap();
        assert_ne!(first.content, other.content);
    }

    #[test]
    fn an_id_of_a_client_cannot_be_that_of_a_host() {
        let posted =
            Draft { id: Some("github:42:issue:1".into()), ..draft() }.check(Moment::UNIX_EPOCH, String::new);
        assert_eq!(posted.unwrap().id.as_str(), "api:api:github:42:issue:1");
    }
}
