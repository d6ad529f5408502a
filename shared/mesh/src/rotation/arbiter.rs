//! One look at all proposals together: who goes first, who waits for a neighbour, what is worth its harm, what is left of
//! the budget.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Proposal, Subject, Verdict};
use super::facts::Keeper;
use super::plan::Stage;
use super::reason::KeepReason;
use super::scene::Scene;
use super::trust;
use crate::certificates::Reading;
use crate::change::Change;
use crate::failover::HarmFact;
use crate::name::ResourcePath;

/// Turns those proposals that may not be carried out now into reasons.
pub(super) fn settle(proposals: &mut [Proposal], scene: &Scene<'_>, harms: &dyn Fn(&Change) -> Vec<HarmFact>) {
    let mut ledger = Ledger { moving: BTreeMap::new(), issued: scene.facts.budget_used };
    let canaries = canaries(proposals, scene);
    for proposal in proposals {
        let refused = refusal(proposal, &canaries, scene, &ledger, harms);
        match refused {
            Some(reason) => proposal.held(reason),
            None => ledger.enter(proposal),
        }
    }
}

/// What this round has already agreed to.
struct Ledger {
    moving: BTreeMap<ResourcePath, Subject>,
    issued: u32,
}

impl Ledger {
    fn enter(&mut self, proposal: &Proposal) {
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
    canaries: &BTreeMap<Stage, Subject>,
    scene: &Scene<'_>,
    ledger: &Ledger,
    harms: &dyn Fn(&Change) -> Vec<HarmFact>,
) -> Option<KeepReason> {
    let plan = proposal.verdict.plan()?;
    if let Some(switch) = &scene.facts.kill_switch {
        return Some(KeepReason::KillSwitchOn { by: switch.by.clone(), why: switch.reason.clone() });
    }
    if !proposal.urgent
        && let Err(reason) = scene.meshes.can_follow(&proposal.subject)
    {
        return Some(reason);
    }
    if let Some(stage) = &plan.stage
        && let Some(canary) = canaries.get(stage).filter(|canary| **canary != proposal.subject)
    {
        return Some(KeepReason::AwaitingCanary { stage: stage.clone(), canary: Box::new(canary.clone()) });
    }
    let changing = changing(proposal, scene, ledger);
    if !changing.is_empty() {
        return Some(KeepReason::NeighbourChanging { changing });
    }
    if let super::plan::Step::Apply { change } = &plan.step {
        let harms = harms(change);
        if !harms.is_empty() {
            return Some(KeepReason::Harmful { harms });
        }
    }
    let cap = scene.policy.budget.changes;
    if plan.step.issues() && ledger.issued >= cap {
        return Some(KeepReason::BudgetSpent { used: ledger.issued, cap });
    }
    None
}

/// Which proxies that it has to do with are just changing. Where trust doesn't change, only a change of trust counts; and
/// what would come to harm by waiting does not wait. A step that hands one certificate over to one proxy after another also
/// waits for a neighbour that is just getting that same certificate.
fn changing(proposal: &Proposal, scene: &Scene<'_>, ledger: &Ledger) -> Vec<(ResourcePath, Subject)> {
    let Some(plan) = proposal.verdict.plan() else { return Vec::new() };
    if plan.stage.is_none() && proposal.urgent {
        return Vec::new();
    }
    let near = proposal.moves.iter().flat_map(|proxy| std::iter::once(proxy).chain(scene.neighbours(proxy)));
    let near: BTreeSet<&ResourcePath> = near.collect();
    let mut found = BTreeSet::new();
    for proxy in near {
        let of_trust = scene.trust_motion.get(proxy).into_iter().flatten();
        let of_leaves = scene.leaf_motion.get(proxy).into_iter().flatten().filter(|_| plan.stage.is_some());
        let is_moved = proposal.moves.contains(proxy);
        let others = of_trust.chain(of_leaves).filter(|subject| **subject != proposal.subject || !is_moved);
        found.extend(others.map(|subject| (proxy.clone(), subject.clone())));
        let agreed = ledger.moving.get(proxy).filter(|subject| **subject != proposal.subject);
        let agreed = agreed.filter(|subject| plan.stage.is_some() || matches!(subject, Subject::Trust(_)));
        found.extend(agreed.map(|subject| (proxy.clone(), subject.clone())));
    }
    found.into_iter().collect()
}

/// Who goes first in each stage that nobody has been through yet.
fn canaries(proposals: &[Proposal], scene: &Scene<'_>) -> BTreeMap<Stage, Subject> {
    let mut by_stage: BTreeMap<Stage, Vec<&Proposal>> = BTreeMap::new();
    for proposal in proposals {
        if let Some(stage) = proposal.verdict.plan().and_then(|plan| plan.stage.clone()) {
            by_stage.entry(stage).or_default().push(proposal);
        }
    }
    let waiting = proposals.iter().filter(|one| matches!(one.verdict, Verdict::Verify(_)));
    let verifying: BTreeSet<&Subject> = waiting.map(|one| &one.subject).collect();
    let first = by_stage.into_iter().filter(|(stage, _)| !is_proven(stage, scene)).filter_map(|(stage, mut movers)| {
        // One of which is only told never goes first.
        if movers.iter().any(|mover| mover.watching.is_empty()) {
            movers.retain(|mover| mover.watching.is_empty());
        }
        let canary = under_way(&stage, &verifying, scene).or_else(|| chosen(&movers, scene));
        Some((stage, canary?))
    });
    first.collect()
}

/// Whether anybody has been through a stage, and all of it was acknowledged.
fn is_proven(stage: &Stage, scene: &Scene<'_>) -> bool {
    match stage {
        Stage::TrustBoth { .. } | Stage::DropOld { .. } => {
            scene.facts.trusts.iter().any(|one| trust::is_through(one, stage, scene))
        }
        Stage::Reissue { to, .. } => scene.facts.leaves.iter().any(|leaf| {
            let Reading::Known(chain) = &leaf.current else { return false };
            let ours = !matches!(leaf.keeper, Keeper::NotOurs { .. });
            let of_new = scene.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == *to);
            ours && of_new && !leaf.users.is_empty() && scene.waiting_for_leaf(leaf).is_empty()
        }),
    }
}

/// One that is in the middle of a stage: it has changed, and not everybody has acknowledged it.
fn under_way(stage: &Stage, verifying: &BTreeSet<&Subject>, scene: &Scene<'_>) -> Option<Subject> {
    let is_verifying = |subject: &Subject| verifying.contains(subject);
    match stage {
        Stage::Reissue { to, .. } => scene.facts.leaves.iter().find_map(|leaf| {
            let Reading::Known(chain) = &leaf.current else { return None };
            let of_new = scene.issuer(&chain.leaf).is_some_and(|issuer| issuer.arn == *to);
            of_new.then(|| Subject::Certificate(leaf.source.clone())).filter(is_verifying)
        }),
        Stage::TrustBoth { .. } | Stage::DropOld { .. } => {
            let trusts = scene.facts.trusts.iter().map(|one| Subject::Trust(one.id.clone()));
            trusts.into_iter().find(is_verifying)
        }
    }
}

/// The one that the policy names, else the one with the fewest neighbours.
fn chosen(movers: &[&Proposal], scene: &Scene<'_>) -> Option<Subject> {
    let named = scene.policy.rollover.canary.as_ref();
    let by_name = movers.iter().find(|mover| named.is_some_and(|named| mover.moves.contains(named)));
    let reach = |mover: &&&Proposal| -> usize {
        let near: BTreeSet<_> = mover.moves.iter().flat_map(|proxy| scene.neighbours(proxy)).collect();
        near.len() + mover.moves.len()
    };
    by_name.or_else(|| movers.iter().min_by_key(reach)).map(|mover| mover.subject.clone())
}
