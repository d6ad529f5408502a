//! Follows the store: the changed resources in their current state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh::name::ResourcePath;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};

use crate::state::{Change, Operation, Resource};
use crate::store::Store;

/// The changes since the last read.
#[derive(Debug)]
pub(super) enum StoreUpdate {
    /// The complete state: at the start, and after too many changes to follow one by one.
    Everything(Vec<Arc<Resource>>),
    /// The changed resources in their current state; `None` for a deleted one.
    Changed(BTreeMap<ResourcePath, Option<Arc<Resource>>>),
}

/// A reader of the store that knows which changes it has read.
#[derive(Debug)]
pub(super) struct Follower {
    store: Arc<Store>,
    changes: Receiver<Change>,
    pending: BTreeSet<ResourcePath>,
    lagged: bool,
    /// When everything is read again.
    again_at: Option<Instant>,
}

impl Follower {
    /// The first update is the complete state.
    pub(super) fn new(store: Arc<Store>) -> Self {
        let changes = store.changes();
        Self { store, changes, pending: BTreeSet::new(), lagged: true, again_at: None }
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Waits for a change that can affect proxies. No change is lost if the wait is cancelled.
    pub(super) async fn changed(&mut self) {
        while self.pending.is_empty() && !self.lagged {
            let again = async {
                match self.again_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(change) => self.note(change),
                    Err(RecvError::Lagged(_)) => self.lagged = true,
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                () = again => {
                    self.again_at = None;
                    self.lagged = true;
                }
            }
        }
    }

    /// Reads everything again after a pause.
    pub(super) fn read_everything_after(&mut self, pause: Duration) {
        self.again_at = Some(Instant::now() + pause);
    }

    fn note(&mut self, change: Change) {
        match change.operation {
            Operation::Created | Operation::Updated | Operation::Deleted => {
                self.pending.insert(change.path);
            }
            // Proxies do not use tags.
            Operation::Retagged => {}
        }
    }

    /// Reads all changes up to one moment: never a change without the earlier ones.
    pub(super) fn catch_up(&mut self) -> StoreUpdate {
        let store = Arc::clone(&self.store);
        store.inspect(|state| {
            loop {
                match self.changes.try_recv() {
                    Ok(change) => self.note(change),
                    Err(TryRecvError::Lagged(_)) => self.lagged = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let pending = std::mem::take(&mut self.pending);
            if std::mem::take(&mut self.lagged) {
                return StoreUpdate::Everything(state.resources().cloned().collect());
            }
            let now = |path: ResourcePath| {
                let resource = state.find(&path).cloned();
                (path, resource)
            };
            StoreUpdate::Changed(pending.into_iter().map(now).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::Quotas;
    use crate::state::{Action, Stamp, ValidSpec, Write};

    fn write(action: Action) -> (Write, Stamp) {
        let path = ResourcePath::parse("mesh/shop").unwrap();
        (
            Write { path, action, if_version: None, token: None },
            Stamp { now: jiff::Timestamp::now(), uid: uuid::Uuid::new_v4(), caller: None },
        )
    }

    async fn create(store: &Store) {
        let path = ResourcePath::parse("mesh/shop").unwrap();
        let spec = ValidSpec::parse(&path, serde_json::json!({})).unwrap().into();
        let (write, stamp) = write(Action::Create { spec, tags: Vec::new() });
        store.write(&write, &stamp).await.unwrap();
    }

    async fn update(store: &Store) {
        let (write, stamp) = write(Action::Update { spec: None });
        store.write(&write, &stamp).await.unwrap();
    }

    #[tokio::test]
    async fn a_follower_that_lags_reads_everything() {
        let store = Arc::new(Store::new(Quotas::default()));
        let mut follower = Follower::new(Arc::clone(&store));
        assert!(matches!(follower.catch_up(), StoreUpdate::Everything(all) if all.is_empty()));
        create(&store).await;
        follower.changed().await;
        assert!(matches!(follower.catch_up(), StoreUpdate::Changed(changes) if changes.len() == 1));
        assert!(matches!(follower.catch_up(), StoreUpdate::Changed(changes) if changes.is_empty()));
        for _ in 0..5000 {
            update(&store).await;
        }
        follower.changed().await;
        assert!(matches!(follower.catch_up(), StoreUpdate::Everything(all) if all[0].version == 5001));
        update(&store).await;
        assert!(matches!(follower.catch_up(), StoreUpdate::Changed(changes) if changes.len() == 1));
    }
}
