//! The active rollouts and drills, which an operator must know before the kill switch is turned on.

use std::fmt::Write as _;

use drills::Drill;
use mesh::name::MeshName;

use super::desk::Desk;
use super::drill;
use super::rollout::{self, Found};

/// The active rollouts and drills.
#[derive(Debug, Default)]
pub(super) struct ActiveLayers {
    pub(super) rollouts: Vec<Found>,
    pub(super) drills: Vec<(MeshName, Drill)>,
    /// The parts that could not be read, with the reason.
    pub(super) unread: Vec<String>,
}

impl ActiveLayers {
    /// Reads what can be read: nothing delays a stop.
    pub(super) async fn read(desk: &Desk<'_>) -> Self {
        let mut active = Self::default();
        match rollout::active(desk).await {
            Ok(rollouts) => active.rollouts = rollouts,
            Err(error) => active.unread.push(format!("failed to read the rollouts: {error}")),
        }
        match drill::active(desk).await {
            Ok((drills, unread)) => {
                active.drills = drills;
                active.unread.extend(unread);
            }
            Err(error) => active.unread.push(format!("failed to read the drills: {error}")),
        }
        active
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rollouts.is_empty() && self.drills.is_empty()
    }

    /// One line for each rollout, drill and unread part.
    pub(super) fn lines(&self, desk: &Desk<'_>) -> String {
        let mut text = String::new();
        for found in &self.rollouts {
            let _ = writeln!(text, "  rollout {}", rollout::line(found, desk.now()));
        }
        for (mesh, drill) in &self.drills {
            let Drill { plan, phase, restore_by, .. } = drill;
            let _ = write!(text, "  drill {mesh}/{} {}", plan.name, phase.as_str());
            let _ = restore_by.map_or(Ok(()), |by| write!(text, ", to be restored by {by:.0}"));
            text.push('\n');
        }
        for unread in &self.unread {
            let _ = writeln!(text, "  {unread}");
        }
        text
    }
}
