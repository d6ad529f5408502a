//! The fault suite of a function that reads a mesh on a schedule and stores the result.

use jiff::SignedDuration;

use super::{FaultSuite, LastingPlan};
use crate::faults::Fault;
use crate::shop_scene::{ShopScene, Shops};

/// A fault suite with a scheduled run over a small mesh.
#[derive(Clone, Copy, Debug)]
pub struct ShopFaultSuite {
    /// The name of the function.
    pub function: &'static str,
    /// The path of its built command: `env!("CARGO_BIN_EXE_<name>")`.
    pub binary: &'static str,
    /// The sample event of its schedule.
    pub event: &'static str,
    /// The time between two runs: at most three schedule intervals.
    pub every: SignedDuration,
    /// The number of runs in the whole suite: two days of them.
    pub many_runs: usize,
}

impl FaultSuite for ShopFaultSuite {
    type Services = Shops;
    type Scene<'a> = ShopScene;

    async fn start(&self) -> Option<Shops> {
        Shops::open(self.function, self.binary, self.event).await
    }

    async fn scene<'a>(&'a self, services: &'a Shops, name: &str) -> ShopScene {
        services.set(name).await
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            every: self.every,
            few_runs: 3,
            many_runs: self.many_runs,
            must_page: |operation| operation.starts_with("GET /v20190125/meshes"),
            is_left_out: |_| false,
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}
