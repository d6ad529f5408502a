//! The cause of failures: nodes that fail together, and nodes that fail because of nodes that they call.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::Facts;
use super::health::Health;
use super::reason::HoldReason;
use mesh::name::VirtualNodeName;
use policy::CommonCausePolicy;

/// The causes of the failures in a mesh, as far as they are not the node's own.
#[derive(Debug)]
pub(super) struct Causes {
    explained: BTreeMap<VirtualNodeName, Vec<VirtualNodeName>>,
    together: Vec<VirtualNodeName>,
    disputed: BTreeMap<VirtualNodeName, HoldReason>,
}

impl Causes {
    /// Finds the causes of all failing nodes of a mesh.
    pub(super) fn new(
        facts: &Facts,
        health: &BTreeMap<VirtualNodeName, Health>,
        policy: &CommonCausePolicy,
        now: Timestamp,
    ) -> Self {
        let failing: BTreeMap<&VirtualNodeName, Option<Timestamp>> = health
            .iter()
            .filter_map(|(node, health)| match health {
                Health::Failing { since, .. } => Some((node, *since)),
                Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. } => None,
            })
            .collect();
        // A node without traffic no longer explains its callers' failures once their alarms have had time to
        // clear.
        let window = policy.window.get();
        let still_hurts = |node: &VirtualNodeName| {
            facts.has_traffic(node) || facts.drained_since(node).is_some_and(|at| now < at + window)
        };
        let reach: BTreeMap<&VirtualNodeName, BTreeSet<&VirtualNodeName>> =
            failing.keys().map(|node| (*node, facts.reach(node))).collect();
        let calls = |caller: &VirtualNodeName, callee: &VirtualNodeName| {
            reach.get(caller).is_some_and(|reached| reached.contains(callee))
        };
        let explained: BTreeMap<VirtualNodeName, Vec<VirtualNodeName>> = failing
            .keys()
            .filter_map(|node| {
                let by: Vec<VirtualNodeName> = failing
                    .keys()
                    .filter(|other| *other != node && calls(node, other) && !calls(other, node) && still_hurts(other))
                    .map(|other| (*other).clone())
                    .collect();
                (!by.is_empty()).then(|| ((*node).clone(), by))
            })
            .collect();

        let own: Vec<(&VirtualNodeName, Timestamp)> = failing
            .iter()
            .filter(|(node, _)| !explained.contains_key(**node))
            // An alarm without the time of its state change counts as one that has just entered `ALARM`.
            .map(|(node, since)| (*node, since.unwrap_or(now)))
            .collect();
        let together = largest_group(&own, policy);
        Self { explained, together, disputed: BTreeMap::new() }
    }

    /// Adds the holds for nodes about which their callers disagree.
    pub(super) fn with_disputed(self, disputed: BTreeMap<VirtualNodeName, HoldReason>) -> Self {
        Self { disputed, ..self }
    }

    /// The hold that keeps a failing node's traffic in place, if its failure has another cause.
    pub(super) fn objection(&self, node: &VirtualNodeName) -> Option<HoldReason> {
        if let Some(calls) = self.explained.get(node) {
            return Some(HoldReason::DependencyFailing { node: node.clone(), calls: calls.clone() });
        }
        if let Some(disputed) = self.disputed.get(node) {
            return Some(disputed.clone());
        }
        self.together.contains(node).then(|| HoldReason::CommonCause { failing: self.together.clone() })
    }
}

/// All nodes that began to fail within one window, if they are at least as many as the policy's limit.
fn largest_group(own: &[(&VirtualNodeName, Timestamp)], policy: &CommonCausePolicy) -> Vec<VirtualNodeName> {
    let window = policy.window.get();
    let mut together = BTreeSet::new();
    for (_, start) in own {
        let group: Vec<&VirtualNodeName> =
            own.iter().filter(|(_, at)| start <= at && *at <= *start + window).map(|(node, _)| *node).collect();
        if group.len() >= usize::from(policy.targets) {
            together.extend(group);
        }
    }
    together.into_iter().cloned().collect()
}
