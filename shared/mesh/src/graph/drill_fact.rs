//! The facts about the drills of a mesh.

use serde::{Deserialize, Serialize};

use crate::name::{DrillName, VirtualNodeName};

/// A plan of drills that does not prove that its failover works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillFact {
    /// The plan.
    pub drill: DrillName,
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The defect of the plan.
    pub state: DrillFactState,
    /// The explanation, for operators.
    pub text: String,
}

/// The defect of a plan of drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillFactState {
    /// No drill has run for longer than the plan's period.
    Overdue,
    /// The last drill failed.
    Failed,
}
