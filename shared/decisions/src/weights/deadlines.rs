//! Who restores a layer, and when another function does it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::layers::{EndReason, LayerKind, Layers};

/// How long a rollout may be unattended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    /// How long after its `attendBy` a rollout is rolled back by route-failover.
    pub unattended: SignedDuration,
}

impl LayerLimits {
    /// How far ahead each run of traffic-shift sets `attendBy`. Five scheduled runs: a throttled function is not yet a
    /// function that does not run.
    pub const ATTEND: SignedDuration = SignedDuration::from_mins(5);
}

impl Default for LayerLimits {
    fn default() -> Self {
        // Long enough for an operator to repair the function after the page, short enough that a failing version does not
        // keep its step for an hour.
        Self { unattended: SignedDuration::from_mins(15) }
    }
}

/// A layer that its owner has not ended or renewed in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "overdue", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Overdue {
    /// No run of traffic-shift has renewed the rollout.
    Unattended {
        /// The id of the rollout.
        rollout: String,
        /// When it should have been renewed.
        attend_by: Timestamp,
        /// When it is rolled back.
        roll_back_at: Timestamp,
    },
    /// The drill's restore deadline has passed.
    RestoreOverdue {
        /// The id of the drill.
        drill: String,
        /// The deadline.
        restore_by: Timestamp,
    },
}

impl Overdue {
    /// The layer to end now, with the reason; `None` if it is only reported yet.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<(LayerKind, EndReason)> {
        match self {
            Self::Unattended { roll_back_at, .. } if *roll_back_at <= now => {
                Some((LayerKind::Rollout, EndReason::Unattended))
            }
            Self::Unattended { .. } => None,
            Self::RestoreOverdue { .. } => Some((LayerKind::Drill, EndReason::RestoreOverdue)),
        }
    }
}

/// The layer that its owner has not ended or renewed in time. A drill comes first: its node has no traffic at all.
#[must_use]
pub fn overdue(layers: &Layers, limits: &LayerLimits, now: Timestamp) -> Option<Overdue> {
    let drill = layers.drill.as_ref().filter(|drill| drill.restore_by <= now);
    if let Some(drill) = drill {
        return Some(Overdue::RestoreOverdue { drill: drill.id.clone(), restore_by: drill.restore_by });
    }
    let rollout = layers.rollout.as_ref().filter(|rollout| rollout.attend_by <= now)?;
    let roll_back_at = rollout.attend_by + limits.unattended;
    Some(Overdue::Unattended { rollout: rollout.id.clone(), attend_by: rollout.attend_by, roll_back_at })
}

/// One row of the documentation: who removes a layer, by when, and what happens if that function does not run.
pub(super) struct Ownership {
    pub(super) layer: &'static str,
    pub(super) removed_by: &'static str,
    pub(super) owner: &'static str,
    pub(super) deadline: &'static str,
    pub(super) without_owner: &'static str,
}

/// The rows, from the lowest layer to the highest.
pub(super) const OWNERSHIP: [Ownership; 5] = [
    Ownership {
        layer: "declared",
        removed_by: "never; an operator, a declared write or a promotion replaces it",
        owner: "",
        deadline: "",
        without_owner: "",
    },
    Ownership {
        layer: "rollout",
        removed_by: "rollback, promotion",
        owner: "traffic-shift, which renews `attendBy` in each run",
        deadline: "5 minutes",
        without_owner: "route-failover pages `Unattended`, and rolls back 15 minutes later",
    },
    Ownership {
        layer: "drill",
        removed_by: "end of the drill",
        owner: "failover-drill",
        deadline: "`restoreBy`",
        without_owner: "the next run of route-failover restores, `RestoreOverdue`, page",
    },
    Ownership {
        layer: "failover",
        removed_by: "last failback step, `restore`",
        owner: "route-failover",
        deadline: "page after `remindAfter`",
        without_owner: "the heartbeat alarm fires",
    },
    Ownership {
        layer: "hold, edit",
        removed_by: "its end, `release`",
        owner: "operator",
        deadline: "`until`",
        without_owner: "the next run of any function clears it",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::{at, node, split};
    use crate::weights::{DrillLayer, Move, Moves, RolloutLayer};
    use mesh::amounts::Percent;

    fn layers(attend_by: Option<i64>, restore_by: Option<i64>) -> Layers {
        let moves = Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap();
        let rollout = attend_by.map(|attend_by| RolloutLayer {
            id: "r1".to_owned(),
            moves,
            percent: Percent::new(25).unwrap(),
            since: at(0),
            acknowledged: None,
            attend_by: at(attend_by),
            to_capacity: None,
        });
        let drill = restore_by.map(|restore_by| DrillLayer {
            id: "d1".to_owned(),
            node: node("v1"),
            since: at(0),
            restore_by: at(restore_by),
        });
        Layers { rollout, drill, ..Layers::declared(split(&[("v1", 100), ("v2", 0)])) }
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn overdue_layers_by_time() {
        let limits = LayerLimits::default();
        // attendBy, restoreBy, now -> code and the layer to end
        let cases: [(Option<i64>, Option<i64>, i64, Option<Option<EndReason>>); 8] = [
            (None, None, 0, None),
            (Some(300), None, 299, None),
            (Some(300), None, 300, Some(None)),
            (Some(300), None, 300 + 899, Some(None)),
            (Some(300), None, 300 + 900, Some(Some(EndReason::Unattended))),
            (None, Some(60), 59, None),
            (None, Some(60), 60, Some(Some(EndReason::RestoreOverdue))),
            (Some(0), Some(60), 60, Some(Some(EndReason::RestoreOverdue))),
        ];
        for (attend_by, restore_by, now, expected) in cases {
            let found = overdue(&layers(attend_by, restore_by), &limits, at(now));
            let due = found.map(|overdue| overdue.due(at(now)).map(|(_, reason)| reason));
            assert_eq!(due, expected, "{attend_by:?} {restore_by:?} at {now}");
        }
    }
}
