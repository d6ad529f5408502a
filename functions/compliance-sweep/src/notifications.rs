//! The notifications about changed findings.

use mesh::name::MeshName;
use ports::{BusEvent, Notice, PortError, Urgency};
use records::SweepMessage;
use reports::{Changes, Dated, MeshReport, in_words};
use rules::pack::{FindingId, Severity};
use serde_json::{Value, json};

use crate::Ports;
use crate::handler::{folder, named};
use crate::observe::Observation;
use crate::outputs::StoredOutputs;

/// The most findings that an event names: an event has at most 256 KB, and the reports contain all findings.
const IN_AN_EVENT: usize = 200;

/// The data for the notifications of a sweep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepNotifications<'a> {
    pub(crate) mesh: &'a MeshName,
    /// Whether the mesh is deleted.
    pub(crate) is_deleted: bool,
    pub(crate) report: &'a MeshReport<'a>,
    pub(crate) changes: &'a Changes,
    pub(crate) stored: &'a StoredOutputs,
}

impl SweepNotifications<'_> {
    /// The facts of the report's line.
    pub(crate) fn facts(&self, observation: &Observation) -> Value {
        let unread: Vec<String> = observation.unread().into_iter().collect();
        let mut facts = json!({
            "resources": observation.mesh.paths().len(),
            "calls": observation.calls,
            "findings": in_words(&self.report.evaluation.findings),
            "waived": self.report.evaluation.waived.len(),
            "new": named(&self.changes.new, short),
            "newCount": self.changes.new.len(),
            "resolved": named(&self.changes.resolved, short),
            "resolvedCount": self.changes.resolved.len(),
            "reports": self.stored.places,
        });
        if let Some(members) = facts.as_object_mut() {
            if !unread.is_empty() {
                members.insert("unread".to_owned(), json!(named(&unread, Clone::clone)));
                members.insert("unreadCount".to_owned(), json!(unread.len()));
            }
            if let Some(imported) = &self.stored.imported {
                members.insert("securityHub".to_owned(), json!(imported));
            }
        }
        facts
    }

    /// The notifications; none if no finding is new or resolved.
    pub(crate) fn messages(&self) -> Vec<SweepMessage> {
        if self.changes.is_empty() {
            return Vec::new();
        }
        let Changes { new, resolved } = self.changes;
        let summary = |(id, dated): &(FindingId, Dated)| json!({"id": id, "finding": dated});
        let detail = json!({
            "mesh": self.mesh,
            "new": new.iter().take(IN_AN_EVENT).map(summary).collect::<Vec<_>>(),
            "newCount": new.len(),
            "resolved": resolved.iter().take(IN_AN_EVENT).map(|(id, _)| id).collect::<Vec<_>>(),
            "resolvedCount": resolved.len(),
        });
        let event = BusEvent { detail_type: "Meshwarden Findings".to_owned(), detail, resources: Vec::new() };
        vec![SweepMessage::Notice(self.notice()), SweepMessage::Event(event)]
    }

    fn notice(&self) -> Notice {
        let Self { mesh, is_deleted, report, changes, stored } = self;
        let is_critical = |(_, dated): &(FindingId, Dated)| dated.severity == Severity::Critical;
        let urgency = if changes.new.iter().any(is_critical) { Urgency::Page } else { Urgency::Note };
        let mut lines = vec![if *is_deleted {
            format!("Mesh {mesh} was deleted, so its findings are resolved.")
        } else {
            format!("Mesh {mesh} now has {}.", in_words(&report.evaluation.findings))
        }];
        if !report.unread.is_empty() {
            lines.push(format!("\nNot known, {}: their findings are neither new nor resolved.", report.unread.len()));
            lines.extend(named(report.unread, |unread| format!("  {unread}")));
        }
        for (heading, list) in [("New", &changes.new), ("Resolved", &changes.resolved)] {
            if !list.is_empty() {
                lines.push(format!("\n{heading}, {}:", list.len()));
                lines.extend(named(list, short).into_iter().map(|line| format!("  {line}")));
            }
        }
        if stored.places.is_empty() {
            lines.push("\nNo reports are stored; set MESHWARDEN_REPORTS to store them.".to_owned());
        } else {
            lines.push(format!("\nReports, below {}:", folder(mesh)));
            lines.extend(stored.places.iter().map(|place| format!("  {place}")));
        }
        let body = lines.join("\n") + "\n";
        let subject = format!("{} new, {} resolved findings in mesh {mesh}", changes.new.len(), changes.resolved.len());
        Notice { urgency, subject: subject.chars().take(100).collect(), body }
    }
}

/// Sends messages in order. Returns the unsent ones, with the first error.
pub(crate) async fn send(ports: &Ports, messages: Vec<SweepMessage>) -> (Vec<SweepMessage>, Option<PortError>) {
    let (mut owed, mut first) = (Vec::new(), None);
    for message in messages {
        let sent = match &message {
            SweepMessage::Notice(notice) => ports.notifier.notify(notice).await,
            SweepMessage::Event(event) => ports.bus.put(std::slice::from_ref(event)).await,
        };
        if let Err(error) = sent {
            first.get_or_insert(error);
            owed.push(message);
        }
    }
    (owed, first)
}

fn short((_, dated): &(FindingId, Dated)) -> String {
    format!("{}: {} on {}", dated.severity, dated.rule, dated.resource)
}
