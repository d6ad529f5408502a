//! The notice about an audit.

use std::fmt::Write as _;

use super::attribute::ChangeCause;
use super::change::ChangedMembers;
use super::effect::Effect;
use super::result::{AuditResult, AuditedChange, LateWrite};
use super::write::Write;
use crate::pack::{Finding, Severity, rule_named};
use mesh::name::MeshName;
use policy::Policy;
use policy::edges::TlsVerdict;

/// The maximum number of changes in a notice, and of findings, calls and writes per change.
const MOST: usize = 10;

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNotice {
    /// The subject, with at most 100 characters.
    pub subject: String,
    /// The body.
    pub body: String,
    /// Whether it pages an operator: a call is broken, or a finding is critical.
    pub pages: bool,
}

/// The notice about an audit: degradations with their author and remediation, and the authors of changes reported
/// earlier without one. `None` if there is neither.
#[must_use]
pub fn notice(mesh: &MeshName, result: &AuditResult, policy: &Policy) -> Option<AuditNotice> {
    let late: Vec<&LateWrite> = result.late.iter().filter(|late| late.reported).collect();
    let worse: Vec<&AuditedChange> = result.audits.iter().filter(|audit| audit.effect.is_worse(policy)).collect();
    let is_worse = result.effect.is_worse(policy);
    if !is_worse && late.is_empty() {
        return None;
    }
    let mut body = String::new();
    if is_worse {
        let (changes, degrading) = (result.audits.len(), worse.len());
        line(&mut body, &format!("Mesh {mesh} was degraded."));
        for audit in worse.iter().take(MOST) {
            change(&mut body, audit, policy);
            effect(&mut body, &audit.effect, policy);
        }
        more(&mut body, degrading, "changes that degraded the mesh");
        if result.rest.is_worse(policy) {
            line(&mut body, &format!("\nNo single one of the {changes} changes explains this:"));
            effect(&mut body, &result.rest, policy);
            for audit in result.audits.iter().take(MOST) {
                change(&mut body, audit, policy);
            }
            more(&mut body, changes, "changes");
        } else if changes > degrading {
            line(&mut body, &format!("\nChanges at the same time without degradation: {}.", changes - degrading));
        }
    }
    for late in late.iter().take(MOST) {
        let at = late.seen.strftime("%F %T UTC");
        line(&mut body, &format!("\nThe change observed at {at} and reported without its author was made by"));
        written(&mut body, &late.write);
    }
    Some(AuditNotice { subject: subject(mesh, result, &worse, late.first()), body, pages: pages(&result.effect) })
}

fn subject(mesh: &MeshName, result: &AuditResult, worse: &[&AuditedChange], late: Option<&&LateWrite>) -> String {
    let text = match (worse, late) {
        ([], Some(late)) if !result.effect.worse.is_empty() || result.effect.created.is_empty() => {
            let resource = late.write.resource.as_ref().map_or_else(|| mesh.to_string(), ToString::to_string);
            format!("The author of the change of {resource} is known")
        }
        ([one], _) => format!("Mesh {mesh} degraded: {} {}", one.change.resource, one.change.kind.words()),
        (many, _) => format!("Mesh {mesh} degraded by {} changes", many.len().max(result.audits.len().min(2))),
    };
    // SNS subjects must be printable ASCII.
    text.chars().filter(|character| character.is_ascii() && !character.is_ascii_control()).take(100).collect()
}

fn pages(effect: &Effect) -> bool {
    effect.created.iter().any(|finding| finding.severity >= Severity::Critical)
        || effect.worse.iter().any(|edge| matches!(edge.after, TlsVerdict::Broken(_)))
}

fn change(body: &mut String, audit: &AuditedChange, policy: &Policy) {
    let (change, kind) = (&audit.change, audit.change.kind.words());
    let versions = match (change.before, change.after) {
        (Some(before), Some(after)) => format!(" (version {} to {})", before.version, after.version),
        (None, Some(_) | None) | (Some(_), None) => String::new(),
    };
    line(body, &format!("\n{} {kind}{versions}", change.resource));
    cause(body, &audit.cause);
    let ChangedMembers { members, more } = change.members(policy);
    for member in members {
        let value = |value: Option<String>| value.unwrap_or_else(|| "(absent)".to_owned());
        line(body, &format!("  {}: {} -> {}", member.path, value(member.before), value(member.after)));
    }
    if more > 0 {
        line(body, &format!("  and {more} more members"));
    }
}

fn cause(body: &mut String, cause: &ChangeCause) {
    match cause {
        ChangeCause::Written { write } => {
            line(body, "by");
            written(body, write);
        }
        ChangeCause::Between { writes, unreported } => {
            line(body, "These writes lie between the two states; their individual effects are unknown:");
            for write in writes.iter().take(MOST) {
                written(body, write);
            }
            more(body, writes.len(), "writes");
            if *unreported > 0 {
                line(body, &format!("  and {unreported} without an event"));
            }
        }
        ChangeCause::NoEvent => line(body, "by an unknown caller: no event has reported a write"),
    }
}

fn written(body: &mut String, write: &Write) {
    let at = write.at.map(|at| format!(" at {}", at.strftime("%F %T UTC"))).unwrap_or_default();
    line(body, &format!("  {}: {}{at}", write.caller, write.operation));
}

fn effect(body: &mut String, effect: &Effect, policy: &Policy) {
    let reported: Vec<&Finding> =
        effect.created.iter().filter(|finding| finding.severity >= policy.audit.tell_from).collect();
    for finding in reported.iter().take(MOST) {
        let Finding { severity, rule, resource, message, .. } = finding;
        line(body, &format!("New finding {}, {severity}: {rule} on {resource}: {message}", finding.id()));
        match (&finding.remediation, rule_named(*rule)) {
            (Some(change), _) => line(body, &format!("  Remediation: {change}")),
            (None, Some(rule)) => line(body, &format!("  Remediation: {}", rule.remedy)),
            (None, None) => {}
        }
    }
    more(body, reported.len(), "new findings");
    for edge in effect.worse.iter().take(MOST) {
        line(body, &format!("Calls from {}: {} before, now {}", edge.edge, edge.before, edge.after));
    }
    more(body, effect.worse.len(), "degraded calls");
    if !effect.worse.is_empty() {
        line(body, "  Remediation: restore the previous state, or change the other end of the call, too");
    }
    if !effect.cleared.is_empty() {
        line(body, &format!("Resolved: {} findings", effect.cleared.len()));
    }
}

fn more(body: &mut String, all: usize, noun: &str) {
    let rest = all.saturating_sub(MOST);
    if rest > 0 {
        line(body, &format!("and {rest} more {noun}"));
    }
}

fn line(body: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "{text}");
}
