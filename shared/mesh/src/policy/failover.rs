//! The part of the policy that route-failover goes by.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::discovery::{AlarmDiscovery, CallerDisagreement, FailureMetricsPolicy};
use super::{AlarmRules, LatencyBound, Percent, Period};
use crate::alarm::AlarmName;
use crate::name::{MeshName, RouteId, RouteName, VirtualNodeName, VirtualRouterName};

/// How failover behaves. Every member has a default but the bindings: the target of an alarm is only ever declared, by
/// a binding here or by the alarm's own dimensions, labels or tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailoverPolicy {
    /// Which alarm reports which virtual node. A bound alarm may watch any metric.
    pub bindings: Vec<Binding>,
    /// Where to look for alarms that no binding names.
    pub discovery: AlarmDiscovery,
    /// The metrics whose alarms may drain a target.
    pub failure_metrics: FailureMetricsPolicy,
    /// What follows when only some callers of a target report that it fails.
    pub caller_disagreement: CallerDisagreement,
    /// What is known of single nodes.
    pub targets: Vec<TargetPolicy>,
    /// Routes with an order of standbys.
    pub standbys: Vec<StandbyPolicy>,
    /// How long a node stays drained at the least, and its alarm out of `ALARM`, before traffic is tried again.
    pub dwell: Period,
    /// How traffic comes back.
    pub failback: FailbackPolicy,
    /// When several failures are taken for one with a cause elsewhere.
    pub common_cause: CommonCausePolicy,
    /// How often a node may be drained before it stays drained.
    pub flaps: FlapPolicy,
    /// How long a person's edit is left alone.
    pub edits: EditPolicy,
    /// How many shifts are allowed.
    pub budget: Budget,
    /// How often a hold that lasts is paged again.
    pub paging: PagingPolicy,
    /// The alarms that `meshwarden alarms` writes.
    pub alarms: AlarmRules,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            bindings: Vec::new(),
            discovery: AlarmDiscovery::default(),
            failure_metrics: FailureMetricsPolicy::default(),
            caller_disagreement: CallerDisagreement::default(),
            targets: Vec::new(),
            standbys: Vec::new(),
            // Long enough for a restarted task to be pulled, started and checked; short enough that a standby does
            // not carry a double load for half an hour.
            dwell: Period::minutes(5),
            failback: FailbackPolicy::default(),
            common_cause: CommonCausePolicy::default(),
            flaps: FlapPolicy::default(),
            edits: EditPolicy::default(),
            budget: Budget::default(),
            paging: PagingPolicy::default(),
            alarms: AlarmRules::default(),
        }
    }
}

/// An alarm that reports a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// The alarm's name.
    pub alarm: AlarmName,
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// What the alarm watches.
    #[serde(default)]
    pub role: AlarmRole,
}

/// What an alarm watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlarmRole {
    /// Requests through the mesh: it says something only while the node has traffic.
    #[default]
    Request,
    /// Something that does not depend on the mesh's traffic, so that it speaks of an idle standby too.
    Readiness,
}

/// What people know of a node that no alarm tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetPolicy {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// Somebody vouches that the node is ready even while it has no traffic and no readiness alarm.
    #[serde(default)]
    pub assume_ready: bool,
    /// The most it can carry, in percentage points summed over all routes that it is a target of: 100 is the whole of
    /// one route. Unset: no limit is known.
    #[serde(default)]
    pub capacity_share: Option<u16>,
    /// The bound on the target's response times that its latency alarm has. Unset: `failover.alarms.latency`.
    #[serde(default)]
    pub latency: Option<LatencyBound>,
}

/// Standbys of a route, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandbyPolicy {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual router.
    pub virtual_router: VirtualRouterName,
    /// The route; unset for every route of the router.
    #[serde(default)]
    pub route: Option<RouteName>,
    /// Targets of the route that take over, the first one that is eligible first.
    pub order: Vec<VirtualNodeName>,
}

/// How traffic comes back to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailbackPolicy {
    /// The first share of the route, in percent, given back to see whether it works: a drained node has no data.
    pub probe_share: Percent,
    /// What follows, in percent of the node's share before the event; the last one is always 100.
    pub steps: Vec<Percent>,
    /// How long each step is watched.
    pub step_every: Period,
    /// How many data points the node's request alarms must have seen in a step.
    pub min_data_points: u16,
    /// Whether a drained node whose alarms cannot leave `ALARM` without requests is given the probe share all the same.
    /// Unset: never.
    pub probe_without_proof: Option<ProbeWithoutProof>,
}

/// A probe of a drained node whose alarms cannot leave `ALARM` while it has no requests, because they keep their state on
/// missing data, or because missing data breaches them. The node has the probe share until its alarms have seen enough
/// data. If they are `OK` then, it comes back as usual; else it is drained again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProbeWithoutProof {
    /// How long the node has been drained before it is tried.
    pub after: Period,
    /// How often it is tried within the window.
    pub tries: u8,
    /// The window.
    pub window: Period,
}

impl Default for ProbeWithoutProof {
    fn default() -> Self {
        // Each try sends real requests to a node that may still fail, so there are few, and none in the first hour.
        Self { after: Period::minutes(60), tries: 3, window: Period::minutes(24 * 60) }
    }
}

impl Default for FailbackPolicy {
    fn default() -> Self {
        Self {
            // Small enough to hurt little, large enough for a service of 20 requests a minute to give a data point.
            probe_share: Percent::constant(5),
            steps: vec![Percent::constant(25), Percent::constant(50)],
            step_every: Period::minutes(2),
            min_data_points: 1,
            probe_without_proof: None,
        }
    }
}

/// When failures have one cause elsewhere, such as a dead database, and moving traffic can only make it worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommonCausePolicy {
    /// This many nodes failing within the window, none of them explained by another that it calls. At least 2.
    pub targets: u8,
    /// The window.
    pub window: Period,
}

impl Default for CommonCausePolicy {
    fn default() -> Self {
        // Two independent versions hardly ever fail in the same two minutes; two users of one database always do.
        Self { targets: 2, window: Period::minutes(2) }
    }
}

/// How often a node may be drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FlapPolicy {
    /// After this many drains within the window it stays drained until the oldest is out of it.
    pub limit: u8,
    /// The window.
    pub window: Period,
}

impl Default for FlapPolicy {
    fn default() -> Self {
        Self { limit: 3, window: Period::minutes(240) }
    }
}

/// How a person's edit of targets or weights is respected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditPolicy {
    /// For how long it wins, unless it is released.
    pub hold_for: Period,
}

impl Default for EditPolicy {
    fn default() -> Self {
        Self { hold_for: Period::minutes(240) }
    }
}

/// How many changes a class of function may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// Changes in a window. Restoring and rolling back never count.
    pub changes: u32,
    /// The window's length; windows stand side by side.
    pub window: Period,
}

impl Default for Budget {
    fn default() -> Self {
        // A mesh where over twenty routes fail over within the hour has an incident that needs a person.
        Self { changes: 20, window: Period::minutes(60) }
    }
}

/// How often people are told of the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PagingPolicy {
    /// A hold that lasts while an alarm is on is paged again after this.
    pub repeat_after: Period,
    /// A node that cannot come back although nothing fails any more, and a call that keeps failing while no alarm is on, are
    /// paged again after this.
    pub remind_after: Period,
    /// How long a passing failure, such as a throttle or a server's error, lasts before it is paged. It is paged only if
    /// two runs in a row have seen it; a failure that no retry can resolve is paged at once.
    pub unreadable_after: Period,
    /// A drained node whose alarms cannot clear without requests is paged after this, and then after `remindAfter`.
    pub stuck_after: Period,
    /// A passing failure that keeps traffic on a failing node is paged after this, if two runs in a row have seen it.
    pub hold_after: Period,
}

impl Default for PagingPolicy {
    fn default() -> Self {
        // Nobody suffers from a node that stays drained, but whoever forgets it has no second one left.
        Self {
            repeat_after: Period::minutes(15),
            remind_after: Period::minutes(24 * 60),
            // AWS resolves most throttles and regional errors within minutes. Ten runs without an answer are longer.
            unreadable_after: Period::minutes(10),
            // By then the node has surely been repaired, or somebody is at it.
            stuck_after: Period::minutes(60),
            // Long enough for a throttle to pass; users of the failing node wait as long.
            hold_after: Period::minutes(2),
        }
    }
}

impl FailoverPolicy {
    /// What is known of a node.
    #[must_use]
    pub fn target(&self, mesh: &MeshName, node: &VirtualNodeName) -> Option<&TargetPolicy> {
        self.targets.iter().find(|target| target.mesh == *mesh && target.virtual_node == *node)
    }

    /// The order of standbys of a route: its own entry before its router's; empty when there is none.
    #[must_use]
    pub fn standbys(&self, route: &RouteId) -> &[VirtualNodeName] {
        let of_router = |standby: &&StandbyPolicy| standby.mesh == route.mesh && standby.virtual_router == route.router;
        let own = self.standbys.iter().filter(of_router).find(|standby| standby.route.as_ref() == Some(&route.route));
        let general = || self.standbys.iter().filter(of_router).find(|standby| standby.route.is_none());
        own.or_else(general).map_or(&[], |standby| standby.order.as_slice())
    }

    /// The first thing in the document that can't hold together with another: its key and what to do.
    pub(super) fn contradiction(&self) -> Option<(String, String)> {
        self.repeated_binding()
            .or_else(|| self.empty_metric())
            .or_else(|| self.repeated_target())
            .or_else(|| self.repeated_standbys())
            .or_else(|| self.steps_that_do_not_rise())
            .or_else(|| self.limits_without_meaning())
    }

    fn repeated_binding(&self) -> Option<(String, String)> {
        let mut roles = BTreeMap::new();
        self.bindings.iter().enumerate().find_map(|(index, binding)| {
            let key = (&binding.alarm, &binding.mesh, &binding.virtual_node);
            roles.insert(key, binding.role).map(|earlier| {
                let problem = if earlier == binding.role {
                    format!("alarm {} is bound to {} twice; keep one", binding.alarm, binding.virtual_node)
                } else {
                    format!("alarm {} is bound to {} in both roles; keep one", binding.alarm, binding.virtual_node)
                };
                (format!("failover.bindings[{index}]"), problem)
            })
        })
    }

    fn empty_metric(&self) -> Option<(String, String)> {
        let added = self.failure_metrics.add.iter().map(|added| &added.metric);
        let lists = [("add", added.collect::<Vec<_>>()), ("remove", self.failure_metrics.remove.iter().collect())];
        lists.into_iter().find_map(|(list, metrics)| {
            let index = metrics.iter().position(|metric| metric.trim_matches('*').trim().is_empty())?;
            let key = format!("failover.failureMetrics.{list}[{index}]");
            Some((key, "a pattern that matches every metric is refused; name the metric".to_owned()))
        })
    }

    fn repeated_target(&self) -> Option<(String, String)> {
        let mut seen = BTreeSet::new();
        self.targets.iter().enumerate().find_map(|(index, target)| {
            (!seen.insert((&target.mesh, &target.virtual_node))).then(|| {
                (
                    format!("failover.targets[{index}]"),
                    format!("{} has an entry already; merge them", target.virtual_node),
                )
            })
        })
    }

    fn repeated_standbys(&self) -> Option<(String, String)> {
        let mut seen = BTreeSet::new();
        self.standbys.iter().enumerate().find_map(|(index, standby)| {
            let key = format!("failover.standbys[{index}]");
            if standby.order.is_empty() {
                return Some((format!("{key}.order"), "name at least one standby".to_owned()));
            }
            let distinct: BTreeSet<_> = standby.order.iter().collect();
            if distinct.len() < standby.order.len() {
                return Some((format!("{key}.order"), "a standby is named twice; keep one".to_owned()));
            }
            (!seen.insert((&standby.mesh, &standby.virtual_router, &standby.route)))
                .then(|| (key, format!("{} has an order of standbys already; merge them", standby.virtual_router)))
        })
    }

    fn steps_that_do_not_rise(&self) -> Option<(String, String)> {
        self.failback.steps.windows(2).enumerate().find_map(|(index, pair)| match pair {
            [lower, upper] if lower >= upper => Some((
                format!("failover.failback.steps[{}]", index + 1),
                format!("steps rise: {} can't follow {}", upper.get(), lower.get()),
            )),
            _ => None,
        })
    }

    fn limits_without_meaning(&self) -> Option<(String, String)> {
        if self.common_cause.targets < 2 {
            return Some((
                "failover.commonCause.targets".to_owned(),
                "a common cause needs at least 2 failing nodes; with fewer nothing would ever fail over".to_owned(),
            ));
        }
        if self.flaps.limit == 0 {
            return Some((
                "failover.flaps.limit".to_owned(),
                "0 would let nothing ever come back; give at least 1, or switch the rule's mode to observe".to_owned(),
            ));
        }
        if self.failback.min_data_points == 0 {
            return Some((
                "failover.failback.minDataPoints".to_owned(),
                "0 would take silence for health; give at least 1".to_owned(),
            ));
        }
        if self.failback.probe_without_proof.as_ref().is_some_and(|probe| probe.tries == 0) {
            return Some((
                "failover.failback.probeWithoutProof.tries".to_owned(),
                "0 would never try; give at least 1, or leave probeWithoutProof out".to_owned(),
            ));
        }
        None
    }
}
