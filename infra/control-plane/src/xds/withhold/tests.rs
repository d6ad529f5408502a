//! The resources that are sent while secrets are not available.

use std::sync::Mutex;

use jiff::Timestamp;
use mesh::name::{MeshName, VirtualNodeName};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use xds::{Proxy, ProxyId, SecretMaterial, Snapshot};

use super::super::follow::StoreUpdate;
use super::super::models::MeshModels;
use super::super::proxy_snapshot::Served;
use super::super::sources::SnapshotSources;
use super::*;
use crate::secrets::{KnownSecret, SecretLookup, SecretProblem, Secrets, ServedCertificate, problem};
use crate::state::{Resource as Stored, Stamp, ValidSpec};
use std::sync::Arc;

const A: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/a";
const B: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/b";
const CA: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/a";
const INGRESS: &str = "lds_ingress_0.0.0.0_15000";

/// A source with the secrets that the test sets, by name.
#[derive(Debug)]
struct TestSecrets {
    known: Mutex<BTreeMap<String, SecretLookup>>,
    never: watch::Sender<u64>,
}

impl Secrets for TestSecrets {
    fn find(&self, secret: &SecretRef) -> SecretLookup {
        let missing = SecretProblem { id: problem::UNAVAILABLE, message: "missing".to_owned() };
        self.known.lock().unwrap().get(&secret.name()).cloned().unwrap_or(SecretLookup::Missing(missing))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}

struct SnapshotFixture {
    secrets: Arc<TestSecrets>,
    models: MeshModels,
}

impl SnapshotFixture {
    fn new() -> Self {
        let secrets = Arc::new(TestSecrets { known: Mutex::default(), never: watch::Sender::new(0) });
        let bound = BTreeSet::from(["bound".to_owned()]);
        let sources = SnapshotSources { secrets: Arc::<TestSecrets>::clone(&secrets), ..SnapshotSources::default() };
        let mut fixture = Self { models: MeshModels::new(&sources, bound, None), secrets };
        fixture.models.apply_update(StoreUpdate::Everything(Vec::new()));
        fixture
    }

    fn put(&mut self, path: &str, spec: Value) {
        let path = ResourcePath::parse(path).unwrap();
        let stamp = Stamp { now: Timestamp::UNIX_EPOCH, uid: Uuid::nil(), caller: None };
        let spec = ValidSpec::parse(&path, spec).unwrap();
        let stored = Stored::created(path.clone(), Arc::new(spec), mesh::resource::Tags::default(), &stamp);
        self.models.apply_update(StoreUpdate::Changed(BTreeMap::from([(path, Some(Arc::new(stored)))])));
    }

    /// Stores a node that serves with this certificate on this port.
    fn server(&mut self, port: u16, certificate: &Value) {
        let tls = json!({"mode": "STRICT", "certificate": certificate});
        let listener = json!({"portMapping": {"port": port, "protocol": "http"}, "tls": tls});
        let spec = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "server.local"}}});
        self.put("mesh/shop/virtualNode/server", spec);
    }

    fn set_lookup(&self, name: &str, lookup: SecretLookup) {
        self.secrets.known.lock().unwrap().insert(name.to_owned(), lookup);
    }

    fn set_material(&self, name: &str, material: SecretMaterial) {
        let certificates = vec![ServedCertificate { fingerprint: name.to_owned(), not_after: Timestamp::MAX }];
        self.set_lookup(name, SecretLookup::Known(KnownSecret { material, certificates }, None));
    }

    fn served(&self, node: &str, previous: Option<&ProxySnapshot>) -> Option<Arc<ProxySnapshot>> {
        let proxy = Proxy::Node(VirtualNodeName::parse(node).unwrap());
        let id = ProxyId { mesh: MeshName::parse("shop").unwrap(), owner: None, proxy };
        match self.models.served(&id, previous).unwrap() {
            Served::Ready(proxy_snapshot) => Some(proxy_snapshot),
            Served::Waiting => None,
            other => panic!("{other:?}"),
        }
    }
}

fn acm(arn: &str) -> Value {
    json!({"acm": {"certificateArn": arn}})
}

fn certificate() -> SecretMaterial {
    SecretMaterial::Certificate { chain: "chain".to_owned(), key: "key".to_owned().into() }
}

fn trust() -> SecretMaterial {
    SecretMaterial::Trust { roots: "roots".to_owned() }
}

fn names(snapshot: &Snapshot, kind: ResourceType) -> Vec<&str> {
    snapshot.of(kind).map(|(name, _)| name.as_str()).collect()
}

fn ids(proxy_snapshot: &ProxySnapshot) -> Vec<&str> {
    proxy_snapshot.findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn a_new_proxy_waits_for_pending_secrets() {
    let mut fixture = SnapshotFixture::new();
    fixture.server(8080, &acm(A));
    fixture.set_lookup(A, SecretLookup::Pending);
    assert!(fixture.served("server", None).is_none());
    fixture.set_material(A, certificate());
    let proxy_snapshot = fixture.served("server", None).unwrap();
    assert_eq!(names(&proxy_snapshot.snapshot, ResourceType::Secret), [A]);
    // A proxy with a configuration does not wait for a new secret.
    fixture.server(8080, &acm(B));
    fixture.set_lookup(B, SecretLookup::Pending);
    let next = fixture.served("server", Some(&proxy_snapshot)).unwrap();
    assert_eq!(next.snapshot, proxy_snapshot.snapshot);
    assert_eq!(ids(&next), [problem::PENDING]);
}

#[test]
fn a_listener_without_its_secret_is_left_out_except_for_returning_proxies() {
    let mut fixture = SnapshotFixture::new();
    fixture.server(8080, &acm(A));
    let proxy_snapshot = fixture.served("server", None).unwrap();
    let others = |names: Vec<&str>| names.iter().all(|name| *name != INGRESS);
    assert!(others(names(&proxy_snapshot.snapshot, ResourceType::Listener)));
    assert!(names(proxy_snapshot.snapshot_for(true), ResourceType::Listener).contains(&INGRESS));
    assert_eq!(proxy_snapshot.snapshot_for(false), &proxy_snapshot.snapshot);
    assert_eq!(ids(&proxy_snapshot), [problem::UNAVAILABLE]);
    assert!(
        proxy_snapshot.findings[0].message.ends_with("listener lds_ingress_0.0.0.0_15000 is left out"),
        "{:?}",
        proxy_snapshot.findings
    );
    fixture.set_material(A, certificate());
    let whole = fixture.served("server", Some(&proxy_snapshot)).unwrap();
    assert!(names(&whole.snapshot, ResourceType::Listener).contains(&INGRESS));
    assert_eq!((whole.whole.as_ref(), whole.findings.as_slice()), (None, [].as_slice()));
}

#[test]
fn a_listener_stays_unchanged_until_its_new_secret_is_available() {
    let mut fixture = SnapshotFixture::new();
    fixture.set_material(A, certificate());
    fixture.server(8080, &acm(A));
    let before = fixture.served("server", None).unwrap();
    // Its dependencies stay as well: the route configuration of the previous port, and the previous secret.
    fixture.server(9090, &acm(B));
    let between = fixture.served("server", Some(&before)).unwrap();
    assert_eq!(
        between.snapshot.find(ResourceType::Listener, INGRESS),
        before.snapshot.find(ResourceType::Listener, INGRESS)
    );
    for kind in ResourceType::ALL {
        for name in names(&before.snapshot, kind) {
            assert!(between.snapshot.find(kind, name).is_some(), "{kind:?} {name}");
        }
    }
    assert_eq!(ids(&between), [problem::UNAVAILABLE]);
    assert!(between.findings[0].message.ends_with("stays unchanged"), "{:?}", between.findings);
    // The previous secret is renewed meanwhile.
    fixture.set_material(A, SecretMaterial::Certificate { chain: "renewed".to_owned(), key: "key".to_owned().into() });
    let renewed = fixture.served("server", Some(&between)).unwrap();
    assert_ne!(renewed.snapshot.find(ResourceType::Secret, A), before.snapshot.find(ResourceType::Secret, A));
    assert!(renewed.secrets.keys().any(|secret| secret.name() == A), "the previous secret is in use");
    fixture.set_material(B, certificate());
    let after = fixture.served("server", Some(&renewed)).unwrap();
    assert_eq!(after, fixture.served("server", None).unwrap(), "nothing of the previous version is left");
    assert_eq!(names(&after.snapshot, ResourceType::Secret), [B]);
}

#[test]
fn a_secret_that_becomes_unavailable_is_still_served() {
    let mut fixture = SnapshotFixture::new();
    fixture.set_material(A, certificate());
    fixture.server(8080, &acm(A));
    let before = fixture.served("server", None).unwrap();
    let missing = SecretProblem { id: problem::UNAVAILABLE, message: "missing".to_owned() };
    fixture.set_lookup(A, SecretLookup::Missing(missing));
    let after = fixture.served("server", Some(&before)).unwrap();
    assert_eq!(after.snapshot, before.snapshot);
    assert_eq!(ids(&after), [problem::UNAVAILABLE]);
}

#[test]
fn a_cluster_without_its_trust_is_left_out_alone() {
    let mut fixture = SnapshotFixture::new();
    for name in ["one", "two"] {
        let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
        let spec = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": format!("{name}.local")}}});
        fixture.put(&format!("mesh/shop/virtualNode/{name}"), spec);
        let provider = json!({"provider": {"virtualNode": {"virtualNodeName": name}}});
        fixture.put(&format!("mesh/shop/virtualService/{name}.local"), provider);
    }
    let policy = json!({"tls": {"validation": {"trust": {"acm": {"certificateAuthorityArns": [CA]}}}}});
    let backends = json!([
        {"virtualService": {"virtualServiceName": "one.local", "clientPolicy": policy}},
        {"virtualService": {"virtualServiceName": "two.local"}},
    ]);
    fixture.put("mesh/shop/virtualNode/client", json!({"backends": backends}));
    let proxy_snapshot = fixture.served("client", None).unwrap();
    let clusters = names(&proxy_snapshot.snapshot, ResourceType::Cluster).join(" ");
    assert!(!clusters.contains("_one_") && clusters.contains("_two_"), "{clusters}");
    assert!(names(proxy_snapshot.snapshot_for(true), ResourceType::Cluster).join(" ").contains("_one_"));
    fixture.set_material(&format!("trust:{CA}"), trust());
    let proxy_snapshot = fixture.served("client", Some(&proxy_snapshot)).unwrap();
    assert!(names(&proxy_snapshot.snapshot, ResourceType::Cluster).join(" ").contains("_one_"));
}

#[test]
fn trust_anchors_are_not_sent_where_a_certificate_is_needed() {
    let mut fixture = SnapshotFixture::new();
    fixture.server(8080, &json!({"sds": {"secretName": "bound"}}));
    fixture.set_material("bound", trust());
    let proxy_snapshot = fixture.served("server", None).unwrap();
    assert_eq!(ids(&proxy_snapshot), [problem::WRONG_ROLE]);
    assert_eq!(names(&proxy_snapshot.snapshot, ResourceType::Secret), [""; 0]);
    fixture.set_material("bound", certificate());
    let good = fixture.served("server", Some(&proxy_snapshot)).unwrap();
    assert_eq!(names(&good.snapshot, ResourceType::Secret), ["bound"]);
    fixture.set_material("bound", trust());
    assert_eq!(fixture.served("server", Some(&good)).unwrap().snapshot, good.snapshot);
    // A name that is not bound is served by the local socket.
    fixture.server(8080, &json!({"sds": {"secretName": "theirs"}}));
    let proxy_snapshot = fixture.served("server", None).unwrap();
    assert!(proxy_snapshot.secrets.is_empty() && proxy_snapshot.findings.is_empty());
}
