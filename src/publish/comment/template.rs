//! The comment's text: a template of the operator's, filled with what a payload said, made harmless.

use std::fmt::Write as _;

use crate::domain::Contribution;

/// The default text of a comment.
pub const DEFAULT_TEXT: &str = "Thank you, {contributor}! This {kind} is your contribution number {tally} to our \
                               projects, and we are glad to have you with us.";
/// The longest text: with the marker it stays below the 65,536 characters that GitHub accepts.
const LONGEST_TEXT: usize = 60_000;
/// The longest title, in characters: the domain cuts longer ones.
const LONGEST_TITLE: usize = 500;
/// A zero-width space: invisible, and it stops GitHub from finding a mention, a reference or a link.
const BREAK: char = '\u{200b}';

/// A checked template: it mentions the contributor and no one else, whatever the values are.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Slot(Slot),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Contributor,
    Milestone,
    Tally,
    Title,
    Kind,
    Repository,
}

impl Slot {
    const ALL: [Self; 6] =
        [Self::Contributor, Self::Milestone, Self::Tally, Self::Title, Self::Kind, Self::Repository];

    fn name(self) -> &'static str {
        match self {
            Self::Contributor => "contributor",
            Self::Milestone => "milestone",
            Self::Tally => "tally",
            Self::Title => "title",
            Self::Kind => "kind",
            Self::Repository => "repository",
        }
    }
}

/// The values of the placeholders.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    pub(super) contributor: Addressed<'a>,
    pub(super) milestone: u64,
    pub(super) tally: u64,
    pub(super) title: &'a str,
    pub(super) kind: &'a str,
    pub(super) repository: &'a str,
}

/// How the contributor is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressed<'a> {
    /// With a mention, which notifies them.
    Mention(&'a str),
    /// By name alone.
    Name(&'a str),
}

impl Default for Template {
    /// [`DEFAULT_TEXT`].
    #[expect(clippy::expect_used, reason = "a constant, parsed by a test below")]
    fn default() -> Self {
        Self::parse(DEFAULT_TEXT).expect("the default template is valid")
    }
}

impl Template {
    /// Parses a template; the error names the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the comment would be empty".to_owned());
        }
        if text.contains("<!--") {
            return Err("it has an HTML comment; plaudit marks its own comments with one".to_owned());
        }
        if text.lines().any(is_command) {
            return Err("a line begins with /, which GitLab would carry out as a command".to_owned());
        }
        let template = Self(split(text)?);
        template.mentions_only_the_contributor()?;
        if template.render(&longest_values()).chars().count() > LONGEST_TEXT {
            return Err(format!("with the longest values it would have more than {LONGEST_TEXT} characters"));
        }
        Ok(template)
    }

    /// The text, with every value made harmless.
    pub(super) fn render(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(own) => text.push_str(own),
                Part::Slot(Slot::Contributor) => match values.contributor {
                    Addressed::Mention(login) => {
                        text.push('@');
                        text.push_str(login);
                    }
                    Addressed::Name(name) => text.push_str(&harmless(name)),
                },
                // Writing to a String cannot fail.
                Part::Slot(Slot::Milestone) => drop(write!(text, "{}", values.milestone)),
                Part::Slot(Slot::Tally) => drop(write!(text, "{}", values.tally)),
                Part::Slot(Slot::Title) => text.push_str(&harmless(&Contribution::clip_title(values.title))),
                Part::Slot(Slot::Kind) => text.push_str(&harmless(values.kind)),
                Part::Slot(Slot::Repository) => text.push_str(&harmless(values.repository)),
            }
        }
        text
    }

    /// Refuses an `@` that would mention another account, and a mention of the contributor that would become
    /// another name (`{contributor}x`) or no mention (`x{contributor}`).
    fn mentions_only_the_contributor(&self) -> Result<(), String> {
        let mut before = None;
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => {
                    check_own_text(text, parts.peek().is_some())?;
                    before = text.chars().next_back();
                }
                Part::Slot(slot) => {
                    let after = match parts.peek() {
                        None => None,
                        // On GitLab a point within a name is part of it.
                        Some(Part::Text(text)) => text.trim_start_matches('.').chars().next(),
                        Some(Part::Slot(_)) => Some('x'),
                    };
                    let joined =
                        |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_-/@".contains(c));
                    if *slot == Slot::Contributor && (joined(before) || joined(after)) {
                        return Err(
                            "{contributor} becomes a mention: put a space or punctuation before and after it"
                                .to_owned(),
                        );
                    }
                    before = Some('x');
                }
            }
        }
        Ok(())
    }
}

/// Whether GitLab takes a line as a quick action, such as `/close`.
/// <https://docs.gitlab.com/user/project/quick_actions/>
fn is_command(line: &str) -> bool {
    line.trim_start().strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric()))
}

/// The template's own text and its placeholders, in order.
fn split(mut text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some(at) = text.find(['{', '}']) {
        let (own, rest) = text.split_at(at);
        if !own.is_empty() {
            parts.push(Part::Text(own.to_owned()));
        }
        let (name, after) = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .ok_or("it has a brace without a placeholder")?;
        let slot = Slot::ALL.into_iter().find(|slot| slot.name() == name);
        let slot = slot.ok_or_else(|| {
            let known = Slot::ALL.map(|slot| format!("{{{}}}", slot.name())).join(", ");
            format!("{{{}}} is not a placeholder; the placeholders are {known}", name.escape_debug())
        })?;
        parts.push(Part::Slot(slot));
        text = after;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(parts)
}

/// Refuses `@name` in the template's own text. An address such as `help@example.org` is no mention.
fn check_own_text(text: &str, slot_follows: bool) -> Result<(), String> {
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let names = match chars.peek() {
            Some(next) => next.is_alphanumeric(),
            None => slot_follows,
        };
        let in_a_word = before.is_some_and(|c: char| c.is_alphanumeric() || c == '_');
        if c == '@' && names && !in_a_word {
            return Err("it mentions an account with @; only {contributor} may be mentioned".to_owned());
        }
        before = Some(c);
    }
    Ok(())
}

fn longest_values() -> Values<'static> {
    static TITLE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "$".repeat(LONGEST_TITLE));
    static NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "-".repeat(200));
    Values {
        contributor: Addressed::Name(&NAME),
        milestone: u64::MAX,
        tally: u64::MAX,
        title: &TITLE,
        kind: "merge request",
        repository: &NAME,
    }
}

/// Escapes a payload's text so that the hosts show it as plain text in one line: no Markdown, no HTML, no
/// mention, no reference to an issue, no link, no change of the writing direction.
///
/// A backslash escapes every character of ASCII punctuation
/// (<https://github.github.com/gfm/#backslash-escapes>). The hosts search for mentions, references and links
/// *after* they have processed Markdown, where the backslashes are gone: a [`BREAK`] interrupts those. GitLab also
/// refers by `!1`, `&1`, `~label`, `%milestone` and `[issue:1]`
/// (<https://docs.gitlab.com/user/markdown/#gitlab-specific-references>).
fn harmless(text: &str) -> String {
    let text = one_line(text);
    let mut safe = String::with_capacity(text.len() * 2);
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => {
                safe.push_str("&amp;");
                if chars.peek().is_some_and(char::is_ascii_digit) {
                    safe.push(BREAK);
                }
            }
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // A dollar sign begins mathematics even after a backslash; GitHub's documentation advises a span.
            '$' => safe.push_str("<span>$</span>"),
            '@' | '#' => safe.extend(['\\', c, BREAK]),
            '!' | '~' | '%' | '['
                if chars.peek().is_some_and(|&next| next.is_alphanumeric() || next == '"') =>
            {
                safe.extend(['\\', c, BREAK]);
            }
            ':' if chars.peek() == Some(&'/') => safe.extend(['\\', c, BREAK]),
            '.' if word == "www" => safe.extend([BREAK, '\\', c]),
            '-' if word == "gh" => safe.extend([BREAK, '\\', c]),
            c if c.is_ascii_punctuation() => safe.extend(['\\', c]),
            c => safe.push(c),
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        } else {
            word.clear();
        }
    }
    safe
}

/// Replaces each run of white space and control characters by one space, and removes characters that are
/// invisible or change the writing direction.
fn one_line(text: &str) -> String {
    let invisible = |c: char| {
        matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let spaced = text
        .chars()
        .filter(|&c| !invisible(c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(title: &str) -> Values<'_> {
        Values {
            contributor: Addressed::Mention("octo-cat"),
            milestone: 3,
            tally: 4,
            title,
            kind: "pull request",
            repository: "o/under_score",
        }
    }

    #[test]
    fn placeholders_are_filled_in() {
        let template =
            Template::parse("{contributor}: {milestone}, {tally}, {title}, {kind}, {repository}.").unwrap();
        let text = template.render(&values("One"));
        assert_eq!(text, "@octo-cat: 3, 4, One, pull request, o\\/under\\_score.");
    }

    #[test]
    fn a_payloads_text_is_plain_text_on_every_host() {
        for (title, safe) in [
            ("@everyone", "\\@\u{200b}everyone"),
            ("fixes #1", "fixes \\#\u{200b}1"),
            ("GH-1 gh-2", "GH\u{200b}\\-1 gh\u{200b}\\-2"),
            ("<img src=x>", "&lt;img src\\=x&gt;"),
            ("<!-- plaudit:x -->", "&lt;\\!\\-\\- plaudit\\:x \\-\\-&gt;"),
            ("!1 &2 ~bug %\"v 1\"", "\\!\u{200b}1 &amp;\u{200b}2 \\~\u{200b}bug \\%\u{200b}&quot;v 1&quot;"),
            ("[issue:1] /close", "\\[\u{200b}issue\\:1\\] \\/close"),
            ("[x](javascript:alert)", "\\[\u{200b}x\\]\\(javascript\\:alert\\)"),
            ("![x](https://e.org)", "\\!\\[\u{200b}x\\]\\(https\\:\u{200b}\\/\\/e\\.org\\)"),
            ("www.e.org me@e.org", "www\u{200b}\\.e\\.org me\\@\u{200b}e\\.org"),
            ("**b** \n## h\r\n1. `c`", "\\*\\*b\\*\\* \\#\u{200b}\\#\u{200b} h 1\\. \\`c\\`"),
            ("a\u{202e}b\u{200f}c\u{2066}d\u{200b}e", "abcde"),
            ("$x$", "<span>$</span>x<span>$</span>"),
            ("&lt; \"q\" 'q'", "&amp;lt\\; &quot;q&quot; &#39;q&#39;"),
            ("\u{0}\u{7}tab\there ", "tab here"),
            ("Änderung — 改善 👩‍💻", "Änderung — 改善 👩‍💻"),
        ] {
            assert_eq!(harmless(title), safe, "{title:?}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_used_is_refused_at_the_start() {
        for text in [
            "",
            "  ",
            "Thanks, {name}!",
            "Thanks, {contributor!",
            "Thanks, }",
            "{}",
            "{{contributor}}",
            "cc @boss",
            "@{title}",
            "@{contributor}",
            "{contributor}{title}",
            "{contributor}x",
            "{contributor}/team",
            "x{contributor}",
            "{contributor}-san",
            "{contributor}.x",
            "Thanks!\n/close",
            "<!-- x",
        ] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
        assert!(Template::parse(&"{title}".repeat(100)).is_err());
        for text in [DEFAULT_TEXT, "**{contributor}**, thanks! Ask help@example.org.", "{contributor}"] {
            assert_eq!(Template::parse(text).map(drop), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn the_longest_title_of_all_fits() {
        let template = Template::parse("{title} {title}").unwrap();
        assert!(template.render(&values(&"$".repeat(9_999))).chars().count() < LONGEST_TEXT);
    }
}
