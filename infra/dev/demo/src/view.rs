//! A command of `meshwarden` with an output that is shown while a scenario goes on.

use stack::command::Followed;
use stack::console::say;
use stack::failure::Result;

/// A running command. Each of its lines is shown once.
#[derive(Debug)]
pub(super) struct LiveView {
    running: Followed,
}

impl LiveView {
    pub(super) const fn new(running: Followed) -> Self {
        Self { running }
    }

    /// Whether the command has succeeded; `None` while it runs.
    pub(super) fn succeeded(&mut self) -> Result<Option<bool>> {
        self.running.succeeded()
    }

    /// Prints the new lines.
    pub(super) fn print(&self) {
        for line in self.running.new_lines() {
            say(format_args!("    | {line}"));
        }
    }
}
