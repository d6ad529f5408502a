//! Alarms that evaluate several time series at once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The query of a PromQL alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromQlQuery {
    /// The query; each series of its result is a contributor that breaches.
    pub query: String,
    /// For how many seconds a contributor has to breach before it goes into `ALARM`.
    #[serde(default)]
    pub pending_period: Option<u32>,
    /// For how many seconds a contributor has to be absent before it goes back to `OK`.
    #[serde(default)]
    pub recovery_period: Option<u32>,
}

/// One time series that is in `ALARM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contributor {
    /// CloudWatch's id of the contributor.
    pub id: String,
    /// The labels or dimensions that identify the series.
    pub attributes: BTreeMap<String, String>,
    /// When the contributor went into `ALARM`.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// CloudWatch's explanation, as text.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a metric expression is a Metrics Insights query (`SELECT ... FROM ...`).
pub(super) fn is_insights(expression: &str) -> bool {
    expression.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
}
