//! The failover decision: an ordered list of checks over one observation.

use jiff::Timestamp;

use super::candidate::{BudgetCost, CandidatePlan, ReceiverRule};
use super::decision::{Decision, Verdict};
use super::facts::{Facts, RouteFacts};
use super::health::Health;
use super::input::{Allocations, DecisionInput};
use super::layer_verdict::LayerView;
use super::phases::{FailbackStep, NodeHealthSource, Transitions, note_quiet, transitions};
use super::reason::{ActReason, HoldReason, KeepReason, Return, Subject};
use super::record::{Intent, OwedNote, Phase, RouteRecord};
use super::route_state::{RouteState, RouteStateError, route_state};
use crate::decision::HarmFact;
use crate::weights::Blocker;
use crate::weights::spread::points;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::Policy;

/// Returns a decision for every route of a mesh, and for each failing node without a route that can move its traffic.
///
/// `harms` returns the harms that a split would cause on a route (see [`mesh::harm`]). It is called only for splits
/// that are about to be planned.
pub fn decide(
    facts: &Facts,
    harms: &dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Decision> {
    let input = DecisionInput::new(facts, harms, policy, now);
    let mut allocations = Allocations::new(facts);
    let mut routes: Vec<&RouteFacts> = facts.routes.iter().collect();
    // Sorting by id shares out capacity and budget in the same order in every invocation.
    routes.sort_by(|one, other| one.id.cmp(&other.id));
    let mut decisions: Vec<Decision> =
        routes.iter().map(|route| decide_route(route, &input, &mut allocations)).collect();
    decisions.extend(input.holds_for_unrouted_nodes());
    decisions
}

fn decide_route(route: &RouteFacts, input: &DecisionInput<'_>, allocations: &mut Allocations) -> Decision {
    let carries_failing = carries_failing(route, input);
    let mut state = match route_state(route, input.policy, input.now) {
        Ok(state) => state,
        Err(unclear) => {
            let reason = match unclear {
                RouteStateError::Unreadable(why) => HoldReason::RecordUnreadable { why },
                RouteStateError::Stale { known } => HoldReason::StaleRead { read: route.version, known },
            };
            return Decision {
                subject: Subject::Route(route.id.clone()),
                verdict: Verdict::Hold(reason),
                record: None,
                failing: carries_failing,
            };
        }
    };
    let before = state.record.shift.clone();
    note_quiet(&mut state.record, input);
    state.changed |= state.record.shift != before;
    let next = transitions(route, &state.record, input, input.failover, input.now);
    let failing = carries_failing || !next.drained.is_empty();
    let verdict = verdict(route, &state, &next, input, allocations);
    if let Verdict::Act(plan) = &verdict {
        allocations.add(plan);
    }
    let record = match &verdict {
        Verdict::Act(plan) => Some(RouteRecord {
            intent: Some(Intent {
                plan: plan.id.clone(),
                to: plan.to.clone(),
                version: plan.version,
                then: plan.then.shift.clone(),
                drains: plan.then.drains.clone(),
                trials: plan.then.trials.clone(),
                note: Some(OwedNote { code: plan.why.code(), text: plan.why.to_string() }),
                layers: (plan.then.layers != state.record.layers).then(|| Box::new(plan.then.layers.clone())),
            }),
            ..state.record.clone()
        }),
        Verdict::Keep(_) | Verdict::Hold(_) => state.changed.then(|| state.record.clone()),
    };
    Decision { subject: Subject::Route(route.id.clone()), verdict, record, failing }
}

/// Whether the route sends traffic to a failing node.
fn carries_failing(route: &RouteFacts, input: &DecisionInput<'_>) -> bool {
    let serving = route.split.targets().iter().filter(|target| target.weight.get() > 0);
    serving.into_iter().any(|target| matches!(input.health(&target.virtual_node), Health::Failing { .. }))
}

/// The checks, in order of precedence. A route that sends traffic to a failing node always ends in an act or a hold.
///
/// 1. An operator's edit or hold.
/// 2. Rollouts and drills: their end by a failing node or a missed deadline ([`LayerView::before_others`]).
/// 3. Failover: [`failover_verdict`].
/// 4. Layers that are to be written again, and a rollout that is unattended ([`LayerView::instead_of`]).
///
/// Checks on the new split follow in [`CandidatePlan`]: kill switch, harm and budget.
fn verdict(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    let layers = LayerView { route, state, next, input, allocations };
    if let Some(edit) = state.record.edit {
        // The phase does not matter: a returning node that fails again carries traffic, too.
        if carries_failing(route, input) {
            let split = route.split.clone();
            return Verdict::Hold(HoldReason::PersonEdited { split, seen: edit.seen, until: edit.until });
        }
        let blocker = Blocker::PersonEdited { seen: edit.seen, until: edit.until };
        return match layers.while_held(&blocker).or_else(|| next.muted.first().cloned()) {
            Some(hold) => Verdict::Hold(hold),
            None => Verdict::Keep(no_change_reason(next)),
        };
    }
    layers
        .before_others()
        .unwrap_or_else(|| layers.instead_of(failover_verdict(route, state, next, input, allocations)))
}

/// The checks of failover, in order of precedence.
fn failover_verdict(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    if !next.back_downs.is_empty() {
        return back_down(route, state, next, input, allocations);
    }
    if !next.ended_trials.is_empty() {
        return end_trials(route, state, next, input, allocations);
    }
    if !next.drains.is_empty() {
        return drain(route, state, next, input, allocations);
    }
    // Another writer's split is replaced by the layers as they were: that is no new shift, and spends no budget.
    if !next.unplaced.is_empty() && state.record.layers.pending.is_none() {
        let placed = drain(route, state, next, input, allocations);
        let left = |split: &WeightSplit| -> u16 { next.unplaced.iter().map(|node| points(split, node)).sum() };
        if let Verdict::Act(plan) = &placed
            && left(&plan.to) < left(&route.split)
        {
            return placed;
        }
    }
    if !next.steps.is_empty() {
        if let Some(settling) = settling(state, next, input) {
            return Verdict::Hold(settling);
        }
        return advance(route, state, next, input, allocations);
    }
    if !next.unplaced.is_empty() {
        let unplaced = state.record.shift.unplaced;
        return Verdict::Hold(HoldReason::Unplaced { failing: next.unplaced.clone(), unplaced });
    }
    // A hold that needs an operator takes precedence over another node's dwell.
    if let Some(wait) = next.waits.iter().min_by_key(|wait| !wait.pages()) {
        return Verdict::Hold(wait.clone());
    }
    if let Some(muted) = next.muted.first() {
        return Verdict::Hold(muted.clone());
    }
    Verdict::Keep(no_change_reason(next))
}

/// The reason why no change is needed.
fn no_change_reason(next: &Transitions) -> KeepReason {
    if !next.drained.is_empty() {
        KeepReason::AlreadyShifted { drained: next.drained.clone(), stuck: next.stuck.clone() }
    } else if !next.idle.is_empty() {
        KeepReason::FailingWithoutTraffic { nodes: next.idle.clone() }
    } else {
        KeepReason::Steady
    }
}

/// Holds while another node's drain is recent: the remaining nodes are observed under its load for the duration of one
/// step before more weight moves.
fn settling(state: &RouteState, next: &Transitions, input: &DecisionInput<'_>) -> Option<HoldReason> {
    let others = state.record.shift.phases.iter().filter(|(node, _)| !next.steps.contains_key(*node));
    let drained = others.filter_map(|(node, phase)| match phase {
        Phase::Drained { since, .. } => Some((node, *since + input.failover.failback.step_every.get())),
        Phase::Returning { .. } => None,
    });
    let (node, until) = drained.max_by_key(|(_, until)| *until)?;
    (input.now < until).then(|| HoldReason::Settling { drained: node.clone(), until })
}

/// Drains returning nodes that fail again. If other nodes fail too and may be drained, both changes are one write.
fn back_down(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    let with_others = (!next.drains.is_empty()).then(|| back_down_and_drain(route, state, next, input, allocations));
    match with_others {
        Some(verdict @ Verdict::Act(_)) => verdict,
        Some(Verdict::Keep(_) | Verdict::Hold(_)) | None => back_down_alone(route, state, next, input, allocations),
    }
}

/// Drains returning and serving nodes in one write, under the conditions of a drain.
fn back_down_and_drain(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    if let Some(objection) = next.drains.iter().find_map(|node| input.causes.objection(node)) {
        return Verdict::Hold(objection);
    }
    let failing: Vec<VirtualNodeName> = next.back_downs.iter().chain(&next.drains).cloned().collect();
    let mut candidate = CandidatePlan::new(state);
    candidate.drain(&failing, input);
    let alarms = input.alarms_of(&failing);
    let cost = if state.budget_spent { BudgetCost::Free } else { BudgetCost::OneShift };
    match candidate.spread(route, input, allocations, ReceiverRule::KnownReady) {
        Ok(spread) => {
            let why = ActReason::BackDown { failing, alarms, drained_too: next.drains.clone() };
            candidate.plan(route, spread, why, cost, input, allocations)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

fn back_down_alone(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    let failing = next.back_downs.clone();
    let mut candidate = CandidatePlan::new(state);
    candidate.drain(&failing, input);
    let alarms = input.alarms_of(&failing);
    let known_ready = candidate.spread(route, input, allocations, ReceiverRule::KnownReady);
    // Nodes that carried the full load before this step can carry it again, even if their alarms have no data now.
    match known_ready.or_else(|_| candidate.spread(route, input, allocations, ReceiverRule::Carriers)) {
        Ok(spread) => {
            let why = ActReason::BackDown { failing, alarms, drained_too: Vec::new() };
            candidate.plan(route, spread, why, BudgetCost::Free, input, allocations)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Drains nodes after their probe without proof. The nodes that carry the remaining traffic keep it.
fn end_trials(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    let nodes = next.ended_trials.clone();
    let mut candidate = CandidatePlan::new(state);
    candidate.end_trials(&nodes, input.now);
    match candidate.spread(route, input, allocations, ReceiverRule::Carriers) {
        Ok(spread) => {
            candidate.plan(route, spread, ActReason::TrialEnded { nodes }, BudgetCost::Free, input, allocations)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Moves the share of failing nodes to other targets, unless a check objects.
fn drain(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    if route.split.is_drained() {
        return Verdict::Hold(HoldReason::DeclaredDrained);
    }
    if let Some(objection) = next.drains.iter().find_map(|node| input.causes.objection(node)) {
        return Verdict::Hold(objection);
    }
    let mut candidate = CandidatePlan::new(state);
    candidate.drain(&next.drains, input);
    let failing: Vec<VirtualNodeName> = next.drains.iter().chain(&next.drained).cloned().collect();
    let alarms = input.alarms_of(&failing);
    let cost = if state.budget_spent { BudgetCost::Free } else { BudgetCost::OneShift };
    match candidate.spread(route, input, allocations, ReceiverRule::KnownReady) {
        Ok(spread) if spread.unplaced == 0 => {
            candidate.plan(route, spread, ActReason::Failover { failing, alarms }, cost, input, allocations)
        }
        Ok(spread) => {
            let why = ActReason::PartialSpill { failing, alarms, unplaced: spread.unplaced };
            candidate.plan(route, spread, why, cost, input, allocations)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Gives the next part of their share to nodes that have been quiet for the dwell, or have proven themselves.
fn advance(
    route: &RouteFacts,
    state: &RouteState,
    next: &Transitions,
    input: &DecisionInput<'_>,
    allocations: &Allocations,
) -> Verdict {
    let mut candidate = CandidatePlan::new(state);
    candidate.step(&next.steps, input);
    if candidate.shift.phases.is_empty() {
        let returned = next.steps.keys().cloned().collect();
        return candidate.restore(route, ActReason::Restore { returned }, input, allocations);
    }
    let returning: Vec<Return> = next
        .steps
        .iter()
        .map(|(node, step)| {
            let done = u8::try_from(input.failover.failback.steps.len() + 1).unwrap_or(u8::MAX);
            let (step, without_proof) = match step {
                FailbackStep::To(step) => (*step, false),
                FailbackStep::Trial => (0, true),
                FailbackStep::Done => (done, false),
            };
            Return { node: node.clone(), step, without_proof }
        })
        .collect();
    let all_are_due = candidate.shift.phases.keys().all(|node| next.steps.contains_key(node));
    match candidate.spread(route, input, allocations, ReceiverRule::Carriers) {
        Ok(spread) => {
            candidate.plan(route, spread, ActReason::Failback { returning }, BudgetCost::Free, input, allocations)
        }
        // A declared write can leave only returning nodes with a share. No other target can carry the rest of it.
        Err(_) if all_are_due => {
            let returned = next.steps.keys().cloned().collect();
            candidate.restore(route, ActReason::Restore { returned }, input, allocations)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}
