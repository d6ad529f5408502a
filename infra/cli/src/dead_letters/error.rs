//! The reasons why a command changed nothing, or only a part.

use std::io;

use ports::PortError;
use thiserror::Error;

/// Why a command changed nothing, or only a part.
#[derive(Debug, Error)]
pub(crate) enum DeadLetterError {
    /// A call to SQS or to the state table failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The confirmation prompt failed.
    #[error("failed to read the confirmation; pass --yes to skip it")]
    Prompt(#[source] io::Error),
    /// The output cannot be serialized.
    #[error("failed to write the output")]
    Output(#[source] serde_json::Error),
    /// The operator declined the confirmation.
    #[error("nothing was changed")]
    Declined,
    /// The journal cannot be written.
    #[error(
        "failed to write the journal entry; nothing was changed. Pass --no-journal to run the command without an entry"
    )]
    Journal(#[source] Box<PortError>),
    /// Other writers changed the journal in all attempts.
    #[error("other operators write the journal at the same time; nothing was changed. Run the command again")]
    Busy,
    /// The queue has no letters with these ids.
    #[error("no dead letter has the id {}; nothing was changed. `meshwarden dead-letters list` shows the ids", ids.join(", "))]
    Unknown {
        /// The ids without a letter.
        ids: Vec<String>,
    },
    /// Some letters stay in the queue.
    #[error("{text}{left} of {all} dead letters stay in the queue")]
    Left {
        /// The letters that were sent, and the reasons why the others were not.
        text: String,
        /// The number of letters that stay.
        left: usize,
        /// The number of selected letters.
        all: usize,
    },
}

impl DeadLetterError {
    /// 1 if the current state prevents the action, 2 if a call, the confirmation, the output or the journal failed.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Declined | Self::Unknown { .. } | Self::Left { .. } | Self::Busy => 1,
            Self::Port(_) | Self::Prompt(_) | Self::Output(_) | Self::Journal(_) => 2,
        }
    }
}
