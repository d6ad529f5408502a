//! When a metric alarm goes into `ALARM`.

use serde::{Deserialize, Serialize};

/// The condition of a metric alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The comparison of the metric with the bound.
    pub comparison: Comparison,
    /// The bound; absent when it is an anomaly band.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// The id of the line that is the anomaly band, where the bound is one.
    #[serde(default)]
    pub band: Option<String>,
    /// The number of evaluated periods.
    #[serde(default)]
    pub evaluation_periods: Option<u32>,
    /// The number of data points of these periods that must breach; absent if all of them must.
    #[serde(default)]
    pub datapoints_to_alarm: Option<u32>,
    /// The treatment of periods without data.
    #[serde(default)]
    pub missing_data: MissingData,
}

/// The comparison of a metric with its bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>=`.
    GreaterThanOrEqualToThreshold,
    /// `>`.
    GreaterThanThreshold,
    /// `<`.
    LessThanThreshold,
    /// `<=`.
    LessThanOrEqualToThreshold,
    /// Above an anomaly band.
    GreaterThanUpperThreshold,
    /// Below an anomaly band.
    LessThanLowerThreshold,
    /// Outside an anomaly band, on either side.
    LessThanLowerOrGreaterThanUpperThreshold,
    /// An operator this version does not know.
    #[serde(untagged)]
    Unrecognised(String),
}

/// The treatment of periods without data (`TreatMissingData`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingData {
    /// Periods without data are not evaluated; without any data the state is `INSUFFICIENT_DATA`. What CloudWatch
    /// assumes for an alarm that sets nothing.
    #[default]
    Missing,
    /// The state stays as it is.
    Ignore,
    /// A period without data breaches.
    Breaching,
    /// A period without data does not breach.
    NotBreaching,
    /// A setting this version does not know.
    #[serde(untagged)]
    Unrecognised(String),
}

/// A problem with an alarm's evaluation, as CloudWatch reports it; the alarm's state may be out of date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EvaluationState {
    /// A query was cut off, so that not all data was evaluated.
    PartialData,
    /// CloudWatch failed to evaluate the alarm.
    EvaluationFailure,
    /// The alarm's configuration, or its rights, do not permit an evaluation.
    EvaluationError,
    /// A value this version does not know.
    #[serde(untagged)]
    Unrecognised(String),
}
