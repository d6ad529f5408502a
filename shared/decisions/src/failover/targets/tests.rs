mod composites;

use super::*;
use crate::failover::fixtures::{alarm, at, composite, node, on_node, policy};
use mesh::alarm::{Comparison, Condition, Contributor, MetricQuery, MetricTerm, MissingData, PromQlQuery, Suppressor};

type Dimensions<'a> = &'a [(&'a str, &'a str)];

fn tagged(tags: &[(&str, Dimensions<'_>)]) -> AlarmTags {
    let owned = |tags: &Dimensions<'_>| tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    tags.iter().map(|(alarm, tags)| (AlarmName::parse(alarm).unwrap(), owned(tags))).collect()
}

fn reporting(alarms: &[Alarm], tags: &[(&str, Dimensions<'_>)], policy_text: &str, of: &str) -> Vec<String> {
    let targets = alarm_targets(alarms, &tagged(tags), &policy(policy_text).failover, at(0));
    let shop = MeshName::parse("shop").unwrap();
    targets.alarms_of(&shop, &node(of)).iter().map(|alarm| alarm.name.to_string()).collect()
}

fn stat(metric: &str, dimensions: Dimensions<'_>) -> MetricTerm {
    MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: metric.to_owned(),
        dimensions: dimensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    }
}

fn line(id: &str, metric: &str, dimensions: Dimensions<'_>) -> MetricQuery {
    MetricQuery { returns_data: false, ..MetricQuery::new(id, stat(metric, dimensions)) }
}

fn math(id: &str, expression: &str) -> MetricQuery {
    MetricQuery::new(id, MetricTerm::Expression { expression: expression.to_owned(), period: None })
}

fn condition(comparison: Comparison) -> Condition {
    Condition {
        comparison,
        threshold: Some(1.0),
        band: None,
        evaluation_periods: Some(1),
        datapoints_to_alarm: None,
        missing_data: MissingData::Missing,
    }
}

fn on(queries: Vec<MetricQuery>, comparison: Comparison) -> Alarm {
    let source = AlarmSource::Metric(queries);
    Alarm { source, condition: Some(condition(comparison)), ..alarm("a", AlarmState::Alarm) }
}

fn on_metric(metric: &str, dimensions: Dimensions<'_>) -> Alarm {
    on(vec![MetricQuery::new("m1", stat(metric, dimensions))], Comparison::GreaterThanThreshold)
}

/// `mesh/node rule` for each target, or the code of the reason.
fn report(alarm: &Alarm, policy_text: &str) -> String {
    let alarms = std::slice::from_ref(alarm);
    match reported_targets(alarm, alarms, &AlarmTags::new(), &policy(policy_text).failover, at(0)) {
        Ok(targets) => {
            let shown = targets.iter().map(|target| {
                let caller = target.caller.as_ref().map_or_else(String::new, |caller| format!(" for {caller}"));
                format!("{}/{} {:?}{caller}", target.mesh, target.node, target.rule)
            });
            shown.collect::<Vec<_>>().join(", ")
        }
        Err(unmapped) => {
            let value = serde_json::to_value(&unmapped).unwrap();
            assert_eq!(value["reason"], unmapped.code());
            unmapped.code().to_owned()
        }
    }
}

#[test]
fn binding_comes_before_dimensions_and_dimensions_before_tags() {
    let bound = "bindings: [{alarm: a, mesh: shop, virtualNode: v9}]";
    let tagged: &[(&str, Dimensions<'_>)] = &[("a", &[("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "v3")])];
    let plain = [alarm("a", AlarmState::Alarm)];
    let dimensioned = [on_node("a", AlarmState::Alarm, "v1")];
    assert_eq!(reporting(&plain, tagged, bound, "v9"), ["a"]);
    assert_eq!(reporting(&dimensioned, tagged, bound, "v9"), ["a"]);
    assert!(reporting(&dimensioned, tagged, bound, "v1").is_empty());
    assert_eq!(reporting(&dimensioned, tagged, "", "v1"), ["a"]);
    assert!(reporting(&dimensioned, tagged, "", "v3").is_empty());
    assert_eq!(reporting(&plain, tagged, "", "v3"), ["a"]);
}

#[test]
fn binding_and_tags_may_name_an_alarm_on_any_metric() {
    let load = on_metric("RequestCount", &[("Mesh", "shop"), ("VirtualNode", "v1")]);
    let tagged: &[(&str, Dimensions<'_>)] = &[("a", &[("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "v3")])];
    assert!(reporting(std::slice::from_ref(&load), &[], "", "v1").is_empty());
    assert_eq!(
        reporting(std::slice::from_ref(&load), &[], "bindings: [{alarm: a, mesh: shop, virtualNode: v1}]", "v1"),
        ["a"]
    );
    assert_eq!(reporting(&[load], tagged, "", "v3"), ["a"]);
}

#[test]
fn outbound_metric_reports_its_target_and_never_its_caller() {
    for (dimensions, expected) in [
        (
            vec![("Mesh", "shop"), ("VirtualNode", "storefront-v1"), ("TargetVirtualNode", "catalog-v2")],
            "shop/catalog-v2 TargetDimensions for virtual node storefront-v1",
        ),
        (
            vec![
                ("Mesh", "shop"),
                ("VirtualGateway", "edge"),
                ("TargetVirtualService", "catalog.local"),
                ("TargetVirtualNode", "catalog-v2"),
            ],
            "shop/catalog-v2 TargetDimensions for virtual gateway edge",
        ),
        (vec![("Mesh", "shop"), ("TargetVirtualNode", "catalog-v2")], "shop/catalog-v2 TargetDimensions"),
        (vec![("mesh", "shop"), ("target_virtual_node", "catalog-v2")], "shop/catalog-v2 TargetDimensions"),
        (vec![("VirtualNode", "storefront-v1"), ("TargetVirtualNode", "catalog-v2")], "LacksMesh"),
        (vec![("TargetVirtualNode", "catalog-v2")], "LacksMesh"),
        (vec![("Mesh", "shop"), ("TargetVirtualService", "catalog.local")], "ServiceOnly"),
        (
            vec![("Mesh", "shop"), ("VirtualNode", "storefront-v1"), ("TargetVirtualService", "catalog.local")],
            "ServiceOnly",
        ),
        (vec![("Mesh", "shop"), ("VirtualNode", "storefront-v1")], "CallerOnly"),
        (vec![("Mesh", "shop"), ("VirtualGateway", "edge")], "CallerOnly"),
        (vec![("Mesh", "shop"), ("TargetVirtualNode", "not/valid")], "InvalidName"),
        (vec![("Mesh", "shop")], "NamesNoTarget"),
        (vec![], "NamesNoTarget"),
    ] {
        assert_eq!(report(&on_metric("HTTPCode_Target_5XX_Count", &dimensions), ""), expected, "{dimensions:?}");
    }
}

#[test]
fn inbound_metric_reports_the_node_that_measures() {
    for (metric, dimensions, expected) in [
        ("HTTPCode_5XX_Count", vec![("Mesh", "shop"), ("VirtualNode", "v1")], "shop/v1 NodeDimensions"),
        ("HTTPCode_5XX_Count", vec![("Mesh", "shop"), ("VirtualGateway", "edge")], "GatewayOnly"),
        ("HTTPCode_5XX_Count", vec![("VirtualNode", "v1")], "LacksMesh"),
        ("RequestCount", vec![("Mesh", "shop"), ("VirtualNode", "v1")], "NotAFailureMetric"),
        ("ActiveConnectionCount", vec![("Mesh", "shop"), ("VirtualNode", "v1")], "NotAFailureMetric"),
        ("ProcessedBytes", vec![("Mesh", "shop"), ("VirtualNode", "v1")], "NotAFailureMetric"),
        ("upstream_rq_5xx", vec![("mesh", "shop"), ("virtual_node", "v1")], "CallerOnly"),
        ("http.client.request.duration", vec![("mesh", "shop"), ("virtual_node", "v1")], "CallerOnly"),
        ("http.server.request.duration", vec![("mesh", "shop"), ("virtual_node", "v1")], "shop/v1 NodeDimensions"),
    ] {
        assert_eq!(report(&on_metric(metric, &dimensions), ""), expected, "{metric} {dimensions:?}");
    }
}

#[test]
fn mesh_and_dimension_names_can_be_set() {
    let alarm = on_metric("Errors", &[("app", "v1")]);
    assert_eq!(report(&alarm, "discovery: {mesh: shop, virtualNodeDimension: app}"), "shop/v1 NodeDimensions");
    let alarm = on_metric("Errors", &[("m", "shop"), ("callee", "v1"), ("app", "v0")]);
    let names = "discovery: {meshDimension: m, virtualNodeDimension: app, targetVirtualNodeDimension: callee}";
    assert_eq!(report(&alarm, names), "shop/v1 TargetDimensions for virtual node v0");
}

#[test]
fn direction_of_the_comparison_decides() {
    use Comparison::{GreaterThanThreshold, LessThanOrEqualToThreshold, LessThanThreshold};
    let inbound: Dimensions<'_> = &[("Mesh", "shop"), ("VirtualNode", "v1")];
    for (metric, comparison, expected) in [
        ("RequestCount", LessThanThreshold, "shop/v1 NodeDimensions"),
        ("RequestCount", GreaterThanThreshold, "NotAFailureMetric"),
        ("SuccessRate", LessThanOrEqualToThreshold, "shop/v1 NodeDimensions"),
        ("SuccessRate", GreaterThanThreshold, "NotAFailureMetric"),
        ("Errors", LessThanThreshold, "NotAFailureMetric"),
        ("Errors", Comparison::Unrecognised("Near".to_owned()), "shop/v1 NodeDimensions"),
        ("RequestCount", Comparison::Unrecognised("Near".to_owned()), "NotAFailureMetric"),
    ] {
        let alarm = on(vec![MetricQuery::new("m1", stat(metric, inbound))], comparison.clone());
        assert_eq!(report(&alarm, ""), expected, "{metric} {comparison:?}");
    }
}

#[test]
fn metric_math_counts_when_one_of_its_metrics_reports_a_failure() {
    use Comparison::{GreaterThanThreshold, LessThanThreshold};
    let v1: Dimensions<'_> = &[("Mesh", "shop"), ("TargetVirtualNode", "v1"), ("VirtualNode", "caller")];
    let v2: Dimensions<'_> = &[("Mesh", "shop"), ("TargetVirtualNode", "v2"), ("VirtualNode", "caller")];
    let inbound: Dimensions<'_> = &[("Mesh", "shop"), ("VirtualNode", "v1")];
    let errors = |id, of| line(id, "HTTPCode_Target_5XX_Count", of);
    let successes = |id, of| line(id, "HTTPCode_Target_2XX_Count", of);
    let requests = |id, of| line(id, "RequestCountPerTarget", of);
    let v1_for_caller = "shop/v1 TargetDimensions for virtual node caller";
    for (expression, lines, comparison, expected) in [
        ("100 * m1 / m2", vec![errors("m1", v1), requests("m2", v1)], GreaterThanThreshold, v1_for_caller),
        (
            "100 * m1 / m2",
            vec![errors("m1", v1), line("m2", "RequestCount", inbound)],
            GreaterThanThreshold,
            v1_for_caller,
        ),
        ("100 - 100 * m1 / m2", vec![errors("m1", v1), requests("m2", v1)], LessThanThreshold, v1_for_caller),
        ("100 - 100 * m1 / m2", vec![errors("m1", v1), requests("m2", v1)], GreaterThanThreshold, "NotAFailureMetric"),
        ("100 * m1 / m2", vec![successes("m1", v1), requests("m2", v1)], LessThanThreshold, v1_for_caller),
        ("m2 - m1", vec![successes("m1", v1), requests("m2", v1)], GreaterThanThreshold, v1_for_caller),
        (
            "m1 / m2",
            vec![requests("m1", v1), line("m2", "HealthyHostCount", v1)],
            GreaterThanThreshold,
            "NotAFailureMetric",
        ),
        (
            "m1 + m2",
            vec![requests("m1", v1), line("m2", "TargetProcessedBytes", v1)],
            GreaterThanThreshold,
            "NotAFailureMetric",
        ),
        ("IF(m2 > 20, m1 / m2, 0)", vec![errors("m1", v1), requests("m2", v1)], GreaterThanThreshold, v1_for_caller),
        ("FILL(m1, 0)", vec![errors("m1", v1)], GreaterThanThreshold, v1_for_caller),
        ("SUM(METRICS())", vec![errors("m1", v1), errors("m2", v1)], GreaterThanThreshold, v1_for_caller),
        // For an alarm on load it does not matter which nodes its metrics name.
        ("m1 + m2", vec![requests("m1", v1), requests("m2", v2)], GreaterThanThreshold, "NotAFailureMetric"),
        ("m1 + m2", vec![errors("m1", v1), errors("m2", v2)], GreaterThanThreshold, "NamesSeveral"),
        ("m1 / m2", vec![errors("m1", v1), requests("m2", v2)], GreaterThanThreshold, "NamesSeveral"),
        ("m1 +", vec![errors("m1", v1)], GreaterThanThreshold, "Unreadable"),
        (
            "e2 * 100",
            vec![errors("m1", v1), MetricQuery { returns_data: false, ..math("e2", "m1 / 2") }],
            GreaterThanThreshold,
            v1_for_caller,
        ),
        ("e1", vec![], GreaterThanThreshold, "Unreadable"),
    ] {
        let mut queries = vec![math("e1", expression)];
        queries.extend(lines);
        assert_eq!(report(&on(queries, comparison), ""), expected, "{expression}");
    }
}

#[test]
fn several_callers_in_one_expression_agree_on_their_target() {
    let errors = |id, caller| {
        line(id, "HTTPCode_Target_5XX_Count", &[("Mesh", "shop"), ("TargetVirtualNode", "v1"), ("VirtualNode", caller)])
    };
    let queries = vec![math("e1", "m1 + m2"), errors("m1", "one"), errors("m2", "two")];
    assert_eq!(report(&on(queries, Comparison::GreaterThanThreshold), ""), "shop/v1 TargetDimensions");
}

#[test]
fn anomaly_band_counts_when_a_failure_metric_leaves_it_upwards() {
    use Comparison::{GreaterThanUpperThreshold, LessThanLowerOrGreaterThanUpperThreshold, LessThanLowerThreshold};
    let inbound: Dimensions<'_> = &[("Mesh", "shop"), ("VirtualNode", "v1")];
    let alarm = |metric: &str, comparison| {
        let band = math("ad1", "ANOMALY_DETECTION_BAND(m1, 2)");
        let mut alarm = on(vec![MetricQuery::new("m1", stat(metric, inbound)), band], comparison);
        alarm.condition.as_mut().unwrap().band = Some("ad1".to_owned());
        alarm
    };
    let reason = |value: f64| {
        let data = serde_json::json!({
            "recentDatapoints": [value], "recentLowerThresholds": [2.0], "recentUpperThresholds": [9.0],
        });
        Some(data.to_string())
    };
    for (metric, comparison, data, expected) in [
        ("TargetErrors_errors", GreaterThanUpperThreshold, None, "CallerOnly"),
        ("Errors", GreaterThanUpperThreshold, None, "shop/v1 NodeDimensions"),
        ("Errors", LessThanLowerThreshold, None, "NotAFailureMetric"),
        ("Errors", LessThanLowerOrGreaterThanUpperThreshold, None, "shop/v1 NodeDimensions"),
        ("Errors", LessThanLowerOrGreaterThanUpperThreshold, reason(10.0), "shop/v1 NodeDimensions"),
        ("Errors", LessThanLowerOrGreaterThanUpperThreshold, reason(1.0), "NotAFailureMetric"),
        ("RequestCount", LessThanLowerOrGreaterThanUpperThreshold, reason(1.0), "shop/v1 NodeDimensions"),
        ("RequestCount", LessThanLowerOrGreaterThanUpperThreshold, None, "NotAFailureMetric"),
        ("RequestCount", GreaterThanUpperThreshold, None, "NotAFailureMetric"),
        ("RequestCount", LessThanLowerThreshold, None, "shop/v1 NodeDimensions"),
    ] {
        let alarm = Alarm { state_reason_data: data.clone(), ..alarm(metric, comparison.clone()) };
        assert_eq!(report(&alarm, ""), expected, "{metric} {comparison:?} {data:?}");
    }
}

fn promql(query: &str, state: AlarmState, contributors: Option<Vec<Dimensions<'_>>>) -> Alarm {
    let contributor = |(index, labels): (usize, Dimensions<'_>)| Contributor {
        id: format!("c{index}"),
        attributes: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        since: Some(at(-60)),
        reason: None,
    };
    let source = PromQlQuery { query: query.to_owned(), pending_period: None, recovery_period: None };
    Alarm {
        contributors: contributors.map(|found| found.into_iter().enumerate().map(contributor).collect()),
        source: AlarmSource::PromQl(source),
        ..alarm("a", state)
    }
}

#[test]
fn promql_alarm_reports_the_target_of_each_contributor() {
    let errors = "sum by (mesh, target_virtual_node) (rate(envoy_cluster_upstream_rq_5xx[1m])) > 1";
    let of_shop = "sum by (target_virtual_node) (rate(envoy_cluster_upstream_rq_5xx{mesh=\"shop\"}[1m])) > 1";
    let fixed = "sum(rate(envoy_cluster_upstream_rq_5xx{mesh=\"shop\",target_virtual_node=\"v1\"}[1m])) > 1";
    let load = "sum by (mesh, target_virtual_node) (rate(envoy_cluster_upstream_rq_total[1m])) > 100";
    let v1: Dimensions<'_> = &[("mesh", "shop"), ("target_virtual_node", "v1")];
    let v2: Dimensions<'_> = &[("mesh", "shop"), ("target_virtual_node", "v2")];
    let camel: Dimensions<'_> = &[("Mesh", "shop"), ("TargetVirtualNode", "v1"), ("VirtualNode", "front")];
    for (query, contributors, expected) in [
        (errors, Some(vec![v1]), "shop/v1 TargetDimensions"),
        (errors, Some(vec![v2, v1]), "shop/v1 TargetDimensions, shop/v2 TargetDimensions"),
        (errors, Some(vec![camel]), "shop/v1 TargetDimensions for virtual node front"),
        (of_shop, Some(vec![&[("target_virtual_node", "v1")]]), "shop/v1 TargetDimensions"),
        (fixed, Some(vec![&[]]), "shop/v1 TargetDimensions"),
        (fixed, None, "shop/v1 TargetDimensions"),
        (errors, None, "ContributorsUnread"),
        (errors, Some(vec![]), "ContributorsUnread"),
        (errors, Some(vec![&[("service", "x")]]), "NamesNoTarget"),
        (errors, Some(vec![&[("mesh", "shop"), ("virtual_node", "front")]]), "CallerOnly"),
        (load, Some(vec![v1]), "NotAFailureMetric"),
        ("sum by (", Some(vec![v1]), "Unreadable"),
    ] {
        assert_eq!(report(&promql(query, AlarmState::Alarm, contributors), ""), expected, "{query}");
    }
}

#[test]
fn insights_query_reports_the_target_of_each_contributor() {
    let query = "SELECT SUM(HTTPCode_5XX_Count) FROM SCHEMA(AppMesh, Mesh, VirtualNode) GROUP BY Mesh, VirtualNode";
    let contributor = promql("", AlarmState::Alarm, Some(vec![&[("Mesh", "shop"), ("VirtualNode", "v1")]]));
    let mut alarm = on(vec![math("q1", query)], Comparison::GreaterThanThreshold);
    assert_eq!(report(&alarm, ""), "ContributorsUnread");
    alarm.contributors = contributor.contributors;
    assert_eq!(report(&alarm, ""), "shop/v1 NodeDimensions");
}

#[test]
fn recovered_series_reports_its_node_as_not_failing() {
    let query = "sum by (mesh, target_virtual_node) (rate(envoy_cluster_upstream_rq_5xx[1m])) > 1";
    let v1: Dimensions<'_> = &[("mesh", "shop"), ("target_virtual_node", "v1")];
    let shop = MeshName::parse("shop").unwrap();
    for (state, contributors, expected) in [
        (AlarmState::Alarm, vec![v1], [AlarmState::Alarm, AlarmState::Ok]),
        (AlarmState::Ok, vec![], [AlarmState::Ok, AlarmState::Ok]),
        (AlarmState::InsufficientData, vec![], [AlarmState::InsufficientData, AlarmState::InsufficientData]),
    ] {
        let alarms = [promql(query, state, Some(contributors))];
        let mut targets = alarm_targets(&alarms, &AlarmTags::new(), &policy("").failover, at(0));
        assert!(targets.covers(&alarms[0].name, &shop));
        targets.cover(&shop, &[node("v1"), node("v2")]);
        let states = ["v1", "v2"].map(|of| targets.alarms_of(&shop, &node(of))[0].state.clone());
        assert_eq!(states, expected);
    }
}

#[test]
fn callers_with_data_that_see_no_failure_are_a_disagreement() {
    use AlarmState::{InsufficientData, Ok};
    let seen = |name: &str, caller: &str, state, points| Alarm {
        name: AlarmName::parse(name).unwrap(),
        state,
        recent_data_points: points,
        ..on_metric(
            "HTTPCode_Target_5XX_Count",
            &[("Mesh", "shop"), ("VirtualNode", caller), ("TargetVirtualNode", "v1")],
        )
    };
    let failing = seen("a", "front", AlarmState::Alarm, None);
    let shop = MeshName::parse("shop").unwrap();
    for (others, expected) in [
        (vec![], false),
        (vec![seen("b", "back", Ok, Some(3))], true),
        (vec![seen("b", "back", Ok, Some(0))], false),
        (vec![seen("b", "back", Ok, None)], false),
        (vec![seen("b", "back", InsufficientData, Some(3))], false),
        (vec![seen("b", "back", AlarmState::Alarm, None)], false),
        (vec![seen("b", "front", Ok, Some(3))], false),
        (vec![seen("b", "back", Ok, Some(3)), on_node("own", AlarmState::Alarm, "v1")], false),
    ] {
        let mut alarms = others;
        alarms.push(failing.clone());
        for (text, expected) in [("", expected), ("callerDisagreement: act", false)] {
            let failover = policy(text).failover;
            let targets = alarm_targets(&alarms, &AlarmTags::new(), &failover, at(0));
            let found = targets.disagreement(&shop, &node("v1"), &failover);
            assert_eq!(found.is_some(), expected, "{alarms:?} {text}");
        }
    }
}

#[test]
fn unread_alarms_are_listed_once_with_suppressors() {
    let mut parent = composite("a", AlarmState::Alarm, "ALARM(b) OR ALARM(c) OR OK(b)");
    let suppressor = AlarmName::parse("s").unwrap();
    parent.suppressor = Some(Suppressor { alarm: suppressor.clone(), wait_period: 0, extension_period: 0 });
    let alarms = [parent, alarm("c", AlarmState::Ok)];
    assert_eq!(unread_alarms(&alarms), [AlarmName::parse("b").unwrap(), suppressor]);
    let names = related(&alarms, BTreeSet::from([AlarmName::parse("c").unwrap()]));
    let names: Vec<&str> = names.iter().map(AlarmName::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "s"]);
}
