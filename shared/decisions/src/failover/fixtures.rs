//! Test fixtures: facts, alarms and policies with defaults.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::facts::{Memory, RouteFacts};
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};
use mesh::name::{MeshName, RouteId, RouteName, VirtualNodeName, VirtualRouterName};
use mesh::split::{Weight, WeightSplit, WeightedTarget};
use policy::Policy;

/// The time that many seconds after 12:00 UTC of a fixed day.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-10-05T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

pub(crate) fn node(name: &str) -> VirtualNodeName {
    VirtualNodeName::parse(name).unwrap()
}

pub(crate) fn split(targets: &[(&str, u8)]) -> WeightSplit {
    let target = |(name, weight): &(&str, u8)| WeightedTarget::new(node(name), Weight::new(*weight).unwrap());
    WeightSplit::new(targets.iter().map(target).collect()).unwrap()
}

pub(crate) fn route_id(router: &str) -> RouteId {
    RouteId {
        mesh: MeshName::parse("shop").unwrap(),
        router: VirtualRouterName::parse(router).unwrap(),
        route: RouteName::parse("all").unwrap(),
    }
}

pub(crate) fn route(targets: &[(&str, u8)], memory: Memory) -> RouteFacts {
    RouteFacts {
        id: route_id("recs"),
        uid: "u1".to_owned(),
        version: 1,
        split: split(targets),
        memory,
        restore_tag: None,
        data_points: BTreeMap::new(),
        alarm_data: BTreeMap::new(),
        released: None,
        written_by: None,
    }
}

pub(crate) fn alarm(name: &str, state: AlarmState) -> Alarm {
    let arn = format!("arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}");
    let source = AlarmSource::Metric(Vec::new());
    Alarm { since: Some(at(0)), ..Alarm::new(AlarmName::parse(name).unwrap(), &arn, state, source) }
}

/// An alarm on a metric with the dimensions of a node of the mesh `shop`.
pub(crate) fn on_node(name: &str, state: AlarmState, of: &str) -> Alarm {
    let dimensions = [("Mesh", "shop"), ("VirtualNode", of)];
    let term = MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: "Errors".to_owned(),
        dimensions: dimensions.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    let query = MetricQuery::new("m1", term);
    Alarm { source: AlarmSource::Metric(vec![query]), ..alarm(name, state) }
}

pub(crate) fn composite(name: &str, state: AlarmState, rule: &str) -> Alarm {
    Alarm { source: AlarmSource::Composite(rule.to_owned()), ..alarm(name, state) }
}

/// A policy with this content of its `failover` section, in one line or several.
pub(crate) fn policy(failover: &str) -> Policy {
    let indented: String = failover.lines().flat_map(|line| ["  ", line, "\n"]).collect();
    let text =
        if failover.is_empty() { "version: 1\n".to_owned() } else { format!("version: 1\nfailover:\n{indented}") };
    Policy::read(&text).unwrap()
}
