//! The maximum duration of a hold. A hold that is not final must end on its own; otherwise it is a standstill.

use jiff::SignedDuration;

use super::reason::ComplianceHoldReason;
use mesh::watch::Expects;

/// The maximum time for a due repair: other writers finish within minutes, and a budget window lasts an hour.
pub const UNDONE_FOR: SignedDuration = SignedDuration::from_hours(3);

impl ComplianceHoldReason {
    /// The maximum duration of this hold without any change.
    #[must_use]
    pub const fn expects(&self) -> Expects {
        match self {
            Self::InsideGrace { until } => Expects::Until(*until),
            Self::BudgetSpent { .. } => Expects::Within(UNDONE_FOR),
            // Failed calls and unreadable documents page on their own.
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
