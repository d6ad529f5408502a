//! The alarms that a mesh needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use mesh::graph::Mesh;
use mesh::name::{MeshName, VirtualNodeName};
use mesh::spec::Protocol;
use mesh::traffic::{Landing, landing};
use policy::{AlarmRules, FailoverPolicy, LatencyBound};

/// The names of the metrics that alarms are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// The metrics of a plain Envoy, as the CloudWatch agent publishes them.
    Envoy,
    /// The metrics of the metrics extension of App Mesh's Envoy image, as the CloudWatch agent publishes them.
    AppMesh,
}

/// A metric of one target over all its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMetric {
    /// The id by which the expression names it.
    pub id: &'static str,
    /// The metric's name.
    pub metric: &'static str,
    /// The statistic, such as `Sum` or `p99`.
    pub stat: String,
}

/// The expression of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The share of requests that fail.
    Errors,
    /// The share of connections that can't be made: a TCP service has no requests.
    Connections,
    /// The response time.
    Latency,
}

impl AlarmKind {
    /// The last part of such an alarm's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Connections => "connections",
            Self::Latency => "latency",
        }
    }
}

/// A metric alarm of one target. It compares the expression with the threshold and is `ALARM` above it.
#[derive(Clone, Debug, PartialEq)]
pub struct RequiredAlarm {
    /// Its name: one that CloudWatch accepts.
    pub name: String,
    /// The expression.
    pub kind: AlarmKind,
    /// The purpose of the alarm, in a sentence.
    pub description: String,
    /// The metrics.
    pub metrics: Vec<NamedMetric>,
    /// The expression over them.
    pub expression: String,
    /// Above this it is breaching.
    pub threshold: f64,
}

impl RequiredAlarm {
    /// The id of the expression, the one line that the alarm looks at.
    pub const EXPRESSION_ID: &'static str = "value";

    /// The treatment of periods without data. A target that never failed a request has no metric of failures; it is healthy,
    /// and has to be `OK` to take over from another.
    pub const TREAT_MISSING_DATA: &'static str = "notBreaching";
}

/// The alarms of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeAlarms {
    /// The mesh.
    pub mesh: MeshName,
    /// The target.
    pub node: VirtualNodeName,
    /// The metrics' namespace.
    pub namespace: String,
    /// The alarms, in the order of their kinds.
    pub alarms: Vec<RequiredAlarm>,
    /// The name of the composite alarm over them, which acts.
    pub composite: String,
    /// The seconds of a period.
    pub period: u32,
    /// The number of evaluated periods, the latest ones.
    pub evaluation_periods: u16,
    /// The number of these periods that must breach.
    pub datapoints_to_alarm: u16,
    /// The tags of every alarm of the target.
    pub tags: BTreeMap<String, String>,
}

impl NodeAlarms {
    /// The dimensions of all metrics: those of the target, for all callers.
    #[must_use]
    pub fn dimensions(&self) -> [(&'static str, &str); 2] {
        [("Mesh", self.mesh.as_str()), ("TargetVirtualNode", self.node.as_str())]
    }

    /// The rule of the composite alarm.
    #[must_use]
    pub fn rule(&self) -> String {
        let children: Vec<String> = self.alarms.iter().map(|alarm| format!("ALARM(\"{}\")", alarm.name)).collect();
        children.join(" OR ")
    }

    /// The purpose of the composite alarm.
    #[must_use]
    pub fn description(&self) -> String {
        format!("Virtual node {} of mesh {} fails: failover moves its traffic.", self.node, self.mesh)
    }
}

/// The alarms that a mesh needs, by target: one entry for each virtual node that a route gives a weight to, 0 included.
#[must_use]
pub fn required(mesh: &Mesh, policy: &FailoverPolicy, metrics: Metrics, namespace: &str) -> Vec<NodeAlarms> {
    let mut kinds: BTreeMap<&VirtualNodeName, BTreeSet<AlarmKind>> = BTreeMap::new();
    let routes = mesh.routers.values().flat_map(|router| router.routes.values());
    let targets = routes.filter_map(|route| route.rule.action()).flat_map(|action| action.weighted_targets.iter());
    for target in targets {
        // A dangling reference has no metrics.
        let Landing::Listener(listener) = landing(mesh, &target.virtual_node, target.port) else { continue };
        let kinds = kinds.entry(&target.virtual_node).or_default();
        match &listener.port_mapping.protocol {
            Protocol::Http | Protocol::Http2 | Protocol::Grpc => {
                kinds.insert(AlarmKind::Errors);
                if latency(mesh, &target.virtual_node, policy).is_some() {
                    kinds.insert(AlarmKind::Latency);
                }
            }
            // App Mesh's extension counts bytes only for TCP.
            Protocol::Tcp if metrics == Metrics::Envoy => {
                kinds.insert(AlarmKind::Connections);
            }
            Protocol::Tcp | Protocol::Unrecognised(_) => {}
        }
    }
    kinds
        .into_iter()
        .filter(|(_, kinds)| !kinds.is_empty())
        .map(|(node, kinds)| node_alarms(mesh, node, &kinds, policy, metrics, namespace))
        .collect()
}

fn latency(mesh: &Mesh, node: &VirtualNodeName, policy: &FailoverPolicy) -> Option<LatencyBound> {
    policy.target(&mesh.name, node).and_then(|target| target.latency).or(policy.alarms.latency)
}

fn node_alarms(
    mesh: &Mesh,
    node: &VirtualNodeName,
    kinds: &BTreeSet<AlarmKind>,
    policy: &FailoverPolicy,
    metrics: Metrics,
    namespace: &str,
) -> NodeAlarms {
    let rules = &policy.alarms;
    let alarms = kinds.iter().map(|kind| match kind {
        AlarmKind::Errors => errors(&mesh.name, node, rules, metrics),
        AlarmKind::Connections => connections(&mesh.name, node, rules),
        AlarmKind::Latency => {
            // The kind is there only with a bound.
            let bound = latency(mesh, node, policy);
            let bound = bound.unwrap_or(LatencyBound { percentile: rules.error_ratio, milliseconds: u32::MAX });
            response_time(&mesh.name, node, rules, bound, metrics)
        }
    });
    let discovery = &policy.discovery;
    NodeAlarms {
        mesh: mesh.name.clone(),
        node: node.clone(),
        namespace: namespace.to_owned(),
        alarms: alarms.collect(),
        composite: alarm_name(&mesh.name, node, None),
        period: rules.period.seconds(),
        evaluation_periods: rules.evaluation_periods,
        datapoints_to_alarm: rules.datapoints_to_alarm.min(rules.evaluation_periods),
        tags: BTreeMap::from([
            (discovery.mesh_tag.clone(), mesh.name.to_string()),
            (discovery.virtual_node_tag.clone(), node.to_string()),
        ]),
    }
}

fn errors(mesh: &MeshName, node: &VirtualNodeName, rules: &AlarmRules, metrics: Metrics) -> RequiredAlarm {
    let (failed, all) = match metrics {
        Metrics::Envoy => ("envoy_cluster_upstream_rq_5xx", "envoy_cluster_upstream_rq_completed"),
        Metrics::AppMesh => ("envoy_appmesh_HTTPCode_Target_5XX_Count", "envoy_appmesh_RequestCountPerTarget"),
    };
    RequiredAlarm {
        name: alarm_name(mesh, node, Some(AlarmKind::Errors)),
        kind: AlarmKind::Errors,
        description: format!(
            "More than {} % of the requests to virtual node {node} of mesh {mesh} fail, of {} or more in a period.",
            rules.error_ratio.get(),
            rules.min_requests
        ),
        metrics: vec![sum("errors", failed), sum("requests", all)],
        expression: format!("IF(requests >= {}, errors / requests, 0)", rules.min_requests.max(1)),
        threshold: f64::from(rules.error_ratio.get()) / 100.0,
    }
}

fn connections(mesh: &MeshName, node: &VirtualNodeName, rules: &AlarmRules) -> RequiredAlarm {
    RequiredAlarm {
        name: alarm_name(mesh, node, Some(AlarmKind::Connections)),
        kind: AlarmKind::Connections,
        description: format!(
            "More than {} % of the connections to virtual node {node} of mesh {mesh} can't be made, of {} or more in a period.",
            rules.error_ratio.get(),
            rules.min_requests
        ),
        metrics: vec![
            sum("failures", "envoy_cluster_upstream_cx_connect_fail"),
            sum("connections", "envoy_cluster_upstream_cx_total"),
        ],
        expression: format!("IF(connections >= {}, failures / connections, 0)", rules.min_requests.max(1)),
        threshold: f64::from(rules.error_ratio.get()) / 100.0,
    }
}

fn response_time(
    mesh: &MeshName,
    node: &VirtualNodeName,
    rules: &AlarmRules,
    bound: LatencyBound,
    metrics: Metrics,
) -> RequiredAlarm {
    let metric = match metrics {
        Metrics::Envoy => "envoy_cluster_upstream_rq_time",
        Metrics::AppMesh => "envoy_appmesh_TargetResponseTime",
    };
    let LatencyBound { percentile, milliseconds } = bound;
    RequiredAlarm {
        name: alarm_name(mesh, node, Some(AlarmKind::Latency)),
        kind: AlarmKind::Latency,
        description: format!(
            "The p{} of the response times of virtual node {node} of mesh {mesh} is over {milliseconds} ms.",
            percentile.get()
        ),
        metrics: vec![
            NamedMetric { id: "latency", metric, stat: format!("p{}", percentile.get()) },
            NamedMetric { id: "responses", metric, stat: "SampleCount".to_owned() },
        ],
        expression: format!("IF(responses >= {}, latency, 0)", rules.min_requests.max(1)),
        threshold: f64::from(milliseconds),
    }
}

fn sum(id: &'static str, metric: &'static str) -> NamedMetric {
    NamedMetric { id, metric, stat: "Sum".to_owned() }
}

/// The longest name of an alarm (`PutMetricAlarm`).
const LONGEST: usize = 255;

/// The name of an alarm: the same one for the same target always, and another for any other. Neither a mesh's nor a
/// node's name has a slash in it, so the parts can't run into each other.
fn alarm_name(mesh: &MeshName, node: &VirtualNodeName, kind: Option<AlarmKind>) -> String {
    let suffix = kind.map(|kind| format!("/{}", kind.suffix())).unwrap_or_default();
    let full = format!("meshwarden/{mesh}/{node}{suffix}");
    // A composite alarm's rule names its children in quotation marks.
    let usable = |c: char| !matches!(c, '"' | '\'' | '\\' | '(' | ')' | ',') && !c.is_control();
    let fits = full.chars().count() <= LONGEST && full.chars().all(usable);
    if fits { full } else { shortened(&full, usable, &suffix) }
}

/// A digest that distinguishes names with equal remaining characters.
pub(super) fn digest(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(5).fold(String::new(), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As much of the name as fits and is usable, with a digest of the whole.
fn shortened(full: &str, usable: impl Fn(char) -> bool, suffix: &str) -> String {
    let digest = digest(full);
    let room = LONGEST - suffix.chars().count() - digest.len() - 1;
    let stem = full.strip_suffix(suffix).unwrap_or(full);
    let kept: String = stem.chars().take(room).map(|c| if usable(c) { c } else { '_' }).collect();
    format!("{kept}~{digest}{suffix}")
}
