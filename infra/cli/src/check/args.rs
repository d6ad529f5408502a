//! Arguments of `check`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ColorChoice, ValueEnum};
use mesh::name::MeshName;
use readers::Surroundings;
use rules::pack::{Profile, Severity};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct CheckArgs {
    /// Files and folders; `-` is the standard input. Files in folders are skipped if they are not in a known
    /// App Mesh format.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// The output format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// The output file, instead of the standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The policy document; without one the built-in policy applies.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// The rule profile, instead of the policy's `profile`. Rules that the policy names are always evaluated.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileArg>,

    /// The lowest severity that ends with exit code 1.
    #[arg(long, value_enum, default_value_t = FailOn::Medium, value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,

    /// Succeeds where a path has no App Mesh resource. Without this flag the exit code is 2, since an empty check
    /// usually means a wrong path. Unreadable files, and sources that generate App Mesh resources, still end with exit
    /// code 2.
    #[arg(long)]
    pub(crate) allow_empty: bool,

    /// Accepts Terraform modules that were not read, such as those from a registry or a Git repository. Without this flag
    /// the exit code is 2, since such a module may have App Mesh resources.
    #[arg(long)]
    pub(crate) allow_unread_modules: bool,

    /// Also lists remarks, waived and undecided findings, and files without App Mesh resources. JSON and SARIF always
    /// contain the remarks and these findings.
    #[arg(long)]
    pub(crate) remarks: bool,

    /// Shows every finding in the table, without folding by rule or root cause.
    #[arg(long)]
    pub(crate) all: bool,

    /// Whether the table is coloured. `auto`: on a terminal, unless `NO_COLOR` is set.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,

    #[command(flatten)]
    pub(crate) around: Around,
}

/// The deployment context of the files.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Around {
    /// A value for a CloudFormation parameter and a Terraform variable; repeatable.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,

    /// A value that another stack exports; repeatable.
    #[arg(long = "export", value_name = "NAME=VALUE", value_parser = pair)]
    exports: Vec<(String, String)>,

    /// The AWS region of the deployment.
    #[arg(long)]
    region: Option<String>,

    /// The AWS account of the deployment.
    #[arg(long)]
    account: Option<String>,

    /// The name of the deployed stack.
    #[arg(long)]
    stack: Option<String>,

    /// The mesh of resources that do not name one.
    #[arg(long)]
    mesh: Option<MeshName>,

    /// The namespace of manifests that do not name one.
    #[arg(long)]
    namespace: Option<String>,
}

impl Around {
    /// The values of parameters and variables.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        self.parameters.iter().cloned().collect()
    }

    /// Whether the mesh of resources without one is given.
    #[cfg(feature = "aws")]
    pub(crate) const fn has_mesh(&self) -> bool {
        self.mesh.is_some()
    }

    /// Whether the namespace of manifests without one is given.
    #[cfg(feature = "aws")]
    pub(crate) const fn has_namespace(&self) -> bool {
        self.namespace.is_some()
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            parameters: self.parameters(),
            exports: self.exports.iter().cloned().collect(),
            partition: None,
            region: self.region.clone(),
            account: self.account.clone(),
            stack: self.stack.clone(),
            mesh: self.mesh.clone(),
            namespace: self.namespace.clone(),
        }
    }
}

/// The output format of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for a terminal.
    Table,
    /// One JSON object with the whole report.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// One offline page with drawings of the meshes and filters for the findings.
    Html,
    /// JUnit XML, for the test reports of CI systems.
    Junit,
    /// Workflow commands, which GitHub shows as annotations on the lines of a change.
    Github,
}

/// A selection of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// Broken, plain-text, expiring, dangling or publicly open resources.
    Core,
    /// `core` and good practice; the default of a policy.
    Recommended,
    /// Every rule.
    Strict,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Core => Self::Core,
            ProfileArg::Recommended => Self::Recommended,
            ProfileArg::Strict => Self::Strict,
        }
    }
}

/// The lowest severity that fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Fails on any finding.
    Info,
    Low,
    Medium,
    High,
    Critical,
    /// Fails on no finding.
    Never,
}

impl FailOn {
    pub(crate) fn fails(self, severity: Severity) -> bool {
        let least = match self {
            Self::Info => Severity::Info,
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
            Self::Never => return false,
        };
        severity >= least
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("invalid value {text:?}: expected NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_an_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err());
        assert!(pair("ab").is_err());
    }

    #[test]
    fn a_check_fails_from_its_severity_on() {
        let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        let failing = |fail_on: FailOn| all.into_iter().filter(|severity| fail_on.fails(*severity)).count();
        let table = [FailOn::Info, FailOn::Low, FailOn::Medium, FailOn::High, FailOn::Critical, FailOn::Never];
        assert_eq!(table.map(failing), [5, 4, 3, 2, 1, 0]);
    }
}
