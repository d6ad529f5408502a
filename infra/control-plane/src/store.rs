//! The state, shared by all connections: writes are executed one at a time, stored before they are answered, and sent to
//! the followers of changes.
//!
//! ```text
//!  write --> staged state --> queue --> one commit for all waiting --> stored state, for reads --> changes, answers
//!            decides                    (in a thread; by the writer itself if a commit does not wait)
//! ```
//!
//! There are two states. Writes are decided on the staged state, which is ahead; reads use the stored state. So no client
//! receives an answer that a crash would undo: neither a reader, nor a follower, nor a writer that is refused because of an
//! earlier write. When a commit fails, all waiting writes fail with it, and the staged state is reset to the stored one.

mod committer;

use std::io;
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::quotas::Quotas;
use crate::state::{Action, Answer, Change, PlannedChange, Read, Record, Stamp, State, Write};
use crate::storage::{Memory, Storage};
use committer::{Committer, Durability, StoreShared};

/// The state and its storage. One lock protects all of it: a write takes microseconds, and its checks (existing
/// targets, references to the resource) read more than one resource.
#[derive(Debug)]
pub struct Store {
    shared: Arc<StoreShared>,
    /// The thread that commits, if a commit waits for a device; otherwise each writer commits.
    committer: Option<Committer>,
}

/// A write that is decided, and may not be stored yet.
#[derive(Debug)]
pub(crate) struct DecidedWrite {
    outcome: Result<Answer, ApiError>,
    stored: Durability,
}

impl DecidedWrite {
    /// Waits until the write is stored or has failed.
    pub(crate) async fn wait(self) -> Result<Answer, ApiError> {
        if self.stored.wait().await { self.outcome } else { Err(ApiError::Unavailable) }
    }
}

impl Store {
    /// An empty store, lost with the process.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { shared: Arc::new(StoreShared::new(State::new(quotas), Box::new(Memory))), committer: None }
    }

    /// A store with the records that were read from its storage. Lower quotas remove no resource. Fails if no thread can be
    /// started.
    pub fn with_storage(storage: Box<dyn Storage>, records: &[Record], quotas: Quotas) -> io::Result<Self> {
        let mut state = State::new(quotas);
        for record in records {
            state.apply(record);
        }
        let waits = storage.waits();
        let shared = Arc::new(StoreShared::new(state, storage));
        let committer = if waits { Some(Committer::start(&shared)?) } else { None };
        Ok(Self { shared, committer })
    }

    /// Answers a read.
    pub fn read(&self, read: &Read) -> Result<Answer, ApiError> {
        self.inspect(|state| state.read(read))
    }

    /// Executes a write. Completes when it is stored or has failed. Dropping the future does not stop the write.
    pub async fn write(&self, write: &Write, stamp: &Stamp) -> Result<Answer, ApiError> {
        self.write_if(write, stamp, |_, _| Ok(())).wait().await
    }

    /// Decides a write. `check` is the last check, under the lock, on the state that the write is applied to.
    pub(crate) fn write_if(
        &self,
        write: &Write,
        stamp: &Stamp,
        check: impl FnOnce(&State, &PlannedChange<'_>) -> Result<(), ApiError>,
    ) -> DecidedWrite {
        let is_deletion = matches!(write.action, Action::Delete | Action::Untag(_));
        if self.shared.is_full() && !is_deletion {
            return DecidedWrite { outcome: Err(ApiError::Unavailable), stored: Durability::Already };
        }
        let (outcome, stored) = self.stage(|state| match state.write_if(write, stamp, check) {
            Ok(written) => (Ok(written.answer), written.records, written.change),
            Err(error) => (Err(error), Vec::new(), None),
        });
        DecidedWrite { outcome, stored }
    }

    /// Assigns a listener port to a key, or removes it. Completes when the change is stored or has failed.
    pub async fn put_port(&self, key: &str, port: Option<u16>) -> Result<(), ApiError> {
        let ((), stored) = self.stage(|state| {
            let record = Record::Port(key.to_owned(), port);
            state.apply(&record);
            ((), vec![record], None)
        });
        if stored.wait().await { Ok(()) } else { Err(ApiError::Unavailable) }
    }

    fn stage<T>(&self, decide: impl FnOnce(&mut State) -> (T, Vec<Record>, Option<Change>)) -> (T, Durability) {
        let staged = self.shared.stage(decide);
        if self.committer.is_none() {
            self.shared.commit();
        }
        staged
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
        read(&self.shared.state())
    }

    /// Whether writes other than deletions can be stored, according to the last commit.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.metrics.is_writable() && !self.shared.is_full()
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

#[cfg(test)]
mod tests;
