//! Where the state survives the process.
//!
//! ```text
//!  store: a group of writes --records--> Storage::commit --> durable, all or nothing --> only then answered
//!
//!  DIR/meshwarden.lock           held while a process uses the folder
//!  DIR/meshwarden.redb           the records, and a seal: format, realm, sequence, digest of all records
//!  DIR/meshwarden.acknowledged   the sequence up to which writes were answered: the records may not be behind it
//!  DIR/meshwarden.reserve        room that is given up for deletions when the disk is full
//!  DIR/../.NAME.meshwarden       says that there is a store in DIR, should DIR be removed, or be a volume that is not mounted
//! ```
//!
//! Records are read once, at the start; after that the state in memory is what is read, and the file is only written.

mod acknowledged;
mod backend;
mod disk;
mod encoding;
mod error;
mod folder;
mod identity;
mod reserve;
mod seal;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;

pub use disk::Disk;
pub use error::{CommitError, OpenError};

use crate::state::Record;

/// The most memory for pages of the file. Everything is read from the state in memory, so only the inner pages that
/// the next commit looks at are worth keeping.
const CACHE: usize = 16 * 1024 * 1024;

/// What keeps records. Used by one thread at a time, in the order of the writes.
pub trait Storage: fmt::Debug + Send {
    /// Keeps all of these or none. When it returns they survive the end of the process and of the machine. A commit of
    /// nothing finds out whether the storage works.
    ///
    /// After an error none of them count, though they may have reached the disk. Nothing can be committed then before
    /// [`Storage::restart`].
    fn commit(&mut self, records: &[Record]) -> Result<(), CommitError>;

    /// Forgets everything and keeps exactly these records: all or nothing, and as durably as a commit.
    fn restart(&mut self, records: &[Record]) -> Result<(), CommitError>;

    /// Whether the disk is so full that only deletions should be stored. Looks whether that is still so.
    fn is_full(&mut self) -> bool {
        false
    }

    /// Whether a commit waits for a device, so that one for many writes pays.
    fn waits(&self) -> bool;
}

/// Keeps nothing: the state ends with the process.
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
