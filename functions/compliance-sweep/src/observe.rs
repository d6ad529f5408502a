//! Reads a mesh whole, and its certificates as far as they can be read.

use std::collections::BTreeSet;

use mesh::certificates::{Inventory, Reading, Readings, Source};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::{Group, Rule, rules};
use mesh::policy::CertificatesPolicy;
use ports::certificates::CertificateReader;
use ports::{Pace, PortError, PortErrorKind, survey};
use reports::Dated;

use crate::Ports;

/// A mesh as it was read.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) mesh: Mesh,
    /// Whether there is no such mesh any more.
    pub(crate) is_gone: bool,
    /// The mesh's ARN.
    pub(crate) arn: String,
    pub(crate) readings: Readings,
    pub(crate) calls: u64,
}

impl Observation {
    /// A mesh that was there, and is not.
    pub(crate) fn gone(name: &MeshName, arn: &str) -> Self {
        let mesh = Mesh::new(name.clone());
        Self { mesh, is_gone: true, arn: arn.to_owned(), readings: Readings::default(), calls: 0 }
    }

    /// What should have been read and could not be.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        let chains = self.readings.chains.iter().filter_map(|(source, reading)| unread(source, reading));
        chains.chain(self.readings.anchors.iter().filter_map(|(anchor, reading)| unread(anchor, reading))).collect()
    }

    /// Where findings on certificates say nothing, because of what could not be read. Files and the secrets of others
    /// nobody can read, here as at any other time.
    pub(crate) fn blind_spots(&self) -> BlindSpots {
        let is_unread = |source: &Source| matches!(self.readings.chains.get(source), Some(Reading::Unread(_)));
        let presented = Inventory::of(&self.mesh).presented.into_iter().filter(|(source, _)| is_unread(source));
        let presenting = presented.flat_map(|(_, uses)| uses).map(|used| used.by).collect();
        BlindSpots { presenting, any: !self.unread().is_empty() }
    }
}

/// What could not be looked at.
#[derive(Debug)]
pub(crate) struct BlindSpots {
    /// Those that present a certificate which was not read.
    presenting: BTreeSet<ResourcePath>,
    /// Whether anything was not read.
    any: bool,
}

impl BlindSpots {
    /// Whether a finding could be there without being found. What is told of a call rests on both of its ends, and the
    /// finding names one of them.
    pub(crate) fn hide(&self, dated: &Dated) -> bool {
        let rests = |rule: &Rule| rule.id == dated.rule && rule.rests_on_certificates;
        rules().find(|rule| rests(rule)).is_some_and(|rule| match rule.group {
            Group::Certificates => self.presenting.contains(&dated.resource),
            _ => self.any,
        })
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
        if path == ResourcePath::Mesh(name.clone()) && first.kind == PortErrorKind::NotFound {
            // Deleted while it was read.
            return Err(Unread::Error(first));
        }
        let paths = std::iter::once(path).chain(unread.map(|(path, _)| path)).collect();
        return Err(Unread::Partly { first, paths });
    }
    let reader = CertificateReader {
        certificates: ports.certificates.as_ref(),
        authorities: ports.authorities.as_ref(),
        bundles: ports.bundles.as_ref(),
    };
    let readings = reader.read(&mesh, policy).await;
    Ok(Observation { mesh, is_gone: false, arn, readings, calls })
}
