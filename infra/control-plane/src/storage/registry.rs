//! The replicas of a shared store, as each of them reports itself.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::log::{LogError, Sequence};

/// Whether a replica is running, by its own report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// It is running, unless its beat stands still.
    Live,
    /// It has ended in order.
    Stopped,
}

/// The report of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRecord {
    /// The replica, drawn at the start of each process.
    pub id: Uuid,
    /// Whether it is running.
    pub state: ReplicaState,
    /// Increased by each report. A replica with a beat that stands still is silent, also if its state is live.
    pub beat: u64,
    /// The last entry that it has applied.
    pub sequence: Sequence,
    /// The mean duration of its appends, if it has appended.
    pub mean_append: Option<Duration>,
    /// Its release.
    pub release: String,
}

/// The list of replicas in a shared store.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync {
    /// Stores the report of a replica, replacing its last one.
    async fn report(&self, record: &ReplicaRecord) -> Result<(), LogError>;

    /// The last report of every replica. The read begins after the call.
    async fn list(&self) -> Result<Vec<ReplicaRecord>, LogError>;

    /// Removes the report of a replica that is known to have ended.
    async fn remove(&self, id: Uuid) -> Result<(), LogError>;

    /// Whether the store is still the one that was opened: fails as invalid if it was replaced by another one.
    async fn check(&self) -> Result<(), LogError>;
}
