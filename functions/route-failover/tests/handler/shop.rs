//! A shop with routes of all four kinds, its alarms, its policy, and the function.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::alarm::AlarmState;
use mesh::name::{MeshName, ResourcePath, RouteId, RouteName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use policy::Policy;
use ports::{Clock, Deadline, Notice, StateKey, Urgency};
use ports_memory::{Effect, Failure, Fault, Faults, MemoryPolicy, MemoryPorts, MemoryState};
use route_failover::{Ports, Recipient, RouteFailover};
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
use serde_json::{Value, json};

use crate::alarms::{alarm, errors_of, on_node};

/// The four kinds of routes: the router, which is also the prefix of its targets' names; the listener's protocol; the
/// route spec without its targets.
pub(crate) const ROUTERS: [&str; 4] = ["recommendations", "cart", "payments", "ledger"];

/// The fewest routers with one route that must stay unchanged: tests that disturb every call take time for each call.
pub(crate) const TWO_ROUTERS: [&str; 2] = ["recommendations", "cart"];

/// Uneven weights with a sum other than 100, so that a restore of percentages instead of the original weights is detected.
pub(crate) const BEFORE: [u8; 2] = [8, 2];

/// The time limit of an invocation; a minute in the template.
pub(crate) const INVOCATION: Duration = Duration::from_secs(55);

pub(crate) const POLICY: &str = "version: 1\nmodes: {default: enforce}\n";

/// Requests have different times, so that no two invocations are alike.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// The environment of the function, shared by all clones.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
    lines: Lines,
}

/// The answer to Lambda: the report, or the reason for a retry.
pub(crate) type Answer = Result<Value, String>;

impl Shop {
    /// A shop at 10:04 without failures, with this policy.
    pub(crate) fn with(policy: &str) -> Self {
        Self::with_routers(&ROUTERS, policy)
    }

    /// A shop with only these routers.
    pub(crate) fn with_routers(routers: &[&str], policy: &str) -> Self {
        let ports = MemoryPorts::at("2026-11-20T10:04:00Z".parse().unwrap());
        let shop = Self { policy: MemoryPolicy::new(policy, Faults::default()), ports, lines: Lines::default() };
        shop.put(&ResourcePath::Mesh(mesh()), &json!({}));
        for router in routers {
            shop.build(router);
        }
        shop
    }

    pub(crate) fn open() -> Self {
        Self::with(POLICY)
    }

    pub(crate) fn build(&self, router: &str) {
        let protocol = match router {
            "cart" => "http2",
            "payments" => "grpc",
            "ledger" => "tcp",
            _ => "http",
        };
        for version in ["v1", "v2"] {
            self.add_node(&format!("{router}-{version}"), protocol);
        }
        let listener = json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": protocol } }] });
        self.put(&ResourcePath::VirtualRouter(mesh(), VirtualRouterName::parse(router).unwrap()), &listener);
        let service = VirtualServiceName::parse(&format!("{router}.shop.local")).unwrap();
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": router } } });
        self.put(&ResourcePath::VirtualService(mesh(), service), &provider);
        self.put(&ResourcePath::Route(route(router)), &spec(router, &BEFORE));
    }

    /// Adds a node with its alarm, which is `OK`.
    pub(crate) fn add_node(&self, name: &str, protocol: &str) {
        let spec = json!({
            "listeners": [{ "portMapping": { "port": 8080, "protocol": protocol } }],
            "serviceDiscovery": { "dns": { "hostname": format!("{name}.shop.local") } },
        });
        self.put(&ResourcePath::VirtualNode(mesh(), node(name)), &spec);
        let quiet = self.now() - SignedDuration::from_hours(1);
        self.ports.alarms.put(alarm(errors_of(name).as_str(), AlarmState::Ok, quiet, on_node(name)));
    }

    pub(crate) fn put(&self, path: &ResourcePath, spec: &Value) {
        self.ports.mesh.put_spec(path, spec).unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn wait(&self, minutes: i64) {
        self.ports.clock.advance(SignedDuration::from_mins(minutes));
    }

    /// The alarm on a node's errors fires.
    pub(crate) fn fails(&self, node: &str) {
        self.ports.alarms.set_state(&errors_of(node), AlarmState::Alarm, self.now());
    }

    /// The alarm clears, and requests are published every minute from now on.
    pub(crate) fn recovers(&self, node: &str) {
        let now = self.now();
        self.ports.alarms.set_state(&errors_of(node), AlarmState::Ok, now);
        self.ports.alarms.set_data(&errors_of(node), (0..600).map(|minute| now + SignedDuration::from_mins(minute)));
    }

    /// A new process without any state in memory.
    pub(crate) async fn start(&self) -> Function {
        let keeper = PolicyKeeper::start(Box::new(self.policy.clone()), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let handler = route_failover::function(
            Ports {
                clock: Arc::new(ports.clock),
                meshes: Arc::new(ports.mesh.clone()),
                routes: Arc::new(ports.mesh),
                alarms: Arc::new(ports.alarms),
                state: Arc::new(ports.state),
                notifier: Arc::new(ports.notifier),
                bus: Arc::new(ports.bus),
                reports: Arc::new(ports.reports),
            },
            keeper,
            Recipient::default(),
        );
        Function { shop: self.clone(), handler }
    }

    pub(crate) fn weights(&self, router: &str) -> Vec<u8> {
        self.ports.mesh.route(&route(router)).unwrap().spec.split().unwrap().weights()
    }

    /// The route's spec as the API returns it.
    pub(crate) fn spec(&self, router: &str) -> Value {
        serde_json::to_value(self.ports.mesh.route(&route(router)).unwrap().spec).unwrap()
    }

    pub(crate) fn restore_tag(&self, router: &str) -> Option<String> {
        let arn = self.ports.mesh.route(&route(router)).unwrap().metadata.arn.to_string();
        self.ports.mesh.tags_of(&arn).remove("meshwarden:restore")
    }

    /// The lease on a route.
    pub(crate) fn lease_of(&self, router: &str) -> Option<ports::Lease> {
        self.ports.state.stored(&StateKey::route(&route(router)))?.lease
    }

    /// An operator sets the weights.
    pub(crate) fn edits(&self, router: &str, weights: &[u8]) {
        let spec = serde_json::from_value(spec(router, weights)).unwrap();
        self.ports.mesh.edit(&route(router), spec);
    }

    /// The same shop after its state table was deleted and created again.
    pub(crate) fn without_its_table(mut self) -> Self {
        self.ports.state = MemoryState::new(self.ports.faults.clone());
        self
    }

    /// Makes every call of this name throttled from now on.
    pub(crate) fn throttle(&self, call: &'static str) {
        self.breaks(call, Failure::Throttled);
    }

    /// Makes every call of this name fail from now on.
    pub(crate) fn breaks(&self, call: &'static str, failure: Failure) {
        self.ports.faults.whenever(move |given| given.name == call, Fault::Fails(failure, Effect::NotDone));
    }

    pub(crate) fn pages(&self) -> Vec<Notice> {
        self.ports.notifier.sent().into_iter().filter(|notice| notice.urgency == Urgency::Page).collect()
    }

    /// The changes that operators were notified of, without repeats.
    pub(crate) fn notified_changes(&self) -> BTreeSet<String> {
        let sent = self.ports.notifier.sent().into_iter();
        sent.filter(|notice| notice.urgency == Urgency::Note).map(|notice| notice.subject).collect()
    }

    pub(crate) fn writes(&self) -> usize {
        self.ports.mesh.updates().len()
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
        let newest = lines.lines().rev().find(|line| line.contains("\"Invocations\":")).unwrap().to_owned();
        serde_json::from_str::<Value>(&newest).unwrap()[name].as_u64().unwrap()
    }
}

/// One process of the function.
pub(crate) struct Function {
    shop: Shop,
    handler: Runner<RouteFailover>,
}

impl Function {
    /// One invocation, followed by a check of the invariants.
    pub(crate) async fn answer(&self, event: &Value) -> Answer {
        let answer = self.invoke(event).await;
        self.shop.check();
        answer
    }

    /// One invocation.
    async fn invoke(&self, event: &Value) -> Answer {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(INVOCATION + Duration::from_micros(request));
        let invocation = Invocation { function: route_failover::NAME, request_id: &format!("r-{request}"), deadline };
        let emitter = Emitter::to(self.shop.lines.clone());
        invocation.answer(&self.handler, &emitter, event).await.map_err(|error| error.to_string())
    }

    /// A scheduled run.
    pub(crate) async fn scheduled_run(&self) -> Answer {
        self.answer(&event("tick-rule")).await
    }

    /// This number of minutes, each with a scheduled run.
    pub(crate) async fn minutes(&self, count: usize) {
        for _ in 0..count {
            self.shop.wait(1);
            self.scheduled_run().await.unwrap();
        }
    }

    /// The same without a check of the invariants, for tests that change more than weights.
    pub(crate) async fn unchecked_minutes(&self, count: usize) {
        for _ in 0..count {
            self.shop.wait(1);
            self.invoke(&event("tick-rule")).await.unwrap();
        }
    }

    /// The decision of an answer on a router's route.
    pub(crate) async fn decision(&self, event: &Value, router: &str) -> Value {
        decision(&self.answer(event).await.unwrap(), router)
    }
}

/// The report line about a router's route; null without one.
pub(crate) fn decision(answer: &Value, router: &str) -> Value {
    let resource = ResourcePath::Route(route(router)).to_string();
    let decisions = answer["decisions"].as_array().unwrap();
    decisions.iter().find(|decision| decision["resource"] == resource).cloned().unwrap_or_default()
}

/// A sample event of the repository.
pub(crate) fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/route-failover/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The event of an alarm of this name.
pub(crate) fn alarm_event(name: &str) -> Value {
    let text = event("alarm-metric").to_string();
    serde_json::from_str(&text.replace("shop-recommendations-v2-5xx", name)).unwrap()
}

/// The event of the alarm on a node's errors.
pub(crate) fn errors_event(node: &str) -> Value {
    alarm_event(errors_of(node).as_str())
}

pub(crate) fn mesh() -> MeshName {
    MeshName::parse("shop").unwrap()
}

pub(crate) fn node(name: &str) -> VirtualNodeName {
    VirtualNodeName::parse(name).unwrap()
}

pub(crate) fn route(router: &str) -> RouteId {
    RouteId::new(mesh(), VirtualRouterName::parse(router).unwrap(), RouteName::parse("all").unwrap())
}

/// A route spec of the router's kind with all optional members, over `ROUTER-v1`, `ROUTER-v2` and so on.
pub(crate) fn spec(router: &str, weights: &[u8]) -> Value {
    let target = |(index, weight): (usize, &u8)| json!({ "virtualNode": format!("{router}-v{}", index + 1), "weight": weight, "port": 8080 });
    let action = json!({ "weightedTargets": weights.iter().enumerate().map(target).collect::<Vec<_>>() });
    let time = |value: u32| json!({ "unit": "ms", "value": value });
    match router {
        "cart" => json!({ "priority": 7, "http2Route": {
            "action": action,
            "match": { "method": "POST", "scheme": "https", "path": { "regex": "/cart/[0-9]+" },
                "queryParameters": [{ "name": "beta", "match": { "exact": "1" } }] },
            "retryPolicy": { "maxRetries": 1, "perRetryTimeout": time(250), "tcpRetryEvents": ["connection-error"] },
            "timeout": { "idle": time(30_000) },
        } }),
        "payments" => json!({ "priority": 0, "grpcRoute": {
            "action": action,
            "match": { "serviceName": "shop.Payments", "methodName": "Charge", "metadata": [
                { "name": "tier", "invert": true, "match": { "range": { "start": 3, "end": 9 } } },
                { "name": "region", "match": { "suffix": "-west-1" } } ] },
            "retryPolicy": { "maxRetries": 3, "perRetryTimeout": time(900),
                "grpcRetryEvents": ["unavailable", "deadline-exceeded"], "httpRetryEvents": ["gateway-error"] },
            "timeout": { "perRequest": time(5_000), "idle": time(60_000) },
        } }),
        "ledger" => json!({ "tcpRoute": {
            "action": action, "match": { "port": 8080 }, "timeout": { "idle": time(90_000) },
        } }),
        _ => json!({ "priority": 42, "httpRoute": {
            "action": action,
            "match": { "prefix": "/", "method": "GET", "headers": [
                { "name": "x-tenant", "invert": false, "match": { "exact": "gold" } },
                { "name": "x-debug" } ] },
            "retryPolicy": { "maxRetries": 2, "perRetryTimeout": time(700),
                "httpRetryEvents": ["server-error", "gateway-error"], "tcpRetryEvents": ["connection-error"] },
            "timeout": { "perRequest": time(2_500), "idle": time(10_000) },
        } }),
    }
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
