//! The dependencies of a command.

use std::io;

use jiff::Timestamp;
use ports::{Queues, StateStore};

/// The dependencies of a command.
pub(crate) struct QueueContext<'a> {
    pub(crate) queues: &'a dyn Queues,
    pub(crate) now: Timestamp,
    /// The store of the journal.
    pub(crate) state: &'a dyn StateStore,
    /// The operator's name; empty where the command needs none.
    pub(crate) by: String,
    /// Prompts for a confirmation; returns true where no prompt is needed.
    pub(crate) prompt: &'a dyn Fn(&str) -> io::Result<bool>,
}
