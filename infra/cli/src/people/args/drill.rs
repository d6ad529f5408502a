//! Arguments of `drill`.

use clap::Subcommand;
use jiff::SignedDuration;
use mesh::alarm::AlarmName;
use mesh::name::{MeshName, VirtualNodeName};
use policy::{DRILL_DURATION, DrillName, Period};

use super::{Place, Shape, Signature};

/// Arguments of `drill`.
#[derive(Debug, clap::Args)]
pub(crate) struct DrillArgs {
    #[command(subcommand)]
    pub(crate) action: DrillCommand,
}

/// The actions on drills.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Requests a drill: failover-drill drains the node as a failover would, and restores the weights.
    Start(Box<DrillStartArgs>),
    /// Shows the drills of all meshes: phase, deadline, result, and the check that a drill waits for.
    Status {
        /// Shows only this mesh.
        #[arg(long)]
        mesh: Option<MeshName>,

        /// Shows the drills again every two seconds until Ctrl-C; without a terminal, each changed line with its time.
        #[arg(long, short, conflicts_with = "format")]
        watch: bool,

        /// The output format.
        #[arg(long, value_enum, default_value_t = Shape::Table)]
        format: Shape,

        #[command(flatten)]
        place: Place,
    },
    /// Ends an active drill now, and restores the weights.
    Stop {
        /// The name of the drill, from `drill status`.
        drill: DrillName,

        /// The mesh, if several meshes have a plan of this name.
        #[arg(long)]
        mesh: Option<MeshName>,

        #[command(flatten)]
        signature: Signature,

        #[command(flatten)]
        place: Place,
    },
}

/// Arguments of `drill start`.
#[derive(Debug, clap::Args)]
pub(crate) struct DrillStartArgs {
    /// The name of a plan in `drills.plans`; with --node a name for a drill that is not in the policy.
    pub(crate) drill: DrillName,

    /// The mesh, if several meshes have a plan of this name, or for a drill that is not in the policy.
    #[arg(long)]
    pub(crate) mesh: Option<MeshName>,

    /// The virtual node to drain, for a drill that is not in the policy.
    #[arg(long, value_name = "NAME", requires = "outcome_alarms", requires = "mesh")]
    pub(crate) node: Option<VirtualNodeName>,

    /// An alarm that fails the drill; repeatable. At least one is needed with --node.
    #[arg(long = "outcome-alarm", value_name = "NAME", value_parser = alarm, requires = "node")]
    pub(crate) outcome_alarms: Vec<AlarmName>,

    /// An alarm that prevents or interrupts the drill; repeatable.
    #[arg(long = "blocking-alarm", value_name = "NAME", value_parser = alarm, requires = "node")]
    pub(crate) blocking_alarms: Vec<AlarmName>,

    /// How long the node stays drained, from 1m to 2h. Default: `drills.duration` of the policy.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, requires = "node")]
    pub(crate) length: Option<Period>,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

impl DrillArgs {
    /// The locations of the state table and the policy.
    pub(crate) fn place(&self) -> &Place {
        match &self.action {
            DrillCommand::Start(args) => &args.place,
            DrillCommand::Status { place, .. } | DrillCommand::Stop { place, .. } => place,
        }
    }

    /// The operator and the confirmation; `None` for `status`.
    pub(crate) fn signature(&self) -> Option<&Signature> {
        match &self.action {
            DrillCommand::Start(args) => Some(&args.signature),
            DrillCommand::Stop { signature, .. } => Some(signature),
            DrillCommand::Status { .. } => None,
        }
    }
}

fn alarm(text: &str) -> Result<AlarmName, String> {
    AlarmName::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Period, String> {
    let period = Period::try_from(text.to_owned()).map_err(|error| error.to_string())?;
    let (least, most): (SignedDuration, SignedDuration) = DRILL_DURATION;
    if (least..=most).contains(&period.get()) {
        Ok(period)
    } else {
        Err(format!("invalid duration `{text}`: expected 1m to 2h"))
    }
}
