//! The change of a route's layers, and the write that it needs.

use decisions::failover::{Intent, RestorePoint, RouteFacts, RouteRecord, Shift, plan_id};
use decisions::weights::{
    EndReason, LayerLimits, Move, Moves, NoReceiver, PromotedOver, Receiver, Receivers, RolloutLayer, StoredLayers,
    compose, rollout_split,
};
use jiff::Timestamp;
use mesh::name::RouteId;
use mesh::split::WeightSplit;
use policy::{Percent, Policy};
use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;

/// A change of a route's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteChange {
    /// The new version receives this percent of the moves.
    Percent(u8),
    /// The rollout ends, and the split before it is written.
    RollBack,
    /// The rollout ends, and its split is the declared one.
    Promote,
}

/// The write of a route's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePlan {
    /// The id: the same for the same route, version and weights.
    pub id: String,
    /// The route.
    pub route: RouteId,
    /// The version of the route that the plan is based on.
    pub version: u64,
    /// The split before.
    pub from: WeightSplit,
    /// The split after.
    pub to: WeightSplit,
    /// The change of the layers.
    pub change: RouteChange,
    /// Whether the plan is charged to the budget of starts.
    pub spends: bool,
    /// The record of the route before the write, with its intent.
    pub begun: RouteRecord,
    /// The record of the route after the write.
    pub then: RouteRecord,
}

/// Plans a change of a route's layers. `record` is the route's record, updated with the observed route.
///
/// # Errors
///
/// Returns an error if a node is drained, and no other target may receive its share.
pub fn plan(
    route: &RouteFacts,
    record: &RouteRecord,
    change: RouteChange,
    rollout: &Rollout,
    policy: &Policy,
    now: Timestamp,
) -> Result<RoutePlan, NoReceiver> {
    let before = record.all_layers();
    let mut layers = StoredLayers { pending: None, ..record.layers.clone() };
    let mut epoch = record.epoch;
    match change {
        RouteChange::Percent(percent) => {
            layers.declared = Some(record.declared().clone());
            layers.rollout = layer(rollout, percent, now);
        }
        RouteChange::RollBack => layers.end_rollout(EndReason::RolledBack, now),
        RouteChange::Promote => {
            let promoted = rollout_split(&before);
            layers.promoted = Some(PromotedOver { before: before.declared.clone(), promoted, at: now });
            layers.end_rollout(EndReason::Promoted, now);
            epoch += 1;
        }
    }
    let declared = match change {
        RouteChange::Promote => rollout_split(&before),
        RouteChange::Percent(_) | RouteChange::RollBack => before.declared.clone(),
    };
    let after =
        decisions::weights::Layers { declared, rollout: layers.rollout.clone(), drill: layers.drill.clone(), ..before };
    let phases = &after.failover.phases;
    // A target that carries traffic now keeps carrying it: no target that is idle is started by a rollout's write.
    let carries = |node: &&mesh::split::Share<'_>| node.weight > 0 && !phases.contains_key(node.virtual_node);
    let base = rollout_split(&after);
    let shares = base.shares();
    let ready = shares.iter().filter(carries).map(|share| Receiver {
        node: share.virtual_node.clone(),
        limit: None,
        first: false,
    });
    let receivers = Receivers { ready: ready.collect(), present: route.split.clone() };
    let composed = compose(&after, &receivers, &policy.failover.failback)?;
    let restore =
        record.shift.restore.as_ref().map(|point| RestorePoint { split: composed.base.clone(), ..point.clone() });
    let shift = Shift { restore, phases: record.shift.phases.clone(), unplaced: composed.unplaced };
    let (id, to) = (plan_id(route, &composed.split), composed.split);
    let intent = Intent {
        plan: id.clone(),
        to: to.clone(),
        version: route.version,
        then: shift.clone(),
        drains: record.drains.clone(),
        trials: record.trials.clone(),
        note: None,
        layers: Some(Box::new(layers.clone())),
    };
    let begun = RouteRecord { intent: Some(intent), ..record.clone() };
    let is_declared = !layers.has_layer() && shift.restore.is_none();
    let then = RouteRecord {
        split: to.clone(),
        shift,
        layers,
        epoch,
        intent: None,
        // route-failover, which owns the restore tag, sets and clears it in its next run.
        tag_missing: !is_declared,
        stale_tag: is_declared,
        ..record.clone()
    };
    let (route_id, version, from) = (route.id.clone(), route.version, route.split.clone());
    Ok(RoutePlan { id, route: route_id, version, from, to, change, spends: false, begun, then })
}

/// The layer of a rollout at a percent; `None` at 0.
fn layer(rollout: &Rollout, percent: u8, now: Timestamp) -> Option<RolloutLayer> {
    let pairs = rollout.moves.iter().map(|pair| Move { from: pair.from.clone(), to: pair.to.clone() });
    Some(RolloutLayer {
        id: rollout.id.to_string(),
        // A request with invalid moves is refused before its first write.
        moves: Moves::new(pairs.collect()).ok()?,
        percent: Percent::new(percent).ok()?,
        since: now,
        acknowledged: None,
        attend_by: now + LayerLimits::ATTEND,
        to_capacity: rollout.to_capacity.then(|| Percent::new(100).ok()).flatten(),
    })
}
