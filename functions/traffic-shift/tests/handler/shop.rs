//! A shop with a caller, a router with two routes, and two versions behind it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use decisions::failover::RouteRecord;
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, ResourcePath, RouteId};
use policy::{Policy, RolloutId};
use ports::certificates::{AcknowledgedSecrets, ProxyStream};
use ports::{Clock as _, Deadline, StateKey, Urgency};
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use records::{RolloutIndex, read_record};
use rollouts::RolloutRecord;
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
use serde_json::{Value, json};
use traffic_shift::{Ports, TrafficShift};

pub(crate) const POLICY: &str = "version: 1\nmodes: {default: enforce}\n";

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Everything around the function. Clones share it.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
}

/// One process of the function.
pub(crate) struct Process {
    shop: Shop,
    runner: Runner<TrafficShift>,
}

pub(crate) fn route(name: &str) -> RouteId {
    RouteId::parse(&format!("shop/recs/{name}")).unwrap()
}

fn alarm_name() -> AlarmName {
    AlarmName::parse("recs-checkout").unwrap()
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(&format!("mesh/shop{text}")).unwrap()
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(POLICY)
    }

    pub(crate) fn with(policy: &str) -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
        let shop = Self { policy: MemoryPolicy::new(policy, Faults::default()), ports };
        shop.put("", &json!({}));
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        for node in ["recs-v1", "recs-v2"] {
            let dns = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            shop.put(&format!("/virtualNode/{node}"), &json!({ "listeners": [listener], "serviceDiscovery": dns }));
        }
        shop.put("/virtualRouter/recs", &json!({ "listeners": [listener] }));
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
        shop.put("/virtualService/recs.shop.local", &provider);
        let backend = json!({ "virtualService": { "virtualServiceName": "recs.shop.local" } });
        let dns = json!({ "dns": { "hostname": "web.shop.local" } });
        shop.put(
            "/virtualNode/web",
            &json!({ "listeners": [listener], "serviceDiscovery": dns, "backends": [backend] }),
        );
        for (name, header) in [("all", false), ("beta", true)] {
            let mut condition = json!({ "prefix": "/" });
            if header {
                condition["headers"] = json!([{ "name": "x-beta" }]);
            }
            let targets = json!([
                { "virtualNode": "recs-v1", "weight": 8, "port": 8080 },
                { "virtualNode": "recs-v2", "weight": 0, "port": 8080 },
            ]);
            let rule = json!({ "match": condition, "action": { "weightedTargets": targets } });
            shop.put(&format!("/virtualRouter/recs/route/{name}"), &json!({ "priority": 1, "httpRoute": rule }));
        }
        let term = MetricTerm::Stat {
            namespace: "Shop".to_owned(),
            metric: "CheckoutErrors".to_owned(),
            dimensions: [("Service".to_owned(), "checkout".to_owned())].into(),
            period: 60,
            stat: "Sum".to_owned(),
            unit: None,
        };
        let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
        shop.ports.alarms.put(Alarm::new(alarm_name(), "arn:recs-checkout", AlarmState::Ok, source));
        shop.connect(&["web", "web", "recs-v1", "recs-v1", "recs-v2", "recs-v2"]);
        shop
    }

    fn put(&self, of: &str, spec: &Value) {
        self.ports.mesh.put_spec(&path(of), spec).unwrap_or_else(|wrong| panic!("{of}: {wrong:?}"));
    }

    /// Adds a virtual node.
    pub(crate) fn add_node(&self, name: &str, spec: &Value) {
        self.put(&format!("/virtualNode/{name}"), spec);
    }

    /// Connects one proxy for each of these nodes.
    pub(crate) fn connect(&self, nodes: &[&str]) {
        let stream = |(number, node): (usize, &&str)| ProxyStream {
            proxy: path(&format!("/virtualNode/{node}")),
            peer: format!("10.0.0.{number}:1"),
            since: self.now(),
            up_to_date: true,
            rejected: None,
            secrets: AcknowledgedSecrets::Unknown,
        };
        self.ports.certificates.proxies.set(nodes.iter().enumerate().map(stream).collect());
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn set_alarm(&self, state: AlarmState) {
        self.ports.alarms.set_state(&alarm_name(), state, self.now());
    }

    pub(crate) fn weights(&self, name: &str) -> Vec<u8> {
        self.ports.mesh.route(&route(name)).unwrap().spec.split().unwrap().weights()
    }

    pub(crate) fn record(&self, id: &str) -> Option<RolloutRecord> {
        let key = StateKey::rollout(&MeshName::parse("shop").unwrap(), &RolloutId::parse(id).unwrap());
        Some(read_record(&key, &self.ports.state.stored(&key)?.document).unwrap())
    }

    pub(crate) fn route_record(&self, name: &str) -> Option<RouteRecord> {
        let key = StateKey::route(&route(name));
        Some(read_record(&key, &self.ports.state.stored(&key)?.document).unwrap())
    }

    pub(crate) fn index(&self) -> RolloutIndex {
        let key = StateKey::meshes("traffic-shift");
        self.ports.state.stored(&key).map(|stored| read_record(&key, &stored.document).unwrap()).unwrap_or_default()
    }

    /// The subjects of the pages, each once.
    pub(crate) fn pages(&self) -> Vec<String> {
        let sent = self.ports.notifier.sent().into_iter();
        let mut pages: Vec<String> =
            sent.filter(|notice| notice.urgency == Urgency::Page).map(|notice| notice.subject).collect();
        pages.dedup();
        pages
    }

    pub(crate) async fn start(&self) -> Process {
        let keeper = PolicyKeeper::start(Box::new(self.policy.clone()), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let function = traffic_shift::function(
            Ports {
                clock: Arc::new(ports.clock),
                meshes: Arc::new(ports.mesh.clone()),
                routes: Arc::new(ports.mesh),
                alarms: Arc::new(ports.alarms),
                metrics: Arc::new(ports.metrics),
                proxies: Arc::new(ports.certificates.proxies),
                functions: Arc::new(ports.functions),
                state: Arc::new(ports.state),
                notifier: Arc::new(ports.notifier),
                bus: Arc::new(ports.bus),
                reports: Arc::new(ports.reports),
            },
            keeper,
        );
        Process { shop: self.clone(), runner: function }
    }
}

impl Process {
    pub(crate) async fn answer(&self, event: &Value) -> Result<Value, String> {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(Duration::from_secs(55) + Duration::from_micros(request));
        let invocation = Invocation { function: traffic_shift::NAME, request_id: &format!("r-{request}"), deadline };
        let emitter = Emitter::to(std::io::sink());
        let answer = invocation.answer(&self.runner, &emitter, event).await;
        self.shop.check();
        answer.map_err(|error| error.to_string())
    }

    pub(crate) async fn tick(&self) -> Result<Value, String> {
        self.answer(&sample("tick-rule")).await
    }

    /// So many minutes, each with its run.
    pub(crate) async fn minutes(&self, count: usize) {
        for _ in 0..count {
            self.shop.ports.clock.advance(SignedDuration::from_mins(1));
            drop(self.tick().await);
        }
    }
}

impl Shop {
    /// The invariants of the weights.
    fn check(&self) {
        for name in ["all", "beta"] {
            let weights = self.weights(name);
            assert!(weights.len() == 2 && weights.iter().any(|weight| *weight > 0), "{name}: {weights:?}");
        }
    }
}

/// A sample event of the repository.
pub(crate) fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/traffic-shift/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The event of a requested rollout, with these members replaced.
pub(crate) fn requested(members: &Value) -> Value {
    let mut event = sample("rollout-requested");
    let detail = event["detail"].as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() { drop(detail.remove(name)) } else { drop(detail.insert(name.clone(), value.clone())) }
    }
    event
}

/// A rollout in two steps of two minutes each.
pub(crate) fn short() -> Value {
    requested(&json!({
        "id": "r1", "routes": ["recs/all", "recs/beta"], "first": null, "steps": [25], "interval": "2m", "bake": "2m",
        "gates": { "alarms": ["recs-checkout"] }, "hooks": null,
    }))
}
