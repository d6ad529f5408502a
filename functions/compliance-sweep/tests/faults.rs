//! One fault of every class at the calls of a scheduled run: what is remembered of the mesh is the same.

#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use jiff::SignedDuration;
use meshwarden_tests::disturbed::{
    Lasting, assert_one_page_a_day, every, is_of_state_table, lasting, operations, run, sample,
};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::shop_scene::Shops;

async fn disturbed(name: &str, choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(shops) = Shops::open("compliance-sweep", env!("CARGO_BIN_EXE_compliance-sweep"), "schedule").await else {
        return;
    };
    let set = async |case: String| shops.set(&format!("{name}-{case}")).await;
    println!("{:?}", run(set, choose).await);
}

/// Runs that are in a row.
const EVERY: SignedDuration = SignedDuration::from_hours(6);

/// The first and the last of these.
fn few<'a>(all: &[&'a str]) -> Vec<&'a str> {
    all.first().into_iter().chain(all.last()).copied().collect()
}

async fn lasts(name: &str, runs: usize, all: bool) {
    let Some(shops) = Shops::open("compliance-sweep", env!("CARGO_BIN_EXE_compliance-sweep"), "schedule").await else {
        return;
    };
    let set = async |case: String| shops.set(&format!("{name}-{case}")).await;
    let found = operations(&set("operations".to_owned()).await).await;
    // Without these nothing is known of the mesh.
    let is_needed = |one: &&str| one.starts_with("GET /v20190125/meshes");
    let needed: Vec<&str> = found.iter().map(String::as_str).filter(is_needed).collect();
    let others = found.iter().map(String::as_str).filter(|one| !is_of_state_table(one) && !is_needed(one));
    let operations: Vec<&str> = if all { needed.iter().copied().chain(others).collect() } else { few(&needed) };
    let how = Lasting { every: EVERY, runs };
    let lasted = lasting(set, &operations, &[Fault::Throttle, Fault::Denied], how).await;
    assert_one_page_a_day(&lasted, how, &needed);
    println!("{lasted:?}");
}

#[tokio::test]
async fn fault_that_lasts_is_one_page() {
    lasts("few", 3, false).await;
}

#[tokio::test]
#[ignore = "long: two days of runs take minutes; `cargo xtask test --long` runs it"]
async fn every_fault_that_lasts_for_two_days_is_one_page_a_day() {
    lasts("all", 8, true).await;
}

#[tokio::test]
async fn a_fault_of_each_class_and_a_throttle_at_each_call_change_nothing() {
    disturbed("sample", sample).await;
}

#[tokio::test]
#[ignore = "long: every fault at every call takes minutes; `cargo xtask test --long` runs it"]
async fn every_fault_at_every_call_changes_nothing() {
    disturbed("every", every).await;
}
