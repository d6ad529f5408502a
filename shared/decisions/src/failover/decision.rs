//! The decision for one route: its verdict and its plan.

use serde::Serialize;

use super::reason::{ActReason, HoldReason, KeepReason, Subject};
use super::record::RouteRecord;
use mesh::name::RouteId;
use mesh::split::WeightSplit;

/// The decision for one route, or for one node that no route targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The route or node that the decision is about.
    pub subject: Subject,
    /// The verdict: act, hold, or no change.
    pub verdict: Verdict,
    /// The route record to store now; for a plan, the record to store before the write. `None` if the state table
    /// already has it.
    pub record: Option<RouteRecord>,
    /// Whether a node of the subject fails now.
    pub failing: bool,
}

/// The verdict on one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Verdict {
    /// No change is needed.
    Keep(KeepReason),
    /// A change may be needed, but is not made now.
    Hold(HoldReason),
    /// Write the weights of the plan.
    Act(Box<Plan>),
}

/// A change of one route's weights, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Identifies route, base version and weights; the same plan computed again has the same id.
    pub id: String,
    /// The route.
    pub route: RouteId,
    /// The version of the route that the plan is based on.
    pub version: u64,
    /// The split before the write.
    pub from: WeightSplit,
    /// The split after the write.
    pub to: WeightSplit,
    /// The reason for the change.
    #[serde(flatten)]
    pub why: ActReason,
    /// Whether the plan counts against the budget of changes.
    pub spends: bool,
    /// The change to the restore tag.
    pub tag: TagChange,
    /// The record to store after the write.
    #[serde(skip)]
    pub then: RouteRecord,
}

/// The change to a route's restore tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TagChange {
    /// The tag stays unchanged.
    Keep,
    /// The tag is set to this value before the weights are written.
    Set(String),
    /// The tag is removed after the weights are written and read back.
    Clear,
}
