//! Following the store: what changed since the last look, as it is now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::name::ResourcePath;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::state::{Change, Operation, Resource};
use crate::store::Store;

/// What is new.
#[derive(Debug)]
pub(super) enum News {
    /// Everything that there is: at the start, and when too many changes came to be remembered one by one.
    Everything(Vec<Arc<Resource>>),
    /// What changed, as it is now; `None` is gone.
    Changed(BTreeMap<ResourcePath, Option<Arc<Resource>>>),
}

/// A reader of the store that knows how far it has read.
#[derive(Debug)]
pub(super) struct Follower {
    store: Arc<Store>,
    changes: Receiver<Change>,
    pending: BTreeSet<ResourcePath>,
    lost: bool,
}

impl Follower {
    /// The first news will be everything.
    pub(super) fn new(store: Arc<Store>) -> Self {
        let changes = store.changes();
        Self { store, changes, pending: BTreeSet::new(), lost: true }
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Waits for a change that proxies can be concerned by. Nothing is lost if the wait is given up.
    pub(super) async fn changed(&mut self) {
        while self.pending.is_empty() && !self.lost {
            match self.changes.recv().await {
                Ok(change) => self.note(change),
                Err(RecvError::Lagged(_)) => self.lost = true,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change.operation {
            Operation::Created | Operation::Updated | Operation::Deleted => {
                self.pending.insert(change.path);
            }
            // Proxies are not told of tags.
            Operation::Retagged => {}
        }
    }

    /// All news up to one moment: never one change without another that came before it.
    pub(super) fn catch_up(&mut self) -> News {
        let store = Arc::clone(&self.store);
        store.look(|state| {
            loop {
                match self.changes.try_recv() {
                    Ok(change) => self.note(change),
                    Err(TryRecvError::Lagged(_)) => self.lost = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let pending = std::mem::take(&mut self.pending);
            if std::mem::take(&mut self.lost) {
                return News::Everything(state.resources().cloned().collect());
            }
            let now = |path: ResourcePath| {
                let resource = state.find(&path).cloned();
                (path, resource)
            };
            News::Changed(pending.into_iter().map(now).collect())
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
            Stamp { now: jiff::Timestamp::now(), uid: uuid::Uuid::new_v4() },
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
    async fn one_that_fell_behind_reads_everything() {
        let store = Arc::new(Store::new(Quotas::default()));
        let mut follower = Follower::new(Arc::clone(&store));
        assert!(matches!(follower.catch_up(), News::Everything(all) if all.is_empty()));
        create(&store).await;
        follower.changed().await;
        assert!(matches!(follower.catch_up(), News::Changed(changes) if changes.len() == 1));
        assert!(matches!(follower.catch_up(), News::Changed(changes) if changes.is_empty()));
        for _ in 0..5000 {
            update(&store).await;
        }
        follower.changed().await;
        assert!(matches!(follower.catch_up(), News::Everything(all) if all[0].version == 5001));
        update(&store).await;
        assert!(matches!(follower.catch_up(), News::Changed(changes) if changes.len() == 1));
    }
}
