//! A program that runs while the task goes on.

use std::process::Child;
use std::sync::mpsc::Receiver;

use super::OutputLine;
use crate::failure::{Failure, Result};
use crate::process;

/// A running program with the lines of its output. Dropping it ends the program with its children.
#[derive(Debug)]
pub(crate) struct Followed {
    child: Child,
    lines: Receiver<OutputLine>,
}

impl Followed {
    pub(super) const fn new(child: Child, lines: Receiver<OutputLine>) -> Self {
        Self { child, lines }
    }

    /// The lines since the last call.
    pub(crate) fn new_lines(&self) -> Vec<String> {
        self.lines.try_iter().map(|line| line.text).collect()
    }

    /// Whether the program has succeeded; `None` while it runs.
    pub(crate) fn succeeded(&mut self) -> Result<Option<bool>> {
        let ended = self.child.try_wait();
        let ended = ended.map_err(|source| Failure::Start { command: "a followed program".to_owned(), source })?;
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
