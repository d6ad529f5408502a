//! The ordered log of writes: what every store offers to the replicas that share it.
//!
//! An entry holds outcomes, not requests, so that replicas of different releases reach the same state. At each sequence
//! there is one entry for all time: an append to a used sequence returns the entry that is there.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::digest::Digest;
use super::error::CommitError;
use crate::state::Record;

/// The position of an entry in the log; the first entry has 1.
pub type Sequence = u64;

/// The process that appended an entry, and the number that it gave the entry. No two entries have the same origin: a
/// process that does not know whether its append succeeded sends the identical entry again, and recognises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryOrigin {
    /// The writer, drawn at the start of each process.
    pub writer: Uuid,
    /// The writer's number of the entry.
    pub number: u64,
}

/// The outcomes of a group of writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The position in the log.
    pub sequence: Sequence,
    /// The origin.
    pub origin: EntryOrigin,
    /// The writer's time, or that of the previous entry if it is later: time never goes back in a log.
    pub time: Timestamp,
    /// The digest of the state after this entry.
    pub digest: Digest,
    /// The records, in the order of the writes.
    pub records: Arc<[Record]>,
    /// The change events of the writes, in their order, as JSON documents without an id. They are no part of the state;
    /// a log of one process does not store them.
    pub events: Arc<[String]>,
}

/// The content of the log at one sequence.
#[derive(Debug, Clone, PartialEq)]
pub enum LogItem {
    /// The entry.
    Entry(Entry),
    /// The entry was emptied, since a snapshot contains its effect. Its position stays used: an emptied position still
    /// refuses an append by a process that was paused before it.
    Emptied(EntryOrigin),
}

impl LogItem {
    /// The origin of the entry, whether it was emptied or not.
    #[must_use]
    pub const fn origin(&self) -> EntryOrigin {
        match self {
            Self::Entry(entry) => entry.origin,
            Self::Emptied(origin) => *origin,
        }
    }
}

/// The result of an append.
#[derive(Debug, Clone, PartialEq)]
pub enum Appended {
    /// The entry is stored.
    Done,
    /// The position was used already.
    Taken(LogItem),
}

/// A part of the log, without gaps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogPage {
    /// The items after the requested sequence.
    pub items: Vec<LogItem>,
    /// Whether more items follow.
    pub more: bool,
}

/// The state at one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The last entry that it contains; 0 for the empty state.
    pub sequence: Sequence,
    /// The time of that entry.
    pub time: Timestamp,
    /// The digest of the records.
    pub digest: Digest,
    /// The records.
    pub records: Vec<Record>,
}

/// A log of entries.
#[async_trait]
pub trait Log: fmt::Debug + Send + Sync {
    /// Whether other processes may append to the log.
    fn is_shared(&self) -> bool;

    /// Whether an append waits for a device or a network, so that one entry for many writes pays off.
    fn waits(&self) -> bool;

    /// Stores an entry at its sequence, unless that sequence is used.
    async fn append(&self, entry: &Entry) -> Result<Appended, LogError>;

    /// The items after a sequence. The read begins after the call, and returns every entry that was stored before it
    /// began, as far as `more` says that none follows.
    async fn read(&self, after: Sequence) -> Result<LogPage, LogError>;

    /// The last stored snapshot; the empty state if there is none.
    async fn load_snapshot(&self) -> Result<Snapshot, LogError>;

    /// Stores a snapshot, unless a later one is stored.
    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError>;

    /// Empties the entries up to a sequence that the previous snapshot contains. Their positions stay used.
    async fn trim(&self, upto: Sequence) -> Result<(), LogError>;

    /// Makes the log usable again after it refused an append. `state` returns the state without the refused entry.
    async fn recover(&self, state: &(dyn Fn() -> Vec<Record> + Send + Sync)) -> Result<(), LogError> {
        let _ = state;
        Ok(())
    }

    /// Whether the store is so full that only deletions should be stored. Checks it again.
    fn is_full(&self) -> bool {
        false
    }

    /// The head of the log as other replicas report it, if they do. A hint causes an early poll, and nothing else.
    fn hints(&self) -> Option<watch::Receiver<Sequence>> {
        None
    }
}

/// A failed operation on a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is unknown whether the operation had, or will have, an effect.
    #[error("failed to {doing}; the outcome is unknown")]
    Unknown {
        /// The operation.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The operation had no effect and will have none.
    #[error("failed to {doing}")]
    Refused {
        /// The operation.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The log has content that this release cannot read, now or later.
    #[error("failed to read the log: {what}")]
    Invalid {
        /// The reason.
        what: String,
    },
}

impl LogError {
    /// An operation with an unknown outcome.
    pub fn unknown(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unknown { doing, source: source.into() }
    }

    /// An operation without an effect.
    pub fn refused(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused { doing, source: source.into() }
    }
}

impl LogError {
    /// A log that cannot be read.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}

impl From<CommitError> for LogError {
    fn from(error: CommitError) -> Self {
        Self::refused("store the writes", error)
    }
}
