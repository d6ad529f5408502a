//! The state, shared by all connections: writes one at a time, each offered to whoever follows the changes.

use std::sync::{PoisonError, RwLock};

use tokio::sync::broadcast;

use crate::error::ApiError;
use crate::quotas::Quotas;
use crate::state::{Answer, Change, Read, Stamp, State, Write};

/// Changes that a follower may fall behind by before it has to read everything again.
const CHANGES_KEPT: usize = 1024;

/// The state in memory. One lock for all of it: a write takes microseconds, and the checks of a write (does the target
/// exist, does anything refer to this) look at more than one resource.
#[derive(Debug)]
pub struct Store {
    state: RwLock<State>,
    changes: broadcast::Sender<Change>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self { state: RwLock::new(State::new(quotas)), changes: broadcast::Sender::new(CHANGES_KEPT) }
    }

    /// Answers a question.
    pub fn read(&self, read: &Read) -> Result<Answer, ApiError> {
        // A write changes nothing before it has checked everything, so a panic in one left the state whole.
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.read(read)
    }

    /// Carries out a write, alone.
    pub fn write(&self, write: &Write, stamp: &Stamp) -> Result<Answer, ApiError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let written = state.write(write, stamp)?;
        if let Some(change) = written.change {
            // Sent while the lock is held, so that changes are seen in the order in which they happened. That nobody
            // listens is no error.
            let _ = self.changes.send(change);
        }
        Ok(written.answer)
    }

    /// Every accepted change from now on, in order. A follower that falls too far behind is told so, and reads anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// A look at everything at one moment. Changes are told under the same lock, so whoever subscribes or empties a
    /// receiver inside has all changes up to what it sees there, and none after.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}
