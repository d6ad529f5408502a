//! What is known of whole meshes: which of them something touches, and what that means while one can't be read.
//!
//! A leaf that is renewed by the same CA, for the same names, is taken by everybody who took the one before, whoever that
//! is; what changes who has to be trusted is not. So a mesh that can't be read keeps the latter from being done, and the
//! former only where it is known to be concerned and there is time to look first.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Decision, PATIENCE, Subject, Verdict};
use super::facts::{Facts, Memory, MeshFacts};
use super::reason::{KeepReason, NotKnown};
use super::record::{Record, digest};
use crate::certificates::Reading;
use crate::name::{MeshName, ResourcePath};
use crate::policy::{CertificatesPolicy, Mode};

/// What is said of a mesh itself: whether it could be read, and what is to be remembered of it.
pub(super) fn decide(name: &MeshName, mesh: &MeshFacts) -> Decision {
    let subject = Subject::Mesh(name.clone());
    let stored = match &mesh.memory {
        Memory::Record(record) => Some(&**record),
        Memory::None | Memory::Unreadable(_) | Memory::Newer { .. } => None,
    };
    match &mesh.has {
        Reading::Known(has) => {
            let had = has.iter().map(|name| short(name)).collect::<BTreeSet<_>>();
            let record = Record { had: Some(had), ..stored.cloned().unwrap_or_default() };
            let verdict = Verdict::Keep(KeepReason::Seen { shareable: has.len() });
            let is_newer = matches!(mesh.memory, Memory::Newer { .. });
            let record = (stored != Some(&record) && !is_newer).then_some(record);
            Decision {
                subject,
                verdict,
                record,
                failing: false,
                watching: BTreeSet::new(),
                unread: BTreeSet::new(),
                patience: PATIENCE,
            }
        }
        Reading::Unread(why) => Decision {
            subject,
            verdict: Verdict::Keep(KeepReason::Unread { why: why.clone() }),
            record: None,
            failing: true,
            watching: BTreeSet::new(),
            unread: BTreeSet::new(),
            patience: PATIENCE,
        },
    }
}

/// Whether a mesh has something, as far as that is known.
enum Has {
    Yes,
    No,
    /// It can't be read now. Before, it had it, or had it not, or nobody has ever looked.
    Then(Option<bool>),
}

/// The meshes of all facts, and what can be said of each.
pub(super) struct Meshes<'f> {
    all: &'f BTreeMap<MeshName, MeshFacts>,
    /// Those in which nothing may be changed.
    watching: Vec<&'f MeshName>,
    /// Those that can't be read and may share what others have.
    unread: BTreeMap<&'f MeshName, &'f str>,
}

impl<'f> Meshes<'f> {
    pub(super) fn of(facts: &'f Facts, policy: &CertificatesPolicy) -> Self {
        let unread = facts.meshes.iter().filter_map(|(name, mesh)| match &mesh.has {
            Reading::Unread(why) if !policy.rollover.separate.contains(name) => Some((name, why.as_str())),
            Reading::Unread(_) | Reading::Known(_) => None,
        });
        let watching = facts.meshes.iter().filter(|(_, mesh)| mesh.mode == Mode::Observe).map(|(name, _)| name);
        Self { all: &facts.meshes, watching: watching.collect(), unread: unread.collect() }
    }

    /// The reason to keep back what has to be known of every mesh; `None` while all are read.
    pub(super) fn all_read(&self, unknown: NotKnown) -> Result<(), KeepReason> {
        self.held(&self.unread.keys().copied().collect(), unknown)
    }

    /// The reason to look first, where something that is about to change is known to be in a mesh that can't be read.
    pub(super) fn can_follow(&self, subject: &Subject) -> Result<(), KeepReason> {
        let concerned =
            self.unread.keys().copied().filter(|name| matches!(self.has(name, subject), Has::Then(Some(true))));
        self.held(&concerned.collect(), NotKnown::WhetherItArrives)
    }

    fn held(&self, meshes: &BTreeSet<&MeshName>, unknown: NotKnown) -> Result<(), KeepReason> {
        if meshes.is_empty() {
            return Ok(());
        }
        let of = |name: &&MeshName| self.unread.get(*name).map(|why| ((*name).clone(), (*why).to_owned()));
        Err(KeepReason::MeshUnread { meshes: meshes.iter().filter_map(of).collect(), unknown })
    }

    /// The meshes that only watch and that something touches, or may touch for all that is known.
    pub(super) fn watching<'p>(
        &self,
        subject: &Subject,
        users: impl Iterator<Item = &'p ResourcePath>,
    ) -> BTreeSet<MeshName> {
        if self.watching.is_empty() {
            return BTreeSet::new();
        }
        let own: BTreeSet<&MeshName> = users.map(ResourcePath::mesh).collect();
        let touches = |name: &MeshName| {
            own.contains(name) || matches!(self.has(name, subject), Has::Yes | Has::Then(None | Some(true)))
        };
        self.watching.iter().filter(|name| touches(name)).map(|name| (*name).clone()).collect()
    }

    /// Meshes that can't be read and that may have something, for all that is known.
    pub(super) fn may_have(&self, subject: &Subject) -> BTreeSet<MeshName> {
        let may = |name: &&&MeshName| matches!(self.has(name, subject), Has::Then(None | Some(true)));
        self.unread.keys().filter(may).map(|name| (*name).clone()).collect()
    }

    fn has(&self, name: &MeshName, subject: &Subject) -> Has {
        let Some(mesh) = self.all.get(name) else { return Has::No };
        match (&mesh.has, subject.is_shared()) {
            (Reading::Known(has), _) => {
                if has.contains(&subject.name()) {
                    Has::Yes
                } else {
                    Has::No
                }
            }
            // What has the name of a resource in it belongs to the mesh of that resource.
            (Reading::Unread(_), false) => Has::No,
            (Reading::Unread(_), true) if !self.unread.contains_key(name) => Has::No,
            (Reading::Unread(_), true) => Has::Then(match &mesh.memory {
                Memory::Record(record) => record.had.as_ref().map(|had| had.contains(&short(&subject.name()))),
                Memory::None | Memory::Unreadable(_) | Memory::Newer { .. } => None,
            }),
        }
    }
}

/// A name as it is remembered: a mesh may have thousands, and a document has 400 KB at the most.
fn short(name: &str) -> String {
    digest(&[name], 16)
}
