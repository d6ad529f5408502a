//! The document of a mesh as tag-compliance and egress-compliance keep it.

use std::collections::BTreeMap;

use mesh::name::ResourcePath;
use rules::compliance::{ComplianceRecord, OwedEvent, OwedNotice};
use serde_json::{Map, Value};

use crate::document::{Document, Intent, Message, MessageContent, Reported};
use crate::stored::DocumentRecord;
use crate::{BusEvent, Notice, StateKey, Urgency};

impl DocumentRecord for ComplianceRecord {
    /// Members that a newer version has added.
    type State = Option<Map<String, Value>>;

    fn into_document(self, _: &StateKey) -> Document<Self::State> {
        let Self { intents, reported: digests, owed, owed_events, watches, other } = self;
        let intents = intents
            .into_iter()
            .map(|(resource, plan)| (resource.to_string(), Intent { plan, begun_at: None, notice: None }));
        let mut reported: BTreeMap<String, Reported> = BTreeMap::new();
        for (resource, digest) in digests {
            reported.entry(resource.to_string()).or_default().condition = Some(digest);
        }
        for (resource, watch) in watches {
            reported.entry(resource.to_string()).or_default().watch = Some(watch);
        }
        let notices = owed.into_iter().map(|OwedNotice { page, subject, body }| {
            let urgency = if page { Urgency::Page } else { Urgency::Note };
            MessageContent::Notice(Notice { urgency, subject, body })
        });
        let events = owed_events.into_iter().map(|OwedEvent { detail_type, detail, resources }| {
            MessageContent::Event(BusEvent { detail_type, detail, resources })
        });
        let outbox = notices.chain(events).enumerate().map(|(number, content)| Message {
            id: number.to_string(),
            at: None,
            claimed_until: None,
            content,
        });
        let state = (!other.is_empty()).then_some(other);
        Document { format: 1, state, intents: intents.collect(), reported, outbox: outbox.collect() }
    }

    fn from_document(document: Document<Self::State>, _: &StateKey) -> Result<Self, String> {
        let Document { state, intents, reported, outbox, .. } = document;
        let mut record = Self::default();
        let path =
            |subject: &str| ResourcePath::parse(subject).map_err(|error| format!("subject `{subject}`: {error}"));
        for (subject, intent) in intents {
            record.intents.insert(path(&subject)?, intent.plan);
        }
        for (subject, last) in reported {
            let resource = path(&subject)?;
            if let Some(digest) = last.condition {
                record.reported.insert(resource.clone(), digest);
            }
            if let Some(watch) = last.watch {
                record.watches.insert(resource, watch);
            }
        }
        for message in outbox {
            match message.content {
                MessageContent::Notice(Notice { urgency, subject, body }) => {
                    record.owed.push(OwedNotice { page: urgency == Urgency::Page, subject, body });
                }
                MessageContent::Event(BusEvent { detail_type, detail, resources }) => {
                    record.owed_events.push(OwedEvent { detail_type, detail, resources });
                }
                MessageContent::Change { code, text } => {
                    record.owed.push(OwedNotice { page: false, subject: code, body: text });
                }
            }
        }
        record.other = state.unwrap_or_default();
        Ok(record)
    }
}
