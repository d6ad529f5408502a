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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::memory::MemoryPorts;

    #[tokio::test]
    async fn meshes_come_and_go_and_cost_a_write_only_then() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let ports = MemoryPorts::at(now);
        let roster = Roster { state: &ports.state, function: "f" };
        let other = Roster { state: &ports.state, function: "g" };
        let set = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<MeshName>>();
        let notes = || ports.faults.calls().iter().filter(|call| call.name == "note").count();
        assert_eq!(roster.add(&set(&["a", "b"]), now).await.unwrap(), set(&["a", "b"]));
        assert_eq!(roster.add(&set(&["b"]), now).await.unwrap(), set(&["a", "b"]));
        roster.remove(&"c".parse().unwrap(), now).await.unwrap();
        assert_eq!(notes(), 1);
        roster.remove(&"a".parse().unwrap(), now).await.unwrap();
        assert_eq!(roster.add(&set(&["c"]), now).await.unwrap(), set(&["b", "c"]));
        assert_eq!(notes(), 3);
        assert_eq!(other.add(&set(&[]), now).await.unwrap(), set(&[]), "each function knows its own");
    }

    #[tokio::test]
    async fn unreadable_roster_is_an_error_and_stays_as_it_is() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        for document in [
            json!({ "meshes": 7 }),
            json!({ "meshes": ["not/a/name"] }),
            json!({ "format": 3 }),
            json!(null),
            json!([]),
        ] {
            let ports = MemoryPorts::at(now);
            let key = StateKey::meshes("f");
            let note = Note { key: key.clone(), revision: 0, now, document: document.clone(), journal: None };
            ports.state.note(&note).await.unwrap();
            let roster = Roster { state: &ports.state, function: "f" };
            let error = roster.add(&["a".parse().unwrap()].into(), now).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Other, "{error}");
            assert!(error.to_string().contains("document `f`"), "{error}");
            assert_eq!(ports.state.stored(&key).unwrap().document, document);
        }
    }
}
