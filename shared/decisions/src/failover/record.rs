//! The documents that route-failover stores. The writers of rollouts and drills store the same document of a route.
//!
//! During an upgrade, functions of two versions read and write the same documents. Unknown members are ignored in
//! nested objects, and survive a write at the top level of a route's document. A change that an older version must not
//! ignore raises [`FORMAT`]: an older version then holds and reports the format.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reason::ActReason;
use crate::decision::LastNotification;
use crate::reason_entry::Paging;
use crate::weights::{DeclaredCode, FailoverLayer, Layers, PendingWrite, StoredLayers};
use mesh::failures::Failures;
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;
use mesh::watch::Watch;

pub use crate::weights::{Edit, Phase};

/// The newest format of a route's document that this version can act on.
pub const FORMAT: u32 = 2;

/// The format of a document with a rollout or a drill, which older versions must not act on.
const LAYERED_FORMAT: u32 = 2;

/// The document of a route in the state table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRecord {
    /// The format of the document. Absent in documents of the first versions, which had format 1.
    #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
    pub format: u32,
    /// The uid of the route; distinguishes it from a deleted and recreated route of the same name.
    pub uid: String,
    /// The newest version of the route that was read or written. A read with an older version is stale.
    pub version: u64,
    /// The split as last read or written by Meshwarden. A different split on the route is an operator's edit.
    pub split: WeightSplit,
    /// The state of the failover.
    pub shift: Shift,
    /// A write that was begun and has no recorded outcome yet.
    pub intent: Option<Intent>,
    /// An operator's edit or hold that is in effect.
    pub edit: Option<Edit>,
    /// When each node was drained, newest last, within the flap window.
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The number of restore points that the route has had.
    pub epoch: u64,
    /// Whether the restore tag may still be on the route although no shift is in place.
    pub stale_tag: bool,
    /// Whether the restore tag could not be set, or may not have been set.
    #[serde(default)]
    pub tag_missing: bool,
    /// When the newest release in effect was requested. The same release delivered again has no effect.
    #[serde(default)]
    pub released: Option<Timestamp>,
    /// The notification of a change that was made but is not reported yet.
    #[serde(default)]
    pub owed: Option<OwedNote>,
    /// The last notification of a decision.
    #[serde(rename = "told")]
    pub last_notification: Option<LastNotification>,
    /// When each condition that outlasts other decisions was last paged, by the key of the condition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paged: BTreeMap<String, Timestamp>,
    /// When each node last received the probe share without proof, newest last, within the policy's window.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// How long the last decision has been the same on the same facts; absent after a final decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// The layers of rollouts and drills.
    #[serde(default, skip_serializing_if = "StoredLayers::is_default")]
    pub layers: StoredLayers,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The document of a node that no route targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// The last notification of a decision; absent if there is nothing to report.
    #[serde(rename = "told", default)]
    pub last_notification: Option<LastNotification>,
    /// How long the last decision has been the same on the same facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

/// The document for alarms, failures and plans that belong to no single route or node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionRecord {
    /// The alarms in `ALARM` that lead to no decision, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<String, HeldAlarm>,
    /// The failed reads and writes.
    pub failures: Failures,
    /// The plans that were made but not executed, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, Watch>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The stored state of an alarm that leads to no decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldAlarm {
    /// The last notification about it.
    #[serde(rename = "told")]
    pub last_notification: LastNotification,
    /// Whether an event named the alarm; it is then a hold even without any other wiring to the function.
    #[serde(default)]
    pub named: bool,
}

/// A notification that is still to be sent for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedNote {
    /// The code of the reason.
    pub code: String,
    /// The text of the reason.
    pub text: String,
}

impl OwedNote {
    /// Whether the change was made by Meshwarden; a declared write was not.
    #[must_use]
    pub fn is_own_change(&self) -> bool {
        DeclaredCode::ENTRIES.iter().all(|entry| entry.code != self.code)
            || ActReason::ENTRIES.iter().any(|entry| entry.code == self.code)
    }

    /// Whether the notification pages.
    #[must_use]
    pub fn pages(&self) -> bool {
        let entries = ActReason::ENTRIES.iter().chain(DeclaredCode::ENTRIES);
        entries.into_iter().any(|entry| entry.code == self.code && entry.paging != Paging::Never)
    }
}

impl RouteRecord {
    /// The record of a route without a stored record.
    #[must_use]
    pub fn first_seen(uid: String, version: u64, split: WeightSplit) -> Self {
        Self {
            format: first_format(),
            uid,
            version,
            split,
            shift: Shift::default(),
            intent: None,
            edit: None,
            drains: BTreeMap::new(),
            epoch: 0,
            stale_tag: false,
            tag_missing: false,
            released: None,
            owed: None,
            last_notification: None,
            paged: BTreeMap::new(),
            trials: BTreeMap::new(),
            watch: None,
            layers: StoredLayers::default(),
            unknown: BTreeMap::new(),
        }
    }

    /// The format in which the record is stored: the first one, unless a rollout or a drill is on the route or is about
    /// to be.
    #[must_use]
    pub fn stored_format(&self) -> u32 {
        let begun = self.intent.as_ref().and_then(|intent| intent.layers.as_deref());
        let is_layered = self.layers.has_layer() || begun.is_some_and(StoredLayers::has_layer);
        if is_layered { LAYERED_FORMAT } else { first_format() }
    }

    /// The split that failover restores: its restore point, or the split of the route.
    #[must_use]
    pub fn restore_split(&self) -> &WeightSplit {
        self.shift.restore.as_ref().map_or(&self.split, |point| &point.split)
    }

    /// The declared split.
    #[must_use]
    pub fn declared(&self) -> &WeightSplit {
        // While the promoted split is to be written again, the route has the split from before the promotion.
        let promoted =
            self.layers.promoted.as_ref().filter(|_| self.layers.pending == Some(PendingWrite::StaleDeclaration));
        let stored = self.layers.declared.as_ref().or(promoted.map(|promoted| &promoted.promoted));
        stored.unwrap_or_else(|| self.restore_split())
    }

    /// All layers of the route.
    #[must_use]
    pub fn all_layers(&self) -> Layers {
        Layers {
            declared: self.declared().clone(),
            rollout: self.layers.rollout.clone(),
            drill: self.layers.drill.clone(),
            failover: FailoverLayer { phases: self.shift.phases.clone(), unplaced: self.shift.unplaced },
            held: self.edit,
        }
    }
}

const fn first_format() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first_format(format: &u32) -> bool {
    *format == 1
}

/// The state of a failover. The default is a route in its declared state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// The split before the failover, which a restore writes again; absent while no node is shifted.
    pub restore: Option<RestorePoint>,
    /// The nodes that do not carry their whole share.
    pub phases: BTreeMap<VirtualNodeName, Phase>,
    /// The percentage points that stay on failing nodes because no other target has capacity for them.
    pub unplaced: u8,
}

/// The exact split before a failover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePoint {
    /// The number of the restore point, counted from 1 on each route.
    pub epoch: u64,
    /// The split.
    pub split: WeightSplit,
    /// When the split was recorded.
    pub taken: Timestamp,
}

/// A write of weights, stored before the write so that a crash in between loses no state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The id of the plan.
    pub plan: String,
    /// The split after the write.
    pub to: WeightSplit,
    /// The version of the route that the plan is based on.
    pub version: u64,
    /// The state of the failover after the write.
    pub then: Shift,
    /// The drains after the write.
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The probes without proof after the write.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The notification to send after the write.
    #[serde(default)]
    pub note: Option<OwedNote>,
    /// The layers of rollouts and drills after the write; absent if the write leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Box<StoredLayers>>,
}
