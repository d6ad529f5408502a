//! The certificates and trusts in a mesh's specs: which proxies present and trust them, and which leaf is verified by
//! which trust.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::LeafVerification;
use super::subject::RotationSubject;
use super::trust_id::TrustId;
use mesh::certificates::{Anchor, CertificateSource, Readings, SpecLocation};
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::spec::{Backend, Port};
use policy::edges::{Edge, edges};

/// The certificates and the trust of a mesh, as its specs name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeshCertificates {
    /// The presented leaves.
    pub leaves: BTreeMap<CertificateSource, LeafUse>,
    /// The trusts.
    pub trusts: BTreeMap<TrustId, TrustUse>,
    /// Which leaf is verified by which trust.
    pub meetings: BTreeSet<LeafVerification>,
}

/// The uses of one leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeafUse {
    /// The virtual nodes and gateways that present it, as servers or clients.
    pub users: BTreeSet<ResourcePath>,
    /// The listeners that present it.
    pub listeners: BTreeSet<(ResourcePath, Port)>,
    /// The virtual nodes and gateways that present it as clients.
    pub clients: BTreeSet<ResourcePath>,
}

/// The uses of one trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustUse {
    /// The virtual nodes and gateways that use it, as clients or servers.
    pub users: BTreeSet<ResourcePath>,
    /// Its trust anchors, in the order of the spec.
    pub anchors: Vec<Anchor>,
}

impl MeshCertificates {
    /// Reads a mesh's specs. Listeners without callers are included; client policies without a callee are not.
    #[must_use]
    pub fn from_mesh(mesh: &Mesh) -> Self {
        let mut survey = Self::default();
        for (source, uses) in mesh::certificates::Inventory::from_mesh(mesh).presented {
            for used in uses {
                let leaf = survey.leaves.entry(source.clone()).or_default();
                match used.place {
                    SpecLocation::Listener { port } => {
                        leaf.listeners.insert((used.by.clone(), port));
                    }
                    SpecLocation::BackendDefaults | SpecLocation::Backend { .. } => {
                        leaf.clients.insert(used.by.clone());
                    }
                }
                leaf.users.insert(used.by);
            }
        }
        // No certificate was read yet, so the time has no influence.
        for edge in edges(mesh, &Readings::default(), Timestamp::UNIX_EPOCH) {
            survey.add(mesh, &edge);
        }
        survey
    }

    /// The names of the subjects that other meshes may share.
    #[must_use]
    pub fn shareable(&self) -> BTreeSet<String> {
        let leaves = self.leaves.keys().cloned().map(RotationSubject::Certificate);
        let subjects = leaves.chain(self.trusts.keys().cloned().map(RotationSubject::Trust));
        subjects.filter(RotationSubject::is_shared).map(|subject| subject.name()).collect()
    }

    /// Adds the certificates of another mesh, which may be shared.
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
            let meeting = LeafVerification { leaf, presenter: edge.to.clone(), trust, verifier: edge.from.clone() };
            self.meetings.insert(meeting);
        }
        if let (Some(leaf), Some(anchor)) = (inputs.client.clone(), inputs.client_trust.as_ref())
            && inputs.asks_client
            && let Some(trust) = named(anchor)
        {
            self.trust(&trust, &edge.to, std::iter::once(anchor));
            let meeting = LeafVerification { leaf, presenter: edge.from.clone(), trust, verifier: edge.to.clone() };
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

/// The trust by which a client verifies a server.
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

/// The place of the client policy that applies to the service: the backend's own, else the default.
fn policy_place(mesh: &Mesh, edge: &Edge) -> SpecLocation {
    let ResourcePath::VirtualNode(_, name) = &edge.from else { return SpecLocation::BackendDefaults };
    let own = mesh.nodes.get(name).into_iter().flat_map(|node| node.backends.iter().flatten()).any(|backend| {
        matches!(backend, Backend::VirtualService(backend)
            if backend.virtual_service_name == edge.service && backend.client_policy.is_some())
    });
    if own { SpecLocation::Backend { service: edge.service.clone() } } else { SpecLocation::BackendDefaults }
}
