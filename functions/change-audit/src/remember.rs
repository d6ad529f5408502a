//! The stored state of a mesh between runs.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use mesh::name::MeshName;
use ports::{BudgetWindow, DocumentError, JournalEntry, Note, PortError, PortErrorKind, StateKey, StoreOutcome};
use records::{
    AuditMessage, AuditOutboxEntry, AuditRecord, JournalBody, Layout, SnapshotLocation, read_record, write_record,
};
use rules::audit::{Snapshot, Write};
use sha2::{Digest as _, Sha256};

use crate::{NAME, Ports};

/// The largest state in bytes that the table stores itself. An item has at most 400 KB, and it also contains owed
/// notifications and open changes.
const LARGEST_HERE: usize = 96 * 1024;

/// How long the invocation that stored a notification has to send it: longer than the function may run.
const CLAIM: SignedDuration = SignedDuration::from_secs(3 * 60);

/// The most owed notifications: more would not fit. Operators who cannot be notified for so long read the journal.
const MOST_OWED: usize = 6;

/// The most writes that wait until the mesh can be read again.
const MOST_WAITING: usize = 100;

/// Why the document of a mesh could not be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The state table could not be read.
    Port(PortError),
    /// The document cannot be read. It never counts as absent, and is never overwritten.
    Document(DocumentError),
}

/// The document of a mesh as it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    key: StateKey,
    revision: u64,
    pub(crate) document: AuditRecord,
    pub(crate) kill_switch_on: bool,
}

/// The last state of a mesh.
#[derive(Debug)]
pub(crate) enum Last {
    /// The mesh was never read.
    Never,
    /// The last state.
    Known(Box<Snapshot>),
    /// The mesh was read before, and its stored state is lost.
    Lost(String),
    /// The stored state cannot be read.
    Unreadable(DocumentError),
}

/// The result of storing a state.
#[derive(Debug, PartialEq)]
pub(crate) enum Keeping {
    /// The state is stored.
    Done,
    /// The state is too large for the table, and no reports store is configured.
    NoPlace { bytes: usize },
}

impl Remembered {
    /// Loads the document of a mesh.
    pub(crate) async fn load(ports: &Ports, mesh: &MeshName, now: Timestamp) -> Result<Self, LoadError> {
        let key = StateKey::mesh(NAME, mesh);
        // Every load has to name a window; this call spends no budget.
        let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
        let mut view = ports.state.load(std::slice::from_ref(&key), &window).await.map_err(LoadError::Port)?;
        let stored = view.documents.remove(&key);
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let document = match &stored {
            Some(stored) => read_record(&key, &stored.document).map_err(LoadError::Document)?,
            None => AuditRecord::default(),
        };
        let kill_switch_on = view.kill_switch.is_some();
        Ok(Self { key, revision, document, kill_switch_on })
    }

    /// The last state of the mesh.
    pub(crate) async fn last(&self, ports: &Ports) -> Result<Last, PortError> {
        let Some(at) = self.document.seen_at else { return Ok(Last::Never) };
        let snapshot = match &self.document.state {
            SnapshotLocation::Nowhere => return Ok(Last::Lost("it was too large for the state table".to_owned())),
            SnapshotLocation::Here { snapshot, .. } => snapshot.clone(),
            SnapshotLocation::Report { name, sha256 } => {
                let Some(reports) = &ports.reports else {
                    return Ok(Last::Lost(format!("{name} is in a reports store, and none is configured any more")));
                };
                match reports.get(name).await {
                    Ok(bytes) if digest(&bytes) == *sha256 => match serde_json::from_slice(&bytes) {
                        Ok(snapshot) => snapshot,
                        Err(error) => return Ok(self.unreadable(format!("{name}: {error}"))),
                    },
                    Ok(_) => return Ok(self.unreadable(format!("{name} has other contents than were stored"))),
                    Err(error) if error.kind == PortErrorKind::NotFound => {
                        return Ok(Last::Lost(format!("{name} was deleted")));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(match Snapshot::read(&snapshot, at) {
            Ok(snapshot) => Last::Known(Box::new(Snapshot { later: self.document.read_again.clone(), ..snapshot })),
            Err(error) => self.unreadable(error.to_string()),
        })
    }

    fn unreadable(&self, message: String) -> Last {
        Last::Unreadable(DocumentError::Malformed { key: self.key.as_str().to_owned(), message })
    }

    /// Whether a state is the stored one.
    pub(crate) fn has(&self, snapshot: &Snapshot) -> bool {
        let is = digest(snapshot.to_json().to_string().as_bytes());
        match &self.document.state {
            SnapshotLocation::Nowhere => false,
            SnapshotLocation::Here { sha256, .. } | SnapshotLocation::Report { sha256, .. } => *sha256 == is,
        }
    }

    /// Whether the last read of the mesh, or of a resource that was just re-read, is longer ago than `age`.
    pub(crate) fn is_older_than(&self, age: SignedDuration, seen: &Snapshot) -> bool {
        let Some(whole) = self.document.seen_at else { return true };
        let is_old = |(before, after): (Timestamp, Timestamp)| after.duration_since(before) > age;
        let again = seen
            .later
            .iter()
            .map(|(path, after)| (self.document.read_again.get(path).copied().unwrap_or(whole), *after));
        is_old((whole, seen.at)) || again.into_iter().any(is_old)
    }

    /// Stores a new state. Its name in the reports store derives from its content. Writing it twice is harmless, and it
    /// does not overwrite the state of an older document.
    pub(crate) async fn keep(&mut self, ports: &Ports, snapshot: &Snapshot) -> Result<Keeping, PortError> {
        let document = snapshot.to_json();
        let text = document.to_string();
        let sha256 = digest(text.as_bytes());
        let mut keeping = Keeping::Done;
        let state = if text.len() <= LARGEST_HERE {
            SnapshotLocation::Here { sha256, snapshot: document }
        } else if let Some(reports) = &ports.reports {
            let name = format!("states/{}/{sha256}.json", snapshot.mesh);
            if self.document.state != (SnapshotLocation::Report { sha256: sha256.clone(), name: name.clone() }) {
                reports.put(&name, text.as_bytes()).await?;
            }
            SnapshotLocation::Report { sha256, name }
        } else {
            keeping = Keeping::NoPlace { bytes: text.len() };
            SnapshotLocation::Nowhere
        };
        (self.document.state, self.document.seen_at) = (state, Some(snapshot.at));
        self.document.read_again.clone_from(&snapshot.later);
        Ok(keeping)
    }

    /// Clears the location of a last state that is lost.
    pub(crate) fn forget(&mut self) {
        self.document.state = SnapshotLocation::Nowhere;
    }

    /// Stores writes until the next read; drops the oldest if there are too many.
    pub(crate) fn wait(&mut self, writes: &[Write]) {
        let waiting = &mut self.document.waiting;
        for write in writes {
            if !waiting.contains(write) {
                waiting.push(write.clone());
            }
        }
        let superfluous = waiting.len().saturating_sub(MOST_WAITING);
        waiting.drain(..superfluous);
    }

    /// Claims notifications: the new ones, and the ones that another invocation left unsent. Returns the claimed
    /// notifications. `by` must be unique to the invocation: otherwise, two invocations that store the same
    /// notification would both own it.
    pub(crate) fn claim(&mut self, messages: Vec<AuditMessage>, by: &str, now: Timestamp) -> Vec<AuditOutboxEntry> {
        let until = now.saturating_add(CLAIM).unwrap_or(Timestamp::MAX);
        let mut mine = Vec::new();
        for owed in self.document.owed.iter_mut().filter(|owed| owed.until <= now) {
            owed.until = until;
            mine.push(owed.clone());
        }
        for (nth, what) in messages.into_iter().enumerate() {
            let owed = AuditOutboxEntry { id: format!("{by}-{nth}"), until, what };
            self.document.owed.push(owed.clone());
            mine.push(owed);
        }
        let superfluous = self.document.owed.len().saturating_sub(MOST_OWED);
        if superfluous > 0 {
            tracing::error!(
                superfluous,
                "dropped the oldest notifications, which could not be sent; the journal has their changes"
            );
            self.document.owed.drain(..superfluous);
        }
        mine
    }

    /// Whether another invocation left a notification unsent.
    pub(crate) fn is_owing(&self, now: Timestamp) -> bool {
        self.document.owed.iter().any(|owed| owed.until <= now)
    }

    /// Stores the document; `false` if another invocation stored it in the meantime.
    pub(crate) async fn store(
        &self,
        ports: &Ports,
        journal: Option<(Timestamp, JournalBody)>,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let document = write_record(&self.document);
        let journal = journal.map(|(at, body)| {
            let text = body.to_format_0(Layout::List).to_string();
            let id = digest(text.as_bytes()).chars().take(16).collect::<String>();
            JournalEntry::new(at, format!("{NAME}-{id}"), &body, Layout::List)
        });
        let note = Note { key: self.key.clone(), revision: self.revision, now, document, journal };
        Ok(ports.state.note(&note).await? == StoreOutcome::Stored)
    }

    /// Removes the sent notifications, and releases the claim on the failed ones.
    pub(crate) fn settle(&mut self, sent: &[String], failed: &[String], now: Timestamp) {
        self.document.owed.retain(|owed| !sent.contains(&owed.id));
        for owed in self.document.owed.iter_mut().filter(|owed| failed.contains(&owed.id)) {
            owed.until = now;
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
