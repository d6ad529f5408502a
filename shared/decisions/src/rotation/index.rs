//! An index over the facts, with the queries that the decisions need.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::{
    Acknowledgement, AuthorityFacts, Keeper, LeafFacts, LeafVerification, RotationFacts, TrustFacts, TrustKeeper,
    Trusted,
};
use super::mesh_index::MeshIndex;
use super::reason::Waiting;
use super::subject::RotationSubject;
use super::trust_id::TrustId;
use mesh::certificates::{AuthorityArn, Certificate, CertificateSource, Chain, Fingerprint, SourceReading, leads_to};
use mesh::name::ResourcePath;
use policy::CertificatesPolicy;

pub(super) struct FactIndex<'f> {
    pub(super) facts: &'f RotationFacts,
    pub(super) policy: &'f CertificatesPolicy,
    pub(super) now: Timestamp,
    pub(super) meshes: MeshIndex<'f>,
    authorities: BTreeMap<&'f AuthorityArn, &'f AuthorityFacts>,
    /// The CAs by their subject, which their certificates name as issuer.
    issuers: BTreeMap<&'f str, Vec<&'f AuthorityFacts>>,
    leaves: BTreeMap<&'f CertificateSource, &'f LeafFacts>,
    trusts: BTreeMap<&'f TrustId, &'f TrustFacts>,
    meetings_of_leaf: BTreeMap<&'f CertificateSource, Vec<&'f LeafVerification>>,
    meetings_of_trust: BTreeMap<&'f TrustId, Vec<&'f LeafVerification>>,
    neighbours: BTreeMap<&'f ResourcePath, BTreeSet<&'f ResourcePath>>,
    /// Every known root and CA certificate, to resolve the fingerprints that proxies acknowledge.
    known: BTreeMap<&'f Fingerprint, &'f Certificate>,
    /// All roots that any trust declares.
    anchors: BTreeSet<&'f Fingerprint>,
    /// The proxies that have not acknowledged a change of trust, or of a leaf, with the subjects of the change.
    pub(super) changing_trust: BTreeMap<&'f ResourcePath, BTreeSet<RotationSubject>>,
    pub(super) changing_leaves: BTreeMap<&'f ResourcePath, BTreeSet<RotationSubject>>,
}

/// A CA and its successor.
#[derive(Clone, Copy)]
pub(super) struct Rollover<'f> {
    pub(super) from: &'f AuthorityFacts,
    pub(super) to: &'f AuthorityFacts,
}

impl Rollover<'_> {
    /// Whether a trusted certificate includes trust in the old CA and not in the new CA.
    pub(super) fn is_old(&self, trusted: &Certificate) -> bool {
        self.from.is_reached_by(trusted) && !self.is_new(trusted)
    }

    /// Whether a trusted certificate includes trust in the new CA.
    pub(super) fn is_new(&self, trusted: &Certificate) -> bool {
        self.to.is_reached_by(trusted)
    }

    /// Whether the old CA issued any certificate of a chain.
    pub(super) fn issued(&self, chain: &Chain) -> bool {
        let mut old = self.from.certificates().filter(|one| self.is_old(one));
        old.any(|old| chain.certificates().any(|one| old.issued(one) && old.fingerprint != one.fingerprint))
    }
}

/// Whether a verifier accepts the certificates of a CA.
pub(super) enum Acceptance {
    Yes,
    No,
    Unknown,
}

impl<'f> FactIndex<'f> {
    pub(super) fn new(facts: &'f RotationFacts, policy: &'f CertificatesPolicy, now: Timestamp) -> Self {
        let mut index = Self {
            facts,
            policy,
            now,
            meshes: MeshIndex::new(facts, policy),
            authorities: facts.authorities.iter().map(|one| (&one.arn, one)).collect(),
            issuers: BTreeMap::new(),
            leaves: facts.leaves.iter().map(|one| (&one.source, one)).collect(),
            trusts: facts.trusts.iter().map(|one| (&one.id, one)).collect(),
            meetings_of_leaf: BTreeMap::new(),
            meetings_of_trust: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            known: BTreeMap::new(),
            anchors: BTreeSet::new(),
            changing_trust: BTreeMap::new(),
            changing_leaves: BTreeMap::new(),
        };
        for meeting in &facts.meetings {
            index.meetings_of_leaf.entry(&meeting.leaf).or_default().push(meeting);
            index.meetings_of_trust.entry(&meeting.trust).or_default().push(meeting);
            index.neighbours.entry(&meeting.presenter).or_default().insert(&meeting.verifier);
            index.neighbours.entry(&meeting.verifier).or_default().insert(&meeting.presenter);
        }
        index.index_certificates();
        index.index_pending_changes();
        index
    }

    fn index_certificates(&mut self) {
        for authority in &self.facts.authorities {
            self.issuers.entry(authority.certificate.subject.as_str()).or_default().push(authority);
        }
        let authorities = self.facts.authorities.iter();
        let authorities = authorities.flat_map(AuthorityFacts::certificates);
        let trusted = || self.facts.trusts.iter().flat_map(declared).map(|trusted| &trusted.root);
        self.anchors = trusted().map(|root| &root.fingerprint).collect();
        self.known = authorities.chain(trusted()).map(|one| (&one.fingerprint, one)).collect();
    }

    fn index_pending_changes(&mut self) {
        for trust in &self.facts.trusts {
            for waiting in self.waiting_for_trust(trust) {
                if let Some((path, _)) = trust.users.get_key_value(&waiting.proxy) {
                    self.changing_trust.entry(path).or_default().insert(RotationSubject::Trust(trust.id.clone()));
                }
            }
        }
        for leaf in &self.facts.leaves {
            for waiting in self.waiting_for_leaf(leaf) {
                if let Some((path, _)) = leaf.users.get_key_value(&waiting.proxy) {
                    self.changing_leaves
                        .entry(path)
                        .or_default()
                        .insert(RotationSubject::Certificate(leaf.source.clone()));
                }
            }
        }
    }

    /// The proxies that have not acknowledged the current leaf. Leaves of other owners are never waited for.
    pub(super) fn waiting_for_leaf(&self, leaf: &LeafFacts) -> Vec<Waiting> {
        let (SourceReading::Known(chain), false) = (&leaf.current, matches!(leaf.keeper, Keeper::NotOurs { .. }))
        else {
            return Vec::new();
        };
        let only = BTreeSet::from([chain.leaf.fingerprint.clone()]);
        self.waiting(&leaf.users, |held| *held == only)
    }

    /// The proxies that have not acknowledged exactly the declared roots. Trust of other owners is never waited for.
    pub(super) fn waiting_for_trust(&self, trust: &TrustFacts) -> Vec<Waiting> {
        if matches!(trust.keeper, TrustKeeper::NotOurs { .. }) || matches!(trust.declared, SourceReading::Unread(_)) {
            return Vec::new();
        }
        let roots: BTreeSet<&Fingerprint> = declared(trust).map(|trusted| &trusted.root.fingerprint).collect();
        self.waiting(&trust.users, |held| held.iter().collect::<BTreeSet<_>>() == roots)
    }

    fn waiting(
        &self,
        users: &BTreeMap<ResourcePath, Acknowledgement>,
        has: impl Fn(&BTreeSet<Fingerprint>) -> bool,
    ) -> Vec<Waiting> {
        let present = users.iter().filter(|(proxy, _)| !self.is_absent(proxy));
        let waiting = present.filter_map(|(proxy, held)| match held {
            Acknowledgement::Acknowledged(held) if has(held) => None,
            Acknowledgement::Acknowledged(_) | Acknowledgement::Outstanding => {
                Some(Waiting { proxy: proxy.clone(), unknown: None })
            }
            Acknowledgement::Unknown(why) => Some(Waiting { proxy: proxy.clone(), unknown: Some(why.clone()) }),
        });
        waiting.collect()
    }

    pub(super) fn is_absent(&self, proxy: &ResourcePath) -> bool {
        self.policy.rollover.absent.contains(proxy)
    }

    pub(super) fn authority(&self, arn: &AuthorityArn) -> Option<&'f AuthorityFacts> {
        self.authorities.get(arn).copied()
    }

    /// The CA that issued a leaf, if it is known.
    pub(super) fn issuer(&self, leaf: &Certificate) -> Option<&'f AuthorityFacts> {
        self.issuers.get(leaf.issuer.as_str())?.iter().copied().find(|one| one.certificate.issued(leaf))
    }

    /// The rollover of a CA, if the policy names a successor and both CAs are known.
    pub(super) fn rollover(&self, of: &AuthorityFacts) -> Option<Rollover<'f>> {
        let to = self.authority(self.policy.successor(&of.arn)?)?;
        Some(Rollover { from: self.authority(&of.arn)?, to })
    }

    /// Every rollover that requires changes of trust.
    pub(super) fn trust_rollovers(&self) -> Vec<Rollover<'f>> {
        let all = self.facts.authorities.iter().filter_map(|one| self.rollover(one));
        all.filter(|one| self.changes_trust(*one)).collect()
    }

    /// Whether a trust store with the old CA may lack trust in the new CA: the roots differ, or the old CA is trusted
    /// directly instead of its root.
    pub(super) fn changes_trust(&self, one: Rollover<'_>) -> bool {
        let mut old = one.from.certificates().filter(|own| !one.is_new(own));
        let mut is_trusted_itself = || old.any(|own| self.anchors.contains(&own.fingerprint));
        one.from.root().fingerprint != one.to.root().fingerprint || is_trusted_itself()
    }

    /// Whether the roots in a secret are about to change.
    pub(super) fn publishes_trust(&self, secret: &str) -> bool {
        let rollovers = self.trust_rollovers();
        let is_there = |trust: &&TrustFacts| matches!(&trust.keeper, TrustKeeper::Bundle(one) if one.secret == secret);
        let trusts_old =
            |trust: &TrustFacts| declared(trust).any(|one| rollovers.iter().any(|rollover| rollover.is_old(&one.root)));
        self.facts.trusts.iter().filter(is_there).any(trusts_old)
    }

    pub(super) fn leaf(&self, source: &CertificateSource) -> Option<&'f LeafFacts> {
        self.leaves.get(source).copied()
    }

    pub(super) fn meetings_of_leaf(&self, source: &CertificateSource) -> impl Iterator<Item = &'f LeafVerification> {
        self.meetings_of_leaf.get(source).into_iter().flatten().copied()
    }

    pub(super) fn meetings_of_trust(&self, trust: &TrustId) -> impl Iterator<Item = &'f LeafVerification> {
        self.meetings_of_trust.get(trust).into_iter().flatten().copied()
    }

    pub(super) fn trust(&self, id: &TrustId) -> Option<&'f TrustFacts> {
        self.trusts.get(id).copied()
    }

    /// The proxies that a proxy calls or is called by.
    pub(super) fn neighbours(&self, proxy: &ResourcePath) -> impl Iterator<Item = &'f ResourcePath> {
        self.neighbours.get(proxy).into_iter().flatten().copied()
    }

    /// Whether a verifier accepts the certificates of a CA, by the version it acknowledged, not by the version
    /// it was sent.
    pub(super) fn accepts(&self, trust: &TrustFacts, verifier: &ResourcePath, chain: &Chain) -> Acceptance {
        if self.is_absent(verifier) {
            return Acceptance::Yes;
        }
        let Some(Acknowledgement::Acknowledged(held)) = trust.users.get(verifier) else {
            return Acceptance::Unknown;
        };
        let known: Vec<&Certificate> = held.iter().filter_map(|one| self.known.get(one).copied()).collect();
        let accepted = match trust.id {
            // Without a policy, each server is verified by its own issuer's root, and not by the roots of others.
            TrustId::Implicit { .. } => {
                !known.is_empty() && known.iter().all(|root| leads_to(chain, &[root], self.now).is_ok())
            }
            TrustId::Policy { .. } | TrustId::Sds { .. } | TrustId::File { .. } => {
                leads_to(chain, &known, self.now).is_ok()
            }
        };
        if accepted {
            Acceptance::Yes
        } else if known.len() == held.len() {
            Acceptance::No
        } else {
            Acceptance::Unknown
        }
    }
}

/// The declared roots, as far as they could be read.
pub(super) fn declared(trust: &TrustFacts) -> impl Iterator<Item = &Trusted> {
    match &trust.declared {
        SourceReading::Known(all) => all.iter(),
        SourceReading::Unread(_) => [].iter(),
    }
}
