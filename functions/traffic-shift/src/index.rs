//! The index of the rollouts in the state table.

use jiff::Timestamp;
use ports::{BudgetWindow, Note, PortError, PortErrorKind, StateKey, StateStore, StoreOutcome};
use records::{RolloutIndex, read_record, write_record};

use crate::NAME;

/// The attempts to change the index. Another run changes it only when a rollout starts or ends.
const ATTEMPTS: usize = 4;

/// The index as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredIndex {
    pub(crate) index: RolloutIndex,
    revision: u64,
}

fn key() -> StateKey {
    StateKey::meshes(NAME)
}

/// Reads the index.
pub(crate) async fn load(state: &dyn StateStore, window: &BudgetWindow) -> Result<StoredIndex, PortError> {
    let key = key();
    let mut view = state.load(std::slice::from_ref(&key), window).await?;
    let Some(stored) = view.documents.remove(&key) else { return Ok(StoredIndex::default()) };
    let unreadable = |error| PortError::new("read the index of rollouts", PortErrorKind::Other, format!("{error}"));
    let index = read_record(&key, &stored.document).map_err(unreadable)?;
    Ok(StoredIndex { index, revision: stored.revision })
}

/// Changes the index, and reads it again if another run was first.
pub(crate) async fn change(
    state: &dyn StateStore,
    window: &BudgetWindow,
    stored: &mut StoredIndex,
    now: Timestamp,
    change: impl Fn(&mut RolloutIndex) + Send + Sync,
) -> Result<(), PortError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            *stored = load(state, window).await?;
        }
        let mut next = stored.index.clone();
        change(&mut next);
        if next == stored.index {
            return Ok(());
        }
        let note = Note { key: key(), revision: stored.revision, now, document: write_record(&next), journal: None };
        if state.note(&note).await? == StoreOutcome::Stored {
            *stored = StoredIndex { index: next, revision: stored.revision.saturating_add(1) };
            return Ok(());
        }
    }
    let why = "another run changed it in every attempt";
    Err(PortError::new("change the index of rollouts", PortErrorKind::Conflict, why))
}
