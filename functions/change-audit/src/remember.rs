//! What is kept of a mesh from one wake to the next.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use mesh::audit::{Open, Snapshot, Write};
use mesh::name::{MeshName, ResourcePath};
use ports::{
    BudgetWindow, BusEvent, DocumentError, JournalEntry, Note, Notice, PortError, PortErrorKind, StateKey,
    StoreOutcome, read_document,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{NAME, Ports};

/// The largest state that the table holds itself. An item has at most 400 KB, and what is owed and open is in it, too.
const LARGEST_HERE: usize = 96 * 1024;

/// How long whoever stored something to be told has for telling it: longer than the function may run.
const CLAIM: SignedDuration = SignedDuration::from_secs(3 * 60);

/// The most that is owed: more would not fit, and whoever can't be told for so long reads the journal.
const MOST_OWED: usize = 6;

/// The most writes that wait for the mesh to be read again.
const MOST_WAITING: usize = 100;

/// The document of a mesh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Document {
    /// When the last state was read whole.
    seen_at: Option<Timestamp>,
    /// When some of it was read again since.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    read_again: BTreeMap<ResourcePath, Timestamp>,
    /// Where the last state is.
    state: Kept,
    /// Changes of which not every write was told.
    pub(crate) open: Vec<Open>,
    /// Writes that were told while the mesh could not be read, and won't be told again.
    pub(crate) waiting: Vec<Write>,
    /// What is still to be told.
    pub(crate) owed: Vec<Owed>,
    /// What a newer version has written.
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

/// The newest format of the document that is known here.
const FORMAT: u64 = 0;

/// Why nothing is known of what was remembered.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The table did not answer.
    Port(PortError),
    /// The document cannot be read. It is never taken for none, and never written over.
    Document(DocumentError),
}

/// Where a state is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
enum Kept {
    /// Nowhere: the mesh was never seen, or its state was too large for the table and there is no other place.
    #[default]
    Nowhere,
    /// In the document.
    Here { sha256: String, snapshot: Value },
    /// Among the reports.
    Report { sha256: String, name: String },
}

/// Something to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Owed {
    /// What tells it from others.
    id: String,
    /// Until when whoever stored it is at it.
    until: Timestamp,
    /// What.
    pub(crate) what: Tell,
}

/// A notice or an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Tell {
    /// For people.
    Notice(Notice),
    /// For programs.
    Event(BusEvent),
}

/// The document of a mesh as it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    key: StateKey,
    revision: u64,
    pub(crate) document: Document,
    pub(crate) kill_switch_on: bool,
}

/// The last state of a mesh.
#[derive(Debug)]
pub(crate) enum Last {
    /// It was never seen.
    Never,
    /// This.
    Known(Box<Snapshot>),
    /// It was seen, and what was kept of it is gone.
    Lost(String),
    /// What is kept of it cannot be read.
    Unreadable(DocumentError),
}

/// Whether a state could be kept.
#[derive(Debug, PartialEq)]
pub(crate) enum Keeping {
    /// It is kept.
    Done,
    /// It is too large for the table, and no place is set up for reports.
    NoPlace { bytes: usize },
}

impl Remembered {
    /// Reads it.
    pub(crate) async fn load(ports: &Ports, mesh: &MeshName, now: Timestamp) -> Result<Self, LoadError> {
        let key = StateKey::mesh(NAME, mesh);
        // Nothing is spent here; the window is what every load has to name.
        let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
        let mut view = ports.state.load(std::slice::from_ref(&key), &window).await.map_err(LoadError::Port)?;
        let stored = view.documents.remove(&key);
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let document = match &stored {
            Some(stored) => read_document(&key, &stored.document, FORMAT).map_err(LoadError::Document)?,
            None => Document::default(),
        };
        let kill_switch_on = view.kill_switch.is_some();
        Ok(Self { key, revision, document, kill_switch_on })
    }

    /// The mesh as it was last seen.
    pub(crate) async fn last(&self, ports: &Ports) -> Result<Last, PortError> {
        let Some(at) = self.document.seen_at else { return Ok(Last::Never) };
        let snapshot = match &self.document.state {
            Kept::Nowhere => return Ok(Last::Lost("it was too large for the state table".to_owned())),
            Kept::Here { snapshot, .. } => snapshot.clone(),
            Kept::Report { name, sha256 } => {
                let Some(reports) = &ports.reports else {
                    return Ok(Last::Lost(format!("no place is set up for reports any more, where {name} was")));
                };
                match reports.get(name).await {
                    Ok(bytes) if digest(&bytes) == *sha256 => match serde_json::from_slice(&bytes) {
                        Ok(snapshot) => snapshot,
                        Err(error) => return Ok(self.unreadable(format!("{name}: {error}"))),
                    },
                    Ok(_) => return Ok(self.unreadable(format!("{name} is not what was kept there"))),
                    Err(error) if error.kind == PortErrorKind::NotFound => {
                        return Ok(Last::Lost(format!("{name} is gone")));
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

    /// Whether a state is the one that is kept.
    pub(crate) fn has(&self, snapshot: &Snapshot) -> bool {
        let is = digest(snapshot.to_json().to_string().as_bytes());
        match &self.document.state {
            Kept::Nowhere => false,
            Kept::Here { sha256, .. } | Kept::Report { sha256, .. } => *sha256 == is,
        }
    }

    /// Whether nobody looked for so long, at the mesh or at something that was just read again.
    pub(crate) fn is_older_than(&self, age: SignedDuration, seen: &Snapshot) -> bool {
        let Some(whole) = self.document.seen_at else { return true };
        let is_old = |(before, after): (Timestamp, Timestamp)| after.duration_since(before) > age;
        let again = seen
            .later
            .iter()
            .map(|(path, after)| (self.document.read_again.get(path).copied().unwrap_or(whole), *after));
        is_old((whole, seen.at)) || again.into_iter().any(is_old)
    }

    /// Takes over a new state. Its name among the reports follows from its content, so that writing it twice is
    /// harmless and what an older document names is not written over.
    pub(crate) async fn keep(&mut self, ports: &Ports, snapshot: &Snapshot) -> Result<Keeping, PortError> {
        let document = snapshot.to_json();
        let text = document.to_string();
        let sha256 = digest(text.as_bytes());
        let mut keeping = Keeping::Done;
        let state = if text.len() <= LARGEST_HERE {
            Kept::Here { sha256, snapshot: document }
        } else if let Some(reports) = &ports.reports {
            let name = format!("states/{}/{sha256}.json", snapshot.mesh);
            if self.document.state != (Kept::Report { sha256: sha256.clone(), name: name.clone() }) {
                reports.put(&name, text.as_bytes()).await?;
            }
            Kept::Report { sha256, name }
        } else {
            keeping = Keeping::NoPlace { bytes: text.len() };
            Kept::Nowhere
        };
        (self.document.state, self.document.seen_at) = (state, Some(snapshot.at));
        self.document.read_again.clone_from(&snapshot.later);
        Ok(keeping)
    }

    /// Forgets where the last state was, since it is not there.
    pub(crate) fn forget(&mut self) {
        self.document.state = Kept::Nowhere;
    }

    /// Lets writes wait for the next look; the oldest go when there are too many.
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

    /// Takes upon itself what is to be told: this, and what somebody else left. Gives what it has to tell. `by` is no
    /// other invocation's: two that store the same would both be taken for the one that stored it.
    pub(crate) fn claim(&mut self, tell: Vec<Tell>, by: &str, now: Timestamp) -> Vec<Owed> {
        let until = now.saturating_add(CLAIM).unwrap_or(Timestamp::MAX);
        let mut mine = Vec::new();
        for owed in self.document.owed.iter_mut().filter(|owed| owed.until <= now) {
            owed.until = until;
            mine.push(owed.clone());
        }
        for (nth, what) in tell.into_iter().enumerate() {
            let owed = Owed { id: format!("{by}-{nth}"), until, what };
            self.document.owed.push(owed.clone());
            mine.push(owed);
        }
        let superfluous = self.document.owed.len().saturating_sub(MOST_OWED);
        if superfluous > 0 {
            tracing::error!(superfluous, "what could not be told for too long is given up; the journal has it");
            self.document.owed.drain(..superfluous);
        }
        mine
    }

    /// Whether somebody left something to be told.
    pub(crate) fn is_owing(&self, now: Timestamp) -> bool {
        self.document.owed.iter().any(|owed| owed.until <= now)
    }

    /// Stores it; `false` when another invocation was there in the meantime.
    pub(crate) async fn store(
        &self,
        ports: &Ports,
        journal: Option<(Timestamp, Value)>,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let document = serde_json::to_value(&self.document).map_err(|error| {
            PortError::new("write down what is remembered", PortErrorKind::Other, error.to_string())
        })?;
        let journal = journal.map(|(at, body)| {
            let id = digest(body.to_string().as_bytes()).chars().take(16).collect::<String>();
            JournalEntry { at, id: format!("{NAME}-{id}"), body }
        });
        let note = Note { key: self.key.clone(), revision: self.revision, now, document, journal };
        Ok(ports.state.note(&note).await? == StoreOutcome::Stored)
    }

    /// Takes off what was told, and gives back what could not be.
    pub(crate) fn settle(&mut self, told: &[String], failed: &[String], now: Timestamp) {
        self.document.owed.retain(|owed| !told.contains(&owed.id));
        for owed in self.document.owed.iter_mut().filter(|owed| failed.contains(&owed.id)) {
            owed.until = now;
        }
    }
}

impl Owed {
    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
