//! The next phase of each node of a route.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::facts::RouteFacts;
use super::health::{Health, Unknown};
use super::proof::{MissingProof, ProofGap, proven};
use super::reason::{HoldReason, StuckAlarm};
use super::record::{Phase, RouteRecord};
use super::targets::TargetAlarm;
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;
use policy::{AlarmRole, FailoverPolicy};

/// The transitions that the nodes of one route are due for, by kind.
#[derive(Debug, Default)]
pub(super) struct Transitions {
    /// Serving nodes that fail.
    pub(super) drains: Vec<VirtualNodeName>,
    /// Returning nodes that fail again.
    pub(super) back_downs: Vec<VirtualNodeName>,
    /// Nodes that had the probe share without proof, and still have no proof.
    pub(super) ended_trials: Vec<VirtualNodeName>,
    /// Drained or returning nodes that are due for the next step.
    pub(super) steps: BTreeMap<VirtualNodeName, FailbackStep>,
    /// The holds of nodes that must wait.
    pub(super) waits: Vec<HoldReason>,
    /// Nodes that fail and are already drained.
    pub(super) drained: Vec<VirtualNodeName>,
    /// Drained nodes that still carry traffic because no other target has capacity for it.
    pub(super) unplaced: Vec<VirtualNodeName>,
    /// The alarms of drained nodes that cannot clear while these nodes have no requests.
    pub(super) stuck: Vec<StuckAlarm>,
    /// Failing nodes with weight 0 that no failover drained.
    pub(super) idle: Vec<VirtualNodeName>,
    /// The holds of nodes with muted alarms in `ALARM`.
    pub(super) muted: Vec<HoldReason>,
}

/// The next step of a returning node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailbackStep {
    /// The share of this step; 0 is the probe share.
    To(u8),
    /// The probe share, although the node's alarms are in `ALARM`, since they cannot clear otherwise.
    Trial,
    /// The whole share.
    Done,
}

/// A source of node health and alarms.
pub(super) trait NodeHealthSource {
    /// The health of the node.
    fn health(&self, node: &VirtualNodeName) -> Health;
    /// The alarms that report the node.
    fn alarms_of(&self, node: &VirtualNodeName) -> &[TargetAlarm];
    /// The alarms in `ALARM` that cannot clear while the node has no requests; empty if any other alarm of the node is
    /// in `ALARM`, too.
    fn stuck(&self, node: &VirtualNodeName) -> Vec<StuckAlarm>;
    /// How long these alarms need data before they can clear.
    fn evaluation_of(&self, stuck: &[StuckAlarm]) -> SignedDuration;
}

/// Records when drained nodes were last in `ALARM`. The dwell runs from then on, regardless of later states: an alarm that
/// alternates between `OK` and `INSUFFICIENT_DATA` must not restart it.
pub(super) fn note_quiet(record: &mut RouteRecord, input: &impl NodeHealthSource) {
    for (node, phase) in &mut record.shift.phases {
        let Phase::Drained { since, quiet } = phase else { continue };
        match input.health(node) {
            Health::Failing { .. } => *quiet = None,
            // It is not known whether the node still fails.
            Health::Muted { .. } | Health::Unknown { unknown: Unknown::NoAlarm | Unknown::Unreadable } => {}
            Health::Ready { .. }
            | Health::Unknown { unknown: Unknown::Idle | Unknown::InsufficientData | Unknown::NotEvaluated } => {
                // The newest state change ended `ALARM`, or came shortly after.
                let changed = input.alarms_of(node).iter().filter_map(|alarm| alarm.since).fold(*since, Timestamp::max);
                quiet.get_or_insert(changed);
            }
        }
    }
}

/// One route, with the input that its nodes are evaluated by.
struct RouteView<'a, K> {
    route: &'a RouteFacts,
    record: &'a RouteRecord,
    base: &'a WeightSplit,
    input: &'a K,
    policy: &'a FailoverPolicy,
    now: Timestamp,
}

/// Determines the next transition of every node that the route targets, or targeted before its shift.
pub(super) fn transitions<K: NodeHealthSource>(
    route: &RouteFacts,
    record: &RouteRecord,
    input: &K,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Transitions {
    let base = record.shift.restore.as_ref().map_or(&route.split, |point| &point.split);
    let nodes: BTreeSet<&VirtualNodeName> =
        base.targets().iter().map(|target| &target.virtual_node).chain(record.shift.phases.keys()).collect();
    let view = RouteView { route, record, base, input, policy, now };
    let mut next = Transitions::default();
    for node in nodes {
        let health = input.health(node);
        match record.shift.phases.get(node) {
            None => view.serving(&mut next, node, health),
            Some(Phase::Drained { since, quiet }) => view.drained(&mut next, node, &health, *since, *quiet),
            Some(Phase::Returning { step, since, trial }) => {
                view.returning(&mut next, node, health, (*step, *since), *trial);
            }
        }
    }
    next
}

impl<K: NodeHealthSource> RouteView<'_, K> {
    fn carries(&self, node: &VirtualNodeName) -> bool {
        self.route.split.weight_of(node).unwrap_or_default() > 0
    }

    fn serving(&self, next: &mut Transitions, node: &VirtualNodeName, health: Health) {
        match (health, self.carries(node)) {
            (Health::Failing { .. }, true) => next.drains.push(node.clone()),
            (Health::Failing { .. }, false) => next.idle.push(node.clone()),
            (Health::Muted { alarms, by }, true) => {
                next.muted.push(HoldReason::Muted { node: node.clone(), alarms, by });
            }
            (Health::Muted { .. }, false) | (Health::Ready { .. } | Health::Unknown { .. }, _) => {}
        }
    }

    fn drained(
        &self,
        next: &mut Transitions,
        node: &VirtualNodeName,
        health: &Health,
        since: Timestamp,
        quiet: Option<Timestamp>,
    ) {
        match health {
            Health::Failing { .. } => return self.drained_and_failing(next, node, since),
            // A failed evaluation reports `OK` of an earlier moment: the probe would run unobserved.
            Health::Muted { .. }
            | Health::Unknown { unknown: Unknown::NoAlarm | Unknown::Unreadable | Unknown::NotEvaluated } => {
                return next.waits.push(HoldReason::NoVerdict { node: node.clone(), health: health.clone() });
            }
            Health::Ready { .. } | Health::Unknown { unknown: Unknown::Idle | Unknown::InsufficientData } => {}
        }
        let until = quiet.unwrap_or(since).max(since) + self.policy.dwell.get();
        if self.now < until {
            return next.waits.push(HoldReason::InsideDwell { node: node.clone(), until });
        }
        if let Some(hold) = self.flapping(node) {
            return next.waits.push(hold);
        }
        // A standby had no share before the failover, so no share is returned to it.
        let idle = self.base.weight_of(node).unwrap_or_default() == 0;
        next.steps.insert(node.clone(), if idle { FailbackStep::Done } else { FailbackStep::To(0) });
    }

    /// A drained node with alarms in `ALARM` stays drained, unless the alarms cannot clear without requests and the
    /// policy allows a probe without proof.
    fn drained_and_failing(&self, next: &mut Transitions, node: &VirtualNodeName, since: Timestamp) {
        let stuck = self.input.stuck(node);
        let carries = self.carries(node);
        if !stuck.is_empty()
            && !carries
            && let Some(trial) = &self.policy.failback.probe_without_proof
            && since + trial.after.get() <= self.now
            && self.flapping(node).is_none()
        {
            let window = trial.window.get();
            let tries = self.record.trials.get(node).into_iter().flatten().filter(|at| self.now < **at + window);
            if tries.count() < usize::from(trial.tries) {
                next.steps.insert(node.clone(), FailbackStep::Trial);
                return;
            }
        }
        next.stuck.extend(stuck);
        next.drained.push(node.clone());
        if carries {
            next.unplaced.push(node.clone());
        }
    }

    fn flapping(&self, node: &VirtualNodeName) -> Option<HoldReason> {
        let window = self.policy.flaps.window.get();
        let times = self.record.drains.get(node).into_iter().flatten().copied();
        let drains: Vec<Timestamp> = times.filter(|at| self.now < *at + window).collect();
        let oldest = drains.iter().min()?;
        (drains.len() >= usize::from(self.policy.flaps.limit)).then(|| HoldReason::FlapBudget {
            node: node.clone(),
            drains: drains.len(),
            until: *oldest + window,
        })
    }

    fn returning(
        &self,
        next: &mut Transitions,
        node: &VirtualNodeName,
        health: Health,
        (step, since): (u8, Timestamp),
        trial: bool,
    ) {
        let mut until = since + self.policy.failback.step_every.get();
        match &health {
            Health::Failing { .. } => {
                let stuck = self.input.stuck(node);
                if !trial || stuck.is_empty() {
                    return next.back_downs.push(node.clone());
                }
                // The alarms were in `ALARM` when the probe began, and clear only after a full evaluation range of
                // data.
                until = until.max(since + self.input.evaluation_of(&stuck));
                if self.now >= until {
                    return next.ended_trials.push(node.clone());
                }
            }
            Health::Muted { .. } => {
                return next.waits.push(HoldReason::NoVerdict { node: node.clone(), health });
            }
            Health::Ready { .. } | Health::Unknown { .. } => {}
        }
        // A declared write can take its share away; without requests, no step could prove its health.
        if self.base.weight_of(node).unwrap_or_default() == 0 {
            next.steps.insert(node.clone(), FailbackStep::Done);
            return;
        }
        if self.now < until {
            return next.waits.push(HoldReason::InsideStep { node: node.clone(), step, until });
        }
        if let Some(unproven) = self.unproven(node, health) {
            // A probe without proof ends with its step.
            return if trial { next.ended_trials.push(node.clone()) } else { next.waits.push(unproven) };
        }
        let last = u8::try_from(self.policy.failback.steps.len()).unwrap_or(u8::MAX);
        next.steps.insert(node.clone(), if step < last { FailbackStep::To(step + 1) } else { FailbackStep::Done });
    }

    /// The hold that names the proof still missing; `None` if the node has served requests well since its step began.
    fn unproven(&self, node: &VirtualNodeName, health: Health) -> Option<HoldReason> {
        let needed = self.policy.failback.min_data_points;
        let is_ok = |alarm: &&TargetAlarm| alarm.role == AlarmRole::Request && alarm.is_ok();
        let ok: Vec<&TargetAlarm> = self.input.alarms_of(node).iter().filter(is_ok).collect();
        let mut missing = Vec::new();
        let mut seen = 0;
        if let Some(data) = self.route.alarm_data.get(node) {
            for alarm in data {
                match proven(alarm, needed) {
                    Ok(_) if ok.iter().any(|found| found.name == alarm.alarm) => return None,
                    Ok(points) => seen = seen.max(points),
                    Err(gaps) => missing.extend(gaps),
                }
            }
        } else {
            seen = self.route.data_points.get(node).copied().unwrap_or_default();
            if seen >= u32::from(needed) && !ok.is_empty() {
                return None;
            }
        }
        // Alarms without countable metrics are reported only if no other alarm could give the proof.
        let counts = |gap: &MissingProof| !matches!(gap.why, ProofGap::NothingToCount { .. });
        if missing.iter().any(counts) {
            missing.retain(counts);
        }
        Some(HoldReason::Unproven { node: node.clone(), seen, needed, health, missing })
    }
}

/// The nodes of a route that have completed the duration of their step, each with the start of the step. The caller must count their
/// data points since then before [`decide`](super::decide) can advance them.
pub fn awaiting_proof<'a>(
    record: &'a RouteRecord,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> impl Iterator<Item = (&'a VirtualNodeName, Timestamp)> {
    let step = policy.failback.step_every.get();
    // The record may hold an unfinished write, and its phases count once the write is seen on the route.
    let phases = record.intent.iter().flat_map(|intent| &intent.then.phases).chain(&record.shift.phases);
    phases.filter_map(move |(node, phase)| match phase {
        Phase::Returning { since, .. } if *since + step <= now => Some((node, *since)),
        Phase::Returning { .. } | Phase::Drained { .. } => None,
    })
}
