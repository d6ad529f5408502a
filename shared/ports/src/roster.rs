//! The meshes that a function knows, to detect the deletion of a mesh without an event.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::name::MeshName;
use records::{RosterRecord, read_record, write_record};

use crate::{BudgetWindow, Note, PortError, PortErrorKind, StateKey, StateStore, StoreOutcome};

/// The maximum number of attempts of a write while other invocations write the document.
const ATTEMPTS: usize = 5;

/// The meshes that a function has read and that it has not seen deleted, in one document of the state table. A mesh is
/// added before any other record about it is stored, and removed after all these records are settled.
#[derive(Clone, Copy, Debug)]
pub struct Roster<'a> {
    /// The state table.
    pub state: &'a dyn StateStore,
    /// The function.
    pub function: &'a str,
}

impl Roster<'_> {
    /// Adds meshes, and returns all known ones. Meshes that are known already cause no write.
    pub async fn add(&self, meshes: &BTreeSet<MeshName>, now: Timestamp) -> Result<BTreeSet<MeshName>, PortError> {
        self.change(now, |known| known.extend(meshes.iter().cloned())).await
    }

    /// Removes a mesh. An unknown mesh causes no write.
    pub async fn remove(&self, mesh: &MeshName, now: Timestamp) -> Result<(), PortError> {
        self.change(now, |known| known.retain(|other| other != mesh)).await.map(drop)
    }

    async fn change(
        &self,
        now: Timestamp,
        change: impl Fn(&mut BTreeSet<MeshName>),
    ) -> Result<BTreeSet<MeshName>, PortError> {
        let key = StateKey::meshes(self.function);
        // No budget is used here; every load must name a window.
        let window = BudgetWindow { class: self.function.to_owned(), start: now, end: now };
        for _ in 0..ATTEMPTS {
            let stored = self.state.load(std::slice::from_ref(&key), &window).await?.documents.remove(&key);
            let revision = stored.as_ref().map_or(0, |stored| stored.revision);
            // An unreadable document is not empty: overwriting it would lose the meshes in it, and their deletion.
            let before: BTreeSet<MeshName> = match &stored {
                Some(stored) => read_record::<RosterRecord>(&key, &stored.document)?.meshes,
                None => BTreeSet::new(),
            };
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(after);
            }
            let document = write_record(&RosterRecord { meshes: after.clone() });
            let note = Note { key: key.clone(), revision, now, document, journal: None };
            if self.state.note(&note).await? == StoreOutcome::Stored {
                return Ok(after);
            }
        }
        let why = "others write it all the time".to_owned();
        Err(PortError::new(format!("store the known meshes of {}", self.function), PortErrorKind::Conflict, why))
    }
}
