//! What keeps logs small whoever writes the text: bounded fields, bounded lines, and a bounded number of lines.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// The most of a text from outside that is shown in one field, in bytes.
const LONGEST_FIELD: usize = 512;

/// The longest line, in bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// The pause between two lines about the same kind of event that clients can cause as often as they like.
const PAUSE: Duration = Duration::from_secs(10);

/// A text from outside: at most 512 bytes of it, without control characters and those that change the direction of
/// text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short<'a>(pub(crate) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = *self;
        let end = (0..=LONGEST_FIELD.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        for c in text.get(..end).unwrap_or_default().chars() {
            if c.is_control() || crate::text::is_format_control(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        match text.len().saturating_sub(end) {
            0 => Ok(()),
            left => write!(f, "... ({left} bytes more)"),
        }
    }
}

/// Lets a line be logged now and then, and counts those that were not.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<Option<Instant>>,
    suppressed: AtomicU64,
}

impl Seldom {
    /// Whether to log now, with how many lines were left out since the last one.
    pub(crate) fn now(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(now);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Writes log lines to standard error, none longer than 16 KiB, whatever is in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoundedLog;

impl<'a> MakeWriter<'a> for BoundedLog {
    type Writer = BoundedLine<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        BoundedLine(io::stderr())
    }
}

/// Writes what is one line, or the beginning of it.
#[derive(Debug)]
pub struct BoundedLine<W>(W);

impl<W: Write> Write for BoundedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(start) = line.get(..LONGEST_LINE).filter(|start| start.len() < line.len()) else {
            return self.0.write_all(line);
        };
        let mut short = String::from_utf8_lossy(start).into_owned();
        short.push_str("... (");
        short.push_str(&line.len().saturating_sub(LONGEST_LINE).to_string());
        short.push_str(" bytes more)\n");
        self.0.write_all(short.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_short_and_show_no_control_characters() {
        assert_eq!(Short("/v20190125/meshes").to_string(), "/v20190125/meshes");
        assert_eq!(Short("a\u{1b}[31mb\u{202e}c\n").to_string(), "a\\u{1b}[31mb\\u{202e}c\\n");
        let long = Short(&"ä".repeat(1000)).to_string();
        assert_eq!(long, format!("{}... (1488 bytes more)", "ä".repeat(256)));
    }

    #[test]
    fn lines_are_cut() {
        let mut written = BoundedLine(Vec::new());
        written.write_all(b"short\n").unwrap();
        assert_eq!(written.0, b"short\n");
        written.0.clear();
        written.write_all(&vec![b'x'; 3_000_000]).unwrap();
        assert!(written.0.len() < LONGEST_LINE + 40 && written.0.ends_with(b"bytes more)\n"));
    }

    #[test]
    fn repeated_lines_are_counted_and_not_written() {
        let seldom = Seldom::default();
        assert_eq!(seldom.now(), Some(0));
        assert_eq!((seldom.now(), seldom.now()), (None, None));
        *seldom.last.lock().unwrap() = Instant::now().checked_sub(PAUSE);
        assert_eq!(seldom.now(), Some(2));
    }
}
