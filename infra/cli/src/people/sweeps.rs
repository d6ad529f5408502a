//! The documents of compliance-sweep and change-audit, as `status` and `report` show them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::MeshName;
use ports::{DocumentError, StateKey, Stored};
use records::{AuditRecord, FindingsPart, SweepRecord, SweepState, read_document};
use reports::History;
use rules::pack::Severity;
use serde::Serialize;

use super::desk::Desk;
use super::error::Trouble;

/// The function that writes the sweep of a mesh.
pub(super) const SWEEP: &str = "compliance-sweep";

/// The result of the last sweep of a mesh.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sweep {
    /// When the mesh was swept.
    pub(super) at: Option<Timestamp>,
    /// The number of findings of each severity; unset if a document cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) findings: Option<BTreeMap<Severity, usize>>,
    /// The findings with the times of their first sweeps.
    #[serde(skip)]
    pub(super) history: History,
    /// Why the findings are unknown, if a document cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

/// The progress of change-audit in a mesh.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audit {
    /// When the whole mesh was last read.
    pub(super) at: Option<Timestamp>,
    /// The number of changes with writes that no event has reported.
    pub(super) open: usize,
    /// The number of notices and events that are not sent yet.
    pub(super) owed: usize,
    /// Why the progress is unknown, if the document cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

/// The result of the last sweep of a mesh, from all its documents; `None` for a mesh that was never swept.
pub(super) async fn sweep(desk: &Desk<'_>, mesh: &MeshName, stored: &Stored) -> Result<Option<Sweep>, Trouble> {
    let key = StateKey::mesh(SWEEP, mesh);
    let state = match read_document::<SweepRecord>(&key, &stored.document) {
        Ok(document) => document.state,
        Err(error) => return Ok(Some(unknown(None, &error))),
    };
    let SweepState { swept_at, parts, findings, counts, .. } = state;
    if swept_at.is_none() && parts.is_none() && findings.is_none() {
        return Ok(None);
    }
    let mut all = findings.unwrap_or_default();
    if let Some(parts) = parts {
        let keys: Vec<StateKey> = (0..parts).map(|part| StateKey::part_of_mesh(SWEEP, mesh, part, parts)).collect();
        let view = desk.load(&keys).await?;
        if view.documents.is_empty() {
            // Findings are split because there are many, so at least one part has some.
            let message = format!("none of its {parts} parts is stored");
            let error = DocumentError::Malformed { key: key.as_str().to_owned(), message };
            return Ok(Some(unknown(swept_at, &error)));
        }
        for (key, stored) in &view.documents {
            match read_document::<FindingsPart>(key, &stored.document) {
                Ok(part) => all.extend(part.state.findings),
                Err(error) => return Ok(Some(unknown(swept_at, &error))),
            }
        }
    }
    let findings = Some(counts.unwrap_or_else(|| SweepState::count(all.values())));
    Ok(Some(Sweep { at: swept_at, findings, history: History::from(all), unreadable: None }))
}

/// The progress of change-audit in a mesh; `None` for a mesh that it has never read.
pub(super) fn audit(key: &StateKey, stored: &Stored) -> Option<Audit> {
    match read_document::<AuditRecord>(key, &stored.document) {
        Ok(document) => {
            let Some(at) = document.state.seen_at else {
                return (!document.outbox.is_empty())
                    .then(|| Audit { owed: document.outbox.len(), ..Audit::default() });
            };
            let (open, owed) = (document.state.open.len(), document.outbox.len());
            Some(Audit { at: Some(at), open, owed, unreadable: None })
        }
        Err(error) => Some(Audit { unreadable: Some(in_words(&error)), ..Audit::default() }),
    }
}

fn unknown(at: Option<Timestamp>, error: &DocumentError) -> Sweep {
    Sweep { at, unreadable: Some(in_words(error)), ..Sweep::default() }
}

fn in_words(error: &DocumentError) -> String {
    format!("{error}; {}", error.remedy())
}
