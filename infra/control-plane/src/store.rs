//! The state, shared by all connections: writes one at a time, stored before they are answered, each offered to whoever
//! follows the changes.
//!
//! ```text
//!  write --> staged state --> queue --> one commit for all that wait --> state that is read --> changes, answers
//!            decides                    (a thread; the writer itself where a commit does not wait)
//! ```
//!
//! There are two states. Writes are decided on the staged one, which runs ahead; what is read has been stored. So nobody
//! is shown what a crash would undo: not a reader, not a follower, and not a writer who is refused because of a write
//! before. When a commit fails, all that wait fail with it, and the staged state is again what is read.

mod committer;

use std::io;
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::quotas::Quotas;
use crate::state::{Action, Answer, Change, Planned, Read, Record, Stamp, State, Write};
use crate::storage::{Memory, Storage};
use committer::{Committer, Shared, Stored};

/// The state and what keeps it. One lock for all of it: a write takes microseconds, and the checks of a write (does the
/// target exist, does anything refer to this) look at more than one resource.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// Where commits wait for a device; else each writer commits.
    committer: Option<Committer>,
}

/// A write that is decided, and perhaps not stored yet.
#[derive(Debug)]
pub(crate) struct Decided {
    outcome: Result<Answer, ApiError>,
    stored: Stored,
}

impl Decided {
    /// Ready when it is stored or will not be.
    pub(crate) async fn wait(self) -> Result<Answer, ApiError> {
        if self.stored.wait().await { self.outcome } else { Err(ApiError::Unavailable) }
    }
}

impl Store {
    /// An empty store, gone with the process.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { shared: Arc::new(Shared::new(State::new(quotas), Box::new(Memory))), committer: None }
    }

    /// The store that a storage keeps, with the records that were read from it. Lower quotas than when they were
    /// written take none of them away. An error when no thread can be started.
    pub fn over(storage: Box<dyn Storage>, records: &[Record], quotas: Quotas) -> io::Result<Self> {
        let mut state = State::new(quotas);
        for record in records {
            state.play(record);
        }
        let waits = storage.waits();
        let shared = Arc::new(Shared::new(state, storage));
        let committer = if waits { Some(Committer::start(&shared)?) } else { None };
        Ok(Self { shared, committer })
    }

    /// Answers a question.
    pub fn read(&self, read: &Read) -> Result<Answer, ApiError> {
        self.look(|state| state.read(read))
    }

    /// Carries out a write, alone. Ready when it is stored or will not be. Whoever stops waiting does not stop it.
    pub async fn write(&self, write: &Write, stamp: &Stamp) -> Result<Answer, ApiError> {
        self.write_if(write, stamp, |_, _| Ok(())).wait().await
    }

    /// Decides a write that is also asked of someone who sees what it is applied to, last of all, under the lock.
    pub(crate) fn write_if(
        &self,
        write: &Write,
        stamp: &Stamp,
        may: impl FnOnce(&State, &Planned<'_>) -> Result<(), ApiError>,
    ) -> Decided {
        let is_deletion = matches!(write.action, Action::Delete | Action::Untag(_));
        if self.shared.is_full() && !is_deletion {
            return Decided { outcome: Err(ApiError::Unavailable), stored: Stored::Already };
        }
        let (outcome, stored) = self.stage(|state| match state.write_if(write, stamp, may) {
            Ok(written) => (Ok(written.answer), written.records, written.change),
            Err(error) => (Err(error), Vec::new(), None),
        });
        Decided { outcome, stored }
    }

    /// Gives a listener port to a key, or takes it away. Ready when that is stored or will not be.
    pub async fn put_port(&self, key: &str, port: Option<u16>) -> Result<(), ApiError> {
        let ((), stored) = self.stage(|state| {
            let record = Record::Port(key.to_owned(), port);
            state.play(&record);
            ((), vec![record], None)
        });
        if stored.wait().await { Ok(()) } else { Err(ApiError::Unavailable) }
    }

    fn stage<T>(&self, decide: impl FnOnce(&mut State) -> (T, Vec<Record>, Option<Change>)) -> (T, Stored) {
        let staged = self.shared.stage(decide);
        if self.committer.is_none() {
            self.shared.commit();
        }
        staged
    }

    /// Every accepted change from now on, in order. A follower that falls too far behind is told so, and reads anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// A look at everything at one moment. Changes are told under the same lock, so whoever subscribes or empties a
    /// receiver inside has all changes up to what it sees there, and none after.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.shared.state())
    }

    /// Whether writes can be stored, as far as the last one tells; not only deletions.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.metrics.is_writable() && !self.shared.is_full()
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

#[cfg(test)]
mod tests;
