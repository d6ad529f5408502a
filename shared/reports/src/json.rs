//! Writes the complete report for other programs.

use serde_json::{Value, json as value};

use crate::{MeshReport, by_severity};

/// The report as one JSON document. Members are only ever added; `format` is incremented when a member
/// changes its meaning.
#[must_use]
pub fn json(report: &MeshReport<'_>) -> Value {
    let findings: Vec<Value> = report
        .evaluation
        .findings
        .iter()
        .map(|finding| {
            let mut found = value!({
                "id": finding.id(),
                "firstSeen": report.history.first_seen(finding).unwrap_or(report.at),
            });
            if let (Some(members), Ok(Value::Object(of_finding))) =
                (found.as_object_mut(), serde_json::to_value(finding))
            {
                members.extend(of_finding);
            }
            found
        })
        .collect();
    let counts: serde_json::Map<String, Value> =
        by_severity(&report.evaluation.findings).into_iter().map(|(s, n)| (s.to_string(), n.into())).collect();
    let mut document = value!({
        "format": 1,
        "mesh": report.mesh.name,
        "at": report.at,
        "resources": report.mesh.resources().len(),
        "severities": counts,
        "findings": findings,
        "waived": report.evaluation.waived,
        "edges": report.edges,
    });
    if let Some(members) = document.as_object_mut().filter(|_| !report.unread.is_empty()) {
        members.insert("unread".to_owned(), value!(report.unread));
    }
    document
}
