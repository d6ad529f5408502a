//! Why: every decision's stable code with its facts, the same in the log line, the metric, the journal and the docs.

mod display;
mod entries;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::health::{Health, Unknown};
use super::proof::{MissingProof, StuckInAlarm};
use super::targets::{CallerAlarm, Muted};
use crate::alarm::AlarmName;
use crate::name::{RouteId, VirtualNodeName, VirtualServiceName};
use crate::weights::WeightSplit;

/// Why nothing needs doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum KeepReason {
    /// The route is as it was declared, and no alarm speaks against it.
    Steady,
    /// A failing node is drained already.
    AlreadyShifted {
        /// The drained nodes.
        drained: Vec<VirtualNodeName>,
        /// The alarms that cannot leave `ALARM` while their node has no requests, so that nothing ever brings it back.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        stuck: Vec<StuckAlarm>,
    },
    /// A node fails to which the route gives no traffic, as a standby that would not be ready.
    FailingWithoutTraffic {
        /// The nodes.
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

/// Why something that may need doing is not done now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum HoldReason {
    /// The node's alarm is out of `ALARM`, but not for long enough.
    InsideDwell {
        /// Which node.
        node: VirtualNodeName,
        /// When the dwell ends.
        until: Timestamp,
    },
    /// A step of the fail-back is still being watched.
    InsideStep {
        /// Which node.
        node: VirtualNodeName,
        /// Which step.
        step: u8,
        /// When it has been watched long enough.
        until: Timestamp,
    },
    /// Another node of the route was drained a moment ago, and the others are watched under its load first.
    Settling {
        /// The node that was drained.
        drained: VirtualNodeName,
        /// Until when.
        until: Timestamp,
    },
    /// The step's time is over, but the node's request alarms have had no data: silence is not health.
    Unproven {
        /// Which node.
        node: VirtualNodeName,
        /// Data points seen in the step.
        seen: u32,
        /// Data points needed.
        needed: u16,
        /// What the node's alarms say.
        health: Health,
        /// The metrics that lack data or cannot be read.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<MissingProof>,
    },
    /// The node was drained too often; it stays drained until the oldest drain is out of the window.
    FlapBudget {
        /// Which node.
        node: VirtualNodeName,
        /// How often it was drained in the window.
        drains: usize,
        /// When the oldest leaves it.
        until: Timestamp,
    },
    /// What was drained can't be judged any more: its alarm is gone, muted or unreadable.
    NoVerdict {
        /// Which node.
        node: VirtualNodeName,
        /// What there is to go by.
        health: Health,
    },
    /// Somebody changed targets or weights by hand.
    PersonEdited {
        /// The split that is being left alone.
        split: WeightSplit,
        /// When it was first seen.
        seen: Timestamp,
        /// Until when, unless it is released.
        until: Timestamp,
    },
    /// Failing nodes still carry a part of their share: no other target has capacity for it.
    Unplaced {
        /// The nodes.
        failing: Vec<VirtualNodeName>,
        /// Percentage points that stay with them.
        unplaced: u8,
    },
    /// No other target is known or declared to be ready.
    NothingEligible {
        /// Which node fails.
        failing: Vec<VirtualNodeName>,
        /// Why not each of the others.
        others: Vec<Ineligible>,
    },
    /// Several nodes fail at once with no call between them that explains it; moving traffic could only make it worse.
    CommonCause {
        /// The nodes.
        failing: Vec<VirtualNodeName>,
    },
    /// Some callers of the node report that it fails, and others report with data that it does not: the callers' side
    /// may be what fails.
    CallersDisagree {
        /// The node.
        node: VirtualNodeName,
        /// The callers that report a failure.
        failing: Vec<CallerAlarm>,
        /// The callers that report none.
        healthy: Vec<CallerAlarm>,
    },
    /// The node calls another one that fails; its own alarm is explained by that.
    DependencyFailing {
        /// Which node.
        node: VirtualNodeName,
        /// What it calls.
        calls: Vec<VirtualNodeName>,
    },
    /// The node is no route's target, so there are no weights to move.
    NoRoute {
        /// Which node.
        node: VirtualNodeName,
        /// The services that it provides without a router.
        provides: Vec<VirtualServiceName>,
    },
    /// An alarm speaks of a node that the mesh does not have.
    NodeMissing {
        /// Which node.
        node: VirtualNodeName,
        /// The alarms that speak of it.
        alarms: Vec<AlarmName>,
    },
    /// Somebody has switched the alarm's actions off, or a suppressor has.
    Muted {
        /// Which node.
        node: VirtualNodeName,
        /// The alarms.
        alarms: Vec<AlarmName>,
        /// What mutes each of them.
        by: Vec<Muted>,
    },
    /// The change would break something.
    Harmful {
        /// What, by the stable ids of the harms and their texts.
        harms: Vec<HarmFact>,
        /// The split that was not made.
        refused: WeightSplit,
    },
    /// The window's shifts are spent.
    BudgetSpent {
        /// Shifts in this window.
        used: u32,
        /// Shifts allowed.
        cap: u32,
    },
    /// Everything is switched off.
    KillSwitchOn {
        /// By whom.
        by: String,
        /// Why.
        why: String,
    },
    /// What the state table has of the route can't be read; deciding without it could undo something.
    RecordUnreadable {
        /// What is wrong with it.
        why: String,
    },
    /// The route was read as it was before a write that is remembered; it is read again.
    StaleRead {
        /// The version that was read.
        read: u64,
        /// The version that is remembered.
        known: u64,
    },
    /// The route has no weight at all: its declared state sends traffic nowhere, and there are no shares to keep.
    DeclaredDrained,
}

/// Why something is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ActReason {
    /// Nodes fail; their share goes to others.
    Failover {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
    },
    /// Nodes fail; a part of their share goes to others, and the rest stays, since nobody can carry it.
    PartialSpill {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
        /// Percentage points that stay.
        unplaced: u8,
    },
    /// A node that was coming back fails again.
    BackDown {
        /// The failing nodes.
        failing: Vec<VirtualNodeName>,
        /// The alarms that say so.
        alarms: Vec<AlarmName>,
        /// Those of the failing nodes that had not been drained before; their share goes with the same write.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        drained_too: Vec<VirtualNodeName>,
    },
    /// A node had the probe share without proof, and its alarms did not clear or had no data: it is drained again.
    TrialEnded {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A node is tried again with the probe share, or with its next step.
    Failback {
        /// The nodes and the step that each is at now.
        returning: Vec<Return>,
    },
    /// Everything is back: the original integers are written.
    Restore {
        /// The nodes that came back.
        returned: Vec<VirtualNodeName>,
    },
}

/// A node on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Return {
    /// Which.
    pub node: VirtualNodeName,
    /// At which step; 0 is the probe.
    pub step: u8,
    /// Whether the policy allows the probe without proof, because the node's alarms cannot clear without requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_proof: bool,
}

/// Why a target may not receive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ineligible {
    /// Which.
    pub node: VirtualNodeName,
    /// Why not.
    pub why: Obstacle,
}

/// What stands between a target and more traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Obstacle {
    /// Its own alarm is on.
    InAlarm {
        /// Which.
        alarms: Vec<AlarmName>,
    },
    /// It is not known to be ready.
    NotKnownReady {
        /// What is missing.
        unknown: Unknown,
    },
    /// It is drained or on its way back itself.
    NotBackYet,
    /// It carries all that it is declared to be able to.
    Full,
    /// A standby that is not a target of the route; add it at weight 0.
    NotATarget,
    /// The mesh has no such node.
    Missing,
}

/// A harm as a decision records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HarmFact {
    /// Its stable id.
    pub id: String,
    /// What it is, for people.
    pub text: String,
}

/// Gives a reason its code, which is its serialised tag.
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
    /// The node that the hold is about, where it is about one.
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
            | Self::DeclaredDrained => None,
        }
    }
}

/// What people were last told of a route, so that the same thing is not said every minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The code of the reason.
    pub code: String,
    /// Since when it has held.
    pub since: Timestamp,
    /// How often it has come up again.
    pub repeats: u32,
    /// When somebody was last woken for it.
    pub paged: Option<Timestamp>,
}

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// A route.
    Route(RouteId),
    /// A virtual node that no route carries.
    Node(VirtualNodeName),
}
