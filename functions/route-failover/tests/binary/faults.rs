//! One fault of every class at the calls of a failover: traffic moves nevertheless, and a fault that passes does not page.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::StateValue;
use jiff::SignedDuration;
use meshwarden_tests::disturbed::Scene;
use meshwarden_tests::fault_suite::{FaultSuite, LastingPlan, lasting};
use meshwarden_tests::faults::Fault;
use meshwarden_tests::function::Build;
use meshwarden_tests::way::Way;
use serde_json::Value;

use crate::stage::{Stage, Theatre, sample};

/// The trigger of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    /// The event of the alarm on a failing node.
    Alarm,
    /// The schedule, while no alarm is on.
    Schedule,
}

/// A shop with its trigger.
pub(crate) struct Triggered<'a> {
    stage: Stage<'a>,
    trigger: Trigger,
}

impl<'a> Triggered<'a> {
    /// A shop in which the alarm of `cart-v1` invokes the function.
    pub(crate) async fn by_alarm(services: &'a Theatre, name: &str) -> Self {
        let stage = Stage::set(services, name).await;
        stage.turn("cart-v1", StateValue::Alarm).await;
        Self { stage, trigger: Trigger::Alarm }
    }
}

impl Scene for Triggered<'_> {
    fn way(&self) -> &Way {
        &self.stage.way
    }

    fn build(&self) -> Build {
        self.stage.build()
    }

    fn event(&self) -> Value {
        match self.trigger {
            Trigger::Alarm => self.stage.event_of("cart-v1"),
            Trigger::Schedule => sample("tick-rule"),
        }
    }

    async fn settle(&self) {
        self.stage.let_leases_run_out().await;
    }

    async fn pass(&self, time: SignedDuration) {
        self.stage.let_time_pass(time).await;
    }

    async fn end(&self) -> BTreeMap<String, Value> {
        self.stage.world().await
    }
}

/// A failover; for lasting faults, scheduled runs without failures.
struct Failover;

impl FaultSuite for Failover {
    type Services = Theatre;
    type Scene<'a> = Triggered<'a>;

    async fn start(&self) -> Option<Theatre> {
        Theatre::open().await
    }

    async fn scene<'a>(&'a self, services: &'a Theatre, name: &str) -> Triggered<'a> {
        Triggered::by_alarm(services, name).await
    }

    async fn lasting_scene<'a>(&'a self, services: &'a Theatre, name: &str) -> Triggered<'a> {
        Triggered { stage: Stage::set(services, name).await, trigger: Trigger::Schedule }
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            every: EVERY,
            few_runs: 7,
            many_runs: 200,
            must_page: |operation| operation.starts_with("GET /v20190125/meshes"),
            // An alarm that cannot be read may be on. Its pages repeat at a shorter interval, as the test below checks.
            is_left_out: |operation| operation == "DescribeAlarms",
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}

meshwarden_tests::fault_suite_tests!(Failover);

/// Consecutive runs: the schedule invokes the function every minute.
const EVERY: SignedDuration = SignedDuration::from_mins(2);

/// Unreadable alarms may be on: this pages soon, and again after a quarter of an hour.
#[tokio::test]
async fn unreadable_alarms_page_soon_and_repeatedly() {
    let Some(theatre) = Theatre::open().await else { return };
    let set = async |case: String| Failover.lasting_scene(&theatre, &format!("alarms-{case}")).await;
    for lasted in lasting(set, &["DescribeAlarms"], &[Fault::Throttle, Fault::Denied], EVERY, 10).await {
        let first = usize::from(lasted.fault == Fault::Denied);
        assert_eq!(lasted.pages[..3], [first, 1, 1], "{lasted:?}");
        assert_eq!(lasted.pages.last(), Some(&2), "{lasted:?}");
    }
}
