//! Tells people, and no more often than they asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::policy::PagingPolicy;
use ports::{Notice, Notifier};
use tokio::sync::Mutex;

/// Sends notices, and remembers which pages went out.
#[derive(Debug)]
pub(crate) struct Pager {
    notifier: Arc<dyn Notifier>,
    /// Kept by a warm function only: after a cold start something may be said once more.
    paged: Mutex<BTreeMap<String, Timestamp>>,
}

impl Pager {
    pub(crate) fn new(notifier: Arc<dyn Notifier>) -> Self {
        Self { notifier, paged: Mutex::default() }
    }

    /// Pages, unless it did so for the same not long ago.
    pub(crate) async fn page(&self, what: &str, notice: &Notice, policy: &PagingPolicy, now: Timestamp) {
        let last = self.paged.lock().await.get(what).copied();
        if last.is_none_or(|last| last + policy.repeat_after.get() <= now) && self.send(notice).await {
            self.paged.lock().await.insert(what.to_owned(), now);
        }
    }

    /// It works (again): the next failure is a new one.
    pub(crate) async fn works(&self, what: &str) {
        self.paged.lock().await.remove(what);
    }

    /// Sends a notice; tells whether it went out.
    pub(crate) async fn send(&self, notice: &Notice) -> bool {
        match self.notifier.notify(notice).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, subject = notice.subject, "nobody could be told");
                false
            }
        }
    }
}
