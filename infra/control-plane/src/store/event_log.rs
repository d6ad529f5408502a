//! The change events that are stored with writes, and what their senders need of a shared store.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rules::pack::Finding;
use tokio::sync::watch;
use uuid::Uuid;

use super::Store;
use crate::state::Answer;
use crate::storage::{EventCursors, Log, Sequence};

/// Describes an accepted write, by its answer, the findings that it creates and its time: the change events that are stored
/// with the write, as JSON documents without an id.
#[derive(Clone)]
pub(crate) struct EventDraft(pub(super) Arc<DescribeWrite>);

type DescribeWrite = dyn Fn(&Answer, &[Finding], Timestamp) -> Vec<String> + Send + Sync;

impl EventDraft {
    /// Describes writes with this function.
    pub(crate) fn new(
        describe: impl Fn(&Answer, &[Finding], Timestamp) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(describe))
    }
}

impl fmt::Debug for EventDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventDraft")
    }
}

/// The log of a shared store, for senders of its change events.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) cursors: Arc<dyn EventCursors>,
    /// This replica.
    pub(crate) replica: Uuid,
    /// The last entry that this replica has applied.
    pub(crate) head: watch::Receiver<Sequence>,
}

impl Store {
    /// The log with the change events of all replicas; `None` without a shared store.
    pub(crate) fn event_log(&self) -> Option<EventLog> {
        let presence = self.presence.as_ref()?;
        Some(EventLog {
            log: Arc::clone(&self.shared.log),
            cursors: presence.cursors(),
            replica: presence.id(),
            head: self.shared.head.subscribe(),
        })
    }
}
