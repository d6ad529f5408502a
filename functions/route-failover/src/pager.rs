//! Sends notices to operators, no more often than the policy allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use decisions::failover::{LastNotification, OwedNote, RouteRecord};
use jiff::Timestamp;
use policy::PagingPolicy;
use ports::{Notice, Notifier, Urgency};
use tokio::sync::Mutex;

/// Sends notices, and remembers the notices about subjects without a record in the state table.
#[derive(Debug)]
pub(crate) struct Pager {
    notifier: Arc<dyn Notifier>,
    /// Only a warm function has this data: after a cold start, a notice may repeat.
    sent: Mutex<BTreeMap<String, LastNotification>>,
}

impl Pager {
    pub(crate) fn new(notifier: Arc<dyn Notifier>) -> Self {
        Self { notifier, sent: Mutex::default() }
    }

    /// The last notice about a subject.
    pub(crate) async fn last(&self, what: &str) -> Option<LastNotification> {
        self.sent.lock().await.get(what).cloned()
    }

    /// Remembers the last notice about a subject; `None` removes it.
    pub(crate) async fn remember(&self, what: &str, notification: Option<LastNotification>) {
        let mut memory = self.sent.lock().await;
        match notification {
            Some(notification) => memory.insert(what.to_owned(), notification),
            None => memory.remove(what),
        };
    }

    /// Sends a page, unless the same page was sent within the policy's `repeat_after`.
    pub(crate) async fn page(&self, what: &str, code: &str, notice: &Notice, policy: &PagingPolicy, now: Timestamp) {
        let known = self.last(what).await.filter(|last| last.code == code);
        let paged = known.and_then(|last| last.paged);
        if paged.is_none_or(|paged| paged + policy.repeat_after.get() <= now) && self.send(notice).await {
            let notification = LastNotification { code: code.to_owned(), since: now, repeats: 0, paged: Some(now) };
            self.remember(what, Some(notification)).await;
        }
    }

    /// Sends a notice. Returns whether it was sent.
    pub(crate) async fn send(&self, notice: &Notice) -> bool {
        match self.notifier.notify(notice).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, subject = notice.subject, "failed to send a notification about a route or an alarm");
                false
            }
        }
    }
}

/// The notice for a line of the report.
pub(crate) fn notice(urgency: Urgency, line: &runner::Decision, text: &str) -> Notice {
    let facts = serde_json::to_string_pretty(line).unwrap_or_default();
    Notice {
        urgency,
        subject: format!("{}: {} {}", line.decision, line.reason, line.resource),
        body: format!("{text}\n\n{facts}\n"),
    }
}

/// The notice for a change when the process that made the change could not send it, or for a declared write.
pub(crate) fn late_notice(owed: &OwedNote, resource: &str, record: &RouteRecord) -> Notice {
    let OwedNote { code, text } = owed;
    let why_late = if owed.is_own_change() {
        "This notification is late: the process that made the change was interrupted. "
    } else {
        ""
    };
    let body = format!("{text}\n\n{why_late}The weights were {}.\n", record.split);
    let urgency = if owed.pages() { Urgency::Page } else { Urgency::Note };
    Notice { urgency, subject: format!("act: {code} {resource}"), body }
}
