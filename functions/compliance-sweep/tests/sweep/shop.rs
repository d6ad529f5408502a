//! A mesh, the function, and its in-memory services.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use compliance_sweep::{ComplianceSweep, FanOut, NAME, Ports};
use jiff::{SignedDuration, Timestamp};
use policy::{BUILT_IN, Policy};
use ports::{Deadline, PolicySource, StateKey};
use ports_memory::MemoryPorts;
use runner::events::{self, Payload};
use runner::{Handler as _, PolicyKeeper, Report, Retry, Runner};
use serde_json::{Value, json};

pub(crate) fn morning() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

/// A mesh with open egress, and a node without callers.
pub(crate) fn shop() -> MemoryPorts {
    let ports = MemoryPorts::at(morning());
    for (path, spec) in [
        ("mesh/shop", json!({"egressFilter": {"type": "ALLOW_ALL"}})),
        ("mesh/shop/virtualNode/web", json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]})),
        ("mesh/shop/virtualService/web.local", json!({"provider": {"virtualNode": {"virtualNodeName": "web"}}})),
    ] {
        put(&ports, path, &spec);
    }
    ports
}

pub(crate) fn put(ports: &MemoryPorts, path: &str, spec: &Value) {
    ports.mesh.put_spec(&path.parse().unwrap(), spec).unwrap();
}

pub(crate) fn ports(memory: &MemoryPorts) -> Ports {
    Ports {
        clock: Arc::new(memory.clock.clone()),
        meshes: Arc::new(memory.mesh.clone()),
        certificates: Arc::new(memory.certificates.certificates.clone()),
        authorities: Arc::new(memory.certificates.authorities.clone()),
        bundles: Arc::new(memory.certificates.bundles.clone()),
        state: Arc::new(memory.state.clone()),
        notifier: Arc::new(memory.notifier.clone()),
        bus: Arc::new(memory.bus.clone()),
        reports: Arc::new(memory.reports.clone()),
        security_hub: Some(Arc::new(memory.security_hub.clone())),
    }
}

pub(crate) async fn function(memory: &MemoryPorts) -> Runner<ComplianceSweep> {
    function_by(memory, &every_rule(), FanOut::Direct).await
}

/// The built-in policy with every rule, and tags that are required.
pub(crate) fn every_rule() -> String {
    let strict = BUILT_IN.replace("profile: recommended", "profile: strict");
    strict.replace("required: []", "required: [{ key: owner }, { key: environment }]")
}

pub(crate) async fn function_by(memory: &MemoryPorts, policy: &str, fan_out: FanOut) -> Runner<ComplianceSweep> {
    let source: Box<dyn PolicySource> =
        Box::new(ports_memory::MemoryPolicy::new(policy, ports_memory::Faults::default()));
    let policy = PolicyKeeper::start(source, Policy::read, morning()).await.unwrap();
    compliance_sweep::function(ports(memory), policy, fan_out)
}

/// A scheduled run. Each call has another scheduled time.
pub(crate) async fn sweep(function: &Runner<ComplianceSweep>) -> Result<Report, Retry> {
    static RUNS: AtomicI64 = AtomicI64::new(0);
    let hours = RUNS.fetch_add(1, Ordering::Relaxed);
    sweep_at(function, morning() + SignedDuration::from_hours(hours)).await
}

/// The run that is scheduled for a time. The same time is the same event.
pub(crate) async fn sweep_at(function: &Runner<ComplianceSweep>, time: Timestamp) -> Result<Report, Retry> {
    let event = include_str!("../../../../events/compliance-sweep/schedule.json");
    let mut event: Value = serde_json::from_str(event).unwrap();
    event["time"] = json!(time);
    let deliveries = events::parse(&event);
    assert!(matches!(&*deliveries, [one] if one.payload == Payload::Tick), "{deliveries:?}");
    let deadline = Deadline::after(Duration::from_mins(1));
    deadline.cover(function.handle(deliveries, deadline)).await
}

pub(crate) fn reasons(report: &Report) -> Vec<&str> {
    report.decisions.iter().map(|decision| decision.reason.as_str()).collect()
}

pub(crate) fn remembered(ports: &MemoryPorts) -> Value {
    let stored = ports.state.stored(&StateKey::mesh(NAME, &"shop".parse().unwrap()));
    stored.map_or(Value::Null, |stored| stored.document)
}

/// The current findings of the mesh, from the stored report.
pub(crate) fn found(ports: &MemoryPorts) -> Vec<Value> {
    let kept = ports.reports.stored();
    let report: Value = serde_json::from_slice(&kept["compliance/mesh/shop/findings.json"]).unwrap();
    report["findings"].as_array().unwrap().clone()
}

pub(crate) fn rules(ports: &MemoryPorts) -> Vec<String> {
    found(ports).iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}
