//! The handler: event, observe, decide, plan, execute, report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::compliance::{DecisionScope, Plan, Topic, Verdict, decide};
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::{Policy, PolicyError};
use ports::{BudgetWindow, Deadline, PortErrorKind};
use records::JournalBody;
use runner::wake::Delivery;
use runner::{
    Current, FailedMessages, FailureMemory, FailureRun, Handler, NoPolicy, PolicyKeeper, Report, Retry, Signals,
};
use tokio::sync::Mutex;

use crate::agenda::{Agenda, AgendaItem};
use crate::answer::{Answers, is_settled};
use crate::execute::{Execution, ExecutionOutcome, LeasedRecord, execute_plan};
use crate::observe::{self, Observation, StateError, WarmCache};
use crate::report::{DecisionOutcome, INTERVAL, ReportContext, Reporter};
use crate::report_entry::{Repeat, ReportEntry};
use crate::trigger::{Concern, ItemRequest, Trigger};
use crate::{Ports, journal, name};

/// The maximum number of attempts for resources that other writers change in between, before Lambda retries.
const ATTEMPTS: usize = 3;

/// The minimum time to begin and end a change. With less time left, the next invocation continues.
const ONE_CHANGE: Duration = Duration::from_secs(3);

/// The compliance function of a topic.
#[derive(Debug)]
pub struct Compliance {
    topic: Topic,
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    warm: Mutex<WarmCache>,
    reporter: Reporter,
    failures: FailureMemory,
}

/// One invocation.
struct Run<'a> {
    trigger: &'a Trigger,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
    deadline: Deadline,
    now: Timestamp,
    failures: FailureRun,
}

/// The progress of an invocation. Completed work counts even if the time runs out.
#[derive(Debug, Default)]
struct Progress {
    entries: Vec<ReportEntry>,
    /// The meshes that are not finished; `None` until the agenda is known.
    unfinished: Option<BTreeSet<MeshName>>,
    /// The messages that wait for an answer to AWS Config.
    unanswered: BTreeSet<String>,
    /// Whether no mesh could be read, although at least one was on the agenda.
    observed_nothing: bool,
    /// Whether the kill switch was found on, also if nothing was to be changed.
    kill_switch_on: bool,
}

impl Compliance {
    /// Creates the function.
    #[must_use]
    pub fn new(topic: Topic, ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (state, notifier) = (Arc::clone(&ports.state), Arc::clone(&ports.notifier));
        Self {
            topic,
            reporter: Reporter::new(topic, ports.clone()),
            failures: FailureMemory::new(name(topic), INTERVAL, state, notifier),
            ports,
            policy,
            warm: Mutex::default(),
        }
    }
}

#[async_trait]
impl Handler for Compliance {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let trigger = Trigger::new(deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = match self.policy.current(now).await {
            Ok(current) => current,
            Err(missing) => return Err(missing.end_invocation(&self.failures, deadline, now).await),
        };
        let failures = FailureRun::default();
        NoPolicy::record_loaded(&failures);
        let (window, holder) = (
            BudgetWindow::at(name(self.topic), self.topic.budget(&policy).window.get(), now),
            runner::holder(name(self.topic), deadline, now),
        );
        let run = Run { trigger: &trigger, policy: &policy, window, holder, deadline, now, failures };
        let mut progress = Progress::default();
        let time = FailureMemory::time_for_work(deadline);
        let in_time = tokio::time::timeout(time, self.reconcile(&run, &mut progress)).await.is_ok();
        let paging = &run.policy.failover.paging;
        run.failures.ended(in_time);
        let withheld = self.failures.finish_by(deadline, run.failures, paging, now).await;
        let mut signals = Signals { policy_rejected: rejected.is_some(), ..Signals::default() };
        signals.pages_withheld = u32::try_from(withheld).unwrap_or(u32::MAX);
        progress.answer(&trigger, in_time, signals)
    }
}

impl Progress {
    /// The answer to Lambda: the report, and the messages to retry.
    #[expect(clippy::result_large_err, reason = "the runtime's own type, moved once in an invocation")]
    fn answer(self, trigger: &Trigger, in_time: bool, signals: Signals) -> Result<Report, Retry> {
        let Self { entries, unfinished, unanswered, observed_nothing, kill_switch_on } = self;
        let mut why = (!in_time).then(|| "the invocation ran out of time; the retry resumes its work".to_owned());
        let mut messages = BTreeSet::new();
        for Repeat { why: this, concern } in entries.iter().flat_map(|entry| &entry.repeats) {
            let concerned = trigger.concerned(concern);
            if !concerned.is_empty() {
                why.get_or_insert_with(|| this.clone());
                messages.extend(concerned.into_iter().flatten());
            }
        }
        if !in_time {
            match unfinished {
                Some(meshes) => {
                    messages.extend(unanswered);
                    let concerned = meshes.into_iter().flat_map(|mesh| trigger.concerned(&Concern::Mesh(mesh)));
                    messages.extend(concerned.flatten());
                }
                // The meshes of each message are not known yet, and an empty list means all messages.
                None => messages.clear(),
            }
        }
        let mut report = ReportEntry::report(entries);
        report.signals.policy_rejected = signals.policy_rejected;
        report.signals.pages_withheld = signals.pages_withheld;
        report.signals.observed_nothing = observed_nothing;
        report.signals.kill_switch_on |= kill_switch_on;
        match why {
            Some(why) => {
                let messages = FailedMessages::named_or_all(messages.into_iter().collect());
                Err(Retry { why, report: Some(report), messages })
            }
            None => Ok(report),
        }
    }
}

impl Compliance {
    async fn reconcile(&self, run: &Run<'_>, progress: &mut Progress) {
        progress.entries = ReportEntry::remarks(run.trigger);
        let requests = self.requests(run, &mut progress.entries).await;
        let (settled, open): (Vec<ItemRequest>, Vec<ItemRequest>) =
            requests.into_iter().partition(|request| is_settled(self.topic, request));
        let mut answers = Answers::new(run.trigger, settled.iter());
        for request in open.iter().filter(|request| request.item.path().is_none()) {
            answers.without_arn(request);
        }
        let agenda = self.agenda(run, &open, &mut progress.entries).await;
        progress.unfinished = Some(agenda.meshes().cloned().collect());
        progress.unanswered = answers.messages().cloned().collect();

        let mut seen = Vec::new();
        let items: Vec<(MeshName, AgendaItem)> = agenda.into_items().collect();
        let mut left = u32::try_from(items.len()).unwrap_or(u32::MAX);
        for (mesh, item) in items {
            // Each mesh has an equal share of the time, so that a throttled mesh does not delay the others.
            let share = Deadline::after(run.deadline.left() / left.max(1));
            left = left.saturating_sub(1);
            let observed = self.observe(run, &mesh, &item, &open, &mut answers, &mut progress.entries);
            if let Some(observation) = share.cover(observed).await {
                progress.kill_switch_on |= observation.facts.kill_switch.is_some();
                answers.add(&observation, self.topic, run.policy, &open, run.now);
                seen.push((item, observation));
            } else if let Some(unfinished) = &mut progress.unfinished {
                unfinished.remove(&mesh);
            }
        }
        progress.observed_nothing = seen.is_empty() && progress.entries.iter().any(|entry| entry.is_unread);
        // The answers are sent before any change, so that AWS Config gets the state at the time of its request.
        progress.entries.extend(answers.send(&self.ports, &run.failures).await);
        progress.unanswered.clear();
        for (item, observation) in seen {
            let mesh = observation.facts.mesh.name.clone();
            progress.entries.extend(self.remediate(run, &item, observation).await);
            if let Some(unfinished) = &mut progress.unfinished {
                unfinished.remove(&mesh);
            }
        }
    }

    /// The requests of AWS Config. An item that was too large to be sent, or has no ARN, is replaced by the newest item
    /// in the configuration history.
    async fn requests(&self, run: &Run<'_>, entries: &mut Vec<ReportEntry>) -> Vec<ItemRequest> {
        let mut all = Vec::new();
        for request in &run.trigger.items {
            let mut request = request.clone();
            let is_nameless = request.item.kind().is_some() && request.item.arn.is_none();
            if (request.oversized || is_nameless) && !request.item.status.is_deleted() {
                let target = format!("the history of {}", request.item.resource.resource_type);
                match self.ports.config.newest_item(&request.item.resource).await {
                    Ok(newest) => {
                        run.failures.succeeded(&target);
                        let arn = request.item.arn.clone().or_else(|| newest.as_ref()?.arn.clone());
                        if let Some(newest) = newest.filter(|newest| newest.captured_at >= request.item.captured_at) {
                            request.item = newest;
                        }
                        // The summary has the resource and the time, which is sufficient.
                        request.item.arn = arn;
                    }
                    Err(error) => {
                        run.failures.failed(&target, &error);
                        let subject = format!("item/{}", request.item.resource.resource_id);
                        let concern = Concern::Delivery(request.message.clone());
                        entries.push(ReportEntry::unreadable(&subject, &error, concern));
                        if error.kind.may_heal() {
                            continue;
                        }
                    }
                }
            }
            all.push(request);
        }
        all
    }

    /// The agenda of the invocation.
    async fn agenda(&self, run: &Run<'_>, open: &[ItemRequest], entries: &mut Vec<ReportEntry>) -> Agenda {
        let mut all = Vec::new();
        if run.trigger.is_for_everything() {
            match observe::meshes(&self.ports).await {
                Ok(meshes) => {
                    run.failures.succeeded("meshes");
                    all = meshes;
                }
                Err(error) => {
                    run.failures.failed("meshes", &error);
                    entries.push(ReportEntry::unreadable("meshes", &error, Concern::AllMeshes));
                }
            }
        }
        Agenda::new(run.trigger, all, open.iter())
    }

    async fn observe(
        &self,
        run: &Run<'_>,
        mesh: &MeshName,
        item: &AgendaItem,
        open: &[ItemRequest],
        answers: &mut Answers,
        entries: &mut Vec<ReportEntry>,
    ) -> Option<Observation> {
        let subject = ResourcePath::Mesh(mesh.clone()).to_string();
        match observe::mesh(&self.ports, &self.warm, self.topic, mesh, item.since, &run.window).await {
            Ok(observation) => {
                run.failures.succeeded(&subject);
                let parts = format!("parts of {subject}");
                match observation.facts.unread.iter().next() {
                    Some((_, first)) => {
                        let (class, count) = (first.class(), observation.facts.unread.len());
                        run.failures.fail(
                            &parts,
                            class,
                            "PartlyRead",
                            format!("{count} unread, first {}", first.error),
                        );
                    }
                    None => run.failures.succeeded(&parts),
                }
                entries.extend(ReportEntry::partly_read(mesh, &observation.facts.unread));
                Some(observation)
            }
            Err(error) => {
                answers.unread(mesh, &error, open);
                entries.push(if error.kind == PortErrorKind::NotFound {
                    // The last event about a mesh is its deletion.
                    run.failures.succeeded(&subject);
                    ReportEntry::not_there(&subject)
                } else {
                    run.failures.failed(&subject, &error);
                    ReportEntry::unreadable(&subject, &error, Concern::Mesh(mesh.clone()))
                });
                None
            }
        }
    }

    /// Decides, executes and reports; repeats that for resources that another writer changed in between.
    async fn remediate(&self, run: &Run<'_>, item: &AgendaItem, mut observation: Observation) -> Vec<ReportEntry> {
        let mut entries = Vec::new();
        let mesh = observation.facts.mesh.name.clone();
        let mut again: Option<BTreeSet<ResourcePath>> = None;
        for attempt in 1..=ATTEMPTS {
            entries.extend(self.state_entry(run, &mesh, observation.state_error.as_ref()));
            let scope = again.as_ref().map_or(item.scope(), DecisionScope::Only);
            let (done, not_sent) = self.execute(run, &observation, scope).await;
            let superseded = |(_, outcome): &DecisionOutcome| matches!(outcome, Some(ExecutionOutcome::Superseded));
            let is_last = attempt == ATTEMPTS;
            entries.extend(entries_of(&done, &observation, item, again.is_none(), is_last));
            entries.extend(not_sent);
            let overtaken: BTreeSet<ResourcePath> =
                done.iter().filter(|done| superseded(done)).map(|(decision, _)| decision.resource.clone()).collect();
            if overtaken.is_empty() || is_last {
                break;
            }
            observe::drop_reading(&self.warm, &mesh).await;
            match observe::mesh(&self.ports, &self.warm, self.topic, &mesh, None, &run.window).await {
                Ok(fresh) => observation = fresh,
                Err(error) => {
                    let subject = ResourcePath::Mesh(mesh.clone()).to_string();
                    run.failures.failed(&subject, &error);
                    entries.push(ReportEntry::unreadable(&subject, &error, Concern::Mesh(mesh.clone())));
                    break;
                }
            }
            again = Some(overtaken);
        }
        entries
    }

    /// The line of a record that could not be read.
    fn state_entry(&self, run: &Run<'_>, mesh: &MeshName, error: Option<&StateError>) -> Option<ReportEntry> {
        let subject = format!("state of {}", observe::key(self.topic, mesh).as_str());
        match error {
            None => {
                run.failures.succeeded(&subject);
                None
            }
            Some(StateError::Unreachable(error)) => {
                run.failures.failed(&subject, error);
                Some(ReportEntry::unreadable(&subject, error, Concern::Mesh(mesh.clone())))
            }
            Some(StateError::Unreadable(error)) => {
                run.failures.unreadable(error);
                Some(ReportEntry::unreadable_document(&subject, error))
            }
        }
    }

    /// Executes the decisions as far as the mode permits, and reports them. Also returns the lines of unsent
    /// notifications.
    async fn execute(
        &self,
        run: &Run<'_>,
        observation: &Observation,
        scope: DecisionScope<'_>,
    ) -> (Vec<DecisionOutcome>, Vec<ReportEntry>) {
        let decisions = decide(self.topic, &observation.facts, run.policy, run.now, scope);
        let mut done: Vec<DecisionOutcome> = decisions.into_iter().map(|decision| (decision, None)).collect();
        let acts =
            |(decision, _): &DecisionOutcome| matches!(&decision.verdict, Verdict::Act(plan) if !plan.apply.is_empty());
        let observed = if done.iter().any(|done| acts(done) || Reporter::is_news(done, observation)) {
            Some(journal::observed(self.ports.reports.as_ref(), self.topic, observation, run.policy, run.now).await)
        } else {
            None
        };
        let mut leased = self.leased(run, observation);
        let mut halted = None;
        for (decision, outcome) in &mut done {
            let Verdict::Act(plan) = &decision.verdict else { continue };
            *outcome = Some(if plan.apply.is_empty() {
                ExecutionOutcome::WouldApply
            } else if let Some(halted) = &halted {
                ExecutionOutcome::clone(halted)
            } else {
                let line = ReportEntry::for_decision(decision, None).line;
                let body = journal::begun(self.topic, &line, observed.clone());
                self.act(run, plan, observation, leased.as_mut(), body).await
            });
            halted = halted.or_else(|| outcome.clone().filter(ExecutionOutcome::halts));
        }
        if done
            .iter()
            .any(|(_, outcome)| outcome.as_ref().is_some_and(|outcome| *outcome != ExecutionOutcome::WouldApply))
        {
            observe::drop_reading(&self.warm, &observation.facts.mesh.name).await;
        }
        let during = ReportContext { failures: &run.failures, paging: &run.policy.failover.paging, now: run.now };
        let not_sent = self.reporter.report(&done, observation, observed.as_ref(), leased, &during).await;
        (done, not_sent)
    }

    async fn act(
        &self,
        run: &Run<'_>,
        plan: &Plan,
        observation: &Observation,
        leased: Option<&mut LeasedRecord>,
        journal: JournalBody,
    ) -> ExecutionOutcome {
        if run.deadline.left() < ONE_CHANGE {
            return ExecutionOutcome::OutOfTime;
        }
        match (leased, observation.resources.get(&plan.resource)) {
            (Some(leased), Some(read)) => execute_plan(&self.ports, leased, &Execution { plan, read, journal }).await,
            // A plan requires an observed resource and a readable record.
            (None, _) | (_, None) => ExecutionOutcome::Superseded,
        }
    }

    fn leased(&self, run: &Run<'_>, observation: &Observation) -> Option<LeasedRecord> {
        let revision = observation.revision?;
        Some(LeasedRecord {
            key: observe::key(self.topic, &observation.facts.mesh.name),
            record: observation.facts.record.clone(),
            revision,
            holder: run.holder.clone(),
            window: run.window.clone(),
            cap: self.topic.budget(run.policy).changes,
        })
    }
}

/// The lines of a mesh: new, non-compliant and requested decisions.
fn entries_of(
    done: &[DecisionOutcome],
    observation: &Observation,
    item: &AgendaItem,
    is_first: bool,
    is_last: bool,
) -> Vec<ReportEntry> {
    let mut entries = Vec::new();
    if item.only.is_none() && is_first {
        entries.push(ReportEntry::summary(&observation.facts.mesh.name, done));
    }
    for entry in done {
        let (decision, outcome) = entry;
        let overtaken = matches!(outcome, Some(ExecutionOutcome::Superseded)) && !is_last;
        let is_reported = item.only.is_some()
            || !matches!(decision.verdict, Verdict::Keep(_))
            || Reporter::is_news(entry, observation);
        if is_reported && !overtaken {
            entries.push(ReportEntry::for_decision(decision, outcome.as_ref()));
        }
    }
    entries
}
