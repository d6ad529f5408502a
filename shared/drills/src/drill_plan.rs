//! The plan of a drill.

use mesh::alarm::AlarmName;
use mesh::name::{MeshName, VirtualNodeName};
use policy::{ComeBack, DrillName, DrillPlanPolicy, DrillsPolicy, Period};
use serde::{Deserialize, Serialize};

/// The plan of a drill, with all values resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillPlan {
    /// The name.
    pub name: DrillName,
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node that is drained.
    pub node: VirtualNodeName,
    /// How long it stays drained.
    pub duration: Period,
    /// The alarms that fail the drill.
    pub outcome_alarms: Vec<AlarmName>,
    /// The alarms that prevent or interrupt it.
    pub blocking_alarms: Vec<AlarmName>,
    /// How the node gets its share back after a success.
    pub come_back: ComeBack,
}

impl DrillPlan {
    /// The plan of a policy's entry.
    #[must_use]
    pub fn new(plan: &DrillPlanPolicy, policy: &DrillsPolicy) -> Self {
        Self {
            name: plan.name.clone(),
            mesh: plan.mesh.clone(),
            node: plan.virtual_node.clone(),
            duration: plan.duration.unwrap_or(policy.duration),
            outcome_alarms: plan.outcome_alarms.clone(),
            blocking_alarms: plan.blocking_alarms.clone(),
            come_back: policy.come_back,
        }
    }

    /// All alarms of the plan.
    pub fn alarms(&self) -> impl Iterator<Item = &AlarmName> {
        self.outcome_alarms.iter().chain(&self.blocking_alarms)
    }
}
