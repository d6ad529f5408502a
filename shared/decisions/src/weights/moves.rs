//! The moves of a rollout: from which target to which, and the weights at a percentage.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::WeightSplit;
use super::spread::{shares, with_shares};
use mesh::amounts::Percent;
use mesh::name::VirtualNodeName;

/// One move of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// The target that gives its share.
    pub from: VirtualNodeName,
    /// The target that receives it.
    pub to: VirtualNodeName,
}

/// The moves of a rollout: 1 to 5, and each target occurs once. All moves have the same percentage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Move>", into = "Vec<Move>")]
pub struct Moves(Vec<Move>);

impl Moves {
    /// The maximum number of moves: a route has at most ten targets.
    pub const MAX: usize = WeightSplit::MAX_TARGETS / 2;

    /// Creates the moves of a rollout.
    ///
    /// # Errors
    ///
    /// Returns an error for no moves, too many moves, and a target that occurs twice.
    pub fn new(moves: Vec<Move>) -> Result<Self, MovesError> {
        if !(1..=Self::MAX).contains(&moves.len()) {
            return Err(MovesError::Count { given: moves.len() });
        }
        let mut seen = BTreeSet::new();
        for node in moves.iter().flat_map(|moved| [&moved.from, &moved.to]) {
            if !seen.insert(node) {
                return Err(MovesError::Repeated { node: node.clone() });
            }
        }
        Ok(Self(moves))
    }

    /// The moves.
    #[must_use]
    pub fn pairs(&self) -> &[Move] {
        &self.0
    }

    /// Whether a move brings traffic to this node.
    #[must_use]
    pub fn brings_to(&self, node: &VirtualNodeName) -> bool {
        self.0.iter().any(|moved| moved.to == *node)
    }

    /// The split at a percentage of the moves. Each `to` has that part of the declared share of `from` and `to` together,
    /// and at least its declared share. Other targets keep their share. The integers are unchanged if no share changes.
    ///
    /// The weights are scaled by the smallest factor at which all shares are exact. If no factor makes them exact, a
    /// share is rounded down, but not to 0.
    #[must_use]
    pub fn applied_to(&self, declared: &WeightSplit, percent: Percent) -> WeightSplit {
        let weight = |node: &VirtualNodeName| declared.weight_of(node).map(u32::from);
        let percent = u32::from(percent.get());
        // A pair with a node that is not a target has no effect: the route's targets have changed.
        let pairs: Vec<Pair<'_>> = self
            .0
            .iter()
            .filter_map(|Move { from, to }| {
                let (whole, own) = (weight(from)? + weight(to)?, weight(to)?);
                (own * 100 < whole * percent).then_some(Pair { from, to, whole, own })
            })
            .collect();
        if pairs.is_empty() {
            return declared.clone();
        }
        let moved = |node: &VirtualNodeName| pairs.iter().any(|pair| pair.from == node || pair.to == node);
        let others = declared.targets().iter().filter(|target| !moved(&target.virtual_node));
        let largest =
            others.map(|target| u32::from(target.weight.get())).chain(pairs.iter().map(|pair| pair.whole)).max();
        let most = 100 / largest.unwrap_or(100).max(1);
        if most == 0 {
            return self.in_whole_percent(declared, u64::from(percent));
        }
        let is_exact = |factor: &u32| pairs.iter().all(|pair| (pair.whole * factor * percent).is_multiple_of(100));
        let factor = (1..=most).find(is_exact).unwrap_or(most);
        let scaled = |node: &VirtualNodeName| {
            let Some(pair) = pairs.iter().find(|pair| pair.from == node || pair.to == node) else {
                return weight(node).unwrap_or_default() * factor;
            };
            let to = (pair.whole * factor * percent / 100).max(pair.own * factor).max(1);
            if pair.to == node { to } else { pair.whole * factor - to }
        };
        with_node_weights(declared, scaled)
    }

    /// The split in whole percent, for declared weights that cannot be scaled up.
    fn in_whole_percent(&self, declared: &WeightSplit, percent: u64) -> WeightSplit {
        let mut after = shares(declared);
        for Move { from, to } in &self.0 {
            let (Some(given), Some(own)) = (after.get(from).copied(), after.get(to).copied()) else { continue };
            let share = ((given + own) * percent / 100).max(own);
            if let Some(after) = after.get_mut(to) {
                *after = share;
            }
            if let Some(after) = after.get_mut(from) {
                *after = given + own - share;
            }
        }
        with_shares(declared, &after)
    }
}

/// A move with an effect: the declared weight of both targets together, and that of `to`.
struct Pair<'a> {
    from: &'a VirtualNodeName,
    to: &'a VirtualNodeName,
    whole: u32,
    own: u32,
}

/// The split in which each node has this weight. A node that is a target on several ports divides it in proportion to the
/// weights before, and to the first of these targets if all were 0.
fn with_node_weights(declared: &WeightSplit, weight: impl Fn(&VirtualNodeName) -> u32) -> WeightSplit {
    let mut given: Vec<(&VirtualNodeName, u32, u32)> = Vec::new();
    let weights: Vec<u8> = declared
        .targets()
        .iter()
        .map(|target| {
            let node = &target.virtual_node;
            let all = u32::from(declared.weight_of(node).unwrap_or_default());
            let wanted = weight(node);
            let at = given.iter().position(|(known, _, _)| *known == node).unwrap_or_else(|| {
                given.push((node, 0, 0));
                given.len() - 1
            });
            // The parts end at the proportion of the weights so far, so that they sum to the whole.
            let Some((_, before, done)) = given.get_mut(at) else { return 0 };
            *before += u32::from(target.weight.get());
            let end = (wanted * *before).checked_div(all).unwrap_or(wanted);
            let part = end - *done;
            *done = end;
            u8::try_from(part).unwrap_or(100)
        })
        .collect();
    // The number of weights is that of the targets, and none is above 100.
    declared.with_weights(&weights).unwrap_or_else(|_| declared.clone())
}

impl TryFrom<Vec<Move>> for Moves {
    type Error = MovesError;

    fn try_from(moves: Vec<Move>) -> Result<Self, MovesError> {
        Self::new(moves)
    }
}

impl From<Moves> for Vec<Move> {
    fn from(moves: Moves) -> Self {
        moves.0
    }
}

/// The reason why moves are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MovesError {
    /// No moves or too many.
    #[error("invalid number of moves {given}: expected 1 to 5")]
    Count {
        /// The number of moves given.
        given: usize,
    },
    /// A target occurs in two moves, or on both sides of one.
    #[error("invalid moves: `{node}` occurs more than once; each target may give or receive in one move only")]
    Repeated {
        /// The target.
        node: VirtualNodeName,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failover::fixtures::{node, split};
    use mesh::split::Weight;

    fn moves(pairs: &[(&str, &str)]) -> Moves {
        Moves::new(pairs.iter().map(|(from, to)| Move { from: node(from), to: node(to) }).collect()).unwrap()
    }

    fn percent(percent: u8) -> Percent {
        Percent::new(percent).unwrap()
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn shares_move_by_the_percentage_of_the_declared_shares_of_both() {
        // declared, percent -> split
        let cases: &[(&[(&str, u8)], u8, &[u8])] = &[
            (&[("v1", 100), ("v2", 0)], 25, &[75, 25]),
            (&[("v1", 100), ("v2", 0)], 100, &[0, 100]),
            (&[("v1", 1), ("v2", 0)], 25, &[3, 1]),
            (&[("v1", 1), ("v2", 0)], 5, &[19, 1]),
            (&[("v1", 60), ("v2", 0), ("v3", 40)], 25, &[45, 15, 40]),
            (&[("v1", 50), ("v2", 0), ("v3", 50)], 10, &[45, 5, 50]),
            (&[("v1", 10), ("v2", 10), ("v3", 10)], 75, &[5, 15, 10]),
            (&[("v1", 8), ("v2", 2)], 25, &[15, 5]),
            // `to` keeps its declared share, and the integers are unchanged.
            (&[("v1", 8), ("v2", 2)], 20, &[8, 2]),
            (&[("v1", 8), ("v2", 2)], 10, &[8, 2]),
            // Not exact: rounded down, but not to 0.
            (&[("v1", 33), ("v2", 0), ("v3", 67)], 10, &[30, 3, 67]),
            (&[("v1", 2), ("v2", 0), ("v3", 98)], 10, &[1, 1, 98]),
            // Both together are above 100, so the whole split is in percent.
            (&[("v1", 100), ("v2", 100)], 75, &[25, 75]),
            (&[("v1", 90), ("v2", 30), ("v3", 80)], 50, &[30, 30, 40]),
        ];
        for (declared, at, expected) in cases {
            let split = moves(&[("v1", "v2")]).applied_to(&split(declared), percent(*at));
            assert_eq!(split.weights(), *expected, "{declared:?} at {at} %");
        }
    }

    #[test]
    fn all_moves_have_the_same_percentage() {
        let declared = split(&[("a1", 60), ("a2", 0), ("b1", 40), ("b2", 0)]);
        let moves = moves(&[("a1", "a2"), ("b1", "b2")]);
        assert_eq!(moves.applied_to(&declared, percent(50)).weights(), [30, 30, 20, 20]);
        assert_eq!(moves.applied_to(&declared, percent(5)).weights(), [57, 3, 38, 2]);
    }

    #[test]
    fn node_on_several_ports_divides_its_weight_in_proportion() {
        let json = r#"[{"virtualNode":"v1","weight":40,"port":80},{"virtualNode":"v2","weight":0,"port":80},
            {"virtualNode":"v1","weight":20,"port":81},{"virtualNode":"v2","weight":0,"port":81}]"#;
        let declared: WeightSplit = serde_json::from_str(json).unwrap();
        assert_eq!(moves(&[("v1", "v2")]).applied_to(&declared, percent(50)).weights(), [20, 30, 10, 0]);
    }

    #[test]
    fn pair_with_a_node_that_is_not_a_target_has_no_effect() {
        let declared = split(&[("v1", 7), ("v3", 3)]);
        assert_eq!(moves(&[("v1", "v2")]).applied_to(&declared, percent(50)), declared);
    }

    #[test]
    fn targets_that_occur_twice_are_rejected() {
        let json = r#"[{"from":"a","to":"b"},{"from":"b","to":"c"}]"#;
        assert!(serde_json::from_str::<Moves>(json).unwrap_err().to_string().contains("`b` occurs more than once"));
        assert!(serde_json::from_str::<Moves>(r#"[{"from":"a","to":"a"}]"#).is_err());
        assert!(serde_json::from_str::<Moves>("[]").is_err());
    }

    proptest! {
        #[test]
        fn share_of_to_never_falls_and_others_keep_theirs(
            weights in prop::collection::vec(0_u8..=100, 2..6),
            at in 1_u8..=100,
        ) {
            let names = ["v1", "v2", "v3", "v4", "v5"];
            let targets: Vec<(&str, u8)> = names.into_iter().zip(weights).collect();
            let declared = split(&targets);
            let after = moves(&[("v1", "v2")]).applied_to(&declared, percent(at));
            prop_assert!(after.same_targets(&declared));
            let share = |split: &WeightSplit, name: &str| {
                f64::from(split.weight_of(&node(name)).unwrap()) / f64::from(split.total().max(1))
            };
            if declared.total() == 0 {
                prop_assert_eq!(after, declared);
                return Ok(());
            }
            prop_assert!(after.total() > 0);
            prop_assert!(after.targets().iter().all(|target| target.weight <= Weight::MAX));
            prop_assert!(share(&after, "v2") + 0.011 >= share(&declared, "v2"), "{} -> {}", declared, after);
            for name in names.iter().take(targets.len()).skip(2) {
                prop_assert!((share(&after, name) - share(&declared, name)).abs() < 0.011, "{} -> {}", declared, after);
            }
        }
    }
}
