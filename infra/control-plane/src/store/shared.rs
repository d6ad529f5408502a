//! What writers, readers and the worker of a store share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use super::replica::Replica;
use crate::metrics::Metrics;
use crate::quotas::Quotas;
use crate::state::Change;
use crate::storage::{Log, Sequence};

/// How many changes a follower may fall behind before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// What writers, readers and the worker of a store share.
#[derive(Debug)]
pub(super) struct StoreShared {
    pub(super) log: Arc<dyn Log>,
    pub(super) quotas: Quotas,
    replica: RwLock<Replica>,
    pub(super) changes: broadcast::Sender<Change>,
    /// The last applied entry.
    pub(super) head: watch::Sender<Sequence>,
    pub(super) metrics: Metrics,
    /// Whether only deletions are accepted, because the disk is full.
    full: AtomicBool,
    /// Signals a waiting write, or the end.
    pub(super) work: Notify,
    /// Signals a waiting reader, or the end.
    pub(super) read_wanted: Notify,
    pub(super) ending: AtomicBool,
    /// When the last confirmed read of the log began.
    confirmed: Mutex<Instant>,
    /// When the last successful report of this replica began.
    reported: Mutex<Instant>,
    writers: Mutex<Writers>,
    /// The mean duration of an append, in microseconds.
    pub(super) mean_append: AtomicU64,
}

/// The replicas that append to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Writers {
    /// Their number, this one included.
    pub(super) count: usize,
    /// The longest mean duration of an append among the others.
    pub(super) slowest: Option<Duration>,
}

impl StoreShared {
    pub(super) fn new(replica: Replica, log: Arc<dyn Log>, quotas: Quotas) -> Self {
        let sequence = replica.sequence();
        Self {
            log,
            quotas,
            replica: RwLock::new(replica),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            head: watch::Sender::new(sequence),
            metrics: Metrics::new(),
            full: AtomicBool::new(false),
            work: Notify::new(),
            read_wanted: Notify::new(),
            ending: AtomicBool::new(false),
            confirmed: Mutex::new(Instant::now()),
            reported: Mutex::new(Instant::now()),
            writers: Mutex::new(Writers { count: 1, slowest: None }),
            mean_append: AtomicU64::new(0),
        }
    }

    pub(super) fn replica(&self) -> RwLockReadGuard<'_, Replica> {
        // A write changes the state only after all checks, so a panic in a check left it consistent.
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the replica, and publishes the applied changes.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Replica) -> T) -> T {
        let mut replica = self.replica.write().unwrap_or_else(PoisonError::into_inner);
        let had_failed = replica.failure().is_some();
        let outcome = change(&mut replica);
        if let Some(reason) = replica.failure().filter(|_| !had_failed) {
            tracing::error!(reason, "replica stopped; an operator has to act");
        }
        replica.publish(|applied| {
            if applied.is_own {
                self.metrics.changed(&applied.change);
            }
            // Sent under the lock, so that followers see changes in order. Without followers, the error is expected.
            let _ = self.changes.send(applied.change);
        });
        let sequence = replica.sequence();
        self.head.send_if_modified(|head| std::mem::replace(head, sequence) != sequence);
        outcome
    }

    /// Stops the replica for ever, for this reason.
    pub(super) fn fail(&self, reason: String) {
        self.update(|replica| replica.fail(reason));
    }

    /// Whether writes are waiting for the worker.
    pub(super) fn has_writes(&self) -> bool {
        self.replica().has_writes()
    }

    /// Appends the waiting writes, to a log that never waits.
    pub(super) fn append_now(&self) {
        self.update(|replica| {
            while let Some(entry) = replica.next_entry(Timestamp::now()) {
                let began = Instant::now();
                let outcome = self.log.append(&entry).now_or_never();
                self.metrics.committed(matches!(outcome, Some(Ok(_))), began.elapsed());
                match outcome {
                    Some(Ok(outcome)) => replica.appended(entry.sequence, outcome),
                    Some(Err(_)) | None => replica.refused(entry.sequence),
                }
            }
        });
    }

    /// Whether only deletions are accepted.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn update_full(&self) {
        let full = self.log.is_full();
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("disk is full; only deletions are accepted");
            } else {
                tracing::info!("disk has free space again; all writes are accepted");
            }
        }
    }

    /// A read of the log that began at this time has reached the head.
    pub(super) fn confirmed(&self, began: Instant) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    /// How old the stored state may be; zero for a log of this process.
    pub(super) fn age(&self) -> Duration {
        if self.log.is_shared() {
            self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
        } else {
            Duration::ZERO
        }
    }

    /// A report of this replica that began at this time is stored.
    pub(super) fn reported(&self, began: Instant) {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }

    /// How old the last stored report of this replica is.
    pub(super) fn report_age(&self) -> Duration {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn writers(&self) -> Writers {
        *self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the replicas that append to the log.
    pub(super) fn set_writers(&self, writers: Writers) {
        *self.writers.lock().unwrap_or_else(PoisonError::into_inner) = writers;
    }
}
