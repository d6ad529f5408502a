//! Who commits: one commit for all writes that wait by then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use tokio::sync::{broadcast, oneshot};

use crate::metrics::Metrics;
use crate::state::{Change, Record, State};
use crate::storage::{CommitError, Storage};

/// Changes that a follower may fall behind by before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// How long a storage that failed is left alone. Each try writes everything anew, and writes fail at once meanwhile.
const RETRY: Duration = Duration::from_secs(1);

/// What writers, readers and the committing thread share. Locks are taken in the order storage, queue, state.
#[derive(Debug)]
pub(super) struct Shared {
    storage: Mutex<Keeper>,
    queue: Mutex<Queue>,
    /// There is something in the queue, or the end has come.
    wake: Condvar,
    /// What has been stored.
    pub(super) state: RwLock<State>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) metrics: Metrics,
    /// Whether only deletions are accepted, since the disk is full.
    full: AtomicBool,
}

#[derive(Debug)]
struct Keeper {
    storage: Box<dyn Storage>,
    /// When it last failed, unless it has worked since.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Queue {
    /// The state with all writes that are in the queue or being committed.
    staged: State,
    waiting: Vec<Waiting>,
    /// How many writes the staged state has that the other one has not.
    ahead: usize,
    ending: bool,
}

/// A write that is decided and not stored.
#[derive(Debug)]
struct Waiting {
    records: Vec<Record>,
    change: Option<Change>,
    stored: oneshot::Sender<bool>,
}

/// Whether what was decided is stored.
#[derive(Debug)]
pub(super) enum Stored {
    /// It rests on nothing that is not.
    Already,
    /// It will turn out.
    Later(oneshot::Receiver<bool>),
}

impl Stored {
    pub(super) async fn wait(self) -> bool {
        match self {
            Self::Already => true,
            Self::Later(stored) => stored.await.unwrap_or(false),
        }
    }
}

impl Shared {
    pub(super) fn new(state: State, storage: Box<dyn Storage>) -> Self {
        let queue = Queue { staged: state.clone(), waiting: Vec::new(), ahead: 0, ending: false };
        Self {
            storage: Mutex::new(Keeper { storage, failed: None }),
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            state: RwLock::new(state),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            metrics: Metrics::new(),
            full: AtomicBool::new(false),
        }
    }

    /// Decides something on the staged state. Also what changes nothing is known only when that state is stored: a
    /// refusal may come from a write that is still to fail.
    pub(super) fn stage<T>(&self, decide: impl FnOnce(&mut State) -> (T, Vec<Record>, Option<Change>)) -> (T, Stored) {
        let mut queue = self.queue();
        let (outcome, records, change) = decide(&mut queue.staged);
        if records.is_empty() && queue.ahead == 0 {
            return (outcome, Stored::Already);
        }
        let (stored, waits) = oneshot::channel();
        queue.waiting.push(Waiting { records, change, stored });
        queue.ahead = queue.ahead.saturating_add(1);
        self.wake.notify_one();
        (outcome, Stored::Later(waits))
    }

    /// Commits what waits.
    pub(super) fn commit(&self) {
        let mut keeper = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut group = mem::take(&mut self.queue().waiting);
        let records: Vec<Record> = group.iter_mut().flat_map(|waiting| mem::take(&mut waiting.records)).collect();
        // Nothing to keep: only answers that waited for a commit before this one.
        let success = records.is_empty() || self.keep(&mut keeper, Some(&records));
        if success { self.publish(group, &records) } else { self.fail(group) }
    }

    /// Puts records into the storage. None of them: finds out whether a storage that failed works again.
    fn keep(&self, keeper: &mut Keeper, records: Option<&[Record]>) -> bool {
        if keeper.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return false;
        }
        let began = Instant::now();
        let outcome = keeper.keep(records, || self.state().records());
        self.metrics.committed(outcome.is_ok(), began.elapsed());
        match outcome {
            Ok(()) => {
                if keeper.failed.take().is_some() {
                    tracing::info!("the storage works again");
                    self.look_for_room(keeper);
                }
                true
            }
            Err(error) => {
                if keeper.failed.replace(Instant::now()).is_none() {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "the storage failed: nothing can be written until it works again");
                }
                false
            }
        }
    }

    /// Whether only deletions are accepted.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn look_for_room(&self, keeper: &mut Keeper) {
        let full = keeper.storage.is_full();
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("the disk is full: only deletions are accepted until there is room");
            } else {
                tracing::info!("there is room on the disk again");
            }
        }
    }

    fn publish(&self, group: Vec<Waiting>, records: &[Record]) {
        // A write changes nothing before it has checked everything, so a panic in one left the state whole.
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.play(record);
        }
        for change in group.iter().filter_map(|waiting| waiting.change.as_ref()) {
            self.metrics.changed(change);
            // Sent while the lock is held, so that changes are seen in the order in which they happened. That nobody
            // listens is no error.
            let _ = self.changes.send(change.clone());
        }
        drop(state);
        let mut queue = self.queue();
        queue.ahead = queue.ahead.saturating_sub(group.len());
        drop(queue);
        tell(group, true);
    }

    /// Fails the group, and all that was decided meanwhile in the belief that it would be stored.
    fn fail(&self, group: Vec<Waiting>) {
        let mut queue = self.queue();
        queue.staged = self.state().clone();
        queue.ahead = 0;
        let after = mem::take(&mut queue.waiting);
        drop(queue);
        tell(group, false);
        tell(after, false);
    }

    pub(super) fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits whenever there is something, until the end; tries a failed storage every now and then.
    fn run(&self) {
        loop {
            let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.ending;
            let (queue, _) =
                self.wake.wait_timeout_while(self.queue(), RETRY, idle).unwrap_or_else(PoisonError::into_inner);
            let (ending, work) = (queue.ending, !queue.waiting.is_empty());
            drop(queue);
            if work {
                self.commit();
            } else if ending {
                return;
            } else {
                let mut keeper = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
                if keeper.failed.is_some() {
                    self.keep(&mut keeper, None);
                } else if self.is_full() {
                    self.look_for_room(&mut keeper);
                }
            }
        }
    }
}

impl Keeper {
    fn keep(
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

fn tell(group: Vec<Waiting>, outcome: bool) {
    for waiting in group {
        // A writer that went away does not want to know.
        let _ = waiting.stored.send(outcome);
    }
}

/// The thread that commits, until it is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let worker = Arc::clone(shared);
        let thread = thread::Builder::new().name("commits".to_owned()).spawn(move || worker.run())?;
        Ok(Self { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Committer {
    /// Waits for the last commit, so that the storage is closed when the store is gone.
    fn drop(&mut self) {
        self.shared.queue().ending = true;
        self.shared.wake.notify_one();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that commits ended by a panic");
        }
    }
}
