//! The function: event, observe, decide, plan, actuate, report.

use std::collections::BTreeSet;

use decisions::failover::{
    AlarmInput, Decision, ForeignAlarm, Plan, Recipient, Subject, Verdict, decide, unanswered_alarms,
};
use futures::stream::{self, StreamExt};
use jiff::SignedDuration;
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::name::{MeshName, ResourcePath, RouteId};
use mesh::split::WeightSplit;
use policy::{Mode, RuleId};
use ports::{BudgetWindow, PortError};
use runner::events::{AlarmEvent, Delivery};
use runner::{LambdaFunction, RequestedBy, Run, WorkItem};
use tokio::sync::Mutex;

use crate::actuate::{Acted, Outcome, Work, actuate, end};
use crate::alarms::{self, Alarms};
use crate::memory::INTERVAL;
use crate::notifications::{News, Notifications, Stored};
use crate::observe::{self, MeshesToRead, Observation, Warm};
use crate::origin;
use crate::read_context::ReadContext;
use crate::report::{ReportEntry, is_stale};
use crate::trigger::Trigger;
use crate::{NAME, Ports};

/// How often the function observes and decides a route that another writer changed in between. After that,
/// Lambda retries.
const ATTEMPTS: usize = 3;

/// Routes changed at a time: enough for a node that is a target of many routes, and below App Mesh's write limits. App
/// Mesh's own controller writes at up to 8 a second.
const ROUTES_AT_A_TIME: usize = 4;

/// The subject of the search for meshes without alarms.
const SURVEY: &str = "meshes";

/// The function route-failover.
#[derive(Debug)]
pub struct RouteFailover {
    ports: Ports,
    warm: Mutex<Warm>,
    notifications: Notifications,
    recipient: Recipient,
}

/// One invocation, after its alarms are read.
struct Invocation<'a> {
    run: &'a Run<'a>,
    trigger: &'a Trigger,
    window: &'a BudgetWindow,
    alarms: &'a Alarms,
}

impl<'a> Invocation<'a> {
    fn context(&self) -> ReadContext<'a> {
        read_context(self.run, self.trigger, self.window)
    }

    /// The deliveries that requested work on a resource.
    fn requested_by(&self, resource: &str) -> RequestedBy {
        self.trigger.requested_by(resource, |alarm| self.alarms.meshes_of(alarm))
    }

    /// Reports a resource that could not be read.
    fn unread(&self, resource: &str, error: &PortError) {
        self.run.failures().failed(resource, error);
        let item = WorkItem { subject: resource.to_owned(), requested_by: self.requested_by(resource) };
        self.run.unread(&item, error);
    }

    fn report(&self, entry: ReportEntry) {
        let requested_by = self.requested_by(&entry.line.resource);
        entry.add_to(self.run, &requested_by);
    }
}

fn read_context<'a>(run: &'a Run<'_>, trigger: &'a Trigger, window: &'a BudgetWindow) -> ReadContext<'a> {
    ReadContext { trigger, policy: &run.policy().failover, window, now: run.now() }
}

impl RouteFailover {
    pub(crate) fn new(ports: Ports, recipient: Recipient) -> Self {
        Self { notifications: Notifications::new(ports.clone()), ports, warm: Mutex::default(), recipient }
    }
}

impl LambdaFunction for RouteFailover {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = INTERVAL;
    // Until the alarms are read, any of them may be in `ALARM`.
    const IS_URGENT: bool = true;

    fn name(&self) -> &'static str {
        NAME
    }

    // 1. Event
    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(deliveries)
    }

    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        let window = run.window(&run.policy().failover.budget);
        let item = WorkItem { subject: "alarms".to_owned(), requested_by: trigger.all() };
        let read = {
            let mut warm = self.warm.lock().await;
            let policy = &run.policy().failover;
            alarms::alarms(&self.ports, &mut warm.alarms, trigger, policy, run.now()).await
        };
        let Ok(alarms) = run.read(&item, read) else { return run.observed_nothing() };
        let invocation = Invocation { run, trigger, window: &window, alarms: &alarms };
        let foreign = origin::foreign(trigger.deliveries(), &alarms.read, self.recipient.region.as_deref());
        let is_all_foreign = !foreign.is_empty() && foreign.len() == trigger.deliveries().len();
        if !is_all_foreign {
            self.reconcile(&invocation).await;
        }
        self.report_unanswered(&invocation, &foreign).await;
        if let Some(error) = self.notifications.memory().unreadable().await {
            run.unreadable(&format!("document/{}", error.key()), &error);
        }
        run.withheld(self.notifications.memory().take_withheld().await);
    }
}

impl RouteFailover {
    async fn reconcile(&self, invocation: &Invocation<'_>) {
        let run = invocation.run;
        for (alarm, error) in &invocation.alarms.unread {
            invocation.unread(&format!("alarm/{alarm}"), error);
        }
        let (mut observed, mut unread) = (0_usize, 0_usize);
        let MeshesToRead { meshes, survey } =
            observe::meshes(&self.ports, &self.warm, invocation.alarms, invocation.context()).await;
        if let Some(survey) = survey {
            // The next scheduled run makes a failed search again; no alarm depends on it, so no delivery is repeated.
            let item = WorkItem { subject: SURVEY.to_owned(), requested_by: RequestedBy::default() };
            drop(run.read(&item, survey));
        }
        for mesh in meshes {
            let subject = ResourcePath::Mesh(mesh.clone()).to_string();
            let reconciled = self.reconcile_mesh(invocation, &mesh).await;
            let item = WorkItem { requested_by: invocation.requested_by(&subject), subject };
            match run.read(&item, reconciled) {
                Ok(()) => observed += 1,
                Err(_) => unread += 1,
            }
        }
        if observed == 0 && unread > 0 {
            run.observed_nothing();
        }
    }

    /// Reports alarms in `ALARM` that lead to no decision. It runs after everything else, so that no failover waits
    /// for it.
    async fn report_unanswered(&self, invocation: &Invocation<'_>, foreign: &[&AlarmEvent]) {
        let Invocation { run, trigger, window, alarms } = invocation;
        let memory = self.notifications.memory();
        if trigger.tick {
            memory.read_once(window, run.now()).await;
        }
        let is_foreign = |name: &AlarmName| foreign.iter().any(|alarm| alarm.name == *name);
        let named: BTreeSet<AlarmName> = trigger.alarms.iter().filter(|name| !is_foreign(name)).cloned().collect();
        let only_by_bus = named.difference(&trigger.by_action).cloned().collect();
        let elsewhere: Vec<ForeignAlarm> = foreign.iter().map(|alarm| origin::foreign_alarm(alarm)).collect();
        let unanswered = unanswered_alarms(&AlarmInput {
            alarms: &alarms.read,
            targets: &alarms.targets,
            tags: &alarms.tags,
            policy: &run.policy().failover,
            named: &named,
            only_by_bus: &only_by_bus,
            foreign: &elsewhere,
            named_before: &memory.named_before().await,
            recipient: &self.recipient,
        });
        let is_on =
            |alarm: &Alarm| alarm.state == AlarmState::Alarm && !alarms.targets.targets_of(&alarm.name).is_empty();
        run.failures().set_urgent(alarms.read.iter().any(is_on));
        memory.settle(self.notifications.pager(), run, &unanswered, trigger.tick).await;
        for entry in ReportEntry::not_failures(&named, alarms) {
            invocation.report(entry);
        }
        for alarm in &unanswered {
            invocation.report(ReportEntry::unanswered(alarm));
        }
    }

    /// Observes, decides and acts until no other writer interferes, at most [`ATTEMPTS`] times.
    async fn reconcile_mesh(&self, invocation: &Invocation<'_>, mesh: &MeshName) -> Result<(), PortError> {
        let run = invocation.run;
        let mut again: Option<BTreeSet<Subject>> = None;
        for attempt in 1..=ATTEMPTS {
            let observation =
                observe::mesh(&self.ports, &self.warm, mesh, invocation.alarms, invocation.context()).await?;
            let harms = |route: &RouteId, split: &WeightSplit| observation.harms(route, split);
            let mut decisions = decide(&observation.facts, &harms, run.policy(), run.now());
            decisions.retain(|decision| again.as_ref().is_none_or(|again| again.contains(&decision.subject)));
            let decided: BTreeSet<Subject> = decisions.iter().map(|decision| decision.subject.clone()).collect();
            let done: Vec<ReportEntry> = stream::iter(decisions)
                .map(|decision| self.execute(invocation, decision, &observation))
                .buffered(ROUTES_AT_A_TIME)
                .collect()
                .await;
            if attempt == 1 {
                self.notifications.forget_nodes(&observation, &decided, run.now()).await;
                for (resource, error) in &observation.unread {
                    invocation.unread(resource, error);
                }
            }
            let is_last = attempt == ATTEMPTS;
            let (superseded, done): (Vec<_>, Vec<_>) = done.into_iter().partition(|entry| entry.superseded && !is_last);
            for entry in done {
                invocation.report(entry);
            }
            if superseded.is_empty() {
                break;
            }
            again = Some(superseded.into_iter().filter_map(|entry| entry.subject).collect());
        }
        Ok(())
    }

    /// Executes a decision where the mode allows it, and reports it.
    async fn execute(
        &self,
        invocation: &Invocation<'_>,
        mut decision: Decision,
        observation: &Observation,
    ) -> ReportEntry {
        let Invocation { run, trigger, window, .. } = invocation;
        if is_stale(&decision) {
            // No notification: the route is re-read at once.
            return ReportEntry::new(observation, &decision, None);
        }
        let mode = run.policy().modes.mode(RuleId::RouteFailover, &observation.facts.mesh);
        let stored = match (&decision.verdict, mode) {
            // The plan begins with its own conditional write.
            (Verdict::Act(_), Mode::Enforce) => Some(Stored::as_observed(&decision, observation)),
            (Verdict::Keep(_) | Verdict::Hold(_) | Verdict::Act(_), _) => {
                self.notifications.store_observed(&mut decision, observation, mode, run.now()).await
            }
        };
        let Some(stored) = stored else {
            return ReportEntry::overtaken(observation, &decision, trigger);
        };
        let mut news = self.notifications.news(decision, stored, observation, run.policy(), mode, run.now()).await;
        let acted = match (&news.decision.verdict, mode) {
            (Verdict::Keep(_) | Verdict::Hold(_), _) => None,
            (Verdict::Act(_), Mode::Observe) => Some(Acted::without_end(Outcome::WouldApply)),
            (Verdict::Act(plan), Mode::Enforce) => Some(match work(run, window, plan, &news, observation) {
                Some(work) => actuate(&self.ports, &work).await,
                // A plan is only ever made for a route of the observation.
                None => Acted::without_end(Outcome::Superseded),
            }),
        };
        let outcome = acted.as_ref().map(|acted| &acted.outcome);
        let entry = self.notifications.report(run, &mut news, outcome, observation, trigger).await;
        if let (Verdict::Act(plan), Some(acted)) = (&news.decision.verdict, acted)
            && let Some(work) = work(run, window, plan, &news, observation)
        {
            end(&self.ports, &work, acted, news.noted).await;
        }
        entry
    }
}

/// A plan with the data that is needed to execute it.
fn work<'a>(
    run: &'a Run<'_>,
    window: &'a BudgetWindow,
    plan: &'a Plan,
    news: &'a News,
    observation: &'a Observation,
) -> Option<Work<'a>> {
    Some(Work {
        plan,
        decision: &news.decision,
        route: observation.routes.get(&plan.route)?,
        revision: observation.revision(&plan.route),
        holder: run.holder(),
        window,
        cap: run.policy().failover.budget.changes,
        journal: news.journal.as_ref()?,
    })
}
