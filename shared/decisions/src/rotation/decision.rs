//! The decision for one certificate, one trust or one mesh.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::Serialize;

use super::plan::RotationPlan;
use super::reason::{RotationKeepReason, Why};
use super::record::RotationRecord;
use super::subject::RotationSubject;
use mesh::name::MeshName;

/// The decision for one certificate, one trust or one mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationDecision {
    /// The certificate, trust or mesh.
    pub subject: RotationSubject,
    /// The verdict.
    pub verdict: RotationVerdict,
    /// The record to store; for a plan, the record to store before the step. `None` if the state table already has it.
    pub record: Option<RotationRecord>,
    /// Whether a change is needed.
    pub failing: bool,
    /// The meshes in observe mode that the plan affects or may affect. A plan with any of them is
    /// reported, not executed.
    pub watching: BTreeSet<MeshName>,
    /// The unreadable meshes that may share the subject; the plan causes no harm there.
    pub unread: BTreeSet<MeshName>,
    /// The time after which a repeated decision counts as a standstill.
    pub patience: SignedDuration,
}

/// The verdict on one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum RotationVerdict {
    /// No change is needed, or none is made now.
    Keep(RotationKeepReason),
    /// A step towards a new certificate.
    Issue(Box<RotationPlan>),
    /// A step that delivers a new version to proxies.
    Distribute(Box<RotationPlan>),
    /// No step, until all proxies have acknowledged the current version.
    Verify(Why),
    /// A step that removes an old version.
    Retire(Box<RotationPlan>),
}

impl RotationVerdict {
    /// The plan, if the verdict is a step.
    #[must_use]
    pub fn plan(&self) -> Option<&RotationPlan> {
        match self {
            Self::Issue(plan) | Self::Distribute(plan) | Self::Retire(plan) => Some(plan),
            Self::Keep(_) | Self::Verify(_) => None,
        }
    }

    /// The stable code of its reason.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Keep(reason) => reason.code(),
            Self::Verify(why) => why.code(),
            Self::Issue(plan) | Self::Distribute(plan) | Self::Retire(plan) => plan.why.code(),
        }
        .to_owned()
    }
}
