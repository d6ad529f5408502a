//! A shop with managed certificates of every kind, its proxies, and the function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certificate_rotation::{CertificateRotation, Ports};
use decisions::rotation::{MeshCertificates, TrustId};
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{self, Anchor, Certificate, CertificateSource as Source, Chain, leads_to};
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use policy::Policy;
use ports::certificates::{
    AcknowledgedSecrets, AuthorityArn, Bundle, CertificateArn, CertificateAuthority as _, CertificateStore as _,
    IdempotencyToken, Import, Issuance, KeyAlgorithm, KeyMaker as _, Order, PrivateKey, PrivateRequest, ProxyStream,
    SecretBundles as _, SecretId, SeenCertificate, SeenSecret, SigningAlgorithm, Stage, StoredBundle, SubjectNames,
    Template, VersionId,
};
use ports::{Clock as _, Deadline, MeshReader as _, Pace, PortErrorKind, survey};
use ports_memory::certificates::Validity;
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use runner::{Handler, PolicyKeeper, Report, Retry, Runner, events};
use serde_json::{Value, json};

use crate::unreadable_meshes::{Unread, UnreadableMeshes};

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);
const KEY: KeyAlgorithm = KeyAlgorithm::EcPrime256v1;

/// The certificates of a secret at a proxy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Leaf(Box<Chain>),
    Roots(Vec<Certificate>),
}

pub(crate) type Parts = BTreeMap<(ResourcePath, String), Part>;

/// The environment of the function.
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
    pub(crate) old: AuthorityArn,
    pub(crate) imported: CertificateArn,
    pub(crate) private: CertificateArn,
    pub(crate) held: Parts,
    /// The bundle of the imported certificate.
    pub(crate) orders: Bundle,
    /// Whether a secret has the key of the imported certificate.
    twin: bool,
    /// The meshes that the function cannot read.
    pub(crate) unread: Unread,
    /// The secrets that proxies have from a socket next to them.
    pub(crate) from_socket: BTreeSet<(ResourcePath, String)>,
}

pub(crate) fn path(node: &str) -> ResourcePath {
    ResourcePath::parse(&format!("mesh/shop/virtualNode/{node}")).unwrap()
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let ports = MemoryPorts::at("2026-06-01T00:00:00Z".parse().unwrap());
        let old = root(&ports, "old");
        let (imported, orders) = import(&ports, &old).await;
        let private = request(&ports, &old).await;
        let trust = ports.certificates.authorities.certificate(&old).await.unwrap().whole();
        for (name, leaf) in [("web", true), ("pay", true), ("ca", false)] {
            let bundle = if leaf { leaf_bundle(&ports, &old, name).await } else { Bundle::default() };
            let trust = (!leaf).then(|| trust.clone());
            put_bundle(&ports, name, &Bundle { trust, ..bundle });
        }
        let mut shop = Self {
            policy: MemoryPolicy::new("version: 1\n", Faults::default()),
            held: Parts::new(),
            ports,
            old,
            imported,
            private,
            orders,
            twin: false,
            unread: Unread::default(),
            from_socket: BTreeSet::new(),
        };
        shop.build();
        shop.set_policy("");
        shop.deliver().await;
        shop
    }

    /// Stores a bundle in a secret that the policy binds to the imported certificate.
    pub(crate) fn bind_orders(&mut self, bundle: &Bundle) {
        put_bundle(&self.ports, "orders", bundle);
        self.twin = true;
        self.set_policy("");
    }

    /// Adds a second mesh, which presents the imported and the private certificate, too.
    pub(crate) async fn add_lab(&mut self) {
        self.put("mesh/lab", &json!({}));
        let trust =
            json!({ "validation": { "trust": { "acm": { "certificateAuthorityArns": [self.old.as_str()] } } } });
        let mut backends = Vec::new();
        for (name, arn) in [("orders", &self.imported), ("stock", &self.private)] {
            let certificate = json!({ "acm": { "certificateArn": arn.as_str() } });
            let node = json!({
                "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" },
                    "tls": { "mode": "STRICT", "certificate": certificate } }],
                "serviceDiscovery": { "dns": { "hostname": format!("{name}.shop.local") } },
            });
            self.put(&format!("mesh/lab/virtualNode/{name}"), &node);
            let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": name } } });
            self.put(&format!("mesh/lab/virtualService/{name}.shop.local"), &provider);
            let backend =
                json!({ "virtualServiceName": format!("{name}.shop.local"), "clientPolicy": { "tls": trust } });
            backends.push(json!({ "virtualService": backend }));
        }
        self.put("mesh/lab/virtualNode/desk", &json!({ "backends": backends }));
        self.deliver().await;
    }

    /// Makes a mesh unreadable from now on, or readable again.
    pub(crate) fn set_unreadable(&self, mesh: &str, kind: Option<PortErrorKind>) {
        let mut unread = self.unread.lock().unwrap();
        unread.clear();
        unread.extend(kind.map(|kind| (mesh.parse().unwrap(), kind)));
    }

    /// Sets the policy, with further members in its section on certificates.
    pub(crate) fn set_policy(&self, more: &str) {
        self.set_modes("{default: enforce}", more);
    }

    /// Sets the policy with these modes.
    pub(crate) fn set_modes(&self, modes: &str, more: &str) {
        let Self { old, imported, .. } = self;
        let twin = if self.twin { ", secret: mesh-orders" } else { "" };
        self.policy.set(format!(
            "version: 1\nmodes: {modes}\ncertificates:\n  bundles:\n    \
             - {{secretName: web, secret: mesh-web, authority: '{old}'}}\n    \
             - {{secretName: pay, secret: mesh-pay, authority: '{old}'}}\n    \
             - {{secretName: ca, secret: mesh-ca}}\n  \
             imported:\n    - {{certificate: '{imported}', authority: '{old}'{twin}}}\n{more}"
        ));
    }

    fn build(&self) {
        let service = |name: &str, policy: Option<Value>| {
            let mut backend = json!({ "virtualServiceName": format!("{name}.shop.local") });
            if let Some(policy) = policy {
                backend["clientPolicy"] = json!({ "tls": policy });
            }
            json!({ "virtualService": backend })
        };
        let by_acm =
            json!({ "validation": { "trust": { "acm": { "certificateAuthorityArns": [self.old.as_str()] } } } });
        let by_sds = json!({
            "certificate": { "sds": { "secretName": "web" } },
            "validation": { "trust": { "sds": { "secretName": "ca" } } },
        });
        let web = json!({ "backends": [
            service("orders", Some(by_acm)), service("stock", None), service("pay", Some(by_sds)),
        ] });
        let client_validation = json!({ "trust": { "sds": { "secretName": "ca" } } });
        self.put("mesh/shop", &json!({}));
        self.put("mesh/shop/virtualNode/web", &web);
        let acm = |arn: &CertificateArn| json!({ "acm": { "certificateArn": arn.as_str() } });
        for (name, certificate, validation) in [
            ("orders", acm(&self.imported), None),
            ("stock", acm(&self.private), None),
            ("pay", json!({ "sds": { "secretName": "pay" } }), Some(client_validation)),
        ] {
            let mut tls = json!({ "mode": "STRICT", "certificate": certificate });
            if let Some(validation) = validation {
                tls["validation"] = validation;
            }
            let node = json!({
                "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" }, "tls": tls }],
                "serviceDiscovery": { "dns": { "hostname": format!("{name}.shop.local") } },
            });
            self.put(&format!("mesh/shop/virtualNode/{name}"), &node);
            let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": name } } });
            self.put(&format!("mesh/shop/virtualService/{name}.shop.local"), &provider);
        }
    }

    pub(crate) fn put(&self, path: &str, spec: &Value) {
        self.ports.mesh.put_spec(&ResourcePath::parse(path).unwrap(), spec).unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn wait(&self, time: SignedDuration) {
        self.ports.clock.advance(time);
    }

    /// A new process without any state in memory.
    pub(crate) async fn start(&self) -> Runner<CertificateRotation> {
        let keeper = PolicyKeeper::start(Box::new(self.policy.clone()), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let certificates = ports.certificates;
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(UnreadableMeshes { meshes: ports.mesh.clone(), unread: Arc::clone(&self.unread) }),
            writer: Arc::new(ports.mesh),
            certificates: Arc::new(certificates.certificates),
            authorities: Arc::new(certificates.authorities),
            bundles: Arc::new(certificates.bundles),
            keys: Arc::new(certificates.keys),
            proxies: Arc::new(certificates.proxies),
            probe: Arc::new(certificates.probe),
            state: Arc::new(ports.state),
            notifier: Arc::new(ports.notifier),
            bus: Arc::new(ports.bus),
            reports: Arc::new(ports.reports),
        };
        certificate_rotation::function(ports, keeper)
    }

    /// A scheduled run in a new process.
    pub(crate) async fn invoke(&self) -> Result<Report, Retry> {
        self.answer(&json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} })).await
    }

    pub(crate) async fn answer(&self, event: &Value) -> Result<Report, Retry> {
        let function = self.start().await;
        let deadline = Deadline::after(Duration::from_secs(110));
        deadline.cover(function.handle(events::parse(event), deadline)).await
    }

    pub(crate) async fn model(&self) -> Mesh {
        let read = survey(&self.ports.mesh, &"shop".parse().unwrap(), &mut Pace::new(8, 8)).await.unwrap();
        read.model(&"shop".parse().unwrap()).unwrap()
    }

    /// The certificates of all meshes, including the unreadable ones.
    pub(crate) async fn surveyed(&self) -> MeshCertificates {
        let mut surveyed = MeshCertificates::default();
        for found in self.ports.mesh.meshes().await.unwrap() {
            let name = found.path.mesh();
            let read = survey(&self.ports.mesh, name, &mut Pace::new(8, 8)).await.unwrap();
            surveyed.join(MeshCertificates::from_mesh(&read.model(name).unwrap()));
        }
        surveyed
    }

    pub(crate) async fn leaf(&self, source: &Source) -> Chain {
        let text = match source {
            Source::Acm(arn) => {
                let arn = CertificateArn::parse(arn.as_str()).unwrap();
                self.ports.certificates.certificates.chain(&arn).await.unwrap().unwrap().whole()
            }
            Source::Sds(name) => {
                self.bundle(name.as_str(), Stage::Current).await.unwrap().bundle.chain.unwrap().whole()
            }
            Source::File(..) => unreachable!(),
        };
        Chain::read(&text).unwrap()
    }

    pub(crate) async fn bundle(&self, name: &str, stage: Stage) -> Option<StoredBundle> {
        let secret = SecretId::parse(&format!("mesh-{name}")).unwrap();
        self.ports.certificates.bundles.read(&secret, stage).await.unwrap()
    }

    async fn root(&self, arn: &str) -> Certificate {
        let arn = AuthorityArn::parse(arn).unwrap();
        let chain = self.ports.certificates.authorities.certificate(&arn).await.unwrap();
        Certificate::read_all(&chain.whole()).unwrap().pop().unwrap()
    }

    /// The parts that the proxies should have.
    pub(crate) async fn wanted(&self) -> Parts {
        let surveyed = self.surveyed().await;
        let mut parts = Parts::new();
        for (source, used) in &surveyed.leaves {
            let chain = self.leaf(source).await;
            let name = match source {
                Source::Acm(arn) => arn.to_string(),
                Source::Sds(name) => name.to_string(),
                Source::File(..) => unreachable!(),
            };
            for user in &used.users {
                parts.insert((user.clone(), name.clone()), Part::Leaf(Box::new(chain.clone())));
            }
        }
        for (id, used) in &surveyed.trusts {
            let (name, roots) = match id {
                TrustId::Sds { name } => {
                    let trust = self.bundle(name.as_str(), Stage::Current).await.unwrap().bundle.trust.unwrap();
                    (name.to_string(), Certificate::read_all(&trust).unwrap())
                }
                TrustId::Policy { .. } | TrustId::Implicit { .. } => self.acm_trust(&used.anchors).await,
                TrustId::File { .. } => unreachable!(),
            };
            for user in &used.users {
                parts.insert((user.clone(), name.clone()), Part::Roots(roots.clone()));
            }
        }
        parts
    }

    async fn acm_trust(&self, anchors: &[Anchor]) -> (String, Vec<Certificate>) {
        let (mut arns, mut roots) = (Vec::new(), Vec::new());
        for anchor in anchors {
            match anchor {
                Anchor::Authority(arn) => {
                    arns.push(arn.to_string());
                    roots.push(self.root(arn.as_str()).await);
                }
                Anchor::IssuerOf(arn) => {
                    let chain = self.leaf(&Source::Acm(arn.clone())).await;
                    return (format!("issuer:{arn}"), vec![chain.others.last().unwrap().clone()]);
                }
                Anchor::Sds(_) | Anchor::File(..) => unreachable!(),
            }
        }
        (format!("trust:{}", arns.join(",")), roots)
    }

    /// Delivers the parts to the proxies, which acknowledge them. Any proxy may be the first.
    pub(crate) async fn deliver(&mut self) {
        let wanted = self.wanted().await;
        self.check(&wanted).await;
        let mut secrets: BTreeMap<ResourcePath, BTreeMap<String, SeenSecret>> = BTreeMap::new();
        for ((proxy, name), part) in &wanted {
            let seen = |one: &Certificate| SeenCertificate {
                fingerprint: one.fingerprint.to_string(),
                not_after: one.not_after,
            };
            let certificates = match part {
                Part::Leaf(chain) => vec![seen(&chain.leaf)],
                Part::Roots(roots) => roots.iter().map(seen).collect(),
            };
            secrets.entry(proxy.clone()).or_default().insert(name.clone(), SeenSecret::Acknowledged { certificates });
        }
        let is_from_socket =
            |proxy: &ResourcePath, name: &str| self.from_socket.contains(&(proxy.clone(), name.to_owned()));
        for (proxy, of_proxy) in &mut secrets {
            let from_socket = of_proxy.iter_mut().filter(|(name, _)| is_from_socket(proxy, name));
            from_socket.for_each(|(_, seen)| *seen = SeenSecret::BesideProxy);
        }
        let since = self.now();
        let stream = |(proxy, secrets)| ProxyStream {
            proxy,
            peer: "127.0.0.1:1".to_owned(),
            since,
            up_to_date: true,
            rejected: None,
            secrets: AcknowledgedSecrets::Known(secrets),
        };
        self.ports.certificates.proxies.set(secrets.into_iter().map(stream).collect());
        self.held = wanted;
    }

    /// Checks the invariant for any order of the proxies: each verifier accepts, with its old and its new trust, the old
    /// and the new certificate of each presenter.
    async fn check(&self, wanted: &Parts) {
        let surveyed = self.surveyed().await;
        for meeting in &surveyed.meetings {
            let leaf_name = match &meeting.leaf {
                Source::Acm(arn) => arn.to_string(),
                Source::Sds(name) => name.to_string(),
                Source::File(..) => unreachable!(),
            };
            let trust_name = match &meeting.trust {
                TrustId::Sds { name } => name.to_string(),
                other => self.acm_trust(&surveyed.trusts[other].anchors).await.0,
            };
            let of = |proxy: &ResourcePath, name: &str| {
                let key = (proxy.clone(), name.to_owned());
                [self.held.get(&key), wanted.get(&key)].into_iter().flatten().cloned().collect::<Vec<_>>()
            };
            for leaf in of(&meeting.presenter, &leaf_name) {
                for trust in of(&meeting.verifier, &trust_name) {
                    let (Part::Leaf(chain), Part::Roots(roots)) = (&leaf, &trust) else { panic!("{leaf:?} {trust:?}") };
                    if let Err(fault) = leads_to(chain, &roots.iter().collect::<Vec<_>>(), self.now()) {
                        panic!("at {}: {meeting:?}: {fault}", self.now());
                    }
                }
            }
        }
    }

    /// Runs the function this number of times, five minutes apart; the proxies follow after each run.
    pub(crate) async fn go_on(&mut self, runs: usize) {
        for _ in 0..runs {
            self.wait(SignedDuration::from_mins(5));
            // A failed run is repeated by the next one.
            drop(self.invoke().await);
            self.deliver().await;
        }
    }

    /// Every source of the mesh.
    pub(crate) async fn sources(&self) -> BTreeSet<Source> {
        self.surveyed().await.leaves.into_keys().collect()
    }

    pub(crate) fn imported(&self) -> Source {
        Source::Acm(certificates::CertificateArn::new(self.imported.as_str()))
    }

    pub(crate) fn private(&self) -> Source {
        Source::Acm(certificates::CertificateArn::new(self.private.as_str()))
    }

    pub(crate) fn sds(name: &str) -> Source {
        Source::Sds(certificates::SecretName::new(name))
    }

    /// The number of issuances of all kinds.
    pub(crate) fn issuances(&self) -> usize {
        self.ports.certificates.authorities.issuances() + self.ports.certificates.certificates.issuances()
    }

    pub(crate) async fn node(&self, name: &str) -> Value {
        match self.ports.mesh.describe(&path(name)).await.unwrap() {
            Resource::VirtualNode(node) => node.spec.to_json(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn root(ports: &MemoryPorts, name: &str) -> AuthorityArn {
    let now = ports.clock.now();
    let validity = Validity { from: now - DAY, until: now + DAY * 3650 };
    ports.certificates.authorities.root(name, &KEY, validity).unwrap()
}

fn subject(name: &str) -> SubjectNames {
    let host = format!("{name}.shop.local");
    SubjectNames { common_name: Some(host.clone()), dns: vec![host], uris: Vec::new() }
}

async fn issue(
    ports: &MemoryPorts,
    by: &AuthorityArn,
    name: &str,
    lasts: SignedDuration,
) -> (ports::certificates::Chain, PrivateKey) {
    let fresh = ports.certificates.keys.make(&KEY, &subject(name)).unwrap();
    let order = Order {
        authority: by.clone(),
        request: fresh.request,
        template: Template::EndEntity,
        signing: SigningAlgorithm::Sha256WithEcdsa,
        not_after: ports.clock.now() + lasts,
        token: IdempotencyToken::parse(&format!("first_{name}")).unwrap(),
    };
    let issued = ports.certificates.authorities.issue(&order).await.unwrap();
    match ports.certificates.authorities.issued(&issued).await.unwrap() {
        Issuance::Issued(chain) => (chain, fresh.key),
        other => panic!("{other:?}"),
    }
}

async fn import(ports: &MemoryPorts, by: &AuthorityArn) -> (CertificateArn, Bundle) {
    let (chain, key) = issue(ports, by, "orders", DAY * 90).await;
    let bundle = Bundle { chain: Some(chain.clone()), key: Some(key.clone()), request: None, trust: None };
    let import = Import { onto: None, chain, key, tags: BTreeMap::new() };
    (ports.certificates.certificates.import(&import).await.unwrap(), bundle)
}

async fn request(ports: &MemoryPorts, by: &AuthorityArn) -> CertificateArn {
    let request = PrivateRequest {
        authority: by.clone(),
        common_name: "stock.shop.local".to_owned(),
        other_names: Vec::new(),
        key_algorithm: KEY,
        token: IdempotencyToken::parse("first_stock").unwrap(),
        tags: BTreeMap::new(),
    };
    ports.certificates.certificates.request(&request).await.unwrap()
}

pub(crate) async fn leaf_bundle(ports: &MemoryPorts, by: &AuthorityArn, name: &str) -> Bundle {
    let (chain, key) = issue(ports, by, name, DAY * 90).await;
    Bundle { chain: Some(chain), key: Some(key), request: None, trust: None }
}

fn put_bundle(ports: &MemoryPorts, name: &str, bundle: &Bundle) {
    let secret = format!("mesh-{name}");
    ports.certificates.bundles.create(&secret);
    let version = VersionId::parse(&format!("{name:-<32}")).unwrap();
    ports.certificates.bundles.set_text(&secret, &version, &bundle.text());
}
