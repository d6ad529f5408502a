//! What an alarm has to be on before it may move traffic: random alarms and policies over one route.

use std::collections::BTreeMap;

use decisions::failover::Verdict;
use mesh::alarm::{
    Alarm, AlarmName, AlarmSource, AlarmState, Comparison, Condition, MetricQuery, MetricTerm, MissingData,
};
use proptest::prelude::*;

use crate::world::World;

/// Metrics that are on no list, and those on it.
const LOAD: [&str; 8] = [
    "ActiveConnectionCount",
    "NewConnectionCount",
    "ProcessedBytes",
    "TargetProcessedBytes",
    "CPUUtilization",
    "HTTPCode_Target_4XX_Count",
    "envoy_cluster_upstream_cx_active",
    "QueueDepth",
];
const FAILURES: [&str; 4] =
    ["HTTPCode_Target_5XX_Count", "TargetResponseTime", "envoy_cluster_upstream_rq_5xx", "UnHealthyHostCount"];

/// Sets of dimensions without a target for an outbound metric, and one with it.
const NO_TARGET: [&[(&str, &str)]; 9] = [
    &[],
    &[("Mesh", "shop")],
    &[("TargetVirtualNode", "v1")],
    &[("VirtualNode", "v1")],
    &[("VirtualNode", "v2"), ("TargetVirtualNode", "v1")],
    &[("Mesh", "shop"), ("TargetVirtualService", "recs.local")],
    &[("Mesh", "shop"), ("VirtualNode", "v1"), ("TargetVirtualService", "recs.local")],
    &[("Mesh", "shop"), ("VirtualGateway", "v1")],
    &[("Service", "v1"), ("Region", "eu-west-1")],
];
const TARGET: &[(&str, &str)] = &[("Mesh", "shop"), ("VirtualNode", "front"), ("TargetVirtualNode", "v1")];

/// Policies that bind nothing and tag nothing.
const POLICIES: [&str; 4] = [
    "",
    "failureMetrics: {add: [{metric: OwnMetric}]}",
    "callerDisagreement: act",
    "failureMetrics: {remove: [TargetResponseTime]}",
];

fn expression() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("m1"),
        Just("100 * m1 / m2"),
        Just("m1 + m2"),
        Just("100 - 100 * m1 / m2"),
        Just("IF(m2 > 10, m1, 0)"),
        Just("FILL(m1, 0)"),
        Just("MAX(METRICS())"),
        Just("m1 +"),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::GreaterThanThreshold),
        Just(Comparison::LessThanThreshold),
        Just(Comparison::LessThanLowerOrGreaterThanUpperThreshold),
        Just(Comparison::Unrecognised("Near".to_owned())),
    ]
}

fn stat(id: &str, metric: &str, dimensions: &[(&str, &str)], returns_data: bool) -> MetricQuery {
    let dimensions: BTreeMap<String, String> =
        dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (namespace, metric, stat) = ("AppMesh".to_owned(), metric.to_owned(), "Sum".to_owned());
    let term = MetricTerm::Stat { namespace, metric, dimensions, period: 60, stat, unit: None };
    MetricQuery { returns_data, ..MetricQuery::new(id, term) }
}

fn alarm(queries: Vec<MetricQuery>, comparison: Comparison) -> Alarm {
    let condition = Condition {
        comparison,
        threshold: Some(1.0),
        band: None,
        evaluation_periods: Some(1),
        datapoints_to_alarm: None,
        missing_data: MissingData::Missing,
    };
    let (name, source) = (AlarmName::parse("a").unwrap(), AlarmSource::Metric(queries));
    Alarm { condition: Some(condition), ..Alarm::new(name, "arn:a", AlarmState::Alarm, source) }
}

/// Whether the alarm, and a composite alarm over it, lead to a plan.
fn plans(mut alarm: Alarm, policy: &str) -> bool {
    let mut world = World::new(
        &["recs v1:50 v2:50"],
        &format!("targets: [{{mesh: shop, virtualNode: v2, assumeReady: true}}]\n{policy}"),
    );
    alarm.since = Some(world.now);
    let rule = AlarmSource::Composite("ALARM(a)".to_owned());
    let parent = Alarm::new(AlarmName::parse("p").unwrap(), "arn:p", AlarmState::Alarm, rule);
    for alarm in [alarm, parent] {
        world.alarms.insert(alarm.name.clone(), alarm);
    }
    world.decisions().iter().any(|decision| matches!(decision.verdict, Verdict::Act(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn alarm_on_a_metric_outside_the_list_never_leads_to_a_plan(
        metrics in prop::collection::vec(prop::sample::select(&LOAD[..]), 2),
        expression in expression(),
        comparison in comparison(),
        is_math in any::<bool>(),
        policy in prop::sample::select(&POLICIES[..]),
    ) {
        let mut queries = vec![stat("m1", metrics[0], TARGET, !is_math), stat("m2", metrics[1], TARGET, false)];
        if is_math {
            let term = MetricTerm::Expression { expression: expression.to_owned(), period: None };
            queries.push(MetricQuery::new("e1", term));
        }
        prop_assert!(!plans(alarm(queries, comparison), policy));
    }

    #[test]
    fn dimensions_without_a_target_never_lead_to_a_plan(
        metric in prop::sample::select(&["HTTPCode_Target_5XX_Count", "TargetResponseTime", "upstream_rq_timeout"][..]),
        dimensions in prop::sample::select(&NO_TARGET[..]),
        expression in expression(),
        comparison in comparison(),
        policy in prop::sample::select(&POLICIES[..]),
    ) {
        let term = MetricTerm::Expression { expression: expression.to_owned(), period: None };
        let queries = vec![
            stat("m1", metric, dimensions, false),
            stat("m2", "RequestCountPerTarget", dimensions, false),
            MetricQuery::new("e1", term),
        ];
        prop_assert!(!plans(alarm(queries, comparison), policy));
    }

    /// The counterpart: without it, the properties above would hold of a function that never acts.
    #[test]
    fn alarm_on_a_failure_metric_of_a_target_leads_to_a_plan(metric in prop::sample::select(&FAILURES[..])) {
        let queries = vec![stat("m1", metric, TARGET, true)];
        prop_assert!(plans(alarm(queries, Comparison::GreaterThanThreshold), ""));
    }
}
