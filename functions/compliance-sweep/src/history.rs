//! The findings of the previous sweep, stored in the state table.
//!
//! ```text
//!   compliance-sweep/shop         sweptAt, the served trigger ids, and the findings or the number of their parts
//!   compliance-sweep/shop/3-of-16 the findings with ids that belong to this part
//! ```
//!
//! A document has at most 400 KB in the table, which is some 2,500 findings. Each part is independent. A crash between
//! the writes of two parts leads to repeated notifications of findings, never to missing ones.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::name::MeshName;
use ports::{BudgetWindow, DocumentError, JournalEntry, Note, PortError, StateKey, StateStore, StoreOutcome, Stored};
use records::{
    DecisionEntry, FindingsPart, Function, JournalBody, Layout, SweepMessage, SweepRecord, read_record, write_record,
};
use reports::{Changes, Dated, History};
use rules::pack::{Finding, FindingId};
use runner::Decision;
use runner::events::EventId;
use serde_json::{Value, json};

use crate::NAME;

/// The most trigger ids that are remembered as served. Queues and buses repeat a trigger within minutes, at most within
/// a day, and operators make fewer requests in that time. A forgotten trigger that is repeated costs a sweep.
const MOST_SERVED: usize = 20;

/// The possible numbers of parts for the findings; the smallest sufficient one applies. With 1, the findings are in the
/// mesh's own document.
const PARTS: [usize; 3] = [1, 16, 256];

/// The most characters of findings in a document. An item of the table has at most 400 KB, including its names and
/// other fields.
const MOST: usize = 200_000;

/// The characters of a document that are reserved for unsent messages. Longer messages leave less room for findings.
const SPARE: usize = 150_000;

/// The most findings that are remembered as still open in Security Hub. More would not fit into the document.
const MOST_UNARCHIVED: usize = 500;

/// The most notices and events that wait to be sent. More would not fit next to the findings.
const MOST_OWED: usize = 3;

/// The stored document of a mesh, without the parts of its findings.
#[derive(Debug)]
pub(crate) struct Head {
    mesh: MeshName,
    revision: u64,
    document: SweepRecord,
}

/// Why the stored findings could not be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The state table could not be read.
    Port(PortError),
    /// A document cannot be read. It never counts as a document without findings, and is never overwritten.
    Document(DocumentError),
}

impl From<PortError> for LoadError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<DocumentError> for LoadError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl From<LoadError> for PortError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Port(error) => error,
            LoadError::Document(error) => error.into(),
        }
    }
}

/// The most documents that are loaded at a time: each may have 400 KB.
const AT_A_TIME: usize = 20;

/// The time of the last sweep of each mesh; `None` for a mesh that was never swept. A mesh with an unreadable document
/// is left out: its sweep reports the document.
pub(crate) async fn swept_at(
    state: &dyn StateStore,
    meshes: &BTreeSet<MeshName>,
    now: Timestamp,
) -> Result<BTreeMap<MeshName, Option<Timestamp>>, PortError> {
    let mut swept = BTreeMap::new();
    let keys: Vec<(MeshName, StateKey)> =
        meshes.iter().map(|mesh| (mesh.clone(), StateKey::mesh(NAME, mesh))).collect();
    for chunk in keys.chunks(AT_A_TIME) {
        let of_chunk: Vec<StateKey> = chunk.iter().map(|(_, key)| key.clone()).collect();
        let stored = load(state, &of_chunk, now).await?;
        for (mesh, key) in chunk {
            let document = stored.get(key).map(|stored| read_record::<SweepRecord>(key, &stored.document));
            match document {
                None => drop(swept.insert(mesh.clone(), None)),
                Some(Ok(document)) => drop(swept.insert(mesh.clone(), document.swept_at)),
                Some(Err(error)) => tracing::warn!(%error, %mesh, "failed to read when a mesh was swept"),
            }
        }
    }
    Ok(swept)
}

impl Head {
    /// Loads the document of a mesh.
    pub(crate) async fn load(state: &dyn StateStore, mesh: &MeshName, now: Timestamp) -> Result<Self, LoadError> {
        let key = StateKey::mesh(NAME, mesh);
        let stored = load(state, std::slice::from_ref(&key), now).await?.remove(&key);
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let document: SweepRecord = match &stored {
            Some(stored) => read_record(&key, &stored.document)?,
            None => SweepRecord::default(),
        };
        match document.parts {
            Some(parts) if !PARTS.contains(&parts) => {
                let message = format!("`parts` is {parts}");
                Err(DocumentError::Malformed { key: key.as_str().to_owned(), message }.into())
            }
            Some(_) | None => Ok(Self { mesh: mesh.clone(), revision, document }),
        }
    }

    fn parts(&self) -> usize {
        self.document.parts.unwrap_or(1)
    }

    /// Whether a message is still to be sent.
    pub(crate) const fn is_owing(&self) -> bool {
        !self.document.owed.is_empty()
    }

    pub(crate) fn served(&self) -> &[EventId] {
        &self.document.wakes
    }

    pub(crate) const fn swept_at(&self) -> Option<Timestamp> {
        self.document.swept_at
    }

    /// Loads the findings, from this document or from its parts.
    pub(crate) async fn remembered(self, state: &dyn StateStore, now: Timestamp) -> Result<Remembered, LoadError> {
        let mut history = History::from(self.document.findings.clone().unwrap_or_default());
        let mut known = BTreeMap::new();
        if self.parts() > 1 {
            let parts = load_parts(state, &self.mesh, self.parts(), now).await?;
            if parts.is_empty() {
                // Findings are split because there are many: without any part they are unknown, and not resolved.
                let key = StateKey::mesh(NAME, &self.mesh).as_str().to_owned();
                let message = format!("none of its {} parts is stored", self.parts());
                return Err(DocumentError::Malformed { key, message }.into());
            }
            for (part, (revision, found)) in parts {
                history.join(found.clone());
                known.insert(part, (revision, found));
            }
        }
        Ok(Remembered { head: self, known, history, has_changed: false })
    }
}

/// The stored state of a mesh, with the findings of the previous sweep.
#[derive(Debug)]
pub(crate) struct Remembered {
    head: Head,
    /// The parts as they are stored, with their revisions.
    known: BTreeMap<usize, (u64, History)>,
    history: History,
    has_changed: bool,
}

impl Remembered {
    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// The mesh's ARN as it was last read.
    pub(crate) fn arn(&self) -> &str {
        &self.head.document.arn
    }

    /// Whether the mesh was never swept, or has no stored findings.
    pub(crate) fn is_first(&self) -> bool {
        self.head.document.swept_at.is_none() || self.history.is_empty()
    }

    /// Whether the mesh has no open findings, neither stored nor in Security Hub.
    pub(crate) fn is_settled(&self) -> bool {
        self.history.is_empty() && self.head.document.unarchived.is_empty()
    }

    /// All findings to archive: the findings that this sweep resolved, and earlier ones that could not be archived.
    pub(crate) fn to_archive(&self, changes: &Changes, findings: &[Finding]) -> Changes {
        let found: BTreeSet<FindingId> = findings.iter().map(Finding::id).collect();
        let mut resolved = changes.resolved.clone();
        resolved.extend(self.head.document.unarchived.iter().filter(|(id, _)| !found.contains(id)).cloned());
        Changes { new: changes.new.clone(), resolved }
    }

    /// Remembers the findings that could not be archived.
    pub(crate) fn leave_open(&mut self, mut unarchived: Vec<(FindingId, Dated)>) {
        if unarchived.len() > MOST_UNARCHIVED {
            tracing::error!(count = unarchived.len(), "more is open in Security Hub than can be remembered");
            unarchived.truncate(MOST_UNARCHIVED);
        }
        self.head.document.unarchived = unarchived;
    }

    /// Takes the unsent messages, to send them now.
    pub(crate) fn take_owed(&mut self) -> Vec<SweepMessage> {
        std::mem::take(&mut self.head.document.owed)
    }

    /// Remembers unsent messages. If there are too many, the oldest are dropped; the journal and the reports have
    /// their findings.
    pub(crate) fn owe(&mut self, mut owed: Vec<SweepMessage>) {
        let superfluous = owed.len().saturating_sub(MOST_OWED);
        if superfluous > 0 {
            tracing::error!(
                superfluous,
                "dropped the oldest notifications, which could not be sent; the journal has their findings"
            );
            owed.drain(..superfluous);
        }
        self.head.document.owed = owed;
    }

    /// Remembers the events that the mesh was swept for, and the mesh's ARN.
    pub(crate) fn serve(&mut self, event_ids: &BTreeSet<EventId>, arn: &str) {
        let served = &mut self.head.document.wakes;
        served.retain(|id| !event_ids.contains(id));
        served.extend(event_ids.iter().cloned());
        served.drain(..served.len().saturating_sub(MOST_SERVED));
        arn.clone_into(&mut self.head.document.arn);
    }

    /// Replaces the findings by the current ones. A missing finding counts as resolved only if `is_known` says that the
    /// sweep could have found it.
    pub(crate) fn update(
        &mut self,
        findings: &[Finding],
        now: Timestamp,
        is_known: impl Fn(&Dated) -> bool,
    ) -> Changes {
        let changes = self.history.update_known(findings, now, is_known);
        self.has_changed = !changes.is_empty();
        self.head.document.swept_at = Some(now);
        changes
    }

    /// Stores the state; `false` if another sweep stored it in the meantime. A state without new or resolved findings
    /// is not journalled.
    pub(crate) async fn store(
        &mut self,
        state: &dyn StateStore,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let owed = json!(self.head.document.owed).to_string().len();
        let (split, pieces) = pieces(&self.history, MOST.saturating_sub(owed.saturating_sub(SPARE)));
        if split != self.head.parts() {
            // Parts that remain from an earlier split are overwritten.
            self.known =
                if split > 1 { load_parts(state, &self.head.mesh, split, now).await? } else { BTreeMap::new() };
        }
        if split > 1 {
            for (part, piece) in pieces.into_iter().enumerate() {
                let (revision, stored) = self.known.get(&part).cloned().unwrap_or_default();
                let key = StateKey::part_of_mesh(NAME, &self.head.mesh, part, split);
                let document = write_record(&FindingsPart { findings: piece.clone().into() });
                let note = Note { key, revision, now, document, journal: None };
                if piece != stored && state.note(&note).await? == StoreOutcome::Overtaken {
                    return Ok(false);
                }
            }
        }
        let journal = self.has_changed.then(|| {
            let decisions = vec![DecisionEntry::from(decision)];
            let body = JournalBody::Decided { function: Function::ComplianceSweep, decisions, observed: None };
            JournalEntry::new(now, NAME, &body, Layout::Single)
        });
        let document = self.document(split);
        self.store_head(state, document, journal, now).await
    }

    /// Stores the unsent messages alone, after [`Self::store`]. `false` if another sweep has stored the mesh since.
    pub(crate) async fn store_owed(
        &mut self,
        owed: Vec<SweepMessage>,
        state: &dyn StateStore,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        self.owe(owed);
        let document = write_record(&self.head.document);
        self.store_head(state, document, None, now).await
    }
}

impl Remembered {
    async fn store_head(
        &mut self,
        state: &dyn StateStore,
        document: Value,
        journal: Option<JournalEntry>,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let key = StateKey::mesh(NAME, &self.head.mesh);
        let note = Note { key, revision: self.head.revision, now, document, journal };
        let is_stored = state.note(&note).await? == StoreOutcome::Stored;
        if is_stored {
            self.head.revision = self.head.revision.saturating_add(1);
        }
        Ok(is_stored)
    }

    /// The mesh's own document, with its findings in `split` parts.
    fn document(&mut self, split: usize) -> Value {
        let document = &mut self.head.document;
        (document.parts, document.findings) =
            if split == 1 { (None, Some(self.history.clone().into())) } else { (Some(split), None) };
        write_record(document)
    }
}

/// Splits the findings into the smallest number of parts in which each part fits.
fn pieces(history: &History, most: usize) -> (usize, Vec<History>) {
    let fits = |pieces: &[History]| pieces.iter().all(|piece| json!(piece).to_string().len() <= most);
    let mut last = (1, Vec::new());
    for parts in PARTS {
        last = (parts, history.split(parts));
        if fits(&last.1) {
            break;
        }
    }
    last
}

async fn load(
    state: &dyn StateStore,
    keys: &[StateKey],
    now: Timestamp,
) -> Result<BTreeMap<StateKey, Stored>, PortError> {
    // Every load has to name a window; a sweep spends no budget.
    let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
    Ok(state.load(keys, &window).await?.documents)
}

async fn load_parts(
    state: &dyn StateStore,
    mesh: &MeshName,
    split: usize,
    now: Timestamp,
) -> Result<BTreeMap<usize, (u64, History)>, LoadError> {
    let keys: Vec<StateKey> = (0..split).map(|part| StateKey::part_of_mesh(NAME, mesh, part, split)).collect();
    let mut stored = load(state, &keys, now).await?;
    let mut found = BTreeMap::new();
    for (part, key) in keys.iter().enumerate() {
        // A part without findings was never written.
        let Some(stored) = stored.remove(key) else { continue };
        let document: FindingsPart = read_record(key, &stored.document)?;
        found.insert(part, (stored.revision, document.findings.into()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ports_memory::{Faults, MemoryState};

    use super::*;

    /// The size limit of an item of the table, in bytes.
    const ITEM: usize = 400_000;

    fn findings(count: usize) -> Vec<Finding> {
        let finding = |n: usize| {
            let resource = format!("mesh/shop/virtualNode/a-node-with-a-name-of-usual-length-{n}");
            let written = json!({"rule": "node-unused", "severity": "low", "resource": resource, "facts": {},
                "message": "nothing leads to it and it calls nothing"});
            serde_json::from_value(written).unwrap()
        };
        (0..count).map(finding).collect()
    }

    /// Stores these findings. Returns how many of them are new, and how many stored ones are resolved.
    async fn remember(state: &dyn StateStore, findings: &[Finding], now: Timestamp) -> (usize, usize) {
        let head = Head::load(state, &"shop".parse().unwrap(), now).await.unwrap();
        let mut remembered = head.remembered(state, now).await.unwrap();
        let changes = remembered.update(findings, now, |_| true);
        let decision = Decision {
            resource: "mesh/shop".to_owned(),
            decision: "sweep".to_owned(),
            reason: "Changed".to_owned(),
            facts: Value::Null,
            plan: None,
            outcome: None,
        };
        assert!(remembered.store(state, &decision, now).await.unwrap());
        (changes.new.len(), changes.resolved.len())
    }

    #[tokio::test(start_paused = true)]
    async fn findings_of_any_number_fit_and_are_found_again() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let state = MemoryState::new(Faults::default());
        let many = findings(10_000);
        // From none to many, as many again, fewer, none, and back: each time only the difference is new or resolved.
        let mut before = 0;
        for (count, split) in [(10, 1), (10_000, 16), (10_000, 16), (1_500, 16), (900, 1), (0, 1), (10_000, 16)] {
            let (new, gone) = remember(&state, &many[..count], now).await;
            let expected = (count.saturating_sub(before), before.saturating_sub(count));
            assert_eq!((new, gone), expected, "{before} to {count}");
            before = count;
            let mesh = "shop".parse().unwrap();
            let keys = (0..split).map(|part| StateKey::part_of_mesh(NAME, &mesh, part, split));
            let keys = std::iter::once(StateKey::mesh(NAME, &mesh)).chain(keys.filter(|_| split > 1));
            let sizes: Vec<usize> =
                keys.filter_map(|key| state.stored(&key)).map(|one| one.document.to_string().len()).collect();
            assert_eq!(sizes.len(), if split > 1 { split + 1 } else { 1 }, "{count}");
            assert!(sizes.iter().all(|size| *size < ITEM), "{sizes:?}");
        }
    }

    #[test]
    fn the_number_of_parts_follows_the_number_of_findings() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        for (count, expected) in [(0, 1), (900, 1), (1_500, 16), (10_000, 16), (30_000, 256)] {
            let mut history = History::default();
            history.update(&findings(count), now);
            let (split, pieces) = pieces(&history, MOST);
            assert_eq!((split, pieces.len()), (expected, expected), "{count}");
            let mut joined = History::default();
            for piece in pieces {
                joined.join(piece);
            }
            assert_eq!(joined, history);
        }
    }
}
