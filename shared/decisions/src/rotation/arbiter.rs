//! One pass over all proposals together: the canary first, then neighbours, harm and budget.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::RotationVerdict;
use super::facts::Keeper;
use super::index::FactIndex;
use super::proposal::Proposal;
use super::reason::RotationKeepReason;
use super::stage::Stage;
use super::subject::RotationSubject;
use super::trust;
use crate::decision::HarmFact;
use mesh::certificates::SourceReading;
use mesh::change::Change;
use mesh::name::ResourcePath;

/// Replaces each proposal that must not be executed now by a reason to wait.
pub(super) fn decide_together(
    proposals: &mut [Proposal],
    index: &FactIndex<'_>,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
) {
    let mut accepted = AcceptedPlans { moving: BTreeMap::new(), issued: index.facts.budget_used };
    let canaries = canaries(proposals, index);
    for proposal in proposals {
        let refused = refusal(proposal, &canaries, index, &accepted, harms);
        match refused {
            Some(reason) => proposal.held(reason),
            None => accepted.add(proposal),
        }
    }
}

/// The plans accepted in this pass.
struct AcceptedPlans {
    moving: BTreeMap<ResourcePath, RotationSubject>,
    issued: u32,
}

impl AcceptedPlans {
    fn add(&mut self, proposal: &Proposal) {
        let Some(plan) = proposal.verdict.plan().filter(|_| proposal.watching.is_empty()) else { return };
        if plan.step.issues() {
            self.issued = self.issued.saturating_add(1);
        }
        for proxy in &proposal.moves {
            self.moving.insert(proxy.clone(), proposal.subject.clone());
        }
    }
}

fn refusal(
    proposal: &Proposal,
    canaries: &BTreeMap<Stage, RotationSubject>,
    index: &FactIndex<'_>,
    accepted: &AcceptedPlans,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
) -> Option<RotationKeepReason> {
    let plan = proposal.verdict.plan()?;
    if let Some(switch) = &index.facts.kill_switch {
        return Some(RotationKeepReason::KillSwitchOn { by: switch.by.clone(), why: switch.reason.clone() });
    }
    if !proposal.urgent
        && let Err(reason) = index.meshes.can_follow(&proposal.subject)
    {
        return Some(reason);
    }
    if let Some(stage) = &plan.stage
        && let Some(canary) = canaries.get(stage).filter(|canary| **canary != proposal.subject)
    {
        return Some(RotationKeepReason::AwaitingCanary { stage: stage.clone(), canary: Box::new(canary.clone()) });
    }
    let changing = changing(proposal, index, accepted);
    if !changing.is_empty() {
        return Some(RotationKeepReason::NeighbourChanging { changing });
    }
    if let super::plan::RotationStep::Apply { change } = &plan.step {
        let harms = harms(change);
        if !harms.is_empty() {
            return Some(RotationKeepReason::Harmful { harms });
        }
    }
    let cap = index.policy.budget.changes;
    if plan.step.issues() && accepted.issued >= cap {
        return Some(RotationKeepReason::BudgetSpent { used: accepted.issued, cap });
    }
    None
}

/// The neighbouring proxies that change at the same time. A plan that leaves trust unchanged conflicts only with
/// changes of trust, and an urgent one with none. A step that moves proxies to a certificate one after another also
/// waits for a neighbour that is receiving the same certificate.
fn changing(
    proposal: &Proposal,
    index: &FactIndex<'_>,
    accepted: &AcceptedPlans,
) -> Vec<(ResourcePath, RotationSubject)> {
    let Some(plan) = proposal.verdict.plan() else { return Vec::new() };
    if plan.stage.is_none() && proposal.urgent {
        return Vec::new();
    }
    let near = proposal.moves.iter().flat_map(|proxy| std::iter::once(proxy).chain(index.neighbours(proxy)));
    let near: BTreeSet<&ResourcePath> = near.collect();
    let mut found = BTreeSet::new();
    for proxy in near {
        let of_trust = index.changing_trust.get(proxy).into_iter().flatten();
        let of_leaves = index.changing_leaves.get(proxy).into_iter().flatten().filter(|_| plan.stage.is_some());
        let is_moved = proposal.moves.contains(proxy);
        let others = of_trust.chain(of_leaves).filter(|subject| **subject != proposal.subject || !is_moved);
        found.extend(others.map(|subject| (proxy.clone(), subject.clone())));
        let agreed = accepted.moving.get(proxy).filter(|subject| **subject != proposal.subject);
        let agreed = agreed.filter(|subject| plan.stage.is_some() || matches!(subject, RotationSubject::Trust(_)));
        found.extend(agreed.map(|subject| (proxy.clone(), subject.clone())));
    }
    found.into_iter().collect()
}

/// The canary of each stage that no subject has completed yet.
fn canaries(proposals: &[Proposal], index: &FactIndex<'_>) -> BTreeMap<Stage, RotationSubject> {
    let mut by_stage: BTreeMap<Stage, Vec<&Proposal>> = BTreeMap::new();
    for proposal in proposals {
        if let Some(stage) = proposal.verdict.plan().and_then(|plan| plan.stage.clone()) {
            by_stage.entry(stage).or_default().push(proposal);
        }
    }
    let waiting = || proposals.iter().filter(|one| matches!(one.verdict, RotationVerdict::Verify(_)));
    let verifying: BTreeSet<&RotationSubject> = waiting().map(|one| &one.subject).collect();
    let of_enforced = waiting().filter(|one| one.watching.is_empty()).map(|one| &one.subject);
    let verifying_enforced: BTreeSet<&RotationSubject> = of_enforced.collect();
    let first = by_stage.into_iter().filter(|(stage, _)| !is_proven(stage, index)).filter_map(|(stage, mut movers)| {
        // A subject in a mesh in observe mode is never the canary: no step of Meshwarden makes its proxies acknowledge.
        let mut under_way_in = &verifying;
        if movers.iter().any(|mover| mover.watching.is_empty()) {
            movers.retain(|mover| mover.watching.is_empty());
            under_way_in = &verifying_enforced;
        }
        let canary = under_way(&stage, under_way_in, index).or_else(|| chosen(&movers, index));
        Some((stage, canary?))
    });
    first.collect()
}

/// Whether a subject has completed the stage and all its proxies have acknowledged it.
fn is_proven(stage: &Stage, index: &FactIndex<'_>) -> bool {
    match stage {
        Stage::TrustBoth { .. } | Stage::DropOld { .. } => {
            index.facts.trusts.iter().any(|one| trust::is_through(one, stage, index))
        }
        Stage::Reissue { to, .. } => index.facts.leaves.iter().any(|leaf| {
            let SourceReading::Known(chain) = &leaf.current else { return false };
            let ours = !matches!(leaf.keeper, Keeper::NotOurs { .. });
            let of_new = index.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == *to);
            ours && of_new && !leaf.users.is_empty() && index.waiting_for_leaf(leaf).is_empty()
        }),
    }
}

/// The subject in the middle of a stage: it has changed, and not all proxies have acknowledged it.
fn under_way(stage: &Stage, verifying: &BTreeSet<&RotationSubject>, index: &FactIndex<'_>) -> Option<RotationSubject> {
    let is_verifying = |subject: &RotationSubject| verifying.contains(subject);
    match stage {
        Stage::Reissue { to, .. } => index.facts.leaves.iter().find_map(|leaf| {
            let SourceReading::Known(chain) = &leaf.current else { return None };
            let of_new = index.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == *to);
            of_new.then(|| RotationSubject::Certificate(leaf.source.clone())).filter(is_verifying)
        }),
        Stage::TrustBoth { .. } | Stage::DropOld { .. } => {
            let trusts = index.facts.trusts.iter().map(|one| RotationSubject::Trust(one.id.clone()));
            trusts.into_iter().find(is_verifying)
        }
    }
}

/// The canary named by the policy, else the subject with the fewest neighbours.
fn chosen(movers: &[&Proposal], index: &FactIndex<'_>) -> Option<RotationSubject> {
    let named = index.policy.rollover.canary.as_ref();
    let by_name = movers.iter().find(|mover| named.is_some_and(|named| mover.moves.contains(named)));
    let reach = |mover: &&&Proposal| -> usize {
        let near: BTreeSet<_> = mover.moves.iter().flat_map(|proxy| index.neighbours(proxy)).collect();
        near.len() + mover.moves.len()
    };
    by_name.or_else(|| movers.iter().min_by_key(reach)).map(|mover| mover.subject.clone())
}
