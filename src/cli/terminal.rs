//! What the commands print for a person: aligned rows, in colour where the terminal shows it.

use std::io::IsTerminal as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

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

/// A text in exactly so many columns: filled with spaces, or cut with an ellipsis.
pub(crate) fn column(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return format!("{text}{}", " ".repeat(width - length));
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
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
    }
}
