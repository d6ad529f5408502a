//! The layers as a route's record stores them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::WeightSplit;
use super::layers::{DrillLayer, EndReason, LayerEnd, LayerKind, RolloutLayer};

/// The part of a route's record that the layers of rollouts and drills need. The default is a route without such layers,
/// which older versions write and read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredLayers {
    /// The declared split; present only while a rollout or drill is on the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<WeightSplit>,
    /// The rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutLayer>,
    /// The drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillLayer>,
    /// The end of the last rollout and of the last drill, for their functions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<LayerEnd>,
    /// The declaration that a promotion replaced; present until its role has written the promoted split once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<PromotedOver>,
    /// When writes of the declared split were overwritten, the newest last, within the window of the policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reverts: Vec<Timestamp>,
    /// Why the split on the route is to be replaced by that of the layers; absent if it is that of the layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingWrite>,
}

/// A promotion over a declared split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromotedOver {
    /// The split that was declared before the promotion.
    pub before: WeightSplit,
    /// The promoted split.
    pub promoted: WeightSplit,
    /// When it was promoted.
    pub at: Timestamp,
}

/// The reason why the layers are written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingWrite {
    /// An infrastructure-as-code role wrote its split over the layers.
    Reapplied,
    /// An infrastructure-as-code role wrote the split from before a promotion.
    StaleDeclaration,
    /// The state table was lost during a rollout or drill.
    StateLost,
}

impl StoredLayers {
    /// Whether nothing is stored.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an older version must not act on the route: a rollout or drill has changed the split.
    #[must_use]
    pub const fn has_layer(&self) -> bool {
        self.rollout.is_some() || self.drill.is_some()
    }

    /// Removes the rollout and records its end. The declared split stays stored while a drill needs it.
    pub fn end_rollout(&mut self, reason: EndReason, at: Timestamp) {
        if let Some(layer) = self.rollout.take() {
            self.record_end(LayerEnd { layer: LayerKind::Rollout, id: layer.id, reason, at, verdict: None });
        }
    }

    /// Removes the drill and records its end.
    pub fn end_drill(&mut self, reason: EndReason, at: Timestamp) {
        self.end_drill_with(reason, None, at);
    }

    /// Removes the drill and records its end with the verdict of its function.
    pub fn end_drill_with(&mut self, reason: EndReason, verdict: Option<Value>, at: Timestamp) {
        if let Some(layer) = self.drill.take() {
            self.record_end(LayerEnd { layer: LayerKind::Drill, id: layer.id, reason, at, verdict });
        }
    }

    /// The end of a rollout or drill on this route, if it was the last of its kind.
    #[must_use]
    pub fn end_of(&self, layer: LayerKind, id: &str) -> Option<&LayerEnd> {
        self.ended.iter().find(|end| end.layer == layer && end.id == id)
    }

    fn record_end(&mut self, end: LayerEnd) {
        self.ended.retain(|other| other.layer != end.layer);
        self.ended.push(end);
        if !self.has_layer() {
            self.declared = None;
        }
    }
}
