//! What the hosts' payloads have in common: texts that are borrowed, times, people.

use std::borrow::Cow;
use std::ops::Deref;

use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use serde_json::error::Category;

use super::{Malformed, Reading, Reason, Rules};
use crate::domain::{Contribution, ContributionId, ContributorId, HostName, Kind, Moment, keepable};

/// The longest repository name that is kept, in bytes.
const LONGEST_REPOSITORY: usize = 500;

/// A text that is borrowed from the body wherever it has no escapes, inside an `Option` too, where a bare
/// `Cow` would be copied.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Any JSON object: that it is one is all that matters.
#[derive(Deserialize)]
pub(super) struct Anything {}

/// Reads a payload. A key that is read and stands there twice is an error, so that no two readers of one
/// payload can disagree; keys that are not read may say what they like.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Malformed> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("the payload is no JSON object".into()));
    }
    serde_json::from_slice(json).map_err(|error| Malformed(told(&error)))
}

/// What is wrong, without a word of the payload.
fn told(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    // These two name fields of ours alone.
    let field = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|kind| Some((kind, text.strip_prefix(kind)?.split('`').next()?)));
    match (error.classify(), field) {
        (_, Some((kind, name))) => format!("{kind}{name}` at {place}"),
        (Category::Data, None) => format!("a value is not of the documented type at {place}"),
        _ => format!("the payload is no JSON at {place}"),
    }
}

/// At most `bytes` of `text`, in whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// A moment as one of the hosts writes it: RFC 3339, or GitLab's `2017-12-10 16:37:38 UTC`.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.to_utc(),
        Err(_) => match text.strip_suffix(" UTC") {
            Some(naive) => NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc(),
            None => DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %z").ok()?.to_utc(),
        },
    };
    keepable(moment)
}

/// Whether `text` is the name of a commit, by whatever hash.
pub(super) fn is_commit(text: &str) -> bool {
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (7..=64).contains(&text.len()) && text.bytes().all(hexadecimal)
}

/// Whether `text` stands for no commit at all, as after a deletion.
pub(super) fn is_no_commit(text: &str) -> bool {
    is_commit(text) && text.bytes().all(|b| b == b'0')
}

/// Whom a payload names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// An account that can be thanked.
    Person(ContributorId),
    /// A machine.
    Bot,
    /// The account that stands for deleted ones.
    Ghost,
    /// Nobody that can be told.
    Nobody,
}

impl Who {
    /// The one person to credit, or why there is none.
    pub(super) fn credited(self, rules: &Rules) -> Result<ContributorId, Reason> {
        match self {
            Self::Person(id) if rules.ignores(&id) => Err(Reason::IgnoredContributor),
            Self::Person(id) => Ok(id),
            Self::Bot => Err(Reason::Bot),
            Self::Ghost => Err(Reason::Ghost),
            Self::Nobody => Err(Reason::AuthorUnknown),
        }
    }
}

/// Whether a name is one that only an app has, however it is written: a login has no case.
pub(super) fn is_app(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("[bot]")
}

/// How a kind of host names people.
pub(super) struct Manners {
    /// The kind's public site and its short name.
    pub(super) public: (&'static str, &'static str),
    /// Whether a login is a machine's.
    pub(super) is_bot: fn(&str) -> bool,
    /// The login in what stands before the `@` of a noreply address.
    pub(super) login_in: fn(&str) -> Option<&str>,
}

/// The repository, and so the host, that a payload speaks of.
pub(super) struct Origin {
    pub(super) manners: &'static Manners,
    pub(super) host: HostName,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) private: bool,
}

impl Origin {
    pub(super) fn new(
        manners: &'static Manners,
        url: &str,
        id: u64,
        name: &str,
        private: bool,
    ) -> Result<Self, Malformed> {
        let host = HostName::from_url(url, manners.public).map_err(|error| Malformed(error.to_string()))?;
        let name = cut(name, LONGEST_REPOSITORY).to_owned();
        Ok(Self { manners, host, id, name, private })
    }

    /// Whom `login` names.
    pub(super) fn who(&self, login: &str) -> Who {
        if (self.manners.is_bot)(login) {
            return Who::Bot;
        }
        if login.eq_ignore_ascii_case("ghost") {
            return Who::Ghost;
        }
        // A letter that only looks like one of ASCII must not become it in lower case.
        if login.is_ascii() != login.to_lowercase().is_ascii() {
            return Who::Nobody;
        }
        ContributorId::on_host(&self.host, login).map_or(Who::Nobody, Who::Person)
    }

    /// The login in a noreply address of this very host: any other address is anybody's claim.
    pub(super) fn login_in<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (local, domain) = address.trim().rsplit_once('@')?;
        let (public, short) = self.manners.public;
        let network = match self.host.as_str() {
            name if name == short => public,
            own => own.split(':').next().unwrap_or(own),
        };
        let prefix = "users.noreply.";
        let here = domain.get(..prefix.len())?.eq_ignore_ascii_case(prefix)
            && domain.get(prefix.len()..)?.eq_ignore_ascii_case(network);
        let login = (self.manners.login_in)(local).filter(|login| !login.is_empty());
        login.filter(|_| here)
    }

    /// A contribution to this repository; `rest` is its identity within it.
    pub(super) fn contribution(
        &self,
        kind: Kind,
        rest: impl std::fmt::Display,
        contributor: ContributorId,
        occurred_at: Moment,
    ) -> Contribution {
        Contribution {
            id: ContributionId::on_host(&self.host, self.id, rest),
            contributor,
            kind,
            occurred_at,
            title: None,
            url: None,
            repository: Some(self.name.clone()),
            private: self.private,
            user_id: None,
            account_url: None,
            labels: None,
            landed_at: None,
            content: None,
        }
    }
}

/// A pull request or an issue that was opened.
pub(super) struct Opened<'a> {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) title: Option<&'a str>,
    pub(super) url: Option<&'a str>,
    pub(super) created_at: Option<&'a str>,
    pub(super) author: Who,
    pub(super) user_id: Option<u64>,
}

impl Opened<'_> {
    pub(super) fn read(self, origin: &Origin, rules: &Rules, now: Moment) -> Reading {
        let contributor = match self.author.credited(rules) {
            Ok(contributor) => contributor,
            Err(reason) => return Reading::Ignored(reason),
        };
        let rest = format!("{}:{}", self.kind.as_str(), self.number);
        let occurred_at = self.created_at.and_then(moment).unwrap_or(now);
        let contribution = Contribution {
            title: title(self.title),
            url: self.url.and_then(Contribution::keep_url),
            user_id: self.user_id,
            ..origin.contribution(self.kind, rest, contributor, occurred_at)
        };
        Reading::Counts(vec![contribution])
    }
}

/// A title to keep: the text's first line, if there is one.
pub(super) fn title(text: Option<&str>) -> Option<String> {
    let line = text?.trim_start().lines().next()?.trim_end();
    (!line.is_empty()).then(|| Contribution::clip_title(line))
}

/// Whether `text` is a decimal number.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample<'a> {
        #[serde(borrow)]
        title: Option<Text<'a>>,
    }

    #[test]
    fn an_optional_text_is_borrowed_unless_it_has_escapes() {
        let plain: Sample<'_> = parse(br#"{"title": "a lamp"}"#).unwrap();
        assert!(matches!(plain.title, Some(Text(Cow::Borrowed("a lamp")))));
        let escaped: Sample<'_> = parse(br#"{"title": "a\nlamp"}"#).unwrap();
        assert!(matches!(escaped.title, Some(Text(Cow::Owned(_)))));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 100), "aé");
    }
}
