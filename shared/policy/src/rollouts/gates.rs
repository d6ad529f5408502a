//! The gates of a rollout: alarms and metrics.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Contradiction, Milliseconds, Ratio, Statistic, number_error};
use mesh::alarm::AlarmName;

/// The maximum number of alarms and of metric gates of a rollout.
const MOST_ALARMS: usize = 20;
const MOST_METRICS: usize = 5;

/// The gates of a rollout. A step ends only when every gate passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloutGates {
    /// Alarms that must be `OK`. The failure alarms of the new version are always gates too.
    pub alarms: Vec<AlarmName>,
    /// Metrics of the new version, absolute or compared with the old version.
    pub metrics: Vec<MetricGate>,
}

/// A gate on the metrics of the new version. It has exactly one of `errorRatio` and `latency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricGate {
    /// The part of the requests that fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<ErrorRatioGate>,
    /// The response time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// The number of requests that the gate needs in a step. Absent: `rollouts.minRequests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u32>,
    /// The number of failed evaluations in a step that fail the rollout. Absent: `rollouts.failAfter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_after: Option<u32>,
}

/// Limits of the error ratio. It has at least one of `max` and `overBaseline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorRatioGate {
    /// The maximum error ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Ratio>,
    /// The maximum error ratio, as a multiple of the old version's: 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_baseline: Option<f64>,
    /// The difference to the old version's error ratio below which `overBaseline` does not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_difference: Option<Ratio>,
}

/// Limits of the response time. It has at least one of `max` and `overBaseline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyGate {
    /// The statistic of the response times.
    pub stat: Statistic,
    /// The maximum response time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Milliseconds>,
    /// The maximum response time, as a multiple of the old version's: 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_baseline: Option<f64>,
}

/// The metrics that metric gates read: those of the alarms that `meshwarden alarms` writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GateMetrics {
    /// The namespace in CloudWatch.
    pub namespace: String,
    /// The number of requests to a target. The dimensions are those of App Mesh's outbound metrics for each caller, or `Mesh`
    /// and `TargetVirtualNode` for all callers together.
    pub requests: String,
    /// The number of failed requests to a target.
    pub errors: String,
    /// The response times of a target, in milliseconds.
    pub latency: String,
}

impl Default for GateMetrics {
    fn default() -> Self {
        Self {
            namespace: "AppMesh".to_owned(),
            requests: "envoy_cluster_upstream_rq_completed".to_owned(),
            errors: "envoy_cluster_upstream_rq_5xx".to_owned(),
            latency: "envoy_cluster_upstream_rq_time".to_owned(),
        }
    }
}

impl RolloutGates {
    /// Whether there are no gates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty() && self.metrics.is_empty()
    }

    /// The first contradiction: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<Contradiction> {
        let mut known = BTreeSet::new();
        let twice = self.alarms.iter().enumerate().find(|(_, alarm)| !known.insert(*alarm));
        if let Some((index, alarm)) = twice {
            return Some((format!("gates.alarms[{index}]"), format!("alarm {alarm} is listed twice; keep one")));
        }
        if self.alarms.len() > MOST_ALARMS {
            return Some(("gates.alarms".to_owned(), format!("too many alarms: expected at most {MOST_ALARMS}")));
        }
        if self.metrics.len() > MOST_METRICS {
            return Some(("gates.metrics".to_owned(), format!("too many metrics: expected at most {MOST_METRICS}")));
        }
        let metrics = self.metrics.iter().enumerate();
        metrics.into_iter().find_map(|(index, gate)| {
            let at = |(key, problem): Contradiction| (format!("gates.metrics[{index}]{key}"), problem);
            gate.contradiction().map(at)
        })
    }
}

impl MetricGate {
    fn contradiction(&self) -> Option<Contradiction> {
        let limits = match (&self.error_ratio, &self.latency) {
            (Some(gate), None) => gate.contradiction(),
            (None, Some(gate)) => gate.contradiction(),
            (Some(_), Some(_)) | (None, None) => {
                Some((String::new(), "a metric gate has exactly one of errorRatio and latency".to_owned()))
            }
        };
        limits
            .or_else(|| self.min_requests.and_then(|number| number_error(".minRequests", number, 1, 1_000_000)))
            .or_else(|| self.fail_after.and_then(|number| number_error(".failAfter", number, 1, 100)))
    }
}

impl ErrorRatioGate {
    fn contradiction(&self) -> Option<Contradiction> {
        if self.max.is_none() && self.over_baseline.is_none() {
            return Some((".errorRatio".to_owned(), "it has no limit: set max, overBaseline, or both".to_owned()));
        }
        if self.min_difference.is_some() && self.over_baseline.is_none() {
            let problem = "minDifference applies to overBaseline only: set overBaseline, or leave it out";
            return Some((".errorRatio.minDifference".to_owned(), problem.to_owned()));
        }
        factor_error(".errorRatio.overBaseline", self.over_baseline)
    }
}

impl LatencyGate {
    fn contradiction(&self) -> Option<Contradiction> {
        if self.max.is_none() && self.over_baseline.is_none() {
            return Some((".latency".to_owned(), "it has no limit: set max, overBaseline, or both".to_owned()));
        }
        factor_error(".latency.overBaseline", self.over_baseline)
    }
}

fn factor_error(key: &str, factor: Option<f64>) -> Option<Contradiction> {
    let factor = factor.filter(|factor| !(1.0..=100.0).contains(factor))?;
    Some((key.to_owned(), format!("invalid factor {factor}: expected 1 to 100")))
}
