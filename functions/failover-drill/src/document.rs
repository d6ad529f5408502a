//! The stored documents that the function changes: the drills of a mesh, and routes.

use decisions::failover::RouteRecord;
use jiff::Timestamp;
use ports::{BusEvent, Notice};
use records::{DrillsRecord, MessageContent, write_record};
use runner::{DocumentState, Message};
use serde::{Serialize, Serializer};

/// The most messages that wait in a document. Each has a few hundred bytes, and an item has at most 400 KB.
const MOST_MESSAGES: usize = 50;

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DrillDocument {
    /// The drills of a mesh.
    Mesh(Box<DrillsRecord>),
    /// A route. Its messages are those of route-failover.
    Route(Box<RouteRecord>),
}

impl Serialize for DrillDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mesh(record) => write_record(record.as_ref()).serialize(serializer),
            Self::Route(record) => write_record(record.as_ref()).serialize(serializer),
        }
    }
}

impl DocumentState for DrillDocument {
    fn messages(&self) -> Vec<Message> {
        let Self::Mesh(record) = self else { return Vec::new() };
        let message = |message: &records::Message| match &message.content {
            MessageContent::Notice(Notice { urgency, subject, body }) => {
                let (urgency, subject, body) = (*urgency, subject.clone(), body.clone());
                Some(Message::Notice(Notice { urgency, subject, body }))
            }
            MessageContent::Event(BusEvent { detail_type, detail, resources }) => {
                let (detail_type, detail, resources) = (detail_type.clone(), detail.clone(), resources.clone());
                Some(Message::Event(BusEvent { detail_type, detail, resources }))
            }
            // Only the documents of routes have these.
            MessageContent::Change { .. } => None,
        };
        record.outbox.iter().filter_map(message).collect()
    }

    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let Self::Mesh(record) = self else { return messages };
        let oldest = messages.len().saturating_sub(MOST_MESSAGES);
        let (overflow, kept) = messages.split_at(oldest);
        let stored = |(number, message): (usize, &Message)| records::Message {
            id: number.to_string(),
            at: None::<Timestamp>,
            claimed_until: None,
            content: match message {
                Message::Notice(notice) => MessageContent::Notice(notice.clone()),
                Message::Event(event) => MessageContent::Event(event.clone()),
            },
        };
        record.outbox = kept.iter().enumerate().map(stored).collect();
        overflow.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use ports::Urgency;

    use super::*;

    #[test]
    fn messages_survive_in_the_document_up_to_its_room() {
        let notice = |number: usize| {
            Message::Notice(Notice { urgency: Urgency::Note, subject: number.to_string(), body: String::new() })
        };
        let mut document = DrillDocument::Mesh(Box::default());
        let messages: Vec<Message> = (0..MOST_MESSAGES + 2).map(notice).collect();
        assert_eq!(document.set_messages(messages.clone()), messages[..2]);
        assert_eq!(document.messages(), messages[2..]);
        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!(stored["outbox"].as_array().unwrap().len(), MOST_MESSAGES);
    }
}
