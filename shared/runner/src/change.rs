//! The begin and the end of a change: kill switch, budget, lease, intent and journal entry in one conditional write
//! before it, and the outcome in one after it.
//!
//! Only a [`ChangeLease`] makes [`Executed`], so a function cannot report a change that it did not begin. A process that
//! is killed in between leaves the intent in the document; the next run resumes the plan when the lease has ended.

use ports::{Begin, Begun, Finish, JournalEntry, PortError, Refusal, StateKey, StateStore, StoreOutcome};
use serde_json::Value;

/// A change that the state table has not allowed yet.
#[derive(Debug)]
pub struct PendingChange<'a> {
    state: &'a dyn StateStore,
    begin: Begin,
}

/// Why a change did not begin. Nothing was stored or written.
#[derive(Debug)]
pub enum NotBegun {
    /// The state table refused it.
    Refused(Refusal),
    /// The call failed.
    Failed(PortError),
}

/// The permission to make one change.
#[derive(Debug)]
pub struct ChangeLease {
    epoch: u64,
}

/// A change that was made, or that had a failed call.
#[derive(Debug)]
pub struct Executed<D> {
    pub(crate) epoch: u64,
    /// The result of the steps. A failed call may have had an effect.
    pub(crate) done: Result<D, PortError>,
}

impl<'a> PendingChange<'a> {
    pub(crate) const fn new(state: &'a dyn StateStore, begin: Begin) -> Self {
        Self { state, begin }
    }

    /// Begins the change. Every write to a mesh comes after this.
    pub async fn begin(self) -> Result<ChangeLease, NotBegun> {
        match self.state.begin(&self.begin).await {
            // The epoch of a granted lease is the revision of the document.
            Ok(Begun::Granted { epoch, .. }) => Ok(ChangeLease { epoch }),
            Ok(Begun::Refused(refusal)) => Err(NotBegun::Refused(refusal)),
            Err(error) => Err(NotBegun::Failed(error)),
        }
    }
}

impl ChangeLease {
    /// The change, with the result of its steps.
    pub const fn executed<D>(self, done: Result<D, PortError>) -> Executed<D> {
        Executed { epoch: self.epoch, done }
    }
}

/// Stores the outcome of a change and releases its lease. Returns the new revision; `None` if another writer has the
/// lease, or the call failed. Then the intent stays in the document, and the change is in place all the same.
pub(crate) async fn finish(
    state: &dyn StateStore,
    key: &StateKey,
    epoch: u64,
    document: Value,
    journal: JournalEntry,
) -> Option<u64> {
    let finish = Finish { key: key.clone(), epoch, document, journal };
    match state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => Some(epoch.saturating_add(1)),
        Ok(StoreOutcome::Overtaken) => {
            tracing::warn!(key = key.as_str(), "lease expired before the change ended");
            None
        }
        Err(error) => {
            tracing::warn!(%error, key = key.as_str(), "failed to record the outcome of a change");
            None
        }
    }
}
