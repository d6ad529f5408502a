//! What people can ask of what the functions keep.

use std::fmt;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::AlarmName;
use mesh::monitoring::Metrics;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use ports::StateKey;

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// Shows where every route stands, the kill switch, and what the last sweep found.
    Status(StatusArgs),
    /// Tells what was decided of a resource and why, newest first, and what is waited for.
    Explain(ExplainArgs),
    /// Keeps a route: until then, or until it is released, no function changes its weights.
    Hold(HoldArgs),
    /// Gives a route back that a person held or edited, or a certificate that was rolled back or keeps failing.
    Release(ReleaseArgs),
    /// Writes a shifted route's original weights now.
    Restore(RestoreArgs),
    /// The switch that stops every function.
    Kill(KillArgs),
    /// Makes recorded decisions again from what was observed then, and tells whether they are the same.
    Replay(ReplayArgs),
    /// Judges a mesh as it is now, and writes the page, the JSON and the SARIF that the sweep keeps.
    Report(ReportArgs),
    /// Resets a document of the state table that tag-compliance, egress-compliance, compliance-sweep or change-audit
    /// cannot read: the function starts afresh, and what the document remembers is lost.
    Forget(ForgetArgs),
    /// Shows the proxies that are connected to the control plane, and whether they have what they should.
    Proxies(ShowArgs),
    /// Writes the alarms that the targets of a mesh's routes need, or compares an account's alarms with them.
    Alarms(Box<AlarmsArgs>),
}

/// Where what is asked about is kept.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Place {
    /// The state table; without it `MESHWARDEN_TABLE`, then `meshwarden`.
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,

    /// The policy document: a file, `s3://bucket/key` or `ssm:/parameter`; without it `MESHWARDEN_POLICY`, then the
    /// built-in policy.
    #[arg(long, value_name = "PLACE")]
    pub(crate) policy: Option<String>,
}

/// Who writes, and whether they are asked first.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Signature {
    /// Who does it, for the journal; without it $USER.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,

    /// Does it without asking. Only a terminal is ever asked.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// For people.
    Table,
    /// One object with everything.
    Json,
}

/// Which meshes to show something of.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Only this mesh.
    #[arg(long)]
    pub(crate) mesh: Option<MeshName>,

    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    pub(crate) format: Shape,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which meshes to show, and whether to follow them.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) show: ShowArgs,

    /// Shows every route and certificate in the table, also those that are as declared. JSON always does.
    #[arg(long)]
    pub(crate) all: bool,

    /// Reads again every SECONDS until Ctrl-C: a terminal is repainted, elsewhere the lines that changed are printed.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600),
    )]
    pub(crate) watch: Option<u64>,
}

/// What to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A route as MESH/ROUTER/ROUTE, any path as findings show it (mesh/shop/virtualNode/orders), or an alarm as
    /// alarm/NAME.
    #[arg(value_parser = explained)]
    pub(crate) subject: Explained,

    /// How many entries of the journal.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// A resource of a mesh, or an alarm.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Explained {
    /// A resource.
    Resource(ResourcePath),
    /// An alarm.
    Alarm(AlarmName),
}

/// Which route to keep, for how long, and why.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("end").required(true).args(["until", "length"])))]
pub(crate) struct HoldArgs {
    /// The route as MESH/ROUTER/ROUTE.
    #[arg(value_parser = route)]
    pub(crate) route: RouteId,

    /// Until when, as in 2026-11-21T18:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,

    /// For how long, as in 90m or 4h.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) length: Option<SignedDuration>,

    /// Why.
    #[arg(long)]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which route or certificate to release.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The route as MESH/ROUTER/ROUTE; or `certificate/` and a certificate or trust as `status` names it, as in
    /// `certificate/sds:web`: a roll-back of it is not respected any longer, and what failed is tried at once.
    #[arg(value_parser = releasable)]
    pub(crate) what: Releasable,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Something that can be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Releasable {
    /// A route that an operator holds or has edited.
    Route(RouteId),
    /// What certificate-rotation keeps a record of, by the name of that record.
    Certificate(String),
}

/// Which route to restore.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The route as MESH/ROUTER/ROUTE.
    #[arg(value_parser = route)]
    pub(crate) route: RouteId,

    /// Restores although an original target is failing, or nobody can tell; the route is then held as after an edit by
    /// hand, since the alarm would undo it within a minute.
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// What to do with the switch.
#[derive(Debug, clap::Args)]
pub(crate) struct KillArgs {
    #[command(subcommand)]
    pub(crate) turn: Turn,
}

/// What to do with the switch.
#[derive(Debug, Subcommand)]
pub(crate) enum Turn {
    /// Stops every function: nothing is changed until it is off again.
    On {
        /// Why.
        #[arg(long)]
        reason: String,

        #[command(flatten)]
        signature: Signature,

        #[command(flatten)]
        place: Place,
    },
    /// Lets the functions work again.
    Off {
        #[command(flatten)]
        signature: Signature,

        #[command(flatten)]
        place: Place,
    },
    /// Tells how it stands, and who turned it.
    Status {
        #[command(flatten)]
        place: Place,
    },
}

/// Something of which there is a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Journalled {
    /// A part of a mesh.
    Resource(ResourcePath),
    /// What certificate-rotation keeps a record of, as it calls it.
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

/// Which decisions to make again.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("record").required(true).args(["resource", "file"])))]
pub(crate) struct ReplayArgs {
    /// The route as MESH/ROUTER/ROUTE, or the path of a virtual node or a mesh; or a certificate or trust as `status` names it,
    /// as in `acm:ARN` or `sds:NAME`: the decisions in its journal.
    #[arg(value_parser = journalled)]
    pub(crate) resource: Option<Journalled>,

    /// A file with one entry of the journal, or a list of them, as JSON; instead of the journal.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// How many entries of the journal.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which document to reset, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    /// The document's key, as a page names it: FUNCTION/MESH, or FUNCTION for the meshes that it knows.
    #[arg(value_parser = document, value_name = "DOCUMENT")]
    pub(crate) document: StateKey,

    /// Why.
    #[arg(long)]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) signature: Signature,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which mesh to report on, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The mesh.
    pub(crate) mesh: MeshName,

    /// The folder that the files are written to; made where there is none.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which alarms to write or to check.
#[derive(Debug, clap::Args)]
pub(crate) struct AlarmsArgs {
    /// The mesh.
    pub(crate) mesh: MeshName,

    /// The form of the output: `cloudformation` or `terraform`; with --check `table` or `json`.
    #[arg(long, value_enum)]
    pub(crate) format: Option<AlarmsFormat>,

    /// Where the mesh is read from: `api`, or files and folders of any form that `check` reads.
    #[arg(long, value_name = "api|PATH", num_args = 1.., default_value = "api")]
    pub(crate) source: Vec<PathBuf>,

    /// Compares the alarms of the account with those that would be written. Exit code 1 if a target has no usable alarm.
    #[arg(long)]
    pub(crate) check: bool,

    /// Which metrics the alarms are on: those of a plain Envoy, or those of the extension of App Mesh's Envoy image.
    #[arg(long, value_enum, default_value_t = AlarmsMetrics::Envoy)]
    pub(crate) metrics: AlarmsMetrics,

    /// The namespace that the CloudWatch agent publishes in.
    #[arg(long, value_name = "NAME", default_value = "AppMesh")]
    pub(crate) namespace: String,

    /// Only this virtual node; can be repeated.
    #[arg(long = "node", value_name = "NAME")]
    pub(crate) nodes: Vec<VirtualNodeName>,

    /// The file that a template is written to, instead of the standard output.
    #[arg(long, short, value_name = "FILE", conflicts_with = "check")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) place: Place,
}

/// The form of `alarms`' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlarmsFormat {
    /// A CloudFormation template, as JSON.
    Cloudformation,
    /// Terraform's JSON syntax, for a file `*.tf.json`.
    Terraform,
    /// A table of what an account lacks.
    Table,
    /// The same as JSON.
    Json,
}

/// Which metrics alarms are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlarmsMetrics {
    /// A plain Envoy's, with `control-plane bootstrap --statsd`.
    Envoy,
    /// App Mesh's, with the metrics extension of its Envoy image.
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
    /// Where what is asked about is kept.
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
            Self::Kill(args) => match &args.turn {
                Turn::On { place, .. } | Turn::Off { place, .. } | Turn::Status { place } => place,
            },
        }
    }

    /// Who writes; `None` where nothing is written.
    pub(crate) fn signature(&self) -> Option<&Signature> {
        match self {
            Self::Status(_)
            | Self::Explain(_)
            | Self::Replay(_)
            | Self::Report(_)
            | Self::Proxies(_)
            | Self::Alarms(_) => None,
            Self::Hold(args) => Some(&args.signature),
            Self::Release(args) => Some(&args.signature),
            Self::Restore(args) => Some(&args.signature),
            Self::Forget(args) => Some(&args.signature),
            Self::Kill(args) => match &args.turn {
                Turn::On { signature, .. } | Turn::Off { signature, .. } => Some(signature),
                Turn::Status { .. } => None,
            },
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
        other => Err(format!("{other} is no route; give MESH/ROUTER/ROUTE")),
    }
}

/// `alarm/NAME`, or a resource. A name may hold slashes.
fn explained(text: &str) -> Result<Explained, String> {
    match text.strip_prefix("alarm/") {
        Some(name) => AlarmName::parse(name).map(Explained::Alarm).map_err(|error| error.to_string()),
        None => resource(text).map(Explained::Resource),
    }
}

/// A path as findings show it, or the short form of a route.
fn resource(text: &str) -> Result<ResourcePath, String> {
    match ResourcePath::parse(text) {
        Ok(path) => Ok(path),
        Err(error) => match RouteId::parse(text) {
            Ok(id) => Ok(ResourcePath::Route(id)),
            Err(_) => Err(format!("{error}; a route may also be given as MESH/ROUTER/ROUTE")),
        },
    }
}

/// The functions whose documents can be reset. Routes and certificates are not among them: what is remembered of those
/// is how to restore them.
const FORGETTABLE: [&str; 4] = ["tag-compliance", "egress-compliance", "compliance-sweep", "change-audit"];

/// The key of a document that can be reset.
fn document(text: &str) -> Result<StateKey, String> {
    let invalid =
        || format!("invalid document `{text}`: expected FUNCTION or FUNCTION/MESH of {}", FORGETTABLE.join(", "));
    let mut segments = text.split('/');
    let function = segments.next().filter(|function| FORGETTABLE.contains(function)).ok_or_else(invalid)?;
    let mesh = segments.next().map(MeshName::parse).transpose().map_err(|error| error.to_string())?;
    let part = segments.next().map(|part| {
        let (part, parts) = part.split_once("-of-")?;
        Some((part.parse::<usize>().ok()?, parts.parse::<usize>().ok()?))
    });
    match (mesh, part, segments.next()) {
        (None, None, None) => Ok(StateKey::meshes(function)),
        (Some(mesh), None, None) => Ok(StateKey::mesh(function, &mesh)),
        (Some(mesh), Some(Some((part, parts))), None) => Ok(StateKey::part_of_mesh(function, &mesh, part, parts)),
        _ => Err(invalid()),
    }
}

/// What a source of a certificate or of trust begins with; no path of a resource does.
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
