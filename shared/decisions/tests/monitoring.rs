//! The alarms that a mesh needs: which they are, that failover understands each of them, and what an account lacks.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the meshes are files of this repository, and a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use decisions::failover::alarm_targets;
use decisions::monitoring::{
    AccountAlarms, AlarmKind, AlarmProblem, Metrics, NodeAlarms, Unprovable, check, cloudformation, required, terraform,
};
use mesh::alarm::{Alarm, AlarmName, AlarmState, MetricQuery, MetricTerm, MissingData};
use mesh::graph::Mesh;
use policy::{FailoverPolicy, Policy};
use readers::{File, Surroundings, read_all};
use serde_json::Value;

const NAMESPACE: &str = "AppMesh";
const NOON: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

fn policy(failover: &str) -> FailoverPolicy {
    Policy::read(&format!("version: 1\nfailover:\n  {failover}\n")).unwrap().failover
}

/// Every mesh that the repository has as a file, the demo's among them.
fn meshes() -> Vec<Mesh> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    let mut folders = vec![root.join("tests"), root.join("../../infra/dev/local"), root.join("../../../shared/corpus")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if matches!(ending, "json" | "yaml" | "yml")
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                texts.push((path.display().to_string(), text));
            }
        }
    }
    let around = Surroundings { mesh: "shop".parse().ok(), ..Surroundings::default() };
    let read = |(name, text): &(String, String)| read_all(&[File { name, text }], &around).0.meshes();
    let mut meshes: Vec<Mesh> = texts.iter().flat_map(|text| read(text).into_values()).collect();
    // The demo's mesh is in several files.
    let demo: Vec<File<'_>> =
        (texts.iter()).filter(|(name, _)| name.contains("demo-mesh")).map(|(name, text)| File { name, text }).collect();
    assert!(!demo.is_empty());
    meshes.extend(read_all(&demo, &around).0.meshes().into_values());
    meshes
}

/// A router over two versions, of which one has another protocol.
fn shop() -> Mesh {
    let node = |name: &str, protocol: &str| {
        serde_json::json!({"meshName": "shop", "virtualNodeName": name, "spec": {
            "listeners": [{"portMapping": {"port": 8080, "protocol": protocol}}],
            "serviceDiscovery": {"dns": {"hostname": "h"}},
        }})
    };
    let route = |name: &str, kind: &str, spec: Value| {
        let route = serde_json::json!({
            "meshName": "shop", "virtualRouterName": "r", "routeName": name, "spec": {kind: spec},
        });
        route
    };
    let to = |names: &[(&str, u8)]| {
        let targets: Vec<Value> =
            names.iter().map(|(name, weight)| serde_json::json!({"virtualNode": name, "weight": weight})).collect();
        serde_json::json!({"weightedTargets": targets})
    };
    let documents = [
        serde_json::json!({"meshName": "shop", "spec": {}}),
        node("catalog-v1", "http"),
        node("catalog-v2", "grpc"),
        node("db", "tcp"),
        node("alone", "http"),
        route(
            "a",
            "httpRoute",
            serde_json::json!({"match": {"prefix": "/"}, "action": to(&[("catalog-v1", 100), ("catalog-v2", 0), ("gone", 0)])}),
        ),
        route("b", "tcpRoute", serde_json::json!({"action": to(&[("db", 1)])})),
    ];
    let texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
    let files: Vec<File<'_>> = texts.iter().map(|text| File { name: "shop.json", text }).collect();
    let (reading, errors) = read_all(&files, &Surroundings::default());
    assert!(errors.is_empty() && reading.refusals.is_empty(), "{errors:?} {:?}", reading.refusals);
    reading.meshes().into_values().next().unwrap()
}

fn kinds(alarms: &[NodeAlarms]) -> Vec<(String, Vec<AlarmKind>)> {
    let of = |node: &NodeAlarms| (node.node.to_string(), node.alarms.iter().map(|alarm| alarm.kind).collect());
    alarms.iter().map(of).collect()
}

#[test]
fn each_target_of_a_weighted_route_has_the_alarms_of_its_protocol() {
    use AlarmKind::{Connections, Errors, Latency};
    let table = [
        (
            "dwell: 5m",
            Metrics::Envoy,
            vec![("catalog-v1", vec![Errors]), ("catalog-v2", vec![Errors]), ("db", vec![Connections])],
        ),
        ("dwell: 5m", Metrics::AppMesh, vec![("catalog-v1", vec![Errors]), ("catalog-v2", vec![Errors])]),
        (
            "alarms: {latency: {milliseconds: 500}}",
            Metrics::Envoy,
            vec![
                ("catalog-v1", vec![Errors, Latency]),
                ("catalog-v2", vec![Errors, Latency]),
                ("db", vec![Connections]),
            ],
        ),
        (
            "targets: [{mesh: shop, virtualNode: catalog-v2, latency: {percentile: 95, milliseconds: 20}}]",
            Metrics::Envoy,
            vec![("catalog-v1", vec![Errors]), ("catalog-v2", vec![Errors, Latency]), ("db", vec![Connections])],
        ),
    ];
    for (text, metrics, expected) in table {
        let expected: Vec<_> = expected.into_iter().map(|(node, kinds)| (node.to_owned(), kinds)).collect();
        assert_eq!(kinds(&required(&shop(), &policy(text), metrics, NAMESPACE)), expected, "{text} {metrics:?}");
    }
}

#[test]
fn an_error_alarm_is_a_ratio_with_a_minimum_and_fills_in_nothing() {
    let rules =
        policy("alarms: {errorRatio: 10, minRequests: 20, period: 30s, evaluationPeriods: 2, datapointsToAlarm: 5}");
    let all = required(&shop(), &rules, Metrics::Envoy, NAMESPACE);
    let errors = &all[0].alarms[0];
    assert_eq!(errors.expression, "IF(requests >= 20, errors / requests, 0)");
    assert!((errors.threshold - 0.1).abs() < f64::EPSILON);
    assert_eq!((all[0].period, all[0].evaluation_periods, all[0].datapoints_to_alarm), (30, 2, 2));
    let metrics: Vec<_> = errors.metrics.iter().map(|one| (one.id, one.metric, one.stat.as_str())).collect();
    assert_eq!(
        metrics,
        [
            ("errors", "envoy_cluster_upstream_rq_5xx", "Sum"),
            ("requests", "envoy_cluster_upstream_rq_completed", "Sum"),
        ]
    );
}

#[test]
fn each_generated_alarm_reports_its_target_and_only_that() {
    let mut seen = 0;
    let with_latency = policy("alarms: {latency: {milliseconds: 500}}");
    for mesh in meshes() {
        for metrics in [Metrics::Envoy, Metrics::AppMesh] {
            for node in required(&mesh, &with_latency, metrics, NAMESPACE) {
                // In ALARM: a composite alarm reports what its children in ALARM report.
                let alarms: Vec<Alarm> =
                    node.as_read().into_iter().map(|alarm| Alarm { state: AlarmState::Alarm, ..alarm }).collect();
                assert_eq!(alarms.len(), node.alarms.len() + 1);
                // By their dimensions alone: tags can be lost.
                let targets = alarm_targets(&alarms, &BTreeMap::new(), &with_latency, NOON);
                for alarm in &alarms {
                    assert_eq!(
                        targets.targets_of(&alarm.name),
                        [(&node.mesh, &node.node)],
                        "{}: {:?}",
                        alarm.name,
                        targets.unmapped.get(&alarm.name)
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} alarms");
}

#[test]
fn alarm_names_are_unique_stable_and_valid() {
    let long = "n".repeat(255);
    let names = ["a", "a/b", "with \"quotes\"", "(brackets), commas", "ünïcode", long.as_str()];
    let mut seen = BTreeSet::new();
    for mesh_name in ["shop", &long] {
        for name in names {
            if name.contains('/') {
                continue;
            }
            let mut mesh = shop();
            mesh.name = mesh_name.parse().unwrap();
            let spec = mesh.nodes.values().next().unwrap().clone();
            mesh.nodes = BTreeMap::from([(name.parse().unwrap(), spec)]);
            for router in mesh.routers.values_mut() {
                for route in router.routes.values_mut() {
                    let text = serde_json::to_string(route).unwrap();
                    let quoted = serde_json::to_string(name).unwrap();
                    let text = text.replace("\"catalog-v1\"", &quoted);
                    *route = serde_json::from_str(&text).unwrap();
                }
            }
            let policy = FailoverPolicy::default();
            let once = required(&mesh, &policy, Metrics::Envoy, NAMESPACE);
            assert_eq!(once, required(&mesh, &policy, Metrics::Envoy, NAMESPACE));
            assert_eq!(once.len(), 1, "{name}");
            for alarm in once[0].as_read() {
                assert!(seen.insert(alarm.name.to_string()), "{} twice", alarm.name);
            }
            assert_eq!(once[0].as_read().len(), 2);
        }
    }
    let first = required(&shop(), &FailoverPolicy::default(), Metrics::Envoy, NAMESPACE);
    assert_eq!(first[0].alarms[0].name, "meshwarden/shop/catalog-v1/errors");
    assert_eq!(first[0].composite, "meshwarden/shop/catalog-v1");
}

#[test]
fn templates_name_children_before_their_composite_alarm() {
    let all = required(&shop(), &FailoverPolicy::default(), Metrics::Envoy, NAMESPACE);
    let template = cloudformation(&all).unwrap();
    let resources = template["Resources"].as_object().unwrap();
    assert_eq!(resources.len(), 6);
    for (id, resource) in resources {
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        for child in resource["DependsOn"].as_array().into_iter().flatten() {
            assert!(resources.contains_key(child.as_str().unwrap()), "{child}");
        }
    }
    let document = terraform(&all);
    let metric = document["resource"]["aws_cloudwatch_metric_alarm"].as_object().unwrap();
    let composite = document["resource"]["aws_cloudwatch_composite_alarm"].as_object().unwrap();
    assert_eq!((metric.len(), composite.len()), (3, 3));
    for dependency in composite.values().flat_map(|alarm| alarm["depends_on"].as_array().unwrap()) {
        let label = dependency.as_str().unwrap().strip_prefix("aws_cloudwatch_metric_alarm.").unwrap();
        assert!(metric.contains_key(label), "{label}");
    }
    assert!(terraform(&[])["resource"].as_object().unwrap().is_empty());
}

#[test]
fn terraform_finds_no_template_in_a_name() {
    let mut mesh = shop();
    mesh.name = "${shop}%{x}".parse().unwrap();
    let document = terraform(&required(&mesh, &FailoverPolicy::default(), Metrics::Envoy, NAMESPACE)).to_string();
    let escaped = document.replace("$${", "").replace("%%{", "").replace("${var.alarm_topic_arn}", "");
    assert!(!escaped.contains("${") && !escaped.contains("%{"), "{escaped}");
}

#[test]
fn more_resources_than_a_template_may_have_are_refused() {
    let one = required(&shop(), &FailoverPolicy::default(), Metrics::Envoy, NAMESPACE);
    let many: Vec<NodeAlarms> = (0..251)
        .map(|number| {
            let mut node = one[0].clone();
            node.composite = format!("c{number}");
            node.alarms[0].name = format!("a{number}");
            node
        })
        .collect();
    assert_eq!(
        cloudformation(&many).unwrap_err().to_string(),
        "a template has at most 500 resources, and these alarms are 502; select virtual nodes"
    );
}

/// Changes the account's alarms of one target, and gives the resulting status.
fn checked(change: impl FnOnce(&mut Vec<Alarm>)) -> (Vec<String>, Vec<AlarmProblem>) {
    checked_without(change, &BTreeSet::new())
}

/// The comparison with unreadable data points of some alarms.
fn checked_without(
    change: impl FnOnce(&mut Vec<Alarm>),
    uncounted: &BTreeSet<AlarmName>,
) -> (Vec<String>, Vec<AlarmProblem>) {
    let all = required(&shop(), &FailoverPolicy::default(), Metrics::Envoy, NAMESPACE);
    let mut alarms: Vec<Alarm> = all.iter().flat_map(NodeAlarms::as_read).collect();
    for alarm in &mut alarms {
        alarm.arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{}", alarm.name);
    }
    change(&mut alarms);
    let account = AccountAlarms { alarms: &alarms, tags: &BTreeMap::new(), uncounted };
    let found = check(&all[..1], account, &FailoverPolicy::default()).remove(0);
    assert_eq!(found.has_usable_alarm(), !found.usable.is_empty());
    (found.usable.iter().map(ToString::to_string).collect(), found.problems)
}

fn named<'a>(alarms: &'a mut [Alarm], name: &str) -> &'a mut Alarm {
    alarms.iter_mut().find(|alarm| alarm.name.as_str() == name).unwrap()
}

#[test]
fn an_account_with_the_generated_alarms_lacks_nothing() {
    assert_eq!(checked(|_| {}), (vec!["meshwarden/shop/catalog-v1/errors".to_owned()], vec![]));
}

#[test]
fn missing_alarms_of_an_account_are_reported() {
    const ERRORS: &str = "meshwarden/shop/catalog-v1/errors";
    let alarm = || ERRORS.to_owned();
    let (usable, problems) = checked(Vec::clear);
    assert!(usable.is_empty());
    let composite = "meshwarden/shop/catalog-v1".to_owned();
    assert_eq!(problems, [AlarmProblem::Missing { alarm: composite }, AlarmProblem::Missing { alarm: alarm() }]);

    let (usable, problems) = checked(|alarms| named(alarms, ERRORS).actions_enabled = false);
    assert!(usable.is_empty());
    assert_eq!(problems, [AlarmProblem::ActionsDisabled { alarm: alarm() }]);

    // Each of these is also not what would be generated.
    let missing = |treated: MissingData| {
        checked(move |alarms| named(alarms, ERRORS).condition.as_mut().unwrap().missing_data = treated)
    };
    let edited = |edit: fn(&mut MetricQuery)| {
        checked(move |alarms| {
            let mesh::alarm::AlarmSource::Metric(queries) = &mut named(alarms, ERRORS).source else { panic!() };
            queries.iter_mut().for_each(edit);
        })
    };
    let fill_breaching = |query: &mut MetricQuery| {
        if let MetricTerm::Expression { expression, .. } = &mut query.term {
            *expression = "FILL(errors / requests, 1)".to_owned();
        }
    };
    let elsewhere = |query: &mut MetricQuery| query.account_id = Some("210987654321".to_owned());
    let edit_all = |alarms: &mut Vec<Alarm>| {
        let mesh::alarm::AlarmSource::Metric(queries) = &mut named(alarms, ERRORS).source else { panic!() };
        queries.iter_mut().for_each(elsewhere);
    };
    for ((usable, problems), why) in [
        (missing(MissingData::Ignore), Unprovable::IgnoresMissingData),
        (missing(MissingData::Breaching), Unprovable::MissingDataBreaches),
        (edited(fill_breaching), Unprovable::FillsMissingData),
        (checked_without(edit_all, &BTreeSet::from([AlarmName::parse(ERRORS).unwrap()])), Unprovable::OtherAccount),
    ] {
        assert!(usable.is_empty(), "{why:?}");
        let expected = [AlarmProblem::Differs { alarm: alarm() }, AlarmProblem::NeverProven { alarm: alarm(), why }];
        assert_eq!(problems, expected, "{why:?}");
    }

    // Its own metrics prove the target, however the expression treats gaps, and a readable account counts the same.
    let fill_healthy = |query: &mut MetricQuery| {
        if let MetricTerm::Expression { expression, .. } = &mut query.term {
            *expression = "FILL(errors, 0) / requests".to_owned();
        }
    };
    for (usable, problems) in [edited(fill_healthy), edited(elsewhere)] {
        assert_eq!((usable, problems), (vec![alarm()], vec![AlarmProblem::Differs { alarm: alarm() }]));
    }

    let (usable, problems) = edited(|query| {
        if let MetricTerm::Stat { dimensions, .. } = &mut query.term {
            dimensions.insert("TargetVirtualNode".to_owned(), "catalog-v2".to_owned());
        }
    });
    assert!(usable.is_empty());
    let reports = "shop/catalog-v2".to_owned();
    let expected = [AlarmProblem::Differs { alarm: alarm() }, AlarmProblem::WrongTarget { alarm: alarm(), reports }];
    assert_eq!(problems, expected);
}

#[test]
fn an_alarm_of_ones_own_counts() {
    let (usable, problems) = checked(|alarms| {
        let own = named(alarms, "meshwarden/shop/catalog-v1/errors");
        own.name = AlarmName::parse("catalog-errors").unwrap();
    });
    assert_eq!(usable, ["catalog-errors"]);
    assert_eq!(problems, [AlarmProblem::Missing { alarm: "meshwarden/shop/catalog-v1/errors".to_owned() }]);
}
