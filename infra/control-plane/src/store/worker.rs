//! The worker of a store: appends the waiting writes to the log, and reads what other replicas append.
//!
//! It has a separate thread and runtime, so that long work in the rest of the process never delays a commit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use super::contention::Contention;
use super::presence::{Presence, report};
use super::replica::Replica;
use super::shared::StoreShared;
use crate::state::State;
use crate::storage::{Entry, LogError, Sequence};

/// The pause after a refused append. Each attempt of a storage on disk rewrites the complete store, and writes fail at
/// once meanwhile.
const RETRY: Duration = Duration::from_secs(1);

/// The time-out of one request to a shared store. It takes some milliseconds; a longer one is lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The interval of polls for the entries of other replicas: together with a push it fits into half a second.
const POLL: Duration = Duration::from_millis(200);

/// The pauses between attempts of a request with an unknown outcome.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// The appender of each entry with a sequence that is a multiple of this number stores a snapshot.
const SNAPSHOT_EVERY: Sequence = 1000;

/// How long an entry stays complete after this process saw the snapshot that contains it. A replica that was paused for
/// less than this time still reads every entry.
const KEEP_ENTRIES: Duration = Duration::from_hours(24);

/// The thread of the worker, stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<StoreShared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(shared: &Arc<StoreShared>, presence: Option<Arc<Presence>>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = Arc::clone(shared);
        let run = move || runtime.block_on(run(&work, presence.as_deref()));
        let thread = thread::Builder::new().name("commits".to_owned()).spawn(run)?;
        Ok(Self { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Worker {
    /// Waits for the last commit, so that the storage is closed when the store has been dropped.
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.shared.work.notify_one();
        self.shared.read_wanted.notify_one();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("storage thread panicked");
        }
    }
}

async fn run(shared: &Arc<StoreShared>, presence: Option<&Presence>) {
    if !shared.log.is_shared() {
        return append_all(shared).await;
    }
    let reported = async {
        if let Some(presence) = presence {
            report(shared, presence).await;
        }
        std::future::pending::<()>().await;
    };
    let followed = async {
        follow(shared).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = append_all(shared) => {}
        () = followed => {}
        () = reported => {}
    }
    if let Some(presence) = presence {
        presence.leave().await;
    }
}

/// What the worker knows about its log.
#[derive(Debug, Default)]
struct LogCondition {
    /// The time of the last refusal; `None` after a success.
    refused: Option<Instant>,
    contention: Contention,
    /// The snapshots that this process has stored, and when.
    snapshots: Vec<(Instant, Sequence)>,
}

/// Appends whenever writes are waiting, until the end. Tests a log that refused an append at intervals.
async fn append_all(shared: &Arc<StoreShared>) {
    let mut condition = LogCondition::default();
    loop {
        // The writers of the last entry decide again, or answer; they may all have another write.
        tokio::task::yield_now().await;
        let is_refusing = condition.refused.is_some_and(|at| at.elapsed() < RETRY);
        if is_refusing || shared.replica().failure().is_some() {
            shared.update(Replica::refuse_waiting);
        } else if shared.has_writes() {
            if condition.refused.is_some() && !recover(shared, &mut condition).await {
                shared.update(Replica::refuse_waiting);
                continue;
            }
            match shared.update(|replica| replica.next_entry(Timestamp::now())) {
                Some(entry) => append(shared, &entry, &mut condition).await,
                // The outcome of the last append stays unknown at the end, or a snapshot is being loaded.
                None if shared.has_writes() => sleep(FIRST_PAUSE).await,
                None => {}
            }
            let is_unknown = shared.replica().in_flight().is_some();
            if shared.ending.load(Ordering::SeqCst) && is_unknown {
                return;
            }
            continue;
        }
        if shared.ending.load(Ordering::SeqCst) {
            return;
        }
        if timeout(RETRY, shared.work.notified()).await.is_err() {
            if condition.refused.is_some() {
                recover(shared, &mut condition).await;
            } else if shared.is_full() {
                shared.update_full();
            }
        }
    }
}

/// Makes the log usable again. Returns whether it succeeded.
async fn recover(shared: &StoreShared, condition: &mut LogCondition) -> bool {
    let began = Instant::now();
    let outcome = shared.log.recover(&|| shared.replica().stored().records()).await;
    shared.metrics.committed(outcome.is_ok(), began.elapsed());
    match outcome {
        Ok(()) => {
            condition.refused = None;
            tracing::info!("storage works again");
            shared.update_full();
            true
        }
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "storage still fails");
            condition.refused = Some(Instant::now());
            false
        }
    }
}

/// Appends an entry: sends it again until its outcome is known. The replica never gets another entry before that.
async fn append(shared: &Arc<StoreShared>, entry: &Arc<Entry>, condition: &mut LogCondition) {
    let (began, mut pause, mut unknown) = (Instant::now(), FIRST_PAUSE, false);
    while shared.replica().in_flight().is_some_and(|current| Arc::ptr_eq(current, entry)) {
        if shared.replica().needs_snapshot() {
            load_snapshot(shared).await;
            continue;
        }
        let outcome = if shared.log.is_shared() {
            let late = |_| Err(LogError::unknown("append to the log", "no response in time"));
            timeout(REQUEST_TIMEOUT, shared.log.append(entry)).await.unwrap_or_else(late)
        } else {
            shared.log.append(entry).await
        };
        match outcome {
            Ok(outcome) => {
                let is_done = outcome == crate::storage::Appended::Done;
                if !is_done {
                    shared.metrics.store().conflicted();
                }
                // Counted first: a client that has its answer finds the condition of the storage that led to it.
                shared.metrics.committed(true, began.elapsed());
                shared.update(|replica| replica.appended(entry.sequence, outcome));
                if is_done {
                    condition.contention.appended(Instant::now(), began.elapsed());
                    shared.mean_append.store(
                        condition
                            .contention
                            .mean()
                            .map_or(0, |mean| u64::try_from(mean.as_micros()).unwrap_or(u64::MAX)),
                        Ordering::Relaxed,
                    );
                    after_append(shared, entry.sequence, condition).await;
                }
                continue;
            }
            Err(LogError::Invalid { what }) => return shared.fail(what),
            // After an attempt with an unknown outcome, a refusal of the next one does not decide the first.
            Err(error @ LogError::Refused { .. }) if !unknown => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "storage failed; every write is refused until it works again");
                shared.metrics.committed(false, began.elapsed());
                shared.update(|replica| replica.refused(entry.sequence));
                condition.refused = Some(Instant::now());
                return;
            }
            Err(error) => {
                if !unknown {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, sequence = entry.sequence, "outcome of append is unknown; sending it again");
                    shared.metrics.committed(false, began.elapsed());
                }
                unknown = true;
            }
        }
        if shared.ending.load(Ordering::SeqCst) {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if unknown {
        // A read of the log may have shown the outcome.
        shared.metrics.committed(true, began.elapsed());
    }
}

/// Leaves the next positions to other replicas where that is fair, and stores a snapshot where it is due.
async fn after_append(shared: &Arc<StoreShared>, sequence: Sequence, condition: &mut LogCondition) {
    if !shared.log.is_shared() {
        return;
    }
    if sequence.is_multiple_of(SNAPSHOT_EVERY) {
        let snapshot = shared.replica().snapshot();
        match shared.log.put_snapshot(&snapshot).await {
            Ok(()) => {
                condition.snapshots.push((Instant::now(), snapshot.sequence));
                trim(shared, condition).await;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, sequence, "failed to store snapshot; the next one replaces it");
            }
        }
    }
    let writers = shared.writers();
    let draw = u32::try_from(uuid::Uuid::new_v4().as_u128() % 1000).unwrap_or_default();
    let pause = condition.contention.pause(writers.count, writers.slowest, draw);
    if !pause.is_zero() {
        sleep(pause).await;
    }
}

/// Empties the entries that an earlier snapshot contains, once it is old enough.
async fn trim(shared: &StoreShared, condition: &mut LogCondition) {
    let old = condition.snapshots.iter().rposition(|(at, _)| at.elapsed() >= KEEP_ENTRIES);
    let Some((_, sequence)) = old.and_then(|at| condition.snapshots.drain(..=at).next_back()) else { return };
    if let Err(error) = shared.log.trim(sequence).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, sequence, "failed to empty old entries of the log; the next snapshot tries again");
    }
}

/// Reads the entries of other replicas: for every reader that waits, and at intervals.
async fn follow(shared: &StoreShared) {
    let mut hints = shared.log.hints();
    let mut is_failing = false;
    while shared.replica().failure().is_none() && !shared.ending.load(Ordering::SeqCst) {
        let number = shared.update(Replica::begin_read);
        let (mut began, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let after = shared.replica().sequence();
            if shared.replica().failure().is_some() {
                return;
            }
            let late = |_| Err(LogError::unknown("read the log", "no response in time"));
            match timeout(REQUEST_TIMEOUT, shared.log.read(after)).await.unwrap_or_else(late) {
                Ok(page) => {
                    shared.metrics.store().read(began.elapsed());
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("log can be read again");
                    }
                    let continues = shared.update(|replica| replica.read_done(number, after, page));
                    if shared.replica().needs_snapshot() {
                        load_snapshot(shared).await;
                    }
                    if !continues {
                        shared.confirmed(began);
                        break;
                    }
                }
                Err(LogError::Invalid { what }) => shared.fail(what),
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "failed to read the log; reads are answered from memory");
                    }
                    if shared.ending.load(Ordering::SeqCst) {
                        return;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    began = Instant::now();
                }
            }
        }
        if shared.replica().has_waiting_readers() {
            continue;
        }
        let hint = async {
            let hinted = match &mut hints {
                Some(hints) => hints.changed().await.is_ok(),
                None => false,
            };
            if !hinted {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(POLL) => {}
            () = shared.read_wanted.notified() => {}
            () = hint => {}
        }
    }
}

async fn load_snapshot(shared: &StoreShared) {
    match shared.log.load_snapshot().await {
        Ok(snapshot) => {
            let mut state = State::new(shared.quotas.clone());
            for record in &snapshot.records {
                state.apply(record);
            }
            shared.update(|replica| replica.install(&snapshot, state));
        }
        Err(LogError::Invalid { what }) => shared.fail(what),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "failed to load snapshot; trying again");
        }
    }
    sleep(FIRST_PAUSE).await;
}
