//! The function's memory apart from routes and nodes: alarms that lead to no decision, and plans that were not executed.
//!
//! The document is read only when an entry is to be reported or removed, and written only when it has changed. A quiet
//! run makes no call for it. The function re-reads the document before it sends a page: another process may have just
//! sent the same page.
//!
//! A page that the state table does not accept is withheld: each new process would send it again. The alarm on the
//! metric `PagesWithheld` reports it. The page about an alarm in `ALARM` is sent nevertheless: a duplicate page is better
//! than no page while traffic stays on a failing node.
//!
//! A stored document that cannot be read, or has a newer format, is never overwritten. It counts as a separate withheld
//! page until an operator repairs or resets it. No decision about a route depends on the document.

use std::collections::BTreeSet;
use std::sync::Arc;

use decisions::failover::{FunctionRecord, HeldAlarm, LastNotification, UnansweredAlarm, Wiring};
use jiff::{SignedDuration, Timestamp};
use mesh::alarm::AlarmName;
use mesh::watch::Watch;
use policy::PagingPolicy;
use ports::{BudgetWindow, DocumentError, Note, Notice, StateKey, StateStore, StoreOutcome, Urgency};
use records::{read_record, write_record};
use runner::Run;
use tokio::sync::Mutex;

use crate::NAME;
use crate::pager::{Pager, notice};
use crate::report::ReportEntry;

/// How often the scheduled run takes place.
pub(crate) const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Runs at most this far apart count as consecutive: one lost run must not hide that a failure lasts.
const IN_A_ROW: SignedDuration = SignedDuration::from_mins(3);

/// The memory of one process, which it shares with other processes through the state table.
#[derive(Debug)]
pub(crate) struct Memory {
    state: Arc<dyn StateStore>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    record: FunctionRecord,
    /// The document as stored in the state table; unset while that is not known.
    stored: Option<(u64, FunctionRecord)>,
    /// Why the stored document cannot be read; `None` if it can, or was not read yet.
    unreadable: Option<DocumentError>,
    /// The number of pages that this invocation withheld.
    withheld: u32,
}

impl Memory {
    pub(crate) fn new(state: Arc<dyn StateStore>) -> Self {
        Self { state, kept: Mutex::default() }
    }

    /// The alarms that events named in earlier runs and that have led to no decision since.
    pub(crate) async fn named_before(&self) -> BTreeSet<AlarmName> {
        let kept = self.kept.lock().await;
        let named =
            kept.record.alarms.iter().filter(|(_, held)| held.named && held.last_notification.code != "OtherAccount");
        named.filter_map(|(name, _)| AlarmName::parse(name).ok()).collect()
    }

    /// The watch of a plan that was made and not executed. The first call in a process reads the document that other
    /// processes have stored.
    pub(crate) async fn plan(&self, resource: &str, now: Timestamp) -> Option<Watch> {
        let mut kept = self.kept.lock().await;
        if kept.stored.is_none() {
            // Every load has to name a window; this call spends no budget.
            let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
            self.read(&mut kept, &window, now).await;
        }
        // An old entry belongs to another plan: another process may have executed it since.
        let is_in_a_row = |watch: &&Watch| now.duration_since(watch.last_run) <= IN_A_ROW;
        kept.record.plans.get(resource).filter(is_in_a_row).cloned()
    }

    /// Remembers a plan that was made and not executed; `None` removes it.
    pub(crate) async fn remember_plan(&self, resource: &str, plan: Option<Watch>) {
        let plans = &mut self.kept.lock().await.record.plans;
        match plan {
            Some(plan) => plans.insert(resource.to_owned(), plan),
            None => plans.remove(resource),
        };
    }

    /// Reads the document that other processes have stored, once per process.
    pub(crate) async fn read_once(&self, window: &BudgetWindow, now: Timestamp) {
        let mut kept = self.kept.lock().await;
        if kept.stored.is_none() {
            self.read(&mut kept, window, now).await;
        }
    }

    /// Pages the due alarms, removes entries that are over, and stores the document if it has changed. `unanswered` are
    /// the alarms that lead to no decision. If every alarm was read (`is_complete`), any other alarm is not a hold
    /// any more.
    pub(crate) async fn settle(&self, pager: &Pager, run: &Run<'_>, unanswered: &[UnansweredAlarm], is_complete: bool) {
        let (policy, now) = (&run.policy().failover.paging, run.now());
        let window = run.window(&run.policy().failover.budget);
        let mut kept = self.kept.lock().await;
        if unanswered.iter().any(|alarm| kept.is_due(alarm, policy, now)) {
            self.read(&mut kept, &window, now).await;
        }
        for alarm in unanswered {
            let mut sent = false;
            if kept.is_due(alarm, policy, now) {
                let notice = notice(Urgency::Page, &ReportEntry::unanswered(alarm).line, &text(alarm));
                let can_send = alarm.in_alarm || self.is_storable(&mut kept, &window, now).await;
                if !can_send {
                    kept.withhold(&notice);
                } else if kept.is_due(alarm, policy, now) {
                    // Another process may have sent it in the meantime.
                    sent = pager.send(&notice).await;
                }
            }
            kept.remember(alarm, sent, now);
        }
        let held: BTreeSet<&str> = unanswered.iter().map(|alarm| alarm.alarm.as_str()).collect();
        kept.record.alarms.retain(|name, alarm| {
            // An alarm that no run reads, such as an alarm of another account, is removed by age.
            let is_recent = now
                < alarm.last_notification.paged.unwrap_or(alarm.last_notification.since) + policy.remind_after.get();
            held.contains(name.as_str())
                || is_recent && (!is_complete || alarm.last_notification.code == "OtherAccount")
        });
        kept.record.plans.retain(|_, plan| now.duration_since(plan.last_run) < policy.remind_after.get());
        let is_new = kept
            .stored
            .as_ref()
            .map_or_else(|| kept.record != FunctionRecord::default(), |(_, stored)| *stored != kept.record);
        if is_new {
            self.store(&mut kept, &window, now).await;
        }
    }

    /// Why the stored document cannot be read; `None` if it can, or was not read yet.
    pub(crate) async fn unreadable(&self) -> Option<DocumentError> {
        self.kept.lock().await.unreadable.clone()
    }

    /// The number of pages that were withheld since the previous call; resets it.
    pub(crate) async fn take_withheld(&self) -> u32 {
        std::mem::take(&mut self.kept.lock().await.withheld)
    }

    /// Stores the record, and returns whether the state table accepted it. A record that another process stored in the
    /// meantime is merged first.
    async fn is_storable(&self, kept: &mut Kept, window: &BudgetWindow, now: Timestamp) -> bool {
        match self.store(kept, window, now).await {
            Some(StoreOutcome::Stored) => true,
            Some(StoreOutcome::Overtaken) => {
                matches!(self.store(kept, window, now).await, Some(StoreOutcome::Stored))
            }
            None => false,
        }
    }

    async fn read(&self, kept: &mut Kept, window: &BudgetWindow, now: Timestamp) {
        let key = StateKey::meshes(NAME);
        let view = match self.state.load(std::slice::from_ref(&key), window).await {
            Ok(view) => view,
            Err(error) => {
                tracing::warn!(%error, "failed to read the function's memory; pages may repeat");
                return;
            }
        };
        kept.unreadable = None;
        let Some(stored) = view.documents.get(&key) else {
            kept.stored = Some((0, FunctionRecord::default()));
            return;
        };
        match read_record::<FunctionRecord>(&key, &stored.document) {
            Ok(record) => {
                kept.stored = Some((stored.revision, record.clone()));
                kept.merge(record, now);
            }
            // Without a known revision, nothing is stored.
            Err(error) => kept.unreadable = Some(error),
        }
    }

    /// Stores the document; `None` if that fails.
    async fn store(&self, kept: &mut Kept, window: &BudgetWindow, now: Timestamp) -> Option<StoreOutcome> {
        if kept.stored.is_none() {
            self.read(kept, window, now).await;
        }
        let (revision, _) = kept.stored.as_ref()?;
        let document = write_record(&kept.record);
        let note = Note { key: StateKey::meshes(NAME), revision: *revision, now, document, journal: None };
        match self.state.note(&note).await {
            Ok(StoreOutcome::Stored) => {
                kept.stored = Some((revision + 1, kept.record.clone()));
                Some(StoreOutcome::Stored)
            }
            // Another process stored its own document; the next store merges with it.
            Ok(StoreOutcome::Overtaken) => {
                kept.stored = None;
                Some(StoreOutcome::Overtaken)
            }
            Err(error) => {
                tracing::warn!(%error, "failed to store the function's memory; this process keeps it");
                None
            }
        }
    }
}

impl Kept {
    /// Logs a page that cannot be remembered instead of sending it.
    fn withhold(&mut self, page: &Notice) {
        self.withheld += 1;
        tracing::error!(
            subject = page.subject,
            body = page.body,
            "withheld a page about routes and alarms that cannot be remembered; the alarm on PagesWithheld reports it"
        );
    }

    /// Merges the document of another process. For each alarm, the latest page counts; for each plan, the latest watch.
    fn merge(&mut self, stored: FunctionRecord, now: Timestamp) {
        for (name, other) in stored.alarms {
            match self.record.alarms.get_mut(&name) {
                Some(own) => {
                    own.last_notification.paged = own.last_notification.paged.max(other.last_notification.paged);
                    own.named |= other.named;
                }
                None => drop(self.record.alarms.insert(name, other)),
            }
        }
        for (resource, other) in stored.plans {
            let own = self.record.plans.entry(resource).or_insert_with(|| other.clone());
            if other.last_run > own.last_run {
                *own = other;
            }
        }
        self.record.unknown = stored.unknown;
        tracing::debug!(%now, "read what other processes remember");
    }

    fn is_due(&self, alarm: &UnansweredAlarm, policy: &PagingPolicy, now: Timestamp) -> bool {
        // An alarm of another application: the log reports it, and the operators of this function are not paged.
        if alarm.wiring == Wiring::Bus {
            return false;
        }
        let only_named = alarm.wiring == Wiring::Event;
        // An event may have named an alarm that has since cleared or been deleted; no operator has to act on that.
        if !alarm.in_alarm && only_named {
            return false;
        }
        // An alarm that only an event ties to this function may belong to another application: it is paged at the
        // slower interval.
        let again_after = if alarm.in_alarm && !only_named { policy.repeat_after } else { policy.remind_after };
        let last = self
            .record
            .alarms
            .get(alarm.alarm.as_str())
            .filter(|held| held.last_notification.code == alarm.reason.code());
        last.and_then(|held| held.last_notification.paged).is_none_or(|paged| paged + again_after.get() <= now)
    }

    fn remember(&mut self, alarm: &UnansweredAlarm, paged: bool, now: Timestamp) {
        if alarm.wiring == Wiring::Bus || !alarm.in_alarm && alarm.wiring == Wiring::Event {
            return;
        }
        let code = alarm.reason.code();
        let last = self.record.alarms.get(alarm.alarm.as_str()).filter(|held| held.last_notification.code == code);
        let named = alarm.wiring == Wiring::Event || last.is_some_and(|held| held.named);
        let mut notification = last.map_or_else(
            || LastNotification { code: code.clone(), since: now, repeats: 0, paged: None },
            |held| held.last_notification.clone(),
        );
        if paged {
            notification.paged = Some(now);
        }
        self.record.alarms.insert(alarm.alarm.to_string(), HeldAlarm { last_notification: notification, named });
    }
}

fn text(alarm: &UnansweredAlarm) -> String {
    format!("{alarm}.\nTo resolve it: {}", alarm.remedy())
}
