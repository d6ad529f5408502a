//! A decision for one subject before all proposals are compared.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::decision::RotationVerdict;
use super::plan::{Action, PlanKind, RotationPlan};
use super::reason::RotationKeepReason;
use super::record::{RotationRecord, digest};
use super::subject::RotationSubject;
use mesh::name::{MeshName, ResourcePath};

/// A decision for one subject before all proposals are compared.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) subject: RotationSubject,
    pub(super) verdict: RotationVerdict,
    pub(super) record: Option<RotationRecord>,
    /// The record to store if the step is not taken.
    pub(super) otherwise: Option<RotationRecord>,
    pub(super) failing: bool,
    /// Whether it is decided before the others and does not wait for neighbours.
    pub(super) urgent: bool,
    pub(super) moves: BTreeSet<ResourcePath>,
    /// The meshes in observe mode that it affects.
    pub(super) watching: BTreeSet<MeshName>,
    /// The time after which a repeated decision counts as a standstill.
    pub(super) patience: SignedDuration,
}

/// The time after which an unchanged decision about trust or a mesh is a standstill. A rollover changes one proxy after
/// another, each in its own invocation.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

impl Proposal {
    pub(super) fn keep(subject: RotationSubject, reason: RotationKeepReason) -> Self {
        let failing = reason.holds();
        let verdict = RotationVerdict::Keep(reason);
        Self {
            subject,
            verdict,
            record: None,
            otherwise: None,
            failing,
            urgent: false,
            moves: BTreeSet::new(),
            watching: BTreeSet::new(),
            patience: PATIENCE,
        }
    }

    pub(super) fn act(subject: RotationSubject, action: Action) -> Self {
        let Action { kind, step, why, stage, moves } = action;
        let written = serde_json::to_string(&step).unwrap_or_default();
        let id = digest(&[&subject.to_string(), &written], 16);
        let plan = Box::new(RotationPlan { id, subject: subject.clone(), step, why, stage });
        let verdict = match kind {
            PlanKind::Issue => RotationVerdict::Issue(plan),
            PlanKind::Distribute => RotationVerdict::Distribute(plan),
            PlanKind::Retire => RotationVerdict::Retire(plan),
        };
        Self {
            subject,
            verdict,
            record: None,
            otherwise: None,
            failing: true,
            urgent: false,
            moves,
            watching: BTreeSet::new(),
            patience: PATIENCE,
        }
    }

    /// Replaces the step by a reason to wait; the record is stored as it was before the step.
    pub(super) fn held(&mut self, reason: RotationKeepReason) {
        self.verdict = RotationVerdict::Keep(reason);
        self.record = self.otherwise.take();
    }
}
