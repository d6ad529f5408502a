//! Whether a failure is the node's own: several nodes that fail together, and nodes that fail because of what they call.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::facts::Facts;
use super::health::Health;
use super::reason::HoldReason;
use crate::name::VirtualNodeName;
use crate::policy::CommonCausePolicy;

/// The nodes that fail, and how they hang together.
#[derive(Debug)]
pub(super) struct Causes {
    explained: BTreeMap<VirtualNodeName, Vec<VirtualNodeName>>,
    together: Vec<VirtualNodeName>,
    disputed: BTreeMap<VirtualNodeName, HoldReason>,
}

impl Causes {
    /// Looks at every failing node of a mesh.
    pub(super) fn of(
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
        // A node that no longer gets traffic can't be what its callers suffer from, once their alarms have had time
        // to notice.
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
            // An alarm that does not tell since when it is on counts as one that has just gone on.
            .map(|(node, since)| (*node, since.unwrap_or(now)))
            .collect();
        let together = largest_group(&own, policy);
        Self { explained, together, disputed: BTreeMap::new() }
    }

    /// Adds the nodes about which callers disagree.
    pub(super) fn with_disputed(self, disputed: BTreeMap<VirtualNodeName, HoldReason>) -> Self {
        Self { disputed, ..self }
    }

    /// Why a failing node's traffic should stay where it is, if so.
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

/// All nodes that went on within one window of enough others.
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
