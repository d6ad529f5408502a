//! Alarms that stay in `ALARM` because of their own configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{evaluated, is_query, words};
use mesh::alarm::{Alarm, Comparison, MetricQuery, MetricTerm, MissingData};

/// The maximum depth to which metric math is followed. CloudWatch permits no cycles.
const MAX_DEPTH: usize = 16;

/// Why an alarm cannot leave `ALARM` while its node has no requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum StuckInAlarm {
    /// Missing data leaves the state as it is (`TreatMissingData: ignore`).
    MissingDataIgnored,
    /// Missing data breaches (`TreatMissingData: breaching`).
    MissingDataBreaches,
    /// Its expression fills gaps with a value that breaches.
    FillBreaches {
        /// The expression.
        expression: String,
    },
}

/// The part of the alarm's configuration that keeps it in `ALARM` while its node has no requests; `None` if it has no
/// such part. A drained node with such an alarm cannot return without a probe or an operator.
#[must_use]
pub fn stuck_in_alarm(alarm: &Alarm) -> Option<StuckInAlarm> {
    let below = evaluated(alarm.queries());
    if below.iter().any(|query| query.returns_data && goes_missing(query, alarm.queries(), MAX_DEPTH)) {
        return match alarm.condition.as_ref()?.missing_data {
            MissingData::Ignore => Some(StuckInAlarm::MissingDataIgnored),
            MissingData::Breaching => Some(StuckInAlarm::MissingDataBreaches),
            MissingData::Missing | MissingData::NotBreaching | MissingData::Unrecognised(_) => None,
        };
    }
    // A filled line always has a value, so only the fill value decides.
    let expressions = below.iter().filter_map(|query| match &query.term {
        MetricTerm::Expression { expression, .. } => Some(expression),
        MetricTerm::Stat { .. } => None,
    });
    let breaches = |expression: &&String| fills(expression).any(|fill| fill_breaches(fill, alarm));
    let expression = expressions.into_iter().find(breaches)?;
    Some(StuckInAlarm::FillBreaches { expression: expression.clone() })
}

/// Whether a line has no value while its metrics have none. A line within `FILL` always has a value.
fn goes_missing(query: &MetricQuery, queries: &[MetricQuery], depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    match &query.term {
        MetricTerm::Stat { .. } => true,
        MetricTerm::Expression { expression, .. } if is_query(expression) => true,
        MetricTerm::Expression { expression, .. } => {
            let unfilled = without_fills(expression);
            let words = words(&unfilled);
            let of_all = words.iter().any(|word| word.eq_ignore_ascii_case("METRICS"));
            let named = queries.iter().filter(|other| other.id != query.id && words.contains(&other.id.as_str()));
            of_all || named.into_iter().any(|other| goes_missing(other, queries, depth))
        }
    }
}

/// An expression without its calls of `FILL`.
fn without_fills(expression: &str) -> String {
    let upper = expression.to_ascii_uppercase();
    let mut kept = String::new();
    let mut at = 0;
    while let Some(found) = upper.get(at..).and_then(|rest| rest.find("FILL")) {
        let begin = at + found;
        kept.push_str(expression.get(at..begin).unwrap_or_default());
        let call = expression.get(begin + "FILL".len()..).unwrap_or_default();
        let Some(length) = call_length(call) else { return kept };
        at = begin + "FILL".len() + length;
    }
    kept.push_str(expression.get(at..).unwrap_or_default());
    kept
}

/// The length of a parenthesised call, including both parentheses; `None` if the closing one is missing.
fn call_length(call: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in call.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at + 1),
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The fill value of each `FILL(..., value)` of an expression.
fn fills(expression: &str) -> impl Iterator<Item = &str> {
    let upper = expression.to_ascii_uppercase();
    let starts: Vec<usize> = upper.match_indices("FILL").map(|(at, _)| at).collect();
    starts.into_iter().filter_map(move |at| last_argument(expression.get(at + "FILL".len()..)?))
}

/// The last argument of a call, given its text from the opening parenthesis on.
fn last_argument(call: &str) -> Option<&str> {
    let call = call.trim_start().strip_prefix('(')?;
    let (mut depth, mut begin) = (0_usize, None);
    for (at, character) in call.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' if depth == 0 => return call.get(begin?..at).map(str::trim),
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => begin = Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Whether a fill value keeps an alarm in `ALARM`: `REPEAT` of a breaching value, or a number that breaches.
fn fill_breaches(fill: &str, alarm: &Alarm) -> bool {
    if fill.eq_ignore_ascii_case("REPEAT") {
        return true;
    }
    let (Ok(value), Some(condition)) = (fill.parse::<f64>(), &alarm.condition) else { return false };
    let Some(threshold) = condition.threshold else { return false };
    match condition.comparison {
        Comparison::GreaterThanOrEqualToThreshold => value >= threshold,
        Comparison::GreaterThanThreshold => value > threshold,
        Comparison::LessThanThreshold => value < threshold,
        Comparison::LessThanOrEqualToThreshold => value <= threshold,
        Comparison::GreaterThanUpperThreshold
        | Comparison::LessThanLowerThreshold
        | Comparison::LessThanLowerOrGreaterThanUpperThreshold
        | Comparison::Unrecognised(_) => false,
    }
}

impl fmt::Display for StuckInAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingDataIgnored => {
                f.write_str("it keeps its state while data is missing (TreatMissingData: ignore)")
            }
            Self::MissingDataBreaches => f.write_str("missing data breaches it (TreatMissingData: breaching)"),
            Self::FillBreaches { expression } => {
                write!(f, "its expression fills gaps with a value that breaches: {expression}")
            }
        }
    }
}
