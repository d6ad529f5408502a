//! One fault of every class at the calls that a failover makes: traffic moves all the same, and nobody is paged for a
//! fault that passes.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::StateValue;
use meshwarden_tests::disturbed::{Scene, every, run, sample};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::way::Way;
use serde_json::Value;

use crate::stage::{Stage, Theatre};

impl Scene for Stage<'_> {
    fn way(&self) -> &Way {
        &self.way
    }

    fn build(&self) -> Build {
        Stage::build(self)
    }

    fn event(&self) -> Value {
        self.event_of("cart-v1")
    }

    async fn settle(&self) {
        self.let_leases_run_out().await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        self.world().await
    }
}

async fn disturbed(name: &str, choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| {
        let stage = Stage::set(&theatre, &format!("{name}-{case}")).await;
        stage.turn("cart-v1", StateValue::Alarm).await;
        stage
    };
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
