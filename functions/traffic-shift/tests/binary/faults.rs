//! One fault of every class at the calls of a rollout's first step: the weights and the records end as without it, and a
//! fault that passes does not page.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use meshwarden_tests::disturbed::Scene;
use meshwarden_tests::fault_suite::{FaultSuite, LastingPlan, lasting_pages};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::shop_scene::documents;
use meshwarden_tests::stack::{MiniStack, items, let_leases_run_out, let_time_pass};
use meshwarden_tests::way::Way;
use serde_json::Value;

use crate::stage::{Stage, request};

/// A shop in which a rollout is requested.
pub(crate) struct Requested {
    stage: Stage,
    event: Value,
}

impl Requested {
    pub(crate) async fn set(stack: &MiniStack, name: &str) -> Self {
        let stage = Stage::open(stack, name).await;
        let event = request(&stage.alarm(), "canary", &["25"]);
        Self { stage, event }
    }
}

impl Requested {
    /// A document without the name of the case, and without the time for which the step has passed its gates.
    fn comparable(&self, document: &Value) -> Value {
        let text = document.to_string().replace(self.stage.name(), "case");
        let mut document: Value = serde_json::from_str(&text).unwrap();
        if let Some(members) = document.as_object_mut() {
            members.remove("passed");
        }
        document
    }
}

impl Scene for Requested {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    fn build(&self) -> Build {
        self.stage.build()
    }

    fn event(&self) -> Value {
        self.event.clone()
    }

    async fn settle(&self) {
        let_leases_run_out(&self.stage.table(), self.stage.name()).await;
    }

    async fn pass(&self, time: SignedDuration) {
        let_time_pass(&self.stage.table(), self.stage.name(), time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        let documents = documents(items(&self.stage.table(), self.stage.name()).await);
        let mut end: BTreeMap<String, Value> =
            documents.into_iter().map(|(key, document)| (key, self.comparable(&document))).collect();
        let route = self.stage.route().await;
        end.insert("spec".to_owned(), route["spec"].clone());
        end.insert("version".to_owned(), route["metadata"]["version"].clone());
        end
    }
}

/// The first step of a rollout.
struct Rollout;

impl FaultSuite for Rollout {
    type Services = MiniStack;
    type Scene<'a> = Requested;

    async fn start(&self) -> Option<MiniStack> {
        MiniStack::start().await
    }

    async fn scene<'a>(&'a self, services: &'a MiniStack, name: &str) -> Requested {
        Requested::set(services, name).await
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            every: EVERY,
            few_runs: 7,
            many_runs: 200,
            must_page: |operation| operation.starts_with("GET /") || operation == "DescribeAlarms",
            is_left_out: |_| false,
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}

/// Consecutive runs: the schedule invokes the function every minute.
const EVERY: SignedDuration = SignedDuration::from_mins(2);

meshwarden_tests::fault_suite_tests!(Rollout);

/// The calls without which no page can be sent or remembered: a fault there is a metric and a failed invocation.
fn carries_pages(operation: &str) -> bool {
    ["Publish", "BatchGetItem", "TransactWriteItems", "PutItem", "UpdateItem"].contains(&operation)
}

/// A fault that lasts at any call pages, of each class, and no page is repeated within the day.
#[tokio::test]
#[ignore = "long: each class of fault at each call for a quarter of an hour takes minutes"]
async fn lasting_fault_of_any_class_pages_at_every_call() {
    let Some(stack) = MiniStack::start().await else { return };
    let set = async |case: String| Requested::set(&stack, &format!("lasting-each-{case}")).await;
    Box::pin(lasting_pages(set, carries_pages, EVERY, 8)).await;
}
