//! Rollouts with real Envoys: the function over the real App Mesh adapters and a control plane, with everything else in
//! memory. Requests pass the Envoys of a caller and of both versions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use jiff::SignedDuration;
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::MeshName;
use meshwarden_tests::envoys::EnvoyMesh;
use meshwarden_tests::function::sample;
use meshwarden_tests::stack::sdk_config;
use policy::{Policy, RolloutId};
use ports::{Clock as _, Deadline, StateKey};
use ports_memory::{Faults, MemoryPolicy, MemoryPorts};
use records::read_record;
use rollouts::{RolloutRecord, RolloutState};
use runner::{Emitter, Invocation, PolicyKeeper, Runner};
use serde_json::{Value, json};
use traffic_shift::{Ports, TrafficShift};

const OLD: &str = "recs-v1";
const NEW: &str = "recs-v2";
const CALLER: &str = "web";
const ALARM: &str = "recs-checkout";

/// A mesh with a caller, two versions and two routes, and the function.
struct Shop {
    mesh: EnvoyMesh,
    memory: MemoryPorts,
    function: Runner<TrafficShift>,
}

impl Shop {
    async fn open() -> Option<Self> {
        let mut mesh = EnvoyMesh::start().await?;
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
        for node in [OLD, NEW] {
            let dns = json!({ "dns": { "hostname": format!("{node}.shop.local") } });
            let spec = json!({ "listeners": [listener], "serviceDiscovery": dns });
            mesh.put("virtualNodes", json!({ "virtualNodeName": node, "spec": spec })).await;
        }
        mesh.put("virtualRouters", json!({ "virtualRouterName": "recs", "spec": { "listeners": [listener] } })).await;
        let beta = json!({ "prefix": "/", "headers": [{ "name": "x-beta" }] });
        for (name, priority, condition) in [("beta", 1, beta), ("all", 2, json!({ "prefix": "/" }))] {
            let targets = json!([
                { "virtualNode": OLD, "weight": 100 }, { "virtualNode": NEW, "weight": 0 },
            ]);
            let rule = json!({ "match": condition, "action": { "weightedTargets": targets } });
            let spec = json!({ "priority": priority, "httpRoute": rule });
            mesh.put("virtualRouter/recs/routes", json!({ "routeName": name, "spec": spec })).await;
        }
        let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "recs" } } });
        mesh.put("virtualServices", json!({ "virtualServiceName": "recs.shop.local", "spec": provider })).await;
        let spec = json!({ "backends": [{ "virtualService": { "virtualServiceName": "recs.shop.local" } }] });
        mesh.put("virtualNodes", json!({ "virtualNodeName": CALLER, "spec": spec })).await;
        for node in [OLD, NEW] {
            mesh.start_application(node).await;
            mesh.start_envoy(node).await;
        }
        mesh.start_envoy(CALLER).await;
        mesh.until_served_by(CALLER, OLD).await;

        let memory = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
        let term = MetricTerm::Stat {
            namespace: "Shop".to_owned(),
            metric: "FailedCheckouts".to_owned(),
            dimensions: [("Service".to_owned(), "checkout".to_owned())].into(),
            period: 60,
            stat: "Sum".to_owned(),
            unit: None,
        };
        let source = AlarmSource::Metric(vec![MetricQuery::new("m1", term)]);
        memory.alarms.put(Alarm::new(AlarmName::parse(ALARM).unwrap(), "arn:recs-checkout", AlarmState::Ok, source));
        let function = function(&mesh, &memory).await;
        Some(Self { mesh, memory, function })
    }

    async fn answer(&self, event: &Value) {
        let deadline = Deadline::after(Duration::from_secs(55));
        let invocation = Invocation { function: traffic_shift::NAME, request_id: "r", deadline };
        invocation.answer(&self.function, &Emitter::to(std::io::sink()), event).await.unwrap();
    }

    /// Requests a rollout with an alarm as its gate.
    async fn request(&self, members: &Value) {
        let mut event = sample("traffic-shift", "rollout-requested");
        event["time"] = json!(self.memory.clock.now());
        event["detail"] = json!({
            "id": "r1", "mesh": "shop", "routes": ["recs/all"], "moves": [{ "from": OLD, "to": NEW }],
            "strategy": "canary", "steps": [25], "interval": "1m", "bake": "0s", "gates": { "alarms": [ALARM] },
            "by": "a test",
        });
        for (name, value) in members.as_object().unwrap() {
            event["detail"][name] = value.clone();
        }
        self.answer(&event).await;
    }

    /// Lets a minute pass on the clock of the function, and runs it by its schedule.
    async fn next_minute(&self) {
        self.memory.clock.advance(SignedDuration::from_mins(1));
        self.answer(&sample("traffic-shift", "tick-rule")).await;
    }

    fn record(&self) -> RolloutRecord {
        let key = StateKey::rollout(&MeshName::parse("shop").unwrap(), &RolloutId::parse("r1").unwrap());
        read_record(&key, &self.memory.state.stored(&key).unwrap().document).unwrap()
    }

    /// Runs the function until the rollout has a state: an acknowledgement takes milliseconds.
    async fn until(&self, state: RolloutState) -> RolloutRecord {
        let give_up = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let record = self.record();
            if record.state == state {
                return record;
            }
            assert!(std::time::Instant::now() < give_up, "the rollout is {}: {record:#?}", record.state.name());
            self.answer(&sample("traffic-shift", "tick-rule")).await;
        }
    }
}

async fn function(mesh: &EnvoyMesh, memory: &MemoryPorts) -> Runner<TrafficShift> {
    let policy = Box::new(MemoryPolicy::new("version: 1\nmodes: {default: enforce}\n", Faults::default()));
    let keeper = PolicyKeeper::start(policy, Policy::read, memory.clock.now()).await.unwrap();
    let app_mesh = Arc::new(Aws::with_config(sdk_config(&mesh.endpoint).await).mesh());
    let memory = memory.clone();
    traffic_shift::function(
        Ports {
            clock: Arc::new(memory.clock),
            meshes: Arc::clone(&app_mesh) as _,
            routes: Arc::clone(&app_mesh) as _,
            proxies: app_mesh,
            alarms: Arc::new(memory.alarms),
            metrics: Arc::new(memory.metrics),
            functions: Arc::new(memory.functions),
            state: Arc::new(memory.state),
            notifier: Arc::new(memory.notifier),
            bus: Arc::new(memory.bus),
            reports: Arc::new(memory.reports),
        },
        keeper,
    )
}

#[tokio::test]
async fn step_counts_from_the_acknowledgement_and_a_rollback_moves_every_request() {
    let Some(shop) = Shop::open().await else { return };
    // The caller's Envoy stands still, so that it cannot acknowledge the step.
    shop.mesh.signal(CALLER, "STOP");
    shop.request(&json!({})).await;
    let record = shop.record();
    assert_eq!((record.state, record.started), (RolloutState::Confirming, None), "{record:#?}");
    let written = record.written.unwrap();
    // A minute is the interval of the step, and the step has not begun.
    shop.next_minute().await;
    let record = shop.record();
    assert_eq!((record.state, record.step, record.started), (RolloutState::Confirming, 0, None), "{record:#?}");

    shop.mesh.signal(CALLER, "CONT");
    shop.mesh.until_acknowledged(CALLER).await;
    let record = shop.until(RolloutState::Watching).await;
    assert!(record.started.unwrap() > written, "{record:#?}");
    let served = shop.mesh.requests(CALLER, &[], 300).await;
    // The probability of a larger deviation is below one in a million.
    assert!((37..=113).contains(&served[NEW]) && served.len() == 2, "{served:?}");

    let name = AlarmName::parse(ALARM).unwrap();
    shop.memory.alarms.set_state(&name, AlarmState::Alarm, shop.memory.clock.now());
    shop.answer(&sample("traffic-shift", "alarm-metric")).await;
    shop.mesh.until_acknowledged(CALLER).await;
    let served = shop.mesh.requests(CALLER, &[], 100).await;
    assert_eq!(served, [(OLD.to_owned(), 100)].into(), "every request is back, and none fails");
    let record = shop.until(RolloutState::RolledBack).await;
    assert_eq!(record.failure.unwrap().code, "GateFailed");
}

#[tokio::test]
async fn header_route_moves_first_and_the_other_route_follows_its_steps() {
    let Some(shop) = Shop::open().await else { return };
    let beta = [("x-beta", "1")];
    let first = json!({ "routes": ["recs/beta"], "interval": "2m" });
    shop.request(&json!({ "routes": ["recs/all", "recs/beta"], "first": first })).await;
    shop.until(RolloutState::Watching).await;
    let count = |node: &str| std::collections::BTreeMap::from([(node.to_owned(), 50)]);
    assert_eq!(shop.mesh.requests(CALLER, &beta, 50).await, count(NEW), "requests with the header go first");
    assert_eq!(shop.mesh.requests(CALLER, &[], 50).await, count(OLD), "the others wait");
    // After its interval the canary step of the other route follows, and the header route stays.
    for _ in 0..2 {
        shop.next_minute().await;
    }
    assert_eq!(shop.record().step, 1);
    shop.until(RolloutState::Watching).await;
    let served = shop.mesh.requests(CALLER, &[], 300).await;
    assert!((37..=113).contains(&served[NEW]) && served.len() == 2, "{served:?}");
    assert_eq!(shop.mesh.requests(CALLER, &beta, 50).await, count(NEW));
}
