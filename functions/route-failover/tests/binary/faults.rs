//! One fault of every class at the calls that a failover makes: traffic moves all the same, and nobody is paged for a
//! fault that passes.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::StateValue;
use jiff::SignedDuration;
use meshwarden_tests::disturbed::{
    Lasting, Scene, assert_one_page_a_day, every, is_of_state_table, lasting, operations, run, sample,
};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::way::Way;
use serde_json::Value;

use crate::stage::{self, Stage, Theatre};

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

    async fn pass(&self, time: SignedDuration) {
        self.let_time_pass(time).await;
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

/// The same on a good day: only the schedule invokes it, and no alarm is on.
struct GoodDay<'a>(Stage<'a>);

impl Scene for GoodDay<'_> {
    fn way(&self) -> &Way {
        &self.0.way
    }

    fn build(&self) -> Build {
        self.0.build()
    }

    fn event(&self) -> Value {
        stage::sample("tick-rule")
    }

    async fn settle(&self) {
        self.0.let_leases_run_out().await;
    }

    async fn pass(&self, time: SignedDuration) {
        self.0.let_time_pass(time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        self.0.world().await
    }
}

/// Runs that are in a row.
const EVERY: SignedDuration = SignedDuration::from_mins(2);

/// The first and the last of these.
fn few<'a>(all: &[&'a str]) -> Vec<&'a str> {
    all.first().into_iter().chain(all.last()).copied().collect()
}

async fn lasts(name: &str, runs: usize, all: bool) {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| GoodDay(Stage::set(&theatre, &format!("{name}-{case}")).await);
    let found = operations(&set("operations".to_owned()).await).await;
    // Without these nothing is known of the mesh, or of meshes that no alarm reports.
    let is_needed = |one: &&str| one.starts_with("GET /v20190125/meshes");
    let needed: Vec<&str> = found.iter().map(String::as_str).filter(is_needed).collect();
    // Where alarms cannot be read, one may be on: that is paged again and again.
    let others = found
        .iter()
        .map(String::as_str)
        .filter(|one| *one != "DescribeAlarms" && !is_of_state_table(one) && !is_needed(one));
    let operations: Vec<&str> = if all { needed.iter().copied().chain(others).collect() } else { few(&needed) };
    let how = Lasting { every: EVERY, runs };
    let lasted = lasting(set, &operations, &[Fault::Throttle, Fault::Denied], how).await;
    assert_one_page_a_day(&lasted, how, &needed);
    println!("{lasted:?}");
}

#[tokio::test]
async fn fault_that_lasts_is_one_page() {
    lasts("few", 7, false).await;
}

#[tokio::test]
#[ignore = "long: a day of runs takes minutes; `cargo xtask test --long` runs it"]
async fn every_fault_that_lasts_for_hours_is_one_page() {
    lasts("all", 200, true).await;
}

/// Alarms that cannot be read may be on: that is paged soon, and again after a quarter of an hour.
#[tokio::test]
async fn alarms_that_cannot_be_read_are_paged_soon_and_again() {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| GoodDay(Stage::set(&theatre, &format!("alarms-{case}")).await);
    let how = Lasting { every: EVERY, runs: 10 };
    for lasted in lasting(set, &["DescribeAlarms"], &[Fault::Throttle, Fault::Denied], how).await {
        let first = usize::from(lasted.fault == Fault::Denied);
        assert_eq!(lasted.pages[..3], [first, 1, 1], "{lasted:?}");
        assert_eq!(lasted.pages.last(), Some(&2), "{lasted:?}");
    }
}
