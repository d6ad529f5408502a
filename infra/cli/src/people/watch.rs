//! `status --watch`: shows the status repeatedly, until the operator interrupts it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::args::People;
use super::desk::Desk;
use super::error::Trouble;

/// Clears the terminal, and moves the cursor to the first line.
const REPAINT: &str = "\x1b[2J\x1b[H";

/// Consecutive failed reads that end the watch. Earlier failures are only shown: operators watch during outages.
const FAILURES: u32 = 5;

/// Reads and shows the status until Ctrl-C ends the process, or until too many consecutive reads fail.
pub(super) async fn follow(desk: &Desk<'_>, command: &People, every: Duration) -> Result<String, Trouble> {
    let terminal = io::stdout().is_terminal();
    let mut last = String::new();
    let mut failures = 0;
    loop {
        match super::execute(desk, command).await {
            Ok(text) => {
                failures = 0;
                let now = format!("{:.0}", desk.now());
                let text = crate::shown(&text).into_owned();
                let shown = if terminal { format!("{REPAINT}{now}\n{text}") } else { changes(&last, &text, &now) };
                // The pipe is closed, so the reader has ended.
                if write(&shown).is_err() {
                    return Ok(String::new());
                }
                last = text;
            }
            Err(trouble) if failures + 1 == FAILURES => return Err(trouble),
            Err(trouble) => {
                failures += 1;
                let text = trouble.to_string();
                drop(writeln!(io::stderr(), "meshwarden: {}", reports::visible_lines(&text)));
            }
        }
        tokio::time::sleep(every).await;
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The new lines, each with the time and its mesh; all lines on the first read.
fn changes(last: &str, text: &str, now: &str) -> String {
    if last.is_empty() {
        return text.to_owned();
    }
    let before = sections(last);
    let mut changed = String::new();
    for (heading, line) in sections(text) {
        if !before.contains(&(heading, line)) {
            let heading = if heading.is_empty() { String::new() } else { format!("{heading}: ") };
            let _ = writeln!(changed, "{now} {heading}{}", line.trim_start());
        }
    }
    changed
}

/// Each line with the heading above it (`mesh NAME`).
fn sections(text: &str) -> Vec<(&str, &str)> {
    let mut heading = "";
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("mesh ") {
            heading = line;
        } else {
            lines.push((heading, line));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "kill switch: off\n\nmesh shop\n  catalog/products  steady  60/40\n\nmesh kiosk\n  a/b  steady  1/1\n";

    #[test]
    fn first_read_shows_all_lines_and_later_reads_only_changed_lines() {
        assert_eq!(changes("", BEFORE, "12:00:00"), BEFORE);
        assert_eq!(changes(BEFORE, BEFORE, "12:00:02"), "");
        let after = BEFORE.replace("steady  60/40", "shifted  0/100");
        assert_eq!(changes(BEFORE, &after, "12:00:04"), "12:00:04 mesh shop: catalog/products  shifted  0/100\n");
        let off = BEFORE.replace("switch: off", "switch: ON");
        assert_eq!(changes(BEFORE, &off, "12:00:06"), "12:00:06 kill switch: ON\n");
    }
}
