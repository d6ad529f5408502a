//! Durable storage of the state.
//!
//! ```text
//!  store: a group of writes --records--> Storage::commit --> durable, all or nothing --> only then answered
//!
//!  DIR/meshwarden.lock           locked while a process uses the folder
//!  DIR/meshwarden.redb           the records, and a seal: format, realm, sequence, digest of all records
//!  DIR/meshwarden.acknowledged   the last answered commit: the records must include it
//!  DIR/meshwarden.reserve        reserved disk space, released for deletions when the disk is full
//!  DIR/meshwarden.snapshots      a socket at which the process answers with a snapshot
//!  DIR/../.NAME.meshwarden       shows that DIR has a store, in case DIR is removed or its volume is not mounted
//! ```
//!
//! A `Log` orders the writes of all replicas. `LocalLog` is the log over a storage of one process, `MemoryLog` a log that
//! several replicas of one process share.
//!
//! Records are read once at the start. After that, reads use the state in memory, and the file is only written.

mod acknowledged;
mod backend;
mod cursors;
mod digest;
mod disk;
mod dynamo;
pub(crate) mod encoding;
mod error;
mod etcd;
mod folder;
mod format;
mod identity;
mod item_log;
mod items;
mod local;
mod log;
mod memory_log;
mod open_error;
mod packed;
mod registry;
mod reserve;
mod seal;
mod upgrade;
mod verify;
mod whole;

#[cfg(test)]
mod tests;

use std::fmt;

pub use cursors::{EventCursor, EventCursors};
pub use digest::Digest;
pub use disk::Disk;
pub(crate) use disk::read_folder;
pub use error::{CommitError, OpenError};
pub use etcd::EtcdTls;
pub use item_log::ItemLog;
pub use local::LocalLog;
pub use log::{Appended, Entry, EntryOrigin, Log, LogError, LogItem, LogPage, Sequence, Snapshot};
pub use memory_log::MemoryLog;
pub use open_error::SharedOpenError;
pub(crate) use packed::FORMAT;
pub use registry::{EvidenceChunk, Registry, ReplicaRecord, ReplicaState};
pub(crate) use upgrade::{OldReplica, UpgradePlan, WATCH};
pub(crate) use whole::{RestoreOutcome, StoredLog};

use crate::state::Record;

/// The most memory for pages of the file, in bytes. Reads use the state in memory, so only the inner pages for the
/// next commit are worth caching.
const CACHE: usize = 16 * 1024 * 1024;

/// A storage of records. Used by one thread at a time, in the order of the writes.
pub trait Storage: fmt::Debug + Send {
    /// Stores all of these records or none. Afterwards they survive the end of the process and of the machine. An
    /// empty commit tests whether the storage works.
    ///
    /// After an error none of them count, though they may have reached the disk. Nothing can be committed then before
    /// [`Storage::restart`].
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError>;

    /// Replaces all records with these: all or nothing, and as durably as a commit.
    fn restart(&mut self, records: &[Record]) -> Result<(), CommitError>;

    /// Whether the disk is so full that only deletions should be stored. Checks the disk again.
    fn is_full(&mut self) -> bool {
        false
    }

    /// Whether a commit waits for a device, so that one commit for many writes pays off.
    fn waits(&self) -> bool;
}

/// Stores nothing: the state is lost with the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory;

impl Storage for Memory {
    fn commit(&mut self, _records: &[Record]) -> Result<(), CommitError> {
        Ok(())
    }

    fn restart(&mut self, _records: &[Record]) -> Result<(), CommitError> {
        Ok(())
    }

    fn waits(&self) -> bool {
        false
    }
}
