//! What was found last time, and who is told of what has changed since.

use jiff::{SignedDuration, Timestamp};
use lambda_kit::Decision;
use mesh::name::MeshName;
use mesh::pack::{Finding, Severity};
use ports::{BudgetWindow, BusEvent, JournalEntry, Note, Notice, PortError, StateKey, StoreOutcome, Stored, Urgency};
use reports::{Changes, Dated, History, MeshReport, in_words};
use serde_json::{Value, json};

use crate::handler::{folder, named};
use crate::observe::Observation;
use crate::outputs::Kept;
use crate::{NAME, Ports};

/// A mesh that was swept less than this ago is not swept again: what comes so soon is the same wake, repeated.
const FRESH: SignedDuration = SignedDuration::from_secs(5 * 60);

/// What the state table has of a mesh.
#[derive(Debug)]
pub(crate) struct Remembered {
    key: StateKey,
    revision: u64,
    swept_at: Option<Timestamp>,
    history: History,
    has_changed: bool,
}

impl Remembered {
    /// Reads it. A document that can't be read is forgotten: then every finding is a new one.
    pub(crate) async fn load(ports: &Ports, mesh: &MeshName, now: Timestamp) -> Result<Self, PortError> {
        let key = StateKey::mesh(NAME, mesh);
        // The sweep changes nothing and spends nothing; the window is what every load has to name.
        let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
        let mut view = ports.state.load(std::slice::from_ref(&key), &window).await?;
        let stored = view.documents.remove(&key);
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let (swept_at, history) = stored.as_ref().and_then(read).unwrap_or_default();
        Ok(Self { key, revision, swept_at, history, has_changed: false })
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.swept_at.is_some_and(|at| now.duration_since(at) < FRESH)
    }

    pub(crate) const fn swept_at(&self) -> Option<Timestamp> {
        self.swept_at
    }

    pub(crate) const fn history(&self) -> &History {
        &self.history
    }

    /// Takes over what is found now.
    pub(crate) fn update(&mut self, findings: &[Finding], now: Timestamp) -> Changes {
        let changes = self.history.update(findings, now);
        self.has_changed = !changes.is_empty();
        self.swept_at = Some(now);
        changes
    }

    /// Stores it; `false` when another sweep was there in the meantime. What has not changed is not journalled.
    pub(crate) async fn store(&self, ports: &Ports, decision: &Decision, now: Timestamp) -> Result<bool, PortError> {
        let body = json!({ "function": NAME, "decision": decision });
        let journal = self.has_changed.then(|| JournalEntry { at: now, id: NAME.to_owned(), body });
        let document = json!({ "sweptAt": self.swept_at, "findings": self.history });
        let note = Note { key: self.key.clone(), revision: self.revision, now, document, journal };
        Ok(ports.state.note(&note).await? == StoreOutcome::Stored)
    }
}

fn read(stored: &Stored) -> Option<(Option<Timestamp>, History)> {
    let member = |name: &str| stored.document.get(name).cloned().unwrap_or_default();
    let history = serde_json::from_value(member("findings"));
    let swept_at = serde_json::from_value(member("sweptAt"));
    match (swept_at, history) {
        (Ok(swept_at), Ok(history)) => Some((swept_at, history)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "what was found last time can't be read, and is found anew");
            None
        }
    }
}

/// What people and programs are told of a sweep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) report: &'a MeshReport<'a>,
    pub(crate) changes: &'a Changes,
    pub(crate) kept: &'a Kept,
}

impl Told<'_> {
    /// The facts of the report's line.
    pub(crate) fn facts(&self, observation: &Observation) -> Value {
        json!({
            "resources": observation.mesh.paths().len(),
            "calls": observation.calls,
            "findings": in_words(&self.report.evaluation.findings),
            "waived": self.report.evaluation.waived.len(),
            "new": named(&self.changes.new, short),
            "newCount": self.changes.new.len(),
            "resolved": named(&self.changes.resolved, short),
            "resolvedCount": self.changes.resolved.len(),
            "reports": self.kept.places,
        })
    }

    /// Tells what has changed, if anything has.
    pub(crate) async fn tell(&self, ports: &Ports) -> Result<(), PortError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        ports.notifier.notify(&self.notice()).await?;
        let detail = json!({
            "mesh": self.mesh,
            "new": self.changes.new.iter().map(|(id, dated)| json!({"id": id, "finding": dated})).collect::<Vec<_>>(),
            "resolved": self.changes.resolved.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        });
        let event = BusEvent { detail_type: "Meshwarden Findings".to_owned(), detail, resources: Vec::new() };
        ports.bus.put(&[event]).await
    }

    fn notice(&self) -> Notice {
        let Self { mesh, report, changes, kept } = self;
        let is_critical = |(_, dated): &(_, Dated)| dated.severity == Severity::Critical;
        let urgency = if changes.new.iter().any(is_critical) { Urgency::Page } else { Urgency::Note };
        let mut lines = vec![format!("Mesh {mesh} now has {}.", in_words(&report.evaluation.findings))];
        for (heading, list) in [("New", &changes.new), ("Resolved", &changes.resolved)] {
            if !list.is_empty() {
                lines.push(format!("\n{heading}, {}:", list.len()));
                lines.extend(named(list, short).into_iter().map(|line| format!("  {line}")));
            }
        }
        if kept.places.is_empty() {
            lines.push("\nNo reports are kept; set MESHWARDEN_REPORTS to keep them.".to_owned());
        } else {
            lines.push(format!("\nReports, below {}:", folder(mesh)));
            lines.extend(kept.places.iter().map(|place| format!("  {place}")));
        }
        let body = lines.join("\n") + "\n";
        let subject = format!("{} new, {} resolved findings in mesh {mesh}", changes.new.len(), changes.resolved.len());
        Notice { urgency, subject: subject.chars().take(100).collect(), body }
    }
}

fn short((_, dated): &(mesh::pack::FindingId, Dated)) -> String {
    format!("{}: {} on {}", dated.severity, dated.rule, dated.resource)
}
