//! The targets of alarms on metrics, metric math, anomaly detection bands, Metrics Insights and PromQL.

use std::collections::{BTreeMap, BTreeSet};

use super::dimensions::{self, NamedTarget};
use super::unmapped::side;
use super::{ReportedTarget, Unmapped};
use crate::failover::failure_metric::{FailureEntry, Usage, failure, matchers};
use crate::failover::label;
use mesh::alarm::{
    Alarm, AlarmSource, AlarmState, Comparison, Condition, Contributor, Direction, Formula, LabelMatcher, MetricQuery,
    MetricTerm, StateTest,
};
use mesh::name::MeshName;
use policy::{AlarmRole, FailoverPolicy};

/// The maximum depth to which metric math is followed. CloudWatch permits no cycles.
const MAX_DEPTH: usize = 16;

/// A metric that the alarm's value depends on.
#[derive(Debug)]
struct MeasuredMetric {
    namespace: String,
    metric: String,
    stat: String,
    labels: Vec<LabelMatcher>,
    /// The dimensions, or the labels that a matcher fixes to one value.
    dimensions: BTreeMap<String, String>,
    direction: Direction,
    counts_itself: bool,
}

impl MeasuredMetric {
    fn failure(&self, policy: &FailoverPolicy) -> Option<FailureEntry> {
        let usage = Usage {
            namespace: &self.namespace,
            metric: &self.metric,
            stat: &self.stat,
            labels: self.labels.clone(),
            direction: self.direction,
            is_measured: self.counts_itself,
        };
        failure(&usage, &policy.failure_metrics)
    }
}

/// All metrics of an alarm, and the labels by which its series are grouped.
#[derive(Debug, Default)]
struct AlarmMetrics {
    metrics: Vec<MeasuredMetric>,
    grouping: Option<Vec<String>>,
}

/// The targets of an alarm in a given state.
pub(super) fn targets(
    alarm: &Alarm,
    state: StateTest,
    policy: &FailoverPolicy,
) -> Result<Vec<ReportedTarget>, Unmapped> {
    let sources = sources(alarm, state).ok_or_else(|| Unmapped::Unreadable {
        why: "its expression has a form that this version does not know".to_owned(),
    })?;
    if alarm.has_contributors() {
        by_contributors(alarm, &sources, policy)
    } else {
        by_metrics(alarm, &sources, policy)
    }
}

/// The meshes with nodes that are the series of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FleetMesh {
    /// The nodes of this mesh.
    One(MeshName),
    /// The nodes of any mesh; the series name the mesh, too.
    Any,
}

impl FleetMesh {
    pub(super) fn includes(&self, mesh: &MeshName) -> bool {
        match self {
            Self::One(of) => of == mesh,
            Self::Any => true,
        }
    }
}

/// The meshes with nodes that are the series of an alarm; `None` if the alarm does not have a series for each node.
pub(super) fn fleet_mesh(alarm: &Alarm, policy: &FailoverPolicy) -> Option<FleetMesh> {
    if !alarm.has_contributors() {
        return None;
    }
    let sources = sources(alarm, StateTest::Alarm)?;
    let failing = sources.metrics.iter().find(|metric| metric.failure(policy).is_some())?;
    let discovery = &policy.discovery;
    let grouping = sources.grouping.as_ref()?;
    let is_grouped = |dimension: &str| grouping.iter().any(|found| label::plain(found) == label::plain(dimension));
    if !is_grouped(&discovery.target_virtual_node_dimension) && !is_grouped(&discovery.virtual_node_dimension) {
        return None;
    }
    match label::value(&failing.dimensions, &discovery.mesh_dimension) {
        Some(mesh) => Some(FleetMesh::One(MeshName::parse(mesh).ok()?)),
        None if is_grouped(&discovery.mesh_dimension) => Some(FleetMesh::Any),
        None => Some(FleetMesh::One(discovery.mesh.clone()?)),
    }
}

fn by_metrics(alarm: &Alarm, sources: &AlarmMetrics, policy: &FailoverPolicy) -> Result<Vec<ReportedTarget>, Unmapped> {
    let mut found: Vec<NamedTarget> = Vec::new();
    let mut missing: Option<Unmapped> = None;
    for metric in &sources.metrics {
        match dimensions::named(&metric.metric, &metric.dimensions, &policy.discovery) {
            Ok(named) => found.push(named),
            Err(Unmapped::NamesNoTarget) => {}
            Err(reason) => drop(missing.get_or_insert(reason)),
        }
    }
    let failure = sources.metrics.iter().find_map(|metric| metric.failure(policy));
    // An alarm on load drains no node, so it does not matter which resources its metrics name.
    if failure.is_none() && (missing.is_some() || !found.is_empty()) {
        return Err(not_a_failure(alarm, sources));
    }
    let targets: BTreeSet<_> = found.iter().map(|named| (&named.mesh, &named.node)).collect();
    if targets.len() > 1 {
        return Err(Unmapped::NamesSeveral { nodes: targets.into_iter().map(|(_, node)| node.clone()).collect() });
    }
    let (Some(named), Some(failure)) = (found.first(), failure) else {
        return Err(missing.unwrap_or(Unmapped::NamesNoTarget));
    };
    // Metrics of several callers in one expression measure all of them.
    let callers: BTreeSet<_> = found.iter().filter_map(|named| named.caller.as_ref()).collect();
    let caller = if callers.len() == 1 { callers.first().map(|caller| (*caller).clone()) } else { None };
    Ok(vec![reported(NamedTarget { caller, ..named.clone() }, failure, None)])
}

fn by_contributors(
    alarm: &Alarm,
    sources: &AlarmMetrics,
    policy: &FailoverPolicy,
) -> Result<Vec<ReportedTarget>, Unmapped> {
    let failing = sources.metrics.iter().find_map(|metric| Some((metric, metric.failure(policy)?)));
    let Some((metric, failure)) = failing else { return Err(not_a_failure(alarm, sources)) };
    // A query that fixes its target has one series, regardless of the contributors.
    if let Ok(named) = dimensions::named(&metric.metric, &metric.dimensions, &policy.discovery) {
        return Ok(vec![reported(named, failure, None)]);
    }
    let contributors: &[Contributor] = match (&alarm.contributors, &alarm.state) {
        (Some(contributors), AlarmState::Alarm) => contributors,
        (None, AlarmState::Alarm) => return Err(Unmapped::ContributorsUnread),
        (_, AlarmState::Ok | AlarmState::InsufficientData | AlarmState::Unrecognised(_)) => &[],
    };
    let mut targets = Vec::new();
    let mut missing = None;
    for contributor in contributors {
        let mut labels = contributor.attributes.clone();
        for (label, value) in &metric.dimensions {
            labels.entry(label.clone()).or_insert_with(|| value.clone());
        }
        match dimensions::named(&metric.metric, &labels, &policy.discovery) {
            Ok(named) => targets.push(reported(named, failure.clone(), contributor.since)),
            Err(reason) => drop(missing.get_or_insert(reason)),
        }
    }
    targets.sort_by(|one, other| (&one.mesh, &one.node, one.since).cmp(&(&other.mesh, &other.node, other.since)));
    // With several series for one node, one for each caller, the node fails since the first of them.
    targets.dedup_by(|later, first| {
        let is_same = later.mesh == first.mesh && later.node == first.node;
        if is_same && later.caller != first.caller {
            first.caller = None;
        }
        is_same
    });
    if !targets.is_empty() {
        return Ok(targets);
    }
    match (missing, alarm.state == AlarmState::Alarm) {
        (Some(reason), _) => Err(reason),
        (None, true) => Err(Unmapped::ContributorsUnread),
        // No series breaches, so no node is named yet.
        (None, false) if fleet_mesh(alarm, policy).is_some() => Ok(Vec::new()),
        (None, false) => Err(Unmapped::NamesNoTarget),
    }
}

fn reported(named: NamedTarget, failure: FailureEntry, since: Option<jiff::Timestamp>) -> ReportedTarget {
    let NamedTarget { mesh, node, rule, caller } = named;
    ReportedTarget { mesh, node, role: AlarmRole::Request, rule, failure: Some(failure), caller, since }
}

fn not_a_failure(alarm: &Alarm, sources: &AlarmMetrics) -> Unmapped {
    let metrics: BTreeSet<&str> = sources.metrics.iter().map(|metric| metric.metric.as_str()).collect();
    Unmapped::NotAFailureMetric {
        metrics: metrics.into_iter().map(str::to_owned).collect(),
        breach: side(direction(alarm)),
    }
}

/// The side on which the alarm's value breaches.
fn direction(alarm: &Alarm) -> Direction {
    // Older recordings lack the condition; nearly all alarms have an upper threshold.
    let Some(condition) = &alarm.condition else { return Direction::Above };
    match &condition.comparison {
        Comparison::GreaterThanOrEqualToThreshold
        | Comparison::GreaterThanThreshold
        | Comparison::GreaterThanUpperThreshold => Direction::Above,
        Comparison::LessThanThreshold | Comparison::LessThanOrEqualToThreshold | Comparison::LessThanLowerThreshold => {
            Direction::Below
        }
        Comparison::LessThanLowerOrGreaterThanUpperThreshold => breached_side(alarm),
        Comparison::Unrecognised(_) => Direction::Either,
    }
}

/// The side of an anomaly band on which the newest data point was, from CloudWatch's reason for the state.
fn breached_side(alarm: &Alarm) -> Direction {
    let data = alarm.state_reason_data.as_deref().and_then(|data| serde_json::from_str(data).ok());
    let data: serde_json::Value = data.unwrap_or_default();
    let newest = |member: &str| data.get(member)?.as_array()?.first()?.as_f64();
    match (newest("recentDatapoints"), newest("recentLowerThresholds"), newest("recentUpperThresholds")) {
        (Some(value), _, Some(upper)) if value > upper => Direction::Above,
        (Some(value), Some(lower), _) if value < lower => Direction::Below,
        _ => Direction::Either,
    }
}

fn sources(alarm: &Alarm, state: StateTest) -> Option<AlarmMetrics> {
    let direction = match state {
        StateTest::Alarm => direction(alarm),
        StateTest::Ok => direction(alarm).flipped(),
        // Missing data counts as the lowest value.
        StateTest::InsufficientData => Direction::Below,
    };
    match &alarm.source {
        AlarmSource::PromQl(promql) => {
            let formula = Formula::read(&promql.query, direction)?;
            let metrics = formula.uses.iter().map(|found| selector(found, "")).collect();
            Some(AlarmMetrics { metrics, grouping: formula.grouping })
        }
        AlarmSource::Metric(queries) => {
            let mut sources = AlarmMetrics::default();
            let mut lines = MetricLines { queries, sources: &mut sources };
            for query in queries.iter().filter(|query| query.returns_data && !is_band(query, alarm.condition.as_ref()))
            {
                lines.follow(query, direction, true, MAX_DEPTH)?;
            }
            Some(sources)
        }
        AlarmSource::Composite(_) | AlarmSource::Unreadable(_) => None,
    }
}

/// Whether a line is the band of an anomaly alarm, which is its threshold, not its metric.
fn is_band(query: &MetricQuery, condition: Option<&Condition>) -> bool {
    let is_bound = condition.is_some_and(|condition| condition.band.as_ref() == Some(&query.id));
    is_bound
        || matches!(&query.term, MetricTerm::Expression { expression, .. }
            if expression.to_ascii_uppercase().contains("ANOMALY_DETECTION_BAND"))
}

struct MetricLines<'a> {
    queries: &'a [MetricQuery],
    sources: &'a mut AlarmMetrics,
}

impl MetricLines<'_> {
    fn follow(&mut self, query: &MetricQuery, direction: Direction, is_measured: bool, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match &query.term {
            MetricTerm::Stat { namespace, metric, dimensions, stat, .. } => self.sources.metrics.push(MeasuredMetric {
                namespace: namespace.clone(),
                metric: metric.clone(),
                stat: stat.clone(),
                labels: matchers(dimensions),
                dimensions: dimensions.clone(),
                direction,
                counts_itself: is_measured,
            }),
            MetricTerm::Expression { expression, .. } => {
                let formula = Formula::read(expression, direction)?;
                if self.sources.grouping.is_none() {
                    self.sources.grouping.clone_from(&formula.grouping);
                }
                for found in &formula.uses {
                    let is_measured = is_measured && found.is_measured;
                    let is_meant = |line: &&MetricQuery| {
                        let is_stat = matches!(line.term, MetricTerm::Stat { .. });
                        line.id == found.name || (found.name == "METRICS()" && is_stat)
                    };
                    let lines: Vec<&MetricQuery> = self.queries.iter().filter(is_meant).collect();
                    if let Some(namespace) = &formula.namespace {
                        self.sources.metrics.push(selector(found, namespace));
                    }
                    for line in lines {
                        self.follow(line, found.direction, is_measured, depth)?;
                    }
                }
            }
        }
        Some(())
    }
}

/// A metric that a query selects by labels.
fn selector(found: &mesh::alarm::ExpressionOperand, namespace: &str) -> MeasuredMetric {
    let fixed = found.labels.iter().filter(|matcher| matcher.operator == "=");
    MeasuredMetric {
        namespace: namespace.to_owned(),
        metric: found.name.clone(),
        stat: String::new(),
        labels: found.labels.clone(),
        dimensions: fixed.map(|matcher| (matcher.label.clone(), matcher.value.clone())).collect(),
        direction: found.direction,
        counts_itself: found.is_measured,
    }
}
