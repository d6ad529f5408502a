//! The split of a route's traffic over virtual nodes.

mod numbers;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::name::VirtualNodeName;

pub use numbers::{Port, Weight};

/// One entry of a route's `weightedTargets`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedTarget {
    /// The virtual node that receives the traffic.
    pub virtual_node: VirtualNodeName,
    /// Its share, relative to the other targets.
    pub weight: Weight,
    /// The listener port at the node; required if the node has several listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

impl WeightedTarget {
    /// A target without a port.
    #[must_use]
    pub const fn new(virtual_node: VirtualNodeName, weight: Weight) -> Self {
        Self { virtual_node, weight, port: None }
    }

    /// Sets the listener port at the node.
    #[must_use]
    pub fn with_port(self, port: Port) -> Self {
        Self { port: Some(port), ..self }
    }
}

/// The weighted targets of a route: 1 to 10, in the order of the spec. All weights may be zero, as the API allows; see
/// [`is_drained`](Self::is_drained).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<WeightedTarget>", into = "Vec<WeightedTarget>")]
pub struct WeightSplit(Vec<WeightedTarget>);

impl WeightSplit {
    /// The maximum number of targets of a route (service quota L-AE1D9567, fixed).
    pub const MAX_TARGETS: usize = 10;

    /// Creates a split of 1 to 10 targets.
    pub fn new(targets: Vec<WeightedTarget>) -> Result<Self, WeightError> {
        if (1..=Self::MAX_TARGETS).contains(&targets.len()) {
            Ok(Self(targets))
        } else {
            Err(WeightError::Targets { given: targets.len() })
        }
    }

    /// The targets in the order of the spec.
    #[must_use]
    pub fn targets(&self) -> &[WeightedTarget] {
        &self.0
    }

    /// The weights in the order of the targets.
    #[must_use]
    pub fn weights(&self) -> Vec<u8> {
        self.0.iter().map(|target| target.weight.get()).collect()
    }

    /// The sum of all weights, 0 to 1000.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.0.iter().map(|target| u16::from(target.weight.get())).sum()
    }

    /// Whether all weights are 0.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.total() == 0
    }

    /// The weight of a node, summed if it is a target more than once (on several ports); `None` if it is not a target.
    #[must_use]
    pub fn weight_of(&self, node: &VirtualNodeName) -> Option<u16> {
        self.0
            .iter()
            .filter(|target| target.virtual_node == *node)
            .map(|target| u16::from(target.weight.get()))
            .reduce(|sum, weight| sum + weight)
    }

    /// Whether a node is a target, at any weight.
    #[must_use]
    pub fn carries(&self, node: &VirtualNodeName) -> bool {
        self.0.iter().any(|target| target.virtual_node == *node)
    }

    /// The shares of the traffic: one share per node, in the order of first mention.
    #[must_use]
    pub fn shares(&self) -> Vec<Share<'_>> {
        let total = self.total();
        let mut shares: Vec<Share<'_>> = Vec::with_capacity(self.0.len());
        for target in &self.0 {
            let weight = u16::from(target.weight.get());
            match shares.iter_mut().find(|share| *share.virtual_node == target.virtual_node) {
                Some(share) => share.weight += weight,
                None => shares.push(Share { virtual_node: &target.virtual_node, weight, total }),
            }
        }
        shares
    }

    /// The same targets with other weights, one for each in order.
    pub fn with_weights(&self, weights: &[u8]) -> Result<Self, WeightError> {
        if weights.len() != self.0.len() {
            return Err(WeightError::Count { targets: self.0.len(), given: weights.len() });
        }
        let with = |(target, weight): (&WeightedTarget, &u8)| {
            Ok(WeightedTarget { weight: Weight::new(*weight)?, ..target.clone() })
        };
        self.0.iter().zip(weights).map(with).collect::<Result<_, _>>().map(Self)
    }

    /// Whether both have the same nodes on the same ports in the same order, at any weights.
    #[must_use]
    pub fn same_targets(&self, other: &Self) -> bool {
        self.identities().eq(other.identities())
    }

    /// Twelve hexadecimal digits that identify the ordered targets (nodes and ports, without weights). A restore point
    /// is valid only while the route's hash equals its own, so the algorithm must never change between releases.
    #[must_use]
    pub fn targets_hash(&self) -> String {
        let mut hash = Sha256::new();
        for (node, port) in self.identities() {
            // Names cannot contain control characters, so this separator is unambiguous.
            hash.update(node.as_str());
            hash.update([0]);
            hash.update(port.map_or(0, Port::get).to_be_bytes());
        }
        let first = hash.finalize().iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{first:012x}")
    }

    fn identities(&self) -> impl Iterator<Item = (&VirtualNodeName, Option<Port>)> {
        self.0.iter().map(|target| (&target.virtual_node, target.port))
    }
}

impl TryFrom<Vec<WeightedTarget>> for WeightSplit {
    type Error = WeightError;

    fn try_from(targets: Vec<WeightedTarget>) -> Result<Self, WeightError> {
        Self::new(targets)
    }
}

impl From<WeightSplit> for Vec<WeightedTarget> {
    fn from(split: WeightSplit) -> Self {
        split.0
    }
}

/// Displays `recs-v1:75 recs-v2:25`, with the port if there is one: `recs-v1@8080:75`.
impl fmt::Display for WeightSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, WeightedTarget { virtual_node, weight, port }) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match port {
                Some(port) => write!(f, "{space}{virtual_node}@{port}:{weight}")?,
                None => write!(f, "{space}{virtual_node}:{weight}")?,
            }
        }
        Ok(())
    }
}

/// The exact part of a route's traffic that a node receives: `weight / total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share<'a> {
    /// The node.
    pub virtual_node: &'a VirtualNodeName,
    /// The sum of the node's weights.
    pub weight: u16,
    /// The sum of all weights of the route; 0 if it is drained.
    pub total: u16,
}

impl Share<'_> {
    /// The share as a number from 0 to 1; 0 if the route is drained.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::from(self.weight) / f64::from(self.total) }
    }
}

/// The reason why a split is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightError {
    /// A weight above 100.
    #[error("invalid weight {given}: expected 0 to 100")]
    Weight {
        /// The weight given.
        given: u8,
    },
    /// Port 0.
    #[error("invalid port 0: expected 1 to 65535")]
    Port,
    /// No targets or too many.
    #[error("invalid number of weighted targets {given}: expected 1 to 10")]
    Targets {
        /// The targets given.
        given: usize,
    },
    /// The number of weights differs from the number of targets.
    #[error("invalid number of weights {given}: expected {targets}, one for each target")]
    Count {
        /// The targets there are.
        targets: usize,
        /// The weights given.
        given: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(json: &str) -> WeightSplit {
        serde_json::from_str(json).unwrap()
    }

    const TWO: &str = r#"[{"virtualNode":"recs-v1","weight":75},{"virtualNode":"recs-v2","weight":25}]"#;
    const TWICE: &str = r#"[{"virtualNode":"a","weight":10,"port":80},{"virtualNode":"b","weight":20},
                            {"virtualNode":"a","weight":10,"port":81}]"#;

    #[test]
    fn is_the_wire_array() {
        assert_eq!(serde_json::to_string(&split(TWO)).unwrap(), TWO);
        assert_eq!(split(r#"[{"virtualNode":"a","weight":0,"port":null}]"#).targets()[0].port, None);
    }

    #[test]
    fn shows_its_targets() {
        assert_eq!(split(TWO).to_string(), "recs-v1:75 recs-v2:25");
        assert_eq!(split(TWICE).to_string(), "a@80:10 b:20 a@81:10");
    }

    #[test]
    fn what_the_api_refuses_is_not_a_split() {
        let eleven = serde_json::to_string(&vec![WeightedTarget::new("n".parse().unwrap(), Weight::MAX); 11]).unwrap();
        let refused = [
            "[]",
            &eleven,
            r#"[{"virtualNode":"a","weight":101}]"#,
            r#"[{"virtualNode":"a","weight":-1}]"#,
            r#"[{"virtualNode":"a"}]"#,
            r#"[{"virtualNode":"","weight":1}]"#,
            r#"[{"virtualNode":"a","weight":1,"port":0}]"#,
            r#"[{"virtualNode":"a","weight":1,"port":65536}]"#,
        ];
        for json in refused {
            assert!(serde_json::from_str::<WeightSplit>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_node_that_is_a_target_twice_has_the_sum() {
        let split = split(TWICE);
        let (a, b, c) = ("a".parse().unwrap(), "b".parse().unwrap(), "c".parse().unwrap());
        assert_eq!([&a, &b, &c].map(|node| split.weight_of(node)), [Some(20), Some(20), None]);
        assert_eq!([&a, &b, &c].map(|node| split.carries(node)), [true, true, false]);
        let shares: Vec<_> = split.shares().iter().map(|s| (s.virtual_node.to_string(), s.fraction())).collect();
        assert_eq!(shares, [("a".to_owned(), 0.5), ("b".to_owned(), 0.5)]);
    }

    #[test]
    fn all_zero_is_drained() {
        let drained = split(TWO).with_weights(&[0, 0]).unwrap();
        assert!(drained.is_drained());
        assert!(drained.shares().iter().all(|share| share.fraction() == 0.0));
        assert!(!split(TWO).is_drained());
    }

    #[test]
    fn other_weights_keep_targets_and_their_hash() {
        let before = split(TWICE);
        let after = before.with_weights(&[0, 100, 0]).unwrap();
        assert_eq!(after.weights(), [0, 100, 0]);
        assert!(after.same_targets(&before));
        assert_eq!(after.targets_hash(), before.targets_hash());
        assert_eq!(before.with_weights(&[1]), Err(WeightError::Count { targets: 3, given: 1 }));
        assert_eq!(before.with_weights(&[1, 2, 101]), Err(WeightError::Weight { given: 101 }));
    }

    #[test]
    fn the_hash_stands_for_nodes_ports_and_order() {
        assert_eq!(split(TWO).targets_hash(), "7d9a5a586229", "restore points of earlier releases depend on it");
        let others = [
            r#"[{"virtualNode":"recs-v2","weight":75},{"virtualNode":"recs-v1","weight":25}]"#,
            r#"[{"virtualNode":"recs-v1","weight":75}]"#,
            r#"[{"virtualNode":"recs-v1","weight":75,"port":80},{"virtualNode":"recs-v2","weight":25}]"#,
        ];
        for other in others {
            assert_ne!(split(other).targets_hash(), split(TWO).targets_hash(), "{other}");
            assert!(!split(other).same_targets(&split(TWO)));
        }
    }
}
