//! What is remembered of a route between two wakes, and the restore point that travels with the route itself.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reason::Told;
use crate::name::VirtualNodeName;
use crate::weights::WeightSplit;

/// The key of the route tag that carries the restore point.
pub const RESTORE_TAG: &str = "meshwarden:restore";

/// The document of a route in the state table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteRecord {
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
    /// What people were last told.
    pub told: Option<Told>,
}

/// The document of a node that no route carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeRecord {
    /// What people were last told; unset once there is nothing to tell.
    pub told: Option<Told>,
}

/// What is to be said of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwedNote {
    /// The code of its reason.
    pub code: String,
    /// Its reason, for people.
    pub text: String,
}

impl RouteRecord {
    /// The record of a route that is seen for the first time.
    #[must_use]
    pub fn first_seen(uid: String, version: u64, split: WeightSplit) -> Self {
        Self {
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
        }
    }
}

/// Where a fail-over stands. The default is a route in its declared state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
        /// Since when.
        since: Timestamp,
    },
    /// It carries a part of its share: the probe share at step 0, then one step of the policy after the other.
    Returning {
        /// Which step.
        step: u8,
        /// Since when.
        since: Timestamp,
    },
}

/// A write of weights, remembered before it is made so that a crash in between loses nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    /// What people are told once the write is made.
    #[serde(default)]
    pub note: Option<OwedNote>,
}

/// Somebody else's change of targets or weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    use crate::failover::sample::{at, split};

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
