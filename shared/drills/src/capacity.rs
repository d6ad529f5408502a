//! The capacity check: whether the receivers can carry the node's requests in addition to their own.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;
use policy::DrillCapacity;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// The request rates of the node and of the receivers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "load", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Load {
    /// The rates are known.
    Known {
        /// The node's present rate, in requests a second.
        node: f64,
        /// The receivers with a rate.
        receivers: BTreeMap<VirtualNodeName, ReceiverLoad>,
    },
    /// A rate could not be read.
    Unknown {
        /// The reason.
        why: String,
    },
}

/// The request rates of a receiver, in requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverLoad {
    /// The present rate.
    pub present: f64,
    /// The highest rate within the policy's lookback.
    pub highest: f64,
    /// Whether the policy declares the node's capacity, which the spread has respected already.
    #[serde(default)]
    pub declared: bool,
}

/// Why the receivers cannot carry the node's requests, if they cannot. Each entry of `routes` is a route's split before
/// and after.
pub(crate) fn obstacle(
    node: &VirtualNodeName,
    routes: &[(WeightSplit, WeightSplit)],
    load: &Load,
    policy: DrillCapacity,
) -> Option<Reason> {
    let unknown = |why: String| Some(Reason::CapacityUnknown { why });
    let (rate, receivers) = match load {
        Load::Known { node, receivers } => (*node, receivers),
        Load::Unknown { why } => return unknown(why.clone()),
    };
    for (receiver, part) in parts(node, routes) {
        let Some(known) = receivers.get(&receiver) else {
            return unknown(format!("{receiver} has no request metric with data"));
        };
        if known.declared {
            continue;
        }
        let permitted = known.highest * f64::from(policy.headroom) / 100.0;
        let expected = known.present + part * rate;
        // A rate that is no number is not comparable, and so not below the permitted one.
        if expected.partial_cmp(&permitted) != Some(Ordering::Less) {
            return Some(Reason::CapacityExceeded { node: receiver, expected, permitted });
        }
    }
    None
}

/// The part of the node's requests that each receiver gets. The rates of a node's routes are not known separately, so
/// the largest part of any route counts.
fn parts(node: &VirtualNodeName, routes: &[(WeightSplit, WeightSplit)]) -> BTreeMap<VirtualNodeName, f64> {
    let mut parts: BTreeMap<VirtualNodeName, f64> = BTreeMap::new();
    for (before, after) in routes {
        let share = |split: &WeightSplit, of: &VirtualNodeName| {
            split.shares().iter().find(|share| share.virtual_node == of).map_or(0.0, mesh::split::Share::fraction)
        };
        let moved = share(before, node) - share(after, node);
        for gained in after.shares() {
            let more = gained.fraction() - share(before, gained.virtual_node);
            if more > 0.0 && moved > 0.0 {
                let part = parts.entry(gained.virtual_node.clone()).or_default();
                *part = part.max(more / moved);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{node, split};

    fn load(rate: f64, receivers: &[(&str, f64, f64)]) -> Load {
        let receivers = receivers.iter().map(|(name, present, highest)| {
            (node(name), ReceiverLoad { present: *present, highest: *highest, declared: false })
        });
        Load::Known { node: rate, receivers: receivers.collect() }
    }

    #[test]
    fn receivers_must_stay_below_the_headroom() {
        let even = (split(&[("v1", 50), ("v2", 50)]), split(&[("v1", 0), ("v2", 100)]));
        let thirds = (split(&[("v1", 40), ("v2", 40), ("v3", 20)]), split(&[("v1", 0), ("v2", 67), ("v3", 33)]));
        let standby = (split(&[("v1", 100), ("v2", 0)]), split(&[("v1", 0), ("v2", 100)]));
        let policy = DrillCapacity::default();
        // Routes, load, the code of the obstacle.
        for (routes, load, code) in [
            (vec![even.clone()], load(10.0, &[("v2", 10.0, 18.0)]), None),
            (vec![even.clone()], load(10.0, &[("v2", 10.0, 16.0)]), Some("CapacityExceeded")),
            (vec![even.clone()], load(10.0, &[]), Some("CapacityUnknown")),
            (vec![even.clone()], load(f64::NAN, &[("v2", 10.0, 18.0)]), Some("CapacityExceeded")),
            (vec![standby.clone()], load(10.0, &[("v2", 0.0, 0.0)]), Some("CapacityExceeded")),
            (vec![standby.clone()], load(10.0, &[("v2", 0.0, 9.0)]), None),
            (vec![thirds.clone()], load(30.0, &[("v2", 30.0, 50.0), ("v3", 15.0, 24.0)]), None),
            (vec![thirds], load(30.0, &[("v2", 30.0, 50.0), ("v3", 15.0, 20.0)]), Some("CapacityExceeded")),
            // The largest part of any route counts.
            (vec![even, standby], load(10.0, &[("v2", 10.0, 16.0)]), Some("CapacityExceeded")),
            (vec![], Load::Unknown { why: "denied".to_owned() }, Some("CapacityUnknown")),
        ] {
            let found = obstacle(&node("v1"), &routes, &load, policy);
            assert_eq!(found.as_ref().map(Reason::code), code, "{routes:?} {load:?}: {found:?}");
        }
    }

    #[test]
    fn declared_capacity_replaces_the_measured_one() {
        let routes = [(split(&[("v1", 100), ("v2", 0)]), split(&[("v1", 0), ("v2", 100)]))];
        let declared = ReceiverLoad { present: 0.0, highest: 0.0, declared: true };
        let load = Load::Known { node: 10.0, receivers: [(node("v2"), declared)].into() };
        assert_eq!(obstacle(&node("v1"), &routes, &load, DrillCapacity::default()), None);
    }

    #[test]
    fn permitted_rate_itself_is_too_much() {
        let routes = [(split(&[("v1", 100), ("v2", 0)]), split(&[("v1", 0), ("v2", 100)]))];
        let policy = DrillCapacity { headroom: 200, ..DrillCapacity::default() };
        for (rate, code) in [(9.9, None), (10.0, Some("CapacityExceeded"))] {
            let found = obstacle(&node("v1"), &routes, &load(rate, &[("v2", 0.0, 5.0)]), policy);
            assert_eq!(found.as_ref().map(Reason::code), code, "{rate}");
        }
    }
}
