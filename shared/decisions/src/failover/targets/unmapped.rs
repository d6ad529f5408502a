//! The reasons why an alarm reports no target, and what to add so that it reports one.

use std::fmt;

use serde::Serialize;

use mesh::alarm::{AlarmName, Direction};
use mesh::name::VirtualNodeName;

/// The reason why an alarm reports no node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Unmapped {
    /// No binding, dimension, label or tag names a node.
    NamesNoTarget,
    /// The alarm's metrics name several nodes, so that it is not known which one fails.
    NamesSeveral {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// The dimensions name a node and no mesh; the name of a node is unique only within its mesh.
    LacksMesh {
        /// The node.
        node: String,
    },
    /// The dimensions of an outbound metric name the caller and no target. The caller is not the failing node.
    CallerOnly {
        /// The caller.
        caller: String,
    },
    /// The dimensions name the called virtual service; any of its targets may fail.
    ServiceOnly {
        /// The virtual service.
        service: String,
    },
    /// The dimensions name a virtual gateway, which cannot be a target of a route.
    GatewayOnly {
        /// The virtual gateway.
        gateway: String,
    },
    /// A dimension has a value that is not a valid name.
    InvalidName {
        /// The value.
        value: String,
    },
    /// The alarm names a target, but none of its metrics reports a failure on the side on which the alarm breaches.
    NotAFailureMetric {
        /// The metrics.
        metrics: Vec<String>,
        /// The side on which the alarm breaches: `above`, `below` or `either`.
        breach: &'static str,
    },
    /// An alarm with several series is in `ALARM`, and the series could not be read.
    ContributorsUnread,
    /// A composite alarm that is true because of children that report no node.
    ChildrenNameNoTarget,
    /// A composite alarm that depends on alarms that could not be read.
    ChildrenUnread {
        /// The alarms.
        alarms: Vec<AlarmName>,
    },
    /// A composite alarm is in `ALARM`, but the states of its children contradict that; they changed in between.
    ChildrenChanged,
    /// The alarm's source or rule cannot be read.
    Unreadable {
        /// The error.
        why: String,
    },
}

impl Unmapped {
    /// The stable code of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NamesNoTarget => "NamesNoTarget",
            Self::NamesSeveral { .. } => "NamesSeveral",
            Self::LacksMesh { .. } => "LacksMesh",
            Self::CallerOnly { .. } => "CallerOnly",
            Self::ServiceOnly { .. } => "ServiceOnly",
            Self::GatewayOnly { .. } => "GatewayOnly",
            Self::InvalidName { .. } => "InvalidName",
            Self::NotAFailureMetric { .. } => "NotAFailureMetric",
            Self::ContributorsUnread => "ContributorsUnread",
            Self::ChildrenNameNoTarget => "ChildrenNameNoTarget",
            Self::ChildrenUnread { .. } => "ChildrenUnread",
            Self::ChildrenChanged => "ChildrenChanged",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    /// Whether the alarm is ignored on purpose. Every other reason needs an operator while the alarm is in `ALARM`.
    #[must_use]
    pub fn is_not_a_failure(&self) -> bool {
        matches!(self, Self::NotAFailureMetric { .. })
    }
}

impl Unmapped {
    /// What to add so that the alarm reports a target, as sentences and YAML of the policy.
    #[must_use]
    pub fn remedy(&self, alarm: &AlarmName) -> String {
        let binding = |node: &str| {
            format!(
                "bind the alarm in the policy:\n\n  failover:\n    bindings:\n      - alarm: {}\n        mesh: MESH\n        \
                 virtualNode: {node}\n\nor tag it:\n\n  meshwarden:mesh: MESH\n  meshwarden:virtual-node: {node}\n",
                serde_json::Value::from(alarm.as_str())
            )
        };
        match self {
            Self::NamesNoTarget | Self::GatewayOnly { .. } | Self::InvalidName { .. } | Self::Unreadable { .. } => {
                binding("NODE")
            }
            Self::CallerOnly { .. } | Self::ServiceOnly { .. } => {
                format!("add the dimensions Mesh and TargetVirtualNode to the alarm's metric, or {}", binding("NODE"))
            }
            Self::LacksMesh { node } => format!(
                "name the mesh of such alarms in the policy:\n\n  failover:\n    discovery:\n      mesh: MESH\n\nor {}",
                binding(node)
            ),
            Self::NamesSeveral { .. } => {
                format!("use one alarm for each virtual node, or {}", binding("NODE"))
            }
            Self::NotAFailureMetric { metrics, breach } => {
                let metric = metrics.first().map_or("METRIC", String::as_str);
                format!(
                    "no change is needed if the alarm measures load. If it reports a failure, add the metric to the policy:\n\n  \
                     failover:\n    failureMetrics:\n      add:\n        - {{ metric: {}, breach: {} }}\n\nor {}",
                    serde_json::Value::from(metric),
                    if *breach == "below" { "below" } else { "above" },
                    binding("NODE")
                )
            }
            Self::ContributorsUnread => {
                "permit cloudwatch:DescribeAlarmContributors; the next run reads the contributors again\n".to_owned()
            }
            Self::ChildrenUnread { .. } => "permit cloudwatch:DescribeAlarms for the alarms that the rule names, and \
                                            remove deleted alarms from the rule\n"
                .to_owned(),
            Self::ChildrenChanged => "no change is needed; the next run reads the children again\n".to_owned(),
            Self::ChildrenNameNoTarget => {
                format!("let a child report a virtual node, or {}", binding("NODE"))
            }
        }
    }
}

/// The name of the side on which an alarm breaches.
pub(super) fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Above => "above",
        Direction::Below => "below",
        Direction::Either => "either",
    }
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamesNoTarget => f.write_str("no binding, dimension, label or tag names a virtual node"),
            Self::NamesSeveral { nodes } => {
                let nodes: Vec<&str> = nodes.iter().map(VirtualNodeName::as_str).collect();
                write!(f, "its metrics name several virtual nodes: {}", nodes.join(", "))
            }
            Self::LacksMesh { node } => write!(f, "its dimensions name virtual node {node} and no mesh"),
            Self::CallerOnly { caller } => {
                write!(f, "its metric is outbound and names only the caller {caller}, not the target")
            }
            Self::ServiceOnly { service } => {
                write!(f, "its dimensions name virtual service {service}, which can have several targets")
            }
            Self::GatewayOnly { gateway } => {
                write!(f, "its dimensions name virtual gateway {gateway}, which cannot be a target of a route")
            }
            Self::InvalidName { value } => write!(f, "`{value}` is not a valid name of a mesh or a virtual node"),
            Self::NotAFailureMetric { metrics, breach } => write!(
                f,
                "{} {breach} the bound is not a failure: it is not on the list of failure metrics",
                metrics.join(", ")
            ),
            Self::ContributorsUnread => f.write_str("its contributors could not be read"),
            Self::ChildrenNameNoTarget => f.write_str("no child that makes it true reports a virtual node"),
            Self::ChildrenUnread { alarms } => {
                let alarms: Vec<&str> = alarms.iter().map(AlarmName::as_str).collect();
                write!(f, "it depends on alarms that could not be read: {}", alarms.join(", "))
            }
            Self::ChildrenChanged => f.write_str("the states of its children no longer make it true"),
            Self::Unreadable { why } => write!(f, "it cannot be read: {why}"),
        }
    }
}
