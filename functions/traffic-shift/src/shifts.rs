//! One rollout of an invocation: the function's part of the engine's loop.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use decisions::failover::RouteRecord;
use mesh::name::RouteId;
use policy::RolloutId;
use ports::{BudgetWindow, PortError, PortErrorKind, Refusal, StateKey, Written};
use records::{DecisionEntry, Layout, read_record};
use rollouts::{Decision, RolloutMessage, RolloutState, RoutePlan, news};
use runner::{
    Case, CaseAction, CaseDecision, CaseOf, Executed, News, NotBegun, Outcome, Pass, PendingChange, Reconcile,
    RequestedBy, Run, StoredRecord, WorkItem,
};

use crate::Ports;
use crate::lines;
use crate::observe::{Context, Observation, WarmRollout, observe};
use crate::shift_record::{ShiftRecord, message};
use crate::steps::{self, Done};

/// One rollout of an invocation.
pub(crate) struct Shift<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) key: StateKey,
    pub(crate) item: WorkItem,
    pub(crate) window: BudgetWindow,
    pub(crate) active: BTreeSet<String>,
    /// The memory of the process, and what this invocation has found.
    pub(crate) found: Mutex<Found>,
}

/// What an invocation knows of a rollout.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The memory for the next run.
    pub(crate) warm: Option<WarmRollout>,
    /// The first stored state, and the last decided state with the code of its reason.
    pub(crate) states: Option<(RolloutState, RolloutState, String)>,
    /// Whether the rollout has ended, and every message about it is sent.
    pub(crate) is_ended: bool,
    /// Whether the document does not exist.
    pub(crate) is_missing: bool,
}

/// A decision, with its news.
pub(crate) struct ShiftDecision {
    is_new: bool,
    messages: Vec<RolloutMessage>,
    /// The record of the route before the plan.
    before: Option<Box<RouteRecord>>,
}

/// The change of one route.
#[derive(Clone, Debug)]
pub(crate) struct ShiftPlan(RoutePlan);

impl runner::PlanData<ShiftRecord> for ShiftPlan {
    fn id(&self) -> &str {
        &self.0.id
    }

    fn enter(&self, record: &mut ShiftRecord) {
        *record = ShiftRecord::Route(Box::new(self.0.begun.clone()));
    }
}

impl<'a> Shift<'a> {
    pub(crate) fn new(
        ports: &'a Ports,
        id: &RolloutId,
        item: WorkItem,
        window: BudgetWindow,
        warm: Option<WarmRollout>,
        (mesh, active): (&mesh::name::MeshName, BTreeSet<String>),
    ) -> Self {
        let found = Mutex::new(Found { warm, ..Found::default() });
        Self { ports, key: StateKey::rollout(mesh, id), item, window, active, found }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decision(
        &self,
        entry: DecisionEntry,
        action: CaseAction<ShiftPlan>,
        own: ShiftDecision,
        is_killed: bool,
    ) -> CaseDecision<ShiftDecision, ShiftPlan> {
        CaseDecision {
            own,
            entry,
            action,
            requested_by: self.item.requested_by.clone(),
            shown: true,
            is_killed,
            has_begun: false,
            outcome: None,
        }
    }

    fn rollout_case(&self, pass: &Pass<'_>, seen: &Observation, decision: &Decision) -> CaseOf<Self> {
        let news = news(decision, &pass.run.policy().failover.paging, pass.now);
        let own = ShiftDecision { is_new: news.is_new, messages: news.messages, before: None };
        let entry = lines::rollout(decision);
        Case {
            key: self.key.clone(),
            subject: self.item.subject.clone(),
            stored: Some(StoredRecord {
                record: ShiftRecord::Rollout(Box::new(seen.facts.record.clone())),
                revision: seen.state.documents.get(&self.key).map_or(0, |stored| stored.revision),
            }),
            record: ShiftRecord::Rollout(Box::new(news.record)),
            facts: RequestedBy::default(),
            decisions: vec![self.decision(entry, CaseAction::None, own, decision.is_killed)],
        }
    }

    /// The stored record of a route with its revision.
    fn stored_route(seen: &Observation, route: &RouteId, current: &RouteRecord) -> Option<StoredRecord<ShiftRecord>> {
        let key = StateKey::route(route);
        let Some(stored) = seen.state.documents.get(&key) else {
            return Some(StoredRecord { record: ShiftRecord::Route(Box::new(current.clone())), revision: 0 });
        };
        // An unreadable record has led to a hold before.
        let record: RouteRecord = read_record(&key, &stored.document).ok()?;
        Some(StoredRecord { record: ShiftRecord::Route(Box::new(record)), revision: stored.revision })
    }

    fn route_case(&self, pass: &Pass<'_>, seen: &Observation, decision: &Decision, plan: &RoutePlan) -> CaseOf<Self> {
        let before = RouteRecord { intent: None, ..plan.begun.clone() };
        let spend = plan.spends.then(|| pass.run.spend(&pass.run.policy().rollouts.budget));
        let action = CaseAction::Change { plan: ShiftPlan(plan.clone()), spend };
        let stored = Self::stored_route(seen, &plan.route, &before);
        let own = ShiftDecision { is_new: false, messages: Vec::new(), before: Some(Box::new(before)) };
        Case {
            key: StateKey::route(&plan.route),
            subject: format!("{} of {}", plan.route, self.item.subject),
            record: stored
                .as_ref()
                .map_or_else(|| ShiftRecord::Route(Box::new(plan.begun.clone())), |stored| stored.record.clone()),
            stored,
            facts: RequestedBy::default(),
            decisions: vec![self.decision(lines::route(decision, plan), action, own, false)],
        }
    }

    /// The case of a route that only has to be attended to.
    fn attended_case(&self, seen: &Observation, route: &RouteId, record: &RouteRecord) -> CaseOf<Self> {
        Case {
            key: StateKey::route(route),
            subject: format!("{route} of {}", self.item.subject),
            stored: Self::stored_route(seen, route, record),
            record: ShiftRecord::Route(Box::new(record.clone())),
            facts: RequestedBy::default(),
            decisions: Vec::new(),
        }
    }
}

impl Reconcile for Shift<'_> {
    type Observation = Observation;
    type Record = ShiftRecord;
    type Decision = ShiftDecision;
    type Plan = ShiftPlan;
    type Done = Done;
    // A step is written, acknowledged and watched in one run, as far as the proxies are fast enough.
    const ROUNDS: usize = 4;
    const BEGUN: Layout = Layout::Flat;
    const DECIDED: Layout = Layout::Flat;

    // 2. Observe
    async fn observe(&self, run: &Run<'_>) -> Result<Observation, PortError> {
        let warm = self.found().warm.take();
        let context = Context { ports: self.ports, run, key: &self.key, window: &self.window, active: &self.active };
        let seen = observe(&context, warm).await?;
        seen.ok_or_else(|| {
            self.found().is_missing = true;
            PortError::new(format!("read {}", self.key.as_str()), PortErrorKind::NotFound, "no such document")
        })
    }

    // 3. Decide, 4. Plan
    fn decide(&self, pass: &Pass<'_>, seen: &Observation) -> Vec<CaseOf<Self>> {
        let decision = seen.decide(pass.run.policy(), pass.now);
        let stored = &seen.facts.record;
        {
            let mut found = self.found();
            let first = found.states.as_ref().map_or(stored.state, |(first, _, _)| *first);
            found.states = Some((first, decision.record.state, decision.reason.code()));
            found.is_ended = stored.state.is_final() && stored.messages.is_empty();
            found.warm = Some(seen.warm(decision.record.clone()));
        }
        let rollout = self.rollout_case(pass, seen, &decision);
        let mut routes: Vec<CaseOf<Self>> =
            decision.plans.iter().map(|plan| self.route_case(pass, seen, &decision, plan)).collect();
        routes.extend(decision.attended.iter().map(|(route, record)| self.attended_case(seen, route, record)));
        if decision.routes_first {
            routes.push(rollout);
            routes
        } else {
            std::iter::once(rollout).chain(routes).collect()
        }
    }

    // 5. Execute
    async fn execute(
        &self,
        change: PendingChange<'_>,
        seen: &Observation,
        plan: &ShiftPlan,
    ) -> Result<Executed<Done>, NotBegun> {
        // A plan is only made for a route of the observation.
        let route = seen.routes.get(&plan.0.route).ok_or(NotBegun::Refused(Refusal::RevisionMoved))?;
        let lease = change.begin().await?;
        Ok(lease.executed(steps::set_weights(self.ports, &plan.0, route).await))
    }

    fn conclude(
        &self,
        pass: &Pass<'_>,
        decision: &CaseDecision<ShiftDecision, ShiftPlan>,
        done: &Result<Done, PortError>,
        record: &mut ShiftRecord,
    ) -> Outcome {
        let target = format!("weights of {}", decision.entry.resource);
        match done {
            Ok(_) => pass.run.failures().succeeded(&target),
            Err(error) => pass.run.failures().failed(&target, error),
        }
        let CaseAction::Change { plan, .. } = &decision.action else { return Outcome::AlreadyInPlace };
        let applied = |version: Option<u64>| {
            let mut then = plan.0.then.clone();
            then.version = version.unwrap_or(then.version);
            ShiftRecord::Route(Box::new(then))
        };
        match done {
            Ok(Done::AlreadyInPlace) => {
                *record = applied(None);
                Outcome::Applied
            }
            Ok(Done::Written(written)) => {
                match written {
                    Written::Applied { version } | Written::Overwrote { version } => *record = applied(Some(*version)),
                    // Nothing was written: the intent is over.
                    Written::Superseded => {
                        if let Some(before) = &decision.own.before {
                            *record = ShiftRecord::Route(before.clone());
                        }
                    }
                }
                Outcome::from(written)
            }
            // Whether the write was made is unknown, so the intent stays.
            Err(error) => Outcome::failed(error),
        }
    }

    // 6. Report
    fn report(&self, pass: &Pass<'_>, _: &Observation, case: &mut CaseOf<Self>) -> News {
        let mut new = News::default();
        let Some(decision) = case.decisions.first() else { return new };
        new.messages.extend(decision.own.messages.iter().map(message));
        if decision.own.is_new {
            let id = format!("{}-{}", pass.now.as_millisecond(), decision.entry.reason);
            new.journal = Some((id, vec![decision.entry.clone()]));
        }
        new
    }
}
