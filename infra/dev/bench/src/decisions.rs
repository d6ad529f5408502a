//! The decisions of certificate-rotation alone: without calls and X.509, only facts, policy and time.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Instant;

use decisions::rotation::{
    Acknowledgement, AuthorityFacts, Keeper, LeafFacts, MeshCertificates, MeshFacts, RotationDecision, RotationFacts,
    RotationMemory, TrustFacts, TrustId, TrustKeeper, Trusted, decide,
};
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{AuthorityArn, Certificate, CertificateNames, Chain, Fingerprint, KeyKind, SourceReading};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::spec::Spec;
use policy::{CertificatesPolicy, Mode, Succession};
use serde_json::json;

use crate::{Row, median};

/// The backends of each node.
const BACKENDS: usize = 5;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The states of the certificates that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    /// All certificates are new.
    Fresh,
    /// All certificates are due for renewal.
    Due,
    /// A CA is replaced: the client policies trust only the old CA.
    TrustOld,
    /// The client policies trust both CAs, and the old CA issued every certificate.
    Reissue,
    /// The new CA issued every certificate but one.
    DropOld,
    /// Like `DropOld`, but the CAs have a common root, which the client policies name.
    SameRoot,
}

/// Decisions for 1,000 certificates, and for 10,000.
pub(crate) fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (what, situations) in [
        ("deciding over 1,000 certificates of 1,000 nodes, none due, one core", &[Situation::Fresh][..]),
        ("deciding over 1,000 certificates, all due", &[Situation::Due]),
        (
            "deciding over 1,000 certificates while their CA is replaced, the slowest stage",
            &[Situation::TrustOld, Situation::Reissue, Situation::DropOld, Situation::SameRoot],
        ),
    ] {
        let mut measured = Vec::new();
        for situation in situations {
            measured.push(Measurement::new(*situation)?);
        }
        let slowest = measured.into_iter().max_by(|one, other| one.large.total_cmp(&other.large));
        let Some(Measurement { situation, small, large, plans, edges }) = slowest else { continue };
        rows.push(Row {
            what,
            figure: format!("{small:.2} ms, {plans} plans"),
            relation: format!("{edges} edges ({situation:?}); 10,000 in {large:.0} ms: {:.1} x", large / small),
        });
    }
    Ok(rows)
}

/// The median times of a decision, in milliseconds.
struct Measurement {
    situation: Situation,
    small: f64,
    large: f64,
    plans: usize,
    edges: usize,
}

impl Measurement {
    fn new(situation: Situation) -> Result<Self, Box<dyn Error>> {
        let scenario = Scenario::new(1_000, situation)?;
        let decisions = scenario.decide();
        let plans = decisions.iter().filter(|one| one.verdict.plan().is_some()).count();
        let edges = scenario.facts.meetings.len();
        Ok(Self { situation, small: scenario.time(21), large: Scenario::new(10_000, situation)?.time(5), plans, edges })
    }
}

/// The inputs of a decision.
struct Scenario {
    facts: RotationFacts,
    policy: CertificatesPolicy,
    now: Timestamp,
}

/// A CA, with its root if it is not one itself.
struct Ca {
    arn: AuthorityArn,
    certificate: Certificate,
    issuers: Vec<Certificate>,
}

impl Scenario {
    fn decide(&self) -> Vec<RotationDecision> {
        decide(&self.facts, &|_| Vec::new(), &self.policy, self.now)
    }

    /// The median time of this number of decisions, in milliseconds.
    fn time(&self, turns: usize) -> f64 {
        let times = (0..turns).map(|_| {
            let began = Instant::now();
            std::hint::black_box(self.decide());
            began.elapsed().as_secs_f64() * 1000.0
        });
        median(times.collect())
    }

    fn new(nodes: usize, situation: Situation) -> Result<Self, Box<dyn Error>> {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse()?;
        let root = certificate("root", None, true, now - DAY * 365, now + DAY * 3650);
        let ca = |name: &str, above: Option<&Certificate>| Ca {
            arn: AuthorityArn::new(format!("arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/{name}")),
            certificate: certificate(name, above, true, now - DAY * 365, now + DAY * 3650),
            issuers: above.cloned().into_iter().collect(),
        };
        let above = (situation == Situation::SameRoot).then_some(&root);
        let (old, new) = (ca("old", above), ca("new", above));
        let is_replaced = !matches!(situation, Situation::Fresh | Situation::Due);
        let mut policy = CertificatesPolicy::default();
        if is_replaced {
            policy.successions.push(Succession { from: old.arn.clone(), to: new.arn.clone() });
        }
        let mesh = large_mesh(nodes, &old.arn)?;
        let survey = MeshCertificates::from_mesh(&mesh);
        let trusted = |ca: &Ca| Trusted { authority: Some(ca.arn.clone()), root: ca.certificate.clone() };
        let declared = match situation {
            Situation::Fresh | Situation::Due | Situation::TrustOld => vec![trusted(&old)],
            Situation::Reissue | Situation::DropOld => vec![trusted(&old), trusted(&new)],
            Situation::SameRoot => vec![Trusted { authority: None, root: root.clone() }],
        };
        let held = Acknowledgement::Acknowledged(declared.iter().map(|one| one.root.fingerprint.clone()).collect());
        let trusts = survey.trusts.iter().map(|(id, used)| TrustFacts {
            id: id.clone(),
            users: used.users.iter().map(|user| (user.clone(), held.clone())).collect(),
            declared: SourceReading::Known(declared.clone()),
            keeper: if matches!(id, TrustId::Policy { .. }) {
                TrustKeeper::Policy
            } else {
                TrustKeeper::NotOurs { why: "it is not a policy".to_owned() }
            },
            memory: RotationMemory::None,
        });
        let trusts = trusts.collect();
        let leaves = survey.leaves.iter().enumerate().map(|(number, (source, used))| {
            let by = if situation == Situation::DropOld && number != 0 { &new } else { &old };
            let lived = if situation == Situation::Due { DAY * 80 } else { DAY };
            let leaf =
                certificate(&source.to_string(), Some(&by.certificate), false, now - lived, now - lived + DAY * 100);
            let held = Acknowledgement::Acknowledged(BTreeSet::from([leaf.fingerprint.clone()]));
            let others = std::iter::once(&by.certificate).chain(&by.issuers).cloned().collect();
            LeafFacts {
                source: source.clone(),
                users: used.users.iter().map(|user| (user.clone(), held.clone())).collect(),
                keeper: Keeper::Imported { authority: Some(old.arn.clone()), bundle: None, differs: None },
                current: SourceReading::Known(Chain { leaf, others }),
                revoked: false,
                memory: RotationMemory::None,
            }
        });
        let leaves: Vec<LeafFacts> = leaves.collect();
        let mesh = MeshFacts {
            mode: Mode::Enforce,
            has: SourceReading::Known(survey.shareable()),
            memory: RotationMemory::None,
        };
        let authorities = [old, new].map(|one| AuthorityFacts {
            arn: one.arn,
            inactive: None,
            certificate: one.certificate,
            issuers: one.issuers,
        });
        let facts = RotationFacts {
            meshes: BTreeMap::from([(MeshName::parse("large")?, mesh)]),
            leaves,
            trusts,
            meetings: survey.meetings,
            authorities: authorities.into(),
            unread_authorities: BTreeMap::new(),
            kill_switch: None,
            budget_used: 0,
        };
        Ok(Self { facts, policy, now })
    }
}

fn certificate(
    name: &str,
    issuer: Option<&Certificate>,
    is_ca: bool,
    from: Timestamp,
    until: Timestamp,
) -> Certificate {
    let key = Some(format!("key of {name}"));
    Certificate {
        fingerprint: Fingerprint::from_der(name.as_bytes()),
        subject: format!("CN={name}"),
        issuer: issuer.map_or_else(|| format!("CN={name}"), |issuer| issuer.subject.clone()),
        issuer_key_id: issuer.map_or_else(|| key.clone(), |issuer| issuer.key_id.clone()),
        key_id: key,
        public_key: name.to_owned(),
        key: KeyKind::Ec(256),
        serial: name.to_owned(),
        names: CertificateNames { common: None, dns: vec![name.to_owned()], uris: vec![], addresses: vec![] },
        is_ca,
        not_before: from,
        not_after: until,
    }
}

/// A mesh in which every node has a certificate, and a client policy that trusts the CA of the certificates.
fn large_mesh(nodes: usize, trusted: &AuthorityArn) -> Result<Mesh, Box<dyn Error>> {
    let mut mesh = Mesh::new(MeshName::parse("large")?);
    let mut put = |path: String, kind: ResourceKind, spec: serde_json::Value| -> Result<(), Box<dyn Error>> {
        let spec = Spec::read(kind, &spec).map_err(|errors| format!("{path}: {errors:?}"))?;
        Ok(mesh.insert(ResourcePath::parse(&path)?, spec)?)
    };
    put("mesh/large".to_owned(), ResourceKind::Mesh, json!({}))?;
    for index in 0..nodes {
        let arn = format!("arn:aws:acm:us-east-1:123456789012:certificate/{index:032x}");
        let called = (1..=BACKENDS).map(|step| index + step * step).filter(|called| *called < nodes);
        let backends: Vec<_> = called
            .map(|called| json!({"virtualService": {"virtualServiceName": format!("s{called}.local")}}))
            .collect();
        let trust = json!({"trust": {"acm": {"certificateAuthorityArns": [trusted.as_str()]}}});
        let node = json!({
            "listeners": [{
                "portMapping": {"port": 8080, "protocol": "http"},
                "tls": {"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}},
            }],
            "serviceDiscovery": {"dns": {"hostname": format!("n{index}.large.local")}},
            "backends": backends,
            "backendDefaults": {"clientPolicy": {"tls": {"enforce": true, "validation": trust}}},
        });
        put(format!("mesh/large/virtualNode/n{index}"), ResourceKind::VirtualNode, node)?;
        let provider = json!({"provider": {"virtualNode": {"virtualNodeName": format!("n{index}")}}});
        put(format!("mesh/large/virtualService/s{index}.local"), ResourceKind::VirtualService, provider)?;
    }
    Ok(mesh)
}
