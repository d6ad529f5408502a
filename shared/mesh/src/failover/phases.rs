//! How far each node of a route goes on from here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::facts::RouteFacts;
use super::health::{Health, Unknown};
use super::proof::{MissingProof, ProofGap, proven};
use super::reason::{HoldReason, StuckAlarm};
use super::record::{Phase, RouteRecord};
use super::spread::Keeps;
use super::targets::TargetAlarm;
use crate::name::VirtualNodeName;
use crate::policy::{AlarmRole, FailoverPolicy};
use crate::weights::WeightSplit;

/// What the nodes of one route should do next.
#[derive(Debug, Default)]
pub(super) struct Transitions {
    /// Serving nodes that fail.
    pub(super) drains: Vec<VirtualNodeName>,
    /// Returning nodes that fail again.
    pub(super) back_downs: Vec<VirtualNodeName>,
    /// Nodes that had the probe share without proof, and are still not proven.
    pub(super) ended_trials: Vec<VirtualNodeName>,
    /// Drained or returning nodes that go one step on.
    pub(super) steps: BTreeMap<VirtualNodeName, Step>,
    /// Nodes that wait, and why.
    pub(super) waits: Vec<HoldReason>,
    /// Nodes that fail and are drained already.
    pub(super) drained: Vec<VirtualNodeName>,
    /// Those of them that still carry traffic, because no other target has capacity for it.
    pub(super) unplaced: Vec<VirtualNodeName>,
    /// The alarms of drained nodes that cannot clear while these have no requests.
    pub(super) stuck: Vec<StuckAlarm>,
    /// Nodes that fail and that the route gives nothing, without having drained them.
    pub(super) idle: Vec<VirtualNodeName>,
    /// Nodes whose alarms are on and muted.
    pub(super) muted: Vec<HoldReason>,
}

/// The next step of a node on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It gets the share of this step.
    To(u8),
    /// It gets the probe share although its alarms are in `ALARM`, since they cannot clear otherwise.
    Trial,
    /// It carries its whole share again.
    Done,
}

/// What is known of a node.
pub(super) trait Knows {
    /// The conclusion from its alarms.
    fn health(&self, node: &VirtualNodeName) -> Health;
    /// Its alarms.
    fn alarms_of(&self, node: &VirtualNodeName) -> &[TargetAlarm];
    /// The alarms that are in `ALARM` and cannot clear while the node has no requests; empty as soon as another alarm
    /// of the node is in `ALARM`, too.
    fn stuck(&self, node: &VirtualNodeName) -> Vec<StuckAlarm>;
    /// How long these alarms need data before they can clear.
    fn evaluation_of(&self, stuck: &[StuckAlarm]) -> SignedDuration;
}

/// Notes when drained nodes were last in `ALARM`. From then on the dwell runs, whatever states follow: an alarm that
/// takes turns between `OK` and `INSUFFICIENT_DATA` must not restart it each time.
pub(super) fn note_quiet(record: &mut RouteRecord, scene: &impl Knows) {
    for (node, phase) in &mut record.shift.phases {
        let Phase::Drained { since, quiet } = phase else { continue };
        match scene.health(node) {
            Health::Failing { .. } => *quiet = None,
            // Whether it still fails is not known.
            Health::Muted { .. } | Health::Unknown { unknown: Unknown::NoAlarm | Unknown::Unreadable } => {}
            Health::Ready { .. }
            | Health::Unknown { unknown: Unknown::Idle | Unknown::InsufficientData | Unknown::NotEvaluated } => {
                // The newest change of an alarm's state is the one that ended `ALARM`, or a little later.
                let changed = scene.alarms_of(node).iter().filter_map(|alarm| alarm.since).fold(*since, Timestamp::max);
                quiet.get_or_insert(changed);
            }
        }
    }
}

/// One route, and what its nodes are judged by.
struct View<'a, K> {
    route: &'a RouteFacts,
    record: &'a RouteRecord,
    base: &'a WeightSplit,
    scene: &'a K,
    policy: &'a FailoverPolicy,
    now: Timestamp,
}

/// Looks at every node that the route gives traffic, gave traffic before the event, or withholds it from.
pub(super) fn transitions<K: Knows>(
    route: &RouteFacts,
    record: &RouteRecord,
    scene: &K,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Transitions {
    let base = record.shift.restore.as_ref().map_or(&route.split, |point| &point.split);
    let nodes: BTreeSet<&VirtualNodeName> =
        base.targets().iter().map(|target| &target.virtual_node).chain(record.shift.phases.keys()).collect();
    let view = View { route, record, base, scene, policy, now };
    let mut next = Transitions::default();
    for node in nodes {
        let health = scene.health(node);
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

impl<K: Knows> View<'_, K> {
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
            // A failed evaluation says `OK` about a moment that is over: a probe would go unwatched.
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
        // A standby that had no share of its own has nothing to be given back.
        let idle = self.base.weight_of(node).unwrap_or_default() == 0;
        next.steps.insert(node.clone(), if idle { Step::Done } else { Step::To(0) });
    }

    /// A node whose alarms are on although it is drained: it stays so, unless they cannot clear without requests and the
    /// policy allows a probe for that.
    fn drained_and_failing(&self, next: &mut Transitions, node: &VirtualNodeName, since: Timestamp) {
        let stuck = self.scene.stuck(node);
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
                next.steps.insert(node.clone(), Step::Trial);
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
                let stuck = self.scene.stuck(node);
                if !trial || stuck.is_empty() {
                    return next.back_downs.push(node.clone());
                }
                // They were in `ALARM` when it began, and clear only once they have seen enough data.
                until = until.max(since + self.scene.evaluation_of(&stuck));
                if self.now >= until {
                    return next.ended_trials.push(node.clone());
                }
            }
            Health::Muted { .. } => {
                return next.waits.push(HoldReason::NoVerdict { node: node.clone(), health });
            }
            Health::Ready { .. } | Health::Unknown { .. } => {}
        }
        if self.now < until {
            return next.waits.push(HoldReason::InsideStep { node: node.clone(), step, until });
        }
        if let Some(unproven) = self.unproven(node, health) {
            // It was given a share on trust, and trust ends with the step.
            return if trial { next.ended_trials.push(node.clone()) } else { next.waits.push(unproven) };
        }
        let last = u8::try_from(self.policy.failback.steps.len()).unwrap_or(u8::MAX);
        next.steps.insert(node.clone(), if step < last { Step::To(step + 1) } else { Step::Done });
    }

    /// What is missing from the proof that the node served requests well since its step began.
    fn unproven(&self, node: &VirtualNodeName, health: Health) -> Option<HoldReason> {
        let needed = self.policy.failback.min_data_points;
        let is_ok = |alarm: &&TargetAlarm| alarm.role == AlarmRole::Request && alarm.is_ok();
        let ok: Vec<&TargetAlarm> = self.scene.alarms_of(node).iter().filter(is_ok).collect();
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
        // What has nothing to count is worth a word only where nothing else could prove it.
        let counts = |gap: &MissingProof| !matches!(gap.why, ProofGap::NothingToCount { .. });
        if missing.iter().any(counts) {
            missing.retain(counts);
        }
        Some(HoldReason::Unproven { node: node.clone(), seen, needed, health, missing })
    }
}

/// How much of its share a node keeps in a phase.
pub(super) fn keeps(phase: Option<&Phase>, policy: &FailoverPolicy) -> Keeps {
    let probe = policy.failback.probe_share.get();
    match phase {
        None => Keeps::All,
        Some(Phase::Drained { .. }) => Keeps::Nothing,
        Some(Phase::Returning { step: 0, .. }) => Keeps::Part { percent: 0, at_least: probe },
        Some(Phase::Returning { step, .. }) => {
            let percent = policy.failback.steps.get(usize::from(*step) - 1).map_or(100, |percent| percent.get());
            Keeps::Part { percent, at_least: probe }
        }
    }
}

/// The nodes of a route whose step has been watched long enough, each with the time since when data points count:
/// what has to be looked up before [`decide`](super::decide) can let them go on.
pub fn awaiting_proof<'a>(
    record: &'a RouteRecord,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> impl Iterator<Item = (&'a VirtualNodeName, Timestamp)> {
    let step = policy.failback.step_every.get();
    // The record may hold an unfinished write; what it leads to counts as soon as the write is seen on the route.
    let phases = record.intent.iter().flat_map(|intent| &intent.then.phases).chain(&record.shift.phases);
    phases.filter_map(move |(node, phase)| match phase {
        Phase::Returning { since, .. } if *since + step <= now => Some((node, *since)),
        Phase::Returning { .. } | Phase::Drained { .. } => None,
    })
}
