//! Which virtual node an alarm speaks of: by binding, by dimensions, by tags; a composite alarm through its children.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, rule_children};
use crate::name::{MeshName, VirtualNodeName};
use crate::policy::{AlarmDiscovery, AlarmRole, FailoverPolicy};

/// How far composite alarms of composite alarms are followed (CloudWatch itself sets no depth, but a circle is legal).
const MAX_DEPTH: usize = 5;

/// What one alarm says of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Which alarm.
    pub alarm: AlarmName,
    /// What it watches.
    pub role: AlarmRole,
    /// Its state.
    pub state: AlarmState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Whether it is allowed to set anything off.
    pub muted: bool,
    /// Whether what it watches could be read.
    pub readable: bool,
}

/// Everything that alarms say of the nodes of meshes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voices {
    by_node: BTreeMap<(MeshName, VirtualNodeName), Vec<Voice>>,
    /// Alarms that speak of no node, and why.
    pub silent: BTreeMap<AlarmName, Silence>,
}

/// Why an alarm speaks of no node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "silence", rename_all_fields = "camelCase")]
pub enum Silence {
    /// No binding, dimension or tag names one. Bind it in the policy, or tag the alarm.
    NamesNoTarget,
    /// Its metrics name several nodes, so that it can't tell which one fails. Bind it in the policy.
    NamesSeveral {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A composite alarm none of whose children in `ALARM` speaks of a node.
    ChildrenNameNoTarget,
    /// A composite alarm's rule, or what it names, can't be read.
    Unreadable {
        /// Why not.
        why: String,
    },
}

impl Voices {
    /// What speaks of a node.
    #[must_use]
    pub fn of(&self, mesh: &MeshName, node: &VirtualNodeName) -> &[Voice] {
        self.by_node.get(&(mesh.clone(), node.clone())).map_or(&[], Vec::as_slice)
    }

    /// Every node of a mesh that an alarm speaks of.
    pub fn nodes<'a>(&'a self, mesh: &'a MeshName) -> impl Iterator<Item = &'a VirtualNodeName> {
        self.by_node.keys().filter(move |(of, _)| of == mesh).map(|(_, node)| node)
    }

    /// Every mesh that an alarm speaks of.
    #[must_use]
    pub fn meshes(&self) -> BTreeSet<&MeshName> {
        self.by_node.keys().map(|(mesh, _)| mesh).collect()
    }

    /// The nodes that one alarm speaks of.
    #[must_use]
    pub fn places(&self, alarm: &AlarmName) -> Vec<(&MeshName, &VirtualNodeName)> {
        let speaks = |(_, voices): &(&(MeshName, VirtualNodeName), &Vec<Voice>)| {
            voices.iter().any(|voice| voice.alarm == *alarm)
        };
        self.by_node.iter().filter(speaks).map(|((mesh, node), _)| (mesh, node)).collect()
    }
}

/// Gathers what these alarms say.
#[must_use]
pub fn voices(
    alarms: &[Alarm],
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
) -> Voices {
    let by_name: BTreeMap<&AlarmName, &Alarm> = alarms.iter().map(|alarm| (&alarm.name, alarm)).collect();
    let mut voices = Voices::default();
    for alarm in by_name.values() {
        match places(alarm, tags, policy, &by_name, MAX_DEPTH) {
            Ok(places) => {
                for (mesh, node, role) in places {
                    let readable = !matches!(alarm.source, AlarmSource::Unreadable(_));
                    voices.by_node.entry((mesh, node)).or_default().push(Voice {
                        alarm: alarm.name.clone(),
                        role,
                        state: alarm.state.clone(),
                        since: alarm.since,
                        muted: alarm.state == AlarmState::Alarm && !alarm.calls_for_action(),
                        readable,
                    });
                }
            }
            Err(silence) => {
                voices.silent.insert(alarm.name.clone(), silence);
            }
        }
    }
    voices
}

/// The children that composite alarms among `alarms` name and that were not read yet.
#[must_use]
pub fn missing_children(alarms: &[Alarm], policy: &FailoverPolicy) -> Vec<AlarmName> {
    let known: BTreeSet<&AlarmName> = alarms.iter().map(|alarm| &alarm.name).collect();
    let children: BTreeSet<AlarmName> = alarms
        .iter()
        .filter(|alarm| !policy.bindings.iter().any(|binding| binding.alarm == alarm.name))
        .filter_map(|alarm| match &alarm.source {
            AlarmSource::Composite(rule) => rule_children(rule).ok(),
            AlarmSource::Metric(_) | AlarmSource::Unreadable(_) => None,
        })
        .flatten()
        .filter(|child| !known.contains(child))
        .collect();
    children.into_iter().collect()
}

/// The alarms whose tags are needed to tell what they speak of.
#[must_use]
pub fn untold<'a>(alarms: &'a [Alarm], policy: &FailoverPolicy) -> Vec<&'a Alarm> {
    alarms
        .iter()
        .filter(|alarm| !policy.bindings.iter().any(|binding| binding.alarm == alarm.name))
        .filter(|alarm| match alarm.source {
            AlarmSource::Metric(_) => by_dimensions(alarm, &policy.discovery).is_empty(),
            AlarmSource::Composite(_) => false,
            AlarmSource::Unreadable(_) => true,
        })
        .collect()
}

type Place = (MeshName, VirtualNodeName, AlarmRole);

fn places(
    alarm: &Alarm,
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
    by_name: &BTreeMap<&AlarmName, &Alarm>,
    depth: usize,
) -> Result<Vec<Place>, Silence> {
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
        0 => by_tags(tags.get(&alarm.name), &policy.discovery).map(|place| vec![place]).ok_or(Silence::NamesNoTarget),
        1 => Ok(named.into_iter().map(|(mesh, node)| (mesh, node, AlarmRole::Request)).collect()),
        _ => Err(Silence::NamesSeveral { nodes: named.into_iter().map(|(_, node)| node).collect() }),
    }
}

fn through_children(
    rule: &str,
    tags: &BTreeMap<AlarmName, BTreeMap<String, String>>,
    policy: &FailoverPolicy,
    by_name: &BTreeMap<&AlarmName, &Alarm>,
    depth: usize,
) -> Result<Vec<Place>, Silence> {
    let children = rule_children(rule).map_err(|error| Silence::Unreadable { why: error.to_string() })?;
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Silence::Unreadable { why: format!("composite alarms are nested more than {MAX_DEPTH} deep") });
    };
    let mut found: Vec<Place> = Vec::new();
    for child in children.iter().filter_map(|child| by_name.get(child)).filter(|child| child.state == AlarmState::Alarm)
    {
        for place in places(child, tags, policy, by_name, depth).unwrap_or_default() {
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    if found.is_empty() { Err(Silence::ChildrenNameNoTarget) } else { Ok(found) }
}

fn by_dimensions(alarm: &Alarm, discovery: &AlarmDiscovery) -> BTreeSet<(MeshName, VirtualNodeName)> {
    alarm
        .dimensions()
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
        let voices = voices(alarms, &tags, &policy(policy_text).failover);
        let shop = MeshName::parse("shop").unwrap();
        voices.of(&shop, &node(of)).iter().map(|voice| voice.alarm.to_string()).collect()
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
        let voices = voices(&alarms, &BTreeMap::new(), &policy("").failover);
        assert_eq!(voices.silent.len(), 2);
    }

    #[test]
    fn children_that_were_not_read_yet_are_asked_for_once() {
        let alarms = [composite("a", AlarmState::Alarm, "ALARM(b) OR ALARM(c) OR OK(b)"), alarm("c", AlarmState::Ok)];
        let missing = missing_children(&alarms, &policy("").failover);
        assert_eq!(missing, [AlarmName::parse("b").unwrap()]);
    }
}
