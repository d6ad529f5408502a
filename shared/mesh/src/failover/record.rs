//! The documents that route-failover stores, and the restore point that travels with the route itself.
//!
//! During an upgrade functions of two versions read and write the same documents. Members that a version does not know
//! are ignored in parts of a document, and survive a write at the top of a route's document. A change that an older
//! version must not ignore raises [`FORMAT`]: an older version then holds, and reports the number.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reason::Told;
use crate::failures::Failures;
use crate::name::VirtualNodeName;
use crate::watch::Watch;
use crate::weights::WeightSplit;

/// The key of the route tag that carries the restore point.
pub const RESTORE_TAG: &str = "meshwarden:restore";

/// The newest format of a route's document that this version can act on.
pub const FORMAT: u32 = 1;

/// The document of a route in the state table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRecord {
    /// The format of the document. Absent in documents of the first versions, which had format 1.
    #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
    pub format: u32,
    /// What tells the route from another one of the same name, made after this one was deleted.
    pub uid: String,
    /// The newest version of the route that was seen or written. A read that gives an older one comes too late.
    pub version: u64,
    /// The split as Meshwarden last saw or wrote it. Another one on the route is somebody else's edit.
    pub split: WeightSplit,
    /// Where the fail-over stands.
    pub shift: Shift,
    /// A write that was begun and not yet finished.
    pub intent: Option<Intent>,
    /// An edit that is being respected.
    pub edit: Option<Edit>,
    /// When each node was drained, newest last, within the flap window.
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// How many restore points the route has had.
    pub epoch: u64,
    /// The restore tag may still be on the route although nothing is shifted any more.
    pub stale_tag: bool,
    /// The restore tag could not be set, or nobody knows whether it was.
    #[serde(default)]
    pub tag_missing: bool,
    /// When the newest release that was followed was asked for. The same one delivered again changes nothing more.
    #[serde(default)]
    pub released: Option<Timestamp>,
    /// A change that is made and that nobody was told of yet.
    #[serde(default)]
    pub owed: Option<OwedNote>,
    /// The last reported decision.
    pub told: Option<Told>,
    /// When each condition that outlasts other decisions was last paged, by the key of the condition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paged: BTreeMap<String, Timestamp>,
    /// When each node was last given the probe share without proof, the newest last, within the policy's window.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// How long the last decision has been the same on the same facts; unset after a final one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The document of a node that no route carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// The last reported decision; unset once there is nothing to report.
    #[serde(default)]
    pub told: Option<Told>,
    /// How long the last decision has been the same on the same facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

/// The document of what the function remembers apart from routes and nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionRecord {
    /// The alarms that are in `ALARM` and lead to no decision, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<String, HeldAlarm>,
    /// What could not be read or written.
    pub failures: Failures,
    /// The plans that were made and not executed, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, Watch>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What is remembered of an alarm that leads to no decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldAlarm {
    /// What was reported of it.
    pub told: Told,
    /// Whether an event named it, so that it is a hold even if nothing else ties it to the function.
    #[serde(default)]
    pub named: bool,
}

/// What is to be said of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedNote {
    /// The code of its reason.
    pub code: String,
    /// Its reason, for people.
    pub text: String,
}

/// Why a stored document cannot be acted on.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The document is not one of a route.
    #[error("{0}")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version has written it in a format whose meaning is not known here.
    #[error("a newer version wrote it in format {format}, this version reads up to {FORMAT}; update the function")]
    NewerFormat {
        /// The format of the document.
        format: u64,
    },
}

impl RouteRecord {
    /// Reads a stored document.
    pub fn read(document: &Value) -> Result<Self, RecordError> {
        // The number goes first: what else a newer format has may not be readable at all.
        if let Some(format) = document.get("format").and_then(Value::as_u64).filter(|given| *given > u64::from(FORMAT))
        {
            return Err(RecordError::NewerFormat { format });
        }
        Ok(Self::deserialize(document)?)
    }

    /// The record of a route that is seen for the first time.
    #[must_use]
    pub fn first_seen(uid: String, version: u64, split: WeightSplit) -> Self {
        Self {
            format: FORMAT,
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
            told: None,
            paged: BTreeMap::new(),
            trials: BTreeMap::new(),
            watch: None,
            unknown: BTreeMap::new(),
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

/// Where a fail-over stands. The default is a route in its declared state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// The split before the event, whose integers a restore writes again; unset while nothing is shifted.
    pub restore: Option<RestorePoint>,
    /// The nodes that do not carry their whole share.
    pub phases: BTreeMap<VirtualNodeName, Phase>,
    /// Percentage points that are still on failing nodes because nobody could take them.
    pub unplaced: u8,
}

/// The exact split before the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePoint {
    /// Which one it is, counted from 1 on each route.
    pub epoch: u64,
    /// The split.
    pub split: WeightSplit,
    /// When it was taken.
    pub taken: Timestamp,
}

/// How far a node is from carrying its whole share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Phase {
    /// It carries nothing (or only what nobody else could take).
    Drained {
        /// When it was drained.
        since: Timestamp,
        /// When its alarms were last in `ALARM`, once they no longer are. States that follow, such as alternating `OK`
        /// and `INSUFFICIENT_DATA`, do not move it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quiet: Option<Timestamp>,
    },
    /// It carries a part of its share: the probe share at step 0, then one step of the policy after the other.
    Returning {
        /// The step.
        step: u8,
        /// When the step began.
        since: Timestamp,
        /// Whether the probe share was given without proof, because the node's alarms cannot leave `ALARM` without
        /// traffic.
        #[serde(default, skip_serializing_if = "is_false")]
        trial: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Phase {
    /// A node that is drained now.
    #[must_use]
    pub const fn drained(since: Timestamp) -> Self {
        Self::Drained { since, quiet: None }
    }

    /// A node that begins a step now.
    #[must_use]
    pub const fn returning(step: u8, since: Timestamp) -> Self {
        Self::Returning { step, since, trial: false }
    }
}

/// A write of weights, remembered before it is made so that a crash in between loses nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The plan's id.
    pub plan: String,
    /// The split it makes.
    pub to: WeightSplit,
    /// The route's version it is based on.
    pub version: u64,
    /// Where the fail-over stands once the write is made.
    pub then: Shift,
    /// The drains once the write is made.
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The probes without proof once the write is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// What people are told once the write is made.
    #[serde(default)]
    pub note: Option<OwedNote>,
}

/// Somebody else's change of targets or weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// When it was first seen.
    pub seen: Timestamp,
    /// Until when it wins.
    pub until: Timestamp,
}

/// A restore point as a route tag carries it: `1.<epoch>.<hash of the ordered targets>.<w1-w2-...>`. It is valid only
/// while the route has the same targets in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTag {
    epoch: u64,
    targets: String,
    weights: Vec<u8>,
}

impl RestoreTag {
    /// The tag of a restore point.
    #[must_use]
    pub fn of(point: &RestorePoint) -> Self {
        Self { epoch: point.epoch, targets: point.split.targets_hash(), weights: point.split.weights() }
    }

    /// Reads a tag's value; `None` for anything else.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let (Some("1"), Some(epoch), Some(targets), Some(weights), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self {
            epoch: epoch.parse().ok()?,
            targets: targets.to_owned(),
            weights: weights.split('-').map(|weight| weight.parse().ok()).collect::<Option<_>>()?,
        })
    }

    /// The restore point that it stands for, if the route still has these targets.
    #[must_use]
    pub fn point(&self, current: &WeightSplit, now: Timestamp) -> Option<RestorePoint> {
        (current.targets_hash() == self.targets).then_some(())?;
        Some(RestorePoint { epoch: self.epoch, split: current.with_weights(&self.weights).ok()?, taken: now })
    }
}

impl fmt::Display for RestoreTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights: Vec<String> = self.weights.iter().map(u8::to_string).collect();
        write!(f, "1.{}.{}.{}", self.epoch, self.targets, weights.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::sample::{at, node, split};

    /// A document as the first version wrote it, with a drained node.
    fn first_document() -> Value {
        serde_json::json!({
            "uid": "u1", "version": 3,
            "split": [{ "virtualNode": "v1", "weight": 0 }, { "virtualNode": "v2", "weight": 100 }],
            "shift": {
                "restore": { "epoch": 1, "taken": "2026-10-05T12:00:00Z",
                    "split": [{ "virtualNode": "v1", "weight": 50 }, { "virtualNode": "v2", "weight": 50 }] },
                "phases": { "v1": { "phase": "drained", "since": "2026-10-05T12:00:00Z" } },
                "unplaced": 0,
            },
            "intent": null, "edit": null, "drains": { "v1": ["2026-10-05T12:00:00Z"] }, "epoch": 1,
            "staleTag": false, "told": null,
        })
    }

    #[test]
    fn document_of_the_first_version_is_read() {
        let record = RouteRecord::read(&first_document()).unwrap();
        assert_eq!(record.format, 1);
        assert_eq!(record.shift.phases[&node("v1")], Phase::drained(at(0)));
        let written = serde_json::to_value(&record).unwrap();
        for added in ["format", "paged", "trials", "watch"] {
            assert_eq!(
                written.get(added),
                None,
                "{added} is absent while it says nothing, so that older versions read it"
            );
        }
    }

    #[test]
    fn members_of_a_newer_version_survive_at_the_top_and_are_ignored_in_parts() {
        let mut newer = first_document();
        newer["lastWriter"] = "0.9".into();
        newer["shift"]["mood"] = 1.into();
        newer["shift"]["phases"]["v1"]["colour"] = "blue".into();
        newer["told"] = serde_json::json!({ "code": "Failover", "since": "2026-10-05T12:00:00Z", "repeats": 0,
            "paged": null, "channel": "sms" });
        let record = RouteRecord::read(&newer).unwrap();
        assert_eq!(record.told.as_ref().unwrap().code, "Failover");
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["lastWriter"], "0.9");
    }

    #[test]
    fn document_of_a_newer_format_is_not_acted_on() {
        let mut newer = first_document();
        newer["format"] = 2.into();
        newer["shift"] = "elsewhere".into();
        let error = RouteRecord::read(&newer).unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("update the function"), "{error}");
    }

    #[test]
    fn a_restore_tag_reads_back() {
        let point = RestorePoint { epoch: 3, split: split(&[("v1", 90), ("v2", 10)]), taken: at(0) };
        let tag = RestoreTag::of(&point).to_string();
        assert!(tag.len() <= 256, "a tag's value has at most 256 characters");
        let shifted = split(&[("v1", 0), ("v2", 100)]);
        assert_eq!(RestoreTag::parse(&tag).unwrap().point(&shifted, at(0)), Some(point));
    }

    #[test]
    fn a_restore_tag_is_void_once_the_targets_change() {
        let point = RestorePoint { epoch: 3, split: split(&[("v1", 90), ("v2", 10)]), taken: at(0) };
        let tag = RestoreTag::of(&point);
        for other in [split(&[("v2", 90), ("v1", 10)]), split(&[("v1", 90)]), split(&[("v1", 1), ("v3", 1)])] {
            assert_eq!(tag.point(&other, at(0)), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_restore_tag_is_none() {
        for value in ["", "1", "2.1.ab.1-2", "1.x.ab.1-2", "1.1.ab.300", "1.1.ab.1-2.3", "1.1.ab."] {
            assert_eq!(RestoreTag::parse(value), None, "{value}");
        }
    }
}
