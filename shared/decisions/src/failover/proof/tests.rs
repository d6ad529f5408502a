use std::collections::BTreeMap;

use super::*;
use crate::failover::fixtures::{alarm, composite, node};
use mesh::alarm::{AlarmState, Comparison, Condition, MissingData, metric_name};
use mesh::name::MeshName;
use policy::AlarmDiscovery;

fn stat(id: &str, metric: &str, of: &str) -> MetricQuery {
    MetricQuery {
        id: id.to_owned(),
        term: MetricTerm::Stat {
            namespace: "AppMesh".to_owned(),
            metric: metric.to_owned(),
            dimensions: BTreeMap::from([("VirtualNode".to_owned(), of.to_owned())]),
            period: 60,
            stat: "Sum".to_owned(),
            unit: None,
        },
        returns_data: false,
        account_id: None,
    }
}

fn math(id: &str, expression: &str) -> MetricQuery {
    MetricQuery {
        id: id.to_owned(),
        term: MetricTerm::Expression { expression: expression.to_owned(), period: None },
        returns_data: true,
        account_id: None,
    }
}

fn on(queries: Vec<MetricQuery>) -> Alarm {
    Alarm { source: AlarmSource::Metric(queries), ..alarm("a", AlarmState::Ok) }
}

fn of_v1(alarm: &Alarm) -> Result<Vec<CountedMetric>, String> {
    let (mesh, node) = (MeshName::parse("shop").unwrap(), node("v1"));
    counted_metrics(alarm, &[], &ProofTarget { mesh: &mesh, node: &node, discovery: &AlarmDiscovery::default() })
}

fn single(query: MetricQuery) -> Alarm {
    on(vec![MetricQuery { returns_data: true, ..query }])
}

/// The metrics that are counted for node v1, as `name role`.
fn counted(alarm: &Alarm) -> Vec<String> {
    let metrics = of_v1(alarm).unwrap();
    let name = |metric: &CountedMetric| metric_name(&metric.query).replace("AppMesh/", "");
    metrics
        .iter()
        .filter(|metric| metric.usage != MetricUse::Companion)
        .map(|metric| format!("{} {:?}", name(metric), metric.usage))
        .collect()
}

#[test]
fn published_metrics_are_counted_and_values_generated_by_expressions_are_not() {
    let errors = || stat("m1", "Errors", "v1");
    let requests = || stat("m2", "RequestCount", "v1");
    let latency = || stat("m3", "TargetResponseTime", "v1");
    let cases: Vec<(&str, Vec<MetricQuery>, Vec<&str>)> = vec![
        ("filled", vec![math("e1", "FILL(m1,0)"), errors()], vec!["Errors Errors"]),
        ("filled in a condition", vec![math("e1", "IF(FILL(m1,0) > 5, 1, 0)"), errors()], vec!["Errors Errors"]),
        ("filled with the last value", vec![math("e1", "FILL(m1, REPEAT)"), errors()], vec!["Errors Errors"]),
        ("ratio", vec![math("e1", "100*m1/m2"), errors(), requests()], vec!["Errors Errors", "RequestCount Volume"]),
        (
            "ratio through other lines",
            vec![
                math("e3", "e1/e2"),
                MetricQuery { returns_data: false, ..math("e1", "FILL(m1, 0)") },
                MetricQuery { returns_data: false, ..math("e2", "FILL(m2, 1)") },
                errors(),
                requests(),
            ],
            vec!["Errors Errors", "RequestCount Volume"],
        ),
        (
            "a line that is not evaluated",
            vec![math("e1", "m3 * 2"), latency(), requests()],
            vec!["TargetResponseTime Measure"],
        ),
        (
            "a quoted name",
            vec![math("e1", "m3 + METRIC_COUNT(\"m2\")"), latency(), requests()],
            vec!["TargetResponseTime Measure"],
        ),
        (
            "all metrics",
            vec![math("e1", "SUM(METRICS())"), errors(), requests()],
            vec!["Errors Errors", "RequestCount Volume"],
        ),
        (
            "a band and its metric",
            vec![math("ad1", "ANOMALY_DETECTION_BAND(m3, 2)"), MetricQuery { returns_data: true, ..latency() }],
            vec!["TargetResponseTime Measure"],
        ),
        (
            "of another resource",
            vec![math("e1", "m1/m4"), errors(), stat("m4", "RequestCount", "gateway")],
            vec!["Errors Errors", "RequestCount Foreign"],
        ),
        (
            "a circle",
            vec![math("e1", "e2+m1"), MetricQuery { returns_data: false, ..math("e2", "e1") }, errors()],
            vec!["Errors Errors"],
        ),
        (
            "a query",
            vec![math("q1", "SELECT SUM(Errors) FROM AppMesh WHERE VirtualNode = 'v1'")],
            vec!["SELECT SUM(Errors) FROM AppMesh WHERE VirtualNode = 'v1' Errors"],
        ),
        (
            "a query of another form",
            vec![math("q1", "SELECT SUM(Errors) FROM AppMesh WHERE VirtualNode != 'v2'")],
            vec!["SELECT SUM(Errors) FROM AppMesh WHERE VirtualNode != 'v2' Measure"],
        ),
        (
            "no line names the node",
            vec![math("e1", "m5+m6"), stat("m5", "Latency", "x"), stat("m6", "Fault", "y")],
            vec!["Latency Measure", "Fault Errors"],
        ),
    ];
    for (name, queries, expected) in cases {
        assert_eq!(counted(&on(queries)), expected, "{name}");
    }
}

#[test]
fn composite_alarm_counts_the_metrics_of_all_alarms_below_it() {
    let alarm_on = |name: &str, query| Alarm { name: AlarmName::parse(name).unwrap(), ..single(query) };
    let rule = |name: &str, rule: &str| composite(name, AlarmState::Ok, rule);
    let alarms = [
        alarm_on("errors", stat("m1", "Errors", "balancer")),
        alarm_on("latency", stat("m1", "TargetResponseTime", "balancer")),
        alarm_on("other", stat("m1", "RequestCount", "balancer")),
        rule("middle", "ALARM(latency) OR ALARM(top)"),
    ];
    let (mesh, node) = (MeshName::parse("shop").unwrap(), node("v1"));
    let target = ProofTarget { mesh: &mesh, node: &node, discovery: &AlarmDiscovery::default() };
    let count = |alarm: &Alarm| counted_metrics(alarm, &alarms, &target);
    let metrics = count(&rule("top", "ALARM(errors) OR ALARM(middle)")).unwrap();
    let counted: Vec<String> = metrics
        .iter()
        .filter(|metric| metric.usage != MetricUse::Companion)
        .map(|metric| metric_name(&metric.query))
        .collect();
    assert_eq!(counted, ["AppMesh/Errors", "AppMesh/TargetResponseTime"]);
    assert!(count(&rule("top", "ALARM(gone)")).is_err());
}

#[test]
fn metric_keeps_the_account_that_holds_it() {
    let elsewhere = MetricQuery { account_id: Some("210987654321".to_owned()), ..stat("m1", "Errors", "v1") };
    let metrics = of_v1(&single(elsewhere)).unwrap();
    assert!(metrics.len() > 1, "its companions too");
    for metric in metrics {
        assert_eq!(metric.query.account_id.as_deref(), Some("210987654321"), "{metric:?}");
    }
}

#[test]
fn role_of_a_metric_follows_from_its_name() {
    for (metric, expected) in [
        ("HTTPCode_Target_5XX_Count", MetricUse::Errors),
        ("envoy_cluster_upstream_rq_timeout", MetricUse::Errors),
        ("upstream_cx_connect_fail", MetricUse::Errors),
        ("ErrorRate", MetricUse::Measure),
        ("error_ratio", MetricUse::Measure),
        ("RequestCountPerTarget", MetricUse::Volume),
        ("upstream_rq_total", MetricUse::Volume),
        ("HTTPCode_Target_2XX_Count", MetricUse::Volume),
        ("upstream_rq_time", MetricUse::Measure),
        ("http.server.request.duration", MetricUse::Measure),
        ("TargetResponseTime", MetricUse::Measure),
        ("HealthyHostCount", MetricUse::Measure),
        ("p99", MetricUse::Measure),
    ] {
        assert_eq!(usage(&stat("m1", metric, "v1")), expected, "{metric}");
    }
}

#[test]
fn alarm_on_errors_alone_is_proven_by_the_requests_next_to_them() {
    for (errors, companions) in [
        ("HTTPCode_Target_5XX_Count", vec!["RequestCountPerTarget", "HTTPCode_Target_2XX_Count", "TargetResponseTime"]),
        (
            "envoy.appmesh.HTTPCode_Target_5XX_Count",
            vec![
                "envoy.appmesh.RequestCountPerTarget",
                "envoy.appmesh.HTTPCode_Target_2XX_Count",
                "envoy.appmesh.TargetResponseTime",
            ],
        ),
        (
            "envoy_cluster_upstream_rq_5xx",
            vec!["envoy_cluster_upstream_rq_total", "envoy_cluster_upstream_rq_completed"],
        ),
        ("upstream_cx_connect_fail", vec!["upstream_cx_total"]),
        ("Errors", vec!["RequestCount", "GrpcRequestCount"]),
        // It has data whenever there are requests.
        ("TargetResponseTime", vec![]),
    ] {
        let metrics = of_v1(&single(stat("m1", errors, "v1"))).unwrap();
        let found: Vec<String> = metrics
            .iter()
            .filter(|metric| metric.usage == MetricUse::Companion)
            .map(|metric| metric_name(&metric.query).replace("AppMesh/", ""))
            .collect();
        assert_eq!(found, companions, "{errors}");
    }
}

#[test]
fn query_for_errors_alone_is_proven_by_the_requests_of_its_node() {
    let query = "SELECT SUM(Errors) FROM AppMesh WHERE Zone = 'a' GROUP BY Mesh, VirtualNode";
    let metrics = of_v1(&on(vec![math("q1", query)])).unwrap();
    let companion = metrics.iter().find(|metric| metric.usage == MetricUse::Companion).unwrap();
    let MetricTerm::Stat { metric, dimensions, .. } = &companion.query.term else { panic!("{companion:?}") };
    let dimensions: Vec<String> = dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!((metric.as_str(), dimensions.join(" ").as_str()), ("RequestCount", "Mesh=shop VirtualNode=v1 Zone=a"));
}

#[test]
fn alarm_without_a_metric_says_so() {
    for (source, expected) in [
        (AlarmSource::Composite("ALARM(b)".to_owned()), "composite"),
        (AlarmSource::Unreadable("no metric".to_owned()), "no metric"),
        (AlarmSource::Metric(vec![math("e1", "TIME_SERIES(5)")]), "uses no metric"),
    ] {
        let why = of_v1(&Alarm { source, ..alarm("a", AlarmState::Ok) }).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

fn data(usage: MetricUse, points: u32, above_zero: u32) -> MetricData {
    MetricData { metric: format!("{usage:?}"), account: None, usage, points, above_zero, unreadable: None }
}

/// The data points that prove health, or the metrics that lack them.
type Proof = Result<u32, Vec<&'static str>>;

#[test]
fn proof_needs_data_of_every_required_metric() {
    use MetricUse::{Companion, Errors, Foreign, Measure, Volume};
    let denied = |usage| MetricData { unreadable: Some("forbidden".to_owned()), ..data(usage, 0, 0) };
    // metrics, data points needed -> data points that prove requests, or the metrics that lack data
    let cases: Vec<(Vec<MetricData>, u16, Proof)> = vec![
        (vec![data(Measure, 2, 2)], 1, Ok(2)),
        (vec![data(Measure, 0, 0)], 1, Err(vec!["Measure"])),
        (vec![data(Measure, 2, 0)], 2, Ok(2)),
        (vec![data(Measure, 1, 1)], 2, Err(vec!["Measure"])),
        // A ratio of a healthy node: no errors, but requests.
        (vec![data(Errors, 0, 0), data(Volume, 3, 3)], 1, Ok(3)),
        (vec![data(Errors, 3, 0), data(Volume, 0, 0)], 1, Err(vec!["Volume"])),
        // A metric that is published as zero while there are no requests.
        (vec![data(Errors, 0, 0), data(Volume, 3, 0)], 1, Err(vec!["Volume"])),
        // Two metrics with a data point each are not two data points.
        (vec![data(Errors, 1, 1), data(Errors, 1, 1)], 2, Err(vec!["Errors", "Errors"])),
        (vec![data(Errors, 2, 0)], 2, Ok(2)),
        (vec![data(Errors, 0, 0), data(Companion, 0, 0)], 1, Err(vec!["Errors", "Companion"])),
        (vec![data(Errors, 0, 0), data(Companion, 5, 0)], 1, Err(vec!["Errors", "Companion"])),
        (vec![data(Errors, 0, 0), data(Companion, 5, 5), data(Companion, 0, 0)], 1, Ok(5)),
        (vec![data(Errors, 0, 0), data(Foreign, 9, 9)], 1, Err(vec!["Errors"])),
        (vec![data(Errors, 1, 0), data(Foreign, 0, 0)], 1, Err(vec!["Foreign"])),
        (vec![denied(Errors), data(Volume, 3, 3)], 1, Err(vec!["Errors"])),
        (vec![data(Errors, 0, 0), denied(Volume)], 1, Err(vec!["Volume"])),
        (vec![data(Errors, 1, 0), denied(Companion)], 1, Ok(1)),
        (vec![], 1, Err(vec![])),
    ];
    for (metrics, needed, expected) in cases {
        let data = AlarmData { alarm: AlarmName::parse("a").unwrap(), metrics, unreadable: None };
        let found = proven(&data, needed)
            .map_err(|missing| missing.into_iter().filter_map(|gap| gap.metric).collect::<Vec<_>>());
        let expected = expected.map_err(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found, expected, "{data:?}, {needed} needed");
    }
}

#[test]
fn missing_permission_is_named() {
    let metric = MetricData {
        account: Some("210987654321".to_owned()),
        unreadable: Some("forbidden".to_owned()),
        ..data(MetricUse::Volume, 0, 0)
    };
    let data = AlarmData { alarm: AlarmName::parse("a").unwrap(), metrics: vec![metric], unreadable: None };
    let missing = proven(&data, 1).unwrap_err();
    assert_eq!(missing[0].to_string(), "metric Volume of account 210987654321 cannot be read: forbidden (alarm a)");
}

#[test]
fn alarms_that_cannot_clear_without_requests() {
    let condition = |missing_data, comparison, threshold| {
        Some(Condition {
            comparison,
            threshold: Some(threshold),
            band: None,
            evaluation_periods: Some(3),
            datapoints_to_alarm: None,
            missing_data,
        })
    };
    let metric = || single(stat("m1", "Errors", "v1"));
    let filled = |expression: &str| on(vec![math("e1", expression), stat("m1", "Errors", "v1")]);
    let above = |missing| condition(missing, Comparison::GreaterThanThreshold, 5.0);
    let below = |missing| condition(missing, Comparison::LessThanThreshold, 5.0);
    let cases = [
        (metric(), above(MissingData::Ignore), Some("keeps its state")),
        (metric(), above(MissingData::Breaching), Some("breaches it")),
        (metric(), above(MissingData::Missing), None),
        (metric(), above(MissingData::NotBreaching), None),
        (metric(), above(MissingData::Unrecognised("new".to_owned())), None),
        (metric(), None, None),
        // A filled line is never missing.
        (filled("FILL(m1, 0)"), above(MissingData::Breaching), None),
        (filled("FILL(m1, 0)"), below(MissingData::NotBreaching), Some("fills gaps")),
        (filled("fill(m1, repeat)"), above(MissingData::NotBreaching), Some("fills gaps")),
        (filled("FILL(RATE(m1), 9)"), above(MissingData::NotBreaching), Some("fills gaps")),
        (filled("FILL(m1, LINEAR)"), above(MissingData::NotBreaching), None),
        (filled("m1 * 2"), above(MissingData::Ignore), Some("keeps its state")),
        // A line without fill leaves the whole expression without a value.
        (filled("FILL(m1, 0) / m1"), above(MissingData::Ignore), Some("keeps its state")),
        (filled("IF(m1 > 5, FILL(m1, 0), 0)"), above(MissingData::Breaching), Some("breaches it")),
        (filled("100 * FILL(m1 / m1, 0)"), above(MissingData::Breaching), None),
    ];
    for (alarm, condition, expected) in cases {
        let alarm = Alarm { condition, ..alarm };
        let found = stuck_in_alarm(&alarm).map(|stuck| stuck.to_string());
        match expected {
            Some(part) => assert!(found.as_deref().is_some_and(|text| text.contains(part)), "{found:?}: {alarm:?}"),
            None => assert_eq!(found, None, "{alarm:?}"),
        }
    }
    let alarm = Alarm { condition: above(MissingData::Ignore), ..metric() };
    assert_eq!(evaluation_seconds(&alarm), Some(180));
}
