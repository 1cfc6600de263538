//! What the commands print for a person: aligned rows, in colour where the terminal shows it.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// The star of a recognition.
pub(crate) const GOLD: Style = AnsiColor::Yellow.on_default().bold();
/// What counts.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is refused or wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What is beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The most dots in a row.
const DOTS: u64 = 10;

/// Whether a person reads standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a line; without its styles where `NO_COLOR` is set or the terminal has no colours. A closed pipe is no
/// error: its reader wants no more.
pub(crate) fn print(line: impl std::fmt::Display) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The way to a milestone: a full dot for each contribution, an empty one for each that is missing.
pub(crate) fn dots(tally: u64, milestone: u64) -> String {
    let whole = milestone.min(DOTS);
    let full = if milestone <= DOTS { tally.min(whole) } else { tally.min(milestone) * DOTS / milestone };
    (0..whole).map(|dot| if dot < full { '●' } else { '○' }).collect()
}

/// A text in exactly so many columns of the terminal: filled with spaces, or cut with an ellipsis.
pub(crate) fn column(text: &str, width: usize) -> String {
    let mut shown = text.to_owned();
    if text.width() > width {
        while shown.width() >= width && shown.pop().is_some() {}
        shown.push('…');
    }
    let space = width.saturating_sub(shown.width());
    shown.extend(std::iter::repeat_n(' ', space));
    shown
}

/// A text that came from elsewhere: what a terminal would obey, or what changes the direction of the text beside it,
/// is escaped.
pub(crate) fn escaped(text: &str) -> String {
    let obeyed = |c: char| {
        let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns
    };
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { plain.extend(c.escape_unicode()) } else { plain.push(c) }
    }
    plain
}

/// JSON on one line, in which every control character is escaped, also those that JSON allows.
pub(crate) fn json_line(value: &Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if c.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dots_show_how_far_the_next_milestone_is() {
        assert_eq!([dots(0, 3), dots(2, 3), dots(4, 3)], ["○○○", "●●○", "●●●"]);
        assert_eq!(dots(50, 100), "●●●●●○○○○○");
        assert_eq!(dots(99, 100).matches('○').count(), 1, "a milestone that is not reached is not full");
    }

    #[test]
    fn a_column_keeps_its_width() {
        assert_eq!(column("ada", 5), "ada  ");
        assert_eq!(column("quillfeather", 5), "quil…");
        assert_eq!(column("貢献者", 6), "貢献者");
        assert_eq!(column("貢献者", 5), "貢献…");
        assert_eq!(column("貢献者", 4), "貢… ", "a wide character is not cut in two");
        assert_eq!(column("e\u{301}t\u{e9}", 4), "e\u{301}t\u{e9} ", "a combining mark takes no column");
    }

    #[test]
    fn a_text_from_elsewhere_commands_no_terminal() {
        assert_eq!(escaped("a\u{1b}[2Jb\n\u{9b}1m\u{202e}c"), r"a\u{1b}[2Jb\u{a}\u{9b}1m\u{202e}c");
        assert_eq!(escaped("Ünï 貢献者 ❤\u{fe0f}"), "Ünï 貢献者 ❤\u{fe0f}");
        let value = serde_json::json!({"title": "a\u{1b}b\u{7f}\u{9b}\"c"});
        assert_eq!(json_line(&value), r#"{"title":"a\u001bb\u007f\u009b\"c"}"#);
        assert_eq!(serde_json::from_str::<Value>(&json_line(&value)).unwrap(), value);
    }
}
