//! Snapshots of a shared store: read like a replica reads it, without being one.

use super::content::StoreSnapshot;
use super::error::SnapshotError;
use crate::settings::SharedStore;
use crate::storage::{ItemLog, RestoreOutcome, StoredLog};

pub(super) async fn open(store: &SharedStore) -> Result<StoredLog, SnapshotError> {
    Ok(match store {
        // Boxed, since the calls of the SDK take kilobytes.
        SharedStore::DynamoDb(table) => {
            Box::pin(async { StoredLog::find_table(aws::Aws::open().await.items(table)).await }).await?
        }
        SharedStore::Etcd { endpoints, tls, accepts_old } => {
            StoredLog::find_etcd(endpoints, tls.as_ref(), *accepts_old).await?
        }
    })
}

pub(super) async fn take(store: &SharedStore) -> Result<StoreSnapshot, SnapshotError> {
    let stored = open(store).await?;
    let name = stored.name();
    let Some((log, realm)) = stored.into_log() else { return Err(SnapshotError::Missing { store: name }) };
    let head = log.read_state().await.map_err(SnapshotError::log(&name))?;
    let snapshot = StoreSnapshot::new(realm, log.id().to_string(), (head.sequence, head.time), &head.records)?;
    snapshot.verify(&name, head.digest)?;
    Ok(snapshot)
}

pub(super) async fn restore(snapshot: &StoreSnapshot, store: &SharedStore) -> Result<(), SnapshotError> {
    let name = open(store).await?.name();
    let (log, _) = match store {
        SharedStore::DynamoDb(table) => {
            Box::pin(async { ItemLog::open_table(aws::Aws::open().await.items(table), &snapshot.realm).await }).await?
        }
        SharedStore::Etcd { endpoints, tls, accepts_old } => {
            ItemLog::open_etcd_with(endpoints, tls.as_ref(), *accepts_old, &snapshot.realm).await?
        }
    };
    let restored = log.restore(&snapshot.records, snapshot.digest, snapshot.time).await;
    match restored.map_err(SnapshotError::log(&name))? {
        RestoreOutcome::Restored => {}
        RestoreOutcome::NotEmpty => return Err(SnapshotError::NotEmpty { store: name }),
    }
    // A replica that opened the empty store, and the change events of another store, stay apart from this one.
    let log = log.renew_id().await.map_err(SnapshotError::log(&name))?;
    let head = log.read_state().await.map_err(SnapshotError::log(&name))?;
    snapshot.verify(&name, head.digest)
}
