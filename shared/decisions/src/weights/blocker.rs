//! The reason why a writer waits or is refused.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::reason_entry::reason_entries;
use mesh::name::{RouteId, VirtualNodeName};

/// The reason why a writer waits or is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Blocker {
    /// An operator edited or holds the route.
    PersonEdited {
        /// When the edit was first observed.
        seen: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// A node of the route is drained or returning.
    FailoverActive {
        /// The nodes.
        nodes: Vec<VirtualNodeName>,
        /// When the first of them entered its phase.
        since: Timestamp,
    },
    /// Another rollout is on the route.
    RolloutActive {
        /// The id of the rollout.
        rollout: String,
    },
    /// A drill is on the route.
    DrillActive {
        /// The id of the drill.
        drill: String,
        /// The drained node.
        node: VirtualNodeName,
        /// When the drill ends at the latest.
        restore_by: Timestamp,
    },
    /// An operator has set the kill switch.
    KillSwitchOn {
        /// The operator.
        by: String,
        /// The operator's reason.
        why: String,
    },
}

reason_entries! { Blocker {
    PersonEdited: IfLasting,
        "An operator edited or holds the route. Rollouts and drills wait, or are refused.",
        "Run `meshwarden release ROUTE` if they may write again.";
    FailoverActive: IfLasting,
        "A node of the route is drained or returning, so that its shares are not those declared.",
        "Repair the node, or run `meshwarden restore ROUTE`.";
    RolloutActive: Never,
        "Another rollout is on the route.",
        "Wait for its end, or run `meshwarden rollout abort`.";
    DrillActive: Never,
        "A drill drains a node of the route.",
        "Wait for its end, or run `meshwarden drill stop`.";
    KillSwitchOn: AtOnce,
        "The kill switch is on, so nothing is written.",
        "`meshwarden kill off` when the reason for the switch is resolved.";
}}

impl Blocker {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.entry().code
    }

    /// When the reason ends without a command, if that is known.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::PersonEdited { until, .. } => Some(*until),
            Self::DrillActive { restore_by, .. } => Some(*restore_by),
            Self::FailoverActive { .. } | Self::RolloutActive { .. } | Self::KillSwitchOn { .. } => None,
        }
    }

    /// The command that ends the reason.
    #[must_use]
    pub fn command(&self, route: &RouteId) -> String {
        match self {
            Self::PersonEdited { .. } => format!("meshwarden release {route}"),
            Self::FailoverActive { .. } => format!("meshwarden restore {route}"),
            Self::RolloutActive { rollout } => format!("meshwarden rollout abort {rollout}"),
            Self::DrillActive { drill, .. } => format!("meshwarden drill stop {drill}"),
            Self::KillSwitchOn { .. } => "meshwarden kill off".to_owned(),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PersonEdited { until, .. } => write!(f, "an operator holds the route until {until:.0}"),
            Self::FailoverActive { nodes, since } => {
                let nodes: Vec<&str> = nodes.iter().map(VirtualNodeName::as_str).collect();
                write!(f, "{} is drained or returning since {since:.0}", nodes.join(", "))
            }
            Self::RolloutActive { rollout } => write!(f, "rollout {rollout} is on the route"),
            Self::DrillActive { drill, node, restore_by } => {
                write!(f, "drill {drill} drains {node} until {restore_by:.0} at the latest")
            }
            Self::KillSwitchOn { by, why } => write!(f, "{by} has set the kill switch: {why}"),
        }
    }
}
