//! How long a decision not to repair may stay as it is: what is not final ends by itself, or it is a standstill.

use jiff::SignedDuration;

use super::reason::HoldReason;
use crate::watch::Expects;

/// How long a repair that is due may not get done: other writers are done in minutes, and a budget is for an hour.
pub const UNDONE_FOR: SignedDuration = SignedDuration::from_hours(3);

impl HoldReason {
    /// How long this reason may hold without any change.
    #[must_use]
    pub const fn expects(&self) -> Expects {
        match self {
            Self::InsideGrace { until } => Expects::Until(*until),
            Self::BudgetSpent { .. } => Expects::Within(UNDONE_FOR),
            // Calls that fail and documents that cannot be read are paged as such.
            Self::TagsUnknown
            | Self::ResourceUnread
            | Self::SourceTagsUnknown { .. }
            | Self::PartlyRead { .. }
            | Self::StateUnreachable
            | Self::RecordUnreadable { .. }
            | Self::NewerFormat { .. }
            // An operator was notified, and decides.
            | Self::TagConflict { .. }
            | Self::AgeUnknown
            | Self::WouldCut { .. }
            | Self::WouldHarm { .. }
            | Self::FilterOpen { .. }
            | Self::FilterUnknown { .. }
            | Self::RemovalNotAllowed { .. }
            | Self::NoSafeRepair { .. }
            | Self::KillSwitchOn { .. } => Expects::Final,
        }
    }
}
