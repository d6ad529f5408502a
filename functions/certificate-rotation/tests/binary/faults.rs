//! One fault of every class at the calls of a renewal: one certificate is issued and served all the same, and nobody is
//! paged for a fault that passes.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use meshwarden_tests::disturbed::{
    Lasting, Scene, assert_one_page_a_day, every, is_of_state_table, lasting, operations, run, sample,
};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

use crate::stage::{Kept, Stage, Theatre};

impl Scene for Stage<'_> {
    fn way(&self) -> &Way {
        &self.way
    }

    fn build(&self) -> Build {
        Stage::build(self)
    }

    fn event(&self) -> Value {
        Stage::event(self)
    }

    async fn settle(&self) {
        self.let_leases_run_out().await;
    }

    async fn pass(&self, time: SignedDuration) {
        self.let_time_pass(time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        let mut end = self.world().await;
        end.insert("issued".to_owned(), json!(self.issued()));
        end
    }
}

/// A renewal makes many calls, and a case of it takes seconds: throttles at some of them.
fn fewer(requests: usize) -> Vec<(usize, Fault)> {
    sample(requests).into_iter().filter(|(at, fault)| *fault != Fault::Throttle || at % 6 == 0).collect()
}

async fn disturbed(name: &str, choose: fn(usize) -> Vec<(usize, Fault)>) {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| Stage::set(&theatre, &format!("{name}-{case}"), Kept::Secret).await;
    // A step that was denied is backed off for minutes, longer than a test waits.
    let chosen =
        move |requests: usize| choose(requests).into_iter().filter(|(_, fault)| *fault != Fault::Denied).collect();
    println!("{:?}", run(set, chosen).await);
}

#[tokio::test]
async fn a_fault_of_each_class_and_throttles_change_nothing() {
    disturbed("sample", fewer).await;
}

#[tokio::test]
#[ignore = "long: every fault at every call takes minutes; `cargo xtask test --long` runs it"]
async fn every_fault_at_every_call_changes_nothing() {
    disturbed("every", every).await;
}

/// Runs that are in a row.
const EVERY: SignedDuration = SignedDuration::from_mins(10);

/// The first and the last of these.
fn few<'a>(all: &[&'a str]) -> Vec<&'a str> {
    all.first().into_iter().chain(all.last()).copied().collect()
}

async fn lasts(name: &str, runs: usize, all: bool) {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| Stage::set(&theatre, &format!("{name}-{case}"), Kept::Secret).await;
    let found = operations(&set("operations".to_owned()).await).await;
    // Without these nothing is known of the mesh.
    let is_needed = |one: &&str| one.starts_with("GET /v20190125/meshes") || *one == "DescribeSecret";
    let needed: Vec<&str> = found.iter().map(String::as_str).filter(is_needed).collect();
    let others = found.iter().map(String::as_str).filter(|one| !is_of_state_table(one) && !is_needed(one));
    let operations: Vec<&str> = if all { needed.iter().copied().chain(others).collect() } else { few(&needed) };
    let how = Lasting { every: EVERY, runs };
    // A throttle is waited for until the time of a run ends, which is half a minute for each of them.
    let faults: &[Fault] = if all { &[Fault::Throttle, Fault::Denied] } else { &[Fault::Denied] };
    let lasted = lasting(set, &operations, faults, how).await;
    assert_one_page_a_day(&lasted, how, &needed);
    println!("{lasted:?}");
}

#[tokio::test]
async fn fault_that_lasts_is_one_page() {
    lasts("few", 5, false).await;
}

#[tokio::test]
#[ignore = "long: a day of runs takes minutes; `cargo xtask test --long` runs it"]
async fn every_fault_that_lasts_for_a_day_is_one_page() {
    lasts("all", 143, true).await;
}
