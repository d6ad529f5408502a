//! Reports an audit: lines of the report, the journal entry, a notice, and an event.

use mesh::name::{MeshName, ResourcePath};
use policy::Policy;
use ports::{BusEvent, Notice, PortError, Urgency};
use records::{
    AuditMessage, AuditOutboxEntry, ChangeFacts, ChangedMember, DecisionEntry, FindingSummary, FindingsSummary,
    Function, JournalBody, RefusalFacts, WriteSummary,
};
use rules::audit::{AuditResult, AuditedChange, ChangeKind, LateWrite, Member, Write, notice};
use rules::pack::Finding;
use runner::{Decision, Metric};
use serde_json::{Value, json};

use crate::NAME;
use crate::Ports;

/// The most lines of one audit, in the journal and in the report: an item of the table has at most 400 KB.
pub(crate) const MOST_LINES: usize = 30;

/// The decision that notifies operators. The name is stable: it is in logs and in the journal.
const NOTIFIED: &str = "tell";

/// The most findings that a line names.
const NAMED: usize = 20;

/// The longest text of a notice, in characters. The notice waits in the state table to be sent.
const LONGEST_NOTICE: usize = 24 * 1024;

/// The decisions of an audit, the worst first. If there are too many, the first ones and the number of the rest.
pub(crate) fn lines(mesh: &MeshName, look: &AuditResult, policy: &Policy) -> Vec<Decision> {
    let mut lines = Vec::new();
    if look.is_first {
        let facts = json!({ "writes": look.repeats.iter().map(summary).collect::<Vec<_>>() });
        lines.push(line(root(mesh), "record", "FirstSight", facts));
    }
    let (worse, others): (Vec<&AuditedChange>, Vec<&AuditedChange>) =
        look.audits.iter().partition(|audit| audit.effect.is_worse(policy));
    lines.extend(worse.into_iter().map(|found| audit(found, policy, NOTIFIED)));
    if !look.rest.is_empty() {
        let decision = if look.rest.is_worse(policy) { NOTIFIED } else { "record" };
        let facts = json!({ "changes": look.audits.len(), "created": named(&look.rest.created),
            "cleared": named(&look.rest.cleared), "worse": look.rest.worse });
        lines.push(line(root(mesh), decision, "Together", facts));
    }
    lines.extend(others.into_iter().map(|found| audit(found, policy, "record")));
    lines.extend(look.late.iter().map(late));
    lines.extend(look.refused.iter().map(refused));
    if !look.is_first {
        lines.extend(
            look.repeats.iter().map(|write| line(path(mesh, write), "keep", "Unchanged", json!(summary(write)))),
        );
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.truncate(MOST_LINES);
        lines.push(line(root(mesh), "record", "More", json!({ "more": more })));
    }
    lines
}

fn audit(audit: &AuditedChange, policy: &Policy, decision: &str) -> Decision {
    let change = &audit.change;
    let shown = change.members(policy);
    let member = |member: Member| ChangedMember { path: member.path, before: member.before, after: member.after };
    let facts = ChangeFacts {
        change: kind(change.kind).to_owned(),
        before: json!(change.before),
        after: json!(change.after),
        members: shown.members.into_iter().map(member).collect(),
        more_members: shown.more,
        cause: json!(audit.cause),
        by: by(audit),
        created: named(&audit.effect.created),
        cleared: named(&audit.effect.cleared),
        worse: json!(audit.effect.worse.iter().take(NAMED).collect::<Vec<_>>()),
    };
    line(change.resource.to_string(), decision, audit.reason(), json!(facts))
}

/// The names of all authors of a change.
fn by(audit: &AuditedChange) -> Vec<String> {
    let mut names: Vec<String> = audit.cause.writes().iter().map(|write| write.caller.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

fn late(late: &LateWrite) -> Decision {
    let facts = json!(RefusalFacts { write: summary(&late.write), error: None, seen: Some(late.seen) });
    let resource = late.write.resource.as_ref().map_or_else(String::new, ToString::to_string);
    line(resource, if late.reported { NOTIFIED } else { "record" }, "Attributed", facts)
}

/// The line of a write that was refused.
pub(crate) fn refused(write: &Write) -> Decision {
    let facts = json!(RefusalFacts { write: summary(write), error: write.error.clone(), seen: None });
    let resource = write.resource.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    line(resource, "record", "Refused", facts)
}

fn summary(write: &Write) -> WriteSummary {
    WriteSummary {
        operation: write.operation.clone(),
        at: write.at,
        version: write.version,
        by: write.caller.to_string(),
        function: write.caller.function().map(str::to_owned),
    }
}

fn named(findings: &[Finding]) -> FindingsSummary {
    let finding_summary = |finding: &Finding| FindingSummary {
        id: finding.id().as_str().to_owned(),
        rule: finding.rule.as_str().to_owned(),
        severity: finding.severity.to_string(),
        resource: finding.resource.to_string(),
    };
    FindingsSummary { count: findings.len(), first: findings.iter().take(NAMED).map(finding_summary).collect() }
}

/// The kind of a change as the journal stores it.
const fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Replaced => "replaced",
        ChangeKind::Updated => "updated",
        ChangeKind::Retagged => "retagged",
        ChangeKind::Rewritten => "rewritten",
    }
}

fn path(mesh: &MeshName, write: &Write) -> String {
    write.resource.as_ref().map_or_else(|| root(mesh), ToString::to_string)
}

pub(crate) fn root(mesh: &MeshName) -> String {
    ResourcePath::Mesh(mesh.clone()).to_string()
}

/// One line of the report.
pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> Decision {
    Decision { resource, decision: decision.to_owned(), reason: reason.to_owned(), facts, plan: None, outcome: None }
}

/// The body of an audit's journal entry.
pub(crate) fn body(lines: &[Decision]) -> JournalBody {
    let decisions = lines.iter().map(DecisionEntry::from).collect();
    JournalBody::Decided { function: Function::ChangeAudit, decisions, observed: None }
}

/// The notifications of an audit to operators and programs.
pub(crate) fn messages(mesh: &MeshName, look: &AuditResult, policy: &Policy) -> Vec<AuditMessage> {
    let mut messages = Vec::new();
    if let Some(notice) = notice(mesh, look, policy) {
        let urgency = if notice.pages { Urgency::Page } else { Urgency::Note };
        let mut body: String = notice.body.chars().take(LONGEST_NOTICE).collect();
        if body.len() < notice.body.len() {
            body.push_str("…\nThe rest is in the journal.\n");
        }
        messages.push(AuditMessage::Notice(Notice { urgency, subject: notice.subject, body }));
    }
    if !look.audits.is_empty() || !look.late.is_empty() {
        let change = |audit: &AuditedChange| {
            json!({ "resource": audit.change.resource, "change": audit.change.kind, "reason": audit.reason(),
                "by": by(audit), "worse": audit.effect.is_worse(policy) })
        };
        let detail = json!({
            "mesh": mesh,
            "changes": look.audits.iter().take(MOST_LINES).map(change).collect::<Vec<_>>(),
            "changesCount": look.audits.len(),
            "attributed": look.late.iter().take(NAMED).map(|late| summary(&late.write)).collect::<Vec<_>>(),
            "created": named(&look.effect.created),
            "cleared": named(&look.effect.cleared),
            "worse": look.effect.worse.iter().take(NAMED).collect::<Vec<_>>(),
        });
        messages.push(AuditMessage::Event(BusEvent {
            detail_type: "Meshwarden Change".to_owned(),
            detail,
            resources: Vec::new(),
        }));
    }
    messages
}

/// The result of sending notifications.
#[derive(Debug, Default)]
pub(crate) struct SendResult {
    /// The ids of the notifications that were sent.
    pub(crate) sent: Vec<String>,
    /// The ids of the notifications that were not sent.
    pub(crate) failed: Vec<String>,
    /// The first error.
    pub(crate) error: Option<PortError>,
}

/// Sends all notifications; a failed one does not stop the others.
pub(crate) async fn send(ports: &Ports, owed: &[AuditOutboxEntry]) -> SendResult {
    let mut result = SendResult::default();
    for owed in owed {
        let sent = match &owed.what {
            AuditMessage::Notice(notice) => ports.notifier.notify(notice).await,
            AuditMessage::Event(event) => ports.bus.put(std::slice::from_ref(event)).await,
        };
        match sent {
            Ok(()) => result.sent.push(owed.id.clone()),
            Err(error) => {
                result.failed.push(owed.id.clone());
                result.error.get_or_insert(error);
            }
        }
    }
    result
}

/// The metrics of an audit.
pub(crate) fn metrics(mesh: &MeshName, look: &AuditResult, policy: &Policy) -> Vec<Metric> {
    let count =
        |name, count| Metric::count(name, count, vec![("Function", NAME.to_owned()), ("Mesh", mesh.to_string())]);
    let without_event = look.audits.iter().filter(|audit| audit.reason() == "NoEvent").count();
    let worse = look.audits.iter().filter(|audit| audit.effect.is_worse(policy)).count();
    let worse = worse + usize::from(look.rest.is_worse(policy));
    vec![
        count("Changes", look.audits.len()),
        count("ChangesWithoutEvent", without_event),
        count("ChangesForTheWorse", worse),
        count("RefusedWrites", look.refused.len()),
    ]
}
