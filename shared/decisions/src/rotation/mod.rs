//! Rotation: renews leaves in time and replaces the CAs that issue them. At no moment is a presented leaf untrusted.
//!
//! ```text
//! store, stages of secrets ─▶ leaves ───┐
//! specs ──▶ trusts, verifications ──────┼─▶ proposals ─▶ canary, neighbours, harm, budget ─▶ decisions
//! proxies ─▶ acknowledged versions ─────┤
//! state table ─▶ records ───────────────┘
//! ```
//!
//! [`decide`] is the entry point: a pure function of [`RotationFacts`], the harm check, the policy and the time. The progress
//! of a rotation is derived from the observation, so a rotation resumes after any interruption. A record holds only
//! state that cannot be observed: the drawn jitter, the placed order, failures.
//!
//! A CA is replaced in three stages. Evidence opens each stage, never time:
//!
//! 1. every trust store with the old root gets the new root as well;
//! 2. the new CA issues each leaf again, once all its verifiers hold the new root;
//! 3. the old root is removed, once no proxy presents a leaf of the old CA.
//!
//! All meshes are decided together, since meshes may share certificates. An unreadable mesh, or a mesh in observe mode,
//! blocks only the changes that may affect it.

mod arbiter;
mod attempts;
mod certificate_template;
mod decide;
mod decision;
mod defect;
mod facts;
mod index;
mod key_match;
mod leaf;
mod leaf_steps;
mod mesh_certificates;
mod mesh_index;
mod moved;
mod notification;
mod old_ca_leaves;
mod overdue;
mod pending_verdict;
mod plan;
mod proposal;
mod reason;
mod record;
mod recorded;
mod stage;
mod standstill;
mod subject;
mod trust;
mod trust_id;

pub use certificate_template::CertificateTemplate;
pub use decide::decide;
pub use decision::{RotationDecision, RotationVerdict};
pub use defect::{ReplacementDefect, issued_defect};
pub use facts::{
    Acknowledgement, AuthorityFacts, BundleFacts, Keeper, LeafFacts, LeafVerification, MeshFacts, Pending,
    PrivateFacts, RenewalFact, Replacement, ReplacementState, RotationFacts, RotationMemory, TrustFacts, TrustKeeper,
    Trusted,
};
pub use key_match::KeyMatch;
pub use mesh_certificates::{LeafUse, MeshCertificates, TrustUse};
pub use moved::{MovedBack, Repointed};
pub use notification::{RotationNotification, rotation_notification};
pub use overdue::overdue;
pub use plan::{RotationPlan, RotationStep, StepResult};
pub use reason::{NotKnown, RotationKeepReason, Waiting, Why, renewal_reason};
pub use record::{Attempt, ConsecutiveFailures, LeafRecord, OwedPage, RECORD_FORMAT, RotationRecord};
pub use recorded::Recorded;
pub use stage::Stage;
pub use standstill::standstill;
pub use subject::RotationSubject;
pub use trust_id::TrustId;
