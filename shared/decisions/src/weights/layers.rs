//! The layers of a route's split.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::WeightSplit;
use super::moves::Moves;
use super::phase::Phase;
use crate::reason_entry::reason_entries;
use mesh::amounts::Percent;
use mesh::name::VirtualNodeName;

/// The layers of a route's split, and the operator's hold on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// The split by the last operator, infrastructure-as-code role or promotion, integer by integer.
    pub declared: WeightSplit,
    /// The rollout that moves part of the declared shares.
    pub rollout: Option<RolloutLayer>,
    /// The drill that drains a node.
    pub drill: Option<DrillLayer>,
    /// The nodes that failover has drained or returns; empty without a failover.
    pub failover: FailoverLayer,
    /// The operator's edit or hold.
    pub held: Option<Edit>,
}

impl Layers {
    /// The layers of a route as declared.
    #[must_use]
    pub fn declared(declared: WeightSplit) -> Self {
        Self { declared, rollout: None, drill: None, failover: FailoverLayer::default(), held: None }
    }

    /// The edit or hold that is in effect at this time.
    #[must_use]
    pub fn held_at(&self, now: Timestamp) -> Option<Edit> {
        self.held.filter(|edit| now < edit.until)
    }
}

/// A rollout on a route. The layer exists from the first step that gives weight until promotion or rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutLayer {
    /// The id of the rollout.
    pub id: String,
    /// The moves.
    pub moves: Moves,
    /// The percentage of the moves.
    pub percent: Percent,
    /// When this percentage was planned.
    pub since: Timestamp,
    /// When all proxies had acknowledged this percentage; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// When the rollout counts as unattended, unless its function renews this time.
    pub attend_by: Timestamp,
    /// The most that each `to` may carry on this route in percentage points, if it may receive the traffic of failing
    /// nodes above its step. Absent: it receives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_capacity: Option<Percent>,
}

/// A drill on a route. The layer exists while the node is drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillLayer {
    /// The id of the drill.
    pub id: String,
    /// The drained node.
    pub node: VirtualNodeName,
    /// When the drain was planned.
    pub since: Timestamp,
    /// When any function restores the node.
    pub restore_by: Timestamp,
}

/// The failover of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverLayer {
    /// The nodes that do not carry their whole share.
    pub phases: BTreeMap<VirtualNodeName, Phase>,
    /// The percentage points that stay on failing nodes because no other target has capacity for them.
    pub unplaced: u8,
}

impl FailoverLayer {
    /// Whether a node is drained or returning.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.phases.is_empty()
    }
}

/// An operator's edit of targets or weights, or an operator's hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// When it was first observed.
    pub seen: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// The layers above the declared split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// The layer of a rollout.
    Rollout,
    /// The layer of a drill.
    Drill,
    /// The layer of a failover.
    Failover,
}

impl LayerKind {
    /// The name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Drill => "drill",
            Self::Failover => "failover",
        }
    }
}

/// The end of a layer, which its owner reads from the route's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerEnd {
    /// The kind of the layer.
    pub layer: LayerKind,
    /// The id of the rollout or drill.
    pub id: String,
    /// The reason.
    pub reason: EndReason,
    /// When it ended.
    pub at: Timestamp,
    /// The verdict of the function that ended its own layer, which only this function reads. It is stored with the weights,
    /// so that a process that is killed right after them loses no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Value>,
}

/// The reason why a rollout or a drill has ended on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndReason {
    /// The rollout's split is the declared one.
    Promoted,
    /// The function of the rollout rolled it back, for example after a failed gate.
    RolledBack,
    /// A target that the rollout brings traffic to fails.
    TargetFailed,
    /// An operator changed targets or weights, or a write of the declared split ended the drill.
    Interrupted,
    /// An operator restored the original weights.
    Aborted,
    /// The infrastructure-as-code role declares another split.
    DeclaredChanged,
    /// No run of the rollout's function renewed the layer in time.
    Unattended,
    /// The declared split and the rollout were written in turns.
    WritersFighting,
    /// The drill's time is over, or its function ended it.
    DrillEnded,
    /// A node that carries the drained node's traffic fails.
    DrillFailed,
    /// The restore deadline of the drill has passed.
    RestoreOverdue,
    /// The state table was lost during the rollout or drill, and the declared split is written.
    StateLost,
}

reason_entries! { EndReason {
    Promoted: Never,
        "The rollout's split is the declared one now.",
        "";
    RolledBack: Never,
        "traffic-shift rolled the rollout back: the split is that without the rollout.",
        "Read the rollout's own end for the gate or command that caused it.";
    TargetFailed: AtOnce,
        "A target that a rollout brings traffic to fails. The rollout is rolled back, and the target's declared share is drained.",
        "Repair the new version, then start the rollout with `--retry`.";
    Interrupted: Never,
        "An operator changed targets or weights during a rollout or drill, or the drilled node fails.",
        "Start the rollout or drill again if it is still wanted.";
    Aborted: Never,
        "An operator restored the original weights during a rollout.",
        "";
    DeclaredChanged: Never,
        "The infrastructure-as-code role declares another split during a rollout, so the rollout ends.",
        "Start the rollout again on the new split.";
    Unattended: AtOnce,
        "No run of traffic-shift renewed the rollout in time. It is rolled back after a limit.",
        "Repair traffic-shift; its log and its alarms name the error.";
    WritersFighting: AtOnce,
        "An infrastructure-as-code role has reverted the weights repeatedly. The rollout is rolled back.",
        "Let the role ignore the weights, or declare the split that is wanted.";
    DrillEnded: Never,
        "The drill's time is over, and the split before is written.",
        "";
    DrillFailed: AtOnce,
        "A node fails that carries traffic of the drilled node. The drill ends, and the split before is restored.",
        "Repair or enlarge the failing node: a real failover would have overloaded it.";
    RestoreOverdue: AtOnce,
        "failover-drill did not restore the split by the drill's deadline. route-failover restores it.",
        "Repair failover-drill; its log and its alarms name the error.";
    StateLost: AtOnce,
        "The state table was lost during a rollout or drill. The declared split is written.",
        "Check the state table, then start the rollout or drill again.";
}}

impl EndReason {
    /// The stable code, in the words of drills where the layer is a drill.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.entry().code
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::TargetFailed => "a target of the rollout fails",
            Self::Interrupted => "interrupted by another writer",
            Self::Aborted => "aborted by an operator",
            Self::DeclaredChanged => "another split was declared",
            Self::Unattended => "its function did not renew it",
            Self::WritersFighting => "the declared split was reverted repeatedly",
            Self::DrillEnded => "the drill has ended",
            Self::DrillFailed => "a node that receives the drilled node's traffic fails",
            Self::RestoreOverdue => "its restore deadline has passed",
            Self::StateLost => "the state table was lost",
        })
    }
}
