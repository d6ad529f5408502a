//! Reads a mesh whole.

use jiff::Timestamp;
use mesh::audit::{Seen, Snapshot};
use mesh::name::{MeshName, ResourcePath};
use ports::{Pace, PortError, PortErrorKind, Surveyed, survey};

use crate::Ports;

/// Why nobody can say what has changed.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The first failure.
    pub(crate) error: PortError,
    /// What could not be read of a mesh that otherwise was.
    pub(crate) paths: Vec<ResourcePath>,
}

/// Reads a mesh. One that doesn't exist has no resources; one that can't be read whole is not known at all, since what
/// is missing would look deleted.
pub(crate) async fn observe(
    ports: &Ports,
    mesh: &MeshName,
    pace: &mut Pace,
    now: Timestamp,
) -> Result<Snapshot, Unread> {
    let snapshot = |resources| Snapshot { mesh: mesh.clone(), at: now, resources };
    let read = match survey(ports.meshes.as_ref(), mesh, pace).await {
        Ok(read) => read,
        Err(error) if error.kind == PortErrorKind::NotFound => return Ok(snapshot([].into())),
        Err(error) => return Err(Unread { error, paths: Vec::new() }),
    };
    let root = ResourcePath::Mesh(mesh.clone());
    let mut unread = read.unread.into_iter();
    match unread.next() {
        None => {
            let seen = |(path, Surveyed { resource, tags })| (path, Seen { resource, tags });
            Ok(snapshot(read.resources.into_iter().map(seen).collect()))
        }
        // Deleted while it was read.
        Some((path, error)) if path == root && error.kind == PortErrorKind::NotFound => Ok(snapshot([].into())),
        Some((path, error)) => {
            let paths = std::iter::once(path).chain(unread.map(|(path, _)| path)).collect();
            Err(Unread { error, paths })
        }
    }
}
