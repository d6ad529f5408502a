//! Formats findings for people and for other tools.
//!
//! ```text
//!   mesh, edges ─┐                ┌──▶ json: the complete report, for programs
//!   findings ────┼──▶ MeshReport ─┼──▶ sarif: code scanning of pipelines
//!   history ─────┘                ├──▶ asff: AWS Security Hub
//!                                 ├──▶ junit, github: CI systems
//!                                 └──▶ page: a drawing of the mesh, one self-contained file
//!
//!   findings ──▶ group: by rule and root cause, for the page and for tables
//! ```
//!
//! This crate never judges anything: it formats the findings. It does no I/O and reads no clock.

mod asff;
mod causes;
mod github;
mod history;
mod json;
mod junit;
mod page;
pub mod sarif;
mod visible;

use jiff::Timestamp;
use mesh::graph::Mesh;
use policy::edges::Edge;
use rules::pack::{Evaluation, Finding, Severity};

pub use asff::{Asff, SecurityHubAccount, asff};
pub use causes::{Cause, RootCause, RuleGroup, group, root_cause};
pub use github::github;
pub use history::{Changes, Dated, History};
pub use json::json;
pub use junit::junit;
pub use page::{FilesReport, files_page, page};
pub use visible::{is_hidden, visible, visible_json, visible_lines};

/// The state of a mesh at one time.
#[derive(Debug, Clone, Copy)]
pub struct MeshReport<'a> {
    /// The mesh that was read.
    pub mesh: &'a Mesh,
    /// The edges between callers and callees, with their TLS verdicts.
    pub edges: &'a [Edge],
    /// The findings and the waived findings.
    pub evaluation: &'a Evaluation,
    /// The times at which findings were first seen.
    pub history: &'a History,
    /// The time at which the mesh was read.
    pub at: Timestamp,
    /// The parts of the mesh that could not be read, so that their findings are unknown: a resource, its
    /// tags, a certificate.
    pub unread: &'a [String],
}

/// The severities, the worst first.
pub const SEVERITIES: [Severity; 5] =
    [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];

/// The number of findings of each severity, the worst first; severities without findings are left out.
#[must_use]
pub fn by_severity(findings: &[Finding]) -> Vec<(Severity, usize)> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    SEVERITIES.map(|severity| (severity, count(severity))).into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Formats these numbers, as in `2 high, 1 low`.
#[must_use]
pub fn in_words(findings: &[Finding]) -> String {
    let counts = by_severity(findings);
    if counts.is_empty() {
        return "no findings".to_owned();
    }
    counts.iter().map(|(severity, count)| format!("{count} {severity}")).collect::<Vec<_>>().join(", ")
}
