//! The rotation decision: proposals for all leaves and trusts, then one pass over all proposals together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decision::{RotationDecision, RotationVerdict};
use super::facts::{Acknowledgement, Keeper, LeafFacts, RotationFacts};
use super::index::FactIndex;
use super::proposal::Proposal;
use super::reason::RotationKeepReason;
use super::{arbiter, leaf, mesh_index, trust};
use crate::decision::HarmFact;
use mesh::change::Change;
use mesh::name::ResourcePath;
use policy::CertificatesPolicy;

/// Decides for every presented leaf and every trust, and reports which meshes could be read.
///
/// `harms` returns the harms that a change would cause (see [`policy::edges::edge_harms`]). It is called only for
/// changes that are about to be planned.
pub fn decide(
    facts: &RotationFacts,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Vec<RotationDecision> {
    let index = FactIndex::new(facts, policy, now);
    let replaced = trust::BlockedRollover::all(&index);
    let touching = |proposal: Proposal, users: &BTreeMap<ResourcePath, Acknowledgement>| {
        let watching = index.meshes.watching(&proposal.subject, users.keys());
        Proposal { watching, ..proposal }
    };
    let leaves: Vec<_> =
        facts.leaves.iter().map(|one| (touching(leaf::propose(one, &index), &one.users), one)).collect();
    let moving: BTreeSet<&str> = leaves.iter().filter_map(|(proposal, one)| moving_secret(proposal, one)).collect();
    let trusts = facts.trusts.iter();
    let trusts = trusts.map(|one| touching(trust::propose(one, &replaced, &moving, &index), &one.users));
    let mut proposals: Vec<Proposal> = leaves.into_iter().map(|(proposal, _)| proposal).chain(trusts).collect();
    // Urgent proposals come first; then the order of the names gives the same result in every invocation.
    proposals.sort_by(|one, other| (!one.urgent, &one.subject).cmp(&(!other.urgent, &other.subject)));
    arbiter::decide_together(&mut proposals, &index, harms);
    let decided = proposals.into_iter().map(|proposal| {
        let Proposal { subject, verdict, record, otherwise, failing, watching, patience, .. } = proposal;
        // A step that is not taken is not recorded as begun.
        let is_begun = verdict.plan().is_some() && watching.is_empty();
        let record = if is_begun || verdict.plan().is_none() { record } else { otherwise };
        let unread = index.meshes.may_have(&subject);
        RotationDecision { subject, verdict, record, failing, watching, unread, patience }
    });
    facts.meshes.iter().map(|(name, mesh)| mesh_index::decide(name, mesh)).chain(decided).collect()
}

/// The secret in which a leaf is being replaced; its trust waits for the next step of that replacement. A pending
/// version that is never promoted does not count, and a step that is only reported for a mesh in observe mode does not
/// either: it never ends.
fn moving_secret<'f>(proposal: &Proposal, leaf: &'f LeafFacts) -> Option<&'f str> {
    let bundle = match &leaf.keeper {
        Keeper::Bundle { bundle, .. } | Keeper::Imported { bundle: Some(bundle), .. } => bundle,
        Keeper::Private(_) | Keeper::Imported { bundle: None, .. } | Keeper::NotOurs { .. } => return None,
    };
    let waits = matches!(proposal.verdict, RotationVerdict::Keep(RotationKeepReason::PendingNotYetValid { .. }));
    let acts = proposal.verdict.plan().is_some() && proposal.watching.is_empty();
    (waits || acts).then_some(bundle.secret.as_str())
}
