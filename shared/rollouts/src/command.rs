//! A command of an operator, which the next run executes.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A command of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// The command.
    pub kind: CommandKind,
    /// The operator.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// The percent does not rise until the rollout is resumed.
    Pause,
    /// The rollout continues, and watches its step again.
    Resume,
    /// The step is approved.
    Approve,
    /// The remaining steps are skipped.
    Promote,
    /// The rollout is rolled back.
    Abort,
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "promote --step",
            Self::Promote => "promote",
            Self::Abort => "abort",
        })
    }
}
