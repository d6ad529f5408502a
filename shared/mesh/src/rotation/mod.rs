//! Rotation: leaves are renewed in time, and the CAs that issue them are replaced, with nothing distrusted at any
//! instant.
//!
//! ```text
//! store, stages of secrets ─▶ leaves ───┐
//! specs ──▶ trusts, who meets whom ─────┼─▶ proposals ─▶ canary, neighbours, what-if, budget ─▶ one decision each
//! proxies ─▶ what each one holds ───────┤
//! state table ─▶ records ───────────────┘
//! ```
//!
//! [`decide`] is the whole of it: a plain function of [`Facts`], the policy and the time. Where a rotation stands is
//! read off what is observed, so it goes on from wherever it was left: a record keeps only what can't be seen (the
//! jitter that was drawn, the order that was placed, failures).
//!
//! A CA is replaced in three stages, each opened by evidence and never by time:
//!
//! 1. whoever trusts the old root is made to trust the new one as well;
//! 2. once everybody who meets a leaf holds the new root, the leaf is issued anew;
//! 3. once nobody presents anything of the old CA, its root is dropped.
//!
//! All meshes are looked at together, since a certificate may be of several. What touches only meshes that can be read
//! and that may be changed is done, whatever is the matter with others.

mod arbiter;
mod attempts;
mod decide;
mod defect;
mod facts;
mod holdouts;
mod judge;
mod keepers;
mod leaf;
mod meshes;
mod moved;
mod overdue;
mod plan;
mod reason;
mod record;
mod recorded;
mod replay;
mod scene;
mod standstill;
mod survey;
mod telling;
mod trust;

pub use decide::{Decision, Subject, Verdict, decide};
pub use defect::{Defect, issued_defect};
pub use facts::{
    AuthorityFacts, BundleFacts, Facts, Held, Keeper, KeyMatch, LeafFacts, Meeting, Memory, MeshFacts, Pending,
    PrivateFacts, RenewalFact, Replacement, ReplacementState, TrustFacts, TrustId, TrustKeeper, Trusted,
};
pub use moved::{MovedBack, Repointed};
pub use overdue::overdue;
pub use plan::{Like, Plan, Stage, Step, StepResult};
pub use reason::{KeepReason, NotKnown, Waiting, Why, renewal_reason};
pub use record::{Attempt, Failures, LeafRecord, OwedPage, RECORD_FORMAT, Record};
pub use recorded::Recorded;
pub use replay::{Conclusion, replay};
pub use standstill::standstill;
pub use survey::{LeafUse, Survey, TrustUse};
pub use telling::{Telling, telling};
