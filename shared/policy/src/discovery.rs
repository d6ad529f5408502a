//! The discovery of alarms without a binding, and the metrics that may drain a target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use mesh::name::MeshName;

/// The discovery of alarms without a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AlarmDiscovery {
    /// Whether the scheduled run looks for alarms by their dimensions and tags. Disabled, only bound alarms count.
    pub enabled: bool,
    /// The prefix of the names of all alarms to read. In an account with thousands of alarms, reading all of them every
    /// minute exceeds the rate limit of `DescribeAlarms`.
    pub prefix: String,
    /// The mesh of alarms with dimensions that name a virtual node and no mesh. Absent: such an alarm
    /// reports no target.
    pub mesh: Option<MeshName>,
    /// The metric dimension that names the mesh. Labels in lower case with underscores count as well, for example
    /// `mesh`.
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

/// The metrics that may drain the target in an alarm's dimensions. An alarm on any other metric is reported as
/// `NotAFailureMetric` and has no effect, unless a binding or the alarm's tags name its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FailureMetricsPolicy {
    /// Whether the built-in list applies: errors, latency, failed health checks and missing requests, under the names
    /// of App Mesh, Envoy, OpenTelemetry, load balancers and VPC Lattice.
    pub built_in: bool,
    /// Further metrics. They take precedence over `remove`.
    pub add: Vec<FailureMetric>,
    /// Metrics to remove from the list, by name; `*` matches any text.
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
    /// The metric's name; `*` matches any text. Letter case, dots, dashes and underscores are ignored.
    pub metric: String,
    /// The namespace; `*` matches any text. Absent: every namespace.
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
    /// Too high, for example errors and latency.
    #[default]
    Above,
    /// Too low, for example a success rate.
    Below,
}

/// The reaction if only some callers of a target report that it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerDisagreement {
    /// No weight is moved, and `CallersDisagree` pages: the failure may be on the callers' side.
    #[default]
    Hold,
    /// The target counts as failing.
    Act,
}
