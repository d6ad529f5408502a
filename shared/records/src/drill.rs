//! The document of a mesh's drills.

use drills::MeshDrills;
use serde::{Deserialize, Serialize};

use crate::StateKey;
use crate::document::{Document, Message};
use crate::format_0::not_in_format_0;
use crate::stored::DocumentRecord;

/// The document of a mesh's drills: the state, and the messages that are not known to have been sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrillsRecord {
    /// The messages, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Message>,
    /// The state.
    #[serde(flatten)]
    pub state: MeshDrills,
}

impl DocumentRecord for DrillsRecord {
    type State = MeshDrills;

    fn into_document(self, _: &StateKey) -> Document<MeshDrills> {
        Document { outbox: self.outbox, ..Document::new(self.state) }
    }

    fn from_document(document: Document<MeshDrills>, _: &StateKey) -> Result<Self, String> {
        let Document { state, outbox, intents, reported, .. } = document;
        if intents.is_empty() && reported.is_empty() { Ok(Self { outbox, state }) } else { Err(not_in_format_0()) }
    }
}

#[cfg(test)]
mod tests {
    use mesh::name::MeshName;
    use serde_json::json;

    use super::*;
    use crate::{DocumentError, MessageContent, Notice, Urgency, read_record, write_record};

    fn key() -> StateKey {
        StateKey::mesh("failover-drill", &MeshName::parse("shop").unwrap())
    }

    #[test]
    fn document_of_both_formats_reads_and_a_newer_one_holds() {
        let notice = Notice { urgency: Urgency::Page, subject: "s".to_owned(), body: "b".to_owned() };
        let content = MessageContent::Notice(notice);
        let message = Message { id: "1".to_owned(), at: None, claimed_until: None, content };
        let record = DrillsRecord { outbox: vec![message], state: MeshDrills::default() };
        let stored = write_record(&record);
        assert_eq!(read_record::<DrillsRecord>(&key(), &stored).unwrap(), record);
        let format_1 = serde_json::to_value(record.clone().into_document(&key())).unwrap();
        assert_eq!(read_record::<DrillsRecord>(&key(), &format_1).unwrap(), record);
        let newer = read_record::<DrillsRecord>(&key(), &json!({ "format": 2, "state": {} }));
        assert!(matches!(newer, Err(DocumentError::NewerFormat { .. })), "{newer:?}");
        assert!(read_record::<DrillsRecord>(&key(), &json!({ "active": { "id": "1" } })).is_err());
    }
}
