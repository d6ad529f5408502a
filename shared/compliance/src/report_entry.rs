//! The report of an invocation.

use std::collections::BTreeMap;

use mesh::compliance::{ComplianceStatus, Decision, HoldReason, Unread, Verdict};
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::Finding;
use ports::{DocumentError, PortError, Refusal};
use runner::{Report, Signals};
use serde_json::{Map, Value, json};

use crate::execute::ExecutionOutcome;
use crate::trigger::{Concern, Trigger};

/// The maximum number of unread resources that a report names.
const MOST_NAMED: usize = 20;

/// One line of the report, with its effects on the invocation as a whole.
#[derive(Debug)]
pub(crate) struct ReportEntry {
    /// The line.
    pub(crate) line: runner::Decision,
    /// The signals that become metrics.
    pub(crate) signals: Signals,
    /// The deliveries to retry, with the reasons.
    pub(crate) repeats: Vec<Repeat>,
    /// Whether the line reports that the list of meshes, or a mesh, could not be read.
    pub(crate) is_unread: bool,
}

/// Deliveries to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// The reason.
    pub(crate) why: String,
    /// The deliveries.
    pub(crate) concern: Concern,
}

impl ReportEntry {
    /// A line without further effects.
    pub(crate) fn new(line: runner::Decision) -> Self {
        Self { line, signals: Signals::default(), repeats: Vec::new(), is_unread: false }
    }

    /// The line of a decision and its outcome.
    pub(crate) fn for_decision(decision: &Decision, outcome: Option<&ExecutionOutcome>) -> Self {
        let killed = matches!(decision.verdict, Verdict::Hold(HoldReason::KillSwitchOn { .. }))
            || matches!(outcome, Some(ExecutionOutcome::Refused { refusal: Refusal::KillSwitchOn }));
        let why = match outcome {
            Some(ExecutionOutcome::Failed { error, may_heal: true }) => Some(error.clone()),
            Some(ExecutionOutcome::Superseded) => {
                Some(format!("another writer changed {} in every attempt", decision.resource))
            }
            Some(_) | None => None,
        };
        let concern = || Concern::Resource(decision.resource.clone());
        Self {
            line: decided(decision, outcome),
            signals: Signals {
                overwrote: u32::from(matches!(outcome, Some(ExecutionOutcome::Overwrote { .. }))),
                kill_switch_on: killed,
                ..Signals::default()
            },
            repeats: why.map(|why| Repeat { why, concern: concern() }).into_iter().collect(),
            is_unread: false,
        }
    }

    /// The line with the number of resources in each state of compliance.
    pub(crate) fn summary(mesh: &MeshName, decisions: &[(Decision, Option<ExecutionOutcome>)]) -> Self {
        let count = |wanted| decisions.iter().filter(|(decision, _)| decision.judged.standing == wanted).count();
        let facts = json!({
            "compliant": count(ComplianceStatus::Compliant),
            "nonCompliant": count(ComplianceStatus::NonCompliant),
            "notApplicable": count(ComplianceStatus::NotApplicable),
            "insufficientData": count(ComplianceStatus::InsufficientData),
        });
        Self::new(line(ResourcePath::Mesh(mesh.clone()).to_string(), "keep", "Judged", facts))
    }

    /// The line of a failed read; no decision is made about its subject.
    pub(crate) fn unreadable(subject: &str, error: &PortError, concern: Concern) -> Self {
        let facts = json!({ "call": error.call, "kind": error.kind, "message": error.message });
        let mut entry = Self::new(line(subject.to_owned(), "hold", "CannotObserve", facts));
        entry.is_unread = matches!(concern, Concern::AllMeshes | Concern::Mesh(_));
        if error.kind.may_heal() {
            entry.repeats.push(Repeat { why: format!("{subject} cannot be read: {error}"), concern });
        }
        entry
    }

    /// The line of a stored document that cannot be read; nothing is changed without it.
    pub(crate) fn unreadable_document(subject: &str, error: &DocumentError) -> Self {
        let facts = json!({ "document": error.key(), "error": error.to_string(), "remedy": error.remedy() });
        Self::new(line(subject.to_owned(), "hold", error.reason(), facts))
    }

    /// The line of a mesh with resources or tags that could not be read. The other resources are evaluated.
    pub(crate) fn partly_read(mesh: &MeshName, unread: &BTreeMap<ResourcePath, Unread>) -> Option<Self> {
        if unread.is_empty() {
            return None;
        }
        let named: Map<String, Value> =
            unread.iter().take(MOST_NAMED).map(|(path, unread)| (path.to_string(), json!(unread))).collect();
        let facts = json!({ "unread": named, "count": unread.len() });
        let mut entry = Self::new(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "PartlyRead", facts));
        let transient = unread.iter().filter(|(_, unread)| unread.transient);
        entry.repeats = transient
            .map(|(path, unread)| Repeat { why: unread.error.clone(), concern: Concern::Resource(path.clone()) })
            .collect();
        Some(entry)
    }

    /// The line of notices that could not be sent. They are stored, and sent by the next invocation.
    pub(crate) fn not_notified(mesh: &MeshName, error: &PortError, owed: usize) -> Self {
        let facts = json!({ "error": error.to_string(), "owed": owed });
        Self::new(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "NotNotified", facts))
    }

    /// The line of events that could not be published. They are stored, and published by the next invocation.
    pub(crate) fn not_published(mesh: &MeshName, error: &PortError, owed: usize) -> Self {
        let facts = json!({ "error": error.to_string(), "owed": owed });
        Self::new(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "NotPublished", facts))
    }

    /// The line of a mesh that an event named and that does not exist in this account and region.
    pub(crate) fn not_there(subject: &str) -> Self {
        Self::new(line(subject.to_owned(), "keep", "NotThere", json!({})))
    }

    /// The lines of deliveries that request nothing.
    pub(crate) fn remarks(trigger: &Trigger) -> Vec<Self> {
        let refused = trigger.refused.iter().map(|write| {
            let resource = write.resource.as_ref().map_or_else(|| "event".to_owned(), ToString::to_string);
            let facts = json!({ "operation": write.operation, "error": write.error, "by": write.by });
            Self::new(line(resource, "keep", "NothingChanged", facts))
        });
        let foreign = (0..trigger.foreign).map(|_| {
            Self::new(line(
                "event".to_owned(),
                "hold",
                "NotOurs",
                json!({ "what": "an alarm, or the release of a route" }),
            ))
        });
        refused.chain(foreign).collect()
    }

    /// The report of an invocation.
    pub(crate) fn report(entries: Vec<Self>) -> Report {
        let mut signals = Signals::default();
        for entry in &entries {
            signals.overwrote += entry.signals.overwrote;
            signals.kill_switch_on |= entry.signals.kill_switch_on;
        }
        Report { signals, ..Report::of(entries.into_iter().map(|entry| entry.line).collect()) }
    }
}

/// A line of the report.
pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> runner::Decision {
    runner::Decision {
        resource,
        decision: decision.to_owned(),
        reason: reason.to_owned(),
        facts,
        plan: None,
        outcome: None,
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

fn decided(decision: &Decision, outcome: Option<&ExecutionOutcome>) -> runner::Decision {
    let (code, mut facts, _) = reason(&decision.verdict);
    let (kind, plan) = match &decision.verdict {
        Verdict::Keep(_) => ("keep", None),
        Verdict::Hold(_) => ("hold", None),
        Verdict::Act(plan) => ("act", serde_json::to_value(plan).ok()),
    };
    let finding = |finding: &Finding| json!({ "id": finding.id(), "rule": finding.rule, "severity": finding.severity, "message": finding.message });
    let mut more = Map::from_iter([
        ("standing".to_owned(), json!(decision.judged.standing)),
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
    runner::Decision {
        plan,
        outcome: outcome.and_then(|outcome| serde_json::to_value(outcome).ok()),
        ..line(decision.resource.to_string(), kind, &code, facts)
    }
}
