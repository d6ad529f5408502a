//! The restore point on the route's tag: a second copy of the declared weights, for the loss of the state table.

use std::fmt;

use jiff::Timestamp;

use super::record::{RestorePoint, RouteRecord};
use crate::weights::LayerKind;
use mesh::split::WeightSplit;

/// The key of the route tag that carries the restore point.
pub const RESTORE_TAG: &str = "meshwarden:restore";

/// A restore point in the format of a route tag: `1.<epoch>.<hash of the ordered targets>.<w1-w2-...>` during a failover
/// alone, and `2.<epoch>.<hash>.<w1-w2-...>.<layers>` while a rollout or a drill is on the route. The layers are the letters
/// `r`, `d` and `f`, and the weights are those declared. A tag is valid only while the route has the same targets in the
/// same order.
///
/// Version 1 must not be used during a rollout: a function that recovers from it would take `from` for a drained node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTag {
    epoch: u64,
    targets: String,
    weights: Vec<u8>,
    /// The layers; empty in version 1.
    layers: Vec<LayerKind>,
}

/// The letter of each layer, in the order of the tag.
const LETTERS: [(char, LayerKind); 3] =
    [('r', LayerKind::Rollout), ('d', LayerKind::Drill), ('f', LayerKind::Failover)];

impl RestoreTag {
    /// The tag of a failover's restore point, in version 1.
    #[must_use]
    pub fn new(point: &RestorePoint) -> Self {
        Self::of_split(point.epoch, &point.split, Vec::new())
    }

    fn of_split(epoch: u64, split: &WeightSplit, layers: Vec<LayerKind>) -> Self {
        Self { epoch, targets: split.targets_hash(), weights: split.weights(), layers }
    }

    /// Parses the value of a tag; `None` if it is not a valid restore point.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let parts: Vec<&str> = value.split('.').collect();
        let (epoch, targets, weights, layers) = match parts.as_slice() {
            ["1", epoch, targets, weights] => (epoch, targets, weights, Vec::new()),
            ["2", epoch, targets, weights, letters] => {
                let layer = |letter| LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, layer)| *layer);
                (epoch, targets, weights, letters.chars().map(layer).collect::<Option<Vec<_>>>()?)
            }
            _ => return None,
        };
        // Version 2 without a rollout or a drill is never written.
        let is_version_1 = parts.len() == 4;
        let is_layered = layers.iter().any(|layer| *layer != LayerKind::Failover);
        (is_version_1 || is_layered).then_some(())?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            targets: (*targets).to_owned(),
            weights: weights.split('-').map(|weight| weight.parse().ok()).collect::<Option<_>>()?,
            layers,
        })
    }

    /// The restore point, if the route still has the same targets.
    #[must_use]
    pub fn point(&self, current: &WeightSplit, now: Timestamp) -> Option<RestorePoint> {
        (current.targets_hash() == self.targets).then_some(())?;
        Some(RestorePoint { epoch: self.epoch, split: current.with_weights(&self.weights).ok()?, taken: now })
    }

    /// Whether a rollout or a drill was on the route. Its weights then say nothing about the health of nodes.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        !self.layers.is_empty()
    }
}

impl fmt::Display for RestoreTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights: Vec<String> = self.weights.iter().map(u8::to_string).collect();
        let version = if self.layers.is_empty() { 1 } else { 2 };
        write!(f, "{version}.{}.{}.{}", self.epoch, self.targets, weights.join("-"))?;
        if self.layers.is_empty() {
            return Ok(());
        }
        let letters = LETTERS.iter().filter(|(_, layer)| self.layers.contains(layer)).map(|(letter, _)| letter);
        write!(f, ".{}", letters.collect::<String>())
    }
}

/// The value that the tag of a route has; `None` for a route as declared.
#[must_use]
pub fn restore_tag(record: &RouteRecord) -> Option<String> {
    if record.layers.has_layer() {
        let on = |layer: &LayerKind| match layer {
            LayerKind::Rollout => record.layers.rollout.is_some(),
            LayerKind::Drill => record.layers.drill.is_some(),
            LayerKind::Failover => !record.shift.phases.is_empty(),
        };
        let layers = LETTERS.map(|(_, layer)| layer).into_iter().filter(on).collect();
        return Some(RestoreTag::of_split(record.epoch, record.declared(), layers).to_string());
    }
    record.shift.restore.as_ref().map(|point| RestoreTag::new(point).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::{at, node, split};
    use crate::failover::record::Phase;
    use crate::weights::{DrillLayer, StoredLayers};

    #[test]
    fn restore_tag_round_trips() {
        let point = RestorePoint { epoch: 3, split: split(&[("v1", 90), ("v2", 10)]), taken: at(0) };
        let tag = RestoreTag::new(&point).to_string();
        assert!(tag.len() <= 256, "a tag's value has at most 256 characters");
        let shifted = split(&[("v1", 0), ("v2", 100)]);
        assert_eq!(RestoreTag::parse(&tag).unwrap().point(&shifted, at(0)), Some(point));
    }

    #[test]
    fn version_2_has_the_declared_weights_and_the_layers() {
        let mut record = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 0), ("v2", 100)]));
        assert_eq!(restore_tag(&record), None);
        record.shift.restore = Some(RestorePoint { epoch: 7, split: split(&[("v1", 90), ("v2", 10)]), taken: at(0) });
        record.shift.phases.insert(node("v1"), Phase::drained(at(0)));
        assert_eq!(restore_tag(&record).unwrap(), "1.7.e67230e6b435.90-10");
        record.epoch = 8;
        let drill = DrillLayer { id: "d".to_owned(), node: node("v2"), since: at(0), restore_by: at(60) };
        let declared = Some(split(&[("v1", 60), ("v2", 40)]));
        record.layers = StoredLayers { declared, drill: Some(drill), ..StoredLayers::default() };
        let value = restore_tag(&record).unwrap();
        assert_eq!(value, "2.8.e67230e6b435.60-40.df");
        let tag = RestoreTag::parse(&value).unwrap();
        assert!(tag.is_layered());
        assert_eq!(tag.to_string(), value);
        assert_eq!(tag.point(&record.split, at(0)).unwrap().split.weights(), [60, 40]);
    }

    #[test]
    fn restore_tag_is_invalid_after_the_targets_change() {
        let point = RestorePoint { epoch: 3, split: split(&[("v1", 90), ("v2", 10)]), taken: at(0) };
        let tag = RestoreTag::new(&point);
        for other in [split(&[("v2", 90), ("v1", 10)]), split(&[("v1", 90)]), split(&[("v1", 1), ("v3", 1)])] {
            assert_eq!(tag.point(&other, at(0)), None, "{other}");
        }
    }

    #[test]
    fn invalid_restore_tag_is_rejected() {
        let values = [
            "",
            "1",
            "2.1.ab.1-2",
            "2.1.ab.1-2.",
            "2.1.ab.1-2.f",
            "2.1.ab.1-2.x",
            "3.1.ab.1-2.r",
            "1.x.ab.1-2",
            "1.1.ab.300",
            "1.1.ab.1-2.3",
            "1.1.ab.",
        ];
        for value in values {
            assert_eq!(RestoreTag::parse(value), None, "{value}");
        }
    }
}
