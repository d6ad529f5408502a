//! Writes findings as workflow commands, which GitHub shows as annotations on the lines of a change.

use std::fmt::Write as _;

use rules::pack::Finding;

use crate::sarif::{FileLine, Level, LocatedFinding, Notification};
use crate::visible::visible;

/// One command per line, the worst first, since GitHub shows ten of a kind for each step. Waived findings are left out.
#[must_use]
pub fn github(results: &[LocatedFinding<'_>], notifications: &[Notification]) -> String {
    let mut text = String::new();
    for Notification { level, message, place } in notifications {
        command(&mut text, *level, place.as_ref(), "meshwarden", message);
    }
    let mut open: Vec<&LocatedFinding<'_>> = results.iter().filter(|placed| !placed.waived).collect();
    open.sort_by_key(|placed| std::cmp::Reverse(placed.finding.severity));
    for LocatedFinding { finding, place, .. } in open {
        let Finding { rule, resource, part, message, severity, .. } = finding;
        let of = if part.is_empty() { String::new() } else { format!(" {part}") };
        let title = format!("{rule} ({severity})");
        command(&mut text, Level::from(*severity), place.as_ref(), &title, &format!("{resource}{of}: {message}"));
    }
    text
}

fn command(text: &mut String, level: Level, place: Option<&FileLine>, title: &str, message: &str) {
    let name = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let at = place.map_or_else(String::new, |FileLine { file, line }| {
        let file = file.strip_prefix("./").unwrap_or(file);
        format!("file={},line={line},", property(file))
    });
    // Writing to a string does not fail.
    let _ = writeln!(text, "::{name} {at}title={}::{}", property(title), data(message));
}

/// The text after the second `::`. Line breaks use GitHub's escapes; other hidden characters are written as escapes.
fn data(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| visible(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_its_command_or_start_another() {
        let mut text = String::new();
        let place = FileLine { file: "./a,b: 100%\n::error::x.yaml".to_owned(), line: 7 };
        command(&mut text, Level::Warning, Some(&place), "a rule: b, c", "one\n::stop-commands::x\r\u{1b}[0m %");
        assert_eq!(
            text,
            "::warning file=a%2Cb%3A 100%25%0A%3A%3Aerror%3A%3Ax.yaml,line=7,title=a rule%3A b%2C c::one%0A::stop-commands::x\\r\\u{1b}[0m %25\n"
        );
    }
}
