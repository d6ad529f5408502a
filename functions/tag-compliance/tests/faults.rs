//! One fault of every class at the calls of a scheduled evaluation: AWS Config is told the same, and nothing false.

#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use meshwarden_tests::config_events::{ConfigScene, Services, Stage};
use meshwarden_tests::disturbed::{every, run, sample};
use meshwarden_tests::faults::Fault;
use serde_json::json;

const NAME: &str = "tag-compliance";
const POLICY: &str = "version: 1\ntags: { required: [{ key: team }] }\n";

async fn disturbed(choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(services) = Services::start().await else { return };
    let set = async |_: String| -> ConfigScene {
        let stage = Stage::with(services.clone(), NAME, POLICY, &[]).await;
        stage.create("", json!({ "meshName": "shop" })).await;
        stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
        stage.scene(env!("CARGO_BIN_EXE_tag-compliance"), "config-scheduled")
    };
    println!("{:?}", run(set, choose).await);
}

#[tokio::test]
async fn a_fault_of_each_class_and_a_throttle_at_each_call_change_no_answer() {
    disturbed(sample).await;
}

#[tokio::test]
#[ignore = "long: every fault at every call takes minutes; `cargo xtask test --long` runs it"]
async fn every_fault_at_every_call_changes_no_answer() {
    disturbed(every).await;
}
