//! What counts, as configured.

use super::allowed::AllowedHosts;
use super::mailmap::AddressBook;
use crate::domain::{ContributorId, Kind, fold_case};
use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] =
    &[COUNT, PULL_REQUESTS, REJECT_LABELS, FORKS, BRANCHES, CO_AUTHORS, IGNORE, PEOPLE];

const COUNT: Setting = Setting {
    variable: "PLAUDIT_COUNT",
    flag: "count",
    value: "LIST",
    example: "push,pull_request,issue",
    help: "Which kinds of the hosts count [default: push,pull_request,issue]",
};
const PULL_REQUESTS: Setting = Setting {
    variable: "PLAUDIT_PULL_REQUESTS",
    flag: "pull-requests",
    value: "WHEN",
    example: "opened",
    help: "When a pull request counts: opened (for review) or merged [default: opened]",
};
const REJECT_LABELS: Setting = Setting {
    variable: "PLAUDIT_REJECT_LABELS",
    flag: "reject-labels",
    value: "LIST",
    example: "spam,invalid",
    help: "Labels that take a pull request's or an issue's contributions back [default: spam,invalid]",
};
const FORKS: Setting = Setting {
    variable: "PLAUDIT_FORKS",
    flag: "forks",
    value: "BOOL",
    example: "true",
    help: "Whether pushes to forks count [default: false]",
};
const BRANCHES: Setting = Setting {
    variable: "PLAUDIT_BRANCHES",
    flag: "branches",
    value: "WHICH",
    example: "default",
    help: "Which pushes count: default (to the default branch) or all [default: default]",
};
const CO_AUTHORS: Setting = Setting {
    variable: "PLAUDIT_CO_AUTHORS",
    flag: "co-authors",
    value: "BOOL",
    example: "false",
    help: "Whether Co-authored-by trailers with a host's noreply address are credited too [default: true]",
};
const IGNORE: Setting = Setting {
    variable: "PLAUDIT_IGNORE",
    flag: "ignore",
    value: "LIST",
    example: "github:*-robot",
    help: "Contributors never counted, * allowed, such as github:*-robot [default: none; bots never count]",
};
const PEOPLE: Setting = Setting {
    variable: "PLAUDIT_PEOPLE",
    flag: "people",
    value: "LIST",
    example: "github:mona-bot",
    help: "Accounts that plaudit takes for machines but are people, * allowed [default: none]",
};

/// The labels that take contributions back, unless configured otherwise.
const REJECTING: [&str; 2] = ["spam", "invalid"];

/// When a pull request counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullRequests {
    /// When it is opened for review, and at the latest when it is merged.
    #[default]
    Opened,
    /// Only when it is merged.
    Merged,
}

/// What counts, by configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The kinds of the hosts that count.
    pub count: Vec<Kind>,
    /// When a pull request counts.
    pub pull_requests: PullRequests,
    /// Labels, in lower case, that take contributions back.
    pub reject_labels: Vec<String>,
    /// Whether pushes to forks count.
    pub forks: bool,
    /// Whether pushes to every branch count, not to the default branch alone.
    pub all_branches: bool,
    /// Whether `Co-authored-by` trailers are credited too.
    pub co_authors: bool,
    /// Contributors never counted; `*` matches any text.
    pub ignore: Vec<String>,
    /// Contributors that look like machines and are people; `*` matches any text.
    pub people: Vec<String>,
    /// The hosts for which each secret may speak.
    pub hosts: AllowedHosts,
    /// Whose addresses are that no host knows.
    pub addresses: AddressBook,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            count: Kind::OF_HOSTS.to_vec(),
            pull_requests: PullRequests::default(),
            reject_labels: REJECTING.map(str::to_owned).to_vec(),
            forks: false,
            all_branches: false,
            co_authors: true,
            ignore: Vec::new(),
            people: Vec::new(),
            hosts: AllowedHosts::default(),
            addresses: AddressBook::default(),
        }
    }
}

impl Rules {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let default = Self::default();
        let folded = |texts: Vec<String>| texts.iter().map(|text| fold_case(text)).collect();
        Self {
            count: settings.value(&COUNT, default.count, kinds),
            pull_requests: settings.value(&PULL_REQUESTS, default.pull_requests, |text| match text {
                "opened" => Ok(PullRequests::Opened),
                "merged" => Ok(PullRequests::Merged),
                _ => Err("neither opened nor merged".into()),
            }),
            reject_labels: settings
                .list(&REJECT_LABELS, &REJECTING)
                .iter()
                .map(|label| label.to_lowercase())
                .collect(),
            forks: settings.boolean(&FORKS, default.forks),
            all_branches: settings.value(&BRANCHES, default.all_branches, |text| match text {
                "default" => Ok(false),
                "all" => Ok(true),
                _ => Err("neither default nor all".into()),
            }),
            co_authors: settings.boolean(&CO_AUTHORS, default.co_authors),
            ignore: folded(settings.list(&IGNORE, &[])),
            people: folded(settings.list(&PEOPLE, &[])),
            hosts: AllowedHosts::read(settings),
            addresses: default.addresses,
        }
    }

    /// What to know of an entry of `PLAUDIT_IGNORE` that leaves out a plain name and no account, as it may be a mistake.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let is_plain = |pattern: &&String| !pattern.contains(':') && !pattern.starts_with('*');
        let plain = self.ignore.iter().find(is_plain)?;
        Some(format!(
            "{} has {plain}, which names no host: it leaves out that plain name, and no account; for an account write {}",
            IGNORE.variable,
            IGNORE.example.replace("*-robot", plain)
        ))
    }

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

    /// Whether `contributor` is a person, although it looks like a machine.
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

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let kind = |word: &str| Kind::OF_HOSTS.into_iter().find(|kind| kind.as_str() == word.trim());
    let unknown =
        || format!("the kinds are {}", Kind::OF_HOSTS.map(|kind| kind.as_str().to_owned()).join(", "));
    text.split(',').map(kind).collect::<Option<Vec<_>>>().ok_or_else(unknown)
}

/// Whether `pattern` matches `text`; `*` matches any text. Linear in time and memory.
pub(super) fn matches_glob(pattern: &str, text: &str) -> bool {
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
    fn the_kinds_in_the_texts_are_the_kinds_of_the_hosts() {
        let kinds = Kind::OF_HOSTS.map(|kind| kind.as_str().to_owned()).join(",");
        assert_eq!(COUNT.example, kinds);
        assert!(COUNT.help.ends_with(&format!("[default: {kinds}]")));
    }

    #[test]
    fn labels_and_accounts_are_compared_in_lower_case() {
        let env = |name: &str| match name {
            "PLAUDIT_REJECT_LABELS" => Some("Spam, WONTFIX,".to_owned()),
            "PLAUDIT_PEOPLE" => Some("GitHub:Mona-Bot".to_owned()),
            _ => None,
        };
        let flags = crate::settings::Flags::default();
        let rules = Rules::read(&mut Settings::new(&flags, &env));
        assert_eq!(rules.reject_labels, ["spam", "wontfix"]);
        assert_eq!(rules.people, ["github:mona-bot"]);
    }

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
