//! Documents with a state only, and the members of format 1 that a record of format 0 keeps for a later version.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::failures::Failures;
use mesh::name::MeshName;
use mesh::watch::Watch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StateKey;
use crate::document::{Document, Intent, Message, Reported};
use crate::format_0::not_in_format_0;
use crate::stored::DocumentRecord;

/// The meshes that a function knows, so that it detects a mesh that was deleted without an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterRecord {
    /// The names of the meshes. Absent in a document that an operator has reset.
    #[serde(default)]
    pub meshes: BTreeSet<MeshName>,
}

/// The decisions of a function that are not final.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandstillsRecord {
    /// The time for which each decision has been the same, by subject.
    pub subjects: BTreeMap<String, Watch>,
}

impl StandstillsRecord {
    /// Adds the entries of another process: of each subject, the one of the newer run stays.
    pub fn merge(&mut self, stored: &Self) {
        for (subject, other) in &stored.subjects {
            let own = self.subjects.entry(subject.clone()).or_insert_with(|| other.clone());
            if other.last_run > own.last_run {
                *own = other.clone();
            }
        }
    }
}

/// The document of the kill switch's log. The entries are in its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitchLog {
    /// When the switch was last turned.
    pub turned: Timestamp,
}

/// The document of the log of commands on dead letters. The entries are in its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterLog {
    /// When a command last changed a queue.
    pub changed: Timestamp,
}

/// Documents that are the same in both formats but for the place of their members.
macro_rules! state_only {
    ($($record:ty),+) => {$(
        impl DocumentRecord for $record {
            type State = Self;

            fn into_document(self, _: &StateKey) -> Document<Self> {
                Document::new(self)
            }

            fn from_document(document: Document<Self>, _: &StateKey) -> Result<Self, String> {
                if document.is_state_only() { Ok(document.state) } else { Err(not_in_format_0()) }
            }
        }
    )+};
}

state_only!(RosterRecord, StandstillsRecord, KillSwitchLog, DeadLetterLog, Failures);

/// The members of format 1, without the state.
type Parts = (BTreeMap<String, Intent>, BTreeMap<String, Reported>, Vec<Message>);

/// Keeps what format 0 cannot hold among the members that survive a write, so that no message is lost while an older
/// version is deployed.
pub(crate) fn parked(
    mut unknown: BTreeMap<String, Value>,
    intents: &BTreeMap<String, Intent>,
    reported: &BTreeMap<String, Reported>,
    outbox: &[Message],
) -> BTreeMap<String, Value> {
    if !intents.is_empty() {
        unknown.insert("intents".to_owned(), json(intents));
    }
    if !reported.is_empty() {
        unknown.insert("reported".to_owned(), json(reported));
    }
    if !outbox.is_empty() {
        unknown.insert("outbox".to_owned(), json(outbox));
    }
    unknown
}

/// The parts have only string keys, so this cannot fail.
fn json<T: Serialize + ?Sized>(part: &T) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// Takes the members that [`parked`] has kept. A member of another form stays where it is.
pub(crate) fn unpark(unknown: &mut BTreeMap<String, Value>) -> Parts {
    (take(unknown, "intents"), take(unknown, "reported"), take(unknown, "outbox"))
}

fn take<T: Default + serde::de::DeserializeOwned>(unknown: &mut BTreeMap<String, Value>, name: &str) -> T {
    let read = unknown.get(name).and_then(|value| T::deserialize(value).ok());
    if read.is_some() {
        unknown.remove(name);
    }
    read.unwrap_or_default()
}
