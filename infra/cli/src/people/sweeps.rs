//! What compliance-sweep and change-audit have stored of a mesh, as `status` and `report` show it.

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

/// The newest format of both documents that is known here.
const FORMAT: u64 = 0;

/// What the last sweep found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sweep {
    /// When it was.
    pub(super) at: Option<Timestamp>,
    /// How many findings of each severity.
    pub(super) findings: BTreeMap<Severity, usize>,
    /// Since when each finding is there.
    #[serde(skip)]
    pub(super) history: History,
    /// Why nobody knows what it found, where the documents cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

/// How far change-audit is.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Audit {
    /// When the mesh was last read whole.
    pub(super) at: Option<Timestamp>,
    /// Changes of which not every write was reported by an event.
    pub(super) open: usize,
    /// Notices and events that are not sent yet.
    pub(super) owed: usize,
    /// Why nobody knows, where the document cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SweepDocument {
    #[serde(default)]
    swept_at: Option<Timestamp>,
    /// In how many further documents the findings are; unset where they are in this one.
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

/// What the last sweep of a mesh found, from all parts that it is stored in.
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

/// How far change-audit is with a mesh.
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
