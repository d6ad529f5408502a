//! One fault of every class at the calls of a renewal: one certificate is issued and served nevertheless, and a fault that
//! passes does not page.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use meshwarden_tests::disturbed::Scene;
use meshwarden_tests::fault_suite::{FaultSuite, LastingPlan};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::way::Way;
use serde_json::{Value, json};

use crate::stage::{Kept, Stage, Theatre};

/// Longer than the back-off of any step.
const BACK_OFF: SignedDuration = SignedDuration::from_hours(1);

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
        // A denied step is backed off for minutes, longer than a test may take.
        self.let_time_pass(BACK_OFF).await;
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

/// A renewal of a certificate in a secret.
struct Renewal;

impl FaultSuite for Renewal {
    type Services = Theatre;
    type Scene<'a> = Stage<'a>;

    async fn start(&self) -> Option<Theatre> {
        Theatre::open().await
    }

    async fn scene<'a>(&'a self, services: &'a Theatre, name: &str) -> Stage<'a> {
        Stage::set(services, name, Kept::Secret).await
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            // The schedule invokes it every five minutes.
            every: SignedDuration::from_mins(14),
            few_runs: 5,
            many_runs: 102,
            must_page: |operation| operation.starts_with("GET /v20190125/meshes") || operation == "DescribeSecret",
            is_left_out: |_| false,
            // A throttled call is retried until the time of a run ends.
            sample: &[Fault::Denied],
        }
    }

    /// A renewal makes many calls, and each case takes seconds: the sample has throttles at some of them only.
    fn is_in_sample(&self, request: usize, fault: Fault) -> bool {
        fault != Fault::Throttle || request.is_multiple_of(6)
    }
}

meshwarden_tests::fault_suite_tests!(Renewal);
