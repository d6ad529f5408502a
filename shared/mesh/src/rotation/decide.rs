//! The decision itself: proposals for all that is presented and trusted, then one look at all of them together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{Facts, Held, Keeper, LeafFacts, TrustId};
use super::plan::{Action, Kind, Plan};
use super::reason::{KeepReason, Why};
use super::record::{Record, digest};
use super::scene::Scene;
use super::{arbiter, leaf, meshes, trust};
use crate::certificates::Source;
use crate::change::Change;
use crate::failover::HarmFact;
use crate::name::{MeshName, ResourcePath};
use crate::policy::CertificatesPolicy;

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// A certificate, by where it comes from.
    Certificate(Source),
    /// Trust.
    Trust(TrustId),
    /// A mesh as a whole.
    Mesh(MeshName),
}

impl Subject {
    /// What the state table calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(source) => source.to_string(),
            Self::Trust(id) => id.to_string(),
            Self::Mesh(name) => format!("mesh/{name}"),
        }
    }

    /// Whether several meshes may have the same: what ACM and secrets keep.
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

/// What becomes of one certificate, or of one trust.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub verdict: Verdict,
    /// The record as it should be stored; for a plan, before the step is taken. Unset where the state table has it.
    pub record: Option<Record>,
    /// Whether there is something that needs doing.
    pub failing: bool,
    /// Meshes that it touches, or may touch, and in which nothing is changed: a plan is only told of while there are any.
    pub watching: BTreeSet<MeshName>,
    /// Meshes that can't be read and that may share it; what a plan does harms nobody there.
    pub unread: BTreeSet<MeshName>,
    /// How long the same decision may be made again before that is a standstill.
    pub patience: SignedDuration,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing, or nothing now.
    Keep(KeepReason),
    /// A step towards a new certificate.
    Issue(Box<Plan>),
    /// A step by which proxies get something new.
    Distribute(Box<Plan>),
    /// Wait until everybody has it.
    Verify(Why),
    /// A step by which something old goes.
    Retire(Box<Plan>),
}

impl Verdict {
    /// The plan, where something is to be done.
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

/// A decision before the others were looked at.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) subject: Subject,
    pub(super) verdict: Verdict,
    pub(super) record: Option<Record>,
    /// What is to be remembered where the step is not taken.
    pub(super) otherwise: Option<Record>,
    pub(super) failing: bool,
    /// Whether it goes before the others, and before waiting for neighbours.
    pub(super) urgent: bool,
    pub(super) moves: BTreeSet<ResourcePath>,
    /// Meshes that it touches and that only watch.
    pub(super) watching: BTreeSet<MeshName>,
    /// How long the same decision may be made again before that is a standstill.
    pub(super) patience: SignedDuration,
}

/// How long trust and meshes may stand still. A rollover passes one proxy after another, each in its own run.
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
            Kind::Issue => Verdict::Issue(plan),
            Kind::Distribute => Verdict::Distribute(plan),
            Kind::Retire => Verdict::Retire(plan),
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

    /// Keeps it as it is for another reason; whatever was to be remembered before the step is not.
    pub(super) fn held(&mut self, reason: KeepReason) {
        self.verdict = Verdict::Keep(reason);
        self.record = self.otherwise.take();
    }
}

/// Decides for everything that is presented and everything that is trusted, and says which meshes could be read.
///
/// `harms` tells what a change would break (see [`crate::edges::edge_harms`]); it is asked only for changes that are
/// about to be made.
pub fn decide(
    facts: &Facts,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Vec<Decision> {
    let scene = Scene::of(facts, policy, now);
    let replaced = trust::Replaced::all(&scene);
    let leaves: Vec<_> = facts.leaves.iter().map(|one| (leaf::propose(one, &scene), one)).collect();
    let moving: BTreeSet<&str> = leaves.iter().filter_map(|(proposal, one)| moving_secret(proposal, one)).collect();
    let leaves = leaves.into_iter().map(|(proposal, one)| (proposal, &one.users));
    let trusts = facts.trusts.iter().map(|one| (trust::propose(one, &replaced, &moving, &scene), &one.users));
    let touching = |(proposal, users): (Proposal, &BTreeMap<ResourcePath, Held>)| {
        let watching = scene.meshes.watching(&proposal.subject, users.keys());
        Proposal { watching, ..proposal }
    };
    let mut proposals: Vec<Proposal> = leaves.chain(trusts).map(touching).collect();
    // What can't wait comes first; otherwise the order is that of the names, so that it is the same each time.
    proposals.sort_by(|one, other| (!one.urgent, &one.subject).cmp(&(!other.urgent, &other.subject)));
    arbiter::settle(&mut proposals, &scene, harms);
    let decided = proposals.into_iter().map(|proposal| {
        let Proposal { subject, verdict, record, otherwise, failing, watching, patience, .. } = proposal;
        // What is not done is not remembered as begun.
        let is_begun = verdict.plan().is_some() && watching.is_empty();
        let record = if is_begun || verdict.plan().is_none() { record } else { otherwise };
        let unread = scene.meshes.may_have(&subject);
        Decision { subject, verdict, record, failing, watching, unread, patience }
    });
    facts.meshes.iter().map(|(name, mesh)| meshes::decide(name, mesh)).chain(decided).collect()
}

/// The secret in which a leaf is being replaced: its trust waits for the next step of that. What is pending there and goes
/// nowhere is not waited for.
fn moving_secret<'f>(proposal: &Proposal, leaf: &'f LeafFacts) -> Option<&'f str> {
    let bundle = match &leaf.keeper {
        Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle,
        Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => return None,
    };
    let waits = matches!(proposal.verdict, Verdict::Keep(KeepReason::PendingNotYetValid { .. }));
    (waits || proposal.verdict.plan().is_some()).then_some(bundle.secret.as_str())
}
