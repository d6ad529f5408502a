//! What is known about the drills of a mesh.

use serde::{Deserialize, Serialize};

use crate::name::VirtualNodeName;
use crate::policy::DrillName;

/// A plan of drills that does not prove that its failover works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillFact {
    /// The plan.
    pub drill: DrillName,
    /// The virtual node.
    pub node: VirtualNodeName,
    /// What is wrong with the plan.
    pub state: DrillFactState,
    /// The explanation, for operators.
    pub text: String,
}

/// What is wrong with a plan of drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillFactState {
    /// No drill has run for longer than the plan's period.
    Overdue,
    /// The last drill failed.
    Failed,
}
