//! The documentation of the reasons for which an alarm leads to no decision.

use super::targets::Unmapped;
use super::unanswered::NoAnswer;
use crate::reason_entry::{Paging, ReasonEntry, reason_entries};

reason_entries! { Unmapped {
    NamesNoTarget: AtOnce,
        "No binding, dimension, label or tag of the alarm names a virtual node.",
        "Bind or tag the alarm; `meshwarden explain alarm/NAME` prints the YAML.";
    NamesSeveral: AtOnce,
        "The alarm's metrics name several virtual nodes, so the failing one is unknown.",
        "Use one alarm for each virtual node, or bind the alarm.";
    LacksMesh: AtOnce,
        "The dimensions name a virtual node without a mesh.",
        "Name the mesh in `failover.discovery.mesh`, or bind the alarm.";
    CallerOnly: AtOnce,
        "The metric is outbound and names only the caller, which is not the failing side.",
        "Add the dimensions `Mesh` and `TargetVirtualNode`, or bind the alarm.";
    ServiceOnly: AtOnce,
        "The dimensions name the called virtual service, which can have several targets.",
        "Add the dimensions `Mesh` and `TargetVirtualNode`, or bind the alarm.";
    GatewayOnly: AtOnce,
        "The dimensions name a virtual gateway, which is not a target of a route.",
        "Bind the alarm to a virtual node.";
    InvalidName: AtOnce,
        "A dimension has a value that is not a valid name of a mesh or a virtual node.",
        "Correct the dimension, or bind the alarm.";
    NotAFailureMetric: Never,
        "The alarm watches load or another metric that is not on the list of failure metrics. It is left alone on purpose.",
        "If the metric is a failure, add it to `failover.failureMetrics`.";
    ContributorsUnread: AtOnce,
        "An alarm with several series is in `ALARM`, and its contributors could not be read.",
        "Permit `cloudwatch:DescribeAlarmContributors`.";
    ChildrenNameNoTarget: AtOnce,
        "No child that makes the composite alarm true reports a virtual node.",
        "Let a child report a virtual node, or bind the composite alarm.";
    ChildrenUnread: AtOnce,
        "The composite alarm depends on alarms that could not be read.",
        "Permit `cloudwatch:DescribeAlarms` for them, and remove deleted ones from the rule.";
    ChildrenChanged: AtOnce,
        "The states of the children no longer make the composite alarm true; they changed between the reads.",
        "Nothing: the next run reads them again.";
    Unreadable: AtOnce,
        "The alarm's metrics or rule cannot be parsed.",
        "Bind the alarm.";
}}

/// An alarm that does not exist.
const MISSING: ReasonEntry = ReasonEntry {
    code: "AlarmMissing",
    paging: Paging::AtOnce,
    meaning: "A binding or an event names an alarm that does not exist.",
    action: "Create the alarm, or remove its binding.",
};

/// An alarm of another account or region.
const ELSEWHERE: ReasonEntry = ReasonEntry {
    code: "OtherAccount",
    paging: Paging::AtOnce,
    meaning: "The alarm belongs to another account or region, so the function cannot read it.",
    action: "Create the alarm in the account and region of the function.",
};

impl NoAnswer {
    /// The entries of the reasons that are not those of [`Unmapped`].
    pub const ENTRIES: &'static [ReasonEntry] = &[MISSING, ELSEWHERE];

    /// The entry of this reason: its stable code, its meaning, and what an operator does.
    #[must_use]
    pub const fn entry(&self) -> &'static ReasonEntry {
        match self {
            Self::AlarmMissing => &MISSING,
            Self::OtherAccount { .. } => &ELSEWHERE,
            Self::Unmapped(reason) => reason.entry(),
        }
    }
}
