//! The fail-over of one route as it would stand after a change, and the plan that makes it so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::decide::{Plan, TagChange, Verdict};
use super::facts::RouteFacts;
use super::health::Health;
use super::phases::{Knows, Step, keeps};
use super::reason::{ActReason, HarmFact, HoldReason, Ineligible, Obstacle};
use super::record::{Phase, RestorePoint, RestoreTag, RouteRecord, Shift};
use super::scene::{Ledger, Scene};
use super::spread::{Receiver, Spread, points, spread};
use super::standing::Standing;
use crate::name::VirtualNodeName;
use crate::weights::WeightSplit;

/// Whom to give traffic to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Only targets that are known or declared to be ready.
    KnownReady,
    /// Those, and those that carry some of the traffic already and do not fail: taking up a step again must not
    /// depend on an alarm having data this very minute.
    Carriers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
/// What a change costs.
pub(super) enum Cost {
    /// One shift of the window's budget.
    OneShift,
    /// Nothing: it gives traffic back, or its budget was spent before.
    Free,
}

/// The fail-over of one route as it would stand after a change.
pub(super) struct Draft {
    record: RouteRecord,
    base: WeightSplit,
    /// Where it would stand.
    pub(super) shift: Shift,
    drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
}

impl Draft {
    pub(super) fn of(route: &RouteFacts, standing: &Standing) -> Self {
        let record = standing.record.clone();
        let base = record.shift.restore.as_ref().map_or_else(|| route.split.clone(), |point| point.split.clone());
        Self { base, shift: record.shift.clone(), drains: record.drains.clone(), trials: record.trials.clone(), record }
    }

    pub(super) fn drain(&mut self, nodes: &[VirtualNodeName], scene: &Scene<'_>) {
        let window = scene.failover.flaps.window.get();
        for node in nodes {
            self.shift.phases.insert(node.clone(), Phase::drained(scene.now));
            let times = self.drains.entry(node.clone()).or_default();
            times.retain(|at| scene.now < *at + window);
            times.push(scene.now);
        }
    }

    /// Drains nodes whose probe without proof is over. That is no failure of theirs, so that it does not count as one.
    pub(super) fn end_trials(&mut self, nodes: &[VirtualNodeName], now: Timestamp) {
        for node in nodes {
            self.shift.phases.insert(node.clone(), Phase::drained(now));
        }
    }

    pub(super) fn step(&mut self, steps: &BTreeMap<VirtualNodeName, Step>, scene: &Scene<'_>) {
        let now = scene.now;
        for (node, step) in steps {
            match step {
                Step::To(step) => self.shift.phases.insert(node.clone(), Phase::returning(*step, now)),
                Step::Trial => {
                    let times = self.trials.entry(node.clone()).or_default();
                    if let Some(trial) = &scene.failover.failback.probe_without_proof {
                        times.retain(|at| now < *at + trial.window.get());
                    }
                    times.push(now);
                    self.shift.phases.insert(node.clone(), Phase::Returning { step: 0, since: now, trial: true })
                }
                Step::Done => self.shift.phases.remove(node),
            };
        }
    }

    pub(super) fn spread(
        &self,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> Result<Spread, HoldReason> {
        let (receivers, others) = self.receivers(route, scene, ledger, trust);
        let failing = || {
            let drained = |(_, phase): &(&VirtualNodeName, &Phase)| matches!(phase, Phase::Drained { .. });
            self.shift.phases.iter().filter(drained).map(|(node, _)| node.clone()).collect()
        };
        if receivers.is_empty() {
            return Err(HoldReason::NothingEligible { failing: failing(), others });
        }
        let keeps = |node: &VirtualNodeName| keeps(self.shift.phases.get(node), scene.failover);
        // A base with up to ten targets gives as many weights, so this can't fail.
        spread(&self.base, &route.split, keeps, &receivers)
            .map_err(|_| HoldReason::NothingEligible { failing: failing(), others })
    }

    /// Who may take more, standbys first, and why not each of the others.
    fn receivers(
        &self,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> (Vec<Receiver>, Vec<Ineligible>) {
        let standbys = scene.failover.standbys(&route.id);
        let mut candidates: Vec<(&VirtualNodeName, bool)> = standbys.iter().map(|node| (node, true)).collect();
        for share in self.base.shares() {
            if !standbys.contains(share.virtual_node) {
                candidates.push((share.virtual_node, false));
            }
        }
        let mut receivers = Vec::new();
        let mut others = Vec::new();
        for (node, first) in candidates {
            match self.room(node, route, scene, ledger, trust) {
                Ok(limit) => receivers.push(Receiver { node: node.clone(), limit, first }),
                Err(why) if !matches!(self.shift.phases.get(node), Some(Phase::Drained { .. })) => {
                    others.push(Ineligible { node: node.clone(), why });
                }
                Err(_) => {}
            }
        }
        (receivers, others)
    }

    /// The most that a node may carry on this route, or why it may not take anything.
    fn room(
        &self,
        node: &VirtualNodeName,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> Result<Option<u8>, Obstacle> {
        if !self.base.carries(node) {
            return Err(Obstacle::NotATarget);
        }
        if !scene.facts.nodes.contains(node) {
            return Err(Obstacle::Missing);
        }
        if self.shift.phases.contains_key(node) {
            return Err(Obstacle::NotBackYet);
        }
        let carries = route.split.weight_of(node).is_some_and(|weight| weight > 0);
        match scene.health(node) {
            Health::Failing { alarms, .. } | Health::Muted { alarms, .. } => {
                return Err(Obstacle::InAlarm { alarms });
            }
            Health::Unknown { unknown } if trust == Trust::KnownReady || !carries => {
                return Err(Obstacle::NotKnownReady { unknown });
            }
            Health::Unknown { .. } | Health::Ready { .. } => {}
        }
        let Some(capacity) = scene.failover.target(&scene.facts.mesh, node).and_then(|target| target.capacity_share)
        else {
            return Ok(None);
        };
        let left = capacity.saturating_sub(ledger.elsewhere(&route.id, node));
        if left == 0 || left <= points(&self.base, node) && trust == Trust::KnownReady {
            return Err(Obstacle::Full);
        }
        Ok(Some(u8::try_from(left.min(100)).unwrap_or(100)))
    }

    /// The plan that makes a spread, if what-if and the budget allow it.
    pub(super) fn plan(
        mut self,
        route: &RouteFacts,
        spread: &Spread,
        why: ActReason,
        cost: Cost,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Verdict {
        self.shift.unplaced = spread.unplaced;
        let mut tag = TagChange::Keep;
        let mut epoch = self.record.epoch;
        if self.shift.restore.is_none() {
            epoch += 1;
            let point = RestorePoint { epoch, split: self.base.clone(), taken: scene.now };
            tag = TagChange::Set(RestoreTag::of(&point).to_string());
            self.shift.restore = Some(point);
        }
        self.record.epoch = epoch;
        self.finish(route, spread.split.clone(), why, cost, tag, scene, ledger)
    }

    /// The plan that writes the original integers.
    pub(super) fn restore(mut self, route: &RouteFacts, why: ActReason, scene: &Scene<'_>, ledger: &Ledger) -> Verdict {
        let original = self.base.clone();
        self.shift = Shift::default();
        self.finish(route, original, why, Cost::Free, TagChange::Clear, scene, ledger)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a plan")]
    fn finish(
        self,
        route: &RouteFacts,
        to: WeightSplit,
        why: ActReason,
        cost: Cost,
        tag: TagChange,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Verdict {
        if let Some(kill) = &scene.facts.kill_switch {
            return Verdict::Hold(HoldReason::KillSwitchOn { by: kill.by.clone(), why: kill.reason.clone() });
        }
        let harms = unwaived(route, &to, &why, scene);
        if !harms.is_empty() {
            return Verdict::Hold(HoldReason::Harmful { harms, refused: to });
        }
        let cap = scene.failover.budget.changes;
        if cost == Cost::OneShift && ledger.budget_used >= cap {
            return Verdict::Hold(HoldReason::BudgetSpent { used: ledger.budget_used, cap });
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
            spends: cost == Cost::OneShift,
            tag,
            then,
        }))
    }
}

/// What the split would break and nobody has allowed. On the way back to the declared state the nodes are its own, so
/// that one of them has less TLS than a standby is no harm of this change.
fn unwaived(route: &RouteFacts, to: &WeightSplit, why: &ActReason, scene: &Scene<'_>) -> Vec<HarmFact> {
    let is_return = match why {
        ActReason::Failback { .. } | ActReason::Restore { .. } => true,
        ActReason::Failover { .. }
        | ActReason::PartialSpill { .. }
        | ActReason::BackDown { .. }
        | ActReason::TrialEnded { .. } => false,
    };
    let resource = route.id.to_string();
    let mut harms = (scene.harms)(&route.id, to);
    harms.retain(|harm| !(is_return && harm.id == "tls-lost"));
    harms.retain(|harm| !scene.policy.waivers.iter().any(|waiver| waiver.permits(&harm.id, &resource, scene.now)));
    harms
}

/// 32 hexadecimal digits over route, base version and weights: the client token of the write (the API takes up to 36
/// letters, digits, `-` and `_`).
pub(super) fn plan_id(route: &RouteFacts, to: &WeightSplit) -> String {
    let digest = Sha256::digest(format!("{}\0{}\0{to}", route.id, route.version));
    let first = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{first:032x}")
}
