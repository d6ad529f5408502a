//! The record of a mesh and the plan of a repair, in the form of the engine.

use ports::{BusEvent, Notice, Urgency};
use rules::compliance::{
    ComplianceDecision as Decision, CompliancePlan as Plan, ComplianceRecord as Record, OwedEvent, OwedNotice,
};
use runner::{CaseDecision, Message};
use serde::Serialize;

/// A decision with its outcome.
pub(crate) type RepairDecision = CaseDecision<Decision, RepairPlan>;

/// The record of a mesh as its document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct MeshRecord(pub(crate) Record);

impl runner::DocumentState for MeshRecord {
    fn messages(&self) -> Vec<Message> {
        let notice = |owed: &OwedNotice| {
            let urgency = if owed.page { Urgency::Page } else { Urgency::Note };
            Message::Notice(Notice { urgency, subject: owed.subject.clone(), body: owed.body.clone() })
        };
        let event = |owed: &OwedEvent| {
            let OwedEvent { detail_type, detail, resources } = owed.clone();
            Message::Event(BusEvent { detail_type, detail, resources })
        };
        self.0.owed.iter().map(notice).chain(self.0.owed_events.iter().map(event)).collect()
    }

    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let (events, notices): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| matches!(message, Message::Event(_)));
        let mut dropped = Vec::new();
        (self.0.owed, self.0.owed_events) = (Vec::new(), Vec::new());
        for message in notices.iter().chain(&events) {
            match message.clone() {
                Message::Notice(Notice { urgency, subject, body }) => {
                    self.0.owe(OwedNotice { page: urgency == Urgency::Page, subject, body });
                }
                Message::Event(BusEvent { detail_type, detail, resources }) => {
                    self.0.owe_event(OwedEvent { detail_type, detail, resources });
                }
            }
        }
        // The record drops the oldest ones.
        dropped.extend(notices.iter().take(notices.len() - self.0.owed.len()).cloned());
        dropped.extend(events.iter().take(events.len() - self.0.owed_events.len()).cloned());
        dropped
    }
}

/// The plan of a repair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RepairPlan(pub(crate) Plan);

impl runner::PlanData<MeshRecord> for RepairPlan {
    fn id(&self) -> &str {
        &self.0.id
    }

    fn enter(&self, record: &mut MeshRecord) {
        record.0.intents.insert(self.0.resource.clone(), self.0.id.clone());
    }
}
