//! The reasons why a command on a rollout fails.

use policy::{RolloutId, RolloutRequestError};
use rollouts::CommandError;
use thiserror::Error;

/// The reason why a command on a rollout fails. Nothing was changed.
#[derive(Debug, Error)]
pub(crate) enum RolloutError {
    /// The request is invalid.
    #[error("invalid request in {file}: {source}")]
    Request {
        /// The file.
        file: String,
        /// The error.
        source: RolloutRequestError,
    },
    /// The rollout does not exist.
    #[error("rollout {id} does not exist; `meshwarden rollout status` lists the active rollouts")]
    Missing {
        /// The rollout.
        id: RolloutId,
    },
    /// Rollouts of several meshes have the id.
    #[error("rollouts of several meshes have the id {id}: pass --mesh with one of {meshes}")]
    Ambiguous {
        /// The id.
        id: RolloutId,
        /// The meshes.
        meshes: String,
    },
    /// The rollout has ended before.
    #[error("rollout {id} is {state}: pass --retry to start it again under another id")]
    Ended {
        /// The rollout.
        id: RolloutId,
        /// Its final state.
        state: &'static str,
    },
    /// The document cannot be read.
    #[error("failed to read the document of rollout {id}: {why}")]
    Unreadable {
        /// The rollout.
        id: RolloutId,
        /// The error.
        why: String,
    },
    /// A function or another operator wrote the document.
    #[error("rollout {id} is being written by another program: run the command again")]
    Overtaken {
        /// The rollout.
        id: RolloutId,
    },
    /// The command is not possible in the state of the rollout.
    #[error("rollout {id}: {source}")]
    State {
        /// The rollout.
        id: RolloutId,
        /// The error.
        source: CommandError,
    },
    /// The rollout has ended without a promotion.
    #[error("rollout {id} is {state}: {code}; `meshwarden rollout status {id}` has the reason")]
    NotPromoted {
        /// The rollout.
        id: RolloutId,
        /// Its final state.
        state: &'static str,
        /// The code of the reason.
        code: String,
    },
}
