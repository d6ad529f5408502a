//! The drills of one mesh: the function's part of the engine's loop.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use decisions::failover::{
    ComeBack, LayerChange, LayerRefusal, LayerWrite, OwedNote, RehearsedRoute, RouteRecord, layer_write,
};
use decisions::weights::{DrillLayer, EndReason};
use drills::{Decision, MeshDrills, RouteStep, Step, decide};
use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath, RouteId};
use ports::{PortError, StateKey, Written};
use records::{DecisionEntry, DrillsRecord, Layout, PlanEntry, WeightPlan};
use runner::{
    Case, CaseAction, CaseDecision, CaseOf, Executed, News, NotBegun, Outcome, Pass, PendingChange, PlanData,
    Reconcile, RequestedBy, Run, StoredRecord,
};
use serde_json::{Map, json};

use crate::document::DrillDocument;
use crate::observe::{Context, MeshObservation, key, observe, state};
use crate::steps::RouteWritten;
use crate::{Ports, news, steps};

/// One mesh of an invocation.
#[derive(Debug)]
pub(crate) struct MeshTarget<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) context: Context<'a>,
    pub(crate) requested_by: RequestedBy,
    /// The state before the invocation, and the newest one.
    pub(crate) states: Mutex<States>,
}

/// The states of a mesh during an invocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct States {
    pub(crate) before: Option<MeshDrills>,
    pub(crate) now: MeshDrills,
}

/// A decision, as the loop carries it.
pub(crate) enum DrillDecision {
    /// About the drills of the mesh.
    Mesh(Box<Decision>),
    /// About one route.
    Route,
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DrillChange {
    /// The start of a drill: the document is the change.
    Begin { id: String, then: Box<DrillsRecord> },
    /// The write of one route.
    Route { route: RouteId, version: u64, write: Box<LayerWrite> },
}

impl PlanData<DrillDocument> for DrillChange {
    fn id(&self) -> &str {
        match self {
            Self::Begin { id, .. } => id,
            Self::Route { write, .. } => &write.plan,
        }
    }

    fn enter(&self, document: &mut DrillDocument) {
        *document = match self {
            Self::Begin { then, .. } => DrillDocument::Mesh(then.clone()),
            Self::Route { write, .. } => DrillDocument::Route(Box::new(write.begun.clone())),
        };
    }
}

impl MeshTarget<'_> {
    pub(crate) fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mesh(&self) -> &MeshName {
        self.context.mesh
    }

    /// The case of the mesh's document.
    fn mesh_case(&self, pass: &Pass<'_>, seen: &MeshObservation, decision: Decision) -> CaseOf<Self> {
        let stored = seen.stored.clone().unwrap_or_default();
        let record = DrillsRecord { state: decision.record.clone(), ..stored.clone() };
        let is_killed = decision.reason.code() == "KillSwitchOn";
        let action = match &decision.step {
            Step::Begin { id, then, .. } => {
                let then = Box::new(DrillsRecord { state: then.as_ref().clone(), ..stored.clone() });
                let spend = pass.run.spend(&pass.run.policy().drills.budget);
                CaseAction::Change { plan: DrillChange::Begin { id: id.clone(), then }, spend: Some(spend) }
            }
            Step::WouldBegin => CaseAction::Report { watching: BTreeSet::from([self.mesh().clone()]) },
            Step::None | Step::Routes(_) => CaseAction::None,
        };
        let mut entry = DecisionEntry {
            decision: Some(decision.word().to_owned()),
            text: Some(decision.reason.to_string()),
            ..DecisionEntry::new(self.subject(&decision), decision.reason.code(), decision.reason.facts())
        };
        if let Some(end) = decision.news.iter().find_map(|news| news.result.as_deref())
            && let Some(facts) = entry.facts.as_object_mut()
        {
            facts.insert("measured".to_owned(), news::measured(end));
        }
        let is_idle = decision.drill.is_none();
        let case_decision = CaseDecision {
            own: DrillDecision::Mesh(Box::new(decision)),
            entry,
            action,
            requested_by: self.requested_by.clone(),
            shown: !is_idle,
            is_killed,
            has_begun: false,
            outcome: None,
        };
        let key = key(self.mesh());
        let subject = ResourcePath::Mesh(self.mesh().clone()).to_string();
        let document = |record| DrillDocument::Mesh(Box::new(record));
        Case {
            key,
            subject,
            stored: Some(StoredRecord { record: document(stored), revision: seen.revision }),
            record: document(record),
            facts: seen.unstored.clone(),
            decisions: vec![case_decision],
        }
    }

    /// The virtual node of the drill; the mesh without a drill.
    fn subject(&self, decision: &Decision) -> String {
        let node = decision.node();
        node.map_or_else(
            || ResourcePath::Mesh(self.mesh().clone()).to_string(),
            |node| ResourcePath::VirtualNode(self.mesh().clone(), node.clone()).to_string(),
        )
    }

    /// The case of a route with a document that only has to be brought up to date.
    fn settled(
        key: StateKey,
        subject: String,
        stored: RouteRecord,
        record: &RouteRecord,
        revision: u64,
    ) -> CaseOf<Self> {
        Case {
            key,
            subject,
            stored: Some(StoredRecord { record: DrillDocument::Route(Box::new(stored)), revision }),
            record: DrillDocument::Route(Box::new(record.clone())),
            facts: RequestedBy::default(),
            decisions: Vec::new(),
        }
    }

    /// The case of a route's document: one conditional write, or the reason why it is not made.
    fn route_case(
        &self,
        pass: &Pass<'_>,
        seen: &MeshObservation,
        step: &RouteStep,
        code: &str,
    ) -> Option<CaseOf<Self>> {
        let route = step.route();
        let rehearsed = seen.rehearsal.routes.iter().find(|rehearsed| rehearsed.route.id == *route)?;
        let record = rehearsed.record.as_ref().ok()?;
        let key = StateKey::route(route);
        let stored = seen.documents.get(&key);
        let current = stored.and_then(|stored| records::read_record::<RouteRecord>(&key, &stored.document).ok());
        let (word, text) = words(step);
        let unsettled = current.as_ref().is_some_and(|current| current.intent.is_some());
        let resource = ResourcePath::Route(route.clone()).to_string();
        let mut entry = DecisionEntry {
            decision: Some(word.to_owned()),
            text: Some(text.clone()),
            ..DecisionEntry::new(&resource, code, json!({ "step": step }))
        };
        let note = OwedNote { code: code.to_owned(), text };
        let action = match planned(step, rehearsed, record, note, pass) {
            Ok(write) => {
                entry.plan = Some(plan_entry(route, rehearsed.route.version, &write));
                let version = rehearsed.route.version;
                let plan = DrillChange::Route { route: route.clone(), version, write: Box::new(write) };
                CaseAction::Change { plan, spend: None }
            }
            // The write took effect, and its end is not recorded: the document is brought up to date without a write.
            Err(_) if unsettled => {
                return Some(Self::settled(
                    key,
                    resource,
                    current?,
                    record,
                    stored.map_or(0, |stored| stored.revision),
                ));
            }
            Err(refusal) => {
                entry.decision = Some("hold".to_owned());
                refusal_code(&refusal).clone_into(&mut entry.reason);
                CaseAction::None
            }
        };
        let decision = CaseDecision {
            own: DrillDecision::Route,
            entry,
            action,
            requested_by: self.requested_by.clone(),
            shown: true,
            is_killed: false,
            has_begun: false,
            outcome: None,
        };
        // Without a change, nothing of a route's document is stored: that is route-failover's part.
        let document = DrillDocument::Route(Box::new(current.unwrap_or_else(|| record.clone())));
        let revision = stored.map_or(0, |stored| stored.revision);
        Some(Case {
            key,
            subject: resource,
            stored: Some(StoredRecord { record: document.clone(), revision }),
            record: document,
            facts: RequestedBy::default(),
            decisions: vec![decision],
        })
    }
}

fn words(step: &RouteStep) -> (&'static str, String) {
    match step {
        RouteStep::Drain { drill, node, restore_by, .. } => {
            ("drain", format!("drill {drill} drains {node}; the weights return by {restore_by:.0}"))
        }
        RouteStep::Restore { drill, node, by_steps: false, .. } => {
            ("restore", format!("drill {drill} of {node} ends: the weights are restored"))
        }
        RouteStep::Restore { drill, node, by_steps: true, .. } => {
            ("restore", format!("drill {drill} of {node} ends: failback returns the node in steps"))
        }
    }
}

/// The write of a step, or the arbiter's refusal.
fn planned(
    step: &RouteStep,
    rehearsed: &RehearsedRoute,
    record: &RouteRecord,
    note: OwedNote,
    pass: &Pass<'_>,
) -> Result<LayerWrite, LayerRefusal> {
    let change = match step {
        RouteStep::Drain { drill, node, restore_by, .. } => LayerChange::DrillStart(DrillLayer {
            id: drill.clone(),
            node: node.clone(),
            since: pass.now,
            restore_by: *restore_by,
        }),
        RouteStep::Restore { drill, by_steps, verdict, .. } => LayerChange::DrillEnd {
            id: drill.clone(),
            reason: EndReason::DrillEnded,
            // A verdict has only string keys, so this cannot fail.
            verdict: verdict.as_ref().and_then(|verdict| serde_json::to_value(verdict).ok()),
            come_back: if *by_steps { ComeBack::Steps } else { ComeBack::AtOnce },
        },
    };
    let policy = &pass.run.policy().failover.failback;
    layer_write(&rehearsed.route, record, change, &rehearsed.receivers, note, policy, None, pass.now)
}

fn refusal_code(refusal: &LayerRefusal) -> &'static str {
    match refusal {
        LayerRefusal::Wait { .. } | LayerRefusal::Refuse { .. } => "RouteOccupied",
        LayerRefusal::NoSuchLayer => "LayerLost",
        LayerRefusal::NoReceiver => "ReceiverNotReady",
    }
}

fn plan_entry(route: &RouteId, version: u64, write: &LayerWrite) -> PlanEntry {
    PlanEntry::Weights(WeightPlan {
        id: write.plan.clone(),
        route: route.clone(),
        version,
        from: write.from.clone(),
        to: write.to.clone(),
        spends: false,
        // The plan has only string keys, so this cannot fail.
        tag: serde_json::to_value(&write.tag).unwrap_or_default(),
        reason: Map::new(),
    })
}

impl Reconcile for MeshTarget<'_> {
    type Observation = MeshObservation;
    type Record = DrillDocument;
    type Decision = DrillDecision;
    type Plan = DrillChange;
    type Done = RouteWritten;
    // The start, the drain, a restore at once, and the end.
    const ROUNDS: usize = 5;
    const BEGUN: Layout = Layout::Flat;
    const DECIDED: Layout = Layout::Flat;

    // 2. Observe
    async fn observe(&self, run: &Run<'_>) -> Result<MeshObservation, PortError> {
        let seen = observe(self.context, None).await?;
        if seen.seen.kill_switch.is_some() {
            run.kill_switch_on();
        }
        Ok(seen)
    }

    // 3. Decide, 4. Plan
    fn decide(&self, pass: &Pass<'_>, seen: &MeshObservation) -> Vec<CaseOf<Self>> {
        let before = self.states().before.get_or_insert_with(|| state(seen)).clone();
        if let Err(error) = &seen.stored {
            pass.run.unreadable(&ResourcePath::Mesh(self.mesh().clone()).to_string(), error);
            return Vec::new();
        }
        let decision = decide(&seen.seen, pass.run.policy(), pass.now);
        *self.states() = States { before: Some(before), now: decision.record.clone() };
        let steps = match &decision.step {
            Step::Routes(steps) => steps.clone(),
            Step::None | Step::WouldBegin | Step::Begin { .. } => Vec::new(),
        };
        let code = decision.reason.code();
        let is_restore = decision.is_restore();
        let routes: Vec<_> = steps.iter().filter_map(|step| self.route_case(pass, seen, step, code)).collect();
        let mesh = self.mesh_case(pass, seen, decision);
        // A drain needs a stored deadline. A restore waits for nothing, and the route's document has the verdict.
        if is_restore {
            routes.into_iter().chain([mesh]).collect()
        } else {
            std::iter::once(mesh).chain(routes).collect()
        }
    }

    // 5. Execute
    async fn execute(
        &self,
        change: PendingChange<'_>,
        seen: &MeshObservation,
        plan: &DrillChange,
    ) -> Result<Executed<RouteWritten>, NotBegun> {
        let lease = change.begin().await?;
        let written = match plan {
            DrillChange::Begin { .. } => Ok(RouteWritten { written: None, is_tagged: true }),
            DrillChange::Route { route, version, write } => match seen.routes.get(route) {
                Some(data) => {
                    let (routes, failures) = (self.ports.routes.as_ref(), self.context.failures);
                    steps::write(routes, failures, route, data, *version, write).await
                }
                None => Ok(RouteWritten { written: Some(Written::Superseded), is_tagged: true }),
            },
        };
        Ok(lease.executed(written))
    }

    fn conclude(
        &self,
        pass: &Pass<'_>,
        decision: &CaseDecision<DrillDecision, DrillChange>,
        done: &Result<RouteWritten, PortError>,
        record: &mut DrillDocument,
    ) -> Outcome {
        let target = format!("weights of {}", decision.entry.resource);
        match done {
            Ok(_) => pass.run.failures().succeeded(&target),
            Err(error) => pass.run.failures().failed(&target, error),
        }
        let RouteWritten { written, is_tagged } = match done {
            Ok(done) => done,
            // Whether the write was executed is not known. The document has the intent.
            Err(error) => return Outcome::failed(error),
        };
        let CaseAction::Change { plan: DrillChange::Route { write, .. }, .. } = &decision.action else {
            if let DrillDocument::Mesh(record) = record {
                self.states().now = record.state.clone();
            }
            return Outcome::Applied;
        };
        let outcome = written.as_ref().map_or(Outcome::AlreadyInPlace, Outcome::from);
        if outcome.is_done() {
            let mut then = write.done.clone();
            if let Some(Written::Applied { version } | Written::Overwrote { version }) = written {
                then.version = *version;
            }
            match &write.tag {
                decisions::failover::TagChange::Set(_) => then.tag_missing = !is_tagged,
                decisions::failover::TagChange::Clear => {
                    then.stale_tag = !is_tagged;
                    then.tag_missing = false;
                }
                decisions::failover::TagChange::Keep => {}
            }
            *record = DrillDocument::Route(Box::new(then));
        }
        outcome
    }

    // 6. Report
    fn report(&self, pass: &Pass<'_>, seen: &MeshObservation, case: &mut CaseOf<Self>) -> News {
        let mut new = News::default();
        let Some(first) = case.decisions.first() else { return new };
        let DrillDecision::Mesh(decision) = &first.own else { return new };
        let mut due = decision.news.clone();
        if let (Step::Begin { news, .. }, true) = (&decision.step, first.has_begun) {
            due.extend(news.iter().cloned());
        }
        let messages = |news: &drills::DrillNews| self::news::messages(self.mesh(), news, pass.now);
        new.messages = due.iter().flat_map(messages).collect();
        // The begin has its own entry.
        if !first.has_begun && is_news(&seen.seen.record, &decision.record) {
            let id = format!("{}-{}", pass.now.as_millisecond(), decision.reason.code());
            new.journal = Some((id, vec![first.entry.clone()]));
        }
        new
    }
}

/// Whether the phase, the obstacle or a result has changed.
fn is_news(before: &MeshDrills, after: &MeshDrills) -> bool {
    let active = |record: &MeshDrills| {
        record.active.as_ref().map(|drill| {
            (drill.id.clone(), drill.phase, drill.obstacle.as_ref().map(|reason| reason.code().to_owned()))
        })
    };
    let results = |record: &MeshDrills| -> Vec<(String, Option<Timestamp>)> {
        let last = |(name, history): (&policy::DrillName, &drills::PlanHistory)| {
            (name.to_string(), history.last.as_ref().map(|end| end.ended))
        };
        record.plans.iter().map(last).filter(|(_, ended)| ended.is_some()).collect()
    };
    active(before) != active(after) || results(before) != results(after)
}
