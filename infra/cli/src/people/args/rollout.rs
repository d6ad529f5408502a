//! Arguments of `rollout`.

use std::path::PathBuf;

use clap::Subcommand;
use mesh::name::MeshName;
use policy::RolloutId;

use super::{Place, Shape, Signature};

/// The commands on rollouts.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Starts a rollout from a file. traffic-shift begins with its next run, within a minute.
    Start(StartArgs),
    /// Shows rollouts: their routes, gates, hooks and the last decisions.
    Status(WatchArgs),
    /// Pauses a rollout: its percent does not rise. Gates can still fail it.
    Pause(ChangeArgs),
    /// Resumes a paused rollout, which watches its step again.
    Resume(ChangeArgs),
    /// Skips the remaining steps, or approves one step.
    Promote(PromoteArgs),
    /// Rolls a rollout back to the exact split before it.
    Abort(ChangeArgs),
}

/// Arguments of `rollout start`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartArgs {
    /// The request, as YAML or JSON; `-` reads the standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Starts a rollout again that has ended: its id gets a number.
    #[arg(long)]
    pub(crate) retry: bool,

    /// Waits for the end, and prints each change. Exit code 0 only if the rollout is promoted.
    #[arg(long)]
    pub(crate) wait: bool,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `rollout status`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// The rollout; all rollouts that have not ended by default.
    pub(crate) id: Option<RolloutId>,

    /// The mesh of the rollout.
    #[arg(long)]
    pub(crate) mesh: Option<MeshName>,

    /// Shows the rollouts until they have ended, with their gates and requests by version: the tables on a terminal,
    /// otherwise a line for each change and every 20 seconds. Exit code 0 only if they are promoted.
    #[arg(long, short)]
    pub(crate) watch: bool,

    /// The output format.
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of a command on one rollout.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// The rollout.
    pub(crate) id: RolloutId,

    /// The mesh of the rollout, if rollouts of several meshes have this id.
    #[arg(long)]
    pub(crate) mesh: Option<MeshName>,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `rollout promote`.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// Approves the current step, or the promotion that waits for an approval, and skips nothing.
    #[arg(long)]
    pub(crate) step: bool,

    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

impl RolloutCommand {
    /// The locations of the state table and the policy.
    pub(crate) const fn place(&self) -> &Place {
        match self {
            Self::Start(args) => &args.place,
            Self::Status(args) => &args.place,
            Self::Pause(args) | Self::Resume(args) | Self::Abort(args) => &args.place,
            Self::Promote(args) => &args.change.place,
        }
    }

    /// The operator and the confirmation; `None` for a command that writes nothing.
    pub(crate) const fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Start(args) => Some(&args.signature),
            Self::Status(_) => None,
            Self::Pause(args) | Self::Resume(args) | Self::Abort(args) => Some(&args.signature),
            Self::Promote(args) => Some(&args.change.signature),
        }
    }
}
