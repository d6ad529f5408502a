//! The functions that write the route.

use decisions::failover::{
    ActReason, ComeBack, HoldReason, LayerChange, LayerRefusal, LayerWrite, OwedNote, RouteRecord, Subject, Verdict,
    decide, eligible_targets, layer_write, renewed,
};
use decisions::weights::{DrillLayer, EndReason, LayerKind, LayerLimits, Moves, RolloutLayer};
use jiff::{SignedDuration, Timestamp};
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::Percent;

use crate::execution::{Kill, Write, Written};
use crate::random::Defect;
use crate::route::{Route, route_id};

/// What an actor's run is disturbed by.
pub(crate) struct Disturbance<'a> {
    /// Where the run is killed.
    pub(crate) kill: Kill,
    /// What happens between the observation and the first write.
    pub(crate) between: &'a mut dyn FnMut(&mut Route),
}

/// The state of the gates of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Pass,
    Fail,
    Unknown,
}

/// The progress of the rollout, as its function remembers it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    Idle,
    Requested {
        since: Timestamp,
    },
    Running,
    /// A gate has failed, or the rollout was aborted.
    Failed,
    Ended(String),
}

/// The function traffic-shift, reduced to one rollout at a time.
#[derive(Clone, Debug)]
pub(crate) struct RolloutFunction {
    pub(crate) id: String,
    pub(crate) moves: Option<Moves>,
    pub(crate) progress: Progress,
}

const STEPS: [u8; 4] = [5, 25, 60, 100];

/// What a run did with the weights, and what it could not do.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunReport {
    /// The percentage that a step raised the rollout to.
    pub(crate) raised_to: Option<u8>,
    /// The reason why a restoring write was not made.
    pub(crate) restoring_refused: Option<LayerRefusal>,
    /// The reason why any write was not made.
    pub(crate) refused: Option<LayerRefusal>,
    pub(crate) written: Option<Written>,
}

fn note(code: &str) -> OwedNote {
    OwedNote { code: code.to_owned(), text: code.to_owned() }
}

impl Route {
    fn plan(
        &self,
        record: &RouteRecord,
        change: LayerChange,
        drained: Option<&VirtualNodeName>,
    ) -> Result<LayerWrite, LayerRefusal> {
        let facts = self.facts();
        let eligible = eligible_targets(&facts, &facts.routes[0], drained, &self.policy, self.now).unwrap();
        let failback = &self.policy.failover.failback;
        let kill_switch = self.kill_switch.as_ref();
        layer_write(
            &facts.routes[0],
            record,
            change,
            &eligible.receivers,
            note("Layers"),
            failback,
            kill_switch,
            self.now,
        )
    }
}

impl RolloutFunction {
    pub(crate) fn new() -> Self {
        Self { id: "none".to_owned(), moves: None, progress: Progress::Idle }
    }

    pub(crate) fn is_final(&self) -> bool {
        matches!(self.progress, Progress::Idle | Progress::Ended(_))
    }

    pub(crate) fn start(&mut self, id: &str, moves: Moves, now: Timestamp) {
        *self = Self { id: id.to_owned(), moves: Some(moves), progress: Progress::Requested { since: now } };
    }

    fn layer(&self, percent: u8, now: Timestamp) -> LayerChange {
        LayerChange::RolloutStep(RolloutLayer {
            id: self.id.clone(),
            moves: self.moves.clone().unwrap(),
            percent: Percent::new(percent).unwrap(),
            since: now,
            acknowledged: None,
            attend_by: now + LayerLimits::ATTEND,
            to_capacity: None,
        })
    }

    pub(crate) fn run(
        &mut self,
        route: &mut Route,
        gate: Gate,
        disturbance: Disturbance<'_>,
        defect: Defect,
    ) -> RunReport {
        if self.is_final() {
            return RunReport::default();
        }
        let record = route.current();
        let layer = record.layers.rollout.clone().filter(|layer| layer.id == self.id);
        if let (None, Progress::Running | Progress::Failed) = (&layer, &self.progress) {
            let end = record.layers.end_of(LayerKind::Rollout, &self.id);
            self.progress = Progress::Ended(end.map_or("Interrupted", |end| end.reason.code()).to_owned());
            return RunReport::default();
        }
        if gate == Gate::Fail && layer.is_some() {
            self.progress = Progress::Failed;
        }
        let (change, percent) = match (&self.progress, &layer) {
            (Progress::Idle | Progress::Ended(_), _) => return RunReport::default(),
            (Progress::Requested { since }, None) => {
                if route.now >= *since + SignedDuration::from_mins(60) {
                    self.progress = Progress::Ended("Refused".to_owned());
                    return RunReport::default();
                }
                (self.layer(STEPS[0], route.now), Some(STEPS[0]))
            }
            (Progress::Failed, _) => (LayerChange::Rollback { id: self.id.clone() }, None),
            (Progress::Running | Progress::Requested { .. }, Some(layer)) => {
                self.progress = Progress::Running;
                let is_acknowledged = route.acknowledged == route.version;
                let revision = route.revision;
                let acknowledged = is_acknowledged.then_some(route.now);
                if let Some(renewed) = renewed(&record, &self.id, acknowledged, route.now + LayerLimits::ATTEND) {
                    route.store(revision, renewed);
                }
                let proceeds = is_acknowledged && gate == Gate::Pass;
                if !(proceeds || defect == Defect::StepIgnoresGate) {
                    return RunReport::default();
                }
                match STEPS.into_iter().find(|percent| *percent > layer.percent.get()) {
                    Some(percent) => (self.layer(percent, route.now), Some(percent)),
                    None => (LayerChange::Promote { id: self.id.clone() }, None),
                }
            }
            (Progress::Running, None) => return RunReport::default(),
        };
        let is_rollback = matches!(change, LayerChange::Rollback { .. });
        let observed = (route.revision, route.version);
        let present = route.split.clone();
        let planned = route.plan(&route.current(), change, None);
        let mut write = match planned {
            Ok(write) => write,
            Err(refusal) => {
                if matches!(refusal, LayerRefusal::Refuse { .. }) {
                    self.progress = Progress::Ended("Refused".to_owned());
                }
                let restoring_refused = is_rollback.then(|| refusal.clone());
                return RunReport { restoring_refused, refused: Some(refusal), ..RunReport::default() };
            }
        };
        match defect {
            Defect::RollbackToPresentSplit if is_rollback => change_target(&mut write, &present),
            Defect::NestedRestorePoint if !is_rollback && percent.is_some() => {
                write.done.layers.declared = Some(present);
                write.begun.intent.as_mut().unwrap().layers = Some(Box::new(write.done.layers.clone()));
            }
            _ => {}
        }
        (disturbance.between)(route);
        let written = route.execute(Write::of_layers("traffic-shift", write, observed), disturbance.kill);
        if percent.is_some() && written != Written::Refused && matches!(self.progress, Progress::Requested { .. }) {
            self.progress = Progress::Requested { since: route.now };
        }
        let raised_to = percent.filter(|_| written == Written::Applied && layer.is_some());
        RunReport { raised_to, written: Some(written), ..RunReport::default() }
    }
}

/// Writes another split than the composed one.
fn change_target(write: &mut LayerWrite, to: &WeightSplit) {
    write.to = to.clone();
    write.done.split = to.clone();
    write.begun.intent.as_mut().unwrap().to = to.clone();
}

/// The function failover-drill, reduced to one drill at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct DrillFunction {
    pub(crate) drill: Option<DrillLayer>,
    pub(crate) steps: bool,
}

impl DrillFunction {
    /// How long a drill drains its node.
    const DURATION: SignedDuration = SignedDuration::from_mins(3);

    pub(crate) fn start(
        &mut self,
        id: &str,
        node: &VirtualNodeName,
        route: &mut Route,
        disturbance: Disturbance<'_>,
        defect: Defect,
    ) -> RunReport {
        let layer = DrillLayer {
            id: id.to_owned(),
            node: node.clone(),
            since: route.now,
            restore_by: route.now + Self::DURATION + SignedDuration::from_mins(5),
        };
        let mut record = route.current();
        if defect == Defect::DrillIgnoresHold {
            record.edit = None;
        }
        let observed = (route.revision, route.version);
        match route.plan(&record, LayerChange::DrillStart(layer.clone()), Some(node)) {
            Ok(write) if write.unplaced > 0 => RunReport::default(),
            Ok(write) => {
                self.drill = Some(layer);
                (disturbance.between)(route);
                let written = route.execute(Write::of_layers("failover-drill", write, observed), disturbance.kill);
                RunReport { written: Some(written), ..RunReport::default() }
            }
            Err(refusal) => RunReport { refused: Some(refusal), ..RunReport::default() },
        }
    }

    pub(crate) fn run(&mut self, route: &mut Route, disturbance: Disturbance<'_>) -> RunReport {
        let Some(drill) = &self.drill else { return RunReport::default() };
        let record = route.current();
        if record.layers.drill.as_ref().is_none_or(|layer| layer.id != drill.id) {
            self.drill = None;
            return RunReport::default();
        }
        if route.now < drill.since + Self::DURATION {
            return RunReport::default();
        }
        let come_back = if self.steps { ComeBack::Steps } else { ComeBack::AtOnce };
        let change =
            LayerChange::DrillEnd { id: drill.id.clone(), reason: EndReason::DrillEnded, come_back, verdict: None };
        let observed = (route.revision, route.version);
        match route.plan(&record, change, None) {
            Ok(write) => {
                (disturbance.between)(route);
                let written = route.execute(Write::of_layers("failover-drill", write, observed), disturbance.kill);
                RunReport { written: Some(written), ..RunReport::default() }
            }
            Err(refusal) => {
                RunReport { restoring_refused: Some(refusal.clone()), refused: Some(refusal), ..RunReport::default() }
            }
        }
    }
}

/// A run of route-failover.
#[derive(Clone, Debug)]
pub(crate) struct FailoverRun {
    pub(crate) verdict: Verdict,
    pub(crate) written: Option<Written>,
    /// Whether an operator is being paged about the route.
    pub(crate) pages: bool,
}

/// The decision of route-failover about the route.
pub(crate) fn decision(route: &Route) -> decisions::failover::Decision {
    let harms = |_: &RouteId, _: &WeightSplit| Vec::new();
    let decisions = decide(&route.facts(), &harms, &route.policy, route.now);
    decisions.into_iter().find(|decision| decision.subject == Subject::Route(route_id())).unwrap()
}

pub(crate) fn run_failover(route: &mut Route, disturbance: Disturbance<'_>, defect: Defect) -> FailoverRun {
    let decision = decision(route);
    let revision = route.revision;
    route.released = None;
    let ignored = defect == Defect::DeadlineIgnored && is_overdue_end(&decision.verdict);
    let written = match &decision.verdict {
        Verdict::Act(_) if ignored => None,
        Verdict::Act(plan) => {
            (disturbance.between)(route);
            let write = Write::of_plan(plan, decision.record.clone().unwrap(), revision);
            Some(route.execute(write, disturbance.kill))
        }
        Verdict::Keep(_) | Verdict::Hold(_) => {
            if let Some(record) = decision.record.clone() {
                route.store(revision, record);
            }
            route.finish_tags();
            None
        }
    };
    let always = |hold: &HoldReason| {
        matches!(
            hold,
            HoldReason::Unattended { .. } | HoldReason::RestoreOverdue { .. } | HoldReason::RollbackWaits { .. }
        )
    };
    let pages = match &decision.verdict {
        Verdict::Hold(hold) => hold.pages() && (decision.failing || always(hold)),
        Verdict::Act(plan) => plan.why.pages() && written == Some(Written::Applied),
        Verdict::Keep(_) => false,
    };
    FailoverRun { verdict: decision.verdict, written, pages }
}

fn is_overdue_end(verdict: &Verdict) -> bool {
    let Verdict::Act(plan) = verdict else { return false };
    match &plan.why {
        ActReason::Rollback { cause, .. } | ActReason::DrillRestored { cause, .. } => {
            matches!(cause, EndReason::Unattended | EndReason::RestoreOverdue)
        }
        _ => false,
    }
}
