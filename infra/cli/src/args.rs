//! Arguments of the command line.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::check::CheckArgs;
#[cfg(any(feature = "aws", test))]
use crate::dead_letters::DeadLettersArgs;
#[cfg(feature = "aws")]
use crate::import::{ApplyArgs, DiffArgs, ExportArgs, ImportArgs};
#[cfg(any(feature = "aws", test))]
use crate::node_token::{AgentArgs, TokenArgs};
#[cfg(any(feature = "aws", test))]
use crate::people::People;

/// Checks and operates App Mesh meshes.
#[derive(Debug, Parser)]
#[command(name = "meshwarden", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands of `meshwarden`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks files before they are deployed: CloudFormation, Terraform, manifests, Config items, API JSON.
    Check(Box<CheckArgs>),
    #[cfg(feature = "aws")]
    /// Brings the resources of files into the control plane, and reports each member.
    Import(Box<ImportArgs>),
    #[cfg(feature = "aws")]
    /// Applies API JSON, the form that `export` writes, to the control plane.
    Apply(Box<ApplyArgs>),
    #[cfg(feature = "aws")]
    /// Shows the writes that `import` would make; exit code 1 if there are any.
    Diff(Box<DiffArgs>),
    #[cfg(feature = "aws")]
    /// Writes a mesh of the control plane to a file: API JSON, CloudFormation or Terraform.
    Export(ExportArgs),
    #[cfg(any(feature = "aws", test))]
    #[command(flatten)]
    People(People),
    #[cfg(any(feature = "aws", test))]
    /// Lists, shows, redrives and deletes events that could not be delivered, handled or read.
    DeadLetters(DeadLettersArgs),
    #[cfg(any(feature = "aws", test))]
    /// Requests a node token from the control plane, which proves to xDS which proxy an Envoy is.
    Token(TokenArgs),
    #[cfg(any(feature = "aws", test))]
    /// Keeps a valid node token in a file: renews it at half its lifetime, until SIGTERM.
    Agent(AgentArgs),
    /// Writes a shell completion script.
    Completions {
        /// The shell of the completion script.
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Args::command().debug_assert();
    }
}
