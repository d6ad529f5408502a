//! What is sent while secrets are not to be had.

use std::sync::Mutex;

use jiff::Timestamp;
use mesh::name::{MeshName, VirtualNodeName};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use xds::{Proxy, ProxyId, SecretMaterial, Snapshot};

use super::super::cache::Sources;
use super::super::follow::News;
use super::super::picture::Served;
use super::super::world::World;
use super::*;
use crate::secrets::{Found, KnownSecret, SecretProblem, Secrets, ServedCertificate, problem};
use crate::state::{Resource as Stored, Stamp, ValidSpec};
use std::sync::Arc;

const A: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/a";
const B: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/b";
const CA: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/a";
const INGRESS: &str = "lds_ingress_0.0.0.0_15000";

/// Has what the test says, by name.
#[derive(Debug)]
struct Shelf {
    known: Mutex<BTreeMap<String, Found>>,
    never: watch::Sender<u64>,
}

impl Secrets for Shelf {
    fn find(&self, secret: &SecretRef) -> Found {
        let missing = SecretProblem { id: problem::UNAVAILABLE, message: "not there".to_owned() };
        self.known.lock().unwrap().get(&secret.name()).cloned().unwrap_or(Found::Missing(missing))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.never.subscribe()
    }
}

struct Scene {
    shelf: Arc<Shelf>,
    world: World,
}

impl Scene {
    fn new() -> Self {
        let shelf = Arc::new(Shelf { known: Mutex::default(), never: watch::Sender::new(0) });
        let bound = BTreeSet::from(["bound".to_owned()]);
        let sources = Sources { secrets: Arc::<Shelf>::clone(&shelf), ..Sources::default() };
        let mut scene = Self { world: World::new(&sources, bound, None), shelf };
        scene.world.learn(News::Everything(Vec::new()));
        scene
    }

    fn put(&mut self, path: &str, spec: Value) {
        let path = ResourcePath::parse(path).unwrap();
        let stamp = Stamp { now: Timestamp::UNIX_EPOCH, uid: Uuid::nil() };
        let spec = ValidSpec::parse(&path, spec).unwrap();
        let stored = Stored::created(path.clone(), Arc::new(spec), mesh::resource::Tags::default(), &stamp);
        self.world.learn(News::Changed(BTreeMap::from([(path, Some(Arc::new(stored)))])));
    }

    /// A node that serves with this certificate on this port.
    fn server(&mut self, port: u16, certificate: &Value) {
        let tls = json!({"mode": "STRICT", "certificate": certificate});
        let listener = json!({"portMapping": {"port": port, "protocol": "http"}, "tls": tls});
        let spec = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "server.local"}}});
        self.put("mesh/shop/virtualNode/server", spec);
    }

    fn found(&self, name: &str, found: Found) {
        self.shelf.known.lock().unwrap().insert(name.to_owned(), found);
    }

    fn has(&self, name: &str, material: SecretMaterial) {
        let certificates = vec![ServedCertificate { fingerprint: name.to_owned(), not_after: Timestamp::MAX }];
        self.found(name, Found::Known(KnownSecret { material, certificates }, None));
    }

    fn served(&self, node: &str, previous: Option<&Picture>) -> Option<Arc<Picture>> {
        let proxy = Proxy::Node(VirtualNodeName::parse(node).unwrap());
        let id = ProxyId { mesh: MeshName::parse("shop").unwrap(), owner: None, proxy };
        match self.world.served(&id, previous).unwrap() {
            Served::Ready(picture) => Some(picture),
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

fn ids(picture: &Picture) -> Vec<&str> {
    picture.findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn a_proxy_waits_for_secrets_that_are_being_asked_for() {
    let mut scene = Scene::new();
    scene.server(8080, &acm(A));
    scene.found(A, Found::Pending);
    assert!(scene.served("server", None).is_none());
    scene.has(A, certificate());
    let picture = scene.served("server", None).unwrap();
    assert_eq!(names(&picture.snapshot, ResourceType::Secret), [A]);
    // One that has something already does not wait for what is new.
    scene.server(8080, &acm(B));
    scene.found(B, Found::Pending);
    let next = scene.served("server", Some(&picture)).unwrap();
    assert_eq!(next.snapshot, picture.snapshot);
    assert_eq!(ids(&next), [problem::PENDING]);
}

#[test]
fn a_listener_without_its_secret_is_left_out_but_not_for_who_may_have_it() {
    let mut scene = Scene::new();
    scene.server(8080, &acm(A));
    let picture = scene.served("server", None).unwrap();
    let others = |names: Vec<&str>| names.iter().all(|name| *name != INGRESS);
    assert!(others(names(&picture.snapshot, ResourceType::Listener)));
    assert!(names(picture.snapshot_for(true), ResourceType::Listener).contains(&INGRESS));
    assert_eq!(picture.snapshot_for(false), &picture.snapshot);
    assert_eq!(ids(&picture), [problem::UNAVAILABLE]);
    assert!(
        picture.findings[0].message.ends_with("listener lds_ingress_0.0.0.0_15000 is left out"),
        "{:?}",
        picture.findings
    );
    scene.has(A, certificate());
    let whole = scene.served("server", Some(&picture)).unwrap();
    assert!(names(&whole.snapshot, ResourceType::Listener).contains(&INGRESS));
    assert_eq!((whole.whole.as_ref(), whole.findings.as_slice()), (None, [].as_slice()));
}

#[test]
fn a_listener_stays_as_it_was_until_its_new_secret_is_there() {
    let mut scene = Scene::new();
    scene.has(A, certificate());
    scene.server(8080, &acm(A));
    let before = scene.served("server", None).unwrap();
    // Also what its former form needs stays: the route configuration of the former port, and the former secret.
    scene.server(9090, &acm(B));
    let between = scene.served("server", Some(&before)).unwrap();
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
    assert!(between.findings[0].message.ends_with("stays as it was"), "{:?}", between.findings);
    // The former one is renewed meanwhile.
    scene.has(A, SecretMaterial::Certificate { chain: "renewed".to_owned(), key: "key".to_owned().into() });
    let renewed = scene.served("server", Some(&between)).unwrap();
    assert_ne!(renewed.snapshot.find(ResourceType::Secret, A), before.snapshot.find(ResourceType::Secret, A));
    assert!(renewed.secrets.keys().any(|secret| secret.name() == A), "it is in use");
    scene.has(B, certificate());
    let after = scene.served("server", Some(&renewed)).unwrap();
    assert_eq!(after, scene.served("server", None).unwrap(), "nothing of the former is left");
    assert_eq!(names(&after.snapshot, ResourceType::Secret), [B]);
}

#[test]
fn a_secret_that_is_lost_stays() {
    let mut scene = Scene::new();
    scene.has(A, certificate());
    scene.server(8080, &acm(A));
    let before = scene.served("server", None).unwrap();
    scene.found(A, Found::Missing(SecretProblem { id: problem::UNAVAILABLE, message: "gone".to_owned() }));
    let after = scene.served("server", Some(&before)).unwrap();
    assert_eq!(after.snapshot, before.snapshot);
    assert_eq!(ids(&after), [problem::UNAVAILABLE]);
}

#[test]
fn a_cluster_without_its_trust_is_left_out_and_the_others_are_not() {
    let mut scene = Scene::new();
    for name in ["one", "two"] {
        let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
        let spec = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": format!("{name}.local")}}});
        scene.put(&format!("mesh/shop/virtualNode/{name}"), spec);
        let provider = json!({"provider": {"virtualNode": {"virtualNodeName": name}}});
        scene.put(&format!("mesh/shop/virtualService/{name}.local"), provider);
    }
    let policy = json!({"tls": {"validation": {"trust": {"acm": {"certificateAuthorityArns": [CA]}}}}});
    let backends = json!([
        {"virtualService": {"virtualServiceName": "one.local", "clientPolicy": policy}},
        {"virtualService": {"virtualServiceName": "two.local"}},
    ]);
    scene.put("mesh/shop/virtualNode/client", json!({"backends": backends}));
    let picture = scene.served("client", None).unwrap();
    let clusters = names(&picture.snapshot, ResourceType::Cluster).join(" ");
    assert!(!clusters.contains("_one_") && clusters.contains("_two_"), "{clusters}");
    assert!(names(picture.snapshot_for(true), ResourceType::Cluster).join(" ").contains("_one_"));
    scene.has(&format!("trust:{CA}"), trust());
    let picture = scene.served("client", Some(&picture)).unwrap();
    assert!(names(&picture.snapshot, ResourceType::Cluster).join(" ").contains("_one_"));
}

#[test]
fn trust_where_a_certificate_is_needed_is_not_sent() {
    let mut scene = Scene::new();
    scene.server(8080, &json!({"sds": {"secretName": "bound"}}));
    scene.has("bound", trust());
    let picture = scene.served("server", None).unwrap();
    assert_eq!(ids(&picture), [problem::WRONG_ROLE]);
    assert_eq!(names(&picture.snapshot, ResourceType::Secret), [""; 0]);
    scene.has("bound", certificate());
    let good = scene.served("server", Some(&picture)).unwrap();
    assert_eq!(names(&good.snapshot, ResourceType::Secret), ["bound"]);
    scene.has("bound", trust());
    assert_eq!(scene.served("server", Some(&good)).unwrap().snapshot, good.snapshot);
    // A name that nobody bound is the socket's.
    scene.server(8080, &json!({"sds": {"secretName": "theirs"}}));
    let picture = scene.served("server", None).unwrap();
    assert!(picture.secrets.is_empty() && picture.findings.is_empty());
}
