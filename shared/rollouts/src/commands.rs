//! Commands of operators. A command is stored in the record, and the next run executes it.

use std::fmt;

use jiff::Timestamp;

use crate::command::{Command, CommandKind};
use crate::record::{RolloutRecord, RolloutState};

/// The reason why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// The command.
    pub kind: CommandKind,
    /// The state of the rollout.
    pub state: RolloutState,
    /// The states in which the command is possible.
    pub expected: &'static str,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, state, expected } = self;
        write!(f, "cannot {kind} a rollout that is {}: expected one that is {expected}", state.name())
    }
}

impl std::error::Error for CommandError {}

/// The record with a command that the next run executes.
///
/// # Errors
///
/// Returns an error if the command has no meaning in the state of the rollout.
pub fn command(
    record: &RolloutRecord,
    kind: CommandKind,
    by: &str,
    at: Timestamp,
) -> Result<RolloutRecord, CommandError> {
    use RolloutState::{After, Bake, Confirming, Paused, Promoting, RollingBack, Shifting, Watching};
    let state = record.state;
    let is_under_way = matches!(state, Shifting | Confirming | Watching | Bake | After);
    let (possible, expected) = match kind {
        CommandKind::Pause => (is_under_way, "under way"),
        CommandKind::Resume => (state == Paused, "paused"),
        CommandKind::Approve | CommandKind::Promote => (is_under_way || state == Paused, "under way or paused"),
        CommandKind::Abort => (!state.is_final() && !matches!(state, RollingBack | Promoting), "not ended"),
    };
    if !possible {
        return Err(CommandError { kind, state, expected });
    }
    Ok(RolloutRecord { command: Some(Command { kind, by: by.to_owned(), at }), ..record.clone() })
}
