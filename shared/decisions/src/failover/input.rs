//! The input that all routes of a mesh share, and the capacity and budget that they compete for.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::cause::Causes;
use super::decision::{Decision, Plan, Verdict};
use super::facts::Facts;
use super::health::Health;
use super::phases::NodeHealthSource;
use super::proof::{evaluation_seconds, stuck_in_alarm};
use super::reason::{HoldReason, StuckAlarm, Subject};
use super::targets::{AlarmTargets, TargetAlarm, alarm_targets};
use crate::decision::HarmFact;
use crate::weights::LayerLimits;
use crate::weights::spread::points;
use mesh::alarm::{AlarmName, AlarmSource, AlarmState};
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::{FailoverPolicy, Policy};

/// The decision input that all routes of a mesh share.
pub(super) struct DecisionInput<'a> {
    pub(super) facts: &'a Facts,
    pub(super) harms: &'a dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
    pub(super) policy: &'a Policy,
    pub(super) failover: &'a FailoverPolicy,
    pub(super) now: Timestamp,
    targets: AlarmTargets,
    health: BTreeMap<VirtualNodeName, Health>,
    pub(super) causes: Causes,
    pub(super) layer_limits: LayerLimits,
}

impl<'a> DecisionInput<'a> {
    pub(super) fn new(
        facts: &'a Facts,
        harms: &'a dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Self {
        let failover = &policy.failover;
        let mut targets = alarm_targets(&facts.alarms, &facts.alarm_tags, failover, now);
        targets.cover(
            &facts.mesh,
            facts.routes.iter().flat_map(|route| route.split.targets()).map(|target| &target.virtual_node),
        );
        let carried = facts.routes.iter().flat_map(|route| route.split.targets()).map(|target| &target.virtual_node);
        let health: BTreeMap<VirtualNodeName, Health> = carried
            .chain(targets.nodes(&facts.mesh))
            .map(|node| {
                let declared = failover.target(&facts.mesh, node);
                (
                    node.clone(),
                    Health::from_alarms(targets.alarms_of(&facts.mesh, node), facts.has_traffic(node), declared),
                )
            })
            .collect();
        let disputed = health
            .keys()
            .filter_map(|node| {
                let (failing, healthy) = targets.disagreement(&facts.mesh, node, failover)?;
                Some((node.clone(), HoldReason::CallersDisagree { node: node.clone(), failing, healthy }))
            })
            .collect();
        let causes = Causes::new(facts, &health, &failover.common_cause, now).with_disputed(disputed);
        Self {
            facts,
            harms,
            policy,
            failover,
            now,
            targets,
            health,
            causes,
            layer_limits: LayerLimits { unattended: policy.rollouts.unattended.get() },
        }
    }

    /// Holds for failing nodes with traffic that no weights can move: no route targets them, or a service sends its
    /// requests to them directly.
    pub(super) fn holds_for_unrouted_nodes(&self) -> Vec<Decision> {
        let carried = |node: &VirtualNodeName| {
            !self.facts.provides.contains_key(node) && self.facts.routes.iter().any(|route| route.split.carries(node))
        };
        self.health
            .iter()
            .filter(|(node, _)| !carried(node))
            .filter_map(|(node, health)| match health {
                Health::Failing { alarms, .. } => Some((node, alarms)),
                Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. } => None,
            })
            .map(|(node, alarms)| {
                let reason = if self.facts.nodes.contains(node) {
                    let provides = self.facts.provides.get(node).cloned().unwrap_or_default();
                    HoldReason::NoRoute { node: node.clone(), provides }
                } else {
                    HoldReason::NodeMissing { node: node.clone(), alarms: alarms.clone() }
                };
                Decision {
                    subject: Subject::Node(node.clone()),
                    verdict: Verdict::Hold(reason),
                    record: None,
                    failing: true,
                }
            })
            .collect()
    }

    pub(super) fn alarms_of(&self, nodes: &[VirtualNodeName]) -> Vec<AlarmName> {
        let on = |node| match self.health.get(node) {
            Some(Health::Failing { alarms, .. }) => alarms.clone(),
            Some(Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. }) | None => Vec::new(),
        };
        nodes.iter().flat_map(on).collect()
    }
}

impl NodeHealthSource for DecisionInput<'_> {
    fn health(&self, node: &VirtualNodeName) -> Health {
        self.health.get(node).cloned().unwrap_or_else(|| Health::from_alarms(&[], false, None))
    }

    fn alarms_of(&self, node: &VirtualNodeName) -> &[TargetAlarm] {
        self.targets.alarms_of(&self.facts.mesh, node)
    }

    fn stuck(&self, node: &VirtualNodeName) -> Vec<StuckAlarm> {
        let on = NodeHealthSource::alarms_of(self, node).iter().filter(|alarm| alarm.state == AlarmState::Alarm);
        let read = on.filter_map(|on| self.facts.alarms.iter().find(|alarm| alarm.name == on.name));
        // A composite alarm follows its child alarms, so only metric alarms can be stuck.
        let own = read.filter(|alarm| !matches!(alarm.source, AlarmSource::Composite(_)));
        let stuck = own.map(|alarm| {
            let cause = stuck_in_alarm(alarm)?;
            Some(StuckAlarm { node: node.clone(), alarm: alarm.name.clone(), cause })
        });
        stuck.collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn evaluation_of(&self, stuck: &[StuckAlarm]) -> SignedDuration {
        let alarms = stuck.iter().filter_map(|stuck| self.facts.alarms.iter().find(|alarm| alarm.name == stuck.alarm));
        let seconds = alarms.filter_map(evaluation_seconds).max().unwrap_or_default();
        SignedDuration::from_secs(i64::from(seconds))
    }
}

/// The capacity and the budget that the routes decided so far have used.
pub(super) struct Allocations {
    splits: BTreeMap<RouteId, WeightSplit>,
    pub(super) budget_used: u32,
}

impl Allocations {
    pub(super) fn new(facts: &Facts) -> Self {
        let splits = facts.routes.iter().map(|route| (route.id.clone(), route.split.clone())).collect();
        Self { splits, budget_used: facts.budget_used }
    }

    /// Percentage points that a node carries on all routes except `route`.
    pub(super) fn points_elsewhere(&self, route: &RouteId, node: &VirtualNodeName) -> u16 {
        self.splits.iter().filter(|(id, _)| *id != route).map(|(_, split)| points(split, node)).sum()
    }

    /// Counts a split that is planned without a plan of failover.
    pub(super) fn set(&mut self, route: &RouteId, split: WeightSplit) {
        self.splits.insert(route.clone(), split);
    }

    pub(super) fn add(&mut self, plan: &Plan) {
        self.splits.insert(plan.route.clone(), plan.to.clone());
        if plan.spends {
            self.budget_used += 1;
        }
    }
}
