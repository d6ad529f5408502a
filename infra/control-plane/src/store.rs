//! The state, shared by all connections: writes are executed one at a time, stored before they are answered, and sent to
//! the followers of changes.
//!
//! ```text
//!  write --> replica (staged state) --> entry for all waiting --> log --> replica (stored state), for reads
//!            decides                    appended by the worker              --> changes, answers
//! ```
//!
//! Writes are decided on the staged state, which is ahead; reads use the stored state. So no client receives an answer
//! that a crash would undo: neither a reader, nor a follower, nor a writer that is refused because of an earlier write.
//!
//! Several replicas may share a log. Then a write is decided again if another replica appended first, a refusal is
//! confirmed by a read of the log's head, and so is every read: an answer contains all writes that any replica
//! acknowledged before the request.

mod contention;
mod event_log;
mod freshness;
mod own_evidence;
mod ports;
mod presence;
mod replica;
mod shared;
mod start;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rules::pack::Finding;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::quotas::Quotas;
use crate::state::{
    Action, Answer, Change, PlannedChange, Read, Record, Revocation, Stamp, State, Write, WriteSignature,
};
use crate::storage::{LocalLog, Log, Memory, Registry, Sequence, Snapshot, Storage};
pub(crate) use event_log::EventDraft;
pub(crate) use freshness::Freshness;
pub use ports::PortRequest;
use presence::Presence;
pub(crate) use presence::SERVE_STALE;
use replica::{Decision, Durability, Replica, WriteEnd};
use shared::StoreShared;
pub use start::{LogStartError, ReplicaRole};
use worker::Worker;

/// How long a write waits for a shared store. Longer, its outcome is unknown.
const WRITE_TIMEOUT: Duration = Duration::from_millis(2500);

/// How long a read waits for the head of a shared log. Longer, it is answered from memory, with its age.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The age from which the state is too old for any answer.
const TOO_OLD: Duration = Duration::from_secs(5);

/// The state and its log. One lock protects all of it: a write takes microseconds, and its checks (existing targets,
/// references to the resource) read more than one resource.
#[derive(Debug)]
pub struct Store {
    shared: Arc<StoreShared>,
    /// The thread that appends, if an append waits for a device or a network; otherwise each writer appends.
    worker: Option<Worker>,
    presence: Option<Arc<Presence>>,
}

/// A write that is decided, and may not be stored yet.
#[derive(Debug)]
pub(crate) struct DecidedWrite<'s> {
    store: &'s Store,
    outcome: Result<Answer, ApiError>,
    stored: Durability,
}

/// The attempts of one write, which is decided again where another replica was faster.
#[derive(Debug, Default)]
pub(crate) struct WriteAttempts {
    /// Whether the head of the log was read since the write began: a refusal is right from then on.
    confirmed: bool,
    deadline: Option<Instant>,
    signature: Option<WriteSignature>,
    events: Option<EventDraft>,
}

impl WriteAttempts {
    /// The attempts of a write with this signature.
    pub(crate) fn signed(signature: Option<WriteSignature>) -> Self {
        Self { signature, ..Self::default() }
    }

    /// Stores these change events with the write, if the log is shared.
    pub(crate) fn with_events(self, events: EventDraft) -> Self {
        Self { events: Some(events), ..self }
    }
}

impl DecidedWrite<'_> {
    /// Waits until the write is stored or has failed. `None` if the write has to be decided again.
    pub(crate) async fn wait(self, attempts: &mut WriteAttempts) -> Option<Result<Answer, ApiError>> {
        let is_shared = self.store.shared.log.is_shared();
        let end = match self.stored {
            Durability::Already => WriteEnd::Stored,
            Durability::Later(stored) if is_shared => {
                let deadline = *attempts.deadline.get_or_insert_with(|| Instant::now() + WRITE_TIMEOUT);
                timeout_at(deadline, stored).await.map_or(WriteEnd::Unknown, |end| end.unwrap_or(WriteEnd::Unknown))
            }
            Durability::Later(stored) => stored.await.unwrap_or(WriteEnd::NotStored),
        };
        match end {
            WriteEnd::Stored if self.outcome.is_err() && is_shared && !attempts.confirmed => {
                if self.store.reach_head().await.is_err() {
                    return Some(Err(ApiError::Stale));
                }
                attempts.confirmed = true;
                None
            }
            WriteEnd::Stored => Some(self.outcome),
            WriteEnd::DecideAgain => None,
            WriteEnd::NotStored => Some(Err(ApiError::Unavailable)),
            WriteEnd::Unknown => Some(Err(ApiError::OutcomeUnknown)),
        }
    }
}

/// The head of the log was not read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// How old the stored state may be.
    pub(crate) age: Duration,
}

/// How long a start reads the log of a shared store.
const START_TIMEOUT: Duration = Duration::from_mins(1);

impl Store {
    /// An empty store, lost with the process.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        let log = Arc::new(LocalLog::new(Box::new(Memory)));
        let shared = Arc::new(Self::share(log, &Snapshot::default(), quotas));
        Self { shared, worker: None, presence: None }
    }

    /// A store with the records that were read from its storage. Lower quotas remove no resource. Fails if no thread can
    /// be started.
    pub fn with_storage(storage: Box<dyn Storage>, records: &[Record], quotas: Quotas) -> io::Result<Self> {
        let start = Snapshot { records: records.to_vec(), ..Snapshot::default() };
        Self::start(Arc::new(LocalLog::new(storage)), &start, quotas, None)
    }

    /// A replica of the store that this log orders, once it has read the log. Without a registry, other replicas are not
    /// known: a test.
    pub async fn with_log(
        log: Arc<dyn Log>,
        registry: Option<Arc<dyn Registry>>,
        role: ReplicaRole,
        start: &Snapshot,
        quotas: Quotas,
    ) -> Result<Self, LogStartError> {
        let presence = registry.map(|registry| Arc::new(Presence::new(registry, Uuid::new_v4())));
        if let Some(presence) = &presence {
            presence.register().await?;
            match role {
                ReplicaRole::Single => presence.refuse_others().await?,
                ReplicaRole::Replica => {}
            }
        }
        let store = Self::start(log, start, quotas, presence).map_err(LogStartError::Thread)?;
        let reached = timeout(START_TIMEOUT, async {
            // A snapshot that another replica stores meanwhile makes the worker begin again.
            while store.problem().is_none() && store.reach_head().await.is_err() {}
        });
        let reached = reached.await;
        if let Some(problem) = store.problem() {
            return Err(LogStartError::Invalid(problem));
        }
        reached.map_err(|_| LogStartError::Unreadable(START_TIMEOUT))?;
        Ok(store)
    }

    fn start(log: Arc<dyn Log>, start: &Snapshot, quotas: Quotas, presence: Option<Arc<Presence>>) -> io::Result<Self> {
        let waits = log.waits();
        let shared = Arc::new(Self::share(log, start, quotas));
        let worker = if waits { Some(Worker::start(&shared, presence.clone())?) } else { None };
        Ok(Self { shared, worker, presence })
    }

    fn share(log: Arc<dyn Log>, start: &Snapshot, quotas: Quotas) -> StoreShared {
        let mut state = State::new(quotas.clone());
        for record in &start.records {
            state.apply(record);
        }
        let replica = Replica::new(state, start, Uuid::new_v4(), log.is_shared());
        StoreShared::new(replica, log, quotas)
    }

    /// Answers a read from memory.
    pub fn read(&self, read: &Read) -> Result<Answer, ApiError> {
        self.inspect(|state| state.read(read))
    }

    /// Waits until this replica has applied every write that was acknowledged before this call. Returns the age of the
    /// state if that is not known in time, and fails if the state is too old for an answer.
    pub(crate) async fn catch_up(&self) -> Result<Option<Duration>, ApiError> {
        match self.reach_head().await {
            Ok(()) => Ok(None),
            Err(Behind { age }) if age < TOO_OLD => Ok(Some(age)),
            Err(Behind { .. }) => Err(ApiError::Stale),
        }
    }

    async fn reach_head(&self) -> Result<(), Behind> {
        if !self.shared.log.is_shared() {
            return Ok(());
        }
        let head = self.shared.update(Replica::wait_for_head);
        self.shared.read_wanted.notify_one();
        match timeout(READ_TIMEOUT, head).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Behind { age: self.shared.age() }),
        }
    }

    /// Executes a write. Completes when it is stored or has failed. Dropping the future does not stop a write that is
    /// being stored.
    pub async fn write(&self, write: &Write, stamp: &Stamp) -> Result<Answer, ApiError> {
        self.write_signed(WriteAttempts::default(), write, stamp).await
    }

    /// Executes a signed write.
    pub(crate) async fn write_signed(
        &self,
        mut attempts: WriteAttempts,
        write: &Write,
        stamp: &Stamp,
    ) -> Result<Answer, ApiError> {
        loop {
            let decided = self.write_if(&attempts, write, stamp, |_, _| Ok(Vec::new()));
            if let Some(outcome) = decided.wait(&mut attempts).await {
                return outcome;
            }
        }
    }

    /// Decides a write. `check` is the last check, under the lock, on the state that the write is applied to; it returns
    /// the findings that the write creates.
    pub(crate) fn write_if(
        &self,
        attempts: &WriteAttempts,
        write: &Write,
        stamp: &Stamp,
        check: impl FnOnce(&State, &PlannedChange<'_>) -> Result<Vec<Finding>, ApiError>,
    ) -> DecidedWrite<'_> {
        let refused = |error| DecidedWrite { store: self, outcome: Err(error), stored: Durability::Already };
        let is_deletion = matches!(write.action, Action::Delete | Action::Untag(_));
        if self.shared.is_full() && !is_deletion {
            return refused(ApiError::Unavailable);
        }
        let (outcome, stored) = self.shared.update(|replica| {
            let now = if self.shared.log.is_shared() { stamp.now.max(replica.time()) } else { stamp.now };
            let stamp = Stamp { now, ..stamp.clone() };
            if self.shared.log.is_shared() && replica.is_crowded() {
                return (Err(ApiError::Crowded), Durability::Already);
            }
            let signature = attempts.signature.as_ref().filter(|_| self.shared.log.is_shared());
            let draft = attempts.events.as_ref().filter(|_| self.shared.log.is_shared());
            replica.stage(|state| {
                let mut created = Vec::new();
                let written = state.write_if(write, &stamp, |state, planned| {
                    signature.map_or(Ok(()), |signature| state.accepts(signature, now))?;
                    created = check(state, planned)?;
                    Ok(())
                });
                match written {
                    Ok(mut written) => {
                        let has_changed = written.change.is_some();
                        if let Some(signature) = signature.filter(|_| has_changed) {
                            let records = state.remembering_signature(signature, now);
                            for record in &records {
                                state.apply(record);
                            }
                            written.records.extend(records);
                        }
                        let draft = draft.filter(|_| has_changed);
                        let events = draft.map(|EventDraft(describe)| describe(&written.answer, &created, now));
                        let events = events.unwrap_or_default();
                        let repeatable = write.token.is_some();
                        (Ok(written.answer), Decision { records: written.records, events, repeatable })
                    }
                    Err(error) => (Err(error), Decision::default()),
                }
            })
        });
        self.begin_append();
        DecidedWrite { store: self, outcome, stored }
    }

    /// Revokes node tokens. Completes when the revocation is stored or has failed.
    pub(crate) async fn revoke(&self, revocation: &Revocation) -> Result<(), ApiError> {
        let mut attempts = WriteAttempts::default();
        loop {
            let (outcome, stored) = self.shared.update(|replica| {
                replica.stage(|state| match state.remembering_revocation(revocation) {
                    Some(records) => {
                        for record in &records {
                            state.apply(record);
                        }
                        (Ok(Answer::Nothing), Decision { records, events: Vec::new(), repeatable: true })
                    }
                    None => (Err(ApiError::Crowded), Decision::default()),
                })
            });
            self.begin_append();
            let decided = DecidedWrite { store: self, outcome, stored };
            if let Some(outcome) = decided.wait(&mut attempts).await {
                return outcome.map(|_| ());
            }
        }
    }

    fn begin_append(&self) {
        if self.worker.is_none() {
            self.shared.append_now();
        } else {
            self.shared.work.notify_one();
        }
    }

    /// Every accepted change from now on, in order. A follower that falls too far behind gets an error, and reads
    /// everything again.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// Reads the complete state at one moment. Changes are sent under the same lock, so a caller that subscribes or empties a
    /// receiver inside has all changes up to the state that it reads, and none after.
    pub fn inspect<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(self.shared.replica().stored())
    }

    /// Every record of the stored state, and the last entry of the log that it contains.
    pub(crate) fn records(&self) -> (Sequence, Vec<Record>) {
        let replica = self.shared.replica();
        (replica.sequence(), replica.stored().records())
    }

    /// The last entry of the log that the state contains.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.shared.replica().sequence()
    }

    /// Whether writes other than deletions can be stored, according to the last commit.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.metrics.is_writable() && !self.shared.is_full()
    }

    /// The reason why this replica cannot continue, if there is one: an operator has to act.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.shared.replica().failure().map(str::to_owned)
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

#[cfg(test)]
mod tests;
