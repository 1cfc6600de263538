//! The comment's text: a template of the operator's, filled with what a payload said, made harmless.

use std::fmt::Write as _;

use crate::domain::Contribution;

/// GitHub refuses a longer comment; the marker has its place beside the text.
const LONGEST_TEXT: usize = 60_000;
/// The longest title that is ever filled in, in characters, as the domain keeps it.
const LONGEST_TITLE: usize = 500;
/// Shows nothing, and keeps GitHub from seeing a mention, a reference or a link in what stands around it.
const BREAK: char = '\u{200b}';

/// A template that was checked: it mentions nobody but the contributor, whatever it is filled with.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Part>);

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
    const ALL: [(&'static str, Self); 6] = [
        ("contributor", Self::Contributor),
        ("milestone", Self::Milestone),
        ("tally", Self::Tally),
        ("title", Self::Title),
        ("kind", Self::Kind),
        ("repository", Self::Repository),
    ];
}

/// What the placeholders stand for.
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
    /// With a mention, which tells them.
    Mention(&'a str),
    /// By name alone.
    Name(&'a str),
}

impl Template {
    /// Reads a template, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the comment would be empty".to_owned());
        }
        if text.contains("<!--") {
            return Err("no HTML comments: one of them marks what plaudit wrote".to_owned());
        }
        let template = Self(split(text)?);
        template.mentions_only_the_contributor()?;
        if template.render(&longest_values()).chars().count() > LONGEST_TEXT {
            return Err(format!("filled in it could be longer than {LONGEST_TEXT} characters"));
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
                // Writing to a text cannot fail.
                Part::Slot(Slot::Milestone) => drop(write!(text, "{}", values.milestone)),
                Part::Slot(Slot::Tally) => drop(write!(text, "{}", values.tally)),
                Part::Slot(Slot::Title) => text.push_str(&harmless(&Contribution::clip_title(values.title))),
                Part::Slot(Slot::Kind) => text.push_str(&harmless(values.kind)),
                Part::Slot(Slot::Repository) => text.push_str(&harmless(values.repository)),
            }
        }
        text
    }

    /// Refuses an `@` that would mention somebody, and a mention of the contributor that would run on into
    /// another name (`{contributor}x`) or would be none (`x{contributor}`).
    fn mentions_only_the_contributor(&self) -> Result<(), String> {
        let mut before = None;
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => {
                    mentions_nobody(text, parts.peek().is_some())?;
                    before = text.chars().next_back();
                }
                Part::Slot(slot) => {
                    let after = match parts.peek() {
                        None => None,
                        Some(Part::Text(text)) => text.chars().next(),
                        Some(Part::Slot(_)) => Some('x'),
                    };
                    let joined =
                        |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_-/@".contains(c));
                    if *slot == Slot::Contributor && (joined(before) || joined(after)) {
                        return Err(
                            "{contributor} is a mention: put a space or a sign of punctuation on both \
                                    sides of it"
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

/// Whether a template can be used; else what is wrong with it.
pub fn check_template(text: &str) -> Result<(), String> {
    Template::parse(text).map(drop)
}

/// Own text and placeholders, in their order.
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
            .ok_or("a brace that opens or closes no placeholder")?;
        let slot = Slot::ALL.into_iter().find(|(word, _)| *word == name);
        let (_, slot) = slot.ok_or_else(|| {
            let known = Slot::ALL.map(|(word, _)| format!("{{{word}}}")).join(", ");
            format!("{{{}}} is no placeholder; there are {known}", name.escape_debug())
        })?;
        parts.push(Part::Slot(slot));
        text = after;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(parts)
}

/// Refuses `@name` in own text. An address such as `help@example.org` mentions nobody.
fn mentions_nobody(text: &str, slot_follows: bool) -> Result<(), String> {
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let names = match chars.peek() {
            Some(next) => next.is_alphanumeric(),
            None => slot_follows,
        };
        let in_a_word = before.is_some_and(|c: char| c.is_alphanumeric() || c == '_');
        if c == '@' && names && !in_a_word {
            return Err("it mentions somebody with @; only {contributor} may be mentioned".to_owned());
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
        kind: "pull request",
        repository: &NAME,
    }
}

/// A payload's text as plain text on GitHub, in one line: no Markdown, no HTML, no mention, no reference to
/// an issue, no link, no change of the writing direction.
///
/// A backslash takes the meaning from every sign of ASCII punctuation
/// (<https://github.github.com/gfm/#backslash-escapes>). GitHub finds mentions, references and links in the
/// text *after* Markdown was read, where no backslash is left: an invisible break parts those.
pub(super) fn harmless(text: &str) -> String {
    let text = one_line(text);
    let mut safe = String::with_capacity(text.len() * 2);
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Mathematics begins at a dollar sign even behind a backslash; GitHub's documentation advises this.
            '$' => safe.push_str("<span>$</span>"),
            '@' | '#' => safe.extend(['\\', c, BREAK]),
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

/// Runs of white space and control characters become one space; what turns the writing direction, or shows
/// nothing at all, is left out.
fn one_line(text: &str) -> String {
    let unseen = |c: char| {
        matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let spaced = text
        .chars()
        .filter(|&c| !unseen(c))
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
    fn a_payloads_text_is_plain_text_on_github() {
        for (title, safe) in [
            ("@everyone", "\\@\u{200b}everyone"),
            ("fixes #1", "fixes \\#\u{200b}1"),
            ("GH-1 gh-2", "GH\u{200b}\\-1 gh\u{200b}\\-2"),
            ("<img src=x>", "&lt;img src\\=x&gt;"),
            ("<!-- plaudit:x -->", "&lt;\\!\\-\\- plaudit\\:x \\-\\-&gt;"),
            ("[x](javascript:alert)", "\\[x\\]\\(javascript\\:alert\\)"),
            ("![x](https://e.org)", "\\!\\[x\\]\\(https\\:\u{200b}\\/\\/e\\.org\\)"),
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
            "<!-- x",
        ] {
            assert!(check_template(text).is_err(), "{text:?}");
        }
        assert!(check_template(&"{title}".repeat(100)).is_err());
        for text in [
            crate::config::COMMENT_TEMPLATE,
            "**{contributor}**, thanks! Ask help@example.org.",
            "{contributor}",
        ] {
            assert_eq!(check_template(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn the_longest_title_of_all_fits() {
        let template = Template::parse("{title} {title}").unwrap();
        assert!(template.render(&values(&"$".repeat(9_999))).chars().count() < LONGEST_TEXT);
    }
}
