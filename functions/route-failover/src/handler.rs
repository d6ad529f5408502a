//! The function: event, observe, decide, plan, actuate, report.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::failover::{
    AlarmInput, Decision, ForeignAlarm, Plan, Recipient, Subject, Verdict, decide, unanswered_alarms,
};
use mesh::failures::{FailedCall, FailureClass};
use mesh::name::{MeshName, ResourcePath, RouteId};
use mesh::policy::{Mode, PagingPolicy, Policy, PolicyError, RuleId};
use mesh::weights::WeightSplit;
use ports::{BudgetWindow, Deadline, PortError};
use runner::events::{AlarmEvent, Delivery};
use runner::{Current, FailureMemory, Handler, NoPolicy, PolicyKeeper, Report, Retry};
use tokio::sync::Mutex;

use crate::actuate::{Acted, Outcome, Work, actuate, end};
use crate::alarms::{self, Alarms};
use crate::memory::Found;
use crate::messages::Messages;
use crate::notifications::{News, Notifications, Stored};
use crate::observe::{self, MeshesToRead, Observation, Warm};
use crate::origin;
use crate::read_context::ReadContext;
use crate::report::{ReportEntry, is_stale};
use crate::trigger::Trigger;
use crate::{NAME, Ports};

/// How often the function observes and decides a route that another writer changed in between. After that, Lambda
/// retries.
const ATTEMPTS: usize = 3;

/// Routes changed at a time: enough for a node that is a target of many routes, and below App Mesh's write limits. App
/// Mesh's own controller writes at up to 8 a second.
const ROUTES_AT_A_TIME: usize = 4;

/// The failure target under which an invocation without enough time is remembered.
const TIME: &str = "the time of an invocation";

/// The failure target under which a failed search for meshes without alarms is remembered.
const SURVEY: &str = "meshes";

/// The function route-failover.
#[derive(Debug)]
pub struct RouteFailover {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    warm: Mutex<Warm>,
    notifications: Notifications,
    recipient: Recipient,
}

/// One invocation.
struct Run<'a> {
    trigger: &'a Trigger,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
    now: Timestamp,
}

impl<'a> Run<'a> {
    fn context(&'a self) -> ReadContext<'a> {
        ReadContext { trigger: self.trigger, policy: &self.policy.failover, window: &self.window, now: self.now }
    }
}

impl RouteFailover {
    /// Creates the function from its ports and its policy.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let recipient = Recipient::default();
        Self { notifications: Notifications::new(ports.clone()), ports, policy, warm: Mutex::default(), recipient }
    }

    /// Sets the function's own name, topics and region, so that it can find the alarms that are wired to it.
    #[must_use]
    pub fn with_recipient(self, recipient: Recipient) -> Self {
        Self { recipient, ..self }
    }
}

#[async_trait]
impl Handler for RouteFailover {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let trigger = Trigger::new(&deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = match self.policy.current(now).await {
            Ok(current) => current,
            Err(missing) => return Err(self.without_policy(missing, deadline, now).await),
        };
        self.notifications.memory().succeeded(NoPolicy::target()).await;
        let run = Run {
            trigger: &trigger,
            policy: &policy,
            window: BudgetWindow::at(NAME, policy.failover.budget.window.get(), now),
            holder: runner::holder(NAME, deadline, now),
            now,
        };
        let mut messages = Messages::default();
        let time = FailureMemory::time_for_work(deadline);
        let reconciled = tokio::time::timeout(time, self.reconcile(&run, &deliveries, &mut messages)).await;
        let Ok(Reconciled { mut entries, observed_nothing }) = reconciled else {
            let why = "the invocation ran out of time; the retry resumes its work";
            self.out_of_time(&run, deadline, why).await;
            let mut report = Report::new(Vec::new());
            report.signals.pages_withheld = self.notifications.memory().take_withheld().await;
            return Err(Retry { report: Some(report), ..Retry::all(why) });
        };
        entries.extend(self.notifications.memory().unreadable().await.as_ref().map(ReportEntry::unreadable_document));
        let retry = entries.iter().find_map(|entry| entry.retry.clone());
        let failed = entries.iter().filter(|entry| entry.retry.is_some());
        let messages = messages.failed(failed.map(|entry| entry.line.resource.as_str()));
        let mut report = ReportEntry::report(entries);
        report.signals.policy_rejected = rejected.is_some();
        report.signals.observed_nothing = observed_nothing;
        report.signals.pages_withheld = self.notifications.memory().take_withheld().await;
        match retry {
            Some(why) => Err(Retry { why, report: Some(report), messages }),
            None => Ok(report),
        }
    }
}

/// The result of one run.
struct Reconciled {
    entries: Vec<ReportEntry>,
    /// Whether neither alarms nor any mesh could be read.
    observed_nothing: bool,
}

impl RouteFailover {
    async fn reconcile(&self, run: &Run<'_>, deliveries: &[Delivery], messages: &mut Messages) -> Reconciled {
        let memory = self.notifications.memory();
        let alarms = match self.read_alarms(run).await {
            Ok(alarms) => alarms,
            Err(error) => {
                memory.unread("alarms", &error, run.now).await;
                // Whether any alarm is in `ALARM` is not known.
                self.settle(run, Found { unanswered: &[], complete: false, urgent: true }).await;
                return Reconciled { entries: vec![ReportEntry::unread("alarms", &error)], observed_nothing: true };
            }
        };
        memory.succeeded("alarms").await;
        *messages = Messages::new(deliveries, |alarm| alarms.meshes_of(alarm));
        let foreign = origin::foreign(deliveries, &alarms.read, self.recipient.region.as_deref());
        if !foreign.is_empty() && foreign.len() == deliveries.len() {
            // All triggers are alarms of other accounts or regions.
            let entries = self.unanswered(run, &alarms, &foreign).await;
            return Reconciled { entries, observed_nothing: false };
        }
        let mut entries = Vec::new();
        for (alarm, error) in &alarms.unread {
            let what = format!("alarm/{alarm}");
            memory.unread(&what, error, run.now).await;
            entries.push(ReportEntry::unread(&what, error));
        }
        let (mut observed, mut unread) = (0_usize, 0_usize);
        let MeshesToRead { meshes, survey } = observe::meshes(&self.ports, &self.warm, &alarms, run.context()).await;
        match survey {
            None => {}
            Some(Ok(())) => memory.succeeded(SURVEY).await,
            Some(Err(error)) => {
                memory.unread(SURVEY, &error, run.now).await;
                // The next scheduled run makes the search again; what alarms report does not depend on it.
                entries.push(ReportEntry { retry: None, ..ReportEntry::unread(SURVEY, &error) });
            }
        }
        for mesh in meshes {
            let what = ResourcePath::Mesh(mesh.clone()).to_string();
            match self.reconcile_mesh(run, &mesh, &alarms).await {
                Ok(of_mesh) => {
                    observed += 1;
                    memory.succeeded(&what).await;
                    entries.extend(of_mesh);
                }
                Err(error) => {
                    unread += 1;
                    memory.unread(&what, &error, run.now).await;
                    entries.push(ReportEntry::unread(&what, &error));
                }
            }
        }
        entries.extend(self.unanswered(run, &alarms, &foreign).await);
        Reconciled { entries, observed_nothing: observed == 0 && unread > 0 }
    }

    /// Reports alarms in `ALARM` that lead to no decision, and reads or writes that failed in this run. It runs after
    /// everything else, so that no failover waits for it.
    async fn unanswered(&self, run: &Run<'_>, alarms: &Alarms, foreign: &[&AlarmEvent]) -> Vec<ReportEntry> {
        let memory = self.notifications.memory();
        if run.trigger.tick {
            memory.read_once(&run.window, run.now).await;
        }
        let is_foreign = |name: &AlarmName| foreign.iter().any(|alarm| alarm.name == *name);
        let named: BTreeSet<AlarmName> = run.trigger.alarms.iter().filter(|name| !is_foreign(name)).cloned().collect();
        let only_by_bus = named.difference(&run.trigger.by_action).cloned().collect();
        let elsewhere: Vec<ForeignAlarm> = foreign.iter().map(|alarm| origin::foreign_alarm(alarm)).collect();
        let unanswered = unanswered_alarms(&AlarmInput {
            alarms: &alarms.read,
            targets: &alarms.targets,
            tags: &alarms.tags,
            policy: &run.policy.failover,
            named: &named,
            only_by_bus: &only_by_bus,
            foreign: &elsewhere,
            named_before: &memory.named_before().await,
            recipient: &self.recipient,
        });
        let is_on =
            |alarm: &Alarm| alarm.state == AlarmState::Alarm && !alarms.targets.targets_of(&alarm.name).is_empty();
        let urgent = alarms.read.iter().any(is_on);
        self.settle(run, Found { unanswered: &unanswered, complete: run.trigger.tick, urgent }).await;
        let mut entries = ReportEntry::not_failures(&named, alarms);
        entries.extend(unanswered.iter().map(ReportEntry::unanswered));
        entries
    }

    /// Reports that no policy could be loaded. Whether an alarm is in `ALARM` is not known.
    async fn without_policy(&self, missing: NoPolicy, deadline: Deadline, now: Timestamp) -> Retry {
        let text = missing.to_string();
        let call = FailedCall { class: missing.class(), kind: missing.kind(), text: &text };
        let settle = async {
            let memory = self.notifications.memory();
            memory.failed(NoPolicy::target(), &call, now).await;
            // Every load has to name a window; nothing is spent.
            let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
            let found = Found { unanswered: &[], complete: false, urgent: true };
            memory.settle(self.notifications.pager(), found, &PagingPolicy::default(), &window, now).await;
        };
        if tokio::time::timeout(deadline.left(), settle).await.is_err() {
            tracing::warn!("no time was left to page that the policy cannot be loaded");
        }
        missing.retry(self.notifications.memory().take_withheld().await)
    }

    /// Pages the failures of a run that had no time left. Whether an alarm is in `ALARM` may not be known.
    async fn out_of_time(&self, run: &Run<'_>, deadline: Deadline, why: &str) {
        let call = FailedCall { class: FailureClass::Transient, kind: "OutOfTime", text: why };
        let settle = async {
            self.notifications.memory().failed(TIME, &call, run.now).await;
            let found = Found { unanswered: &[], complete: false, urgent: true };
            let paging = &run.policy.failover.paging;
            self.notifications.memory().settle(self.notifications.pager(), found, paging, &run.window, run.now).await;
        };
        if tokio::time::timeout(deadline.left(), settle).await.is_err() {
            tracing::warn!("no time was left to page which calls failed");
        }
    }

    async fn settle(&self, run: &Run<'_>, found: Found<'_>) {
        self.notifications.memory().succeeded(TIME).await;
        let paging = &run.policy.failover.paging;
        self.notifications.memory().settle(self.notifications.pager(), found, paging, &run.window, run.now).await;
    }

    async fn read_alarms(&self, run: &Run<'_>) -> Result<Alarms, PortError> {
        let mut warm = self.warm.lock().await;
        alarms::alarms(&self.ports, &mut warm.alarms, run.trigger, &run.policy.failover, run.now).await
    }

    /// Observes, decides and acts until no other writer interferes, at most [`ATTEMPTS`] times.
    async fn reconcile_mesh(&self, run: &Run<'_>, mesh: &MeshName, alarms: &Alarms) -> Result<Vec<ReportEntry>, PortError> {
        let mut entries = Vec::new();
        let mut again: Option<BTreeSet<Subject>> = None;
        for attempt in 1..=ATTEMPTS {
            let observation = observe::mesh(&self.ports, &self.warm, mesh, alarms, run.context()).await?;
            let harms = |route: &RouteId, split: &WeightSplit| observation.harms(route, split);
            let mut decisions = decide(&observation.facts, &harms, run.policy, run.now);
            decisions.retain(|decision| again.as_ref().is_none_or(|again| again.contains(&decision.subject)));
            let decided: BTreeSet<Subject> = decisions.iter().map(|decision| decision.subject.clone()).collect();
            let done: Vec<ReportEntry> = stream::iter(decisions)
                .map(|decision| self.execute(run, decision, &observation))
                .buffered(ROUTES_AT_A_TIME)
                .collect()
                .await;
            if attempt == 1 {
                self.notifications.forget_nodes(&observation, &decided, run.now).await;
                entries.extend(self.report_unread(run, &observation).await);
            }
            let is_last = attempt == ATTEMPTS;
            let (superseded, done): (Vec<_>, Vec<_>) =
                done.into_iter().partition(|entry| entry.superseded && !is_last);
            entries.extend(done);
            if superseded.is_empty() {
                break;
            }
            again = Some(superseded.into_iter().filter_map(|entry| entry.subject).collect());
        }
        Ok(entries)
    }

    /// Reports the routes and the alarm data that could not be read.
    async fn report_unread(&self, run: &Run<'_>, observation: &Observation) -> Vec<ReportEntry> {
        let mut entries = Vec::new();
        for (what, error) in &observation.unread {
            self.notifications.memory().unread(what, error, run.now).await;
            entries.push(ReportEntry::unread(what, error));
        }
        entries
    }

    /// Executes a decision where the mode allows it, and reports it.
    async fn execute(&self, run: &Run<'_>, mut decision: Decision, observation: &Observation) -> ReportEntry {
        if is_stale(&decision) {
            // No notification: the route is re-read at once.
            return ReportEntry::new(observation, &decision, None);
        }
        let mode = run.policy.modes.mode(RuleId::RouteFailover, &observation.facts.mesh);
        let stored = match (&decision.verdict, mode) {
            // The plan begins with its own conditional write.
            (Verdict::Act(_), Mode::Enforce) => Some(Stored::as_observed(&decision, observation)),
            (Verdict::Keep(_) | Verdict::Hold(_) | Verdict::Act(_), _) => {
                self.notifications.store_observed(&mut decision, observation, mode, run.now).await
            }
        };
        let Some(stored) = stored else {
            return ReportEntry::overtaken(observation, &decision, run.trigger);
        };
        let mut news = self.notifications.news(decision, stored, observation, run.policy, mode, run.now).await;
        let acted = match (&news.decision.verdict, mode) {
            (Verdict::Keep(_) | Verdict::Hold(_), _) => None,
            (Verdict::Act(_), Mode::Observe) => Some(Acted::without_end(Outcome::WouldApply)),
            (Verdict::Act(plan), Mode::Enforce) => Some(match work(run, plan, &news, observation) {
                Some(work) => actuate(&self.ports, &work).await,
                // A plan is only ever made for a route of the observation.
                None => Acted::without_end(Outcome::Superseded),
            }),
        };
        let outcome = acted.as_ref().map(|acted| &acted.outcome);
        let entry =
            self.notifications.report(&mut news, outcome, observation, run.trigger, &run.policy.failover.paging, run.now).await;
        if let (Verdict::Act(plan), Some(acted)) = (&news.decision.verdict, acted)
            && let Some(work) = work(run, plan, &news, observation)
        {
            end(&self.ports, &work, acted, news.noted).await;
        }
        entry
    }
}

/// A plan with the data that is needed to execute it.
fn work<'a>(run: &'a Run<'_>, plan: &'a Plan, news: &'a News, observation: &'a Observation) -> Option<Work<'a>> {
    Some(Work {
        plan,
        decision: &news.decision,
        route: observation.routes.get(&plan.route)?,
        revision: observation.revision(&plan.route),
        holder: &run.holder,
        window: &run.window,
        cap: run.policy.failover.budget.changes,
        journal: news.journal.as_ref()?,
    })
}
