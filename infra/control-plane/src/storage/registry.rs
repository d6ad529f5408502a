//! The replicas of a shared store, as each of them reports itself.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::cursors::EventCursors;
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
    /// How long it serves proxies while it cannot read the store.
    pub serve_stale: Duration,
    /// The generation of each chunk of its evidence; `None` if it reports none, as earlier releases.
    pub chunks: Option<Vec<u64>>,
    /// The newest format of the store that it reads.
    pub reads: u64,
}

/// A part of the evidence of a replica about its proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceChunk {
    /// The position of the chunk.
    pub number: u64,
    /// Increased by each change. A chunk belongs to a report that names its generation, and to no other.
    pub generation: u64,
    /// The encoded facts.
    pub body: Vec<u8>,
}

/// The list of replicas in a shared store.
#[async_trait]
pub trait Registry: EventCursors {
    /// Stores the changed chunks of a replica, and then its report. A chunk or report that arrives late never replaces a
    /// later one.
    async fn report(&self, record: &ReplicaRecord, changed: &[EvidenceChunk]) -> Result<(), LogError>;

    /// The last report of every replica. The read begins after the call.
    async fn list(&self) -> Result<Vec<ReplicaRecord>, LogError>;

    /// The stored chunks of a replica, in the order of their numbers. The read begins after the call. Chunks beyond those
    /// of the last report may follow.
    async fn chunks(&self, id: Uuid) -> Result<Vec<EvidenceChunk>, LogError>;

    /// Removes the report and the chunks of a replica that is known to have ended.
    async fn remove(&self, id: Uuid) -> Result<(), LogError>;

    /// Whether the store is still the one that was opened: fails as invalid if it was replaced by another one.
    async fn check(&self) -> Result<(), LogError>;
}
