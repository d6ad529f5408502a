//! The drill that is next, and its plan.

use jiff::Timestamp;
use mesh::name::MeshName;
use policy::{DrillName, DrillPlanPolicy, DrillsPolicy};
use sha2::{Digest as _, Sha256};

use crate::calendar;
use crate::drill_plan::DrillPlan;
use crate::record::{MeshDrills, RequestAction};

/// The reason why a name does not identify a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The policy has no plan of this name.
    Unknown,
    /// Several meshes have a plan of this name.
    Ambiguous {
        /// The meshes.
        meshes: Vec<MeshName>,
    },
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("the policy has no such plan; add it to `drills.plans`"),
            Self::Ambiguous { meshes } => {
                let meshes: Vec<&str> = meshes.iter().map(MeshName::as_str).collect();
                write!(f, "several meshes have a plan of this name; name the mesh: {}", meshes.join(", "))
            }
        }
    }
}

/// The mesh of a plan that is named without a mesh.
pub fn resolve(name: &DrillName, mesh: Option<&MeshName>, policy: &DrillsPolicy) -> Result<MeshName, PlanError> {
    let is_named = |plan: &&DrillPlanPolicy| plan.name == *name && mesh.is_none_or(|mesh| plan.mesh == *mesh);
    let meshes: Vec<MeshName> = policy.plans.iter().filter(is_named).map(|plan| plan.mesh.clone()).collect();
    match meshes.as_slice() {
        [] => Err(PlanError::Unknown),
        [mesh] => Ok(mesh.clone()),
        [..] => Err(PlanError::Ambiguous { meshes }),
    }
}

/// The plan whose facts a decision needs: that of the active drill, else of the first request, else of the first plan
/// that is due. `None`: there is nothing to do in the mesh.
#[must_use]
pub fn candidate(mesh: &MeshName, record: &MeshDrills, policy: &DrillsPolicy, now: Timestamp) -> Option<DrillPlan> {
    if let Some(drill) = &record.active {
        return Some(drill.plan.clone());
    }
    let requested = record.requests.iter().filter(|request| !record.knows(&request.id));
    let mut requested = requested.filter_map(|request| match &request.action {
        RequestAction::Start { plan } => requested_plan(mesh, &request.drill, plan.as_deref(), policy),
        RequestAction::Stop => None,
    });
    let due = || calendar::due(mesh, record, policy, now).map(|(plan, _)| DrillPlan::new(plan, policy));
    requested.next().or_else(due)
}

/// The plan of a request: its own, or that of the policy.
pub(crate) fn requested_plan(
    mesh: &MeshName,
    name: &DrillName,
    own: Option<&DrillPlanPolicy>,
    policy: &DrillsPolicy,
) -> Option<DrillPlan> {
    let known = || policy.plans.iter().find(|plan| plan.mesh == *mesh && plan.name == *name);
    own.or_else(known).map(|plan| DrillPlan::new(plan, policy))
}

/// The id of a drill: 16 hexadecimal digits over mesh, name and request.
pub(crate) fn drill_id(mesh: &MeshName, name: &DrillName, request: &str) -> String {
    let digest = Sha256::digest(format!("{mesh}\0{name}\0{request}"));
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{first:016x}")
}
