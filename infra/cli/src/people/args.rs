//! Arguments of the operator commands.

mod documents;
mod drill;
mod kill;
mod rollout;

use std::fmt;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use decisions::monitoring::Metrics;
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::AlarmName;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use ports::StateKey;

use documents::document;
pub(crate) use drill::{DrillArgs, DrillCommand, DrillStartArgs};
pub(crate) use kill::{KillArgs, Turn};
pub(crate) use rollout::{ChangeArgs, PromoteArgs, RolloutCommand, StartArgs, WatchArgs};

/// The operator commands.
#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// Shows the state of every route, the kill switch, and the findings of the last sweep.
    Status(StatusArgs),
    /// Explains the state, the past decisions and the next step of a resource, newest decision first.
    Explain(ExplainArgs),
    /// Holds a route: no function changes its weights until the hold ends or is released.
    Hold(HoldArgs),
    /// Releases a held or edited route, or a certificate that was rolled back or keeps failing.
    Release(ReleaseArgs),
    /// Restores the original weights of a shifted route immediately.
    Restore(RestoreArgs),
    /// Controls the kill switch, which stops every function.
    Kill(KillArgs),
    /// Replays recorded decisions from their observations, and reports whether the results are the same.
    Replay(ReplayArgs),
    /// Judges the present state of a mesh, and writes an HTML page, a JSON file and a SARIF file.
    Report(ReportArgs),
    /// Resets a document of the state table that tag-compliance, egress-compliance, compliance-sweep or change-audit
    /// cannot read. The function starts from an empty document, and the old content is lost.
    Forget(ForgetArgs),
    /// Starts, shows and controls rollouts.
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Shows the connected proxies, and whether they are up to date.
    Proxies(ShowArgs),
    /// Starts, shows and stops drills: practice runs of failovers.
    Drill(DrillArgs),
    /// Writes the alarms that the targets of a mesh's routes need, or compares an account's alarms with them.
    Alarms(Box<AlarmsArgs>),
}

/// The locations of the state table and the policy.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Place {
    /// The state table. Default: `MESHWARDEN_TABLE`, then `meshwarden`.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,

    /// The policy document: a file, `s3://bucket/key` or `ssm:/parameter`. Default: `MESHWARDEN_POLICY`, then the
    /// built-in policy.
    #[arg(long, value_name = "PLACE")]
    pub(crate) policy: Option<String>,
}

/// The operator of a write, and the confirmation.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Signature {
    /// The operator's name for the journal. Default: $USER.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,

    /// Skips the confirmation prompt, which appears only on a terminal.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// A table for a terminal.
    Table,
    /// One JSON document with all data.
    Json,
}

/// The meshes to show, and the output format.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Shows only this mesh.
    #[arg(long)]
    pub(crate) mesh: Option<MeshName>,

    /// The output format.
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// The meshes to show, and the interval of `--watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) show: ShowArgs,

    /// Shows every route and certificate in the table, including steady ones. JSON always does.
    #[arg(long)]
    pub(crate) all: bool,

    /// Reads again every SECONDS until Ctrl-C. A terminal is repainted; other outputs get only the changed lines.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600),
    )]
    pub(crate) watch: Option<u64>,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A route as MESH/ROUTER/ROUTE, any path as findings show it (mesh/shop/virtualNode/orders), or an alarm as
    /// alarm/NAME.
    #[arg(value_parser = explained)]
    pub(crate) subject: Explained,

    /// The most journal entries to show.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// A resource of a mesh, or an alarm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Explained {
    /// A resource, by its path.
    Resource(ResourcePath),
    /// An alarm, by its name.
    Alarm(AlarmName),
}

/// Arguments of `hold`: the route, the end of the hold, and the reason.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["until", "length"])))]
pub(crate) struct HoldArgs {
    /// The route as MESH/ROUTER/ROUTE.
    #[arg(value_parser = route)]
    pub(crate) route: RouteId,

    /// The end of the hold, as in 2026-11-21T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,

    /// The length of the hold, as in 90m or 4h.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) length: Option<SignedDuration>,

    /// The reason for the hold, for the journal.
    #[arg(long)]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// A route as MESH/ROUTER/ROUTE, or `certificate/` with the name of a certificate or trust from `status`, as in
    /// `certificate/sds:web`. A released certificate is renewed despite a rollback, and a failed attempt is
    /// retried at once.
    #[arg(value_parser = releasable)]
    pub(crate) what: Releasable,

    /// Accepts the split that infrastructure as code declares for a route, although it is the split from before
    /// a promotion.
    #[arg(long)]
    pub(crate) accept_declared: bool,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// A resource that an operator can release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Releasable {
    /// A route that an operator holds or has edited.
    Route(RouteId),
    /// A certificate or trust, by the name of its certificate-rotation record.
    Certificate(String),
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The route as MESH/ROUTER/ROUTE.
    #[arg(value_parser = route)]
    pub(crate) route: RouteId,

    /// Restores although an original target is failing, its health is unknown, the alarms cannot be read, or the harm
    /// checks object. The route is then held like an edited route, since the alarm would undo the restore
    /// within a minute.
    #[arg(long)]
    pub(crate) force: bool,

    /// Restores although the health of a target that gains traffic is unknown. The route is not held: if the target
    /// fails, it is drained again.
    #[arg(long)]
    pub(crate) allow_unknown: bool,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// A subject with a journal of decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Journalled {
    /// A mesh or a resource of it.
    Resource(ResourcePath),
    /// A certificate or trust, by the name of its certificate-rotation record.
    Certificate(String),
}

impl fmt::Display for Journalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(path) => path.fmt(f),
            Self::Certificate(subject) => f.write_str(subject),
        }
    }
}

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("record").required(true).args(["resource", "file"])))]
pub(crate) struct ReplayArgs {
    /// The route as MESH/ROUTER/ROUTE, the path of a virtual node or mesh, or a certificate or trust from `status`, as
    /// in `acm:ARN` or `sds:NAME`.
    #[arg(value_parser = journalled)]
    pub(crate) resource: Option<Journalled>,

    /// A JSON file with one journal entry or a list of entries, instead of the journal.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The most journal entries to replay.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    /// The document's key, as the page names it: FUNCTION/MESH, FUNCTION, failures/FUNCTION or standstills/FUNCTION.
    #[arg(value_parser = document, value_name = "DOCUMENT")]
    pub(crate) document: StateKey,

    /// The reason for the reset, for the journal.
    #[arg(long)]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The mesh to judge.
    pub(crate) mesh: MeshName,

    /// The folder for the files, which is created if necessary.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Arguments of `alarms`.
#[derive(Debug, clap::Args)]
pub(crate) struct AlarmsArgs {
    /// The mesh with the routes.
    pub(crate) mesh: MeshName,

    /// The output format: `cloudformation` or `terraform`; with --check `table` or `json`.
    #[arg(long, value_enum)]
    pub(crate) format: Option<AlarmsFormat>,

    /// The source of the mesh: `api`, or files and folders in any format that `check` reads.
    #[arg(long, value_name = "api|PATH", num_args = 1.., default_value = "api")]
    pub(crate) source: Vec<PathBuf>,

    /// Compares the alarms of the account with the needed alarms. Exit code 1 if a target has no usable alarm.
    #[arg(long)]
    pub(crate) check: bool,

    /// The metrics of the alarms: those of a plain Envoy, or those of the extension in App Mesh's Envoy image.
    #[arg(long, value_enum, default_value_t = AlarmsMetrics::Envoy)]
    pub(crate) metrics: AlarmsMetrics,

    /// The namespace in which the CloudWatch agent publishes.
    #[arg(long, value_name = "NAME", default_value = "AppMesh")]
    pub(crate) namespace: String,

    /// Selects only this virtual node; repeatable.
    #[arg(long = "node", value_name = "NAME")]
    pub(crate) nodes: Vec<VirtualNodeName>,

    /// The file for the template, instead of the standard output.
    #[arg(long, short, value_name = "FILE", conflicts_with = "check")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// The output format of `alarms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlarmsFormat {
    /// A CloudFormation template, as JSON.
    Cloudformation,
    /// Terraform's JSON syntax, for a file `*.tf.json`.
    Terraform,
    /// A table of the usable alarms and the problems of each target.
    Table,
    /// The table's content as JSON.
    Json,
}

/// The metrics of generated alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlarmsMetrics {
    /// The metrics of a plain Envoy, with `control-plane bootstrap --statsd`.
    Envoy,
    /// The metrics of App Mesh, with the metrics extension of its Envoy image.
    AppMesh,
}

impl From<AlarmsMetrics> for Metrics {
    fn from(metrics: AlarmsMetrics) -> Self {
        match metrics {
            AlarmsMetrics::Envoy => Self::Envoy,
            AlarmsMetrics::AppMesh => Self::AppMesh,
        }
    }
}

impl People {
    /// The locations of the state table and the policy.
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Status(args) => &args.show.place,
            Self::Proxies(args) => &args.place,
            Self::Explain(args) => &args.place,
            Self::Hold(args) => &args.place,
            Self::Release(args) => &args.place,
            Self::Restore(args) => &args.place,
            Self::Replay(args) => &args.place,
            Self::Report(args) => &args.place,
            Self::Alarms(args) => &args.place,
            Self::Forget(args) => &args.place,
            Self::Rollout(command) => command.place(),
            Self::Drill(args) => args.place(),
            Self::Kill(args) => args.place(),
        }
    }

    /// The operator and the confirmation; `None` for a command that writes nothing.
    pub(crate) fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Status(_)
            | Self::Explain(_)
            | Self::Replay(_)
            | Self::Report(_)
            | Self::Proxies(_)
            | Self::Alarms(_) => None,
            Self::Rollout(command) => command.signature(),
            Self::Hold(args) => Some(&args.signature),
            Self::Release(args) => Some(&args.signature),
            Self::Restore(args) => Some(&args.signature),
            Self::Forget(args) => Some(&args.signature),
            Self::Drill(args) => args.signature(),
            Self::Kill(args) => args.signature(),
        }
    }
}

fn releasable(text: &str) -> Result<Releasable, String> {
    match text.strip_prefix("certificate/") {
        Some(subject) if SOURCES.iter().any(|source| subject.starts_with(source)) => {
            Ok(Releasable::Certificate(subject.to_owned()))
        }
        Some(subject) => Err(format!(
            "invalid certificate `{subject}`: expected a name as `meshwarden status` shows it, as in `certificate/sds:web`"
        )),
        None => route(text).map(Releasable::Route),
    }
}

fn route(text: &str) -> Result<RouteId, String> {
    match resource(text)? {
        ResourcePath::Route(id) => Ok(id),
        other => Err(format!("{other} is not a route: expected MESH/ROUTER/ROUTE")),
    }
}

/// Parses `alarm/NAME`, or a resource. A name may contain slashes.
fn explained(text: &str) -> Result<Explained, String> {
    match text.strip_prefix("alarm/") {
        Some(name) => AlarmName::parse(name).map(Explained::Alarm).map_err(|error| error.to_string()),
        None => resource(text).map(Explained::Resource),
    }
}

/// Parses a path as findings show it, or the short form of a route.
fn resource(text: &str) -> Result<ResourcePath, String> {
    match ResourcePath::parse(text) {
        Ok(path) => Ok(path),
        Err(error) => match RouteId::parse(text) {
            Ok(id) => Ok(ResourcePath::Route(id)),
            Err(_) => Err(format!("{error}; a route may also be given as MESH/ROUTER/ROUTE")),
        },
    }
}

/// The prefixes of certificate and trust sources. No resource path starts with one.
const SOURCES: [&str; 5] = ["acm:", "sds:", "file:", "policy:", "none:"];

fn journalled(text: &str) -> Result<Journalled, String> {
    let subject = text.strip_prefix("trust ").unwrap_or(text);
    if SOURCES.iter().any(|source| subject.starts_with(source)) {
        return Ok(Journalled::Certificate(subject.to_owned()));
    }
    resource(text).map(Journalled::Resource)
}

#[cfg(test)]
mod tests;
