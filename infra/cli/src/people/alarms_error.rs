//! The errors of `alarms`.

use decisions::monitoring::CloudFormationError;
use mesh::name::MeshName;
use thiserror::Error;

use crate::check::Unread;

/// Why the alarms of a mesh cannot be written or checked.
#[derive(Debug, Error)]
pub(crate) enum AlarmsError {
    /// A source file is unreadable.
    #[error(transparent)]
    File(#[from] Unread),
    /// A resource in the files is unreadable, so targets may be missing.
    #[error(
        "failed to read {count} resources from the files, the first of them {first}; `meshwarden check` lists them"
    )]
    Refused { count: usize, first: String },
    /// The files contain only other meshes.
    #[error("mesh {mesh} is not in the files; they contain: {others}")]
    NoMesh { mesh: MeshName, others: String },
    /// A selected virtual node is not a target.
    #[error("virtual node {node} is not a target of a route of mesh {mesh}")]
    NoTarget { mesh: MeshName, node: String },
    /// The mesh has no alarm target.
    #[error("mesh {mesh} has no route with a target that an alarm can report")]
    NoTargets { mesh: MeshName },
    /// The format does not fit the presence of `--check`.
    #[error("invalid format: --check prints `table` or `json`, without it `cloudformation` or `terraform`")]
    Format,
    /// The template exceeds the size limit of CloudFormation.
    #[error("{0} with --node, or use --format terraform")]
    Template(CloudFormationError),
}
