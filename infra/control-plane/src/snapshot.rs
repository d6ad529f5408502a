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

mod content;
mod error;
mod file;
mod folder;
mod shared;
mod socket;
mod upgrade;

use std::path::{Path, PathBuf};

pub use content::StoreSnapshot;
pub use error::SnapshotError;
pub(crate) use socket::SnapshotSocket;
pub use upgrade::StoreUpgrade;

use crate::settings::SharedStore;

/// The store that a snapshot is taken of, or that is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStore {
    /// The folder of one process.
    Folder(PathBuf),
    /// A store that replicas share.
    Shared(SharedStore),
}

impl StoreSnapshot {
    /// Takes a snapshot of a store, which may be in use.
    pub async fn take(store: &SnapshotStore) -> Result<Self, SnapshotError> {
        match store {
            SnapshotStore::Folder(path) => folder::take(path).await,
            SnapshotStore::Shared(store) => shared::take(store).await,
        }
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
}

#[cfg(test)]
mod tests;
