//! The repairs of one mesh: the function's part of the engine's loop.

use std::collections::BTreeSet;

use mesh::name::{MeshName, ResourcePath};
use ports::{PortError, Refusal};
use records::Layout;
use rules::compliance::{
    ComplianceDecision as Decision, ComplianceHoldReason as HoldReason, ComplianceVerdict as Verdict, DecisionScope,
    decide,
};
use runner::{
    Case, CaseAction, CaseDecision, CaseOf, Executed, News, NotBegun, Outcome, Pass, PendingChange, Reconcile,
    RequestedBy, Run, StoredRecord, WorkItem,
};

use crate::agenda::AgendaItem;
use crate::function::Compliance;
use crate::observe::{self, Observation, StateError};
use crate::record::{MeshRecord, RepairDecision, RepairPlan};
use crate::trigger::{Concern, Trigger};
use crate::{lines, name, news, steps};

/// One mesh of an invocation.
pub(crate) struct MeshRepairs<'a> {
    pub(crate) function: &'a Compliance,
    pub(crate) trigger: &'a Trigger,
    pub(crate) mesh: MeshName,
    pub(crate) scope: AgendaItem,
    pub(crate) item: WorkItem,
}

impl<'a> MeshRepairs<'a> {
    pub(crate) fn new(function: &'a Compliance, trigger: &'a Trigger, mesh: MeshName, scope: AgendaItem) -> Self {
        let item = WorkItem {
            subject: ResourcePath::Mesh(mesh.clone()).to_string(),
            requested_by: trigger.concerned(&Concern::Mesh(mesh.clone())),
        };
        Self { function, trigger, mesh, scope, item }
    }

    /// Reads the mesh, as far as an earlier reading of the same burst does not serve.
    pub(crate) async fn read(&self, run: &Run<'_>) -> Result<Observation, PortError> {
        self.observe_since(run, self.scope.since).await
    }

    async fn observe_since(&self, run: &Run<'_>, since: Option<jiff::Timestamp>) -> Result<Observation, PortError> {
        let Compliance { topic, ports, warm } = self.function;
        let window = run.window(topic.budget(run.policy()));
        let seen = observe::mesh(ports, warm, *topic, &self.mesh, since, &window).await?;
        self.report_state(run, seen.state_error.as_ref());
        if seen.facts.kill_switch.is_some() {
            run.kill_switch_on();
        }
        Ok(seen)
    }

    /// Reports a record that could not be read.
    fn report_state(&self, run: &Run<'_>, error: Option<&StateError>) {
        let subject = format!("state of {}", observe::key(self.function.topic, &self.mesh).as_str());
        match error {
            None => run.failures().succeeded(&subject),
            Some(StateError::Unreachable(error)) => {
                run.failures().failed(&subject, error);
                run.unread(&WorkItem { subject, ..self.item.clone() }, error);
            }
            Some(StateError::Unreadable(error)) => run.unreadable(&subject, error),
        }
    }

    fn case_decision(&self, run: &Run<'_>, decision: Decision) -> RepairDecision {
        let budget = self.function.topic.budget(run.policy());
        let action = match &decision.verdict {
            Verdict::Keep(_) | Verdict::Hold(_) => CaseAction::None,
            Verdict::Act(plan) if plan.apply.is_empty() => CaseAction::Report { watching: BTreeSet::new() },
            Verdict::Act(plan) => {
                CaseAction::Change { plan: RepairPlan(plan.clone()), spend: plan.spends.then(|| run.spend(budget)) }
            }
        };
        CaseDecision {
            entry: lines::entry(&decision),
            action,
            requested_by: self.trigger.concerned(&Concern::Resource(decision.resource.clone())),
            // A scheduled run reports only resources that are not compliant.
            shown: self.scope.only.is_some() || !matches!(decision.verdict, Verdict::Keep(_)),
            is_killed: matches!(decision.verdict, Verdict::Hold(HoldReason::KillSwitchOn { .. })),
            has_begun: false,
            outcome: None,
            own: decision,
        }
    }
}

impl Reconcile for MeshRepairs<'_> {
    type Observation = Observation;
    type Record = MeshRecord;
    type Decision = Decision;
    type Plan = RepairPlan;
    type Done = Outcome;
    const BEGUN: Layout = Layout::Single;
    const DECIDED: Layout = Layout::List;

    // 2. Observe
    async fn observe(&self, run: &Run<'_>) -> Result<Observation, PortError> {
        self.observe_since(run, None).await
    }

    // 3. Decide, 4. Plan
    fn decide(&self, pass: &Pass<'_>, seen: &Observation) -> Vec<CaseOf<Self>> {
        let run = pass.run;
        let again: Option<BTreeSet<ResourcePath>> =
            pass.only.map(|only| only.iter().filter_map(|resource| resource.parse().ok()).collect());
        let scope = again.as_ref().map_or(self.scope.scope(), DecisionScope::Only);
        let decisions = decide(self.function.topic, &seen.facts, run.policy(), pass.now, scope);
        if self.scope.only.is_none() && again.is_none() {
            run.report(lines::summary(&self.mesh, decisions.iter()));
        }
        let record = MeshRecord(seen.facts.record.clone());
        vec![Case {
            key: observe::key(self.function.topic, &self.mesh),
            subject: self.item.subject.clone(),
            stored: seen.revision.map(|revision| StoredRecord { record: record.clone(), revision }),
            record,
            facts: RequestedBy::default(),
            decisions: decisions.into_iter().map(|decision| self.case_decision(run, decision)).collect(),
        }]
    }

    // 5. Execute
    async fn execute(
        &self,
        change: PendingChange<'_>,
        seen: &Observation,
        plan: &RepairPlan,
    ) -> Result<Executed<Outcome>, NotBegun> {
        // A plan is only ever made for a resource of the observation.
        let read = seen.resources.get(&plan.0.resource).ok_or(NotBegun::Refused(Refusal::RevisionMoved))?;
        // A reading of before the change serves no other event.
        observe::drop_reading(&self.function.warm, &self.mesh).await;
        let lease = change.begin().await?;
        Ok(lease.executed(steps::repair(&self.function.ports, &plan.0, read).await))
    }

    fn conclude(
        &self,
        _: &Pass<'_>,
        decision: &RepairDecision,
        done: &Result<Outcome, PortError>,
        record: &mut MeshRecord,
    ) -> Outcome {
        // The call may have had an effect.
        let outcome = done.as_ref().map_or_else(Outcome::failed, Outcome::clone);
        // After a failure the intent stays, so the same plan does not count against the budget twice. After a success it
        // stays until the change is reported: if that fails, or the process ends, the next invocation reports the change.
        if !matches!(outcome, Outcome::Failed { .. }) && !outcome.is_done() {
            record.0.intents.remove(&decision.own.resource);
        }
        outcome
    }

    // 6. Report
    fn report(&self, pass: &Pass<'_>, seen: &Observation, case: &mut CaseOf<Self>) -> News {
        let (run, function) = (pass.run, name(self.function.topic));
        news::note_failed_changes(&case.decisions, &self.item, run.failures());
        let mut messages = Vec::new();
        let paging = &run.policy().failover.paging;
        messages.extend(news::standstills(function, &case.decisions, &mut case.record.0, paging, run.now()));
        for decision in &mut case.decisions {
            decision.shown |= news::is_new(decision, seen);
        }
        // A superseded plan is decided again.
        let settled = |decision: &&RepairDecision| !matches!(decision.outcome, Some(Outcome::Superseded));
        let new: Vec<&RepairDecision> =
            case.decisions.iter().filter(settled).filter(|decision| news::is_new(decision, seen)).collect();
        if !new.is_empty() {
            messages.push(news::notice(function, &new, seen));
            messages.extend(new.iter().map(|decision| news::event(function, decision, seen)));
        }
        let revision = case.stored.as_ref().map_or(0, |stored| stored.revision);
        let journal = (!new.is_empty()).then(|| {
            let entries = new.iter().map(|decision| decision.entry_with_outcome()).collect();
            (format!("{revision}-told"), entries)
        });
        news::remember(&case.decisions, seen, &mut case.record.0);
        News { journal, messages }
    }
}
