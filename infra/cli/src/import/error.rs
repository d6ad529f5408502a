//! Errors of the commands that bring a mesh in.

use std::io;
use std::path::PathBuf;

use imports::{InputRefusal, PlanRefusal};
use mesh::name::{MeshName, ResourcePath};
use ports::PortError;
use serde_json::{Value, json};
use thiserror::Error;

use crate::check::CheckError;

/// Why a command failed before it wrote anything.
#[derive(Debug, Error)]
pub(crate) enum ImportError {
    /// Parts of the input are unread, unknown or ambiguous.
    #[error("failed to read the files; nothing was written:\n{}", lines(.unread.iter().cloned().chain(.refused.iter().map(ToString::to_string))))]
    Input {
        /// The unread files.
        unread: Vec<String>,
        /// The refused parts.
        refused: Vec<InputRefusal>,
    },
    /// The API would refuse resources.
    #[error("failed to plan the import; nothing was written:\n{}", lines(.0.iter().map(ToString::to_string)))]
    Plan(Vec<PlanRefusal>),
    /// The policy cannot be read.
    #[error(transparent)]
    Policy(#[from] CheckError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Existing resources could not be read, so that no difference to them is known.
    #[error("failed to read {path}")]
    Unread {
        /// The resource.
        path: Box<ResourcePath>,
        /// The failed call.
        #[source]
        error: PortError,
    },
    /// The mesh does not exist.
    #[error("mesh `{mesh}` does not exist; the meshes are: {known}")]
    NoMesh {
        /// The mesh.
        mesh: MeshName,
        /// The existing meshes.
        known: String,
    },
    /// The runtime cannot start.
    #[error("failed to start")]
    Runtime(#[source] io::Error),
    /// The settings are invalid.
    #[error(transparent)]
    Config(#[from] runner::ConfigError),
    /// The region is not set.
    #[error("the region of the control plane is unknown; set AWS_REGION, for example to eu-west-1")]
    NoRegion,
    /// The files have no App Mesh resource.
    #[error("no App Mesh resource was read in {paths}; pass the files that describe the mesh")]
    Nothing {
        /// The paths of the command line.
        paths: String,
    },
    /// The endpoint is not a URL.
    #[error("invalid --endpoint `{given}`: expected http://HOST:PORT or https://HOST:PORT")]
    Endpoint {
        /// The given text.
        given: String,
    },
    /// The output cannot be written.
    #[error("failed to write {}", file.display())]
    Output {
        /// The file.
        file: PathBuf,
        /// The failure.
        #[source]
        error: io::Error,
    },
    /// The confirmation cannot be read.
    #[error("failed to read the confirmation; pass --yes to skip it")]
    Prompt(#[source] io::Error),
}

impl ImportError {
    /// The refused parts of the input as JSON; `None` for any other error.
    pub(crate) fn refusals(&self) -> Option<Value> {
        match self {
            Self::Input { unread, refused } => Some(json!({"unread": unread, "refused": refused})),
            Self::Plan(refused) => Some(json!({"refusedByPlan": refused})),
            Self::Policy(_)
            | Self::Port(_)
            | Self::Unread { .. }
            | Self::NoMesh { .. }
            | Self::Runtime(_)
            | Self::Config(_)
            | Self::Endpoint { .. }
            | Self::NoRegion
            | Self::Nothing { .. }
            | Self::Output { .. }
            | Self::Prompt(_) => None,
        }
    }
}

fn lines(problems: impl Iterator<Item = String>) -> String {
    problems.map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
