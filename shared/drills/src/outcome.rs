//! The outcome of a drill, in the terms of ARC's practice runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of a drill. The first four are ARC's; the last two are for drills that changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DrillOutcome {
    /// The node was drained for the whole duration, and no outcome alarm reported it.
    Succeeded,
    /// An outcome alarm or a receiver's alarm went into `ALARM`.
    Failed,
    /// Something unrelated ended the drill early, so that it proved nothing.
    Interrupted,
    /// The receivers have too little capacity, or it is not known. Nothing was changed.
    CapacityCheckFailed,
    /// Another check did not pass before the end of the window. Nothing was changed.
    NotStarted,
    /// The plan was due and its window passed without an attempt.
    Missed,
}

impl DrillOutcome {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
            Self::CapacityCheckFailed => "CAPACITY_CHECK_FAILED",
            Self::NotStarted => "NOT_STARTED",
            Self::Missed => "MISSED",
        }
    }

    /// Whether the drill proved whether a failover of the node works.
    #[must_use]
    pub const fn is_conclusive(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Interrupted | Self::CapacityCheckFailed | Self::NotStarted | Self::Missed => false,
        }
    }
}

impl fmt::Display for DrillOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
