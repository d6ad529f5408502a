//! What a mesh itself tells of its certificates: who presents what, who trusts by what, and who meets whom.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decide::Subject;
use super::facts::{Meeting, TrustId};
use crate::certificates::{Anchor, Place, Readings, Source};
use crate::edges::{Edge, edges};
use crate::graph::Mesh;
use crate::name::ResourcePath;
use crate::spec::{Backend, Port};

/// The certificates and the trust of a mesh, as its specs name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// What is presented.
    pub leaves: BTreeMap<Source, LeafUse>,
    /// What is trusted.
    pub trusts: BTreeMap<TrustId, TrustUse>,
    /// Who holds which leaf against which trust.
    pub meetings: BTreeSet<Meeting>,
}

/// Who presents a leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeafUse {
    /// Virtual nodes and gateways, as servers or clients.
    pub users: BTreeSet<ResourcePath>,
    /// Their listeners.
    pub listeners: BTreeSet<(ResourcePath, Port)>,
    /// Those of them that present it as clients.
    pub clients: BTreeSet<ResourcePath>,
}

/// Who trusts by something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustUse {
    /// Virtual nodes and gateways, as clients or servers.
    pub users: BTreeSet<ResourcePath>,
    /// Where the trust comes from, in the order of the spec.
    pub anchors: Vec<Anchor>,
}

impl Survey {
    /// Surveys a mesh. Listeners that nobody calls are in it; client policies towards nothing are not.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        let mut survey = Self::default();
        for (source, uses) in crate::certificates::Inventory::of(mesh).presented {
            for used in uses {
                let leaf = survey.leaves.entry(source.clone()).or_default();
                match used.place {
                    Place::Listener { port } => {
                        leaf.listeners.insert((used.by.clone(), port));
                    }
                    Place::BackendDefaults | Place::Backend { .. } => {
                        leaf.clients.insert(used.by.clone());
                    }
                }
                leaf.users.insert(used.by);
            }
        }
        // Nothing was read yet, so the time plays no part.
        for edge in edges(mesh, &Readings::default(), Timestamp::UNIX_EPOCH) {
            survey.add(mesh, &edge);
        }
        survey
    }

    /// What other meshes may have, too, as the subjects of decisions are called.
    #[must_use]
    pub fn shareable(&self) -> BTreeSet<String> {
        let leaves = self.leaves.keys().cloned().map(Subject::Certificate);
        let subjects = leaves.chain(self.trusts.keys().cloned().map(Subject::Trust));
        subjects.filter(Subject::is_shared).map(|subject| subject.name()).collect()
    }

    /// Takes over what another mesh tells: certificates may be shared.
    pub fn join(&mut self, other: Self) {
        for (source, used) in other.leaves {
            let leaf = self.leaves.entry(source).or_default();
            leaf.users.extend(used.users);
            leaf.listeners.extend(used.listeners);
            leaf.clients.extend(used.clients);
        }
        for (id, used) in other.trusts {
            for user in &used.users {
                self.trust(&id, user, used.anchors.iter());
            }
        }
        self.meetings.extend(other.meetings);
    }

    fn add(&mut self, mesh: &Mesh, edge: &Edge) {
        let inputs = &edge.inputs;
        if let (Some(leaf), Some(trust)) = (inputs.server.clone(), server_trust(mesh, edge)) {
            self.trust(&trust, &edge.from, inputs.server_trust.iter());
            let meeting = Meeting { leaf, presenter: edge.to.clone(), trust, verifier: edge.from.clone() };
            self.meetings.insert(meeting);
        }
        if let (Some(leaf), Some(anchor)) = (inputs.client.clone(), inputs.client_trust.as_ref())
            && inputs.asks_client
            && let Some(trust) = named(anchor)
        {
            self.trust(&trust, &edge.to, std::iter::once(anchor));
            let meeting = Meeting { leaf, presenter: edge.from.clone(), trust, verifier: edge.to.clone() };
            self.meetings.insert(meeting);
        }
    }

    fn trust<'a>(&mut self, id: &TrustId, user: &ResourcePath, anchors: impl Iterator<Item = &'a Anchor>) {
        let entry = self.trusts.entry(id.clone()).or_default();
        entry.users.insert(user.clone());
        for anchor in anchors {
            if !entry.anchors.contains(anchor) {
                entry.anchors.push(anchor.clone());
            }
        }
    }
}

/// What a client trusts a server by.
fn server_trust(mesh: &Mesh, edge: &Edge) -> Option<TrustId> {
    let by = edge.from.clone();
    match edge.inputs.server_trust.first()? {
        Anchor::Authority(_) => Some(TrustId::Policy { at: policy_place(mesh, edge), by }),
        Anchor::IssuerOf(_) => Some(TrustId::Implicit { by, service: edge.service.clone() }),
        anchor @ (Anchor::Sds(_) | Anchor::File(..)) => named(anchor),
    }
}

fn named(anchor: &Anchor) -> Option<TrustId> {
    match anchor {
        Anchor::Sds(name) => Some(TrustId::Sds { name: name.clone() }),
        Anchor::File(by, path) => Some(TrustId::File { by: by.clone(), path: path.clone() }),
        Anchor::Authority(_) | Anchor::IssuerOf(_) => None,
    }
}

/// Which policy of the caller holds for the service: the backend's own, else the default.
fn policy_place(mesh: &Mesh, edge: &Edge) -> Place {
    let ResourcePath::VirtualNode(_, name) = &edge.from else { return Place::BackendDefaults };
    let own = mesh.nodes.get(name).into_iter().flat_map(|node| node.backends.iter().flatten()).any(|backend| {
        matches!(backend, Backend::VirtualService(backend)
            if backend.virtual_service_name == edge.service && backend.client_policy.is_some())
    });
    if own { Place::Backend { service: edge.service.clone() } } else { Place::BackendDefaults }
}
