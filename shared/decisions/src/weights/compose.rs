//! The split of a route from its layers.

use super::WeightSplit;
use super::layers::Layers;
use super::phase::Phase;
use super::spread::{KeptShare, Receiver, Spread, points, spread};
use mesh::name::VirtualNodeName;
use policy::FailbackPolicy;

/// The targets that may receive more traffic, and the split on the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receivers {
    /// The targets that may receive the share of drained nodes.
    pub ready: Vec<Receiver>,
    /// The split on the route. The share that no receiver has capacity for stays where it is.
    pub present: WeightSplit,
}

/// A composed split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The split to write.
    pub split: WeightSplit,
    /// The original split of the failover: the output of the layers below it.
    pub base: WeightSplit,
    /// The percentage points that no receiver has capacity for; they stay on the drained nodes.
    pub unplaced: u8,
}

/// No target may receive the share of the drained nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no target may receive the share of the drained nodes")]
pub struct NoReceiver;

/// The split of the declared weights and the rollout. The integers are those declared if the rollout has no effect.
#[must_use]
pub fn rollout_split(layers: &Layers) -> WeightSplit {
    layers
        .rollout
        .as_ref()
        .map_or_else(|| layers.declared.clone(), |rollout| rollout.moves.applied_to(&layers.declared, rollout.percent))
}

/// The split of all layers below failover, which a completed failback writes.
///
/// # Errors
///
/// Returns an error if a drill drains a node with traffic, and no target may receive its share.
pub fn failover_base(layers: &Layers, receivers: &Receivers) -> Result<WeightSplit, NoReceiver> {
    drilled(layers, receivers).map(|spread| spread.split)
}

/// Computes the split from all layers. A layer without effect returns the integers of the layers below it.
///
/// # Errors
///
/// Returns an error if a node is drained or returning, and no target may receive its share.
pub fn compose(layers: &Layers, receivers: &Receivers, policy: &FailbackPolicy) -> Result<Composed, NoReceiver> {
    let Spread { split: base, unplaced } = drilled(layers, receivers)?;
    let phases = &layers.failover.phases;
    if phases.is_empty() {
        return Ok(Composed { split: base.clone(), base, unplaced });
    }
    let keeps = |node: &VirtualNodeName| kept_share(phases.get(node), policy);
    let drill = layers.drill.as_ref().map(|drill| &drill.node);
    let ready = bounded(layers, &base, receivers, |node| !phases.contains_key(node) && drill != Some(node));
    let Spread { split, unplaced: of_failover } = distribute(&base, receivers, keeps, &ready)?;
    Ok(Composed { split, base, unplaced: unplaced.max(of_failover) })
}

/// The split of the declared weights, the rollout and the drill.
fn drilled(layers: &Layers, receivers: &Receivers) -> Result<Spread, NoReceiver> {
    let split = rollout_split(layers);
    let Some(drill) = &layers.drill else { return Ok(Spread { split, unplaced: 0 }) };
    if split.weight_of(&drill.node).unwrap_or_default() == 0 {
        return Ok(Spread { split, unplaced: 0 });
    }
    let keeps = |node: &VirtualNodeName| if *node == drill.node { KeptShare::Nothing } else { KeptShare::All };
    let is_ready = |node: &VirtualNodeName| *node != drill.node && !layers.failover.phases.contains_key(node);
    distribute(&split, receivers, keeps, &bounded(layers, &split, receivers, is_ready))
}

fn distribute(
    base: &WeightSplit,
    receivers: &Receivers,
    keeps: impl Fn(&VirtualNodeName) -> KeptShare,
    ready: &[Receiver],
) -> Result<Spread, NoReceiver> {
    if ready.is_empty() {
        return Err(NoReceiver);
    }
    // A base has at most ten targets, and the result has as many weights.
    spread(base, &receivers.present, keeps, ready).map_err(|_| NoReceiver)
}

/// The receivers among these nodes. A target that a rollout brings traffic to receives nothing above its step, unless
/// the rollout declares its capacity.
fn bounded(
    layers: &Layers,
    base: &WeightSplit,
    receivers: &Receivers,
    is_ready: impl Fn(&VirtualNodeName) -> bool,
) -> Vec<Receiver> {
    let ready = receivers.ready.iter().filter(|receiver| is_ready(&receiver.node));
    ready
        .filter_map(|receiver| match rollout_limit(layers, &receiver.node) {
            RolloutLimit::None => Some(receiver.clone()),
            RolloutLimit::Step => None,
            RolloutLimit::Capacity(most) if points(base, &receiver.node) >= u16::from(most) => None,
            RolloutLimit::Capacity(most) => {
                let limit = receiver.limit.map_or(most, |limit| limit.min(most));
                Some(Receiver { limit: Some(limit), ..receiver.clone() })
            }
        })
        .collect()
}

/// What a rollout allows a target to receive from failing nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RolloutLimit {
    /// The rollout brings no traffic to the target.
    None,
    /// Nothing above the step.
    Step,
    /// Up to this many percentage points of the route.
    Capacity(u8),
}

/// What the rollout of a route allows a target to receive from failing nodes.
pub(crate) fn rollout_limit(layers: &Layers, node: &VirtualNodeName) -> RolloutLimit {
    match layers.rollout.as_ref().filter(|rollout| rollout.moves.brings_to(node)) {
        None => RolloutLimit::None,
        Some(rollout) => {
            rollout.to_capacity.map_or(RolloutLimit::Step, |capacity| RolloutLimit::Capacity(capacity.get()))
        }
    }
}

/// The part of its share that a node keeps in a phase.
pub(crate) fn kept_share(phase: Option<&Phase>, policy: &FailbackPolicy) -> KeptShare {
    let probe = policy.probe_share.get();
    match phase {
        None => KeptShare::All,
        Some(Phase::Drained { .. }) => KeptShare::Nothing,
        Some(Phase::Returning { step: 0, .. }) => KeptShare::Part { percent: 0, at_least: probe },
        Some(Phase::Returning { step, .. }) => {
            let percent = policy.steps.get(usize::from(*step) - 1).map_or(100, |percent| percent.get());
            KeptShare::Part { percent, at_least: probe }
        }
    }
}

#[cfg(test)]
mod tests;
