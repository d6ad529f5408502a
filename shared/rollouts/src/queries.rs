//! The series of metrics that the gates of a rollout need.

use std::collections::BTreeSet;

use mesh::name::{ResourcePath, VirtualNodeName, VirtualServiceName};
use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;

/// A caller of a rollout's routes, and the virtual service that it calls: the dimensions of the series of one caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesCaller {
    /// The virtual node or virtual gateway.
    pub caller: ResourcePath,
    /// The virtual service.
    pub service: VirtualServiceName,
}

impl SeriesCaller {
    /// The caller as a part of a sentence.
    pub(crate) fn phrase(&self) -> String {
        format!(" from {}", self.caller.name())
    }
}

/// A series of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesId {
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The measured value.
    pub measure: Measure,
    /// The caller that the series is about; `None` for the series of all callers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<SeriesCaller>,
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

/// The series that the gates of a rollout need, of both versions: of each caller, and of all callers together.
#[must_use]
pub fn series(rollout: &Rollout, callers: &BTreeSet<SeriesCaller>) -> BTreeSet<SeriesId> {
    let mut measures = BTreeSet::new();
    for gate in &rollout.metrics {
        measures.insert(Measure::Requests);
        if gate.error_ratio.is_some() {
            measures.insert(Measure::Errors);
        }
        measures.extend(gate.latency.iter().map(|gate| Measure::Latency(gate.stat.as_str().to_owned())));
    }
    let nodes = rollout.moves.iter().flat_map(|pair| [&pair.from, &pair.to]);
    let callers: Vec<Option<&SeriesCaller>> = std::iter::once(None).chain(callers.iter().map(Some)).collect();
    let mut series = BTreeSet::new();
    for node in nodes {
        for measure in &measures {
            let of_caller = |caller: Option<&SeriesCaller>| SeriesId {
                node: node.clone(),
                measure: measure.clone(),
                caller: caller.cloned(),
            };
            series.extend(callers.iter().copied().map(of_caller));
        }
    }
    series
}
