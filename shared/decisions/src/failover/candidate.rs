//! A candidate plan: the failover state of one route after a change, and the plan that leads to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::decision::{Plan, TagChange, Verdict};
use super::facts::RouteFacts;
use super::health::Health;
use super::input::{Allocations, DecisionInput};
use super::phases::{FailbackStep, NodeHealthSource};
use super::reason::{ActReason, HoldReason, Ineligible, Obstacle};
use super::record::{Phase, RestorePoint, RouteRecord, Shift};
use super::restore_tag::restore_tag;
use super::route_state::RouteState;
use crate::decision::HarmFact;
use crate::weights::spread::points;
use crate::weights::{
    Composed, EndReason, FailoverLayer, LayerKind, Layers, NoReceiver, Receiver, Receivers, RolloutLimit, StoredLayers,
    compose, rollout_limit, rollout_split,
};
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;

/// The targets that may receive more traffic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiverRule {
    /// Only targets that are known or declared to be ready.
    KnownReady,
    /// Targets as in `KnownReady`, and targets that carry traffic already and do not fail. Repeating a step must not
    /// depend on an alarm having data at this moment.
    Carriers,
}

/// The budget cost of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BudgetCost {
    /// One shift of the window's budget.
    OneShift,
    /// No cost: the change returns traffic, or its budget was spent before.
    Free,
}

/// The failover state of one route after a candidate change.
pub(super) struct CandidatePlan {
    record: RouteRecord,
    declared: WeightSplit,
    /// The layers of rollouts and drills after the change.
    layers: StoredLayers,
    /// The shift after the change.
    pub(super) shift: Shift,
    drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
}

impl CandidatePlan {
    pub(super) fn new(state: &RouteState) -> Self {
        let record = state.record.clone();
        let layers = StoredLayers { pending: None, ..record.layers.clone() };
        Self {
            declared: record.declared().clone(),
            layers,
            shift: record.shift.clone(),
            drains: record.drains.clone(),
            trials: record.trials.clone(),
            record,
        }
    }

    /// Ends the rollout or the drill with the same write.
    pub(super) fn end_layer(&mut self, layer: LayerKind, reason: EndReason, now: Timestamp) {
        match layer {
            LayerKind::Rollout => self.layers.end_rollout(reason, now),
            LayerKind::Drill => self.layers.end_drill(reason, now),
            LayerKind::Failover => self.shift = Shift::default(),
        }
    }

    /// All layers after the change.
    pub(super) fn all_layers(&self) -> Layers {
        Layers {
            declared: self.declared.clone(),
            rollout: self.layers.rollout.clone(),
            drill: self.layers.drill.clone(),
            failover: FailoverLayer { phases: self.shift.phases.clone(), unplaced: self.shift.unplaced },
            held: self.record.edit,
        }
    }

    /// The original split of the failover: the output of the layers below it.
    pub(super) fn base(&self) -> WeightSplit {
        rollout_split(&self.all_layers())
    }

    pub(super) fn drain(&mut self, nodes: &[VirtualNodeName], input: &DecisionInput<'_>) {
        let window = input.failover.flaps.window.get();
        for node in nodes {
            self.shift.phases.insert(node.clone(), Phase::drained(input.now));
            let times = self.drains.entry(node.clone()).or_default();
            times.retain(|at| input.now < *at + window);
            times.push(input.now);
        }
    }

    /// Drains nodes after their probe without proof. They did not fail, so these drains do not count as flaps.
    pub(super) fn end_trials(&mut self, nodes: &[VirtualNodeName], now: Timestamp) {
        for node in nodes {
            self.shift.phases.insert(node.clone(), Phase::drained(now));
        }
    }

    pub(super) fn step(&mut self, steps: &BTreeMap<VirtualNodeName, FailbackStep>, input: &DecisionInput<'_>) {
        let now = input.now;
        for (node, step) in steps {
            match step {
                FailbackStep::To(step) => self.shift.phases.insert(node.clone(), Phase::returning(*step, now)),
                FailbackStep::Trial => {
                    let times = self.trials.entry(node.clone()).or_default();
                    if let Some(trial) = &input.failover.failback.probe_without_proof {
                        times.retain(|at| now < *at + trial.window.get());
                    }
                    times.push(now);
                    self.shift.phases.insert(node.clone(), Phase::Returning { step: 0, since: now, trial: true })
                }
                FailbackStep::Done => self.shift.phases.remove(node),
            };
        }
    }

    pub(super) fn spread(
        &self,
        route: &RouteFacts,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
        trust: ReceiverRule,
    ) -> Result<Composed, HoldReason> {
        let (ready, others) = self.receivers(route, input, allocations, trust);
        let failing = || {
            let drained = |(_, phase): &(&VirtualNodeName, &Phase)| matches!(phase, Phase::Drained { .. });
            self.shift.phases.iter().filter(drained).map(|(node, _)| node.clone()).collect()
        };
        let receivers = Receivers { ready, present: route.split.clone() };
        compose(&self.all_layers(), &receivers, &input.failover.failback)
            .map_err(|NoReceiver| HoldReason::NothingEligible { failing: failing(), others })
    }

    /// The targets that may receive more traffic, standbys first, and the obstacle of each other target.
    pub(super) fn receivers(
        &self,
        route: &RouteFacts,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
        trust: ReceiverRule,
    ) -> (Vec<Receiver>, Vec<Ineligible>) {
        let base = self.base();
        let layers = self.all_layers();
        let standbys = input.failover.standbys(&route.id);
        let mut candidates: Vec<(&VirtualNodeName, bool)> = standbys.iter().map(|node| (node, true)).collect();
        for share in base.shares() {
            if !standbys.contains(share.virtual_node) {
                candidates.push((share.virtual_node, false));
            }
        }
        let mut receivers = Vec::new();
        let mut others = Vec::new();
        for (node, first) in candidates {
            match self.room(node, (&base, &layers), route, input, allocations, trust) {
                Ok(limit) => receivers.push(Receiver { node: node.clone(), limit, first }),
                Err(why) if !matches!(self.shift.phases.get(node), Some(Phase::Drained { .. })) => {
                    others.push(Ineligible { node: node.clone(), why });
                }
                Err(_) => {}
            }
        }
        (receivers, others)
    }

    /// The upper bound of what a node may carry on this route (`None`: unbounded), or the obstacle to any traffic.
    fn room(
        &self,
        node: &VirtualNodeName,
        (base, layers): (&WeightSplit, &Layers),
        route: &RouteFacts,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
        trust: ReceiverRule,
    ) -> Result<Option<u8>, Obstacle> {
        if !base.carries(node) {
            return Err(Obstacle::NotATarget);
        }
        if !input.facts.nodes.contains(node) {
            return Err(Obstacle::Missing);
        }
        if self.shift.phases.contains_key(node) {
            return Err(Obstacle::NotBackYet);
        }
        let carries = route.split.weight_of(node).is_some_and(|weight| weight > 0);
        match input.health(node) {
            Health::Failing { alarms, .. } | Health::Muted { alarms, .. } => {
                return Err(Obstacle::InAlarm { alarms });
            }
            Health::Unknown { unknown } if trust == ReceiverRule::KnownReady || !carries => {
                return Err(Obstacle::NotKnownReady { unknown });
            }
            Health::Unknown { .. } | Health::Ready { .. } => {}
        }
        let of_rollout = match rollout_limit(layers, node) {
            RolloutLimit::None => None,
            RolloutLimit::Capacity(most) if points(base, node) < u16::from(most) => Some(u16::from(most)),
            RolloutLimit::Step | RolloutLimit::Capacity(_) => return Err(Obstacle::UnderRollout),
        };
        let target = input.failover.target(&input.facts.mesh, node);
        let of_policy = target.and_then(|target| target.capacity_share).map(|capacity| {
            let left = capacity.saturating_sub(allocations.points_elsewhere(&route.id, node));
            if left == 0 || left <= points(base, node) && trust == ReceiverRule::KnownReady {
                Err(Obstacle::Full)
            } else {
                Ok(left)
            }
        });
        let limit = of_policy.transpose()?.into_iter().chain(of_rollout).min();
        Ok(limit.map(|left| u8::try_from(left.min(100)).unwrap_or(100)))
    }

    /// Makes the plan that writes the composed split, unless the kill switch, the harm check or the budget forbids it.
    pub(super) fn plan(
        mut self,
        route: &RouteFacts,
        composed: Composed,
        why: ActReason,
        cost: BudgetCost,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        self.shift.unplaced = composed.unplaced;
        self.take_restore_point(composed.base, input.now);
        self.finish(route, composed.split, why, cost, input, allocations)
    }

    /// Makes the plan that writes this split and leaves the phases, for a return that needs no receiver.
    pub(super) fn plan_split(
        mut self,
        route: &RouteFacts,
        to: WeightSplit,
        why: ActReason,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        let base = self.base();
        self.take_restore_point(base, input.now);
        self.finish(route, to, why, BudgetCost::Free, input, allocations)
    }

    /// Makes the plan that writes the split without a failover.
    pub(super) fn restore(
        mut self,
        route: &RouteFacts,
        why: ActReason,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        let original = self.base();
        self.shift = Shift::default();
        self.finish(route, original, why, BudgetCost::Free, input, allocations)
    }

    /// Keeps the restore point equal to the output of the layers below failover. A new one has a new number.
    fn take_restore_point(&mut self, base: WeightSplit, now: Timestamp) {
        if self.shift.phases.is_empty() {
            self.shift = Shift::default();
            return;
        }
        if let Some(point) = &mut self.shift.restore {
            point.split = base;
        } else {
            self.record.epoch += 1;
            self.shift.restore = Some(RestorePoint { epoch: self.record.epoch, split: base, taken: now });
        }
    }

    fn finish(
        self,
        route: &RouteFacts,
        to: WeightSplit,
        why: ActReason,
        cost: BudgetCost,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        if let Some(kill) = &input.facts.kill_switch {
            return Verdict::Hold(HoldReason::KillSwitchOn { by: kill.by.clone(), why: kill.reason.clone() });
        }
        let harms = unwaived(route, &to, &why, input);
        if !harms.is_empty() {
            return Verdict::Hold(HoldReason::Harmful { harms, refused: to });
        }
        let cap = input.failover.budget.changes;
        if cost == BudgetCost::OneShift && allocations.budget_used >= cap {
            return Verdict::Hold(HoldReason::BudgetSpent { used: allocations.budget_used, cap });
        }
        let tag_before = restore_tag(&self.record);
        let then = RouteRecord {
            split: to.clone(),
            shift: self.shift,
            drains: self.drains,
            trials: self.trials,
            layers: self.layers,
            intent: None,
            stale_tag: false,
            ..self.record
        };
        Verdict::Act(Box::new(Plan {
            id: plan_id(route, &to),
            route: route.id.clone(),
            version: route.version,
            from: route.split.clone(),
            to,
            why,
            spends: cost == BudgetCost::OneShift,
            tag: tag_change(tag_before, restore_tag(&then)),
            then,
        }))
    }
}

/// The targets that carry traffic and are not drained or returning. They keep the share of drained nodes if no target is
/// known to be ready.
pub(super) fn carriers(layers: &Layers, present: &WeightSplit) -> Vec<Receiver> {
    let shares = present.shares().into_iter();
    let carries = shares.filter(|share| share.weight > 0 && !layers.failover.phases.contains_key(share.virtual_node));
    carries.map(|share| Receiver { node: share.virtual_node.clone(), limit: None, first: false }).collect()
}

/// The change of the restore tag between two states of a route.
pub(super) fn tag_change(before: Option<String>, after: Option<String>) -> TagChange {
    match (before, after) {
        (before, Some(after)) if before.as_ref() == Some(&after) => TagChange::Keep,
        (_, Some(after)) => TagChange::Set(after),
        (Some(_), None) => TagChange::Clear,
        (None, None) => TagChange::Keep,
    }
}

/// The harms of the split that no waiver permits. On the return to the declared state, `tls-lost` does not count: the
/// declared nodes may have less TLS than a standby.
fn unwaived(route: &RouteFacts, to: &WeightSplit, why: &ActReason, input: &DecisionInput<'_>) -> Vec<HarmFact> {
    let is_return = match why {
        // The split without a rollout or drill was in place before; nothing but a hold or the kill switch delays it.
        ActReason::Rollback { drained, .. } | ActReason::DrillRestored { drained, .. } if drained.is_empty() => {
            return Vec::new();
        }
        ActReason::Failback { .. }
        | ActReason::Restore { .. }
        | ActReason::Rollback { .. }
        | ActReason::DrillRestored { .. }
        | ActReason::Reapplied { .. }
        | ActReason::StaleDeclaration { .. }
        | ActReason::StateLost { .. } => true,
        ActReason::Failover { .. }
        | ActReason::PartialSpill { .. }
        | ActReason::BackDown { .. }
        | ActReason::TrialEnded { .. } => false,
    };
    let resource = route.id.to_string();
    let mut harms = (input.harms)(&route.id, to);
    harms.retain(|harm| !(is_return && harm.id == "tls-lost"));
    harms.retain(|harm| !input.policy.waivers.iter().any(|waiver| waiver.permits(&harm.id, &resource, input.now)));
    harms
}

/// The plan id: 32 hexadecimal digits over route, base version and weights. It is the client token of the write; the
/// API accepts up to 36 letters, digits, `-` and `_`.
#[must_use]
pub fn plan_id(route: &RouteFacts, to: &WeightSplit) -> String {
    let digest = Sha256::digest(format!("{}\0{}\0{to}", route.id, route.version));
    let first = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{first:032x}")
}
