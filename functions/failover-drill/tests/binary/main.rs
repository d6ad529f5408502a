//! The built function against a control plane and a MiniStack: a drill over the real adapters, from its request to the
//! restored weights.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod attack;
mod faults;
mod permissions;
mod stage;

use meshwarden_tests::stack::MiniStack;
use meshwarden_tests::start_up::Case;
use serde_json::json;

use crate::stage::{BEFORE, Stage, event};

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

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    let cases = [Case::variable("MESHWARDEN_ACTION", "recs-v1", "expected `drill:NAME`")];
    meshwarden_tests::start_up::check("failover-drill", env!("CARGO_BIN_EXE_failover-drill"), &cases).await;
}
