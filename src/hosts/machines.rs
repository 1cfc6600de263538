//! Accounts of machines that neither a flag nor the form of the login shows: the list in `machines.txt`.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::rules::matches_glob;

/// The list as it is written, with a source for each line.
const TEXT: &str = include_str!("machines.txt");
/// In place of a host's name: every host.
const EVERY_KIND: &str = "*";

static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::read(TEXT));

struct Known {
    names: HashSet<(&'static str, &'static str)>,
    patterns: Vec<(&'static str, &'static str)>,
}

impl Known {
    fn read(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let entries = lines.filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        });
        let (patterns, names): (Vec<_>, Vec<_>) = entries.partition(|(_, name)| name.contains('*'));
        Self { names: names.into_iter().collect(), patterns }
    }
}

/// Whether `name`, a login or an address in lower case, is that of a known machine on hosts of this kind.
pub(super) fn is_known_machine(kind: &str, name: &str) -> bool {
    let known = &*KNOWN;
    let of_kind = |entry: &str| entry == EVERY_KIND || entry == kind;
    known.names.contains(&(kind, name))
        || known.names.contains(&(EVERY_KIND, name))
        || known.patterns.iter().any(|(of, pattern)| of_kind(of) && matches_glob(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_kind_a_name_in_lower_case_and_a_source() {
        let mut seen = HashSet::new();
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<_> = line.split(' ').collect();
            let [kind, name, source] = words.as_slice() else { panic!("not three words: {line}") };
            let is_host = crate::hosts::KNOWN.iter().any(|known| known.name == *kind);
            assert!(is_host || *kind == EVERY_KIND, "{line}");
            assert_eq!(*name, name.to_lowercase(), "{line}");
            assert!(source.starts_with("https://"), "{line}");
            assert!(seen.insert((kind.to_owned(), name.to_owned())), "twice: {line}");
        }
    }

    #[test]
    fn a_machine_is_one_on_the_kind_of_host_that_its_line_names() {
        for (kind, name, known) in [
            ("github", "k8s-ci-robot", true),
            ("gitlab", "k8s-ci-robot", false),
            ("github", "claude", true),
            ("gitlab", "noreply@anthropic.com", true),
            ("gitlab", "duo-developer-tern", true),
            ("github", "duo-developer-tern", false),
            ("github", "octocat", false),
        ] {
            assert_eq!(is_known_machine(kind, name), known, "{kind} {name}");
        }
    }
}
