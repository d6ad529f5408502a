//! The committer: one commit for all writes that are waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use tokio::sync::{broadcast, oneshot};

use crate::metrics::Metrics;
use crate::state::{Change, Record, State};
use crate::storage::{CommitError, Storage};

/// How many changes a follower may fall behind before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// The pause after a failed commit. Each attempt rewrites the complete store, and writes fail at once meanwhile.
const RETRY: Duration = Duration::from_secs(1);

/// The state that writers, readers and the committing thread share. Locks are taken in the order storage, queue,
/// state.
#[derive(Debug)]
pub(super) struct StoreShared {
    storage: Mutex<StorageState>,
    queue: Mutex<CommitQueue>,
    /// Signals a write in the queue, or the end.
    work_available: Condvar,
    /// The stored state.
    pub(super) state: RwLock<State>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) metrics: Metrics,
    /// Whether only deletions are accepted, because the disk is full.
    full: AtomicBool,
}

#[derive(Debug)]
struct StorageState {
    storage: Box<dyn Storage>,
    /// The time of the last failure; `None` after a success.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct CommitQueue {
    /// The state including all writes that are queued or being committed.
    staged: State,
    waiting: Vec<QueuedWrite>,
    /// The number of writes that the staged state has and the stored one does not.
    ahead: usize,
    ending: bool,
}

/// A decided write that is not stored.
#[derive(Debug)]
struct QueuedWrite {
    records: Vec<Record>,
    change: Option<Change>,
    stored: oneshot::Sender<bool>,
}

/// Whether a decision is based on stored writes only.
#[derive(Debug)]
pub(super) enum Durability {
    /// Everything that it depends on is stored.
    Already,
    /// It depends on a commit in progress.
    Later(oneshot::Receiver<bool>),
}

impl Durability {
    pub(super) async fn wait(self) -> bool {
        match self {
            Self::Already => true,
            Self::Later(stored) => stored.await.unwrap_or(false),
        }
    }
}

impl StoreShared {
    pub(super) fn new(state: State, storage: Box<dyn Storage>) -> Self {
        let queue = CommitQueue { staged: state.clone(), waiting: Vec::new(), ahead: 0, ending: false };
        Self {
            storage: Mutex::new(StorageState { storage, failed: None }),
            queue: Mutex::new(queue),
            work_available: Condvar::new(),
            state: RwLock::new(state),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            metrics: Metrics::new(),
            full: AtomicBool::new(false),
        }
    }

    /// Makes a decision on the staged state. A decision without changes waits for the staged writes as well: a
    /// refusal may depend on a write that still fails.
    pub(super) fn stage<T>(
        &self,
        decide: impl FnOnce(&mut State) -> (T, Vec<Record>, Option<Change>),
    ) -> (T, Durability) {
        let mut queue = self.queue();
        let (outcome, records, change) = decide(&mut queue.staged);
        if records.is_empty() && queue.ahead == 0 {
            return (outcome, Durability::Already);
        }
        let (stored, waits) = oneshot::channel();
        queue.waiting.push(QueuedWrite { records, change, stored });
        queue.ahead = queue.ahead.saturating_add(1);
        self.work_available.notify_one();
        (outcome, Durability::Later(waits))
    }

    /// Commits the waiting writes.
    pub(super) fn commit(&self) {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = mem::take(&mut self.queue().waiting);
        let records: Vec<Record> = group.iter_mut().flat_map(|waiting| mem::take(&mut waiting.records)).collect();
        // Without records there is nothing to store: only answers that waited for an earlier commit.
        let success = records.is_empty() || self.store_records(&mut storage, Some(&records));
        if success { self.publish(group, &records) } else { self.fail(group) }
    }

    /// Stores records. `None` tests whether a failed storage works again.
    fn store_records(&self, storage: &mut StorageState, records: Option<&[Record]>) -> bool {
        if storage.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return false;
        }
        let began = Instant::now();
        let outcome = storage.store_records(records, || self.state().records());
        self.metrics.committed(outcome.is_ok(), began.elapsed());
        match outcome {
            Ok(()) => {
                if storage.failed.take().is_some() {
                    tracing::info!("storage works again");
                    self.update_full(storage);
                }
                true
            }
            Err(error) => {
                if storage.failed.replace(Instant::now()).is_none() {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "storage failed; every write is refused until it works again");
                }
                false
            }
        }
    }

    /// Whether only deletions are accepted.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn update_full(&self, storage: &mut StorageState) {
        let full = storage.storage.is_full();
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("disk is full; only deletions are accepted");
            } else {
                tracing::info!("disk has free space again; all writes are accepted");
            }
        }
    }

    fn publish(&self, group: Vec<QueuedWrite>, records: &[Record]) {
        // A write changes the state only after all checks, so a panic in a check left it consistent.
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.apply(record);
        }
        for change in group.iter().filter_map(|waiting| waiting.change.as_ref()) {
            self.metrics.changed(change);
            // Sent under the lock, so that followers see changes in order. Without followers, the error is expected.
            let _ = self.changes.send(change.clone());
        }
        drop(state);
        let mut queue = self.queue();
        queue.ahead = queue.ahead.saturating_sub(group.len());
        drop(queue);
        notify(group, true);
    }

    /// Fails the group, and all later decisions, which assumed that it would be stored.
    fn fail(&self, group: Vec<QueuedWrite>) {
        let mut queue = self.queue();
        queue.staged = self.state().clone();
        queue.ahead = 0;
        let after = mem::take(&mut queue.waiting);
        drop(queue);
        notify(group, false);
        notify(after, false);
    }

    pub(super) fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, CommitQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits whenever writes are waiting, until the end. Tests a failed storage at intervals.
    fn run(&self) {
        loop {
            let idle = |queue: &mut CommitQueue| queue.waiting.is_empty() && !queue.ending;
            let (queue, _) = self
                .work_available
                .wait_timeout_while(self.queue(), RETRY, idle)
                .unwrap_or_else(PoisonError::into_inner);
            let (ending, work) = (queue.ending, !queue.waiting.is_empty());
            drop(queue);
            if work {
                self.commit();
            } else if ending {
                return;
            } else {
                let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
                if storage.failed.is_some() {
                    self.store_records(&mut storage, None);
                } else if self.is_full() {
                    self.update_full(&mut storage);
                }
            }
        }
    }
}

impl StorageState {
    fn store_records(
        &mut self,
        records: Option<&[Record]>,
        everything: impl FnOnce() -> Vec<Record>,
    ) -> Result<(), CommitError> {
        if self.failed.is_some() {
            self.storage.restart(&everything())?;
        }
        records.map_or(Ok(()), |records| self.storage.commit(records))
    }
}

fn notify(group: Vec<QueuedWrite>, outcome: bool) {
    for waiting in group {
        // The writer may have stopped waiting.
        let _ = waiting.stored.send(outcome);
    }
}

/// The committing thread, stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<StoreShared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(shared: &Arc<StoreShared>) -> io::Result<Self> {
        let worker = Arc::clone(shared);
        let thread = thread::Builder::new().name("commits".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Committer {
    /// Waits for the last commit, so that the storage is closed when the store has been dropped.
    fn drop(&mut self) {
        self.shared.queue().ending = true;
        self.shared.work_available.notify_one();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("storage thread panicked");
        }
    }
}
