//! The reasons of decisions: a stable code with its facts, the same in the log line, the metric, the journal and the
//! docs.

mod display;
mod entries;

use jiff::Timestamp;
use serde::Serialize;

use super::health::{Health, Unknown};
use super::proof::{MissingProof, StuckInAlarm};
use super::targets::{CallerAlarm, Muted};
use crate::decision::HarmFact;
use crate::weights::EndReason;
use mesh::alarm::AlarmName;
use mesh::name::{RouteId, VirtualNodeName, VirtualServiceName};
use mesh::split::WeightSplit;

/// The reason why no change is needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum KeepReason {
    /// The route is as declared, and none of its nodes fails.
    Steady,
    /// A failing node is drained already.
    AlreadyShifted {
        /// The drained nodes.
        drained: Vec<VirtualNodeName>,
        /// The alarms that cannot leave `ALARM` while their node has no requests, so that the node cannot return.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        stuck: Vec<StuckAlarm>,
    },
    /// A node with weight 0 fails, for example a standby; it could not take over traffic.
    FailingWithoutTraffic {
        /// The failing nodes.
        nodes: Vec<VirtualNodeName>,
    },
}

/// An alarm that its own configuration keeps in `ALARM` while its node has no requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckAlarm {
    /// The drained node.
    pub node: VirtualNodeName,
    /// The alarm.
    pub alarm: AlarmName,
    /// Why it cannot clear.
    #[serde(flatten)]
    pub cause: StuckInAlarm,
}

/// The reason why a change that may be needed is not made now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum HoldReason {
    /// The node's alarm is out of `ALARM`, but not for long enough.
    InsideDwell {
        /// The node.
        node: VirtualNodeName,
        /// When the dwell ends.
        until: Timestamp,
    },
    /// A failback step is still being observed.
    InsideStep {
        /// The node.
        node: VirtualNodeName,
        /// The step; 0 is the probe.
        step: u8,
        /// When the observation of the step ends.
        until: Timestamp,
    },
    /// Another node of the route was drained recently; the remaining nodes are observed under its load first.
    Settling {
        /// The node that was drained.
        drained: VirtualNodeName,
        /// When the observation ends.
        until: Timestamp,
    },
    /// The step has lasted long enough, but the node's request alarms had no data: missing data does not prove health.
    Unproven {
        /// The node.
        node: VirtualNodeName,
        /// The number of data points in the step.
        seen: u32,
        /// The number of data points needed.
        needed: u16,
        /// The health of the node.
        health: Health,
        /// The metrics that lack data or cannot be read.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<MissingProof>,
    },
    /// The node was drained too often; it stays drained until the oldest drain leaves the window.
    FlapBudget {
        /// The node.
        node: VirtualNodeName,
        /// The number of drains in the window.
        drains: usize,
        /// When the oldest drain leaves the window.
        until: Timestamp,
    },
    /// The health of a drained node is unknown: its alarm is deleted, muted or unreadable.
    NoVerdict {
        /// The node.
        node: VirtualNodeName,
        /// The health of the node.
        health: Health,
    },
    /// An operator changed targets or weights by hand.
    PersonEdited {
        /// The split that is left unchanged.
        split: WeightSplit,
        /// When the edit was first observed.
        seen: Timestamp,
        /// When the hold ends, unless the route is released earlier.
        until: Timestamp,
    },
    /// Failing nodes still carry part of their share: no other target has capacity for it.
    Unplaced {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The percentage points that stay with them.
        unplaced: u8,
    },
    /// No other target is known or declared to be ready.
    NothingEligible {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The other targets, each with its obstacle.
        others: Vec<Ineligible>,
    },
    /// Several nodes fail together and no call between them explains it; moving traffic could make the outage worse.
    CommonCause {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
    },
    /// Some callers report that the node fails, and others report with data that it does not: the failure may be on the
    /// callers' side.
    CallersDisagree {
        /// The node.
        node: VirtualNodeName,
        /// The callers that report a failure.
        failing: Vec<CallerAlarm>,
        /// The callers that report success.
        healthy: Vec<CallerAlarm>,
    },
    /// The node calls a failing node, which explains its own alarm.
    DependencyFailing {
        /// The node.
        node: VirtualNodeName,
        /// The failing nodes that it calls.
        calls: Vec<VirtualNodeName>,
    },
    /// No route targets the node, so there are no weights to move.
    NoRoute {
        /// The node.
        node: VirtualNodeName,
        /// The services that it provides without a router.
        provides: Vec<VirtualServiceName>,
    },
    /// The target of an alarm does not exist in the mesh.
    NodeMissing {
        /// The node.
        node: VirtualNodeName,
        /// The alarms that report it.
        alarms: Vec<AlarmName>,
    },
    /// The alarm is muted: an operator disabled its actions, or a suppressor is active.
    Muted {
        /// The node.
        node: VirtualNodeName,
        /// The alarms.
        alarms: Vec<AlarmName>,
        /// The cause of the mute, for each alarm.
        by: Vec<Muted>,
    },
    /// The change would cause harm.
    Harmful {
        /// The harms, by stable id and text.
        harms: Vec<HarmFact>,
        /// The split that was refused.
        refused: WeightSplit,
    },
    /// The budget of shifts in this window is spent.
    BudgetSpent {
        /// The number of shifts made in this window.
        used: u32,
        /// The number of shifts allowed per window.
        cap: u32,
    },
    /// An operator has set the kill switch.
    KillSwitchOn {
        /// The operator.
        by: String,
        /// The operator's reason.
        why: String,
    },
    /// The stored record of the route cannot be read; a decision without it could overwrite an operator's edit.
    RecordUnreadable {
        /// The error.
        why: String,
    },
    /// The route was read at an older version than the stored one; it is read again.
    StaleRead {
        /// The version read.
        read: u64,
        /// The version stored.
        known: u64,
    },
    /// All weights of the route are declared as 0, so there are no shares to move.
    DeclaredDrained,
    /// No run of traffic-shift has renewed the rollout on the route. It is rolled back after a limit.
    Unattended {
        /// The id of the rollout.
        rollout: String,
        /// When it should have been renewed.
        attend_by: Timestamp,
        /// When it is rolled back.
        roll_back_at: Timestamp,
        /// The reason why an overdue rollback waits; absent before it is due.
        #[serde(skip_serializing_if = "Option::is_none")]
        waits_for: Option<String>,
    },
    /// The restore deadline of a drill has passed, and the restore waits.
    RestoreOverdue {
        /// The id of the drill.
        drill: String,
        /// The deadline.
        restore_by: Timestamp,
        /// The reason why the restore waits.
        waits_for: String,
    },
    /// A target that a rollout brings traffic to fails, and the rollback waits.
    RollbackWaits {
        /// The id of the rollout.
        rollout: String,
        /// The reason for the rollback.
        cause: EndReason,
        /// The reason why it waits.
        waits_for: String,
    },
}

/// The reason for a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ActReason {
    /// Nodes fail; their share moves to other targets.
    Failover {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that report the failure.
        alarms: Vec<AlarmName>,
    },
    /// Nodes fail; part of their share moves to other targets, and the rest stays because no target has capacity
    /// for it.
    PartialSpill {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that report the failure.
        alarms: Vec<AlarmName>,
        /// The percentage points that stay.
        unplaced: u8,
    },
    /// A returning node fails again and is drained at once.
    BackDown {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that report the failure.
        alarms: Vec<AlarmName>,
        /// The failing nodes that were not drained before; their share moves with the same write.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        drained_too: Vec<VirtualNodeName>,
    },
    /// A node had the probe share without proof, and its alarms did not clear or had no data; it is drained again.
    TrialEnded {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A node receives the probe share or its next step.
    Failback {
        /// The returning nodes, each with its new step.
        returning: Vec<Return>,
    },
    /// All nodes have returned; the original weights are written.
    Restore {
        /// The nodes that returned.
        returned: Vec<VirtualNodeName>,
    },
    /// A rollout is rolled back, and failing nodes are drained with the same write.
    Rollback {
        /// The id of the rollout.
        rollout: String,
        /// The reason.
        cause: EndReason,
        /// The alarms that report a failure.
        alarms: Vec<AlarmName>,
        /// The failing nodes that are drained with the same write.
        drained: Vec<VirtualNodeName>,
    },
    /// A drill ends, and failing nodes are drained with the same write.
    DrillRestored {
        /// The id of the drill.
        drill: String,
        /// The reason.
        cause: EndReason,
        /// The alarms that report a failure.
        alarms: Vec<AlarmName>,
        /// The failing nodes that are drained with the same write.
        drained: Vec<VirtualNodeName>,
    },
    /// The layers are written again over a declared split.
    Reapplied {
        /// The declared split.
        declared: WeightSplit,
    },
    /// The promoted split is written over the split from before the promotion.
    StaleDeclaration {
        /// The promoted split.
        promoted: WeightSplit,
    },
    /// The state table was lost during a rollout or drill; the declared split is written without failing nodes.
    StateLost {
        /// The failing nodes.
        drained: Vec<VirtualNodeName>,
    },
}

impl ActReason {
    /// Whether the change pages: an operator has to act although the weights are right.
    #[must_use]
    pub fn pages(&self) -> bool {
        let by_cause = |cause: &EndReason| matches!(cause.entry().paging, crate::reason_entry::Paging::AtOnce);
        match self {
            Self::Rollback { cause, .. } | Self::DrillRestored { cause, .. } => by_cause(cause),
            Self::StaleDeclaration { .. } | Self::StateLost { .. } => true,
            Self::Failover { .. }
            | Self::PartialSpill { .. }
            | Self::BackDown { .. }
            | Self::TrialEnded { .. }
            | Self::Failback { .. }
            | Self::Restore { .. }
            | Self::Reapplied { .. } => false,
        }
    }
}

/// A returning node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    /// The node.
    pub node: VirtualNodeName,
    /// The step; 0 is the probe.
    pub step: u8,
    /// Whether this is a probe without proof, allowed by the policy because the node's alarms cannot clear
    /// without requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_proof: bool,
}

/// A target that may not receive more traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ineligible {
    /// The target.
    pub node: VirtualNodeName,
    /// Its obstacle.
    pub why: Obstacle,
}

/// The reason why a target may not receive more traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Obstacle {
    /// Its own alarm is in `ALARM`.
    InAlarm {
        /// The alarms.
        alarms: Vec<AlarmName>,
    },
    /// Its health is unknown, and the policy does not declare it ready.
    NotKnownReady {
        /// The reason why its health is unknown.
        unknown: Unknown,
    },
    /// It is drained or returning.
    NotBackYet,
    /// It carries its declared capacity.
    Full,
    /// A rollout brings traffic to it; it receives nothing above the step.
    UnderRollout,
    /// It is a standby, but not a target of the route; add it with weight 0.
    NotATarget,
    /// It does not exist in the mesh.
    Missing,
}

/// Derives the code of a reason from its serialised tag.
macro_rules! code {
    ($($reason:ident),*) => {$(
        impl $reason {
            /// The stable code.
            #[must_use]
            pub fn code(&self) -> String {
                let value = serde_json::to_value(self).unwrap_or_default();
                value.get("reason").and_then(|code| code.as_str()).unwrap_or("unprintable").to_owned()
            }
        }
    )*};
}
code!(KeepReason, HoldReason, ActReason);

impl HoldReason {
    /// The node that the hold is about, if it is about a single node.
    #[must_use]
    pub fn node(&self) -> Option<&VirtualNodeName> {
        match self {
            Self::InsideDwell { node, .. }
            | Self::InsideStep { node, .. }
            | Self::Unproven { node, .. }
            | Self::FlapBudget { node, .. }
            | Self::NoVerdict { node, .. }
            | Self::DependencyFailing { node, .. }
            | Self::NoRoute { node, .. }
            | Self::NodeMissing { node, .. }
            | Self::Muted { node, .. } => Some(node),
            Self::Settling { drained, .. } => Some(drained),
            Self::PersonEdited { .. }
            | Self::Unplaced { .. }
            | Self::NothingEligible { .. }
            | Self::CommonCause { .. }
            | Self::CallersDisagree { .. }
            | Self::Harmful { .. }
            | Self::BudgetSpent { .. }
            | Self::KillSwitchOn { .. }
            | Self::RecordUnreadable { .. }
            | Self::StaleRead { .. }
            | Self::DeclaredDrained
            | Self::Unattended { .. }
            | Self::RestoreOverdue { .. }
            | Self::RollbackWaits { .. } => None,
        }
    }
}

/// The route or node that a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// A route.
    Route(RouteId),
    /// A virtual node that no route targets.
    Node(VirtualNodeName),
}
