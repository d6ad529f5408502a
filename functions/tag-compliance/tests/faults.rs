//! One fault of every class at the calls of a scheduled evaluation: AWS Config is told the same, and nothing false.

#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use jiff::SignedDuration;
use meshwarden_tests::config_events::{ConfigScene, Services, Stage};
use meshwarden_tests::disturbed::{
    Lasting, assert_one_page_a_day, every, is_of_state_table, lasting, operations, run, sample,
};
use meshwarden_tests::faults::Fault;
use serde_json::json;

const NAME: &str = "tag-compliance";
const POLICY: &str = "version: 1\ntags: { required: [{ key: team }] }\n";

async fn scene(services: &std::sync::Arc<Services>) -> ConfigScene {
    let stage = Stage::with(std::sync::Arc::clone(services), NAME, POLICY, &[]).await;
    stage.create("", json!({ "meshName": "shop" })).await;
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
    stage.scene(env!("CARGO_BIN_EXE_tag-compliance"), "config-scheduled")
}

async fn disturbed(choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(services) = Services::start().await else { return };
    println!("{:?}", run(async |_| scene(&services).await, choose).await);
}

/// The schedule comes every quarter of an hour; runs further apart than three quarters are not in a row.
const EVERY: SignedDuration = SignedDuration::from_mins(40);

/// The first and the last of these.
fn few<'a>(all: &[&'a str]) -> Vec<&'a str> {
    all.first().into_iter().chain(all.last()).copied().collect()
}

async fn lasts(runs: usize, all: bool) {
    let Some(services) = Services::start().await else { return };
    let (set, how) = (async |_| scene(&services).await, Lasting { every: EVERY, runs });
    let found = operations(&scene(&services).await).await;
    // Without these nothing is known of the mesh.
    let is_needed = |one: &&str| one.starts_with("GET /v20190125/meshes") || *one == "PutEvaluations";
    let needed: Vec<&str> = found.iter().map(String::as_str).filter(is_needed).collect();
    let others = found.iter().map(String::as_str).filter(|one| !is_of_state_table(one) && !is_needed(one));
    let operations: Vec<&str> = if all { needed.iter().copied().chain(others).collect() } else { few(&needed) };
    let lasted = lasting(set, &operations, &[Fault::Throttle, Fault::Denied], how).await;
    assert_one_page_a_day(&lasted, how, &needed);
    println!("{lasted:?}");
}

#[tokio::test]
async fn fault_that_lasts_is_one_page() {
    lasts(5, false).await;
}

#[tokio::test]
#[ignore = "long: two days of runs take minutes; `cargo xtask test --long` runs it"]
async fn every_fault_that_lasts_for_two_days_is_one_page_a_day() {
    lasts(72, true).await;
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
