//! A full disk, and signed writes at two replicas.

mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesh::name::ResourcePath;

use super::{ReplicaRole, Store, WriteAttempts};
use crate::denial::Denial;
use crate::error::ApiError;
use crate::quotas::Quotas;
use crate::state::tests::{spec, stamp};
use crate::state::{Action, Record, SignatureHash, Write, WriteSignature};
use crate::storage::{CommitError, Log, MemoryLog, Snapshot, Storage};

/// A storage that fails to grow while the disk is full.
#[derive(Debug)]
struct Disk {
    full: Arc<AtomicBool>,
    has_failed: bool,
}

impl Storage for Disk {
    fn commit(&mut self, _: &[Record]) -> Result<(), CommitError> {
        if self.full.load(Ordering::SeqCst) && !std::mem::replace(&mut self.has_failed, true) {
            return Err(CommitError::new("commit", "no space left"));
        }
        Ok(())
    }

    fn restart(&mut self, _: &[Record]) -> Result<(), CommitError> {
        Ok(())
    }

    fn is_full(&mut self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    fn waits(&self) -> bool {
        true
    }
}

fn create(name: &str) -> Write {
    let path = ResourcePath::parse(&format!("mesh/{name}")).unwrap();
    let action = Action::Create { spec: spec(&path, 0), tags: Vec::new() };
    Write { path, action, if_version: None, token: None }
}

fn delete(name: &str) -> Write {
    let path = ResourcePath::parse(&format!("mesh/{name}")).unwrap();
    Write { path, action: Action::Delete, if_version: None, token: None }
}

async fn until_done(store: &Store, write: Write) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.write(&write, &stamp(1)).await {
        assert!(matches!(error, ApiError::Unavailable) && Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_deletions_are_accepted_on_a_full_disk() {
    let full = Arc::new(AtomicBool::new(false));
    let disk = Disk { full: Arc::clone(&full), has_failed: false };
    let store = Store::with_storage(Box::new(disk), &[], Quotas::default()).unwrap();
    store.write(&create("a"), &stamp(1)).await.unwrap();
    full.store(true, Ordering::SeqCst);
    assert!(matches!(store.write(&create("b"), &stamp(1)).await, Err(ApiError::Unavailable)));
    until_done(&store, delete("a")).await;
    assert!(matches!(store.write(&create("b"), &stamp(1)).await, Err(ApiError::Unavailable)));
    assert!(!store.is_writable());
    full.store(false, Ordering::SeqCst);
    until_done(&store, create("b")).await;
    assert!(store.is_writable());
}

#[tokio::test]
async fn signed_write_is_accepted_by_one_replica_only() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::default());
    let open = async || {
        let (log, start) = (Arc::clone(&log), Snapshot::default());
        Store::with_log(log, None, ReplicaRole::Replica, &start, Quotas::default()).await.unwrap()
    };
    let (first, second) = (open().await, open().await);
    let signature = |number| {
        let hash = SignatureHash::new([number; 32]);
        WriteAttempts::signed(Some(WriteSignature { hash, until: stamp(1_000_000_000).now, owner: "key".to_owned() }))
    };
    first.write_signed(signature(1), &create("a"), &stamp(1)).await.unwrap();
    let replayed = second.write_signed(signature(1), &delete("a"), &stamp(2)).await;
    assert_eq!(replayed, Err(ApiError::Denied(Denial::Replayed)));
    second.write_signed(signature(2), &delete("a"), &stamp(3)).await.unwrap();
    let late = open().await.write_signed(signature(1), &create("a"), &stamp(4)).await;
    assert_eq!(late, Err(ApiError::Denied(Denial::Replayed)), "a replica that starts later knows it as well");
}
