//! One fault of every class at the calls of a scheduled run: what is remembered of the mesh is the same.

#![expect(clippy::print_stdout, reason = "a test says how much it did")]

use meshwarden_tests::disturbed::{every, run, sample};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::shop_scene::Shops;

async fn disturbed(name: &str, choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(shops) = Shops::open("change-audit", env!("CARGO_BIN_EXE_change-audit"), "tick-rule").await else {
        return;
    };
    let set = async |case: String| shops.set(&format!("{name}-{case}")).await;
    println!("{:?}", run(set, choose).await);
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
