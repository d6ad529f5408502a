//! Which virtual node an alarm reports: by binding, by dimensions, by tags; a composite alarm through its children.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, EvaluationState, MetricTerm, Rule};
use crate::name::{MeshName, VirtualNodeName};
use crate::policy::{AlarmDiscovery, AlarmRole, FailoverPolicy};

/// How far composite alarms of composite alarms are followed (CloudWatch itself sets no depth, but a circle is legal).
const MAX_DEPTH: usize = 5;

/// One alarm that reports a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAlarm {
    /// The alarm.
    pub name: AlarmName,
    /// What it watches.
    pub role: AlarmRole,
    /// The alarm's state.
    pub state: AlarmState,
    /// The time of the last change of the state, if CloudWatch reported one.
    pub since: Option<Timestamp>,
    /// What mutes the alarm's actions while it is in `ALARM`.
    pub muted: Option<Muted>,
    /// Whether the alarm's source could be read.
    pub readable: bool,
    /// What CloudWatch reports about the evaluation; absent when the evaluation works.
    pub evaluation: Option<EvaluationState>,
}

/// The alarms that report each virtual node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmTargets {
    by_node: BTreeMap<(MeshName, VirtualNodeName), Vec<TargetAlarm>>,
    /// Alarms that report no node, and why.
    pub unmapped: BTreeMap<AlarmName, Unmapped>,
}

/// Why an alarm reports no node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Unmapped {
    /// No binding, dimension or tag names one. Bind it in the policy, or tag the alarm.
    NamesNoTarget,
    /// Its metrics name several nodes, so that it can't tell which one fails. Bind it in the policy.
    NamesSeveral {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A composite alarm none of whose children in `ALARM` reports a node.
    ChildrenNameNoTarget,
    /// A composite alarm's rule, or what it names, can't be read.
    Unreadable {
        /// Why not.
        why: String,
    },
}

/// What mutes the actions of an alarm that is in `ALARM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "muted", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Muted {
    /// The alarm's actions are disabled.
    ActionsDisabled {
        /// The alarm.
        alarm: AlarmName,
    },
    /// A suppressor keeps the actions of a composite alarm back.
    Suppressed {
        /// The composite alarm.
        alarm: AlarmName,
        /// CloudWatch's explanation.
        why: String,
    },
    /// An active alarm mute rule names the alarm.
    MuteRule {
        /// The alarm.
        alarm: AlarmName,
        /// The rule.
        rule: String,
    },
}

impl fmt::Display for Muted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActionsDisabled { alarm } => write!(f, "the actions of alarm {alarm} are disabled"),
            Self::Suppressed { alarm, why } => write!(f, "the actions of alarm {alarm} are suppressed ({why})"),
            Self::MuteRule { alarm, rule } => write!(f, "mute rule {rule} mutes alarm {alarm}"),
        }
    }
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

    /// Every mesh of which an alarm reports a node.
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
}

/// Finds the node that each of these alarms reports.
#[must_use]
pub fn alarm_targets(
    alarms: &[Alarm],
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
) -> AlarmTargets {
    let by_name: BTreeMap<&AlarmName, &Alarm> = alarms.iter().map(|alarm| (&alarm.name, alarm)).collect();
    let mut targets = AlarmTargets::default();
    for alarm in by_name.values() {
        match places(alarm, tags, policy, &by_name, MAX_DEPTH) {
            Ok(places) => {
                for (mesh, node, role) in places {
                    let readable = !matches!(alarm.source, AlarmSource::Unreadable(_));
                    targets.by_node.entry((mesh, node)).or_default().push(TargetAlarm {
                        name: alarm.name.clone(),
                        role,
                        state: alarm.state.clone(),
                        since: alarm.since,
                        muted: muted(alarm),
                        readable,
                        evaluation: alarm.evaluation.clone(),
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

/// The alarms that the rules of composite alarms name and that were not read yet.
#[must_use]
pub fn unread_alarms(alarms: &[Alarm], policy: &FailoverPolicy) -> Vec<AlarmName> {
    let known: BTreeSet<&AlarmName> = alarms.iter().map(|alarm| &alarm.name).collect();
    let children: BTreeSet<AlarmName> = alarms
        .iter()
        .filter(|alarm| !policy.bindings.iter().any(|binding| binding.alarm == alarm.name))
        .filter_map(|alarm| match &alarm.source {
            AlarmSource::Composite(rule) => Rule::parse(rule).ok(),
            AlarmSource::Metric(_) | AlarmSource::PromQl(_) | AlarmSource::Unreadable(_) => None,
        })
        .flat_map(|rule| rule.alarms().into_iter().cloned().collect::<Vec<_>>())
        .filter(|child| !known.contains(child))
        .collect();
    children.into_iter().collect()
}

/// The alarms whose tags are needed to find the node that they report.
#[must_use]
pub fn needing_tags<'a>(alarms: &'a [Alarm], policy: &FailoverPolicy) -> Vec<&'a Alarm> {
    alarms
        .iter()
        .filter(|alarm| !policy.bindings.iter().any(|binding| binding.alarm == alarm.name))
        .filter(|alarm| match alarm.source {
            AlarmSource::Metric(_) => by_dimensions(alarm, &policy.discovery).is_empty(),
            AlarmSource::Composite(_) => false,
            AlarmSource::PromQl(_) | AlarmSource::Unreadable(_) => true,
        })
        .collect()
}

fn muted(alarm: &Alarm) -> Option<Muted> {
    let name = || alarm.name.clone();
    if alarm.state != AlarmState::Alarm {
        None
    } else if let Some(rule) = &alarm.mute_rule {
        Some(Muted::MuteRule { alarm: name(), rule: rule.clone() })
    } else if !alarm.actions_enabled {
        Some(Muted::ActionsDisabled { alarm: name() })
    } else {
        alarm.suppressed.as_ref().map(|why| Muted::Suppressed { alarm: name(), why: why.clone() })
    }
}

type Place = (MeshName, VirtualNodeName, AlarmRole);

fn places(
    alarm: &Alarm,
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
    by_name: &BTreeMap<&AlarmName, &Alarm>,
    depth: usize,
) -> Result<Vec<Place>, Unmapped> {
    let bound: Vec<Place> = policy
        .bindings
        .iter()
        .filter(|binding| binding.alarm == alarm.name)
        .map(|binding| (binding.mesh.clone(), binding.virtual_node.clone(), binding.role))
        .collect();
    if !bound.is_empty() {
        return Ok(bound);
    }
    if let AlarmSource::Composite(rule) = &alarm.source {
        return through_children(rule, tags, policy, by_name, depth);
    }
    let named = by_dimensions(alarm, &policy.discovery);
    match named.len() {
        0 => by_tags(tags.get(&alarm.name), &policy.discovery).map(|place| vec![place]).ok_or(Unmapped::NamesNoTarget),
        1 => Ok(named.into_iter().map(|(mesh, node)| (mesh, node, AlarmRole::Request)).collect()),
        _ => Err(Unmapped::NamesSeveral { nodes: named.into_iter().map(|(_, node)| node).collect() }),
    }
}

fn through_children(
    rule: &str,
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
    by_name: &BTreeMap<&AlarmName, &Alarm>,
    depth: usize,
) -> Result<Vec<Place>, Unmapped> {
    let rule = Rule::parse(rule).map_err(|error| Unmapped::Unreadable { why: error.to_string() })?;
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Unmapped::Unreadable { why: format!("composite alarms are nested more than {MAX_DEPTH} deep") });
    };
    let mut found: Vec<Place> = Vec::new();
    let children = rule.alarms().into_iter().filter_map(|child| by_name.get(child));
    for child in children.filter(|child| child.state == AlarmState::Alarm) {
        for place in places(child, tags, policy, by_name, depth).unwrap_or_default() {
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    if found.is_empty() { Err(Unmapped::ChildrenNameNoTarget) } else { Ok(found) }
}

fn by_dimensions(alarm: &Alarm, discovery: &AlarmDiscovery) -> BTreeSet<(MeshName, VirtualNodeName)> {
    alarm
        .queries()
        .iter()
        .filter_map(|query| match &query.term {
            MetricTerm::Stat { dimensions, .. } => Some(dimensions),
            MetricTerm::Expression { .. } => None,
        })
        .filter_map(|dimensions| named(dimensions, &discovery.mesh_dimension, &discovery.virtual_node_dimension))
        .collect()
}

fn by_tags(tags: Option<&BTreeMap<String, String>>, discovery: &AlarmDiscovery) -> Option<Place> {
    let (mesh, node) = named(tags?, &discovery.mesh_tag, &discovery.virtual_node_tag)?;
    Some((mesh, node, AlarmRole::Request))
}

fn named(values: &BTreeMap<String, String>, mesh: &str, node: &str) -> Option<(MeshName, VirtualNodeName)> {
    Some((MeshName::parse(values.get(mesh)?).ok()?, VirtualNodeName::parse(values.get(node)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::sample::{alarm, composite, node, on_node, policy};

    fn spoken(alarms: &[Alarm], tags: &[(&str, &[(&str, &str)])], policy_text: &str, of: &str) -> Vec<String> {
        let tags = tags
            .iter()
            .map(|(alarm, tags)| {
                let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
                (AlarmName::parse(alarm).unwrap(), tags)
            })
            .collect();
        let targets = alarm_targets(alarms, &tags, &policy(policy_text).failover);
        let shop = MeshName::parse("shop").unwrap();
        targets.alarms_of(&shop, &node(of)).iter().map(|alarm| alarm.name.to_string()).collect()
    }

    #[test]
    fn an_alarm_speaks_of_what_its_binding_names_then_its_dimensions_then_its_tags() {
        let bound = "bindings: [{alarm: a, mesh: shop, virtualNode: v9}]";
        let tagged: &[(&str, &[(&str, &str)])] =
            &[("a", &[("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "v3")])];
        let plain = [alarm("a", AlarmState::Alarm)];
        let dimensioned = [on_node("a", AlarmState::Alarm, "v1")];
        assert_eq!(spoken(&plain, tagged, bound, "v9"), ["a"]);
        assert_eq!(spoken(&dimensioned, tagged, bound, "v9"), ["a"]);
        assert!(spoken(&dimensioned, tagged, bound, "v1").is_empty());
        assert_eq!(spoken(&dimensioned, tagged, "", "v1"), ["a"]);
        assert!(spoken(&dimensioned, tagged, "", "v3").is_empty());
        assert_eq!(spoken(&plain, tagged, "", "v3"), ["a"]);
    }

    #[test]
    fn a_composite_alarm_speaks_of_the_targets_of_its_children_in_alarm() {
        let alarms = [
            composite("both", AlarmState::Alarm, "ALARM(one) OR ALARM(two) OR ALARM(nested)"),
            on_node("one", AlarmState::Alarm, "v1"),
            on_node("two", AlarmState::Ok, "v2"),
            composite("nested", AlarmState::Alarm, "ALARM(three)"),
            on_node("three", AlarmState::Alarm, "v3"),
        ];
        assert_eq!(spoken(&alarms, &[], "", "v1"), ["both", "one"]);
        assert_eq!(spoken(&alarms, &[], "", "v2"), ["two"]);
        assert_eq!(spoken(&alarms, &[], "", "v3"), ["both", "nested", "three"]);
    }

    #[test]
    fn a_circle_of_composite_alarms_is_silent_rather_than_endless() {
        let alarms = [composite("a", AlarmState::Alarm, "ALARM(b)"), composite("b", AlarmState::Alarm, "ALARM(a)")];
        let targets = alarm_targets(&alarms, &BTreeMap::new(), &policy("").failover);
        assert_eq!(targets.unmapped.len(), 2);
    }

    #[test]
    fn children_that_were_not_read_yet_are_asked_for_once() {
        let alarms = [composite("a", AlarmState::Alarm, "ALARM(b) OR ALARM(c) OR OK(b)"), alarm("c", AlarmState::Ok)];
        let missing = unread_alarms(&alarms, &policy("").failover);
        assert_eq!(missing, [AlarmName::parse("b").unwrap()]);
    }
}
