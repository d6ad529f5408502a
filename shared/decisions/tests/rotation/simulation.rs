//! A simulation of CAs, ACM, secrets, specs and proxies. Proxies receive their certificates and trust with a delay.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use decisions::rotation::RotationRecord;
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{
    AuthorityArn, Certificate, CertificateArn, CertificateNames, CertificateSource, Chain, Fingerprint, KeyKind,
    SecretName, leads_to,
};
use mesh::name::{MeshName, ResourcePath};
use policy::CertificatesPolicy;

pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A use of a certificate or of trust by a proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// The certificate of its listener.
    Listener,
    /// The certificate that it presents as a client.
    Client,
    /// Its trust in the nodes that it calls, by the index of an edge.
    Called(usize),
    /// The trust of its listener in callers.
    Callers,
}

/// A proxy's part of the spec.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) listener: Option<CertificateSource>,
    pub(super) client: Option<CertificateSource>,
    pub(super) callers: Option<SecretName>,
}

/// The trust of a client in a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Policy(Vec<AuthorityArn>),
    Implicit,
    Bundle(SecretName),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) check: Check,
}

#[derive(Debug, Clone)]
pub(super) struct Authority {
    pub(super) certificate: Rc<Certificate>,
    pub(super) issuers: Vec<Rc<Certificate>>,
}

#[derive(Debug, Clone)]
pub(super) struct AcmCertificate {
    /// `None` for an imported one.
    pub(super) authority: Option<AuthorityArn>,
    pub(super) name: String,
    pub(super) chain: Option<Rc<Chain>>,
    pub(super) eligible: bool,
    /// When the requested certificate is issued.
    pub(super) ready: Option<Timestamp>,
    pub(super) replaces: Option<CertificateArn>,
    pub(super) lifetime: SignedDuration,
    pub(super) token: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Version {
    pub(super) chain: Option<Rc<Chain>>,
    pub(super) requested: bool,
    pub(super) trust: Vec<Rc<Certificate>>,
    /// The public key that belongs to its private key. An initial version has the key of its certificate.
    pub(super) key: Option<String>,
}

/// The response of the private CAs to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The ordered certificate, at once.
    Good,
    /// The ordered certificate, after so many minutes.
    Slow(i32),
    /// The order stays in progress forever.
    Never,
    /// An expired leaf.
    Ended,
    /// A leaf that expires within some minutes.
    EndsSoon,
    /// A leaf that begins so many minutes later.
    Later(i32),
    /// A leaf that begins at its issuance, and not an hour before.
    NotBackdated,
    /// A leaf for another key.
    ForeignKey,
    /// A leaf for another name.
    WrongName,
    /// A leaf of another CA that no node trusts.
    OtherIssuer,
    /// A refusal, each time.
    Failed,
    /// The call is denied.
    Denied,
    /// The call is throttled.
    Throttled,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Secret {
    pub(super) versions: BTreeMap<String, Version>,
    pub(super) current: Option<String>,
    pub(super) pending: Option<String>,
    pub(super) previous: Option<String>,
}

/// A leaf or a trust that a proxy has received for a slot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Leaf(Rc<Chain>),
    Trust(Vec<Rc<Certificate>>),
}

#[derive(Debug, Clone)]
pub(super) struct Simulation {
    pub(super) now: Timestamp,
    pub(super) policy: CertificatesPolicy,
    pub(super) authorities: BTreeMap<AuthorityArn, Authority>,
    pub(super) acm: BTreeMap<CertificateArn, AcmCertificate>,
    pub(super) secrets: BTreeMap<SecretName, Secret>,
    pub(super) nodes: Vec<Node>,
    /// The number of meshes; the nodes are distributed to them in turn.
    pub(super) meshes: usize,
    /// Unreadable meshes.
    pub(super) unread: BTreeSet<usize>,
    /// Meshes in the mode `observe`.
    pub(super) watching: BTreeSet<usize>,
    pub(super) calls: Vec<Call>,
    /// The received parts of each replica of each node.
    pub(super) proxies: Vec<Vec<BTreeMap<Slot, Part>>>,
    /// Nodes with unreachable proxies.
    pub(super) silent: BTreeSet<usize>,
    pub(super) records: BTreeMap<String, RotationRecord>,
    pub(super) orders: BTreeMap<String, (Rc<Chain>, Timestamp, String)>,
    pub(super) issued: Vec<Issued>,
    /// The response of the private CAs to orders.
    pub(super) answer: Answer,
    /// The sent pages.
    pub(super) pages: Vec<Page>,
    /// Emulates the defect that a version of a secret is used again for the next attempt.
    pub(super) reuses_versions: bool,
    /// Whether the initial certificates may be unusable, so that the invariant is not checked.
    pub(super) starts_broken: bool,
    pub(super) keys: u64,
    serial: u64,
    random: u64,
}

/// A page that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) at: Timestamp,
    pub(super) subject: String,
    pub(super) code: String,
}

/// One issuance, with what it replaced.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) source: String,
    pub(super) replaced: Rc<Chain>,
    pub(super) at: Timestamp,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            policy: CertificatesPolicy::default(),
            authorities: BTreeMap::new(),
            acm: BTreeMap::new(),
            secrets: BTreeMap::new(),
            nodes: Vec::new(),
            meshes: 1,
            unread: BTreeSet::new(),
            watching: BTreeSet::new(),
            calls: Vec::new(),
            proxies: Vec::new(),
            silent: BTreeSet::new(),
            records: BTreeMap::new(),
            orders: BTreeMap::new(),
            issued: Vec::new(),
            answer: Answer::Good,
            pages: Vec::new(),
            reuses_versions: false,
            starts_broken: false,
            keys: 0,
            serial: 0,
            random: seed | 1,
        }
    }

    pub(super) fn mesh_of(&self, node: usize) -> usize {
        node % self.meshes
    }

    pub(super) fn mesh_name(mesh: usize) -> MeshName {
        format!("m{mesh}").parse().unwrap()
    }

    pub(super) fn path(&self, node: usize) -> ResourcePath {
        ResourcePath::parse(&format!("mesh/m{}/virtualNode/n{node}", self.mesh_of(node))).unwrap()
    }

    /// A number below `most`, from the seed.
    pub(super) fn draw(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most.max(1)
    }

    fn certificate(
        &mut self,
        subject: &str,
        issuer: Option<&Certificate>,
        ca: bool,
        from: Timestamp,
        until: Timestamp,
    ) -> Rc<Certificate> {
        self.serial += 1;
        let id = format!("{subject} {}", self.serial);
        let key = Some(format!("key of {id}"));
        Rc::new(Certificate {
            fingerprint: Fingerprint::from_der(id.as_bytes()),
            subject: format!("CN={subject}"),
            issuer: issuer.map_or(format!("CN={subject}"), |issuer| issuer.subject.clone()),
            issuer_key_id: issuer.map_or_else(|| key.clone(), |issuer| issuer.key_id.clone()),
            key_id: key,
            public_key: id,
            key: KeyKind::Ec(256),
            serial: self.serial.to_string(),
            names: CertificateNames { common: None, dns: vec![subject.to_owned()], uris: vec![], addresses: vec![] },
            is_ca: ca,
            not_before: from,
            not_after: until,
        })
    }

    pub(super) fn add_root(&mut self, name: &str, years: i64) -> AuthorityArn {
        let (from, until) = (self.now - DAY, self.now + DAY * i32::try_from(years * 365).unwrap());
        let certificate = self.certificate(name, None, true, from, until);
        let arn = AuthorityArn::new(format!("arn:pca:{name}"));
        self.authorities.insert(arn.clone(), Authority { certificate, issuers: vec![] });
        arn
    }

    pub(super) fn add_subordinate(&mut self, name: &str, root: &AuthorityArn) -> AuthorityArn {
        let above = self.authorities[root].certificate.clone();
        let certificate = self.certificate(name, Some(&above), true, self.now - DAY, above.not_after);
        let arn = AuthorityArn::new(format!("arn:pca:{name}"));
        self.authorities.insert(arn.clone(), Authority { certificate, issuers: vec![above] });
        arn
    }

    /// A leaf as a CA issues it, backdated by an hour.
    pub(super) fn issue(&mut self, name: &str, by: &AuthorityArn, from: Timestamp, until: Timestamp) -> Rc<Chain> {
        let authority = self.authorities[by].clone();
        let until = until.min(authority.certificate.not_after);
        let leaf = self.certificate(name, Some(&authority.certificate), false, from, until);
        let others = std::iter::once(&authority.certificate).chain(&authority.issuers);
        let others = others.map(|one| Certificate::clone(one)).collect();
        Rc::new(Chain { leaf: Certificate::clone(&leaf), others })
    }

    /// A leaf as a CA issues it for an ordered key; `None` is a new key.
    pub(super) fn answer_order(
        &mut self,
        name: &str,
        by: &AuthorityArn,
        until: Timestamp,
        key: Option<&str>,
    ) -> Rc<Chain> {
        let now = self.now;
        let (from, until) = match self.answer {
            Answer::Ended => (now - HOUR, now - SignedDuration::from_mins(1)),
            Answer::EndsSoon => (now - HOUR, now + SignedDuration::from_mins(12)),
            Answer::Later(minutes) => (now + SignedDuration::from_mins(minutes.into()), until),
            Answer::NotBackdated => (now, until),
            _ => (now - HOUR, until),
        };
        let name = if self.answer == Answer::WrongName { "other.local" } else { name };
        let stranger = AuthorityArn::new("arn:pca:stranger");
        if self.answer == Answer::OtherIssuer && !self.authorities.contains_key(&stranger) {
            self.add_root("stranger", 20);
        }
        let by = if self.answer == Answer::OtherIssuer { &stranger } else { by };
        let mut chain = self.issue(name, by, from, until);
        if let Some(key) = key.filter(|_| self.answer != Answer::ForeignKey) {
            Rc::make_mut(&mut chain).leaf.public_key = key.to_owned();
        }
        chain
    }

    /// A leaf after a part of its validity.
    pub(super) fn leaf(&mut self, name: &str, by: &AuthorityArn, lifetime: SignedDuration) -> Rc<Chain> {
        let lived = SignedDuration::from_secs(
            i64::try_from(self.draw(u64::try_from(lifetime.as_secs()).unwrap() * 6 / 10)).unwrap(),
        );
        self.issue(name, by, self.now - HOUR - lived, self.now - HOUR - lived + lifetime)
    }

    /// The trust of a node that trusts a CA by its name: that CA, and not its root.
    pub(super) fn anchor_of(&self, arn: &AuthorityArn) -> Rc<Certificate> {
        self.authorities[arn].certificate.clone()
    }

    /// The current content of a source.
    pub(super) fn stored(&self, source: &CertificateSource) -> Rc<Chain> {
        match source {
            CertificateSource::Acm(arn) => self.acm[arn].chain.clone().unwrap(),
            CertificateSource::Sds(name) => {
                let secret = &self.secrets[name];
                secret.versions[secret.current.as_ref().unwrap()].chain.clone().unwrap()
            }
            CertificateSource::File(..) => unreachable!(),
        }
    }

    pub(super) fn trust_of(&self, name: &SecretName) -> Vec<Rc<Certificate>> {
        let secret = &self.secrets[name];
        secret.versions[secret.current.as_ref().unwrap()].trust.clone()
    }

    /// The target configuration of the proxies of a node.
    pub(super) fn wanted(&self, node: usize) -> BTreeMap<Slot, Part> {
        let spec = &self.nodes[node];
        let mut parts = BTreeMap::new();
        for (slot, source) in [(Slot::Listener, &spec.listener), (Slot::Client, &spec.client)] {
            if let Some(source) = source {
                parts.insert(slot, Part::Leaf(self.stored(source)));
            }
        }
        if let Some(name) = &spec.callers {
            parts.insert(Slot::Callers, Part::Trust(self.trust_of(name)));
        }
        for (index, call) in self.calls.iter().enumerate().filter(|(_, call)| call.from == node) {
            let trusted = match &call.check {
                Check::Policy(arns) => arns.iter().map(|arn| self.anchor_of(arn)).collect(),
                Check::Bundle(name) => self.trust_of(name),
                Check::Implicit => {
                    let server = self.nodes[call.to].listener.as_ref().unwrap();
                    self.stored(server).others.last().map(|root| Rc::new(root.clone())).into_iter().collect()
                }
            };
            parts.insert(Slot::Called(index), Part::Trust(trusted));
        }
        parts
    }

    /// Starts the proxies, each node with one or two.
    pub(super) fn start(&mut self) {
        for node in 0..self.nodes.len() {
            let replicas = 1 + self.draw(2);
            let wanted = self.wanted(node);
            self.proxies.push((0..replicas).map(|_| wanted.clone()).collect());
        }
        self.check();
    }

    /// Delivers some of the updates to some of the proxies, in any order.
    pub(super) fn deliver(&mut self, percent: u64) {
        for node in 0..self.nodes.len() {
            let wanted = self.wanted(node);
            for replica in 0..self.proxies[node].len() {
                for (slot, part) in &wanted {
                    if self.proxies[node][replica].get(slot) != Some(part) && self.draw(100) < percent {
                        self.proxies[node][replica].insert(slot.clone(), part.clone());
                        self.check_near(Some(node));
                    }
                }
            }
        }
    }

    /// ACM finishes a request.
    pub(super) fn settle(&mut self) {
        let ready: Vec<CertificateArn> = self
            .acm
            .iter()
            .filter(|(_, one)| one.ready.is_some_and(|ready| ready <= self.now))
            .map(|(arn, _)| arn.clone())
            .collect();
        for arn in ready {
            let one = self.acm[&arn].clone();
            let until = self.now - HOUR + one.lifetime;
            let chain = self.answer_order(&one.name, one.authority.as_ref().unwrap(), until, None);
            let stored = self.acm.get_mut(&arn).unwrap();
            stored.chain = Some(chain);
            stored.ready = None;
            stored.eligible = false;
            self.check();
        }
    }

    /// The invariant: each client trusts the certificate of each server that it calls, and the server that of the client, by
    /// clocks that differ by up to five minutes.
    pub(super) fn check(&self) {
        self.check_near(None);
    }

    /// The invariant for the calls from and to one node.
    fn check_near(&self, node: Option<usize>) {
        if self.starts_broken {
            return;
        }
        for (index, call) in self.calls.iter().enumerate() {
            if node.is_some_and(|node| node != call.from && node != call.to) {
                continue;
            }
            for client in &self.proxies[call.from] {
                for server in &self.proxies[call.to] {
                    self.meet(server, &Slot::Listener, client, &Slot::Called(index));
                    if self.nodes[call.to].callers.is_some() {
                        self.meet(client, &Slot::Client, server, &Slot::Callers);
                    }
                }
            }
        }
    }

    fn meet(&self, presenter: &BTreeMap<Slot, Part>, leaf: &Slot, verifier: &BTreeMap<Slot, Part>, trust: &Slot) {
        let (Some(Part::Leaf(chain)), Some(Part::Trust(trusted))) = (presenter.get(leaf), verifier.get(trust)) else {
            panic!("{leaf:?} or {trust:?} is missing");
        };
        let anchors: Vec<&Certificate> = trusted.iter().map(Rc::as_ref).collect();
        for skew in [-5, 5] {
            let clock = self.now + SignedDuration::from_mins(skew);
            if let Err(fault) = leads_to(chain, &anchors, clock) {
                panic!("at {}: {} by {} is not accepted: {fault}", self.now, chain.leaf.subject, chain.leaf.issuer);
            }
        }
    }
}
