//! The documents of the function: the record of a rollout, and the record of a route, which all writers of its weights
//! share.

use decisions::failover::RouteRecord;
use ports::{BusEvent, Notice, Urgency};
use records::write_record;
use rollouts::{RolloutMessage, RolloutRecord};
use runner::Message;
use serde::{Serialize, Serializer};

/// The most messages that a document keeps.
const MOST_MESSAGES: usize = 10;

/// A document of the function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ShiftRecord {
    /// The record of a rollout.
    Rollout(Box<RolloutRecord>),
    /// The record of a route.
    Route(Box<RouteRecord>),
}

impl Serialize for ShiftRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rollout(record) => record.serialize(serializer),
            Self::Route(record) => write_record(record.as_ref()).serialize(serializer),
        }
    }
}

impl runner::DocumentState for ShiftRecord {
    fn messages(&self) -> Vec<Message> {
        match self {
            Self::Rollout(record) => record.messages.iter().map(message).collect(),
            // The messages of a route's record are those of route-failover.
            Self::Route(_) => Vec::new(),
        }
    }

    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message> {
        match self {
            Self::Rollout(record) => {
                let overflow = messages.len().saturating_sub(MOST_MESSAGES);
                record.messages = messages.iter().skip(overflow).map(stored).collect();
                messages.into_iter().take(overflow).collect()
            }
            Self::Route(_) => messages,
        }
    }
}

/// A stored message as it is sent.
pub(crate) fn message(message: &RolloutMessage) -> Message {
    match message {
        RolloutMessage::Notice { page, subject, body } => Message::Notice(Notice {
            urgency: if *page { Urgency::Page } else { Urgency::Note },
            subject: subject.clone(),
            body: body.clone(),
        }),
        RolloutMessage::Event { detail_type, detail } => {
            Message::Event(BusEvent { detail_type: detail_type.clone(), detail: detail.clone(), resources: Vec::new() })
        }
    }
}

fn stored(message: &Message) -> RolloutMessage {
    match message {
        Message::Notice(Notice { urgency, subject, body }) => {
            RolloutMessage::Notice { page: *urgency == Urgency::Page, subject: subject.clone(), body: body.clone() }
        }
        Message::Event(BusEvent { detail_type, detail, .. }) => {
            RolloutMessage::Event { detail_type: detail_type.clone(), detail: detail.clone() }
        }
    }
}
