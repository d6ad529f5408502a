//! The built function under a Lambda runtime of the test, with the control plane and local AWS services. A front of the
//! control plane reports the proxies, because no proxy is connected here.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod attack;
mod crashes;
mod episodes;
mod faults;
mod gates;
mod hooks;
mod permissions;
mod stage;

use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::stack::MiniStack;

use crate::stage::{Stage, request};

#[tokio::test]
async fn canary_is_written_and_rolled_back_by_its_alarm_to_the_exact_split() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "canary").await;
    let mut function = stage.build().start().await;
    function.answer(&request(&stage.alarm(), "canary", &["25"])).await.unwrap();
    assert_eq!(stage.weights().await, [6, 2]);
    stage.turn(StateValue::Alarm).await;
    // Another process, as after a deployment of the function.
    drop(function);
    let mut function = stage.build().start().await;
    let report = function.answer(&meshwarden_tests::function::sample("traffic-shift", "alarm-metric")).await.unwrap();
    assert_eq!(stage.weights().await, [8, 0], "{report:#}");
    assert!(stage.way.pages().iter().any(|subject| subject.contains("GateFailed")), "{:?}", stage.way.pages());
    let spec = stage.route().await["spec"].clone();
    assert_eq!(spec, stage::route_spec([8, 0]), "a write changes weights and nothing else");
}

#[tokio::test]
async fn blue_green_without_a_bake_time_is_promoted_in_one_run() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "blue").await;
    let mut function = stage.build().start().await;
    let report = function.answer(&request(&stage.alarm(), "blue-green", &[])).await.unwrap();
    assert_eq!(stage.weights().await, [0, 8], "{report:#}");
    let events = report["decisions"].as_array().unwrap();
    assert!(events.iter().any(|decision| decision["reason"] == "Promoted"), "{report:#}");
    // The same request again changes nothing.
    let version = stage.route().await["metadata"]["version"].clone();
    function.answer(&request(&stage.alarm(), "blue-green", &[])).await.unwrap();
    assert_eq!(stage.route().await["metadata"]["version"], version);
}

/// The beginning of the operation that writes a route.
const WRITE: &str = "PUT /v20190125/meshes/shop/virtualRouter/";

/// The index, everything that is observed, and the begin of the change. The write is the fourth.
#[tokio::test]
async fn rollback_of_the_built_function_waits_for_three_calls() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::open(&stack, "calls").await;
    let mut function = stage.build().start().await;
    function.answer(&request(&stage.alarm(), "canary", &["25"])).await.unwrap();
    assert_eq!(stage.weights().await, [6, 2]);
    stage.turn(StateValue::Alarm).await;
    // Long enough that parallel requests overlap on a loaded machine.
    stage.way.set_latency(Duration::from_millis(400), WRITE);
    let skipped = stage.way.passed().len();
    function.answer(&meshwarden_tests::function::sample("traffic-shift", "alarm-metric")).await.unwrap();
    assert_eq!(stage.weights().await, [8, 0]);
    let sequence = stage.way.sequence_before(skipped, WRITE).unwrap();
    assert!(sequence.len() <= 3, "a rollback waits for {sequence:?}");
}

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check("traffic-shift", env!("CARGO_BIN_EXE_traffic-shift"), &[]).await;
}
