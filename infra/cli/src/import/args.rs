//! Arguments of `import`, `apply`, `diff` and `export`.

use std::path::PathBuf;

use clap::ValueEnum;
use imports::ExportFormat;
use mesh::name::MeshName;

use crate::check::{Around, ProfileArg};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// Files of API JSON, such as `meshwarden export` writes, and folders with them; `-` is the standard input.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The mesh.
    pub(crate) mesh: MeshName,

    /// The form of the file.
    #[arg(long, value_enum, default_value_t = ExportForm::Json)]
    pub(crate) format: ExportForm,

    /// The output file, instead of the standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// The files to import.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// Files and folders: CloudFormation, Terraform, manifests, AWS Config items, outputs of `aws appmesh describe-*`;
    /// `-` is the standard input.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Drops unknown members, and lists each in the report. Without this flag they are refused.
    #[arg(long)]
    pub(crate) drop_unknown: bool,

    /// Accepts Terraform modules that were not read. Without this flag they are refused, since they may have App Mesh
    /// resources.
    #[arg(long)]
    pub(crate) allow_unread_modules: bool,

    #[command(flatten)]
    pub(crate) around: Around,
}

/// The options of a plan.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PlanArgs {
    /// Deletes the resources of the same meshes that are not in the files, and the tags that are not in the files. Tags
    /// of AWS and of the functions stay, and so do meshes.
    #[arg(long)]
    pub(crate) prune: bool,

    /// Creates a mesh that is neither in the files nor in the API, with an empty spec.
    #[arg(long)]
    pub(crate) create_meshes: bool,

    /// The policy document for the findings; without one the built-in policy applies.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// The rule profile, instead of the policy's `profile`.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileArg>,

    /// The output format.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

/// The options of writes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct WriteArgs {
    /// Shows the plan, the cut calls and the findings, and writes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Skips the confirmation of deletions, which is required outside a terminal.
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Writes even if calls that work now would fail.
    #[arg(long)]
    pub(crate) allow_cuts: bool,
}

/// The location of the API.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApiArgs {
    /// The endpoint of the control plane. Default: `AWS_ENDPOINT_URL_APP_MESH`.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

/// The output format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Lines for a terminal.
    Table,
    /// One JSON object with every step, finding and member.
    Json,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// API JSON, which `meshwarden apply` reads.
    Json,
    /// A CloudFormation template in JSON.
    #[value(name = "cloudformation")]
    CloudFormation,
    /// A Terraform configuration.
    Terraform,
}

impl From<ExportForm> for ExportFormat {
    fn from(form: ExportForm) -> Self {
        match form {
            ExportForm::Json => Self::Json,
            ExportForm::CloudFormation => Self::CloudFormation,
            ExportForm::Terraform => Self::Terraform,
        }
    }
}
