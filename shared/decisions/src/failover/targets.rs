//! Finds the virtual node that an alarm reports, and whether its metric may drain that node.
//!
//! ```text
//! binding ─▶ TargetVirtualNode ─▶ Mesh + VirtualNode ─▶ tags ─▶ children of a composite alarm
//!            (outbound metric)     (inbound metric)
//! ```
//!
//! The first rule that names a target applies. Bindings and tags are deliberate, so they apply to any metric.
//! Dimensions and labels apply only to metrics on the list of failure metrics: see [`super::failure_metric`]. An alarm
//! without a target has a typed reason that names what to add.

mod composite;
mod context;
mod dimensions;
mod muted;
mod related;
mod suppression;
mod target;
mod unmapped;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::proof::{evaluation_below, metric_alarms_below};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, StateTest};
use mesh::name::{MeshName, VirtualNodeName};
use policy::{AlarmRole, CallerDisagreement, FailoverPolicy};

pub use context::AlarmTags;
use context::Context;
pub use muted::Muted;
pub use related::{related, unread_alarms};
pub use target::{Caller, CallerAlarm, ReportedTarget, TargetAlarm, TargetRule};
pub use unmapped::Unmapped;
use uses::FleetMesh;

/// The alarms that report each virtual node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmTargets {
    by_node: BTreeMap<(MeshName, VirtualNodeName), Vec<TargetAlarm>>,
    /// Alarms with a series for each node of a mesh; nodes without a breaching series get the alarm from here.
    fleets: Vec<Fleet>,
    /// Alarms that report no node, with the reason.
    pub unmapped: BTreeMap<AlarmName, Unmapped>,
}

/// An alarm that evaluates one series for each node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fleet {
    /// The meshes.
    mesh: FleetMesh,
    alarm: TargetAlarm,
}

impl AlarmTargets {
    /// The alarms that report a node.
    #[must_use]
    pub fn alarms_of(&self, mesh: &MeshName, node: &VirtualNodeName) -> &[TargetAlarm] {
        self.by_node.get(&(mesh.clone(), node.clone())).map_or(&[], Vec::as_slice)
    }

    /// Every node of a mesh that an alarm reports.
    pub fn nodes<'a>(&'a self, mesh: &'a MeshName) -> impl Iterator<Item = &'a VirtualNodeName> {
        self.by_node.keys().filter(move |(of, _)| of == mesh).map(|(_, node)| node)
    }

    /// Every mesh with a node that an alarm reports.
    #[must_use]
    pub fn meshes(&self) -> BTreeSet<&MeshName> {
        self.by_node.keys().map(|(mesh, _)| mesh).collect()
    }

    /// The nodes that one alarm reports.
    #[must_use]
    pub fn targets_of(&self, alarm: &AlarmName) -> Vec<(&MeshName, &VirtualNodeName)> {
        let reported = |(_, alarms): &(&(MeshName, VirtualNodeName), &Vec<TargetAlarm>)| {
            alarms.iter().any(|found| found.name == *alarm)
        };
        self.by_node.iter().filter(reported).map(|((mesh, node), _)| (mesh, node)).collect()
    }

    /// Whether an alarm evaluates a series for each node of any mesh.
    #[must_use]
    pub fn is_fleet(&self, alarm: &AlarmName) -> bool {
        self.fleets.iter().any(|fleet| fleet.alarm.name == *alarm)
    }

    /// Whether an alarm evaluates a series for each node of this mesh.
    #[must_use]
    pub fn covers(&self, alarm: &AlarmName, mesh: &MeshName) -> bool {
        self.fleets.iter().any(|fleet| fleet.alarm.name == *alarm && fleet.mesh.includes(mesh))
    }

    /// Reports nodes without a breaching series as not failing, by the alarms that evaluate a series for each node.
    /// Without this, nothing would report a drained node any more as soon as its series recovers.
    pub fn cover<'a>(&mut self, mesh: &MeshName, nodes: impl IntoIterator<Item = &'a VirtualNodeName>) {
        let fleets: Vec<TargetAlarm> =
            self.fleets.iter().filter(|fleet| fleet.mesh.includes(mesh)).map(|fleet| fleet.alarm.clone()).collect();
        if fleets.is_empty() {
            return;
        }
        for node in nodes {
            let alarms = self.by_node.entry((mesh.clone(), node.clone())).or_default();
            for fleet in &fleets {
                if !alarms.iter().any(|alarm| alarm.name == fleet.name) {
                    alarms.push(fleet.clone());
                }
            }
        }
    }

    /// The alarms by which callers disagree about a node: every unmuted alarm in `ALARM` measures one caller, and
    /// alarms of other callers are `OK`. The alarms of the second list count only if they have data.
    #[must_use]
    pub fn disputed(&self, mesh: &MeshName, node: &VirtualNodeName) -> Option<(Vec<CallerAlarm>, Vec<&TargetAlarm>)> {
        let alarms = self.alarms_of(mesh, node);
        let acting = alarms.iter().filter(|alarm| alarm.state == AlarmState::Alarm && alarm.muted.is_none());
        let failing: Vec<CallerAlarm> = acting
            .map(|alarm| Some(CallerAlarm { caller: alarm.caller.clone()?, alarm: alarm.name.clone() }))
            .collect::<Option<_>>()?;
        if failing.is_empty() {
            return None;
        }
        let is_other = |alarm: &&TargetAlarm| {
            let caller = alarm.caller.as_ref();
            caller.is_some_and(|caller| failing.iter().all(|found| found.caller != *caller))
        };
        let is_ok =
            |alarm: &&TargetAlarm| alarm.state == AlarmState::Ok && alarm.readable && alarm.evaluation.is_none();
        let healthy: Vec<&TargetAlarm> = alarms.iter().filter(is_other).filter(is_ok).collect();
        (!healthy.is_empty()).then_some((failing, healthy))
    }

    /// The callers that report that a node fails, and the callers that report with data that it does not; `None` if
    /// they agree, or if the policy acts on any caller's report.
    #[must_use]
    pub fn disagreement(
        &self,
        mesh: &MeshName,
        node: &VirtualNodeName,
        policy: &FailoverPolicy,
    ) -> Option<(Vec<CallerAlarm>, Vec<CallerAlarm>)> {
        match policy.caller_disagreement {
            CallerDisagreement::Act => return None,
            CallerDisagreement::Hold => {}
        }
        let (failing, healthy) = self.disputed(mesh, node)?;
        // The alarm of a caller without requests is `OK`, too, and proves no success.
        let proven = healthy.iter().filter(|alarm| alarm.recent_data_points.is_some_and(|points| points > 0));
        let healthy: Vec<CallerAlarm> = proven
            .filter_map(|alarm| Some(CallerAlarm { caller: alarm.caller.clone()?, alarm: alarm.name.clone() }))
            .collect();
        (!healthy.is_empty()).then_some((failing, healthy))
    }
}

impl<'a> Context<'a> {
    fn new(alarms: &'a [Alarm], tags: &'a AlarmTags, policy: &'a FailoverPolicy, now: Timestamp) -> Self {
        Self { by_name: alarms.iter().map(|alarm| (&alarm.name, alarm)).collect(), tags, policy, now }
    }

    fn is_bound(&self, alarm: &Alarm) -> bool {
        self.policy.bindings.iter().any(|binding| binding.alarm == alarm.name)
    }

    /// The targets of an alarm in a given state. Normally that state is `ALARM`; a composite alarm can also be true
    /// because a child is `OK` or has no data.
    fn resolve(&self, alarm: &Alarm, state: StateTest, depth: usize) -> Result<Vec<ReportedTarget>, Unmapped> {
        let plain = |mesh: &MeshName, node: &VirtualNodeName, role, rule| ReportedTarget {
            mesh: mesh.clone(),
            node: node.clone(),
            role,
            rule,
            failure: None,
            caller: None,
            since: None,
        };
        let bound: Vec<ReportedTarget> = self
            .policy
            .bindings
            .iter()
            .filter(|binding| binding.alarm == alarm.name)
            .map(|binding| plain(&binding.mesh, &binding.virtual_node, binding.role, TargetRule::Binding))
            .collect();
        if !bound.is_empty() {
            return deliberate(bound, state);
        }
        let by_metric = match &alarm.source {
            AlarmSource::Metric(_) | AlarmSource::PromQl(_) => uses::targets(alarm, state, self.policy),
            AlarmSource::Composite(_) => Err(Unmapped::ChildrenNameNoTarget),
            AlarmSource::Unreadable(why) => Err(Unmapped::Unreadable { why: why.clone() }),
        };
        let unmapped = match by_metric {
            Ok(targets) => return Ok(targets),
            Err(unmapped) => unmapped,
        };
        if let Some((mesh, node)) = self.tagged(alarm) {
            return deliberate(vec![plain(&mesh, &node, AlarmRole::Request, TargetRule::Tags)], state);
        }
        match &alarm.source {
            AlarmSource::Composite(rule) if state == StateTest::Alarm => self.through_children(rule, depth),
            AlarmSource::Composite(_)
            | AlarmSource::Metric(_)
            | AlarmSource::PromQl(_)
            | AlarmSource::Unreadable(_) => Err(unmapped),
        }
    }

    /// Whether a binding or tags name the node of an alarm.
    fn is_deliberate(&self, alarm: &Alarm) -> bool {
        self.is_bound(alarm) || self.tagged(alarm).is_some()
    }

    fn tagged(&self, alarm: &Alarm) -> Option<(MeshName, VirtualNodeName)> {
        let (tags, discovery) = (self.tags.get(&alarm.name)?, &self.policy.discovery);
        let mesh = MeshName::parse(tags.get(&discovery.mesh_tag)?).ok()?;
        Some((mesh, VirtualNodeName::parse(tags.get(&discovery.virtual_node_tag)?).ok()?))
    }
}

/// The targets of an alarm by binding or tags, on any metric. The state `OK` of such an alarm is never a failure, even
/// if a composite alarm tests for it.
fn deliberate(targets: Vec<ReportedTarget>, state: StateTest) -> Result<Vec<ReportedTarget>, Unmapped> {
    match state {
        StateTest::Alarm | StateTest::InsufficientData => Ok(targets),
        StateTest::Ok => Err(Unmapped::ChildrenNameNoTarget),
    }
}

/// Finds the nodes that each of these alarms reports.
#[must_use]
pub fn alarm_targets(alarms: &[Alarm], tags: &AlarmTags, policy: &FailoverPolicy, now: Timestamp) -> AlarmTargets {
    let context = Context::new(alarms, tags, policy, now);
    let mut targets = AlarmTargets::default();
    for alarm in context.by_name.values() {
        if is_quiet_composite(alarm, &context) {
            continue;
        }
        let found = context.resolve(alarm, StateTest::Alarm, composite::MAX_DEPTH);
        let target_alarm = TargetAlarm {
            name: alarm.name.clone(),
            role: AlarmRole::Request,
            state: alarm.state.clone(),
            since: alarm.since,
            muted: context.muted(alarm),
            readable: !matches!(alarm.source, AlarmSource::Unreadable(_)),
            evaluation: alarm.evaluation.clone().or_else(|| evaluation_below(alarm, alarms)),
            caller: None,
            recent_data_points: alarm.recent_data_points,
        };
        if let Some(mesh) = uses::fleet_mesh(alarm, policy)
            && !context.is_bound(alarm)
        {
            // The alarm's own state is that of its worst series; a node without a breaching series is not failing.
            let state = match alarm.state {
                AlarmState::Alarm => AlarmState::Ok,
                ref other => other.clone(),
            };
            targets.fleets.push(Fleet { mesh, alarm: TargetAlarm { state, muted: None, ..target_alarm.clone() } });
        }
        match found {
            Ok(found) => {
                for target in found {
                    targets.by_node.entry((target.mesh, target.node)).or_default().push(TargetAlarm {
                        role: target.role,
                        caller: target.caller,
                        since: target.since.or(alarm.since),
                        ..target_alarm.clone()
                    });
                }
            }
            Err(reason) => {
                targets.unmapped.insert(alarm.name.clone(), reason);
            }
        }
    }
    targets
}

/// Whether a composite alarm is not in `ALARM`, and no binding or tag names its node. It then reports no node that its
/// children do not report themselves. Its `OK` proves no health either: `ALARM(child)` is also false while the child has
/// no data.
fn is_quiet_composite(alarm: &Alarm, context: &Context<'_>) -> bool {
    matches!(alarm.source, AlarmSource::Composite(_))
        && alarm.state != AlarmState::Alarm
        && !context.is_deliberate(alarm)
}

/// The targets of one alarm, each with its rule and metric. `alarms` holds the alarm itself and, for a composite alarm,
/// its children.
///
/// # Errors
///
/// Returns the reason why the alarm reports no target.
pub fn reported_targets(
    alarm: &Alarm,
    alarms: &[Alarm],
    tags: &AlarmTags,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Result<Vec<ReportedTarget>, Unmapped> {
    Context::new(alarms, tags, policy, now).resolve(alarm, StateTest::Alarm, composite::MAX_DEPTH)
}

/// The cause of the mute of an alarm in `ALARM`; `None` if it is not muted. `alarms` holds the alarm itself and the
/// composite alarms that it acts through.
#[must_use]
pub fn muted_by(
    alarm: &Alarm,
    alarms: &[Alarm],
    tags: &AlarmTags,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Option<Muted> {
    Context::new(alarms, tags, policy, now).muted(alarm)
}

/// The alarms that need their tags read to find the node that they report.
#[must_use]
pub fn needing_tags<'a>(alarms: &'a [Alarm], policy: &FailoverPolicy) -> Vec<&'a Alarm> {
    let is_bound = |alarm: &Alarm| policy.bindings.iter().any(|binding| binding.alarm == alarm.name);
    let is_needed = |alarm: &Alarm| match alarm.source {
        AlarmSource::Metric(_) | AlarmSource::PromQl(_) => uses::targets(alarm, StateTest::Alarm, policy).is_err(),
        // Tags come before the children. Of a quiet composite alarm they matter only if its children report no node.
        AlarmSource::Composite(_) => {
            let names_target =
                |child: &&Alarm| is_bound(child) || uses::targets(child, StateTest::Alarm, policy).is_ok();
            alarm.state == AlarmState::Alarm || !metric_alarms_below(alarm, alarms).iter().any(names_target)
        }
        AlarmSource::Unreadable(_) => true,
    };
    alarms.iter().filter(|alarm| !is_bound(alarm) && is_needed(alarm)).collect()
}

#[cfg(test)]
mod tests;
