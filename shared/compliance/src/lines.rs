//! The lines of the report, and the decisions as the journal and the report have them.

use std::collections::BTreeMap;

use mesh::name::{MeshName, ResourcePath};
use records::{DecisionEntry, PlanEntry};
use rules::compliance::{
    ComplianceDecision as Decision, ComplianceHoldReason as HoldReason, ComplianceStatus, ComplianceVerdict as Verdict,
    UnreadResource as Unread,
};
use rules::pack::Finding;
use runner::{Decision as Line, Run};
use serde_json::{Map, Value, json};

use crate::trigger::{Concern, Trigger};

/// The maximum number of unread resources that a report names.
const MOST_NAMED: usize = 20;

/// The line with the number of resources in each state of compliance.
pub(crate) fn summary<'a>(mesh: &MeshName, decisions: impl Iterator<Item = &'a Decision>) -> Line {
    let mut counts: BTreeMap<ComplianceStatus, usize> = BTreeMap::new();
    for decision in decisions {
        *counts.entry(decision.judged.status).or_default() += 1;
    }
    let count = |wanted| counts.get(&wanted).copied().unwrap_or_default();
    let facts = json!({
        "compliant": count(ComplianceStatus::Compliant),
        "nonCompliant": count(ComplianceStatus::NonCompliant),
        "notApplicable": count(ComplianceStatus::NotApplicable),
        "insufficientData": count(ComplianceStatus::InsufficientData),
    });
    Line::new(ResourcePath::Mesh(mesh.clone()).to_string(), "keep", "Judged", facts)
}

/// Reports a mesh with resources or tags that could not be read. The other resources are evaluated.
pub(crate) fn report_unread(
    run: &Run<'_>,
    trigger: &Trigger,
    mesh: &MeshName,
    unread: &BTreeMap<ResourcePath, Unread>,
) {
    let subject = ResourcePath::Mesh(mesh.clone()).to_string();
    let parts = format!("parts of {subject}");
    let Some((_, first)) = unread.iter().next() else { return run.failures().succeeded(&parts) };
    let text = format!("{} unread, first {}", unread.len(), first.error);
    run.failures().fail(&parts, first.class(), "PartlyRead", text);
    let named: Map<String, Value> =
        unread.iter().take(MOST_NAMED).map(|(path, unread)| (path.to_string(), json!(unread))).collect();
    let facts = json!({ "unread": named, "count": unread.len() });
    run.report(Line::new(subject, "hold", "PartlyRead", facts));
    for (path, unread) in unread.iter().filter(|(_, unread)| unread.transient) {
        run.retry(&trigger.concerned(&Concern::Resource(path.clone())), &unread.error);
    }
}

/// Reports the deliveries that request nothing.
pub(crate) fn report_remarks(run: &Run<'_>, trigger: &Trigger) {
    for write in &trigger.refused {
        let resource = write.resource.as_ref().map_or_else(|| "event".to_owned(), ToString::to_string);
        let facts = json!({ "operation": write.operation, "error": write.error, "by": write.by });
        run.report(Line::new(resource, "keep", "NothingChanged", facts));
    }
    for _ in 0..trigger.foreign {
        let facts = json!({ "what": "an alarm, or the release of a route" });
        run.report(Line::new("event".to_owned(), "hold", "NotOurs", facts));
    }
}

/// The reason of a decision: its stable code, its facts, and its text.
pub(crate) fn reason(verdict: &Verdict) -> (String, Value, String) {
    match verdict {
        Verdict::Keep(reason) => {
            let (code, facts) = reason.parts();
            (code, facts, reason.to_string())
        }
        Verdict::Hold(reason) => {
            let (code, facts) = reason.parts();
            (code, facts, reason.to_string())
        }
        Verdict::Act(plan) => {
            let changes: Vec<String> = plan.apply.iter().chain(&plan.would).map(ToString::to_string).collect();
            ("Mends".to_owned(), json!({ "rules": plan.remediates }), changes.join("; "))
        }
    }
}

/// The decision as the journal and the report have it.
pub(crate) fn entry(decision: &Decision) -> DecisionEntry {
    let (reason, mut facts, _) = reason(&decision.verdict);
    let (kind, plan) = match &decision.verdict {
        Verdict::Keep(_) => ("keep", None),
        Verdict::Hold(_) => ("hold", None),
        Verdict::Act(plan) => ("act", Some(PlanEntry::from(plan))),
    };
    let finding = |finding: &Finding| json!({ "id": finding.id(), "rule": finding.rule, "severity": finding.severity, "message": finding.message });
    let mut more = Map::from_iter([
        ("standing".to_owned(), json!(decision.judged.status)),
        ("findings".to_owned(), decision.judged.findings.iter().map(finding).collect()),
    ]);
    // Of a hold, the first reason is the reason of the line itself.
    let others: Vec<&HoldReason> = match &decision.verdict {
        Verdict::Hold(reason) => decision.held.iter().filter(|held| *held != reason).collect(),
        Verdict::Keep(_) | Verdict::Act(_) => decision.held.iter().collect(),
    };
    if !others.is_empty() {
        more.insert("held".to_owned(), json!(others));
    }
    if let Some(unknown) = &decision.judged.unknown {
        more.insert("unknown".to_owned(), json!(unknown));
    }
    if let Some(facts) = facts.as_object_mut() {
        facts.extend(more);
    }
    DecisionEntry {
        decision: Some(kind.to_owned()),
        plan,
        ..DecisionEntry::new(decision.resource.to_string(), reason, facts)
    }
}
