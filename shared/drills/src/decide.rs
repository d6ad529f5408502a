//! The state machine of drills.
//!
//! | phase | each run | deadline, then |
//! |-|-|-|
//! | checking | all checks; the first that does not pass is stored | end of the window: `NOT_STARTED`, or `CAPACITY_CHECK_FAILED` |
//! | draining | one conditional write for each route | 5 minutes: restoring, `INTERRUPTED` |
//! | confirming | proxies | 2 minutes: restoring, `INTERRUPTED` |
//! | running | anything red: restoring, `FAILED` or `INTERRUPTED` | duration: restoring, `SUCCEEDED` |
//! | restoring | one conditional write for each route that is still drained | none: pages from `restoreBy` on |
//!
//! A restore is written before the record with its verdict. The end of the layer on each route has the verdict, from which
//! the next run resumes if the process is killed in between. A restored drill ends once the proxies have acknowledged the
//! weights, or in the next run.

use jiff::{SignedDuration, Timestamp};
use mesh::name::{RouteId, VirtualNodeName};
use policy::{ComeBack, Policy};

use crate::capacity::ReceiverLoad;
use crate::checks;
use crate::decision::{Decision, DrillNews, RouteStep, Step, Urgency};
use crate::observation::{DrillFacts, Observation, Proxies, RouteObservation};
use crate::outcome::DrillOutcome;
use crate::reason::Reason;
use crate::record::{Drill, DrillPhase, DrillVerdict, MeshDrills};
use crate::red::{drilled_node, red};
use crate::{capacity, requests};

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

/// The time for writing the drained weights, and for everything else around the duration of a drill: the deadline of the
/// restore is the start, the duration, and this.
pub(crate) const DRAIN_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// The time for the proxies to acknowledge the weights.
pub(crate) const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// The time after a write at which proxies count as up to date if the server does not report them.
const PROPAGATION: SignedDuration = SignedDuration::from_secs(60);

/// Evidence that was read right after a write may be about the snapshot before it.
const SETTLES: SignedDuration = SignedDuration::from_secs(5);

/// Decides about the drills of a mesh.
#[must_use]
pub fn decide(seen: &Observation, policy: &Policy, now: Timestamp) -> Decision {
    let mut record = seen.record.clone();
    let mut news = Vec::new();
    requests::accept(&mut record, seen, policy, now, &mut news);
    requests::account(&mut record, seen, policy, now, &mut news);
    let Some(drill) = record.active.take() else {
        record.paged.clear();
        return Decision { drill: None, record, step: Step::None, reason: Reason::NoDrill, news };
    };
    let before = seen.record.active.as_ref().map(|drill| (drill.id.clone(), drill.phase));
    let mut work = Work { record, drill, seen, policy, now, news, has_ended: false };
    // Facts of another plan prove nothing about this one. The next run reads its own.
    let facts = seen.facts.as_ref().filter(|facts| facts.plan.name == work.drill.plan.name);
    let (step, reason) = match facts {
        None => (Step::None, Reason::DrillActive { drill: work.drill.id.clone() }),
        Some(facts) => work.advance(facts),
    };
    work.finish(before.as_ref(), step, reason)
}

/// One decision about an active drill.
struct Work<'a> {
    record: MeshDrills,
    drill: Drill,
    seen: &'a Observation,
    policy: &'a Policy,
    now: Timestamp,
    news: Vec<DrillNews>,
    has_ended: bool,
}

/// The end of a drill, or its next change.
enum Next {
    Stays(Step, Reason),
    Ends(DrillOutcome, Reason),
}

impl Work<'_> {
    fn advance(&mut self, facts: &DrillFacts) -> (Step, Reason) {
        self.observe_traffic(facts);
        self.resume_verdict(facts);
        let next = match self.drill.phase {
            DrillPhase::Checking => self.checking(facts),
            DrillPhase::Draining | DrillPhase::Confirming | DrillPhase::Running => self.active(facts),
            DrillPhase::Restoring => self.restoring(facts),
        };
        match next {
            Next::Stays(step, reason) => (step, reason),
            Next::Ends(outcome, reason) => {
                let end = self.drill.end(outcome, reason.clone(), self.now);
                let news = requests::ended(&self.drill, outcome, reason.clone(), Urgency::Note);
                self.news.push(DrillNews { result: Some(Box::new(end.clone())), ..news });
                self.record.ended(&self.drill.plan.name, end, self.now);
                self.record.paged.clear();
                self.has_ended = true;
                (Step::None, reason)
            }
        }
    }

    /// Takes over the verdict of a run that restored a route and was killed before it stored its record.
    fn resume_verdict(&mut self, facts: &DrillFacts) {
        if self.drill.verdict.is_some() || !self.drill.has_begun() {
            return;
        }
        let own = |found: &&RouteObservation| self.drill.routes.iter().any(|drilled| drilled.route == found.route);
        let verdict = facts.routes.iter().filter(own).find_map(|found| found.verdict.clone());
        if let Some(verdict) = verdict {
            self.decided(verdict);
        }
    }

    /// Enters the verdict into the record. A failed drill pages, and so does one with weights that could not be written or did
    /// not reach the proxies: a real failover would meet the same.
    fn decided(&mut self, verdict: DrillVerdict) {
        let (outcome, reason) = (verdict.outcome, verdict.reason.clone());
        let is_ineffective = matches!(reason, Reason::DrainTimedOut { .. } | Reason::Unacknowledged { .. });
        self.drill.verdict = Some(verdict);
        self.drill.enter(DrillPhase::Restoring, self.now);
        if outcome == DrillOutcome::Failed || is_ineffective {
            self.news.push(phase_news(&self.drill, reason, Urgency::Page));
        }
    }

    /// No weight is changed, and the kill switch and the budget are checked again by the begin itself.
    fn checking(&mut self, facts: &DrillFacts) -> Next {
        if let Some(stop) = &self.drill.stop {
            return Next::Ends(DrillOutcome::NotStarted, Reason::Stopped { by: stop.by.clone() });
        }
        let is_over = self.drill.begin_by <= self.now;
        match checks::routes_to_drain(self.seen, facts, self.policy, self.now) {
            Err(reason) if reason.is_permanent() || is_over => {
                let outcome =
                    if reason.is_capacity() { DrillOutcome::CapacityCheckFailed } else { DrillOutcome::NotStarted };
                Next::Ends(outcome, reason)
            }
            Err(reason) => {
                self.drill.obstacle = Some(reason.clone());
                let step = if reason == Reason::ObserveOnly { Step::WouldBegin } else { Step::None };
                Next::Stays(step, reason)
            }
            Ok(_) if is_over => {
                let late = Reason::WindowMissed { until: self.drill.begin_by };
                Next::Ends(DrillOutcome::NotStarted, self.drill.obstacle.clone().unwrap_or(late))
            }
            Ok(routes) => {
                let restore_by = self.now + self.drill.plan.duration.get() + DRAIN_WITHIN;
                let mut started = self.drill.clone();
                started.routes = routes;
                started.started = Some(self.now);
                started.restore_by = Some(restore_by);
                started.obstacle = None;
                started.enter(DrillPhase::Draining, self.now);
                let reason = Reason::DrillStarted { restore_by };
                let news = vec![phase_news(&started, reason.clone(), Urgency::Note)];
                let id = format!("drill-{}", started.id);
                let then = Box::new(MeshDrills { active: Some(started), ..self.record.clone() });
                Next::Stays(Step::Begin { id, then, news }, reason)
            }
        }
    }

    /// The node is drained, or is being drained.
    fn active(&mut self, facts: &DrillFacts) -> Next {
        self.observe_data(facts);
        if let Some((outcome, reason)) = red(&self.drill, self.seen, facts, self.now) {
            return self.restore(outcome, reason, facts);
        }
        match self.drill.phase {
            DrillPhase::Draining => self.draining(facts),
            DrillPhase::Confirming => self.confirming(facts),
            DrillPhase::Running | DrillPhase::Checking | DrillPhase::Restoring => self.running(facts),
        }
    }

    /// Notes the traffic of the receivers. Their peaks are those of the busiest minute, as far as it is known.
    fn observe_traffic(&mut self, facts: &DrillFacts) {
        let Some(traffic) = &facts.traffic else { return };
        for (node, receiver) in &traffic.receivers {
            if let Some(measured) = receiver.peak.known() {
                let peak = self.drill.peaks.entry(node.clone()).or_default();
                *peak = peak.max(measured);
            }
        }
        if self.drill.traffic.as_ref().is_none_or(|earlier| traffic.replaces(earlier)) {
            self.drill.traffic = Some(traffic.clone());
        }
    }

    /// Notes since when an alarm has no usable state, and the peaks of the receivers.
    fn observe_data(&mut self, facts: &DrillFacts) {
        if facts.unknown(facts.plan.alarms()).is_empty() {
            self.drill.no_data_since = None;
        } else {
            self.drill.no_data_since.get_or_insert(self.now);
        }
        if let capacity::Load::Known { receivers, .. } = &facts.load {
            // A declared capacity is no measurement.
            let is_measured =
                |node: &VirtualNodeName, load: &ReceiverLoad| *node != self.drill.plan.node && !load.declared;
            for (node, load) in receivers.iter().filter(|(node, load)| is_measured(node, load)) {
                let peak = self.drill.peaks.entry(node.clone()).or_default();
                *peak = peak.max(load.present);
            }
        }
    }

    fn draining(&mut self, facts: &DrillFacts) -> Next {
        let open: Vec<RouteId> = self.routes(facts, false);
        if open.is_empty() {
            self.drill.enter(DrillPhase::Confirming, self.now);
            return self.confirming(facts);
        }
        if self.drill.since + DRAIN_WITHIN <= self.now {
            return self.restore(DrillOutcome::Interrupted, Reason::DrainTimedOut { routes: open }, facts);
        }
        let restore_by = self.drill.restore_by.unwrap_or(self.now);
        let drilled = self.drill.routes.iter().filter(|drilled| open.contains(&drilled.route));
        let steps = drilled.map(|drilled| RouteStep::Drain {
            route: drilled.route.clone(),
            drill: self.drill.id.clone(),
            node: self.drill.plan.node.clone(),
            to: drilled.drained.clone(),
            restore_by,
        });
        Next::Stays(Step::Routes(steps.collect()), Reason::Draining { routes: open })
    }

    fn confirming(&mut self, facts: &DrillFacts) -> Next {
        let why = match &facts.proxies {
            Proxies::UpToDate if self.now < self.drill.since + SETTLES => {
                Some("the weights were just written".to_owned())
            }
            Proxies::UpToDate => None,
            Proxies::NotReported if self.drill.since + PROPAGATION <= self.now => None,
            Proxies::NotReported => Some("the server does not report proxies".to_owned()),
            Proxies::NoneConnected => Some("no proxy of the mesh is connected".to_owned()),
            Proxies::Outstanding { why } => Some(why.clone()),
        };
        match why {
            None => {
                self.drill.acknowledged = Some(self.now);
                self.drill.enter(DrillPhase::Running, self.now);
                self.running(facts)
            }
            Some(why) if self.drill.since + CONFIRM_WITHIN <= self.now => {
                self.restore(DrillOutcome::Interrupted, Reason::Unacknowledged { why }, facts)
            }
            Some(why) => Next::Stays(Step::None, Reason::AwaitsProxies { why }),
        }
    }

    fn running(&mut self, facts: &DrillFacts) -> Next {
        let until = self.drill.since + self.drill.plan.duration.get();
        if until <= self.now {
            return self.restore(DrillOutcome::Succeeded, Reason::DurationOver, facts);
        }
        Next::Stays(Step::None, Reason::DrillRunning { until })
    }

    /// Decides the outcome, and restores the weights in the same run.
    fn restore(&mut self, outcome: DrillOutcome, reason: Reason, facts: &DrillFacts) -> Next {
        self.decided(DrillVerdict { outcome, reason, at: self.now });
        self.restoring(facts)
    }

    fn restoring(&mut self, facts: &DrillFacts) -> Next {
        let open = self.routes(facts, true);
        let verdict = self.drill.verdict.clone();
        if open.is_empty() {
            if let Some(why) = self.unacknowledged_restore(facts) {
                return Next::Stays(Step::None, Reason::AwaitsProxies { why });
            }
            // A drill in this phase has a verdict; without one it proved nothing.
            let known = verdict.map(|verdict| (verdict.outcome, verdict.reason));
            let (outcome, reason) = known.unwrap_or((DrillOutcome::Interrupted, Reason::Restoring { routes: open }));
            return Next::Ends(outcome, reason);
        }
        self.page_if_overdue(&open);
        if let Some(killed) = checks::kill_switch(self.seen) {
            return Next::Stays(Step::None, killed);
        }
        if let Some(Reason::DrilledNodeFailing { alarms }) = drilled_node(&self.drill, facts) {
            return Next::Stays(Step::None, Reason::AwaitsFailover { alarms });
        }
        let succeeded = verdict.as_ref().is_some_and(|verdict| verdict.outcome == DrillOutcome::Succeeded);
        let by_steps = match self.drill.plan.come_back {
            ComeBack::AtOnce => false,
            ComeBack::Steps => succeeded,
        };
        let steps = open.iter().map(|route| RouteStep::Restore {
            route: route.clone(),
            drill: self.drill.id.clone(),
            node: self.drill.plan.node.clone(),
            by_steps,
            verdict: verdict.clone(),
        });
        Next::Stays(Step::Routes(steps.collect()), Reason::Restoring { routes: open })
    }

    /// Why the end of a restored drill waits. It waits in the run that restored the weights, and in no later one: the drill
    /// has changed nothing any more.
    fn unacknowledged_restore(&mut self, facts: &DrillFacts) -> Option<String> {
        let is_first = self.drill.restored.is_none();
        self.drill.restored.get_or_insert(self.now);
        match &facts.proxies {
            Proxies::UpToDate => {
                self.drill.restore_acknowledged = Some(self.now);
                None
            }
            Proxies::NotReported | Proxies::NoneConnected => None,
            Proxies::Outstanding { why } => is_first.then(|| why.clone()),
        }
    }

    /// The routes of the drill that are drained, or the ones that are not drained yet.
    fn routes(&self, facts: &DrillFacts, drained: bool) -> Vec<RouteId> {
        let is_drained = |route: &RouteId| {
            let found = facts.routes.iter().find(|found| found.route == *route);
            found.and_then(|found| found.layer.as_ref()).is_some_and(|layer| drained || layer.in_place)
        };
        let routes = self.drill.routes.iter().map(|drilled| &drilled.route);
        routes.filter(|route| is_drained(route) == drained).cloned().collect()
    }

    fn page_if_overdue(&mut self, open: &[RouteId]) {
        let Some(restore_by) = self.drill.restore_by.filter(|restore_by| *restore_by <= self.now) else { return };
        let reason = Reason::RestoreOverdue { restore_by, routes: open.to_vec() };
        let repeat = self.policy.failover.paging.repeat_after.get();
        let is_due = self.record.paged.get(reason.code()).is_none_or(|paged| *paged + repeat <= self.now);
        if is_due {
            self.record.paged.insert(reason.code().to_owned(), self.now);
            self.news.push(phase_news(&self.drill, reason, Urgency::Page));
        }
    }

    /// Puts the drill back into the record, and adds the event of a new phase.
    fn finish(self, before: Option<&(String, DrillPhase)>, step: Step, reason: Reason) -> Decision {
        let Self { mut record, drill, mut news, has_ended, .. } = self;
        let name = drill.plan.name.clone();
        let now = (drill.id.clone(), drill.phase);
        if !has_ended {
            if before != Some(&now) && !news.iter().any(|news| news.phase == Some(drill.phase)) {
                news.push(phase_news(&drill, reason.clone(), Urgency::Event));
            }
            record.active = Some(drill);
        }
        Decision { drill: Some(name), record, step, reason, news }
    }
}

fn phase_news(drill: &Drill, reason: Reason, urgency: Urgency) -> DrillNews {
    DrillNews {
        urgency,
        drill: drill.plan.name.clone(),
        id: drill.id.clone(),
        node: drill.plan.node.clone(),
        phase: Some(drill.phase),
        outcome: drill.verdict.as_ref().map(|verdict| verdict.outcome),
        reason,
        restore_by: drill.restore_by,
        result: None,
    }
}
