//! A decision about the drills of a mesh, as data.

use jiff::Timestamp;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::DrillName;
use serde::Serialize;

use crate::outcome::DrillOutcome;
use crate::reason::Reason;
use crate::record::{DrillEnd, DrillPhase, DrillVerdict, MeshDrills};

/// The decision about the drills of a mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The plan that it is about; `None` if no drill is active, requested or due.
    pub drill: Option<DrillName>,
    /// The state to store now.
    pub record: MeshDrills,
    /// The change to make.
    pub step: Step,
    /// The reason.
    pub reason: Reason,
    /// The news of the state to store.
    pub news: Vec<DrillNews>,
}

impl Decision {
    /// The verdict in one word, as the journal has it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.step {
            Step::Begin { .. } | Step::WouldBegin => "start",
            Step::Routes(steps) => match steps.first() {
                Some(RouteStep::Drain { .. }) => "drain",
                Some(RouteStep::Restore { .. }) => "restore",
                None => "hold",
            },
            Step::None if self.drill.is_none() => "keep",
            Step::None => "hold",
        }
    }

    /// Whether weights are restored. Such writes come before the state is stored, and before any message.
    #[must_use]
    pub fn is_restore(&self) -> bool {
        match &self.step {
            Step::Routes(steps) => steps.iter().any(|step| matches!(step, RouteStep::Restore { .. })),
            Step::None | Step::WouldBegin | Step::Begin { .. } => false,
        }
    }

    /// The virtual node of the drill, while it is active or at its end.
    #[must_use]
    pub fn node(&self) -> Option<&VirtualNodeName> {
        let active = self.record.active.as_ref().map(|drill| &drill.plan.node);
        let last = || {
            let history = self.record.plans.get(self.drill.as_ref()?)?;
            history.last.as_ref().map(|end| &end.node)
        };
        active.or_else(last)
    }
}

/// The change that a decision makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// None: nothing is to be changed, or it waits.
    None,
    /// The mode is observe: the start is only reported.
    WouldBegin,
    /// The start of a drill: one unit of the budget, and the deadline of the restore, before the first write.
    Begin {
        /// The id of the plan: the same for the same drill.
        id: String,
        /// The state after the start.
        then: Box<MeshDrills>,
        /// The news of the start.
        news: Vec<DrillNews>,
    },
    /// Writes of weights: drains after the state is stored, restores before it.
    Routes(Vec<RouteStep>),
}

/// A write of one route's weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum RouteStep {
    /// Drains the node.
    Drain {
        /// The route.
        route: RouteId,
        /// The id of the drill.
        drill: String,
        /// The node.
        node: VirtualNodeName,
        /// The split to write.
        to: WeightSplit,
        /// When the weights must be restored.
        restore_by: Timestamp,
    },
    /// Restores the split of the layers below.
    Restore {
        /// The route.
        route: RouteId,
        /// The id of the drill.
        drill: String,
        /// The node.
        node: VirtualNodeName,
        /// Whether the node is handed to route-failover, which returns it in steps.
        by_steps: bool,
        /// The verdict, which is stored with the weights because it is stored in the drill's record only after them.
        #[serde(skip_serializing_if = "Option::is_none")]
        verdict: Option<DrillVerdict>,
    },
}

impl RouteStep {
    /// The route.
    #[must_use]
    pub const fn route(&self) -> &RouteId {
        match self {
            Self::Drain { route, .. } | Self::Restore { route, .. } => route,
        }
    }
}

/// How soon an operator should read news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// It must be read at once.
    Page,
    /// During working hours.
    Note,
    /// An event for other programs only.
    Event,
}

/// A piece of news about a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillNews {
    /// The urgency.
    pub urgency: Urgency,
    /// The plan.
    pub drill: DrillName,
    /// The id of the drill.
    pub id: String,
    /// The node.
    pub node: VirtualNodeName,
    /// The phase; unset after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<DrillPhase>,
    /// The outcome, once it is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DrillOutcome>,
    /// The reason.
    pub reason: Reason,
    /// When the weights must be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_by: Option<Timestamp>,
    /// The result, at the end of a drill that was active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<DrillEnd>>,
}
