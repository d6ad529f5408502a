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
use super::record::{Phase, RestorePoint, RestoreTag, RouteRecord, Shift};
use super::route_state::RouteState;
use crate::decision::HarmFact;
use crate::name::VirtualNodeName;
use crate::weights::spread::{Receiver, Spread, points, spread};
use crate::weights::{WeightSplit, kept_share};

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
    base: WeightSplit,
    /// The shift after the change.
    pub(super) shift: Shift,
    drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
}

impl CandidatePlan {
    pub(super) fn new(route: &RouteFacts, state: &RouteState) -> Self {
        let record = state.record.clone();
        let base = record.shift.restore.as_ref().map_or_else(|| route.split.clone(), |point| point.split.clone());
        Self { base, shift: record.shift.clone(), drains: record.drains.clone(), trials: record.trials.clone(), record }
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
    ) -> Result<Spread, HoldReason> {
        let (receivers, others) = self.receivers(route, input, allocations, trust);
        let failing = || {
            let drained = |(_, phase): &(&VirtualNodeName, &Phase)| matches!(phase, Phase::Drained { .. });
            self.shift.phases.iter().filter(drained).map(|(node, _)| node.clone()).collect()
        };
        if receivers.is_empty() {
            return Err(HoldReason::NothingEligible { failing: failing(), others });
        }
        let keeps = |node: &VirtualNodeName| kept_share(self.shift.phases.get(node), &input.failover.failback);
        // A base has at most ten targets, and the result has as many weights, so this cannot fail.
        spread(&self.base, &route.split, keeps, &receivers)
            .map_err(|_| HoldReason::NothingEligible { failing: failing(), others })
    }

    /// The targets that may receive more traffic, standbys first, and the obstacle of each other target.
    fn receivers(
        &self,
        route: &RouteFacts,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
        trust: ReceiverRule,
    ) -> (Vec<Receiver>, Vec<Ineligible>) {
        let standbys = input.failover.standbys(&route.id);
        let mut candidates: Vec<(&VirtualNodeName, bool)> = standbys.iter().map(|node| (node, true)).collect();
        for share in self.base.shares() {
            if !standbys.contains(share.virtual_node) {
                candidates.push((share.virtual_node, false));
            }
        }
        let mut receivers = Vec::new();
        let mut others = Vec::new();
        for (node, first) in candidates {
            match self.room(node, route, input, allocations, trust) {
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
        route: &RouteFacts,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
        trust: ReceiverRule,
    ) -> Result<Option<u8>, Obstacle> {
        if !self.base.carries(node) {
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
        let Some(capacity) = input.failover.target(&input.facts.mesh, node).and_then(|target| target.capacity_share)
        else {
            return Ok(None);
        };
        let left = capacity.saturating_sub(allocations.points_elsewhere(&route.id, node));
        if left == 0 || left <= points(&self.base, node) && trust == ReceiverRule::KnownReady {
            return Err(Obstacle::Full);
        }
        Ok(Some(u8::try_from(left.min(100)).unwrap_or(100)))
    }

    /// Makes the plan that writes the spread, unless the kill switch, the harm check or the budget forbids it.
    pub(super) fn plan(
        mut self,
        route: &RouteFacts,
        spread: &Spread,
        why: ActReason,
        cost: BudgetCost,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        self.shift.unplaced = spread.unplaced;
        let mut tag = TagChange::Keep;
        let mut epoch = self.record.epoch;
        if self.shift.restore.is_none() {
            epoch += 1;
            let point = RestorePoint { epoch, split: self.base.clone(), taken: input.now };
            tag = TagChange::Set(RestoreTag::new(&point).to_string());
            self.shift.restore = Some(point);
        }
        self.record.epoch = epoch;
        self.finish(route, spread.split.clone(), why, cost, tag, input, allocations)
    }

    /// Makes the plan that writes the original weights.
    pub(super) fn restore(
        mut self,
        route: &RouteFacts,
        why: ActReason,
        input: &DecisionInput<'_>,
        allocations: &Allocations,
    ) -> Verdict {
        let original = self.base.clone();
        self.shift = Shift::default();
        self.finish(route, original, why, BudgetCost::Free, TagChange::Clear, input, allocations)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a plan")]
    fn finish(
        self,
        route: &RouteFacts,
        to: WeightSplit,
        why: ActReason,
        cost: BudgetCost,
        tag: TagChange,
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
        let then = RouteRecord {
            split: to.clone(),
            shift: self.shift,
            drains: self.drains,
            trials: self.trials,
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
            tag,
            then,
        }))
    }
}

/// The harms of the split that no waiver permits. On the return to the declared state, `tls-lost` does not count: the
/// declared nodes may have less TLS than a standby.
fn unwaived(route: &RouteFacts, to: &WeightSplit, why: &ActReason, input: &DecisionInput<'_>) -> Vec<HarmFact> {
    let is_return = match why {
        ActReason::Failback { .. } | ActReason::Restore { .. } => true,
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
pub(super) fn plan_id(route: &RouteFacts, to: &WeightSplit) -> String {
    let digest = Sha256::digest(format!("{}\0{}\0{to}", route.id, route.version));
    let first = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{first:032x}")
}
