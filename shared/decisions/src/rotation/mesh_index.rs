//! The state of whole meshes: which meshes a subject affects, and the consequences if one of them cannot be read.
//!
//! Every verifier accepts a renewed leaf of the same CA and for the same names. A change of trust may break verifiers
//! in any mesh. So an unreadable mesh blocks every change of trust. It blocks a renewal only if it is known to use the
//! leaf and there is time to read it first.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{RotationDecision, RotationVerdict};
use super::facts::{MeshFacts, RotationFacts, RotationMemory};
use super::proposal::PATIENCE;
use super::reason::{NotKnown, RotationKeepReason};
use super::record::{RotationRecord, digest};
use super::subject::RotationSubject;
use mesh::certificates::SourceReading;
use mesh::name::{MeshName, ResourcePath};
use policy::{CertificatesPolicy, Mode};

/// The decision about a mesh itself: whether it could be read, and the record to store.
pub(super) fn decide(name: &MeshName, mesh: &MeshFacts) -> RotationDecision {
    let subject = RotationSubject::Mesh(name.clone());
    let stored = match &mesh.memory {
        RotationMemory::Record(record) => Some(&**record),
        RotationMemory::None | RotationMemory::Unreadable(_) | RotationMemory::Newer { .. } => None,
    };
    match &mesh.has {
        SourceReading::Known(has) => {
            let had = has.iter().map(|name| short(name)).collect::<BTreeSet<_>>();
            let record = RotationRecord { had: Some(had), ..stored.cloned().unwrap_or_default() };
            let verdict = RotationVerdict::Keep(RotationKeepReason::Seen { shareable: has.len() });
            let is_newer = matches!(mesh.memory, RotationMemory::Newer { .. });
            let record = (stored != Some(&record) && !is_newer).then_some(record);
            RotationDecision {
                subject,
                verdict,
                record,
                failing: false,
                watching: BTreeSet::new(),
                unread: BTreeSet::new(),
                patience: PATIENCE,
            }
        }
        SourceReading::Unread(why) => RotationDecision {
            subject,
            verdict: RotationVerdict::Keep(RotationKeepReason::Unread { why: why.clone() }),
            record: None,
            failing: true,
            watching: BTreeSet::new(),
            unread: BTreeSet::new(),
            patience: PATIENCE,
        },
    }
}

/// Whether a mesh uses a subject, as far as known.
enum MeshUse {
    Yes,
    No,
    /// The mesh cannot be read now; it used the subject at its last read, or did not, or was never read (`None`).
    Then(Option<bool>),
}

/// All meshes of the facts, with the queries about them.
pub(super) struct MeshIndex<'f> {
    all: &'f BTreeMap<MeshName, MeshFacts>,
    /// The meshes in observe mode.
    watching: Vec<&'f MeshName>,
    /// The unreadable meshes that may share subjects with others, with the error.
    unread: BTreeMap<&'f MeshName, &'f str>,
}

impl<'f> MeshIndex<'f> {
    pub(super) fn new(facts: &'f RotationFacts, policy: &CertificatesPolicy) -> Self {
        let unread = facts.meshes.iter().filter_map(|(name, mesh)| match &mesh.has {
            SourceReading::Unread(why) if !policy.rollover.separate.contains(name) => Some((name, why.as_str())),
            SourceReading::Unread(_) | SourceReading::Known(_) => None,
        });
        let watching = facts.meshes.iter().filter(|(_, mesh)| mesh.mode == Mode::Observe).map(|(name, _)| name);
        Self { all: &facts.meshes, watching: watching.collect(), unread: unread.collect() }
    }

    /// Fails with a reason to wait if any mesh is unreadable.
    pub(super) fn all_read(&self, unknown: NotKnown) -> Result<(), RotationKeepReason> {
        self.held(&self.unread.keys().copied().collect(), unknown)
    }

    /// Fails with a reason to wait if an unreadable mesh is known to use the subject.
    pub(super) fn can_follow(&self, subject: &RotationSubject) -> Result<(), RotationKeepReason> {
        let concerned =
            self.unread.keys().copied().filter(|name| matches!(self.has(name, subject), MeshUse::Then(Some(true))));
        self.held(&concerned.collect(), NotKnown::WhetherItArrives)
    }

    fn held(&self, meshes: &BTreeSet<&MeshName>, unknown: NotKnown) -> Result<(), RotationKeepReason> {
        if meshes.is_empty() {
            return Ok(());
        }
        let of = |name: &&MeshName| self.unread.get(*name).map(|why| ((*name).clone(), (*why).to_owned()));
        Err(RotationKeepReason::MeshUnread { meshes: meshes.iter().filter_map(of).collect(), unknown })
    }

    /// The meshes in observe mode that a change of the subject affects or may affect.
    pub(super) fn watching<'p>(
        &self,
        subject: &RotationSubject,
        users: impl Iterator<Item = &'p ResourcePath>,
    ) -> BTreeSet<MeshName> {
        if self.watching.is_empty() {
            return BTreeSet::new();
        }
        let own: BTreeSet<&MeshName> = users.map(ResourcePath::mesh).collect();
        let touches = |name: &MeshName| {
            own.contains(name) || matches!(self.has(name, subject), MeshUse::Yes | MeshUse::Then(None | Some(true)))
        };
        self.watching.iter().filter(|name| touches(name)).map(|name| (*name).clone()).collect()
    }

    /// The unreadable meshes that may use the subject.
    pub(super) fn may_have(&self, subject: &RotationSubject) -> BTreeSet<MeshName> {
        let may = |name: &&&MeshName| matches!(self.has(name, subject), MeshUse::Then(None | Some(true)));
        self.unread.keys().filter(may).map(|name| (*name).clone()).collect()
    }

    fn has(&self, name: &MeshName, subject: &RotationSubject) -> MeshUse {
        let Some(mesh) = self.all.get(name) else { return MeshUse::No };
        match (&mesh.has, subject.is_shared()) {
            (SourceReading::Known(has), _) => {
                if has.contains(&subject.name()) {
                    MeshUse::Yes
                } else {
                    MeshUse::No
                }
            }
            // A subject named after a resource belongs to that resource's mesh.
            (SourceReading::Unread(_), false) => MeshUse::No,
            (SourceReading::Unread(_), true) if !self.unread.contains_key(name) => MeshUse::No,
            (SourceReading::Unread(_), true) => MeshUse::Then(match &mesh.memory {
                RotationMemory::Record(record) => record.had.as_ref().map(|had| had.contains(&short(&subject.name()))),
                RotationMemory::None | RotationMemory::Unreadable(_) | RotationMemory::Newer { .. } => None,
            }),
        }
    }
}

/// The digest of a name for storage: a mesh may have thousands of names, and a document is limited to 400 KB.
fn short(name: &str) -> String {
    digest(&[name], 16)
}
