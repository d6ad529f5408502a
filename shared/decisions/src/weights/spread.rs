//! Distributes the share of drained nodes: proportionally or in order, within capacity, in whole percent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{WeightError, WeightSplit};
use mesh::name::VirtualNodeName;

/// One percent in fixed-point units, so that proportions are rounded only once, at the end.
const PERCENT: u64 = 1_000_000_000_000;
/// The whole traffic of a route, in the units of [`PERCENT`].
const WHOLE: u64 = 100 * PERCENT;

/// The part of its share that a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptShare {
    /// All of it.
    All,
    /// This many percent of its share, but at least this many percentage points of the route (never more than its
    /// share).
    Part { percent: u8, at_least: u8 },
    /// The node keeps no share.
    Nothing,
}

/// A target that may receive more traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receiver {
    /// The target.
    pub node: VirtualNodeName,
    /// The most it may carry on this route in percentage points; `None` if unbounded.
    pub limit: Option<u8>,
    /// Whether it is filled up to its limit before the other receivers get any traffic.
    pub first: bool,
}

/// The result of [`spread`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// The weights; they sum to 100.
    pub(crate) split: WeightSplit,
    /// The percentage points that no receiver has capacity for; they stay on the nodes they were to be moved from.
    pub(crate) unplaced: u8,
}

/// Withdraws from each node of `base` the part that it does not keep, and distributes it to the receivers. The part
/// beyond their capacity stays on its nodes of `current`, so that only receivers get more traffic than they have now.
pub(crate) fn spread(
    base: &WeightSplit,
    current: &WeightSplit,
    keeps: impl Fn(&VirtualNodeName) -> KeptShare,
    receivers: &[Receiver],
) -> Result<Spread, WeightError> {
    let before: BTreeMap<&VirtualNodeName, u64> = shares(base);
    let mut after: BTreeMap<&VirtualNodeName, u64> = BTreeMap::new();
    let mut open = 0_u64;
    for (node, share) in &before {
        let kept = match keeps(node) {
            KeptShare::All => *share,
            KeptShare::Part { percent, at_least } => {
                (share * u64::from(percent) / 100).max(u64::from(at_least) * PERCENT).min(*share)
            }
            KeptShare::Nothing => 0,
        };
        after.insert(node, kept);
        open += share - kept;
    }

    for receiver in receivers.iter().filter(|receiver| receiver.first) {
        open -= fill(&mut after, &[receiver], &before, open);
    }
    let others: Vec<&Receiver> = receivers.iter().filter(|receiver| !receiver.first).collect();
    open -= fill(&mut after, &others, &before, open);

    let parked = park(&mut after, &shares(current), open);
    Ok(Spread {
        split: base.with_weights(&rounded(base, &after, receivers, &parked))?,
        unplaced: whole_percent_up(open),
    })
}

/// Leaves `amount` on the nodes that carry more than their target share, in proportion to the surplus; returns them.
fn park<'a>(
    after: &mut BTreeMap<&'a VirtualNodeName, u64>,
    now: &BTreeMap<&VirtualNodeName, u64>,
    amount: u64,
) -> Vec<&'a VirtualNodeName> {
    let surplus: Vec<(&'a VirtualNodeName, u64)> = after
        .iter()
        .map(|(node, share)| (*node, now.get(node).copied().unwrap_or_default().saturating_sub(*share)))
        .filter(|(_, surplus)| amount > 0 && *surplus > 0)
        .collect();
    let total: u64 = surplus.iter().map(|(_, surplus)| surplus).sum();
    for (node, part) in &surplus {
        *after.entry(node).or_default() += proportion(amount, *part, total);
    }
    surplus.into_iter().map(|(node, _)| node).collect()
}

/// Distributes `amount` to the receivers in proportion to their shares before, each up to its limit; the excess is
/// distributed to the remaining receivers. Receivers without any share before get equal parts. Returns the placed part.
fn fill<'a>(
    after: &mut BTreeMap<&'a VirtualNodeName, u64>,
    receivers: &[&Receiver],
    before: &BTreeMap<&'a VirtualNodeName, u64>,
    amount: u64,
) -> u64 {
    let mut open: Vec<(&'a VirtualNodeName, u64, u64)> = receivers
        .iter()
        .filter_map(|receiver| {
            let (node, share) = before.get_key_value(&receiver.node)?;
            let carried = after.get(node).copied().unwrap_or_default();
            let limit = receiver.limit.map_or(WHOLE, |points| u64::from(points) * PERCENT);
            Some((*node, *share, limit.saturating_sub(carried)))
        })
        .filter(|(_, _, room)| *room > 0)
        .collect();
    let mut left = amount;
    while left > 0 && !open.is_empty() {
        let weight = |share: u64| {
            if open.iter().all(|(_, share, _)| *share == 0) { 1 } else { share }
        };
        let total: u64 = open.iter().map(|(_, share, _)| weight(*share)).sum();
        // Receivers that the proportional part would overfill are filled first; the rest is distributed again.
        let overfull = open.iter().position(|(_, share, room)| proportion(left, weight(*share), total) >= *room);
        if let Some(index) = overfull {
            let (node, _, room) = open.swap_remove(index);
            let given = room.min(left);
            *after.entry(node).or_default() += given;
            left -= given;
            continue;
        }
        let given: Vec<(&VirtualNodeName, u64)> =
            open.iter().map(|(node, share, _)| (*node, proportion(left, weight(*share), total))).collect();
        for (node, part) in given {
            *after.entry(node).or_default() += part;
        }
        left = 0;
    }
    amount - left
}

/// Each node's part of the whole traffic, by its weights; all 0 if all weights are 0.
pub(crate) fn shares(split: &WeightSplit) -> BTreeMap<&VirtualNodeName, u64> {
    let total = u64::from(split.total());
    split
        .shares()
        .into_iter()
        .map(|share| (share.virtual_node, proportion(WHOLE, u64::from(share.weight), total.max(1))))
        .collect()
}

/// A node's percentage points of a route, rounded up; the amount that counts against its capacity.
pub(crate) fn points(split: &WeightSplit, node: &VirtualNodeName) -> u16 {
    shares(split).get(node).copied().map_or(0, |share| u16::from(whole_percent_up(share)))
}

/// Whole weights that sum to 100, one for each target of `base`. Every part is rounded down; the difference to 100 is
/// added one by one, in this order: parts below one percent, receivers, other nodes, and last the nodes that keep
/// unplaced traffic; within each group the largest remainder first, then in the order of the route. A target
/// without any part stays at 0.
fn rounded(
    base: &WeightSplit,
    after: &BTreeMap<&VirtualNodeName, u64>,
    receivers: &[Receiver],
    parked: &[&VirtualNodeName],
) -> Vec<u8> {
    let parts: Vec<u64> = entries(base, after);
    let mut weights: Vec<u8> = parts.iter().map(|part| u8::try_from(part / PERCENT).unwrap_or(100)).collect();
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut missing = 100_u64.saturating_sub(sum);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| {
        let node = base.targets().get(*index).map(|target| &target.virtual_node);
        let takes = node.is_some_and(|node| receivers.iter().any(|receiver| receiver.node == *node));
        let keeps = node.is_some_and(|node| parked.contains(&node));
        // A part below one percent must not vanish: a returning node without traffic cannot prove its health.
        let vanishes = weights.get(*index) == Some(&0);
        (keeps, !vanishes, !takes, std::cmp::Reverse(parts.get(*index).map_or(0, |part| part % PERCENT)))
    });
    for index in order {
        if missing == 0 {
            break;
        }
        if let (Some(weight), Some(part)) = (weights.get_mut(index), parts.get(index))
            && part % PERCENT > 0
        {
            *weight += 1;
            missing -= 1;
        }
    }
    weights
}

/// The split with these shares in whole percent. A share below one percent does not vanish.
pub(crate) fn with_shares(base: &WeightSplit, after: &BTreeMap<&VirtualNodeName, u64>) -> WeightSplit {
    // The number of weights is that of the targets, and none is above 100.
    base.with_weights(&rounded(base, after, &[], &[])).unwrap_or_else(|_| base.clone())
}

/// A node's part divided among its targets in proportion to their weights before; to the first target if all were 0.
fn entries(base: &WeightSplit, after: &BTreeMap<&VirtualNodeName, u64>) -> Vec<u64> {
    let mut begun: Vec<&VirtualNodeName> = Vec::new();
    base.targets()
        .iter()
        .map(|target| {
            let part = after.get(&target.virtual_node).copied().unwrap_or_default();
            let first = !begun.contains(&&target.virtual_node);
            begun.push(&target.virtual_node);
            match base.weight_of(&target.virtual_node) {
                None | Some(0) if first => part,
                None | Some(0) => 0,
                Some(all) => proportion(part, u64::from(target.weight.get()), u64::from(all)),
            }
        })
        .collect()
}

/// `amount * part / total` without overflow; `part` is at most `total`.
fn proportion(amount: u64, part: u64, total: u64) -> u64 {
    let exact = u128::from(amount) * u128::from(part) / u128::from(total.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

fn whole_percent_up(part: u64) -> u8 {
    u8::try_from(part.div_ceil(PERCENT)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failover::fixtures::{node, split};

    fn to(names: &[&str]) -> Vec<Receiver> {
        names.iter().map(|name| Receiver { node: node(name), limit: None, first: false }).collect()
    }

    fn drain<'a>(failing: &'a [&'a str]) -> impl Fn(&VirtualNodeName) -> KeptShare + 'a {
        |node| {
            if failing.contains(&node.as_str()) { KeptShare::Nothing } else { KeptShare::All }
        }
    }

    #[test]
    fn share_of_a_failing_node_moves_to_the_receivers() {
        type Case<'a> = (&'a [(&'a str, u8)], &'a [&'a str], &'a [&'a str], &'a [u8]);
        let cases: &[Case<'_>] = &[
            // before, failing, receivers, after
            (&[("v1", 50), ("v2", 50)], &["v2"], &["v1"], &[100, 0]),
            (&[("v1", 90), ("v2", 10)], &["v1"], &["v2"], &[0, 100]),
            (&[("v1", 1), ("v2", 1), ("v3", 1)], &["v3"], &["v1", "v2"], &[50, 50, 0]),
            (&[("v1", 60), ("v2", 20), ("v3", 20)], &["v3"], &["v1", "v2"], &[75, 25, 0]),
            (&[("v1", 2), ("v2", 1), ("v3", 1)], &["v3"], &["v1", "v2"], &[67, 33, 0]),
            // A single standby at 0 takes all; two standbys share equally.
            (&[("v1", 100), ("v2", 0)], &["v1"], &["v2"], &[0, 100]),
            (&[("v1", 100), ("v2", 0), ("v3", 0)], &["v1"], &["v2", "v3"], &[0, 50, 50]),
            // Only receivers take more; the other nodes keep their weights.
            (&[("v1", 50), ("v2", 25), ("v3", 25)], &["v1"], &["v2"], &[0, 75, 25]),
            // Without a receiver, the share stays.
            (&[("v1", 50), ("v2", 50)], &["v1"], &[], &[50, 50]),
        ];
        for (before, failing, receivers, expected) in cases {
            let spread = spread(&split(before), &split(before), drain(failing), &to(receivers)).unwrap();
            assert_eq!(spread.split.weights(), *expected, "{before:?} without {failing:?}");
        }
    }

    #[test]
    fn standbys_are_filled_in_order_up_to_their_capacity() {
        let base = split(&[("v1", 100), ("s1", 0), ("s2", 0), ("s3", 0)]);
        let standby = |name: &str, limit| Receiver { node: node(name), limit, first: true };
        for (receivers, expected, unplaced) in [
            (vec![standby("s1", None), standby("s2", None)], [0, 100, 0, 0], 0),
            (vec![standby("s2", Some(30)), standby("s1", None)], [0, 70, 30, 0], 0),
            (vec![standby("s1", Some(30)), standby("s2", Some(20))], [50, 30, 20, 0], 50),
            (vec![standby("s1", Some(0))], [100, 0, 0, 0], 100),
        ] {
            let spread = spread(&base, &base, drain(&["v1"]), &receivers).unwrap();
            assert_eq!((spread.split.weights(), spread.unplaced), (expected.to_vec(), unplaced), "{receivers:?}");
        }
    }

    #[test]
    fn returning_node_keeps_the_probe_share_and_then_its_steps() {
        let base = split(&[("v1", 50), ("v2", 50)]);
        for (keeps, expected) in [
            (KeptShare::Part { percent: 0, at_least: 5 }, [95, 5]),
            (KeptShare::Part { percent: 25, at_least: 5 }, [88, 12]),
            (KeptShare::Part { percent: 50, at_least: 5 }, [75, 25]),
            (KeptShare::Part { percent: 100, at_least: 5 }, [50, 50]),
        ] {
            let of = |name: &VirtualNodeName| {
                if name.as_str() == "v2" { keeps } else { KeptShare::All }
            };
            assert_eq!(spread(&base, &base, of, &to(&["v1"])).unwrap().split.weights(), expected, "{keeps:?}");
        }
        // A share smaller than the probe share is never exceeded.
        let small = split(&[("v1", 98), ("v2", 2)]);
        let of = |name: &VirtualNodeName| match name.as_str() {
            "v2" => KeptShare::Part { percent: 0, at_least: 5 },
            _ => KeptShare::All,
        };
        assert_eq!(spread(&small, &small, of, &to(&["v1"])).unwrap().split.weights(), [98, 2]);
    }

    proptest! {
        #[test]
        fn weights_sum_to_100_and_failing_nodes_are_drained_as_far_as_capacity_permits(
            weights in prop::collection::vec(0_u8..=100, 1..=10),
            failing in prop::collection::vec(any::<bool>(), 10),
            eligible in prop::collection::vec(any::<bool>(), 10),
            limits in prop::collection::vec(prop::option::of(0_u8..=120), 10),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let names: Vec<String> = (0..weights.len()).map(|index| format!("v{index}")).collect();
            let base = split(&names.iter().map(String::as_str).zip(weights.iter().copied()).collect::<Vec<_>>());
            let index_of = |node: &VirtualNodeName| names.iter().position(|name| name == node.as_str()).unwrap();
            let receivers: Vec<Receiver> = names.iter().enumerate()
                .filter(|(index, _)| eligible[*index] && !failing[*index])
                .map(|(index, name)| Receiver { node: node(name), limit: limits[index], first: false })
                .collect();
            let keeps = |node: &VirtualNodeName| if failing[index_of(node)] { KeptShare::Nothing } else { KeptShare::All };
            let spread = spread(&base, &base, keeps, &receivers).unwrap();
            prop_assert_eq!(spread.split.total(), 100);
            prop_assert!(spread.split.same_targets(&base));
            if spread.unplaced == 0 {
                for (index, weight) in spread.split.weights().into_iter().enumerate() {
                    prop_assert!(!failing[index] || weight == 0, "{} has {weight}", names[index]);
                }
            }
            for receiver in &receivers {
                if let Some(limit) = receiver.limit {
                    let before = points(&base, &receiver.node);
                    let after = spread.split.weight_of(&receiver.node).unwrap();
                    prop_assert!(after <= before.max(u16::from(limit)), "{} of {limit}, had {before}", after);
                }
            }
        }
    }
}
