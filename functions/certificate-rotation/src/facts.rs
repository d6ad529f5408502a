//! Combines the data that was read into the input of decisions.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::{
    Acknowledgement, AuthorityFacts, Keeper, LeafFacts, LeafUse, MeshCertificates, Pending, PrivateFacts,
    ReplacementState, RotationMemory as Memory, TrustFacts, TrustId, TrustKeeper, TrustUse, Trusted,
};
use mesh::certificates::{
    Anchor, AuthorityArn, Certificate, CertificateArn, CertificateSource as Source, Chain, KeyLocation as KeyPlace,
    Readings, SecretName, SourceReading as Reading,
};
use mesh::name::ResourcePath;
use policy::CertificatesPolicy;
use ports::certificates::CertificateKind;

use crate::evidence::{Evidence, trust_secrets};
use crate::stores::{InAcm, InSecret};
use crate::trigger::authority_subject;

/// All data that was read.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    pub(crate) survey: &'a MeshCertificates,
    pub(crate) policy: &'a CertificatesPolicy,
    pub(crate) acm: BTreeMap<CertificateArn, InAcm>,
    pub(crate) secrets: BTreeMap<SecretName, InSecret>,
    /// The secrets that hold the keys of imported certificates.
    pub(crate) twins: BTreeMap<CertificateArn, InSecret>,
    pub(crate) authorities: BTreeMap<AuthorityArn, Result<AuthorityFacts, String>>,
    pub(crate) evidence: Evidence,
}

impl Read<'_> {
    /// Whether the subject of a record is known: a certificate that a mesh presents, or a private CA.
    pub(crate) fn has(&self, subject: &str) -> bool {
        let is_leaf = self.survey.leaves.keys().any(|source| source.to_string() == subject);
        is_leaf || self.authorities.keys().any(|arn| authority_subject(arn.as_str()) == subject)
    }

    pub(crate) fn leaves(&self, memory: &dyn Fn(&str) -> Memory) -> Vec<LeafFacts> {
        let leaf = |(source, used): (&Source, &LeafUse)| {
            let (keeper, current, revoked) = self.kept(source, used);
            LeafFacts {
                users: used
                    .users
                    .iter()
                    .map(|user| (user.clone(), self.evidence.leaf_state(user, source, used)))
                    .collect(),
                keeper,
                current,
                revoked,
                memory: memory(&source.to_string()),
                source: source.clone(),
            }
        };
        self.survey.leaves.iter().map(leaf).collect()
    }

    fn kept(&self, source: &Source, used: &LeafUse) -> (Keeper, Reading<Chain>, bool) {
        let theirs = |why: &str| Keeper::NotOurs { why: why.to_owned() };
        let unread = || Reading::Unread("it was not read".to_owned());
        match source {
            Source::File(..) => (theirs("it comes from files next to the proxy"), unread(), false),
            Source::Sds(name) => match (self.secrets.get(name), self.policy.bundle(name)) {
                (Some(secret), Some(binding)) => {
                    let authority = binding.authority.clone();
                    (Keeper::Bundle { authority, bundle: secret.facts.clone() }, secret.chain.clone(), false)
                }
                _ => (theirs("no secret of ours is bound to it"), unread(), false),
            },
            Source::Acm(arn) => match self.acm.get(arn) {
                Some(read) => match self.twins.get(arn).and_then(|twin| twin.unread.as_ref()) {
                    // Without the secret, the progress of a renewal is not known.
                    Some(why) => (self.in_acm(arn, read, used), Reading::Unread(why.clone()), read.revoked),
                    None => (self.in_acm(arn, read, used), read.chain.clone(), read.revoked),
                },
                None => (Keeper::Imported { authority: None, bundle: None, differs: None }, unread(), false),
            },
        }
    }

    fn in_acm(&self, arn: &CertificateArn, read: &InAcm, used: &LeafUse) -> Keeper {
        match (&read.kind, &read.private) {
            (Ok(CertificateKind::Private), Some(facts)) => {
                let listeners = used.listeners.iter().cloned().collect();
                Keeper::Private(Box::new(PrivateFacts { listeners, ..facts.clone() }))
            }
            (Ok(CertificateKind::AmazonIssued), _) => Keeper::NotOurs { why: "Amazon issues and renews it".to_owned() },
            (Ok(CertificateKind::Unrecognised(kind)), _) => {
                Keeper::NotOurs { why: format!("it is of a kind that is not known here: {kind}") }
            }
            // A certificate that could not be read stays unchanged for that reason, of any kind.
            (Ok(CertificateKind::Imported | CertificateKind::Private) | Err(_), _) => self.imported(arn, read),
        }
    }

    fn imported(&self, arn: &CertificateArn, read: &InAcm) -> Keeper {
        let authority = self.policy.imported(arn).and_then(|imported| imported.authority.clone());
        let twin = self.twins.get(arn).filter(|twin| twin.unread.is_none());
        let (bundle, differs) = match twin {
            Some(twin) if goes_with(twin, &read.chain) => (Some(twin.facts.clone()), None),
            Some(twin) => (None, Some(twin.facts.secret.clone())),
            None => (None, None),
        };
        Keeper::Imported { authority, bundle, differs }
    }

    /// The place of the key of each imported certificate, where the kind is known.
    fn key_places(&self) -> BTreeMap<CertificateArn, KeyPlace> {
        let imported = self.acm.iter().filter(|(_, read)| matches!(read.kind, Ok(CertificateKind::Imported)));
        let place = |arn: &CertificateArn, read: &InAcm| {
            let Some(twin) = self.twins.get(arn) else { return KeyPlace::Nowhere };
            let secret = twin.facts.secret.clone();
            match (&twin.unread, &twin.chain, &read.chain) {
                (None, Reading::Known(twin), Reading::Known(chain)) if twin.leaf == chain.leaf => {
                    KeyPlace::Secret { secret }
                }
                (Some(why), _, _) | (None, _, Reading::Unread(why)) => KeyPlace::Unread { secret, why: why.clone() },
                (None, _, Reading::Known(_)) => KeyPlace::OtherSecret { secret },
            }
        };
        imported.map(|(arn, read)| (arn.clone(), place(arn, read))).collect()
    }

    fn held<'p>(
        &self,
        users: impl Iterator<Item = &'p ResourcePath>,
        secrets: &[String],
    ) -> BTreeMap<ResourcePath, Acknowledgement> {
        users.map(|user| (user.clone(), self.evidence.held(user, secrets))).collect()
    }

    pub(crate) fn trusts(&self, memory: &dyn Fn(&str) -> Memory) -> Vec<TrustFacts> {
        let trust = |(id, used): (&TrustId, &TrustUse)| TrustFacts {
            id: id.clone(),
            users: self.held(used.users.iter(), &trust_secrets(&used.anchors)),
            declared: self.declared(id, used),
            keeper: self.trust_keeper(id),
            memory: memory(&id.to_string()),
        };
        self.survey.trusts.iter().map(trust).collect()
    }

    fn trust_keeper(&self, id: &TrustId) -> TrustKeeper {
        match id {
            TrustId::Policy { .. } => TrustKeeper::Policy,
            TrustId::Implicit { .. } => TrustKeeper::Implicit { names: self.names_met_by(id) },
            TrustId::Sds { name } => match self.secrets.get(name) {
                Some(secret) => TrustKeeper::Bundle(secret.facts.clone()),
                None => TrustKeeper::NotOurs { why: "no secret of ours is bound to it".to_owned() },
            },
            TrustId::File { .. } => TrustKeeper::NotOurs { why: "it comes from a file next to the proxy".to_owned() },
        }
    }

    /// The names of all certificates that the trust verifies: a policy that replaces the trust must accept all of them.
    fn names_met_by(&self, id: &TrustId) -> Vec<String> {
        let met = self.survey.meetings.iter().filter(|meeting| meeting.trust == *id);
        let chains = met.filter_map(|meeting| self.chain(&meeting.leaf));
        let names: BTreeSet<String> = chains.flat_map(|chain| chain.leaf.names.all()).collect();
        names.into_iter().collect()
    }

    fn chain(&self, source: &Source) -> Option<&Chain> {
        let read = match source {
            Source::Acm(arn) => &self.acm.get(arn)?.chain,
            Source::Sds(name) => &self.secrets.get(name)?.chain,
            Source::File(..) => return None,
        };
        match read {
            Reading::Known(chain) => Some(chain),
            Reading::Unread(_) => None,
        }
    }

    fn declared(&self, id: &TrustId, used: &TrustUse) -> Reading<Vec<Trusted>> {
        if let TrustId::Sds { name } = id {
            return match self.secrets.get(name).map(|secret| &secret.trust) {
                Some(Reading::Known(roots)) => {
                    let trusted = |root: &Certificate| Trusted { authority: None, root: root.clone() };
                    Reading::Known(roots.iter().map(trusted).collect())
                }
                Some(Reading::Unread(why)) => Reading::Unread(why.clone()),
                None => Reading::Unread("it is not ours".to_owned()),
            };
        }
        let mut all = Vec::new();
        for anchor in &used.anchors {
            match self.trusted(anchor) {
                Ok(trusted) => all.push(trusted),
                Err(why) => return Reading::Unread(why),
            }
        }
        Reading::Known(all)
    }

    fn trusted(&self, anchor: &Anchor) -> Result<Trusted, String> {
        match anchor {
            Anchor::Authority(arn) => match self.authorities.get(arn) {
                // Trust in a CA by its ARN covers that CA, not its root.
                Some(Ok(facts)) => Ok(Trusted { authority: Some(arn.clone()), root: facts.certificate.clone() }),
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("{arn} was not read")),
            },
            Anchor::IssuerOf(arn) => {
                let chain = self.chain(&Source::Acm(arn.clone())).ok_or_else(|| format!("{arn} could not be read"))?;
                let sent = chain.others.iter().find(|one| one.is_root());
                let known = || {
                    let known = self.authorities.values().filter_map(|one| one.as_ref().ok());
                    known.filter(|one| one.certificate.issued(&chain.leaf)).map(AuthorityFacts::root).next()
                };
                let root = sent.or_else(known).ok_or_else(|| format!("the root of {arn} is not known"))?;
                let named = self.authorities.values().filter_map(|one| one.as_ref().ok());
                let named =
                    named.filter(|one| one.certificate.fingerprint == root.fingerprint).map(|one| one.arn.clone());
                Ok(Trusted { authority: named.into_iter().next(), root: root.clone() })
            }
            Anchor::Sds(_) | Anchor::File(..) => Err("it is not ours".to_owned()),
        }
    }

    /// The same data in the form that verdicts on edges need.
    pub(crate) fn readings(&self) -> Readings {
        let mut readings = Readings { imported: self.key_places(), ..Readings::default() };
        for (arn, read) in &self.acm {
            readings.chains.insert(Source::Acm(arn.clone()), read.chain.clone());
            for one in read.private.iter().flat_map(|private| &private.replacements) {
                if let ReplacementState::Issued(chain) = &one.state {
                    readings.chains.insert(Source::Acm(one.arn.clone()), Reading::Known((**chain).clone()));
                }
            }
        }
        for (name, read) in &self.secrets {
            readings.chains.insert(Source::Sds(name.clone()), read.chain.clone());
            readings.anchors.insert(Anchor::Sds(name.clone()), read.trust.clone());
        }
        for (arn, read) in &self.authorities {
            let reading = match read {
                Ok(facts) => Reading::Known(vec![facts.certificate.clone()]),
                Err(why) => Reading::Unread(why.clone()),
            };
            readings.anchors.insert(Anchor::Authority(arn.clone()), reading);
        }
        for used in self.survey.trusts.values() {
            for anchor in used.anchors.iter().filter(|anchor| matches!(anchor, Anchor::IssuerOf(_))) {
                if let Ok(trusted) = self.trusted(anchor) {
                    readings.anchors.insert(anchor.clone(), Reading::Known(vec![trusted.root]));
                }
            }
        }
        readings
    }
}

/// Whether a secret holds the certificate that ACM has, or a pending certificate that ACM has already imported.
fn goes_with(twin: &InSecret, acm: &Reading<Chain>) -> bool {
    let Reading::Known(acm) = acm else { return false };
    let pending = match &twin.facts.pending {
        Some(Pending::Issued { chain, .. }) => Some(&chain.leaf),
        Some(Pending::Requested { .. } | Pending::Trust { .. } | Pending::Unreadable { .. }) | None => None,
    };
    let current = match &twin.chain {
        Reading::Known(chain) => Some(&chain.leaf),
        Reading::Unread(_) => None,
    };
    [current, pending].into_iter().flatten().any(|leaf| leaf.fingerprint == acm.leaf.fingerprint)
}
