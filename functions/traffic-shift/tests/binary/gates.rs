//! Metric gates of the built function: the local stack answers `GetMetricData` with the data points of both versions.

use meshwarden_tests::faults::Fault;
use meshwarden_tests::stack::MiniStack;
use serde_json::{Value, json};

use crate::stage::{Stage, request};

const OPERATION: &str = "GetMetricData";

/// A rollout at 25 % with this metric gate.
async fn watching(stack: &MiniStack, name: &str, gate: &Value) -> Stage {
    let stage = Stage::open(stack, name).await;
    let mut event = request(&stage.alarm(), "canary", &["25"]);
    event["detail"]["gates"]["metrics"] = json!([gate]);
    stage.run(&event).await;
    assert_eq!(stage.weights().await, [6, 2], "{name}");
    stage
}

/// Each row: the gate, requests and failures a minute of the new and of the old version, and whether it fails.
#[tokio::test]
async fn metric_gate_compares_both_versions_and_needs_its_requests() {
    let Some(stack) = MiniStack::start().await else { return };
    let absolute = json!({ "errorRatio": { "max": "1%" }, "minRequests": 300, "failAfter": 1 });
    let relative =
        json!({ "errorRatio": { "overBaseline": 2.0, "minDifference": "1%" }, "minRequests": 300, "failAfter": 1 });
    let latency = json!({ "latency": { "stat": "p99", "max": "500ms" }, "minRequests": 300, "failAfter": 1 });
    let good = ([100.0, 0.0], 20.0);
    for (case, gate, new, old, expected) in [
        ("pass", &absolute, good, good, "PASS"),
        ("fail", &absolute, ([100.0, 9.0], 20.0), good, "FAIL"),
        ("few", &absolute, ([10.0, 9.0], 20.0), good, "UNKNOWN"),
        ("same", &relative, ([100.0, 9.0], 20.0), ([100.0, 8.0], 20.0), "PASS"),
        ("worse", &relative, ([100.0, 9.0], 20.0), ([100.0, 1.0], 20.0), "FAIL"),
        ("alone", &relative, ([100.0, 9.0], 20.0), ([0.0, 0.0], 20.0), "UNKNOWN"),
        ("slow", &latency, ([100.0, 0.0], 900.0), good, "FAIL"),
    ] {
        let stage = watching(&stack, &format!("gates-{case}"), gate).await;
        stage.publish("recs-v2", 6, new.0, new.1).await;
        stage.publish("recs-v1", 6, old.0, old.1).await;
        stage.pass(6).await;
        let rollout = stage.tick().await;
        let metric = rollout["gates"].as_object().unwrap().iter().find(|(name, _)| !name.starts_with("alarm")).unwrap();
        assert_eq!(metric.1["result"], expected, "{case}: {rollout:#}");
        let split = if expected == "FAIL" { [8, 0] } else { [6, 2] };
        assert_eq!(stage.weights().await, split, "{case}: {rollout:#}");
        let pages = stage.way.pages();
        assert_eq!(pages.iter().any(|page| page.contains("GateFailed")), expected == "FAIL", "{case}: {pages:?}");
    }
}

/// Without a result the rollout pauses, pages, and is rolled back after the bound: a fault is never a pass.
#[tokio::test]
async fn metric_gate_without_a_result_pauses_and_then_rolls_back() {
    let Some(stack) = MiniStack::start().await else { return };
    let gate = json!({ "errorRatio": { "max": "1%" }, "minRequests": 1 });
    for (case, fault) in [("nothing", None), ("denied", Some(Fault::Denied))] {
        let stage = watching(&stack, &format!("gates-{case}"), &gate).await;
        if let Some(fault) = fault {
            stage.publish("recs-v2", 6, [100.0, 0.0], 20.0).await;
            stage.way.inject_always(OPERATION, fault);
        }
        stage.pass(6).await;
        let rollout = stage.tick().await;
        assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("watching"), vec![6, 2]), "{rollout:#}");
        stage.pass(11).await;
        let rollout = stage.tick().await;
        assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("paused"), vec![6, 2]), "{rollout:#}");
        assert!(stage.way.pages().iter().any(|page| page.contains("GateNoData")), "{case}: {:?}", stage.way.pages());
        stage.pass(61).await;
        let rollout = stage.tick().await;
        assert_eq!(stage.weights().await, [8, 0], "{case}: {rollout:#}");
        assert_eq!(rollout["failure"]["code"], "RolloutStalled", "{case}: {rollout:#}");
    }
}

/// A rollout that pauses for want of data resumes without a command once the data is back.
#[tokio::test]
async fn paused_rollout_resumes_with_the_data() {
    let Some(stack) = MiniStack::start().await else { return };
    let gate = json!({ "errorRatio": { "max": "1%" }, "minRequests": 1 });
    let stage = watching(&stack, "gates-back", &gate).await;
    stage.way.inject_always(OPERATION, Fault::Denied);
    stage.pass(1).await;
    stage.tick().await;
    stage.pass(12).await;
    assert_eq!(stage.tick().await["state"], "paused");
    stage.way.heal();
    stage.publish("recs-v2", 6, [100.0, 0.0], 20.0).await;
    stage.publish("recs-v1", 6, [100.0, 0.0], 20.0).await;
    let rollout = stage.tick().await;
    assert_eq!((rollout["state"].as_str(), stage.weights().await), (Some("watching"), vec![6, 2]), "{rollout:#}");
}
