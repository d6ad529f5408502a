//! The writers of a route's weights, and their ranks.

use serde::Serialize;

use super::WeightSplit;
use mesh::name::VirtualNodeName;

/// A write of a route's weights that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer<'a> {
    /// Failover drains these failing nodes.
    FailoverDrain {
        /// The failing nodes.
        nodes: &'a [VirtualNodeName],
    },
    /// Failover gives a returning node the next part of its share.
    FailbackStep,
    /// Failover drains returning nodes that fail again.
    BackDown {
        /// The failing nodes.
        nodes: &'a [VirtualNodeName],
    },
    /// A drill drains a node.
    DrillStart,
    /// A drill restores its node.
    DrillEnd,
    /// A rollout starts or takes its next step.
    RolloutStep {
        /// The id of the rollout.
        id: &'a str,
    },
    /// A rollout restores the split before it.
    Rollback,
    /// A rollout makes its split the declared one.
    Promotion,
    /// An operator changed targets or weights.
    OperatorEdit,
    /// An operator holds the route.
    OperatorHold,
    /// An operator restores the declared split.
    Restore,
    /// An infrastructure-as-code role wrote a split.
    DeclaredWrite {
        /// The split.
        split: &'a WeightSplit,
    },
}

/// The kind of a writer: one row of the table of writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum WriterKind {
    /// See [`Writer::FailoverDrain`].
    FailoverDrain,
    /// See [`Writer::FailbackStep`].
    FailbackStep,
    /// See [`Writer::BackDown`].
    BackDown,
    /// See [`Writer::DrillStart`].
    DrillStart,
    /// See [`Writer::DrillEnd`].
    DrillEnd,
    /// See [`Writer::RolloutStep`].
    RolloutStep,
    /// See [`Writer::Rollback`].
    Rollback,
    /// See [`Writer::Promotion`].
    Promotion,
    /// See [`Writer::OperatorEdit`].
    OperatorEdit,
    /// See [`Writer::OperatorHold`].
    OperatorHold,
    /// See [`Writer::Restore`].
    Restore,
    /// See [`Writer::DeclaredWrite`].
    DeclaredWrite,
}

/// The rank of a writer: of two writers, the higher one interrupts and the lower one waits. A declared write has no
/// rank, because it sets the base below all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Rank {
    /// A drill.
    Drill,
    /// A step of a rollout, and its promotion.
    Rollout,
    /// A step of a failback.
    Failback,
    /// A drain of failing nodes.
    Failover,
    /// A write that restores: a back-down, a rollback, the end of a drill.
    Restoring,
    /// An operator.
    Operator,
}

impl WriterKind {
    /// All kinds, in the order of the table.
    pub const ALL: [Self; 12] = [
        Self::FailoverDrain,
        Self::FailbackStep,
        Self::BackDown,
        Self::DrillStart,
        Self::DrillEnd,
        Self::RolloutStep,
        Self::Rollback,
        Self::Promotion,
        Self::OperatorEdit,
        Self::OperatorHold,
        Self::Restore,
        Self::DeclaredWrite,
    ];

    /// The name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailoverDrain => "failover drain",
            Self::FailbackStep => "failback step",
            Self::BackDown => "back-down",
            Self::DrillStart => "drill start",
            Self::DrillEnd => "end of drill",
            Self::RolloutStep => "rollout step",
            Self::Rollback => "rollback",
            Self::Promotion => "promotion",
            Self::OperatorEdit => "operator edit",
            Self::OperatorHold => "operator hold",
            Self::Restore => "restore",
            Self::DeclaredWrite => "declared write",
        }
    }

    /// The rank; `None` for a declared write.
    #[must_use]
    pub const fn rank(self) -> Option<Rank> {
        match self {
            Self::DrillStart => Some(Rank::Drill),
            Self::RolloutStep | Self::Promotion => Some(Rank::Rollout),
            Self::FailbackStep => Some(Rank::Failback),
            Self::FailoverDrain => Some(Rank::Failover),
            Self::BackDown | Self::DrillEnd | Self::Rollback => Some(Rank::Restoring),
            Self::OperatorEdit | Self::OperatorHold | Self::Restore => Some(Rank::Operator),
            Self::DeclaredWrite => None,
        }
    }

    /// Whether the kill switch stops the writer. It cannot stop a write that another program has made, and a hold writes
    /// no weights.
    #[must_use]
    pub const fn obeys_kill_switch(self) -> bool {
        match self {
            Self::FailoverDrain
            | Self::FailbackStep
            | Self::BackDown
            | Self::DrillStart
            | Self::DrillEnd
            | Self::RolloutStep
            | Self::Rollback
            | Self::Promotion
            | Self::Restore => true,
            Self::OperatorEdit | Self::OperatorHold | Self::DeclaredWrite => false,
        }
    }
}

impl Writer<'_> {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> WriterKind {
        match self {
            Self::FailoverDrain { .. } => WriterKind::FailoverDrain,
            Self::FailbackStep => WriterKind::FailbackStep,
            Self::BackDown { .. } => WriterKind::BackDown,
            Self::DrillStart => WriterKind::DrillStart,
            Self::DrillEnd => WriterKind::DrillEnd,
            Self::RolloutStep { .. } => WriterKind::RolloutStep,
            Self::Rollback => WriterKind::Rollback,
            Self::Promotion => WriterKind::Promotion,
            Self::OperatorEdit => WriterKind::OperatorEdit,
            Self::OperatorHold => WriterKind::OperatorHold,
            Self::Restore => WriterKind::Restore,
            Self::DeclaredWrite { .. } => WriterKind::DeclaredWrite,
        }
    }
}
