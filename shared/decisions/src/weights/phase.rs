//! The phase of a node in a failover.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The phase of a node that does not carry its whole share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Phase {
    /// Weight 0, or only the part that no other target has capacity for.
    Drained {
        /// When it was drained.
        since: Timestamp,
        /// When its alarms were last in `ALARM`; absent while they are. Later states, such as alternating `OK` and
        /// `INSUFFICIENT_DATA`, do not change it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quiet: Option<Timestamp>,
    },
    /// Part of its share: the probe share at step 0, then one step of the policy after another.
    Returning {
        /// The step; 0 is the probe.
        step: u8,
        /// When the step began.
        since: Timestamp,
        /// Whether the probe share was given without proof, because the node's alarms cannot leave `ALARM`
        /// without traffic.
        #[serde(default, skip_serializing_if = "is_false")]
        trial: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Phase {
    /// The phase of a node that is drained now.
    #[must_use]
    pub const fn drained(since: Timestamp) -> Self {
        Self::Drained { since, quiet: None }
    }

    /// The phase of a node that begins a step now.
    #[must_use]
    pub const fn returning(step: u8, since: Timestamp) -> Self {
        Self::Returning { step, since, trial: false }
    }

    /// When the phase began.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Drained { since, .. } | Self::Returning { since, .. } => *since,
        }
    }
}
