//! The observation of the simulation.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::{
    Acknowledgement, AuthorityFacts, BundleFacts, Keeper, KeyMatch, LeafFacts, LeafVerification, MeshFacts, Pending,
    PrivateFacts, RenewalFact, Replacement, ReplacementState, RotationFacts, RotationMemory, RotationSubject,
    TrustFacts, TrustId, TrustKeeper, Trusted,
};
use mesh::certificates::{Certificate, CertificateSource, Chain, SecretName, SourceReading, SpecLocation};
use mesh::name::{MeshName, ResourcePath};
use policy::Mode;

use super::simulation::{Check, Part, Simulation, Slot, Version};

fn key_match(version: &Version) -> KeyMatch {
    match (&version.key, &version.chain) {
        (Some(key), Some(chain)) if *key == chain.leaf.public_key => KeyMatch::Same,
        (Some(_), _) => KeyMatch::Other,
        (None, _) => KeyMatch::Missing,
    }
}

pub(super) fn trust_id(simulation: &Simulation, call: usize) -> TrustId {
    let by = simulation.path(simulation.calls[call].from);
    let service = format!("s{call}.local").parse().unwrap();
    match &simulation.calls[call].check {
        Check::Policy(_) => TrustId::Policy { by, at: SpecLocation::Backend { service } },
        Check::Implicit => TrustId::Implicit { by, service },
        Check::Bundle(name) => TrustId::Sds { name: name.clone() },
    }
}

impl Simulation {
    pub(super) fn observe(&self) -> RotationFacts {
        RotationFacts {
            meshes: self.mesh_facts(),
            leaves: self.leaves(),
            trusts: self.trusts(),
            meetings: self.meetings(),
            authorities: self
                .authorities
                .iter()
                .map(|(arn, one)| AuthorityFacts {
                    arn: arn.clone(),
                    inactive: None,
                    certificate: Certificate::clone(&one.certificate),
                    issuers: one.issuers.iter().map(|one| Certificate::clone(one)).collect(),
                })
                .collect(),
            unread_authorities: BTreeMap::new(),
            kill_switch: None,
            budget_used: 0,
        }
    }

    pub(super) fn is_read(&self, node: usize) -> bool {
        !self.unread.contains(&self.mesh_of(node))
    }

    fn mesh_facts(&self) -> BTreeMap<MeshName, MeshFacts> {
        let facts = |mesh: usize| {
            let of_mesh = |node: &usize| self.mesh_of(*node) == mesh;
            let nodes = (0..self.nodes.len()).filter(of_mesh).map(|node| &self.nodes[node]);
            let leaves = nodes.clone().flat_map(|node| [&node.listener, &node.client]).flatten().cloned();
            let callers = nodes.filter_map(|node| node.callers.clone()).map(|name| TrustId::Sds { name });
            let called = (0..self.calls.len()).filter(|call| of_mesh(&self.calls[*call].from));
            let trusts = callers.chain(called.map(|call| trust_id(self, call)));
            let subjects = leaves.map(RotationSubject::Certificate).chain(trusts.map(RotationSubject::Trust));
            let has = if self.unread.contains(&mesh) {
                SourceReading::Unread("it can't be listed".to_owned())
            } else {
                SourceReading::Known(subjects.filter(RotationSubject::is_shared).map(|one| one.name()).collect())
            };
            let name = Self::mesh_name(mesh);
            let memory = self.memory(&format!("mesh/{name}"));
            let mode = if self.watching.contains(&mesh) { Mode::Observe } else { Mode::Enforce };
            (name, MeshFacts { mode, has, memory })
        };
        (0..self.meshes).map(facts).collect()
    }

    /// Whether a mesh that can be read presents a certificate.
    fn is_seen(&self, source: &CertificateSource) -> bool {
        let mut seen = (0..self.nodes.len()).filter(|node| self.is_read(*node));
        seen.any(|node| self.nodes[node].listener.as_ref() == Some(source))
    }

    /// The acknowledgements of a node's proxies for the parts in these slots.
    fn held(&self, wanted: &[BTreeMap<Slot, Part>], node: usize, slots: &[Slot]) -> Acknowledgement {
        if self.silent.contains(&node) {
            return Acknowledgement::Unknown("it is not connected".to_owned());
        }
        let wanted = &wanted[node];
        let mut all = BTreeSet::new();
        for slot in slots {
            for proxy in &self.proxies[node] {
                if proxy.get(slot) != wanted.get(slot) {
                    return Acknowledgement::Outstanding;
                }
            }
            match &wanted[slot] {
                Part::Leaf(chain) => all.extend([chain.leaf.fingerprint.clone()]),
                Part::Trust(roots) => all.extend(roots.iter().map(|root| root.fingerprint.clone())),
            }
        }
        Acknowledgement::Acknowledged(all)
    }

    fn memory(&self, name: &str) -> RotationMemory {
        self.records.get(name).map_or(RotationMemory::None, |record| RotationMemory::Record(Box::new(record.clone())))
    }

    fn leaves(&self) -> Vec<LeafFacts> {
        let wanted = self.all_wanted();
        let mut slots: BTreeMap<CertificateSource, BTreeMap<usize, Vec<Slot>>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| self.is_read(*index)) {
            for (slot, source) in [(Slot::Listener, &node.listener), (Slot::Client, &node.client)] {
                if let Some(source) = source {
                    slots.entry(source.clone()).or_default().entry(index).or_default().push(slot);
                }
            }
        }
        let leaves = slots.into_iter().map(|(source, users)| {
            let listeners = users.iter().filter(|(_, slots)| slots.contains(&Slot::Listener));
            let listeners = listeners.map(|(node, _)| (self.path(*node), 8080_u16.try_into().unwrap())).collect();
            let keeper = match &source {
                CertificateSource::Acm(arn) => match &self.acm[arn].authority {
                    None => Keeper::Imported { authority: None, bundle: None, differs: None },
                    Some(authority) => {
                        let one = &self.acm[arn];
                        let replacements = self.acm.iter().filter(|(_, other)| other.replaces.as_ref() == Some(arn));
                        Keeper::Private(Box::new(PrivateFacts {
                            arn: arn.clone(),
                            authority: Some(authority.clone()),
                            eligible: Some(one.eligible),
                            renewal: if one.ready.is_some() { RenewalFact::UnderWay } else { RenewalFact::None },
                            replacements: replacements
                                .map(|(arn, other)| Replacement {
                                    arn: arn.clone(),
                                    authority: other.authority.clone(),
                                    state: other.chain.as_ref().map_or(ReplacementState::Pending, |chain| {
                                        ReplacementState::Issued(Box::new(Chain::clone(chain)))
                                    }),
                                })
                                .collect(),
                            listeners,
                            supersedes: one
                                .replaces
                                .clone()
                                .filter(|old| !self.is_seen(&CertificateSource::Acm(old.clone()))),
                        }))
                    }
                },
                CertificateSource::Sds(name) => Keeper::Bundle { authority: None, bundle: self.bundle(name) },
                CertificateSource::File(..) => Keeper::NotOurs { why: "a file".to_owned() },
            };
            LeafFacts {
                users: users.iter().map(|(node, slots)| (self.path(*node), self.held(&wanted, *node, slots))).collect(),
                keeper,
                current: SourceReading::Known(Chain::clone(&self.stored(&source))),
                revoked: false,
                memory: self.memory(&source.to_string()),
                source,
            }
        });
        leaves.collect()
    }

    fn bundle(&self, name: &SecretName) -> BundleFacts {
        let secret = &self.secrets[name];
        let served = secret.current.as_ref().map(|current| &secret.versions[current]);
        // Secrets Manager leaves the label where it was; a version that is current is not pending any more.
        let pending = secret.pending.as_ref().filter(|version| secret.current.as_ref() != Some(version));
        let pending = pending.map(|version| {
            let one = &secret.versions[version];
            let version = version.clone();
            let other_trust = served.is_some_and(|served| served.trust != one.trust);
            match &one.chain {
                _ if one.requested => Pending::Requested { version, other_trust },
                Some(chain) if served.is_none_or(|served| served.chain.as_ref() != Some(chain)) => {
                    let key = key_match(one);
                    Pending::Issued { version, chain: Box::new(Chain::clone(chain)), key, other_trust }
                }
                None if one.key.is_some() => Pending::Unreadable { why: "a key without a certificate".to_owned() },
                Some(_) | None => Pending::Trust { version },
            }
        });
        BundleFacts {
            secret: name.to_string(),
            current: secret.current.clone(),
            pending,
            rotated_by_others: false,
            key: served.map_or(KeyMatch::Missing, key_match),
        }
    }

    fn all_wanted(&self) -> Vec<BTreeMap<Slot, Part>> {
        (0..self.nodes.len()).map(|node| self.wanted(node)).collect()
    }

    fn trusts(&self) -> Vec<TrustFacts> {
        let wanted = self.all_wanted();
        let mut slots: BTreeMap<TrustId, BTreeMap<usize, Vec<Slot>>> = BTreeMap::new();
        for (index, call) in self.calls.iter().enumerate().filter(|(_, call)| self.is_read(call.from)) {
            slots.entry(trust_id(self, index)).or_default().entry(call.from).or_default().push(Slot::Called(index));
        }
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| self.is_read(*index)) {
            if let Some(name) = &node.callers {
                let id = TrustId::Sds { name: name.clone() };
                slots.entry(id).or_default().entry(index).or_default().push(Slot::Callers);
            }
        }
        let trusts = slots.into_iter().map(|(id, users)| {
            let held = users.iter().map(|(node, slots)| (self.path(*node), self.held(&wanted, *node, slots))).collect();
            let (keeper, declared) = match &id {
                TrustId::Sds { name } => {
                    let roots = self
                        .trust_of(name)
                        .into_iter()
                        .map(|root| Trusted { authority: None, root: Certificate::clone(&root) });
                    (TrustKeeper::Bundle(self.bundle(name)), roots.collect())
                }
                TrustId::Policy { .. } | TrustId::Implicit { .. } => {
                    let called = |slot: &Slot| if let Slot::Called(call) = slot { Some(*call) } else { None };
                    let call = users.values().flatten().find_map(called).unwrap();
                    match &self.calls[call].check {
                        Check::Policy(arns) => {
                            let named = |arn: &mesh::certificates::AuthorityArn| Trusted {
                                authority: Some(arn.clone()),
                                root: Certificate::clone(&self.anchor_of(arn)),
                            };
                            (TrustKeeper::Policy, arns.iter().map(named).collect())
                        }
                        Check::Implicit | Check::Bundle(_) => {
                            let server = self.stored(self.nodes[self.calls[call].to].listener.as_ref().unwrap());
                            let root = server.others.last().cloned();
                            let trusted = root.map(|root| Trusted { authority: None, root });
                            let names = server.leaf.names.all();
                            (TrustKeeper::Implicit { names }, trusted.into_iter().collect())
                        }
                    }
                }
                TrustId::File { .. } => unreachable!(),
            };
            TrustFacts {
                memory: self.memory(&id.to_string()),
                id,
                users: held,
                declared: SourceReading::Known(declared),
                keeper,
            }
        });
        trusts.collect()
    }

    fn meetings(&self) -> BTreeSet<LeafVerification> {
        let mut all = BTreeSet::new();
        for (index, call) in self.calls.iter().enumerate().filter(|(_, call)| self.is_read(call.from)) {
            let (client, server) = (self.path(call.from), self.path(call.to));
            if let Some(leaf) = self.nodes[call.to].listener.clone() {
                all.insert(LeafVerification {
                    leaf,
                    presenter: server.clone(),
                    trust: trust_id(self, index),
                    verifier: client.clone(),
                });
            }
            if let (Some(name), Some(leaf)) = (&self.nodes[call.to].callers, self.nodes[call.from].client.clone()) {
                let trust = TrustId::Sds { name: name.clone() };
                all.insert(LeafVerification { leaf, presenter: client, trust, verifier: server });
            }
        }
        all
    }

    /// Nodes near a node.
    pub(super) fn near(&self, proxies: &BTreeSet<ResourcePath>) -> BTreeSet<usize> {
        let is_in = |node: usize| proxies.contains(&self.path(node));
        let near = self.calls.iter().filter(|call| is_in(call.from) || is_in(call.to));
        near.flat_map(|call| [call.from, call.to]).collect()
    }
}
