//! What can be asked on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mesh::name::MeshName;
use mesh::pack::{Profile, Severity};
use mesh::readers::Surroundings;

#[cfg(any(feature = "aws", test))]
use crate::dead_letters::DeadLettersArgs;
#[cfg(any(feature = "aws", test))]
use crate::people::People;

/// Keeps App Mesh meshes safe.
#[derive(Debug, Parser)]
#[command(name = "meshwarden", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks files before they are deployed: CloudFormation, Terraform, manifests, Config items, API JSON.
    Check(Box<CheckArgs>),
    #[cfg(any(feature = "aws", test))]
    #[command(flatten)]
    People(People),
    #[cfg(any(feature = "aws", test))]
    /// Lists, shows, sends again and deletes events that could not be delivered, handled or read.
    DeadLetters(DeadLettersArgs),
    /// Writes a script that completes this command in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What to check, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Files and folders; `-` is the standard input. Files in folders that are of no form of App Mesh are passed over.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Where the output goes, instead of the standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The policy document; without one the built-in policy applies.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Which rules are evaluated, instead of the policy's `profile`. Rules that the policy names are always among them.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileArg>,

    /// The least severity that ends with exit code 1.
    #[arg(long, value_enum, default_value_t = FailOn::Medium, value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,

    /// Succeeds also where a path holds no App Mesh resource at all. Without it that is exit code 2, since a check that
    /// looked at nothing is most often one of a wrong path. Sources that make resources of App Mesh, and files that can't
    /// be read, end with 2 all the same.
    #[arg(long)]
    pub(crate) allow_empty: bool,

    /// Shows also what was assumed, passed over or left open. JSON and SARIF always do.
    #[arg(long)]
    pub(crate) remarks: bool,

    /// Shows every finding in the table: none is folded under its rule or its root cause.
    #[arg(long)]
    pub(crate) all: bool,

    /// Whether the table is coloured. `auto`: on a terminal, unless `NO_COLOR` is set.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,

    #[command(flatten)]
    pub(crate) around: Around,
}

/// What is known around the files.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Around {
    /// A value for a parameter of CloudFormation templates and for a variable of Terraform configurations; may be given
    /// several times.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,

    /// What another stack exports; may be given several times.
    #[arg(long = "export", value_name = "NAME=VALUE", value_parser = pair)]
    exports: Vec<(String, String)>,

    /// The region deployed to.
    #[arg(long)]
    region: Option<String>,

    /// The account deployed to.
    #[arg(long)]
    account: Option<String>,

    /// The name of the stack deployed.
    #[arg(long)]
    stack: Option<String>,

    /// The mesh of what doesn't name its own.
    #[arg(long)]
    mesh: Option<MeshName>,

    /// The namespace of manifests that don't name their own.
    #[arg(long)]
    namespace: Option<String>,
}

impl Around {
    /// The values for parameters and variables.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        self.parameters.iter().cloned().collect()
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

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One object with everything.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// One page without network: the meshes drawn, and the findings with filters.
    Html,
    /// JUnit XML, for the test reports of CI systems.
    Junit,
    /// Workflow commands, which GitHub shows as annotations on the lines of a change.
    Github,
}

/// A selection of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// What is broken, in plain text, expiring, dangling or open to anybody.
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

/// From which severity on a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any finding.
    Info,
    Low,
    Medium,
    High,
    Critical,
    /// None.
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

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

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
