//! The targets that alarms report.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::muted::Muted;
use crate::failover::failure_metric::FailureEntry;
use mesh::alarm::{AlarmName, AlarmState, EvaluationState};
use mesh::name::{MeshName, VirtualNodeName};
use policy::AlarmRole;

/// One alarm that reports a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAlarm {
    /// The alarm.
    pub name: AlarmName,
    /// The kind of its metric.
    pub role: AlarmRole,
    /// The alarm's state.
    pub state: AlarmState,
    /// The time of the last change of the state, if CloudWatch reported one.
    pub since: Option<Timestamp>,
    /// The cause of the mute while the alarm is in `ALARM`; `None` if it is not muted.
    pub muted: Option<Muted>,
    /// Whether the alarm's source could be read.
    pub readable: bool,
    /// The evaluation problem that CloudWatch reports; `None` if the evaluation works.
    pub evaluation: Option<EvaluationState>,
    /// The caller of the requests that the alarm measures; `None` if it measures the requests of all callers.
    pub caller: Option<Caller>,
    /// The number of recent data points of the alarm's metric, if they were counted.
    pub recent_data_points: Option<u32>,
}

/// The caller that measures an outbound metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Caller {
    /// A virtual node.
    VirtualNode(String),
    /// A virtual gateway.
    VirtualGateway(String),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualNode(name) => write!(f, "virtual node {name}"),
            Self::VirtualGateway(name) => write!(f, "virtual gateway {name}"),
        }
    }
}

/// An alarm on the requests of one caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerAlarm {
    /// The caller.
    pub caller: Caller,
    /// The alarm.
    pub alarm: AlarmName,
}

impl fmt::Display for CallerAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (alarm {})", self.caller, self.alarm)
    }
}

/// The rule by which an alarm reports its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetRule {
    /// A binding of the policy.
    Binding,
    /// The target dimensions of an outbound metric.
    TargetDimensions,
    /// The mesh and the virtual node of an inbound metric.
    NodeDimensions,
    /// The alarm's tags.
    Tags,
    /// The children that make a composite alarm true.
    Children,
}

/// A target of an alarm, with the rule that maps the alarm to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedTarget {
    /// The mesh.
    pub mesh: MeshName,
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The kind of the alarm's metric.
    pub role: AlarmRole,
    /// The rule that named the target.
    pub rule: TargetRule,
    /// The failure metric, if the rule requires one.
    pub failure: Option<FailureEntry>,
    /// The caller that measures the metric, if it is an outbound metric of one caller.
    pub caller: Option<Caller>,
    /// When the series of this target entered `ALARM`, for an alarm with several series.
    pub since: Option<Timestamp>,
}
