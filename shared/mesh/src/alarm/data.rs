//! The data points of an alarm's metrics: the counted requests and failures.

use serde::{Deserialize, Serialize};

use super::{MetricQuery, MetricTerm};

/// The role of a metric in the proof that a node had requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricUse {
    /// Errors of the node.
    Errors,
    /// Requests, connections or bytes of the node.
    Volume,
    /// Another metric of the node.
    Measure,
    /// A metric of another resource.
    Foreign,
    /// Requests of the node that the alarm itself does not evaluate.
    Companion,
}

/// A metric with countable data points.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedMetric {
    /// The metric, with the account that holds it. Its id is unique within the alarm.
    pub query: MetricQuery,
    /// Its role in the proof.
    pub usage: MetricUse,
}

/// The data points of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricData {
    /// The namespace and the name, or the query.
    pub metric: String,
    /// The account that holds the metric, if it is not the alarm's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its role in the proof.
    pub usage: MetricUse,
    /// The number of data points.
    pub points: u32,
    /// The number of data points above zero.
    pub above_zero: u32,
    /// The reason why the metric could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// The namespace and the name of a metric, or the text of a query.
#[must_use]
pub fn metric_name(query: &MetricQuery) -> String {
    match &query.term {
        MetricTerm::Stat { namespace, metric, .. } => format!("{namespace}/{metric}"),
        MetricTerm::Expression { expression, .. } => expression.clone(),
    }
}
