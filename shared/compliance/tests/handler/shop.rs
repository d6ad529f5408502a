//! Test fixture: a shop with resources of all seven kinds, its policy, and a function on in-memory ports.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance::{Compliance, Ports, name};
use jiff::{SignedDuration, Timestamp};
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::Spec;
use policy::Policy;
use ports::{BudgetWindow, Clock, Deadline, Evaluation, Notice, StateKey, Urgency};
use ports_memory::{Effect, Failure, Fault, Faults, MemoryPolicy, MemoryPorts};
use rules::compliance::Topic;
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
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

/// Only the owner is a required tag; the other required tags of the built-in policy are removed.
pub(crate) const POLICY: &str = "version: 1\nmodes: {default: enforce}\ntags: {required: [{key: owner}]}\n";

/// Requests have distinct times, so that all invocations differ.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// The environment of a function, shared by all clones.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) topic: Topic,
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
    lines: Lines,
}

/// The answer to Lambda: the report, or the reason for a retry.
pub(crate) type Answer = Result<Value, String>;

impl Shop {
    /// The shop at 10:04, with all resources owned by `platform` and closed egress.
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

    pub(crate) fn new(topic: Topic) -> Self {
        Self::with(topic, POLICY)
    }

    /// Adds or replaces a resource with an old creation time.
    pub(crate) fn put(&self, path: &str, spec: &Value) {
        self.ports.mesh.put_spec(&resource(path), spec).unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"));
    }

    /// An edit by another writer.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let path = resource(path);
        let mut spec = self.spec(&path.to_string());
        change(&mut spec);
        self.ports.mesh.edit_resource(&path, Spec::read(path.kind(), &spec).unwrap());
    }

    /// Sets the owner as the only tag of a resource.
    pub(crate) fn owns(&self, path: &str, owner: &str) {
        self.tags_are(path, &[("owner", owner)]);
    }

    pub(crate) fn tags_are(&self, path: &str, tags: &[(&str, &str)]) {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.ports.mesh.set_tags(&arn(path), tags);
    }

    /// Removes the tags of these resources.
    pub(crate) fn untag(&self, paths: &[&str]) {
        for path in paths {
            self.tags_are(path, &[]);
        }
    }

    pub(crate) fn open_filter(&self) {
        self.edit(MESH, |spec| spec["egressFilter"]["type"] = json!("ALLOW_ALL"));
    }

    /// Adds a backend without a virtual service.
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

    /// Starts a new process of the function.
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
        Function { shop: self.clone(), handler: compliance::function(self.topic, ports, keeper) }
    }

    /// Makes every call of this name fail from now on.
    pub(crate) fn breaks(&self, call: &'static str, failure: Failure) {
        self.ports.faults.whenever(move |given| given.name == call, Fault::Fails(failure, Effect::NotDone));
    }

    pub(crate) fn calls_of(&self, name: &str) -> usize {
        self.ports.faults.calls().iter().filter(|call| call.name == name).count()
    }

    pub(crate) fn pages(&self) -> Vec<Notice> {
        self.ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page).collect()
    }

    /// The last evaluation of each resource at AWS Config, by path.
    pub(crate) fn evaluated(&self) -> BTreeMap<String, (String, String)> {
        let by_path = |evaluation: Evaluation| {
            let id = evaluation.resource.resource_id.replace(&arn(""), "");
            let compliance = serde_json::to_value(evaluation.compliance).unwrap().as_str().unwrap().to_owned();
            (id, (compliance, evaluation.annotation.as_str().to_owned()))
        };
        self.ports.config.latest().into_values().map(by_path).collect()
    }

    /// The key of the mesh's record.
    pub(crate) fn key(&self) -> StateKey {
        StateKey::mesh(name(self.topic), &MeshName::parse("shop").unwrap())
    }

    /// The number of changes in all budget windows of the day.
    pub(crate) fn spent(&self) -> u32 {
        let day: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let window = |hour| BudgetWindow {
            class: name(self.topic).to_owned(),
            start: day + SignedDuration::from_hours(hour),
            end: day + SignedDuration::from_hours(hour + 1),
        };
        (0..24).map(|hour| self.ports.state.spent(&window(hour))).sum()
    }

    /// The state of the mesh and the state table after a run.
    pub(crate) fn state(&self) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        for path in ALL {
            let Some(found) = self.ports.mesh.resource(&resource(path)) else { continue };
            state.insert(format!("{path} version"), json!(found.metadata().version.get()));
            state.insert(format!("{path} spec"), found.into_spec().to_json());
            state.insert(format!("{path} tags"), json!(self.ports.mesh.tags_of(&arn(path))));
        }
        let stored = self.ports.state.stored(&self.key());
        state.insert("leased".to_owned(), json!(stored.as_ref().is_some_and(|stored| stored.leased_at(self.now()))));
        state.insert("record".to_owned(), stored.map_or(json!({ "told": {} }), |stored| stored.document));
        state.insert("spent".to_owned(), json!(self.spent()));
        state
    }

    /// How many pages were withheld, by the logs of all invocations.
    pub(crate) fn pages_withheld(&self) -> u64 {
        self.metric_sum("PagesWithheld")
    }

    /// The sum of a metric over the logs of all invocations.
    pub(crate) fn metric_sum(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line[name].as_u64()).sum()
    }

    /// The newest value of this metric.
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
    handler: Runner<Compliance>,
}

impl Function {
    /// One invocation.
    pub(crate) async fn answer(&self, event: &Value) -> Answer {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(Duration::from_secs(55) + Duration::from_micros(request));
        self.answer_by(event, deadline).await
    }

    /// One invocation with a deadline.
    pub(crate) async fn answer_by(&self, event: &Value, deadline: Deadline) -> Answer {
        let invocation = Invocation { function: name(self.shop.topic), request_id: "r", deadline };
        let emitter = Emitter::to(self.shop.lines.clone());
        invocation.answer(&self.handler, &emitter, event).await.map_err(|error| error.to_string())
    }

    /// An invocation with a sample event.
    pub(crate) async fn sample(&self, event: &str) -> Answer {
        self.answer(&self.shop.event(event)).await
    }

    /// A scheduled run.
    pub(crate) async fn scheduled_run(&self) -> Answer {
        self.sample("tick-rule").await
    }

    /// A scheduled run after this many minutes.
    pub(crate) async fn later(&self, minutes: i64) -> Value {
        self.shop.wait(minutes);
        self.scheduled_run().await.unwrap()
    }
}

/// The report's line about a resource; null if there is none.
pub(crate) fn decision(answer: &Value, path: &str) -> Value {
    let decisions = answer["decisions"].as_array().unwrap();
    let about = |decision: &&Value| decision["resource"] == path && decision["reason"] != "Judged";
    decisions.iter().find(about).cloned().unwrap_or_default()
}

/// The report's line about an answer to AWS Config.
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
