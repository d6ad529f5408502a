//! Reads a mesh as a whole, and its certificates as far as they can be read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::certificates::{CertificateSource as Source, Inventory, Readings, SourceReading as Reading};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use policy::Policy;
use ports::certificates::CertificateReader;
use ports::{Pace, PortError, PortErrorKind, survey};
use reports::Dated;
use rules::pack::{Group, Rule, rules};

use crate::unread_parts::UnreadParts;
use crate::{Ports, drill_facts};

/// A mesh as it was read.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) mesh: Mesh,
    /// Whether the mesh is deleted.
    pub(crate) is_deleted: bool,
    /// The mesh's ARN.
    pub(crate) arn: String,
    pub(crate) readings: Readings,
    pub(crate) calls: u64,
    /// Resources with a spec or tags that could not be read.
    pub(crate) parts: UnreadParts,
}

impl Observation {
    /// The observation of a deleted mesh.
    pub(crate) fn deleted(name: &MeshName, arn: &str) -> Self {
        let mesh = Mesh::new(name.clone());
        let (readings, parts) = (Readings::default(), UnreadParts::default());
        Self { mesh, is_deleted: true, arn: arn.to_owned(), readings, calls: 0, parts }
    }

    /// The resources, tags and certificates that could not be read, with the errors.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        let mut all = self.unread_certificates();
        all.extend(self.parts.described());
        all
    }

    fn unread_certificates(&self) -> BTreeSet<String> {
        let chains = self.readings.chains.iter().filter_map(|(source, reading)| unread(source, reading));
        chains.chain(self.readings.anchors.iter().filter_map(|(anchor, reading)| unread(anchor, reading))).collect()
    }

    /// The parts of the mesh without reliable findings, because reads failed. Certificates that this function never
    /// reads, such as files and secrets of others, do not count.
    pub(crate) fn blind_spots(&self) -> BlindSpots<'_> {
        let is_unread = |source: &Source| matches!(self.readings.chains.get(source), Some(Reading::Unread(_)));
        let presented = Inventory::from_mesh(&self.mesh).presented.into_iter().filter(|(source, _)| is_unread(source));
        let presenting = presented.flat_map(|(_, uses)| uses).map(|used| used.by).collect();
        BlindSpots { presenting, any_certificate: !self.unread_certificates().is_empty(), parts: &self.parts }
    }
}

/// The parts of a mesh that could not be read.
#[derive(Debug)]
pub(crate) struct BlindSpots<'a> {
    /// The resources that present an unread certificate.
    presenting: BTreeSet<ResourcePath>,
    /// Whether any certificate was not read.
    any_certificate: bool,
    parts: &'a UnreadParts,
}

impl BlindSpots<'_> {
    /// Whether a finding could exist without being found. A finding about a call depends on both ends of the call, but
    /// names only one of them.
    pub(crate) fn hide(&self, dated: &Dated) -> bool {
        if self.parts.hide(dated) {
            return true;
        }
        let rests = |rule: &Rule| rule.id == dated.rule && rule.rests_on_certificates;
        rules().find(|rule| rests(rule)).is_some_and(|rule| match rule.group {
            Group::Certificates => self.presenting.contains(&dated.resource),
            _ => self.any_certificate,
        })
    }
}

fn unread<T>(of: &impl ToString, reading: &Reading<T>) -> Option<String> {
    match reading {
        Reading::Known(_) => None,
        Reading::Unread(why) => Some(format!("{}: {why}", of.to_string())),
    }
}

/// Reads one mesh and its certificates.
pub(crate) async fn observe(
    ports: &Ports,
    name: &MeshName,
    policy: &Policy,
    now: Timestamp,
    pace: &mut Pace,
) -> Result<Observation, PortError> {
    let before = pace.calls();
    let mut read = survey(ports.meshes.as_ref(), name, pace).await?;
    let calls = pace.calls() - before;
    let root = ResourcePath::Mesh(name.clone());
    if let Some(at) = read.unread.iter().position(|(path, _)| *path == root) {
        // Without the mesh's own spec, no resource in it can be judged.
        return Err(read.unread.swap_remove(at).1);
    }
    let unfit = |why: String| PortError::new(format!("read mesh {name}"), PortErrorKind::Other, why);
    let mut mesh = read.model(name).map_err(|error| unfit(format!("its resources don't fit: {error}")))?;
    mesh.drills = drill_facts::read(ports.state.as_ref(), name, &policy.drills, now).await?;
    let arn = read.resources.get(&root);
    let arn = arn.map(|found| found.resource.metadata().arn.to_string()).unwrap_or_default();
    let unread_parts = UnreadParts::new(read.unread, read.unread_tags);
    unread_parts.stand_in(&mut mesh).map_err(|error| unfit(error.to_string()))?;
    let reader = CertificateReader {
        certificates: ports.certificates.as_ref(),
        authorities: ports.authorities.as_ref(),
        bundles: ports.bundles.as_ref(),
    };
    let readings = reader.read(&mesh, &policy.certificates).await;
    Ok(Observation { mesh, is_deleted: false, arn, readings, calls, parts: unread_parts })
}
