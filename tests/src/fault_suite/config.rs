//! The fault suite of a function that answers AWS Config.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::{FaultSuite, LastingPlan};
use crate::config_events::{ConfigScene, Services, Stage};
use crate::faults::Fault;

/// A fault suite with a scheduled evaluation of a small mesh.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFaultSuite {
    /// The name of the function.
    pub function: &'static str,
    /// The path of its built command: `env!("CARGO_BIN_EXE_<name>")`.
    pub binary: &'static str,
    /// The policy document.
    pub policy: &'static str,
}

impl FaultSuite for ConfigFaultSuite {
    type Services = Arc<Services>;
    type Scene<'a> = ConfigScene;

    async fn start(&self) -> Option<Arc<Services>> {
        Services::start().await
    }

    async fn scene<'a>(&'a self, services: &'a Arc<Services>, _name: &str) -> ConfigScene {
        let stage = Stage::with(Arc::clone(services), self.function, self.policy, &[]).await;
        stage.create("", json!({ "meshName": "shop" })).await;
        stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
        stage.scene(self.binary, "config-scheduled")
    }

    fn lasting_plan(&self) -> LastingPlan {
        LastingPlan {
            // The schedule invokes it every quarter of an hour.
            every: SignedDuration::from_mins(40),
            few_runs: 5,
            many_runs: 72,
            must_page: |operation| operation.starts_with("GET /v20190125/meshes") || operation == "PutEvaluations",
            is_left_out: |_| false,
            sample: &[Fault::Throttle, Fault::Denied],
        }
    }
}
