//! Whether this replica may have an older state than another one, and its part in the registry.

use std::time::Duration;

use uuid::Uuid;

use super::Store;
use crate::evidence::ReplicaReport;
use crate::storage::{LogError, Sequence};

/// The age of the last confirmed read of the log from which a replica is stale: another one answers from a newer state.
const STALE_STATE: Duration = Duration::from_secs(3);

/// The age of the last stored report from which a replica is stale: others treat it as silent.
const STALE_REPORT: Duration = Duration::from_secs(15);

/// Whether the state of this replica is that of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// It is, and the other replicas know this one.
    Current,
    /// Another replica may have a newer state. Proxies get only the versions that they have, so that none goes back.
    Stale,
    /// It has been stale for so long that no proxy may be served.
    Expired,
}

impl Store {
    /// Whether the state is that of the log.
    #[must_use]
    pub(crate) fn freshness(&self) -> Freshness {
        let state = self.shared.age().checked_sub(STALE_STATE);
        let report = self.presence.as_ref().and_then(|_| self.shared.report_age().checked_sub(STALE_REPORT));
        let serve_stale = self.presence.as_ref().map_or(super::SERVE_STALE, |presence| presence.serve_stale());
        match state.max(report) {
            None => Freshness::Current,
            Some(duration) if duration < serve_stale => Freshness::Stale,
            Some(_) => Freshness::Expired,
        }
    }

    /// Whether replicas share the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.presence.is_some()
    }

    /// The id of this replica in the registry; `None` without a shared store.
    pub(crate) fn replica_id(&self) -> Option<Uuid> {
        self.presence.as_ref().map(|presence| presence.id())
    }

    /// Sets how long this replica serves proxies without the store, before it serves any.
    pub(crate) fn set_serve_stale(&self, duration: Duration) {
        if let Some(presence) = &self.presence {
            presence.set_serve_stale(duration);
        }
    }

    /// Replaces the evidence of this replica about its proxies. The state had the sequence before it was collected.
    pub(crate) fn publish_evidence(&self, sequence: Sequence, chunks: Vec<Vec<u8>>) {
        if let Some(presence) = &self.presence {
            presence.publish(sequence, chunks);
        }
    }

    /// The last reports of all other replicas. The read begins after the call.
    pub(crate) async fn other_reports(&self) -> Result<Vec<ReplicaReport>, LogError> {
        match &self.presence {
            Some(presence) => presence.reports().await,
            None => Ok(Vec::new()),
        }
    }
}
