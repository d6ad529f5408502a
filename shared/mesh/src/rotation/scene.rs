//! The facts, indexed, and the questions that are asked of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decide::Subject;
use super::facts::{
    AuthorityFacts, Facts, Held, Keeper, LeafFacts, Meeting, TrustFacts, TrustId, TrustKeeper, Trusted,
};
use super::meshes::Meshes;
use super::reason::Waiting;
use crate::certificates::{AuthorityArn, Certificate, Chain, Fingerprint, Reading, Source, leads_to};
use crate::name::ResourcePath;
use crate::policy::CertificatesPolicy;

pub(super) struct Scene<'f> {
    pub(super) facts: &'f Facts,
    pub(super) policy: &'f CertificatesPolicy,
    pub(super) now: Timestamp,
    pub(super) meshes: Meshes<'f>,
    authorities: BTreeMap<&'f AuthorityArn, &'f AuthorityFacts>,
    /// The CAs by the name that certificates of theirs have as their issuer's.
    issuers: BTreeMap<&'f str, Vec<&'f AuthorityFacts>>,
    leaves: BTreeMap<&'f Source, &'f LeafFacts>,
    trusts: BTreeMap<&'f TrustId, &'f TrustFacts>,
    meetings_of_leaf: BTreeMap<&'f Source, Vec<&'f Meeting>>,
    meetings_of_trust: BTreeMap<&'f TrustId, Vec<&'f Meeting>>,
    neighbours: BTreeMap<&'f ResourcePath, BTreeSet<&'f ResourcePath>>,
    /// Every root and CA that is known, by which a proxy's word is understood.
    known: BTreeMap<&'f Fingerprint, &'f Certificate>,
    /// Everything that is declared to be trusted, by anybody.
    anchors: BTreeSet<&'f Fingerprint>,
    /// Which proxies are changing, and what.
    pub(super) trust_motion: BTreeMap<&'f ResourcePath, BTreeSet<Subject>>,
    pub(super) leaf_motion: BTreeMap<&'f ResourcePath, BTreeSet<Subject>>,
}

/// A CA and the one that replaces it.
#[derive(Clone, Copy)]
pub(super) struct Rollover<'f> {
    pub(super) from: &'f AuthorityFacts,
    pub(super) to: &'f AuthorityFacts,
}

impl Rollover<'_> {
    /// Whether trusting a certificate means trusting the old CA, and is of no use for the new one.
    pub(super) fn is_old(&self, trusted: &Certificate) -> bool {
        self.from.is_reached_by(trusted) && !self.is_new(trusted)
    }

    /// Whether trusting a certificate means trusting the new CA.
    pub(super) fn is_new(&self, trusted: &Certificate) -> bool {
        self.to.is_reached_by(trusted)
    }

    /// Whether the old CA issued a leaf, or one that hangs on it.
    pub(super) fn issued(&self, chain: &Chain) -> bool {
        let mut old = self.from.certificates().filter(|one| self.is_old(one));
        old.any(|old| chain.certificates().any(|one| old.issued(one) && old.fingerprint != one.fingerprint))
    }
}

/// Whether a verifier takes what a CA issues.
pub(super) enum Acceptance {
    Yes,
    No,
    Unknown,
}

impl<'f> Scene<'f> {
    pub(super) fn of(facts: &'f Facts, policy: &'f CertificatesPolicy, now: Timestamp) -> Self {
        let mut scene = Self {
            facts,
            policy,
            now,
            meshes: Meshes::of(facts, policy),
            authorities: facts.authorities.iter().map(|one| (&one.arn, one)).collect(),
            issuers: BTreeMap::new(),
            leaves: facts.leaves.iter().map(|one| (&one.source, one)).collect(),
            trusts: facts.trusts.iter().map(|one| (&one.id, one)).collect(),
            meetings_of_leaf: BTreeMap::new(),
            meetings_of_trust: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            known: BTreeMap::new(),
            anchors: BTreeSet::new(),
            trust_motion: BTreeMap::new(),
            leaf_motion: BTreeMap::new(),
        };
        for meeting in &facts.meetings {
            scene.meetings_of_leaf.entry(&meeting.leaf).or_default().push(meeting);
            scene.meetings_of_trust.entry(&meeting.trust).or_default().push(meeting);
            scene.neighbours.entry(&meeting.presenter).or_default().insert(&meeting.verifier);
            scene.neighbours.entry(&meeting.verifier).or_default().insert(&meeting.presenter);
        }
        scene.learn();
        scene.see_motion();
        scene
    }

    fn learn(&mut self) {
        for authority in &self.facts.authorities {
            self.issuers.entry(authority.certificate.subject.as_str()).or_default().push(authority);
        }
        let authorities = self.facts.authorities.iter();
        let authorities = authorities.flat_map(AuthorityFacts::certificates);
        let trusted = || self.facts.trusts.iter().flat_map(declared).map(|trusted| &trusted.root);
        self.anchors = trusted().map(|root| &root.fingerprint).collect();
        self.known = authorities.chain(trusted()).map(|one| (&one.fingerprint, one)).collect();
    }

    fn see_motion(&mut self) {
        for trust in &self.facts.trusts {
            for waiting in self.waiting_for_trust(trust) {
                if let Some((path, _)) = trust.users.get_key_value(&waiting.proxy) {
                    self.trust_motion.entry(path).or_default().insert(Subject::Trust(trust.id.clone()));
                }
            }
        }
        for leaf in &self.facts.leaves {
            for waiting in self.waiting_for_leaf(leaf) {
                if let Some((path, _)) = leaf.users.get_key_value(&waiting.proxy) {
                    self.leaf_motion.entry(path).or_default().insert(Subject::Certificate(leaf.source.clone()));
                }
            }
        }
    }

    /// Who does not have what is kept. What is not ours is never waited for.
    pub(super) fn waiting_for_leaf(&self, leaf: &LeafFacts) -> Vec<Waiting> {
        let (Reading::Known(chain), false) = (&leaf.current, matches!(leaf.keeper, Keeper::NotOurs { .. })) else {
            return Vec::new();
        };
        let only = BTreeSet::from([chain.leaf.fingerprint.clone()]);
        self.waiting(&leaf.users, |held| *held == only)
    }

    /// Who does not trust exactly what is declared. What is not ours is never waited for.
    pub(super) fn waiting_for_trust(&self, trust: &TrustFacts) -> Vec<Waiting> {
        if matches!(trust.keeper, TrustKeeper::NotOurs { .. }) || matches!(trust.declared, Reading::Unread(_)) {
            return Vec::new();
        }
        let roots: BTreeSet<&Fingerprint> = declared(trust).map(|trusted| &trusted.root.fingerprint).collect();
        self.waiting(&trust.users, |held| held.iter().collect::<BTreeSet<_>>() == roots)
    }

    fn waiting(
        &self,
        users: &BTreeMap<ResourcePath, Held>,
        has: impl Fn(&BTreeSet<Fingerprint>) -> bool,
    ) -> Vec<Waiting> {
        let present = users.iter().filter(|(proxy, _)| !self.is_absent(proxy));
        let waiting = present.filter_map(|(proxy, held)| match held {
            Held::Acknowledged(held) if has(held) => None,
            Held::Acknowledged(_) | Held::Outstanding => Some(Waiting { proxy: proxy.clone(), unknown: None }),
            Held::Unknown(why) => Some(Waiting { proxy: proxy.clone(), unknown: Some(why.clone()) }),
        });
        waiting.collect()
    }

    pub(super) fn is_absent(&self, proxy: &ResourcePath) -> bool {
        self.policy.rollover.absent.contains(proxy)
    }

    pub(super) fn authority(&self, arn: &AuthorityArn) -> Option<&'f AuthorityFacts> {
        self.authorities.get(arn).copied()
    }

    /// The CA that issued a leaf.
    pub(super) fn issuer(&self, leaf: &Certificate) -> Option<&'f AuthorityFacts> {
        self.issuers.get(leaf.issuer.as_str())?.iter().copied().find(|one| one.certificate.issued(leaf))
    }

    /// The replacement of a CA, where there is one and both are known.
    pub(super) fn rollover(&self, of: &AuthorityFacts) -> Option<Rollover<'f>> {
        let to = self.authority(self.policy.successor(&of.arn)?)?;
        Some(Rollover { from: self.authority(&of.arn)?, to })
    }

    /// Every replacement that changes who is trusted.
    pub(super) fn trust_rollovers(&self) -> Vec<Rollover<'f>> {
        let all = self.facts.authorities.iter().filter_map(|one| self.rollover(one));
        all.filter(|one| self.changes_trust(*one)).collect()
    }

    /// Whether somebody who trusts the old CA may not trust the new one: another root is behind it, or it is trusted
    /// itself and not by its root.
    pub(super) fn changes_trust(&self, one: Rollover<'_>) -> bool {
        let mut old = one.from.certificates().filter(|own| !one.is_new(own));
        let mut is_trusted_itself = || old.any(|own| self.anchors.contains(&own.fingerprint));
        one.from.root().fingerprint != one.to.root().fingerprint || is_trusted_itself()
    }

    /// Whether the roots in a secret are about to be changed.
    pub(super) fn publishes_trust(&self, secret: &str) -> bool {
        let rollovers = self.trust_rollovers();
        let is_there = |trust: &&TrustFacts| matches!(&trust.keeper, TrustKeeper::Bundle(one) if one.secret == secret);
        let trusts_old =
            |trust: &TrustFacts| declared(trust).any(|one| rollovers.iter().any(|rollover| rollover.is_old(&one.root)));
        self.facts.trusts.iter().filter(is_there).any(trusts_old)
    }

    pub(super) fn leaf(&self, source: &Source) -> Option<&'f LeafFacts> {
        self.leaves.get(source).copied()
    }

    pub(super) fn meetings_of_leaf(&self, source: &Source) -> impl Iterator<Item = &'f Meeting> {
        self.meetings_of_leaf.get(source).into_iter().flatten().copied()
    }

    pub(super) fn meetings_of_trust(&self, trust: &TrustId) -> impl Iterator<Item = &'f Meeting> {
        self.meetings_of_trust.get(trust).into_iter().flatten().copied()
    }

    pub(super) fn trust(&self, id: &TrustId) -> Option<&'f TrustFacts> {
        self.trusts.get(id).copied()
    }

    /// Those that a proxy calls or is called by.
    pub(super) fn neighbours(&self, proxy: &ResourcePath) -> impl Iterator<Item = &'f ResourcePath> {
        self.neighbours.get(proxy).into_iter().flatten().copied()
    }

    /// Whether a verifier takes what a CA issues: by what it has acknowledged, and not by what it was sent.
    pub(super) fn accepts(&self, trust: &TrustFacts, verifier: &ResourcePath, chain: &Chain) -> Acceptance {
        if self.is_absent(verifier) {
            return Acceptance::Yes;
        }
        let Some(Held::Acknowledged(held)) = trust.users.get(verifier) else {
            return Acceptance::Unknown;
        };
        let known: Vec<&Certificate> = held.iter().filter_map(|one| self.known.get(one).copied()).collect();
        let accepted = match trust.id {
            // Each server is checked by the root of its own issuer, and not by those of others.
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

/// Who is declared to be trusted, as far as that is known.
pub(super) fn declared(trust: &TrustFacts) -> impl Iterator<Item = &Trusted> {
    match &trust.declared {
        Reading::Known(all) => all.iter(),
        Reading::Unread(_) => [].iter(),
    }
}
