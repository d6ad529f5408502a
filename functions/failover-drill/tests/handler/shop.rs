//! A shop with two routes to two versions of a node, its alarms, its metrics, its proxies, and the function on top of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drills::MeshDrills;
use failover_drill::{ArcAction, FailoverDrill, NAME, Ports};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, ResourcePath, RouteId};
use policy::Policy;
use ports::certificates::{AcknowledgedSecrets, ProxyStream};
use ports::{Clock, Deadline, StateKey, Urgency};
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use records::DrillsRecord;
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
use serde_json::{Value, json};

pub(crate) const ROUTERS: [&str; 2] = ["recs", "beta"];

/// Uneven and not summing to 100, so that a restore that writes percentages shows.
pub(crate) const BEFORE: [u8; 2] = [8, 2];

pub(crate) const DRAINED: [u8; 2] = [0, 100];

pub(crate) const POLICY: &str = "version: 1\nmodes: {default: enforce}\ndrills:\n  plans:\n    \
    - {name: recs-v1, mesh: shop, virtualNode: recs-v1, outcomeAlarms: [checkout], blockingAlarms: [deploys]}\n";

/// A short drill, for suites that repeat it many times.
pub(crate) fn short_policy() -> String {
    POLICY.replace("drills:\n", "drills:\n  duration: 5m\n")
}

/// Invocations get different times, so that no two of them are alike.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Everything around the function. Clones share it.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) ports: MemoryPorts,
    pub(crate) policy: MemoryPolicy,
    lines: Lines,
}

/// The answer to Lambda: a value, or why the event should come again.
pub(crate) type Answer = Result<Value, String>;

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(POLICY)
    }

    /// The shop on Monday, 2026-11-30, at 12:00, with this policy.
    pub(crate) fn with(policy: &str) -> Self {
        let ports = MemoryPorts::at("2026-11-30T12:00:00Z".parse().unwrap());
        let shop = Self { policy: MemoryPolicy::new(policy, Faults::default()), ports, lines: Lines::default() };
        shop.put("mesh/shop", &json!({}));
        for version in ["recs-v1", "recs-v2"] {
            let spec = json!({
                "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }],
                "serviceDiscovery": { "dns": { "hostname": format!("{version}.shop.local") } },
            });
            shop.put(&format!("mesh/shop/virtualNode/{version}"), &spec);
            shop.ports.alarms.put(shop.on_node(version));
            shop.requests(version, 600.0);
        }
        for router in ROUTERS {
            let listener = json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] });
            shop.put(&format!("mesh/shop/virtualRouter/{router}"), &listener);
            shop.put(&format!("mesh/shop/virtualRouter/{router}/route/all"), &spec(&BEFORE));
        }
        for name in ["checkout", "deploys"] {
            shop.ports.alarms.put(shop.alarm(name, AlarmSource::Metric(Vec::new())));
        }
        shop.ports.certificates.proxies.set(vec![stream(true)]);
        shop
    }

    fn put(&self, path: &str, spec: &Value) {
        let path: ResourcePath = path.parse().unwrap();
        self.ports.mesh.put_spec(&path, spec).unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"));
    }

    fn alarm(&self, name: &str, source: AlarmSource) -> Alarm {
        let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}");
        let since = Some(self.now() - SignedDuration::from_hours(1));
        Alarm { since, ..Alarm::new(alarm_name(name), &arn, AlarmState::Ok, source) }
    }

    /// The alarm on the error ratio of a node.
    fn on_node(&self, node: &str) -> Alarm {
        let stat = |metric: &str| MetricTerm::Stat {
            namespace: "Mesh".to_owned(),
            metric: metric.to_owned(),
            dimensions: [("Mesh", "shop"), ("TargetVirtualNode", node)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            period: 60,
            stat: "Sum".to_owned(),
            unit: None,
        };
        let expression = "IF(requests >= 1, errors / requests, 0)".to_owned();
        let line = |id: &str, term| MetricQuery { returns_data: false, ..MetricQuery::new(id, term) };
        let queries = vec![
            line("errors", stat("envoy_cluster_upstream_rq_5xx")),
            line("requests", stat("envoy_cluster_upstream_rq_completed")),
            MetricQuery::new("value", MetricTerm::Expression { expression, period: Some(60) }),
        ];
        self.alarm(&format!("errors-{node}"), AlarmSource::Metric(queries))
    }

    /// So many requests in each five minutes of the last hour and the next three, and three times as many in one peak.
    pub(crate) fn requests(&self, node: &str, count: f64) {
        let start = self.now() - SignedDuration::from_hours(1);
        for period in 0..48 {
            let at = start + SignedDuration::from_mins(5 * period);
            let count = if period == 1 { 3.0 * count } else { count };
            self.ports.metrics.add(node, "envoy_cluster_upstream_rq_completed", "Sum", at, count);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn wait(&self, minutes: i64) {
        self.ports.clock.advance(SignedDuration::from_mins(minutes));
    }

    pub(crate) fn set_alarm(&self, name: &str, state: AlarmState) {
        self.ports.alarms.set_state(&alarm_name(name), state, self.now());
    }

    /// A function that knows nothing yet: another process.
    pub(crate) async fn start(&self) -> Function {
        self.start_with(None).await
    }

    pub(crate) async fn start_with(&self, arc: Option<ArcAction>) -> Function {
        let keeper = PolicyKeeper::start(Box::new(self.policy.clone()), Policy::read, self.now()).await.unwrap();
        let ports = self.ports.clone();
        let ports = Ports {
            clock: Arc::new(ports.clock),
            meshes: Arc::new(ports.mesh.clone()),
            routes: Arc::new(ports.mesh),
            alarms: Arc::new(ports.alarms),
            metrics: Arc::new(ports.metrics),
            proxies: Arc::new(ports.certificates.proxies),
            state: Arc::new(ports.state),
            notifier: Arc::new(ports.notifier),
            bus: Arc::new(ports.bus),
            reports: Arc::new(ports.reports),
        };
        Function { shop: self.clone(), handler: failover_drill::function(ports, keeper, arc) }
    }

    pub(crate) fn weights(&self) -> [Vec<u8>; 2] {
        ROUTERS.map(|router| self.ports.mesh.route(&route(router)).unwrap().spec.split().unwrap().weights())
    }

    /// An operator sets the weights of a route by hand.
    pub(crate) fn edits(&self, router: &str, weights: &[u8]) {
        self.ports.mesh.edit(&route(router), serde_json::from_value(spec(weights)).unwrap());
    }

    pub(crate) fn record(&self) -> MeshDrills {
        let stored = self.ports.state.stored(&key());
        stored.map_or_else(MeshDrills::default, |stored| {
            records::read_record::<DrillsRecord>(&key(), &stored.document).unwrap().state
        })
    }

    /// The phase of the active drill; empty without one.
    pub(crate) fn phase(&self) -> &'static str {
        self.record().active.map_or("", |drill| drill.phase.as_str())
    }

    /// The last result: outcome and code.
    pub(crate) fn last(&self) -> (String, String) {
        let record = self.record();
        let end = record.plans.values().next().and_then(|history| history.last.clone());
        end.map_or_else(Default::default, |end| (end.outcome.to_string(), end.reason.code().to_owned()))
    }

    pub(crate) fn notices(&self, urgency: Urgency) -> Vec<String> {
        let sent = self.ports.notifier.sent().into_iter();
        sent.filter(|notice| notice.urgency == urgency).map(|notice| notice.subject).collect()
    }

    /// The states of all events about drills, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.ports.bus.events().into_iter();
        events.map(|event| event.detail["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The sum of a metric over all invocations.
    pub(crate) fn metric_sum(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let numbers = lines.filter_map(|line| line.get(name).and_then(Value::as_f64));
        numbers.map(|number| format!("{number:.0}").parse::<u64>().unwrap()).sum()
    }

    /// All that a run may leave behind, without instants, versions and notices.
    pub(crate) fn state(&self) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        for router in ROUTERS {
            let id = route(router);
            let data = self.ports.mesh.route(&id).unwrap();
            state.insert(format!("{router} spec"), serde_json::to_value(&data.spec).unwrap());
            let tags = self.ports.mesh.tags_of(&data.metadata.arn.to_string());
            let stored = self.ports.state.stored(&StateKey::route(&id));
            let document = stored.as_ref().map(|stored| stored.document.clone()).unwrap_or_default();
            // A tag that the record knows to be stale is removed by route-failover.
            let is_stale = document.get("staleTag").and_then(Value::as_bool).unwrap_or(false);
            state.insert(format!("{router} tag"), json!(if is_stale { None } else { tags.get("meshwarden:restore") }));
            let layers = document.get("layers").cloned().unwrap_or_default();
            state.insert(format!("{router} drill"), layers.get("drill").is_some().into());
            state.insert(format!("{router} intent"), document.get("intent").cloned().unwrap_or_default());
            let leased = stored.is_some_and(|stored| stored.leased_at(self.now()));
            state.insert(format!("{router} leased"), leased.into());
        }
        state.insert("phase".to_owned(), self.phase().into());
        state.insert("last".to_owned(), json!(self.last()));
        state
    }
}

/// One process of the function.
pub(crate) struct Function {
    shop: Shop,
    handler: Runner<FailoverDrill>,
}

impl Function {
    pub(crate) async fn answer(&self, event: &Value) -> Answer {
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(Duration::from_secs(55) + Duration::from_micros(request));
        let invocation = Invocation { function: NAME, request_id: &format!("r-{request}"), deadline };
        let emitter = Emitter::to(self.shop.lines.clone());
        invocation.answer(&self.handler, &emitter, event).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn tick(&self) -> Answer {
        self.answer(&event("tick-rule")).await
    }

    /// Scheduled runs until no drill is active, and one more: at most longer than the drill and its deadline.
    pub(crate) async fn until_ended(&self, shop: &Shop) {
        for _ in 0..16 {
            self.minutes(1).await;
            if shop.phase().is_empty() {
                break;
            }
        }
        self.minutes(1).await;
    }

    /// So many minutes, each with its scheduled run.
    pub(crate) async fn minutes(&self, count: usize) {
        for _ in 0..count {
            self.shop.wait(1);
            self.tick().await.unwrap();
        }
    }
}

/// A sample event of the repository.
pub(crate) fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/failover-drill/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn route(router: &str) -> RouteId {
    RouteId::parse(&format!("shop/{router}/all")).unwrap()
}

pub(crate) fn key() -> StateKey {
    StateKey::mesh(NAME, &MeshName::parse("shop").unwrap())
}

pub(crate) fn alarm_name(name: &str) -> AlarmName {
    AlarmName::parse(name).unwrap()
}

fn spec(weights: &[u8]) -> Value {
    let target =
        |(index, weight): (usize, &u8)| json!({ "virtualNode": format!("recs-v{}", index + 1), "weight": weight });
    let targets: Vec<Value> = weights.iter().enumerate().map(target).collect();
    let timeout = json!({ "perRequest": { "unit": "ms", "value": 2500 } });
    json!({ "priority": 42, "httpRoute": {
        "match": { "prefix": "/" }, "action": { "weightedTargets": targets }, "timeout": timeout } })
}

/// The open stream of a caller.
pub(crate) fn stream(up_to_date: bool) -> ProxyStream {
    ProxyStream {
        proxy: "mesh/shop/virtualNode/recs-v2".parse().unwrap(),
        peer: "10.0.0.1:4000".to_owned(),
        since: "2026-11-30T10:00:00Z".parse().unwrap(),
        up_to_date,
        rejected: None,
        secrets: AcknowledgedSecrets::Unknown,
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
