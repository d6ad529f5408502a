//! Reads a mesh whole.

use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use ports::{Pace, PortError, PortErrorKind, survey};

use crate::Ports;

/// A mesh as it was read.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) mesh: Mesh,
    /// Certificates are read by those who rotate them; here what a chain would tell is unknown, and said to be.
    pub(crate) readings: Readings,
    pub(crate) calls: u64,
}

/// Why a mesh is not judged.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Nothing is known of it.
    Error(PortError),
    /// A part of it could not be read.
    Partly {
        /// Why the first of these.
        first: PortError,
        /// Which.
        paths: Vec<ResourcePath>,
    },
}

/// Reads a mesh.
pub(crate) async fn observe(ports: &Ports, name: &MeshName, pace: &mut Pace) -> Result<Observation, Unread> {
    let before = pace.calls();
    let read = survey(ports.meshes.as_ref(), name, pace).await.map_err(Unread::Error)?;
    let mesh = read.model(name).map_err(|error| {
        let call = format!("read mesh {name}");
        Unread::Error(PortError::new(call, PortErrorKind::Other, format!("its resources don't fit: {error}")))
    })?;
    let mut unread = read.unread.into_iter();
    match unread.next() {
        None => Ok(Observation { mesh, readings: Readings::default(), calls: pace.calls() - before }),
        Some((path, first)) => {
            let paths = std::iter::once(path).chain(unread.map(|(path, _)| path)).collect();
            Err(Unread::Partly { first, paths })
        }
    }
}
