//! Every proxy with a snapshot that a change alters is among the affected ones.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use mesh::name::{MeshName, ResourcePath, VirtualGatewayName, VirtualNodeName};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use xds::{Instance, Proxy, ProxyId};

use super::super::affected;
use super::super::follow::StoreUpdate;
use super::super::ports::PortAssigner;
use super::super::proxy_snapshot::Served;
use super::*;
use crate::instances::{InstanceProblem, Unlisted, problem};
use crate::state::{Resource, Stamp, ValidSpec};

const NODES: [&str; 3] = ["a", "b", "c"];
const SERVICES: [&str; 3] = ["a.local", "b.local", "c.local"];

/// Services of Cloud Map.
const MAPPED: [&str; 2] = ["x", "y"];

/// One resource, stored or deleted.
type MeshStep = (String, Option<Value>);

/// A change of a service's instances: their number (`None` if unknown), and whether the service has a problem.
type InstanceChange = (&'static str, Option<u8>, bool);

/// Changes that are applied together.
type Batch = (Vec<MeshStep>, Option<InstanceChange>);

/// A source with the instances that the test sets.
#[derive(Debug)]
struct TestInstances(Mutex<Arc<InstanceBook>>, watch::Sender<u64>);

impl Instances for TestInstances {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.0.lock().unwrap())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    fn unlisted(&self, _: &CloudMapService) -> Unlisted {
        Unlisted::None
    }
}

impl TestInstances {
    fn set(&self, (service, count, has_problem): InstanceChange) {
        let mut known = self.0.lock().unwrap();
        let (book, key) = (Arc::make_mut(&mut known), ("prod".to_owned(), service.to_owned()));
        let at = |last| Instance { ipv4: Some(Ipv4Addr::new(10, 0, 0, last)), ipv6: None, attributes: BTreeMap::new() };
        match count {
            Some(count) => book.known.insert(key.clone(), (0..count).map(at).collect()),
            None => book.known.remove(&key),
        };
        book.problems.remove(&key);
        if has_problem {
            book.problems.insert(key, InstanceProblem { id: problem::UNAVAILABLE, message: String::new() });
        }
    }
}

fn port() -> impl Strategy<Value = Value> {
    (prop_oneof![Just(8080), Just(9090)], prop_oneof![Just("http"), Just("tcp")])
        .prop_map(|(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}}))
}

fn discovery() -> impl Strategy<Value = Value> {
    let named = |name: &str| json!({"dns": {"hostname": format!("{name}.local")}});
    let mapped = |name: &str| json!({"awsCloudMap": {"namespaceName": "prod", "serviceName": name}});
    prop::sample::select(vec![named("here"), named("there"), mapped(MAPPED[0]), mapped(MAPPED[1])])
}

fn spec(kind: &'static str) -> BoxedStrategy<Value> {
    let node = || prop::sample::select(&NODES[..]);
    let service = || prop::sample::select(&SERVICES[..]);
    match kind {
        "virtualNode" => (port(), prop::sample::subsequence(&SERVICES[..], 0..=2), discovery())
            .prop_map(|(listener, backends, discovery)| {
                let backends: Vec<Value> =
                    backends.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
                json!({"listeners": [listener], "backends": backends, "serviceDiscovery": discovery})
            })
            .boxed(),
        "virtualService" => prop_oneof![
            Just(json!({})),
            node().prop_map(|node| json!({"provider": {"virtualNode": {"virtualNodeName": node}}})),
            Just(json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}})),
        ]
        .boxed(),
        "route" => (node(), node(), 1..100_u8)
            .prop_map(|(one, two, weight)| {
                let targets = json!([{"virtualNode": one, "weight": weight}, {"virtualNode": two, "weight": 1}]);
                json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
            })
            .boxed(),
        "gatewayRoute" => service()
            .prop_map(|service| {
                let target = json!({"virtualService": {"virtualServiceName": service}});
                json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}})
            })
            .boxed(),
        "virtualGateway" => prop_oneof![Just(8080), Just(9090)]
            .prop_map(|port| json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]}))
            .boxed(),
        "mesh" => prop_oneof![Just(json!({})), Just(json!({"egressFilter": {"type": "ALLOW_ALL"}}))].boxed(),
        _ => port().prop_map(|listener| json!({"listeners": [listener]})).boxed(),
    }
}

fn step() -> impl Strategy<Value = MeshStep> {
    let resources = [
        ("mesh/shop", "mesh"),
        ("mesh/shop/virtualNode/a", "virtualNode"),
        ("mesh/shop/virtualNode/b", "virtualNode"),
        ("mesh/shop/virtualNode/c", "virtualNode"),
        ("mesh/shop/virtualService/a.local", "virtualService"),
        ("mesh/shop/virtualService/b.local", "virtualService"),
        ("mesh/shop/virtualService/c.local", "virtualService"),
        ("mesh/shop/virtualRouter/r", "virtualRouter"),
        ("mesh/shop/virtualRouter/r/route/all", "route"),
        ("mesh/shop/virtualRouter/r/route/more", "route"),
        ("mesh/shop/virtualGateway/g", "virtualGateway"),
        ("mesh/shop/virtualGateway/g/gatewayRoute/all", "gatewayRoute"),
    ];
    prop::sample::select(resources.to_vec()).prop_flat_map(|(path, kind)| {
        let deletions = u32::from(kind != "mesh");
        prop_oneof![4 => spec(kind).prop_map(Some), deletions => Just(None)]
            .prop_map(move |spec| (path.to_owned(), spec))
    })
}

fn changes(steps: &[MeshStep]) -> BTreeMap<ResourcePath, Option<Arc<Resource>>> {
    let stamp = Stamp { now: jiff::Timestamp::UNIX_EPOCH, uid: Uuid::nil(), caller: None };
    let change = |(path, spec): &MeshStep| {
        let path = ResourcePath::parse(path).unwrap();
        let resource = spec.clone().map(|spec| {
            let spec = ValidSpec::parse(&path, spec).unwrap();
            Arc::new(Resource::created(path.clone(), Arc::new(spec), mesh::resource::Tags::default(), &stamp))
        });
        (path, resource)
    };
    steps.iter().map(change).collect()
}

fn proxies() -> Vec<ProxyId> {
    let node = |name: &&str| Proxy::Node(VirtualNodeName::parse(name).unwrap());
    let gateway = Proxy::Gateway(VirtualGatewayName::parse("g").unwrap());
    let id = |proxy| ProxyId { mesh: MeshName::parse("shop").unwrap(), owner: None, proxy };
    NODES.iter().map(node).chain([gateway]).map(id).collect()
}

fn text(served: &Served) -> String {
    format!("{served:?}")
}

/// Applies batches to a model with snapshots rebuilt only for affected proxies, and asserts that no other snapshot changes.
fn assert_affected_is_complete(ports: Option<PortAssigner>, batches: &[Batch]) {
    let instances = Arc::new(TestInstances(Mutex::default(), watch::Sender::new(0)));
    let sources = SnapshotSources { instances: Arc::<TestInstances>::clone(&instances), ..SnapshotSources::default() };
    let mut models = MeshModels::new(&sources, BTreeSet::new(), ports);
    let ids = proxies();
    models.apply_update(StoreUpdate::Everything(Vec::new()));
    let snapshot = |models: &MeshModels, id: &ProxyId| text(&models.served(id, None).unwrap());
    let mut has: BTreeMap<_, _> = ids.iter().map(|id| (id.clone(), snapshot(&models, id))).collect();
    for batch in batches {
        let mut affected = models.apply_update(StoreUpdate::Changed(changes(&batch.0)));
        if let Some(change) = batch.1 {
            instances.set(change);
            affected::join(&mut affected, models.update_instances());
        }
        for id in &ids {
            let expected = snapshot(&models, id);
            if affected.get(&id.mesh).is_some_and(|affected| affected.contains(&id.proxy)) {
                has.insert(id.clone(), expected);
            } else {
                assert_eq!(has[id], expected, "{id} is not affected by {batch:?}");
            }
        }
    }
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let change = (prop::sample::select(&MAPPED[..]), prop::option::of(0_u8..3), prop::bool::ANY);
    prop::collection::vec((prop::collection::vec(step(), 1..4), prop::option::of(change)), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn affected_proxies_are_complete_with_interception(batches in batches()) {
        assert_affected_is_complete(None, &batches);
    }

    #[test]
    fn affected_proxies_are_complete_with_explicit_listeners(batches in batches()) {
        // So few ports that they run out and become free again.
        let ports = PortAssigner::new(45_000..=45_004, BTreeMap::new());
        assert_affected_is_complete(Some(ports), &batches);
    }

    #[test]
    fn a_mesh_changed_step_by_step_equals_the_mesh_read_at_once(batches in batches()) {
        let mut models = MeshModels::new(&SnapshotSources::default(), BTreeSet::new(), None);
        let mut all = BTreeMap::new();
        for batch in &batches {
            let changes = changes(&batch.0);
            all.extend(changes.clone());
            models.apply_update(StoreUpdate::Changed(changes));
        }
        let mut rebuilt = MeshModels::new(&SnapshotSources::default(), BTreeSet::new(), None);
        rebuilt.apply_update(StoreUpdate::Everything(all.into_values().flatten().collect()));
        for id in proxies() {
            prop_assert_eq!(text(&models.served(&id, None).unwrap()), text(&rebuilt.served(&id, None).unwrap()));
        }
    }
}
