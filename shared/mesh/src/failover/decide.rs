//! The decision itself: a chain of named checks over one observation.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cause::Causes;
use super::facts::{Facts, RouteFacts};
use super::health::Health;
use super::phases::{Knows, Transitions, keeps, transitions};
use super::reason::{
    ActReason, HarmFact, HoldReason, Ineligible, KeepReason, Obstacle, Return, Subject,
};
use super::record::{Intent, Phase, RestorePoint, RestoreTag, RouteRecord, Shift};
use super::spread::{Receiver, Spread, points, spread};
use super::standing::{Standing, standing};
use super::targets::{Voice, Voices, voices};
use crate::alarm::AlarmName;
use crate::name::{RouteId, VirtualNodeName};
use crate::policy::{FailoverPolicy, Policy};
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
    /// What should become of the restore tag even though no weights are written.
    pub clear_tag: bool,
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
    let mut decisions: Vec<Decision> = routes
        .iter()
        .map(|route| decide_route(route, &scene, &mut ledger))
        .collect();
    decisions.extend(scene.nodes_without_routes());
    decisions
}

/// Everything that is the same for all routes of a mesh.
struct Scene<'a> {
    facts: &'a Facts,
    harms: &'a dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
    policy: &'a Policy,
    failover: &'a FailoverPolicy,
    now: Timestamp,
    voices: Voices,
    health: BTreeMap<VirtualNodeName, Health>,
    causes: Causes,
}

impl<'a> Scene<'a> {
    fn of(
        facts: &'a Facts,
        harms: &'a dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Self {
        let failover = &policy.failover;
        let voices = voices(&facts.alarms, &facts.alarm_tags, failover);
        let targets = facts
            .routes
            .iter()
            .flat_map(|route| route.split.targets())
            .map(|target| &target.virtual_node);
        let health: BTreeMap<VirtualNodeName, Health> = targets
            .chain(voices.nodes(&facts.mesh))
            .map(|node| {
                let declared = failover.target(&facts.mesh, node);
                (
                    node.clone(),
                    Health::of(
                        voices.of(&facts.mesh, node),
                        facts.has_traffic(node),
                        declared,
                    ),
                )
            })
            .collect();
        let causes = Causes::of(facts, &health, &failover.common_cause, now);
        Self {
            facts,
            harms,
            policy,
            failover,
            now,
            voices,
            health,
            causes,
        }
    }

    /// Failing nodes whose traffic no weights can move.
    fn nodes_without_routes(&self) -> Vec<Decision> {
        let carried = |node: &VirtualNodeName| {
            self.facts
                .routes
                .iter()
                .any(|route| route.split.carries(node))
        };
        self.health
            .iter()
            .filter(|(node, _)| !carried(node))
            .filter_map(|(node, health)| match health {
                Health::Failing { alarms, .. } => Some((node, alarms)),
                Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. } => None,
            })
            .map(|(node, alarms)| {
                let reason = if self.facts.nodes.contains(node) {
                    let provides = self.facts.provides.get(node).cloned().unwrap_or_default();
                    HoldReason::NoRoute {
                        node: node.clone(),
                        provides,
                    }
                } else {
                    HoldReason::NodeMissing {
                        node: node.clone(),
                        alarms: alarms.clone(),
                    }
                };
                Decision {
                    subject: Subject::Node(node.clone()),
                    verdict: Verdict::Hold(reason),
                    record: None,
                    clear_tag: false,
                    failing: true,
                }
            })
            .collect()
    }

    fn alarms_of(&self, nodes: &[VirtualNodeName]) -> Vec<AlarmName> {
        let on = |node| match self.health.get(node) {
            Some(Health::Failing { alarms, .. }) => alarms.clone(),
            Some(Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. }) | None => {
                Vec::new()
            }
        };
        nodes.iter().flat_map(on).collect()
    }
}

impl Knows for Scene<'_> {
    fn health(&self, node: &VirtualNodeName) -> Health {
        self.health
            .get(node)
            .cloned()
            .unwrap_or_else(|| Health::of(&[], false, None))
    }

    fn voices(&self, node: &VirtualNodeName) -> &[Voice] {
        self.voices.of(&self.facts.mesh, node)
    }
}

/// What the routes decided so far have left of capacities and of the budget.
struct Ledger {
    splits: BTreeMap<RouteId, WeightSplit>,
    budget_used: u32,
}

impl Ledger {
    fn of(facts: &Facts) -> Self {
        let splits = facts
            .routes
            .iter()
            .map(|route| (route.id.clone(), route.split.clone()))
            .collect();
        Self {
            splits,
            budget_used: facts.budget_used,
        }
    }

    /// Percentage points that a node carries on all routes but this one.
    fn elsewhere(&self, route: &RouteId, node: &VirtualNodeName) -> u16 {
        self.splits
            .iter()
            .filter(|(id, _)| *id != route)
            .map(|(_, split)| points(split, node))
            .sum()
    }

    fn enter(&mut self, plan: &Plan) {
        self.splits.insert(plan.route.clone(), plan.to.clone());
        if plan.spends {
            self.budget_used += 1;
        }
    }
}

fn decide_route(route: &RouteFacts, scene: &Scene<'_>, ledger: &mut Ledger) -> Decision {
    let carries_failing = route
        .split
        .targets()
        .iter()
        .filter(|target| target.weight.get() > 0)
        .any(|target| matches!(scene.health(&target.virtual_node), Health::Failing { .. }));
    let standing = match standing(route, &scene.failover.edits, scene.now) {
        Ok(standing) => standing,
        Err(why) => {
            return Decision {
                subject: Subject::Route(route.id.clone()),
                verdict: Verdict::Hold(HoldReason::RecordUnreadable { why }),
                record: None,
                clear_tag: false,
                failing: carries_failing,
            };
        }
    };
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
            }),
            ..standing.record.clone()
        }),
        Verdict::Keep(_) | Verdict::Hold(_) => standing.changed.then(|| standing.record.clone()),
    };
    Decision {
        subject: Subject::Route(route.id.clone()),
        verdict,
        record,
        clear_tag: standing.clear_tag,
        failing,
    }
}

/// The checks, in the order in which they count.
fn verdict(
    route: &RouteFacts,
    standing: &Standing,
    next: Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    if let Some(edit) = standing.record.edit {
        let disturbed = !next.drains.is_empty();
        return if disturbed {
            let split = route.split.clone();
            Verdict::Hold(HoldReason::PersonEdited {
                split,
                seen: edit.seen,
                until: edit.until,
            })
        } else {
            Verdict::Keep(KeepReason::Steady)
        };
    }
    if !next.back_downs.is_empty() {
        return back_down(route, standing, &next, scene, ledger);
    }
    if !next.drains.is_empty() {
        return drain(route, standing, &next, scene, ledger);
    }
    if standing.record.shift.unplaced > 0 && !next.drained.is_empty() {
        let placed = drain(route, standing, &next, scene, ledger);
        if let Verdict::Act(plan) = &placed
            && plan.then.shift.unplaced < standing.record.shift.unplaced
        {
            return placed;
        }
    }
    if !next.steps.is_empty() {
        return go_on(route, standing, &next, scene, ledger);
    }
    if let Some(wait) = next.waits.into_iter().next() {
        return Verdict::Hold(wait);
    }
    if let Some(muted) = next.muted.into_iter().next() {
        return Verdict::Hold(muted);
    }
    if next.drained.is_empty() {
        Verdict::Keep(KeepReason::Steady)
    } else {
        Verdict::Keep(KeepReason::AlreadyShifted {
            drained: next.drained,
        })
    }
}

/// A node that was coming back fails again: what it got back is taken away at once, whatever else is the matter.
fn back_down(
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
    match draft.spread(route, scene, ledger, Trust::Carriers) {
        Ok(spread) => draft.plan(
            route,
            &spread,
            ActReason::BackDown { failing, alarms },
            Cost::Free,
            scene,
            ledger,
        ),
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Serving nodes fail: their share goes to others, if nothing speaks against it.
fn drain(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    if route.split.is_drained() {
        return Verdict::Hold(HoldReason::DeclaredDrained);
    }
    if let Some(objection) = next
        .drains
        .iter()
        .find_map(|node| scene.causes.objection(node))
    {
        return Verdict::Hold(objection);
    }
    let mut draft = Draft::of(route, standing);
    draft.drain(&next.drains, scene);
    let failing: Vec<VirtualNodeName> = next.drains.iter().chain(&next.drained).cloned().collect();
    let alarms = scene.alarms_of(&failing);
    let cost = if standing.paid {
        Cost::Free
    } else {
        Cost::OneShift
    };
    match draft.spread(route, scene, ledger, Trust::KnownReady) {
        Ok(spread) if spread.unplaced == 0 => draft.plan(
            route,
            &spread,
            ActReason::Failover { failing, alarms },
            cost,
            scene,
            ledger,
        ),
        Ok(spread) => {
            let why = ActReason::PartialSpill {
                failing,
                alarms,
                unplaced: spread.unplaced,
            };
            draft.plan(route, &spread, why, cost, scene, ledger)
        }
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Nodes that have been quiet, or have proven themselves, get the next part of their share.
fn go_on(
    route: &RouteFacts,
    standing: &Standing,
    next: &Transitions,
    scene: &Scene<'_>,
    ledger: &Ledger,
) -> Verdict {
    let mut draft = Draft::of(route, standing);
    draft.step(&next.steps, scene.now);
    if draft.shift.phases.is_empty() {
        let returned = next.steps.keys().cloned().collect();
        return draft.restore(route, ActReason::Restore { returned }, scene, ledger);
    }
    let returning: Vec<Return> = next
        .steps
        .iter()
        .map(|(node, step)| {
            let done = u8::try_from(scene.failover.failback.steps.len() + 1).unwrap_or(u8::MAX);
            Return {
                node: node.clone(),
                step: step.unwrap_or(done),
            }
        })
        .collect();
    match draft.spread(route, scene, ledger, Trust::Carriers) {
        Ok(spread) => draft.plan(
            route,
            &spread,
            ActReason::Failback { returning },
            Cost::Free,
            scene,
            ledger,
        ),
        Err(hold) => Verdict::Hold(hold),
    }
}

/// Whom to give traffic to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Only targets that are known or declared to be ready.
    KnownReady,
    /// Those, and those that carry some of the traffic already and do not fail: taking up a step again must not
    /// depend on an alarm having data this very minute.
    Carriers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    OneShift,
    Free,
}

/// The fail-over of one route as it would stand after a change.
struct Draft {
    record: RouteRecord,
    base: WeightSplit,
    shift: Shift,
    drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
}

impl Draft {
    fn of(route: &RouteFacts, standing: &Standing) -> Self {
        let record = standing.record.clone();
        let base = record
            .shift
            .restore
            .as_ref()
            .map_or_else(|| route.split.clone(), |point| point.split.clone());
        Self {
            base,
            shift: record.shift.clone(),
            drains: record.drains.clone(),
            record,
        }
    }

    fn drain(&mut self, nodes: &[VirtualNodeName], scene: &Scene<'_>) {
        let window = scene.failover.flaps.window.get();
        for node in nodes {
            self.shift
                .phases
                .insert(node.clone(), Phase::Drained { since: scene.now });
            let times = self.drains.entry(node.clone()).or_default();
            times.retain(|at| scene.now < *at + window);
            times.push(scene.now);
        }
    }

    fn step(&mut self, steps: &BTreeMap<VirtualNodeName, Option<u8>>, now: Timestamp) {
        for (node, step) in steps {
            match step {
                Some(step) => self.shift.phases.insert(
                    node.clone(),
                    Phase::Returning {
                        step: *step,
                        since: now,
                    },
                ),
                None => self.shift.phases.remove(node),
            };
        }
    }

    fn spread(
        &self,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> Result<Spread, HoldReason> {
        let (receivers, others) = self.receivers(route, scene, ledger, trust);
        let failing = || {
            let drained =
                |(_, phase): &(&VirtualNodeName, &Phase)| matches!(phase, Phase::Drained { .. });
            self.shift
                .phases
                .iter()
                .filter(drained)
                .map(|(node, _)| node.clone())
                .collect()
        };
        if receivers.is_empty() {
            return Err(HoldReason::NothingEligible {
                failing: failing(),
                others,
            });
        }
        let keeps = |node: &VirtualNodeName| keeps(self.shift.phases.get(node), scene.failover);
        // A base with up to ten targets gives as many weights, so this can't fail.
        spread(&self.base, &route.split, keeps, &receivers).map_err(|_| {
            HoldReason::NothingEligible {
                failing: failing(),
                others,
            }
        })
    }

    /// Who may take more, standbys first, and why not each of the others.
    fn receivers(
        &self,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> (Vec<Receiver>, Vec<Ineligible>) {
        let standbys = scene.failover.standbys(&route.id);
        let mut candidates: Vec<(&VirtualNodeName, bool)> =
            standbys.iter().map(|node| (node, true)).collect();
        for share in self.base.shares() {
            if !standbys.contains(share.virtual_node) {
                candidates.push((share.virtual_node, false));
            }
        }
        let mut receivers = Vec::new();
        let mut others = Vec::new();
        for (node, first) in candidates {
            match self.room(node, route, scene, ledger, trust) {
                Ok(limit) => receivers.push(Receiver {
                    node: node.clone(),
                    limit,
                    first,
                }),
                Err(why) if !matches!(self.shift.phases.get(node), Some(Phase::Drained { .. })) => {
                    others.push(Ineligible {
                        node: node.clone(),
                        why,
                    });
                }
                Err(_) => {}
            }
        }
        (receivers, others)
    }

    /// The most that a node may carry on this route, or why it may not take anything.
    fn room(
        &self,
        node: &VirtualNodeName,
        route: &RouteFacts,
        scene: &Scene<'_>,
        ledger: &Ledger,
        trust: Trust,
    ) -> Result<Option<u8>, Obstacle> {
        if !self.base.carries(node) {
            return Err(Obstacle::NotATarget);
        }
        if !scene.facts.nodes.contains(node) {
            return Err(Obstacle::Missing);
        }
        if self.shift.phases.contains_key(node) {
            return Err(Obstacle::NotBackYet);
        }
        let carries = route.split.weight_of(node).is_some_and(|weight| weight > 0);
        match scene.health(node) {
            Health::Failing { alarms, .. } | Health::Muted { alarms } => {
                return Err(Obstacle::InAlarm { alarms });
            }
            Health::Unknown { unknown } if trust == Trust::KnownReady || !carries => {
                return Err(Obstacle::NotKnownReady { unknown });
            }
            Health::Unknown { .. } | Health::Ready { .. } => {}
        }
        let Some(capacity) = scene
            .failover
            .target(&scene.facts.mesh, node)
            .and_then(|target| target.capacity_share)
        else {
            return Ok(None);
        };
        let left = capacity.saturating_sub(ledger.elsewhere(&route.id, node));
        if left == 0 || left <= points(&self.base, node) && trust == Trust::KnownReady {
            return Err(Obstacle::Full);
        }
        Ok(Some(u8::try_from(left.min(100)).unwrap_or(100)))
    }

    /// The plan that makes a spread, if what-if and the budget allow it.
    fn plan(
        mut self,
        route: &RouteFacts,
        spread: &Spread,
        why: ActReason,
        cost: Cost,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Verdict {
        self.shift.unplaced = spread.unplaced;
        let mut tag = TagChange::Keep;
        let mut epoch = self.record.epoch;
        if self.shift.restore.is_none() {
            epoch += 1;
            let point = RestorePoint {
                epoch,
                split: self.base.clone(),
                taken: scene.now,
            };
            tag = TagChange::Set(RestoreTag::of(&point).to_string());
            self.shift.restore = Some(point);
        }
        self.record.epoch = epoch;
        self.finish(route, spread.split.clone(), why, cost, tag, scene, ledger)
    }

    /// The plan that writes the original integers.
    fn restore(
        mut self,
        route: &RouteFacts,
        why: ActReason,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Verdict {
        let original = self.base.clone();
        self.shift = Shift::default();
        self.finish(
            route,
            original,
            why,
            Cost::Free,
            TagChange::Clear,
            scene,
            ledger,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a plan")]
    fn finish(
        self,
        route: &RouteFacts,
        to: WeightSplit,
        why: ActReason,
        cost: Cost,
        tag: TagChange,
        scene: &Scene<'_>,
        ledger: &Ledger,
    ) -> Verdict {
        if let Some(kill) = &scene.facts.kill_switch {
            return Verdict::Hold(HoldReason::KillSwitchOn {
                by: kill.by.clone(),
                why: kill.reason.clone(),
            });
        }
        let harms = unwaived(route, &to, &why, scene);
        if !harms.is_empty() {
            return Verdict::Hold(HoldReason::Harmful { harms, refused: to });
        }
        let cap = scene.failover.budget.changes;
        if cost == Cost::OneShift && ledger.budget_used >= cap {
            return Verdict::Hold(HoldReason::BudgetSpent {
                used: ledger.budget_used,
                cap,
            });
        }
        let then = RouteRecord {
            split: to.clone(),
            shift: self.shift,
            drains: self.drains,
            intent: None,
            ..self.record
        };
        Verdict::Act(Box::new(Plan {
            id: plan_id(route, &to),
            route: route.id.clone(),
            version: route.version,
            from: route.split.clone(),
            to,
            why,
            spends: cost == Cost::OneShift,
            tag,
            then,
        }))
    }
}

/// What the split would break and nobody has allowed. On the way back to the declared state the nodes are its own, so
/// that one of them has less TLS than a standby is no harm of this change.
fn unwaived(
    route: &RouteFacts,
    to: &WeightSplit,
    why: &ActReason,
    scene: &Scene<'_>,
) -> Vec<HarmFact> {
    let is_return = match why {
        ActReason::Failback { .. } | ActReason::Restore { .. } => true,
        ActReason::Failover { .. } | ActReason::PartialSpill { .. } | ActReason::BackDown { .. } => false,
    };
    let resource = route.id.to_string();
    let mut harms = (scene.harms)(&route.id, to);
    harms.retain(|harm| !(is_return && harm.id == "tls-lost"));
    harms.retain(|harm| {
        !scene
            .policy
            .waivers
            .iter()
            .any(|waiver| waiver.permits(&harm.id, &resource, scene.now))
    });
    harms
}

/// 32 hexadecimal digits over route, base version and weights: the client token of the write (the API takes up to 36
/// letters, digits, `-` and `_`).
fn plan_id(route: &RouteFacts, to: &WeightSplit) -> String {
    let digest = Sha256::digest(format!("{}\0{}\0{to}", route.id, route.version));
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
