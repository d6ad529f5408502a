//! Alarms as they were read from CloudWatch, in types that keep "unknown" apart from "fine".
//!
//! The types here hold facts only. Which virtual node an alarm reports, and whether its metric may drain that node, is
//! decided in `decisions::failover` from these facts and the policy.

mod condition;
mod contributor;
mod data;
mod declared;
mod formula;
mod name;
mod rule;
mod suppression;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use condition::{Comparison, Condition, EvaluationState, MissingData};
pub use contributor::{Contributor, PromQlQuery};
pub use data::{CountedMetric, MetricData, MetricUse, metric_name};
pub use declared::DeclaredAlarm;
pub use formula::{Direction, ExpressionOperand, Formula, LabelMatcher};
pub use name::{AlarmName, AlarmNameError};
pub use rule::{Atom, Cause, CompositeRule, RuleError, RuleValue, StateTest};
pub use suppression::{MuteRule, SuppressedBy, Suppressor};

/// The state that CloudWatch reports. `Ok` is a state, not a proof of health: an alarm that treats missing data as not
/// breaching is `Ok` on a node that gets no requests at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// The condition does not hold.
    Ok,
    /// The condition holds.
    Alarm,
    /// CloudWatch has too little data.
    InsufficientData,
    /// A value this version does not know; treated like missing data.
    #[serde(untagged)]
    Unrecognised(String),
}

/// One alarm as it was read. Members that older versions did not record have defaults that mean "not known".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The alarm's name.
    pub name: AlarmName,
    /// The alarm's ARN.
    pub arn: String,
    /// The state.
    pub state: AlarmState,
    /// The time of the last change of the state; absent when CloudWatch did not report one.
    pub since: Option<Timestamp>,
    /// Whether the alarm's actions are enabled. An alarm with disabled actions never triggers anything here.
    pub actions_enabled: bool,
    /// Why the actions of a composite alarm are suppressed right now, as text; absent when they are not.
    pub suppressed: Option<String>,
    /// The metrics, the query or the rule that the alarm evaluates.
    pub source: AlarmSource,
    /// When the alarm goes into `ALARM`; absent for composite and PromQL alarms and in recordings of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The problem of the evaluation that CloudWatch reports; absent if the evaluation works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<EvaluationState>,
    /// CloudWatch's explanation of the state, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// CloudWatch's explanation of the state, as a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_reason_data: Option<String>,
    /// The ARNs that CloudWatch notifies when the alarm goes into `ALARM`; absent in recordings of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_actions: Option<Vec<String>>,
    /// The alarm that can suppress the actions of this composite alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressor: Option<Suppressor>,
    /// The current suppressor of the actions of this composite alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<SuppressedBy>,
    /// The active mute rule that names this alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute_rule: Option<String>,
    /// The time series that are in `ALARM` now, of an alarm that evaluates several; absent when they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributors: Option<Vec<Contributor>>,
    /// Data points that the alarm's metric had lately; counted only where callers of one target disagree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_data_points: Option<u32>,
}

/// The metrics, the query or the rule that an alarm evaluates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AlarmSource {
    /// One metric, metric math, an anomaly band, or a Metrics Insights query.
    Metric(Vec<MetricQuery>),
    /// Other alarms, by the text of the rule.
    Composite(String),
    /// A PromQL query, each series of its result a contributor.
    PromQl(PromQlQuery),
    /// A source that could not be read, and why; it never counts as healthy.
    Unreadable(String),
}

/// One line of an alarm's metric queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuery {
    /// The line's id within the alarm; `m1` for an alarm on a single metric.
    pub id: String,
    /// The metric or the expression.
    pub term: MetricTerm,
    /// Whether the alarm evaluates the result of this line.
    pub returns_data: bool,
    /// The account that holds the metric; absent when it is the alarm's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}

impl MetricQuery {
    /// A line that the alarm evaluates, on a metric or an expression of the alarm's own account.
    #[must_use]
    pub fn new(id: &str, term: MetricTerm) -> Self {
        Self { id: id.to_owned(), term, returns_data: true, account_id: None }
    }
}

/// A metric or an expression over others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricTerm {
    /// A metric with its statistic.
    #[serde(rename_all = "camelCase")]
    Stat {
        /// Namespace, as in `AppMesh`.
        namespace: String,
        /// Metric name.
        metric: String,
        /// Dimensions by name.
        dimensions: BTreeMap<String, String>,
        /// Period in seconds.
        period: u32,
        /// Statistic, as in `Sum` or `p99`.
        stat: String,
        /// Unit filter, if there is one.
        unit: Option<String>,
    },
    /// Metric math or a Metrics Insights query.
    #[serde(rename_all = "camelCase")]
    Expression {
        /// The expression.
        expression: String,
        /// Period in seconds, if it has its own.
        period: Option<u32>,
    },
}

impl Alarm {
    /// An alarm with enabled actions, of which nothing else is known.
    #[must_use]
    pub fn new(name: AlarmName, arn: &str, state: AlarmState, source: AlarmSource) -> Self {
        Self {
            name,
            arn: arn.to_owned(),
            state,
            since: None,
            actions_enabled: true,
            suppressed: None,
            source,
            condition: None,
            evaluation: None,
            state_reason: None,
            state_reason_data: None,
            alarm_actions: None,
            suppressor: None,
            suppressed_by: None,
            mute_rule: None,
            contributors: None,
            recent_data_points: None,
        }
    }

    /// The lines of a metric alarm; none for any other kind.
    #[must_use]
    pub fn queries(&self) -> &[MetricQuery] {
        match &self.source {
            AlarmSource::Metric(queries) => queries,
            AlarmSource::Composite(_) | AlarmSource::PromQl(_) | AlarmSource::Unreadable(_) => &[],
        }
    }

    /// Whether CloudWatch evaluates several time series for this alarm, so that its contributors have to be read.
    #[must_use]
    pub fn has_contributors(&self) -> bool {
        let is_query = |query: &MetricQuery| matches!(&query.term, MetricTerm::Expression { expression, .. } if contributor::is_insights(expression));
        match &self.source {
            AlarmSource::PromQl(_) => true,
            AlarmSource::Metric(queries) => queries.iter().any(is_query),
            AlarmSource::Composite(_) | AlarmSource::Unreadable(_) => false,
        }
    }

    /// Whether the alarm may trigger a change: it is in `ALARM`, and its actions are neither disabled,
    /// suppressed nor muted.
    #[must_use]
    pub fn calls_for_action(&self) -> bool {
        self.state == AlarmState::Alarm && self.actions_enabled && self.suppressed.is_none() && self.mute_rule.is_none()
    }

    /// Whether one of the alarm's actions leads to this topic, queue or function.
    #[must_use]
    pub fn notifies(&self, arn: &str) -> bool {
        self.alarm_actions.as_deref().unwrap_or_default().iter().any(|action| action == arn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_state_is_kept() {
        let state: AlarmState = serde_json::from_str("\"PAUSED\"").unwrap();
        assert_eq!(state, AlarmState::Unrecognised("PAUSED".to_owned()));
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"PAUSED\"");
    }

    #[test]
    fn alarm_recorded_by_an_older_version_is_read_and_written_unchanged() {
        let recorded = serde_json::json!({
            "name": "a",
            "arn": "arn:a",
            "state": "ALARM",
            "since": "2026-10-05T12:00:00Z",
            "actionsEnabled": true,
            "suppressed": null,
            "source": { "metric": [{
                "id": "m1",
                "term": { "stat": {
                    "namespace": "AppMesh", "metric": "Errors", "dimensions": { "Mesh": "shop" },
                    "period": 60, "stat": "Sum", "unit": null,
                } },
                "returnsData": true,
            }] },
        });
        let alarm: Alarm = serde_json::from_value(recorded.clone()).unwrap();
        assert_eq!((alarm.condition.as_ref(), alarm.alarm_actions.as_ref()), (None, None));
        assert_eq!(serde_json::to_value(&alarm).unwrap(), recorded);
    }
}
