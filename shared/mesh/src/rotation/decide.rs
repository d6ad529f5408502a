//! The rotation decision: proposals for all leaves and trusts, then one pass over all proposals together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{Acknowledgement, Facts, Keeper, LeafFacts, TrustId};
use super::index::FactIndex;
use super::plan::{Action, Plan, PlanKind};
use super::reason::{KeepReason, Why};
use super::record::{Record, digest};
use super::{arbiter, leaf, mesh_index, trust};
use crate::certificates::Source;
use crate::change::Change;
use crate::failover::HarmFact;
use crate::name::{MeshName, ResourcePath};
use crate::policy::CertificatesPolicy;

/// The certificate, trust or mesh that a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// A certificate, by its source.
    Certificate(Source),
    /// Trust, by its id.
    Trust(TrustId),
    /// A mesh as a whole.
    Mesh(MeshName),
}

impl Subject {
    /// The name of the subject in the keys of the state table.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(source) => source.to_string(),
            Self::Trust(id) => id.to_string(),
            Self::Mesh(name) => format!("mesh/{name}"),
        }
    }

    /// Whether several meshes may use the same subject: certificates in ACM and secrets.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Certificate(Source::Acm(_) | Source::Sds(_)) | Self::Trust(TrustId::Sds { .. }) => true,
            Self::Certificate(Source::File(..))
            | Self::Trust(TrustId::Policy { .. } | TrustId::Implicit { .. } | TrustId::File { .. })
            | Self::Mesh(_) => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(source) => source.fmt(f),
            Self::Trust(id) => write!(f, "trust {id}"),
            Self::Mesh(name) => write!(f, "mesh/{name}"),
        }
    }
}

/// The decision for one certificate, one trust or one mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The certificate, trust or mesh.
    pub subject: Subject,
    /// The verdict.
    pub verdict: Verdict,
    /// The record to store; for a plan, the record to store before the step. `None` if the state table already has it.
    pub record: Option<Record>,
    /// Whether a change is needed.
    pub failing: bool,
    /// The meshes in observe mode that the plan affects or may affect. A plan with any of them is reported, not
    /// executed.
    pub watching: BTreeSet<MeshName>,
    /// The unreadable meshes that may share the subject; the plan causes no harm there.
    pub unread: BTreeSet<MeshName>,
    /// How long the same decision may be repeated before it counts as a standstill.
    pub patience: SignedDuration,
}

/// The verdict on one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Verdict {
    /// No change is needed, or none is made now.
    Keep(KeepReason),
    /// A step towards a new certificate.
    Issue(Box<Plan>),
    /// A step that delivers a new version to proxies.
    Distribute(Box<Plan>),
    /// No step, until all proxies have acknowledged the current version.
    Verify(Why),
    /// A step that removes an old version.
    Retire(Box<Plan>),
}

impl Verdict {
    /// The plan, if the verdict is a step.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
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
    }
}

/// A decision for one subject before all proposals are compared.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) subject: Subject,
    pub(super) verdict: Verdict,
    pub(super) record: Option<Record>,
    /// The record to store if the step is not taken.
    pub(super) otherwise: Option<Record>,
    pub(super) failing: bool,
    /// Whether it is decided before the others and does not wait for neighbours.
    pub(super) urgent: bool,
    pub(super) moves: BTreeSet<ResourcePath>,
    /// The meshes in observe mode that it affects.
    pub(super) watching: BTreeSet<MeshName>,
    /// How long the same decision may be repeated before it counts as a standstill.
    pub(super) patience: SignedDuration,
}

/// The time after which an unchanged decision about trust or a mesh is a standstill. A rollover changes one proxy after
/// another, each in its own invocation.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

impl Proposal {
    pub(super) fn keep(subject: Subject, reason: KeepReason) -> Self {
        let failing = reason.holds();
        let verdict = Verdict::Keep(reason);
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

    pub(super) fn act(subject: Subject, action: Action) -> Self {
        let Action { kind, step, why, stage, moves } = action;
        let written = serde_json::to_string(&step).unwrap_or_default();
        let id = digest(&[&subject.to_string(), &written], 16);
        let plan = Box::new(Plan { id, subject: subject.clone(), step, why, stage });
        let verdict = match kind {
            PlanKind::Issue => Verdict::Issue(plan),
            PlanKind::Distribute => Verdict::Distribute(plan),
            PlanKind::Retire => Verdict::Retire(plan),
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
    pub(super) fn held(&mut self, reason: KeepReason) {
        self.verdict = Verdict::Keep(reason);
        self.record = self.otherwise.take();
    }
}

/// Decides for every presented leaf and every trust, and reports which meshes could be read.
///
/// `harms` returns the harms that a change would cause (see [`crate::edges::edge_harms`]). It is called only for
/// changes that are about to be planned.
pub fn decide(
    facts: &Facts,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Vec<Decision> {
    let index = FactIndex::new(facts, policy, now);
    let replaced = trust::BlockedRollover::all(&index);
    let leaves: Vec<_> = facts.leaves.iter().map(|one| (leaf::propose(one, &index), one)).collect();
    let moving: BTreeSet<&str> = leaves.iter().filter_map(|(proposal, one)| moving_secret(proposal, one)).collect();
    let leaves = leaves.into_iter().map(|(proposal, one)| (proposal, &one.users));
    let trusts = facts.trusts.iter().map(|one| (trust::propose(one, &replaced, &moving, &index), &one.users));
    let touching = |(proposal, users): (Proposal, &BTreeMap<ResourcePath, Acknowledgement>)| {
        let watching = index.meshes.watching(&proposal.subject, users.keys());
        Proposal { watching, ..proposal }
    };
    let mut proposals: Vec<Proposal> = leaves.chain(trusts).map(touching).collect();
    // Urgent proposals come first; then the order of the names gives the same result in every invocation.
    proposals.sort_by(|one, other| (!one.urgent, &one.subject).cmp(&(!other.urgent, &other.subject)));
    arbiter::decide_together(&mut proposals, &index, harms);
    let decided = proposals.into_iter().map(|proposal| {
        let Proposal { subject, verdict, record, otherwise, failing, watching, patience, .. } = proposal;
        // A step that is not taken is not recorded as begun.
        let is_begun = verdict.plan().is_some() && watching.is_empty();
        let record = if is_begun || verdict.plan().is_none() { record } else { otherwise };
        let unread = index.meshes.may_have(&subject);
        Decision { subject, verdict, record, failing, watching, unread, patience }
    });
    facts.meshes.iter().map(|(name, mesh)| mesh_index::decide(name, mesh)).chain(decided).collect()
}

/// The secret in which a leaf is being replaced; its trust waits for the next step of that replacement. A pending
/// version that is never promoted does not count.
fn moving_secret<'f>(proposal: &Proposal, leaf: &'f LeafFacts) -> Option<&'f str> {
    let bundle = match &leaf.keeper {
        Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle,
        Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => return None,
    };
    let waits = matches!(proposal.verdict, Verdict::Keep(KeepReason::PendingNotYetValid { .. }));
    (waits || proposal.verdict.plan().is_some()).then_some(bundle.secret.as_str())
}
