//! The series of metrics that the gates of a rollout need.

use std::collections::BTreeSet;

use mesh::name::VirtualNodeName;
use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;

/// A series of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesId {
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The measured value.
    pub measure: Measure,
}

/// A measured value of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// The number of requests.
    Requests,
    /// The number of failed requests.
    Errors,
    /// A statistic of the response times, as in `p99`.
    Latency(String),
}

/// The series that the gates of a rollout need, of both versions.
#[must_use]
pub fn series(rollout: &Rollout) -> BTreeSet<SeriesId> {
    let mut measures = BTreeSet::new();
    for gate in &rollout.metrics {
        measures.insert(Measure::Requests);
        if gate.error_ratio.is_some() {
            measures.insert(Measure::Errors);
        }
        measures.extend(gate.latency.iter().map(|gate| Measure::Latency(gate.stat.as_str().to_owned())));
    }
    let nodes = rollout.moves.iter().flat_map(|pair| [&pair.from, &pair.to]);
    nodes
        .flat_map(|node| measures.iter().map(|measure| SeriesId { node: node.clone(), measure: measure.clone() }))
        .collect()
}
