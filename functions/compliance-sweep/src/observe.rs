//! Reads a mesh whole, and its certificates as far as they can be read.

use std::collections::BTreeSet;

use mesh::certificates::{Reading, Readings};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::CertificatesPolicy;
use ports::certificates::CertificateReader;
use ports::{Pace, PortError, PortErrorKind, survey};

use crate::Ports;

/// A mesh as it was read.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) mesh: Mesh,
    /// The mesh's ARN.
    pub(crate) arn: String,
    pub(crate) readings: Readings,
    pub(crate) calls: u64,
}

impl Observation {
    /// What should have been read and could not be.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        let chains = self.readings.chains.iter().filter_map(|(source, reading)| unread(source, reading));
        chains.chain(self.readings.anchors.iter().filter_map(|(anchor, reading)| unread(anchor, reading))).collect()
    }

    /// Whether every certificate that somebody here can read was read: files and the secrets of others nobody can.
    pub(crate) fn knows_its_certificates(&self) -> bool {
        self.unread().is_empty()
    }
}

fn unread<T>(of: &impl ToString, reading: &Reading<T>) -> Option<String> {
    match reading {
        Reading::Known(_) => None,
        Reading::Unread(why) => Some(format!("{}: {why}", of.to_string())),
    }
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
pub(crate) async fn observe(
    ports: &Ports,
    name: &MeshName,
    policy: &CertificatesPolicy,
    pace: &mut Pace,
) -> Result<Observation, Unread> {
    let before = pace.calls();
    let read = survey(ports.meshes.as_ref(), name, pace).await.map_err(Unread::Error)?;
    let calls = pace.calls() - before;
    let unfit = |why: String| Unread::Error(PortError::new(format!("read mesh {name}"), PortErrorKind::Other, why));
    let mesh = read.model(name).map_err(|error| unfit(format!("its resources don't fit: {error}")))?;
    let arn = read.resources.get(&ResourcePath::Mesh(name.clone()));
    let arn = arn.map(|found| found.resource.metadata().arn.to_string()).unwrap_or_default();
    let mut unread = read.unread.into_iter();
    if let Some((path, first)) = unread.next() {
        let paths = std::iter::once(path).chain(unread.map(|(path, _)| path)).collect();
        return Err(Unread::Partly { first, paths });
    }
    let reader = CertificateReader {
        certificates: ports.certificates.as_ref(),
        authorities: ports.authorities.as_ref(),
        bundles: ports.bundles.as_ref(),
    };
    let readings = reader.read(&mesh, policy).await;
    Ok(Observation { mesh, arn, readings, calls })
}
