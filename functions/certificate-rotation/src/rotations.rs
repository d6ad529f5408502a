//! The certificates and trusts of all meshes: the function's part of the engine's loop.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use decisions::rotation::{
    RotationDecision as Decision, RotationPlan as Plan, RotationRecord as Record, StepResult, decide,
};
use mesh::failures::FailureClass;
use ports::{PortError, PortErrorKind, StateKey};
use records::Layout;
use runner::{
    Case, CaseAction, CaseDecision, CaseOf, Executed, Metric, News, NotBegun, Outcome, Pass, PendingChange, Reconcile,
    RequestedBy, Run, StoredRecord,
};

use crate::calls::Calls;
use crate::news::{self, SubjectRecord};
use crate::observe::{Observation, observe};
use crate::trigger::{EventNotice, MessageId, Trigger};
use crate::{Ports, lines, metrics, steps};

/// All meshes of an invocation.
pub(crate) struct Rotations<'a> {
    ports: &'a Ports,
    trigger: &'a Trigger,
    calls: Calls<'a>,
    newest: Mutex<Newest>,
}

/// The results of the newest observation apart from decisions.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// The metrics of expiry.
    pub(crate) metrics: Vec<Metric>,
    /// The events about certificates and CAs that no mesh uses.
    pub(crate) unused: Vec<EventNotice>,
    /// The messages with a fact about a subject that cannot be read now.
    pub(crate) unplaced: BTreeSet<MessageId>,
}

/// A decision, with the facts of its report.
pub(crate) struct RotationDecision {
    decision: Decision,
    /// Whether it differs from the last reported one.
    is_new: bool,
    /// The record without the plan, for a step that did not begin.
    known: Record,
}

/// One step.
pub(crate) struct RotationPlan(Plan);

impl runner::PlanData<SubjectRecord> for RotationPlan {
    fn id(&self) -> &str {
        &self.0.id
    }

    /// The decision has entered the attempt into the record.
    fn enter(&self, _: &mut SubjectRecord) {}
}

impl<'a> Rotations<'a> {
    pub(crate) fn new(ports: &'a Ports, trigger: &'a Trigger, run: &'a Run<'_>) -> Self {
        Self { ports, trigger, calls: Calls::new(run.failures()), newest: Mutex::default() }
    }

    /// The results of the newest observation apart from decisions.
    pub(crate) fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn case(&self, pass: &Pass<'_>, seen: &Observation, decision: Decision) -> CaseOf<Self> {
        let (run, policy) = (pass.run, &pass.run.policy().certificates);
        let subject = decision.subject.name();
        let news::SubjectNews { record, is_new, has_page } = news::news(&decision, seen, policy, run.now(), pass.now);
        let is_foreign = seen.is_foreign(&subject);
        if is_foreign && has_page {
            // The page cannot be stored with the record, which this version must not replace.
            let text = lines::entry(&decision).text.unwrap_or_default();
            let target = format!("document of {}", decision.subject);
            run.failures().fail(&target, FailureClass::Permanent, &decision.verdict.code(), text);
        }
        let action = match decision.verdict.plan() {
            None => CaseAction::None,
            Some(plan) if decision.watching.is_empty() && !is_foreign => {
                let spend = plan.step.issues().then(|| run.spend(&policy.budget));
                CaseAction::Change { plan: RotationPlan(plan.clone()), spend }
            }
            Some(_) => CaseAction::Report { watching: decision.watching.clone() },
        };
        let requested_by = self.trigger.requested_by(&decision.subject.to_string());
        let is_killed = decision.verdict.code() == "KillSwitchOn";
        let known = seen.record(&subject).cloned().unwrap_or_default();
        let case_decision = CaseDecision {
            entry: lines::entry(&decision),
            own: RotationDecision { decision, is_new, known },
            action,
            requested_by,
            shown: true,
            is_killed,
            has_begun: false,
            outcome: None,
        };
        Self::case_of(&subject, seen, record, vec![case_decision])
    }

    fn case_of(
        subject: &str,
        seen: &Observation,
        record: SubjectRecord,
        decisions: Vec<CaseDecision<RotationDecision, RotationPlan>>,
    ) -> CaseOf<Self> {
        let stored = (!seen.is_foreign(subject)).then(|| StoredRecord {
            record: SubjectRecord::from(seen.stored_record(subject).unwrap_or_default()),
            revision: seen.revision(subject),
        });
        let facts = seen.unstored.get(subject).into_iter().flatten().cloned().collect::<RequestedBy>();
        let key = StateKey::certificate(subject);
        Case { key, subject: subject.to_owned(), stored, record, facts, decisions }
    }

    /// The cases of events without a decision: about private CAs, and about certificates that no mesh uses.
    fn event_cases(pass: &Pass<'_>, seen: &Observation, decided: &BTreeSet<String>) -> Vec<CaseOf<Self>> {
        let mut cases = Vec::new();
        for subject in seen.unstored.keys().filter(|subject| !decided.contains(*subject)) {
            let Some(record) = seen.record(subject) else { continue };
            let mut record = SubjectRecord::from(record.clone());
            if let Some(notice) = seen.event_pages.get(subject) {
                pass.run.report(lines::hold(notice));
                record.owe(news::page_about_event(notice, pass.now));
            }
            cases.push(Self::case_of(subject, seen, record, Vec::new()));
        }
        cases
    }
}

impl Reconcile for Rotations<'_> {
    type Observation = Observation;
    type Record = SubjectRecord;
    type Decision = RotationDecision;
    type Plan = RotationPlan;
    type Done = StepResult;
    // A bundle takes four steps one after the other. The next run resumes the remaining steps and the steps that wait for
    // proxies.
    const ROUNDS: usize = 6;
    const BEGUN: Layout = Layout::Flat;
    const DECIDED: Layout = Layout::Flat;

    // 2. Observe
    async fn observe(&self, run: &Run<'_>) -> Result<Observation, PortError> {
        let window = run.window(&run.policy().certificates.budget);
        let seen = observe(self.ports, run.policy(), &window, self.trigger, &self.calls).await?;
        if seen.facts.kill_switch.is_some() {
            run.kill_switch_on();
        }
        Ok(seen)
    }

    // 3. Decide, 4. Plan
    fn decide(&self, pass: &Pass<'_>, seen: &Observation) -> Vec<CaseOf<Self>> {
        let policy = pass.run.policy();
        let harms = |change: &_| seen.harms(change, policy, pass.now);
        let decisions = decide(&seen.facts, &harms, &policy.certificates, pass.now);
        let mut metrics = metrics::expiry(&seen.readings, pass.now);
        metrics.extend(metrics::lateness(&seen.facts, &policy.certificates, pass.now));
        *self.newest() = Newest { metrics, unused: seen.unused.clone(), unplaced: seen.unplaced.clone() };
        let decided: BTreeSet<String> = decisions.iter().map(|decision| decision.subject.name()).collect();
        let mut cases = Vec::new();
        for decision in decisions {
            self.calls.decided(&decision);
            cases.push(self.case(pass, seen, decision));
        }
        cases.extend(Self::event_cases(pass, seen, &decided));
        cases
    }

    // 5. Execute
    async fn execute(
        &self,
        change: PendingChange<'_>,
        seen: &Observation,
        plan: &RotationPlan,
    ) -> Result<Executed<StepResult>, NotBegun> {
        let lease = change.begin().await?;
        Ok(lease.executed(steps::execute(self.ports, &plan.0.step, &plan.0.id, seen).await))
    }

    fn conclude(
        &self,
        pass: &Pass<'_>,
        decision: &CaseDecision<RotationDecision, RotationPlan>,
        done: &Result<StepResult, PortError>,
        record: &mut SubjectRecord,
    ) -> Outcome {
        let policy = &pass.run.policy().certificates;
        let now = self.ports.clock.now();
        let (result, heals) = match done {
            Ok(result) => (result.clone(), None),
            Err(error) => {
                let failed = StepResult::Failed { why: error.to_string(), is_unplaced: is_certain(error) };
                (failed, Some(error.kind.may_heal()))
            }
        };
        let Some(plan) = decision.own.decision.verdict.plan() else { return outcome(&result, heals, None) };
        let failures = |record: &Record| record.failures.as_ref().map_or(0, |failures| failures.count);
        let before = failures(&record.record);
        record.record = record.record.clone().after(&plan.step, &result, now);
        let given_up = record.record.failures.clone().filter(|_| failures(&record.record) > before);
        let outcome = outcome(&result, heals, given_up.map(|failures| failures.why));
        let pages = match &outcome {
            Outcome::Overwrote { .. } => true,
            Outcome::Failed { .. } => {
                let is_permanent = matches!(result, StepResult::Refused { .. }) || heals == Some(false);
                record.record.pages_failure(is_permanent, policy, now)
            }
            Outcome::WouldApply { .. }
            | Outcome::Applied
            | Outcome::AlreadyInPlace
            | Outcome::InProgress
            | Outcome::Superseded
            | Outcome::Refused { .. }
            | Outcome::OutOfTime => false,
        };
        if pages {
            let text = decision.entry.text.clone().unwrap_or_default();
            record.owe(news::page(&decision.line_with(&outcome), &text, pass.now));
        }
        outcome
    }

    // 6. Report
    fn report(&self, pass: &Pass<'_>, _: &Observation, case: &mut CaseOf<Self>) -> News {
        let mut new = News::default();
        let Some(decision) = case.decisions.first() else { return new };
        let RotationDecision { is_new, known, .. } = &decision.own;
        let is_news = match &decision.outcome {
            Some(Outcome::Applied | Outcome::Superseded | Outcome::Overwrote { .. } | Outcome::Failed { .. }) => true,
            Some(
                Outcome::WouldApply { .. }
                | Outcome::AlreadyInPlace
                | Outcome::InProgress
                | Outcome::Refused { .. }
                | Outcome::OutOfTime,
            )
            | None => false,
        };
        if *is_new || is_news {
            new.messages.push(news::event(&decision.line()));
        }
        match &decision.outcome {
            None | Some(Outcome::WouldApply { .. }) => {
                if *is_new {
                    let id = format!("{}-{}", pass.now.as_millisecond(), decision.entry.reason);
                    new.journal = Some((id, vec![decision.entry.clone()]));
                }
            }
            Some(_) if !decision.has_begun => {
                // No attempt was begun: the next run decides the same plan.
                let (leaf, failures) = (known.leaf.clone(), known.failures.clone());
                case.record.record = Record { leaf, failures, ..case.record.record.clone() };
            }
            Some(_) => {}
        }
        new
    }
}

/// The outcome to report for a step. `given_up` is the reason why an unfinished attempt was given up.
fn outcome(result: &StepResult, heals: Option<bool>, given_up: Option<String>) -> Outcome {
    match result {
        StepResult::Applied | StepResult::Issued | StepResult::Ordered { .. } => Outcome::Applied,
        StepResult::AlreadyInPlace => Outcome::AlreadyInPlace,
        StepResult::InProgress => match given_up {
            Some(error) => Outcome::Failed { error, may_heal: false },
            None => Outcome::InProgress,
        },
        // The next attempt uses another version.
        StepResult::VersionTaken | StepResult::Superseded => Outcome::Superseded,
        StepResult::Overwrote { version } => Outcome::Overwrote { version: *version },
        StepResult::Refused { why } => Outcome::Failed { error: why.clone(), may_heal: false },
        StepResult::Failed { why, .. } => Outcome::Failed { error: why.clone(), may_heal: heals.unwrap_or(false) },
    }
}

/// Whether an error proves that no certificate was ordered.
fn is_certain(error: &PortError) -> bool {
    match error.kind {
        PortErrorKind::NotFound
        | PortErrorKind::Throttled
        | PortErrorKind::Expired
        | PortErrorKind::Denied
        | PortErrorKind::Other => {
            // The order was placed before the import, no matter how the import ends.
            !error.call.starts_with("import")
        }
        PortErrorKind::Conflict | PortErrorKind::Unavailable | PortErrorKind::TimedOut => false,
    }
}
