//! Writes of a route's layers by traffic-shift and failover-drill: the records to store before and after the write.
//!
//! ```text
//! record ─▶ all layers ─▶ admit ─▶ layers after ─▶ compose ─▶ LayerWrite { begun, from, to, tag, done }
//! ```
//!
//! The writer stores `begun`, sets the tag, writes the weights with the version that was read, and stores `done`. A run
//! that is killed in between is completed by the next run of any function: the record holds the intent.

use jiff::Timestamp;
use serde_json::Value;

use super::candidate::{plan_id, tag_change};
use super::decision::TagChange;
use super::facts::RouteFacts;
use super::record::{Intent, OwedNote, Phase, RestorePoint, RouteRecord, Shift};
use super::restore_tag::restore_tag;
use crate::decision::KillSwitchFact;
use crate::weights::{
    Admission, Blocker, Composed, DrillLayer, EndReason, Ending, Layers, NoReceiver, PromotedOver, Receivers,
    RolloutLayer, Writer, admit, compose, rollout_split,
};
use mesh::split::WeightSplit;
use policy::FailbackPolicy;

/// A change of a route's layers.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerChange {
    /// Starts a rollout, or writes its next percentage.
    RolloutStep(RolloutLayer),
    /// Ends a rollout and restores the split without it.
    Rollback {
        /// The id of the rollout.
        id: String,
    },
    /// Makes the split of a rollout the declared one.
    Promote {
        /// The id of the rollout.
        id: String,
    },
    /// Drains the node of a drill.
    DrillStart(DrillLayer),
    /// Ends a drill.
    DrillEnd {
        /// The id of the drill.
        id: String,
        /// The reason.
        reason: EndReason,
        /// How the node gets its traffic back.
        come_back: ComeBack,
        /// The verdict, which the function of the drill reads again ([`LayerEnd`](crate::weights::LayerEnd)).
        verdict: Option<Value>,
    },
}

/// How a drilled node gets its traffic back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComeBack {
    /// The exact split before the drill, in one write.
    AtOnce,
    /// As after a failover: the node stays drained, and failback returns its share in steps.
    Steps,
}

/// A change of layers that may be written.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWrite {
    /// Identifies route, base version and weights; the client token of the write.
    pub plan: String,
    /// The split before the write.
    pub from: WeightSplit,
    /// The split after the write.
    pub to: WeightSplit,
    /// The change of the restore tag.
    pub tag: TagChange,
    /// The layers of other writers that end with this write.
    pub ends: Vec<Ending>,
    /// The percentage points that stay on a drained node because no other target has capacity for them.
    pub unplaced: u8,
    /// The record to store before the write, including the intent.
    pub begun: RouteRecord,
    /// The record to store after the write.
    pub done: RouteRecord,
}

/// The reason why a change of layers is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerRefusal {
    /// Another writer has precedence; the change is due again later.
    Wait {
        /// The reason.
        reason: Blocker,
        /// When the reason ends without a command, if that is known.
        until: Option<Timestamp>,
        /// Whether the wait pages.
        pages: bool,
    },
    /// Another writer has precedence, and the change is not tried again.
    Refuse {
        /// The reason.
        reason: Blocker,
    },
    /// The rollout or drill is not on the route. The record's `layers.ended` may say why.
    NoSuchLayer,
    /// No target may receive the share of the drained node.
    NoReceiver,
}

impl From<NoReceiver> for LayerRefusal {
    fn from(NoReceiver: NoReceiver) -> Self {
        Self::NoReceiver
    }
}

/// Plans a change of layers on a route. `record` is the route's record as [`current_record`](super::current_record)
/// returns it; `receivers` are the targets that may receive the share of drained nodes, which a rollout without a failover
/// does not need.
///
/// The caller checks the harms of the split and spends the budget; a rollback and the end of a drill need neither.
///
/// # Errors
///
/// Returns an error if the arbiter does not admit the change, the layer is not on the route, or no target may receive a
/// drained node's share.
#[expect(clippy::too_many_arguments, reason = "the parts of a plan")]
pub fn layer_write(
    route: &RouteFacts,
    record: &RouteRecord,
    change: LayerChange,
    receivers: &Receivers,
    note: OwedNote,
    policy: &FailbackPolicy,
    kill_switch: Option<&KillSwitchFact>,
    now: Timestamp,
) -> Result<LayerWrite, LayerRefusal> {
    let layers = record.all_layers();
    if !is_on_route(&change, &layers) {
        return Err(LayerRefusal::NoSuchLayer);
    }
    let ends = match admit(&writer(&change), &layers, kill_switch, now) {
        Admission::Go { ends } => ends,
        Admission::Wait { reason, until, pages } => return Err(LayerRefusal::Wait { reason, until, pages }),
        Admission::Refuse { reason } => return Err(LayerRefusal::Refuse { reason }),
    };
    let mut done = RouteRecord { intent: None, ..record.clone() };
    done.layers.pending = None;
    let declared = match change {
        LayerChange::Promote { .. } => rollout_split(&layers),
        LayerChange::RolloutStep(_)
        | LayerChange::Rollback { .. }
        | LayerChange::DrillStart(_)
        | LayerChange::DrillEnd { .. } => layers.declared.clone(),
    };
    apply(&mut done, change, &layers, now);
    // Without a rollout or drill, the declared split is the restore point of a failover, or else the split of the route.
    match &mut done.shift.restore {
        Some(point) => point.split = declared,
        None => done.split = declared,
    }
    let present = Receivers { present: route.split.clone(), ..receivers.clone() };
    let Composed { split: to, base, unplaced } = restored(&done, &present, policy)?;
    if done.shift.phases.is_empty() {
        done.shift = Shift::default();
    } else {
        done.shift.unplaced = unplaced;
        if let Some(point) = &mut done.shift.restore {
            point.split = base;
        }
    }
    done.split = to.clone();
    let plan = plan_id(route, &to);
    let intent = Intent {
        plan: plan.clone(),
        to: to.clone(),
        version: route.version,
        then: done.shift.clone(),
        drains: done.drains.clone(),
        trials: done.trials.clone(),
        note: Some(note),
        layers: Some(Box::new(done.layers.clone())),
    };
    let begun = RouteRecord { intent: Some(intent), epoch: done.epoch, ..record.clone() };
    let tag = tag_change(restore_tag(record), restore_tag(&done));
    Ok(LayerWrite { plan, from: route.split.clone(), to, tag, ends, unplaced, begun, done })
}

/// The record of a route on which a rollout's function renews its layer: it has observed the step, and is still running.
/// `None` if the rollout is not on the route.
#[must_use]
pub fn renewed(
    record: &RouteRecord,
    id: &str,
    acknowledged: Option<Timestamp>,
    attend_by: Timestamp,
) -> Option<RouteRecord> {
    let layer = record.layers.rollout.as_ref().filter(|rollout| rollout.id == id)?;
    let layer = RolloutLayer { acknowledged: layer.acknowledged.or(acknowledged), attend_by, ..layer.clone() };
    let mut record = record.clone();
    record.layers.rollout = Some(layer);
    Some(record)
}

fn writer(change: &LayerChange) -> Writer<'_> {
    match change {
        LayerChange::RolloutStep(layer) => Writer::RolloutStep { id: &layer.id },
        LayerChange::Rollback { .. } => Writer::Rollback,
        LayerChange::Promote { .. } => Writer::Promotion,
        LayerChange::DrillStart(_) => Writer::DrillStart,
        LayerChange::DrillEnd { .. } => Writer::DrillEnd,
    }
}

/// Whether the layer that a change ends is on the route.
fn is_on_route(change: &LayerChange, layers: &Layers) -> bool {
    match change {
        LayerChange::RolloutStep(_) | LayerChange::DrillStart(_) => true,
        LayerChange::Rollback { id } | LayerChange::Promote { id } => {
            layers.rollout.as_ref().is_some_and(|rollout| rollout.id == *id)
        }
        LayerChange::DrillEnd { id, .. } => layers.drill.as_ref().is_some_and(|drill| drill.id == *id),
    }
}

/// Changes the layers of a record.
fn apply(record: &mut RouteRecord, change: LayerChange, layers: &Layers, now: Timestamp) {
    match change {
        LayerChange::RolloutStep(layer) => {
            if record.layers.rollout.is_none() {
                record.epoch += 1;
            }
            record.layers.declared = Some(layers.declared.clone());
            record.layers.rollout = Some(layer);
        }
        LayerChange::Rollback { .. } => record.layers.end_rollout(EndReason::RolledBack, now),
        LayerChange::Promote { .. } => {
            let promoted = rollout_split(layers);
            record.epoch += 1;
            let over = PromotedOver { before: layers.declared.clone(), promoted, at: now };
            record.layers.promoted = (over.before != over.promoted).then_some(over);
            record.layers.end_rollout(EndReason::Promoted, now);
        }
        LayerChange::DrillStart(layer) => {
            record.epoch += 1;
            record.layers.declared = Some(layers.declared.clone());
            record.layers.drill = Some(layer);
        }
        LayerChange::DrillEnd { reason, come_back, verdict, .. } => {
            let drill = record.layers.drill.clone();
            record.layers.end_drill_with(reason, verdict, now);
            if let (ComeBack::Steps, Some(drill)) = (come_back, drill) {
                record.epoch += 1;
                let quiet = Some(drill.since);
                record.shift.phases.insert(drill.node, Phase::Drained { since: drill.since, quiet });
                let split = layers.declared.clone();
                record.shift.restore = Some(RestorePoint { epoch: record.epoch, split, taken: now });
            }
        }
    }
}

/// The split of the layers. A restoring write is never refused for want of receivers: the nodes that carry the drained
/// nodes' share keep it.
fn restored(record: &RouteRecord, receivers: &Receivers, policy: &FailbackPolicy) -> Result<Composed, NoReceiver> {
    let layers = record.all_layers();
    let is_restoring = layers.drill.is_none() && layers.failover.is_active();
    match compose(&layers, receivers, policy) {
        Ok(composed) => Ok(composed),
        Err(NoReceiver) if is_restoring => {
            let carriers = super::candidate::carriers(&layers, &receivers.present);
            compose(&layers, &Receivers { ready: carriers, present: receivers.present.clone() }, policy).or_else(|_| {
                let base = rollout_split(&layers);
                Ok(Composed { split: base.clone(), base, unplaced: 0 })
            })
        }
        Err(NoReceiver) => Err(NoReceiver),
    }
}

#[cfg(test)]
mod tests;
