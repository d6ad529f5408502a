//! The built function against a control plane and a MiniStack: a drill over the real adapters, from its request to the
//! restored weights.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod attack;
mod crashes;
mod faults;
mod permissions;
mod stage;

use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::stack::MiniStack;
use meshwarden_tests::start_up::Case;
use serde_json::json;

use crate::stage::{BEFORE, Stage, event};

/// The most calls that a restore may wait for, one after the other: the drill's document; its routes, their documents and
/// its alarms at once; the begin of the change. The write is the fourth.
const MOST_BEFORE_RESTORE: usize = 3;

/// The beginning of the operation that writes a route.
const WRITE: &str = "PUT /v20190125/meshes/shop/virtualRouter/";

#[tokio::test]
async fn drill_drains_and_restores_over_the_real_adapters() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::set(&stack, "failover-drill").await;
    let mut function = stage.build().start().await;
    let answer = function.answer(&event("direct-start")).await.unwrap();
    assert_eq!((&answer["state"], &answer["result"]), (&json!("confirming"), &json!("PENDING")), "{answer:#}");
    assert_eq!(stage.weights().await, [0, 100]);
    // Another process resumes from the state table.
    let mut next = stage.build().start().await;
    let error = next.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.to_string().contains("in progress"), "{error:#}");
    next.answer(&event("stop")).await.unwrap();
    assert_eq!(stage.weights().await, BEFORE.map(u64::from), "the exact integers return");
    let error = next.answer(&event("direct-result")).await.unwrap_err();
    assert!(error.to_string().contains("INTERRUPTED") && error.to_string().contains("ada"), "{error:#}");
    let report = next.answer(&event("tick-rule")).await.unwrap();
    assert_eq!(report["decisions"], json!([]), "{report:#}");
}

/// The calls of the restore of a drill that an alarm ends, by the built function.
#[tokio::test]
async fn restore_of_the_built_function_waits_for_few_calls() {
    let Some(stack) = MiniStack::start().await else { return };
    let stage = Stage::set(&stack, "failover-drill-restore").await;
    let mut function = stage.build().start().await;
    function.answer(&event("direct-start")).await.unwrap();
    assert_eq!(stage.weights().await, [0, 100]);
    stage.turn("checkout", StateValue::Alarm).await;
    stage.way.set_latency(Duration::from_millis(400), WRITE);
    let skipped = stage.way.passed().len();
    function.answer(&event("alarm-metric")).await.unwrap();
    assert_eq!(stage.weights().await, BEFORE.map(u64::from));
    let sequence = stage.way.sequence_before(skipped, WRITE).unwrap();
    assert!(sequence.len() <= MOST_BEFORE_RESTORE, "a restore waits for {sequence:#?}");
    let passed = stage.way.passed().split_off(skipped);
    let before: Vec<String> =
        passed.into_iter().map(|call| call.operation).take_while(|operation| !operation.starts_with(WRITE)).collect();
    let is_unneeded = |call: &&String| call.ends_with("/meshes") || call.contains("proxies") || *call == "Publish";
    assert_eq!(before.iter().find(is_unneeded), None, "{before:#?}");
}

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    let cases = [Case::variable("MESHWARDEN_ACTION", "recs-v1", "expected `drill:NAME`")];
    meshwarden_tests::start_up::check("failover-drill", env!("CARGO_BIN_EXE_failover-drill"), &cases).await;
}
