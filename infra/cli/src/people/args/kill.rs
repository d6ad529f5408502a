//! Arguments of `kill`.

use clap::Subcommand;

use super::{Place, Signature};

/// Arguments of `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct KillArgs {
    #[command(subcommand)]
    pub(crate) turn: Turn,
}

/// The actions on the kill switch.
#[derive(Debug, Subcommand)]
pub(crate) enum Turn {
    /// Stops every function: no function changes anything until the switch is off. Active rollouts and drills are listed,
    /// and stay as they are.
    On {
        /// The reason for the stop, for the journal.
        #[arg(long)]
        reason: String,

        /// Ends the active rollouts and drills first, and restores the weights from before them. The switch is turned on
        /// also if a route cannot be restored; the exit code is then 2.
        #[arg(long)]
        restore_first: bool,

        #[command(flatten)]
        signature: Signature,

        #[command(flatten)]
        place: Place,
    },
    /// Resumes all functions.
    Off {
        #[command(flatten)]
        signature: Signature,

        #[command(flatten)]
        place: Place,
    },
    /// Shows the state of the switch, and its last changes.
    Status {
        #[command(flatten)]
        place: Place,
    },
}

impl KillArgs {
    /// The locations of the state table and the policy.
    pub(crate) fn place(&self) -> &Place {
        match &self.turn {
            Turn::On { place, .. } | Turn::Off { place, .. } | Turn::Status { place } => place,
        }
    }

    /// The operator and the confirmation; `None` for `status`.
    pub(crate) fn signature(&self) -> Option<&Signature> {
        match &self.turn {
            Turn::On { signature, .. } | Turn::Off { signature, .. } => Some(signature),
            Turn::Status { .. } => None,
        }
    }
}
