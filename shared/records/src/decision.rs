//! A decision as the journal stores it: its reason, its plan, and the outcome of the plan.

use std::collections::BTreeSet;

use decisions::{failover, rotation};
use mesh::change::Change;
use mesh::name::{MeshName, ResourcePath, RouteId};
use mesh::split::WeightSplit;
use rules::compliance;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A decision as the journal stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionEntry {
    /// The kind and path of the resource, or the source of a certificate, as in `mesh/shop/virtualNode/pay`.
    pub resource: String,
    /// The verdict, as in `hold`; unset for route-failover and for commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The stable reason code.
    pub reason: String,
    /// The facts of the reason. [`crate::AuditFacts`] and [`crate::OperatorFacts`] read the facts for commands.
    #[serde(default)]
    pub facts: Value,
    /// The reason as a sentence; unset for functions that journal the lines of their report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The change to make, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanEntry>,
    /// The outcome of the plan, if it was executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeEntry>,
    /// Whether the subject fails; unset for functions that do not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<bool>,
}

impl DecisionEntry {
    /// A decision without a plan.
    #[must_use]
    pub fn new(resource: impl Into<String>, reason: impl Into<String>, facts: Value) -> Self {
        Self {
            resource: resource.into(),
            decision: None,
            reason: reason.into(),
            facts,
            text: None,
            plan: None,
            outcome: None,
            failing: None,
        }
    }
}

/// A plan as the journal stores it: one variant per function that makes changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PlanEntry {
    /// A write of weights.
    Weights(WeightPlan),
    /// A step of a rotation.
    Certificate(CertificatePlan),
    /// A repair of tags or egress.
    Repair(RepairPlan),
    /// A plan of a function that this version does not know.
    Unknown(Value),
}

/// A write of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightPlan {
    /// The id: the same for the same route, version and weights.
    pub id: String,
    /// The route.
    pub route: RouteId,
    /// The version of the route that the plan is based on.
    pub version: u64,
    /// The split before.
    pub from: WeightSplit,
    /// The split after.
    pub to: WeightSplit,
    /// Whether the plan is charged to the budget.
    pub spends: bool,
    /// The change of the restore tag.
    pub tag: Value,
    /// The reason with its facts; empty for a command.
    #[serde(flatten)]
    pub reason: Map<String, Value>,
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificatePlan {
    /// The id: the same for the same subject and step.
    pub id: String,
    /// The certificate, the trust or the mesh.
    pub subject: Value,
    /// The step with its arguments.
    pub step: Value,
    /// The stage of a rollover that the step is part of.
    #[serde(default)]
    pub stage: Value,
    /// The reason with its facts.
    #[serde(flatten)]
    pub reason: Map<String, Value>,
}

/// A repair of tags or egress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairPlan {
    /// The id: the same for the same resource, version and changes.
    pub id: String,
    /// The resource.
    pub resource: ResourcePath,
    /// The version of the resource that the plan is based on.
    pub version: u64,
    /// The changes to make.
    pub apply: Vec<Change>,
    /// The changes that a rule's mode does not allow.
    pub would: Vec<Change>,
    /// The ids of the rules that the plan satisfies.
    #[serde(rename = "mends")]
    pub rules: Vec<String>,
    /// Whether the plan is charged to the budget.
    pub spends: bool,
}

impl PlanEntry {
    /// The id; unset for a plan that this version does not know.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Weights(plan) => Some(&plan.id),
            Self::Certificate(plan) => Some(&plan.id),
            Self::Repair(plan) => Some(&plan.id),
            Self::Unknown(_) => None,
        }
    }

    /// The weights that the plan makes, if it writes weights.
    #[must_use]
    pub const fn to(&self) -> Option<&WeightSplit> {
        match self {
            Self::Weights(plan) => Some(&plan.to),
            Self::Certificate(_) | Self::Repair(_) | Self::Unknown(_) => None,
        }
    }
}

impl From<Value> for PlanEntry {
    fn from(plan: Value) -> Self {
        serde_json::from_value(plan).unwrap_or(Self::Unknown(Value::Null))
    }
}

impl From<&failover::Plan> for PlanEntry {
    fn from(plan: &failover::Plan) -> Self {
        Self::Weights(WeightPlan {
            id: plan.id.clone(),
            route: plan.route.clone(),
            version: plan.version,
            from: plan.from.clone(),
            to: plan.to.clone(),
            spends: plan.spends,
            tag: json(&plan.tag),
            reason: members(&plan.why),
        })
    }
}

impl From<&rotation::RotationPlan> for PlanEntry {
    fn from(plan: &rotation::RotationPlan) -> Self {
        Self::Certificate(CertificatePlan {
            id: plan.id.clone(),
            subject: json(&plan.subject),
            step: json(&plan.step),
            stage: json(&plan.stage),
            reason: members(&plan.why),
        })
    }
}

impl From<&compliance::CompliancePlan> for PlanEntry {
    fn from(plan: &compliance::CompliancePlan) -> Self {
        Self::Repair(RepairPlan {
            id: plan.id.clone(),
            resource: plan.resource.clone(),
            version: plan.version,
            apply: plan.apply.clone(),
            would: plan.would.clone(),
            rules: plan.remediates.iter().map(|rule| rule.as_str().to_owned()).collect(),
            spends: plan.spends,
        })
    }
}

/// The outcome of a plan, of all functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub enum OutcomeEntry {
    /// The mode is observe, so that no call was made.
    WouldApply {
        /// The meshes in mode observe, for a plan that touches several meshes.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        watching: BTreeSet<MeshName>,
    },
    /// The change is made.
    Applied {
        /// The new version of the resource, for a write that has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// The change had been made before.
    AlreadyInPlace,
    /// Another service has not finished the change.
    InProgress,
    /// Another writer was first, so that nothing was written.
    Superseded,
    /// The state table did not allow the change.
    Refused {
        /// The reason, as in `budget-spent`.
        refusal: String,
    },
    /// The change is made, over a change of another writer.
    Overwrote {
        /// The new version of the resource.
        version: u64,
    },
    /// A call failed.
    Failed {
        /// The call and its error.
        error: String,
        /// Whether another attempt may succeed; unset for a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        may_heal: Option<bool>,
        /// The class of the error, as in `throttled`; unset for functions that do not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
    },
    /// The invocation had no time left for the change.
    OutOfTime,
    /// An outcome that this version does not know.
    #[serde(untagged)]
    Unknown(Value),
}

impl OutcomeEntry {
    /// The stable name; unset for an outcome that this version does not know.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::WouldApply { .. } => "WouldApply",
            Self::Applied { .. } => "Applied",
            Self::AlreadyInPlace => "AlreadyInPlace",
            Self::InProgress => "InProgress",
            Self::Superseded => "Superseded",
            Self::Refused { .. } => "Refused",
            Self::Overwrote { .. } => "Overwrote",
            Self::Failed { .. } => "Failed",
            Self::OutOfTime => "OutOfTime",
            Self::Unknown(_) => return None,
        })
    }
}

impl From<Value> for OutcomeEntry {
    fn from(outcome: Value) -> Self {
        serde_json::from_value(outcome).unwrap_or(Self::Unknown(Value::Null))
    }
}

/// Reasons, steps and subjects have only string keys, so this cannot fail.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn members(value: &impl Serialize) -> Map<String, Value> {
    match json(value) {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
