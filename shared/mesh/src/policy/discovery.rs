//! How alarms without a binding are found, and which metrics may drain a target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::MeshName;

/// How alarms without a binding are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AlarmDiscovery {
    /// Whether the scheduled run looks for alarms by their dimensions and tags. Disabled, only bound alarms count.
    pub enabled: bool,
    /// Only alarms whose names begin with this prefix are read: in an account with thousands of alarms, reading them
    /// all every minute meets the rate limit of `DescribeAlarms`.
    pub prefix: String,
    /// The mesh of alarms whose dimensions name a virtual node and no mesh. Unset, such an alarm reports no target.
    pub mesh: Option<MeshName>,
    /// The metric dimension that names the mesh. Labels in lower case with underscores count as well, as in `mesh`.
    pub mesh_dimension: String,
    /// The metric dimension that names the virtual node that measures: the target of an inbound metric, and the caller
    /// of an outbound metric.
    pub virtual_node_dimension: String,
    /// The metric dimension that names the virtual gateway that measures. It is always a caller.
    pub virtual_gateway_dimension: String,
    /// The metric dimension that names the target of an outbound metric.
    pub target_virtual_node_dimension: String,
    /// The metric dimension that names the virtual service called. A service alone has no unique target.
    pub target_virtual_service_dimension: String,
    /// The tag of an alarm that names the mesh.
    pub mesh_tag: String,
    /// The tag of an alarm that names the virtual node.
    pub virtual_node_tag: String,
}

impl Default for AlarmDiscovery {
    fn default() -> Self {
        Self {
            enabled: true,
            prefix: String::new(),
            mesh: None,
            // The names that App Mesh's metrics extension and AWS's sample collectors use.
            mesh_dimension: "Mesh".to_owned(),
            virtual_node_dimension: "VirtualNode".to_owned(),
            virtual_gateway_dimension: "VirtualGateway".to_owned(),
            target_virtual_node_dimension: "TargetVirtualNode".to_owned(),
            target_virtual_service_dimension: "TargetVirtualService".to_owned(),
            mesh_tag: "meshwarden:mesh".to_owned(),
            virtual_node_tag: "meshwarden:virtual-node".to_owned(),
        }
    }
}

/// The metrics whose alarms may drain the target that their dimensions name. An alarm on any other metric is reported
/// as `NotAFailureMetric` and never acted on, unless a binding or the alarm's tags name its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailureMetricsPolicy {
    /// Whether the built-in list counts: errors, latency, failed health checks and missing requests, as App Mesh,
    /// Envoy, OpenTelemetry, load balancers and VPC Lattice name them.
    pub built_in: bool,
    /// Further metrics. They win over `remove`.
    pub add: Vec<FailureMetric>,
    /// Metrics that do not count, by name; `*` stands for any text.
    pub remove: Vec<String>,
}

impl Default for FailureMetricsPolicy {
    fn default() -> Self {
        Self { built_in: true, add: Vec::new(), remove: Vec::new() }
    }
}

/// A metric that reports a failure of its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureMetric {
    /// The metric's name; `*` stands for any text. Upper and lower case, dots, dashes and underscores are the same.
    pub metric: String,
    /// The namespace; `*` stands for any text. Unset for every namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The side on which the metric reports a failure.
    #[serde(default)]
    pub breach: Breach,
}

/// The side on which a metric reports a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Breach {
    /// Too high, as of errors and latency.
    #[default]
    Above,
    /// Too low, as of a success rate.
    Below,
}

/// What follows when only some callers of a target report that it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerDisagreement {
    /// Nothing is moved, and `CallersDisagree` pages: the caller's side may be the one that fails.
    #[default]
    Hold,
    /// The target counts as failing.
    Act,
}
