//! The reasons of decisions about drills.

use std::fmt;

use decisions::failover::HarmFact;
use jiff::Timestamp;
use mesh::alarm::AlarmName;
use mesh::name::{RouteId, VirtualNodeName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The reason of a decision. Its name is the stable code; its members are the facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all_fields = "camelCase")]
pub enum Reason {
    /// No drill is active, requested or due.
    NoDrill,
    /// All checks passed.
    DrillStarted {
        /// When the weights must be restored.
        restore_by: Timestamp,
    },
    /// The node is being drained.
    Draining {
        /// The routes that still have to be written.
        routes: Vec<RouteId>,
    },
    /// The proxies have not acknowledged the weights yet.
    AwaitsProxies {
        /// The missing data.
        why: String,
    },
    /// The node is drained.
    DrillRunning {
        /// When the drill ends.
        until: Timestamp,
    },
    /// The weights are being restored.
    Restoring {
        /// The routes that still have to be written.
        routes: Vec<RouteId>,
    },
    /// The restore waits because the drained node fails: route-failover takes it over.
    AwaitsFailover {
        /// The alarms in `ALARM`.
        alarms: Vec<AlarmName>,
    },
    /// The weights were not restored by their deadline.
    RestoreOverdue {
        /// The deadline.
        restore_by: Timestamp,
        /// The routes that are still drained.
        routes: Vec<RouteId>,
    },
    /// The drill lasted its whole duration.
    DurationOver,
    /// An outcome alarm is in `ALARM`.
    OutcomeAlarm {
        /// The alarms.
        alarms: Vec<AlarmName>,
    },
    /// A node that took traffic over fails.
    ReceiverFailing {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// A blocking alarm is in `ALARM`.
    BlockingAlarm {
        /// The alarms.
        alarms: Vec<AlarmName>,
    },
    /// Alarms of the plan cannot be read, do not exist, or have no data.
    AlarmUnknown {
        /// Each alarm with the reason.
        alarms: Vec<String>,
    },
    /// A node of the mesh fails.
    NodeFailing {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
    },
    /// The drained node fails by itself.
    DrilledNodeFailing {
        /// The alarms in `ALARM`.
        alarms: Vec<AlarmName>,
    },
    /// Another writer of weights changed a route of the drill.
    LayerLost {
        /// The route.
        route: RouteId,
        /// The writer, as far as it is known.
        why: String,
    },
    /// An operator or a service stopped the drill.
    Stopped {
        /// The operator or service that requested the stop.
        by: String,
    },
    /// The weights were not written in time.
    DrainTimedOut {
        /// The routes that were not written.
        routes: Vec<RouteId>,
    },
    /// The proxies did not acknowledge the weights in time.
    Unacknowledged {
        /// The missing data.
        why: String,
    },
    /// The kill switch is on.
    KillSwitchOn {
        /// The operator who turned it on.
        by: String,
        /// The operator's reason.
        why: String,
    },
    /// The virtual node does not exist.
    NodeMissing,
    /// No route gives the node weight, so no failover could move its traffic.
    NoRoute,
    /// Another writer of weights holds a route. The code is that of the arbiter.
    RouteOccupied {
        /// The route.
        route: RouteId,
        /// The arbiter's code.
        by: String,
        /// The explanation, with the command that resolves it.
        why: String,
    },
    /// A failover could not move the node's traffic now: a standby is not ready, or has too little capacity.
    ReceiverNotReady {
        /// The route.
        route: RouteId,
        /// The code of the failover's hold.
        hold: String,
        /// The explanation.
        why: String,
    },
    /// What-if finds that draining the node would break something.
    Harmful {
        /// The route.
        route: RouteId,
        /// The harms.
        harms: Vec<HarmFact>,
    },
    /// A receiver would get more requests than the policy permits.
    CapacityExceeded {
        /// The receiver.
        node: VirtualNodeName,
        /// The expected rate, in requests a second.
        expected: f64,
        /// The permitted rate.
        permitted: f64,
    },
    /// The request rates cannot be read.
    CapacityUnknown {
        /// The reason.
        why: String,
    },
    /// The budget of drills is spent.
    BudgetSpent {
        /// The drills of the window.
        used: u32,
        /// The permitted number.
        cap: u32,
    },
    /// No drill starts today.
    BlockedDate,
    /// The mode of the mesh is observe.
    ObserveOnly,
    /// Another drill of the mesh is active.
    DrillActive {
        /// The id of the active drill.
        drill: String,
    },
    /// The request names a plan that is not in the policy.
    UnknownPlan,
    /// The plan was due in a window, and the function did not run in it or another drill was active.
    WindowMissed {
        /// The end of the window.
        until: Timestamp,
    },
}

/// The codes of all reasons.
macro_rules! codes {
    ($($variant:ident),* $(,)?) => {
        impl Reason {
            /// All codes, in the order of the documentation.
            pub const CODES: &'static [&'static str] = &[$(stringify!($variant)),*];

            /// The stable code.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                }
            }
        }
    };
}

codes!(
    NoDrill,
    DrillStarted,
    Draining,
    AwaitsProxies,
    DrillRunning,
    Restoring,
    AwaitsFailover,
    RestoreOverdue,
    DurationOver,
    OutcomeAlarm,
    ReceiverFailing,
    BlockingAlarm,
    AlarmUnknown,
    NodeFailing,
    DrilledNodeFailing,
    LayerLost,
    Stopped,
    DrainTimedOut,
    Unacknowledged,
    KillSwitchOn,
    NodeMissing,
    NoRoute,
    RouteOccupied,
    ReceiverNotReady,
    Harmful,
    CapacityExceeded,
    CapacityUnknown,
    BudgetSpent,
    BlockedDate,
    ObserveOnly,
    DrillActive,
    UnknownPlan,
    WindowMissed,
);

impl Reason {
    /// The facts, without the code.
    #[must_use]
    pub fn facts(&self) -> Value {
        // Reasons have only string keys, so this cannot fail.
        let mut facts = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = facts.as_object_mut() {
            members.remove("code");
        }
        facts
    }

    /// Whether waiting cannot resolve the reason, so that a drill is refused at once.
    #[must_use]
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::NodeMissing | Self::NoRoute | Self::UnknownPlan | Self::DrillActive { .. } | Self::BlockedDate
        )
    }

    /// Whether the reason is about capacity.
    #[must_use]
    pub(crate) const fn is_capacity(&self) -> bool {
        matches!(self, Self::CapacityExceeded { .. } | Self::CapacityUnknown { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDrill => f.write_str("no drill is active or due"),
            Self::DrillStarted { restore_by } => write!(f, "all checks passed; the weights return by {restore_by:.0}"),
            Self::Draining { routes } => write!(f, "the weights of {} are being written", list(routes)),
            Self::AwaitsProxies { why } => write!(f, "the proxies have not acknowledged the weights: {why}"),
            Self::DrillRunning { until } => write!(f, "the node is drained until {until:.0}"),
            Self::Restoring { routes } if routes.is_empty() => f.write_str("the weights are restored"),
            Self::Restoring { routes } => write!(f, "the weights of {} are being restored", list(routes)),
            Self::AwaitsFailover { alarms } => {
                write!(f, "the drained node fails by itself ({}), so route-failover keeps it drained", list(alarms))
            }
            Self::RestoreOverdue { restore_by, routes } => {
                write!(f, "the weights of {} should be restored since {restore_by:.0}", list(routes))
            }
            Self::DurationOver => f.write_str("the node was drained for the whole duration"),
            Self::OutcomeAlarm { alarms } => write!(f, "outcome alarm {} is in ALARM", list(alarms)),
            Self::ReceiverFailing { nodes } => write!(f, "{} took traffic over and fails", list(nodes)),
            Self::BlockingAlarm { alarms } => write!(f, "blocking alarm {} is in ALARM", list(alarms)),
            Self::AlarmUnknown { alarms } => write!(f, "no usable state of {}", alarms.join(", ")),
            Self::NodeFailing { nodes } => write!(f, "{} fails", list(nodes)),
            Self::DrilledNodeFailing { alarms } => write!(f, "the drained node fails by itself: {}", list(alarms)),
            Self::LayerLost { route, why } => write!(f, "{route} is not drained by this drill any more: {why}"),
            Self::Stopped { by } => write!(f, "{by} stopped the drill"),
            Self::DrainTimedOut { routes } => write!(f, "the weights of {} were not written in time", list(routes)),
            Self::Unacknowledged { why } => write!(f, "the proxies did not acknowledge the weights in time: {why}"),
            Self::KillSwitchOn { by, why } => write!(f, "{by} turned the kill switch on: {why}"),
            Self::NodeMissing => f.write_str("the virtual node does not exist"),
            Self::NoRoute => f.write_str("no route gives the node weight"),
            Self::RouteOccupied { route, why, .. } => write!(f, "{route} has another writer: {why}"),
            Self::ReceiverNotReady { route, why, .. } => write!(f, "a failover of {route} would not work now: {why}"),
            Self::Harmful { route, harms } => {
                let harms: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                write!(f, "draining the node on {route} would do harm: {}", harms.join("; "))
            }
            Self::CapacityExceeded { node, expected, permitted } => {
                write!(f, "{node} would get {expected:.1} requests a second, and {permitted:.1} are permitted")
            }
            Self::CapacityUnknown { why } => write!(f, "the request rates cannot be read: {why}"),
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} drills of this window are used"),
            Self::BlockedDate => f.write_str("the policy blocks this date"),
            Self::ObserveOnly => f.write_str("all checks passed, and the mode is observe"),
            Self::DrillActive { drill } => write!(f, "drill {drill} of the mesh is active"),
            Self::UnknownPlan => f.write_str("the policy has no such plan"),
            Self::WindowMissed { until } => write!(f, "no drill was tried in the window that ended at {until:.0}"),
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rules::reason_catalogue::reason_tables;

    use super::*;

    #[test]
    fn every_code_is_documented_and_every_documented_code_exists() {
        let tables = reason_tables("failover-drill");
        let own = tables.iter().filter(|table| table.title.starts_with("Drills"));
        let documented: BTreeSet<&str> = own.flat_map(|table| table.entries).map(|entry| entry.code).collect();
        let codes: BTreeSet<&str> = Reason::CODES.iter().copied().collect();
        assert_eq!(documented, codes);
    }

    #[test]
    fn stored_reason_has_its_code_and_facts() {
        let reason = Reason::Stopped { by: "ada".to_owned() };
        let stored = serde_json::to_value(&reason).unwrap();
        assert_eq!(stored, serde_json::json!({ "code": "Stopped", "by": "ada" }));
        assert_eq!(serde_json::from_value::<Reason>(stored).unwrap(), reason);
        assert_eq!((reason.code(), reason.facts()), ("Stopped", serde_json::json!({ "by": "ada" })));
        assert_eq!(reason.to_string(), "ada stopped the drill");
    }
}
