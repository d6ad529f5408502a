//! Sweeps over in-memory ports: what is found, told and kept, and what becomes of it when something goes wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use compliance_sweep::{ComplianceSweep, NAME, Ports};
use jiff::{SignedDuration, Timestamp};
use lambda_kit::wake::{self, Payload};
use lambda_kit::{Handler as _, PolicyKeeper, Report, Retry};
use mesh::policy::{BUILT_IN, Policy};
use ports::memory::{Fault, MemoryPorts};
use ports::{BuiltInPolicy, Deadline, StateKey};
use serde_json::{Value, json};

fn morning() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

/// A mesh that lets everything out, with a node that nobody calls.
fn shop() -> MemoryPorts {
    let ports = MemoryPorts::at(morning());
    for (path, spec) in [
        ("mesh/shop", json!({"egressFilter": {"type": "ALLOW_ALL"}})),
        ("mesh/shop/virtualNode/web", json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]})),
        ("mesh/shop/virtualService/web.local", json!({"provider": {"virtualNode": {"virtualNodeName": "web"}}})),
    ] {
        ports.mesh.put_spec(&path.parse().unwrap(), &spec).unwrap();
    }
    ports
}

async fn function(memory: &MemoryPorts) -> ComplianceSweep {
    let policy = PolicyKeeper::start(Box::new(BuiltInPolicy(BUILT_IN)), Policy::read, morning()).await.unwrap();
    let ports = Ports {
        clock: Arc::new(memory.clock.clone()),
        meshes: Arc::new(memory.mesh.clone()),
        state: Arc::new(memory.state.clone()),
        notifier: Arc::new(memory.notifier.clone()),
        bus: Arc::new(memory.bus.clone()),
        reports: Arc::new(memory.reports.clone()),
    };
    ComplianceSweep::new(ports, policy)
}

async fn sweep(function: &ComplianceSweep) -> Result<Report, Retry> {
    let event = include_str!("../../../events/compliance-sweep/schedule.json");
    let deliveries = wake::parse(&serde_json::from_str(event).unwrap());
    assert!(matches!(&*deliveries, [one] if one.payload == Payload::Tick), "{deliveries:?}");
    let deadline = Deadline::after(Duration::from_mins(1));
    deadline.cover(function.handle(deliveries, deadline)).await
}

fn reasons(report: &Report) -> Vec<&str> {
    report.decisions.iter().map(|decision| decision.reason.as_str()).collect()
}

fn remembered(ports: &MemoryPorts) -> Value {
    let stored = ports.state.stored(&StateKey::mesh(NAME, &"shop".parse().unwrap()));
    stored.map_or(Value::Null, |stored| stored.document)
}

#[tokio::test(start_paused = true)]
async fn findings_are_told_once_and_kept_each_time() {
    let ports = shop();
    let function = function(&ports).await;
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"]);
    let kept = ports.reports.stored();
    let names: Vec<&str> = kept.keys().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["findings.asff.json", "findings.json", "findings.sarif", "index.html"]);
    let found: Value = serde_json::from_slice(&kept["compliance/mesh/shop/findings.json"]).unwrap();
    let rules: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"mesh-egress-open"), "{rules:?}");
    assert_eq!(ports.notifier.sent().len(), 1);
    assert_eq!(ports.bus.events().len(), 1);
    let counted: f64 = report.metrics.iter().filter(|metric| metric.name == "Findings").map(|m| m.value).sum();
    assert_eq!(format!("{counted}"), rules.len().to_string());

    ports.clock.advance(SignedDuration::from_hours(24));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Unchanged"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (1, 1), "nothing new to tell");
    let again: Value = serde_json::from_slice(&ports.reports.stored()["compliance/mesh/shop/findings.json"]).unwrap();
    assert_eq!(again["findings"], found["findings"], "ids and dates stay");

    ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({"egressFilter": {"type": "DROP_ALL"}})).unwrap();
    ports.clock.advance(SignedDuration::from_hours(24));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"]);
    let resolved = report.decisions[0].facts["resolved"].to_string();
    assert!(resolved.contains("mesh-egress-open on mesh/shop"), "{resolved}");
}

#[tokio::test(start_paused = true)]
async fn a_wake_that_is_repeated_at_once_sweeps_nothing_again() {
    let ports = shop();
    let function = function(&ports).await;
    sweep(&function).await.unwrap();
    let calls = ports.faults.calls().len();
    assert_eq!(reasons(&sweep(&function).await.unwrap()), ["Swept"]);
    assert_eq!(ports.faults.calls().len() - calls, 2, "the list of meshes and the state");
}

#[tokio::test(start_paused = true)]
async fn one_call_a_resource_and_one_a_list() {
    let ports = shop();
    for n in 0..200 {
        ports.mesh.put_spec(&format!("mesh/shop/virtualNode/n{n}").parse().unwrap(), &json!({})).unwrap();
    }
    let report = sweep(&function(&ports).await).await.unwrap();
    // In memory a description and its tags are two calls of one; the survey counts what a server would see.
    assert_eq!(report.decisions[0].facts["calls"], json!(4 + 203));
}

/// Killed at every call, before and after its effect: the next process ends where an undisturbed one does. People may
/// be told twice, never not at all.
#[tokio::test(start_paused = true)]
async fn killed_anywhere_and_run_again() {
    let undisturbed = shop();
    sweep(&function(&undisturbed).await).await.unwrap();
    let calls = undisturbed.faults.calls().len();
    assert!(calls > 10, "{calls}");
    for call in 0..calls {
        for fault in Fault::crashes() {
            let ports = shop();
            let dying = function(&ports).await;
            ports.faults.at(call, fault.clone());
            assert!(ports.faults.run(sweep(&dying)).await.is_none(), "{fault:?} at {call}");
            ports.clock.advance(SignedDuration::from_mins(1));
            sweep(&function(&ports).await).await.unwrap();
            let (is, should) = (remembered(&ports), remembered(&undisturbed));
            let ids = |document: &Value| document["findings"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(ids(&is), ids(&should), "{fault:?} at {call}");
            assert_eq!(ports.reports.stored().len(), undisturbed.reports.stored().len());
            assert!((1..=2).contains(&ports.notifier.sent().len()), "{fault:?} at {call}");
        }
    }
}

/// Every call failing in every way: nothing that can't be read is judged, and what may heal is tried again.
#[tokio::test(start_paused = true)]
async fn every_failure_is_said_and_none_is_taken_for_an_empty_mesh() {
    let undisturbed = shop();
    sweep(&function(&undisturbed).await).await.unwrap();
    let calls = undisturbed.faults.calls().len();
    for call in 0..calls {
        for fault in Fault::every() {
            let ports = shop();
            let function = function(&ports).await;
            ports.faults.at(call, fault.clone());
            let (report, retried) = match sweep(&function).await {
                Ok(report) => (report, false),
                Err(retry) => (retry.report.unwrap(), true),
            };
            assert!(!report.decisions.is_empty(), "{fault:?} at {call}");
            if retried {
                ports.clock.advance(SignedDuration::from_mins(1));
                sweep(&function).await.unwrap();
                let kept = ports.reports.stored().len();
                assert_eq!(kept, undisturbed.reports.stored().len(), "{fault:?} at {call}: reports kept by the retry");
            }
            let expected = remembered(&undisturbed)["findings"].as_object().unwrap().len();
            // What is read as it was a moment ago is judged as it was then.
            if !matches!(fault, Fault::StaleRead)
                && let Some(found) = remembered(&ports)["findings"].as_object()
            {
                assert_eq!(found.len(), expected, "{fault:?} at {call}: judged by a part");
            }
            ports.clock.advance(SignedDuration::from_hours(6));
            sweep(&function).await.unwrap();
            let found = remembered(&ports)["findings"].as_object().unwrap().len();
            assert_eq!(found, expected, "{fault:?} at {call}: the next sweep");
        }
    }
}
