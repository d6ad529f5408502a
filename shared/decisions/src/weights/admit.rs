//! Who waits for which layer, and which layer a write ends: the table of writers as data, and its evaluation.

use jiff::Timestamp;
use serde::Serialize;

use super::blocker::Blocker;
use super::layers::{EndReason, LayerKind, Layers};
use super::writer::{Writer, WriterKind};
use crate::decision::KillSwitchFact;

/// The answer to a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "admission", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Admission {
    /// The write may be made. It ends these layers, in the same write.
    Go {
        /// The layers that end.
        ends: Vec<Ending>,
    },
    /// The write is not made now, and is due again later.
    Wait {
        /// The reason.
        reason: Blocker,
        /// When the reason ends without a command, if that is known.
        until: Option<Timestamp>,
        /// Whether the wait pages: traffic stays where it must not be.
        pages: bool,
    },
    /// The write is not made, and is not tried again.
    Refuse {
        /// The reason. [`Blocker::command`] is the command that ends it.
        reason: Blocker,
    },
}

impl Admission {
    /// The layers that a permitted write ends; `None` if it is not permitted.
    #[must_use]
    pub fn ends(&self) -> Option<&[Ending]> {
        match self {
            Self::Go { ends } => Some(ends),
            Self::Wait { .. } | Self::Refuse { .. } => None,
        }
    }

    /// The reason why the write is not made; `None` if it is permitted.
    #[must_use]
    pub const fn blocker(&self) -> Option<&Blocker> {
        match self {
            Self::Go { .. } => None,
            Self::Wait { reason, .. } | Self::Refuse { reason } => Some(reason),
        }
    }
}

/// The end of a layer by another writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The layer.
    pub layer: LayerKind,
    /// The reason.
    pub reason: EndReason,
}

/// A column of the table: what a writer meets on the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// An operator's edit or hold.
    Held,
    /// A drained or returning node.
    Failover,
    /// A rollout.
    Rollout,
    /// A drill.
    Drill,
}

impl Column {
    /// All columns. If several apply, the first that forbids the write gives the reason.
    pub(super) const ALL: [Self; 4] = [Self::Held, Self::Failover, Self::Rollout, Self::Drill];

    /// The heading.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Held => "held (edit or hold)",
            Self::Failover => "drained or returning",
            Self::Rollout => "rollout active",
            Self::Drill => "drill active",
        }
    }
}

/// The effect of a cell. The reason code of a wait or a refusal follows from its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The writer proceeds, and the layer stays.
    Proceeds,
    /// The writer proceeds and ends the layer of the column.
    Ends(EndReason),
    /// The writer waits.
    Waits,
    /// The writer waits, and that pages.
    WaitsAndPages,
    /// The writer is refused.
    Refused,
    /// Another cell prevents the combination. If it occurs all the same, the writer proceeds.
    ExcludedProceeds,
    /// Another cell prevents the combination. If it occurs all the same, the writer waits.
    ExcludedWaits,
    /// A drain of a target of the rollout ends the rollout; a drain of another node leaves it.
    EndsIfTargetFails,
    /// A drain of the drilled node interrupts the drill and leaves the node drained; a drain of another node fails the
    /// drill, and the node is restored.
    EndsDrillByNode,
    /// The rollout's own step proceeds; another rollout is refused.
    OwnRollout,
    /// A declared write of the same split leaves the rollout; another split ends it.
    EndsIfChanged,
}

/// One cell: its effect, and the text of the documentation.
pub(super) type Cell = (Effect, &'static str);

/// The cells of a writer, in the order of [`Column::ALL`].
pub(super) const fn row(writer: WriterKind) -> [Cell; 4] {
    use Effect::{
        Ends, EndsDrillByNode, EndsIfChanged, EndsIfTargetFails, ExcludedProceeds, ExcludedWaits, OwnRollout, Proceeds,
        Refused, Waits, WaitsAndPages,
    };
    match writer {
        WriterKind::FailoverDrain => [
            (WaitsAndPages, "waits `PersonEdited`, pages"),
            (Proceeds, "adds the node"),
            (
                EndsIfTargetFails,
                "`to` fails: rollback `TargetFailed`, and drain of its declared share, in one write; other node: drain over \
                 the step, the rollout waits `FailoverActive`",
            ),
            (
                EndsDrillByNode,
                "other node fails: the drill ends `DrillFailed`, drain over the restored split; drilled node fails: the drill \
                 ends `Interrupted`, the node stays drained",
            ),
        ],
        WriterKind::FailbackStep => [
            (Waits, "waits `PersonEdited`"),
            (Proceeds, "next step"),
            (Proceeds, "proceeds; the rollout waits"),
            (ExcludedWaits, "excluded"),
        ],
        WriterKind::BackDown => [
            (WaitsAndPages, "waits `PersonEdited`, pages"),
            (Proceeds, "at once"),
            (EndsIfTargetFails, "at once; `to` fails: rollback in the same write"),
            (ExcludedProceeds, "excluded"),
        ],
        WriterKind::DrillStart => [
            (Refused, "refused `PersonEdited`"),
            (Refused, "refused `FailoverActive`"),
            (Refused, "refused `RolloutActive`"),
            (Refused, "refused `DrillActive`"),
        ],
        WriterKind::DrillEnd => [
            (WaitsAndPages, "waits `PersonEdited`, pages"),
            (ExcludedProceeds, "excluded"),
            (ExcludedProceeds, "excluded"),
            (Ends(EndReason::DrillEnded), "at once"),
        ],
        WriterKind::RolloutStep => [
            (Waits, "waits `PersonEdited`; after a hold the step is watched again, an edit has ended the rollout"),
            (Waits, "waits `FailoverActive`"),
            (OwnRollout, "own: next step; other rollout: refused `RolloutActive`"),
            (Waits, "waits `DrillActive`"),
        ],
        WriterKind::Rollback => [
            (WaitsAndPages, "waits `PersonEdited`, pages"),
            (Proceeds, "at once, failover recomputed"),
            (Ends(EndReason::RolledBack), "at once"),
            (ExcludedProceeds, "excluded"),
        ],
        WriterKind::Promotion => [
            (Waits, "waits `PersonEdited`"),
            (Waits, "waits `FailoverActive`"),
            (Ends(EndReason::Promoted), "proceeds; its split is declared"),
            (ExcludedWaits, "excluded"),
        ],
        WriterKind::OperatorEdit => [
            (Proceeds, "newest wins; the hold lasts at least four hours again"),
            (Ends(EndReason::Interrupted), "ends the failover"),
            (Ends(EndReason::Interrupted), "the rollout ends `Interrupted`"),
            (Ends(EndReason::Interrupted), "the drill ends `Interrupted`"),
        ],
        WriterKind::OperatorHold => [
            (Proceeds, "the later end wins"),
            (Proceeds, "freezes the phases"),
            (Proceeds, "freezes the step"),
            (Refused, "refused `DrillActive`: run `drill stop`"),
        ],
        WriterKind::Restore => [
            (Proceeds, "proceeds, the hold stays"),
            (Ends(EndReason::Aborted), "ends the failover"),
            (Ends(EndReason::Aborted), "the rollout ends `Aborted`"),
            (Ends(EndReason::Interrupted), "the drill ends `Interrupted`"),
        ],
        WriterKind::DeclaredWrite => [
            (Proceeds, "is declared and stands, pages `HoldOverwritten`"),
            (Proceeds, "is declared; the layers are written again, `Reapplied`"),
            (
                EndsIfChanged,
                "same split: the layers are written again, `Reapplied`; other split: the rollout ends `DeclaredChanged`",
            ),
            (Ends(EndReason::Interrupted), "the drill ends `Interrupted`; the write is the restore"),
        ],
    }
}

/// Whether a writer may write now, and which layers end with its write.
///
/// Of several reasons against the write, the kill switch counts first, then the columns of the table in their order.
#[must_use]
pub fn admit(writer: &Writer<'_>, layers: &Layers, kill_switch: Option<&KillSwitchFact>, now: Timestamp) -> Admission {
    if let Some(kill) = kill_switch
        && writer.kind().obeys_kill_switch()
    {
        let reason = Blocker::KillSwitchOn { by: kill.by.clone(), why: kill.reason.clone() };
        return Admission::Wait { reason, until: None, pages: true };
    }
    let mut ends = Vec::new();
    for (column, (effect, _)) in Column::ALL.into_iter().zip(row(writer.kind())) {
        let Some(blocker) = met(column, layers, now) else { continue };
        match evaluate(effect, writer, layers) {
            Met::Passes => {}
            Met::Ends(reason) => ends.extend(layer(column).map(|layer| Ending { layer, reason })),
            Met::Waits { pages } => return Admission::Wait { until: blocker.until(), reason: blocker, pages },
            Met::Refuses => return Admission::Refuse { reason: blocker },
        }
    }
    Admission::Go { ends }
}

/// The consequence of a cell for a writer.
enum Met {
    Passes,
    Ends(EndReason),
    Waits { pages: bool },
    Refuses,
}

fn evaluate(effect: Effect, writer: &Writer<'_>, layers: &Layers) -> Met {
    match effect {
        Effect::Proceeds | Effect::ExcludedProceeds => Met::Passes,
        Effect::Ends(reason) => Met::Ends(reason),
        Effect::Waits | Effect::ExcludedWaits => Met::Waits { pages: false },
        Effect::WaitsAndPages => Met::Waits { pages: true },
        Effect::Refused => Met::Refuses,
        Effect::EndsIfTargetFails => {
            let rollout = layers.rollout.as_ref();
            let is_target =
                rollout.is_some_and(|rollout| failing(writer).iter().any(|node| rollout.moves.brings_to(node)));
            if is_target { Met::Ends(EndReason::TargetFailed) } else { Met::Passes }
        }
        Effect::EndsDrillByNode => {
            let drill = layers.drill.as_ref();
            let others = drill.is_some_and(|drill| failing(writer).iter().any(|node| *node != drill.node));
            Met::Ends(if others { EndReason::DrillFailed } else { EndReason::Interrupted })
        }
        Effect::OwnRollout => {
            let rollout = layers.rollout.as_ref();
            let is_own =
                matches!(writer, Writer::RolloutStep { id } if rollout.is_some_and(|rollout| rollout.id == *id));
            if is_own { Met::Passes } else { Met::Refuses }
        }
        Effect::EndsIfChanged => {
            let is_same = matches!(writer, Writer::DeclaredWrite { split } if **split == layers.declared);
            if is_same { Met::Passes } else { Met::Ends(EndReason::DeclaredChanged) }
        }
    }
}

/// The failing nodes that a writer drains.
fn failing<'a>(writer: &Writer<'a>) -> &'a [mesh::name::VirtualNodeName] {
    match writer {
        Writer::FailoverDrain { nodes } | Writer::BackDown { nodes } => nodes,
        Writer::FailbackStep
        | Writer::DrillStart
        | Writer::DrillEnd
        | Writer::RolloutStep { .. }
        | Writer::Rollback
        | Writer::Promotion
        | Writer::OperatorEdit
        | Writer::OperatorHold
        | Writer::Restore
        | Writer::DeclaredWrite { .. } => &[],
    }
}

const fn layer(column: Column) -> Option<LayerKind> {
    match column {
        Column::Held => None,
        Column::Failover => Some(LayerKind::Failover),
        Column::Rollout => Some(LayerKind::Rollout),
        Column::Drill => Some(LayerKind::Drill),
    }
}

/// What a writer meets in a column, as the reason if the cell forbids the write.
fn met(column: Column, layers: &Layers, now: Timestamp) -> Option<Blocker> {
    match column {
        Column::Held => {
            let edit = layers.held_at(now)?;
            Some(Blocker::PersonEdited { seen: edit.seen, until: edit.until })
        }
        Column::Failover => {
            let phases = &layers.failover.phases;
            let since = phases.values().map(super::Phase::since).min()?;
            Some(Blocker::FailoverActive { nodes: phases.keys().cloned().collect(), since })
        }
        Column::Rollout => {
            let rollout = layers.rollout.as_ref()?;
            Some(Blocker::RolloutActive { rollout: rollout.id.clone() })
        }
        Column::Drill => {
            let drill = layers.drill.as_ref()?;
            Some(Blocker::DrillActive {
                drill: drill.id.clone(),
                node: drill.node.clone(),
                restore_by: drill.restore_by,
            })
        }
    }
}

#[cfg(test)]
mod tests;
