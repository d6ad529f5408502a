//! The settings of the alarms that `meshwarden alarms` writes for a mesh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, Period};

/// The alarms on the targets of a mesh's routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AlarmRules {
    /// The share of failed requests, in percent, above which a period is breaching.
    pub error_ratio: Percent,
    /// The minimum number of requests in a period for a meaningful ratio; a period with fewer requests does not breach.
    /// A returning target gets `failback.probeShare` of a route: it needs this many requests of it, or its alarm cannot
    /// change its state.
    pub min_requests: u32,
    /// The length of a period: 10 s, 20 s, 30 s, or whole minutes. Below a minute the CloudWatch agent has to publish
    /// in high resolution (`metrics_aggregation_interval` 0).
    pub period: AlarmPeriod,
    /// The number of latest periods that are evaluated.
    pub evaluation_periods: u16,
    /// The number of these periods that must breach.
    pub datapoints_to_alarm: u16,
    /// The bound on response times of all targets. Absent: only targets with their own bound have a latency alarm.
    pub latency: Option<LatencyBound>,
}

impl Default for AlarmRules {
    fn default() -> Self {
        Self {
            // A release that fails one request in twenty is broken for its users; one in a hundred is often a client
            // error.
            error_ratio: Percent::constant(5),
            // Two failures of five are significant, and a probe share of 5 % has five requests at 100 requests a
            // minute.
            min_requests: 5,
            period: AlarmPeriod(Period::minutes(1)),
            // Two of three: one bad minute of a rolling deployment moves no weight, and a dead target is drained within
            // two.
            evaluation_periods: 3,
            datapoints_to_alarm: 2,
            latency: None,
        }
    }
}

/// A bound on response times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyBound {
    /// The percentile of a period's response times, 1 to 100.
    #[serde(default = "LatencyBound::usual_percentile")]
    pub percentile: Percent,
    /// The maximum response time in milliseconds.
    pub milliseconds: u32,
}

impl LatencyBound {
    const fn usual_percentile() -> Percent {
        Percent::constant(99)
    }
}

/// The period of an alarm: a length that CloudWatch accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Period", into = "Period")]
#[schemars(with = "Period")]
pub struct AlarmPeriod(Period);

impl AlarmPeriod {
    /// The length in seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.get().as_secs()).unwrap_or(u32::MAX)
    }
}

impl TryFrom<Period> for AlarmPeriod {
    type Error = AlarmPeriodError;

    fn try_from(period: Period) -> Result<Self, AlarmPeriodError> {
        let seconds = period.get().as_secs();
        let accepted = matches!(seconds, 10 | 20 | 30) || seconds % 60 == 0;
        if accepted && seconds <= 24 * 60 * 60 { Ok(Self(period)) } else { Err(AlarmPeriodError { given: period }) }
    }
}

impl From<AlarmPeriod> for Period {
    fn from(period: AlarmPeriod) -> Self {
        period.0
    }
}

/// A period that CloudWatch does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid alarm period `{given}`: expected 10s, 20s, 30s, or whole minutes up to a day")]
pub struct AlarmPeriodError {
    given: Period,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_that_cloudwatch_accepts() {
        let read = |text: &str| serde_json::from_str::<AlarmPeriod>(&format!("{text:?}"));
        for (text, seconds) in [("10s", 10), ("30s", 30), ("1m", 60), ("5m", 300)] {
            assert_eq!(read(text).unwrap().seconds(), seconds);
        }
        for text in ["1s", "45s", "90s", "25h"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
