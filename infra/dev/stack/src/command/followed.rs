//! A program that runs while the task goes on.

use std::process::Child;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::OutputLine;
use crate::failure::{Failure, Result};
use crate::process;

/// The time limit for the last lines of an ended program. A process that it started may keep its output open.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A running program with the lines of its output. Dropping it ends the program with its children.
#[derive(Debug)]
pub struct Followed {
    child: Child,
    lines: Receiver<OutputLine>,
    has_ended: bool,
}

impl Followed {
    pub(super) const fn new(child: Child, lines: Receiver<OutputLine>) -> Self {
        Self { child, lines, has_ended: false }
    }

    /// The lines since the last call. After [`Self::succeeded`] has reported the end, these are all the remaining ones.
    #[must_use]
    pub fn new_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines.try_iter().map(|line| line.text).collect();
        if self.has_ended {
            // The threads that read the output may not have reached its end yet; they disconnect there.
            let deadline = Instant::now() + LAST_LINES;
            let left = || deadline.saturating_duration_since(Instant::now());
            lines.extend(std::iter::from_fn(|| self.lines.recv_timeout(left()).ok()).map(|line| line.text));
        }
        lines
    }

    /// Whether the program has succeeded; `None` while it runs.
    ///
    /// # Errors
    ///
    /// The operating system does not report the state of the program.
    pub fn succeeded(&mut self) -> Result<Option<bool>> {
        let ended = self.child.try_wait();
        let ended = ended.map_err(|source| Failure::Start { command: "a followed program".to_owned(), source })?;
        self.has_ended |= ended.is_some();
        Ok(ended.map(|status| status.success()))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            process::end_group(self.child.id());
            self.child.wait().ok();
        }
    }
}
