//! A shop with resources of all seven kinds, its policy, and a function on top of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance::{Compliance, Ports, name};
use jiff::{SignedDuration, Timestamp};
use lambda_kit::{Emitter, Invocation, PolicyKeeper};
use mesh::compliance::Topic;
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::Policy;
use mesh::spec::Spec;
use ports::memory::{Effect, Failure, Fault, Faults, MemoryPolicy, MemoryPorts};
use ports::{BudgetWindow, Clock, Deadline, Evaluation, Notice, StateKey, Urgency};
use serde_json::{Value, json};

/// One resource of each kind, and some more.
pub(crate) const MESH: &str = "mesh/shop";
pub(crate) const V1: &str = "mesh/shop/virtualNode/recommendations-v1";
pub(crate) const V2: &str = "mesh/shop/virtualNode/recommendations-v2";
pub(crate) const PAYMENTS: &str = "mesh/shop/virtualNode/payments-v1";
pub(crate) const ROUTER: &str = "mesh/shop/virtualRouter/recommendations";
pub(crate) const ROUTE: &str = "mesh/shop/virtualRouter/recommendations/route/all";
pub(crate) const SERVICE: &str = "mesh/shop/virtualService/recommendations.shop.local";
pub(crate) const PAYMENTS_SERVICE: &str = "mesh/shop/virtualService/payments.shop.local";
pub(crate) const GATEWAY: &str = "mesh/shop/virtualGateway/edge";
pub(crate) const GATEWAY_ROUTE: &str = "mesh/shop/virtualGateway/edge/gatewayRoute/root";

pub(crate) const ALL: [&str; 10] =
    [MESH, V1, V2, PAYMENTS, ROUTER, ROUTE, SERVICE, PAYMENTS_SERVICE, GATEWAY, GATEWAY_ROUTE];

/// Every resource has an owner; those of the built-in policy's other required tags are left out.
pub(crate) const POLICY: &str = "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}]}\n";

/// Requests get different times, so that no two invocations are alike.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Everything around a function. Clones share it.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) topic: Topic,
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
    lines: Lines,
}

/// What Lambda was answered: the report, or why the event should come again.
pub(crate) type Answer = Result<Value, String>;

impl Shop {
    /// The shop at 10:04, everything owned by `platform` and its egress closed.
    pub(crate) fn with(topic: Topic, policy: &str) -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:04:00Z".parse().unwrap());
        let policy = MemoryPolicy::new(policy, Faults::default());
        let shop = Self { topic, policy, ports, lines: Lines::default() };
        let listeners = json!([{ "portMapping": { "port": 8080, "protocol": "http" } }]);
        let node = |name: &str, backends: &[&str]| {
            let backends: Vec<_> =
                backends.iter().map(|service| json!({ "virtualService": { "virtualServiceName": service } })).collect();
            json!({ "listeners": listeners, "backends": backends,
                "serviceDiscovery": { "dns": { "hostname": format!("{name}.shop.local") } },
                "logging": { "accessLog": { "file": { "path": "/dev/stdout" } } } })
        };
        let targets = json!([{ "virtualNode": "recommendations-v1", "weight": 8 }, { "virtualNode": "recommendations-v2", "weight": 2 }]);
        let target = json!({ "virtualService": { "virtualServiceName": "recommendations.shop.local" } });
        for (path, spec) in [
            (MESH, json!({ "egressFilter": { "type": "DROP_ALL" } })),
            (V1, node("recommendations-v1", &["payments.shop.local"])),
            (V2, node("recommendations-v2", &["payments.shop.local"])),
            (PAYMENTS, node("payments-v1", &[])),
            (ROUTER, json!({ "listeners": listeners })),
            (ROUTE, json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } })),
            (SERVICE, json!({ "provider": { "virtualRouter": { "virtualRouterName": "recommendations" } } })),
            (PAYMENTS_SERVICE, json!({ "provider": { "virtualNode": { "virtualNodeName": "payments-v1" } } })),
            (GATEWAY, json!({ "listeners": listeners })),
            (GATEWAY_ROUTE, json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "target": target } } })),
        ] {
            shop.put(path, &spec);
            shop.owns(path, "platform");
        }
        shop
    }

    pub(crate) fn of(topic: Topic) -> Self {
        Self::with(topic, POLICY)
    }

    /// Adds or replaces a resource, created long ago.
    pub(crate) fn put(&self, path: &str, spec: &Value) {
        self.ports.mesh.put_spec(&resource(path), spec).unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"));
    }

    /// Somebody else's edit.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let path = resource(path);
        let mut spec = self.spec(&path.to_string());
        change(&mut spec);
        self.ports.mesh.edit_resource(&path, Spec::read(path.kind(), &spec).unwrap());
    }

    /// The only tag of a resource is its owner.
    pub(crate) fn owns(&self, path: &str, owner: &str) {
        self.tags_are(path, &[("owner", owner)]);
    }

    pub(crate) fn tags_are(&self, path: &str, tags: &[(&str, &str)]) {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.ports.mesh.set_tags(&arn(path), tags);
    }

    /// Takes away the tags of these.
    pub(crate) fn untag(&self, paths: &[&str]) {
        for path in paths {
            self.tags_are(path, &[]);
        }
    }

    pub(crate) fn open_filter(&self) {
        self.edit(MESH, |spec| spec["egressFilter"]["type"] = json!("ALLOW_ALL"));
    }

    /// A node calls something that isn't in the mesh.
    pub(crate) fn calls(&self, node: &str, service: &str) {
        self.edit(node, |spec| {
            let backends = spec["backends"].as_array_mut().unwrap();
            backends.push(json!({ "virtualService": { "virtualServiceName": service } }));
        });
    }

    pub(crate) fn owner(&self, path: &str) -> Option<String> {
        self.ports.mesh.tags_of(&arn(path)).remove("owner")
    }

    pub(crate) fn spec(&self, path: &str) -> Value {
        self.ports.mesh.resource(&resource(path)).unwrap().into_spec().to_json()
    }

    pub(crate) fn filter(&self) -> Value {
        self.spec(MESH)["egressFilter"]["type"].clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn wait(&self, minutes: i64) {
        self.ports.clock.advance(SignedDuration::from_mins(minutes));
    }

    /// A function that knows nothing yet: another process.
    pub(crate) async fn start(&self) -> Function {
        let keeper = PolicyKeeper::start(Box::new(self.policy.clone()), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(ports.mesh.clone()),
            tags: Arc::new(ports.mesh.clone()),
            specs: Arc::new(ports.mesh),
            config: Arc::new(ports.config),
            state: Arc::new(ports.state),
            notifier: Arc::new(ports.notifier),
            bus: Arc::new(ports.bus),
            reports: Arc::new(ports.reports),
        };
        Function { shop: self.clone(), handler: Compliance::new(self.topic, ports, keeper) }
    }

    /// From now on every call of this name fails so.
    pub(crate) fn breaks(&self, call: &'static str, failure: Failure) {
        self.ports.faults.whenever(move |given| given.name == call, Fault::Fails(failure, Effect::NotDone));
    }

    pub(crate) fn calls_of(&self, name: &str) -> usize {
        self.ports.faults.calls().iter().filter(|call| call.name == name).count()
    }

    pub(crate) fn pages(&self) -> Vec<Notice> {
        self.ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page).collect()
    }

    /// What AWS Config was told of each resource last, by path.
    pub(crate) fn told(&self) -> BTreeMap<String, (String, String)> {
        let told = |evaluation: Evaluation| {
            let id = evaluation.resource.resource_id.replace(&arn(""), "");
            let compliance = serde_json::to_value(evaluation.compliance).unwrap().as_str().unwrap().to_owned();
            (id, (compliance, evaluation.annotation.as_str().to_owned()))
        };
        self.ports.config.standing().into_values().map(told).collect()
    }

    /// What is remembered of the mesh.
    pub(crate) fn key(&self) -> StateKey {
        StateKey::mesh(name(self.topic), &MeshName::parse("shop").unwrap())
    }

    /// Changes counted in any window of the day.
    pub(crate) fn spent(&self) -> u32 {
        let day: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let window = |hour| BudgetWindow {
            class: name(self.topic).to_owned(),
            start: day + SignedDuration::from_hours(hour),
            end: day + SignedDuration::from_hours(hour + 1),
        };
        (0..24).map(|hour| self.ports.state.spent(&window(hour))).sum()
    }

    /// All that a run may leave behind in the mesh and the state table.
    pub(crate) fn world(&self) -> BTreeMap<String, Value> {
        let mut world = BTreeMap::new();
        for path in ALL {
            let Some(found) = self.ports.mesh.resource(&resource(path)) else { continue };
            world.insert(format!("{path} version"), json!(found.metadata().version.get()));
            world.insert(format!("{path} spec"), found.into_spec().to_json());
            world.insert(format!("{path} tags"), json!(self.ports.mesh.tags_of(&arn(path))));
        }
        let stored = self.ports.state.stored(&self.key());
        world.insert("leased".to_owned(), json!(stored.as_ref().is_some_and(|stored| stored.leased_at(self.now()))));
        world.insert("record".to_owned(), stored.map_or(json!({ "told": {} }), |stored| stored.document));
        world.insert("spent".to_owned(), json!(self.spent()));
        world
    }

    /// The newest line of this metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.lines.0.lock().unwrap().clone();
        let lines = String::from_utf8(text).unwrap();
        let newest = lines.lines().rev().find(|line| line.contains("\"Invocations\":1")).unwrap().to_owned();
        serde_json::from_str::<Value>(&newest).unwrap()[name].as_u64().unwrap()
    }

    /// A sample event of this function.
    pub(crate) fn event(&self, event: &str) -> Value {
        let function = name(self.topic);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/{function}/{event}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap()
    }
}

/// One process of a function.
pub(crate) struct Function {
    shop: Shop,
    handler: Compliance,
}

impl Function {
    /// One invocation.
    pub(crate) async fn answer(&self, event: &Value) -> Answer {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(Duration::from_secs(55) + Duration::from_micros(request));
        self.answer_by(event, deadline).await
    }

    /// One invocation that has to end by then.
    pub(crate) async fn answer_by(&self, event: &Value, deadline: Deadline) -> Answer {
        let invocation = Invocation { function: name(self.shop.topic), request_id: "r", deadline };
        let emitter = Emitter::to(self.shop.lines.clone());
        invocation.answer(&self.handler, &emitter, event).await.map_err(|error| error.to_string())
    }

    /// A sample event, by its name.
    pub(crate) async fn sample(&self, event: &str) -> Answer {
        self.answer(&self.shop.event(event)).await
    }

    /// The schedule's wake.
    pub(crate) async fn wake(&self) -> Answer {
        self.sample("tick-rule").await
    }

    /// The schedule's wake after this many minutes.
    pub(crate) async fn later(&self, minutes: i64) -> Value {
        self.shop.wait(minutes);
        self.wake().await.unwrap()
    }
}

/// What an answer says of a resource; null where it says nothing.
pub(crate) fn decision(answer: &Value, path: &str) -> Value {
    let decisions = answer["decisions"].as_array().unwrap();
    let about = |decision: &&Value| decision["resource"] == path && decision["reason"] != "Judged";
    decisions.iter().find(about).cloned().unwrap_or_default()
}

/// What an answer says of an answer to AWS Config, by what it is about.
pub(crate) fn line(answer: &Value, resource: &str) -> Value {
    let decisions = answer["decisions"].as_array().unwrap();
    decisions.iter().find(|decision| decision["resource"] == resource).cloned().unwrap_or_default()
}

pub(crate) fn resource(path: &str) -> ResourcePath {
    path.parse().unwrap()
}

pub(crate) fn arn(path: &str) -> String {
    format!("arn:aws:appmesh:eu-west-1:123456789012:{path}")
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
