//! Snapshots of a store in a file, and the restoration of an empty store from one.
//!
//! ```text
//!  snapshot:  shared store ---------- its last snapshot, then every entry up to the head --+
//!             folder in use --------- its process, through DIR/meshwarden.snapshots -------+--> verified --> FILE
//!             folder not in use ----- its file --------------------------------------------+
//!  restore:   FILE --> verified --> the first entry of a log, or the first commit of a folder --> read again, verified
//! ```
//!
//! A snapshot is the state at one moment: it contains every write that was acknowledged before it began. Writes go on
//! meanwhile. A restored store has a new id.

mod error;
mod file;
mod folder;
mod shared;
mod socket;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use error::SnapshotError;
pub(crate) use socket::SnapshotSocket;

use crate::quotas::Quotas;
use crate::settings::SharedStore;
use crate::state::{Realm, Record, State};
use crate::storage::{Digest, Sequence};

/// The store that a snapshot is taken of, or that is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStore {
    /// The folder of one process.
    Folder(PathBuf),
    /// A store that replicas share.
    Shared(SharedStore),
}

/// The state of a store at one moment, verified by its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreSnapshot {
    realm: Realm,
    /// The id of the store that it was taken of.
    store: String,
    sequence: Sequence,
    time: Timestamp,
    digest: Digest,
    records: Vec<Record>,
}

impl StoreSnapshot {
    /// Takes a snapshot of a store, which may be in use.
    pub async fn take(store: &SnapshotStore) -> Result<Self, SnapshotError> {
        match store {
            SnapshotStore::Folder(path) => folder::take(path).await,
            SnapshotStore::Shared(store) => shared::take(store).await,
        }
    }

    /// The snapshot of a state. Fails if a record cannot be encoded.
    pub(crate) fn new(
        realm: Realm,
        store: String,
        (sequence, time): (Sequence, Timestamp),
        records: &[Record],
    ) -> Result<Self, SnapshotError> {
        let mut state = State::new(Quotas::default());
        for record in records {
            state.apply(record);
        }
        let digest = Digest::of_state(&state).map_err(SnapshotError::encode)?;
        Ok(Self { realm, store, sequence, time, digest, records: state.records() })
    }

    /// Writes it to a file that only its owner can read, durably. An existing file is replaced at the end.
    pub fn write_file(&self, path: &Path) -> Result<(), SnapshotError> {
        file::write(path, &file::encode(self)?)
    }

    /// Reads and verifies a file.
    pub fn read_file(path: &Path) -> Result<Self, SnapshotError> {
        let bytes = std::fs::read(path).map_err(SnapshotError::system("read", path))?;
        file::decode(&bytes).map_err(|what| SnapshotError::Damaged { origin: path.display().to_string(), what })
    }

    /// Fills an empty store, and reads it again. A store that has or had content is refused and left unchanged.
    pub async fn restore(&self, store: &SnapshotStore) -> Result<(), SnapshotError> {
        match store {
            SnapshotStore::Folder(path) => folder::restore(self, path),
            SnapshotStore::Shared(store) => shared::restore(self, store).await,
        }
    }

    /// Passes if a restored store has exactly this content.
    fn verify(&self, name: &str, digest: Digest) -> Result<(), SnapshotError> {
        if digest == self.digest {
            return Ok(());
        }
        let what = format!("it has {} records, and the snapshot has {}", digest.records(), self.digest.records());
        Err(SnapshotError::NotVerified { store: name.to_owned(), what })
    }
}

impl fmt::Display for StoreSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resources, digest) =
            (self.records.iter().filter(|record| matches!(record, Record::Resource(_))), self.digest);
        let resources = resources.count();
        let (account, region) = (self.realm.account(), self.realm.region().as_str());
        let (records, digest) = (digest.records(), digest.hexadecimal());
        write!(f, "{resources} resources of account {account} in {region}, {records} records, digest {digest}")
    }
}

#[cfg(test)]
mod tests;
