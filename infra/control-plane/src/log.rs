//! Limits on logs with text from outside: bounded fields, bounded lines, and a bounded number of lines.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

/// The longest text from outside in a field, in bytes.
const MAX_FIELD: usize = 512;

/// The longest line, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// The pause between two lines about an event that clients can cause at will.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A text from outside: at most 512 bytes of it, with control characters and bidirectional format characters escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truncated<'a>(pub(crate) &'a str);

impl fmt::Display for Truncated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = *self;
        let end = (0..=MAX_FIELD.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
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

/// Limits the rate of a log line, and counts the suppressed ones.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    last: Mutex<Option<Instant>>,
    suppressed: AtomicU64,
}

impl LogThrottle {
    /// Whether to log now. Returns the number of suppressed lines since the last one.
    pub(crate) fn allow(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(now);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Writes log lines to standard error, none longer than 16 KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoundedLog {
    /// Whether each line is a JSON object: a longer one is then replaced by an object with its beginning, so that every
    /// line can be parsed.
    pub is_json: bool,
}

impl<'a> MakeWriter<'a> for BoundedLog {
    type Writer = BoundedLine<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        BoundedLine { writer: io::stderr(), is_json: self.is_json }
    }
}

/// Writes a line, cut at the limit.
#[derive(Debug)]
pub struct BoundedLine<W> {
    writer: W,
    is_json: bool,
}

impl<W: Write> Write for BoundedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(start) = line.get(..MAX_LINE).filter(|start| start.len() < line.len()) else {
            return self.writer.write_all(line);
        };
        if self.is_json {
            // Escaping makes the text longer, six-fold at most.
            let start = String::from_utf8_lossy(start.get(..MAX_LINE / 8).unwrap_or(start));
            let short =
                json!({"level": "WARN", "message": "log line is too long", "bytes": line.len(), "start": start});
            return writeln!(self.writer, "{short}");
        }
        let mut short = String::from_utf8_lossy(start).into_owned();
        short.push_str("... (");
        short.push_str(&line.len().saturating_sub(MAX_LINE).to_string());
        short.push_str(" bytes more)\n");
        self.writer.write_all(short.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_and_control_characters_escaped() {
        assert_eq!(Truncated("/v20190125/meshes").to_string(), "/v20190125/meshes");
        assert_eq!(Truncated("a\u{1b}[31mb\u{202e}c\n").to_string(), "a\\u{1b}[31mb\\u{202e}c\\n");
        let long = Truncated(&"ä".repeat(1000)).to_string();
        assert_eq!(long, format!("{}... (1488 bytes more)", "ä".repeat(256)));
    }

    #[test]
    fn long_lines_are_cut() {
        let mut written = BoundedLine { writer: Vec::new(), is_json: false };
        written.write_all(b"short\n").unwrap();
        assert_eq!(written.writer, b"short\n");
        written.writer.clear();
        written.write_all(&vec![b'x'; 3_000_000]).unwrap();
        assert!(written.writer.len() < MAX_LINE + 40 && written.writer.ends_with(b"bytes more)\n"));
    }

    #[test]
    fn long_json_lines_stay_json() {
        for text in ["x", "\u{1}", "\""] {
            let mut written = BoundedLine { writer: Vec::new(), is_json: true };
            let line = format!("{}\n", json!({"message": text.repeat(3_000_000)}));
            written.write_all(line.as_bytes()).unwrap();
            let short: serde_json::Value = serde_json::from_slice(&written.writer).unwrap();
            assert_eq!(short["bytes"], line.len());
            assert!(written.writer.len() < MAX_LINE && written.writer.ends_with(b"\n"));
        }
    }

    #[test]
    fn repeated_lines_are_suppressed_and_counted() {
        let throttle = LogThrottle::default();
        assert_eq!(throttle.allow(), Some(0));
        assert_eq!((throttle.allow(), throttle.allow()), (None, None));
        *throttle.last.lock().unwrap() = Instant::now().checked_sub(LOG_INTERVAL);
        assert_eq!(throttle.allow(), Some(2));
    }
}
