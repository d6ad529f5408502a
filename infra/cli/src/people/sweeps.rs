//! The stored state of compliance-sweep and change-audit for a mesh, for `status` and `report`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::MeshName;
use mesh::pack::{FindingId, Severity};
use ports::{DocumentError, StateKey, Stored, read_document};
use reports::{Dated, History};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::desk::Desk;
use super::error::Trouble;
use super::status::SWEEP;

/// The newest supported format of both documents.
const FORMAT: u64 = 0;

/// The result of the last sweep.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sweep {
    /// The time of the sweep.
    pub(super) at: Option<Timestamp>,
    /// The number of findings of each severity.
    pub(super) findings: BTreeMap<Severity, usize>,
    /// The first occurrence of each finding.
    #[serde(skip)]
    pub(super) history: History,
    /// Why the findings are unknown; set if the documents are unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

/// The progress of change-audit.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audit {
    /// The time of the last complete read of the mesh.
    pub(super) at: Option<Timestamp>,
    /// The number of changes with writes that no event reported.
    pub(super) open: usize,
    /// The number of notifications and events that are not sent yet.
    pub(super) owed: usize,
    /// Why the progress is unknown; set if the document is unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SweepDocument {
    #[serde(default)]
    swept_at: Option<Timestamp>,
    /// The number of further documents with the findings; unset if this document contains them.
    #[serde(default)]
    parts: Option<usize>,
    #[serde(default)]
    findings: BTreeMap<FindingId, Dated>,
}

#[derive(Deserialize)]
struct PartDocument {
    #[serde(default)]
    findings: BTreeMap<FindingId, Dated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditDocument {
    #[serde(default)]
    seen_at: Option<Timestamp>,
    #[serde(default)]
    open: Vec<Value>,
    #[serde(default)]
    owed: Vec<Value>,
}

/// The result of the last sweep of a mesh, from all its documents.
pub(super) async fn sweep(desk: &Desk<'_>, mesh: &MeshName, stored: &Stored) -> Result<Sweep, Trouble> {
    let key = StateKey::mesh(SWEEP, mesh);
    let document: SweepDocument = match read_document(&key, &stored.document, FORMAT) {
        Ok(document) => document,
        Err(error) => return Ok(Sweep { unreadable: Some(in_words(&error)), ..Sweep::default() }),
    };
    let mut all = document.findings;
    if let Some(parts) = document.parts {
        let keys: Vec<StateKey> = (0..parts).map(|part| StateKey::part_of_mesh(SWEEP, mesh, part, parts)).collect();
        let view = desk.load(&keys).await?;
        for (key, stored) in &view.documents {
            match read_document::<PartDocument>(key, &stored.document, FORMAT) {
                Ok(part) => all.extend(part.findings),
                Err(error) => {
                    let unreadable = Some(in_words(&error));
                    return Ok(Sweep { at: document.swept_at, unreadable, ..Sweep::default() });
                }
            }
        }
    }
    let mut findings = BTreeMap::new();
    for dated in all.values() {
        *findings.entry(dated.severity).or_default() += 1;
    }
    Ok(Sweep { at: document.swept_at, findings, history: History::from(all), unreadable: None })
}

/// The progress of change-audit on a mesh.
pub(super) fn audit(key: &StateKey, stored: &Stored) -> Audit {
    match read_document::<AuditDocument>(key, &stored.document, FORMAT) {
        Ok(document) => {
            Audit { at: document.seen_at, open: document.open.len(), owed: document.owed.len(), unreadable: None }
        }
        Err(error) => Audit { unreadable: Some(in_words(&error)), ..Audit::default() },
    }
}

fn in_words(error: &DocumentError) -> String {
    format!("{error}; {}", error.remedy())
}
