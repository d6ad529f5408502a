//! One fault of every class at the calls of a drill's start: the weights and the records end as without it, and a fault that
//! passes does not page.

use jiff::SignedDuration;
use meshwarden_tests::fault_suite::{FaultSuite, LastingPlan, lasting_pages};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::stack::MiniStack;

use crate::stage::Stage;

/// The start of a drill.
struct Drill;

impl FaultSuite for Drill {
    type Services = MiniStack;
    type Scene<'a> = Stage;

    async fn start(&self) -> Option<MiniStack> {
        MiniStack::start().await
    }

    async fn scene<'a>(&'a self, services: &'a MiniStack, name: &str) -> Stage {
        Stage::set(services, name).await
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            every: EVERY,
            few_runs: 7,
            many_runs: 200,
            must_page: |operation| operation.starts_with("GET /v20190125/") || operation == "DescribeAlarms",
            is_left_out: |_| false,
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}

/// Consecutive runs: the schedule invokes the function every minute.
const EVERY: SignedDuration = SignedDuration::from_mins(2);

meshwarden_tests::fault_suite_tests!(Drill);

/// The calls without which no page can be sent or remembered: a fault there is a metric and a failed invocation.
fn carries_pages(operation: &str) -> bool {
    // A drill writes its tag once; route-failover writes a missing one again, and pages.
    let tag = "PUT /v20190125/tag";
    [tag, "Publish", "BatchGetItem", "TransactWriteItems", "PutItem", "UpdateItem"].contains(&operation)
}

/// A fault that lasts at any call pages, of each class, and no page is repeated within the day.
#[tokio::test]
#[ignore = "long: each class of fault at each call for a quarter of an hour takes minutes"]
async fn lasting_fault_of_any_class_pages_at_every_call() {
    let Some(stack) = MiniStack::start().await else { return };
    let set = async |case: String| Stage::set(&stack, &format!("lasting-each-{case}")).await;
    lasting_pages(set, carries_pages, EVERY, 8).await;
}
