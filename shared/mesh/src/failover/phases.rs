//! How far each node of a route goes on from here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::RouteFacts;
use super::health::Health;
use super::reason::HoldReason;
use super::record::{Phase, RouteRecord};
use super::spread::Keeps;
use super::targets::TargetAlarm;
use crate::alarm::AlarmState;
use crate::name::VirtualNodeName;
use crate::policy::{AlarmRole, FailoverPolicy};

/// What the nodes of one route should do next.
#[derive(Debug, Default)]
pub(super) struct Transitions {
    /// Serving nodes that fail.
    pub(super) drains: Vec<VirtualNodeName>,
    /// Returning nodes that fail again.
    pub(super) back_downs: Vec<VirtualNodeName>,
    /// Drained or returning nodes that go one step on; `None` for one that carries its whole share again.
    pub(super) steps: BTreeMap<VirtualNodeName, Option<u8>>,
    /// Nodes that wait, and why.
    pub(super) waits: Vec<HoldReason>,
    /// Nodes that fail and are drained already.
    pub(super) drained: Vec<VirtualNodeName>,
    /// Nodes whose alarms are on and muted.
    pub(super) muted: Vec<HoldReason>,
}

/// What is known of a node, from [`Health::of`], with what its alarms say.
pub(super) trait Knows {
    fn health(&self, node: &VirtualNodeName) -> Health;
    fn alarms_of(&self, node: &VirtualNodeName) -> &[TargetAlarm];
}

/// Looks at every node that the route gives traffic, gave traffic before the event, or withholds it from.
pub(super) fn transitions(
    route: &RouteFacts,
    record: &RouteRecord,
    scene: &impl Knows,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Transitions {
    let base = record.shift.restore.as_ref().map_or(&route.split, |point| &point.split);
    let nodes: BTreeSet<&VirtualNodeName> =
        base.targets().iter().map(|target| &target.virtual_node).chain(record.shift.phases.keys()).collect();
    let mut next = Transitions::default();
    for node in nodes {
        let health = scene.health(node);
        match record.shift.phases.get(node) {
            None => serving(&mut next, route, node, health),
            Some(Phase::Drained { since }) => {
                let idle = base.weight_of(node).unwrap_or_default() == 0;
                drained(&mut next, node, &health, *since, idle, record, scene, policy, now);
            }
            Some(Phase::Returning { step, since }) => {
                returning(&mut next, route, node, health, (*step, *since), scene, policy, now);
            }
        }
    }
    next
}

fn serving(next: &mut Transitions, route: &RouteFacts, node: &VirtualNodeName, health: Health) {
    if route.split.weight_of(node).unwrap_or_default() == 0 {
        return;
    }
    match health {
        Health::Failing { .. } => next.drains.push(node.clone()),
        Health::Muted { alarms, by } => next.muted.push(HoldReason::Muted { node: node.clone(), alarms, by }),
        Health::Ready { .. } | Health::Unknown { .. } => {}
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one fact that the dwell depends on")]
fn drained(
    next: &mut Transitions,
    node: &VirtualNodeName,
    health: &Health,
    since: Timestamp,
    idle: bool,
    record: &RouteRecord,
    scene: &impl Knows,
    policy: &FailoverPolicy,
    now: Timestamp,
) {
    match health {
        Health::Failing { .. } => return next.drained.push(node.clone()),
        Health::Muted { .. } | Health::Unknown { unknown: super::Unknown::NoAlarm | super::Unknown::Unreadable } => {
            return next.waits.push(HoldReason::NoVerdict { node: node.clone(), health: health.clone() });
        }
        Health::Ready { .. } | Health::Unknown { .. } => {}
    }
    // Quiet since the later of the drain and the last change of an alarm's state.
    let quiet = scene.alarms_of(node).iter().filter_map(|alarm| alarm.since).fold(since, Timestamp::max);
    let until = quiet + policy.dwell.get();
    if now < until {
        return next.waits.push(HoldReason::InsideDwell { node: node.clone(), until });
    }
    let window = policy.flaps.window.get();
    let drains: Vec<Timestamp> =
        record.drains.get(node).into_iter().flatten().copied().filter(|at| now < *at + window).collect();
    if drains.len() >= usize::from(policy.flaps.limit)
        && let Some(oldest) = drains.iter().min()
    {
        let until = *oldest + window;
        return next.waits.push(HoldReason::FlapBudget { node: node.clone(), drains: drains.len(), until });
    }
    // A standby that had no share of its own has nothing to be given back.
    next.steps.insert(node.clone(), if idle { None } else { Some(0) });
}

#[expect(clippy::too_many_arguments, reason = "each is one fact that a step depends on")]
fn returning(
    next: &mut Transitions,
    route: &RouteFacts,
    node: &VirtualNodeName,
    health: Health,
    (step, since): (u8, Timestamp),
    scene: &impl Knows,
    policy: &FailoverPolicy,
    now: Timestamp,
) {
    match health {
        Health::Failing { .. } => return next.back_downs.push(node.clone()),
        Health::Muted { .. } => {
            return next.waits.push(HoldReason::NoVerdict { node: node.clone(), health });
        }
        Health::Ready { .. } | Health::Unknown { .. } => {}
    }
    let until = since + policy.failback.step_every.get();
    if now < until {
        return next.waits.push(HoldReason::InsideStep { node: node.clone(), step, until });
    }
    let seen = route.data_points.get(node).copied().unwrap_or_default();
    let needed = policy.failback.min_data_points;
    let ok = |alarm: &TargetAlarm| alarm.role == AlarmRole::Request && alarm.state == AlarmState::Ok && alarm.readable;
    if seen < u32::from(needed) || !scene.alarms_of(node).iter().any(ok) {
        return next.waits.push(HoldReason::Unproven { node: node.clone(), seen, needed, health });
    }
    let last = u8::try_from(policy.failback.steps.len()).unwrap_or(u8::MAX);
    next.steps.insert(node.clone(), if step < last { Some(step + 1) } else { None });
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
