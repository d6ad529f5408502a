//! Alarms as CloudWatch returns them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, MetricQuery, MetricTerm};

pub(crate) fn name(text: &str) -> AlarmName {
    AlarmName::parse(text).unwrap()
}

/// The name of the alarm on the errors of a node of the shop.
pub(crate) fn errors_of(node: &str) -> AlarmName {
    name(&format!("shop-{node}-5xx"))
}

pub(crate) fn alarm(text: &str, state: AlarmState, since: Timestamp, source: AlarmSource) -> Alarm {
    let arn = format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{text}");
    Alarm { since: Some(since), ..Alarm::new(name(text), &arn, state, source) }
}

/// An outbound metric of the mesh `shop` with a node as its target.
pub(crate) fn on_node(node: &str) -> AlarmSource {
    AlarmSource::Metric(vec![query("m1", &target_of(("VirtualNode", "storefront-v1"), node))])
}

/// The four dimensions of an outbound metric.
pub(crate) fn target_of<'a>(caller: (&'a str, &'a str), node: &'a str) -> [(&'a str, &'a str); 4] {
    [("Mesh", "shop"), caller, ("TargetVirtualService", "recommendations.shop.local"), ("TargetVirtualNode", node)]
}

/// A metric without a dimension of a mesh.
pub(crate) fn on_nothing() -> AlarmSource {
    AlarmSource::Metric(vec![query("m1", &[("LoadBalancer", "app/shop")])])
}

pub(crate) fn query(id: &str, dimensions: &[(&str, &str)]) -> MetricQuery {
    let dimensions: BTreeMap<String, String> =
        dimensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let term = MetricTerm::Stat {
        namespace: "AppMesh".to_owned(),
        metric: "HTTPCode_Target_5XX_Count".to_owned(),
        dimensions,
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    MetricQuery::new(id, term)
}
