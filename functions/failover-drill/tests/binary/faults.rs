//! One fault of every class at the calls of a drill's start: the weights and the records end as without it, and a fault that
//! passes does not page.

use jiff::SignedDuration;
use meshwarden_tests::fault_suite::{FaultSuite, LastingPlan};
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
            every: SignedDuration::from_mins(2),
            few_runs: 7,
            many_runs: 200,
            must_page: |_| false,
            is_left_out: |_| false,
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}

meshwarden_tests::fault_suite_tests!(Drill);
