//! The part of the policy for route-failover.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::discovery::{AlarmDiscovery, CallerDisagreement, FailureMetricsPolicy};
use super::{AlarmRules, LatencyBound, Percent, Period};
use mesh::alarm::AlarmName;
use mesh::name::{MeshName, RouteId, RouteName, VirtualNodeName, VirtualRouterName};

/// The settings of failover. Every member except the bindings has a default: the target of an alarm must be declared,
/// by a binding here or by the alarm's own dimensions, labels or tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailoverPolicy {
    /// The alarms that report a virtual node. A bound alarm may be on any metric.
    pub bindings: Vec<Binding>,
    /// The discovery of alarms without a binding.
    pub discovery: AlarmDiscovery,
    /// The metrics that may drain a target.
    pub failure_metrics: FailureMetricsPolicy,
    /// The reaction if only some callers of a target report that it fails.
    pub caller_disagreement: CallerDisagreement,
    /// The properties of single nodes.
    pub targets: Vec<TargetPolicy>,
    /// The standbys of routes, in order.
    pub standbys: Vec<StandbyPolicy>,
    /// The minimum time that a node stays drained, and its alarm out of `ALARM`, before it receives the probe share.
    pub dwell: Period,
    /// The steps in which traffic returns.
    pub failback: FailbackPolicy,
    /// When several failures count as one with a common cause elsewhere.
    pub common_cause: CommonCausePolicy,
    /// How often a node may be drained before it stays drained.
    pub flaps: FlapPolicy,
    /// How long an operator's edit is held.
    pub edits: EditPolicy,
    /// The budget of shifts.
    pub budget: Budget,
    /// The intervals of repeated pages.
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
            // Long enough for a restarted task to be pulled, started and checked; short enough that a standby does not
            // carry a double load for half an hour.
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

/// A binding of an alarm to the virtual node that it reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// The alarm's name.
    pub alarm: AlarmName,
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// The kind of the alarm's metric.
    #[serde(default)]
    pub role: AlarmRole,
}

/// The kind of an alarm's metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlarmRole {
    /// Requests through the mesh: the alarm is conclusive only while the node has traffic.
    #[default]
    Request,
    /// Readiness, independent of the mesh's traffic, so that the alarm is conclusive for an idle standby, too.
    Readiness,
}

/// The declared properties of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetPolicy {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub virtual_node: VirtualNodeName,
    /// Whether the node counts as ready even without traffic and without a readiness alarm.
    #[serde(default)]
    pub assume_ready: bool,
    /// The maximum load, in percentage points summed over all routes with this target: 100 is the whole of one route.
    /// Absent: unlimited.
    #[serde(default)]
    pub capacity_share: Option<u16>,
    /// The bound on response times for the target's latency alarm. Absent: `failover.alarms.latency`.
    #[serde(default)]
    pub latency: Option<LatencyBound>,
}

/// The standbys of a route, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandbyPolicy {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual router.
    pub virtual_router: VirtualRouterName,
    /// The route. Absent: every route of the router.
    #[serde(default)]
    pub route: Option<RouteName>,
    /// The targets of the route that take over; the first eligible one is used first.
    pub order: Vec<VirtualNodeName>,
}

/// The steps in which traffic returns to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailbackPolicy {
    /// The first share of the route, in percent, to test the node: a drained node has no data.
    pub probe_share: Percent,
    /// The following steps, in percent of the node's share before the failover; the last step is always 100.
    pub steps: Vec<Percent>,
    /// The duration of each step.
    pub step_every: Period,
    /// The number of data points that the node's request alarms need in a step.
    pub min_data_points: u16,
    /// The probe without proof, for a drained node with alarms that cannot leave `ALARM` without
    /// requests. Absent: never.
    pub probe_without_proof: Option<ProbeWithoutProof>,
}

/// A probe of a drained node with alarms that cannot leave `ALARM` while it has no requests, because missing data keeps
/// their state or breaches them. The node keeps the probe share until its alarms have enough data. If they are `OK`
/// then, the failback continues; otherwise the node is drained again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProbeWithoutProof {
    /// How long the node must have been drained before the probe.
    pub after: Period,
    /// The maximum number of probes within the window.
    pub tries: u8,
    /// The window.
    pub window: Period,
}

impl Default for ProbeWithoutProof {
    fn default() -> Self {
        // Each probe sends real requests to a node that may still fail, so there are few, and none in the first hour.
        Self { after: Period::minutes(60), tries: 3, window: Period::minutes(24 * 60) }
    }
}

impl Default for FailbackPolicy {
    fn default() -> Self {
        Self {
            // Small enough to cause little harm, large enough for a data point at 20 requests a minute.
            probe_share: Percent::constant(5),
            steps: vec![Percent::constant(25), Percent::constant(50)],
            step_every: Period::minutes(2),
            min_data_points: 1,
            probe_without_proof: None,
        }
    }
}

/// When failures count as one with a common cause elsewhere, for example a dead database; moving traffic could only
/// make the outage worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommonCausePolicy {
    /// The number of nodes that fail within the window without a failing node that they call. At least 2.
    pub targets: u8,
    /// The window.
    pub window: Period,
}

impl Default for CommonCausePolicy {
    fn default() -> Self {
        // Two independent versions rarely fail in the same two minutes; two users of one database always do.
        Self { targets: 2, window: Period::minutes(2) }
    }
}

/// How often a node may be drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FlapPolicy {
    /// The number of drains within the window after which the node stays drained until the oldest leaves the window.
    pub limit: u8,
    /// The window.
    pub window: Period,
}

impl Default for FlapPolicy {
    fn default() -> Self {
        Self { limit: 3, window: Period::minutes(240) }
    }
}

/// The hold after an operator's edit of targets or weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditPolicy {
    /// The duration of the hold, unless it is released.
    pub hold_for: Period,
}

impl Default for EditPolicy {
    fn default() -> Self {
        Self { hold_for: Period::minutes(240) }
    }
}

/// The budget of changes of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// The number of changes in a window. Restorations and roll-backs never count.
    pub changes: u32,
    /// The duration of a window; windows follow each other without overlap.
    pub window: Period,
}

impl Default for Budget {
    fn default() -> Self {
        // A mesh with over twenty failovers within an hour has an incident that needs an operator.
        Self { changes: 20, window: Period::minutes(60) }
    }
}

/// The intervals of repeated notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PagingPolicy {
    /// A hold that lasts while an alarm is in `ALARM` is paged again after this time.
    pub repeat_after: Period,
    /// A node that cannot return although no node fails, and a lasting failure of a call while no alarm is in `ALARM`,
    /// are paged again after this time.
    pub remind_after: Period,
    /// A transient failure, for example a throttle or a server error, pages after this time, and only if two
    /// consecutive invocations observed it. A failure that no retry can resolve pages at once.
    pub unreadable_after: Period,
    /// A drained node with alarms that cannot clear without requests pages after this time, and then after
    /// `remindAfter`.
    pub stuck_after: Period,
    /// A transient failure that keeps traffic on a failing node pages after this time, if two consecutive invocations
    /// observed it.
    pub hold_after: Period,
}

impl Default for PagingPolicy {
    fn default() -> Self {
        // A drained node harms no user, but a forgotten one is missing when the other node fails.
        Self {
            repeat_after: Period::minutes(15),
            remind_after: Period::minutes(24 * 60),
            // AWS resolves most throttles and regional errors within minutes. Ten invocations without an answer are
            // longer.
            unreadable_after: Period::minutes(10),
            // By then the node has been repaired, or an operator is working on it.
            stuck_after: Period::minutes(60),
            // Long enough for a throttle to pass; users of the failing node wait as long.
            hold_after: Period::minutes(2),
        }
    }
}

impl FailoverPolicy {
    /// The declared properties of a node.
    #[must_use]
    pub fn target(&self, mesh: &MeshName, node: &VirtualNodeName) -> Option<&TargetPolicy> {
        self.targets.iter().find(|target| target.mesh == *mesh && target.virtual_node == *node)
    }

    /// The standbys of a route, in order: its own entry takes precedence over its router's.
    #[must_use]
    pub fn standbys(&self, route: &RouteId) -> &[VirtualNodeName] {
        let of_router = |standby: &&StandbyPolicy| standby.mesh == route.mesh && standby.virtual_router == route.router;
        let own = self.standbys.iter().filter(of_router).find(|standby| standby.route.as_ref() == Some(&route.route));
        let general = || self.standbys.iter().filter(of_router).find(|standby| standby.route.is_none());
        own.or_else(general).map_or(&[], |standby| standby.order.as_slice())
    }

    /// The first contradiction in the document: its key and its remedy.
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
            Some((key, "a pattern must not match every metric; name the metric".to_owned()))
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
                return Some((format!("{key}.order"), "a standby is listed twice; keep one".to_owned()));
            }
            (!seen.insert((&standby.mesh, &standby.virtual_router, &standby.route)))
                .then(|| (key, format!("{} has an order of standbys already; merge them", standby.virtual_router)))
        })
    }

    fn steps_that_do_not_rise(&self) -> Option<(String, String)> {
        self.failback.steps.windows(2).enumerate().find_map(|(index, pair)| match pair {
            [lower, upper] if lower >= upper => Some((
                format!("failover.failback.steps[{}]", index + 1),
                format!("steps must increase: {} cannot follow {}", upper.get(), lower.get()),
            )),
            _ => None,
        })
    }

    fn limits_without_meaning(&self) -> Option<(String, String)> {
        if self.common_cause.targets < 2 {
            return Some((
                "failover.commonCause.targets".to_owned(),
                "a common cause needs at least 2 failing nodes; a lower number would prevent every failover".to_owned(),
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
