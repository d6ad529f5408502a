//! The decision itself: a chain of named checks over one observation.

use jiff::Timestamp;
use serde::Serialize;

use super::draft::{Cost, Draft, Trust};
use super::facts::{Facts, RouteFacts};
use super::health::Health;
use super::phases::{Knows, Step, Transitions, note_quiet, transitions};
use super::reason::{ActReason, HarmFact, HoldReason, KeepReason, Return, StuckAlarm, Subject};
use super::record::{Intent, OwedNote, Phase, RouteRecord};
use super::scene::{Ledger, Scene};
use super::spread::points;
use super::standing::{Standing, Unclear, standing};
use crate::name::{RouteId, VirtualNodeName};
use crate::policy::Policy;
use crate::weights::WeightSplit;

/// What becomes of one route, or of one node that no route carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub verdict: Verdict,
    /// The route's record as it should be stored; for a plan, as it should be stored before the write. Unset where
    /// the state table has it already.
    pub record: Option<RouteRecord>,
    /// Whether something of the subject fails right now.
    pub failing: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing.
    Keep(KeepReason),
    /// Nothing now.
    Hold(HoldReason),
    /// Write these weights.
    Act(Box<Plan>),
}

/// A change of weights, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Stands for route, base version and weights; the same plan made again has the same id.
    pub id: String,
    /// Which route.
    pub route: RouteId,
    /// The version that it is based on.
    pub version: u64,
    /// The split before.
    pub from: WeightSplit,
    /// The split after.
    pub to: WeightSplit,
    /// Why.
    #[serde(flatten)]
    pub why: ActReason,
    /// Whether it counts against the budget.
    pub spends: bool,
    /// What becomes of the restore tag.
    pub tag: TagChange,
    /// The record once the write is made.
    #[serde(skip)]
    pub then: RouteRecord,
}

/// What becomes of a route's restore tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TagChange {
    /// It stays as it is.
    Keep,
    /// It is set to this before the weights are written.
    Set(String),
    /// It is removed once the weights are written and read back.
    Clear,
}

/// Decides for every route of a mesh, and for nodes whose alarms no route can answer.
///
/// `harms` tells what a split would break on a route (see [`crate::harm`]); it is asked only for splits that are about
/// to be made.
pub fn decide(
    facts: &Facts,
    harms: &dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Decision> {
    let scene = Scene::of(facts, harms, policy, now);
    let mut ledger = Ledger::of(facts);
    let mut routes: Vec<&RouteFacts> = facts.routes.iter().collect();
    // The order is that of the ids, so that capacity is shared out the same way each time.
    routes.sort_by(|one, other| one.id.cmp(&other.id));
    let mut decisions: Vec<Decision> = routes.iter().map(|route| decide_route(route, &scene, &mut ledger)).collect();
    decisions.extend(scene.nodes_without_routes());
    decisions
}

fn decide_route(route: &RouteFacts, scene: &Scene<'_>, ledger: &mut Ledger) -> Decision {
    let carries_failing = carries_failing(route, scene);
    let mut standing = match standing(route, &scene.failover.edits, scene.now) {
        Ok(standing) => standing,
        Err(unclear) => {
            let reason = match unclear {
                Unclear::Unreadable(why) => HoldReason::RecordUnreadable { why },
                Unclear::Stale { known } => HoldReason::StaleRead { read: route.version, known },
            };
            return Decision {
                subject: Subject::Route(route.id.clone()),
                verdict: Verdict::Hold(reason),
                record: None,
                failing: carries_failing,
            };
        }
    };
    let before = standing.record.shift.clone();
    note_quiet(&mut standing.record, scene);
    standing.changed |= standing.record.shift != before;
    let next = transitions(route, &standing.record, scene, scene.failover, scene.now);
    let failing = carries_failing || !next.drained.is_empty();
    let verdict = verdict(route, &standing, next, scene, ledger);
    if let Verdict::Act(plan) = &verdict {
        ledger.enter(plan);
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
            }),
            ..standing.record.clone()
        }),
        Verdict::Keep(_) | Verdict::Hold(_) => standing.changed.then(|| standing.record.clone()),
    };
    Decision { subject: Subject::Route(route.id.clone()), verdict, record, failing }
}

/// Whether the route gives traffic to a node that fails.
fn carries_failing(route: &RouteFacts, scene: &Scene<'_>) -> bool {
    let serving = route.split.targets().iter().filter(|target| target.weight.get() > 0);
    serving.into_iter().any(|target| matches!(scene.health(&target.virtual_node), Health::Failing { .. }))
}

/// The checks, in the order in which they count. A route that gives traffic to a failing node always ends in an act or a
/// hold.
fn verdict(route: &RouteFacts, standing: &Standing, next: Transitions, scene: &Scene<'_>, ledger: &Ledger) -> Verdict {
    if let Some(edit) = standing.record.edit {
        // Whatever the node's phase: one on its way back that fails again carries traffic, too.
        if carries_failing(route, scene) {
            let split = route.split.clone();
            return Verdict::Hold(HoldReason::PersonEdited { split, seen: edit.seen, until: edit.until });
        }
        return match next.muted.into_iter().next() {
            Some(muted) => Verdict::Hold(muted),
            None => Verdict::Keep(kept(next.drained, next.stuck, next.idle)),
        };
    }
    if !next.back_downs.is_empty() {
        return back_down(route, standing, &next, scene, ledger);
    }
    if !next.ended_trials.is_empty() {
        return end_trials(route, standing, &next, scene, ledger);
    }
    if !next.drains.is_empty() {
        return drain(route, standing, &next, scene, ledger);
    }
    if !next.unplaced.is_empty() {
        let placed = drain(route, standing, &next, scene, ledger);
        let left = |split: &WeightSplit| -> u16 { next.unplaced.iter().map(|node| points(split, node)).sum() };
        if let Verdict::Act(plan) = &placed
            && left(&plan.to) < left(&route.split)
        {
            return placed;
        }
    }
    if !next.steps.is_empty() {
        if let Some(settling) = settling(standing, &next, scene) {
            return Verdict::Hold(settling);
        }
        return go_on(route, standing, &next, scene, ledger);
    }
    if !next.unplaced.is_empty() {
        let unplaced = standing.record.shift.unplaced;
        return Verdict::Hold(HoldReason::Unplaced { failing: next.unplaced, unplaced });
    }
    // What a person has to look into is not hidden behind another node's dwell.
    if let Some(wait) = next.waits.into_iter().min_by_key(|wait| !wait.pages()) {
        return Verdict::Hold(wait);
    }
    if let Some(muted) = next.muted.into_iter().next() {
        return Verdict::Hold(muted);
    }
    Verdict::Keep(kept(next.drained, next.stuck, next.idle))
}

/// Why nothing needs doing.
fn kept(drained: Vec<VirtualNodeName>, stuck: Vec<StuckAlarm>, idle: Vec<VirtualNodeName>) -> KeepReason {
    if !drained.is_empty() {
        KeepReason::AlreadyShifted { drained, stuck }
    } else if !idle.is_empty() {
        KeepReason::FailingWithoutTraffic { nodes: idle }
    } else {
        KeepReason::Steady
    }
}

/// Another node was drained a moment ago: its traffic has just gone to the others, and they are watched for a step's
/// time before anything else is moved.
fn settling(standing: &Standing, next: &Transitions, scene: &Scene<'_>) -> Option<HoldReason> {
    let others = standing.record.shift.phases.iter().filter(|(node, _)| !next.steps.contains_key(*node));
    let drained = others.filter_map(|(node, phase)| match phase {
        Phase::Drained { since, .. } => Some((node, *since + scene.failover.failback.step_every.get())),
        Phase::Returning { .. } => None,
    });
    let (node, until) = drained.max_by_key(|(_, until)| *until)?;
    (scene.now < until).then(|| HoldReason::Settling { drained: node.clone(), until })
}

/// A node that was coming back fails again: what it got back is taken away at once, whatever else is the matter. Where
/// other nodes fail too and may be drained, that is one write, so that nothing is left to do a moment later.
fn back_down(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    let with_others = (!next.drains.is_empty()).then(|| back_down_and_drain(route, standing, next, scene, ledger));
    match with_others {
        Some(verdict @ Verdict::Act(_)) => verdict,
        Some(Verdict::Keep(_) | Verdict::Hold(_)) | None => back_down_alone(route, standing, next, scene, ledger),
    }
}

/// Both at once, under the conditions of a drain.
fn back_down_and_drain(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    if let Some(objection) = next.drains.iter().find_map(|node| scene.causes.objection(node)) {
        return Verdict::Hold(objection);
    }
    let failing: Vec<VirtualNodeName> = next.back_downs.iter().chain(&next.drains).cloned().collect();
    let mut draft = Draft::of(route, standing);
    draft.drain(&failing, scene);
    let alarms = scene.alarms_of(&failing);
    let cost = if standing.paid { Cost::Free } else { Cost::OneShift };
    match draft.spread(route, scene, ledger, Trust::KnownReady) {
        Ok(spread) => {
            let why = ActReason::BackDown { failing, alarms, drained_too: next.drains.clone() };
            draft.plan(route, &spread, why, cost, scene, ledger)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

fn back_down_alone(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    let failing = next.back_downs.clone();
    let mut draft = Draft::of(route, standing);
    draft.drain(&failing, scene);
    let alarms = scene.alarms_of(&failing);
    let known_ready = draft.spread(route, scene, ledger, Trust::KnownReady);
    // Those that carried all of it a moment ago can carry it again, even if their alarms have no data this minute.
    match known_ready.or_else(|_| draft.spread(route, scene, ledger, Trust::Carriers)) {
        Ok(spread) => {
            let why = ActReason::BackDown { failing, alarms, drained_too: Vec::new() };
            draft.plan(route, &spread, why, Cost::Free, scene, ledger)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Nodes that had the probe share without proof are drained again. Those that carry the rest keep it.
fn end_trials(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    let nodes = next.ended_trials.clone();
    let mut draft = Draft::of(route, standing);
    draft.end_trials(&nodes, scene.now);
    match draft.spread(route, scene, ledger, Trust::Carriers) {
        Ok(spread) => draft.plan(route, &spread, ActReason::TrialEnded { nodes }, Cost::Free, scene, ledger),
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Serving nodes fail: their share goes to others, if nothing speaks against it.
fn drain(route: &RouteFacts, standing: &Standing, next: &Transitions, scene: &Scene<'_>, ledger: &Ledger) -> Verdict {
    if route.split.is_drained() {
        return Verdict::Hold(HoldReason::DeclaredDrained);
    }
    if let Some(objection) = next.drains.iter().find_map(|node| scene.causes.objection(node)) {
        return Verdict::Hold(objection);
    }
    let mut draft = Draft::of(route, standing);
    draft.drain(&next.drains, scene);
    let failing: Vec<VirtualNodeName> = next.drains.iter().chain(&next.drained).cloned().collect();
    let alarms = scene.alarms_of(&failing);
    let cost = if standing.paid { Cost::Free } else { Cost::OneShift };
    match draft.spread(route, scene, ledger, Trust::KnownReady) {
        Ok(spread) if spread.unplaced == 0 => {
            draft.plan(route, &spread, ActReason::Failover { failing, alarms }, cost, scene, ledger)
        }
        Ok(spread) => {
            let why = ActReason::PartialSpill { failing, alarms, unplaced: spread.unplaced };
            draft.plan(route, &spread, why, cost, scene, ledger)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Nodes that have been quiet, or have proven themselves, get the next part of their share.
fn go_on(route: &RouteFacts, standing: &Standing, next: &Transitions, scene: &Scene<'_>, ledger: &Ledger) -> Verdict {
    let mut draft = Draft::of(route, standing);
    draft.step(&next.steps, scene);
    if draft.shift.phases.is_empty() {
        let returned = next.steps.keys().cloned().collect();
        return draft.restore(route, ActReason::Restore { returned }, scene, ledger);
    }
    let returning: Vec<Return> = next
        .steps
        .iter()
        .map(|(node, step)| {
            let done = u8::try_from(scene.failover.failback.steps.len() + 1).unwrap_or(u8::MAX);
            let (step, without_proof) = match step {
                Step::To(step) => (*step, false),
                Step::Trial => (0, true),
                Step::Done => (done, false),
            };
            Return { node: node.clone(), step, without_proof }
        })
        .collect();
    match draft.spread(route, scene, ledger, Trust::Carriers) {
        Ok(spread) => draft.plan(route, &spread, ActReason::Failback { returning }, Cost::Free, scene, ledger),
        Err(hold) => Verdict::Hold(hold),
    }
}
