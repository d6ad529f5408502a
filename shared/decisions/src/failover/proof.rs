//! The proof that a node had requests, without which an `OK` alarm proves no health.
//!
//! Only published data points count. The metric lines of an alarm are followed down to the metrics that they are based
//! on. Values that an expression generates, such as `FILL(m1, 0)`, a band or a constant, are never counted. Each metric
//! is counted separately, in the account that holds it:
//!
//! | metric below the alarm's expression | must have data | proves requests |
//! |-|-|-|
//! | errors of the node, which are published only when there are errors | no | with data points |
//! | requests, connections or bytes of the node | yes | with values above zero |
//! | another metric of the node, such as a latency or a ratio | yes | with data points |
//! | a metric of another resource, such as all requests of a service | yes | no |
//! | a Metrics Insights query that fixes all dimensions of its metric | as that metric | as that metric |
//! | another Metrics Insights query, of the node's series only | as its metric | as its metric |
//! | a companion: requests in the namespace and with the dimensions of an error metric | no | with values above zero |
//!
//! An alarm is proven if every metric that must have data has it, and one metric proves requests. An alarm on errors
//! alone would never be proven while the node is well, so its companions are counted too. A metric that cannot be read
//! proves no requests, and is reported with the reason.

mod below;
mod grouped;
mod stuck;
mod target;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use mesh::alarm::{Alarm, AlarmName, AlarmSource, CountedMetric, MetricData, MetricQuery, MetricTerm, MetricUse};

pub(super) use below::{evaluation_below, metric_alarms_below};
use grouped::{of_target, selected_metric};
pub use stuck::{StuckInAlarm, stuck_in_alarm};
pub use target::ProofTarget;

/// The data points counted for one alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmData {
    /// The alarm.
    pub alarm: AlarmName,
    /// Its metrics.
    pub metrics: Vec<MetricData>,
    /// The reason why the alarm has no countable metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A gap in the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingProof {
    /// The alarm.
    pub alarm: AlarmName,
    /// The metric; absent if the alarm has no countable metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The account that holds the metric, if it is not the alarm's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The kind of the gap.
    #[serde(flatten)]
    pub why: ProofGap,
}

/// The reason why a metric does not prove requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gap", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ProofGap {
    /// The metric has too few data points.
    TooFewPoints {
        /// The number of data points.
        points: u32,
    },
    /// The metric has data points, and all of them report zero requests.
    NoRequests,
    /// The metric could not be read.
    Unreadable {
        /// The reason.
        message: String,
    },
    /// The alarm has no countable metric.
    NothingToCount {
        /// The reason.
        message: String,
    },
}

/// The metrics that can prove that the target had requests, or the reason why the alarm has none. `alarms` holds the
/// alarms below a composite alarm, which has the metrics of all of them.
///
/// # Errors
///
/// Returns the reason why the alarm has no countable metric.
pub fn counted_metrics(
    alarm: &Alarm,
    alarms: &[Alarm],
    target: &ProofTarget<'_>,
) -> Result<Vec<CountedMetric>, String> {
    let AlarmSource::Composite(_) = &alarm.source else { return metrics_of(alarm, target) };
    let below = metric_alarms_below(alarm, alarms);
    if below.is_empty() {
        return Err("no metric alarm below the composite alarm could be read".to_owned());
    }
    let (mut counted, mut reasons) = (Vec::new(), Vec::new());
    for child in below {
        match metrics_of(child, target) {
            Ok(metrics) => counted.extend(metrics),
            Err(why) => reasons.push(format!("alarm {}: {why}", child.name)),
        }
    }
    if counted.is_empty() { Err(reasons.join("; ")) } else { Ok(counted) }
}

fn metrics_of(alarm: &Alarm, target: &ProofTarget<'_>) -> Result<Vec<CountedMetric>, String> {
    let raw: Vec<MetricQuery> = published(alarm)?.into_iter().map(|query| of_target(query, target)).collect();
    // If no metric names the node, a binding or a tag maps the alarm to it, so all metrics count.
    let names_node = |query: &MetricQuery| match &query.term {
        MetricTerm::Stat { dimensions, .. } => dimensions.values().any(|value| value == target.node.as_str()),
        MetricTerm::Expression { expression, .. } => expression.contains(target.node.as_str()),
    };
    let named = raw.iter().any(names_node);
    let mut counted: Vec<CountedMetric> = raw
        .into_iter()
        .map(|query| {
            let usage = if named && !names_node(&query) { MetricUse::Foreign } else { usage(&query) };
            CountedMetric { query: MetricQuery { returns_data: true, ..query }, usage }
        })
        .collect();
    let errors_only = counted.iter().all(|metric| matches!(metric.usage, MetricUse::Errors | MetricUse::Foreign));
    if errors_only && let Some(errors) = counted.iter().find(|metric| metric.usage == MetricUse::Errors) {
        counted.extend(companions(&errors.query));
    }
    Ok(counted)
}

/// Whether an alarm uses a metric with countable data points.
#[must_use]
pub fn has_published_metric(alarm: &Alarm) -> bool {
    published(alarm).is_ok()
}

/// The lines of an alarm with published data points, or the reason why it has none.
fn published(alarm: &Alarm) -> Result<Vec<&MetricQuery>, String> {
    let queries = match &alarm.source {
        AlarmSource::Metric(queries) => queries,
        AlarmSource::Composite(_) => return Err("a composite alarm has no metric".to_owned()),
        AlarmSource::PromQl(_) => {
            return Err(
                "CloudWatch counts no data points for a PromQL query; bind an alarm on a request metric to the \
                        node"
                    .to_owned(),
            );
        }
        AlarmSource::Unreadable(why) => return Err(why.clone()),
    };
    let raw: Vec<&MetricQuery> = evaluated(queries).into_iter().filter(|query| is_published(query)).collect();
    if raw.is_empty() { Err("its expression uses no metric".to_owned()) } else { Ok(raw) }
}

/// The number of data points that prove requests of the node; or the gaps, if the data does not prove them.
pub fn proven(data: &AlarmData, needed: u16) -> Result<u32, Vec<MissingProof>> {
    let gap = |metric: Option<&MetricData>, why: ProofGap| MissingProof {
        alarm: data.alarm.clone(),
        metric: metric.map(|metric| metric.metric.clone()),
        account: metric.and_then(|metric| metric.account.clone()),
        why,
    };
    if let Some(message) = &data.unreadable {
        return Err(vec![gap(None, ProofGap::NothingToCount { message: message.clone() })]);
    }
    let needed = u32::from(needed);
    let mut missing = Vec::new();
    let mut seen = 0;
    for metric in &data.metrics {
        let (required, proof) = match metric.usage {
            MetricUse::Errors => (false, metric.points),
            MetricUse::Volume => (true, metric.above_zero),
            MetricUse::Measure => (true, metric.points),
            MetricUse::Foreign => (true, 0),
            MetricUse::Companion => (false, metric.above_zero),
        };
        match &metric.unreadable {
            // Without its error metrics, an alarm's `OK` has no known basis.
            Some(message) if metric.usage != MetricUse::Companion => {
                missing.push(gap(Some(metric), ProofGap::Unreadable { message: message.clone() }));
            }
            Some(_) => {}
            None => {
                seen = seen.max(proof);
                if required && metric.points < needed {
                    missing.push(gap(Some(metric), ProofGap::TooFewPoints { points: metric.points }));
                } else if metric.usage == MetricUse::Volume && metric.above_zero < needed {
                    missing.push(gap(Some(metric), ProofGap::NoRequests));
                }
            }
        }
    }
    if missing.is_empty() && seen < needed {
        let sparse = |metric: &&MetricData| metric.usage != MetricUse::Foreign;
        missing.extend(
            data.metrics
                .iter()
                .filter(sparse)
                .map(|metric| gap(Some(metric), ProofGap::TooFewPoints { points: metric.points })),
        );
    }
    if missing.is_empty() && seen >= needed { Ok(seen) } else { Err(missing) }
}

/// The number of seconds of data that an alarm needs to change its state; `None` if its periods are unknown.
#[must_use]
pub(super) fn evaluation_seconds(alarm: &Alarm) -> Option<u32> {
    let periods = alarm.condition.as_ref()?.evaluation_periods?;
    let longest = alarm.queries().iter().filter_map(|query| match &query.term {
        MetricTerm::Stat { period, .. } => Some(*period),
        MetricTerm::Expression { period, .. } => *period,
    });
    Some(longest.max()?.saturating_mul(periods))
}

/// The metric lines that the alarm evaluates, and all lines that they refer to.
fn evaluated(queries: &[MetricQuery]) -> Vec<&MetricQuery> {
    let mut open: Vec<&MetricQuery> = queries.iter().filter(|query| query.returns_data).collect();
    let mut seen = BTreeSet::new();
    let mut below = Vec::new();
    while let Some(query) = open.pop() {
        if !seen.insert(query.id.as_str()) {
            continue;
        }
        below.push(query);
        if let MetricTerm::Expression { expression, .. } = &query.term
            && !is_query(expression)
        {
            let words = words(expression);
            // `METRICS()` stands for every metric of the alarm.
            let all = words.iter().any(|word| word.eq_ignore_ascii_case("METRICS"));
            let named = |other: &&MetricQuery| {
                words.contains(&other.id.as_str()) || all && matches!(other.term, MetricTerm::Stat { .. })
            };
            open.extend(queries.iter().filter(named));
        }
    }
    below.sort_by(|one, other| one.id.cmp(&other.id));
    below
}

/// The words of an expression that can be ids or functions; quoted text is skipped.
fn words(expression: &str) -> Vec<&str> {
    let unquoted = expression.split(['"', '\'']).step_by(2);
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    unquoted.flat_map(|part| part.split(move |character| !word(character))).filter(|word| !word.is_empty()).collect()
}

/// Whether a line returns published data points: a metric, or a query over metrics.
fn is_published(query: &MetricQuery) -> bool {
    match &query.term {
        MetricTerm::Stat { .. } => true,
        MetricTerm::Expression { expression, .. } => is_query(expression),
    }
}

/// Whether an expression is a Metrics Insights query, which reads metrics instead of other lines.
fn is_query(expression: &str) -> bool {
    let start = expression.trim_start().to_ascii_uppercase();
    // A query inside an expression is part of a computation, which may fill gaps.
    ["SELECT ", "SELECT\n", "SELECT\t"].iter().any(|word| start.starts_with(word))
}

fn usage(query: &MetricQuery) -> MetricUse {
    let selected = selected_metric(query);
    let Some(MetricTerm::Stat { metric, .. }) = &selected else { return MetricUse::Measure };
    let name = metric.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    // A ratio of errors exists whenever there are requests.
    let is_ratio =
        metric.contains("Rate") || has(&["_rate", ".rate", "ratio", "percent", "_pct"]) || name.as_str() == "rate";
    if has(&ERROR_WORDS) && !is_ratio {
        MetricUse::Errors
    } else if has(&VOLUME_WORDS) && !is_ratio && !has(&["time", "duration", "latency"]) {
        MetricUse::Volume
    } else {
        MetricUse::Measure
    }
}

/// Words in the names of metrics that are published when an error occurs, and often only then.
const ERROR_WORDS: [&str; 17] = [
    "error",
    "5xx",
    "4xx",
    "fault",
    "fail",
    "timeout",
    "timed_out",
    "reset",
    "reject",
    "refus",
    "overflow",
    "eject",
    "denied",
    "unavailable",
    "retr",
    "throttl",
    "abort",
];

/// Words in the names of metrics that count requests, connections or bytes.
const VOLUME_WORDS: [&str; 9] = ["request", "rq_", "2xx", "3xx", "connection", "cx_", "bytes", "calls", "invocations"];

/// The request metrics that are published together with an error metric, with the same dimensions.
fn companions(errors: &MetricQuery) -> Vec<CountedMetric> {
    let selected = selected_metric(errors);
    let Some(MetricTerm::Stat { namespace, metric, dimensions, period, .. }) = &selected else { return Vec::new() };
    let names: Vec<(String, &str)> = if let Some((before, _)) = metric.split_once("upstream_rq") {
        vec![(format!("{before}upstream_rq_total"), "Sum"), (format!("{before}upstream_rq_completed"), "Sum")]
    } else if let Some((before, _)) = metric.split_once("upstream_cx") {
        vec![(format!("{before}upstream_cx_total"), "Sum")]
    } else if let Some((before, _)) = metric.split_once("downstream_rq") {
        vec![(format!("{before}downstream_rq_total"), "Sum"), (format!("{before}downstream_rq_completed"), "Sum")]
    } else {
        let (before, name) = metric.rsplit_once('.').map_or(("", metric.as_str()), |(before, name)| (before, name));
        let dot = if before.is_empty() { "" } else { "." };
        let of_target = name.contains("_Target_") && !namespace.starts_with("AWS/");
        let names: &[(&str, &str)] = if of_target {
            &[
                ("RequestCountPerTarget", "Sum"),
                ("HTTPCode_Target_2XX_Count", "Sum"),
                ("TargetResponseTime", "SampleCount"),
            ]
        } else {
            &[("RequestCount", "Sum"), ("GrpcRequestCount", "Sum")]
        };
        names.iter().map(|(name, stat)| (format!("{before}{dot}{name}"), *stat)).collect()
    };
    names
        .into_iter()
        .enumerate()
        .map(|(number, (name, stat))| CountedMetric {
            query: MetricQuery {
                id: format!("companion{number}"),
                term: MetricTerm::Stat {
                    namespace: namespace.clone(),
                    metric: name,
                    dimensions: dimensions.clone(),
                    period: *period,
                    stat: stat.to_owned(),
                    unit: None,
                },
                returns_data: true,
                account_id: errors.account_id.clone(),
            },
            usage: MetricUse::Companion,
        })
        .collect()
}

impl fmt::Display for MissingProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alarm, metric, account, why } = self;
        match metric {
            Some(metric) => write!(f, "metric {metric}")?,
            None => f.write_str("the alarm")?,
        }
        if let Some(account) = account {
            write!(f, " of account {account}")?;
        }
        match why {
            ProofGap::TooFewPoints { points: 0 } => f.write_str(" has no data")?,
            ProofGap::TooFewPoints { points } => write!(f, " has {points} data points")?,
            ProofGap::NoRequests => f.write_str(" reports no requests")?,
            ProofGap::Unreadable { message } => write!(f, " cannot be read: {message}")?,
            ProofGap::NothingToCount { message } => write!(f, " proves nothing: {message}")?,
        }
        write!(f, " (alarm {alarm})")
    }
}

#[cfg(test)]
mod tests;
