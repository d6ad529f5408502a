//! Reports decisions: the journal, the event bus, and notices to operators.

use std::collections::BTreeSet;

use decisions::failover::{
    Decision, HoldReason, KeepReason, LastNotification, Memory as StoredMemory, NodeRecord, RouteNotification,
    RouteRecord, Subject, Verdict, expected_end, restore_tag, route_notification,
};
use jiff::Timestamp;
use mesh::failures::FailureClass;
use mesh::resource::RouteData;
use mesh::watch::{Expects, NoProgress, Watch, WatchLimits, WatchedDecision, watch};
use policy::{Mode, PagingPolicy, Policy};
use ports::{BusEvent, JournalEntry, Note, Notice, PortError, StateKey, StoreOutcome, Urgency};
use records::{Layout, write_record};
use runner::Run;
use serde_json::{Value, json};

use crate::actuate::{Outcome, clear_tag, tag};
use crate::journal::RecordedDecision;
use crate::memory::{INTERVAL, Memory};
use crate::observe::{Observation, concerns};
use crate::pager::{Pager, late_notice, notice};
use crate::reason::{reason, resource};
use crate::report::ReportEntry;
use crate::trigger::Trigger;
use crate::{NAME, Ports};

/// A decision together with its notifications.
#[derive(Debug)]
pub(crate) struct News {
    /// The decision. Its record already contains the notification as sent.
    pub(crate) decision: Decision,
    /// The content of the journal entry: enough to make the decision again. Unset for a decision that is not new.
    pub(crate) journal: Option<RecordedDecision>,
    /// Whether no notification of an executed change is outstanding.
    pub(crate) noted: bool,
    notification: RouteNotification,
    /// Whether the last notification had the same reason code.
    again: bool,
    /// Set if the decision has not changed for longer than its limit.
    no_progress: Option<NoProgress>,
    stored: Stored,
}

/// The stored state of a decision's subject.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// The route's record; unset for a node.
    record: Option<RouteRecord>,
    /// The record's revision; 0 when none is stored.
    revision: u64,
}

impl Stored {
    /// The stored state as observed.
    pub(crate) fn as_observed(decision: &Decision, observation: &Observation) -> Self {
        match &decision.subject {
            Subject::Route(route) => Self {
                record: remembered(&decision.subject, observation).cloned(),
                revision: observation.revision(route),
            },
            Subject::Node(_) => Self {
                record: None,
                revision: observation.stored(&decision.subject).map_or(0, |stored| stored.revision),
            },
        }
    }
}

/// The failure target under which failures of the event bus are remembered.
const BUS: &str = "the event bus";

/// Sends notifications, and remembers them.
#[derive(Debug)]
pub(crate) struct Notifications {
    ports: Ports,
    pager: Pager,
    memory: Memory,
}

impl Notifications {
    pub(crate) fn new(ports: Ports) -> Self {
        let (pager, memory) = (Pager::new(ports.notifier.clone()), Memory::new(ports.state.clone()));
        Self { ports, pager, memory }
    }

    /// The function's memory apart from routes and nodes.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The sender of pages.
    pub(crate) fn pager(&self) -> &Pager {
        &self.pager
    }

    /// Stores the observed state of a route before any notification about it. Then it completes work that an earlier
    /// process left undone: an unsent note, a missing restore tag, or a restore tag that restores nothing any more.
    /// Returns `None` if another writer changed the record in between, so that the observation is out of date.
    pub(crate) async fn store_observed(
        &self,
        decision: &mut Decision,
        observation: &Observation,
        mode: Mode,
        now: Timestamp,
    ) -> Option<Stored> {
        let mut stored = Stored::as_observed(decision, observation);
        let Subject::Route(route) = &decision.subject else { return Some(stored) };
        if let Some(record) = &mut decision.record {
            record.last_notification = stored.record.as_ref().and_then(|last| last.last_notification.clone());
            if mode == Mode::Observe {
                record.intent = None;
            }
            if stored.record.as_ref() != Some(record) {
                match self.store(StateKey::route(route), stored.revision, write_record(record), None, now).await {
                    Ok(StoreOutcome::Stored) => {
                        stored = Stored { record: Some(record.clone()), revision: stored.revision + 1 };
                    }
                    Ok(StoreOutcome::Overtaken) => return None,
                    Err(error) => {
                        tracing::warn!(%error, %route, "failed to store the observed state of a route");
                        return Some(stored);
                    }
                }
            }
        }
        if let (Some(record), Some(data)) = (&stored.record, observation.routes.get(route)) {
            let may_write = mode == Mode::Enforce && observation.facts.kill_switch.is_none();
            let completed =
                self.complete(record, data, may_write, &resource(&observation.facts.mesh, &decision.subject)).await;
            if completed != *record {
                decision.record = Some(completed);
            }
        }
        Some(stored)
    }

    /// Completes the undone work of a record as far as possible. Returns the updated record.
    async fn complete(&self, record: &RouteRecord, route: &RouteData, may_write: bool, resource: &str) -> RouteRecord {
        let mut completed = record.clone();
        if let Some(owed) = &record.owed
            && self.pager.send(&late_notice(owed, resource, record)).await
        {
            completed.owed = None;
        }
        if may_write && record.stale_tag && clear_tag(&self.ports, route).await {
            completed.stale_tag = false;
        }
        if may_write
            && record.tag_missing
            && let Some(value) = restore_tag(record)
            && tag(&self.ports, route, &value).await
        {
            completed.tag_missing = false;
        }
        completed
    }

    /// Clears the stored notification of nodes without a current decision: their next failure is a new one.
    pub(crate) async fn forget_nodes(&self, observation: &Observation, decided: &BTreeSet<Subject>, now: Timestamp) {
        for node in &observation.notified_nodes() {
            let subject = Subject::Node(node.clone());
            if decided.contains(&subject) {
                continue;
            }
            let revision = observation.stored(&subject).map_or(0, |stored| stored.revision);
            let record = node_document(None);
            if let Err(error) = self.store(observation.key(&subject), revision, record, None, now).await {
                tracing::warn!(%error, %node, "failed to clear the stored notification of a node");
            }
        }
    }

    /// Compares a decision with the last notification, and prepares the new notifications.
    pub(crate) async fn news(
        &self,
        mut decision: Decision,
        stored: Stored,
        observation: &Observation,
        policy: &Policy,
        mode: Mode,
        now: Timestamp,
    ) -> News {
        let name = resource(&observation.facts.mesh, &decision.subject);
        let last = match (self.pager.last(&not_stored(&name)).await, &stored.record, &decision.subject) {
            (Some(last), _, _) => Some(last),
            (None, Some(record), _) => record.last_notification.clone(),
            (None, None, Subject::Node(node)) if observation.is_foreign_node(node) => self.pager.last(&name).await,
            (None, None, Subject::Node(node)) => observation.last_notification(node),
            (None, None, Subject::Route(_)) => self.pager.last(&name).await,
        };
        let paged = stored.record.as_ref().map(|record| record.paged.clone()).unwrap_or_default();
        let mut notification = route_notification(&decision, last.as_ref(), &paged, &policy.failover.paging, now);
        if pages_as_unread(&decision, &name, observation) {
            notification.page = false;
            if let Some(own) = &mut notification.last_notification {
                own.paged = last.as_ref().filter(|last| last.code == own.code).and_then(|last| last.paged);
            }
        }
        // The shift was read from the route's tag: the state table has no record of it.
        notification.news |= remembered(&decision.subject, observation).is_none()
            && decision.record.as_ref().is_some_and(|record| record.shift.restore.is_some());
        let again =
            last.is_some_and(|last| notification.last_notification.as_ref().is_some_and(|own| own.code == last.code));
        if decision.record.is_none() {
            decision.record.clone_from(&stored.record);
        }
        let last_watch = stored.record.as_ref().and_then(|record| record.watch.as_ref());
        let expects = match (&decision.verdict, mode) {
            // A later run shows whether the plan was executed.
            (Verdict::Act(_), Mode::Observe | Mode::Enforce) => Expects::Final,
            (verdict @ (Verdict::Keep(_) | Verdict::Hold(_)), _) => expected_end(verdict),
        };
        let (watched, no_progress) = watched(&decision, &name, last_watch, expects, &policy.failover.paging, now);
        if let Some(record) = &mut decision.record {
            record.last_notification.clone_from(&notification.last_notification);
            record.paged.clone_from(&notification.paged);
            record.watch = watched;
        }
        if let Verdict::Act(plan) = &mut decision.verdict {
            plan.then.last_notification.clone_from(&notification.last_notification);
            plan.then.paged.clone_from(&notification.paged);
            plan.then.watch = None;
        }
        // A change is never made without its entry.
        let journal = if notification.news || matches!(decision.verdict, Verdict::Act(_)) {
            Some(RecordedDecision::new(self.ports.reports.as_ref(), &decision, observation, policy, now).await)
        } else {
            None
        };
        News { decision, journal, noted: true, notification, again, no_progress, stored }
    }

    /// Reports a decision and its outcome. A failed notification is logged, and never blocks or undoes a change.
    pub(crate) async fn report(
        &self,
        run: &Run<'_>,
        news: &mut News,
        outcome: Option<&Outcome>,
        observation: &Observation,
        trigger: &Trigger,
    ) -> ReportEntry {
        let (policy, now) = (&run.policy().failover.paging, run.now());
        let mut entry = ReportEntry::new(observation, &news.decision, outcome);
        // A plan that was reported before and is still not executed is not reported again.
        let is_news = news.notification.news && !(news.again && outcome.is_some_and(Outcome::left_undone));
        entry.shown = is_news
            || !matches!(news.decision.verdict, Verdict::Keep(_))
            || concerns(&news.decision.subject, observation, trigger);
        let (_, _, text) = reason(&news.decision.verdict);
        let written = format!("write {}", entry.line.resource);
        let page = || notice(Urgency::Page, &entry.line, &text);
        match outcome {
            None => {
                if news.notification.page && !self.pager.send(&page()).await {
                    news.unsent();
                } else if is_news && cannot_clear(&news.decision.verdict) {
                    // The page follows if the alarm is unchanged by then.
                    self.pager.send(&notice(Urgency::Note, &entry.line, &text)).await;
                }
            }
            Some(Outcome::Failed { error, may_heal, kind }) => {
                let class = if *may_heal { FailureClass::Transient } else { FailureClass::Permanent };
                run.failures().fail(&written, class, kind.name(), error.clone());
            }
            Some(outcome) if outcome.pages() => {
                let what = format!("{} after {}", entry.line.resource, entry.line.reason);
                self.pager.page(&what, outcome.name(), &page(), policy, now).await;
            }
            Some(outcome) => {
                let happened = !matches!(outcome, Outcome::Refused { .. } | Outcome::Superseded);
                if is_news && happened {
                    // The record of a change that was begun before a crash has its page as sent.
                    let urgency = if news.pages_change() { Urgency::Page } else { Urgency::Note };
                    news.noted = self.pager.send(&notice(urgency, &entry.line, &text)).await;
                }
            }
        }
        if matches!(outcome, Some(Outcome::Applied { .. } | Outcome::AlreadyInPlace)) {
            run.failures().succeeded(&written);
        }
        self.report_standstill(news, outcome, &entry, policy, now).await;
        if is_news {
            self.put(run, &entry, observation, &news.decision.subject).await;
        }
        // After the page: if the process is killed in between, a page is sent twice rather than never.
        let done = match outcome {
            None | Some(Outcome::WouldApply) => self.note(news, is_news, observation, now).await,
            Some(outcome) => !matches!(outcome, Outcome::Refused { .. }),
        };
        if !done && matches!(&news.decision.subject, Subject::Route(route) if trigger.released.contains_key(route)) {
            // Only this event carries the release, so no later run makes up for it.
            entry.retry.get_or_insert_with(|| format!("the release of {} is not stored yet", entry.line.resource));
        }
        entry
    }

    /// Pages a decision that has not changed for longer than its limit: a wait that is overdue, or a plan that is made
    /// again and again and never executed.
    async fn report_standstill(
        &self,
        news: &mut News,
        outcome: Option<&Outcome>,
        entry: &ReportEntry,
        policy: &PagingPolicy,
        now: Timestamp,
    ) {
        let resource = &entry.line.resource;
        let is_refused = outcome.is_some_and(|outcome| match outcome {
            Outcome::Refused { .. } | Outcome::Superseded | Outcome::AlreadyInPlace => true,
            // A failed call is paged separately.
            Outcome::WouldApply | Outcome::Applied { .. } | Outcome::Overwrote { .. } | Outcome::Failed { .. } => false,
        });
        let mut plan = None;
        if is_refused {
            let expects = expected_end(&news.decision.verdict);
            let last = self.memory.plan(resource, now).await;
            let (watched, no_progress) = watched(&news.decision, resource, last.as_ref(), expects, policy, now);
            plan = watched;
            news.no_progress = no_progress;
        }
        self.memory.remember_plan(resource, plan.clone()).await;
        let Some(no_progress) = &news.no_progress else { return };
        tracing::error!(resource, stuck_at = no_progress.stuck_at, "a decision makes no progress");
        let page = Notice {
            urgency: Urgency::Page,
            subject: format!("hold: {} {resource}", NoProgress::CODE),
            body: format!("{no_progress}\n\n{}\n", serde_json::to_string_pretty(no_progress).unwrap_or_default()),
        };
        if !self.pager.send(&page).await {
            let stored = news.decision.record.as_mut().and_then(|record| record.watch.as_mut());
            for watch in stored.into_iter().chain(&mut plan) {
                watch.page_failed();
            }
            self.memory.remember_plan(resource, plan).await;
        }
    }

    /// Stores the notification. Returns whether nothing is left to store.
    async fn note(&self, news: &News, is_news: bool, observation: &Observation, now: Timestamp) -> bool {
        let name = resource(&observation.facts.mesh, &news.decision.subject);
        let document = match (&news.decision.subject, &news.decision.record) {
            (Subject::Node(node), _) if observation.is_foreign_node(node) => {
                self.pager.remember(&name, news.notification.last_notification.clone()).await;
                return true;
            }
            (Subject::Node(_), _) => node_document(news.notification.last_notification.clone()),
            (Subject::Route(_), Some(record)) if is_news || news.stored.record.as_ref() != Some(record) => {
                write_record(record)
            }
            (Subject::Route(_), Some(_)) => return true,
            (Subject::Route(_), None) => {
                self.pager.remember(&name, news.notification.last_notification.clone()).await;
                return true;
            }
        };
        let recorded = news.journal.as_ref().filter(|_| is_news);
        let journal = recorded.map(|recorded| {
            let id = format!("{}-{}", news.stored.revision, reason(&news.decision.verdict).0);
            JournalEntry::new(now, id, &recorded.decided(), Layout::Flat)
        });
        let key = observation.key(&news.decision.subject);
        match self.store(key, news.stored.revision, document, journal, now).await {
            Ok(StoreOutcome::Stored) => {
                self.pager.remember(&not_stored(&name), None).await;
                true
            }
            Ok(StoreOutcome::Overtaken) => {
                tracing::debug!(resource = name, "another process stored the decision, and reports it");
                false
            }
            Err(error) => {
                tracing::warn!(%error, resource = name, "failed to store a notification; this process remembers it");
                // Otherwise the function would page once a minute while the table can be read but not written.
                self.pager.remember(&not_stored(&name), news.notification.last_notification.clone()).await;
                false
            }
        }
    }

    async fn store(
        &self,
        key: StateKey,
        revision: u64,
        document: Value,
        journal: Option<JournalEntry>,
        now: Timestamp,
    ) -> Result<StoreOutcome, PortError> {
        let note = Note { key, revision, now, document, journal };
        self.ports.state.note(&note).await
    }

    async fn put(&self, run: &Run<'_>, entry: &ReportEntry, observation: &Observation, subject: &Subject) {
        let arn = match subject {
            Subject::Route(route) => observation.routes.get(route).map(|route| route.metadata.arn.to_string()),
            Subject::Node(_) => None,
        };
        let event = BusEvent {
            detail_type: "Meshwarden Decision".to_owned(),
            detail: json!({ "function": NAME, "decision": entry.line }),
            resources: arn.into_iter().collect(),
        };
        match self.ports.bus.put(&[event]).await {
            Ok(()) => run.failures().succeeded(BUS),
            Err(error) => {
                tracing::warn!(%error, "failed to put a decision about a route on the event bus");
                run.failures().failed(BUS, &error);
            }
        }
    }
}

impl News {
    /// Whether the notice of an executed change pages.
    fn pages_change(&self) -> bool {
        let by_reason = matches!(&self.decision.verdict, Verdict::Act(plan) if plan.why.pages());
        self.notification.page || by_reason
    }

    /// Clears the time of the page that was not sent, so that the next run sends it.
    fn unsent(&mut self) {
        if let (Some(record), Some(condition)) = (&mut self.decision.record, &self.notification.condition) {
            record.paged.remove(condition);
        }
        let record = self.decision.record.as_mut().and_then(|record| record.last_notification.as_mut());
        for notification in record.into_iter().chain(&mut self.notification.last_notification) {
            notification.paged = None;
        }
    }
}

/// Whether a decision holds because a call for its route failed. That call pages separately, by its class and duration.
fn pages_as_unread(decision: &Decision, name: &str, observation: &Observation) -> bool {
    matches!(&decision.verdict, Verdict::Hold(HoldReason::RecordUnreadable { .. }))
        && observation.unread.iter().any(|(what, _)| what == name)
}

/// Whether a drained node stays so because its alarm cannot clear while it has no requests.
fn cannot_clear(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Keep(KeepReason::AlreadyShifted { stuck, .. }) => !stuck.is_empty(),
        Verdict::Keep(KeepReason::Steady | KeepReason::FailingWithoutTraffic { .. })
        | Verdict::Hold(_)
        | Verdict::Act(_) => false,
    }
}

/// Compares a decision with the earlier decisions about the same resource.
fn watched(
    decision: &Decision,
    name: &str,
    last: Option<&Watch>,
    expects: Expects,
    policy: &PagingPolicy,
    now: Timestamp,
) -> (Option<Watch>, Option<NoProgress>) {
    let (code, facts, text) = reason(&decision.verdict);
    let plan = match &decision.verdict {
        Verdict::Act(plan) => Some(plan.id.as_str()),
        Verdict::Keep(_) | Verdict::Hold(_) => None,
    };
    let command = match &decision.subject {
        Subject::Route(route) => format!("meshwarden explain {name}; meshwarden restore {route}"),
        Subject::Node(_) => format!("meshwarden explain {name}"),
    };
    let watched =
        WatchedDecision { subject: name, code: &code, facts: &facts, plan, expects, text: &text, command: &command };
    let limits = WatchLimits { interval: INTERVAL, repeat: policy.remind_after.get() };
    watch(last, &watched, &limits, now)
}

/// The key under which this process remembers a notification that it could not store.
fn not_stored(resource: &str) -> String {
    format!("{resource}, not stored")
}

fn node_document(notification: Option<LastNotification>) -> Value {
    write_record(&NodeRecord { last_notification: notification, watch: None })
}

/// The route's record as observed; `None` for a node.
fn remembered<'a>(subject: &Subject, observation: &'a Observation) -> Option<&'a RouteRecord> {
    let Subject::Route(id) = subject else { return None };
    let route = observation.facts.routes.iter().find(|route| route.id == *id)?;
    match &route.memory {
        StoredMemory::Record(record) => Some(record),
        StoredMemory::None | StoredMemory::Unreadable(_) => None,
    }
}
