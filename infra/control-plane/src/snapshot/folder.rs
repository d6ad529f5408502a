//! Snapshots of a folder, with or without a process that uses it.

use std::path::Path;

use super::content::StoreSnapshot;
use super::error::SnapshotError;
use super::socket;
use crate::storage::{Disk, OpenError, Storage as _, read_folder};

/// Takes a snapshot of a folder: by its process, or from the file without a process.
pub(super) async fn take(folder: &Path) -> Result<StoreSnapshot, SnapshotError> {
    if !folder.join("meshwarden.redb").exists() {
        return Err(SnapshotError::Missing { store: folder.display().to_string() });
    }
    match read_folder(folder) {
        Ok(content) => {
            let at = (content.sequence, jiff::Timestamp::now());
            let snapshot = StoreSnapshot::new(content.realm, content.store.to_string(), at, &content.records)?;
            snapshot.verify(&folder.display().to_string(), content.digest)?;
            Ok(snapshot)
        }
        Err(OpenError::InUse { .. }) => socket::request(folder).await,
        Err(error) => Err(error.into()),
    }
}

/// Fills a folder without a store.
pub(super) fn restore(snapshot: &StoreSnapshot, folder: &Path) -> Result<(), SnapshotError> {
    let name = folder.display().to_string();
    if folder.join("meshwarden.redb").exists() {
        return Err(SnapshotError::NotEmpty { store: name });
    }
    let (mut disk, records) = Disk::open(folder, &snapshot.realm)?;
    if !records.is_empty() {
        return Err(SnapshotError::NotEmpty { store: name });
    }
    let committed = disk.commit(&snapshot.records);
    committed.map_err(|source| SnapshotError::Commit { folder: folder.to_owned(), source })?;
    drop(disk);
    snapshot.verify(&name, read_folder(folder)?.digest)
}
